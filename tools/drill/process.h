/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node's process as a drill sees it from outside: what it takes to end it, cut its links, and start it
 * again as it was. Read while it lives; usable after it died, because its namespaces are kept open.
 */
#ifndef TOOLS_DRILL_PROCESS_H
#define TOOLS_DRILL_PROCESS_H

#include "ftcore/base/error.h"

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define ND_ARGS_MAX 64u

struct nd_process {
    pid_t pid;
    uint64_t started; /* kernel ticks: tells a process from a later one with the same pid */
    char exe[PATH_MAX], cwd[PATH_MAX];
    char output[PATH_MAX]; /* where its standard error went; "": not a file */
    char args[8192];       /* argv, each ended by 0 */
    char *argv[ND_ARGS_MAX + 1];
    int net, mount; /* namespaces, -1: not read */
};

/* FT_ENOENT: no such process, FT_EPERM. On success nd_process_close it. */
int nd_process_read(struct nd_process *out, pid_t pid, struct ft_fault *fault);
void nd_process_close(struct nd_process *process);

/* Sends `number` to this very process. FT_ENOENT: it is gone. */
int nd_process_signal(const struct nd_process *process, int number, struct ft_fault *fault);
/* Every link of its network namespace but lo, down or up. FT_EPERM where it is the namespace of the caller,
 * too. */
int nd_process_links(const struct nd_process *process, bool up, struct ft_fault *fault);
/* The same program again, same arguments, directory, namespaces and output; no child of the caller. */
int nd_process_start(const struct nd_process *process, struct ft_fault *fault);

#endif
