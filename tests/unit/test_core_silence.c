/* SPDX-License-Identifier: Apache-2.0 */
/* The protocol core, told as stories: how long a silence makes a standby suspect its primary. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include "tests/help/core.h"

static struct tale b;

/* A READY standby that measures what counts once it has listened for a second. The peer's lease is 20 ms. */
static void reach_listening(void)
{
    reach_ready(&b, false);
    b.core.config.listen_ms = 1000;
}

static void primary_speaks(unsigned times, unsigned every_ms)
{
    for (unsigned i = 0; i < times; i++) {
        waits(&b, every_ms);
        hears(&b, FT_MSG_HEARTBEAT, FT_PROTECTED);
        is(&b, FT_READY);
    }
}

static void suspects_after(unsigned ms)
{
    waits(&b, ms - 1);
    is(&b, FT_READY);
    waits(&b, 1);
    is(&b, FT_SOLO);
    because(&b, "silence");
}

static void it_listens_first(void **unused)
{
    (void)unused;
    reach_listening();
    primary_speaks(190, 5);
    suspects_after(50);
}

static void a_number_in_the_file_is_that_number(void **unused)
{
    (void)unused;
    reach_ready(&b, false);
    primary_speaks(1000, 5);
    suspects_after(50);
}

static void no_sooner_than_twice_the_lease(void **unused)
{
    (void)unused;
    reach_listening();
    primary_speaks(200, 5);
    suspects_after(40);
}

static void three_times_the_longest_silence(void **unused)
{
    (void)unused;
    reach_listening();
    primary_speaks(1, 15);
    primary_speaks(200, 5);
    suspects_after(45);
}

static void the_silences_of_a_resync_count(void **unused)
{
    (void)unused;
    reach_listening();
    hears_at(&b, FT_MSG_SNAPSHOT_BEGIN, FT_SOLO, 5, b.sent);
    is(&b, FT_SYNCING);
    waits(&b, 14);
    hears(&b, FT_MSG_SNAPSHOT_END, FT_SOLO);
    hears_at(&b, FT_MSG_HOLDING, FT_DEGRADED, 10, b.sent);
    reaches(&b, FT_EV_LANES, 10);
    primary_speaks(200, 5);
    suspects_after(42);
}

static void no_later_than_detect(void **unused)
{
    (void)unused;
    reach_listening();
    primary_speaks(1, 19);
    primary_speaks(200, 5);
    suspects_after(50);
}

static void a_silence_is_forgotten_after_ten_minutes(void **unused)
{
    (void)unused;
    reach_listening();
    primary_speaks(1, 15);
    primary_speaks(2 * 60 * 9, 5);
    for (unsigned minute = 0; minute < 9; minute++)
        primary_speaks(60 * 200, 5);
    assert_int_equal(ft_core_detects(&b.core), 45 * FT_MS);
    for (unsigned minute = 0; minute < 2; minute++)
        primary_speaks(60 * 200, 5);
    suspects_after(40);
}

static void a_word_on_a_port_ends_it(void **unused)
{
    (void)unused;
    reach_listening();
    for (unsigned i = 0; i < 120; i++) { /* the link alone would be silent for 20 ms */
        waits(&b, 10);
        heartbeats(&b, 1);
        primary_speaks(1, 10);
    }
    suspects_after(40);
}

/* The ports, and a millisecond later the link, until it has listened. */
static void both_speak(void)
{
    for (unsigned i = 0; i < 240; i++) {
        waits(&b, 5);
        heartbeats(&b, 1);
        primary_speaks(1, 1);
    }
}

/* The measure is of both; the other one alone may be silent for longer, as when a link was cut. */
static void of_one_alone_it_is_what_the_file_says(void **unused)
{
    (void)unused;
    reach_listening();
    both_speak();
    for (unsigned i = 0; i < 7; i++) { /* the link is cut */
        waits(&b, 5);
        heartbeats(&b, 1);
        is(&b, FT_READY);
    }
    waits(&b, 31);
    assert_int_not_equal(b.core.state, FT_SOLO);
    heartbeats(&b, 1);
    assert_int_not_equal(b.core.state, FT_SOLO);
}

static void both_that_end_at_once_are_judged_by_the_measure(void **unused)
{
    (void)unused;
    reach_listening();
    both_speak();
    waits(&b, 5);
    heartbeats(&b, 1); /* a last one, on its way when the primary died */
    suspects_after(40);
}

