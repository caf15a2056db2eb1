/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions in chains of several NFs: what one of them does with a packet leaves the others what is theirs. */
#include "nflib/session/table.h"
#include "nfs/nat/nat_sessions.h"
#include "tests/help/chain.h"
#include "tests/help/test.h"

#define SITE     NFT_IP(203, 0, 113, 1)
#define HOST     NFT_IP(10, 1, 2, 3)
#define SECOND   NFT_IP(10, 1, 2, 4)
#define REMOTE   NFT_IP(198, 51, 100, 7)
#define OTHER    NFT_IP(198, 51, 100, 8)
#define NAT      "    - nat: { outside: 203.0.113.1 }\n"
#define NAT_PASS "    - nat: { outside: 203.0.113.1, inside: [10.0.0.0/8], unsupported: pass }\n"
#define MONITOR  "    - monitor: {}\n"
#define WALL     "    - firewall: { rules: firewall.rules }\n"
#define RULES    "default allow out\ndefault deny in\n"

static struct help_chain h;

static bool send_udp(uint8_t side, uint32_t src, uint16_t sport, uint32_t dst, uint16_t dport)
{
    struct nft_spec s = {.src = src, .dst = dst, .sport = sport, .dport = dport, .proto = 17, .payload = 9};

    return help_chain_spec(&h, side, &s, NULL);
}

static bool send_tcp(uint8_t side, uint8_t flags)
{
    bool in = side == NF_OUTSIDE;
    struct nft_spec s =
        HELP_PACKET(6, in ? REMOTE : HOST, in ? 80 : 1000, in ? HOST : REMOTE, in ? 1000 : 80, .tcp = flags);

    return help_chain_spec(&h, side, &s, NULL);
}

/* "Port unreachable", about an answer of REMOTE's name server to `host`. */
static bool complain(uint32_t host)
{
    struct nft_spec quoted = HELP_PACKET(17, REMOTE, 53, host, 5000, .payload = 8);
    uint8_t frame[NFT_FRAME_MAX];
    struct nft_spec error =
        HELP_PACKET(1, host, 0, REMOTE, 0, .type = 3, .code = 3, .inner = frame + 14, .inner_len = 28);

    nft_frame(&quoted, frame);
    return help_chain_spec(&h, NF_INSIDE, &error, NULL);
}

/* Both leave from the one outside address, to the same remote, without ports: nobody answers them. */
CHAIN_TEST(errors_of_two_hosts_to_one_remote_pass)
{
    help_chain_begin(&h, NAT MONITOR, RULES);
    assert_true(send_udp(NF_INSIDE, HOST, 5000, REMOTE, 53));
    assert_true(send_udp(NF_INSIDE, SECOND, 5000, REMOTE, 53));
    for (unsigned i = 0; i < 3; i++) {
        assert_true(complain(HOST));
        assert_true(complain(SECOND));
    }
    help_chain_counts(&h, "nat: icmp_errors_translated 6, conflict 0");
}

#define VIP     NFT_IP(203, 0, 113, 10)
#define BACKEND NFT_IP(172, 16, 0, 11)
#define BALANCED(policy, backend)                                                                            \
    "    - nat: { outside: 203.0.113.1, inside: [10.0.0.0/8], unsupported: " policy " }\n"                   \
    "    - firewall: { rules: firewall.rules }\n" MONITOR                                                    \
    "    - load_balancer: { vip: 203.0.113.10, port: 80, backends: \"" backend "\" }\n"

/* A client's connection to the service, which `backend` has. */
static void open_service(const char *nfs, uint32_t backend)
{
    struct nft_spec syn = {.src = REMOTE, .dst = VIP, .sport = 5000, .dport = 80, .proto = 6, .tcp = NFT_SYN};
    struct nft_seen seen;

    help_chain_begin(&h, nfs, "allow in tcp to any port 80\ndefault allow out\ndefault deny in\n");
    assert_true(help_chain_spec(&h, NF_OUTSIDE, &syn, &seen));
    assert_int_equal(seen.dst, backend);
}

