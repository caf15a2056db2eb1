/* SPDX-License-Identifier: Apache-2.0 */
/* The protocol core, told as stories: from whom it takes a view, and that heartbeats on data ports are nobody
 * who could take a state away. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/help/core.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_connection_may_say_any_view_up_to_the_limit),
        cmocka_unit_test(views_on_a_connection_follow_each_other),
        cmocka_unit_test(no_heartbeat_on_a_data_port_takes_a_state_away),
        cmocka_unit_test(a_right_that_ends_beside_heartbeats_leaves_the_state_to_a_person),
        cmocka_unit_test(what_was_kept_goes_when_the_link_tells_that_it_is_old),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("core_views", tests, NULL, NULL);
}
