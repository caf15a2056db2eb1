/* SPDX-License-Identifier: Apache-2.0 */
/*
 * understudy run: puts a node together from its file, keeps it going, and takes it apart. Threads: this one
 * (control sockets), the replicator, its writer of views, the one of the chain's files, one per lane, the one
 * that looks whether lanes hang, the writer of the event log, with `metrics` the one that serves them, DPDK's
 * (interrupts); and the processes of guardian and reporter.
 */
#include "understudy/node/running.h"
#include "understudy/control/commands.h"
#include "understudy/config/peer.h"
#include "ftcore/base/event_log.h"
#include "ftcore/base/plant.h"
#include "ftcore/base/thread.h"
#include "ftcore/base/trust.h"
#include "nflib/chain/chain.h"
#include "ftcore/base/clock.h"
#include "understudy/base/daemon.h"
#include "understudy/base/event_writer.h"
#include "understudy/base/process.h"
#include "understudy/base/text.h"
#include "understudy/config/choose.h"
#include "understudy/config/setup.h"
#include "understudy/config/yaml.h"
#include "lane/group.h"
#include "lane/lane.h"
#include "understudy/crash/guardian.h"
#include "understudy/crash/handler.h"
#include "understudy/ports/fed.h"

#include <errno.h>
#include <pthread.h>
#include <rte_eal.h>
#include <rte_launch.h>
#include <rte_lcore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SERVE_MS 20
#define WAYS_NS  1000000000ull /* between two looks at the ways to the peer */
#define PORT_MENDED_NS                                                                                       \
    10000000000ull /* what was logged of the lanes' port is over after so long without it */
#define STANDS_S 3 /* planted */
/* A standby that is lost again and again: as a fleet waits behind orders that fail (fleet/plan.c). */
#define BACK_OFF_LEAST_MS 10000
#define BACK_OFF_MOST_MS  600000

_Static_assert(FT_EVENT_VALUE >= FT_REASON_MAX, "programs get a reason whole, as people do");

/* ---- put together ------------------------------------------------------------------------------- */

static void log_state(void *arg, enum ft_event_name what, bool planned, enum ft_state state, uint64_t view,
                      const char *why)
{
    const struct nd_running *r = arg;
    const char *name = ft_state_name(state);
    struct ft_log_field fields[FT_EVENT_FIELDS + 1] = {
        {"state", .text = name}, {"view", .number = view}, {"reason", .text = why}};
    struct rp_status s;
    /* What takes protection or service away. */
    bool bad = (what != FT_SAYS_STATE || state == FT_DEGRADED) && !planned;

    if (what == FT_SAYS_TAKEOVER) {
        rp_status(r->replicator, &s);
        fields[3] = (struct ft_log_field){"planned", .number = planned};
        fields[4] = (struct ft_log_field){"silent_us", .number = s.core.takeover.quiet / 1000};
        fields[5] = (struct ft_log_field){
            "asked_us", .number = (s.core.takeover.decided - s.core.takeover.suspected) / 1000};
    }
    ft_log_fields(bad ? FT_LEVEL_WARNING : FT_LEVEL_NOTICE, what, fields, "%s, view %lu: %s", name, view,
                  why);
}

static void receive_crash(void *arg, const struct ft_crash_notice *notice, bool primary)
{
    struct nd_running *r = arg;

    nd_quarantine_receive(&r->peer_crashes, notice, primary);
}

/* Of what is no NF, as "l3" is, and as long as the chain is being changed: they do. */
static bool executes_nf(void *arg, const char *nf)
{
    const struct nd_running *r = arg;
    const struct nf_chain_config *chain = &r->config->chain;

    if (strcmp(nf, r->crash->page->nf[0]) == 0)
        return true;
    for (unsigned i = 0; i < chain->count && !nd_is_changing(&r->changing); i++)
        if (strcmp(chain->nfs[i].module->name, nf) == 0)
            return nd_lanes_without(r, i + 1) < chain->lanes;
    return nd_is_changing(&r->changing);
}

static void send_quarantine(void *arg, const struct ft_crash_notice *notice)
{
    const struct nd_running *r = arg;
    uint8_t bytes[FT_CRASH_BYTES];

    nd_guardian_say(r->guardian, bytes, ft_crash_notice_encode(notice, &r->datagram_key, bytes));
}

