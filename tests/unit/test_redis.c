/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Redis as a state backend, against a real redis-server: how many commands a mode sends and when it waits,
 * when outputs may leave, and what ends it, with one line.
 */
#include "tests/help/test.h"
#include "tests/bench/redis.c"
#include "tests/bench/access.c"
#include "tests/help/chain.h"
#include "tests/help/redis.h"
#include "tests/help/config.h"
#include "understudy/config/config.h"

#include <hiredis/hiredis.h>
#include <signal.h>
#include <sys/wait.h>

#define MON "    - monitor: { max_flows: 300 }\n"
#define FWD "    - forward: { merged: false }\n"

static redisReply *other(const char *command)
{
    redisContext *c = redisConnect("127.0.0.1", watching->server.port);
    assert_true(c && !c->err);
    redisReply *r = redisCommand(c, command);
    assert_non_null(r);
    redisFree(c);
    return r;
}

/* A burst of n packets, each of a flow of its own from `first` on. */
static void burst(struct help_chain *h, uint32_t first, uint32_t n)
{
    static uint8_t frames[NF_BURST_MAX][NFT_FRAME_MAX];
    struct nf_packet packets[NF_BURST_MAX];
    for (uint32_t i = 0; i < n; i++) {
        struct nft_spec s =
            HELP_PACKET(17, NFT_IP(10, 0, 0, 1) + first + i, 1000, NFT_IP(203, 0, 113, 1), 80);
        uint32_t len = nft_frame(&s, frames[i]);
        packets[i] = (struct nf_packet){.data = frames[i], .len = len, .have = len};
    }
    help_chain_run(h, h->now + 1000, packets, n);
}

/*
 * monitor, 8 packets of flows that are known: 8 entries read, unless cached, and written; its counters
 * "packets" to "udp_bytes" are the first six of an array that begins a line: one more SET.
 */
static void check_monitor(struct nd_redis_options o, uint64_t reads, uint64_t writes, uint64_t batches,
                          uint64_t waits)
{
    struct nd_redis *redis = help_redis_open(o);
    struct help_chain h;
    help_chain_open(&h, MON, NULL, 1);
    burst(&h, 0, 8);
    settle_commands(redis);
    struct nd_wire_counts before = redis->wire.counts;
    burst(&h, 0, 8);
    struct nd_wire_counts c = redis->wire.counts;
    assert_int_equal(c.reads - before.reads, reads);
    assert_int_equal(c.writes - before.writes, writes);
    assert_int_equal(c.batches - before.batches, batches);
    assert_int_equal(c.waits - before.waits, waits);
    settle_commands(redis);
    assert_null(nd_redis_lost(redis));
    close_client(redis);
    help_chain_close(&h);
}

TEST(a_burst_has_its_commands_in_batches)
{
    /* Each command alone, and waited for. */
    check_monitor((struct nd_redis_options){.mode = ND_REDIS_SYNC, .batch = 1}, 8, 9, 17, 17);
    check_monitor((struct nd_redis_options){.mode = ND_REDIS_SYNC, .batch = 1, .cache = true}, 0, 9, 9, 9);
    /* All in one write, one wait. */
    check_monitor((struct nd_redis_options){.mode = ND_REDIS_SYNC, .batch = 32}, 8, 9, 1, 1);
    check_monitor((struct nd_redis_options){.mode = ND_REDIS_SYNC, .batch = 5}, 8, 9, 4, 4);
    /* Reads alone are waited for; at batch 1 the writes go out by themselves. */
    check_monitor((struct nd_redis_options){.mode = ND_REDIS_ASYNC, .batch = 1}, 8, 9, 17, 8);
    check_monitor((struct nd_redis_options){.mode = ND_REDIS_ASYNC, .batch = 1, .cache = true}, 0, 9, 9, 0);
    /* Nothing is waited for, and nothing written before the batch is full. */
    check_monitor((struct nd_redis_options){.mode = ND_REDIS_ASYNC, .batch = 32, .cache = true}, 0, 9, 0, 0);
    check_monitor((struct nd_redis_options){.mode = ND_REDIS_ASYNC, .batch = 8, .cache = true}, 0, 9, 1, 0);
}

