/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another MAC is said for a neighbour that is known, by any frame: it is asked first, where it is known, and
 * the other takes its place only when nobody answers there. Of IPv4 and IPv6, hosts and next hops. Frames and
 * times are written from the rule: three requests 0.2 s apart, decided 0.2 s after the last.
 */
#include "nflib/chain/chain.h"
#include "tests/help/l3.h"
#include "tests/help/test.h"

static const uint8_t thief[6] = {2, 2, 2, 2, 2, 2}, third[6] = {2, 2, 2, 2, 2, 3};

static int host_mac_now(double at)
{
    return l3_mac_of(at, 1, "10.0.0.5");
}

static int gate_mac_now(double at)
{
    return l3_mac_of(at, 0, "198.51.100.7");
}

/* Runs every wake time up to `until`; how many requests went to this MAC alone. */
static unsigned probes_until(double until, const uint8_t mac[6])
{
    unsigned probes = 0;

    while (nf_chain_wake(l3_chain) <= (uint64_t)(until * 1000) * NF_MS) {
        uint64_t wake = nf_chain_wake(l3_chain), time = nf_chain_state(l3_chain)->time;

        l3_run((double)(wake > time ? wake : time) / 1e9, NULL);
        for (uint32_t k = 0; k < l3_made_count; k++)
            probes += memcmp(l3_made[k].frame, mac, 6) == 0;
    }
    return probes;
}

/* Asks that neighbour alone, and answers nobody. NULL: not made. */
static const struct nf_emitted *probe_made(const uint8_t mac[6])
{
    for (uint32_t k = 0; k < l3_made_count; k++)
        if (memcmp(l3_made[k].frame, mac, 6) == 0 &&
            (l3_made[k].frame[13] == 0xdd ? l3_made[k].frame[54] == 135 : l3_made[k].frame[21] == 1))
            return &l3_made[k];
    return NULL;
}

static void says(double at, uint8_t port, uint8_t operation, const uint8_t mac[6], const char *who,
                 const char *to)
{
    struct nf_packet p = l3_arp(port, operation, port ? outer_mac : inner_mac, mac, who, to);

    l3_dropped(at, p, NF_L3_ARP);
}

/* A reply that nobody asked for, a request, and of a next hop an announcement, as request and as reply. */
static const struct saying {
    uint8_t port, operation;
    const char *who, *to;
} sayings[] = {
    {0, 2, "10.0.0.5", "10.0.0.1"},           {0, 1, "10.0.0.5", "10.0.0.1"},
    {1, 2, "203.0.113.254", "203.0.113.1"},   {1, 1, "203.0.113.254", "203.0.113.254"},
    {1, 2, "203.0.113.254", "203.0.113.254"},
};

#define SAYINGS (sizeof(sayings) / sizeof(sayings[0]))

L3_TEST(a_known_neighbour_that_answers_stays)
{
    static const uint8_t probe[42] = {0x52, 0x54, 0, 0, 0, 5, 2, 0,  0, 0, 0, 1, 8, 6, 0, 1, 8, 0,  6, 4, 0,
                                      1,    2,    0, 0, 0, 0, 1, 10, 0, 0, 1, 0, 0, 0, 0, 0, 0, 10, 0, 0, 5};

    for (unsigned i = 0; i < SAYINGS; i++) {
        const struct saying *s = &sayings[i];
        const uint8_t *known = s->port ? gate_mac : host_mac;

        l3_begin_knowing_both();
        says(1, s->port, s->operation, thief, s->who, s->to);
        l3_assert_counted(NF_L3_CONTESTED, 1);
        /* asked at once, at the MAC that it is known by, beside what else was answered */
        const struct nf_emitted *asked = probe_made(known);
        assert_non_null(asked);
        if (i == 0) {
            assert_int_equal(asked->len, 42);
            assert_memory_equal(asked->frame, probe, 42);
        }
        assert_int_equal(s->port ? gate_mac_now(1.1) : host_mac_now(1.1), known[5]);
        assert_int_equal(probes_until(1.3, known), 1);
        says(1.35, s->port, 2, known, s->who, s->port ? "203.0.113.1" : "10.0.0.1");
        assert_int_equal(probes_until(4, known), 0);
        assert_int_equal(s->port ? gate_mac_now(4) : host_mac_now(4), known[5]);
        l3_assert_counted(NF_L3_MOVED, 0);
    }
}

