/* SPDX-License-Identifier: Apache-2.0 */
/* Neighbours that do not answer: after three requests senders are told, of packets as they knew them, until
 * the neighbour answers. Over both families. */
#include "nflib/net/icmpv6.h"
#include "tests/help/l3_ipv6.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <string.h>

/* Of the frames made in the last burst: requests on the port for the address's last byte, at this offset. */
static unsigned asked(uint8_t port, uint32_t len, uint8_t last)
{
    unsigned n = 0;

    for (uint32_t i = 0; i < l3_made_count; i++)
        n +=
            l3_made[i].port == port && l3_made[i].len == len && l3_made[i].frame[len == 42 ? 41 : 77] == last;
    return n;
}

/* The one ICMP error among them; NULL: there is none. */
static const uint8_t *told(uint8_t port)
{
    const uint8_t *error = NULL;

    for (uint32_t i = 0; i < l3_made_count; i++) {
        const uint8_t *f = l3_made[i].frame;

        if ((f[12] == 8 && f[13] == 0) || (f[12] == 0x86 && f[20] == 58 && f[54] < 128)) {
            assert_null(error);
            assert_int_equal(l3_made[i].port, port);
            error = f;
        }
    }
    return error;
}

static void assert_told(uint8_t port, const char *from, const char *to, const char *source,
                        const char *sought)
{
    const uint8_t *f = told(port);
    uint32_t ends[] = {ip4(from), ip4(to), ip4(source), ip4(sought)};

    assert_non_null(f);
    assert_memory_equal(f + 26, ends, 8);
    assert_int_equal(f[34], 3);
    assert_int_equal(f[35], 1);
    assert_memory_equal(f + 42 + 12, ends + 2, 8);
    l3_assert_valid(f);
}

static struct nf_packet sent(double at, uint8_t port, const char *from, const char *to)
{
    struct nf_packet p = l3_udp(port, from, to, 64);

    l3_run(at, &p);
    l3_assert_dropped(&p, NF_L3_NO_NEIGHBOUR);
    return p;
}

static void who_does_not_answer_is_unreachable(void **state)
{
    struct nf_packet p;

    (void)state;
    l3_begin();
    l3_know_both(0);
    sent(1, 1, "198.51.100.7", "10.0.0.77");
    assert_int_equal(asked(0, 42, 77), 1);
    for (unsigned at = 2; at <= 3; at++) { /* nobody wants it meanwhile */
        l3_run(at - 0.1, NULL);
        assert_int_equal(asked(0, 42, 77), 0);
        l3_run(at, NULL);
        assert_int_equal(asked(0, 42, 77), 1);
    }
    sent(3.9, 1, "198.51.100.7", "10.0.0.77");
    assert_null(told(1));
    sent(4, 1, "198.51.100.7", "10.0.0.77");
    assert_int_equal(asked(0, 42, 77), 1);
    assert_told(1, "203.0.113.1", "198.51.100.7", "198.51.100.7", "10.0.0.77");
    sent(4.5, 1, "198.51.100.7", "10.0.0.77");
    assert_int_equal(asked(0, 42, 77), 0);
    assert_non_null(told(1));
    l3_assert_counted(NF_L3_ICMP_SENT, 2);
    p = l3_arp(0, 2, inner_mac, host_mac, "10.0.0.77", "10.0.0.1");
    l3_run(5, &p);
    p = l3_udp(1, "198.51.100.7", "10.0.0.77", 64);
    l3_run(5.1, &p);
    assert_int_equal(p.drop, 0);
    assert_null(told(1));
    l3_end();
}

/* Nobody asks for it any more: it is forgotten, and begins anew. */
static void it_is_forgotten_when_nobody_wants_it(void **state)
{
    (void)state;
    l3_begin();
    l3_know_both(0);
    sent(1, 1, "198.51.100.7", "10.0.0.77");
    for (unsigned at = 2; at <= 6; at++)
        l3_run(at, NULL);
    sent(6.5, 1, "198.51.100.7", "10.0.0.77");
    assert_null(told(1));
    l3_end();
}

/* The sender hears of the packet that it sent, not of what the chain made of it. */
static void who_is_translated_is_told_too(void **state)
{
    (void)state;
    l3_begin();
    l3_know_both(0);
    l3_translating = true;
    sent(1, 0, "10.0.0.5", "203.0.113.88");
    for (unsigned at = 2; at <= 4; at++) {
        assert_true(nf_chain_wake(l3_chain) <= at * NF_SECOND);
        l3_run(at, NULL);
    }
    sent(4.1, 0, "10.0.0.5", "203.0.113.88");
    assert_told(0, "10.0.0.1", "10.0.0.5", "10.0.0.5", "203.0.113.88");
    l3_end();
}

static void a_dead_next_hop_makes_all_behind_it_unreachable(void **state)
{
    struct nf_packet p;

    (void)state;
    l3_begin();
    p = l3_arp(0, 1, everybody, host_mac, "10.0.0.5", "10.0.0.1");
    l3_run(1, &p);
    sent(3.9, 0, "10.0.0.5", "198.51.100.7");
    assert_null(told(0));
    for (unsigned i = 0; i < 4; i++) {
        sent(4.1 + 7 * i, 0, "10.0.0.5", "198.51.100.7");
        assert_told(0, "10.0.0.1", "10.0.0.5", "10.0.0.5", "198.51.100.7");
    }
    l3_end();
}

static void of_ipv6_the_same(void **state)
{
    uint8_t from[32];
    const uint8_t *f;
    struct nf_packet p;

    (void)state;
    l3_begin_ipv6(); /* asks for the gateway at 0 s, which is no chain time */
    l3_know_host6();
    for (unsigned at = 1; at <= 3; at++) {
        l3_run(at, NULL);
        assert_int_equal(asked(1, 86, 0xfe), 1);
    }
    p = l3_hex(0, UDP);
    l3_run(3.9, &p);
    assert_null(told(0));
    p = l3_hex(0, UDP);
    l3_run(4.1, &p);
    l3_assert_dropped(&p, NF_L3_NO_NEIGHBOUR);
    f = told(0);
    assert_non_null(f);
    assert_int_equal(f[54], 1);
    assert_int_equal(f[55], 3);
    l3_addr6(from, "2001:db8:1::1");
    l3_addr6(from + 16, "2001:db8:1::5");
    assert_memory_equal(f + 22, from, 32);
    p = l3_hex(0, UDP);
    assert_memory_equal(f + 62 + 8, l3_frame + 22, 32);
    p = l3_advertised(NF_ND_ROUTER | NF_ND_SOLICITED | NF_ND_OVERRIDE, 9);
    l3_run(4.4, &p);
    p = l3_hex(0, UDP);
    l3_run(4.5, &p);
    assert_int_equal(p.drop, 0);
    l3_end();
}

int main(void)
{
    l3_configure();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_does_not_answer_is_unreachable),
        cmocka_unit_test(it_is_forgotten_when_nobody_wants_it),
        cmocka_unit_test(who_is_translated_is_told_too),
        cmocka_unit_test(a_dead_next_hop_makes_all_behind_it_unreachable),
        cmocka_unit_test(of_ipv6_the_same),
    };

    return cmocka_run_group_tests_name("l3_unreachable", tests, NULL, NULL);
}
