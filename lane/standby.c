/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane while its node is standby. It runs the recorded bursts through the very same chain, or applies
 * deltas, and stops with the other lanes where all have to. What it is given lies in its replay ring and, of
 * incremental checkpoints, in its checkpoint ring, in the lane's order. On the lane's own thread; what lanes
 * agree on lies in struct nd_group.
 *
 * Replay. Packets are worked on where the record lies; outputs are kept until the primary reports that it
 * released them. Replay checks itself: numbers, sequence numbers, determinants consumed exactly, digests; on
 * divergence it stops and reports what it expected and got.
 *
 * Deltas. The lane writes the lines of its delta into its own arenas, lane 0 those of the shared arena as
 * well, and keeps the outputs that the primary held. None is touched before the whole delta, with the deltas
 * of all lanes, is in the closed set. All lanes come to a barrier where the delta starts, since the lines of
 * the shared arena must not change under another lane that still replays; and none goes on before lane 0 has
 * written them. Lines are written through ft_edit like any other change: whoever copies or audits the region
 * sees them.
 *
 * Stop points. Lanes that replay may not wait in a barrier anywhere: one in the middle of a burst waits for
 * accesses that another would never make if it waited in the barrier already. They stop where the bursts
 * before are a closed set, so that every lane gets there:
 *
 *   - before a record that carries a digest, as the primary had executed when it took the digest;
 *   - at closed_to, while it does not move. Lane 0 asks for that (`stop_point`), lanes move nothing by what
 *     came by their ports, the replicator stops moving it and acknowledges that (`stop_point_seen`). Lanes
 *     that stop at a digest on their way there count as well: others that wait for what comes behind it would
 *     have to be behind theirs.
 *
 * Any state in which all lanes have stopped between bursts is a state of the chain, so the last one to stop
 * can take a digest or begin a snapshot. A lane that has stopped goes on with its turns but does not replay;
 * before it follows a new order it leaves (nd_lane_leave_stop_point). A digest that other lanes' records
 * still lack after DIGEST_NS is not compared: replay must not depend on somebody's asking.
 */
#include "lane/parts.h"
#include "ftcore/base/cpu.h"
#include "ftcore/base/clock.h"
#include "ftcore/base/event_log.h"
#include "ftcore/base/plant.h"
#include "ftcore/order/closed.h"
#include "ftcore/order/section.h"
#include "ftcore/record/delta.h"
#include "ftcore/region/audit.h"
#include "nflib/chain/chain.h"
#include "nflib/chain/unread.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

#define RECORDS_TURN 64u     /* records between two reads of the orders, at most */
#define TURN_NS      200000u /* a turn that has taken so long ends with the present record */
#define NOT_TAKEN    0xd7    /* what lies in the frame where capture would have taken nothing: no payload */
#define DIGEST_NS    300000000u /* a lane waits for the others at a digest: less than a handover may take */

/* ---- the end of a replay that cannot go on ------------------------------------------------------- */

/* Whoever waits for an access of this lane is deadlocked, until the order after this one. */
void nd_lane_abort_replay(struct nd_lane *lane)
{
    uint64_t aborted = atomic_load_explicit(&lane->group->aborted, memory_order_relaxed);

    while (aborted < lane->seen.order &&
           !atomic_compare_exchange_weak_explicit(&lane->group->aborted, &aborted, lane->seen.order,
                                                  memory_order_release, memory_order_relaxed))
        ;
}

bool nd_lane_replay_aborted(const struct nd_lane *lane)
{
    return atomic_load_explicit(&lane->group->aborted, memory_order_acquire) >= lane->seen.order;
}

bool nd_lane_diverged(struct nd_lane *lane, uint64_t burst, uint64_t seq, const char *what, uint64_t expected,
                      uint64_t got)
{
    const struct ft_log_field fields[] = {
        {"lane", .number = lane->index}, {"burst", .number = burst}, {"seq", .number = seq}, {0}};

    ft_log_fields(FT_LEVEL_ERROR, FT_SAYS_DIVERGED, fields,
                  "replay diverged: lane %u burst %lu seq %lu: %s: expected %lu, got %lu", lane->index, burst,
                  seq, what, expected, got);
    FT_COUNTER_ADD(lane->shared, divergences, 1);
    FT_REPORT_SET(lane->shared, diverged, true);
    nd_lane_abort_replay(lane);
    return false;
}

