/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A NAT with several outside addresses: which host has which is learned from its first packet, and then
 * expected of all others, also where both ends of a flow are inside.
 */
#include "nfs/nat/nat_sessions.h"
#include "tests/help/chain.h"
#include "tests/help/test.h"

#define FIRST_ADDRESS  NFT_IP(203, 0, 113, 1)
#define SECOND_ADDRESS NFT_IP(203, 0, 113, 9)
#define HOST           NFT_IP(10, 0, 0, 10)
#define SERVER         NFT_IP(10, 9, 9, 9)
#define REMOTE         NFT_IP(198, 51, 100, 7)
#define POOL           "outside: [203.0.113.1, 203.0.113.9]"
#define NAT(more)      "    - nat: { inside: [10.0.0.0/8], " POOL more " }\n"

#define FORWARD ", hairpin: true, forward: \"tcp/203.0.113.9:443=10.9.9.9:8443\""
#define INTERFACE(side, address, mac)                                                                        \
    "  - { name: " side ", side: " side ", address: " address ", mac: \"" mac "\" }\n"
#define WITH_ROUTES                                                                                          \
    NAT(FORWARD)                                                                                             \
    "interfaces:\n" INTERFACE("inside", "10.0.0.1/8", "02:00:00:00:00:01")                                   \
        INTERFACE("outside", "203.0.113.20/24", "02:00:00:00:00:11")

static struct help_chain h;
static uint32_t first, first_too, second; /* hosts that have the one address, and one that has the other */

static bool sends(uint8_t side, uint8_t proto, uint32_t src, uint16_t sport, uint32_t dst, uint16_t dport,
                  struct nft_seen *seen)
{
    struct nft_spec spec =
        HELP_PACKET(proto, src, sport, dst, dport, .tcp = NFT_SYN, .type = 8, .payload = 9);

    return help_chain_spec(&h, side, &spec, seen);
}

/* Looks for the hosts, and begins anew. */
static void open_with(const char *nat)
{
    struct nft_seen s;

    help_chain_open(&h, nat, NULL, 3);
    first = first_too = second = 0;
    for (uint32_t host = HOST; !first_too || !second; host++) {
        assert_true(host < HOST + 16 && sends(NF_INSIDE, 17, host, 5000, REMOTE, 53, &s));
        assert_true(s.src == FIRST_ADDRESS || s.src == SECOND_ADDRESS);
        if (s.src == SECOND_ADDRESS)
            second = host;
        else if (first)
            first_too = host;
        else
            first = host;
    }
    help_chain_again(&h);
}

/* The ports of one address are its hosts' alone: others are not given another address's. */
CHAIN_TEST(ports_are_counted_by_address)
{
    struct nft_seen one, other;

    open_with(NAT("")); /* finds the hosts */
    help_chain_open(&h, NAT(", ports: 2000-2000"), NULL, 3);
    assert_true(sends(NF_INSIDE, 17, first, 5000, REMOTE, 53, &one));
    assert_true(sends(NF_INSIDE, 17, second, 5000, REMOTE, 53, &other));
    assert_int_equal(one.sport, other.sport); /* the same number, of two addresses */
    assert_true(sends(NF_OUTSIDE, 17, REMOTE, 53, FIRST_ADDRESS, one.sport, &one));
    assert_int_equal(one.dst, first);
    assert_true(sends(NF_OUTSIDE, 17, REMOTE, 53, SECOND_ADDRESS, other.sport, &other));
    assert_int_equal(other.dst, second);
    assert_false(sends(NF_INSIDE, 17, first, 5002, REMOTE, 53, NULL));
    assert_false(sends(NF_INSIDE, 17, first_too, 5000, REMOTE, 53, NULL));
    help_chain_counts(&h, "nat: ports_exhausted 2");
    assert_false(sends(NF_OUTSIDE, 17, REMOTE, 54, SECOND_ADDRESS, 2000, NULL));
    help_chain_counts(&h, "nat: wrong_remote 1");
    assert_false(sends(NF_OUTSIDE, 6, REMOTE, 53, SECOND_ADDRESS, 2000, NULL));
    help_chain_counts(&h, "nat: no_mapping 1");
    assert_true(sends(NF_OUTSIDE, 17, REMOTE, 53, NFT_IP(203, 0, 113, 2), 2000, NULL));
    help_chain_counts(&h, "nat: not_ours 1");
}

