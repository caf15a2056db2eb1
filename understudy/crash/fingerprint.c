/* SPDX-License-Identifier: Apache-2.0 */
/* By which a packet is known again; see fingerprint.h. */
#include "understudy/crash/fingerprint.h"
#include "nflib/net/packet.h"
#include "nflib/net/tcp.h"

#include <arpa/inet.h>
#include <string.h>
#include <xxhash.h>

#define PAYLOAD    128u /* bytes of it that count */
#define OTHER      128u /* bytes of a frame that is none of those that are known */
#define IPV4_BYTES 20u
#define IPV6_BYTES 40u
#define TCP_BYTES  20u

/* What is hashed, one thing behind the other. */
struct words {
    uint8_t bytes[48 + PAYLOAD]; /* or two for each option of a segment, of which there are 20 at most */
    uint32_t count;
};

static void add(struct words *w, const void *bytes, uint32_t n)
{
    memcpy(w->bytes + w->count, bytes, n);
    w->count += n;
}

/* Never 0, which means that there is none. */
static uint64_t hash(const struct words *w)
{
    return XXH3_64bits(w->bytes, w->count) | 1;
}

/* Source and destination, so also the direction. */
static void add_addresses(struct words *w, const struct nf_packet *p)
{
    add(w, &p->proto, 1);
    if (p->flags & NF_P_IPV4) {
        add(w, &p->saddr, 4);
        add(w, &p->daddr, 4);
    } else {
        add(w, nf_packet_ipv6_addresses(p), 32);
    }
}

/* Bytes behind `at` up to the end of the IP packet. */
static uint32_t bytes_behind(const struct nf_packet *p, uint32_t at)
{
    uint32_t end = p->l4 + (uint32_t)p->l4_len;

    return end > at ? end - at : 0;
}

/* The beginning of what lies behind `at`. False: it was not taken, as where no NF reads payload. */
static bool add_payload(struct words *w, const struct nf_packet *p, uint32_t at)
{
    uint32_t n = bytes_behind(p, at);

    n = n < PAYLOAD ? n : PAYLOAD;
    if (at + n > p->have)
        return false;
    add(w, p->data + at, n);
    return true;
}

/* Kinds that hosts put into segments in the course of a connection: fillers, SACK, timestamps, MD5, AO,
 * multipath. */
static bool is_usual_option(uint8_t kind, uint8_t len)
{
    switch (kind) {
    case 5:
        return len >= 10 && len % 8 == 2;
    case 8:
        return len == 10;
    case 19:
        return len == 18;
    case 29:
    case 30:
        return true;
    default:
        return false;
    }
}

/* Kinds and lengths of the options that are none of those, without what is in them. True: there are any, or
 * they do not end where they should. */
static bool add_odd_options(struct words *w, const struct nf_packet *p)
{
    uint32_t at = p->l4 + TCP_BYTES, end = p->payload;
    bool odd = false;

    while (at < end && p->data[at] != 0) {
        uint8_t kind = p->data[at], len = at + 1 < end ? p->data[at + 1] : 0;

        if (kind == 1) {
            at++;
            continue;
        }
        if (len < 2 || at + len > end)
            len = 0; /* nobody knows where the next one begins */
        if (!is_usual_option(kind, len)) {
            add(w, (uint8_t[]){kind, len}, 2);
            odd = true;
        }
        if (!len)
            return true;
        at += len;
    }
    return odd;
}

/*
 * A segment without payload that nothing of a connection's course waits for: a reset, or one with flags or
 * options that no host sends in it. False: it is as every connection has them, or was not taken whole.
 */
static bool add_odd_segment(struct words *w, const struct nf_packet *p)
{
    const uint8_t flags = p->tcp_flags & (NF_TCP_FIN | NF_TCP_SYN | NF_TCP_RST | NF_TCP_ACK | NF_TCP_URG);
    bool odd = flags & (NF_TCP_RST | NF_TCP_URG) || !(flags & NF_TCP_ACK);

    if (p->payload > p->have)
        return false;
    add(w, &flags, 1);
    return add_odd_options(w, p) || odd;
}

/* What of a segment lies in its `content`, behind the addresses. */
enum { OF_PAYLOAD, OF_SYN, OF_ODD };

