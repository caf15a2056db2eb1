/* SPDX-License-Identifier: Apache-2.0 */
/* The state, configuration and counters of portscan, which its tests look into, too. */
#ifndef NFS_PORTSCAN_H
#define NFS_PORTSCAN_H

#include "nflib/nf.h"

#define PS_UNIT     (1 << 24) /* of a walk: 1.0 */
#define PS_FARTHEST (1 << 30) /* no walk gets there: a likelihood is at least a thousandth */

enum ps_action { PS_ALERT, PS_DROP };
enum ps_destinations { PS_ADDRESSES, PS_PORTS };

struct ps_config {
    uint32_t watch, destinations, action;
    uint32_t theta0, theta1, alpha, beta; /* per mille */
    uint32_t answer, remember, hold;      /* seconds */
    uint32_t max_hosts, max_contacts;
    int32_t success, failure, scanner, benign; /* read by check, from those: steps and thresholds */
};

/* Key of a host; IPv4 as ::ffff:A.B.C.D. */
struct ps_address {
    uint8_t bytes[16];
};
struct ps_host {
    uint64_t seen;    /* chain time of the last outcome */
    uint64_t scanner; /* since then it is one; 0: it is none */
    int32_t walk;
    uint32_t successes, failures; /* since it is known */
};

struct ps_pair {
    struct ps_address source, destination;
    uint16_t port, zero; /* port: of the destination, where those are told apart */
};
struct ps_contact {
    uint16_t sport, dport; /* of the first connection, network order */
    uint32_t seq;          /* of what is behind its SYN */
    uint32_t pending;      /* 1: it has no outcome yet */
};

struct ps {
    struct nf_map *hosts, *contacts;
    struct nf_wheel *hosts_end, *contacts_end; /* by the maps' slots */
    uint32_t scanners;                         /* hosts that are */
    uint32_t action;                           /* may be set, so it is state */
    uint32_t hosts_hand, contacts_hand;        /* slots that were looked at last for one that makes room */
};

#define PS_COUNTERS(X)                                                                                       \
    X(PS_CONTACTS, "contacts") /* first connections of a host to a destination */                            \
    X(PS_SUCCESSES, "successes")                                                                             \
    X(PS_REFUSED, "refused")             /* failures: answered by a reset */                                 \
    X(PS_UNANSWERED, "unanswered")       /* failures: not answered in time */                                \
    X(PS_SCANNERS, "scanners")           /* hosts found to be one */                                         \
    X(PS_BENIGN, "benign")               /* walks that ended at the other threshold */                       \
    X(PS_RELEASED, "released")           /* scanners that are none any more: `hold`, or an operator */       \
    X(PS_DROPPED, "dropped")             /* dropped: packets of scanners */                                  \
    X(PS_HIDDEN, "hidden")               /* dropped: what does not show whether it is a SYN */               \
    X(PS_CHECKSUM, "checksum")           /* SYNs and answers with a wrong checksum, which are none */        \
    X(PS_DISPLACED, "displaced")         /* hosts and contacts that have made room */                        \
    X(PS_HOSTS_FULL, "hosts_full")       /* outcomes of hosts that found no room */                          \
    X(PS_CONTACTS_FULL, "contacts_full") /* connections to destinations that found no room; they pass */
enum ps_counter { PS_COUNTERS(NF_COUNTER) };

static inline const struct ps_host *ps_host_at(const struct ps *ps, uint32_t slot)
{
    return nf_map_value(ps->hosts, slot);
}

static inline const struct ps_contact *ps_contact_at(const struct ps *ps, uint32_t slot)
{
    return nf_map_value(ps->contacts, slot);
}

#endif
