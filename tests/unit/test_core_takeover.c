/* SPDX-License-Identifier: Apache-2.0 */
/* The protocol core, told as stories: a standby's rights and taking over. */
#include "tests/help/core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

static struct tale b;

/* ---- taking over ------------------------------------------------------------------------------- */

static void is_primary_in_view(uint64_t view, const char *why)
{
    is(&b, FT_SOLO);
    because(&b, why);
    assert_int_equal(did(&b, FT_ACT_VIEW)->view, view);
    ordered(&b, FT_LANE_LIVE);
    assert_int_equal(did(&b, FT_ACT_ORDER)->vector[0], 10);
    assert_true(position(&b, FT_ACT_VIEW) < position(&b, FT_ACT_ORDER));
    assert_true(position(&b, FT_ACT_ORDER) < position(&b, FT_ACT_ANNOUNCE));
}

static void silence_of_link_and_ports_is_death(void **unused)
{
    (void)unused;
    reach_ready(&b, false);
    waits(&b, 49);
    is(&b, FT_READY);
    waits(&b, 1);
    is_primary_in_view(2, "silence");
    assert_int_equal(said(&b, FT_MSG_HEARTBEAT)->view, 2); /* on its way before anything leaves */
}

static void a_port_that_beats_is_no_silence(void **unused)
{
    (void)unused;
    reach_ready(&b, false);
    for (unsigned i = 0; i < 10; i++) {
        is(&b, FT_READY);
        waits(&b, 10);
        happens(&b, FT_EV_PORT_HEARTBEAT);
    }
    is(&b, FT_READY);
    waits(&b, 1); /* but nobody answered */
    is(&b, FT_JOINING);
    because(&b, "right to promote has ended");
}

static void a_link_that_speaks_is_no_silence(void **unused)
{
    (void)unused;
    reach_ready(&b, false);
    for (unsigned i = 0; i < 50; i++) {
        waits(&b, 10);
        hears(&b, FT_MSG_HEARTBEAT, FT_PROTECTED);
        assert_int_equal(said(&b, FT_MSG_HEARTBEAT)->state, FT_READY); /* what the lease lives on */
        assert_true(ft_core_due(&b.core) > b.now);
    }
    is(&b, FT_READY);
}

static void a_reset_and_the_death_notice_are_death_at_once(void **unused)
{
    (void)unused;
    reach_ready(&b, false);
    loses(&b, FT_LOST_EOF);
    is_primary_in_view(2, "closed its connection");
    reach_ready(&b, false);
    loses(&b, FT_LOST_RESET);
    is_primary_in_view(2, "reset its connection");
    reach_ready(&b, false);
    word_of(&b, 999);
    is(&b, FT_READY);
    word_of(&b, 200);
    is_primary_in_view(2, "death notice");
    word_of(&b, 200); /* they come in threes */
    because(&b, "death notice");
    assert_int_equal(b.did.count, 0);
}

static void a_broken_connection_alone_is_no_death(void **unused)
{
    (void)unused;
    reach_ready(&b, false);
    loses(&b, FT_LOST_ERROR);
    is(&b, FT_READY);
    word_of(&b, 200);
    is_primary_in_view(2, "death notice");

    reach_ready(&b, false);
    loses(&b, FT_LOST_ERROR);
    waits(&b, 49);
    is(&b, FT_READY);
    waits(&b, 1);
    is_primary_in_view(2, "silence");
}

static void the_right_survives_a_reconnect_and_so_does_a_port_beat(void **unused)
{
    (void)unused;
    reach_ready(&b, false);
    loses(&b, FT_LOST_ERROR);
    waits(&b, 40);
    happens(&b, FT_EV_PORT_HEARTBEAT);
    waits(&b, 15);
    connects(&b);
    ticks(&b);
    is(&b, FT_READY);
    hello_from(&b, FT_DEGRADED, 1);
    is(&b, FT_READY);
    loses(&b, FT_LOST_EOF);
    is_primary_in_view(2, "closed its connection");
}

