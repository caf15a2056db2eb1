/* SPDX-License-Identifier: Apache-2.0 */
/* See worker.h. */
#define _GNU_SOURCE /* sem_clockwait, pthread_clockjoin_np */
#include "ftcore/base/worker.h"

#include <time.h>

#define SECOND 1000000000ull

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
    const struct timespec at = {.tv_sec = (time_t)(until / SECOND), .tv_nsec = (long)(until % SECOND)};

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

bool ft_worker_end(struct ft_worker *w, uint64_t ns)
{
    struct timespec until;

    ft_worker_ask_end(w);
    if (ns == UINT64_MAX) {
        pthread_join(w->thread, NULL);
    } else {
        clock_gettime(CLOCK_MONOTONIC, &until);
        ns += (uint64_t)until.tv_nsec;
        until.tv_sec += (time_t)(ns / SECOND);
        until.tv_nsec = (long)(ns % SECOND);
        if (pthread_clockjoin_np(w->thread, NULL, CLOCK_MONOTONIC, &until) != 0)
            return false;
    }
    sem_destroy(&w->wake);
    return true;
}
