/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The peer of a primary that is measured alone: a standby that is never behind. Of each record it reads the
 * head, for its number and its size; what it has it says it has replayed. While the tape is open it keeps
 * what came, as it came.
 */
#include "tools/bench/half.h"

#include <string.h>

static int keep_snapshot(struct nd_bench_tape *t, const struct ft_message *m, struct ft_fault *fault)
{
    uint32_t len = m->bulk_len;

    if (t->snapshot_bytes + sizeof(len) + len > sizeof(t->snapshot))
        return ft_fail(fault, FT_EFULL, "a snapshot of more than %u MB, expected one that can be kept",
                       ND_TAPE_SNAPSHOT >> 20);
    memcpy(t->snapshot + t->snapshot_bytes, &len, sizeof(len));
    memcpy(t->snapshot + t->snapshot_bytes + sizeof(len), m->bulk, len);
    t->snapshot_bytes += sizeof(len) + len;
    t->snapshots++;
    return 0;
}

/* Whole messages only; what does not fit ends the tape. */
static bool keeps_log(struct nd_bench_tape *t, const struct ft_message *m)
{
    if (!t || atomic_load_explicit(&t->closed, memory_order_relaxed))
        return false;
    if (t->log_bytes + m->bulk_len > sizeof(t->log)) {
        atomic_store(&t->closed, true);
        return false;
    }
    memcpy(t->log + t->log_bytes, m->bulk, m->bulk_len);
    t->log_bytes += m->bulk_len;
    return true;
}

static int take_log(struct nd_bench_half *h, const struct ft_message *m, struct ft_fault *fault)
{
    struct nd_bench_tape *t = keeps_log(h->tape, m) ? h->tape : NULL;
    struct ft_record *r = &h->numbers;

    for (uint32_t at = 0; at < m->bulk_len;) {
        long n = ft_record_peek(m->bulk + at, m->bulk_len - at, r, fault);

        if (n < 0)
            return (int)n;
        if (r->burst != h->closed + 1 || r->lane != 0)
            return ft_fail(fault, FT_EORDER, "burst %lu of lane %u, expected burst %lu of lane 0", r->burst,
                           r->lane, h->closed + 1);
        at += (uint32_t)n;
        h->closed = r->burst;
        h->taken += r->size;
        if (t) {
            t->records++;
            t->packets += r->inputs;
            t->last = r->burst;
        }
    }
    h->fresh = true;
    return 0;
}

int nd_bench_peer_take(struct nd_bench_half *h, const struct ft_message *m, struct ft_fault *fault)
{
    struct nd_bench_tape *t = h->tape;

    if (m->type == FT_MSG_SNAPSHOT_BEGIN) {
        h->closed = m->burst[0];
        h->taken = 0;
        if (t && !atomic_load(&t->closed)) {
            t->burst = t->last = m->burst[0];
            t->access = m->access[0];
            t->snapshots = 0;
            t->snapshot_bytes = t->log_bytes = t->records = t->packets = 0;
        }
    }
    if (m->type == FT_MSG_DELTA)
        return ft_fail(fault, FT_EMALFORMED, "a delta, expected records alone");
    if (!ft_core_accepts(&h->core, m))
        return 0;
    if (m->type == FT_MSG_SNAPSHOT)
        return t && !atomic_load(&t->closed) ? keep_snapshot(t, m, fault) : 0;
    return m->type == FT_MSG_LOG ? take_log(h, m, fault) : 0;
}

void nd_bench_peer_turn(struct nd_bench_half *h)
{
    struct ft_event event = {
        .kind = FT_EV_LANES, .closed[0] = h->closed, .replayed[0] = h->closed, .taken[0] = h->taken};

    if (!h->fresh)
        return;
    h->fresh = false;
    nd_bench_half_step(h, &event);
    FT_REPORT_SET(&h->slot->words[0], executed, h->closed);
}
