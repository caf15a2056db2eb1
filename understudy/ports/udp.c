/* SPDX-License-Identifier: Apache-2.0 */
/* UDP over DPDK devices; see udp.h. */
#define _GNU_SOURCE /* struct mmsghdr */
#include "understudy/ports/udp.h"
#include "understudy/ports/ports.h"
#include "ftcore/base/check.h"
#include "ftcore/base/clock.h"

#include <rte_arp.h>
#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_udp.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PEERS    (ND_NODES + 2u)
#define BATCH    32u /* frames a call of a driver */
#define HEADS    (RTE_ETHER_HDR_LEN + IP_UDP)
#define IP_UDP   (sizeof(struct rte_ipv4_hdr) + sizeof(struct rte_udp_hdr))
#define SPARE    128u  /* af_packet asks for more than a frame's bytes */
#define RINGS    2048u /* buffers that a device's two rings hold */
#define LOOKS    256u  /* calls without a look at the clock, while all peers are known */
#define ASK_NS   1000000000ull
#define ASK_SOON 50000000ull /* while a peer is not known */
#define HOPS     64

struct nd_udp {
    struct nd_ports ports;       /* one lane's; DPDK's environment is not its own */
    struct nf_chain_config none; /* no chain runs on them */
    struct sockaddr_in self;
    struct rte_ether_addr mac[ND_INPUTS_DEVICES];
    struct peer {
        struct sockaddr_in at;
        struct rte_ether_addr mac;
        unsigned device;
        bool known;
    } peer[PEERS];
    unsigned peers, known;
    unsigned looks;
    uint64_t asked;
    unsigned next; /* device that is received from first */
    struct rte_mbuf *out[ND_INPUTS_DEVICES][BATCH];
    unsigned outs[ND_INPUTS_DEVICES];
};

/* ---- sending --------------------------------------------------------------------------------- */

static void flush_device(struct nd_udp *u, unsigned d)
{
    uint16_t sent = rte_eth_tx_burst(u->ports.deal.device[d].id, 0, u->out[d], (uint16_t)u->outs[d]);

    rte_pktmbuf_free_bulk(u->out[d] + sent, u->outs[d] - sent);
    u->outs[d] = 0;
}

static void flush(void *ctx)
{
    struct nd_udp *u = ctx;

    for (unsigned d = 0; d < u->ports.io.devices; d++)
        if (u->outs[d])
            flush_device(u, d);
}

/* A frame of this device, of `len` bytes, whose head is an Ethernet one. NULL: no buffer. */
static struct rte_mbuf *make_frame(struct nd_udp *u, unsigned d, const struct rte_ether_addr *to,
                                   uint16_t type, size_t len)
{
    struct rte_mbuf *m = rte_pktmbuf_alloc(u->ports.pool);
    struct rte_ether_hdr *e = m ? (struct rte_ether_hdr *)rte_pktmbuf_append(m, (uint16_t)len) : NULL;

    if (!e) {
        rte_pktmbuf_free(m);
        return NULL;
    }
    e->dst_addr = *to;
    e->src_addr = u->mac[d];
    e->ether_type = htons(type);
    return m;
}

static void put(struct nd_udp *u, unsigned d, struct rte_mbuf *m)
{
    u->out[d][u->outs[d]++] = m;
    if (u->outs[d] == BATCH)
        flush_device(u, d);
}

static struct peer *peer_of(struct nd_udp *u, uint32_t address, uint16_t port)
{
    for (unsigned i = 0; i < u->peers; i++)
        if (u->peer[i].at.sin_addr.s_addr == address && u->peer[i].at.sin_port == port)
            return &u->peer[i];
    return NULL;
}

static void send_datagram(void *ctx, const struct sockaddr_in *to, const uint8_t *bytes, size_t len)
{
    struct nd_udp *u = ctx;
    const struct peer *p = peer_of(u, to->sin_addr.s_addr, to->sin_port);
    struct rte_mbuf *m;
    struct rte_ipv4_hdr *ip;
    struct rte_udp_hdr *udp;

    if (!p || !p->known || !(m = make_frame(u, p->device, &p->mac, RTE_ETHER_TYPE_IPV4, HEADS + len)))
        return;
    ip = rte_pktmbuf_mtod_offset(m, struct rte_ipv4_hdr *, RTE_ETHER_HDR_LEN);
    udp = (struct rte_udp_hdr *)(ip + 1);
    *ip = (struct rte_ipv4_hdr){.version_ihl = RTE_IPV4_VHL_DEF,
                                .total_length = htons((uint16_t)(IP_UDP + len)),
                                .fragment_offset = htons(RTE_IPV4_HDR_DF_FLAG),
                                .time_to_live = HOPS,
                                .next_proto_id = IPPROTO_UDP,
                                .src_addr = u->self.sin_addr.s_addr,
                                .dst_addr = to->sin_addr.s_addr};
    ip->hdr_checksum = rte_ipv4_cksum(ip);
    *udp = (struct rte_udp_hdr){.src_port = u->self.sin_port,
                                .dst_port = to->sin_port,
                                .dgram_len = htons((uint16_t)(sizeof(*udp) + len))};
    memcpy(udp + 1, bytes, len);
    put(u, p->device, m);
}

