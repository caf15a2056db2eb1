/* SPDX-License-Identifier: Apache-2.0 */
/* The end of a run by a kill: the primary dies while packets arrive at both nodes, as they do at a pair's
 * ports. In the bench's own process; reads what the successor counts. */
#define _GNU_SOURCE /* affinity */
#include "tools/bench/parts.h"
#include "node/base/clock.h"
#include "tools/pair/child.h"

#include <dirent.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

/* When the first packet left the successor, by whatever lane; 0: none has. */
static uint64_t first_release(const struct nd_bench_nodes *r)
{
    uint64_t first = 0;

    for (unsigned l = 0; l < r->lanes; l++) {
        uint64_t at = atomic_load(&r->slot[1]->shared[l].count.first_release_ns);

        first = at && (first == 0 || at < first) ? at : first;
    }
    return first;
}

static uint64_t last_replay(const struct nd_bench_nodes *r)
{
    uint64_t last = 0;

    for (unsigned l = 0; l < r->lanes; l++) {
        uint64_t at = atomic_load(&r->slot[1]->shared[l].count.replay_done_ns);

        last = at > last ? at : last;
    }
    return last;
}

static bool has_released(struct nd_bench_nodes *r)
{
    return first_release(r) != 0;
}

/*
 * What the system does to end a process, giving back its memory above all, it does where the last thread was:
 * on the successor's core, for a millisecond and more. On servers of their own the dead node takes no time of
 * the other's, so that work goes to the core of the lanes that died.
 */
static void move_dying_threads(const struct nd_bench_nodes *r)
{
    char name[64];
    cpu_set_t cores;
    int rest;
    DIR *threads;

    snprintf(name, sizeof(name), "/proc/%d/task", r->pid[0]);
    if (nd_bench_cores(r->lanes, &cores, &rest) == 0 || !(threads = opendir(name)))
        return;
    for (const struct dirent *t; (t = readdir(threads));)
        if (atoi(t->d_name) > 0)
            sched_setaffinity(atoi(t->d_name), sizeof(cores), &cores); /* it may be gone by now */
    closedir(threads);
}

int nd_bench_take_over(struct nd_bench_nodes *r, struct nd_bench_result *out, double mpps,
                       struct ft_fault *fault)
{
    uint64_t rate = (uint64_t)(mpps * 1e6) + 1, at;
    int error = nd_bench_quieten(r, fault);

    atomic_store(&r->slot[0]->rate, rate);
    atomic_store(&r->slot[1]->rate, rate);
    nd_bench_sleep(r->plan->rest);
    if (!error)
        error = nd_bench_check(r, fault);
    if (error)
        return error;
    at = nd_now();
    kill(r->pid[0], SIGKILL);
    move_dying_threads(r);
    nd_child_wait(r->pid[0]);
    r->pid[0] = 0;
    error = nd_bench_wait(r, has_released, "takeover", fault);
    if (!error) {
        out->takeover_ms = (double)(first_release(r) - at) / 1e6;
        out->replayed_ms = (double)(last_replay(r) - at) / 1e6;
    }
    return error;
}
