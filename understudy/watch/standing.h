/* SPDX-License-Identifier: Apache-2.0 */
/* How a node stands beside its peer: its demotion counter, what an operator has ordered, and what it decides
 * of the role by understudy/track/rules.h. All of it is the main thread's. */
#ifndef NODE_WATCH_STANDING_H
#define NODE_WATCH_STANDING_H

#include "understudy/arbiter/arbiter.h"
#include "lane/frames.h"
#include "understudy/track/rules.h"
#include "understudy/track/runner.h"
#include "replicator/replicator.h"

/* What was logged of how soon a silent primary is suspected. */
struct nd_detection {
    uint64_t said, said_at; /* ns: how soon, and when that was logged; 0: not yet */
    uint64_t false_takeovers, doubled_at;
};

struct nd_standing {
    struct nd_config *config;
    unsigned self;            /* index of this node in the file */
    struct nd_health *health; /* of the data ports: judged by port_watch.c; which are deaf is found here */
    struct rp_replicator *replicator;
    struct nd_arbiter *arbiter;  /* NULL: the file has none */
    struct nd_runner *runner;    /* NULL: nothing for it to do */
    struct nd_gateways gateways; /* shared with lanes */
    struct {                     /* of gateways, in their order */
        struct nd_tracked tracked;
        uint64_t asked; /* as it was looked at last, ns */
    } gateway[ND_TRACKED_MAX];
    uint32_t counter;
    char why[FT_REASON_MAX]; /* what is in it */
    uint64_t looks_ns; /* of what is tracked and in it: until the other node has looked at it, at most */
    enum ft_maintenance maintenance;
    uint64_t maintained;     /* wall clock of that order, ns; 0: there was none */
    struct rp_standing told; /* what the replicator was given last */
    bool is_told;
    uint64_t higher_since, equal_since, tried; /* as struct nd_authority has them */
    const char *stays;           /* why the role stays where something would move it; NULL: nothing would */
    bool runner_gone;            /* the log has it */
    uint64_t lost[ND_HOOKS_MAX]; /* events of each hook, as looked at last */
    bool loses[ND_HOOKS_MAX];    /* the log has that it loses some */
    bool disbelieved[ND_HOOKS_MAX]; /* the log has that its command is not run */
    struct nd_detection detection;
};

/* Before lanes are made, with `config`, `self` and `runner` set; in each turn of the main thread. */
void nd_standing_begin(struct nd_standing *st);
/* By which interface each gateway is asked, of those that the chain has now. Also by the lane that changes
 * the chain, while no other runs. */
void nd_standing_place(struct nd_standing *st);
void nd_standing_turn(struct nd_standing *st, const struct rp_status *s);

/* An operator's order, later than every one that is known. FT_EINVAL: the peer has sent one of the far
 * future, behind which there is no room. */
int nd_standing_order(struct nd_standing *st, enum ft_maintenance what);

/* Whether the tracked thing `index` of this node fails, and what was found of it last. */
bool nd_standing_failed(const struct nd_standing *st, unsigned index, char why[ND_RUNNER_TEXT]);

/* Both nodes keep the same order. */
bool nd_standing_known(const struct nd_standing *st, const struct rp_status *s);

/* "pinned to NAME", "held", "free". */
const char *nd_standing_text(const struct nd_standing *st, char out[64]);

#endif