static bool report_verdict(struct nd_lane *lane, uint64_t burst, uint64_t seq, uint64_t expected,
                           uint64_t got)
{
    FT_REPORT_SET(lane->shared, expected, expected);
    FT_REPORT_SET(lane->shared, got, got);
    FT_REPORT_SET(lane->shared, digest_burst, burst);
    FT_REPORT_SET(lane->shared, digests, FT_REPORT_GET(lane->shared, digests) + 1);
    return got == expected || nd_lane_diverged(lane, burst, seq, "digest", expected, got);
}

/* ---- a recorded burst ---------------------------------------------------------------------------- */

/* As capture would have taken it (capture_frames), so that an NF finds here what a record would give it. */
static void cut_input(struct nf_packet *p)
{
    nf_packet_parse(p);
    p->have = nf_packet_header_bytes(p);
    p->parsed = 0;
    memset(p->data + p->have, NOT_TAKEN, p->len - p->have);
}

/* The input keeper has the burst's inputs, as they came in. Where all NFs declare that they read flows, they
 * do not find what else is in them. False: it does not have them, and nobody else. */
static bool fetch_inputs(struct nd_lane *lane, const struct ft_record *r, struct nf_unread unread[])
{
    bool flows = nf_chain_reads(lane->config) == NF_READS_FLOW;
    const struct nd_io *io = lane->io;

    for (uint32_t i = 0; i < r->inputs; i++) {
        uint8_t *frame = lane->burst.frames + (size_t)i * io->frame_max, port = 0;
        uint32_t len = 0;

        if (!lane->burst.frames || !io->input(io->ctx, lane->index, r->seq + i, frame, &len, &port))
            return false;
        lane->burst.packets[i] = (struct nf_packet){
            .data = frame, .len = len, .have = len, .in_port = port, .side = io->side[port]};
        if (!lane->whole_capture)
            cut_input(&lane->burst.packets[i]);
        unread[i].hidden = 0;
        if (flows)
            nf_unread_hide(&lane->burst.packets[i], NF_UNREAD_ALL, &unread[i]);
    }
    return true;
}

static void show_unread(struct nd_lane *lane, const struct nf_unread unread[], uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (!lane->burst.packets[i].drop)
            nf_unread_show(&lane->burst.packets[i], &unread[i]);
}

uint32_t nd_lane_load_inputs(struct nd_lane *lane, struct lg_cursor *cursor)
{
    struct nf_session_input *input = lane->burst.session_input;
    const struct ft_input *in;
    uint32_t n = 0, aside = 0;
    uint8_t *bytes;

    lane->burst.by_session = false;
    while ((in = lg_cursor_input(cursor, &bytes))) {
        input[n].key = NF_NONE;
        aside |= (uint32_t) !!(in->flags & FT_IN_ASIDE) << n;
        if (in->flags & FT_IN_SESSION) {
            lane->burst.by_session = true;
            memcpy(&input[n], bytes, FT_SESSION_BYTES);
            input[n].key -= input[n].key == NF_NONE; /* no session's either, and refused as such */
        }
        __builtin_prefetch(bytes + cursor->record->size); /* the next record, most often as large as this */
        lane->burst.packets[n++] =
            (struct nf_packet){.data = bytes,
                               .len = in->wire,
                               .have = in->taken,
                               .in_port = in->port,
                               .side = in->flags & FT_IN_OUTSIDE ? NF_OUTSIDE : NF_INSIDE,
                               .parsed = in->flags & FT_IN_SESSION};
    }
    nf_chain_restore_from(lane->chain, lane->burst.by_session ? input : NULL);
    nf_chain_set_aside(lane->chain, aside);
    return n;
}

/* Of an output not captured whole the head is worth keeping only where an input keeper has the rest. Where
 * the input was recorded by its session there is no frame to send again; what NFs made in such a burst is not
 * kept either: it may quote one. Nobody will ask for what the primary had released when it made a later
 * record that is here. */
