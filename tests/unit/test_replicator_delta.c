/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two replicators on loopback whose stream is one of deltas, or of records with checkpoints, for a hot or a
 * warm standby (help_twinpair.h). What both hold at the end is compared with a model that knows no
 * replication.
 */
#include "tests/unit/help_twinpair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define FOREVER   UINT64_MAX
#define THROTTLED 300 /* us between bursts */

static struct twin *const a = &twin_pair[0], *const b = &twin_pair[1];
static const struct twin_options hot = {0}, warm = {.warm = true};

static void segments(uint32_t every, uint32_t checkpoint)
{
    for (unsigned i = 0; i < 2; i++) {
        atomic_store(&twin_pair[i].box->every, every);
        atomic_store(&twin_pair[i].box->checkpoint, checkpoint);
    }
}

static void end_unrefused(void)
{
    assert_int_equal(twin_status(a).refused, 0);
    assert_int_equal(twin_status(b).refused, 0);
    twin_pair_end();
}

/* The state that b went on from is that of burst `from`; nothing later had left. */
static uint64_t took_over(void)
{
    uint64_t from;

    TWIN_UNTIL(b, twin_state(b) == FT_SOLO && atomic_load(&b->box->doing) == FT_LANE_LIVE &&
                      atomic_load(&b->box->live_from));
    from = atomic_load(&b->box->live_from);
    assert_true(from >= atomic_load(&a->box->out_burst));
    twin_model_run(twin_truth, 100, from);
    twin_is_model(b, from);
    return from;
}

static void back_as_standby(uint64_t from, const struct twin_options *options)
{
    twin_target(b, from + 500);
    twin_target(a, 0);
    twin_start(a, options);
    twin_pair_protected(b, a);
}

static void a_stream_of_deltas_makes_both_the_same(void **state)
{
    struct rp_status s;

    (void)state;
    segments(50, 0);
    twin_target(a, 3000);
    twin_pair_start(&hot);
    twin_pair_equal(100, 3000);
    TWIN_UNTIL(a, atomic_load(&a->box->outputs) == twin_truth->lane.outputs); /* all left, each once */
    twin_target(a, 3700);
    twin_pair_equal(100, 3700);
    TWIN_UNTIL(a, atomic_load(&a->box->outputs) == twin_truth->lane.outputs);
    TWIN_UNTIL(a, twin_status(a).chunks_sent == twin_status(b).chunks_stored &&
                      twin_status(a).chunks_sent >= atomic_load(&a->box->cuts));
    s = twin_status(a);
    assert_int_equal(s.records_sent, 0);
    assert_true(s.delta_bytes_wire > 0);
    assert_int_equal(s.core.resyncs, 1);
    assert_true(atomic_load(&a->box->cuts) >= 700 / 50);
    assert_int_equal(atomic_load(&b->box->applied), atomic_load(&a->box->cuts));
    assert_true(atomic_load(&b->box->carried) > 0); /* they were held at the cut */
    assert_int_equal(atomic_load(&b->box->replayed), 0);
    end_unrefused();
}

/* Deltas of no burst: they go all the same, take no credit for good, and are not taken for what a snapshot
 * had.
 */
static void deltas_of_no_burst_go_and_take_no_credit_for_good(void **state)
{
    uint64_t applied;

    (void)state;
    segments(50, 0);
    atomic_store(&a->box->idle_cuts, true);
    twin_target(a, 1000);
    twin_pair_start(&hot);
    for (uint64_t resyncs = 2; resyncs <= 3; resyncs++) {
        twin_pair_equal(100, 1000);
        applied = atomic_load(&b->box->applied);
        TWIN_UNTIL(b, atomic_load(&b->box->applied) > applied + 100);
        atomic_store(&a->box->told, FT_TOLD_RESYNC);
        TWIN_UNTIL(a, twin_status(a).core.resyncs == resyncs);
        twin_pair_protected(a, b);
    }
    twin_target(a, 1400);
    twin_pair_equal(100, 1400);
    end_unrefused();
}

static void a_hot_standby_takes_records_and_checkpoints(void **state)
{
    (void)state;
    segments(0, 70);
    twin_target(a, 3000);
    twin_pair_start(&hot);
    twin_target(a, 4010);
    twin_pair_equal(100, 4010);
    assert_true(atomic_load(&a->box->cuts) >= 1000 / 70);
    assert_int_equal(atomic_load(&b->box->applied), atomic_load(&a->box->cuts));
    TWIN_UNTIL(a, twin_status(a).records_sent > 0 && twin_status(a).chunks_sent > 0);
    end_unrefused();
}

