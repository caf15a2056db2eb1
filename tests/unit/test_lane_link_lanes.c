/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two lanes of a standby and what comes by their ports: what depends on another lane's burst is closed, and
 * said to be, with that one and not before; while lanes come to a stop point, and once one of them takes
 * over, nothing moves. And frames go to the lane that they are for alone.
 */
#include "tests/help/test.h"

#include "ftcore/order/closed.h"
#include "ftcore/queue/lanelink.h"
#include "lane/lane.h"
#include "tests/help/program.h"
#include "tests/help/record.h"

#include <stdlib.h>
#include <string.h>

#define WAY 16u

static struct nd_lane lane[2][2]; /* [node][lane]; node 0: the primary */
static struct nd_group group[2];
static struct ft_lane_shared (*shared)[2];

static struct end {
    struct nd_link_port wire;
    struct end *other;
    uint8_t out[FT_LINK_MOST], way[WAY][FT_LINK_MOST]; /* way: to the other end */
    uint32_t bytes[WAY];
    unsigned first, last;
} end[2][2];

static uint8_t *place(void *ctx)
{
    return ((struct end *)ctx)->out;
}

static void send_frame(void *ctx, uint32_t bytes)
{
    struct end *e = ctx;

    memcpy(e->way[e->last % WAY], e->out, bytes);
    e->bytes[e->last++ % WAY] = bytes;
}

static const uint8_t *receive(void *ctx, uint32_t *bytes)
{
    struct end *e = ((struct end *)ctx)->other;

    if (e->first == e->last)
        return NULL;
    *bytes = e->bytes[e->first % WAY];
    return e->way[e->first++ % WAY];
}

static void tell_port(struct ft_lane_shared *to, unsigned node)
{
    for (unsigned i = 0; i < 4; i++)
        FT_ORDER_SET(to, port_secret[i], 77 + i);
    FT_ORDER_SET(to, port_view, 3);
    FT_ORDER_SET(to, port_own, 100 + node);
    FT_ORDER_SET(to, port_peer, 101 - node);
    FT_ORDER_SET(to, port_connects, node);
    FT_ORDER_SET(to, peer_version, FT_FORMAT_NEWEST);
    FT_ORDER_SET(to, port, 1);
    FT_ORDER_SET(to, carry, !node);
}

static int setup(void **state)
{
    struct ft_fault fault;

    shared = aligned_alloc(64, 2 * sizeof(*shared));
    memset(end, 0, sizeof(end));
    for (unsigned n = 0; n < 2; n++) {
        group[n] =
            (struct nd_group){.lanes = 2, .lane = lane[n], .by_port = ft_closed_new(2, 4 * FT_LINK_WINDOW)};
        for (unsigned l = 0; l < 2; l++) {
            struct end *e = &end[n][l];

            assert_int_equal(ft_lane_init(&shared[n][l], 4u << 20, 4u << 20), 0);
            assert_int_equal(ft_ring_init(&shared[n][l].direct, 4u << 20), 0);
            e->other = &end[!n][l];
            e->wire = (struct nd_link_port){
                .ctx = e, .longest = 1514, .place = place, .send = send_frame, .receive = receive};
            lane[n][l] = (struct nd_lane){.index = l,
                                          .group = &group[n],
                                          .shared = &shared[n][l],
                                          .seen.order = 1,
                                          .now = 1,
                                          .doing = n ? FT_LANE_REPLAY : FT_LANE_LIVE,
                                          .setup.heartbeat_ms = 20};
            assert_int_equal(nd_link_make(&lane[n][l].link, &e->wire, &fault), 0);
            tell_port(&shared[n][l], n);
        }
    }
    return 0;
}

static int teardown(void **state)
{
    for (unsigned n = 0; n < 2; n++) {
        for (unsigned l = 0; l < 2; l++) {
            nd_link_free(lane[n][l].link);
            ft_lane_free(&shared[n][l]);
        }
        ft_closed_free(group[n].by_port);
    }
    free(shared);
    return 0;
}

static void put_ready(struct ft_ring *ring)
{
    memcpy(ft_ring_reserve(ring, rec->size), rec, rec->size);
    ft_ring_publish(ring, rec->size);
}

