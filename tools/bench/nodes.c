/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the bench's own process does with nodes that run: the cores and the times that it gives them, waiting
 * for them, and looking whether they still run. It reads what they count; no state.
 */
#define _GNU_SOURCE
#include "node/base/clock.h"
#include "tools/bench/bench.h"
#include "tools/pair/child.h"

#include <sched.h>
#include <stdio.h>
#include <unistd.h>

#define PATIENCE 30000000000ull /* ns of waiting after which something is broken */
#define PEERS    10u            /* times as long for Redis, which answers command by command */
#define PAUSE    200000l
#define QUIET_NS 20000000ull /* a lane at rest has had no packet for so long */
#define ROUNDS   4u          /* and has gone round so often since, finding nothing at its ports */
#define SECOND   1e9

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

struct nd_timing nd_bench_timing(void)
{
    return (struct nd_timing){.heartbeat_ms = 20,
                              .lease_ms = 1000,
                              .detect_ms = 2000,
                              .promote_within_ms = 4000,
                              .solo_after_ms = 8000,
                              .resync_deadline_ms = 60000,
                              .resync_mbps = 4000};
}

/* ---- waiting ----------------------------------------------------------------------------------- */

void nd_bench_sleep(double seconds)
{
    if (!nd_interrupted())
        nd_sleep((uint64_t)(seconds * SECOND));
}

int nd_bench_check(struct nd_bench_nodes *r, struct ft_fault *fault)
{
    if (nd_interrupted())
        return ft_fail(fault, FT_EIO, "interrupted");
    for (unsigned n = 0; n < ND_NODES; n++)
        if (nd_member_check(&r->pid[n], n, &r->slot[n]->status, &r->plan->config->chain, r->slot[n]->shared,
                            fault))
            return FT_EIO;
    return 0;
}

int nd_bench_wait(struct nd_bench_nodes *r, bool (*when)(struct nd_bench_nodes *r), const char *what,
                  struct ft_fault *fault)
{
    uint64_t began = nd_now(), patience = r->plan->peer ? PATIENCE * PEERS : PATIENCE;
    int error = 0;

    while (!error && !when(r)) {
        nd_bench_sleep(PAUSE / SECOND);
        error = nd_bench_check(r, fault);
        if (!error && nd_now() - began > patience)
            error = ft_fail(fault, FT_EIO, "%s: no progress; node a is %s: %.100s", what,
                            ft_state_name((enum ft_state)atomic_load(&r->slot[0]->status.state)),
                            r->slot[0]->status.why);
    }
    return error;
}

/* ---- rest -------------------------------------------------------------------------------------- */

/* All that the stream tells of is stored at the standby, or replayed where it replays. */
static bool has_caught_up(const struct nd_bench_nodes *r, unsigned l)
{
    const struct ft_lane_shared *p = &r->slot[0]->shared[l];

    if (r->alone)
        return true;
    if (!r->plan->config->protect.stores)
        return atomic_load(&r->slot[1]->shared[l].report.executed) == atomic_load(&p->report.executed);
    return atomic_load(&p->orders.stable) >= atomic_load(&p->report.recorded);
}

/*
 * The lane knows that nothing arrives, has nothing to release, and has gone round several times since without
 * a packet; and the standby has caught up. However slow the machine. Bursts without packets go on: one tells
 * the standby what has left, and of a large state each few milliseconds one carries the digest of a slice.
 */
static bool lane_is_quiet(struct nd_bench_nodes *r, unsigned l)
{
    const struct ft_lane_shared *p = &r->slot[0]->shared[l];
    uint64_t unfed = atomic_load(&r->slot[0]->lane[l].unfed), empty = atomic_load(&p->count.empty_bursts),
             executed = atomic_load(&p->report.executed) - empty, now = nd_now();
    struct nd_bench_quiet *quiet = &r->quiet[l];

    if (quiet->executed != executed || atomic_load(&p->count.held) != 0)
        *quiet = (struct nd_bench_quiet){.executed = executed, .unfed = unfed, .since = now};
    if (!has_caught_up(r, l))
        return false;
    return unfed - quiet->unfed >= ROUNDS * ND_LOAD_SIDES && now - quiet->since >= QUIET_NS;
}

static bool is_quiet(struct nd_bench_nodes *r)
{
    bool quiet = true;

    for (unsigned l = 0; l < r->lanes; l++)
        quiet &= lane_is_quiet(r, l);
    return quiet;
}

int nd_bench_quieten(struct nd_bench_nodes *r, struct ft_fault *fault)
{
    atomic_store(&r->slot[0]->rate, 0);
    for (unsigned l = 0; l < r->lanes; l++)
        r->quiet[l] = (struct nd_bench_quiet){.executed = FT_ALL};
    return nd_bench_wait(r, is_quiet, "coming to rest", fault);
}

static bool has_rested(struct nd_bench_nodes *r)
{
    for (unsigned n = 0; n < ND_NODES; n++)
        if (r->pid[n] && !atomic_load(&r->slot[n]->status.rested))
            return false;
    return true;
}

/* Its lanes have ended, and the standby has what they did last. */
static bool primary_rests(struct nd_bench_nodes *r)
{
    bool rests = atomic_load(&r->slot[0]->status.rested);

    for (unsigned l = 0; l < r->lanes && rests; l++)
        rests = has_caught_up(r, l);
    return rests;
}

int nd_bench_rest(struct nd_bench_nodes *r, unsigned n, struct ft_fault *fault)
{
    atomic_store(&r->slot[n]->status.wish, ND_MEMBER_REST);
    return nd_bench_wait(r, n == 0 ? primary_rests : has_rested, "coming to rest", fault);
}
