/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The chain's own addresses, routes and neighbour tables, of IPv4 and, on links that have addresses of it, of
 * IPv6. It is at both ends of the chain: takes in ARP, neighbour discovery and what is addressed to the
 * virtual MAC, sends out with the next hop's address. The neighbour tables are state: they live in the lane's
 * arena, and a takeover keeps them.
 */
#ifndef NFLIB_CHAIN_L3_H
#define NFLIB_CHAIN_L3_H

#include "nflib/net/addr.h"
#include "nflib/net/lpm.h"
#include "nflib/net/vlan.h"
#include "nflib/nf.h"

#define NF_PORTS_MAX      8u
#define NF_ROUTES_MAX     64u
#define NF_NEXT_HOPS_MAX  64u
#define NF_FIXED_MAX      64u
#define NF_EXTRAS_MAX     8u
#define NF_NEIGHBOURS_MAX 4096u

struct nf_interface {
    char name[32];
    char port[32];       /* of the nodes, by its name; several interfaces may share one */
    uint8_t device;      /* that port's number, from 0 on */
    struct nf_vlan vlan; /* of the frames that are this interface's on a port */
    bool pcp_of_dscp;    /* the priority of the outer tag is made of the packet's DSCP; else it is 0 */
    uint8_t side;        /* enum nf_side */
    uint8_t mac[6];      /* virtual, shared by both nodes */
    uint16_t mtu;        /* bytes of an IP packet that may leave here */
    struct nf_net net[NF_FAMILIES]; /* its address, and the link's network; bits 0: the link has no such */
    struct nf_addr local; /* of IPv6, made of the MAC (RFC 4291, appendix A), so both nodes have the same */
    /* Further own addresses (a NAT's outside address), which are answered for too. */
    struct nf_addr extra[NF_FAMILIES][NF_EXTRAS_MAX];
    uint8_t extras[NF_FAMILIES];
};

struct nf_route {
    struct nf_net to;
    struct nf_addr via; /* a link-local address is of the port's link */
    uint8_t port;
};

struct nf_hop {
    struct nf_addr addr;
    uint8_t port;
};

/* A neighbour whose MAC the file sets. */
struct nf_fixed {
    struct nf_addr addr;
    uint8_t mac[6], port;
};

/* What a table of networks finds for an address: the interface on whose link it is, one of the routes, or one
 * of the next hops. */
enum nf_routed_by {
    NF_ROUTED_LINK = 1,
    NF_ROUTED_ROUTE = NF_ROUTED_LINK + NF_PORTS_MAX,
    NF_ROUTED_HOP = NF_ROUTED_ROUTE + NF_ROUTES_MAX,
    NF_ROUTED_ALL = NF_ROUTED_HOP + NF_ROUTES_MAX,
};

/* Routes of a file, and with them all others of a family of which it has some. */
struct nf_routed {
    const char *path;
    uint64_t hash; /* of their content */
    uint32_t count[NF_FAMILIES], hops[NF_FAMILIES];
    struct nf_hop hop[NF_FAMILIES][NF_ROUTES_MAX];
    struct nf_lpm *table[NF_FAMILIES]; /* NULL: the file has none of the family */
};

struct nf_l3_config {
    uint16_t ports; /* interfaces */
    struct nf_interface port[NF_PORTS_MAX];
    uint16_t routes[NF_FAMILIES]; /* longest prefix wins; connected networks are implied */
    struct nf_route route[NF_FAMILIES][NF_ROUTES_MAX];
    uint16_t next_hops[NF_FAMILIES]; /* asked for at start and kept fresh */
    struct nf_hop next_hop[NF_FAMILIES][NF_NEXT_HOPS_MAX];
    uint16_t fixed_count;
    struct nf_fixed fixed[NF_FIXED_MAX];
    struct nf_routed *routed; /* NULL: no file has routes */
};