/* forward: one word, added to by each packet; besides it one line with its last value, and two counters. */
static void check_forward(bool offload, bool cache, uint64_t reads, uint64_t writes)
{
    struct nd_redis *redis = help_redis_open(
        (struct nd_redis_options){.mode = ND_REDIS_SYNC, .batch = 64, .offload = offload, .cache = cache});
    struct help_chain h;
    help_chain_open(&h, FWD, NULL, 1);
    burst(&h, 0, 10);
    struct nd_wire_counts c = redis->wire.counts;
    assert_int_equal(c.reads, reads);
    assert_int_equal(c.writes, writes + 2);
    redisReply *r = other("GET 1.0:");
    assert_string_equal(r->str, "10");
    freeReplyObject(r);
    close_client(redis);
    help_chain_close(&h);
}

TEST(an_offloaded_addition_is_one_command)
{
    check_forward(true, false, 0, 10);
    check_forward(true, true, 0, 10);
    check_forward(false, false, 10, 10);
    check_forward(false, true, 0, 10);
}

/* What may leave when: at once, when answered, or when a batch that spans bursts is full. */
TEST(outputs_wait_for_answers)
{
    static const struct {
        struct nd_redis_options o;
        uint64_t confirmed[3]; /* after bursts 1, 2, 3, each of 8 new flows: 8 reads, 10 writes */
    } cases[] = {
        {{.mode = ND_REDIS_SYNC, .batch = 2048}, {1, 2, 3}},
        {{.mode = ND_REDIS_SYNC, .batch = 2048, .across = true}, {0, 0, 0}},
        /* The 36th command is the last of burst 2. */
        {{.mode = ND_REDIS_SYNC, .batch = 36, .across = true}, {0, 2, 2}},
        /* The 35th is not: what has been answered is burst 1 and a part. */
        {{.mode = ND_REDIS_SYNC, .batch = 35, .across = true}, {0, 1, 1}},
        {{.mode = ND_REDIS_ASYNC, .batch = 2048, .across = true}, {0, 0, 0}},
        {{.mode = ND_REDIS_ASYNC, .batch = 2048, .across = true, .cache = true}, {1, 2, 3}},
    };
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct nd_redis *redis = help_redis_open(cases[i].o);
        struct help_chain h;
        help_chain_open(&h, MON, NULL, 1);
        for (uint32_t b = 0; b < 3; b++) {
            burst(&h, 8 * b, 8);
            if (redis->confirmed != cases[i].confirmed[b])
                fail_msg("case %u, burst %u: %lu", i, b + 1, redis->confirmed);
        }
        settle_commands(redis);
        assert_int_equal(redis->confirmed, 3);
        close_client(redis);
        help_chain_close(&h);
    }
}

/* Somebody else writes to the database: the next read of it ends it. */
TEST(another_value_is_seen)
{
    for (uint32_t batch = 1; batch <= 64; batch += 63) {
        struct nd_redis *redis = help_redis_open(
            (struct nd_redis_options){.mode = ND_REDIS_SYNC, .batch = batch, .offload = true});
        struct help_chain h;
        help_chain_open(&h, MON FWD, NULL, 1);
        burst(&h, 0, 8);
        assert_int_equal(redis->confirmed, 1);
        freeReplyObject(other("SET 2.0: 1000"));
        burst(&h, 0, 8);
        assert_non_null(nd_redis_lost(redis));
        assert_non_null(strstr(nd_redis_lost(redis), "expected 9 as the region has, got 1001"));
        assert_int_equal(redis->confirmed, 1);
        burst(&h, 0, 8); /* goes on, and nothing leaves */
        assert_int_equal(redis->confirmed, 1);
        close_client(redis);
        help_chain_close(&h);
    }
}

