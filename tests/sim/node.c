/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node of the simulated pair: put together as understudy/node/run.c does it, with the world's ports, link
 * and clock. What it owned is freed when it has died; its tasks are never resumed then.
 */
#include "tests/sim/sim.h"

#include "ftcore/base/check.h"
#include "understudy/config/setup.h"
#include "replicator/parts.h"

#include <string.h>

#define ASK_CAP 4096u

const struct ft_core *sim_core(const struct sim_node *n)
{
    return &n->replicator->core;
}

/* ---- its clock ---------------------------------------------------------------------------------- */

uint64_t sim_clock(const struct sim_node *n)
{
    uint64_t passed = sim.now - n->clock_at;

    return n->clock_base + passed + (uint64_t)((int64_t)passed * n->drift_ppm / 1000000);
}

/* ---- putting together ---------------------------------------------------------------------------- */

static void state_changed(void *arg, enum ft_event_name what, bool planned, enum ft_state state,
                          uint64_t view, const char *why)
{
    (void)what;
    (void)planned;
    sim_stutter_saw(arg, why);
    sim_saw_state(arg, state, view, why);
}

static const char *const view_file[SIM_NODES] = {"a.view", "/run/b.view", "c.view", "/run/d.view"};

static void new_view(void *arg, uint64_t view)
{
    struct sim_node *n = arg;

    sim_step(SIM_BEFORE_VIEW);
    atomic_store(&n->view, view);
    n->lived = view;
}

static void aim(void *arg, const struct rp_node *peer)
{
    struct sim_node *n = arg;

    n->aim = SIM_NOBODY;
    for (unsigned i = 0; i < sim.nodes; i++)
        if (sim.node[i].name[0] == peer->name[0])
            n->aim = i;
}

/* A file that asks for what no node can have. */
static int open_too_much(struct ft_region **out, struct ft_fault *fault)
{
    static uint64_t sizes[FT_NFS_MAX];
    static const char *names[FT_NFS_MAX];
    const struct nf_chain_config *chain = &sim.config->chain;
    struct ft_region_config c = {.name = "sim",
                                 .lanes = chain->lanes,
                                 .nfs = (uint16_t)(chain->count + 1),
                                 .arena_size = sizes,
                                 .nf_name = names,
                                 .shared_size = SIM_SHARED};

    nf_chain_arenas(chain, sizes, names);
    switch (sim_draw(&sim.trouble, 5)) {
    case 0:
        c.lanes = sim_draw(&sim.trouble, 2) ? 0 : FT_LANES_MAX + 1;
        break;
    case 1:
        c.nfs = sim_draw(&sim.trouble, 2) ? 0 : FT_NFS_MAX + 1;
        break;
    case 2:
        c.arena_size = NULL;
        break;
    case 3:
        sizes[c.nfs - 1u] = sim_draw(&sim.trouble, 2) ? FT_REGION_MAX + 1 : FT_REGION_MAX - (1u << 20);
        break;
    default:
        c.shared_size = 0; /* as large as usual: more than this world has */
        c.name = NULL;
    }
    return ft_region_open(out, &c, fault);
}

static int open_region(struct sim_node *n, struct ft_fault *fault)
{
    const struct ft_region_config how = {
        .name = "sim", .shared_size = SIM_SHARED, .huge = sim.plan.troubled, .audit = sim.plan.alone};
    int error;

    n->window.region = NULL;
    n->window.of_node = true;
    sim_window_of(&n->window);
    error = sim_troubled(30) ? open_too_much(&n->window.region, fault)
                             : nf_chain_region(&n->window.region, &sim.config->chain, &how, fault);
    if (!error)
        n->window.region->tracking |= SIM_TRACK;
    return error;
}

static int make_lanes(struct sim_node *n, struct ft_fault *fault)
{
    int error;

    n->question = (struct nd_question){.cap = ASK_CAP, .out = sim_alloc(ASK_CAP)};
    nd_group_init(&n->group, n->lane, sim.plan.lanes);
    for (unsigned l = 0; l < sim.plan.lanes; l++) {
        error = nd_setup_rings(&n->shared[l], sim.plan.log_bytes, sim.plan.pending_bytes,
                               sim.config->protect.stores, fault);
        if (!error && sim_cable_of(n, l))
            error = nd_setup_direct(&n->shared[l], sim.plan.pending_bytes, fault);
        if (error)
            return error;
        n->lane[l] =
            (struct nd_lane){.index = l,
                             .config = &sim.config->chain,
                             .protect = &sim.config->protect,
                             .setup.heartbeat_ms = sim.config->timing.heartbeat_ms,
                             .io = &n->io,
                             .region = n->window.region,
                             .shared = &n->shared[l],
                             .group = &n->group,
                             .setup.question = &n->question,
                             .setup.wire = sim_cable_of(n, l),
                             .setup.seed = sim_draw(&sim.chance, UINT64_MAX),
                             .setup.replayed_bytes = 256u << 10,
                             .setup.chunk_bytes = sim.plan.chunk_bytes,
                             .setup.round_ns = sim.plan.round_ns,
                             .setup.self = n->datagram_key,
                             .setup.view = &n->view,
                             .setup.remedy = &n->crashes.remedy,
                             .setup.suspects = nd_quarantine_suspects(&n->crashes.crash->page->quarantine),
                             .setup.stop = &n->stop};
        if ((error = nd_lane_make(&n->lane[l], fault)))
            return error;
    }
    return 0;
}

