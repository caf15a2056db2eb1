/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The replicator's turn: everything that can be read first, then what the lanes reached, what was asked for,
 * the time, and last what is to be sent. The order is the first of the core's two rules of use.
 */
#include "replicator/replicator.h"
#include "replicator/parts.h"
#include "ftcore/plant.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SHOW_NS       1000000ull
#define DRAIN_ROUNDS  64u /* reads of up to 1 MiB before the time is looked at again */
#define WAIT_BUSY_NS  50000u
#define BUSY_TURNS    40u /* after the last record */
#define QUIET_TURNS   1000u
#define WAIT_IDLE_NS  200000u
#define WAIT_STILL_NS 1000000u

static uint64_t monotonic(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

/* ---- input ------------------------------------------------------------------------------------- */

/* How far lanes are, to the core; on the standby this is what acknowledges. */
static bool progress(struct rp_replicator *rp)
{
    struct ft_event event = {.kind = FT_EV_LANES, .now = rp->now};
    bool primary = ft_core_primary(&rp->core), moved = rp->stored;

    for (unsigned l = 0; l < rp->lanes; l++) {
        struct ft_lane *lane = rp_lane(rp, l);
        uint64_t closed =
            atomic_load_explicit(primary ? &lane->recorded : &lane->closed, memory_order_acquire);

        event.closed[l] = primary ? closed : rp->receiver.held[l];
        event.replayed[l] = closed;
        event.taken[l] = atomic_load_explicit(&lane->replay.tail, memory_order_acquire);
        moved |= event.taken[l] != rp->core.taken[l] || closed != rp->closed_told[l];
        rp->closed_told[l] = closed;
    }
    rp->stored = false;
    if (moved)
        rp_step(rp, &event);
    return moved && !primary;
}

/*
 * What was stored counts before anything that may make us take over: the end of a connection can be read in
 * the same turn as the last records, and lanes may have replayed those by then.
 */
static void settle(struct rp_replicator *rp)
{
    if (rp->stored)
        progress(rp);
}

static void refused(struct rp_replicator *rp, const char *text)
{
    struct ft_event event = {.kind = FT_EV_MALFORMED, .now = rp->now, .text = text};

    rp->refused++;
    snprintf(rp->last_refused, sizeof(rp->last_refused), "%.127s", text);
    rp->shown_at = 0; /* show it at once */
    rp_step(rp, &event);
}

static void take_verdict(struct rp_replicator *rp, const struct ft_message *m)
{
    atomic_fetch_add(&rp->verdict[m->lane].seq, 1); /* odd: being written */
    atomic_store(&rp->verdict[m->lane].burst, m->burst[0]);
    atomic_store(&rp->verdict[m->lane].expected, m->number);
    atomic_store(&rp->verdict[m->lane].got, m->number2);
    atomic_fetch_add(&rp->verdict[m->lane].seq, 1);
}

static void take_message(struct rp_replicator *rp, const struct ft_message *m)
{
    struct ft_event event = {.kind = FT_EV_MESSAGE, .now = rp->now, .message = m};
    struct ft_fault fault;
    uint64_t bases = rp->core.bases;
    int error = ft_core_doubts(&rp->core, m, &fault);
    bool stream = m->type == FT_MSG_LOG || m->type == FT_MSG_DELTA;

    if (!stream)
        settle(rp);
    if (!error && (stream || m->type == FT_MSG_BASE) && ft_core_accepts(&rp->core, m)) {
        error = stream ? rp_receiver_take(rp, m, &fault) : rp_base_take(rp, m, &fault);
        rp->stored |= stream;
    }
    /* Its head may make us take over as any other does (a primary that says it reigns no more): what came
     * with it counts, and lanes may have replayed it. */
    if (!error && stream && m->state <= FT_READY)
        settle(rp);
    if (error) {
        refused(rp, fault.text);
        return;
    }
    rp_step(rp, &event);
    if (rp->core.bases != bases)
        rp_receiver_reset(rp, m);
    if (!rp->core.peer.known)
        return;
    if (m->type == FT_MSG_VERDICT && ft_core_primary(&rp->core) && m->view == rp->core.view &&
        m->lane < rp->lanes)
        take_verdict(rp, m);
    if (m->type == FT_MSG_DRILL && !atomic_load(&rp->drill_come)) {
        snprintf(rp->drill_got, sizeof(rp->drill_got), "%.31s", m->text);
        atomic_store(&rp->drill_come, true);
    }
}

/*
 * After reading, before acting on what was read: we may have slept since the turn began. A right that has
 * ended meanwhile must not meet news that came later, like the end of the connection. Only when there was
 * something to read: FT_EV_TIME must not be later than a look that found nothing.
 */
static void look_at_clock(struct rp_replicator *rp)
{
    uint64_t now = monotonic();

    if (now > rp->now && !FT_PLANTED("stale-clock"))
        rp->now = now;
}

static void take_loss(struct rp_replicator *rp)
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
    look_at_clock(rp);
    event.now = rp->now;
    settle(rp);
    if (lost == RP_LOST_MALFORMED) {
        refused(rp, fault.text);
        return;
    }
    event.how = how[lost];
    rp_step(rp, &event);
}

