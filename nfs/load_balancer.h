/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The load balancer's configuration, backends and flows, which its tests and the bench look into, too.
 *
 * State: the backends, those of IPv4 and those of IPv6, shared by all lanes, each kind behind one section:
 * its state, how many connections it has. Of this instance: its slots in the chain's sessions.
 */
#ifndef NFS_LOAD_BALANCER_H
#define NFS_LOAD_BALANCER_H

#include "nflib/nf.h"

#include <arpa/inet.h>

#define LB_BACKENDS 64u

/* A backend, and its key. */
struct lb_end {
    struct nf_addr addr;
    uint16_t port; /* network order; 0: the one that the packet has */
    uint16_t zero[3];
};

struct lb_config {
    uint32_t vip;                    /* 0: any address */
    uint32_t port;                   /* 0: any */
    uint32_t proto, policy, clients; /* enum lb_proto, lb_policy, nf_sides */
    const char *backends, *vip6_text;
    struct nf_flows_config flows;
    bool ipv6; /* there is a service of IPv6 as well */
    /* Read from those, of each family. */
    bool any[NF_FAMILIES]; /* every address is the service */
    struct nf_addr service[NF_FAMILIES];
    uint32_t count[NF_FAMILIES];
    struct lb_end list[NF_FAMILIES][LB_BACKENDS];
};

enum lb_proto { LB_TCP, LB_UDP, LB_BOTH_PROTOS };
enum lb_policy { LB_LEAST, LB_CONSISTENT, LB_RANDOM };

/* `down` and `gone` lose their flows, `drain` only gets no new ones. What is gone is there as long as it has
 * flows, and until its place is needed. */
enum lb_state { LB_UP, LB_DRAIN, LB_DOWN, LB_GONE };

struct lb_backend {
    uint64_t connections, total;
    uint64_t state; /* enum lb_state */
};

/* In a session, whose first packet came from the client. Two words. */
struct lb_flow {
    uint64_t packets : 56;
    uint64_t number : 8; /* of the backend */
    uint32_t addr;       /* of the backend, network order; of IPv6 0: it stands in struct lb */
    uint16_t port, zero; /* as the packets to it have */
};
_Static_assert(LB_BACKENDS <= 256 && sizeof(struct lb_flow) == 16, "a backend's number has a byte");

struct lb {
    struct nf_shared_map *backends[NF_FAMILIES]; /* of IPv6 NULL: there is no service of it */
    uint32_t sweep;                              /* next session to look at for flows of dead backends */
    uint32_t ended[NF_FAMILIES]
                  [LB_BACKENDS];      /* flows that are still to be taken off the backends' connections */
    uint64_t look;                    /* when to look at the backends again; UINT64_MAX: no flows */
    struct nf_addr addr[LB_BACKENDS]; /* of IPv6, of those that have flows of this lane */
};

static inline const struct lb_flow *lb_flow_of(const struct nf *nf, const struct nf_session *s)
{
    return nf_session_slot(nf, s);
}

#endif
