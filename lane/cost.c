/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a primary's lane waits for its standby: how long no burst could begin because of it, and how long
 * outputs that could leave but for its acknowledgement were older than slow_ms. The protocol core judges by
 * it (ftcore/protocol/slow.c).
 *
 * It takes no clock of its own: what a turn found counts until the next one begins. That is not more than the
 * lane was to sleep in between and RUNS_NS: a lane that did not get its processor waited for nobody else. One
 * output at a time is followed, from its burst to its acknowledgement; the next one is the newest then. So
 * where acknowledgements are late all the time, a time in which the present output is young counts by the one
 * before.
 */
#include "lane/parts.h"

#define RUNS_NS 1000000u

/* Nothing that is held waits for an acknowledgement, or for a lease; perhaps for a port. */
static bool is_answered(const struct nd_lane *lane, uint64_t burst, uint64_t stable, uint64_t lease)
{
    return ft_hold_count(&lane->hold) == 0 || (burst <= stable && lane->now < lease);
}

static void follow_output(struct nd_lane *lane, uint64_t stable, uint64_t lease)
{
    struct nd_cost *c = &lane->cost;
    uint64_t newest = nf_chain_state(lane->chain)->burst;

    if (c->burst && is_answered(lane, c->burst, stable, lease)) {
        ft_histogram_add(&lane->shared->count.output_wait, c->age);
        c->late = c->age > lane->protect->slow_ms * 1000000ull;
        c->burst = 0;
    }
    if (!c->burst && !is_answered(lane, newest, stable, lease)) {
        c->burst = newest;
        c->age = 0;
    }
}

void nd_cost_turn(struct nd_lane *lane, uint64_t stable)
{
    struct nd_cost *c = &lane->cost;
    uint64_t lease = FT_ORDER_GET(lane->shared, lease_until), passed = lane->now - c->at;
    uint64_t most = lane->turn.slept + RUNS_NS;

    if (lease == FT_ALL) { /* nobody waits for a standby */
        c->at = c->burst = 0;
        return;
    }
    passed = passed < most ? passed : most;
    if (c->at) {
        FT_COUNTER_ADD(lane->shared, beside_ns, passed);
        if (c->burst)
            c->age += passed;
        if (c->waits == FT_WAIT_NONE && c->burst && (c->late || c->age > lane->protect->slow_ms * 1000000ull))
            c->waits = FT_WAIT_OUTPUT;
        if (ft_unlikely(c->waits != FT_WAIT_NONE))
            FT_COUNTER_ADD(lane->shared, waited_ns[c->waits], passed);
    }
    c->at = lane->now;
    c->waits = lane->turn.waits;
    follow_output(lane, stable, lease);
}
