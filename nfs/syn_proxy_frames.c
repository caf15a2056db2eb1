/* SPDX-License-Identifier: Apache-2.0 */
/* The packets of syn_proxy; see the header. */
#include "nfs/syn_proxy_frames.h"

#include <arpa/inet.h>
#include <string.h>

#define HEADER    20u /* of IPv4 or TCP without options */
#define HEADER6   40u
#define FRAME_MIN 60u
#define CAPTURED                                                                                             \
    64u /* bytes of each frame that there are on a standby, or all headers, or the whole frame               \
         */

/* Of n bytes of TCP, 60 at most, behind a pseudo header (RFC 9293, 3.1); 0: they have the right one. */
static uint16_t tcp_sum(const uint8_t *ip, bool ipv6, const uint8_t *tcp, uint32_t n)
{
    return ipv6 ? nf_ipv6_checksum(ip + 8, NF_PROTO_TCP, tcp, n)
                : nf_ipv4_checksum(ip + 12, NF_PROTO_TCP, tcp, n);
}

/* All of a TCP header but its ports, and the lengths and checksums in front of it. Bytes of TCP. */
static uint32_t write_segment(uint8_t *ip, bool ipv6, uint32_t ip_header, const struct sp_segment *segment)
{
    uint32_t n = segment->mss ? HEADER + 4 : HEADER;
    uint8_t *tcp = ip + ip_header;

    nf_put32(tcp + 4, htonl(segment->seq));
    nf_put32(tcp + 8, htonl(segment->ack));
    tcp[12] = (uint8_t)(n / 4 << 4);
    tcp[13] = segment->flags;
    nf_put16(tcp + 14, htons(segment->window));
    nf_put32(tcp + 16, 0); /* checksum, urgent pointer */
    if (segment->mss)
        nf_put32(tcp + HEADER, htonl(0x02040000u | segment->mss));
    if (segment->probe)
        tcp[n++] = 0;
    nf_put16(tcp + 16, tcp_sum(ip, ipv6, tcp, n));
    if (ipv6) {
        nf_put16(ip + 4, htons((uint16_t)(ip_header - HEADER6 + n)));
    } else {
        nf_put16(ip + 2, htons((uint16_t)(ip_header + n)));
        nf_put16(ip + 10, 0);
        nf_put16(ip + 10, nf_checksum(ip, ip_header));
    }
    return n;
}

/* The header of the frame's IP packet, without options, and TCP's ports. Its length. */
static uint32_t write_ends(uint8_t *ip, const struct nf_packet *p, bool back)
{
    const uint8_t *ends = nf_packet_ipv6_addresses(p);
    bool ipv6 = p->flags & NF_P_IPV6_READ;
    uint8_t *tcp = ip + (ipv6 ? HEADER6 : HEADER);

    if (ipv6) {
        ip[0] = 0x60;
        ip[6] = NF_PROTO_TCP;
        ip[7] = 64;
        memcpy(ip + 8, back ? ends + 16 : ends, 16);
        memcpy(ip + 24, back ? ends : ends + 16, 16);
    } else {
        ip[0] = 0x45;
        ip[6] = 0x40; /* not to be fragmented */
        ip[8] = 64;
        ip[9] = NF_PROTO_TCP;
        nf_put32(ip + 12, back ? p->daddr : p->saddr);
        nf_put32(ip + 16, back ? p->saddr : p->daddr);
    }
    nf_put16(tcp, back ? p->dport : p->sport);
    nf_put16(tcp + 2, back ? p->sport : p->dport);
    return (uint32_t)(tcp - ip);
}

uint32_t sp_frame_make(const struct nf_packet *p, bool back, const struct sp_segment *segment,
                       uint8_t out[SP_FRAME_MAX])
{
    uint8_t *ip = out + p->l3;
    uint32_t header, len;

    memset(out, 0, SP_FRAME_MAX);
    memcpy(out, p->data, p->l3);
    if (back)
        nf_packet_macs_back(p, out);
    header = write_ends(ip, p, back);
    len = p->l3 + header + write_segment(ip, p->flags & NF_P_IPV6_READ, header, segment);
    return len < FRAME_MIN ? FRAME_MIN : len;
}

void sp_packet_become(struct nf_packet *p, const struct sp_segment *segment)
{
    struct sp_segment fits = *segment;
    uint32_t end = p->l4 + HEADER + 4, captured = p->payload > CAPTURED ? p->payload : CAPTURED;

    if (end > captured || end > p->have)
        fits.mss = 0;
    p->l4_len = (uint16_t)write_segment(p->data + p->l3, p->flags & NF_P_IPV6_READ, p->l4 - p->l3, &fits);
    p->payload = p->l4 + p->l4_len;
    p->tcp_flags = segment->flags;
}

bool sp_packet_is_sound(const struct nf_packet *p)
{
    const uint8_t *ip = p->data + p->l3, *tcp = p->data + p->l4;

    return p->l4 + p->l4_len == p->payload && tcp_sum(ip, p->flags & NF_P_IPV6_READ, tcp, p->l4_len) == 0;
}

uint16_t sp_packet_mss(const struct nf_packet *p)
{
    const uint8_t *at = p->data + p->l4 + HEADER, *end = p->data + p->payload;

    while (end - at >= 2 && *at != 0) {
        if (*at == 1) {
            at++;
            continue;
        }
        if (at[1] < 2 || at[1] > end - at)
            break;
        if (at[0] == 2 && at[1] == 4)
            return ntohs(nf_get16(at + 2));
        at += at[1];
    }
    return 536;
}

uint32_t sp_packet_seq(const struct nf_packet *p)
{
    return ntohl(nf_get32(p->data + p->l4 + 4));
}

uint32_t sp_packet_ack(const struct nf_packet *p)
{
    return ntohl(nf_get32(p->data + p->l4 + 8));
}

/* A number in the frame, and the checksum over it. */
static void move_number(uint8_t *at, uint8_t *sum, uint32_t by)
{
    uint32_t from = nf_get32(at), to = htonl(ntohl(from) + by);

    nf_put32(at, to);
    nf_put16(sum, nf_checksum_adjust32(nf_get16(sum), from, to));
}

void sp_packet_move_seq(struct nf_packet *p, uint32_t by)
{
    move_number(p->data + p->l4 + 4, p->data + p->l4 + 16, by);
}

void sp_packet_move_ack(struct nf_packet *p, uint32_t by)
{
    move_number(p->data + p->l4 + 8, p->data + p->l4 + 16, by);
}

void sp_packet_move_quoted(struct nf_packet *p, uint32_t by)
{
    struct nf_inner inner;

    nf_packet_inner(p, &inner);
    move_number(p->data + inner.l4 + 4, p->data + p->l4 + 2, by);
}
