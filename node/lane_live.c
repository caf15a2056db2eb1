/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane while its node is primary: receive, capture, run the chain, hold, release. The readings of the clock
 * in a burst: its time (taken by the turn), the lease before outputs leave, and for status when they had
 * left.
 */
#include "node/lane.h"
#include "node/clock.h"
#include "ftcore/audit.h"
#include "ftcore/plant.h"
#include "nflib/chain.h"
#include "node/beat.h"

#include <string.h>
#include <time.h>

#define TX_BURST    32u
#define CLAIM_NS    10000000ull /* between two answers to another's claim */
#define QUIET_NS    2000000ull
#define DRAIN_QUIET 3000000ull /* ns without a frame until the ports count as empty */

/* ---- release ----------------------------------------------------------------------------------- */

static void note_release(struct nd_lane *lane, uint64_t at)
{
    struct ft_lane *shared = lane->shared;

    if (atomic_load_explicit(&shared->count.first_release_ns, memory_order_relaxed) == 0)
        atomic_store_explicit(&shared->count.first_release_ns, nd_now(), memory_order_relaxed);
    lane->sent = true; /* the next turn's clock will say until when at the latest */
    atomic_store_explicit(&shared->count.last_release_ns, at, memory_order_relaxed);
}

/* Outputs in a row for one port. Returns how many the port took. */
static uint32_t transmit(struct nd_lane *lane, const struct ft_held *held, uint32_t n)
{
    unsigned port = held[0].port;

    /* While we hand over, bridges must not learn the virtual MAC on this side again. */
    for (uint32_t i = 0; ft_unlikely(lane->aside) && i < n; i++)
        memcpy(lane->io->data(held[i].packet) + 6, lane->io->own[port], 6);
    return lane->io->send(lane->io->ctx, lane->index, port, held, n);
}

/* Last burst whose outputs may leave. State in Redis: what is answered there. */
static uint64_t release_to(const struct nd_lane *lane)
{
    if (FT_PLANTED("early-release"))
        return FT_ALL;
    if (ft_unlikely(lane->redis != NULL))
        return nd_redis_confirmed(lane->redis);
    return atomic_load_explicit(&lane->shared->stable, memory_order_acquire);
}

bool nd_lane_release(struct nd_lane *lane)
{
    struct ft_lane *shared = lane->shared;
    const struct ft_held *held;
    bool any = false;
    uint32_t n, sent;

    while ((n = ft_hold_ready(&lane->hold, release_to(lane), TX_BURST, &held))) {
        uint64_t lease = atomic_load_explicit(&shared->lease_until, memory_order_acquire);
        uint64_t at = lease == FT_ALL ? lane->now : nd_now();

        if (at >= lease) {
            FT_COUNT(shared, lease_held, 1);
            break;
        }
        sent = transmit(lane, held, n);
        if (sent == 0) {
            FT_COUNT(shared, tx_refused, 1);
            break;
        }
        ft_hold_drop(&lane->hold, sent);
        note_release(lane, at);
        any = true;
    }
    if (any)
        atomic_store_explicit(&shared->released,
                              nf_chain_state(lane->chain)->outputs - ft_hold_count(&lane->hold),
                              memory_order_relaxed);
    atomic_store_explicit(&shared->count.held, ft_hold_count(&lane->hold), memory_order_relaxed);
    return any;
}

void nd_lane_drop_held(struct nd_lane *lane)
{
    struct ft_held held;

    while (ft_hold_peek(&lane->hold, FT_ALL, 1, &held)) {
        lane->io->drop(lane->io->ctx, held.packet);
        ft_hold_drop(&lane->hold, 1);
        FT_COUNT(lane->shared, fenced_dropped, 1);
    }
    nd_lane_drop_waiting(lane);
    atomic_store_explicit(&lane->shared->count.held, 0, memory_order_relaxed);
}

static void *make_packet(struct nd_lane *lane, const void *frame, uint32_t len)
{
    void *packet = lane->io->make(lane->io->ctx, lane->index, frame, len);

    if (!packet)
        FT_COUNT(lane->shared, no_buffer, 1);
    return packet;
}

