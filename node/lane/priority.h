/* SPDX-License-Identifier: Apache-2.0 */
/* The priorities of a node's threads, where the system permits them: of a node that runs, and of the bench's.
 */
#ifndef NODE_LANE_PRIORITY_H
#define NODE_LANE_PRIORITY_H

#include <stdbool.h>

/* The calling thread goes before ordinary work: nice -10. For lanes, and for the thread that answers, which
 * lanes would leave no time on few cores. False: the system does not permit it. */
bool nd_priority_raise(void);
/* The calling thread goes before all of these: SCHED_FIFO 10. For the replicator, whose heartbeats and
 * acknowledgements must not wait behind packet work; it sleeps after each turn (replicator/schedule.c).
 * False: not permitted. */
bool nd_priority_realtime(void);

#endif
