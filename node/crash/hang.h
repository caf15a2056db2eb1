/* SPDX-License-Identifier: Apache-2.0 */
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
#ifndef NODE_CRASH_HANG_H
#define NODE_CRASH_HANG_H

#include "ftcore/order/section.h"
#include "ftcore/queue/lane.h"
#include "node/crash/page.h"

#include <stdbool.h>
#include <stdint.h>

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
