/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane's turn while its node is primary, from top to bottom: what the burst needs is decided once; then, if
 * there is room, its packets are received (inputs.c), captured, run through the chain, recorded, held and
 * released (outputs.c). The burst's time is the turn's reading of the clock, or an input keeper's.
 */
#include "node/lane/lane.h"
#include "ftcore/base/event_log.h"
#include "ftcore/region/audit.h"
#include "nflib/net/bytes.h"
#include "nflib/net/icmpv6.h"
#include "nflib/chain/chain.h"
#include "nflib/chain/trace.h"
#include "node/crash/quarantine.h"

#include <endian.h>
#include <string.h>

#define ARP_TYPE    0x0806
#define IPV6_TYPE   0x86dd
#define QUIET_NS    2000000ull
#define DRAIN_QUIET 3000000ull /* ns without a frame until the ports count as empty */

/* Logging and recording begin between bursts only, by this lane, so what is said here holds for the burst. */
static struct nd_burst_needs decide_needs(const struct nd_lane *lane)
{
    enum nd_stream_kind stream = nd_lane_stream(lane);

    return (struct nd_burst_needs){
        .stream = stream,
        .record = stream == ND_STREAM_RECORDS || lane->io->record ||
                  (lane->setup.recorder && lg_recorder_listens(lane->setup.recorder)),
        .digest = stream == ND_STREAM_RECORDS && (nd_lane_owes_digest(lane) || nd_lane_slice_due(lane)),
        .marks = nd_lane_marks(lane)};
}

/*
 * A hot standby has more left to replay than a takeover may take. Not in SOLO, where nothing waits for the
 * standby and a resync has all of the log to replay; nor where an input keeper stamps time, whose schedule is
 * not this lane's.
 */
static bool standby_lags(const struct nd_lane *lane, const struct nd_burst_needs *needs)
{
    const struct nd_protect *p = &lane->config->protect;

    return FT_ORDER_GET(lane->words, lag_ns) > p->recovery_budget_ms * 1000000ull && !p->stores &&
           needs->stream == ND_STREAM_RECORDS && !lane->io->burst &&
           FT_ORDER_GET(lane->words, lease_until) != FT_ALL;
}

/* Room for whatever a burst may make; without it the ports' own queues have to wait. */
static bool has_room(struct nd_lane *lane, const struct nd_burst_needs *needs)
{
    if (ft_hold_room(&lane->hold) < NF_BURST_MAX + NF_EMIT_MAX) {
        FT_COUNT(lane->words, hold_full, 1);
        return false;
    }
    if (standby_lags(lane, needs)) {
        FT_COUNT(lane->words, lag_full, 1);
        return false;
    }
    if (lane->io->room && !lane->io->room(lane->io->ctx, lane->index))
        return false;
    if ((needs->record || needs->stream != ND_STREAM_NONE) && !lg_capture_room(lane->words)) {
        FT_COUNT(lane->words, ring_full, 1);
        return false;
    }
    return true;
}

/* First what the node before this one died of asks for, then what an operator does: *asked. */
static const char *take_command(struct nd_lane *lane, bool *asked)
{
    struct nd_question *q = lane->setup.question;
    uint32_t serial = lane->setup.remedy ? atomic_load(&lane->setup.remedy->serial) : lane->remedied;

    if (ft_unlikely(serial != lane->remedied)) {
        lane->remedied = serial;
        return lane->setup.remedy->text;
    }
    *asked = true;
    if (atomic_load_explicit(&q->asked, memory_order_acquire) != ND_ASK_COMMAND || q->lane != lane->index)
        return NULL;
    return nd_lane_claim_question(lane, ND_ASK_COMMAND) ? q->text : NULL;
}

/* The standby keeps outputs that were released after the last record, until one more record says so. */
static bool owes_released(const struct nd_lane *lane)
{
    return lane->now - lane->timers.busy_at > QUIET_NS &&
           FT_REPORT_GET(lane->words, released) != lane->recorded_released;
}

/* A digest goes with the next delta, which needs a burst to be cut behind, and no more than one. */
static bool delta_needs_burst(const struct nd_lane *lane)
{
    return nd_lane_digest_by_delta(lane) &&
           (nd_lane_digest_wanted(lane) || nd_lane_quiesced_slice_due(lane)) &&
           nf_chain_state(lane->chain)->burst == lane->cut.burst;
}

