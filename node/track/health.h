/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whether the pair's data ports can carry traffic: what a node finds of its own ports, what it hears by them,
 * and what the peer's heartbeats say of the peer's. One rule. A node is whole when each of its data ports has
 * carrier, an MTU not below that of the peer's port, and hears the peer's heartbeats of the port of the same
 * number, unless the peer's port has no carrier. Filled in and judged by the main thread (node/port_watch.c);
 * status, metrics, handovers and heartbeats say what it judged.
 */
#ifndef NODE_TRACK_HEALTH_H
#define NODE_TRACK_HEALTH_H

#include "ftcore/record/datagram.h"
#include "nflib/chain/l3.h"

#include <stdbool.h>

#define ND_HEALTH_TEXT 256u

struct nd_port_health {
    const char *name; /* as the file calls the interface; borrowed */
    bool judged;      /* its device leads to a network: the peer's heartbeats should come in by it */
    bool carrier;
    bool replaced;             /* then without carrier: below the port is another interface than it opened */
    uint32_t mtu;              /* bytes; 0: not known */
    uint64_t heard;            /* ns: the peer's newest heartbeat of its port of this number; 0: none yet */
    uint64_t crossed;          /* the same of another port of the peer's, which is peer_port */
    uint32_t peer_mtu;         /* as that of `heard` says; 0: not known */
    unsigned peer_port;        /* below NF_PORTS_MAX */
    bool hears;                /* judged: `heard` is of late */
    enum ft_port_fault fault;  /* judged */
    enum ft_port_fault theirs; /* of the peer's port, as the peer said; WHOLE: it has not said anything */
    bool deaf; /* a gateway that both track by it answers the peer alone: if nothing passes between the two
                  ports, it is this one's fault */
};

struct nd_health {
    const char *self, *peer; /* names of the nodes; borrowed */
    unsigned ports;
    struct nd_port_health port[NF_PORTS_MAX];
    bool meets; /* there is a connection to the peer: it should be heard */
    bool told;  /* the peer has said of late how its ports are: `theirs` */
};

/* The fault of each port, by what was found. A heartbeat counts for `within` ns, and, of a thread that was
 * held up until `awake`, as if it had come then. */
void nd_health_judge(struct nd_health *h, uint64_t now, uint64_t within, uint64_t awake);

/* Why a port of this node's is without carrier, in words. */
const char *nd_health_no_carrier(const struct nd_port_health *p);

/* All that keeps ports of either node from carrying traffic, in words. "", false: nothing. */
bool nd_health_faults(const struct nd_health *h, char out[ND_HEALTH_TEXT]);

/* The same of the standby alone, as this node, the primary or the standby, knows it: why no handover may make
 * it the primary. A fault of the primary's own is none of the standby's. */
bool nd_health_standby(const struct nd_health *h, bool primary, char out[ND_HEALTH_TEXT]);

#endif