L3_TEST(one_that_is_silent_has_moved_after_three_requests)
{
    for (unsigned i = 0; i < SAYINGS; i++) {
        const struct saying *s = &sayings[i];
        const uint8_t *known = s->port ? gate_mac : host_mac;

        l3_begin_knowing_both();
        says(1, s->port, s->operation, thief, s->who, s->to);
        assert_int_equal(probes_until(1.59, known), 2); /* and one at once */
        assert_int_equal(s->port ? gate_mac_now(1.595) : host_mac_now(1.595), known[5]);
        assert_int_equal(probes_until(1.65, known), 0);
        assert_int_equal(s->port ? gate_mac_now(1.65) : host_mac_now(1.65), 2);
        l3_assert_counted(NF_L3_MOVED, 1);
        /* It is known now as the one before was: the next is asked, too. */
        says(5, s->port, s->operation, third, s->who, s->to);
        assert_int_equal(s->port ? gate_mac_now(5.1) : host_mac_now(5.1), 2);
    }
}

/* Whoever says it a thousand times makes it be asked once a second, and the newest of others is the next. */
L3_TEST(a_neighbour_is_asked_so_once_a_second_at_most)
{
    unsigned probes = 0;

    l3_begin_knowing_both();
    for (unsigned i = 0; i < 1000; i++) {
        double at = 1 + 0.005 * i; /* five seconds */

        says(at, 0, 2, thief, "10.0.0.5", "10.0.0.1");
        for (uint32_t k = 0; k < l3_made_count; k++)
            if (memcmp(l3_made[k].frame, host_mac, 6) == 0) {
                probes++;
                says(at + 0.001, 0, 2, host_mac, "10.0.0.5", "10.0.0.1"); /* it is there */
                break;
            }
    }
    assert_in_range(probes, 5, 6);
    l3_assert_counted(NF_L3_CONTESTED, 1000);
    l3_assert_counted(NF_L3_MOVED, 0);
    assert_int_equal(host_mac_now(6.01), host_mac[5]);
    says(6.02, 0, 2, third, "10.0.0.5", "10.0.0.1"); /* it has gone, and another has its address */
    probes_until(7.7, host_mac);
    assert_int_equal(host_mac_now(7.7), 3);
}

L3_TEST(one_of_the_file_is_never_asked_or_changed)
{
    static const uint8_t fixed[6] = {2, 7, 7, 7, 7, 7};

    l3_configure();
    l3_config.fixed_count = 2;
    l3_config.fixed[1].port = 1;
    for (unsigned i = 0; i < 2; i++)
        memcpy(l3_config.fixed[i].mac, fixed, 6);
    l3_config.fixed[0].addr = l3_addr("10.0.0.5");
    l3_config.fixed[1].addr = l3_addr("203.0.113.254");
    l3_begin();
    l3_run(0, NULL);
    for (uint32_t k = 0; k < l3_made_count; k++)
        assert_int_not_equal(l3_made[k].port, 1);
    assert_int_equal(host_mac_now(0.1), 7);
    assert_int_equal(gate_mac_now(0.1), 7);
    for (unsigned i = 0; i < SAYINGS; i++)
        says(1, sayings[i].port, sayings[i].operation, thief, sayings[i].who, sayings[i].to);
    l3_assert_counted(NF_L3_CONTESTED, SAYINGS);
    assert_int_equal(probes_until(400, fixed), 0);
    assert_int_equal(host_mac_now(400), 7);
    assert_int_equal(gate_mac_now(400), 7);
    l3_assert_counted(NF_L3_MOVED, 0);
}

/* ---- IPv6 ---- */

/* As answer to a request at its own MAC: without the option that says it (RFC 4861, 7.2.4). */
static struct nf_packet short_answer(const uint8_t from[6])
{
    struct nf_packet p = l3_advertised(0x40, gate_mac[5]);

    p.len = p.have = 14 + 40 + 24;
    l3_frame[14 + 5] = 24;
    memcpy(l3_frame + 6, from, 6);
    l3_seal6(&p);
    return p;
}