/* Whoever deals packets to lanes finds the lane by address and port. */
CHAIN_TEST(an_answer_s_lane_is_that_of_its_address)
{
    uint8_t frame[NFT_FRAME_MAX];
    struct nft_spec spec = {.src = REMOTE, .dst = SECOND_ADDRESS, .sport = 53, .proto = 17};
    struct nf_packet p = {.data = frame, .side = NF_OUTSIDE};
    struct nft_seen s;
    unsigned lane = 9;

    open_with(NAT(""));
    assert_true(sends(NF_INSIDE, 17, second, 5000, REMOTE, 53, &s));
    spec.dport = s.sport;
    p.len = p.have = nft_frame(&spec, frame);
    nf_packet_parse(&p);
    assert_true(nf_chain_owner(h.chain, &p, &lane));
    assert_int_equal(lane, 0);
    spec.dst = FIRST_ADDRESS;
    p.len = p.have = nft_frame(&spec, frame);
    nf_packet_parse(&p);
    assert_false(nf_chain_owner(h.chain, &p, &lane));
}

CHAIN_TEST(one_mapping_is_cleared_or_those_of_a_port)
{
    open_with(NAT(", ports: 2000-2002"));
    for (unsigned i = 0; i < 3; i++) { /* all ports */
        assert_true(sends(NF_INSIDE, 17, first, (uint16_t)(5000 + i), REMOTE, 53, NULL));
        assert_true(sends(NF_INSIDE, 17, second, (uint16_t)(5000 + i), REMOTE, 53, NULL));
    }
    assert_int_equal(help_chain_command(&h, "clear nat udp/203.0.113.9:2000"), 0);
    assert_false(sends(NF_OUTSIDE, 17, REMOTE, 53, SECOND_ADDRESS, 2000, NULL));
    assert_true(sends(NF_OUTSIDE, 17, REMOTE, 53, FIRST_ADDRESS, 2000, NULL));
    assert_int_equal(help_chain_command(&h, "clear nat udp/2001"), 0);
    assert_false(sends(NF_OUTSIDE, 17, REMOTE, 53, SECOND_ADDRESS, 2001, NULL));
    assert_false(sends(NF_OUTSIDE, 17, REMOTE, 53, FIRST_ADDRESS, 2001, NULL));
    assert_true(help_chain_command(&h, "clear nat udp/203.0.113.2:2002") < 0);
    assert_true(help_chain_command(&h, "clear nat udp/203.0.113.9:65536") < 0);
    assert_true(help_chain_command(&h, "clear nat udp/203.0.113.9") < 0);
    help_chain_has(&h, "nat", "\"outside\":\"203.0.113.9\",\"outside_port\":2002");
    help_chain_has(&h, "nat", "\"outside\":\"203.0.113.1\",\"outside_port\":2002");
}

/* What has no ports is one host's by outside address, remote and protocol. */
CHAIN_TEST(hosts_of_two_addresses_reach_one_remote_without_ports)
{
    struct nft_seen s;

    open_with(NAT(", unsupported: by_address"));
    for (unsigned proto = 47; proto <= 132; proto += 85) {
        assert_true(sends(NF_INSIDE, (uint8_t)proto, first, 0, REMOTE, 0, &s));
        assert_int_equal(s.src, FIRST_ADDRESS);
        assert_true(sends(NF_INSIDE, (uint8_t)proto, second, 0, REMOTE, 0, &s));
        assert_int_equal(s.src, SECOND_ADDRESS);
        assert_false(sends(NF_INSIDE, (uint8_t)proto, first_too, 0, REMOTE, 0, NULL));
        assert_true(sends(NF_OUTSIDE, (uint8_t)proto, REMOTE, 0, FIRST_ADDRESS, 0, &s));
        assert_int_equal(s.dst, first);
        assert_true(sends(NF_OUTSIDE, (uint8_t)proto, REMOTE, 0, SECOND_ADDRESS, 0, &s));
        assert_int_equal(s.dst, second);
    }
    help_chain_counts(&h, "nat: conflict 2");
}

