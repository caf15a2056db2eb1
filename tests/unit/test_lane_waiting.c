/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A primary's lane whose hold is full: while it may release it leaves frames in the port's queue; when its
 * lease has run out it hears heartbeats that come behind them, and what waits meanwhile is worked on in
 * order. While it logs, a burst that is not full waits for more packets, and for nothing else.
 */
#include "lane/frames.h"
#include "node/base/clock.h"
#include "lane/lane.h"
#include "tests/help/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#define BUFFERS 512u /* so the hold has 256 places, and 128 frames may wait */
#define FRAME   80u
#define NUMBER  20u /* where a frame has its number */

static struct {
    uint8_t pool[2 * BUFFERS][FRAME];
    void *free[2 * BUFFERS];
    unsigned frees;
    void *queue[2 * BUFFERS]; /* of port 0 */
    unsigned first, last;
    uint32_t left[2 * BUFFERS]; /* numbers of what left */
    unsigned lefts;
    struct ft_region *region;
    struct nd_lane lane;
    struct nd_group group;
    struct ft_lane_shared shared;
    struct nd_question question;
    struct nd_config *config;
    _Atomic uint64_t view;
    _Atomic bool stop;
} w;

static uint32_t io_receive(void *ctx, unsigned lane, unsigned port, struct nd_frame frames[], uint32_t max)
{
    uint32_t n = 0;

    (void)ctx, (void)lane;
    while (port == 0 && n < max && w.first < w.last)
        frames[n++] = (struct nd_frame){.data = w.queue[w.first], .len = FRAME, .owner = w.queue[w.first]},
        w.first++;
    return n;
}

static void io_drop(void *ctx, void *owner)
{
    (void)ctx;
    w.free[w.frees++] = owner;
}

static uint32_t io_send(void *ctx, unsigned lane, unsigned port, const struct ft_held held[], uint32_t n)
{
    (void)ctx, (void)lane, (void)port;
    for (uint32_t i = 0; i < n; i++) {
        memcpy(&w.left[w.lefts++], (uint8_t *)held[i].packet + NUMBER, 4);
        io_drop(NULL, held[i].packet);
    }
    return n;
}

static void *io_make(void *ctx, unsigned lane, const void *frame, uint32_t len)
{
    (void)ctx, (void)lane, (void)frame, (void)len;
    return NULL;
}

static uint8_t *io_data(void *owner)
{
    return owner;
}

static struct nd_io io = {.ports = 2,
                          .devices = 2,
                          .side = {NF_INSIDE, NF_OUTSIDE},
                          .buffers = BUFFERS,
                          .receive = io_receive,
                          .send = io_send,
                          .make = io_make,
                          .data = io_data,
                          .drop = io_drop};

static uint8_t *arrive(void)
{
    uint8_t *frame = w.free[--w.frees];

    w.queue[w.last++] = memset(frame, 0, FRAME);
    return frame;
}

static void data_arrives(unsigned n)
{
    static uint32_t number;

    number = w.last == 0 ? 0 : number;
    for (unsigned i = 0; i < n; i++, number++)
        memcpy(arrive() + NUMBER, &number, 4);
}

static const struct ft_datagram_key peer = {.incarnation = 77};

static void heartbeat_arrives(uint64_t view)
{
    nd_heartbeat_write(arrive(), (const uint8_t[6]){6, 0, 0, 0, 0, 9}, &peer,
                       &(struct ft_datagram){0, FT_HEARTBEAT, view, view, 0, 0, {0}});
}

static uint64_t view_heard(void)
{
    return atomic_load(&w.shared.report.heartbeat_view);
}

/* Packets that the lane has executed. */
static uint64_t executed(void)
{
    return atomic_load(&w.shared.count.received);
}

static void turns(unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        w.lane.now = nd_now();
        nd_lane_live(&w.lane);
    }
}

static int setup(void **state)
{
    static const char text[] = "chain: { name: test, nfs: [ forward: { merged: false } ] }\n";
    static const struct ft_region_config how = {.name = "test", .shared_size = FT_ARENA_MIN};
    struct ft_fault fault = {""};

    (void)state;
    memset(&w, 0, sizeof(w));
    if (nd_config_read(&w.config, help_config_file("chain.yaml", text, sizeof(text) - 1), 0, &fault) ||
        nf_chain_region(&w.region, &w.config->chain, &how, &fault))
        fail_msg("%s", fault.text);
    for (w.frees = 0; w.frees < 2 * BUFFERS; w.frees++)
        w.free[w.frees] = w.pool[w.frees];
    nd_group_init(&w.group, &w.lane, 1);
    assert_int_equal(ft_lane_init(&w.shared, 1 << 20, 1 << 20), 0);
    w.lane = (struct nd_lane){.config = &w.config->chain,
                              .protect = &w.config->protect,
                              .setup.heartbeat_ms = w.config->timing.heartbeat_ms,
                              .io = &io,
                              .region = w.region,
                              .shared = &w.shared,
                              .group = &w.group,
                              .setup.question = &w.question,
                              .setup.seed = 7,
                              .setup.self = {5, {6, 7}},
                              .setup.view = &w.view,
                              .setup.stop = &w.stop,
                              .doing = FT_LANE_LIVE};
    if (nd_lane_make(&w.lane, &fault))
        fail_msg("%s", fault.text);
    atomic_store(&w.shared.orders.peer_incarnation, peer.incarnation);
    atomic_store(&w.shared.orders.lease_until, FT_ALL); /* it may release, but nothing is stable */
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    nd_lane_free(&w.lane);
    ft_lane_free(&w.shared);
    ft_region_close(w.region);
    nd_config_free(w.config);
    return 0;
}

