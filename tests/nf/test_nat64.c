/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nat64, packet by packet: what RFC 7915 and RFC 6146 say a packet is in the other family, with all sums made
 * anew, and each test replayed from headers alone.
 */
#include "understudy/config/config.h"
#include "tests/help/chain.h"
#include "tests/help/test.h"

/*
 * For tests of nat64 by packet: one chain with it alone, packets of a client and of a server, and a tape of
 * what was sent, which at the end of a test is replayed from headers alone and what was recorded beside them,
 * and must come to the same.
 */

#define NAT64_C   "2001:db8::c"
#define NAT64_S   "64:ff9b::c633:6401"
#define NAT64_S4  "198.51.100.1"
#define NAT64_OUT "203.0.113.1"
#define NAT64_NF  "    - nat64: { outside: 203.0.113.1, ports: 2000-2000, max_flows: 20 }\n"

static struct help_chain nat64_h;
static uint8_t nat64_frame[SIX_MAX + 64], *nat64_came;
static struct six_seen nat64_seen;

/* What was sent in a test, with what was recorded of it beside its headers and what nat64_came of it. */
static struct sent {
    uint8_t side, drop;
    uint32_t len, noted, out_len, headers;
    uint8_t bytes[SIX_MAX], values[64], out[256];
    uint64_t digest;
} * tape;

static uint32_t sent;

#define TAPE 1024u

/* opens the chain; for help_chain_before */
static void nat64_begins(void)
{
    static struct sent whole[TAPE];

    tape = whole;
    help_chain_open(&nat64_h, NAT64_NF, NULL, 1);
    sent = 0;
}

static void put_on_tape(uint8_t side, uint32_t len)
{
    struct sent *to = &tape[sent++];

    assert_true(sent <= TAPE);
    to->side = side;
    to->len = len;
    memcpy(to->bytes, nat64_frame, len);
}

static void note_what_came(const struct nf_packet *p)
{
    struct sent *to = &tape[sent - 1];
    const void *noted;

    to->noted = nf_determinants_noted(nf_chain_determinants(nat64_h.chain), &noted);
    assert_true(to->noted <= sizeof(to->values));
    memcpy(to->values, noted, to->noted);
    to->drop = p->drop;
    to->out_len = p->len;
    to->headers = p->len < 118 ? p->len : 118;
    memcpy(to->out, p->data, to->headers);
    to->digest = help_chain_digest(&nat64_h);
}

/* All of it once more, from what a record has. */
static void nat64_replays(void)
{
    static const struct ft_dependency none[1];
    static uint8_t copy[SIX_MAX];

    help_chain_again(&nat64_h);
    for (const struct sent *s = tape; s < tape + sent; s++) {
        struct nf_packet p = {.data = copy, .len = s->len, .have = s->len, .side = s->side};
        uint32_t have;

        memcpy(copy, s->bytes, s->len);
        nf_packet_parse(&p);
        have = p.have = nf_packet_header_bytes(&p);
        p.parsed = 0;
        memset(copy + p.have, 0xd7, s->len - p.have);
        nf_chain_follow(nat64_h.chain, none, 0);
        if (s->noted)
            assert_int_equal(
                nf_determinants_supply(nf_chain_determinants(nat64_h.chain), s->values, s->noted), FT_OK);
        help_chain_run(&nat64_h, nat64_h.now, &p, 1);
        assert_true(nf_determinants_used(nf_chain_determinants(nat64_h.chain)));
        assert_int_equal(p.drop, s->drop);
        assert_int_equal(p.len, s->out_len);
        assert_true(p.have == have + p.len - s->len || p.have == p.len); /* a cut one is there, whole */
        if (!p.drop)
            assert_memory_equal(p.data, s->out, p.have < s->headers ? p.have : s->headers);
        assert_int_equal(help_chain_digest(&nat64_h), s->digest);
    }
    sent = 0;
}

/* True: it passed, and `nat64_seen` says what it is. */
static bool nat64_sends_bytes(uint8_t side, uint32_t len)
{
    struct nf_packet p = {.data = nat64_frame, .len = len, .have = len, .side = side};

    put_on_tape(side, len);
    help_chain_run(&nat64_h, nat64_h.now, &p, 1);
    note_what_came(&p);
    if (p.drop)
        return false;
    nat64_came = p.data;
    assert_true(six_see(nat64_came, p.len, &nat64_seen));
    if (nat64_seen.wrong)
        fail_msg("%s checksum is wrong", nat64_seen.wrong);
    return true;
}