/* This node's own sleep is no silence, neither where one is measured nor where one is judged. */
static void what_it_slept_is_no_silence(void **unused)
{
    (void)unused;
    reach_listening();
    primary_speaks(200, 5);
    for (unsigned i = 0; i < 10; i++) {
        sleeps(&b, 18);
        hears(&b, FT_MSG_HEARTBEAT, FT_PROTECTED);
    }
    assert_int_equal(ft_core_detects(&b.core), 40 * FT_MS);
    waits(&b, 27);
    sleeps(&b, 18);
    ticks(&b);
    is(&b, FT_READY);
    suspects_after(5);
}

/* A standby that gets its processor every 8 ms takes over all the same. */
static void gaps_delay_to_detect_ms_at_most(void **unused)
{
    (void)unused;
    reach_listening();
    primary_speaks(200, 5);
    for (unsigned i = 0; i < 6; i++) {
        sleeps(&b, 8);
        ticks(&b);
        is(&b, FT_READY);
    }
    suspects_after(2);
}

/* Steps when they are due, as a node at rest takes them, are no gaps. */
static void a_standby_at_rest_suspects_in_time(void **unused)
{
    uint64_t began;

    (void)unused;
    reach_listening();
    primary_speaks(200, 5);
    began = b.now;
    while (b.core.state == FT_READY && b.now < began + 60 * FT_MS) {
        b.now = ft_core_due(&b.core);
        ticks(&b);
    }
    is(&b, FT_SOLO);
    assert_int_equal(b.now - began, 40 * FT_MS);
    assert_int_equal(b.core.silence.longest_stall, 0);
}

/* The lease that must have ended is the primary's: of another version it may be longer than ours. */
static void the_lease_is_the_primarys(void **unused)
{
    (void)unused;
    reach_listening();
    primary_speaks(200, 5);
    loses(&b, FT_LOST_ERROR);
    connects(&b);
    waits(&b, 29);
    is(&b, FT_READY); /* nobody has said hello: it is that of before */
    b.hello.lease_ms = 24;
    hello_from(&b, FT_PROTECTED, 1);
    primary_speaks(1, 5);
    suspects_after(48);
}

static void reach_takeover(void)
{
    reach_listening();
    primary_speaks(200, 5);
    suspects_after(40);
    assert_int_equal(b.core.silence.false_takeovers, 0);
}

static void hears_of_old(void)
{
    struct ft_message m = {
        .type = FT_MSG_HEARTBEAT, .state = FT_PROTECTED, .view = 1, .sent = b.peer_now += 1000};
    struct ft_event event = {.kind = FT_EV_MESSAGE, .message = &m};

    event_happens(&b, &event);
}

static void a_primary_that_speaks_again_soon_had_not_failed(void **unused)
{
    (void)unused;
    reach_takeover();
    waits(&b, 9);
    hears_of_old();
    assert_int_equal(b.core.silence.false_takeovers, 1);
    waits(&b, 2);
    hears_of_old();
    assert_int_equal(b.core.silence.false_takeovers, 1);
    assert_int_equal(b.core.silence.longest, 49 * FT_MS);

    reach_takeover();
    waits(&b, 9);
    heartbeats(&b, 1);
    assert_int_equal(b.core.silence.false_takeovers, 1);
}

/* It has heard first that it was taken over from. */
static void nor_had_one_that_speaks_again_as_fenced(void **unused)
{
    (void)unused;
    reach_takeover();
    waits(&b, 9);
    hears_at(&b, FT_MSG_HEARTBEAT, FT_FENCED, 1, b.sent);
    assert_int_equal(b.core.silence.false_takeovers, 1);
}

static void one_that_speaks_again_late_had_failed(void **unused)
{
    (void)unused;
    reach_takeover();
    waits(&b, 20);
    hears_of_old();
    assert_int_equal(b.core.silence.false_takeovers, 0);
    assert_int_equal(b.core.silence.longest, 5 * FT_MS);
}

static void a_word_that_was_read_late_makes_no_takeover_false(void **unused)
{
    struct ft_event event = {.kind = FT_EV_PORT_HEARTBEAT, .view = 1};

    (void)unused;
    reach_takeover();
    event.came = b.now - 5 * FT_MS;
    waits(&b, 1);
    event_happens(&b, &event);
    assert_int_equal(b.core.silence.false_takeovers, 0);
}