/* At both addresses of the peer's. */
static void aim_guardian(struct nd_guardian *g, const char *host, uint16_t port, const char *second_host,
                         uint16_t second_port)
{
    nd_guardian_aim(g, 0, host[0] ? host : NULL, port, NULL);
    nd_guardian_aim(g, 1, second_port ? second_host : NULL, second_port, NULL);
}

/* By the replicator's thread: messages, the guardian's notices and what is shown to people are of that node
 * now.
 */
static void note_peer(void *arg, const struct rp_node *peer)
{
    struct nd_running *r = arg;

    nd_peer_set(peer->name);
    if (r->guardian && (peer->host[0] || !peer->name[0]))
        aim_guardian(r->guardian, peer->host, peer->port, peer->second_host, peer->second_port);
}

static void note_view(void *arg, uint64_t view)
{
    struct nd_running *r = arg;

    atomic_store(&r->view, view);
}

/* The directory that the first `len` bytes of `path` name, and those above it. run's umask decides what
 * others may do there. */
static int make_directory(const char *path, size_t len, struct ft_fault *fault)
{
    char prefix[256] = "";
    struct stat is;

    for (size_t i = 1; i <= len && i < sizeof(prefix); i++) {
        if (path[i] != '/' && i != len)
            continue;
        snprintf(prefix, sizeof(prefix), "%.*s", (int)i, path);
        bool there = stat(prefix, &is) == 0; /* first: on a disk that is frozen mkdir waits, there or not */

        if (!there && mkdir(prefix, 0777) != 0 && errno != EEXIST)
            return ft_fail(fault, ft_error_of_path(errno), "%s: %s", prefix, strerror(errno));
        if ((there || stat(prefix, &is) == 0) && !S_ISDIR(is.st_mode))
            return ft_fail(fault, FT_EINVAL, "%s: a file, expected a directory", prefix);
    }
    return 0;
}

/* As `check` judges it. */
static int open_directory(const char *path, size_t len, bool state, struct ft_fault *fault)
{
    char dir[256];
    bool there;

    snprintf(dir, sizeof(dir), "%.*s", len ? (int)len : 1, path);
    int error = nd_directory_judge(dir, state, &there, fault);

    return error ? error : make_directory(path, len, fault);
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
                                        .files = c->record.files};
    struct lg_recorder *recorder = r->crash->recorder;
    int error;

    if (!recorder)
        return 0;
    snprintf(dir, sizeof(dir), "%s/%s", c->record.dir, node);
    error = open_directory(dir, strlen(dir), false, fault);
    if (error)
        return error;
    config.identity_len = nf_chain_identity(&c->chain, identity, sizeof(identity));
    error = lg_recorder_open(recorder, &config, fault);
    if (!error)
        r->recorder = recorder;
    return error;
}

/* What each subsystem looks at; the replicator comes later. */
static void introduce(struct nd_running *r)
{
    r->counts.config = r->config;
    r->counts.lanes = r->lanes;
    r->counts.shared = r->shared;
    r->port_watch.config = r->config;
    r->port_watch.self = r->self;
    r->port_watch.ports = &r->ports;
    r->port_watch.lanes = r->lanes;
    r->standing.health = &r->port_watch.health;
    r->changing.config = r->config;
    r->changing.self = r->self;
    r->changing.crash = r->crash;
    r->changing.group = &r->group;
    r->changing.shared = r->shared;
    r->changing.counts = &r->counts;
    r->changing.ports = &r->ports;
    r->changing.port_watch = &r->port_watch;
    r->changing.standing = &r->standing;
    r->changing.region = r->region;
    r->peer_crashes.config = r->config;
    r->peer_crashes.self = r->self;
    r->peer_crashes.crash = r->crash;
    r->peer_crashes.tell = r->guardian ? send_quarantine : NULL;
    r->peer_crashes.executes = executes_nf;
    r->peer_crashes.arg = r;
    r->differences.chain = &r->config->chain;
    r->differences.shared = r->shared;
    r->differences.lanes = r->lanes;
    r->differences.region = r->region;
}

