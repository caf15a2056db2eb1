/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane: what it owns, how it follows the replicator's orders (enum ft_order) between bursts, and what it
 * does when there is nothing to do: it answers questions, and backs off. Its turns are in turn.c. Written and
 * read by the lane's own thread, but for making and freeing it; where several lanes have to go on together
 * they come to a barrier (group.h).
 *
 * Two nodes may share two cores, so an idle lane must not burn one. A lane that holds outputs and is not
 * woken when they may leave, or whose packets come densely, spins a bounded while first, since what it waits
 * for is near.
 */
#include "lane/parts.h"
#include "ftcore/base/cpu.h"
#include "ftcore/base/plant.h"
#include "ftcore/order/closed.h"
#include "ftcore/queue/lanelink.h"
#include "ftcore/region/audit.h"
#include "ftcore/base/clock.h"
#include "nflib/chain/chain.h"

#include <sched.h>
#include <stdlib.h>
#include <time.h>

#define REPLAYED_BYTES (4u << 20)
#define SLOW_MAKE_S    1 /* ftcore/base/plant.h */

#define SPIN_HELD    400u /* turns: some tens of microseconds */
#define SPIN_IDLE    50u
#define SLEEP_HELD   10000u /* ns */
#define HELD_TURNS   4000u  /* some 0.2 s */
#define SLEEP_FIRST  20000u
#define SLEEP_LAST   450000u
#define SLEEP_DOUBLE 200u     /* turns until a sleep doubles */
#define SLEEP_REST   5000000u /* whatever else comes waits no longer, as with a replicator (ft_core_due) */

/* ---- what it owns -------------------------------------------------------------------------------- */

void nd_lane_take_chain(struct nd_lane *lane, struct nf_chain *chain)
{
    lane->chain = chain;
    if (lane->setup.mark)
        nf_chain_mark(chain, lane->setup.mark);
    nf_chain_tally(chain, lane->tally);
    nf_chain_share(chain, lane->group->published);
    nf_chain_sections(chain)->off = &lane->group->aborted;
    lane->whole_capture =
        lane->protect->capture == ND_CAPTURE_FULL || nf_chain_reads(lane->config) == NF_READS_PAYLOAD;
    lane->by_session = lane->protect->capture == ND_CAPTURE_AUTO && nf_chain_records_sessions(chain) &&
                       !lane->setup.recorder && !lane->io->rest && !lane->io->input;
}

static int make_chain(struct nd_lane *lane, struct ft_fault *fault)
{
    int error;

    ft_audit_suspend(lane->region);
    error = nf_chain_make(&lane->chain, lane->config, lane->region, lane->index, lane->setup.seed, fault);
    if (error == 0)
        nd_lane_take_chain(lane, lane->chain);
    ft_audit_resume(lane->region);
    return error;
}

/* Behind an input keeper nothing is forgotten: each output that the primary has made, and that has not left,
 * is in a buffer of its. */
static uint64_t replayed_bytes(const struct nd_lane *lane)
{
    const struct nd_io *io = lane->io;
    uint32_t bytes = lane->whole_capture ? io->frame_max : ND_LANE_HEADERS;
    uint64_t most = io->buffers * (uint64_t)(sizeof(struct lg_output) + bytes);

    if (lane->setup.replayed_bytes)
        return lane->setup.replayed_bytes;
    return io->tell && most > REPLAYED_BYTES ? most : REPLAYED_BYTES;
}

static int make_link(struct nd_lane *lane, struct ft_fault *fault)
{
    struct nd_group *group = lane->group;

    if (!group->by_port && !(group->by_port = ft_closed_new(group->lanes, 4 * FT_LINK_WINDOW)))
        return ft_fail(fault, FT_ENOMEM, "no memory for the lanes' closed set");
    return nd_link_make(&lane->link, lane->setup.wire, fault);
}

