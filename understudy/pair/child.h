/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that a tool forks, and what ends them, used by the tool's main thread; and the time of threads.
 */
#ifndef TOOLS_PAIR_CHILD_H
#define TOOLS_PAIR_CHILD_H

#include "ftcore/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

/* As fork(), but the child ends with its parent, whatever ends that one. Called by a thread that lives as
 * long as the child is to. */
pid_t nd_child(void);
/* Waits for its end; its status as waitpid() returns it. */
int nd_child_wait(pid_t child);
/* SIGKILL, and waits for its end. *child is 0 then; 0 is no process. */
void nd_child_kill(pid_t *child);

/* Shorter when a signal comes. */
void nd_sleep(uint64_t ns);
/* Processor time of a thread, ns. */
uint64_t nd_cpu_time(clockid_t clock);

/* Zeroed memory that this process shares with those that it forks; NULL: none. munmap() frees it. */
void *nd_shared_memory(size_t size);

/*
 * Runs `work` in a child and waits for it: its result, in `fault` its line with `what` before it, and in
 * *out, of `size` bytes, what it left in `result`, which is zeroed. FT_EIO when the child ended early,
 * FT_ENOMEM when there was none.
 */
int nd_child_run(int (*work)(void *arg, void *result, struct ft_fault *fault), void *arg, void *out,
                 size_t size, const char *what, struct ft_fault *fault);

/*
 * A port of the address that is free for both kinds of socket. FT_EIO: there is none. Where the address is
 * the run's own (127.0.0.0/8 is all loopback) no other program takes it between this look and its use.
 */
int nd_free_port(const char *host, uint16_t *port);

/* From now on this process ends by SIGALRM once it has been given so many seconds (understudy/base/given.h)
 * since the last call, by any thread. 0: never. */
void nd_patience(unsigned seconds);

/* From now on SIGINT, SIGTERM and SIGHUP only make nd_interrupted() true, but for one that the caller of the
 * program has had ignored. */
void nd_catch_ends(void);
bool nd_interrupted(void);

#endif
