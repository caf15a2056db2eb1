/* SPDX-License-Identifier: Apache-2.0 */
/* The barrier to which live lanes come between bursts: who waits there, and for how long. Two lanes without a
 * chain, of which one, on a thread, comes. And how a lane and the replicator wake each other. */
#include "lane/lane.h"
#include "ftcore/base/clock.h"
#include "understudy/config/config.h"
#include "tests/help/test.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#define LANES 2u
#define LIMIT 30000 /* ms of any waiting */

static struct {
    struct nd_config config;
    struct nd_lane lane[LANES];
    struct ft_lane_shared shared[LANES];
    struct nd_group group;
    _Atomic bool stop, left;
} w;

static int setup(void **state)
{
    memset(&w, 0, sizeof(w));
    nd_group_init(&w.group, w.lane, LANES);
    w.group.stream.kind = ND_STREAM_RECORDS;
    for (unsigned l = 0; l < LANES; l++) {
        w.shared[l].bell = w.shared[l].alarm = -1;
        w.lane[l] = (struct nd_lane){.index = l,
                                     .config = &w.config.chain,
                                     .protect = &w.config.protect,
                                     .setup.heartbeat_ms = w.config.timing.heartbeat_ms,
                                     .shared = &w.shared[l],
                                     .group = &w.group,
                                     .seen.order = ft_order_make(FT_LANE_LIVE, 1),
                                     .setup.stop = &w.stop};
        atomic_store(&w.shared[l].orders.order, ft_order_make(FT_LANE_LIVE, 1));
        atomic_store(&w.shared[l].orders.logging, true);
    }
    return 0;
}

static void *come(void *lane)
{
    bool all = nd_lane_quiesce(lane);

    atomic_store(&w.left, true);
    return all ? lane : NULL;
}

static bool leaves_within(unsigned ms)
{
    for (unsigned waited = 0; waited < ms && !atomic_load(&w.left); waited++)
        usleep(1000);
    return atomic_load(&w.left);
}

/* Somebody asks for a digest; lane 0 comes for it, and the standby dies before lane 1 has come. */
TEST_WITH(who_came_for_a_digest_leaves_when_logging_ends, setup, NULL)
{
    pthread_t thread;
    void *all;

    atomic_store(&w.shared[0].orders.digest, 1);
    atomic_store(&w.shared[1].orders.digest, 1);
    assert_true(nd_lane_digest_due(&w.lane[0]));
    assert_int_equal(pthread_create(&thread, NULL, come, &w.lane[0]), 0);
    assert_false(leaves_within(20));
    atomic_store(&w.shared[1].orders.logging, false);
    assert_false(nd_lane_digest_due(&w.lane[1]));
    assert_false(leaves_within(20)); /* logging ends in one lane after the other */
    atomic_store(&w.shared[0].orders.logging, false);
    if (!leaves_within(LIMIT))
        atomic_store(&w.stop, true);
    pthread_join(thread, &all);
    assert_false(atomic_load(&w.stop));
    assert_null(all);
}

/* A snapshot's cut that both are ordered to make is waited for, whether anybody logs or not. */
TEST_WITH(who_came_for_a_cut_waits, setup, NULL)
{
    pthread_t thread;

    atomic_store(&w.shared[0].orders.cut, 1);
    atomic_store(&w.shared[0].orders.logging, false);
    assert_int_equal(pthread_create(&thread, NULL, come, &w.lane[0]), 0);
    assert_false(leaves_within(50));
    atomic_store(&w.stop, true);
    pthread_join(thread, NULL);
    assert_true(atomic_load(&w.left));
}

static void *sleep_long(void *unused)
{
    nd_lane_sleep(&w.shared[0], 60 * 1000000000ull, NULL, 0);
    return NULL;
}

/* However the two meet: before it sleeps, or while it does. */
TEST_WITH(an_order_wakes_a_lane_that_sleeps, setup, NULL)
{
    uint64_t seen = ft_order_make(FT_LANE_REPLAY, 1), began = ft_now();
    pthread_t sleeper;

    ft_lane_wake(&w.shared[0]); /* without an alarm nothing happens */
    w.shared[0].alarm = eventfd(0, EFD_NONBLOCK);
    for (unsigned i = 0; i < 200; i++) {
        FT_ORDER_SET(&w.shared[0], order, seen);
        assert_int_equal(pthread_create(&sleeper, NULL, sleep_long, NULL), 0);
        usleep(i % 2 ? 0 : 500);
        FT_ORDER_SET(&w.shared[0], order, ft_order_make(FT_LANE_REPLAY, 2));
        ft_lane_wake(&w.shared[0]);
        pthread_join(sleeper, NULL);
    }
    assert_true(ft_now() - began < 60 * 1000000000ull);
    close(w.shared[0].alarm);
}

/* A port that can be read ends the sleep at once, and keeps none after it. One whose other end is gone would
 * end each sleep at once: the lane is told that it may not sleep on it. */
TEST_WITH(a_port_wakes_a_lane_that_sleeps, setup, NULL)
{
    uint64_t began = ft_now(), minute = 60 * 1000000000ull;
    int port[2];
    char byte;

    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, port), 0);
    assert_true(nd_lane_sleep(&w.shared[0], 2000000, port, 1));
    assert_true(ft_now() - began >= 2000000);
    assert_int_equal(write(port[1], "x", 1), 1);
    assert_true(nd_lane_sleep(&w.shared[0], minute, port, 1));
    assert_int_equal(read(port[0], &byte, 1), 1);
    assert_int_equal(shutdown(port[0], SHUT_RDWR), 0);
    assert_false(nd_lane_sleep(&w.shared[0], minute, port, 1));
    assert_true(ft_now() - began < minute);
    close(port[0]);
    close(port[1]);
}

TEST_WITH(what_a_lane_logs_wakes_a_replicator_that_rests, setup, NULL)
{
    struct pollfd bell = {eventfd(0, EFD_NONBLOCK), POLLIN, 0};

    ft_lane_ring(&w.shared[0]); /* without one nothing happens */
    w.shared[0].bell = bell.fd;
    assert_int_equal(poll(&bell, 1, 0), 0);
    ft_lane_ring(&w.shared[0]);
    ft_lane_ring(&w.shared[0]);
    assert_int_equal(poll(&bell, 1, LIMIT), 1);
    close(bell.fd);
}
