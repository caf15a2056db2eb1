/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that writes the event log (ftcore/base/event_log.h) to stderr, as text or as JSON, one for the
 * process. Where stderr is the journal's, lines go to the journal's socket, with priorities and fields. While
 * stderr takes nothing this thread waits, and nobody else. When it takes lines again, one more line states
 * how many were lost meanwhile. Started by the process of a node, when its files and ports are open; it
 * starts no process. Also how a line is written, which `understudy watch` does as well.
 */
#ifndef NODE_BASE_EVENT_WRITER_H
#define NODE_BASE_EVENT_WRITER_H

#include "ftcore/base/error.h"
#include "ftcore/base/event_log.h"
#include "ftcore/base/clock.h"

#include <jansson.h>
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

/*
 * The last ND_RECENT lines that the event writer has taken, for `understudy watch`. The writer adds them, any
 * other thread reads copies. A reader that is slow finds the oldest gone, and learns how many.
 */

#define ND_RECENT 256u

struct nd_recent_line {
    struct ft_event_line line;
    uint64_t more; /* lines like it that were left out before it */
};

/* How many lines have been added since the process began. */
uint64_t nd_recent_count(void);

/* Copies line number `*next` and those after it, `max` at most, moves `*next` behind them, and adds to
 * `*lost` those that are gone. Numbers begin at 0. How many were copied. */
unsigned nd_recent_read(uint64_t *next, uint64_t *lost, struct nd_recent_line *out, unsigned max);

#define ND_WALL_TEXT  32
#define ND_EVENT_TEXT 1024u /* bytes of a line as text */

/* A time of the wall clock as UTC: the second as strftime has `format`, a point, the first `digits` of the
 * rest, a Z. Into out[0..cap), which it returns. */
const char *nd_wall_format(char *out, size_t cap, const char *format, int digits, uint64_t wall);

/* `wall`: ns since 1970. RFC 3339 with milliseconds, UTC: "2026-11-22T07:48:25.123Z". Returns `out`. */
static inline const char *nd_wall_text(char out[ND_WALL_TEXT], uint64_t wall)
{
    return nd_wall_format(out, ND_WALL_TEXT, "%Y-%m-%dT%H:%M:%S", 3, wall);
}

/*
 * {"time", "level", "event", "node", "message", "fields": {…}}, a new reference; NULL: no memory. `more`: how
 * many lines like this one were left out before it, given as the field "repeated"; 0: none. What is no UTF-8
 * becomes '?'.
 */
json_t *nd_event_json(const struct ft_event_line *line, const char *node, uint64_t more);

/* "TIME LEVEL EVENT NODE: MESSAGE\n" of an object as nd_event_json makes. Bytes. */
size_t nd_event_text_of(char out[ND_EVENT_TEXT], const json_t *event);

#endif
