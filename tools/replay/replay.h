/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The replay tool: a capture through a pair of nodes, with kills, and the verdict. Its options (one reader,
 * replay/options.c), the course of a run (replay/course.c), what came of it (cmd_replay.c prints it).
 */
#ifndef TOOLS_REPLAY_REPLAY_H
#define TOOLS_REPLAY_REPLAY_H

#include "tools/pair/member.h"
#include "tools/replay/keeper.h"
#include "tools/replay/moment.h"

#include <sys/types.h>

#define ND_KILLS_MAX 64u

struct nd_kill {
    bool primary; /* else the standby */
    uint64_t at;  /* when the primary has taken this packet, counted from 1 */
};

struct nd_replay_options {
    const char *config, *input, *output; /* output NULL: none */
    int mode;                            /* enum nd_mode; -1: the file's */
    int standby;                         /* enum nd_standby; -1: the file's */
    struct nd_kill kills[ND_KILLS_MAX];  /* in order of `at` */
    unsigned kill_count;
    unsigned lanes; /* 0: the file's */
    bool no_input_keeper, json;
    bool speed; /* measure replay beside live work, see replay/speed.c */
    uint64_t seed;
    const char *log;            /* --log: execute what was recorded there, in place of a capture */
    struct nd_moment at, until; /* of a log; with both `at` is the earlier one: what is written and compared
                                   begins there */
    const char *show, *inputs;  /* an NF whose rows are wanted; a file for what came in; NULL: none */
    bool diff, trap;            /* --diff, --break */
};

/* 0, or ND_USAGE with one line on stderr. */
int nd_replay_options_read(struct nd_replay_options *o, int argc, char **argv);

/* See replay/reference.c. */
struct nd_reference {
    uint64_t digest;               /* of the region after the last burst */
    _Atomic uint64_t outputs;      /* made */
    _Atomic uint64_t altered;      /* outputs that left and are not the reference's */
    _Atomic uint64_t missing;      /* outputs of the reference that never left */
    _Atomic uint64_t dependencies; /* followed */
    _Atomic uint64_t diverged;     /* lanes whose log could not be executed: a dependency points out of it, or
                                      not all of it was used */
    unsigned listed;               /* lines said about losses, by the keepers and by the reference */
};

#define ND_SPEED_REPEATS 7u

/* See replay/speed.c. */
struct nd_speed {
    bool measured;
    double live_ns, replay_ns; /* a packet; medians of ND_SPEED_REPEATS */
    double ratio;              /* median of what each repeat had: live / replay */
    double least, most;        /* range of the repeats' ratios */
};

struct nd_replay {
    const struct nd_replay_options *options;
    struct nd_config *config;
    struct nd_tape tape;
    unsigned lanes;
    struct nd_tape dealt[FT_LANES_MAX]; /* with several lanes alone */
    struct nd_tape *tapes; /* [lanes] of each lane: the dealt ones, or of one lane the tape itself */
    struct nd_keeper keeper[FT_LANES_MAX];
    struct nd_keeper_counts counts;
    struct nd_capture_file written; /* -w */
    struct nd_reference reference;
    struct nd_speed speed;

    struct {
        struct nd_slot *slot;
        pid_t pid; /* 0: none */
    } node[ND_NODES];
    unsigned primary;
    unsigned next_kill;
    bool alone; /* mode off: no standby */
    struct nd_loopback place;
    uint64_t random;

    uint64_t failovers, log_bytes, delta_bytes, divergences;
    uint64_t deltas;             /* made, of all nodes */
    const struct nd_slot *asked; /* primary that was asked for a last checkpoint */
    uint64_t refused;            /* things one node said and the other could not believe */
    char refusal[FT_REASON_MAX];
    uint64_t primary_digest, standby_digest;
    bool standby_rested;   /* standby_digest counts */
    bool broken;           /* nobody took over, nothing went on, or a node ended by itself: so did the run */
    uint64_t began, ended; /* ns: of the feeding */
};

/* Feeds the whole tape, with the kills. FT_EIO, FT_ENOMEM … with one line; nothing is left running. */
int nd_replay_run(struct nd_replay *r, struct ft_fault *fault);

/* ---- replay/nodes.c: node processes ---- */

int nd_nodes_open(struct nd_replay *r, struct ft_fault *fault);
int nd_nodes_start(struct nd_replay *r, unsigned n, struct ft_fault *fault);
void nd_nodes_kill(struct nd_replay *r, unsigned n); /* and waits for its end */
/* FT_EDIVERGED: one has ended by itself. */
int nd_nodes_check(struct nd_replay *r, struct ft_fault *fault);
uint64_t nd_nodes_rest(struct nd_replay *r, unsigned n, bool *rested); /* stops it in order; its digest */
void nd_nodes_close(struct nd_replay *r);

/* ---- replay/reference.c ---- */

/* One keeper a lane. FT_ENOMEM, FT_EIO (its process died). Losses are told on stderr. */
int nd_reference_run(struct nd_reference *out, struct nd_keeper keepers[], const struct nd_config *config,
                     uint64_t seed, struct ft_fault *fault);

/* ---- replay/speed.c ---- */

/* One lane. FT_EDIVERGED: replay came to another state, or did not run; FT_ENOMEM, FT_EIO. */
int nd_speed_measure(struct nd_speed *out, const struct nd_tape *tape, const struct nd_config *config,
                     uint64_t seed, struct ft_fault *fault);

#endif
