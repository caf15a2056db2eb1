/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When this thread sends, whether it sleeps between its turns, and whether it compresses.
 *
 * A small message leaves when the peer has received the one before, as Nagle's algorithm has it (RFC 896):
 * the peer's messages echo the newest `sent` that it has heard. A message of full size leaves at once. So
 * messages come as fast as both sides have a processor, and each carries what came together meanwhile.
 *
 * With real-time priority nobody else runs on this thread's processor before it sleeps: it sleeps for REST_NS
 * after each turn with work, and else until the peer says something. Without that priority it stays awake
 * while entries come densely, since to wake a processor takes longer than all that is to be done for a
 * message; after each turn it gives way (sched_yield) to whoever wants its processor, as a standby's lane
 * does (lane/standby.c).
 *
 * Compressing pays only where the link is the limit: where the connection takes less than it is offered for a
 * while, though the peer reads. That is measured, with a memory for answers that did not last.
 */
#include "replicator/parts.h"

#include <sched.h>

#define ACK_WAIT_NS 200000u     /* most that a small message waits for the echo of the last */
#define AWAKE_NS    200000u     /* after an entry, and between two that are dense */
#define STALL_NS    10000000ull /* the connection took less than was offered; Linux counts that in ticks */
#ifndef RP_HOLD_NS
#define RP_HOLD_NS 1000000000ull /* the simulation's runs are shorter */
#endif
#define HOLD_MAX (64u * RP_HOLD_NS)

/* An answer stands for a second; when it was right again soon after it was dropped, twice as long. */
static void adopt_answer(struct rp_answer *a, uint64_t now)
{
    if (!a->yes) {
        bool again = a->count && now - a->dropped < a->hold;

        a->hold = !again ? RP_HOLD_NS : a->hold < HOLD_MAX ? a->hold * 2 : HOLD_MAX;
        a->yes = true;
        a->count++;
    }
    a->seen = now;
}

static void reconsider_answer(struct rp_answer *a, uint64_t now)
{
    if (a->yes && now - a->seen >= a->hold) {
        a->yes = false;
        a->dropped = now;
    }
}

/* ---- sleep ------------------------------------------------------------------------------------- */

void rp_schedule_begin(struct rp_replicator *rp)
{
    int policy = sched_getscheduler(0); /* of the calling thread */

    rp->schedule.yields = policy != SCHED_FIFO && policy != SCHED_RR;
}

void rp_schedule_moved(struct rp_replicator *rp)
{
    rp->schedule.gap = rp->now - rp->schedule.moved;
    rp->schedule.moved = rp->now;
}

bool rp_schedule_awake(const struct rp_replicator *rp)
{
    return rp->schedule.yields && rp->schedule.gap < AWAKE_NS && rp->now - rp->schedule.moved < AWAKE_NS;
}

/* ---- messages ---------------------------------------------------------------------------------- */

bool rp_schedule_holds(const struct rp_replicator *rp, uint64_t there)
{
    const struct ft_core *core = &rp->core;

    return there < RP_BATCH && core->state == FT_PROTECTED && !core->hand && !core->resync &&
           core->peer.echoed < rp->schedule.sent && rp->now < rp->schedule.sent + ACK_WAIT_NS;
}

/* ---- the link ---------------------------------------------------------------------------------- */

/* While the connection takes less than it is offered: is that since the peer does not read? */
static bool peer_reads(struct rp_replicator *rp, struct rp_link_times *since)
{
    struct rp_link_times t;

    if (!rp_link_times(rp->link, &t))
        return true; /* the system does not say */
    bool reads = (t.full_us - since->full_us) * 2 < t.busy_us - since->busy_us;

    *since = t;
    return reads;
}

bool rp_schedule_compresses(struct rp_replicator *rp)
{
    struct rp_schedule *p = &rp->schedule;

    if (rp->config.compress != RP_COMPRESS_AUTO)
        return rp->config.compress == RP_COMPRESS_ALWAYS;
    reconsider_answer(&p->compressing, rp->now);
    if (!rp_link_stalled(rp->link)) {
        p->stalled = 0;
    } else if (!p->stalled) {
        p->stalled = rp->now;
        peer_reads(rp, &p->times);
    } else if (rp->now - p->stalled >= STALL_NS) {
        p->stalled = rp->now;
        if (peer_reads(rp, &p->times))
            adopt_answer(&p->compressing, rp->now);
    }
    return p->compressing.yes;
}
