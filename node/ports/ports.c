/* SPDX-License-Identifier: Apache-2.0 */
/* Opens the node's ports, on DPDK (eal.c), and is what lanes call. */
#include "node/ports/ports.h"
#include "ftcore/base/event_log.h"
#include "ftcore/record/record.h"
#include "node/base/interface.h"

#include <rte_bus.h>
#include <rte_dev.h>
#include <rte_eal.h>
#include <rte_log.h>
#include <rte_mbuf.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define RX_RING    1024
#define TX_RING    1024
#define POOL_CACHE 256  /* of a lane */
#define XDP_RING   2048 /* of both: as many buffers as the driver gives the kernel to fill */
#define SPARE      128u /* of a buffer for large frames: af_packet asks for more than a frame's bytes */
#define XDP        "net_af_xdp" /* and a number */
#define RETA_MAX   RTE_ETH_RSS_RETA_SIZE_512
static uint8_t flow_key[64]; /* borrowed by DPDK while a port is configured */

bool nd_ports_xdp(const struct nd_node *node)
{
    bool any = false;

    for (unsigned i = 0; i < NF_PORTS_MAX; i++)
        any |= strncmp(node->port[i], XDP, sizeof(XDP) - 1) == 0;
    return any;
}

/* "net_af_packet0,iface=x" → bus vdev, name, arguments; or a PCI address. */
static int attach_device(const char *devargs, uint16_t *id)
{
    char name[RTE_DEV_NAME_MAX_LEN];
    size_t end = strcspn(devargs, ",");
    int error;

    snprintf(name, sizeof(name), "%.*s", (int)end, devargs);
    error =
        nd_eal_is_pci(devargs) ? 0 : rte_eal_hotplug_add("vdev", name, devargs + end + (devargs[end] == ','));
    return error ? error : rte_eth_dev_get_port_by_name(name, id);
}

uint16_t nd_ports_id(const struct nd_ports *ports, unsigned port)
{
    return ports->deal.device[ports->deal.device_of[port]].id;
}

/* What a device's hash is to be of, as nf_lane_of has it of IPv4. 0: no hash tells on which side of a trunk's
 * ports a frame came in. */
static uint64_t hash_kinds(const struct nd_deal *deal, const struct nd_device *device)
{
    const uint64_t addresses = RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_FRAG_IPV4 | RTE_ETH_RSS_NONFRAG_IPV4_OTHER;
    enum nf_scope scope = deal->scope;
    uint8_t side = deal->side[device->port];

    if (device->trunk && scope != NF_OF_FLOW)
        return 0;
    if (scope == NF_OF_FLOW)
        return addresses | RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV4_UDP;
    return addresses | ((scope == NF_OF_INSIDE) == (side == NF_INSIDE) ? RTE_ETH_RSS_L3_SRC_ONLY
                                                                       : RTE_ETH_RSS_L3_DST_ONLY);
}

/*
 * A receive queue for each lane, into which the port deals by the very hash that decides the lane
 * (nflib/chain/dispatch.c). False: this port cannot; then lanes share one queue and deal frames out
 * themselves (ports/deal.c).
 */
static bool can_scale(const struct rte_eth_dev_info *info, unsigned lanes, uint64_t kinds)
{
    return lanes > 1 && kinds && info->max_rx_queues >= lanes && info->max_tx_queues >= lanes &&
           (info->flow_type_rss_offloads & kinds) == kinds && info->reta_size >= NF_FLOW_SPREAD &&
           info->reta_size % NF_FLOW_SPREAD == 0 && info->reta_size <= RETA_MAX &&
           info->hash_key_size <= sizeof(flow_key);
}

static void enable_rss(struct rte_eth_conf *conf, const struct rte_eth_dev_info *info, uint64_t kinds)
{
    for (unsigned i = 0; i < sizeof(flow_key); i++)
        flow_key[i] = (uint8_t)(i % 2 ? NF_FLOW_KEY : NF_FLOW_KEY >> 8);
    conf->rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
    conf->rx_adv_conf.rss_conf = (struct rte_eth_rss_conf){
        .rss_key = flow_key, .rss_key_len = info->hash_key_size ? info->hash_key_size : 40, .rss_hf = kinds};
}

static int deal_queues(uint16_t id, uint16_t size, unsigned lanes)
{
    struct rte_eth_rss_reta_entry64 table[RETA_MAX / RTE_ETH_RETA_GROUP_SIZE] = {{0}};

    for (unsigned i = 0; i < size; i++) {
        struct rte_eth_rss_reta_entry64 *group = &table[i / RTE_ETH_RETA_GROUP_SIZE];

        group->mask = UINT64_MAX;
        group->reta[i % RTE_ETH_RETA_GROUP_SIZE] = (uint16_t)(i % NF_FLOW_SPREAD % lanes);
    }
    return rte_eth_dev_rss_reta_update(id, table, size);
}

