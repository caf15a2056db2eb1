/* SPDX-License-Identifier: Apache-2.0 */
/* A lane without a network; see lane.h. */
#include "tests/help/config.h"
#include "tests/help/lane.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

struct lane_world lane_world;
static struct lane_world *const w = &lane_world;

static uint32_t io_receive(void *ctx, unsigned lane, unsigned port, struct nd_frame frames[], uint32_t max)
{
    uint32_t n = 0;

    (void)ctx, (void)lane;
    for (; port == 0 && n < max && w->first < w->last; w->first++) {
        struct lane_frame *f = w->queue[w->first];

        frames[n++] = (struct nd_frame){.data = f->data, .len = f->len, .owner = f};
    }
    return n;
}

static void io_drop(void *ctx, void *owner)
{
    (void)ctx;
    w->free[w->frees++] = owner;
}

static uint32_t io_send(void *ctx, unsigned lane, unsigned port, const struct ft_held held[], uint32_t n)
{
    (void)ctx, (void)lane, (void)port;
    for (uint32_t i = 0; i < n; i++) {
        w->left[w->lefts++] = ((struct lane_frame *)held[i].packet)->number;
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
    return ((struct lane_frame *)owner)->data;
}

const struct nd_io lane_ports = {.ports = 2,
                                 .devices = 2,
                                 .side = {NF_INSIDE, NF_OUTSIDE},
                                 .buffers = LANE_BUFFERS,
                                 .receive = io_receive,
                                 .send = io_send,
                                 .make = io_make,
                                 .data = io_data,
                                 .drop = io_drop};

void lane_open(const struct nd_io *io)
{
    static const char text[] = "chain: { name: test, nfs: [ forward: { merged: false } ] }\n";
    static const struct ft_region_config how = {.name = "test", .shared_size = FT_ARENA_MIN};
    struct ft_fault fault = {""};

    memset(w, 0, sizeof(*w));
    if (nd_config_read(&w->config, help_config_file("chain.yaml", text, sizeof(text) - 1), 0, &fault) ||
        nf_chain_region(&w->region, &w->config->chain, &how, &fault))
        fail_msg("%s", fault.text);
    for (w->frees = 0; w->frees < LANE_FRAMES; w->frees++)
        w->free[w->frees] = &w->pool[w->frees];
    nd_group_init(&w->group, &w->lane, 1);
    assert_int_equal(ft_lane_init(&w->shared, 1 << 20, 1 << 20), 0);
    w->lane = (struct nd_lane){.config = &w->config->chain,
                               .protect = &w->config->protect,
                               .setup.heartbeat_ms = w->config->timing.heartbeat_ms,
                               .io = io,
                               .region = w->region,
                               .shared = &w->shared,
                               .group = &w->group,
                               .setup.question = &w->question,
                               .setup.seed = 7,
                               .setup.self = {5, {6, 7}},
                               .setup.view = &w->view,
                               .setup.stop = &w->stop,
                               .doing = FT_LANE_LIVE};
    if (nd_lane_make(&w->lane, &fault))
        fail_msg("%s", fault.text);
    atomic_store(&w->shared.orders.lease_until, FT_ALL);
}

int lane_setup(void **state)
{
    (void)state;
    lane_open(&lane_ports);
    return 0;
}

int lane_teardown(void **state)
{
    (void)state;
    nd_lane_free(&w->lane);
    ft_lane_free(&w->shared);
    ft_region_close(w->region);
    nd_config_free(w->config);
    return 0;
}

struct lane_frame *lane_arrives(uint32_t len)
{
    struct lane_frame *f = w->free[--w->frees];

    memset(f, 0, sizeof(*f));
    f->len = len;
    f->number = w->came++;
    return w->queue[w->last++] = f;
}

void lane_left(const uint32_t *numbers, unsigned n)
{
    assert_int_equal(w->lefts, n);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(w->left[i], numbers[i]);
}

void lane_all_left(unsigned n)
{
    assert_int_equal(w->lefts, n);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(w->left[i], i);
}
