/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The priority of a node's threads (lanes, replicator, control): all of them go before ordinary work, and
 * none before another. None has a real-time priority: such a thread gives way to nobody unless it sleeps, and
 * on a core that threads share, a standby's replicator would keep its lane from replaying.
 */
#ifndef NODE_PRIORITY_H
#define NODE_PRIORITY_H

#include <stdbool.h>

/* The calling thread goes before ordinary work: nice -10. False: the system does not permit it. */
bool nd_priority_raise(void);

#endif
