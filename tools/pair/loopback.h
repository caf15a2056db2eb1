/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A place on the loopback for the two members of a tool's run: an address of its own, a port for each, a
 * directory for their view files. Made and removed by the tool's process.
 */
#ifndef TOOLS_PAIR_LOOPBACK_H
#define TOOLS_PAIR_LOOPBACK_H

#include "node/config/config.h"

struct nd_loopback {
    char directory[64], host[16];
    uint16_t port[ND_NODES];
};

/* FT_EIO. Close it in any case. */
int nd_loopback_open(struct nd_loopback *place, struct ft_fault *fault);
void nd_loopback_close(struct nd_loopback *place);
/* As if nobody had reigned yet: the members' view files are gone. */
void nd_loopback_forget(struct nd_loopback *place);

#endif
