/* SPDX-License-Identifier: Apache-2.0 */
/* The choice between log and delta; see policy.h. Pure: numbers in, a kind out. */
#include "ftcore/policy.h"

#include <string.h>

#define ENOUGH      32u   /* bursts; fewer say nothing */
#define WINDOW      2048u /* bursts after which older ones count half */
#define CHECKPOINTS 512u  /* after which older ones do: calm and busy ones take turns */
#define MARGIN      20u   /* deltas must be smaller, or quicker, by one part in so many */
#define LITTLE      64u   /* of FT_PACKING_UNIT, until it is known … */
#define TRIES       3u    /* … what so many deltas take that are on their way */
#define HALF        512u
#define PRESS       4u /* a standby is pressed when it lags by this part of the budget … */
#define RELIEF      8u /* … until it lags by no more than this one */

void ft_policy_begin(struct ft_policy *policy, const struct ft_policy_config *config)
{
    uint64_t changes = policy->changes, presses = policy->presses;

    memset(policy, 0, sizeof(*policy));
    policy->config = *config;
    policy->segment = config->log ? FT_SEGMENT_LOG : FT_SEGMENT_DELTA;
    policy->changes = changes;
    policy->presses = presses;
}

static void learn_checkpoint(struct ft_policy *p, const struct ft_stretch *last)
{
    p->since += last->log;
    if (!last->checkpoint)
        return;
    p->between += p->since;
    p->checkpoints += last->checkpoint;
    p->since = 0;
    if (++p->counted >= CHECKPOINTS) {
        p->between /= 2;
        p->checkpoints /= 2;
        p->counted /= 2;
    }
}

void ft_policy_learn(struct ft_policy *p, const struct ft_stretch *last)
{
    const struct ft_stretch *like = last->sampled ? last : &p->sample;

    learn_checkpoint(p, last);
    if (!last->sampled && !like->bursts) /* what deltas would have taken is not known yet */
        return;
    p->bursts += last->bursts;
    p->log += last->log;
    p->delta += last->sampled ? last->delta : like->delta * last->bursts / like->bursts;
    p->tried += p->segment == FT_SEGMENT_DELTA;
    if (last->sampled && last->bursts)
        p->sample = *last;
    if (p->bursts >= WINDOW) {
        p->bursts /= 2;
        p->log /= 2;
        p->delta /= 2;
    }
}

/* `from` the kind in use to deltas only by a margin, and back without one. */
static enum ft_segment lesser(enum ft_segment from, uint64_t log, uint64_t delta)
{
    if (from == FT_SEGMENT_LOG)
        return delta < log - log / MARGIN ? FT_SEGMENT_DELTA : FT_SEGMENT_LOG;
    return log <= delta ? FT_SEGMENT_LOG : FT_SEGMENT_DELTA;
}

/* What takes the standby less time. Not known: deltas, which then will tell. */
static enum ft_segment quicker(const struct ft_policy *p)
{
    if (!p->sample.bursts || !p->log_cost || !p->delta_cost)
        return FT_SEGMENT_DELTA;
    return lesser(p->segment, p->log * p->log_cost, p->delta * p->delta_cost);
}

bool ft_policy_presses(const struct ft_policy *p, uint64_t lag_ns)
{
    return p->config.log && p->config.delta && !p->config.warm && !p->pressed &&
           lag_ns > p->config.budget_ns / PRESS && quicker(p) != p->segment;
}

/* A hot standby lags: until it has caught up, its time counts and bytes do not. */
static bool pressed(struct ft_policy *p, const struct ft_stretch *last)
{
    if (p->config.warm) /* its checkpoints keep the budget */
        return false;
    if (last->replay_ns > p->config.budget_ns / PRESS && !p->pressed) {
        p->pressed = true;
        p->presses++;
    } else if (last->replay_ns <= p->config.budget_ns / RELIEF) {
        p->pressed = false;
    }
    return p->pressed;
}

/* Bytes of checkpoints that go with the log. The next one tells of what was logged since the last. */
static uint64_t beside(const struct ft_policy *p)
{
    uint64_t between = p->between + (p->segment == FT_SEGMENT_LOG ? p->since : 0);

    return between ? (uint64_t)((double)p->log * (double)p->checkpoints / (double)between) : 0;
}

static enum ft_segment smaller(const struct ft_policy *p)
{
    static const struct ft_packing as_it_is = {FT_PACKING_UNIT, FT_PACKING_UNIT, FT_PACKING_UNIT};
    const struct ft_packing *by = p->config.packing ? p->config.packing : &as_it_is;
    uint64_t guess = p->tried >= TRIES ? FT_PACKING_UNIT : p->config.warm ? LITTLE : HALF;
    uint64_t log = ft_packed(p->log, &by->log, HALF);

    if (p->bursts < ENOUGH || !p->sample.bursts)
        return p->segment;
    log += ft_packed(beside(p), &by->checkpoint, HALF);
    return lesser(p->segment, log, ft_packed(p->delta, &by->delta, guess));
}

enum ft_segment ft_policy_next(struct ft_policy *p, const struct ft_stretch *last)
{
    enum ft_segment next = p->segment;

    ft_policy_learn(p, last);
    p->log_cost = last->log_cost;
    p->delta_cost = last->delta_cost;
    if (p->config.log && p->config.delta)
        next = pressed(p, last) ? quicker(p) : smaller(p);
    p->changes += next != p->segment;
    p->segment = next;
    return next;
}