int nd_lane_make(struct nd_lane *lane, struct ft_fault *fault)
{
    /* Half the buffers stay for the ports, or a full hold would starve reception for good. */
    uint32_t hold = ft_hold_fit(lane->protect->hold_packets, lane->io->buffers / 2);

    if (hold < NF_BURST_MAX + NF_EMIT_MAX)
        return ft_fail(fault, FT_EINVAL, "lane %u: %u packet buffers are too few to hold a burst's outputs",
                       lane->index, lane->io->buffers);
    lane->by_seq = lane->io->input && lane->protect->capture == ND_CAPTURE_AUTO;
    lane->burst.frames = lane->by_seq ? aligned_alloc(64, (size_t)NF_BURST_MAX * lane->io->frame_max) : NULL;
    if (lane->by_seq && !lane->burst.frames)
        return ft_fail(fault, FT_ENOMEM, "lane %u: no memory for a burst's frames", lane->index);
    if (nd_verification_make(lane) != 0)
        return ft_fail(fault, FT_ENOMEM, "lane %u: no memory to keep slices", lane->index);
    lane->capture.lane = lane->shared;
    lane->delta = (struct lg_delta){.lane = lane->shared,
                                    .region = lane->region,
                                    .hold = &lane->hold,
                                    .carry = nd_lane_carry,
                                    .arg = lane};
    if (ft_hold_init(&lane->hold, hold) != 0 || nd_waiting_make(&lane->waiting, lane->io->buffers) != 0)
        return ft_fail(fault, FT_ENOMEM, "lane %u: no memory for %u held packets", lane->index, hold);
    int error = make_chain(lane, fault);

    if (!error && lane->setup.wire)
        error = make_link(lane, fault);
    if (!error && lg_replayed_init(&lane->replayed, replayed_bytes(lane)) != 0)
        error = ft_fail(fault, FT_ENOMEM, "lane %u: no memory for replayed outputs", lane->index);
    return error;
}

void nd_lane_free(struct nd_lane *lane)
{
    nf_chain_free(lane->chain);
    ft_hold_free(&lane->hold);
    nd_waiting_free(&lane->waiting);
    nd_verification_free(lane);
    lg_replayed_free(&lane->replayed);
    nd_link_free(lane->link);
    if (lane->index == 0 && lane->group) {
        ft_closed_free(lane->group->by_port);
        lane->group->by_port = NULL;
    }
    free(lane->burst.frames);
}

/* ---- orders -------------------------------------------------------------------------------------- */

/* All lanes wait, and a snapshot of another chain comes, or the peer has another one. */
static void become_other(struct nd_group *group)
{
    nd_group_change(group, ND_CHANGE_WANTED);
}

static bool is_other_wanted(const struct nd_lane *lane)
{
    struct nd_change *c = atomic_load_explicit(&lane->group->change, memory_order_acquire);

    return c && atomic_load_explicit(&c->stage, memory_order_acquire) == ND_CHANGE_WANTED;
}

/* Nobody has any state: make every lane's anew, in order, whatever a snapshot may have left in the region. */
static void make_fresh(struct nd_group *group)
{
    struct ft_region *region = group->lane[0].region;
    struct ft_fault fault;

    ft_audit_suspend(region);
    for (unsigned l = 0; l < group->lanes; l++)
        nf_chain_free(group->lane[l].chain);
    ft_region_wipe(region);
    ft_audit_resume(region);
    if (FT_PLANTED("slow-make"))
        nanosleep(&(struct timespec){SLOW_MAKE_S, 0}, NULL);
    for (unsigned l = 0; l < group->lanes; l++) {
        FT_CHECK(make_chain(&group->lane[l], &fault) == 0, "the chain could be made before: %s", fault.text);
        group->lane[l].time_offset = 0;
        if (!FT_PLANTED("old-tail"))
            lg_replayed_clear(&group->lane[l].replayed); /* of a state that was dropped */
        atomic_store_explicit(&group->published[l].access, 0, memory_order_relaxed);
    }
}

/* Of a state that may be another one than when it was live last. All but the tail has left, or never will. */
static void report_burst(struct nd_lane *lane)
{
    const struct nf_lane_state *state = nf_chain_state(lane->chain);
    uint64_t tail = lane->replayed.count;

    FT_REPORT_SET(lane->shared, executed, state->burst);
    FT_REPORT_SET(lane->shared, recorded, state->burst);
    FT_REPORT_SET(lane->shared, released, state->outputs > tail ? state->outputs - tail : 0);
}

