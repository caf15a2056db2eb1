/* SPDX-License-Identifier: Apache-2.0 */
/*
 * understudy run: puts a node together and keeps it going. Everything that can fail fails here, before the
 * first packet, with one line and nothing left behind. Threads: this one (control socket), the replicator,
 * one per lane; and the guardian's process.
 */
#include "node/commands.h"
#include "node/client.h"
#include "node/options.h"
#include "node/running.h"

#include <rte_eal.h>
#include <rte_launch.h>
#include <rte_lcore.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SERVE_MS    20
#define SPARE_BYTES (2u * FT_RECORD_MAX) /* of a replay ring, above the credit */
#define DRAIN_MS    1000u
#define QUEUE_BYTES (16u << 20) /* between each lane and the flight recorder */
#define TAKEN_MS    2000

static struct nd_running *the_node; /* for the signal handler alone */

static void stop_signal(int number)
{
    (void)number;
    if (the_node)
        atomic_store(&the_node->stop, true);
}

static void told(void *arg, enum ft_state state, uint64_t view, const char *why)
{
    struct nd_running *r = arg;
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    fprintf(stderr, "%ld.%03ld understudy %s: %s, view %lu: %s\n", (long)t.tv_sec, t.tv_nsec / 1000000,
            r->config->node[r->self].name, ft_state_name(state), view, why);
}

static void new_view(void *arg, uint64_t view)
{
    struct nd_running *r = arg;

    atomic_store(&r->view, view);
    if (r->guardian)
        nd_guardian_identity(r->guardian, r->incarnation, view);
}

/* ---- putting together -------------------------------------------------------------------------- */

static int make_directory(const char *path, struct ft_fault *fault)
{
    char part[256];

    for (size_t i = 1; i <= strlen(path) && i < sizeof(part); i++) {
        if (path[i] != '/' && path[i] != '\0')
            continue;
        snprintf(part, sizeof(part), "%.*s", (int)i, path);
        if (mkdir(part, 0755) != 0 && errno != EEXIST)
            return ft_fail(fault, errno == EACCES || errno == EPERM ? FT_EPERM : FT_EIO, "%s: %s", part,
                           strerror(errno));
    }
    return 0;
}

static int open_region(struct nd_running *r, struct ft_fault *fault)
{
    static uint64_t sizes[FT_NFS_MAX];
    static const char *names[FT_NFS_MAX];
    const struct nf_chain_config *chain = &r->config->chain;
    struct ft_region_config c = {
        .name = "understudy region",
        .lanes = chain->lanes,
        .nfs = (uint16_t)(chain->count + 1),
        .arena_size = sizes,
        .nf_name = names,
        .shared_size = nf_chain_shared(chain, chain->shared_size ? chain->shared_size : FT_SHARED_DEFAULT),
        .audit = r->config->protect.audit,
        .huge = r->config->node[r->self].hugepages};

    nf_chain_arenas(chain, sizes, names);
    return ft_region_open(&r->region, &c, fault);
}

/* DIR/NODE/ of this file: two nodes may share a machine and its file. */
static int open_recorder(struct nd_running *r, struct ft_fault *fault)
{
    static char identity[FT_IDENTITY_MAX], dir[256];
    const struct nd_config *c = r->config;
    const char *node = c->node[r->self].name;
    struct lg_recorder_config config = {.directory = dir,
                                        .node = node,
                                        .identity = identity,
                                        .region = r->region,
                                        .file_bytes = (uint64_t)c->record.file_mb << 20,
                                        .files = c->record.files,
                                        .queue_bytes = QUEUE_BYTES};
    int error;

    if (!c->record.dir[0])
        return 0;
    snprintf(dir, sizeof(dir), "%s/%s", c->record.dir, node);
    error = make_directory(dir, fault);
    if (error)
        return error;
    config.identity_len = nf_chain_identity(&c->chain, identity, sizeof(identity));
    return lg_recorder_open(&r->recorder, &config, fault);
}

/* Before the chain is made, which then puts its state there. */
static int open_redis(struct nd_running *r, struct ft_fault *fault)
{
    int error;

    if (r->config->state != ND_STATE_REDIS)
        return 0;
    error = nd_redis_open(&r->redis, &r->config->redis, fault);
    if (error == 0)
        fprintf(stderr, "understudy %s: state in Redis: %s\n", r->config->node[r->self].name,
                nd_redis_settings(r->redis));
    return error;
}

