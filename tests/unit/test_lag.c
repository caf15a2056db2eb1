/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far a standby is behind, as lanes and status are told: of a real replicator whose lane and standby are
 * the test, which also gives the time.
 */
#include "tests/help/primary.h"
#include "tests/help/test.h"

#define REMEMBERED 65536u /* bursts whose place among the packets the sender remembers */

/* Bursts of ten packets each, sent. */
static void send_up_to(uint64_t last)
{
    unsigned before = primary.messages;

    while (primary.burst < last)
        assert_true(primary_put_packets(10));
    UNTIL(ft_ring_used(&primary.lane.log) == 0)
    {
        primary_turn();
    }
    UNTIL(primary.messages > before)
    {
        standby_reads();
    }
}

/* The lag in ns after an acknowledgement of these bursts, stored and replayed, so many us later. */
static uint64_t lag_after(uint64_t us, uint64_t stored, uint64_t replayed)
{
    standby_acks(stored, replayed, 0);
    primary.now += us * 1000;
    primary_turn();
    return atomic_load(&primary.lane.orders.lag_ns);
}

TEST_WITH(what_is_left_takes_what_packets_took_of_late, primary_setup, primary_teardown)
{
    send_up_to(1010);
    assert_int_equal(lag_after(0, 1010, 11), 0); /* how fast it is nobody knows yet */
    assert_int_equal(lag_after(1000, 1010, 111), 0);
    /* 1,000 packets in a millisecond: 1 us each, for the 8,000 that are left. */
    assert_int_equal(lag_after(1000, 1010, 211), 8000 * 1000 - 10 * 1000);
    assert_int_equal(lag_after(500, 1010, 1000), 10 * 10 * 1000);
    assert_int_equal(lag_after(100, 1010, 1010), 0);
}

TEST_WITH(a_window_with_nothing_to_replay_counts_only_when_it_was_quicker, primary_setup, primary_teardown)
{
    send_up_to(3010);
    lag_after(0, 1000, 11);
    lag_after(1000, 1000, 111);
    assert_int_equal(lag_after(1000, 1000, 211), (1000 - 211) * 10 * 1000);
    lag_after(1, 1000, 1000); /* all that it has is replayed, which says nothing of its speed */
    lag_after(1000000, 1000, 1000);
    assert_int_equal(lag_after(1000, 3010, 1001),
                     (3010 - 1001) * 10 * 1000); /* the speed is that of before */
    assert_int_equal(lag_after(1000, 3010, 1101), (3010 - 1101) * 10 * 1000);
    lag_after(1000, 3010,
              3010); /* it had nothing left, and was quicker than 0.06 us a packet: a quarter of the way */
    send_up_to(4010);
    assert_true(lag_after(10, 4010, 3010) > 10000 * 740 && lag_after(0, 4010, 3010) < 10000 * 780);
}

/* An acknowledgement is sent when something is stored, before it can be replayed: one of a standby that keeps
 * up always tells of something left. */
TEST_WITH(a_standby_that_keeps_up_is_not_measured, primary_setup, primary_teardown)
{
    send_up_to(3010);
    for (uint64_t burst = 11; burst < 1011; burst++)
        assert_int_equal(lag_after(50, burst + 1, burst), 0);
    assert_int_equal(lag_after(50, 3010, 1011), 0);
}

TEST_WITH(a_window_without_progress_stays_open, primary_setup, primary_teardown)
{
    send_up_to(1010);
    lag_after(0, 1010, 11);
    lag_after(1000, 1010, 12);
    for (unsigned i = 0; i < 9; i++)
        lag_after(1000, 1010, 12);
    /* Ten packets in nine milliseconds: 0.9 ms each. */
    assert_int_equal(lag_after(0, 1010, 13), (1010 - 13) * 10 * 900000ull);
}

TEST_WITH(what_is_on_its_way_does_not_count, primary_setup, primary_teardown)
{
    send_up_to(1010);
    lag_after(0, 411, 11);
    lag_after(1000, 411, 111);
    assert_int_equal(lag_after(1000, 411, 211), (411 - 211) * 10 * 1000);
    assert_int_equal(lag_after(10, 421, 411), 10 * 10 * 1000);
    assert_int_equal(lag_after(10, 421, 421), 0);
}

TEST_WITH(what_a_snapshot_holds_does_not_count, primary_setup, primary_teardown)
{
    assert_int_equal(lag_after(10, 10, 3), 0);
    send_up_to(20);
    assert_int_equal(lag_after(1000, 20, 10), 0);
    assert_int_equal(lag_after(2000, 20, 10), 0); /* it stands, but what of the log it took nobody knows */
}

TEST_WITH(neither_a_warm_standby_lags_nor_one_that_is_gone, primary_setup, primary_teardown)
{
    send_up_to(1010);
    lag_after(0, 1010, 11);
    lag_after(1000, 1010, 111);
    assert_true(lag_after(1000, 1010, 211) > 0);
    standby_ends();
    UNTIL(atomic_load(&primary.lane.orders.lag_ns) == 0)
    {
        primary_turn();
    }
    primary_close();

    primary_open((struct primary_options){.compress = RP_COMPRESS_NEVER, .warm = true});
    send_up_to(1010);
    lag_after(0, 1010, 11);
    lag_after(1000, 1010, 111);
    assert_int_equal(lag_after(1000, 1010, 211), 0);
}

/* A standby that is further behind than the sender remembers is so far at least. */
TEST_WITH(the_lag_in_packets_never_shrinks_by_forgetting, primary_setup, primary_teardown)
{
    for (uint64_t burst = PRIMARY_CUT + 1000; burst <= 30 + REMEMBERED; burst += 1000) {
        send_up_to(burst);
        standby_acks(burst, 12, primary.bytes); /* credit */
        primary_turn();
    }
    send_up_to(30 + REMEMBERED);
    standby_acks(30 + REMEMBERED, 12, primary.bytes);
    assert_int_equal(primary_status().lag_packets, (REMEMBERED - 1) * 10);
    standby_acks(30 + REMEMBERED, 20 + REMEMBERED, primary.bytes);
    assert_int_equal(primary_status().lag_packets, 100);
}

/* What several threads ask of the replicator in one turn: none takes the place of another. */

static int setup_requests(void **state)
{
    primary_open((struct primary_options){.compress = RP_COMPRESS_NEVER});
    primary_protect();
    return 0;
}

/* `apply` has asked for a resync when tracking asks for a handover, which can wait. */
TEST_WITH(a_resync_is_not_lost_for_a_handover, setup_requests, primary_teardown)
{
    assert_int_equal(primary_status().core.state, FT_PROTECTED);
    rp_request(primary.replicator, FT_REQUEST_RESYNC);
    rp_request(primary.replicator, FT_REQUEST_HANDOVER);
    primary_turn();
    assert_int_not_equal(primary_status().core.state, FT_PROTECTED);
    assert_int_equal(primary_status().core.hand, FT_HAND_NONE);
}

TEST_WITH(each_alone_is_done, setup_requests, primary_teardown)
{
    rp_request(primary.replicator, FT_REQUEST_HANDOVER);
    primary_turn();
    assert_int_equal(primary_status().core.state, FT_PROTECTED);
    assert_int_equal(primary_status().core.hand, FT_HAND_STEER);
}
