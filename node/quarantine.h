/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What this node does about what its peer crashed on: what the log has of the quarantine, and what the file
 * has lanes do to an NF (`remedy`). The quarantine itself is node/crash/quarantine.h's.
 */
#ifndef NODE_QUARANTINE_H
#define NODE_QUARANTINE_H

#include "node/config/config.h"
#include "node/crash/crash.h"
#include "lane/lane.h"
#include "replicator/replicator.h"

#include <pthread.h>

struct nd_peer_crashes {
    const struct nd_config *config;
    unsigned self; /* index of this node in the file */
    struct nd_crash *crash;
    struct nd_remedy remedy; /* by the replicator's thread */
    pthread_mutex_t lock;    /* held while a quarantine begins, or is found to be over */
    /* Says it to the peer, by a datagram, which may be lost; NULL: there is no peer. */
    void (*tell)(void *arg, const struct ft_crash_notice *notice);
    /* Whether packets of this node, a primary, come to that NF. */
    bool (*executes)(void *arg, const char *nf);
    void *arg;
    /* The main thread's. */
    bool on;          /* the log has that there is a quarantine */
    bool dropped;     /* and that it has dropped a frame */
    uint32_t told;    /* of how many fingerprints the peer was told last; UINT32_MAX: of none as it is now */
    uint64_t told_at; /* ns */
    uint32_t number;  /* of what was told */
    char nf[FT_CRASH_NAME]; /* in which the peer crashed of its frames, as seen last */
};

/* By the replicator's thread: what its peer died of; or, from one that lives, what that drops. */
void nd_quarantine_hear(struct nd_peer_crashes *all, const struct ft_crash_notice *notice, bool primary);
/* In each turn of the main thread: the log tells when the first frame is dropped, and when a quarantine ends;
 * the peer of a PROTECTED primary is told what that drops. */
void nd_quarantine_turn(struct nd_peer_crashes *all, const struct rp_status *s);
/* By the main thread, since an operator says so: it ends, and so does the standby's. False: there is none. */
bool nd_quarantine_lift(struct nd_peer_crashes *all);

#endif
