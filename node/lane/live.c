/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane while its node is primary: a turn is to receive (lane/inputs.c), capture, run the chain, hold and
 * release (lane/outputs.c). The burst's time is the turn's reading of the clock.
 */
#include "node/lane/lane.h"
#include "ftcore/region/audit.h"
#include "nflib/net/bytes.h"
#include "nflib/chain/chain.h"

#include <endian.h>
#include <string.h>

#define ARP_TYPE    0x0806
#define QUIET_NS    2000000ull
#define DRAIN_QUIET 3000000ull /* ns without a frame until the ports count as empty */

/* ---- burst ------------------------------------------------------------------------------------- */

static inline __attribute__((always_inline)) void capture_inputs(struct nd_lane *lane, bool whole)
{
    struct lg_inputs inputs = lg_capture_inputs(&lane->capture);

    for (uint32_t i = 0; i < lane->burst.n; i++) {
        struct nf_packet *p = &lane->burst.packets[i];
        uint32_t take = p->len;

        if (!whole) {
            nf_packet_parse(p);
            take = nf_packet_header_bytes(p);
        }
        lg_inputs_add(&inputs, p->data, p->len, take, p->in_port, p->side == NF_OUTSIDE);
    }
    lg_capture_inputs_end(&lane->capture, &inputs);
}

static void capture(struct nd_lane *lane, uint64_t burst, uint64_t time)
{
    lg_capture_begin(&lane->capture, lane->index, burst, nf_chain_state(lane->chain)->seq, time,
                     lane->burst.n);
    if (lane->io->burst)
        lane->capture.record->flags |= FT_REC_STAMPED;
    if (lane->by_seq) {
        lg_capture_by_seq(&lane->capture);
        return;
    }
    if (lane->whole_capture)
        capture_inputs(lane, true);
    else
        capture_inputs(lane, false);
}

/* Chain time of a burst that no gate stamps: goes on from where it stood, never back. */
static uint64_t burst_time(struct nd_lane *lane)
{
    uint64_t last = nf_chain_state(lane->chain)->time, time = lane->now + lane->time_offset;

    return (int64_t)(time - last) < 0 ? last : time;
}

/* What NFs learned from outside in the burst, and the order it had with other lanes. */
static void capture_determinants(struct nd_lane *lane, uint64_t access)
{
    const struct ft_sections *order = nf_chain_sections(lane->chain);
    const void *values;
    uint32_t len = nf_determinants_noted(nf_chain_determinants(lane->chain), &values);

    if (len)
        lg_capture_determinant(&lane->capture, values, len);
    lg_capture_order(&lane->capture, access, (uint32_t)(order->next - access), order->dependencies,
                     order->count);
}

/* The record is whole: to who keeps the log, to the flight recorder, then to the replicator. */
static void hand_over(struct nd_lane *lane, bool logged)
{
    const struct ft_record *r = lg_capture_whole(&lane->capture, lane->recorded_released);

    if (lane->io->record)
        lane->io->record(lane->io->ctx, lane->index, r);
    if (lane->setup.recorder)
        lg_recorder_record(lane->setup.recorder, lane->index, r);
    if (logged) {
        lane->cut.uncovered += r->size;
        lg_capture_end(&lane->capture, lane->recorded_released);
    } else {
        lg_capture_forget(&lane->capture);
    }
}

/* Somebody besides the replicator. */
static bool wants_record(const struct nd_lane *lane)
{
    return lane->io->record || (lane->setup.recorder && lg_recorder_listens(lane->setup.recorder));
}

