/* SPDX-License-Identifier: Apache-2.0 */
/* Processors that the kernel keeps free of other work, and the priority of threads on those that it does not.
 * Owns nothing. */
#ifndef NODE_BASE_PROCESSOR_H
#define NODE_BASE_PROCESSOR_H

#include <stdbool.h>
#include <stddef.h>

#define ND_PROCESSORS_MAX 1024u /* those beyond are never taken for isolated */

/* Adds those of a list as the kernel writes it ("2-5,7\n") to set[]. False: it is no such list. */
bool nd_processors_parse(const char *list, bool set[ND_PROCESSORS_MAX]);

/*
 * Each processor that the calling thread may run on is isolated: by isolcpus, or by a cpuset's isolated
 * partition. So nothing but what was put there runs there.
 */
bool nd_processors_own(void);

/* The calling thread goes before ordinary work: nice -10. For lanes, and for the thread that answers, which
 * lanes would leave no time on few cores. False: the system does not permit it. */
bool nd_priority_raise(void);
/* The calling thread goes before all of these: SCHED_FIFO 10. For the replicator, whose heartbeats and
 * acknowledgements must not wait behind packet work; it sleeps after each turn. False: not permitted. */
bool nd_priority_realtime(void);

#endif
