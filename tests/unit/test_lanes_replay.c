/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two lanes of a standby, real ones on threads of their own, over a log that two live lanes made in turn:
 * where it ends before what one of them needs, and where it was damaged so that each waits for the other.
 */
#include "ftcore/order/closed.h"
#include "lane/lane.h"
#include "tests/help/config.h"
#include "tests/help/program.h"
#include "tests/help/test.h"

#include <pthread.h>

/* Ports for a lane without a network: the first gives bursts of three frames of zeros while it is to, and
 * what is sent is freed. */

#define FRAMES 3u
#define FRAME  64u

static _Atomic bool lane_io_feeds;

/* HOLDS: lane 0 is to stay where it looks at its ports, which is between two looks at its order. */
static _Atomic enum { PASSES, HOLDS, HELD } lane_io_gate;

static uint32_t io_receive(void *ctx, unsigned lane, unsigned port, struct nd_frame frames[], uint32_t max)
{
    if (lane == 0 && atomic_load(&lane_io_gate) == HOLDS)
        for (atomic_store(&lane_io_gate, HELD); atomic_load(&lane_io_gate) == HELD;)
            help_sleep_ms(1);
    if (port != 0 || max < FRAMES || !atomic_load(&lane_io_feeds))
        return 0;
    for (unsigned i = 0; i < FRAMES; i++) {
        frames[i].data = frames[i].owner = calloc(1, FRAME);
        frames[i].len = FRAME;
        frames[i].port = 0;
    }
    return FRAMES;
}

static uint32_t io_send(void *ctx, unsigned lane, unsigned port, const struct ft_held held[], uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        free(held[i].packet);
    return n;
}

static void *io_make(void *ctx, unsigned lane, const void *frame, uint32_t len)
{
    void *packet = calloc(1, len);

    return packet ? memcpy(packet, frame, len) : NULL;
}

static uint8_t *io_data(void *owner)
{
    return owner;
}

static void io_drop(void *ctx, void *owner)
{
    free(owner);
}

static const struct nd_io lane_io = {.ports = 2,
                                     .devices = 2,
                                     .side = {NF_INSIDE, NF_OUTSIDE},
                                     .buffers = 1024,
                                     .receive = io_receive,
                                     .send = io_send,
                                     .make = io_make,
                                     .data = io_data,
                                     .drop = io_drop};

#define LANES  2u
#define BURSTS 6u

struct lane_log {
    struct ft_record *record[BURSTS]; /* of the bursts from 1 on */
    uint64_t digest_after;
};

static struct {
    struct nd_config *config;
    struct ft_region *region;
    struct nd_lane lane[LANES];
    struct ft_lane_shared shared[LANES];
    struct nd_group group;
    struct nd_question question;
    pthread_t thread[LANES];
    bool running[LANES];
    struct lane_log log[LANES];
    uint64_t digest[BURSTS + 1]; /* live: when both lanes had closed so many bursts */
    _Atomic uint64_t view;
    _Atomic bool stop;
} w;

/* ---- the node ---------------------------------------------------------------------------------- */

static void make_lanes(void)
{
    memset(w.lane, 0, sizeof(w.lane));
    nd_group_init(&w.group, w.lane, LANES);
    atomic_store(&w.stop, false);
    for (unsigned l = 0; l < LANES; l++) {
        memset(&w.shared[l], 0, sizeof(w.shared[l]));
        assert_int_equal(ft_lane_init(&w.shared[l], 2 * FT_RECORD_MAX, 2 * FT_RECORD_MAX), 0);
        w.lane[l] = (struct nd_lane){.index = l,
                                     .config = &w.config->chain,
                                     .protect = &w.config->protect,
                                     .setup.heartbeat_ms = w.config->timing.heartbeat_ms,
                                     .io = &lane_io,
                                     .region = w.region,
                                     .shared = &w.shared[l],
                                     .group = &w.group,
                                     .setup.question = &w.question,
                                     .setup.seed = 7,
                                     .setup.view = &w.view,
                                     .setup.stop = &w.stop};
        help_done(nd_lane_make(&w.lane[l], &help_fault));
        atomic_store(&w.shared[l].orders.stable, FT_ALL);
        atomic_store(&w.shared[l].orders.lease_until, FT_ALL);
    }
}

static void free_lanes(void)
{
    for (unsigned l = 0; l < LANES; l++) {
        nd_lane_free(&w.lane[l]);
        ft_lane_free(&w.shared[l]);
    }
}

