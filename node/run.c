/* SPDX-License-Identifier: Apache-2.0 */
/*
 * understudy run: keeps a node going that was put together (running.c). Threads: this one (control socket),
 * the replicator, one per lane; and the guardian's process.
 */
#include "node/control/options.h"
#include "node/lane/lane.h"
#include "node/running.h"

#include <rte_eal.h>
#include <rte_launch.h>
#include <rte_lcore.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>

#define SERVE_MS 20

static struct nd_running the_node; /* static for the signal handler alone */

static void stop_signal(int number)
{
    (void)number;
    atomic_store(&the_node.stop, true);
}

static void *replicate(void *arg)
{
    struct nd_running *r = arg;
    const struct nd_node *self = &r->config->node[r->self];

    prctl(PR_SET_NAME, "us-replicator");
    prctl(PR_SET_TIMERSLACK, 1000ul);
    r->realtime = self->realtime && nd_priority_realtime();
    if (!r->realtime && r->config->timing.detect_ms < 20)
        fprintf(stderr, "understudy: %s: detect_ms %u without real-time priority: expect false takeovers\n",
                self->name, r->config->timing.detect_ms);
    rp_run(r->replicator);
    return NULL;
}

static bool launch_lanes(struct nd_running *r)
{
    unsigned lcore, l = 0;

    RTE_LCORE_FOREACH_WORKER(lcore)
    {
        if (l < r->config->chain.lanes && rte_eal_remote_launch(nd_lane_run, &r->lanes[l], lcore) == 0)
            l++;
    }
    return l == r->config->chain.lanes;
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

    if (view == *synced || !r->config->protect.pair)
        return;
    if (rp_view_sync(r->view_file, &fault) != 0)
        fprintf(stderr, "understudy: %s\n", fault.text);
    *synced = view;
}

/* A node that does not fit its peer has nothing to do here; one that serves goes on serving. */
static bool is_turned_away(struct nd_running *r)
{
    struct rp_status s;

    rp_status(r->replicator, &s);
    if (!s.core.refused || s.core.state != FT_JOINING)
        return false;
    if (r->config->node[r->self].role == ND_ROLE_PRIMARY && !ft_is_primary(s.core.peer.state))
        return false;
    fprintf(stderr, "understudy: node %s: %s\n", r->config->node[r->self].name, s.core.why);
    return true;
}

static bool has_lost_state(struct nd_running *r)
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

    if (!launch_lanes(r)) {
        fprintf(stderr, "understudy: node %s: fewer lcores than lanes\n", r->config->node[r->self].name);
        code = ND_DATA;
    } else if (pthread_create(&replicator, NULL, replicate, r) != 0) {
        fprintf(stderr, "understudy: no thread for the replicator\n");
        code = ND_SOFTWARE;
    }
    if (code) {
        atomic_store(&r->lanes_stop, true);
        rte_eal_mp_wait_lcore();
        return code;
    }
    /* A status would take seconds otherwise. This thread sleeps unless asked. */
    if (r->config->node[r->self].realtime)
        nd_priority_raise();
    while (!code && !atomic_load(&r->stop)) {
        nd_server_serve(r->server, SERVE_MS, nd_answer, r);
        obey_drill(r);
        sync_view(r, &synced);
        nd_differences_save(r);
        code = is_turned_away(r) ? ND_DATA : has_lost_state(r) ? ND_NO_ANSWER : ND_DONE;
    }
    /* Lanes first: once they have ended nothing can leave, and the closing connection tells the truth. */
    atomic_store(&r->lanes_stop, true);
    rp_stop(r->replicator);
    rte_eal_mp_wait_lcore();
    pthread_join(replicator, NULL);
    return code;
}

/* An address that somebody else has, or that this host does not have: yet, or still. No memory: the file
 * asks for more than this machine has. */
static int exit_of(int error)
{
    return error == FT_EPERM                         ? ND_NO_PERMISSION
           : error == FT_EBUSY || error == FT_ENOENT ? ND_NO_ANSWER
           : error == FT_EIO                         ? ND_SOFTWARE
                                                     : ND_DATA;
}

int nd_cmd_run(int argc, char **argv)
{
    struct nd_running *r = &the_node;
    struct nd_options options;
    struct ft_fault fault = {""};
    struct sigaction stop = {.sa_handler = stop_signal};
    int code = nd_options_read(&options, argc, argv, ND_OPT_FILE | ND_OPT_NODE | ND_OPT_NEED_NODE, 0, 0, ""),
        error;

    if (code)
        return code;
    error = nd_config_read(&r->config, options.file, true, &fault);
    if (error) {
        fprintf(stderr, "understudy: %s\n", fault.text);
        return nd_exit_of_file(error);
    }
    int self = nd_config_node(r->config, options.node);

    if (self < 0) {
        fprintf(stderr, "understudy: %s: no node '%s', expected %s or %s\n", options.file, options.node,
                r->config->node[0].name, r->config->node[1].name);
        code = ND_USAGE;
    } else if (!r->config->protect.pair && r->config->node[self].role == ND_ROLE_STANDBY) {
        fprintf(stderr,
                "understudy: node %s: protect mode is off, expected node %s, the primary, to run alone\n",
                r->config->node[self].name, r->config->node[!self].name);
        code = ND_DATA;
    }
    if (code) {
        nd_config_free(r->config);
        return code;
    }
    r->self = (unsigned)self;
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
    signal(SIGPIPE, SIG_IGN);
    error = nd_running_open(r, &fault);
    if (error)
        fprintf(stderr, "understudy: %s\n", fault.text);
    code = error ? exit_of(error) : keep_going(r);
    nd_running_close(r);
    return code;
}
