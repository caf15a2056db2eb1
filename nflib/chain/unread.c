/* SPDX-License-Identifier: Apache-2.0 */
/* Hides what NFs say they do not read; see unread.h. No state. */
#include "nflib/chain/unread.h"

#include <string.h>

#define TTL  64u  /* that every packet has meanwhile */
#define FILL 0xa7 /* of TCP's fields */
#define NOOP 1    /* of TCP's options */
#define TCP  20u  /* bytes without options */

static void put_ttl(uint8_t *ip, uint8_t ttl)
{
    uint8_t word[2] = {ttl, ip[9]};

    nf_put16_summed(ip + 8, nf_get16(word), ip + 10);
}

static void hide_tcp(const struct nf_packet *p, struct nf_unread *kept)
{
    uint8_t *tcp = p->data + p->l4;

    memcpy(kept->tcp, tcp + 4, sizeof(kept->tcp));
    memcpy(kept->urgent, tcp + 18, sizeof(kept->urgent));
    kept->options = (uint16_t)(p->payload - p->l4 - TCP);
    memcpy(kept->option, tcp + TCP, kept->options);
    memset(tcp + 4, FILL, 8);
    memset(tcp + 14, FILL, 2);
    memset(tcp + 18, FILL, 2);
    memset(tcp + TCP, NOOP, kept->options);
}

void nf_unread_hide(struct nf_packet *p, struct nf_unread *kept)
{
    uint8_t *ip;

    nf_packet_parse(p);
    p->parsed = 0;
    kept->hidden = p->flags == (NF_P_IPV4 | NF_P_L4) && nf_proto_is_ported(p->proto) &&
                   p->payload <= p->have && p->data[p->l3 + 8] > 1;
    if (!kept->hidden)
        return;
    ip = p->data + p->l3;
    kept->ttl = ip[8];
    kept->id = nf_get16(ip + 4);
    put_ttl(ip, TTL);
    nf_put16_summed(ip + 4, (uint16_t)~kept->id, ip + 10);
    if (p->proto == NF_PROTO_TCP)
        hide_tcp(p, kept);
}

void nf_unread_show(struct nf_packet *p, const struct nf_unread *kept)
{
    uint8_t *ip = p->data + p->l3, *tcp = p->data + p->l4;

    if (!kept->hidden)
        return;
    put_ttl(ip, (uint8_t)(kept->ttl - (TTL - ip[8]))); /* L3 has taken one */
    nf_put16_summed(ip + 4, kept->id, ip + 10);
    if (p->proto != NF_PROTO_TCP)
        return;
    memcpy(tcp + 4, kept->tcp, 8);
    memcpy(tcp + 14, kept->tcp + 10, 2);
    memcpy(tcp + 18, kept->urgent, sizeof(kept->urgent));
    memcpy(tcp + TCP, kept->option, kept->options);
}