/* "Fragmentation needed", MTU 1400, from inside, about what the client sent to a backend's port. */
static bool needs_fragments(uint32_t from, uint32_t backend, uint16_t port, uint32_t source,
                            uint32_t quoted_to)
{
    struct nft_spec quoted = {.src = REMOTE, .dst = backend, .sport = 5000, .dport = port, .proto = 6};
    uint8_t inner[NFT_FRAME_MAX], frame[NFT_FRAME_MAX];
    struct nft_spec error =
        HELP_PACKET(1, from, 0, REMOTE, 0, .type = 3, .code = 4, .inner = inner + 14, .inner_len = 40);
    struct nft_seen seen;
    uint32_t len;

    nft_frame(&quoted, inner);
    len = nft_frame(&error, frame);
    help_put16(frame + 14 + 20 + 6, 1400);
    help_put16(frame + 14 + 20 + 2, 0);
    help_put16(frame + 14 + 20 + 2, help_checksum(0, frame + 14 + 20, 8 + 40));
    if (help_chain_send(&h, NF_INSIDE, frame, len).drop)
        return false;
    assert_null(nft_checksums(frame, len));
    assert_true(nft_see(frame, len, &seen));
    assert_int_equal(seen.src, source);
    assert_int_equal(seen.dst, REMOTE);
    assert_int_equal(help_get16(frame + seen.l4 + 6), 1400);
    assert_int_equal(help_get32(frame + seen.l4 + 8 + 12), REMOTE);
    assert_int_equal(help_get32(frame + seen.l4 + 8 + 16), quoted_to);
    assert_int_equal(help_get16(frame + seen.l4 + 8 + 20), 5000);
    assert_int_equal(help_get16(frame + seen.l4 + 8 + 22), port);
    return true;
}

/* What a backend, or a router before it, says of the client's packets is the load balancer's to translate:
 * the client asked the service, and hears of it from there, as from Linux' destination NAT. */
CHAIN_TEST(a_backends_error_reaches_the_client)
{
    open_service(BALANCED("pass", "172.16.0.11"), BACKEND);
    assert_true(needs_fragments(BACKEND, BACKEND, 80, VIP, VIP));
    assert_true(needs_fragments(NFT_IP(172, 16, 0, 1), BACKEND, 80, VIP, VIP));
    help_chain_counts(&h, "nat: not_ours %u, load_balancer: icmp_errors_translated 2", 1 + 2);
}

/* Backends, and routers before them, may have addresses of `inside`. None of these leaves. */
CHAIN_TEST(an_error_does_not_show_an_inside_address)
{
    open_service(BALANCED("pass", "10.0.0.5"), NFT_IP(10, 0, 0, 5));
    assert_true(needs_fragments(NFT_IP(10, 0, 0, 5), NFT_IP(10, 0, 0, 5), 80, VIP, VIP));
    assert_true(needs_fragments(NFT_IP(10, 0, 0, 254), NFT_IP(10, 0, 0, 5), 80, VIP, VIP));
    assert_false(needs_fragments(NFT_IP(10, 0, 0, 5), NFT_IP(10, 0, 0, 5), 81, 0, 0)); /* no such flow */
    assert_false(needs_fragments(NFT_IP(10, 0, 0, 254), NFT_IP(10, 0, 0, 5), 81, 0, 0));
    assert_int_equal(help_chain_counter(&h, "nat", "no_mapping"), 2);
}

/* About no flow, and from nobody of `inside`: as any packet of his. */
CHAIN_TEST(an_error_about_nothing_known_goes_as_the_file_says)
{
    open_service(BALANCED("pass", "172.16.0.11"), BACKEND);
    needs_fragments(BACKEND, BACKEND, 81, BACKEND, BACKEND);
    help_chain_counts(&h, "nat: not_inside 1, no_mapping 0");
    open_service(BALANCED("drop", "172.16.0.11"), BACKEND);
    assert_false(needs_fragments(BACKEND, BACKEND, 81, 0, 0));
    assert_int_equal(help_chain_counter(&h, "nat", "not_inside"), 1);
    assert_true(needs_fragments(BACKEND, BACKEND, 80, VIP, VIP));
}

