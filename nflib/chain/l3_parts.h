/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the chain's L3 share: its tables, packets and ARP (l3.c), neighbour discovery (l3_nd.c),
 * what it says of its own addresses (l3_announce.c), and the ICMP errors that it sends (l3_errors.c). */
#ifndef NFLIB_CHAIN_L3_PARTS_H
#define NFLIB_CHAIN_L3_PARTS_H

#include "nflib/chain/l3.h"
#include "nflib/chain/neighbour.h"
#include "nflib/net/icmp.h"

#define NF_L3_ANY_PORT   0xffu
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
    uint16_t growth;       /* bytes; see nf_l3_expect_growth */
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

/* Both ends of an IP packet. */
struct nf_l3_ends {
    struct nf_addr from, to;
};
static inline struct nf_l3_ends nf_l3_ends(const struct nf_packet *p, bool ipv6)
{
    return (struct nf_l3_ends){nf_packet_from(p, ipv6), nf_packet_to(p, ipv6)};
}

/* Of two addresses of the family. */
static inline bool nf_l3_same(const struct nf_addr *a, const struct nf_addr *b, bool ipv6)
{
    return ipv6 ? nf_addr_same(a, b) : a->word[3] == b->word[3];
}
/* The route to an address of the family; NULL: there is none. */
static inline const struct nf_l3_route *nf_l3_route(const struct nf_l3 *l3, const struct nf_addr *addr,
                                                    bool ipv6)
{
    const struct nf_l3_family *f = &l3->family[ipv6];

    for (const struct nf_l3_route *r = f->route; r < f->route + f->routes; r++)
        if (ipv6 ? (((addr->half[0] ^ r->addr.half[0]) & r->mask.half[0]) |
                    ((addr->half[1] ^ r->addr.half[1]) & r->mask.half[1])) == 0
                 : ((addr->word[3] ^ r->addr.word[3]) & r->mask.word[3]) == 0)
            return r;
    return NULL;
}
/* `port`: of the chain, or NF_L3_ANY_PORT. */
static inline bool nf_l3_is_own(const struct nf_l3 *l3, const struct nf_addr *addr, bool ipv6, uint8_t port)
{
    const struct nf_l3_family *f = &l3->family[ipv6];

    for (const struct nf_l3_own *own = f->own; own < f->own + f->owns; own++)
        if (nf_l3_same(&own->addr, addr, ipv6) && (port == NF_L3_ANY_PORT || own->port == port))
            return true;
    return false;
}
/* In the network of the port's link. */
static inline bool nf_l3_on_link(const struct nf_interface *port, const struct nf_addr *addr, bool ipv6)
{
    return (ipv6 && nf_ipv6_link_local(addr->byte)) ||
           (port->net[ipv6].bits && nf_net_has(&port->net[ipv6], addr));
}

/* ---- l3_nd.c ---- */
/* A frame that nf_nd_read has read: as ARP. */
void nf_l3_receive_nd(struct nf_l3 *l3, struct nf_packet *p, struct nf_nd *nd, uint64_t now);
/* Made by L3 itself, for a link: it has its addresses, and leaves as it is. */
bool nf_l3_is_own_nd(const struct nf_packet *p);

/* ---- l3_announce.c ---- */
/*
 * Another host has said on `port` that it has `addr`, which is the chain's. Where the chain has it on that
 * link, it is announced again, at once, or a second after it was last. RFC 5227 (2.4) has 10 seconds there,
 * against two hosts that defend one address from each other for ever; the hosts behind a chain would be
 * without it for that long, and one frame a second is no flood. The MAC of any interface of the chain is no
 * other host's: two of them may be on one link.
 */
void nf_l3_hear_conflict(struct nf_l3 *l3, const struct nf_addr *addr, uint8_t port, const uint8_t mac[6],
                         uint64_t now);
/* Announces what is due. */
void nf_l3_defence_timers(struct nf_l3 *l3, uint64_t now);
/* Of a state that came from a peer: no time is later than its own could be. FT_EMALFORMED. */
int nf_l3_defence_check(const struct nf_l3 *l3, struct nf_check *c);

/* ---- l3_errors.c ---- */
/*
 * An ICMP error about `p` to its sender, with a type and code of its family, out of the port it came in on.
 * `mtu` is said where the packet is too big, else 0. None is sent where RFC 1122 or RFC 4443 forbids it, to
 * an own address, from a port without one, or beyond that port's allowance in the lane, which errors of all
 * kinds share: 100 a second, at most 50 at once.
 */
void nf_l3_send_error(struct nf_l3 *l3, const struct nf_packet *p, uint8_t type, uint8_t code, uint16_t mtu,
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