L3_TEST(an_advertisement_moves_no_neighbour_that_answers)
{
    uint8_t gate[16];

    for (unsigned answers = 0; answers < 2; answers++) {
        l3_begin_ipv6();
        l3_know_gate6();
        struct nf_packet p = l3_advertised(0x60, 0x99);

        l3_run(1, &p);
        l3_assert_counted(NF_L3_CONTESTED, 1);
        const struct nf_emitted *asked = probe_made(gate_mac);
        assert_non_null(asked);
        l3_addr6(gate, "2001:db8:2::fe"); /* to the neighbour itself, about it */
        assert_memory_equal(asked->frame + 38, gate, 16);
        assert_memory_equal(asked->frame + 62, gate, 16);
        assert_int_equal(l3_gate6_mac(1.1), gate_mac[5]);
        if (answers) {
            l3_comes(1.3, short_answer(gate_mac));
        } else {
            l3_comes(1.3, short_answer(thief)); /* somebody else's says nothing */
        }
        probes_until(1.7, gate_mac);
        assert_int_equal(l3_gate6_mac(1.7), answers ? gate_mac[5] : 0x99);
        l3_assert_counted(NF_L3_MOVED, !answers);
    }
}

L3_TEST(a_solicitation_moves_no_host_that_answers)
{
    l3_begin_ipv6();
    l3_know_host6();
    struct nf_packet p = l3_hex(0, HOST_ASKS);

    l3_frame[p.len - 1] = 0x99;
    l3_seal6(&p);
    l3_run(1, &p);
    l3_assert_counted(NF_L3_CONTESTED, 1);
    l3_assert_counted(NF_L3_MOVED, 0);
    l3_comes(1.5, l3_hex(0, HOST_ASKS));
    assert_int_equal(probes_until(4, host_mac), 0);
    l3_assert_counted(NF_L3_MOVED, 0);
}

/*
 * Another host says that it has an address of the chain: the chain announces it again at once, at most once
 * a second for each address, and the last such frame can be told of. Of IPv4 and IPv6. Announcements are
 * compared with those of a promotion, which tests/unit/test_l3.c and test_l3_ipv6.c hold against RFC 5227
 * and 4861.
 */

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

    l3_dropped(at, p, NF_L3_ARP);
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
    l3_dropped(at, p, NF_L3_ND);
}

static void claims_ipv6(double at, uint8_t port, const char *addr)
{
    says_ipv6(at, port, thief, addr);
}

static void last_claim_is(const char *addr, uint8_t port)
{
    const struct nf_addr expected = l3_addr(addr);
    struct nf_claim claim;

    assert_true(nf_l3_claim(l3_nf, NF_L3_OWN_CLAIMED, &claim));
    assert_true(nf_addr_same(&claim.addr, &expected));
    assert_memory_equal(claim.mac, thief, 6);
    assert_int_equal(claim.port, port);
}

L3_TEST(an_own_address_is_announced_at_once)
{
    l3_begin_knowing_both();
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
}

L3_TEST(what_came_too_soon_is_answered_when_the_second_is_over)
{
    l3_begin_knowing_both();
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
}

/* The chain's own announcement, which comes back by a loop or from the other node, or to another interface on
 * the same LAN. */
L3_TEST(the_chains_own_mac_is_no_conflict)
{
    l3_begin_knowing_both();
    claims(1, 0, 1, inner_mac, "10.0.0.1", "10.0.0.1");
    nothing_is_made();
    claims(2, 1, 1, inner_mac, "10.0.0.1", "10.0.0.1");
    nothing_is_made();
    claims(3, 0, 1, outer_mac, "10.0.0.1", "10.0.0.1"); /* as a bridge of both would have it */
    nothing_is_made();
    l3_assert_counted(NF_L3_ARP_CONFLICT, 0);
}

L3_TEST(nor_is_that_of_another_interface_in_ipv6)
{
    l3_begin_ipv6();
    l3_know_gate6();
    says_ipv6(1, 1, inner_mac, "2001:db8:1::1");
    nothing_is_made();
    says_ipv6(2, 0, outer_mac, "2001:db8:1::1");
    nothing_is_made();
    l3_assert_counted(NF_L3_ND_CONFLICT, 0);
}

L3_TEST(addresses_of_ipv6_are_announced_the_same)
{
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
}

/* A flood costs the link one frame a second for each address. */
L3_TEST(a_flood_is_answered_once_a_second)
{
    l3_begin_knowing_both();
    for (unsigned i = 0; i < 1000; i++)
        claims(1 + 0.001 * i, i % 2, 1, thief, i % 2 ? "203.0.113.1" : "10.0.0.1", "10.0.0.1");
    l3_assert_counted(NF_L3_DEFENDED, 2);
}
