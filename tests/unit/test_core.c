/* SPDX-License-Identifier: Apache-2.0 */
/* The protocol core, told as stories: being protected, losing the standby, being fenced. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/help/core.h"

static struct tale a;

/* ---- being protected --------------------------------------------------------------------------- */

static void a_standby_is_brought_up_and_protects(void **unused)
{
    (void)unused;
    reach_ready(&a, false);
    is(&a, FT_READY);
    reach_protected(&a, false);
    is(&a, FT_PROTECTED);
    assert_int_equal(did(&a, FT_ACT_GATE)->vector[0], 10);
    assert_int_equal(a.core.resyncs, 1);
    reach_protected(&a, true);
    is(&a, FT_PROTECTED);
}

static void acknowledged_is_stable(void **unused)
{
    (void)unused;
    reach_protected(&a, false);
    hears_at(&a, FT_MSG_ACK, FT_READY, 17, a.sent);
    gate_is(&a, FT_GATE_GUARDED);
    assert_int_equal(did(&a, FT_ACT_GATE)->vector[0], 17);
    hears_at(&a, FT_MSG_ACK, FT_READY, 12, a.sent); /* never backwards */
    assert_int_equal(did(&a, FT_ACT_GATE)->vector[0], 17);
}

static void the_lease_runs_from_when_the_answered_message_was_sent(void **unused)
{
    uint64_t sent;

    (void)unused;
    reach_protected(&a, false);
    waits(&a, 10);
    sent = said(&a, FT_MSG_HEARTBEAT)->sent;
    assert_int_equal(sent, 10 * FT_MS);
    waits(&a, 7);
    hears_at(&a, FT_MSG_HEARTBEAT, FT_READY, 0, sent);
    assert_int_equal(did(&a, FT_ACT_GATE)->lease_until, 30 * FT_MS);
    waits(&a, 5);
    hears_at(&a, FT_MSG_HEARTBEAT, FT_READY, 0, sent - 1); /* an old answer takes nothing back */
    assert_int_equal(did(&a, FT_ACT_GATE)->lease_until, 30 * FT_MS);
}

static void without_answers_it_holds_and_with_them_goes_on(void **unused)
{
    (void)unused;
    reach_protected(&a, false);
    waits(&a, 20);
    is(&a, FT_PROTECTED);
    waits(&a, 1);
    is(&a, FT_DEGRADED);
    did_not(&a, FT_ACT_CLOSE);
    waits(&a, 20);
    hears(&a, FT_MSG_HEARTBEAT, FT_READY);
    is(&a, FT_PROTECTED);
    because(&a, "answers again");
    assert_int_equal(a.core.false_alarms, 1);
}

static void acks_of_an_earlier_snapshot_do_not_count(void **unused)
{
    uint64_t before;

    (void)unused;
    reach_protected(&a, false);
    request(&a, FT_REQUEST_RESYNC);
    before = a.sent;
    reaches(&a, FT_EV_CUT, 20);
    hears(&a, FT_MSG_HEARTBEAT, FT_SYNCING);
    happens(&a, FT_EV_SNAPSHOT_SENT);
    hears_at(&a, FT_MSG_ACK, FT_SYNCING, 20, before);
    assert_int_equal(a.core.resync, FT_RESYNC_CATCHUP);
    hears_at(&a, FT_MSG_ACK, FT_SYNCING, 20, a.sent);
    assert_int_equal(a.core.resync, FT_RESYNC_SWITCH);
}

static void a_resync_that_is_too_slow_is_named_and_tried_again(void **unused)
{
    (void)unused;
    tale_begin(&a, 0, 0, false);
    connects(&a);
    hello_from(&a, FT_JOINING, 0);
    reaches(&a, FT_EV_CUT, 5);
    for (unsigned i = 0; i < 201; i++) { /* 2010 ms */
        waits(&a, 10);
        hears(&a, FT_MSG_HEARTBEAT, FT_SYNCING);
    }
    assert_string_equal(a.core.resync_outcome, "deadline: the snapshot took too long");
    assert_int_equal(a.core.resyncs_failed, 1);
    assert_int_equal(a.core.resync, FT_RESYNC_NONE);
    is(&a, FT_SOLO);
    for (unsigned i = 0; i < 20; i++) {
        hears(&a, FT_MSG_HEARTBEAT, FT_SYNCING);
        waits(&a, 10);
    }
    assert_int_equal(a.core.resync, FT_RESYNC_CUT);
}

