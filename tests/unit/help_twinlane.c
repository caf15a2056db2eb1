/* SPDX-License-Identifier: Apache-2.0 */
/* The lane of help_twin.h: follows orders from burst to burst as node/lane/lane.c does, without ports. */
#include "tests/unit/help_twinlife.h"
#include "ftcore/region/region.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COPY_TURN 256u
#define HOLD      32768u /* more outputs than the log ring has room for: the ring is what fills */

static uint64_t *table; /* of the process, made by twin_lane_make */
static struct twin_lane_state *lane_state;

static uint64_t monotonic(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

/* ---- the chain --------------------------------------------------------------------------------- */

/* In both nodes in the same order: pointers agree. */
static void make(struct ft_region *region, uint64_t salt)
{
    lane_state = ft_arena_alloc(ft_region_arena(region, 0, 0), sizeof(*lane_state));
    table = ft_arena_alloc(ft_region_arena(region, 0, 1), TWIN_WORDS * sizeof(*table));
    FT_CHECK(lane_state && table, "no room for the chain");
    twin_first_words(table, salt);
    lane_state->burst = salt; /* a snapshot has to overwrite it */
}

void twin_lane_make(struct twin_worker *w)
{
    make(w->region, w->salt);
}

void twin_apply_input(struct twin_life *life, const uint8_t *bytes, uint32_t len, uint64_t time)
{
    uint64_t add, *word = life->words + twin_pick(bytes, len, time, &add);

    *(uint64_t *)ft_edit(life->region, word, sizeof(*word)) += add;
}

void twin_end_burst(struct twin_life *life, uint64_t time, unsigned n)
{
    struct twin_lane_state *s = ft_edit(life->region, life->state, sizeof(*life->state));

    if (atomic_exchange(&life->box->spoil, false))
        life->words[life->words[0] % TWIN_WORDS]++; /* no edit */
    s->burst++;
    s->time = time;
    s->seq += n;
    s->outputs += n;
}

static bool logging(const struct twin_life *life)
{
    return atomic_load_explicit(&life->shared->orders.logging, memory_order_relaxed);
}

void twin_tell_executed(struct twin_life *life)
{
    bool delta = logging(life) && life->segment == TWIN_DELTA;

    atomic_store_explicit(&life->shared->report.recorded, delta ? life->delta.from : life->state->burst,
                          memory_order_release);
    atomic_store_explicit(&life->shared->report.executed, life->state->burst, memory_order_release);
    atomic_store(&life->box->closed, life->state->burst);
}

/* ---- live -------------------------------------------------------------------------------------- */

static void release(struct twin_life *life)
{
    const struct ft_held *held;
    uint64_t stable;

    while (stable = atomic_load_explicit(&life->shared->orders.stable, memory_order_acquire),
           ft_hold_ready(&life->hold, stable, 1, &held)) {
        uint64_t lease = atomic_load_explicit(&life->shared->orders.lease_until, memory_order_acquire);

        if (lease != FT_ALL && monotonic() >= lease)
            return;
        atomic_store(&life->box->out_burst, held->burst);
        ft_hold_drop(&life->hold, 1);
        atomic_fetch_add(&life->box->outputs, 1);
        atomic_store_explicit(&life->shared->report.released,
                              life->state->outputs - ft_hold_count(&life->hold), memory_order_relaxed);
    }
}

void twin_note_most(_Atomic uint64_t *word, uint64_t value)
{
    if (value > atomic_load(word))
        atomic_store(word, value);
}

static bool has_room(struct twin_life *life)
{
    twin_note_most(&life->box->log_most, ft_ring_used(&life->shared->log));
    if (ft_hold_room(&life->hold) < FT_BURST_MAX) {
        atomic_fetch_add(&life->box->hold_full, 1);
        return false;
    }
    if (logging(life) && life->segment == TWIN_LOG && !lg_capture_room(life->shared)) {
        atomic_fetch_add(&life->box->ring_full, 1);
        return false;
    }
    return true;
}

static void run_burst(struct twin_life *life)
{
    static struct twin_burst b;
    uint64_t burst = life->state->burst + 1, digest = atomic_load(&life->shared->orders.digest);
    bool logged = logging(life) && life->segment == TWIN_LOG;

    twin_make(&b, atomic_load(&life->box->seed), burst);
    if (logged) {
        lg_capture_begin(&life->capture, 0, burst, life->state->seq, b.time, b.n);
        struct lg_inputs inputs = lg_capture_inputs(&life->capture);

        for (unsigned i = 0; i < b.n; i++)
            lg_inputs_add(&inputs, b.bytes[i], b.len[i], b.len[i], 0, false);
        lg_capture_inputs_end(&life->capture, &inputs);
    }
    if (atomic_load(&life->region->tracking) & FT_TRACK_SNAPSHOT)
        atomic_fetch_add(&life->box->beside_snapshot, 1);
    for (unsigned i = 0; i < b.n; i++)
        twin_apply_input(life, b.bytes[i], b.len[i], b.time);
    twin_end_burst(life, b.time, b.n);
    if (logged) {
        if (digest != life->digest)
            lg_capture_digest(&life->capture, ft_region_digest_lane(life->region, 0));
        life->digest = digest;
        lg_capture_end(&life->capture,
                       atomic_load_explicit(&life->shared->report.released, memory_order_relaxed));
    }
    for (unsigned i = 0; i < b.n; i++)
        ft_hold_put(&life->hold, &(struct ft_held){.burst = burst, .packet = &b});
    if (logging(life) && (life->segment == TWIN_DELTA || atomic_load(&life->box->checkpoint)))
        twin_delta_note(&life->delta, &b, life->state);
    twin_tell_executed(life);
}

/* A cut is due: nothing else is done before it is made. The kind of the next segment is chosen at it. */
static bool cut_due(struct twin_life *life, bool wanted)
{
    uint64_t every = atomic_load(&life->box->every), checkpoint = atomic_load(&life->box->checkpoint);
    uint64_t passed = life->state->burst - life->delta.from;

    if (!logging(life) || life->stalled)
        return false;
    if ((life->segment == TWIN_DELTA) != (every != 0))
        return true;
    if (life->segment == TWIN_LOG)
        return checkpoint && passed >= checkpoint;
    if (atomic_load(&life->box->idle_cuts) && life->now >= life->cut_due)
        return true;
    return passed >= every || (passed && (!wanted || life->doing == FT_LANE_DRAIN));
}

static bool make_cut(struct twin_life *life)
{
    bool half = atomic_load(&life->box->half);

    if (!twin_delta_cut(&life->delta, life->state, half))
        return false;
    life->cut_due = life->now + 2000000;
    if (half) {
        life->stalled = true;
        atomic_fetch_add(&life->box->halves, 1);
        return true;
    }
    atomic_fetch_add(&life->box->cuts, 1);
    life->segment = atomic_load(&life->box->every) ? TWIN_DELTA : TWIN_LOG;
    twin_tell_executed(life);
    return true;
}

static bool live(struct twin_life *life)
{
    bool wanted = life->state->burst < atomic_load(&life->box->target), worked = false;

    if (life->doing == FT_LANE_DRAIN && atomic_load(&life->shared->report.done) == life->order)
        return false;
    if (cut_due(life, wanted))
        worked = make_cut(life);
    else if (!life->stalled && wanted && life->now >= life->burst_at && has_room(life)) {
        life->burst_at = life->now + atomic_load(&life->box->pause_us) * 1000ull;
        run_burst(life);
        worked = true;
    }
    release(life);
    if (worked)
        life->quiet_since = life->now;
    if (life->doing == FT_LANE_DRAIN && life->now - life->quiet_since > 3000000 &&
        ft_hold_count(&life->hold) == 0 && atomic_load(&life->shared->report.recorded) == life->state->burst)
        atomic_store_explicit(&life->shared->report.done, life->order, memory_order_release);
    return worked;
}

/* ---- orders ------------------------------------------------------------------------------------ */

static void drop_held(struct twin_life *life)
{
    const struct ft_held *held;

    while (ft_hold_ready(&life->hold, FT_ALL, 1, &held))
        ft_hold_drop(&life->hold, 1);
}

static void go_live(struct twin_life *life, enum ft_order before)
{
    if (life->doing == FT_LANE_FRESH) {
        ft_region_wipe(life->region);
        make(life->region, 0);
        life->state = lane_state;
        life->words = table;
    } else if (before == FT_LANE_REPLAY) {
        twin_take_over(life);
    }
    twin_tell_executed(life);
    life->doing = FT_LANE_LIVE;
}

static void follow(struct twin_life *life, uint64_t order)
{
    enum ft_order before = life->doing;

    life->order = order;
    life->doing = ft_order_kind(order);
    atomic_store(&life->box->doing, life->doing);
    switch (life->doing) {
    case FT_LANE_WAIT:
    case FT_LANE_FENCED:
        drop_held(life);
        break;
    case FT_LANE_REPLAY:
        twin_tell_executed(life);
        break;
    case FT_LANE_FRESH:
    case FT_LANE_LIVE:
        go_live(life, before);
        break;
    case FT_LANE_ASIDE:
        break;
    case FT_LANE_DRAIN:
        life->quiet_since = life->now;
        return;
    }
    atomic_store_explicit(&life->shared->report.done, order, memory_order_release);
}

static void look_at_gate(struct twin_life *life)
{
    uint64_t gate = atomic_load_explicit(&life->shared->orders.gate, memory_order_acquire);

    if (gate == life->gate)
        return;
    life->gate = gate;
    atomic_store_explicit(&life->shared->report.hold_from, life->state->burst, memory_order_relaxed);
    atomic_store_explicit(&life->shared->report.gate_seen, gate, memory_order_release);
}

static void look_at_snapshot(struct twin_life *life)
{
    uint64_t cut = atomic_load_explicit(&life->shared->orders.cut, memory_order_acquire);
    uint64_t snapshot_release =
        atomic_load_explicit(&life->shared->orders.snapshot_release, memory_order_acquire);
    uint64_t granted = atomic_load_explicit(&life->shared->orders.copy_granted, memory_order_relaxed);

    if (snapshot_release != life->snapshot_release) {
        life->snapshot_release = snapshot_release;
        ft_snapshot_end(life->region);
    }
    if (cut != life->cut) {
        life->cut = cut;
        life->copied = 0;
        if (snapshot_release >= cut)
            return;
        ft_snapshot_end(life->region);
        twin_delta_begin(&life->delta, life->state->burst);
        life->stalled = false;
        life->segment = atomic_load(&life->box->every) ? TWIN_DELTA : TWIN_LOG;
        atomic_store_explicit(&life->shared->report.overrun, false, memory_order_relaxed);
        FT_CHECK(ft_snapshot_begin(life->region) == 0, "no memory for copies");
        atomic_store_explicit(&life->shared->orders.logging, true, memory_order_relaxed);
        atomic_store_explicit(&life->shared->report.cut_burst, life->state->burst, memory_order_relaxed);
        atomic_store_explicit(&life->shared->report.cut_at, atomic_load(&life->shared->log.head),
                              memory_order_relaxed);
        atomic_store_explicit(&life->shared->report.recorded, life->state->burst, memory_order_relaxed);
        atomic_store_explicit(&life->shared->report.cut_seen, cut, memory_order_release);
    }
    if (atomic_load(&life->region->tracking) & FT_TRACK_SNAPSHOT && granted > life->copied) {
        uint64_t left = granted - life->copied;
        uint64_t n = ft_snapshot_copy(life->region, 0, left < COPY_TURN ? left : COPY_TURN);

        life->copied += n;
    }
}

static void answer(struct twin_life *life)
{
    uint64_t ask = atomic_load(&life->box->ask);

    if (ask == atomic_load(&life->box->answered))
        return;
    atomic_store(&life->box->at, life->state->burst);
    atomic_store(&life->box->region_digest, ft_region_digest(life->region));
    atomic_store(&life->box->state_hash, twin_state_hash(life->state, life->words));
    atomic_store(&life->box->answered, ask);
}

static bool turn(struct twin_life *life)
{
    uint64_t order = atomic_load_explicit(&life->shared->orders.order, memory_order_acquire);
    bool worked = false;

    life->now = monotonic();
    if (order != life->order)
        follow(life, order);
    look_at_gate(life);
    if (life->doing == FT_LANE_LIVE || life->doing == FT_LANE_DRAIN) {
        look_at_snapshot(life);
        worked = live(life);
    } else if (life->doing == FT_LANE_REPLAY) {
        worked =
            twin_replay(life, atomic_load_explicit(&life->shared->orders.closed_to, memory_order_acquire),
                        atomic_load(&life->box->per_turn));
        if (atomic_load_explicit(&life->shared->orders.steer, memory_order_acquire))
            atomic_store_explicit(&life->shared->report.steered, true, memory_order_release);
    }
    answer(life);
    return worked;
}

void *twin_lane_run(void *arg)
{
    struct timespec pause = {0, 100000};
    struct twin_worker *w = arg;
    struct twin_life life = {.w = w,
                             .box = w->box,
                             .shared = w->shared,
                             .region = w->region,
                             .state = lane_state,
                             .words = table,
                             .capture = {.lane = w->shared},
                             .delta = {.lane = w->shared, .region = w->region},
                             .order = FT_ALL};

    life.delta.out = calloc(TWIN_OUTS, sizeof(*life.delta.out));
    FT_CHECK(life.delta.out && ft_hold_init(&life.hold, HOLD) == 0, "no memory");
    while (!atomic_load(w->stop))
        if (!turn(&life))
            nanosleep(&pause, NULL);
    ft_hold_free(&life.hold);
    free(life.delta.out);
    return NULL;
}
