/* SPDX-License-Identifier: Apache-2.0 */
/* The protocol core, told as stories: from whom it takes a view, and that heartbeats on data ports are nobody
 * who could take a state away. */
#include "tests/help/core.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

static struct tale a;

static void a_new_connection_may_say_any_view_up_to_the_limit(void **unused)
{
    (void)unused;
    tale_begin(&a, 1, 3, false);
    connects(&a);
    hello_from(&a, FT_JOINING, 3);
    hears_view(&a, FT_SOLO, 4);
    assert_int_equal(a.core.view, 4);
    loses(&a, FT_LOST_ERROR);
    connects(&a); /* it has served for long without us */
    hello_from(&a, FT_SOLO, FT_VIEW_MAX);
    hears_view(&a, FT_SOLO, FT_VIEW_MAX);
    assert_int_equal(a.core.view, 1ull << 62);
    loses(&a, FT_LOST_ERROR);
    connects(&a);
    hello_from(&a, FT_SOLO, FT_VIEW_MAX + 1);
    assert_true(a.did.malformed);
    assert_non_null(strstr(a.core.malformed.text, "is beyond any that a pair reaches"));
    assert_int_equal(a.core.view, FT_VIEW_MAX);
}

static void views_on_a_connection_follow_each_other(void **unused)
{
    (void)unused;
    reach_ready(&a, false);
    hears_view(&a, FT_SOLO, 3); /* it has gone on after a handover that failed */
    assert_int_equal(a.core.view, 3);
    hears_view(&a, FT_SOLO, 6);
    assert_true(a.did.malformed);
    because(&a, "view 6 does not follow view 3");
    did(&a, FT_ACT_CLOSE);
    assert_int_equal(a.core.view, 3);

    reach_protected(&a, false);
    hears_view(&a, FT_READY, 4); /* nobody is fenced by it */
    assert_true(a.did.malformed);
    assert_int_equal(a.core.view, 1);
    is(&a, FT_DEGRADED);
    because(&a, "abandoning the connection: view 4 does not follow view 1");
}

/* Whatever view they tell, and however many: the link alone says what a node is. */
static void no_heartbeat_on_a_data_port_takes_a_state_away(void **unused)
{
    static const uint64_t views[] = {0, 1, 2, 3, 1ull << 40, FT_VIEW_MAX};

    (void)unused;
    reach_ready(&a, false);
    for (unsigned i = 0; i < 1000; i++) {
        heartbeats(&a, views[i % 6]);
        assert_int_equal(a.did.count, 0);
        waits(&a, 5);
        is(&a, FT_READY);
        if (i % 2)
            hears(&a, FT_MSG_HEARTBEAT, FT_PROTECTED);
    }
    assert_int_equal(a.core.view, 1);

    reach_protected(&a, false);
    for (unsigned i = 0; i < 1000; i++) {
        heartbeats(&a, views[i % 6]);
        assert_int_equal(a.did.count, 0);
        waits(&a, 5);
        is(&a, FT_PROTECTED);
        hears(&a, FT_MSG_HEARTBEAT, FT_READY);
    }
    assert_int_equal(a.core.view, 1);
}

/* The primary's lanes beat, and its link is silent: the standby may not act, and keeps what it holds. */
static void reach_kept(void)
{
    reach_ready(&a, false);
    for (unsigned i = 0; i < 20 && a.core.state == FT_READY; i++) {
        heartbeats(&a, 1);
        waits(&a, 10);
    }
    is(&a, FT_JOINING);
    because(&a, "right to promote has ended");
    did_not(&a, FT_ACT_CLEAR);
    assert_int_equal(said(&a, FT_MSG_HEARTBEAT)->state, FT_JOINING);
}

static void a_right_that_ends_beside_heartbeats_leaves_the_state_to_a_person(void **unused)
{
    (void)unused;
    reach_kept();
    request(&a, FT_REQUEST_PROMOTE);
    is(&a, FT_JOINING); /* the connection stands yet */
    waits(&a, 2000);
    is(&a, FT_JOINING);
    did_not(&a, FT_ACT_CLEAR);
    request(&a, FT_REQUEST_PROMOTE);
    is(&a, FT_SOLO);
    because(&a, "an operator's promote, with the state that was kept");
    ordered(&a, FT_LANE_LIVE);
    assert_int_equal(did(&a, FT_ACT_ORDER)->vector[0], 10);
    assert_int_equal(did(&a, FT_ACT_VIEW)->view, 2);
}

static void what_was_kept_goes_when_the_link_tells_that_it_is_old(void **unused)
{
    (void)unused;
    reach_kept();
    hears(&a, FT_MSG_HEARTBEAT, FT_DEGRADED);
    did_not(&a, FT_ACT_CLEAR);
    hears(&a, FT_MSG_HEARTBEAT, FT_SOLO);
    did(&a, FT_ACT_CLEAR);
    because(&a, "the primary goes on alone");

    reach_kept();
    hears_view(&a, FT_DEGRADED, 2);
    did(&a, FT_ACT_CLEAR);
    because(&a, "another view has begun");

    reach_kept();
    hears(&a, FT_MSG_SNAPSHOT_BEGIN, FT_SOLO);
    did(&a, FT_ACT_CLEAR);
    is(&a, FT_SYNCING);

    reach_kept();
    happens(&a, FT_EV_DIVERGED);
    did(&a, FT_ACT_CLEAR);
    is(&a, FT_JOINING);

    reach_kept();
    loses(&a, FT_LOST_ERROR);
    did_not(&a, FT_ACT_CLEAR);
    connects(&a);
    a.hello.incarnation = 201; /* nobody knows what the one before has released */
    hello_from(&a, FT_JOINING, 0);
    is(&a, FT_SOLO);
    because(&a, "both nodes are empty");
    ordered(&a, FT_LANE_FRESH);
    assert_true(position(&a, FT_ACT_CLEAR) < position(&a, FT_ACT_ORDER));
}

