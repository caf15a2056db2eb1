/* SPDX-License-Identifier: Apache-2.0 */
/* The barrier of lanes; see group.h. */
#include "node/lane/lane.h"
#include "ftcore/order/section.h"

#include <string.h>
#include <time.h>

#define SPINS 2000u /* then the waiting lane sleeps: there may be fewer cores than lanes */

void nd_group_init(struct nd_group *group, struct nd_lane *lanes, unsigned count)
{
    memset(group, 0, sizeof(*group));
    group->lane = lanes;
    group->lanes = count;
}

bool nd_group_any(const struct nd_group *group, bool (*is)(const struct nd_lane *lane))
{
    bool any = false;

    for (unsigned l = 0; l < group->lanes; l++)
        any |= is(&group->lane[l]);
    return any;
}

#define COUNT 0xffu
#define TIMES 8

uint64_t nd_barrier_join(struct nd_group *group, struct nd_barrier *place,
                         void (*work)(struct nd_group *group))
{
    uint64_t before = atomic_fetch_add_explicit(&place->word, 1, memory_order_acq_rel);
    uint64_t number = before >> TIMES;

    if ((before & COUNT) + 1 == group->lanes) {
        if (work)
            work(group);
        /* Before they are let go: none waits for another any more. */
        for (unsigned l = 0; l < group->lanes; l++)
            ft_wait_over(&group->published[l]);
        atomic_store_explicit(&place->word, (number + 1) << TIMES, memory_order_release);
    }
    return number;
}

bool nd_barrier_over(const struct nd_barrier *place, uint64_t number)
{
    return atomic_load_explicit(&place->word, memory_order_acquire) >> TIMES != number;
}

bool nd_barrier_leave(const struct nd_group *group, struct nd_barrier *place, uint64_t number)
{
    uint64_t now = atomic_load_explicit(&place->word, memory_order_acquire);

    while (now >> TIMES == number && (now & COUNT) != group->lanes)
        if (atomic_compare_exchange_weak_explicit(&place->word, &now, now - 1, memory_order_acq_rel,
                                                  memory_order_acquire))
            return true;
    return false;
}

void nd_group_pause(unsigned spins)
{
    struct timespec pause = {0, 5000};

    if (spins >= SPINS)
        nanosleep(&pause, NULL);
}

/* Nobody in the barrier may wait for the others any more. */
static bool is_given_up(const struct nd_lane *lane)
{
    return nd_lane_is_to_end(lane) || nd_lane_is_taken_back(lane) || nd_lane_replay_aborted(lane);
}

/* The last one to come is at work, on what `needed` looks at. */
static bool all_are_there(const struct nd_lane *lane, const struct nd_barrier *place)
{
    return (atomic_load_explicit(&place->word, memory_order_acquire) & COUNT) == lane->group->lanes;
}

/* True: all were there. False: this lane left before, since it is given up or `needed` (NULL: always). */
static bool wait_at(struct nd_lane *lane, struct nd_barrier *place, void (*work)(struct nd_group *group),
                    bool (*needed)(const struct nd_lane *lane))
{
    uint64_t number = nd_barrier_join(lane->group, place, work);

    for (unsigned spins = 0; !nd_barrier_over(place, number); spins++) {
        if ((is_given_up(lane) || (needed && !all_are_there(lane, place) && !needed(lane))) &&
            nd_barrier_leave(lane->group, place, number))
            return false;
        nd_group_pause(spins);
    }
    return true;
}

bool nd_group_barrier(struct nd_lane *lane, void (*work)(struct nd_group *group),
                      bool (*needed)(const struct nd_lane *lane))
{
    return wait_at(lane, &lane->group->between, work, needed);
}

bool nd_group_barrier_at(struct nd_lane *lane, struct nd_barrier *place, void (*work)(struct nd_group *group))
{
    return wait_at(lane, place, work, NULL);
}