/* In one burst: the limiter drops the first fragment and lets the small one behind it pass. */
CHAIN_TEST(a_later_fragment_does_not_speak_for_its_flow)
{
    struct nft_spec spec = HELP_PACKET(17, REMOTE, 9, HOST, 53, .payload = 1472, .ip_id = 7);
    uint8_t frame[2][NFT_FRAME_MAX];
    struct nf_packet packets[2];

    help_chain_begin(&h, "    - rate_limiter: { clients: outside, bps: 1, burst_bits: 73728 }\n" MONITOR,
                     RULES);
    for (uint16_t port = 100; port < 106; port++) { /* 72672 bits of them */
        spec.dport = port;
        assert_true(help_chain_spec(&h, NF_OUTSIDE, &spec, NULL));
    }
    spec.dport = 53;
    memset(packets, 0, sizeof(packets));
    for (unsigned i = 0; i < 2; i++) {
        spec.fragment = i ? 185 : NFT_MORE;
        spec.payload = i ? 40 : 1472;
        packets[i] = (struct nf_packet){.data = frame[i], .side = NF_OUTSIDE, .in_port = 1};
        packets[i].len = packets[i].have = nft_frame(&spec, frame[i]);
    }
    help_chain_run(&h, h.now, packets, 2);
    assert_int_equal(help_chain_counter(&h, "rate_limiter", "over_bits"), 1);
    assert_true(packets[0].drop && !packets[1].drop);
    assert_true(send_udp(NF_INSIDE, HOST, 53, REMOTE, 9));
    assert_true(send_udp(NF_INSIDE, HOST, 53, REMOTE, 9));
}

/* The limiter, which comes first, drops the request that asks for the old ports again; its repetition is
 * asked for as well, and the firewall denies it. */
CHAIN_TEST(a_request_that_another_dropped_is_judged_when_it_comes_again)
{
    help_chain_begin(&h, WALL "    - rate_limiter: { clients: outside, pps: 1, burst_packets: 1 }\n", RULES);
    assert_true(send_tcp(NF_INSIDE, NFT_SYN));
    assert_true(send_tcp(NF_OUTSIDE, NFT_SYN | NFT_ACK)); /* takes what the limiter has */
    assert_true(send_tcp(NF_INSIDE, NFT_RST));
    assert_false(send_tcp(NF_OUTSIDE, NFT_SYN));
    assert_int_equal(help_chain_counter(&h, "rate_limiter", "over_packets"), 1);
    help_chain_wait_tenths(&h, 15);
    assert_false(send_tcp(NF_OUTSIDE, NFT_SYN));
    help_chain_counts(&h, "rate_limiter: over_packets 1, firewall: denied 1");
    assert_true(send_tcp(NF_INSIDE, NFT_SYN)); /* the other way it is allowed, as ever */
}

static bool send_fragment(uint8_t side, uint32_t src, uint32_t dst, unsigned number)
{
    struct nft_spec s = {.src = src, .dst = dst, .sport = 53, .dport = 9, .proto = 17, .ip_id = 77};

    s.fragment = number ? 4 : NFT_MORE;
    s.payload = 24;
    return help_chain_spec(&h, side, &s, NULL);
}

/* Somebody outside speaks to an inside address itself, which the NAT lets pass; so does the answer, in parts.
 */
CHAIN_TEST(fragments_of_a_flow_without_the_nat_pass_as_they_are)
{
    help_chain_begin(&h, NAT MONITOR, RULES);
    assert_true(send_udp(NF_OUTSIDE, REMOTE, 9, HOST, 53));
    assert_true(send_fragment(NF_INSIDE, HOST, REMOTE, 0));
    assert_true(send_fragment(NF_INSIDE, HOST, REMOTE, 1));
    assert_int_equal(help_chain_counter(&h, "nat", "fragment_unknown"), 0);
}