/* By the replicator, which has the region in its window only while it looks at it. */
static int check_state(void *group, void (*pulse)(void *arg), void *arg, struct ft_fault *fault)
{
    sim_show(&sim_current()->window);
    return nd_group_check(group, pulse, arg, fault);
}

static int open_replicator(struct sim_node *n, struct ft_fault *fault)
{
    static char too_long[400], identity[FT_IDENTITY_MAX];
    static const char *const host[SIM_NODES] = {"10.9.0.1", "10.9.0.2", "10.9.0.3", "10.9.0.4"};
    static const char *const second[SIM_NODES] = {"10.9.1.1", "10.9.1.2", "10.9.1.3", "10.9.1.4"};
    const struct nd_timing *t = &sim.config->timing;
    struct rp_status s;
    int error;
    struct rp_config config = {
        .core = {.role = n->index > 0,
                 .incarnation = n->datagram_key.incarnation,
                 /* One in two is of the version before; not once the shard may have a name, which that cannot
                    read. */
                 .newest = (uint16_t)(FT_FORMAT_NEWEST -
                                      (!sim.plan.arbitrated && n->datagram_key.incarnation >> 9 & 1)),
                 .oldest = FT_FORMAT_OLDEST,
                 .spare = n->index > 1,
                 .spares = sim.plan.members,
                 .new_shard = {n->datagram_key.incarnation * 7, sim.seed},
                 .secret = {n->datagram_key.secret[0], n->datagram_key.secret[1]}},
        .link = {.local_host = host[n->index],
                 .peer_host = n->index < 2 ? host[!n->index] : NULL,
                 .local_port = 7000,
                 .peer_port = 7000,
                 .listens = n->index == 0},
        .region = n->window.region,
        .lanes = n->shared,
        .published = n->group.published,
        .view_file = sim_troubled(10) ? too_long : view_file[n->index],
        .state_changed = state_changed,
        .view = new_view,
        .aimed = aim,
        .crashed = sim_crash_hear,
        .arg = n,
        .check = check_state,
        .keeps = nd_group_keeps,
        .judge = &n->group,
        .arbiter = sim_arbiter_of(n),
    };

    if (n->index < 2)
        config.core.members = (struct ft_members){.name = {"a", "b"}};
    for (unsigned i = 0; i < sim.nodes && sim.plan.members; i++)
        if (i != n->index)
            config.link.node[config.link.nodes++] = (struct rp_node){.name = {sim.node[i].name[0]},
                                                                     .host = "10.9.0.",
                                                                     .port = 7000,
                                                                     .second_host = "10.9.1.",
                                                                     .second_port = sim.plan.ways ? 7000 : 0};
    for (unsigned i = 0; i < config.link.nodes; i++)
        config.link.node[i].second_host[7] = config.link.node[i].host[7] =
            (char)('1' + config.link.node[i].name[0] - 'a');
    if (sim.plan.ways && !(sim.plan.one_way && n->index == 1)) {
        config.link.second.local_host = second[n->index];
        config.link.second.peer_host = n->index < 2 ? second[!n->index] : NULL;
        config.link.second.local_port = config.link.second.peer_port = 7000;
    }
    config.link.name[0] = n->name[0];
    config.link.seal.peer_name = n->index < 2 ? sim.node[!n->index].name : NULL;
    n->aim = n->index < 2 ? !n->index : SIM_NOBODY;
    nd_setup_replicator(&config, sim.config, t, identity);
    /* Shorter than solo_after_ms, and in some seeds longer. */
    config.core.drain_ms = t->detect_ms * (sim.seed % 4 == 2 ? 12 : 3);
    if (!sim.script && sim.seed % 3 == 0) {
        config.core.back_off_least_ms = 8;
        config.core.back_off_most_ms = 64;
    }
    if (sim.plan.slow_ms) {
        config.core.slow_percent = 20;
        config.core.slow_ms = sim.plan.slow_ms;
        config.core.back_off_least_ms = 8;
        config.core.back_off_most_ms = 64;
    }
    config.pending_bytes = sim.plan.pending_bytes;
    if (sim.plan.bold && sim_chance(&sim.width, 300)) /* it will not keep to its credit */
        config.pending_bytes <<= 6;
    config.resync_mbps = sim.plan.resync_mbps;
    config.protect = !sim.plan.alone;
    config.by_port = n->group.by_port;
    /* A file with a spare and neither strict nor an arbiter, or with both, is refused. */
    unsigned misfit = n->misfit == 1 && sim.plan.members ? 3 : n->misfit;

    config.core.strict ^= misfit == 1;
    if (misfit == 2) {
        config.core.lease_ms *= 3;
        config.core.detect_ms *= 3;
        config.core.promote_within_ms *= 3;
        config.core.solo_after_ms *= 3;
    }
    if (misfit >= 3 && config.core.identity_len > 8) /* another setting of its last NF */
        identity[config.core.identity_len - (misfit == 3 ? 2 : 8)] ^= 1;
    config.core.name[0] = n->name[0];
    memset(too_long, 'x', sizeof(too_long) - 1);
    sim.opening = n;
    error = rp_open(&n->replicator, &config, fault);
    sim.opening = NULL;
    if (error)
        return error;
    rp_status(n->replicator, &s);
    atomic_store(&n->view, s.core.view);
    sim_saw_return(n, s.core.view);
    return 0;
}

