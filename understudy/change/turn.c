/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a node does for a change in each turn of its main thread: files that come from the peer, which are
 * judged as `understudy check` does before this node agrees; what the thread of files has done; a change that
 * lanes have carried out. A peer's set waits with the replicator until that thread is free, and the peer's
 * operator gives up after a time.
 */
#include "understudy/change/parts.h"
#include "ftcore/base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEEP_AGAIN_NS 5000000000ull /* behind a failure: then the disk is given again what is to be kept */

static void reply(struct nd_changing *g, int error, const struct ft_fault *fault)
{
    struct rp_push_answer answer = {.taken = error == 0};

    snprintf(answer.text, sizeof(answer.text), "%.127s", error ? fault->text : "");
    nd_change_log(g, error ? FT_LEVEL_WARNING : FT_LEVEL_NOTICE, "%s",
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

/* The peer has only asked what its files would change here. */
static void answer_diff(struct nd_changing *g, int error, const char *text)
{
    struct rp_push_answer answer = {.taken = error == 0};

    snprintf(answer.text, sizeof(answer.text), "%.199s", text);
    rp_push_reply(g->replicator, &answer);
}

static void judge_files(struct nd_changing *g, const struct rp_status *s, struct nd_files_job *job)
{
    struct nd_files_job places = nd_change_job(g, ND_FILES_INSTALL);
    struct ft_fault fault = job->fault;
    struct nd_change *c = NULL;
    struct nd_note note;
    int error = job->error;
    uint64_t chain;
    uint32_t len;

    g->given = ND_CHANGE_NONE;
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
    if (!error && !is_diff(&g->note) && chain != nd_change_hash(g, s)) {
        nd_change_offer(g, c, job->staged);
        if (s->core.refused && !s->core.peer.known)
            rp_rejoin(g->replicator, chain);
        reply(g, 0, &fault);
        return;
    }
    nd_change_free(c);
    if (job->staged && !error && !is_diff(&g->note)) { /* other files, and the same chain */
        note = nd_change_note(g, "push", chain);
        places.bytes = job->bytes;
        places.len = job->len;
        job->bytes = NULL;
        nd_change_give(g, places, &note);
        g->given = ND_CHANGE_PLACED;
        return;
    }
    if (job->staged)
        nd_change_order(g, ND_FILES_DROP);
    if (is_diff(&g->note))
        answer_diff(g, error, error ? fault.text : job->differs);
    else
        reply(g, error, &fault);
}

static void note_placed(struct nd_changing *g, const struct nd_files_job *job)
{
    struct ft_fault fault;

    if (job->error)
        ft_fail(&fault, job->error, "its files are not in their places: %.100s", job->fault.text);
    if (g->given == ND_CHANGE_PLACED)
        reply(g, job->error, &fault);
    else if (job->error)
        nd_change_log(g, FT_LEVEL_WARNING, "%s", fault.text);
    g->given = ND_CHANGE_NONE;
}

static void take_files(struct nd_changing *g, const struct rp_status *s)
{
    struct nd_files_job job = nd_change_job(g, ND_FILES_TAKE);
    struct ft_fault fault = {""};
    struct nd_note note;
    uint64_t chain;
    const uint8_t *bytes;
    int error = 0;

    /* What is staged for a command is judged before another set takes its place. */
    if (g->asked == ND_CHANGE_READ || nd_files_busy(g->files) ||
        !(bytes = rp_pushed(g->replicator, &chain, &job.len)))
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
    else if (!error && nd_files_busy(g->files))
        return; /* that goes first */
    else if (!error && !(job.bytes = malloc(job.len + 1u)))
        error = ft_fail(&fault, FT_ENOMEM, "no memory for %u bytes of files", job.len);
    if (error) {
        reply(g, error, &fault);
        return;
    }
    memcpy(job.bytes, bytes, job.len);
    g->note = note;
    g->given = ND_CHANGE_READ;
    nd_files_give(g->files, &job);
}

/* ---- each turn ---------------------------------------------------------------------------------- */

/* What a disk did not take is written again later; the failure is logged once. */
static void note_kept(struct nd_changing *g, const struct nd_files_job *job)
{
    if (job->unkept && !g->keep_again)
        nd_change_log(g, FT_LEVEL_WARNING, "%s", job->fault.text);
    g->keep_again = job->unkept ? ft_now() + KEEP_AGAIN_NS : 0;
    if (job->unkept)
        g->is_kept = false;
    memcpy(g->confirm.kept, job->kept, sizeof(job->kept));
    g->confirm.count = job->kept_count;
}

/* What runs from the start on, and what the disk did not take; and a later word on what waits, which the disk
 * does not have yet. */
static void keep_running(struct nd_changing *g, const struct rp_status *s)
{
    struct nd_note note;

    if (g->change || nd_files_busy(g->files) || ft_now() < g->keep_again)
        return;
    if (!g->is_kept) {
        note = nd_change_note(g, "start", nd_change_hash(g, s));
        if (g->note.number && g->note.chain == note.chain) /* that by which it came to run */
            note = g->note;
        g->is_kept = true;
        nd_change_keep(g, ND_FILES_KEEP, &note);
    } else if (g->confirm.unwritten) {
        nd_change_order(g, ND_FILES_KEEP);
    }
}

void nd_changes_turn(struct nd_changing *g, const struct rp_status *s)
{
    struct nd_change *c = g->change;
    int stage = c ? atomic_load_explicit(&c->stage, memory_order_acquire) : ND_CHANGE_NONE;
    struct nd_files_job job;
    bool idle;

    if (stage == ND_CHANGE_DONE) {
        nd_change_finish(g, s);
    } else if (stage == ND_CHANGE_FAILED && !ft_core_primary(&s->core)) {
        /* On a primary the step of apply reports why. */
        nd_change_log(g, FT_LEVEL_WARNING, "%s", c->fault.text);
        nd_change_give_up(g);
    } else if (c && ft_now() > g->until) {
        nd_change_give_up(g); /* nobody has begun it, or waits for it, any more */
    }
    nd_change_free_past(g, s);
    if (nd_files_outcome(g->files, &job)) {
        if (job.work == ND_FILES_TAKE)
            judge_files(g, s, &job);
        if (job.work == ND_FILES_INSTALL)
            note_placed(g, &job);
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
    take_files(g, s);
    keep_running(g, s);
    idle = !g->change && g->asked != ND_CHANGE_READ && g->asked != ND_CHANGE_OFFERED &&
           (g->config->link.key[0] || g->config->link.certificate[0]);
    nd_confirm_send(&g->confirm, g->replicator, s, idle);
}
