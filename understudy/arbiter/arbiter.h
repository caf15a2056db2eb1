/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that asks the arbiter, which is etcd, through its JSON gateway, and has it decide. The
 * replicator hands it one question and takes one answer, by words that neither ever waits for; a new question
 * takes the place of the old one, and an answer to the old one is dropped. A question goes before a look that
 * is under way. Where nothing is asked, it looks every LOOK_NS whether the arbiter answers, and has it keep
 * the view in which this node serves: a decision of an earlier view is then given to nobody any more.
 *
 * The thread waits for a server, a second at most for each request (understudy/etcd/etcd.h). Answers of one
 * cluster count alone: two that decide are none. That is the cluster that answered first, or that
 * nd_arbiter_expect named.
 */
#ifndef NODE_ARBITER_ARBITER_H
#define NODE_ARBITER_ARBITER_H

#include "ftcore/base/error.h"
#include "ftcore/protocol/core.h"
#include "understudy/etcd/etcd.h"
#include "replicator/replicator.h"

#define ND_ARBITER_KEY_MAX 128u /* bytes of a key, with its NUL */

struct nd_arbiter_config {
    struct nd_etcd_config etcd;   /* urls 0: there is no arbiter */
    char key[ND_ARBITER_KEY_MAX]; /* the pair's own */
};

struct nd_arbiter;

/* What stands at a pair's key, as text. False: it is no decision. */
bool nd_arbiter_read(const char *text, struct ft_decision *out);

/* What is shown to people; a copy. */
struct nd_arbiter_status {
    bool answers;      /* the last time that it was asked, or looked at */
    uint64_t answered; /* when it last answered, local monotonic ns; 0: never */
    uint64_t took;     /* that answer, ns */
    uint64_t failures; /* requests to all servers without an answer */
    bool later; /* it keeps a later view than this node is in, or another shard's: another pair's key, or an
                   old life's */
    struct ft_decision kept; /* as answered last */
    uint64_t decided; /* wall clock, ns since 1970, of this node's last answer to a question; 0: none */
    char server[ND_ETCD_URL_MAX]; /* that answered last */
    char why[192];                /* it did not answer; "" when it did */
};

/* Starts the thread. `name`: this node's, as the arbiter is to write it. Both borrowed. *calls is what the
 * replicator asks it by, from one thread. FT_ENOMEM. */
int nd_arbiter_start(struct nd_arbiter **out, struct rp_arbiter *calls,
                     const struct nd_arbiter_config *config, const char *name, struct ft_fault *fault);
/* Ends it, and gives up what is under way. */
void nd_arbiter_stop(struct nd_arbiter *arbiter);

/*
 * For the main thread; NULL: there is none. The cluster whose answers count, 0: it is not known yet. A
 * standby expects the primary's, so that nobody else decides for it; 0: forgets it, and believes whichever
 * answers first.
 */
uint64_t nd_arbiter_cluster(const struct nd_arbiter *arbiter);
void nd_arbiter_expect(struct nd_arbiter *arbiter, uint64_t cluster);
/* The arbiter is looked at now, and status shows it; NULL: there is none. */
void nd_arbiter_wake(struct nd_arbiter *arbiter);
void nd_arbiter_status(struct nd_arbiter *arbiter, struct nd_arbiter_status *out);

/* Asks once whether the arbiter answers, and changes nothing there; waits for it. FT_EIO: no server answered;
 * FT_EMALFORMED: an answer cannot be read; the password's file may give FT_EPERM, FT_EMALFORMED or FT_EIO.
 */
int nd_arbiter_look(const struct nd_arbiter_config *config, struct ft_fault *fault);

#endif
