/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sessions of IPv6, one flow at a time: what a key is, what a peer may send of it, how operators read it, and
 * that a chain whose NFs do not ask for IPv6 looks up none.
 */
#include "nflib/chain/chain.h"
#include "nflib/session/index.h"
#include "nftest/frames.h"
#include "tests/help/frame.h"
#include "tests/help/test.h"
#include <arpa/inet.h>

#define FRAME (14 + 40 + 20)

static const struct nf_session *found;
static uint8_t seen_flow;

static void flows(const void *config, struct nf_flows_config *wants)
{
    wants->max_flows = 8;
    wants->max_fragments = 8;
    for (unsigned i = 0; i < NF_TIMEOUT_COUNT; i++)
        wants->timeouts[i] = 60;
}

static void join(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    for (uint32_t i = 0; i < n; i++) {
        found = nf_session_mine(nf, packets[i]);
        seen_flow = packets[i]->flow;
        if (!found)
            found = nf_session_join(nf, packets[i], now);
    }
}

static void row(const struct nf *nf, struct nf_show *out, const struct nf_session *s)
{
    nf_row(out);
    nf_session_row_ends(nf, out, s, "from", "to");
}

static bool show(const struct nf *nf, struct nf_show *out, uint64_t *cursor)
{
    return nf_sessions_show(nf, 0, out, cursor, row);
}

static bool joins_ipv6(const void *config)
{
    return true;
}

static const struct nf_module both = {
    .name = "both", .session_size = 8, .process = join, .flows = flows, .show = show, .ipv6 = joins_ipv6};
static const struct nf_module ipv4 = {
    .name = "ipv4", .session_size = 8, .process = join, .flows = flows, .show = show};

/* Of a burst's last packet: whether its datagram's first fragment has passed, and what it quotes. */
static bool is_later, idle;
static const struct nf_session *quoted;

static void ask(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    bool reply;

    if (!idle)
        join(nf, packets, n, now);
    is_later = nf_session_later(nf, packets[n - 1]);
    quoted = nf_session_quoted(nf, packets[n - 1], &reply);
}

static bool is_idle(const struct nf *nf)
{
    return idle;
}

static const struct nf_module asks = {
    .name = "asks", .session_size = 8, .process = ask, .flows = flows, .session_idle = is_idle};

static struct nf_chain *chain;
static struct ft_region *region;
static uint64_t burst;

static void open_chain(const struct nf_module *module)
{
    struct nf_chain_config config = {.name = "test", .lanes = 1, .count = 1, .nfs = {{module, NULL}}};
    static const struct ft_region_config how = {.name = "test", .shared_size = 64 << 10};
    struct ft_fault fault = {""};

    burst = 0;
    if (nf_chain_region(&region, &config, &how, &fault) ||
        nf_chain_make(&chain, &config, region, 0, 7, &fault))
        fail_msg("%s", fault.text);
}

static int close_chain(void **state)
{
    nf_chain_free(chain);
    ft_region_close(region);
    return 0;
}

#define SESSION_TEST(name) TEST_WITH(name, NULL, close_chain)

/* TCP or ICMPv6 echo from 2001:db8::a:1 to 2001:db8::b:2, or back; ICMP's identifier is the source port. */
static void fill(uint8_t *frame, bool back, uint8_t proto, uint16_t sport, uint16_t dport,
                 uint8_t flags_or_type)
{
    const uint8_t a[16] = {0x20, 1, 0x0d, 0xb8, [13] = 10, [15] = 1};
    const uint8_t b[16] = {0x20, 1, 0x0d, 0xb8, [13] = 11, [15] = 2};
    uint16_t ports[2] = {htons(sport), htons(dport)};
    uint8_t *ip = frame + 14;

    memset(frame, 0, FRAME);
    frame[12] = 0x86;
    frame[13] = 0xdd;
    ip[0] = 0x60;
    ip[5] = 20;
    ip[6] = proto;
    memcpy(ip + 8, back ? b : a, 16);
    memcpy(ip + 24, back ? a : b, 16);
    if (proto == NF_PROTO_TCP) {
        memcpy(ip + 40, ports, sizeof(ports));
        ip[52] = 5 << 4;
        ip[53] = flags_or_type;
    } else {
        ip[40] = flags_or_type;
        memcpy(ip + 44, ports, 2);
    }
}

