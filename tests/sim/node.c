/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node of the simulated pair: put together as node/run.c does it, with the world's ports, link and clock.
 * What it owned is freed when it has died; its tasks are never resumed then.
 */
#include "tests/sim/sim.h"

#include "ftcore/base/check.h"
#include "node/config/setup.h"
#include "replicator/parts.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

#define ASK_CAP 4096u

int sim_open(const char *path, int flags, ...);
ssize_t sim_read(int fd, void *to, size_t size);
ssize_t sim_write(int fd, const void *from, size_t size);
int sim_close_file(int fd);
int sim_rename(const char *from, const char *to);
int sim_unlink(const char *path);
int sim_fsync(int fd);

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

/* ---- its view file: survives the process, and the machine ---------------------------------------- */

enum { FD_VIEW = 3000, FD_NEW };

static struct sim_node *owner(void)
{
    struct sim_node *n = sim.opening ? sim.opening : sim_current();

    FT_CHECK(n, "a file is asked for by nobody");
    return n;
}

/* A running node's only beside a liar: one that loses its view may reign in a view twice. */
static bool file_trouble(void)
{
    return sim.opening ? sim_troubled(15) : sim.plan.liar && sim_troubled(100);
}

int sim_open(const char *path, int flags, ...)
{
    struct sim_node *n = owner();
    size_t len = strlen(path);

    if (file_trouble()) {
        errno = sim_draw(&sim.trouble, 2) ? EACCES : EIO;
        return -1;
    }
    if (len > 4 && strcmp(path + len - 4, ".new") == 0) {
        n->view_new[0] = '\0';
        return FD_NEW;
    }
    if (!n->has_view_file && !(flags & O_CREAT)) {
        errno = ENOENT;
        return -1;
    }
    return FD_VIEW;
}

ssize_t sim_read(int fd, void *to, size_t size)
{
    struct sim_node *n = owner();
    static const char *const damaged[] = {"",
                                          "understudy view \n",
                                          "understudy view 99999999999999999999\n",
                                          "understudy view 9223372036854775807\n",
                                          "understudy view 5",
                                          "understudy view 5 6\n",
                                          "view 5\n",
                                          "understudy view 5\nand more"};
    const char *text = sim_troubled(25) ? damaged[sim_draw(&sim.trouble, 8)] : n->view_file;
    size_t len = strlen(text);

    FT_CHECK(fd == FD_VIEW, "reads another file");
    if (file_trouble())
        return -1;
    len = len < size ? len : size;
    memcpy(to, text, len);
    return (ssize_t)len;
}

ssize_t sim_write(int fd, const void *from, size_t size)
{
    struct sim_node *n = owner();

    FT_CHECK(fd == FD_NEW && size < sizeof(n->view_new), "writes another file");
    if (file_trouble()) /* the disk is full */
        return (ssize_t)size / 2;
    memcpy(n->view_new, from, size);
    n->view_new[size] = '\0';
    return (ssize_t)size;
}

int sim_close_file(int fd)
{
    return fd == FD_NEW && file_trouble() ? -1 : 0;
}

int sim_rename(const char *from, const char *to)
{
    struct sim_node *n = owner();

    (void)from;
    (void)to;
    if (file_trouble())
        return -1;
    memcpy(n->view_file, n->view_new, sizeof(n->view_file));
    n->has_view_file = true;
    return 0;
}

int sim_unlink(const char *path)
{
    (void)path;
    return 0;
}

int sim_fsync(int fd)
{
    (void)fd;
    return sim_troubled(100) ? -1 : 0;
}

/* ---- putting together ---------------------------------------------------------------------------- */

static void told(void *arg, enum ft_state state, uint64_t view, const char *why)
{
    sim_saw_state(arg, state, view, why);
}

static const char *const view_file[2] = {"a.view", "/run/b.view"};

