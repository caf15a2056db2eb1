/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node's ports in the replay tool: bursts come from the tape as far as the gate has fed it, outputs go into
 * a ring that the gate empties. The ring is bounded; when it is full outputs stay held, the hold fills, and
 * the lane takes no more bursts.
 */
#include "ftcore/check.h"
#include "node/replay_slot.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define OUT_BYTES (4u << 20)
#define BUFFERS   65536u /* half of which the hold may have */

/* ---- the memory between ------------------------------------------------------------------------ */

struct nd_slot *nd_slot_new(unsigned lanes)
{
    struct nd_slot *slot =
        mmap(NULL, sizeof(*slot), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (slot == MAP_FAILED)
        return NULL;
    for (unsigned l = 0; l < lanes; l++)
        if (ft_ring_init(&slot->lanes[l].out, OUT_BYTES) != 0) {
            nd_slot_free(slot, lanes);
            return NULL;
        }
    return slot;
}

void nd_slot_free(struct nd_slot *slot, unsigned lanes)
{
    if (!slot)
        return;
    for (unsigned l = 0; l < lanes; l++)
        ft_ring_free(&slot->lanes[l].out);
    munmap(slot, sizeof(*slot));
}

void nd_slot_reset(struct nd_slot *slot, unsigned lanes)
{
    struct ft_ring out[FT_LANES_MAX];

    for (unsigned l = 0; l < lanes; l++)
        out[l] = slot->lanes[l].out;
    memset(slot, 0, sizeof(*slot));
    for (unsigned l = 0; l < lanes; l++) {
        slot->lanes[l].out = out[l];
        ft_ring_reset(&slot->lanes[l].out);
    }
}

/* ---- what lanes call --------------------------------------------------------------------------- */

struct buffer {
    uint32_t len;
    uint32_t reserved;
    uint8_t frame[];
};

static struct buffer *take(struct nd_slot_io *io, uint32_t len)
{
    struct buffer *b;

    if (io->frees == 0 || len > io->frame_max)
        return NULL;
    b = io->free[--io->frees];
    b->len = len;
    return b;
}

static void drop(void *ctx, void *owner)
{
    struct nd_slot_io *io = ctx;

    io->free[io->frees++] = owner;
}

static bool burst(void *ctx, unsigned lane, uint64_t last, struct nd_frame frames[], uint8_t ports[],
                  uint32_t *n, uint64_t *time)
{
    struct nd_slot_io *io = ctx;
    struct nd_slot_lane *from = &io->slot->lanes[lane];
    const struct nd_tape_burst *b;

    atomic_store_explicit(&from->asked, last + 1, memory_order_release);
    if (last >= atomic_load_explicit(&from->fed, memory_order_acquire))
        return false;
    b = &io->tape->bursts[last + from->shift];
    if (io->frees < b->n)
        return false;
    for (uint32_t i = 0; i < b->n; i++) {
        const struct nd_tape_input *in = &io->tape->inputs[b->first + i];
        struct buffer *to = take(io, in->wire);

        nd_tape_frame(io->tape, b->first + i, to->frame);
        frames[i] = (struct nd_frame){.data = to->frame, .len = in->wire, .owner = to};
        ports[i] = in->side == NF_OUTSIDE;
    }
    *n = b->n;
    *time = b->time;
    atomic_store_explicit(&from->taken, last + 1, memory_order_release);
    return true;
}

static uint32_t transmit(void *ctx, unsigned lane, unsigned port, const struct ft_held held[], uint32_t n)
{
    struct nd_slot_io *io = ctx;
    struct ft_ring *ring = &io->slot->lanes[lane].out;
    uint32_t sent = 0;

    for (; sent < n; sent++) {
        struct buffer *b = held[sent].packet;
        uint32_t size = (uint32_t)sizeof(struct nd_slot_output) + ((b->len + 7u) & ~7u);
        struct nd_slot_output *out;

        if (held[sent].number == 0) { /* the node's own frame: no output of the chain */
            drop(io, b);
            continue;
        }
        out = ft_ring_reserve(ring, size);
        if (!out)
            break;
        *out = (struct nd_slot_output){.size = size,
                                       .len = b->len,
                                       .number = held[sent].number,
                                       .clock = held[sent].clock,
                                       .burst = held[sent].burst,
                                       .port = port};
        memcpy(out + 1, b->frame, b->len);
        ft_ring_publish(ring, size);
        drop(io, b);
    }
    return sent;
}

static void *make(void *ctx, const void *frame, uint32_t len)
{
    struct buffer *b = take(ctx, len);

    if (b)
        memcpy(b->frame, frame, len);
    return b;
}

static uint8_t *data(void *owner)
{
    return ((struct buffer *)owner)->frame;
}

/* With a gate that keeps inputs none is ever lost, so clocks count the tape's packets. */
static bool complete(void *ctx, unsigned lane, uint64_t clock, uint8_t *frame, uint32_t have, uint32_t len)
{
    struct nd_slot_io *io = ctx;
    uint8_t whole[FT_FRAME_MAX];

    (void)lane;
    if (clock == 0 || clock > io->tape->count || io->tape->inputs[clock - 1].wire != len || have > len)
        return false;
    nd_tape_frame(io->tape, clock - 1, whole);
    memcpy(frame + have, whole + have, len - have);
    return true;
}

/* ---- making ------------------------------------------------------------------------------------ */

int nd_slot_io_open(struct nd_slot_io *io, struct nd_slot *slot, const struct nd_tape *tape, bool keeps,
                    struct ft_fault *fault)
{
    uint32_t size;

    *io = (struct nd_slot_io){.slot = slot, .tape = tape, .keeps = keeps};
    io->frame_max = tape->longest > NF_EMIT_SLOT ? tape->longest : NF_EMIT_SLOT;
    size = ((uint32_t)sizeof(struct buffer) + io->frame_max + 63u) & ~63u;
    io->pool = mmap(NULL, (size_t)size * BUFFERS, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    io->free = malloc(BUFFERS * sizeof(*io->free));
    if (io->pool == MAP_FAILED || !io->free)
        return ft_fail(fault, FT_ENOMEM, "no memory for %u packet buffers", BUFFERS);
    for (uint32_t i = BUFFERS; i-- > 0;)
        io->free[io->frees++] = io->pool + (size_t)i * size;
    io->io = (struct nd_io){.ctx = io,
                            .ports = ND_SLOT_PORTS,
                            .side = {NF_INSIDE, NF_OUTSIDE},
                            .buffers = BUFFERS,
                            .send = transmit,
                            .make = make,
                            .data = data,
                            .drop = drop,
                            .burst = burst,
                            .complete = keeps ? complete : NULL};
    return 0;
}

void nd_slot_io_close(struct nd_slot_io *io)
{
    free(io->free);
    io->free = NULL;
}
