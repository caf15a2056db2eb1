/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the sender tells a lane of how far its standby lags: over a real connection on the loopback, with real
 * records in the lane's ring and acknowledgements as the core has them.
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
    uint16_t port_a = help_free_port(A), port_b = help_free_port(B);
    struct rp_link_config to_b = {A, B, port_a, port_b, true, 20}, to_a = {B, A, port_b, port_a, false, 20};
    struct ft_fault why;

    (void)state;
    if (rp_link_open(&a, &to_b, &why) || rp_link_open(&b, &to_a, &why))
        return -1;
    for (bool fresh_a = false, fresh_b = false; !fresh_a || !fresh_b;) {
        fresh_a |= rp_link_poll(a, rp_monotonic());
        fresh_b |= rp_link_poll(b, rp_monotonic());
    }
    memset(&rp, 0, sizeof(rp));
    memset(&lane, 0, sizeof(lane));
    rp.lanes = 1;
    rp.link = a;
    rp.config.lanes = &lane;
    rp.core.state = FT_PROTECTED;
    rp.config.pending_bytes = 1u << 20;
    rp.config.compress = RP_COMPRESS_NEVER;
    if (ft_lane_init(&lane, 1u << 20, 1u << 20) || rp_sender_init(&rp))
        return -1;
    atomic_store(&lane.cut_burst, 10); /* the base holds bursts up to this one */
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

/* An empty burst of the lane, at this time of its chain. */
static void burst_at(uint64_t burst, uint64_t time)
{
    record_begin(0, 0, burst);
    record_add_bytes();
    rec->time = time;
    record_finish();
    memcpy(ft_ring_reserve(&lane.log, rec->size), rec, rec->size);
    ft_ring_publish(&lane.log, rec->size);
}

/* The lag after an acknowledgement of these bursts: stored, and replayed. */
static uint64_t lag_after(uint64_t stored, uint64_t replayed)
{
    rp.core.peer_closed[0] = stored;
    rp.core.peer_replayed[0] = replayed;
    rp_sender_turn(&rp);
    return atomic_load(&lane.lag_ns);
}

static void send_five(void)
{
    static const uint64_t times[] = {1000, 1010, 1500, 9000, 9700};

    for (unsigned i = 0; i < 5; i++)
        burst_at(11 + i, times[i]);
    assert_true(rp_sender_turn(&rp));
}

static void the_lag_is_the_time_of_what_is_stored_and_not_replayed(void **state)
{
    (void)state;
    send_five();
    assert_int_equal(lag_after(15, 15), 0);
    assert_int_equal(lag_after(15, 14), 0); /* one burst is at one time */
    assert_int_equal(lag_after(15, 13), 700);
    assert_int_equal(lag_after(15, 12), 8200); /* from the third on: what was before it is replayed */
    assert_int_equal(lag_after(15, 10), 8700);
}

static void what_is_on_its_way_does_not_count(void **state)
{
    (void)state;
    send_five();
    assert_int_equal(lag_after(13, 10), 500);
    assert_int_equal(lag_after(11, 11), 0);
    assert_int_equal(lag_after(10, 10), 0);
}

static void what_a_base_holds_does_not_count(void **state)
{
    (void)state;
    assert_int_equal(lag_after(10, 0), 0); /* nothing was sent yet */
    send_five();
    assert_int_equal(lag_after(12, 3), 10);
}

static void more_bursts_than_are_remembered_are_too_many(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < RP_CLOCKS + 1; i++) {
        burst_at(11 + i, 1000 + i);
        rp_sender_turn(&rp);
        for (struct ft_message m;
             rp_link_poll(b, rp_monotonic()), rp_link_next(b, 1, &m, &(struct ft_fault){0}) > 0;)
            ;
        rp_link_flush(a);
        rp.core.peer_taken[0] = rp.sender.sent[0]; /* credit */
    }
    assert_true(lag_after(12, 10) == UINT64_MAX); /* the eleventh is forgotten */
    assert_int_equal(lag_after(11 + RP_CLOCKS, 11), RP_CLOCKS - 1);
}

static void without_a_standby_there_is_no_lag(void **state)
{
    (void)state;
    send_five();
    assert_int_equal(lag_after(15, 11), 8690);
    rp.sender.on = false;
    assert_int_equal(lag_after(15, 11), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_lag_is_the_time_of_what_is_stored_and_not_replayed),
        TEST(what_is_on_its_way_does_not_count),
        TEST(what_a_base_holds_does_not_count),
        TEST(more_bursts_than_are_remembered_are_too_many),
        TEST(without_a_standby_there_is_no_lag),
    };

    return cmocka_run_group_tests_name("sender", tests, NULL, NULL);
}