static void a_process_that_is_new_makes_no_takeover_false(void **unused)
{
    (void)unused;
    reach_takeover();
    loses(&b, FT_LOST_ERROR);
    connects(&b);
    b.hello.incarnation = 201;
    hello_from(&b, FT_JOINING, 1);
    heartbeats(&b, 1);
    assert_int_equal(b.core.silence.false_takeovers, 0);
}

/* ---- more than detect_ms ----------------------------------------------------------------------- */

/* The same, where what is measured may ask for up to 80 ms. The right lasts for 100. */
static void reach_patient(void)
{
    reach_listening();
    b.core.config.detect_most_ms = 80;
}

static void it_grows_as_far_as_silences_ask(void **unused)
{
    (void)unused;
    reach_patient();
    primary_speaks(1, 19);
    primary_speaks(200, 5);
    assert_int_equal(ft_core_detects(&b.core), 57 * FT_MS);
    suspects_after(57);
}

static void and_no_further_than_the_most(void **unused)
{
    (void)unused;
    reach_patient();
    primary_speaks(1, 40);
    primary_speaks(200, 5);
    suspects_after(80);
}

static void a_standby_that_has_just_joined_knows_what_it_knew(void **unused)
{
    (void)unused;
    reach_patient();
    primary_speaks(1, 19);
    primary_speaks(2, 5);
    suspects_after(57);
}

/* Its own stall is no silence of the primary, but what a machine of this kind does. */
static void never_sooner_than_its_own_stalls(void **unused)
{
    (void)unused;
    reach_patient();
    primary_speaks(200, 5);
    sleeps(&b, 62);
    hears(&b, FT_MSG_HEARTBEAT, FT_PROTECTED);
    assert_int_equal(ft_core_detects(&b.core), 62 * FT_MS);
    sleeps(&b, 85); /* longer than any silence may be: nothing follows */
    hears(&b, FT_MSG_HEARTBEAT, FT_PROTECTED);
    assert_int_equal(ft_core_detects(&b.core), 62 * FT_MS);
    primary_speaks(3, 5);
    suspects_after(62);
}

static void its_stalls_are_forgotten_after_ten_minutes(void **unused)
{
    (void)unused;
    reach_patient();
    primary_speaks(200, 5);
    sleeps(&b, 62);
    for (unsigned minute = 0; minute < 11; minute++)
        primary_speaks(60 * 200, 5);
    assert_int_equal(ft_core_detects(&b.core), 40 * FT_MS);
}

static void a_false_takeover_doubles_what_silence_has_to_be(void **unused)
{
    (void)unused;
    reach_patient();
    primary_speaks(200, 5);
    suspects_after(40);
    assert_int_equal(ft_core_doubled(&b.core), 0);
    waits(&b, 39); /* sooner than the most */
    hears_of_old();
    assert_int_equal(b.core.silence.false_takeovers, 1);
    assert_int_equal(ft_core_doubled(&b.core), 1);
    b.core.config.detect_most_ms = 5000; /* see more of it */
    memset(b.core.silence.of, 0, sizeof(b.core.silence.of));
    b.core.silence.longest = 0;
    assert_int_equal(ft_core_detects(&b.core), 100 * FT_MS);
    waits(&b, 3599 * 1000);
    assert_int_equal(ft_core_doubled(&b.core), 1);
    waits(&b, 1000);
    assert_int_equal(ft_core_doubled(&b.core), 0);
    assert_int_equal(ft_core_detects(&b.core), 50 * FT_MS);
}

static void each_doubles_again_and_the_hour_begins_anew(void **unused)
{
    (void)unused;
    reach_protected(&b, false);
    b.core.config.listen_ms = 1000;
    b.core.config.detect_most_ms = 80;
    hears_view(&b, FT_SOLO, b.core.view + 1);
    is(&b, FT_JOINING);
    assert_int_equal(ft_core_doubled(&b.core), 1);
    reach_protected(&b, false);
    b.core.config.listen_ms = 1000;
    b.core.config.detect_most_ms = 80;
    b.core.silence.doubled = 1; /* half an hour ago */
    b.core.silence.doubled_at = b.core.now;
    waits(&b, 5);
    hears_view(&b, FT_SOLO, b.core.view + 1);
    assert_int_equal(ft_core_doubled(&b.core), 2);
}

