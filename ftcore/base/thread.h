/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a thread of a process begins: it gets its name, and does what the process wants done in each of its
 * threads (understudy/crash/handler.c: a stack for the handler of fatal signals). Called by each thread
 * itself.
 */
#ifndef FTCORE_BASE_THREAD_H
#define FTCORE_BASE_THREAD_H

#include <sys/prctl.h>

/* Set by the first thread, before there are others; NULL: nothing. It may be called by a thread again. */
extern void (*ft_thread_begins)(void);

/* `name`: 15 bytes at most. */
static inline void ft_thread_begin(const char *name)
{
    prctl(PR_SET_NAME, name);
    if (ft_thread_begins)
        ft_thread_begins();
}

#endif
