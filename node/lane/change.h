/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A chain that is changed while lanes have packets: what the main thread makes ready, and one lane carries
 * out while all are quiesced. The stage says whose it is: the main thread's but for ARMED to WORKING.
 *
 *   PREPARED ─▶ ARMED ─▶ WORKING ─▶ DONE, FAILED     live lanes: at the cut of the next snapshot, or alone
 *            └▶ WANTED ─▶ WORKING ─▶ DONE, FAILED    lanes that are told to wait, without a state
 */
#ifndef NODE_LANE_CHANGE_H
#define NODE_LANE_CHANGE_H

#include "nflib/chain/change.h"
#include "node/config/config.h"
#include "ftcore/protocol/core.h"

enum nd_change_stage {
    ND_CHANGE_PREPARED,
    ND_CHANGE_ARMED,  /* by the main thread: with the state that lanes have, at the cut of a snapshot */
    ND_CHANGE_ALONE,  /* the same, at once: no peer follows */
    ND_CHANGE_WANTED, /* by the replicator: without any state */
    ND_CHANGE_WORKING,
    ND_CHANGE_DONE,
    ND_CHANGE_FAILED, /* all is as it was; `fault` */
    ND_CHANGE_GONE,   /* the main thread has given it up */
};

struct nd_change {
    _Atomic int stage;
    struct nd_config *own;  /* the node's: gets the new chain */
    struct nd_config *next; /* of the new file, made for this; gets the old chain */
    struct nf_chain_change plan;
    struct ft_region_config how;
    uint64_t seed;
    char identity[FT_IDENTITY_MAX];
    struct ft_chain_name chain; /* what it is called */
    /* When it is DONE: what was before, for the main thread to free. */
    struct ft_region *old;
    struct nf_chain *was[FT_LANES_MAX];
    uint64_t took; /* ns, in which lanes stood */
    struct ft_fault fault;
    struct nd_change *past; /* for the main thread, when it is over: the one before */
    uint64_t over;          /* ns: since when; the last one that was done: since it is not the last */
};

struct nd_group;
struct nd_lane;

/* Runs this chain from now on, with the state that it has. All lanes are quiesced. */
void nd_lane_take_chain(struct nd_lane *lane, struct nf_chain *chain);
/* The chain is to be changed at once, at a barrier. */
bool nd_lane_changes_alone(const struct nd_lane *lane);

static inline bool nd_change_pass(struct nd_change *c, enum nd_change_stage from, enum nd_change_stage to)
{
    int expected = (int)from;

    return atomic_compare_exchange_strong(&c->stage, &expected, (int)to);
}

/* All lanes are quiesced: carries it out if it is at this stage. */
void nd_group_change(struct nd_group *group, enum nd_change_stage at);

/* For struct rp_config; `group` is a struct nd_group. */
const struct ft_chain_name *nd_group_chain(void *group);
bool nd_group_become(void *group, uint64_t hash);

#endif
