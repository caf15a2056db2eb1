/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State of NFs that came from a peer: what they keep beside the state types, as pointers, rules, indices of
 * each other and values that index something, is refused when it is not what they could have made. Damage is
 * planted in flows that were made by packets.
 */
#include "nflib/chain/l3_parts.h"
#include "nflib/chain/neighbour.h"
#include "nflib/session/index.h"
#include "nfs/firewall.h"
#include "nfs/load_balancer.h"
#include "nfs/nat/nat_sessions.h"
#include "tests/help/chain.h"
#include "tests/help/nf.h"
#include "tests/help/test.h"

#define A   NFT_IP(10, 0, 0, 2)
#define B   NFT_IP(198, 51, 100, 7)
#define NAT NFT_IP(203, 0, 113, 1)
#define VIP NFT_IP(203, 0, 113, 10)

static struct help_chain h;

static void look_at_it(void)
{
    content_of_chain(h.region, h.chain);
    content_passes();
}

static void open_one(const char *nfs, const char *rules)
{
    help_chain_open(&h, nfs, rules, 3);
    help_chain_idle(&h, 100 * HELP_SECOND);
    look_at_it();
}

static void send_from(uint8_t side, uint32_t src, uint16_t sport, uint32_t dst, uint16_t dport, uint8_t proto)
{
    struct nft_spec s = HELP_PACKET(proto, src, sport, dst, dport, .tcp = NFT_SYN, .type = 8);

    assert_true(help_chain_spec(&h, side, &s, NULL));
}

/* The root of an NF's state. */
static void *root(const char *name)
{
    return nf_chain_find(h.chain, name)->state;
}

/* ---- sessions ---- */

static void sessions_are_what_packets_make_of_them(const char *name)
{
    const struct nf *nf = nf_chain_find(h.chain, name), *own = NULL;
    struct nf_sessions *t = (struct nf_sessions *)(uintptr_t)nf->env->sessions->table;
    struct nf_session *s = (struct nf_session *)(uintptr_t)nf_session_at(t, 0);
    struct nf_session_bucket *bucket = (struct nf_session_bucket *)(uintptr_t)nf_session_bucket_at(
        t, nf_key_bucket(nf_session_hash(t, &s->key[0]), t->buckets));

    struct nf_session_link *link = (struct nf_session_link *)(uintptr_t)nf_session_link(t, 0);

    own = &nf_sessions_lane(nf)->nfs[0];
    DAMAGED(&t->wheel, NULL, "constant");
    DAMAGED(&t->capacity, UINT32_MAX, "constant");
    DAMAGED(&t->stride, 0, "constant");
    DAMAGED(&t->slot_at[1], 4096, "constant");
    DAMAGED(&t->count, t->count - 1, "sessions are used, expected");
    DAMAGED(&t->touched, UINT32_MAX, "records were used");
    DAMAGED(&t->free, 1, "the list of free records does not end");
    DAMAGED(&t->order[NF_SESSION_TRANSITORY].oldest, 0,
            "session none comes behind none, expected a transitory one");
    DAMAGED(&t->order[NF_SESSION_TRANSITORY].youngest, UINT32_MAX,
            "is the youngest transitory one, expected");
    DAMAGED(&t->order[NF_SESSION_ASSURED].oldest, 1, "is the youngest assured one, expected");
    DAMAGED(&t->hand, 1, "session 0 is the next to be looked at, expected an assured one");
    DAMAGED(&t->hand, UINT32_MAX, "is the next to be looked at, expected an assured one");
    DAMAGED(&link->younger, 1, "transitory one");
    DAMAGED(&link->older, UINT32_MAX, "expected a transitory one that does");
    DAMAGED(&t->in_use[1], t->in_use[1] + 1, "NF 1 is in");
    DAMAGED(&t->walks[1].what, NF_SESSION_CHANGES + 1, "change 8 of sessions of NF 1");
    DAMAGED(&t->walks[2].what, NF_SESSION_END, "change 4 of sessions of NF 2");
    DAMAGED(&t->timeouts[1][0], NF_TIMEOUT_MAX + 1,
            "timeout 0 of NF 1 is 604801 seconds, expected at most 604800");
    DAMAGED(&s->key[0].own[0], NF_TCP_STATES, "which none has");
    DAMAGED(&s->key[0].own[1], NF_TIMEOUT_COUNT, "timeout 6");
    DAMAGED(&s->key[1].own[0], NF_SESSION_NEW, "flags 1");
    DAMAGED(&s->key[1].own[0], NF_SESSION_ONE_KEY, "has two keys, expected one");
    DAMAGED(&s->key[0].own[1], NF_TIMEOUT_OTHER, "timeout 5, flags");
    DAMAGED(&s->key[0].own[0] - 1, 2, "family"); /* of IPv6, in a table that has none, and no family at all */
    DAMAGED(&s->key[0].own[0] - 1, 4, "family");
    DAMAGED(&s->key[0].sport, 9, "session 0"); /* where its key does not lead to */
    DAMAGED(&s->key[1].daddr, 9, "session 0");
    DAMAGED(&s->seen, UINT64_MAX, "was seen at 18446744073709551615, expected 100000000000");
    DAMAGED(&s->members, 1u << 5, "NF 5 is in session 0, expected one with a slot");
    DAMAGED(&s->members, 0, "NF 1 is in");
    DAMAGED(&bucket->passed, 1, "was passed by 1 keys, expected 0");
    ft_audit_suspend(h.region);
    nf_wheel_cancel(own, t->wheel, 0);
    content_is_refused("session 0 has no timer");
    nf_wheel_set(own, t->wheel, 0, 200 * HELP_SECOND);
    nf_wheel_set(own, t->wheel, 9, 200 * HELP_SECOND);
    content_is_refused("session 9 has a timer and is none");
    nf_wheel_cancel(own, t->wheel, 9);
    content_passes();
    ft_audit_resume(h.region);
}