static int make_lanes(struct nd_running *r, struct ft_fault *fault)
{
    struct nd_crash_page *page = r->crash->page;
    unsigned lanes = r->config->chain.lanes;
    int error = 0;

    r->lanes = calloc(lanes, sizeof(*r->lanes));
    r->answers.question.cap = 256u << 10;
    r->answers.question.out = malloc(r->answers.question.cap);
    nd_group_init(&r->group, r->lanes, lanes);
    introduce(r);
    nd_standing_begin(&r->standing);
    if (!r->lanes || !r->answers.question.out)
        return ft_fail(fault, FT_ENOMEM, "no memory for %u lanes", lanes);
    for (unsigned l = 0; l < lanes && !error; l++) {
        struct nd_lane *lane = &r->lanes[l];

        *lane = (struct nd_lane){.index = l,
                                 .config = &r->config->chain,
                                 .protect = &r->config->protect,
                                 .io = &r->ports.io,
                                 .region = r->region,
                                 .shared = &r->shared[l],
                                 .group = &r->group,
                                 .setup.question = &r->answers.question,
                                 .setup.mark = &page->lane[l].mark,
                                 .setup.suspects = nd_quarantine_suspects(&page->quarantine),
                                 .setup.remedy = &r->peer_crashes.remedy,
                                 .setup.trace = &r->answers.trace,
                                 .setup.heartbeat_ms = r->config->timing.heartbeat_ms,
                                 .setup.recorder = r->recorder,
                                 .setup.self = r->datagram_key,
                                 .setup.view = &r->view,
                                 .setup.told = &r->port_watch.told,
                                 .setup.gateways = r->standing.gateways.count ? &r->standing.gateways : NULL,
                                 .setup.wire = r->wire.is_open ? &r->wire.lane[l].wire : NULL,
                                 .setup.stop = &r->lanes_stop,
                                 .export.queue = nd_exporter_queue(r->exporter, l)};
        if (getrandom(&lane->setup.seed, sizeof(lane->setup.seed), 0) != sizeof(lane->setup.seed))
            return ft_fail(fault, FT_EIO, "the system gives no random numbers");
        error = nd_lane_make(lane, fault);
    }
    if (error)
        return error;
    r->ports.deal.lane = r->lanes;
    if (r->ports.fed)
        nd_fed_serve(&r->ports, r->shared);
    nd_port_watch_begin(&r->port_watch);
    return nd_counts_find(&r->counts, fault);
}

static int open_exporter(struct nd_running *r, struct ft_fault *fault)
{
    const struct nd_export_to *to = &r->config->node[r->self].export;

    return to->kind == ND_EXPORT_NOWHERE
               ? 0
               : nd_exporter_start(&r->exporter, to, r->shared, r->config->chain.lanes, fault);
}

static void offer_to_hooks(void *runner, enum ft_event_name event, const char *line, size_t len)
{
    if (event != FT_SAYS_HOOK)
        nd_runner_offer(runner, event, line, len);
}

static int start_log(struct nd_running *r, struct ft_fault *fault)
{
    const struct nd_node *self = &r->config->node[r->self];
    const struct nd_event_writer_config config = {.node = self->name,
                                                  .json = r->config->log_json,
                                                  .offer = self->hooks ? offer_to_hooks : NULL,
                                                  .arg = r->standing.runner};
    int error = nd_event_writer_start(&config, fault);

    if (!error)
        nd_ports_warn(r->config, r->self);
    return error;
}

/*
 * Forgets which cluster the arbiter is. Reads anew what seals the link, the key file or the certificates, for
 * connections that are made from now on. A connection that stands stays. Logs in one line what came of it;
 * what cannot be read leaves everything as it was. For the control thread, which may wait for a disk.
 */
