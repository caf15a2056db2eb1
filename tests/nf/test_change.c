/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A chain that is changed while it runs, against what the test noted of its flows before: where each leaves
 * and where its answers go.
 */
#include "nflib/chain/change.h"
#include "nflib/session/table.h"
#include "understudy/config/config.h"
#include "tests/help/chain.h"
#include "tests/help/test.h"

#include <time.h>

#define SITE    NFT_IP(203, 0, 113, 1)
#define REMOTE  NFT_IP(198, 51, 100, 7)
#define NAT     "    - nat: { outside: 203.0.113.1 }\n"
#define MONITOR "    - monitor: {}\n"
#define WALL    "    - firewall: { rules: firewall.rules }\n"
#define LIMITER "    - rate_limiter: { clients: inside, pps: 1000000, burst_packets: 1000000 }\n"
#define BALANCE "    - load_balancer: { vip: 198.51.100.200, clients: inside, backends: \"%s\" }\n"
#define RULES   "allow out udp\nallow out tcp\ndefault deny\n"
#define FLOWS   300u

static struct help_chain h;

/* What is known of a flow: by the test, from packets alone. */
static struct flow {
    uint32_t host, remote;
    uint16_t port, seen; /* inside; outside, as its packets left */
    uint8_t proto;
} flows[FLOWS];

static void must_change(const char *nfs, const char *rules)
{
    struct ft_fault fault = {""};

    if (help_change(&h, nfs, rules, &fault))
        fail_msg("%s", fault.text);
    help_chain_is_sound(&h);
    assert_int_equal(nf_chain_state(h.chain)->burst, h.burst);
}

static void refused(const char *nfs, const char *rules, const char *text)
{
    struct ft_fault fault = {""};
    uint64_t digest = help_chain_digest(&h);

    assert_true(help_change(&h, nfs, rules, &fault) < 0);
    if (!strstr(fault.text, text))
        fail_msg("\"%s\", expected \"%s\" in it", fault.text, text);
    assert_int_equal(help_chain_digest(&h), digest);
}

static bool send_out(const struct flow *f, uint8_t tcp, struct nft_seen *out)
{
    struct nft_spec s = HELP_PACKET(f->proto, f->host, f->port, f->remote, 443, .tcp = tcp, .payload = 20);

    return help_chain_spec(&h, NF_INSIDE, &s, out);
}

static bool answer(const struct flow *f, uint8_t tcp, struct nft_seen *out)
{
    struct nft_spec s = HELP_PACKET(f->proto, f->remote, 443, SITE, f->seen, .tcp = tcp, .payload = 20);

    return help_chain_spec(&h, NF_OUTSIDE, &s, out);
}

static void begin_flows(void)
{
    struct nft_seen seen;

    for (unsigned i = 0; i < FLOWS; i++) {
        struct flow *f = &flows[i];

        *f = (struct flow){
            .host = NFT_IP(10, 1, 2, 3) + i % 50, .port = (uint16_t)(2000 + i), .proto = i % 3 ? 6 : 17};
        assert_true(send_out(f, NFT_SYN, &seen));
        assert_int_equal(seen.src, SITE);
        f->seen = seen.sport;
        assert_true(answer(f, NFT_SYN | NFT_ACK, NULL));
        assert_true(send_out(f, NFT_ACK, NULL));
    }
}

/* Both ways, each with the translation that it had. */
static void flows_go_on(unsigned from, unsigned to)
{
    struct nft_seen seen;

    for (unsigned i = from; i < to; i++) {
        assert_true(send_out(&flows[i], NFT_ACK, &seen));
        assert_int_equal(seen.src, SITE);
        assert_int_equal(seen.sport, flows[i].seen);
        assert_true(answer(&flows[i], NFT_ACK, &seen));
        assert_int_equal(seen.dst, flows[i].host);
        assert_int_equal(seen.dport, flows[i].port);
    }
}

static void open_chain(const char *nfs)
{
    help_chain_open(&h, nfs, RULES, 1);
    h.now = HELP_SECOND * 1000;
    begin_flows();
}

