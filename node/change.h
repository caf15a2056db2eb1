/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of the chain while the node runs: apply, push, and the files of a peer. The main thread's;
 * what lanes see of it is struct nd_change (lane/group.h).
 */
#ifndef NODE_CHANGE_H
#define NODE_CHANGE_H

#include "node/config/config.h"
#include "node/config/files.h"
#include "node/confirm.h"
#include "node/counts.h"
#include "node/crash/crash.h"
#include "node/port_watch.h"
#include "node/standing.h"
#include "lane/group.h"
#include "node/control/server.h"
#include "replicator/replicator.h"

/* A request of the control sockets that is answered in steps: what the next step has to know. */
struct nd_work {
    const struct nd_exchange *of;  /* NULL: none, and all is zero */
    bool begun;                    /* the first step has been taken */
    bool under_way;                /* drain, failback: the handover has begun; re-pair: it was asked for */
    bool wants_lanes;              /* show, set, clear: a lane is asked, or will be */
    bool asked, late;              /* the question is with a lane; the lane has taken it, and takes long */
    unsigned lane;                 /* set, clear: those below it have answered */
    unsigned changed;              /* set, clear: how many of those have changed */
    uint64_t since, until;         /* ns: when the last thing was asked for, and how long it is waited for */
    uint64_t resyncs;              /* verify: how many there had been */
    uint64_t digest[FT_LANES_MAX]; /* verify: the number of each lane's digest */
    uint64_t repairs;              /* re-pair: requests taken before it */
    bool only_waits;               /* re-pair: its view has begun */
};

/* For a step: the exchange has this answer (a new reference). True. */
static inline bool nd_answered(struct nd_exchange *exchange, json_t *answer)
{
    exchange->answer = answer;
    return true;
}

/* The same of what nd_refuse makes of a code and words. */
#define nd_refused(exchange, ...) nd_answered((exchange), nd_refuse(__VA_ARGS__))

struct nd_changing {
    struct nd_config *config; /* the node's: its chain is changed */
    unsigned self;            /* index of this node in it */
    struct nd_crash *crash;
    struct nd_group *group;
    const struct ft_lane_shared *shared;
    struct ft_region *region;
    struct nd_counts *counts; /* are paused meanwhile */
    struct nd_ports *ports;
    struct nd_port_watch *port_watch;
    struct nd_standing *standing;
    struct rp_replicator *replicator;
    struct nd_files_thread *files;

    struct nd_change *past;   /* those that are over, linked */
    struct nd_change *change; /* made ready, or under way; NULL: none is */
    bool staged;              /* its files are staged, to be installed when it is done */
    bool wished;              /* `wish` is to be given to the thread of files when it is free */
    struct nd_files_job wish; /* INSTALL, KEEP or DROP */
    bool replies;             /* the peer hears when that is done */
    bool was_read;            /* `read` is this node's files, or a set that it has kept */
    struct nd_files_job read;
    uint64_t until; /* ns: when one that is not begun is given up */
    uint64_t count; /* changes done since the start */
    char told[320]; /* what became of the last one, or how far it is; "": there was none */
    unsigned step;  /* of apply, rollback, confirm and push */
    bool alone;
    uint64_t resyncs;

    struct nd_confirm confirm;
    struct nd_note note; /* of the change that is made ready or under way; number 0: none came with it */
    bool is_kept;        /* what runs is, or is about to be */
    uint64_t keep_again; /* ns, monotonic: not before, since the disk did not take it; 0: it did */
};

/* The region may be exchanged by a lane at any time: its layout and what lies in it are not to be read. */
static inline bool nd_is_changing(const struct nd_changing *g)
{
    return g->change != NULL;
}

/* Of the chain that runs. */
uint64_t nd_change_hash(const struct nd_changing *g, const struct rp_status *s);
/* In each turn of the main thread: files that the peer sends, and a change that has been carried out. What
 * waited for a confirm, and got none, is asked for by node/commands.c. */
void nd_changes_turn(struct nd_changing *g, const struct rp_status *s);
void nd_changes_close(struct nd_changing *g);

/* A step of apply, rollback, confirm or push, which operators ask a primary for. */
bool nd_answer_change(struct nd_changing *g, struct nd_exchange *x, struct nd_work *w);
/* The sets that are kept here, and what waits for a confirm: a new reference. */
json_t *nd_answer_history(const struct nd_changing *g);

#endif
