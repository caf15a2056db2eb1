/* SPDX-License-Identifier: Apache-2.0 */
/*
 * nat64 among others: NFs in front of it see flows of IPv6, those behind it of IPv4, in one session. And what
 * it is told: settings that are refused, a port for each end, states that no chain has made.
 */
#include "tests/help/chain.h"
#include "tests/help/nf.h"
#include "nfs/nat/nat64.h"
#include "nflib/chain/trace.h"
#include "nflib/session/table.h"
#include "understudy/config/config.h"

#include <arpa/inet.h>
#include "tests/help/test.h"

#define C        "2001:db8::c"
#define S        "64:ff9b::c633:6401"
#define S4       "198.51.100.1"
#define OUT      "203.0.113.1"
#define NAT64    "    - nat64: { outside: 203.0.113.1, ports: 2000-2000, max_flows: 50 }\n"
#define WALL     "    - firewall: { rules: firewall.rules, max_flows: 50, ipv6: true }\n"
#define MONITOR  "    - monitor: { max_flows: 50, ipv6: true }\n"
#define OUTWARDS "allow out\nallow out icmpv6\ndefault deny\n"

static struct help_chain h;
static struct six_seen seen;

static bool pass(uint8_t side, const struct six *s)
{
    return help_chain_six(&h, side, s, &seen);
}

static struct six from_client(uint8_t proto, uint16_t port)
{
    return SIX(proto, C, port, S, 443, .tcp = NFT_SYN, .type = 128, .payload = 10);
}

static struct six from_server(uint8_t proto, uint16_t port)
{
    return SIX(proto, S4, proto == 1 ? port : 443, OUT, port, .tcp = NFT_SYN | NFT_ACK, .payload = 10);
}

/* A connection, an echo, a datagram in two fragments, both ways. */
static void flows_pass(void)
{
    struct six s = from_client(6, 5000), back = from_server(6, 2000);

    assert_true(pass(NF_INSIDE, &s));
    help_chain_is_sound(&h);
    assert_string_equal(seen.to, S4);
    assert_true(pass(NF_OUTSIDE, &back));
    assert_string_equal(seen.to, C);
    s.tcp = NFT_ACK;
    assert_true(pass(NF_INSIDE, &s));
    s = from_client(58, 7);
    back = from_server(1, 2000);
    assert_true(pass(NF_INSIDE, &s));
    assert_true(pass(NF_OUTSIDE, &back));
    assert_string_equal(seen.to, C);
    assert_int_equal(seen.dport, 7);
    s = from_client(17, 9);
    s.payload = 24;
    back = from_server(17, 2000);
    back.payload = 24;
    for (unsigned later = 0; later < 2; later++) {
        s.fragment = back.fragment = later ? 4 : 0x2000;
        assert_true(pass(NF_INSIDE, &s));
    }
    for (unsigned later = 0; later < 2; later++) {
        back.fragment = later ? 4 : 0x2000;
        assert_true(pass(NF_OUTSIDE, &back));
        assert_string_equal(seen.to, C);
    }
}

/* About the connection, from a router outside and from the client. */
static void errors_pass(void)
{
    static uint8_t inner[SIX_MAX];
    struct six about = from_server(6, 443), error;
    uint32_t n;

    about.from = OUT;
    about.to = S4;
    about.sport = 2000;
    n = six_frame(&about, inner) - 14;
    error = SIX(1, "192.0.2.9", 0, OUT, 0, .type = 11, .inner = inner + 14, .inner_len = n);
    assert_true(pass(NF_OUTSIDE, &error));
    assert_string_equal(seen.from, "64:ff9b::c000:209");
    assert_int_equal(seen.type, 3);
    about = from_client(6, 443);
    about.from = S;
    about.to = C;
    about.dport = 5000;
    n = six_frame(&about, inner) - 14;
    error = SIX(58, C, 0, S, 0, .type = 1, .code = 4, .inner = inner + 14, .inner_len = n);
    assert_true(pass(NF_INSIDE, &error));
    assert_int_equal(seen.type, 3);
    assert_int_equal(seen.code, 3);
}

static void all_of_it_passes(void)
{
    struct six nobodys = from_server(6, 2001);

    flows_pass();
    errors_pass();
    help_chain_is_sound(&h);
    assert_false(pass(NF_OUTSIDE, &nobodys));
    assert_int_equal(help_chain_counter(&h, "nat64", "mappings_created"), 3);
}

CHAIN_TEST(others_on_either_side_of_it)
{
    static const struct {
        const char *nfs, *firewall, *monitor; /* what they show */
    } rows[] = {{WALL MONITOR NAT64, "[2001:db8::c]:5000", "[2001:db8::c]:5000"},
                {NAT64 WALL MONITOR, "203.0.113.1:2000", "203.0.113.1:2000"},
                {MONITOR NAT64 WALL, "203.0.113.1:2000", "[2001:db8::c]:5000"},
                {WALL NAT64 MONITOR, "[2001:db8::c]:5000", "203.0.113.1:2000"}};

    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        print_message("# chain %u\n", i);
        help_chain_open(&h, rows[i].nfs, OUTWARDS, 1);
        all_of_it_passes();
        help_chain_has(&h, "firewall", rows[i].firewall);
        help_chain_has(&h, "monitor", rows[i].monitor);
        if (rows[i].firewall[0] != '[')
            help_chain_has(&h, "firewall", "198.51.100.1:443");
        help_chain_counts(&h, "firewall: connections_created 3, related 2");
    }
}

