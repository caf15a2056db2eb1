/* SPDX-License-Identifier: Apache-2.0 */
/* Frames that the peer crashed on; see quarantine.h. */
#include "node/crash/quarantine.h"
#include "nflib/chain/mark.h"
#include "node/base/clock.h"

#include <string.h>

enum nd_quarantine_verdict nd_quarantine_begin(struct nd_quarantine *q, const struct ft_crash_notice *notice,
                                               uint64_t now, uint32_t seconds, uint32_t most)
{
    bool by_packets = nf_doing_has_packets(notice->doing);
    bool another = by_packets && notice->before[0] && strcmp(notice->before, notice->nf) != 0;

    if (!another && (!notice->fingerprints || !seconds))
        return ND_QUARANTINE_NONE;
    atomic_store_explicit(&q->count, 0, memory_order_release);
    if (another)
        return ND_QUARANTINE_ENDED;
    memcpy(q->fingerprint, notice->fingerprint, sizeof(q->fingerprint));
    memcpy(q->nf, by_packets ? notice->nf : notice->before, sizeof(q->nf));
    atomic_store(&q->until, now + seconds * 1000000000ull);
    atomic_store(&q->most, most);
    atomic_store(&q->dropped, 0);
    for (uint32_t i = 0; i < ND_QUARANTINE_KEPT; i++)
        atomic_store(&q->whole[i], false);
    atomic_store(&q->claimed, 0);
    atomic_store_explicit(&q->count, notice->fingerprints, memory_order_release);
    return ND_QUARANTINE_BEGUN;
}

static void keep_frame(struct nd_quarantine *q, const void *bytes, uint32_t have, uint32_t wire, uint8_t port)
{
    uint32_t at = atomic_load_explicit(&q->claimed, memory_order_relaxed);
    struct nd_crash_frame *f;

    do
        if (at >= ND_QUARANTINE_KEPT)
            return;
    while (!atomic_compare_exchange_weak(&q->claimed, &at, at + 1));
    f = &q->frame[at];
    f->time = nd_wall();
    f->wire = wire;
    f->have = have < ND_CRASH_BYTES ? have : ND_CRASH_BYTES;
    f->port = port;
    memcpy(f->bytes, bytes, f->have);
    atomic_store_explicit(&q->whole[at], true, memory_order_release);
}

bool nd_quarantine_takes(struct nd_quarantine *q, const void *frame, uint32_t taken, uint32_t wire,
                         uint8_t port)
{
    struct ft_fingerprint own = ft_fingerprint(frame, taken, wire);
    uint32_t count = atomic_load_explicit(&q->count, memory_order_acquire);
    bool found = false;

    for (uint32_t i = 0; i < count && !found; i++)
        found = q->fingerprint[i].low == own.low && q->fingerprint[i].high == own.high;
    if (!found)
        return false;
    keep_frame(q, frame, wire, wire, port);
    if (atomic_fetch_add(&q->dropped, 1) + 1 >= atomic_load(&q->most))
        atomic_store_explicit(&q->count, 0, memory_order_release);
    return true;
}
