/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that writes the event log (ftcore/base/event_log.h) to stderr, as text or as JSON, one for the
 * process. Where stderr is the journal's, lines go to the journal's socket, with priorities and fields. While
 * stderr takes nothing this thread waits, and nobody else. When it takes lines again, one more says how many
 * were lost meanwhile. Started by who runs a node, when its files and ports are open; the parent of no
 * process.
 */
#ifndef NODE_BASE_EVENT_WRITER_H
#define NODE_BASE_EVENT_WRITER_H

#include "ftcore/base/error.h"
#include "ftcore/base/event_log.h"

#include <stdbool.h>
#include <stddef.h>

#define ND_EVENT_NODE 32u /* bytes of a node's name, with its final NUL */

struct nd_event_writer_config {
    const char *node;    /* copied; shorter than ND_EVENT_NODE */
    bool json;           /* one object a line, else text */
    const char *journal; /* path of the journal's socket; NULL: where systemd has it */
    /* Each line as JSON, with its line end, before it is written; by the writer's thread, which it may not
     * hold up. NULL: nobody else wants lines. */
    void (*offer)(void *arg, enum ft_event_name event, const char *line, size_t len);
    void *arg;
};

/* Before the threads that are to log through it. FT_EIO: the system gives no thread. */
int nd_event_writer_start(const struct nd_event_writer_config *config, struct ft_fault *fault);
/*
 * After those threads have ended. Waits until all lines are written, EVENT_END_MS at most: a stderr that
 * takes nothing must not keep a node from ending, so what is left then is lost with the process. Does nothing
 * when it was not started. False: its thread goes on until the process ends.
 */
bool nd_event_writer_stop(void);

#endif