/* It replays nothing before it takes over, and then only what no checkpoint covers. */
static void a_warm_standby_replays_only_what_no_checkpoint_covers(void **state)
{
    uint64_t from, replayed;

    (void)state;
    segments(0, 200);
    atomic_store(&a->box->pause_us, THROTTLED);
    twin_target(a, FOREVER);
    twin_pair_start(&warm);
    TWIN_UNTIL(b, atomic_load(&b->box->applied) > 5 && atomic_load(&b->box->covered) > 800);
    assert_int_equal(atomic_load(&b->box->replayed), 0);
    twin_kill(a);
    from = took_over();
    replayed = atomic_load(&b->box->replayed);
    assert_true(replayed <= 2 * 200); /* what came after the last delta that was whole */
    assert_true(atomic_load(&b->box->covered) + replayed <= from);

    back_as_standby(from, &warm);
    twin_await_closed(b, from + 500);
    TWIN_UNTIL(a, twin_status(a).core.closed[0] == from + 500);
    atomic_store(&b->box->told, FT_TOLD_HANDOVER); /* only now can its state be looked at */
    twin_pair_protected(a, b);
    twin_model_run(twin_truth, 101, from + 500);
    twin_is_model(a, from + 500);
    end_unrefused();
}

/* A warm standby without any checkpoint is READY, though it has replayed nothing. */
static void a_warm_standby_without_a_checkpoint_replays_all_when_it_takes_over(void **state)
{
    uint64_t from;

    (void)state;
    atomic_store(&a->box->pause_us, THROTTLED);
    twin_target(a, 300);
    twin_pair_start(&warm);
    twin_await_closed(a, 300);
    TWIN_UNTIL(a, twin_status(a).core.peer_closed[0] >= 300);
    assert_int_equal(atomic_load(&b->box->replayed), 0);
    twin_kill(a);
    from = took_over();
    assert_int_equal(from, 300);
    twin_end(b);
}

/* The first chunks of a delta have come when the primary dies: the cut before it is what counts. */
static void a_takeover_in_the_middle_of_a_delta_goes_on_from_the_cut_before(void **state)
{
    uint64_t from, chunks;

    (void)state;
    segments(200, 0);
    twin_target(a, 2000);
    twin_pair_start(&hot);
    twin_await_closed(b, 2000);
    chunks = twin_status(b).chunks_stored;
    atomic_store(&a->box->half, true);
    twin_target(a, 2200);
    TWIN_UNTIL(b, twin_status(b).chunks_stored > chunks);
    TWIN_UNTIL(a, atomic_load(&a->box->halves) == 1);
    twin_kill(a);
    from = took_over();
    assert_int_equal(from, 2000);
    atomic_store(&a->box->half, false);
    back_as_standby(from, &hot);
    twin_pair_equal(101, from + 500);
    end_unrefused();
}

/* Both hold burst 2000, and of the delta after it b has some chunks, but not the last. */
static void half_a_delta(void)
{
    uint64_t chunks;

    segments(200, 0);
    twin_target(a, 2000);
    twin_pair_start(&hot);
    twin_await_closed(b, 2000);
    chunks = twin_status(b).chunks_stored;
    atomic_store(&a->box->half, true);
    twin_target(a, 2200);
    TWIN_UNTIL(b, twin_status(b).chunks_stored > chunks && atomic_load(&a->box->halves) == 1);
    atomic_store(&a->box->half, false);
}

/* Half a delta is there when the standby dies; the new one gets a snapshot, and a stream of its own. */
static void half_a_delta_is_lost_with_the_standby(void **state)
{
    (void)state;
    half_a_delta();
    twin_kill(b);
    twin_await(a, FT_SOLO);
    twin_start(b, &hot);
    twin_pair_protected(a, b);
    twin_target(a, 2600);
    twin_pair_equal(100, 2600);
    end_unrefused();
}

/* The same while both live: the standby has to forget what it has of a delta. */
static void a_new_snapshot_makes_half_a_delta_void(void **state)
{
    (void)state;
    half_a_delta();
    atomic_store(&a->box->told, FT_TOLD_RESYNC);
    TWIN_UNTIL(a, twin_status(a).core.resyncs == 2);
    twin_pair_protected(a, b);
    twin_target(a, 2600);
    twin_pair_equal(100, 2600);
    end_unrefused();
}

/* Chunks that credit kept in the ring are of the stream before the snapshot, by their place. */
static void chunks_left_in_the_ring_do_not_follow_a_new_snapshot(void **state)
{
    (void)state;
    segments(150, 0);
    twin_pair_start(&hot);
    atomic_store(&b->box->per_turn, 0);
    twin_target(a, FOREVER);
    TWIN_UNTIL(a, twin_status(a).credit_waits > 0 && atomic_load(&a->box->log_most) > 1u << 20);
    assert_true(atomic_load(&b->box->replay_most) <= TWIN_PENDING);
    atomic_store(&b->box->per_turn, 64);
    atomic_store(&a->box->told, FT_TOLD_RESYNC);
    TWIN_UNTIL(a, twin_status(a).core.resyncs == 2);
    twin_pair_protected(a, b);
    twin_pair_equal(100, twin_rest(a));
    end_unrefused();
}