CHAIN_TEST(what_the_firewall_has_forgotten_has_no_later_fragments)
{
    help_chain_begin(&h, WALL MONITOR, RULES);
    assert_true(send_fragment(NF_INSIDE, HOST, REMOTE, 0));
    assert_true(send_fragment(NF_INSIDE, HOST, REMOTE, 1));
    assert_int_equal(help_chain_command(&h, "clear firewall"), 0);
    assert_false(send_fragment(NF_INSIDE, HOST, REMOTE, 1));
    assert_int_equal(help_chain_counter(&h, "firewall", "fragment_unknown"), 1);
}

/* The firewall wants the flow for 100 s, the monitor for 2. */
CHAIN_TEST(a_flow_is_left_to_those_that_are_still_in_it)
{
    help_chain_begin(
        &h, "    - firewall: { rules: firewall.rules, udp: 100 }\n    - monitor: { timeout: 2 }\n", RULES);
    assert_true(send_udp(NF_INSIDE, HOST, 5000, REMOTE, 53));
    help_chain_wait_tenths(&h, 40);
    assert_int_equal(help_chain_rows(&h, "monitor"), 1);
    assert_int_equal(help_chain_command(&h, "clear firewall"), 0);
    help_chain_wait_tenths(&h, 2);
    assert_int_equal(help_chain_rows(&h, "monitor"), 0);
}

/* ---- keys that are alike ---- */

static uint8_t back_where_it_came_from(const void *arg, const struct nf_packet *p)
{
    return p->side;
}

/* Two hosts inside, as if the chain's routes led from one to the other, speak to each other first, at once.
 */
static void cross_packets(const char *nfs, uint32_t host, struct nf_packet packets[2])
{
    static uint8_t frame[2][NFT_FRAME_MAX];
    uint64_t outputs;

    help_chain_begin(&h, nfs, RULES);
    nf_sessions_lane(nf_chain_nf(h.chain, 1))->out_side = back_where_it_came_from;
    memset(packets, 0, 2 * sizeof(*packets));
    for (unsigned i = 0; i < 2; i++) {
        struct nft_spec s =
            HELP_PACKET(17, i ? REMOTE : host, i ? 2 : 1, i ? host : REMOTE, i ? 1 : 2, .payload = 9);

        packets[i] = (struct nf_packet){.data = frame[i], .side = NF_INSIDE};
        packets[i].len = packets[i].have = nft_frame(&s, frame[i]);
    }
    outputs = nf_chain_state(h.chain)->outputs;
    help_chain_run(&h, h.now, packets, 2);
    /* What is dropped behind the NFs is no output either. */
    assert_int_equal(nf_chain_state(h.chain)->outputs - outputs, !packets[0].drop + !packets[1].drop);
}

CHAIN_TEST(first_packets_that_cross_are_of_one_flow)
{
    struct nf_packet packets[2];

    cross_packets(WALL MONITOR, HOST, packets);
    assert_false(packets[0].drop || packets[1].drop);
    assert_int_equal(nf_sessions_count(nf_chain_find(h.chain, "monitor")), 1);
    help_chain_has(&h, "monitor", "\"packets\":1,\"bytes\":60,\"back_packets\":1,\"back_bytes\":60");
    /* The NAT has translated the first one, so the second is no answer; answers to it would be the first. */
    cross_packets(NAT_PASS MONITOR, HOST, packets);
    assert_true(!packets[0].drop && packets[1].drop);
    assert_int_equal(nf_sessions_count(nf_chain_find(h.chain, "nat")), 1);
    /* It might still do so, and does not: the first one passes alone, and its answer when it comes again. */
    cross_packets(MONITOR NAT_PASS, OTHER, packets);
    assert_true(!packets[0].drop && packets[1].drop);
    assert_true(send_udp(NF_INSIDE, REMOTE, 2, OTHER, 1));
    assert_int_equal(nf_sessions_count(nf_chain_find(h.chain, "monitor")), 1);
}