CHAIN_TEST(an_end_has_a_port_of_its_host_s_address)
{
    struct nft_seen a, b;

    open_with(NAT(", mapping: endpoint_independent, filtering: endpoint_independent"));
    assert_true(sends(NF_INSIDE, 17, second, 5000, REMOTE, 53, &a));
    assert_true(sends(NF_INSIDE, 17, second, 5000, REMOTE + 1, 53, &b));
    assert_true(a.src == SECOND_ADDRESS && b.src == SECOND_ADDRESS && a.sport == b.sport);
    assert_false(sends(NF_OUTSIDE, 17, REMOTE + 2, 9, FIRST_ADDRESS, a.sport, NULL));
    assert_true(sends(NF_OUTSIDE, 17, REMOTE + 2, 9, SECOND_ADDRESS, a.sport, &b));
    assert_true(b.dst == second && b.dport == 5000);
    assert_true(sends(NF_INSIDE, 17, second, 5000, REMOTE + 2, 9, &b));
    assert_true(b.src == SECOND_ADDRESS && b.sport == a.sport);
}

CHAIN_TEST(fragments_and_errors_have_the_address)
{
    uint8_t frame[NFT_FRAME_MAX], inner[28];
    struct nft_spec part = {.dst = REMOTE,
                            .sport = 9,
                            .dport = 53,
                            .proto = 17,
                            .ip_id = 77,
                            .fragment = NFT_MORE,
                            .payload = 40};
    struct nft_spec quoted = {.src = SECOND_ADDRESS, .dst = REMOTE, .dport = 53, .proto = 17, .payload = 4};
    struct nft_spec error = HELP_PACKET(1, REMOTE + 9, 0, SECOND_ADDRESS, 0, .type = 3, .code = 4,
                                        .inner = inner, .inner_len = 28);
    struct nft_seen s;

    open_with(NAT(""));
    part.src = second;
    assert_true(help_chain_spec(&h, NF_INSIDE, &part, &s));
    quoted.sport = s.sport;
    part.fragment = 6;
    assert_true(help_chain_spec(&h, NF_INSIDE, &part, &s));
    assert_true(s.src == SECOND_ADDRESS && s.fragment == 6);
    nft_frame(&quoted, frame);
    memcpy(inner, frame + 14, sizeof(inner));
    assert_true(help_chain_spec(&h, NF_OUTSIDE, &error, &s));
    assert_int_equal(s.dst, second);
    error.dst = FIRST_ADDRESS; /* that port is not mapped there, whatever it quotes */
    assert_false(help_chain_spec(&h, NF_OUTSIDE, &error, NULL));
    help_chain_counts(&h, "nat: no_mapping 1");
    quoted.src = FIRST_ADDRESS;
    nft_frame(&quoted, frame);
    memcpy(inner, frame + 14, sizeof(inner));
    assert_false(help_chain_spec(&h, NF_OUTSIDE, &error, NULL));
    help_chain_counts(&h, "nat: no_mapping 2");
}

/* An entry of `forward` names the address, or has the first one. */
CHAIN_TEST(forwarded_ports_are_an_address_s)
{
    struct nft_seen s;

    open_with(NAT(", forward: \"tcp/443=10.9.9.9:8443, tcp/203.0.113.9:443=10.9.9.9:9443, "
                  "tcp/203.0.113.9:80=10.9.9.9:80\""));
    assert_true(sends(NF_OUTSIDE, 6, REMOTE, 4000, FIRST_ADDRESS, 443, &s));
    assert_true(s.dst == SERVER && s.dport == 8443);
    assert_true(sends(NF_OUTSIDE, 6, REMOTE, 4000, SECOND_ADDRESS, 443, &s));
    assert_true(s.dst == SERVER && s.dport == 9443);
    assert_false(sends(NF_OUTSIDE, 6, REMOTE, 4000, FIRST_ADDRESS, 80, NULL));
    assert_true(sends(NF_INSIDE, 6, SERVER, 8443, REMOTE, 4000, &s));
    assert_true(s.src == FIRST_ADDRESS && s.sport == 443);
    assert_true(sends(NF_INSIDE, 6, SERVER, 9443, REMOTE, 4000, &s));
    assert_true(s.src == SECOND_ADDRESS && s.sport == 443);
    assert_int_equal(help_chain_command(&h, "clear nat tcp/203.0.113.1:443"), 0);
    help_chain_has(&h, "nat", "\"outside\":\"203.0.113.9\",\"outside_port\":443");
}