static void without_the_right_it_joins(void **unused)
{
    (void)unused;
    reach_ready(&b, false);
    sleeps(&b, 101);
    loses(&b, FT_LOST_EOF);
    is(&b, FT_JOINING);
    did(&b, FT_ACT_CLEAR);

    reach_ready(&b, false);
    sleeps(&b, 101);
    word_of(&b, 200);
    is(&b, FT_READY);
    request(&b, FT_REQUEST_PROMOTE);
    is(&b, FT_READY);
    hears_at(&b, FT_MSG_HANDOVER, FT_FENCED, 10, 0);
    is(&b, FT_READY);
    ticks(&b);
    is(&b, FT_JOINING);
}

static void a_standby_that_slept_does_not_act_on_the_silence(void **unused)
{
    (void)unused;
    reach_ready(&b, false);
    sleeps(&b, 45);
    ticks(&b);
    waits(&b, 49);
    is(&b, FT_READY);
    waits(&b, 1);
    is_primary_in_view(2, "silence");
}

static void a_primary_that_goes_on_alone_ends_the_right(void **unused)
{
    (void)unused;
    reach_ready(&b, false);
    hears(&b, FT_MSG_HEARTBEAT, FT_SOLO);
    is(&b, FT_JOINING);
    loses(&b, FT_LOST_EOF);
    is(&b, FT_JOINING);
}

static void a_primary_that_came_back_empty_has_died(void **unused)
{
    (void)unused;
    reach_ready(&b, false);
    loses(&b, FT_LOST_ERROR);
    connects(&b);
    b.hello.incarnation = 201;
    hello_from(&b, FT_JOINING, 1);
    is_primary_in_view(2, "started anew");
    did(&b, FT_ACT_CUT); /* and is the standby now */

    tale_begin(&b, 0, 1, false);
    connects(&b);
    hello_from(&b, FT_READY, 1); /* not yet decided over there */
    waits(&b, 100);
    is(&b, FT_JOINING);
    hears_view(&b, FT_SOLO, 2);
    assert_int_equal(did(&b, FT_ACT_VIEW)->view, 2);
    hears(&b, FT_MSG_SNAPSHOT_BEGIN, FT_SOLO);
    is(&b, FT_SYNCING);
}

/* Whoever stands at the peer's address and says its old hello is nobody until it answers ours. */
static void a_hello_of_old_means_nothing(void **unused)
{
    uint64_t asked;

    (void)unused;
    reach_ready(&b, false);
    loses(&b, FT_LOST_ERROR);
    connects(&b);
    asked = said(&b, FT_MSG_HELLO)->sent;
    b.hello.incarnation = 201;
    hello_of_old(&b, FT_JOINING, 1);
    is(&b, FT_READY);
    assert_int_equal(b.core.peer.incarnation, 200);
    hears_at(&b, FT_MSG_HEARTBEAT, FT_JOINING, 0, asked - 1);
    is(&b, FT_READY);
    loses(&b, FT_LOST_EOF); /* nor is its going the peer's death */
    is(&b, FT_READY);
    connects(&b);
    b.hello.incarnation = 200;
    hello_from(&b, FT_DEGRADED, 1);
    is(&b, FT_READY);

    reach_protected(&b, false);
    loses(&b, FT_LOST_ERROR);
    is(&b, FT_DEGRADED);
    connects(&b);
    hello_of_old(&b, FT_JOINING, 0);
    said(&b, FT_MSG_HEARTBEAT); /* what the true one would answer to, had it not had our hello */
    is(&b, FT_DEGRADED);
    loses(&b, FT_LOST_RESET);
    is(&b, FT_DEGRADED);
    connects(&b);
    asked = said(&b, FT_MSG_HELLO)->sent;
    hello_of_old(&b, FT_JOINING, 0);
    hears_at(&b, FT_MSG_HEARTBEAT, FT_JOINING, 0, asked);
    is(&b, FT_SOLO);
}

