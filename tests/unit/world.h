/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The world of test_transcripts: two protocol cores, a and b, in a world without chance, for transcripts
 * (tests/transcripts/README.md). A tick is a millisecond; what one node says is read by the other in the next
 * tick; what a node's lanes and replicator do for its core takes one tick as well. Everything that happens is
 * printed as a line.
 *
 * Times, ms: heartbeat 10, lease 20, detect 50, promote within 100, solo after 200, resync deadline 400,
 * start alone 300, drain 60. One lane.
 */
#ifndef TESTS_UNIT_WORLD_H
#define TESTS_UNIT_WORLD_H

#include "ftcore/protocol/core.h"

#include <stdio.h>

#define WORLD_PIPE 256u

/* What a node does for its core, one tick after it was asked to. A transcript may hold any of them back. */
enum world_duty {
    WORLD_CUT,      /* the cut that was asked for is made */
    WORLD_SNAPSHOT, /* the last line of the snapshot is on its way */
    WORLD_HELD,     /* every lane has seen that the gate is guarded */
    WORLD_DRAINED,  /* ports are empty, all outputs released */
    WORLD_STEERED,  /* frames are drawn to this node */
    WORLD_LOG,      /* the log is sent */
    WORLD_REPLAY,   /* what is stored is replayed */
    WORLD_DISK,     /* with `set disk slow`: a view is in the view file */
    WORLD_DUTIES
};

struct world_envelope {
    uint64_t at; /* ns, when it can be read at the earliest */
    enum { WORLD_MESSAGE, WORLD_CONNECTED, WORLD_LOST } kind;
    enum ft_lost how;
    struct ft_message message;
};

struct world_pipe { /* towards a node, in order */
    struct world_envelope list[WORLD_PIPE];
    uint32_t head, tail;
};

struct world_node {
    struct ft_core core;
    struct ft_core_config config; /* of the next start */
    struct world_pipe inbox;
    bool alive, connected;
    bool gone; /* its machine lost power: its peer's connection stands until something is sent to it anew */
    uint64_t asleep_until;
    uint64_t clock;     /* ns, of this node's clock when the world's is 0 */
    uint64_t view_file; /* view that a restart reads; view_wanted: that the disk has yet to write */
    uint64_t view_wanted;
    uint64_t last_sent; /* `sent` of its newest message */

    uint64_t due[WORLD_DUTIES]; /* ns, 0: not asked for */
    bool withheld[WORLD_DUTIES];

    /* Its lane. As primary it executes bursts, as standby it stores and replays them. */
    enum ft_order order;
    bool serving; /* the state is its own, not one that it follows */
    uint64_t wanted, executed, logged, released, stored, replayed;
    bool logging;
    enum ft_gate gate;
    uint64_t stable, lease_until;
    struct ft_cost cost; /* of its lane */
    uint64_t waits;      /* percent of the time beside a standby in which it waits for it */
    enum ft_wait what;

    struct ft_question asks; /* of the arbiter, in 3 ms from when it was asked */
    uint64_t asked_at;       /* ns; 0: it asks nothing */

    /* What was printed last, so that only news is printed. */
    struct ft_message printed, printed_ack;
    bool lease_printed;
    struct ft_message first[FT_MSG_TYPES]; /* the first message of each type that it ever said */
};

struct world {
    uint64_t now; /* ns */
    struct world_node node[2];
    uint64_t link_cut[2], ports_cut[2]; /* nothing arrives at node i, until; UINT64_MAX: until healed */
    bool manual;                        /* nothing connects by itself */
    bool arbiter_cut[2], arbiter_down;  /* node i does not reach it; nobody does */
    struct ft_decision decision;        /* that it keeps */
    uint64_t decided_by;                /* incarnation: whose question made it */
    bool verbose;                       /* heartbeats and answers without news are printed, too */
    bool muted;                         /* nothing is printed */
    FILE *out;
};

/* Nobody is started yet. Output goes to `out`, borrowed. */
void world_begin(struct world *w, FILE *out);

void world_start(struct world *w, unsigned i);

/* Its process ends. `reset`: its kernel resets the connection and what was under way is lost, otherwise it
 * closes it. `machine`: power is lost, and nobody is told anything. */
void world_kill(struct world *w, unsigned i, bool reset, bool machine);

void world_break(struct world *w);               /* the connection ends by an error at both ends */
void world_connect(struct world *w, unsigned i); /* node i has a connection */
void world_post(struct world *w, unsigned to, const struct ft_message *m);
void world_step(struct world *w, unsigned i, struct ft_event *event);
void world_run(struct world *w, uint64_t ms);

void world_note(struct world *w, unsigned i, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void world_print_status(struct world *w, unsigned i);
void world_print_counts(struct world *w, unsigned i);
const char *world_message_name(unsigned type);
extern const char *const world_duty_name[WORLD_DUTIES];

#endif
