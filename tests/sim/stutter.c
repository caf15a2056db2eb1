/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Slow nodes, in seeds of the kind `slow`: for a while a node stands for a part of each of some milliseconds,
 * or its replay does, or what is said takes longer. A standby may cost its primary a fifth of the time
 * (ftcore/protocol/slow.c), reckoned over WINDOW.
 *
 * What is judged here, by the records' own times: a primary has no room, or holds outputs older than
 * slow_ms, for no more than MOST of LONG while the primary itself runs: at least two of the product's own
 * windows lie in there, and with what is outside of these at most a fifth of both. And a standby is not given
 * up as slow where its primary waited for nothing.
 */
#include "tests/sim/sim.h"

#include "replicator/parts.h"

#include <string.h>

#define WINDOW   (40 * SIM_MS) /* as the Makefile says */
#define LONG     (4 * WINDOW)
#define MOST     (LONG * 6 / 10)
#define LEAST    (WINDOW / 20)
#define SLEPT    (6 * SIM_MS) /* since the replicator's last turn: it is held up */
#define RUNS     (1 * SIM_MS) /* lane/cost.c: later than it wanted to wake, a lane does not run */
#define MAY_MISS (LONG / 10)

enum how { STANDS, REPLAYS_SLOWLY, LINK_IS_SLOW, HOWS };

static struct {
    enum how how;
    unsigned node;
    uint64_t from, until, every, part;
} stutter;

static struct watched { /* of a node; world ns */
    uint64_t began, waited, missed;
    uint64_t seen;  /* the last tick */
    uint64_t waits; /* of late, with less weight the longer ago */
} watched[SIM_NODES];

void sim_stutter_begin(void)
{
    memset(&stutter, 0, sizeof(stutter));
    memset(watched, 0, sizeof(watched));
}

static void draw_stutter(void)
{
    uint64_t detect = sim.config->timing.detect_ms * SIM_MS;
    const struct sim_node *p = sim_protected();

    stutter.how = (enum how)sim_draw(&sim.slow, HOWS);
    stutter.node = p && sim_chance(&sim.slow, 800) ? !p->index : (unsigned)sim_draw(&sim.slow, 2);
    stutter.from = sim.now + sim_draw(&sim.slow, 2 * WINDOW);
    stutter.until = stutter.from + WINDOW + sim_draw(&sim.slow, 2 * LONG);
    stutter.every = detect / 2 + sim_draw(&sim.slow, detect / 2);
    stutter.part = stutter.every * (200 + sim_draw(&sim.slow, 700)) / 1000;
    if (stutter.how == LINK_IS_SLOW && sim_chance(&sim.slow, 500))
        stutter.part = stutter.every;
    sim_tell(stutter.node, "%s for %.3f of each %.3f ms, from %.3f to %.3f ms",
             stutter.how == STANDS           ? "stands"
             : stutter.how == REPLAYS_SLOWLY ? "does not replay"
                                             : "is behind a slow link",
             (double)stutter.part / 1e6, (double)stutter.every / 1e6, (double)stutter.from / 1e6,
             (double)stutter.until / 1e6);
}

static void make_slow(void)
{
    struct sim_node *n = &sim.node[stutter.node];
    uint64_t phase;

    if (sim.now >= stutter.until)
        draw_stutter();
    if (sim.now < stutter.from)
        return;
    phase = (sim.now - stutter.from) % stutter.every;
    if (phase >= stutter.part)
        return;
    if (stutter.how == LINK_IS_SLOW)
        sim.slow_until = sim.now + stutter.part - phase;
    else if (stutter.how == REPLAYS_SLOWLY && n->stalled_until < sim.now + stutter.part - phase)
        n->stalled_until = sim.now + stutter.part - phase;
    else if (stutter.how == STANDS)
        sim_pause(n, stutter.part - phase);
}

/* Some lane of its could not let out what it made so long ago, by the time that the record has. */
static bool is_late(const struct sim_node *n)
{
    for (unsigned l = 0; l < sim.plan.lanes; l++) {
        const struct nd_lane *lane = &n->lane[l];
        uint64_t burst, now = sim_clock(n) + lane->time_offset;

        if (!ft_hold_count(&lane->hold))
            continue;
        burst = ft_hold_at(&lane->hold, lane->hold.out)->burst;
        if (n->history && burst <= n->history->lane[l].count && n->history->lane[l].list[burst - 1] &&
            now - n->history->lane[l].list[burst - 1]->time > sim.plan.slow_ms * SIM_MS)
            return true;
    }
    return false;
}

static bool has_no_room(const struct sim_node *n)
{
    for (unsigned l = 0; l < sim.plan.lanes; l++)
        if (n->lane[l].turn.no_room)
            return true;
    return false;
}

/* Its tasks get the processor. */
static bool has_run(const struct sim_node *n)
{
    uint64_t now = sim_clock(n); /* a task may have been told a later time in this tick */

    if (now > n->replicator->now + SLEPT)
        return false;
    for (unsigned l = 0; l < sim.plan.lanes; l++)
        if (now > atomic_load(&n->shared[l].count.turn_ns) + n->lane[l].turn.slept + RUNS)
            return false;
    return true;
}

static void watch(struct sim_node *n)
{
    struct watched *w = &watched[n->index];
    const struct ft_core *core = n->alive ? sim_core(n) : NULL;
    bool runs = core && sim_runs(n), beside = core && ft_core_primary(core) && core->guarded &&
                                              !core->cut_off && !core->resync && !core->hand &&
                                              core->peer.known && !core->arbiter.asking;
    bool waits = beside && (is_late(n) || has_no_room(n));
    uint64_t passed = sim.now - w->seen;

    w->seen = sim.now;
    w->waits -= w->waits * (passed < WINDOW ? passed : WINDOW) / WINDOW / 4;
    if (!beside) {
        w->began = 0;
        return;
    }
    if (runs && waits)
        w->waits += passed;
    if (!w->began || sim.now - w->began >= LONG) {
        *w = (struct watched){.began = sim.now, .seen = sim.now, .waits = w->waits};
        return;
    }
    if (!runs || !has_run(n))
        w->missed += passed;
    else if (waits)
        w->waited += passed;
    if (w->waited > MOST && w->missed < MAY_MISS && !sim.plan.strict)
        sim_fail("slow: %s waited %.3f of %.3f ms for its standby, and keeps it", n->name,
                 (double)w->waited / 1e6, (double)(sim.now - w->began) / 1e6);
}

void sim_stutter_saw(const struct sim_node *n, const char *why)
{
    if (!sim.plan.slow_ms || !strstr(why, "abandoning the connection: slow"))
        return;
    sim.count.slow++;
    if (watched[n->index].waits < LEAST)
        sim_fail("slow: %s gives up its standby, and waited for %.3f ms of late", n->name,
                 (double)watched[n->index].waits / 1e6);
}

void sim_stutter_tick(void)
{
    if (!sim.plan.slow_ms)
        return;
    if (!sim.faults_over)
        make_slow();
    for (unsigned i = 0; i < 2; i++)
        watch(&sim.node[i]);
}
