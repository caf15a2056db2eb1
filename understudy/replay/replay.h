/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The replay tool: a capture through a pair of nodes, with kills, and the verdict. The command and its
 * options (cmd_replay.c), the course of a run and its nodes (course.c), what stands in front of the pair
 * (keeper.c), the same inputs through a chain alone (reference.c), what came of it (report.c).
 */
#ifndef TOOLS_REPLAY_REPLAY_H
#define TOOLS_REPLAY_REPLAY_H

#include "understudy/pair/member.h"
#include "understudy/base/given.h"
#include "ftcore/region/audit.h"
#include "understudy/replay/keeper.h"
#include "understudy/recording/recording.h"

#include <jansson.h>
#include <stdio.h>
#include <sys/types.h>

#define ND_KILLS_MAX 64u

struct nd_kill {
    bool primary; /* else the standby */
    uint64_t at;  /* when the primary has taken this packet, counted from 1 */
};

struct nd_replay_options {
    struct nd_log_options common; /* what a recording in place of a capture is asked as well, or alone */
    const char *input;
    int mode;                           /* enum nd_mode; -1: the file's */
    int standby;                        /* enum nd_standby; -1: the file's */
    struct nd_kill kills[ND_KILLS_MAX]; /* in order of `at` */
    unsigned kill_count;
    unsigned lanes; /* 0: the file's */
    bool no_input_keeper;
    struct nf_networks inside; /* networks inside; empty: those of the chain's NAT */
    bool fast;                 /* without the audit */
    uint64_t seed;
};

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
    unsigned listed;       /* lines printed about losses, by the keepers and by the reference */
    struct nd_chain_counts chain;
    struct nd_differences differences[ND_PAIR]; /* of the node with that number */
    struct nd_first first;                      /* found where states differ */
    /* Of arenas, by struct ft_arena's nf: first the lanes' own state with their sessions, last what lanes
     * share. */
    uint64_t digest_of[FT_NFS_MAX + 1];
    /* Where states differ and all NFs declare NF_READS_FLOW: bits of enum nf_unread_field
     * (nflib/chain/unread.h), what each NF reads of them all the same; last what shows in what lanes share
     * and in no NF's arena, first what shows in the lanes' own state alone. */
    uint32_t undeclared[FT_NFS_MAX + 1];
};

/*
 * Digests of what each burst edited, by NF, as nodes executed it under the audit. In memory that all
 * processes of a run share: written by the lanes of the nodes, read by the reference. A later execution of a
 * burst replaces an earlier one.
 */
struct nd_sums {
    uint64_t *at; /* NULL: there are none */
    uint64_t bursts;
    unsigned lanes, words; /* words: of one burst: the lane's own, the NFs', what lanes share */
};

struct nd_replay {
    const struct nd_replay_options *options;
    struct nd_config *config;
    struct nd_tape tape;
    unsigned lanes;
    struct nd_tape dealt[FT_LANES_MAX]; /* with several lanes alone */
    bool in_turn;          /* packets were dealt by their owners: lanes run a burst one after the other */
    struct nd_tape *tapes; /* [lanes] of each lane: the dealt ones, or of one lane the tape itself */
    struct nd_keeper keeper[FT_LANES_MAX];
    struct nd_keeper_counts counts;
    struct nd_capture_file written; /* -w */
    struct nd_reference reference;
    FILE *shown;  /* --show: the rows as JSON, written by the reference's process; NULL: none */
    json_t *rows; /* of --show, at the end of the reference; else empty */

    struct {
        struct nd_slot *slot;
        pid_t pid; /* 0: none */
    } node[ND_PAIR];
    unsigned primary;
    unsigned next_kill, kills_beyond; /* kills_beyond: whose packet the capture does not have */
    bool alone;                       /* mode off: no standby */
    struct nd_loopback place;
    struct nd_sums sums;
    uint64_t random;
    struct nd_given given; /* of this process and both nodes: what moves too slowly is judged by it */

    uint64_t failovers, log_bytes, delta_bytes, divergences;
    uint64_t deltas;             /* made, of all nodes */
    const struct nd_slot *asked; /* primary that was asked for a last checkpoint */
    uint64_t refused;            /* messages of one node that the other could not believe */
    char refusal[FT_REASON_MAX];
    uint64_t primary_digest, standby_digest;
    bool standby_rested;   /* standby_digest counts */
    bool broken;           /* nobody took over, nothing went on, or a node ended by itself: so did the run */
    uint64_t began, ended; /* ns: of the feeding */
};

/* The file that the options name, with their settings in place of its own. FT_EINVAL: they do not fit; else
 * as nd_config_read, which `how` is for. */
int nd_replay_config(struct nd_config **out, const struct nd_replay_options *options, unsigned how,
                     struct ft_fault *fault);

/* Feeds the whole tape, with the kills. FT_EIO, FT_ENOMEM … with one line. Nodes at rest are left running:
 * close them. */
int nd_replay_run(struct nd_replay *r, struct ft_fault *fault);

void nd_nodes_close(struct nd_replay *r);

/* Whether the node that executed the burst, live or (`replayed`) as a standby, edited something else than
 * `of`, as ft_audit_watch has it; *nf: the first NF in the chain, else FT_NFS_MAX (what lanes share) or 0
 * (the lane's own), which follow from the NFs. False: no node executed it. */
bool nd_sums_differ(const struct nd_sums *sums, bool replayed, unsigned lane, uint64_t burst,
                    const uint64_t of[FT_AUDIT_SUMS], uint16_t *nf);

/* ---- replay/reference.c ---- */

/* And once more, with the audit, where states differ: for its `first`, if there are digests of bursts; and
 * once for each field that NFs may read without declaring it, for `undeclared`. What it shows becomes
 * r->rows. FT_ENOMEM, FT_EIO (its process died). Losses are printed on stderr. */
int nd_reference_run(struct nd_reference *out, struct nd_replay *r, struct ft_fault *fault);

/* ---- replay/report.c ---- */

/* The verdict and the figures, to stdout or, beside one object there, to stderr. An exit code. */
int nd_replay_report(const struct nd_replay *r);

#endif
