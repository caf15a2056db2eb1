/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a lane hangs: after half a second on a processor, or three of sleep, in one call of an NF; and not
 * where it is a machine that stands, or another lane that it waits for.
 */
#include "understudy/crash/handler.c"
#include "tests/help/test.h"

#define MS 1000000ull

static const struct hang_look call = {
    .doing = NF_DOING_PACKETS, .nf = 2, .burst = 700, .turn = 9000000, .used = 5000 * MS};

/* Looks that see the same, but for so much more processor time each; which one finds it, 0: none of 1,000. */
static unsigned found_at(struct hang *hang, struct hang_look look, uint64_t each)
{
    for (unsigned i = 1; i <= 1000; i++) {
        if (judge_hang(hang, &look))
            return i;
        look.used += each;
        look.given += look.sleeps ? 100 * MS : 0;
    }
    return 0;
}

TEST(half_a_second_on_a_processor)
{
    struct hang hang = {0};

    assert_int_equal(found_at(&hang, call, 100 * MS), 6);
}

/* Others have the processors: what counts is what it got. */
TEST(a_machine_that_is_busy_only_delays_it)
{
    struct hang hang = {0};

    assert_int_equal(found_at(&hang, call, 2 * MS), 251);
    hang = (struct hang){0};
    assert_int_equal(found_at(&hang, call, 0), 0); /* it could run, and never does */
}

/* Where a guest does not see what its host takes, the time of a processor that stood is the thread's. */
TEST(one_that_stood_is_looked_at_four_times)
{
    struct hang hang = {0};
    struct hang_look look = call;

    assert_int_equal(found_at(&hang, look, 600 * MS), 5);
    hang = (struct hang){0};
    assert_false(judge_hang(&hang, &look));
    look.used += 3000 * MS; /* the machine stood in the midst of a call, which then ends */
    assert_false(judge_hang(&hang, &look));
    look.burst++;
    assert_int_equal(found_at(&hang, look, MS), 501);
}

TEST(three_seconds_of_sleep)
{
    struct hang_look asleep = call;
    struct hang hang = {0};

    asleep.sleeps = true;
    assert_int_equal(found_at(&hang, asleep, 0), 31);
    hang = (struct hang){0};
    assert_int_equal(found_at(&hang, asleep, MS / 10), 31); /* also one that wakes for a moment in between */
}

/* A lane that waits for memory which somebody holds who gets no processor. */
TEST(sleep_does_not_count_while_others_have_the_processors)
{
    struct hang_look asleep = call;
    struct hang hang = {0};

    asleep.sleeps = true;
    for (unsigned i = 0; i < 1000; i++) {
        assert_false(judge_hang(&hang, &asleep));
        asleep.given += 2 * MS;
    }
    asleep.given = 2900 * MS;
    assert_true(judge_hang(&hang, &asleep));
}

TEST(time_is_given_where_nobody_waits_for_a_processor)
{
    assert_int_equal(nd_given_of(1000 * MS, 0, 0), 1000 * MS);         /* all sleep */
    assert_int_equal(nd_given_of(1000 * MS, 2000 * MS, 0), 1000 * MS); /* two run */
    assert_int_equal(nd_given_of(1000 * MS, 25 * MS, 975 * MS), 25 * MS);
    assert_int_equal(nd_given_of(1000 * MS, 5 * MS, 800 * MS), 200 * MS);     /* one that polls */
    assert_int_equal(nd_given_of(1000 * MS, 2000 * MS, 6000 * MS), 250 * MS); /* eight on two */
}

TEST(a_command_may_take_ten)
{
    struct hang_look look = call;

    for (unsigned doing = 0; doing < NF_DOINGS; doing++) {
        bool command = doing == NF_DOING_SHOW || doing == NF_DOING_SET || doing == NF_DOING_CLEAR ||
                       doing == NF_DOING_MAKE || doing == NF_DOING_CHECK;
        struct hang hang = {0};

        look.doing = doing;
        assert_int_equal(found_at(&hang, look, 100 * MS), doing == NF_DOING_NOTHING ? 0 : command ? 101 : 6);
    }
}

TEST(another_call_begins_anew)
{
    for (unsigned what = 0; what < 4; what++) {
        struct hang hang = {0};
        struct hang_look look = call;

        for (unsigned i = 0; i < 1000; i++) {
            assert_false(judge_hang(&hang, &look));
            look.used += 49 * MS;
            if (i % 10 == 9)
                what == 0   ? (void)look.burst++
                : what == 1 ? (void)look.turn++
                : what == 2 ? (void)(look.nf ^= 1)
                            : (void)(look.doing ^= NF_DOING_PACKETS ^ NF_DOING_SESSIONS);
        }
    }
}

TEST(who_waits_for_another_lane_does_not_hang)
{
    struct hang_look look = call;
    struct hang hang = {0};

    look.waits = true;
    assert_int_equal(found_at(&hang, look, 100 * MS), 0);
    look.sleeps = true;
    assert_int_equal(found_at(&hang, look, 0), 0);
    look.waits = look.sleeps = false; /* it has what it waited for: from now on its time counts */
    assert_int_equal(found_at(&hang, look, 100 * MS), 6);
}
