/* SPDX-License-Identifier: Apache-2.0 */
/* A real standby whose primary is the test (peer.h): deltas whose chunks, lines or outputs are not what
 * they should be. Each is refused by name and counted, nothing of it is kept, and the node goes on with the
 * next connection. */
#include "tests/help/record.h"
#include "tests/help/peer.h"
#include "tests/help/test.h"

static struct twin *const b = &peer_twin[1];

static uint64_t deltas_applied(void)
{
    return atomic_load(&b->box->by_node.lane[0].count.deltas_applied);
}

/* The head of a chunk, to be bent before end_chunk. The delta of a lane that did one burst, and nothing in
 * it.
 */
static void a_chunk(uint64_t cut, uint64_t from, uint64_t burst, uint32_t number, bool last_one)
{
    chunk_begin(0, cut, from, burst);
    chunk->number = number;
    chunk->seq = 1;
    chunk->outputs = 9;
    chunk->flags |= last_one ? FT_CHUNK_LAST : 0;
}

/* A run of a chunk; bytes as tests/help/record.h makes them. */
static void lines_of(uint64_t line, uint32_t count)
{
    assert_true(chunk_add_run(line, count, false));
}

/* The lane's state after `burst`: without it the standby's own lane would find the delta wrong. */
static void lane_lines(uint64_t burst)
{
    peer_add_lane(burst, chunk->outputs, ft_chunk_lines(chunk), &chunk->lines, FT_CHUNK_LINES);
}

static void end_chunk(void)
{
    chunk_finish();
    long n = ft_chunk_encode(chunk, FT_FORMAT_NEWEST, true, peer.content + peer.content_len,
                             sizeof(peer.content) - peer.content_len);

    assert_true(n > 0);
    peer.content_len += (uint32_t)n;
}

static void plain_chunk(uint64_t cut, uint64_t from, uint64_t burst, uint32_t number, bool last_one)
{
    a_chunk(cut, from, burst, number, last_one);
    end_chunk();
}

/* The good one, in two chunks, whose lines must not show before the second has come. */
TEST_WITH(lines_of_a_delta_show_when_its_last_chunk_has_come, peer_setup, peer_teardown)
{
    uint64_t before;

    peer.deltas = true;
    peer_start_standby(false);
    peer_synchronise(true);
    before = peer_region();
    a_chunk(1, 0, 7, 0, false);
    lane_lines(7);
    lines_of(PEER_TABLE, 4);
    end_chunk();
    peer_say_content(FT_MSG_DELTA);
    TWIN_UNTIL(peer.node, twin_status(peer.node).chunks_stored == 1);
    assert_int_equal(peer_region(), before);
    assert_int_equal(twin_executed(b), 0);
    a_chunk(1, 0, 7, 1, true);
    lines_of(PEER_TABLE + 4, 4);
    chunk_add_output(3, 6, 0, 60, 0, 0);
    end_chunk();
    peer_say_content(FT_MSG_DELTA);
    PEER_UNTIL(peer.last[FT_MSG_ACK].burst[0] == 7 && twin_executed(b) == 7);
    assert_int_not_equal(peer_region(), before);
    plain_chunk(2, 7, 7, 0, true); /* nothing was done */
    peer_say_content(FT_MSG_DELTA);
    PEER_UNTIL(deltas_applied() == 2);
    assert_int_equal(twin_executed(b), 7);
    assert_int_equal(twin_status(b).refused, 0);
}

/* A log segment, which a warm standby acknowledges and leaves alone; then its checkpoint. */
TEST_WITH(a_checkpoint_takes_the_place_of_records_that_were_acknowledged, peer_setup, peer_teardown)
{
    peer_start_standby(true);
    peer_synchronise(true);
    peer_add_record(0, 1);
    peer_add_record(0, 2);
    peer_say_content(FT_MSG_LOG);
    PEER_UNTIL(peer.last[FT_MSG_ACK].burst[0] == 2);
    assert_int_equal(twin_executed(b), 0);
    a_chunk(1, 0, 2, 0, true);
    lane_lines(2);
    lines_of(PEER_TABLE, 4);
    end_chunk();
    peer_say_content(FT_MSG_DELTA);
    PEER_UNTIL(twin_executed(b) == 2);
    assert_int_equal(deltas_applied(), 1);
    assert_int_equal(twin_status(b).records_stored, 2);
    assert_int_equal(twin_status(b).refused, 0);
}