static void while_a_lane_may_release_frames_stay_with_the_port(void **state)
{
    (void)state;
    data_arrives(400);
    heartbeat_arrives(9);
    turns(100);
    assert_true(atomic_load(&w.shared.count.hold_full) > 0);
    assert_int_equal(view_heard(), 0);
    assert_int_equal(executed(), w.first); /* none that it took waits */
    assert_int_equal(w.lefts, 0);
}

static void without_a_lease_a_lane_hears_heartbeats_behind_frames(void **state)
{
    uint64_t held;

    (void)state;
    data_arrives(280);
    turns(100);
    held = executed();
    assert_true(held < 280 && held + 128 >= 280);
    heartbeat_arrives(9);
    data_arrives(1);
    atomic_store(&w.shared.orders.lease_until, 0);
    turns(20);
    assert_int_equal(view_heard(), 9);
    assert_int_equal(executed(), held); /* no burst was run for it */
    assert_int_equal(w.first, w.last);  /* all that it took beside waits */
    assert_int_equal(atomic_load(&w.shared.count.waiting_full), 0);
    /* The standby has answered. Nothing is lost, and all in order. */
    atomic_store(&w.shared.orders.stable, FT_ALL);
    atomic_store(&w.shared.orders.lease_until, FT_ALL);
    data_arrives(1);
    turns(30);
    assert_int_equal(w.lefts, 282);
    for (unsigned i = 0; i < w.lefts; i++)
        assert_int_equal(w.left[i], i);
}

static void a_lane_hears_heartbeats_when_no_more_frames_can_wait(void **state)
{
    uint64_t held;

    (void)state;
    data_arrives(600);
    heartbeat_arrives(4);
    turns(100);
    held = executed();
    atomic_store(&w.shared.orders.lease_until, 0);
    turns(30);
    assert_int_equal(view_heard(), 4);
    assert_int_equal(atomic_load(&w.shared.count.waiting_full), 600 - held - 128);
    heartbeat_arrives(5);
    turns(1);
    assert_int_equal(view_heard(), 5);
    /* Fenced: all of it goes. */
    nd_lane_drop_held(&w.lane);
    assert_int_equal(w.frees, 2 * BUFFERS);
}

/* The lane logs and releases at once. A burst waits for so many us. */
static void gathering(uint32_t us)
{
    w.config->protect.gather_us = us;
    w.group.stream.kind = ND_STREAM_RECORDS;
    atomic_store(&w.shared.orders.logging, true);
    atomic_store(&w.shared.orders.stable, FT_ALL);
}

/* A turn at this moment, us; how many bursts were run. */
static uint64_t turn_at(uint64_t us)
{
    uint64_t before = atomic_load(&w.shared.count.bursts);

    w.lane.now = 1000000000 + us * 1000;
    nd_lane_live(&w.lane);
    return atomic_load(&w.shared.count.bursts) - before;
}

static void a_logged_burst_waits_for_more_packets_since_its_first(void **state)
{
    (void)state;
    gathering(10);
    data_arrives(3);
    assert_int_equal(turn_at(0), 0);
    data_arrives(2);
    assert_int_equal(turn_at(9), 0);
    assert_int_equal(w.lefts, 0);
    assert_int_equal(turn_at(10), 1); /* ten after the first, not after the last */
    assert_int_equal(w.lefts, 5);
    for (unsigned i = 0; i < w.lefts; i++)
        assert_int_equal(w.left[i], i);
    data_arrives(1);
    assert_int_equal(turn_at(11), 0); /* the next burst's wait begins with its own first packet */
    assert_int_equal(turn_at(20), 0);
    assert_int_equal(turn_at(21), 1);
}

static void a_full_burst_never_waits(void **state)
{
    (void)state;
    gathering(1000);
    data_arrives(20);
    assert_int_equal(turn_at(0), 0);
    data_arrives(30);
    assert_int_equal(turn_at(1), 1);
    assert_int_equal(w.lefts, 32);
    data_arrives(14);
    assert_int_equal(turn_at(2), 1); /* 18 were left, and 14 make it full */
    assert_int_equal(w.lefts, 64);
}