/* Another process's hello beside a connection that stands was answered there already. */
static void a_hello_said_ahead_is_not_said_again(void **unused)
{
    struct ft_message m;
    struct ft_event event = {.kind = FT_EV_CONNECTED};

    (void)unused;
    reach_ready(&b, false);
    ft_core_hello(&b.core, b.now, &m);
    assert_int_equal(m.incarnation, b.config.incarnation);
    loses(&b, FT_LOST_ERROR);
    b.now = 5 * FT_MS;
    event.greeted = m.sent;
    event_happens(&b, &event);
    did_not(&b, FT_ACT_SEND);
    b.hello.incarnation = 201;
    hello_of_old(&b, FT_JOINING, 1);
    is(&b, FT_READY);
    hears_at(&b, FT_MSG_HEARTBEAT, FT_JOINING, 0, m.sent);
    is_primary_in_view(2, "started anew");
}

static void what_cannot_be_is_malformed(void **unused)
{
    (void)unused;
    reach_ready(&b, false);
    hears_at(&b, FT_MSG_HEARTBEAT, FT_PROTECTED, 0, b.sent + 1);
    is(&b, FT_JOINING);
    because(&b, "it echoes");
    did(&b, FT_ACT_CLOSE);
}

/* The last of the replay is told with the next answer, or an idle pair would show a lag for ever. */
static void what_was_replayed_last_is_told_with_the_next_answer(void **unused)
{
    (void)unused;
    reach_ready(&b, false);
    b.closed = 12;
    happens(&b, FT_EV_LANES);
    assert_int_equal(said(&b, FT_MSG_ACK)->burst[0], 12);
    b.replayed = 12;
    happens(&b, FT_EV_LANES);
    assert_int_equal(b.did.count, 0);
    hears(&b, FT_MSG_HEARTBEAT, FT_PROTECTED);
    assert_int_equal(said(&b, FT_MSG_ACK)->replayed[0], 12);
    hears(&b, FT_MSG_HEARTBEAT, FT_PROTECTED);
    said(&b, FT_MSG_HEARTBEAT);
}

/* What was replayed is told soon: a primary that waits for the standby to catch up has nothing to say that
 * could be answered. */
static void what_was_replayed_is_told_soon(void **unused)
{
    (void)unused;
    reach_ready(&b, false);
    b.closed = 12;
    happens(&b, FT_EV_LANES);
    assert_int_equal(said(&b, FT_MSG_ACK)->burst[0], 12);
    b.replayed = 11;
    happens(&b, FT_EV_LANES);
    assert_int_equal(b.did.count, 0);
    b.now += 250000;
    happens(&b, FT_EV_TIME);
    assert_int_equal(said(&b, FT_MSG_ACK)->replayed[0], 11);
    b.replayed = 12;
    happens(&b, FT_EV_LANES);
    assert_int_equal(b.did.count, 0);
    b.now += 250000;
    happens(&b, FT_EV_LANES);
    assert_int_equal(said(&b, FT_MSG_ACK)->replayed[0], 12);
    b.now += 250000;
    happens(&b, FT_EV_TIME); /* all is told */
    assert_int_equal(b.did.count, 0);
}

static void the_next_takeover_works_like_the_first(void **unused)
{
    (void)unused;
    reach_ready(&b, false);
    loses(&b, FT_LOST_EOF);
    connects(&b);
    b.hello.incarnation = 201;
    hello_from(&b, FT_JOINING, 1);
    reaches(&b, FT_EV_CUT, 20);
    hears(&b, FT_MSG_HEARTBEAT, FT_SYNCING);
    happens(&b, FT_EV_SNAPSHOT_SENT);
    hears_at(&b, FT_MSG_ACK, FT_SYNCING, 20, b.sent);
    reaches(&b, FT_EV_GUARDED, 22);
    hears_at(&b, FT_MSG_ACK, FT_READY, 22, b.sent);
    is(&b, FT_PROTECTED);
    hears_view(&b, FT_SOLO, 3);
    is(&b, FT_JOINING);
    hears(&b, FT_MSG_SNAPSHOT_BEGIN, FT_SOLO);
    is(&b, FT_SYNCING);
    assert_int_equal(b.core.view, 3);
    loses(&b, FT_LOST_EOF); /* half a snapshot is no state */
    is(&b, FT_JOINING);
}

