/* SPDX-License-Identifier: Apache-2.0 */
/* Frames for tests of NFs; see frames.h. */
#include "nftest/frames.h"

#include <string.h>

#define TAGS_MAX    2u
#define OPTIONS_MAX 10u /* words, beside the 5 of the header */

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}
static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)get16(p) << 16 | get16(p + 2);
}
static void put16(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}
static void put32(uint8_t *p, uint32_t v)
{
    put16(p, v >> 16);
    put16(p + 2, v & 0xffff);
}

/* Sum of 16-bit words, folded, not complemented. */
static uint32_t sum_up(const uint8_t *p, uint32_t n, uint32_t sum)
{
    for (uint32_t i = 0; i < n; i++)
        sum += i % 2 ? p[i] : (uint32_t)p[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

static uint32_t sum_l4(const uint8_t *ip, uint8_t proto, const uint8_t *l4, uint32_t n)
{
    uint32_t pseudo = proto == 1 ? 0 : sum_up(ip + 12, 8, proto + n);
    return sum_up(l4, n, pseudo);
}

static bool has_l4_sum(uint8_t proto)
{
    return proto == 1 || proto == 6 || proto == 17;
}

static uint8_t *l4_sum_field(uint8_t proto, uint8_t *l4)
{
    return proto == 6 ? l4 + 16 : proto == 17 ? l4 + 6 : l4 + 2;
}

static void fill_l4_sum(uint8_t *ip, uint8_t proto, uint8_t *l4, uint32_t n)
{
    uint8_t *field = l4_sum_field(proto, l4);
    put16(field, 0);
    uint32_t sum = ~sum_l4(ip, proto, l4, n) & 0xffff;
    put16(field, proto == 17 && sum == 0 ? 0xffff : sum);
}

static void fill_ip_sum(uint8_t *ip)
{
    put16(ip + 10, 0);
    put16(ip + 10, ~sum_up(ip, (ip[0] & 15u) * 4, 0) & 0xffff);
}

static uint32_t payload_of(const struct nft_spec *s)
{
    return s->text ? (uint32_t)strlen(s->text) : s->payload;
}

static uint32_t put_l4(const struct nft_spec *s, uint8_t *l4)
{
    if (s->proto == 6) {
        put16(l4, s->sport);
        put16(l4 + 2, s->dport);
        put32(l4 + 4, s->seq ? s->seq : 0x01020304);
        put32(l4 + 8, s->ack ? s->ack : 0x05060708);
        l4[12] = 5 << 4;
        l4[13] = s->tcp;
        put16(l4 + 14, 65535);
        return 20;
    }
    if (s->proto == 17) {
        put16(l4, s->sport);
        put16(l4 + 2, s->dport);
        put16(l4 + 4, 8u + payload_of(s));
        return 8;
    }
    if (s->proto != 1)
        return 0;
    l4[0] = s->type;
    l4[1] = s->code;
    put16(l4 + 4, s->sport);
    put16(l4 + 6, 1);
    return 8;
}

uint32_t nft_frame(const struct nft_spec *s, uint8_t out[NFT_FRAME_MAX])
{
    static const uint8_t macs[12] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2};
    uint32_t at = 14;
    if (s->tags > TAGS_MAX || s->options > OPTIONS_MAX)
        return 0;
    memset(out, 0, NFT_FRAME_MAX);
    memcpy(out, macs, sizeof(macs));
    for (unsigned i = 0; i < s->tags; i++, at += 4) {
        put16(out + at - 2, i + 1 < s->tags ? 0x88a8 : 0x8100);
        put16(out + at, 100 + i);
    }
    put16(out + at - 2, 0x0800);
    uint8_t *ip = out + at;
    uint32_t header = 20u + s->options * 4u;
    ip[0] = (uint8_t)(0x40 | header / 4);
    put16(ip + 4, s->ip_id);
    put16(ip + 6, s->fragment);
    ip[8] = 64;
    ip[9] = s->proto;
    put32(ip + 12, s->src);
    put32(ip + 16, s->dst);
    memset(ip + 20, 1, header - 20);
    uint8_t *l4 = ip + header;
    uint32_t n = s->fragment & 0x1fff ? 0 : put_l4(s, l4);
    if (at + header + n + payload_of(s) + (s->inner ? s->inner_len : 0u) > NFT_FRAME_MAX)
        return 0;
    for (unsigned i = 0; i < payload_of(s); i++)
        l4[n + i] = s->text ? (uint8_t)s->text[i] : (uint8_t)(i * 7 + s->sport);
    n += payload_of(s);
    if (s->inner) {
        memcpy(l4 + n, s->inner, s->inner_len);
        n += s->inner_len;
    }
    put16(ip + 2, header + n);
    fill_ip_sum(ip);
    if (!(s->fragment & 0x1fff) && has_l4_sum(s->proto) && !s->no_udp_sum)
        fill_l4_sum(ip, s->proto, l4, n);
    uint32_t len = at + header + n;
    return len < 60 ? 60 : len;
}

bool nft_see(const uint8_t *frame, uint32_t len, struct nft_seen *seen)
{
    uint32_t at = 14;
    memset(seen, 0, sizeof(*seen));
    while (at + 4 <= len && at < 22 && (get16(frame + at - 2) == 0x8100 || get16(frame + at - 2) == 0x88a8))
        at += 4;
    if (at + 20 > len || get16(frame + at - 2) != 0x0800)
        return false;
    const uint8_t *ip = frame + at;
    seen->l3 = at;
    seen->l4 = at + (ip[0] & 15u) * 4;
    seen->end = at + get16(ip + 2);
    seen->proto = ip[9];
    seen->fragment = get16(ip + 6) & 0x3fff;
    seen->ip_id = get16(ip + 4);
    seen->src = get32(ip + 12);
    seen->dst = get32(ip + 16);
    if (seen->fragment & 0x1fff || seen->l4 + 8 > len)
        return true;
    const uint8_t *l4 = frame + seen->l4;
    if (seen->proto == 6 || seen->proto == 17) {
        seen->sport = get16(l4);
        seen->dport = get16(l4 + 2);
        if (seen->proto == 6 && seen->l4 + 20 <= len) {
            seen->seq = get32(l4 + 4);
            seen->ack = get32(l4 + 8);
            seen->tcp = l4[13];
        }
    } else if (seen->proto == 1) {
        seen->type = l4[0];
        seen->sport = seen->dport = l4[0] == 0 || l4[0] == 8 ? get16(l4 + 4) : 0;
    }
    return true;
}

static bool l4_is_right(const uint8_t *ip, uint8_t proto, const uint8_t *l4, uint32_t n)
{
    if (n < (proto == 6 ? 20u : 8u) || (proto == 17 && get16(l4 + 6) == 0))
        return true; /* there is none */
    return sum_l4(ip, proto, l4, n) == 0xffff;
}

const char *nft_checksums(const uint8_t *frame, uint32_t len)
{
    struct nft_seen s;
    if (!nft_see(frame, len, &s) || s.l4 > len)
        return NULL;
    if (sum_up(frame + s.l3, s.l4 - s.l3, 0) != 0xffff)
        return "IPv4";
    if (s.fragment || s.end > len || s.end < s.l4 || !has_l4_sum(s.proto))
        return NULL;
    if (!l4_is_right(frame + s.l3, s.proto, frame + s.l4, s.end - s.l4))
        return s.proto == 1 ? "ICMP" : s.proto == 6 ? "TCP" : "UDP";
    if (s.proto != 1 || (s.type != 3 && s.type != 11 && s.type != 12) || s.l4 + 28 > s.end)
        return NULL;
    const uint8_t *ip = frame + s.l4 + 8;
    uint32_t header = (ip[0] & 15u) * 4, total = get16(ip + 2), left = s.end - s.l4 - 8;
    if (header > left)
        return NULL;
    if (sum_up(ip, header, 0) != 0xffff)
        return "quoted IPv4";
    if (total < header || total > left || get16(ip + 6) & 0x3fff || !has_l4_sum(ip[9]))
        return NULL;
    return l4_is_right(ip, ip[9], ip + header, total - header) ? NULL : "quoted L4";
}

void nft_readdress(uint8_t *frame, uint32_t len, uint32_t src, uint16_t sport, uint32_t dst, uint16_t dport)
{
    struct nft_seen s;
    if (!nft_see(frame, len, &s))
        return;
    uint8_t *ip = frame + s.l3, *l4 = frame + s.l4;
    bool summed = s.proto != 17 || get16(l4 + 6);
    put32(ip + 12, src);
    put32(ip + 16, dst);
    fill_ip_sum(ip);
    if (s.proto == 1) {
        put16(l4 + 4, sport);
    } else {
        put16(l4, sport);
        put16(l4 + 2, dport);
    }
    if (summed && s.end <= len)
        fill_l4_sum(ip, s.proto, l4, s.end - s.l4);
}

void nft_ip_checksum(uint8_t *frame, uint32_t len)
{
    struct nft_seen s;
    if (nft_see(frame, len, &s) && s.l4 <= len)
        fill_ip_sum(frame + s.l3);
}
