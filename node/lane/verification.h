/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pair compares its states by itself: slice after slice (ftcore/region/slice.h), round after round. A
 * round takes verify_every_s. Each turn of it is one slice: the primary's lane takes its digest between two
 * bursts, the record or the delta there carries it, and the standby's lane compares where it has replayed or
 * applied as much. So a lane digests at most FT_SLICE bytes between two bursts, and with its other lanes
 * waiting only where it says so:
 *
 *   - Log, hot standby: each lane takes the slices of its own arenas by itself, with one lane those of the
 *     shared arena too. With several lanes the slices of the shared arena are lane 0's turns, and all lanes
 *     come to a barrier for one, as for a digest that somebody asked for (quiesce.c). Not where an input
 *     keeper cuts bursts, of which a lane may get none for long.
 *   - Deltas, and the checkpoints of a warm standby: one slice of any arena at a cut, where all lanes wait
 *     anyway. A warm standby replays no records, so it compares at its checkpoints alone; where there are
 * more slices than checkpoints in verify_every_s, a round takes as many checkpoints as there are slices.
 *
 * Nothing is compared while a lane finishes the replay of a takeover: a standby that differs is better than
 * none. Written by lanes; the kept slices are read by the main thread, which saves those that differ.
 */
#ifndef NODE_LANE_VERIFICATION_H
#define NODE_LANE_VERIFICATION_H

#include "ftcore/base/error.h"
#include "ftcore/region/slice.h"

#define ND_KEPT 16u /* slices that a lane keeps: those whose digest it took last, or that differed here */

/* A copy of a slice, as it was when its digest was taken or compared. */
struct nd_kept {
    _Atomic uint64_t serial; /* odd while the lane writes the others */
    uint64_t digest;         /* the primary's */
    uint64_t number, burst, size;
    uint8_t *bytes; /* [FT_SLICE] */
};

/* Of a lane. Times are monotonic, ns. */
struct nd_verification {
    uint64_t at;          /* live: when its next record carries a slice's digest; FT_ALL: none does */
    uint64_t quiesced_at; /* lane 0: when a slice is due that needs all lanes to wait; FT_ALL: none is */
    uint64_t interval;    /* between two turns */
    uint32_t whose;       /* arenas that it goes through: bits of ft_slice_from */
    uint64_t next;        /* slice of the next turn; standby: the one after the slice compared last */
    uint64_t in_a_row;    /* standby: slices of this round that were equal, from the first on without a gap */
    struct nd_kept *kept; /* [ND_KEPT]; NULL: nothing is kept */
    uint32_t kept_next;
};

struct nd_lane;
struct nd_group;
struct ft_record;

/* A slice's digest as it is sent: in a record or with a delta. */
struct nd_slice_digest {
    uint64_t burst, seq; /* that it came with */
    uint64_t slice, digest;
};

/* FT_ENOMEM: nd_lane_free frees what there is. */
int nd_verification_make(struct nd_lane *lane);
void nd_verification_free(struct nd_lane *lane);
/* All lanes are quiesced, and a stream begins: the first turn of a round is due after an interval. */
void nd_verification_begin(struct nd_lane *lane);
/* How many lanes go through slices, from lane 0 on. */
unsigned nd_verification_lanes(const struct nd_lane *lane);

/* The lane has run `burst`, whose record carries the digest of the slice that is due. */
struct nd_slice_digest nd_lane_take_slice(struct nd_lane *lane, uint64_t burst);
/* All lanes are quiesced, and lane 0 found a slice due: it is lane 0's last burst. */
struct nd_slice_digest nd_group_take_slice(struct nd_group *group);
/* It is taken an interval later. */
void nd_group_put_off_slice(struct nd_group *group);

/* Standby: this lane has replayed or applied as much as the primary's had when it took the digest. False:
 * they differ, which is told and kept, and the lane's replay has diverged. */
bool nd_lane_compare_slice(struct nd_lane *lane, const struct nd_slice_digest *theirs);

/* Main thread: copies the slice that the lane kept with this digest to `out`, with room for FT_SLICE bytes at
 * out->bytes. False: it is not kept any more, or never was. */
bool nd_lane_find_kept(const struct nd_lane *lane, uint64_t digest, struct nd_kept *out);

#endif
