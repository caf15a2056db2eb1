/* SPDX-License-Identifier: Apache-2.0 */
/* Which lane a packet goes to: of a flow the same for both directions and for all its fragments, no lane left
 * out; by an address whichever way; and which chains have no answer. */
#include "tests/help/test.h"
#include "nflib/chain/chain.h"

#include <arpa/inet.h>

#define LEN 60u

/* The addresses and ports of a UDP packet in host order; `more`: a first fragment, whose header has the ports
 * all the same. */
struct ends {
    uint32_t from, to;
    uint16_t from_port, to_port;
    bool more;
};

static void put32(uint8_t *at, uint32_t value)
{
    value = htonl(value);
    memcpy(at, &value, sizeof(value));
}
static void put16(uint8_t *at, uint16_t value)
{
    value = htons(value);
    memcpy(at, &value, sizeof(value));
}

/* An IPv4 header of `len` bytes and what follows. */
static void put_ipv4(uint8_t *at, uint8_t proto, uint16_t len, const struct ends *e)
{
    uint16_t sum;

    memset(at, 0, 20);
    at[0] = 0x45;
    put16(at + 2, len);
    at[6] = e->more ? 0x20 : 0;
    at[8] = 64;
    at[9] = proto;
    put32(at + 12, e->from);
    put32(at + 16, e->to);
    sum = nf_checksum(at, 20);
    memcpy(at + 10, &sum, sizeof(sum));
}

static unsigned lane_in(enum nf_scope scope, enum nf_side side, const struct ends *e, unsigned lanes)
{
    uint8_t frame[LEN] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0};
    struct nf_packet p = {.data = frame, .len = LEN, .have = LEN, .side = (uint8_t)side};

    put_ipv4(frame + 14, 17, LEN - 14, e);
    put16(frame + 34, e->from_port);
    put16(frame + 36, e->to_port);
    frame[39] = LEN - 34;
    nf_packet_parse(&p);
    assert_true(p.flags & NF_P_IPV4);
    return nf_lane_of(&p, scope, lanes);
}

static unsigned lane_of(uint32_t from, uint16_t from_port, uint32_t to, uint16_t to_port, bool more,
                        unsigned lanes)
{
    return lane_in(NF_OF_FLOW, NF_INSIDE, &(struct ends){from, to, from_port, to_port, more}, lanes);
}

TEST(both_directions_of_a_flow_go_to_one_lane)
{
    unsigned seen[5] = {0};

    for (uint16_t port = 1000; port < 2000; port++) {
        unsigned lane = lane_of(0x0a000001, port, 0xc6336401, 443, false, 5);

        assert_true(lane < 5);
        assert_int_equal(lane, lane_of(0xc6336401, 443, 0x0a000001, port, false, 5));
        assert_int_equal(lane_of(0x0a000001, port, 0xc6336401, 443, false, 1), 0);
        seen[lane]++;
    }
    for (unsigned l = 0; l < 5; l++) /* 200 expected; 100 would be eight deviations away */
        assert_true(seen[l] > 100);
}

/* Toeplitz as its definition has it: for every bit set in the input, the 32 bits of the key that begin there.
 */
static uint32_t toeplitz(const uint8_t *in, unsigned len)
{
    uint8_t key[40];
    uint32_t hash = 0;

    for (unsigned i = 0; i < sizeof(key); i++)
        key[i] = i % 2 ? 0x5a : 0x6d;
    for (unsigned bit = 0; bit < len * 8; bit++) {
        uint32_t window = 0;

        for (unsigned k = 0; k < 32; k++)
            window = window << 1 | (key[(bit + k) / 8] >> (7 - (bit + k) % 8) & 1);
        if (in[bit / 8] >> (7 - bit % 8) & 1)
            hash ^= window;
    }
    return hash;
}

TEST(network_cards_compute_the_same_lane)
{
    for (uint32_t i = 1; i < 5000; i++) {
        uint32_t from = i * 2654435761u, to = i * 40503u * 65537u;
        uint16_t sport = (uint16_t)(i * 7919), dport = (uint16_t)(i * 104729);
        uint8_t in[12] = {(uint8_t)(from >> 24), (uint8_t)(from >> 16), (uint8_t)(from >> 8),
                          (uint8_t)from,         (uint8_t)(to >> 24),   (uint8_t)(to >> 16),
                          (uint8_t)(to >> 8),    (uint8_t)to,           (uint8_t)(sport >> 8),
                          (uint8_t)sport,        (uint8_t)(dport >> 8), (uint8_t)dport};

        assert_int_equal(lane_of(from, sport, to, dport, false, 7), toeplitz(in, 12) % 128 % 7);
        assert_int_equal(lane_of(from, sport, to, dport, true, 16), toeplitz(in, 8) % 128 % 16);
    }
}

