/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A real standby whose primary is the test (peer.h): snapshots and deltas of good form whose content no
 * lane may run on. They are refused by name and counted, the connection ends, no lane replays, and the node
 * takes the next snapshot.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/help/chunk.h"
#include "tests/help/peer.h"

#include <string.h>

static struct twin *const b = &peer_twin[1];

static bool ordered_to_replay(void)
{
    return ft_order_kind(atomic_load(&b->box->by_node.lane[0].orders.order)) == FT_LANE_REPLAY;
}

/* What has come so far is all of the snapshot. */
static void the_snapshot_is_refused(const char *text)
{
    uint64_t count = twin_status(b).refused;
    unsigned acks = peer.seen[FT_MSG_ACK];
    struct rp_status s;

    peer_say(peer_head(FT_MSG_SNAPSHOT_END));
    PEER_UNTIL(peer.ended);
    assert_int_equal(peer.seen[FT_MSG_ACK], acks);
    TWIN_UNTIL(b, twin_status(b).refused == count + 1 && twin_state(b) == FT_JOINING);
    assert_false(ordered_to_replay());
    s = twin_status(b);
    if (!strstr(s.last_refused, text))
        fail_msg("expected '%s', got '%s'", text, s.last_refused);
    assert_string_equal(s.core.why, s.last_refused);
}

/* The lane's own lines, with one number of them changed. */
static void say_lane(size_t at, uint64_t value)
{
    uint32_t len = peer.content_len;

    peer_add_lane(0, 0, peer.content, &peer.content_len, sizeof(peer.content));
    memcpy(peer.content + len + FT_LINE_RUN_HEAD + at, &value, sizeof(value));
    peer_say_content(FT_MSG_SNAPSHOT);
}

static void a_snapshot_whose_content_lies_is_refused_and_the_next_is_taken(void **state)
{
    (void)state;
    peer_start_standby(false);
    peer_synchronise(false);
    say_lane(offsetof(struct nf_lane_state, time), UINT64_MAX);
    the_snapshot_is_refused("state: lane 0 lane: seq 1, access 1, time 18446744073709551615");
    peer_synchronise(false);
    say_lane(offsetof(struct nf_lane_state, access), 0);
    the_snapshot_is_refused("access 0");
    peer_synchronise(false);
    say_lane(0, 0);
    peer_add_run(PEER_TABLE + PEER_LINES - 1, 1, true);
    peer_say_content(FT_MSG_SNAPSHOT);
    the_snapshot_is_refused("state: lane 0 table: constant at line 8194: byte 0 is 0, expected 17");
    /* What was refused is still in the region; a snapshot that leaves it there is no better. */
    peer_synchronise(false);
    say_lane(0, 0);
    the_snapshot_is_refused("constant at line 8194");
    peer_synchronise(false);
    peer_add_run(PEER_TABLE + PEER_LINES - 1, 1, false);
    peer_say_content(FT_MSG_SNAPSHOT);
    say_lane(0, 0);
    peer_say(peer_head(FT_MSG_SNAPSHOT_END));
    PEER_UNTIL(peer.seen[FT_MSG_ACK]);
    TWIN_UNTIL(b, ordered_to_replay());
    assert_int_equal(twin_status(b).refused, 4);
    twin_end(b);
}

static void say_delta(bool zero)
{
    chunk_begin(0, 1, 0, 7);
    chunk->seq = 1;
    chunk->flags |= FT_CHUNK_LAST;
    peer_add_lane(7, 0, ft_chunk_lines(chunk), &chunk->lines, FT_CHUNK_LINES);
    assert_true(chunk_add_run(PEER_TABLE + PEER_LINES - 1, 1, zero));
    chunk_finish();
    long n = ft_chunk_encode(chunk, FT_FORMAT_NEWEST, true, peer.content, sizeof(peer.content));

    assert_true(n > 0);
    peer.content_len = (uint32_t)n;
}

static void a_delta_changes_no_constant(void **state)
{
    (void)state;
    peer.deltas = true;
    peer_start_standby(false);
    peer_synchronise(true);
    say_delta(true);
    peer_is_refused(FT_MSG_DELTA,
                    "state: lane 0 table: constant at line 8194: a delta changes byte 0 from 17");
    assert_int_equal(twin_status(b).chunks_stored, 0);
    twin_end(b);
}

static void a_pair_that_is_protected_by_the_log_takes_no_delta(void **state)
{
    (void)state;
    peer_start_standby(false);
    peer_synchronise(true);
    say_delta(true);
    peer_is_refused(FT_MSG_DELTA, "delta: this pair is protected by the log alone, and takes none");
    twin_end(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_snapshot_whose_content_lies_is_refused_and_the_next_is_taken,
                                        peer_setup, peer_teardown),
        cmocka_unit_test_setup_teardown(a_delta_changes_no_constant, peer_setup, peer_teardown),
        cmocka_unit_test_setup_teardown(a_pair_that_is_protected_by_the_log_takes_no_delta, peer_setup,
                                        peer_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
