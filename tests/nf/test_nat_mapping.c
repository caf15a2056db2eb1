/* SPDX-License-Identifier: Apache-2.0 */
/* The NAT by choice: a port for each end inside, who may send to it, hairpins, and what has no ports. */
#include "tests/help/chain.h"
#include "understudy/config/config.h"

#include <arpa/inet.h>
#include "tests/help/test.h"

#define OUTSIDE   NFT_IP(203, 0, 113, 1)
#define HOST      NFT_IP(10, 1, 2, 3)
#define SERVER    NFT_IP(10, 9, 9, 9)
#define REMOTE    NFT_IP(198, 51, 100, 7)
#define OTHER     NFT_IP(198, 51, 100, 8)
#define NAT(more) "    - nat: { inside: [10.0.0.0/8], outside: 203.0.113.1" more " }\n"
#define MAPPING   ", mapping: endpoint_independent"
#define FILTERING ", filtering: endpoint_independent"
#define FORWARD   ", forward: \"tcp/443=10.9.9.9:8443, udp/53=10.9.9.9:53\""

static struct help_chain h;

static const uint8_t chain_mac[2][6] = {{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 0x11}};

/* True: it passed, and `frame` says how. */
static bool sends_spec(uint8_t side, const struct nft_spec *spec, uint8_t frame[NFT_FRAME_MAX],
                       struct nft_seen *seen)
{
    uint32_t len = nft_frame(spec, frame);

    memcpy(frame, chain_mac[side], 6);
    if (help_chain_send(&h, side, frame, len).drop)
        return false;
    assert_null(nft_checksums(frame, len));
    return !seen || nft_see(frame, len, seen);
}

static bool sends(uint8_t side, uint8_t proto, uint32_t src, uint16_t sport, uint32_t dst, uint16_t dport,
                  uint8_t flags, struct nft_seen *seen)
{
    struct nft_spec spec = HELP_PACKET(proto, src, sport, dst, dport, .tcp = flags, .payload = 9);
    uint8_t frame[NFT_FRAME_MAX];

    return sends_spec(side, &spec, frame, seen);
}

/* ---- a port for each end inside ---- */

CHAIN_TEST(all_may_send_to_it_where_the_file_says_so)
{
    struct nft_seen s;
    uint16_t port;

    help_chain_open(&h, NAT(MAPPING FILTERING), NULL, 3);
    assert_true(sends(NF_INSIDE, 6, HOST, 5000, REMOTE, 80, NFT_SYN, &s));
    port = s.sport;
    assert_true(sends(NF_OUTSIDE, 6, OTHER, 4000, OUTSIDE, port, NFT_SYN, &s));
    assert_true(s.dst == HOST && s.dport == 5000 && s.src == OTHER);
    assert_true(sends(NF_INSIDE, 6, HOST, 5000, OTHER, 4000, NFT_SYN | NFT_ACK, &s));
    assert_true(s.src == OUTSIDE && s.sport == port);
    help_chain_has(&h, "nat", "\"remote\":\"198.51.100.8:4000\"");
    /* To no port that is mapped, or in the middle of a connection: no. */
    assert_false(sends(NF_OUTSIDE, 6, OTHER, 4001, OUTSIDE, port, NFT_ACK, NULL));
    assert_false(sends(NF_OUTSIDE, 17, OTHER, 4000, OUTSIDE, port, 0, NULL));
    help_chain_counts(&h, "nat: forwarded 1, no_mapping 1, wrong_remote 1");
}

/* The host's own flow is over; whom it let in is still there, and holds the port. */
CHAIN_TEST(who_came_in_keeps_the_mapping)
{
    struct nft_seen s;
    uint16_t port;

    help_chain_open(&h, NAT(MAPPING FILTERING ", ports: 2000-2001, udp: 5"), NULL, 3);
    assert_true(sends(NF_INSIDE, 17, HOST, 5000, REMOTE, 80, 0, &s));
    port = s.sport;
    for (unsigned i = 0; i < 4; i++) {
        help_chain_wait_tenths(&h, 30);
        assert_true(sends(NF_OUTSIDE, 17, OTHER, 9, OUTSIDE, port, 0, &s));
        assert_true(s.dst == HOST && s.dport == 5000);
    }
    help_chain_counts(&h, "nat: mappings_expired 1");
    help_chain_wait_tenths(&h, 60);
    help_chain_counts(&h, "nat: mappings_expired 2");
    assert_false(sends(NF_OUTSIDE, 17, OTHER, 9, OUTSIDE, port, 0, NULL));
}

