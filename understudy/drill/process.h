/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node's process as a drill sees it from outside: what it takes to end it, cut its links, and start a node
 * in its place. Read while it lives; usable after it died, because its namespaces are kept open. What another
 * user's process can choose of itself (its arguments, its program, its paths) is never executed nor opened.
 */
#ifndef TOOLS_DRILL_PROCESS_H
#define TOOLS_DRILL_PROCESS_H

#include "ftcore/base/error.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct nd_process {
    pid_t pid, parent;
    uid_t user;        /* the effective one */
    uint64_t started;  /* kernel ticks: distinguishes a process from a later one with the same pid */
    bool same_program; /* it runs the program that asks, or one that lay at the same path and was removed */
    char cwd[PATH_MAX];
    int handle;     /* pidfd */
    int output;     /* its standard error, when that is a file or a terminal; -1: it is not */
    int net, mount; /* namespaces */
};

#define ND_NO_PROCESS                                                                                        \
    {                                                                                                        \
        .handle = -1, .output = -1, .net = -1, .mount = -1                                                   \
    }

/* FT_ENOENT: no such process, FT_EPERM. On success nd_process_close it. */
int nd_process_read(struct nd_process *out, pid_t pid, struct ft_fault *fault);
void nd_process_close(struct nd_process *process);

/* Sends `number` to this very process. FT_ENOENT: it is gone. */
int nd_process_signal(const struct nd_process *process, int number, struct ft_fault *fault);
/* Every link of its network namespace but lo, down or up. FT_EPERM where it is the namespace of the caller,
 * too, or not one of the caller's user namespace. */
int nd_process_links(const struct nd_process *process, bool up, struct ft_fault *fault);

/*
 * The caller's own program as `run -c file -n node` in the process's namespaces, with its output; no child of
 * the caller. In its directory, when that is one that only root or the caller's user can write to, else in /.
 * FT_EPERM: a user namespace other than the caller's owns a namespace of it, or another program or file lies
 * there at the same path. `rehearsal`: all of that but to start it.
 */
int nd_process_start(const struct nd_process *process, const char *file, const char *node, bool rehearsal,
                     struct ft_fault *fault);

#endif
