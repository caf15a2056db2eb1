/* SPDX-License-Identifier: Apache-2.0 */
/* What a seed is made of: its plan, drawn from its number, and the configuration that both nodes read. */
#include "tests/sim/sim.h"

#include "ftcore/queue/lanelink.h"

#include <stdio.h>
#include <string.h>

#define CHAINS 5u
#define DRAWN                                                                                                \
    4u /* of them, for seeds of any kind; the last is for those of which sessions tell the packets */

const char *const sim_chain_name[] = {"forward", "edge", "balanced", "race", "marked"};

static struct nd_config *configs[CHAINS];
static struct nd_config this_config;

int sim_configs(const char *directory, struct ft_fault *fault)
{
    char path[300];
    int error = 0;

    for (unsigned i = 0; i < CHAINS && !error; i++) {
        snprintf(path, sizeof(path), "%s/%s.yaml", directory, sim_chain_name[i]);
        error = nd_config_read(&configs[i], path, 0, fault);
    }
    return error;
}

static void arbitrate(struct sim_plan *p)
{
    p->arbitrated = true;
    p->wild = SIM_SPLITS;
    p->strict = p->liar = p->bold = p->stray = false;
    p->mode = p->alone ? ND_MODE_LOG : p->mode;
    p->alone = false;
}

/* An NF dies of its state. Where lanes share what the NF keeps there is no reset, as the file's reader says.
 */
static void crash(struct sim_plan *p, uint64_t seed)
{
    static const char *const names[DRAWN][2] = {{"forward", "forward"},
                                                {"monitor", "firewall"},
                                                {"firewall", "firewall"},
                                                {"rate_limiter", "forward"}};
    struct sim_random r = {seed * 0x94d049bb133111ebull + 3};

    p->crasher = names[p->chain][sim_draw(&r, 2)];
    p->crash = NF_CRASH_BYPASS + (uint32_t)sim_draw(&r, 2);
    p->in_packets = sim_chance(&r, 400);
    p->lanes = p->crash == NF_CRASH_RESET && (p->chain == 0 || p->chain == 3) ? 1 : p->lanes;
    p->strict = p->liar = p->bold = p->stray = p->troubled = false;
    p->wild = SIM_HEALS;
    p->mode = p->alone ? ND_MODE_LOG : p->mode;
    p->alone = false;
    p->fault_rate = 200;
    p->faults_end += 300 * SIM_MS;
}

/* Packets are recorded by their sessions, and among them are those that must not be, or of sessions that come
 * and go (ports.c). Bursts are of several packets, tables of few sessions. */
static void tell_sessions(struct sim_plan *p, uint64_t seed)
{
    static const unsigned chains[] = {1, 2, 4};
    struct sim_random r = {seed * 0xd1342543de82ef95ull + 5};

    p->told = true;
    p->chain = chains[sim_draw(&r, 3)];
    p->mode = ND_MODE_LOG;
    p->alone = p->full_capture = p->liar = p->bold = p->stray = p->troubled = false;
    p->flows = 16 + (unsigned)sim_draw(&r, 16);
    p->gap = 60 * SIM_US + sim_draw(&r, 200 * SIM_US);
}

/* Two ways between the nodes, which a sealed link alone may have. */
static void give_two_ways(struct sim_plan *p, uint64_t seed)
{
    struct sim_random r = {seed * 0xbf58476d1ce4e5b9ull + 9};

    p->ways = p->sealed = true;
    p->alone = p->stray = p->liar = p->bold = p->troubled = false;
    p->mode = p->mode == ND_MODE_OFF ? ND_MODE_LOG : p->mode;
    p->steady = sim_chance(&r, 500);
    p->one_way = !p->steady && sim_chance(&r, 100);
    p->members = !p->steady && !p->one_way && sim_chance(&r, 300);
    if (p->members)
        arbitrate(p);
    if (!p->steady)
        return;
    p->fault_rate = p->preempted = p->lazy = 0;
    p->narrow = p->fast = false;
    p->wild = SIM_SPLITS;
    p->faults_end += 300 * SIM_MS;
}

/* An input keeper is in front of the nodes. What splits a pair splits what the keeper can promise, so there
 * is less of that. */