static void nothing_waits_where_nothing_is_logged_or_none_is_to_wait(void **state)
{
    (void)state;
    gathering(1000);
    atomic_store(&w.shared.orders.logging, false);
    data_arrives(1);
    assert_int_equal(turn_at(0), 1);
    gathering(0);
    data_arrives(1);
    assert_int_equal(turn_at(1), 1);
    gathering(1000);
    nd_lane_follow(&w.lane, ft_order_make(FT_LANE_DRAIN, 1));
    data_arrives(1);
    assert_int_equal(turn_at(2), 1);
}

static void heartbeats_and_address_resolution_do_not_wait(void **state)
{
    (void)state;
    gathering(1000);
    data_arrives(1);
    assert_int_equal(turn_at(0), 0);
    heartbeat_arrives(9);
    assert_int_equal(turn_at(1), 0);
    assert_int_equal(view_heard(), 9);
    memcpy(arrive() + 12, "\x08\x06", 2);
    assert_int_equal(turn_at(2), 1);
    data_arrives(1);
    assert_int_equal(turn_at(3), 0); /* the next burst has none */
}

static bool is_drained(void)
{
    return atomic_load(&w.shared.report.done) == ft_order_make(FT_LANE_DRAIN, 1);
}

static void a_lane_is_drained_when_nothing_came_for_a_while(void **state)
{
    (void)state;
    gathering(1000);
    turn_at(0);
    nd_lane_follow(&w.lane, ft_order_make(FT_LANE_DRAIN, 1));
    for (uint64_t us = 0; us <= 10000; us += 1000) {
        data_arrives(1);
        assert_int_equal(turn_at(us), 1);
        assert_false(is_drained());
    }
    turn_at(12900);
    assert_false(is_drained());
    turn_at(13000); /* three milliseconds after the last one */
    assert_true(is_drained());
    assert_int_equal(w.lefts, 11);
}

static void a_lane_receives_nothing_while_the_standby_lags_beyond_the_budget(void **state)
{
    uint64_t budget = w.config->protect.recovery_budget_ms * 1000000ull;

    (void)state;
    gathering(0);
    atomic_store(&w.shared.orders.lease_until, FT_ALL - 1); /* a standby is there, so not SOLO */
    data_arrives(1);
    atomic_store(&w.shared.orders.lag_ns, budget);
    assert_int_equal(turn_at(0), 1); /* so far it may */
    data_arrives(1);
    atomic_store(&w.shared.orders.lag_ns, budget + 1);
    assert_int_equal(turn_at(1), 0);
    assert_int_equal(atomic_load(&w.shared.count.lag_full), 1);
    assert_int_equal(w.last - w.first, 1);              /* the frame stays in the port's queue */
    atomic_store(&w.shared.orders.lease_until, FT_ALL); /* SOLO: outputs wait for nobody */
    assert_int_equal(turn_at(2), 1);
    atomic_store(&w.shared.orders.lease_until, FT_ALL - 1);
    w.config->protect.stores = true; /* replays nothing before it takes over */
    data_arrives(1);
    assert_int_equal(turn_at(3), 1);
}

static void a_fenced_lane_drops_what_it_gathered(void **state)
{
    (void)state;
    gathering(1000);
    data_arrives(7);
    assert_int_equal(turn_at(0), 0);
    nd_lane_drop_held(&w.lane);
    assert_int_equal(w.frees, 2 * BUFFERS);
    data_arrives(1);
    assert_int_equal(turn_at(2000), 0); /* a new burst, of one packet */
    assert_int_equal(turn_at(3000), 1);
    assert_int_equal(atomic_load(&w.shared.count.received), 1);
}

#define LANE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LANE_TEST(while_a_lane_may_release_frames_stay_with_the_port),
        LANE_TEST(without_a_lease_a_lane_hears_heartbeats_behind_frames),
        LANE_TEST(a_lane_hears_heartbeats_when_no_more_frames_can_wait),
        LANE_TEST(a_logged_burst_waits_for_more_packets_since_its_first),
        LANE_TEST(a_full_burst_never_waits),
        LANE_TEST(nothing_waits_where_nothing_is_logged_or_none_is_to_wait),
        LANE_TEST(heartbeats_and_address_resolution_do_not_wait),
        LANE_TEST(a_lane_is_drained_when_nothing_came_for_a_while),
        LANE_TEST(a_lane_receives_nothing_while_the_standby_lags_beyond_the_budget),
        LANE_TEST(a_fenced_lane_drops_what_it_gathered),
    };

    return cmocka_run_group_tests_name("lane_waiting", tests, NULL, help_config_clean);
}
