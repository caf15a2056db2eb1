/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One run of nodes: the processes, from their start to their end, the cores and the times that they are
 * given, waiting for them; what is measured while they run, by the bench's own process, which sleeps and
 * reads what they count; the kill; and the order of it all: protected, flows opened, then saturation, the
 * lag, the latencies, then the kill, or the standby's state against the primary's. And two servers on one
 * machine, one after the other, each with both cores: what the pair carries is the lesser of what they reach.
 *
 * A node of the bench is a real one in a process of its own, with memory for ports. Threads as in a node: the
 * lanes, the replicator with its own waiting, the main one, and the guardian's process. The lanes of the node
 * that begins as primary have cores to themselves, or one that they share; all else shares the other one.
 * Priorities are those of a node that runs, unless the bench was asked to do without.
 */
#define _GNU_SOURCE
#include "ftcore/base/clock.h"
#include "ftcore/queue/lanelink.h"
#include "understudy/base/given.h"
#include "understudy/base/process.h"
#include "lane/lane.h"
#include "understudy/bench/bench.h"
#include "understudy/pair/child.h"

#include <dirent.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#define SECOND      1e9
#define PATIENCE    30000000000ull  /* ns given, of waiting, after which something is broken */
#define MOST        900000000000ull /* ns given in all, as lanes may go on for ever */
#define PEERS       10u             /* times as long for a peer that answers command by command */
#define PAUSE       200000l
#define QUIET_NS    20000000ull /* a lane at rest has had no packet for so long */
#define ROUNDS      4u          /* and has gone round so often since, finding nothing at its ports */
#define SHOW_NS     2000000u
#define RESIDENT    128u   /* times shown until the memory is looked at again */
#define REST_S      0.2    /* seconds before a measurement */
#define LEAST       1000u  /* packets of a measurement: it goes on until they have left */
#define SAMPLES     20u    /* samples of the lag in a measurement at saturation */
#define LOOK_S      0.005  /* seconds between two samples of the lag at a load */
#define TAPE_LOOK_S 0.0002 /* seconds between two looks at the tape */

/* The sum over the lanes of one counter of node n: SUM(r, 0, shared, count.dropped). */
#define SUM(r, n, array, field)                                                                              \
    ({                                                                                                       \
        uint64_t sum_ = 0;                                                                                   \
        for (unsigned l_ = 0; l_ < (r)->lanes; l_++)                                                         \
            sum_ += atomic_load(&(r)->slot[n]->array[l_].field);                                             \
        sum_;                                                                                                \
    })

/* ---- waiting ----------------------------------------------------------------------------------- */

static void pause_for(double seconds)
{
    if (!nd_interrupted())
        nd_sleep((uint64_t)(seconds * SECOND));
}

/* FT_EIO: a node ended. */
static int check_nodes(struct nd_bench_nodes *r, struct ft_fault *fault)
{
    if (nd_interrupted())
        return ft_fail(fault, FT_EIO, "interrupted");
    for (unsigned n = 0; n < ND_PAIR; n++)
        if (nd_member_check(&r->pid[n], n, &r->slot[n]->status, &r->plan->config->chain, r->slot[n]->shared,
                            fault))
            return FT_EIO;
    return 0;
}

/* Bursts with packets that a lane has executed. */
static uint64_t bursts_of(const struct ft_lane_shared *lane)
{
    uint64_t empty = atomic_load(&lane->count.empty_bursts);

    return atomic_load(&lane->report.executed) - empty;
}

/* Of all lanes of the primary. */
static uint64_t count_bursts(const struct nd_bench_nodes *r)
{
    uint64_t bursts = 0;

    for (unsigned l = 0; l < r->lanes; l++)
        bursts += bursts_of(&r->slot[0]->shared[l]);
    return bursts;
}

/* Until `when`, checking nodes. FT_EIO: a node ended, or half a minute that it was given has passed without
 * a burst, or a quarter of an hour in all. */
static int wait_until(struct nd_bench_nodes *r, bool (*when)(struct nd_bench_nodes *r), const char *what,
                      struct ft_fault *fault)
{
    const pid_t pids[] = {getpid(), r->pid[0], r->pid[1]};
    uint64_t patience = r->plan->peer ? PATIENCE * PEERS : PATIENCE;
    struct nd_given given = {0}, all = {0};
    uint64_t bursts = count_bursts(r), now;
    int error = 0;

