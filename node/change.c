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
#include "node/change_parts.h"
#include "node/config/peer.h"
#include "ftcore/base/event_log.h"
#include "nflib/session/table.h"
#include "ftcore/base/clock.h"
#include "node/base/interface.h"
#include "node/config/setup.h"
#include "lane/group.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define FORGOTTEN_MS  1000u
#define KEEP_AGAIN_NS 5000000000ull /* behind a failure: then the disk is given again what is to be kept */
#define KEPT_MS       60000u        /* that the peer keeps what it was asked for and that does not begin */

void nd_change_tell(struct nd_changing *g, enum ft_level level, const char *text)
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
    snprintf(job.sets, sizeof(job.sets), "%s", g->confirm.sets);
    return job;
}

bool nd_change_read(struct nd_changing *g, uint64_t set)
{
    struct nd_files_job job = job_of(g, set ? ND_FILES_BACK : ND_FILES_READ);

    job.number = set;
    job.permit |= set != 0; /* whoever acts here may have the node's own files written */
    nd_files_job_end(&g->read);
    g->was_read = false;
    return !g->wished && nd_files_give(g->files, &job);
}

static void give_wish(struct nd_changing *g)
{
    if (!g->wished || !nd_files_give(g->files, &g->wish))
        return;
    g->wish.bytes = NULL;
    g->wished = false;
}

/* What was staged is to be installed, or to go, or the set in `bytes`, which it takes, is to be kept. What
 * waits for a confirm goes to the disk with it. */
static void order_job(struct nd_changing *g, enum nd_files_work wish, uint8_t *bytes, uint32_t len,
                      const struct nd_note *note)
{
    struct nd_confirm *c = &g->confirm;

    if (g->wished)
        nd_files_job_end(&g->wish);
    g->wish = job_of(g, wish);
    g->wish.bytes = bytes;
    g->wish.len = len;
    g->wish.note = *note;
    g->wish.waits = nd_confirm_note(c, ft_now());
    g->wish.waits_until = c->until ? ft_wall() + g->wish.waits.confirm_ms * FT_MS : 0;
    g->wished = true;
    if (wish != ND_FILES_DROP)
        c->unwritten = false;
    give_wish(g);
}

void nd_change_order(struct nd_changing *g, enum nd_files_work wish)
{
    order_job(g, wish, NULL, 0, &g->note);
}

/* The files of the chain that runs are kept under this note. */
static void order_keep(struct nd_changing *g, enum nd_files_work wish, const struct nd_note *note)
{
    struct nd_files files;
    struct ft_fault fault;
    uint8_t *bytes = NULL;
    uint32_t len = 0;

    if (nd_files_of(&files, g->config, &fault) == 0)
        bytes = nd_files_pack(&files, &len);
    order_job(g, wish, bytes, len, note);
}

/* ---- making one ready -------------------------------------------------------------------------- */

void nd_change_free(struct nd_change *c)
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

/* On ports that are open here, by their numbers: those of the file count when a node begins. */
static int place_interface(const struct nd_config *own, struct nf_interface *interface,
                           struct ft_fault *fault)
{
    unsigned d = nd_port_by_name(own, interface->port);

    interface->device = (uint8_t)d;
    return d < own->ports ? 0
                          : ft_fail(fault, FT_EINVAL,
                                    "interface %s: the node had no port %s when it began, restart it first",
                                    interface->name, interface->port);
}

/* A NIC is told the largest frames when it is opened; an interface of the kernel's is its administrator's. */
static int check_mtu(const struct nd_changing *g, const struct nf_l3_config *l3, struct ft_fault *fault)
{
    char name[IFNAMSIZ];

    for (unsigned d = 0; d < g->config->ports && !g->ports->fed; d++)
        if (!nd_interface_of(g->config->node[g->self].port[d], name) &&
            nf_l3_device_mtu(l3, d) > g->ports->deal.device[d].mtu)
            return ft_fail(
                fault, FT_EINVAL,
                "interfaces of port %s: MTU %u, and it was opened for %u: cannot be raised while the "
                "node runs",
                g->config->port_name[d], nf_l3_device_mtu(l3, d), g->ports->deal.device[d].mtu);
    return 0;
}

/* A keeper has read the pair file when it began, and knows frames by it. */
static int check_keeper(const struct nf_l3_config *from, const struct nf_l3_config *to,
                        struct ft_fault *fault)
{
    return nd_interfaces_digest(from) == nd_interfaces_digest(to)
               ? 0
               : ft_fail(fault, FT_EINVAL,
                         "interfaces: another number, order, port, vlan, pcp, side or mac: cannot be changed "
                         "while a keeper runs");
}

