/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event log: the lines in which a process tells people what happens. In a running node they go through a
 * queue to a thread that writes them (node/base/event_writer.h), so that no lane and no replicator ever waits
 * for a pipe, a terminal or a disk. Any thread adds lines, one thread takes them. Where no such thread was
 * started (commands, tools, tests) a line goes to stderr at once.
 *
 * Capacity: FT_EVENT_LINES lines of FT_EVENT_LINE bytes. A line that finds the queue full is counted and
 * dropped; a longer one is cut.
 */
#ifndef FTCORE_BASE_EVENT_LOG_H
#define FTCORE_BASE_EVENT_LOG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#define FT_EVENT_LINES 256u
#define FT_EVENT_LINE  512u /* with the line's end and a final NUL */

/* Any thread, also in the handler of a fault. Adds one line; the text has no line end. With a writer it never
 * blocks, allocates or takes a lock. */
void ft_log_event(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Lines that nobody will read: those that found the queue full, and those that could not be written. */
uint64_t ft_event_log_lost(void);
/* For who is about to end the process: gives the writer a bounded while (EVENT_FLUSH_MS there) for the lines
 * in the queue. */
void ft_event_log_flush(void);
/* Adds the line, flushes, aborts. */
_Noreturn void ft_log_and_abort(const char *fmt, ...) __attribute__((format(printf, 1, 2), cold));

/* ---- the writer's side: one thread ---- */

struct ft_event_writer {
    void (*wake)(void);  /* a line was added; must not block */
    void (*flush)(void); /* see ft_event_log_flush */
};

/* From now on lines are queued. NULL: they go to stderr again. */
void ft_event_log_attach(const struct ft_event_writer *writer);
/* The oldest line, which ends with '\n' and NUL, until it is released. NULL: there is none. */
const char *ft_event_log_first(void);
void ft_event_log_release(bool written);
/* Lines that are queued; the one that is being written, too. */
uint64_t ft_event_log_pending(void);

#endif
