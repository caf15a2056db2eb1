/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run of nodes: the processes, from their start to their end; the kill; and the order of it all:
 * protected, flows opened, then saturation, the lag, the latencies (bench/measure.c), then the kill, or the
 * standby's state against the primary's. The bench's own process sleeps and reads what they count.
 *
 * A node of the bench is a real one in a process of its own, with memory for ports. Threads as in a node: the
 * lanes, the replicator with its own waiting, the main one, and the guardian's process. The lanes of the node
 * that begins as primary have cores to themselves, or one that they share; all else shares the other one.
 * Priorities are those of a node that runs, unless the bench was asked to do without.
 */
#define _GNU_SOURCE
#include "node/base/clock.h"
#include "node/base/process.h"
#include "lane/lane.h"
#include "tools/bench/bench.h"
#include "tools/pair/child.h"

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

/* ==== a node ======================================================================================== */

#define SHOW_NS  2000000u
#define RESIDENT 128u /* times shown until the memory is looked at again */

static struct running {
    const struct nd_bench_nodes *all; /* this and the next three as they were before the fork */
    const struct nd_config *config;
    struct nd_bench_slot *slot;
    unsigned number;
    struct nd_member_config how;
    struct nd_member member;
    struct nd_bench_io io;
    pthread_t replicator;
    clockid_t lane_clock[FT_LANES_MAX], replicator_clock;
    unsigned shown;
} running;

