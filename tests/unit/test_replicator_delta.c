/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two replicators on loopback whose stream is one of deltas, or of records with checkpoints for a warm
 * standby (tests/help/twin.h). What both hold at the end is compared with a model that knows no replication.
 */
#include "tests/help/twin.h"
#include "tests/help/test.h"

#define FOREVER   UINT64_MAX
#define THROTTLED 300 /* us between bursts */

static struct twin *const a = &twin_pair[0], *const b = &twin_pair[1];
static const struct twin_options deltas = {.every = 50};

static uint64_t cuts(void)
{
    return atomic_load(&a->box->by_node.lane[0].count.cuts);
}

static uint64_t applied(unsigned lane)
{
    return atomic_load(&b->box->by_node.lane[lane].count.deltas_applied);
}

static uint64_t replayed_packets(void)
{
    return atomic_load(&b->box->by_node.lane[0].count.replayed_packets);
}

/* Last burst that a whole delta has brought to b. */
static uint64_t covered(void)
{
    return atomic_load(&b->box->by_node.lane[0].orders.covered);
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

    TWIN_UNTIL(b, twin_state(b) == FT_SOLO && twin_is_live(b));
    from = twin_executed(b);
    assert_true(from >= atomic_load(&a->box->by_node.out_burst));
    return from;
}

static void is_model_at(uint64_t from)
{
    twin_model_run(twin_truth, 100, from);
    twin_is_model(b, from);
}

static void back_as_standby(uint64_t from, const struct twin_options *options)
{
    twin_target(b, from + 500);
    twin_target(a, 0);
    twin_start(a, options);
    twin_pair_protected(b, a);
}

/* All that the model made has left, each once. */
static void all_left(void)
{
    TWIN_UNTIL(a, atomic_load(&a->box->by_node.outputs) == twin_truth->lane.outputs);
}

static void resync(uint64_t times)
{
    atomic_store(&a->box->request, FT_REQUEST_RESYNC);
    TWIN_UNTIL(a, twin_status(a).core.resyncs == times);
    twin_pair_protected(a, b);
}

/* Its second, while b is stalled: b gives up what it has before it goes on. */
static void resync_stalled(void)
{
    atomic_store(&a->box->request, FT_REQUEST_RESYNC);
    TWIN_UNTIL(a, twin_state(b) == FT_SYNCING || twin_status(a).core.resyncs == 2);
    atomic_store(&b->box->stall, false);
    TWIN_UNTIL(a, twin_status(a).core.resyncs == 2);
    twin_pair_protected(a, b);
}

TEST_WITH(a_stream_of_deltas_makes_both_the_same, twin_pair_setup, twin_pair_teardown)
{
    struct rp_status s;

    twin_target(a, 3000);
    twin_pair_start(&deltas);
    twin_pair_equal(100, 3000);
    all_left();
    twin_target(a, 3700);
    twin_pair_equal(100, 3700);
    all_left();
    TWIN_UNTIL(a, twin_status(a).chunks_sent == twin_status(b).chunks_stored &&
                      twin_status(a).chunks_sent >= cuts());
    s = twin_status(a);
    assert_int_equal(s.records_sent, 0);
    assert_true(s.delta_bytes_wire > 0);
    assert_int_equal(s.core.resyncs, 1);
    assert_true(cuts() >= 700 / 50);
    assert_int_equal(applied(0), cuts());
    assert_int_equal(replayed_packets(), 0);
    end_unrefused();
}

/*
 * Lane 1 is fed nothing, so its deltas are of no burst: they go all the same, take no credit for good, and
 * are not taken for what a snapshot had.
 */
