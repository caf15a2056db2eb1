/* SPDX-License-Identifier: Apache-2.0 */
/* Between the life of a change (change.c) and the steps of who asks for one (apply.c). Not for others: they
 * include node/change.h. */
#ifndef NODE_CHANGE_PARTS_H
#define NODE_CHANGE_PARTS_H

#include "node/change.h"
#include "ftcore/base/event_log.h"

/* Of what an operator has asked for. */
enum nd_step { ND_STEP_BEGIN, ND_STEP_FILES, ND_STEP_PEER, ND_STEP_LANES, ND_STEP_STANDBY };

/* To the log and to status. */
void nd_change_tell(struct nd_changing *g, enum ft_level level, const char *text);

/* This node's files, or the set of that number that is kept (0: none), into `read`. False: the disk has not
 * done what it was asked for before. */
bool nd_change_read(struct nd_changing *g, uint64_t set);
/* What was staged is to be installed, or to go; what waits for a confirm goes to the disk (KEEP). */
void nd_change_order(struct nd_changing *g, enum nd_files_work wish);

/* Takes `next`; `state`: this node's lanes have one that is to go on. */
int nd_change_make(struct nd_changing *g, struct nd_config *next, bool state, struct nd_change **out,
                   struct ft_fault *fault);
void nd_change_free(struct nd_change *c);
/* Lanes and replicator may see it. */
void nd_change_offer(struct nd_changing *g, struct nd_change *c);
/* True: no lane will touch it any more. */
bool nd_change_give_up(struct nd_changing *g);

#endif
