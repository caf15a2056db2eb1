/* SPDX-License-Identifier: Apache-2.0 */
/* The protocol core, told as stories: closing a connection, and handing over. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "tests/help/core.h"

static struct tale b;

/* ---- closing ----------------------------------------------------------------------------------- */

static void a_primary_closes_only_when_the_right_is_gone(void **unused)
{
    (void)unused;
    reach_protected(&b, false);
    malformed(&b);
    is(&b, FT_DEGRADED);
    gate_is(&b, FT_GATE_SHUT);
    said(&b, FT_MSG_ABANDON);
    did(&b, FT_ACT_NO_SNAPSHOT);
    did_not(&b, FT_ACT_CLOSE);
    hears(&b, FT_MSG_HEARTBEAT, FT_READY);
    is(&b, FT_DEGRADED);
    hears(&b, FT_MSG_ABANDONED, FT_JOINING);
    did(&b, FT_ACT_CLOSE);
    is(&b, FT_SOLO);
    malformed(&b); /* nobody has rights beside a SOLO primary */
    did(&b, FT_ACT_CLOSE);

    reach_protected(&b, false);
    malformed(&b);
    waits(&b, 199);
    is(&b, FT_DEGRADED);
    waits(&b, 1);
    did(&b, FT_ACT_CLOSE);
    is(&b, FT_SOLO);
}

/*
 * On a connection without a hello nobody believes anybody: the standby would not hear that it is abandoned,
 * and takes no end for our death. It may connect again, before it takes the silence for that.
 */
static void garbage_in_place_of_a_hello_ends_the_connection(void **unused)
{
    (void)unused;
    reach_protected(&b, false);
    loses(&b, FT_LOST_ERROR);
    connects(&b);
    malformed(&b);
    did(&b, FT_ACT_CLOSE);
    did_not(&b, FT_ACT_GATE);
    is(&b, FT_DEGRADED); /* and nothing opens the gate: the standby may take over yet */
    connects(&b);
    hello_from(&b, FT_READY, 1);
    hears(&b, FT_MSG_HEARTBEAT, FT_READY);
    malformed(&b);
    said(&b, FT_MSG_ABANDON);
}

/* The link throws away what comes after garbage, the answer too; but not the end of the connection. */
static void the_end_of_an_abandoned_connection_is_the_answer(void **unused)
{
    (void)unused;
    reach_protected(&b, false);
    malformed(&b);
    waits(&b, 2);
    loses(&b, FT_LOST_EOF);
    is(&b, FT_SOLO);
    gate_is(&b, FT_GATE_SOLO);

    reach_protected(&b, false);
    malformed(&b);
    waits(&b, 2);
    loses(&b, FT_LOST_ERROR); /* says nothing */
    is(&b, FT_DEGRADED);

    reach_protected(&b, false);
    malformed(&b);
    sleeps(&b, 21); /* it may have reigned, unheard, and died */
    loses(&b, FT_LOST_RESET);
    is(&b, FT_DEGRADED);
    connects(&b);
    hello_from(&b, FT_JOINING, 1);
    is(&b, FT_SOLO);

    reach_protected(&b, true);
    malformed(&b);
    loses(&b, FT_LOST_EOF);
    is(&b, FT_DEGRADED);
}

static void a_standby_gives_up_before_the_connection_ends(void **unused)
{
    (void)unused;
    reach_ready(&b, false);
    hears(&b, FT_MSG_ABANDON, FT_DEGRADED);
    is(&b, FT_JOINING);
    assert_int_equal(said(&b, FT_MSG_ABANDONED)->state, FT_JOINING);
    assert_true(position(&b, FT_ACT_CLEAR) < position(&b, FT_ACT_CLOSE));
    loses(&b, FT_LOST_EOF);
    is(&b, FT_JOINING);

    reach_ready(&b, false);
    malformed(&b);
    is(&b, FT_JOINING);
    assert_true(position(&b, FT_ACT_STATE) < position(&b, FT_ACT_CLOSE));
    assert_true(position(&b, FT_ACT_CLEAR) < position(&b, FT_ACT_CLOSE));
}

/* ---- handing over ------------------------------------------------------------------------------ */