/* Whoever sends from many ports fills half of the table. */
CHAIN_TEST(a_flood_leaves_room_for_hosts_inside)
{
    struct nft_seen s = {.sport = 0};
    uint16_t port;

    help_chain_open(&h, NAT(MAPPING FILTERING ", max_flows: 16"), NULL, 3);
    assert_true(sends(NF_INSIDE, 17, HOST, 5000, REMOTE, 80, 0, &s));
    port = s.sport;
    for (uint16_t i = 0; i < 100; i++)
        assert_int_equal(sends(NF_OUTSIDE, 17, OTHER, 4000 + i, OUTSIDE, port, 0, NULL), i < 7);
    help_chain_counts(&h, "nat: table_full 93");
    for (uint16_t i = 0; i < 8; i++)
        assert_true(sends(NF_INSIDE, 17, HOST, 5001 + i, REMOTE, 80, 0, &s));
}

/* ---- hairpins ---- */

/* What is turned round leaves by the chain's routes, so it has some. */
static void open_routed(const char *nfs)
{
    char text[1024];

    snprintf(text, sizeof(text),
             "%sinterfaces:\n"
             "  - { name: inside, side: inside, address: 10.0.0.1/8, mac: \"02:00:00:00:00:01\" }\n"
             "  - { name: outside, side: outside, address: 203.0.113.2/24, mac: \"02:00:00:00:00:11\" }\n",
             nfs);
    help_chain_open(&h, text, NULL, 5);
    help_chain_arp(&h, HOST);
    help_chain_arp(&h, SERVER);
}

static void open_hairpins(void)
{
    open_routed(NAT(FORWARD ", hairpin: true"));
}

CHAIN_TEST(hosts_inside_reach_a_forwarded_port)
{
    struct nft_seen s;
    uint16_t port = 0;

    open_hairpins();
    for (uint8_t proto = 6; proto <= 17; proto += 11) {
        uint16_t at = proto == 6 ? 443 : 53, to = proto == 6 ? 8443 : 53;

        for (unsigned i = 0; i < 3; i++) {
            assert_true(sends(NF_INSIDE, proto, HOST, 4000, OUTSIDE, at, i ? NFT_ACK : NFT_SYN, &s));
            assert_true(s.src == OUTSIDE && s.dst == SERVER && s.dport == to && s.sport >= 1024);
            assert_true(!i || s.sport == port);
            port = s.sport;
            assert_true(
                sends(NF_INSIDE, proto, SERVER, to, OUTSIDE, port, i ? NFT_ACK : NFT_SYN | NFT_ACK, &s));
            assert_true(s.src == OUTSIDE && s.sport == at && s.dst == HOST && s.dport == 4000);
        }
    }
    help_chain_counts(&h, "nat: forwarded 2, translated_outward 12, hairpin 0");
    assert_false(sends(NF_INSIDE, 17, HOST, 4000, OUTSIDE, 54, 0, NULL));
    help_chain_counts(&h, "nat: hairpin 1");
}

static bool quotes(const uint8_t *inner, uint32_t src, uint16_t sport, uint32_t dst, uint16_t dport)
{
    uint32_t addresses[2] = {htonl(src), htonl(dst)};
    uint16_t ports[2] = {htons(sport), htons(dport)};

    return memcmp(inner + 12, addresses, sizeof(addresses)) == 0 &&
           memcmp(inner + 20, ports, sizeof(ports)) == 0;
}

CHAIN_TEST(errors_in_hairpins_are_translated)
{
    uint8_t inner[28];
    struct nft_spec error = {.dst = OUTSIDE, .proto = 1, .type = 3, .code = 3, .inner = inner};
    struct nft_seen s, q;
    uint8_t frame[NFT_FRAME_MAX];

    open_hairpins();
    assert_true(sends(NF_INSIDE, 17, HOST, 4000, OUTSIDE, 53, 0, &s));
    assert_true(sends(NF_INSIDE, 17, SERVER, 53, OUTSIDE, s.sport, 0, NULL));
    /* The server, about the question. */
    error.inner_len = help_quoted(inner, OUTSIDE, s.sport, SERVER, 53);
    error.src = SERVER;
    error.dst = REMOTE; /* not who sent what it quotes */
    assert_false(sends_spec(NF_INSIDE, &error, frame, NULL));
    error.dst = OUTSIDE;
    assert_true(sends_spec(NF_INSIDE, &error, frame, &q));
    assert_true(q.src == OUTSIDE && q.dst == HOST);
    assert_true(quotes(frame + 14 + 20 + 8, HOST, 4000, OUTSIDE, 53));
    /* The host, about the answer. */
    error.inner_len = help_quoted(inner, OUTSIDE, 53, HOST, 4000);
    error.src = HOST;
    assert_true(sends_spec(NF_INSIDE, &error, frame, &q));
    assert_true(q.src == OUTSIDE && q.dst == SERVER);
    assert_true(quotes(frame + 14 + 20 + 8, SERVER, 53, OUTSIDE, s.sport));
    help_chain_counts(&h, "nat: icmp_errors_translated 2");
}

