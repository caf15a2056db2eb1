/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A port of DPDK by which lanes speak to the peer's lanes (lane/link.h): a NIC's, memif, or any other. Opened
 * once by run, before threads. A lane sends by its queue, and whoever looks at a queue gives other lanes the
 * frames that are theirs: of memif each lane has a queue of its own, of any other port all share one.
 */
#ifndef NODE_PORTS_WIRE_H
#define NODE_PORTS_WIRE_H

#include "lane/link.h"
#include "understudy/config/config.h"

#include <rte_ethdev.h>
#include <rte_ring.h>

#define ND_WIRE_BURST 32u
#define ND_WIRE_WAIT  256u /* frames that others have found for a lane, at most: more are lost */

struct nd_wire_port {
    bool is_open;
    uint16_t id;
    unsigned lanes, queues;
    struct rte_mempool *pool;
    /* Who sends by a queue, or takes frames from it, has claimed that; the main thread claims all before a
     * memif client is started again, whose server is gone or has not come yet. Nobody waits. */
    struct nd_wire_queue {
        _Alignas(64) atomic_flag sends;
        _Alignas(64) atomic_flag takes;
    } queue[FT_LANES_MAX];
    struct nd_wire_lane {
        struct nd_link_port wire;
        struct nd_wire_port *port;
        unsigned lane;
        struct rte_mbuf *out;               /* the next frame that is sent; NULL: no buffer yet */
        struct rte_mbuf *in[ND_WIRE_BURST]; /* that came; in[at - 1] is read, in[at, count) wait */
        uint16_t at, count;
        struct rte_ring *found; /* by other lanes; NULL: there is one lane */
        /* Frames that the device did not take, and that had no room in `found`; written by this lane and by
         * those that find frames for it; read by the main thread. */
        _Atomic uint64_t refused, crowded;
    } lane[FT_LANES_MAX];
    bool connects;           /* a memif client */
    atomic_bool is_starting; /* or stopping, by DPDK's interrupt thread, which has `stopped` meanwhile */
    bool stopped;            /* main thread: it has claimed all queues */
    /* Main thread: when it was looked at last, ns; frames lost on their way out and in, as of then. */
    uint64_t looked, tx_lost, rx_missed;
};

/* A port that is not open yet. */
void nd_link_port_begin(struct nd_wire_port *port, struct rte_mempool *pool, unsigned lanes);
/* The device of the node's `link_port`. FT_EPERM, FT_EINVAL, FT_ENOMEM. In eal.c. */
int nd_link_port_open(struct nd_wire_port *port, const struct nd_node *node, struct rte_mempool *pool,
                      unsigned lanes, struct ft_fault *fault);
/* Keeps lanes away from a port that is not started, until nd_link_port_watch starts it. False: a lane is at
 * it just now. */
bool nd_link_port_claim(struct nd_wire_port *port);
/* The main thread, in each of its turns. */
void nd_link_port_watch(struct nd_wire_port *port, uint64_t now);
/* Lanes have ended. */
void nd_link_port_close(struct nd_wire_port *port);

#endif
