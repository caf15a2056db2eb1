/* SPDX-License-Identifier: Apache-2.0 */
/* Dealing frames out to lanes; see ports.h. */
#include "node/ports/ports.h"

#include <rte_jhash.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POLL          32u  /* frames a turn */
#define ADVERTISEMENT 136u /* of a neighbour (RFC 4861, 4.4) */

void nd_deal_close(struct nd_deal *deal)
{
    for (unsigned d = 0; d < NF_PORTS_MAX; d++) {
        free(deal->device[d].datagrams);
        for (unsigned l = 0; l < FT_LANES_MAX; l++)
            rte_ring_free(deal->device[d].ring[l]);
    }
    memset(deal->device, 0, sizeof(deal->device));
}

int nd_deal_open(struct nd_deal *deal, unsigned number, struct ft_fault *fault)
{
    struct nd_device *device = &deal->device[number];

    rte_spinlock_init(&device->receiving);
    rte_spinlock_init(&device->sending);
    device->datagrams = calloc(deal->lanes, sizeof(*device->datagrams));
    if (!device->datagrams)
        return ft_fail(fault, FT_ENOMEM, "no memory for the datagrams of %u lanes", deal->lanes);
    for (unsigned l = 0; l < deal->lanes; l++) {
        char name[32];

        snprintf(name, sizeof(name), "deal_%u_%u", number, l);
        device->ring[l] = rte_ring_create(name, ND_DEAL_RING, SOCKET_ID_ANY,
                                          (device->scaled ? 0 : RING_F_SP_ENQ) | RING_F_SC_DEQ);
        if (!device->ring[l])
            return ft_fail(fault, FT_ENOMEM, "no memory for the rings of %u lanes", deal->lanes);
    }
    return 0;
}

/* ---- receiving --------------------------------------------------------------------------------- */

/* Of ARP; or of IPv6 without extension headers, a neighbour advertisement. */
static bool is_neighbours_answer(const uint8_t *frame, uint32_t len)
{
    if (len >= 42 && frame[12] == 0x08 && frame[13] == 0x06)
        return frame[20] == 0 && frame[21] == 2;
    return len >= 78 && frame[12] == 0x86 && frame[13] == 0xdd && frame[20] == NF_PROTO_ICMPV6 &&
           frame[54] == ADVERTISEMENT;
}

/* Only a live lane's chain may be asked who owns a packet: a standby's region is replayed, or written. */
static bool may_ask(const struct nd_deal *deal, unsigned poller)
{
    return deal->lane && nd_lane_is_live(&deal->lane[poller]);
}

/* What fragments of a datagram have in common; nobody else's, most often. */
static uint64_t hash_datagram(const struct nf_packet *p)
{
    uint32_t common[10] = {p->saddr, p->daddr, p->frag_id, p->proto, p->in_port};

    if (p->flags & NF_P_IPV6_READ) {
        memcpy(common, nf_packet_ipv6_addresses(p), 32);
        memcpy(&common[8], p->data + p->l4 - 4, 4); /* the identification, in the fragment header */
        common[9] = p->in_port;
    }
    return (uint64_t)rte_jhash_32b(common, 10, 0) << 32 | rte_jhash_32b(common, 10, 1);
}

/* Of a fragment: `lane` is its first one's, where that was seen. `owned`: an NF has said it. */
static unsigned follow_datagram(struct nd_datagrams *datagrams, const struct nf_packet *p, unsigned lane,
                                bool owned)
{
    uint64_t hash = hash_datagram(p) | 1; /* 0: nobody's place */
    unsigned at = (unsigned)(hash >> 32) % ND_DATAGRAMS;

    if (!(p->flags & NF_P_LATER) && owned) {
        datagrams->seen[at].hash = hash;
        datagrams->seen[at].lane = lane;
    }
    return datagrams->seen[at].hash == hash ? (unsigned)datagrams->seen[at].lane : lane;
}

