/* SPDX-License-Identifier: Apache-2.0 */
/* ICMP errors through nat64, with what they quote, both ways: types, codes and words by RFC 7915, 4.2
 * and 5.2. */
#include "tests/nf/help_nat64_tape.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>

/* An error about a packet that left, of IPv4 with so many bytes of it; or from inside about one that
 * nat64_came. */
static bool send_error(uint8_t side, const struct six *about, uint32_t quoted, uint8_t type, uint8_t code,
                       uint32_t rest)
{
    static uint8_t inner[SIX_MAX];
    uint32_t l3 = 14, len = six_frame(about, inner) - l3;
    struct six error = {.ipv6 = side == NF_INSIDE,
                        .from = side == NF_INSIDE ? "2001:db8::5" : "192.0.2.9",
                        .to = side == NF_INSIDE ? NAT64_S : NAT64_OUT,
                        .proto = side == NF_INSIDE ? 58 : 1,
                        .type = type,
                        .code = code,
                        .rest = rest,
                        .inner = inner + l3,
                        .inner_len = quoted < len ? quoted : len};

    return nat64_sends(side, &error);
}

static void an_error_from_outside_is(uint8_t type, uint8_t code, uint32_t rest, int to_type, int to_code,
                                     uint32_t to_rest)
{
    static const uint8_t protos[] = {6, 17, 1};

    for (unsigned i = 0; i < 3; i++)
        for (uint32_t quoted = 28; quoted < 72; quoted += 4) {
            struct six left = nat64_from_server(protos[i], 2000);
            struct six_seen inner;

            left.from = NAT64_OUT;
            left.to = NAT64_S4;
            left.sport = 2000;
            left.dport = 443;
            left.type = 8;
            left.payload = 30;
            assert_int_equal(send_error(NF_OUTSIDE, &left, quoted, type, code, rest), to_type >= 0);
            if (to_type < 0)
                continue;
            assert_string_equal(nat64_seen.from, "64:ff9b::c000:209");
            assert_string_equal(nat64_seen.to, NAT64_C);
            assert_int_equal(nat64_seen.type, to_type);
            assert_int_equal(nat64_seen.code, to_code);
            assert_int_equal(nat64_seen.rest, to_rest);
            assert_true(six_see_quoted(nat64_came, &nat64_seen, &inner));
            assert_string_equal(inner.from, NAT64_C);
            assert_string_equal(inner.to, NAT64_S);
            assert_int_equal(inner.sport, 5000);
            assert_int_equal(inner.dport, i == 2 ? 5000 : 443);
            assert_int_equal(inner.proto, i == 2 ? 58 : protos[i]);
            assert_int_equal(inner.type, i == 2 ? 128 : 0);
            assert_int_equal(inner.end - inner.l4, 30 + (i ? 8 : 20));
        }
}

static void open_all(void)
{
    static const uint8_t protos[] = {6, 17, 58};

    for (unsigned i = 0; i < 3; i++) {
        struct six s = nat64_from_client(protos[i]);

        assert_true(nat64_sends(NF_INSIDE, &s));
    }
}

static void errors_come_in(void)
{
    open_all();
    an_error_from_outside_is(3, 0, 0, 1, 0, 0);
    an_error_from_outside_is(3, 1, 0, 1, 0, 0);
    an_error_from_outside_is(3, 2, 0, 4, 1, 6);
    an_error_from_outside_is(3, 3, 0, 1, 4, 0);
    an_error_from_outside_is(3, 4, 1400, 2, 0, 1420);
    an_error_from_outside_is(3, 4, 576, 2, 0, 1280);
    an_error_from_outside_is(3, 4, 0, 2, 0, 1280);
    an_error_from_outside_is(3, 10, 0, 1, 1, 0);
    an_error_from_outside_is(3, 13, 0, 1, 1, 0);
    an_error_from_outside_is(3, 14, 0, -1, 0, 0);
    an_error_from_outside_is(3, 16, 0, -1, 0, 0);
    an_error_from_outside_is(4, 0, 0, -1, 0, 0);
    an_error_from_outside_is(5, 0, 0, -1, 0, 0);
    an_error_from_outside_is(11, 0, 0, 3, 0, 0);
    an_error_from_outside_is(11, 1, 0, 3, 1, 0);
    an_error_from_outside_is(12, 0, 8u << 24, 4, 0, 7);
    an_error_from_outside_is(12, 0, 17u << 24, 4, 0, 24);
    an_error_from_outside_is(12, 0, 5u << 24, -1, 0, 0);
    an_error_from_outside_is(12, 1, 0, -1, 0, 0);
    assert_true(nat64_counter("icmp_errors_translated") > 300);
    nat64_replays();
}

