/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker is a thread beside the hot path that does one job at a time: it sleeps until it is woken, and is
 * ended. It owns its thread and what wakes it; what it works on, and the queue of it, is its user's. A worker
 * that may wait for a disk can be given up: then its thread, and all that it may still look at, stay until
 * the process ends.
 */
#ifndef FTCORE_BASE_WORKER_H
#define FTCORE_BASE_WORKER_H

#include "ftcore/base/error.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define FT_WORKER_DISK_NS 1000000000ull /* for how long the end of a node waits for a worker in a disk */

struct ft_worker {
    pthread_t thread;
    sem_t wake; /* raised for each job, and to end */
    _Atomic bool ends;
};

/* run(arg) is the thread; it begins with ft_thread_begin or ft_disk_thread_begin. `what` is for the error's
 * text, "no thread for WHAT". FT_ENOMEM: nothing is left of it. */
int ft_worker_start(struct ft_worker *w, void *(*run)(void *arg), void *arg, const char *what,
                    struct ft_fault *fault);

/* By anyone, in a handler of signals too: it does not wait. */
void ft_worker_wake(struct ft_worker *w);

/* By the thread: until it is woken, or until this time of the monotonic clock, ns; UINT64_MAX: for ever. */
void ft_worker_wait(struct ft_worker *w, uint64_t until);

/* By the thread: it is to end. Read before the last look for work, so that what was given before gets done.
 */
static inline bool ft_worker_ends(const struct ft_worker *w)
{
    return atomic_load(&w->ends);
}

/* Asks the thread to end and does not wait: for users that have to wake it from something else as well. */
void ft_worker_ask_end(struct ft_worker *w);

/* Ends the thread and waits for it, until this time of the monotonic clock, ns; UINT64_MAX: for as long as it
 * takes. False: it has not ended, and keeps the worker. */
bool ft_worker_end(struct ft_worker *w, uint64_t until);

#endif
