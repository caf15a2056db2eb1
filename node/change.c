/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A chain that is changed while the node runs: the main thread's part. The primary reads its files again,
 * judges them, gives them to its peer, and has its lanes change at the cut of a resync, by which the peer's
 * lanes become the same chain. The peer judges them as `understudy check` does before it says yes.
 *
 * Who reads and writes files is another thread, which has one job at a time: a peer's set waits with the
 * replicator until there is none, and its sender gives up after its time; an operator is refused; what was
 * staged is installed, or goes, before anything else.
 */
#include "node/change.h"
#include "node/config/peer.h"
#include "ftcore/base/event_log.h"
#include "nflib/session/table.h"
#include "node/base/clock.h"
#include "node/config/setup.h"
#include "lane/group.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define FORGOTTEN_MS 1000u
#define KEPT_MS      60000u /* that the peer keeps what it was asked for and that does not begin */
#define LATE_MS      3000u  /* a standby whose answers are late answers again */
#define FILES_MS     10000u /* the disk gives files */
#define ANSWER_MS    10000u /* the peer reads and checks files */
#define CUT_MS       5000u  /* until lanes have changed */
#define READY_MS     40000u /* until the standby is READY again; then the answer does not wait for it */

enum step { BEGIN, AT_FILES, AT_PEER, AT_LANES, AT_STANDBY };

/* To the log and to status. */
static void tell(struct nd_changing *g, enum ft_level level, const char *text)
{
    snprintf(g->told, sizeof(g->told), "%s", text);
    ft_log_event(level, FT_SAYS_CHAIN, "%s", text);
}

/* ---- jobs for the thread of files --------------------------------------------------------------- */

static struct nd_files_job job_of(const struct nd_changing *g, enum nd_files_work work)
{
    struct nd_files_job job = {.work = work, .permit = g->config->push_permit};

    snprintf(job.file, sizeof(job.file), "%s", g->config->file);
    snprintf(job.chain_file, sizeof(job.chain_file), "%s", g->config->chain_file);
    return job;
}

/* This node's files, into `read`. False: the disk has not done what it was asked for before. */
static bool begin_read(struct nd_changing *g)
{
    struct nd_files_job job = job_of(g, ND_FILES_READ);

    nd_files_job_end(&g->read);
    g->was_read = false;
    return !g->wished && nd_files_give(g->files, &job);
}

static void give_wish(struct nd_changing *g)
{
    struct nd_files_job job = job_of(g, g->wish);

    if (g->wished && nd_files_give(g->files, &job))
        g->wished = false;
}

/* What was staged is to be installed, or to go. */
static void order_files(struct nd_changing *g, enum nd_files_work wish)
{
    g->wish = wish;
    g->wished = true;
    give_wish(g);
}

/* ---- making one ready -------------------------------------------------------------------------- */

static void free_change(struct nd_change *c)
{
    if (!c)
        return;
    for (unsigned l = 0; l < FT_LANES_MAX; l++)
        nf_chain_free(c->was[l]);
    ft_region_close(c->old);
    nd_config_free(c->next);
    free(c);
}

/* What else stands in the file and would have to be another: it is read at a start. */
static int check_protection(const struct nd_config *own, const struct nd_config *next, struct ft_fault *fault)
{
    const struct nd_protect *a = &own->protect, *b = &next->protect;

    if (own->record.dir[0])
        return ft_fail(fault, FT_EINVAL,
                       "record: the chain of a node that records cannot be changed while it runs");
    if (a->deltas != b->deltas || a->records != b->records || a->stores != b->stores)
        return ft_fail(fault, FT_EINVAL, "protect mode: %s, then %s: cannot be changed while the pair runs",
                       a->mode, b->mode);
    if (own->chain.shared_size != next->chain.shared_size && next->chain.shared_size)
        return ft_fail(fault, FT_EINVAL, "shared_mb: cannot be changed while the pair runs");
    return 0;
}

