/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digests of a primary's state that somebody asked for: when one is taken, and which record or delta carries
 * it. With one lane it is taken after the burst whose record carries it; with several, in a barrier
 * (quiesce.c).
 */
#include "node/lane/lane.h"

bool nd_lane_digest_wanted(const struct nd_lane *lane)
{
    return atomic_load_explicit(&lane->shared->orders.digest, memory_order_acquire) != lane->seen.digest;
}

bool nd_lane_digest_by_delta(const struct nd_lane *lane)
{
    return lane->config->protect.stores || nd_lane_stream(lane) == ND_STREAM_DELTAS;
}

bool nd_group_owes_digest(const struct nd_group *group)
{
    bool owes = false;

    for (unsigned l = 0; group->lanes > 1 && l < group->lanes; l++)
        owes |= nd_lane_owes_digest(&group->lane[l]);
    return owes;
}

void nd_group_take_digest(struct nd_group *group)
{
    uint64_t asked = 0, digest = ft_region_digest(group->lane[0].region);

    for (unsigned l = 0; l < group->lanes; l++) {
        uint64_t serial = atomic_load_explicit(&group->lane[l].shared->orders.digest, memory_order_acquire);

        asked = serial > asked ? serial : asked;
    }
    group->digest_taken = asked;
    group->digest = digest;
}

bool nd_lane_digest_due(const struct nd_lane *lane)
{
    return lane->group->lanes > 1 && !nd_lane_digest_by_delta(lane) && !nd_lane_owes_digest(lane) &&
           atomic_load_explicit(&lane->shared->orders.digest, memory_order_acquire) >
               lane->group->digest_taken;
}

bool nd_lane_owes_digest(const struct nd_lane *lane)
{
    uint64_t asked = lane->group->lanes > 1
                         ? lane->group->digest_taken
                         : atomic_load_explicit(&lane->shared->orders.digest, memory_order_acquire);

    return asked != lane->seen.digest && !nd_lane_digest_by_delta(lane);
}

void nd_lane_report_digest(struct nd_lane *lane, uint64_t serial, uint64_t burst)
{
    lane->seen.digest = serial;
    atomic_store_explicit(&lane->shared->report.digest_at, burst, memory_order_relaxed);
    atomic_store_explicit(&lane->shared->report.digest_seen, serial, memory_order_release);
}

uint64_t nd_lane_digest_of_record(struct nd_lane *lane, uint64_t burst)
{
    bool alone = lane->group->lanes == 1;

    nd_lane_report_digest(lane,
                          alone ? atomic_load_explicit(&lane->shared->orders.digest, memory_order_acquire)
                                : lane->group->digest_taken,
                          burst);
    return alone ? ft_region_digest(lane->region) : lane->group->digest;
}

void nd_lane_forget_digests(struct nd_group *group)
{
    for (unsigned l = 0; group->lanes > 1 && l < group->lanes; l++)
        group->lane[l].seen.digest = group->digest_taken;
}
