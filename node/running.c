/* SPDX-License-Identifier: Apache-2.0 */
/* Puts a node together from its file, and takes it apart; see running.h. */
#include "node/running.h"
#include "ftcore/base/event_log.h"
#include "nflib/chain/chain.h"
#include "node/base/event_writer.h"
#include "node/config/setup.h"
#include "node/crash/handler.h"
#include "lane/group.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#define TAKEN_MS 2000

_Static_assert(FT_EVENT_VALUE >= FT_REASON_MAX, "programs get a reason whole, as people do");

static void log_state(void *arg, enum ft_event_name what, bool planned, enum ft_state state, uint64_t view,
                      const char *why)
{
    const char *name = ft_state_name(state);
    const struct ft_log_field fields[] = {
        {"state", .text = name},
        {"view", .number = view},
        {"reason", .text = why},
        {what == FT_SAYS_TAKEOVER ? "planned" : NULL, .number = planned}, /* NULL: the list's end */
        {0}};
    /* What takes protection or service away. */
    bool bad = (what != FT_SAYS_STATE || state == FT_DEGRADED) && !planned;

    (void)arg;
    ft_log_fields(bad ? FT_LEVEL_WARNING : FT_LEVEL_NOTICE, what, fields, "%s, view %lu: %s", name, view,
                  why);
}

static void note_view(void *arg, uint64_t view)
{
    struct nd_running *r = arg;

    atomic_store(&r->view, view);
}

/* The directory that the first `len` bytes of `path` name, and those above it. What it may be for others,
 * run's umask says. */
static int make_directory(const char *path, size_t len, struct ft_fault *fault)
{
    char prefix[256] = "";
    struct stat is;

    for (size_t i = 1; i <= len && i < sizeof(prefix); i++) {
        if (path[i] != '/' && i != len)
            continue;
        snprintf(prefix, sizeof(prefix), "%.*s", (int)i, path);
        if (mkdir(prefix, 0777) != 0 && errno != EEXIST)
            return ft_fail(fault, errno == EACCES || errno == EPERM ? FT_EPERM : FT_EIO, "%s: %s", prefix,
                           strerror(errno));
        if (stat(prefix, &is) == 0 && !S_ISDIR(is.st_mode))
            return ft_fail(fault, FT_EINVAL, "%s: a file, expected a directory", prefix);
    }
    return 0;
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
    struct lg_recorder *recorder = nd_crash_recorder(r->crash);
    int error;

    if (!recorder)
        return 0;
    snprintf(dir, sizeof(dir), "%s/%s", c->record.dir, node);
    error = make_directory(dir, strlen(dir), fault);
    if (error)
        return error;
    config.identity_len = nf_chain_identity(&c->chain, identity, sizeof(identity));
    error = lg_recorder_open(recorder, &config, fault);
    if (!error)
        r->recorder = recorder;
    return error;
}

/* Before the chain is made, which then puts its state there. */
static int open_redis(struct nd_running *r, struct ft_fault *fault)
{
    int error;

    if (r->config->state != ND_STATE_REDIS)
        return 0;
    error = nd_redis_open(&r->redis, &r->config->redis, fault);
    if (error == 0)
        ft_log_event(FT_LEVEL_INFO, FT_SAYS_REDIS, "state in Redis: %s", nd_redis_settings(r->redis));
    return error;
}