/* An echo's identifier may be 0, where errors have no ports. */
CHAIN_TEST(an_echo_with_identifier_0_is_no_error)
{
    struct nft_spec echo = {.src = HOST, .dst = REMOTE, .proto = 1, .type = 8, .payload = 8};

    help_chain_begin(&h, MONITOR, RULES);
    assert_true(help_chain_spec(&h, NF_INSIDE, &echo, NULL));
    assert_true(complain(HOST));
    assert_true(complain(HOST));
    assert_int_equal(nf_sessions_count(nf_chain_find(h.chain, "monitor")), 2);
    help_chain_has(&h, "monitor", "\"from\":\"10.1.2.3:0\",\"to\":\"198.51.100.7:0\",\"packets\":2,");
    /* Nor is it the answer to one. */
    help_chain_begin(&h, MONITOR, RULES);
    assert_true(complain(HOST));
    echo.src = REMOTE;
    echo.dst = HOST;
    assert_true(help_chain_spec(&h, NF_OUTSIDE, &echo, NULL));
    assert_int_equal(nf_sessions_count(nf_chain_find(h.chain, "monitor")), 2);
}

/* ---- with the rate limiter ---- */

#define LIMIT(more) "    - rate_limiter: { clients: inside, " more " }\n"

static bool send_from(uint32_t host, uint16_t port)
{
    return send_udp(NF_INSIDE, host, port, REMOTE, 53);
}

CHAIN_TEST(the_limiter_sees_addresses_as_they_are_where_it_stands)
{
    help_chain_begin(&h, LIMIT("pps: 1, burst_packets: 2") NAT, RULES);
    assert_true(send_from(HOST, 1) && send_from(HOST, 2) && send_from(SECOND, 1) && send_from(SECOND, 2));
    assert_false(send_from(HOST, 3) || send_from(SECOND, 3));
    assert_int_equal(help_chain_counter(&h, "rate_limiter", "clients_new"), 2);
    help_chain_has(&h, "rate_limiter", "{\"client\":\"10.1.2.3\",\"packets_left\":0,");
    /* Behind the NAT both are one client, and what it drops leaves no mapping. */
    help_chain_begin(&h, NAT LIMIT("pps: 1, burst_packets: 2"), RULES);
    assert_true(send_from(HOST, 1) && send_from(SECOND, 1));
    assert_false(send_from(HOST, 2) || send_from(SECOND, 2));
    assert_int_equal(help_chain_counter(&h, "rate_limiter", "clients_new"), 1);
    help_chain_has(&h, "rate_limiter", "{\"client\":\"203.0.113.1\",\"packets_left\":0,");
    assert_int_equal(nf_sessions_count(nf_chain_find(h.chain, "nat")), 2);
}

static unsigned port_of_a_mapping(void)
{
    const struct nf *nf = nf_chain_find(h.chain, "nat");
    uint32_t at = 0;

    return ntohs((uint16_t)nat_flow_of(nf, nf_sessions_next(nf, &at))->port);
}

/* Whichever comes first: the address that is given back is the one that was charged. */
CHAIN_TEST(connections_that_end_with_their_mapping_are_given_back)
{
    char command[40];
    static const char *const chains[] = {LIMIT("max_connections: 2") NAT, NAT LIMIT("max_connections: 2")};

    for (unsigned i = 0; i < 2; i++) {
        help_chain_begin(&h, chains[i], RULES);
        assert_true(send_from(HOST, 1) && send_from(HOST, 2) && send_from(HOST, 1));
        assert_false(send_from(HOST, 3));
        help_chain_has(&h, "rate_limiter", "\"connections\":2,");
        snprintf(command, sizeof(command), "clear nat udp/%u", port_of_a_mapping());
        assert_int_equal(help_chain_command(&h, command), 0);
        assert_true(send_from(HOST, 3));
        assert_false(send_from(HOST, 4));
        assert_int_equal(help_chain_command(&h, "clear nat"), 0);
        help_chain_has(&h, "rate_limiter", "\"connections\":0,");
        assert_true(send_from(HOST, 3) && send_from(HOST, 4));
        help_chain_counts(&h, "rate_limiter: connections_new 5, connections_expired 0");
    }
}

