/* SPDX-License-Identifier: Apache-2.0 */
/* A port of DPDK by which a lane speaks to its peer's lane (lane/link.h): a NIC's, memif, or any other.
 * Opened once by run, before threads; then the lane's. */
#ifndef NODE_PORTS_WIRE_H
#define NODE_PORTS_WIRE_H

#include "lane/link.h"
#include "node/config/config.h"

#include <rte_ethdev.h>

#define ND_WIRE_BURST 32u

struct nd_wire_port {
    struct nd_link_port wire;
    bool is_open;
    uint16_t id;
    struct rte_mempool *pool;
    struct rte_mbuf *out;               /* the next frame that is sent; NULL: no buffer yet */
    struct rte_mbuf *in[ND_WIRE_BURST]; /* that came; in[at - 1] is the lane's, in[at, count) wait */
    uint16_t at, count;
    /* A memif client whose server is gone, or has not come yet, is started again by the main thread while the
     * lane keeps away from it. */
    _Atomic int user; /* enum nd_wire_user */
    bool connects;
    uint64_t looked; /* main thread: when it was looked at last, ns */
};

enum nd_wire_user { ND_WIRE_LANE, ND_WIRE_ASKED /* for, of the lane, which gives it away */, ND_WIRE_MAIN };

/* A port that is not open yet. */
void nd_link_port_begin(struct nd_wire_port *port, struct rte_mempool *pool);
/* The device of the node's `link_port`. FT_EPERM, FT_EINVAL. In eal.c. */
int nd_link_port_open(struct nd_wire_port *port, const struct nd_node *node, struct rte_mempool *pool,
                      struct ft_fault *fault);
/* The main thread, in each of its turns. */
void nd_link_port_watch(struct nd_wire_port *port, uint64_t now);
void nd_link_port_close(struct nd_wire_port *port);

#endif
