/* SPDX-License-Identifier: Apache-2.0 */
/* The protocol core, told as stories: what a node does before its view is on the disk, and what it does not.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/help/core.h"

static struct tale t;

static void begins(unsigned role, uint64_t view, bool strict)
{
    tale_begin(&t, role, view, strict);
    t.config.keeps_views = true;
    tale_begin_anew(&t);
}

static void is_stored(uint64_t view)
{
    struct ft_event event = {.kind = FT_EV_STORED, .view = view};

    event_happens(&t, &event);
}

/* A standby of view 1, which has the whole snapshot. */
static void reach_syncing(uint64_t file, bool strict)
{
    enum ft_state primary = strict ? FT_DEGRADED : FT_SOLO;

    begins(1, file, strict);
    connects(&t);
    hello_from(&t, primary, 1);
    hears_view(&t, primary, 1);
    if (file == 0)
        assert_int_equal(did(&t, FT_ACT_VIEW)->view, 1);
    hears_at(&t, FT_MSG_SNAPSHOT_BEGIN, primary, 5, t.sent);
    hears(&t, FT_MSG_SNAPSHOT_END, primary);
    reaches(&t, FT_EV_LANES, 8);
}

static void hears_holding(void)
{
    hears_at(&t, FT_MSG_HOLDING, FT_DEGRADED, 10, t.sent);
    reaches(&t, FT_EV_LANES, 10);
    is(&t, FT_READY);
}

static void reach_ready_on_disk(bool strict)
{
    reach_syncing(1, strict);
    assert_int_equal(said(&t, FT_MSG_ACK)->state, FT_SYNCING);
    hears_holding();
    hears(&t, FT_MSG_HEARTBEAT, FT_PROTECTED);
}

/* ---- with an empty state ------------------------------------------------------------------------ */

static void a_first_start_waits_for_its_view(void **unused)
{
    (void)unused;
    begins(0, 0, false);
    waits(&t, 300);
    is(&t, FT_JOINING);
    because(&t, "started alone: waits until view 1 is on the disk");
    assert_int_equal(did(&t, FT_ACT_STORE)->view, 1);
    did_not(&t, FT_ACT_VIEW);
    ticks(&t); /* it has asked once */
    did_not(&t, FT_ACT_STORE);
    is_stored(1);
    is(&t, FT_SOLO);
    assert_int_equal(did(&t, FT_ACT_VIEW)->view, 1);
    ordered(&t, FT_LANE_FRESH);
}

static void who_meets_a_primary_meanwhile_follows_it(void **unused)
{
    (void)unused;
    begins(0, 0, false);
    waits(&t, 300);
    did(&t, FT_ACT_STORE);
    connects(&t);
    hello_from(&t, FT_SOLO, 1);
    hears_view(&t, FT_SOLO, 1);
    assert_int_equal(did(&t, FT_ACT_VIEW)->view, 1);
    is_stored(1);
    is(&t, FT_JOINING);
}

static void of_two_empty_ones_the_first_waits(void **unused)
{
    (void)unused;
    begins(0, 7, false);
    connects(&t);
    hello_from(&t, FT_JOINING, 3);
    is(&t, FT_JOINING);
    assert_int_equal(did(&t, FT_ACT_STORE)->view, 8);
    is_stored(8);
    is(&t, FT_SOLO);
    because(&t, "both nodes are empty");
}

static void a_person_who_says_promote_is_obeyed_then(void **unused)
{
    (void)unused;
    begins(1, 3, false);
    waits(&t, 200);
    request(&t, FT_REQUEST_PROMOTE);
    is(&t, FT_JOINING);
    assert_int_equal(did(&t, FT_ACT_STORE)->view, 4);
    ticks(&t);
    is(&t, FT_JOINING);
    is_stored(4);
    is(&t, FT_SOLO);
    because(&t, "an operator's promote, with an empty state");
}

static void a_peer_that_is_met_meanwhile_ends_that(void **unused)
{
    (void)unused;
    begins(1, 3, false);
    waits(&t, 200);
    request(&t, FT_REQUEST_PROMOTE);
    connects(&t);
    hello_from(&t, FT_SOLO, 3);
    loses(&t, FT_LOST_ERROR);
    is_stored(4);
    is(&t, FT_JOINING);
}

/* ---- a standby ---------------------------------------------------------------------------------- */

/* It could be promoted, die, come back in view 0, and start alone beside a primary that holds a state. */
static void who_has_been_in_no_view_acknowledges_nothing_before_its_file_has_one(void **unused)
{
    (void)unused;
    reach_syncing(0, false);
    is(&t, FT_SYNCING);
    said(&t, FT_MSG_HEARTBEAT);
    hears(&t, FT_MSG_HEARTBEAT, FT_SOLO);
    said(&t, FT_MSG_HEARTBEAT);
    is_stored(1);
    assert_int_equal(said(&t, FT_MSG_ACK)->burst[0], 8);
    hears_holding();
}

