/* SPDX-License-Identifier: Apache-2.0 */
/* ICMP errors through nat64, with what they quote, both ways: types, codes and words by RFC 7915, 4.2
 * and 5.2. */
#include "tests/help/nat64_tape.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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
    nat64_replays();
}

/* Of any length: what is too long is cut to the headers that it quotes, with the sum that it then has. */
static void long_errors_are_cut(void)
{
    static const uint8_t protos[] = {6, 17, 1};
    struct six_seen inner;

    open_all();
    for (unsigned i = 0; i < 3; i++)
        for (uint32_t quoted = 28; quoted < 1480; quoted += 11) {
            struct six left = nat64_from_server(protos[i], 2000),
                       arrived = nat64_from_client(i == 2 ? 58 : protos[i]);
            uint32_t header = i == 0 ? 18 : 8, rest = quoted - 20;

            left.from = NAT64_OUT;
            left.to = NAT64_S4;
            left.sport = 2000;
            left.dport = 443;
            left.type = 8;
            left.payload = arrived.payload = 1440;
            assert_true(send_error(NF_OUTSIDE, &left, quoted, 3, 1, 0));
            assert_null(nat64_seen.wrong);
            assert_true(six_see_quoted(nat64_came, &nat64_seen, &inner));
            assert_int_equal(nat64_seen.end - nat64_seen.l3, 88 + (rest > 1280 - 88 ? header : rest));
            assert_int_equal(inner.sport, 5000);
            arrived.from = NAT64_S;
            arrived.to = NAT64_C;
            arrived.sport = i == 2 ? 5000 : 443;
            arrived.dport = 5000;
            arrived.type = 129;
            if (quoted < 60)
                continue;
            rest = quoted - 40;
            assert_true(send_error(NF_INSIDE, &arrived, quoted, 1, 4, 0));
            assert_null(nat64_seen.wrong);
            assert_true(six_see_quoted(nat64_came, &nat64_seen, &inner));
            assert_int_equal(nat64_seen.end - nat64_seen.l3, 48 + (rest > 576 - 48 ? header : rest));
            assert_int_equal(inner.dport, 2000);
        }
    assert_int_equal(nat64_counter("too_long"), 0);
    nat64_replays();
}

static uint32_t told(const struct six *s, uint8_t *code)
{
    static const uint8_t mac[6] = {2, 0, 0, 0, 0, 0x11};
    const struct nf_emitted *made;
    uint32_t n;

    struct nf_packet p = {.data = nat64_frame, .side = NF_OUTSIDE, .in_port = 1};

    p.len = p.have = six_frame(s, nat64_frame);
    memcpy(nat64_frame, mac, 6);
    help_chain_run(&nat64_h, nat64_h.now, &p, 1);
    assert_true(p.drop);
    n = nf_chain_emitted(nat64_h.chain, &made);
    if (!n)
        return 0;
    assert_int_equal(made->port, 1);
    assert_true(six_see(made->frame, made->len, &nat64_seen));
    assert_null(nat64_seen.wrong);
    assert_string_equal(nat64_seen.from, "203.0.113.20");
    assert_string_equal(nat64_seen.to, s->from);
    assert_int_equal(nat64_seen.type, 3);
    *code = nat64_seen.code;
    return n;
}

/* RFC 6146, 3.5.1; as Jool answers: no such host where there is no mapping, prohibited where there is one of
 * somebody else's. Not of a reset, nor of an error; and 50 at once at most. */
static void who_finds_no_mapping_is_told(void)
{
    static const char file[] = "/tmp/test-nat64-told.yaml";
    struct six back = nat64_from_server(17, 2000), s = nat64_from_client(17);
    struct nf_packet p = {.data = nat64_frame, .side = NF_INSIDE};
    FILE *f = fopen(file, "w");
    uint8_t router[60] = {[0 ... 5] = 0xff,
                          [6] = 2,
                          0,
                          0,
                          0,
                          0,
                          0x63,
                          8,
                          6,
                          0,
                          1,
                          8,
                          0,
                          6,
                          4,
                          0,
                          1,
                          2,
                          0,
                          0,
                          0,
                          0,
                          0x63,
                          203,
                          0,
                          113,
                          99,
                          0,
                          0,
                          0,
                          0,
                          0,
                          0,
                          203,
                          0,
                          113,
                          20}; /* its ARP request */
    uint8_t code = 0;

    assert_non_null(f);
    fputs("chain:\n  name: test\n  lanes: 1\n  nfs:\n" NAT64_NF "interfaces:\n"
          "  - { name: inside, side: inside, address6: \"2001:db8::1/64\", mac: \"02:00:00:00:00:01\" }\n"
          "  - { name: outside, side: outside, address: 203.0.113.20/24, mac: \"02:00:00:00:00:11\" }\n"
          "routes:\n  - { to: 0.0.0.0/0, via: 203.0.113.99 }\n",
          f);
    assert_int_equal(fclose(f), 0);
    help_chain_close(&nat64_h);
    memset(&nat64_h, 0, sizeof(nat64_h));
    help_chain_open_file(&nat64_h, file, 5);
    unlink(file);
    memcpy(nat64_frame, router, sizeof(router));
    p = (struct nf_packet){
        .data = nat64_frame, .side = NF_OUTSIDE, .in_port = 1, .len = sizeof(router), .have = sizeof(router)};
    help_chain_run(&nat64_h, 10 * HELP_SECOND, &p, 1);
    p = (struct nf_packet){.data = nat64_frame, .side = NF_INSIDE};
    assert_true(told(&back, &code) && code == 1);
    back.proto = 6;
    back.tcp = 2;
    assert_true(told(&back, &code) && code == 1);
    back.tcp = 4;
    assert_false(told(&back, &code));
    p.len = p.have = six_frame(&s, nat64_frame);
    memcpy(nat64_frame, "\2\0\0\0\0\1", 6);
    help_chain_run(&nat64_h, nat64_h.now, &p, 1);
    back = nat64_from_server(17, 2000);
    back.from = "198.51.100.77";
    assert_true(told(&back, &code) && code == 13);
    assert_int_equal(nat64_counter("wrong_remote"), 1);
    for (unsigned i = 0; i < 100; i++)
        told(&back, &code);
    assert_int_equal(help_chain_counter(&nat64_h, "l3", "l3_icmp_sent"), 50);
    assert_int_equal(help_chain_counter(&nat64_h, "l3", "l3_icmp_limited"), 53);
    p = (struct nf_packet){.data = nat64_frame, .side = NF_INSIDE, .in_port = 0};
    s.limit = 1;
    p.len = p.have = six_frame(&s, nat64_frame);
    memcpy(nat64_frame, "\2\0\0\0\0\1", 6);
    help_chain_run(&nat64_h, nat64_h.now, &p, 1);
    assert_int_equal(help_chain_counter(&nat64_h, "l3", "l3_icmp_sent"), 51); /* the flood was outside's */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HELP_CASE(errors_come_in),
        HELP_CASE(errors_go_out),
        HELP_CASE(errors_of_nobody_are_dropped),
        HELP_CASE(long_errors_are_cut),
        HELP_CASE(who_finds_no_mapping_is_told),
    };

    help_chain_before = nat64_begins;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
