/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that are there whole or not at all, whatever dies meanwhile, process or machine: a new file beside
 * the place, of this process alone; its bytes on the disk; then its name, and the directory's entry on the
 * disk too. No link that somebody put there is followed. Callers wait for the disk.
 *
 * Errors: FT_EPERM, FT_EIO, FT_EINVAL (a path too long), each with "PATH: why".
 */
#ifndef FTCORE_BASE_DURABLE_H
#define FTCORE_BASE_DURABLE_H

#include "ftcore/base/error.h"

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

/* "PATH: why", by errno. */
int ft_durable_fail(const char *path, struct ft_fault *fault);
/* A file that is not there yet, on the disk, its mode too: exactly `mode`, whatever the process masks. */
int ft_durable_new(const char *path, mode_t mode, const void *bytes, size_t len, struct ft_fault *fault);
/* Renames `from` to `to`, and syncs the directory of that. What fails before the rename leaves both as they
 * are. */
int ft_durable_rename(const char *from, const char *to, struct ft_fault *fault);
/* The names in the directory that `path` lies in are on the disk; with a slash at its end it is one itself.
 */
int ft_durable_sync(const char *path, struct ft_fault *fault);
/* All of it: PATH.new is written, and takes the name; of `mode`, less what the process masks. What was left
 * at PATH.new goes. */
int ft_durable_write(const char *path, mode_t mode, const void *bytes, size_t len, struct ft_fault *fault);

/* The same for who writes bit by bit. Between begin and end the caller writes to `out`. */
struct ft_durable {
    FILE *out;        /* NULL: not begun, or ended */
    const char *path; /* the caller's */
    char beside[PATH_MAX];
};

/* `beside` NULL: PATH.new; what was left at that name goes. */
int ft_durable_begin(struct ft_durable *d, const char *path, const char *beside, mode_t mode,
                     struct ft_fault *fault);
/* `whole` false: something was not written; nothing is left of it then, as after any error. */
int ft_durable_end(struct ft_durable *d, bool whole, struct ft_fault *fault);

#endif