static void an_error_from_inside_is(uint8_t type, uint8_t code, uint32_t rest, int to_type, int to_code,
                                    uint32_t to_rest)
{
    static const uint8_t protos[] = {6, 17, 58};

    for (unsigned i = 0; i < 3; i++)
        for (uint32_t quoted = 48; quoted < 100; quoted += 4) {
            struct six arrived = nat64_from_client(protos[i]);
            struct six_seen inner;

            arrived.from = NAT64_S;
            arrived.to = NAT64_C;
            arrived.sport = i == 2 ? 5000 : 443;
            arrived.dport = 5000;
            arrived.type = 129;
            arrived.payload = 30;
            assert_int_equal(send_error(NF_INSIDE, &arrived, quoted, type, code, rest), to_type >= 0);
            if (to_type < 0)
                continue;
            assert_string_equal(nat64_seen.from, NAT64_OUT);
            assert_string_equal(nat64_seen.to, NAT64_S4);
            assert_int_equal(nat64_seen.type, to_type);
            assert_int_equal(nat64_seen.code, to_code);
            assert_int_equal(nat64_seen.rest, to_rest);
            assert_true(six_see_quoted(nat64_came, &nat64_seen, &inner));
            assert_null(inner.wrong);
            assert_string_equal(inner.from, NAT64_S4);
            assert_string_equal(inner.to, NAT64_OUT);
            assert_int_equal(inner.dport, 2000);
            assert_int_equal(inner.sport, i == 2 ? 2000 : 443);
            assert_int_equal(inner.proto, i == 2 ? 1 : protos[i]);
            assert_int_equal(inner.end - inner.l4, 30 + (i ? 8 : 20));
        }
}

static void errors_go_out(void)
{
    open_all();
    an_error_from_inside_is(1, 0, 0, 3, 1, 0);
    an_error_from_inside_is(1, 1, 0, 3, 10, 0);
    an_error_from_inside_is(1, 2, 0, 3, 1, 0);
    an_error_from_inside_is(1, 3, 0, 3, 1, 0);
    an_error_from_inside_is(1, 4, 0, 3, 3, 0);
    an_error_from_inside_is(1, 5, 0, -1, 0, 0);
    an_error_from_inside_is(2, 0, 1400, 3, 4, 1380);
    an_error_from_inside_is(2, 0, 100000, 3, 4, 65515);
    an_error_from_inside_is(3, 0, 0, 11, 0, 0);
    an_error_from_inside_is(4, 0, 7, 12, 0, 8u << 24);
    an_error_from_inside_is(4, 0, 30, 12, 0, 16u << 24);
    an_error_from_inside_is(4, 0, 2, -1, 0, 0);
    an_error_from_inside_is(4, 0, 40, -1, 0, 0);
    an_error_from_inside_is(4, 1, 6, 3, 2, 0);
    an_error_from_inside_is(4, 2, 0, -1, 0, 0);
    nat64_replays();
}

/* About nothing that is known, or from the wrong side. */
static void errors_of_nobody_are_dropped(void)
{
    struct six left = nat64_from_server(6, 2000);

    left.from = NAT64_OUT;
    left.to = NAT64_S4;
    left.sport = 2000;
    left.dport = 443;
    assert_false(send_error(NF_OUTSIDE, &left, 28, 3, 1, 0));
    assert_int_equal(nat64_counter("no_mapping"), 1);
    open_all();
    left.dport = 444;
    assert_false(send_error(NF_OUTSIDE, &left, 28, 3, 1, 0));
    assert_int_equal(nat64_counter("wrong_remote"), 1);
    left.dport = 443;
    left.payload = 1300;
    assert_false(send_error(NF_OUTSIDE, &left, 1300, 3, 1, 0));
    assert_int_equal(nat64_counter("too_long"), 1);
    nat64_replays();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HELP_CASE(errors_come_in),
        HELP_CASE(errors_go_out),
        HELP_CASE(errors_of_nobody_are_dropped),
    };

    help_chain_before = nat64_begins;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