/* A burst of each lane in turn, and their records. Every packet adds to a number that both lanes share. */
static void live(void)
{
    const struct ft_record *r;
    uint64_t there;

    atomic_store(&lane_io_feeds, true);
    w.group.stream.kind = ND_STREAM_RECORDS;
    for (unsigned b = 0; b < BURSTS; b++) {
        for (unsigned l = 0; l < LANES; l++) {
            atomic_store(&w.shared[l].orders.logging, true);
            w.lane[l].doing = FT_LANE_LIVE;
            w.lane[l].now = ft_now();
            assert_true(nd_lane_live(&w.lane[l]));
            r = ft_ring_peek(&w.shared[l].log, &there);
            assert_non_null(r);
            assert_int_equal(r->burst, b + 1);
            assert_true(r->dependencies > 0 || (l == 0 && b == 0));
            w.log[l].record[b] = aligned_alloc(64, (r->size + 63u) & ~63u);
            memcpy(w.log[l].record[b], r, r->size);
            ft_ring_advance(&w.shared[l].log, r->size);
            ft_ring_consume(&w.shared[l].log);
        }
        w.digest[b + 1] = ft_region_digest(w.region);
    }
    atomic_store(&lane_io_feeds, false);
}

static void order(enum ft_order kind, uint64_t serial)
{
    for (unsigned l = 0; l < LANES; l++)
        atomic_store(&w.shared[l].orders.order, ft_order_make(kind, serial));
}

/* The standby has the first n[l] records of each lane, and may replay what of them is closed. */
static void receive(const unsigned n[LANES], uint64_t closed[LANES])
{
    struct ft_closed *set = ft_closed_new(LANES, 100);
    uint64_t none[LANES] = {0};

    ft_closed_reset(set, none, none);
    for (unsigned l = 0; l < LANES; l++)
        for (unsigned b = 0; b < n[l]; b++) {
            const struct ft_record *r = w.log[l].record[b];

            assert_int_equal(ft_closed_add(set, r), 0);
            memcpy(ft_ring_reserve(&w.shared[l].replay, r->size), r, r->size);
            ft_ring_publish(&w.shared[l].replay, r->size);
        }
    ft_closed_compute(set, NULL);
    for (unsigned l = 0; l < LANES; l++)
        atomic_store(&w.shared[l].orders.closed_to, closed[l] = ft_closed_burst(set, l));
    ft_closed_free(set);
}

static void start(unsigned l)
{
    w.running[l] = true;
    assert_int_equal(pthread_create(&w.thread[l], NULL, (void *(*)(void *))(void *)nd_lane_run, &w.lane[l]),
                     0);
}

static void end(void)
{
    atomic_store(&lane_io_gate, PASSES);
    atomic_store(&w.stop, true);
    for (unsigned l = 0; l < LANES; l++) {
        if (w.running[l])
            pthread_join(w.thread[l], NULL);
        w.running[l] = false;
    }
}

/* Lane 1 alone follows the order to replay; soon it waits in the middle of its first burst. */
static void start_beside_one_that_sleeps(void)
{
    start(1);
    AWAIT(atomic_load(&w.shared[1].report.done) == ft_order_make(FT_LANE_REPLAY, 1));
    usleep(20000);
}

static bool all_done(enum ft_order kind, uint64_t serial)
{
    bool done = true;

    for (unsigned l = 0; l < LANES; l++)
        done &= atomic_load(&w.shared[l].report.done) == ft_order_make(kind, serial);
    return done;
}

static int setup(void **state)
{
    static const char text[] = "chain: { name: test, lanes: 2, nfs: [ forward: { merged: false } ] }\n"
                               "protect: { mode: log, gather_us: 0 }\n";
    static const struct ft_region_config how = {.name = "test", .shared_size = FT_ARENA_MIN};

    memset(&w, 0, sizeof(w));
    w.config = help_config_of(text, 0);
    help_done(nf_chain_region(&w.region, &w.config->chain, &how, &help_fault));
    make_lanes();
    live();
    free_lanes();
    ft_region_wipe(w.region);
    make_lanes();
    return 0;
}

static int teardown(void **state)
{
    end();
    free_lanes();
    ft_region_close(w.region);
    for (unsigned l = 0; l < LANES; l++)
        for (unsigned b = 0; b < BURSTS; b++)
            free(w.log[l].record[b]);
    return 0;
}

/* ---- a log that ends --------------------------------------------------------------------------- */

/* Both are live, from the same state that the primary had after these bursts of each. */
static void assert_took_over(uint64_t bursts)
{
    uint64_t there;

    AWAIT(all_done(FT_LANE_LIVE, 2));
    end();
    for (unsigned l = 0; l < LANES; l++) {
        assert_int_equal(nf_chain_state(w.lane[l].chain)->burst, bursts);
        assert_null(ft_ring_peek(&w.shared[l].replay, &there)); /* the rest is dropped */
        assert_int_equal(w.lane[l].doing, FT_LANE_LIVE);
    }
    assert_int_equal(ft_region_digest(w.region), w.digest[bursts]);
    /* And they go on: the lane that had records dropped gives their numbers anew. */
    for (unsigned l = 0; l < LANES; l++) {
        atomic_store(&lane_io_feeds, true);
        w.lane[l].now = ft_now();
        assert_true(nd_lane_live(&w.lane[l]));
        assert_int_equal(nf_chain_state(w.lane[l].chain)->burst, bursts + 1);
    }
    atomic_store(&lane_io_feeds, false);
}

