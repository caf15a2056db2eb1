/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two replicators on loopback, each in its own process with its own region and lane (tests/help/twin.h). What
 * both hold at the end is compared with a model that knows no replication.
 */
#include "tests/help/twin.h"
#include "tests/help/test.h"

#define FOREVER   UINT64_MAX
#define THROTTLED 300 /* us between bursts: some thousand a second, about 10 MB of log */

static struct twin *const a = &twin_pair[0], *const b = &twin_pair[1];

static uint64_t ring_full(void)
{
    return atomic_load(&a->box->by_node.lane[0].count.ring_full);
}

/* Without a copy before the edit, the snapshot would hold what came after the cut, and replay adds it again.
 */
TEST_WITH(edits_beside_a_snapshot_are_not_in_it, twin_pair_setup, twin_pair_teardown)
{
    const struct twin_options slow = {.resync_mbps = 1, .start_alone_ms = 1};

    atomic_store(&a->box->pause_us, THROTTLED);
    twin_target(a, FOREVER);
    twin_start(a, &slow);
    twin_await(a, FT_SOLO);
    twin_await_executed(a, 200);
    twin_start(b, NULL);
    twin_pair_protected(a, b);
    assert_true(atomic_load(&a->box->by_node.beside_snapshot) > 50);
    assert_true(twin_status(a).snapshot_bytes > TWIN_WORDS * sizeof(uint64_t) / 2);
    twin_pair_equal(100, twin_rest(a));
    twin_pair_end();
}

/* A standby that does not replay: credit stops the sender, the full ring stops the lane; then all arrives. */
TEST_WITH(a_standby_that_does_not_replay_stops_its_primary_by_credit, twin_pair_setup, twin_pair_teardown)
{
    uint64_t stuck, before, stored;

    twin_pair_start(NULL);
    twin_stall(b);
    twin_target(a, 4000);
    TWIN_UNTIL(a, twin_status(a).credit_waits > 0);
    before = ring_full(); /* perhaps it was full for a while already, when the sender was late */
    TWIN_UNTIL(a, ring_full() > before + 100);
    stuck = twin_executed(a);
    before = ring_full();
    TWIN_UNTIL(a, ring_full() > before + 200);
    assert_int_equal(twin_executed(a), stuck);
    assert_true(stuck < 4000);
    assert_true(atomic_load(&b->box->by_node.replay_most) <= TWIN_PENDING);
    assert_true(atomic_load(&b->box->by_node.replay_most) > TWIN_PENDING / 2);
    assert_int_equal(twin_state(a), FT_PROTECTED); /* what the standby stored is stable all the same */
    TWIN_UNTIL(a, twin_status(a).records_sent == twin_status(b).records_stored);
    stored = twin_status(b).core.closed[0];
    assert_in_range(stored, 1, stuck - 1);
    twin_model_run(twin_truth, 100, stored);
    TWIN_UNTIL(a, atomic_load(&a->box->by_node.outputs) == twin_truth->lane.outputs);
    for (uint64_t at = twin_executed(b); at < stuck; at = twin_executed(b)) { /* a turn's worth at a time */
        atomic_store(&b->box->stall, false);
        TWIN_UNTIL(b, twin_executed(b) > at);
        twin_stall(b);
    }
    atomic_store(&b->box->stall, false);
    twin_pair_equal(100, 4000);
    assert_true(atomic_load(&a->box->by_node.log_most) <= TWIN_LOG);
    assert_true(atomic_load(&b->box->by_node.replay_most) <= TWIN_PENDING);
    assert_int_equal(twin_status(b).refused, 0);
    assert_int_equal(twin_status(a).core.solos, 1); /* its own start */
    twin_pair_end();
}

/* The comparison itself: a change on one side past the edits is seen in the digests; in the one that a record
 * carries, too, and then a snapshot takes the place of what is wrong. */
TEST_WITH(a_word_written_past_an_edit_shows_in_the_digest, twin_pair_setup, twin_pair_teardown)
{
    uint64_t region_a, region_b, state_a;

    twin_target(a, 1000);
    twin_pair_start(NULL);
    twin_await_executed(b, 1000);
    atomic_store(&b->box->spoil, true);
    twin_target(a, 1100);
    twin_await_executed(b, 1100);
    twin_digest(a, &region_a, &state_a);
    twin_digest(b, &region_b, &state_a);
    assert_int_not_equal(region_a, region_b);
    atomic_fetch_add(&a->box->by_node.lane[0].orders.digest, 1); /* as whoever asks for one does */
    twin_target(a, 1200);
    TWIN_UNTIL(a, twin_status(a).core.resyncs == 2);
    assert_int_equal(atomic_load(&b->box->by_node.lane[0].count.divergences), 1);
    twin_pair_protected(a, b);
    twin_pair_equal(100, 1200);
    twin_pair_end();
}

