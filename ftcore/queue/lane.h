/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What passes between a lane and the replicator: rings and words, each written by one side. Neither calls the
 * other or waits for it. An order wakes a lane that sleeps, and so does a gate that opens, or more to replay,
 * where the lane has announced that it sleeps; the first entry of the log wakes a replicator that rests.
 *
 *   replicator → lane: struct ft_lane_orders, and the rings of what a standby replays
 *   lane → replicator: struct ft_lane_report, and the ring of what a primary logs
 */
#ifndef FTCORE_QUEUE_LANE_H
#define FTCORE_QUEUE_LANE_H

#include "ftcore/base/histogram.h"
#include "ftcore/base/turns.h"
#include "ftcore/record/record.h"
#include "ftcore/queue/ring.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#define FT_ALL         UINT64_MAX
#define FT_PAST_BURSTS 64u

/* What a lane is to do. An order is a kind and a serial number in one word, so a kind that is repeated is
 * another order. */
enum ft_order {
    FT_LANE_WAIT,    /* touch nothing: the region is the replicator's */
    FT_LANE_REPLAY,  /* replay records up to `closed_to`, receive nothing */
    FT_LANE_FRESH,   /* as LIVE, but make the chain's state anew first: nobody has any */
    FT_LANE_LIVE,    /* replay what is left up to `closed_to`, emit the tail, announce, then take packets */
    FT_LANE_OWN_MAC, /* live, but frames leave with the node's own MAC: the peer is about to claim the chain's
                      */
    FT_LANE_DRAIN,   /* the same, until the ports have been empty for a while */
    FT_LANE_FENCED,  /* drop what is held, send nothing */
};

static inline uint64_t ft_order_make(enum ft_order kind, uint64_t serial)
{
    return serial << 8 | (uint64_t)kind;
}
static inline enum ft_order ft_order_kind(uint64_t order)
{
    return (enum ft_order)(order & 0xff);
}

static inline uint64_t ft_order_serial(uint64_t order)
{
    return order >> 8;
}

/*
 * What the replicator wants of a lane. Written by the replicator, but for `logging`, which a cut switches on,
 * and `digest`, which the main thread counts up; read by the lane. A serial number that grows asks for
 * something once more. A lane reads most of this in each turn: what moves with packets has lines of its own,
 * so that the rest stays in the cache of the lane's core.
 */
struct ft_lane_orders {
    /* Primary: they move with packets. */
    _Alignas(64) _Atomic uint64_t stable; /* outputs of bursts up to here may leave; FT_ALL in SOLO */
    _Atomic uint64_t lease_until; /* monotonic ns: nothing may leave from then on; FT_ALL in SOLO; 0: shut */
    _Atomic uint64_t lag_ns;      /* until a hot standby has replayed what it has; 0: unknown, none */
    _Atomic uint64_t unreplayed;  /* bytes of records sent that the standby has not replayed yet */

    /* Standby: the same. */
    _Alignas(64) _Atomic uint64_t closed_to; /* last burst that may be replayed, of what the link brought */
    _Atomic uint64_t closed_access;   /* accesses up to here are in that closed set; before `closed_to` */
    _Atomic uint64_t covered;         /* last burst that needs no replay, since a whole delta covers it */
    _Atomic uint64_t covered_at;      /* `replay` has only covered records up to here; after `covered` */
    _Atomic uint64_t cut_to;          /* last cut that may be applied: all is there; before `closed_to` */
    _Atomic uint64_t peer_released;   /* outputs that the primary has released; before `closed_to` */
    _Atomic uint64_t stop_point_seen; /* lane 0: no closed_to moves while this equals `stop_point` */