/* The lane's next burst, with one access; it needs that one of the other lane (0: none). */
static void put_record(struct ft_ring *ring, unsigned l, uint64_t burst, uint64_t need)
{
    record_begin((uint16_t)l, 0, burst);
    record_add_input(60, 60, 0, 0);
    record_add_bytes();
    if (need)
        record_add_dependency(burst, (uint16_t)!l, need);
    rec->access = burst;
    rec->accesses = 1;
    rec->time = burst;
    record_finish();
    put_ready(ring);
}

static void log_record(unsigned l, uint64_t burst, uint64_t need)
{
    put_record(&shared[0][l].log, l, burst, need);
    FT_REPORT_SET(&shared[0][l], recorded, burst);
}

/* The lane of the primary sends what it has, its peer looks and answers, and the answer is heard. */
static void turn(unsigned l)
{
    for (unsigned i = 0; i < 3; i++) {
        lane[0][l].now += 10000;
        lane[1][l].now += 10000;
        nd_link_turn(&lane[0][l]);
        nd_link_look(&lane[1][l]);
    }
    nd_link_turn(&lane[0][l]);
}

static void closed_are(uint64_t first, uint64_t second)
{
    assert_int_equal(nd_link_closed(&lane[1][0]), first);
    assert_int_equal(nd_link_closed(&lane[1][1]), second);
    assert_in_range(nd_link_stable(&lane[0][0]), 0, first);
    assert_in_range(nd_link_stable(&lane[0][1]), 0, second);
}

TEST_WITH(a_burst_is_closed_with_the_one_that_it_needs, setup, teardown)
{
    log_record(1, 1, 2);
    turn(1);
    closed_are(0, 0);
    log_record(0, 1, 0);
    turn(0);
    closed_are(1, 0);
    log_record(0, 2, 1); /* they need each other */
    turn(0);
    closed_are(2, 1);
    nd_link_look(&lane[1][1]); /* no frame comes, and it says so */
    nd_link_turn(&lane[0][1]);
    assert_int_equal(nd_link_stable(&lane[0][0]), 2);
    assert_int_equal(nd_link_stable(&lane[0][1]), 1);
    assert_int_equal(FT_REPORT_GET(&shared[0][1], port_stable_at), shared[0][1].log.head);
    assert_int_equal(atomic_load(&shared[0][1].count.port_again), 0); /* it was stored all the while */
}

TEST_WITH(what_the_link_brought_is_closed_with_what_a_port_brings, setup, teardown)
{
    FT_ORDER_SET(&shared[1][0], closed_to, 4);
    FT_ORDER_SET(&shared[1][0], closed_access, 4);
    put_record(&shared[1][0].replay, 0, 5, 1); /* the replicator cannot close it */
    nd_link_look(&lane[1][0]);
    closed_are(4, 0);
    log_record(1, 1, 5);
    turn(1);
    closed_are(5, 1);
}

TEST_WITH(nothing_moves_at_a_stop_point_and_in_a_takeover, setup, teardown)
{
    FT_REPORT_SET(&shared[1][0], stop_point, 1);
    log_record(1, 1, 0);
    turn(1);
    closed_are(0, 0);
    FT_REPORT_SET(&shared[1][0], stop_point, 0);
    turn(1);
    closed_are(0, 1);
    nd_link_shut(&lane[1][0]);
    log_record(1, 2, 0);
    turn(1);
    closed_are(0, 1);
}

/* Accesses 5 to 99 of lane 0 are nowhere: who waited for them in a takeover would wait for ever. */
TEST_WITH(a_peer_that_leaves_accesses_out_closes_nothing, setup, teardown)
{
    FT_ORDER_SET(&shared[1][0], closed_access, 4);
    FT_ORDER_SET(&shared[1][0], closed_to, 4);
    record_begin(0, 0, 5);
    rec->access = 100;
    record_finish();
    put_ready(&shared[0][0].log);
    FT_REPORT_SET(&shared[0][0], recorded, 5);
    turn(0);
    log_record(1, 1, 50);
    turn(1);
    closed_are(4, 0);
    assert_int_not_equal(atomic_load(&shared[1][0].count.port_refused), 0);
}

TEST_WITH(a_frame_is_its_lanes_alone, setup, teardown)
{
    log_record(0, 1, 0);
    nd_link_turn(&lane[0][0]);
    lane[0][0].now += 10000;
    nd_link_turn(&lane[0][0]);
    end[1][1].other = &end[0][0]; /* it comes to the other lane */
    nd_link_look(&lane[1][1]);
    closed_are(0, 0);
    assert_int_not_equal(atomic_load(&shared[1][1].count.port_refused), 0);
}