/* From HOLDING on the standby may have rights: the primary holds until it has forgotten. */
static void a_resync_that_fails_after_holding_takes_the_rights_away_first(void **unused)
{
    uint64_t begun;

    (void)unused;
    reach_protected(&a, false);
    request(&a, FT_REQUEST_RESYNC);
    reaches(&a, FT_EV_CUT, 20);
    hears(&a, FT_MSG_HEARTBEAT, FT_SYNCING);
    happens(&a, FT_EV_SNAPSHOT_SENT);
    hears_at(&a, FT_MSG_ACK, FT_SYNCING, 20, a.sent);
    reaches(&a, FT_EV_GUARDED, 30);
    for (unsigned i = 0; i < 20; i++) {
        hears_at(&a, FT_MSG_ACK, FT_SYNCING, 25, a.sent);
        waits(&a, 10);
    }
    assert_string_equal(a.core.resync_outcome, "under way"); /* the next one */
    assert_int_equal(a.core.resyncs_failed, 1);
    is(&a, FT_DEGRADED);
    reaches(&a, FT_EV_CUT, 31);
    begun = said(&a, FT_MSG_SNAPSHOT_BEGIN)->sent;
    hears_at(&a, FT_MSG_HEARTBEAT, FT_SYNCING, 0, begun - 1);
    is(&a, FT_DEGRADED);
    hears_at(&a, FT_MSG_HEARTBEAT, FT_SYNCING, 0, begun);
    is(&a, FT_SOLO);
}

static void a_resync_asked_for_takes_the_rights_away_first(void **unused)
{
    (void)unused;
    reach_protected(&a, false);
    request(&a, FT_REQUEST_RESYNC);
    is(&a, FT_DEGRADED);
    gate_is(&a, FT_GATE_GUARDED);
    assert_int_equal(did(&a, FT_ACT_GATE)->lease_until, 0);
    did(&a, FT_ACT_CUT);
    hears(&a, FT_MSG_HEARTBEAT, FT_READY);
    is(&a, FT_DEGRADED);
    reaches(&a, FT_EV_CUT, 20);
    hears(&a, FT_MSG_HEARTBEAT, FT_SYNCING);
    is(&a, FT_SOLO);
    assert_int_equal(a.core.resync, FT_RESYNC_SNAPSHOT);
}

/* ---- losing the standby ------------------------------------------------------------------------ */

static void a_certain_loss_during_the_lease_is_solo_at_once(void **unused)
{
    (void)unused;
    reach_protected(&a, false);
    waits(&a, 5);
    loses(&a, FT_LOST_EOF);
    is(&a, FT_SOLO);
    gate_is(&a, FT_GATE_SOLO);

    reach_protected(&a, false);
    word_of(&a, 999); /* of another process */
    is(&a, FT_PROTECTED);
    word_of(&a, 200);
    is(&a, FT_SOLO);
    did(&a, FT_ACT_CLOSE);
    because(&a, "guardian");
}

/* We slept, and the standby reigns: its heartbeats on the data ports say so while the link is silent. */
static void a_later_view_on_the_ports_is_no_reason_to_go_on_alone(void **unused)
{
    (void)unused;
    reach_protected(&a, false);
    for (unsigned i = 0; i < 40; i++) {
        heartbeats(&a, a.core.view + 1);
        waits(&a, 10);
    }
    is(&a, FT_DEGRADED);
    for (unsigned i = 0; i < 30; i++) { /* of our own view: it lives, and does not answer */
        heartbeats(&a, a.core.view);
        waits(&a, 10);
    }
    is(&a, FT_SOLO);
}

/* Its clock ran ahead, and nothing arrives. The standby may have its right still, and would take a connection
 * that is closed for our end. */
static void a_primary_whose_clock_ran_ahead_tells_its_standby_before_it_closes(void **unused)
{
    (void)unused;
    reach_protected(&a, false);
    sleeps(&a, 900);
    for (unsigned i = 0; i < 60 && !a.core.abandoning; i++) {
        waits(&a, 1);
        did_not(&a, FT_ACT_CLOSE);
    }
    is(&a, FT_DEGRADED);
    because(&a, "abandoning the connection: nothing arrives");
    hears(&a, FT_MSG_ABANDONED, FT_JOINING);
    is(&a, FT_SOLO);
}

static void any_other_loss_is_solo_only_when_the_standbys_right_has_ended(void **unused)
{
    (void)unused;
    reach_protected(&a, false);
    loses(&a, FT_LOST_ERROR);
    is(&a, FT_DEGRADED);
    waits(&a, 199);
    is(&a, FT_DEGRADED);
    waits(&a, 1);
    is(&a, FT_SOLO);

    reach_protected(&a, false); /* certain, but it may have reigned before it died */
    waits(&a, 21);
    loses(&a, FT_LOST_RESET);
    is(&a, FT_DEGRADED);
    connects(&a);
    a.hello.incarnation = 201;
    hello_from(&a, FT_JOINING, 1); /* it has not: it would know of view 2 */
    is(&a, FT_SOLO);
}

static void strict_never_releases_alone(void **unused)
{
    (void)unused;
    reach_protected(&a, true);
    loses(&a, FT_LOST_EOF);
    is(&a, FT_DEGRADED);
    gate_is(&a, FT_GATE_SHUT);
    waits(&a, 3000);
    is(&a, FT_DEGRADED);

    reach_protected(&a, true);
    waits(&a, 21);
    waits(&a, 3000);
    is(&a, FT_DEGRADED);
    assert_int_equal(a.core.solos, 0);
}