/* A burst of one packet; of the bytes of nat64_frame. True: it passed. A checksum that is wrong fails. */
static bool nat64_sends(uint8_t side, const struct six *s)
{
    return nat64_sends_bytes(side, six_frame(s, nat64_frame));
}

/* what was sent so far: it cannot be replayed */
static void nat64_forgets(void)
{
    sent = 0;
}

static struct six nat64_from_client(uint8_t proto)
{
    return SIX(proto, NAT64_C, 5000, NAT64_S, 443, .tcp = NFT_SYN, .type = 128, .payload = 11);
}

static struct six nat64_from_server(uint8_t proto, uint16_t port)
{
    return SIX(proto, NAT64_S4, proto == 1 ? port : 443, NAT64_OUT, port, .tcp = NFT_SYN | NFT_ACK,
               .payload = 11);
}

/* Of the server's flow, as it left with the chain's address; and of the client's, as its answer arrived. */
static struct six nat64_left(uint8_t proto, uint16_t payload)
{
    return SIX(proto, NAT64_OUT, 2000, NAT64_S4, 443, .tcp = NFT_SYN | NFT_ACK, .type = 8,
               .payload = payload);
}

static struct six nat64_arrived(uint8_t proto, uint16_t payload)
{
    return SIX(proto, NAT64_S, proto == 58 ? 5000 : 443, NAT64_C, 5000, .tcp = NFT_SYN, .type = 129,
               .payload = payload);
}

/* Both are sent, and the packet is of the client's flow as it leaves, and as an answer to it arrives. */
static void nat64_goes_out(const struct six *s)
{
    assert_true(nat64_sends(NF_INSIDE, s));
    six_ends_are(&nat64_seen, NAT64_OUT, 2000, NAT64_S4, 443);
}

static void nat64_comes_back(const struct six *s)
{
    assert_true(nat64_sends(NF_OUTSIDE, s));
    six_ends_are(&nat64_seen, NAT64_S, 443, NAT64_C, 5000);
}

/* ---- flows --------------------------------------------------------------------------------------- */

CHAIN_TEST(tcp_goes_out_and_comes_back)
{
    struct six s = nat64_from_client(6);

    s.class = 0xb9;
    s.limit = 17;
    nat64_goes_out(&s);
    assert_int_equal(nat64_seen.class, 0xb9);
    assert_int_equal(nat64_seen.limit, 17);
    assert_int_equal(nat64_seen.payload, 11);
    assert_false(nat64_seen.dont); /* 1260 bytes and less may be fragmented on their way */
    s = nat64_from_server(6, 2000);
    s.class = 0x2e;
    s.limit = 9;
    s.dont = true;
    nat64_comes_back(&s);
    assert_int_equal(nat64_seen.class, 0x2e);
    assert_int_equal(nat64_seen.limit, 9);
    assert_int_equal(nat64_seen.payload, 11);
    assert_false(nat64_seen.fragmented);
    help_chain_has(
        &nat64_h, "nat64",
        "\"inside\":\"[2001:db8::c]:5000\",\"outside\":\"203.0.113.1\",\"outside_port\":2000,\"remote\":"
        "\"198.51.100.1:443\",\"state\":\"syn-recv\",\"packets\":2");
    help_chain_counts(&nat64_h, "nat64: translated_outward 1, translated_inward 1");
    nat64_replays();
}

CHAIN_TEST(udp_of_any_size)
{
    struct six s = nat64_from_client(17);

    for (s.payload = 0; s.payload < 2400; s.payload += 97) {
        nat64_goes_out(&s);
        assert_int_equal(nat64_seen.payload, s.payload);
        assert_int_equal(nat64_seen.dont, 28 + s.payload > 1260);
        struct six back = nat64_from_server(17, 2000);

        back.payload = s.payload;
        nat64_comes_back(&back);
        assert_int_equal(nat64_seen.payload, s.payload);
    }
    help_chain_counts(&nat64_h, "nat64: mappings_created 1");
    nat64_replays();
}