/* From a snapshot. Other lanes may depend on accesses that it already holds, so they are published. */
static void begin_replay(struct nd_lane *lane)
{
    const struct nf_lane_state *state = nf_chain_state(lane->chain);
    uint64_t said = FT_ORDER_GET(lane->shared, snapshot_burst); /* last burst that the snapshot holds */

    atomic_store_explicit(&lane->group->published[lane->index].access, state->access - 1,
                          memory_order_release);
    lg_replayed_clear(&lane->replayed);
    lane->apply.cut = 0;
    lane->apply.last_was_chunk = false;
    if (lane->index == 0)
        atomic_store_explicit(&lane->group->shared_applied, 0, memory_order_release);
    if (lane->setup.recorder)
        lg_recorder_stop(lane->setup.recorder, lane->index);
    if (lane->doing == FT_LANE_REPLAY) {
        nd_lane_recorder_turn(lane); /* one lane: from the first record on, if any is to come */
        if (state->burst != said)
            nd_lane_diverged(lane, state->burst, state->seq, "last burst of the snapshot", said,
                             state->burst);
    }
    report_burst(lane);
}

/* Replays what is left of the closed set. False: the rest is left, since the node is to end, the order to
 * take over was taken back, or the state is given up: then others in the midst of a burst wait no longer. */
static bool replay_closed_set(struct nd_lane *lane)
{
    uint64_t upto = nd_lane_replays_to(lane);

    while (nd_lane_behind(lane, upto) && nd_lane_replay(lane, upto)) {
        bool given_up =
            nd_lane_is_taken_back(lane) && ft_order_kind(FT_ORDER_GET(lane->shared, order)) == FT_LANE_WAIT;

        if (given_up)
            nd_lane_abort_replay(lane);
        if (given_up || nd_lane_is_to_end(lane) ||
            (lane->doing == FT_LANE_LIVE && nd_lane_is_taken_back(lane)))
            return false;
    }
    return true;
}

/* Another lane may be waiting for what this one was to replay; all of the closed set can be. */
static void finish_replay(struct nd_lane *lane)
{
    nd_link_shut(lane);
    if (lane->group->lanes > 1 && !lane->protect->stores)
        replay_closed_set(lane);
}

static void discard_entries(struct ft_ring *ring)
{
    uint64_t there;

    while (ft_ring_peek(ring, &there))
        ft_ring_advance(ring, there);
    ft_ring_consume(ring);
}

/* What is left of the closed set is replayed; chain time goes on from where it stopped, never back. False:
 * the node is to end, or the order was taken back. */
static bool take_over(struct nd_lane *lane)
{
    nd_link_shut(lane);
    uint64_t upto = nd_lane_replays_to(lane);

    if (!replay_closed_set(lane) || nd_lane_is_to_end(lane) || nd_lane_is_taken_back(lane))
        return false;
    FT_CHECK(nf_chain_state(lane->chain)->burst == upto, "replay ends at burst %lu of %lu",
             nf_chain_state(lane->chain)->burst, upto);
    discard_entries(&lane->shared->replay); /* outside the closed set: nothing of it was released */
    discard_entries(&lane->shared->checkpoint);
    discard_entries(&lane->shared->direct);
    if (FT_PLANTED("reuse-seq")) {
        const uint64_t *seq = &nf_chain_state(lane->chain)->seq;

        *(uint64_t *)ft_edit(lane->region, seq, sizeof(*seq)) -= 1;
    }
    lane->now = ft_now();
    lane->time_offset = nf_chain_state(lane->chain)->time - lane->now;
    FT_GAUGE_SET(lane->shared, replay_done_ns, lane->now);
    return true;
}

static void begin_new_recording(struct nd_group *group)
{
    if (group->lane[0].setup.recorder)
        lg_recorder_rotate(group->lane[0].setup.recorder);
}

/*
 * False: the order was taken back while lanes came to a barrier. A lane that is live takes locks, one that
 * replays does not: none may go live before all have replayed. Recordings go on in a new file from there.
 */
