/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a primary sends: log rings → LOG and DELTA messages. Reads the lanes' rings, in which records and
 * chunks of deltas lie in the order of the lane's stream; a message has one kind, and ends where the kind
 * changes, so the order is kept. What it may send is bounded by the link's room and by the standby's credit:
 * bytes of entries sent and not yet taken there stay below pending_bytes. When either is used up the entries
 * stay in the ring, the ring fills, and the lane stops receiving.
 *
 * What of the ring belongs to the stream that a snapshot begins is known by its place: a lane reports with
 * its cut how much it had ever published (`cut_at`). A chunk's numbers would not do, for a lane that did
 * nothing ends a delta at the burst at which the snapshot was cut.
 *
 * How far the standby is behind: one acknowledgement reports what it has stored and what it has replayed, so
 * the way between the nodes does not count. What a hot one still has to replay is published to each lane as a
 * time (orders.lag_ns): packets, times what it took for a packet of late. That is measured while it has work,
 * in windows of a millisecond and more in which it never had replayed all that the acknowledgement before
 * reported as stored. A window in which it had counts only when it was quicker than the mean, or a mean that
 * is too high would keep a lane from sending enough to correct it.
 *
 * A small message leaves when the peer has received the one before, as Nagle's algorithm has it (RFC 896):
 * the peer's messages echo the newest `sent` that it has heard. A message of full size leaves at once. So
 * messages come as fast as both sides have a processor, and each carries what came together meanwhile.
 * Compressing pays only where the link is the limit: where the connection takes less than it is offered for a
 * while, though the peer reads. That is measured, with a memory for answers that did not last.
 *
 * A snapshot: this end asks the lanes for a cut, lets them copy pending lines to the copy at a limited rate,
 * and sends each copied line once. The copy has the region's size, so an edit never waits for this end. What
 * limits the rate is the budget given to the lanes and the link's room.
 */
#include "ftcore/base/plant.h"
#include "replicator/parts.h"

#include <stdlib.h>
#include <string.h>

#ifndef SEND_LEAST
#define SEND_LEAST FT_RECORD_MAX /* room in the link that any entry fits in, with a batch before it */
#endif

#define WINDOW_NS   1000000u
#define WEIGHT      4           /* a window counts as one of so many */
#define ACK_WAIT_NS 200000u     /* most that a small message waits for the echo of the last */
#define STALL_NS    10000000ull /* the connection took less than was offered; Linux counts that in ticks */
#ifndef RP_HOLD_NS
#define RP_HOLD_NS 1000000000ull /* the simulation's runs are shorter */
#endif
#define HOLD_MAX (64u * RP_HOLD_NS)
#ifndef RUN_MAX
#define RUN_MAX 2048u /* lines in a run: 128 KiB */
#endif
#define LINES_TURN                                                                                           \
    (16u * RUN_MAX) /* of a snapshot in one message: zeros take no room in it, but the peer's time */

int rp_sender_init(struct rp_replicator *rp)
{
    struct rp_sender *s = &rp->sender;
    struct rp_snapshot *p = &rp->snapshot;

    s->bulk = malloc(FT_BULK_MAX);
    s->seq_of = calloc(rp->lanes, sizeof(*s->seq_of));
    if (!s->bulk || !s->seq_of)
        return FT_ENOMEM;
    p->lines = rp->config.region->size >> FT_LINE_SHIFT;
    p->bulk = malloc(FT_BULK_MAX);
    return p->bulk && ft_lines_init(&p->unsent, p->lines) == 0 ? 0 : FT_ENOMEM;
}

void rp_sender_free(struct rp_replicator *rp)
{
    free(rp->sender.bulk);
    free(rp->sender.seq_of);
    free(rp->snapshot.bulk);
    ft_lines_free(&rp->snapshot.unsent);
}

/* Without memory for it the node ends, and its peer takes over with the chain that it has. */
void rp_snapshot_fit(struct rp_replicator *rp)
{
    struct rp_snapshot *s = &rp->snapshot;
    uint64_t lines = rp->config.region->size >> FT_LINE_SHIFT;

    if (lines == s->lines)
        return;
    s->lines = lines;
    ft_lines_free(&s->unsent);
    FT_CHECK(ft_lines_init(&s->unsent, lines) == 0, "no memory for a set of %lu lines", lines);
}

/* ---- when a message leaves, and whether it is compressed ---------------------------------------- */