static void run_replicator(void *replicator)
{
    rp_run(replicator);
}

static void run_writer(void *node)
{
    struct sim_node *n = node;

    n->writer.entry(n->writer.arg);
}

static void run_lane(void *lane)
{
    nd_lane_run(lane);
}

void sim_node_start(struct sim_node *n)
{
    struct ft_fault fault = {""};

    n->life++;
    n->restart_at = SIM_NEVER;
    n->paused_until = n->stalled_until = 0;
    n->clock_base = sim_clock(n);
    n->clock_at = sim.now;
    if (!n->powered || n->life == 1) { /* a machine's clock begins anew */
        n->clock_base = SIM_MS + sim_draw(&sim.chance, 1000 * SIM_MS);
        n->clock_last = 0;
    }
    n->powered = true;
    n->datagram_key.incarnation = sim_draw(&sim.chance, UINT64_MAX) | 1;
    n->datagram_key.secret[0] = ~n->datagram_key.incarnation;
    n->datagram_key.secret[1] = n->datagram_key.incarnation * 31;
    n->history = n->follows = NULL;
    n->state = FT_JOINING;
    n->writer.entry = NULL;
    atomic_store(&n->stop, false);
    sim_ports_io(n);
    sim_crash_start(n);
    memset(n->lane, 0, sizeof(n->lane));
    memset(n->shared, 0, sizeof(n->shared));
    memset(n->task, 0, sizeof(n->task));
    sim_trouble_begin();
    n->alive = true;
    bool failed = open_region(n, &fault) || make_lanes(n, &fault) || open_replicator(n, &fault);

    sim_trouble_end();
    if (failed) {
        n->alive = false;
        sim_tell(n->index, "does not start: %s", fault.text);
        sim_node_free(n);
        n->restart_at = sim.now + SIM_MS + sim_draw(&sim.trouble, 4 * SIM_MS);
        return;
    }
    for (unsigned l = 0; l < sim.plan.lanes; l++)
        sim_task_begin(&n->task[l], run_lane, &n->lane[l]);
    sim_task_begin(&n->task[SIM_REPLICATOR], run_replicator, n->replicator);
    if (n->writer.entry)
        sim_task_begin(&n->task[SIM_WRITER], run_writer, n);
    for (unsigned t = 0; t < SIM_TASKS; t++) {
        n->task[t].node = n->index;
        n->task[t].number = t;
        n->task[t].wake = sim.now + sim_draw(&sim.order, SIM_MS);
    }
    sim_show(NULL);
}

void sim_node_free(struct sim_node *n)
{
    if (n->window.region)
        sim_show(&n->window);
    for (unsigned t = 0; t < SIM_TASKS; t++)
        sim_task_free(&n->task[t]);
    rp_close(n->replicator);
    n->replicator = NULL;
    for (unsigned l = 0; l < sim.plan.lanes; l++) {
        sim_crash_forget(n->lane[l].chain);
        nd_lane_free(&n->lane[l]);
        ft_lane_free(&n->shared[l]);
    }
    sim_keeper_gone(n);
    memset(n->lane, 0, sizeof(n->lane));
    memset(n->shared, 0, sizeof(n->shared));
    sim_show(NULL);
    if (sim.plan.stray)
        sim_stray_leaves();
    ft_region_close(n->window.region);
    n->window.region = NULL;
}

static bool has_no_view(const struct sim_node *n)
{
    return !n->has_view_disk || strncmp(n->view_disk, "understudy view 0", 17) == 0;
}

void sim_node_kill(struct sim_node *n, bool machine)
{
    FT_CHECK(!sim_running && n->alive, "killed by itself, or twice");
    n->died = sim.now;
    sim.count.kills++;
    n->alive = false;
    n->powered = !machine;
    if (machine)
        sim_disk_lose_power(n);
    /* Strict: two nodes of the file without a view are a new pair, whoever else has a state. */
    bool kept = sim.plan.strict && n->index < 2 && has_no_view(&sim.node[!n->index]);

    if (machine && sim.plan.disks && !kept && sim_chance(&sim.members, 500))
        sim_disk_lose(n);
    n->stored = n->replicator->writer ? rp_view_writer_stored(n->replicator->writer) : 0;
    sim_net_gone(n->index, machine);
    sim_ports_clear(n);
    sim_node_free(n);
}
