/* SPDX-License-Identifier: Apache-2.0 */
/* Replay in the lane of help_twin.h: records and chunks of deltas, as node/lane/replay.c does it. */
#include "tests/unit/help_twinlife.h"

#include "ftcore/base/check.h"
#include "ftcore/region/region.h"
#include "logger/capture.h"

static bool replay_record(struct twin_life *life, const struct ft_record *r)
{
    const struct ft_input *in;
    struct lg_cursor cursor = {.record = r};
    uint8_t *bytes;

    if (r->burst != life->state->burst + 1 || r->seq != life->state->seq || r->time < life->state->time) {
        atomic_store_explicit(&life->shared->report.diverged, true, memory_order_release);
        return false;
    }
    while ((in = lg_cursor_input(&cursor, &bytes)))
        twin_apply_input(life, bytes, in->taken, r->time);
    twin_end_burst(life, r->time, r->inputs);
    if (!(r->flags & FT_REC_DIGEST))
        return true;
    uint64_t got = ft_region_digest_lane(life->region, 0);

    atomic_store_explicit(&life->shared->report.expected, r->digest, memory_order_relaxed);
    atomic_store_explicit(&life->shared->report.got, got, memory_order_relaxed);
    atomic_store_explicit(&life->shared->report.digest_burst, r->burst, memory_order_release);
    if (got != r->digest)
        atomic_store_explicit(&life->shared->report.diverged, true, memory_order_release);
    return got == r->digest;
}

static bool take_chunk(struct twin_life *life, const struct ft_chunk *p)
{
    if (p->cut > atomic_load_explicit(&life->shared->orders.cut_to, memory_order_acquire))
        return false;
    atomic_fetch_add(&life->box->carried, twin_delta_apply(life->region, p));
    if (p->flags & FT_CHUNK_LAST) {
        FT_CHECK(life->state->burst == p->burst && life->state->seq == p->seq &&
                     life->state->outputs == p->outputs,
                 "a delta up to burst %lu ends at %lu", p->burst, life->state->burst);
        atomic_fetch_add(&life->box->applied, 1);
    }
    return true;
}

/* A whole delta covers it, or it is replayed; a warm lane leaves that to the takeover. */
static bool take_record(struct twin_life *life, const struct ft_record *r, uint64_t upto)
{
    if (r->burst > upto)
        return false;
    if (r->burst <= atomic_load_explicit(&life->shared->orders.covered, memory_order_acquire)) {
        atomic_fetch_add(&life->box->covered, 1);
        return true;
    }
    if (life->w->warm && life->doing == FT_LANE_REPLAY)
        return false;
    atomic_fetch_add(&life->box->replayed, 1);
    return replay_record(life, r);
}

bool twin_replay(struct twin_life *life, uint64_t upto, uint32_t most_records)
{
    struct ft_ring *ring = &life->shared->replay;
    const struct ft_record *r;
    uint64_t there;
    unsigned n = 0;

    twin_note_most(&life->box->replay_most, ft_ring_used(ring));
    if (atomic_load(&life->shared->report.diverged))
        return false;
    for (; n < most_records && (r = ft_ring_peek(ring, &there)); n++) {
        uint32_t size = r->size;

        if (!(ft_entry_kind(r) == FT_ENTRY_CHUNK ? take_chunk(life, ft_chunk_of(r))
                                                 : take_record(life, r, upto)))
            break;
        ft_ring_advance(ring, size);
        ft_ring_consume(ring);
        twin_tell_executed(life);
    }
    return n > 0;
}

void twin_take_over(struct twin_life *life)
{
    uint64_t upto = atomic_load_explicit(&life->shared->orders.closed_to, memory_order_acquire), there;

    while (twin_replay(life, upto, 64)) /* to its end: a delta of no burst may come last */
        ;
    FT_CHECK(life->state->burst == upto, "replay ends at burst %lu of %lu", life->state->burst, upto);
    while (ft_ring_peek(&life->shared->replay, &there))
        ft_ring_advance(&life->shared->replay, there);
    ft_ring_consume(&life->shared->replay);
    atomic_store(&life->box->live_from, upto);
}