/* An answer stands for a second; when it was right again soon after it was dropped, twice as long. */
static void adopt_answer(struct rp_answer *a, uint64_t now)
{
    if (!a->yes) {
        bool again = a->count && now - a->dropped < a->hold;

        a->hold = !again ? RP_HOLD_NS : a->hold < HOLD_MAX ? a->hold * 2 : HOLD_MAX;
        a->yes = true;
        a->count++;
    }
    a->seen = now;
}

static void reconsider_answer(struct rp_answer *a, uint64_t now)
{
    if (a->yes && now - a->seen >= a->hold) {
        a->yes = false;
        a->dropped = now;
    }
}

/* A message of `there` bytes waits: it is small, and the peer has not echoed the one before. */
static bool is_held(const struct rp_replicator *rp, uint64_t there)
{
    const struct ft_core *core = &rp->core;

    return there < RP_BATCH && core->state == FT_PROTECTED && !core->hand && !core->resync &&
           core->peer.echoed < rp->schedule.sent && rp->now < rp->schedule.sent + ACK_WAIT_NS;
}

/* While the connection takes less than it is offered: is that since the peer does not read? */
static bool peer_reads(struct rp_replicator *rp, struct rp_link_times *since)
{
    struct rp_link_times t;

    if (!rp_link_times(rp->link, &t))
        return true; /* the system does not report it */
    bool reads = (t.full_us - since->full_us) * 2 < t.busy_us - since->busy_us;

    *since = t;
    return reads;
}

/* The next message is to be compressed. */
static bool compresses_next(struct rp_replicator *rp)
{
    struct rp_schedule *p = &rp->schedule;

    if (rp->config.compress != RP_COMPRESS_AUTO)
        return rp->config.compress == RP_COMPRESS_ALWAYS;
    reconsider_answer(&p->compressing, rp->now);
    if (!rp_link_stalled(rp->link)) {
        p->stalled = 0;
    } else if (!p->stalled) {
        p->stalled = rp->now;
        peer_reads(rp, &p->times);
    } else if (rp->now - p->stalled >= STALL_NS) {
        p->stalled = rp->now;
        if (peer_reads(rp, &p->times))
            adopt_answer(&p->compressing, rp->now);
    }
    return p->compressing.yes;
}

/* ---- log and deltas ----------------------------------------------------------------------------- */

/* False for what nobody wants: there is no standby, or its snapshot has it already. */
static bool is_wanted(const struct rp_replicator *rp, unsigned l, const struct ft_record *r)
{
    const struct rp_sender *s = &rp->sender;

    return s->on && rp->config.lanes[l].log.read >= s->start[l] &&
           (ft_entry_kind(r) == FT_ENTRY_CHUNK || r->burst > s->from[l]);
}

static bool has_credit(const struct rp_replicator *rp, unsigned lane, const struct ft_record *r)
{
    uint64_t sent = rp->sender.sent[lane], taken = rp->core.peer_taken[lane];

    /* The standby has taken no more than there was, whatever it claims. */
    return taken >= sent || sent - taken + r->size <= rp->config.pending_bytes;
}

static void note_sent(struct rp_replicator *rp, const struct ft_record *r)
{
    struct rp_sender *s = &rp->sender;
    uint64_t burst = r->burst, seq = r->seq + r->inputs;

    if (ft_entry_kind(r) == FT_ENTRY_CHUNK) {
        burst = ft_chunk_of(r)->burst;
        seq = ft_chunk_of(r)->seq;
        rp->shown.chunks_sent++;
    } else {
        rp->shown.records_sent++;
    }
    s->sent[r->lane] += r->size;
    if (seq > s->seq[r->lane]) { /* an incremental checkpoint's chunks name an earlier burst */
        rp->schedule.packets += seq - s->seq[r->lane];
        s->seq[r->lane] = seq;
    }
    if (burst > s->burst[r->lane])
        s->burst[r->lane] = burst;
    s->seq_of[r->lane][burst % RP_SEQ_MEMORY] = seq;
}

/* What one turn sends: entries of one kind. */
struct batch {
    uint32_t len, most;      /* bytes of bulk */
    size_t cap;              /* room in the link */
    enum ft_entry_kind kind; /* this and what follows once there are any */
    bool other;              /* something of the other kind was next */
    bool compresses;
    uint8_t *bulk; /* [cap] where entries are encoded: in the link's buffer, unless they are compressed */
    struct ft_message m; /* the head that they are sent with */
};

