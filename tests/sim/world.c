/* SPDX-License-Identifier: Apache-2.0 */
/* The course of a seed: tick after tick, who runs next; and where a node is caught. */
#include "tests/sim/liar.h"
#include "ftcore/base/draw.h"

#include "ftcore/base/check.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define MEMORY      (4ull << 30) /* of address space */
#define ROUNDS_MAX  64u
#define SETTLED_FOR (10 * SIM_MS)

struct sim_world sim;

/* ---- chance and memory ------------------------------------------------------------------------------ */

uint64_t sim_draw(struct sim_random *r, uint64_t below)
{
    return ft_draw(&r->at) % (below ? below : 1);
}

bool sim_chance(struct sim_random *r, unsigned per_mille)
{
    return sim_draw(r, 1000) < per_mille;
}

static uint8_t *memory;
static size_t used;

void *sim_alloc(size_t size)
{
    void *p;

    size = (size + 63) & ~(size_t)63;
    if (!memory)
        memory =
            mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    FT_CHECK(memory != MAP_FAILED && used + size <= MEMORY, "a seed needs more than %llu bytes", MEMORY);
    p = memory + used;
    used += size;
    return p;
}

/* ---- beginning and end ----------------------------------------------------------------------------------
 */

void sim_begin(uint64_t seed, const struct sim_plan *plan)
{
    static const char *const names[SIM_NODES] = {"a", "b", "c", "d"};
    uint8_t *parked[SIM_NODES];

    for (unsigned i = 0; i < SIM_NODES; i++)
        parked[i] = sim.node[i].window.parked;
    memset(&sim, 0, sizeof(sim));
    used = 0;
    sim.seed = seed;
    sim.plan = *plan;
    sim.nodes = plan->members ? SIM_NODES : 2;
    sim.members.at = seed * 37 ^ 0x4321432143214321ull;
    sim.chance.at = seed ^ 0x1111111111111111ull;
    sim.order.at = seed * 3 ^ 0x2222222222222222ull;
    sim.net.at = seed * 5 ^ 0x4444444444444444ull;
    sim.hosts.at = seed * 7 ^ 0x8888888888888888ull;
    sim.lies.at = seed * 11 ^ 0x3333333333333333ull;
    sim.trouble.at = seed * 13 ^ 0x5555555555555555ull;
    sim.width.at = seed * 17 ^ 0x6666666666666666ull;
    sim.chain.at = seed * 19 ^ 0x7777777777777777ull;
    sim.disk.at = seed * 23 ^ 0x9999999999999999ull;
    sim.crash.at = seed * 31 ^ 0x1234123412341234ull;
    sim.asks.at = seed * 29 ^ 0x5555555555555555ull;
    sim.ways.at = seed * 41 ^ 0x2468246824682468ull;
    sim.keeper.at = seed * 43 ^ 0x1357135713571357ull;
    sim.cable.at = seed * 47 ^ 0x3141592653589793ull;
    sim_ways_begin();
    sim_cable_begin();
    sim.slow.at = seed * 53 ^ 0x2718281828459045ull;
    sim_stutter_begin();
    sim_arbiter_begin();
    sim.owner = SIM_NOBODY;
    sim.left_last = &sim.left;
    sim_configure();
    sim_window_begin();
    sim_net_begin();
    sim_lies_begin();
    sim_limits_begin();
    sim_stray_begin();
    sim_ports_begin();
    sim_crash_begin();
    sim_keeper_begin();
    for (unsigned i = 0; i < SIM_NODES; i++) {
        struct sim_node *n = &sim.node[i];

        n->index = i;
        n->name = names[i];
        n->aim = i < 2 ? !i : SIM_NOBODY;
        n->window.parked = parked[i];
    }
    for (unsigned i = 0; i < sim.nodes; i++) {
        struct sim_node *n = &sim.node[i];

        n->drift_ppm = (int64_t)sim_draw(&sim.chance, 1000) - 500;
        if (i == 0 || !plan->alone)
            sim_node_start(n);
        else
            n->restart_at = SIM_NEVER;
    }
    sim.fault_at = sim_draw(&sim.chance, 15 * sim.config->timing.detect_ms * SIM_MS);
    sim_tell(SIM_NOBODY, "seed %lu: chain %s, %s, %s, %u lane%s, %s, %s, detect_ms %u", seed,
             sim_chain_name[plan->chain], nd_modes[plan->mode], nd_standbys[plan->standby], plan->lanes,
             plan->lanes == 1 ? "" : "s", plan->strict ? "strict" : "not strict",
             plan->wild == SIM_HEALS ? "partitions heal in time" : "partitions last",
             sim.config->timing.detect_ms);
}