CHAIN_TEST(an_echo_has_another_identifier)
{
    struct six s = nat64_from_client(58), back = nat64_from_server(1, 2000);

    s.sport = 77;
    assert_true(nat64_sends(NF_INSIDE, &s));
    six_ends_are(&nat64_seen, NAT64_OUT, 2000, NAT64_S4, 2000);
    assert_int_equal(nat64_seen.proto, 1);
    assert_int_equal(nat64_seen.type, 8);
    assert_true(nat64_sends(NF_OUTSIDE, &back));
    six_ends_are(&nat64_seen, NAT64_S, 77, NAT64_C, 77);
    assert_int_equal(nat64_seen.proto, 58);
    assert_int_equal(nat64_seen.type, 129);
    back.type = 8;
    assert_true(nat64_sends(NF_OUTSIDE, &back)); /* for the chain itself */
    assert_int_equal(nat64_seen.proto, 1);
    help_chain_counts(&nat64_h, "nat64: own_echo 1");
    s.type = 129;
    s.sport = 78;
    assert_false(nat64_sends(NF_INSIDE, &s));
    help_chain_counts(&nat64_h, "nat64: no_mapping 1");
    nat64_replays();
}

/* The one packet of IPv4 whose sum nobody has made. */
CHAIN_TEST(a_sum_is_made_where_there_is_none)
{
    struct six s = nat64_from_client(17), back = nat64_from_server(17, 2000);

    assert_true(nat64_sends(NF_INSIDE, &s));
    back.no_udp_sum = true;
    for (back.payload = 0; back.payload < 1500; back.payload += 211) {
        assert_true(nat64_sends(NF_OUTSIDE, &back)); /* which looks at it */
        six_ends_are(&nat64_seen, NAT64_S, 443, NAT64_C, 5000);
    }
    back.fragment = 0x2000;
    back.payload = 64;
    assert_false(nat64_sends(NF_OUTSIDE, &back));
    help_chain_counts(&nat64_h, "nat64: udp_without_checksum 1");
    nat64_replays();
}

CHAIN_TEST(tags_and_options_are_no_hindrance)
{
    for (uint8_t tags = 0; tags < 3; tags++)
        for (uint8_t options = 0; options < 11; options++) {
            struct six s = nat64_from_client(6), back = nat64_from_server(6, 2000);

            s.tags = back.tags = tags;
            s.options = back.options = options;
            assert_true(nat64_sends(NF_INSIDE, &s));
            assert_int_equal(nat64_seen.l3, 14 + 4 * tags);
            assert_int_equal(nat64_seen.l4, nat64_seen.l3 + 20);
            assert_true(nat64_sends(NF_OUTSIDE, &back));
            assert_int_equal(nat64_seen.l4, nat64_seen.l3 + 40);
            assert_int_equal(nat64_seen.payload, 11);
        }
    nat64_replays();
}

/* ---- what is not translated ---------------------------------------------------------------------- */

CHAIN_TEST(what_is_not_ours_passes)
{
    struct six s = nat64_from_client(6), back = nat64_from_server(6, 2000);

    s.to = "2001:db8:5::1";
    assert_true(nat64_sends(NF_INSIDE, &s));
    assert_true(nat64_seen.ipv6);
    back.to = "203.0.113.2";
    assert_true(nat64_sends(NF_OUTSIDE, &back));
    assert_false(nat64_seen.ipv6);
    help_chain_counts(&nat64_h, "nat64: not_ours 2");
    nat64_replays();
}

static void refused(uint8_t side, const struct six *s, const char *why)
{
    uint64_t was = help_chain_counter(&nat64_h, "nat64", why);

    assert_false(nat64_sends(side, s));
    assert_int_equal(help_chain_counter(&nat64_h, "nat64", why), was + 1);
}

#define REFUSED(side, s, why, ...)                                                                           \
    do {                                                                                                     \
        struct six made = (s);                                                                               \
        __VA_ARGS__;                                                                                         \
        refused((side), &made, (why));                                                                       \
    } while (0)

