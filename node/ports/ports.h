/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The node's DPDK side: the environment layer, the packet pool, the ports. Opened once by run, before
 * threads; used by lanes. Ports are numbered as the chain's interfaces are.
 */
#ifndef NODE_PORTS_PORTS_H
#define NODE_PORTS_PORTS_H

#include "node/lane/lane.h"

#include <rte_ethdev.h>
#include <rte_ring.h>
#include <rte_spinlock.h>

/*
 * Several lanes behind ports. Of a port that has a receive queue for each lane (RSS), each lane polls its
 * own; else whichever lane finds the port free polls it. Either way frames are dealt out to rings, one a lane
 * and port, since only an NF may know whose an answer is. Owned by the ports; the polling lane writes, under
 * the port's lock where the queue is shared; each lane reads its own ring.
 *
 * Capacity: a ring holds ND_DEAL_RING frames; what finds it full is dropped and counted.
 */
#define ND_DEAL_RING 1024u

struct nd_deal {
    unsigned lanes;
    enum nf_scope scope;        /* of the chain's state */
    const struct nd_lane *lane; /* [lanes]; NULL until they are made: then frames are dealt by hash */
    const struct nf_l3_config *l3;
    struct {
        rte_spinlock_t receiving, sending;
        uint16_t id; /* DPDK's */
        bool scaled; /* a receive queue for every lane, by the hash */
        bool queues; /* a transmit queue for every lane */
        enum nf_side side;
        struct rte_ring *ring[FT_LANES_MAX];
    } port[NF_PORTS_MAX];
    _Atomic uint64_t full; /* frames that found a ring full */
};

struct nd_ports {
    struct nd_io io; /* what lanes see; the number of ports is io.ports */
    struct rte_mempool *pool;
    struct nd_deal deal; /* id and side of the ports; the rest with several lanes */
    uint64_t refused;    /* frames too short, too long or scattered; roughly right with several lanes */
};

/* Some port is a device of the machine, with a PCI address. */
bool nd_ports_physical(const struct nd_node *node);

/* One clear line in `fault` for what DPDK says in many: FT_EINVAL (devargs), FT_EPERM, FT_ENOMEM. Closed by
 * nd_ports_close, also after a failure of somebody else's. */
int nd_ports_open(struct nd_ports *ports, const struct nd_config *config, unsigned node,
                  struct ft_fault *fault);
void nd_ports_close(struct nd_ports *ports);

/* A line of the event log for each thing about the interfaces, as they are now, by which a port of `node`
 * would carry less than it should. */
void nd_ports_warn(const struct nd_config *config, unsigned node);

/* ---- eal.c ---- */

/* Starts DPDK with the node's arguments. As nd_ports_open. */
int nd_eal_open(const struct nd_config *config, const struct nd_node *node, struct ft_fault *fault);

/* Does some work of DPDK, whose answer it returns (-EIO: DPDK gave up), with its log, stdout and stderr in
 * memory. The line of it that tells the reason is in why[0 .. cap); "": none. In the thread that opens ports.
 */
int nd_eal_capture(int (*work)(void *arg), void *arg, char *why, size_t cap);

/* Drivers say -1 for anything; it means permission only to those who may lack it. */
bool nd_eal_is_permission(int error);

/* ---- deal.c ---- */

/* Makes the port's locks and rings, once the device is started and id, scaled, queues and side are set.
 * FT_ENOMEM. */
int nd_deal_port(struct nd_deal *deal, unsigned port, struct ft_fault *fault);
void nd_deal_close(struct nd_deal *deal);

/* The lane's next frames, at most `max`. */
uint32_t nd_deal_receive(struct nd_deal *deal, unsigned lane, unsigned port, struct rte_mbuf *out[],
                         uint32_t max);
uint32_t nd_deal_send(struct nd_deal *deal, unsigned lane, unsigned port, struct rte_mbuf *out[], uint32_t n);

#endif