static void describe_tcp(struct ft_fingerprint *f, const struct nf_packet *p)
{
    uint32_t payload = bytes_behind(p, p->payload);
    struct words flow = {.count = 0}, content;
    uint8_t syn = p->tcp_flags & (NF_TCP_SYN | NF_TCP_ACK);
    bool whole;
    uint32_t seq;

    memcpy(&seq, p->data + p->l4 + 4, sizeof(seq));
    f->seq = ntohl(seq);
    f->bytes = payload + ((p->tcp_flags & NF_TCP_SYN) != 0) + ((p->tcp_flags & NF_TCP_FIN) != 0);
    add_addresses(&flow, p);
    content = flow;
    add(&flow, &p->sport, 2);
    add(&flow, &p->dport, 2);
    if (!f->bytes) /* while an end only receives, all that it sends has one sequence number */
        add(&flow, p->data + p->l4 + 8, 4);
    f->flow = hash(&flow);
    if (payload) { /* with Fast Open also that of a SYN */
        add(&content, (uint8_t[]){OF_PAYLOAD}, 1);
        whole = add_payload(&content, p, p->payload);
    } else if (p->tcp_flags & NF_TCP_SYN) {
        add(&content, (uint8_t[]){OF_SYN, syn}, 2);
        add(&content, syn & NF_TCP_ACK ? &p->sport : &p->dport, 2);
        whole = true;
    } else {
        add(&content, (uint8_t[]){OF_ODD}, 1);
        whole = add_odd_segment(&content, p);
    }
    if (whole)
        f->content = hash(&content);
}

/* A resolver asks its next server the same question. */
static void describe_udp(struct ft_fingerprint *f, const struct nf_packet *p)
{
    struct words content = {.count = 0};

    f->seq = (uint32_t)ntohs(p->sport) << 16 | ntohs(p->dport);
    add(&content, &p->proto, 1);
    if (p->flags & NF_P_IPV4)
        add(&content, &p->saddr, 4);
    else
        add(&content, nf_packet_ipv6_addresses(p), 16);
    if (!bytes_behind(p, p->payload) ||
        !add_payload(&content, p, p->payload)) { /* nothing but headers was read */
        content.count = 0;
        add_addresses(&content, p);
        add(&content, &p->l4_len, 2);
    }
    f->content = hash(&content);
}

/* Of the packet that an error quotes: its ends. The rest is another one each time that packet is sent again.
 */
static void add_quoted(struct words *w, const struct nf_packet *p)
{
    struct nf_inner quoted;

    nf_packet_inner(p, &quoted);
    add(w, &quoted.proto, 1);
    if (quoted.addresses) {
        add(w, quoted.addresses, 32);
    } else {
        add(w, &quoted.saddr, 4);
        add(w, &quoted.daddr, 4);
    }
}

static void describe_icmp(struct ft_fingerprint *f, const struct nf_packet *p, bool echo)
{
    struct words content = {.count = 0};

    add_addresses(&content, p);
    add(&content, p->data + p->l4, 2); /* type and code */
    if (p->flags & NF_P_ICMP_ERROR)
        add_quoted(&content, p);
    else if (echo || !add_payload(&content, p, p->l4 + 4u))
        add(&content, &p->l4_len, 2);
    f->content = hash(&content);
}

/* Sets to 0 what is another one each time by another way: the addresses of Ethernet; of IPv4 the
 * identification, the time to live and the checksum; of IPv6 the flow label, the hop limit, and of a fragment
 * the identification. */
static void mask_head(uint8_t *head, uint32_t n)
{
    uint32_t at = 12;

    memset(head, 0, n < 12 ? n : 12);
    while (at + 2 <= n &&
           ((head[at] == 0x81 && head[at + 1] == 0) || (head[at] == 0x88 && head[at + 1] == 0xa8)))
        at += 4;
    if (at + 2 + IPV4_BYTES <= n && head[at] == 8 && head[at + 1] == 0) {
        memset(head + at + 2 + 4, 0, 2);
        head[at + 2 + 8] = 0;
        memset(head + at + 2 + 10, 0, 2);
    } else if (at + 2 + IPV6_BYTES <= n && head[at] == 0x86 && head[at + 1] == 0xdd) {
        head[at + 2 + 1] &= 0xf0;
        memset(head + at + 2 + 2, 0, 2);
        head[at + 2 + 7] = 0;
        if (head[at + 2 + 6] == IPPROTO_FRAGMENT && at + 2 + IPV6_BYTES + 8 <= n)
            memset(head + at + 2 + IPV6_BYTES + 4, 0, 4);
    }
}

