/* SPDX-License-Identifier: Apache-2.0 */
/* Outputs of replay, oldest first, in a ring that the lane both fills and empties. */
#include "logger/kept.h"
#include "ftcore/base/check.h"
#include "ftcore/base/error.h"

#include <string.h>

#define NEXT  8u    /* outputs */
#define AHEAD 2048u /* bytes; the ring's second mapping makes any of them readable */

int lg_kept_init(struct lg_kept *kept, uint64_t bytes)
{
    memset(kept, 0, sizeof(*kept));
    return ft_ring_init(&kept->ring, bytes);
}

void lg_kept_free(struct lg_kept *kept)
{
    ft_ring_free(&kept->ring);
}

void lg_kept_clear(struct lg_kept *kept)
{
    ft_ring_reset(&kept->ring);
    kept->count = kept->forgotten = 0;
}

static const struct lg_output *oldest(struct lg_kept *kept)
{
    uint64_t there;

    return ft_ring_peek(&kept->ring, &there);
}

static void drop_oldest(struct lg_kept *kept, const struct lg_output *output)
{
    ft_ring_advance(&kept->ring, output->size);
    ft_ring_consume(&kept->ring);
    kept->count--;
}

void lg_kept_put(struct lg_kept *kept, const struct lg_output *output, const void *frame)
{
    uint32_t size = (uint32_t)(sizeof(struct lg_output) + ((output->have + 7u) & ~7u));
    struct lg_output *out;

    FT_CHECK(size <= kept->ring.capacity, "an output of %u bytes cannot be kept at all", output->have);
    ft_ring_consume(&kept->ring); /* what was taken last is done with */
    while (!(out = ft_ring_reserve(&kept->ring, size))) {
        const struct lg_output *gone = oldest(kept);

        kept->forgotten_to = gone->number;
        kept->forgotten++;
        drop_oldest(kept, gone);
    }
    for (uint32_t line = 0; line < size;
         line += 64) /* the ring is larger than the cache: fetch lines ahead */
        __builtin_prefetch((const uint8_t *)out + AHEAD + line, 1);
    *out = *output;
    out->size = size;
    if (output->have)
        memcpy(out + 1, frame, output->have);
    ft_ring_publish(&kept->ring, size);
    kept->count++;
}

void lg_kept_missed(struct lg_kept *kept, uint64_t count, uint64_t to)
{
    if (count == 0)
        return;
    kept->forgotten += count;
    if (to > kept->forgotten_to)
        kept->forgotten_to = to;
}

void lg_kept_released(struct lg_kept *kept, uint64_t released)
{
    const struct lg_output *output;
    uint64_t left = kept->forgotten_to > released ? kept->forgotten_to - released : 0;

    while ((output = oldest(kept)) && output->number <= released) {
        __builtin_prefetch((const uint8_t *)output + NEXT * output->size); /* most are of one size */
        ft_ring_advance(&kept->ring, output->size);
        kept->count--;
    }
    ft_ring_consume(&kept->ring);
    /* What left the primary was not suppressed, whether we still had it or not. */
    if (kept->forgotten > left)
        kept->forgotten = left;
}

const struct lg_output *lg_kept_take(struct lg_kept *kept)
{
    const struct lg_output *output;

    /* The one given last time is freed now: its bytes stayed readable until this call. */
    ft_ring_consume(&kept->ring);
    output = oldest(kept);
    if (output) {
        ft_ring_advance(&kept->ring, output->size);
        kept->count--;
    }
    return output;
}
