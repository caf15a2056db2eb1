/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What goes wrong. Faults come alone or in flocks: the second one often hits the handling of the first. A
 * node is caught at a step that the seed names, or where it happens to be.
 */
#include "tests/sim/sim.h"

#include <stdio.h>
#include <string.h>

static uint64_t ms(uint64_t n)
{
    return n * SIM_MS;
}

/* ---- kinds ---------------------------------------------------------------------------------------- */

void sim_partition(unsigned links, unsigned ports, uint64_t until)
{
    for (unsigned i = 0; i < sim.nodes; i++) {
        if ((links >> i & 1) && until > sim.link_blocked[i])
            sim.link_blocked[i] = until;
        if ((ports >> i & 1) && until > sim.port_blocked[i])
            sim.port_blocked[i] = until;
    }
    if (until > sim.now + ms(sim.config->timing.detect_ms) * 3 / 4)
        sim.long_partition = true;
    char over[64] = "";

    if (ports)
        snprintf(over, sizeof(over), ", nor %s over the ports", sim_names(ports));
    sim_tell(SIM_NOBODY, "nothing reaches %s over the link%s until %.3f ms", sim_names(links), over,
             (double)until / 1e6);
}

void sim_pause(struct sim_node *n, uint64_t ns)
{
    if (sim.now > n->paused_until)
        n->paused_at = sim.now;
    if (n->paused_until < sim.now + ns)
        n->paused_until = sim.now + ns;
    if (ns > ms(sim.config->timing.detect_ms) / 2)
        n->overslept = n->paused_until;
}

static void silence_paths(void)
{
    uint64_t detect = ms(sim.config->timing.detect_ms),
             most = sim.plan.wild == SIM_HEALS ? detect * 6 / 10 : 10 * detect;
    unsigned all = 1u << sim.nodes, links = 1 + (unsigned)sim_draw(&sim.chance, all - 1),
             ports = (unsigned)sim_draw(&sim.chance, all);

    sim_partition(links, ports, sim.now + SIM_MS / 2 + sim_draw(&sim.chance, most));
}

/* To a primary that slept while it was replaced, a successor that sleeps in turn is a long partition. */
static bool may_sleep(unsigned node)
{
    const struct sim_node *other = sim_peer(&sim.node[node]);
    uint64_t near = 2 * ms(sim.config->timing.solo_after_ms);

    if (!other || !other->paused_until || sim.now > other->paused_until + near)
        return true;
    if (sim.plan.wild == SIM_HEALS)
        return false;
    sim.long_partition = true;
    return true;
}

static void catch_one(bool dies)
{
    struct sim_catch *c = &sim.caught;

    if (c->armed)
        return;
    c->node = (unsigned)sim_draw(&sim.chance, sim.nodes);
    if (!dies && !may_sleep(c->node))
        return;
    c->armed = true;
    c->step = (enum sim_step)sim_draw(&sim.chance, SIM_STEPS + SIM_STEPS / 4);
    c->step = c->step > SIM_STEPS ? SIM_STEPS : c->step;
    c->skip = sim_chance(&sim.chance, 500) ? 0 : (unsigned)sim_draw(&sim.chance, 12);
    c->until = sim.now + SIM_MS + sim_draw(&sim.chance, 30 * SIM_MS);
    c->sleep = dies ? 0
                    : SIM_MS / 4 + sim_draw(&sim.chance, ms(sim.config->timing.detect_ms) *
                                                             (sim_chance(&sim.chance, 300) ? 15 : 5));
    c->machine = dies && sim_chance(&sim.chance, 300);
}

