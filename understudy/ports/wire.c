/* SPDX-License-Identifier: Apache-2.0 */
/* Frames of lanes to their peer's lanes by a port of DPDK; see wire.h. */
#include "understudy/ports/wire.h"

#include "ftcore/queue/lanelink.h"

#include <rte_alarm.h>
#include <rte_cycles.h>
#include <rte_mbuf.h>

#define LOOK_NS 250000000u

static bool claim(atomic_flag *flag)
{
    return !atomic_flag_test_and_set_explicit(flag, memory_order_acquire);
}

static void release(atomic_flag *flag)
{
    atomic_flag_clear_explicit(flag, memory_order_release);
}

static uint16_t number_of(const struct nd_wire_lane *l)
{
    return (uint16_t)(l->lane % l->port->queues);
}

static struct nd_wire_queue *queue_of(const struct nd_wire_lane *l)
{
    return &l->port->queue[number_of(l)];
}

static uint8_t *place(void *ctx)
{
    struct nd_wire_lane *l = ctx;

    if (!l->out && !(l->out = rte_pktmbuf_alloc(l->port->pool)))
        return NULL;
    if (!claim(&queue_of(l)->sends))
        return NULL;
    return rte_pktmbuf_mtod(l->out, uint8_t *);
}

/* What the port does not take is lost, and the lane sends it again. */
static void send_frame(void *ctx, uint32_t bytes)
{
    struct nd_wire_lane *l = ctx;

    l->out->data_len = (uint16_t)bytes;
    l->out->pkt_len = bytes;
    if (rte_eth_tx_burst(l->port->id, number_of(l), &l->out, 1) == 1)
        l->out = NULL;
    else
        atomic_fetch_add_explicit(&l->refused, 1, memory_order_relaxed);
    release(&queue_of(l)->sends);
}

/* Which lane the frame is for. What is no lane's is nobody's, and this one's to count. */
static struct nd_wire_lane *lane_of(struct nd_wire_lane *l, const struct rte_mbuf *m)
{
    struct ft_link_head head;

    if (m->nb_segs != 1 || !ft_link_get_head(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len, &head) ||
        head.lane >= l->port->lanes)
        return l;
    return &l->port->lane[head.lane];
}

/* Takes what has come by the lane's queue: its own frames, in the order in which they came, behind those
 * that others have found. */
static void take_burst(struct nd_wire_lane *l)
{
    struct rte_mbuf *came[ND_WIRE_BURST];
    uint16_t n;

    if (!claim(&queue_of(l)->takes))
        return;
    if (!l->found || rte_ring_empty(l->found)) { /* nobody finds more while the queue is claimed */
        n = rte_eth_rx_burst(l->port->id, number_of(l), came, ND_WIRE_BURST);
        for (uint16_t i = 0; i < n; i++) {
            struct nd_wire_lane *to = l->found ? lane_of(l, came[i]) : l;

            if (to == l)
                l->in[l->count++] = came[i];
            else if (rte_ring_enqueue(to->found, came[i]) != 0) {
                atomic_fetch_add_explicit(&to->crowded, 1, memory_order_relaxed);
                rte_pktmbuf_free(came[i]);
            }
        }
    }
    release(&queue_of(l)->takes);
}

static const uint8_t *receive(void *ctx, uint32_t *bytes)
{
    struct nd_wire_lane *l = ctx;

    if (l->at)
        rte_pktmbuf_free(l->in[l->at - 1]);
    if (l->at == l->count) {
        l->at = l->count = 0;
        if (l->found)
            l->count = (uint16_t)rte_ring_dequeue_burst(l->found, (void **)l->in, ND_WIRE_BURST, NULL);
        if (l->count == 0)
            take_burst(l);
        if (l->count == 0)
            return NULL;
    }
    struct rte_mbuf *m = l->in[l->at++];

    *bytes = m->nb_segs == 1 ? m->data_len : 0;
    return rte_pktmbuf_mtod(m, const uint8_t *);
}