static void reload_files(struct nd_running *r)
{
    const struct nd_link *link = &r->config->link;
    struct rp_seal_config config;
    struct rp_seal *seal = NULL;
    struct ft_fault fault = {""};
    int error;

    nd_arbiter_expect(r->arbiter, 0);
    nd_users_read();
    if (!r->config->protect.pair || !(link->key[0] || link->certificate[0])) {
        ft_log_event(FT_LEVEL_NOTICE, FT_SAYS_SEAL,
                     "nothing seals the link, so there is nothing to read again");
        return;
    }
    error = nd_setup_seal(&config, &r->keys, r->config, r->self, &fault);
    if (!error)
        error = rp_seal_open(&seal, &config, &fault);
    if (!error && r->ports.fed && (error = nd_fed_renew(&r->ports, r->config, &fault)))
        rp_seal_close(seal);
    explicit_bzero(&r->keys, sizeof(r->keys));
    if (error) {
        ft_log_event(FT_LEVEL_ERROR, FT_SAYS_SEAL, "%s; what seals the link stays as it was", fault.text);
        return;
    }
    rp_reseal(r->replicator, seal);
    ft_log_event(FT_LEVEL_NOTICE, FT_SAYS_SEAL, "new connections are sealed by %s as it is now",
                 link->key[0] ? link->key : link->certificate);
}

static int open_arbiter(struct nd_running *r, struct ft_fault *fault)
{
    const struct nd_config *c = r->config;
    int error;

    if (!c->arbiter.etcd.urls || !c->protect.pair)
        return 0;
    error = nd_arbiter_start(&r->arbiter, &r->asks, &c->arbiter, c->node[r->self].name, fault);
    r->standing.arbiter = r->arbiter;
    return error;
}

/* The lanes' port to the peer's lanes, where this pair can use one; the link does without. */
static int open_wire(struct nd_running *r, struct ft_fault *fault)
{
    const struct nd_config *c = r->config;
    const struct nd_protect *p = &c->protect;
    const struct nd_node *self = &c->node[r->self];
    const char *why = !p->records || p->stores ? "the standby is not hot, with a log"
                      : c->link.insecure       ? "the link is insecure"
                      : !r->ports.pool         ? "the node has no ports"
                                               : NULL;

    if (!self->link_port[0] || !p->pair)
        return 0;
    if (why) {
        ft_log_event(FT_LEVEL_WARNING, FT_SAYS_START, "link_port is not used: %s", why);
        return 0;
    }
    int error = nd_link_port_open(&r->wire, self, r->ports.pool, c->chain.lanes, fault);

    for (unsigned l = 0; l < c->chain.lanes && !error; l++)
        error = nd_setup_direct(&r->shared[l], (uint64_t)p->pending_mb << 20, fault);
    return error;
}

static int open_replicator(void *arg, struct ft_fault *fault)
{
    struct nd_running *r = arg;
    static char identity[FT_IDENTITY_MAX];
    const struct nd_config *c = r->config;
    const struct nd_node *self = &c->node[r->self];
    struct rp_config config = {
        .core = {.role = self->role != ND_ROLE_PRIMARY,
                 .spare = self->role == ND_ROLE_SPARE,
                 .incarnation = r->datagram_key.incarnation,
                 .secret = {r->datagram_key.secret[0], r->datagram_key.secret[1]}},
        .region = r->region,
        .lanes = r->shared,
        .published = r->group.published,
        .view_file = r->view_file,
        .arbiter = r->arbiter ? &r->asks : NULL,
        .state_changed = log_state,
        .view = note_view,
        .aimed = note_peer,
        .crashed = receive_crash,
        .arg = r,
        .check = nd_group_check,
        .keeps = nd_group_keeps,
        .chain = nd_group_chain,
        .become = nd_group_become,
        .judge = &r->group,
        .by_port = r->group.by_port,
    };

    if (getrandom(config.core.new_shard, sizeof(config.core.new_shard), 0) != sizeof(config.core.new_shard))
        return ft_fail(fault, FT_EIO, "the system gives no random numbers");
    nd_setup_link(&config, c, r->self);
    int error = nd_setup_seal(&config.link.seal, &r->keys, c, r->self, fault);

    if (error)
        return error;
    nd_setup_replicator(&config, c, &c->timing, identity);
    config.core.back_off_least_ms = BACK_OFF_LEAST_MS;
    config.core.back_off_most_ms = BACK_OFF_MOST_MS;
    config.core.slow_percent = c->protect.slow_percent;
    config.core.slow_ms = c->protect.slow_ms;
    snprintf(r->view_file, sizeof(r->view_file), "%s/%s.view", self->state, self->name);
    snprintf(r->differences.file, sizeof(r->differences.file), "%s/%s.diverged", self->state, self->name);
    error = rp_open(&r->replicator, &config, fault);
    explicit_bzero(&r->keys, sizeof(r->keys)); /* the link has its own */
    struct rp_status s;

    if (error)
        return error;
    r->changing.replicator = r->standing.replicator = r->replicator;
    /* From the start, not from the next view on: a restarted standby may die in the view it finds. */
    rp_status(r->replicator, &s);
    note_view(r, s.core.view);
    return 0;
}

