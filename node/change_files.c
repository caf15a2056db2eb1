/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of a change of the chain: what the main thread has the thread of files do, and what it makes of
 * the outcome. One job at a time: a peer's set waits with the replicator until there is none, and its sender
 * gives up after its time; an operator is refused; what was laid aside is installed, or goes, before
 * anything else.
 */
#include "node/base/clock.h"
#include "lane/group.h"
#include "node/running.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct nd_files_job job_of(const struct nd_running *r, enum nd_files_work work)
{
    struct nd_files_job job = {.work = work, .permit = r->config->push_permit};

    snprintf(job.file, sizeof(job.file), "%s", r->config->file);
    snprintf(job.chain_file, sizeof(job.chain_file), "%s", r->config->chain_file);
    return job;
}

bool nd_change_read(struct nd_running *r)
{
    struct nd_files_job job = job_of(r, ND_FILES_READ);

    nd_files_job_end(&r->changing.read);
    r->changing.was_read = false;
    return !r->changing.wished && nd_files_give(r->changing.files, &job);
}

static void give_wish(struct nd_running *r)
{
    struct nd_changing *g = &r->changing;
    struct nd_files_job job = job_of(r, g->wish);

    if (g->wished && nd_files_give(g->files, &job))
        g->wished = false;
}

void nd_change_wish(struct nd_running *r, enum nd_files_work wish)
{
    r->changing.wish = wish;
    r->changing.wished = true;
    give_wish(r);
}

static void reply(struct nd_running *r, int error, const struct ft_fault *fault)
{
    struct rp_push_answer answer = {.taken = error == 0};

    snprintf(answer.text, sizeof(answer.text), "%.127s", error ? fault->text : "");
    nd_change_tell(r, error ? FT_LEVEL_WARNING : FT_LEVEL_NOTICE,
                   error ? fault->text : "the peer's chain files are checked, and taken");
    rp_push_reply(r->replicator, &answer);
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

/* What the peer's set makes here was read, and lies aside where it is not what lies here. */
static void judge_set(struct nd_running *r, const struct rp_status *s, struct nd_files_job *job)
{
    struct nd_changing *g = &r->changing;
    struct ft_fault fault = job->fault;
    struct nd_change *c = NULL;
    int error = job->error;
    uint64_t chain;
    uint32_t len;

    if (!rp_pushed(r->replicator, &chain, &len))
        chain = 0; /* cannot be: it stays until it is answered */
    if (!error && ft_core_primary(&s->core))
        error = ft_fail(&fault, FT_EBUSY, "it is primary, and gives its own files");
    if (!error) {
        error = nd_change_make(r, job->next, false, &c, &fault);
        job->next = NULL;
    }
    if (!error)
        error = check_chain(job, c, chain, &fault);
    if (!error && chain != nd_change_hash(r, s)) {
        g->staged = job->staged;
        nd_change_offer(r, c);
        if (s->core.refused && !s->core.peer.known)
            rp_rejoin(r->replicator, chain);
    } else {
        nd_change_free(c);
        g->replies = job->staged && !error;
        if (job->staged)
            nd_change_wish(r, error ? ND_FILES_DROP : ND_FILES_INSTALL);
    }
    if (!g->replies)
        reply(r, error, &fault);
}

static void note_installed(struct nd_running *r, const struct nd_files_job *job)
{
    struct ft_fault fault;

    if (job->error)
        ft_fail(&fault, job->error, "its files are not in their places: %.100s", job->fault.text);
    if (r->changing.replies)
        reply(r, job->error, &fault);
    else if (job->error)
        nd_change_tell(r, FT_LEVEL_WARNING, fault.text);
    r->changing.replies = false;
}

static void hear_peer(struct nd_running *r, const struct rp_status *s)
{
    struct nd_files_job job = job_of(r, ND_FILES_TAKE);
    struct ft_fault fault = {""};
    uint64_t chain;
    const uint8_t *bytes;
    int error = 0;

    if (r->changing.wished || nd_files_busy(r->changing.files) ||
        !(bytes = rp_pushed(r->replicator, &chain, &job.len)))
        return;
    if (ft_core_primary(&s->core))
        error = ft_fail(&fault, FT_EBUSY, "it is primary, and gives its own files");
    else if (!nd_change_give_up(r)) /* what was offered before */
        error = ft_fail(&fault, FT_EBUSY, "another change is under way there");
    else if (r->changing.wished || nd_files_busy(r->changing.files))
        return; /* that goes first */
    else if (!(job.bytes = malloc(job.len + 1u)))
        error = ft_fail(&fault, FT_ENOMEM, "no memory for %u bytes of files", job.len);
    if (error) {
        reply(r, error, &fault);
        return;
    }
    memcpy(job.bytes, bytes, job.len);
    nd_files_give(r->changing.files, &job);
}

void nd_change_files_turn(struct nd_running *r, const struct rp_status *s)
{
    struct nd_changing *g = &r->changing;
    struct nd_files_job job;

    if (nd_files_outcome(g->files, &job)) {
        if (job.work == ND_FILES_TAKE)
            judge_set(r, s, &job);
        else if (job.work == ND_FILES_INSTALL)
            note_installed(r, &job);
        if (job.work == ND_FILES_READ) {
            nd_files_job_end(&g->read);
            g->read = job;
            g->was_read = true;
        } else {
            nd_files_job_end(&job);
        }
    }
    give_wish(r);
    hear_peer(r, s);
}
