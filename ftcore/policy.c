/* SPDX-License-Identifier: Apache-2.0 */
/* The choice between log and delta; see policy.h. Pure: numbers in, a kind out. */
#include "ftcore/policy.h"

#include <string.h>

#define PER    1024u
#define ENOUGH 64u   /* bursts; fewer say nothing */
#define WINDOW 2048u /* bursts after which older ones count half */
#define MARGIN 20u   /* deltas must be smaller, or quicker, by one part in so many */
#define PRESS  4u    /* a standby is pressed when it lags by this part of the budget … */
#define RELIEF 8u    /* … until it lags by no more than this one */

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
    p->log_raw += last->log_raw;
    p->checkpoints += last->checkpoint_bytes;
    if (last->sampled) {
        p->delta += last->delta_bytes;
        p->delta_raw += last->delta_raw;
        if (last->bursts)
            p->sample = *last;
    } else if (p->sample.bursts) {
        p->delta += p->sample.delta_bytes * last->bursts / p->sample.bursts;
        p->delta_raw += p->sample.delta_raw * last->bursts / p->sample.bursts;
    }
    if (p->segment == FT_SEGMENT_LOG && p->log)
        p->beside = p->checkpoints * PER / p->log;
    if (p->bursts >= WINDOW) {
        p->bursts /= 2;
        p->log /= 2;
        p->delta /= 2;
        p->log_raw /= 2;
        p->delta_raw /= 2;
        p->checkpoints /= 2;
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
    return lesser(p->segment, p->log_raw * p->log_cost, p->delta_raw * p->delta_cost);
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

static enum ft_segment smaller(const struct ft_policy *p)
{
    uint64_t log = p->log + p->log * p->beside / PER;

    if (p->bursts < ENOUGH || !p->sample.bursts)
        return p->segment;
    return lesser(p->segment, log, p->delta);
}

enum ft_segment ft_policy_next(struct ft_policy *p, const struct ft_stretch *last)
{
    enum ft_segment next = p->segment;

    learn(p, last);
    p->log_cost = last->log_cost;
    p->delta_cost = last->delta_cost;
    if (p->config.log && p->config.delta)
        next = pressed(p, last) ? quicker(p) : smaller(p);
    p->changes += next != p->segment;
    p->segment = next;
    return next;
}
