/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of a stream. Hosts and ports are few, so that what the fuzzer changes hits a flow that exists. */
#include "tests/fuzz/stream.h"
#include "nftest/frames.h"
#include "tests/help/frame.h"

#include <string.h>

static const uint32_t inside[] = {NFT_IP(10, 0, 0, 2), NFT_IP(10, 0, 0, 3),       NFT_IP(10, 0, 1, 9),
                                  NFT_IP(10, 0, 0, 1), NFT_IP(192, 168, 7, 7),    NFT_IP(172, 16, 0, 11),
                                  NFT_IP(0, 0, 0, 0),  NFT_IP(255, 255, 255, 255)};
static const uint32_t outside[] = {NFT_IP(198, 51, 100, 7),  NFT_IP(203, 0, 113, 1),  NFT_IP(203, 0, 113, 10),
                                   NFT_IP(203, 0, 113, 254), NFT_IP(198, 18, 0, 1),   NFT_IP(127, 0, 0, 1),
                                   NFT_IP(224, 0, 0, 5),     NFT_IP(203, 0, 113, 255)};
static const uint16_t ports[] = {80, 443, 53, 22, 1024, 2000, 40000, 0};
static const uint8_t protos[] = {6, 6, 17, 17, 1, 1, 47, 0};
static const uint8_t icmp[] = {8, 0, 3, 11, 4, 5, 13, 12};

/* The chain's MACs in the targets' networks, by side; and a host's. */
static const uint8_t chain[2][6] = {{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 0x11}}, host[6] = {2, 0, 0, 0, 0, 2};

static void put16(uint8_t *p, unsigned v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}
static void put32(uint8_t *p, uint32_t v)
{
    put16(p, v >> 16);
    put16(p + 2, v & 0xffff);
}

uint32_t stream_make(struct fuzz_input *in, uint8_t side, uint8_t out[STREAM_FRAME_MAX])
{
    uint8_t a = fuzz_u8(in), b = fuzz_u8(in), c = fuzz_u8(in);
    uint32_t own = side ? outside[a & 7] : inside[a & 7],
             far = side ? inside[a >> 3 & 7] : outside[a >> 3 & 7];
    struct nft_spec s = HELP_PACKET(protos[b >> 6 | (c >> 5 & 4)], own, ports[b & 7],
                                    side && (a & 0x40) ? outside[a >> 3 & 7] : far, ports[b >> 3 & 7],
                                    .payload = (uint16_t)(c & 0x1f));

    if (s.proto == 6)
        s.tcp = fuzz_u8(in);
    if (s.proto == 1) {
        uint8_t kind = fuzz_u8(in);

        s.type = icmp[kind & 7];
        s.code = kind >> 3 & 15;
    }
    if (c & 0x20) { /* what most frames have not */
        uint8_t more = fuzz_u8(in);

        s.tags = (more & 3) == 3 ? 1 : 0;
        s.options = more & 4 ? 2 : 0;
        s.no_udp_sum = more & 8;
        s.ip_id = more >> 4 & 3;
        if (more & 0x40) {
            uint8_t where = fuzz_u8(in);

            s.fragment = (uint16_t)((where & 0x80 ? NFT_MORE : 0) | (where & 7));
        }
        if (more & 0x80)
            s.sport = fuzz_u16(in);
    }
    uint32_t len = nft_frame(&s, out);

    memcpy(out, a & 0x80 ? host : chain[side], 6);
    return len;
}

uint32_t stream_make_arp(struct fuzz_input *in, uint8_t side, uint8_t out[STREAM_FRAME_MAX])
{
    static const uint8_t head[] = {0, 1, 8, 0, 6, 4, 0};
    uint8_t a = fuzz_u8(in), b = fuzz_u8(in);
    const uint32_t *net = side ? outside : inside;

    memset(out, 0, 60);
    memset(out, b & 1 ? 0xff : 0, 6);
    if (!(b & 1))
        memcpy(out, chain[side], 6);
    memcpy(out + 6, host, 6);
    out[11] = (uint8_t)(2 + (a & 7));
    put16(out + 12, 0x0806);
    memcpy(out + 14, head, sizeof(head));
    out[21] = b & 2 ? 2 : 1;
    memcpy(out + 22, out + 6, 6);
    if (b & 4)
        out[27] ^= 0x55;
    put32(out + 28, net[a & 7]);
    put32(out + 38, net[a >> 3 & 7]);
    return b & 8 ? 42 : 60;
}