/* The chain's "l3" counters, with their names. */
#define NF_L3_COUNTER_LIST(X)                                                                                \
    X(NF_L3_ARP, "l3_arp")             /* dropped, as all up to NF_L3_NO_NEIGHBOUR; ARP: taken in here */    \
    X(NF_L3_VLAN, "l3_vlan")           /* tagged, on a port without VLAN interfaces; or a third tag */       \
    X(NF_L3_OTHER_MAC, "l3_other_mac") /* addressed to another station */                                    \
    X(NF_L3_BROADCAST, "l3_broadcast") /* IP to many, by MAC or by address */                                \
    X(NF_L3_PROTOCOL, "l3_protocol")   /* neither IP, as far as the chain has addresses of it, nor ARP */    \
    X(NF_L3_MALFORMED, "l3_malformed") /* the frame or its IP header is broken */                            \
    X(NF_L3_MARTIAN, "l3_martian")     /* a source or destination that no router forwards */                 \
    X(NF_L3_LOCAL, "l3_local")         /* for an own address and not an echo request */                      \
    X(NF_L3_TTL, "l3_ttl")             /* ran out */                                                         \
    X(NF_L3_TOO_BIG, "l3_too_big")     /* larger than the MTU of the port it leaves by */                    \
    X(NF_L3_NO_ROUTE, "l3_no_route")                                                                         \
    X(NF_L3_NO_NEIGHBOUR, "l3_no_neighbour") /* the next hop's MAC is not known (yet) */                     \
    X(NF_L3_ARP_CONFLICT, "l3_arp_conflict") /* another host has an own address */                           \
    X(NF_L3_ARP_ASKED, "l3_arp_asked")                                                                       \
    X(NF_L3_ARP_ANSWERED, "l3_arp_answered")                                                                 \
    X(NF_L3_ECHO_ANSWERED, "l3_echo_answered")                                                               \
    X(NF_L3_ICMP_SENT, "l3_icmp_sent")                                                                       \
    X(NF_L3_ICMP_LIMITED, "l3_icmp_limited") /* errors not sent: too many */                                 \
    X(NF_L3_NEIGHBOURS_FULL, "l3_neighbours_full")                                                           \
    X(NF_L3_ND, "l3_nd")                   /* dropped: neighbour discovery of IPv6, taken in here */         \
    X(NF_L3_ND_CONFLICT, "l3_nd_conflict") /* another host has an own address */                             \
    X(NF_L3_ND_ASKED, "l3_nd_asked")                                                                         \
    X(NF_L3_ND_ANSWERED, "l3_nd_answered")                                                                   \
    X(NF_L3_CONTESTED, "l3_neighbour_contested") /* another MAC was claimed: the known one is asked */       \
    X(NF_L3_MOVED, "l3_neighbour_moved")         /* it did not answer: the other MAC is its now */           \
    X(NF_L3_DEFENDED, "l3_defended")             /* announcements of an own address, against a conflict */
enum nf_l3_counter { NF_L3_COUNTER_LIST(NF_COUNTER) NF_L3_COUNTERS };

/* The port of the nodes carries VLAN tags: its frames are of the interface that has theirs. */
bool nf_l3_is_trunk(const struct nf_l3_config *config, unsigned device);
/* The MTU that a kernel's interface has to have, which is that port, so that it takes the largest frames of
 * all on it: a kernel counts the first tag of 802.1Q as part of the Ethernet header, others it does not. */
unsigned nf_l3_device_mtu(const struct nf_l3_config *config, unsigned device);
/* The interface of a frame that came in by such a port, and the bytes of its tags. NF_PORTS_MAX: none has
 * them. */
unsigned nf_l3_interface_of(const struct nf_l3_config *config, unsigned device, const uint8_t *frame,
                            uint32_t len, uint32_t *bytes);

struct nf_l3;

