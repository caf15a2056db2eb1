/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether this machine is fit for a node: what the kernel shows under /proc and /sys, as `understudy check
 * --host` shows it, a line each with what to do. Nothing is changed, and nothing is opened for writing.
 */
#ifndef NODE_BASE_HOST_H
#define NODE_BASE_HOST_H

#include <stdbool.h>

#define ND_HOST_LINES 24u

enum nd_host_verdict {
    ND_HOST_FIT,
    ND_HOST_NOTE, /* it runs, and is slower or less even than it could be */
    ND_HOST_UNFIT /* packets or promises are lost */
};

struct nd_host {
    unsigned count;
    struct nd_host_line {
        enum nd_host_verdict verdict;
        const char *what;
        char is[96], do_this[128]; /* do_this "": nothing */
    } line[ND_HOST_LINES];
};

/* `root`: where /proc and /sys lie, "" in service. `interfaces`: names that end with NULL. */
void nd_host_look(struct nd_host *out, const char *root, const char *const interfaces[]);
const char *nd_host_verdict_name(enum nd_host_verdict verdict);

#endif