static void any_other_is_ready_without_its_disk(void **unused)
{
    (void)unused;
    reach_ready_on_disk(false);
    hears_view(&t, FT_SOLO, 2); /* a later view begins */
    assert_int_equal(did(&t, FT_ACT_VIEW)->view, 2);
    hears_at(&t, FT_MSG_SNAPSHOT_BEGIN, FT_SOLO, 5, t.sent);
    hears(&t, FT_MSG_SNAPSHOT_END, FT_SOLO);
    hears_holding();
    assert_int_equal(t.core.stored, 1);
}

static void a_takeover_waits_for_no_disk(void **unused)
{
    (void)unused;
    reach_ready_on_disk(false);
    loses(&t, FT_LOST_EOF);
    is(&t, FT_SOLO);
    gate_is(&t, FT_GATE_SOLO);
    assert_int_equal(did(&t, FT_ACT_VIEW)->view, 2);
    assert_int_equal(t.core.stored, 1);
}

static void nor_does_being_fenced(void **unused)
{
    (void)unused;
    reach_ready_on_disk(false);
    loses(&t, FT_LOST_EOF);
    connects(&t);
    hello_from(&t, FT_SOLO, 9);
    is(&t, FT_JOINING);
    assert_int_equal(t.core.view, 9);
}

/* ---- a handover --------------------------------------------------------------------------------- */

static void reach_successor(bool strict)
{
    reach_ready_on_disk(strict);
    hears_at(&t, FT_MSG_HANDOVER, FT_FENCED, 10, t.sent);
    is(&t, FT_DEGRADED);
    gate_is(&t, FT_GATE_SHUT);
    assert_int_equal(did(&t, FT_ACT_VIEW)->view, 2);
    assert_int_equal(said(&t, FT_MSG_HEARTBEAT)->view, 2); /* the peer hears of it at once */
    ordered(&t, FT_LANE_LIVE);                             /* and the lanes work */
}

static void opens(void)
{
    is(&t, FT_SOLO);
    gate_is(&t, FT_GATE_SOLO);
}

static void after_a_handover_nothing_leaves_before_the_view_is_on_the_disk(void **unused)
{
    (void)unused;
    reach_successor(false);
    because(&t, "planned; holds until view 2 is on the disk, or the peer has heard of it");
    hears_view(&t, FT_FENCED, 1); /* said before it heard */
    is(&t, FT_DEGRADED);
    is_stored(1);
    is(&t, FT_DEGRADED);
    is_stored(2);
    opens();
}

static void or_the_peer_has_heard_of_it(void **unused)
{
    (void)unused;
    reach_successor(false);
    hears(&t, FT_MSG_HEARTBEAT, FT_JOINING);
    opens();
}

static void or_the_peer_is_certainly_dead(void **unused)
{
    (void)unused;
    reach_successor(false);
    loses(&t, FT_LOST_EOF);
    opens();
    reach_successor(false);
    word_of(&t, 200);
    opens();
}

static void or_nobody_has_answered_for_solo_after(void **unused)
{
    (void)unused;
    reach_successor(false);
    loses(&t, FT_LOST_ERROR);
    is(&t, FT_DEGRADED);
    waits(&t, 199);
    is(&t, FT_DEGRADED);
    waits(&t, 2);
    opens();
}

static void strict_holds_anyway(void **unused)
{
    (void)unused;
    reach_successor(true);
    because(&t, "strict: holding");
    is_stored(2);
    is(&t, FT_DEGRADED);
    did_not(&t, FT_ACT_GATE);
}

static void without_a_file_nothing_waits(void **unused)
{
    (void)unused;
    reach_ready(&t, false);
    hears_at(&t, FT_MSG_HANDOVER, FT_FENCED, 10, t.sent);
    opens();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_first_start_waits_for_its_view),
        cmocka_unit_test(who_meets_a_primary_meanwhile_follows_it),
        cmocka_unit_test(of_two_empty_ones_the_first_waits),
        cmocka_unit_test(a_person_who_says_promote_is_obeyed_then),
        cmocka_unit_test(a_peer_that_is_met_meanwhile_ends_that),
        cmocka_unit_test(who_has_been_in_no_view_acknowledges_nothing_before_its_file_has_one),
        cmocka_unit_test(any_other_is_ready_without_its_disk),
        cmocka_unit_test(a_takeover_waits_for_no_disk),
        cmocka_unit_test(nor_does_being_fenced),
        cmocka_unit_test(after_a_handover_nothing_leaves_before_the_view_is_on_the_disk),
        cmocka_unit_test(or_the_peer_has_heard_of_it),
        cmocka_unit_test(or_the_peer_is_certainly_dead),
        cmocka_unit_test(or_nobody_has_answered_for_solo_after),
        cmocka_unit_test(strict_holds_anyway),
        cmocka_unit_test(without_a_file_nothing_waits),
    };

    return cmocka_run_group_tests_name("core_disk", tests, NULL, NULL);
}
