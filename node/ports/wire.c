/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of a lane to its peer's lane by a port of DPDK; see wire.h. */
#include "node/ports/wire.h"

#include <rte_mbuf.h>

#define LOOK_NS 250000000u

static void free_frames(struct nd_wire_port *p)
{
    for (uint16_t i = p->at ? p->at - 1 : 0; i < p->count; i++)
        rte_pktmbuf_free(p->in[i]);
    rte_pktmbuf_free(p->out);
    p->out = NULL;
    p->at = p->count = 0;
}

/* False: the main thread has the port, or gets it now. */
static bool is_ours(struct nd_wire_port *p)
{
    int user = atomic_load_explicit(&p->user, memory_order_acquire);

    if (user == ND_WIRE_ASKED) {
        free_frames(p);
        atomic_store_explicit(&p->user, ND_WIRE_MAIN, memory_order_release);
    }
    return user == ND_WIRE_LANE;
}

static uint8_t *place(void *ctx)
{
    struct nd_wire_port *p = ctx;

    if (!is_ours(p))
        return NULL;
    if (!p->out && !(p->out = rte_pktmbuf_alloc(p->pool)))
        return NULL;
    return rte_pktmbuf_mtod(p->out, uint8_t *);
}

/* What the port does not take is lost, and the lane sends it again. */
static void send_frame(void *ctx, uint32_t bytes)
{
    struct nd_wire_port *p = ctx;

    p->out->data_len = (uint16_t)bytes;
    p->out->pkt_len = bytes;
    if (rte_eth_tx_burst(p->id, 0, &p->out, 1) == 1)
        p->out = NULL;
}

static const uint8_t *receive(void *ctx, uint32_t *bytes)
{
    struct nd_wire_port *p = ctx;

    if (!is_ours(p))
        return NULL;
    if (p->at)
        rte_pktmbuf_free(p->in[p->at - 1]);
    if (p->at == p->count) {
        p->at = 0;
        p->count = rte_eth_rx_burst(p->id, 0, p->in, ND_WIRE_BURST);
        if (p->count == 0)
            return NULL;
    }
    struct rte_mbuf *m = p->in[p->at++];

    *bytes = m->nb_segs == 1 ? m->data_len : 0;
    return rte_pktmbuf_mtod(m, const uint8_t *);
}

void nd_link_port_begin(struct nd_wire_port *port, struct rte_mempool *pool)
{
    *port = (struct nd_wire_port){
        .wire = {.ctx = port, .place = place, .send = send_frame, .receive = receive}, .pool = pool};
}

void nd_link_port_watch(struct nd_wire_port *port, uint64_t now)
{
    struct rte_eth_link link;
    int user = atomic_load_explicit(&port->user, memory_order_acquire);

    if (!port->is_open || !port->connects || now - port->looked < LOOK_NS)
        return;
    port->looked = now;
    if (user == ND_WIRE_LANE && rte_eth_link_get_nowait(port->id, &link) == 0 &&
        link.link_status != RTE_ETH_LINK_UP) {
        atomic_store_explicit(&port->user, ND_WIRE_ASKED, memory_order_release);
    } else if (user == ND_WIRE_MAIN) {
        (void)rte_eth_dev_stop(port->id);
        if (rte_eth_dev_start(port->id) == 0)
            atomic_store_explicit(&port->user, ND_WIRE_LANE, memory_order_release);
    }
}

void nd_link_port_close(struct nd_wire_port *port)
{
    if (!port->is_open)
        return;
    free_frames(port);
    rte_eth_dev_stop(port->id);
    rte_eth_dev_close(port->id);
    port->is_open = false;
}
