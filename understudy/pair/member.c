/* SPDX-License-Identifier: Apache-2.0 */
/* A node in a forked process, its address and files; see member.h. */
#define _GNU_SOURCE /* affinity of threads */
#include "understudy/pair/member.h"
#include "understudy/base/process.h"
#include "understudy/config/setup.h"
#include "understudy/crash/guardian.h"
#include "understudy/pair/child.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRIES 8u /* to find a port that is not the other member's */

static char name_of(unsigned member)
{
    return member == 0 ? 'a' : 'b';
}

int nd_lanes_open(struct nd_lanes *n, const char *region_name, bool audit, struct ft_fault *fault)
{
    const struct ft_region_config how = {
        .name = region_name, .audit = audit, .poison = n->config->protect.audit, .huge = true};
    int error = nf_chain_region(&n->region, &n->config->chain, &how, fault);

    nd_group_init(&n->group, n->lane, n->config->chain.lanes);
    n->setup.question = &n->question;
    n->setup.view = &n->view;
    n->setup.stop = &n->stop;
    n->setup.heartbeat_ms = n->config->timing.heartbeat_ms;
    for (unsigned l = 0; l < n->config->chain.lanes && !error; l++) {
        n->lane[l] = (struct nd_lane){.index = l,
                                      .config = &n->config->chain,
                                      .protect = &n->config->protect,
                                      .io = n->io,
                                      .region = n->region,
                                      .shared = &n->shared[l],
                                      .group = &n->group,
                                      .setup = n->setup,
                                      .seen.order = ft_order_make(n->doing, 1),
                                      .doing = n->doing};
        n->lane[l].setup.mark = n->marks ? &n->marks[l] : NULL;
        n->lane[l].setup.wire = n->wire ? n->wire[l] : NULL;
        error = nd_lane_make(&n->lane[l], fault);
    }
    return error;
}

static void new_view(void *arg, uint64_t view)
{
    atomic_store(&((struct nd_member *)arg)->lanes.view, view);
}

static void note_state(void *arg, enum ft_event_name what, bool planned, enum ft_state state, uint64_t view,
                       const char *why)
{
    struct nd_member_status *status = ((struct nd_member *)arg)->config->status;

    (void)what;
    (void)planned;
    (void)view;
    snprintf(status->why, sizeof(status->why), "%s", why);
    atomic_store(&status->state, (int)state);
}

void nd_member_network(struct rp_config *out, const struct nd_member_config *c,
                       char identity[FT_IDENTITY_MAX])
{
    const struct nd_loopback *place = c->place;
    unsigned number = c->number;

    *out = (struct rp_config){.core = {.role = number,
                                       .name = {name_of(number)},
                                       .incarnation = c->datagram_key.incarnation,
                                       .secret = {c->datagram_key.secret[0], c->datagram_key.secret[1]}},
                              .link = {.local_host = place->host,
                                       .peer_host = place->host,
                                       .local_port = place->port[number],
                                       .peer_port = place->port[!number],
                                       .listens = number == 0,
                                       .seal.keys = place->keys.count ? &place->keys : NULL}};
    nd_setup_replicator(out, c->config, &c->timing, identity);
}

static int open_replicator(struct nd_member *m, struct ft_fault *fault)
{
    static char identity[FT_IDENTITY_MAX], view_file[300];
    struct rp_config config;
    struct rp_status s;
    int error;

    nd_member_network(&config, m->config, identity);
    config.region = m->lanes.region;
    config.lanes = m->config->shared;
    config.published = m->lanes.group.published;
    config.view_file = view_file;
    config.state_changed = note_state;
    config.view = new_view;
    config.crashed = m->config->crashed;
    config.arg = m;
    config.check = nd_group_check;
    config.keeps = nd_group_keeps;
    config.judge = &m->lanes.group;
    config.by_port = m->lanes.group.by_port;
    snprintf(view_file, sizeof(view_file), "%s/%c.view", m->config->place->directory,
             name_of(m->config->number));
    error = rp_open(&m->replicator, &config, fault);
    if (error)
        return error;
    rp_status(m->replicator, &s);
    new_view(m, s.core.view);
    return 0;
}