static void tell_node(void)
{
    static const char *const text[] = {"", "promote", "hand over", "resync"};
    static const enum sim_step steps[] = {SIM_STEER,      SIM_STEERED, SIM_HANDOVER, SIM_BEFORE_VIEW,
                                          SIM_AFTER_VIEW, SIM_TAIL,    SIM_AT_REST,  SIM_AFTER_RELEASE};
    struct sim_node *n = &sim.node[sim_draw(&sim.chance, sim.nodes)];
    unsigned what = 1 + (unsigned)sim_draw(&sim.chance, 3);

    /* A person who makes a node reign that is empty, or has handed over, knows what we cannot know. */
    if (!sim_runs(n) ||
        (what == FT_REQUEST_PROMOTE && (sim.plan.arbitrated || (n->state != FT_READY && !sim.plan.liar))))
        return;
    sim_tell(n->index, "is told to %s", text[what]);
    sim.count.handovers += what != FT_REQUEST_RESYNC;
    rp_request(n->replicator, (enum ft_request)what);
    if (what == FT_REQUEST_RESYNC || sim.caught.armed || !sim_chance(&sim.chance, 400))
        return;
    sim.caught = (struct sim_catch){.armed = true,
                                    .node = (unsigned)sim_draw(&sim.chance, sim.nodes),
                                    .step = steps[sim_draw(&sim.chance, sizeof(steps) / sizeof(steps[0]))],
                                    .until = sim.now + 30 * SIM_MS};
    if (sim_chance(&sim.chance, 300) && may_sleep(sim.caught.node))
        sim.caught.sleep = SIM_MS + sim_draw(&sim.chance, ms(3 * sim.config->timing.detect_ms));
}

static void ask_lane(void)
{
    static const char *const wishes[][3] = {
        {"clear forward", "clear forward", "clear forward"},
        {"clear nat", "set nat udp=2", "clear monitor"},
        {"clear nat", "clear load_balancer", "clear firewall"},
        {"clear rate_limiter", "set rate_limiter pps=700", "clear load_balancer"},
        {"clear nat", "clear vlan_qos", "set policer fast.rate=500"},
    };
    struct sim_node *n = &sim.node[sim_draw(&sim.chance, sim.nodes)];
    const char *text = wishes[sim.plan.chain][sim_draw(&sim.chance, 3)];

    if (!sim_runs(n) || atomic_load(&n->question.asked) != ND_ASK_NONE)
        return;
    n->question.lane = (unsigned)sim_draw(&sim.chance, sim.plan.lanes);
    n->question.cursor = 0;
    if (sim_chance(&sim.chance, 300)) {
        strncpy(n->question.text, strchr(text, ' ') + 1, sizeof(n->question.text) - 1);
        n->question.text[strcspn(n->question.text, " ")] = '\0';
        atomic_store(&n->question.asked, ND_ASK_SHOW);
        return;
    }
    sim_tell(n->index, "lane %u is asked to %s", n->question.lane, text);
    strncpy(n->question.text, text, sizeof(n->question.text) - 1);
    atomic_store(&n->question.asked, ND_ASK_COMMAND);
}

static void ask_digest(void)
{
    for (unsigned i = 0; i < sim.nodes; i++)
        for (unsigned l = 0; sim.node[i].alive && l < sim.plan.lanes; l++)
            atomic_fetch_add(&sim.node[i].shared[l].orders.digest, 1);
}

static void clock_fault(struct sim_node *n)
{
    uint64_t jump = sim_chance(&sim.chance, 300) ? ms(1000) + sim_draw(&sim.chance, ms(5000))
                                                 : sim_draw(&sim.chance, ms(sim.config->timing.lease_ms) / 4);

    if (!n->alive || (jump > ms(100) && !may_sleep(n->index)))
        return;
    n->clock_base = sim_clock(n) + jump;
    n->clock_at = sim.now;
    n->drift_ppm = (int64_t)sim_draw(&sim.chance, 10000) - 5000;
    if (jump > ms(100))
        n->overslept = sim.now;
    sim_tell(n->index, "its clock jumps by %.3f ms and drifts by %ld ppm", (double)jump / 1e6,
             (long)n->drift_ppm);
}

/* What is tight in a narrow seed gets tighter: the peer takes nothing for longer than anybody's rights last.
 */
static void tighten(void)
{
    uint64_t detect = ms(sim.config->timing.detect_ms);

    if (sim_narrow(1))
        sim_intrude_oddly(&sim.node[0]);
    if (sim.plan.wild != SIM_HEALS && sim_chance(&sim.width, 1) && sim_chance(&sim.width, 300))
        sim_partition(1 + (unsigned)sim_draw(&sim.width, (1u << sim.nodes) - 1),
                      (unsigned)sim_draw(&sim.width, 1u << sim.nodes),
                      sim.now + detect + sim_draw(&sim.width, 40 * detect));
}