/* Lane 1 holds bursts that wait for lane 0's burst 4, which died with the primary. */
TEST_WITH(what_waits_for_an_access_that_did_not_survive_is_dropped, setup, teardown)
{
    uint64_t closed[LANES];

    receive((unsigned[]){3, BURSTS}, closed);
    assert_int_equal(closed[0], 3);
    assert_int_equal(closed[1], 3);
    order(FT_LANE_REPLAY, 1);
    for (unsigned l = 0; l < LANES; l++)
        start(l);
    AWAIT(all_done(FT_LANE_REPLAY, 1) && atomic_load(&w.shared[0].report.executed) == 3 &&
          atomic_load(&w.shared[1].report.executed) == 3);
    order(FT_LANE_LIVE, 2);
    assert_took_over(3);
}

/* The same, while lane 1 waits in the middle of a burst for lane 0, which sleeps through the order to replay.
 */
TEST_WITH(a_lane_that_waits_at_the_takeover_gets_what_it_waits_for, setup, teardown)
{
    uint64_t closed[LANES];

    receive((unsigned[]){3, BURSTS}, closed);
    order(FT_LANE_REPLAY, 1);
    start_beside_one_that_sleeps();
    assert_int_equal(atomic_load(&w.shared[1].report.executed), 0);
    order(FT_LANE_LIVE, 2);
    start(0);
    assert_took_over(3);
}

/* ---- a log with a cycle ----------------------------------------------------------------------- */

static struct ft_dependency *first_dependency(unsigned lane, unsigned burst)
{
    struct ft_record *r = w.log[lane].record[burst - 1];

    assert_true(r->dependencies > 0);
    return (struct ft_dependency *)((uint8_t *)r + ft_record_dependencies_at(r));
}

/* Lane 0's burst 3 is to wait for lane 1's burst 5, which waits for it. */
TEST_WITH(a_deadlock_is_a_divergence, setup, teardown)
{
    uint64_t closed[LANES], in_cycle;

    in_cycle = w.log[1].record[4]->access;
    first_dependency(0, 3)->access = in_cycle;
    receive((unsigned[]){BURSTS, BURSTS}, closed);
    assert_int_equal(closed[0], BURSTS); /* nothing in it names an access that is not there */
    order(FT_LANE_REPLAY, 1);
    for (unsigned l = 0; l < LANES; l++)
        start(l);
    AWAIT(atomic_load(&w.shared[0].report.diverged));
    assert_false(atomic_load(&w.shared[1].report.diverged)); /* told once */
    assert_int_equal(atomic_load(&w.shared[0].report.executed), 2);
    /* Both can do something else: a new snapshot, and replay goes on from there. */
    order(FT_LANE_WAIT, 2);
    AWAIT(all_done(FT_LANE_WAIT, 2));
}

/* The state is given up while lane 1 waits in the midst of a burst for lane 0, which has not come to it.
 * Neither replays what is left, which may be much. */
TEST_WITH(a_state_that_is_given_up_is_not_replayed, setup, teardown)
{
    uint64_t closed[LANES];

    receive((unsigned[]){BURSTS, BURSTS}, closed);
    atomic_store(&w.shared[0].orders.closed_to, 0);
    order(FT_LANE_REPLAY, 1);
    start(0);
    start_beside_one_that_sleeps();
    AWAIT(atomic_load(&w.shared[0].report.done) == ft_order_make(FT_LANE_REPLAY, 1));
    atomic_store(&lane_io_gate, HOLDS);
    AWAIT(atomic_load(&lane_io_gate) == HELD);
    atomic_store(&w.shared[0].orders.closed_to, closed[0]);
    order(FT_LANE_WAIT, 2);
    atomic_store(&lane_io_gate, PASSES); /* it finds both */
    AWAIT(all_done(FT_LANE_WAIT, 2));
    assert_int_equal(nf_chain_state(w.lane[0].chain)->burst, 0);
    assert_int_equal(atomic_load(&w.shared[0].report.executed), 0);
    assert_int_equal(atomic_load(&w.shared[1].report.executed), 0);
    assert_false(atomic_load(&w.shared[0].report.diverged) || atomic_load(&w.shared[1].report.diverged));
}

/* The node is to end: lane 0 has not replayed what lane 1 waits for, and never will. */
TEST_WITH(who_waits_for_a_lane_that_ends_ends_as_well, setup, teardown)
{
    uint64_t closed[LANES];

    receive((unsigned[]){BURSTS, BURSTS}, closed);
    order(FT_LANE_REPLAY, 1);
    start_beside_one_that_sleeps();
    atomic_store(&w.stop, true);
    start(0);
    end();
    assert_int_equal(atomic_load(&w.shared[0].report.executed), 0);
    assert_int_equal(atomic_load(&w.shared[1].report.executed), 0);
}

TESTS_SHARE(NULL, help_config_clean)