    /* Read in either role. */
    _Alignas(64) _Atomic uint64_t order; /* ft_order_make */
    _Atomic uint64_t live_view;          /* LIVE, FRESH: the view in which it is; before `order` */
    _Atomic uint64_t gate;               /* serial number of the last change between SOLO and guarded */
    _Atomic uint64_t cut;                /* serial number of a cut: begin a snapshot and log from there */
    _Atomic bool logging;                /* the stream is wanted; the replicator switches it off */
    _Atomic uint64_t snapshot_release;   /* the last cut whose snapshot nobody reads any more */
    _Atomic uint64_t
        copy_granted;          /* pending lines, but those of zeros, to copy since the cut; grows with time */
    _Atomic uint64_t announce; /* serial number: claim the addresses by gratuitous ARP */
    _Atomic uint64_t rests;    /* primary: serial number of the replicator's rest, in which a lane that
                                  logs something rings `bell` once; 0: it is awake */
    _Atomic bool calm; /* nothing is wanted but what lanes and the peer report by themselves; a lane is woken
                          when that ends */
    _Atomic uint64_t peer_incarnation; /* of the process whose heartbeats count; 0: nobody's do */
    _Atomic uint64_t peer_secret[2];   /* its key, see ftcore/record/datagram.h */
    _Atomic uint64_t peer_version;     /* of the format that it and this node speak; 0: not known: heartbeats
                                          have the newest, and no input is recorded by its session */
    _Atomic uint64_t digest;         /* serial number: let a record or a delta carry a digest of the state */
    _Atomic uint64_t snapshot_burst; /* standby: last burst that the snapshot holds, as its sender states */
    /* Standby: announce again and again, and leave frames unread. Goes on when it is ordered to go live,
     * since a lane that has not seen the order yet would drop them; live lanes do not look at it. */
    _Atomic bool steer;
    /* The lane's port to the peer's lane (lane/link.h): its words belong together while `port` is the same.
     */
    _Atomic uint64_t port;           /* serial number; 0: nothing by it counts. Written after the next five */
    _Atomic uint64_t port_secret[4]; /* of the connection, from which keys are derived */
    _Atomic uint64_t port_view, port_own, port_peer; /* of frames: the view, both nodes' incarnations */
    _Atomic uint64_t port_connects;                  /* 1: this node is the one that connects */
    _Atomic uint64_t carry; /* primary: serial number: the port carries the stream; 0: the connection does */
    _Atomic uint64_t carry_from; /* from here on, bytes ever published in `log`; before `carry` */
};

/*
 * How far the lane is. Written by the lane; read by the replicator, by other lanes and by status. Of a lane
 * that it has stopped the replicator clears what docs/ARCHITECTURE.md names.
 */
struct ft_lane_report {
    /* They move with packets. */
    _Alignas(64) _Atomic uint64_t executed; /* last burst executed, live or replayed */
    _Atomic uint64_t recorded; /* live: last burst that `log` accounts for: with deltas, the last cut's */
    _Atomic uint64_t released; /* outputs released, ever; records carry it */

    /* Last order reached: LIVE once packets are taken, DRAIN once drained. */
    _Alignas(64) _Atomic uint64_t done;
    _Atomic uint64_t gate_seen; /* live: the gate's serial number at the last burst boundary */
    _Atomic uint64_t hold_from; /* live: last burst that may have left under the gate before */
    _Atomic bool sleeps;       /* what it has may not leave yet, or be replayed; who lets it wakes the lane */
    _Atomic uint64_t cut_seen; /* serial number of the cut made last; written after the three below */
    _Atomic uint64_t cut_burst;  /* last burst before that cut */
    _Atomic uint64_t cut_access; /* last access before that cut */
    _Atomic uint64_t cut_at; /* bytes ever published in `log` before that cut: the new stream begins behind */
    _Atomic bool overrun;    /* the next delta would be too large for the standby: a snapshot is needed */
    _Atomic uint64_t digest_at;   /* live: burst with the last digest; written before digest_seen */
    _Atomic uint64_t digest_seen; /* live: serial number of that digest */

