/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a change, from when lanes may see it until nobody can look at it any more, and what the thread
 * of files is asked for: change.h has the stages.
 */
#include "understudy/change/parts.h"
#include "ftcore/base/clock.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define FORGOTTEN_MS 1000u
#define KEPT_MS      60000u /* that the peer keeps what it was asked for and that does not begin */

void nd_change_log(struct nd_changing *g, enum ft_level level, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(g->told, sizeof(g->told), fmt, args);
    va_end(args);
    ft_log_event(level, FT_SAYS_CHAIN, "%s", g->told);
}

/* ---- jobs for the thread of files --------------------------------------------------------------- */

struct nd_files_job nd_change_job(const struct nd_changing *g, enum nd_files_work work)
{
    struct nd_files_job job = {.work = work, .permit = g->config->push_permit};

    snprintf(job.file, sizeof(job.file), "%s", g->config->file);
    snprintf(job.chain_file, sizeof(job.chain_file), "%s", g->config->chain_file);
    snprintf(job.sets, sizeof(job.sets), "%s", g->confirm.sets);
    return job;
}

void nd_change_give(struct nd_changing *g, struct nd_files_job job, const struct nd_note *note)
{
    struct nd_confirm *c = &g->confirm;

    job.note = *note;
    job.waits = nd_confirm_note(c, ft_now());
    job.waits_until = c->until ? ft_wall() + job.waits.confirm_ms * FT_MS : 0;
    if (job.work != ND_FILES_DROP)
        c->unwritten = false;
    nd_files_order(g->files, &job);
}

void nd_change_order(struct nd_changing *g, enum nd_files_work work)
{
    nd_change_give(g, nd_change_job(g, work), &g->note);
}

void nd_change_keep(struct nd_changing *g, enum nd_files_work work, const struct nd_note *note)
{
    struct nd_files_job job = nd_change_job(g, work);
    struct nd_files files;
    struct ft_fault fault;

    if (nd_files_of(&files, g->config, &fault) == 0)
        job.bytes = nd_files_pack(&files, &job.len);
    nd_change_give(g, job, note);
}

struct nd_note nd_change_note(const struct nd_changing *g, const char *how, uint64_t chain)
{
    struct nd_note note = {.number = nd_confirm_number(&g->confirm, ft_wall()), .chain = chain};

    snprintf(note.how, sizeof(note.how), "%s", how);
    return note;
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

void nd_change_free_past(struct nd_changing *g, const struct rp_status *s)
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
    if (!nd_change_pass(c, ND_CHANGE_OFFERED, ND_CHANGE_GONE) &&
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

void nd_change_finish(struct nd_changing *g, const struct rp_status *s)
{
    struct nd_change *c = g->change;
    struct ft_fault fault = {""};

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
    /* It waits for a confirm from now on, if it does. A peer of another program sends no note, and what it
     * does with the chain is no sign of what waits. */
    g->note.chain = c->chain.hash;
    if (g->note.number)
        nd_confirm_take(&g->confirm, &g->note, ft_now());
    else
        g->note = nd_change_note(g, "push", c->chain.hash);
    nd_change_keep(g, g->staged ? ND_FILES_INSTALL : ND_FILES_KEEP, &g->note);
    g->staged = false;
    nd_change_log(g, FT_LEVEL_NOTICE, "the chain is changed, and packets waited for %.1f ms",
                  (double)c->took / 1e6);
}

void nd_change_offer(struct nd_changing *g, struct nd_change *c, bool staged)
{
    atomic_store_explicit(&c->stage, ND_CHANGE_OFFERED, memory_order_relaxed);
    nd_crash_add_modules(g->crash->page, &c->next->chain);
    g->counts->paused = true;
    g->change = c;
    g->staged = staged;
    g->until = ft_now() + KEPT_MS * FT_MS;
    atomic_store_explicit(&g->group->change, c, memory_order_release);
}

uint64_t nd_change_hash(const struct nd_changing *g, const struct rp_status *s)
{
    const struct ft_chain_name *chain = atomic_load_explicit(&g->group->chain, memory_order_acquire);

    return chain ? chain->hash : s->core.config.chain;
}

void nd_changes_close(struct nd_changing *g)
{
    if (g->change && g->staged)
        nd_change_order(g, ND_FILES_DROP);
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
