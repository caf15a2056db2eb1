/* SPDX-License-Identifier: Apache-2.0 */
/* Priorities of a node's threads; see priority.h. */
#include "node/priority.h"

#include <sched.h>
#include <sys/resource.h>

#define RAISED    -10
#define REAL_TIME 10

void nd_priority_raise(void)
{
    setpriority(PRIO_PROCESS, 0, RAISED); /* of this thread alone */
}

/* Heartbeats and acknowledgements must not wait behind packet work. */
int nd_priority_replicator(pthread_t *thread, void *(*work)(void *), void *arg, bool realtime, bool *got)
{
    const struct sched_param priority = {.sched_priority = REAL_TIME};
    pthread_attr_t attr;
    int error = -1;

    pthread_attr_init(&attr);
    pthread_attr_setinheritsched(&attr, PTHREAD_EXPLICIT_SCHED);
    pthread_attr_setschedpolicy(&attr, SCHED_FIFO);
    pthread_attr_setschedparam(&attr, &priority);
    if (realtime)
        error = pthread_create(thread, &attr, work, arg);
    pthread_attr_destroy(&attr);
    *got = error == 0;
    return *got ? 0 : pthread_create(thread, NULL, work, arg);
}