TEST(fragments_go_by_addresses)
{
    for (uint16_t port = 1000; port < 1100; port++)
        assert_int_equal(lane_of(0x0a000001, port, 0xc6336401, 443, true, 16),
                         lane_of(0xc6336401, 7, 0x0a000001, 9, true, 16));
}

TEST(an_address_has_one_lane_whichever_way_its_packets_go)
{
    unsigned seen[16] = {0};

    for (uint32_t i = 0; i < 1600; i++) {
        struct ends out = {0x0a000000 + i, 0xc6336401 + i * 7919, (uint16_t)i, (uint16_t)(i * 31),
                           i % 3 == 0};
        struct ends in = {0xc6336401 + i * 104729, 0x0a000000 + i, 53, (uint16_t)(i + 9), i % 5 == 0};
        uint8_t source[4] = {10, 0, (uint8_t)(i >> 8), (uint8_t)i};
        unsigned lane = toeplitz(source, 4) % 128 % 16; /* a port's hash of the source alone */

        seen[lane]++;
        assert_int_equal(lane_in(NF_OF_INSIDE, NF_INSIDE, &out, 16), lane);
        assert_int_equal(lane_in(NF_OF_INSIDE, NF_OUTSIDE, &in, 16), lane);
        assert_int_equal(lane_in(NF_OF_OUTSIDE, NF_OUTSIDE, &out, 16), lane);
        assert_int_equal(lane_in(NF_OF_OUTSIDE, NF_INSIDE, &in, 16), lane);
        assert_int_equal(lane_in(NF_OF_CHAIN, NF_INSIDE, &out, 16), 0);
    }
    for (unsigned l = 0; l < 16; l++) /* 100 expected */
        assert_in_range(seen[l], 50, 150);
}

/* 2001:db8::A to 2001:db8::B, TCP, as far as its data offset. */
static void put_ipv6(uint8_t *ip, uint32_t from, uint32_t to)
{
    memset(ip, 0, 40);
    ip[0] = 0x60;
    ip[5] = 26;
    ip[6] = 6;
    ip[7] = 64;
    put32(ip + 8, 0x20010db8);
    put32(ip + 20, from);
    put32(ip + 24, 0x20010db8);
    put32(ip + 36, to);
    put16(ip + 40, (uint16_t)(from * 31));
    put16(ip + 42, (uint16_t)(to * 31));
}

static unsigned lane_of_ipv6(enum nf_scope scope, enum nf_side side, uint32_t from, uint32_t to,
                             unsigned lanes)
{
    uint8_t frame[80] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd};
    struct nf_packet p = {.data = frame, .len = 80, .have = 80, .side = (uint8_t)side};

    put_ipv6(frame + 14, from, to);
    frame[66] = 0x50;
    nf_packet_parse(&p);
    assert_true(p.flags & NF_P_IPV6_READ && p.flags & NF_P_L4);
    return nf_lane_of(&p, scope, lanes);
}

TEST(ipv6_has_lanes_of_its_own_hash)
{
    unsigned seen[4] = {0};

    for (uint32_t i = 1; i <= 1000; i++) {
        unsigned lane = lane_of_ipv6(NF_OF_FLOW, NF_INSIDE, i, 443, 4);

        assert_int_equal(lane, lane_of_ipv6(NF_OF_FLOW, NF_OUTSIDE, 443, i, 4));
        assert_int_equal(lane_of_ipv6(NF_OF_INSIDE, NF_INSIDE, i, i * 7919, 4),
                         lane_of_ipv6(NF_OF_INSIDE, NF_OUTSIDE, i * 31, i, 4));
        seen[lane]++;
    }
    for (unsigned l = 0; l < 4; l++) /* 250 expected */
        assert_in_range(seen[l], 150, 350);
}

