/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the chain's L3 share: its tables (l3.c), and the ICMP errors that it sends
 * (l3_errors.c). */
#ifndef NFLIB_CHAIN_L3_PARTS_H
#define NFLIB_CHAIN_L3_PARTS_H

#include "nflib/chain/l3.h"
#include "nflib/chain/neighbour.h"

#define NF_L3_ANY_PORT   0xffu
#define NF_L3_ROUTES_ALL (NF_ROUTES_MAX + NF_PORTS_MAX)
#define NF_L3_OWN_MAX    (NF_PORTS_MAX * 9u)

struct nf_l3_own {
    uint32_t addr;
    uint8_t port;
};

struct nf_l3 {
    struct nf *nf;
    const struct nf_l3_config *config;
    const uint64_t *errors_paid; /* chain time up to which the sent errors are paid for */
    struct nf_neighbours neighbours;
    struct nf_l3_own own[NF_L3_OWN_MAX];
    struct nf_route route[NF_L3_ROUTES_ALL]; /* longest prefix first */
    uint32_t owns, routes;
    uint16_t mtu_beyond[NF_PORTS_MAX]; /* by the port a packet came in on: the least MTU of the others */
};

/* `port`: of the chain, or NF_L3_ANY_PORT. */
bool nf_l3_is_own(const struct nf_l3 *l3, uint32_t addr, uint8_t port);

/*
 * An ICMP error about `p` to its sender, out of the port it came in on. `mtu` is said with
 * NF_ICMP_TOO_BIG, else 0. None is sent where RFC 1122 forbids it, to an own address, from a port without
 * one, or beyond the lane's allowance, which errors of all kinds share: 100 a second, at most 50 at once.
 */
void nf_l3_send_error(struct nf_l3 *l3, const struct nf_packet *p, uint8_t type, uint8_t code, uint16_t mtu,
                      uint64_t now);
/*
 * Drops an IPv4 packet that is larger than the least MTU of the ports it can leave by, as a router does (RFC
 * 1191): its sender is told the MTU, if it said that the packet must not be fragmented. The chain fragments
 * nothing. False: it is not larger.
 */
bool nf_l3_drop_too_big(struct nf_l3 *l3, struct nf_packet *p, uint64_t now);
/*
 * A packet of which the port gave less than its IPv4 header says: larger than the port's buffers, if the
 * header is right. `*whole` is then the packet as it was on the wire, with the bytes that are there. False:
 * malformed.
 */
bool nf_l3_is_cut_off(const struct nf_packet *p, struct nf_packet *whole);

#endif
