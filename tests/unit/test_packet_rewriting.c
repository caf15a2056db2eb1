/* SPDX-License-Identifier: Apache-2.0 */
/* Rewriting of frames. Checksums are compared with a plain recomputation over the whole packet. */
#include "tests/help/record.h"
#include "tests/help/packet.h"
#include "nflib/net/packet.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <string.h>

static uint32_t captured_bytes(uint8_t *frame, uint32_t len)
{
    struct nf_packet p = packet_parsed(frame, len, len);
    assert_int_equal(nf_packet_header_bytes(&p), nf_packet_header_bytes_any(&p));
    return nf_packet_header_bytes(&p);
}

static void assert_sum(const uint8_t *at, uint16_t want, const char *what)
{
    if (be16(at) != want)
        fail_msg("%s checksum %04x, recomputed %04x", what, be16(at), want);
}

static void checksums_are_the_published_ones(void **state)
{
    (void)state;
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

static void checksums_are_right_of_any_bytes(void **state)
{
    (void)state;
    uint8_t bytes[97];
    for (unsigned round = 0; round < 2000; round++) {
        uint32_t n = packet_below(sizeof(bytes) + 1);
        for (uint32_t i = 0; i < n; i++)
            bytes[i] = round % 3 ? (uint8_t)draw() : 0xff;
        assert_int_equal(ntohs(nf_checksum(packet_place(bytes, n), n)), plain_end(plain_add(0, bytes, n)));
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

static void rewriting_keeps_checksums_right(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 20000; round++) {
        uint8_t frame[400];
        uint8_t proto = packet_any_proto();
        uint32_t l3 = packet_ethernet(frame, packet_below(3), 0x0800),
                 l4_len = packet_build(frame + l3, proto, packet_below(101));
        uint32_t l4 = l3 + packet_ip_header(frame + l3), len = l4 + l4_len;
        bool no_sum = proto == UDP && be16(frame + l4 + 6) == 0;
        struct nf_packet p = packet_parsed(frame, len, len);
        assert_true(p.flags & NF_P_L4 && !(p.flags & NF_P_BAD));
        assert_int_equal(p.l4, l4);
        assert_int_equal(p.l4_len, l4_len);
        for (unsigned i = 0; i < 6; i++) {
            change(&p, round % 2);
            assert_sum(frame + l3 + 10, plain_field(frame + l3 + 10, frame + l3, l4 - l3, 0), "IPv4");
            uint16_t sum = no_sum ? 0 : packet_l4_sum(frame + l3, l4_len);
            bool other = proto == ICMP && sum == 0; /* an echo's sum of zero may have its other form */
            assert_sum(frame + l4 + l4_sum_at(proto),
                       other && be16(frame + l4 + l4_sum_at(proto)) == 0xffff ? 0xffff : sum, "L4");
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
static void udp_never_loses_its_checksum(void **state)
{
    (void)state;
    uint8_t frame[300];
    uint32_t l3 = packet_ethernet(frame, 0, 0x0800), l4_len = packet_build(frame + l3, UDP, 10), zeros = 0;
    uint8_t *sum = frame + l3 + packet_ip_header(frame + l3) + 6;
    set16(sum, packet_l4_sum(frame + l3, l4_len));
    struct nf_packet p = packet_parsed(frame, sizeof(frame), sizeof(frame));
    for (unsigned both = 0; both < 2; both++, zeros = 0) {
        for (uint32_t port = 0; port < 65536; port++) {
            if (both)
                nf_packet_set_source(&p, p.saddr, (uint16_t)port);
            else
                nf_packet_set_sport(&p, (uint16_t)port);
            assert_sum(sum, packet_l4_sum(frame + l3, l4_len), "UDP");
            zeros += be16(sum) == 0xffff;
        }
        assert_int_equal(zeros, 1);
    }
}

/* A datagram in two fragments: the checksum in the first covers both, and only addresses and ports change. */
static void rewriting_the_first_fragment_keeps_the_checksum_of_both(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 5000; round++) {
        uint8_t first[400], second[400];
        uint8_t proto = round % 2 ? TCP : UDP;
        uint32_t l3 = packet_ethernet(first, 0, 0x0800), l4_len = packet_build(first + l3, proto, 200);
        uint32_t l4 = l3 + packet_ip_header(first + l3), cut = 80;
        bool no_sum = proto == UDP && be16(first + l4 + 6) == 0;
        set16(first + l3 + 2, l4 - l3 + cut);
        set16(first + l3 + 6, 0x2000);
        set16(first + l3 + 10, plain_field(first + l3 + 10, first + l3, l4 - l3, 0));
        memcpy(second, first, l4);
        memcpy(second + l4, first + l4 + cut, l4_len - cut);
        set16(second + l3 + 2, l4 - l3 + l4_len - cut);
        set16(second + l3 + 6, cut / 8);
        set16(second + l3 + 10, plain_field(second + l3 + 10, second + l3, l4 - l3, 0));
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
        assert_sum(second + l3 + 10, plain_field(second + l3 + 10, second + l3, l4 - l3, 0), "IPv4");
        assert_sum(first + l3 + 10, plain_field(first + l3 + 10, first + l3, l4 - l3, 0), "IPv4");
        assert_sum(first + l4 + l4_sum_at(proto), no_sum ? 0 : packet_l4_sum(first + l3, l4_len), "L4");
    }
}

/* The header says TCP, but its 20 bytes are not there: only the IPv4 header may change. */
static void without_an_l4_header_only_the_ipv4_header_changes(void **state)
{
    (void)state;
    uint8_t frame[200], before[200];
    uint32_t l3 = packet_ethernet(frame, 0, 0x0800);
    packet_build(frame + l3, TCP, 20);
    uint32_t l4 = l3 + packet_ip_header(frame + l3);
    set16(frame + l3 + 2, l4 - l3 + 18);
    set16(frame + l3 + 10, plain_field(frame + l3 + 10, frame + l3, l4 - l3, 0));
    struct nf_packet p = packet_parsed(frame, l4 + 18, l4 + 18);
    assert_int_equal(p.flags & (NF_P_IPV4 | NF_P_L4 | NF_P_BAD), NF_P_IPV4 | NF_P_BAD);
    assert_int_equal(p.bad, NF_BAD_SHORT);
    memcpy(before, frame, sizeof(before));
    nf_packet_set_saddr(&p, 1);
    nf_packet_set_sport(&p, 2);
    assert_sum(frame + l3 + 10, plain_field(frame + l3 + 10, frame + l3, l4 - l3, 0), "IPv4");
    assert_memory_equal(frame + l4, before + l4, sizeof(frame) - l4);
}

/*
 * An ICMP error quotes `quoted` bytes of a packet that the test keeps whole: after each change the quoted
 * bytes go back into it, and it must be right again.
 */
static void rewriting_reaches_into_icmp_errors(void **state)
{
    (void)state;
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
        bool no_sum = proto == UDP && be16(whole + header + 6) == 0;
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
        assert_sum(whole + 10, plain_field(whole + 10, whole, header, 0), "inner IPv4");
        if (proto != TCP || quoted >= header + 18)
            assert_sum(whole + header + l4_sum_at(proto), no_sum ? 0 : packet_l4_sum(whole, inner_len),
                       "inner L4");
        assert_sum(frame + l4 + 2, plain_field(frame + l4 + 2, frame + l4, 8 + quoted, 0), "outer ICMP");
        tcp_sums += proto == TCP && quoted >= header + 18;
        tcp_without += proto == TCP && quoted < header + 18;
    }
    assert_true(tcp_sums > 100 && tcp_without > 100);
}

/* Seven bytes of inner L4 in the packet; the eighth in the frame is padding. */
static void an_error_that_quotes_too_little_is_left_alone(void **state)
{
    (void)state;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(checksums_are_the_published_ones),
        cmocka_unit_test(checksums_are_right_of_any_bytes),
        cmocka_unit_test(rewriting_keeps_checksums_right),
        cmocka_unit_test(udp_never_loses_its_checksum),
        cmocka_unit_test(rewriting_the_first_fragment_keeps_the_checksum_of_both),
        cmocka_unit_test(without_an_l4_header_only_the_ipv4_header_changes),
        cmocka_unit_test(rewriting_reaches_into_icmp_errors),
        cmocka_unit_test(an_error_that_quotes_too_little_is_left_alone),
    };

    return cmocka_run_group_tests_name("packet_rewriting", tests, NULL, NULL);
}
