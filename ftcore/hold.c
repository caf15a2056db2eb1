/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Held outputs of one lane. Owns the queue's slots, not the packets. Written and read by the lane alone, so
 * nothing here is atomic; `in` and `out` count for ever and are reduced to a slot by a mask.
 */
#include "ftcore/hold.h"
#include "ftcore/check.h"
#include "ftcore/error.h"
#include "ftcore/plant.h"

#include <stdlib.h>

#define CAPACITY_MAX (1u << 31)

static struct ft_held *slot(const struct ft_hold *hold, uint64_t number)
{
    return &hold->slots[number & (hold->capacity - 1)];
}

uint32_t ft_hold_fit(uint32_t wanted, uint32_t most)
{
    uint32_t fit = most ? 1 : 0;

    while (fit && fit < wanted && fit <= most / 2)
        fit <<= 1;
    return fit;
}

int ft_hold_init(struct ft_hold *hold, uint32_t capacity)
{
    uint32_t rounded = 1;

    *hold = (struct ft_hold){0};
    if (capacity > CAPACITY_MAX)
        return FT_ENOMEM;
    while (rounded < capacity)
        rounded <<= 1;
    hold->slots = calloc(rounded, sizeof(*hold->slots));
    if (!hold->slots)
        return FT_ENOMEM;
    hold->capacity = rounded;
    return FT_OK;
}

void ft_hold_free(struct ft_hold *hold)
{
    free(hold->slots);
    *hold = (struct ft_hold){0};
}

uint32_t ft_hold_count(const struct ft_hold *hold)
{
    return (uint32_t)(hold->in - hold->out);
}

uint32_t ft_hold_room(const struct ft_hold *hold)
{
    return hold->capacity - ft_hold_count(hold);
}

void ft_hold_put(struct ft_hold *hold, const struct ft_held *output)
{
    FT_CHECK(ft_hold_room(hold) > 0, "all %u held outputs are in use", hold->capacity);
    /* Only against what is still held: an emptied queue may begin again with the numbers of a new view. */
    FT_CHECK(ft_hold_count(hold) == 0 || slot(hold, hold->in - 1)->burst <= output->burst,
             "an output of burst %llu after one of burst %llu", (unsigned long long)output->burst,
             (unsigned long long)slot(hold, hold->in - 1)->burst);
    *slot(hold, hold->in) = *output;
    hold->in++;
}

uint32_t ft_hold_peek(const struct ft_hold *hold, uint64_t stable, uint32_t max, struct ft_held *out)
{
    uint32_t held = ft_hold_count(hold), count = 0;

    while (count < held && count < max) {
        const struct ft_held *next = slot(hold, hold->out + count);

        if (next->burst > stable + (FT_PLANTED("one-too-many") && stable + 1 != 0) ||
            (count > 0 && next->port != out[0].port))
            break;
        out[count++] = *next;
    }
    return count;
}

void ft_hold_drop(struct ft_hold *hold, uint32_t count)
{
    FT_CHECK(count <= ft_hold_count(hold), "%u outputs dropped, %u held", count, ft_hold_count(hold));
    hold->out += count;
}
