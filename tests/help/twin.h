/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of the replicator: one node in a process of its own (the region has one address), a member of a
 * pair as the tools fork it: lanes, replicator, link over the loopback. Its chain is one NF, a table of
 * numbers: every input adds to the one that its hash picks.
 *
 * The test and the node share a box of words, which outlives the node. The node is its own input keeper, and
 * what it feeds lane 0 follows from a seed; so twin_model computes what the state must be after any burst,
 * without lanes, logs or snapshots. Other lanes are fed nothing.
 */
#ifndef TESTS_HELP_TWIN_H
#define TESTS_HELP_TWIN_H

#include "understudy/pair/member.h"

#include <sys/types.h>

#define TWIN_WORDS 65536u /* half of them zero at first: 512 KiB of state */

#define TWIN_STATE                                                                                           \
    (TWIN_WORDS * sizeof(uint64_t) + 64) /* the NF's: the words, and a line that no input changes */

#define TWIN_INPUT   256u /* bytes of an input at most */
#define TWIN_LOG     (2u << 20)
#define TWIN_PENDING (1u << 20)
#define TWIN_LANES   2u
#define TWIN_TICK_US 100u  /* of chain time, from burst to burst */
#define TWIN_LIMIT   30000 /* ms, of any waiting */

struct twin_box {
    /* Written by the test. */
    _Atomic uint64_t target;   /* live: bursts are made until this many are executed */
    _Atomic uint64_t seed;     /* of what this node feeds itself */
    _Atomic uint32_t pause_us; /* between two bursts */
    _Atomic bool stall;        /* a standby's lane rests between two turns, until it has another order */
    _Atomic uint32_t request;  /* enum ft_request */
    _Atomic uint64_t ask;      /* serial number: digests, please */
    _Atomic uint64_t by_port;  /* lane 0's bursts up to here have come by its port, as it were; 0: none */
    _Atomic uint64_t access_by_port; /* the last access in them; before by_port */
    _Atomic bool stop, spoil;        /* spoil: the NF writes once without an edit (planted fault) */
    _Atomic bool flip; /* a standby's memory: a bit flips, once, in a line that no input changes */

    /* Written by the node. All of it begins anew when the node is started. */
    struct twin_report {
        struct ft_lane_shared lane[TWIN_LANES]; /* its rings' content is the node's alone */
        struct nd_member_status member;
        _Atomic uint64_t answered, at, region_digest, state_hash; /* to `ask`, at a burst boundary */
        _Atomic uint64_t outputs, out_burst;                      /* that have left; the last one's burst */
        _Atomic uint64_t beside_snapshot;                         /* bursts made while lines were pending */
        _Atomic uint64_t log_most, replay_most;              /* bytes seen waiting in the ring, at most */
        _Atomic bool stalled;                                /* it rests now */
        _Atomic uint64_t by_port;                            /* `by_port` is in the lanes' closed set */
        _Atomic unsigned heard_of_primary, heard_of_standby; /* crash notices of a peer that was one */
        _Atomic uint64_t shown;                              /* sequence lock of status */
        struct rp_status status;
    } by_node;
};

struct twin_options {
    uint32_t resync_mbps; /* 0: 1000 */
    uint32_t start_alone_ms;
    uint32_t lanes;      /* 0: 1 */
    uint32_t every;      /* a stream of deltas, with so many bursts from cut to cut; 0: of records */
    bool warm, suppress; /* suppress: of the tail, so deltas carry no outputs */
    uint32_t checkpoint; /* warm: bursts from checkpoint to checkpoint; 0: a minute's */
    uint32_t verify_s;   /* verify_every_s */
    bool port;           /* the lane has a port to the peer's, by which nothing ever comes */
};

struct twin {
    unsigned self; /* 0: "a", listens, the file's primary; 1: "b" */
    pid_t pid;     /* 0: not running */
    struct twin_box *box;
};

/* Ports, directory and boxes for a pair; call once before the first start and after the last end. */
void twin_world(struct twin twin[2]);

void twin_world_end(struct twin twin[2]);
extern struct nd_loopback twin_place;

/* What a node with these options says in its hello. */
void twin_core_config(struct ft_core_config *c, unsigned self, const struct twin_options *options);

void twin_start(struct twin *twin, const struct twin_options *options); /* NULL: the usual ones */
void twin_kill(struct twin *twin);
void twin_end(struct twin *twin); /* fails the test unless the node ends by itself, in order */
/* As the replicator made it after this was called; of a node that is dead, the last one. */
struct rp_status twin_status(struct twin *twin);
enum ft_state twin_state(struct twin *twin);
uint64_t twin_executed(const struct twin *twin); /* lane 0's last burst, live or replayed */

/* Bursts after a takeover are made up to `target` only, so before that it has executed what it took over. */
bool twin_is_live(const struct twin *twin);

/* Fails the test when that has not happened within TWIN_LIMIT, or the node has died. */
void twin_await(struct twin *twin, enum ft_state state);

void twin_await_executed(struct twin *twin, uint64_t burst);

/* The node, a standby, replays and applies nothing from when this returns until `stall` is false. */
void twin_stall(struct twin *twin);

/* A digest of the node's region and its state's hash, taken between two bursts. Returns the burst. */
uint64_t twin_digest(struct twin *twin, uint64_t *region, uint64_t *state);

/* One poll of a waiting: sleeps a little; fails the test when `node` (may be NULL) has died or it took too
 * long. */
void twin_wait(struct twin *twin, uint64_t *waited, const char *what);

#define TWIN_UNTIL(node, cond)                                                                               \
    for (uint64_t waited_ = 0; !(cond);)                                                                     \
    twin_wait(node, &waited_, #cond)

/* ---- the chain's arithmetic and its model ---- */
/* Of struct nf_lane_state, what follows from the bursts. */
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

void twin_model_run(struct twin_model *m, uint64_t seed, uint64_t to);

/*
 * For tests of the replicator: two of them on loopback (twin.h), and the model that what both hold at
 * the end is compared with. One world at a time, made before a test and gone after it.
 */

extern struct twin twin_pair[2];      /* "a", the file's primary, and "b" */
extern struct twin_model *twin_truth; /* fresh at a test's begin */

/* Of a cmocka test. */
int twin_pair_setup(void **state);

int twin_pair_teardown(void **state);

/* Both, until a is PROTECTED and b READY. NULL: the usual options. */
void twin_pair_start(const struct twin_options *options);

void twin_pair_protected(struct twin *primary, struct twin *standby);
void twin_pair_end(void);

/* Live: bursts are made until `burst` is executed. */
void twin_target(struct twin *t, uint64_t burst);

/* Lets the primary come to rest at a burst not far from here. */
uint64_t twin_rest(struct twin *primary);

/* Fails the test unless the state after `burst` is the model's, which has been run that far. */
void twin_is_model(struct twin *t, uint64_t burst);

/* Runs the model to `burst` with `seed`, then asks for all of that. */
void twin_pair_equal(uint64_t seed, uint64_t burst);

#endif