static bool go_live(struct nd_lane *lane, enum ft_order before)
{
    FT_GAUGE_SET(lane->shared, first_release_ns, 0);
    if (lane->doing == FT_LANE_FRESH && !nd_group_barrier(lane, make_fresh, NULL))
        return false;
    if (before == FT_LANE_REPLAY) {
        if (!take_over(lane) || !nd_group_barrier(lane, begin_new_recording, NULL)) {
            lane->doing = before;
            return false;
        }
    }
    /* Behind a handover that was aborted stream and export go on: the delta of the last burst may be missing.
     */
    if (before != FT_LANE_OWN_MAC && before != FT_LANE_DRAIN) {
        report_burst(lane);
        nd_lane_export_begin(lane);
    }
    lane->doing = FT_LANE_LIVE;
    if (before == FT_LANE_REPLAY || before == FT_LANE_WAIT)
        nd_link_forget(lane);
    if (before == FT_LANE_REPLAY || before == FT_LANE_WAIT) {
        nd_lane_announce(lane, true);
        nd_lane_emit_tail(lane);
    }
    lane->now = ft_now();
    return true;
}

/*
 * The lane stopped and slept, and an order came and went (a WAIT does not: the replicator waits for it). If
 * it was to replay, others may have begun, and wait for what is this lane's.
 */
static bool missed_replay(const struct nd_lane *lane, uint64_t order)
{
    return !FT_PLANTED("overslept") && lane->doing == FT_LANE_WAIT && lane->group->lanes > 1 &&
           lane->seen.order != FT_ALL && ft_order_serial(order) > ft_order_serial(lane->seen.order) + 1;
}

/* WAIT, with which the state is given up: so is what others wait for in the midst of a burst. FENCED, with
 * which it is kept: the lane's part of a replay that goes on in others is done first. */
static void stop_work(struct nd_lane *lane, enum ft_order before, bool missed, bool aborted)
{
    if (missed)
        begin_replay(lane);
    if ((missed || before == FT_LANE_REPLAY) && (aborted || lane->doing == FT_LANE_WAIT))
        nd_lane_abort_replay(lane); /* for those who follow this order already, too */
    else if (missed || before == FT_LANE_REPLAY)
        finish_replay(lane);
    nd_lane_drop_held(lane);
    nd_lane_export_end(lane);
    if (lane->setup.recorder)
        lg_recorder_stop(lane->setup.recorder, lane->index);
}

void nd_lane_follow(struct nd_lane *lane, uint64_t order)
{
    enum ft_order before = lane->doing;
    bool missed = missed_replay(lane, order), aborted = nd_lane_replay_aborted(lane);

    nd_lane_leave_stop_point(lane);
    lane->seen.order = order;
    lane->doing = ft_order_kind(order);
    if (lane->doing == FT_LANE_WAIT || lane->doing == FT_LANE_FENCED || lane->doing == FT_LANE_REPLAY)
        nd_link_forget(lane);
    lane->timers.steer_at = 0;
    switch (lane->doing) {
    case FT_LANE_WAIT:
    case FT_LANE_FENCED:
        stop_work(lane, before, missed, aborted);
        /* The word is set before the order is given, so all lanes come. */
        if (lane->doing == FT_LANE_WAIT && is_other_wanted(lane))
            nd_group_barrier(lane, become_other, is_other_wanted);
        break;
    case FT_LANE_REPLAY:
        if (lane->setup.remedy)
            lane->remedied = atomic_load(&lane->setup.remedy->serial);
        begin_replay(lane);
        break;
    case FT_LANE_LIVE:
        /*
         * REPLAY came and went while the lane slept: with nothing to replay yet the standby is READY without
         * it, and what it has acknowledged since is this lane's to replay now.
         */
        if (before == FT_LANE_WAIT) {
            begin_replay(lane);
            before = FT_LANE_REPLAY;
        }
        /* fall through */
    case FT_LANE_FRESH:
        if (lane->doing == FT_LANE_FRESH && lane->setup.remedy)
            lane->remedied = atomic_load(&lane->setup.remedy->serial);
        if (!go_live(lane, before))
            return;
        break;
    case FT_LANE_OWN_MAC:
        break;
    case FT_LANE_DRAIN: /* reached when the ports have been empty for a while */
        lane->timers.quiet_since = lane->now;
        return;
    }
    FT_REPORT_SET(lane->shared, done, lane->seen.order);
}

