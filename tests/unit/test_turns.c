/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a thread's time is told: useful turns, empty ones, sleep. The counters alone, and a real lane in its
 * own loop. While the lane runs, the test is its clock and its port: receiving takes the time that the test
 * says, and nothing else takes any but sleep.
 */
#include "node/base/clock.h"
#include "lane/lane.h"
#include "tests/help/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include <sys/syscall.h>
#include <unistd.h>

#define US    1000ull
#define FRAME 64u
#define STEPS 64u

/* What passes while the lane runs, ns. A step is what one look of the lane at its port brings. */
static struct {
    bool runs;
    uint64_t now, slept;
    struct step {
        uint64_t ns;
        unsigned frames;
    } step[STEPS];
    unsigned steps, at, left;
    uint8_t pool[NF_BURST_MAX * STEPS][FRAME];
    unsigned used;
    struct ft_region *region;
    struct nd_lane lane;
    struct nd_group group;
    struct ft_lane_shared shared;
    struct nd_question question;
    struct nd_config *config;
    _Atomic uint64_t view;
    _Atomic bool stop;
} w;

int clock_gettime(clockid_t id, struct timespec *t)
{
    if (!w.runs)
        return (int)syscall(SYS_clock_gettime, id, t);
    *t = (struct timespec){(time_t)(w.now / 1000000000u), (long)(w.now % 1000000000u)};
    return 0;
}

int nanosleep(const struct timespec *time, struct timespec *rest)
{
    if (!w.runs)
        return (int)syscall(SYS_nanosleep, time, rest);
    w.now += (uint64_t)time->tv_nsec;
    w.slept += (uint64_t)time->tv_nsec;
    return 0;
}

static uint32_t io_receive(void *ctx, unsigned lane, unsigned port, struct nd_frame frames[], uint32_t max)
{
    uint32_t n = 0;

    (void)ctx, (void)lane;
    if (port != 0)
        return 0;
    if (w.at == w.steps) {
        atomic_store(&w.stop, true);
        return 0;
    }
    const struct step *s = &w.step[w.at++];

    w.now += s->ns;
    for (; n < s->frames && n < max; n++, w.used++)
        frames[n] = (struct nd_frame){.data = w.pool[w.used], .len = FRAME, .owner = w.pool[w.used]};
    return n;
}

static void io_drop(void *ctx, void *owner)
{
    (void)ctx, (void)owner;
}

static uint32_t io_send(void *ctx, unsigned lane, unsigned port, const struct ft_held held[], uint32_t n)
{
    (void)ctx, (void)lane, (void)port, (void)held;
    w.left += n;
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
                          .buffers = 512,
                          .receive = io_receive,
                          .send = io_send,
                          .make = io_make,
                          .data = io_data,
                          .drop = io_drop};

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
                              .setup.stop = &w.stop};
    if (nd_lane_make(&w.lane, &fault))
        fail_msg("%s", fault.text);
    atomic_store(&w.shared.orders.order, ft_order_make(FT_LANE_FRESH, 1));
    atomic_store(&w.shared.orders.lease_until, FT_ALL);
    atomic_store(&w.shared.orders.stable, FT_ALL);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    w.runs = false;
    nd_lane_free(&w.lane);
    ft_lane_free(&w.shared);
    ft_region_close(w.region);
    nd_config_free(w.config);
    return 0;
}

static void comes(uint64_t ns, unsigned frames)
{
    w.step[w.steps++] = (struct step){ns, frames};
}

static void run(void)
{
    w.now = 1000000 * US;
    w.runs = true;
    nd_lane_run(&w.lane);
    w.runs = false;
}

static uint64_t spent(enum ft_spent how)
{
    return atomic_load(&w.shared.count.turns.ns[how]);
}

static uint64_t longest(void)
{
    return atomic_load(&w.shared.count.turns.longest);
}

static uint64_t longs(void)
{
    return atomic_load(&w.shared.count.turns.longs);
}

/* ---- the counters ------------------------------------------------------------------------------ */

