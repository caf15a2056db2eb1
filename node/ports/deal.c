/* SPDX-License-Identifier: Apache-2.0 */
/* Between devices and lanes: frames are dealt out to lanes, and where several ports share a device their VLAN
 * tags are taken off and put on; see ports.h. */
#include "ftcore/base/check.h"
#include "node/base/clock.h"
#include "node/ports/ports.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POLL          32u  /* frames a turn */
#define ADVERTISEMENT 136u /* of a neighbour (RFC 4861, 4.4) */

/* ---- VLAN tags of ports that share a device ------------------------------------------------------- */

/* False: no interface has its tags. */
static bool place_frame(struct nd_deal *deal, unsigned device, struct rte_mbuf *m)
{
    uint8_t *frame = rte_pktmbuf_mtod(m, uint8_t *);
    uint32_t bytes = 0;
    unsigned port = nf_l3_interface_of(deal->l3, device, frame, rte_pktmbuf_data_len(m), &bytes);

    if (port == NF_PORTS_MAX)
        return false;
    if (bytes) {
        nf_vlan_pull(frame, bytes);
        rte_pktmbuf_adj(m, (uint16_t)bytes);
    }
    m->port = (uint16_t)port;
    return true;
}

uint32_t nd_trunk_receive(struct nd_deal *deal, unsigned device, struct rte_mbuf *in[], uint32_t n)
{
    uint32_t kept = 0;

    if (ft_likely(!deal->device[device].trunk)) {
        for (uint32_t i = 0; i < n; i++)
            in[i]->port = deal->device[device].port;
        return n;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (place_frame(deal, device, in[i])) {
            in[kept++] = in[i];
        } else {
            rte_pktmbuf_free(in[i]);
            atomic_fetch_add_explicit(&deal->unknown_vlan, 1, memory_order_relaxed);
        }
    }
    return kept;
}

static const struct nf_vlan *tags_of(const struct nd_deal *deal, unsigned port)
{
    return deal->l3 && deal->l3->port[port].vlan.outer ? &deal->l3->port[port].vlan : NULL;
}

static uint8_t pcp_of(const struct nd_deal *deal, unsigned port, const uint8_t *frame, uint32_t len)
{
    return deal->l3->port[port].pcp_of_dscp ? nf_vlan_pcp_of_dscp(frame, len) : 0;
}

/* Buffers have RTE_PKTMBUF_HEADROOM bytes in front of what came in, or of what was made. */
void nd_trunk_tag(const struct nd_deal *deal, unsigned port, struct rte_mbuf *const out[], uint32_t n)
{
    const struct nf_vlan *tags = tags_of(deal, port);

    for (uint32_t i = 0; tags && i < n; i++) {
        uint8_t *frame = rte_pktmbuf_mtod(out[i], uint8_t *);
        uint8_t pcp = pcp_of(deal, port, frame, rte_pktmbuf_data_len(out[i]));

        FT_CHECK(rte_pktmbuf_prepend(out[i], (uint16_t)nf_vlan_bytes(tags)), "no room for tags");
        nf_vlan_set_pcp(nf_vlan_push(frame, tags), pcp);
    }
}

void nd_trunk_untag(const struct nd_deal *deal, unsigned port, struct rte_mbuf *const out[], uint32_t n)
{
    const struct nf_vlan *tags = tags_of(deal, port);

    for (uint32_t i = 0; tags && i < n; i++) {
        nf_vlan_pull(rte_pktmbuf_mtod(out[i], uint8_t *), nf_vlan_bytes(tags));
        rte_pktmbuf_adj(out[i], (uint16_t)nf_vlan_bytes(tags));
    }
}

/* ---- dealing out ------------------------------------------------------------------------------- */

