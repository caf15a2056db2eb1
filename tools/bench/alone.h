/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lanes without threads and without a replicator: receive, capture, chain, hold, release, in the caller's
 * thread, with as much of protection switched on as is asked for. Everything is the node's own code; what is
 * left out is done by nobody. Time moves by a microsecond a turn, and the loop itself moves the stable
 * watermark.
 */
#ifndef TOOLS_BENCH_ALONE_H
#define TOOLS_BENCH_ALONE_H

#include "tools/bench/bench.h"
#include "node/lane/lane.h"

/* What is switched on; by name. */
struct nd_bench_piece {
    const char *name, *what;
    const char *over; /* the piece that it is more than by what it adds; NULL: none */
    bool holds;       /* outputs wait for a watermark some bursts behind */
    bool logs;        /* each burst has a record */
    bool by_seq;      /* the records have no inputs: a gate has them */
    bool encodes;     /* records are encoded as the sender does it */
    bool marks;       /* the standby is warm: edits mark lines, for checkpoints. None is made here */
    unsigned lanes;   /* in turn, a burst each */
};

#define ND_BENCH_PIECES 9u
extern const struct nd_bench_piece nd_bench_pieces_all[ND_BENCH_PIECES];
/* NULL: no such piece. */
const struct nd_bench_piece *nd_bench_piece(const char *name);

struct nd_bench_alone;

/* A process can have one. `load` is dealt out to the piece's lanes; all flows are open when this returns. */
int nd_bench_alone_open(struct nd_bench_alone **out, const struct nd_config *config, struct nd_load *load,
                        const struct nd_bench_piece *piece, uint64_t seed, struct ft_fault *fault);
/* Until so many packets more have left, and to the end of the burst: how many it were. A name of its own,
 * never inlined: what an instruction counter looks at. */
uint64_t nd_bench_counted(struct nd_bench_alone *alone, uint64_t packets);
/* Since the flows were opened: dependencies in records, and bursts with a record. */
void nd_bench_alone_dependencies(const struct nd_bench_alone *alone, uint64_t *dependencies,
                                 uint64_t *records);

#endif
