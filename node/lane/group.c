/* SPDX-License-Identifier: Apache-2.0 */
/* The barrier of lanes: a barrier whose last comer works for all. */
#include "node/lane/group.h"
#include "ftcore/order/waits.h"

#include <string.h>
#include <time.h>

#define SPINS 2000u /* then the waiting lane sleeps: there may be fewer cores than lanes */

void nd_group_init(struct nd_group *group, struct nd_lane *lanes, unsigned count)
{
    memset(group, 0, sizeof(*group));
    group->lane = lanes;
    group->lanes = count;
}

void nd_group_waits_over(struct nd_group *group)
{
    for (unsigned l = 0; l < group->lanes; l++)
        ft_wait_over(&group->published[l]);
}

#define COUNT 0xffu
#define TIMES 8

/* Takes the caller out of barrier number `met`, unless it has begun. */
static bool leave(const struct nd_group *group, struct nd_barrier *place, uint64_t number)
{
    uint64_t now = atomic_load_explicit(&place->word, memory_order_acquire);

    while (now >> TIMES == number && (now & COUNT) != group->lanes)
        if (atomic_compare_exchange_weak_explicit(&place->word, &now, now - 1, memory_order_acq_rel,
                                                  memory_order_acquire))
            return true;
    return false;
}

bool nd_group_barrier(struct nd_group *group, void (*work)(struct nd_group *group),
                      const _Atomic uint64_t *now_ordered, uint64_t order, const _Atomic bool *stop)
{
    return nd_group_barrier_at(group, &group->between, work, now_ordered, order, stop);
}

bool nd_group_barrier_at(struct nd_group *group, struct nd_barrier *place,
                         void (*work)(struct nd_group *group), const _Atomic uint64_t *now_ordered,
                         uint64_t order, const _Atomic bool *stop)
{
    uint64_t before = atomic_fetch_add_explicit(&place->word, 1, memory_order_acq_rel),
             number = before >> TIMES;
    struct timespec pause = {0, 5000};

    if ((before & COUNT) + 1 == group->lanes) {
        work(group);
        nd_group_waits_over(group);
        atomic_store_explicit(&place->word, (number + 1) << TIMES, memory_order_release);
        return true;
    }
    for (unsigned spins = 0; atomic_load_explicit(&place->word, memory_order_acquire) >> TIMES == number;
         spins++) {
        bool over = atomic_load_explicit(stop, memory_order_relaxed) ||
                    atomic_load_explicit(now_ordered, memory_order_acquire) != order ||
                    atomic_load_explicit(&group->aborted, memory_order_acquire) >= order;

        if (over && leave(group, place, number))
            return false;
        if (spins >= SPINS)
            nanosleep(&pause, NULL);
    }
    return true;
}
