/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a chain does for an NF that changes the family of packets (NF_FAMILY): those of IPv4 from outside,
 * which may grow, get headroom, and UDP's checksum, which IPv6 does not do without. Owns the frames that have
 * headroom, in memory of the process, of one burst.
 */
#include "nflib/chain/parts.h"

#include "nflib/net/bytes.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#define STRIDE (NF_HEADROOM + NF_FRAME_MAX)

bool nf_chain_make_headroom(struct nf_chain *chain)
{
    bool changes = false;

    for (uint32_t i = 0; i < chain->config->count; i++)
        changes |= (chain->config->nfs[i].module->translates & NF_FAMILY) != 0;
    if (!changes)
        return true;
    chain->headroom = aligned_alloc(64, (size_t)NF_BURST_MAX * STRIDE); /* lint: config-time */
    return chain->headroom;
}

bool nf_chain_moves_frames(const struct nf_chain *chain)
{
    return chain->headroom;
}

/* Of UDP in IPv4 with all of its bytes there. */
static uint16_t sum_udp(const struct nf_packet *p)
{
    const uint8_t *udp = p->data + p->l4;
    uint16_t sum = nf_ipv4_checksum(p->data + p->l3 + 12, NF_PROTO_UDP, udp, ntohs(nf_get16(udp + 4)));

    return sum ? sum : 0xffff;
}

/* The payload is no part of a record of headers: what is made of it is one. */
static void complete_sum(const struct nf_chain *chain, const struct nf_packet *p)
{
    uint8_t *at = p->data + p->l4 + 6;
    uint16_t sum;

    if ((p->flags & (NF_P_L4 | NF_P_FRAGMENT)) != NF_P_L4 || p->proto != NF_PROTO_UDP || nf_get16(at))
        return;
    sum = p->have == p->len ? sum_udp(p) : 0;
    nf_determinant(&chain->nfs[0], &sum, sizeof(sum));
    nf_put16(at, sum);
}

void nf_chain_give_headroom(struct nf_chain *chain, struct nf_packet *packets, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        struct nf_packet *p = &packets[i];
        uint8_t *to = chain->headroom + (size_t)i * STRIDE + NF_HEADROOM;

        if (p->side != NF_OUTSIDE || !(p->flags & NF_P_IPV4))
            continue;
        memcpy(to, p->data, p->have);
        p->data = to;
        complete_sum(chain, p);
    }
}
