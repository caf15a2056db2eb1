/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two replicators on loopback whose stream is one of deltas, or of records with checkpoints, for a hot or a
 * warm standby (help_twin.h). What both hold at the end is compared with a model that knows no replication.
 */
#include "tests/unit/help_twin.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define FOREVER   UINT64_MAX
#define THROTTLED 300 /* us between bursts */

static struct twin twin[2], *const a = &twin[0], *const b = &twin[1];
static struct twin_model *model;
static const struct twin_options hot = {0}, warm = {.warm = true};

static int setup(void **state)
{
    (void)state;
    memset(twin, 0, sizeof(twin));
    model = calloc(1, sizeof(*model));
    assert_non_null(model);
    twin_model_begin(model);
    twin_world(twin);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    twin_world_end(twin);
    free(model);
    return 0;
}

static void protected_by(struct twin *primary, struct twin *standby)
{
    twin_await(primary, FT_PROTECTED);
    twin_await(standby, FT_READY);
}

static void start_both(const struct twin_options *options)
{
    twin_start(a, options);
    twin_start(b, options);
    protected_by(a, b);
}

static void set_target(struct twin *t, uint64_t burst)
{
    atomic_store(&t->box->target, burst);
}

static void segments(uint32_t every, uint32_t checkpoint)
{
    for (unsigned i = 0; i < 2; i++) {
        atomic_store(&twin[i].box->every, every);
        atomic_store(&twin[i].box->checkpoint, checkpoint);
    }
}

static uint64_t rest(struct twin *primary)
{
    uint64_t burst = atomic_load(&primary->box->closed) + 200;

    set_target(primary, burst);
    twin_await_closed(primary, burst);
    return burst;
}

static void state_is_model(struct twin *t, uint64_t burst)
{
    uint64_t region, state;

    twin_await_closed(t, burst);
    assert_int_equal(twin_digest(t, &region, &state), burst);
    assert_int_equal(model->lane.burst, burst);
    assert_int_equal(state, twin_state_hash(&model->lane, model->words));
}

static void all_equal(uint64_t seed, uint64_t burst)
{
    uint64_t region_a, region_b, state;

    twin_model_run(model, seed, burst);
    state_is_model(a, burst);
    state_is_model(b, burst);
    twin_digest(a, &region_a, &state);
    twin_digest(b, &region_b, &state);
    assert_int_equal(region_a, region_b);
}

static void end_both(void)
{
    assert_int_equal(twin_status(a).refused, 0);
    assert_int_equal(twin_status(b).refused, 0);
    twin_end(a);
    twin_end(b);
}

/* The state that b went on from is that of burst `from`; nothing later had left. */
static uint64_t took_over(void)
{
    uint64_t from;

    TWIN_UNTIL(b, twin_state(b) == FT_SOLO && atomic_load(&b->box->doing) == FT_LANE_LIVE &&
                      atomic_load(&b->box->live_from));
    from = atomic_load(&b->box->live_from);
    assert_true(from >= atomic_load(&a->box->out_burst));
    twin_model_run(model, 100, from);
    state_is_model(b, from);
    return from;
}

static void back_as_standby(uint64_t from, const struct twin_options *options)
{
    set_target(b, from + 500);
    set_target(a, 0);
    twin_start(a, options);
    protected_by(b, a);
}

static void delta_segments(void **state)
{
    struct rp_status s;

    (void)state;
    segments(50, 0);
    set_target(a, 3000);
    start_both(&hot);
    all_equal(100, 3000);
    TWIN_UNTIL(a, atomic_load(&a->box->outputs) == model->lane.outputs); /* all left, each once */
    set_target(a, 3700);
    all_equal(100, 3700);
    TWIN_UNTIL(a, atomic_load(&a->box->outputs) == model->lane.outputs);
    TWIN_UNTIL(a, twin_status(a).parts_sent == twin_status(b).parts_stored &&
                      twin_status(a).parts_sent >= atomic_load(&a->box->cuts));
    s = twin_status(a);
    assert_int_equal(s.records_sent, 0);
    assert_true(s.delta_bytes_raw > 0 && s.delta_bytes_wire > 0 &&
                s.delta_bytes_wire < s.delta_bytes_raw * 2);
    assert_int_equal(s.core.resyncs, 1);
    assert_true(atomic_load(&a->box->cuts) >= 700 / 50);
    assert_int_equal(atomic_load(&b->box->applied), atomic_load(&a->box->cuts));
    assert_true(atomic_load(&b->box->carried) > 0); /* they were held at the cut */
    assert_int_equal(atomic_load(&b->box->replayed), 0);
    end_both();
}

/* Shares of no burst: they go all the same, take no credit for good, and are not taken for what a base had.
 */