static void run_burst(struct nf_packet *packets, uint32_t n)
{
    found = NULL;
    seen_flow = 0;
    burst++;
    nf_chain_run(chain, burst, burst * NF_SECOND, packets, n);
}

static void run(uint8_t side, uint8_t proto, uint16_t sport, uint16_t dport, uint8_t flags_or_type)
{
    uint8_t frame[FRAME];
    struct nf_packet p = {.data = frame, .len = FRAME, .have = FRAME, .side = side, .in_port = side};

    fill(frame, side == NF_OUTSIDE, proto, sport, dport, flags_or_type);
    run_burst(&p, 1);
}

static uint8_t back_where_it_came_from(const void *arg, const struct nf_packet *p)
{
    return p->side;
}

/* In opposite directions, in one burst on one side: the second is the answer to the first. Another address
 * makes it none. */
TEST(first_packets_that_cross_are_of_one_flow)
{
    uint8_t frame[2][FRAME];
    struct nf_packet p[2];

    for (unsigned other = 0; other < 2; other++) {
        open_chain(&both);
        nf_sessions_lane(nf_chain_nf(chain, 1))->out_side = back_where_it_came_from;
        memset(p, 0, sizeof(p));
        for (unsigned i = 0; i < 2; i++) {
            p[i] = (struct nf_packet){.data = frame[i], .len = FRAME, .have = FRAME, .side = NF_INSIDE};
            fill(frame[i], i, NF_PROTO_TCP, i ? 443 : 1000, i ? 1000 : 443, NF_TCP_SYN);
        }
        frame[1][14 + 8] ^= (uint8_t)other;
        run_burst(p, 2);
        assert_int_equal(nf_sessions_count(nf_chain_nf(chain, 1)), 1 + other);
        assert_int_equal((seen_flow & NF_FLOW_REPLY) != 0, !other);
        assert_false(p[0].drop || p[1].drop);
        close_chain(NULL);
    }
}

/* What has no identifier is in another session than an echo whose identifier is 0. */
SESSION_TEST(an_echo_with_identifier_0_is_no_error)
{
    const struct nf_session *echo;

    open_chain(&both);
    run(NF_INSIDE, NF_PROTO_ICMPV6, 0, 0, 128);
    echo = found;
    run(NF_INSIDE, NF_PROTO_ICMPV6, 0, 0, 1);
    assert_non_null(found);
    assert_ptr_not_equal(found, echo);
    assert_true(nf_session_of_errors(found) && !nf_session_of_errors(echo));
    run(NF_OUTSIDE, NF_PROTO_ICMPV6, 0, 0, 129);
    assert_ptr_equal(found, echo);
}

SESSION_TEST(operators_read_its_addresses)
{
    char text[256];
    struct nf_show *out = nf_show_begin(text, sizeof(text));
    uint64_t cursor = 0;

    open_chain(&both);
    run(NF_INSIDE, NF_PROTO_TCP, 1000, 443, NF_TCP_SYN);
    assert_false(show(nf_chain_nf(chain, 1), out, &cursor));
    nf_show_end(out);
    assert_string_equal(text, "[{\"from\":\"[2001:db8::a:1]:1000\",\"to\":\"[2001:db8::b:2]:443\"}]");
}

SESSION_TEST(a_key_is_its_addresses_and_not_their_hash)
{
    const struct nf_sessions *t;
    struct nf_addresses addresses;
    struct nf_tuple key;
    uint32_t which;
    uint64_t hash;

    open_chain(&both);
    run(NF_INSIDE, NF_PROTO_TCP, 1000, 443, NF_TCP_SYN);
    t = nf_chain_nf(chain, 1)->env->sessions->table;
    addresses = nf_session_addresses(t, 0)->key[0];
    key = found->key[0];
    hash = nf_session_hash(t, &key);
    assert_ptr_equal(nf_session_find(t, &key, &addresses, hash, &which), found);
    addresses.destination[15] ^= 1;
    assert_null(nf_session_find(t, &key, &addresses, hash, &which));
}