/* A second connection says hello. Is it the peer, and new, or somebody who says again what it once said? */
static void greet_another(struct rp_replicator *rp)
{
    struct ft_message m;
    uint64_t sent;

    if (!rp_link_asks(rp->link, &sent))
        return;
    ft_core_hello(&rp->core, rp->now, &m);
    m.echo = sent; /* and so we prove who we are */
    rp_link_greet(rp->link, &m);
}

static bool take_input(struct rp_replicator *rp)
{
    struct ft_event event = {0};
    struct ft_fault fault;
    struct ft_message m;
    bool any = false;
    uint64_t before;

    for (unsigned round = 0; round < DRAIN_ROUNDS; round++) {
        before = rp_link_stats(rp->link)->bytes_in;
        bool fresh = rp_link_poll(rp->link, rp->now);

        if (fresh || rp_link_stats(rp->link)->bytes_in != before)
            look_at_clock(rp);
        if (fresh) {
            event.kind = FT_EV_CONNECTED;
            event.now = rp->now;
            event.greeted = rp_link_greeted(rp->link);
            rp_step(rp, &event);
            any = true;
        }
        greet_another(rp);
        while (rp_link_next(rp->link, rp->core.peer.known ? rp->lanes : 0, &m, &fault) > 0) {
            take_message(rp, &m);
            any = true;
        }
        take_loss(rp);
        if (rp_link_stats(rp->link)->bytes_in == before)
            break;
    }
    event.kind = FT_EV_WORD;
    while (rp_link_word(rp->link, &event.word)) {
        look_at_clock(rp);
        event.now = rp->now;
        settle(rp);
        rp_step(rp, &event);
        any = true;
    }
    return any;
}

/* ---- lanes ------------------------------------------------------------------------------------- */

static void port_beats(struct rp_replicator *rp)
{
    struct ft_event event = {.kind = FT_EV_PORT_BEAT, .now = rp->now};

    for (unsigned l = 0; l < rp->lanes; l++) {
        uint64_t beat = atomic_load_explicit(&rp_lane(rp, l)->beat_ns, memory_order_acquire);

        if (beat == rp->beat_seen[l])
            continue;
        rp->beat_seen[l] = beat;
        event.view = atomic_load_explicit(&rp_lane(rp, l)->beat_view, memory_order_relaxed);
        if (atomic_load_explicit(&rp_lane(rp, l)->beat_half, memory_order_relaxed) ==
            (uint32_t)(rp->core.peer.incarnation >> 32))
            rp_step(rp, &event);
    }
}

