/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the runner only: what its files share. All but the page is of its process and its one thread. */
#ifndef NODE_TRACK_PARTS_H
#define NODE_TRACK_PARTS_H

#include "node/track/authority.h"
#include "node/track/runner.h"

#include <stdatomic.h>

#define ND_HOOK_QUEUE 256u  /* events of a hook that wait */
#define ND_HOOK_LINE  4096u /* bytes of one, with its line end: a FIFO takes them whole (PIPE_BUF) */

/* What a look at a tracked thing found. */
enum nd_finding {
    ND_FOUND_NOTHING, /* there was no look yet */
    ND_FOUND_GOOD,
    ND_FOUND_NO_INTERFACE,
    ND_FOUND_NO_CARRIER,
    ND_FOUND_NO_ROUTE,
    ND_FOUND_EXIT,   /* `number`: with what */
    ND_FOUND_SIGNAL, /* `number`: which */
    ND_FOUND_LATE,   /* `number`: ms that it was given */
    ND_FOUND_ERROR,  /* `number`: errno */
};

/* What the feed carries: an event for hooks. */
struct nd_feed {
    uint64_t missed[ND_HOOKS_MAX]; /* events that found no room in the feed before this one, ever */
    uint32_t event;                /* enum ft_event_name */
    char line[ND_HOOK_LINE];       /* as much of it as there is */
};

/* Shared with the node. The runner writes and the node reads, but for `missed`, which the node writes. */
struct nd_runner_page {
    _Atomic uint64_t turn;
    struct {
        _Atomic bool failed;
        _Atomic uint32_t finding; /* enum nd_finding */
        _Atomic int32_t number;
    } check[ND_TRACKED_MAX];
    struct {
        _Atomic uint64_t delivered, missed, dropped;
        _Atomic uint32_t waiting;
    } hook[ND_HOOKS_MAX];
};

/* A program that runs, or ran. */
struct nd_program {
    pid_t pid;      /* 0: none */
    uint64_t began; /* ns */
    bool killed;
};

/* One of `what` at a time. `input`: its standard input, -1: /dev/null. 0, or errno. */
int nd_program_start(struct nd_program *program, const char *path, const char *node, int input, uint64_t now);
/* True once, when it has ended; *status as waitpid's. */
bool nd_program_ended(struct nd_program *program, int *status);
/* With its process group. */
void nd_program_kill(struct nd_program *program);

/* check.c */
struct nd_check {
    struct nd_tracked tracked;
    struct nd_program child;
    uint64_t due; /* ns: the next look */
};
void nd_check_turn(struct nd_check *check, const struct nd_track *track, const char *node,
                   struct nd_runner_page *page, unsigned index, uint64_t now);

/* hook.c */
struct nd_hook_at {
    struct nd_program child;
    int fd;        /* of a FIFO or socket; -1: not open */
    bool stream;   /* it is a stream socket */
    uint64_t next; /* ns: not to be opened again before */
    char *line[ND_HOOK_QUEUE];
    unsigned first, count;
    size_t sent;   /* bytes of the first line that a stream has taken */
    uint64_t told; /* losses that its lines tell of */
};
/* `len`: of the line. */
void nd_hook_add(struct nd_hook_at *at, const struct nd_feed *event, size_t len, const char *node,
                 struct nd_runner_page *page, unsigned index);
/* True: something is on its way, or waits for room. */
bool nd_hook_turn(struct nd_hook_at *at, const struct nd_hook *hook, const char *node,
                  struct nd_runner_page *page, unsigned index, uint64_t now);

#endif