static void run_burst(struct nd_lane *lane, uint64_t time, const char *command)
{
    const struct nf_lane_state *state = nf_chain_state(lane->chain);
    struct nd_question *q = lane->setup.question;
    uint64_t burst = state->burst + 1, seq = state->seq, number = state->outputs, access = state->access;
    bool logged = nd_lane_logs(lane), deltas = nd_lane_deltas(lane);
    bool captured = logged || wants_record(lane);

    if (captured)
        capture(lane, burst, time);
    if (command) { /* a determinant: recorded, and on replay taken from the record */
        if (captured)
            lg_capture_determinant(&lane->capture, command, (uint32_t)strlen(command));
        q->error = nf_chain_command(lane->chain, command, (uint32_t)strlen(command), time, &q->fault);
    }
    nf_chain_run(lane->chain, burst, time, lane->burst.packets, lane->burst.n);
    ft_audit_check(lane->region, lane->index);
    if (captured)
        capture_determinants(lane, access);
    if (logged) {
        if (ft_unlikely(nd_lane_owes_digest(lane)))
            lg_capture_digest(&lane->capture, nd_lane_tell_digest(lane, burst));
        lane->recorded_released = atomic_load_explicit(&lane->shared->report.released, memory_order_relaxed);
    }
    if (logged || deltas)
        lane->timers.busy_at = lane->now;
    if (captured)
        hand_over(lane, logged);
    /* What is not answered yet waits in the hold. */
    if (ft_likely(!lane->setup.redis || nd_redis_confirmed(lane->setup.redis) >= burst ||
                  !nd_redis_lost(lane->setup.redis)))
        nd_lane_hold(lane, burst, seq, number);
    else
        nd_lane_drop_burst(lane);
    atomic_store_explicit(&lane->shared->report.executed, burst, memory_order_release);
    if (!deltas)
        atomic_store_explicit(&lane->shared->report.recorded, burst, memory_order_release);
    FT_COUNT(lane->shared, bursts, 1);
    FT_COUNT(lane->shared, empty_bursts, lane->burst.n == 0);
    FT_COUNT(lane->shared, received, lane->burst.n);
}

/*
 * A hot standby has more left to replay than a takeover may take. Not in SOLO, where nothing waits for the
 * standby and a resync has all of the log to replay; nor where a gate stamps time, whose pace is not this
 * lane's.
 */
static bool standby_lags(const struct nd_lane *lane)
{
    const struct nd_protect *p = &lane->config->protect;

    return atomic_load_explicit(&lane->shared->orders.lag_ns, memory_order_relaxed) >
               p->recovery_budget_ms * 1000000ull &&
           !p->stores && nd_lane_logs(lane) && !lane->io->burst &&
           atomic_load_explicit(&lane->shared->orders.lease_until, memory_order_relaxed) != FT_ALL;
}

/* Room for whatever a burst may make; without it the ports' own queues have to wait. */
static bool has_room(struct nd_lane *lane)
{
    if (ft_hold_room(&lane->hold) < NF_BURST_MAX + NF_EMIT_MAX) {
        FT_COUNT(lane->shared, hold_full, 1);
        return false;
    }
    if (standby_lags(lane)) {
        FT_COUNT(lane->shared, lag_full, 1);
        return false;
    }
    if (lane->io->room && !lane->io->room(lane->io->ctx, lane->index))
        return false;
    /* Logging may begin, but a recording only between bursts, by this lane: what wants_record said still
     * holds. */
    if ((wants_record(lane) || atomic_load_explicit(&lane->shared->orders.logging, memory_order_relaxed)) &&
        !lg_capture_room(lane->shared)) {
        FT_COUNT(lane->shared, ring_full, 1);
        return false;
    }
    return true;
}

static const char *command_asked(struct nd_lane *lane)
{
    if (atomic_load_explicit(&lane->setup.question->asked, memory_order_acquire) != ND_ASK_COMMAND ||
        lane->setup.question->lane != lane->index)
        return NULL;
    return nd_lane_take(lane->setup.question, ND_ASK_COMMAND) ? lane->setup.question->text : NULL;
}

/* Frames that one lane polls may be another's, so none stops before all are quiet. */
static bool all_drained(const struct nd_lane *lane)
{
    for (unsigned l = 0; l < lane->group->lanes; l++)
        if (atomic_load_explicit(&lane->group->lane[l].shared->report.done, memory_order_relaxed) !=
            lane->seen.order)
            return false;
    return true;
}

/* Shares of a cut that no lane may leave unfinished: what was recorded behind them counts only with them. */
static bool copies(const struct nd_lane *lane)
{
    return atomic_load_explicit(&lane->shared->orders.logging, memory_order_relaxed) &&
           atomic_load_explicit(&lane->group->stream.copying, memory_order_acquire);
}

