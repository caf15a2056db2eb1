/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A chain that is changed while the node runs: the main thread's part. The primary reads its files again,
 * judges them, gives them to its peer, and has its lanes change at the cut of a resync, by which the peer's
 * lanes become the same chain. The peer judges them as `understudy check` does before it says yes. Who reads
 * and writes files is another thread (change_files.c).
 */
#include "ftcore/base/event_log.h"
#include "nflib/session/table.h"
#include "node/base/clock.h"
#include "node/config/setup.h"
#include "lane/group.h"
#include "node/running.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define FORGOTTEN_MS 1000u
#define KEPT_MS      60000u /* that the peer keeps what it was asked for and that does not begin */

void nd_change_tell(struct nd_running *r, enum ft_level level, const char *text)
{
    snprintf(r->changing.told, sizeof(r->changing.told), "%s", text);
    ft_log_event(level, FT_SAYS_CHAIN, "%s", text);
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

    if (own->record.dir[0])
        return ft_fail(fault, FT_EINVAL,
                       "record: the chain of a node that records cannot be changed while it runs");
    if (own->state != ND_STATE_LOCAL || next->state != ND_STATE_LOCAL)
        return ft_fail(fault, FT_EINVAL,
                       "state: a chain whose state is in Redis cannot be changed while it runs");
    if (a->deltas != b->deltas || a->records != b->records || a->stores != b->stores)
        return ft_fail(fault, FT_EINVAL, "protect mode: %s, then %s: cannot be changed while the pair runs",
                       a->mode, b->mode);
    if (own->chain.shared_size != next->chain.shared_size && next->chain.shared_size)
        return ft_fail(fault, FT_EINVAL, "shared_mb: cannot be changed while the pair runs");
    return 0;
}

