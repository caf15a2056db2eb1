/* SPDX-License-Identifier: Apache-2.0 */
/* What a primary's lane says that it has waited for its standby, turn by turn at times that the test says. */
#include "tests/help/lane.h"
#include "tests/help/test.h"

#define SLOW_MS 5u
#define US      1000ull

static struct lane_world *const w = &lane_world;

static uint64_t now_us, sent_by_port;

/* The port takes so many frames, and no more. */
static uint32_t send_some(void *ctx, unsigned lane, unsigned port, const struct ft_held held[], uint32_t n)
{
    n = n < sent_by_port ? n : (uint32_t)sent_by_port;
    sent_by_port -= n;
    return lane_ports.send(ctx, lane, port, held, n);
}

static int setup(void **state)
{
    static struct nd_io io;

    (void)state;
    io = lane_ports;
    io.send = send_some;
    sent_by_port = UINT64_MAX;
    lane_open(&io);
    now_us = 1000000;
    w->config->protect.slow_ms = SLOW_MS;
    w->config->protect.gather_us = 0;
    w->group.stream.kind = ND_STREAM_RECORDS;
    atomic_store(&w->shared->orders.logging, true);
    atomic_store(&w->shared->orders.lease_until, FT_ALL - 1); /* a standby is there */
    return 0;
}

#define COST(name) TEST_WITH(name, setup, lane_teardown)

static void turn_after(uint64_t us)
{
    now_us += us;
    w->lane.now = now_us * US;
    nd_lane_live(&w->lane);
}

/* Turns for so long, one each 500 us. */
static void turns_for(uint64_t us)
{
    for (uint64_t passed = 0; passed < us; passed += 500)
        turn_after(500);
}

static void packet(void)
{
    lane_arrives(80);
}

/* All that was executed. */
static void acknowledged(void)
{
    atomic_store(&w->shared->orders.stable, atomic_load(&w->shared->report.executed));
}

static void all_is_stable(void)
{
    atomic_store(&w->shared->orders.stable, FT_ALL - 1);
}

static uint64_t beside(void)
{
    return atomic_load(&w->shared->count.beside_ns) / US;
}

static uint64_t waited(enum ft_wait what)
{
    return atomic_load(&w->shared->count.waited_ns[what]) / US;
}

static uint64_t waited_in_all(void)
{
    uint64_t sum = 0;

    for (enum ft_wait what = FT_WAIT_NONE + 1; what < FT_WAITS; what++)
        sum += waited(what);
    return sum;
}

COST(alone_nothing_is_waited_for)
{
    atomic_store(&w->shared->orders.lease_until, FT_ALL);
    all_is_stable();
    packet();
    turns_for(20000);
    assert_int_equal(beside(), 0);
    assert_int_equal(waited_in_all(), 0);
}

COST(an_output_counts_from_when_it_has_waited_for_slow_ms)
{
    turn_after(0);
    packet();
    turn_after(500);
    turns_for(SLOW_MS * 1000);
    assert_int_equal(waited_in_all(), 0);
    turns_for(3000);
    assert_int_equal(waited(FT_WAIT_OUTPUT), 3000);
    acknowledged();
    turns_for(4000); /* the turn that lets it out ends half a millisecond more */
    assert_int_equal(waited(FT_WAIT_OUTPUT), 3500);
    assert_int_equal(waited_in_all(), 3500);
    assert_int_equal(beside(), 500 + SLOW_MS * 1000 + 3000 + 4000);
    assert_int_equal(w->lefts, 1);
}

/* Of how many outputs more than the bound before, and no more than that many us, was waited for. */
static uint64_t waited_up_to(uint64_t us)
{
    unsigned i = 0;

    while (ft_histogram_bound(i) != us * US)
        i++;
    return atomic_load(&w->shared->count.output_wait.bucket[i]);
}