/* All lanes have reached the order given last. */
static bool ordered(struct rp_replicator *rp, enum ft_order kind)
{
    if (rp->ordered != kind)
        return false;
    for (unsigned l = 0; l < rp->lanes; l++)
        if (atomic_load_explicit(&rp_lane(rp, l)->done, memory_order_acquire) !=
            ft_order_make(kind, rp->order))
            return false;
    return true;
}

/* False while the stream does not account for all: the standby would wait for the rest, and we do nothing
 * more. */
static bool gather_closed(struct rp_replicator *rp, uint64_t closed[])
{
    bool all = true;

    for (unsigned l = 0; l < rp->lanes; l++) {
        closed[l] = atomic_load_explicit(&rp_lane(rp, l)->closed, memory_order_acquire);
        all &= atomic_load_explicit(&rp_lane(rp, l)->recorded, memory_order_acquire) == closed[l];
    }
    return all;
}

/*
 * A lane can send no delta that the standby has room for: a base takes its place. Until it is begun, nobody
 * reads what lanes say about the stream before it.
 */
static void overrun(struct rp_replicator *rp)
{
    struct ft_event event = {.kind = FT_EV_TOLD,
                             .now = rp->now,
                             .told = FT_TOLD_RESYNC,
                             .text = "the next delta is larger than half of pending_mb"};
    bool over = false;

    for (unsigned l = 0; l < rp->lanes; l++)
        over |= atomic_load_explicit(&rp_lane(rp, l)->overrun, memory_order_acquire);
    if (!over || !rp->sender.on)
        return;
    rp_step(rp, &event);
    rp->shown.overruns += !rp->sender.on; /* it was not the moment, as in a handover */
}

static void primary_reports(struct rp_replicator *rp)
{
    struct ft_event event = {.now = rp->now};
    bool held = rp->core.resync == FT_RESYNC_SWITCH && !rp->held_told;

    event.kind = FT_EV_CUT;
    if (rp_base_cut(rp, event.closed, event.access))
        rp_step(rp, &event);
    for (unsigned l = 0; held && l < rp->lanes; l++) {
        held = FT_PLANTED("gate-unseen") ||
               atomic_load_explicit(&rp_lane(rp, l)->gate_seen, memory_order_acquire) == rp->gate;
        event.closed[l] = atomic_load_explicit(&rp_lane(rp, l)->hold_from, memory_order_relaxed);
    }
    if (held) {
        rp->held_told = true;
        event.kind = FT_EV_HELD;
        rp_step(rp, &event);
    }
    overrun(rp);
    if (ordered(rp, FT_LANE_DRAIN) && !rp->drained_told && rp->core.hand == FT_HAND_DRAIN &&
        gather_closed(rp, event.closed)) {
        rp->drained_told = true;
        event.kind = FT_EV_DRAINED;
        rp_step(rp, &event);
    }
}

static void standby_reports(struct rp_replicator *rp)
{
    struct ft_event event = {.now = rp->now};
    bool steered = !rp->steered_told, diverged = false;
    struct ft_message m;

    for (unsigned l = 0; l < rp->lanes; l++) {
        struct ft_lane *lane = rp_lane(rp, l);
        uint64_t burst = atomic_load_explicit(&lane->digest_burst, memory_order_acquire);

        steered &= atomic_load_explicit(&lane->steered, memory_order_acquire);
        diverged |= atomic_load_explicit(&lane->diverged, memory_order_acquire);
        if (burst == rp->digest_told[l] || !rp->core.peer.known)
            continue;
        rp->digest_told[l] = burst;
        ft_core_head(&rp->core, FT_MSG_VERDICT, rp->now, &m);
        m.lane = (uint16_t)l;
        m.burst[0] = burst;
        m.number = atomic_load_explicit(&lane->expected, memory_order_relaxed);
        m.number2 = atomic_load_explicit(&lane->got, memory_order_relaxed);
        rp_link_send(rp->link, &m, rp->lanes, NULL);
    }
    if (steered) {
        rp->steered_told = true;
        event.kind = FT_EV_STEERED;
        rp_step(rp, &event);
    }
    if (diverged && !rp->diverged_told) {
        event.kind = FT_EV_DIVERGED;
        event.text = "replay did not reproduce the recording";
        rp_step(rp, &event);
    }
    rp->diverged_told = diverged;
}

