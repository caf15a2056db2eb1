/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two nodes of a replay run: real ones (region, lanes, replicator, link over the loopback), each in a
 * process of its own that can be killed at any moment, with the tool's memory for ports. No guardian: the end
 * of the connection tells the other one. Times are long, so that a loaded machine raises no false alarm; they
 * decide how soon something happens, never what.
 */
#include "tools/replay/replay.h"
#include "ftcore/base/draw.h"
#include "nflib/chain/chain.h"
#include "node/base/clock.h"
#include "tools/pair/child.h"

#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define REST_NS      30000000000ull
#define RESYNC_MBPS  4000u
#define IDLE_SHORT   500u /* turns without work */
#define SLEEP_SHORT  50000u
#define SLEEP_LONG   200000u
#define FIT_MAX      3000000u /* ns: a pause of a link that delivers by fits and starts */
#define STATUS_EVERY 1000000ull

/* ---- in a node's process ----------------------------------------------------------------------- */

static struct running {
    const struct nd_replay *all; /* this and `number` as they were before the fork */
    unsigned number;
    struct nd_slot *slot;
    struct nd_config *own; /* the file and its modules, read in this process */
    struct nd_member_config config;
    struct nd_member member;
    struct nd_slot_io io;
    uint64_t random, status_at;
    unsigned idle; /* turns without work */
} running;

/* What a lane holds bounds what its standby keeps: with room for that, replay forgets no output. */
static uint64_t replayed_bytes(const struct nd_config *config, const struct nd_io *io)
{
    uint64_t each = 160; /* headers, or a small packet */

    if (nf_chain_reads_payload(&config->chain) || config->protect.capture == ND_CAPTURE_FULL)
        each = io->frame_max + 8;
    return (sizeof(struct lg_output) + each) * io->buffers / 2;
}

static void show_figures(struct running *r, uint64_t now)
{
    struct rp_status s;

    if (now - r->status_at < STATUS_EVERY)
        return;
    r->status_at = now;
    rp_status(r->member.replicator, &s);
    atomic_store(&r->slot->log_bytes, s.log_bytes_wire);
    atomic_store(&r->slot->delta_bytes, s.delta_bytes_wire);
    atomic_store(&r->slot->refused, s.refused);
    if (s.refused)
        memcpy(r->slot->refusal, s.last_refused, sizeof(s.last_refused));
}

/* One turn of the replicator and a wait. Near a kill, pauses gather records and answers into batches. */
static int replicate_turn(void *arg, struct ft_fault *fault)
{
    struct running *r = arg;
    uint64_t now = nd_now();

    (void)fault;
    if (atomic_load(&r->slot->status.rested)) { /* its state is looked at, and changes no more */
        nd_sleep(SLEEP_LONG);
        return 0;
    }
    r->idle = rp_turn(r->member.replicator, now) ? 0 : r->idle + 1;
    show_figures(r, now);
    if (atomic_load_explicit(&r->slot->fits, memory_order_relaxed) && ft_draw(&r->random) % 2 == 0)
        nd_sleep(ft_draw(&r->random) % FIT_MAX);
    else if (r->idle)
        nd_sleep(r->idle < IDLE_SHORT ? SLEEP_SHORT : SLEEP_LONG);
    return 0;
}

/* At a burst's end, by its lane. What came by a delta was no burst here. */
static void note_burst(void *arg, unsigned index, const uint64_t sums[FT_AUDIT_SUMS])
{
    const struct running *r = arg;
    const struct nd_lane *lane = &r->member.lanes.lane[index];
    bool live = lane->doing == FT_LANE_LIVE;

    if (live || !lane->apply.last_was_chunk)
        nd_sums_note(&r->all->sums, !live, index, nf_chain_state(lane->chain)->burst, sums);
}

