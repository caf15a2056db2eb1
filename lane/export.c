/* SPDX-License-Identifier: Apache-2.0 */
/* A lane's part in the export of its log of flows (export.h): which events may leave, and how far the export
 * has come. On the lane's own thread. */
#include "lane/export.h"
#include "ftcore/base/plant.h"
#include "lane/parts.h"
#include "nflib/chain/chain.h"

void nd_lane_export_end(struct nd_lane *lane)
{
    struct nd_export_queue *q = lane->export.queue;

    if (q)
        atomic_store_explicit(&q->floor, atomic_load_explicit(&q->head, memory_order_relaxed),
                              memory_order_release);
}

void nd_lane_export_begin(struct nd_lane *lane)
{
    const struct nf_log *log = nf_chain_log(lane->chain);
    struct nd_export *e = &lane->export;

    if (!e->queue || !log)
        return;
    nd_lane_export_end(lane);
    e->lineage = log->lineage;
    e->given = e->at = FT_PLANTED("export-forgets") ? log->made : log->exported;
    e->from = atomic_load_explicit(&e->queue->head, memory_order_relaxed);
}

/* Position in the log. */
static uint64_t exported(const struct nd_export *e, uint64_t tail)
{
    return tail > e->from ? e->at + (tail - e->from) : e->at;
}

/* While it hands its role over, the lane adds nothing: its last bursts record what is exported until then. */
void nd_lane_export(struct nd_lane *lane)
{
    const struct nf_log *log = nf_chain_log(lane->chain);
    uint64_t stable = FT_PLANTED("export-early") ? FT_ALL : FT_ORDER_GET(lane->shared, stable);
    struct nd_export_queue *q = lane->export.queue;
    struct nd_export *e = &lane->export;
    uint64_t head, tail;

    if (!log)
        return;
    if (ft_unlikely(log->lineage != e->lineage || log->made < e->given))
        nd_lane_export_begin(lane);
    head = atomic_load_explicit(&q->head, memory_order_relaxed);
    tail = atomic_load_explicit(&q->tail, memory_order_acquire);
    if (!FT_PLANTED("export-repeats"))
        nf_chain_log_told(lane->chain,
                          (struct nf_log_told){.exported = exported(e, tail),
                                               .wall = atomic_load_explicit(&q->wall, memory_order_relaxed) -
                                                       (int64_t)lane->time_offset});
    for (; lane->doing == FT_LANE_LIVE && e->given < log->made && head - tail < ND_EXPORT_EVENTS;
         e->given++) {
        const struct nf_log_event *event = &log->ring[e->given % log->capacity];

        if (event->burst > stable)
            break;
        q->event[head++ % ND_EXPORT_EVENTS] = *event;
    }
    atomic_store_explicit(&q->head, head, memory_order_release);
}