static void cuts_of_an_idle_lane(void **state)
{
    uint64_t applied;

    (void)state;
    segments(50, 0);
    atomic_store(&a->box->idle_cuts, true);
    set_target(a, 1000);
    start_both(&hot);
    for (uint64_t resyncs = 2; resyncs <= 3; resyncs++) {
        all_equal(100, 1000);
        applied = atomic_load(&b->box->applied);
        TWIN_UNTIL(b, atomic_load(&b->box->applied) > applied + 100);
        atomic_store(&a->box->told, FT_TOLD_RESYNC);
        TWIN_UNTIL(a, twin_status(a).core.resyncs == resyncs);
        protected_by(a, b);
    }
    set_target(a, 1400);
    all_equal(100, 1400);
    end_both();
}

static void checkpoints_to_a_hot_standby(void **state)
{
    (void)state;
    segments(0, 70);
    set_target(a, 3000);
    start_both(&hot);
    set_target(a, 4010);
    all_equal(100, 4010);
    assert_true(atomic_load(&a->box->cuts) >= 1000 / 70);
    assert_int_equal(atomic_load(&b->box->applied), atomic_load(&a->box->cuts));
    TWIN_UNTIL(a, twin_status(a).records_sent > 0 && twin_status(a).parts_sent > 0);
    end_both();
}

/* It replays nothing before it takes over, and then only what no checkpoint covers. */
static void warm_standby_takes_over(void **state)
{
    uint64_t from, replayed;

    (void)state;
    segments(0, 200);
    atomic_store(&a->box->pause_us, THROTTLED);
    set_target(a, FOREVER);
    start_both(&warm);
    TWIN_UNTIL(b, atomic_load(&b->box->applied) > 5 && atomic_load(&b->box->covered) > 800);
    assert_int_equal(atomic_load(&b->box->replayed), 0);
    twin_kill(a);
    from = took_over();
    replayed = atomic_load(&b->box->replayed);
    assert_true(replayed <= 2 * 200); /* what came after the last share that was whole */
    assert_true(atomic_load(&b->box->covered) + replayed <= from);

    back_as_standby(from, &warm);
    twin_await_closed(b, from + 500);
    TWIN_UNTIL(a, twin_status(a).core.closed[0] == from + 500);
    atomic_store(&b->box->told, FT_TOLD_HANDOVER); /* only now can its state be looked at */
    protected_by(a, b);
    twin_model_run(model, 101, from + 500);
    state_is_model(a, from + 500);
    end_both();
}

/* A warm standby without any checkpoint is READY, though it has replayed nothing. */
static void warm_without_checkpoints(void **state)
{
    uint64_t from;

    (void)state;
    atomic_store(&a->box->pause_us, THROTTLED);
    set_target(a, 300);
    start_both(&warm);
    twin_await_closed(a, 300);
    TWIN_UNTIL(a, twin_status(a).core.peer_closed[0] >= 300);
    assert_int_equal(atomic_load(&b->box->replayed), 0);
    twin_kill(a);
    from = took_over();
    assert_int_equal(from, 300);
    twin_end(b);
}

/* The first parts of a share have come when the primary dies: the cut before it is what counts. */
static void takeover_in_the_middle_of_a_delta(void **state)
{
    uint64_t from, parts;

    (void)state;
    segments(200, 0);
    set_target(a, 2000);
    start_both(&hot);
    twin_await_closed(b, 2000);
    parts = twin_status(b).parts_stored;
    atomic_store(&a->box->half, true);
    set_target(a, 2200);
    TWIN_UNTIL(b, twin_status(b).parts_stored > parts);
    TWIN_UNTIL(a, atomic_load(&a->box->halves) == 1);
    twin_kill(a);
    from = took_over();
    assert_int_equal(from, 2000);
    atomic_store(&a->box->half, false);
    back_as_standby(from, &hot);
    all_equal(101, from + 500);
    end_both();
}

/* Half a share is there when the standby dies; the new one gets a base, and a stream of its own. */
static void half_a_share_lost_with_the_standby(void **state)
{
    uint64_t parts;

    (void)state;
    segments(200, 0);
    set_target(a, 2000);
    start_both(&hot);
    twin_await_closed(b, 2000);
    parts = twin_status(b).parts_stored;
    atomic_store(&a->box->half, true);
    set_target(a, 2200);
    TWIN_UNTIL(b, twin_status(b).parts_stored > parts && atomic_load(&a->box->halves) == 1);
    atomic_store(&a->box->half, false);
    twin_kill(b);
    twin_await(a, FT_SOLO);
    twin_start(b, &hot);
    protected_by(a, b);
    set_target(a, 2600);
    all_equal(100, 2600);
    end_both();
}

/* The same while both live: the standby has to forget what it has of a share. */
static void half_a_share_and_a_new_base(void **state)
{
    uint64_t parts;

    (void)state;
    segments(200, 0);
    set_target(a, 2000);
    start_both(&hot);
    twin_await_closed(b, 2000);
    parts = twin_status(b).parts_stored;
    atomic_store(&a->box->half, true);
    set_target(a, 2200);
    TWIN_UNTIL(b, twin_status(b).parts_stored > parts && atomic_load(&a->box->halves) == 1);
    atomic_store(&a->box->half, false);
    atomic_store(&a->box->told, FT_TOLD_RESYNC);
    TWIN_UNTIL(a, twin_status(a).core.resyncs == 2);
    protected_by(a, b);
    set_target(a, 2600);
    all_equal(100, 2600);
    end_both();
}

