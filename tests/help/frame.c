/* SPDX-License-Identifier: Apache-2.0 */
/* Frames made and looked at with plain code; see frame.h. */
#include "tests/help/frame.h"

#include "ftcore/base/check.h"

#include <arpa/inet.h>
#include <string.h>

void help_put16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

void help_put32(uint8_t *at, uint32_t value)
{
    help_put16(at, value >> 16);
    help_put16(at + 2, value);
}

uint32_t help_get16(const uint8_t *at)
{
    return (uint32_t)at[0] << 8 | at[1];
}

uint32_t help_get32(const uint8_t *at)
{
    return help_get16(at) << 16 | help_get16(at + 2);
}

uint32_t help_checksum(uint32_t start, const uint8_t *at, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        start += i % 2 ? at[i] : (uint32_t)at[i] << 8;
    while (start >> 16)
        start = (start & 0xffff) + (start >> 16);
    return ~start & 0xffff;
}

uint32_t help_l4_checksum(const uint8_t *ip, uint8_t proto, const uint8_t *l4, uint32_t n)
{
    bool ipv6 = ip[0] >> 4 == 6;
    uint32_t ends = proto == 1 ? 0xffff : help_checksum(proto + n, ip + (ipv6 ? 8 : 12), ipv6 ? 32 : 8);

    return help_checksum(~ends & 0xffff, l4, n);
}

static uint32_t sum_at(uint8_t proto)
{
    return proto == 6 ? 16 : proto == 17 ? 6 : 2;
}

void help_seal_ipv4(uint8_t *ip, uint32_t n)
{
    uint32_t header = (ip[0] & 15) * 4u, sum;
    uint8_t *l4 = ip + header;

    help_put16(ip + 2, header + n);
    help_put16(ip + 10, 0);
    help_put16(ip + 10, help_checksum(0, ip, header));
    help_put16(l4 + sum_at(ip[9]), 0);
    sum = help_l4_checksum(ip, ip[9], l4, n);
    help_put16(l4 + sum_at(ip[9]), ip[9] == 17 && sum == 0 ? 0xffff : sum);
}

void help_ipv6_header(uint8_t *ip, uint8_t proto, const char *from, const char *to, uint32_t length)
{
    memset(ip, 0, 40);
    ip[0] = 0x60;
    help_put16(ip + 4, length);
    ip[6] = proto;
    ip[7] = 64;
    FT_CHECK(inet_pton(AF_INET6, from, ip + 8) == 1 && inet_pton(AF_INET6, to, ip + 24) == 1, "%s, %s", from,
             to);
}

uint16_t help_quoted(uint8_t out[28], uint32_t src, uint16_t sport, uint32_t dst, uint16_t dport)
{
    uint8_t frame[NFT_FRAME_MAX];
    struct nft_spec spec = {
        .src = src, .dst = dst, .sport = sport, .dport = dport, .proto = 17, .payload = 4};

    nft_frame(&spec, frame);
    memcpy(out, frame + 14, 28);
    return 28;
}

/* ---- segments ---------------------------------------------------------------------------------- */

static void put_ip(const struct help_segment *s, uint8_t *ip, uint32_t length)
{
    if (s->ipv6) {
        memset(ip, 0, 40);
        ip[0] = 0x60;
        help_put16(ip + 4, length);
        ip[6] = s->proto;
        ip[7] = 64;
        help_put32(ip + 8, 0x20010db8);
        ip[23] = s->from;
        help_put32(ip + 24, 0x20010db8);
        ip[39] = s->to;
        return;
    }
    memset(ip, 0, 20);
    ip[0] = 0x45;
    help_put16(ip + 2, 20 + length);
    ip[8] = 64;
    ip[9] = s->proto;
    help_put32(ip + 12, 0x0a000000u + s->from);
    help_put32(ip + 16, 0x0a000000u + s->to);
    help_put16(ip + 10, help_checksum(0, ip, 20));
}

uint32_t help_segment_frame(const struct help_segment *s, uint8_t out[NFT_FRAME_MAX])
{
    uint32_t header = s->proto == 6 ? 20 : 8, length = header + s->len, ip_bytes = s->ipv6 ? 40 : 20;
    uint8_t *ip = out + 14, *l4 = ip + ip_bytes;

    memset(out, 2, 12);
    help_put16(out + 12, s->ipv6 ? 0x86dd : 0x0800);
    put_ip(s, ip, length);
    memset(l4, 0, header);
    help_put16(l4, s->sport);
    help_put16(l4 + 2, s->dport);
    if (!s->payload)
        memset(l4 + header, 0, s->len);
    else
        memcpy(l4 + header, s->payload, s->len);
    if (s->proto == 6) {
        help_put32(l4 + 4, s->seq);
        help_put32(l4 + 8, s->ack);
        l4[12] = 0x50;
        l4[13] = s->flags;
        help_put16(l4 + 14, s->window ? s->window : 65535);
    } else {
        help_put16(l4 + 4, length);
    }
    help_put16(l4 + sum_at(s->proto), help_l4_checksum(ip, s->proto, l4, length));
    return 14 + ip_bytes + length < 60 ? 60 : 14 + ip_bytes + length;
}

