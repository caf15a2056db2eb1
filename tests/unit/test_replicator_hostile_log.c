/* SPDX-License-Identifier: Apache-2.0 */
/* A real standby whose primary is the test (peer.h): snapshots, logs and heads that say what must not
 * be. Each is refused by name and counted, nothing of it is kept, and the node goes on with the next
 * connection. */
#include "tests/help/peer.h"
#include "tests/help/record.h"
#include "tests/help/test.h"

#include <poll.h>

static struct twin *const b = &peer_twin[1];

TEST_WITH(snapshots_that_lie_are_refused_and_nothing_of_them_is_kept, peer_setup, peer_teardown)
{
    peer_start_standby(false);
    peer_synchronise(false);
    peer_add_run(PEER_TABLE, 8, false); /* good, and must not be taken all the same */
    peer_add_run(PEER_LANE, 1, false);  /* behind the lane's state */
    peer_is_refused(FT_MSG_SNAPSHOT, "snapshot: lines 6+1 lie outside every arena");

    peer_synchronise(false);
    peer_add_run(PEER_TABLE, 8, false);
    peer_add_run(PEER_TABLE + PEER_LINES - 4, 8, false); /* over the end of the table */
    peer_is_refused(FT_MSG_SNAPSHOT, "lie outside every arena");

    peer_synchronise(false);
    peer_add_run(PEER_TABLE, 8, false);
    peer_add_run(PEER_TABLE - 1, 2, true); /* zeros before it */
    peer_is_refused(FT_MSG_SNAPSHOT, "lie outside every arena");

    peer_synchronise(false);
    peer_add_run(PEER_TABLE, 8, false);
    peer_add_run(1ull << 60, 1, true); /* outside the region */
    peer_is_refused(FT_MSG_SNAPSHOT, "snapshot: a run is cut short, or lies outside the region");

    peer_synchronise(false);
    peer_add_run(PEER_TABLE, 8, false);
    peer_add_run(PEER_TABLE + 8, 8, false);
    peer.content_len -= 100; /* ends inside a run */
    peer_is_refused(FT_MSG_SNAPSHOT, "snapshot: a run is cut short, or lies outside the region");

    /* Few bytes that are much work: each line comes once in a snapshot. */
    peer_synchronise(false);
    for (unsigned i = 0; i < 1000; i++)
        peer_add_run(PEER_TABLE, PEER_LINES, true);
    peer_is_refused(FT_MSG_SNAPSHOT, "snapshot: more lines than the region's");

    peer_is_refused(FT_MSG_LOG, "log: a message without an entry");
}

TEST_WITH(logs_that_lie_are_refused_and_nothing_of_them_is_kept, peer_setup, peer_teardown)
{
    peer_start_standby(false);
    peer_synchronise(true);
    peer_add_record(0, 1);
    memset(peer.content + peer.content_len, 0xc1, 40); /* what msgpack never uses */
    peer.content_len += 40;
    peer_is_refused(FT_MSG_LOG, "offset");

    peer_add_record(0, 1);
    peer_add_record(0, 2);
    peer.content[peer.content_len - 1] ^= 1; /* its checksum */
    peer_is_refused(FT_MSG_LOG, "checksum");

    peer_add_record(0, 1);
    peer_add_record(0, 2);
    peer.content_len -= 5;
    peer_is_refused(FT_MSG_LOG, "");

    peer_add_record(0, 1);
    peer_add_record(5, 1);
    peer_is_refused(FT_MSG_LOG, "log: a record of lane 5, there are 1");

    peer_add_record(0, 1);
    peer_add_record(0, 3);
    peer_is_refused(FT_MSG_LOG, "log: burst 3 of lane 0: out of order");
}

TEST_WITH(a_dependency_on_a_lane_that_is_not_there_is_refused, peer_setup, peer_teardown)
{
    peer_start_standby(false);
    peer_synchronise(true);
    record_begin(0, 0, 1);
    rec->seq = rec->access = 1;
    rec->accesses = 1;
    record_add_bytes();
    record_add_dependency(1, 3, 1); /* a lane that is not there */
    peer_end_record();
    peer_is_refused(FT_MSG_LOG, "log: burst 1 of lane 0: malformed");
}

/* More than any credit allowed: refused, and nothing has grown. */
TEST_WITH(more_records_than_credit_allows_are_refused, peer_setup, peer_teardown)
{
    uint64_t burst = 1, most = TWIN_PENDING + 2 * FT_RECORD_MAX;

    peer_start_standby(false);
    peer_synchronise(true);
    twin_stall(b);
    while (!peer.ended && burst * sizeof(struct ft_record) < 8 * most) {
        for (unsigned i = 0; i < 500; i++)
            peer_add_record(0, burst++);
        struct ft_message m = peer_head(FT_MSG_LOG);
        m.bulk = peer.content;
        m.bulk_len = peer.content_len;
        peer.content_len = 0;
        if (twin_status(b).refused)
            break;
        peer_say(m);
        peer_hear();
    }
    TWIN_UNTIL(b, twin_status(b).refused == 1);
    assert_string_equal(twin_status(b).last_refused, "log: more records than this node said it could keep");
    TWIN_UNTIL(b, twin_state(b) == FT_JOINING);
    atomic_store(&b->box->stall, false);
    peer_synchronise(true); /* and again */
    peer_add_record(0, 1);
    peer_say_content(FT_MSG_LOG);
    PEER_UNTIL(peer.last[FT_MSG_ACK].burst[0] == 1 && twin_executed(b) == 1);
}