/* The process of a node. */
static int run_node(void *arg, struct ft_fault *fault)
{
    struct running *r = arg;
    const struct nd_replay *all = r->all;
    int error;

    nd_scatter();
    error = nd_replay_config(&r->own, all->options, ND_CONFIG_QUIET, fault);
    if (error)
        return error;
    r->slot = all->node[r->number].slot;
    r->config = (struct nd_member_config){.config = r->own,
                                          .io = &r->io.io,
                                          .words = r->slot->words,
                                          .place = &all->place,
                                          .number = r->number,
                                          .region_name = "understudy replay",
                                          .timing = {.heartbeat_ms = 20,
                                                     .lease_ms = 3000,
                                                     .detect_ms = 5000,
                                                     .promote_within_ms = 20000,
                                                     .solo_after_ms = 40000,
                                                     .resync_deadline_ms = 60000,
                                                     .resync_mbps = RESYNC_MBPS},
                                          .seed = all->options->seed,
                                          .datagram_key.incarnation = nd_now() ^ (uint64_t)r->number << 63,
                                          .status = &r->slot->status};
    r->random = r->config.seed ^ r->config.datagram_key.incarnation;
    error = nd_slot_io_open(&r->io, r->slot, all->tapes, all->lanes, !all->options->no_input_keeper, fault);
    r->config.replayed_bytes = replayed_bytes(r->own, &r->io.io);
    if (!error)
        error = nd_member_open(&r->member, &r->config, fault);
    if (!error)
        r->slot->region_fd = r->member.lanes.region->fd;
    if (!error)
        ft_audit_watch(r->member.lanes.region, note_burst, r);
    if (!error)
        error = nd_member_start(&r->member, NULL, fault);
    return error ? error : nd_member_serve(&r->member, replicate_turn, r, fault);
}

/* ---- in the tool's process --------------------------------------------------------------------- */

static int renew_slot(struct nd_replay *r, unsigned n, struct ft_fault *fault)
{
    nd_slot_free(r->node[n].slot, r->lanes);
    r->node[n].slot = nd_slot_new(r->lanes);
    return r->node[n].slot ? 0 : ft_fail(fault, FT_ENOMEM, "no memory between the nodes");
}

int nd_nodes_open(struct nd_replay *r, struct ft_fault *fault)
{
    int error = nd_loopback_open(&r->place, false, fault);

    if (!error && r->config->protect.audit)
        error = nd_sums_open(&r->sums, r->tape.burst_count + 2, r->lanes, r->config->chain.count, fault);
    for (unsigned n = 0; n < ND_NODES && !error; n++)
        error = renew_slot(r, n, fault);
    return error;
}

int nd_nodes_start(struct nd_replay *r, unsigned n, struct ft_fault *fault)
{
    int error = renew_slot(r, n, fault);

    if (error)
        return error;
    running = (struct running){.all = r, .number = n};
    return nd_member_fork(&r->node[n].pid, &r->node[n].slot->status, run_node, &running, fault);
}

/* What a node has counted, before its slot is used again. */
static void add_counts(struct nd_replay *r, unsigned n)
{
    struct nd_slot *slot = r->node[n].slot;

    for (unsigned l = 0; l < r->lanes; l++) {
        r->divergences += atomic_load(&slot->words[l].count.divergences);
        r->counts.suppressed += atomic_load(&slot->words[l].count.tail_suppressed);
    }
    r->log_bytes += atomic_load(&slot->log_bytes);
    r->delta_bytes += atomic_load(&slot->delta_bytes);
    if (atomic_load(&slot->refused)) {
        r->refused += atomic_load(&slot->refused);
        memcpy(r->refusal, slot->refusal, sizeof(r->refusal));
    }
    r->deltas += atomic_load(&slot->words[0].count.cuts);
}

void nd_nodes_kill(struct nd_replay *r, unsigned n)
{
    nd_child_kill(&r->node[n].pid);
    add_counts(r, n);
}

int nd_nodes_check(struct nd_replay *r, struct ft_fault *fault)
{
    int error = 0;

    for (unsigned n = 0; n < ND_NODES && !error; n++) {
        const struct nd_slot *slot = r->node[n].slot;

        error = nd_member_check(&r->node[n].pid, n, &slot->status, slot->words, fault);
        if (error)
            add_counts(r, n);
    }
    return error;
}

uint64_t nd_nodes_rest(struct nd_replay *r, unsigned n, bool *rested)
{
    struct nd_slot *slot = r->node[n].slot;
    uint64_t began = nd_now();
    pid_t ended = 0;
    int status;

    *rested = false;
    if (!r->node[n].pid)
        return 0;
    atomic_store(&slot->status.wish, ND_MEMBER_REST);
    while (!(*rested = atomic_load(&slot->status.rested)) && nd_now() - began < REST_NS &&
           (ended = waitpid(r->node[n].pid, &status, WNOHANG)) == 0)
        nd_sleep(100000);
    if (ended) /* its number may be another's by now */
        r->node[n].pid = 0;
    if (!*rested)
        nd_child_kill(&r->node[n].pid);
    add_counts(r, n);
    return atomic_load(&slot->status.digest);
}

void nd_nodes_close(struct nd_replay *r)
{
    for (unsigned n = 0; n < ND_NODES; n++) {
        nd_child_kill(&r->node[n].pid);
        nd_slot_free(r->node[n].slot, r->lanes);
        r->node[n].slot = NULL;
    }
    nd_loopback_close(&r->place);
}
