/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A chain that is changed while the node runs: apply, rollback, confirm, push, and the files of a peer. The
 * primary reads its files again, judges them, gives them to its peer, and has its lanes change at the cut of
 * a resync, by which the peer's lanes become the same chain. How far that is, on either side:
 *
 *   stage    who is at it         until                                  what undoes it
 *   -------- -------------------- -------------------------------------- -------------------------------
 *   ASKED    main                 a late standby answers, disk and link  nothing is done yet
 *                                 are free: 3 s
 *   READ     the files' thread    the files are read, and staged where   what is staged goes
 *                                 they are a set's: 10 s
 *   OFFERED  the peer             it agrees, 10 s; there: the primary's  the offer is withdrawn, what is
 *                                 snapshot begins, 60 s                  staged goes
 *   ARMED    the lanes            the cut of a resync: 5 s               the same
 *   ALONE    the lanes            they are between two bursts: 5 s       the same
 *   WANTED   a standby's lanes    they wait for a snapshot               they become it, or fail
 *   WORKING  the lane that came   it is done, or has failed              the lane puts the old region back
 *            last
 *   DONE     main                 the old chain is freed, the files go   `rollback`
 *                                 to their places and are kept
 *   FAILED   main                 the failure is reported                all is as it was
 *   GONE     main                 no thread can look at it any more      it is undone
 *   READY    the standby          the pair is PROTECTED again: 40 s,     `rollback`
 *                                 then the command does not wait for it
 *   PLACED   the files' thread    a peer's files are in their places     NAME.before
 *   TOLD     the peer             it knows that the chain is confirmed:  `rollback`
 *                                 1 s
 *
 * Here it is the main thread's part; a lane's is lane/group.c, the files' thread's files.c, and the way to
 * the peer replicator/sideband.c.
 */
#ifndef NODE_CHANGE_CHANGE_H
#define NODE_CHANGE_CHANGE_H

#include "understudy/config/config.h"
#include "understudy/change/files.h"
#include "understudy/change/confirm.h"
#include "understudy/watch/counts.h"
#include "understudy/crash/crash.h"
#include "understudy/watch/port_watch.h"
#include "understudy/watch/standing.h"
#include "lane/group.h"
#include "understudy/control/server.h"
#include "replicator/replicator.h"

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

    /* Each is NONE, or a stage; while `change` is there it has its own, which lanes move on from ARMED. */
    enum nd_change_stage asked; /* of the command that is at work here */
    enum nd_change_stage given; /* of the peer's files: READ or PLACED, for which the peer waits */
    uint64_t limit;             /* ns: until when `asked` is waited for */
    uint64_t resyncs;           /* there had been before it */
    struct nd_change *change;   /* offered, or under way; NULL: none is */
    uint64_t until;             /* ns: when one that is not begun is given up */
    bool staged;                /* its files are staged, to be installed when it is done */
    struct nd_change *past;     /* those that are over, linked */
    struct nd_files_job read;   /* this node's files, or a set that it has kept, for `asked` */
    bool was_read;
    uint64_t count; /* changes done since the start */
    char told[320]; /* what became of the last one, or how far it is; "": there was none */

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
 * waited for a confirm, and got none, is asked for by nd_answer_due (understudy/node/running.h). */
void nd_changes_turn(struct nd_changing *g, const struct rp_status *s);
void nd_changes_close(struct nd_changing *g);

/* A step of apply, rollback, confirm or push, which operators ask a primary for; one command at a time. */
bool nd_answer_change(struct nd_changing *g, struct nd_exchange *x);
/* The sets that are kept here, and what waits for a confirm: a new reference. */
json_t *nd_answer_history(const struct nd_changing *g);

#endif
