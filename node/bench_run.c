/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run: node processes from their start to their end, in the bench's own process, which sleeps and reads
 * what they count. Protected, flows opened, then saturation, then the latencies, then the kill; or the
 * standby's state against the primary's.
 */
#define _GNU_SOURCE /* affinity */
#include "node/bench.h"
#include "node/clock.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE 30000000000ull /* ns until something is broken … */
#define PEERS    10u            /* … times so much for a peer that answers command by command */
#define NAP      200000l
#define SAMPLES  20u   /* of the lag, in a measurement */
#define QUIET    0.01  /* s: whatever is under way to the hold is there */
#define LEAST    1000u /* packets of a measurement: it goes on until they have left */
#define SECOND   1e9

const unsigned nd_bench_loads[ND_BENCH_LOADS] = {25, 50, 75, 90};

struct run {
    const struct nd_bench_plan *plan;
    struct nd_loopback place;
    struct nd_bench_slot *slot[ND_NODES];
    pid_t pid[ND_NODES]; /* 0: none */
    bool alone;
    uint64_t from; /* packets that had left when the measurement began */
};

static void nap(double seconds)
{
    struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * SECOND)};

    nanosleep(&t, NULL);
}

void nd_bench_cores(int *lane, int *rest)
{
    cpu_set_t cores;
    int found[2] = {-1, -1};

    *lane = *rest = -1;
    if (sched_getaffinity(0, sizeof(cores), &cores) != 0)
        return;
    for (int c = CPU_SETSIZE - 1; c >= 0; c--)
        if (CPU_ISSET((unsigned)c, &cores) && found[1] < 0)
            found[found[0] >= 0] = c;
    if (found[1] < 0)
        return;
    *lane = found[0];
    *rest = found[1];
}

/* ---- processes --------------------------------------------------------------------------------- */

static int start_node(struct run *r, unsigned n, struct ft_fault *fault)
{
    struct nd_bench_node node = {.config = r->plan->config,
                                 .load = r->plan->load,
                                 .slot = r->slot[n],
                                 .place = &r->place,
                                 .number = n,
                                 .seed = r->plan->seed,
                                 .incarnation = nd_now() ^ (uint64_t)n << 63};

    nd_bench_cores(&node.lane_core, &node.rest_core);
    if (n == 1)
        node.lane_core = node.rest_core;
    r->pid[n] = fork();
    if (r->pid[n] == 0)
        nd_bench_node(&node);
    if (r->pid[n] > 0)
        return 0;
    r->pid[n] = 0;
    return ft_fail(fault, FT_ENOMEM, "no process for a node: %s", strerror(errno));
}

static void end_node(struct run *r, unsigned n)
{
    if (!r->pid[n])
        return;
    kill(r->pid[n], SIGKILL);
    while (waitpid(r->pid[n], NULL, 0) < 0 && errno == EINTR)
        ;
    r->pid[n] = 0;
}

static int check_nodes(struct run *r, struct ft_fault *fault)
{
    for (unsigned n = 0; n < ND_NODES; n++) {
        int status;

        if (!r->pid[n] || waitpid(r->pid[n], &status, WNOHANG) != r->pid[n])
            continue;
        r->pid[n] = 0;
        if (atomic_load(&r->slot[n]->failed))
            return ft_fail(fault, FT_EIO, "node %c: %.200s", 'a' + (int)n, r->slot[n]->fault.text);
        return ft_fail(fault, FT_EIO, "node %c ended by itself%s%s", 'a' + (int)n,
                       WIFSIGNALED(status) ? ": " : "",
                       WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "");
    }
    return 0;
}

static int wait_for(struct run *r, bool (*when)(struct run *r), const char *what, struct ft_fault *fault)
{
    uint64_t began = nd_now(),
             patience = r->plan->config->state == ND_STATE_REDIS ? PATIENCE * PEERS : PATIENCE;
    int error = 0;

    while (!error && !when(r)) {
        nap(NAP / SECOND);
        error = check_nodes(r, fault);
        if (!error && nd_now() - began > patience)
            error = ft_fail(fault, FT_EIO, "%s: no progress; node a is %s: %.100s", what,
                            ft_state_name((enum ft_state)atomic_load(&r->slot[0]->state)), r->slot[0]->why);
    }
    return error;
}

static bool has_begun(struct run *r)
{
    if (r->alone)
        return atomic_load(&r->slot[0]->state) == FT_SOLO;
    return atomic_load(&r->slot[0]->state) == FT_PROTECTED && atomic_load(&r->slot[1]->state) == FT_READY;
}

static bool has_opened(struct run *r)
{
    for (unsigned s = 0; s < ND_LOAD_SIDES; s++)
        if (atomic_load(&r->slot[0]->arrived[s]) < r->plan->load->side[s].opening)
            return false;
    return true;
}

