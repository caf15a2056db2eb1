/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane's turns. nd_lane_run, at the end, is the lane's life: a turn reads the clock once, sends what is
 * due, follows the order, and does what that asks for. Above it is the turn of a lane whose node is primary
 * (nd_lane_live), and above that are its steps, in their order:
 *
 *   what lanes want between bursts, and what the coming burst needs (stream.c); room for it; receive
 * (inputs.c, by devices); capture of frames; look: parse, L3, sessions hashed (nflib/chain); capture by
 * sessions; run; record; hold; release.
 *
 * What a step finds out for those behind it is in struct burst. The burst's time is the turn's reading of the
 * clock, or an input keeper's. Outputs leave when they are stable, while the lease runs, for which the clock
 * is read again; after a takeover the tail goes the same way. All runs on the lane's own thread.
 */
#include "lane/parts.h"
#include "ftcore/base/event_log.h"
#include "ftcore/base/plant.h"
#include "ftcore/region/audit.h"
#include "nflib/chain/mark.h"
#include "nflib/net/packet.h"
#include "nflib/net/icmp.h"
#include "nflib/chain/chain.h"
#include "nflib/chain/taken.h"
#include "nflib/chain/trace.h"
#include "nflib/session/index.h"
#include "ftcore/base/clock.h"

#include <endian.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>

#define ARP_TYPE    0x0806
#define IPV6_TYPE   0x86dd
#define DRAIN_QUIET 3000000ull /* ns without a frame until the ports count as empty */
#define TX_BURST    32u
#define STEER_NS    1000000u /* between two announcements while steering */
#define STANDS_S    3        /* seconds that the planted bug lane-stands sleeps */

/* A burst on its way through the turn. */
struct burst {
    const struct nd_needs *needs;
    uint64_t number, seq, access, outputs; /* the lane's: the burst's own, and what it begins with */
    uint64_t time;                         /* chain time */
    const char *command;                   /* that it begins with; NULL: none */
    bool asked;                            /* by an operator, who gets the answer */
    bool sessions;   /* its packets are recorded by their sessions, where these identify them */
    uint64_t judged; /* bits of the quarantine: of the suspect that passes in it */
    uint32_t aside;  /* bits of its packets: those that no NF gets */
};

/* ---- room ---------------------------------------------------------------------------------------- */

/* Last burst whose outputs may leave. */
static uint64_t release_to(const struct nd_lane *lane)
{
    if (FT_PLANTED("early-release"))
        return FT_ALL;
    uint64_t stable = FT_ORDER_GET(lane->shared, stable), by_port = nd_link_stable(lane);

    /* The port's acknowledgement counts where the gate is guarded, which the lease proves as well. */
    return stable && by_port > stable ? by_port : stable;
}

/*
 * A hot standby has more left to replay than a takeover may take. Not in SOLO, where nothing waits for the
 * standby and a resync has all of the log to replay; nor in the replay tool, whose input keeper waits for all
 * that it has fed.
 */
static bool standby_lags(const struct nd_lane *lane, const struct nd_needs *needs)
{
    const struct nd_protect *p = lane->protect;

    uint64_t lag = nd_link_carries(lane) ? nd_link_lag(lane) : FT_ORDER_GET(lane->shared, lag_ns);

    return lag > p->recovery_budget_ms * 1000000ull && !p->stores && needs->stream == ND_STREAM_RECORDS &&
           (!lane->io->burst || lane->io->tell) && FT_ORDER_GET(lane->shared, lease_until) != FT_ALL;
}

/* Room for whatever a burst may make; without it the ports' own queues have to wait. */
static bool has_room(struct nd_lane *lane, const struct nd_needs *needs)
{
    if (ft_unlikely(lane->replayed.count)) /* the tail leaves first */
        return false;
    if (ft_hold_room(&lane->hold) < NF_BURST_MAX + NF_EMIT_MAX) {
        FT_COUNTER_ADD(lane->shared, hold_full, 1);
        if (ft_hold_at(&lane->hold, lane->hold.out)->burst > release_to(lane) ||
            lane->now >= FT_ORDER_GET(lane->shared, lease_until))
            lane->turn.waits = FT_WAIT_HOLD;
        return false;
    }
    if (standby_lags(lane, needs)) {
        FT_COUNTER_ADD(lane->shared, lag_full, 1);
        lane->turn.waits = FT_WAIT_REPLAY;
        return false;
    }
    if (lane->io->room && !lane->io->room(lane->io->ctx, lane->index))
        return false;
    if ((needs->record || needs->stream != ND_STREAM_NONE) && !lg_capture_room(lane->shared)) {
        FT_COUNTER_ADD(lane->shared, ring_full, 1);
        lane->turn.waits = FT_WAIT_LOG;
        return false;
    }
    return true;
}

