/* SPDX-License-Identifier: Apache-2.0 */
/* Between devices and lanes: opens the node's ports, on DPDK (eal.c), and is what lanes call. Frames are
 * dealt out to lanes, and where several ports share a device their VLAN tags are taken off and put on; see
 * ports.h. */
#include "understudy/ports/ports.h"
#include "understudy/ports/fed.h"
#include "understudy/ports/udp.h"
#include "ftcore/base/check.h"
#include "ftcore/base/event_log.h"
#include "ftcore/record/record.h"
#include "ftcore/base/clock.h"
#include "understudy/base/interface.h"
#include "understudy/config/setup.h"

#include <rte_eal.h>
#include <rte_log.h>
#include <rte_mbuf.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POLL          32u  /* frames a turn */
#define ADVERTISEMENT 136u /* of a neighbour (RFC 4861, 4.4) */
#define POOL_CACHE    256  /* of a lane */
#define SPARE         128u /* of a buffer for large frames: af_packet asks for more than a frame's bytes */

/* ---- VLAN tags of ports that share a device ------------------------------------------------------- */

/* False: no interface has its tags. */
static bool place_frame(struct nd_deal *deal, unsigned device, struct rte_mbuf *m)
{
    uint8_t *frame = rte_pktmbuf_mtod(m, uint8_t *);
    uint32_t bytes = 0;
    unsigned port = nf_l3_interface_of(deal->chain->l3, device, frame, rte_pktmbuf_data_len(m), &bytes);

    if (port == NF_PORTS_MAX)
        return false;
    if (bytes) {
        nf_vlan_pull(frame, bytes);
        rte_pktmbuf_adj(m, (uint16_t)bytes);
    }
    m->port = (uint16_t)port;
    return true;
}

/* Sets the port of so many received frames, and takes their tags off. What is of no port is freed and
 * counted. How many are left. */
static uint32_t place_frames(struct nd_deal *deal, unsigned device, struct rte_mbuf *in[], uint32_t n)
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
    return deal->chain->l3 && deal->chain->l3->port[port].vlan.outer ? &deal->chain->l3->port[port].vlan
                                                                     : NULL;
}

/* A port's tags. Buffers have RTE_PKTMBUF_HEADROOM bytes in front of what came in, or of what was made. */
static void put_tags_on(const struct nd_deal *deal, unsigned port, struct rte_mbuf *const out[], uint32_t n)
{
    const struct nf_vlan *tags = tags_of(deal, port);

    for (uint32_t i = 0; tags && i < n; i++) {
        uint8_t *frame = rte_pktmbuf_mtod(out[i], uint8_t *);
        uint8_t pcp = deal->chain->l3->port[port].pcp_of_dscp
                          ? nf_vlan_pcp_of_dscp(frame, rte_pktmbuf_data_len(out[i]))
                          : 0;

        FT_CHECK(rte_pktmbuf_prepend(out[i], (uint16_t)nf_vlan_bytes(tags)), "no room for tags");
        nf_vlan_set_pcp(nf_vlan_push(frame, tags), pcp);
    }
}

/* Off those that a device did not take. */
static void take_tags_off(const struct nd_deal *deal, unsigned port, struct rte_mbuf *const out[], uint32_t n)
{
    const struct nf_vlan *tags = tags_of(deal, port);

    for (uint32_t i = 0; tags && i < n; i++) {
        nf_vlan_pull(rte_pktmbuf_mtod(out[i], uint8_t *), nf_vlan_bytes(tags));
        rte_pktmbuf_adj(out[i], (uint16_t)nf_vlan_bytes(tags));
    }
}

/* ---- dealing out ------------------------------------------------------------------------------- */

static void close_deal(struct nd_deal *deal)
{
    for (unsigned d = 0; d < NF_PORTS_MAX; d++) {
        free(deal->device[d].datagrams);
        free(deal->device[d].fragments); /* buffers go with their pool */
        for (unsigned l = 0; l < FT_LANES_MAX; l++)
            rte_ring_free(deal->device[d].ring[l]);
    }
    memset(deal->device, 0, sizeof(deal->device));
}

/* Makes the device's locks and rings, once it is started and all else of it is set. FT_ENOMEM. */
static int open_deal(struct nd_deal *deal, unsigned number, struct ft_fault *fault)
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
    if (deal->chain->l3 && p->len >= 14 && memcmp(p->data + 6, deal->chain->l3->port[p->in_port].mac, 6) == 0)
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

    nd_fragments_take(q->fragments, &frame, p, ft_now(), &out);
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
    uint64_t now = may_wait(q) ? ft_now() : UINT64_MAX;
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

    n = place_frames(deal, device, in, n);
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

