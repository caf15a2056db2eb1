/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every NF with its state in a real redis-server: the same outputs and the same region as without, in every
 * mode; and what Redis holds at the end, read by another connection, is what the region holds.
 */
#include "tests/help/test.h"
#include "nflib/session/table.h"
#include "nfs/load_balancer.h"
#include "nfs/nat/nat_sessions.h"
#include "tests/bench/redis.c"
#include "tests/help/chain.h"
#include "tests/help/redis.h"

#include <hiredis/hiredis.h>

#define BURSTS 120u
#define NAT    "    - nat: { outside: 198.51.100.1, max_flows: 256, ports: 2000-2127, max_fragments: 64 }\n"
#define FW     "    - firewall: { rules: firewall.rules, max_flows: 512, max_fragments: 64 }\n"
#define MON    "    - monitor: { max_flows: 300, timeout: 20 }\n"
#define LB                                                                                                   \
    "    - load_balancer: { vip: 203.0.113.9, proto: both, clients: inside, max_flows: 256, max_fragments: " \
    "64, "                                                                                                   \
    "backends: \"203.0.113.1, 203.0.113.2:81\" }\n"
#define RL                                                                                                   \
    "    - rate_limiter: { clients: inside, pps: 50, burst_packets: 20, bps: 100000, max_connections: 9, "   \
    "max_clients: 2000, max_flows: 256, timeout: 20 }\n"
#define FWD   "    - forward: { read: true }\n"
#define RULES "deny out tcp to any port 25\nallow in icmp type 8\ndefault allow out\ndefault deny in\n"

/* ---- traffic ------------------------------------------------------------------------------------ */

static uint64_t sum_up(uint64_t sum, const void *data, uint32_t n)
{
    const uint8_t *at = data;
    for (uint32_t i = 0; i < n; i++)
        sum = (sum ^ at[i]) * 0x100000001b3u;
    return sum;
}

/* From inside: a few clients to a few servers, ports drawn from few, so that flows meet again; from outside:
 * answers to ports that may be mapped. */
static struct nft_spec draw_packet(uint64_t *seq, uint8_t side)
{
    static const uint8_t protos[] = {6, 6, 6, 17, 17, 1};
    static const uint8_t flags[] = {NFT_SYN, NFT_ACK, NFT_ACK | NFT_PSH, NFT_FIN | NFT_ACK, NFT_RST};
    static const uint16_t ports[] = {25, 80, 81, 443};
    uint32_t client = NFT_IP(10, 0, 0, 1) + help_below(seq, 12);
    uint32_t server = NFT_IP(203, 0, 113, 1) + help_below(seq, 3) * 4;
    struct nft_spec s = {.src = client, .dst = server, .payload = (uint16_t)help_below(seq, 60)};
    s.proto = protos[help_below(seq, sizeof(protos))];
    s.tcp = flags[help_below(seq, sizeof(flags))];
    s.type = 8;
    s.sport = (uint16_t)(3000 + help_below(seq, 24));
    s.dport = ports[help_below(seq, 4)];
    s.ip_id = (uint16_t)help_below(seq, 40);
    if (s.proto == 17 && help_below(seq, 8) == 0)
        s.fragment = help_below(seq, 2) ? NFT_MORE : 8;
    if (side == NF_OUTSIDE) {
        s.src = server;
        s.dst = help_below(seq, 2) ? NFT_IP(198, 51, 100, 1) : client;
        s.sport = s.dport;
        s.dport = (uint16_t)(2000 + help_below(seq, 200));
        s.type = 0;
    }
    return s;
}

static uint64_t one_burst(struct help_chain *h, uint64_t *seq, uint64_t now, uint64_t sum)
{
    static uint8_t frames[NF_BURST_MAX][NFT_FRAME_MAX];
    struct nf_packet packets[NF_BURST_MAX];
    uint32_t n = help_below(seq, NF_BURST_MAX + 1);
    for (uint32_t i = 0; i < n; i++) {
        uint8_t side = help_below(seq, 3) == 0 ? NF_OUTSIDE : NF_INSIDE;
        struct nft_spec spec = draw_packet(seq, side);
        uint32_t len = nft_frame(&spec, frames[i]);
        packets[i] = (struct nf_packet){.data = frames[i], .len = len, .have = len, .side = side};
    }
    help_chain_run(h, now, packets, n);
    for (uint32_t i = 0; i < n; i++) {
        uint8_t fate[3] = {packets[i].drop, packets[i].drop_nf, packets[i].out_port};
        sum = sum_up(sum, fate, sizeof(fate));
        sum = sum_up(sum, packets[i].data, packets[i].drop ? 0 : packets[i].len);
    }
    return sum;
}

/* Some of the bursts come after a pause in which flows end. */
static uint64_t drive(struct help_chain *h, uint64_t seed)
{
    uint64_t seq = seed, sum = 0;
    for (uint32_t b = 0; b < BURSTS; b++) {
        uint64_t pause = help_below(&seq, 10) == 0 ? help_below(&seq, 90) * HELP_SECOND : 1000000;
        sum = one_burst(h, &seq, h->now + pause, sum);
        if (b == BURSTS / 2)
            sum += (uint64_t)help_chain_command(h, "clear monitor");
    }
    return sum;
}