static void requests(struct rp_replicator *rp)
{
    struct ft_event event = {
        .kind = FT_EV_TOLD, .now = rp->now, .told = (enum ft_told)atomic_exchange(&rp->told, 0)};
    struct ft_message m;

    if (event.told)
        rp_step(rp, &event);
    if (rp->link && rp->core.peer.known && atomic_exchange(&rp->drill_asked, false)) {
        ft_core_head(&rp->core, FT_MSG_DRILL, rp->now, &m);
        memcpy(m.text, rp->drill_ask, sizeof(rp->drill_ask));
        rp_link_send(rp->link, &m, rp->lanes, NULL);
    }
}

/* ---- status ------------------------------------------------------------------------------------ */

/* One writer, readers retry (a sequence lock): the packet path and the readers never wait for each other. */
static void show(struct rp_replicator *rp)
{
    if (rp->now - rp->shown_at < SHOW_NS)
        return;
    rp->shown_at = rp->now;
    atomic_fetch_add_explicit(&rp->shown_seq, 1, memory_order_acq_rel);
    rp->shown.core = rp->core;
    rp->shown.link_up = rp->link && rp_link_up(rp->link);
    if (rp->link)
        rp->shown.link = *rp_link_stats(rp->link);
    rp->shown.lag_packets = rp_sender_lag(rp);
    rp->shown.refused = rp->refused;
    memcpy(rp->shown.last_refused, rp->last_refused, sizeof(rp->shown.last_refused));
    rp->shown.base_left = rp->base.reading ? rp->base.left : 0;
    atomic_fetch_add_explicit(&rp->shown_seq, 1, memory_order_release);
}

void rp_status(struct rp_replicator *rp, struct rp_status *out)
{
    uint64_t before, after;

    do {
        before = atomic_load_explicit(&rp->shown_seq, memory_order_acquire);
        memcpy(out, &rp->shown, sizeof(*out));
        atomic_thread_fence(memory_order_acquire);
        after = atomic_load_explicit(&rp->shown_seq, memory_order_relaxed);
    } while (before != after || before & 1);
}

/* ---- turn -------------------------------------------------------------------------------------- */

bool rp_turn(struct rp_replicator *rp, uint64_t now)
{
    struct ft_event time = {.kind = FT_EV_TIME, .now = now};
    struct ft_event whole = {.kind = FT_EV_BASE_SENT, .now = now};
    bool busy = false, sent_all = false;

    rp->now = now;
    if (rp->link) {
        busy |= take_input(rp);
        time.now = whole.now = now = rp->now;
        port_beats(rp);
        if (ft_core_primary(&rp->core))
            primary_reports(rp);
        else
            standby_reports(rp);
        if (!ft_core_primary(&rp->core))
            rp_receiver_publish(rp);
    }
    busy |= progress(rp);
    requests(rp);
    if (now >= rp->time_due) {
        rp_step(rp, &time);
        rp->time_due = ft_core_due(&rp->core) < now + FT_MS ? ft_core_due(&rp->core) : now + FT_MS;
    }
    if (rp->link) {
        busy |= rp_sender_turn(rp);
        busy |= rp_base_turn(rp, &sent_all);
        if (sent_all)
            rp_step(rp, &whole);
        rp_link_flush(rp->link);
    }
    show(rp);
    return busy;
}

/*
 * Lanes cannot wake us (that would be a system call in the packet path), so while records come we look often,
 * a while after the last one still, and then rarely: the first packet after a pause may wait a millisecond.
 * What the peer says wakes us at once.
 */
static uint64_t patience(const struct rp_replicator *rp, unsigned idle)
{
    bool pressing = rp->core.resync || rp->core.hand || rp->core.state == FT_SYNCING;

    if (pressing || (idle < BUSY_TURNS && rp->sender.on))
        return WAIT_BUSY_NS;
    return idle < QUIET_TURNS ? WAIT_IDLE_NS : WAIT_STILL_NS;
}