/* An entry is changed or removed behind our back: the next lookup of it ends it. */
static void check_entry(const char *command, const char *expected)
{
    struct nd_redis *redis = help_redis_open((struct nd_redis_options){.mode = ND_REDIS_ASYNC, .batch = 1});
    struct help_chain h;
    help_chain_open(&h, MON, NULL, 1);
    burst(&h, 0, 8);
    settle_commands(redis);
    redisReply *keys = other("KEYS 0.0:*");
    assert_int_equal(keys->elements, 8);
    redisContext *c = redisConnect("127.0.0.1", redis->server.port);
    freeReplyObject(redisCommand(c, command, keys->element[3]->str, (size_t)keys->element[3]->len));
    redisFree(c);
    freeReplyObject(keys);
    burst(&h, 0, 8);
    assert_non_null(nd_redis_lost(redis));
    assert_non_null(strstr(nd_redis_lost(redis), expected));
    close_client(redis);
    help_chain_close(&h);
}

TEST(a_changed_entry_is_seen)
{
    check_entry("DEL %b", "expected what the region has, got no such key");
    check_entry("SETRANGE %b 47 x", "expected what the region has, got other bytes");
    check_entry("APPEND %b x", "expected what the region has, got other bytes");
}

/* The server dies between two bursts: one line, nothing confirmed, and everything can be closed. */
TEST(a_dead_server_confirms_nothing)
{
    static const struct nd_redis_options tried[] = {
        {.mode = ND_REDIS_SYNC, .batch = 32},
        {.mode = ND_REDIS_SYNC, .batch = 1, .cache = true},
        {.mode = ND_REDIS_ASYNC, .batch = 1, .cache = true},
    };
    for (unsigned i = 0; i < 3; i++) {
        struct nd_redis *redis = help_redis_open(tried[i]);
        struct help_chain h;
        help_chain_open(&h, MON, NULL, 1);
        burst(&h, 0, 8);
        kill(redis->server.pid, SIGKILL);
        waitpid(redis->server.pid, NULL, 0);
        redis->server.pid = 0;
        for (uint32_t b = 0; b < 3; b++)
            burst(&h, 8, 8);
        assert_non_null(nd_redis_lost(redis));
        assert_null(strchr(nd_redis_lost(redis), '\n'));
        assert_true(redis->confirmed < 4);
        close_client(redis);
        help_chain_close(&h);
    }
}

TEST(impossible_options_and_a_second_backend_are_refused)
{
    struct nd_redis_options o = {.batch = 0};
    struct nd_redis *redis, *second;
    char set[ND_REDIS_SETTINGS];
    assert_int_equal(nd_redis_open(&redis, &o, set, &help_fault), FT_EINVAL);
    o.batch = ND_REDIS_BATCH_MAX + 1;
    assert_int_equal(nd_redis_open(&redis, &o, set, &help_fault), FT_EINVAL);
    assert_string_equal(help_fault.text, "redis batch is 4097, expected a number from 1 to 4096");
    o.batch = 1;
    redis = help_redis_open(o);
    assert_int_equal(nd_redis_open(&second, &o, set, &help_fault), FT_EBUSY); /* one backend a process */
    close_client(redis);
}

/* Nobody there: the port of a server that has ended. */
TEST(a_connection_to_nobody_is_refused)
{
    struct nd_redis_server gone;
    struct nd_wire wire;
    assert_int_equal(nd_redis_server_start(&gone, &help_fault), 0);
    nd_redis_server_stop(&gone);
    assert_int_equal(nd_wire_open(&wire, gone.port, &help_fault), FT_ENOENT);
    assert_non_null(strstr(help_fault.text, "Connection refused, expected a server there"));
    nd_wire_close(&wire);
}