/* ---- another look at Redis ---------------------------------------------------------------------- */

static redisContext *eye;

static redisReply *ask(const char *verb, const void *a, size_t a_len, const char *b, const char *c)
{
    const char *argv[4] = {verb, a, b, c};
    size_t len[4] = {strlen(verb), a_len, b ? strlen(b) : 0, c ? strlen(c) : 0};
    redisReply *r = redisCommandArgv(eye, c ? 4 : b ? 3 : 2, argv, len);
    assert_non_null(r);
    return r;
}

static bool holds(const void *key, size_t key_len, const void *value, size_t len)
{
    redisReply *r = ask("GET", key, key_len, NULL, NULL);
    bool same = r->type == REDIS_REPLY_STRING && r->len == len && memcmp(r->str, value, len) == 0;
    freeReplyObject(r);
    return same;
}

/* Every entry of the map is there with its value, and no other key begins like that. */
static void check_map(const char *prefix, const struct nf_map *map, uint32_t key_size, uint32_t value_size)
{
    char key[64], all[32];
    uint32_t entries = 0;
    size_t at = strlen(prefix);
    memcpy(key, prefix, at);
    for (uint32_t slot = 0; (slot = nf_map_next(map, slot)) != NF_NONE; slot++, entries++) {
        memcpy(key + at, nf_map_key(map, slot), key_size);
        assert_true(holds(key, at + key_size, nf_map_value(map, slot), value_size));
    }
    snprintf(all, sizeof(all), "%s*", prefix);
    redisReply *r = ask("KEYS", all, strlen(all), NULL, NULL);
    assert_int_equal(r->elements, entries);
    freeReplyObject(r);
}

/* A line of an NF's arena, or of zeros. */
static void check_line(const struct nf *nf, const void *p)
{
    static const uint8_t zeros[FT_LINE];
    const uint8_t *arena = nf->region->base + nf->arena->offset;
    uint32_t line = (uint32_t)(((const uint8_t *)p - arena) / FT_LINE);
    char key[32];
    int at = snprintf(key, sizeof(key), "%u.raw:", nf->index);
    memcpy(key + at, &line, sizeof(line));
    const uint8_t *there = arena + (uint64_t)line * FT_LINE;
    if (memcmp(there, zeros, FT_LINE) != 0)
        assert_true(holds(key, (size_t)at + sizeof(line), there, FT_LINE));
}

static void check_counters(const struct nf *nf)
{
    for (unsigned i = 0; nf->module->counters[i]; i++)
        check_line(nf, &nf->counters[i]);
}

/* ---- what each NF is known to keep -------------------------------------------------------------- */

/* Every session that the NF is in, by its first key, as the region has it. */
static void check_sessions(const struct nf *nf)
{
    const struct nf_sessions *t = nf->env->sessions->table;
    const struct nf_session *s;
    assert_true(nf_sessions_count(nf) > 0);
    for (uint32_t at = 0; (s = nf_sessions_next(nf, &at)); at++) {
        char key[4 + offsetof(struct nf_tuple, own)] = "0.0:";
        memcpy(key + 4, &s->key[0], sizeof(key) - 4);
        assert_true(holds(key, sizeof(key), s, t->stride));
    }
    redisReply *r = ask("KEYS", "0.0:*", 5, NULL, NULL);
    assert_int_equal(r->elements, t->count);
    freeReplyObject(r);
}

static void check_nat(const struct help_chain *h)
{
    const struct nf *nf = nf_chain_find(h->chain, "nat");
    const struct nat *nat = nf->state;
    const struct nf_session *s;
    char name[16];
    check_sessions(nf);
    for (unsigned i = 0; i < NAT_PROTOS; i++) {
        uint32_t mapped = 0;
        for (uint32_t at = 0; (s = nf_sessions_next(nf, &at)); at++)
            mapped += nat_proto(s->key[0].proto) == i;
        snprintf(name, sizeof(name), "1.%u:", i);
        redisReply *r = ask("SMEMBERS", name, strlen(name), NULL, NULL);
        assert_int_equal(r->type, REDIS_REPLY_ARRAY);
        assert_int_equal(r->elements, 128 - mapped);
        for (size_t k = 0; k < r->elements; k++)
            assert_false(
                nf_shared_pool_has(nat->ports.pool[i], (uint32_t)strtoul(r->element[k]->str, NULL, 10)));
        freeReplyObject(r);
    }
    check_counters(nf);
}

static void check_firewall(const struct help_chain *h)
{
    const struct nf *nf = nf_chain_find(h->chain, "firewall");
    check_sessions(nf);
    check_counters(nf);
}

static void check_monitor(const struct help_chain *h)
{
    const struct nf *nf = nf_chain_find(h->chain, "monitor");
    check_sessions(nf);
    check_counters(nf);
}

