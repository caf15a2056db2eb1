/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a node remembers of its past: the wall-clock time of its last takeover, of the last loss of its
 * standby and of its last fence, each until the next of its kind. The core, which has no clock, says what
 * they were.
 */
#include "replicator/parts.h"

#include <time.h>

static void note_time(struct rp_past *past, enum ft_event_name event)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    uint64_t now = (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;

    if (event == FT_SAYS_TAKEOVER)
        past->takeover = now;
    else if (event == FT_SAYS_STANDBY_LOST)
        past->loss = now;
    else if (event == FT_SAYS_FENCED)
        past->fence = now;
}

void rp_report_state(struct rp_replicator *rp, const struct ft_action *a)
{
    note_time(&rp->shown.past, a->event);
    rp_publish_status(rp);
    if (rp->config.state_changed)
        rp->config.state_changed(rp->config.arg, a->event, a->flag, a->send.state, a->view, a->send.text);
}