static int place_interfaces(const struct nd_changing *g, struct nd_config *next, struct ft_fault *fault)
{
    const struct nd_node *self = &g->config->node[g->self];
    struct nf_l3_config *l3 = next->chain.l3;
    int error = 0;

    if (!l3 || !g->config->chain.l3) /* a wire: nf_chain_same_lanes */
        return 0;
    for (unsigned i = 0; i < l3->ports && !error; i++)
        error = place_interface(g->config, &l3->port[i], fault);
    if (!error)
        error = check_mtu(g, l3, fault);
    if (!error && g->ports->fed)
        error = check_keeper(g->config->chain.l3, l3, fault);
    for (unsigned i = 0; i < self->tracks && !error; i++)
        if (self->track[i].kind == ND_TRACK_GATEWAY && nd_gateway_interface(l3, self->track[i].gateway) < 0)
            error = ft_fail(fault, FT_EINVAL,
                            "node %s tracks gateway %s, expected it in the network of one of the interfaces",
                            self->name, self->track[i].what);
    return error;
}

/* The node's configuration has the new chain, and the memory that it lies in; what is freed with `next` is
 * the old one. Lanes are the same in both. */
static void exchange(struct nd_change *c)
{
    struct nd_changing *g = c->arg;
    struct nf_chain_config chain = c->own->chain;
    struct nf_file text = c->own->text;
    void *arena = c->own->arena;
    uint16_t lanes = chain.lanes;
    uint8_t port[NF_PORTS_MAX];

    c->own->chain = c->next->chain;
    c->next->chain = chain;
    c->own->arena = c->next->arena;
    c->next->arena = arena;
    c->own->text = c->next->text;
    c->next->text = text;
    c->own->chain.lanes = lanes;
    c->plan.to = &c->own->chain;
    c->plan.from = &c->next->chain;
    if (chain.l3) {
        nf_l3_match(chain.l3, c->own->chain.l3, port);
        nd_ports_renumber(g->ports, c->own, &c->own->node[g->self], port);
        nd_standing_place(g->standing);
    }
    nd_crash_name_chain(g->crash->page, &c->own->chain); /* also of an NF that is only being made */
}

int nd_change_make(struct nd_changing *g, struct nd_config *next, bool state, struct nd_change **out,
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
    c->arg = g;
    c->how = (struct ft_region_config){.name = "understudy region",
                                       .huge = g->config->node[g->self].hugepages,
                                       .shared_size = g->config->chain.shared_size};
    error = check_protection(g->config, c->next, fault);
    if (!error)
        error = place_interfaces(g, c->next, fault);
    if (!error)
        error = state ? nf_chain_change_plan(&c->plan, &g->config->chain, &c->next->chain, fault)
                      : nf_chain_same_lanes(&g->config->chain, &c->next->chain, fault);
    if (!error && state)
        error = check_fill(g, c->next, fault);
    if (!error && getrandom(&c->seed, sizeof(c->seed), 0) != sizeof(c->seed))
        error = ft_fail(fault, FT_EIO, "the system gives no random numbers");
    if (error) {
        nd_change_free(c);
        return error;
    }
    /* They are in the identity, and stay as they were read at the start: a node that said of a new arbiter
     * that it has it would be a pair with one that asks it, and not ask. */
    c->next->protect.pending_mb = g->config->protect.pending_mb;
    c->next->arbiter = g->config->arbiter;
    nd_setup_replicator(&named, c->next, &g->config->timing, c->identity);
    c->recorded_len = nf_chain_identity(&c->next->chain, c->recorded, sizeof(c->recorded));
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
    c->over = ft_now();
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
            nd_change_free(c);
        } else {
            at = &c->past;
        }
    }
}

bool nd_change_give_up(struct nd_changing *g)
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
        nd_change_order(g, ND_FILES_DROP);
    g->counts->paused = false;
    g->change = NULL;
    g->staged = false;
    memset(c->was, 0, sizeof(c->was)); /* of a change that failed: the lanes have them */
    keep(g, c);
    return true;
}

/* The chain of the note runs: from now on it waits for a confirm, if it does. A peer of another program sends
 * no note, and what it does with the chain says nothing of what waits. */
static void end_note(struct nd_changing *g, uint64_t chain)
{
    g->note.chain = chain;
    if (g->note.number)
        nd_confirm_take(&g->confirm, &g->note, ft_now());
    else
        g->note = (struct nd_note){
            .number = nd_confirm_number(&g->confirm, ft_wall()), .chain = chain, .how = "push"};
}