/* A burst is due without packets: for timers, a digest that somebody waits for, or what has been released. */
static bool burst_is_due(const struct nd_lane *lane, const struct nd_burst_needs *needs)
{
    if (nf_chain_due(lane->chain, lane->now + lane->time_offset))
        return true;
    if (needs->stream == ND_STREAM_NONE)
        return false;
    /* The next delta says what has been released, if there is a burst to be cut behind. */
    return needs->digest || delta_needs_burst(lane) ||
           (owes_released(lane) && !(needs->stream == ND_STREAM_DELTAS && nd_lane_unrecorded(lane)));
}

/* Address resolution waits for nobody: who asks holds its packets meanwhile. */
static bool has_question(const struct nd_lane *lane)
{
    for (uint32_t i = 0; i < lane->burst.n; i++) {
        const struct nf_packet *p = &lane->burst.packets[i];
        uint16_t type = p->len >= 14 ? nf_get16(p->data + 12) : 0;

        if (type == htobe16(ARP_TYPE) ||
            (type == htobe16(IPV6_TYPE) && p->len >= 55 && p->data[20] == NF_PROTO_ICMPV6 &&
             p->data[54] >= NF_ND_SOLICITATION))
            return true;
    }
    return false;
}

/*
 * The cost of a record is shared by the packets of its burst. So a burst that is logged and is not full waits
 * for more packets, for gather_us from its first one on; the ports are read meanwhile.
 */
static bool waits_for_more(const struct nd_lane *lane, const struct nd_burst_needs *needs)
{
    return lane->burst.n && lane->burst.n < NF_BURST_MAX && !nd_lane_draining(lane) &&
           needs->stream == ND_STREAM_RECORDS &&
           lane->now - lane->burst.since < lane->config->protect.gather_us * 1000ull && !has_question(lane) &&
           !burst_is_due(lane, needs);
}

/* Chain time of a burst that no input keeper stamps: goes on from where it was, never back. */
static uint64_t burst_time(const struct nd_lane *lane)
{
    uint64_t last = nf_chain_state(lane->chain)->time, time = lane->now + lane->time_offset;

    return (int64_t)(time - last) < 0 ? last : time;
}

/* Of each frame its first `most` bytes; 0: its headers. `record`: somebody gets them. */
static inline __attribute__((always_inline)) void capture_inputs(struct nd_lane *lane, uint32_t most,
                                                                 bool record)
{
    struct lg_inputs inputs = lg_capture_inputs(&lane->capture);
    struct nf_packet *end = lane->burst.packets + lane->burst.n;

    for (struct nf_packet *p = lane->burst.packets; p < end; p++) {
        uint32_t take = p->len < most ? p->len : most;

        if (!most) {
            nf_packet_parse(p);
            take = nf_packet_header_bytes(p);
        }
        if (record)
            lg_inputs_add(&inputs, p->data, p->len, take, p->in_port, p->side == NF_OUTSIDE);
        else
            lg_inputs_put(&inputs, p->data, p->len, take, p->in_port, false);
    }
    lg_capture_inputs_end(&lane->capture, &inputs);
}

static inline __attribute__((always_inline)) void capture_burst(struct nd_lane *lane, uint64_t burst,
                                                                uint64_t time, bool record)
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
        capture_inputs(lane, record ? UINT32_MAX : FT_FINGERPRINT_BYTES, record);
    else
        capture_inputs(lane, 0, record);
}

/* A burst that deltas tell of and nobody records: what makes its frames' fingerprints lies in the ring all
 * the same until something else comes there, for the handler of a fatal signal (node/crash/handler.c). */
static void capture_fingerprints(struct nd_lane *lane, uint64_t burst, uint64_t time)
{
    capture_burst(lane, burst, time, false);
    lg_capture_forget(&lane->capture);
}

/*
 * The record gets what NFs learned from outside in the burst and the order that it had with other lanes. Then
 * it is whole: for who keeps the log, the flight recorder, and the replicator, if it logs.
 */
