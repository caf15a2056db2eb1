/* SPDX-License-Identifier: Apache-2.0 */
/* Moments of a recording by the wall clock, which may be set while it is made. */
#define _GNU_SOURCE
#include "tests/help/recorder.h"
#include "understudy/recording/files.c"
#include "tests/help/test.h"

#define S 1000000000ull
#define W (1800000000ull * S) /* the wall clock at chain time 0 */

/* A clock each second from 10 s on, each told 1 ms late but for one; between 13 s and 14 s it is set. */
static void fill(struct lg_recording *r, struct lg_clock clock[8], int64_t set)
{
    for (uint64_t i = 0; i < 8; i++)
        clock[i] = (struct lg_clock){.time = (10 + i) * S,
                                     .wall = W + (10 + i) * S + (i == 2 ? 0 : S / 1000) +
                                             (i >= 4 ? (uint64_t)set : 0)};
    *r = (struct lg_recording){.head.lanes = 1, .clock = clock, .clocks = 8};
    r->at[0].time = 9 * S;
    r->end[0].time = 18 * S;
}

static uint64_t time_of(const struct lg_recording *r, uint64_t wall)
{
    const struct nd_moment m = {.kind = ND_MOMENT_WALL, .time = wall};

    return time_in(&m, r);
}

/* What was before the hour went back keeps its times, what came later has the new ones. */
TEST(a_clock_that_is_set_back_shifts_nothing_before)
{
    const uint64_t back = 3600 * S, late = S / 1000;
    struct lg_clock clock[8];
    struct lg_recording r;

    fill(&r, clock, -(int64_t)back);
    assert_int_equal(nd_moment_wall(&r, 9 * S), W + 9 * S + late);
    assert_int_equal(nd_moment_wall(&r, 10 * S + 5), W + 10 * S + 5 + late);
    assert_int_equal(nd_moment_wall(&r, 12 * S + 5), W + 12 * S + 5); /* beside the one that was not late */
    assert_int_equal(nd_moment_wall(&r, 15 * S), W + 15 * S + late - back);
    assert_int_equal(nd_moment_wall(&r, 100 * S), W + 100 * S + late - back);
    assert_int_equal(time_of(&r, W + 10 * S + 5 + late), 10 * S + 5);
    assert_int_equal(time_of(&r, W + 12 * S + 5), 12 * S + 5);
    /* An hour before the first burst it said this only later. */
    assert_int_equal(time_of(&r, W + 9 * S - back), 0);
}

TEST(a_clock_that_is_set_forward_has_said_nothing_between)
{
    const uint64_t on = 3600 * S, late = S / 1000;
    struct lg_clock clock[8];
    struct lg_recording r;

    fill(&r, clock, (int64_t)on);
    assert_int_equal(nd_moment_wall(&r, 11 * S), W + 11 * S + late);
    assert_int_equal(nd_moment_wall(&r, 16 * S), W + 16 * S + late + on);
    assert_int_equal(time_of(&r, W + 600 * S), 14 * S); /* when it was noted to be set */
    assert_int_equal(time_of(&r, W + 16 * S + late + on), 16 * S);
}

/* A file that has no record yet: the moment may be in the next one. */
TEST(an_unknown_clock_is_never_before)
{
    const struct nd_moment m = {.kind = ND_MOMENT_WALL, .time = W + 12 * S};
    struct lg_recording r = {.head.lanes = 1};
    struct lg_clock clock[8];

    r.end[0].time = 18 * S;
    assert_int_equal(nd_moment_wall(&r, 12 * S), 0);
    assert_false(nd_moment_is_before(&m, &r, r.end));
    assert_false(is_in(&m, &r));
    fill(&r, clock, 0);
    assert_true(nd_moment_is_before(&m, &r, r.end));
    assert_true(is_in(&m, &r));
}

static bool has(const struct lg_recording *r, uint64_t wall)
{
    const struct nd_moment m = {.kind = ND_MOMENT_WALL, .time = wall};

    return is_in(&m, r);
}

TEST(a_file_has_what_is_between_its_begin_and_its_end)
{
    const uint64_t late = S / 1000;
    struct lg_clock clock[8];
    struct lg_recording r;

    fill(&r, clock, 0);
    r.head.wall = 7;
    assert_int_equal(begin_of(&r), W + 9 * S + late);
    assert_int_equal(end_of(&r), W + 18 * S + late);
    assert_false(has(&r, W + 9 * S + late - 1));
    assert_true(has(&r, W + 9 * S + late));
    assert_true(has(&r, W + 18 * S + late - 1));
    assert_false(has(&r, W + 18 * S + late));
    /* Lanes that have executed nothing yet are where the machine began, and the recorder did later. */
    r.at[0].time = 0;
    r.head.wall = W + 5 * S;
    assert_int_equal(begin_of(&r), W + 5 * S);
    assert_false(has(&r, W + 5 * S - 1));
    assert_true(has(&r, W + 5 * S));
    r.clocks = 0;
    assert_int_equal(end_of(&r), W + 5 * S);
}

TEST(years_that_no_number_holds_are_refused)
{
    struct nd_moment m;

    assert_true(nd_moment_read(&m, "2026-11-22T07:48:25.123Z"));
    assert_int_equal(m.time, 1795333705123000000ull);
    assert_true(nd_moment_read(&m, "2499-12-31T23:59:59Z"));
    assert_false(nd_moment_read(&m, "2555-01-01T00:00:00Z"));
    assert_false(nd_moment_read(&m, "9999-01-01T00:00:00Z"));
    assert_false(nd_moment_read(&m, "1969-12-31T23:59:59Z"));
}

/* The recorder notes one for each second of chain time, and a reader has all of them. */
TEST_WITH(all_clocks_of_a_file_are_read, recorder_setup, recorder_teardown)
{
    struct lg_recording r;

    recorder_open(1u << 30, 2);
    for (unsigned i = 0; i < 5; i++) {
        recorder_now.time += 2 * S;
        recorder_turn(7, 1);
        recorder_burst(10, 1);
    }
    rig_stop(0);
    rig_read(&r, 1);
    assert_int_equal(r.records, 5);
    assert_int_equal(r.clocks, 5);
    for (unsigned i = 1; i < 5; i++)
        assert_true(r.clock[i].time == r.clock[i - 1].time + 2 * S + 1000 &&
                    r.clock[i].wall > r.clock[i].time);
    lg_recording_close(&r);
}
