/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handler of fatal signals: describes in the page (page.h) what a thread dies of, and lets it die. It
 * takes some hundred microseconds, allocates nothing, takes no lock, waits for nobody but a lane that hangs,
 * and is ended by the kernel when it takes HANDLER_MS. One thread of a process writes the description; others
 * that fault meanwhile wait for the end.
 *
 * When somebody sends a signal (the supervisor's watchdog, abort of a person) while a lane stands, or
 * nd_hang_run finds that a lane hangs, that lane is made to write the description instead.
 */
#ifndef NODE_CRASH_HANDLER_H
#define NODE_CRASH_HANDLER_H

#include "ftcore/order/section.h"
#include "ftcore/queue/lane.h"
#include "understudy/crash/page.h"

#include <stdbool.h>

/* Before there are threads. `shared`: of all lanes, with their rings; `key`: of the process, to its peer. The
 * page, what lanes share and the key outlive the process's threads. */
void nd_crash_catch(struct nd_crash_page *page, const struct ft_lane_shared *shared, unsigned lanes,
                    const struct ft_datagram_key *key);
/* By a lane's thread; `lane` -1: it is none. All others begin by ft_thread_begin (ftcore/base/thread.h),
 * which does the same from nd_crash_catch on: each has a stack for the handler, so an overflow of its own is
 * reported. */
void nd_crash_thread(int lane);

/*
 * NFs that do not come to an end. A thread of its own looks at each lane ten times a second: a lane hangs
 * when one call of an NF has used half a second of processor time or has slept for three; in a command, and
 * where a chain is made or checked, ten, or thirty. Then the process ends, with a report and a crash notice
 * that name the NF and its packet, and the standby takes over.
 *
 * Time on a processor, and looks, do not pass while a machine stands, a process is stopped, or others have
 * the processors. Where a guest does not learn what its host takes, a processor that stood counts as used: so
 * a call is also seen by four looks after the first. A lane that waits for another lane does not hang; the
 * other lane does. Nor does a lane hang that waits in the kernel for memory or a disk, and sleep counts by
 * the time that the process was given (understudy/base/given.h).
 *
 * It reads marks, turns and waits of lanes, allocates nothing and takes no lock.
 */
struct nd_hang_watch {
    const struct nd_crash_page *page;
    const struct ft_lane_shared *shared;  /* [lanes] */
    const struct ft_published *published; /* [lanes] */
    unsigned lanes;
    _Atomic bool stop;
};

/* The thread: looks until `stop`. Where a lane hangs it does not return. */
void nd_hang_run(const struct nd_hang_watch *watch);

#endif