static void complete_record(struct nd_lane *lane, const struct nd_burst_needs *needs, uint64_t burst,
                            uint64_t access)
{
    const struct ft_sections *order = nf_chain_sections(lane->chain);
    bool logged = needs->stream == ND_STREAM_RECORDS;
    const struct ft_record *r;
    const void *values;
    uint32_t len = nf_determinants_noted(nf_chain_determinants(lane->chain), &values);

    if (len)
        lg_capture_determinant(&lane->capture, values, len);
    lg_capture_order(&lane->capture, access, (uint32_t)(order->next - access), order->dependencies,
                     order->count);
    if (ft_unlikely(needs->digest))
        nd_lane_carry_digest(lane, burst);
    if (logged)
        lane->recorded_released = FT_REPORT_GET(lane->words, released);
    r = lg_capture_whole(&lane->capture, lane->recorded_released);
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

/*
 * Frames that the node before this one crashed on; apart, since there hardly ever are any. A suspect is left
 * alone in the burst, and what came behind it waits for the next one: `*judged` has its bits, else 0. So no
 * frame passes another of its port.
 */
static __attribute__((noinline, cold)) void keep_quarantine(struct nd_lane *lane, uint32_t *judged)
{
    uint64_t lease = FT_ORDER_GET(lane->words, lease_until);
    bool guarded = lease != FT_ALL && lane->now < lease;
    uint32_t left = 0, bits;

    for (uint32_t i = 0; i < lane->burst.n; i++) {
        struct nf_packet *p = &lane->burst.packets[i];
        uint32_t take = p->len;
        enum nd_quarantine_frame how;

        if (!lane->whole_capture) {
            nf_packet_parse(p);
            take = nf_packet_header_bytes(p);
        }
        how = nd_quarantine_look(lane->setup.quarantine, p->data, take, p->len, p->in_port, guarded, &bits);
        p->parsed = 0;
        if (how == ND_QUARANTINE_DROPS || (how == ND_QUARANTINE_JUDGES && lane->io->burst)) {
            /* an input keeper has cut the burst, and nothing of it can wait */
            lane->io->drop(lane->io->ctx, p->owner);
            FT_COUNT(lane->words, quarantined, 1);
            continue;
        }
        if (how == ND_QUARANTINE_JUDGES) {
            nd_lane_put_back(lane, left ? i : i + 1);
            if (!left) {
                lane->burst.packets[left++] = *p;
                *judged = bits;
            }
            break;
        }
        lane->burst.packets[left++] = *p;
    }
    lane->burst.n = left;
}

/* `command`: NULL, none; an operator's if it was `asked`, who gets the answer. */
static void run_burst(struct nd_lane *lane, const struct nd_burst_needs *needs, uint64_t time,
                      const char *command, bool asked)
{
    const struct nf_lane_state *state = nf_chain_state(lane->chain);
    struct nd_question *q = lane->setup.question;
    uint64_t burst = state->burst + 1, seq = state->seq, number = state->outputs, access = state->access;
    struct ft_fault fault = {""};
    uint32_t judged = 0;

    if (ft_unlikely(lane->setup.quarantine && nd_quarantine_on(lane->setup.quarantine)))
        keep_quarantine(lane, &judged);
    if (needs->record)
        capture_burst(lane, burst, time, true);
    else if (needs->stream == ND_STREAM_DELTAS && lane->setup.mark)
        capture_fingerprints(lane, burst, time);
    if (command) { /* a determinant: recorded, and on replay taken from the record */
        if (needs->record)
            lg_capture_determinant(&lane->capture, command, (uint32_t)strlen(command));
        int error = nf_chain_command(lane->chain, command, (uint32_t)strlen(command), time, &fault);

        if (asked) {
            q->error = error;
            q->fault = fault;
        } else if (error) {
            ft_log_event(FT_LEVEL_ERROR, FT_SAYS_CRASH, "lane %u: %s: %s", lane->index, command, fault.text);
        } else {
            ft_log_event(FT_LEVEL_WARNING, FT_SAYS_CRASH, "lane %u: %s: done, since on_crash says so",
                         lane->index, command);
        }
    }
    if (ft_unlikely(lane->setup.trace && nf_trace_wanted(lane->setup.trace)))
        nf_chain_trace(lane->chain, lane->setup.trace, lane->index, lane->now);
    nf_chain_run(lane->chain, burst, time, lane->burst.packets, lane->burst.n);
    ft_audit_check(lane->region, lane->index);
    if (ft_unlikely(judged != 0))
        nd_quarantine_clear(lane->setup.quarantine, judged);
    if (needs->record)
        complete_record(lane, needs, burst, access);
    if (needs->stream != ND_STREAM_NONE)
        lane->timers.busy_at = lane->now;
    /* State in Redis: what is not answered there yet waits in the hold. */
    if (ft_likely(!lane->setup.redis || nd_redis_confirmed(lane->setup.redis) >= burst ||
                  !nd_redis_lost(lane->setup.redis)))
        nd_lane_hold(lane, needs, burst, seq, number);
    else
        nd_lane_drop_burst(lane);
    FT_REPORT_SET(lane->words, executed, burst);
    if (needs->stream != ND_STREAM_DELTAS)
        FT_REPORT_SET(lane->words, recorded, burst);
    FT_COUNT(lane->words, bursts, 1);
    FT_COUNT(lane->words, empty_bursts, lane->burst.n == 0);
    FT_COUNT(lane->words, received, lane->burst.n);
    lane->turn.full = lane->burst.n == NF_BURST_MAX;
    lane->burst.n = 0;
}

/* True if there was work. */
static bool receive_and_run(struct nd_lane *lane, const struct nd_burst_needs *needs)
{
    const char *command;
    uint64_t time;
    uint32_t before = lane->burst.n;
    bool asked = false;

    if (lane->io->burst) {
        if (!nd_lane_receive_burst(lane, &time))
            return false;
        command = take_command(lane, &asked);
    } else {
        if (lane->burst.n == 0)
            lane->burst.since = lane->now;
        nd_lane_receive(lane);
        command = take_command(lane, &asked);
        if (!command && waits_for_more(lane, needs)) {
            lane->turn.gathers = lane->burst.n == before;
            return true;
        }
        if (!lane->burst.n && !command && !burst_is_due(lane, needs))
            return false;
        time = burst_time(lane);
    }
    if (lane->burst.n)
        lane->timers.quiet_since = lane->now;
    run_burst(lane, needs, time, command, asked);
    if (command && asked)
        atomic_store_explicit(&lane->setup.question->asked, ND_ASK_NONE, memory_order_release);
    return true;
}

/* Frames that one lane polls may be another's, so none stops before all are quiet. */
static bool all_drained(const struct nd_lane *lane)
{
    for (unsigned l = 0; l < lane->group->lanes; l++)
        if (FT_REPORT_GET(lane->group->lane[l].words, done) != lane->seen.order)
            return false;
    return true;
}

/* While draining: the ports were read for a while and gave nothing, all that was made has left, and no lane
 * has a delta to finish, without which what was recorded behind it does not count, or a digest to carry, at
 * which the standby's other lanes would wait. */
static void consider_drained(struct nd_lane *lane, bool may_receive)
{
    bool unfinished =
        FT_ORDER_GET(lane->words, logging) &&
        (atomic_load_explicit(&lane->group->stream.copying, memory_order_acquire) ||
         nd_lane_owes_digest(lane) || atomic_load_explicit(&lane->group->owed, memory_order_acquire) != 0);

    if (!may_receive)
        lane->timers.quiet_since = lane->now;
    if (lane->now - lane->timers.quiet_since >= DRAIN_QUIET && ft_hold_count(&lane->hold) == 0 &&
        lane->waiting.count == 0 && lane->fragments.count == 0 && !nd_lane_unrecorded(lane) && !unfinished)
        FT_REPORT_SET(lane->words, done, lane->seen.order);
}

bool nd_lane_live(struct nd_lane *lane)
{
    bool worked = false, may_receive = false, may_run;

    if (nd_lane_draining(lane) && all_drained(lane))
        return false; /* what comes now is the other node's */
    may_run = nd_lane_cut(lane);
    lane->turn.full = false; /* unless a burst of this turn is */
    if (may_run) {
        struct nd_burst_needs needs = decide_needs(lane);

        may_receive = has_room(lane, &needs);
        lane->turn.no_room = !may_receive;
        worked = may_receive ? receive_and_run(lane, &needs) : nd_lane_receive_to_wait(lane);
    }
    if (nd_lane_release(lane)) {
        worked = true;
        lane->turn.gathers = false;
    }
    if (ft_unlikely(lane->setup.redis != NULL) && !worked)
        nd_redis_settle(lane->setup.redis);
    if (nd_lane_draining(lane))
        consider_drained(lane, may_receive);
    return worked;
}