/* ---- IPv6 -------------------------------------------------------------------------------------- */

static const uint8_t hosts6[2][8][16] = {
    {{0x20, 1, 0xd, 0xb8, 0, 1, [15] = 2},
     {0x20, 1, 0xd, 0xb8, 0, 1, [15] = 3},
     {0x20, 1, 0xd, 0xb8, 0, 1, [15] = 1},
     {0xfe, 0x80, [15] = 2},
     {0xfd, 0, 0, 1, 0, 2, 0, 3, [15] = 9},
     {0xfe, 0x80, [11] = 0xff, [12] = 0xfe, [15] = 1},
     {0},
     {0xff, 2, [11] = 1, [12] = 0xff, [15] = 1}},
    {{0x20, 1, 0xd, 0xb8, 0, 9, [12] = 198, 51, 100, 7}, /* outside[0] in a prefix, for nat64 */
     {0x20, 1, 0xd, 0xb8, 0, 2, [15] = 0xfe},
     {0x20, 1, 0xd, 0xb8, 0, 2, [15] = 1},
     {0xfe, 0x80, [15] = 2},
     {0x20, 1, 0xd, 0xb8, 0, 8, 0, 3, [15] = 9},
     {0xfe, 0x80, [11] = 0xff, [12] = 0xfe, [15] = 0x11},
     {[15] = 1},
     {0xff, 2, [15] = 1}},
};

static uint32_t sum_bytes(uint32_t sum, const uint8_t *at, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        sum += i % 2 ? at[i] : (uint32_t)at[i] << 8;
    return sum;
}

/* Of the message behind the header at ip; `at`: where in the message. */
static void seal_ipv6(uint8_t *ip, uint8_t proto, uint8_t *message, uint32_t n, uint32_t at)
{
    uint32_t sum;

    put16(message + at, 0);
    sum = sum_bytes(sum_bytes(proto + n, ip + 8, 32), message, n);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    put16(message + at, ~sum & 0xffff);
}

/* Echo, neighbour discovery about one of the side's hosts, or an error that quotes a datagram. Its length. */
static uint32_t put_icmpv6(uint8_t *at, uint8_t kind, uint8_t side, uint8_t which)
{
    static const uint8_t types[] = {128, 129, 135, 136, 2, 3, 1, 130};
    uint8_t type = types[kind & 7];

    memset(at, 0, 64);
    at[0] = type;
    at[1] = kind >> 6 == 3;
    if (type == 135 || type == 136) {
        at[4] = kind & 0xe0;
        memcpy(at + 8, hosts6[side][which & 7], 16);
        at[24] = type == 135 ? 1 : 2;
        at[25] = kind & 8 ? 1 : (uint8_t)(kind >> 4);
        memcpy(at + 26, host, 6);
        return kind & 16 ? 24 : 32;
    }
    if (type > 3) {
        put16(at + 4, 7);
        return 16;
    }
    at[8] = 0x60;
    put16(at + 12, 16);
    at[14] = kind & 16 ? 17 : 6;
    memcpy(at + 16, hosts6[side][which & 7], 16);
    memcpy(at + 32, hosts6[!side][which >> 3 & 7], 16);
    put16(at + 48, ports[which >> 5]);
    put16(at + 50, 443);
    return 56;
}

