/* SPDX-License-Identifier: Apache-2.0 */
/* The NAT's ports at which hosts inside are reached: both ways, errors about them, what does not open one. */
#include "tests/help/chain.h"
#include "tests/help/test.h"

#define OUTSIDE   NFT_IP(203, 0, 113, 1)
#define HOST      NFT_IP(10, 1, 2, 3)
#define REMOTE    NFT_IP(198, 51, 100, 7)
#define ROUTER    NFT_IP(192, 0, 2, 1)
#define NAT(list) "    - nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, forward: \"" list "\" }\n"

static struct help_chain h;

static bool from_outside(uint8_t proto, uint16_t sport, uint16_t dport, uint8_t flags, struct nft_seen *seen)
{
    struct nft_spec spec = HELP_PACKET(proto, REMOTE, sport, OUTSIDE, dport, .tcp = flags, .payload = 5);
    return help_chain_spec(&h, NF_OUTSIDE, &spec, seen);
}

static bool from_inside(uint8_t proto, uint16_t sport, uint16_t dport, uint8_t flags, struct nft_seen *seen)
{
    struct nft_spec spec = HELP_PACKET(proto, HOST, sport, REMOTE, dport, .tcp = flags, .payload = 7);
    return help_chain_spec(&h, NF_INSIDE, &spec, seen);
}

CHAIN_TEST(both_ways_are_translated)
{
    struct nft_seen s;

    for (uint8_t proto = 6; proto <= 17; proto += 11) {
        uint16_t port = proto == 6 ? 443 : 53, to = proto == 6 ? 8443 : 5353;

        for (unsigned i = 0; i < 3; i++) { /* also once it has settled */
            assert_true(from_outside(proto, 4000, port, i ? NFT_ACK : NFT_SYN, &s));
            assert_true(s.src == REMOTE && s.sport == 4000 && s.dst == HOST && s.dport == to);
            assert_true(from_inside(proto, to, 4000, i ? NFT_ACK : NFT_SYN | NFT_ACK, &s));
            assert_true(s.src == OUTSIDE && s.sport == port && s.dst == REMOTE && s.dport == 4000);
        }
    }
    help_chain_counts(&h, "nat: forwarded 2, mappings_created 0, translated_outward 6, translated_inward 6");
    help_chain_has(&h, "nat",
                   "\"inside\":\"10.1.2.3:8443\",\"outside\":\"203.0.113.1\",\"outside_port\":443,\"remote\":"
                   "\"198.51.100.7:4000\"");
}

CHAIN_TEST(nothing_else_gets_in)
{
    assert_false(from_outside(6, 4000, 444, NFT_SYN, NULL));
    assert_false(from_outside(17, 4000, 443, 0, NULL)); /* that one is TCP's */
    assert_false(from_outside(6, 4000, 443, NFT_RST, NULL));
    help_chain_counts(&h, "nat: no_mapping 3, forwarded 0");
}

/* A host that is reached from outside goes out as any other. */
CHAIN_TEST(what_it_begins_itself_has_a_port_of_the_pool)
{
    struct nft_seen s;

    assert_true(from_inside(6, 8443, 80, NFT_SYN, &s));
    assert_true(s.src == OUTSIDE && s.sport >= 1024);
    assert_true(from_inside(6, 9000, 80, NFT_SYN, &s));
    help_chain_counts(&h, "nat: mappings_created 2");
}

CHAIN_TEST(errors_about_them_are_translated)
{
    uint8_t inner[28];
    struct nft_spec error = {.proto = 1, .type = 3, .code = 4, .inner = inner};
    struct nft_seen s;

    assert_true(from_outside(17, 4000, 53, 0, NULL));
    assert_true(from_inside(17, 5353, 4000, 0, NULL));
    /* A router outside, about the answer. */
    error.inner_len = help_quoted(inner, OUTSIDE, 53, REMOTE, 4000);
    error.src = ROUTER;
    error.dst = OUTSIDE;
    assert_true(help_chain_spec(&h, NF_OUTSIDE, &error, &s));
    assert_true(s.src == ROUTER && s.dst == HOST);
    /* The host, about the question. */
    error.inner_len = help_quoted(inner, REMOTE, 4000, HOST, 5353);
    error.src = HOST;
    error.dst = REMOTE;
    assert_true(help_chain_spec(&h, NF_INSIDE, &error, &s));
    assert_true(s.src == OUTSIDE && s.dst == REMOTE);
    help_chain_counts(&h, "nat: icmp_errors_translated 2");
    /* About a session that there is not. */
    error.inner_len = help_quoted(inner, OUTSIDE, 53, REMOTE, 4001);
    error.src = ROUTER;
    error.dst = OUTSIDE;
    assert_false(help_chain_spec(&h, NF_OUTSIDE, &error, NULL));
}