static int start(struct run *r, struct ft_fault *fault)
{
    int error = nd_loopback_open(&r->place, fault);

    for (unsigned n = 0; n < ND_NODES && !error; n++) {
        r->slot[n] = nd_bench_slot_new();
        if (!r->slot[n])
            error = ft_fail(fault, FT_ENOMEM, "no memory between the nodes");
    }
    if (!error)
        error = start_node(r, 0, fault);
    if (!error && !r->alone)
        error = start_node(r, 1, fault);
    return error ? error : wait_for(r, has_begun, "protection", fault);
}

static void finish(struct run *r)
{
    for (unsigned n = ND_NODES; n-- > 0;) {
        end_node(r, n);
        nd_bench_slot_free(r->slot[n]);
    }
    nd_loopback_close(&r->place);
}

/* ---- saturation -------------------------------------------------------------------------------- */

struct reading {
    uint64_t at, released, arrived, link_bytes, records, waits, dropped;
    uint64_t cpu[2 * ND_NODES]; /* lane, replicator; of the primary, of the standby */
};

/* What nodes show is a few milliseconds old: small against what is measured. */
static void take_reading(struct run *r, struct reading *x)
{
    struct nd_bench_slot *p = r->slot[0];

    x->released = atomic_load(&p->released);
    x->at = nd_now();
    x->arrived = atomic_load(&p->arrived[0]) + atomic_load(&p->arrived[1]);
    x->link_bytes = atomic_load(&p->link_bytes);
    x->records = atomic_load(&p->records);
    x->waits = atomic_load(&p->shared[0].count.ring_full) + atomic_load(&p->shared[0].count.hold_full);
    x->dropped = atomic_load(&p->shared[0].count.dropped);
    for (unsigned n = 0; n < ND_NODES; n++) {
        x->cpu[2 * n] = atomic_load(&r->slot[n]->cpu_lane);
        x->cpu[2 * n + 1] = atomic_load(&r->slot[n]->cpu_replicator);
    }
}

static void conclude(struct nd_bench_result *out, const struct reading *a, const struct reading *b)
{
    double ns = (double)(b->at - a->at), packets = (double)(b->released - a->released),
           came = (double)(b->arrived - a->arrived);

    packets = packets > 0 ? packets : 1;
    out->mpps = packets / ns * 1e3;
    out->ns = ns / packets;
    out->lane_ns = (double)(b->cpu[0] - a->cpu[0]) / packets;
    out->wire_bytes = (double)(b->link_bytes - a->link_bytes) / packets;
    out->records = (double)(b->records - a->records) / ns * SECOND;
    out->cpu_lane = (double)(b->cpu[0] - a->cpu[0]) / ns;
    out->cpu_replicator = (double)(b->cpu[1] - a->cpu[1]) / ns;
    out->cpu_standby_lane = (double)(b->cpu[2] - a->cpu[2]) / ns;
    out->cpu_standby_replicator = (double)(b->cpu[3] - a->cpu[3]) / ns;
    out->waits = b->waits - a->waits;
    out->dropped = came > 0 ? (double)(b->dropped - a->dropped) / came : 0;
}

static bool has_measured(struct run *r)
{
    return atomic_load(&r->slot[0]->released) - r->from >= LEAST;
}

static int saturate(struct run *r, struct nd_bench_result *out, struct ft_fault *fault)
{
    struct reading a, b;
    int error;

    atomic_store(&r->slot[0]->rate, ND_RATE_FULL);
    error = wait_for(r, has_opened, "opening the flows", fault);
    nap(r->plan->rest);
    take_reading(r, &a);
    r->from = a.released;
    for (unsigned i = 0; i < SAMPLES && !error; i++) {
        uint64_t lag;

        nap(r->plan->seconds / SAMPLES);
        lag = atomic_load(&r->slot[0]->lag);
        out->lag[i * 2 / SAMPLES] = lag > out->lag[i * 2 / SAMPLES] ? lag : out->lag[i * 2 / SAMPLES];
        error = check_nodes(r, fault);
    }
    if (!error)
        error = wait_for(r, has_measured, "packets at saturation", fault);
    take_reading(r, &b);
    conclude(out, &a, &b);
    return error;
}

/* ---- latency ----------------------------------------------------------------------------------- */

/* All that arrived has left, and a standby that replays has replayed it. */
static bool is_quiet(struct run *r)
{
    bool replays = !r->alone && r->plan->config->protect.standby == ND_STANDBY_HOT;

    return atomic_load(&r->slot[0]->shared[0].count.held) == 0 &&
           (!replays ||
            atomic_load(&r->slot[1]->shared[0].closed) == atomic_load(&r->slot[0]->shared[0].closed));
}

static int quieten(struct run *r, struct ft_fault *fault)
{
    atomic_store(&r->slot[0]->rate, 0);
    nap(QUIET);
    return wait_for(r, is_quiet, "coming to rest", fault);
}

static bool has_timed(struct run *r)
{
    struct nd_bench_slot *slot = r->slot[0];

    return atomic_load(&slot->phase_seen) == atomic_load(&slot->phase) &&
           atomic_load(&slot->times.count) >= LEAST;
}