static void check_balancer(const struct help_chain *h)
{
    const struct nf *nf = nf_chain_find(h->chain, "load_balancer");
    const struct lb *lb = nf->state;
    check_sessions(nf);
    check_map("1.0:", nf_shared_map_part(lb->backends[NF_IP4], 0), sizeof(struct lb_end),
              sizeof(struct lb_backend));
    check_counters(nf);
}

static void check_limiter(const struct help_chain *h)
{
    const struct nf *nf = nf_chain_find(h->chain, "rate_limiter");
    struct client {
        struct nf_bucket packets, bits;
        uint64_t seen, connections;
    };
    const struct {
        struct nf_shared_map *clients;
    } *rl = nf->state;
    uint32_t clients = 0;
    char prefix[16];
    for (uint32_t i = 0; i < nf_shared_map_shards(rl->clients); i++) {
        const struct nf_map *part = nf_shared_map_part(rl->clients, i);
        clients += nf_map_count(part);
        snprintf(prefix, sizeof(prefix), "1.%u:", i);
        check_map(prefix, part, sizeof(uint32_t), sizeof(struct client));
    }
    assert_true(clients > 0);
    check_sessions(nf);
    check_counters(nf);
}

static void check_forward(const struct help_chain *h)
{
    const struct nf *nf = nf_chain_find(h->chain, "forward");
    char text[24];
    int len = snprintf(text, sizeof(text), "%lu", help_chain_counter(h, "forward", "packets"));
    assert_true(holds("1.0:", 4, text, (size_t)len));
    check_line(nf, nf->state);
    check_counters(nf);
}

/* ---- all of it ---------------------------------------------------------------------------------- */

static const struct {
    const char *name, *nfs;
    void (*check)(const struct help_chain *h);
} chains[] = {
    {"nat", NAT, check_nat},
    {"firewall", FW, check_firewall},
    {"monitor", MON, check_monitor},
    {"load_balancer", LB, check_balancer},
    {"rate_limiter", RL, check_limiter},
    {"forward", FWD, check_forward},
    {"all of them", NAT FW MON LB RL FWD, check_nat},
};

static const struct nd_redis_options tried[] = {
    {.mode = ND_REDIS_SYNC, .batch = 1},
    {.mode = ND_REDIS_SYNC, .batch = 32, .offload = true},
    {.mode = ND_REDIS_SYNC, .batch = 7, .cache = true},
    {.mode = ND_REDIS_ASYNC, .batch = 1, .offload = true},
    {.mode = ND_REDIS_ASYNC, .batch = 64},
    {.mode = ND_REDIS_ASYNC, .batch = 1, .cache = true, .offload = true},
    {.mode = ND_REDIS_ASYNC, .batch = 2048, .cache = true},
    {.mode = ND_REDIS_SYNC, .batch = 2048, .across = true},
};
#define MODES (sizeof(tried) / sizeof(tried[0]))

static void with_redis(unsigned chain, const struct nd_redis_options *options, uint64_t seed, uint64_t sum,
                       uint64_t digest)
{
    struct nd_redis *redis = help_redis_open(*options);
    struct help_chain h;
    help_chain_open(&h, chains[chain].nfs, RULES, seed);
    uint64_t got = drive(&h, seed);
    settle_commands(redis);
    if (nd_redis_lost(redis))
        fail_msg("%s: mode %u, batch %u: %s", chains[chain].name, options->mode, options->batch,
                 nd_redis_lost(redis));
    assert_int_equal(got, sum);
    assert_int_equal(help_chain_digest(&h), digest);
    assert_int_equal(redis->confirmed, h.burst);
    eye = redisConnect("127.0.0.1", redis->server.port);
    assert_true(eye && !eye->err);
    chains[chain].check(&h);
    redisFree(eye);
    close_client(redis);
    help_chain_close(&h);
}

static void same_with_redis(unsigned chain)
{
    for (uint64_t seed = 1; seed <= 2; seed++) {
        struct help_chain h;
        help_chain_open(&h, chains[chain].nfs, RULES, seed);
        uint64_t sum = drive(&h, seed), digest = help_chain_digest(&h);
        help_chain_close(&h);
        for (unsigned m = seed - 1; m < MODES; m += 2) /* each way with one of the seeds */
            with_redis(chain, &tried[m], seed, sum, digest);
    }
}

#define TEST_CHAIN(name, index)                                                                              \
    TEST(name)                                                                                               \
    {                                                                                                        \
        same_with_redis(index);                                                                              \
    }
TEST_CHAIN(nat_in_redis_is_the_same, 0)
TEST_CHAIN(firewall_in_redis_is_the_same, 1)
TEST_CHAIN(monitor_in_redis_is_the_same, 2)
TEST_CHAIN(load_balancer_in_redis_is_the_same, 3)
TEST_CHAIN(rate_limiter_in_redis_is_the_same, 4)
TEST_CHAIN(forward_in_redis_is_the_same, 5)
TEST_CHAIN(all_of_them_in_redis_are_the_same, 6)
