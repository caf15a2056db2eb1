/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Held outputs of one lane, in order. Written and read by that lane alone, so nothing is atomic: the chain's
 * outputs go in with their burst, and come out when the lane finds the burst stable. Full: the lane stops
 * receiving; nothing leaves early.
 */
#ifndef FTCORE_QUEUE_HOLD_H
#define FTCORE_QUEUE_HOLD_H

#include "ftcore/base/check.h"

#include <stdint.h>

struct ft_held {
    uint64_t burst;
    uint64_t number; /* of the lane's outputs, from 1 */
    uint64_t seq;    /* of the input it came from; 0: made by an NF */
    void *packet;    /* the owner's, opaque here */
    uint32_t len;    /* bytes of the frame */
    uint16_t port;
};

struct ft_hold {
    struct ft_held *slots;
    uint32_t capacity; /* power of two */
    uint64_t in, out;  /* ever put, ever released; reduced to a slot by a mask */
};

/* The capacity for `wanted` outputs: a power of two, at most `most` (0 if that is 0). */
uint32_t ft_hold_fit(uint32_t wanted, uint32_t most);
int ft_hold_init(struct ft_hold *hold, uint32_t capacity); /* rounded up to a power of two; FT_ENOMEM */
void ft_hold_free(struct ft_hold *hold);

/* Of output `number`, counted as `in` and `out` are. */
static inline struct ft_held *ft_hold_slot(const struct ft_hold *hold, uint64_t number)
{
    return &hold->slots[number & (hold->capacity - 1)];
}

static inline uint32_t ft_hold_count(const struct ft_hold *hold)
{
    return (uint32_t)(hold->in - hold->out);
}

static inline uint32_t ft_hold_room(const struct ft_hold *hold)
{
    return hold->capacity - ft_hold_count(hold);
}

/*
 * For the outputs of a burst, at most `most`: what ft_hold_put checks for each, once. They are then added by
 * ft_hold_add, in order, with this burst; or written whole by the caller, one after the other, to the slot
 * of `in` and those that ft_hold_next names, and then counted by ft_hold_added.
 */
static inline void ft_hold_expect(const struct ft_hold *hold, uint64_t burst, uint32_t most)
{
    FT_CHECK(ft_hold_room(hold) >= most, "all %u held outputs are in use but %u, expected room for %u",
             hold->capacity, ft_hold_room(hold), most);
    /* Only against what is still held: an emptied queue may begin again with the numbers of a new view. */
    FT_CHECK(ft_hold_count(hold) == 0 || ft_hold_slot(hold, hold->in - 1)->burst <= burst,
             "an output of burst %lu after one of burst %lu", burst, ft_hold_slot(hold, hold->in - 1)->burst);
}

#define FT_HOLD_AHEAD 64u /* outputs: the cache gets a later one's slot meanwhile */

/* The slot behind `slot`, in the circle. */
static inline struct ft_held *ft_hold_next(const struct ft_hold *hold, struct ft_held *slot)
{
    __builtin_prefetch((const void *)((uintptr_t)slot + FT_HOLD_AHEAD * sizeof(*slot)), 1);
    return slot + 1 == hold->slots + hold->capacity ? hold->slots : slot + 1;
}

static inline void ft_hold_added(struct ft_hold *hold, uint32_t count)
{
    hold->in += count;
}

static inline void ft_hold_add(struct ft_hold *hold, const struct ft_held *output)
{
    *ft_hold_slot(hold, hold->in++) = *output;
}

/* Bursts must not decrease; room must be there (a broken invariant otherwise). */
static inline void ft_hold_put(struct ft_hold *hold, const struct ft_held *output)
{
    ft_hold_expect(hold, output->burst, 1);
    ft_hold_add(hold, output);
}

/*
 * The oldest outputs whose burst is at most `stable`, that are in a row for one port and in the slots: how
 * many, at most `max`; *out is the first. They stay held, and lie there until the next put: what the port
 * accepted is then removed with ft_hold_drop, the rest stays, in order.
 */
uint32_t ft_hold_ready(const struct ft_hold *hold, uint64_t stable, uint32_t max, const struct ft_held **out);
static inline void ft_hold_drop(struct ft_hold *hold, uint32_t count)
{
    FT_CHECK(count <= ft_hold_count(hold), "%u outputs dropped, %u held", count, ft_hold_count(hold));
    hold->out += count;
}
/* The output put as number `index` since the queue began, from 0: hold->out <= index < hold->in. */
static inline const struct ft_held *ft_hold_at(const struct ft_hold *hold, uint64_t index)
{
    FT_CHECK(index >= hold->out && index < hold->in, "output %lu of %lu … %lu", index, hold->out, hold->in);
    return ft_hold_slot(hold, index);
}

#endif