    while (!error && !when(r)) {
        pause_for(PAUSE / SECOND);
        now = count_bursts(r);
        if (now != bursts)
            given = (struct nd_given){0};
        bursts = now;
        error = check_nodes(r, fault);
        if (!error && (nd_given_look(&given, pids, 3) > patience || nd_given_look(&all, pids, 3) > MOST))
            error = ft_fail(fault, FT_EIO, "%s: no progress; node a is %s: %.100s", what,
                            ft_state_name((enum ft_state)atomic_load(&r->slot[0]->status.state)),
                            r->slot[0]->status.why);
    }
    return error;
}

/* ---- rest -------------------------------------------------------------------------------------- */

/* All that the stream contains is stored at the standby, or replayed where it replays. */
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
 * a packet; and the standby has caught up. However slow the machine. Bursts without packets go on: one
 * reports to the standby what has left, and of a large state each few milliseconds one carries the digest of
 * a slice.
 */
static bool lane_is_quiet(struct nd_bench_nodes *r, unsigned l)
{
    const struct ft_lane_shared *p = &r->slot[0]->shared[l];
    uint64_t unfed = atomic_load(&r->slot[0]->lane[l].unfed), executed = bursts_of(p), now = ft_now();
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

/* Nothing arrives any more, all that arrived has left, and the standby has caught up: one that replays has
 * replayed all, one that stores has stored all. */
static int quieten(struct nd_bench_nodes *r, struct ft_fault *fault)
{
    atomic_store(&r->slot[0]->rate, 0);
    for (unsigned l = 0; l < r->lanes; l++)
        r->quiet[l] = (struct nd_bench_quiet){.executed = FT_ALL};
    return wait_until(r, is_quiet, "coming to rest", fault);
}

static bool has_rested(struct nd_bench_nodes *r)
{
    for (unsigned n = 0; n < ND_PAIR; n++)
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

/* ---- a node: in its process -------------------------------------------------------------------- */

static struct running {
    const struct nd_bench_nodes *all; /* this and the next three as they were before the fork */
    const struct nd_config *config;
    struct nd_bench_slot *slot;
    unsigned number;
    struct nd_member_config how;
    struct nd_member member;
    struct nd_bench_io io;
    struct nd_bench_wires wires;
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
    uint64_t lanes = 0, by_ports = 0;
    struct rp_status s;

    rp_status(r->member.replicator, &s);
    for (unsigned l = 0; l < r->config->chain.lanes; l++) {
        lanes += nd_cpu_time(r->lane_clock[l]);
        by_ports += atomic_load(&slot->shared[l].count.port_log) +
                    FT_LINK_OVERHEAD * atomic_load(&slot->shared[l].count.port_sent);
    }
    if (r->shown++ % RESIDENT == 0 || r->all->plan->server == ND_BENCH_STANDBY)
        atomic_store(&slot->resident_bytes, read_resident_bytes());
    atomic_store(&slot->cpu_lane, lanes);
    atomic_store(&slot->cpu_replicator, nd_cpu_time(r->replicator_clock));
    slot->turns = s.turns;
    atomic_store(&slot->link_bytes, s.link.bytes_out + by_ports);
    atomic_store(&slot->records, s.records_sent);
    atomic_store(&slot->credit_waits, s.credit_waits);
    atomic_store(&slot->lag, s.lag_packets);
    atomic_store(&slot->shown_at, ft_now());
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
    const void *peer = r->all->plan->peer;
    int error = peer ? nd_bench_peer->open(peer, r->slot->settings, fault) : 0;

    if (!error)
        error = nd_bench_io_open(&r->io, r->slot, r->all->plan->load, fault);
    if (!error && peer)
        nd_bench_peer->take_ports(&r->io.io);
    r->how = (struct nd_member_config){.config = r->config,
                                       .io = &r->io.io,
                                       .shared = r->slot->shared,
                                       .place = &r->all->place,
                                       .number = r->number,
                                       .region_name = "understudy bench",
                                       .timing = nd_bench_timing,
                                       .seed = o->wish.seed,
                                       .datagram_key.incarnation = ft_now() ^ (uint64_t)r->number << 63,
                                       .guardian = r->config->protect.pair,
                                       .realtime = o->realtime,
                                       .status = &r->slot->status};
    if (r->all->plan->port)
        r->how.wire = nd_bench_plug(&r->wires, r->all->slot[0]->cable, r->number);
    if (!error)
        error = nd_member_open(&r->member, &r->how, fault);
    for (unsigned l = 0; l < r->config->chain.lanes && !error; l++)
        nd_bench_populate(&r->slot->shared[l], r->number == 1);
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
    if (r->all->plan->peer && nd_bench_peer->lost())
        return ft_fail(fault, FT_EIO, "%.200s", nd_bench_peer->lost());
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

/* What a thread reports of its time, so far; of lanes all together. */
struct thread_sums {
    uint64_t cpu, ns[FT_SPENT_KINDS], longs, longest;
};

/* What nodes show is a few milliseconds old, more when their core is busy: it bears its own time. */
struct reading {
    uint64_t at, released, replayed, arrived, waits, dropped, received, bursts;
    uint64_t shown_at[ND_PAIR];
    uint64_t link_bytes, records, credit_waits;
    struct thread_sums thread[ND_BENCH_THREADS]; /* turns of lanes: of `at` */
};

/* ---- reading nodes that run -------------------------------------------------------------------- */

/* Packets, at both ports. */
static uint64_t arrived_at(const struct nd_bench_nodes *r)
{
    return SUM(r, 0, lane, arrived[0]) + SUM(r, 0, lane, arrived[1]);
}

/* Turns in which a lane did not receive: its hold or log ring was full, or its standby as far behind as it
 * may be. */
static uint64_t waits_of(const struct nd_bench_nodes *r)
{
    return SUM(r, 0, shared, count.ring_full) + SUM(r, 0, shared, count.hold_full) +
           SUM(r, 0, shared, count.lag_full);
}

static bool has_shown(struct nd_bench_nodes *r)
{
    return atomic_load(&r->slot[0]->shown_at) > r->at &&
           (r->alone || atomic_load(&r->slot[1]->shown_at) > r->at);
}

static void add_turns(struct thread_sums *out, const struct ft_turns *t)
{
    for (unsigned i = 0; i < FT_SPENT_KINDS; i++)
        out->ns[i] += atomic_load(&t->ns[i]);
    out->longs += atomic_load(&t->longs);
    uint64_t longest = atomic_load(&t->longest);

    out->longest = longest > out->longest ? longest : out->longest;
}

/* Waits until what the nodes show is of after the call. FT_EIO: a node ended. */
static int read_nodes(struct nd_bench_nodes *r, struct reading *x, struct ft_fault *fault)
{
    struct nd_bench_slot *p = r->slot[0];
    int error;

    *x = (struct reading){.released = SUM(r, 0, lane, released),
                          .replayed = SUM(r, 1, shared, count.replayed_packets)};
    r->at = x->at = ft_now();
    x->arrived = arrived_at(r);
    x->waits = waits_of(r);
    x->dropped = SUM(r, 0, shared, count.dropped);
    x->received = SUM(r, 0, shared, count.received);
    x->bursts = SUM(r, 0, shared, count.bursts) - SUM(r, 0, shared, count.empty_bursts);
    for (unsigned n = 0; n < ND_PAIR; n++)
        for (unsigned l = 0; l < r->lanes; l++)
            add_turns(&x->thread[2 * n], &r->slot[n]->shared[l].count.turns);
    error = wait_until(r, has_shown, "figures of the nodes", fault);
    for (unsigned n = 0; n < ND_PAIR; n++) {
        x->shown_at[n] = atomic_load(&r->slot[n]->shown_at);
        x->thread[2 * n].cpu = atomic_load(&r->slot[n]->cpu_lane);
        x->thread[2 * n + 1].cpu = atomic_load(&r->slot[n]->cpu_replicator);
        add_turns(&x->thread[2 * n + 1], &r->slot[n]->turns);
    }
    x->link_bytes = atomic_load(&p->link_bytes);
    x->records = atomic_load(&p->records);
    x->credit_waits = atomic_load(&p->credit_waits);
    return error;
}

/* Of something that a node shows, for each ns. */
static double rate_of(const struct reading *a, const struct reading *b, unsigned node, uint64_t grown)
{
    uint64_t ns = b->shown_at[node] - a->shown_at[node];

    return ns ? (double)grown / (double)ns : 0;
}

static void set_threads(struct nd_bench_thread out[ND_BENCH_THREADS], const struct reading *a,
                        const struct reading *b)
{
    for (unsigned i = 0; i < ND_BENCH_THREADS; i++) {
        const struct thread_sums *was = &a->thread[i], *is = &b->thread[i];
        uint64_t shown = b->shown_at[i / 2] - a->shown_at[i / 2], ns = i % 2 ? shown : b->at - a->at;
        double of = ns ? 1 / (double)ns : 0;

        out[i] = (struct nd_bench_thread){
            .cpu = rate_of(a, b, i / 2, is->cpu - was->cpu),
            .useful = (double)(is->ns[FT_SPENT_USEFUL] - was->ns[FT_SPENT_USEFUL]) * of,
            .empty = (double)(is->ns[FT_SPENT_EMPTY] - was->ns[FT_SPENT_EMPTY]) * of,
            .asleep = (double)(is->ns[FT_SPENT_ASLEEP] - was->ns[FT_SPENT_ASLEEP]) * of,
            .longs = (double)(is->longs - was->longs) * of * SECOND,
            .longest = (double)is->longest / 1e6};
    }
}

const unsigned nd_bench_loads[ND_BENCH_LOADS] = {25, 50, 75, 90};

static bool has_opened(struct nd_bench_nodes *r)
{
    return nd_bench_has_opened(r->slot[0], r->plan->load);
}

/* ---- saturation -------------------------------------------------------------------------------- */

static void set_saturation(struct nd_bench_result *out, const struct reading *a, const struct reading *b)
{
    double ns = (double)(b->at - a->at), packets = (double)(b->released - a->released),
           came = (double)(b->arrived - a->arrived);

    packets = packets > 0 ? packets : 1;
    out->mpps = packets / ns * 1e3;
    out->ns = ns / packets;
    set_threads(out->thread, a, b);
    out->lane_ns = out->thread[ND_BENCH_LANE].cpu * out->ns;
    out->wire_bytes = rate_of(a, b, 0, b->link_bytes - a->link_bytes) * out->ns;
    out->records = rate_of(a, b, 0, b->records - a->records) * SECOND;
    out->waits = b->waits - a->waits;
    out->credit_waits = b->credit_waits - a->credit_waits;
    out->dropped = came > 0 ? (double)(b->dropped - a->dropped) / came : 0;
}

/* Enough has left; or so much been dropped that nothing will. */
static bool has_measured(struct nd_bench_nodes *r)
{
    uint64_t released = SUM(r, 0, lane, released);

    return released - r->from >= LEAST ||
           (released == 0 && SUM(r, 0, shared, count.dropped) >= LEAST * 100ull);
}

/* FT_EMALFORMED: the chain lets nothing pass. */
static int saturate(struct nd_bench_nodes *r, struct nd_bench_result *out, struct ft_fault *fault)
{
    struct reading a, b;
    int error;

    pause_for(REST_S);
    error = read_nodes(r, &a, fault);
    r->from = a.released;
    for (unsigned i = 0; i < SAMPLES && !error; i++) {
        uint64_t lag;

        pause_for(r->plan->options->seconds / SAMPLES);
        lag = atomic_load(&r->slot[0]->lag);
        out->lag[i * 2 / SAMPLES] = lag > out->lag[i * 2 / SAMPLES] ? lag : out->lag[i * 2 / SAMPLES];
        error = check_nodes(r, fault);
    }
    if (!error)
        error = wait_until(r, has_measured, "packets at saturation", fault);
    if (!error && SUM(r, 0, lane, released) == 0)
        error = ft_fail(fault, FT_EMALFORMED,
                        "none of %lu packets passed the chain, expected traffic that it lets pass",
                        arrived_at(r));
    if (!error)
        error = read_nodes(r, &b, fault);
    if (!error)
        set_saturation(out, &a, &b);
    return error;
}

/* ---- a standby alone -------------------------------------------------------------------------- */

static bool is_ready(const struct nd_bench_nodes *r)
{
    return atomic_load(&r->slot[1]->status.state) == FT_READY;
}

static bool has_replayed(struct nd_bench_nodes *r)
{
    return SUM(r, 1, shared, count.replayed_packets) >= r->from || !is_ready(r);
}

static int replay_to(struct nd_bench_nodes *r, uint64_t packets, struct ft_fault *fault)
{
    int error;

    r->from = packets;
    error = wait_until(r, has_replayed, "the standby's replay", fault);
    return error || is_ready(r) ? error
                                : ft_fail(fault, FT_EDIVERGED, "the standby gave up the stream: %.200s",
                                          r->slot[1]->status.why);
}

/* What the feeder has goes to the standby, so many packets: the rate at which it replays those in the middle.
 * FT_EDIVERGED: it does not take them. */
static int replay_tape(struct nd_bench_nodes *r, struct nd_bench_result *out, uint64_t packets,
                       struct ft_fault *fault)
{
    struct reading a, b;
    int error;

    atomic_store(&r->slot[0]->rate, ND_RATE_FULL);
    error = replay_to(r, packets / 10, fault);
    if (!error)
        error = read_nodes(r, &a, fault);
    if (!error)
        error = replay_to(r, packets - packets / 10, fault);
    if (!error)
        error = read_nodes(r, &b, fault);
    if (!error)
        error = replay_to(r, packets, fault);
    if (error)
        return error;
    out->ns = (double)(b.at - a.at) / (double)(b.replayed > a.replayed ? b.replayed - a.replayed : 1);
    out->mpps = 1e3 / out->ns;
    set_threads(out->thread, &a, &b);
    out->standby_resident_mb = (double)atomic_load(&r->slot[1]->resident_bytes) / 1e6;
    return 0;
}

/* ---- the lag ----------------------------------------------------------------------------------- */

static uint64_t excess_over(uint64_t a, uint64_t b)
{
    return a > b ? a - b : 0;
}

/* What is under way between the nodes, this moment. Each word is read by itself. */
static void sample_lag(struct nd_bench_nodes *r, struct nd_bench_sample *s)
{
    struct nd_bench_slot *p = r->slot[0], *q = r->slot[1];

    for (unsigned l = 0; l < r->lanes; l++) {
        uint64_t replayed = atomic_load(&q->shared[l].report.executed),
                 stable = atomic_load(&p->shared[l].orders.stable);

        s->unacknowledged += excess_over(atomic_load(&p->shared[l].report.recorded), stable);
        s->unreplayed += excess_over(stable, replayed);
        s->unsent_bytes +=
            excess_over(atomic_load(&p->shared[l].log.head), atomic_load(&p->shared[l].log.tail));
    }
    s->unreplayed_bytes = SUM(r, 0, shared, orders.unreplayed);
    s->waits = waits_of(r);
    s->held = SUM(r, 0, shared, count.held);
    s->packets = atomic_load(&p->lag);
    s->credit_waits = atomic_load(&p->credit_waits);
    s->resident_mb = (double)atomic_load(&p->resident_bytes) / 1e6;
    s->standby_resident_mb = (double)atomic_load(&q->resident_bytes) / 1e6;
}

/* Goes on at saturation, and looks once a second. */
static int watch_lag(struct nd_bench_nodes *r, struct nd_bench_lag *out, struct ft_fault *fault)
{
    uint64_t began = ft_now(), at = began, released = SUM(r, 0, lane, released);
    struct nd_bench_sample before = {0};
    int error = 0;

    sample_lag(r, &before);
    for (out->count = 0; out->count < out->seconds && !error; out->count++) {
        struct nd_bench_sample *s = &out->sample[out->count], now = {0};
        uint64_t next = began + (out->count + 1) * (uint64_t)SECOND, left, then;

        pause_for((double)excess_over(next, ft_now()) / SECOND);
        error = check_nodes(r, fault);
        sample_lag(r, &now);
        left = SUM(r, 0, lane, released);
        then = ft_now();
        *s = now;
        s->second = (double)(then - began) / SECOND;
        s->mpps = (double)(left - released) / (double)(then - at) * 1e3;
        s->waits -= before.waits;
        s->credit_waits -= before.credit_waits;
        released = left;
        at = then;
        before = now;
    }
    return error;
}

/* ---- latency ----------------------------------------------------------------------------------- */

static bool has_timed(struct nd_bench_nodes *r)
{
    const struct nd_bench_slot *slot = r->slot[0];
    uint64_t n = 0;

    for (unsigned l = 0; l < r->lanes; l++)
        if (atomic_load(&slot->lane[l].phase_seen) == atomic_load(&slot->phase))
            n += atomic_load(&slot->lane[l].times.count);
    return n >= LEAST;
}

/* What is sent and not known to be replayed now is the last of the load so far, and perhaps the most. */
static void sample_backlog(const struct nd_bench_nodes *r, struct nd_bench_latency *out)
{
    uint64_t bytes = r->alone ? 0 : SUM(r, 0, shared, orders.unreplayed);

    out->lag_end_packets = atomic_load(&r->slot[0]->lag);
    out->lag_end_mb = (double)bytes / 1e6;
    if (out->lag_end_packets > out->lag_packets)
        out->lag_packets = out->lag_end_packets;
    if (out->lag_end_mb > out->lag_mb)
        out->lag_mb = out->lag_end_mb;
}

static int sample_load(struct nd_bench_nodes *r, struct nd_bench_latency *out, struct ft_fault *fault)
{
    unsigned looks = (unsigned)(r->plan->options->seconds / LOOK_S) + 1;
    int error = 0;

    for (unsigned i = 0; i < looks && !error; i++) {
        pause_for(r->plan->options->seconds / looks);
        sample_backlog(r, out);
        error = check_nodes(r, fault);
    }
    return error ? error : wait_until(r, has_timed, "the latency's packets", fault);
}

static uint64_t middle_of_bucket(uint32_t bucket)
{
    uint32_t shift = bucket / ND_TIMES_SUB;

    if (shift == 0)
        return bucket;
    shift--;
    return ((uint64_t)(bucket % ND_TIMES_SUB + ND_TIMES_SUB) << shift) + ((1ull << shift) >> 1);
}

/* The time in us that `share` of the `all` counted ones do not exceed; 0 of nothing. */
static double time_below(const uint64_t bucket[], uint64_t all, double share)
{
    uint64_t seen = 0;

    for (uint32_t i = 0; i < ND_TIMES_BUCKETS && all; i++) {
        seen += bucket[i];
        if ((double)seen >= share * (double)all)
            return (double)middle_of_bucket(i) / 1e3;
    }
    return 0;
}

static void set_times(const struct nd_bench_nodes *r, struct nd_bench_latency *out)
{
    uint64_t bucket[ND_TIMES_BUCKETS] = {0}, all = 0;
    struct nd_bench_slot *slot = r->slot[0];

    for (unsigned l = 0; l < r->lanes; l++) {
        const struct nd_times *t = &slot->lane[l].times;

        if (atomic_load(&slot->lane[l].phase_seen) != atomic_load(&slot->phase))
            continue;
        for (uint32_t i = 0; i < ND_TIMES_BUCKETS; i++) {
            uint64_t n = atomic_load_explicit(&t->bucket[i], memory_order_relaxed);

            bucket[i] += n;
            all += n;
        }
        out->most = fmax(out->most, (double)atomic_load(&t->most) / 1e3);
    }
    out->p50 = time_below(bucket, all, 0.5);
    out->p99 = time_below(bucket, all, 0.99);
}

/* Begins when the standby has caught up with all that came before, so that no load bears what another left.
 */
static int measure_latency(struct nd_bench_nodes *r, struct nd_bench_latency *out, double mpps,
                           struct ft_fault *fault)
{
    struct reading a, b;
    int error = quieten(r, fault);
    double bursts;

    *out = (struct nd_bench_latency){.mpps = mpps};
    atomic_store(&r->slot[0]->rate, (uint64_t)(mpps * 1e6) + 1);
    pause_for(REST_S);
    if (!error)
        error = read_nodes(r, &a, fault);
    atomic_fetch_add(&r->slot[0]->phase, 1);
    if (!error)
        error = sample_load(r, out, fault);
    if (!error)
        error = read_nodes(r, &b, fault);
    if (error)
        return error;
    sample_backlog(r, out);
    set_times(r, out);
    bursts = (double)(b.bursts - a.bursts);
    out->bursts = bursts / (double)(b.at - a.at) * SECOND;
    out->packets = bursts > 0 ? (double)(b.received - a.received) / bursts : 0;
    out->records = rate_of(&a, &b, 0, b.records - a.records) * SECOND;
    set_threads(out->thread, &a, &b);
    return 0;
}

static bool has_begun(struct nd_bench_nodes *r)
{
    int state = atomic_load(&r->slot[0]->status.state);

    return r->alone ? state == FT_SOLO
                    : state == FT_PROTECTED && atomic_load(&r->slot[1]->status.state) == FT_READY;
}

static int begin_nodes(struct nd_bench_nodes *r, struct ft_fault *fault)
{
    int error = nd_loopback_open(&r->place, !r->plan->options->insecure, fault);

    for (unsigned n = 0; n < ND_PAIR && !error; n++) {
        r->slot[n] = nd_shared_memory(sizeof(*r->slot[n]));
        if (!r->slot[n])
            error = ft_fail(fault, FT_ENOMEM, "no memory between the nodes");
    }
    for (unsigned n = 0; n < (r->alone ? 1 : ND_PAIR) && !error; n++) {
        running = (struct running){.all = r, .config = r->plan->config, .slot = r->slot[n], .number = n};
        if (r->plan->server == (n ? ND_BENCH_PRIMARY : ND_BENCH_STANDBY)) /* what stands in for it */
            error = nd_bench_start_half(r, n, fault);
        else
            error = nd_member_fork(&r->pid[n], &r->slot[n]->status, run_node, &running, fault);
    }
    return error ? error : wait_until(r, has_begun, "protection", fault);
}

static void end_nodes(struct nd_bench_nodes *r)
{
    for (unsigned n = ND_PAIR; n-- > 0;) {
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
    int error = quieten(r, fault);

    atomic_store(&r->slot[0]->rate, rate);
    atomic_store(&r->slot[1]->rate, rate);
    pause_for(REST_S);
    if (!error)
        error = check_nodes(r, fault);
    if (error)
        return error;
    at = ft_now();
    kill(r->pid[0], SIGKILL);
    move_dying_threads(r);
    nd_child_wait(r->pid[0]);
    r->pid[0] = 0;
    error = wait_until(r, has_released, "takeover", fault);
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
    unsigned nodes = r->alone || r->plan->server ? 1 : ND_PAIR;
    bool replays = nodes > 1 && !r->plan->config->protect.stores;
    int error;

    error = quieten(r, fault);
    /* The primary first: a timer of an NF may still be due there. Its replicator goes on, so nobody takes
     * over. */
    for (unsigned n = 0; n < nodes && !error; n++) {
        atomic_store(&r->slot[n]->status.wish, ND_MEMBER_REST);
        error = wait_until(r, n == 0 ? primary_rests : has_rested, "coming to rest", fault);
    }
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
    uint64_t gaps = SUM(r, 0, lane, gaps), bad = SUM(r, 0, lane, bad);

    if (gaps)
        return ft_fail(fault, FT_EDIVERGED, "%lu of %lu outputs did not follow the one before", gaps,
                       SUM(r, 0, lane, released));
    if (bad)
        return ft_fail(fault, FT_EDIVERGED, "%lu of %lu outputs looked at have a wrong length or checksum",
                       bad, SUM(r, 0, lane, sampled));
    return 0;
}

/* The peer writes the stream until there is enough of it. */
static int write_tape(struct nd_bench_nodes *r, struct nd_bench_tape *tape, struct ft_fault *fault)
{
    uint64_t until = ft_now() + (uint64_t)(r->plan->options->seconds * 1e9);
    int error = 0;

    while (!error && !atomic_load(&tape->closed) && ft_now() < until) {
        pause_for(TAPE_LOOK_S);
        error = check_nodes(r, fault);
    }
    atomic_store(&tape->closed, true);
    return error;
}

int nd_bench_run(struct nd_bench_result *out, const struct nd_bench_plan *plan, struct ft_fault *fault)
{
    struct nd_bench_nodes r = {
        .plan = plan, .lanes = plan->config->chain.lanes, .alone = !plan->config->protect.pair};
    double mpps = plan->saturation;
    int error;

    *out = (struct nd_bench_result){.takeover_ms = -1};
    error = begin_nodes(&r, fault);
    if (!error) {
        memcpy(out->settings, r.slot[0]->settings, sizeof(out->settings));
        atomic_store(&r.slot[0]->rate, ND_RATE_FULL); /* and goes on so */
        error = wait_until(&r, has_opened, "opening the flows", fault);
    }
    if (!error && plan->tape)
        error = write_tape(&r, plan->tape, fault);
    if (!error && plan->saturate) {
        error = saturate(&r, out, fault);
        mpps = out->mpps;
    }
    if (!error && plan->lag && !r.alone)
        error = watch_lag(&r, plan->lag, fault);
    for (unsigned i = 0; i < ND_BENCH_LOADS && !error && plan->late; i++)
        error = measure_latency(&r, &out->latency[i], plan->saturation * nd_bench_loads[i] / 100, fault);
    if (!error) {
        out->realtime = atomic_load(&r.slot[0]->realtime);
        error = check_sink(&r, fault);
    }
    if (!error)
        error = plan->kill && !r.alone ? take_over(&r, out, mpps, fault) : compare_state(&r, out, fault);
    end_nodes(&r);
    return error;
}

/* ---- two servers, one after the other ------------------------------------------------------------ */

/* A standby alone: what the feeder has goes to it, all packets of the plan's tape; the rate at which it
 * replays those in the middle. FT_EDIVERGED: it does not take them. */
static int run_standby(struct nd_bench_result *out, const struct nd_bench_plan *plan, uint64_t *replayed,
                       struct ft_fault *fault)
{
    struct nd_bench_nodes r = {.plan = plan, .lanes = 1};
    const struct nd_bench_tape *t = plan->tape;
    int error = begin_nodes(&r, fault);

    *out = (struct nd_bench_result){.takeover_ms = -1};
    if (!error)
        error = replay_tape(&r, out, t->packets, fault);
    if (!error) {
        *replayed = SUM(&r, 1, shared, count.replayed_packets);
        if (*replayed != t->packets)
            error = ft_fail(fault, FT_EDIVERGED, "the standby replayed %lu packets, expected %lu", *replayed,
                            t->packets);
    }
    end_nodes(&r);
    return error;
}

/* One for all runs: a run begins with an empty one. */
static struct nd_bench_tape *empty_tape(struct ft_fault *fault)
{
    static struct nd_bench_tape *tape;

    tape = tape ? tape : nd_shared_memory(sizeof(*tape));
    if (!tape)
        ft_fail(fault, FT_ENOMEM, "no memory for %zu MB of a stream", sizeof(*tape) >> 20);
    else
        atomic_store(&tape->closed, false);
    return tape;
}

int nd_bench_servers_run(struct nd_bench_row *row, unsigned i, const struct nd_bench_plan *plan,
                         struct ft_fault *fault)
{
    struct nd_bench_plan alone = *plan;
    struct nd_bench_result *with = &row->with[i];
    struct nd_bench_tape *t = empty_tape(fault);
    int error = t ? 0 : FT_ENOMEM;

    alone.tape = t;
    alone.kill = false;
    alone.server = ND_BENCH_PRIMARY;
    if (!error)
        error = nd_bench_run(&row->primary[i], &alone, fault);
    alone.server = ND_BENCH_STANDBY;
    if (!error)
        error = run_standby(&row->standby[i], &alone, &row->stream.replayed, fault);
    if (error)
        return error;
    row->stream.packets = t->packets;
    row->stream.records = t->records;
    row->stream.bytes = t->log_bytes;
    *with = row->primary[i];
    with->standby_resident_mb = row->standby[i].standby_resident_mb;
    if (row->standby[i].mpps < with->mpps) {
        with->mpps = row->standby[i].mpps;
        with->ns = row->standby[i].ns;
    }
    return 0;
}
