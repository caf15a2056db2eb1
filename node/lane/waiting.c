/* SPDX-License-Identifier: Apache-2.0 */
/* Frames that wait in front of a lane; see lane/waiting.h. */
#include "node/lane/waiting.h"
#include "node/base/clock.h"
#include "node/lane/lane.h"

#include <stdlib.h>

int nd_waiting_make(struct nd_waiting *waiting, uint32_t buffers)
{
    *waiting = (struct nd_waiting){.room = buffers / 4};
    waiting->frames = calloc(waiting->room + 1, sizeof(*waiting->frames));
    waiting->ports = calloc(waiting->room + 1, sizeof(*waiting->ports));
    if (waiting->frames && waiting->ports)
        return 0;
    nd_waiting_free(waiting);
    return FT_ENOMEM;
}

void nd_waiting_free(struct nd_waiting *waiting)
{
    free(waiting->frames);
    free(waiting->ports);
    *waiting = (struct nd_waiting){.room = 0};
}

static bool put_frame(struct nd_waiting *waiting, const struct nd_frame *frame, unsigned port)
{
    uint32_t at;

    if (waiting->count == waiting->room)
        return false;
    at = (waiting->first + waiting->count++) % waiting->room;
    waiting->frames[at] = *frame;
    waiting->ports[at] = (uint8_t)port;
    return true;
}

bool nd_waiting_take(struct nd_waiting *waiting, struct nd_frame *frame, unsigned *port)
{
    if (waiting->count == 0)
        return false;
    *frame = waiting->frames[waiting->first];
    *port = waiting->ports[waiting->first];
    waiting->first = (waiting->first + 1) % waiting->room;
    waiting->count--;
    return true;
}

/* In SOLO the lease has no end; a gate that is shut has none that runs. */
static bool may_release(const struct nd_lane *lane)
{
    return lane->now < atomic_load_explicit(&lane->shared->orders.lease_until, memory_order_acquire);
}

bool nd_lane_receive_to_wait(struct nd_lane *lane)
{
    const struct nd_io *io = lane->io;
    struct nd_frame in[NF_BURST_MAX];
    bool any = false;

    if (!io->receive || io->burst || may_release(lane))
        return false;
    for (unsigned port = 0; port < io->ports; port++) {
        uint32_t n = io->receive(io->ctx, lane->index, port, in, NF_BURST_MAX);

        for (uint32_t i = 0; i < n; i++) {
            if (nd_lane_takes_frame(lane, &in[i], port)) {
                io->drop(io->ctx, in[i].owner);
            } else if (!put_frame(&lane->waiting, &in[i], port)) {
                io->drop(io->ctx, in[i].owner);
                FT_COUNT(lane->shared, waiting_full, 1);
            }
        }
        any |= n > 0;
    }
    return any;
}

void nd_lane_drop_waiting(struct nd_lane *lane)
{
    struct nd_frame frame;
    unsigned port;

    while (nd_waiting_take(&lane->waiting, &frame, &port))
        lane->io->drop(lane->io->ctx, frame.owner);
}
