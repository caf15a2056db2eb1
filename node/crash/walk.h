/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the registers of a thread that dies up to the chain that called it: its backtrace, and the packet of
 * the burst that it had. That is the one which the innermost frame's registers point to: the registers that
 * calls preserve, in each frame outwards; then what registers say of the place in the NF's list; then words
 * of the stack, of which some may be old. In a signal handler. What it follows may lead to memory that there
 * is not: then it is ended by the fault, and what it has told stands.
 */
#ifndef NODE_CRASH_WALK_H
#define NODE_CRASH_WALK_H

#include "node/crash/page.h"

/* Fills frames, words and found of `told`, by its registers. `mark` NULL: it is no lane. */
void nd_crash_walk(struct nd_crash_told *told, const struct nf_mark *mark);
/* What is found and made at a first use is found now: before there are threads. */
void nd_crash_walk_first(void);

#endif
