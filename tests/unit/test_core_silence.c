/* SPDX-License-Identifier: Apache-2.0 */
/* The protocol core, called directly (tests/help/tale.h): how long a silence makes a standby suspect its
 * primary. */
#include "tests/help/tale.h"

/* A READY standby that measures what counts once it has listened for a second. The peer's lease is 20 ms. */
static void reach_listening(void)
{
    reach_ready(false);
    t.core.config.listen_ms = 1000;
}

static void primary_speaks(unsigned times, unsigned every_ms)
{
    for (unsigned i = 0; i < times; i++) {
        waits(every_ms);
        hears(FT_MSG_HEARTBEAT, FT_PROTECTED);
        is(FT_READY);
    }
}

static void suspects_after(unsigned ms)
{
    waits(ms - 1);
    is(FT_READY);
    waits(1);
    is(FT_SOLO);
    because("silence");
}

TEST(three_times_the_longest_silence)
{
    reach_listening();
    primary_speaks(1, 15);
    primary_speaks(200, 5);
    suspects_after(45);
}

TEST(both_that_end_at_once_are_judged_by_the_measure)
{
    reach_listening();
    for (unsigned i = 0; i < 240; i++) { /* the ports, and a millisecond later the link */
        waits(5);
        heartbeats(1);
        primary_speaks(1, 1);
    }
    waits(5);
    heartbeats(1); /* a last one, on its way when the primary died */
    suspects_after(40);
}

/* A standby that gets its processor every 8 ms takes over all the same. */
TEST(gaps_delay_to_detect_ms_at_most)
{
    reach_listening();
    primary_speaks(200, 5);
    for (unsigned i = 0; i < 6; i++) {
        sleeps(8);
        happens(FT_EV_TIME);
        is(FT_READY);
    }
    suspects_after(2);
}

static void reach_takeover(void)
{
    reach_listening();
    primary_speaks(200, 5);
    suspects_after(40);
    assert_int_equal(t.core.silence.false_takeovers, 0);
}

TEST(a_primary_that_speaks_again_soon_had_not_failed)
{
    reach_takeover();
    waits(9);
    hears_of_old();
    assert_int_equal(t.core.silence.false_takeovers, 1);
    waits(2);
    hears_of_old();
    assert_int_equal(t.core.silence.false_takeovers, 1);
    assert_int_equal(t.core.silence.longest, 49 * FT_MS);

    reach_takeover();
    waits(9);
    heartbeats(1);
    assert_int_equal(t.core.silence.false_takeovers, 1);
}

TEST(one_that_speaks_again_late_had_failed)
{
    reach_takeover();
    waits(20);
    hears_of_old();
    assert_int_equal(t.core.silence.false_takeovers, 0);
    assert_int_equal(t.core.silence.longest, 5 * FT_MS);
}

/* Nor does one that came in the very moment of the takeover. */
TEST(a_word_that_was_read_late_makes_no_takeover_false)
{
    for (unsigned late = 0; late < 2; late++) {
        reach_takeover();
        uint64_t came = t.now - late * 5 * FT_MS;

        waits(1);
        EVENT(.kind = FT_EV_PORT_HEARTBEAT, .view = 1, .came = came);
        assert_int_equal(t.core.silence.false_takeovers, 0);
    }
}

TEST(its_stalls_are_forgotten_after_ten_minutes)
{
    reach_listening();
    t.core.config.detect_most_ms = 80;
    primary_speaks(200, 5);
    sleeps(62);
    for (unsigned minute = 0; minute < 11; minute++)
        primary_speaks(60 * 200, 5);
    assert_int_equal(ft_core_detects(&t.core), 40 * FT_MS);
}

TEST(a_false_takeover_doubles_what_silence_has_to_be)
{
    reach_listening();
    t.core.config.detect_most_ms = 80;
    primary_speaks(200, 5);
    suspects_after(40);
    assert_int_equal(ft_core_doubled(&t.core), 0);
    waits(39); /* sooner than the most */
    hears_of_old();
    assert_int_equal(t.core.silence.false_takeovers, 1);
    assert_int_equal(ft_core_doubled(&t.core), 1);
    t.core.config.detect_most_ms = 5000; /* see more of it */
    memset(t.core.silence.of, 0, sizeof(t.core.silence.of));
    t.core.silence.longest = 0;
    assert_int_equal(ft_core_detects(&t.core), 100 * FT_MS);
    waits(3599 * 1000);
    assert_int_equal(ft_core_doubled(&t.core), 1);
    waits(1000);
    assert_int_equal(ft_core_doubled(&t.core), 0);
    assert_int_equal(ft_core_detects(&t.core), 50 * FT_MS);
}

/* It had failed, whatever it says now. */
TEST(a_primary_that_slept_for_long_was_taken_over_from_rightly)
{
    reach_protected(false);
    t.core.config.listen_ms = 1000;
    t.core.config.detect_most_ms = 80;
    sleeps(90);
    hears_view(FT_READY, t.core.view);
    hears_view(FT_SOLO, t.core.view + 1);
    is(FT_JOINING);
    assert_int_equal(t.core.fenced.count, 1);
    assert_int_equal(ft_core_doubled(&t.core), 0);
}
