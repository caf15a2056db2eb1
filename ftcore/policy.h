/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which kind the next segment of the stream shall have (design §4). Owned by the lanes of a node together:
 * asked while all of them stand, at a cut or at a look between cuts, so the answer is the same for all.
 *
 * `log` and `delta` are fixed. `auto` sends what is smaller on the wire. When replaying what a hot standby
 * still lacks would take more than a quarter of the budget, it sends what takes the standby less time
 * instead, until the standby has caught up; below half of it the lanes keep it themselves (node/lane_lag.c).
 * What the standby takes for a byte of either kind it measures and tells; until deltas have been tried nobody
 * knows, and they are tried. What the kind not in use would have sent is measured, not guessed: a delta
 * segment counts what records would have taken; in a log segment dirty lines are marked for one commit
 * interval now and then (a sample), since marking costs every edit. What is counted is bytes in memory; what
 * they take on the wire is asked when it is decided, so that what is found out of packing counts for what was
 * before as well. Deltas hold outputs back for an interval, so they have to be smaller by a twentieth to be
 * chosen; the log only has to be no larger.
 *
 * How deltas pack nobody knows before one was sent. To a warm standby it is taken to be little, so
 * that some are tried: that costs a few cuts, and the checkpoints that they compete with are large. The log
 * to a hot one is not, so there it is taken to be half.
 *
 * The idea of letting measured replay time bound the checkpoint's distance: Elnozahy, Alvisi, Wang, Johnson,
 * A survey of rollback-recovery protocols, 2002. That no kind is best for all traffic: the papers' own
 * measurements (FTMB, REINFORCE, Pico Replication) differ by traffic, each with its own extreme.
 */
#ifndef FTCORE_POLICY_H
#define FTCORE_POLICY_H

#include "ftcore/lane.h"

#include <stdbool.h>
#include <stdint.h>

struct ft_policy_config {
    bool log, delta;                  /* which kinds may be chosen; both: auto */
    bool warm;                        /* the log needs checkpoints: deltas beside it */
    uint64_t budget_ns;               /* of a takeover's replay */
    const struct ft_packing *packing; /* NULL: on the wire as in memory */
};

/* What one stretch of the stream took, sums over lanes. A stretch is a segment, or a part of a log segment.
 */
struct ft_stretch {
    uint64_t bursts; /* with packets: others cost next to nothing in either kind */
    uint64_t log;    /* bytes in memory of its records; in a delta segment what they would have been … */
    uint64_t delta;  /* … and of a delta over it; meaningful with `sampled` */
    bool sampled;
    uint64_t
        checkpoint; /* warm: of the checkpoint that ended it, in a delta segment that would have; 0: none */
    uint64_t replay_ns;            /* hot: what a takeover now would have to replay, greatest of the lanes */
    uint64_t log_cost, delta_cost; /* what the standby takes for 1024 of these bytes, ns, the slowest lane; 0:
                                      not known yet */
};

struct ft_policy {
    struct ft_policy_config config;
    enum ft_segment segment;
    bool pressed; /* deltas because of the budget, until the standby has caught up */
    /* Bytes in memory that each kind took or would have taken over the same bursts; older ones count less and
     * less. A sample stands for the stretch after it too, burst for burst. */
    uint64_t bursts, log, delta;
    uint64_t between, checkpoints; /* of checkpoints, and of the log between them … */
    uint64_t since, counted;       /* … and behind the last one; how many */
    uint64_t tried;                /* deltas since the base */
    uint64_t log_cost, delta_cost; /* what 1024 of those bytes take the standby */
    struct ft_stretch sample;      /* the last one */
    uint64_t changes, presses;     /* of the kind, ever; because of the budget */
};

/* Before the first segment after a base. */
void ft_policy_begin(struct ft_policy *policy, const struct ft_policy_config *config);
/* A look before its time is worth it: the standby lags by so many ns, and deltas would relieve it. */
bool ft_policy_presses(const struct ft_policy *policy, uint64_t lag_ns);
/* A stretch after which nothing is decided. */
void ft_policy_learn(struct ft_policy *policy, const struct ft_stretch *last);
/* The kind of the coming segment; differs from policy->segment before only at a cut, so the caller makes one.
 */
enum ft_segment ft_policy_next(struct ft_policy *policy, const struct ft_stretch *last);

#endif