TEST_WITH(deltas_of_no_burst_go_and_take_no_credit_for_good, twin_pair_setup, twin_pair_teardown)
{
    /* Without outputs no delta of some hundred bursts is too large, even if lane 1 is late and cuts wait. */
    const struct twin_options two = {.every = 10, .lanes = 2, .suppress = true};
    uint64_t before;

    twin_pair_start(&two);
    for (uint64_t to = 300; to <= 600; to += 300) {
        before = applied(1);
        twin_target(a, to);
        twin_pair_equal(100, to);
        TWIN_UNTIL(b, applied(1) == cuts());
        assert_true(applied(1) > before);
        TWIN_UNTIL(a, atomic_load(&a->box->by_node.lane[1].orders.unreplayed) == 0);
        resync(to / 300 + 1);
        assert_int_equal(twin_status(b).core.closed[1], 0);
    }
    twin_target(a, 1000);
    twin_pair_equal(100, 1000);
    assert_int_equal(twin_status(a).overruns, 0);
    end_unrefused();
}

/* It replays nothing before it takes over, and then exactly what no checkpoint covers. */
TEST_WITH(a_warm_standby_replays_only_what_no_checkpoint_covers, twin_pair_setup, twin_pair_teardown)
{
    const struct twin_options warm = {.warm = true, .checkpoint = 200};
    uint64_t from, seq;

    atomic_store(&a->box->pause_us, THROTTLED);
    twin_target(a, FOREVER);
    twin_pair_start(&warm);
    TWIN_UNTIL(b, applied(0) > 5 && covered() > 800);
    assert_int_equal(replayed_packets(), 0);
    twin_kill(a);
    from = took_over();
    assert_true(from - covered() <= 2 * 200);
    twin_model_run(twin_truth, 100, covered());
    seq = twin_truth->lane.seq;
    is_model_at(from);
    assert_int_equal(replayed_packets(), twin_truth->lane.seq - seq);

    back_as_standby(from, &warm);
    twin_await_executed(b, from + 500);
    TWIN_UNTIL(a, twin_status(a).core.closed[0] == from + 500);
    atomic_store(&b->box->request, FT_REQUEST_HANDOVER); /* only now can its state be looked at */
    twin_pair_protected(a, b);
    twin_model_run(twin_truth, 101, from + 500);
    twin_is_model(a, from + 500);
    end_unrefused();
}

/* A warm standby without any checkpoint is READY, though it has replayed nothing. */
TEST_WITH(a_warm_standby_without_a_checkpoint_replays_all_when_it_takes_over, twin_pair_setup,
          twin_pair_teardown)
{
    const struct twin_options warm = {.warm = true};
    const uint64_t few = 75; /* no more than may be left uncovered */

    twin_pair_start(&warm);
    twin_target(a, few);
    TWIN_UNTIL(a, twin_status(a).core.peer_closed[0] >= few);
    assert_int_equal(cuts(), 0);
    assert_int_equal(replayed_packets(), 0);
    twin_kill(a);
    assert_int_equal(took_over(), few);
    is_model_at(few);
    assert_int_equal(replayed_packets(), twin_truth->lane.seq - 1);
    twin_end(b);
}

/*
 * b applies nothing, so the credit of a is used up, in the middle of a delta: b has some of its chunks, but
 * not the last. Returns the burst of the cut before.
 */
static uint64_t half_a_delta(void)
{
    uint64_t burst = 2000, chunks, made, waits;

    twin_target(a, burst);
    twin_pair_start(&deltas);
    for (unsigned tries = 0; tries < 20; tries++) {
        twin_await_executed(b, burst);
        twin_stall(b);
        /* a knows that b has taken all. */
        TWIN_UNTIL(a, twin_status(a).core.peer_taken[0] == atomic_load(&b->box->by_node.lane[0].replay.tail));
        for (;;) {
            TWIN_UNTIL(b, twin_status(b).core.closed[0] == burst);
            chunks = twin_status(b).chunks_stored;
            waits = twin_status(a).credit_waits;
            made = cuts();
            twin_target(a, burst + 40);
            TWIN_UNTIL(a, twin_status(b).core.closed[0] == burst + 40 || twin_status(a).credit_waits > waits);
            if (twin_status(b).core.closed[0] != burst + 40)
                break;
            burst += 40;
        }
        TWIN_UNTIL(a, twin_status(a).chunks_sent == twin_status(b).chunks_stored);
        if (cuts() == made + 1 && twin_status(b).chunks_stored > chunks)
            return burst;
        atomic_store(&b->box->stall, false); /* it ended between two deltas, or in a second one */
        burst += 40;
    }
    fail_msg("credit does not end in the middle of a delta");
    return 0;
}