static void drains(void)
{
    reach_protected(&b, false);
    request(&b, FT_REQUEST_HANDOVER);
    assert_int_equal(said(&b, FT_MSG_STEER)->number, 1);
    hears(&b, FT_MSG_STEERED, FT_READY);
    ordered(&b, FT_LANE_DRAIN);
}

static void gives(void)
{
    drains();
    reaches(&b, FT_EV_DRAINED, 12);
    is(&b, FT_FENCED);
    gate_is(&b, FT_GATE_SHUT);
    ordered(&b, FT_LANE_FENCED);
    assert_int_equal(said(&b, FT_MSG_HANDOVER)->burst[0], 12);
}

/* A partition held HANDOVER back until the right had ended; what came behind it brought the right again. */
static void a_handover_that_came_late_is_taken(void **unused)
{
    (void)unused;
    reach_ready(&b, false);
    uint64_t before = b.sent;

    hears(&b, FT_MSG_STEER, FT_PROTECTED);
    reaches(&b, FT_EV_LANES, 12);
    sleeps(&b, 150);
    hears_at(&b, FT_MSG_HEARTBEAT, FT_PROTECTED, 0, before);
    hears_at(&b, FT_MSG_HANDOVER, FT_FENCED, 12, before);
    is(&b, FT_READY);
    hears(&b, FT_MSG_HEARTBEAT, FT_FENCED);
    waits(&b, 1);
    is(&b, FT_SOLO);
    because(&b, "planned");
}

/* A frame whose length was damaged makes a connection deaf; who has handed over must hear what became of it.
 */
static void who_has_handed_over_leaves_a_deaf_connection(void **unused)
{
    (void)unused;
    gives();
    waits(&b, 799);
    did_not(&b, FT_ACT_CLOSE);
    waits(&b, 1);
    did(&b, FT_ACT_CLOSE);
    is(&b, FT_FENCED);
    connects(&b);
    hello_from(&b, FT_DEGRADED, 2);
    is(&b, FT_JOINING);
    because(&b, "handed over to view 2");
}

static void a_planned_handover_fences_the_primary_and_the_standby_serves(void **unused)
{
    (void)unused;
    reach_protected(&b, false);
    request(&b, FT_REQUEST_HANDOVER);
    ordered(&b, FT_LANE_OWN_MAC); /* before the standby claims the chain's MAC */
    assert_true(position(&b, FT_ACT_ORDER) < position(&b, FT_ACT_SEND));
    gives();
    waits(&b, 100);
    is(&b, FT_FENCED);
    hears_view(&b, FT_SOLO, 2);
    is(&b, FT_JOINING);
    because(&b, "handed over to view 2");
    assert_int_equal(b.core.fenced.count, 0);

    reach_ready(&b, false);
    request(&b, FT_REQUEST_PROMOTE);
    said(&b, FT_MSG_ASK);
    hears(&b, FT_MSG_STEER, FT_PROTECTED);
    b.did.count = 0;
    happens(&b, FT_EV_STEERED);
    said(&b, FT_MSG_STEERED);
    hears_at(&b, FT_MSG_HANDOVER, FT_FENCED, 12, b.sent);
    is(&b, FT_READY); /* it holds more than we have replayed */
    reaches(&b, FT_EV_LANES, 12);
    is(&b, FT_SOLO);
    because(&b, "planned");
    assert_int_equal(b.core.view, 2);
    assert_int_equal(did(&b, FT_ACT_STATE)->event, FT_SAYS_TAKEOVER);
    assert_true(did(&b, FT_ACT_STATE)->flag && b.core.takeover.planned);
}

static void a_handover_that_takes_too_long_is_aborted(void **unused)
{
    (void)unused;
    drains();
    for (unsigned i = 0; i < 51; i++) {
        waits(&b, 10);
        hears(&b, FT_MSG_HEARTBEAT, FT_READY);
    }
    is(&b, FT_PROTECTED);
    because(&b, "aborted: it took too long");
    assert_int_equal(b.core.hand, FT_HAND_NONE);
}

/* Which event the line about this reason is, among those of the last step. */
static enum ft_event_name event_of(const char *why)
{
    for (unsigned i = 0; i < b.did.count; i++)
        if (b.did.list[i].kind == FT_ACT_STATE && strstr(b.did.list[i].send.text, why))
            return b.did.list[i].event;
    fail_msg("no line about '%s'", why);
    return FT_EVENT_NAMES_END;
}

