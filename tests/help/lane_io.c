/* SPDX-License-Identifier: Apache-2.0 */
/* Ports for a lane without a network; see lane_io.h. */
#include "tests/help/lane_io.h"

#include <stdlib.h>
#include <string.h>

#define FRAMES 3u
#define FRAME  64u

_Atomic bool lane_io_feeds;

static uint32_t io_receive(void *ctx, unsigned lane, unsigned port, struct nd_frame frames[], uint32_t max)
{
    (void)ctx, (void)lane;
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
    (void)ctx, (void)lane, (void)port;
    for (uint32_t i = 0; i < n; i++)
        free(held[i].packet);
    return n;
}

static void *io_make(void *ctx, unsigned lane, const void *frame, uint32_t len)
{
    void *packet = calloc(1, len);

    (void)ctx, (void)lane;
    return packet ? memcpy(packet, frame, len) : NULL;
}

static uint8_t *io_data(void *owner)
{
    return owner;
}

static void io_drop(void *ctx, void *owner)
{
    (void)ctx;
    free(owner);
}

const struct nd_io lane_io = {.ports = 2,
                              .devices = 2,
                              .side = {NF_INSIDE, NF_OUTSIDE},
                              .buffers = 1024,
                              .receive = io_receive,
                              .send = io_send,
                              .make = io_make,
                              .data = io_data,
                              .drop = io_drop};
