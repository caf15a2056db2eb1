/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slices of the state that differ between this node and its peer: what was found last, and the file with this
 * node's bytes of it. The main thread's but for `saving`, which the thread that writes the file sets back.
 */
#ifndef NODE_WATCH_DIFFERENCES_H
#define NODE_WATCH_DIFFERENCES_H

#include "lane/lane.h"
#include "replicator/replicator.h"

/* What became of the bytes of the difference that was found last. */
enum nd_saving { ND_UNSAVED, ND_SAVING, ND_SAVED };

struct nd_differences {
    const struct nf_chain_config *chain;
    struct ft_lane_shared *shared;
    struct nd_lane *lanes;
    struct ft_region *region;
    char file[256];
    char last[FT_SLICE_TEXT + 64]; /* what differed last; "": nothing has */
    _Atomic enum nd_saving saving;
    bool missed;                       /* what differed last is not in the file, nor will be */
    uint64_t seen_lanes[FT_LANES_MAX]; /* standby: slices_different of each lane, as looked at last */
    uint64_t seen_verdicts;            /* primary: verdicts.different, as looked at last */
    uint64_t expected[FT_LANES_MAX];   /* primary: digest of each lane's last verdict looked at */
};

/* Has what differs from the peer's state saved, if anything new does. Waits for nothing. */
void nd_differences_save(struct nd_differences *all, const struct rp_status *s);

#endif