void rp_run(struct rp_replicator *rp)
{
    uint64_t seen = 0;
    unsigned idle = 0;

    while (!atomic_load_explicit(&rp->stop, memory_order_relaxed)) {
        bool busy = rp_turn(rp, monotonic());

        /* Heartbeats come and go without making us impatient; records do. */
        uint64_t entries =
            rp->shown.records_sent + rp->shown.records_stored + rp->shown.parts_sent + rp->shown.parts_stored;

        idle = entries != seen ? 0 : idle + 1;
        seen = entries;
        if (rp->link) {
            rp_link_wait(rp->link, busy ? 0 : patience(rp, idle));
        } else {
            struct timespec still = {0, WAIT_STILL_NS};

            nanosleep(&still, NULL);
        }
    }
}

/* ---- making ------------------------------------------------------------------------------------ */

int rp_open(struct rp_replicator **out, const struct rp_config *config, struct ft_fault *fault)
{
    struct rp_replicator *rp = calloc(1, sizeof(*rp));
    int error = 0;

    *out = NULL;
    if (!rp)
        return ft_fail(fault, FT_ENOMEM, "no memory for the replicator");
    rp->config = *config;
    rp->lanes = config->core.lanes;
    if (rp_sender_init(rp) || rp_base_init(rp) || rp_receiver_init(rp))
        error = ft_fail(fault, FT_ENOMEM, "no memory for the replicator");
    if (!error && config->protect) {
        error = rp_view_load(config->view_file, &rp->config.core.view, fault);
        if (!error) /* now, while a mistake can still be told: is the file writable? */
            error = rp_view_store(config->view_file, rp->config.core.view, fault);
        if (!error)
            error = rp_link_open(&rp->link, &rp->config.link, fault);
    } else if (!error) {
        rp->config.core.role = 0;
        rp->config.core.strict = false;
        rp->config.core.start_alone_ms = 1;
    }
    if (error) {
        rp_close(rp);
        return error;
    }
    rp->now = monotonic();
    rp->steered_told = true;
    ft_core_init(&rp->core, &rp->config.core, rp->now, &rp->actions);
    rp_carry_out(rp);
    show(rp);
    *out = rp;
    return 0;
}

void rp_close(struct rp_replicator *rp)
{
    if (!rp)
        return;
    rp_link_close(rp->link);
    rp_sender_free(rp);
    rp_base_free(rp);
    rp_receiver_free(rp);
    free(rp);
}

void rp_stop(struct rp_replicator *rp)
{
    atomic_store(&rp->stop, true);
}

void rp_tell(struct rp_replicator *rp, enum ft_told what)
{
    atomic_store(&rp->told, (int)what);
}

void rp_drill(struct rp_replicator *rp, const char *kind)
{
    snprintf(rp->drill_ask, sizeof(rp->drill_ask), "%.31s", kind);
    atomic_store(&rp->drill_asked, true);
}

bool rp_drilled(struct rp_replicator *rp, char *kind, size_t cap)
{
    if (!atomic_load(&rp->drill_come))
        return false;
    snprintf(kind, cap, "%s", rp->drill_got);
    atomic_store(&rp->drill_come, false);
    return true;
}

bool rp_verdict(struct rp_replicator *rp, unsigned lane, uint64_t *burst, uint64_t *expected, uint64_t *got)
{
    uint64_t before;

    /* Whole, or the digests of one burst would be told as another's. */
    do {
        if ((before = atomic_load(&rp->verdict[lane].seq)) == 0)
            return false;
        *burst = atomic_load(&rp->verdict[lane].burst);
        *expected = atomic_load(&rp->verdict[lane].expected);
        *got = atomic_load(&rp->verdict[lane].got);
    } while (before & 1 || before != atomic_load(&rp->verdict[lane].seq));
    return true;
}