/* Before anything begins: flows that are there now. Lanes look again when they change. */
static int check_fill(const struct nd_changing *g, const struct nd_config *next, struct ft_fault *fault)
{
    struct nf_sessions_wants wants;
    char name[64];

    nf_chain_sessions_wants(&next->chain, &wants);
    for (unsigned i = 1; i <= next->chain.count; i++)
        for (unsigned t = 0; t < g->counts->table_count; t++) {
            uint64_t entries = nf_table_entries(&g->counts->tables[t].table);

            snprintf(name, sizeof(name), "%s.flows", next->chain.nfs[i - 1].module->name);
            if (strcmp(name, g->counts->tables[t].name) == 0 && entries > wants.flows[i].max_flows)
                return ft_fail(fault, FT_EFULL,
                               "nf %u: %s max_flows: %u, and there are %lu flows: clear them, or wait", i,
                               next->chain.nfs[i - 1].module->name, wants.flows[i].max_flows, entries);
        }
    return 0;
}

/* The node's configuration has the new chain's NFs, and the memory that they lie in; what is freed with
 * `next` is the old chain's. Lanes, addresses and routes are the same in both. */
static void exchange(struct nd_change *c)
{
    struct nf_chain_config chain = c->own->chain;
    struct nf_file text = c->own->text;
    void *arena = c->own->arena;
    uint16_t lanes = chain.lanes;

    c->own->chain = c->next->chain;
    c->next->chain = chain;
    c->own->arena = c->next->arena;
    c->next->arena = arena;
    c->own->text = c->next->text;
    c->next->text = text;
    c->own->chain.lanes = lanes;
    c->own->chain.l3 = chain.l3;
    c->next->chain.l3 = NULL;
    c->plan.to = &c->own->chain;
    c->plan.from = &c->next->chain;
    nd_crash_name_chain(c->page, &c->own->chain); /* also of an NF that is only being made */
}

/* Takes `next`; `state`: this node's lanes have one that is to go on. */
static int make_change(struct nd_changing *g, struct nd_config *next, bool state, struct nd_change **out,
                       struct ft_fault *fault)
{
    struct nd_change *c = aligned_alloc(64, (sizeof(*c) + 63) / 64 * 64);
    struct rp_config named = {.core = {.lanes = 0}};
    int error;

    *out = NULL;
    if (!c) {
        nd_config_free(next);
        return ft_fail(fault, FT_ENOMEM, "no memory for a change");
    }
    memset(c, 0, sizeof(*c));
    c->next = next;
    c->own = g->config;
    c->exchange = exchange;
    c->page = g->crash->page;
    c->how = (struct ft_region_config){.name = "understudy region",
                                       .huge = g->config->node[g->self].hugepages,
                                       .shared_size = g->config->chain.shared_size};
    error = check_protection(g->config, c->next, fault);
    if (!error)
        error = state ? nf_chain_change_plan(&c->plan, &g->config->chain, &c->next->chain, fault)
                      : nf_chain_same_lanes(&g->config->chain, &c->next->chain, fault);
    if (!error && state)
        error = check_fill(g, c->next, fault);
    if (!error && getrandom(&c->seed, sizeof(c->seed), 0) != sizeof(c->seed))
        error = ft_fail(fault, FT_EIO, "the system gives no random numbers");
    if (error) {
        free_change(c);
        return error;
    }
    /* They are in the identity, and stay as they were read at the start: a node that said of a new arbiter
     * that it has it would be a pair with one that asks it, and not ask. */
    c->next->protect.pending_mb = g->config->protect.pending_mb;
    c->next->arbiter = g->config->arbiter;
    nd_setup_replicator(&named, c->next, &g->config->timing, c->identity);
    c->chain = (struct ft_chain_name){c->identity, named.core.identity_len, named.core.chain};
    *out = c;
    return 0;
}

/* ---- its life ---------------------------------------------------------------------------------- */

/* A lane, or the replicator, may look at its stage, or call the chain by it, for a while yet. */
static void keep(struct nd_changing *g, struct nd_change *c)
{
    nd_config_free(c->next);
    c->next = NULL;
    c->past = g->past;
    c->over = nd_now();
    g->past = c;
}

