/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a run is set: what is compared, by name, and how each protection is set; the times of the pair; the
 * cores of its threads.
 */
#define _GNU_SOURCE
#include "understudy/config/options.h"
#include "understudy/bench/bench.h"

#include <stdio.h>
#include <string.h>

#define ANY (-1) /* the standby that is asked for */

static const struct kind {
    const char *name;
    enum nd_mode mode;
    int standby; /* enum nd_standby, or ANY */
    uint32_t commit_interval_us, checkpoint_ms;
    bool unreduced, port;
    const char *settings; /* NULL: what the mode is decided to */
} kinds[] = {
    {"off", ND_MODE_OFF, ND_STANDBY_HOT, .settings = "no replication; the chain on its region, untracked"},
    {"log", ND_MODE_LOG, ANY, .settings = "every burst recorded"},
    {"log-port", ND_MODE_LOG, ND_STANDBY_HOT, .port = true,
     .settings = "every burst recorded, and sent by the lanes through memory that they share"},
    {"delta", ND_MODE_DELTA, ANY, .settings = "changed lines at every cut"},
    {"auto", ND_MODE_AUTO, ANY, .settings = NULL},
    {"checkpoint", ND_MODE_DELTA, ND_STANDBY_HOT, .commit_interval_us = 1000,
     .settings =
         "as Pico Replication: deltas alone, one each millisecond, outputs held until they are stored"},
    {"ftmb", ND_MODE_LOG, ND_STANDBY_WARM, .checkpoint_ms = 200, .unreduced = true,
     .settings =
         "as FTMB: every access to a shared object logged, nothing reduced; a checkpoint each 200 ms, replay "
         "after a failure only"},
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

const struct nd_bench_peer *nd_bench_peer;

/* The file's settings, with another mode and standby. FT_EINVAL with a line: a log that cannot be replayed
 * (see nd_config_decide). */
static int set_protect(struct nd_protect *out, const struct nd_config *config, enum nd_mode mode,
                       enum nd_standby standby, struct ft_fault *fault)
{
    *out = config->protect;
    out->asked = mode;
    out->standby = standby;
    return nd_config_decide(out, &config->chain, fault);
}

static void describe_protection(struct nd_bench_protection *p, const struct kind *k)
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

static int set_node(struct nd_bench_protection *out, const struct kind *k, const char *name,
                    const char *after, const struct nd_config *config, struct ft_fault *fault)
{
    int standby = after && strcmp(after, "warm") == 0 ? ND_STANDBY_WARM : ND_STANDBY_HOT, error;

    if (after && strcmp(after, nd_standbys[standby]) != 0)
        return ft_fail(fault, FT_EINVAL, "--compare %.40s, expected :hot or :warm", name);
    if (k->standby != ANY && after && k->standby != standby)
        return ft_fail(fault, FT_EINVAL, "--compare %.40s, %s has no such standby", name, k->name);
    standby = k->standby != ANY ? k->standby : standby;
    out->unreduced = k->unreduced;
    out->port = k->port;
    snprintf(out->name, sizeof(out->name), "%s%s%s", k->name, k->standby != ANY ? "" : ":",
             k->standby != ANY ? "" : nd_standbys[standby]);
    error = set_protect(&out->protect, config, k->mode, (enum nd_standby)standby, fault);
    if (k->commit_interval_us)
        out->protect.commit_interval_us = k->commit_interval_us;
    if (k->checkpoint_ms)
        out->protect.checkpoint_ms = k->checkpoint_ms;
    describe_protection(out, k);
    return error;
}

int nd_bench_protection(struct nd_bench_protection *out, const char *name, const struct nd_config *config,
                        struct ft_fault *fault)
{
    size_t length = strcspn(name, ":");
    const char *after = name[length] ? name + length + 1 : NULL;

    *out = (struct nd_bench_protection){.name = ""};
    for (size_t i = 0; i < KINDS; i++)
        if (strlen(kinds[i].name) == length && strncmp(kinds[i].name, name, length) == 0)
            return set_node(out, &kinds[i], name, after, config, fault);
    if (nd_bench_peer) {
        int error = nd_bench_peer->named(out, name, config, fault);

        if (error != FT_ENOENT)
            return error;
    }
    return ft_fail(
        fault, FT_EINVAL,
        "--compare %.40s, expected off, log, log-port, delta, auto, checkpoint or ftmb, with :hot or :warm",
        name);
}

void nd_bench_adapt(struct nd_config *out, const struct nd_config *config,
                    const struct nd_bench_protection *p, unsigned lanes)
{
    *out = *config;
    out->chain.lanes = (uint16_t)lanes;
    out->chain.l3 = NULL;
    out->chain.unreduced = p->unreduced;
    out->protect = p->protect;
}

const struct nd_timing nd_bench_timing = {.heartbeat_ms = 20,
                                          .lease_ms = 1000,
                                          .detect_ms = 2000,
                                          .promote_within_ms = 4000,
                                          .solo_after_ms = 8000,
                                          .resync_deadline_ms = 60000,
                                          .resync_mbps = 4000};

/* The last core is the first lane's, the one before serves; further lanes take what there is before these. */
unsigned nd_bench_cores(unsigned lanes, cpu_set_t *of_lanes, int *rest)
{
    cpu_set_t cores;
    unsigned found = 0, taken = 0;

    *rest = -1;
    CPU_ZERO(of_lanes);
    if (sched_getaffinity(0, sizeof(cores), &cores) != 0)
        return 0;
    for (int c = CPU_SETSIZE - 1; c >= 0; c--) {
        if (!CPU_ISSET((unsigned)c, &cores))
            continue;
        if (found++ == 1) {
            *rest = c;
        } else if (taken < lanes) {
            CPU_SET((unsigned)c, of_lanes);
            taken++;
        }
    }
    return *rest >= 0 ? taken : 0;
}

/* A run is over before the rings have come round once; after that they cost no page faults. */
void nd_bench_populate(struct ft_lane_shared *shared, bool standby)
{
    ft_ring_populate(standby ? &shared->replay : &shared->log);
    if (standby && shared->checkpoint.capacity)
        ft_ring_populate(&shared->checkpoint);
    if (standby && shared->direct.capacity)
        ft_ring_populate(&shared->direct);
}