static void keep_replayed(struct nd_lane *lane, const struct ft_record *r, uint64_t number, uint32_t n)
{
    const struct nf_emitted *made;

    uint64_t outputs = nf_chain_state(lane->chain)->outputs;

    if (outputs <= FT_ORDER_GET(lane->shared, peer_released) || outputs <= nd_link_released(lane))
        return;
    uint32_t count = nf_chain_emitted(lane->chain, &made);
    struct lg_output out = {.burst = r->burst};
    uint64_t missed = 0;

    for (uint32_t i = 0; i < n; i++) {
        const struct nf_packet *p = &lane->burst.packets[i];

        if (p->drop || p->out_port >= lane->io->ports)
            continue;
        out.number = ++number;
        if (lane->burst.by_session && lane->burst.session_input[i].key != NF_NONE) {
            missed++;
            continue;
        }
        out.seq = r->seq + i;
        out.len = p->len;
        out.have = p->have == p->len || lane->io->rest ? p->have : 0;
        out.port = p->out_port;
        lg_replayed_put(&lane->replayed, &out, p->data);
    }
    if (lane->burst.by_session) {
        lg_replayed_missed(&lane->replayed, missed + count, number + count);
        return;
    }
    out.seq = 0;
    for (uint32_t i = 0; i < count; i++) {
        out.number = ++number;
        out.len = out.have = made[i].len;
        out.port = made[i].port;
        lg_replayed_put(&lane->replayed, &out, made[i].frame);
    }
}

/* The record waits for an access that cannot come, since who was to make it waits as well. */
static void report_deadlock(struct nd_lane *lane, const struct ft_record *r)
{
    const struct ft_sections *order = nf_chain_sections(lane->chain);
    const struct ft_dependency *dependency = &order->dependencies[order->at];
    char what[512];
    size_t at =
        (size_t)snprintf(what, sizeof(what), "deadlock: waits for an access of lane %u:", dependency->lane);

    for (unsigned i = 0; i < order->cycle_length; i++)
        at += (size_t)snprintf(what + at, sizeof(what) - at, "%s lane %u", i ? " for" : "", order->cycle[i]);
    if (order->cycle[order->cycle_length - 1] != r->lane)
        snprintf(what + at, sizeof(what) - at, " for all lanes");
    nd_lane_diverged(lane, r->burst, r->seq, what, dependency->access,
                     atomic_load_explicit(&order->published[dependency->lane].access, memory_order_acquire));
}

static bool record_follows(struct nd_lane *lane, const struct ft_record *r)
{
    const struct nf_lane_state *state = nf_chain_state(lane->chain);

    if (r->burst != state->burst + 1)
        return nd_lane_diverged(lane, r->burst, r->seq, "burst", r->burst, state->burst + 1);
    if (r->seq != state->seq)
        return nd_lane_diverged(lane, r->burst, r->seq, "seq", r->seq, state->seq);
    if (r->access != state->access)
        return nd_lane_diverged(lane, r->burst, r->seq, "access", r->access, state->access);
    return r->time >= state->time ||
           nd_lane_diverged(lane, r->burst, r->seq, "time not before", r->time, state->time);
}

/* True when there is none to compare after the burst: with several lanes, what all stop for comes before it;
 * and who takes over is waited for, so it compares nothing. */
static bool compare_digest(struct nd_lane *lane, const struct ft_record *r)
{
    if (!(r->flags & FT_REC_DIGESTS) || (r->flags & FT_REC_DIGEST && lane->group->lanes > 1) ||
        lane->doing != FT_LANE_REPLAY)
        return true;
    if (r->flags & FT_REC_SLICE)
        return nd_lane_compare_slice(lane, &(struct nd_slice_digest){r->burst, r->seq, r->slice, r->digest});
    return report_verdict(lane, r->burst, r->seq, r->digest, ft_region_digest(lane->region));
}

