/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The chain's own addresses, routes and neighbour table. It is at both ends of the chain: takes in ARP
 * and what is addressed to the virtual MAC, sends out with the next hop's address. The neighbour table is
 * state: it lives in the lane's arena, and a takeover keeps it.
 */
#ifndef NFLIB_CHAIN_L3_H
#define NFLIB_CHAIN_L3_H

#include "nflib/nf.h"

#define NF_PORTS_MAX      8u
#define NF_ROUTES_MAX     64u
#define NF_NEXT_HOPS_MAX  64u
#define NF_NEIGHBOURS_MAX 4096u

struct nf_interface {
    char name[32];
    uint8_t side;   /* enum nf_side */
    uint8_t mac[6]; /* virtual, shared by both nodes */
    uint32_t addr;  /* network order, 0: none */
    uint32_t mask;
    uint32_t extra[8]; /* further own addresses (a NAT's outside address): ARP is answered for them too */
    uint8_t extras;
};

struct nf_route {
    uint32_t addr, mask, via; /* via 0: on link */
    uint8_t port;
};

struct nf_l3_config {
    uint16_t ports;
    struct nf_interface port[NF_PORTS_MAX];
    uint16_t routes;
    struct nf_route route[NF_ROUTES_MAX]; /* longest prefix wins; connected networks are implied */
    uint16_t next_hops;
    uint32_t next_hop[NF_NEXT_HOPS_MAX]; /* asked for at start and kept fresh */
};

/* The chain's "l3" counters; up to NF_L3_DROPS they are reasons of nf_drop. */
enum nf_l3_counter {
    NF_L3_ARP,          /* ARP: taken in here */
    NF_L3_VLAN,         /* tagged: there are no VLAN interfaces */
    NF_L3_OTHER_MAC,    /* addressed to another station */
    NF_L3_BROADCAST,    /* IPv4 to many, by MAC or by address */
    NF_L3_NOT_IPV4,     /* IPv6 and everything else that is not routed */
    NF_L3_MALFORMED,    /* the frame or its IPv4 header is broken */
    NF_L3_MARTIAN,      /* a source or destination that no router forwards */
    NF_L3_LOCAL,        /* for an own address and not an echo request */
    NF_L3_TTL,          /* ran out */
    NF_L3_NO_ROUTE,     /* */
    NF_L3_NO_NEIGHBOUR, /* the next hop's MAC is not known (yet) */
    NF_L3_DROPS,
    NF_L3_ARP_CONFLICT = NF_L3_DROPS, /* somebody else claims an own address */
    NF_L3_ARP_ASKED,
    NF_L3_ARP_ANSWERED,
    NF_L3_ECHO_ANSWERED,
    NF_L3_ICMP_SENT,
    NF_L3_ICMP_LIMITED, /* errors not sent: too many */
    NF_L3_NEIGHBOURS_FULL,
    NF_L3_COUNTERS
};

struct nf_l3;

uint64_t nf_l3_bytes(void);
/* Fills nf->module, counters and state as well: "l3" is looked at like an NF. `config` stays the caller's. */
int nf_l3_make(struct nf_l3 **out, struct nf *nf, const struct nf_l3_config *config, struct ft_fault *fault);
void nf_l3_free(struct nf_l3 *l3); /* NULL is fine */

/*
 * ARP is answered, learned from and dropped; what is not for us is dropped (counted). A packet from inside to
 * an address of the interface it came in on ends here, before a NAT could change its source: an echo request
 * is turned round in place (NF_P_LOCAL). A packet that is not for us and whose TTL runs out ends here too:
 * the ICMP time exceeded must quote it as its sender knows it.
 */
void nf_l3_in(struct nf_l3 *l3, struct nf_packet *const packets[], uint32_t n, uint64_t now);
/*
 * Route, TTL, MAC addresses, out_port; ICMP net unreachable when there is no route. A packet whose next hop
 * is unknown is dropped and counted, and the hop asked for, at most once a second each. What still is
 * addressed to an own address after the chain is local: echo requests are turned round, all else dropped.
 * Packets made by NFs keep their TTL; ARP frames among them leave as they are.
 */
void nf_l3_out(struct nf_l3 *l3, struct nf_packet *const packets[], uint32_t n, uint64_t now);
void nf_l3_timers(struct nf_l3 *l3, uint64_t now);

/* Gratuitous ARP (a request for itself, broadcast) for address number `index` of all own addresses: frame
 * into out[42]. False: no such index. Not state: used at promotion. */
bool nf_l3_announce(const struct nf_l3_config *config, unsigned index, uint8_t out[42], uint8_t *port);
/* First a row with the counters, then one per neighbour. */
bool nf_l3_show(const struct nf_l3 *l3, struct nf_show *out, uint64_t *cursor);

#endif
