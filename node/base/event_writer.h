/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that writes the event log (ftcore/base/event_log.h) to stderr, as text or as JSON, one for the
 * process. Where stderr is the journal's, lines go to the journal's socket, with priorities and fields. While
 * stderr takes nothing this thread waits, and nobody else. When it takes lines again, one more says how many
 * were lost meanwhile. Started by who runs a node, when its files and ports are open; the parent of no
 * process. Also how a line is written, which `understudy watch` does as well.
 */
#ifndef NODE_BASE_EVENT_WRITER_H
#define NODE_BASE_EVENT_WRITER_H

#include "ftcore/base/error.h"
#include "ftcore/base/event_log.h"

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
 * The rule for lines of the event log that come again and again: a line with the message of the last line of
 * its event is written when it comes first, and then once a minute with how often it has come meanwhile.
 * After another line of its event it is news: the last line that is written is what holds. A notice is always
 * news: something became better, or somebody asked for it. Owned by the event writer, which tells the time.
 */

#define ND_REPEAT_NS 60000000000ull

struct nd_repeats {
    struct nd_repeat_row {
        bool used;
        uint64_t written; /* ns */
        uint64_t missed;  /* lines like it since then that were not written */
        struct ft_event_line last;
    } row[FT_EVENT_NAMES_END]; /* by event; all that tell the node's state are in the row of FT_SAYS_STATE */
};

/* What has to be written before `line`, which is another of its event: the last line that was counted,
 * *missed of them. NULL: none. To be called before nd_repeats_take; the line returned is there until then. */
const struct ft_event_line *nd_repeats_before(struct nd_repeats *repeats, const struct ft_event_line *line,
                                              uint64_t *missed);

/* `now`: ns, of a clock that does not go back. False: the line is counted, and not to be written now. */
bool nd_repeats_take(struct nd_repeats *repeats, const struct ft_event_line *line, uint64_t now);

/* A line whose minute is over and that has come again meanwhile, *missed times; the last of them. Of several
 * the one that came first. NULL: none. To be called until it is NULL. */
const struct ft_event_line *nd_repeats_due(struct nd_repeats *repeats, uint64_t now, uint64_t *missed);

/* When nd_repeats_due is wanted next, ns; UINT64_MAX: nothing is counted. */
uint64_t nd_repeats_next(const struct nd_repeats *repeats);

/*
 * The last ND_RECENT lines that the event writer has taken, for `understudy watch`. The writer adds them, any
 * other thread reads copies. A reader that is slow finds the oldest gone, and is told how many.
 */

#define ND_RECENT 256u

struct nd_recent_line {
    struct ft_event_line line;
    uint64_t more; /* lines like it that were left out before it */
};

void nd_recent_add(const struct ft_event_line *line, uint64_t more);

/* How many lines have been added since the process began. */
uint64_t nd_recent_count(void);

/* Copies line number `*next` and those after it, `max` at most, moves `*next` behind them, and adds to
 * `*lost` those that are gone. Numbers begin at 0. How many were copied. */
unsigned nd_recent_read(uint64_t *next, uint64_t *lost, struct nd_recent_line *out, unsigned max);

#define ND_WALL_TEXT     32
#define ND_EVENT_TEXT    1024u /* bytes of a line as text */
#define ND_EVENT_JOURNAL 4096u /* bytes of a datagram */

/* `wall`: ns since 1970. RFC 3339 with milliseconds, UTC: "2026-11-22T07:48:25.123Z". Returns `out`. */
const char *nd_wall_text(char out[ND_WALL_TEXT], uint64_t wall);

/*
 * {"time", "level", "event", "node", "message", "fields": {…}}, a new reference; NULL: no memory. `more`: how
 * many lines like this one were left out before it, told as the field "repeated"; 0: none. What is no UTF-8
 * becomes '?'.
 */
json_t *nd_event_json(const struct ft_event_line *line, const char *node, uint64_t more);

/* "TIME LEVEL EVENT NODE: MESSAGE\n", with how many more there were; without memory of its own. Bytes. */
size_t nd_event_text(char out[ND_EVENT_TEXT], const struct ft_event_line *line, const char *node,
                     uint64_t more);
/* The same of an object as nd_event_json makes. */
size_t nd_event_text_of(char out[ND_EVENT_TEXT], const json_t *event);

/* In the journal's native protocol, one line a field: PRIORITY, SYSLOG_IDENTIFIER, MESSAGE, UNDERSTUDY_EVENT,
 * UNDERSTUDY_NODE, and UNDERSTUDY_ with each field's name in capitals. Bytes. */
size_t nd_event_journal(char out[ND_EVENT_JOURNAL], const struct ft_event_line *line, const char *node,
                        uint64_t more);

#endif
