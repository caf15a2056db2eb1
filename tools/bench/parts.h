/* SPDX-License-Identifier: Apache-2.0 */
/* What bench/run.c and bench/measure.c know of each other. Owned by the bench's own process. */
#ifndef TOOLS_BENCH_PARTS_H
#define TOOLS_BENCH_PARTS_H

#include "tools/bench/bench.h"

#include <sys/types.h>

#define ND_BENCH_REST  0.2   /* seconds before a measurement */
#define ND_BENCH_LEAST 1000u /* packets of a measurement: it goes on until they have left */

/* Since when a lane has executed no burst. */
struct nd_bench_quiet {
    uint64_t executed, unfed, since; /* the last burst; times it had asked its ports by then; ns */
};

struct nd_bench_nodes {
    const struct nd_bench_plan *plan;
    struct nd_loopback place;
    struct nd_bench_slot *slot[ND_NODES];
    pid_t pid[ND_NODES]; /* 0: none */
    unsigned lanes;
    bool alone;
    uint64_t from; /* packets that had left when the measurement began */
    struct nd_bench_quiet quiet[FT_LANES_MAX];
    uint64_t at; /* ns: has_shown waits for what nodes show after it */
};

/* The sum over the lanes of one counter of node n: ND_BENCH_SUM(r, 0, shared, count.dropped). */
#define ND_BENCH_SUM(r, n, array, field)                                                                     \
    ({                                                                                                       \
        uint64_t sum_ = 0;                                                                                   \
        for (unsigned l_ = 0; l_ < (r)->lanes; l_++)                                                         \
            sum_ += atomic_load(&(r)->slot[n]->array[l_].field);                                             \
        sum_;                                                                                                \
    })

/* ---- bench/run.c ---- */

void nd_bench_sleep(double seconds); /* shorter when interrupted */
/* FT_EIO: a node ended. */
int nd_bench_check(struct nd_bench_nodes *r, struct ft_fault *fault);
/* Until `when`, checking nodes. FT_EIO: a node ended, or half a minute was over. */
int nd_bench_wait(struct nd_bench_nodes *r, bool (*when)(struct nd_bench_nodes *r), const char *what,
                  struct ft_fault *fault);
/* Nothing arrives any more, all that arrived has left, and the standby has caught up: one that replays has
 * replayed all, one that stores has stored all. */
int nd_bench_quieten(struct nd_bench_nodes *r, struct ft_fault *fault);

/* ---- bench/measure.c ---- */

/* Opens the flows, and goes on at saturation. */
int nd_bench_open(struct nd_bench_nodes *r, struct ft_fault *fault);
/* FT_EMALFORMED: the chain lets nothing pass. */
int nd_bench_saturate(struct nd_bench_nodes *r, struct nd_bench_result *out, struct ft_fault *fault);
/* Goes on at saturation, and looks once a second. */
int nd_bench_watch(struct nd_bench_nodes *r, struct nd_bench_lag *out, struct ft_fault *fault);
int nd_bench_latency(struct nd_bench_nodes *r, struct nd_bench_latency *out, double mpps,
                     struct ft_fault *fault);

#endif
