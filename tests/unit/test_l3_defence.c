/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another host says that it has an address of the chain: the chain announces it again at once, at most once
 * a second for each address, and the last such frame can be told of. Of IPv4 and IPv6. Announcements are
 * compared with those of a promotion, which tests/unit/test_l3.c and test_l3_ipv6.c hold against RFC 5227
 * and 4861.
 */
#include "tests/unit/help_l3_ipv6.h"
#include "nflib/chain/chain.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

static const uint8_t thief[6] = {2, 2, 2, 2, 2, 2};

/* Announcements among what the last packet, or the passing of time, made; *last: one of them. */
static unsigned count_announcements(const struct nf_emitted **last)
{
    unsigned n = 0;

    for (uint32_t i = 0; i < l3_made_count; i++) {
        const uint8_t *f = l3_made[i].frame;

        if (f[13] == 6 ? memcmp(f + 28, f + 38, 4) == 0 : f[54] == 136) {
            *last = &l3_made[i];
            n++;
        }
    }
    return n;
}

/* One of this address, as at a promotion. */
static void announced(const char *addr, uint8_t port)
{
    uint8_t wanted[NF_ANNOUNCEMENT_MAX], bytes[16], its_port = 0;
    bool ipv6 = strchr(addr, ':');
    uint32_t ipv4 = ipv6 ? 0 : ip4(addr), len;
    const struct nf_emitted *made = NULL;

    if (ipv6)
        l3_addr6(bytes, addr);
    assert_int_equal(count_announcements(&made), 1);
    assert_int_equal(made->port, port);
    for (unsigned i = 0; (len = nf_l3_announce(&l3_config, i, wanted, &its_port)) != 0; i++)
        if (its_port == port && (ipv6 ? len == 86 && memcmp(wanted + 62, bytes, 16) == 0
                                      : len == 42 && memcmp(wanted + 28, &ipv4, 4) == 0))
            break;
    assert_int_not_equal(len, 0);
    assert_int_equal(made->len, len);
    assert_memory_equal(made->frame, wanted, len);
}

static void nothing_is_made(void)
{
    const struct nf_emitted *made;

    assert_int_equal(count_announcements(&made), 0);
}

static void passes(double at)
{
    l3_run(at, NULL);
}

static void claims(double at, uint8_t port, uint8_t operation, const uint8_t mac[6], const char *addr,
                   const char *to)
{
    struct nf_packet p = l3_arp(port, operation, everybody, mac, addr, to);

    l3_run(at, &p);
    l3_assert_dropped(&p, NF_L3_ARP);
}

/* A neighbour advertisement to all nodes, with its MAC, made by hand. */
static void says_ipv6(double at, uint8_t port, const uint8_t mac[6], const char *addr)
{
    struct nf_packet p = l3_hex(port, "333300000001"
                                      "020202020202"
                                      "86dd"
                                      "60000000"
                                      "0020"
                                      "3aff"
                                      "00000000000000000000000000000000"
                                      "ff020000000000000000000000000001"
                                      "88000000"
                                      "20000000"
                                      "00000000000000000000000000000000"
                                      "0201"
                                      "020202020202");

    l3_addr6(l3_frame + 22, addr);
    l3_addr6(l3_frame + 62, addr);
    memcpy(l3_frame + 6, mac, 6);
    memcpy(l3_frame + 80, mac, 6);
    l3_seal6(&p);
    l3_run(at, &p);
    l3_assert_dropped(&p, NF_L3_ND);
}

static void claims_ipv6(double at, uint8_t port, const char *addr)
{
    says_ipv6(at, port, thief, addr);
}

static void last_claim_is(const char *addr, uint8_t port)
{
    struct nf_claim claim;
    uint8_t bytes[16] = {0};
    uint32_t ipv4 = strchr(addr, ':') ? 0 : ip4(addr);

    nf_l3_claim(l3_nf, NF_L3_OWN_CLAIMED, &claim);
    memcpy(bytes, &ipv4, 4);
    if (!ipv4)
        l3_addr6(bytes, addr);
    assert_int_equal(claim.ipv6, !ipv4);
    assert_memory_equal(claim.addr, bytes, 16);
    assert_memory_equal(claim.mac, thief, 6);
    assert_int_equal(claim.port, port);
}