int nd_member_open(struct nd_member *m, const struct nd_member_config *c, struct ft_fault *fault)
{
    const struct nd_protect *p = &c->config->protect;
    unsigned lanes = c->config->chain.lanes;
    int error = 0;

    *m = (struct nd_member){.config = c,
                            .lanes = {.config = c->config,
                                      .io = c->io,
                                      .shared = c->shared,
                                      .marks = c->status->mark,
                                      .setup.seed = c->seed,
                                      .wire = c->wire,
                                      .setup.replayed_bytes = c->replayed_bytes,
                                      .setup.self = c->datagram_key}};
    if (c->guardian)
        error = nd_guardian_start(&m->guardian, lanes, c->place->host, NULL, &c->datagram_key, NULL, fault);
    if (c->guardian && !error)
        error = nd_guardian_aim(m->guardian, 0, c->place->host, c->place->port[!c->number], fault);
    for (unsigned l = 0; l < lanes && !error; l++)
        error = nd_setup_rings(&c->shared[l], (uint64_t)p->log_mb << 20, (uint64_t)p->pending_mb << 20,
                               p->stores, fault);
    for (unsigned l = 0; l < lanes && c->wire && !error; l++)
        error = nd_setup_direct(&c->shared[l], (uint64_t)p->pending_mb << 20, fault);
    if (!error)
        error = nd_lanes_open(&m->lanes, c->region_name, p->audit, fault);
    return error ? error : open_replicator(m, fault);
}

/* A higher priority costs nothing where the lane has a core to itself. */
static void *run_lane(void *arg)
{
    const struct nd_member_lane *of = arg;

    prctl(PR_SET_NAME, "us-lane");
    if (of->member->config->realtime)
        nd_priority_raise();
    if (of->member->guardian)
        nd_guardian_hold(of->member->guardian, of->lane->index);
    nd_lane_run(of->lane);
    return NULL;
}

int nd_member_start(struct nd_member *m, const cpu_set_t *cores, struct ft_fault *fault)
{
    for (unsigned l = 0; l < m->config->config->chain.lanes; l++) {
        pthread_attr_t attr;
        int error;

        m->of[l] = (struct nd_member_lane){m, &m->lanes.lane[l]};
        pthread_attr_init(&attr);
        if (cores)
            pthread_attr_setaffinity_np(&attr, sizeof(*cores), cores);
        error = pthread_create(&m->threads[l], &attr, run_lane, &m->of[l]);
        pthread_attr_destroy(&attr);
        if (error)
            return ft_fail(fault, FT_ENOMEM, "no thread for lane %u: %s", l, strerror(error));
    }
    return 0;
}

int nd_member_serve(struct nd_member *m, int (*turn)(void *arg, struct ft_fault *fault), void *arg,
                    struct ft_fault *fault)
{
    struct nd_member_status *status = m->config->status;
    int wish, error = 0;

    while (!error && (wish = atomic_load(&status->wish)) != ND_MEMBER_END) {
        error = turn(arg, fault);
        if (!error && wish == ND_MEMBER_REST && !atomic_load(&status->rested)) {
            nd_guardian_stop(m->guardian);
            atomic_store(&m->lanes.stop, true);
            for (unsigned l = 0; l < m->config->config->chain.lanes; l++)
                pthread_join(m->threads[l], NULL);
            atomic_store(&m->config->status->digest, ft_region_digest(m->lanes.region));
            atomic_store(&m->config->status->rested, true);
        }
    }
    return error;
}