static void each_time_is_counted_as_its_kind(void **state)
{
    struct ft_turns t = {.at = 0};

    (void)state;
    ft_turns_spent(&t, FT_SPENT_USEFUL, 500); /* nobody knows since when */
    ft_turns_spent(&t, FT_SPENT_USEFUL, 507);
    ft_turns_spent(&t, FT_SPENT_EMPTY, 520);
    ft_turns_spent(&t, FT_SPENT_ASLEEP, 600);
    ft_turns_spent(&t, FT_SPENT_USEFUL, 611);
    assert_int_equal(t.ns[FT_SPENT_USEFUL], 18);
    assert_int_equal(t.ns[FT_SPENT_EMPTY], 13);
    assert_int_equal(t.ns[FT_SPENT_ASLEEP], 80);
    assert_int_equal(t.longest, 13);
    assert_int_equal(t.longs, 0);
}

static void a_long_turn_is_longer_than_a_millisecond_and_sleep_is_none(void **state)
{
    struct ft_turns t = {.at = 1};

    (void)state;
    ft_turns_spent(&t, FT_SPENT_EMPTY, 1000001);
    assert_int_equal(t.longs, 0);
    ft_turns_spent(&t, FT_SPENT_USEFUL, 2000002);
    assert_int_equal(t.longs, 1);
    ft_turns_spent(&t, FT_SPENT_ASLEEP, 9000000);
    assert_int_equal(t.longs, 1);
    assert_int_equal(t.longest, 1000001);
}

/* ---- a lane ------------------------------------------------------------------------------------ */

static void a_lane_tells_turns_with_packets_from_those_without(void **state)
{
    (void)state;
    comes(3 * US, 1);
    comes(5 * US, 0);
    comes(7 * US, 2);
    comes(1100 * US, 32);
    run();
    assert_int_equal(w.left, 35);
    assert_int_equal(spent(FT_SPENT_USEFUL), 1110 * US);
    assert_int_equal(spent(FT_SPENT_EMPTY), 5 * US);
    assert_int_equal(spent(FT_SPENT_ASLEEP), 0);
    assert_int_equal(longest(), 1100 * US);
    assert_int_equal(longs(), 1);
}

static void sleep_is_no_turn(void **state)
{
    (void)state;
    for (unsigned i = 0; i < STEPS - 1; i++)
        comes(2 * US, 0);
    comes(4 * US, 1);
    run();
    assert_true(w.slept > 0);
    assert_int_equal(spent(FT_SPENT_USEFUL), 4 * US);
    assert_int_equal(spent(FT_SPENT_EMPTY), 2 * US * (STEPS - 1));
    assert_true(spent(FT_SPENT_ASLEEP) > 0 && spent(FT_SPENT_ASLEEP) <= w.slept);
    assert_int_equal(longest(), 4 * US);
}

/* While it logs, a burst that is not full waits for more packets: 10 us, as the file has it by default. */
static void waiting_for_more_packets_is_not_useful(void **state)
{
    (void)state;
    w.group.stream.kind = ND_STREAM_RECORDS;
    atomic_store(&w.shared.orders.logging, true);
    comes(1 * US, 1);
    comes(4 * US, 0);
    comes(4 * US, 1);
    comes(6 * US, 0); /* the ten microseconds are over at the turn after it */
    comes(2 * US, 0);
    run();
    assert_int_equal(w.left, 2);
    assert_int_equal(spent(FT_SPENT_USEFUL), (1 + 4 + 2) * US);
    assert_int_equal(spent(FT_SPENT_EMPTY), (4 + 6) * US);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_time_is_counted_as_its_kind),
        cmocka_unit_test(a_long_turn_is_longer_than_a_millisecond_and_sleep_is_none),
        TEST(a_lane_tells_turns_with_packets_from_those_without),
        TEST(sleep_is_no_turn),
        TEST(waiting_for_more_packets_is_not_useful),
    };

    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("turns", tests, NULL, help_config_clean);
}
