/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a kind of entries takes a standby, ns for 1024 bytes in memory: a running mean, in which older work
 * counts less and less. Owned by whoever does the work, a lane or the receiver.
 *
 * It is the work that counts, which is what a takeover has to do, and not that the core was somebody else's
 * for milliseconds: a primary that took that for work would send less, and leave the standby idle. So one
 * piece of work counts for twice the mean at most; a real change still doubles the mean with each window. And
 * a piece that was not `full`, where the worker may have waited for work, counts only when it was quicker
 * than the mean, or as long as there is none: a mean that is too high would else keep the primary from ever
 * sending enough to correct it.
 */
#ifndef FTCORE_EFFORT_H
#define FTCORE_EFFORT_H

#include <stdbool.h>
#include <stdint.h>

#define FT_EFFORT_UNIT 1024u /* bytes that a cost is told for */

struct ft_effort {
    uint64_t ns, bytes;
};

/* A piece of work, `bytes` > 0. */
void ft_effort_add(struct ft_effort *effort, uint64_t bytes, uint64_t ns, bool full);
/* 0: not known yet; else at least 1. */
uint64_t ft_effort_cost(const struct ft_effort *effort);

#endif
