/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pair compares its states: by digests of the whole region, which somebody asks for, and by itself, slice
 * after slice (ftcore/region/slice.h), round after round. A round takes verify_every_s. Each turn of it is
 * one slice: the primary's lane takes its digest between two bursts, the record or the delta there carries
 * it, and the standby's lane compares where it has replayed or applied as much. So a lane digests at most
 * FT_SLICE bytes between two bursts, and its other lanes wait only where that is stated:
 *
 *   - Log, hot standby: each lane takes the slices of its own arenas by itself, with one lane those of the
 *     shared arena too. With several lanes the slices of the shared arena are lane 0's turns, and all lanes
 *     come to a barrier for one, as for a digest that somebody asked for. Not where an input
 *     keeper cuts bursts, of which a lane may get none for long.
 *   - Deltas, and the checkpoints of a warm standby: one slice of any arena at a cut, where all lanes wait
 *     anyway. A warm standby replays no records, so it compares at its checkpoints alone; where there are
 *     more slices than checkpoints in verify_every_s, a round takes as many checkpoints as there are slices.
 *
 * A digest that all lanes quiesced for goes into the next record of every lane: it is that of the region
 * while all lanes are before the burst of that record.
 *
 * Nothing is compared while a lane finishes the replay of a takeover: a standby that differs is better than
 * none. Runs on the lanes' threads, but for the search of the slices that are kept, by the main thread, which
 * saves those that differ.
 */
#include "lane/parts.h"
#include "ftcore/region/slice.h"
#include "nflib/chain/chain.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The slices of all arenas are lane 0's turns, where it is alone or all lanes wait at a cut. */
static bool first_takes_all(const struct nd_lane *lane)
{
    return lane->group->lanes == 1 || lane->protect->deltas || lane->protect->stores;
}

unsigned nd_verification_lanes(const struct nd_lane *lane)
{
    return first_takes_all(lane) ? 1 : lane->group->lanes;
}

static uint32_t arenas_of(const struct nd_lane *lane)
{
    uint32_t own = FT_SLICES_OF(lane->index);

    if (first_takes_all(lane))
        return lane->index == 0 ? FT_SLICES_ALL : 0;
    if (lane->index != 0 ||
        lane->io->burst) /* by an input keeper a lane may get no burst to carry a digest */
        return own;
    return own | FT_SLICES_OF(FT_LANES_MAX);
}

static uint64_t round_ns(const struct nd_lane *lane)
{
    return lane->setup.round_ns ? lane->setup.round_ns : lane->protect->verify_every_s * 1000000000ull;
}

int nd_verification_make(struct nd_lane *lane)
{
    struct nd_verification *v = &lane->verification;
    uint8_t *bytes;

    v->at = v->quiesced_at = FT_ALL;
    v->whose = arenas_of(lane);
    if (!lane->protect->pair || round_ns(lane) == 0 || !v->whose)
        return 0;
    v->kept = calloc(ND_KEPT, sizeof(*v->kept));
    bytes = v->kept ? aligned_alloc(64, ND_KEPT * FT_SLICE) : NULL;
    if (!bytes)
        return FT_ENOMEM;
    memset(bytes, 0, ND_KEPT * FT_SLICE); /* here, since a burst would wait for the pages of its slice */
    for (unsigned i = 0; i < ND_KEPT; i++)
        v->kept[i].bytes = bytes + i * FT_SLICE;
    return 0;
}

void nd_verification_free(struct nd_lane *lane)
{
    if (lane->verification.kept)
        free(lane->verification.kept[0].bytes);
    free(lane->verification.kept);
}

/* ---- the primary: slices ------------------------------------------------------------------------- */

/* Whose digest is next decides whether all lanes have to wait for it. */
static void set_due(struct nd_lane *lane, uint64_t when)
{
    struct nd_verification *v = &lane->verification;
    bool alone = !lane->protect->deltas && !lane->protect->stores;
    struct ft_slice slice;

    if (alone && lane->group->lanes > 1)
        alone = ft_slice_find(lane->region, v->next, &slice) && slice.arena->lane == lane->index;
    v->at = alone ? when : FT_ALL;
    v->quiesced_at = alone ? FT_ALL : when;
}

void nd_verification_begin(struct nd_lane *lane)
{
    struct nd_verification *v = &lane->verification;
    uint64_t every = round_ns(lane), count;

    v->at = v->quiesced_at = FT_ALL;
    v->whose = arenas_of(lane);
    count = every ? ft_slice_count(lane->region, v->whose) : 0;
    if (count == 0)
        return;
    v->interval = every / count;
    v->next = ft_slice_from(lane->region, 0, v->whose);
    set_due(lane, lane->now + v->interval);
}