/* What is right in itself but not now is passed over, not refused. */
TEST_WITH(what_is_right_but_not_now_is_passed_over, peer_setup, peer_teardown)
{
    struct ft_message m;
    uint64_t before;

    peer_start_standby(false);
    peer_synchronise(true);
    before = peer_region();
    peer_add_run(PEER_TABLE, 8, false); /* the snapshot is whole */
    peer_say_content(FT_MSG_SNAPSHOT);
    peer_add_record(0, 1);
    m = peer_head(FT_MSG_LOG);
    m.view = peer.view - 1; /* of a reign that is over */
    m.bulk = peer.content;
    m.bulk_len = peer.content_len;
    peer_say(m);
    peer.content_len = 0;
    peer_say(peer_head(FT_MSG_STEERED));
    peer_say(peer_head(FT_MSG_ACK));
    m = peer_head(FT_MSG_HEARTBEAT);
    peer_say(m);
    PEER_UNTIL(peer.last[FT_MSG_HEARTBEAT].echo >= m.sent);
    assert_int_equal(peer_region(), before);
    assert_int_equal(twin_status(b).refused, 0);
    assert_int_equal(twin_state(b), FT_SYNCING);
    peer_add_record(0, 1);
    peer_say_content(FT_MSG_LOG);
    PEER_UNTIL(peer.last[FT_MSG_ACK].burst[0] == 1 && twin_executed(b) == 1);
}

/*
 * Records whose own head says that their sender reigns no more: not a lie, but the last words of a primary
 * that has dropped its state. The takeover that they cause has them. No lane replays before it is told to go
 * live, so nothing else can bring them in.
 */
TEST_WITH(records_of_a_primary_that_just_dropped_its_state_are_taken_over, peer_setup, peer_teardown)
{
    peer_start_standby(false);
    peer_synchronise(true);
    twin_stall(b);
    peer.state = FT_DEGRADED;
    peer_say(peer_head(FT_MSG_HOLDING));
    PEER_UNTIL(peer.last[FT_MSG_ACK].state == FT_READY);
    peer.state = FT_PROTECTED;
    peer_add_record(0, 1);
    peer_say_content(FT_MSG_LOG);
    PEER_UNTIL(peer.last[FT_MSG_ACK].burst[0] == 1);
    peer.state = FT_JOINING;
    peer_add_record(0, 2);
    peer_add_record(0, 3);
    peer_say_content(FT_MSG_LOG);
    TWIN_UNTIL(b, twin_state(b) == FT_SOLO && twin_is_live(b));
    assert_int_equal(twin_status(b).core.view, PEER_VIEW + 1);
    assert_int_equal(twin_executed(b), 3);
}

/* A snapshot that the core does not begin does not touch the log that is coming in. */
TEST_WITH(a_snapshot_that_the_core_does_not_begin_leaves_the_log_alone, peer_setup, peer_teardown)
{
    struct ft_message m;

    peer_start_standby(false);
    peer_synchronise(true);
    peer_add_record(0, 1);
    peer_add_record(0, 2);
    peer_say_content(FT_MSG_LOG);
    PEER_UNTIL(peer.last[FT_MSG_ACK].burst[0] == 2);
    peer.state = FT_PROTECTED; /* which sends no snapshot */
    m = peer_head(FT_MSG_SNAPSHOT_BEGIN);
    m.burst[0] = 40;
    peer_say(m);
    peer.state = FT_SOLO;
    peer_add_record(0, 3);
    peer_say_content(FT_MSG_LOG);
    PEER_UNTIL(peer.last[FT_MSG_ACK].burst[0] == 3 && twin_executed(b) == 3);
    assert_int_equal(twin_status(b).refused, 0);
}

/* A real primary whose standby is the test (peer.h), and cannot be read. */

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
TEST_WITH(a_primary_that_cannot_read_its_standby_holds_and_does_not_close, peer_setup, peer_teardown)
{
    static const uint8_t garbage[64] = "this is no frame, and its length is absurd";
    struct pollfd p;
    uint64_t began;

    peer.node = a;
    atomic_store(&a->box->target, 0);
    twin_start(a, NULL);
    make_protected();
    atomic_store(&a->box->target, 20);
    twin_await_executed(a, 20);
    PEER_UNTIL(peer.seen[FT_MSG_LOG]);
    assert_int_equal(atomic_load(&a->box->by_node.outputs), 0); /* we have acknowledged none */
    began = ft_now();
    peer_say_raw(garbage, sizeof(garbage));
    PEER_UNTIL(peer.seen[FT_MSG_ABANDON]);
    assert_non_null(strstr(peer.last[FT_MSG_ABANDON].text, "frame of"));
    TWIN_UNTIL(a, twin_status(a).refused == 1 && twin_state(a) == FT_DEGRADED);
    p = (struct pollfd){peer.fd, POLLIN, 0};
    while (ft_now() - began < 1000000000 && !peer.ended) { /* solo_after_ms is 4 s */
        poll(&p, 1, 5);
        peer_hear();
    }
    assert_false(peer.ended);
    assert_int_equal(atomic_load(&a->box->by_node.outputs), 0);

    peer.state = FT_JOINING; /* as we were told to; our right has ended, so it may go on */
    peer_connect();
    peer_hello(1);
    TWIN_UNTIL(a, atomic_load(&a->box->by_node.outputs) > 0);
}
