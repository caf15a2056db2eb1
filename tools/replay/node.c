/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A node of the replay tool: a real one (region, lane, replicator, link over the loopback) in a process of
 * its own that can be killed at any moment, with the tool's memory for ports. No guardian: the end of the
 * connection tells the other one. Times are long, so that a loaded machine raises no false alarm; they decide
 * how soon something happens, never what.
 */
#include "node/base/clock.h"
#include "ftcore/base/draw.h"
#include "tools/pair/member.h"
#include "tools/replay/slot.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define RESYNC_MBPS  4000u
#define IDLE_SHORT   500u /* turns without work */
#define SLEEP_SHORT  50000l
#define SLEEP_LONG   200000l
#define FIT_MAX      3000000u /* ns: a pause of a link that delivers by fits and starts */
#define STATUS_EVERY 1000000ull

struct running {
    const struct nd_replay_node *node;
    struct nd_member_config config;
    struct nd_member member;
    struct nd_slot_io io;
    uint64_t random, status_at;
    unsigned idle; /* turns without work */
};

/* ---- putting together -------------------------------------------------------------------------- */

/* What a lane holds bounds what its standby keeps: with room for that, replay forgets no output. */
static uint64_t replayed_bytes(const struct running *r)
{
    uint64_t each = sizeof(struct lg_output) + 160; /* headers, or a small packet */

    if (nf_chain_reads_payload(&r->node->config->chain) ||
        r->node->config->protect.capture == ND_CAPTURE_FULL)
        each = sizeof(struct lg_output) + r->io.frame_max + 8;
    return each * r->io.io.buffers / 2;
}

static int open_member(struct running *r, struct ft_fault *fault)
{
    const struct nd_replay_node *n = r->node;
    unsigned lanes = n->config->chain.lanes;
    int error = nd_slot_io_open(&r->io, n->slot, n->tapes, lanes, n->keeps, fault);

    r->config = (struct nd_member_config){.config = n->config,
                                          .io = &r->io.io,
                                          .shared = n->slot->shared,
                                          .name = n->name,
                                          .standby = n->standby,
                                          .host = n->host,
                                          .port = n->port,
                                          .peer = n->peer,
                                          .directory = n->directory,
                                          .region_name = "understudy replay",
                                          .timing = {.heartbeat_ms = 20,
                                                     .lease_ms = 3000,
                                                     .detect_ms = 5000,
                                                     .promote_within_ms = 20000,
                                                     .solo_after_ms = 40000,
                                                     .resync_deadline_ms = 60000,
                                                     .resync_mbps = RESYNC_MBPS},
                                          .seed = n->seed,
                                          .incarnation = n->incarnation,
                                          .status = &n->slot->status};
    if (error)
        return error;
    r->config.replayed_bytes = replayed_bytes(r);
    return nd_member_open(&r->member, &r->config, fault);
}

/* ---- running ----------------------------------------------------------------------------------- */

static void sleep_for(long ns)
{
    struct timespec t = {0, ns};

    nanosleep(&t, NULL);
}

static void show_figures(struct running *r, uint64_t now)
{
    struct rp_status s;

    if (now - r->status_at < STATUS_EVERY)
        return;
    r->status_at = now;
    rp_status(r->member.replicator, &s);
    atomic_store(&r->node->slot->log_bytes, s.log_bytes_wire);
    atomic_store(&r->node->slot->delta_bytes, s.delta_bytes_wire);
    atomic_store(&r->node->slot->refused, s.refused);
    if (s.refused)
        memcpy(r->node->slot->refusal, s.last_refused, sizeof(s.last_refused));
}

/* One turn of the replicator and a wait. Near a kill, pauses gather records and answers into batches. */
static int replicate_turn(void *arg, struct ft_fault *fault)
{
    struct running *r = arg;
    uint64_t now = nd_now();

    (void)fault;
    r->idle = rp_turn(r->member.replicator, now) ? 0 : r->idle + 1;
    show_figures(r, now);
    if (atomic_load_explicit(&r->node->slot->fits, memory_order_relaxed) && ft_draw(&r->random) % 2 == 0)
        sleep_for((long)(ft_draw(&r->random) % FIT_MAX));
    else if (r->idle)
        sleep_for(r->idle < IDLE_SHORT ? SLEEP_SHORT : SLEEP_LONG);
    return 0;
}

static int run_member(struct running *r, struct ft_fault *fault)
{
    int error = nd_member_start(&r->member, NULL, fault);

    return error ? error : nd_member_serve(&r->member, replicate_turn, r, fault);
}

_Noreturn void nd_replay_node(const struct nd_replay_node *node)
{
    static struct running r;
    struct nd_slot *slot = node->slot;

    prctl(PR_SET_TIMERSLACK, 1000ul);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_IGN); /* the tool's to act on */
    r.node = node;
    r.random = node->seed ^ node->incarnation;
    if (open_member(&r, &slot->status.fault) != 0 || run_member(&r, &slot->status.fault) != 0)
        atomic_store(&slot->status.failed, true);
    _exit(0);
}