void sim_end(void)
{
    for (unsigned i = 0; i < sim.nodes; i++)
        sim_node_free(&sim.node[i]);
}

/* ---- tasks ------------------------------------------------------------------------------------------------
 */

void sim_sleep(uint64_t ns, bool polls)
{
    struct sim_task *t = sim_running;

    if (sim_chance(&sim.order, sim.plan.lazy))
        ns += sim_draw(&sim.order, SIM_MS);
    t->wake = sim.now + ns;
    t->polls = polls;
    sim_task_leave();
}

void sim_let_others(void)
{
    if (!sim_running)
        return;
    sim_running->again = true;
    sim_running->wake = sim.now;
    sim_task_leave();
}

bool sim_runs(const struct sim_node *n)
{
    return n->alive && sim.now >= n->paused_until;
}

/* ---- catching ---------------------------------------------------------------------------------------------
 */

static bool dies;       /* the node of the task that left last is to die */
static bool with_power; /* and its machine with it */

void sim_die(void)
{
    dies = true;
    with_power = false;
    sim_task_leave();
}

/* A task is preempted. While a lane stands in the midst of a burst, others may come to depend on it, send
 * that, and see it acknowledged; then the node dies. */
static void preempt_task(const struct sim_node *n, enum sim_step step)
{
    uint64_t ns = sim_draw(&sim.order, sim_chance(&sim.order, 800) ? SIM_MS : 5 * SIM_MS);

    if (step == SIM_BEFORE_LOG && sim.plan.lanes > 1 && !sim.script && !sim.faults_over &&
        !sim.caught.armed && n->state == FT_PROTECTED && sim_chance(&sim.trouble, 200)) {
        ns += SIM_MS;
        sim.caught = (struct sim_catch){.armed = true,
                                        .node = n->index,
                                        .step = SIM_STEPS,
                                        .from = sim.now + sim_draw(&sim.trouble, ns),
                                        .until = SIM_NEVER};
    }
    sim_sleep(ns, false);
}

void sim_step(enum sim_step step)
{
    struct sim_catch *c = &sim.caught;
    struct sim_node *n = sim_current();

    sim.count.steps[step]++;
    if (!n)
        return;
    if (step == SIM_AT_REST && n->state < FT_READY && sim_draw(&sim.order, 1000) < sim.plan.preempted / 60)
        sim_sleep(sim_draw(&sim.order, 12 * SIM_MS), false);
    if (sim.plan.preempted && sim_draw(&sim.order, 100000) < sim.plan.preempted)
        preempt_task(n, step);
    if (!c->armed || n->index != c->node || sim.now < c->from)
        return;
    if (sim.now < c->until && ((c->step != SIM_STEPS && c->step != step) || c->skip-- > 0))
        return;
    c->armed = false;
    sim.count.caught[step]++;
    if (c->task) {
        sim_tell(n->index, "a thread of it is preempted for %.3f ms, %s", (double)c->sleep / 1e6,
                 sim_step_text[step]);
        sim_sleep(c->sleep, false);
        return;
    }
    if (c->sleep) {
        sim_tell(n->index, "sleeps for %.3f ms, %s", (double)c->sleep / 1e6, sim_step_text[step]);
        sim_pause(n, c->sleep);
        n->deciding = step == SIM_BEFORE_VIEW;
        /* The longer it sleeps, the more it has missed: the connection, too. */
        if (!sim.script && sim_chance(&sim.trouble, 300))
            sim.break_at = sim.now + sim_draw(&sim.trouble, c->sleep / 4);
        /* What it finds when it wakes: the other one may have lived on alone for a while, and died. */
        if (!sim.script && sim_chance(&sim.chance, 300))
            *c = (struct sim_catch){.armed = true,
                                    .node = sim_peer(n) ? sim_peer(n)->index : n->index,
                                    .step = SIM_STEPS,
                                    .skip = (unsigned)sim_draw(&sim.chance, 30),
                                    .from = sim.now + c->sleep / 2 + sim_draw(&sim.chance, c->sleep / 2),
                                    .until = SIM_NEVER};
        sim_let_others();
        return;
    }
    dies = true;
    with_power = c->machine;
    sim_tell(n->index, "%s %s", c->machine ? "loses power" : "is killed", sim_step_text[step]);
    sim_task_leave();
}

