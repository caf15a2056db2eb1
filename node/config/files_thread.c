/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread of a chain's files; see files_thread.h. The job is the thread's from GIVEN to DONE and the main
 * thread's otherwise; it has copies of all that it looks at, since the thread may outlive the node in a disk.
 */
#define _GNU_SOURCE /* close_range, pthread_timedjoin_np */
#include "node/config/files_thread.h"
#include "ftcore/base/disk_thread.h"
#include "ftcore/base/event_log.h"
#include "node/config/content.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum stage { FREE, GIVEN, DONE };

struct nd_files_thread {
    pthread_t thread;
    sem_t given; /* a job was given, or the thread is to end */
    _Atomic int stage;
    _Atomic bool ends;
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
        sem_wait(&t->given);
        if (atomic_load_explicit(&t->stage, memory_order_acquire) == GIVEN) {
            t->job.error = do_job(&t->job);
            if (t->job.error) {
                nd_config_free(t->job.next);
                t->job.next = NULL;
            }
            atomic_store_explicit(&t->stage, DONE, memory_order_release);
        }
        if (atomic_load(&t->ends))
            return NULL;
    }
}

int nd_files_thread_open(struct nd_files_thread **out, struct ft_fault *fault)
{
    struct nd_files_thread *t = calloc(1, sizeof(*t));

    *out = NULL;
    if (!t)
        return ft_fail(fault, FT_ENOMEM, "no memory for the thread of the chain's files");
    sem_init(&t->given, 0, 0);
    if (pthread_create(&t->thread, NULL, work, t) != 0) {
        free(t);
        return ft_fail(fault, FT_ENOMEM, "no thread for the chain's files");
    }
    *out = t;
    return 0;
}

void nd_files_thread_close(struct nd_files_thread *t)
{
    struct timespec until;

    if (!t)
        return;
    atomic_store(&t->ends, true);
    sem_post(&t->given);
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec++;
    if (pthread_timedjoin_np(t->thread, NULL, &until) != 0) {
        ft_log_event(FT_LEVEL_WARNING, FT_SAYS_CHAIN, "the disk keeps the thread of the chain's files");
        return; /* what it may still look at stays */
    }
    sem_destroy(&t->given);
    nd_files_job_end(&t->job);
    free(t);
}

bool nd_files_give(struct nd_files_thread *t, const struct nd_files_job *job)
{
    if (nd_files_busy(t))
        return false;
    t->job = *job;
    atomic_store_explicit(&t->stage, GIVEN, memory_order_release);
    sem_post(&t->given);
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
