/* SPDX-License-Identifier: Apache-2.0 */
/* Hides what NFs declare they do not read; see unread.h. No state. */
#include "nflib/chain/unread.h"

#include <endian.h>
#include <stdio.h>
#include <string.h>

#define FILL  0xa7 /* of TCP's fields, and of payload */
#define NOOP  1    /* of TCP's options */
#define TCP   20u  /* bytes without options */
#define UDP   8u
#define FLAGS 0xc0 /* reserved, and "don't fragment" */
#define SMALL 576u /* a packet that no link is too small for: nobody asks whether it may be cut */

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

/* Two bytes that lie at an even place of the header, of which the first becomes `first`. */
static void put_first(uint8_t *ip, unsigned at, uint8_t first)
{
    uint8_t word[2] = {first, ip[at + 1]};

    nf_put16_summed(ip + at, nf_get16(word), ip + 10);
}

static void hide_ip(uint8_t *ip, struct nf_unread *kept)
{
    kept->ttl = ip[8];
    kept->id = nf_get16(ip + 4);
    if (be16toh(nf_get16(ip + 2)) > SMALL)
        kept->hidden &= ~(1u << NF_UNREAD_FLAGS);
    if (hides(kept, NF_UNREAD_TTL))
        put_first(ip, 8, hidden_ttl(kept));
    if (hides(kept, NF_UNREAD_FLAGS))
        put_first(ip, 6, ip[6] ^ FLAGS);
    if (hides(kept, NF_UNREAD_ID))
        nf_put16_summed(ip + 4, (uint16_t)~kept->id, ip + 10);
}

/* TCP's and UDP's header, and what is behind it. Its length becomes what a packet has that is restored by its
 * session: none has options, and payload is all that IP has. */
static void hide_l4(struct nf_packet *p, struct nf_unread *kept)
{
    bool tcp = p->proto == NF_PROTO_TCP;
    uint32_t header = tcp ? TCP : UDP, behind = p->l4 + header, options = p->payload - behind;
    uint8_t *l4 = p->data + p->l4;

    memcpy(kept->header, l4, header);
    kept->behind = p->have - behind < sizeof(kept->bytes) ? p->have - behind : sizeof(kept->bytes);
    memcpy(kept->bytes, p->data + behind, kept->behind);
    for (unsigned f = 0; tcp && f < NF_UNREAD_COUNT; f++)
        if (hides(kept, f))
            memset(l4 + tcp_field[f].at, FILL, tcp_field[f].bytes);
    if (hides(kept, NF_UNREAD_OPTIONS))
        memset(l4 + header, NOOP, options);
    if (hides(kept, NF_UNREAD_PAYLOAD))
        memset(l4 + header + options, FILL, kept->behind - options);
    if (hides(kept, NF_UNREAD_HEADER) && tcp)
        l4[12] = TCP / 4 << 4;
    if (hides(kept, NF_UNREAD_HEADER) && !tcp)
        nf_put16(l4 + 4, htobe16(p->l4_len));
    if (hides(kept, NF_UNREAD_PAYLOAD))
        p->have = hides(kept, NF_UNREAD_HEADER) ? behind : p->payload;
}

void nf_unread_hide(struct nf_packet *p, uint32_t fields, struct nf_unread *kept)
{
    nf_packet_parse(p);
    p->parsed = 0;
    kept->hidden = 0;
    if (p->flags != (NF_P_IPV4 | NF_P_L4) || !nf_proto_is_ported(p->proto) || p->payload > p->have ||
        p->data[p->l3 + 8] <= 1)
        return;
    kept->hidden = fields;
    kept->have = p->have;
    hide_ip(p->data + p->l3, kept);
    hide_l4(p, kept);
}

void nf_unread_show(struct nf_packet *p, const struct nf_unread *kept)
{
    bool tcp = p->proto == NF_PROTO_TCP;
    uint8_t *ip = p->data + p->l3, *l4 = p->data + p->l4;

    if (!kept->hidden)
        return;
    if (hides(kept, NF_UNREAD_TTL))
        put_first(ip, 8, (uint8_t)(kept->ttl - (hidden_ttl(kept) - ip[8]))); /* L3 has taken one */
    if (hides(kept, NF_UNREAD_FLAGS))
        put_first(ip, 6, ip[6] ^ FLAGS);
    if (hides(kept, NF_UNREAD_ID))
        nf_put16_summed(ip + 4, kept->id, ip + 10);
    for (unsigned f = 0; tcp && f < NF_UNREAD_COUNT; f++)
        if (hides(kept, f))
            memcpy(l4 + tcp_field[f].at, kept->header + tcp_field[f].at, tcp_field[f].bytes);
    if (hides(kept, NF_UNREAD_HEADER) && tcp)
        l4[12] = kept->header[12];
    if (hides(kept, NF_UNREAD_HEADER) && !tcp)
        memcpy(l4 + 4, kept->header + 4, 2);
    memcpy(l4 + (tcp ? TCP : UDP), kept->bytes, kept->behind);
    p->have = kept->have;
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