static void cause_one(void)
{
    struct sim_node *n = &sim.node[sim_draw(&sim.chance, sim.nodes)];
    uint64_t detect = ms(sim.config->timing.detect_ms);

    if (sim_arbiter_upset())
        return;
    switch (sim_draw(&sim.chance, 19)) {
    case 0:
    case 1:
    case 2:
    case 3:
        catch_one(true);
        break;
    case 4:
    case 5:
        catch_one(false);
        break;
    case 6:
    case 7:
        silence_paths();
        break;
    case 8:
        if (sim.plan.sealed && sim_draw(&sim.net, 3)) {
            sim_net_inject();
            break;
        }
        sim_tell(SIM_NOBODY, "the connection breaks");
        sim_net_break();
        break;
    case 9:
        sim.flips += !sim.plan.narrow; /* a length that is another needs all of the program's room */
        break;
    case 10:
        /* A lane that is held up reads no heartbeats either: with a broken link, a partition. */
        n->stalled_until =
            sim.now + sim_draw(&sim.chance, sim.plan.wild == SIM_HEALS ? detect / 2 : 4 * detect);
        sim.long_partition |= n->stalled_until > sim.now + detect / 2;
        sim_tell(n->index, "its replay is slow until %.3f ms", (double)n->stalled_until / 1e6);
        break;
    case 11:
        clock_fault(n);
        break;
    case 12:
        sim.slow_until = sim.now + sim_draw(&sim.chance, 4 * detect);
        break;
    case 13:
        ask_lane();
        break;
    case 14:
        ask_digest();
        break;
    case 15:
        if (sim.plan.sealed)
            sim_net_inject();
        sim_intrude(&sim.node[0]);
        break;
    default:
        tell_node();
    }
}

/*
 * A chain of accidents that hardly comes by itself: the standby sleeps in the midst of a turn, the connection
 * breaks, the primary goes on alone, and dies before the standby wakes.
 */
static void accidents(void)
{
    uint64_t alone = ms(sim.config->timing.solo_after_ms);
    const struct sim_node *p = sim_protected(), *s = p ? sim_peer(p) : NULL;

    if (sim.plan.wild == SIM_HEALS || sim.caught.armed || sim.kill_at || sim.plan.liar || !s ||
        s->state != FT_READY || !may_sleep(s->index))
        return;
    sim.caught = (struct sim_catch){.armed = true,
                                    .node = s->index,
                                    .step = SIM_AFTER_STORE,
                                    .sleep = 2 * alone,
                                    .until = sim.now + 12 * SIM_MS};
    sim.break_at = sim.now + 12 * SIM_MS + sim_draw(&sim.chain, 4 * SIM_MS);
    sim.kill_at = sim.now + 15 * SIM_MS + alone + sim_draw(&sim.chain, alone / 2);
}

static void the_lonely_one_dies(void)
{
    sim.kill_at = 0;
    for (unsigned i = 0; i < sim.nodes; i++)
        if (sim_runs(&sim.node[i]) && sim.node[i].state == FT_SOLO && sim_peer(&sim.node[i]) &&
            sim_peer(&sim.node[i])->paused_until > sim.now) {
            sim_tell(i, "is killed, alone");
            sim_node_kill(&sim.node[i], false);
            sim.node[i].restart_at = sim.now + sim_draw(&sim.chain, 200 * SIM_MS);
            return;
        }
}

/* ---- in time --------------------------------------------------------------------------------------- */

/* The short moments in which rights change hands. */
static bool delicate(void)
{
    for (unsigned i = 0; i < sim.nodes; i++) {
        const struct sim_node *n = &sim.node[i];

        if (n->alive &&
            (sim_core(n)->resync >= FT_RESYNC_SWITCH || sim_core(n)->hand || sim_core(n)->abandoning))
            return true;
    }
    return false;
}

