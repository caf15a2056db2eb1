/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The quarantine: a node that took over from one that crashed drops the frames that its predecessor crashed
 * on, and those that are the same sent again (fingerprint.h), before they are captured. It begins with the
 * peer's crash notice, and ends `quarantine_s` after the last such frame. A second crash adds to it.
 *
 * Where the notice names several frames, of which one killed, they are suspects, and so are all with
 * `quarantine_max` frames dropped: they are dropped until the node is PROTECTED; then each of them passes
 * once, in a burst of its own. What the node survives is no suspect any more; the quarantine stays on for its
 * time all the same, so that the next crash in that NF is known to be a second one. A frame that kills the
 * node so is never a suspect again (FT_KILLED_ALONE), and the next notice names it and not the others, which
 * are free.
 *
 * Where one packet is named, and may be named by mistake, the others of its burst (FT_BESIDE) are suspects as
 * well, but wait for BESIDE_NS at most: they are innocent as a rule, and a pair that is supervised is
 * PROTECTED by then.
 *
 * Begun by the replicator's thread, which hears the notice before its node takes over, or just behind it
 * where the first notice was lost; ended by the main thread when its time is over, and by the replicator's;
 * these do so one after the other (`lock`). Lanes look at it once a burst, drop, clear suspects, and add
 * fingerprints. It lies in memory that outlives the process (page.h), and the reporter writes the frames that
 * are kept to a file. A primary sends the standby what it drops, so that a quarantine goes over with the
 * role, also where nothing crashes.
 */
#ifndef NODE_CRASH_QUARANTINE_H
#define NODE_CRASH_QUARANTINE_H

#include "ftcore/protocol/core.h"
#include "lane/lane.h"
#include "understudy/crash/crash.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

enum nd_quarantine_part {
    ND_ADD_SAME,     /* what is the same again, on other connections, as what the notice names, which killed
                      * alone: so would they; up to FT_CRASH_COPIES */
    ND_ADD_KNOWN,    /* what is known to kill, up to FT_CRASH_KNOWN */
    ND_ADD_SUSPECTS, /* what is suspected; behind a burst's own, for which there is room so */
    ND_ADD_REST,     /* what is known to kill, as far as there is room still */
    ND_ADD_BESIDE,   /* what was in one burst with what is taken for the killer */
};

/* Adds what this node's quarantine drops to a notice for its peer: to a successor, whatever this node dies
 * of, and to its standby while it lives; not what the notice names already. Also in a signal handler. */
void nd_quarantine_add(const struct nd_quarantine *q, struct ft_crash_notice *notice,
                       enum nd_quarantine_part part);
/* All parts but ND_ADD_SAME, in their order. */
void nd_quarantine_add_all(const struct nd_quarantine *q, struct ft_crash_notice *notice);

/* A frame that is in the chain is a suspect. Also in a signal handler. */
bool nd_quarantine_is_judged(const struct nd_quarantine *q, const struct ft_fingerprint *frame);

/* Fingerprints whose frames are dropped: those in force but for what was cleared. */
uint32_t nd_quarantine_held(const struct nd_quarantine *q);

static inline bool nd_quarantine_on(const struct nd_quarantine *q)
{
    return atomic_load_explicit(&q->count, memory_order_acquire) != 0;
}

/* For lanes. A frame that is dropped is counted, and kept while there is room; one that has been judged is no
 * suspect any more, and passes. */
struct nd_suspects nd_quarantine_suspects(struct nd_quarantine *q);

/* What this node does about what its peer crashes on: what the log has of the quarantine, and what the file
 * has lanes do to an NF (`remedy`). */
struct nd_peer_crashes {
    const struct nd_config *config;
    unsigned self; /* index of this node in the file */
    struct nd_crash *crash;
    struct nd_remedy remedy; /* by the replicator's thread */
    pthread_mutex_t lock;    /* held while a quarantine begins, or is found to be over */
    /* Sends the notice to the peer, by a datagram, which may be lost; NULL: there is no peer. */
    void (*tell)(void *arg, const struct ft_crash_notice *notice);
    /* Whether packets of this node, a primary, come to that NF. */
    bool (*executes)(void *arg, const char *nf);
    void *arg;
    /* The main thread's. */
    bool on;          /* the log has that there is a quarantine */
    bool dropped;     /* and that it has dropped a frame */
    uint32_t told;    /* how many fingerprints were last sent to the peer; UINT32_MAX: none as it is now */
    uint64_t told_at; /* ns */
    uint32_t number;  /* of what was sent */
    char nf[FT_CRASH_NAME]; /* in which the peer crashed of its frames, as seen last */
};

/* By the replicator's thread: what its peer died of; or, from one that lives, what that drops. */
void nd_quarantine_receive(struct nd_peer_crashes *all, const struct ft_crash_notice *notice, bool primary);
/* In each turn of the main thread: logs the first frame that is dropped, and the end of a quarantine; a
 * PROTECTED primary sends its peer what it drops. */
void nd_quarantine_turn(struct nd_peer_crashes *all, const struct ft_core *core);
/* By the main thread, for an operator: the quarantine ends, and so does the standby's. False: there is
 * none. */
bool nd_quarantine_lift(struct nd_peer_crashes *all);

#endif
