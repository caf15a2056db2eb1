/* SPDX-License-Identifier: Apache-2.0 */
/* A real primary whose standby is the test (peer.h): one that cannot be read, or falls silent, and a
 * hello that somebody says again. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/help/peer.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

static struct twin *const a = &peer_twin[0];

static void make_protected(void)
{
    peer.view = 1;
    peer.state = FT_JOINING;
    peer_connect();
    peer_hello(1);
    PEER_UNTIL(peer.seen[FT_MSG_SNAPSHOT_BEGIN]);
    peer.state = FT_SYNCING;
    peer_say(peer_head(FT_MSG_HEARTBEAT));
    PEER_UNTIL(peer.seen[FT_MSG_SNAPSHOT_END]);
    peer_say(peer_head(FT_MSG_ACK));
    PEER_UNTIL(peer.seen[FT_MSG_HOLDING]);
    peer.state = FT_READY;
    peer_say(peer_head(FT_MSG_ACK));
    PEER_UNTIL(twin_state(a) == FT_PROTECTED);
}

/* A primary that cannot read its standby holds, says so, and does not close: that would look like death. */
static void a_primary_that_cannot_read_its_standby_holds_and_does_not_close(void **state)
{
    static const uint8_t garbage[64] = "this is no frame, and its length is absurd";
    struct pollfd p;

    (void)state;
    peer.node = a;
    atomic_store(&a->box->target, 0);
    twin_start(a, NULL);
    make_protected();
    atomic_store(&a->box->target, 20);
    twin_await_executed(a, 20);
    PEER_UNTIL(peer.seen[FT_MSG_LOG]);
    assert_int_equal(atomic_load(&a->box->by_node.outputs), 0); /* we have acknowledged none */
    peer_say_raw(garbage, sizeof(garbage));
    PEER_UNTIL(peer.seen[FT_MSG_ABANDON]);
    assert_non_null(strstr(peer.last[FT_MSG_ABANDON].text, "frame of"));
    TWIN_UNTIL(a, twin_status(a).refused == 1 && twin_state(a) == FT_DEGRADED);
    p = (struct pollfd){peer.fd, POLLIN, 0};
    for (unsigned i = 0; i < 200 && !peer.ended; i++) {
        poll(&p, 1, 5);
        peer_hear();
    }
    assert_false(peer.ended);
    assert_int_equal(atomic_load(&a->box->by_node.outputs), 0);

    peer.state = FT_JOINING; /* as we were told to; our right has ended, so it may go on */
    peer_connect();
    peer_hello(1);
    TWIN_UNTIL(a, atomic_load(&a->box->by_node.outputs) > 0);
    twin_end(a);
}

/* If the standby never answers, its right ends by itself, and the primary goes on alone. */
static void a_standby_that_never_answers_lets_the_primary_go_on_in_time(void **state)
{
    uint64_t began;

    (void)state;
    peer.node = a;
    twin_start(a, NULL);
    make_protected();
    atomic_store(&a->box->target, 20);
    twin_await_executed(a, 20);
    began = peer_now();
    peer_say_raw("\xff\xff\xff\xff", 4);
    PEER_UNTIL(peer.ended);
    assert_true(peer_now() - began > 3000000000ull); /* promote_within_ms */
    TWIN_UNTIL(a, twin_state(a) == FT_SOLO && atomic_load(&a->box->by_node.outputs) > 0);
    twin_end(a);
}

/* An old hello of ours from our address, beside our connection and alone. */
static void an_old_hello_said_again_changes_nothing(void **state)
{
    struct ft_message heartbeat;
    int true_one;

    (void)state;
    peer.node = a;
    twin_start(a, NULL);
    make_protected();
    true_one = peer.fd;
    peer.fd = -1;
    peer.mute = true;
    peer.state = FT_JOINING;
    peer_connect();
    peer_hello(1);
    PEER_UNTIL(peer.seen[FT_MSG_HELLO]); /* it asks */
    usleep(5000);
    peer_hang_up();
    peer.mute = false;
    peer.fd = true_one;
    peer.ended = false;
    peer.in_len = 0;
    peer.state = FT_READY;
    peer.seen[FT_MSG_HEARTBEAT] = 0;
    for (unsigned i = 0; i < 20; i++) {
        PEER_UNTIL(peer.seen[FT_MSG_HEARTBEAT]);
        peer.seen[FT_MSG_HEARTBEAT] = 0;
        peer_say(peer_head(FT_MSG_HEARTBEAT));
    }
    heartbeat = peer.last[FT_MSG_HEARTBEAT];
    assert_int_equal(heartbeat.state, FT_PROTECTED);
    assert_false(peer.ended);
    assert_int_equal(twin_status(a).link.connects, 1);

    /* A process that is new, and says so. */
    peer.fd = -1;
    peer.state = FT_JOINING;
    peer_connect();
    peer_hello(1);
    PEER_UNTIL(peer.seen[FT_MSG_SNAPSHOT_BEGIN]);
    TWIN_UNTIL(a, twin_status(a).link.connects == 2);
    close(true_one);
    twin_end(a);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, peer_setup, peer_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_primary_that_cannot_read_its_standby_holds_and_does_not_close),
        TEST(a_standby_that_never_answers_lets_the_primary_go_on_in_time),
        TEST(an_old_hello_said_again_changes_nothing),
    };

    return cmocka_run_group_tests_name("replicator, hostile standby", tests, NULL, NULL);
}