TEST_WITH(deltas_that_lie_are_refused_and_nothing_of_them_is_kept, peer_setup, peer_teardown)
{
    peer.deltas = true;
    peer_start_standby(false);
    peer_synchronise(true);
    plain_chunk(1, 0, 5, 0, true);
    memset(peer.content + peer.content_len, 0xc1, 40);
    peer.content_len += 40;
    peer_is_refused(FT_MSG_DELTA, "offset");

    plain_chunk(1, 0, 5, 0, true);
    peer_add_record(0, 6); /* in a message of the other kind */
    peer_is_refused(FT_MSG_DELTA, "array of 17, expected 18");

    plain_chunk(1, 0, 5, 0, true);
    peer_is_refused(FT_MSG_LOG, "array of 18, expected 17");

    plain_chunk(1, 0, 5, 0, true);
    a_chunk(2, 5, 5, 0, true);
    chunk->lane = 5;
    end_chunk();
    peer_is_refused(FT_MSG_DELTA, "delta: a chunk of lane 5, there are 1");

    /* What else is out of order: test_closed.c. */
    plain_chunk(1, 0, 5, 0, true);
    plain_chunk(1, 0, 5, 0, true); /* again */
    peer_is_refused(FT_MSG_DELTA, "delta: cut 1 of lane 0, from burst 0 to 5: out of order");

    peer_add_record(0, 1);
    peer_say_content(FT_MSG_LOG);
    twin_await_executed(b, 1);      /* or the region would change while it is compared */
    plain_chunk(1, 0, 2, 0, false); /* a checkpoint of more than is held */
    peer_is_refused(FT_MSG_DELTA, "delta: cut 1 of lane 0, from burst 0 to 2: out of order");
}

/* The second chunk says another number than the first one. */
static void another_delta(size_t at)
{
    uint64_t *number;

    plain_chunk(1, 0, 5, 0, false);
    a_chunk(1, 0, 5, 1, true);
    number = (uint64_t *)(void *)((uint8_t *)chunk + at);
    ++*number;
    end_chunk();
    peer_is_refused(FT_MSG_DELTA, "is of another delta");
}

TEST_WITH(chunks_that_do_not_fit_their_delta_are_refused, peer_setup, peer_teardown)
{
    peer.deltas = true;
    peer_start_standby(false);
    peer_synchronise(true);
    plain_chunk(1, 0, 5, 1, true);
    peer_is_refused(FT_MSG_DELTA, "delta: chunk 1 of cut 1 of lane 0, expected chunk 0");

    plain_chunk(1, 0, 5, 0, false);
    plain_chunk(1, 0, 5, 2, true);
    peer_is_refused(FT_MSG_DELTA, "delta: chunk 2 of cut 1 of lane 0, expected chunk 1");

    plain_chunk(1, 0, 5, 0, false);
    plain_chunk(1, 0, 5, 0, true);
    peer_is_refused(FT_MSG_DELTA, "delta: chunk 0 of cut 1 of lane 0, expected chunk 1");

    plain_chunk(1, 0, 5, 0, false);
    peer_say_content(FT_MSG_DELTA);
    peer_add_record(0, 1);
    peer_is_refused(FT_MSG_LOG, "log: burst 1 of lane 0 between the chunks of a delta");

    a_chunk(1, 0, 0, 0, true);
    chunk->flags |= FT_CHUNK_INCREMENTAL;
    end_chunk();
    peer_is_refused(FT_MSG_DELTA,
                    "delta: more chunks than this node said it could keep"); /* a hot one expects none */

    another_delta(offsetof(struct ft_chunk, cut));
    another_delta(offsetof(struct ft_chunk, from));
    another_delta(offsetof(struct ft_chunk, burst));
    another_delta(offsetof(struct ft_chunk, seq));
    another_delta(offsetof(struct ft_chunk, access));
    another_delta(offsetof(struct ft_chunk, outputs));
}