static void describe_other(struct ft_fingerprint *f, const struct nf_packet *p, uint32_t wire)
{
    uint8_t head[OTHER];
    uint32_t n = p->have < OTHER ? p->have : OTHER;

    memcpy(head, p->data, n);
    mask_head(head, n);
    f->content = XXH3_64bits_withSeed(head, n, wire) | 1;
}

struct ft_fingerprint nd_fingerprint(const void *frame, uint32_t taken, uint32_t wire)
{
    uint8_t bytes[FT_FINGERPRINT_BYTES]; /* parse may not write, but takes what could be written */
    struct nf_packet p = {.data = bytes, .len = wire};
    struct ft_fingerprint f = {0};
    bool whole;

    p.have = taken < sizeof(bytes) ? taken : sizeof(bytes);
    memcpy(bytes, frame, p.have);
    nf_packet_parse(&p);
    whole =
        p.flags & (NF_P_IPV4 | NF_P_IPV6_READ) && p.flags & NF_P_L4 && !(p.flags & (NF_P_BAD | NF_P_LATER));
    if (whole && p.proto == NF_PROTO_TCP)
        describe_tcp(&f, &p);
    else if (whole && p.proto == NF_PROTO_UDP)
        describe_udp(&f, &p);
    else if (whole && p.flags & NF_P_IPV4 && p.proto == NF_PROTO_ICMP)
        describe_icmp(&f, &p, nf_icmp_is_echo(p.icmp_type));
    else if (whole && p.flags & NF_P_IPV6_READ && p.proto == NF_PROTO_ICMPV6)
        describe_icmp(&f, &p, nf_icmpv6_is_echo(p.icmp_type));
    else
        describe_other(&f, &p, wire);
    return f;
}

/* Of one connection and direction. What takes no sequence number has the one that comes next, and is the same
 * again if it acknowledges the same, as keepalives and probes of a window do. */
static bool overlap(const struct ft_fingerprint *a, const struct ft_fingerprint *b)
{
    if (!a->bytes || !b->bytes)
        return a->bytes == b->bytes && a->seq == b->seq;
    return b->seq - a->seq < a->bytes || a->seq - b->seq < b->bytes; /* modulo 2^32 */
}

/* Of a datagram; what has no ports has 0 for both. */
static bool has_a_port_of(const struct ft_fingerprint *a, const struct ft_fingerprint *b)
{
    return a->seq >> 16 == b->seq >> 16 || (a->seq & 0xffff) == (b->seq & 0xffff);
}

bool nd_fingerprint_is_again(const struct ft_fingerprint *known, const struct ft_fingerprint *frame)
{
    if (known->flow && known->flow == frame->flow && overlap(known, frame))
        return true;
    return known->content && known->content == frame->content && !known->flow == !frame->flow &&
           (known->flow || has_a_port_of(known, frame));
}

/* A connection that is begun anew between the same ports has any sequence number: hardly ever one of these.
 */
#define BEHIND (1u << 20)

bool nd_fingerprint_is_behind(const struct ft_fingerprint *known, const struct ft_fingerprint *frame)
{
    return known->flow && known->flow == frame->flow && known->bytes && frame->bytes &&
           frame->seq - known->seq < BEHIND; /* modulo 2^32 */
}

bool nd_fingerprint_is_another(const struct ft_fingerprint *known, uint32_t count,
                               const struct ft_fingerprint *frame)
{
    bool again = false;

    for (uint32_t i = 0; i < count; i++) {
        if (!nd_fingerprint_is_again(&known[i], frame))
            continue;
        if (known[i].flow == frame->flow)
            return false;
        again = true;
    }
    return again && frame->bytes > 1;
}