#define NEAR NFT_IP(203, 0, 113, 99) /* a neighbour outside, of whom both hosts learn their ports */

static void open_mapped(const char *nfs)
{
    open_routed(nfs);
    assert_true(help_chain_arp_for(&h, NF_OUTSIDE, NEAR, NFT_IP(203, 0, 113, 2)).drop); /* taken in */
}

/* RFC 4787, REQ-9: each is to the other what it is to hosts outside. The mapping lives as long as either
 * flow. */
CHAIN_TEST(hosts_inside_reach_mapped_ports)
{
    struct nft_seen s;

    open_mapped(NAT(MAPPING ", hairpin: true, ports: 2000-2001, udp: 20"));
    for (uint8_t proto = 6; proto <= 17; proto += 11) {
        uint16_t host, server;

        assert_true(sends(NF_INSIDE, proto, HOST, 4000, NEAR, 80, NFT_SYN, &s));
        host = s.sport;
        assert_true(sends(NF_INSIDE, proto, SERVER, 5000, NEAR, 80, NFT_SYN, &s));
        server = s.sport;
        assert_int_not_equal(host, server);
        assert_true(sends(NF_INSIDE, proto, HOST, 4000, OUTSIDE, server, NFT_SYN, &s));
        assert_true(s.src == OUTSIDE && s.sport == host && s.dst == SERVER && s.dport == 5000);
        help_chain_is_sound(&h);
        assert_true(sends(NF_INSIDE, proto, SERVER, 5000, OUTSIDE, host, NFT_SYN | NFT_ACK, &s));
        assert_true(s.src == OUTSIDE && s.sport == server && s.dst == HOST && s.dport == 4000);
        if (proto == 6)
            continue;
        for (unsigned i = 0; i < 5; i++) { /* their flows to others end meanwhile */
            help_chain_wait_tenths(&h, 100);
            assert_true(sends(NF_INSIDE, proto, HOST, 4000, OUTSIDE, server, 0, &s));
            assert_true(s.dst == SERVER && s.dport == 5000);
            assert_true(sends(NF_INSIDE, proto, SERVER, 5000, OUTSIDE, host, 0, NULL));
        }
        assert_false(sends(NF_OUTSIDE, proto, NEAR, 80, OUTSIDE, host, 0, NULL));
        assert_false(sends(NF_INSIDE, proto, HOST, 4001, NEAR, 80, 0, NULL)); /* both ports are in use */
        help_chain_is_sound(&h);
        help_chain_wait_tenths(&h, 301);
        assert_false(sends(NF_INSIDE, proto, HOST, 4000, OUTSIDE, server, 0, NULL));
        for (uint16_t i = 0; i < 2; i++)
            assert_true(sends(NF_INSIDE, proto, HOST, (uint16_t)(4001 + i), NEAR, 80, 0, NULL));
    }
    help_chain_counts(&h, "nat: forwarded 2");
    help_chain_is_sound(&h);
}

/* In several lanes the one who asks had another port than the outside sees (RFC 4787, REQ-1, REQ-9a). */
CHAIN_TEST(hairpins_to_mappings_take_one_lane)
{
    static const char *const settings[] = {", hairpin: true", MAPPING, MAPPING ", hairpin: true"};
    struct ft_fault fault = {""};
    enum nf_scope scope;

    for (unsigned i = 0; i < 3; i++) {
        char text[200];

        snprintf(text, sizeof(text), NAT("%s"), settings[i]);
        help_chain_open(&h, text, NULL, 1);
        assert_int_equal(nf_chain_scope(&h.config->chain, 1, &scope, &fault), 0);
        assert_int_equal(nf_chain_scope(&h.config->chain, 2, &scope, &fault), i < 2 ? 0 : FT_EINVAL);
    }
    assert_string_equal(fault.text,
                        "nat: its state is of every packet, as it is set here, expected 1 lane, not 2");
}

