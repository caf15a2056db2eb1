/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread of a chain's files; see files_thread.h. The job is the thread's from GIVEN to DONE and the main
 * thread's otherwise; it has copies of all that it looks at, since the thread may outlive the node in a disk.
 */
#define _GNU_SOURCE /* close_range */
#include "node/config/files_thread.h"
#include "ftcore/base/disk_thread.h"
#include "ftcore/base/event_log.h"
#include "ftcore/base/worker.h"
#include "node/base/clock.h"
#include "node/config/content.h"

#include <stdlib.h>
#include <string.h>

enum stage { FREE, GIVEN, DONE };

struct nd_files_thread {
    struct ft_worker worker;
    _Atomic int stage;
    struct nd_files_job job;
};

/* By the set, in place of what lies on the disk; nothing is written before all of it is found to be right. */
static int take_set(struct nd_files_job *job, struct nd_files *files, const char *chain_file)
{
    const struct nd_overlay over = {files, job->file};
    int error = nd_files_place(files, job->file, chain_file, &job->fault);

    if (!error)
        error = nd_config_read_over(&job->next, job->file, ND_CONFIG_NODES, &over, &job->fault);
    if (!error)
        error = nd_files_check_named(files, job->next, &job->fault);
    if (!error)
        error = nd_files_stage(files, job->file, &job->fault);
    job->staged = !error;
    return error;
}

/* This node's own files are looked at first: where they are those of the set, or no set may be written here,
 * theirs is the configuration. */
static int take(struct nd_files_job *job)
{
    struct nd_config *own = NULL;
    struct nd_files files, mine;
    struct ft_fault fault;
    int error = nd_files_unpack(&files, job->bytes, job->len, &job->fault), read;

    if (error)
        return error;
    read = nd_config_read(&own, job->file, ND_CONFIG_NODES, &fault);
    job->travels = files.count && *(own ? own->chain_file : job->chain_file);
    job->same = job->travels && own && nd_files_of(&mine, own, &fault) == 0 && nd_files_equal(&files, &mine);
    if (job->same || !job->permit || !job->travels) {
        job->next = own;
        if (read)
            job->fault = fault;
        return read;
    }
    error = take_set(job, &files, own ? own->chain_file : job->chain_file);
    nd_config_free(own);
    return error;
}

static int do_job(struct nd_files_job *job)
{
    int error = 0;

    if (job->work == ND_FILES_INSTALL)
        return nd_files_install(job->file, &job->fault);
    error = nd_files_finish(job->file, &job->fault);
    if (error > 0)
        error = 0;
    if (!error && job->work == ND_FILES_READ)
        error = nd_config_read(&job->next, job->file, ND_CONFIG_NODES, &job->fault);
    else if (!error && job->work == ND_FILES_TAKE)
        error = take(job);
    return error;
}

static void *work(void *thread)
{
    struct nd_files_thread *t = thread;

    ft_disk_thread_begin("us-files", "a chain's files");
    for (;;) {
        bool ends;

        ft_worker_wait(&t->worker, UINT64_MAX);
        ends = ft_worker_ends(&t->worker);
        if (atomic_load_explicit(&t->stage, memory_order_acquire) == GIVEN) {
            t->job.error = do_job(&t->job);
            if (t->job.error) {
                nd_config_free(t->job.next);
                t->job.next = NULL;
            }
            atomic_store_explicit(&t->stage, DONE, memory_order_release);
        }
        if (ends)
            return NULL;
    }
}

int nd_files_thread_open(struct nd_files_thread **out, struct ft_fault *fault)
{
    struct nd_files_thread *t = calloc(1, sizeof(*t));
    int error = t ? ft_worker_start(&t->worker, work, t, "the chain's files", fault)
                  : ft_fail(fault, FT_ENOMEM, "no memory for the thread of the chain's files");

    if (error) {
        free(t);
        t = NULL;
    }
    *out = t;
    return error;
}

void nd_files_thread_close(struct nd_files_thread *t)
{
    if (!t)
        return;
    if (!ft_worker_end(&t->worker, nd_now() + FT_WORKER_DISK_NS)) {
        ft_log_event(FT_LEVEL_WARNING, FT_SAYS_CHAIN, "the disk keeps the thread of the chain's files");
        return; /* what it may still look at stays */
    }
    nd_files_job_end(&t->job);
    free(t);
}

bool nd_files_give(struct nd_files_thread *t, const struct nd_files_job *job)
{
    if (nd_files_busy(t))
        return false;
    t->job = *job;
    atomic_store_explicit(&t->stage, GIVEN, memory_order_release);
    ft_worker_wake(&t->worker);
    return true;
}

bool nd_files_busy(const struct nd_files_thread *t)
{
    return atomic_load_explicit(&t->stage, memory_order_acquire) != FREE;
}

bool nd_files_outcome(struct nd_files_thread *t, struct nd_files_job *out)
{
    if (atomic_load_explicit(&t->stage, memory_order_acquire) != DONE)
        return false;
    *out = t->job;
    memset(&t->job, 0, sizeof(t->job));
    atomic_store_explicit(&t->stage, FREE, memory_order_release);
    return true;
}

void nd_files_job_end(struct nd_files_job *job)
{
    free(job->bytes);
    nd_config_free(job->next);
    job->bytes = NULL;
    job->next = NULL;
}
