/* SPDX-License-Identifier: Apache-2.0 */
/* Hides what NFs say they do not read; see unread.h. No state. */
#include "nflib/chain/unread.h"

#include <stdio.h>
#include <string.h>

#define FILL 0xa7 /* of TCP's fields */
#define NOOP 1    /* of TCP's options */
#define TCP  20u  /* bytes without options */

/* TCP's fields but its options: where they are in its header. */
static const struct {
    uint8_t at, bytes;
} tcp_field[NF_UNREAD_COUNT] = {[NF_UNREAD_SEQ] = {4, 4},
                                [NF_UNREAD_ACK] = {8, 4},
                                [NF_UNREAD_WINDOW] = {14, 2},
                                [NF_UNREAD_URGENT] = {18, 2}};

static bool hides(const struct nf_unread *kept, enum nf_unread_field field)
{
    return kept->hidden >> field & 1;
}

/* Which packets have meanwhile: another one than they had. */
static uint8_t hidden_ttl(const struct nf_unread *kept)
{
    return kept->ttl == 64 ? 63 : 64;
}

static void put_ttl(uint8_t *ip, uint8_t ttl)
{
    uint8_t word[2] = {ttl, ip[9]};

    nf_put16_summed(ip + 8, nf_get16(word), ip + 10);
}

static void hide_tcp(const struct nf_packet *p, struct nf_unread *kept)
{
    uint8_t *tcp = p->data + p->l4;

    memcpy(kept->tcp, tcp, sizeof(kept->tcp));
    kept->options = (uint16_t)(p->payload - p->l4 - TCP);
    memcpy(kept->option, tcp + TCP, kept->options);
    for (unsigned f = 0; f < NF_UNREAD_COUNT; f++)
        if (hides(kept, f))
            memset(tcp + tcp_field[f].at, FILL, tcp_field[f].bytes);
    if (hides(kept, NF_UNREAD_OPTIONS))
        memset(tcp + TCP, NOOP, kept->options);
}

void nf_unread_hide(struct nf_packet *p, uint32_t fields, struct nf_unread *kept)
{
    uint8_t *ip;

    nf_packet_parse(p);
    p->parsed = 0;
    kept->hidden = 0;
    if (p->flags != (NF_P_IPV4 | NF_P_L4) || !nf_proto_is_ported(p->proto) || p->payload > p->have ||
        p->data[p->l3 + 8] <= 1)
        return;
    kept->hidden = fields;
    ip = p->data + p->l3;
    kept->ttl = ip[8];
    kept->id = nf_get16(ip + 4);
    if (hides(kept, NF_UNREAD_TTL))
        put_ttl(ip, hidden_ttl(kept));
    if (hides(kept, NF_UNREAD_ID))
        nf_put16_summed(ip + 4, (uint16_t)~kept->id, ip + 10);
    if (p->proto == NF_PROTO_TCP)
        hide_tcp(p, kept);
}

void nf_unread_show(struct nf_packet *p, const struct nf_unread *kept)
{
    uint8_t *ip = p->data + p->l3, *tcp = p->data + p->l4;

    if (hides(kept, NF_UNREAD_TTL))
        put_ttl(ip, (uint8_t)(kept->ttl - (hidden_ttl(kept) - ip[8]))); /* L3 has taken one */
    if (hides(kept, NF_UNREAD_ID))
        nf_put16_summed(ip + 4, kept->id, ip + 10);
    if (!kept->hidden || p->proto != NF_PROTO_TCP)
        return;
    for (unsigned f = 0; f < NF_UNREAD_COUNT; f++)
        if (hides(kept, f))
            memcpy(tcp + tcp_field[f].at, kept->tcp + tcp_field[f].at, tcp_field[f].bytes);
    if (hides(kept, NF_UNREAD_OPTIONS))
        memcpy(tcp + TCP, kept->option, kept->options);
}

void nf_unread_names(uint32_t fields, char out[], size_t size)
{
#define NAME(field, name) name,
    static const char *const names[] = {NF_UNREAD_FIELDS(NAME)};
    size_t at = 0;

    out[0] = '\0';
    for (unsigned f = 0; f < NF_UNREAD_COUNT && at < size; f++)
        if (fields >> f & 1)
            at += (size_t)snprintf(out + at, size - at, "%s%s",
                                   at == 0           ? ""
                                   : fields >> f > 1 ? ", "
                                                     : " and ",
                                   names[f]);
}