static bool replay_record(struct nd_lane *lane, const struct ft_record *r)
{
    const struct nf_lane_state *state = nf_chain_state(lane->chain);
    struct lg_cursor cursor = {.record = r};
    struct nf_unread unread[NF_BURST_MAX]; /* of inputs that a keeper has */
    struct ft_fault fault;
    const void *value;
    uint32_t n, len;
    uint64_t outputs = state->outputs;
    bool whole = true;
    uint32_t commands = 0;

    if (!record_follows(lane, r))
        return false;
    nf_chain_follow(lane->chain,
                    (const struct ft_dependency *)((const uint8_t *)r + ft_record_dependencies_at(r)),
                    FT_PLANTED("drop-edge") ? 0 : r->dependencies);
    if (r->flags & FT_REC_BY_SEQ && !fetch_inputs(lane, r, unread))
        return nd_lane_diverged(lane, r->burst, r->seq, "inputs that the input keeper has", r->inputs, 0);
    n = nd_lane_load_inputs(lane, &cursor);
    if (r->flags & FT_REC_BY_SEQ)
        n = r->inputs;
    while ((value = lg_cursor_determinant(&cursor, &len)))
        if (nf_determinants_is(value, len))
            whole &= nf_determinants_supply(nf_chain_determinants(lane->chain), value, len) == FT_OK;
        else if (commands++ == 0)
            nf_chain_command(lane->chain, value, len, r->time, &fault); /* refused then, refused now */
    if (!whole || commands > 1) {      /* no lane of ours records two commands in a burst */
        nf_chain_abandon(lane->chain); /* a snapshot may come, and go on with this chain */
        if (!whole)
            return nd_lane_diverged(lane, r->burst, r->seq, "determinants that are whole", 1, 0);
        return nd_lane_diverged(lane, r->burst, r->seq, "commands, one at most", 1, commands);
    }
    nf_chain_run(lane->chain, r->burst, r->time + (FT_PLANTED("wrong-time") ? 1 : 0), lane->burst.packets, n);
    ft_audit_check(lane->region, lane->index);
    if (!nf_chain_restored(lane->chain))
        return nd_lane_diverged(lane, r->burst, r->seq, "inputs that name sessions of this lane", 1, 0);
    if (r->flags & FT_REC_BY_SEQ)
        show_unread(lane, unread, n);
    keep_replayed(lane, r, outputs, n);
    lg_replayed_released(&lane->replayed, r->released);
    FT_COUNTER_ADD(lane->shared, replayed_packets, n);
    if (!lg_cursor_done(&cursor) || !nf_determinants_used(nf_chain_determinants(lane->chain)))
        return nd_lane_diverged(lane, r->burst, r->seq, "determinants that the chain did not ask for", 0, 1);
    const struct ft_sections *sections = nf_chain_sections(lane->chain);

    if (!ft_sections_used(sections, r->access, r->accesses))
        return nd_lane_diverged(lane, r->burst, r->seq, "last access, with all dependencies before it",
                                r->access + r->accesses, sections->next);
    return compare_digest(lane, r);
}

/* Apart, so that no local lives across the jump. */
static __attribute__((noinline)) bool replay_or_abandon(struct nd_lane *lane, const struct ft_record *r)
{
    struct ft_sections *order = nf_chain_sections(lane->chain);
    jmp_buf escape;
    bool whole;

    if (lane->group->lanes == 1)
        return replay_record(lane, r);
    switch (setjmp(escape)) {
    case 0:
        break;
    case FT_DEADLOCK:
        report_deadlock(lane, r);
        /* fall through */
    default: /* or another lane has diverged, while we waited for it */
        nf_chain_abandon(lane->chain);
        return false;
    }
    order->life = lane->seen.order;
    order->escape = &escape;
    whole = replay_record(lane, r);
    order->escape = NULL;
    return whole;
}

/* ---- deltas -------------------------------------------------------------------------------------- */

/* False: it was aborted. Who waits for an access of this lane meanwhile is deadlocked: it would have to
 * come here first. */
static bool come_to_barrier(struct nd_lane *lane, struct nd_barrier *place,
                            void (*work)(struct nd_group *group))
{
    struct ft_published *own = &lane->group->published[lane->index];
    bool whole;

    ft_wait_for_all(own);
    whole = nd_group_barrier_at(lane, place, work);
    if (!whole)
        ft_wait_over(own);
    return whole;
}

/* The lane is where the delta starts. False: it is not, or the barrier was aborted. */
static bool at_delta_start(struct nd_lane *lane, const struct ft_chunk *chunk)
{
    const struct nf_lane_state *state = nf_chain_state(lane->chain);

    if (!FT_PLANTED("wrong-base") && (chunk->cut != lane->apply.cut + 1 || state->burst != chunk->from))
        return nd_lane_diverged(lane, chunk->burst, chunk->seq, "start of the delta, burst", chunk->from,
                                state->burst);
    return come_to_barrier(lane, &lane->group->delta_start, NULL);
}

/* Planted: a delta that is not applied, so that the next one starts from another state. */
static bool left_out(const struct ft_chunk *chunk)
{
    return FT_PLANTED("wrong-base") && chunk->cut % 2 == 0;
}