/* ---- receive ------------------------------------------------------------------------------------- */

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

/* A burst is due without packets: for timers, or for what the stream has to report. */
static bool burst_is_due(const struct nd_lane *lane, const struct nd_needs *needs)
{
    return nf_chain_due(lane->chain, lane->now + lane->time_offset) || nd_stream_needs_burst(lane, needs);
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
 * for more packets, for gather_us from its first one on; the ports are read meanwhile. By a port of the
 * link's a record costs so little that it waits no longer than ND_LINK_GATHER_NS.
 */
static uint64_t gather_ns(const struct nd_lane *lane)
{
    uint64_t ns = lane->protect->gather_us * 1000ull;

    return ns > ND_LINK_GATHER_NS && nd_link_carries(lane) ? ND_LINK_GATHER_NS : ns;
}

static bool waits_for_more(const struct nd_lane *lane, const struct nd_needs *needs)
{
    return lane->burst.n && lane->burst.n < NF_BURST_MAX && !nd_lane_draining(lane) &&
           needs->stream == ND_STREAM_RECORDS && lane->now - lane->burst.since < gather_ns(lane) &&
           !has_question(lane) && !burst_is_due(lane, needs);
}

/* Chain time of a burst that no input keeper stamps: goes on from where it was, never back. */
static uint64_t burst_time(const struct nd_lane *lane)
{
    uint64_t last = nf_chain_state(lane->chain)->time, time = lane->now + lane->time_offset;

    return (int64_t)(time - last) < 0 ? last : time;
}

enum received {
    NOTHING, /* and no burst is due */
    WAITS,   /* for more packets */
    BURST,
};

static enum received receive(struct nd_lane *lane, struct burst *burst)
{
    uint32_t before = lane->burst.n;

    if (lane->io->burst) {
        /* What the keeper has while this lane drains is its successor's. */
        if (nd_lane_draining(lane) || !nd_lane_receive_burst(lane, &burst->time))
            return NOTHING;
        lane->time_offset = burst->time - lane->now; /* the keeper's clock is not this machine's */
        burst->command = take_command(lane, &burst->asked);
    } else {
        if (lane->burst.n == 0)
            lane->burst.since = lane->now;
        nd_lane_receive(lane);
        burst->command = take_command(lane, &burst->asked);
        if (!burst->command && waits_for_more(lane, burst->needs)) {
            lane->turn.gathers = lane->burst.n == before;
            return WAITS;
        }
        if (!lane->burst.n && !burst->command && !burst_is_due(lane, burst->needs))
            return NOTHING;
        burst->time = burst_time(lane);
    }
    if (lane->burst.n)
        lane->timers.quiet_since = lane->now;
    return BURST;
}

static bool has_suspects(const struct nd_lane *lane)
{
    const _Atomic uint32_t *count = lane->setup.suspects.count;

    return count && atomic_load_explicit(count, memory_order_acquire) != 0;
}

/*
 * Frames that the node before this one crashed on; apart, since there hardly ever are any. A suspect is left
 * alone in the burst, and what came behind it waits for the next one. So no frame passes another of its port.
 *
 * Behind an input keeper, which has cut and numbered the burst, nothing can wait, and a frame that is dropped
 * keeps its place: it is set aside. A suspect passes with what is not suspected.
 */
static __attribute__((noinline, cold)) void keep_quarantine(struct nd_lane *lane, struct burst *burst)
{
    const struct nd_suspects *suspects = &lane->setup.suspects;
    uint64_t lease = FT_ORDER_GET(lane->shared, lease_until);
    bool guarded = lease != FT_ALL && lane->now < lease, fed = lane->io->burst;
    uint32_t left = 0;
    uint64_t bits;

    for (uint32_t i = 0; i < lane->burst.n; i++) {
        struct nf_packet *p = &lane->burst.packets[i];
        uint32_t take = p->len;
        enum nd_verdict how;

        if (!lane->whole_capture) {
            nf_packet_parse(p);
            take = nf_packet_header_bytes(p);
        }
        how = suspects->look(suspects->of,
                             &(struct nd_suspect){.frame = p->data,
                                                  .taken = take,
                                                  .wire = p->len,
                                                  .port = p->in_port,
                                                  .lane = lane->index,
                                                  .burst = burst->number,
                                                  .seq = fed ? burst->seq + i : 0},
                             guarded && !burst->judged, &bits);
        if (fed && FT_PLANTED("feeds-poison"))
            how = ND_PASSES;
        p->parsed = 0;
        if (how == ND_DROPS) {
            FT_COUNTER_ADD(lane->shared, quarantined, 1);
            if (fed && !FT_PLANTED("numbers-shift")) {
                burst->aside |= 1u << left;
                p->have = 0;
            } else {
                lane->io->drop(lane->io->ctx, p->owner);
                continue;
            }
        }
        if (how == ND_JUDGES && !fed) {
            nd_lane_put_back(lane, left ? i : i + 1);
            if (left)
                break;
        }
        if (how == ND_JUDGES)
            burst->judged = bits;
        lane->burst.packets[left++] = *p;
        if (how == ND_JUDGES && !fed)
            break;
    }
    lane->burst.n = left;
}

/* ---- capture ------------------------------------------------------------------------------------- */

/* Of each frame its first `most` bytes; 0: its headers. `record`: somebody gets them. */
static inline __attribute__((always_inline)) void capture_frames(struct nd_lane *lane, uint32_t most,
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

/* The same of a burst of which packets are set aside; apart, since there hardly ever are any. */
static __attribute__((noinline, cold)) void capture_others(struct nd_lane *lane, uint32_t aside)
{
    struct lg_inputs inputs = lg_capture_inputs(&lane->capture);

    for (uint32_t i = 0; i < lane->burst.n; i++) {
        struct nf_packet *p = &lane->burst.packets[i];
        uint32_t take = p->len;

        if (aside >> i & 1) {
            lg_inputs_add_aside(&inputs, p->len, p->in_port, p->side == NF_OUTSIDE);
            continue;
        }
        if (!lane->whole_capture) {
            nf_packet_parse(p);
            take = nf_packet_header_bytes(p);
        }
        lg_inputs_add(&inputs, p->data, p->len, take, p->in_port, p->side == NF_OUTSIDE);
    }
    lg_capture_inputs_end(&lane->capture, &inputs);
}

/* Whether the burst's packets are recorded by their sessions. Not for a peer of release 0.2, whose format has
 * no such input. Not with a command, or what is set aside: such a record is whole before the burst runs. */
static bool records_sessions(const struct nd_lane *lane, const struct burst *burst)
{
    uint64_t version = FT_ORDER_GET(lane->shared, peer_version);

    return lane->by_session && burst->needs->record && !burst->command && !burst->aside &&
           version >= FT_FORMAT_SESSIONS;
}

static inline __attribute__((always_inline)) void capture_burst(struct nd_lane *lane,
                                                                const struct burst *burst, bool record)
{
    lg_capture_begin(&lane->capture, lane->index, burst->number, burst->seq, burst->time, lane->burst.n);
    if (lane->io->burst)
        lane->capture.record->flags |= FT_REC_STAMPED;
    if (lane->by_seq)
        lg_capture_by_seq(&lane->capture);
    else if (ft_unlikely(burst->aside))
        capture_others(lane, burst->aside);
    else if (lane->whole_capture)
        capture_frames(lane, record ? UINT32_MAX : FT_FINGERPRINT_BYTES, record);
    else if (!burst->sessions)
        capture_frames(lane, 0, record);
}

/* For a burst that deltas cover and nobody records, what makes its frames' fingerprints lies in the ring all
 * the same until something else comes there, for the handler of a fatal signal (understudy/crash/handler.c).
 */
static void capture(struct nd_lane *lane, const struct burst *burst)
{
    if (burst->needs->record) {
        capture_burst(lane, burst, true);
    } else if (burst->needs->stream == ND_STREAM_DELTAS && lane->setup.mark) {
        capture_burst(lane, burst, false);
        lg_capture_forget(&lane->capture);
    }
}

/* After nf_chain_look and before any NF: records each packet by its session where nf_session_input_of finds
 * one, and by its headers otherwise. */
static void capture_sessions(struct nd_lane *lane)
{
    const struct nf_sessions_lane *found = nf_chain_prepared(lane->chain);
    struct lg_inputs inputs = lg_capture_inputs(&lane->capture);
    const struct nf_packet *p = lane->burst.packets;
    uint32_t n = lane->burst.n;

    for (uint32_t i = 0; i < n; i++, p++) {
        struct nf_session_input identity = {.key = NF_NONE};

        if (ft_likely(found != NULL))
            identity = nf_session_input_of(found, p, i);
        identity = nd_planted_input(lane, found, p, i, identity);
        if (ft_likely(identity.key != NF_NONE))
            lg_inputs_add_session(&inputs, &identity, p->len, p->in_port, p->side == NF_OUTSIDE);
        else
            lg_inputs_add(&inputs, p->data, p->len, nf_packet_header_bytes(p), p->in_port,
                          p->side == NF_OUTSIDE);
    }
    lg_capture_inputs_end(&lane->capture, &inputs);
}

/* ---- run, and record ----------------------------------------------------------------------------- */

/* A command is a determinant: recorded, and on replay taken from the record. */
static void obey(struct nd_lane *lane, const struct burst *burst)
{
    struct nd_question *q = lane->setup.question;
    uint32_t len = (uint32_t)strlen(burst->command);
    struct ft_fault fault = {""};

    if (burst->needs->record && (burst->asked || !FT_PLANTED("remedy-unrecorded")))
        lg_capture_determinant(&lane->capture, burst->command, len);
    int error = nf_chain_command(lane->chain, burst->command, len, burst->time, &fault);

    if (burst->asked) {
        q->error = error;
        q->fault = fault;
    } else if (error) {
        ft_log_event(FT_LEVEL_ERROR, FT_SAYS_CRASH, "lane %u: %s: %s", lane->index, burst->command,
                     fault.text);
    } else {
        ft_log_event(FT_LEVEL_WARNING, FT_SAYS_CRASH, "lane %u: %s: done, since on_crash says so",
                     lane->index, burst->command);
    }
}

static void look(struct nd_lane *lane, const struct burst *burst)
{
    if (ft_unlikely(lane->setup.trace && nf_trace_wanted(lane->setup.trace)))
        nf_chain_trace(lane->chain, lane->setup.trace, lane->index, lane->now);
    if (ft_unlikely(burst->aside))
        nf_chain_set_aside(lane->chain, burst->aside);
    nf_chain_look(lane->chain, burst->number, burst->time, lane->burst.packets, lane->burst.n);
}

static void run(struct nd_lane *lane, const struct burst *burst)
{
    nf_chain_pass(lane->chain);
    ft_audit_check(lane->region, lane->index);
    if (ft_unlikely(burst->judged != 0))
        lane->setup.suspects.clear(lane->setup.suspects.of, burst->judged);
}

/*
 * The record gets what NFs learned from outside in the burst and the order that it had with other lanes. Then
 * it is whole: for who keeps the log, the flight recorder, and the replicator, if it logs.
 */
static void record(struct nd_lane *lane, const struct burst *burst)
{
    const struct ft_sections *order = nf_chain_sections(lane->chain);
    bool logged = burst->needs->stream == ND_STREAM_RECORDS;
    const struct ft_record *r;
    const void *values;
    uint32_t len = nf_determinants_noted(nf_chain_determinants(lane->chain), &values);

    if (len)
        lg_capture_determinant(&lane->capture, values, len);
    lg_capture_order(&lane->capture, burst->access, (uint32_t)(order->next - burst->access),
                     order->dependencies, order->count);
    if (ft_unlikely(burst->needs->digest))
        nd_lane_carry_digest(lane, burst->number);
    if (logged)
        lane->recorded_released = FT_REPORT_GET(lane->shared, released);
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

/* ---- hold ---------------------------------------------------------------------------------------- */

/* The packet in the buffer that it came in, or where the chain has moved it, in another one. NULL: there is
 * none. */
static void *take_output(struct nd_lane *lane, const struct nf_packet *p)
{
    void *moved;

    if (p->data == lane->io->data(p->owner))
        return p->owner;
    moved = nd_lane_make_packet(lane, p->data, p->len);
    lane->io->drop(lane->io->ctx, p->owner);
    return moved;
}

/* Inputs that pass. Returns how many, and their bytes, and counts those that L3 took in. */
static uint32_t hold_passed(struct nd_lane *lane, const struct burst *burst, uint64_t *bytes, uint32_t *taken)
{
    const struct ft_hold hold = lane->hold; /* as it was before */
    const struct nf_packet *packets = lane->burst.packets;
    struct ft_held *at = ft_hold_slot(&hold, hold.in);
    uint32_t ports = lane->io->ports, n = lane->burst.n, lost = 0;
    uint32_t usual = nf_chain_moves_frames(lane->chain) ? 0 : ports; /* 0: each packet is looked at twice */
    uint64_t sum = 0, seq = burst->seq, number = burst->outputs, first = number;

    for (const struct nf_packet *p = packets; p < packets + n; p++, seq++) {
        void *packet = p->owner;

        if (ft_unlikely(p->drop || p->out_port >= usual)) {
            if (p->drop || p->out_port >= ports) {
                *taken += nf_l3_takes_in(p->drop, p->drop_nf);
                lane->io->drop(lane->io->ctx, p->owner);
                continue;
            }
            packet = take_output(lane, p);
            if (!packet) {
                number++, lost++;
                continue;
            }
        }
        number++;
        *at = (struct ft_held){.burst = burst->number,
                               .number = number,
                               .seq = seq,
                               .packet = packet,
                               .len = p->len,
                               .port = p->out_port};
        at = ft_hold_next(&hold, at);
        sum += p->len;
    }
    ft_hold_added(&lane->hold, (uint32_t)(number - first) - lost);
    *bytes = sum;
    return (uint32_t)(number - first);
}

/* Bytes of a held output that a delta carries: what a log that captures headers would have had of it, so that
 * a successor can emit it again (docs/guarantees.md, G4); where an input keeper has the rest, the headers
 * that NFs may have changed. Of those that NFs made, all. */
uint32_t nd_lane_carry(void *arg, const struct ft_held *held, const uint8_t **frame)
{
    struct nd_lane *lane = arg;
    struct nf_packet p = {.data = lane->io->data(held->packet), .len = held->len, .have = held->len};
    uint32_t headers;

    *frame = p.data;
    if (lane->protect->tail == ND_TAIL_SUPPRESS)
        return 0;
    if (held->seq == 0 || lane->whole_capture)
        return held->len;
    nf_packet_parse(&p);
    headers = nf_packet_header_bytes(&p);
    return headers == p.len || lane->io->rest ? headers : 0;
}

/* The same of so many outputs with so many bytes, at the most, without a look at any. */
static uint64_t carried_most(const struct nd_lane *lane, uint32_t outputs, uint64_t bytes)
{
    uint64_t headers = (uint64_t)outputs * ND_LANE_HEADERS;

    if (lane->protect->tail == ND_TAIL_SUPPRESS)
        return 0;
    return outputs * (sizeof(struct ft_chunk_output) + 8) +
           (lane->whole_capture || bytes < headers ? bytes : headers);
}

/* The burst's outputs in order: inputs that pass, then what NFs made. */
static void hold(struct nd_lane *lane, const struct burst *burst)
{
    const struct nf_emitted *made;
    uint32_t count = nf_chain_emitted(lane->chain, &made), passed, taken = 0;
    uint64_t bytes = 0, number = burst->outputs;

    ft_hold_expect(&lane->hold, burst->number, lane->burst.n + count);
    passed = hold_passed(lane, burst, &bytes, &taken);
    number += passed;
    for (uint32_t i = 0; i < count; i++) {
        struct ft_held held = {
            .burst = burst->number, .number = ++number, .len = made[i].len, .port = made[i].port};

        if (made[i].port < lane->io->ports &&
            (held.packet = nd_lane_make_packet(lane, made[i].frame, made[i].len)))
            ft_hold_add(&lane->hold, &held);
        bytes += made[i].len;
    }
    if (burst->needs->marks)
        lane->cut.carry_bytes += carried_most(lane, passed + count, bytes);
    FT_COUNTER_ADD(lane->shared, dropped, lane->burst.n - passed - taken);
    FT_COUNTER_ADD(lane->shared, emitted, count);
}

static void publish_burst(struct nd_lane *lane, const struct burst *burst)
{
    FT_REPORT_SET(lane->shared, executed, burst->number);
    if (burst->needs->stream != ND_STREAM_DELTAS)
        FT_REPORT_SET(lane->shared, recorded, burst->number);
    FT_COUNTER_ADD(lane->shared, bursts, 1);
    FT_COUNTER_ADD(lane->shared, empty_bursts, lane->burst.n == 0);
    FT_COUNTER_ADD(lane->shared, received, lane->burst.n);
    if (burst->command && burst->asked)
        atomic_store_explicit(&lane->setup.question->asked, ND_ASK_NONE, memory_order_release);
}

/* The straight line: from the ports into the hold. True if there was work. */
static inline __attribute__((always_inline)) bool pass_burst(struct nd_lane *lane,
                                                             const struct nd_needs *needs)
{
    const struct nf_lane_state *state = nf_chain_state(lane->chain);
    struct burst burst = {.needs = needs,
                          .number = state->burst + 1,
                          .seq = state->seq,
                          .access = state->access,
                          .outputs = state->outputs};
    enum received received = receive(lane, &burst);

    if (received != BURST)
        return received == WAITS;
    if (ft_unlikely(has_suspects(lane)))
        keep_quarantine(lane, &burst);
    burst.sessions = records_sessions(lane, &burst);
    capture(lane, &burst);
    if (ft_unlikely(burst.command != NULL))
        obey(lane, &burst);
    look(lane, &burst);
    if (burst.sessions)
        capture_sessions(lane);
    run(lane, &burst);
    if (burst.sessions)
        nd_planted_marks(lane);
    if (needs->record)
        record(lane, &burst);
    if (needs->stream != ND_STREAM_NONE)
        lane->timers.busy_at = lane->now;
    hold(lane, &burst);
    publish_burst(lane, &burst);
    lane->turn.full = lane->burst.n == NF_BURST_MAX;
    lane->burst.n = 0;
    return true;
}

/* ---- release ------------------------------------------------------------------------------------- */

static void note_release(struct nd_lane *lane, uint64_t at)
{
    struct ft_lane_shared *shared = lane->shared;

    if (atomic_load_explicit(&shared->count.first_release_ns, memory_order_relaxed) == 0)
        FT_GAUGE_SET(shared, first_release_ns, ft_now());
    lane->turn.sent = true; /* the next turn's clock will show until when at the latest */
    FT_GAUGE_SET(shared, last_release_ns, at);
}

/*
 * During a handover, bridges must not learn the virtual MAC on this side again: what leaves bears the own
 * one. What the port does not take now bears what it had, for the handover may be aborted before it leaves.
 */
static uint32_t transmit_own_mac(struct nd_lane *lane, const struct ft_held *held, uint32_t n)
{
    unsigned port = held[0].port;
    uint8_t source[TX_BURST][6];
    uint32_t sent;

    if (lane->io->tell) /* the keeper's ports stay where they are */
        return lane->io->send(lane->io->ctx, lane->index, port, held, n);
    for (uint32_t i = 0; i < n; i++) {
        uint8_t *at = (uint8_t *)lane->io->data(held[i].packet) + 6;

        memcpy(source[i], at, 6);
        memcpy(at, lane->io->own[port], 6);
    }
    sent = lane->io->send(lane->io->ctx, lane->index, port, held, n);
    for (uint32_t i = sent; i < n; i++)
        memcpy((uint8_t *)lane->io->data(held[i].packet) + 6, source[i], 6);
    return sent;
}

/* True if more of what it was given is known to have left. */
static __attribute__((noinline)) bool report_to_keeper(struct nd_lane *lane)
{
    const struct nf_lane_state *state = nf_chain_state(lane->chain);
    uint64_t stable = release_to(lane);
    struct nd_progress progress = {.burst = state->burst,
                                   .seq = state->seq,
                                   .time = state->time,
                                   .outputs = state->outputs,
                                   .settled = state->burst};
    uint32_t before = lane->unconfirmed;

    if (ft_hold_count(&lane->hold))
        progress.settled = ft_hold_at(&lane->hold, lane->hold.out)->burst - 1;
    if (progress.settled > stable)
        progress.settled = stable;
    if (lane->replayed.count) /* of the tail more is to come */
        progress.settled = 0;
    lane->unconfirmed = lane->io->tell(lane->io->ctx, lane->index, &progress);
    if (progress.moved)
        nd_lane_announce(lane, true);
    return lane->unconfirmed != before;
}

static inline __attribute__((always_inline)) bool release(struct nd_lane *lane)
{
    struct ft_lane_shared *shared = lane->shared;
    const struct ft_held *held;
    bool any = false;
    uint32_t n, sent;

    while ((n = ft_hold_ready(&lane->hold, release_to(lane), TX_BURST, &held))) {
        uint64_t lease = FT_ORDER_GET(shared, lease_until);
        uint64_t at = lease == FT_ALL ? lane->now : ft_now();

        if (at >= lease) {
            FT_COUNTER_ADD(shared, lease_held, 1);
            break;
        }
        sent = ft_unlikely(nd_lane_own_mac(lane))
                   ? transmit_own_mac(lane, held, n)
                   : lane->io->send(lane->io->ctx, lane->index, held[0].port, held, n);
        if (sent == 0) {
            FT_COUNTER_ADD(shared, tx_refused, 1);
            break;
        }
        ft_hold_drop(&lane->hold, sent);
        note_release(lane, at);
        any = true;
    }
    if (ft_unlikely(lane->io->tell != NULL))
        any |= report_to_keeper(lane);
    if (any)
        FT_REPORT_SET(shared, released,
                      nf_chain_state(lane->chain)->outputs - ft_hold_count(&lane->hold) - lane->unconfirmed -
                          lane->replayed.count);
    FT_GAUGE_SET(shared, held, ft_hold_count(&lane->hold));
    return any;
}

static void drop_packets(struct nd_lane *lane)
{
    for (uint32_t i = 0; i < lane->burst.n; i++)
        lane->io->drop(lane->io->ctx, lane->burst.packets[i].owner);
}

void nd_lane_drop_held(struct nd_lane *lane)
{
    const struct ft_held *held;
    struct nd_frame waiting;
    uint32_t n;

    while ((n = ft_hold_ready(&lane->hold, FT_ALL, TX_BURST, &held))) {
        for (uint32_t i = 0; i < n; i++)
            lane->io->drop(lane->io->ctx, held[i].packet);
        ft_hold_drop(&lane->hold, n);
        FT_COUNTER_ADD(lane->shared, fenced_dropped, n);
    }
    drop_packets(lane); /* of a burst that is not run yet */
    lane->burst.n = 0;
    while (nd_waiting_take(&lane->waiting, &waiting) || nd_fragments_over(&lane->fragments, FT_ALL, &waiting))
        lane->io->drop(lane->io->ctx, waiting.owner);
    FT_GAUGE_SET(lane->shared, held, 0);
}

/* A packet with all of a replayed output's bytes, or of which the input keeper has the rest. NULL: they are
 * not to be had. */
static void *make_whole_packet(struct nd_lane *lane, const struct lg_output *output)
{
    const struct nd_io *io = lane->io;

    if (output->have == output->len)
        return nd_lane_make_packet(lane, output + 1, output->len);
    return io->rest ? io->rest(io->ctx, lane->index, output->seq, output + 1, output->have, output->len)
                    : NULL;
}

/*
 * What was stable and perhaps not released (docs/guarantees.md, G4). It passes the gate as all else does, and
 * the first of it leaves before the last is made: that may be milliseconds later. Behind an input keeper,
 * which loses nothing, what finds no room or no buffer waits for it, and so does the next burst; elsewhere it
 * is suppressed.
 */
void nd_lane_emit_tail(struct nd_lane *lane)
{
    const struct lg_output *output;

    if (lane->io->tell && !ft_hold_room(&lane->hold))
        return;
    FT_COUNTER_ADD(lane->shared, tail_suppressed, lane->replayed.forgotten);
    lane->replayed.forgotten = 0;
    while ((output = lg_replayed_oldest(&lane->replayed))) {
        struct ft_held held = {.burst = output->burst,
                               .number = output->number,
                               .seq = output->seq,
                               .len = output->len,
                               .port = output->port};

        if (lane->protect->tail == ND_TAIL_EMIT && ft_hold_room(&lane->hold))
            held.packet = make_whole_packet(lane, output);
        if (!held.packet && lane->io->tell && output->len <= lane->io->frame_max)
            break;
        (void)lg_replayed_take(&lane->replayed);
        if (!held.packet) {
            FT_COUNTER_ADD(lane->shared, tail_suppressed, 1);
            continue;
        }
        ft_hold_put(&lane->hold, &held);
        FT_COUNTER_ADD(lane->shared, tail_emitted, 1);
        if (ft_hold_count(&lane->hold) >= TX_BURST)
            release(lane);
        if (lane->io->tell && !ft_hold_room(&lane->hold))
            break;
    }
    release(lane);
}

/* ---- a live lane's turn -------------------------------------------------------------------------- */

/* Those that are asked for, or due again. */
static void send_announcements(struct nd_lane *lane)
{
    uint64_t announce = FT_ORDER_GET(lane->shared, announce);

    if (announce != lane->seen.announce) {
        lane->seen.announce = announce;
        nd_lane_announce(lane, true);
    }
    /* Again a little later: a switch or a neighbour may have missed it. */
    while (ft_unlikely(lane->timers.announce_left) &&
           lane->now >= lane->timers.announce_at[ND_ANNOUNCE_AGAIN - lane->timers.announce_left]) {
        lane->timers.announce_left--;
        nd_lane_announce(lane, false);
    }
}

/* While draining: the ports were read for a while and gave nothing, all that was made has left, and the
 * stream has reported it. */
static void consider_drained(struct nd_lane *lane, bool may_receive)
{
    if (!may_receive)
        lane->timers.quiet_since = lane->now;
    if (lane->now - lane->timers.quiet_since >= DRAIN_QUIET && ft_hold_count(&lane->hold) == 0 &&
        lane->replayed.count == 0 && lane->unconfirmed == 0 && lane->waiting.count == 0 &&
        lane->fragments.count == 0 && nd_stream_is_complete(lane))
        FT_REPORT_SET(lane->shared, done, lane->seen.order);
}

/* What was logged in this turn wakes a replicator that rests, once for each of its rests. */
static void ring_bell(struct nd_lane *lane)
{
    uint64_t head = atomic_load_explicit(&lane->shared->log.head, memory_order_relaxed), rests;

    /* A replicator does not rest while packets come densely. */
    if (head != lane->turn.log_head && !nd_lane_is_dense(lane))
        atomic_thread_fence(memory_order_seq_cst);
    rests = FT_ORDER_GET(lane->shared, rests);
    if (ft_unlikely(rests != 0) && rests != lane->seen.rests && head != lane->turn.log_head &&
        !nd_link_carries(lane)) {
        lane->seen.rests = rests;
        ft_lane_ring(lane->shared);
    }
    lane->turn.log_head = head;
}

bool nd_lane_live(struct nd_lane *lane)
{
    struct nd_needs needs = nd_lane_between_bursts(lane);
    bool worked = false, may_receive = false, beside;

    if (ft_unlikely(lane->export.queue != NULL)) /* before the burst, whose record may cover it */
        nd_lane_export(lane);
    send_announcements(lane);
    if (ft_unlikely(lane->replayed.count))
        nd_lane_emit_tail(lane);
    lane->turn.full = false; /* unless a burst of this turn is */
    lane->turn.waits = FT_WAIT_NONE;
    if (needs.may_run) {
        may_receive = has_room(lane, &needs);
        lane->turn.no_room = !may_receive;
        worked = may_receive ? pass_burst(lane, &needs) : nd_lane_receive_to_wait(lane);
    }
    lane->turn.takes = may_receive;
    beside = lane->link && nd_link_turn(lane);
    beside |= release(lane);
    if (nd_lane_draining(lane))
        consider_drained(lane, may_receive);
    if (ft_unlikely(nd_lane_has_snapshot(lane)))
        beside |= nd_lane_snapshot_copy(lane);
    if (lane->setup.recorder)
        beside |= nd_lane_recorder_turn(lane);
    ring_bell(lane);
    nd_cost_turn(lane, release_to(lane));
    lane->turn.gathers &= !beside;
    return worked | beside;
}

/* ---- any turn ------------------------------------------------------------------------------------ */

/* The gate changed between SOLO and guarded: what left under the old one is at most what is executed now. */
static void follow_gate(struct nd_lane *lane)
{
    uint64_t gate = FT_ORDER_GET(lane->shared, gate);

    if (gate == lane->seen.gate)
        return;
    lane->seen.gate = gate;
    FT_REPORT_SET(lane->shared, hold_from, nf_chain_state(lane->chain)->burst);
    FT_REPORT_SET(lane->shared, gate_seen, gate);
}

/* Standby of a planned handover: draws frames to its ports, again and again, since bridges learn the
 * primary's side anew from what it had on its way. They stay there until it is primary. False: nobody asked
 * for it. */
static bool steer(struct nd_lane *lane)
{
    if (!FT_ORDER_GET(lane->shared, steer))
        return false;
    if (lane->now >= lane->timers.steer_at) {
        nd_lane_announce(lane, false);
        lane->timers.announce_left = 0;
        lane->timers.steer_at = lane->now + STEER_NS;
        FT_REPORT_SET(lane->shared, steered, true);
    }
    return true;
}

static bool turn_replay(struct nd_lane *lane)
{
    bool worked = lane->link && nd_link_look(lane);

    worked |= nd_lane_replay(lane, nd_lane_replays_to(lane));
    worked |= nd_lane_recorder_turn(lane);
    if (!steer(lane))
        worked |= nd_lane_listen(lane);
    return worked;
}

/* True if there was work. */
static bool run_turn(struct nd_lane *lane)
{
    uint64_t order = FT_ORDER_GET(lane->shared, order);
    bool worked = false;

    lane->turn.gathers = false;
    if (order != lane->seen.order)
        nd_lane_follow(lane, order);
    follow_gate(lane);
    if (nd_lane_is_live(lane))
        worked = nd_lane_live(lane);
    else if (lane->doing == FT_LANE_REPLAY)
        worked = turn_replay(lane);
    else
        worked = nd_lane_listen(lane);
    nd_lane_answer(lane);
    return worked;
}

int nd_lane_run(void *arg)
{
    struct nd_lane *lane = arg;

    prctl(PR_SET_TIMERSLACK, 1000ul);
    nf_thread_mark = lane->setup.mark;
    lane->seen.order = FT_ALL; /* unlike any order, so that the first one is followed */
    while (!nd_lane_is_to_end(lane)) {
        if (FT_PLANTED_AT_SIGNAL("lane-stands"))
            nanosleep(&(struct timespec){STANDS_S, 0}, NULL);
        lane->before = lane->now;
        lane->now = ft_now();
        FT_GAUGE_SET(lane->shared, turn_ns, lane->now);
        ft_turns_spent(&lane->shared->count.turns, lane->turn.spent, lane->now);
        if (lane->turn.sent) /* outputs of the turn before had left by now */
            FT_GAUGE_SET(lane->shared, last_sent_ns, lane->now);
        lane->turn.sent = false;
        nd_lane_send_heartbeats(lane);
        nd_lane_ask_gateways(lane);
        bool worked = run_turn(lane);

        lane->turn.spent = worked && !lane->turn.gathers ? FT_SPENT_USEFUL : FT_SPENT_EMPTY;
        nd_lane_wait(lane, worked);
    }
    nd_lane_end(lane);
    return 0;
}
