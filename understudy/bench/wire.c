/* SPDX-License-Identifier: Apache-2.0 */
/* The bench's ports between two lanes each, in memory; see wire.h. Each end is used by one lane's thread. */
#include "understudy/bench/wire.h"

#include <stddef.h>

static struct nd_bench_place *at(struct nd_bench_place of[], uint32_t number)
{
    return &of[number % ND_CABLE_FRAMES];
}

static uint8_t *place(void *ctx)
{
    struct nd_bench_wire *w = ctx;
    struct nd_bench_place *p = at(w->out, w->sent);

    return atomic_load_explicit(&p->bytes, memory_order_acquire) ? NULL : p->frame;
}

static void send_frame(void *ctx, uint32_t bytes)
{
    struct nd_bench_wire *w = ctx;

    atomic_store_explicit(&at(w->out, w->sent++)->bytes, bytes, memory_order_release);
}

static const uint8_t *receive(void *ctx, uint32_t *bytes)
{
    struct nd_bench_wire *w = ctx;

    if (w->holds)
        atomic_store_explicit(&at(w->in, w->taken++)->bytes, 0, memory_order_release);
    *bytes = atomic_load_explicit(&at(w->in, w->taken)->bytes, memory_order_acquire);
    w->holds = *bytes != 0;
    return w->holds ? at(w->in, w->taken)->frame : NULL;
}

const struct nd_link_port *const *nd_bench_plug(struct nd_bench_wires *wires,
                                                struct nd_bench_cable cable[FT_LANES_MAX], unsigned node)
{
    for (unsigned l = 0; l < FT_LANES_MAX; l++) {
        struct nd_bench_wire *w = &wires->of[l];

        *w = (struct nd_bench_wire){.wire = {.ctx = w,
                                             .longest = ND_CABLE_BYTES,
                                             .mac = {2, 0, 0, 0, (uint8_t)l, (uint8_t)node},
                                             .place = place,
                                             .send = send_frame,
                                             .receive = receive},
                                    .out = cable[l].place[node],
                                    .in = cable[l].place[!node]};
        wires->port[l] = &w->wire;
    }
    return wires->port;
}