/* ---- ARP ------------------------------------------------------------------------------------- */

static void say_arp(struct nd_udp *u, unsigned d, uint16_t code, const struct rte_ether_addr *mac,
                    uint32_t address)
{
    static const struct rte_ether_addr all = {{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}}, none = {{0}};
    const bool asks = code == RTE_ARP_OP_REQUEST;
    struct rte_mbuf *m = make_frame(u, d, asks ? &all : mac, RTE_ETHER_TYPE_ARP,
                                    RTE_ETHER_HDR_LEN + sizeof(struct rte_arp_hdr));

    if (!m)
        return;
    *rte_pktmbuf_mtod_offset(m, struct rte_arp_hdr *, RTE_ETHER_HDR_LEN) =
        (struct rte_arp_hdr){.arp_hardware = htons(RTE_ARP_HRD_ETHER),
                             .arp_protocol = htons(RTE_ETHER_TYPE_IPV4),
                             .arp_hlen = RTE_ETHER_ADDR_LEN,
                             .arp_plen = sizeof(address),
                             .arp_opcode = htons(code),
                             .arp_data = {.arp_sha = u->mac[d],
                                          .arp_sip = u->self.sin_addr.s_addr,
                                          .arp_tha = asks ? none : *mac,
                                          .arp_tip = address}};
    put(u, d, m);
}

/* Peers of one machine have one address, and several ports. */
static void take_arp(struct nd_udp *u, unsigned d, const struct rte_arp_hdr *arp)
{
    const struct rte_arp_ipv4 *a = &arp->arp_data;

    if (arp->arp_hardware != htons(RTE_ARP_HRD_ETHER) || arp->arp_protocol != htons(RTE_ETHER_TYPE_IPV4) ||
        arp->arp_hlen != RTE_ETHER_ADDR_LEN || arp->arp_plen != sizeof(a->arp_sip) ||
        !rte_is_valid_assigned_ether_addr(&a->arp_sha))
        return;
    for (unsigned i = 0; i < u->peers; i++) {
        struct peer *p = &u->peer[i];

        if (p->at.sin_addr.s_addr != a->arp_sip)
            continue;
        u->known += !p->known;
        p->known = true;
        p->device = d;
        p->mac = a->arp_sha;
    }
    if (arp->arp_opcode == htons(RTE_ARP_OP_REQUEST) && a->arp_tip == u->self.sin_addr.s_addr)
        say_arp(u, d, RTE_ARP_OP_REPLY, &a->arp_sha, a->arp_sip);
}

static void ask_peers(struct nd_udp *u)
{
    uint64_t now;

    if (u->known == u->peers && ++u->looks % LOOKS)
        return;
    now = ft_now();
    if (now - u->asked < (u->known == u->peers ? ASK_NS : ASK_SOON))
        return;
    u->asked = now;
    for (unsigned i = 0; i < u->peers; i++)
        for (unsigned d = 0; d < u->ports.io.devices; d++)
            say_arp(u, d, RTE_ARP_OP_REQUEST, NULL, u->peer[i].at.sin_addr.s_addr);
}

/* ---- receiving ------------------------------------------------------------------------------- */

/* The datagram is this one's, and whole: a copy. */
static bool take_ip(const struct nd_udp *u, const struct rte_ipv4_hdr *ip, size_t there, struct mmsghdr *in)
{
    const size_t head = rte_ipv4_hdr_len(ip), all = ntohs(ip->total_length);
    const struct rte_udp_hdr *udp = (const struct rte_udp_hdr *)((const uint8_t *)ip + head);
    const struct iovec *into = in->msg_hdr.msg_iov;
    size_t len;

    if (ip->version_ihl >> 4 != 4 || head < sizeof(*ip) || all > there || all < head + sizeof(*udp) ||
        ip->next_proto_id != IPPROTO_UDP || ip->dst_addr != u->self.sin_addr.s_addr ||
        ip->fragment_offset & htons(RTE_IPV4_HDR_MF_FLAG | RTE_IPV4_HDR_OFFSET_MASK))
        return false;
    len = ntohs(udp->dgram_len);
    if (udp->dst_port != u->self.sin_port || len < sizeof(*udp) || len > all - head ||
        len - sizeof(*udp) > into->iov_len)
        return false;
    len -= sizeof(*udp);
    memcpy(into->iov_base, udp + 1, len);
    in->msg_len = (unsigned)len;
    *(struct sockaddr_in *)in->msg_hdr.msg_name = (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = udp->src_port, .sin_addr.s_addr = ip->src_addr};
    return true;
}