/* The first chunks of a delta have come when the primary dies: the cut before it is what counts. */
TEST_WITH(a_takeover_in_the_middle_of_a_delta_goes_on_from_the_cut_before, twin_pair_setup,
          twin_pair_teardown)
{
    uint64_t cut;

    cut = half_a_delta();
    twin_kill(a);
    assert_int_equal(took_over(), cut);
    is_model_at(cut);
    /* The whole delta carried what was held at its cut. That it left, the one after would have said. */
    assert_true(atomic_load(&b->box->by_node.lane[0].count.tail_emitted) > 0);
    atomic_store(&b->box->stall, false);
    back_as_standby(cut, &deltas);
    twin_pair_equal(101, cut + 500);
    end_unrefused();
}

/* Half a delta is there when the standby dies; the new one gets a snapshot, and a stream of its own. */
TEST_WITH(half_a_delta_is_lost_with_the_standby, twin_pair_setup, twin_pair_teardown)
{
    uint64_t cut;

    cut = half_a_delta();
    twin_kill(b);
    atomic_store(&b->box->stall, false);
    twin_await(a, FT_SOLO);
    twin_start(b, &deltas);
    twin_pair_protected(a, b);
    twin_target(a, cut + 600);
    twin_pair_equal(100, cut + 600);
    end_unrefused();
}

/* The same while both live: the standby has to forget what it has of a delta. */
TEST_WITH(a_new_snapshot_makes_half_a_delta_void, twin_pair_setup, twin_pair_teardown)
{
    uint64_t cut;

    cut = half_a_delta();
    resync_stalled();
    twin_target(a, cut + 600);
    twin_pair_equal(100, cut + 600);
    end_unrefused();
}

/* Chunks that credit kept in the ring are of the stream before the snapshot, by their place. */
TEST_WITH(chunks_left_in_the_ring_do_not_follow_a_new_snapshot, twin_pair_setup, twin_pair_teardown)
{
    twin_pair_start(&deltas);
    twin_stall(b);
    twin_target(a, FOREVER);
    TWIN_UNTIL(a, twin_status(a).credit_waits > 0 && atomic_load(&a->box->by_node.log_most) > 1u << 20);
    assert_true(atomic_load(&b->box->by_node.replay_most) <= TWIN_PENDING);
    atomic_store(&a->box->pause_us, THROTTLED);
    resync_stalled();
    twin_pair_equal(100, twin_rest(a));
    end_unrefused();
}

/* A delta that is too large for the standby's room: a snapshot takes its place, says so, and is counted. */
TEST_WITH(a_delta_that_is_too_large_begins_a_snapshot, twin_pair_setup, twin_pair_teardown)
{
    const struct twin_options rare = {.every = 4000, .suppress = true};
    struct rp_status s;

    twin_pair_start(&rare);
    twin_target(a, 1500); /* nearly all of the table, and no cut before they are done */
    TWIN_UNTIL(a, twin_status(a).overruns == 1 && twin_status(a).core.resyncs == 2);
    twin_pair_protected(a, b);
    assert_int_equal(cuts(), 0);
    twin_pair_equal(100, 1500);
    twin_target(a, 1600);
    twin_pair_equal(100, 1600);
    s = twin_status(a);
    assert_int_equal(cuts(), 1);
    assert_int_equal(s.overruns, 1);
    assert_int_equal(s.core.resyncs, 2);
    end_unrefused();
}
