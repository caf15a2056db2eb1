/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the chain's L3 share: its tables, and the announcements of its own addresses
 * (l3_announce.c). */
#ifndef NFLIB_CHAIN_L3_PARTS_H
#define NFLIB_CHAIN_L3_PARTS_H

#include "nflib/chain/l3.h"
#include "nflib/chain/neighbour.h"
#include "nflib/net/icmp.h"

#define NF_L3_ROUTES_ALL (NF_ROUTES_MAX + NF_PORTS_MAX)
#define NF_L3_OWN_MAX    (NF_PORTS_MAX * (NF_EXTRAS_MAX + 2)) /* of a family */

struct nf_l3_own {
    struct nf_addr addr;
    uint8_t port;
};

struct nf_l3_route {
    struct nf_addr addr, mask, via;
    uint8_t bits, port;
    bool on_link; /* no via */
};

/* What there is of each family. */
struct nf_l3_family {
    struct nf_neighbours neighbours; /* without a map: no link has IPv6 */
    uint32_t owns, routes;
    struct nf_l3_own own[NF_L3_OWN_MAX];
    struct nf_l3_route route[NF_L3_ROUTES_ALL]; /* longest prefix first */
    const struct nf_lpm *table;                 /* in place of going through them, enum nf_routed_by */
    struct nf_l3_route by[NF_ROUTED_ALL];
};

/* An own address that another host has claimed. Chain times; 0: none. */
struct nf_l3_defence {
    uint64_t said; /* when it was last announced for that */
    uint64_t due;  /* when it is to be announced once more */
};

/* The allowances of an interface's ICMP errors: those that report an MTU have their own, since a sender that
 * does not learn the MTU gets nothing through. */
enum nf_l3_allowance { NF_L3_ERRORS, NF_L3_MTUS, NF_L3_ALLOWANCES };

/* In the lane's arena. Chain times. */
struct nf_l3_times {
    /* By interface: up to which the errors that it sent are paid for. */
    uint64_t errors_paid[NF_L3_ALLOWANCES][NF_PORTS_MAX];
    uint64_t failing; /* until which something is unreachable, perhaps */
    struct nf_claim_words claimed[NF_L3_CLAIMED_KINDS];
    struct nf_l3_defence defence[NF_FAMILIES][NF_L3_OWN_MAX]; /* as own[] */
};

/* A packet of the burst as it came in, as far as an error about it quotes it. */
#define NF_L3_KEPT (14u + NF_ICMPV6_QUOTED_MAX)
struct nf_l3_kept {
    struct nf_packet packet;
    uint8_t bytes[NF_L3_KEPT];
};

struct nf_l3 {
    struct nf *nf;
    const struct nf_l3_config *config;
    const struct nf_l3_times *times;
    struct nf_l3_family family[NF_FAMILIES];
    uint16_t least_mtu[2]; /* of the ports of a side */
    uint16_t growth;       /* bytes by which packets from outside grow in the chain */
    /* Of this burst; no state. */
    const struct nf_packet *packets; /* as they are now: kept[i] is of packets[i] */
    uint32_t keeps;                  /* bit i: kept[i] is there */
    struct nf_l3_kept kept[NF_BURST_MAX];
};

/* ---- l3_routes.c ---- */

/* Own addresses and routes of the family. */
void nf_l3_read_family(struct nf_l3_family *f, const struct nf_l3_config *config, bool ipv6);
/* By the tables: the routes of the first NF_LPM_ALL_MAX of n packets. NULL: there is none, or no table. */
void nf_l3_find_ahead(const struct nf_l3 *l3, struct nf_packet *const packets[], uint32_t n,
                      const struct nf_l3_route *found[]);

/* ---- l3_announce.c ---- */
/*
 * Another host has claimed `addr`, which is the chain's, on `port`. Where the chain has the address on that
 * link, it announces it again, at once, or a second after the last time. RFC 5227 (2.4) has 10 seconds there,
 * against two hosts that defend one address from each other for ever; the hosts behind a chain would be cut
 * off for that long, and one frame a second is no flood. The MAC of any interface of the chain is no other
 * host's: two of them may be on one link.
 */
void nf_l3_note_conflict(struct nf_l3 *l3, const struct nf_addr *addr, uint8_t port, const uint8_t mac[6],
                         uint64_t now);
/* Announces what is due. */
void nf_l3_defence_timers(struct nf_l3 *l3, uint64_t now);
/* Of a state that came from a peer: no time is later than its own could be. FT_EMALFORMED. */
int nf_l3_defence_check(const struct nf_l3 *l3, struct nf_check *c);

#endif
