/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the protocol core and whoever asks the arbiter: a question goes out, an answer comes back, and the
 * arbiter's thread hears in which view this node serves. Calls of the replicator's thread, none of which
 * waits.
 */
#include "replicator/parts.h"

void rp_ask_arbiter(struct rp_replicator *rp, const struct ft_action *a)
{
    const struct rp_arbiter *arbiter = rp->config.arbiter;

    if (arbiter)
        arbiter->ask(arbiter->arg, a->flag ? &a->era : NULL);
}

void rp_hear_arbiter(struct rp_replicator *rp)
{
    const struct rp_arbiter *arbiter = rp->config.arbiter;
    struct ft_event event = {.kind = FT_EV_ANSWER, .now = rp->now};
    bool serves = rp->core.state == FT_SOLO || rp->core.state == FT_PROTECTED;

    if (!arbiter)
        return;
    arbiter->serves(arbiter->arg, serves ? rp->core.view : 0);
    if (arbiter->answer(arbiter->arg, &event.era, &event.answer))
        rp_step(rp, &event);
}
