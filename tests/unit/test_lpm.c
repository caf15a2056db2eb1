/* SPDX-License-Identifier: Apache-2.0 */
/* A table of networks against a walk through them that takes the longest prefix. */
#include "ftcore/base/draw.h"
#include "nflib/net/addr.h"
#include "nflib/net/lpm.h"
#include "tests/help/test.h"

#define NETS    1500u
#define LOOKUPS 15000u

struct net {
    uint8_t addr[16];
    unsigned bits;
};

static struct net nets[NETS];
static uint64_t sequence = 11;

static uint32_t drawn(uint32_t below)
{
    return (uint32_t)(ft_draw(&sequence) % below);
}

/* Few bits differ, so that networks lie in each other. */
static void draw_addr(uint8_t out[16])
{
    static const uint8_t bytes[] = {0x00, 0x01, 0x80, 0xc0, 0xff};

    for (unsigned i = 0; i < 16; i++)
        out[i] = bytes[drawn(i < 3 ? 3 : 5)];
}

static int by_bits(const void *a, const void *b)
{
    return (int)((const struct net *)a)->bits - (int)((const struct net *)b)->bits;
}

/* The place + 1 of the longest one, of several the last; 0: none. */
static uint32_t walk(const uint8_t addr[16], unsigned count)
{
    uint32_t found = 0;

    for (unsigned i = 0; i < count; i++)
        if (nf_ipv6_in_prefix(addr, nets[i].addr, nets[i].bits) &&
            (!found || nets[i].bits >= nets[found - 1].bits))
            found = i + 1;
    return found;
}

static void hold_against_walk(unsigned count, unsigned most)
{
    struct nf_lpm *t;
    uint32_t none = 0;

    assert_int_equal(nf_lpm_make(&t, NULL), 0);
    for (unsigned i = 0; i < count; i++) {
        draw_addr(nets[i].addr);
        nets[i].bits = drawn(20) ? 1 + drawn(most) : 0;
    }
    qsort(nets, count, sizeof(nets[0]), by_bits);
    for (unsigned i = 0; i < count; i++)
        assert_int_equal(nf_lpm_add(t, nets[i].addr, nets[i].bits, i + 1, NULL), 0);
    for (unsigned i = 0; i < LOOKUPS; i++) {
        uint8_t addr[16];
        uint32_t expected;

        draw_addr(addr);
        if (drawn(2)) /* of a network, or the first address behind it */
            memcpy(addr, nets[drawn(count)].addr, most / 8);
        addr[drawn(most / 8)] ^= (uint8_t)(drawn(3) ? 0 : 1u << drawn(8));
        expected = walk(addr, count);
        if (nf_lpm_find(t, addr) != expected)
            fail_msg("look-up %u of %u networks: %u, expected %u", i, count, nf_lpm_find(t, addr), expected);
        none += expected == 0;
    }
    assert_in_range(none, 0, LOOKUPS - 1);
    nf_lpm_free(t);
}

TEST(networks_of_ipv4_are_found_as_by_a_walk)
{
    hold_against_walk(NETS, 32);
    hold_against_walk(3, 32);
}

TEST(networks_of_ipv6_are_found_as_by_a_walk)
{
    hold_against_walk(NETS, 128);
    hold_against_walk(200, 48);
}

/* Without a network of all addresses what is outside of the others is in none. */
TEST(what_is_in_no_network_is_found_in_none)
{
    static const uint8_t net[4] = {10, 1, 2, 128}, in[4] = {10, 1, 2, 200}, below[4] = {10, 1, 2, 127},
                         other[4] = {10, 1, 3, 200};
    struct nf_lpm *t;

    assert_int_equal(nf_lpm_make(&t, NULL), 0);
    assert_int_equal(nf_lpm_add(t, net, 25, 7, NULL), 0);
    assert_int_equal(nf_lpm_find(t, in), 7);
    assert_int_equal(nf_lpm_find(t, below), 0);
    assert_int_equal(nf_lpm_find(t, other), 0);
    assert_int_equal(nf_lpm_bytes(t), (64u << 20) + 1024);
    nf_lpm_free(t);
}