CHAIN_TEST(what_cannot_be_is_counted_by_name)
{
    struct six s = nat64_from_client(6), back = nat64_from_server(6, 2000);

    REFUSED(NF_INSIDE, s, "martian", made.from = "64:ff9b::1");
    REFUSED(NF_INSIDE, s, "martian", made.to = "64:ff9b::7f00:1");
    REFUSED(NF_INSIDE, s, "martian", made.to = "64:ff9b::e000:1");
    REFUSED(NF_INSIDE, s, "martian", made.from = "ff02::1");
    REFUSED(NF_INSIDE, s, "hairpin", made.to = "64:ff9b::cb00:7101");
    REFUSED(NF_INSIDE, s, "unsupported", made.proto = 47);
    REFUSED(NF_INSIDE, s, "unsupported", made.proto = 58; made.type = 130);
    REFUSED(NF_INSIDE, s, "fragmented_icmp", made.proto = 58; made.fragment = 0x2000);
    REFUSED(NF_INSIDE, s, "fragment_unknown", made.fragment = 5);
    REFUSED(NF_INSIDE, s, "no_mapping", made.tcp = NFT_RST);
    REFUSED(NF_OUTSIDE, back, "no_mapping", );
    REFUSED(NF_OUTSIDE, back, "unsupported", made.proto = 47);
    REFUSED(NF_OUTSIDE, back, "fragment_unknown", made.fragment = 5);
    REFUSED(NF_OUTSIDE, back, "fragmented_icmp", made.proto = 1; made.fragment = 0x2000);
    REFUSED(NF_OUTSIDE, back, "unsupported", made.proto = 1; made.type = 13);
    assert_true(nat64_sends(NF_INSIDE, &s));
    REFUSED(NF_OUTSIDE, back, "wrong_remote", made.sport = 444);
    REFUSED(NF_OUTSIDE, back, "wrong_remote", made.from = "198.51.100.2");
    back.options = 2;
    uint32_t len = six_frame(&back, nat64_frame);

    memcpy(nat64_frame + 34, "\203\007\004\012\000\000\001\000", 8); /* loose route, one station is left */
    nft_ip_checksum(nat64_frame, len);
    assert_false(nat64_sends_bytes(NF_OUTSIDE, len));
    help_chain_counts(&nat64_h, "nat64: source_route 1");
    memcpy(nat64_frame + 34, "\203\007\010\012\000\000\001\000", 8); /* none is left */
    nft_ip_checksum(nat64_frame, len);
    assert_true(nat64_sends_bytes(NF_OUTSIDE, len));
    s.options = 1;
    len = six_frame(&s, nat64_frame);
    nat64_frame[20] = 43; /* routing header of a kind that nobody knows, with a station left */
    memcpy(nat64_frame + 54, "\006\000\375\001", 4);
    assert_false(nat64_sends_bytes(NF_INSIDE, len));
    help_chain_counts(&nat64_h, "nat64: source_route 2");
    nat64_frame[57] = 0;
    assert_true(nat64_sends_bytes(NF_INSIDE, len));
    nat64_replays();
}

CHAIN_TEST(full_tables_are_counted)
{
    struct six s = nat64_from_client(17);

    help_chain_open(&nat64_h, "    - nat64: { outside: 203.0.113.1, ports: 2000-2003, max_flows: 20 }\n",
                    NULL, 1);
    for (unsigned i = 0; i < 6; i++) {
        s.sport = (uint16_t)(100 + i);
        assert_int_equal(nat64_sends(NF_INSIDE, &s), i < 4);
    }
    help_chain_counts(&nat64_h, "nat64: ports_exhausted 2");
    s.proto = 6;
    for (unsigned i = 0; i < 4; i++) {
        s.sport = (uint16_t)(100 + i);
        assert_true(nat64_sends(NF_INSIDE, &s));
    }
    assert_int_equal(help_chain_command(&nat64_h, "clear nat64 udp/2001"), 0);
    assert_int_equal(help_chain_command(&nat64_h, "clear nat64 udp/2001"), FT_ENOENT);
    nat64_forgets();
    s.proto = 17;
    s.sport = 105;
    assert_true(nat64_sends(NF_INSIDE, &s));
    six_ends_are(&nat64_seen, NAT64_OUT, 2001, NAT64_S4, 443);
    help_chain_wait_tenths(&nat64_h, 3001);
    help_chain_counts(&nat64_h, "nat64: mappings_expired 8");
    assert_true(nat64_sends(NF_INSIDE, &s));
}

/* ---- fragments ----------------------------------------------------------------------------------- */

