/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steps: the linker leads calls between the product's files through here (--wrap). The world catches nodes in
 * the middle, lets other lanes run at section calls, and sees what the oracles judge.
 */
#include "tests/sim/liar.h"

#include "ftcore/base/check.h"
#include "ftcore/record/delta.h"
#include "logger/capture.h"
#include "replicator/parts.h"

#include <time.h>

#define WRAP(type, name, ...)                                                                                \
    type __real_##name(__VA_ARGS__);                                                                         \
    type __wrap_##name(__VA_ARGS__);                                                                         \
    type __wrap_##name(__VA_ARGS__)

int sim_clock_gettime(clockid_t clock, struct timespec *out);
int sim_nanosleep(const struct timespec *time, struct timespec *left);
void sim_spin(void);
int sim_sched_yield(void);

/* ---- time and waiting ---------------------------------------------------------------------------- */

int sim_clock_gettime(clockid_t clock, struct timespec *out)
{
    struct sim_node *n = sim.opening ? sim.opening : sim_current();
    uint64_t now = sim.now;

    (void)clock;
    if (n) { /* a look at the clock takes some time itself; it never goes back */
        now = sim_clock(n);
        now = n->clock_last = now > n->clock_last ? now : n->clock_last + 40;
    }
    out->tv_sec = (time_t)(now / 1000000000u);
    out->tv_nsec = (long)(now % 1000000000u);
    return 0;
}

/* A lane that sleeps within its work waits for another one, for microseconds: far less than a tick. */
int sim_nanosleep(const struct timespec *time, struct timespec *left)
{
    struct sim_node *n = sim_current();

    (void)left;
    if (n && sim_running->number < SIM_LANES && !n->resting[sim_running->number])
        sim_let_others();
    else if (sim_running)
        sim_sleep((uint64_t)time->tv_sec * 1000000000u + (uint64_t)time->tv_nsec, false);
    return 0;
}

WRAP(bool, nd_lane_sleep, struct ft_lane_shared *lane, uint64_t ns, const int ports[], unsigned n)
{
    bool *called = &sim_current()->called[sim_running->number];

    (void)lane, (void)ports;
    if (!*called)
        sim_sleep(ns, sim.plan.keeper && n);
    *called = false;
    return true;
}

/* At once, or when it gets a processor. */
WRAP(void, ft_lane_wake, struct ft_lane_shared *lane)
{
    struct sim_node *n = sim_current();
    uint64_t at = sim.now + (sim_chance(&sim.order, 300) ? sim_draw(&sim.order, 4 * SIM_MS) : 0);

    for (unsigned l = 0; n && l < sim.plan.lanes; l++) {
        if (&n->shared[l] != lane)
            continue;
        n->called[l] = true;
        if (n->resting[l])
            n->task[l].wake = at;
    }
}

WRAP(void, ft_lane_ring, struct ft_lane_shared *lane)
{
    (void)lane;
    if (sim_current()->task[SIM_REPLICATOR].polls)
        sim_current()->task[SIM_REPLICATOR].wake = sim.now;
}

/* In a loop that waits for another lane; or an idle lane before it sleeps: then nothing comes before the next
 * tick. */
void sim_spin(void)
{
    struct sim_node *n = sim_current();

    if (n && sim_running->number < SIM_LANES && n->resting[sim_running->number])
        sim_sleep(1, false);
    else
        sim_let_others();
}

int sim_sched_yield(void)
{
    sim_let_others();
    return 0;
}

static struct nd_lane *lane_now(void)
{
    struct sim_node *n = sim_current();

    return n && sim_running->number < SIM_LANES ? &n->lane[sim_running->number] : NULL;
}

static void maybe_switch(void)
{
    if (lane_now() && sim.plan.lanes > 1 && sim_chance(&sim.order, sim.plan.switchy))
        sim_let_others();
}

/* ---- lanes --------------------------------------------------------------------------------------- */

WRAP(void, nd_lane_wait, struct nd_lane *lane, bool worked)
{
    struct sim_node *n = sim_current();

    n->resting[lane->index] = true;
    sim_step(SIM_AT_REST);
    if (worked && sim_chance(&sim.order, 300))
        sim_let_others();
    __real_nd_lane_wait(lane, worked);
    n->resting[lane->index] = false;
}

