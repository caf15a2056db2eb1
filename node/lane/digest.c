/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digests of a primary's state that somebody asked for: when one is taken, and which record or delta carries
 * it. With one lane it is taken after the burst whose record carries it; with several, in a barrier
 * (quiesce.c).
 */
#include "node/lane/lane.h"

/* Serial number of the digest that the replicator asks for. */
static uint64_t digest_asked(const struct nd_lane *lane)
{
    return FT_ORDERED(lane->shared, digest);
}

/* Serial number of the digest that records are to carry: of several lanes, the one taken last. */
static uint64_t digest_to_carry(const struct nd_lane *lane)
{
    return lane->group->lanes > 1 ? lane->group->digest_taken : digest_asked(lane);
}

bool nd_lane_digest_wanted(const struct nd_lane *lane)
{
    return digest_asked(lane) != lane->seen.digest;
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
    group->digest = ft_region_digest(group->lane[0].region);
    group->digest_taken = 0;
    for (unsigned l = 0; l < group->lanes; l++) {
        uint64_t asked = digest_asked(&group->lane[l]);

        group->digest_taken = asked > group->digest_taken ? asked : group->digest_taken;
    }
}

bool nd_lane_digest_due(const struct nd_lane *lane)
{
    return lane->group->lanes > 1 && !nd_lane_digest_by_delta(lane) && !nd_lane_owes_digest(lane) &&
           digest_asked(lane) > lane->group->digest_taken;
}

bool nd_lane_owes_digest(const struct nd_lane *lane)
{
    return digest_to_carry(lane) != lane->seen.digest && !nd_lane_digest_by_delta(lane);
}

void nd_lane_report_digest(struct nd_lane *lane, uint64_t serial, uint64_t burst)
{
    lane->seen.digest = serial;
    FT_REPORT(lane->shared, digest_at, burst);
    FT_REPORT(lane->shared, digest_seen, serial);
}

uint64_t nd_lane_digest_of_record(struct nd_lane *lane, uint64_t burst)
{
    nd_lane_report_digest(lane, digest_to_carry(lane), burst);
    return lane->group->lanes == 1 ? ft_region_digest(lane->region) : lane->group->digest;
}

void nd_lane_forget_digests(struct nd_group *group)
{
    for (unsigned l = 0; group->lanes > 1 && l < group->lanes; l++)
        group->lane[l].seen.digest = group->digest_taken;
}
