/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log rings → LOG and DELTA messages. Reads the lanes' rings, in which records and parts of deltas lie in the
 * order of the lane's stream; a message has one kind, and ends where the kind changes, so the order is kept.
 * What it may send is bounded by the link's room and by the standby's credit: bytes of entries sent and not
 * yet taken there stay below pending_bytes. When either is used up the entries stay in the ring, the ring
 * fills, and the lane stops receiving.
 *
 * What of the ring belongs to the stream that a base begins is known by its place: a lane tells with its cut
 * how much it had ever published (`cut_at`). A part's numbers would not tell, for a lane that did nothing
 * ends a share at the burst at which the base was cut.
 */
#include "replicator/parts.h"

#include <stdlib.h>
#include <string.h>

#ifndef COST_WINDOW
#define COST_WINDOW (4ull << 20) /* bytes in memory after which older ones count half */
#endif
#ifndef SEND_LEAST
#define SEND_LEAST FT_RECORD_MAX /* room in the link that any entry fits in, with a batch before it */
#endif

int rp_sender_init(struct rp_replicator *rp)
{
    rp->sender.bulk = malloc(FT_BULK_MAX);
    rp->sender.clocks = calloc(rp->lanes, sizeof(*rp->sender.clocks));
    return rp->sender.bulk && rp->sender.clocks ? 0 : FT_ENOMEM;
}

void rp_sender_free(struct rp_replicator *rp)
{
    free(rp->sender.bulk);
    free(rp->sender.clocks);
}

void rp_sender_begin(struct rp_replicator *rp)
{
    struct rp_sender *s = &rp->sender;

    for (unsigned l = 0; l < rp->lanes; l++) {
        s->from[l] = atomic_load_explicit(&rp_lane(rp, l)->cut_burst, memory_order_relaxed);
        s->start[l] = atomic_load_explicit(&rp_lane(rp, l)->cut_at, memory_order_relaxed);
        s->sent[l] = s->clock[l] = s->burst[l] = 0;
        atomic_store_explicit(&rp_lane(rp, l)->cost_log, 0, memory_order_relaxed); /* another standby */
        atomic_store_explicit(&rp_lane(rp, l)->cost_delta, 0, memory_order_relaxed);
        memset(s->clocks[l], 0, sizeof(s->clocks[l]));
    }
    s->on = true;
}

/* False for what nobody wants: there is no standby, or its base has it already. */
static bool wanted(const struct rp_replicator *rp, unsigned l, const struct ft_record *r)
{
    const struct rp_sender *s = &rp->sender;

    return s->on && rp->config.lanes[l].log.read >= s->start[l] && (ft_is_part(r) || r->burst > s->from[l]);
}

static bool has_credit(const struct rp_replicator *rp, unsigned lane, const struct ft_record *r)
{
    return rp->sender.sent[lane] + r->size <= rp->core.peer_taken[lane] + rp->config.pending_bytes;
}

static size_t bound(const struct ft_record *r)
{
    return ft_is_part(r) ? ft_part_bound(ft_part_of(r)) : ft_record_bound(r);
}

static long encode(const struct ft_record *r, uint8_t *out, size_t cap)
{
    return ft_is_part(r) ? ft_part_encode(ft_part_of(r), out, cap) : ft_record_encode(r, out, cap);
}

static void note_sent(struct rp_replicator *rp, const struct ft_record *r)
{
    struct rp_sender *s = &rp->sender;
    uint64_t burst = r->burst, clock = r->clock + r->inputs;

    if (ft_is_part(r)) {
        burst = ft_part_of(r)->burst;
        clock = ft_part_of(r)->clock;
        rp->shown.parts_sent++;
        rp->shown.delta_bytes_raw += r->size;
    } else {
        rp->shown.records_sent++;
        rp->shown.log_bytes_raw += r->size;
    }
    s->sent[r->lane] += r->size;
    if (clock > s->clock[r->lane]) /* a spread checkpoint's parts tell of an earlier burst */
        s->clock[r->lane] = clock;
    if (burst > s->burst[r->lane])
        s->burst[r->lane] = burst;
    s->clocks[r->lane][burst % RP_CLOCKS] = clock;
}

/* What one turn sends: entries of one kind. */
struct batch {
    uint32_t len, most; /* bytes of bulk */
    uint64_t raw;       /* … in memory */
    bool any, parts;
    bool spread; /* parts of a checkpoint */
    bool other;  /* something of the other kind was next */
};

/* Encodes what one lane's ring holds, up to where the kind changes. */
static void gather(struct rp_replicator *rp, unsigned l, struct batch *b)
{
    struct ft_lane *lane = rp_lane(rp, l);
    uint64_t there;
    const struct ft_record *r;

    for (; (r = ft_ring_peek(&lane->log, &there)); ft_ring_advance(&lane->log, r->size)) {
        if (!wanted(rp, l, r))
            continue;
        if (b->any && b->parts != ft_is_part(r)) {
            b->other = true;
            return;
        }
        if (b->len >= b->most || b->len + bound(r) > FT_BULK_MAX)
            return;
        if (!has_credit(rp, l, r)) {
            rp->shown.credit_waits++;
            return;
        }
        long n = encode(r, rp->sender.bulk + b->len, FT_BULK_MAX - b->len);

        FT_CHECK(n > 0, "lane %u's %s cannot be encoded: %s", l, ft_is_part(r) ? "part" : "record",
                 ft_error_name((int)n));
        b->any = true;
        b->parts = ft_is_part(r);
        b->spread = b->parts && r->flags & FT_PART_SPREAD;
        b->len += (uint32_t)n;
        b->raw += r->size;
        note_sent(rp, r);
    }
}

