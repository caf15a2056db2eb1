/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node's ports where keepers have them: one UDP socket to them, behind the same struct nd_io. Opened
 * by nd_ports_open for a node with `inputs`; used by lane 0, on whose thread understudy/keeper/port.h works.
 * Every buffer has room for what the keeper writes in front of a frame, so the first frame of a datagram is
 * received where it lies; what shares the datagram, and what is sent, is copied.
 *
 * Buffers: `mbufs` of the file, and IN_TURN more to receive into. When fewer than a quarter are free only the
 * burst that is due next is kept, when few are, nothing is; it comes again.
 */
#ifndef NODE_PORTS_FED_H
#define NODE_PORTS_FED_H

#include "understudy/ports/datagrams.h"
#include "understudy/ports/ports.h"

/* The ports are numbered. `by`: taken over, also when this fails. FT_EBUSY, FT_ENOENT: the address; FT_EPERM,
 * FT_EINVAL: the key; FT_ENOMEM. */
int nd_fed_open(struct nd_ports *ports, const struct nd_config *config, const struct nd_node *node,
                const struct nd_carrier *by, struct ft_fault *fault);
void nd_fed_close(struct nd_ports *ports);

/* Lane 0's orders are there, before it begins. */
void nd_fed_serve(struct nd_ports *ports, const struct ft_lane_shared *lane);

/* By any thread: a keeper has been heard within the last second. */
bool nd_fed_is_heard(const struct nd_ports *ports, uint64_t now);

/* By the control thread: reads the keys again, which the lane takes in its next turn. As nd_datagrams_keys.
 */
int nd_fed_renew(struct nd_ports *ports, const struct nd_config *config, struct ft_fault *fault);

/* What status shows; zeros where no keeper has the ports. */
struct nd_fed_counts {
    uint64_t strangers; /* datagrams without the key, or malformed */
    uint64_t refused;   /* of another keeper, to another process, or not the burst that is next */
    uint64_t crowded;   /* inputs dropped for want of a buffer, which come again */

    unsigned keepers, heard; /* in the file; those heard within the last second, as bits */
    int active;           /* by which this node's live lane is fed; -1: it is not, or there is one keeper */
    uint64_t keeper_view; /* in which it is active */
};
void nd_fed_counts(const struct nd_ports *ports, struct nd_fed_counts *out);

#endif
