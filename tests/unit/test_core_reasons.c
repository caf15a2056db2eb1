/* SPDX-License-Identifier: Apache-2.0 */
/* What a node says of its past: a takeover and a loss are told apart, and what comes later overwrites
 * neither. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/help/core.h"

static struct tale n;

static void a_takeover_says_from_whom_and_for_how_long_nothing_was_heard(void **unused)
{
    (void)unused;
    reach_ready(&n, false);
    waits(&n, 50);
    is(&n, FT_SOLO);
    because(&n, "took over from left: silence for 50 ms");
    assert_string_equal(n.core.takeover.reason, "silence");
    assert_int_equal(n.core.loss.count, 0); /* it had no standby */

    reach_ready(&n, false);
    loses(&n, FT_LOST_ERROR); /* the name outlives the connection */
    connects(&n);
    waits(&n, 50);
    because(&n, "took over from left: silence for 50 ms");
}

static void the_end_of_connections_to_nobody_is_no_reason(void **unused)
{
    (void)unused;
    reach_ready(&n, false);
    loses(&n, FT_LOST_EOF);
    because(&n, "took over from left: the peer closed its connection");
    for (unsigned i = 0; i < 18; i++) {
        connects(&n);
        loses(&n, FT_LOST_ERROR);
        did_not(&n, FT_ACT_STATE); /* no line */
        because(&n, "took over from left: the peer closed its connection");
    }
    assert_int_equal(n.core.loss.count, 0);
}

static void a_loss_is_told_once_whatever_follows_from_it(void **unused)
{
    (void)unused;
    reach_protected(&n, false);
    loses(&n, FT_LOST_ERROR);
    is(&n, FT_DEGRADED);
    because(&n, "standby right lost: the connection broke");
    assert_int_equal(n.core.loss.at, n.now);
    waits(&n, 200);
    is(&n, FT_SOLO);
    because(&n, "standby right lost: the connection broke");
    assert_int_equal(n.core.loss.count, 1);
    assert_int_equal(n.core.loss.view, 1);
    assert_true(n.core.loss.at < n.now);
    assert_int_equal(n.core.takeover.view, 0);
}

static void who_knows_that_it_is_dead_knows_better(void **unused)
{
    (void)unused;
    reach_protected(&n, false);
    loses(&n, FT_LOST_ERROR);
    word_of(&n, n.hello.incarnation);
    is(&n, FT_SOLO);
    because(&n, "standby right lost: its guardian says it is dead");
    assert_int_equal(n.core.loss.count, 1);
}

static void a_loss_stays_known_until_the_next_and_a_silence_that_ends_is_none(void **unused)
{
    (void)unused;
    reach_protected(&n, false);
    waits(&n, 30);
    is(&n, FT_DEGRADED);
    because(&n, "no answer from the standby for 20 ms");
    assert_int_equal(n.core.loss.count, 0);
    waits(&n, 180);
    is(&n, FT_SOLO);
    because(&n, "standby right lost: no answer for 200 ms");
    assert_int_equal(n.core.loss.count, 1);

    hears(&n, FT_MSG_HEARTBEAT, FT_JOINING); /* back: it gets a snapshot, and is PROTECTED again */
    reaches(&n, FT_EV_CUT, 20);
    hears(&n, FT_MSG_HEARTBEAT, FT_SYNCING);
    happens(&n, FT_EV_SNAPSHOT_SENT);
    hears_at(&n, FT_MSG_ACK, FT_SYNCING, 20, n.sent);
    reaches(&n, FT_EV_GUARDED, 22);
    hears_at(&n, FT_MSG_ACK, FT_READY, 22, n.sent);
    is(&n, FT_PROTECTED);
    because(&n, "the standby is ready");
    assert_string_equal(n.core.loss.why, "standby right lost: no answer for 200 ms");
    hears(&n, FT_MSG_HEARTBEAT, FT_JOINING);
    because(&n, "standby right lost: it is not ready any more");
    assert_int_equal(n.core.loss.count, 2);
}

static void a_fence_says_by_whom(void **unused)
{
    (void)unused;
    reach_protected(&n, false);
    hears_view(&n, FT_SOLO, 2);
    because(&n, "right has taken over: fenced by view 2");
    assert_string_equal(n.core.fenced.by, "right");
    assert_int_equal(n.core.loss.count, 0);
}

/* Programs need not read reasons to know that nothing failed. */
static void what_was_planned_is_told_apart(void **unused)
{
    (void)unused;
    reach_ready(&n, false);
    loses(&n, FT_LOST_EOF);
    assert_int_equal(did(&n, FT_ACT_STATE)->event, FT_SAYS_TAKEOVER);
    assert_false(did(&n, FT_ACT_STATE)->flag || n.core.takeover.planned);
    reach_protected(&n, false);
    loses(&n, FT_LOST_ERROR);
    assert_false(did(&n, FT_ACT_STATE)->flag);
}

/* It serves on for the reason that it had, and says besides whom it refuses, and why. */
static void a_primary_says_in_what_its_standby_differs(void **unused)
{
    (void)unused;
    reach_protected(&n, false);
    loses(&n, FT_LOST_EOF);
    is(&n, FT_SOLO);
    connects(&n);
    n.hello.lanes = 2;
    hello_from(&n, FT_JOINING, 1);
    is(&n, FT_SOLO);
    because(&n, "standby right lost: the peer closed the connection");
    assert_string_equal(n.core.differs, "lanes: left 1, right 2");
    assert_int_equal(did(&n, FT_ACT_STATE)->event, FT_SAYS_REFUSED);
    assert_int_equal(did(&n, FT_ACT_STATE)->send.state, FT_SOLO);
    assert_string_equal(did(&n, FT_ACT_STATE)->send.text, "the peer differs: lanes: left 1, right 2");
    loses(&n, FT_LOST_EOF);
    assert_string_equal(n.core.differs, "lanes: left 1, right 2"); /* as it was heard last */
    connects(&n);
    n.hello.lanes = 1;
    hello_from(&n, FT_JOINING, 1);
    assert_string_equal(n.core.differs, "");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_takeover_says_from_whom_and_for_how_long_nothing_was_heard),
        cmocka_unit_test(the_end_of_connections_to_nobody_is_no_reason),
        cmocka_unit_test(a_loss_is_told_once_whatever_follows_from_it),
        cmocka_unit_test(who_knows_that_it_is_dead_knows_better),
        cmocka_unit_test(a_loss_stays_known_until_the_next_and_a_silence_that_ends_is_none),
        cmocka_unit_test(a_fence_says_by_whom),
        cmocka_unit_test(what_was_planned_is_told_apart),
        cmocka_unit_test(a_primary_says_in_what_its_standby_differs),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("core_reasons", tests, NULL, NULL);
}
