/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far the standby is behind. One acknowledgement tells what it has stored and what it has replayed, so
 * the way between the nodes does not count. What a hot one still has to replay is told to each lane in time
 * (orders.lag_ns): packets, times what it took for a packet of late. That is measured while it has work: in
 * windows of a millisecond and more in which it never had replayed all: an acknowledgement tells of what is
 * stored before it can be replayed, so it had replayed all when it tells of what the one before told as
 * stored. A window in which it had counts only when it was quicker than the mean, or a mean that is too high
 * would keep a lane from sending enough to correct it. Owned by the replicator's thread.
 */
#include "replicator/parts.h"

#define WINDOW_NS 1000000u
#define WEIGHT    4 /* a window counts as one of so many */

/* The next packet's sequence number after burst `burst`. Of a burst that is not remembered any more it is
 * that of the oldest one that is. */
static uint64_t seq_after(const struct rp_replicator *rp, unsigned l, uint64_t burst)
{
    const struct rp_sender *s = &rp->sender;
    uint64_t oldest = s->burst[l] < RP_SEQ_MEMORY ? 0 : s->burst[l] - RP_SEQ_MEMORY + 1;

    return s->seq_of[l][(burst < oldest ? oldest : burst) % RP_SEQ_MEMORY];
}

/* What it stored of what was sent; nothing of what a snapshot holds was. */
static uint64_t stored(const struct rp_replicator *rp, unsigned l)
{
    uint64_t burst = rp->core.peer_closed[l];

    return burst < rp->sender.burst[l] ? burst : rp->sender.burst[l];
}

static void measure_replay(struct rp_replicator *rp, struct rp_drain *d, uint64_t seq, uint64_t stored_seq)
{
    uint64_t passed = rp->now - d->at;
    double ns = seq > d->seq ? (double)passed / (double)(seq - d->seq) : 0;

    /* Replay of what is acknowledged as stored goes on meanwhile: what the acknowledgement before told of. */
    if (seq != d->seen) {
        d->idle |= seq >= d->stored;
        d->seen = seq;
    }
    d->stored = stored_seq;
    if (passed < WINDOW_NS || (ns <= 0 && !d->idle)) /* without progress the window stays open */
        return;
    if (d->seq && ns > 0 && (!d->idle || ns < d->ns))
        d->ns = d->ns > 0 ? d->ns + (ns - d->ns) / WEIGHT : ns;
    d->at = rp->now;
    d->seq = seq;
    d->idle = seq >= stored_seq;
}

static uint64_t lag_ns(struct rp_replicator *rp, unsigned l)
{
    uint64_t last = stored(rp, l), replayed = rp->core.peer_replayed[l], from, to;

    if (replayed <= rp->sender.from[l]) /* nothing of what was sent, yet */
        return 0;
    from = seq_after(rp, l, replayed);
    to = seq_after(rp, l, last);
    measure_replay(rp, &rp->sender.drain[l], from, to);
    return replayed < last ? (uint64_t)((double)(to - from) * rp->sender.drain[l].ns) : 0;
}

/* Lanes read these words with the gate's each turn: an unchanged one is not written, or its line would come
 * from the other core again. */
static void store_if_new(_Atomic uint64_t *word, uint64_t value)
{
    if (atomic_load_explicit(word, memory_order_relaxed) != value)
        atomic_store_explicit(word, value, memory_order_relaxed);
}

void rp_lag_publish(struct rp_replicator *rp)
{
    bool on = rp->sender.on;

    for (unsigned l = 0; l < rp->lanes; l++) {
        uint64_t sent = rp->sender.sent[l], taken = rp->core.peer_taken[l];

        store_if_new(&rp_lane(rp, l)->orders.unreplayed, on && sent > taken ? sent - taken : 0);
        store_if_new(&rp_lane(rp, l)->orders.lag_ns, on && !rp->config.core.warm ? lag_ns(rp, l) : 0);
    }
}

uint64_t rp_lag_packets(const struct rp_replicator *rp)
{
    uint64_t lag = 0;

    for (unsigned l = 0; rp->sender.on && l < rp->lanes; l++) {
        uint64_t replayed = seq_after(rp, l, rp->core.peer_replayed[l]);

        if (replayed && rp->sender.seq[l] > replayed)
            lag += rp->sender.seq[l] - replayed;
    }
    return lag;
}
