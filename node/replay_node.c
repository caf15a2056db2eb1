/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node of the replay tool: a real one (region, lane, replicator, link over the loopback) in a process of
 * its own that can be killed at any moment, with the tool's memory for ports. No guardian: the end of the
 * connection tells the other one. Times are long, so that a loaded machine raises no false alarm; they decide
 * how soon something happens, never what.
 */
#include "node/lane.h"
#include "node/clock.h"
#include "node/replay_slot.h"
#include "replicator/replicator.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define SPARE_BYTES  (2u * FT_RECORD_MAX) /* of a replay ring, above the credit */
#define RESYNC_MBPS  4000u
#define IDLE_SHORT   500u /* turns without work */
#define NAP_SHORT    50000l
#define NAP_LONG     200000l
#define FIT_MAX      3000000u /* ns: a pause of a link that delivers by fits and starts */
#define STATUS_EVERY 1000000ull

struct running {
    const struct nd_replay_node *node;
    struct nd_slot_io io;
    struct ft_region *region;
    struct nd_lane *lanes;
    struct nd_group group;
    pthread_t *threads;
    struct rp_replicator *replicator;
    struct nd_question question;
    uint64_t random, status_at;
    _Atomic uint64_t view;
    _Atomic bool stop;
};

static uint64_t draw(uint64_t *sequence)
{
    uint64_t z = (*sequence += 0x9e3779b97f4a7c15ull);

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

static void told(void *arg, enum ft_state state, uint64_t view, const char *why)
{
    struct nd_slot *slot = ((struct running *)arg)->node->slot;

    (void)view;
    snprintf(slot->why, sizeof(slot->why), "%s", why);
    atomic_store(&slot->state, (int)state);
}

/* ---- putting together -------------------------------------------------------------------------- */

static int open_region(struct running *r, struct ft_fault *fault)
{
    static uint64_t sizes[FT_NFS_MAX];
    static const char *names[FT_NFS_MAX];
    const struct nf_chain_config *chain = &r->node->config->chain;
    struct ft_region_config c = {.name = "understudy replay",
                                 .lanes = chain->lanes,
                                 .nfs = (uint16_t)(chain->count + 1),
                                 .arena_size = sizes,
                                 .nf_name = names,
                                 .shared_size = nd_replay_shared(chain),
                                 .audit = r->node->config->protect.audit};

    nf_chain_arenas(chain, sizes, names);
    return ft_region_open(&r->region, &c, fault);
}

/* What a lane holds bounds what its standby keeps: with room for that, replay forgets no output. */
static uint64_t kept_bytes(const struct running *r)
{
    uint64_t each = sizeof(struct lg_output) + 160; /* headers, or a small packet */

    if (nf_chain_reads_payload(&r->node->config->chain) ||
        r->node->config->protect.capture == ND_CAPTURE_FULL)
        each = sizeof(struct lg_output) + r->io.frame_max + 8;
    return each * r->io.io.buffers / 2;
}

static int make_lane(struct running *r, unsigned l, struct ft_fault *fault)
{
    const struct nd_protect *p = &r->node->config->protect;
    struct ft_lane *shared = &r->node->slot->shared[l];

    if (ft_lane_init(shared, (uint64_t)p->log_mb << 20, ((uint64_t)p->pending_mb << 20) + SPARE_BYTES) != 0)
        return ft_fail(fault, FT_ENOMEM, "no memory for rings of %u + %u MB", p->log_mb, p->pending_mb);
    r->lanes[l] = (struct nd_lane){.index = l,
                                   .config = r->node->config,
                                   .io = &r->io.io,
                                   .region = r->region,
                                   .shared = shared,
                                   .group = &r->group,
                                   .question = &r->question,
                                   .seed = r->node->seed,
                                   .kept_bytes = kept_bytes(r),
                                   .incarnation = r->node->incarnation,
                                   .view = &r->view,
                                   .stop = &r->stop};
    return nd_lane_make(&r->lanes[l], fault);
}

static int open_replicator(struct running *r, struct ft_fault *fault)
{
    static char identity[FT_IDENTITY_MAX], view_file[300];
    const struct nd_replay_node *n = r->node;
    const struct nd_config *c = n->config;
    struct rp_config config = {
        .core = {.lanes = c->chain.lanes,
                 .role = n->standby,
                 .strict = c->protect.strict,
                 .warm = c->protect.standby == ND_STANDBY_WARM,
                 .incarnation = n->incarnation,
                 .heartbeat_ms = 20,
                 .lease_ms = 3000,
                 .detect_ms = 5000,
                 .promote_within_ms = 20000,
                 .solo_after_ms = 40000,
                 .resync_deadline_ms = 60000,
                 .identity = identity},
        .link = {.local_host = n->host,
                 .peer_host = n->host,
                 .local_port = n->port,
                 .peer_port = n->peer,
                 .listens = n->name[0] == 'a'},
        .region = r->region,
        .lanes = n->slot->shared,
        .published = r->group.published,
        .pending_bytes = (uint64_t)c->protect.pending_mb << 20,
        .resync_mbps = RESYNC_MBPS,
        .protect = c->protect.mode != ND_MODE_OFF,
        .view_file = view_file,
        .told = told,
        .arg = r,
    };

    config.core.identity_len = nf_chain_identity(&c->chain, identity, sizeof(identity));
    snprintf(config.core.name, sizeof(config.core.name), "%s", n->name);
    snprintf(view_file, sizeof(view_file), "%s/%s.view", n->directory, n->name);
    return rp_open(&r->replicator, &config, fault);
}

static int put_together(struct running *r, struct ft_fault *fault)
{
    unsigned lanes = r->node->config->chain.lanes;
    int error = nd_slot_io_open(&r->io, r->node->slot, r->node->tapes, lanes, r->node->keeps, fault);

    r->lanes = calloc(lanes, sizeof(*r->lanes));
    r->threads = calloc(lanes, sizeof(*r->threads));
    if (!r->lanes || !r->threads)
        return ft_fail(fault, FT_ENOMEM, "no memory for %u lanes", lanes);
    nd_group_init(&r->group, r->lanes, lanes);
    if (!error)
        error = open_region(r, fault);
    for (unsigned l = 0; l < lanes && !error; l++)
        error = make_lane(r, l, fault);
    if (!error)
        error = open_replicator(r, fault);
    return error;
}

/* ---- running ----------------------------------------------------------------------------------- */

static void *run_lane(void *lane)
{
    nd_lane_run(lane);
    return NULL;
}

static void nap(long ns)
{
    struct timespec t = {0, ns};

    nanosleep(&t, NULL);
}

static void show(struct running *r, uint64_t now)
{
    struct rp_status s;

    if (now - r->status_at < STATUS_EVERY)
        return;
    r->status_at = now;
    rp_status(r->replicator, &s);
    atomic_store(&r->node->slot->log_bytes, s.log_bytes_wire);
    atomic_store(&r->node->slot->delta_bytes, s.delta_bytes_wire);
    atomic_store(&r->node->slot->refused, s.refused);
    if (s.refused)
        memcpy(r->node->slot->refusal, s.last_refused, sizeof(s.last_refused));
}

/* One turn of the replicator and a wait. Near a kill, pauses gather records and answers into batches. */
static void turn(struct running *r, unsigned *idle)
{
    uint64_t now = nd_now();

    *idle = rp_turn(r->replicator, now) ? 0 : *idle + 1;
    show(r, now);
    if (atomic_load_explicit(&r->node->slot->fits, memory_order_relaxed) && draw(&r->random) % 2 == 0)
        nap((long)(draw(&r->random) % FIT_MAX));
    else if (*idle)
        nap(*idle < IDLE_SHORT ? NAP_SHORT : NAP_LONG);
}

static void rest(struct running *r)
{
    atomic_store(&r->stop, true);
    for (unsigned l = 0; l < r->node->config->chain.lanes; l++)
        pthread_join(r->threads[l], NULL);
    atomic_store(&r->node->slot->digest, ft_region_digest(r->region));
    atomic_store(&r->node->slot->rested, true);
}

static int run(struct running *r, struct ft_fault *fault)
{
    struct nd_slot *slot = r->node->slot;
    unsigned idle = 0;
    int wish;

    for (unsigned l = 0; l < r->node->config->chain.lanes; l++)
        if (pthread_create(&r->threads[l], NULL, run_lane, &r->lanes[l]) != 0)
            return ft_fail(fault, FT_ENOMEM, "no thread for lane %u", l);
    while ((wish = atomic_load(&slot->wish)) != ND_SLOT_END) {
        turn(r, &idle);
        if (wish == ND_SLOT_REST && !atomic_load(&slot->rested))
            rest(r);
    }
    return 0;
}

_Noreturn void nd_replay_node(const struct nd_replay_node *node)
{
    static struct running r;
    struct nd_slot *slot = node->slot;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    prctl(PR_SET_TIMERSLACK, 1000ul);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_IGN); /* the tool's to act on */
    r.node = node;
    r.random = node->seed ^ node->incarnation;
    if (put_together(&r, &slot->fault) != 0 || run(&r, &slot->fault) != 0)
        atomic_store(&slot->failed, true);
    _exit(0);
}