static uint64_t read_resident_bytes(void)
{
    unsigned long all = 0, pages = 0;
    FILE *f = fopen("/proc/self/statm", "re");

    if (f && fscanf(f, "%lu %lu", &all, &pages) != 2)
        pages = 0;
    if (f)
        fclose(f);
    return pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

static void show_figures(struct running *r)
{
    struct nd_bench_slot *slot = r->slot;
    uint64_t lanes = 0;
    struct rp_status s;

    rp_status(r->member.replicator, &s);
    for (unsigned l = 0; l < r->config->chain.lanes; l++)
        lanes += nd_cpu_time(r->lane_clock[l]);
    if (r->shown++ % RESIDENT == 0 || r->all->plan->server == ND_BENCH_STANDBY)
        atomic_store(&slot->resident_bytes, read_resident_bytes());
    atomic_store(&slot->cpu_lane, lanes);
    atomic_store(&slot->cpu_replicator, nd_cpu_time(r->replicator_clock));
    slot->turns = s.turns;
    atomic_store(&slot->link_bytes, s.link.bytes_out);
    atomic_store(&slot->records, s.records_sent);
    atomic_store(&slot->credit_waits, s.credit_waits);
    atomic_store(&slot->lag, s.lag_packets);
    atomic_store(&slot->shown_at, nd_now());
}

static void *run_replicator(void *arg)
{
    struct running *r = arg;

    prctl(PR_SET_NAME, "us-replicator");
    prctl(PR_SET_TIMERSLACK, 1000ul);
    atomic_store(&r->slot->realtime, r->all->plan->options->realtime && nd_priority_realtime());
    rp_run(r->member.replicator);
    return NULL;
}

static int open_member(struct running *r, struct ft_fault *fault)
{
    const struct nd_bench_options *o = r->all->plan->options;
    struct nd_redis *redis = NULL;
    int error = nd_bench_io_open(&r->io, r->slot, r->all->plan->load, fault);

    /* Before the chain is made. The server is this process's, and ends with it. */
    if (!error && r->all->plan->peer)
        error = nd_redis_open(&redis, r->all->plan->peer, fault);
    if (redis) {
        nd_bench_io_await(&r->io, redis);
        snprintf(r->slot->settings, sizeof(r->slot->settings), "%s", nd_redis_settings(redis));
    }
    r->how = (struct nd_member_config){.config = r->config,
                                       .io = &r->io.io,
                                       .shared = r->slot->shared,
                                       .place = &r->all->place,
                                       .number = r->number,
                                       .region_name = "understudy bench",
                                       .timing = nd_bench_timing(),
                                       .seed = o->wish.seed,
                                       .datagram_key.incarnation = nd_now() ^ (uint64_t)r->number << 63,
                                       .guardian = r->config->protect.pair,
                                       .realtime = o->realtime,
                                       .status = &r->slot->status};
    if (!error)
        error = nd_member_open(&r->member, &r->how, fault);
    /* A run is over before the rings have come round once; after that they cost no page faults. */
    for (unsigned l = 0; l < r->config->chain.lanes && !error; l++) {
        ft_ring_populate(r->number ? &r->slot->shared[l].replay : &r->slot->shared[l].log);
        if (r->number && r->slot->shared[l].checkpoint.capacity)
            ft_ring_populate(&r->slot->shared[l].checkpoint);
    }
    return error;
}

static int start_threads(struct running *r, const cpu_set_t *cores, struct ft_fault *fault)
{
    int error = nd_member_start(&r->member, cores, fault);
    bool clocks = true;

    if (!error && pthread_create(&r->replicator, NULL, run_replicator, r) != 0)
        error = ft_fail(fault, FT_ENOMEM, "no thread for the replicator");
    if (error)
        return error;
    if (r->all->plan->options->realtime)
        nd_priority_raise();
    for (unsigned l = 0; l < r->config->chain.lanes; l++)
        clocks &= pthread_getcpuclockid(r->member.threads[l], &r->lane_clock[l]) == 0;
    clocks &= pthread_getcpuclockid(r->replicator, &r->replicator_clock) == 0;
    return clocks ? 0 : ft_fail(fault, FT_EIO, "threads without clocks");
}

/* Of the main thread: what it shows, and with what it holds before it rests. */
static int show_turn(void *arg, struct ft_fault *fault)
{
    struct running *r = arg;
    struct nd_bench_slot *slot = r->slot;

    nd_sleep(SHOW_NS);
    if (r->io.redis && nd_redis_lost(r->io.redis))
        return ft_fail(fault, FT_EIO, "%.200s", nd_redis_lost(r->io.redis));
    if (atomic_load(&slot->status.rested))
        return 0;
    show_figures(r);
    if (atomic_load(&slot->status.wish) == ND_MEMBER_REST) {
        atomic_store(&slot->region_bytes, ft_region_used(r->member.lanes.region));
        atomic_store(&slot->resident_bytes, read_resident_bytes());
    }
    return 0;
}

/* The node's process. The standby's lanes count as rest where they are not alone. */
static int run_node(void *arg, struct ft_fault *fault)
{
    struct running *r = arg;
    cpu_set_t cores, rest;
    int rest_core, error;
    bool pinned = nd_bench_cores(r->config->chain.lanes, &cores, &rest_core) > 0;

    if (pinned) {
        CPU_ZERO(&rest);
        CPU_SET((unsigned)rest_core, &rest);
        sched_setaffinity(0, sizeof(rest), &rest);
    }
    error = open_member(r, fault);
    if (!error)
        error = start_threads(r,
                              !pinned                                  ? NULL
                              : r->number == 0 || r->all->plan->server ? &cores
                                                                       : &rest,
                              fault);
    return error ? error : nd_member_serve(&r->member, show_turn, r, fault);
}

static int start_node(struct nd_bench_nodes *all, unsigned n, struct ft_fault *fault)
{
    running = (struct running){.all = all, .config = all->plan->config, .slot = all->slot[n], .number = n};
    return nd_member_fork(&all->pid[n], &all->slot[n]->status, run_node, &running, fault);
}

/* ==== a run ========================================================================================= */

/* ---- processes --------------------------------------------------------------------------------- */

static bool has_begun(struct nd_bench_nodes *r)
{
    int state = atomic_load(&r->slot[0]->status.state);

    return r->alone ? state == FT_SOLO
                    : state == FT_PROTECTED && atomic_load(&r->slot[1]->status.state) == FT_READY;
}

/* No node, and none of its threads, in what is measured: what stands in for it. */
static bool is_stand_in(const struct nd_bench_nodes *r, unsigned n)
{
    return r->plan->server == (n ? ND_BENCH_PRIMARY : ND_BENCH_STANDBY);
}

int nd_bench_begin(struct nd_bench_nodes *r, struct ft_fault *fault)
{
    int error = nd_loopback_open(&r->place, !r->plan->options->insecure, fault);

    for (unsigned n = 0; n < ND_NODES && !error; n++) {
        r->slot[n] = nd_shared_memory(sizeof(*r->slot[n]));
        if (!r->slot[n])
            error = ft_fail(fault, FT_ENOMEM, "no memory between the nodes");
    }
    for (unsigned n = 0; n < (r->alone ? 1 : ND_NODES) && !error; n++)
        error = is_stand_in(r, n) ? nd_bench_start_half(r, n, fault) : start_node(r, n, fault);
    return error ? error : nd_bench_wait(r, has_begun, "protection", fault);
}

void nd_bench_end(struct nd_bench_nodes *r)
{
    for (unsigned n = ND_NODES; n-- > 0;) {
        nd_child_kill(&r->pid[n]);
        if (r->slot[n])
            munmap(r->slot[n], sizeof(*r->slot[n]));
    }
    nd_loopback_close(&r->place);
}

/* ---- the kill: the primary dies while packets arrive at both nodes, as at a pair's ports ---------- */

/* When the first packet left the successor, by whatever lane; 0: none has. */
static uint64_t first_release(const struct nd_bench_nodes *r)
{
    uint64_t first = FT_ALL, at;

    for (unsigned l = 0; l < r->lanes; l++)
        if ((at = atomic_load(&r->slot[1]->shared[l].count.first_release_ns)) != 0 && at < first)
            first = at;
    return first == FT_ALL ? 0 : first;
}

static bool has_released(struct nd_bench_nodes *r)
{
    return first_release(r) != 0;
}

/*
 * What the system does to end a process, giving back its memory above all, it does where the last thread was:
 * on the successor's core, for a millisecond and more. On servers of their own the dead node takes no time of
 * the other's, so that work goes to the core of the lanes that died.
 */
static void move_dying_threads(const struct nd_bench_nodes *r)
{
    char name[64];
    cpu_set_t cores;
    int rest;
    DIR *threads;

    snprintf(name, sizeof(name), "/proc/%d/task", r->pid[0]);
    if (nd_bench_cores(r->lanes, &cores, &rest) == 0 || !(threads = opendir(name)))
        return;
    for (const struct dirent *t; (t = readdir(threads));)
        if (atoi(t->d_name) > 0)
            sched_setaffinity(atoi(t->d_name), sizeof(cores), &cores); /* it may be gone by now */
    closedir(threads);
}

static int take_over(struct nd_bench_nodes *r, struct nd_bench_result *out, double mpps,
                     struct ft_fault *fault)
{
    uint64_t rate = (uint64_t)(mpps * r->plan->options->takeover_load * 1e4) + 1, at, replayed = 0;
    int error = nd_bench_quieten(r, fault);

    atomic_store(&r->slot[0]->rate, rate);
    atomic_store(&r->slot[1]->rate, rate);
    nd_bench_sleep(ND_BENCH_REST);
    if (!error)
        error = nd_bench_check(r, fault);
    if (error)
        return error;
    at = nd_now();
    kill(r->pid[0], SIGKILL);
    move_dying_threads(r);
    nd_child_wait(r->pid[0]);
    r->pid[0] = 0;
    error = nd_bench_wait(r, has_released, "takeover", fault);
    if (!error) {
        out->takeover_ms = (double)(first_release(r) - at) / 1e6;
        for (unsigned l = 0; l < r->lanes; l++)
            if (atomic_load(&r->slot[1]->shared[l].count.replay_done_ns) > replayed)
                replayed = atomic_load(&r->slot[1]->shared[l].count.replay_done_ns);
        out->replayed_ms = (double)(replayed - at) / 1e6;
    }
    return error;
}

/* ---- a run ------------------------------------------------------------------------------------- */

/* All lanes stop when nothing is under way; what both then hold must be the same. */
static int compare_state(struct nd_bench_nodes *r, struct nd_bench_result *out, struct ft_fault *fault)
{
    unsigned nodes = r->alone || r->plan->server ? 1 : ND_NODES;
    bool replays = nodes > 1 && !r->plan->config->protect.stores;
    int error;

    error = nd_bench_quieten(r, fault);
    /* The primary first: a timer of an NF may still be due there. Its replicator goes on, so nobody takes
     * over. */
    for (unsigned n = 0; n < nodes && !error; n++)
        error = nd_bench_rest(r, n, fault);
    out->region_mb = (double)atomic_load(&r->slot[0]->region_bytes) / 1e6;
    out->resident_mb = (double)atomic_load(&r->slot[0]->resident_bytes) / 1e6;
    out->standby_resident_mb = (double)atomic_load(&r->slot[1]->resident_bytes) / 1e6;
    if (!error && replays &&
        atomic_load(&r->slot[0]->status.digest) != atomic_load(&r->slot[1]->status.digest))
        error = ft_fail(fault, FT_EDIVERGED,
                        "the standby's state after burst %lu is not the primary's after burst %lu",
                        atomic_load(&r->slot[1]->shared[0].report.executed),
                        atomic_load(&r->slot[0]->shared[0].report.executed));
    return error;
}

/* What the sink found. */
static int check_sink(struct nd_bench_nodes *r, struct ft_fault *fault)
{
    uint64_t gaps = ND_BENCH_SUM(r, 0, lane, gaps), bad = ND_BENCH_SUM(r, 0, lane, bad);

    if (gaps)
        return ft_fail(fault, FT_EDIVERGED, "%lu of %lu outputs did not follow the one before", gaps,
                       ND_BENCH_SUM(r, 0, lane, released));
    if (bad)
        return ft_fail(fault, FT_EDIVERGED, "%lu of %lu outputs looked at have a wrong length or checksum",
                       bad, ND_BENCH_SUM(r, 0, lane, sampled));
    return 0;
}

int nd_bench_run(struct nd_bench_result *out, const struct nd_bench_plan *plan, struct ft_fault *fault)
{
    struct nd_bench_nodes r = {
        .plan = plan, .lanes = plan->config->chain.lanes, .alone = !plan->config->protect.pair};
    double mpps = plan->saturation;
    int error;

    *out = (struct nd_bench_result){.takeover_ms = -1};
    error = nd_bench_begin(&r, fault);
    if (!error) {
        memcpy(out->settings, r.slot[0]->settings, sizeof(out->settings));
        error = nd_bench_open(&r, fault);
    }
    if (!error && plan->tape)
        error = nd_bench_write_tape(&r, plan->tape, fault);
    if (!error && plan->saturate) {
        error = nd_bench_saturate(&r, out, fault);
        mpps = out->mpps;
    }
    if (!error && plan->lag && !r.alone)
        error = nd_bench_watch(&r, plan->lag, fault);
    for (unsigned i = 0; i < ND_BENCH_LOADS && !error && plan->late; i++)
        error = nd_bench_latency(&r, &out->latency[i], plan->saturation * nd_bench_loads[i] / 100, fault);
    if (!error) {
        out->realtime = atomic_load(&r.slot[0]->realtime);
        error = check_sink(&r, fault);
    }
    if (!error)
        error = plan->kill && !r.alone ? take_over(&r, out, mpps, fault) : compare_state(&r, out, fault);
    nd_bench_end(&r);
    return error;
}