CHAIN_TEST(fragments_point_to_sessions)
{
    struct nf_sessions *t;
    struct nf_noted *noted;
    struct nft_spec first = HELP_PACKET(17, A, 9, B, 53, .fragment = NFT_MORE, .payload = 32);

    open_one("    - monitor: { max_flows: 40 }\n", NULL);
    assert_true(help_chain_spec(&h, NF_INSIDE, &first, NULL));
    content_passes();
    t = (struct nf_sessions *)(uintptr_t)nf_chain_find(h.chain, "monitor")->env->sessions->table;
    noted = (struct nf_noted *)(uintptr_t)nf_map_value(t->fragments, 0);
    assert_int_equal(noted->record, 0);
    DAMAGED(&noted->record, 40, "fragment 0 belongs to session 40");
    DAMAGED(&noted->reply, 2, "reply 2");
    DAMAGED(&t->arrived.first, 0, "1 entries are linked, expected the 0 of the list");
    DAMAGED(&t->arrived.first, 3, "a list of 1 entries does not end with 3");
    ft_audit_suspend(h.region);
    nf_wheel_set(nf_chain_any(h.chain, 0), t->wheel, t->capacity + 2, 200 * HELP_SECOND);
    content_is_refused("fragment 2 has a timer and is none");
    nf_wheel_cancel(nf_chain_any(h.chain, 0), t->wheel, t->capacity + 2);
    nf_list_remove(nf_chain_any(h.chain, 0), t->by_arrival, &t->arrived, 0);
    content_is_refused("fragment 0 is not in the list of arrival");
    nf_list_insert(nf_chain_any(h.chain, 0), t->by_arrival, &t->arrived, 2, NF_NONE);
    nf_list_insert(nf_chain_any(h.chain, 0), t->by_arrival, &t->arrived, 0, 2);
    content_is_refused("fragment 2 is in the list of arrival and is none");
    ft_audit_resume(h.region);
}

/* ---- hosts ---- */