COST(outputs_are_counted_by_how_long_they_waited)
{
    const struct ft_histogram *h = &w->shared->count.output_wait;

    turn_after(0);
    packet();
    turn_after(500);
    turns_for(3000);
    assert_int_equal(atomic_load(&h->count), 0);
    acknowledged();
    turn_after(500); /* it is seen half a millisecond later */
    assert_int_equal(atomic_load(&h->count), 1);
    assert_int_equal(atomic_load(&h->sum_ns), 3500 * US);
    assert_int_equal(waited_up_to(5000), 1);
    packet();
    turn_after(500);
    acknowledged();
    turn_after(250);
    assert_int_equal(atomic_load(&h->sum_ns), 3750 * US);
    assert_int_equal(waited_up_to(250), 1);
    packet();
    turn_after(500);
    for (unsigned i = 0; i < 1500; i++) /* a turn without sleep counts for a millisecond at most */
        turn_after(1000);
    acknowledged();
    turn_after(500);
    assert_int_equal(atomic_load(&h->count), 3);
    assert_int_equal(waited_up_to(1000000), 0); /* longer than the last bound: in count and sum alone */
    assert_int_equal(atomic_load(&h->sum_ns), (3750 + 1500500) * US);
}

COST(what_waits_behind_a_late_one_counts_from_its_beginning)
{
    turn_after(0);
    for (unsigned i = 0; i < 4; i++) {
        packet();
        turn_after(500); /* on its way when the one before is acknowledged */
        turns_for(SLOW_MS * 1000 + 1000);
        acknowledged();
    }
    turn_after(500);
    /* Of the first what is beyond slow_ms; of the others all. Each is seen half a millisecond later. */
    assert_int_equal(waited_in_all(), 1000 + 3 * (500 + SLOW_MS * 1000 + 1000) + 500);
    /* One that is in time ends that. */
    packet();
    turn_after(500);
    acknowledged();
    turn_after(500);
    uint64_t before = waited_in_all();

    packet();
    turns_for(SLOW_MS * 1000);
    assert_int_equal(waited_in_all(), before);
}

COST(a_time_in_which_the_lane_did_not_run_does_not_count)
{
    turn_after(0);
    packet();
    turn_after(500);
    turn_after(80000);
    turn_after(80000);
    assert_int_equal(beside(), 500 + 1000 + 1000);
    assert_int_equal(waited_in_all(), 0);
    w->lane.turn.slept = 4000 * US; /* as long as it was to sleep, it waited */
    turn_after(4500);
    assert_int_equal(beside(), 2500 + 4500);
    assert_int_equal(waited(FT_WAIT_OUTPUT), 4500);
}

COST(no_room_counts_by_what_it_is_for)
{
    turn_after(0);
    atomic_store(&w->shared->orders.lag_ns, UINT64_MAX);
    turns_for(1000);
    atomic_store(&w->shared->orders.lag_ns, 0);
    turns_for(2000);
    assert_int_equal(waited(FT_WAIT_REPLAY), 1000);
    for (unsigned i = 0; i < 300; i++)
        packet();
    turns_for(4500); /* 128 of 256 places have to be free for a burst: four are run */
    assert_true(atomic_load(&w->shared->count.hold_full) > 0);
    assert_int_equal(waited(FT_WAIT_REPLAY), 1000);
    assert_true(waited(FT_WAIT_HOLD) > 0 && waited(FT_WAIT_HOLD) < 4500);
    assert_int_equal(waited(FT_WAIT_LOG), 0);
}

COST(a_port_that_takes_nothing_is_not_the_standbys)
{
    sent_by_port = 0;
    turn_after(0);
    all_is_stable();
    for (unsigned i = 0; i < 300; i++)
        packet();
    turns_for(30000);
    assert_true(atomic_load(&w->shared->count.hold_full) > 0);
    assert_true(atomic_load(&w->shared->count.tx_refused) > 0);
    assert_int_equal(waited_in_all(), 0);
}

COST(a_lease_that_is_over_is_the_standbys)
{
    turn_after(0);
    all_is_stable();
    atomic_store(&w->shared->orders.lease_until, now_us * US);
    packet();
    turn_after(500);
    turns_for(SLOW_MS * 1000 + 2000);
    assert_int_equal(waited(FT_WAIT_OUTPUT), 2000);
    atomic_store(&w->shared->orders.lease_until, FT_ALL - 1);
    turns_for(2000);
    assert_int_equal(waited_in_all(), 2500);
}