static void keep_inputs(struct sim_plan *p, uint64_t seed)
{
    struct sim_random r = {seed * 0xa0761d6478bd642full + 11};
    struct sim_random second = {seed * 0x8ebc6af09c88c6e3ull + 5};
    bool dense = sim_chance(&r, 150);

    p->keeper = p->sealed = true;
    p->keepers = 1 + sim_chance(&second, 500);
    p->floods = sim_chance(&second, 500);
    p->lanes = 1;
    p->mode = ND_MODE_LOG;
    p->standby = ND_STANDBY_HOT;
    p->suppress_tail = p->alone = p->stray = p->liar = p->bold = p->troubled = false;
    p->ways = sim_chance(&r, 300);
    p->members = sim_chance(&r, 200);
    if (p->members)
        arbitrate(p);
    else if (p->wild == SIM_SPLITS)
        p->wild = SIM_HEALS;
    p->keeper_dies = sim_chance(&r, 400);
    p->loss = sim_chance(&r, 300) ? 0 : (unsigned)sim_draw(&r, 60);
    p->socket_room = sim_chance(&r, 300) ? 64 : 4096;
    p->keeper_inputs = 64u << sim_draw(&r, 9);
    p->keeper_bursts = sim_chance(&r, 500) ? p->keeper_inputs : 8u << sim_draw(&r, 8);
    p->mbufs = sim_chance(&r, 300) ? 1024 : 4096;
    p->fault_rate = 100 + (unsigned)sim_draw(&r, 900);
    p->poison = seed % 3 == 0;
    if (!dense)
        return;
    p->gap = (10 + sim_draw(&r, 30)) * SIM_US;
    p->flows = 28;
    p->faults_end /= 3;
}

/* Each lane has a port to its peer's, on top of what else there is. Packets come so densely that it carries,
 * or less. */
static void give_port(struct sim_plan *p, uint64_t seed)
{
    struct sim_random r = {seed * 0xe7037ed1a0b428dbull + 13};

    p->port = p->sealed = true;
    p->lanes = 1;
    p->mode = ND_MODE_LOG;
    p->standby = ND_STANDBY_HOT;
    p->alone = p->stray = p->liar = p->bold = false;
    p->members = sim_chance(&r, 150);
    p->ways = sim_chance(&r, 250);
    if (p->members || sim_chance(&r, 100))
        arbitrate(p);
    else if (sim_chance(&r, 150))
        crash(p, seed);
    p->port_at_one = sim_chance(&r, 40);
    p->port_trouble = sim_chance(&r, 200) ? 0 : (unsigned)sim_draw(&r, sim_chance(&r, 200) ? 300 : 40);
    p->port_longest = sim_chance(&r, 300) ? FT_LINK_LEAST : sim_chance(&r, 700) ? 1514 : FT_LINK_MOST;
    p->tick = 20 * SIM_US + sim_draw(&r, 60 * SIM_US);
    p->gap = (10 + sim_draw(&r, sim_chance(&r, 200) ? 300 : 60)) * SIM_US;
    p->flows = 16 + (unsigned)sim_draw(&r, 16);
    if (!p->crasher && sim_chance(&r, 500))
        p->lanes = 2 + (unsigned)sim_draw(&r, SIM_LANES - 1);
}

/* Nodes are slow for a while, and little else happens. */
static void make_slow(struct sim_plan *p, uint64_t seed)
{
    struct sim_random r = {seed * 0x8cb92ba72f3d8dd7ull + 3};

    p->alone = p->stray = p->liar = p->bold = p->narrow = p->troubled = false;
    p->mode = p->mode == ND_MODE_OFF ? ND_MODE_LOG : p->mode;
    p->slow_ms = 2 + (uint32_t)sim_draw(&r, p->fast ? 2 : 4); /* a lane knows a wait to 1 ms */
    p->fault_rate = sim_chance(&r, 500) ? 50 : (unsigned)sim_draw(&r, 600);
    p->preempted /= 20;
    p->lazy /= 10;
    p->faults_end += 400 * SIM_MS;
    if (sim_chance(&r, 300))
        arbitrate(p);
}