void nd_deal_close(struct nd_deal *deal)
{
    for (unsigned d = 0; d < NF_PORTS_MAX; d++) {
        free(deal->device[d].datagrams);
        free(deal->device[d].fragments); /* buffers go with their pool */
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
    device->fragments = calloc(deal->lanes, sizeof(*device->fragments));
    if (!device->datagrams || !device->fragments)
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

/* Of the frame `p`, which is parsed unless lane 0 gets it as a claim. */
static unsigned lane_of(const struct nd_deal *deal, unsigned poller, struct nf_packet *p,
                        struct nf_datagrams *datagrams)
{
    /* Claims of the chain's addresses are lane 0's to answer. */
    if (deal->l3 && p->len >= 14 && memcmp(p->data + 6, deal->l3->port[p->in_port].mac, 6) == 0)
        return 0;
    return nf_chain_lane(may_ask(deal, poller) ? deal->lane[poller].chain : NULL, p, deal->scope, deal->lanes,
                         datagrams);
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

static struct nf_packet packet_of(const struct nd_deal *deal, const struct rte_mbuf *m)
{
    uint32_t len = rte_pktmbuf_data_len(m);

    return (struct nf_packet){.data = rte_pktmbuf_mtod(m, uint8_t *),
                              .len = len,
                              .have = len,
                              .in_port = (uint8_t)m->port,
                              .side = deal->side[m->port]};
}

/* A receive queue, and whose turn it is to poll it. */
struct polling {
    struct nd_deal *deal;
    unsigned poller, device;
    uint16_t queue;
    struct nd_fragments *fragments;
};

static struct nf_datagrams *datagrams_of(const struct polling *q)
{
    return &q->deal->device[q->device].datagrams[q->queue];
}

/* Of a fragment that waited: its first one has been dealt out before it, if it came. */
static void deal_fragment(const struct polling *q, struct rte_mbuf *m)
{
    struct nf_packet p = packet_of(q->deal, m);

    deal_to(q->deal, q->device, lane_of(q->deal, q->poller, &p, datagrams_of(q)), m);
}

static void count_without_first(const struct polling *q, uint64_t n)
{
    if (n && q->deal->lane)
        FT_COUNTER_ADD(q->deal->lane[q->poller].shared, fragments_without_first, n);
}

/* Only while live fragments wait: who drains or listens has all frames at once. */
static bool may_wait(const struct polling *q)
{
    return may_ask(q->deal, q->poller) && !nd_lane_draining(&q->deal->lane[q->poller]);
}

/* `p`: of the frame, which would go to this lane if it were no fragment. */
static void take_fragment(const struct polling *q, struct rte_mbuf *m, const struct nf_packet *p,
                          unsigned lane)
{
    const struct nd_frame frame = {.data = p->data, .len = p->len, .port = p->in_port, .owner = m};
    struct nd_fragments_out out;

    nd_fragments_take(q->fragments, &frame, p, nd_now(), &out);
    count_without_first(q, out.without_first);
    for (uint32_t i = 0; i < out.n; i++) {
        if (out.frames[i].owner == m)
            deal_to(q->deal, q->device, lane, m);
        else
            deal_fragment(q, out.frames[i].owner);
    }
}

static void end_fragments(const struct polling *q)
{
    uint64_t now = may_wait(q) ? nd_now() : UINT64_MAX;
    struct nd_frame frame;

    while (nd_fragments_over(q->fragments, now, &frame)) {
        count_without_first(q, 1);
        deal_fragment(q, frame.owner);
    }
}

static void poll_device(struct nd_deal *deal, unsigned poller, unsigned device, uint16_t queue)
{
    const struct polling q = {deal, poller, device, queue, &deal->device[device].fragments[queue]};
    struct rte_mbuf *in[POLL];
    uint32_t n = rte_eth_rx_burst(deal->device[device].id, queue, in, POLL);

    n = nd_trunk_receive(deal, device, in, n);
    if (ft_unlikely(q.fragments->count))
        end_fragments(&q);
    for (uint32_t i = 0; i < n; i++) {
        struct nf_packet p = packet_of(deal, in[i]);
        unsigned lane;

        if (is_neighbours_answer(p.data, p.len)) {
            deal_to_all(deal, device, in[i]);
            continue;
        }
        lane = lane_of(deal, poller, &p, datagrams_of(&q));
        if (ft_unlikely(p.flags & NF_P_FRAGMENT) && may_wait(&q))
            take_fragment(&q, in[i], &p, lane);
        else
            deal_to(deal, device, lane, in[i]);
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