static void begin_batch(struct rp_replicator *rp, struct batch *b, enum ft_entry_kind kind)
{
    b->kind = kind;
    b->compresses = compresses_next(rp);
    ft_core_head(&rp->core, kind == FT_ENTRY_CHUNK ? FT_MSG_DELTA : FT_MSG_LOG, rp->now, &b->m);
    b->bulk = b->compresses ? rp->sender.bulk : rp_link_place(rp->link, &b->m, rp->lanes);
}

/* Encodes what one lane's ring holds, up to where the kind changes. */
static void gather_lane(struct rp_replicator *rp, unsigned l, struct batch *b)
{
    struct ft_lane_shared *lane = rp_lane(rp, l);
    uint64_t there;
    const struct ft_record *r;

    for (; (r = ft_ring_peek(&lane->log, &there)); ft_ring_advance(&lane->log, r->size)) {
        bool chunk = ft_entry_kind(r) == FT_ENTRY_CHUNK;

        if (!is_wanted(rp, l, r))
            continue;
        if (b->len && b->kind != ft_entry_kind(r)) {
            b->other = true;
            return;
        }
        if (b->len >= b->most ||
            b->len + (chunk ? ft_chunk_bound(ft_chunk_of(r)) : ft_record_bound(r)) > b->cap)
            return;
        if (!has_credit(rp, l, r)) {
            rp->shown.credit_waits++;
            return;
        }
        if (!b->len)
            begin_batch(rp, b, ft_entry_kind(r));
        uint8_t *out = b->bulk + b->len;
        size_t cap = b->cap - b->len;
        unsigned version = rp->core.peer.version;
        long n = chunk ? ft_chunk_encode(ft_chunk_of(r), version, false, out, cap)
                       : ft_record_encode(r, version, false, out, cap);

        FT_CHECK(n > 0, "lane %u's %s cannot be encoded: %s", l, chunk ? "chunk" : "record",
                 ft_error_name((int)n));
        b->len += (uint32_t)n;
        note_sent(rp, r);
    }
}

static void send_batch(struct rp_replicator *rp, struct batch *b)
{
    bool chunks = b->kind == FT_ENTRY_CHUNK;
    struct ft_compressor *compressor = chunks ? &rp->sender.compress_delta : &rp->sender.compress_log;
    uint64_t before = compressor->compressed;

    b->m.bulk = b->bulk;
    b->m.bulk_len = b->len;
    int error = rp_link_send(rp->link, &b->m, rp->lanes, b->compresses ? compressor : NULL);

    rp->schedule.sent = b->m.sent;
    FT_CHECK(error == 0, "the link has no room for %u bytes though it said so", b->len);
    *(chunks ? &rp->shown.delta_bytes_wire : &rp->shown.log_bytes_wire) +=
        b->compresses ? compressor->compressed - before : b->len;
}

/* The next packet's sequence number after burst `burst`. Of a burst that is not remembered any more it is
 * that of the oldest one that is. */
static uint64_t seq_after(const struct rp_replicator *rp, unsigned l, uint64_t burst)
{
    const struct rp_sender *s = &rp->sender;
    uint64_t oldest = s->burst[l] < RP_SEQ_MEMORY ? 0 : s->burst[l] - RP_SEQ_MEMORY + 1;

    return s->seq_of[l][(burst < oldest ? oldest : burst) % RP_SEQ_MEMORY];
}

/* What it stored of what was sent; nothing of what a snapshot holds was. */
static uint64_t last_stored(const struct rp_replicator *rp, unsigned l)
{
    uint64_t burst = rp->core.peer_closed[l];

    return burst < rp->sender.burst[l] ? burst : rp->sender.burst[l];
}

/* By a port that carries it can be ahead of what is noted as sent. */
static uint64_t last_replayed(const struct rp_replicator *rp, unsigned l)
{
    uint64_t burst = rp->core.peer_replayed[l];

    return burst < rp->sender.burst[l] ? burst : rp->sender.burst[l];
}

static void measure_replay(struct rp_replicator *rp, struct rp_replay_rate *d, uint64_t seq,
                           uint64_t stored_seq)
{
    uint64_t passed = rp->now - d->at;
    double ns = seq > d->seq ? (double)passed / (double)(seq - d->seq) : 0;

    /* Replay of what is acknowledged as stored goes on meanwhile: compare with the acknowledgement before. */
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
    uint64_t last = last_stored(rp, l), replayed = last_replayed(rp, l), from, to;

    if (replayed <= rp->sender.from[l]) /* nothing of what was sent, yet */
        return 0;
    from = seq_after(rp, l, replayed);
    to = seq_after(rp, l, last);
    measure_replay(rp, &rp->sender.drain[l], from, to);
    return replayed < last ? (uint64_t)((double)(to - from) * rp->sender.drain[l].ns) : 0;
}