/* Of the L4 there, with the checksum that is in it. */
static uint32_t sum_l4(const uint8_t *frame, uint32_t *end)
{
    bool ipv6 = frame[12] == 0x86;
    const uint8_t *ip = frame + 14, *l4 = ip + (ipv6 ? 40 : 20);
    uint32_t length = ipv6 ? help_get16(ip + 4) : help_get16(ip + 2) - 20;

    *end = (uint32_t)(l4 - frame) + length;
    return help_l4_checksum(ip, ipv6 ? ip[6] : ip[9], l4, length);
}

void help_segment_seal(uint8_t *frame)
{
    uint32_t end;
    bool ipv6 = frame[12] == 0x86;
    uint8_t *sum = frame + (ipv6 ? 54 : 34) + sum_at(ipv6 ? frame[20] : frame[23]);

    help_put16(sum, 0);
    help_put16(sum, sum_l4(frame, &end));
}

bool help_segment_is_right(const uint8_t *frame, uint32_t len)
{
    uint32_t end, sum = sum_l4(frame, &end);

    return end <= len && sum == 0 && (frame[12] == 0x86 || help_checksum(0, frame + 14, 20) == 0);
}

/* ---- packets of both families ------------------------------------------------------------------ */

static uint32_t put_l4(const struct six *s, uint8_t *at)
{
    uint32_t n = s->proto == 6 ? 20 : 8;

    if (s->fragment & 0x1fff) {
        n = 0;
    } else {
        memset(at, 0, n);
        help_put16(at, s->sport);
        help_put16(at + 2, s->dport);
        if (s->proto == 6) {
            at[12] = 0x50;
            at[13] = s->tcp;
        } else if (s->proto == 17) {
            help_put16(at + 4, 8u + s->payload);
        } else {
            at[0] = s->type;
            at[1] = s->code;
            help_put16(at + 2, 0);
            help_put32(at + 4, s->inner ? s->rest : (uint32_t)s->sport << 16 | 7);
        }
    }
    if (s->inner)
        memcpy(at + n, s->inner, s->inner_len);
    for (uint32_t i = 0; !s->inner && i < s->payload; i++)
        at[n + i] = (uint8_t)(i * 7 + 1);
    return n + (s->inner ? s->inner_len : s->payload);
}

static uint32_t put_head6(const struct six *s, uint8_t *ip, uint32_t *at)
{
    uint8_t *next = ip + 6;

    memset(ip, 0, 40);
    help_put32(ip, 6u << 28 | (uint32_t)s->class << 20);
    ip[7] = s->limit ? s->limit : 64;
    inet_pton(AF_INET6, s->from, ip + 8);
    inet_pton(AF_INET6, s->to, ip + 24);
    *at = 40;
    for (unsigned i = 0; i < s->options; i++) {
        *next = 60;
        next = ip + *at;
        memset(next, 0, 8);
        next[2] = 1; /* PadN of six bytes */
        next[3] = 4;
        *at += 8;
    }
    if (s->fragment || s->atomic) {
        *next = 44;
        next = ip + *at;
        memset(next, 0, 8);
        help_put16(next + 2, (s->fragment & 0x1fffu) << 3 | (s->fragment & 0x2000 ? 1 : 0));
        help_put32(next + 4, s->id);
        *at += 8;
    }
    *next = s->proto;
    return *at - 40;
}

static void put_head4(const struct six *s, uint8_t *ip, uint32_t *at)
{
    memset(ip, 0, 60);
    *at = 20 + 4u * s->options;
    ip[0] = (uint8_t)(0x40 | *at / 4);
    memset(ip + 20, 1, *at - 20);
    ip[1] = s->class;
    help_put16(ip + 4, s->id);
    help_put16(ip + 6, s->fragment | (s->dont ? 0x4000u : 0));
    ip[8] = s->limit ? s->limit : 64;
    ip[9] = s->proto;
    inet_pton(AF_INET, s->from, ip + 12);
    inet_pton(AF_INET, s->to, ip + 16);
}

bool six_is_ipv6(const struct six *s)
{
    return strchr(s->from, ':') != NULL;
}