static int open_server(void *arg, struct ft_fault *fault)
{
    struct nd_running *r = arg;
    const struct nd_node *self = &r->config->node[r->self];

    return nd_server_open(&r->server, self->control, self->operators, fault);
}

static int open_metrics(void *arg, struct ft_fault *fault)
{
    struct nd_running *r = arg;
    const struct nd_node *self = &r->config->node[r->self];

    return nd_metrics_open(&r->metrics, self->metrics_host, self->metrics_port, fault);
}

/*
 * Everything that can fail fails here, before the first packet, with one line, in the order in which a
 * mistake is cheapest to find. `config` and `self` are set; waits a bounded while, for what a
 * killed process still holds. On failure close it all the same.
 */
static int open_node(struct nd_running *r, struct ft_fault *fault)
{
    const struct nd_node *self = &r->config->node[r->self];
    const struct nd_node *peer = r->self < ND_PAIR ? &r->config->node[!r->self] : NULL;
    const struct ft_region_config how = {.name = "understudy region",
                                         .audit = r->config->protect.audit,
                                         .poison = r->config->protect.audit,
                                         .huge = self->hugepages};
    const char *slash = strrchr(self->control, '/'); /* a bare name lies in the working directory */
    int error;

    if ((slash && (error = open_directory(self->control, (size_t)(slash - self->control), false, fault))) ||
        (error = open_directory(self->state, strlen(self->state), true, fault)) ||
        (error = nd_crash_open(&r->crash, r->config, r->self, fault)))
        return error;
    r->shared = r->crash->shared;
    r->standing.config = r->config;
    r->standing.self = r->self;
    nd_users_read();
    nd_confirm_open(&r->changing.confirm, self->state, self->name, ft_now(), ft_wall());
    if (getrandom(&r->datagram_key, sizeof(r->datagram_key), 0) != sizeof(r->datagram_key))
        return ft_fail(fault, FT_EIO, "the system gives no random numbers");
    nd_crash_catch(r->crash->page, r->shared, r->config->chain.lanes, &r->datagram_key);
    if ((error = nd_daemon_open(open_server, r, fault)) ||
        (error = nd_runner_start(&r->standing.runner, self, fault)))
        return error;
    if (r->config->protect.pair &&
        (error = nd_guardian_start(&r->guardian, r->config->chain.lanes, self->host,
                                   self->second_port ? self->second_host : NULL, &r->datagram_key,
                                   r->crash->page, fault)))
        return error;
    if (r->guardian && peer)
        aim_guardian(r->guardian, peer->host, peer->tcp_port, peer->second_host, peer->second_port);
    if ((error = nf_chain_region(&r->region, &r->config->chain, &how, fault)) ||
        (error = nd_ports_open(&r->ports, r->config, self, fault)) || (error = start_log(r, fault)) ||
        (error = open_recorder(r, fault)) || (error = open_exporter(r, fault)) ||
        (error = open_wire(r, fault)) || (error = make_lanes(r, fault)) ||
        (error = nd_files_thread_open(&r->changing.files, fault)) || (error = open_arbiter(r, fault)) ||
        (error = nd_daemon_open(open_metrics, r, fault)))
        return error;
    return nd_daemon_open(open_replicator, r, fault);
}

/* What stands of it, in order; the configuration too. Its threads have ended. */
static void close_node(struct nd_running *r)
{
    nd_guardian_stop(r->guardian);
    nd_metrics_close(r->metrics);
    rp_close(r->replicator);
    nd_arbiter_stop(r->arbiter);
    nd_server_close(r->server);
    nd_link_port_close(&r->wire);
    if (r->ports.io.ports)
        nd_ports_close(&r->ports);
    lg_recorder_close(r->recorder);
    nd_exporter_stop(r->exporter);
    for (unsigned l = 0; r->lanes && l < r->config->chain.lanes; l++)
        nd_lane_free(&r->lanes[l]);
    nd_crash_close(r->crash);
    nd_changes_close(&r->changing);
    ft_region_close(r->region);
    free(r->answers.trace_filter);
    free(r->lanes);
    free(r->answers.question.out);
    free(r->counts.tables);
    nd_config_free(r->config);
}