void nd_lane_end(struct nd_lane *lane)
{
    nd_lane_leave_stop_point(lane);
    /* Who waits for this lane waits in vain, whatever order it follows. */
    if (lane->group->lanes > 1)
        atomic_store_explicit(&lane->group->aborted, FT_ALL, memory_order_release);
    nd_lane_drop_held(lane);
}

/* ---- nothing to do ------------------------------------------------------------------------------- */

/* What comes ends its sleep: a packet, or that what it has may leave, or be replayed. Not while it leaves its
 * ports unread, nor while it is to do something that nobody wakes it for: to make a delta, or the cut that is
 * due next. */
static bool can_be_woken(const struct nd_lane *lane)
{
    if (lane->group->lanes > 1 || !lane->io->receive || nd_link_is_busy(lane) ||
        (nd_link_carries(lane) && ft_hold_count(&lane->hold) > 0))
        return false;
    if (!nd_lane_is_live(lane)) /* what it is to do is an order, which wakes it */
        return true;
    return lane->doing == FT_LANE_LIVE && lane->io->waits && lane->turn.takes && !lane->turn.deaf &&
           nd_stream_is_complete(lane);
}

/* It is not woken by what comes, so it looks at shorter intervals the shorter ago the last packet is. What is
 * held is waited for closely, but not for ever: a gate that is shut may stay so. */
static uint64_t look_ns(const struct nd_lane *lane)
{
    bool held = ft_hold_count(&lane->hold) > 0 && lane->turn.idle < HELD_TURNS;
    unsigned doubled = lane->turn.idle / SLEEP_DOUBLE;
    uint64_t ns = (uint64_t)SLEEP_FIRST << (doubled < 5 ? doubled : 5);

    if (lane->turn.idle < (held ? SPIN_HELD : SPIN_IDLE))
        return 0;
    return held ? SLEEP_HELD : ns < SLEEP_LAST ? ns : SLEEP_LAST;
}

/*
 * How long to sleep; 0: not yet. While packets come densely it stays awake for a while behind each. Else it
 * sleeps at once until it is woken. Nobody waits for a warm standby's lane until a takeover, which wakes it,
 * and waking would take the processor from a replicator for which everybody waits.
 */
static uint64_t sleep_ns(const struct nd_lane *lane)
{
    bool warm = lane->doing == FT_LANE_REPLAY && lane->protect->stores;

    if (nd_link_is_busy(lane)) /* nobody wakes it for what comes by its port */
        return 0;
    if (lane->doing == FT_LANE_REPLAY && nd_link_was_busy(lane))
        return SLEEP_FIRST;
    if (nd_lane_is_dense(lane) || !can_be_woken(lane))
        return warm ? SLEEP_LAST : look_ns(lane);
    if (!FT_ORDER_GET(lane->shared, calm))
        return SLEEP_LAST;
    uint64_t due = nd_lane_heartbeat_due(lane), ns = due > lane->now ? due - lane->now : 0;

    return ns < SLEEP_REST ? ns : SLEEP_REST;
}

/* Announces that it sleeps, and looks once more: a writer that came too early did not see the
 * announcement. */
static void sleep_until_woken(struct nd_lane *lane, uint64_t ns)
{
    struct ft_lane_shared *shared = lane->shared;
    bool replays = lane->doing == FT_LANE_REPLAY, more = false;
    const struct ft_held *held;

    if (replays ? !lane->protect->stores : ft_hold_count(&lane->hold) > 0) {
        FT_REPORT_SET(shared, sleeps, true);
        atomic_thread_fence(memory_order_seq_cst);
        more = replays ? nd_lane_behind(lane, nd_lane_replays_to(lane))
                       : ft_hold_ready(&lane->hold, FT_ORDER_GET(shared, stable), 1, &held) > 0;
    }
    if (more && lane->turn.idle < HELD_TURNS) /* or a port, or the lease, keeps what may leave */
        ns = SLEEP_HELD;
    lane->turn.deaf = !nd_lane_sleep(shared, ns, lane->io->descriptor, replays ? 0 : lane->io->devices);
    FT_REPORT_SET(shared, sleeps, false);
}

