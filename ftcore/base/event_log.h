/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The event log: the lines in which a process reports to people what happens. Each has a level, the name of
 * its event from one list, a message, and fields for programs. In a running node lines go through a queue to
 * a thread that writes them (understudy/base/event_writer.h), so that no lane and no replicator ever waits
 * for a pipe, a terminal or a disk. Any thread adds lines, one thread takes them. Where no such thread was
 * started (commands, tools, tests) "understudy: MESSAGE" goes to stderr at once.
 *
 * Capacity: FT_EVENT_LINES lines of FT_EVENT_LINE bytes. A line that finds the queue full is counted and
 * dropped; a longer one is cut. Control characters become '?': whatever is quoted, it stays one line.
 */
#ifndef FTCORE_BASE_EVENT_LOG_H
#define FTCORE_BASE_EVENT_LOG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

#define FT_EVENT_LINES  256u
#define FT_EVENT_LINE   512u /* bytes of a message, with its final NUL */
#define FT_EVENT_FIELDS 6u   /* of a line, at most */
#define FT_EVENT_VALUE  224u /* bytes of a field's text, with its final NUL: a reason is whole */

/* By the numbers that syslog and the journal give them. */
enum ft_level { FT_LEVEL_ERROR = 3, FT_LEVEL_WARNING, FT_LEVEL_NOTICE, FT_LEVEL_INFO };

/* All events, with their names; docs/reference.md, "What the log says", has the same list. */
#define FT_EVENT_NAMES(X)                                                                                    \
    X(STATE, "state")               /* this node's state, or the reason for it, has changed */               \
    X(TAKEOVER, "takeover")         /* the same: it took over from its peer */                               \
    X(STANDBY_LOST, "standby_lost") /* the same: it serves on, and lost its standby */                       \
    X(SLOW, "slow")                 /* strict: its standby costs more than it may */                         \
    X(FENCED, "fenced")             /* the same: its peer has taken over from it */                          \
    X(REFUSED, "refused")           /* the peer's file differs, and the node ends */                         \
    X(DETECTION, "detection")       /* how soon silence counts as a failure; a takeover that was false */    \
    X(DIVERGED, "diverged")         /* replay, or a digest, differs from the peer's */                       \
    X(DRILL, "drill")               /* asked for by the peer */                                              \
    X(COMMAND, "command")           /* an operator's, that acts: who, what, and what came of it */           \
    X(SEAL, "seal")                 /* key or certificates of the link were read again, or not */            \
    X(ARBITER, "arbiter")           /* it answers or not; what it decided */                                 \
    X(FLEET, "fleet")               /* of an agent: nodes started and stopped, orders, who leads */          \
    X(VIEW_FILE, "view_file")                                                                                \
    X(RECORDER, "recorder")                                                                                  \
    X(CHAIN, "chain") /* what becomes of a chain that is changed while it runs */                            \
    X(TABLE, "table") /* how full it is */                                                                   \
    X(HOST, "host")   /* one has begun as many flows as it may */                                            \
    X(PORT, "port")                                                                                          \
    X(WAY, "way")               /* one of two ways between the nodes was lost, or stands again */            \
    X(LINK_PORT, "link_port")   /* the lanes' port to the peer carries, is silent, or gets others' frames */ \
    X(NEIGHBOUR, "neighbour")   /* another MAC was announced for a known neighbour */                        \
    X(CONFLICT, "conflict")     /* another host has an address of the chain */                               \
    X(TRACK, "track")           /* the demotion counter, and why */                                          \
    X(AUTHORITY, "authority")   /* the role is to move, or not: counters, pins, holds */                     \
    X(HOOK, "hook")             /* events that a hook did not get; no hook receives this one */              \
    X(EXPORT, "export")         /* what the log of flows goes to takes it, or not */                         \
    X(DPDK, "dpdk")             /* messages of DPDK and its drivers */                                       \
    X(CRASH, "crash")           /* a node crashed or was killed: by its reporter, or its peer */             \
    X(QUARANTINE, "quarantine") /* frames like those that the peer crashed on are dropped, or no more */     \
    X(START, "start")           /* why the node does not start, or starts as it should not */                \
    X(ABORT, "abort") /* a broken invariant, or an NF that breaks its contract: the process ends */          \
    X(LOG, "log")     /* of this log: lines that were lost */

enum ft_event_name {
#define FT_EVENT_ENUM(upper, name) FT_SAYS_##upper,
    FT_EVENT_NAMES(FT_EVENT_ENUM) FT_EVENT_NAMES_END
#undef FT_EVENT_ENUM
};

/* "error", "warning", "notice", "info"; of what is no level, "info". */
const char *ft_level_name(enum ft_level level);
const char *ft_event_name(enum ft_event_name event);

/* A list of them ends with one whose name is NULL. `name`: lower case, static. */
struct ft_log_field {
    const char *name;
    const char *text; /* NULL: `number` is the value. A text of FT_EVENT_VALUE bytes or more is cut */
    uint64_t number;
};

/* Any thread, also in the handler of a fault. Adds one line; the text has no line end. With a writer it never
 * blocks, allocates or takes a lock. */
void ft_log_event(enum ft_level level, enum ft_event_name event, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* The same with fields, FT_EVENT_FIELDS at most. */
void ft_log_fields(enum ft_level level, enum ft_event_name event, const struct ft_log_field *fields,
                   const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/* Lines that nobody will read: those that found the queue full, and those that could not be written. */
uint64_t ft_event_log_lost(void);
/* For who is about to end the process: gives the writer a bounded while (EVENT_FLUSH_MS there) for the lines
 * in the queue. */
void ft_event_log_flush(void);
/* Adds the line, an error and FT_SAYS_ABORT, flushes, aborts. */
_Noreturn void ft_log_and_abort(const char *fmt, ...) __attribute__((format(printf, 1, 2), cold));

/* The line with which this process aborts; "": it does not. For the handler of the signal. */
const char *ft_log_last_words(void);

/* ---- the writer's side: one thread ---- */

struct ft_event_line {
    uint64_t time; /* wall clock, ns since 1970 */
    enum ft_level level;
    enum ft_event_name event;
    unsigned fields;
    struct ft_event_field {
        const char *name;
        bool is_text;
        uint64_t number;
        char text[FT_EVENT_VALUE];
    } field[FT_EVENT_FIELDS];
    char text[FT_EVENT_LINE]; /* without a line end */
};

struct ft_event_writer {
    uint64_t (*wall)(void); /* wall clock, ns since 1970; by any thread, as a line is added */
    void (*wake)(void);     /* a line was added; must not block */
    void (*flush)(void);    /* see ft_event_log_flush */
};

/* From now on lines are queued. NULL: they go to stderr again. */
void ft_event_log_attach(const struct ft_event_writer *writer);
/* The oldest line, until it is released. NULL: there is none. */
const struct ft_event_line *ft_event_log_first(void);
void ft_event_log_release(bool written);
/* Counts lines that were released as written, and could not be written after all. */
void ft_event_log_lose(uint64_t lines);
/* Lines that are queued; the one that is being written, too. */
uint64_t ft_event_log_pending(void);

/* Fills a line as ft_log_fields does; `time` as there; `fields` may be NULL. */
void ft_event_line_fill(struct ft_event_line *line, uint64_t time, enum ft_level level,
                        enum ft_event_name event, const struct ft_log_field *fields, const char *fmt,
                        va_list ap) __attribute__((format(printf, 6, 0)));

#endif