/* Kinds change at cuts, with resyncs between. */
static void kinds_of_segments_change_under_load(void **state)
{
    static const struct {
        uint32_t every, checkpoint;
    } kinds[] = {{40, 0}, {0, 60}, {25, 0}, {0, 0}, {100, 0}, {0, 30}, {1, 0}, {0, 0}};
    struct rp_status s;

    (void)state;
    segments(0, 90);
    atomic_store(&a->box->pause_us, THROTTLED);
    twin_target(a, FOREVER);
    twin_pair_start(&hot);
    for (unsigned i = 0; i < 24; i++) {
        uint64_t closed = atomic_load(&a->box->closed);

        segments(kinds[i % 8].every, kinds[i % 8].checkpoint);
        if (i % 5 == 4)
            atomic_store(&a->box->told, FT_TOLD_RESYNC);
        TWIN_UNTIL(a, atomic_load(&a->box->closed) > closed + 90);
    }
    twin_pair_protected(a, b);
    twin_pair_equal(100, twin_rest(a));
    s = twin_status(a);
    assert_true(s.records_sent > 500 && s.chunks_sent > 100);
    assert_int_equal(s.overruns, 0);
    end_unrefused();
}

/* A delta that is too large for the standby's room: a snapshot takes its place, says so, and is counted. */
static void a_delta_that_is_too_large_begins_a_snapshot(void **state)
{
    struct rp_status s;

    (void)state;
    twin_target(a, 4000);
    twin_pair_start(&hot);
    twin_target(a, 6000); /* all of the table, and no checkpoint */
    twin_await_closed(b, 6000);
    segments(50, 0);
    TWIN_UNTIL(a, twin_status(a).overruns == 1 && twin_status(a).core.resyncs == 2);
    twin_pair_protected(a, b);
    twin_target(a, 6500);
    twin_pair_equal(100, 6500);
    TWIN_UNTIL(a, twin_status(a).chunks_sent >= 500 / 50);
    s = twin_status(a);
    assert_int_equal(s.overruns, 1);
    assert_int_equal(s.core.resyncs, 2);
    end_unrefused();
}

static void a_handover_between_deltas_loses_nothing(void **state)
{
    (void)state;
    segments(64, 0);
    twin_target(a, 1000);
    twin_pair_start(&hot);
    twin_await_closed(b, 1000);
    atomic_store(&a->box->told, FT_TOLD_HANDOVER);
    twin_pair_protected(b, a);
    assert_int_equal(atomic_load(&b->box->live_from), 1000);
    twin_model_run(twin_truth, 100, 1000);
    assert_int_equal(atomic_load(&a->box->outputs), twin_truth->lane.outputs);
    twin_target(b, 1300);
    twin_pair_equal(101, 1300);
    end_unrefused();
}

/* Nodes that differ in what a standby is refuse each other by name. */
static void a_warm_and_a_hot_node_refuse_each_other(void **state)
{
    (void)state;
    twin_start(a, &warm);
    twin_start(b, &hot);
    TWIN_UNTIL(a, strstr(twin_status(a).core.why, "standby: "));
    assert_true(twin_state(b) == FT_JOINING);
    end_unrefused();
}

int main(void)
{
#define WITH_WORLD(f) cmocka_unit_test_setup_teardown(f, twin_pair_setup, twin_pair_teardown)
    const struct CMUnitTest tests[] = {
        WITH_WORLD(a_stream_of_deltas_makes_both_the_same),
        WITH_WORLD(deltas_of_no_burst_go_and_take_no_credit_for_good),
        WITH_WORLD(a_hot_standby_takes_records_and_checkpoints),
        WITH_WORLD(a_warm_standby_replays_only_what_no_checkpoint_covers),
        WITH_WORLD(a_warm_standby_without_a_checkpoint_replays_all_when_it_takes_over),
        WITH_WORLD(a_takeover_in_the_middle_of_a_delta_goes_on_from_the_cut_before),
        WITH_WORLD(half_a_delta_is_lost_with_the_standby),
        WITH_WORLD(a_new_snapshot_makes_half_a_delta_void),
        WITH_WORLD(chunks_left_in_the_ring_do_not_follow_a_new_snapshot),
        WITH_WORLD(kinds_of_segments_change_under_load),
        WITH_WORLD(a_delta_that_is_too_large_begins_a_snapshot),
        WITH_WORLD(a_handover_between_deltas_loses_nothing),
        WITH_WORLD(a_warm_and_a_hot_node_refuse_each_other),
    };

    return cmocka_run_group_tests_name("replicator_delta", tests, NULL, NULL);
}
