/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a drill looks at and waits for, of a running pair, through its control sockets. Whoever has filled in
 * the drill's options and config may ask. What went wrong is written into the run.
 */
#ifndef TOOLS_DRILL_WATCH_H
#define TOOLS_DRILL_WATCH_H

#include "tools/drill/drill.h"

#include <sys/types.h>

#define ND_TAKEOVER_MS 5000

struct nd_drill {
    struct nd_drill_options options;
    const struct nd_config *config;
    struct nd_prober *prober;
    uint64_t began;
    uint64_t quiet_since; /* no drill since */
    double baseline_ms, baseline_s;
};

struct nd_sight { /* of both nodes, in a settled pair */
    unsigned primary, standby;
    pid_t pid[ND_NODES], guardian[ND_NODES];
    uint64_t view, held;
    bool seen[ND_NODES];
};

/* True when one node is a PROTECTED primary, and the other, if it can be asked from here, its READY standby.
 */
bool nd_drill_look(struct nd_drill *drill, struct nd_sight *out, int *error);
/* Waits for that. */
int nd_drill_settle(struct nd_drill *drill, struct nd_sight *out, struct ft_fault *fault);

/* Polls `node` until it is primary in a later view and, unless it is strict, has released something. Returns
 * when that was, 0: never. */
uint64_t nd_drill_await_takeover(struct nd_drill *drill, unsigned node, struct nd_drill_run *run);
/* The primary without its standby: until it goes SOLO, or long enough to see that a strict one stays
 * DEGRADED. */
uint64_t nd_drill_await_alone(struct nd_drill *drill, unsigned node, struct nd_drill_run *run);
/* Until the first packet of the takeover has left, or for a while. Returns when that was, 0: none has. */
uint64_t nd_drill_await_release(struct nd_drill *drill, unsigned node, struct nd_drill_run *run);
/* The woken node has to find itself fenced by a view after the one it was stopped in. */
void nd_drill_await_fenced(struct nd_drill *drill, unsigned node, struct nd_drill_run *run);
/* Once it can release no more: did it, after it was replaced? Both clocks are this machine's. */
void nd_drill_judge_fenced(struct nd_drill *drill, unsigned node, struct nd_drill_run *run);

#endif