void nd_lane_send_own(struct nd_lane *lane, unsigned port, const void *frame, uint32_t len)
{
    struct ft_held own = {.packet = make_packet(lane, frame, len), .port = (uint16_t)port};

    if (own.packet && lane->io->send(lane->io->ctx, lane->index, port, &own, 1) == 0)
        lane->io->drop(lane->io->ctx, own.packet);
}

void nd_lane_announce(struct nd_lane *lane)
{
    static const uint64_t later[3] = {10000000, 100000000, 1000000000};
    uint8_t frame[42], port;

    if (!lane->config->chain.l3 || lane->index != 0)
        return;
    for (unsigned i = 0; nf_l3_announce(lane->config->chain.l3, i, frame, &port); i++)
        nd_lane_send_own(lane, port, frame, sizeof(frame));
    for (unsigned i = 0; i < 3; i++)
        lane->announce_at[i] = lane->now + later[i];
}

/* A packet with all of a kept output's bytes, the gate's among them. NULL: they are not to be had. */
static void *make_whole(struct nd_lane *lane, const struct lg_output *output)
{
    const struct nd_io *io = lane->io;
    uint8_t frame[FT_FRAME_MAX];

    if (output->have == output->len)
        return make_packet(lane, output + 1, output->len);
    if (!io->complete || output->len > sizeof(frame))
        return NULL;
    memcpy(frame, output + 1, output->have);
    if (!io->complete(io->ctx, lane->index, output->clock, frame, output->have, output->len))
        return NULL;
    return make_packet(lane, frame, output->len);
}

/* What was stable and perhaps not released (G4). It passes the gate like everything else. */
void nd_lane_emit_tail(struct nd_lane *lane)
{
    const struct lg_output *output;

    FT_COUNT(lane->shared, tail_suppressed, lane->kept.forgotten);
    lane->kept.forgotten = 0;
    while ((output = lg_kept_take(&lane->kept))) {
        struct ft_held held = {.burst = output->burst,
                               .number = output->number,
                               .clock = output->clock,
                               .len = output->len,
                               .port = output->port};

        if (lane->config->protect.tail == ND_TAIL_EMIT && ft_hold_room(&lane->hold))
            held.packet = make_whole(lane, output);
        if (!held.packet) {
            FT_COUNT(lane->shared, tail_suppressed, 1);
            continue;
        }
        ft_hold_put(&lane->hold, &held);
        FT_COUNT(lane->shared, tail_emitted, 1);
    }
    nd_lane_release(lane);
}

/* ---- receive ----------------------------------------------------------------------------------- */

/* True when the frame was the peer's or our own heartbeat, and no input. */
static bool take_beat(struct nd_lane *lane, const struct nd_frame *f)
{
    uint64_t view;
    uint32_t half;

    if (!nd_beat_read(f->data, f->len, &half, &view))
        return false;
    if (half != (uint32_t)(lane->incarnation >> 32)) {
        atomic_store_explicit(&lane->shared->beat_half, half, memory_order_relaxed);
        atomic_store_explicit(&lane->shared->beat_view, view, memory_order_relaxed);
        atomic_store_explicit(&lane->shared->beat_ns, lane->now, memory_order_release);
    }
    return true;
}

/*
 * True for a frame from the chain's own MAC, and no input: the other node claims the addresses. While we
 * reign that is a stale primary, and we claim them again (hazard 10); while we hand over it is what we asked
 * for.
 */
static bool take_claim(struct nd_lane *lane, const struct nd_frame *f, unsigned port)
{
    const struct nf_l3_config *l3 = lane->config->chain.l3;

    if (!l3 || memcmp(f->data + 6, l3->port[port].mac, 6) != 0)
        return false;
    FT_COUNT(lane->shared, claims, 1);
    if (lane->doing == FT_LANE_LIVE && lane->now - lane->claimed_at > CLAIM_NS) {
        lane->claimed_at = lane->now;
        nd_lane_announce(lane);
    }
    return true;
}

bool nd_lane_takes(struct nd_lane *lane, const struct nd_frame *f, unsigned port)
{
    return take_beat(lane, f) || take_claim(lane, f, port);
}

