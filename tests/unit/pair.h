/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The world of test_core_faults, two protocol cores: a simulated clock, a connection that keeps
 * order and may fall silent, processes that die, sleep and come back, one lane on each node.
 *
 * State is modelled as a place in the tree of bursts: every burst has a parent. Of two states one contains
 * the other, or they contradict each other. The world watches what leaves and what is gone on
 * from, and puts the first breach into `failed`.
 */
#ifndef TESTS_UNIT_PAIR_H
#define TESTS_UNIT_PAIR_H

#include "ftcore/protocol/core.h"
#include "tests/help/arbiter.h"

#include <stdio.h>

#define PAIR_BURSTS 16384u
#define PAIR_PIPE   4096u
#define NO_STATE    UINT32_MAX

/* Timing of both nodes, ms. */
#define PAIR_LEASE   10
#define PAIR_PROMOTE 40
#define PAIR_SOLO    80

struct pair_envelope {
    uint64_t at; /* world time, ns */
    uint32_t conn;
    enum { PAIR_MESSAGE, PAIR_CONNECTED, PAIR_LOST } kind;
    enum ft_lost how;
    struct ft_message m;
    uint32_t tip, after; /* SNAPSHOT_BEGIN: the cut; LOG: bursts behind `after` up to `tip` */
};

struct pair_pipe { /* towards a node */
    struct pair_envelope list[PAIR_PIPE];
    uint32_t head, tail;
    uint64_t last; /* at of the newest: order is kept */
};

struct pair_node {
    struct ft_core core;
    uint64_t offset;                 /* of its clock */
    uint64_t view_file, incarnation; /* view_file: on the disk */
    uint64_t wanted, stored_at;      /* the newest view that is to be there, and when it will be */
    bool alive, machine_up;
    uint64_t paused_until, restart_at, stalled_until;
    uint64_t overslept;            /* when it last woke from a sleep that outlasted detect_ms */
    uint32_t conn, deaf;           /* deaf: the connection of which it throws away what comes */
    struct ft_message hello;       /* its last one, as anybody could overhear it */
    uint64_t answered;             /* when it last sent an echo of something new, its clock */
    uint64_t echoed;               /* the newest that it has echoed on the connection `answers_on` */
    uint64_t own_echoed;           /* the newest of its own messages that was echoed to it */
    uint32_t answers_on, abandons; /* abandons: the connection on which it last said ABANDON */
    uint64_t replay_at;            /* when somebody connects to it, 0: nobody */
    uint64_t dead_notice;          /* incarnation in a death notice under way, 0: none */
    uint64_t notice_at;

    /* the lane */
    enum ft_order order;
    enum ft_gate gate, next_gate;
    uint64_t gate_at, lease_until, stable; /* gate_at: when next_gate is seen, 0: none */
    uint32_t tip;                          /* state, NO_STATE */
    uint32_t released;                     /* depth */
    uint32_t chain[PAIR_BURSTS];           /* chain[d]: ancestor of tip at depth d */
    uint64_t drained_at, steered_at;

    /* primary's replicator */
    bool logging;
    uint32_t logged;
    uint64_t cut_at, snapshot_sent_at;

    /* standby's replicator */
    uint32_t held, closed, replayed; /* burst, depth, depth */
    bool whole, stale; /* snapshot is whole; a snapshot was begun over state that was not cleared */
    uint32_t acked;    /* burst last acknowledged; what a process did that died counts until its peer hears */
};

struct pair {
    uint64_t seed, random, now;
    bool strict;
    bool arbitrated; /* there is an arbiter */
    bool warm;       /* standbys store, and replay only when they take over */
    bool delta;      /* the stream accounts for bursts only at cuts */
    struct pair_node node[2];
    struct pair_pipe pipe[2];
    uint32_t conns;
    uint64_t connect_at;
    uint64_t link_blocked[2], port_blocked[2]; /* towards node i, until */
    bool long_partition;                       /* one that outlasts detect_ms */

    struct arbiter arbiter;

    uint32_t bursts;
    uint32_t parent[PAIR_BURSTS], depth[PAIR_BURSTS];
    uint32_t line; /* deepest burst ever released, of the line that is gone on with */
    uint64_t reign;
    uint64_t releases, takeovers, protections, resumed, emptied, aside; /* aside: released while so ordered */
    uint64_t forgotten;                                                 /* views that nobody knows any more */
    bool split; /* SOLO beside, or after, a promoted standby that it could not hear of: counted apart */
    char failed[256];
    FILE *tell; /* transcript, NULL: none */
};

uint64_t pair_draw(struct pair *p, uint64_t below);
bool pair_chance(struct pair *p, unsigned percent);

struct pair_kind {
    bool strict, warm, delta, arbiter;
};

void pair_begin(struct pair *p, uint64_t seed, struct pair_kind kind, FILE *tell);
void pair_tick(struct pair *p); /* one millisecond */
void pair_step(struct pair *p, unsigned i, struct ft_event *event);
void pair_kill(struct pair *p, unsigned i, bool machine, bool notice, uint64_t back_ns);
void pair_break(struct pair *p); /* the connection ends by an error, in its own time at both ends */
bool pair_runs(const struct pair *p, unsigned i);
bool pair_protected(const struct pair *p);
void pair_note(struct pair *p, unsigned i, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void pair_fail(struct pair *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