static void write_lines(struct nd_lane *lane, const struct ft_chunk *chunk)
{
    struct ft_region *region = lane->region;
    struct ft_line_run run;
    uint32_t at = 0;

    if (left_out(chunk))
        return;
    ft_audit_enter(region, lane->index); /* no lane works on what they share meanwhile */
    while (ft_line_run_next(ft_chunk_lines(chunk), chunk->lines, &at, region->size >> FT_LINE_SHIFT, &run) >
           0) {
        size_t bytes = (size_t)run.count << FT_LINE_SHIFT;
        void *to = ft_edit(region, region->base + (run.line << FT_LINE_SHIFT), bytes);

        if (FT_PLANTED("skip-dirty-line") && chunk->cut % 2 == 0 && /* another one than the lane's own */
            run.line << FT_LINE_SHIFT >= ft_region_arena(region, lane->index, 1)->offset)
            bytes -= FT_LINE;
        if (run.zero)
            memset(to, 0, bytes);
        else
            memcpy(to, run.bytes, bytes);
    }
    ft_audit_leave(region, lane->index);
}

static void keep_outputs(struct nd_lane *lane, const struct ft_chunk *chunk)
{
    const uint8_t *at = ft_chunk_held(chunk);

    for (uint32_t i = 0; i < chunk->held; i++) {
        const struct ft_chunk_output *held = (const struct ft_chunk_output *)at;
        struct lg_output out = {.number = held->number,
                                .burst = held->burst,
                                .seq = held->seq,
                                .len = held->len,
                                .have = held->have,
                                .port = held->port};

        lg_replayed_put(&lane->replayed, &out, held + 1);
        at += sizeof(*held) + FT_ALIGN8(held->have);
    }
    lane->apply.carried += chunk->held;
}

/* Lane 0 is past the barrier, so it gets there; unless it has stopped for good. */
static void wait_for_shared(struct nd_lane *lane, uint64_t cut)
{
    struct nd_group *group = lane->group;

    for (unsigned spins = 0; atomic_load_explicit(&group->shared_applied, memory_order_acquire) < cut;
         spins++) {
        if (nd_lane_is_to_end(lane) || nd_lane_replay_aborted(lane))
            return;
        nd_group_pause(spins);
    }
}

/* All lanes are where the delta ends. Each reports its own verdict on the digest of the whole region; slices
 * are lane 0's. */
static void compare_at_delta(struct nd_group *group)
{
    struct nd_lane *first = &group->lane[0];
    bool slice = first->apply.is_slice;
    uint64_t got = slice ? 0 : ft_region_digest(first->region);

    for (struct nd_lane *lane = first; lane < first + group->lanes; lane++) {
        const struct nf_lane_state *state = nf_chain_state(lane->chain);

        if (!slice)
            report_verdict(lane, state->burst, state->seq, lane->apply.digest, got);
        else if (lane == first)
            nd_lane_compare_slice(lane, &(struct nd_slice_digest){state->burst, state->seq, lane->apply.slice,
                                                                  lane->apply.digest});
    }
}

/*
 * A barrier that was aborted compares nothing: then the state is given up, or another order waits. Who
 * only finishes its replay under another order already does not come: those it would wait for may have left.
 */
static bool check_digest(struct nd_lane *lane, const struct ft_chunk *chunk)
{
    if (lane->doing != FT_LANE_REPLAY)
        return true;
    lane->apply.digest = chunk->digest;
    lane->apply.is_slice = chunk->flags & FT_REC_SLICE;
    lane->apply.slice = chunk->slice;
    come_to_barrier(lane, &lane->group->delta_end, compare_at_delta);
    return !nd_lane_replay_aborted(lane);
}

/* The whole delta is in place: the lane is where it ends. */
static bool finish_delta(struct nd_lane *lane, const struct ft_chunk *chunk)
{
    const struct nf_lane_state *state = nf_chain_state(lane->chain);
    uint64_t made = chunk->outputs - lane->apply.outputs_before;

    ft_audit_check(lane->region, lane->index);
    if (lane->index == 0)
        atomic_store_explicit(&lane->group->shared_applied, chunk->cut, memory_order_release);
    else
        wait_for_shared(lane, chunk->cut);
    if (!left_out(chunk) && (state->burst != chunk->burst || state->seq != chunk->seq ||
                             state->access != chunk->access + 1 || state->outputs != chunk->outputs))
        return nd_lane_diverged(lane, chunk->burst, chunk->seq, "the lane's own line after a delta, burst",
                                chunk->burst, state->burst);
    atomic_store_explicit(&lane->group->published[lane->index].access, chunk->access, memory_order_release);
    lg_replayed_missed(&lane->replayed, made > lane->apply.carried ? made - lane->apply.carried : 0,
                       chunk->outputs);
    lg_replayed_released(&lane->replayed, chunk->released);
    lane->apply.cut = chunk->cut;
    FT_COUNTER_ADD(lane->shared, deltas_applied, 1);
    if (chunk->flags & FT_REC_DIGEST && !check_digest(lane, chunk))
        return false;
    FT_REPORT_SET(lane->shared, executed, chunk->burst);
    return true;
}