bool nd_lane_listen(struct nd_lane *lane)
{
    struct nd_frame in[NF_BURST_MAX];
    bool any = false;

    for (unsigned port = 0; lane->io->receive && port < lane->io->ports; port++) {
        uint32_t n = lane->io->receive(lane->io->ctx, lane->index, port, in, NF_BURST_MAX);

        for (uint32_t i = 0; i < n; i++) {
            take_beat(lane, &in[i]);
            lane->io->drop(lane->io->ctx, in[i].owner);
        }
        any |= n > 0;
    }
    return any;
}

static void add_packet(struct nd_lane *lane, const struct nd_frame *f, unsigned port)
{
    lane->packets[lane->n++] = (struct nf_packet){.data = f->data,
                                                  .len = f->len,
                                                  .have = f->len,
                                                  .in_port = (uint8_t)port,
                                                  .side = lane->io->side[port],
                                                  .owner = f->owner};
}

static void receive(struct nd_lane *lane)
{
    struct nd_frame in[NF_BURST_MAX];
    unsigned from;
    bool more = true;

    while (lane->n < NF_BURST_MAX && nd_waiting_take(&lane->waiting, in, &from))
        add_packet(lane, in, from);

    /* The first port may not starve the second when both are busy; when the others have little, it is asked
     * once more. */
    for (unsigned k = 0; k <= lane->io->ports && lane->n < NF_BURST_MAX; k++) {
        unsigned port = (lane->next_port + k) % lane->io->ports;
        uint32_t want = NF_BURST_MAX - lane->n;
        uint32_t most = k == 0 && want > NF_BURST_MAX / 2 ? NF_BURST_MAX / 2 : want;
        uint32_t n = lane->io->receive(lane->io->ctx, lane->index, port, in, most);

        for (uint32_t i = 0; i < n; i++) {
            if (nd_lane_takes(lane, &in[i], port))
                lane->io->drop(lane->io->ctx, in[i].owner);
            else
                add_packet(lane, &in[i], port);
        }
        if (k == 0 && n < most) /* it has no more */
            more = false;
        if (k + 1 == lane->io->ports && !more)
            break;
    }
    lane->next_port++;
}

/* From a gate: whole bursts, with their time. False: none is there. */
static bool receive_burst(struct nd_lane *lane, uint64_t *time)
{
    struct nd_frame in[NF_BURST_MAX];
    uint8_t ports[NF_BURST_MAX];
    uint32_t n = 0;

    if (!lane->io->burst(lane->io->ctx, lane->index, nf_chain_state(lane->chain)->burst, in, ports, &n, time))
        return false;
    for (uint32_t i = 0; i < n; i++)
        add_packet(lane, &in[i], ports[i]);
    return true;
}

/* ---- burst ------------------------------------------------------------------------------------- */

static void capture(struct nd_lane *lane, uint64_t burst, uint64_t time)
{
    lg_capture_begin(&lane->capture, lane->index, burst, nf_chain_state(lane->chain)->clock, time, lane->n);
    if (lane->io->burst)
        lane->capture.record->flags |= FT_REC_STAMPED;
    if (lane->by_clock) {
        lg_capture_by_clock(&lane->capture);
        return;
    }
    for (uint32_t i = 0; i < lane->n; i++) {
        struct nf_packet *p = &lane->packets[i];
        uint32_t take = p->len;

        if (!lane->whole_capture) {
            nf_packet_parse(p);
            take = nf_packet_header_bytes(p);
        }
        lg_capture_input(&lane->capture, p->data, p->len, take, p->in_port, p->side == NF_OUTSIDE);
    }
}

/* The burst's outputs in order: inputs that pass, then what NFs made. */
static void hold_outputs(struct nd_lane *lane, uint64_t burst, uint64_t clock, uint64_t number)
{
    const struct nf_emitted *made;
    uint32_t count = nf_chain_emitted(lane->chain, &made), dropped = 0;
    bool weigh = nd_lane_weighs(lane);

    for (uint32_t i = 0; i < lane->n; i++) {
        struct nf_packet *p = &lane->packets[i];
        struct ft_held held = {.burst = burst,
                               .number = number + 1,
                               .clock = clock + i,
                               .packet = p->owner,
                               .len = p->len,
                               .port = p->out_port};

        if (p->drop || p->out_port >= lane->io->ports) {
            lane->io->drop(lane->io->ctx, p->owner);
            dropped++;
        } else {
            ft_hold_put(&lane->hold, &held);
            if (ft_unlikely(weigh))
                nd_lane_weigh(lane, &held);
            number++;
        }
    }
    for (uint32_t i = 0; i < count; i++) {
        struct ft_held held = {.burst = burst, .number = ++number, .len = made[i].len, .port = made[i].port};

        if (made[i].port < lane->io->ports && (held.packet = make_packet(lane, made[i].frame, made[i].len))) {
            ft_hold_put(&lane->hold, &held);
            if (ft_unlikely(weigh))
                nd_lane_weigh(lane, &held);
        }
    }
    FT_COUNT(lane->shared, dropped, dropped);
    FT_COUNT(lane->shared, emitted, count);
}

