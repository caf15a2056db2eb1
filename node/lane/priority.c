/* SPDX-License-Identifier: Apache-2.0 */
/* The priorities of a node's threads; see priority.h. */
#include "node/lane/priority.h"

#include <sched.h>
#include <sys/resource.h>

#define RAISED    -10
#define REAL_TIME 10

/* Linux: both are of the calling thread alone. */
bool nd_priority_raise(void)
{
    return setpriority(PRIO_PROCESS, 0, RAISED) == 0;
}

bool nd_priority_realtime(void)
{
    const struct sched_param priority = {.sched_priority = REAL_TIME};

    return sched_setscheduler(0, SCHED_FIFO, &priority) == 0;
}