static void a_replay_that_diverged_gives_up(void **unused)
{
    (void)unused;
    reach_ready(&b, false);
    happens(&b, FT_EV_DIVERGED);
    is(&b, FT_JOINING);
    because(&b, "replay differs at burst 7");
    assert_int_equal(said(&b, FT_MSG_HEARTBEAT)->state, FT_JOINING);

    reach_protected(&b, false);
    hears(&b, FT_MSG_HEARTBEAT, FT_JOINING);
    is(&b, FT_SOLO);
    did(&b, FT_ACT_CUT);
}

/* A chunk of a delta, or a burst that waits for one of another lane: the primary may wait to hear that it
 * came. */
static void what_came_and_closed_nothing_is_answered_as_well(void **unused)
{
    (void)unused;
    reach_ready(&b, false);
    hears(&b, FT_MSG_LOG, FT_PROTECTED);
    did_not(&b, FT_ACT_SEND);
    reaches(&b, FT_EV_LANES, 10);
    assert_int_equal(said(&b, FT_MSG_ACK)->echo, b.peer_now);
    happens(&b, FT_EV_LANES);
    did_not(&b, FT_ACT_SEND);
}

static void what_lanes_reached_counts_before_the_event_that_tells_of_it(void **unused)
{
    struct ft_event event = {.kind = FT_EV_LOST, .how = FT_LOST_EOF, .reached = true, .closed = {12}};

    (void)unused;
    reach_ready(&b, false);
    event_happens(&b, &event);
    assert_int_equal(did(&b, FT_ACT_ORDER)->vector[0], 12); /* burst 10 was told before */
}

/*
 * The protocol core of a pair whose standby is warm: it stores, and replays only when it takes over. So what
 * is stored counts where a hot standby must have replayed. And a resync that lanes ask for.
 */

static struct tale a;

static void begin(unsigned role, bool warm)
{
    tale_begin(&a, role, 0, false);
    a.config.warm = warm;
    tale_begin_anew(&a);
    a.hello.warm = warm;
    connects(&a);
    hello_from(&a, FT_JOINING, 0);
}

static void stores(uint64_t closed)
{
    a.closed = closed;
    a.replayed = 5;
    happens(&a, FT_EV_LANES);
}

/* A standby with a snapshot of burst 5, which nothing has been replayed behind, told that H is 10. */
static void reach_hold(bool warm)
{
    begin(1, warm);
    hears_view(&a, FT_SOLO, 1);
    hears_at(&a, FT_MSG_SNAPSHOT_BEGIN, FT_SOLO, 5, a.sent);
    hears(&a, FT_MSG_SNAPSHOT_END, FT_SOLO);
    hears_at(&a, FT_MSG_HOLDING, FT_DEGRADED, 10, a.sent);
    is(&a, FT_SYNCING);
}

static void what_is_stored_makes_ready(void **unused)
{
    (void)unused;
    reach_hold(true);
    stores(9);
    is(&a, FT_SYNCING);
    stores(10);
    is(&a, FT_READY);
    because(&a, "stored all that left before outputs were held");
    assert_int_equal(said(&a, FT_MSG_ACK)->burst[0], 10);
    assert_int_equal(said(&a, FT_MSG_ACK)->replayed[0], 5);
    reach_hold(false);
    stores(10);
    is(&a, FT_SYNCING);
}

/* The takeover has the lanes replay all of it. */
static void a_takeover_replays_what_is_stored(void **unused)
{
    (void)unused;
    reach_hold(true);
    stores(10);
    hears(&a, FT_MSG_HEARTBEAT, FT_PROTECTED);
    stores(40);
    loses(&a, FT_LOST_EOF);
    is(&a, FT_SOLO);
    ordered(&a, FT_LANE_LIVE);
    assert_int_equal(did(&a, FT_ACT_ORDER)->vector[0], 40);
}

static void a_handover_waits_for_what_is_stored(void **unused)
{
    (void)unused;
    reach_hold(true);
    stores(10);
    hears(&a, FT_MSG_HEARTBEAT, FT_PROTECTED);
    hears_at(&a, FT_MSG_HANDOVER, FT_FENCED, 12, a.sent);
    stores(11);
    is(&a, FT_READY);
    stores(12);
    is(&a, FT_SOLO);
    because(&a, "planned");
}

