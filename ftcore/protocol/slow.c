/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A standby that is slow is a fault too. Protection may cost a primary slow_percent of its time: over a
 * second, no lane waits longer than that for the standby (lane/cost.c defines waiting). A standby that costs
 * more is given up like one that sends malformed messages: it gives up its rights and reports that, or
 * solo_after_ms pass, and then the primary goes on alone. It is taken back after a back-off that doubles from
 * the first time on (primary.c), and then has to keep up for a second of catch-up, for which nothing is held:
 * close behind each lane and not silent, but for slow_percent of the time.
 *
 * A second in which this node itself did not get its processor for a tenth is not judged: a node that shares
 * a machine waits for the machine. Nor is one in which the standby was not READY throughout.
 *
 * With strict nothing leaves without a standby, so the standby is kept, and the cost is reported, once until
 * a second is within what it may cost.
 */
#include "ftcore/protocol/parts.h"
#include "ftcore/base/plant.h"

#include <stdio.h>
#include <string.h>

#define STOOD 10u /* parts of a window, of which this node has to have run all but one */

const char *ft_slow_text(enum ft_slow_side side)
{
    static const char *const text[] = {[FT_SLOW_NONE] = "",
                                       [FT_SLOW_LANE] = "its lane replays too slowly",
                                       [FT_SLOW_LINK] = "the link takes too little",
                                       [FT_SLOW_PROCESS] = "its process stands at times",
                                       [FT_SLOW_ANSWERS] = "it acknowledges late"};

    return text[side];
}

/* After a longer silence some process stands: a running one sends something each heartbeat. */
static uint64_t longest_silence(const struct ft_core *core)
{
    return ft_ms(core->config.slow_ms) + 2 * ft_ms(core->config.heartbeat_ms);
}

void ft_slow_note_heard(struct ft_core *core, bool port)
{
    struct ft_slow *s = &core->slow;
    uint64_t last = ft_later(port ? core->peer.port_heartbeat : core->peer.heard, s->ran_since);
    uint64_t *longest = port ? &s->window.quiet : &s->window.silent;

    if (s->since && !port && core->now - ft_later(last, s->since) > longest_silence(core))
        s->late += core->now - ft_later(last, s->since);
    if (s->window.began)
        *longest = ft_later(*longest, core->now - ft_later(last, s->window.began));
}

/* A standby that this primary waits for: outputs leave by its acknowledgement. */
static bool is_beside(const struct ft_core *core)
{
    return core->config.slow_percent && core->guarded && !core->cut_off && !core->resync && !core->hand &&
           !core->abandoning && core->peer.known && !core->arbiter.asking && !core->arbiter.lost;
}

static void begin_window(struct ft_core *core, const struct ft_cost cost[])
{
    struct ft_slow *s = &core->slow;

    memset(&s->window, 0, sizeof(s->window));
    s->window.began = core->now;
    memcpy(s->window.from, cost, core->config.lanes * sizeof(cost[0]));
}

/* Where a process stands, neither link nor data ports bring anything of it. */
static enum ft_slow_side find_side(const struct ft_core *core, enum ft_wait most)
{
    const struct ft_slow *s = &core->slow;
    bool silent = s->window.silent > longest_silence(core) / 2;
    bool heard = core->peer.port_heartbeat > s->window.began && s->window.quiet < s->window.silent / 2;

    if (silent)
        return heard ? FT_SLOW_LINK : FT_SLOW_PROCESS;
    return most == FT_WAIT_REPLAY ? FT_SLOW_LANE : most == FT_WAIT_LOG ? FT_SLOW_LINK : FT_SLOW_ANSWERS;
}

/* Of the lane that waited longest, in percent of its own time, and for what. A lane that did not run does not
 * count. */
static unsigned measure(const struct ft_core *core, const struct ft_cost cost[], enum ft_wait *most)
{
    uint64_t passed = core->now - core->slow.window.began;
    unsigned percent = 0;

    *most = FT_WAIT_NONE;
    for (unsigned l = 0; l < core->config.lanes; l++) {
        const struct ft_cost *from = &core->slow.window.from[l];
        uint64_t beside = cost[l].beside - from->beside, waited = 0, longest = 0;
        enum ft_wait what = FT_WAIT_NONE;

        for (enum ft_wait w = FT_WAIT_NONE + 1; w < FT_WAITS; w++) {
            uint64_t ns = cost[l].waited[w] - from->waited[w];

            waited += ns;
            if (ns > longest) {
                longest = ns;
                what = w;
            }
        }
        if (beside * STOOD < passed * (STOOD - 1) || waited * 100 / beside <= percent)
            continue;
        percent = (unsigned)(waited * 100 / beside);
        *most = what;
    }
    return percent;
}

static void give_up(struct ft_core *core, struct ft_actions *actions)
{
    struct ft_slow *s = &core->slow;
    char why[FT_REASON_MAX];

    snprintf(why, sizeof(why), "%sslow: waited for %u %% of a second (allowed: %u), %s",
             core->config.strict ? "the standby is " : "", s->percent, core->config.slow_percent,
             ft_slow_text(s->side));
    if (core->config.strict) {
        core->event = FT_SAYS_SLOW;
        ft_report(core, actions, why);
        return;
    }
    s->proves = s->gives_up = true;
    ft_primary_gives_up(core, why, core->now, actions);
    s->gives_up = false;
}

void ft_slow_judge(struct ft_core *core, const struct ft_cost cost[], struct ft_actions *actions)
{
    struct ft_slow *s = &core->slow;
    uint64_t passed = core->now - s->window.began;
    bool told = core->config.strict && s->side != FT_SLOW_NONE;
    enum ft_wait most;

    if (!is_beside(core)) {
        s->window.began = 0;
        return;
    }
    if (s->window.began && passed < FT_SLOW_NS)
        return;
    if (core->back_off.taken_at &&
        core->now - core->back_off.taken_at >= ft_ms(core->config.back_off_most_ms))
        s->proves = false;
    if (s->window.began && s->window.stood * STOOD <= passed) {
        s->percent = measure(core, cost, &most);
        s->side = s->percent > core->config.slow_percent || FT_PLANTED("slow-hasty") ? find_side(core, most)
                                                                                     : FT_SLOW_NONE;
        s->count += s->side != FT_SLOW_NONE;
        if (s->side != FT_SLOW_NONE && !told && !FT_PLANTED("slow-kept"))
            give_up(core, actions);
    }
    begin_window(core, cost);
}

bool ft_slow_proves(struct ft_core *core, bool close)
{
    struct ft_slow *s = &core->slow;
    uint64_t passed = core->now - s->since;
    bool over = s->since && passed >= FT_SLOW_NS;

    if (!s->proves || !core->config.slow_percent)
        return close;
    if (s->since && !close)
        s->late += core->now - s->seen;
    s->seen = core->now;
    close &= over && s->late * 100 <= passed * core->config.slow_percent;
    if (over || !s->since) {
        s->since = close ? 0 : core->now;
        s->late = 0;
    }
    return close;
}
