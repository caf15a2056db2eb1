/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of a chain that come from the peer. They are judged as `understudy check` does before this node says
 * yes. The main thread's; who reads and writes files is their thread, for which the peer's set waits with the
 * replicator. The peer's operator gives up after a time.
 */
#include "node/change/parts.h"
#include "ftcore/base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* The peer has only asked what its files would change here. */
static void answer_diff(struct nd_changing *g, int error, const char *text)
{
    struct rp_push_answer answer = {.taken = error == 0};

    snprintf(answer.text, sizeof(answer.text), "%.199s", text);
    rp_push_reply(g->replicator, &answer);
}

void nd_peer_files_read(struct nd_changing *g, const struct rp_status *s, struct nd_files_job *job)
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

void nd_peer_files_placed(struct nd_changing *g, const struct nd_files_job *job)
{
    struct ft_fault fault;

    if (job->error)
        ft_fail(&fault, job->error, "its files are not in their places: %.100s", job->fault.text);
    if (g->given == ND_CHANGE_PLACED)
        reply(g, job->error, &fault);
    else if (job->error)
        nd_change_tell(g, FT_LEVEL_WARNING, fault.text);
    g->given = ND_CHANGE_NONE;
}

void nd_peer_files_take(struct nd_changing *g, const struct rp_status *s)
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