/* ---- the threads -------------------------------------------------------------------------------- */

static struct nd_running the_node;

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

static int run_lane(void *arg)
{
    struct nd_lane *lane = arg;

    if (is_urgent(&the_node))
        nd_priority_raise();
    wait_for_go(&the_node);
    nd_crash_thread((int)lane->index);
    if (the_node.guardian)
        nd_guardian_hold(the_node.guardian, lane->index);
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
    if (!s->core.refused || s->core.state != FT_JOINING || s->core.kept)
        return false;
    if (r->config->push_permit) /* the peer may send what is to fit it */
        return false;
    if (r->config->node[r->self].role == ND_ROLE_PRIMARY && !ft_is_primary(s->core.peer.state))
        return false;
    ft_log_event(FT_LEVEL_ERROR, FT_SAYS_REFUSED, "%s", s->core.why);
    return true;
}

static void report_strangers(struct nd_running *r, const struct rp_status *s)
{
    const struct nd_link *link = &r->config->link;

    nd_strangers_say(
        &r->strangers_said, s->link.refused[-FT_EPERM], nd_peer_name(r->config, r->self),
        link->key[0] ? "do both nodes have one key?"
        : link->certificate[0]
            ? "do both nodes' certificates name them, and does the authority of the file know them?"
            : "");
}

/* One of two ways between the nodes is lost: at two looks, a second apart, it does not stand or has been lost
 * since the look before. So one that was lost for a moment, as on a busy machine, is not reported. Where both
 * have ended it is the link that is lost, which is reported elsewhere. */
static void report_ways(struct nd_running *r, const struct rp_status *s)
{
    const struct nd_node *self = &r->config->node[r->self];
    uint64_t now = ft_now();

    if (s->link_up && now - r->ways_looked < WAYS_NS)
        return;
    r->ways_looked = now;
    for (unsigned i = 0; i < RP_WAYS && self->second_port; i++) {
        const struct rp_way_stats *is = &s->link.ways.way[i];
        struct nd_way_said *said = &r->ways_said[i];
        const char *host = i ? self->second_host : self->host;
        const struct ft_log_field fields[] = {{"way", .text = host}, {"losses", .number = is->losses}, {0}};
        bool fails = s->link_up && (!is->stands || is->losses != said->losses), tells = fails == !said->lost;

        if (s->link_up && tells && (!fails || said->fails)) {
            said->lost = fails;
            ft_log_fields(fails ? FT_LEVEL_WARNING : FT_LEVEL_NOTICE, FT_SAYS_WAY, fields,
                          fails ? "the way from %s to %s is lost" : "the way from %s to %s stands again",
                          host, nd_peer_name(r->config, r->self));
        }
        said->fails = fails;
        said->losses = is->losses;
    }
}

/* Which way records go is logged when it changes, but not that the link has them while the port is heard; and
 * of a port that is silent again and again one line, until it was not for 10 s. */
static void report_which_way(struct nd_running *r, const struct rp_status *s, const char *port, uint64_t now)
{
    struct nd_link_port_said *said = &r->link_port_said;
    bool silent = s->port == RP_PORT_SILENT || (s->port != RP_PORT_OFF && s->port_losses != said->losses);
    enum rp_port_state state = silent ? RP_PORT_SILENT : s->port;
    const struct ft_log_field fields[] = {{"port", .text = port}, {"losses", .number = s->port_losses}, {0}};

    said->losses = s->port_losses;
    if (silent)
        said->silent_at = now;
    if (state == RP_PORT_OFF ||
        (said->state == RP_PORT_SILENT && !silent && now - said->silent_at >= PORT_MENDED_NS))
        said->state = RP_PORT_OFF;
    if (state == said->state || state == RP_PORT_OPEN || said->state == RP_PORT_SILENT)
        return;
    said->state = state;
    ft_log_fields(silent ? FT_LEVEL_WARNING : FT_LEVEL_NOTICE, FT_SAYS_LINK_PORT, fields,
                  silent ? "the lanes' port %s is silent: the link carries the log"
                         : "the lanes' port %s carries the log",
                  port);
}