/* Before anything begins: flows that are there now. Lanes look again when they change. */
static int check_fill(const struct nd_running *r, const struct nd_config *next, struct ft_fault *fault)
{
    struct nf_sessions_wants wants;
    char name[64];

    nf_chain_sessions_wants(&next->chain, &wants);
    for (unsigned i = 1; i <= next->chain.count; i++)
        for (unsigned t = 0; t < r->table_count; t++) {
            uint64_t entries = nf_table_entries(&r->tables[t].table);

            snprintf(name, sizeof(name), "%s.flows", next->chain.nfs[i - 1].module->name);
            if (strcmp(name, r->tables[t].name) == 0 && entries > wants.flows[i].max_flows)
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
}

static void name_chain(const struct nd_change *c)
{
    nd_crash_name_chain(c->page, &c->own->chain);
}

/* Takes `next`; `state`: this node's lanes have one that is to go on. */
int nd_change_make(struct nd_running *r, struct nd_config *next, bool state, struct nd_change **out,
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
    c->own = r->config;
    c->exchange = exchange;
    c->changed = name_chain;
    c->page = nd_crash_page(r->crash);
    c->how = (struct ft_region_config){.name = "understudy region",
                                       .huge = r->config->node[r->self].hugepages,
                                       .shared_size = r->config->chain.shared_size};
    error = check_protection(r->config, c->next, fault);
    if (!error)
        error = state ? nf_chain_change_plan(&c->plan, &r->config->chain, &c->next->chain, fault)
                      : nf_chain_same_lanes(&r->config->chain, &c->next->chain, fault);
    if (!error && state)
        error = check_fill(r, c->next, fault);
    if (!error && getrandom(&c->seed, sizeof(c->seed), 0) != sizeof(c->seed))
        error = ft_fail(fault, FT_EIO, "the system gives no random numbers");
    if (error) {
        nd_change_free(c);
        return error;
    }
    /* They are in the identity, and stay as they were read at the start: a node that said of a new arbiter
     * that it has it would be a pair with one that asks it, and not ask. */
    c->next->protect.pending_mb = r->config->protect.pending_mb;
    c->next->arbiter = r->config->arbiter;
    nd_setup_replicator(&named, c->next, &r->config->timing, c->identity);
    c->chain = (struct ft_chain_name){c->identity, named.core.identity_len, named.core.chain};
    *out = c;
    return 0;
}

/* A lane, or the replicator, may look at its stage, or call the chain by it, for a while yet. */
static void keep(struct nd_running *r, struct nd_change *c)
{
    nd_config_free(c->next);
    c->next = NULL;
    c->past = r->changing.past;
    c->over = nd_now();
    r->changing.past = c;
}

/* Every thread has begun a turn since nobody was led to it any more. */
static bool is_forgotten(const struct nd_running *r, const struct rp_status *s, const struct nd_change *c)
{
    uint64_t after = c->over + FORGOTTEN_MS * FT_MS;

    if (atomic_load(&r->group.chain) == &c->chain || s->core.config.identity == c->identity || s->at < after)
        return false;
    for (unsigned l = 0; l < r->config->chain.lanes; l++)
        if (atomic_load(&r->words[l].count.turn_ns) < after)
            return false;
    return true;
}

static void free_past(struct nd_running *r, const struct rp_status *s)
{
    for (struct nd_change **at = &r->changing.past, *c; (c = *at);) {
        if (is_forgotten(r, s, c)) {
            *at = c->past;
            nd_change_free(c);
        } else {
            at = &c->past;
        }
    }
}

/* True: no lane will touch it any more. */
bool nd_change_give_up(struct nd_running *r)
{
    struct nd_changing *g = &r->changing;
    struct nd_change *c = g->change;

    if (!c)
        return true;
    if (!nd_change_pass(c, ND_CHANGE_PREPARED, ND_CHANGE_GONE) &&
        !nd_change_pass(c, ND_CHANGE_FAILED, ND_CHANGE_GONE) &&
        !nd_change_pass(c, ND_CHANGE_ARMED, ND_CHANGE_GONE) &&
        !nd_change_pass(c, ND_CHANGE_ALONE, ND_CHANGE_GONE))
        return false;
    atomic_store_explicit(&r->group.change, NULL, memory_order_release);
    rp_push_forget(r->replicator);
    if (g->staged)
        nd_change_wish(r, ND_FILES_DROP);
    g->change = NULL;
    g->staged = false;
    memset(c->was, 0, sizeof(c->was)); /* of a change that failed: the lanes have them */
    keep(r, c);
    return true;
}

/* The lanes have the new chain. What they had is freed here, where nobody waits. */
static void finish(struct nd_running *r)
{
    struct nd_changing *g = &r->changing;
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
    keep(r, c);
    atomic_store_explicit(&r->group.change, NULL, memory_order_release);
    nd_counters_find(r);
    if (nd_tables_find(r, &fault) != 0)
        ft_log_event(FT_LEVEL_WARNING, FT_SAYS_CHAIN, "%s", fault.text);
    g->change = NULL;
    g->count++;
    if (g->staged)
        nd_change_wish(r, ND_FILES_INSTALL);
    g->staged = false;
    snprintf(text, sizeof(text), "the chain is changed, and packets waited for %.1f ms",
             (double)c->took / 1e6);
    nd_change_tell(r, FT_LEVEL_NOTICE, text);
}

void nd_change_offer(struct nd_running *r, struct nd_change *c)
{
    nd_crash_add_modules(nd_crash_page(r->crash), &c->next->chain);
    r->changing.change = c;
    r->changing.until = nd_now() + KEPT_MS * FT_MS;
    atomic_store_explicit(&r->group.change, c, memory_order_release);
}

uint64_t nd_change_hash(const struct nd_running *r, const struct rp_status *s)
{
    const struct ft_chain_name *chain = atomic_load_explicit(&r->group.chain, memory_order_acquire);

    return chain ? chain->hash : s->core.config.chain;
}

void nd_changes_turn(struct nd_running *r, const struct rp_status *s)
{
    struct nd_change *c = r->changing.change;
    int stage = c ? atomic_load_explicit(&c->stage, memory_order_acquire) : ND_CHANGE_GONE;

    if (stage == ND_CHANGE_DONE) {
        finish(r);
    } else if (stage == ND_CHANGE_FAILED && !ft_core_primary(&s->core)) {
        /* On a primary the step of apply says why. */
        nd_change_tell(r, FT_LEVEL_WARNING, c->fault.text);
        nd_change_give_up(r);
    } else if (c && nd_now() > r->changing.until) {
        nd_change_give_up(r); /* nobody has begun it, or waits for it, any more */
    }
    free_past(r, s);
    nd_change_files_turn(r, s);
}

void nd_changes_close(struct nd_running *r)
{
    struct nd_changing *g = &r->changing;

    if (g->change && g->staged)
        nd_change_wish(r, ND_FILES_DROP);
    nd_files_thread_close(g->files);
    g->files = NULL;
    nd_files_job_end(&g->read);
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