/* What a NIC is told to take. 0: what it takes unasked; so do drivers that know of nothing larger. */
static uint32_t mtu_of(const struct nd_ports *ports, const struct nd_device *device,
                       const struct rte_eth_dev_info *info)
{
    const struct nf_l3_config *l3 = ports->deal.l3;
    uint32_t wanted = l3                                 ? nf_l3_device_mtu(l3, l3->port[device->port].device)
                      : ports->frame_max > NF_FRAME_ROOM ? ports->frame_max - RTE_ETHER_HDR_LEN - NF_VLAN_TAG
                                                         : 0;
    uint32_t head = info->max_mtu != UINT16_MAX && info->max_rx_pktlen > info->max_mtu
                        ? info->max_rx_pktlen - info->max_mtu
                        : RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN;
    uint32_t most = info->max_rx_pktlen > head ? info->max_rx_pktlen - head : 0;

    wanted = wanted < most ? wanted : most;
    return wanted > RTE_ETHER_MTU ? wanted : 0;
}

/* One queue of each kind where lanes have to share. */
static int start_device(struct nd_ports *ports, struct nd_device *device)
{
    struct rte_eth_dev_info info;
    struct rte_eth_conf conf = {0}, plain = {0};
    uint16_t id = device->id, lanes = (uint16_t)ports->deal.lanes, rx = RX_RING, tx = TX_RING;
    uint64_t kinds = hash_kinds(&ports->deal, device);
    int error = rte_eth_dev_info_get(id, &info);

    if (error)
        return error;
    uint16_t txq = info.max_tx_queues >= lanes ? lanes : 1, rxq = can_scale(&info, lanes, kinds) ? lanes : 1;

    if (strcmp(info.driver_name, XDP) == 0)
        rx = tx = XDP_RING;
    conf.rxmode.mtu = plain.rxmode.mtu = mtu_of(ports, device, &info);
    if (rxq > 1)
        enable_rss(&conf, &info, kinds);
    error = rte_eth_dev_configure(id, rxq, txq, &conf);
    if (error && rxq > 1)
        error = rte_eth_dev_configure(id, rxq = 1, txq, &plain);
    device->scaled = rxq > 1;
    device->queues = txq >= lanes;
    if (!error)
        error = rte_eth_dev_adjust_nb_rx_tx_desc(id, &rx, &tx);
    for (uint16_t q = 0; !error && q < rxq; q++)
        error = rte_eth_rx_queue_setup(id, q, rx, SOCKET_ID_ANY, NULL, ports->pool);
    for (uint16_t q = 0; !error && q < txq; q++)
        error = rte_eth_tx_queue_setup(id, q, tx, SOCKET_ID_ANY, NULL);
    if (!error)
        error = rte_eth_dev_start(id);
    if (!error && rxq > 1)
        error = deal_queues(id, info.reta_size, lanes);
    if (!error)
        rte_eth_promiscuous_enable(id); /* the virtual MAC is not the port's own; not every port can */
    return error;
}

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

struct opening {
    struct nd_ports *ports;
    const char *devargs;
    struct nd_device *device;
};

static int open_device(void *arg)
{
    struct opening *o = arg;
    int error = attach_device(o->devargs, &o->device->id);

    return error ? error : start_device(o->ports, o->device);
}

/* As the node's `ports` have it. */
static const char *name_of(const struct nd_config *config, unsigned port)
{
    return config->chain.l3 ? config->l3.port[port].port : port ? "outside" : "inside";
}

void nd_ports_warn(const struct nd_config *config, unsigned node)
{
    const char(*devargs)[sizeof(config->node[0].port[0])] = config->node[node].port;
    const struct nf_l3_config *l3 = config->chain.l3;
    struct nd_interface_faults faults;

    for (unsigned i = 0; i < NF_PORTS_MAX && devargs[i][0]; i++) {
        const struct ft_log_field fields[] = {{"port", .text = name_of(config, i)}, {0}};

        if (l3 && !nf_l3_is_first(l3, i))
            continue;
        nd_interface_look(devargs[i], l3 ? nf_l3_device_mtu(l3, l3->port[i].device) : 0,
                          config->chain.frame_max, &faults);
        for (unsigned f = 0; f < faults.count; f++)
            ft_log_fields(FT_LEVEL_WARNING, FT_SAYS_PORT, fields, "port %s: %s", name_of(config, i),
                          faults.line[f]);
    }
}

/* The chain's ports, and on which devices they are. */
static void number_ports(struct nd_ports *ports, const struct nd_config *config, const struct nd_node *node)
{
    const struct nf_l3_config *l3 = config->chain.l3;
    struct nd_deal *deal = &ports->deal;

    for (unsigned i = 0; i < NF_PORTS_MAX && node->port[i][0]; i++) {
        uint8_t number = l3 ? l3->port[i].device : (uint8_t)i;

        deal->side[i] = ports->io.side[i] = l3 ? l3->port[i].side : i == 0 ? NF_INSIDE : NF_OUTSIDE;
        own_mac(node->name, i, ports->io.own[i]);
        deal->device_of[i] = number;
        if (number == deal->devices)
            deal->device[deal->devices++] =
                (struct nd_device){.port = (uint8_t)i, .trunk = l3 && nf_l3_is_trunk(l3, number)};
        ports->io.ports = (uint16_t)(i + 1);
    }
}