CHAIN_TEST(test_rule_added)
{
    struct nft_seen seen;
    struct flow fresh = {.host = NFT_IP(10, 1, 2, 99), .remote = REMOTE + 1, .port = 999, .proto = 17};

    open_chain(NAT WALL MONITOR);
    must_change(NAT WALL MONITOR, "deny out udp to 198.51.100.8\n" RULES);
    flows_go_on(0, FLOWS);
    assert_false(send_out(&fresh, 0, NULL));
    fresh.remote = REMOTE;
    assert_true(send_out(&fresh, 0, &seen)); /* by a port that no flow has */
    for (unsigned i = 0; i < FLOWS; i++)
        assert_true(flows[i].proto != 17 || flows[i].seen != seen.sport);
    help_chain_has(&h, "firewall", "\"rule\":\"2\",\"line\":2,\"action\":\"allow\",\"hits\":101");
    help_chain_has(&h, "firewall", "\"rule\":\"1\",\"line\":1,\"action\":\"deny\",\"hits\":1}");
    assert_int_equal(help_chain_counter(&h, "firewall", "connections_created"), FLOWS + 1);
    assert_int_equal(help_chain_counter(&h, "monitor", "flows_created"), FLOWS + 1);
}

CHAIN_TEST(test_action_changed)
{
    struct flow fresh = {.host = NFT_IP(10, 1, 2, 99), .remote = REMOTE + 1, .port = 999, .proto = 17};

    open_chain(NAT WALL MONITOR);
    must_change(NAT WALL MONITOR, "deny out udp\nallow out tcp\ndefault deny\n");
    flows_go_on(0, FLOWS);
    assert_false(send_out(&fresh, 0, NULL));
    /* What an operator has set stays through a change of something else. */
    assert_int_equal(help_chain_command(&h, "set firewall rule.1=allow"), 0);
    must_change(NAT WALL MONITOR LIMITER, "deny out udp\nallow out tcp\ndefault deny\n");
    assert_true(send_out(&fresh, 0, NULL));
}

/* What an operator has set of a rule stays through a change of other lines, but not of its own. */
CHAIN_TEST(test_live_rule_stays)
{
    struct flow fresh = {.host = NFT_IP(10, 1, 2, 99), .remote = REMOTE, .port = 999, .proto = 17};

    open_chain(NAT WALL MONITOR);
    assert_int_equal(help_chain_command(&h, "set firewall rule.1=deny"), 0);
    assert_int_equal(help_chain_command(&h, "set firewall default.in=allow"), 0);
    must_change(NAT WALL MONITOR, "# another line\ndeny out udp to 198.51.100.99\n" RULES);
    assert_false(send_out(&fresh, 0, NULL));
    help_chain_has(&h, "firewall", "\"rule\":\"2\",\"line\":3,\"action\":\"deny\",\"hits\":101");
    help_chain_has(&h, "firewall", "\"rule\":\"default.in\",\"line\":5,\"action\":\"allow\"");
    must_change(NAT WALL MONITOR, "deny out udp\nallow out tcp\ndefault deny\n");
    must_change(NAT WALL MONITOR, RULES);
    assert_true(send_out(&fresh, 0, NULL));
}

CHAIN_TEST(test_nf_added)
{
    open_chain(NAT WALL MONITOR);
    must_change(NAT WALL LIMITER MONITOR, NULL);
    flows_go_on(0, FLOWS);
    assert_true(help_chain_counter(&h, "rate_limiter", "passed") >= FLOWS);
    assert_int_equal(help_chain_counter(&h, "monitor", "flows_created"), FLOWS);
    must_change(NAT WALL LIMITER MONITOR, RULES "# nothing\n");
    flows_go_on(0, FLOWS);
}

CHAIN_TEST(test_nf_taken_out)
{
    open_chain(NAT LIMITER WALL MONITOR);
    must_change(NAT WALL, NULL);
    flows_go_on(0, FLOWS);
    assert_null(nf_chain_find(h.chain, "monitor"));
    must_change(NAT MONITOR, NULL); /* and one comes back, with nothing */
    flows_go_on(0, FLOWS);
    assert_int_equal(help_chain_counter(&h, "monitor", "flows_created"), FLOWS);
}

/* Flows that stay have their timers: they end as they would have. */
CHAIN_TEST(test_timers_go_on)
{
    open_chain(NAT WALL MONITOR);
    must_change("    - nat: { outside: 203.0.113.1, tcp_established: 60, udp: 30 }\n" WALL MONITOR, NULL);
    help_chain_wait_tenths(&h, 100);
    flows_go_on(0, 30);
    help_chain_wait_tenths(&h, 10 * 8000); /* the firewall's are longer, and a session lives by the longest */
    help_chain_idle(&h, h.now + HELP_SECOND);
    assert_int_equal(help_chain_counter(&h, "nat", "mappings_expired"), FLOWS);
    assert_int_equal(nf_sessions_count(nf_chain_find(h.chain, "nat")), 0);
}