static void refused(const char *expected)
{
    struct ft_fault fault = {""};

    assert_int_not_equal(nf_chain_check(chain, NULL, NULL, &fault), 0);
    if (!strstr(fault.text, expected))
        fail_msg("\"%s\", expected \"%s\"", fault.text, expected);
}

SESSION_TEST(a_peer_sends_addresses_that_their_keys_are_of)
{
    struct nf_session_addresses *addresses;
    struct ft_fault fault = {""};

    open_chain(&both);
    run(NF_INSIDE, NF_PROTO_TCP, 1000, 443, NF_TCP_SYN);
    assert_int_equal(nf_chain_check(chain, NULL, NULL, &fault), 0);
    addresses = (struct nf_session_addresses *)(uintptr_t)nf_session_addresses(
        nf_chain_nf(chain, 1)->env->sessions->table, 0);
    for (unsigned which = 0; which < 2; which++) {
        addresses->key[which].source[0] ^= 1;
        refused("session 0 has a key that is not of its family or its addresses");
        addresses->key[which].source[0] ^= 1;
    }
    ((struct nf_session *)(uintptr_t)found)->key[1].ipv6 = 0;
    refused("family");
}

SESSION_TEST(nobody_asks_for_it)
{
    open_chain(&ipv4);
    run(NF_INSIDE, NF_PROTO_TCP, 1000, 443, NF_TCP_SYN);
    assert_null(found);
    assert_int_equal(seen_flow, 0);
    assert_int_equal(nf_chain_nf(chain, 1)->env->sessions->table->addresses_at, 0);
}

/* One packet in the place of the burst's first, at so many minutes. */
static void run_frame(uint8_t side, uint8_t *frame, uint32_t len, uint64_t minutes)
{
    struct nf_packet p = {.data = frame, .len = len, .have = len, .side = side, .in_port = side};

    nf_chain_run(chain, ++burst, minutes * 60 * NF_SECOND, &p, 1);
}

/* Of a packet that is not looked up nothing is known, whatever was in its place in the burst before. */
SESSION_TEST(what_is_not_looked_up_is_of_no_datagram)
{
    uint8_t frame[2][NFT_FRAME_MAX];
    struct nft_spec spec = {.src = 1, .dst = 2, .proto = NF_PROTO_UDP, .fragment = NFT_MORE, .payload = 8};
    struct nf_packet p[2] = {{.data = frame[0]}, {.data = frame[1]}};

    open_chain(&asks);
    for (unsigned i = 0; i < 2; i++, spec.fragment = 2)
        p[i].len = p[i].have = nft_frame(&spec, frame[i]);
    run_burst(p, 2);
    assert_true(is_later);
    fill(frame[1], false, 44, 0, 0, 0);
    frame[1][14 + 40] = NF_PROTO_UDP;
    frame[1][14 + 43] = 8;
    p[1].len = p[1].have = FRAME;
    run_burst(p, 2);
    assert_true(p[1].flags & NF_P_LATER);
    assert_false(is_later);
}

SESSION_TEST(and_quotes_no_session)
{
    uint8_t frame[NFT_FRAME_MAX], error[NFT_FRAME_MAX];
    struct nft_spec udp = {.src = 1, .dst = 2, .sport = 3, .dport = 4, .proto = NF_PROTO_UDP},
                    about = HELP_PACKET(NF_PROTO_ICMP, 2, 0, 1, 0, .type = 3, .inner = frame + 14,
                                        .inner_len = 28);
    uint32_t len, error_len;

    open_chain(&asks);
    len = nft_frame(&udp, frame);
    error_len = nft_frame(&about, error);
    run_frame(NF_INSIDE, frame, len, 1);
    run_frame(NF_OUTSIDE, error, error_len, 1);
    assert_non_null(quoted);
    idle = true; /* it will join nothing more, and what there was has aged */
    run_frame(NF_OUTSIDE, error, error_len, 9);
    idle = false;
    assert_null(quoted);
}