void nd_lane_wait(struct nd_lane *lane, bool worked)
{
    const struct ft_lane_counters *count = &lane->shared->count;
    uint64_t packets = atomic_load_explicit(&count->received, memory_order_relaxed) +
                       atomic_load_explicit(&count->replayed_packets, memory_order_relaxed),
             came = packets - lane->turn.packets, ns;

    /* Timers and digests come and go without making it impatient. */
    lane->turn.idle = came ? 0 : lane->turn.idle + 1;
    lane->turn.packets = packets;
    lane->turn.slept = 0;
    if (came) {
        lane->turn.gap = (lane->now - lane->turn.moved) / came;
        lane->turn.moved = lane->now;
    }
    if (worked)
        return;
    ns = sleep_ns(lane);
    if (ns == 0) {
        /* What this one waits for by its port, another lane of the same processor may be working at. */
        if (lane->group->lanes > 1 && nd_link_is_busy(lane))
            sched_yield();
        else
            ft_pause();
        return;
    }
    ft_turns_spent(&lane->shared->count.turns, FT_SPENT_EMPTY, ft_now());
    lane->turn.spent = FT_SPENT_ASLEEP;
    lane->turn.slept = ns;
    if (can_be_woken(lane)) {
        sleep_until_woken(lane, ns);
    } else {
        lane->turn.deaf = false;
        nd_lane_sleep(lane->shared, ns, NULL, 0);
    }
}

static void show_rows(struct nd_lane *lane, struct nd_question *q)
{
    struct nf *nf = nf_chain_find(lane->chain, q->text);
    struct nf_show *out;

    if (!nf || !nf->module->show) {
        q->error = nf ? ft_fail(&q->fault, FT_ENOENT, "NF '%s' has nothing to show", q->text)
                      : nf_chain_refuse_name(lane->chain, q->text, &q->fault);
        return;
    }
    out = nf_show_begin(q->out, q->cap);
    if (!out) {
        q->error = ft_fail(&q->fault, FT_ENOMEM, "no memory to show '%s'", q->text);
        return;
    }
    q->more = nf_chain_show(lane->chain, nf, out, &q->cursor);
    q->len = nf_show_end(out);
    q->error = 0;
}

bool nd_lane_claim_question(const struct nd_lane *lane, enum nd_ask_kind kind)
{
    struct nd_question *q = lane->setup.question;
    int expected = (int)kind;

    if (!atomic_compare_exchange_strong(&q->asked, &expected, ND_ASK_TAKEN))
        return false;
    if (q->lane == lane->index)
        return true;
    /* Between the look and the claim it was taken back, and another lane was asked. */
    atomic_store_explicit(&q->asked, (int)kind, memory_order_release);
    return false;
}

void nd_lane_answer(struct nd_lane *lane)
{
    struct nd_question *q = lane->setup.question;
    int asked = atomic_load_explicit(&q->asked, memory_order_acquire);
    bool live = nd_lane_is_live(lane);

    if (asked == ND_ASK_NONE || q->lane != lane->index || (asked == ND_ASK_COMMAND && live))
        return; /* a command becomes part of the next burst */
    if (asked == ND_ASK_TAKEN || !nd_lane_claim_question(lane, (enum nd_ask_kind)asked))
        return;
    if (asked == ND_ASK_COMMAND)
        q->error = ft_fail(&q->fault, FT_EBUSY, "only the primary changes state");
    else if (live || lane->doing == FT_LANE_REPLAY)
        show_rows(lane, q);
    else
        q->error = ft_fail(&q->fault, FT_EBUSY, "this node holds no state yet");
    atomic_store_explicit(&q->asked, ND_ASK_NONE, memory_order_release);
}
