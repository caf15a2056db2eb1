/* SPDX-License-Identifier: Apache-2.0 */
/* Which lane a flow's hash says: the same for both directions and for all its fragments, no lane left out. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "nflib/chain/chain.h"

#include <string.h>

#define LEN 60u

/* A UDP frame; `more`: a first fragment, whose header has the ports all the same. */
static unsigned lane_of(uint32_t from, uint16_t from_port, uint32_t to, uint16_t to_port, bool more,
                        unsigned lanes)
{
    uint8_t frame[LEN] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0, 0x45, 0, 0, LEN - 14};
    struct nf_packet p = {.data = frame, .len = LEN, .have = LEN};

    frame[20] = more ? 0x20 : 0;
    frame[22] = 64;
    frame[23] = 17;
    for (unsigned i = 0; i < 4; i++) {
        frame[26 + i] = (uint8_t)(from >> (24 - 8 * i));
        frame[30 + i] = (uint8_t)(to >> (24 - 8 * i));
    }
    frame[34] = (uint8_t)(from_port >> 8);
    frame[35] = (uint8_t)from_port;
    frame[36] = (uint8_t)(to_port >> 8);
    frame[37] = (uint8_t)to_port;
    frame[39] = LEN - 34;
    uint16_t sum = nf_checksum(frame + 14, 20);
    memcpy(frame + 24, &sum, sizeof(sum));
    nf_packet_parse(&p);
    assert_true(p.flags & NF_P_IPV4);
    return nf_flow_lane(&p, lanes);
}

static void both_directions_of_a_flow_go_to_one_lane(void **state)
{
    unsigned seen[5] = {0};

    (void)state;
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

static void network_cards_compute_the_same_lane(void **state)
{
    (void)state;
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

static void fragments_go_by_addresses(void **state)
{
    (void)state;
    for (uint16_t port = 1000; port < 1100; port++)
        assert_int_equal(lane_of(0x0a000001, port, 0xc6336401, 443, true, 16),
                         lane_of(0xc6336401, 7, 0x0a000001, 9, true, 16));
}

static void what_is_not_ipv4_is_lane_0s(void **state)
{
    uint8_t frame[LEN] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0, 0, 0, 0, 2, 8, 6};
    struct nf_packet p = {.data = frame, .len = LEN, .have = LEN};

    (void)state;
    nf_packet_parse(&p);
    assert_int_equal(nf_flow_lane(&p, 16), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_directions_of_a_flow_go_to_one_lane),
        cmocka_unit_test(network_cards_compute_the_same_lane),
        cmocka_unit_test(fragments_go_by_addresses),
        cmocka_unit_test(what_is_not_ipv4_is_lane_0s),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