/* The lanes have the new chain. What they had is freed here, where nobody waits. */
static void finish(struct nd_changing *g, const struct rp_status *s)
{
    struct nd_change *c = g->change;
    struct ft_fault fault = {""};
    char text[FT_REASON_MAX];

    for (struct nd_change *p = g->past; p; p = p->past)
        p->over = ft_now(); /* one of these was the last */
    for (unsigned l = 0; l < FT_LANES_MAX; l++) {
        nf_chain_free(c->was[l]);
        c->was[l] = NULL;
    }
    ft_region_close(c->old);
    c->old = NULL;
    nd_port_watch_name(g->port_watch); /* the names are the new chain's; those of the old one go */
    nd_port_watch_turn(g->port_watch, s);
    keep(g, c);
    atomic_store_explicit(&g->group->change, NULL, memory_order_release);
    if (nd_counts_find(g->counts, &fault) != 0)
        ft_log_event(FT_LEVEL_WARNING, FT_SAYS_CHAIN, "%s", fault.text);
    g->change = NULL;
    g->count++;
    end_note(g, c->chain.hash);
    order_keep(g, g->staged ? ND_FILES_INSTALL : ND_FILES_KEEP, &g->note);
    g->staged = false;
    snprintf(text, sizeof(text), "the chain is changed, and packets waited for %.1f ms",
             (double)c->took / 1e6);
    nd_change_tell(g, FT_LEVEL_NOTICE, text);
}

void nd_change_offer(struct nd_changing *g, struct nd_change *c)
{
    nd_crash_add_modules(g->crash->page, &c->next->chain);
    g->counts->paused = true;
    g->change = c;
    g->until = ft_now() + KEPT_MS * FT_MS;
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
    nd_change_tell(g, error ? FT_LEVEL_WARNING : FT_LEVEL_NOTICE,
                   error ? fault->text : "the peer's chain files are checked, and taken");
    rp_push_reply(g->replicator, &answer);
}