/* What a program's main thread does beside: asks for drills, looks for those asked of it, and for verdicts.
 */
static void look_in(const struct sim_node *n)
{
    struct rp_status status;
    char kind[32];

    if (sim_troubled(2))
        rp_drill(n->replicator, "hang");
    rp_drilled(n->replicator, kind, sizeof(kind));
    rp_status(n->replicator, &status);
}

static bool anybody_misfits(unsigned but)
{
    bool any = false;

    for (unsigned i = 0; i < sim.nodes; i++)
        any |= i != but && sim.node[i].misfit;
    return any;
}

/*
 * Strict, and this primary's standby may have taken over: a person who looks at all nodes knows whether it
 * did, and whether it still can.
 */
static bool is_lost(const struct sim_node *p)
{
    const struct sim_node *standby = sim_peer(p);

    return sim.plan.strict && standby && sim.reigns_node == p->index &&
           (!standby->alive || (standby->state == FT_JOINING && !sim_core(standby)->kept));
}

static void take(struct sim_node *p, unsigned with)
{
    struct rp_repair repair = {.node.port = 7000};

    snprintf(repair.node.name, sizeof(repair.node.name), "%s", sim.node[with].name);
    snprintf(repair.node.host, sizeof(repair.node.host), "10.9.0.%u", with + 1);
    if (sim.plan.ways) {
        snprintf(repair.node.second_host, sizeof(repair.node.second_host), "10.9.1.%u", with + 1);
        repair.node.second_port = 7000;
    }
    if (is_lost(p))
        snprintf(repair.lost, sizeof(repair.lost), "%s", sim_peer(p)->name);
    sim_tell(p->index, "is told to take %s for its standby%s%s", repair.node.name,
             repair.lost[0] ? ", and has lost " : "", repair.lost);
    rp_repair(p->replicator, &repair);
}

/* A person takes another node for the standby of who serves, now and then one that is dead. */
static void repair(void)
{
    struct sim_node *p = &sim.node[sim_draw(&sim.members, sim.nodes)];
    unsigned with = (unsigned)sim_draw(&sim.members, sim.nodes);

    if (!sim_runs(p) || !ft_core_primary(sim_core(p)) || with == p->index)
        return;
    take(p, with);
    if (sim.caught.armed || !sim_chance(&sim.members, 500))
        return;
    sim.caught = (struct sim_catch){
        .armed = true,
        .node = sim_chance(&sim.members, 500) ? p->index : (unsigned)sim_draw(&sim.members, sim.nodes),
        .step = SIM_STEPS,
        .skip = (unsigned)sim_draw(&sim.members, 200),
        .machine = sim_chance(&sim.members, 300),
        .until = sim.now + 30 * SIM_MS};
    if (sim_chance(&sim.members, 400))
        sim.caught.sleep = SIM_MS + sim_draw(&sim.members, ms(20 * sim.config->timing.detect_ms));
}

/*
 * Strict, and all faults are over: what waits for a person gets one's word. A standby was lost with its disk,
 * or two members of the last view are empty and one has no view file. A person who wants to keep no state
 * starts a node anew.
 */
static void decide(void)
{
    struct sim_node *last = NULL;
    uint64_t view = 0;

    for (unsigned i = 0; i < sim.nodes; i++) {
        struct sim_node *n = &sim.node[i];

        if (!sim_runs(n))
            return;
        if (ft_core_primary(sim_core(n)) && sim.reigns_node == i) {
            if (!sim_core(n)->peer.known && is_lost(n))
                take(n, sim_peer(n)->index);
            return;
        }
        view = sim_core(n)->view > view ? sim_core(n)->view : view;
        if (strstr(sim_core(n)->why, "waits for promote"))
            last = n;
    }
    if (!last || sim_core(last)->view < view)
        return;
    if (!sim_core(last)->kept) {
        if (sim.reign > view + 1) /* nobody knows of that view any more: it was lost with the disk */
            sim.reign = view + 1;
        rp_request(last->replicator, FT_REQUEST_PROMOTE);
        return;
    }
    sim_node_kill(last, false);
    last->restart_at = sim.now + SIM_MS;
}