/* From outside the limiter comes first, and the firewall denies what it let in. */
CHAIN_TEST(connections_that_another_refuses_do_not_count)
{
    help_chain_begin(&h, WALL "    - rate_limiter: { clients: outside, max_connections: 1 }\n", RULES);
    for (uint16_t port = 1; port < 5; port++)
        assert_false(send_udp(NF_OUTSIDE, REMOTE, port, HOST, 53));
    help_chain_counts(&h, "rate_limiter: over_connections 0, firewall: denied 4");
    help_chain_has(&h, "rate_limiter", "\"connections\":0,");
}

/* A bounded number of sessions in a burst, the next one at once; what begins meanwhile stays. */
CHAIN_TEST(an_operators_clear_of_many_flows_takes_several_bursts)
{
    const uint32_t flows = 3000, part = NF_SESSION_ROUNDS * NF_SESSION_DUE;
    const struct nf *nat;

    help_chain_begin(&h, NAT MONITOR LIMIT("max_connections: 5000"), RULES);
    nat = nf_chain_find(h.chain, "nat");
    for (uint32_t i = 0; i < flows; i++)
        assert_true(send_from(HOST, (uint16_t)(1 + i)));
    assert_int_equal(help_chain_command(&h, "clear nat"), 0);
    assert_int_equal(nf_sessions_count(nat), flows - part);
    assert_true(nf_chain_due(h.chain, h.now));
    assert_true(send_from(SECOND, 1));
    for (uint32_t left = flows - part + 1; left > 1;) {
        left -= left - 1 < part ? left - 1 : part;
        assert_int_equal(nf_sessions_count(nat), left);
        assert_int_equal(nf_sessions_count(nf_chain_find(h.chain, "monitor")), left);
        help_chain_idle(&h, h.now);
    }
    help_chain_has(&h, "nat", "\"inside\":\"10.1.2.4:1\"");
    help_chain_has(&h, "rate_limiter", "\"connections\":1,");
    assert_false(nf_chain_due(h.chain, h.now));
}

/* The firewall keeps the flows, so that the new one's record lies behind all of them. */
CHAIN_TEST(what_begins_after_a_clear_is_not_cleared)
{
    help_chain_begin(&h, WALL MONITOR, RULES);
    for (uint32_t i = 0; i < 2500; i++)
        assert_true(send_from(HOST, (uint16_t)(1 + i)));
    assert_int_equal(help_chain_command(&h, "clear monitor"), 0);
    assert_true(send_from(SECOND, 1));
    while (nf_chain_due(h.chain, h.now))
        help_chain_idle(&h, h.now);
    assert_int_equal(nf_sessions_count(nf_chain_find(h.chain, "monitor")), 1);
    assert_int_equal(nf_sessions_count(nf_chain_find(h.chain, "firewall")), 2501);
}

/* The same for a timeout; the clear that is under way goes on. */
CHAIN_TEST(an_operators_timeout_reaches_flows_in_parts)
{
    help_chain_begin(&h, MONITOR, RULES);
    for (uint32_t i = 0; i < 2500; i++)
        assert_true(send_from(HOST, (uint16_t)(1 + i)));
    assert_int_equal(help_chain_command(&h, "clear monitor"), 0);
    assert_int_equal(help_chain_command(&h, "set monitor timeout=2"), 0);
    assert_true(send_from(SECOND, 1));
    while (nf_chain_due(h.chain, h.now))
        help_chain_idle(&h, h.now);
    assert_int_equal(nf_sessions_count(nf_chain_find(h.chain, "monitor")), 1);
    help_chain_wait_tenths(&h, 25);
    assert_int_equal(help_chain_counter(&h, "monitor", "flows_expired"), 1);
}
