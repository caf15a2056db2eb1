/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of a stream. Hosts and ports are few, so that what the fuzzer changes hits a flow that exists. */
#include "tests/fuzz/stream.h"
#include "nftest/frames.h"

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
    struct nft_spec s = {.src = own,
                         .dst = side && (a & 0x40) ? outside[a >> 3 & 7] : far,
                         .sport = ports[b & 7],
                         .dport = ports[b >> 3 & 7],
                         .proto = protos[b >> 6 | (c >> 5 & 4)],
                         .payload = (uint16_t)(c & 0x1f)};

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

static void swap(uint8_t *a, uint8_t *b, size_t n)
{
    uint8_t t[6];

    memcpy(t, a, n);
    memcpy(a, b, n);
    memcpy(b, t, n);
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
    struct nft_spec spec = {.src = how & 1 ? s.dst : outside[3],
                            .dst = s.src,
                            .proto = 1,
                            .type = how & 2 ? 11 : 3,
                            .code = how >> 2 & 7,
                            .inner = frame + s.l3,
                            .inner_len = (uint16_t)n};

    n = nft_frame(&spec, out);
    memcpy(out, frame + 6, 6);
    return n;
}