static bool apply_chunk(struct nd_lane *lane, const struct ft_chunk *chunk)
{
    if (chunk->number == 0) {
        if (!at_delta_start(lane, chunk))
            return false;
        lane->apply.outputs_before = nf_chain_state(lane->chain)->outputs;
        lane->apply.carried = 0;
    }
    lane->apply.begun = !(chunk->flags & FT_CHUNK_LAST);
    write_lines(lane, chunk);
    keep_outputs(lane, chunk);
    return !(chunk->flags & FT_CHUNK_LAST) || finish_delta(lane, chunk);
}

/* ---- stop points --------------------------------------------------------------------------------- */

void nd_lane_leave_stop_point(struct nd_lane *lane)
{
    struct nd_group *group = lane->group;

    if (lane->index == 0)
        FT_REPORT_SET(lane->shared, stop_point, 0);
    if (lane->stop_point.stopped) {
        while (!nd_barrier_over(&group->stop, lane->stop_point.number) &&
               !nd_barrier_leave(group, &group->stop, lane->stop_point.number))
            ft_pause(); /* the last one to stop is at work for all */
        ft_wait_over(&group->published[lane->index]);
    }
    lane->stop_point.stopped = false;
    lane->stop_point.compared = 0;
}

/*
 * A lane that waited for DIGEST_NS in vain may have come to the next digest while others come to the one that
 * it left: those go on, and the newest is compared when all are there. True: they are.
 */
static bool at_one_digest(struct nd_group *group)
{
    const struct ft_record *newest = group->lane[0].stop_point.digest;
    bool one = true;

    for (unsigned l = 1; l < group->lanes; l++)
        if (group->lane[l].stop_point.digest->time > newest->time)
            newest = group->lane[l].stop_point.digest;
    for (struct nd_lane *lane = group->lane; lane < group->lane + group->lanes; lane++) {
        const struct ft_record *r = lane->stop_point.digest;

        if (r->digest == newest->digest && r->slice == newest->slice)
            continue;
        lane->stop_point.compared = r->burst;
        one = false;
    }
    return one;
}

/* All lanes have stopped before records that carry a digest. Each reports its own verdict on that of the
 * whole region; slices are lane 0's. */
static void compare_at_stop(struct nd_group *group)
{
    const struct ft_record *r = group->lane[0].stop_point.digest;
    bool slice = r->flags & FT_REC_SLICE;
    uint64_t got;

    if (!at_one_digest(group))
        return;
    got = slice ? 0 : ft_region_digest(group->lane[0].region);
    for (struct nd_lane *lane = group->lane; lane < group->lane + group->lanes; lane++) {
        r = lane->stop_point.digest;
        lane->stop_point.compared = r->burst;
        if (!slice)
            report_verdict(lane, r->burst, r->seq, r->digest, got);
        else if (lane->index == 0)
            nd_lane_compare_slice(lane, &(struct nd_slice_digest){r->burst, r->seq, r->slice, r->digest});
    }
}

static bool stopped_elsewhere(const struct nd_lane *lane)
{
    return !lane->stop_point.digest;
}

static void work_at_stop_point(struct nd_group *group)
{
    if (FT_PLANTED_ONCE("spoil-shared")) /* of a shared object's head, a byte that nobody reads */
        group->lane[0].region->base[ft_region_shared(group->lane[0].region)->offset + FT_LINE - 1] ^= 1;
    if (!nd_group_any(group, stopped_elsewhere))
        compare_at_stop(group);
    if (FT_REPORT_GET(group->lane[0].shared, stop_point)) {
        FT_REPORT_SET(group->lane[0].shared, stop_point, 0);
        /* Nor did a chunk come last when lane 0 asked; a delta may have come since. */
        if (!group->lane[0].apply.last_was_chunk)
            nd_group_begin_recording(group);
    }
}