static uint64_t ratio(struct rp_bytes *of, uint64_t raw, uint64_t wire)
{
    of->raw += raw;
    of->wire += wire;
    if (of->raw > COST_WINDOW) {
        of->raw /= 2;
        of->wire /= 2;
    }
    raw = of->wire * FT_PACKING_UNIT / of->raw;
    return raw ? raw : 1;
}

/* Lanes choose the kind of their next segment by it. */
static void publish_bytes(struct rp_replicator *rp, const struct batch *b, uint64_t wire)
{
    struct rp_sender *s = &rp->sender;
    uint64_t now = ratio(!b->parts ? &s->log : b->spread ? &s->checkpoint : &s->delta, b->raw, wire);

    for (unsigned l = 0; l < rp->lanes; l++) {
        struct ft_packing *p = &rp_lane(rp, l)->packing;

        atomic_store_explicit(!b->parts   ? &p->log
                              : b->spread ? &p->checkpoint
                                          : &p->delta,
                              now, memory_order_relaxed);
    }
    if (b->parts)
        rp->shown.delta_bytes_wire += wire;
    else
        rp->shown.log_bytes_wire += wire;
}

static void send_batch(struct rp_replicator *rp, const struct batch *b)
{
    struct ft_packer *packer = b->parts ? &rp->sender.pack_delta : &rp->sender.pack_log;
    uint64_t before = packer->packed;
    bool packs = rp_pace_packs(rp);
    struct ft_message m;

    ft_core_head(&rp->core, b->parts ? FT_MSG_DELTA : FT_MSG_LOG, rp->now, &m);
    m.bulk = rp->sender.bulk;
    m.bulk_len = b->len;
    int error = rp_link_send(rp->link, &m, rp->lanes, packs ? packer : NULL);

    FT_CHECK(error == 0, "the link has no room for %u bytes though it said so", b->len);
    rp->pace.sent = rp->now;
    publish_bytes(rp, b, packs ? packer->packed - before : b->len);
}

static void publish_unreplayed(struct rp_replicator *rp)
{
    for (unsigned l = 0; l < rp->lanes; l++) {
        uint64_t sent = rp->sender.on ? rp->sender.sent[l] : 0, taken = rp->core.peer_taken[l];

        sent = sent > taken ? sent - taken : 0;
        atomic_store_explicit(&rp_lane(rp, l)->unreplayed, sent, memory_order_relaxed);
        atomic_store_explicit(&rp_lane(rp, l)->taken_at, rp_lane(rp, l)->log.read - sent,
                              memory_order_relaxed);
    }
}

static uint64_t there(struct rp_replicator *rp)
{
    uint64_t bytes = 0;

    for (unsigned l = 0; l < rp->lanes; l++)
        bytes += ft_ring_used(&rp_lane(rp, l)->log);
    return bytes;
}

bool rp_sender_turn(struct rp_replicator *rp)
{
    size_t room = rp_link_room(rp->link);
    struct batch b = {.most = room < RP_BATCH ? (uint32_t)room : RP_BATCH};

    bool left = rp->sender.more;

    publish_unreplayed(rp);
    rp->sender.more = false;
    /* A lane may have made the cut by now, and be at its new stream: what is behind the cut is not ours to
     * drop before all of them have. */
    if (rp->base.cutting || (rp->sender.on && room < SEND_LEAST))
        return false;
    /* Nor is the second half of what came together held back: records behind a part of a checkpoint. */
    if (rp->sender.on && !left && rp_pace_holds(rp, there(rp)))
        return false;
    /* A busy lane that comes first each time would leave nothing to the others. */
    rp->sender.first = (rp->sender.first + 1) % rp->lanes;
    for (unsigned i = 0; i < rp->lanes; i++)
        gather(rp, (rp->sender.first + i) % rp->lanes, &b);
    rp->sender.more = b.len >= b.most || b.other;
    if (b.any)
        send_batch(rp, &b);
    for (unsigned l = 0; l < rp->lanes; l++)
        ft_ring_consume(&rp_lane(rp, l)->log);
    return b.any;
}

uint64_t rp_sender_lag(const struct rp_replicator *rp)
{
    uint64_t lag = 0;

    if (!rp->sender.on)
        return 0;
    for (unsigned l = 0; l < rp->lanes; l++) {
        uint64_t replayed = rp->sender.clocks[l][rp->core.peer_replayed[l] % RP_CLOCKS];

        if (replayed && rp->sender.clock[l] > replayed)
            lag += rp->sender.clock[l] - replayed;
    }
    return lag;
}
