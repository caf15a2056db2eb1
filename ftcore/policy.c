/* SPDX-License-Identifier: Apache-2.0 */
/* The choice between log and delta; see policy.h. Pure: numbers in, a kind out. */
#include "ftcore/policy.h"

#include <string.h>

#define PER      1024u
#define PACKETS  64u /* fewer say nothing about bytes a packet */
#define MARGIN   20u /* deltas must be smaller by one part in so many … */
#define RELIEF   4u  /* … and a pressed standby must be this far below the budget */
#define RATE_MAX (UINT64_MAX / 64)

static void smooth(uint64_t *rate, uint64_t bytes, uint64_t packets)
{
    uint64_t now = bytes < RATE_MAX / PER ? bytes * PER / packets : RATE_MAX;

    now = now ? now : 1;
    *rate = *rate ? (*rate * 3 + now + 3) / 4 : now;
}

void ft_policy_begin(struct ft_policy *policy, const struct ft_policy_config *config)
{
    uint64_t changes = policy->changes, presses = policy->presses;

    memset(policy, 0, sizeof(*policy));
    policy->config = *config;
    policy->segment = config->log ? FT_SEGMENT_LOG : FT_SEGMENT_DELTA;
    policy->changes = changes;
    policy->presses = presses;
}

static void add(struct ft_stretch *to, const struct ft_stretch *last)
{
    to->packets += last->packets;
    to->log_bytes += last->log_bytes;
    to->delta_bytes += last->delta_bytes;
}

static void learn(struct ft_policy *p, const struct ft_stretch *last)
{
    add(&p->sum, last);
    if (p->sum.packets >= PACKETS) {
        smooth(&p->log_rate, p->sum.log_bytes, p->sum.packets);
        memset(&p->sum, 0, sizeof(p->sum));
    }
    p->covering += last->packets;
    if (last->checkpoint_bytes && p->covering >= PACKETS) {
        smooth(&p->checkpoint_rate, last->checkpoint_bytes, p->covering);
        p->covering = 0;
    }
    if (last->sampled)
        add(&p->samples, last);
    if (p->samples.packets >= PACKETS) {
        smooth(&p->delta_rate, p->samples.delta_bytes, p->samples.packets);
        memset(&p->samples, 0, sizeof(p->samples));
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
    uint64_t log = p->log_rate + p->checkpoint_rate, delta = p->delta_rate;

    if (!p->log_rate || !delta)
        return p->segment;
    if (p->segment == FT_SEGMENT_LOG)
        return delta < log - log / MARGIN ? FT_SEGMENT_DELTA : FT_SEGMENT_LOG;
    return log <= delta ? FT_SEGMENT_LOG : FT_SEGMENT_DELTA;
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
