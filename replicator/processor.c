/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the replicator's thread had to wait for its processor. Reckoned from its clocks: the system's own
 * account (schedstat) lies in a file, and while a process that had such a file open died, another one that
 * read or reaped it was seen to spin in the kernel for half a minute.
 */
#include "replicator/processor.h"

#include <sched.h>
#include <time.h>

int64_t rp_processor_waited(uint64_t now, uint64_t slept)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (int64_t)(now - slept - (uint64_t)t.tv_sec * 1000000000ull - (uint64_t)t.tv_nsec);
}

bool rp_processor_yields(void)
{
    int policy = sched_getscheduler(0); /* of the calling thread */

    return policy != SCHED_FIFO && policy != SCHED_RR;
}