CHAIN_TEST(hosts_are_those_of_their_sessions)
{
    struct nf_session_host *one, *two;
    struct nf_sessions *t;
    uint32_t *of;

    open_one("    - nat: { outside: 203.0.113.1, max_flows: 40, max_fragments: 8 }\n", NULL);
    send_from(NF_INSIDE, A, 1000, B, 53, 17);
    send_from(NF_INSIDE, A, 1001, B, 53, 17);
    send_from(NF_INSIDE, A, 1002, B, 80, 6);
    send_from(NF_INSIDE, A + 1, 1000, B, 53, 17);
    content_passes();
    t = (struct nf_sessions *)(uintptr_t)nf_chain_find(h.chain, "nat")->env->sessions->table;
    one = (struct nf_session_host *)(uintptr_t)nf_map_value(t->hosts, 0);
    two = (struct nf_session_host *)(uintptr_t)nf_map_value(t->hosts, 1);
    of = (uint32_t *)(uintptr_t)nf_session_host_of(t, 0);
    assert_int_equal(one->flows, 3);
    assert_int_equal(one->listed, 3);
    assert_int_equal(two->flows, 1);
    DAMAGED(&t->of_hosts, t->ranks, "constant");
    DAMAGED(&one->flows, 4, "host 0 has 4 flows, expected 3");
    DAMAGED(&one->flows, 0, "host 0 has 0 flows, expected 3");
    DAMAGED(&one->listed, 4, "host 0 has 3 flows in its list, expected 4");
    DAMAGED(&one->listed, 2, "a list has more entries than 2");
    DAMAGED(&one->list.first, 41, "a list has 41 behind 0");
    DAMAGED(&one->list.first, 4, "host 0 has 1 flows in its list, expected 3");
    DAMAGED(&one->list.first, 0, "host 0 has 0 flows in its list, expected 3");
    DAMAGED(of, 1, "session 0 is of host 1, expected the one that began it");
    DAMAGED(of, 7, "session 0 is of host 7");
    DAMAGED(of, UINT32_MAX, "session 0 is of host 4294967295");
    DAMAGED(&t->by_rank[1].first, 0, "1 hosts are in lists by rank, expected 2");
    DAMAGED(&t->by_rank[1].first, 1, "host 0 is among those of rank 1");
    DAMAGED(&t->by_rank[3].first, 2, "");
    DAMAGED(&t->by_rank[0].first, 5, "");
}

/* ---- nat ---- */

CHAIN_TEST(mappings_of_the_nat_and_its_ports_lead_to_each_other)
{
    char taken[64], nobodys[64];
    uint32_t first, free;
    uint16_t second;
    struct nat *nat;
    struct nat_flow *flow;

    open_one("    - nat: { outside: 203.0.113.1, ports: 2000-2099, max_flows: 40, max_fragments: 8 }\n",
             NULL);
    send_from(NF_INSIDE, A, 1000, B, 80, 6);
    send_from(NF_INSIDE, A, 1001, B, 80, 6);
    send_from(NF_INSIDE, A, 1002, B, 53, 17);
    send_from(NF_INSIDE, A, 77, B, 0, 1);
    content_passes();
    nat = root("nat");
    flow = (struct nat_flow *)(uintptr_t)nat_flow_of(
        nf_chain_nf(h.chain, 1), nf_session_at(nf_chain_nf(h.chain, 1)->env->sessions->table, 0));
    for (first = ntohs((uint16_t)flow->port), free = 2000;
         nf_shared_pool_has(nat->ports.pool[0], free - 2000);)
        free++;
    second = (uint16_t)nat_flow_of(nf_chain_nf(h.chain, 1),
                                   nf_session_at(nf_chain_nf(h.chain, 1)->env->sessions->table, 1))
                 ->port;
    snprintf(taken, sizeof(taken), "port %u of address 0, expected a port of its own", ntohs(second));
    snprintf(nobodys, sizeof(nobodys), "port %u of pool 0 is taken and no mapping's",
             (first < free ? first : free) - 2000);
    sessions_are_what_packets_make_of_them("nat");
    DAMAGED(&nat->ports.pool[1], nat->ports.pool[0], "constant");
    DAMAGED(flow, ((struct nat_flow){.port = htons(1999)}), "session 0 has protocol 6 and port 1999");
    DAMAGED(flow, ((struct nat_flow){.port = htons(2100)}),
            "port 2100 of address 0, expected a port of its own");
    DAMAGED(flow, ((struct nat_flow){.port = second}), taken);
    DAMAGED(flow, ((struct nat_flow){.port = htons((uint16_t)free)}), nobodys);
}

/* ---- firewall ---- */