static void a_standby_that_kept_its_rights_over_a_reconnect_loses_them_first(void **unused)
{
    (void)unused;
    reach_protected(&a, false);
    loses(&a, FT_LOST_ERROR);
    did(&a, FT_ACT_NO_SNAPSHOT);
    waits(&a, 5);
    connects(&a);
    hello_from(&a, FT_READY, 1);
    is(&a, FT_DEGRADED);
    hears(&a, FT_MSG_HEARTBEAT, FT_READY);
    is(&a, FT_DEGRADED); /* the log between the connections is missing there */
    reaches(&a, FT_EV_CUT, 20);
    said(&a, FT_MSG_SNAPSHOT_BEGIN);
    hears(&a, FT_MSG_HEARTBEAT, FT_SYNCING);
    is(&a, FT_SOLO);
}

/* ---- sleeping and being fenced ----------------------------------------------------------------- */

static void a_primary_that_slept_does_not_act_on_the_silence(void **unused)
{
    (void)unused;
    reach_protected(&a, false);
    sleeps(&a, 1000);
    ticks(&a);
    is(&a, FT_DEGRADED);
    waits(&a, 199);
    is(&a, FT_DEGRADED);
    waits(&a, 1);
    is(&a, FT_SOLO);
}

static void states_reported(const enum ft_state want[], unsigned n)
{
    unsigned at = 0;

    for (uint32_t i = 0; i < a.did.count; i++)
        if (a.did.list[i].kind == FT_ACT_STATE) {
            assert_true(at < n);
            assert_int_equal(a.did.list[i].send.state, want[at++]);
        }
    assert_int_equal(at, n);
}

static void a_stale_primary_that_wakes_is_fenced(void **unused)
{
    static const enum ft_state fall[] = {FT_FENCED, FT_JOINING};

    (void)unused;
    reach_protected(&a, false);
    sleeps(&a, 1000);
    hears_view(&a, FT_SOLO, 2);
    states_reported(fall, 2);
    is(&a, FT_JOINING);
    gate_is(&a, FT_GATE_SHUT);
    ordered(&a, FT_LANE_FENCED);
    did(&a, FT_ACT_CLEAR);
    assert_int_equal(did(&a, FT_ACT_VIEW)->view, 2);
    assert_int_equal(said(&a, FT_MSG_HEARTBEAT)->state, FT_JOINING);
}

static void a_higher_view_fences_though_its_owner_is_empty(void **unused)
{
    (void)unused;
    reach_protected(&a, false);
    loses(&a, FT_LOST_EOF);
    is(&a, FT_SOLO);
    connects(&a);
    hello_from(&a, FT_JOINING, 2);
    is(&a, FT_JOINING);
    assert_int_equal(a.core.fenced.count, 1);
    assert_int_equal(said(&a, FT_MSG_HEARTBEAT)->view, 2);
    hears(&a, FT_MSG_HEARTBEAT, FT_JOINING);
    is(&a, FT_SOLO); /* an empty primary goes on alone only to begin anew */
    because(&a, "both nodes are empty");
    ordered(&a, FT_LANE_FRESH);
    assert_int_equal(a.core.view, 3);
}

static void of_two_primaries_of_one_view_the_files_standby_yields(void **unused)
{
    (void)unused;
    tale_begin(&a, 0, 0, false);
    waits(&a, 300);
    connects(&a);
    hello_from(&a, FT_SOLO, 1);
    is(&a, FT_SOLO);
    did(&a, FT_ACT_ANNOUNCE);

    reach_ready(&a, false);
    loses(&a, FT_LOST_EOF);
    is(&a, FT_SOLO);
    connects(&a);
    hello_from(&a, FT_SOLO, 2);
    is(&a, FT_JOINING);
    assert_int_equal(a.core.fenced.count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_standby_is_brought_up_and_protects),
        cmocka_unit_test(acknowledged_is_stable),
        cmocka_unit_test(the_lease_runs_from_when_the_answered_message_was_sent),
        cmocka_unit_test(without_answers_it_holds_and_with_them_goes_on),
        cmocka_unit_test(acks_of_an_earlier_snapshot_do_not_count),
        cmocka_unit_test(a_resync_that_is_too_slow_is_named_and_tried_again),
        cmocka_unit_test(a_resync_that_fails_after_holding_takes_the_rights_away_first),
        cmocka_unit_test(a_resync_asked_for_takes_the_rights_away_first),
        cmocka_unit_test(a_certain_loss_during_the_lease_is_solo_at_once),
        cmocka_unit_test(a_later_view_on_the_ports_is_no_reason_to_go_on_alone),
        cmocka_unit_test(a_primary_whose_clock_ran_ahead_tells_its_standby_before_it_closes),
        cmocka_unit_test(any_other_loss_is_solo_only_when_the_standbys_right_has_ended),
        cmocka_unit_test(strict_never_releases_alone),
        cmocka_unit_test(a_standby_that_kept_its_rights_over_a_reconnect_loses_them_first),
        cmocka_unit_test(a_primary_that_slept_does_not_act_on_the_silence),
        cmocka_unit_test(a_stale_primary_that_wakes_is_fenced),
        cmocka_unit_test(a_higher_view_fences_though_its_owner_is_empty),
        cmocka_unit_test(of_two_primaries_of_one_view_the_files_standby_yields),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("core", tests, NULL, NULL);
}