    _Atomic uint64_t
        digest_burst;          /* standby: burst compared last; another stream has the same numbers again */
    _Atomic uint64_t expected; /* standby: its digest as recorded */
    _Atomic uint64_t got;      /* standby: its digest as computed here */
    _Atomic uint64_t digests;  /* standby: how many it has compared; written after the three above */
    _Atomic uint64_t round_slices; /* standby: slices of the last round that was equal as a whole */
    _Atomic uint64_t round_ns;     /* standby: when it ended; 0: there was none; written after round_slices */
    _Atomic bool diverged;         /* standby: replay did not reproduce the recording, and has stopped */
    _Atomic uint64_t stop_point;   /* standby, lane 0: serial number of a stop point asked for; 0: none */
    _Atomic bool steered;          /* standby: `steer` is done */

    _Atomic uint64_t port_heard;     /* when a frame of the peer's came by the lane's port, ns; 0: never */
    _Atomic uint64_t port_stable;    /* primary: last burst that the standby reported by it as closed */
    _Atomic uint64_t port_stable_at; /* primary: bytes of `log` up to there; before port_stable */
    _Atomic uint64_t carry_seen;     /* primary: the `carry` that port_stable and port_stable_at are of */

    _Atomic uint64_t heartbeat_ns; /* when the peer's last heartbeat came, ns; written after the next three */
    _Atomic uint64_t heartbeat_view; /* the view that it names */
    _Atomic uint64_t heartbeat_sent; /* when it was sent, by the peer's monotonic clock, ns */
    _Atomic uint64_t heartbeat_from; /* the incarnation by whose secret it was known */
};

/* What a primary's lane waits for that is its standby's (lane/cost.c). */
enum ft_wait {
    FT_WAIT_NONE,
    FT_WAIT_REPLAY, /* no burst could begin: the standby has too much left to replay */
    FT_WAIT_LOG,    /* nor could it: the log ring is full of what is not sent, or not stored */
    FT_WAIT_HOLD,   /* nor could it: the hold is full of outputs that are not acknowledged */
    FT_WAIT_OUTPUT, /* there was room, and outputs waited longer than slow_ms for an acknowledgement */
    FT_WAITS
};

/* Counters. Written by the lane with plain relaxed stores, read by status; waited_ns by the replicator too.
 */
struct ft_lane_counters {
    _Atomic uint64_t received, dropped, emitted, held, tx_refused, ring_full, hold_full, no_buffer;
    _Atomic uint64_t lag_full; /* turns without a burst: the standby lags as far as it may */
    _Atomic uint64_t replayed_packets, tail_emitted, tail_suppressed, fenced_dropped;
    _Atomic uint64_t claims; /* frames from the chain's own MAC: the other node claims the addresses */
    _Atomic uint64_t heartbeats_refused; /* heartbeats that are not the peer's, or too many to be looked at */
    _Atomic uint64_t waiting_full;       /* frames dropped because no more can wait (struct nd_waiting) */
    _Atomic uint64_t fragments_without_first; /* fragments that waited in vain (struct nd_fragments) */
    _Atomic uint64_t quarantined;             /* frames dropped that the peer had crashed on */
    _Atomic uint64_t lease_held;              /* times a stable output had to wait for the lease */
    _Atomic uint64_t bursts, empty_bursts;
    _Atomic uint64_t port_sent, port_log; /* frames by the link's port, and the bytes of records in them */
    _Atomic uint64_t port_refused;        /* frames there that are nobody's, or contradict themselves */
    _Atomic uint64_t port_again;          /* times that records were sent again */
    _Atomic uint64_t turn_ns;             /* monotonic; when the last turn began; 0: there was none */
    /* ns that the lane ran beside a standby, in all, and of these those in which it waited for it. */
    _Atomic uint64_t beside_ns, waited_ns[FT_WAITS];
    /* Of outputs that wait for an acknowledgement one at a time is followed; how long they waited. */
    struct ft_histogram output_wait;
    _Atomic uint64_t cuts;                             /* live: deltas begun */
    _Atomic uint64_t deltas_applied;                   /* standby */
    _Atomic uint64_t slices_equal, slices_different;   /* standby: that were compared */
    _Atomic uint64_t divergences;                      /* times replay did not reproduce the recording */
    _Atomic uint64_t replay_done_ns, first_release_ns; /* monotonic; of the last takeover */
    _Atomic uint64_t last_release_ns;                  /* when outputs were last found fit to leave */
    _Atomic uint64_t last_sent_ns;                     /* when the port had taken those, at the latest */
    struct ft_turns turns;                             /* of the lane's thread */
};

