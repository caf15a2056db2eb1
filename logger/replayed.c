/* SPDX-License-Identifier: Apache-2.0 */
/* Outputs of replay, oldest first, in a ring that the lane both fills and empties. */
#include "logger/replayed.h"
#include "ftcore/base/check.h"

#include <string.h>

#define NEXT  8u    /* outputs */
#define AHEAD 2048u /* bytes; the ring's second mapping makes any of them readable */

const struct lg_output *lg_replayed_oldest(struct lg_replayed *replayed)
{
    uint64_t there;

    return ft_ring_peek(&replayed->ring, &there);
}

/* Its bytes stay readable until the ring's next ft_ring_consume. */
static void pass_oldest(struct lg_replayed *replayed, const struct lg_output *output)
{
    ft_ring_advance(&replayed->ring, output->size);
    replayed->count--;
}

int lg_replayed_init(struct lg_replayed *replayed, uint64_t bytes)
{
    *replayed = (struct lg_replayed){.count = 0};
    return ft_ring_init(&replayed->ring, bytes);
}

void lg_replayed_free(struct lg_replayed *replayed)
{
    ft_ring_free(&replayed->ring);
}

void lg_replayed_clear(struct lg_replayed *replayed)
{
    ft_ring_reset(&replayed->ring);
    replayed->count = replayed->forgotten = replayed->forgotten_to = 0;
}

void lg_replayed_put(struct lg_replayed *replayed, const struct lg_output *output, const void *frame)
{
    uint32_t size = (uint32_t)(sizeof(struct lg_output) + ((output->have + 7u) & ~7u));
    struct lg_output *out;

    FT_CHECK(size <= replayed->ring.capacity, "an output of %u bytes cannot be kept at all", output->have);
    ft_ring_consume(&replayed->ring); /* what was taken last is done with */
    while (!(out = ft_ring_reserve(&replayed->ring, size))) {
        const struct lg_output *gone = lg_replayed_oldest(replayed);

        replayed->forgotten_to = gone->number;
        replayed->forgotten++;
        pass_oldest(replayed, gone);
        ft_ring_consume(&replayed->ring);
    }
    for (uint32_t line = 0; line < size;
         line += 64) /* the ring is larger than the cache: fetch lines ahead */
        __builtin_prefetch((const uint8_t *)out + AHEAD + line, 1);
    *out = *output;
    out->size = size;
    if (output->have)
        memcpy(out + 1, frame, output->have);
    ft_ring_publish(&replayed->ring, size);
    replayed->count++;
}

void lg_replayed_missed(struct lg_replayed *replayed, uint64_t count, uint64_t to)
{
    if (count == 0)
        return;
    replayed->forgotten += count;
    if (to > replayed->forgotten_to)
        replayed->forgotten_to = to;
}

void lg_replayed_released(struct lg_replayed *replayed, uint64_t released)
{
    const struct lg_output *output;
    uint64_t left = replayed->forgotten_to > released ? replayed->forgotten_to - released : 0;

    while ((output = lg_replayed_oldest(replayed)) && output->number <= released) {
        __builtin_prefetch((const uint8_t *)output + NEXT * output->size); /* most are of one size */
        pass_oldest(replayed, output);
    }
    ft_ring_consume(&replayed->ring);
    /* What left the primary was not suppressed, whether we still had it or not. */
    if (replayed->forgotten > left)
        replayed->forgotten = left;
}

const struct lg_output *lg_replayed_take(struct lg_replayed *replayed)
{
    const struct lg_output *output;

    /* The one given last time is freed now: its bytes stayed readable until this call. */
    ft_ring_consume(&replayed->ring);
    output = lg_replayed_oldest(replayed);
    if (output)
        pass_oldest(replayed, output);
    return output;
}
