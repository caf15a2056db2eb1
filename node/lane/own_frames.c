/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a lane sends frames of the node's own: heartbeats, and announcements of the chain's addresses; and
 * what a heartbeat says (own_frames.h). How frames are sent is in outputs.c.
 */
#include "node/lane/lane.h"
#include "node/lane/own_frames.h"

#include <endian.h>
#include <string.h>

#define STEER_NS 1000000u /* between two announcements while steering */

static const uint8_t everybody[6] = {0x07, 0x75, 0x73, 0x62, 0x65, 0x61};

uint32_t nd_heartbeat_write(uint8_t frame[ND_HEARTBEAT_LEN], const uint8_t own[6],
                            const struct ft_datagram_key *self, const struct ft_datagram *heartbeat)
{
    uint16_t type = htobe16(ND_HEARTBEAT_TYPE);

    memcpy(frame, everybody, 6);
    memcpy(frame + 6, own, 6);
    memcpy(frame + 12, &type, 2);
    return ND_HEARTBEAT_HEAD + (uint32_t)ft_datagram_encode(heartbeat, self, frame + ND_HEARTBEAT_HEAD);
}

int nd_heartbeat_read(const uint8_t *frame, uint32_t len, const struct ft_datagram_key *peer,
                      struct ft_datagram *heartbeat)
{
    size_t there = len - ND_HEARTBEAT_HEAD, said = ft_datagram_length(frame + ND_HEARTBEAT_HEAD, there);
    int error =
        ft_datagram_decode(frame + ND_HEARTBEAT_HEAD, said && said < there ? said : there, peer, heartbeat);

    return error || heartbeat->kind == FT_HEARTBEAT ? error : FT_EMALFORMED;
}

void nd_lane_send_announcements(struct nd_lane *lane)
{
    uint64_t announce = FT_ORDER_GET(lane->words, announce);

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
    struct ft_datagram heartbeat = {.kind = FT_HEARTBEAT, .sent = lane->now};
    const struct nd_ports_told *told = lane->setup.told;
    uint8_t frame[ND_HEARTBEAT_LEN];

    if (lane->index != 0 || lane->now < lane->timers.heartbeat_at || !lane->config->protect.pair)
        return;
    lane->timers.heartbeat_at = lane->now + lane->config->timing.heartbeat_ms * 1000000ull;
    heartbeat.view = atomic_load(lane->setup.view);
    heartbeat.version = (uint32_t)FT_ORDER_GET(lane->words, peer_version);
    for (unsigned i = 0; told && i < NF_PORTS_MAX; i++)
        heartbeat.fault[i] = atomic_load(&told->fault[i]);
    for (unsigned port = 0; port < lane->io->ports; port++) {
        heartbeat.port = port;
        heartbeat.mtu = told ? atomic_load(&told->mtu[port]) : 0;
        uint32_t len = nd_heartbeat_write(frame, lane->io->own[port], &lane->setup.self, &heartbeat);

        nd_lane_send_own(lane, port, frame, len);
    }
}

bool nd_lane_steer(struct nd_lane *lane)
{
    if (!FT_ORDER_GET(lane->words, steer))
        return false;
    if (lane->now >= lane->timers.steer_at) {
        nd_lane_announce(lane, false);
        memset(lane->timers.announce_at, 0, sizeof(lane->timers.announce_at));
        lane->timers.steer_at = lane->now + STEER_NS;
        FT_REPORT_SET(lane->words, steered, true);
    }
    return true;
}