static int measure_latency(struct run *r, struct nd_bench_latency *out, double mpps, struct ft_fault *fault)
{
    struct nd_bench_slot *slot = r->slot[0];
    int error = quieten(r, fault);

    atomic_store(&slot->rate, (uint64_t)(mpps * 1e6) + 1);
    nap(r->plan->rest);
    atomic_fetch_add(&slot->phase, 1);
    nap(r->plan->seconds);
    if (!error)
        error = wait_for(r, has_timed, "the latency's packets", fault);
    out->mpps = mpps;
    out->p50 = (double)nd_times_below(&slot->times, 0.5) / 1e3;
    out->p99 = (double)nd_times_below(&slot->times, 0.99) / 1e3;
    out->most = (double)atomic_load(&slot->times.most) / 1e3;
    return error;
}

/* ---- the end ----------------------------------------------------------------------------------- */

static bool has_released(struct run *r)
{
    return atomic_load(&r->slot[1]->shared[0].count.first_release_ns) != 0;
}

/* Kills the primary while packets arrive at both nodes, as they do at a pair's ports. */
static int take_over(struct run *r, struct nd_bench_result *out, double mpps, struct ft_fault *fault)
{
    uint64_t rate = (uint64_t)(mpps * 1e6 / 2) + 1, at;
    int error = quieten(r, fault);

    atomic_store(&r->slot[0]->rate, rate);
    atomic_store(&r->slot[1]->rate, rate);
    nap(r->plan->rest);
    if (!error)
        error = check_nodes(r, fault);
    if (error)
        return error;
    at = nd_now();
    kill(r->pid[0], SIGKILL);
    while (waitpid(r->pid[0], NULL, 0) < 0 && errno == EINTR)
        ;
    r->pid[0] = 0;
    error = wait_for(r, has_released, "takeover", fault);
    if (!error)
        out->takeover_ms = (double)(atomic_load(&r->slot[1]->shared[0].count.first_release_ns) - at) / 1e6;
    return error;
}

static bool has_rested(struct run *r)
{
    for (unsigned n = 0; n < ND_NODES; n++)
        if (r->pid[n] && !atomic_load(&r->slot[n]->rested))
            return false;
    return true;
}

/* All lanes stop when nothing is under way; what both then hold must be the same. */
static int compare_state(struct run *r, struct nd_bench_result *out, struct ft_fault *fault)
{
    bool replays = !r->alone && r->plan->config->protect.standby == ND_STANDBY_HOT;
    int error;

    error = quieten(r, fault);
    /* The standby first: it would take over from a primary that ends. */
    for (unsigned n = r->alone ? 1 : 2; n-- > 0 && !error;)
        atomic_store(&r->slot[n]->wish, ND_BENCH_REST);
    if (!error)
        error = wait_for(r, has_rested, "coming to rest", fault);
    out->region_mb = (double)atomic_load(&r->slot[0]->region_bytes) / 1e6;
    out->resident_mb = (double)atomic_load(&r->slot[0]->resident_bytes) / 1e6;
    out->standby_resident_mb = (double)atomic_load(&r->slot[1]->resident_bytes) / 1e6;
    if (!error && replays && atomic_load(&r->slot[0]->digest) != atomic_load(&r->slot[1]->digest))
        error = ft_fail(fault, FT_EDIVERGED, "the standby's state is not the primary's");
    return error;
}

/* What the sink found. */
static int check_sink(struct run *r, struct ft_fault *fault)
{
    const struct nd_bench_slot *s = r->slot[0];
    uint64_t gaps = atomic_load(&s->gaps), bad = atomic_load(&s->bad);

    if (gaps)
        return ft_fail(fault, FT_EDIVERGED, "%lu of %lu outputs did not follow the one before", gaps,
                       atomic_load(&s->released));
    if (bad)
        return ft_fail(fault, FT_EDIVERGED, "%lu of %lu outputs looked at have a wrong length or checksum",
                       bad, atomic_load(&s->sampled));
    return 0;
}

int nd_bench_run(struct nd_bench_result *out, const struct nd_bench_plan *plan, struct ft_fault *fault)
{
    struct run r = {.plan = plan, .alone = plan->config->protect.mode == ND_MODE_OFF};
    int error;

    *out = (struct nd_bench_result){.takeover_ms = -1};
    error = start(&r, fault);
    if (!error) {
        memcpy(out->settings, r.slot[0]->settings, sizeof(out->settings));
        error = saturate(&r, out, fault);
    }
    for (unsigned i = 0; i < ND_BENCH_LOADS && !error && plan->saturation > 0; i++)
        error = measure_latency(&r, &out->latency[i], plan->saturation * nd_bench_loads[i] / 100, fault);
    if (!error)
        error = check_sink(&r, fault);
    if (!error)
        error = plan->kill && !r.alone ? take_over(&r, out, out->mpps, fault) : compare_state(&r, out, fault);
    finish(&r);
    return error;
}
