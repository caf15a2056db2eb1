/* SPDX-License-Identifier: Apache-2.0 */
/* What portscan believes of a packet: that its flags are what the other end sees. Owns nothing. */
#include "nfs/portscan_parts.h"
#include "nflib/net/bytes.h"
#include "nflib/net/ipv6.h"

#include <arpa/inet.h>

/*
 * The flags of TCP are not to be seen, or a fragment may change them behind their first reader: a header in
 * pieces, or that another fragment lies over (RFC 1858, RFC 3128); one behind headers that are not read.
 */
bool ps_hides_flags(const struct nf_packet *p)
{
    const uint8_t *ip = p->data + p->l3;

    if (p->flags & NF_P_IPV6 && nf_ipv6_is_extension(p->proto))
        return true;
    if (p->proto != NF_PROTO_TCP || !(p->flags & NF_P_FRAGMENT))
        return false;
    if (!(p->flags & NF_P_LATER))
        return !(p->flags & NF_P_L4);
    return p->flags & NF_P_IPV4 ? (ntohs(nf_get16(ip + 6)) & 0x1fff) == 1
                                : ntohs(nf_get16(p->data + p->l4 - 6)) >> 3 == 1;
}

/* As far as headers say: a checksum covers all of a datagram. */
bool ps_is_right(const struct nf *nf, const struct nf_packet *p)
{
    bool whole = !(p->flags & NF_P_FRAGMENT) && p->payload == p->l4 + p->l4_len;

    if (!whole || nf_packet_checksum_right(p))
        return true;
    nf_count(nf, PS_CHECKSUM, 1);
    return false;
}