CHAIN_TEST(rules_of_the_firewall_are_those_of_its_file)
{
    struct fw {
        struct fw_rule *rules;
        uint32_t count;
    } * fw;

    open_one("    - firewall: { rules: firewall.rules, max_flows: 40, max_fragments: 8 }\n",
             "deny out tcp from any port 1-3,7 to any port 25\ndefault allow out\n");
    send_from(NF_INSIDE, A, 1000, B, 80, 6);
    content_passes();
    fw = root("firewall");
    sessions_are_what_packets_make_of_them("firewall");
    assert_int_equal(fw->count, 1);
    DAMAGED(&fw->rules, fw->rules - 1, "constant");
    DAMAGED(&fw->count, 4000, "constant");
    DAMAGED(&fw->rules[0].first[1], 0, "constant");
    DAMAGED(&fw->rules[0].proto, FW_ANY, "constant");
    DAMAGED(&fw->rules[2].sides, 0, "constant");
    DAMAGED(&fw->rules[0].action, 2, "rule 1 has action 2, expected at most 1");
    /* What an operator has changed is another thing, and so are hits. */
    assert_int_equal(help_chain_command(&h, "set firewall rule.1=allow"), 0);
    assert_int_equal(help_chain_command(&h, "set firewall udp=77"), 0);
    content_passes();
}

/* ---- monitor ---- */

CHAIN_TEST(flows_of_the_monitor_have_timers)
{
    open_one("    - monitor: { max_flows: 40 }\n", NULL);
    send_from(NF_INSIDE, A, 1000, B, 80, 6);
    content_passes();
    sessions_are_what_packets_make_of_them("monitor");
}

/* ---- load balancer ---- */

CHAIN_TEST(flows_of_the_balancer_and_its_backends_lead_to_each_other)
{
    struct lb *lb;
    struct lb_flow *flow;
    struct lb_backend *backend;
    const struct nf_map *part;

    open_one("    - load_balancer: { vip: 203.0.113.10, port: 80, backends: \"10.0.0.11 10.0.0.12\", "
             "max_flows: 40, "
             "max_fragments: 8 }\n",
             NULL);
    send_from(NF_OUTSIDE, B, 1000, VIP, 80, 6);
    send_from(NF_OUTSIDE, B, 1001, VIP, 80, 6);
    content_passes();
    lb = root("load_balancer");
    part = nf_shared_map_part(lb->backends[NF_IP4], 0);
    flow = (struct lb_flow *)(uintptr_t)lb_flow_of(
        nf_chain_nf(h.chain, 1), nf_session_at(nf_chain_nf(h.chain, 1)->env->sessions->table, 0));
    backend = (struct lb_backend *)(uintptr_t)nf_map_value(part, 0);
    sessions_are_what_packets_make_of_them("load_balancer");
    DAMAGED(&lb->backends[NF_IP4], NULL, "constant");
    DAMAGED(flow, ((struct lb_flow){.number = 63, .addr = flow->addr, .port = flow->port}),
            "session 0 goes to backend 63, expected one that is there");
    DAMAGED(flow, ((struct lb_flow){.number = 255, .addr = flow->addr, .port = flow->port}),
            "goes to backend 255");
    DAMAGED(&flow->addr, B, "session 0 goes to backend 0, expected one that is there");
    DAMAGED(&lb->ended[NF_IP6][0], 1, "flows of backend 0 have ended, expected one that is there");
    DAMAGED(&lb->ended[NF_IP4][2], 1, "flows of backend 2 have ended, expected one that is there");
    DAMAGED(&backend->state, LB_GONE + 1, "backend 0 is in a state that there is not");
}

/* ---- rate limiter, forward ---- */

CHAIN_TEST(the_limiters_clients_are_where_it_made_them)
{
    struct rl {
        struct nf_shared_map *clients;
        struct nf_wheel *idle;
        uint32_t part, timeout;
    } * rl;

    open_one("    - rate_limiter: { clients: inside, pps: 100, max_connections: 5, max_clients: 20, "
             "max_flows: 40 }\n",
             NULL);
    send_from(NF_INSIDE, A, 1000, B, 80, 6);
    content_passes();
    rl = root("rate_limiter");
    sessions_are_what_packets_make_of_them("rate_limiter");
    DAMAGED(&rl->clients, NULL, "constant");
    DAMAGED(&rl->idle, NULL, "constant");
    DAMAGED(&rl->part, 0, "constant");
    DAMAGED(&rl->timeout, UINT32_MAX, "timeout is 4294967295 seconds");
    assert_int_equal(help_chain_command(&h, "set rate_limiter pps=50"), 0);
    content_passes();
}