/* A router's "time exceeded" about a UDP packet. */
TEST(an_icmp_error_goes_to_the_flow_that_it_is_about)
{
    for (uint16_t port = 1000; port < 1100; port++) {
        uint8_t frame[70] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0};
        struct ends flow = {0x0a000001, 0xc6336401 + port * 77u, port, 443, false},
                    error = {0xc0a80101, 0x0a000001, 0, 0, false};
        struct nf_packet p = {.data = frame, .len = 70, .have = 70, .side = NF_OUTSIDE};
        uint16_t sum;

        put_ipv4(frame + 14, 1, 56, &error);
        frame[34] = 11;
        put_ipv4(frame + 42, 17, 40, &flow);
        put16(frame + 62, port);
        put16(frame + 64, 443);
        sum = nf_checksum(frame + 34, 36);
        memcpy(frame + 36, &sum, sizeof(sum));
        nf_packet_parse(&p);
        assert_true(p.flags & NF_P_ICMP_ERROR);
        for (enum nf_scope scope = NF_OF_FLOW; scope <= NF_OF_OUTSIDE; scope++)
            assert_int_equal(nf_lane_of(&p, scope, 16), lane_in(scope, NF_INSIDE, &flow, 16));
    }
}

/* The same of IPv6. */
TEST(an_icmpv6_error_goes_to_the_flow_that_it_is_about)
{
    for (uint32_t i = 1; i < 100; i++) {
        uint8_t frame[110] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 56, 58, 64};
        struct nf_packet p = {.data = frame, .len = 110, .have = 110, .side = NF_OUTSIDE};

        put32(frame + 22, 0x20010db8); /* a router's, about what put_ipv6 makes */
        put32(frame + 26, 0x77);
        put32(frame + 38, 0x20010db8);
        put32(frame + 50, i);
        frame[54] = 3;
        put_ipv6(frame + 62, i, i * 7919);
        nf_packet_parse(&p);
        assert_true(p.flags & NF_P_ICMP_ERROR);
        for (enum nf_scope scope = NF_OF_FLOW; scope <= NF_OF_OUTSIDE; scope++)
            assert_int_equal(nf_lane_of(&p, scope, 16), lane_of_ipv6(scope, NF_INSIDE, i, i * 7919, 16));
    }
}

TEST(what_has_no_addresses_is_lane_0s)
{
    uint8_t frame[LEN] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 2, 8, 6};
    struct nf_packet p = {.data = frame, .len = LEN, .have = LEN};

    nf_packet_parse(&p);
    assert_int_equal(nf_lane_of(&p, NF_OF_FLOW, 16), 0);
    assert_int_equal(nf_lane_of(&p, NF_OF_INSIDE, 16), 0);
}

static enum nf_scope as_configured(const void *config)
{
    return *(const enum nf_scope *)config;
}

TEST(nfs_that_cannot_agree_are_refused)
{
    static const struct nf_module first = {.name = "first", .scope = as_configured},
                                  second = {.name = "second", .scope = as_configured},
                                  plain = {.name = "plain"};
    enum nf_scope one = NF_OF_INSIDE, two = NF_OF_INSIDE, scope;
    struct nf_chain_config chain = {
        .count = 3,
        .nfs = {{.module = &first, .config = &one}, {.module = &plain}, {.module = &second, .config = &two}}};

    assert_int_equal(nf_chain_scope(&chain, 4, &scope, &help_fault), 0);
    assert_int_equal(scope, NF_OF_INSIDE);
    one = NF_OF_FLOW;
    two = NF_OF_OUTSIDE;
    assert_int_equal(nf_chain_scope(&chain, 4, &scope, &help_fault), 0);
    assert_int_equal(scope, NF_OF_OUTSIDE);
    one = NF_OF_INSIDE;
    assert_int_equal(nf_chain_scope(&chain, 1, &scope, &help_fault), 0);
    assert_int_equal(nf_chain_scope(&chain, 4, &scope, &help_fault), FT_EINVAL);
    assert_string_equal(help_fault.text,
                        "second: its state is of an outside address, that of first of an inside "
                        "address: no packet can go to the lanes of both, expected 1 lane, not 4");
    two = NF_OF_CHAIN;
    assert_int_equal(nf_chain_scope(&chain, 2, &scope, &help_fault), FT_EINVAL);
    assert_string_equal(help_fault.text,
                        "second: its state is of every packet, as it is set here, expected 1 lane, not 2");
}