/* Every thread has begun a turn since nobody was led to it any more. */
static bool is_forgotten(const struct nd_changing *g, const struct rp_status *s, const struct nd_change *c)
{
    uint64_t after = c->over + FORGOTTEN_MS * FT_MS;

    if (atomic_load(&g->group->chain) == &c->chain || s->core.config.identity == c->identity || s->at < after)
        return false;
    for (unsigned l = 0; l < g->config->chain.lanes; l++)
        if (atomic_load(&g->shared[l].count.turn_ns) < after)
            return false;
    return true;
}

static void free_past(struct nd_changing *g, const struct rp_status *s)
{
    for (struct nd_change **at = &g->past, *c; (c = *at);) {
        if (is_forgotten(g, s, c)) {
            *at = c->past;
            free_change(c);
        } else {
            at = &c->past;
        }
    }
}

/* True: no lane will touch it any more. */
static bool give_up(struct nd_changing *g)
{
    struct nd_change *c = g->change;

    if (!c)
        return true;
    if (!nd_change_pass(c, ND_CHANGE_PREPARED, ND_CHANGE_GONE) &&
        !nd_change_pass(c, ND_CHANGE_FAILED, ND_CHANGE_GONE) &&
        !nd_change_pass(c, ND_CHANGE_ARMED, ND_CHANGE_GONE) &&
        !nd_change_pass(c, ND_CHANGE_ALONE, ND_CHANGE_GONE))
        return false;
    atomic_store_explicit(&g->group->change, NULL, memory_order_release);
    rp_push_forget(g->replicator);
    if (g->staged)
        order_files(g, ND_FILES_DROP);
    g->counts->paused = false;
    g->change = NULL;
    g->staged = false;
    memset(c->was, 0, sizeof(c->was)); /* of a change that failed: the lanes have them */
    keep(g, c);
    return true;
}

/* The lanes have the new chain. What they had is freed here, where nobody waits. */
static void finish(struct nd_changing *g)
{
    struct nd_change *c = g->change;
    struct ft_fault fault = {""};
    char text[FT_REASON_MAX];

    for (struct nd_change *p = g->past; p; p = p->past)
        p->over = nd_now(); /* one of these was the last */
    for (unsigned l = 0; l < FT_LANES_MAX; l++) {
        nf_chain_free(c->was[l]);
        c->was[l] = NULL;
    }
    ft_region_close(c->old);
    c->old = NULL;
    keep(g, c);
    atomic_store_explicit(&g->group->change, NULL, memory_order_release);
    if (nd_counts_find(g->counts, &fault) != 0)
        ft_log_event(FT_LEVEL_WARNING, FT_SAYS_CHAIN, "%s", fault.text);
    g->change = NULL;
    g->count++;
    if (g->staged)
        order_files(g, ND_FILES_INSTALL);
    g->staged = false;
    snprintf(text, sizeof(text), "the chain is changed, and packets waited for %.1f ms",
             (double)c->took / 1e6);
    tell(g, FT_LEVEL_NOTICE, text);
}

/* Lanes and replicator may see it. */
static void offer(struct nd_changing *g, struct nd_change *c)
{
    nd_crash_add_modules(g->crash->page, &c->next->chain);
    g->counts->paused = true;
    g->change = c;
    g->until = nd_now() + KEPT_MS * FT_MS;
    atomic_store_explicit(&g->group->change, c, memory_order_release);
}

uint64_t nd_change_hash(const struct nd_changing *g, const struct rp_status *s)
{
    const struct ft_chain_name *chain = atomic_load_explicit(&g->group->chain, memory_order_acquire);

    return chain ? chain->hash : s->core.config.chain;
}

/* ---- the peer's files, and what became of a job ------------------------------------------------- */

static void reply(struct nd_changing *g, int error, const struct ft_fault *fault)
{
    struct rp_push_answer answer = {.taken = error == 0};

    snprintf(answer.text, sizeof(answer.text), "%.127s", error ? fault->text : "");
    tell(g, error ? FT_LEVEL_WARNING : FT_LEVEL_NOTICE,
         error ? fault->text : "the peer's chain files are checked, and taken");
    rp_push_reply(g->replicator, &answer);
}

