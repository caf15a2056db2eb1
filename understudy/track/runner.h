/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The runner: a process beside a node that does what may take long or hang. It looks at the interfaces,
 * routes, scripts and sessions of FRR that the node tracks, and delivers events to the node's hooks. It has
 * no capability, no thread and none of the node's sockets. The node gives it events by a socket that never
 * blocks, and finds its results in a shared page; nothing in a node waits for it. When the node ends, the
 * runner has RUNNER_END_MS to deliver what it was given, and ends.
 *
 * Made by the main thread before there are others; nd_runner_offer is the event writer's; the rest is the
 * main thread's.
 */
#ifndef NODE_TRACK_RUNNER_H
#define NODE_TRACK_RUNNER_H

#include "understudy/config/config.h"

#include <sys/types.h>

#define ND_RUNNER_TEXT 96u

struct nd_runner;

/* The programs that a runner of `node` would run, for what it tracks and commands of its hooks. FT_EPERM:
 * one is not believed (ftcore/base/trust.h), as this process or the node's user; FT_ENOENT: all that can be
 * judged are believed, and one is not there or cannot be run. */
int nd_runner_judge(const struct nd_node *node, struct ft_fault *fault);

/* For `node`, of which it keeps a copy. *out NULL: there is nothing for it to do. FT_EPERM: a program that it
 * is to run is not believed (ftcore/base/trust.h). FT_EIO, FT_ENOMEM. */
int nd_runner_start(struct nd_runner **out, const struct nd_node *node, struct ft_fault *fault);
/* Waits RUNNER_END_MS and a little more at most. NULL: nothing. */
void nd_runner_stop(struct nd_runner *runner);

/* 0: it has ended, and all stands as it was. */
pid_t nd_runner_pid(struct nd_runner *runner);
/* When it took its last turn, monotonic ns; it takes one each second. */
uint64_t nd_runner_turn(const struct nd_runner *runner);

/* Whether the tracked thing `index` fails, by its rise and fall; and what was found last, in words. Not of a
 * gateway. */
bool nd_runner_failed(const struct nd_runner *runner, unsigned index, char why[ND_RUNNER_TEXT]);

/* An event of the log: one line of JSON. It waits for nobody: what finds no room is lost, and counted. */
void nd_runner_offer(struct nd_runner *runner, unsigned event, const char *line, size_t len);

struct nd_hook_counts {
    uint64_t delivered, lost;
    uint32_t waiting; /* in its queue */
    bool disbelieved; /* its command is not run: it is not believed any more */
};
struct nd_hook_counts nd_runner_hook(const struct nd_runner *runner, unsigned index);

#endif