CHAIN_TEST(test_backend_added)
{
    static const char one[] = "10.9.0.1", two[] = "10.9.0.1 10.9.0.2", other[] = "10.9.0.2";
    struct nft_spec s = HELP_PACKET(6, NFT_IP(10, 1, 2, 3), 1, NFT_IP(198, 51, 100, 200), 80, .tcp = NFT_SYN);
    char nfs[256];
    unsigned at[2] = {0, 0};
    struct nft_seen seen;

    snprintf(nfs, sizeof(nfs), BALANCE MONITOR, one);
    help_chain_begin(&h, nfs, RULES);
    for (; s.sport <= 10; s.sport++)
        assert_true(help_chain_spec(&h, NF_INSIDE, &s, NULL));
    snprintf(nfs, sizeof(nfs), BALANCE MONITOR, two);
    must_change(nfs, NULL);
    for (; s.sport <= 20; s.sport++) { /* the other one has fewer */
        assert_true(help_chain_spec(&h, NF_INSIDE, &s, &seen));
        assert_int_equal(seen.dst, NFT_IP(10, 9, 0, 2));
    }
    for (s.sport = 1, s.tcp = NFT_ACK; s.sport <= 20; s.sport++) {
        assert_true(help_chain_spec(&h, NF_INSIDE, &s, &seen));
        at[seen.dst - NFT_IP(10, 9, 0, 1)]++;
    }
    assert_int_equal(at[0], 10);
    assert_int_equal(at[1], 10);
    snprintf(nfs, sizeof(nfs), BALANCE MONITOR, other);
    must_change(nfs, NULL);
    help_chain_has(&h, "load_balancer", "\"backend\":\"10.9.0.1:0\",\"state\":\"gone\"");
    help_chain_wait_tenths(&h, 30); /* its flows end */
    help_chain_has(&h, "load_balancer", "\"backend\":\"10.9.0.2:0\",\"state\":\"up\",\"connections\":10");
    help_chain_has(&h, "load_balancer", "\"backend\":\"10.9.0.1:0\",\"state\":\"gone\",\"connections\":0");
}

CHAIN_TEST(test_limits_changed)
{
    open_chain(NAT LIMITER);
    must_change(NAT "    - rate_limiter: { clients: inside, pps: 1, burst_packets: 1 }\n", NULL);
    h.now += HELP_SECOND;
    assert_true(send_out(&flows[0], NFT_ACK, NULL));
    assert_false(send_out(&flows[0], NFT_ACK, NULL));
}

CHAIN_TEST(test_refused)
{
    open_chain(NAT WALL MONITOR);
    refused("    - nat: { outside: 203.0.113.1, ports: 2000-60000 }\n" WALL MONITOR, NULL,
            "nf 1: nat ports: 1024-65535, then 2000-60000: cannot be changed while the pair runs");
    refused(WALL MONITOR, NULL, "nat: translates addresses, so it cannot be taken out");
    refused(NAT WALL MONITOR "    - load_balancer: { vip: 1.2.3.4 }\n", NULL,
            "load_balancer: translates addresses, so it cannot be added");
    refused(NAT MONITOR WALL, NULL, "nf 3: firewall: NFs that stay keep their order");
    refused(NAT WALL "    - monitor: { max_flows: 100 }\n", NULL,
            "monitor max_flows: it has 300 flows in lane 0, expected at most 100");
    refused("    - nat: { outside: 203.0.113.1, max_flows: 100 }\n"
            "    - firewall: { rules: firewall.rules, max_flows: 100 }\n    - monitor: { max_flows: 100 }\n",
            NULL, "sessions: there are 300 in lane 0, expected at most 100");
    flows_go_on(0, FLOWS);
    must_change(NAT WALL "    - monitor: { max_flows: 300 }\n", NULL);
    flows_go_on(0, FLOWS);
}

/* What differs stands at the end of a list whose text is longer than any line. */
CHAIN_TEST(test_long_list)
{
    char nfs[2][1024];

    for (unsigned which = 0; which < 2; which++) {
        int n = snprintf(nfs[which], sizeof(nfs[which]), "    - nat: { outside: 203.0.113.1, inside: [ ");

        for (unsigned i = 0; i < 15; i++)
            n += snprintf(nfs[which] + n, sizeof(nfs[which]) - (size_t)n, "192.168.%u.128/25, ", 100 + i);
        snprintf(nfs[which] + n, sizeof(nfs[which]) - (size_t)n, "10.%u.0.0/16 ] }\n", which + 1);
    }
    open_chain(nfs[0]);
    refused(nfs[1], NULL, "nf 1: nat inside: ...10.1.0.0/16, then ...10.2.0.0/16: cannot be changed");
}