uint32_t six_frame(const struct six *s, uint8_t *out)
{
    bool ipv6 = six_is_ipv6(s);
    uint32_t l3 = 14 + 4u * s->tags, at, n, extra = 0;
    uint8_t *ip = out + l3, *l4;

    memset(out, 2, 12);
    for (unsigned i = 0; i < s->tags; i++)
        help_put32(out + 12 + 4 * i, 0x81000005);
    help_put16(out + l3 - 2, ipv6 ? 0x86dd : 0x0800);
    if (ipv6)
        extra = put_head6(s, ip, &at);
    else
        put_head4(s, ip, &at);
    l4 = ip + at;
    n = put_l4(s, l4);
    if (ipv6)
        help_put16(ip + 4, n + extra);
    else
        help_put16(ip + 2, at + n);
    if (!ipv6)
        help_put16(ip + 10, help_checksum(0, ip, at));
    if (!(s->fragment & 0x1fff) && !s->no_udp_sum)
        help_put16(l4 + sum_at(s->proto), help_l4_checksum(ip, s->proto, l4, n));
    return l3 + at + n;
}

static void see_l4(const uint8_t *ip, const uint8_t *l4, uint32_t n, bool whole, struct six_seen *seen)
{
    seen->payload = (uint16_t)n;
    if (seen->fragment & 0x1fff)
        return;
    seen->sport = (uint16_t)help_get16(l4);
    seen->dport = (uint16_t)help_get16(l4 + 2);
    if (seen->proto == 6) {
        seen->tcp = n >= 14 ? l4[13] : 0;
        seen->payload -= 20;
    } else {
        seen->payload -= 8;
    }
    if (seen->proto == 1 || seen->proto == 58) {
        seen->type = l4[0];
        seen->code = l4[1];
        seen->sport = seen->dport = (uint16_t)help_get16(l4 + 4);
        seen->rest = help_get32(l4 + 4);
    }
    if (whole && !seen->fragment && help_l4_checksum(ip, seen->proto, l4, n) &&
        !(seen->proto == 17 && !seen->ipv6 && !help_get16(l4 + 6)))
        seen->wrong = "L4";
}

static bool see_ip(const uint8_t *ip, uint32_t n, bool whole, struct six_seen *seen)
{
    uint32_t at, length;

    seen->ipv6 = ip[0] >> 4 == 6;
    if (seen->ipv6) {
        at = 40;
        length = 40 + help_get16(ip + 4);
        seen->class = (uint8_t)(ip[0] << 4 | ip[1] >> 4);
        seen->limit = ip[7];
        seen->proto = ip[6];
        inet_ntop(AF_INET6, ip + 8, seen->from, sizeof(seen->from));
        inet_ntop(AF_INET6, ip + 24, seen->to, sizeof(seen->to));
        if (seen->proto == 44) {
            seen->fragmented = true;
            seen->proto = ip[40];
            seen->fragment = (uint16_t)(help_get16(ip + 42) >> 3 | (ip[43] & 1 ? 0x2000 : 0));
            seen->id = help_get32(ip + 44);
            at += 8;
        }
    } else {
        at = (ip[0] & 15u) * 4;
        length = help_get16(ip + 2);
        seen->class = ip[1];
        seen->limit = ip[8];
        seen->proto = ip[9];
        seen->id = help_get16(ip + 4);
        seen->fragment = help_get16(ip + 6) & 0x3fff;
        seen->dont = ip[6] & 0x40;
        inet_ntop(AF_INET, ip + 12, seen->from, sizeof(seen->from));
        inet_ntop(AF_INET, ip + 16, seen->to, sizeof(seen->to));
        if (help_checksum(0, ip, at))
            seen->wrong = "IPv4";
    }
    seen->l4 = seen->l3 + at;
    seen->end = seen->l3 + length;
    if (length < at || (whole && length > n))
        return false;
    see_l4(ip, ip + at, (whole ? length : n) - at, whole, seen);
    return true;
}

bool six_see(const uint8_t *frame, uint32_t len, struct six_seen *seen)
{
    uint32_t at = 12;

    memset(seen, 0, sizeof(*seen));
    while (help_get16(frame + at) == 0x8100)
        at += 4;
    seen->l3 = at + 2;
    return (help_get16(frame + at) == (frame[seen->l3] >> 4 == 6 ? 0x86dd : 0x0800)) &&
           see_ip(frame + seen->l3, len - seen->l3, true, seen);
}

bool six_see_quoted(const uint8_t *frame, const struct six_seen *error, struct six_seen *seen)
{
    uint32_t at = error->l4 + 8;

    memset(seen, 0, sizeof(*seen));
    seen->l3 = at;
    return see_ip(frame + at, error->end - at, false, seen);
}