struct ft_lane_shared {
    struct ft_lane_orders orders;
    struct ft_lane_report report;
    struct ft_ring log;        /* lane → replicator: struct ft_record and struct ft_chunk */
    struct ft_ring replay;     /* replicator → lane: the same, without the chunks that go to `checkpoint` */
    struct ft_ring checkpoint; /* replicator → lane: chunks of incremental checkpoints; hot: capacity 0 */
    struct ft_ring direct;     /* lane alone: records that came by its port; without one: capacity 0 */

    /* Eventfds, which the replicator opens before lanes begin; -1: none. */
    int bell;  /* by which lanes wake the replicator: one for all of them */
    int alarm; /* by which the replicator wakes this lane */

    struct ft_lane_counters count;
    /* Where the records of the last bursts begin in `log`, by burst modulo FT_PAST_BURSTS, in bytes ever
     * published. What is read there may be overwritten. Written by the lane, for the reporter of its
     * process's death (understudy/crash). */
    _Atomic uint64_t record_at[FT_PAST_BURSTS];
};

/* For the lane: an order, as it is now, and reporting. For the replicator: a report, as it is now, and
 * ordering. Whoever reads a word sees all that its writer did before. */
#define FT_ORDER_GET(lane, field) atomic_load_explicit(&(lane)->orders.field, memory_order_acquire)
#define FT_REPORT_SET(lane, field, value)                                                                    \
    atomic_store_explicit(&(lane)->report.field, (value), memory_order_release)
#define FT_REPORT_GET(lane, field) atomic_load_explicit(&(lane)->report.field, memory_order_acquire)
#define FT_ORDER_SET(lane, field, value)                                                                     \
    atomic_store_explicit(&(lane)->orders.field, (value), memory_order_release)

/* A gauge is set, a counter added to. */
#define FT_GAUGE_SET(lane, field, value)                                                                     \
    atomic_store_explicit(&(lane)->count.field, (value), memory_order_relaxed)
#define FT_COUNTER_ADD(lane, field, n)                                                                       \
    FT_GAUGE_SET(lane, field, atomic_load_explicit(&(lane)->count.field, memory_order_relaxed) + (n))

static inline void ft_lane_free(struct ft_lane_shared *lane)
{
    ft_ring_free(&lane->log);
    ft_ring_free(&lane->replay);
    ft_ring_free(&lane->checkpoint);
    ft_ring_free(&lane->direct);
}

/* Rings of the given capacities, bytes. FT_ENOMEM. */
static inline int ft_lane_init(struct ft_lane_shared *lane, uint64_t log_bytes, uint64_t replay_bytes)
{
    memset(lane, 0, sizeof(*lane));
    lane->bell = lane->alarm = -1;
    if (ft_ring_init(&lane->log, log_bytes) == 0 && ft_ring_init(&lane->replay, replay_bytes) == 0)
        return 0;
    ft_lane_free(lane);
    return FT_ENOMEM;
}

/* ---- wake.c ---- */

/* For the replicator: ends the lane's sleep (lane/sleep.c), or its next one, after a word of it was ordered.
 */
void ft_lane_wake(struct ft_lane_shared *lane);

/* For the lane, when it has logged something while the replicator rests. Never blocks. */
void ft_lane_ring(struct ft_lane_shared *lane);

#endif
