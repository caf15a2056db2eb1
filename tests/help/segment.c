/* SPDX-License-Identifier: Apache-2.0 */
/* Frames with a payload; see segment.h. */
#include "tests/help/segment.h"

#include <string.h>

static void put(uint8_t *at, uint32_t value, unsigned bytes)
{
    while (bytes--) {
        at[bytes] = (uint8_t)value;
        value >>= 8;
    }
}

static uint32_t sum_up(uint32_t sum, const uint8_t *at, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        sum += i % 2 ? at[i] : (uint32_t)at[i] << 8;
    return sum;
}

static uint16_t fold(uint32_t sum)
{
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)~sum;
}

static void put_ip(const struct help_segment *s, uint8_t *ip, uint32_t length)
{
    if (s->ipv6) {
        memset(ip, 0, 40);
        ip[0] = 0x60;
        put(ip + 4, length, 2);
        ip[6] = s->proto;
        ip[7] = 64;
        put(ip + 8, 0x20010db8, 4);
        ip[23] = s->from;
        put(ip + 24, 0x20010db8, 4);
        ip[39] = s->to;
        return;
    }
    memset(ip, 0, 20);
    ip[0] = 0x45;
    put(ip + 2, 20 + length, 2);
    ip[8] = 64;
    ip[9] = s->proto;
    put(ip + 12, 0x0a000000u + s->from, 4);
    put(ip + 16, 0x0a000000u + s->to, 4);
    put(ip + 10, fold(sum_up(0, ip, 20)), 2);
}

uint32_t help_segment_frame(const struct help_segment *s, uint8_t out[NFT_FRAME_MAX])
{
    uint32_t header = s->proto == 6 ? 20 : 8, length = header + s->len, ip_bytes = s->ipv6 ? 40 : 20;
    uint8_t *ip = out + 14, *l4 = ip + ip_bytes;

    memset(out, 2, 12);
    put(out + 12, s->ipv6 ? 0x86dd : 0x0800, 2);
    put_ip(s, ip, length);
    memset(l4, 0, header);
    put(l4, s->sport, 2);
    put(l4 + 2, s->dport, 2);
    if (!s->payload)
        memset(l4 + header, 0, s->len);
    else
        memcpy(l4 + header, s->payload, s->len);
    if (s->proto == 6) {
        put(l4 + 4, s->seq, 4);
        put(l4 + 8, s->ack, 4);
        l4[12] = 0x50;
        l4[13] = s->flags;
        put(l4 + 14, s->window ? s->window : 65535, 2);
    } else {
        put(l4 + 4, length, 2);
    }
    uint32_t sum = sum_up(s->proto + length, ip + (s->ipv6 ? 8 : 12), s->ipv6 ? 32 : 8);

    put(l4 + (s->proto == 6 ? 16 : 6), fold(sum_up(sum, l4, length)), 2);
    return 14 + ip_bytes + length < 60 ? 60 : 14 + ip_bytes + length;
}

/* Of the L4 there, with the checksum that is in it. */
static uint16_t sum_l4(const uint8_t *frame, uint32_t *end)
{
    bool ipv6 = frame[12] == 0x86;
    const uint8_t *ip = frame + 14, *l4 = ip + (ipv6 ? 40 : 20);
    uint32_t length = ipv6 ? (uint32_t)ip[4] << 8 | ip[5] : ((uint32_t)ip[2] << 8 | ip[3]) - 20;
    uint8_t proto = ipv6 ? ip[6] : ip[9];

    *end = (uint32_t)(l4 - frame) + length;
    return fold(sum_up(sum_up(proto + length, ip + (ipv6 ? 8 : 12), ipv6 ? 32 : 8), l4, length));
}

void help_segment_seal(uint8_t *frame)
{
    uint8_t *tcp = frame + (frame[12] == 0x86 ? 54 : 34);
    uint32_t end;

    put(tcp + 16, 0, 2);
    put(tcp + 16, sum_l4(frame, &end), 2);
}

void help_segment_seal_icmpv6(uint8_t *frame)
{
    uint32_t end;

    put(frame + 56, 0, 2);
    put(frame + 56, sum_l4(frame, &end), 2);
}

bool help_segment_is_right(const uint8_t *frame, uint32_t len)
{
    uint32_t end;
    uint16_t sum = sum_l4(frame, &end);

    return end <= len && sum == 0 && (frame[12] == 0x86 || fold(sum_up(0, frame + 14, 20)) == 0);
}
