/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handler of fatal signals: tells in the page (page.h) what a thread dies of, and lets it die. It takes
 * some hundred microseconds, allocates nothing, takes no lock, waits for nobody but a lane that hangs, and is
 * ended by the kernel when it takes HANDLER_MS. One thread of a process comes to tell; others that fault
 * meanwhile wait for the end.
 *
 * A signal that somebody sends (the supervisor's watchdog, abort of a person) while a lane stands, or who
 * finds that one hangs (node/crash/hang.c): that lane is made to tell instead.
 */
#ifndef NODE_CRASH_HANDLER_H
#define NODE_CRASH_HANDLER_H

#include "node/crash/page.h"

/* Before there are threads. `shared`: of all lanes, with their rings; `key`: of the process, to its peer. The
 * page, what lanes share and the key outlive the process's threads. */
void nd_crash_catch(struct nd_crash_page *page, const struct ft_lane_shared *shared, unsigned lanes,
                    const struct ft_datagram_key *key);
/* By a lane's thread; `lane` -1: it is none. All others begin by ft_thread_begin (ftcore/base/thread.h),
 * which does the same from nd_crash_catch on: each has a stack for the handler, so an overflow of its own is
 * told. */
void nd_crash_thread(int lane);

/* Ends the process, since the lane hangs: that one tells where, if it comes to it. By another thread. */
_Noreturn void nd_crash_hangs(int lane);

/* The names of struct nd_crash_told.reg. */
extern const char *const nd_crash_registers[ND_CRASH_REGISTERS];

/* The record of a burst that is not ended yet, or of one of the last that were; NULL: it is not in the ring,
 * or not any more. Its inputs and bytes are there, whatever else is. */
const struct ft_record *nd_crash_record(const struct ft_lane_shared *lane, uint64_t burst);

#endif
