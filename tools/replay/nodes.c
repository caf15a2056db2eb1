/* SPDX-License-Identifier: Apache-2.0 */
/* The two node processes of a replay run: started, watched, killed, and put to rest. */
#include "tools/replay/replay.h"
#include "tools/pair/child.h"
#include "node/base/clock.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define REST_NS 30000000000ull

int nd_nodes_open(struct nd_replay *r, struct ft_fault *fault)
{
    int error = nd_loopback_open(&r->place, fault);

    for (unsigned n = 0; n < ND_NODES && !error; n++) {
        r->node[n].slot = nd_slot_new(r->config->chain.lanes);
        if (!r->node[n].slot)
            error = ft_fail(fault, FT_ENOMEM, "no memory between the nodes");
    }
    return error;
}

int nd_nodes_start(struct nd_replay *r, unsigned n, struct ft_fault *fault)
{
    struct nd_replay_node node = {.config = r->config,
                                  .tapes = r->tapes,
                                  .slot = r->node[n].slot,
                                  .name = {(char)('a' + n), '\0'},
                                  .standby = n == 1,
                                  .keeps = !r->options->no_gate,
                                  .port = r->place.port[n],
                                  .peer = r->place.port[!n],
                                  .host = r->place.host,
                                  .directory = r->place.directory,
                                  .seed = r->options->seed,
                                  .incarnation = nd_now() ^ (uint64_t)n << 63};

    nd_slot_reset(node.slot, r->config->chain.lanes);
    r->node[n].pid = nd_child();
    if (r->node[n].pid == 0)
        nd_replay_node(&node);
    if (r->node[n].pid < 0) {
        r->node[n].pid = 0;
        return ft_fail(fault, FT_ENOMEM, "no process for node %s: %s", node.name, strerror(errno));
    }
    return 0;
}

/* What a node has counted, before its slot is used again. */
static void add_counts(struct nd_replay *r, unsigned n)
{
    struct nd_slot *slot = r->node[n].slot;

    for (unsigned l = 0; l < r->config->chain.lanes; l++) {
        r->divergences += atomic_load(&slot->shared[l].count.divergences);
        r->gate[l].suppressed += atomic_load(&slot->shared[l].count.tail_suppressed);
    }
    r->log_bytes += atomic_load(&slot->log_bytes);
    r->delta_bytes += atomic_load(&slot->delta_bytes);
    if (atomic_load(&slot->refused)) {
        r->refused += atomic_load(&slot->refused);
        memcpy(r->refusal, slot->refusal, sizeof(r->refusal));
    }
    r->deltas += atomic_load(&slot->shared[0].count.cuts);
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

        error = nd_member_check(&r->node[n].pid, &slot->status, (char)('a' + n),
                                atomic_load(&slot->shared[0].report.executed) + 1, fault);
        if (error)
            add_counts(r, n);
    }
    return error;
}

uint64_t nd_nodes_rest(struct nd_replay *r, unsigned n, bool *rested)
{
    struct nd_slot *slot = r->node[n].slot;
    struct timespec step = {0, 100000};
    uint64_t began = nd_now();
    int status;

    *rested = false;
    if (!r->node[n].pid)
        return 0;
    atomic_store(&slot->status.wish, ND_MEMBER_REST);
    while (!(*rested = atomic_load(&slot->status.rested)) && nd_now() - began < REST_NS &&
           waitpid(r->node[n].pid, &status, WNOHANG) == 0)
        nanosleep(&step, NULL);
    atomic_store(&slot->status.wish, ND_MEMBER_END);
    if (!*rested)
        kill(r->node[n].pid, SIGKILL);
    nd_child_wait(r->node[n].pid);
    r->node[n].pid = 0;
    add_counts(r, n);
    return atomic_load(&slot->status.digest);
}

void nd_nodes_close(struct nd_replay *r)
{
    for (unsigned n = 0; n < ND_NODES; n++) {
        nd_child_kill(&r->node[n].pid);
        nd_slot_free(r->node[n].slot, r->config->chain.lanes);
        r->node[n].slot = NULL;
    }
    nd_loopback_close(&r->place);
}
