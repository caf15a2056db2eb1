/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that asks the arbiter. The replicator hands it one question and takes one answer, by words that
 * neither ever waits for; a new question takes the place of the old one, and an answer to that is nobody's.
 * A question goes before a look that is under way. Where nothing is asked, it looks every LOOK_MS whether the
 * arbiter answers, and has it keep the view in which this node serves: a decision of an earlier view is then
 * given to nobody any more.
 */
#ifndef NODE_ARBITER_ARBITER_H
#define NODE_ARBITER_ARBITER_H

#include "node/arbiter/etcd.h"

struct nd_arbiter;

/* What people are told; a copy. */
struct nd_arbiter_status {
    bool answers;      /* the last time that it was asked, or looked at */
    uint64_t answered; /* when it last answered, local monotonic ns; 0: never */
    uint64_t took;     /* that answer, ns */
    uint64_t failures; /* requests to all servers without an answer */
    bool later;        /* it keeps a later view than this node is in: another pair's key, or an old life's */
    struct ft_decision kept; /* as answered last */
    uint64_t decided; /* wall clock, ns since 1970, of this node's last answer to a question; 0: none */
    char server[192]; /* that answered last */
    char why[192];    /* it did not answer; "" when it did */
};

/* Starts the thread. `name`: this node's, as the arbiter is to write it. Both borrowed. FT_ENOMEM. */
int nd_arbiter_start(struct nd_arbiter **out, const struct nd_etcd_config *config, const char *name,
                     struct ft_fault *fault);
/* Ends it, and gives up what is under way. */
void nd_arbiter_stop(struct nd_arbiter *arbiter);

/* For the replicator (struct rp_arbiter of replicator/replicator.h). */
void nd_arbiter_ask(void *arbiter, const struct ft_era *era);
bool nd_arbiter_answer(void *arbiter, struct ft_era *era, enum ft_answer *answer);
void nd_arbiter_serves(void *arbiter, uint64_t view);

/*
 * For the main thread; NULL: there is none. The cluster whose answers count, 0: it is not known yet. A
 * standby expects the primary's, so that nobody else decides for it; 0: forgets it, and believes whichever
 * answers first.
 */
uint64_t nd_arbiter_cluster(const struct nd_arbiter *arbiter);
void nd_arbiter_expect(struct nd_arbiter *arbiter, uint64_t cluster);
void nd_arbiter_status(struct nd_arbiter *arbiter, struct nd_arbiter_status *out);

#endif
