/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One address outside for several NFs: a NAT's hosts and a service, each at ports of its own. Whose a packet
 * is says its flow, protocol and port, never the address alone: also of ICMP errors, by what they quote
 * (RFC 1191, RFC 5508 REQ-4), and of later fragments.
 */
#include "tests/help/chain.h"
#include "understudy/config/config.h"
#include "tests/help/test.h"

#define SITE          "203.0.113.1"
#define HOST          "10.0.0.5"
#define SERVER        "198.51.100.9"
#define ROUTER        "198.51.100.1"
#define BACKEND       "10.0.1.1"
#define NAT(more)     "    - nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, preserve_ports: true" more " }\n"
#define NAT64         "    - nat64: { outside: 203.0.113.1, preserve_ports: true }\n"
#define BALANCE(more) "    - load_balancer: { vip: 203.0.113.1, backends: \"10.0.1.1:80\"" more " }\n"
#define WALL          "    - firewall: { rules: firewall.rules, ipv6: true }\n"
#define RULES         "default allow out\nallow in tcp to any port 80,8080\ndefault deny in\n"

static struct help_chain h;
static struct six_seen seen, quoted;

static bool pass(uint8_t side, const struct six *s)
{
    return help_chain_six(&h, side, s, &seen);
}

static struct six packet(uint8_t proto, const char *from, uint16_t sport, const char *to, uint16_t dport)
{
    return SIX(proto, from, sport, to, dport, .tcp = NFT_ACK, .type = 8, .payload = 40);
}

/* To the source of what it quotes. */
static bool error(uint8_t side, const char *from, uint8_t type, uint8_t code, const struct six *about,
                  uint32_t more)
{
    struct six e = SIX(1, from, 0, about->from, 0, .type = type, .code = code, .rest = 1300);

    return help_chain_error(&h, side, &e, about, more, &seen, &quoted);
}

/* "Fragmentation needed" and "time exceeded" of a router outside, about what left, for `host`. */
static void errors_of_a_router_reach(const struct six *left, const char *host, uint16_t port)
{
    static const uint8_t say[][2] = {{3, 4}, {11, 0}, {3, 3}};

    for (unsigned i = 0; i < 3; i++) {
        assert_true(error(NF_OUTSIDE, ROUTER, say[i][0], say[i][1], left, i * 20));
        assert_string_equal(seen.from, seen.ipv6 ? "64:ff9b::c633:6401" : ROUTER);
        assert_string_equal(seen.to, host);
        assert_string_equal(quoted.from, host);
        assert_int_equal(quoted.sport, port);
    }
}

static void a_flow_of_the_nat_hears_of_errors(uint8_t proto)
{
    struct six out = packet(proto, HOST, 5000, SERVER, 443), left = packet(proto, SITE, 5000, SERVER, 443);

    out.tcp = NFT_SYN;
    assert_true(pass(NF_INSIDE, &out));
    assert_string_equal(seen.from, SITE);
    assert_int_equal(seen.sport, 5000);
    errors_of_a_router_reach(&left, HOST, 5000);
}

/* In two pieces, from outside, to that host. */
static void comes_in_pieces(struct six back, uint32_t id, const char *to)
{
    back.id = id;
    for (unsigned later = 0; later < 2; later++) {
        back.fragment = later ? 6 : 0x2000;
        assert_true(pass(NF_OUTSIDE, &back));
        assert_string_equal(seen.to, to);
    }
}

static void a_flow_of_the_nat_has_fragments(void)
{
    struct six out = packet(17, HOST, 5001, SERVER, 53);

    assert_true(pass(NF_INSIDE, &out));
    comes_in_pieces(packet(17, SERVER, 53, SITE, 5001), 77, HOST);
}

static void the_service_hears_of_errors(uint16_t port)
{
    struct six ask = packet(6, "198.51.100.77", 4000, SITE, port);
    struct six answer = packet(6, SITE, port, "198.51.100.77", 4000);
    struct six came = packet(6, "198.51.100.77", 4000, BACKEND, 80);
    uint64_t told = help_chain_counter(&h, "load_balancer", "icmp_errors_translated");

    ask.tcp = NFT_SYN;
    assert_true(pass(NF_OUTSIDE, &ask));
    assert_string_equal(seen.to, BACKEND);
    errors_of_a_router_reach(&answer, BACKEND, 80);
    assert_true(error(NF_INSIDE, BACKEND, 3, 3, &came, 0));
    assert_string_equal(seen.from, SITE);
    assert_string_equal(quoted.to, SITE);
    assert_int_equal(quoted.dport, port);
    assert_int_equal(help_chain_counter(&h, "load_balancer", "icmp_errors_translated") - told, 4);
}