CHAIN_TEST(a_hairpin_takes_the_word_and_a_mapping)
{
    struct nft_seen s;

    open_mapped(NAT(MAPPING));
    assert_true(sends(NF_INSIDE, 17, SERVER, 5000, NEAR, 80, 0, &s));
    assert_false(sends(NF_INSIDE, 17, HOST, 4000, OUTSIDE, s.sport, 0, NULL));
    open_mapped(NAT(", hairpin: true"));
    assert_true(sends(NF_INSIDE, 17, SERVER, 5000, NEAR, 80, 0, &s));
    assert_false(sends(NF_INSIDE, 17, HOST, 4000, OUTSIDE, s.sport, 0, NULL));
    open_mapped(NAT(MAPPING ", hairpin: true"));
    assert_false(sends(NF_INSIDE, 17, HOST, 4000, OUTSIDE, 2000, 0, NULL));
    assert_true(sends(NF_INSIDE, 6, SERVER, 5000, NEAR, 80, NFT_SYN, &s));
    assert_false(sends(NF_INSIDE, 17, HOST, 4000, OUTSIDE, s.sport, 0, NULL)); /* of another protocol */
    assert_false(sends(NF_INSIDE, 6, HOST, 4000, OUTSIDE, s.sport, NFT_ACK, NULL));
    help_chain_counts(&h, "nat: hairpin 3");
    assert_true(sends(NF_INSIDE, 6, SERVER, 5000, OUTSIDE, s.sport, NFT_SYN, &s)); /* to itself */
    assert_true(s.dst == SERVER && s.dport == 5000 && s.src == OUTSIDE);
    help_chain_is_sound(&h);
    assert_int_equal(help_chain_command(&h, "clear nat"), 0);
    help_chain_idle(&h, h.now + 1);
    help_chain_is_sound(&h);
}

/* ---- no ports ---- */

CHAIN_TEST(what_has_no_ports_goes_by_its_address)
{
    static const uint8_t protos[] = {47, 50, 132, 4};
    struct nft_seen s;

    help_chain_open(&h, NAT(", unsupported: by_address, udp: 5"), NULL, 3);
    for (unsigned i = 0; i < sizeof(protos); i++) {
        assert_true(sends(NF_INSIDE, protos[i], HOST, 0, REMOTE, 0, 0, &s));
        assert_true(s.src == OUTSIDE && s.dst == REMOTE);
        assert_true(sends(NF_OUTSIDE, protos[i], REMOTE, 0, OUTSIDE, 0, 0, &s));
        assert_true(s.src == REMOTE && s.dst == HOST);
        /* Another remote is another flow; nobody else gets in, and no second host to the same one. */
        assert_true(sends(NF_INSIDE, protos[i], SERVER, 0, OTHER, 0, 0, &s));
        assert_true(sends(NF_OUTSIDE, protos[i], OTHER, 0, OUTSIDE, 0, 0, &s));
        assert_int_equal(s.dst, SERVER);
        assert_false(sends(NF_OUTSIDE, protos[i], NFT_IP(9, 9, 9, 9), 0, OUTSIDE, 0, 0, NULL));
        assert_false(sends(NF_INSIDE, protos[i], SERVER, 0, REMOTE, 0, 0, NULL));
    }
    help_chain_counts(&h, "nat: no_mapping %zu, conflict %zu", sizeof(protos), sizeof(protos));
    help_chain_wait_tenths(&h, 51);
    help_chain_counts(&h, "nat: mappings_expired %zu", 2 * sizeof(protos));
    assert_true(sends(NF_INSIDE, 47, SERVER, 0, REMOTE, 0, 0, NULL));
}

CHAIN_TEST(a_checksum_with_addresses_is_not_broken)
{
    static const uint8_t protos[] = {33, 51, 136};

    help_chain_open(&h, NAT(", unsupported: by_address"), NULL, 3);
    for (unsigned i = 0; i < sizeof(protos); i++)
        assert_false(sends(NF_INSIDE, protos[i], HOST, 0, REMOTE, 0, 0, NULL));
    help_chain_counts(&h, "nat: unsupported %zu", sizeof(protos));
}

/* ---- the file ---- */

CHAIN_TEST(bad_ones_are_refused)
{
    help_chain_refuses(NAT(FILTERING), "filtering is endpoint_independent, expected mapping to be so, too");
    help_chain_refuses(NAT(", mapping: cone"), "");
    help_chain_refuses(NAT(", unsupported: translate"), "");
}