static int make_lanes(struct nd_running *r, struct ft_fault *fault)
{
    const struct nd_protect *p = &r->config->protect;
    unsigned lanes = r->config->chain.lanes;
    int error = 0;

    r->shared = aligned_alloc(64, lanes * sizeof(*r->shared));
    r->lanes = calloc(lanes, sizeof(*r->lanes));
    r->question.cap = 256u << 10;
    r->question.out = malloc(r->question.cap);
    nd_group_init(&r->group, r->lanes, lanes);
    if (!r->shared || !r->lanes || !r->question.out)
        return ft_fail(fault, FT_ENOMEM, "no memory for %u lanes", lanes);
    for (unsigned l = 0; l < lanes && !error; l++) {
        struct nd_lane *lane = &r->lanes[l];

        if (ft_lane_init(&r->shared[l], (uint64_t)p->log_mb << 20,
                         ((uint64_t)p->pending_mb << 20) + SPARE_BYTES) != 0)
            return ft_fail(fault, FT_ENOMEM, "no memory for rings of %u + %u MB", p->log_mb, p->pending_mb);
        *lane = (struct nd_lane){.index = l,
                                 .config = r->config,
                                 .io = &r->ports.io,
                                 .region = r->region,
                                 .shared = &r->shared[l],
                                 .group = &r->group,
                                 .guardian = r->guardian,
                                 .urgent = r->config->node[r->self].realtime,
                                 .question = &r->question,
                                 .redis = r->redis,
                                 .recorder = r->recorder,
                                 .incarnation = r->incarnation,
                                 .view = &r->view,
                                 .stop = &r->lanes_stop};
        if (getrandom(&lane->seed, sizeof(lane->seed), 0) != sizeof(lane->seed))
            return ft_fail(fault, FT_EIO, "the system gives no random numbers");
        error = nd_lane_make(lane, fault);
    }
    if (!error)
        r->ports.deal.lane = r->lanes;
    return error;
}

static int open_replicator(struct nd_running *r, struct ft_fault *fault)
{
    static char identity[FT_IDENTITY_MAX];
    const struct nd_config *c = r->config;
    const struct nd_node *self = &c->node[r->self], *peer = &c->node[!r->self];
    const struct nd_timing *t = &c->timing;
    struct rp_config config = {
        .core = {.lanes = c->chain.lanes,
                 .role = self->role == ND_ROLE_STANDBY,
                 .strict = c->protect.strict,
                 .warm = c->protect.standby == ND_STANDBY_WARM,
                 .incarnation = r->incarnation,
                 .heartbeat_ms = t->heartbeat_ms,
                 .lease_ms = t->lease_ms,
                 .detect_ms = t->detect_ms,
                 .promote_within_ms = t->promote_within_ms,
                 .solo_after_ms = t->solo_after_ms,
                 .resync_deadline_ms = t->resync_deadline_ms,
                 .start_alone_ms = t->start_alone_ms,
                 .drain_ms = DRAIN_MS,
                 .identity = identity},
        .link = {.local_host = self->host,
                 .peer_host = peer->host,
                 .local_port = self->tcp_port,
                 .peer_port = peer->tcp_port,
                 .listens = strcmp(self->name, peer->name) < 0},
        .region = r->region,
        .lanes = r->shared,
        .published = r->group.published,
        .pending_bytes = (uint64_t)c->protect.pending_mb << 20,
        .resync_mbps = t->resync_mbps,
        .protect = c->protect.mode != ND_MODE_OFF,
        .view_file = r->view_file,
        .told = told,
        .view = new_view,
        .arg = r,
    };

    /* The primary's credit is its own file's, the ring is the standby's. */
    int own = snprintf(identity, sizeof(identity), "pending_mb=%u\n", c->protect.pending_mb);

    config.core.identity_len =
        (uint32_t)own + nf_chain_identity(&c->chain, identity + own, sizeof(identity) - (uint32_t)own);
    snprintf(config.core.name, sizeof(config.core.name), "%s", self->name);
    snprintf(r->view_file, sizeof(r->view_file), "%s/%s.view", self->state, self->name);
    int error = rp_open(&r->replicator, &config, fault);
    struct rp_status s;

    if (error)
        return error;
    /* From the start, not from the next view on: a restarted standby may die in the view it finds. */
    rp_status(r->replicator, &s);
    new_view(r, s.core.view);
    return 0;
}

static int open_server(struct nd_running *r, struct ft_fault *fault)
{
    return nd_server_open(&r->server, r->config->node[r->self].control, fault);
}

/* A killed process holds its sockets until its memory is gone; its successor may be back before that. */
static int patiently(struct nd_running *r, int (*open)(struct nd_running *, struct ft_fault *),
                     struct ft_fault *fault)
{
    int error = open(r, fault);

    for (int i = 0; error == FT_EBUSY && i < TAKEN_MS / 10 && !atomic_load(&r->stop); i++) {
        nanosleep(&(struct timespec){0, 10000000}, NULL);
        error = open(r, fault);
    }
    return error;
}