/* Frames that are nobody's came at two looks, a second apart: a few are left where view or connection change.
 * One line, until none came for 10 s. */
static void report_refused(struct nd_running *r, const char *port, uint64_t now)
{
    struct nd_link_port_said *said = &r->link_port_said;
    uint64_t refused = 0;
    bool refuses;

    for (unsigned l = 0; l < r->config->chain.lanes; l++)
        refused += atomic_load_explicit(&r->shared[l].count.port_refused, memory_order_relaxed);
    refuses = refused != said->refused;

    const struct ft_log_field fields[] = {{"port", .text = port}, {"refused", .number = refused}, {0}};

    if (refuses && said->refuses && now - said->refused_at >= PORT_MENDED_NS)
        ft_log_fields(FT_LEVEL_WARNING, FT_SAYS_LINK_PORT, fields,
                      "frames that come by the lanes' port %s are not %s's", port,
                      nd_peer_name(r->config, r->self));
    if (refuses && said->refuses)
        said->refused_at = now;
    said->refuses = refuses;
    said->refused = refused;
}

static void report_link_port(struct nd_running *r, const struct rp_status *s)
{
    const char *device = r->config->node[r->self].link_port;
    uint64_t now = ft_now();
    char port[64];

    if (!r->wire.is_open || now - r->link_port_said.looked < WAYS_NS)
        return;
    r->link_port_said.looked = now;
    snprintf(port, sizeof(port), "%.*s", (int)strcspn(device, ","), device);
    report_which_way(r, s, port, now);
    report_refused(r, port, now);
}

/* The page is made of the answer to "status", which belongs to this thread. */
static void answer_metrics(struct nd_running *r)
{
    json_t *status;

    if (!nd_metrics_asked(r->metrics))
        return;
    status = nd_answer_status(r);
    nd_metrics_answer(r->metrics, &nd_node_page, status);
    json_decref(status);
}

