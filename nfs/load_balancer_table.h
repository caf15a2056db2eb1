/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The load balancer's backends and flows.
 *
 * State: the backends, those of IPv4 and those of IPv6, shared by all lanes, each kind behind one section:
 * its state, how many connections it has. Of this instance: its slots in the chain's sessions.
 */
#ifndef NFS_LOAD_BALANCER_TABLE_H
#define NFS_LOAD_BALANCER_TABLE_H

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

/* The counters, with their names. */
#define LB_COUNTERS(X)                                                                                       \
    X(LB_FORWARD, "forwarded")                                                                               \
    X(LB_RETURNED, "returned")                                                                               \
    X(LB_ERRORS, "icmp_errors_translated")                                                                   \
    X(LB_CREATED, "flows_created")                                                                           \
    X(LB_EXPIRED, "flows_expired")                                                                           \
    X(LB_DISPLACED, "flows_displaced")     /* a new one has its place in a full table */                     \
    X(LB_CUT, "flows_cut")                 /* their backend went down */                                     \
    X(LB_OTHER, "other")                   /* passed as it is: nothing of the service's */                   \
    X(LB_FRAGMENTS_FULL, "fragments_full") /* not dropped: the oldest datagram gave way */                   \
    X(LB_MALFORMED, "malformed")           /* dropped, as all that follow */                                 \
    X(LB_NO_BACKEND, "no_backend")         /* none is up */                                                  \
    X(LB_NO_FLOW, "no_flow")               /* a reset, or an error, about nothing known */                   \
    X(LB_CONFLICT, "conflict")             /* answers of every backend that is up would be another flow's */ \
    X(LB_TABLE_FULL, "table_full")                                                                           \
    X(LB_FRAGMENT_UNKNOWN, "fragment_unknown") /* later fragment to the service, first one not seen */
enum lb_counter { LB_COUNTERS(NF_COUNTER) };

static inline const struct lb_flow *lb_flow_of(const struct nf *nf, const struct nf_session *s)
{
    return nf_session_slot(nf, s);
}

/* The service is of the packet's protocol and port, whatever the address. */
static inline bool lb_serves(const struct lb_config *config, const struct nf_packet *p)
{
    bool proto = (p->proto == NF_PROTO_TCP && config->proto != LB_UDP) ||
                 (p->proto == NF_PROTO_UDP && config->proto != LB_TCP);

    return proto && (!config->port || ntohs(p->dport) == config->port);
}
/* The address of a flow's backend. */
static inline struct nf_addr lb_address(const struct nf *nf, const struct lb_flow *flow, bool ipv6)
{
    const struct lb *lb = nf->state;
    return ipv6 ? lb->addr[flow->number] : nf_addr_of_ipv4(flow->addr);
}

/* The configuration lists it. */
bool lb_lists(const struct lb_config *config, const struct lb_end *end);

int lb_check(void *config, struct ft_fault *fault);
bool lb_ipv6(const void *config);
uint64_t lb_shared(const void *config, unsigned lanes);
bool lb_make(struct nf *nf);
bool lb_carry(struct nf *nf, const struct nf_was *was, struct ft_fault *fault);

/* A flow for a client's packet, its first packet counted; or the packet dropped and NULL. */
const struct nf_session *lb_create(const struct nf *nf, struct nf_packet *p, uint64_t now);

/* Of the module. */
void lb_flows(const void *config, struct nf_flows_config *flows);
void lb_session_end(struct nf *nf, const struct nf_session *s, enum nf_session_why why, uint64_t now);
void lb_timers(struct nf *nf, uint64_t now);
int lb_set(struct nf *nf, const char *key, const char *value, uint64_t now, struct ft_fault *fault);
int lb_clear(struct nf *nf, const char *key, uint64_t now, struct ft_fault *fault);
int lb_check_state(const struct nf *nf, struct nf_check *c);

/* ---- load_balancer_backends.c ---- */
extern const char *const lb_state_names[];
/* "A.B.C.D", "A.B.C.D:PORT", an address of IPv6, or "[ADDRESS]:PORT". */
bool lb_end_parse(const char *text, struct lb_end *end);
/* Gives one of them one more connection, for a client's packet and by the policy: which one, in *flow, with
 * the packet's own port where it names none. LB_CREATED, or the counter of the reason why not. */
enum lb_counter lb_choose(const struct nf *nf, const struct nf_packet *p, struct lb_flow *flow);
/* So many connections of each ended. */
void lb_ended(const struct nf *nf, const uint32_t count[LB_BACKENDS], bool ipv6);
/* Bit i: number i is down or gone and still has flows, in some lane. */
uint64_t lb_dead(const struct nf *nf, bool ipv6);
/* "+ADDRESS:PORT" or "-…", and "up", "drain", "down" for all of an address. Each may be done
 * again, since every lane gets the command. */
int lb_change(const struct nf *nf, const char *value, struct ft_fault *fault);
/* The same between two lists, while the chain is changed and no lane runs. False: there are too many. */
bool lb_change_all(const struct nf *nf, const struct lb_config *from, const struct lb_config *to);
int lb_state_set(const struct nf *nf, const char *name, const char *value, struct ft_fault *fault);

#endif
