/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far a standby is behind, as lanes and status are told: records sent over a real connection on the
 * loopback, acknowledgements as the core has them. Time as the replicator sees it is given.
 */
#include "replicator/parts.h"
#include "tests/unit/help_net.h"
#include "tests/unit/help_record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define A "127.0.0.1"
#define B "127.0.0.2"

static struct rp_link *a, *b;
static struct rp_replicator rp;
static struct ft_lane lane;

static int setup(void **state)
{
    static const char *const hosts[2] = {A, B};
    struct rp_link *links[2];
    uint16_t ports[2];

    (void)state;
    help_links(links, hosts, ports);
    a = links[0];
    b = links[1];
    memset(&rp, 0, sizeof(rp));
    memset(&lane, 0, sizeof(lane));
    rp.lanes = 1;
    rp.link = a;
    rp.now = 1000000000;
    rp.config.lanes = &lane;
    rp.core.state = FT_DEGRADED; /* no message is held */
    rp.config.pending_bytes = 64u << 20;
    rp.config.compress = RP_COMPRESS_NEVER;
    if (ft_lane_init(&lane, 1u << 20, 1u << 20) || rp_sender_init(&rp))
        return -1;
    atomic_store(&lane.report.cut_burst, 10); /* the snapshot holds bursts up to this one */
    rp_sender_begin(&rp);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rp_sender_free(&rp);
    ft_lane_free(&lane);
    rp_link_close(a);
    rp_link_close(b);
    return 0;
}

/* A burst of ten packets, sent. */
static void send(uint64_t burst)
{
    record_begin(0, FT_REC_BY_SEQ, burst);
    rec->inputs = 10;
    rec->seq = 1 + (burst - 11) * 10;
    record_finish();
    memcpy(ft_ring_reserve(&lane.log, rec->size), rec, rec->size);
    ft_ring_publish(&lane.log, rec->size);
    assert_true(rp_sender_turn(&rp));
}

static void send_up_to(uint64_t last)
{
    for (uint64_t burst = rp.sender.burst[0] ? rp.sender.burst[0] + 1 : 11; burst <= last; burst++)
        send(burst);
}

/* The lag in ns after an acknowledgement of these bursts, stored and replayed, so many us later. */
static uint64_t lag_after(uint64_t us, uint64_t stored, uint64_t replayed)
{
    rp.now += us * 1000;
    rp.core.peer_closed[0] = stored;
    rp.core.peer_replayed[0] = replayed;
    rp_sender_turn(&rp);
    return atomic_load(&lane.orders.lag_ns);
}

static void what_is_left_takes_what_packets_took_of_late(void **state)
{
    (void)state;
    send_up_to(1010);
    assert_int_equal(lag_after(0, 1010, 11), 0); /* how fast it is nobody knows yet */
    assert_int_equal(lag_after(1000, 1010, 111), 0);
    /* 1,000 packets in a millisecond: 1 us each, for the 8,000 that are left. */
    assert_int_equal(lag_after(1000, 1010, 211), 8000 * 1000 - 10 * 1000);
    assert_int_equal(lag_after(500, 1010, 1000), 10 * 10 * 1000);
    assert_int_equal(lag_after(100, 1010, 1010), 0);
}

static void a_window_with_nothing_to_replay_counts_only_when_it_was_quicker(void **state)
{
    (void)state;
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
static void a_standby_that_keeps_up_is_not_measured(void **state)
{
    (void)state;
    send_up_to(3010);
    for (uint64_t burst = 11; burst < 1011; burst++)
        assert_int_equal(lag_after(50, burst + 1, burst), 0);
    assert_int_equal(lag_after(50, 3010, 1011), 0);
}

static void a_window_without_progress_stays_open(void **state)
{
    (void)state;
    send_up_to(1010);
    lag_after(0, 1010, 11);
    lag_after(1000, 1010, 12);
    for (unsigned i = 0; i < 9; i++)
        lag_after(1000, 1010, 12);
    /* Ten packets in nine milliseconds: 0.9 ms each. */
    assert_int_equal(lag_after(0, 1010, 13), (1010 - 13) * 10 * 900000ull);
}

static void what_is_on_its_way_does_not_count(void **state)
{
    (void)state;
    send_up_to(1010);
    lag_after(0, 1010, 11);
    lag_after(1000, 1010, 111);
    lag_after(1000, 1010, 211);
    assert_int_equal(lag_after(10, 221, 211), 10 * 10 * 1000);
    assert_int_equal(lag_after(10, 221, 221), 0);
}

static void what_a_snapshot_holds_does_not_count(void **state)
{
    (void)state;
    assert_int_equal(lag_after(10, 10, 3), 0);
    send_up_to(20);
    assert_int_equal(lag_after(1000, 20, 10), 0);
    assert_int_equal(lag_after(2000, 20, 10), 0); /* it stands, but what of the log it took nobody knows */
}

static void a_warm_standby_does_not_lag(void **state)
{
    (void)state;
    rp.config.core.warm = true;
    send_up_to(1010);
    lag_after(0, 1010, 11);
    lag_after(1000, 1010, 111);
    assert_int_equal(lag_after(1000, 1010, 211), 0);
    rp.config.core.warm = false;
    lag_after(1000, 1010, 311);
    lag_after(1000, 1010, 411);
    assert_true(lag_after(1000, 1010, 511) > 0);
    rp.sender.on = false; /* nor one that is not there */
    assert_int_equal(lag_after(1000, 1010, 611), 0);
}

/* Bursts are remembered as many as RP_SEQ_MEMORY; a standby that is further behind is so far at least. */
static void the_lag_in_packets_never_shrinks_by_forgetting(void **state)
{
    struct ft_message m;

    (void)state;
    for (uint64_t burst = 11; burst <= 30 + RP_SEQ_MEMORY; burst++) {
        send(burst);
        rp_link_flush(a);
        for (rp_link_poll(b, rp_monotonic()); rp_link_next(b, 1, &m, &(struct ft_fault){""}) > 0;)
            ;
        rp.core.peer_taken[0] = rp.sender.sent[0]; /* credit */
    }
    rp.core.peer_replayed[0] = 20 + RP_SEQ_MEMORY;
    assert_int_equal(rp_lag_packets(&rp), 100);
    rp.core.peer_replayed[0] = 12;
    assert_int_equal(rp_lag_packets(&rp), (RP_SEQ_MEMORY - 1) * 10);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_left_takes_what_packets_took_of_late),
        TEST(a_window_with_nothing_to_replay_counts_only_when_it_was_quicker),
        TEST(a_standby_that_keeps_up_is_not_measured),
        TEST(a_window_without_progress_stays_open),
        TEST(what_is_on_its_way_does_not_count),
        TEST(what_a_snapshot_holds_does_not_count),
        TEST(a_warm_standby_does_not_lag),
        TEST(the_lag_in_packets_never_shrinks_by_forgetting),
    };

    return cmocka_run_group_tests_name("lag", tests, NULL, NULL);
}