static void publish_lag(struct rp_replicator *rp)
{
    bool on = rp->sender.on;

    for (unsigned l = 0; l < rp->lanes; l++) {
        uint64_t sent = rp->sender.sent[l], taken = rp->core.peer_taken[l];

        rp_order_moved(&rp_lane(rp, l)->orders.unreplayed, on && sent > taken ? sent - taken : 0);
        rp_order_moved(&rp_lane(rp, l)->orders.lag_ns, on && !rp->config.core.warm ? lag_ns(rp, l) : 0);
    }
}

uint64_t rp_lag_packets(const struct rp_replicator *rp)
{
    uint64_t lag = 0;

    for (unsigned l = 0; rp->sender.on && l < rp->lanes; l++) {
        uint64_t replayed = seq_after(rp, l, last_replayed(rp, l));

        if (replayed && rp->sender.seq[l] > replayed)
            lag += rp->sender.seq[l] - replayed;
    }
    return lag;
}

static uint64_t unsent_bytes(struct rp_replicator *rp)
{
    uint64_t bytes = 0;

    for (unsigned l = 0; l < rp->lanes; l++)
        bytes += ft_ring_used(&rp_lane(rp, l)->log);
    return bytes;
}

bool rp_sender_turn(struct rp_replicator *rp)
{
    size_t room = rp_link_room(rp->link);
    struct batch b;
    bool left = rp->sender.more;

    b.len = 0;
    b.most = room < RP_BATCH ? (uint32_t)room : RP_BATCH;
    b.cap = room;
    b.other = false;
    publish_lag(rp);
    rp->sender.more = false;
    /* A lane may have made the cut by now, and be at its new stream: what is behind the cut is not ours to
     * drop before all of them have. */
    if (rp->snapshot.cutting || rp->port.carry || (rp->sender.on && room < SEND_LEAST))
        return false;
    /* The second half of what came together is not held: records behind a chunk of a checkpoint. */
    if (rp->sender.on && !left && is_held(rp, unsent_bytes(rp)))
        return false;
    /* A busy lane that comes first each time would leave nothing to the others. */
    rp->sender.first = (rp->sender.first + 1) % rp->lanes;
    for (unsigned i = 0; i < rp->lanes; i++) {
        unsigned l = (rp->sender.first + i) % rp->lanes;

        if (!FT_PLANTED("late-lane") || l + 1 < rp->lanes || (rp->now >> 20) % 8 == 0)
            gather_lane(rp, l, &b);
    }
    rp->sender.more = b.len >= b.most || b.other;
    if (b.len)
        send_batch(rp, &b);
    for (unsigned l = 0; l < rp->lanes; l++)
        ft_ring_consume(&rp_lane(rp, l)->log);
    return b.len > 0;
}

/* ---- a snapshot --------------------------------------------------------------------------------- */

/* All lanes made the cut: what comes behind it goes out. */
static void begin_stream(struct rp_replicator *rp)
{
    struct rp_sender *s = &rp->sender;

    for (unsigned l = 0; l < rp->lanes; l++) {
        s->from[l] = FT_REPORT_GET(rp_lane(rp, l), cut_burst);
        s->start[l] = FT_REPORT_GET(rp_lane(rp, l), cut_at);
        s->sent[l] = s->seq[l] = s->burst[l] = 0;
        memset(s->seq_of[l], 0, sizeof(s->seq_of[l]));
        s->drain[l] = (struct rp_replay_rate){.at = rp->now};
    }
    s->on = true;
}

void rp_snapshot_begin(struct rp_replicator *rp, uint64_t burst[], uint64_t access[])
{
    struct ft_region *region = rp->config.region;
    struct rp_snapshot *s = &rp->snapshot;

    ft_lines_clear(&s->unsent);
    s->left = s->at = s->untouched = 0;
    for (unsigned i = 0; i < region->arena_count; i++) {
        uint64_t lines = region->arenas[i].used >> FT_LINE_SHIFT;

        ft_lines_add(&s->unsent, region->arenas[i].offset >> FT_LINE_SHIFT, lines);
        s->left += lines;
    }
    for (unsigned l = 0; l < rp->lanes; l++) {
        burst[l] = FT_REPORT_GET(rp_lane(rp, l), cut_burst);
        access[l] = FT_REPORT_GET(rp_lane(rp, l), cut_access);
    }
    begin_stream(rp);
    s->cutting = false;
    s->reading = true;
    s->began = rp->now;
}