/* Live: the burst's two halves. */
WRAP(void, nf_chain_look, struct nf_chain *chain, uint64_t burst, uint64_t now, struct nf_packet *packets,
     uint32_t n)
{
    struct nd_lane *lane = lane_now();

    if (lane)
        sim_step(SIM_BEFORE_CHAIN);
    if (lane && lane->capture.record && sim.plan.crasher)
        sim_crash_look(lane, packets, n);
    if (lane && lane->capture.record && sim.plan.poison)
        sim_crash_poison(lane, packets, n);
    __real_nf_chain_look(chain, burst, now, packets, n);
}

static void look_behind_chain(struct nd_lane *lane, struct nf_chain *chain)
{
    if (sim.plan.crasher)
        sim_crash_damage(chain);
    if (sim.plan.stray && lane)
        sim_stray_look(lane);
}

WRAP(void, nf_chain_pass, struct nf_chain *chain)
{
    __real_nf_chain_pass(chain);
    look_behind_chain(lane_now(), chain);
}

/* Replay, and the reference, which is no lane's. */
WRAP(void, nf_chain_run, struct nf_chain *chain, uint64_t burst, uint64_t now, struct nf_packet *packets,
     uint32_t n)
{
    struct nd_lane *lane = lane_now();
    struct sim_node *node = sim_current();

    if (lane)
        sim_step(SIM_IN_REPLAY);
    while (lane && node->stalled_until > sim.now && lane->doing == FT_LANE_REPLAY)
        sim_sleep(500 * SIM_US, false);
    __real_nf_chain_run(chain, burst, now, packets, n);
    look_behind_chain(lane, chain);
    if (lane)
        sim_step(SIM_AFTER_REPLAY);
}

WRAP(void, lg_capture_end, struct lg_capture *capture, uint64_t released)
{
    sim_step(SIM_BEFORE_LOG);
    __real_lg_capture_end(capture, released);
    sim_step(SIM_AFTER_LOG);
}

WRAP(void, nd_lane_announce, struct nd_lane *lane, bool again)
{
    sim_step(SIM_BEFORE_ANNOUNCE);
    __real_nd_lane_announce(lane, again);
    if (lane_now() && lane->index == 0 && sim.owner != sim_running->node) {
        sim.owner = sim_running->node;
        sim_tell(sim_running->node, "claims the addresses");
    }
    sim_step(SIM_AFTER_ANNOUNCE);
}

WRAP(void, nd_lane_emit_tail, struct nd_lane *lane)
{
    sim_step(SIM_TAIL);
    if (lane->replayed.count)
        sim_tell(sim_running->node, "lane %u emits its tail, %lu outputs", lane->index, lane->replayed.count);
    __real_nd_lane_emit_tail(lane);
}

WRAP(bool, nd_group_barrier, struct nd_lane *lane, void (*work)(struct nd_group *group),
     bool (*needed)(const struct nd_lane *lane))
{
    sim_step(SIM_AT_BARRIER);
    return __real_nd_group_barrier(lane, work, needed);
}

WRAP(int, ft_snapshot_begin, struct ft_region *region)
{
    sim_step(SIM_AT_CUT);
    return __real_ft_snapshot_begin(region);
}

/* As if nobody but the node had asked for the edit to be tracked. */
static void track(struct ft_region *region, const void *p, size_t n,
                  void (*real)(struct ft_region *, const void *, size_t))
{
    uint32_t world = atomic_fetch_and(&region->tracking, ~SIM_TRACK) & SIM_TRACK;

    if (n > 0 && sim_current())
        sim_window_edited((uint64_t)((const uint8_t *)p - region->base), n);
    real(region, p, n);
    atomic_fetch_or(&region->tracking, world);
}

WRAP(void, ft_edit_track, struct ft_region *region, const void *p, size_t n)
{
    track(region, p, n, __real_ft_edit_track);
}

WRAP(void, ft_edit_track_in_line, struct ft_region *region, const void *p, size_t n)
{
    track(region, p, n, __real_ft_edit_track_in_line);
}

WRAP(void, ft_region_wipe, struct ft_region *region)
{
    __real_ft_region_wipe(region);
    if (sim_current())
        sim_saw_fresh(sim_current());
}

/* ---- sections ------------------------------------------------------------------------------------ */

