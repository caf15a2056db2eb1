/* SPDX-License-Identifier: Apache-2.0 */
/* Deltas of help_twin.h: deltas made from the region's dirty lines and the outputs since the last cut, and
 * the chunks of them applied. One lane, so its delta carries the shared arena too, of which it has none. */
#include "ftcore/record/message.h"
#include "ftcore/record/runs.h"
#include "tests/unit/help_twin.h"

#include <string.h>

#define RUN_MAX 256u /* lines */

void twin_delta_begin(struct twin_delta *d, uint64_t burst)
{
    d->cut = 0;
    d->from = burst;
    d->outs = 0;
    ft_lines_clear(&d->region->dirty);
    atomic_fetch_or(&d->region->tracking, FT_TRACK_DIRTY);
}

void twin_delta_note(struct twin_delta *d, const struct twin_burst *b, const struct twin_lane_state *after)
{
    for (unsigned i = 0; i < b->n && d->outs < TWIN_OUTS; i++)
        d->out[d->outs++] = (struct twin_out){.number = after->outputs - b->n + i + 1,
                                              .burst = after->burst,
                                              .seq = after->seq - b->n + i + 1,
                                              .len = b->len[i]};
}

static struct ft_chunk *begin(struct twin_delta *d, const struct twin_lane_state *s, uint32_t number)
{
    struct ft_chunk *p = ft_ring_reserve(&d->lane->log, FT_CHUNK_MAX);

    FT_CHECK(p, "no room for a chunk that was reckoned with");
    *p = (struct ft_chunk){
        .kind = FT_ENTRY_CHUNK,
        .cut = d->cut + 1,
        .from = d->from,
        .burst = s->burst,
        .seq = s->seq,
        .outputs = s->outputs,
        .released = atomic_load_explicit(&d->lane->report.released, memory_order_relaxed),
        .number = number,
    };
    return p;
}

static void publish(struct twin_delta *d, struct ft_chunk *p)
{
    p->size = ft_chunk_size(p->lines, p->bytes);
    ft_ring_publish(&d->lane->log, p->size);
}

/* True when a line is left for which the chunk has no room. */
static bool put_lines(struct twin_delta *d, struct ft_chunk *p)
{
    struct ft_lines *dirty = &d->region->dirty;

    for (;;) {
        struct ft_run found = ft_lines_find(dirty, 0, dirty->lines, RUN_MAX);
        struct ft_line_run run = {.line = found.line,
                                  .count = (uint32_t)found.count,
                                  .bytes = d->region->base + (found.line << FT_LINE_SHIFT)};

        if (!found.count)
            return false;
        if (!ft_run_append(ft_chunk_lines(p), &p->lines, FT_CHUNK_LINES, &run))
            return true;
        ft_lines_take(dirty, found.line, found.line + found.count, found.count);
    }
}

static bool put_outputs(struct twin_delta *d, struct ft_chunk *p, unsigned *at)
{
    for (; *at < d->outs; ++*at) {
        const struct twin_out *out = &d->out[*at];
        struct ft_chunk_output *o = (void *)(ft_chunk_held(p) + p->bytes);
        uint32_t have = out->number % 5 ? 0 : 24;

        if (p->bytes + sizeof(*o) + 24 > FT_CHUNK_OUTPUTS)
            return true;
        have = have < out->len ? have : out->len;
        *o = (struct ft_chunk_output){out->number, out->burst, out->seq, out->len, have, 1, {0}};
        memset(o + 1, (int)out->number, have);
        memset((uint8_t *)(o + 1) + have, 0, FT_ALIGN8(have) - have);
        p->held++;
        p->bytes += (uint32_t)(sizeof(*o) + FT_ALIGN8(have));
    }
    return false;
}

static bool has_room(struct twin_delta *d)
{
    uint64_t lines = ft_lines_count(&d->region->dirty, 0, d->region->dirty.lines);
    uint64_t bytes = lines * (FT_LINE + 16) + d->outs * (sizeof(struct ft_chunk_output) + 24ull);

    if (bytes > TWIN_PENDING / 2)
        atomic_store_explicit(&d->lane->report.overrun, true, memory_order_release);
    return bytes <= TWIN_PENDING / 2 && ft_ring_room(&d->lane->log) > 2 * bytes + 2 * FT_CHUNK_MAX;
}

static void forget_released(struct twin_delta *d)
{
    uint64_t released = atomic_load_explicit(&d->lane->report.released, memory_order_relaxed);
    unsigned gone = 0;

    while (gone < d->outs && d->out[gone].number <= released)
        gone++;
    memmove(d->out, d->out + gone, (d->outs - gone) * sizeof(*d->out));
    d->outs -= gone;
}

bool twin_delta_cut(struct twin_delta *d, const struct twin_lane_state *state, bool half)
{
    unsigned at = 0, number = 0;

    forget_released(d);
    if (!has_room(d))
        return false;
    for (bool more = true; more;) {
        struct ft_chunk *p = begin(d, state, number++);

        more = put_lines(d, p) || put_outputs(d, p, &at);
        if (!more && half)
            return true;
        p->flags |= more ? 0 : FT_CHUNK_LAST;
        publish(d, p);
    }
    d->cut++;
    d->from = state->burst;
    d->outs = 0;
    return true;
}

uint64_t twin_delta_apply(struct ft_region *region, const struct ft_chunk *p)
{
    struct ft_line_run run;
    uint32_t at = 0;

    while (ft_run_next(ft_chunk_lines(p), p->lines, &at, region->size >> FT_LINE_SHIFT, &run) > 0) {
        uint8_t *to = region->base + (run.line << FT_LINE_SHIFT);

        if (run.zero)
            memset(to, 0, (size_t)run.count << FT_LINE_SHIFT);
        else
            memcpy(to, run.bytes, (size_t)run.count << FT_LINE_SHIFT);
    }
    return p->held;
}
