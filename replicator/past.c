/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a node remembers of its past: the wall-clock time of its last takeover, of the last loss of its
 * standby and of its last fence, each until the next of its kind. The core, which has no clock, says what
 * they were.
 */
#include "replicator/parts.h"

#include <time.h>

/* Which event the new state is; that one's wall-clock time is kept until the next of its kind. */
static enum ft_event_name note_event(struct rp_replicator *rp)
{
    const struct ft_core *core = &rp->core;
    struct rp_past *past = &rp->shown.past;
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    uint64_t now = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;

    if (core->takeover.view != rp->told.takeover) {
        rp->told.takeover = core->takeover.view;
        past->takeover = now;
        return FT_SAYS_TAKEOVER;
    }
    if (core->loss.count != rp->told.losses) {
        rp->told.losses = core->loss.count;
        past->loss = now;
        return FT_SAYS_STANDBY_LOST;
    }
    if (core->fenced.count != rp->told.fences) {
        rp->told.fences = core->fenced.count;
        past->fence = now;
        return FT_SAYS_FENCED;
    }
    return FT_SAYS_STATE;
}

void rp_report_state(struct rp_replicator *rp, const struct ft_action *a)
{
    enum ft_event_name what = note_event(rp);

    rp_publish_status(rp);
    if (rp->config.state_changed)
        rp->config.state_changed(rp->config.arg, what, a->send.state, a->view, a->send.text);
}