static void acks(enum ft_state state, uint64_t closed, uint64_t replayed)
{
    struct ft_message m = {
        .type = FT_MSG_ACK, .state = state, .view = a.core.view, .echo = a.sent, .sent = a.peer_now += 1000};
    struct ft_event event = {.kind = FT_EV_MESSAGE, .message = &m};

    m.burst[0] = closed;
    m.replayed[0] = replayed;
    event_happens(&a, &event);
}

static void reach_catching_up(bool warm)
{
    begin(0, warm);
    is(&a, FT_SOLO);
    reaches(&a, FT_EV_CUT, 5);
    hears(&a, FT_MSG_HEARTBEAT, FT_SYNCING);
    happens(&a, FT_EV_SNAPSHOT_SENT);
    reaches(&a, FT_EV_LANES, 1000);
}

static void the_primary_counts_what_is_stored(void **unused)
{
    (void)unused;
    reach_catching_up(true);
    acks(FT_SYNCING, 900, 5);
    is(&a, FT_SOLO); /* a hundred behind is too far to hold for */
    acks(FT_SYNCING, 1000, 5);
    is(&a, FT_DEGRADED);
    gate_is(&a, FT_GATE_GUARDED);
    reaches(&a, FT_EV_GUARDED, 1010);
    acks(FT_READY, 1009, 5);
    is(&a, FT_DEGRADED);
    acks(FT_READY, 1010, 5);
    is(&a, FT_PROTECTED);
    assert_int_equal(did(&a, FT_ACT_GATE)->vector[0], 1010);

    reach_catching_up(false);
    acks(FT_SYNCING, 1000, 5);
    is(&a, FT_SOLO);
}

static void a_resync_says_who_asked_for_it(void **unused)
{
    struct ft_event event = {
        .kind = FT_EV_REQUEST, .request = FT_REQUEST_RESYNC, .text = "the next delta is too large"};

    (void)unused;
    reach_protected(&a, false);
    event_happens(&a, &event);
    is(&a, FT_DEGRADED);
    because(&a, "the next delta is too large");
    did(&a, FT_ACT_NO_SNAPSHOT);
    did(&a, FT_ACT_CUT);
    reach_protected(&a, false);
    request(&a, FT_REQUEST_RESYNC);
    because(&a, "resync asked for");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(silence_of_link_and_ports_is_death),
        cmocka_unit_test(a_port_that_beats_is_no_silence),
        cmocka_unit_test(a_link_that_speaks_is_no_silence),
        cmocka_unit_test(a_reset_and_the_death_notice_are_death_at_once),
        cmocka_unit_test(a_broken_connection_alone_is_no_death),
        cmocka_unit_test(the_right_survives_a_reconnect_and_so_does_a_port_beat),
        cmocka_unit_test(without_the_right_it_joins),
        cmocka_unit_test(a_standby_that_slept_does_not_act_on_the_silence),
        cmocka_unit_test(a_primary_that_goes_on_alone_ends_the_right),
        cmocka_unit_test(a_primary_that_came_back_empty_has_died),
        cmocka_unit_test(a_hello_of_old_means_nothing),
        cmocka_unit_test(a_hello_said_ahead_is_not_said_again),
        cmocka_unit_test(what_cannot_be_is_malformed),
        cmocka_unit_test(what_was_replayed_last_is_told_with_the_next_answer),
        cmocka_unit_test(what_was_replayed_is_told_soon),
        cmocka_unit_test(the_next_takeover_works_like_the_first),
        cmocka_unit_test(a_replay_that_diverged_gives_up),
        cmocka_unit_test(what_came_and_closed_nothing_is_answered_as_well),
        cmocka_unit_test(what_lanes_reached_counts_before_the_event_that_tells_of_it),
        cmocka_unit_test(what_is_stored_makes_ready),
        cmocka_unit_test(a_takeover_replays_what_is_stored),
        cmocka_unit_test(a_handover_waits_for_what_is_stored),
        cmocka_unit_test(the_primary_counts_what_is_stored),
        cmocka_unit_test(a_resync_says_who_asked_for_it),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("core_takeover", tests, NULL, NULL);
}
