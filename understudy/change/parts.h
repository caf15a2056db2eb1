/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of a change: its life (change.c), what is done for it in each turn (turn.c), who asks for
 * one (apply.c), and what makes one of files (make.c). Not for others: they include
 * understudy/change/change.h. */
#ifndef NODE_CHANGE_PARTS_H
#define NODE_CHANGE_PARTS_H

#include "understudy/change/change.h"
#include "ftcore/base/event_log.h"

/* To the log and to status. */
void nd_change_log(struct nd_changing *g, enum ft_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

struct nd_files_job nd_change_job(const struct nd_changing *g, enum nd_files_work work);
/* What was staged is to be installed, or to go, or `job`'s set, which it takes, is to be kept. What waits for
 * a confirm goes to the disk with it. */
void nd_change_give(struct nd_changing *g, struct nd_files_job job, const struct nd_note *note);
void nd_change_order(struct nd_changing *g, enum nd_files_work work);
/* The files of the chain that runs are kept under this note. */
void nd_change_keep(struct nd_changing *g, enum nd_files_work work, const struct nd_note *note);

/* Takes `next`; `state`: this node's lanes have one that is to go on. */
int nd_change_make(struct nd_changing *g, struct nd_config *next, bool state, struct nd_change **out,
                   struct ft_fault *fault);
void nd_change_free(struct nd_change *c);
/* Lanes and replicator may see it. `staged`: so are its files. */
void nd_change_offer(struct nd_changing *g, struct nd_change *c, bool staged);
/* The lanes have it; what they had is freed here, where nobody waits. */
void nd_change_finish(struct nd_changing *g, const struct rp_status *s);
void nd_change_free_past(struct nd_changing *g, const struct rp_status *s);
/* True: no lane will touch it any more. */
bool nd_change_give_up(struct nd_changing *g);

/* A note of now, of a chain. */
struct nd_note nd_change_note(const struct nd_changing *g, const char *how, uint64_t chain);

#endif
