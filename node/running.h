/* SPDX-License-Identifier: Apache-2.0 */
/* A running node: what `understudy run` puts together, and what the control socket's answers look at. */
#ifndef NODE_RUNNING_H
#define NODE_RUNNING_H

#include "node/lane/lane.h"
#include "node/ports/ports.h"
#include "node/control/server.h"
#include "replicator/replicator.h"

struct nd_running {
    struct nd_config *config;
    unsigned self;           /* index of this node in the file */
    struct rp_keys keys;     /* of the link, when the file names a key file */
    struct ft_sender sender; /* random: this process, to its peer */
    struct ft_region *region;
    struct nd_ports ports;
    struct ft_lane *shared; /* [lanes] */
    struct nd_lane *lanes;
    struct nd_group group;
    struct nd_redis *redis;       /* the chain's state; NULL: local */
    struct lg_recorder *recorder; /* NULL: nothing is recorded */
    struct nd_question question;
    struct rp_replicator *replicator;
    struct nd_guardian *guardian;
    struct nd_server *server;
    char view_file[256];
    struct { /* differences.c, the main thread's */
        char file[256];
        char last[FT_SLICE_TEXT + 64];         /* what differed last; "": nothing has */
        bool saved;                            /* its bytes are in the file */
        uint64_t seen[FT_LANES_MAX];           /* as a standby: slices that differed, that were looked at */
        uint64_t told, expected[FT_LANES_MAX]; /* as a primary: the same of the standby's verdicts */
    } difference;
    _Atomic uint64_t view;
    _Atomic bool stop;       /* somebody wants the node to end */
    _Atomic bool lanes_stop; /* it ends now: lanes work until then, whatever keeps this thread busy */
    _Atomic bool realtime;   /* the replicator got its priority; written by its thread */
};

/*
 * running.c: everything that can fail fails here, before the first packet, with one line. `config` and `self`
 * are set; waits a bounded while, until `stop`, for what a killed process still holds. On failure close it
 * all the same.
 */
int nd_running_open(struct nd_running *r, struct ft_fault *fault);
/* What stands of it, in order; the configuration too. Its threads have ended. */
void nd_running_close(struct nd_running *r);

/* answers.c: one request, one answer (a new reference). */
json_t *nd_answer(void *running, const json_t *request);

/* differences.c: saves what differs from the peer's state, if anything new does. Waits for a disk. */
void nd_differences_save(struct nd_running *r);

/* answer_status.c */
json_t *nd_answer_status(struct nd_running *r, const json_t *request);

#endif