/*
 * The pair compares its states by itself: two nodes in processes of their own (tests/help/twin.h), and a bit
 * that flips in the standby's memory. Within a round the standby says so, is brought up to date and is equal
 * again; and a pair whose states are equal finds them so. In every stream: records, deltas, a warm standby's
 * checkpoints, two lanes. What lanes share, of several: tests/lab/long/verify.t, and the simulation. And what
 * is the same of records and of deltas.
 */

static const struct twin_options streams[] = {
    {.verify_s = 1},
    {.verify_s = 1, .every = 20},
    {.verify_s = 1, .warm = true, .checkpoint = 50},
    {.verify_s = 1, .lanes = 2},
};

#define STREAMS (sizeof(streams) / sizeof(streams[0]))

static uint64_t slices(struct twin *t, bool equal)
{
    uint64_t n = 0;

    for (unsigned l = 0; l < TWIN_LANES; l++) {
        const struct ft_lane_counters *count = &t->box->by_node.lane[l].count;

        n += atomic_load(equal ? &count->slices_equal : &count->slices_different);
    }
    return n;
}

static void start(const struct twin_options *options)
{
    atomic_store(&a->box->pause_us, 300);
    twin_target(a, UINT64_MAX);
    twin_pair_start(options);
}

/* Of lane 0, which is fed: all of its state. */
static void await_round(void)
{
    uint64_t before = twin_status(a).verdicts.round_at[0];

    TWIN_UNTIL(a, twin_status(a).verdicts.round_at[0] > before);
    assert_true(atomic_load(&b->box->by_node.lane[0].report.round_ns) > 0);
}

/* A warm standby stands where its last checkpoint left it. */
static void end(const struct twin_options *options)
{
    if (!options->warm)
        twin_pair_equal(100, twin_rest(a));
    twin_pair_end();
}

static void equal_states_are_found_equal(void **state)
{
    struct rp_status s;

    start(*state);
    await_round();
    await_round();
    s = twin_status(a);
    /* The table is half a megabyte, eight slices; beside it are the lane's own state and what is shared. */
    assert_true(s.verdicts.slices_equal >= 2 * 9);
    assert_true(slices(b, true) >= s.verdicts.slices_equal);
    assert_int_equal(s.verdicts.different, 0);
    assert_int_equal(slices(b, false), 0);
    assert_int_equal(s.core.resyncs, 1);
    end(*state);
}

static void a_flipped_bit_is_found_and_healed(void **state)
{
    struct rp_status s;

    start(*state);
    atomic_store(&b->box->flip, true);
    TWIN_UNTIL(a, twin_status(a).verdicts.different == 1);
    TWIN_UNTIL(a, twin_status(a).core.resyncs == 2);
    twin_pair_protected(a, b);
    assert_int_equal(slices(b, false), 1);
    s = twin_status(a);
    assert_int_not_equal(s.verdicts.last[0].expected, s.verdicts.last[0].got);
    await_round();
    assert_int_equal(slices(b, false), 1);
    assert_int_equal(twin_status(a).verdicts.different, 1);
    end(*state);
}

/* Who takes over does not look: a state with a wrong bit is better than none. */
static void a_takeover_does_not_compare(void **state)
{
    uint64_t from;

    start(*state);
    twin_stall(b);
    atomic_store(&b->box->flip, true);
    TWIN_UNTIL(b, !atomic_load(&b->box->flip));
    atomic_store(&a->box->pause_us, 10000); /* so that the standby has room for the records of a round */
    from = twin_executed(a);
    twin_await_executed(a, from + 120);
    twin_kill(a);
    TWIN_UNTIL(b, twin_state(b) == FT_SOLO && twin_is_live(b));
    assert_int_equal(slices(b, false), 0);
    assert_true(twin_executed(b) >= from);
    twin_end(b);
}

static void without_it_nothing_is_compared(void **state)
{
    static const struct twin_options never = {.verify_s = 0};

    start(&never);
    twin_await_executed(b, 3000);
    assert_int_equal(slices(b, true) + slices(b, false), 0);
    assert_int_equal(twin_status(a).verdicts.round_at[0], 0);
    twin_pair_end();
}

/* The options stay the test's. */
static int twin_pair_of(void **state)
{
    void *options = *state;
    int error = twin_pair_setup(state);

    *state = options;
    return error;
}

#define EACH(test, of)                                                                                       \
    TEST_LIST(test##_##of, #test " (" #of ")", test, twin_pair_of, twin_pair_teardown,                       \
              (void *)(uintptr_t)&streams[of])
EACH(equal_states_are_found_equal, 0)
EACH(equal_states_are_found_equal, 1)
EACH(equal_states_are_found_equal, 2)
EACH(equal_states_are_found_equal, 3)
EACH(a_flipped_bit_is_found_and_healed, 0)
EACH(a_flipped_bit_is_found_and_healed, 1)
EACH(a_flipped_bit_is_found_and_healed, 2)
EACH(a_flipped_bit_is_found_and_healed, 3)
EACH(a_takeover_does_not_compare, 0)
EACH(without_it_nothing_is_compared, 0)
