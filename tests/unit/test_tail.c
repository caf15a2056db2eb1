/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tail of a takeover: a lane makes packets of the outputs that it has replayed and sends them as it goes.
 */
#include "lane/lane.h"
#include "tests/help/config.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <string.h>

#define BUFFERS 512u /* so the hold has 256 places */
#define TAIL    300u

static struct {
    uint32_t packets[TAIL], made, left[TAIL], lefts, made_first; /* made_first: when the first left */
    struct ft_region *region;
    struct nd_lane lane;
    struct nd_group group;
    struct ft_lane_shared shared;
    struct nd_question question;
    struct nd_config *config;
} w;

static void *io_make(void *ctx, unsigned lane, const void *frame, uint32_t len)
{
    (void)ctx, (void)lane;
    assert_true(len >= 4 && w.made < TAIL);
    memcpy(&w.packets[w.made], frame, 4);
    return &w.packets[w.made++];
}

static uint32_t io_send(void *ctx, unsigned lane, unsigned port, const struct ft_held held[], uint32_t n)
{
    (void)ctx, (void)lane, (void)port;
    if (w.lefts == 0)
        w.made_first = w.made;
    for (uint32_t i = 0; i < n; i++)
        memcpy(&w.left[w.lefts++], held[i].packet, 4);
    return n;
}

static void io_drop(void *ctx, void *owner)
{
    (void)ctx, (void)owner;
}

static struct nd_io io = {.ports = 2,
                          .side = {NF_INSIDE, NF_OUTSIDE},
                          .buffers = BUFFERS,
                          .send = io_send,
                          .make = io_make,
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
                              .doing = FT_LANE_LIVE};
    if (nd_lane_make(&w.lane, &fault))
        fail_msg("%s", fault.text);
    for (uint32_t i = 0; i < TAIL; i++) {
        uint8_t frame[64] = {0};

        memcpy(frame, &i, 4);
        lg_replayed_put(&w.lane.replayed,
                        &(struct lg_output){.number = i + 1, .burst = 1, .len = 64, .have = 64, .port = 1},
                        frame);
    }
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

static void the_first_leaves_before_the_last_is_made(void **state)
{
    (void)state;
    atomic_store(&w.shared.orders.stable, FT_ALL);
    atomic_store(&w.shared.orders.lease_until, FT_ALL);
    nd_lane_emit_tail(&w.lane);
    assert_true(w.made_first <= NF_BURST_MAX);
    assert_int_equal(w.lefts, TAIL); /* also those for which the hold has no room */
    for (uint32_t i = 0; i < TAIL; i++)
        assert_int_equal(w.left[i], i);
    assert_int_equal(atomic_load(&w.shared.count.tail_emitted), TAIL);
    assert_int_equal(atomic_load(&w.shared.count.tail_suppressed), 0);
}

/* A strict successor, or one that took over by plan and is not on its disk. */
static void behind_a_shut_gate_the_tail_is_held_and_what_has_no_room_is_suppressed(void **state)
{
    (void)state;
    nd_lane_emit_tail(&w.lane);
    assert_int_equal(w.lefts, 0);
    assert_int_equal(ft_hold_count(&w.lane.hold), BUFFERS / 2);
    assert_int_equal(atomic_load(&w.shared.count.tail_emitted), BUFFERS / 2);
    assert_int_equal(atomic_load(&w.shared.count.tail_suppressed), TAIL - BUFFERS / 2);
}

#define LANE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LANE_TEST(the_first_leaves_before_the_last_is_made),
        LANE_TEST(behind_a_shut_gate_the_tail_is_held_and_what_has_no_room_is_suppressed),
    };

    return cmocka_run_group_tests_name("tail", tests, NULL, help_config_clean);
}
