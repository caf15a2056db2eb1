/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tasks: what would be threads of the nodes, as coroutines of one thread. A task runs until it sleeps, yields
 * or ends; who runs next is the world's to say. Stacks are kept for the next task: a killed one is never
 * resumed, only forgotten.
 */
#ifndef TESTS_SIM_TASK_H
#define TESTS_SIM_TASK_H

#include "ftcore/region/audit.h"

#include <stdbool.h>
#include <stdint.h>

struct sim_task {
    void *sp;
    uint8_t *stack;
    void (*entry)(void *arg);
    void *arg;
    unsigned node;   /* whose */
    unsigned number; /* lane, or SIM_REPLICATOR */
    uint64_t wake;   /* world ns: not before */
    bool again;      /* wants to go on within the same tick */
    bool polls;      /* also wakes when something can be read */
    bool ended;
    struct ft_audit_at audit; /* what its thread would be at */
};

extern struct sim_task *sim_running; /* NULL: the world itself */

void sim_task_begin(struct sim_task *task, void (*entry)(void *arg), void *arg);
void sim_task_free(struct sim_task *task);
/* From the world: runs the task until it leaves. */
void sim_task_run(struct sim_task *task);
/* From a task: back to the world. */
void sim_task_leave(void);

#endif
