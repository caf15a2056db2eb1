/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A slot is the memory that the bench and one of its node processes share, made before the fork. And the
 * node's ports, which are memory too: frames come from the load, outputs are counted and checked at a sink.
 *
 *   bench → node: how fast packets arrive, what to do     node → bench: what left and when, what it cost
 */
#ifndef TOOLS_BENCH_SLOT_H
#define TOOLS_BENCH_SLOT_H

#include "ftcore/protocol/core.h"
#include "ftcore/queue/lane.h"
#include "tools/bench/load.h"
#include "node/config/config.h"
#include "lane/io.h"
#include "tools/pair/member.h"

#include <sched.h>

#define ND_RATE_FULL UINT64_MAX /* there is always a packet */

/* A histogram of times in ns, exact to 1.6 %: 64 buckets for each power of two. The lane counts, others read
 * at any time. */
#define ND_TIMES_SUB 64u
#define ND_TIMES_BUCKETS                                                                                     \
    (ND_TIMES_SUB * 36u) /* up to 2^41 ns, half an hour; what is longer counts as that                       \
                          */

struct nd_times {
    _Atomic uint64_t bucket[ND_TIMES_BUCKETS];
    _Atomic uint64_t count, most; /* most: the longest, exact */
};

/* What a lane's ports and sink count. */
struct nd_bench_count {
    _Alignas(64) _Atomic uint64_t phase_seen;
    _Atomic uint64_t arrived[ND_LOAD_SIDES]; /* frames given to the lane */
    _Atomic uint64_t unfed;                  /* times it asked a port while nothing arrives */
    _Atomic uint64_t released;               /* outputs */
    _Atomic uint64_t gaps;                   /* outputs that were not the next after the one before */
    _Atomic uint64_t sampled;                /* outputs whose bytes were looked at */
    _Atomic uint64_t bad;                    /* sampled outputs with a wrong length or checksum */
    struct nd_times times;                   /* from scheduled arrival to release, of this phase */
};

struct nd_bench_slot {
    struct nd_member_status status;

    /* Written by the bench. */
    _Atomic uint64_t rate;  /* packets a second that arrive, on both sides together; 0: none */
    _Atomic uint64_t phase; /* serial number: forget the times, and count anew */

    struct nd_bench_count lane[FT_LANES_MAX]; /* each written by its lane */

    /* Written by the node's main thread, every few milliseconds. */
    _Alignas(64) _Atomic bool realtime;        /* the replicator got its priority */
    _Atomic uint64_t shown_at;                 /* when the following was as it says, ns */
    _Atomic uint64_t cpu_lane, cpu_replicator; /* ns; all lanes together */
    struct ft_turns turns;                     /* of the replicator; of lanes: in their words */
    _Atomic uint64_t link_bytes, records;      /* sent, by the link's and the sender's own counts */
    _Atomic uint64_t credit_waits;             /* times the sender waited for the standby's credit */
    _Atomic uint64_t lag;                      /* packets recorded and not yet known to be replayed */
    _Atomic uint64_t region_bytes, resident_bytes;
    char settings[480]; /* of a peer, before the state says that it began */

    struct ft_lane_shared shared[FT_LANES_MAX];
};

/* ---- bench/io.c: ports in memory ---- */

struct nd_bench_port {
    uint64_t next;             /* frame of the load */
    uint64_t rate;             /* that `began` and `gap` are of */
    uint64_t began, gap, due;  /* ns; gap and due in 1/65536 ns, due since `began` */
    uint64_t fresh, fresh_due; /* new flows so far; when the next one comes, ns */
};

struct nd_bench_lane {
    _Alignas(64) struct nd_bench_count *count;
    void **free; /* buffers not in use */
    uint32_t frees;
    uint64_t number; /* of the last output */
    struct nd_bench_port port[ND_LOAD_SIDES];
};

struct nd_redis;
struct nd_bench_io {
    struct nd_io io; /* what the lanes see of it */
    struct nd_bench_slot *slot;
    const struct nd_load *load;
    struct nd_redis *redis; /* outputs wait for its answers; NULL: the state is in the region alone */
    uint8_t *pool;
    uint32_t busy; /* ports where anything arrives, of all lanes */
    struct nd_bench_lane lane[FT_LANES_MAX];
};

/* For as many lanes as the load was dealt out to. FT_ENOMEM. */
int nd_bench_io_open(struct nd_bench_io *io, struct nd_bench_slot *slot, const struct nd_load *load,
                     struct ft_fault *fault);

/* From now on outputs wait until `redis` has answered; before any lane runs. */
void nd_bench_io_await(struct nd_bench_io *io, struct nd_redis *redis);

/* All flows of the load have been opened. */
bool nd_bench_has_opened(const struct nd_bench_slot *slot, const struct nd_load *load);

#endif