CHAIN_TEST(it_ends_as_others_do)
{
    assert_true(from_outside(6, 4000, 443, NFT_SYN, NULL));
    assert_int_equal(help_chain_command(&h, "clear nat tcp/443"), 0);
    help_chain_idle(&h, h.now);
    assert_false(from_inside(6, 8443, 4000, NFT_SYN | NFT_ACK, NULL) &&
                 help_chain_counter(&h, "nat", "mappings_created") == 0);
    assert_true(from_outside(6, 4001, 443, NFT_SYN, NULL));
    help_chain_wait_tenths(&h, 2400);
    static char text[16384];
    help_chain_show(&h, "nat", text, sizeof(text));
    assert_null(strstr(text, "4001"));
}

/* What a session begins with from inside, only its source is the NAT's: an NF behind it sees the service. */
CHAIN_TEST(a_load_balancer_behind_it_sees_the_service)
{
    struct nft_spec out = HELP_PACKET(6, HOST, 5000, REMOTE, 80, .tcp = NFT_SYN);
    struct nft_seen s;

    help_chain_open(&h,
                    NAT("tcp/443=10.1.2.3:8443") "    - load_balancer: { vip: 198.51.100.7, clients: inside, "
                                                 "backends: \"192.0.2.1\" }\n",
                    NULL, 5);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(help_chain_spec(&h, NF_INSIDE, &out, &s));
        assert_true(s.src == OUTSIDE && s.dst == ROUTER && s.dport == 80);
        struct nft_spec back =
            HELP_PACKET(6, ROUTER, 80, OUTSIDE, s.sport, .tcp = i ? NFT_ACK : NFT_SYN | NFT_ACK);
        assert_true(help_chain_spec(&h, NF_OUTSIDE, &back, &s));
        assert_true(s.src == REMOTE && s.sport == 80 && s.dst == HOST && s.dport == 5000);
        out.tcp = NFT_ACK;
    }
}

CHAIN_TEST(bad_ones_are_refused)
{
    help_chain_refuses(NAT("tcp/443"), "forward: tcp/443, expected tcp or udp/PORT=A.B.C.D:PORT");
    help_chain_refuses(NAT("icmp/1=10.0.0.1:1"), "expected tcp or udp/PORT");
    help_chain_refuses(NAT("tcp/443=10.0.0.300:1"), "expected tcp or udp/PORT");
    help_chain_refuses(NAT("tcp/443=10.0.0.1:70000"), "expected tcp or udp/PORT");
    help_chain_refuses(NAT("tcp/443=10.0.0.1:1x"), "expected tcp or udp/PORT");
    help_chain_refuses(NAT("tcp/443=10.0.0.1:1, tcp/443=10.0.0.2:1"),
                       "tcp/443=10.0.0.2:1: a second entry of one port");
    help_chain_refuses(NAT("tcp/443=10.0.0.1:1 tcp/22"), "forward: tcp/22, expected tcp or udp/PORT");
    help_chain_refuses(NAT("tcp/443=192.168.0.1:1"),
                       "tcp/443=192.168.0.1:1: its host is in no network of `inside`");
    help_chain_refuses(NAT("tcp/2000=10.0.0.1:1"),
                       "port 2000 is one of `ports`, expected one outside 1024-65535");
}

static void begin(void)
{
    help_chain_open(&h, NAT("tcp/443=10.1.2.3:8443, udp/53=10.1.2.3:5353"), NULL, 5);
}

CHAIN_BEGINS(begin)
