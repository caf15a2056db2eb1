/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsing of frames: it is fed damaged frames that end at a page nobody may touch, and must find the same in
 * the captured bytes of a frame as in the whole; counts over captures are tshark's.
 */
#include "tests/help/record.h"
#include "tests/help/packet.h"
#include "tests/help/chain.h"
#include "nflib/net/packet.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <pcap/pcap.h>

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
        set16(frame + l3 + 10, plain_field(frame + l3 + 10, frame + l3, packet_ip_header(frame + l3), 0));
}

static void damaged_frames_parse_the_same_in_whole_and_captured(void **state)
{
    (void)state;
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
    set16(frame + l3 + 4, l4_len);
    frame[l3 + 6] = next;
    return l3 + 40;
}

static void ipv6_is_read_as_far_as_a_flow_needs(void **state)
{
    (void)state;
    uint8_t frame[200];
    uint32_t l4 = build_ipv6(frame, 2, TCP, 32);
    set16(frame + l4, 1000);
    set16(frame + l4 + 2, 443);
    frame[l4 + 12] = 8 << 4;
    frame[l4 + 13] = 0x12;
    struct nf_packet p = parse_both_ways(frame, l4 + 40, l4 + 40);
    assert_int_equal(p.flags, NF_P_VLAN | NF_P_IPV6 | NF_P_IPV6_READ | NF_P_L4);
    assert_int_equal(be16((const uint8_t *)&p.sport), 1000);
    assert_int_equal(be16((const uint8_t *)&p.dport), 443);
    assert_int_equal(p.tcp_flags, 0x12);
    assert_int_equal(p.l4_len, 32);
    assert_int_equal(p.payload, l4 + 32);
    frame[l4 + 12] = 4 << 4; /* a TCP header of 16 bytes: the addresses are known, and no more is said */
    p = parse_both_ways(frame, l4 + 32, l4 + 32);
    assert_int_equal(p.flags, NF_P_VLAN | NF_P_IPV6 | NF_P_IPV6_READ);
    l4 = build_ipv6(frame, 0, 44, 8 + 16); /* the first fragment of a UDP packet, then a later one */
    frame[l4] = UDP;
    frame[l4 + 3] = 1;
    set16(frame + l4 + 8, 53);
    set16(frame + l4 + 8 + 4, 800);
    p = parse_both_ways(frame, l4 + 24, l4 + 24);
    assert_int_equal(p.flags, NF_P_IPV6 | NF_P_IPV6_READ | NF_P_FRAGMENT | NF_P_L4);
    assert_int_equal(p.proto, UDP);
    assert_int_equal(be16((const uint8_t *)&p.sport), 53);
    frame[l4 + 3] = 8;
    p = parse_both_ways(frame, l4 + 24, l4 + 24);
    assert_int_equal(p.flags, NF_P_IPV6 | NF_P_IPV6_READ | NF_P_FRAGMENT | NF_P_LATER);
    l4 = build_ipv6(frame, 0, UDP, 20); /* longer than the frame */
    p = parse_both_ways(frame, l4 + 19, l4 + 19);
    assert_int_equal(p.flags, NF_P_IPV6);
}

static void damaged_ipv6_is_never_called_bad(void **state)
{
    static const uint8_t nexts[] = {TCP, UDP, 58, 44, 0};
    (void)state;
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
static void padding_is_not_payload(void **state)
{
    (void)state;
    uint8_t frame[60] = {0};
    packet_ethernet(frame, 0, 0x0800);
    uint8_t *ip = frame + 14;
    ip[0] = 0x45;
    ip[9] = UDP;
    set16(ip + 2, 28);
    set16(ip + 24, 8);
    set16(ip + 10, plain_field(ip + 10, ip, 20, 0));
    struct nf_packet p = parse_both_ways(frame, 60, 60);
    assert_int_equal(p.flags, NF_P_IPV4 | NF_P_L4);
    assert_int_equal(p.l4_len, 8);
    assert_int_equal(p.payload, 42);
    set16(ip + 24, 9); /* one more than the IPv4 packet has, though the frame has it */
    p = parse_both_ways(frame, 60, 60);
    assert_int_equal(p.flags, NF_P_IPV4 | NF_P_BAD);
    assert_int_equal(p.bad, NF_BAD_LENGTH);
}

/* The short way adds words of 64 bits, and bytes that are all ones carry out of both of its additions. A sum
 * without one of these carries would take a header for right whose checksum is wrong by 0x100. */
static void header_sums_carry_at_every_place(void **state)
{
    (void)state;
    unsigned right = 0, wrong = 0;
    for (unsigned round = 0; round < 300000; round++) {
        uint8_t frame[60] = {0}, *ip = frame + 14;
        packet_ethernet(frame, 0, 0x0800);
        for (unsigned i = 0; i < 20; i++)
            ip[i] = packet_below(4) == 0 ? (uint8_t)draw() : packet_below(2) ? 0xff : 0;
        ip[0] = 0x45;
        set16(ip + 2, 28);
        ip[6] = ip[7] = 0;
        ip[9] = UDP;
        set16(ip + 24, 8);
        uint16_t sum = plain_field(ip + 10, ip, 20, 0);
        set16(ip + 10, packet_below(2) ? sum : sum + 0x100u);
        bool is_right = plain_end(plain_add(0, ip, 20)) == 0;
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

static void counts_over_captures_are_those_of_tshark(void **state)
{
    (void)state;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(padding_is_not_payload),
        cmocka_unit_test(header_sums_carry_at_every_place),
        cmocka_unit_test(damaged_frames_parse_the_same_in_whole_and_captured),
        cmocka_unit_test(ipv6_is_read_as_far_as_a_flow_needs),
        cmocka_unit_test(damaged_ipv6_is_never_called_bad),
        cmocka_unit_test(counts_over_captures_are_those_of_tshark),
    };

    return cmocka_run_group_tests_name("packet", tests, NULL, NULL);
}