/* A server of our own comes and goes with the backend, and dies with a process that is killed. */
TEST(a_server_of_its_own_ends_with_the_connection)
{
    struct nd_redis_options o = {.batch = 1};
    struct ft_fault fault = {""};
    struct nd_redis *redis;
    char set[ND_REDIS_SETTINGS];
    int pids[2], pid = 0;
    assert_int_equal(nd_redis_open(&redis, &o, set, &fault), 0);
    uint16_t port = redis->server.port;
    assert_true(port > 0);
    assert_non_null(strstr(set, "--save \"\" --appendonly no"));
    close_client(redis);
    redisContext *c = redisConnect("127.0.0.1", port);
    assert_true(c && c->err);
    redisFree(c);

    assert_int_equal(pipe(pids), 0);
    pid_t child = fork();
    if (child == 0) {
        struct nd_redis_server own;
        if (nd_redis_server_start(&own, &fault) == 0 &&
            write(pids[1], &own.pid, sizeof(own.pid)) == sizeof(own.pid))
            pause();
        _exit(1);
    }
    assert_int_equal(read(pids[0], &pid, sizeof(pid)), sizeof(pid));
    assert_int_equal(kill(pid, 0), 0);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    /* Its parent is gone: whoever reaps orphans does so in its own time, the pipe's end tells sooner. */
    close(pids[1]);
    char rest;
    assert_int_equal(read(pids[0], &rest, 1), 0);
    close(pids[0]);
}

/* Times are what they are; that all were taken, and that a way over the loopback and back is longer than a
 * lookup in memory, holds on any machine. */
TEST(remote_access_takes_longer_than_local)
{
    struct access_times a = {.count = 0};
    help_done(measure_accesses(&a, 5000, 200, &help_fault) < 0);
    assert_int_equal(a.count, ACCESSES);
    for (unsigned i = 0; i < a.count; i++)
        assert_true(a.times[i].p50 > 0 && a.times[i].p99 >= a.times[i].p50 && a.times[i].mean > 0);
    const struct times *read = &a.times[7], *write = &a.times[8];
    assert_string_equal(a.times[0].where, "map");
    assert_string_equal(read->where, "redis, sync");
    assert_string_equal(write->access, "write");
    assert_true(read->p50 > a.times[0].p50 && write->p50 > a.times[1].p50);
    print_message("# ns, median: local %.0f and %.0f, remote %.0f, %.0f and %.0f\n", a.times[0].p50,
                  a.times[1].p50, read->p50, write->p50, a.times[9].p50);
}

/* The section of a file, which only the bench reads. */
static struct nd_redis_options read_section(const char *text)
{
    struct nd_redis_options options;
    struct nd_config *config = help_config_of(text, 0);
    help_done(nd_redis_read(&options, config, &help_fault) < 0);
    return options;
}

TEST(a_file_may_say_how_it_is_set)
{
    struct nd_redis_options o = read_section("chain: {name: x, nfs: [monitor]}\n");
    assert_int_equal(o.mode, ND_REDIS_SYNC);
    assert_false(o.cache);
    assert_true(o.offload);
    assert_false(o.across);
    assert_int_equal(o.batch, 32);
    o = read_section("chain: {name: x, nfs: [monitor]}\n"
                     "redis: {mode: async, cache: true, batch: 2048, offload: false}\n");
    assert_int_equal(o.mode, ND_REDIS_ASYNC);
    assert_true(o.cache);
    assert_false(o.offload);
    assert_int_equal(o.batch, 2048);
}

TEST(a_section_is_refused_by_position)
{
    static const struct {
        const char *section, *line;
    } cases[] = {
        {"redis: { batch: 4097 }\n", "t.yaml:2: redis batch is 4097, expected a number from 1 to 4096"},
        {"redis: { mode: later }\n", "t.yaml:2: redis mode is later, expected sync or async"},
        {"redis: { address: 10.1.2.3:6379 }\n",
         "t.yaml:2: unknown key \"address\" in redis, expected one of mode, cache, batch, offload"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct nd_redis_options options;
        struct nd_config *config;
        struct ft_fault fault = {""};
        const char *text = help_print("chain: {name: x, nfs: [monitor]}\n%s", cases[i].section);
        config = help_config_of(text, 0);
        assert_int_equal(nd_redis_read(&options, config, &fault), FT_EMALFORMED);
        assert_non_null(strstr(fault.text, cases[i].line));
    }
}

TESTS_SHARE(NULL, help_config_clean)
