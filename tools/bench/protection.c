/* SPDX-License-Identifier: Apache-2.0 */
/* What the bench compares, by name, and how each is set; see bench.h. */
#include "tools/bench/bench.h"

#include <stdlib.h>
#include <string.h>

static const struct kind {
    const char *name;
    enum nd_mode mode;
    int standby; /* -1: the one that is asked for */
    uint32_t commit_interval_us, checkpoint_ms;
    bool unreduced;
    const char *settings; /* NULL: what the mode is decided to */
} kinds[] = {
    {"off", ND_MODE_OFF, ND_STANDBY_HOT, 0, 0, false, "no replication; the chain on its region, untracked"},
    {"log", ND_MODE_LOG, -1, 0, 0, false, "every burst recorded"},
    {"delta", ND_MODE_DELTA, -1, 0, 0, false, "changed lines at every cut"},
    {"auto", ND_MODE_AUTO, -1, 0, 0, false, NULL},
    {"checkpoint", ND_MODE_DELTA, ND_STANDBY_HOT, 1000, 0, false,
     "as Pico Replication: deltas alone, one each millisecond, outputs held until they are stored"},
    {"ftmb", ND_MODE_LOG, ND_STANDBY_WARM, 0, 200, true,
     "as FTMB: every access to a shared object logged, nothing reduced; a checkpoint each 200 ms, replay "
     "after a failure only"},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

int nd_bench_protect(struct nd_protect *out, const struct nd_config *config, enum nd_mode mode,
                     enum nd_standby standby, struct ft_fault *fault)
{
    *out = config->protect;
    out->asked = mode;
    out->standby = standby;
    return nd_config_decide(out, &config->chain, fault);
}

static void describe(struct nd_bench_protection *p, const struct kind *k)
{
    const struct nd_protect *d = &p->protect;
    char mode[ND_MODE_TEXT], cut[40] = "", checkpoint[80] = "";

    if (d->deltas)
        snprintf(cut, sizeof(cut), "; cut each %u us", d->commit_interval_us);
    if (d->pair && d->stores)
        snprintf(checkpoint, sizeof(checkpoint), "; checkpoint each %u ms, %u MB for records",
                 d->checkpoint_ms, d->pending_mb);
    snprintf(p->settings, sizeof(p->settings), "%.300s%s%s",
             k->settings ? k->settings : nd_mode_text(mode, d->mode, nd_modes[d->asked], d->decided_by), cut,
             checkpoint);
}

static const struct peer {
    const char *name;
    uint32_t mode; /* enum nd_redis_mode */
    bool cache, rewrites;
} peers[] = {
    {"redis-sync", ND_REDIS_SYNC, false, false},      {"redis-async", ND_REDIS_ASYNC, false, false},
    {"redis-sync-cache", ND_REDIS_SYNC, true, false}, {"redis-async-cache", ND_REDIS_ASYNC, true, false},
    {"redis-sync-rmw", ND_REDIS_SYNC, false, true}, /* counters are read, changed, written */
    {"redis-async-rmw", ND_REDIS_ASYNC, false, true},
};
#define PEERS (sizeof(peers) / sizeof(peers[0]))

/* 1: the name is no peer's. The file's batch and offload, where the name says nothing else; its server is not
 * asked, each run has one of its own. */
static int read_peer(struct nd_bench_protection *out, const char *name, const struct nd_config *config,
                     struct ft_fault *fault)
{
    size_t length = strcspn(name, ":");
    const struct peer *p = NULL;
    unsigned long batch = config->redis.batch < ND_BENCH_BATCH ? config->redis.batch : ND_BENCH_BATCH;
    char *end;

    for (size_t i = 0; i < PEERS; i++)
        if (strlen(peers[i].name) == length && strncmp(peers[i].name, name, length) == 0)
            p = &peers[i];
    if (!p)
        return 1;
    if (name[length]) {
        const char *text = name + length + 1;

        batch = strtoul(text, &end, 10);
        if (*text < '0' || *text > '9' || strlen(text) > 9 || *end || batch < 1 || batch > ND_BENCH_BATCH)
            return ft_fail(fault, FT_EINVAL, "--compare %.40s, expected a batch from 1 to %u", name,
                           ND_BENCH_BATCH);
    }
    out->peer = true;
    out->redis = config->redis;
    out->redis.mode = p->mode;
    out->redis.cache = p->cache;
    out->redis.offload = config->redis.offload && !p->rewrites;
    out->redis.across = true;
    out->redis.batch = (uint32_t)batch;
    out->redis.port = 0;
    snprintf(out->name, sizeof(out->name), "%.*s:%lu", (int)length, name, batch);
    return nd_bench_protect(&out->protect, config, ND_MODE_OFF, ND_STANDBY_HOT, fault);
}

int nd_bench_protection(struct nd_bench_protection *out, const char *name, const struct nd_config *config,
                        struct ft_fault *fault)
{
    const char *colon = strchr(name, ':');
    size_t length = colon ? (size_t)(colon - name) : strlen(name);
    const struct kind *k = NULL;
    int standby = ND_STANDBY_HOT, error;

    *out = (struct nd_bench_protection){.name = ""};
    error = read_peer(out, name, config, fault);
    if (error <= 0)
        return error;
    for (size_t i = 0; i < KINDS; i++)
        if (strlen(kinds[i].name) == length && strncmp(kinds[i].name, name, length) == 0)
            k = &kinds[i];
    if (!k)
        return ft_fail(fault, FT_EINVAL,
                       "--compare %.40s, expected off, log, delta, auto, checkpoint or ftmb, with :hot or "
                       ":warm, or redis-sync, redis-async, with -cache or -rmw, with :BATCH",
                       name);
    if (colon && strcmp(colon, ":warm") == 0)
        standby = ND_STANDBY_WARM;
    else if (colon && strcmp(colon, ":hot") != 0)
        return ft_fail(fault, FT_EINVAL, "--compare %.40s, expected :hot or :warm", name);
    if (k->standby >= 0 && colon && k->standby != standby)
        return ft_fail(fault, FT_EINVAL, "--compare %.40s, %s has no such standby", name, k->name);
    standby = k->standby >= 0 ? k->standby : standby;
    out->unreduced = k->unreduced;
    snprintf(out->name, sizeof(out->name), "%s%s%s", k->name, k->standby >= 0 ? "" : ":",
             k->standby >= 0 ? "" : nd_standbys[standby]);
    error = nd_bench_protect(&out->protect, config, k->mode, (enum nd_standby)standby, fault);
    if (k->commit_interval_us)
        out->protect.commit_interval_us = k->commit_interval_us;
    if (k->checkpoint_ms)
        out->protect.checkpoint_ms = k->checkpoint_ms;
    describe(out, k);
    return error;
}

void nd_bench_adapt(struct nd_config *out, const struct nd_config *config,
                    const struct nd_bench_protection *p, unsigned lanes)
{
    *out = *config;
    out->chain.lanes = (uint16_t)lanes;
    out->chain.l3 = NULL;
    out->state = p->peer ? ND_STATE_REDIS : ND_STATE_LOCAL;
    out->redis = p->redis;
    out->chain.unreduced = p->unreduced;
    out->protect = p->protect;
}