void sim_plan_make(struct sim_plan *p, uint64_t seed, const char *kind)
{
    struct sim_random r = {seed * 0x2545f4914f6cdd1dull + 1}, more = {seed * 0x9e3779b97f4a7c15ull + 7};

    memset(p, 0, sizeof(*p));
    p->chain = (unsigned)sim_draw(&r, DRAWN);
    p->lanes = sim_chance(&r, 500) ? 1 : 2 + (unsigned)sim_draw(&r, SIM_LANES - 1);
    p->wild = (enum sim_wildness)sim_draw(&r, SIM_WILDS);
    p->strict = p->wild == SIM_STRICT || (p->wild == SIM_HEALS && sim_chance(&r, 300));
    p->fast = sim_chance(&r, 600);
    p->full_capture = sim_chance(&r, 400);
    p->suppress_tail = sim_chance(&r, 200);
    p->hold_packets = sim_chance(&r, 300) ? 128 : 1024;
    p->log_bytes = sim_chance(&r, 200) ? FT_RECORD_MAX : 2u << 20;
    /* The least that holds a burst of 32 large packets; a file cannot say less than a megabyte. */
    p->pending_bytes = sim_chance(&r, 250) ? (64u << 10) + sim_draw(&r, 64u << 10) : 1u << 20;
    p->resync_mbps = sim_chance(&r, 400) ? 40 : 400;
    p->faults_end = 40 * SIM_MS + sim_draw(&r, p->fast ? 300 * SIM_MS : 600 * SIM_MS);
    p->quiet_at = SIM_NEVER;
    p->flows = 4 + (unsigned)sim_draw(&r, 28);
    p->gap = 150 * SIM_US + sim_draw(&r, 800 * SIM_US);
    p->tick = 100 * SIM_US + sim_draw(&r, 250 * SIM_US);
    p->switchy = sim_chance(&r, 300) ? 0 : (unsigned)sim_draw(&r, 500);
    p->lazy = (unsigned)sim_draw(&r, 200);
    p->preempted = sim_chance(&r, 300) ? 0 : (unsigned)sim_draw(&r, 600);
    p->delay = 40 * SIM_US + sim_draw(&r, 300 * SIM_US);
    p->fault_rate = 1000;
    p->audit = sim_chance(&r, 60);
    p->mode = sim_chance(&r, 400) || !sim_chance(&r, 400) ? ND_MODE_LOG : ND_MODE_DELTA;
    p->standby = sim_chance(&r, 300) ? ND_STANDBY_WARM : ND_STANDBY_HOT;
    p->commit_us = 200 + (uint32_t)sim_draw(&r, 2000);
    p->checkpoint_ms = 2 + (uint32_t)sim_draw(&r, 30);
    p->budget_ms = 1 + (uint32_t)sim_draw(&r, 20);
    if (p->mode != ND_MODE_LOG || p->standby == ND_STANDBY_WARM) /* what lanes are told in whole megabytes */
        p->pending_bytes = 1u << 20;
    p->troubled = sim_chance(&r, 100) || (kind && strcmp(kind, "troubled") == 0);
    p->narrow = sim_chance(&more, 50) || (kind && strcmp(kind, "narrow") == 0);
    p->stray = sim_chance(&more, 300) || (kind && strcmp(kind, "stray") == 0);
    p->bold = sim_chance(&more, 500);
    p->liar = sim_chance(&r, 80) || (kind && strcmp(kind, "liar") == 0);
    p->alone = sim_chance(&r, 15) || (kind && (strcmp(kind, "alone") == 0 || strcmp(kind, "stray") == 0));
    if (p->alone) {
        p->mode = ND_MODE_OFF;
        p->troubled |= sim_chance(&r, 400);
        p->liar = p->strict = p->narrow = false;
    }
    p->stray &= p->alone;
    p->bold &= p->liar;
    if (p->liar) { /* each lie that is refused ends a connection: that is fault enough */
        p->fault_rate = 200;
        p->faults_end += 600 * SIM_MS;
    }
    p->chunk_bytes = sim_chance(&r, 200) ? 0 : 80 + (uint32_t)sim_draw(&r, 1000);
    p->gather_us = sim_chance(&more, 500) ? 0 : 1 + (uint32_t)sim_draw(&more, 60);
    p->sealed = (sim_chance(&more, 300) || (kind && strcmp(kind, "sealed") == 0)) && !p->alone;
    p->listen_ms = sim_chance(&r, 500) ? 0 : 1 + (uint32_t)sim_draw(&r, 40);
    p->round_ns = sim_chance(&more, 500) ? 0 : 10 * SIM_MS + sim_draw(&more, 100 * SIM_MS);
    if (kind && strcmp(kind, "arbiter") == 0)
        arbitrate(p);
    if (kind && strcmp(kind, "members") == 0) {
        arbitrate(p);
        p->members = true;
        if (seed % 3 == 2) { /* no arbiter: people say which standby is lost */
            p->arbitrated = false;
            p->strict = true;
        }
        p->disks = sim_chance(&more, 500);
        p->alone = p->stray = p->liar = p->bold = p->narrow = p->troubled = false;
        if (p->mode == ND_MODE_OFF)
            p->mode = ND_MODE_LOG;
    }
    if (kind && strcmp(kind, "crash") == 0)
        crash(p, seed);
    if (kind && strcmp(kind, "told") == 0)
        tell_sessions(p, seed);
    if (kind && strcmp(kind, "ways") == 0)
        give_two_ways(p, seed);
    if (kind && strcmp(kind, "keeper") == 0)
        keep_inputs(p, seed);
    if (kind && strcmp(kind, "port") == 0)
        give_port(p, seed);
    if (kind && strcmp(kind, "slow") == 0)
        make_slow(p, seed);
    p->sparse = kind && strcmp(kind, "sparse") == 0;
}