static int check_chain(const struct nd_files_job *job, const struct nd_change *c, uint64_t chain,
                       struct ft_fault *fault)
{
    if (c->chain.hash == chain)
        return 0;
    if (job->staged || job->same)
        return ft_fail(fault, FT_EINVAL,
                       "they make another chain here: is a module, or pending_mb, another one?");
    if (!job->travels)
        return ft_fail(fault, FT_EINVAL,
                       "its file makes another chain, and pair files do not travel: change it there, too, or "
                       "use chain: {file: ...} on both");
    return ft_fail(fault, FT_EPERM, "its files differ, and its file does not say push: {permit: true}");
}

/* What the peer's set makes here was read, and is staged where it differs from the installed files. */
static void judge_set(struct nd_changing *g, const struct rp_status *s, struct nd_files_job *job)
{
    struct ft_fault fault = job->fault;
    struct nd_change *c = NULL;
    int error = job->error;
    uint64_t chain;
    uint32_t len;

    if (!rp_pushed(g->replicator, &chain, &len))
        chain = 0; /* cannot be: it stays until it is answered */
    if (!error && ft_core_primary(&s->core))
        error = ft_fail(&fault, FT_EBUSY, "it is primary, and gives its own files");
    if (!error) {
        error = make_change(g, job->next, false, &c, &fault);
        job->next = NULL;
    }
    if (!error)
        error = check_chain(job, c, chain, &fault);
    if (!error && chain != nd_change_hash(g, s)) {
        g->staged = job->staged;
        offer(g, c);
        if (s->core.refused && !s->core.peer.known)
            rp_rejoin(g->replicator, chain);
    } else {
        free_change(c);
        g->replies = job->staged && !error;
        if (job->staged)
            order_files(g, error ? ND_FILES_DROP : ND_FILES_INSTALL);
    }
    if (!g->replies)
        reply(g, error, &fault);
}

static void note_installed(struct nd_changing *g, const struct nd_files_job *job)
{
    struct ft_fault fault;

    if (job->error)
        ft_fail(&fault, job->error, "its files are not in their places: %.100s", job->fault.text);
    if (g->replies)
        reply(g, job->error, &fault);
    else if (job->error)
        tell(g, FT_LEVEL_WARNING, fault.text);
    g->replies = false;
}

static void hear_peer(struct nd_changing *g, const struct rp_status *s)
{
    struct nd_files_job job = job_of(g, ND_FILES_TAKE);
    struct ft_fault fault = {""};
    uint64_t chain;
    const uint8_t *bytes;
    int error = 0;

    if (g->wished || nd_files_busy(g->files) || !(bytes = rp_pushed(g->replicator, &chain, &job.len)))
        return;
    if (ft_core_primary(&s->core))
        error = ft_fail(&fault, FT_EBUSY, "it is primary, and gives its own files");
    else if (!give_up(g)) /* what was offered before */
        error = ft_fail(&fault, FT_EBUSY, "another change is under way there");
    else if (g->wished || nd_files_busy(g->files))
        return; /* that goes first */
    else if (!(job.bytes = malloc(job.len + 1u)))
        error = ft_fail(&fault, FT_ENOMEM, "no memory for %u bytes of files", job.len);
    if (error) {
        reply(g, error, &fault);
        return;
    }
    memcpy(job.bytes, bytes, job.len);
    nd_files_give(g->files, &job);
}

static void turn_files(struct nd_changing *g, const struct rp_status *s)
{
    struct nd_files_job job;

    if (nd_files_outcome(g->files, &job)) {
        if (job.work == ND_FILES_TAKE)
            judge_set(g, s, &job);
        else if (job.work == ND_FILES_INSTALL)
            note_installed(g, &job);
        if (job.work == ND_FILES_READ) {
            nd_files_job_end(&g->read);
            g->read = job;
            g->was_read = true;
        } else {
            nd_files_job_end(&job);
        }
    }
    give_wish(g);
    hear_peer(g, s);
}

