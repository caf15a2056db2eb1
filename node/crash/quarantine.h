/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The quarantine: a node that took over from one that crashed drops the frames that its predecessor crashed
 * on, and those that are the same sent again (fingerprint.h), before they are captured. It begins with the
 * peer's crash notice, and ends `quarantine_s` after the last such frame. A second crash adds to it.
 *
 * Where the notice names several frames, of which one killed, they are suspects, and so are all with
 * `quarantine_max` frames dropped: they are dropped until the node is PROTECTED; then each of them passes
 * once, in a burst of its own. What the node survives is no suspect any more; the quarantine stays on for its
 * time all the same, so that the next crash in that NF is known to be a second one. What kills it so is never
 * one again (FT_KILLED_ALONE), and the next notice names it and not the others, which are free.
 *
 * Where one packet is named, and may be named by mistake, the others of its burst (FT_BESIDE) are suspects as
 * well, but wait for ND_BESIDE_NS at most: they are innocent as a rule, and a pair that is supervised is
 * PROTECTED by then.
 *
 * Begun by the replicator's thread, which hears the notice; ended by the main thread when its time is over,
 * and by the replicator's; these do so one after the other (node/quarantine.c). Lanes look at it once a
 * burst, drop, clear suspects, and add fingerprints. It lies in memory that outlives the process (page.h),
 * and the reporter writes the frames that are kept to a file.
 */
#ifndef NODE_CRASH_QUARANTINE_H
#define NODE_CRASH_QUARANTINE_H

#include "lane/settings.h"
#include "node/crash/fingerprint.h"

#include <stdatomic.h>
#include <stdbool.h>

#define ND_QUARANTINE_KEPT 64u /* frames */
#define ND_BESIDE_NS       10000000000ull
#define ND_CRASH_BYTES     2048u /* of a frame that is kept, at most */

/* A frame that was kept, by whoever drops it or dies of it. */
struct nd_crash_frame {
    uint64_t time; /* wall clock, ns */
    uint32_t wire, have;
    uint8_t port;
    uint8_t bytes[ND_CRASH_BYTES];
};

struct nd_quarantine {
    _Atomic uint32_t count; /* of `fingerprint`; 0: there is no quarantine, or it has ended */
    _Atomic uint32_t asked; /* by lanes: how many are held, of which a frame may be one */
    _Atomic uint64_t most;  /* frames to drop until all are suspects */
    struct ft_fingerprint fingerprint[FT_CRASH_FINGERPRINTS];
    _Atomic uint64_t suspects; /* bits of `fingerprint`: of these nobody knows which one it was */
    _Atomic uint64_t cleared;  /* bits: suspects that the node has survived; by lanes */
    _Atomic bool judging;      /* the node is PROTECTED: suspects pass, one by one; by the main thread */
    char nf[FT_CRASH_NAME];    /* in which the peer crashed last, of packets */
    _Atomic uint64_t others;   /* bits: what was in force before, for a crash in another NF */
    _Atomic bool changing;     /* somebody writes to `fingerprint` */
    uint64_t lasts;            /* ns without such a frame, after which it ends */
    uint64_t began;            /* monotonic, ns */
    _Atomic uint64_t until;    /* monotonic, ns */
    _Atomic uint64_t dropped;
    _Atomic uint32_t claimed; /* places of `frame`; what is not `whole` yet is being written */
    _Atomic bool whole[ND_QUARANTINE_KEPT];
    struct nd_crash_frame frame[ND_QUARANTINE_KEPT];
};

/* A quarantine for `seconds`, 0: never one. False: the notice names no frame, and one that is on goes on; or
 * the file has none. */
bool nd_quarantine_begin(struct nd_quarantine *q, const struct ft_crash_notice *notice, uint64_t now,
                         uint32_t seconds, uint32_t most);
void nd_quarantine_end(struct nd_quarantine *q);
/* What was in one burst with what is taken for the killer passes from now on. */
void nd_quarantine_pass_beside(struct nd_quarantine *q);
/* Nothing is dropped any more; in which NF the peer crashed stays known for its time. */
void nd_quarantine_clear(struct nd_quarantine *q);

/* Whether it is for on_crash: it died in the NF's timers, or in the NF of the crash before it, within
 * the quarantine for that. */
bool nd_crash_is_remedied(const struct ft_crash_notice *notice);

/*
 * Of deaths in that NF: suspects are let go where its state was the cause, and on_crash has made it harmless;
 * `known`: what is known to kill as well, where no packet comes to that NF any more. What is there for a
 * death in another NF is not. How many.
 */
uint32_t nd_quarantine_let_go(struct nd_quarantine *q, const char *nf, bool known);
/* The state of the NF in which the peer crashed last begins anew: what killed with the one before may not
 * kill now, so it is a suspect, but for what killed alone. */
void nd_quarantine_doubt(struct nd_quarantine *q);

enum nd_quarantine_part {
    ND_ADD_SAME,     /* what is the same again, on other connections, as what the notice names, which killed
                      * alone: so would they; up to FT_CRASH_COPIES */
    ND_ADD_KNOWN,    /* what is known to kill, up to FT_CRASH_KNOWN */
    ND_ADD_SUSPECTS, /* what is suspected; behind a burst's own, for which there is room so */
    ND_ADD_REST,     /* what is known to kill, as far as there is room still */
    ND_ADD_BESIDE,   /* what was in one burst with what is taken for the killer */
};

/* What this node is kept from, added to what it tells its peer: to a successor, whatever it dies of, and to
 * its standby while it lives; not what that names already. Also in a signal handler. */
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

#endif