static void an_own_address_is_announced_at_once(void **state)
{
    (void)state;
    l3_begin();
    l3_know_both(0);
    claims(1, 0, 1, thief, "10.0.0.1", "10.0.0.1");
    announced("10.0.0.1", 0);
    last_claim_is("10.0.0.1", 0);
    claims(1.1, 1, 2, thief, "203.0.113.9", "203.0.113.254"); /* another address has its own second */
    announced("203.0.113.9", 1);
    last_claim_is("203.0.113.9", 1);
    claims(1.2, 1, 1, thief, "10.0.0.1", "203.0.113.1"); /* there it is nobody's */
    nothing_is_made();
    l3_assert_counted(NF_L3_ARP_CONFLICT, 3);
    l3_assert_counted(NF_L3_DEFENDED, 2);
    l3_end();
}

static void what_came_too_soon_is_answered_when_the_second_is_over(void **state)
{
    (void)state;
    l3_begin();
    l3_know_both(0);
    claims(1, 0, 1, thief, "10.0.0.1", "10.0.0.1");
    announced("10.0.0.1", 0);
    for (unsigned i = 0; i < 8; i++) {
        claims(1.1 + 0.1 * i, 0, 2, thief, "10.0.0.1", "10.0.0.5");
        nothing_is_made();
    }
    assert_true(nf_chain_wake(l3_chain) <= 2 * NF_SECOND);
    passes(2);
    announced("10.0.0.1", 0);
    passes(3);
    passes(4);
    nothing_is_made();
    l3_assert_counted(NF_L3_DEFENDED, 2);
    claims(9, 0, 1, thief, "10.0.0.1", "10.0.0.1");
    announced("10.0.0.1", 0);
    l3_end();
}

/* The chain's own announcement, which comes back by a loop or from the other node, or to another interface on
 * the same LAN. */
static void the_chains_own_mac_is_no_conflict(void **state)
{
    (void)state;
    l3_begin();
    l3_know_both(0);
    claims(1, 0, 1, inner_mac, "10.0.0.1", "10.0.0.1");
    nothing_is_made();
    claims(2, 1, 1, inner_mac, "10.0.0.1", "10.0.0.1");
    nothing_is_made();
    claims(3, 0, 1, outer_mac, "10.0.0.1", "10.0.0.1"); /* as a bridge of both would have it */
    nothing_is_made();
    l3_assert_counted(NF_L3_ARP_CONFLICT, 0);
    l3_end();
}

static void nor_is_that_of_another_interface_in_ipv6(void **state)
{
    (void)state;
    l3_begin_ipv6();
    l3_know_gate6();
    says_ipv6(1, 1, inner_mac, "2001:db8:1::1");
    nothing_is_made();
    says_ipv6(2, 0, outer_mac, "2001:db8:1::1");
    nothing_is_made();
    l3_assert_counted(NF_L3_ND_CONFLICT, 0);
    l3_end();
}

static void addresses_of_ipv6_are_announced_the_same(void **state)
{
    (void)state;
    l3_begin_ipv6();
    l3_know_gate6();
    claims_ipv6(1, 0, "2001:db8:1::1");
    announced("2001:db8:1::1", 0);
    last_claim_is("2001:db8:1::1", 0);
    claims_ipv6(1.5, 0, "2001:db8:1::1");
    nothing_is_made();
    claims_ipv6(1.6, 0, "fe80::ff:fe00:1");
    announced("fe80::ff:fe00:1", 0);
    passes(2);
    announced("2001:db8:1::1", 0);
    claims_ipv6(3, 1, "2001:db8:1::1"); /* of the other link */
    nothing_is_made();
    l3_assert_counted(NF_L3_DEFENDED, 3);
    l3_end();
}

/* A flood costs the link one frame a second for each address. */
static void a_flood_is_answered_once_a_second(void **state)
{
    (void)state;
    l3_begin();
    l3_know_both(0);
    for (unsigned i = 0; i < 1000; i++)
        claims(1 + 0.001 * i, i % 2, 1, thief, i % 2 ? "203.0.113.1" : "10.0.0.1", "10.0.0.1");
    l3_assert_counted(NF_L3_DEFENDED, 2);
    l3_end();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_own_address_is_announced_at_once),
        cmocka_unit_test(what_came_too_soon_is_answered_when_the_second_is_over),
        cmocka_unit_test(the_chains_own_mac_is_no_conflict),
        cmocka_unit_test(nor_is_that_of_another_interface_in_ipv6),
        cmocka_unit_test(addresses_of_ipv6_are_announced_the_same),
        cmocka_unit_test(a_flood_is_answered_once_a_second),
    };

    l3_configure();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