/* While draining: the ports were looked at for a while and gave nothing, and all that was made has left. */
static void consider_drained(struct nd_lane *lane, bool looked)
{
    if (!looked)
        lane->timers.quiet_since = lane->now;
    if (lane->now - lane->timers.quiet_since >= DRAIN_QUIET && ft_hold_count(&lane->hold) == 0 &&
        lane->waiting.count == 0 && !nd_lane_unrecorded(lane) && !copies(lane))
        atomic_store_explicit(&lane->shared->report.done, lane->seen.order, memory_order_release);
}

/* The standby keeps what we released after the last record. Once it is quiet, one more record ends that. */
static bool owes_word(const struct nd_lane *lane)
{
    return lane->now - lane->timers.busy_at > QUIET_NS &&
           atomic_load_explicit(&lane->shared->report.released, memory_order_relaxed) !=
               lane->recorded_released;
}

/* A burst is due without packets: timers, a digest that somebody waits for, a word on what has left. */
static bool due(struct nd_lane *lane)
{
    bool logged = atomic_load_explicit(&lane->shared->orders.logging, memory_order_relaxed);

    if (nf_chain_due(lane->chain, lane->now + lane->time_offset))
        return true;
    /* What the next delta says needs a burst to be cut behind, and no more than one. */
    return logged && ((owes_word(lane) && !(nd_lane_deltas(lane) && nd_lane_unrecorded(lane))) ||
                      nd_lane_owes_digest(lane) ||
                      (nd_lane_digest_by_delta(lane) && nd_lane_digest_wanted(lane) &&
                       nf_chain_state(lane->chain)->burst == lane->cut.burst));
}

/* Address resolution waits for nobody: who asks holds its packets meanwhile. */
static bool has_arp(const struct nd_lane *lane)
{
    for (uint32_t i = 0; i < lane->burst.n; i++)
        if (lane->burst.packets[i].len >= 14 &&
            nf_get16(lane->burst.packets[i].data + 12) == htobe16(ARP_TYPE))
            return true;
    return false;
}

/*
 * The cost of a record is shared by the packets of its burst. So a burst that is logged and is not full waits
 * for more packets, for gather_us from its first one on. Nothing waits when nothing is logged, when the burst
 * is full, or when a burst is due for another reason; the ports are looked at meanwhile.
 */
static bool gathers(struct nd_lane *lane)
{
    return lane->burst.n && lane->burst.n < NF_BURST_MAX && !nd_lane_draining(lane) && nd_lane_logs(lane) &&
           lane->now - lane->burst.since < lane->config->protect.gather_us * 1000ull && !has_arp(lane) &&
           !due(lane);
}

static bool collect_and_run(struct nd_lane *lane)
{
    const char *command;
    uint64_t time;

    if (lane->io->burst) {
        if (!nd_lane_receive_burst(lane, &time))
            return false;
        command = command_asked(lane);
    } else {
        if (lane->burst.n == 0)
            lane->burst.since = lane->now;
        nd_lane_receive(lane);
        command = command_asked(lane);
        if (!command && gathers(lane))
            return true;
        if (!lane->burst.n && !command && !due(lane))
            return false;
        time = burst_time(lane);
    }
    if (lane->burst.n)
        lane->timers.quiet_since = lane->now;
    run_burst(lane, time, command);
    lane->turn.full = lane->burst.n == NF_BURST_MAX;
    lane->burst.n = 0;
    if (command)
        atomic_store_explicit(&lane->setup.question->asked, ND_ASK_NONE, memory_order_release);
    return true;
}

bool nd_lane_live(struct nd_lane *lane)
{
    bool worked = false, looked = false, may_run;

    if (nd_lane_draining(lane) && all_drained(lane))
        return false; /* drained: what comes now is the other node's */
    may_run = nd_lane_cut(lane);
    lane->turn.full = false; /* unless a burst of this turn is */
    if (may_run) {
        lane->turn.no_room = !has_room(lane);
        looked = !lane->turn.no_room;
        worked = looked ? collect_and_run(lane) : nd_lane_hear(lane);
    }
    worked |= nd_lane_release(lane);
    if (ft_unlikely(lane->setup.redis != NULL) && !worked)
        nd_redis_settle(lane->setup.redis);
    if (nd_lane_draining(lane))
        consider_drained(lane, looked);
    return worked;
}
