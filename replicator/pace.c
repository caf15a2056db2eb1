/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How often this thread speaks and looks, and whether it compresses. Two questions are asked all the time,
 * and each is answered by measuring, with a memory for answers that did not last:
 *
 * Has this thread a processor to itself? Then it turns without pause while there is work, and each record
 * leaves at once. Where it has to wait for its processor, each of its turns takes the time of others, most
 * likely of those whom its message wakes. Then it lets others run between turns, and a small message leaves
 * when the one before has been acknowledged. So messages come as fast as the two of them can be had on their
 * processors, and each carries what came together meanwhile. An acknowledgement that takes longer than
 * RP_PACE_NS is not waited for.
 *
 * May its processor sleep? To wake one takes longer than all that is to be done for a message. So where the
 * standby stores, and while entries come densely, both sides stay awake and only give way (sched_yield) to
 * whoever wants to run; not with real-time priority, which gives way to nobody. A standby that replays needs
 * its processor for more than answering, and each message takes it away: there the sender sleeps between
 * looks, and a few more packets share a message.
 *
 * Is the link the limit? Only then compressing pays: where the connection takes all that is offered, bytes
 * are free. Where it takes less for a while, though the peer reads, it is.
 */
#include "replicator/parts.h"
#include "replicator/processor.h"

#include <time.h>

#define LOOK_NS 2000000ull /* between looks at the processor, at the least */
#define CROWDED 16u        /* waiting for a 16th of the time */
#define WAKING_NS                                                                                            \
    10000u /* until a thread runs that nobody keeps from it; a processor that slept takes longest */
#define STAY_NS  200000u     /* after an entry, and between two that are dense */
#define STALL_NS 10000000ull /* the connection took less than was offered; Linux counts that in ticks */
#ifndef RP_HOLD_NS
#define RP_HOLD_NS 1000000000ull /* the simulation's runs are shorter */
#endif
#define HOLD_MAX (64u * RP_HOLD_NS)

/* An answer stands for a second; when it was right again soon after it was dropped, twice as long. */
static void adopt(struct rp_answer *a, uint64_t now)
{
    if (!a->yes) {
        bool again = a->count && now - a->dropped < a->hold;

        a->hold = !again ? RP_HOLD_NS : a->hold < HOLD_MAX ? a->hold * 2 : HOLD_MAX;
        a->yes = true;
        a->count++;
    }
    a->seen = now;
}

static void reconsider(struct rp_answer *a, uint64_t now)
{
    if (a->yes && now - a->seen >= a->hold) {
        a->yes = false;
        a->dropped = now;
    }
}

/* ---- the processor ----------------------------------------------------------------------------- */

void rp_pace_begin(struct rp_replicator *rp)
{
    rp->pace.yields = rp_processor_yields();
    rp->pace.looked = rp->now;
    rp->pace.waited = rp_processor_waited(rp->now, rp->pace.slept);
}

/*
 * What it slept beyond that, and beyond what waking takes in any case, is waiting. When it was woken nobody
 * knows since when it could have run.
 */
static void count_sleep(struct rp_replicator *rp, uint64_t from, uint64_t wanted_ns)
{
    uint64_t slept = rp_monotonic() - from;

    rp->pace.slept += slept < wanted_ns + WAKING_NS ? slept : wanted_ns + WAKING_NS;
}

void rp_pace_sleeps(struct rp_replicator *rp, uint64_t most_ns)
{
    uint64_t from = rp_monotonic();

    rp_link_wait(rp->link, most_ns);
    count_sleep(rp, from, most_ns);
}

void rp_pace_naps(struct rp_replicator *rp, uint64_t ns)
{
    struct timespec still = {0, (long)ns};
    uint64_t from = rp_monotonic();

    nanosleep(&still, NULL);
    count_sleep(rp, from, ns);
}

/* Whether others want the processor that this thread is on. */
bool rp_pace_crowded(struct rp_replicator *rp)
{
    struct rp_pace *p = &rp->pace;
    uint64_t passed = rp->now - p->looked;
    int64_t waited;

    if (passed < LOOK_NS)
        return p->crowded.yes;
    waited = rp_processor_waited(rp->now, p->slept);
    reconsider(&p->crowded, rp->now);
    if (waited - p->waited > (int64_t)(passed / CROWDED))
        adopt(&p->crowded, rp->now);
    p->waited = waited;
    p->looked = rp->now;
    return p->crowded.yes;
}

void rp_pace_moved(struct rp_replicator *rp)
{
    rp->pace.gap = rp->now - rp->pace.moved;
    rp->pace.moved = rp->now;
}

bool rp_pace_stays(const struct rp_replicator *rp)
{
    return rp->pace.yields && rp->pace.gap < STAY_NS &&
           rp->now - rp->pace.moved < STAY_NS;
}

static bool all_acknowledged(const struct rp_replicator *rp)
{
    for (unsigned l = 0; l < rp->lanes; l++)
        if (rp->sender.burst[l] > rp->core.peer_closed[l])
            return false;
    return true;
}

/* Nothing is held back while somebody waits for more than outputs (a base, a handover). */
static bool waits(const struct rp_replicator *rp)
{
    const struct ft_core *core = &rp->core;

    return rp->pace.crowded.yes && core->state == FT_PROTECTED && !core->hand && !core->resync &&
           rp->now - rp->pace.sent < RP_PACE_NS && !all_acknowledged(rp);
}

/* Nor what makes a message of full size, when it is looked at; a lane cannot wake this thread. */
bool rp_pace_holds(const struct rp_replicator *rp, uint64_t there)
{
    return there < RP_BATCH && waits(rp);
}

uint64_t rp_pace_wait(const struct rp_replicator *rp, uint64_t patience_ns)
{
    return rp->sender.on && waits(rp) ? RP_PACE_NS - (rp->now - rp->pace.sent) : patience_ns;
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

bool rp_pace_packs(struct rp_replicator *rp)
{
    struct rp_pace *p = &rp->pace;

    if (rp->config.compress != RP_COMPRESS_AUTO)
        return rp->config.compress == RP_COMPRESS_ALWAYS;
    reconsider(&p->packing, rp->now);
    if (!rp_link_stalled(rp->link)) {
        p->stalled = 0;
    } else if (!p->stalled) {
        p->stalled = rp->now;
        peer_reads(rp, &p->times);
    } else if (rp->now - p->stalled >= STALL_NS) {
        p->stalled = rp->now;
        if (peer_reads(rp, &p->times))
            adopt(&p->packing, rp->now);
    }
    return p->packing.yes;
}