static void new_view(void *arg, uint64_t view)
{
    struct sim_node *n = arg;
    struct ft_fault fault;

    atomic_store(&n->view, view);
    if (sim.plan.troubled) /* as the program's main thread does, some time later */
        rp_view_sync(view_file[n->index], &fault);
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
        if (error)
            return error;
        n->lane[l] = (struct nd_lane){.index = l,
                                      .config = sim.config,
                                      .io = &n->io,
                                      .region = n->window.region,
                                      .words = &n->shared[l],
                                      .group = &n->group,
                                      .setup.question = &n->question,
                                      .setup.seed = sim_draw(&sim.chance, UINT64_MAX),
                                      .setup.replayed_bytes = 256u << 10,
                                      .setup.chunk_bytes = sim.plan.chunk_bytes,
                                      .setup.round_ns = sim.plan.round_ns,
                                      .setup.self = n->sender,
                                      .setup.view = &n->view,
                                      .setup.stop = &n->stop};
        if ((error = nd_lane_make(&n->lane[l], fault)))
            return error;
    }
    return 0;
}

static int open_replicator(struct sim_node *n, struct ft_fault *fault)
{
    static char too_long[400];
    static char identity[FT_IDENTITY_MAX];
    static const char *const host[2] = {"10.9.0.1", "10.9.0.2"};
    const struct nd_timing *t = &sim.config->timing;
    struct rp_status s;
    int error;
    struct rp_config config = {
        .core = {.role = (uint8_t)n->index,
                 .incarnation = n->sender.incarnation,
                 .secret = {n->sender.secret[0], n->sender.secret[1]}},
        .link = {.local_host = host[n->index],
                 .peer_host = host[!n->index],
                 .local_port = 7000,
                 .peer_port = 7000,
                 .listens = n->index == 0},
        .region = n->window.region,
        .lanes = n->shared,
        .published = n->group.published,
        .view_file = sim_troubled(10) ? too_long : view_file[n->index],
        .told = told,
        .view = new_view,
        .arg = n,
    };

    nd_setup_replicator(&config, sim.config, t, identity);
    /* Shorter than solo_after_ms, and in some seeds longer. */
    config.core.drain_ms = t->detect_ms * (sim.seed % 4 == 2 ? 12 : 3);
    config.pending_bytes = sim.plan.pending_bytes;
    if (sim.plan.bold && sim_chance(&sim.width, 300)) /* it will not keep to its credit */
        config.pending_bytes <<= 6;
    config.resync_mbps = sim.plan.resync_mbps;
    config.protect = !sim.plan.alone;
    config.core.strict ^= n->misfit == 1;
    if (n->misfit == 2) {
        config.core.lease_ms *= 3;
        config.core.detect_ms *= 3;
        config.core.promote_within_ms *= 3;
        config.core.solo_after_ms *= 3;
    }
    if (n->misfit >= 3 && config.core.identity_len > 8) /* another setting of its last NF */
        identity[config.core.identity_len - (n->misfit == 3 ? 2 : 8)] ^= 1;
    config.core.name[0] = n->name[0];
    memset(too_long, 'x', sizeof(too_long) - 1);
    sim.opening = n;
    error = rp_open(&n->replicator, &config, fault);
    sim.opening = NULL;
    if (error)
        return error;
    rp_status(n->replicator, &s);
    atomic_store(&n->view, s.core.view);
    return 0;
}

static void run_replicator(void *replicator)
{
    rp_run(replicator);
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
    n->sender.incarnation = sim_draw(&sim.chance, UINT64_MAX) | 1;
    n->sender.secret[0] = ~n->sender.incarnation;
    n->sender.secret[1] = n->sender.incarnation * 31;
    n->history = n->follows = NULL;
    n->state = FT_JOINING;
    atomic_store(&n->stop, false);
    sim_ports_io(n);
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
        nd_lane_free(&n->lane[l]);
        ft_lane_free(&n->shared[l]);
    }
    memset(n->lane, 0, sizeof(n->lane));
    memset(n->shared, 0, sizeof(n->shared));
    sim_show(NULL);
    if (sim.plan.stray)
        sim_stray_leaves();
    ft_region_close(n->window.region);
    n->window.region = NULL;
}

void sim_node_kill(struct sim_node *n, bool machine)
{
    FT_CHECK(!sim_running && n->alive, "killed by itself, or twice");
    sim.count.kills++;
    n->alive = false;
    n->powered = !machine;
    sim_net_gone(n->index, machine);
    sim_ports_clear(n);
    sim_node_free(n);
}