/* Gives the lanes leave to copy what the rate allows for the time passed. */
static void grant_copying(struct rp_replicator *rp)
{
    struct rp_snapshot *s = &rp->snapshot;
    uint64_t us = (rp->now - s->began) / 1000, lines = us * rp->config.resync_mbps / FT_LINE;

    RP_ORDER_ALL(rp, copy_granted, lines / rp->lanes);
}

/* How many lines of the run are copied, from its start. */
static uint64_t count_copied(struct rp_replicator *rp, struct ft_line_range run)
{
    uint64_t n = 0;

    while (n < run.count && ft_lines_has(&rp->config.region->snapshot_copied, run.line + n))
        n++;
    return n;
}

/* Splits into zero and other runs. Returns the lines appended. */
static uint64_t append_runs(struct rp_replicator *rp, uint64_t line, uint64_t count, uint32_t *len,
                            uint32_t most)
{
    uint64_t done = 0;

    while (done < count) {
        struct ft_line_run run = ft_line_run_at(rp->config.region->snapshot_copy, line + done, count - done);

        if (!ft_line_run_append(rp->snapshot.bulk, len, most, &run))
            break;
        done += run.count;
    }
    return done;
}

static uint32_t gather_lines(struct rp_replicator *rp, uint32_t most)
{
    struct rp_snapshot *s = &rp->snapshot;
    uint64_t left = s->left;
    uint32_t len = 0;

    /* Of a large table most pages may be untouched: nobody reads those, neither here nor in lanes. */
    while (s->untouched < s->lines && left - s->left < LINES_TURN && len < RP_BATCH) {
        struct ft_line_range none = ft_snapshot_untouched(rp->config.region, &s->untouched, LINES_TURN);
        struct ft_line_run run = {.line = none.line, .count = (uint32_t)none.count, .zero = true};

        if (!none.count)
            break;
        FT_CHECK(ft_line_run_append(s->bulk, &len, most, &run), "no room for a run of zeros at %u", len);
        ft_lines_take(&s->unsent, none.line, none.line + none.count, none.count);
        s->left -= none.count;
    }
    while (s->left && left - s->left < LINES_TURN) {
        struct ft_line_range run = ft_lines_find(&s->unsent, s->at, s->lines, RUN_MAX);

        FT_CHECK(run.count, "%lu lines are unsent, and none from line %lu on", s->left, s->at);
        uint64_t n = count_copied(rp, run);

        if (n == 0) { /* lanes copy in order: what comes behind is not there yet either, but for edits */
            s->at = 0;
            break;
        }
        uint64_t done = append_runs(rp, run.line, n, &len, most);

        if (done)
            ft_lines_take(&s->unsent, run.line, run.line + done, done);
        s->left -= done;
        s->at = run.line + done;
        if (done < n)
            break;
    }
    return len;
}

bool rp_snapshot_turn(struct rp_replicator *rp, bool *whole)
{
    struct rp_snapshot *s = &rp->snapshot;
    size_t room = rp_link_room(rp->link);
    struct ft_message m;
    uint32_t len;

    *whole = false;
    if (!s->reading || room < RP_BATCH + RUN_MAX * FT_LINE)
        return false;
    grant_copying(rp);
    len = gather_lines(rp, RP_BATCH + RUN_MAX * FT_LINE);
    if (len) {
        ft_core_head(&rp->core, FT_MSG_SNAPSHOT, rp->now, &m);
        m.bulk = s->bulk;
        m.bulk_len = len;
        FT_CHECK(rp_link_send(rp->link, &m, rp->lanes, compresses_next(rp) ? &s->compressor : NULL) == 0,
                 "the link has no room for %u bytes", len);
        rp->shown.snapshot_bytes += len;
    }
    if (s->left == 0) {
        rp_snapshot_forget(rp);
        *whole = true;
    }
    return len > 0; /* true also when it is whole: the last line is sent with what ends it */
}

void rp_snapshot_forget(struct rp_replicator *rp)
{
    struct rp_snapshot *s = &rp->snapshot;

    if (!s->reading && !s->cutting)
        return;
    s->reading = s->cutting = false;
    RP_ORDER_ALL(rp, snapshot_release, s->cut);
}