/* Its state is not where it should be: the node is about to end. */
static void drop_burst(struct nd_lane *lane)
{
    for (uint32_t i = 0; i < lane->n; i++)
        lane->io->drop(lane->io->ctx, lane->packets[i].owner);
    FT_COUNT(lane->shared, dropped, lane->n);
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
    uint32_t len = nf_values_noted(nf_chain_values(lane->chain), &values);

    if (len)
        lg_capture_value(&lane->capture, values, len);
    lg_capture_order(&lane->capture, access, (uint32_t)(order->next - access), order->edges, order->count);
}

/* The record is whole: to who keeps the log, to the flight recorder, then to the replicator. */
static void hand_over(struct nd_lane *lane, bool logged)
{
    const struct ft_record *r = lg_capture_whole(&lane->capture, lane->told_released);

    if (lane->io->record)
        lane->io->record(lane->io->ctx, lane->index, r);
    if (lane->recorder)
        lg_recorder_record(lane->recorder, lane->index, r);
    if (logged) {
        nd_lane_tally(lane, r);
        lg_capture_end(&lane->capture, lane->told_released);
    } else {
        lg_capture_forget(&lane->capture);
    }
}

/* Somebody besides the replicator. */
static bool wants_record(const struct nd_lane *lane)
{
    return lane->io->record || (lane->recorder && lg_recorder_listens(lane->recorder));
}

static void run_burst(struct nd_lane *lane, uint64_t time, const char *command)
{
    const struct nf_lane_state *state = nf_chain_state(lane->chain);
    struct nd_question *q = lane->question;
    uint64_t burst = state->burst + 1, clock = state->clock, number = state->outputs, access = state->access;
    bool logged = nd_lane_logs(lane), deltas = nd_lane_deltas(lane);
    bool captured = logged || wants_record(lane);

    if (captured)
        capture(lane, burst, time);
    if (command) { /* a value from outside: recorded, and on replay taken from the record */
        if (captured)
            lg_capture_value(&lane->capture, command, (uint32_t)strlen(command));
        q->error = nf_chain_command(lane->chain, command, (uint32_t)strlen(command), time, &q->fault);
    }
    nf_chain_run(lane->chain, burst, time, lane->packets, lane->n);
    ft_audit_check(lane->region, lane->index);
    if (captured)
        capture_determinants(lane, access);
    if (logged) {
        if (ft_unlikely(nd_lane_owes_digest(lane)))
            lg_capture_digest(&lane->capture, nd_lane_tell_digest(lane, burst));
        lane->told_released = atomic_load_explicit(&lane->shared->released, memory_order_relaxed);
    }
    if (logged || deltas) {
        lane->busy_at = lane->now;
        lane->ran = true;
    }
    if (captured)
        hand_over(lane, logged);
    if (deltas)
        nd_lane_tally(lane, NULL);
    /* What is not answered yet waits in the hold. */
    if (ft_likely(!lane->redis || nd_redis_confirmed(lane->redis) >= burst || !nd_redis_lost(lane->redis)))
        hold_outputs(lane, burst, clock, number);
    else
        drop_burst(lane);
    atomic_store_explicit(&lane->shared->closed, burst, memory_order_release);
    if (!deltas)
        atomic_store_explicit(&lane->shared->recorded, burst, memory_order_release);
    FT_COUNT(lane->shared, bursts, 1);
    FT_COUNT(lane->shared, empty_bursts, lane->n == 0);
    FT_COUNT(lane->shared, received, lane->n);
}