/* Parts that credit kept in the ring are of the stream before the base, by their place. */
static void parts_left_in_the_ring(void **state)
{
    (void)state;
    segments(150, 0);
    start_both(&hot);
    atomic_store(&b->box->per_turn, 0);
    set_target(a, FOREVER);
    TWIN_UNTIL(a, twin_status(a).credit_waits > 0 && atomic_load(&a->box->log_most) > 1u << 20);
    assert_true(atomic_load(&b->box->replay_most) <= TWIN_PENDING);
    atomic_store(&b->box->per_turn, 64);
    atomic_store(&a->box->told, FT_TOLD_RESYNC);
    TWIN_UNTIL(a, twin_status(a).core.resyncs == 2);
    protected_by(a, b);
    all_equal(100, rest(a));
    end_both();
}

/* Kinds change at cuts, with resyncs between. */
static void kinds_change_under_load(void **state)
{
    static const struct {
        uint32_t every, checkpoint;
    } kinds[] = {{40, 0}, {0, 60}, {25, 0}, {0, 0}, {100, 0}, {0, 30}, {1, 0}, {0, 0}};
    struct rp_status s;

    (void)state;
    segments(0, 90);
    atomic_store(&a->box->pause_us, THROTTLED);
    set_target(a, FOREVER);
    start_both(&hot);
    for (unsigned i = 0; i < 24; i++) {
        uint64_t closed = atomic_load(&a->box->closed);

        segments(kinds[i % 8].every, kinds[i % 8].checkpoint);
        if (i % 5 == 4)
            atomic_store(&a->box->told, FT_TOLD_RESYNC);
        TWIN_UNTIL(a, atomic_load(&a->box->closed) > closed + 90);
    }
    protected_by(a, b);
    all_equal(100, rest(a));
    s = twin_status(a);
    assert_true(s.records_sent > 500 && s.parts_sent > 100);
    assert_int_equal(s.overruns, 0);
    end_both();
}

/* A delta that is too large for the standby's room: a base takes its place, says so, and is counted. */
static void overrun_begins_a_base(void **state)
{
    struct rp_status s;

    (void)state;
    set_target(a, 4000);
    start_both(&hot);
    set_target(a, 6000); /* all of the table, and no checkpoint */
    twin_await_closed(b, 6000);
    segments(50, 0);
    TWIN_UNTIL(a, twin_status(a).overruns == 1 && twin_status(a).core.resyncs == 2);
    protected_by(a, b);
    set_target(a, 6500);
    all_equal(100, 6500);
    TWIN_UNTIL(a, twin_status(a).parts_sent >= 500 / 50);
    s = twin_status(a);
    assert_int_equal(s.overruns, 1);
    assert_int_equal(s.core.resyncs, 2);
    end_both();
}

static void handover_in_a_delta_segment(void **state)
{
    (void)state;
    segments(64, 0);
    set_target(a, 1000);
    start_both(&hot);
    twin_await_closed(b, 1000);
    atomic_store(&a->box->told, FT_TOLD_HANDOVER);
    protected_by(b, a);
    assert_int_equal(atomic_load(&b->box->live_from), 1000);
    twin_model_run(model, 100, 1000);
    assert_int_equal(atomic_load(&a->box->outputs), model->lane.outputs);
    set_target(b, 1300);
    all_equal(101, 1300);
    end_both();
}

/* Nodes that differ in what a standby is refuse each other by name. */
static void one_warm_one_hot(void **state)
{
    (void)state;
    twin_start(a, &warm);
    twin_start(b, &hot);
    TWIN_UNTIL(a, strstr(twin_status(a).core.why, "standby: "));
    assert_true(twin_state(b) == FT_JOINING);
    end_both();
}

int main(void)
{
#define WITH_WORLD(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_WORLD(delta_segments),
        WITH_WORLD(cuts_of_an_idle_lane),
        WITH_WORLD(checkpoints_to_a_hot_standby),
        WITH_WORLD(warm_standby_takes_over),
        WITH_WORLD(warm_without_checkpoints),
        WITH_WORLD(takeover_in_the_middle_of_a_delta),
        WITH_WORLD(half_a_share_lost_with_the_standby),
        WITH_WORLD(half_a_share_and_a_new_base),
        WITH_WORLD(parts_left_in_the_ring),
        WITH_WORLD(kinds_change_under_load),
        WITH_WORLD(overrun_begins_a_base),
        WITH_WORLD(handover_in_a_delta_segment),
        WITH_WORLD(one_warm_one_hot),
    };

    return cmocka_run_group_tests_name("replicator_delta", tests, NULL, NULL);
}
