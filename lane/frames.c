/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames of the node's own (frames.h): heartbeats, questions to tracked gateways, and claims of the chain's
 * addresses; their contents, and how they are sent. The turn (turn.c) and orders (lane.c) decide when
 * addresses are claimed; inputs.c takes such frames in.
 */
#include "lane/frames.h"
#include "lane/parts.h"

#include <endian.h>
#include <string.h>

#define HEARD_NS 1000000000ull /* a peer's port that was heard within it is sent heartbeats alone */

/* ---- their contents ------------------------------------------------------------------------------ */

static const uint8_t everybody[6] = {0x07, 0x75, 0x73, 0x62, 0x65, 0x61};

uint32_t nd_heartbeat_write(uint8_t frame[ND_HEARTBEAT_LEN], const uint8_t to[6], const uint8_t own[6],
                            const struct ft_datagram_key *self, const struct ft_datagram *heartbeat)
{
    uint16_t type = htobe16(ND_HEARTBEAT_TYPE);

    memcpy(frame, to ? to : everybody, 6);
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

/* Behind the Ethernet header: hardware Ethernet, protocol IPv4, lengths 6 and 4, and the operation. */
static const uint8_t arp_head[7] = {0, 1, 8, 0, 6, 4, 0};
#define ASKS    1
#define ANSWERS 2

void nd_gateway_write(uint8_t frame[ND_ARP_LEN], const uint8_t own[6], uint32_t address)
{
    uint16_t type = htobe16(ND_ARP_TYPE);

    memset(frame, 0, ND_ARP_LEN);
    memset(frame, 0xff, 6);
    memcpy(frame + 6, own, 6);
    memcpy(frame + 12, &type, 2);
    memcpy(frame + 14, arp_head, sizeof(arp_head));
    frame[21] = ASKS;
    memcpy(frame + 22, own, 6);
    memcpy(frame + 38, &address, 4);
}

bool nd_gateway_read(const uint8_t *frame, uint32_t len, const uint8_t own[6], uint32_t *address)
{
    static const uint8_t nobody[4];

    if (len < ND_ARP_LEN || memcmp(frame, own, 6) != 0 ||
        memcmp(frame + 14, arp_head, sizeof(arp_head)) != 0 || frame[21] != ANSWERS ||
        memcmp(frame + 32, own, 6) != 0 || memcmp(frame + 38, nobody, 4) != 0)
        return false;
    memcpy(address, frame + 28, 4);
    return true;
}

/* ---- sending ------------------------------------------------------------------------------------- */

void *nd_lane_make_packet(struct nd_lane *lane, const void *frame, uint32_t len)
{
    void *packet = lane->io->make(lane->io->ctx, lane->index, frame, len);

    if (!packet)
        FT_COUNTER_ADD(lane->shared, no_buffer, 1);
    return packet;
}

static void send_own(struct nd_lane *lane, unsigned port, const void *frame, uint32_t len)
{
    struct ft_held own = {.packet = nd_lane_make_packet(lane, frame, len), .port = (uint16_t)port};

    if (own.packet && lane->io->send(lane->io->ctx, lane->index, port, &own, 1) == 0)
        lane->io->drop(lane->io->ctx, own.packet);
}

void nd_lane_announce(struct nd_lane *lane, bool again)
{
    static const uint64_t later[ND_ANNOUNCE_AGAIN] = {10000000, 100000000, 1000000000};
    uint8_t frame[NF_ANNOUNCEMENT_MAX], port;
    uint32_t len;

    if (!lane->config->l3 || lane->index != 0)
        return;
    for (unsigned i = 0; (len = nf_l3_announce(lane->config->l3, i, frame, &port)) != 0; i++)
        send_own(lane, port, frame, len);
    if (!again)
        return;
    for (unsigned i = 0; i < ND_ANNOUNCE_AGAIN; i++)
        lane->timers.announce_at[i] = lane->now + later[i];
    lane->timers.announce_left = ND_ANNOUNCE_AGAIN;
}

/*
 * While it is calm a live lane answers each heartbeat of the standby's as it comes, and sends one of its own
 * only when half a period more has passed without: so each of the two nodes is woken once for a period.
 */
uint64_t nd_lane_heartbeat_due(const struct nd_lane *lane)
{
    uint64_t period = lane->setup.heartbeat_ms * 1000000ull, sent = lane->timers.heartbeat_sent;

    if (!nd_lane_is_live(lane) || !FT_ORDER_GET(lane->shared, calm))
        return sent + period;
    return sent + period / 2 + (FT_REPORT_GET(lane->shared, heartbeat_ns) > sent + period / 2 ? 0 : period);
}

/* Where the peer's port of that number is: where its heartbeats come from. NULL: it has not been heard for a
 * while, or is another process by now. Many nodes may be in one network, and each that hears a heartbeat
 * wakes. */
static const uint8_t *peer_port(const struct nd_lane *lane, unsigned port)
{
    const struct nd_port_heard *heard = &lane->heard[port][0];
    uint64_t from = atomic_load(&heard->from), came = atomic_load(&heard->came);

    return from && from == FT_ORDER_GET(lane->shared, peer_incarnation) && lane->now < came + HEARD_NS
               ? lane->peer_mac[port]
               : NULL;
}

/* A node that has met no peer, as a spare, sends none: who is to believe one has its sender's hello. */
void nd_lane_send_heartbeats(struct nd_lane *lane)
{
    struct ft_datagram heartbeat = {.kind = FT_HEARTBEAT, .sent = lane->now};
    const struct nd_ports_told *told = lane->setup.told;
    uint8_t frame[ND_HEARTBEAT_LEN];

    /* None is due sooner than half a period after the last. */
    if (lane->index != 0 || lane->now - lane->timers.heartbeat_sent < lane->setup.heartbeat_ms * 500000ull ||
        !lane->protect->pair || lane->now < nd_lane_heartbeat_due(lane))
        return;
    lane->timers.heartbeat_sent = lane->now;
    if (!FT_ORDER_GET(lane->shared, peer_incarnation))
        return;
    heartbeat.view = atomic_load(lane->setup.view);
    heartbeat.version = (uint32_t)FT_ORDER_GET(lane->shared, peer_version);
    for (unsigned i = 0; told && i < NF_PORTS_MAX; i++)
        heartbeat.fault[i] = atomic_load(&told->fault[i]);
    for (unsigned port = 0; port < lane->io->ports; port++) {
        heartbeat.port = port;
        heartbeat.mtu = told ? atomic_load(&told->mtu[port]) : 0;
        uint32_t len = nd_heartbeat_write(frame, peer_port(lane, port), lane->io->own[port],
                                          &lane->setup.self, &heartbeat);

        send_own(lane, port, frame, len);
    }
}

void nd_lane_ask_gateways(struct nd_lane *lane)
{
    struct nd_gateways *gateways = lane->setup.gateways;
    uint8_t frame[ND_ARP_LEN];

    if (!gateways || lane->index != 0)
        return;
    for (struct nd_gateway *g = gateways->of; g < gateways->of + gateways->count; g++) {
        uint64_t asked = atomic_load_explicit(&g->asked, memory_order_relaxed);

        if (asked && lane->now < asked + g->every_ns)
            continue;
        nd_gateway_write(frame, lane->io->own[g->port], g->address);
        send_own(lane, g->port, frame, sizeof(frame));
        atomic_store_explicit(&g->asked, lane->now, memory_order_release);
    }
}