/* A frame in which another host claimed an address. */
struct nf_claim {
    uint64_t at; /* chain time; 0: there was none */
    struct nf_addr addr;
    uint8_t mac[6], port, unused;
};
enum nf_claimed {
    NF_L3_OWN_CLAIMED,       /* an address of the chain: NF_L3_ARP_CONFLICT, NF_L3_ND_CONFLICT */
    NF_L3_NEIGHBOUR_CLAIMED, /* a known neighbour's: NF_L3_CONTESTED */
    NF_L3_CLAIMED_KINDS
};
/* The last one that the lane has seen. `nf`: its "l3". Any thread, while the region is there. False: the lane
 * is writing it. */
bool nf_l3_claim(const struct nf *nf, enum nf_claimed which, struct nf_claim *out);

uint64_t nf_l3_bytes(const struct nf_l3_config *config);
/* Fills nf->module, counters and state as well: "l3" is looked at like an NF, and has timers like one.
 * `config` stays the caller's, `*out` is freed by free. `grows`: an NF makes packets of IPv6 of those of IPv4
 * that come in from outside to an own address, so the MTU reported to senders leaves room for the longer
 * header. */
int nf_l3_make(struct nf_l3 **out, struct nf *nf, const struct nf_l3_config *config, bool grows,
               struct ft_fault *fault);

/*
 * A chain takes the place of another one. out: by the number of each interface of `from`, which number it has
 * in `to`: it is the same one if it is on the same port, with the same tags, on the same side of the chain.
 * NF_PORTS_MAX: it is gone. True: some number is another one than before.
 */
bool nf_l3_match(const struct nf_l3_config *from, const struct nf_l3_config *to, uint8_t out[NF_PORTS_MAX]);
/* The state of `from`, the chain's before, whose memory is at `moved` bytes from where its pointers lead, in
 * `to`, which has just been made: counters, neighbours, and how many errors were sent. */
void nf_l3_carry(struct nf_l3 *to, const struct nf_l3 *from, int64_t moved);

/*
 * ARP is answered, learned from and dropped; what is not for us is dropped (counted). A packet from inside to
 * an address of the interface it came in on passes no NF (NF_P_LOCAL), so that no NAT changes its source:
 * nf_l3_out turns an echo request round in place. No frame is changed here. A packet that is not for us and
 * whose TTL runs out ends here too: the ICMP time exceeded must quote it as its sender knows it. For the same
 * reason one that is larger than the MTU of the port it will leave by does, with ICMP fragmentation needed
 * (RFC 1191); also one of which the port gave but the beginning. IPv6 the
 * same, with packet too big (RFC 8201).
 */
void nf_l3_in(struct nf_l3 *l3, struct nf_packet *const packets[], uint32_t n, uint64_t now);
/*
 * Route, TTL, MAC addresses, out_port; ICMP net unreachable when there is no route. It and others are about
 * the packet as it came in, but for the first after a while without any. A packet whose next hop
 * is unknown is dropped and counted, and the hop asked for, at most once a second each; once it has not
 * answered for 3 s, the packet's sender gets an ICMP error (host, or address unreachable). What still is
 * addressed to an own address after the chain is local: echo requests are turned round, all else dropped.
 * Packets made by NFs keep their TTL; ARP frames among them leave as they are.
 */
void nf_l3_out(struct nf_l3 *l3, struct nf_packet *const packets[], uint32_t n, uint64_t now);

/* The side on which answers to the packet will come in: of its route's interface; without a route, the other
 * one.
 */
uint8_t nf_l3_side(const struct nf_l3 *l3, const struct nf_packet *p);

/* That the chain's MAC has address number `index` of all own ones, for all on its link: gratuitous ARP (a
 * request for itself, broadcast), or an unsolicited neighbour advertisement. The frame's length; 0: no such
 * index. No state: used at promotion. */
#define NF_ANNOUNCEMENT_MAX 86u
uint32_t nf_l3_announce(const struct nf_l3_config *config, unsigned index, uint8_t out[NF_ANNOUNCEMENT_MAX],
                        uint8_t *port);

#endif