/* Room for whatever a burst may make; without it the ports' own queues have to wait. */
static bool has_room(struct nd_lane *lane)
{
    if (ft_hold_room(&lane->hold) < NF_BURST_MAX + NF_EMIT_MAX) {
        FT_COUNT(lane->shared, hold_full, 1);
        return false;
    }
    if (lane->io->room && !lane->io->room(lane->io->ctx, lane->index))
        return false;
    /* Logging may begin, but a recording only between bursts, by this lane: what wants_record said still
     * holds. */
    if ((wants_record(lane) || atomic_load_explicit(&lane->shared->logging, memory_order_relaxed)) &&
        !lg_capture_room(lane->shared)) {
        FT_COUNT(lane->shared, ring_full, 1);
        return false;
    }
    return true;
}

static const char *command_asked(struct nd_lane *lane)
{
    if (atomic_load_explicit(&lane->question->asked, memory_order_acquire) != ND_ASK_COMMAND ||
        lane->question->lane != lane->index)
        return NULL;
    return nd_lane_take(lane->question, ND_ASK_COMMAND) ? lane->question->text : NULL;
}

/* Frames that one lane polls may be another's, so none stops before all are quiet. */
static bool all_drained(const struct nd_lane *lane)
{
    for (unsigned l = 0; l < lane->group->lanes; l++)
        if (atomic_load_explicit(&lane->group->lane[l].shared->done, memory_order_relaxed) != lane->order)
            return false;
    return true;
}

/* While draining: the ports have given nothing for a while, and all that was made has left. */
static void consider_drained(struct nd_lane *lane)
{
    if (lane->n)
        lane->quiet_since = lane->now;
    if (lane->now - lane->quiet_since >= DRAIN_QUIET && ft_hold_count(&lane->hold) == 0 &&
        lane->waiting.count == 0 && !nd_lane_uncut(lane))
        atomic_store_explicit(&lane->shared->done, lane->order, memory_order_release);
}

/* The standby keeps what we released after the last record. Once it is quiet, one more record ends that. */
static bool owes_word(const struct nd_lane *lane)
{
    return lane->now - lane->busy_at > QUIET_NS &&
           atomic_load_explicit(&lane->shared->released, memory_order_relaxed) != lane->told_released;
}

/* A burst is due without packets: timers, a digest that somebody waits for, a word on what has left. */
static bool due(struct nd_lane *lane)
{
    bool logged = atomic_load_explicit(&lane->shared->logging, memory_order_relaxed);

    if (nf_chain_due(lane->chain, lane->now + lane->time_offset))
        return true;
    /* What the next delta says needs a burst to be cut behind, and no more than one. */
    return logged && ((owes_word(lane) && !(nd_lane_deltas(lane) && nd_lane_uncut(lane))) ||
                      nd_lane_owes_digest(lane) ||
                      (nd_lane_digest_by_delta(lane) && nd_lane_digest_wanted(lane) &&
                       nf_chain_state(lane->chain)->burst == lane->cut_from));
}

static bool collect_and_run(struct nd_lane *lane)
{
    const char *command;
    uint64_t time;

    if (lane->io->burst) {
        if (!receive_burst(lane, &time))
            return false;
        command = command_asked(lane);
    } else {
        receive(lane);
        time = burst_time(lane);
        command = command_asked(lane);
        if (!lane->n && !command && !due(lane))
            return false;
    }
    run_burst(lane, time, command);
    if (command)
        atomic_store_explicit(&lane->question->asked, ND_ASK_NONE, memory_order_release);
    return true;
}

bool nd_lane_live(struct nd_lane *lane)
{
    bool worked = false;

    lane->n = 0;
    if (lane->draining && all_drained(lane))
        return false; /* drained: what comes now is the other node's */
    if (nd_lane_cut(lane)) {
        lane->short_of_room = !has_room(lane);
        worked = lane->short_of_room ? nd_lane_hear(lane) : collect_and_run(lane);
    }
    worked |= nd_lane_release(lane);
    if (ft_unlikely(lane->redis != NULL) && !worked)
        nd_redis_settle(lane->redis);
    if (lane->draining)
        consider_drained(lane);
    return worked;
}