uint32_t stream_make_ipv6(struct fuzz_input *in, uint8_t side, uint8_t out[STREAM_FRAME_MAX])
{
    static const uint8_t next[] = {6, 17, 58, 58, 6, 17, 50, 59};
    uint8_t a = fuzz_u8(in), b = fuzz_u8(in), c = fuzz_u8(in), proto = next[b & 7], *ip = out + 14, *l4;
    uint32_t n = 20, at = 40;

    memset(out, 0, 200);
    memcpy(out, a & 0x80 ? (const uint8_t[6]){0x33, 0x33, 0, 0, 0, 1} : chain[side], 6);
    memcpy(out + 6, host, 6);
    put16(out + 12, 0x86dd);
    memcpy(ip + 8, hosts6[side][a & 7], 16);
    memcpy(ip + 24, hosts6[a & 0x40 ? side : !side][a >> 3 & 7], 16);
    ip[6] = proto;
    if (b & 8) { /* an extension header, or a fragment's */
        ip[40] = proto;
        ip[41] = b & 16 ? 0 : (uint8_t)(c & 3);
        ip[6] = b & 16 ? 44 : c & 0x80 ? 0 : 60;
        if (b & 16) {
            put16(ip + 42, (c & 0x18) << 3 | (c & 1));
            put32(ip + 44, c & 3);
        }
        at += b & 16 ? 8 : (ip[41] + 1u) * 8;
    }
    l4 = ip + at;
    if (proto == 58) {
        n = put_icmpv6(l4, c, side, fuzz_u8(in));
        seal_ipv6(ip, 58, l4, n, 2);
    } else if (proto == 6 || proto == 17) {
        put16(l4, ports[c & 7]);
        put16(l4 + 2, ports[c >> 3 & 7]);
        l4[12] = 0x50;
        l4[13] = proto == 6 ? fuzz_u8(in) : 0;
        if (proto == 17)
            put16(l4 + 4, n);
        seal_ipv6(ip, proto, l4, n, proto == 6 ? 16 : 6);
    }
    ip[0] = b & 0x80 ? 0x40 : 0x60;
    ip[7] = b & 0x40 ? 255 : (uint8_t)(b & 0x20 ? 1 : 64);
    put16(ip + 4, at - 40 + n + (b >> 5 == 7));
    return 14 + at + n;
}

static void swap(uint8_t *a, uint8_t *b, size_t n)
{
    uint8_t t[16];

    memcpy(t, a, n);
    memcpy(a, b, n);
    memcpy(b, t, n);
}

/* Acknowledges what the segment had, SYN and FIN alone. */
static void answer_numbers(uint8_t *tcp)
{
    swap(tcp + 4, tcp + 8, 4);
    for (unsigned i = 12; tcp[13] & (NFT_SYN | NFT_FIN) && i-- > 8 && ++tcp[i] == 0;)
        ;
}

uint32_t stream_answer(const uint8_t *frame, uint32_t len, uint8_t flags, uint8_t out[STREAM_FRAME_MAX])
{
    struct nft_seen s;

    if (len > STREAM_FRAME_MAX || !nft_see(frame, len, &s) || s.l4 < s.l3 + 20 || s.l4 + 20 > s.end ||
        s.end > len)
        return 0;
    memcpy(out, frame, len);
    swap(out, out + 6, 6);
    swap(out + s.l3 + 12, out + s.l3 + 16, 4);
    if (s.proto == 1)
        out[s.l4] = out[s.l4] == 8 ? 0 : 8;
    else if (s.proto == 6 || s.proto == 17)
        swap(out + s.l4, out + s.l4 + 2, 2);
    if (s.proto == 6)
        answer_numbers(out + s.l4);
    if (s.proto == 6)
        out[s.l4 + 13] = flags & 0x3f                ? flags & 0x3f
                         : out[s.l4 + 13] == NFT_SYN ? NFT_SYN | NFT_ACK
                                                     : NFT_ACK;
    out[s.l3 + 8] = flags & 0x80 ? 1 : 64;
    if (flags & 0x40) /* the first packet's checksum is left to what the change makes of it */
        nft_ip_checksum(out, len);
    else
        nft_readdress(out, len, s.dst, s.dport, s.src, s.sport);
    return len;
}

uint32_t stream_error(const uint8_t *frame, uint32_t len, uint8_t how, uint8_t out[STREAM_FRAME_MAX])
{
    struct nft_seen s;
    uint32_t n;

    if (!nft_see(frame, len, &s) || s.l3 >= len)
        return 0;
    n = len - s.l3 < 60 ? len - s.l3 : 60;
    struct nft_spec spec = HELP_PACKET(1, how & 1 ? s.dst : outside[3], 0, s.src, 0, .type = how & 2 ? 11 : 3,
                                       .code = how >> 2 & 7, .inner = frame + s.l3, .inner_len = (uint16_t)n);

    n = nft_frame(&spec, out);
    memcpy(out, frame + 6, 6);
    return n;
}
