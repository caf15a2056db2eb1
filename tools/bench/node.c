/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node of the bench: a real one in a process of its own, with memory for ports. Threads as in a node: the
 * lanes, the replicator with its own waiting, this one, and the guardian's process. The lanes of the node
 * that begins as primary have cores to themselves, or one that they share; all else shares the other one.
 * Priorities are those of a node that runs, unless the bench was asked to do without.
 */
#define _GNU_SOURCE /* affinity, clocks of threads */
#include "tools/bench/bench.h"
#include "node/base/clock.h"
#include "tools/pair/child.h"
#include "lane/lane.h"
#include "node/base/processor.h"

#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

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
    struct nd_redis *redis; /* NULL: state is local */
    pthread_t replicator;
    clockid_t lane_clock[FT_LANES_MAX], replicator_clock;
    unsigned shown;
} running;

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
    int error = nd_bench_io_open(&r->io, r->slot, r->all->plan->load, fault);

    /* Before the chain is made. The server is this process's, and ends with it. */
    if (!error && r->config->state == ND_STATE_REDIS)
        error = nd_redis_open(&r->redis, &r->config->redis, fault);
    if (r->redis)
        snprintf(r->slot->settings, sizeof(r->slot->settings), "%s", nd_redis_settings(r->redis));
    r->how = (struct nd_member_config){.config = r->config,
                                       .io = &r->io.io,
                                       .words = r->slot->words,
                                       .place = &r->all->place,
                                       .number = r->number,
                                       .region_name = "understudy bench",
                                       .timing = nd_bench_timing(),
                                       .seed = o->wish.seed,
                                       .redis = r->redis,
                                       .datagram_key.incarnation = nd_now() ^ (uint64_t)r->number << 63,
                                       .guardian = r->config->protect.pair,
                                       .realtime = o->realtime,
                                       .status = &r->slot->status};
    if (!error)
        error = nd_member_open(&r->member, &r->how, fault);
    /* A run is over before the rings have come round once; after that they cost no page faults. */
    for (unsigned l = 0; l < r->config->chain.lanes && !error; l++) {
        ft_ring_populate(r->number ? &r->slot->words[l].replay : &r->slot->words[l].log);
        if (r->number && r->slot->words[l].checkpoint.capacity)
            ft_ring_populate(&r->slot->words[l].checkpoint);
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
    if (r->redis && nd_redis_lost(r->redis))
        return ft_fail(fault, FT_EIO, "%.200s", nd_redis_lost(r->redis));
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

int nd_bench_start(struct nd_bench_nodes *all, unsigned n, struct ft_fault *fault)
{
    running = (struct running){.all = all, .config = all->plan->config, .slot = all->slot[n], .number = n};
    return nd_member_fork(&all->pid[n], &all->slot[n]->status, run_node, &running, fault);
}
