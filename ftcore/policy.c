/* SPDX-License-Identifier: Apache-2.0 */
/* The choice between log and delta; see policy.h. Pure: numbers in, a kind out. */
#include "ftcore/policy.h"

#include <string.h>

#define PER    1024u
#define ENOUGH 64u   /* bursts; fewer say nothing */
#define WINDOW 2048u /* bursts after which older ones count half */
#define MARGIN 20u   /* deltas must be smaller by one part in so many … */
#define RELIEF 4u    /* … and a pressed standby must be this far below the budget */

void ft_policy_begin(struct ft_policy *policy, const struct ft_policy_config *config)
{
    uint64_t changes = policy->changes, presses = policy->presses;

    memset(policy, 0, sizeof(*policy));
    policy->config = *config;
    policy->segment = config->log ? FT_SEGMENT_LOG : FT_SEGMENT_DELTA;
    policy->changes = changes;
    policy->presses = presses;
}

static void learn(struct ft_policy *p, const struct ft_stretch *last)
{
    if (!last->sampled && !p->sample.bursts) /* what deltas would have taken is not known yet */
        return;
    p->bursts += last->bursts;
    p->log += last->log_bytes;
    p->checkpoints += last->checkpoint_bytes;
    if (last->sampled) {
        p->delta += last->delta_bytes;
        if (last->bursts)
            p->sample = *last;
    } else if (p->sample.bursts) {
        p->delta += p->sample.delta_bytes * last->bursts / p->sample.bursts;
    }
    if (p->segment == FT_SEGMENT_LOG && p->log)
        p->beside = p->checkpoints * PER / p->log;
    if (p->bursts >= WINDOW) {
        p->bursts /= 2;
        p->log /= 2;
        p->delta /= 2;
        p->checkpoints /= 2;
    }
}

/* A hot standby that lags gets nothing more to replay until it has caught up. */
static bool pressed(struct ft_policy *p, const struct ft_stretch *last)
{
    if (p->config.warm) /* its checkpoints keep the budget */
        return false;
    if (last->replay_ns > p->config.budget_ns && !p->pressed) {
        p->pressed = true;
        p->presses++;
    } else if (last->replay_ns <= p->config.budget_ns / RELIEF) {
        p->pressed = false;
    }
    return p->pressed;
}

static enum ft_segment smaller(const struct ft_policy *p)
{
    uint64_t log = p->log + p->log * p->beside / PER;

    if (p->bursts < ENOUGH || !p->sample.bursts)
        return p->segment;
    if (p->segment == FT_SEGMENT_LOG)
        return p->delta < log - log / MARGIN ? FT_SEGMENT_DELTA : FT_SEGMENT_LOG;
    return log <= p->delta ? FT_SEGMENT_LOG : FT_SEGMENT_DELTA;
}

enum ft_segment ft_policy_next(struct ft_policy *p, const struct ft_stretch *last)
{
    enum ft_segment next = p->segment;

    learn(p, last);
    if (p->config.log && p->config.delta)
        next = pressed(p, last) ? FT_SEGMENT_DELTA : smaller(p);
    p->changes += next != p->segment;
    p->segment = next;
    return next;
}