CHAIN_TEST(fragments_follow_their_first)
{
    struct six s = nat64_from_client(17), back = nat64_from_server(17, 2000);

    s.id = 0x12345678;
    s.fragment = 0x2000;
    s.payload = 56;
    s.no_udp_sum = true; /* that of a part would be wrong */
    nat64_goes_out(&s);
    assert_int_equal(nat64_seen.id, 0x5678);
    assert_int_equal(nat64_seen.fragment, 0x2000);
    assert_false(nat64_seen.dont);
    s.fragment = 8;
    assert_true(nat64_sends(NF_INSIDE, &s));
    assert_string_equal(nat64_seen.from, NAT64_OUT);
    assert_string_equal(nat64_seen.to, NAT64_S4);
    assert_int_equal(nat64_seen.fragment, 8);
    assert_int_equal(nat64_seen.id, 0x5678);
    assert_int_equal(nat64_seen.payload, 56);
    back.fragment = 0x2000;
    back.id = 0xfedc;
    back.payload = 56;
    assert_true(nat64_sends(NF_OUTSIDE, &back)); /* its sum is not right, but there is one */
    assert_true(nat64_seen.fragmented);
    assert_int_equal(nat64_seen.fragment, 0x2000);
    assert_int_equal(nat64_seen.id, 0xfedc);
    six_ends_are(&nat64_seen, NAT64_S, 443, NAT64_C, 5000);
    back.fragment = 8;
    assert_true(nat64_sends(NF_OUTSIDE, &back));
    assert_true(nat64_seen.fragmented);
    assert_int_equal(nat64_seen.fragment, 8);
    assert_string_equal(nat64_seen.from, NAT64_S);
    assert_string_equal(nat64_seen.to, NAT64_C);
    assert_int_equal(nat64_seen.payload, 56);
    back.id++;
    assert_false(nat64_sends(NF_OUTSIDE, &back));
    help_chain_counts(&nat64_h, "nat64: fragment_unknown 1");
    nat64_replays();
}

/* RFC 7915, 5.1.1: the header goes, its identification stays, and it may be fragmented. */
CHAIN_TEST(a_fragment_that_is_all_is_none)
{
    struct six s = nat64_from_client(17);

    s.atomic = true;
    s.id = 0xabcd1234;
    s.payload = 1300;
    assert_true(nat64_sends(NF_INSIDE, &s));
    assert_int_equal(nat64_seen.fragment, 0);
    assert_int_equal(nat64_seen.id, 0x1234);
    assert_false(nat64_seen.dont);
    assert_int_equal(nat64_seen.payload, 1300);
    nat64_replays();
}

/* ICMP errors through nat64, with what they quote, both ways: types, codes and words by RFC 7915, 4.2
 * and 5.2. */

/* An error about a packet that left, of IPv4 with so many bytes of it; or from inside about one that
 * nat64_came. */
static bool send_error(uint8_t side, const struct six *about, uint32_t quoted, uint8_t type, uint8_t code,
                       uint32_t rest)
{
    static uint8_t inner[SIX_MAX];
    uint32_t l3 = 14, len = six_frame(about, inner) - l3;
    struct six error = SIX(side == NF_INSIDE ? 58 : 1, side == NF_INSIDE ? "2001:db8::5" : "192.0.2.9", 0,
                           side == NF_INSIDE ? NAT64_S : NAT64_OUT, 0, .type = type, .code = code,
                           .rest = rest, .inner = inner + l3, .inner_len = quoted < len ? quoted : len);

    return nat64_sends(side, &error);
}

/* An error, and what it is in the other family. */
struct error_row {
    uint8_t type, code;
    uint32_t rest;
    int to_type; /* -1: it does not pass */
    uint8_t to_code;
    uint32_t to_rest;
};

