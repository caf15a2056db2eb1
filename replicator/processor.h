/* SPDX-License-Identifier: Apache-2.0 */
/* The processor under the calling thread. */
#ifndef REPLICATOR_PROCESSOR_H
#define REPLICATOR_PROCESSOR_H

#include <stdbool.h>
#include <stdint.h>

/*
 * How long this thread could have run while another one did, ns, since a moment that stays the same: all that
 * passed until `now`, less what it ran and what it slept (both ns, `now` as rp_monotonic). To be compared
 * with what it said before; since some time counts twice it may say some microseconds less.
 */
int64_t rp_processor_waited(uint64_t now, uint64_t slept);

/* sched_yield lets whoever wants to run. Not so of a thread with real-time priority: others wait until it
 * sleeps. */
bool rp_processor_yields(void);

#endif