static int make_lanes(struct nd_running *r, struct ft_fault *fault)
{
    struct nd_crash_page *page = nd_crash_page(r->crash);
    unsigned lanes = r->config->chain.lanes;
    int error = 0;

    r->lanes = calloc(lanes, sizeof(*r->lanes));
    r->question.cap = 256u << 10;
    r->question.out = malloc(r->question.cap);
    nd_group_init(&r->group, r->lanes, lanes);
    nd_standing_begin(r);
    if (!r->lanes || !r->question.out)
        return ft_fail(fault, FT_ENOMEM, "no memory for %u lanes", lanes);
    for (unsigned l = 0; l < lanes && !error; l++) {
        struct nd_lane *lane = &r->lanes[l];

        *lane = (struct nd_lane){.index = l,
                                 .config = &r->config->chain,
                                 .protect = &r->config->protect,
                                 .io = &r->ports.io,
                                 .region = r->region,
                                 .words = &r->words[l],
                                 .group = &r->group,
                                 .setup.question = &r->question,
                                 .setup.mark = &page->lane[l].mark,
                                 .setup.suspects = nd_quarantine_suspects(&page->quarantine),
                                 .setup.remedy = &r->remedy,
                                 .setup.trace = &r->trace,
                                 .setup.store = nd_redis_store(r->redis),
                                 .setup.heartbeat_ms = r->config->timing.heartbeat_ms,
                                 .setup.recorder = r->recorder,
                                 .setup.self = r->datagram_key,
                                 .setup.view = &r->view,
                                 .setup.told = &r->ports_told,
                                 .setup.gateways = r->standing.gateways.count ? &r->standing.gateways : NULL,
                                 .setup.stop = &r->lanes_stop};
        if (getrandom(&lane->setup.seed, sizeof(lane->setup.seed), 0) != sizeof(lane->setup.seed))
            return ft_fail(fault, FT_EIO, "the system gives no random numbers");
        error = nd_lane_make(lane, fault);
    }
    if (error)
        return error;
    r->ports.deal.lane = r->lanes;
    nd_counters_find(r);
    nd_port_watch_begin(r);
    return nd_tables_find(r, fault);
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

/* A pipe would hold up the library that reads it. Whether there is a file, and what is in it, its reader
 * says. */
static int refuse_odd_file(const char *path, struct ft_fault *fault)
{
    struct stat is;

    if (stat(path, &is) != 0 || S_ISREG(is.st_mode))
        return 0;
    return ft_fail(fault, FT_EINVAL, "%s: not a regular file, expected PEM", path);
}

/* What seals the link. For a thread that may wait for a disk; the keys are for the caller to forget. */
static int read_seal(struct nd_running *r, struct rp_seal_config *seal, struct ft_fault *fault)
{
    const struct nd_link *link = &r->config->link;
    int error;

    *seal = (struct rp_seal_config){.peer_name = r->config->node[!r->self].name};
    if (link->certificate[0]) {
        if ((error = refuse_odd_file(link->certificate, fault)) ||
            (error = refuse_odd_file(link->authority, fault)))
            return error;
        seal->certificate = link->certificate;
        seal->private_key = link->private_key;
        seal->authority = link->authority;
    }
    if (!link->key[0])
        return 0;
    seal->keys = &r->keys;
    return rp_keys_read(&r->keys, link->key, fault);
}

int nd_running_try_seal(const struct nd_config *config, unsigned self, struct ft_fault *fault)
{
    static struct nd_running r; /* of it the seal's fields alone */
    struct rp_seal_config how;
    struct rp_seal *seal = NULL;
    int error;

    r.config = (struct nd_config *)(uintptr_t)config;
    r.self = self;
    error = read_seal(&r, &how, fault);
    if (!error)
        error = rp_seal_open(&seal, &how, fault);
    if (!error)
        rp_seal_close(seal);
    explicit_bzero(&r.keys, sizeof(r.keys));
    return error;
}

void nd_running_reload(struct nd_running *r)
{
    const struct nd_link *link = &r->config->link;
    struct rp_seal_config config;
    struct rp_seal *seal = NULL;
    struct ft_fault fault = {""};
    int error;

    nd_arbiter_expect(r->arbiter, 0);
    if (!r->config->protect.pair || !(link->key[0] || link->certificate[0])) {
        ft_log_event(FT_LEVEL_NOTICE, FT_SAYS_SEAL,
                     "nothing seals the link, so there is nothing to read again");
        return;
    }
    error = read_seal(r, &config, &fault);
    if (!error)
        error = rp_seal_open(&seal, &config, &fault);
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

    if (!c->arbiter.urls || !c->protect.pair)
        return 0;
    error = nd_arbiter_start(&r->arbiter, &c->arbiter, c->node[r->self].name, fault);
    r->asks = (struct rp_arbiter){
        .arg = r->arbiter, .ask = nd_arbiter_ask, .answer = nd_arbiter_answer, .serves = nd_arbiter_serves};
    return error;
}

static int open_replicator(struct nd_running *r, struct ft_fault *fault)
{
    static char identity[FT_IDENTITY_MAX];
    const struct nd_config *c = r->config;
    const struct nd_node *self = &c->node[r->self], *peer = &c->node[!r->self];
    struct rp_config config = {
        .core = {.role = self->role == ND_ROLE_STANDBY,
                 .incarnation = r->datagram_key.incarnation,
                 .secret = {r->datagram_key.secret[0], r->datagram_key.secret[1]}},
        .link = {.local_host = self->host,
                 .peer_host = peer->host,
                 .local_port = self->tcp_port,
                 .peer_port = peer->tcp_port,
                 .listens = strcmp(self->name, peer->name) < 0},
        .region = r->region,
        .lanes = r->words,
        .published = r->group.published,
        .view_file = r->view_file,
        .arbiter = r->arbiter ? &r->asks : NULL,
        .state_changed = log_state,
        .view = note_view,
        .crashed = nd_quarantine_hear,
        .arg = r,
        .check = nd_group_check,
        .keeps = nd_group_keeps,
        .chain = nd_group_chain,
        .become = nd_group_become,
        .judge = &r->group,
    };

    int error = read_seal(r, &config.link.seal, fault);

    if (error)
        return error;
    nd_setup_replicator(&config, c, &c->timing, identity);
    snprintf(config.core.name, sizeof(config.core.name), "%s", self->name);
    snprintf(r->view_file, sizeof(r->view_file), "%s/%s.view", self->state, self->name);
    snprintf(r->difference.file, sizeof(r->difference.file), "%s/%s.diverged", self->state, self->name);
    error = rp_open(&r->replicator, &config, fault);
    explicit_bzero(&r->keys, sizeof(r->keys)); /* the link has its own */
    struct rp_status s;

    if (error)
        return error;
    /* From the start, not from the next view on: a restarted standby may die in the view it finds. */
    rp_status(r->replicator, &s);
    note_view(r, s.core.view);
    return 0;
}

static int open_server(struct nd_running *r, struct ft_fault *fault)
{
    return nd_server_open(&r->server, r->config->node[r->self].control, fault);
}

static int open_metrics(struct nd_running *r, struct ft_fault *fault)
{
    const struct nd_node *self = &r->config->node[r->self];

    return self->metrics_port ? nd_metrics_open(&r->metrics, self->metrics_host, self->metrics_port, fault)
                              : 0;
}

/* A killed process holds its sockets until its memory is gone; its successor may be back before that. */
static int open_patiently(struct nd_running *r, int (*open)(struct nd_running *, struct ft_fault *),
                          struct ft_fault *fault)
{
    int error = open(r, fault);

    for (int i = 0; error == FT_EBUSY && i < TAKEN_MS / 10 && !atomic_load(&r->stop); i++) {
        nanosleep(&(struct timespec){0, 10000000}, NULL);
        error = open(r, fault);
    }
    return error;
}

/* In the order in which a mistake is cheapest to find. */
int nd_running_open(struct nd_running *r, struct ft_fault *fault)
{
    const struct nd_node *self = &r->config->node[r->self], *peer = &r->config->node[!r->self];
    const struct ft_region_config how = {
        .name = "understudy region", .audit = r->config->protect.audit, .huge = self->hugepages};
    const char *slash = strrchr(self->control, '/'); /* a bare name lies in the working directory */
    int error;

    if ((slash && (error = make_directory(self->control, (size_t)(slash - self->control), fault))) ||
        (error = make_directory(self->state, strlen(self->state), fault)) ||
        (error = nd_crash_open(&r->crash, r->config, r->self, fault)))
        return error;
    r->words = nd_crash_words(r->crash);
    if (getrandom(&r->datagram_key, sizeof(r->datagram_key), 0) != sizeof(r->datagram_key))
        return ft_fail(fault, FT_EIO, "the system gives no random numbers");
    nd_crash_catch(nd_crash_page(r->crash), r->words, r->config->chain.lanes, &r->datagram_key);
    if ((error = open_patiently(r, open_server, fault)) || (error = nd_standing_start(r, fault)))
        return error;
    if (r->config->protect.pair &&
        (error = nd_guardian_start(&r->guardian, r->config->chain.lanes, self->host, peer->host,
                                   peer->tcp_port, &r->datagram_key, nd_crash_page(r->crash), fault)))
        return error;
    nd_telemetry_register();
    if ((error = nf_chain_region(&r->region, &r->config->chain, &how, fault)) ||
        (error = nd_ports_open(&r->ports, r->config, r->self, fault)) || (error = start_log(r, fault)) ||
        (error = open_recorder(r, fault)) || (error = open_redis(r, fault)) ||
        (error = make_lanes(r, fault)) || (error = nd_files_thread_open(&r->changing.files, fault)) ||
        (error = open_arbiter(r, fault)) || (error = open_patiently(r, open_metrics, fault)))
        return error;
    return open_patiently(r, open_replicator, fault);
}

void nd_running_close(struct nd_running *r)
{
    nd_guardian_stop(r->guardian);
    nd_metrics_close(r->metrics);
    rp_close(r->replicator);
    nd_arbiter_stop(r->arbiter);
    nd_server_close(r->server);
    if (r->ports.io.ports)
        nd_ports_close(&r->ports);
    lg_recorder_close(r->recorder);
    for (unsigned l = 0; r->lanes && l < r->config->chain.lanes; l++)
        nd_lane_free(&r->lanes[l]);
    nd_crash_close(r->crash);
    nd_redis_close(r->redis);
    nd_changes_close(r);
    ft_region_close(r->region);
    free(r->trace_filter);
    free(r->lanes);
    free(r->question.out);
    free(r->tables);
    nd_config_free(r->config);
}