/* In the order in which a mistake is cheapest to find; on failure the caller takes apart what stands. */
static int put_together(struct nd_running *r, struct ft_fault *fault)
{
    const struct nd_node *self = &r->config->node[r->self], *peer = &r->config->node[!r->self];
    char directory[256];
    int error;

    snprintf(directory, sizeof(directory), "%s", self->control);
    char *slash = strrchr(directory, '/');

    directory[slash ? slash - directory : 0] = '\0'; /* a bare name lies in the working directory */
    if (getrandom(&r->incarnation, sizeof(r->incarnation), 0) != sizeof(r->incarnation))
        return ft_fail(fault, FT_EIO, "the system gives no random numbers");
    if ((directory[0] && (error = make_directory(directory, fault))) ||
        (error = make_directory(self->state, fault)))
        return error;
    if ((error = patiently(r, open_server, fault)))
        return error;
    if (r->config->protect.mode != ND_MODE_OFF &&
        (error = nd_guardian_start(&r->guardian, r->config->chain.lanes, self->host, peer->host,
                                   peer->tcp_port, fault)))
        return error;
    if ((error = open_region(r, fault)) || (error = nd_ports_open(&r->ports, r->config, r->self, fault)) ||
        (error = open_recorder(r, fault)) || (error = open_redis(r, fault)) || (error = make_lanes(r, fault)))
        return error;
    return patiently(r, open_replicator, fault);
}

static void take_apart(struct nd_running *r)
{
    if (r->guardian)
        nd_guardian_stop(r->guardian);
    rp_close(r->replicator);
    nd_server_close(r->server);
    if (r->ports.count)
        nd_ports_close(&r->ports);
    lg_recorder_close(r->recorder);
    for (unsigned l = 0; r->lanes && l < r->config->chain.lanes; l++)
        nd_lane_free(&r->lanes[l]);
    for (unsigned l = 0; r->shared && l < r->config->chain.lanes; l++)
        ft_lane_free(&r->shared[l]);
    nd_redis_close(r->redis);
    if (r->region)
        ft_region_close(r->region);
    free(r->shared);
    free(r->lanes);
    free(r->question.out);
    nd_config_free(r->config);
}

/* ---- running ----------------------------------------------------------------------------------- */

static void *replicate(void *arg)
{
    struct nd_running *r = arg;

    prctl(PR_SET_NAME, "us-replicator");
    prctl(PR_SET_TIMERSLACK, 1000ul);
    rp_run(r->replicator);
    return NULL;
}

/* A real-time thread, where permitted: heartbeats and acknowledgements must not wait behind packet work. */
static int start_replicator(struct nd_running *r, pthread_t *thread)
{
    const struct nd_node *self = &r->config->node[r->self];
    struct sched_param priority = {.sched_priority = 10};
    pthread_attr_t attr;
    int error = -1;

    pthread_attr_init(&attr);
    pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
    pthread_attr_setschedpolicy(&attr, SCHED_FIFO);
    pthread_attr_setschedparam(&attr, &priority);
    if (self->realtime)
        error = pthread_create(thread, &attr, replicate, r);
    pthread_attr_destroy(&attr);
    r->realtime = error == 0;
    if (!r->realtime && r->config->timing.detect_ms < 20)
        fprintf(stderr, "understudy: %s: detect_ms %u without real-time priority: expect false takeovers\n",
                self->name, r->config->timing.detect_ms);
    return error == 0 ? 0 : pthread_create(thread, NULL, replicate, r);
}

static int launch_lanes(struct nd_running *r)
{
    unsigned lcore, l = 0;

    RTE_LCORE_FOREACH_WORKER(lcore)
    {
        if (l < r->config->chain.lanes && rte_eal_remote_launch(nd_lane_run, &r->lanes[l], lcore) == 0)
            l++;
    }
    return l == r->config->chain.lanes ? 0 : FT_EINVAL;
}

static void obey_drill(struct nd_running *r)
{
    char kind[32];

    if (!rp_drilled(r->replicator, kind, sizeof(kind)))
        return;
    if (!r->config->drill_permit) {
        fprintf(stderr, "understudy: %s: the peer asked for a drill; the file does not permit it\n",
                r->config->node[r->self].name);
        return;
    }
    fprintf(stderr, "understudy: %s: drill: %s\n", r->config->node[r->self].name, kind);
    raise(strcmp(kind, "hang") == 0 ? SIGSTOP : SIGKILL);
}