/* It had failed, whatever it says now. */
static void a_primary_that_slept_for_long_was_taken_over_from_rightly(void **unused)
{
    (void)unused;
    reach_protected(&b, false);
    b.core.config.listen_ms = 1000;
    b.core.config.detect_most_ms = 80;
    sleeps(&b, 90);
    hears_view(&b, FT_READY, b.core.view);
    hears_view(&b, FT_SOLO, b.core.view + 1);
    is(&b, FT_JOINING);
    assert_int_equal(b.core.fenced.count, 1);
    assert_int_equal(ft_core_doubled(&b.core), 0);
}

static void a_number_in_the_file_is_never_doubled(void **unused)
{
    (void)unused;
    reach_protected(&b, false);
    hears_view(&b, FT_SOLO, b.core.view + 1);
    is(&b, FT_JOINING);
    assert_int_equal(ft_core_doubled(&b.core), 0);
    assert_int_equal(ft_core_detects(&b.core), 50 * FT_MS);
}

/* ---- the primary ------------------------------------------------------------------------------- */

static void a_lapse_of_the_lease_is_no_event_yet(void **unused)
{
    (void)unused;
    reach_protected(&b, false);
    b.core.config.degrade_ms = 30;
    waits(&b, 25);
    is(&b, FT_PROTECTED);
    hears_at(&b, FT_MSG_ACK, FT_READY, 10, b.sent);
    assert_int_equal(b.core.false_alarms, 0);
    waits(&b, 20); /* what it answered was said up to 10 ms before */
    is(&b, FT_PROTECTED);
    waits(&b, 10);
    is(&b, FT_DEGRADED);
    because(&b, "no answer from the standby for 30 ms");
    hears_at(&b, FT_MSG_ACK, FT_READY, 10, b.sent);
    is(&b, FT_PROTECTED);
    assert_int_equal(b.core.false_alarms, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_listens_first),
        cmocka_unit_test(a_number_in_the_file_is_that_number),
        cmocka_unit_test(no_sooner_than_twice_the_lease),
        cmocka_unit_test(three_times_the_longest_silence),
        cmocka_unit_test(the_silences_of_a_resync_count),
        cmocka_unit_test(no_later_than_detect),
        cmocka_unit_test(a_silence_is_forgotten_after_ten_minutes),
        cmocka_unit_test(a_word_on_a_port_ends_it),
        cmocka_unit_test(of_one_alone_it_is_what_the_file_says),
        cmocka_unit_test(both_that_end_at_once_are_judged_by_the_measure),
        cmocka_unit_test(what_it_slept_is_no_silence),
        cmocka_unit_test(gaps_delay_to_detect_ms_at_most),
        cmocka_unit_test(a_standby_at_rest_suspects_in_time),
        cmocka_unit_test(the_lease_is_the_primarys),
        cmocka_unit_test(a_primary_that_speaks_again_soon_had_not_failed),
        cmocka_unit_test(nor_had_one_that_speaks_again_as_fenced),
        cmocka_unit_test(one_that_speaks_again_late_had_failed),
        cmocka_unit_test(a_word_that_was_read_late_makes_no_takeover_false),
        cmocka_unit_test(a_process_that_is_new_makes_no_takeover_false),
        cmocka_unit_test(it_grows_as_far_as_silences_ask),
        cmocka_unit_test(and_no_further_than_the_most),
        cmocka_unit_test(a_standby_that_has_just_joined_knows_what_it_knew),
        cmocka_unit_test(never_sooner_than_its_own_stalls),
        cmocka_unit_test(its_stalls_are_forgotten_after_ten_minutes),
        cmocka_unit_test(a_false_takeover_doubles_what_silence_has_to_be),
        cmocka_unit_test(each_doubles_again_and_the_hour_begins_anew),
        cmocka_unit_test(a_primary_that_slept_for_long_was_taken_over_from_rightly),
        cmocka_unit_test(a_number_in_the_file_is_never_doubled),
        cmocka_unit_test(a_lapse_of_the_lease_is_no_event_yet),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("core_silence", tests, NULL, NULL);
}