CHAIN_TEST(bad_forwards_are_refused)
{
    help_chain_refuses(NAT(", forward: \"tcp/203.0.113.2:443=10.0.0.5:1\""),
                       "tcp/203.0.113.2:443=10.0.0.5:1: its address is none of `outside`");
    help_chain_refuses(NAT(", forward: \"tcp/203.0.113.1:443=10.0.0.5:1, tcp/443=10.0.0.6:1\""),
                       "tcp/443=10.0.0.6:1: a second entry of one port");
    help_chain_refuses(NAT(", forward: \"tcp/203.0.113:443=10.0.0.5:1\""),
                       "expected tcp or udp/PORT=A.B.C.D:PORT");
}

/* What is turned round leaves by the chain's routes, so it has some. */
static void open_hairpins(void)
{
    uint32_t hosts[] = {first, second, SERVER};

    help_chain_open(&h, WITH_ROUTES, NULL, 5);
    for (unsigned i = 0; i < 3; i++)
        help_chain_arp(&h, hosts[i]);
}

static void hairpin(uint32_t src, uint16_t sport, uint32_t dst, uint16_t dport, struct nft_seen *s)
{
    static const uint8_t mac[6] = {2, 0, 0, 0, 0, 1};
    struct nft_spec spec = HELP_PACKET(6, src, sport, dst, dport, .tcp = NFT_SYN);
    uint8_t frame[NFT_FRAME_MAX];
    uint32_t len = nft_frame(&spec, frame);

    memcpy(frame, mac, 6);
    assert_false(help_chain_send(&h, NF_INSIDE, frame, len).drop);
    assert_null(nft_checksums(frame, len));
    assert_true(nft_see(frame, len, s));
}

CHAIN_TEST(hosts_of_both_addresses_reach_a_forwarded_port)
{
    uint32_t outside[2] = {FIRST_ADDRESS, SECOND_ADDRESS}, hosts[2];
    struct nft_seen s;

    open_with(NAT(""));
    hosts[0] = first;
    hosts[1] = second;
    open_hairpins();
    for (unsigned i = 0; i < 2; i++) {
        hairpin(hosts[i], 4000, SECOND_ADDRESS, 443, &s);
        assert_true(s.src == outside[i] && s.sport >= 1024 && s.dst == SERVER && s.dport == 8443);
        hairpin(SERVER, 8443, outside[i], s.sport, &s);
        assert_true(s.src == SECOND_ADDRESS && s.sport == 443 && s.dst == hosts[i] && s.dport == 4000);
    }
    help_chain_counts(&h, "nat: forwarded 2");
    assert_false(sends(NF_INSIDE, 6, first, 4000, FIRST_ADDRESS, 443, NULL));
}

/* What a peer could write: a place that there is no address at. */
CHAIN_TEST(a_state_with_another_place_is_refused)
{
    const struct nf *nf;
    struct nat_flow *flow;
    struct ft_fault fault = {""};
    uint32_t at = 0;

    open_with(NAT(", ports: 2000-2099"));
    assert_true(sends(NF_INSIDE, 17, second, 5000, REMOTE, 53, NULL));
    nf = nf_chain_nf(h.chain, 1);
    flow = (struct nat_flow *)(uintptr_t)nat_flow_of(nf, nf_sessions_next(nf, &at));
    assert_int_equal(nf_chain_check(h.chain, NULL, NULL, &fault), 0);
    for (unsigned place = 0; place < 8; place++) {
        struct nat_flow was = *flow;

        ft_audit_suspend(h.region);
        flow->place = place & 7;
        assert_int_equal(nf_chain_check(h.chain, NULL, NULL, &fault) == 0, place == 1);
        assert_true(place < 2 || strstr(fault.text, "of address"));
        *flow = was;
        ft_audit_resume(h.region);
    }
}
