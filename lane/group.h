/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the lanes of a node share: published access numbers, barriers, the state of their stream, and a change
 * of their chain. Written by lanes; the last lane to come to a barrier works for all while the others wait in
 * it.
 */
#ifndef LANE_GROUP_H
#define LANE_GROUP_H

#include "ftcore/protocol/core.h"
#include "ftcore/queue/lane.h"
#include "ftcore/order/section.h"
#include "ftcore/record/delta.h"
#include "nflib/chain/change.h"

#include <stdbool.h>

struct nd_lane;
struct nd_config;

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
 * is copied, whatever this value is, and there may be another cut.
 *
 *   cut ──▶ STOPPED ──────────────────────────────────────────────▶ copying == 0
 *   cut ──▶ BESIDE ──▶ copying == 0
 *              └── the next checkpoint is due ──▶ HURRIED ─────────▶ copying == 0
 */
enum nd_copy {
    ND_COPY_STOPPED, /* no lane runs a burst before its delta, and that of the shared arena, is whole */
    ND_COPY_BESIDE,  /* an incremental checkpoint: lanes run bursts meanwhile */
    ND_COPY_HURRIED, /* an incremental checkpoint: lanes run no burst before all deltas are whole */
};

/*
 * The stream that live lanes make together (cut.c). Written in barriers, but for the atomic words.
 * ft_lane_orders.logging states whether a lane still takes part in it.
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

/* A slice's digest as it is sent: in a record or with a delta. */
struct nd_slice_digest {
    uint64_t burst, seq; /* that it came with */
    uint64_t slice, digest;
};

/* How far a change of the chain is, on either node: understudy/change/change.h has the table. Lanes know
 * those from OFFERED to GONE. */
enum nd_change_stage {
    ND_CHANGE_NONE,
    ND_CHANGE_ASKED,
    ND_CHANGE_READ,
    ND_CHANGE_OFFERED,
    ND_CHANGE_ARMED,  /* by the main thread: with the state that lanes have, at the cut of a snapshot */
    ND_CHANGE_ALONE,  /* the same, at once: no peer follows */
    ND_CHANGE_WANTED, /* by the replicator: without any state */
    ND_CHANGE_WORKING,
    ND_CHANGE_DONE,
    ND_CHANGE_FAILED, /* all is as it was; `fault` */
    ND_CHANGE_GONE,   /* the main thread has given it up */
    ND_CHANGE_READY,
    ND_CHANGE_PLACED,
    ND_CHANGE_TOLD,
};

/*
 * A chain that is changed while lanes have packets: what the main thread makes ready, and one lane carries
 * out while all are quiesced. The stage determines the owner: the main thread, but for ARMED to WORKING.
 *
 *   OFFERED ─▶ ARMED ─▶ WORKING ─▶ DONE, FAILED     live lanes: at the cut of the next snapshot, or alone
 *          └▶ WANTED ─▶ WORKING ─▶ DONE, FAILED     lanes that are ordered to wait, without a state
 */
struct nd_change {
    _Atomic int stage;
    struct nd_config *own;  /* the node's: gets the new chain. Lanes do not look into either */
    struct nd_config *next; /* of the new file, made for this; gets the old chain */
    /* By the lane that carries it out: gives each configuration the other's chain, in `plan`, too, and
     * whoever has been made by its interfaces those; called again when the change fails. */
    void (*exchange)(struct nd_change *change);
    void *arg; /* for `exchange` */
    struct nf_chain_change plan;
    struct ft_region_config how;
    uint64_t seed;
    char identity[FT_IDENTITY_MAX];
    struct ft_chain_name chain;     /* what it is called */
    char recorded[FT_IDENTITY_MAX]; /* and in a recording */
    uint32_t recorded_len;
    /* When it is DONE: what was before, for the main thread to free. */
    struct ft_region *old;
    struct nf_chain *was[FT_LANES_MAX];
    uint64_t took; /* ns, in which lanes stood */
    struct ft_fault fault;
    struct nd_change *past; /* for the main thread, when it is over: the one before */
    uint64_t over;          /* ns: since when; the last one that was done: since it is not the last */
};

static inline bool nd_change_pass(struct nd_change *c, enum nd_change_stage from, enum nd_change_stage to)
{
    int expected = (int)from;

    return atomic_compare_exchange_strong(&c->stage, &expected, (int)to);
}

struct nd_group {
    unsigned lanes;
    struct nd_lane *lane; /* [lanes] */
    struct ft_published published[FT_LANES_MAX];
    struct nd_barrier between;     /* live: between bursts; also before lanes go live */
    struct nd_barrier delta_start; /* standby: where a delta starts, before it is applied */
    struct nd_barrier delta_end; /* standby: for a delta's digest; others may be at the next delta's start */
    struct nd_stream stream;
    _Atomic uint64_t shared_applied; /* standby: the last delta that is in the shared arena */
    struct ft_closed
        *by_port; /* standby: what of the records that came by lanes' ports is closed; NULL: none */
    /* What is to become of the chain, by the main thread, NULL: nothing; what it is called, once
     * that has been changed, by the lane that did it, NULL: as at the start. */
    struct nd_change *_Atomic change;
    const struct ft_chain_name *_Atomic chain;
    bool waits_without_limit; /* a recording is replayed: a lane stopped at a digest has no deadline */

    _Alignas(64) _Atomic uint64_t aborted; /* the last order whose replay was aborted */
    struct nd_barrier stop; /* standby: at a stop point of replay, which lanes do not wait in */
    uint64_t digest_taken;  /* live: serial number of the digest taken last; written in a barrier */
    uint64_t digest;        /* live: that digest */
    _Atomic bool slice_due; /* live, several lanes: the digest of a slice that lane 0 wants at a barrier */
    uint64_t slices_taken;  /* live: how many of those were taken; written in a barrier, as the next is */
    struct nd_slice_digest slice; /* live: the last of them */
    _Atomic unsigned owed;        /* live: lanes whose record has yet to carry the digest taken last */
};

void nd_group_init(struct nd_group *group, struct nd_lane *lanes, unsigned count);

/*
 * What a peer may make of the lanes' state, for struct rp_config: `group` is a struct nd_group, whose lanes
 * are quiesced for the first, and whose chains nobody makes anew meanwhile.
 */
int nd_group_check(void *group, void (*pulse)(void *arg), void *arg, struct ft_fault *fault);
int nd_group_keeps(void *group, unsigned lane, const struct ft_line_run *run, struct ft_fault *fault);
/* What the chain is called, and to become another one, empty: for struct rp_config, too. */
const struct ft_chain_name *nd_group_chain(void *group);
bool nd_group_become(void *group, uint64_t hash);

#endif