/* True once all have stopped and what was to be done is done. */
static bool stop_with_others(struct nd_lane *lane)
{
    struct nd_group *group = lane->group;

    if (!lane->stop_point.stopped) {
        if (group->waits_without_limit)
            ft_wait_for_all(&group->published[lane->index]);
        lane->stop_point.number = nd_barrier_join(group, &group->stop, work_at_stop_point);
    }
    lane->stop_point.stopped = !nd_barrier_over(&group->stop, lane->stop_point.number);
    return !lane->stop_point.stopped;
}

/* closed_to does not move until a snapshot has begun, and this lane is there. */
static bool at_stop_point(const struct nd_lane *lane)
{
    const struct ft_lane_shared *first = lane->group->lane[0].shared;
    uint64_t stop_point = FT_REPORT_GET(first, stop_point);

    return stop_point && FT_ORDER_GET(first, stop_point_seen) == stop_point &&
           nd_lane_replays_to(lane) == nf_chain_state(lane->chain)->burst;
}

void nd_lane_ask_to_stop(struct nd_lane *lane)
{
    struct ft_closed *by_port = lane->group->by_port;

    if (by_port && !ft_closed_claim(by_port))
        return;
    FT_REPORT_SET(lane->shared, stop_point, ++lane->stop_point.asked);
    if (by_port)
        ft_closed_release(by_port);
}

static bool stops_before(struct nd_lane *lane, const struct ft_record *next)
{
    if (lane->group->lanes == 1 || lane->doing != FT_LANE_REPLAY)
        return false;
    if (!lane->stop_point.stopped) {
        bool digest = next && ft_entry_kind(next) == FT_ENTRY_RECORD && next->flags & FT_REC_DIGEST &&
                      next->burst != lane->stop_point.compared;

        if (!digest && (next || !at_stop_point(lane)))
            return false;
        lane->stop_point.digest = digest ? next : NULL;
        lane->stop_point.since = lane->now;
    }
    if (lane->stop_point.digest && !lane->group->waits_without_limit &&
        lane->now - lane->stop_point.since > DIGEST_NS) {
        uint64_t burst = lane->stop_point.digest->burst;

        nd_lane_leave_stop_point(lane);
        lane->stop_point.compared = burst;
        return false;
    }
    return !stop_with_others(lane) || nd_lane_replay_aborted(lane);
}

/* ---- the stream, entry by entry ------------------------------------------------------------------ */

bool nd_lane_behind(const struct nd_lane *lane, uint64_t upto)
{
    return nf_chain_state(lane->chain)->burst < upto || lane->apply.cut < FT_ORDER_GET(lane->shared, cut_to);
}

/* A warm standby leaves records alone until it takes over; what a delta covers nobody needs to replay. */
static bool pass_record(struct nd_lane *lane, const struct ft_record *r)
{
    uint64_t burst = r->burst;

    if (burst <= FT_ORDER_GET(lane->shared, covered))
        return true;
    if (lane->setup.recorder) /* before packets are worked on where they lie */
        lg_recorder_record(lane->setup.recorder, lane->index, r);
    if (!(FT_PLANTED("skip-record") && burst % 16 == 9) &&
        !(burst % 64 == 33 && FT_PLANTED_ONCE("skip-once")) && !replay_or_abandon(lane, r))
        return false;
    lane->apply.last_was_chunk = false;
    FT_REPORT_SET(lane->shared, executed, burst);
    return true;
}

/* What the recorder has so far ends here: what was done in a delta is not known. */
static bool pass_chunk(struct nd_lane *lane, const struct ft_chunk *chunk)
{
    if (lane->setup.recorder)
        lg_recorder_stop(lane->setup.recorder, lane->index);
    lane->apply.last_was_chunk = true;
    return apply_chunk(lane, chunk);
}

/* True when the entry may be taken now. */
static bool is_ripe(const struct nd_lane *lane, const struct ft_record *r, uint64_t upto)
{
    if (ft_entry_kind(r) == FT_ENTRY_CHUNK)
        return ft_chunk_of(r)->cut <= FT_ORDER_GET(lane->shared, cut_to);
    return r->burst <= FT_ORDER_GET(lane->shared, covered) ||
           (r->burst <= upto && (lane->doing != FT_LANE_REPLAY || !lane->protect->stores));
}

/* What comes next, if it may be taken now. Chunks of an incremental checkpoint lie in a ring of their own,
 * and come when theirs is the next cut; no two rings have chunks of the same one. */