/* What systemd may know: the state, and that every thread which carries packets goes on. */
static void notify_supervisor(struct nd_running *r, const struct rp_status *s)
{
    unsigned lanes = (unsigned)r->config->chain.lanes;
    uint64_t turn[ND_NOTIFY_THREADS];
    char text[sizeof(r->notify.status)];

    snprintf(text, sizeof(text), "%s, view %lu: %s", ft_state_name(s->core.state), s->core.view, s->core.why);
    nd_notify_status(&r->notify, text);
    for (unsigned l = 0; l < lanes; l++)
        turn[l] = atomic_load(&r->shared[l].count.turn_ns);
    turn[lanes] = s->at;
    nd_notify_watchdog(&r->notify, ft_now(), turn, lanes + 1);
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

    *t = (struct threads){.watch = {.page = r->crash->page,
                                    .shared = r->shared,
                                    .published = r->group.published,
                                    .lanes = (unsigned)r->config->chain.lanes}};
    if (!launch_lanes(r)) {
        ft_log_event(FT_LEVEL_ERROR, FT_SAYS_START, "a lane cannot be launched on its lcore");
        return ND_SOFTWARE;
    }
    t->begun += pthread_create(&t->replicator, NULL, run_replicator, r) == 0;
    t->begun += t->begun == 1 && pthread_create(&t->hangs, NULL, run_hang_watch, &t->watch) == 0;
    if (t->begun < 2) {
        ft_log_event(FT_LEVEL_ERROR, FT_SAYS_START, "no thread for %s",
                     t->begun ? "the watch of lanes that hang" : "the replicator");
        return ND_SOFTWARE;
    }
    while (atomic_load(&r->begun) < (unsigned)r->config->chain.lanes + t->begun &&
           !atomic_load(&nd_daemon_ends))
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
    while (!code && !atomic_load(&nd_daemon_ends)) {
        if (FT_PLANTED_AT_SIGNAL("main-stands"))
            nanosleep(&(struct timespec){STANDS_S, 0}, NULL);
        nd_server_serve(r->server, SERVE_MS, nd_answer, r);
        if (atomic_exchange(&nd_daemon_reads, false))
            reload_files(r);
        obey_drill(r);
        rp_status(r->replicator, &s);
        nd_differences_save(&r->differences, &s);
        nd_changes_turn(&r->changing, &s);
        nd_answer_due(r, &s);
        nd_look_turn(r, nd_answer);
        nd_counts_turn(&r->counts, &s);
        if (!nd_is_changing(&r->changing)) {
            ft_snapshot_give_back(r->region);
            ft_snapshot_prepare(r->region);
        }
        nd_port_watch_turn(&r->port_watch, &s);
        nd_link_port_watch(&r->wire, ft_now());
        report_strangers(r, &s);
        report_ways(r, &s);
        report_link_port(r, &s);
        nd_standing_turn(&r->standing, &s);
        nd_quarantine_turn(&r->peer_crashes, &s.core);
        if (!nd_crash_turn(r->crash, (int)s.core.state, s.core.view, nd_change_hash(&r->changing, &s)))
            ft_log_event(FT_LEVEL_WARNING, FT_SAYS_CRASH,
                         "the reporter has ended: a crash of this node leaves no report");
        answer_metrics(r);
        notify_supervisor(r, &s);
        code = is_turned_away(r, &s) ? ND_DATA : ND_DONE;
    }
    nd_notify_close(&r->notify);
    /* Lanes first: once they have ended nothing can leave, and the closing connection is proof of that. The
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

/* Before anything is opened or made: what the process may do, and how much of it. */
static int limit_process(const struct nd_node *self, struct ft_fault *fault)
{
    const struct nd_privilege privilege = nd_ports_privilege(self);
    int error = nd_privilege_check_files(fault);

    umask(027);
    return error ? error : nd_privilege_limit(&privilege, fault);
}

/* A set of files that was to be installed when the node before ended: whole, or the chain is nobody's. */
static void finish_files(const char *file)
{
    struct ft_fault fault;
    int fd = ft_trust_open(file, &nd_trust_pair, &fault), error;

    if (fd < 0) /* its reader reports it */
        return;
    close(fd);
    error = nd_files_finish(file, &fault);
    if (error < 0)
        ft_log_event(FT_LEVEL_ERROR, FT_SAYS_START, "files from the peer are not in their places: %s",
                     fault.text);
    else if (error > 0)
        ft_log_event(FT_LEVEL_NOTICE, FT_SAYS_START, "files from the peer are in their places now");
}

int nd_cmd_run(int argc, char **argv)
{
    struct nd_running *r = &the_node;
    struct nd_options options;
    struct ft_fault fault = {""};
    char text[ND_CHOICE_TEXT];
    int code, error, self;

    if (nd_privilege_drop_inherited(&fault)) {
        ft_log_event(FT_LEVEL_ERROR, FT_SAYS_START, "%s", fault.text);
        return ND_SOFTWARE;
    }
    if ((code = nd_options_read(&options, argc, argv)) != 0)
        return code;
    nd_daemon_begin(true);
    nd_notify_open(&r->notify);
    finish_files(options.file);
    error = nd_config_read(&r->config, options.file, ND_CONFIG_NODES, &fault);
    if (error) {
        ft_log_event(FT_LEVEL_ERROR, FT_SAYS_START, "%s", fault.text);
        return nd_exit_of_file(error);
    }
    self = nd_choose_node(r->config, &options, "", text);
    if (self < 0) {
        ft_log_event(FT_LEVEL_ERROR, FT_SAYS_START, "%s", text);
        code = ND_USAGE;
    } else if (!r->config->protect.pair && r->config->node[self].role != ND_ROLE_PRIMARY) {
        ft_log_event(FT_LEVEL_ERROR, FT_SAYS_START,
                     "node %s: protect mode is off, expected node %s, the primary, to run alone",
                     r->config->node[self].name,
                     r->config->node[r->config->node[0].role != ND_ROLE_PRIMARY].name);
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
        error = open_node(r, &fault);
    if (error)
        ft_log_event(FT_LEVEL_ERROR, FT_SAYS_START, "%s", fault.text);
    code = error ? nd_exit_of_start(error) : keep_going(r);
    close_node(r);
    if (nd_event_writer_stop())
        nd_runner_stop(r->standing.runner);
    return code;
}
