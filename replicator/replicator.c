/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The replicator's turn: everything that can be read first, then what the lanes reached, what was asked for,
 * the time, and last what is to be sent. The order is the first of the core's two rules of use. Each
 * connection, message, end of a connection and death notice becomes an event of the core, in the order in
 * which it came, after what it brought has been stored.
 */
#include "ftcore/base/event_log.h"
#include "ftcore/base/plant.h"
#include "replicator/parts.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SHOW_NS  1000000ull
#define STANDS_S 3 /* planted */
/* Between looks, and after how much time without an entry it is so. */
#define REST_NS       50000u
#define IDLE_NS       2000000u
#define WAIT_IDLE_NS  200000u
#define STILL_NS      200000000u
#define WAIT_STILL_NS 1000000u

#ifndef READ_ROUNDS
#define READ_ROUNDS 64u /* reads of up to 1 MiB before the time is looked at again */
#endif
#ifndef READ_NS
#define READ_NS 5000000u /* and what was read is acted on for so long, in one turn */
#endif

uint64_t rp_monotonic(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

void rp_sleep(uint64_t ns)
{
    nanosleep(&(struct timespec){0, (long)ns}, NULL);
}

/* ---- what comes from the peer -------------------------------------------------------------------- */

/*
 * After reading, before acting on what was read: we may have slept since the turn began. A right that has
 * ended meanwhile must not meet news that came later, like the end of the connection. Only when there was
 * something to read: FT_EV_TIME must not be later than a look that found nothing.
 */
static void read_clock(struct rp_replicator *rp)
{
    uint64_t now = rp_monotonic();

    if (now > rp->now && !FT_PLANTED("stale-clock"))
        rp->now = now;
}

static void take_message(struct rp_replicator *rp, const struct ft_message *m)
{
    struct ft_event event = {.kind = FT_EV_MESSAGE, .now = rp->now, .message = m};
    struct ft_fault fault;
    uint64_t snapshots = rp->core.snapshots;
    bool stream = m->type == FT_MSG_LOG || m->type == FT_MSG_DELTA;
    int error = 0;

    if ((stream || m->type == FT_MSG_SNAPSHOT) && ft_core_accepts(&rp->core, m)) {
        error = stream ? rp_receiver_take(rp, m, &fault) : rp_snapshot_take(rp, m, &fault);
        rp->stored |= stream;
    } else if (ft_core_ends_snapshot(&rp->core, m)) {
        error = rp_snapshot_check(rp, &fault);
        read_clock(rp);
        event.now = rp->now;
    }
    if (error) {
        event.kind = FT_EV_MALFORMED;
        event.text = fault.text;
    }
    rp_step(rp, &event);
    if (rp->core.snapshots != snapshots && m->number != rp->core.config.chain &&
        !rp_chain_become(rp, m->number)) {
        event.kind = FT_EV_MALFORMED;
        event.text = "the snapshot is of a chain that this node does not have";
        rp_step(rp, &event);
        return;
    }
    if (rp->core.snapshots != snapshots)
        rp_receiver_reset(rp, m);
    rp_push_take(rp, m);
    if (rp->actions.malformed || !rp->core.peer.known)
        return;
    if (m->type == FT_MSG_VERDICT && ft_core_primary(&rp->core) && m->view == rp->core.view &&
        m->lane < rp->lanes)
        rp_take_verdict(rp, m);
    if (m->type == FT_MSG_COUNTER)
        rp_take_standing(rp, m);
    if (m->type == FT_MSG_DRILL && !atomic_load(&rp->drill_come)) {
        snprintf(rp->drill_got, sizeof(rp->drill_got), "%.31s", m->text);
        atomic_store(&rp->drill_come, true);
    }
}

static void report_loss(struct rp_replicator *rp)
{
    static const enum ft_lost how[] = {
        [RP_LOST_EOF] = FT_LOST_EOF, [RP_LOST_RESET] = FT_LOST_RESET, [RP_LOST_ERROR] = FT_LOST_ERROR};
    struct ft_event event = {.kind = FT_EV_LOST};
    struct ft_fault fault = {""};
    enum rp_lost lost = rp_link_lost(rp->link, &fault);

    if (rp->stuck && lost == RP_LOST_NONE) {
        rp_link_drop(rp->link);
        lost = RP_LOST_ERROR;
    }
    rp->stuck = false;
    if (lost == RP_LOST_NONE)
        return;
    read_clock(rp);
    event.now = rp->now;
    if (lost == RP_LOST_MALFORMED) {
        event.kind = FT_EV_MALFORMED;
        event.text = fault.text;
    } else {
        event.how = how[lost];
    }
    rp_step(rp, &event);
}

/* A second connection says hello. Is it the peer, and new, or somebody who says again what it once said? */
static void answer_hello(struct rp_replicator *rp)
{
    struct ft_message m;
    uint64_t sent;

    if (!rp_link_needs_hello(rp->link, &sent))
        return;
    ft_core_hello(&rp->core, rp->now, &m);
    m.echo = sent; /* and so we prove who we are */
    rp_link_greet(rp->link, &m);
}

/* One at a time: the notice comes more than once, and may be sent again by anybody. */
static bool hear_death_notice(struct rp_replicator *rp)
{
    struct ft_event event = {.kind = FT_EV_DEATH_NOTICE};
    const struct ft_datagram_key peer = rp_peer(rp);
    struct ft_crash_notice crash = {.signal = 0};
    int died = rp_link_death_notice(rp->link, peer.incarnation ? &peer : NULL, &crash);

    if (crash.signal && rp->config.crashed && rp->crash_of != peer.incarnation) {
        rp->crash_of = peer.incarnation;
        rp->config.crashed(rp->config.arg, &crash, ft_core_primary(&rp->core));
    }
    if (!died)
        return false;
    read_clock(rp);
    event.now = rp->now;
    event.incarnation = peer.incarnation;
    rp_step(rp, &event);
    return true;
}

/* Whole messages that were read; `first`: when this turn had taken its first, or 0. False: the turn's time is
 * over, and some may be left for the next one. */
static bool take_messages(struct rp_replicator *rp, uint64_t *first)
{
    struct ft_fault fault;
    struct ft_message m;

    while (rp_link_next(rp->link, rp->core.peer.known ? rp->lanes : 0, &m, &fault) > 0) {
        take_message(rp, &m);
        uint64_t now = rp_monotonic();

        if (*first == 0)
            *first = now;
        if (now - *first >= READ_NS)
            return false;
    }
    return true;
}

/* Everything that can be read, to the core, unless it takes too long: then what is left comes first in the
 * next turn, before a death notice too. True if there was anything. */
static bool take_input(struct rp_replicator *rp)
{
    struct ft_event event = {0};
    uint64_t before, first = 0;
    bool any = false;

    for (unsigned round = 0; round < READ_ROUNDS; round++) {
        before = rp_link_stats(rp->link)->bytes_in;
        bool fresh = rp_link_poll(rp->link, rp->now);

        if (fresh || rp_link_stats(rp->link)->bytes_in != before)
            read_clock(rp);
        if (fresh) {
            event.kind = FT_EV_CONNECTED;
            event.now = rp->now;
            event.greeted = rp_link_greeted(rp->link);
            rp_step(rp, &event);
            any = true;
        }
        answer_hello(rp);
        if (!take_messages(rp, &first))
            return true;
        report_loss(rp);
        if (rp_link_stats(rp->link)->bytes_in == before)
            break;
    }
    return hear_death_notice(rp) || any || first;
}

/* ---- status ------------------------------------------------------------------------------------ */

/* One writer, readers retry (a sequence lock): the packet path and the readers never wait for each other. */
void rp_update_status(struct rp_replicator *rp)
{
    if (rp->now - rp->shown_at < SHOW_NS)
        return;
    rp_publish_status(rp);
}

void rp_publish_status(struct rp_replicator *rp)
{
    rp->shown_at = rp->now;
    atomic_fetch_add_explicit(&rp->shown_seq, 1, memory_order_acq_rel);
    rp->shown.at = rp->now;
    rp->shown.core = rp->core;
    rp->shown.link_up = rp->link && rp_link_up(rp->link);
    if (rp->link)
        rp->shown.link = *rp_link_stats(rp->link);
    rp->shown.peer_told = rp_peer_told(rp);
    rp->shown.peer_standing = rp->standing.peer;
    rp->shown.lag_packets = rp_lag_packets(rp);
    rp->shown.compressed = rp->schedule.compressing.count;
    rp->shown.compressing = rp->schedule.compressing.yes;
    rp->shown.view_behind = rp->writer ? rp_view_writer_behind(rp->writer, rp->now) : 0;
    rp->shown.refused = rp->core.malformed.count;
    memcpy(rp->shown.last_refused, rp->core.malformed.text, sizeof(rp->shown.last_refused));
    rp->shown.verdicts = rp->verdicts;
    rp->shown.turns = rp->turns;
    rp->shown.snapshot_left = rp->snapshot.reading ? rp->snapshot.left : 0;
    atomic_fetch_add_explicit(&rp->shown_seq, 1, memory_order_release);
}

void rp_status(struct rp_replicator *rp, struct rp_status *out)
{
    uint64_t before, after;

    for (;;) {
        before = atomic_load_explicit(&rp->shown_seq, memory_order_acquire);
        memcpy(out, &rp->shown, sizeof(*out));
        atomic_thread_fence(memory_order_acquire);
        after = atomic_load_explicit(&rp->shown_seq, memory_order_relaxed);
        if (before == after && !(before & 1))
            return;
        rp_sleep(REST_NS); /* the replicator may wait for the processor that this thread has */
    }
}

/* ---- turn -------------------------------------------------------------------------------------- */

bool rp_turn(struct rp_replicator *rp, uint64_t now)
{
    struct ft_event time = {.kind = FT_EV_TIME, .now = now};
    struct ft_event whole = {.kind = FT_EV_SNAPSHOT_SENT, .now = now};
    bool busy = false, sent_all = false;

    rp->now = now;
    rp_chain_follow(rp);
    if (rp->link) {
        busy |= take_input(rp);
        time.now = whole.now = now = rp->now;
        rp_reports(rp);
        if (!ft_core_primary(&rp->core))
            rp_receiver_publish(rp);
    }
    busy |= rp_progress(rp);
    rp_serve_requests(rp);
    if (now >= rp->time_due) {
        rp_step(rp, &time);
        rp->time_due = ft_core_due(&rp->core) < now + FT_MS ? ft_core_due(&rp->core) : now + FT_MS;
    }
    if (rp->link) {
        busy |= rp_sender_turn(rp);
        busy |= rp_snapshot_turn(rp, &sent_all);
        if (sent_all)
            rp_step(rp, &whole);
        rp_link_flush(rp->link);
    }
    rp_update_status(rp);
    return busy;
}

/*
 * Lanes cannot wake us (that would be a system call in the packet path), so while entries come we look often,
 * a while after the last one still, and then rarely: the first packet after a pause may wait a millisecond.
 * What the peer says wakes us at once.
 */
static uint64_t wait_limit_ns(const struct rp_replicator *rp)
{
    bool pressing = rp->core.resync || rp->core.hand || rp->core.state == FT_SYNCING;
    uint64_t quiet = rp->now - rp->schedule.moved;

    if (pressing || (quiet < IDLE_NS && rp->sender.on))
        return REST_NS;
    return quiet < STILL_NS ? WAIT_IDLE_NS : WAIT_STILL_NS;
}

/* Whatever comes, others have the processor between two turns (schedule.c). */
static void wait_for_work(struct rp_replicator *rp, bool busy)
{
    if (busy && !rp->schedule.yields)
        rp_sleep(REST_NS);
    else if (busy || rp_schedule_awake(rp))
        sched_yield();
    else
        rp_link_wait(rp->link, wait_limit_ns(rp));
}

void rp_run(struct rp_replicator *rp)
{
    uint64_t seen = 0;

    rp_schedule_begin(rp);

    while (!atomic_load_explicit(&rp->stop, memory_order_relaxed)) {
        if (FT_PLANTED_AT_SIGNAL("replicator-stands"))
            nanosleep(&(struct timespec){STANDS_S, 0}, NULL);
        uint64_t now = rp_monotonic();

        ft_turns_spent(&rp->turns, FT_SPENT_ASLEEP, now);
        bool busy = rp_turn(rp, now);

        ft_turns_spent(&rp->turns, busy ? FT_SPENT_USEFUL : FT_SPENT_EMPTY, rp_monotonic());

        /* Heartbeats come and go without making us impatient; entries do. */
        uint64_t entries = rp->shown.records_sent + rp->shown.records_stored + rp->shown.chunks_sent +
                           rp->shown.chunks_stored;

        if (entries != seen)
            rp_schedule_moved(rp);
        seen = entries;
        if (rp->link)
            wait_for_work(rp, busy);
        else
            rp_sleep(WAIT_STILL_NS);
    }
}

void rp_stop(struct rp_replicator *rp)
{
    atomic_store(&rp->stop, true);
}