/* The copy costs less than it seems: the digest is then taken of what is in the cache. */
static struct nd_kept *keep_slice(struct nd_lane *lane, const struct ft_slice *slice, uint64_t number,
                                  uint64_t burst)
{
    struct nd_verification *v = &lane->verification;
    struct nd_kept *kept = &v->kept[v->kept_next++ % ND_KEPT];
    uint64_t serial = atomic_load_explicit(&kept->serial, memory_order_relaxed);

    atomic_store_explicit(&kept->serial, serial + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    kept->number = number;
    kept->burst = burst;
    kept->size = slice->size;
    memcpy(kept->bytes, slice->base, slice->size);
    return kept;
}

static void keep_as(struct nd_kept *kept, uint64_t digest)
{
    kept->digest = digest;
    atomic_fetch_add_explicit(&kept->serial, 1, memory_order_release);
}

/* A turn that comes late is not made up for but by one: a lane that was held up does not digest burst after
 * burst. */
static void end_turn(struct nd_lane *lane, uint64_t due)
{
    struct nd_verification *v = &lane->verification;

    v->next = ft_slice_from(lane->region, v->next + 1, v->whose);
    if (v->next == FT_SLICE_NONE)
        v->next = ft_slice_from(lane->region, 0, v->whose);
    set_due(lane, due + v->interval > lane->now ? due + v->interval : lane->now);
}

static struct nd_slice_digest digest_next_slice(struct nd_lane *lane, uint64_t due, uint64_t burst)
{
    struct nd_verification *v = &lane->verification;
    struct nd_slice_digest out = {.burst = burst, .slice = v->next};
    struct ft_slice slice;

    FT_CHECK(ft_slice_find(lane->region, v->next, &slice), "slice %lu is not there", v->next);
    if (v->kept) {
        struct nd_kept *kept = keep_slice(lane, &slice, v->next, burst);

        out.digest = ft_slice_digest(kept->bytes, kept->size, burst);
        keep_as(kept, out.digest);
    } else {
        out.digest = ft_slice_digest(slice.base, slice.size, burst);
    }
    end_turn(lane, due);
    return out;
}

struct nd_slice_digest nd_group_take_slice(struct nd_group *group)
{
    struct nd_lane *first = &group->lane[0];

    return digest_next_slice(first, first->verification.quiesced_at, nf_chain_state(first->chain)->burst);
}

/* ---- the primary: the region, and what carries a digest ------------------------------------------ */

void nd_group_take_digest(struct nd_group *group)
{
    group->digest = ft_region_digest(group->lane[0].region);
    group->digest_taken = 0;
    for (unsigned l = 0; l < group->lanes; l++) {
        uint64_t asked = nd_lane_digest_asked(&group->lane[l]);

        group->digest_taken = asked > group->digest_taken ? asked : group->digest_taken;
    }
}

void nd_lane_carry_digest(struct nd_lane *lane, uint64_t burst)
{
    struct nd_group *group = lane->group;
    struct nd_slice_digest own;

    if (nd_lane_digest_to_carry(lane) != lane->seen.digest) {
        nd_lane_report_digest(lane, nd_lane_digest_to_carry(lane), burst);
        lg_capture_digest(&lane->capture, FT_REC_DIGEST, 0,
                          group->lanes == 1 ? ft_region_digest(lane->region) : group->digest);
    } else if (group->slices_taken != lane->seen.slices) {
        lane->seen.slices = group->slices_taken;
        lg_capture_digest(&lane->capture, FT_REC_DIGESTS, group->slice.slice, group->slice.digest);
    } else {
        own = digest_next_slice(lane, lane->verification.at, burst);
        lg_capture_digest(&lane->capture, FT_REC_SLICE, own.slice, own.digest);
        return;
    }
    if (group->lanes > 1)
        atomic_fetch_sub_explicit(&group->owed, 1, memory_order_release);
}

/* ---- the primary: digests that all lanes quiesce for ----------------------------------------------- */

bool nd_digest_owed(const struct nd_lane *lane)
{
    return (nd_lane_digest_to_carry(lane) != lane->seen.digest ||
            lane->group->slices_taken != lane->seen.slices) &&
           !nd_digest_by_delta(lane);
}

bool nd_group_owes_digest(const struct nd_group *group)
{
    return group->lanes > 1 && nd_group_any(group, nd_digest_owed);
}

void nd_slice_want(struct nd_lane *lane)
{
    struct nd_group *group = lane->group;

    if (nd_slice_due(lane) && group->lanes > 1 && !nd_lane_draining(lane) && !nd_digest_by_delta(lane) &&
        nd_lane_stream(lane) == ND_STREAM_RECORDS &&
        atomic_load_explicit(&group->owed, memory_order_acquire) == 0)
        atomic_store_explicit(&group->slice_due, true, memory_order_release);
}

/* A digest of the region that was not taken yet. */
static bool is_asked(const struct nd_lane *lane)
{
    return nd_lane_digest_asked(lane) > lane->group->digest_taken;
}

bool nd_lane_digest_due(const struct nd_lane *lane)
{
    return lane->group->lanes > 1 && !nd_digest_by_delta(lane) && !nd_digest_owed(lane) &&
           nd_lane_stream(lane) == ND_STREAM_RECORDS &&
           (is_asked(lane) || atomic_load_explicit(&lane->group->slice_due, memory_order_acquire));
}

static bool has_no_room(const struct nd_lane *lane)
{
    return lane->turn.no_room;
}

void nd_group_take_for_records(struct nd_group *group)
{
    if (nd_group_any(group, is_asked)) {
        nd_group_take_digest(group);
    } else if (!atomic_exchange_explicit(&group->slice_due, false, memory_order_relaxed)) {
        return;
    } else if (nd_group_any(group, has_no_room)) {
        set_due(&group->lane[0], group->lane[0].now + group->lane[0].verification.interval);
        return;
    } else {
        group->slice = nd_group_take_slice(group);
        group->slices_taken++;
    }
    atomic_store_explicit(&group->owed, group->lanes, memory_order_release);
}

void nd_group_forget_digests(struct nd_group *group)
{
    for (unsigned l = 0; group->lanes > 1 && l < group->lanes; l++) {
        group->lane[l].seen.digest = group->digest_taken;
        group->lane[l].seen.slices = group->slices_taken;
    }
    atomic_store_explicit(&group->owed, 0, memory_order_relaxed);
    atomic_store_explicit(&group->slice_due, false, memory_order_relaxed);
}

/* ---- the standby --------------------------------------------------------------------------------- */

/* A round is whole when every slice of it was equal, in order. */
static void note_equal(struct nd_lane *lane, uint64_t slice)
{
    struct nd_verification *v = &lane->verification;

    FT_COUNTER_ADD(lane->shared, slices_equal, 1);
    if (slice == ft_slice_from(lane->region, 0, v->whose))
        v->in_a_row = 0;
    else if (slice != v->next)
        return;
    v->in_a_row++;
    v->next = ft_slice_from(lane->region, slice + 1, v->whose);
    if (v->next != FT_SLICE_NONE)
        return;
    FT_REPORT_SET(lane->shared, round_slices, v->in_a_row);
    FT_REPORT_SET(lane->shared, round_ns, lane->now);
}

static bool report_difference(struct nd_lane *lane, const struct ft_slice *slice,
                              const struct nd_slice_digest *theirs, uint64_t got)
{
    char whose[FT_SLICE_TEXT], what[FT_SLICE_TEXT + 64];

    if (lane->verification.kept)
        keep_as(keep_slice(lane, slice, theirs->slice, nf_chain_state(lane->chain)->burst), theirs->digest);
    snprintf(what, sizeof(what), "digest of slice %lu (%s)", theirs->slice, ft_slice_text(slice, whose));
    FT_REPORT_SET(lane->shared, expected, theirs->digest);
    FT_REPORT_SET(lane->shared, got, got);
    FT_REPORT_SET(lane->shared, digest_burst, theirs->burst);
    FT_REPORT_SET(lane->shared, digests, FT_REPORT_GET(lane->shared, digests) + 1);
    FT_COUNTER_ADD(lane->shared, slices_different, 1);
    return nd_lane_diverged(lane, theirs->burst, theirs->seq, what, theirs->digest, got);
}

bool nd_lane_compare_slice(struct nd_lane *lane, const struct nd_slice_digest *theirs)
{
    struct ft_slice slice;
    uint64_t got;

    if (lane->doing != FT_LANE_REPLAY)
        return true;
    if (!ft_slice_find(lane->region, theirs->slice, &slice))
        return nd_lane_diverged(lane, theirs->burst, theirs->seq, "a slice that is there, not", 0,
                                theirs->slice);
    got = ft_slice_digest(slice.base, slice.size, nf_chain_state(lane->chain)->burst);
    if (got != theirs->digest)
        return report_difference(lane, &slice, theirs, got);
    note_equal(lane, theirs->slice);
    return true;
}

/* ---- the main thread ----------------------------------------------------------------------------- */

/* False: the lane has written it meanwhile. */
static bool copy_kept(const struct nd_kept *kept, struct nd_kept *out)
{
    uint8_t *bytes = out->bytes;
    uint64_t before = atomic_load_explicit(&kept->serial, memory_order_acquire);

    out->digest = kept->digest;
    out->number = kept->number;
    out->burst = kept->burst;
    out->size = kept->size;
    if (before == 0 || before & 1 || out->size > FT_SLICE)
        return false;
    memcpy(bytes, kept->bytes, out->size);
    atomic_thread_fence(memory_order_acquire);
    return atomic_load_explicit(&kept->serial, memory_order_relaxed) == before;
}

bool nd_lane_find_kept(const struct nd_lane *lane, uint64_t digest, struct nd_kept *out)
{
    for (unsigned i = 0; lane->verification.kept && i < ND_KEPT; i++)
        if (lane->verification.kept[i].digest == digest && copy_kept(&lane->verification.kept[i], out) &&
            out->digest == digest)
            return true;
    return false;
}
