/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Neighbours of the chain's L3: MAC addresses by IP address. State in the lane's arena. There is a table for
 * IPv4, whose neighbours are found by ARP, and one for IPv6, by neighbour discovery.
 * Entries are asked for at most once a second; known ones are asked again 20 s after they were last confirmed
 * or asked, if they are next hops or in use, and forgotten 180 s after they were last confirmed. A neighbour
 * that has not answered 3 s after the first request is unreachable for as long as it stays in the table (RFC
 * 4861, 7.3.3). Such an entry is removed 3 s after the last request, and packets that want its address ask
 * again; one of a next hop stays.
 * In a full table an entry gives way to a new one: the oldest of those to which no packet was ever forwarded,
 * or, once packets were forwarded to three quarters of the table, the one to which none was for longest. What
 * the chain and its NFs send by themselves does not count. So a host that asks or pings the chain from
 * made-up addresses, or sends to all addresses of a link, keeps no host out (RFC 6583). For addresses that
 * packets want, 4,096 entries a second give way, 1,024 at once: each costs the link a request. Next hops
 * stay. When another MAC is claimed for a known neighbour, the neighbour is first asked at its known MAC: the
 * claimed MAC replaces that one once none of three requests, 0.2 s apart, was answered. It does so 0.6 s
 * after the claim, or up to a second later where the neighbour was asked like this within the last second.
 * A neighbour that the file names is never asked, changed or forgotten.
 */
#ifndef NFLIB_CHAIN_NEIGHBOUR_H
#define NFLIB_CHAIN_NEIGHBOUR_H

#include "nflib/module/env.h"
#include "nflib/chain/l3.h"

enum nf_neighbour_flags {
    NF_NEIGHBOUR_KNOWN = 1,
    NF_NEIGHBOUR_HOP = 2, /* a configured next hop: never removed, kept fresh */
    NF_NEIGHBOUR_ASKED = 4,
    NF_NEIGHBOUR_CONTESTED = 8, /* known, and another MAC was claimed: `rival`, newest first */
    NF_NEIGHBOUR_FIXED = 16,    /* known, by the file */
    NF_NEIGHBOUR_USED = 32,     /* packets were forwarded there: it is in that list */
};

struct nf_neighbour {
    uint64_t confirmed, asked; /* chain time: of the last answer, of the last request */
    /* Two things, as chain time. Of an entry that is known: when a packet last went there, to some 5 s. Of
     * one that is not known: when it was first asked for, from which on it has 3 s to answer; 0: not yet. */
    uint64_t used;
    uint8_t mac[6];
    uint8_t port;
    uint8_t flags;
    uint64_t probed; /* chain time of the last request to the MAC that it is known by; 0: none yet */
    uint8_t rival[6];
    uint8_t probes; /* of the contest, sent */
    uint8_t unused;
};

/* Who gives way, in the lane's arena: entries that are neither next hops nor the file's, each in one list. */
struct nf_neighbour_order {
    uint64_t wants_paid; /* chain time up to which those that gave way to wanted addresses are paid for */
    struct nf_list unused, used; /* by when they came; by when a packet was last sent there, to some 5 s */
    uint32_t used_count;
};

/* A note of a struct nf_claim, in the region. */
struct nf_claim_words {
    uint64_t word[NF_NOTE_WORDS(struct nf_claim)];
};
_Static_assert(sizeof(struct nf_claim) == 32, "whole words");

struct nf_neighbours {
    const struct nf *nf;
    const struct nf_l3_config *config;
    struct nf_map *map;     /* address → struct nf_neighbour */
    struct nf_lists *lists; /* the map's slots, in the lists of `order` */
    const struct nf_neighbour_order *order;
    bool ipv6;
    const struct nf_claim_words *claimed; /* in the region: the last other MAC that was claimed */
    const uint64_t *failing; /* in the region: something is unreachable, perhaps, until that chain time */
};

uint64_t nf_neighbours_bytes(bool ipv6);
int nf_neighbours_make(struct nf_neighbours *table, struct nf *nf, const struct nf_l3_config *config,
                       bool ipv6);
/* A next hop to be kept fresh. While the chain is made, whose configuration has as many as there is room for.
 */
void nf_neighbours_add_hop(struct nf_neighbours *table, const struct nf_addr *addr, uint8_t port);

/* One that the file names; the same. */
void nf_neighbours_add_fixed(struct nf_neighbours *table, const struct nf_addr *addr, uint8_t port,
                             const uint8_t mac[6]);

/* The address of an entry, as it was given. */
struct nf_addr nf_neighbours_addr(const struct nf_neighbours *table, uint32_t slot);
/* Known on `port` now, or NULL. */
const struct nf_neighbour *nf_neighbours_find(const struct nf_neighbours *table, const struct nf_addr *addr,
                                              uint8_t port);
/* A packet is sent there, to the entry of `addr`, which is kept from growing old; where the packet was
 * forwarded, also from giving way. */
void nf_neighbours_use(const struct nf_neighbours *table, const struct nf_addr *addr,
                       const struct nf_neighbour *entry, uint64_t now, bool forwarded);
/* Asks for an address that was not found, unless it was asked for within the last second. */
void nf_neighbours_want(struct nf_neighbours *table, const struct nf_addr *addr, uint8_t port, uint64_t now);
/* It has been asked for, and has not answered: what is for it cannot be delivered. */
bool nf_neighbours_is_unreachable(const struct nf_neighbours *table, const struct nf_addr *addr, uint8_t port,
                                  uint64_t now);
/* For a while ICMP errors are to quote packets as they came in: the chain keeps those. */
void nf_neighbours_keep_packets(const struct nf_neighbours *table, uint64_t now);
bool nf_neighbours_is_hop(const struct nf_neighbours *table, const struct nf_addr *addr, uint8_t port);
/* A station announced, to the chain or as a next hop, that it has `addr`. `add`: also when nobody asked for
 * it. */
void nf_neighbours_learn(struct nf_neighbours *table, const struct nf_addr *addr, uint8_t port,
                         const uint8_t mac[6], bool add, uint64_t now);
void nf_neighbours_timers(struct nf_neighbours *table, uint64_t now);
/* For module->check_state: each entry is of one of the chain's ports, and those that the file names are as
 * the file sets them. */
int nf_neighbours_check(const struct nf_neighbours *table, struct nf_check *c);

/*
 * A chain takes the place of another one: what was known of addresses that are on the link of an interface as
 * before, `port` being [old interface] → the new one's number, NF_PORTS_MAX: it is gone. `from` is another
 * chain's, whose pointers can be followed. What the file names, now or before, is as the file sets it now.
 */
void nf_neighbours_carry(struct nf_neighbours *to, const struct nf_neighbours *from,
                         const uint8_t port[NF_PORTS_MAX]);

void nf_claim_note(const struct nf *nf, const struct nf_claim_words *words, const struct nf_addr *addr,
                   const uint8_t mac[6], uint8_t port, uint64_t now);

#define NF_ARP_LEN 42u
/* An Ethernet frame with an ARP message (operation 1: request, 2: reply). */
void nf_arp_frame(uint8_t out[NF_ARP_LEN], uint16_t operation, const uint8_t to[6], const uint8_t mac[6],
                  uint32_t addr, const uint8_t target_mac[6], uint32_t target);

#endif