void nd_link_port_begin(struct nd_wire_port *port, struct rte_mempool *pool, unsigned lanes)
{
    *port = (struct nd_wire_port){.pool = pool, .lanes = lanes, .queues = 1};
    for (unsigned l = 0; l < lanes; l++) {
        struct nd_wire_lane *of = &port->lane[l];

        *of =
            (struct nd_wire_lane){.wire = {.ctx = of, .place = place, .send = send_frame, .receive = receive},
                                  .port = port,
                                  .lane = l};
        atomic_flag_clear(&port->queue[l].sends);
        atomic_flag_clear(&port->queue[l].takes);
    }
}

bool nd_link_port_claim(struct nd_wire_port *port)
{
    for (unsigned i = 0; i < 2 * port->queues; i++) {
        struct nd_wire_queue *q = &port->queue[i / 2];

        if (claim(i % 2 ? &q->takes : &q->sends))
            continue;
        while (i-- > 0)
            release(i % 2 ? &port->queue[i / 2].takes : &port->queue[i / 2].sends);
        return false;
    }
    port->stopped = true;
    return true;
}

/* By DPDK's interrupt thread, which is where memif takes notice of a server that goes: its driver has no lock
 * against a stop by another thread meanwhile, and frees the same channel twice. */
static void start_again(void *arg)
{
    struct nd_wire_port *port = arg;

    (void)rte_eth_dev_stop(port->id);
    if (rte_eth_dev_start(port->id) == 0) {
        for (unsigned q = 0; q < port->queues; q++) {
            release(&port->queue[q].sends);
            release(&port->queue[q].takes);
        }
        port->stopped = false;
    }
    atomic_store_explicit(&port->is_starting, false, memory_order_release);
}

/* By the device and by lanes. */
static void count_lost(struct nd_wire_port *port)
{
    struct rte_eth_stats device = {0};

    if (rte_eth_stats_get(port->id, &device) != 0)
        return;
    port->tx_lost = device.oerrors;
    port->rx_missed = device.imissed + device.ierrors + device.rx_nombuf;
    for (unsigned l = 0; l < port->lanes; l++) {
        port->tx_lost += atomic_load_explicit(&port->lane[l].refused, memory_order_relaxed);
        port->rx_missed += atomic_load_explicit(&port->lane[l].crowded, memory_order_relaxed);
    }
}

void nd_link_port_watch(struct nd_wire_port *port, uint64_t now)
{
    struct rte_eth_link link;

    if (!port->is_open || now - port->looked < LOOK_NS ||
        atomic_load_explicit(&port->is_starting, memory_order_acquire))
        return;
    port->looked = now;
    count_lost(port);
    if (!port->connects)
        return;
    if (!port->stopped) {
        if (rte_eth_link_get_nowait(port->id, &link) != 0 || link.link_status == RTE_ETH_LINK_UP ||
            !nd_link_port_claim(port))
            return;
    }
    atomic_store_explicit(&port->is_starting, true, memory_order_release);
    if (rte_eal_alarm_set(1, start_again, port) != 0)
        atomic_store_explicit(&port->is_starting, false, memory_order_release);
}

/* By DPDK's interrupt thread. */
static void stop_for_good(void *arg)
{
    struct nd_wire_port *port = arg;

    (void)rte_eth_dev_stop(port->id);
    atomic_store_explicit(&port->is_starting, false, memory_order_release);
}

void nd_link_port_close(struct nd_wire_port *port)
{
    void *m;

    if (!port->is_open)
        return;
    (void)rte_eal_alarm_cancel(start_again, port);
    for (unsigned i = 0; i < port->lanes; i++) {
        struct nd_wire_lane *l = &port->lane[i];

        for (uint16_t at = l->at ? l->at - 1 : 0; at < l->count; at++)
            rte_pktmbuf_free(l->in[at]);
        rte_pktmbuf_free(l->out);
        while (l->found && rte_ring_dequeue(l->found, &m) == 0)
            rte_pktmbuf_free(m);
        rte_ring_free(l->found);
    }
    /* The peer may end now as well: the driver's handler of that runs in the interrupt thread, and the stop
     * frees what that one frees. */
    atomic_store_explicit(&port->is_starting, true, memory_order_release);
    if (rte_eal_alarm_set(1, stop_for_good, port) != 0)
        stop_for_good(port);
    while (atomic_load_explicit(&port->is_starting, memory_order_acquire))
        rte_delay_us_sleep(100);
    rte_eth_dev_close(port->id);
    port->is_open = false;
}
