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
#include "tools/replay/sums.h"

#include <jansson.h>
#include <stdio.h>
#include <sys/types.h>

#define ND_KILLS_MAX 64u
#define ND_LOGS_MAX  8u

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
    struct nf_networks inside; /* networks inside; empty: the chain's NAT says them */
    bool speed;                /* measure replay beside live work, see replay/speed.c */
    bool fast;                 /* without the audit */
    uint64_t seed;
    const char *log[ND_LOGS_MAX + 1]; /* --log: execute what was recorded there, in place of a capture; NULL
                                         ends it */
    struct nd_moment at, until; /* of a log; with both `at` is the earlier one: what is written and compared
                                   begins there */
    const char *show, *inputs;  /* an NF whose rows are wanted; a file for what came in; NULL: none */
    bool diff;
    const char *crash; /* --crash: a reporter's directory, in place of a capture */
    bool gdb;
};

/* 0, or ND_USAGE with one line on stderr. */
int nd_replay_options_read(struct nd_replay_options *o, int argc, char **argv);

#define ND_COUNTERS_MAX 256u /* of an NF: a reason to drop has 8 bits */

/* What the reference's chain did, all lanes together. An NF's counters are in the order in which it names
 * them. */
struct nd_chain_counts {
    _Atomic uint64_t dropped; /* packets */
    struct nd_nf_counts {
        _Atomic uint64_t dropped[ND_COUNTERS_MAX]; /* packets, by the counter that is the reason */
        uint64_t counter[ND_COUNTERS_MAX];
    } nf[FT_NFS_MAX]; /* by place in the chain, from 1 */
};

/* What of an NF in a lane, or of what lanes share, is not the reference's. */
struct nd_difference {
    uint16_t nf, lane;      /* as in struct ft_arena */
    uint64_t lines, offset; /* how many differ; of the first word that does, in the arena */
    uint64_t expected, got; /* as they lie in memory */
    char place[128];        /* the object, and the byte in it */
};

#define ND_DIFFERENCES 8u

/* Where digests of what bursts edit are first others than the reference's. */
struct nd_first {
    bool found;
    bool replayed; /* by a standby that replayed the burst; else by the primary that ran it */
    uint16_t lane, nf;
    uint64_t burst, seq, time; /* time: the chain's, ns */
};

struct nd_differences {
    struct nd_difference list[ND_DIFFERENCES];
    unsigned count; /* of arenas; those beyond the list are counted alone */
    bool unseen;    /* the node's state could not be looked at */
};

/* See replay/reference.c. */
struct nd_reference {
    uint64_t digest;               /* of the region after the last burst */
    _Atomic uint64_t outputs;      /* made */
    _Atomic uint64_t altered;      /* outputs that left and are not the reference's */
    _Atomic uint64_t missing;      /* outputs of the reference that never left */
    _Atomic uint64_t dependencies; /* followed */
    _Atomic uint64_t diverged;     /* lanes whose log could not be executed: a dependency points out of it, or
                                      not all of it was used */
    _Atomic uint64_t died; /* the burst of a lane that ended its process, as it ended a node; 0: none */
    unsigned listed;       /* lines said about losses, by the keepers and by the reference */
    struct nd_chain_counts chain;
    struct nd_differences differences[ND_NODES]; /* of the node with that number */
    struct nd_first first;                       /* of nd_reference_trace */
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
    FILE *shown;  /* --show: the rows as JSON, written by the reference's process; NULL: none */
    json_t *rows; /* of --show, at the end of the reference; else empty */
    struct nd_speed speed;

    struct {
        struct nd_slot *slot;
        pid_t pid; /* 0: none */
    } node[ND_NODES];
    unsigned primary;
    unsigned next_kill, kills_beyond; /* kills_beyond: whose packet the capture does not have */
    bool alone;                       /* mode off: no standby */
    struct nd_loopback place;
    struct nd_sums sums;
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

/* The file that the options name, with what they say in its place. FT_EINVAL: they do not fit; else as
 * nd_config_read, which `how` is for. */
int nd_replay_config(struct nd_config **out, const struct nd_replay_options *options, unsigned how,
                     struct ft_fault *fault);

/* Feeds the whole tape, with the kills. FT_EIO, FT_ENOMEM … with one line. Nodes at rest are left running:
 * close them. */
int nd_replay_run(struct nd_replay *r, struct ft_fault *fault);

/* deal.c: the tape into r->dealt, as a node's ports deal frames. FT_ENOMEM. */
int nd_replay_deal(struct nd_replay *r, struct nd_tape_lanes lanes, struct ft_fault *fault);

/* ---- replay/nodes.c: node processes ---- */

int nd_nodes_open(struct nd_replay *r, struct ft_fault *fault);
int nd_nodes_start(struct nd_replay *r, unsigned n, struct ft_fault *fault);
void nd_nodes_kill(struct nd_replay *r, unsigned n); /* and waits for its end */
/* FT_EDIVERGED: one has ended by itself. */
int nd_nodes_check(struct nd_replay *r, struct ft_fault *fault);
/* Its lanes stop, in order; its digest. Its process stays, so that its state can be looked at. */
uint64_t nd_nodes_rest(struct nd_replay *r, unsigned n, bool *rested);
void nd_nodes_close(struct nd_replay *r);

/* ---- replay/scatter.c ---- */

/* In a process that was forked: what it is to have in common with the others by accident alone, differs. The
 * configuration is to be read anew, since its modules are unloaded. */
void nd_scatter(void);

/* ---- replay/reference.c ---- */

/* Runs the reference again, with the audit, where states differ: its `first`, if there are digests of bursts.
 */
int nd_reference_trace(struct nd_reference *out, struct nd_replay *r, struct ft_fault *fault);
/* FT_ENOMEM, FT_EIO (its process died). Losses are told on stderr. */
int nd_reference_run(struct nd_reference *out, struct nd_replay *r, struct ft_fault *fault);

/* ---- replay/differences.c ---- */

/* Of the node in process `pid`, which has its region open as `region_fd`, against the region of the
 * chains[lanes]. */
void nd_differences_find(struct nd_differences *out, const struct ft_region *region,
                         struct nf_chain *const chains[], pid_t pid, int region_fd);

/* ---- replay/report.c ---- */

/* The verdict and the figures, to stdout or, beside one object there, to stderr. An exit code. */
int nd_replay_report(const struct nd_replay *r);

/* ---- replay/speed.c ---- */

/* One lane. FT_EDIVERGED: replay came to another state, or did not run; FT_ENOMEM, FT_EIO. */
int nd_speed_measure(struct nd_speed *out, const struct nd_tape *tape, const struct nd_config *config,
                     uint64_t seed, struct ft_fault *fault);

#endif