void nd_changes_turn(struct nd_changing *g, const struct rp_status *s)
{
    struct nd_change *c = g->change;
    int stage = c ? atomic_load_explicit(&c->stage, memory_order_acquire) : ND_CHANGE_GONE;

    if (stage == ND_CHANGE_DONE) {
        finish(g);
    } else if (stage == ND_CHANGE_FAILED && !ft_core_primary(&s->core)) {
        /* On a primary the step of apply says why. */
        tell(g, FT_LEVEL_WARNING, c->fault.text);
        give_up(g);
    } else if (c && nd_now() > g->until) {
        give_up(g); /* nobody has begun it, or waits for it, any more */
    }
    free_past(g, s);
    turn_files(g, s);
}

void nd_changes_close(struct nd_changing *g)
{
    if (g->change && g->staged)
        order_files(g, ND_FILES_DROP);
    nd_files_thread_close(g->files);
    g->files = NULL;
    nd_files_job_end(&g->read);
    if (g->change && atomic_load(&g->change->stage) != ND_CHANGE_DONE)
        memset(g->change->was, 0, sizeof(g->change->was));
    free_change(g->change);
    g->change = NULL;
    for (struct nd_change *c = g->past, *next; c; c = next) {
        next = c->past;
        free_change(c);
    }
    g->past = NULL;
}

/* ---- apply, push: steps of an operator's request ------------------------------------------------ */

static bool refused(struct nd_changing *g, struct nd_exchange *x, const char *what, const char *why)
{
    char text[300];

    if (!give_up(g))
        return false; /* a lane is at it: a later step sees what became of it */
    snprintf(text, sizeof(text), "%s%s%s", what, *what ? ": " : "", why);
    tell(g, FT_LEVEL_WARNING, text);
    g->step = BEGIN;
    return nd_refused(x, "busy", "%s; the chain is as it was", text);
}

static bool done(struct nd_changing *g, struct nd_exchange *x, const char *text)
{
    g->step = BEGIN;
    return nd_answered(x, json_pack("{s:b,s:s}", "done", 1, "text", text));
}

static void wait_for(struct nd_changing *g, struct nd_work *w, enum step step, uint32_t ms)
{
    g->step = step;
    w->begun = true;
    w->until = nd_now() + ms * FT_MS;
}

static int send_files(struct nd_changing *g, const struct nd_config *config, uint64_t chain,
                      struct ft_fault *fault)
{
    struct nd_files files;
    uint32_t len = 0;
    uint8_t *bytes;
    int error;

    if (!config->link.key[0] && !config->link.certificate[0])
        return ft_fail(
            fault, FT_EPERM,
            "link.insecure: true: a chain's files travel over a sealed link alone, expected a key or "
            "certificates");
    error = nd_files_of(&files, config, fault);
    if (error)
        return error;
    bytes = nd_files_pack(&files, &len);
    if (!bytes || !rp_push(g->replicator, chain, bytes, len))
        error = ft_fail(fault, FT_EBUSY, "files are on their way to the peer already");
    free(bytes);
    return error;
}

/* The standby's answers are late, as they are for moments on a busy machine: the chain waits for them. */
static bool is_late(const struct nd_work *w, const struct rp_status *s)
{
    return s->core.peer.known && s->core.state == FT_DEGRADED && nd_now() <= w->until;
}

static bool read_files(struct nd_changing *g, struct nd_exchange *x, struct nd_work *w)
{
    if (!begin_read(g))
        return nd_refused(x, "busy", "the disk has not done what it was asked for before");
    wait_for(g, w, AT_FILES, FILES_MS);
    return false;
}

/* 0: they make a change; or why not. FT_EBUSY with no text: they are still being read. */
static int take_read(struct nd_changing *g, const struct nd_work *w, bool state, struct nd_change **c,
                     struct ft_fault *fault)
{
    struct nd_config *next = g->read.next;

