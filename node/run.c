/* SPDX-License-Identifier: Apache-2.0 */
/*
 * understudy run: keeps a node going that was put together (running.c). Threads: this one (control socket),
 * the replicator, its writer of views, the one of the chain's files, one per lane, the one that looks whether
 * lanes hang, the writer of the event log, with `metrics` the one that serves them, DPDK's (interrupts,
 * telemetry); and the processes of guardian and reporter.
 */
#include "ftcore/base/event_log.h"
#include "ftcore/base/plant.h"
#include "ftcore/base/thread.h"
#include "ftcore/base/trust.h"
#include "node/base/clock.h"
#include "node/base/event_writer.h"
#include "node/base/privilege.h"
#include "node/base/processor.h"
#include "node/base/strangers.h"
#include "node/config/yaml.h"
#include "node/control/pair.h"
#include "node/lane/hang.h"
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
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SERVE_MS 20
#define STANDS_S 3 /* planted */

static struct nd_running the_node; /* static for the signal handler alone */

static void stop_signal(int number)
{
    (void)number;
    atomic_store(&the_node.stop, true);
}

static void reload_signal(int number)
{
    (void)number;
    atomic_store(&the_node.reload, true);
}

static void set_signals(void)
{
    static const int ends[] = {SIGTERM, SIGINT}, ignored[] = {SIGPIPE, SIGUSR1, SIGUSR2};
    const struct sigaction stop = {.sa_handler = stop_signal},
                           reload = {.sa_handler = reload_signal, .sa_flags = SA_RESTART};

    for (unsigned i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        sigaction(ends[i], &stop, NULL);
    for (unsigned i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        signal(ignored[i], SIG_IGN);
    sigaction(SIGHUP, &reload, NULL);
}

/* A thread's priority needs a capability, its work none: it begins when nobody has any. */
static void wait_for_go(struct nd_running *r)
{
    atomic_fetch_add(&r->begun, 1);
    while (!atomic_load(&r->go))
        nanosleep(&(struct timespec){0, 100000}, NULL);
}

/* Of the calling thread. */
static bool is_urgent(const struct nd_running *r)
{
    uint32_t asked = r->config->node[r->self].realtime;

    return asked == ND_REALTIME_TRUE || (asked == ND_REALTIME_AUTO && !nd_processors_own());
}

static int run_lane(void *lane)
{
    if (is_urgent(&the_node))
        nd_priority_raise();
    wait_for_go(&the_node);
    return nd_lane_run(lane);
}

static void *run_replicator(void *arg)
{
    struct nd_running *r = arg;
    bool urgent;

    ft_thread_begin("us-replicator");
    prctl(PR_SET_TIMERSLACK, 1000ul);
    urgent = is_urgent(r);
    r->realtime = urgent && nd_priority_realtime();
    if (urgent && !r->realtime)
        ft_log_event(FT_LEVEL_NOTICE, FT_SAYS_START,
                     "no real-time priority is permitted here: other work can delay heartbeats");
    if (!r->realtime && r->config->timing.detect_ms < 20)
        ft_log_event(FT_LEVEL_WARNING, FT_SAYS_START,
                     "detect_ms %u without real-time priority: expect false takeovers",
                     r->config->timing.detect_ms);
    wait_for_go(r);
    rp_run(r->replicator);
    rp_hang_up(r->replicator);
    return NULL;
}

/* A lane that hangs may have the priority of all lanes. */
static void *run_hang_watch(void *arg)
{
    ft_thread_begin("us-hangs");
    if (is_urgent(&the_node))
        nd_priority_raise();
    wait_for_go(&the_node);
    nd_hang_run(arg);
    return NULL;
}

static bool launch_lanes(struct nd_running *r)
{
    unsigned lcore, l = 0;

    RTE_LCORE_FOREACH_WORKER(lcore)
    {
        if (l < r->config->chain.lanes && rte_eal_remote_launch(run_lane, &r->lanes[l], lcore) == 0)
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
        ft_log_event(FT_LEVEL_WARNING, FT_SAYS_DRILL,
                     "the peer asked for a drill; the file does not permit it");
        return;
    }
    ft_log_fields(FT_LEVEL_WARNING, FT_SAYS_DRILL, (struct ft_log_field[]){{"kind", .text = kind}, {0}},
                  "drill: %s", kind);
    ft_event_log_flush();
    raise(strcmp(kind, "hang") == 0 ? SIGSTOP : SIGKILL);
}

/* A node that does not fit its peer has nothing to do here; one that serves goes on serving. */
static bool is_turned_away(struct nd_running *r, const struct rp_status *s)
{
    if (!s->core.refused || s->core.state != FT_JOINING)
        return false;
    if (r->config->push_permit) /* the peer may send what is to fit it */
        return false;
    if (r->config->node[r->self].role == ND_ROLE_PRIMARY && !ft_is_primary(s->core.peer.state))
        return false;
    ft_log_event(FT_LEVEL_ERROR, FT_SAYS_REFUSED, "%s", s->core.why);
    return true;
}

static void tell_of_strangers(struct nd_running *r, const struct rp_status *s)
{
    const struct nd_link *link = &r->config->link;

    nd_strangers_say(&r->strangers_said, s->link.refused[-FT_EPERM], r->config->node[!r->self].name,
                     link->key[0]           ? "do both nodes have one key?"
                     : link->certificate[0] ? "does the authority of the file know both nodes' certificates?"
                                            : "");
}

static bool has_lost_state(struct nd_running *r)
{
    const char *why = r->redis ? nd_redis_lost(r->redis) : NULL;

    if (why)
        ft_log_event(FT_LEVEL_ERROR, FT_SAYS_REDIS, "%s", why);
    return why != NULL;
}

/* What systemd may know: the state, and that every thread which carries packets goes on. */
static void tell_supervisor(struct nd_running *r, const struct rp_status *s)
{
    unsigned lanes = (unsigned)r->config->chain.lanes;
    uint64_t turn[ND_NOTIFY_THREADS];
    char text[sizeof(r->notify.status)];

    snprintf(text, sizeof(text), "%s, view %lu: %s", ft_state_name(s->core.state), s->core.view, s->core.why);
    nd_notify_status(&r->notify, text);
    for (unsigned l = 0; l < lanes; l++)
        turn[l] = atomic_load(&r->words[l].count.turn_ns);
    turn[lanes] = s->at;
    nd_notify_watchdog(&r->notify, nd_now(), turn, lanes + 1);
}

/* Those beside the lanes; `begun` of them, in this order. */
struct threads {
    pthread_t replicator, hangs;
    struct nd_hang_watch watch;
    unsigned begun;
};

/* All threads, each waiting for `go`; then without a capability. */
static int start_threads(struct nd_running *r, struct threads *t)
{
    struct ft_fault fault;

    *t = (struct threads){.watch = {.page = nd_crash_page(r->crash),
                                    .words = r->words,
                                    .published = r->group.published,
                                    .lanes = (unsigned)r->config->chain.lanes,
                                    .answers = r->redis != NULL}};
    if (!launch_lanes(r)) {
        ft_log_event(FT_LEVEL_ERROR, FT_SAYS_START, "fewer lcores than lanes");
        return ND_DATA;
    }
    t->begun += pthread_create(&t->replicator, NULL, run_replicator, r) == 0;
    t->begun += t->begun == 1 && pthread_create(&t->hangs, NULL, run_hang_watch, &t->watch) == 0;
    if (t->begun < 2) {
        ft_log_event(FT_LEVEL_ERROR, FT_SAYS_START, "no thread for the replicator");
        return ND_SOFTWARE;
    }
    while (atomic_load(&r->begun) < (unsigned)r->config->chain.lanes + t->begun && !atomic_load(&r->stop))
        nanosleep(&(struct timespec){0, 100000}, NULL);
    /* A status would take seconds otherwise. This thread sleeps unless asked. */
    if (is_urgent(r))
        nd_priority_raise();
    if (nd_privilege_drop(&fault) == 0 && nd_privilege_refuse_calls(&fault) == 0)
        return ND_DONE;
    ft_log_event(FT_LEVEL_ERROR, FT_SAYS_START, "%s", fault.text);
    return ND_SOFTWARE;
}

static int keep_going(struct nd_running *r)
{
    struct threads t;
    struct rp_status s;
    int code = start_threads(r, &t);

    if (code) {
        atomic_store(&r->lanes_stop, true);
        rp_stop(r->replicator);
    }
    atomic_store(&r->go, true);
    while (!code && !atomic_load(&r->stop)) {
        if (FT_PLANTED_AT_SIGNAL("main-stands"))
            nanosleep(&(struct timespec){STANDS_S, 0}, NULL);
        nd_server_serve(r->server, SERVE_MS, nd_answer, r);
        if (atomic_exchange(&r->reload, false))
            nd_running_reload(r);
        obey_drill(r);
        nd_differences_save(r);
        rp_status(r->replicator, &s);
        nd_changes_turn(r, &s);
        nd_takeovers_count(r, &s);
        if (!nd_is_changing(r)) {
            ft_snapshot_give_back(r->region);
            ft_snapshot_prepare(r->region);
            nd_tables_turn(r, &s);
        }
        nd_port_watch_turn(r, &s);
        tell_of_strangers(r, &s);
        nd_neighbours_turn(r, &s);
        nd_standing_turn(r, &s);
        nd_quarantine_turn(r, &s);
        if (!nd_crash_turn(r->crash, (int)s.core.state, s.core.view, nd_change_hash(r, &s)))
            ft_log_event(FT_LEVEL_WARNING, FT_SAYS_CRASH,
                         "the reporter has ended: a crash of this node leaves no report");
        nd_detection_turn(r, &s);
        nd_metrics_turn(r);
        nd_telemetry_turn(r);
        tell_supervisor(r, &s);
        code = is_turned_away(r, &s) ? ND_DATA : has_lost_state(r) ? ND_NO_ANSWER : ND_DONE;
    }
    nd_notify_close(&r->notify);
    /* Lanes first: once they have ended nothing can leave, and the closing connection tells the truth. The
     * replicator answers until then, and closes at once: a peer that hears nothing before it holds outputs.
     */
    atomic_store(&r->lanes_stop, true);
    rte_eal_mp_wait_lcore();
    rp_stop(r->replicator);
    atomic_store(&t.watch.stop, true);
    if (t.begun > 1)
        pthread_join(t.hangs, NULL);
    if (t.begun > 0)
        pthread_join(t.replicator, NULL);
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

/* Before anything is opened or made: what the process may do, and how much of it. */
static int limit_process(const struct nd_node *self, struct ft_fault *fault)
{
    const struct nd_privilege privilege = {.user = self->user,
                                           .physical = nd_ports_physical(self),
                                           .xdp = nd_ports_xdp(self),
                                           .core = self->core};
    int error = nd_privilege_check_files(fault);

    umask(027);
    return error ? error : nd_privilege_limit(&privilege, fault);
}

/* A set of files that was to be installed when the node before ended: whole, or the chain is nobody's. */
static void finish_files(const char *file)
{
    struct ft_fault fault;
    int fd = ft_trust_open(file, &nd_trust_pair, &fault), error;

    if (fd < 0) /* who reads it says so */
        return;
    close(fd);
    error = nd_files_finish(file, &fault);
    if (error < 0)
        ft_log_event(FT_LEVEL_ERROR, FT_SAYS_START, "files from the peer are not in their places: %s",
                     fault.text);
    else if (error > 0)
        ft_log_event(FT_LEVEL_NOTICE, FT_SAYS_START, "files from the peer are in their places now");
}

static int refuse_node(const struct nd_config *c, const struct nd_options *o)
{
    if (o->node)
        ft_log_event(FT_LEVEL_ERROR, FT_SAYS_START, "%s: no node '%s', expected %s or %s", o->file, o->node,
                     c->node[0].name, c->node[1].name);
    else
        ft_log_event(FT_LEVEL_ERROR, FT_SAYS_START,
                     "%s: which node? Not just one of %s (%s) and %s (%s) has an address of this host, "
                     "expected -n NAME",
                     o->file, c->node[0].name, c->node[0].host, c->node[1].name, c->node[1].host);
    return ND_USAGE;
}

int nd_cmd_run(int argc, char **argv)
{
    struct nd_running *r = &the_node;
    struct nd_options options;
    struct ft_fault fault = {""};
    int code, error, self;

    if (nd_privilege_drop_inherited(&fault)) {
        ft_log_event(FT_LEVEL_ERROR, FT_SAYS_START, "%s", fault.text);
        return ND_SOFTWARE;
    }
    if ((code = nd_options_read(&options, argc, argv)) != 0)
        return code;
    set_signals();
    nd_notify_open(&r->notify);
    finish_files(options.file);
    error = nd_config_read(&r->config, options.file, ND_CONFIG_NODES, &fault);
    if (error) {
        ft_log_event(FT_LEVEL_ERROR, FT_SAYS_START, "%s", fault.text);
        return nd_exit_of_file(error);
    }
    self = options.node ? nd_config_node(r->config, options.node) : nd_pair_local(r->config);
    if (self < 0) {
        code = refuse_node(r->config, &options);
    } else if (!r->config->protect.pair && r->config->node[self].role == ND_ROLE_STANDBY) {
        ft_log_event(FT_LEVEL_ERROR, FT_SAYS_START,
                     "node %s: protect mode is off, expected node %s, the primary, to run alone",
                     r->config->node[self].name, r->config->node[!self].name);
        code = ND_DATA;
    }
    if (code) {
        nd_config_free(r->config);
        return code;
    }
    r->self = (unsigned)self;
    error = limit_process(&r->config->node[self], &fault);
    if (!error)
        error = nd_config_find_link_files(r->config, &fault);
    if (!error)
        error = nd_running_open(r, &fault);
    if (error)
        ft_log_event(FT_LEVEL_ERROR, FT_SAYS_START, "%s", fault.text);
    code = error ? exit_of(error) : keep_going(r);
    nd_running_close(r);
    if (nd_event_writer_stop())
        nd_runner_stop(r->standing.runner);
    return code;
}
