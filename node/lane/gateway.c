/* SPDX-License-Identifier: Apache-2.0 */
/* Questions to tracked gateways, and their answers; see gateway.h. */
#include "node/lane/gateway.h"
#include "node/lane/lane.h"

#include <endian.h>
#include <string.h>

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
        nd_lane_send_own(lane, g->port, frame, sizeof(frame));
        atomic_store_explicit(&g->asked, lane->now, memory_order_release);
    }
}