    if (!g->was_read && nd_now() <= w->until)
        return FT_EBUSY;
    if (!g->was_read)
        return ft_fail(fault, FT_EBUSY, "%s: the disk does not give the files", g->config->file);
    g->was_read = false;
    g->read.next = NULL;
    *fault = g->read.fault;
    return g->read.error ? g->read.error : make_change(g, next, state, c, fault);
}

/* Why this node cannot apply its files now; NULL: it can. */
static json_t *refuse_state(const struct rp_status *s)
{
    if (!ft_core_primary(&s->core))
        return nd_refuse("busy", "%s: the primary applies a chain", ft_state_name(s->core.state));
    if (s->core.peer.known && s->core.state != FT_PROTECTED)
        return nd_refuse("busy", "%s: %s: a pair's chain is changed while it is PROTECTED",
                         ft_state_name(s->core.state), s->core.why);
    return NULL;
}

static bool begin_apply(struct nd_changing *g, struct nd_exchange *x, struct nd_work *w,
                        const struct rp_status *s)
{
    json_t *refusal;

    if (w->until == 0)
        w->until = nd_now() + LATE_MS * FT_MS;
    if (is_late(w, s))
        return false;
    refusal = refuse_state(s);
    if (refusal)
        return nd_answered(x, refusal);
    if (g->change && !give_up(g))
        return nd_refused(x, "busy", "a change is under way");
    return read_files(g, x, w);
}

static bool at_files(struct nd_changing *g, struct nd_exchange *x, struct nd_work *w,
                     const struct rp_status *s)
{
    struct ft_fault fault = {""};
    struct nd_change *c;
    json_t *refusal;
    int error;

    if (is_late(w, s))
        return false;
    refusal = refuse_state(s);
    if (refusal)
        return nd_answered(x, refusal);
    error = take_read(g, w, true, &c, &fault);
    if (error && !fault.text[0])
        return false;
    if (error)
        return refused(g, x, "", fault.text);
    if (c->chain.hash == nd_change_hash(g, s)) {
        free_change(c);
        return done(g, x, "the chain file is the one that runs");
    }
    offer(g, c);
    g->alone = !s->core.peer.known;
    g->resyncs = s->core.resyncs;
    if (g->alone) {
        nd_change_pass(c, ND_CHANGE_PREPARED, ND_CHANGE_ALONE);
        tell(g, FT_LEVEL_NOTICE, "the chain is being changed, without a peer");
        wait_for(g, w, AT_LANES, CUT_MS);
        return false;
    }
    if (send_files(g, c->next, c->chain.hash, &fault) != 0)
        return refused(g, x, "", fault.text);
    tell(g, FT_LEVEL_NOTICE, "the peer is checking the chain's files");
    wait_for(g, w, AT_PEER, ANSWER_MS);
    return false;
}

/* The peer's answer: then the lanes' turn, at the cut of a resync. */
static bool at_peer(struct nd_changing *g, struct nd_exchange *x, struct nd_work *w,
                    const struct rp_status *s)
{
    struct rp_push_answer answer;

    if (!s->core.peer.known)
        return refused(g, x, s->core.peer.name, "the standby was lost");
    if (is_late(w, s))
        return false;
    if (!rp_push_answered(g->replicator, &answer))
        return nd_now() > w->until && refused(g, x, s->core.peer.name, "no answer about the chain's files");
    if (!answer.taken)
        return refused(g, x, s->core.peer.name, answer.text);
    if (s->core.state != FT_PROTECTED)
        return refused(g, x, ft_state_name(s->core.state), s->core.why);
    nd_change_pass(g->change, ND_CHANGE_PREPARED, ND_CHANGE_ARMED);
    rp_request(g->replicator, FT_REQUEST_RESYNC);
    tell(g, FT_LEVEL_NOTICE, "the chain is being changed; a resync follows");
    wait_for(g, w, AT_LANES, CUT_MS);
    return false;
}

