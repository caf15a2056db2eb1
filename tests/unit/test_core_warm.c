/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The protocol core of a pair whose standby is warm: it stores, and replays only when it takes over. So what
 * is stored counts where a hot standby must have replayed. And a resync that lanes ask for.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/help/core.h"

#include <string.h>

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
        cmocka_unit_test(what_is_stored_makes_ready),
        cmocka_unit_test(a_takeover_replays_what_is_stored),
        cmocka_unit_test(a_handover_waits_for_what_is_stored),
        cmocka_unit_test(the_primary_counts_what_is_stored),
        cmocka_unit_test(a_resync_says_who_asked_for_it),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("core_warm", tests, NULL, NULL);
}
