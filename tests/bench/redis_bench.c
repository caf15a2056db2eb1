/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench-redis bench: as `understudy bench`, and --compare also knows chains whose state is in Redis:
 * redis-sync, redis-async, with -cache or -rmw (counters are read, changed, written), with :BATCH.
 * bench-redis access: times of single accesses (tests/bench/access.c).
 */
#include "tests/bench/access.h"
#include "tests/bench/redis.h"
#include "understudy/config/config.h"
#include "understudy/config/options.h"
#include "understudy/bench/bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_MOST 2048u

static const struct kind {
    const char *name;
    enum nd_redis_mode mode;
    bool cache, rewrites; /* rewrites: counters are read, changed, written */
} kinds[] = {
    {"redis-sync", ND_REDIS_SYNC, false, false},      {"redis-async", ND_REDIS_ASYNC, false, false},
    {"redis-sync-cache", ND_REDIS_SYNC, true, false}, {"redis-async-cache", ND_REDIS_ASYNC, true, false},
    {"redis-sync-rmw", ND_REDIS_SYNC, false, true},   {"redis-async-rmw", ND_REDIS_ASYNC, false, true},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* The file's batch and offload, where the name says nothing else; its server is not asked, each run has one
 * of its own. */
static int name_redis(struct nd_bench_protection *out, const char *name, const struct nd_config *config,
                      struct ft_fault *fault)
{
    static struct nd_redis_options made[ND_BENCH_KINDS];
    static unsigned count;
    size_t length = strcspn(name, ":");
    const char *after = name[length] ? name + length + 1 : NULL;
    struct nd_redis_options *redis = &made[count];
    const struct kind *k = kinds;
    uint64_t batch;
    int error;

    while (k < kinds + KINDS && (strlen(k->name) != length || strncmp(k->name, name, length) != 0))
        k++;
    if (k == kinds + KINDS || count == ND_BENCH_KINDS)
        return FT_ENOENT;
    error = nd_redis_read(redis, config, fault);
    if (error)
        return error;
    batch = redis->batch < BATCH_MOST ? redis->batch : BATCH_MOST;
    if (after && (!nd_options_number(after, &batch) || batch < 1 || batch > BATCH_MOST))
        return ft_fail(fault, FT_EINVAL, "--compare %.40s, expected a batch from 1 to %u", name, BATCH_MOST);
    redis->mode = k->mode;
    redis->cache = k->cache;
    redis->offload &= !k->rewrites;
    redis->across = true;
    redis->batch = (uint32_t)batch;
    snprintf(out->name, sizeof(out->name), "%s:%lu", k->name, batch);
    out->peer = redis;
    count++;
    out->protect = config->protect;
    out->protect.asked = ND_MODE_OFF;
    out->protect.standby = ND_STANDBY_HOT;
    return nd_config_decide(&out->protect, &config->chain, fault);
}

/* ---- in a node's process ------------------------------------------------------------------------- */

static struct nd_redis *redis; /* ends with the process */
static struct nd_io ports;     /* the bench's own */

static int open_redis(const void *peer, char settings[ND_BENCH_SETTINGS], struct ft_fault *fault)
{
    return nd_redis_open(&redis, peer, settings, fault);
}

static uint32_t receive_beside_redis(void *ctx, unsigned lane, unsigned device, struct nd_frame frames[],
                                     uint32_t max)
{
    nd_redis_asked(redis);
    return ports.receive(ctx, lane, device, frames, max);
}

static uint32_t send_answered(void *ctx, unsigned lane, unsigned device, const struct ft_held held[],
                              uint32_t n)
{
    n = nd_redis_may_leave(redis, held, n);
    return n ? ports.send(ctx, lane, device, held, n) : 0;
}

static void take_ports(struct nd_io *io)
{
    ports = *io;
    io->receive = receive_beside_redis;
    io->send = send_answered;
}

static const char *why_lost(void)
{
    return nd_redis_lost(redis);
}

static const struct nd_bench_peer peer = {
    .named = name_redis, .open = open_redis, .take_ports = take_ports, .lost = why_lost};

int main(int argc, char **argv)
{
    nd_bench_peer = &peer;
    if (argc > 1 && strcmp(argv[1], "access") == 0)
        return nd_bench_access(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "bench") == 0)
        return nd_cmd_bench(argc - 1, argv + 1);
    fprintf(stderr, "bench-redis: expected bench or access, and its options\n");
    return ND_USAGE;
}
