/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When the replicator compresses, when it holds a message, and when it stays awake: of a real one whose lane
 * and standby are the test. The test gives the time, but for what the system measures of the connection.
 */
#include "tests/help/primary.h"
#include "tests/help/record.h"
#include "tests/help/test.h"

#include <sys/socket.h>
#include <time.h>

#define SLOW   (1u << 20) /* bytes a second */
#define MS     1000000ull
#define S      1000000000ull
#define FRAME  9216u
#define FRAMES 7u
#define LARGE  (FRAME * FRAMES) /* bytes of packets in a large record */

static uint64_t wire; /* bytes of the log's messages so far, when compressed_at looked last */

static void open_with(enum rp_compress compress)
{
    primary_open((struct primary_options){.compress = compress});
    wire = 0;
}

static int setup(void **state)
{
    open_with(RP_COMPRESS_AUTO);
    return 0;
}

static void put_small(void)
{
    assert_true(primary_put_packets(1));
}

/* Its bytes can be compressed well. */
static bool put_large(void)
{
    record_begin(0, 0, 0);
    for (unsigned i = 0; i < FRAMES; i++)
        record_add_input(FRAME, FRAME, 0, 0);
    record_add_bytes();
    record_finish();
    return primary_put(rec);
}

static void nap(uint64_t ns)
{
    nanosleep(&(struct timespec){0, (long)ns}, NULL);
}

/* ---- compressing ------------------------------------------------------------------------------- */

/* In a turn at this time, a large record leaves. Is it compressed? */
static bool compressed_at(uint64_t when)
{
    uint64_t before = wire;

    assert_true(when >= primary.now);
    primary.now = when;
    assert_true(put_large());
    primary_turn();
    assert_int_equal(ft_ring_used(&primary.lane.log), 0);
    wire = primary_status().log_bytes_wire;
    return wire - before < LARGE / 2;
}

static void assert_nothing_was_compressed(void)
{
    struct rp_status s = primary_status();

    assert_true(s.records_sent > 0);
    assert_true(s.log_bytes_wire >= s.records_sent * LARGE);
    assert_int_equal(s.compressed, 0);
}

static void limit_rate(uint32_t bytes)
{
    assert_int_equal(setsockopt(primary_socket(), SOL_SOCKET, SO_MAX_PACING_RATE, &bytes, sizeof(bytes)), 0);
}

/* A large record, and time passes, for the system as well. */
static bool offer(uint64_t ns)
{
    bool had_room = put_large();

    primary_turn();
    nap(ns);
    primary.now += ns;
    return had_room;
}

TEST_WITH(it_compresses_as_it_is_told, setup, primary_teardown)
{
    primary_close();
    open_with(RP_COMPRESS_ALWAYS);
    assert_true(compressed_at(primary.now));
    primary_close();
    open_with(RP_COMPRESS_NEVER);
    limit_rate(SLOW);
    for (unsigned i = 0; i < 100; i++) { /* whatever the link does */
        offer(2 * MS);
        standby_reads();
    }
    assert_nothing_was_compressed();
}

TEST_WITH(what_drains_is_not_compressed, setup, primary_teardown)
{
    for (unsigned i = 1; i <= 200; i++) {
        offer(0);
        UNTIL(primary.messages == i)
        {
            primary_turn();
            standby_reads();
        }
        primary.now += 3 * MS;
    }
    assert_nothing_was_compressed();
    limit_rate(8 * SLOW); /* bytes are under way all the time, and all that is offered is taken */
    for (unsigned i = 0; i < 30; i++) {
        offer(10 * MS);
        standby_reads();
    }
    assert_nothing_was_compressed();
}

/* Then its processor is the limit, or ours, and never the link. */
TEST_WITH(for_a_peer_that_does_not_read_nothing_is_compressed, setup, primary_teardown)
{
    UNTIL(!offer(4 * MS))
    { /* until there is no room anywhere */
    }
    assert_nothing_was_compressed();
}

/* Offers more than the link takes until records are compressed. When that began. */
static uint64_t stall_by_the_link(void)
{
    struct rp_status s;
    uint64_t at;

    limit_rate(SLOW);
    do {
        primary.now += MS;
        at = primary.now;
        put_large();
        primary_turn();
        standby_reads();
        nap(2 * MS);
        s = primary_status();
    } while (!s.compressing);
    wire = s.log_bytes_wire;
    return at;
}

/* All that waits comes. */
static void recover(void)
{
    uint64_t sent = primary_status().records_sent;

    limit_rate(UINT32_MAX);
    UNTIL(primary.bulk >= sent * LARGE) /* a record takes a little more */
    {
        nap(MS);
        primary_turn();
        standby_reads();
    }
}

static void assert_stands_for(uint64_t found, uint64_t ns)
{
    assert_true(compressed_at(found + ns - MS - 1));
    assert_false(compressed_at(found + ns));
}

/* A yes stands for a second after it was found last; found again within it, for two. */
TEST_WITH(for_a_slow_link_it_compresses_for_a_while, setup, primary_teardown)
{
    uint64_t found = stall_by_the_link();

    assert_int_equal(primary_status().compressed, 1);
    recover();
    assert_stands_for(found, S);
    found = stall_by_the_link();
    assert_int_equal(primary_status().compressed, 2);
    recover();
    assert_stands_for(found, 2 * S);
    primary.now += 3 * S;
    found = stall_by_the_link(); /* long after: a second again */
    recover();
    assert_stands_for(found, S);
}

/* ---- messages ---------------------------------------------------------------------------------- */

/* A turn: did all that was put leave? */
static bool leaves(void)
{
    primary_turn();
    return ft_ring_used(&primary.lane.log) == 0;
}

static bool leaves_after(uint64_t ns)
{
    primary.now += ns;
    return leaves();
}

static void one_has_left_and_one_waits(void)
{
    primary_protect();
    put_small();
    assert_true(leaves());
    put_small();
    assert_false(leaves_after(10000));
}

TEST_WITH(a_small_message_waits_for_two_hundred_microseconds, setup, primary_teardown)
{
    one_has_left_and_one_waits();
    assert_false(leaves_after(189000));
    assert_true(leaves_after(2000));
}

TEST_WITH(a_small_message_waits_until_the_peer_has_received_the_last, setup, primary_teardown)
{
    unsigned before;

    primary_protect();
    before = primary.messages;
    put_small();
    assert_true(leaves());
    put_small();
    standby_acks(primary.burst - 1, primary.burst - 1,
                 0); /* of another lane's, say: it echoes what came before */
    assert_false(leaves_after(10000));
    UNTIL(primary.messages > before)
    {
        standby_reads();
    }
    standby_answers(); /* and what is received need not be closed, as its burst may wait for another lane's */
    assert_true(leaves_after(10000));
}

TEST_WITH(a_message_of_full_size_does_not_wait, setup, primary_teardown)
{
    primary_protect();
    put_small();
    assert_true(leaves());
    put_large();
    assert_false(leaves_after(10000));
    put_large();
    put_large();
    primary_turn();
    assert_true(leaves());
}

TEST_WITH(nothing_waits_while_outputs_wait_for_the_standby_to_be_ready, setup, primary_teardown)
{
    for (unsigned i = 0; i < 5; i++) {
        put_small();
        assert_true(leaves_after(1000));
    }
}

TEST_WITH(nothing_waits_in_a_handover, setup, primary_teardown)
{
    one_has_left_and_one_waits();
    rp_request(primary.replicator, FT_REQUEST_HANDOVER);
    assert_true(leaves_after(10000));
}