static void bury_node(struct sim_node *n)
{
    bool machine = with_power;
    uint64_t back = sim_draw(&sim.chance, sim_chance(&sim.chance, 500) ? 4 * SIM_MS : 200 * SIM_MS);

    dies = false;
    sim_node_kill(n, machine);
    if (sim.script) {
        sim_script_buried(n);
        return;
    }
    n->restart_at = sim.now + back + (machine ? 10 * SIM_MS : 0);
    /* The guardian speaks at once, late, twice, or not at all; of what an NF died of, in the end at once. */
    if (machine)
        return;
    if (sim.faults_over && n->last.signal) {
        sim_crash_tell(n, sim.now);
        if (sim_peer(n))
            sim_net_death_notice(n->index, sim_peer(n)->index, &n->datagram_key, sim.now);
        return;
    }
    for (unsigned k = (unsigned)sim_draw(&sim.chance, 3); k > 0; k--) {
        uint64_t at =
            sim.now + sim_draw(&sim.chance, sim_chance(&sim.chance, 800) ? SIM_MS / 2 : 20 * SIM_MS);

        sim_crash_tell(n, at);
        if (sim_peer(n))
            sim_net_death_notice(n->index, sim_peer(n)->index, &n->datagram_key, at);
    }
    if (sim_chance(&sim.chance, 150)) { /* and soon the other one, too */
        sim.caught = (struct sim_catch){.armed = true,
                                        .node = sim_peer(n) ? sim_peer(n)->index : n->index,
                                        .step = SIM_STEPS,
                                        .until = sim.now};
        sim.caught.skip = (unsigned)sim_draw(&sim.chance, 200);
    }
}

/* ---- ticks
 * ------------------------------------------------------------------------------------------------- */

/* Lanes sleep until something can be read where a keeper feeds them, the replicator where the link is. */
static bool task_is_due(const struct sim_node *n, const struct sim_task *t, bool ready)
{
    if (t->polls && t->number < SIM_LANES)
        ready = sim_datagram_there(n->index);
    return t->stack && !t->ended && (t->wake <= sim.now || (t->polls && ready));
}

static void turn(struct sim_node *n)
{
    unsigned rounds = 2 + (unsigned)sim_draw(&sim.order, ROUNDS_MAX), lanes = sim.plan.lanes;
    bool ready = sim_net_ready(n->index), any = true;

    if (task_is_due(n, &n->task[SIM_WRITER], false)) {
        sim_task_run(&n->task[SIM_WRITER]);
        if (dies)
            bury_node(n);
        if (!sim_runs(n) || sim.failed[0])
            return;
    }
    for (unsigned r = 0; r < rounds && any; r++) {
        unsigned first = (unsigned)sim_draw(&sim.order, lanes + 1);

        any = false;
        for (unsigned k = 0; k <= lanes; k++) {
            unsigned which = first + k <= lanes ? first + k : first + k - lanes - 1;
            struct sim_task *t = &n->task[which == lanes ? SIM_REPLICATOR : which];

            if (r == 0 ? !task_is_due(n, t, ready) : !t->again)
                continue;
            if (which < lanes)
                sim_show(&n->window);
            sim_task_run(t);
            any |= t->again;
            if (dies)
                bury_node(n);
            if (!sim_runs(n) || sim.failed[0])
                return;
        }
    }
}

bool sim_tick(void)
{
    unsigned first = (unsigned)sim_draw(&sim.order, sim.nodes);

    sim.now += sim.plan.tick / 2 + sim_draw(&sim.order, sim.plan.tick);
    sim_faults_tick();
    sim_ports_tick();
    if (sim.plan.keeper && sim_draw(&sim.keeper, 2))
        sim_keeper_tick();
    for (unsigned k = 0; k < sim.nodes; k++)
        if (sim_runs(&sim.node[k ^ first]))
            turn(&sim.node[k ^ first]);
    if (sim.plan.keeper)
        sim_keeper_tick();
    sim_watch();
    sim_stutter_tick();
    return !sim.failed[0];
}

struct sim_node *sim_peer(const struct sim_node *n)
{
    return n->aim < SIM_NODES ? &sim.node[n->aim] : NULL;
}