/* True: a datagram was put into *in. */
static bool take_frame(struct nd_udp *u, unsigned d, const struct rte_mbuf *m, struct mmsghdr *in)
{
    const struct rte_ether_hdr *e = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
    const size_t len = rte_pktmbuf_data_len(m);

    if (m->nb_segs != 1 || len < RTE_ETHER_HDR_LEN)
        return false;
    if (e->ether_type == htons(RTE_ETHER_TYPE_ARP) && len >= RTE_ETHER_HDR_LEN + sizeof(struct rte_arp_hdr))
        take_arp(u, d, (const struct rte_arp_hdr *)(e + 1));
    return e->ether_type == htons(RTE_ETHER_TYPE_IPV4) && len >= HEADS &&
           take_ip(u, (const struct rte_ipv4_hdr *)(e + 1), len - RTE_ETHER_HDR_LEN, in);
}

static int receive(void *ctx, struct mmsghdr *in, unsigned max)
{
    struct nd_udp *u = ctx;
    struct rte_mbuf *m[BATCH];
    unsigned got = 0;

    ask_peers(u);
    for (unsigned i = 0; i < u->ports.io.devices && got < max; i++) {
        const unsigned d = (u->next + i) % u->ports.io.devices;
        const unsigned most = max - got < BATCH ? max - got : BATCH;
        const unsigned n = rte_eth_rx_burst(u->ports.deal.device[d].id, 0, m, (uint16_t)most);

        for (unsigned f = 0; f < n; f++)
            got += take_frame(u, d, m[f], &in[got]);
        rte_pktmbuf_free_bulk(m, n);
    }
    if (++u->next >= u->ports.io.devices) /* a busy one does not keep the others out */
        u->next = 0;
    flush(u); /* answers of ARP */
    return (int)got;
}

/* ---- opening --------------------------------------------------------------------------------- */

static void add_peer(void *ctx, const struct sockaddr_in *at)
{
    struct nd_udp *u = ctx;

    FT_CHECK(u->peers < PEERS, "%u peers of a keeper's network", u->peers);
    u->peer[u->peers++].at = *at;
}

static size_t room_of(const struct nd_udp *u)
{
    uint16_t least = UINT16_MAX, mtu;

    for (unsigned d = 0; d < u->ports.io.devices; d++)
        if (rte_eth_dev_get_mtu(u->ports.deal.device[d].id, &mtu) == 0 && mtu < least)
            least = mtu;
    return least > IP_UDP ? least - IP_UDP : 0;
}

static void close_devices(void *ctx)
{
    struct nd_udp *u = ctx;

    nd_devices_close(&u->ports);
    rte_mempool_free(u->ports.pool);
    free(u);
}

int nd_udp_open(struct nd_carrier *out, const struct nd_config *config, const struct nd_node *self,
                struct ft_fault *fault)
{
    struct nd_udp *u = calloc(1, sizeof(*u));
    struct nd_node *as = malloc(sizeof(*as)); /* whose ports are these devices */
    int error = 0;

    if (!u || !as) {
        free(u);
        free(as);
        return ft_fail(fault, FT_ENOMEM, "no memory for the devices to the keeper");
    }
    *as = *self;
    nd_datagrams_address(self, &u->self);
    u->ports.frame_max = config->chain.frame_max + HEADS + KP_HEAD_BYTES;
    u->ports.deal.lanes = 1;
    u->ports.deal.chain = &u->none;
    u->ports.pool =
        rte_pktmbuf_pool_create("inputs", self->inputs_devices * RINGS + RINGS, 0, 0,
                                (uint16_t)(u->ports.frame_max + SPARE + RTE_PKTMBUF_HEADROOM), SOCKET_ID_ANY);
    if (!u->ports.pool)
        error =
            ft_fail(fault, FT_ENOMEM,
                    "node %s: no memory for packet buffers of inputs_devices; raise memory_mb", self->name);
    for (unsigned d = 0; !error && d < self->inputs_devices; d++) {
        struct nd_device *device = &u->ports.deal.device[d];

        device->port = (uint8_t)d;
        snprintf(as->port[d], sizeof(as->port[d]), "%s", self->inputs_device[d]);
        error = nd_device_open(&u->ports, device, as, "inputs_devices", fault);
        if (!error) {
            u->ports.io.devices++;
            rte_eth_macaddr_get(device->id, &u->mac[d]);
        }
    }
    free(as);
    if (error) {
        close_devices(u);
        return error;
    }
    *out = (struct nd_carrier){.ctx = u,
                               .room = room_of(u),
                               .descriptor = u->ports.io.devices == 1 ? u->ports.deal.device[0].fd : -1,
                               .receive = receive,
                               .send = send_datagram,
                               .flush = flush,
                               .add_peer = add_peer,
                               .close = close_devices};
    return 0;
}
