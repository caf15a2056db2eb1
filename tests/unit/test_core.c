/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The protocol core, called directly (tests/help/tale.h): what the two cores of tests/transcripts cannot
 * tell, or not so exactly, of two nodes that meet, and of a standby and its primary.
 */
#include "tests/help/tale.h"

/* ---- meeting, and what is said of it --------------------------------------------------------------- */

/* A hello goes ahead of what is read of the connection before; the peer decides by that hello, and so must
 * we. */
TEST(who_was_heard_as_another_waits_to_be_heard)
{
    struct ft_event event = {.kind = FT_EV_CONNECTED};
    struct ft_message m;

    tale_begin(0, 1, false);
    connects();
    hello_from(FT_SOLO, 1);
    ft_core_hello(&t.core, t.now, &m); /* to its next process, that we are JOINING in view 1 */
    event.greeted = m.sent;
    hears_view(FT_SOLO, 3);
    loses(FT_LOST_EOF);
    assert_int_equal(t.core.view, 3);
    event_happens(&event);
    t.hello.incarnation = 201;
    hello_of_old(FT_JOINING, 3);
    hears_at(FT_MSG_HEARTBEAT, FT_JOINING, 0, m.sent); /* in view 3 it reigns over one in view 1 */
    is(FT_JOINING);
    hears_view(FT_JOINING, 3);
    is(FT_SOLO);
}

/* It serves on for the reason that it had, and says besides whom it refuses, and why. */
TEST(a_primary_says_in_what_its_standby_differs)
{
    reach_protected(false);
    loses(FT_LOST_EOF);
    is(FT_SOLO);
    connects();
    t.hello.lanes = 2;
    hello_from(FT_JOINING, 1);
    is(FT_SOLO);
    because("standby right lost: the peer closed the connection");
    assert_string_equal(t.core.differs, "lanes: left 1, right 2");
    assert_int_equal(did(FT_ACT_STATE)->event, FT_SAYS_REFUSED);
    assert_int_equal(did(FT_ACT_STATE)->send.state, FT_SOLO);
    assert_string_equal(did(FT_ACT_STATE)->send.text, "the peer differs: lanes: left 1, right 2");
    loses(FT_LOST_EOF);
    assert_string_equal(t.core.differs, "lanes: left 1, right 2"); /* as it was heard last */
    connects();
    t.hello.lanes = 1;
    hello_from(FT_JOINING, 1);
    assert_string_equal(t.core.differs, "");
}

/* ---- a standby, and its primary -------------------------------------------------------------------- */

/* What was replayed is told soon: a primary that waits for the standby to catch up has nothing to say that
 * could be answered. */
TEST(what_was_replayed_is_told_soon)
{
    reach_ready(false);
    t.closed = 12;
    happens(FT_EV_LANES);
    assert_int_equal(said(FT_MSG_ACK)->burst[0], 12);
    t.replayed = 11;
    happens(FT_EV_LANES);
    assert_int_equal(t.did.count, 0);
    t.now += 250000;
    happens(FT_EV_TIME);
    assert_int_equal(said(FT_MSG_ACK)->replayed[0], 11);
    t.replayed = 12;
    happens(FT_EV_LANES);
    assert_int_equal(t.did.count, 0);
    t.now += 250000;
    happens(FT_EV_LANES);
    assert_int_equal(said(FT_MSG_ACK)->replayed[0], 12);
    t.now += 250000;
    happens(FT_EV_TIME); /* all is told */
    assert_int_equal(t.did.count, 0);
}

/* A chunk of a delta, or a burst that waits for one of another lane: the primary may wait to hear that it
 * came. */
TEST(what_came_and_closed_nothing_is_answered_as_well)
{
    reach_ready(false);
    hears(FT_MSG_LOG, FT_PROTECTED);
    did_not(FT_ACT_SEND);
    reaches(FT_EV_LANES, 10);
    assert_int_equal(said(FT_MSG_ACK)->echo, t.peer_now);
    happens(FT_EV_LANES);
    did_not(FT_ACT_SEND);
}

TEST(a_snapshot_ends_once)
{
    reach_ready(false);
    hears(FT_MSG_SNAPSHOT_END, FT_PROTECTED);
    did_not(FT_ACT_ORDER);
}

TEST(what_lanes_reached_counts_before_the_event_that_tells_of_it)
{
    struct ft_event event = {.kind = FT_EV_LOST, .how = FT_LOST_EOF, .reached = true, .closed = {12}};

    reach_ready(false);
    event_happens(&event);
    assert_int_equal(did(FT_ACT_ORDER)->vector[0], 12); /* burst 10 was told before */
}

/* Its clock ran ahead, and nothing arrives. The standby may have its right still, and would take a connection
 * that is closed for our end. */
TEST(a_primary_whose_clock_ran_ahead_tells_its_standby_before_it_closes)
{
    reach_protected(false);
    sleeps(900);
    for (unsigned i = 0; i < 60 && !t.core.abandoning; i++) {
        waits(1);
        did_not(FT_ACT_CLOSE);
    }
    is(FT_DEGRADED);
    because("abandoning the connection: nothing arrives");
    hears(FT_MSG_ABANDONED, FT_JOINING);
    is(FT_SOLO);
}

/* A partition held HANDOVER back until the right had ended; what came behind it brought the right again. */
TEST(a_handover_that_came_late_is_taken)
{
    reach_ready(false);
    uint64_t before = t.sent;

    hears(FT_MSG_STEER, FT_PROTECTED);
    reaches(FT_EV_LANES, 12);
    sleeps(150);
    hears_at(FT_MSG_HEARTBEAT, FT_PROTECTED, 0, before);
    hears_at(FT_MSG_HANDOVER, FT_FENCED, 12, before);
    is(FT_READY);
    hears(FT_MSG_HEARTBEAT, FT_FENCED);
    waits(1);
    is(FT_SOLO);
    because("planned");
}

/* What the ports still held was executed, and no turn of the lanes told of it. */
TEST(who_goes_on_after_a_handover_has_what_was_drained)
{
    reach_protected(false);
    EVENT(.kind = FT_EV_REQUEST, .request = FT_REQUEST_HANDOVER);
    hears(FT_MSG_STEERED, FT_READY);
    reaches(FT_EV_DRAINED, 12);
    hears(FT_MSG_HEARTBEAT, FT_JOINING); /* it gave up */
    is(FT_SOLO);
    assert_int_equal(did(FT_ACT_ORDER)->vector[0], 12);
}

/* It was read after 45 ms of silence, and came 5 ms after the last word. */
TEST(what_is_read_late_puts_silence_off_by_when_it_came)
{
    uint64_t came;

    reach_ready(false);
    came = t.now + 5 * FT_MS;
    waits(45);
    EVENT(.kind = FT_EV_PORT_HEARTBEAT, .view = 1, .came = came);
    waits(9);
    is(FT_READY);
    waits(2);
    is(FT_SOLO);
    because("silence");
}