/* nd_changes_turn has finished it where it is done. */
static bool at_lanes(struct nd_changing *g, struct nd_exchange *x, struct nd_work *w)
{
    struct nd_change *c = g->change;
    struct ft_fault fault;
    char text[400];

    if (!c && g->alone) {
        snprintf(text, sizeof(text), "%s; node %s was not connected: push the files to it once it is",
                 g->told, nd_peer_name(g->config, g->self));
        return done(g, x, text);
    }
    if (!c) {
        wait_for(g, w, AT_STANDBY, READY_MS);
        return false;
    }
    if (atomic_load_explicit(&c->stage, memory_order_acquire) == ND_CHANGE_FAILED) {
        fault = c->fault;
        return refused(g, x, "", fault.text);
    }
    return nd_now() > w->until && refused(g, x, "", "the lanes did not come to a cut in time");
}

static bool at_standby(struct nd_changing *g, struct nd_exchange *x, struct nd_work *w,
                       const struct rp_status *s)
{
    char text[400];

    if (s->core.state == FT_PROTECTED && s->core.resyncs != g->resyncs) {
        snprintf(text, sizeof(text), "%s; PROTECTED again", g->told);
        return done(g, x, text);
    }
    if (nd_now() <= w->until)
        return false;
    snprintf(text, sizeof(text), "%s; the standby is not READY yet", g->told);
    return done(g, x, text);
}

static bool apply(struct nd_changing *g, struct nd_exchange *x, struct nd_work *w, const struct rp_status *s)
{
    if (!w->begun)
        return begin_apply(g, x, w, s);
    switch (g->step) {
    case AT_FILES:
        return at_files(g, x, w, s);
    case AT_PEER:
        return at_peer(g, x, w, s);
    case AT_LANES:
        return at_lanes(g, x, w);
    case AT_STANDBY:
        return at_standby(g, x, w, s);
    default:
        return nd_refused(x, "busy", "the change was given up");
    }
}

/* The files as they are here; the chain that runs is theirs. */
static bool push_files(struct nd_changing *g, struct nd_exchange *x, struct nd_work *w,
                       const struct rp_status *s)
{
    struct ft_fault fault = {""};
    struct nd_change *c = NULL;
    int error = take_read(g, w, false, &c, &fault);

    if (error && !fault.text[0])
        return false;
    if (!error && g->change)
        error = ft_fail(&fault, FT_EBUSY, "a change is under way");
    if (!error && c->chain.hash != nd_change_hash(g, s))
        error =
            ft_fail(&fault, FT_EINVAL,
                    "the files here make another chain than the one that runs: apply them, or, where apply "
                    "refuses them, put those that run back first");
    if (!error)
        error = send_files(g, c->next, c->chain.hash, &fault);
    free_change(c);
    if (error)
        return nd_refused(x, "invalid", "%s", fault.text);
    wait_for(g, w, AT_PEER, ANSWER_MS);
    return false;
}

static bool push(struct nd_changing *g, struct nd_exchange *x, struct nd_work *w, const struct rp_status *s)
{
    const char *peer = nd_peer_name(g->config, g->self);
    struct rp_push_answer answer;
    char text[FT_REASON_MAX];

    if (!ft_core_primary(&s->core))
        return nd_refused(x, "busy", "%s: the primary pushes its files", ft_state_name(s->core.state));
    if (!w->begun)
        return g->change ? nd_refused(x, "busy", "a change is under way") : read_files(g, x, w);
    if (g->step == AT_FILES)
        return push_files(g, x, w, s);
    if (rp_push_answered(g->replicator, &answer)) {
        if (!answer.taken)
            return nd_refused(x, "busy", "node %s: %s", peer, answer.text);
        snprintf(text, sizeof(text), "node %s has the chain's files", peer);
        return done(g, x, text);
    }
    if (nd_now() <= w->until)
        return false;
    rp_push_forget(g->replicator);
    return nd_refused(x, "busy", "node %s does not answer", peer);
}

bool nd_answer_change(struct nd_changing *g, struct nd_exchange *x, struct nd_work *w)
{
    struct rp_status s;

    rp_status(g->replicator, &s);
    nd_changes_turn(g, &s);
    return (x->command == ND_CMD_APPLY ? apply : push)(g, x, w, &s);
}
