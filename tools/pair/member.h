/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A member of a pair that a tool forked: a real node (region, lanes, replicator, link over the loopback) in a
 * process of its own, with the tool's memory for ports. Put together by the replay tool's nodes and by the
 * bench's; owned by that process, which ends with it.
 */
#ifndef TOOLS_PAIR_MEMBER_H
#define TOOLS_PAIR_MEMBER_H

#include "node/lane/lane.h"
#include "replicator/replicator.h"

#include <pthread.h>

struct nd_member_config {
    const struct nd_config *config;
    const struct nd_io *io;
    struct ft_lane *shared; /* [lanes], zeroed; memory that the tool reads */
    const char *name;       /* "a" listens, "b" connects */
    bool standby;           /* role at the first start */
    const char *host;       /* both ends of the link */
    uint16_t port, peer;
    const char *directory;   /* for the view file */
    const char *region_name; /* of the memory */
    struct nd_timing timing;
    uint64_t seed, incarnation;
    struct nd_redis *redis;  /* where the chain keeps its state, open; NULL: here */
    uint64_t replayed_bytes; /* for outputs of replay, a lane; 0: the usual */
    bool guardian;           /* start one: before any thread */
    bool realtime;           /* lanes go before ordinary work, where permitted. The replicator's thread is the
                                caller's */
    void (*told)(void *arg, enum ft_state state, uint64_t view, const char *why);
    void *arg;
};

struct nd_member {
    const struct nd_member_config *c;
    struct ft_region *region;
    struct nd_lane *lanes;
    struct nd_group group;
    pthread_t *threads; /* of the lanes */
    struct rp_replicator *replicator;
    struct nd_guardian *guardian; /* NULL: none */
    struct nd_question question;
    _Atomic uint64_t view;
    _Atomic bool stop;
};

/* `c` stays borrowed. What failed stays as it is: the process ends. */
int nd_member_open(struct nd_member *m, const struct nd_member_config *c, struct ft_fault *fault);
/* The lanes' threads, on `cores` where that is not NULL. The replicator's thread is the caller's. */
int nd_member_start(struct nd_member *m, const cpu_set_t *cores, struct ft_fault *fault);
/* In order: without a death notice, lanes ended. */
void nd_member_stop(struct nd_member *m);

#endif