/* A trace has the addresses of the family that the packet has at each place. */
CHAIN_TEST(a_trace_follows_the_family)
{
    static struct nf_trace trace;
    struct six s = from_client(17, 7), back = from_server(17, 2000);
    const struct nf_traced *out = &trace.packet[0], *in = &trace.packet[1];
    uint8_t client[16], server[16];

    inet_pton(AF_INET6, C, client);
    inet_pton(AF_INET6, S, server);
    help_chain_open(&h, MONITOR NAT64, NULL, 1);
    assert_true(nf_trace_begin(&trace, 2, 0, NULL, NULL));
    nf_chain_trace(h.chain, &trace, 0, 1);
    assert_true(pass(NF_INSIDE, &s));
    nf_chain_trace(h.chain, &trace, 0, 2);
    assert_true(pass(NF_OUTSIDE, &back));
    assert_true(nf_trace_whole(&trace));

    assert_true(out->ends.flags & NF_P_IPV6_READ && out->step[0].ends.flags & NF_P_IPV6_READ);
    assert_memory_equal(out->step[0].ends.ipv6, client, 16);
    assert_memory_equal(out->step[0].ends.ipv6 + 16, server, 16);
    assert_int_equal(out->step[1].ends.flags & (NF_P_IPV4 | NF_P_IPV6_READ), NF_P_IPV4);
    assert_int_equal(out->step[1].ends.saddr, inet_addr(OUT));
    assert_int_equal(out->step[1].ends.daddr, inet_addr(S4));
    assert_int_equal(in->ends.flags & (NF_P_IPV4 | NF_P_IPV6_READ), NF_P_IPV4);
    assert_int_equal(in->ends.saddr, inet_addr(S4));
    assert_memory_equal(in->step[0].ends.ipv6, server, 16);
    assert_memory_equal(in->step[0].ends.ipv6 + 16, client, 16);
}

/* What the firewall denies has no mapping, wherever it is. */
CHAIN_TEST(what_is_denied_leaves_nothing)
{
    static const char *const chains[] = {WALL NAT64, NAT64 WALL};
    struct six s = from_client(6, 5000);

    for (unsigned i = 0; i < 2; i++) {
        help_chain_open(&h, chains[i], "default deny\n", 1);
        assert_false(pass(NF_INSIDE, &s));
        help_chain_is_sound(&h);
        help_chain_has(&h, "nat64", "[]");
    }
}

static void refused(const char *settings, const char *why)
{
    char nf[128];

    snprintf(nf, sizeof(nf), "    - nat64: { %s }\n", settings);
    help_chain_refuses(nf, why);
}

CHAIN_TEST(settings_that_cannot_be)
{
    refused("ports: 1-2", "outside");
    refused("outside: 224.0.0.1", "outside: 224.0.0.1 is no host's address");
    refused("outside: 203.0.113.1, prefix: \"64:ff9b::/64\"", "expected one of IPv6 of 96 bits");
    refused("outside: 203.0.113.1, prefix: \"64:ff9b::1/96\"", "expected one of IPv6 of 96 bits");
    refused("outside: 203.0.113.1, prefix: \"2001:db8:0:0:100::/96\"", "bits 64 to 71 are 0");
    refused("outside: 203.0.113.1, prefix: \"10.0.0.0/96\"", "expected one of IPv6");
    refused("outside: 203.0.113.1, prefix: \"fe80::/96\"", "expected one of IPv6");
}

CHAIN_TEST(states_that_nobody_made)
{
    struct six s = from_client(6, 5000);
    struct nf_session *session;
    struct nat64_flow *flow;
    uint16_t first, nobodys = 2000;
    const struct nf *nf;
    char other[64];

    help_chain_open(&h, "    - nat64: { outside: 203.0.113.1, ports: 2000-2099, max_flows: 50 }\n", NULL, 1);
    assert_true(pass(NF_INSIDE, &s));
    first = seen.sport;
    s.sport++;
    assert_true(pass(NF_INSIDE, &s));
    snprintf(other, sizeof(other), "port %u of address 0, expected a port of its own", seen.sport);
    while (nobodys == first || nobodys == seen.sport)
        nobodys++;
    nf = nf_chain_nf(h.chain, 1);
    session = (struct nf_session *)(uintptr_t)nf_session_at(nf->env->sessions->table, 0);
    flow = (struct nat64_flow *)(uintptr_t)nat64_flow_of(nf, session);
    content_of_chain(h.region, h.chain);
    DAMAGED(flow, ((struct nat64_flow){.port = htons(1999)}),
            "port 1999 of address 0, expected a port of its own");
    DAMAGED(flow, ((struct nat64_flow){.port = htons(seen.sport)}), other);
    DAMAGED(flow, ((struct nat64_flow){.port = htons(nobodys)}), "is taken and no mapping's");
    DAMAGED(&session->key[1].proto, 17, "has protocols 6 and 17");
    DAMAGED(&session->key[1].saddr, 1, "tag");
}