CHAIN_TEST(the_numbers_of_forward_are_where_it_made_them)
{
    void **fwd;

    open_one("    - forward: { read: true }\n", NULL);
    send_from(NF_INSIDE, A, 1000, B, 80, 6);
    content_passes();
    fwd = root("forward");
    DAMAGED(&fwd[0], NULL, "constant");
    DAMAGED(&fwd[1], fwd, "constant");
}

/* ---- vlan_qos, policer ---- */

CHAIN_TEST(classes_are_those_of_the_file)
{
    const uint32_t none = 9;
    struct nf_shared_map **policer;
    const struct nf_session *s;
    const struct nf *nf;
    uint32_t at = 0;

    open_one("    - vlan_qos: { rules: firewall.rules, max_flows: 40 }\n", "class a\nmatch a tcp\n");
    send_from(NF_INSIDE, A, 1000, B, 80, 6);
    content_passes();
    sessions_are_what_packets_make_of_them("vlan_qos");
    nf = nf_chain_find(h.chain, "vlan_qos");
    s = nf_sessions_next(nf, &at);
    assert_non_null(s);
    DAMAGED((uint32_t *)(uintptr_t)nf_session_slot(nf, s), 2, "session 0 is of class 2, expected at most 1");
    open_one("    - policer: { classes: firewall.rules }\n", "class a dscp any rate 9 pps burst 3\n");
    send_from(NF_INSIDE, A, 1000, B, 80, 17);
    content_passes();
    policer = root("policer");
    DAMAGED(policer, NULL, "constant");
    ft_audit_suspend(h.region);
    nf_map_add(nf_chain_find(h.chain, "policer"), nf_shared_map_part(*policer, 0), &none);
    content_is_refused("a bucket is of class 9, expected one below 1");
    ft_audit_resume(h.region);
}

/* ---- the chain's neighbours ---- */

CHAIN_TEST(neighbours_are_on_ports_that_there_are)
{
    static const char text[] =
        "    - monitor: { max_flows: 40 }\n"
        "interfaces:\n"
        "  - { name: inside, side: inside, address: 10.0.0.1/24, mac: \"02:00:00:00:00:01\" }\n"
        "  - { name: outside, side: outside, address: 203.0.113.2/24, mac: \"02:00:00:00:00:11\" }\n"
        "routes:\n  - { to: 0.0.0.0/0, via: 203.0.113.254 }\n";
    struct nf_map *map;
    uint8_t *first;

    help_chain_open(&h, text, NULL, 3);
    look_at_it();
    /* The lane's arena: its own state, L3's counters, its times, its neighbours. */
    first = h.region->base + (sizeof(struct nf_lane_state) + FT_LINE - 1) / FT_LINE * FT_LINE +
            (NF_L3_COUNTERS * 8 + FT_LINE - 1) / FT_LINE * FT_LINE +
            (sizeof(struct nf_l3_times) + FT_LINE - 1) / FT_LINE * FT_LINE;
    map = (struct nf_map *)(void *)first;
    assert_int_equal(nf_map_count(map), 1); /* the next hop */
    struct nf_neighbour *hop = (struct nf_neighbour *)(uintptr_t)nf_map_value(map, 0);
    assert_int_equal(hop->port, 1);
    DAMAGED(&hop->port, 2, "state: lane 0 lane: neighbour 0 is on port 2, expected one below 2");
    DAMAGED(&hop->port, 255, "neighbour 0 is on port 255");
    DAMAGED(&hop->flags, 0, "0 and 0 neighbours are in lists, expected 1 together and 0 used");
    ft_audit_suspend(h.region);
    for (uint32_t i = 1; i <= 256; i++) {
        uint32_t slot = nf_map_add(nf_chain_find(h.chain, "l3"), map, &i);

        ((struct nf_neighbour *)(uintptr_t)nf_map_value(map, slot))->flags = NF_NEIGHBOUR_HOP;
    }
    content_is_refused("257 neighbours never give way, expected at most 256");
    ft_audit_resume(h.region);
}
