/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What passes between a lane and the replicator: two rings and some words, each written by one side. No calls
 * go across, so neither waits for the other.
 *
 *   replicator → lane: order (what to do), gate (stable, lease), replay ring and how far it may be replayed
 *   lane → replicator: log ring, report (what it does, how far it is)
 */
#ifndef FTCORE_QUEUE_LANE_H
#define FTCORE_QUEUE_LANE_H

#include "ftcore/record/record.h"
#include "ftcore/queue/ring.h"

#include <stdatomic.h>
#include <stdbool.h>

#define FT_ALL UINT64_MAX

/* What a lane is to do. An order is a kind and a serial number in one word, so a repeated kind is a new
 * order. */
enum ft_order {
    FT_LANE_WAIT, /* touch nothing: the region belongs to the replicator (a snapshot is applied, or nothing is
                     known) */
    FT_LANE_REPLAY, /* replay records up to `closed_to`, receive nothing */
    FT_LANE_FRESH,  /* as LIVE, but make the chain's state anew first: nobody has any */
    FT_LANE_LIVE,   /* replay what is left up to `closed_to`, emit the tail, announce, then take packets */
    FT_LANE_ASIDE,  /* live, answering from the node's own MAC: the peer is about to claim the chain's */
    FT_LANE_DRAIN,  /* live, answering from the node's own MAC, until the ports have been empty for a while */
    FT_LANE_FENCED, /* drop what is held, send nothing */
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

/* What the replicator wants of a lane. Written by the replicator, read by the lane. */
struct ft_lane_orders {
    _Atomic uint64_t order;
    _Atomic uint64_t stable;      /* outputs of bursts up to here may leave; FT_ALL in SOLO */
    _Atomic uint64_t lease_until; /* … while the local monotonic clock, ns, is below this; FT_ALL in SOLO; 0
                                     shuts the gate */
    _Atomic uint64_t gate;        /* serial number of the last change between SOLO and guarded */
    _Atomic uint64_t closed_to;   /* last burst that may be replayed */
    _Atomic uint64_t snapshot_burst; /* standby: last burst that the snapshot holds, as its sender says */
    _Atomic uint64_t cut; /* serial number of the cut wanted: begin a snapshot and log from there */
    _Atomic bool logging; /* records wanted; switched on by a cut, off by the replicator */
    _Atomic uint64_t
        snapshot_release; /* serial number: give the snapshot's copies back, nobody reads them any more */
    _Atomic uint64_t announce; /* serial number: claim the addresses by gratuitous ARP */
    _Atomic bool steer;        /* standby: announce once and leave frames unread from now on */
    _Atomic uint64_t digest;   /* serial number of the digest wanted: close a burst that carries it */
    _Atomic uint64_t
        covered; /* standby: last burst that a whole delta covers: records up to it need no replay … */
    _Atomic uint64_t covered_at; /* standby: position in `replay` up to which there are but records that a
                                    incremental checkpoint covers. Written after `covered` */
    _Atomic uint64_t cut_to;     /* … and that delta's cut; chunks of later ones may not be applied. Written
                                    before     closed_to */
    _Atomic uint64_t unreplayed; /* primary: bytes of records sent that the standby has not replayed yet */
    _Atomic uint64_t lag_ns;     /* primary: what a hot standby takes to replay what it has stored and not
                                    replayed, as it went of late; 0: not known, or nothing is left */
    _Atomic uint64_t
        stop_point_seen;           /* of lane 0: closed_to of no lane moves while this equals `stop_point` */
    _Atomic uint64_t copy_granted; /* pending lines the lane may have copied since the cut; grows with time */
};

/* How far the lane is. Written by the lane, read by the replicator. */
struct ft_lane_report {
    _Atomic uint64_t done;     /* last order reached: LIVE once packets are taken, DRAIN once drained */
    _Atomic uint64_t executed; /* last burst executed, live or replayed */
    _Atomic uint64_t recorded; /* live: last burst that the stream in `log` accounts for: `closed` in a log
                                  segment, the last cut in a delta segment */
    _Atomic bool
        overrun; /* the next delta would be larger than the standby has room for: a snapshot is needed */
    _Atomic uint64_t gate_seen; /* gate serial at the last burst boundary … */
    _Atomic uint64_t hold_from; /* … and the last burst that may have left under the gate before */
    _Atomic uint64_t cut_seen, cut_burst, cut_access; /* the cut was made after this burst and access */
    _Atomic uint64_t cut_at;   /* … with so many bytes ever published in `log`: what comes behind is the new
                                  stream */
    _Atomic uint64_t released; /* outputs released, ever; part of what records carry */
    _Atomic uint64_t stop_point;  /* standby, of lane 0: serial of a stop point that lanes want; 0: none */
    _Atomic bool steered;         /* `steer` is done */
    _Atomic uint64_t digest_at;   /* live: burst that carries the digest served last … */
    _Atomic uint64_t digest_seen; /* … and its serial */
    _Atomic uint64_t digest_burst, expected,
        got;                    /* standby: burst checked last, digest recorded and computed */
    _Atomic bool diverged;      /* they differ: replay has stopped */
    _Atomic uint64_t beat_ns;   /* the peer's last heartbeat on a data port */
    _Atomic uint64_t beat_view; /* … the view it told */
    _Atomic uint32_t beat_half; /* … and the upper half of the incarnation it told */
};

/* Counters. Written by the lane with plain relaxed stores, read by status. */
struct ft_lane_counters {
    _Atomic uint64_t received, dropped, emitted, held, tx_refused, ring_full, hold_full, no_buffer;
    _Atomic uint64_t lag_full; /* turns without a burst: the standby lags as far as it may */
    _Atomic uint64_t replayed_packets, tail_emitted, tail_suppressed, fenced_dropped;
    _Atomic uint64_t claims;       /* frames from the chain's own MAC: the other node claims the addresses */
    _Atomic uint64_t waiting_full; /* frames dropped because no more can wait (node/lane/waiting.h) */
    _Atomic uint64_t lease_held;   /* times a stable output had to wait for the lease */
    _Atomic uint64_t bursts, empty_bursts, log_bytes;
    _Atomic uint64_t cuts, delta_bytes, delta_lines;  /* live: deltas begun; their bytes in memory; lines */
    _Atomic uint64_t deltas_applied, records_covered; /* standby; records that a delta made needless */
    _Atomic uint64_t divergences;                     /* times replay did not reproduce the recording */
    _Atomic uint64_t replay_done_ns, live_ns, first_release_ns; /* monotonic; of the last takeover */
    _Atomic uint64_t last_release_ns; /* when outputs were last found fit to leave … */
    _Atomic uint64_t last_sent_ns;    /* … and when the port had taken them, at the latest */
};

struct ft_lane {
    _Alignas(64) struct ft_lane_orders orders;
    _Alignas(64) struct ft_lane_report report;
    struct ft_ring log;    /* struct ft_record and struct ft_chunk, lane → replicator */
    struct ft_ring replay; /* the same, replicator → lane … */
    struct ft_ring
        checkpoint; /* … but for chunks of incremental checkpoints. Capacity 0: of a hot standby, none come */

    struct ft_lane_counters count;
};

#define FT_COUNT(lane, field, n)                                                                             \
    atomic_store_explicit(&(lane)->count.field,                                                              \
                          atomic_load_explicit(&(lane)->count.field, memory_order_relaxed) + (n),            \
                          memory_order_relaxed)

/* Rings of the given capacities, bytes. FT_ENOMEM. */
int ft_lane_init(struct ft_lane *lane, uint64_t log_bytes, uint64_t replay_bytes);
void ft_lane_free(struct ft_lane *lane);

#endif
