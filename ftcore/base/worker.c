/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the workers, threads that do one job at a time (worker.h); and ft_thread_begins, the pointer to what
 * each thread of the process calls first (thread.h). */
#define _GNU_SOURCE /* sem_clockwait, pthread_clockjoin_np */
#include "ftcore/base/worker.h"
#include "ftcore/base/thread.h"

#include <stddef.h>

static struct timespec time_of(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / 1000000000u), .tv_nsec = (long)(ns % 1000000000u)};
}

int ft_worker_start(struct ft_worker *w, void *(*run)(void *arg), void *arg, const char *what,
                    struct ft_fault *fault)
{
    sem_init(&w->wake, 0, 0);
    atomic_store(&w->ends, false);
    if (pthread_create(&w->thread, NULL, run, arg) == 0)
        return 0;
    sem_destroy(&w->wake);
    return ft_fail(fault, FT_ENOMEM, "no thread for %s", what);
}

void ft_worker_wake(struct ft_worker *w)
{
    sem_post(&w->wake);
}

void ft_worker_wait(struct ft_worker *w, uint64_t until)
{
    const struct timespec at = time_of(until);

    /* A signal may end the wait early: whoever waits looks for work again. */
    if (until == UINT64_MAX)
        sem_wait(&w->wake);
    else
        sem_clockwait(&w->wake, CLOCK_MONOTONIC, &at);
}

void ft_worker_ask_end(struct ft_worker *w)
{
    atomic_store(&w->ends, true);
    sem_post(&w->wake);
}

bool ft_worker_end(struct ft_worker *w, uint64_t until)
{
    const struct timespec at = time_of(until);

    ft_worker_ask_end(w);
    if (until == UINT64_MAX)
        pthread_join(w->thread, NULL);
    else if (pthread_clockjoin_np(w->thread, NULL, CLOCK_MONOTONIC, &at) != 0)
        return false;
    return true; /* the semaphore is not destroyed: another thread may be about to post it */
}

void (*ft_thread_begins)(void);
