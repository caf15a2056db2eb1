/* SPDX-License-Identifier: Apache-2.0 */
/* Priorities of a node's threads, where the system permits them: of a node that runs, and of the bench's. */
#ifndef NODE_PRIORITY_H
#define NODE_PRIORITY_H

#include <pthread.h>
#include <stdbool.h>

/* The calling thread goes before ordinary work: nice -10. For lanes, and for the thread that answers, which
 * lanes would leave no time on few cores. */
void nd_priority_raise(void);
/* Starts the replicator's thread: as a real-time thread if `realtime` asks for it and the system permits it,
 * else as an ordinary one. *got says which. 0, or the error of pthread_create. */
int nd_priority_replicator(pthread_t *thread, void *(*work)(void *), void *arg, bool realtime, bool *got);

#endif