struct sim_node *sim_protected(void)
{
    for (unsigned i = 0; i < sim.nodes; i++)
        if (sim_runs(&sim.node[i]) && sim.node[i].state == FT_PROTECTED)
            return &sim.node[i];
    return NULL;
}

bool sim_settled(void)
{
    const struct sim_node *p = sim_protected(), *s = p ? sim_peer(p) : NULL;

    return s && sim_runs(s) && s->state == FT_READY && sim_core(p)->view == sim_core(s)->view;
}

/* A warm standby stands where its last checkpoint left it; a digest that is asked for goes with another one.
 * Not so often that the bursts which lanes close for one ask come before the checkpoint of the last.
 */
static void ask_checkpoint(const struct sim_node *primary)
{
    if (!sim.config->protect.stores || sim.now < sim.asked + 60 * SIM_MS)
        return;
    sim.asked = sim.now;
    for (unsigned l = 0; l < sim.plan.lanes; l++)
        atomic_fetch_add((_Atomic uint64_t *)(uintptr_t)&primary->shared[l].orders.digest, 1);
}

bool sim_rests(void)
{
    const struct sim_node *p = sim_protected(), *s = p ? sim_peer(p) : NULL;

    if (!sim_settled())
        return false;
    if (sim_ports_waiting(p) || !sim_keeper_rests())
        return false;
    for (unsigned l = 0; l < sim.plan.lanes; l++)
        if (atomic_load(&p->shared[l].report.executed) != atomic_load(&s->shared[l].report.executed)) {
            ask_checkpoint(p);
            return false;
        }
    for (unsigned l = 0; l < sim.plan.lanes; l++)
        if (!p->resting[l] || !s->resting[l] || ft_hold_count(&p->lane[l].hold) ||
            atomic_load(&p->shared[l].report.executed) != atomic_load(&s->shared[l].report.executed) ||
            atomic_load(&p->shared[l].report.executed) != p->history->lane[l].count)
            return false;
    return true;
}

/* A node without protection serves again soon after it was started again. */
static bool run_alone(uint64_t limit)
{
    while (!sim.failed[0] && sim.now < limit && sim.node[0].state != FT_SOLO)
        sim_tick();
    if (!sim.failed[0] && sim.node[0].state != FT_SOLO)
        sim_fail("liveness: alone, and not SOLO");
    sim_mix(sim.now);
    return !sim.failed[0];
}

/* A pair that compares its states has bursts for that, and never rests. */
static void end_verification(void)
{
    for (unsigned i = 0; i < sim.nodes; i++) {
        for (unsigned l = 0; l < sim.plan.lanes; l++) {
            struct nd_lane *lane = &sim.node[i].lane[l];

            lane->setup.round_ns = 0;
            lane->verification.at = lane->verification.quiesced_at = FT_ALL;
        }
    }
    sim.plan.round_ns = 0; /* of a process that is started yet */
}

bool sim_run(void)
{
    uint64_t since = SIM_NEVER, limit;

    while (sim.now < sim.plan.faults_end && sim_tick())
        ;
    sim_faults_end();
    if (sim.plan.alone)
        return run_alone(sim.now + 100 * SIM_MS);
    limit = sim.now + (sim.plan.fast ? 1500 : 2500) * SIM_MS;
    while (!sim.failed[0] && sim.now < limit && (since == SIM_NEVER || sim.now - since < SETTLED_FOR)) {
        sim_tick();
        if (!sim_settled())
            since = SIM_NEVER;
        else if (since == SIM_NEVER)
            since = sim.now;
    }
    if (!sim.failed[0] && !sim_settled() && sim.disk_lost) {
        sim_tell(SIM_NOBODY, "a person has to decide who has the state");
        return true;
    }
    if (!sim.failed[0] && !sim_settled())
        sim_fail("liveness: not PROTECTED %llu ms after the last fault",
                 (sim.now - sim.plan.faults_end) / SIM_MS);
    sim.plan.quiet_at = sim.now;
    end_verification();
    if (sim.plan.liar) /* who believed a liar may have released anything */
        return !sim.failed[0];
    limit = sim.now + 1500 * SIM_MS; /* flows of hosts that have gone time out for a second yet */
    while (!sim.failed[0] && sim.now < limit && !sim_rests())
        sim_tick();
    if (!sim.failed[0])
        sim_judge();
    if (!sim.failed[0])
        sim_crash_judge();
    sim_mix(sim.now);
    return !sim.failed[0];
}