static unsigned lane_of(const struct nd_deal *deal, unsigned poller, unsigned port, const uint8_t *frame,
                        uint32_t len, struct nd_datagrams *datagrams)
{
    struct nf_packet p = {.data = (uint8_t *)(uintptr_t)frame,
                          .len = len,
                          .have = len,
                          .in_port = (uint8_t)port,
                          .side = deal->side[port]};
    unsigned lane = 0;
    bool owned;

    /* Claims of the chain's addresses are lane 0's to answer. */
    if (deal->l3 && len >= 14 && memcmp(frame + 6, deal->l3->port[port].mac, 6) == 0)
        return 0;
    owned =
        may_ask(deal, poller) && nf_chain_owner(deal->lane[poller].chain, &p, &lane) && lane < deal->lanes;
    if (!owned) {
        nf_packet_parse(&p);
        lane = nf_lane_of(&p, deal->scope, deal->lanes);
    }
    return p.flags & NF_P_FRAGMENT ? follow_datagram(datagrams, &p, lane, owned) : lane;
}

static void deal_to(struct nd_deal *deal, unsigned device, unsigned lane, struct rte_mbuf *m)
{
    if (rte_ring_enqueue(deal->device[device].ring[lane], m) == 0)
        return;
    rte_pktmbuf_free(m);
    atomic_fetch_add_explicit(&deal->full, 1, memory_order_relaxed);
}

/* Every lane keeps neighbours of its own, so each needs what they answer. */
static void deal_to_all(struct nd_deal *deal, unsigned device, struct rte_mbuf *m)
{
    for (unsigned l = 1; l < deal->lanes; l++) {
        struct rte_mbuf *copy = rte_pktmbuf_copy(m, m->pool, 0, UINT32_MAX);

        if (copy)
            deal_to(deal, device, l, copy);
    }
    deal_to(deal, device, 0, m);
}

static void poll_device(struct nd_deal *deal, unsigned poller, unsigned device, uint16_t queue)
{
    struct rte_mbuf *in[POLL];
    uint32_t n = rte_eth_rx_burst(deal->device[device].id, queue, in, POLL);

    struct nd_datagrams *datagrams = &deal->device[device].datagrams[queue];

    n = nd_trunk_receive(deal, device, in, n);
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *frame = rte_pktmbuf_mtod(in[i], const uint8_t *);
        uint32_t len = rte_pktmbuf_data_len(in[i]);

        if (is_neighbours_answer(frame, len))
            deal_to_all(deal, device, in[i]);
        else
            deal_to(deal, device, lane_of(deal, poller, in[i]->port, frame, len, datagrams), in[i]);
    }
}

uint32_t nd_deal_receive(struct nd_deal *deal, unsigned lane, unsigned number, struct rte_mbuf *out[],
                         uint32_t max)
{
    struct nd_device *device = &deal->device[number];

    /* A queue of one's own: a flow's frames always come by here, and stay in order. What the device's hash
     * cannot know, the lane whose NAT gave out a port, is dealt on. */
    if (device->scaled) {
        poll_device(deal, lane, number, (uint16_t)lane);
    } else if (rte_spinlock_trylock(&device->receiving)) {
        /* Polling and dealing under one lock: a flow's frames stay in order. */
        poll_device(deal, lane, number, 0);
        rte_spinlock_unlock(&device->receiving);
    }
    return rte_ring_sc_dequeue_burst(device->ring[lane], (void **)out, max, NULL);
}

/* ---- sending ----------------------------------------------------------------------------------- */

uint32_t nd_deal_send(struct nd_deal *deal, unsigned lane, unsigned number, struct rte_mbuf *out[],
                      uint32_t n)
{
    struct nd_device *device = &deal->device[number];
    uint32_t sent;

    if (device->queues)
        return rte_eth_tx_burst(device->id, (uint16_t)lane, out, (uint16_t)n);
    rte_spinlock_lock(&device->sending);
    sent = rte_eth_tx_burst(device->id, 0, out, (uint16_t)n);
    rte_spinlock_unlock(&device->sending);
    return sent;
}
