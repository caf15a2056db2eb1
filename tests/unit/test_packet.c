/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsing of frames: it is fed damaged frames that end at a page nobody may touch, and must find the same in
 * the captured bytes of a frame as in the whole; counts over captures are tshark's.
 */
#include "nflib/net/packet.h"
#include "nflib/net/tcp.h"
#include "tests/help/chain.h"
#include "tests/help/record.h"
#include "tests/help/test.h"

#include <arpa/inet.h>
#include <pcap/pcap.h>
#include <sys/mman.h>

/* ---- packets by chance, in room that ends at a page nobody may touch -------------------------------- */

#define ROOM 131072u

enum { TCP = 6, UDP = 17, ICMP = 1 };

static uint8_t *room_end;

static uint32_t packet_below(uint32_t n)
{
    return (uint32_t)draw_below(n);
}

/* `n` bytes of `from`, followed by bytes that cannot be read. */
static uint8_t *packet_place(const uint8_t *from, uint32_t n)
{
    if (!room_end) {
        uint8_t *room = mmap(NULL, ROOM + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        assert_ptr_not_equal(room, MAP_FAILED);
        assert_int_equal(mprotect(room + ROOM, 4096, PROT_NONE), 0);
        room_end = room + ROOM;
    }
    assert_true(n <= ROOM);
    memcpy(room_end - n, from, n);
    return room_end - n;
}

/* The short way for usual packets and the way for any find the same. */
static void check_short_way(const struct nf_packet *p)
{
    struct nf_packet q;
    memset(&q, 0x5a, sizeof(q));
    q.data = p->data;
    q.len = p->len;
    q.have = p->have;
    nf_packet_parse_any(&q);
    assert_int_equal(p->flags, q.flags);
    assert_int_equal(p->bad, q.bad);
    assert_int_equal(p->proto, q.proto);
    assert_int_equal(p->tcp_flags, q.tcp_flags);
    assert_int_equal(p->l3, q.l3);
    assert_int_equal(p->l4, q.l4);
    assert_int_equal(p->payload, q.payload);
    assert_int_equal(p->l4_len, q.l4_len);
    assert_int_equal(p->frag_id, q.frag_id);
    assert_int_equal(p->saddr, q.saddr);
    assert_int_equal(p->daddr, q.daddr);
    assert_int_equal(p->sport, q.sport);
    assert_int_equal(p->dport, q.dport);
    assert_int_equal(p->icmp_type, q.icmp_type);
    assert_int_equal(p->icmp_code, q.icmp_code);
}

static struct nf_packet packet_parsed(uint8_t *data, uint32_t len, uint32_t have)
{
    struct nf_packet p;
    memset(&p, 0xa5, sizeof(p)); /* parse must not rely on anything being zero */
    p.data = data;
    p.len = len;
    p.have = have;
    p.owner = &draw_seed;
    nf_packet_parse(&p);
    assert_ptr_equal(p.owner, &draw_seed);
    check_short_way(&p);
    return p;
}

/* What the checksum field at `at` must hold, over n bytes from `from`. */
static uint16_t plain_field(uint8_t *at, const uint8_t *from, uint32_t n)
{
    uint32_t was = help_get16(at), want;

    help_put16(at, 0);
    want = help_checksum(0, from, n);
    help_put16(at, was);
    return (uint16_t)want;
}

static uint32_t l4_sum_at(uint8_t proto)
{
    return proto == TCP ? 16 : proto == UDP ? 6 : 2;
}

/* Bytes of the IPv4 header. */
static uint32_t packet_ip_header(const uint8_t *ip)
{
    return (ip[0] & 15) * 4u;
}

/* The L4 checksum that an IPv4 packet with `l4_len` bytes of L4 must have. */
static uint16_t packet_l4_sum(uint8_t *ip, uint32_t l4_len)
{
    uint8_t *l4 = ip + packet_ip_header(ip), *at = l4 + l4_sum_at(ip[9]);
    uint32_t was = help_get16(at), want;

    help_put16(at, 0);
    want = help_l4_checksum(ip, ip[9], l4, l4_len);
    help_put16(at, was);
    return (uint16_t)(ip[9] == UDP && want == 0 ? 0xffff : want);
}

/* Length and checksums of an IPv4 packet with `l4_len` bytes of L4; UDP's checksum is sometimes absent. */
static void packet_finish(uint8_t *ip, uint32_t l4_len)
{
    help_seal_ipv4(ip, l4_len);
    if (ip[9] == UDP && packet_below(4) == 0)
        help_put16(ip + packet_ip_header(ip) + l4_sum_at(UDP), 0);
}

/* A packet without error inside: header with or without options, TCP, UDP or an echo. Bytes of L4. */
static uint32_t packet_build(uint8_t *ip, uint8_t proto, uint32_t payload)
{
    uint32_t header = 20 + (packet_below(3) ? 0 : 4 * packet_below(11));
    for (uint32_t i = 0; i < header + 60 + payload; i++)
        ip[i] = (uint8_t)draw();
    ip[0] = (uint8_t)(0x40 | header / 4);
    ip[6] = ip[7] = 0;
    ip[9] = proto;
    uint8_t *l4 = ip + header;
    uint32_t l4_header = 8;
    if (proto == TCP) {
        l4_header = 20 + 4 * packet_below(11);
        l4[12] = (uint8_t)(l4_header / 4 << 4);
    } else if (proto == UDP) {
        help_put16(l4 + 4, 8 + payload);
    } else {
        l4[0] = packet_below(2) ? 8 : 0;
        l4[1] = 0;
    }
    packet_finish(ip, l4_header + payload);
    return l4_header + payload;
}

static uint8_t packet_any_proto(void)
{
    static const uint8_t protos[] = {TCP, UDP, ICMP};
    return protos[packet_below(3)];
}

/* An Ethernet header with so many VLAN tags; its length. */
static uint32_t packet_ethernet(uint8_t *frame, unsigned tags, uint16_t type)
{
    uint32_t at = 12;
    for (unsigned i = 0; i < 12; i++)
        frame[i] = (uint8_t)draw();
    for (unsigned i = 0; i < tags; i++, at += 4) {
        help_put16(frame + at, i == 0 && tags == 2 ? 0x88a8 : 0x8100);
        help_put16(frame + at + 2, draw());
    }
    help_put16(frame + at, type);
    return at + 2;
}

/* ---- parsing ---------------------------------------------------------------------------------------- */

static void assert_same_facts(const struct nf_packet *a, const struct nf_packet *b)
{
    assert_int_equal(a->flags, b->flags);
    assert_int_equal(a->bad, b->bad);
    assert_int_equal(a->proto, b->proto);
    assert_int_equal(a->tcp_flags, b->tcp_flags);
    assert_memory_equal(&a->flags, &b->flags,
                        offsetof(struct nf_packet, owner) - offsetof(struct nf_packet, flags));
}

static void rewrite_all(struct nf_packet *p)
{
    nf_packet_set_inner_src(p, 0x11223344, 0x5566);
    nf_packet_set_inner_dst(p, 0x99aabbcc, 0x7788);
    nf_packet_set_saddr(p, 0x01020304);
    nf_packet_set_daddr(p, 0x05060708);
    nf_packet_set_sport(p, 0x1111);
    nf_packet_set_dport(p, 0x2222);
    nf_packet_dec_ttl(p);
}

/* What is captured of a frame must give the same facts and, rewritten, the same bytes. Returns the facts. */
static struct nf_packet parse_both_ways(const uint8_t *frame, uint32_t len, uint32_t have)
{
    static uint8_t live[ROOM];
    struct nf_packet whole = packet_parsed(packet_place(frame, have), len, have);
    uint32_t taken = nf_packet_header_bytes(&whole);
    struct nf_packet facts = whole;
    struct nf_inner inner, again;
    nf_packet_inner(&whole, &inner);
    assert_true(taken <= have && (taken >= 64 || taken == have));
    if (whole.flags & NF_P_L4)
        assert_true(whole.payload <= have);
    rewrite_all(&whole);
    memcpy(live, whole.data, have);
    assert_memory_equal(live + taken, frame + taken, have - taken);

    struct nf_packet captured = packet_parsed(packet_place(frame, taken), len, taken);
    nf_packet_inner(&captured, &again);
    assert_memory_equal(&inner, &again, sizeof(inner));
    assert_same_facts(&facts, &captured);
    assert_int_equal(nf_packet_header_bytes(&captured), taken);
    rewrite_all(&captured);
    assert_memory_equal(captured.data, live, taken);
    return facts;
}

static void damage(uint8_t *frame, uint32_t n)
{
    static const uint8_t sharp[] = {0, 1, 0x44, 0x45, 0x46, 0x4f, 0x50, 0x7f, 0x80, 0xf0, 0xff};
    for (uint32_t i = 1 + packet_below(4); i && n; i--) {
        uint32_t at = packet_below(n < 120 ? n : 120);
        frame[at] = packet_below(2) ? (uint8_t)draw() : sharp[packet_below(sizeof(sharp))];
    }
}

/* After damage most headers fail their checksum; mending it lets the parser go deeper. */
static void mend(uint8_t *frame, uint32_t n, uint32_t l3)
{
    if (l3 + 20 <= n && l3 + packet_ip_header(frame + l3) <= n && packet_ip_header(frame + l3) >= 20)
        help_put16(frame + l3 + 10, plain_field(frame + l3 + 10, frame + l3, packet_ip_header(frame + l3)));
}

TEST(damaged_frames_parse_the_same_in_whole_and_captured)
{
    unsigned bad[NF_BAD_COUNT] = {0}, errors = 0, l4s = 0;
    for (unsigned round = 0; round < 60000; round++) {
        uint8_t frame[700], whole[400];
        uint32_t l3 = packet_ethernet(frame, packet_below(3), round % 16 ? 0x0800 : 0x0806);
        uint32_t len = l3 + 20 + packet_build(frame + l3, packet_any_proto(), packet_below(101)),
                 l4 = l3 + packet_ip_header(frame + l3);
        if (round % 3 == 0) {
            uint32_t quoted = packet_build(whole, packet_any_proto(), 40);
            frame[l4] = 3;
            frame[l3 + 9] = ICMP;
            memcpy(frame + l4 + 8, whole, packet_ip_header(whole) + quoted);
            packet_finish(frame + l3, 8 + packet_ip_header(whole) + quoted);
            len = l4 + 8 + packet_ip_header(whole) + quoted;
        }
        damage(frame, len);
        if (packet_below(4))
            mend(frame, len, l3);
        uint32_t have = packet_below(3) ? len : packet_below(len + 1);
        struct nf_packet p = parse_both_ways(frame, packet_below(2) ? len : have, have);
        bad[p.bad]++;
        errors += (p.flags & NF_P_ICMP_ERROR) != 0;
        l4s += (p.flags & NF_P_L4) != 0;
        assert_int_equal(p.bad != 0, (p.flags & NF_P_BAD) != 0);
    }
    for (unsigned how = 0; how < NF_BAD_COUNT; how++)
        assert_true(bad[how] > 50);
    assert_true(errors > 1000 && l4s > 5000);
}

/* A frame of IPv6 with `l4_len` bytes behind its header, which says what comes first in it. Where that
 * begins.
 */
static uint32_t build_ipv6(uint8_t *frame, unsigned tags, uint8_t next, uint32_t l4_len)
{
    uint32_t l3 = packet_ethernet(frame, tags, 0x86dd);

    memset(frame + l3, 0, 40 + l4_len);
    frame[l3] = 0x60;
    help_put16(frame + l3 + 4, l4_len);
    frame[l3 + 6] = next;
    return l3 + 40;
}

TEST(ipv6_is_read_as_far_as_a_flow_needs)
{
    uint8_t frame[200];
    uint32_t l4 = build_ipv6(frame, 2, TCP, 32);
    help_put16(frame + l4, 1000);
    help_put16(frame + l4 + 2, 443);
    frame[l4 + 12] = 8 << 4;
    frame[l4 + 13] = 0x12;
    struct nf_packet p = parse_both_ways(frame, l4 + 40, l4 + 40);
    assert_int_equal(p.flags, NF_P_VLAN | NF_P_IPV6 | NF_P_IPV6_READ | NF_P_L4);
    assert_int_equal(help_get16((const uint8_t *)&p.sport), 1000);
    assert_int_equal(help_get16((const uint8_t *)&p.dport), 443);
    assert_int_equal(p.tcp_flags, 0x12);
    assert_int_equal(p.l4_len, 32);
    assert_int_equal(p.payload, l4 + 32);
    frame[l4 + 12] = 4 << 4; /* a TCP header of 16 bytes: the addresses are known, and no more is said */
    p = parse_both_ways(frame, l4 + 32, l4 + 32);
    assert_int_equal(p.flags, NF_P_VLAN | NF_P_IPV6 | NF_P_IPV6_READ);
    l4 = build_ipv6(frame, 0, 44, 8 + 16); /* the first fragment of a UDP packet, then a later one */
    frame[l4] = UDP;
    frame[l4 + 3] = 1;
    help_put16(frame + l4 + 8, 53);
    help_put16(frame + l4 + 8 + 4, 800);
    p = parse_both_ways(frame, l4 + 24, l4 + 24);
    assert_int_equal(p.flags, NF_P_IPV6 | NF_P_IPV6_READ | NF_P_FRAGMENT | NF_P_L4);
    assert_int_equal(p.proto, UDP);
    assert_int_equal(help_get16((const uint8_t *)&p.sport), 53);
    frame[l4 + 3] = 8;
    p = parse_both_ways(frame, l4 + 24, l4 + 24);
    assert_int_equal(p.flags, NF_P_IPV6 | NF_P_IPV6_READ | NF_P_FRAGMENT | NF_P_LATER);
    l4 = build_ipv6(frame, 0, UDP, 20); /* longer than the frame */
    p = parse_both_ways(frame, l4 + 19, l4 + 19);
    assert_int_equal(p.flags, NF_P_IPV6);
}

TEST(damaged_ipv6_is_never_called_bad)
{
    static const uint8_t nexts[] = {TCP, UDP, 58, 44, 0};
    unsigned read = 0, l4s = 0, later = 0;
    for (unsigned round = 0; round < 30000; round++) {
        uint8_t frame[200];
        uint32_t l4 = build_ipv6(frame, packet_below(3), nexts[round % 5], 60), len = l4 + 60;
        frame[l4] = round & 1 ? TCP : UDP;
        frame[l4 + 5] = frame[l4 + 13] = (uint8_t)draw();
        frame[l4 + 12] = frame[l4 + 20] = 5 << 4;
        damage(frame, len);
        uint32_t have = packet_below(3) ? len : packet_below(len + 1);
        struct nf_packet p = parse_both_ways(frame, packet_below(2) ? len : have, have);
        if (!(p.flags & NF_P_IPV6))
            continue;
        assert_false(p.flags & (NF_P_BAD | NF_P_IPV4));
        read += (p.flags & NF_P_IPV6_READ) != 0;
        l4s += (p.flags & NF_P_L4) != 0;
        later += (p.flags & NF_P_LATER) != 0;
    }
    assert_true(read > 10000 && l4s > 5000 && later > 100);
}

/* 60 bytes on the wire, 28 in the packet: the padding is nobody's. */
TEST(padding_is_not_payload)
{
    uint8_t frame[60] = {0};
    packet_ethernet(frame, 0, 0x0800);
    uint8_t *ip = frame + 14;
    ip[0] = 0x45;
    ip[9] = UDP;
    help_put16(ip + 2, 28);
    help_put16(ip + 24, 8);
    help_put16(ip + 10, plain_field(ip + 10, ip, 20));
    struct nf_packet p = parse_both_ways(frame, 60, 60);
    assert_int_equal(p.flags, NF_P_IPV4 | NF_P_L4);
    assert_int_equal(p.l4_len, 8);
    assert_int_equal(p.payload, 42);
    help_put16(ip + 24, 9); /* one more than the IPv4 packet has, though the frame has it */
    p = parse_both_ways(frame, 60, 60);
    assert_int_equal(p.flags, NF_P_IPV4 | NF_P_BAD);
    assert_int_equal(p.bad, NF_BAD_LENGTH);
}

/* The short way adds words of 64 bits, and bytes that are all ones carry out of both of its additions. A sum
 * without one of these carries would take a header for right whose checksum is wrong by 0x100. */
TEST(header_sums_carry_at_every_place)
{
    unsigned right = 0, wrong = 0;
    for (unsigned round = 0; round < 300000; round++) {
        uint8_t frame[60] = {0}, *ip = frame + 14;
        packet_ethernet(frame, 0, 0x0800);
        for (unsigned i = 0; i < 20; i++)
            ip[i] = packet_below(4) == 0 ? (uint8_t)draw() : packet_below(2) ? 0xff : 0;
        ip[0] = 0x45;
        help_put16(ip + 2, 28);
        ip[6] = ip[7] = 0;
        ip[9] = UDP;
        help_put16(ip + 24, 8);
        uint16_t sum = plain_field(ip + 10, ip, 20);
        help_put16(ip + 10, packet_below(2) ? sum : sum + 0x100u);
        bool is_right = help_checksum(0, ip, 20) == 0;
        struct nf_packet p = packet_parsed(packet_place(frame, 60), 60, 60);
        assert_int_equal(p.bad, is_right ? NF_BAD_NONE : NF_BAD_CHECKSUM);
        right += is_right;
        wrong += !is_right;
    }
    assert_true(right > 100000 && wrong > 100000);
}

struct facts {
    const char *file;
    uint32_t all, vlan, ipv4, fragments, later, options, tcp, udp, icmp, echo, arp, ipv6;
};

/*
 * From tshark, with IPv4 checksums checked and nothing reassembled. ipv4 counts headers with a right checksum
 * and a length that the frame can hold.
 */
static const struct facts captures[] = {
    {"1kxun.pcap", 1723, 0, 1659, 0, 0, 0, 1381, 278, 0, 0, 0, 64},
    {"WebattackRCE.pcap", 797, 0, 797, 0, 0, 0, 797, 0, 0, 0, 0, 0},
    {"badpackets.pcap", 93, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0},
    {"bot.pcap", 402, 402, 402, 0, 0, 0, 402, 0, 0, 0, 0, 0},
    {"dnscrypt-v1-and-resolver-pings.pcap", 608, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, /* no right checksum */
    {"ftp-bruteforce.pcap", 606, 0, 606, 0, 0, 0, 606, 0, 0, 0, 0, 0},
    {"gnutella.pcap", 3905, 0, 3814, 0, 0, 12, 2149, 1645, 8, 0, 22, 68},
    {"http-methods.pcap", 655, 0, 655, 0, 0, 0, 655, 0, 0, 0, 0, 0},
    {"http-qinq.pcap", 14, 14, 14, 0, 0, 0, 14, 0, 0, 0, 0, 0},
    {"ip_fragmented_garbage.pcap", 1252, 0, 1252, 1252, 1248, 0, 0, 0, 0, 0, 0,
     0},                                                         /* 16 bytes of TCP in the first */
    {"mixed.pcap", 179, 0, 148, 0, 0, 0, 106, 28, 11, 5, 1, 10}, /* 10 more are tagged inside MPLS */
    {"synscan.pcap", 2011, 0, 2011, 0, 0, 0, 2011, 0, 0, 0, 0, 0},
    {"tcp-truncated-header.pcap", 24, 0, 24, 0, 0, 0, 23, 0, 0, 0, 0, 0}, /* one ends in its options */
};

/* What is behind an IPv6 header is not counted. */
static void count(struct facts *f, const struct nf_packet *p)
{
    bool ipv4 = p->flags & NF_P_IPV4, l4 = ipv4 && p->flags & NF_P_L4;
    f->all++;
    f->vlan += (p->flags & NF_P_VLAN) != 0;
    f->ipv4 += ipv4;
    f->fragments += ipv4 && p->flags & NF_P_FRAGMENT;
    f->later += ipv4 && p->flags & NF_P_LATER;
    f->options += (p->flags & NF_P_OPTIONS) != 0;
    f->tcp += l4 && p->proto == TCP;
    f->udp += l4 && p->proto == UDP;
    f->icmp += l4 && p->proto == ICMP;
    f->echo += l4 && p->proto == ICMP && (p->icmp_type == 0 || p->icmp_type == 8);
    f->arp += (p->flags & NF_P_ARP) != 0;
    f->ipv6 += (p->flags & NF_P_IPV6) != 0;
}

static void damage_capture(const uint8_t *frame, const struct pcap_pkthdr *head)
{
    static uint8_t copy[ROOM];
    for (unsigned i = 0; i < 8; i++) {
        memcpy(copy, frame, head->caplen);
        damage(copy, head->caplen);
        mend(copy, head->caplen, 14);
        parse_both_ways(copy, head->len, packet_below(2) ? head->caplen : packet_below(head->caplen + 1));
    }
}

static bool read_capture(const char *file, struct facts *found)
{
    char path[256], error[PCAP_ERRBUF_SIZE];
    snprintf(path, sizeof(path), "%s/%s", help_capture_directory(), file);
    pcap_t *pcap = access(path, R_OK) == 0 ? pcap_open_offline(path, error) : NULL;
    if (!pcap)
        return false;
    struct pcap_pkthdr *head;
    const uint8_t *frame;
    while (pcap_next_ex(pcap, &head, &frame) == 1) {
        struct nf_packet p = parse_both_ways(frame, head->len, head->caplen);
        count(found, &p);
        damage_capture(frame, head);
    }
    pcap_close(pcap);
    return true;
}

TEST(counts_over_captures_are_those_of_tshark)
{
    help_captures_or_skip();
    for (size_t i = 0; i < sizeof(captures) / sizeof(captures[0]); i++) {
        const struct facts *want = &captures[i];
        struct facts got = {.file = want->file};
        if (!read_capture(want->file, &got))
            continue;
        const uint32_t *a = &got.all, *b = &want->all;
        for (unsigned k = 0; k < (sizeof(got) - offsetof(struct facts, all)) / 4 && k < 12; k++)
            if (a[k] != b[k])
                fail_msg("%s: fact %u: %u, tshark says %u", want->file, k, a[k], b[k]);
    }
}

/* Rewriting of frames. Checksums are compared with a plain recomputation over the whole packet. */

static uint32_t captured_bytes(uint8_t *frame, uint32_t len)
{
    struct nf_packet p = packet_parsed(frame, len, len);
    assert_int_equal(nf_packet_header_bytes(&p), nf_packet_header_bytes_any(&p));
    return nf_packet_header_bytes(&p);
}

static void assert_sum(const uint8_t *at, uint16_t want, const char *what)
{
    if (help_get16(at) != want)
        fail_msg("%s checksum %04x, recomputed %04x", what, help_get16(at), want);
}

TEST(checksums_are_the_published_ones)
{
    /* RFC 1071, section 3: the sum of these is ddf2 */
    static const uint8_t rfc1071[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};
    assert_int_equal(ntohs(nf_checksum(rfc1071, 8)), 0xffff ^ 0xddf2);
    static const uint8_t odd[] = {0x12, 0x34, 0x56};
    assert_int_equal(ntohs(nf_checksum(odd, 3)), 0xffff ^ (0x1234 + 0x5600));
    assert_int_equal(nf_checksum(odd, 0), 0xffff);
    /* RFC 1624, section 4: 5555 becomes 3285 under dd2f, and the answer is 0000, not ffff */
    assert_int_equal(nf_checksum_adjust16(htons(0xdd2f), htons(0x5555), htons(0x3285)), 0);
    assert_int_equal(nf_checksum_adjust32(htons(0xdd2f), htonl(0x55550000), htonl(0x32850000)), 0);
}

TEST(checksums_are_right_of_any_bytes)
{
    uint8_t bytes[97];
    for (unsigned round = 0; round < 2000; round++) {
        uint32_t n = packet_below(sizeof(bytes) + 1);
        for (uint32_t i = 0; i < n; i++)
            bytes[i] = round % 3 ? (uint8_t)draw() : 0xff;
        assert_int_equal(ntohs(nf_checksum(packet_place(bytes, n), n)), help_checksum(0, bytes, n));
    }
}

/* Changes one thing and the test's copy of the fact; `echo`: ports are one identifier. */
static void change(struct nf_packet *p, bool extreme)
{
    uint32_t addr = extreme ? (packet_below(2) ? 0 : 0xffffffff) : draw() << 1;
    uint16_t port = (uint16_t)(extreme ? (packet_below(2) ? 0 : 0xffff) : draw());
    const uint8_t *ip = p->data + p->l3, *l4 = p->data + p->l4;
    switch (packet_below(7)) {
    case 0:
        nf_packet_set_saddr(p, addr);
        assert_int_equal(p->saddr, addr);
        assert_memory_equal(ip + 12, &addr, 4);
        break;
    case 1:
        nf_packet_set_daddr(p, addr);
        assert_int_equal(p->daddr, addr);
        assert_memory_equal(ip + 16, &addr, 4);
        break;
    case 2:
        nf_packet_set_sport(p, port);
        assert_int_equal(p->sport, port);
        assert_memory_equal(l4 + (p->proto == ICMP ? 4 : 0), &port, 2);
        break;
    case 3:
        nf_packet_set_dport(p, port);
        assert_int_equal(p->dport, port);
        assert_memory_equal(l4 + (p->proto == ICMP ? 4 : 2), &port, 2);
        break;
    case 4:
        nf_packet_set_source(p, addr, port);
        assert_true(p->saddr == addr && p->sport == port);
        assert_memory_equal(ip + 12, &addr, 4);
        assert_memory_equal(l4 + (p->proto == ICMP ? 4 : 0), &port, 2);
        break;
    case 5:
        nf_packet_set_destination(p, addr, port);
        assert_true(p->daddr == addr && p->dport == port);
        assert_memory_equal(ip + 16, &addr, 4);
        assert_memory_equal(l4 + (p->proto == ICMP ? 4 : 2), &port, 2);
        break;
    default: {
        uint8_t ttl = ip[8];
        nf_packet_dec_ttl(p);
        assert_int_equal(ip[8], ttl ? ttl - 1 : 0);
    }
    }
}

TEST(rewriting_keeps_checksums_right)
{
    for (unsigned round = 0; round < 20000; round++) {
        uint8_t frame[400];
        uint8_t proto = packet_any_proto();
        uint32_t l3 = packet_ethernet(frame, packet_below(3), 0x0800),
                 l4_len = packet_build(frame + l3, proto, packet_below(101));
        uint32_t l4 = l3 + packet_ip_header(frame + l3), len = l4 + l4_len;
        bool no_sum = proto == UDP && help_get16(frame + l4 + 6) == 0;
        struct nf_packet p = packet_parsed(frame, len, len);
        assert_true(p.flags & NF_P_L4 && !(p.flags & NF_P_BAD));
        assert_int_equal(p.l4, l4);
        assert_int_equal(p.l4_len, l4_len);
        for (unsigned i = 0; i < 6; i++) {
            change(&p, round % 2);
            assert_sum(frame + l3 + 10, plain_field(frame + l3 + 10, frame + l3, l4 - l3), "IPv4");
            uint16_t sum = no_sum ? 0 : packet_l4_sum(frame + l3, l4_len);
            bool other = proto == ICMP && sum == 0; /* an echo's sum of zero may have its other form */
            assert_sum(frame + l4 + l4_sum_at(proto),
                       other && help_get16(frame + l4 + l4_sum_at(proto)) == 0xffff ? 0xffff : sum, "L4");
        }
        struct nf_packet again = packet_parsed(frame, len, len);
        assert_int_equal(again.saddr, p.saddr);
        assert_int_equal(again.daddr, p.daddr);
        assert_int_equal(again.sport, p.sport);
        assert_int_equal(again.dport, p.dport);
    }
}

/* Over all ports one makes the sum zero, which UDP sends as ffff; and a sum that was never made stays absent.
 */
TEST(udp_never_loses_its_checksum)
{
    uint8_t frame[300];
    uint32_t l3 = packet_ethernet(frame, 0, 0x0800), l4_len = packet_build(frame + l3, UDP, 10), zeros = 0;
    uint8_t *sum = frame + l3 + packet_ip_header(frame + l3) + 6;
    help_put16(sum, packet_l4_sum(frame + l3, l4_len));
    struct nf_packet p = packet_parsed(frame, sizeof(frame), sizeof(frame));
    for (unsigned both = 0; both < 2; both++, zeros = 0) {
        for (uint32_t port = 0; port < 65536; port++) {
            if (both)
                nf_packet_set_source(&p, p.saddr, (uint16_t)port);
            else
                nf_packet_set_sport(&p, (uint16_t)port);
            assert_sum(sum, packet_l4_sum(frame + l3, l4_len), "UDP");
            zeros += help_get16(sum) == 0xffff;
        }
        assert_int_equal(zeros, 1);
    }
}

/* A datagram in two fragments: the checksum in the first covers both, and only addresses and ports change. */
TEST(rewriting_the_first_fragment_keeps_the_checksum_of_both)
{
    for (unsigned round = 0; round < 5000; round++) {
        uint8_t first[400], second[400];
        uint8_t proto = round % 2 ? TCP : UDP;
        uint32_t l3 = packet_ethernet(first, 0, 0x0800), l4_len = packet_build(first + l3, proto, 200);
        uint32_t l4 = l3 + packet_ip_header(first + l3), cut = 80;
        bool no_sum = proto == UDP && help_get16(first + l4 + 6) == 0;
        help_put16(first + l3 + 2, l4 - l3 + cut);
        help_put16(first + l3 + 6, 0x2000);
        help_put16(first + l3 + 10, plain_field(first + l3 + 10, first + l3, l4 - l3));
        memcpy(second, first, l4);
        memcpy(second + l4, first + l4 + cut, l4_len - cut);
        help_put16(second + l3 + 2, l4 - l3 + l4_len - cut);
        help_put16(second + l3 + 6, cut / 8);
        help_put16(second + l3 + 10, plain_field(second + l3 + 10, second + l3, l4 - l3));
        struct nf_packet a = packet_parsed(first, l4 + cut, l4 + cut);
        struct nf_packet b = packet_parsed(second, l4 + l4_len - cut, l4 + l4_len - cut);
        assert_int_equal(a.flags & (NF_P_FRAGMENT | NF_P_LATER | NF_P_L4), NF_P_FRAGMENT | NF_P_L4);
        assert_int_equal(b.flags & (NF_P_FRAGMENT | NF_P_LATER | NF_P_L4), NF_P_FRAGMENT | NF_P_LATER);
        assert_int_equal(a.frag_id, b.frag_id);
        uint8_t before[400];
        memcpy(before, second, sizeof(before));
        nf_packet_set_saddr(&a, 0x01020304), nf_packet_set_saddr(&b, 0x01020304);
        nf_packet_set_daddr(&a, 0x0a0b0c0d), nf_packet_set_daddr(&b, 0x0a0b0c0d);
        nf_packet_set_sport(&a, 77), nf_packet_set_sport(&b, 77);
        assert_memory_equal(second + l4, before + l4, l4_len - cut);
        assert_sum(second + l3 + 10, plain_field(second + l3 + 10, second + l3, l4 - l3), "IPv4");
        assert_sum(first + l3 + 10, plain_field(first + l3 + 10, first + l3, l4 - l3), "IPv4");
        assert_sum(first + l4 + l4_sum_at(proto), no_sum ? 0 : packet_l4_sum(first + l3, l4_len), "L4");
    }
}

/* The header says TCP, but its 20 bytes are not there: only the IPv4 header may change. */
TEST(without_an_l4_header_only_the_ipv4_header_changes)
{
    uint8_t frame[200], before[200];
    uint32_t l3 = packet_ethernet(frame, 0, 0x0800);
    packet_build(frame + l3, TCP, 20);
    uint32_t l4 = l3 + packet_ip_header(frame + l3);
    help_put16(frame + l3 + 2, l4 - l3 + 18);
    help_put16(frame + l3 + 10, plain_field(frame + l3 + 10, frame + l3, l4 - l3));
    struct nf_packet p = packet_parsed(frame, l4 + 18, l4 + 18);
    assert_int_equal(p.flags & (NF_P_IPV4 | NF_P_L4 | NF_P_BAD), NF_P_IPV4 | NF_P_BAD);
    assert_int_equal(p.bad, NF_BAD_SHORT);
    memcpy(before, frame, sizeof(before));
    nf_packet_set_saddr(&p, 1);
    nf_packet_set_sport(&p, 2);
    assert_sum(frame + l3 + 10, plain_field(frame + l3 + 10, frame + l3, l4 - l3), "IPv4");
    assert_memory_equal(frame + l4, before + l4, sizeof(frame) - l4);
}

/*
 * An ICMP error quotes `quoted` bytes of a packet that the test keeps whole: after each change the quoted
 * bytes go back into it, and it must be right again.
 */
TEST(rewriting_reaches_into_icmp_errors)
{
    static const uint8_t errors[] = {3, 4, 5, 11, 12};
    unsigned tcp_sums = 0, tcp_without = 0;
    for (unsigned round = 0; round < 20000; round++) {
        uint8_t whole[400], frame[700];
        uint8_t proto = packet_any_proto();
        uint32_t inner_len = packet_build(whole, proto, 40), header = packet_ip_header(whole);
        uint32_t quoted = header + 8 + packet_below(inner_len - 8 + 1);
        uint32_t l3 = packet_ethernet(frame, packet_below(2), 0x0800);
        packet_build(frame + l3, ICMP, 0);
        uint32_t l4 = l3 + packet_ip_header(frame + l3), inner = l4 + 8, end = inner + quoted, len = end + 20;
        frame[l4] = errors[packet_below(5)];
        memcpy(frame + inner, whole, quoted);
        packet_finish(frame + l3, 8 + quoted);
        memset(frame + end, 0x77, 20); /* behind the packet: nobody's */
        bool no_sum = proto == UDP && help_get16(whole + header + 6) == 0;
        uint32_t have = packet_below(2) ? len : captured_bytes(frame, len);
        struct nf_packet p = packet_parsed(frame, len, have);
        assert_true(p.flags & NF_P_ICMP_ERROR);
        uint32_t addr = round % 2 ? draw() << 1 : (packet_below(2) ? 0 : 0xffffffff);
        uint16_t port = (uint16_t)(round % 2 ? draw() : (packet_below(2) ? 0 : 0xffff));
        bool dst = packet_below(2);
        (dst ? nf_packet_set_inner_dst : nf_packet_set_inner_src)(&p, addr, port);

        struct nf_inner in;
        nf_packet_inner(&p, &in);
        assert_int_equal(in.proto, proto);
        assert_int_equal(dst ? in.daddr : in.saddr, addr);
        assert_int_equal(dst ? in.dport : in.sport, port);
        for (uint32_t i = end; i < len; i++)
            assert_int_equal(frame[i], 0x77);
        memcpy(whole, frame + inner, quoted);
        assert_sum(whole + 10, plain_field(whole + 10, whole, header), "inner IPv4");
        if (proto != TCP || quoted >= header + 18)
            assert_sum(whole + header + l4_sum_at(proto), no_sum ? 0 : packet_l4_sum(whole, inner_len),
                       "inner L4");
        assert_sum(frame + l4 + 2, plain_field(frame + l4 + 2, frame + l4, 8 + quoted), "outer ICMP");
        tcp_sums += proto == TCP && quoted >= header + 18;
        tcp_without += proto == TCP && quoted < header + 18;
    }
    assert_true(tcp_sums > 100 && tcp_without > 100);
}

/* Seven bytes of inner L4 in the packet; the eighth in the frame is padding. */
TEST(an_error_that_quotes_too_little_is_left_alone)
{
    uint8_t whole[400], frame[300];
    uint32_t l3 = packet_ethernet(frame, 0, 0x0800);
    packet_build(whole, TCP, 0);
    packet_build(frame + l3, ICMP, 0);
    uint32_t l4 = l3 + packet_ip_header(frame + l3), quoted = packet_ip_header(whole) + 8;
    frame[l4] = 3;
    memcpy(frame + l4 + 8, whole, quoted);
    packet_finish(frame + l3, 8 + quoted);
    assert_true(packet_parsed(frame, l4 + 8 + quoted, l4 + 8 + quoted).flags & NF_P_ICMP_ERROR);
    packet_finish(frame + l3, 8 + quoted - 1);
    struct nf_packet p = packet_parsed(frame, l4 + 8 + quoted, l4 + 8 + quoted);
    assert_int_equal(p.flags & (NF_P_L4 | NF_P_ICMP_ERROR | NF_P_BAD), NF_P_L4);
}

/* What a session's look-up takes for granted of TCP: that a packet which it does not follow changes nothing.
 */

TEST(what_stays_is_followed_to_the_same_state)
{
    for (unsigned way = 0; way < 2 * 256; way++)
        for (uint8_t was = 0; was < NF_TCP_STATES; was++) {
            uint8_t flags = (uint8_t)way;
            bool reply = way & 256;

            if (!nf_tcp_stays(was, flags, reply))
                continue;
            assert_false(nf_tcp_is_request(flags));
            assert_false(nf_tcp_is_impossible(flags));
            assert_int_equal(nf_tcp_next(was, flags, reply), was);
        }
}

TEST(data_stays_and_what_opens_or_ends_does_not)
{
    assert_true(nf_tcp_stays(NF_TCP_ESTABLISHED, NF_TCP_ACK | NF_TCP_PSH, true));
    assert_false(nf_tcp_stays(NF_TCP_SYN_RECV, NF_TCP_ACK, false));
    assert_false(nf_tcp_stays(NF_TCP_ESTABLISHED, NF_TCP_ACK | NF_TCP_RST, true));
    assert_false(nf_tcp_stays(NF_TCP_ESTABLISHED, NF_TCP_ACK | NF_TCP_FIN, true));
    assert_false(nf_tcp_stays(NF_TCP_CLOSED, NF_TCP_SYN, true));
    assert_true(nf_tcp_stays(NF_TCP_SYN_SENT, NF_TCP_ACK, false));
    assert_false(nf_tcp_stays(NF_TCP_SYN_SENT, NF_TCP_ACK, true));
}