static void a_nat_and_a_service(const char *nfs, uint16_t port)
{
    help_chain_open(&h, nfs, RULES, 1);
    a_flow_of_the_nat_hears_of_errors(6);
    a_flow_of_the_nat_hears_of_errors(17);
    a_flow_of_the_nat_hears_of_errors(1);
    a_flow_of_the_nat_has_fragments();
    the_service_hears_of_errors(port);
    a_flow_of_the_nat_hears_of_errors(6);
    help_chain_counts(&h, "load_balancer: no_flow 0, fragment_unknown 0");
}

CHAIN_TEST(flows_of_both_hear_of_errors)
{
    a_nat_and_a_service(NAT() BALANCE(", port: 8080"), 8080);
    a_nat_and_a_service(NAT() BALANCE(", port: 8080, proto: both"), 8080);
    a_nat_and_a_service(NAT() WALL BALANCE(", port: 8080, proto: both"), 8080);
    a_nat_and_a_service(NAT() BALANCE(", proto: both"), 80); /* any port */
}

/* Who drops it is who has the protocol and the port. */
CHAIN_TEST(about_nothing_known_who_has_the_port_drops_it)
{
    struct six service = packet(6, SITE, 8080, SERVER, 443), other = packet(6, SITE, 5000, SERVER, 443);
    struct six datagram = packet(17, SITE, 8080, SERVER, 443), echo = packet(1, SITE, 8080, SERVER, 0);
    struct six later = packet(6, SERVER, 0, SITE, 0);

    help_chain_open(&h, NAT() BALANCE(", port: 8080"), NULL, 1);
    assert_false(error(NF_OUTSIDE, ROUTER, 3, 4, &service, 0));
    help_chain_counts(&h, "load_balancer: no_flow 1");
    assert_false(error(NF_OUTSIDE, ROUTER, 3, 4, &other, 0));
    assert_false(error(NF_OUTSIDE, ROUTER, 3, 4, &datagram, 0));
    assert_false(error(NF_OUTSIDE, ROUTER, 3, 4, &echo, 0));
    help_chain_counts(&h, "load_balancer: no_flow 1, nat: no_mapping 3");
    later.fragment = 6;
    assert_false(pass(NF_OUTSIDE, &later));
    help_chain_counts(&h, "load_balancer: fragment_unknown 1");
    later.proto = 17;
    assert_false(pass(NF_OUTSIDE, &later));
    later.proto = 1;
    assert_false(pass(NF_OUTSIDE, &later));
    help_chain_counts(&h, "load_balancer: fragment_unknown 1, nat: fragment_unknown 2");
}

/* A host that is reached by a port of `forward`, beside the service's port. */
CHAIN_TEST(a_forwarded_port_hears_of_errors)
{
    struct six ask = packet(6, SERVER, 4000, SITE, 443), answer = packet(6, SITE, 443, SERVER, 4000);

    help_chain_open(&h, NAT(", forward: \"tcp/443=10.0.0.5:8443\"") BALANCE(", port: 8080"), NULL, 1);
    ask.tcp = NFT_SYN;
    assert_true(pass(NF_OUTSIDE, &ask));
    assert_string_equal(seen.to, HOST);
    errors_of_a_router_reach(&answer, HOST, 8443);
    the_service_hears_of_errors(8080);
}

CHAIN_TEST(nat64_and_a_service)
{
    static const uint8_t protos[] = {6, 17, 58};

    help_chain_open(&h, NAT64 BALANCE(", port: 8080, proto: both"), NULL, 1);
    for (unsigned i = 0; i < 3; i++) {
        struct six out = packet(protos[i], "2001:db8::c", (uint16_t)(5000 + i), "64:ff9b::c633:6409", 443);
        struct six left = packet(i == 2 ? 1 : protos[i], SITE, (uint16_t)(5000 + i), SERVER, 443);

        out.tcp = NFT_SYN;
        out.type = 128;
        assert_true(pass(NF_INSIDE, &out));
        assert_string_equal(seen.from, SITE);
        errors_of_a_router_reach(&left, "2001:db8::c", (uint16_t)(5000 + i));
    }
    comes_in_pieces(packet(17, SERVER, 443, SITE, 5001), 78, "2001:db8::c");
    the_service_hears_of_errors(8080);
}