/* The replicator stores a view without waiting for the disk: here is time for it. */
static void sync_view(struct nd_running *r, uint64_t *synced)
{
    uint64_t view = atomic_load(&r->view);
    struct ft_fault fault;

    if (view == *synced || r->config->protect.mode == ND_MODE_OFF)
        return;
    if (rp_view_sync(r->view_file, &fault) != 0)
        fprintf(stderr, "understudy: %s\n", fault.text);
    *synced = view;
}

/* A node that does not fit its peer has nothing to do here; one that serves goes on serving. */
static bool turned_away(struct nd_running *r)
{
    struct rp_status s;

    rp_status(r->replicator, &s);
    if (!s.core.refused || s.core.state != FT_JOINING)
        return false;
    bool reigns =
        s.core.peer.state == FT_SOLO || s.core.peer.state == FT_PROTECTED || s.core.peer.state == FT_DEGRADED;

    if (r->config->node[r->self].role == ND_ROLE_PRIMARY && !reigns)
        return false;
    fprintf(stderr, "understudy: node %s: %s\n", r->config->node[r->self].name, s.core.why);
    return true;
}

static bool lost_state(struct nd_running *r)
{
    const char *why = r->redis ? nd_redis_lost(r->redis) : NULL;

    if (why)
        fprintf(stderr, "understudy: node %s: %s\n", r->config->node[r->self].name, why);
    return why != NULL;
}

static int keep_going(struct nd_running *r)
{
    pthread_t replicator;
    uint64_t synced = 0;
    int code = ND_DONE;

    if (launch_lanes(r) != 0) {
        fprintf(stderr, "understudy: node %s: fewer lcores than lanes\n", r->config->node[r->self].name);
        atomic_store(&r->lanes_stop, true);
        rte_eal_mp_wait_lcore();
        return ND_DATA;
    }
    if (start_replicator(r, &replicator) != 0) {
        fprintf(stderr, "understudy: no thread for the replicator\n");
        atomic_store(&r->lanes_stop, true);
        rte_eal_mp_wait_lcore();
        return ND_SOFTWARE;
    }
    while (!atomic_load(&r->stop)) {
        nd_server_serve(r->server, SERVE_MS, nd_answer, r);
        obey_drill(r);
        sync_view(r, &synced);
        if (turned_away(r)) {
            code = ND_DATA;
            break;
        }
        if (lost_state(r)) {
            code = ND_NO_ANSWER;
            break;
        }
    }
    /* Lanes first: once they stand nothing can leave, and the closing connection tells the truth. */
    atomic_store(&r->lanes_stop, true);
    rp_stop(r->replicator);
    rte_eal_mp_wait_lcore();
    pthread_join(replicator, NULL);
    return code;
}

static int exit_of(int error)
{
    if (error == FT_EPERM)
        return ND_NO_PERMISSION;
    /* An address that somebody else has, or that this host does not have: yet, or still. */
    if (error == FT_EBUSY || error == FT_ENOENT)
        return ND_NO_ANSWER;
    /* No memory: the file asks for more than this machine has. */
    return error == FT_EIO ? ND_SOFTWARE : ND_DATA;
}

int nd_cmd_run(int argc, char **argv)
{
    static struct nd_running r;
    struct nd_options options;
    struct ft_fault fault = {""};
    struct sigaction stop = {.sa_handler = stop_signal};
    int code = nd_options_read(&options, argc, argv, ND_OPT_FILE | ND_OPT_NODE | ND_OPT_NEED_NODE, 0, 0, ""),
        error;

    if (code)
        return code;
    error = nd_config_read(&r.config, options.file, true, &fault);
    if (error) {
        fprintf(stderr, "understudy: %s\n", fault.text);
        return nd_exit_of_file(error);
    }
    int self = nd_config_node(r.config, options.node);

    if (self < 0) {
        fprintf(stderr, "understudy: %s: no node '%s', expected %s or %s\n", options.file, options.node,
                r.config->node[0].name, r.config->node[1].name);
        nd_config_free(r.config);
        return ND_USAGE;
    }
    if (r.config->protect.mode == ND_MODE_OFF && r.config->node[self].role == ND_ROLE_STANDBY) {
        fprintf(stderr,
                "understudy: node %s: protect mode is off, expected node %s, the primary, to run alone\n",
                r.config->node[self].name, r.config->node[!self].name);
        nd_config_free(r.config);
        return ND_DATA;
    }
    r.self = (unsigned)self;
    the_node = &r;
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
    signal(SIGPIPE, SIG_IGN);
    error = put_together(&r, &fault);
    if (error) {
        fprintf(stderr, "understudy: %s\n", fault.text);
        take_apart(&r);
        return exit_of(error);
    }
    code = keep_going(&r);
    take_apart(&r);
    return code;
}