void sim_configure(void)
{
    const struct sim_plan *p = &sim.plan;
    struct nd_timing *t = &this_config.timing;

    this_config = *configs[p->chain];
    this_config.chain.lanes = (uint16_t)p->lanes;
    this_config.nodes = SIM_NODES;
    for (unsigned n = 0; n < SIM_NODES; n++)
        snprintf(this_config.node[n].name, sizeof(this_config.node[n].name), "%c", 'a' + (int)n);
    this_config.keepers = p->keepers;
    for (unsigned k = 0; k < p->keepers; k++) {
        snprintf(this_config.keeper[k].inputs_host, sizeof(this_config.keeper[k].inputs_host), "10.97.0.%u",
                 11 + k);
        this_config.keeper[k].inputs_port = 6081;
    }
    for (unsigned i = 0; p->crasher && i < this_config.chain.count; i++)
        if (strcmp(this_config.chain.nfs[i].module->name, p->crasher) == 0)
            this_config.chain.nfs[i].on_crash = p->crash;
    this_config.protect.capture = p->full_capture ? ND_CAPTURE_FULL : ND_CAPTURE_AUTO;
    this_config.protect.tail = p->suppress_tail ? ND_TAIL_SUPPRESS : ND_TAIL_EMIT;
    this_config.protect.hold_packets = p->hold_packets;
    this_config.protect.strict = p->strict;
    this_config.arbiter.etcd.urls = p->arbitrated;
    this_config.protect.asked = p->mode;
    this_config.protect.standby = p->standby;
    (void)nd_config_decide(&this_config.protect, &this_config.chain, NULL);
    this_config.protect.gather_us = p->gather_us;
    this_config.protect.commit_interval_us = p->commit_us;
    this_config.protect.checkpoint_ms = p->checkpoint_ms;
    this_config.protect.recovery_budget_ms = p->budget_ms;
    this_config.protect.verify_every_s = 0;
    this_config.protect.slow_ms = p->slow_ms;
    this_config.protect.pending_mb = 1;
    this_config.protect.compress = (uint32_t)(sim.seed / 3 % 3);
    *t = p->fast ? (struct nd_timing){1, 4, 8, 16, 32, 150, 0, 40, 0, 0, 0}
                 : (struct nd_timing){2, 10, 20, 40, 80, 300, 0, 100, 0, 0, 0};
    t->listen_ms = p->listen_ms;
    t->detect_most_ms = sim.seed / 5 % 2 ? (t->detect_ms + t->promote_within_ms) / 2 : 0;
    t->degrade_ms = p->listen_ms ? t->detect_ms * 6 / 10 : t->lease_ms;
    sim.config = &this_config;
}
