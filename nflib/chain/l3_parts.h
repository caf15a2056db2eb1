/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the chain's L3 share: its tables and IPv4 (l3.c), IPv6 (l3_ipv6.c), what it says of its
 * own addresses (l3_announce.c) and shows (l3_show.c), and the ICMP errors that it sends (l3_errors.c). */
#ifndef NFLIB_CHAIN_L3_PARTS_H
#define NFLIB_CHAIN_L3_PARTS_H

#include "nflib/chain/l3.h"
#include "nflib/chain/neighbour.h"
#include "nflib/net/icmpv6.h"

#define NF_L3_ANY_PORT   0xffu
#define NF_L3_ROUTES_ALL (NF_ROUTES_MAX + NF_PORTS_MAX)
#define NF_L3_OWN_MAX    (NF_PORTS_MAX * 9u)
#define NF_L3_OWN6_MAX   (NF_PORTS_MAX * 10u)

struct nf_l3_own {
    uint32_t addr;
    uint8_t port;
};

struct nf_l3_own6 {
    uint8_t addr[16], port;
};

struct nf_l3_ipv6 {
    struct nf_neighbours neighbours; /* without a map: no link has IPv6 */
    struct nf_l3_own6 own[NF_L3_OWN6_MAX];
    struct nf_route6 route[NF_L3_ROUTES_ALL]; /* longest prefix first */
    uint32_t owns, routes;
};

/* An own address that another host has claimed. Chain times; 0: none. */
struct nf_l3_defence {
    uint64_t said; /* when it was last announced for that */
    uint64_t due;  /* when it is to be announced once more */
};

/* In the lane's arena. Chain times. */
struct nf_l3_times {
    uint64_t errors_paid[NF_PORTS_MAX]; /* by interface: up to which the errors that it sent are paid for */
    uint64_t failing;                   /* until which some neighbour is unreachable, perhaps */
    struct nf_claim_words claimed[NF_L3_CLAIMED_KINDS];
    struct nf_l3_defence defence[NF_L3_OWN_MAX], defence6[NF_L3_OWN6_MAX]; /* as own[] of each family */
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
    struct nf_neighbours neighbours;
    struct nf_l3_own own[NF_L3_OWN_MAX];
    struct nf_route route[NF_L3_ROUTES_ALL]; /* longest prefix first */
    uint32_t owns, routes;
    uint16_t least_mtu[2]; /* of the ports of a side */
    uint16_t growth;       /* bytes; see nf_l3_expect_growth */
    struct nf_l3_ipv6 ipv6;
    /* Of this burst, while neighbours are failing; no state. */
    const struct nf_packet *packets; /* as they are now, [kepts] in their order */
    uint32_t kepts;
    struct nf_l3_kept kept[NF_BURST_MAX];
};

/* Bytes of an IP packet. */
static inline uint32_t nf_l3_ip_length(const struct nf_packet *p)
{
    return (uint32_t)(p->l4 - p->l3) + p->l4_len;
}

/* The route to an address; NULL: there is none. */
const struct nf_route *nf_l3_route(const struct nf_l3 *l3, uint32_t addr);
/* `port`: of the chain, or NF_L3_ANY_PORT. */
bool nf_l3_is_own(const struct nf_l3 *l3, uint32_t addr, uint8_t port);
/* Of any interface of the chain: two of them may be on one link. */
bool nf_l3_is_own_mac(const struct nf_l3 *l3, const uint8_t mac[6]);

/* ---- l3_ipv6.c ---- */
bool nf_l3_has_ipv6(const struct nf_l3_config *config);
/* Reads the configuration, and asks for next hops; as nf_l3_make. */
int nf_l3_make_ipv6(struct nf_l3 *l3, struct ft_fault *fault);
bool nf_l3_is_own6(const struct nf_l3 *l3, const uint8_t addr[16], uint8_t port);
/* The route to an address; NULL: there is none. */
const struct nf_route6 *nf_l3_route6(const struct nf_l3 *l3, const uint8_t addr[16]);
/* What nf_l3_in and nf_l3_out do, of one frame whose ethertype is IPv6 and that is for this station. */
void nf_l3_in_ipv6(struct nf_l3 *l3, struct nf_packet *p, uint64_t now);
void nf_l3_out_ipv6(struct nf_l3 *l3, struct nf_packet *p, uint64_t now);

/* ---- l3_announce.c ---- */
/*
 * Another host claims own[`number`] of the family: it is announced again, at once, or a second
 * after it was last. RFC 5227 (2.4) has 10 seconds there, against two hosts that defend one address from each
 * other for ever; the hosts behind a chain would be without it for that long, and one frame a second is no
 * flood.
 */
void nf_l3_defend(struct nf_l3 *l3, bool ipv6, uint32_t number, uint64_t now);
/* Announces what is due. */
void nf_l3_defence_timers(struct nf_l3 *l3, uint64_t now);
/* Of a state that came from a peer: no time is later than its own could be. FT_EMALFORMED. */
int nf_l3_defence_check(const struct nf_l3 *l3, struct nf_check *c);

/* ---- l3_show.c ---- */
bool nf_l3_show(const struct nf *nf, struct nf_show *out, uint64_t *cursor);

/* ---- l3_errors.c ---- */
/*
 * An ICMP error about `p` to its sender, out of the port it came in on. `mtu` is said with
 * NF_ICMP_TOO_BIG, else 0. None is sent where RFC 1122 forbids it, to an own address, from a port without
 * one, or beyond that port's allowance in the lane, which errors of all kinds share: 100 a second, at most 50
 * at once.
 */
void nf_l3_send_error(struct nf_l3 *l3, const struct nf_packet *p, uint8_t type, uint8_t code, uint16_t mtu,
                      uint64_t now);
/* The same of IPv6, with a type and code of RFC 4443; `mtu` with NF_ICMPV6_TOO_BIG. */
void nf_l3_send_error6(struct nf_l3 *l3, const struct nf_packet *p, uint8_t type, uint8_t code, uint32_t mtu,
                       uint64_t now);
/* The burst's packets as they come in are kept for nf_l3_tell_unreachable, where one may be needed: what an
 * NF translates its sender would not know. */
void nf_l3_keep(struct nf_l3 *l3, struct nf_packet *const packets[], uint32_t n, uint64_t now);
/* An error about a packet of the burst, or one that was made, whose next hop is unreachable, as it came in.
 */
void nf_l3_tell_unreachable(struct nf_l3 *l3, const struct nf_packet *p, uint64_t now);
/*
 * Drops an IP packet that is larger than the MTU of the port it will leave by, as a router does (RFC 1191,
 * RFC 8201): its sender is told the MTU, if the packet must not be fragmented. The chain fragments nothing.
 * What an NF is about to translate, as its route leads nowhere else, can leave by any port of the other side.
 * False: it is not larger.
 */
bool nf_l3_drop_too_big(struct nf_l3 *l3, struct nf_packet *p, uint64_t now);
/*
 * A packet of which the port gave less than its IP header says: larger than the port's buffers, if the
 * header is right. `*whole` is then the packet as it was on the wire, with the bytes that are there. False:
 * malformed.
 */
bool nf_l3_is_cut_off(const struct nf_packet *p, struct nf_packet *whole);

#endif
