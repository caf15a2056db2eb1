/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the rule of which packets may be answered at all: by NFs, from the packet's destination to its source.
 */
#include "nflib/net/icmp.h"
#include "nflib/net/icmpv6.h"

#include <string.h>

#define MANY 1u /* of the first byte of a MAC address: a group's */

bool nf_packet_may_answer(const struct nf_packet *p)
{
    const uint8_t *ends = nf_packet_ipv6_addresses(p);

    if (!(p->flags & (NF_P_IPV4 | NF_P_IPV6_READ)) || (p->data[0] | p->data[6]) & MANY)
        return false;
    if (p->flags & NF_P_IPV6_READ)
        return nf_icmpv6_may_complain(p) && !nf_ipv6_many(ends + 16) && !nf_ipv6_martian(ends + 16) &&
               memcmp(ends, ends + 16, 16) != 0;
    return nf_icmp_may_complain(p) && !nf_addr_many(p->daddr) && !nf_addr_martian(p->daddr) &&
           p->saddr != p->daddr;
}