static bool is_diff(const struct nd_note *note)
{
    return strcmp(note->how, ND_HOW_DIFF) == 0;
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

/* Other files, and the same chain. */
static void install_same(struct nd_changing *g, struct nd_files_job *job, uint64_t chain)
{
    struct nd_note note = {
        .number = nd_confirm_number(&g->confirm, ft_wall()), .chain = chain, .how = "push"};

    order_job(g, ND_FILES_INSTALL, job->bytes, job->len, &note);
    job->bytes = NULL;
}

/* The peer has only asked what its files would change here. */
static void answer_diff(struct nd_changing *g, int error, const char *why, const struct nd_files_job *job)
{
    struct rp_push_answer answer = {.taken = error == 0};

    snprintf(answer.text, sizeof(answer.text), "%.199s", error ? why : job->differs);
    if (job->staged)
        nd_change_order(g, ND_FILES_DROP);
    rp_push_reply(g->replicator, &answer);
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
    else if (!error && s->core.kept && !is_diff(&g->note) && chain != nd_change_hash(g, s))
        error =
            ft_fail(&fault, FT_EBUSY,
                    "it keeps the state of the chain before, in case that the primary is lost: restart it, "
                    "then push");
    if (!error) {
        error = nd_change_make(g, job->next, false, &c, &fault);
        job->next = NULL;
    }
    if (!error)
        error = check_chain(job, c, chain, &fault);
    if (is_diff(&g->note)) {
        nd_change_free(c);
        answer_diff(g, error, fault.text, job);
        return;
    }
    if (!error && chain != nd_change_hash(g, s)) {
        g->staged = job->staged;
        nd_change_offer(g, c);
        if (s->core.refused && !s->core.peer.known)
            rp_rejoin(g->replicator, chain);
    } else {
        nd_change_free(c);
        g->replies = job->staged && !error;
        if (job->staged && error)
            nd_change_order(g, ND_FILES_DROP);
        else if (job->staged)
            install_same(g, job, chain);
    }
    if (!g->replies)
        reply(g, error, &fault);
}

/* What a disk did not take it is given again later; that it does not is told once. */
static void note_kept(struct nd_changing *g, const struct nd_files_job *job)
{
    if (job->unkept && !g->keep_again)
        nd_change_tell(g, FT_LEVEL_WARNING, job->fault.text);
    g->keep_again = job->unkept ? ft_now() + KEEP_AGAIN_NS : 0;
    if (job->unkept)
        g->is_kept = false;
    memcpy(g->confirm.kept, job->kept, sizeof(job->kept));
    g->confirm.count = job->kept_count;
}

static void note_installed(struct nd_changing *g, const struct nd_files_job *job)
{
    struct ft_fault fault;

    if (job->error)
        ft_fail(&fault, job->error, "its files are not in their places: %.100s", job->fault.text);
    if (g->replies)
        reply(g, job->error, &fault);
    else if (job->error)
        nd_change_tell(g, FT_LEVEL_WARNING, fault.text);
    g->replies = false;
}

static void hear_peer(struct nd_changing *g, const struct rp_status *s)
{
    struct nd_files_job job = job_of(g, ND_FILES_TAKE);
    struct ft_fault fault = {""};
    struct nd_note note;
    uint64_t chain;
    const uint8_t *bytes;
    int error = 0;

    if (g->wished || nd_files_busy(g->files) || !(bytes = rp_pushed(g->replicator, &chain, &job.len)))
        return;
    error = nd_note_unpack(&bytes, &job.len, &note, &fault);
    if (!error && note.number && !job.len) { /* a note alone */
        nd_confirm_take(&g->confirm, &note, ft_now());
        rp_push_reply(g->replicator, &(struct rp_push_answer){.taken = true});
        return;
    }
    if (!error && ft_core_primary(&s->core))
        error = ft_fail(&fault, FT_EBUSY, "it is primary, and gives its own files");
    else if (!error && (is_diff(&note) ? g->change != NULL : !nd_change_give_up(g))) /* offered before */
        error = ft_fail(&fault, FT_EBUSY, "another change is under way there");
    else if (!error && (g->wished || nd_files_busy(g->files)))
        return; /* that goes first */
    else if (!error && !(job.bytes = malloc(job.len + 1u)))
        error = ft_fail(&fault, FT_ENOMEM, "no memory for %u bytes of files", job.len);
    if (error) {
        reply(g, error, &fault);
        return;
    }
    memcpy(job.bytes, bytes, job.len);
    g->note = note;
    nd_files_give(g->files, &job);
}

/* What runs from the start on, and what the disk did not take; and a later word on what waits, which the disk
 * does not have yet. */
static void keep_running(struct nd_changing *g, const struct rp_status *s)
{
    struct nd_note note = {.how = "start"};

    if (g->wished || g->change || nd_files_busy(g->files) || ft_now() < g->keep_again)
        return;
    if (!g->is_kept) {
        note.number = nd_confirm_number(&g->confirm, ft_wall());
        note.chain = nd_change_hash(g, s);
        if (g->note.number && g->note.chain == note.chain) /* that by which it came to run */
            note = g->note;
        g->is_kept = true;
        order_keep(g, ND_FILES_KEEP, &note);
    } else if (g->confirm.unwritten) {
        nd_change_order(g, ND_FILES_KEEP);
    }
}

static void turn_files(struct nd_changing *g, const struct rp_status *s)
{
    struct nd_files_job job;
    bool idle;

    if (nd_files_outcome(g->files, &job)) {
        if (job.work == ND_FILES_TAKE)
            judge_set(g, s, &job);
        else if (job.work == ND_FILES_INSTALL)
            note_installed(g, &job);
        if (job.work == ND_FILES_INSTALL || job.work == ND_FILES_KEEP)
            note_kept(g, &job);
        if (job.work == ND_FILES_READ || job.work == ND_FILES_BACK) {
            nd_files_job_end(&g->read);
            g->read = job;
            g->was_read = true;
        } else {
            nd_files_job_end(&job);
        }
    }
    give_wish(g);
    hear_peer(g, s);
    keep_running(g, s);
    idle = !g->change && (g->step == ND_STEP_BEGIN || g->step == ND_STEP_STANDBY) &&
           (g->config->link.key[0] || g->config->link.certificate[0]);
    nd_confirm_tell(&g->confirm, g->replicator, s, idle);
}

void nd_changes_turn(struct nd_changing *g, const struct rp_status *s)
{
    struct nd_change *c = g->change;
    int stage = c ? atomic_load_explicit(&c->stage, memory_order_acquire) : ND_CHANGE_GONE;

    if (stage == ND_CHANGE_DONE) {
        finish(g, s);
    } else if (stage == ND_CHANGE_FAILED && !ft_core_primary(&s->core)) {
        /* On a primary the step of apply says why. */
        nd_change_tell(g, FT_LEVEL_WARNING, c->fault.text);
        nd_change_give_up(g);
    } else if (c && ft_now() > g->until) {
        nd_change_give_up(g); /* nobody has begun it, or waits for it, any more */
    }
    free_past(g, s);
    turn_files(g, s);
}

void nd_changes_close(struct nd_changing *g)
{
    if (g->change && g->staged)
        nd_change_order(g, ND_FILES_DROP);
    nd_files_thread_close(g->files);
    g->files = NULL;
    nd_files_job_end(&g->read);
    nd_files_job_end(&g->wish);
    if (g->change && atomic_load(&g->change->stage) != ND_CHANGE_DONE)
        memset(g->change->was, 0, sizeof(g->change->was));
    nd_change_free(g->change);
    g->change = NULL;
    for (struct nd_change *c = g->past, *next; c; c = next) {
        next = c->past;
        nd_change_free(c);
    }
    g->past = NULL;
}