/* What it protects stands at the address, too: it takes neither errors nor fragments of the NAT's flows. */
CHAIN_TEST(a_nat_and_a_syn_proxy)
{
    struct six answer = packet(6, SERVER, 443, SITE, 5000);

    help_chain_open(&h, NAT() "    - syn_proxy: { servers: [203.0.113.1/32], ports: 80-8080 }\n", NULL, 1);
    a_flow_of_the_nat_hears_of_errors(6);
    answer.tcp = NFT_SYN | NFT_ACK;
    assert_true(pass(NF_OUTSIDE, &answer));
    assert_string_equal(seen.to, HOST);
    comes_in_pieces(packet(6, SERVER, 443, SITE, 5000), 79, HOST);
    a_flow_of_the_nat_hears_of_errors(17);
    a_flow_of_the_nat_has_fragments();
}

/* What begins outside there could be either's. */
CHAIN_TEST(what_two_would_take_is_refused)
{
    static const char *const allowed[] = {
        NAT(", forward: \"udp/443=10.0.0.5:53, tcp/80=10.0.0.5:80\"") BALANCE(", port: 443"),
        NAT(", forward: \"tcp/203.0.113.1:80=10.0.0.5:80\"") "    - load_balancer: { vip: 203.0.113.2, port: "
                                                             "80 }\n",
        NAT(", forward: \"tcp/80=10.0.0.5:80\"") "    - load_balancer: { vip: 0.0.0.0, port: 80 }\n",
        NAT(", forward: \"tcp/80=10.0.0.5:80\"") "    - load_balancer: { vip: 203.0.113.1, port: 80, "
                                                 "clients: inside }\n",
        NAT() "    - nat64: { outside: 203.0.113.2 }\n",
    };

    help_chain_refuses(NAT(", forward: \"udp/53=10.0.0.5:53, tcp/443=10.0.0.5:80\"") BALANCE(", port: 443"),
                       "load_balancer: TCP of 203.0.113.1 port 443 is taken by nat, expected another port or "
                       "another address");
    help_chain_refuses(
        BALANCE(", proto: udp") NAT(", forward: \"udp/53=10.0.0.5:53\""),
        "nat: 203.0.113.1 is an outside address of it, and it drops what is for load_balancer");
    help_chain_refuses(BALANCE(", port: 443") NAT(),
                       "which stands before it; expected load_balancer behind it in the list, or another "
                       "address");
    help_chain_refuses(NAT(", mapping: endpoint_independent, filtering: endpoint_independent")
                           BALANCE(", port: 8080"),
                       "load_balancer: TCP of 203.0.113.1 port 8080 is taken by nat");
    help_chain_refuses(NAT() NAT64,
                       "nat64: 203.0.113.1 is an outside address of nat, and each drops what is the other's");
    for (unsigned i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
        assert_string_equal(help_chain_refusal(allowed[i], NULL), "");
}

/* Of a port that the NAT gives out, it says the lane. */
CHAIN_TEST(lanes_want_the_service_s_port_for_itself)
{
    static const char *const more[] = {"ports: 1024-65535", "ports: 8081-65535"};

    for (unsigned i = 0; i < 2; i++)
        for (unsigned lanes = 1; lanes <= 2; lanes++) {
            char path[] = "/tmp/one-address-XXXXXX";
            struct nd_config *config = NULL;
            struct ft_fault fault = {""};
            FILE *f = fdopen(mkstemp(path), "w");
            bool refused = lanes == 2 && i == 0;

            assert_non_null(f);
            fprintf(
                f,
                "chain:\n  name: t\n  lanes: %u\n  nfs:\n    - nat: { outside: 203.0.113.1, %s }\n" BALANCE(
                    ", port: 8080"),
                lanes, more[i]);
            assert_int_equal(fclose(f), 0);
            assert_int_equal(nd_config_read(&config, path, 0, &fault) != FT_OK, refused);
            unlink(path);
            if (refused)
                assert_non_null(strstr(fault.text,
                                       "load_balancer and nat: TCP of 203.0.113.1 port 8080 is one "
                                       "that the NAT gives out"));
            else
                nd_config_free(config);
        }
}
