/* SPDX-License-Identifier: Apache-2.0 */
/* ICMP messages of the chain's own: errors about a packet, and echo replies made from the request in place.
 */
#ifndef NFLIB_NET_ICMP_H
#define NFLIB_NET_ICMP_H

#include "nflib/net/packet.h"

#define NF_ICMP_UNREACHABLE      3u
#define NF_ICMP_HOST_UNREACHABLE 1u  /* codes of it */
#define NF_ICMP_PROHIBITED       13u /* for administrative reasons */
#define NF_ICMP_TOO_BIG          4u  /* code of unreachable: fragmentation needed, and not permitted */
#define NF_ICMP_TIME_EXCEEDED    11u

#define NF_ICMP_ERROR_MAX (14u + 20 + 8 + 60 + 8)

/* May an error about this packet be sent at all (RFC 1122, 3.2.2): not about errors, later fragments, or a
 * source that is no station. */
bool nf_icmp_may_complain(const struct nf_packet *p);
/* An error about `p` from `saddr` to its source, MAC addresses left zero. `mtu`: the next hop's with
 * NF_ICMP_TOO_BIG, else 0. Returns the frame's length. */
uint32_t nf_icmp_error(const struct nf_packet *p, uint8_t type, uint8_t code, uint16_t mtu, uint32_t saddr,
                       uint8_t out[NF_ICMP_ERROR_MAX]);
/* Makes an echo request its own reply; the payload need not be there. False: it is none. */
bool nf_icmp_turn_round(struct nf_packet *p);

#endif