/* In a full table the oldest that is being opened goes first, and the order is as it was. */
CHAIN_TEST(test_order_of_transitory)
{
    struct flow first = {.host = NFT_IP(10, 2, 0, 1), .remote = REMOTE, .port = 1, .proto = 6},
                second = first, third = first;
    struct nft_seen seen;

    second.port = 2;
    third.port = 3;
    help_chain_begin(&h, "    - nat: { outside: 203.0.113.1, max_flows: 2 }\n", NULL);
    assert_true(send_out(&first, NFT_SYN, &seen));
    first.seen = seen.sport;
    assert_true(send_out(&second, NFT_SYN, &seen));
    second.seen = seen.sport;
    must_change("    - nat: { outside: 203.0.113.1, max_flows: 2 }\n" MONITOR, NULL);
    h.now += HELP_SECOND;
    assert_true(send_out(&third, NFT_SYN, NULL));
    assert_true(answer(&second, NFT_SYN | NFT_ACK, NULL));
    assert_false(answer(&first, NFT_SYN | NFT_ACK, NULL));
}

static bool send_fragment(uint16_t id, bool later)
{
    return help_chain_fragment(&h, NFT_IP(10, 2, 0, 1), REMOTE, id, later);
}

/* Of datagrams under way the newest find room in a smaller table, and the order is as it was. */
CHAIN_TEST(test_order_of_fragments)
{
    help_chain_begin(&h, "    - firewall: { rules: firewall.rules, max_fragments: 8 }\n", RULES);
    for (uint16_t id = 1; id <= 8; id++)
        assert_true(send_fragment(id, false));
    assert_true(send_fragment(2, false)); /* now it is the newest */
    must_change("    - firewall: { rules: firewall.rules, max_fragments: 4 }\n", NULL);
    for (uint16_t id = 1; id <= 8; id++)
        assert_int_equal(send_fragment(id, true), id == 2 || id > 5);
    assert_true(send_fragment(9, false));
    assert_false(send_fragment(6, true));
    assert_true(send_fragment(2, true));
    must_change("    - firewall: { rules: firewall.rules, max_fragments: 4 }\n" LIMITER, NULL);
    for (uint16_t id = 10; id <= 11; id++)
        assert_true(send_fragment(id, false));
    assert_false(send_fragment(8, true));
    assert_true(send_fragment(2, true));
}

/* How long packets wait: told, not judged. */
CHAIN_TEST(test_many_flows)
{
    struct timespec from, to;
    struct nft_spec s = {.dst = REMOTE, .dport = 53, .proto = 17, .payload = 20};
    unsigned many = getenv("CHANGE_FLOWS") ? (unsigned)atoi(getenv("CHANGE_FLOWS")) : 2000;

    help_chain_begin(&h, NAT "    - firewall: { rules: firewall.rules }\n" MONITOR, RULES);
    for (unsigned i = 0; i < many; i++) {
        s.src = NFT_IP(10, 0, 0, 0) + i / 50000;
        s.sport = (uint16_t)(1 + i % 50000);
        s.dst = REMOTE + i % 7;
        assert_true(help_chain_spec(&h, NF_INSIDE, &s, NULL));
    }
    clock_gettime(CLOCK_MONOTONIC, &from);
    must_change(NAT WALL LIMITER MONITOR, NULL);
    clock_gettime(CLOCK_MONOTONIC, &to);
    print_message("%u flows: %ld ms\n", many,
                  (to.tv_sec - from.tv_sec) * 1000 + (to.tv_nsec - from.tv_nsec) / 1000000);
    assert_int_equal(nf_sessions_count(nf_chain_find(h.chain, "nat")), many);
}

/* A chain of two lanes that is changed: flows of both go on, and what lanes share stays shared. */

#define LANES       2u
#define LANES_FLOWS 200u /* of each lane */
#define LANES_NAT   "    - nat: { outside: 203.0.113.1, ports: 2000-2999 }\n"

/* A lane is a chain of its own beside the others, in the one region. */
static struct help_chain lane[LANES];

static struct nd_config *config;
static struct ft_region *region;
static struct ft_published published[LANES];
static uint16_t seen_port[LANES][LANES_FLOWS];

static struct nd_config *read_chain(const char *nfs)
{
    struct ft_fault fault = {""};
    struct nd_config *read = NULL;
    char path[] = "/tmp/test-lanes-XXXXXX", text[2048];
    int fd = mkstemp(path), n;