void sim_faults_tick(void)
{
    uint64_t detect = ms(sim.config->timing.detect_ms);

    for (unsigned i = 0; i < sim.nodes; i++)
        if (!sim.node[i].alive && sim.now >= sim.node[i].restart_at) {
            /* One of them: two that differ in the same way fit each other. */
            bool fits = sim.script || sim.faults_over || anybody_misfits(i) || sim.reign == 0 ||
                        !sim_chance(&sim.chance, 40);

            sim.count.restarts++;
            sim.node[i].misfit = fits ? 0 : 1 + (unsigned)sim_draw(&sim.chance, 4);
            sim_node_start(&sim.node[i]);
            if (sim.node[i].alive)
                sim_tell(i, "has started, after its %lu. life%s", sim.node[i].life - 1,
                         fits ? "" : ", with a file that differs from its peer's");
        }
    for (unsigned i = 0; i < sim.nodes && sim.plan.troubled; i++)
        if (sim_runs(&sim.node[i]))
            look_in(&sim.node[i]);
    if (sim.plan.crasher || sim.plan.poison)
        sim_crash_tick();
    if (sim.script && !sim.faults_over)
        sim_script_tick();
    if (sim.faults_over && sim.plan.members && sim.plan.strict && sim.now >= sim.fault_at) {
        decide();
        sim.fault_at = sim.now + 4 * ms(sim.config->timing.solo_after_ms);
    }
    if (sim.plan.ways && !sim.faults_over && !sim.script)
        sim_ways_tick();
    if (sim.plan.port && !sim.faults_over && !sim.script)
        sim_cable_tick();
    if (sim.faults_over || sim.plan.fault_rate == 0)
        return;
    sim_disk_tick();
    if (sim.plan.narrow)
        tighten();
    if (sim.break_at && sim.now >= sim.break_at) {
        sim.break_at = 0;
        sim_tell(SIM_NOBODY, "the connection breaks");
        sim_net_break();
    }
    if (sim.kill_at && sim.now >= sim.kill_at)
        the_lonely_one_dies();
    if (sim.now < sim.fault_at && !(delicate() && sim_chance(&sim.chance, 40)))
        return;
    if (sim.plan.members && sim_chance(&sim.members, 400))
        repair();
    if (sim_chance(&sim.chain, 80))
        accidents();
    cause_one();
    sim.fault_at = sim.now + sim_draw(&sim.chance, sim_chance(&sim.chance, 600) ? detect : 12 * detect) *
                                 1000 / sim.plan.fault_rate;
}

void sim_faults_end(void)
{
    sim.faults_over = true;
    if (!sim.script)
        sim.caught.armed = false;
    sim.flips = 0;
    sim.slow_until = 0;
    memset(sim.way, 0, sizeof(sim.way));
    sim_arbiter_end();
    sim_keeper_heals();
    sim_cable_heals();
    for (unsigned i = 0; i < sim.nodes; i++) {
        struct sim_node *n = &sim.node[i];

        sim.link_blocked[i] = sim.port_blocked[i] = 0;
        n->stalled_until = 0;
        sim_disk_thaw(n);
        if (n->paused_until > sim.now)
            n->paused_until = sim.now;
        if (n->overslept > sim.now)
            n->overslept = sim.now;
        if (!n->alive && n->restart_at > sim.now + SIM_MS && !(sim.plan.alone && i == 1))
            n->restart_at = sim.now + SIM_MS;
    }
    for (unsigned i = 0; i < sim.nodes; i++) /* a person corrects the file, or begins anew with both */
        if (sim.plan.liar) {
            sim.node[i].has_view_file = sim.node[i].has_view_disk = false;
            if (sim.node[i].alive) {
                sim_node_kill(&sim.node[i], false);
                sim.node[i].restart_at = sim.now + SIM_MS;
            }
        } else if (sim.node[i].alive && sim.node[i].misfit) {
            sim_node_kill(&sim.node[i], false);
            sim.node[i].restart_at = sim.now + SIM_MS;
        }
    sim_tell(SIM_NOBODY, "all faults have ended");
}
