/* SPDX-License-Identifier: Apache-2.0 */
/* Held outputs of one lane (hold.h). Owns the queue's slots, not the packets. */
#include "ftcore/queue/hold.h"
#include "ftcore/base/error.h"
#include "ftcore/base/plant.h"

#include <stdlib.h>

#define CAPACITY_MAX (1u << 31)

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

uint32_t ft_hold_ready(const struct ft_hold *hold, uint64_t stable, uint32_t max, const struct ft_held **out)
{
    const struct ft_held *first = ft_hold_slot(hold, hold->out);
    uint32_t held = ft_hold_count(hold), to_wrap = (uint32_t)(hold->slots + hold->capacity - first),
             count = 0;

    if (FT_PLANTED("one-too-many") && stable + 1 != 0)
        stable++;
    held = held < max ? held : max;
    held = held < to_wrap ? held : to_wrap; /* slots until the ring's end */
    while (count < held && first[count].burst <= stable && first[count].port == first[0].port)
        count++;
    *out = first;
    return count;
}