WRAP(void, ft_section_enter_ordered, struct ft_sections *s, const struct ft_shared *object)
{
    maybe_switch();
    __real_ft_section_enter_ordered(s, object);
    sim_window_object(s->region, object);
    maybe_switch();
}

WRAP(void, ft_section_leave_ordered, struct ft_sections *s, const struct ft_shared *object)
{
    if (lane_now() && sim.plan.lanes > 1)
        sim_step(SIM_IN_SECTION);
    sim_window_object(s->region, object);
    __real_ft_section_leave_ordered(s, object);
    maybe_switch();
}

WRAP(void, ft_section_depend, struct ft_sections *s, unsigned lane, uint64_t access)
{
    maybe_switch();
    __real_ft_section_depend(s, lane, access);
}

WRAP(uint64_t, ft_section_mark, struct ft_sections *s)
{
    maybe_switch();
    return __real_ft_section_mark(s);
}

/* ---- replicator ---------------------------------------------------------------------------------- */

WRAP(bool, rp_sender_turn, struct rp_replicator *rp)
{
    bool sent;

    if (!rp->sender.on)
        return __real_rp_sender_turn(rp);
    sim_step(rp->core.resync == FT_RESYNC_HOLD ? SIM_HELD : SIM_BEFORE_SEND);
    sim_limits_now(sim_running->node);
    sent = __real_rp_sender_turn(rp);
    if (sent)
        sim_step(SIM_AFTER_SEND);
    return sent;
}

WRAP(int, rp_receiver_take, struct rp_replicator *rp, const struct ft_message *m, struct ft_fault *fault)
{
    int error;

    sim_step(SIM_BEFORE_STORE);
    error = __real_rp_receiver_take(rp, m, fault);
    sim_step(SIM_AFTER_STORE);
    return error;
}

WRAP(void, rp_receiver_reset, struct rp_replicator *rp, const struct ft_message *begin)
{
    __real_rp_receiver_reset(rp, begin);
    if (sim_current())
        sim_crash_snapshot(sim_current());
    if (sim_current())
        sim_saw_snapshot(sim_current(), begin);
}

WRAP(int, rp_snapshot_take, struct rp_replicator *rp, const struct ft_message *m, struct ft_fault *fault)
{
    struct ft_line_run run;
    uint32_t at = 0;
    int error;

    sim_show(&sim_current()->window);
    while (ft_line_run_next(m->bulk, m->bulk_len, &at, rp->snapshot.lines, &run) > 0)
        sim_window_edited(run.line * FT_LINE, (uint64_t)run.count * FT_LINE);
    error = __real_rp_snapshot_take(rp, m, fault);
    sim_step(SIM_SNAPSHOT_TAKEN);
    return error;
}

WRAP(bool, rp_snapshot_turn, struct rp_replicator *rp, bool *whole)
{
    sim_limits_now(sim_running->node);
    bool any = __real_rp_snapshot_turn(rp, whole);
    if (any)
        sim_step(SIM_IN_SNAPSHOT);
    return any;
}

WRAP(int, rp_link_send, struct rp_link *link, const struct ft_message *m, unsigned lanes,
     struct ft_compressor *compressor)
{
    static const enum sim_step before[FT_MSG_TYPES] = {[FT_MSG_ACK] = SIM_BEFORE_ACK,
                                                       [FT_MSG_SNAPSHOT_BEGIN] = SIM_SNAPSHOT_BEGINS,
                                                       [FT_MSG_SNAPSHOT_END] = SIM_SNAPSHOT_ENDS,
                                                       [FT_MSG_HOLDING] = SIM_HOLDING,
                                                       [FT_MSG_STEER] = SIM_STEER,
                                                       [FT_MSG_STEERED] = SIM_STEERED,
                                                       [FT_MSG_HANDOVER] = SIM_HANDOVER,
                                                       [FT_MSG_ABANDON] = SIM_ABANDON,
                                                       [FT_MSG_ABANDONED] = SIM_ABANDON};
    bool bulk = m->type == FT_MSG_LOG || m->type == FT_MSG_DELTA || m->type == FT_MSG_SNAPSHOT;
    struct ft_message lie;

