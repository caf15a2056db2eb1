/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The handler of fatal signals: tells in the page (page.h) what a thread dies of, and lets it die. It takes
 * some hundred microseconds, allocates nothing, takes no lock, waits for nobody but a lane that hangs, and is
 * ended by the kernel when it takes HANDLER_MS. One thread of a process comes to tell; others that fault
 * meanwhile wait for the end.
 *
 * A signal that somebody sends (the supervisor's watchdog, abort of a person) while a lane stands, or who
 * finds that one hangs (nd_hang_run): that lane is made to tell instead.
 */
#ifndef NODE_CRASH_HANDLER_H
#define NODE_CRASH_HANDLER_H

#include "ftcore/order/section.h"
#include "ftcore/queue/lane.h"
#include "node/crash/page.h"

#include <stdbool.h>
#include <stdint.h>

/* Before there are threads. `shared`: of all lanes, with their rings; `key`: of the process, to its peer. The
 * page, what lanes share and the key outlive the process's threads. */
void nd_crash_catch(struct nd_crash_page *page, const struct ft_lane_shared *shared, unsigned lanes,
                    const struct ft_datagram_key *key);
/* By a lane's thread; `lane` -1: it is none. All others begin by ft_thread_begin (ftcore/base/thread.h),
 * which does the same from nd_crash_catch on: each has a stack for the handler, so an overflow of its own is
 * told. */
void nd_crash_thread(int lane);

/* The names of struct nd_crash_told.reg. */
extern const char *const nd_crash_registers[ND_CRASH_REGISTERS];

/* The record of a burst that is not ended yet, or of one of the last that were; NULL: it is not in the ring,
 * or not any more. Its inputs and bytes are there, whatever else is. */
const struct ft_record *nd_crash_record(const struct ft_lane_shared *lane, uint64_t burst);

/* Fills frames, words and found of `told`, by its registers; in the handler. `mark` NULL: it is no lane. What
 * it follows may lead to memory that there is not: then it is ended by the fault, and what it has told
 * stands. */
void nd_crash_walk(struct nd_crash_told *told, const struct nf_mark *mark);

/*
 * NFs that do not come to an end. A thread of its own looks at each lane ten times a second: a lane hangs
 * when one call of an NF has used half a second of processor time or has slept for three; in a command, and
 * where a chain is made or checked, ten, or thirty. Then the process ends, with a report and a crash notice
 * that name the NF and its packet, and the standby takes over.
 *
 * Time on a processor, and looks, do not pass while a machine stands, a process is stopped, or others have
 * the processors. Where a guest is not told what its host takes, a processor that stood counts as used: so a
 * call is also seen by four looks after the first. A lane that waits for another lane does not hang; that one
 * does.
 *
 * Owned by that thread: struct nd_hang. Read by it: marks, turns and waits of lanes. It allocates nothing and
 * takes no lock.
 */
#define ND_HANG_LOOK_MS 100u

/* What is seen of a lane. */
struct nd_hang_look {
    uint32_t doing, nf;   /* as its mark says; NF_DOING_NOTHING: it is in no call */
    uint64_t burst, turn; /* the call is the same one while all four are */
    uint64_t used;        /* processor time of its thread, ns */
    bool waits;           /* for another lane */
    bool sleeps;          /* it waits for something that is no processor */
};

/* What is known of a lane from look to look; all zero at first. */
struct nd_hang {
    struct nd_hang_look last;
    uint64_t from;  /* `used` when the call was first seen, or last waited */
    uint32_t slept; /* looks that found the call asleep, with or without work in between */
    uint32_t looks; /* that saw the call, the first one included */
};

/* True: the lane hangs. */
bool nd_hang_judge(struct nd_hang *hang, const struct nd_hang_look *look);

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