TEST_WITH(lines_and_outputs_out_of_place_are_refused, peer_setup, peer_teardown)
{
    peer.deltas = true;
    peer_start_standby(false);
    peer_synchronise(true);
    a_chunk(1, 0, 5, 0, true);
    lines_of(PEER_TABLE, 4);
    lines_of(PEER_TABLE + PEER_LINES - 1, 2);
    end_chunk();
    peer_is_refused(FT_MSG_DELTA, "lie outside the arenas of lane 0");

    a_chunk(1, 0, 5, 0, true);
    lines_of(PEER_LANE, 1); /* behind the lane's state */
    end_chunk();
    peer_is_refused(FT_MSG_DELTA, "delta: lines 6+1 lie outside the arenas of lane 0");

    a_chunk(1, 0, 5, 0, false);
    lines_of(PEER_TABLE + 8, 4);
    end_chunk();
    a_chunk(1, 0, 5, 1, true);
    lines_of(PEER_TABLE + 11, 1); /* once more */
    end_chunk();
    peer_is_refused(FT_MSG_DELTA, "delta: line 4107 of lane 0 after line 4107");

    a_chunk(1, 0, 5, 0, false);
    chunk_add_output(4, 3, 0, 60, 0, 0);
    end_chunk();
    a_chunk(1, 0, 5, 1, true);
    chunk_add_output(4, 3, 0, 60, 0, 0);
    end_chunk();
    peer_is_refused(FT_MSG_DELTA, "delta: output 4 of burst 3 of lane 0 out of order");

    a_chunk(1, 0, 5, 0, false);
    chunk_add_output(4, 3, 0, 60, 0, 0);
    end_chunk();
    a_chunk(1, 0, 5, 1, true);
    chunk_add_output(5, 2, 0, 60, 0, 0);
    end_chunk();
    peer_is_refused(FT_MSG_DELTA, "delta: output 5 of burst 2 of lane 0 out of order");
}

/* Chunks of a delta that never ends use up the room that was promised, and no more. */
TEST_WITH(more_chunks_than_credit_allows_are_refused, peer_setup, peer_teardown)
{
    uint32_t number = 0;

    peer.deltas = true;
    peer_start_standby(false);
    peer_synchronise(true);
    while (!peer.ended && !twin_status(b).refused && number < 100000) {
        for (unsigned i = 0; i < 500; i++)
            plain_chunk(1, 0, 5, number++, false);
        peer_say_content(FT_MSG_DELTA);
        peer_hear();
    }
    TWIN_UNTIL(b, twin_status(b).refused == 1);
    assert_string_equal(twin_status(b).last_refused, "delta: more chunks than this node said it could keep");
    TWIN_UNTIL(b, twin_state(b) == FT_JOINING);
    peer_synchronise(true); /* and again */
    a_chunk(1, 0, 5, 0, true);
    lane_lines(5);
    end_chunk();
    peer_say_content(FT_MSG_DELTA);
    PEER_UNTIL(peer.last[FT_MSG_ACK].burst[0] == 5 && twin_executed(b) == 5);
}

/*
 * A real standby whose primary is the test (peer.h): snapshots and deltas of good form whose content no
 * lane may run on. They are refused by name and counted, the connection ends, no lane replays, and the node
 * takes the next snapshot.
 */

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

TEST_WITH(a_snapshot_whose_content_lies_is_refused_and_the_next_is_taken, peer_setup, peer_teardown)
{
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
}

static void delta_of_a_constant(void)
{
    chunk_begin(0, 1, 0, 7);
    chunk->seq = 1;
    chunk->flags |= FT_CHUNK_LAST;
    lane_lines(7);
    assert_true(chunk_add_run(PEER_TABLE + PEER_LINES - 1, 1, true));
    end_chunk();
}

TEST_WITH(a_delta_changes_no_constant, peer_setup, peer_teardown)
{
    peer.deltas = true;
    peer_start_standby(false);
    peer_synchronise(true);
    delta_of_a_constant();
    peer_is_refused(FT_MSG_DELTA,
                    "state: lane 0 table: constant at line 8194: a delta changes byte 0 from 17");
    assert_int_equal(twin_status(b).chunks_stored, 0);
}

TEST_WITH(a_pair_that_is_protected_by_the_log_takes_no_delta, peer_setup, peer_teardown)
{
    peer_start_standby(false);
    peer_synchronise(true);
    delta_of_a_constant();
    peer_is_refused(FT_MSG_DELTA, "delta: this pair is protected by the log alone, and takes none");
}