    if (before[m->type])
        sim_step(before[m->type]);
    sim_limits_now(bulk ? SIM_NOBODY : sim_running->node);
    if (m->type == FT_MSG_HELLO ? sim_lies(SIM_LIE_HELLO, 900) : sim_lies(SIM_LIE_MESSAGE, 80)) {
        lie = *m;
        sim_lie_message(&lie, lanes);
        sim_mix(lie.type + lie.sent);
        return __real_rp_link_send(link, &lie, lanes, compressor);
    }
    if (m->type == FT_MSG_ACK)
        sim_saw_ack(sim_current(), m);
    if (m->type == FT_MSG_HEARTBEAT && sim_bold(4) && sim_lie_again(&lie))
        return __real_rp_link_send(link, &lie, lanes, compressor);
    if (m->type == FT_MSG_HELLO) {
        struct sim_node *n = sim_current();

        sim_lie_heard(m);
        long len = ft_message_encode(m, 0, NULL, true, n->hello, sizeof(n->hello));

        n->hello_len = len > 0 ? (size_t)len : 0;
    }
    if (m->type == FT_MSG_HOLDING)
        sim_saw_holding(sim_current(), m);
    if (m->type == FT_MSG_SNAPSHOT_BEGIN) {
        sim_saw_gift(sim_current(), m);
        sim_lies_forget(sim_current()->index);
    }
    int error = __real_rp_link_send(link, m, lanes, compressor);
    if (m->type == FT_MSG_ACK)
        sim_step(SIM_AFTER_ACK);
    sim_mix(m->type + m->sent);
    return error;
}

WRAP(int, rp_view_store, const char *path, const struct rp_view *view, struct ft_fault *fault)
{
    int error;

    sim_step(SIM_BEFORE_WRITE);
    error = __real_rp_view_store(path, view, fault);
    sim_step(SIM_AFTER_WRITE);
    return error;
}

WRAP(void, rp_view_writer_give, struct rp_view_writer *writer, const struct rp_view *view, uint64_t now)
{
    __real_rp_view_writer_give(writer, view, now);
    sim_step(SIM_AFTER_VIEW);
}

/* ---- a peer that lies ---------------------------------------------------------------------------- */

WRAP(long, ft_record_encode, const struct ft_record *r, unsigned version, bool summed, uint8_t *out,
     size_t cap)
{
    return __real_ft_record_encode(sim_lies(SIM_LIE_RECORD, 300) ? sim_lie_record(r) : r, version, summed,
                                   out, cap);
}

WRAP(long, ft_chunk_encode, const struct ft_chunk *p, unsigned version, bool summed, uint8_t *out, size_t cap)
{
    bool lies = sim_lie_goes_on(p->lane) || sim_lies(SIM_LIE_CHUNK, 400);

    return __real_ft_chunk_encode(lies ? sim_lie_chunk(p) : p, version, summed, out, cap);
}

WRAP(bool, ft_line_run_append, uint8_t *out, uint32_t *len, uint32_t cap, const struct ft_line_run *run)
{
    uint32_t at = *len;
    bool fits = __real_ft_line_run_append(out, len, cap, run);

    if (!fits || !sim_lies(SIM_LIE_RUN, 300))
        return fits;
    if (run->zero || sim_lie_draw(2))
        sim_lie_run(out + at);
    else
        sim_lie_lines(out + at + FT_LINE_RUN_HEAD, run->count * FT_LINE);
    return true;
}

/* ---- rings are kept for the next life ------------------------------------------------------------- */

#define RINGS 64u

static struct ft_ring kept[RINGS];
static unsigned kept_count;

WRAP(int, ft_ring_init, struct ft_ring *ring, uint64_t capacity)
{
    for (unsigned i = 0; i < kept_count && !sim.refuse; i++)
        if (kept[i].capacity >= capacity && (kept[i].capacity < 2 * capacity || kept[i].capacity == 4096)) {
            *ring = (struct ft_ring){.data = kept[i].data, .capacity = kept[i].capacity};
            kept[i] = kept[--kept_count];
            return 0;
        }
    return __real_ft_ring_init(ring, capacity);
}

WRAP(void, ft_ring_free, struct ft_ring *ring)
{
    if (!ring->data || kept_count == RINGS) {
        __real_ft_ring_free(ring);
        return;
    }
    kept[kept_count++] = *ring;
    *ring = (struct ft_ring){0};
}
