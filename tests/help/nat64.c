/* SPDX-License-Identifier: Apache-2.0 */
/* Packets of both families, made and looked at; see nat64.h. */
#include "tests/help/nat64.h"

#include <arpa/inet.h>
#include <string.h>

static void put16(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static void put32(uint8_t *at, uint32_t value)
{
    put16(at, value >> 16);
    put16(at + 2, value);
}

static uint32_t get16(const uint8_t *at)
{
    return (uint32_t)at[0] << 8 | at[1];
}

static uint32_t add(uint32_t sum, const uint8_t *at, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        sum += i % 2 ? at[i] : (uint32_t)at[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

/* Of a message of n bytes; the checksum in it counts. Right: 0xffff. */
static uint32_t sum_message(const uint8_t *ip, bool ipv6, uint8_t proto, const uint8_t *l4, uint32_t n)
{
    uint32_t pseudo = proto == 1 ? 0 : add(n + proto, ip + (ipv6 ? 8 : 12), ipv6 ? 32 : 8);

    return add(pseudo, l4, n);
}

static uint32_t put_l4(const struct six *s, uint8_t *at)
{
    uint32_t n = s->proto == 6 ? 20 : 8;

    if (s->fragment & 0x1fff) {
        n = 0;
    } else {
        memset(at, 0, n);
        put16(at, s->sport);
        put16(at + 2, s->dport);
        if (s->proto == 6) {
            at[12] = 0x50;
            at[13] = s->tcp;
        } else if (s->proto == 17) {
            put16(at + 4, 8u + s->payload);
        } else {
            at[0] = s->type;
            at[1] = s->code;
            put16(at + 2, 0);
            put32(at + 4, s->inner ? s->rest : (uint32_t)s->sport << 16 | 7);
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
    put32(ip, 6u << 28 | (uint32_t)s->class << 20);
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
        put16(next + 2, (s->fragment & 0x1fffu) << 3 | (s->fragment & 0x2000 ? 1 : 0));
        put32(next + 4, s->id);
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
    put16(ip + 4, s->id);
    put16(ip + 6, s->fragment | (s->dont ? 0x4000u : 0));
    ip[8] = s->limit ? s->limit : 64;
    ip[9] = s->proto;
    inet_pton(AF_INET, s->from, ip + 12);
    inet_pton(AF_INET, s->to, ip + 16);
}

uint32_t six_frame(const struct six *s, uint8_t *out)
{
    uint32_t l3 = 14 + 4u * s->tags, at, n, sum_at = s->proto == 6 ? 16 : s->proto == 17 ? 6 : 2, extra = 0;
    uint8_t *ip = out + l3, *l4;

    memset(out, 2, 12);
    for (unsigned i = 0; i < s->tags; i++)
        put32(out + 12 + 4 * i, 0x81000005);
    put16(out + l3 - 2, s->ipv6 ? 0x86dd : 0x0800);
    if (s->ipv6)
        extra = put_head6(s, ip, &at);
    else
        put_head4(s, ip, &at);
    l4 = ip + at;
    n = put_l4(s, l4);
    if (s->ipv6)
        put16(ip + 4, n + extra);
    else
        put16(ip + 2, at + n);
    if (!s->ipv6)
        put16(ip + 10, ~add(0, ip, at) & 0xffff);
    if (!(s->fragment & 0x1fff) && !s->no_udp_sum)
        put16(l4 + sum_at, ~sum_message(ip, s->ipv6, s->proto, l4, n) & 0xffff);
    return l3 + at + n;
}

/* ---- looking ---- */

static void see_l4(const uint8_t *ip, const uint8_t *l4, uint32_t n, bool whole, struct six_seen *seen)
{
    seen->payload = (uint16_t)n;
    if (seen->fragment & 0x1fff)
        return;
    seen->sport = (uint16_t)get16(l4);
    seen->dport = (uint16_t)get16(l4 + 2);
    if (seen->proto == 6) {
        seen->tcp = n >= 14 ? l4[13] : 0;
        seen->payload -= 20;
    } else {
        seen->payload -= 8;
    }
    if (seen->proto == 1 || seen->proto == 58) {
        seen->type = l4[0];
        seen->code = l4[1];
        seen->sport = seen->dport = (uint16_t)get16(l4 + 4);
        seen->rest = get16(l4 + 4) << 16 | get16(l4 + 6);
    }
    if (whole && !seen->fragment && sum_message(ip, seen->ipv6, seen->proto, l4, n) != 0xffff &&
        !(seen->proto == 17 && !seen->ipv6 && !get16(l4 + 6)))
        seen->wrong = "L4";
}

static bool see_ip(const uint8_t *ip, uint32_t n, bool whole, struct six_seen *seen)
{
    uint32_t at, length;

    seen->ipv6 = ip[0] >> 4 == 6;
    if (seen->ipv6) {
        at = 40;
        length = 40 + get16(ip + 4);
        seen->class = (uint8_t)(ip[0] << 4 | ip[1] >> 4);
        seen->limit = ip[7];
        seen->proto = ip[6];
        inet_ntop(AF_INET6, ip + 8, seen->from, sizeof(seen->from));
        inet_ntop(AF_INET6, ip + 24, seen->to, sizeof(seen->to));
        if (seen->proto == 44) {
            seen->fragmented = true;
            seen->proto = ip[40];
            seen->fragment = (uint16_t)(get16(ip + 42) >> 3 | (ip[43] & 1 ? 0x2000 : 0));
            seen->id = get16(ip + 44) << 16 | get16(ip + 46);
            at += 8;
        }
    } else {
        at = (ip[0] & 15u) * 4;
        length = get16(ip + 2);
        seen->class = ip[1];
        seen->limit = ip[8];
        seen->proto = ip[9];
        seen->id = get16(ip + 4);
        seen->fragment = get16(ip + 6) & 0x3fff;
        seen->dont = ip[6] & 0x40;
        inet_ntop(AF_INET, ip + 12, seen->from, sizeof(seen->from));
        inet_ntop(AF_INET, ip + 16, seen->to, sizeof(seen->to));
        if (add(0, ip, at) != 0xffff)
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
    while (get16(frame + at) == 0x8100)
        at += 4;
    seen->l3 = at + 2;
    return (get16(frame + at) == (frame[seen->l3] >> 4 == 6 ? 0x86dd : 0x0800)) &&
           see_ip(frame + seen->l3, len - seen->l3, true, seen);
}

bool six_see_quoted(const uint8_t *frame, const struct six_seen *error, struct six_seen *seen)
{
    uint32_t at = error->l4 + 8;

    memset(seen, 0, sizeof(*seen));
    seen->l3 = at;
    return see_ip(frame + at, error->end - at, false, seen);
}
