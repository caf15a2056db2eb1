/* SPDX-License-Identifier: Apache-2.0 */
/* The meeting of lanes: a barrier whose last comer works for all. */
#include "node/group.h"

#include <string.h>
#include <time.h>

#define SPINS 2000u /* then the waiting lane naps: there may be fewer cores than lanes */

void nd_group_init(struct nd_group *group, struct nd_lane *lanes, unsigned count)
{
    memset(group, 0, sizeof(*group));
    group->lane = lanes;
    group->lanes = count;
}

/* Takes the caller out of the meeting, unless it has begun. */
static bool leave(const struct nd_group *group, struct nd_meeting *place)
{
    unsigned came = atomic_load_explicit(&place->came, memory_order_acquire);

    while (came != group->lanes && came != 0)
        if (atomic_compare_exchange_weak_explicit(&place->came, &came, came - 1, memory_order_acq_rel,
                                                  memory_order_acquire))
            return true;
    return false;
}

bool nd_group_meet(struct nd_group *group, void (*work)(struct nd_group *group),
                   const _Atomic uint64_t *now_ordered, uint64_t order, const _Atomic bool *stop)
{
    return nd_group_meet_at(group, &group->between, work, now_ordered, order, stop);
}

bool nd_group_meet_at(struct nd_group *group, struct nd_meeting *place, void (*work)(struct nd_group *group),
                      const _Atomic uint64_t *now_ordered, uint64_t order, const _Atomic bool *stop)
{
    uint64_t met = atomic_load_explicit(&place->met, memory_order_acquire);
    struct timespec nap = {0, 5000};

    if (atomic_fetch_add_explicit(&place->came, 1, memory_order_acq_rel) + 1 == group->lanes) {
        work(group);
        atomic_store_explicit(&place->came, 0, memory_order_relaxed);
        atomic_store_explicit(&place->met, met + 1, memory_order_release);
        return true;
    }
    for (unsigned spins = 0; atomic_load_explicit(&place->met, memory_order_acquire) == met; spins++) {
        bool over = atomic_load_explicit(stop, memory_order_relaxed) ||
                    atomic_load_explicit(now_ordered, memory_order_acquire) != order;

        if (over && leave(group, place))
            return false;
        if (spins >= SPINS)
            nanosleep(&nap, NULL);
    }
    return true;
}