static const struct ft_record *next_of_checkpoint(struct nd_lane *lane, uint64_t upto)
{
    struct ft_ring *ring = &lane->shared->checkpoint;
    const struct ft_record *r;
    uint64_t there;

    if (ring->capacity == 0 || !(r = ft_ring_peek(ring, &there)))
        return NULL;
    return ft_chunk_of(r)->cut == lane->apply.cut + 1 && is_ripe(lane, r, upto) ? r : NULL;
}

/* With a port of the lane's own: the next record, which either has brought. What both have is the same, and
 * what is behind this lane is dropped. */
static const struct ft_record *next_of_two(struct nd_lane *lane, uint64_t upto, struct ft_ring **ring)
{
    struct ft_ring *rings[] = {&lane->shared->direct, &lane->shared->replay};
    uint64_t burst = nf_chain_state(lane->chain)->burst, there;

    for (unsigned i = 0; i < 2; i++) {
        const struct ft_record *r;

        while ((r = ft_ring_peek(rings[i], &there)) && r->burst <= burst) {
            ft_ring_advance(rings[i], r->size);
            ft_ring_consume(rings[i]);
        }
        *ring = rings[i];
        if (r && r->burst == burst + 1)
            return is_ripe(lane, r, upto) ? r : NULL;
    }
    return NULL;
}

/* The checkpoint ring is read twice: after the first time, chunks of two cuts may have come, the later one's
 * into the other ring. */
static const struct ft_record *next_entry(struct nd_lane *lane, uint64_t upto, struct ft_ring **ring)
{
    const struct ft_record *r = next_of_checkpoint(lane, upto), *earlier;
    uint64_t there;

    if (lane->link)
        return next_of_two(lane, upto, ring);
    *ring = &lane->shared->checkpoint;
    if (r)
        return r;
    r = ft_ring_peek(&lane->shared->replay, &there);
    if (!r || !is_ripe(lane, r, upto))
        return NULL;
    if (ft_entry_kind(r) == FT_ENTRY_CHUNK && ft_chunk_of(r)->cut != lane->apply.cut + 1 &&
        (earlier = next_of_checkpoint(lane, upto)))
        return earlier;
    *ring = &lane->shared->replay;
    return r;
}

/* A standby's replicator acknowledges what the primary's outputs wait for, and nobody waits for replay: where
 * the two share a processor, the replicator comes first; not while the lane acknowledges by a port. A
 * takeover, which everybody waits for, gives nothing away. */
static void yield_to_replicator(const struct nd_lane *lane)
{
    if (lane->doing == FT_LANE_REPLAY)
        sched_yield();
}

/* What a checkpoint covers lies in one piece, so nothing of it is looked at. */
static bool skip_covered(struct nd_lane *lane)
{
    struct ft_ring *ring = &lane->shared->replay;
    uint64_t at = FT_ORDER_GET(lane->shared, covered_at), there;
    const struct ft_record *r = ring->read < at ? ft_ring_peek(ring, &there) : NULL;

    if (!r || ft_entry_kind(r) != FT_ENTRY_RECORD)
        return false;
    ft_ring_advance(ring, at - ring->read);
    ft_ring_consume(ring);
    return true;
}

bool nd_lane_replay(struct nd_lane *lane, uint64_t upto)
{
    struct ft_ring *ring;
    const struct ft_record *r;
    unsigned n = 0;

    if (nd_lane_replay_aborted(lane))
        return false;
    if (skip_covered(lane))
        return true;
    /* A delta is applied in one go: in the middle of it the region is at no cut. */
    for (; n == 0 || lane->apply.begun ||
           (n < RECORDS_TURN && (lane->doing != FT_LANE_REPLAY || ft_now() - lane->now < TURN_NS));
         n++) {
        r = next_entry(lane, upto, &ring);
        if (stops_before(lane, r) || !r)
            break;
        uint32_t size = r->size;

        if (!(ft_entry_kind(r) == FT_ENTRY_CHUNK ? pass_chunk(lane, ft_chunk_of(r)) : pass_record(lane, r)))
            return false;
        ft_ring_advance(ring, size);
        ft_ring_consume(ring);
        if (lane->apply.begun)
            yield_to_replicator(lane);
        if (lane->doing == FT_LANE_REPLAY && nd_link_is_busy(lane) && nd_link_look(lane))
            upto = nd_lane_replays_to(lane);
    }
    if (n > 0 && !nd_link_is_busy(lane))
        yield_to_replicator(lane);
    return n > 0;
}