int nd_member_fork(pid_t *pid, struct nd_member_status *status, int (*run)(void *arg, struct ft_fault *fault),
                   void *arg, struct ft_fault *fault)
{
    static const int ignored[] = {SIGPIPE, SIGINT, SIGTERM, SIGHUP};

    *pid = nd_child();
    if (*pid < 0) {
        *pid = 0;
        return ft_fail(fault, FT_ENOMEM, "no process for a node: %s", strerror(errno));
    }
    if (*pid > 0)
        return 0;
    prctl(PR_SET_TIMERSLACK, 1000ul);
    for (unsigned i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        signal(ignored[i], SIG_IGN);
    if (run(arg, &status->fault) != 0)
        atomic_store(&status->failed, true);
    _exit(0);
}

const char *nd_member_at(const struct nd_member_status *status, const struct nf_chain_config *chain,
                         char out[ND_MEMBER_AT])
{
    out[0] = '\0';
    for (unsigned l = 0; l < chain->lanes; l++) {
        unsigned doing = atomic_load(&status->mark[l].doing), nf = atomic_load(&status->mark[l].nf);

        if (doing == NF_DOING_NOTHING || nf == 0 || nf > chain->count)
            continue;
        snprintf(out, ND_MEMBER_AT, ", lane %u in %s%sNF %s", l,
                 doing == NF_DOING_PACKETS ? "" : nf_doing_name(doing),
                 doing == NF_DOING_PACKETS ? "" : " of ", chain->nfs[nf - 1].module->name);
        break;
    }
    return out;
}

int nd_member_check(pid_t *pid, unsigned number, const struct nd_member_status *status,
                    const struct nf_chain_config *chain, const struct ft_lane_shared *shared,
                    struct ft_fault *fault)
{
    char name = name_of(number), at[ND_MEMBER_AT];
    int end;

    if (*pid <= 0 || waitpid(*pid, &end, WNOHANG) != *pid)
        return 0;
    *pid = 0;
    if (atomic_load(&status->failed))
        return ft_fail(fault, FT_EIO, "node %c: %.200s", name, status->fault.text);
    return ft_fail(fault, FT_EDIVERGED, "node %c ended by itself%s%s at burst %lu of lane 0%s", name,
                   WIFSIGNALED(end) ? ": " : "", WIFSIGNALED(end) ? strsignal(WTERMSIG(end)) : "",
                   atomic_load(&shared->report.executed) + 1, nd_member_at(status, chain, at));
}

int nd_loopback_open(struct nd_loopback *place, bool sealed, struct ft_fault *fault)
{
    const char *base = getenv("TMPDIR");
    unsigned id = (unsigned)getpid();

    *place = (struct nd_loopback){.host = "", .keys.count = sealed};
    if (getrandom(place->keys.key[0], RP_KEY_BYTES, 0) != RP_KEY_BYTES)
        return ft_fail(fault, FT_EIO, "the system gives no random numbers");
    snprintf(place->directory, sizeof(place->directory), "%.40s/understudy-XXXXXX",
             base && *base ? base : "/tmp");
    if (!mkdtemp(place->directory)) {
        ft_fail(fault, FT_EIO, "%s: %s, expected a directory to write in", place->directory, strerror(errno));
        place->directory[0] = '\0';
        return FT_EIO;
    }
    snprintf(place->host, sizeof(place->host), "127.%u.%u.%u", 64 + (id >> 16 & 63), id >> 8 & 255, id & 255);
    for (unsigned n = 0; n < ND_PAIR; n++)
        for (unsigned i = 0; i < TRIES && (place->port[n] == 0 || place->port[n] == place->port[!n]); i++)
            if (nd_free_port(place->host, &place->port[n]) != 0)
                return ft_fail(fault, FT_EIO, "no port is free on the loopback");
    return 0;
}

void nd_loopback_close(struct nd_loopback *place)
{
    char path[96];

    for (unsigned n = 0; n < ND_PAIR; n++)
        for (unsigned i = 0; place->directory[0] && i < 2; i++) {
            snprintf(path, sizeof(path), "%s/%c.view%s", place->directory, 'a' + (int)n, i ? ".new" : "");
            unlink(path);
        }
    if (place->directory[0])
        rmdir(place->directory);
    place->directory[0] = '\0';
}