/* The protocol core, told as stories: what a node does before its view is on the disk, and what it does not.
 */

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

/* The protocol core, told as stories: who has lost the other one asks the arbiter, and goes on by no other
 * answer than that to its own question. Facts from docs/decisions.md. */

static void answered(struct ft_era era, enum ft_answer answer)
{
    const struct ft_decision kept = {.any = true, .era = era, .winner = "b"};
    struct ft_event event = {.kind = FT_EV_ANSWER, .era = era, .answer = answer, .decision = &kept};

    event_happens(&t, &event);
}

/* Answers to questions that are not this one. */
static void others_win(struct ft_era asked, enum ft_state state)
{
    const struct ft_era others[] = {{asked.view, asked.number - 1},
                                    {asked.view, asked.number + 1},
                                    {asked.view - 1, asked.number},
                                    {asked.view + 1, asked.number},
                                    {0, 0}};

    for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        answered(others[i], FT_ANSWER_WON);
        is(&t, state);
        did_not(&t, FT_ACT_GATE);
    }
}

static struct ft_era standby_asks(void)
{
    reach_ready(&t, false);
    t.core.config.arbiter = true;
    waits(&t, 49);
    did_not(&t, FT_ACT_ASK);
    waits(&t, 1);
    is(&t, FT_READY);
    because(&t, "silence; asks the arbiter");
    assert_true(did(&t, FT_ACT_ASK)->flag);
    return did(&t, FT_ACT_ASK)->question.era;
}

/* When solo_after_ms is over. */
static struct ft_era primary_asks(void)
{
    reach_protected(&t, false);
    t.core.config.arbiter = true;
    for (unsigned ms = 0; ms < 400 && !t.core.arbiter.asking; ms++) {
        waits(&t, 1);
        assert_true(t.core.state != FT_SOLO);
    }
    is(&t, FT_DEGRADED);
    assert_true(did(&t, FT_ACT_ASK)->flag);
    return did(&t, FT_ACT_ASK)->question.era;
}

static void a_standby_takes_over_by_the_answer_to_its_question(void **unused)
{
    struct ft_era asked = standby_asks();

    (void)unused;
    waits(&t, 1000);
    is(&t, FT_READY); /* elapsed time alone moves nothing */
    others_win(asked, FT_READY);
    answered(asked, FT_ANSWER_WON);
    is(&t, FT_SOLO);
    because(&t, "silence for");
    because(&t, "the arbiter decided for");
}

static void a_standby_that_lost_does_not(void **unused)
{
    struct ft_era asked = standby_asks();

    (void)unused;
    answered(asked, FT_ANSWER_LOST);
    is(&t, FT_JOINING);
    answered(asked, FT_ANSWER_WON); /* a second answer is nobody's */
    is(&t, FT_JOINING);
}

static void a_primary_goes_on_by_the_answer_to_its_question(void **unused)
{
    struct ft_era asked = primary_asks();

    (void)unused;
    waits(&t, 1000);
    is(&t, FT_DEGRADED);
    others_win(asked, FT_DEGRADED);
    answered(asked, FT_ANSWER_SILENT);
    is(&t, FT_DEGRADED);
    because(&t, "the arbiter does not answer: holding");
    answered(asked, FT_ANSWER_WON);
    is(&t, FT_SOLO);
}

static void a_primary_that_lost_holds(void **unused)
{
    struct ft_era asked = primary_asks();

    (void)unused;
    answered(asked, FT_ANSWER_LOST);
    is(&t, FT_DEGRADED);
    because(&t, ": holding");
    answered(asked, FT_ANSWER_WON);
    is(&t, FT_DEGRADED);
}

static void an_answer_that_nobody_asked_for_is_nobodys(void **unused)
{
    (void)unused;
    reach_ready(&t, false);
    t.core.config.arbiter = true;
    answered(t.core.arbiter.era, FT_ANSWER_WON);
    is(&t, FT_READY);
    did_not(&t, FT_ACT_GATE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_connection_may_say_any_view_up_to_the_limit),
        cmocka_unit_test(views_on_a_connection_follow_each_other),
        cmocka_unit_test(no_heartbeat_on_a_data_port_takes_a_state_away),
        cmocka_unit_test(a_right_that_ends_beside_heartbeats_leaves_the_state_to_a_person),
        cmocka_unit_test(what_was_kept_goes_when_the_link_tells_that_it_is_old),
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
        cmocka_unit_test(a_standby_takes_over_by_the_answer_to_its_question),
        cmocka_unit_test(a_standby_that_lost_does_not),
        cmocka_unit_test(a_primary_goes_on_by_the_answer_to_its_question),
        cmocka_unit_test(a_primary_that_lost_holds),
        cmocka_unit_test(an_answer_that_nobody_asked_for_is_nobodys),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("core_views", tests, NULL, NULL);
}