/* Each error from `side`, of each protocol, with more and more of what it quotes. */
static void errors_become(uint8_t side, const struct error_row rows[], unsigned n)
{
    static const uint8_t protos[][2] = {{1, 58}, {6, 6}, {17, 17}}; /* of IPv4, of IPv6 */
    const bool in = side == NF_OUTSIDE;

    for (unsigned at = 0; at < 3 * n; at++)
        for (uint32_t quoted = in ? 28 : 48; quoted < (in ? 72 : 100); quoted += 4) {
            const struct error_row *row = &rows[at / 3];
            const uint8_t *proto = protos[at % 3];
            bool echo = proto[0] == 1;
            struct six about = in ? nat64_left(proto[0], 30) : nat64_arrived(proto[1], 30);
            struct six_seen inner;

            if (send_error(side, &about, quoted, row->type, row->code, row->rest) != (row->to_type >= 0))
                fail_msg("type %u, code %u, %u, protocol %u", row->type, row->code, row->rest, proto[in]);
            if (row->to_type < 0)
                continue;
            if (nat64_seen.type != row->to_type || nat64_seen.code != row->to_code ||
                nat64_seen.rest != row->to_rest)
                fail_msg("type %u, code %u, %u became type %u, code %u, %u", row->type, row->code, row->rest,
                         nat64_seen.type, nat64_seen.code, nat64_seen.rest);
            assert_true(six_see_quoted(nat64_came, &nat64_seen, &inner));
            assert_int_equal(inner.proto, proto[in]);
            assert_int_equal(inner.end - inner.l4, 30 + (proto[0] == 6 ? 20 : 8));
            if (in) {
                assert_string_equal(nat64_seen.from, "64:ff9b::c000:209");
                assert_string_equal(nat64_seen.to, NAT64_C);
                six_ends_are(&inner, NAT64_C, 5000, NAT64_S, echo ? 5000 : 443);
                assert_int_equal(inner.type, echo ? 128 : 0);
            } else {
                assert_string_equal(nat64_seen.from, NAT64_OUT);
                assert_string_equal(nat64_seen.to, NAT64_S4);
                assert_null(inner.wrong);
                six_ends_are(&inner, NAT64_S4, echo ? 2000 : 443, NAT64_OUT, 2000);
            }
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

CHAIN_TEST(errors_come_in)
{
    static const struct error_row rows[] = {
        {3, 0, 0, 1, 0, 0},         {3, 1, 0, 1, 0, 0},           {3, 2, 0, 4, 1, 6},
        {3, 3, 0, 1, 4, 0},         {3, 4, 1400, 2, 0, 1420},     {3, 4, 576, 2, 0, 1280},
        {3, 4, 0, 2, 0, 1280},      {3, 10, 0, 1, 1, 0},          {3, 13, 0, 1, 1, 0},
        {3, 14, 0, -1, 0, 0},       {3, 16, 0, -1, 0, 0},         {4, 0, 0, -1, 0, 0},
        {5, 0, 0, -1, 0, 0},        {11, 0, 0, 3, 0, 0},          {11, 1, 0, 3, 1, 0},
        {12, 0, 8u << 24, 4, 0, 7}, {12, 0, 17u << 24, 4, 0, 24}, {12, 0, 5u << 24, -1, 0, 0},
        {12, 1, 0, -1, 0, 0}};

    open_all();
    errors_become(NF_OUTSIDE, rows, sizeof(rows) / sizeof(rows[0]));
    assert_true(help_chain_counter(&nat64_h, "nat64", "icmp_errors_translated") > 300);
    nat64_replays();
}

CHAIN_TEST(errors_go_out)
{
    static const struct error_row rows[] = {
        {1, 0, 0, 3, 1, 0},         {1, 1, 0, 3, 10, 0},          {1, 2, 0, 3, 1, 0},
        {1, 3, 0, 3, 1, 0},         {1, 4, 0, 3, 3, 0},           {1, 5, 0, -1, 0, 0},
        {2, 0, 1400, 3, 4, 1380},   {2, 0, 100000, 3, 4, 65515},  {3, 0, 0, 11, 0, 0},
        {4, 0, 7, 12, 0, 8u << 24}, {4, 0, 30, 12, 0, 16u << 24}, {4, 0, 2, -1, 0, 0},
        {4, 0, 40, -1, 0, 0},       {4, 1, 6, 3, 2, 0},           {4, 2, 0, -1, 0, 0}};

    open_all();
    errors_become(NF_INSIDE, rows, sizeof(rows) / sizeof(rows[0]));
    nat64_replays();
}

/* About nothing that is known, or from the wrong side. */
CHAIN_TEST(errors_of_nobody_are_dropped)
{
    struct six left = nat64_left(6, 11);

    assert_false(send_error(NF_OUTSIDE, &left, 28, 3, 1, 0));
    help_chain_counts(&nat64_h, "nat64: no_mapping 1");
    open_all();
    left.dport = 444;
    assert_false(send_error(NF_OUTSIDE, &left, 28, 3, 1, 0));
    help_chain_counts(&nat64_h, "nat64: wrong_remote 1");
    nat64_replays();
}

/* Of any length: what is too long is cut to the headers that it quotes, with the sum that it then has. */
CHAIN_TEST(long_errors_are_cut)
{
    static const uint8_t protos[] = {6, 17, 1};
    struct six_seen inner;

    open_all();
    for (unsigned i = 0; i < 3; i++)
        for (uint32_t quoted = 28; quoted < 1480; quoted += 11) {
            struct six left = nat64_left(protos[i], 1440),
                       arrived = nat64_arrived(i == 2 ? 58 : protos[i], 1440);
            uint32_t header = i == 0 ? 18 : 8, rest = quoted - 20;

            assert_true(send_error(NF_OUTSIDE, &left, quoted, 3, 1, 0));
            assert_null(nat64_seen.wrong);
            assert_true(six_see_quoted(nat64_came, &nat64_seen, &inner));
            assert_int_equal(nat64_seen.end - nat64_seen.l3, 88 + (rest > 1280 - 88 ? header : rest));
            assert_int_equal(inner.sport, 5000);
            if (quoted < 60)
                continue;
            rest = quoted - 40;
            assert_true(send_error(NF_INSIDE, &arrived, quoted, 1, 4, 0));
            assert_null(nat64_seen.wrong);
            assert_true(six_see_quoted(nat64_came, &nat64_seen, &inner));
            assert_int_equal(nat64_seen.end - nat64_seen.l3, 48 + (rest > 576 - 48 ? header : rest));
            assert_int_equal(inner.dport, 2000);
        }
    help_chain_counts(&nat64_h, "nat64: too_long 0");
    nat64_replays();
}

/* An error with an extension (RFC 4884) comes without it: in the other family the quote is 20 bytes longer or
 * shorter, which its length cannot say (RFC 7915, 4.2). */
CHAIN_TEST(extended_errors_are_cut)
{
    struct six left = nat64_left(17, 200), arrived = nat64_arrived(17, 200);
    struct six_seen inner;

    open_all();
    assert_true(send_error(NF_OUTSIDE, &left, 148, 11, 0, 32u << 16));
    assert_int_equal(nat64_seen.rest, 0);
    assert_true(six_see_quoted(nat64_came, &nat64_seen, &inner));
    assert_int_equal(nat64_seen.end - nat64_seen.l3, 40 + 8 + 40 + 8);
    assert_int_equal(inner.sport, 5000);
    assert_true(send_error(NF_INSIDE, &arrived, 148, 3, 0, 16u << 24));
    assert_int_equal(nat64_seen.rest, 0);
    assert_true(six_see_quoted(nat64_came, &nat64_seen, &inner));
    assert_int_equal(nat64_seen.end - nat64_seen.l3, 20 + 8 + 20 + 8);
    assert_int_equal(inner.dport, 2000);
    assert_true(send_error(NF_INSIDE, &arrived, 148, 2, 0, 1400)); /* an MTU is none */
    assert_int_equal(nat64_seen.end - nat64_seen.l3, 20 + 8 + 148 - 20);
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
CHAIN_TEST(who_finds_no_mapping_is_told)
{
    static const char text[] = NAT64_NF
        "interfaces:\n"
        "  - { name: inside, side: inside, address6: \"2001:db8::1/64\", mac: \"02:00:00:00:00:01\" }\n"
        "  - { name: outside, side: outside, address: 203.0.113.20/24, mac: \"02:00:00:00:00:11\" }\n"
        "routes:\n  - { to: 0.0.0.0/0, via: 203.0.113.99 }\n";
    struct six back = nat64_from_server(17, 2000), s = nat64_from_client(17);
    struct nf_packet p = {.data = nat64_frame, .side = NF_INSIDE};
    uint8_t code = 0;

    help_chain_open(&nat64_h, text, NULL, 5);
    nat64_h.now = 10 * HELP_SECOND;
    help_chain_arp_for(&nat64_h, NF_OUTSIDE, NFT_IP(203, 0, 113, 99),
                       NFT_IP(203, 0, 113, 20)); /* the router */
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
    help_chain_counts(&nat64_h, "nat64: wrong_remote 1");
    for (unsigned i = 0; i < 100; i++)
        told(&back, &code);
    help_chain_counts(&nat64_h, "l3: l3_icmp_sent 50, l3_icmp_limited 53");
    p = (struct nf_packet){.data = nat64_frame, .side = NF_INSIDE, .in_port = 0};
    s.limit = 1;
    p.len = p.have = six_frame(&s, nat64_frame);
    memcpy(nat64_frame, "\2\0\0\0\0\1", 6);
    help_chain_run(&nat64_h, nat64_h.now, &p, 1);
    help_chain_counts(&nat64_h, "l3: l3_icmp_sent 51"); /* the flood was outside's */
}

CHAIN_BEGINS(nat64_begins)
