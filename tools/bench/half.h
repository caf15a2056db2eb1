/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two servers on one machine, one after the other. Each is a real node with both cores; what stands in for
 * the other node is a process of the bench that does as little as the protocol permits. It has the node's own
 * protocol core and link, and neither lanes nor region nor replicator:
 *
 *   the primary ─▶ the peer, which reads heads, acknowledges, and writes the stream to the tape
 *   the feeder, which plays the tape ─▶ the standby
 */
#ifndef TOOLS_BENCH_HALF_H
#define TOOLS_BENCH_HALF_H

#include "tools/bench/bench.h"

#define ND_TAPE_SNAPSHOT (128u << 20) /* bytes of a snapshot's lines, encoded */
#define ND_TAPE_LOG      (512u << 20) /* bytes of records, encoded */

/* The stream of a primary from a snapshot on, in memory that the bench shares with its processes. Written by
 * the peer; the bench closes it; read by the feeder of a later run. */
struct nd_bench_tape {
    uint64_t burst, access; /* where the snapshot was cut */
    uint32_t snapshots;     /* messages: each four bytes of length and its bulk */
    uint64_t snapshot_bytes, log_bytes;
    _Atomic bool closed;       /* nothing is added any more: it is full, or the bench wants no more */
    uint64_t records, packets; /* in the log */
    uint64_t last;             /* burst of the last record */
    uint8_t snapshot[ND_TAPE_SNAPSHOT];
    uint8_t log[ND_TAPE_LOG]; /* records, one after the other */
};

struct nd_bench_half {
    const struct nd_bench_nodes *all; /* as it was before the fork, as the two below */
    struct nd_bench_tape *tape;
    unsigned number;            /* 0: the feeder, in place of the primary; 1: the peer */
    struct nd_bench_slot *slot; /* its own */
    struct rp_config config;
    struct ft_core core;
    struct rp_link *link;
    uint64_t now, shown_at;
    bool lost;                             /* the link has ended: there is nothing to do any more */
    bool cut_wanted, guard_wanted;         /* by the core, of a primary */
    struct ft_record numbers;              /* of the last record looked at */
    uint64_t snapshots;                    /* peer: that have begun, by the core's count */
    uint64_t closed, taken;                /* peer: last burst that it has, bytes of records in memory */
    bool fresh;                            /* peer: something came that is not acknowledged yet */
    uint32_t fed;                          /* feeder: messages of the snapshot that are sent */
    uint64_t fed_at, fed_burst, fed_bytes; /* feeder: bytes of the tape, last burst, bytes in memory */
    uint64_t batch_end, batch_burst, batch_size; /* feeder: the next message; of nothing when end is fed_at */
};

/* ---- bench/half.c ---- */

/* Starts what stands in for node n of the run. FT_ENOMEM. */
int nd_bench_start_half(struct nd_bench_nodes *all, unsigned n, struct ft_fault *fault);
/* One step of the core, and what it wants done. */
void nd_bench_half_step(struct nd_bench_half *h, struct ft_event *event);
/* The bulk of a message, with a head of the core's. */
int nd_bench_half_send(struct nd_bench_half *h, enum ft_message_type type, const uint8_t *bulk, uint32_t len,
                       struct ft_fault *fault);

/* ---- bench/peer.c ---- */

/* A message that has come, before the core has it. FT_EMALFORMED … when it does not follow. */
int nd_bench_peer_take(struct nd_bench_half *h, const struct ft_message *m, struct ft_fault *fault);
/* All of a turn's messages were taken: acknowledges. */
void nd_bench_peer_turn(struct nd_bench_half *h);

/* ---- bench/feeder.c ---- */

/* A turn of the feeder; *worked becomes true when something was sent. FT_EIO, or what is wrong with the tape.
 */
int nd_bench_feeder_turn(struct nd_bench_half *h, bool *worked, struct ft_fault *fault);

#endif
