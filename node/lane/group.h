/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the lanes of a node share: published access numbers, barriers, and the state of their stream. Written
 * by lanes; the last lane to come to a barrier works for all while the others wait in it.
 */
#ifndef NODE_LANE_GROUP_H
#define NODE_LANE_GROUP_H

#include "ftcore/queue/lane.h"
#include "ftcore/order/section.h"
#include "ftcore/record/runs.h"
#include "node/lane/verification.h"

#include <stdbool.h>

struct nd_lane;
struct nd_change;
struct nd_crash_page;
struct ft_chain_name;

struct nd_barrier {
    /* How many have come, in the low byte; above it how often all have. One word, so that whoever leaves a
     * barrier cannot leave the next one in its place. */
    _Alignas(64) _Atomic uint64_t word;
};

/* What the stream of live lanes consists of. */
enum nd_stream_kind {
    ND_STREAM_NONE,    /* nothing: no snapshot was ever cut */
    ND_STREAM_RECORDS, /* records; for a warm standby, checkpoints between them */
    ND_STREAM_DELTAS,  /* deltas */
};

/*
 * How lanes copy the delta of the last cut. `copying` counts the lanes whose delta is not whole; at 0 nothing
 * is copied, whatever is said here, and there may be another cut.
 *
 *   cut ──▶ STOPPED ──────────────────────────────────────────────▶ copying == 0
 *   cut ──▶ BESIDE ──▶ copying == 0
 *              └── the next checkpoint is due ──▶ HURRIED ─────────▶ copying == 0
 */
enum nd_copy {
    ND_COPY_STOPPED, /* no lane runs a burst before its delta, and that of the shared arena, is whole */
    ND_COPY_BESIDE,  /* an incremental checkpoint (checkpoint.c): lanes run bursts meanwhile */
    ND_COPY_HURRIED, /* an incremental checkpoint: lanes run no burst before all deltas are whole */
};

/*
 * The stream that live lanes make together (cut.c). Written in barriers, but for the atomic words. Whether a
 * lane still takes part in it says ft_lane_orders.logging.
 */
struct nd_stream {
    enum nd_stream_kind kind;
    uint64_t number;                  /* of the last delta since the snapshot */
    uint64_t barriers;                /* barriers held for cuts, of those that were wanted */
    _Atomic uint64_t barriers_wanted; /* any lane may want one, then all come */
    _Atomic int copy;                 /* enum nd_copy */
    _Atomic unsigned copying;         /* lanes whose delta is not whole */
    _Atomic unsigned lines_left;      /* lanes with lines of an incremental checkpoint left to copy */
    _Atomic uint64_t shared_copied;   /* number of the last delta that has its lines of the shared arena */
};

struct nd_group {
    unsigned lanes;
    struct nd_lane *lane; /* [lanes] */
    struct ft_published published[FT_LANES_MAX];
    struct nd_barrier between;     /* live: between bursts; also before lanes go live */
    struct nd_barrier delta_start; /* standby: where a delta starts, before it is applied */
    struct nd_barrier delta_end; /* standby: for a delta's digest; others may be at the next delta's start */
    struct nd_stream stream;
    _Atomic uint64_t shared_applied; /* standby: the last delta that is in the shared arena */
    /* change.c: what is to become of the chain, by the main thread, NULL: nothing; what it is called, once
     * that has been changed, by the lane that did it, NULL: as at the start. */
    struct nd_change *_Atomic change;
    const struct ft_chain_name *_Atomic chain;
    struct nd_crash_page *page; /* that has the names of its NFs; NULL: nobody looks */
    bool waits_without_limit;   /* a recording is replayed: a lane stopped at a digest has no deadline */

    /* Of quiesce.c. */
    _Alignas(64) _Atomic uint64_t aborted; /* the last order whose replay was aborted */
    struct nd_barrier stop;    /* standby: at a stop point of replay, which lanes do not wait in */
    _Atomic bool snapshot_due; /* live: the recorder wants a snapshot, at a barrier (snapshot.c) */
    uint64_t digest_taken;     /* live: serial number of the digest taken last; written in a barrier */
    uint64_t digest;           /* live: that digest */
    _Atomic bool slice_due;    /* live, several lanes: the digest of a slice that lane 0 wants at a barrier */
    uint64_t slices_taken;     /* live: how many of those were taken; written in a barrier, as the next is */
    struct nd_slice_digest slice; /* live: the last of them */
    _Atomic unsigned owed;        /* live: lanes whose record has yet to carry the digest taken last */
};

/* Some lane is so. */
bool nd_group_any(const struct nd_group *group, bool (*is)(const struct nd_lane *lane));

/* A lane waits for another, and has found `spins` times that it still has to: sleeps when that is often. */
void nd_group_pause(unsigned spins);

/* Comes to a barrier; the last lane to come does the work (NULL: there is none) before this returns. The
 * barrier's number, for its end and for leaving it; then the same lane may come again. */
uint64_t nd_barrier_join(struct nd_group *group, struct nd_barrier *place,
                         void (*work)(struct nd_group *group));
bool nd_barrier_over(const struct nd_barrier *place, uint64_t number);
/* False: all have come, and the last one is at work or done. */
bool nd_barrier_leave(const struct nd_group *group, struct nd_barrier *place, uint64_t number);

/*
 * What a peer may make of the lanes' state, for struct rp_config: `group` is a struct nd_group, whose lanes
 * are quiesced for the first, and whose chains nobody makes anew meanwhile.
 */
int nd_group_check(void *group, void (*pulse)(void *arg), void *arg, struct ft_fault *fault);
int nd_group_keeps(void *group, unsigned lane, const struct ft_line_run *run, struct ft_fault *fault);

void nd_group_init(struct nd_group *group, struct nd_lane *lanes, unsigned count);

/* Waits at `between` until all lanes have come, then `work` runs once, then all go on. Lanes come between
 * bursts. False: the lane left again, because it has another order, replay was aborted, it is to end, or what
 * it came for is not `needed` any more (NULL: it is). */
bool nd_group_barrier(struct nd_lane *lane, void (*work)(struct nd_group *group),
                      bool (*needed)(const struct nd_lane *lane));
/* The same at another place, always needed: lanes at different places do not count for each other. */
bool nd_group_barrier_at(struct nd_lane *lane, struct nd_barrier *place,
                         void (*work)(struct nd_group *group));

#endif
