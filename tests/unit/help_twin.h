/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of the replicator: one node in a process of its own (the region has one address), with a real
 * replicator on loopback and a lane thread that obeys struct ft_lane as node/lane/lane.c does. Its chain is a
 * table of numbers: every input adds to the one that its hash picks. Its stream is one of records, of deltas,
 * or of records with checkpoints, as the box says.
 *
 * The test and the node share a box of words, which outlives the node. What a primary feeds itself follows
 * from a seed, so twin_model computes what the state must be after any burst, without lanes, logs or
 * snapshots.
 */
#ifndef TESTS_UNIT_HELP_TWIN_H
#define TESTS_UNIT_HELP_TWIN_H

#include "ftcore/record/delta.h"
#include "replicator/replicator.h"

#include <sys/types.h>

#define TWIN_WORDS   65536u /* half of them zero at first: 512 KiB of state */
#define TWIN_INPUT   256u   /* bytes of an input at most */
#define TWIN_PENDING (1u << 20)
#define TWIN_LIMIT   30000 /* ms, of any waiting */

struct twin_box {
    /* Written by the test. */
    _Atomic uint64_t target;     /* live: bursts are made until this many are executed */
    _Atomic uint64_t seed;       /* of what this node feeds itself */
    _Atomic uint32_t pause_us;   /* between two bursts */
    _Atomic uint32_t per_turn;   /* records replayed at a time; 0: none at all */
    _Atomic uint32_t told;       /* enum ft_told */
    _Atomic uint64_t ask;        /* serial number: digests, please */
    _Atomic bool stop, spoil;    /* spoil: write once without an edit (planted fault) */
    _Atomic uint32_t every;      /* bursts from cut to cut of a delta segment; 0: log segments */
    _Atomic uint32_t checkpoint; /* log segments: bursts from checkpoint to checkpoint; 0: none */
    _Atomic bool idle_cuts;      /* delta segment: cuts go on when nothing is done */
    _Atomic bool half;           /* the next delta ends before its last chunk, and the lane with it */

    /* Written by the node. */
    _Atomic uint64_t answered, at, region_digest, state_hash; /* to `ask`, at a burst boundary */
    _Atomic uint64_t closed, out_burst, outputs; /* out_burst: last burst any output of which has left */
    _Atomic uint64_t live_from;                  /* burst after which it became primary by takeover */
    _Atomic uint64_t beside_snapshot;            /* bursts made while lines were pending */
    _Atomic uint64_t ring_full, hold_full, log_most, replay_most; /* most: bytes ever waiting in the ring */
    _Atomic uint64_t doing;                                       /* enum ft_order reached */
    _Atomic uint64_t cuts, halves;                                /* deltas published, whole and half, ever */
    _Atomic uint64_t applied, covered, replayed, carried; /* deltas; records passed over; records replayed;
                                                             outputs in deltas */
    _Atomic uint64_t shown;                               /* sequence lock of status */
    struct rp_status status;
};

struct twin_options {
    uint32_t resync_mbps; /* 0: 1000 */
    uint32_t start_alone_ms;
    bool strict, warm;
};

struct twin {
    unsigned self; /* 0: "a", listens, the file's primary; 1: "b" */
    pid_t pid;     /* 0: not running */
    struct twin_box *box;
};

/* Ports, directory and boxes for a pair; call once before the first start and after the last end. */
void twin_world(struct twin twin[2]);
void twin_world_end(struct twin twin[2]);
const char *twin_host(unsigned self);
uint16_t twin_port(unsigned self);
/* What both nodes say in their hello. */
void twin_core_config(struct ft_core_config *c, unsigned self);

void twin_start(struct twin *twin, const struct twin_options *options);
void twin_kill(struct twin *twin);
void twin_end(struct twin *twin); /* fails the test unless the node ends by itself, in order */

struct rp_status twin_status(const struct twin *twin);
enum ft_state twin_state(const struct twin *twin);
/* Fails the test when that has not happened within TWIN_LIMIT, or the node has died. */
void twin_await(struct twin *twin, enum ft_state state);
void twin_await_closed(struct twin *twin, uint64_t burst);
/* A digest of the node's region and its state's hash, taken between two bursts. Returns the burst. */
uint64_t twin_digest(struct twin *twin, uint64_t *region, uint64_t *state);
/* One poll of a waiting: sleeps a little; fails the test when `node` (may be NULL) has died or it took too
 * long. */
void twin_wait(struct twin *twin, uint64_t *waited, const char *what);

#define TWIN_UNTIL(node, cond)                                                                               \
    for (uint64_t waited_ = 0; !(cond);)                                                                     \
    twin_wait(node, &waited_, #cond)

/* ---- the chain and its model (help_twinmodel.c) ---- */
struct twin_lane_state {
    uint64_t burst, seq, time, outputs;
};
struct twin_burst {
    uint64_t time;
    unsigned n;
    uint32_t len[FT_BURST_MAX];
    uint8_t bytes[FT_BURST_MAX][TWIN_INPUT];
};
struct twin_model {
    struct twin_lane_state lane;
    uint64_t words[TWIN_WORDS];
};
void twin_make(struct twin_burst *b, uint64_t seed, uint64_t burst);
void twin_first_words(uint64_t words[TWIN_WORDS], uint64_t salt);
/* The word that an input adds to, and what. */
uint64_t twin_pick(const uint8_t *bytes, uint32_t len, uint64_t time, uint64_t *add);
void twin_model_begin(struct twin_model *m);
void twin_model_run(struct twin_model *m, uint64_t seed, uint64_t to);
uint64_t twin_state_hash(const struct twin_lane_state *lane, const uint64_t words[TWIN_WORDS]);

/* ---- deltas, both ends (help_twindelta.c) ---- */
#define TWIN_OUTS 65536u
struct twin_out {
    uint64_t number, burst, seq;
    uint32_t len;
};
struct twin_delta {
    struct ft_lane *lane;
    struct ft_region *region;
    uint64_t cut, from; /* the last, and the burst it ended at */
    unsigned outs;      /* made since */
    struct twin_out *out;
};
/* At a start cut: what changes from here on is to be known. */
void twin_delta_begin(struct twin_delta *d, uint64_t burst);
void twin_delta_note(struct twin_delta *d, const struct twin_burst *b, const struct twin_lane_state *after);
/* A delta of all since the last cut, into the log ring. False: no room for it, or an overrun. `half`: without
 * its last chunk. */
bool twin_delta_cut(struct twin_delta *d, const struct twin_lane_state *state, bool half);
/* Writes a chunk's lines; returns the outputs in it. */
uint64_t twin_delta_apply(struct ft_region *region, const struct ft_chunk *chunk);

/* ---- the lane (help_twinlane.c) ---- */
struct twin_worker {
    struct twin_box *box;
    struct ft_region *region;
    struct ft_lane *shared;
    uint64_t salt; /* content of a table that no snapshot has written */
    bool warm;
    _Atomic bool *stop;
};
/* Makes the chain in the region; then the lane's life, until *stop. */
void twin_lane_make(struct twin_worker *w);
void *twin_lane_run(void *worker);

#endif