/* The lane's next frames, at most `max`, whose `port` is that of the chain. */
static uint32_t receive_dealt(struct nd_deal *deal, unsigned lane, unsigned number, struct rte_mbuf *out[],
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

static uint32_t send_shared(struct nd_deal *deal, unsigned lane, unsigned number, struct rte_mbuf *out[],
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

/* ---- opening ----------------------------------------------------------------------------------- */

/* Locally administered, from the node's name and the port: both nodes' differ, a restart keeps it. */
static void own_mac(const char *name, unsigned port, uint8_t mac[6])
{
    uint32_t hash = 2166136261u;

    for (const char *c = name; *c; c++)
        hash = (hash ^ (uint8_t)*c) * 16777619u;
    hash = htonl(hash << 8 | port);
    memcpy(mac, (uint8_t[2]){0x06, 0x75}, 2);
    memcpy(mac + 2, &hash, 4);
}

void nd_ports_warn(const struct nd_config *config, unsigned node)
{
    const char(*devargs)[sizeof(config->node[0].port[0])] = config->node[node].port;
    const struct nf_l3_config *l3 = config->chain.l3;
    struct nd_interface_faults faults;

    for (unsigned i = 0; i < config->ports; i++) {
        const struct ft_log_field fields[] = {{"port", .text = config->port_name[i]}, {0}};

        nd_interface_look(devargs[i], l3 ? nf_l3_device_mtu(l3, i) : 0, config->chain.frame_max, &faults);
        for (unsigned f = 0; f < faults.count; f++)
            ft_log_fields(FT_LEVEL_WARNING, FT_SAYS_PORT, fields, "port %s: %s", config->port_name[i],
                          faults.line[f]);
    }
}

/* The chain's ports, and on which devices they are. On one that has none no frame is anybody's. */
static void number_ports(struct nd_ports *ports, const struct nd_config *config, const struct nd_node *node)
{
    const struct nf_l3_config *l3 = config->chain.l3;
    struct nd_deal *deal = &ports->deal;

    ports->io.ports = (uint16_t)nd_interfaces(config);
    for (unsigned d = 0; d < config->ports; d++)
        deal->device[d].trunk = true;
    for (unsigned i = ports->io.ports; i-- > 0;) {
        unsigned number = nd_port_number(config, i);

        deal->side[i] = ports->io.side[i] = l3 ? l3->port[i].side : i == 0 ? NF_INSIDE : NF_OUTSIDE;
        own_mac(node->name, i, ports->io.own[i]);
        deal->device_of[i] = (uint8_t)number;
        deal->device[number].port = (uint8_t)i;
        deal->device[number].trunk = l3 && nf_l3_is_trunk(l3, number);
    }
}

/* False: the frame's interface is gone, and so is the frame. */
static bool renumber(struct rte_mbuf *m, const uint8_t to[NF_PORTS_MAX])
{
    m->port = m->port < NF_PORTS_MAX ? to[m->port] : NF_PORTS_MAX;
    if (m->port == NF_PORTS_MAX)
        rte_pktmbuf_free(m);
    return m->port != NF_PORTS_MAX;
}

static void renumber_fragments(struct nd_fragments *fragments, const uint8_t to[NF_PORTS_MAX])
{
    struct nd_fragments all = *fragments;

    fragments->first = fragments->count = 0;
    for (uint32_t i = 0; i < all.count; i++) {
        struct nd_fragment *waiting = &all.waiting[(all.first + i) % ND_FRAGMENTS_WAIT];

        waiting->frame.port = waiting->frame.port < NF_PORTS_MAX ? to[waiting->frame.port] : NF_PORTS_MAX;
        if (renumber(waiting->frame.owner, to))
            fragments->waiting[fragments->count++] = *waiting;
    }
}

void nd_ports_renumber(struct nd_ports *ports, const struct nd_config *config, const struct nd_node *node,
                       const uint8_t to[NF_PORTS_MAX])
{
    struct nd_deal *deal = &ports->deal;
    struct rte_mbuf *m;

    number_ports(ports, config, node);
    for (unsigned d = 0; d < config->ports && !ports->fed && deal->lanes > 1; d++)
        for (unsigned l = 0; l < deal->lanes; l++) {
            for (unsigned n = rte_ring_count(deal->device[d].ring[l]); n > 0; n--)
                if (rte_ring_dequeue(deal->device[d].ring[l], (void **)&m) == 0 && renumber(m, to))
                    rte_ring_enqueue(deal->device[d].ring[l], m);
            renumber_fragments(&deal->device[d].fragments[l], to);
        }
}

static int open_devices(struct nd_ports *ports, const struct nd_config *config, const struct nd_node *node,
                        struct ft_fault *fault)
{
    number_ports(ports, config, node);
    for (unsigned i = 0; i < config->ports; i++) {
        struct nd_device *device = &ports->deal.device[i];
        unsigned mtu = config->chain.l3 ? nf_l3_device_mtu(config->chain.l3, i) : 0;
        int error = nd_device_open(ports, device, node, config->port_name[i], fault);

        if (error)
            return error;
        device->mtu = mtu > RTE_ETHER_MTU ? mtu : RTE_ETHER_MTU;
        ports->io.devices = (uint16_t)(i + 1);
        ports->io.descriptor[i] = device->fd;
        ports->io.waits = (i == 0 || ports->io.waits) && device->fd >= 0;
        if (config->chain.lanes > 1 && (error = open_deal(&ports->deal, i, fault)))
            return error;
    }
    return 0;
}

/* ---- what lanes call ----------------------------------------------------------------------------- */

static uint32_t receive_frames(void *ctx, unsigned lane, unsigned device, struct nd_frame frames[],
                               uint32_t max)
{
    struct nd_ports *ports = ctx;
    struct rte_mbuf *in[NF_BURST_MAX];
    uint32_t kept = 0, n;

    if (ports->deal.lanes > 1) {
        n = receive_dealt(&ports->deal, lane, device, in, max);
    } else {
        n = rte_eth_rx_burst(ports->deal.device[device].id, 0, in, (uint16_t)max);
        n = place_frames(&ports->deal, device, in, n);
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t len = rte_pktmbuf_pkt_len(in[i]);

        /* A buffer holds frame_max bytes: scattered frames are larger. */
        if (in[i]->nb_segs != 1 || len < 14 || len > ports->frame_max) {
            rte_pktmbuf_free(in[i]);
            ports->refused++;
            continue;
        }
        frames[kept++] = (struct nd_frame){.data = rte_pktmbuf_mtod(in[i], uint8_t *),
                                           .len = len,
                                           .port = (uint8_t)in[i]->port,
                                           .owner = in[i]};
    }
    return kept;
}

static uint32_t transmit_frames(void *ctx, unsigned lane, unsigned port, const struct ft_held held[],
                                uint32_t n)
{
    struct nd_ports *ports = ctx;
    struct rte_mbuf *out[NF_BURST_MAX];
    unsigned device = ports->deal.device_of[port];
    uint32_t sent;

    n = n < NF_BURST_MAX ? n : NF_BURST_MAX;
    for (uint32_t i = 0; i < n; i++)
        out[i] = held[i].packet;
    put_tags_on(&ports->deal, port, out, n);
    sent = ports->deal.lanes > 1 ? send_shared(&ports->deal, lane, device, out, n)
                                 : rte_eth_tx_burst(ports->deal.device[device].id, 0, out, (uint16_t)n);
    take_tags_off(&ports->deal, port, out + sent, n - sent);
    return sent;
}

static void *make_mbuf(void *ctx, unsigned lane, const void *frame, uint32_t len)
{
    struct nd_ports *ports = ctx;
    struct rte_mbuf *m = rte_pktmbuf_alloc(ports->pool);
    char *room = m ? rte_pktmbuf_append(m, (uint16_t)len) : NULL;

    (void)lane;
    if (!room) {
        rte_pktmbuf_free(m);
        return NULL;
    }
    memcpy(room, frame, len);
    return m;
}

static uint8_t *mbuf_data(void *owner)
{
    return rte_pktmbuf_mtod((struct rte_mbuf *)owner, uint8_t *);
}

static void drop_mbuf(void *ctx, void *owner)
{
    (void)ctx;
    rte_pktmbuf_free(owner);
}

/*
 * DPDK lays no buffer across a page's end unless the caller states that no device reads it by physical
 * addresses; with small pages two fifths of the memory would be holes. The af_xdp driver moreover gives the
 * kernel all buffers as one piece of memory, and takes them to lie in it one behind the other. NULL: there is
 * no memory, or, with `whole`, it comes in several pieces (*pieces).
 */
static struct rte_mempool *make_dense_pool(unsigned n, uint16_t room, bool whole, unsigned *pieces)
{
    struct rte_pktmbuf_pool_private own = {.mbuf_data_room_size = room};
    struct rte_mempool *pool =
        rte_mempool_create_empty("packets", n, (unsigned)sizeof(struct rte_mbuf) + room, POOL_CACHE,
                                 sizeof(own), SOCKET_ID_ANY, RTE_MEMPOOL_F_NO_IOVA_CONTIG);

    if (!pool)
        return NULL;
    rte_pktmbuf_pool_init(pool, &own);
    if (rte_mempool_populate_default(pool) < 0 || (whole && pool->nb_mem_chunks != 1)) {
        *pieces = pool->populated_size == n ? pool->nb_mem_chunks : 0;
        rte_mempool_free(pool);
        return NULL;
    }
    rte_mempool_obj_iter(pool, rte_pktmbuf_init, NULL);
    return pool;
}

/* Bytes of a buffer, for a frame and DPDK. */
static uint32_t room_of(const struct nd_config *config)
{
    uint32_t frame_max = config->chain.frame_max;

    return frame_max + (frame_max > NF_FRAME_ROOM ? SPARE : 0) + RTE_PKTMBUF_HEADROOM;
}

static int fail_memory(const struct nd_node *node, struct ft_fault *fault)
{
    return ft_fail(fault, FT_ENOMEM,
                   "node %s: no memory for %u packet buffers in %u MB; lower mbufs or raise memory_mb",
                   node->name, node->mbufs, node->memory_mb);
}

int nd_ports_judge(const struct nd_config *config, const struct nd_node *node, struct ft_fault *fault)
{
    uint64_t memory = nd_eal_memory(node);
    struct ft_fault why;

    if (nd_eal_judge_memory(node, fault))
        return FT_ENOMEM;
    if (node->inputs_port && !nd_config_is_keeper(config, node)) /* a keeper has the ports */
        return 0;
    if (memory && memory < (uint64_t)node->mbufs * (sizeof(struct rte_mbuf) + room_of(config)))
        return fail_memory(node, fault);
    return nd_setup_judge_devices(config, node, &why)
               ? ft_fail(fault, FT_EINVAL, "node %s: %s", node->name, why.text)
               : 0;
}

int nd_ports_open(struct nd_ports *ports, const struct nd_config *config, const struct nd_node *node,
                  struct ft_fault *fault)
{
    const struct nd_privilege needed = nd_ports_privilege(node);
    int error = nd_ports_judge(config, node, fault);
    struct nd_carrier by = {.ctx = NULL};
    unsigned pieces = 0;
    uint32_t room = room_of(config);

    *ports = (struct nd_ports){.frame_max = config->chain.frame_max,
                               .xdp = needed.xdp,
                               .deal = {.lanes = config->chain.lanes, .chain = &config->chain},
                               .io = {.ctx = ports,
                                      .buffers = node->mbufs / config->chain.lanes,
                                      .receive = receive_frames,
                                      .send = transmit_frames,
                                      .make = make_mbuf,
                                      .data = mbuf_data,
                                      .drop = drop_mbuf}};
    if (!error)
        error = nd_eal_open(config, node, fault);
    if (!error)
        error = nf_chain_scope(&config->chain, config->chain.lanes, &ports->deal.scope, fault);
    if (error)
        return error;
    rte_log_set_global_level(RTE_LOG_WARNING);
    if (node->inputs_port && !nd_config_is_keeper(config, node)) {
        number_ports(ports, config, node);
        error = node->inputs_devices ? nd_udp_open(&by, config, node, fault) : 0;
        if (!error)
            error = nd_fed_open(ports, config, node, &by, fault);
        if (error)
            nd_ports_close(ports);
        return error;
    }
    ports->pool =
        needed.physical && !ports->xdp
            ? rte_pktmbuf_pool_create("packets", node->mbufs, POOL_CACHE, 0, (uint16_t)room, SOCKET_ID_ANY)
            : make_dense_pool(node->mbufs, (uint16_t)room, ports->xdp, &pieces);
    if (!ports->pool && pieces > 1)
        error = ft_fail(fault, FT_ENOMEM,
                        "node %s: memory for %u packet buffers comes in %u pieces, and AF_XDP takes one; "
                        "lower mbufs, or have more hugepages free",
                        node->name, node->mbufs, pieces);
    else if (!ports->pool)
        error = fail_memory(node, fault);
    else
        error = open_devices(ports, config, node, fault);
    if (error)
        nd_ports_close(ports);
    return error;
}

void nd_ports_close(struct nd_ports *ports)
{
    if (ports->fed)
        nd_fed_close(ports);
    else
        nd_devices_close(ports);
    ports->io.ports = ports->io.devices = 0;
    close_deal(&ports->deal);
    rte_eal_cleanup();
}
