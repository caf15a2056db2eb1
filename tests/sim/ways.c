/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two ways between the nodes: what goes wrong with one of them, or with both. Cut in both directions or in
 * one, a connection that breaks, a tenth of the segments that come late, as after a loss, and large segments
 * that never come.
 *
 * In a steady seed nothing else goes wrong, and never with both: the next fault waits until both ways stand
 * again, and the other way's delays stay below a heartbeat. Then the pair must stay PROTECTED all the time,
 * and nobody may be resynced.
 */
#include "tests/sim/sim.h"

#include "replicator/parts.h"

#include <string.h>

#define LARGE 1400u          /* bytes of a segment that a hole swallows */
#define LATE  (60u * SIM_MS) /* a segment that is lost comes again, at the latest */

enum trouble { CUT, CUT_TO_ONE, BREAK, LOSES, HOLE, TROUBLES };

static struct {
    bool settled;
    uint64_t resyncs, next, since; /* since: both ways were last seen to stand, or trouble ended */
} course;

void sim_ways_begin(void)
{
    memset(sim.way, 0, sizeof(sim.way));
    memset(&course, 0, sizeof(course));
}

uint64_t sim_way_delay(unsigned way, size_t bytes)
{
    uint64_t most = sim.plan.wild == SIM_HEALS ? sim.config->timing.detect_ms * SIM_MS / 4 : LATE * 2 / 3;

    if (bytes > LARGE && sim.now < sim.way[way].holed)
        return 3600000 * SIM_MS;
    if (sim.now < sim.way[way].lossy && sim_chance(&sim.ways, 100))
        return most / 2 + sim_draw(&sim.ways, most);
    return 0;
}

bool sim_way_stands(unsigned way)
{
    bool both = true;

    for (unsigned i = 0; i < 2 && both; i++) {
        const struct rp_way_stats *w;

        if ((both = sim_runs(&sim.node[i]))) {
            w = &rp_link_stats(sim.node[i].replicator->link)->ways.way[way];
            both = w->stands && !w->silent;
        }
    }
    return both;
}

void sim_way_cut(unsigned way, unsigned towards, uint64_t until)
{
    for (unsigned i = 0; i < sim.nodes; i++)
        if (towards >> i & 1)
            sim.way[way].blocked[i] = until;
    sim_tell(SIM_NOBODY, "nothing reaches %s by way %u until %.3f ms", sim_names(towards), way,
             (double)until / 1e6);
}

static void make_trouble(unsigned way, enum trouble what, uint64_t until)
{
    switch (what) {
    case CUT:
        sim_way_cut(way, (1u << sim.nodes) - 1, until);
        break;
    case CUT_TO_ONE:
        sim_way_cut(way, 1u << sim_draw(&sim.ways, sim.nodes), until);
        break;
    case BREAK:
        sim_tell(SIM_NOBODY, "way %u breaks", way);
        sim_net_break_way(way);
        break;
    case LOSES:
        sim.way[way].lossy = until;
        sim_tell(SIM_NOBODY, "way %u loses a tenth until %.3f ms", way, (double)until / 1e6);
        break;
    default:
        sim.way[way].holed = until;
        sim_tell(SIM_NOBODY, "way %u loses large segments until %.3f ms", way, (double)until / 1e6);
    }
}

/* Both ways stood all the time, but for one of them. */
static bool is_steady(void)
{
    const struct sim_node *p = sim_protected();

    if (p && sim_settled() && sim.count.resyncs == course.resyncs)
        return true;
    sim_fail("ways: one always stood, and the pair did not stay PROTECTED: %s is %s, %s %s, %lu resyncs",
             sim.node[0].name, ft_state_name(sim.node[0].state), sim.node[1].name,
             ft_state_name(sim.node[1].state), sim.count.resyncs - course.resyncs);
    return false;
}

static void go_on_steadily(void)
{
    enum trouble what = (enum trouble)sim_draw(&sim.ways, TROUBLES);
    uint64_t until = sim.now + SIM_MS + sim_draw(&sim.ways, 60 * SIM_MS);
    bool stand = sim_way_stands(0) && sim_way_stands(1);

    if (!course.settled) {
        course.settled = sim_settled() && stand;
        course.resyncs = sim.count.resyncs;
        course.since = course.next = sim.now;
        return;
    }
    if (!is_steady() || sim.now < course.next)
        return;
    if (!stand && sim.now > course.since + 400 * SIM_MS)
        sim_fail("ways: one has not come back for 400 ms");
    if (!stand)
        return;
    make_trouble((unsigned)sim_draw(&sim.ways, 2), what, until);
    until += what == LOSES ? LATE : 5 * SIM_MS; /* until then it may still be felt */
    course.since = until;
    course.next = until + sim_draw(&sim.ways, sim_chance(&sim.ways, 500) ? SIM_MS : 40 * SIM_MS);
}

void sim_ways_tick(void)
{
    uint64_t detect = sim.config->timing.detect_ms * SIM_MS;
    bool heals = sim.plan.wild == SIM_HEALS;
    uint64_t until = sim.now + SIM_MS / 2 + sim_draw(&sim.ways, heals ? detect / 2 : 10 * detect);

    if (sim.plan.steady) {
        go_on_steadily();
        return;
    }
    if (sim.now < course.next)
        return;
    course.next = sim.now + sim_draw(&sim.ways, 8 * detect);
    sim.long_partition |= until > sim.now + detect * 3 / 4;
    make_trouble((unsigned)sim_draw(&sim.ways, 2), (enum trouble)sim_draw(&sim.ways, heals ? HOLE : TROUBLES),
                 until);
    if (sim_chance(&sim.ways, 300)) /* and the other one */
        course.next = sim.now + sim_draw(&sim.ways, 2 * SIM_MS);
}