static int open_devices(struct nd_ports *ports, const struct nd_config *config, const struct nd_node *node,
                        struct ft_fault *fault)
{
    number_ports(ports, config, node);
    for (unsigned i = 0; i < ports->deal.devices; i++) {
        struct nd_device *device = &ports->deal.device[i];
        struct opening opening = {ports, node->port[device->port], device};
        char why[160];
        int error = nd_eal_capture(open_device, &opening, why, sizeof(why));

        if (error)
            return ft_fail(fault, nd_eal_is_permission(error) ? FT_EPERM : FT_EINVAL,
                           "node %s: port %s: '%s' cannot be opened: %s", node->name,
                           name_of(config, device->port), opening.devargs, why[0] ? why : strerror(-error));
        ports->io.devices = (uint16_t)(i + 1);
        if (config->chain.lanes > 1 && (error = nd_deal_open(&ports->deal, i, fault)))
            return error;
    }
    if (ports->io.ports < 2)
        return ft_fail(fault, FT_EINVAL, "node %s: a chain needs two ports, there %s %u", node->name,
                       ports->io.ports == 1 ? "is" : "are", ports->io.ports);
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
        n = nd_deal_receive(&ports->deal, lane, device, in, max);
    } else {
        n = rte_eth_rx_burst(ports->deal.device[device].id, 0, in, (uint16_t)max);
        n = nd_trunk_receive(&ports->deal, device, in, n);
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
    nd_trunk_tag(&ports->deal, port, out, n);
    sent = ports->deal.lanes > 1 ? nd_deal_send(&ports->deal, lane, device, out, n)
                                 : rte_eth_tx_burst(ports->deal.device[device].id, 0, out, (uint16_t)n);
    nd_trunk_untag(&ports->deal, port, out + sent, n - sent);
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
 * DPDK lays no buffer across a page's end unless it is told that no device reads it by physical addresses;
 * with small pages two fifths of the memory would be holes. The af_xdp driver moreover gives the kernel all
 * buffers as one piece of memory, and takes them to lie in it one behind the other. NULL: there is no memory,
 * or, with `whole`, it comes in several pieces (*pieces).
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

int nd_ports_open(struct nd_ports *ports, const struct nd_config *config, unsigned n, struct ft_fault *fault)
{
    const struct nd_node *node = &config->node[n];
    int error = nd_eal_open(config, node, fault);
    unsigned pieces = 0;
    uint32_t room;

    *ports = (struct nd_ports){.frame_max = config->chain.frame_max,
                               .xdp = nd_ports_xdp(node),
                               .deal = {.lanes = config->chain.lanes, .l3 = config->chain.l3},
                               .io = {.ctx = ports,
                                      .buffers = node->mbufs / config->chain.lanes,
                                      .receive = receive_frames,
                                      .send = transmit_frames,
                                      .make = make_mbuf,
                                      .data = mbuf_data,
                                      .drop = drop_mbuf}};
    if (!error)
        error = nf_chain_scope(&config->chain, config->chain.lanes, &ports->deal.scope, fault);
    if (error)
        return error;
    room = ports->frame_max + (ports->frame_max > NF_FRAME_ROOM ? SPARE : 0) + RTE_PKTMBUF_HEADROOM;
    rte_log_set_global_level(RTE_LOG_WARNING);
    ports->pool =
        nd_eal_physical(node) && !ports->xdp
            ? rte_pktmbuf_pool_create("packets", node->mbufs, POOL_CACHE, 0, (uint16_t)room, SOCKET_ID_ANY)
            : make_dense_pool(node->mbufs, (uint16_t)room, ports->xdp, &pieces);
    if (!ports->pool && pieces > 1)
        error = ft_fail(fault, FT_ENOMEM,
                        "node %s: memory for %u packet buffers comes in %u pieces, and AF_XDP takes one; "
                        "lower mbufs, or have more hugepages free",
                        node->name, node->mbufs, pieces);
    else if (!ports->pool)
        error = ft_fail(fault, FT_ENOMEM,
                        "node %s: no memory for %u packet buffers in %u MB; lower mbufs or raise memory_mb",
                        node->name, node->mbufs, node->memory_mb);
    else
        error = open_devices(ports, config, node, fault);
    if (error)
        nd_ports_close(ports);
    return error;
}

static int close_devices(void *arg)
{
    const struct nd_ports *ports = arg;

    for (unsigned i = 0; i < ports->io.devices; i++) {
        rte_eth_dev_stop(ports->deal.device[i].id);
        rte_eth_dev_close(ports->deal.device[i].id);
    }
    return 0;
}

/* The af_xdp driver cannot take its program off an interface without capabilities, and says so. It stays,
 * lets all frames pass to the kernel, and is the next node's. */
void nd_ports_close(struct nd_ports *ports)
{
    char why[160];

    if (ports->xdp)
        (void)nd_eal_capture(close_devices, ports, why, sizeof(why));
    else
        (void)close_devices(ports);
    ports->io.ports = ports->io.devices = 0;
    nd_deal_close(&ports->deal);
    rte_eal_cleanup();
}