    assert_true(fd >= 0);
    n = snprintf(text, sizeof(text), "chain:\n  name: test\n  lanes: %u\n  nfs:\n%s", LANES, nfs);
    assert_int_equal(write(fd, text, (size_t)n), n);
    close(fd);
    if (nd_config_read(&read, path, 0, &fault))
        fail_msg("%s", fault.text);
    unlink(path);
    return read;
}

static void use_chain(unsigned l, struct nf_chain *chain)
{
    lane[l].chain = chain;
    lane[l].region = region;
    nf_chain_share(chain, published);
}

static void open_lanes(const char *nfs)
{
    static const struct ft_region_config how = {.name = "test", .shared_size = 1 << 20, .audit = true};
    struct ft_fault fault = {""};
    struct nf_chain *chain;

    config = read_chain(nfs);
    assert_int_equal(nf_chain_region(&region, &config->chain, &how, &fault), 0);
    ft_audit_suspend(region);
    for (unsigned l = 0; l < LANES; l++) {
        assert_int_equal(nf_chain_make(&chain, &config->chain, region, l, 1, &fault), 0);
        use_chain(l, chain);
        lane[l].now = HELP_SECOND;
    }
    ft_audit_resume(region);
}

static void change_lanes(const char *nfs)
{
    struct nf_chain *next[LANES] = {NULL}, *was[LANES] = {lane[0].chain, lane[1].chain};
    struct nf_chain_change change;
    struct nf_chain_switch s = {.change = &change,
                                .region = region,
                                .how = {.name = "test", .shared_size = 1 << 20},
                                .chain = was,
                                .seed = 77,
                                .next = next};
    struct nd_config *to = read_chain(nfs);
    struct ft_fault fault = {""};

    if (nf_chain_change_plan(&change, &config->chain, &to->chain, &fault) || nf_chain_switch(&s, &fault))
        fail_msg("%s", fault.text);
    for (unsigned l = 0; l < LANES; l++) {
        nf_chain_free(was[l]);
        use_chain(l, next[l]);
        assert_int_equal(nf_chain_check(next[l], NULL, NULL, &fault), 0);
    }
    ft_region_close(s.old);
    nd_config_free(config);
    config = to;
}

static void close_lanes(void)
{
    for (unsigned l = 0; l < LANES; l++)
        nf_chain_free(lane[l].chain);
    ft_region_close(region);
    nd_config_free(config);
}

static struct nft_spec out_of(unsigned l, unsigned i)
{
    return HELP_PACKET(17, NFT_IP(10, 1, 2, 3) + l, (uint16_t)(5000 + i), REMOTE, 53, .payload = 20);
}

/* The flow leaves by a port that no other flow has, of whichever lane, and by the same one ever after. */
static void send_flows(unsigned from, unsigned to)
{
    static bool taken[65536];
    struct nft_seen seen;

    for (unsigned i = from; i < to; i++)
        for (unsigned l = 0; l < LANES; l++) {
            struct nft_spec s = out_of(l, i);

            assert_true(help_chain_spec(&lane[l], NF_INSIDE, &s, &seen));
            assert_int_equal(seen.src, SITE);
            if (seen_port[l][i] == 0) {
                if (taken[seen.sport])
                    fail_msg("port %u is another flow's", seen.sport);
                taken[seen.sport] = true;
                seen_port[l][i] = seen.sport;
            }
            assert_int_equal(seen.sport, seen_port[l][i]);
        }
}

static void answer_flows(unsigned to)
{
    struct nft_seen seen;

    for (unsigned i = 0; i < to; i++)
        for (unsigned l = 0; l < LANES; l++) {
            struct nft_spec s = HELP_PACKET(17, REMOTE, 53, SITE, seen_port[l][i], .payload = 20);

            assert_true(help_chain_spec(&lane[l], NF_OUTSIDE, &s, &seen));
            assert_int_equal(seen.dport, 5000 + i);
            assert_int_equal(seen.dst, NFT_IP(10, 1, 2, 3) + l);
        }
}

TEST(test_flows_of_both_lanes_go_on)
{
    open_lanes(LANES_NAT MONITOR);
    send_flows(0, LANES_FLOWS / 2);
    change_lanes(LANES_NAT LIMITER MONITOR);
    send_flows(0, LANES_FLOWS / 2);
    answer_flows(LANES_FLOWS / 2);
    send_flows(LANES_FLOWS / 2, LANES_FLOWS);
    change_lanes(LANES_NAT LIMITER);
    send_flows(0, LANES_FLOWS);
    answer_flows(LANES_FLOWS);
    close_lanes();
}
