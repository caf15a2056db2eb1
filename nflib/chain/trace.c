/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Owns the rule by which asker and lanes share a trace: a lane marks that it is inside before it looks
 * whether the trace still runs, the asker ends the trace before it looks whether a lane is inside. So one of
 * the two sees the other, and neither waits.
 */
#include "nflib/chain/trace.h"

#include "nflib/nf.h"

#include <string.h>

_Static_assert(NF_TRACE_MAX >= NF_BURST_MAX, "a burst's packets have room in a lane's list");

/* ---- the asker --------------------------------------------------------------------------------- */

bool nf_trace_begin(struct nf_trace *t, uint32_t count, uint32_t snap, nf_trace_filter *filter,
                    const void *arg)
{
    FT_CHECK(count >= 1 && count <= NF_TRACE_MAX, "a trace of %u packets", count);
    FT_CHECK(snap <= NF_TRACE_FRAME, "a trace of %u bytes a frame", snap);
    if (atomic_load(&t->left) || atomic_load(&t->inside))
        return false;
    t->filter = filter;
    t->arg = arg;
    t->snap = snap;
    t->asked = count;
    t->unclaimed = 0;
    atomic_store(&t->left, count);
    return true;
}

/* ---- a lane ------------------------------------------------------------------------------------ */

bool nf_tracing_join(struct nf_tracing *tracing, struct nf_trace *trace, unsigned lane, uint64_t time)
{
    atomic_fetch_add(&trace->inside, 1);
    if (!atomic_load(&trace->left)) {
        atomic_fetch_sub(&trace->inside, 1);
        return false;
    }
    tracing->trace = trace;
    tracing->lane = lane;
    tracing->time = time;
    tracing->count = 0;
    return true;
}

/* The next place, NULL: all are claimed. Places are claimed from the first one on. */
static struct nf_traced *claim_place(struct nf_trace *t)
{
    uint32_t left = atomic_load(&t->left);

    while (left && !atomic_compare_exchange_weak(&t->left, &left, left - 1))
        ;
    return left ? &t->packet[t->asked - left] : NULL;
}

static struct nf_trace_ends ends_of(const struct nf_packet *p)
{
    struct nf_trace_ends ends = {
        .saddr = p->saddr, .daddr = p->daddr, .sport = p->sport, .dport = p->dport, .flags = p->flags};

    if (p->flags & NF_P_IPV6_READ)
        memcpy(ends.ipv6, nf_packet_ipv6_addresses(p), sizeof(ends.ipv6));
    return ends;
}

static void keep_frame(struct nf_traced_frame *to, const struct nf_packet *p, uint32_t snap)
{
    uint32_t have = p->have < p->len ? p->have : p->len;

    to->len = p->len;
    to->have = have < snap ? have : snap;
    memcpy(to->bytes, p->data, to->have);
}

void nf_tracing_claim(struct nf_tracing *tracing, struct nf_packet *packets, uint32_t n, uint64_t burst,
                      uint64_t seq)
{
    struct nf_trace *t = tracing->trace;
    struct nf_traced *to;

    for (uint32_t i = 0; i < n; i++) {
        struct nf_packet *p = &packets[i];

        if (p->drop) /* set aside */
            continue;
        if (t->filter && !t->filter(t->arg, p->data, p->len, p->have))
            continue;
        to = claim_place(t);
        if (!to)
            return;
        *to = (struct nf_traced){.burst = burst,
                                 .seq = seq + i,
                                 .time = tracing->time,
                                 .len = p->len,
                                 .lane = (uint8_t)tracing->lane,
                                 .in_port = p->in_port,
                                 .side = p->side,
                                 .proto = p->proto,
                                 .ends = ends_of(p)};
        if (t->snap)
            keep_frame(&t->in[to - t->packet], p, t->snap);
        tracing->of[tracing->count].packet = p;
        tracing->of[tracing->count].over = false;
        tracing->of[tracing->count++].to = to;
    }
}

void nf_tracing_step(struct nf_tracing *tracing, const struct nf *nfs, uint8_t nf, uint8_t side)
{
    bool behind = nf == NF_DROP_SESSIONS;

    for (uint32_t i = 0; i < tracing->count; i++) {
        struct nf_packet *p = tracing->of[i].packet;
        struct nf_traced *to = tracing->of[i].to;
        bool passes_it = side == NF_TRACING_SIDES || (p->side == side && !(p->flags & NF_P_LOCAL));

        if (tracing->of[i].over || !passes_it || (behind && !p->drop) || to->steps == NF_TRACE_STEPS)
            continue;
        /* Sessions drop also in an NF's join, and behind them in the name of an NF. */
        uint8_t place = p->drop && (behind || p->drop_nf == NF_DROP_SESSIONS) ? p->drop_nf : nf;

        to->step[to->steps].nf = place;
        to->step[to->steps].module = place == NF_DROP_SESSIONS ? NULL : nfs[place].module;
        to->step[to->steps].drop = p->drop;
        if (p->drop && place != NF_DROP_SESSIONS && nfs[place].module && nfs[place].module->why &&
            !nfs[place].module->why(&nfs[place], p, to->why, sizeof(to->why)))
            to->why[0] = '\0';
        to->step[to->steps++].ends = ends_of(p);
        tracing->of[i].over = p->drop;
    }
}

void nf_tracing_leave(struct nf_tracing *tracing)
{
    struct nf_trace *t = tracing->trace;

    for (uint32_t i = 0; i < tracing->count; i++) {
        const struct nf_packet *p = tracing->of[i].packet;
        struct nf_traced *to = tracing->of[i].to;

        to->out_port = p->out_port;
        to->local = p->flags & NF_P_LOCAL;
        if (t->snap && p->drop)
            t->out[to - t->packet].len = 0;
        else if (t->snap)
            keep_frame(&t->out[to - t->packet], p, t->snap);
    }
    tracing->trace = NULL;
    atomic_fetch_sub(&t->inside, 1);
}

bool nf_trace_whole(const struct nf_trace *t)
{
    return !atomic_load(&t->left) && !atomic_load(&t->inside);
}

void nf_trace_end(struct nf_trace *t)
{
    t->unclaimed += atomic_exchange(&t->left, 0); /* `asked` stays: a lane may be about to use it */
}

bool nf_trace_over(const struct nf_trace *t, uint32_t *count)
{
    *count = t->asked - t->unclaimed;
    return nf_trace_whole(t);
}
