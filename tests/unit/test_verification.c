/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pair compares its states by itself: two nodes in processes of their own (twinpair.h), and a bit
 * that flips in the standby's memory. Within a round the standby says so, is brought up to date and is equal
 * again; and a pair whose states are equal finds them so. In every stream: records, deltas, a warm standby's
 * checkpoints, two lanes. What lanes share, of several: tests/lab/long/verify.t, and the simulation.
 */
#include "tests/help/twinpair.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static struct twin *const a = &twin_pair[0], *const b = &twin_pair[1];

static const struct twin_options streams[] = {
    {.verify_s = 1},
    {.verify_s = 1, .every = 20},
    {.verify_s = 1, .warm = true, .checkpoint = 50},
    {.verify_s = 1, .lanes = 2},
};
#define STREAMS (sizeof(streams) / sizeof(streams[0]))

static uint64_t slices(const struct twin *t, bool equal)
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

    (void)state;
    start(&never);
    twin_await_executed(b, 3000);
    assert_int_equal(slices(b, true) + slices(b, false), 0);
    assert_int_equal(twin_status(a).verdicts.round_at[0], 0);
    twin_pair_end();
}

#define EACH(test, of)                                                                                       \
    {                                                                                                        \
#test " (" #of ")", test, twin_pair_of, twin_pair_teardown, (void *)(uintptr_t)&streams[of]          \
    }

/* The options stay the test's. */
static int twin_pair_of(void **state)
{
    void *options = *state;
    int error = twin_pair_setup(state);

    *state = options;
    return error;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(equal_states_are_found_equal, 0),      EACH(equal_states_are_found_equal, 1),
        EACH(equal_states_are_found_equal, 2),      EACH(equal_states_are_found_equal, 3),
        EACH(a_flipped_bit_is_found_and_healed, 0), EACH(a_flipped_bit_is_found_and_healed, 1),
        EACH(a_flipped_bit_is_found_and_healed, 2), EACH(a_flipped_bit_is_found_and_healed, 3),
        EACH(a_takeover_does_not_compare, 0),       EACH(without_it_nothing_is_compared, 0),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
