/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a lane sends frames of the node's own: heartbeats, and announcements of the chain's addresses. How
 * they are sent is in outputs.c; what a heartbeat says in beat.c.
 */
#include "node/lane/lane.h"
#include "node/lane/beat.h"

#include <string.h>

#define STEER_NS 1000000u /* between two announcements while steering */

void nd_lane_send_announcements(struct nd_lane *lane)
{
    uint64_t announce = FT_ORDERED(lane->shared, announce);

    if (announce != lane->seen.announce) {
        lane->seen.announce = announce;
        nd_lane_announce(lane, true);
    }
    /* Again a little later: a switch or a neighbour may have missed it. */
    for (unsigned i = 0; i < 3; i++)
        if (lane->timers.announce_at[i] && lane->now >= lane->timers.announce_at[i]) {
            lane->timers.announce_at[i] = 0;
            nd_lane_announce(lane, false);
        }
}

void nd_lane_send_heartbeats(struct nd_lane *lane)
{
    uint8_t frame[ND_BEAT_LEN];

    if (lane->index != 0 || lane->now < lane->timers.beat_at || !lane->config->protect.pair)
        return;
    lane->timers.beat_at = lane->now + lane->config->timing.heartbeat_ms * 1000000ull;
    for (unsigned port = 0; port < lane->io->ports; port++) {
        nd_beat_write(frame, lane->io->own[port], (uint32_t)(lane->setup.incarnation >> 32),
                      atomic_load(lane->setup.view));
        nd_lane_send_own(lane, port, frame, sizeof(frame));
    }
}

bool nd_lane_steer(struct nd_lane *lane)
{
    if (!FT_ORDERED(lane->shared, steer))
        return false;
    if (lane->now >= lane->timers.steer_at) {
        nd_lane_announce(lane, false);
        memset(lane->timers.announce_at, 0, sizeof(lane->timers.announce_at));
        lane->timers.steer_at = lane->now + STEER_NS;
        FT_REPORT(lane->shared, steered, true);
    }
    return true;
}