static void a_standby_lost_before_handover_is_a_standby_lost(void **unused)
{
    (void)unused;
    reach_protected(&b, false);
    request(&b, FT_REQUEST_HANDOVER);
    loses(&b, FT_LOST_EOF);
    is(&b, FT_SOLO);
    assert_int_equal(event_of("handover aborted"), FT_SAYS_STATE);
    assert_int_equal(event_of("standby right lost"), FT_SAYS_STANDBY_LOST);
    ordered(&b, FT_LANE_LIVE);

    drains();
    loses(&b, FT_LOST_ERROR);
    is(&b, FT_DEGRADED);
    ordered(&b, FT_LANE_LIVE);
    reaches(&b, FT_EV_DRAINED, 12); /* too late */
    is(&b, FT_DEGRADED);

    drains();
    waits(&b, 21);
    is(&b, FT_DEGRADED);
    reaches(&b, FT_EV_DRAINED, 12); /* to one that does not answer */
    is(&b, FT_DEGRADED);
    assert_int_equal(b.core.hand, FT_HAND_NONE);
}

/* It may have reigned and released before it died. Its view file knows. */
static void a_standby_lost_after_handover_is_waited_for(void **unused)
{
    (void)unused;
    gives();
    loses(&b, FT_LOST_EOF);
    word_of(&b, 200);
    waits(&b, 3000);
    is(&b, FT_FENCED);
    connects(&b);
    b.hello.incarnation = 201;
    hello_from(&b, FT_JOINING, 1); /* it never reigned */
    is(&b, FT_SOLO);
    assert_int_equal(b.core.view, 3);
    ordered(&b, FT_LANE_LIVE);
    assert_int_equal(did(&b, FT_ACT_ORDER)->vector[0], 12);

    gives();
    loses(&b, FT_LOST_RESET);
    connects(&b);
    b.hello.incarnation = 201;
    hello_from(&b, FT_JOINING, 2); /* it did */
    is(&b, FT_JOINING);
    hears(&b, FT_MSG_HEARTBEAT, FT_JOINING);
    assert_int_equal(b.core.view, 3);
    ordered(&b, FT_LANE_FRESH);

    gives();
    hears(&b, FT_MSG_HEARTBEAT, FT_JOINING); /* it gave up, and says so */
    is(&b, FT_SOLO);
    assert_int_equal(b.core.view, 3);

    gives();
    loses(&b, FT_LOST_ERROR);
    request(&b, FT_REQUEST_PROMOTE);
    is(&b, FT_FENCED);
    waits(&b, 200);
    request(&b, FT_REQUEST_PROMOTE); /* a person knows that it is gone */
    is(&b, FT_SOLO);
}

static void a_handover_cut_in_two_is_taken_back(void **unused)
{
    (void)unused;
    gives();
    loses(&b, FT_LOST_ERROR);
    connects(&b);
    hello_from(&b, FT_READY, 1);
    said(&b, FT_MSG_ABANDON);
    is(&b, FT_FENCED);
    hears(&b, FT_MSG_ABANDONED, FT_JOINING);
    is(&b, FT_SOLO);
    assert_int_equal(b.core.view, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_primary_closes_only_when_the_right_is_gone),
        cmocka_unit_test(garbage_in_place_of_a_hello_ends_the_connection),
        cmocka_unit_test(a_standby_gives_up_before_the_connection_ends),
        cmocka_unit_test(the_end_of_an_abandoned_connection_is_the_answer),
        cmocka_unit_test(a_handover_that_came_late_is_taken),
        cmocka_unit_test(who_has_handed_over_leaves_a_deaf_connection),
        cmocka_unit_test(a_planned_handover_fences_the_primary_and_the_standby_serves),
        cmocka_unit_test(a_handover_that_takes_too_long_is_aborted),
        cmocka_unit_test(a_standby_lost_before_handover_is_a_standby_lost),
        cmocka_unit_test(a_standby_lost_after_handover_is_waited_for),
        cmocka_unit_test(a_handover_cut_in_two_is_taken_back),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("core_handover", tests, NULL, NULL);
}
