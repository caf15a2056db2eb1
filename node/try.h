/* SPDX-License-Identifier: Apache-2.0 */
/* What a file names for one node, opened and closed again. Owns nothing. */
#ifndef NODE_TRY_H
#define NODE_TRY_H

#include "node/config/config.h"

#define ND_TRIES_MAX 12u

struct nd_tries {
    unsigned count;
    struct nd_try {
        const char *what; /* "replication" */
        char which[200];  /* "192.0.2.1:4700" */
        struct ft_fault fault;
        int error; /* 0: it could be opened */
    } of[ND_TRIES_MAX];
};

/*
 * As `run` opens it, and as the user that it becomes: what seals the link, the directories, the control
 * sockets, the addresses, the arbiter, the ports. Each is tried, whatever the others gave; but where the
 * control socket says that the node runs, nothing else is. In a process that does no more than this: it has
 * given up its user and most capabilities, and DPDK can be started once.
 */
void nd_try_node(const struct nd_config *config, unsigned node, struct nd_tries *out);

#endif
