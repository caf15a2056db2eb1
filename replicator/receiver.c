/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a standby takes in: LOG and DELTA messages → closed set → the lanes' replay rings. Every record and
 * chunk is checked, by its decoder and against what came before, before anything of it is kept. Lanes may
 * replay up to the closed set, whose end this publishes; the core acknowledges the same.
 *
 * Chunks lie in the replay ring as they come; those of an incremental checkpoint in a ring of their own,
 * since the records between them are not covered by it and stay when it is applied. They count once their
 * delta is whole and the closed set has it, that is, once all lanes' deltas of the same cut are there; until
 * then `cut_to` keeps lanes from applying them, and after a takeover nothing of them is.
 *
 * Capacity: the primary never has more than pending_bytes of a lane outstanding, and each ring holds that,
 * the replay ring and two largest records; a peer that sends more breaks the protocol.
 *
 * A snapshot's lines are written into the region, whose lanes are quiesced.
 */
#include "ftcore/base/plant.h"
#include "replicator/parts.h"

#include <stdlib.h>
#include <string.h>

#define ANY FT_LANES_MAX /* lane */

int rp_receiver_init(struct rp_replicator *rp)
{
    rp->receiver.closed = ft_closed_new(rp->lanes, RP_PENDING);
    rp->receiver.scratch = aligned_alloc(64, FT_CHUNK_MAX);
    return rp->receiver.closed && rp->receiver.scratch ? 0 : FT_ENOMEM;
}

void rp_receiver_free(struct rp_replicator *rp)
{
    ft_closed_free(rp->receiver.closed);
    free(rp->receiver.scratch);
}

/* A lane that sees how far it may go sees, too, which deltas are whole. */
static void publish_closed(struct rp_replicator *rp)
{
    uint64_t covered[FT_LANES_MAX], cut = ft_closed_cut(rp->receiver.closed, covered);
    bool more = false;

    for (unsigned l = 0; l < rp->lanes; l++) {
        struct ft_lane_shared *lane = rp_lane(rp, l);

        rp_order_moved(&lane->orders.covered, covered[l]);
        if (rp->receiver.delta[l].head.burst == covered[l])
            rp_order_moved(&lane->orders.covered_at, rp->receiver.delta[l].at);
        rp_order_moved(&lane->orders.cut_to, cut);
        rp_order_moved(&lane->orders.peer_released, rp->receiver.released[l]);
        rp_order_moved(&lane->orders.closed_access, ft_closed_access(rp->receiver.closed, l));
        uint64_t closed_to = ft_closed_burst(rp->receiver.closed, l);

        more |= FT_ORDER_GET(lane, closed_to) != closed_to;
        rp_order_moved(&lane->orders.closed_to, closed_to);
    }
    if (more)
        rp_wake_sleepers(rp);
}

/* What came by the lanes' ports is held as well. */
static void compute_closed(struct rp_replicator *rp)
{
    struct ft_known known[FT_LANES_MAX];

    for (unsigned l = 0; l < rp->lanes && rp->config.by_port; l++) {
        known[l].burst = ft_closed_burst(rp->config.by_port, l); /* first: its accesses are there by then */
        known[l].access = ft_closed_access(rp->config.by_port, l);
    }
    ft_closed_compute(rp->receiver.closed, rp->config.by_port ? known : NULL);
}

/*
 * Lets lanes replay and apply what is closed. Not while they want to stop together: then closed_to
 * stays as it is in all of them, a closed set that every lane can reach.
 */
void rp_receiver_publish(struct rp_replicator *rp)
{
    struct ft_lane_shared *first = rp_lane(rp, 0);
    uint64_t stop_point = FT_REPORT_GET(first, stop_point);

    rp_order_moved(&first->orders.stop_point_seen, stop_point);
    if (!stop_point)
        publish_closed(rp);
}

void rp_receiver_reset(struct rp_replicator *rp, const struct ft_message *begin)
{
    static const uint64_t none[FT_LANES_MAX];
    const uint64_t *burst = begin ? begin->burst : none;

    ft_closed_reset(rp->receiver.closed, burst, begin ? begin->access : none);
    if (rp->config.by_port && !FT_PLANTED("port-remembers")) /* lanes are quiesced */
        ft_closed_reset(rp->config.by_port, burst, begin ? begin->access : none);
    memset(rp->receiver.delta, 0, sizeof(rp->receiver.delta));
    memset(rp->receiver.released, 0, sizeof(rp->receiver.released));
    memset(rp->receiver.had, 0, sizeof(rp->receiver.had));
    memcpy(rp->receiver.last, burst, sizeof(rp->receiver.last));
    rp->snapshot.taken = 0;
    for (unsigned l = 0; l < rp->lanes; l++) {
        FT_ORDER_SET(rp_lane(rp, l), covered_at, 0);
        FT_ORDER_SET(rp_lane(rp, l), snapshot_burst, burst[l]);
    }
    publish_closed(rp);
    /* Lanes are quiesced. What they had published of the state before must satisfy nobody now. */
    for (unsigned l = 0; rp->config.published && l < rp->lanes; l++)
        atomic_store_explicit(&rp->config.published[l].access, begin ? begin->access[l] : 0,
                              memory_order_release);
}

/* Bursts that ports brought and that are closed count as held: the connection's set goes on behind them, and
 * before the first access that this record has, or would have. An access before it that the ports' set does
 * not have is missing: then the connection's set stays, and refuses the record as out of order. True: the
 * record's burst is one of those that ports brought, so it was stored, or replayed, before it came again. */
static bool has_come_by_port(struct rp_replicator *rp, const struct ft_record *n)
{
    uint64_t closed = rp_closed_by_port(rp, n->lane);

    if (closed <= rp->receiver.last[n->lane])
        return false;
    if (n->burst <= closed)
        return true;
    if (n->access - 1 <= ft_closed_access(rp->config.by_port, n->lane))
        ft_closed_advance(rp->receiver.closed, n->lane, closed, n->access - 1);
    return false;
}

/* Room for an entry in a lane's ring; nobody sees what is written there before it is published. */
static void *entry_room(struct ft_ring *ring, uint32_t size, const char *what, struct ft_fault *fault)
{
    void *room = ft_ring_reserve(ring, size);

    if (!room)
        ft_fail(fault, FT_EFULL, "%s than this node said it could keep", what);
    return room;
}

/* One of `in`, decoded where it is stored. Returns the bytes it took. */
static long take_record(struct rp_replicator *rp, const uint8_t *in, uint32_t len, struct ft_fault *fault)
{
    struct ft_opened opened;
    const struct ft_record *n = &opened.numbers;
    long used = ft_record_open(in, len, &opened, fault);

    if (used < 0)
        return used;
    if (n->lane >= rp->lanes)
        return ft_fail(fault, FT_EMALFORMED, "log: a record of lane %u, there are %u", n->lane, rp->lanes);
    if (rp->receiver.delta[n->lane].open && !(rp->receiver.delta[n->lane].head.flags & FT_CHUNK_INCREMENTAL))
        return ft_fail(fault, FT_EORDER, "log: burst %lu of lane %u between the chunks of a delta", n->burst,
                       n->lane);
    if (has_come_by_port(rp, n)) {
        rp->receiver.had[n->lane] += n->size;
        return used;
    }
    /* Where the next record's head will be read, while this one's body is copied. */
    for (unsigned line = 0; line < 3; line++)
        __builtin_prefetch(in + used + 64ul * line);
    struct ft_ring *ring = &rp_lane(rp, n->lane)->replay;
    struct ft_record *r = entry_room(ring, n->size, "log: more records", fault);

    if (!r)
        return FT_EFULL;
    int error = ft_record_read(&opened, r, fault);

    if (error)
        return error;
    if ((error = ft_closed_add(rp->receiver.closed, r)))
        return ft_fail(fault, error, "log: burst %lu of lane %u: %s", n->burst, n->lane,
                       ft_error_name(error));
    ft_ring_publish(ring, r->size);
    rp->receiver.released[n->lane] = n->released;
    rp->receiver.last[n->lane] = n->burst;
    rp->shown.records_stored++;
    rp->schedule.packets += n->inputs;
    return used;
}

static bool lane_carries(const struct ft_arena *arena, unsigned lane)
{
    return lane == ANY || arena->lane == lane || (lane == 0 && arena->lane == FT_LANES_MAX);
}

/* The run lies in what is handed out of one arena: any, or one that `lane`'s delta may carry. */
static bool lines_in_use(const struct ft_region *region, const struct ft_line_run *run, unsigned lane)
{
    uint64_t from = run->line << FT_LINE_SHIFT, to = from + ((uint64_t)run->count << FT_LINE_SHIFT);

    for (unsigned i = 0; i < region->arena_count; i++)
        if (lane_carries(&region->arenas[i], lane) && from >= region->arenas[i].offset &&
            to <= region->arenas[i].offset + region->arenas[i].used)
            return true;
    return false;
}

/* ---- chunks ------------------------------------------------------------------------------------- */

/* All but the first repeat the delta's head; the first fits what the lane has so far. */
static int check_head(const struct rp_replicator *rp, const struct rp_delta *s, const struct ft_chunk *p,
                      struct ft_fault *fault)
{
    uint32_t number = s->open ? s->head.number + 1 : 0;

    if (p->number != number)
        return ft_fail(fault, FT_EORDER, "delta: chunk %u of cut %lu of lane %u, expected chunk %u",
                       p->number, p->cut, p->lane, number);
    if (s->open && (p->cut != s->head.cut || p->from != s->head.from || p->burst != s->head.burst ||
                    p->seq != s->head.seq || p->access != s->head.access || p->outputs != s->head.outputs ||
                    (p->flags ^ s->head.flags) & FT_CHUNK_INCREMENTAL))
        return ft_fail(fault, FT_EMALFORMED, "delta: chunk %u of cut %lu of lane %u is of another delta",
                       p->number, p->cut, p->lane);
    int error = s->open ? 0 : ft_closed_fits(rp->receiver.closed, p);

    return error ? ft_fail(fault, error, "delta: cut %lu of lane %u, from burst %lu to %lu: %s", p->cut,
                           p->lane, p->from, p->burst, ft_error_name(error))
                 : 0;
}

/* A delta's lines rise, but those of the shared arena, which is the region's last, come first. */
static uint64_t rank_of_line(const struct rp_replicator *rp, uint64_t line)
{
    const struct ft_region *region = rp->config.region;
    uint64_t shared = region->arenas[(unsigned)region->lanes * region->nfs].offset >> FT_LINE_SHIFT;

    return line >= shared ? line - shared : line + rp->snapshot.lines - shared;
}

/* Runs are in order within a delta, and lie in what its lane may write. `next` is what is known after this
 * chunk. */
static int check_lines(const struct rp_replicator *rp, const struct ft_chunk *p, struct rp_delta *next,
                       struct ft_fault *fault)
{
    struct ft_line_run run;
    uint32_t at = 0;
    int error;

    while (ft_line_run_next(ft_chunk_lines(p), p->lines, &at, rp->snapshot.lines, &run) > 0) {
        if (!lines_in_use(rp->config.region, &run, p->lane))
            return ft_fail(fault, FT_EMALFORMED, "delta: lines %lu+%u lie outside the arenas of lane %u",
                           run.line, run.count, p->lane);
        if (rp->config.keeps && (error = rp->config.keeps(rp->config.judge, p->lane, &run, fault)))
            return error;
        if (rank_of_line(rp, run.line) < next->rank)
            return ft_fail(fault, FT_EMALFORMED, "delta: line %lu of lane %u after line %lu", run.line,
                           p->lane, next->line);
        next->line = run.line + run.count - 1;
        next->rank = rank_of_line(rp, next->line) + 1;
    }
    return 0;
}

static int check_outputs(const struct ft_chunk *p, struct rp_delta *next, struct ft_fault *fault)
{
    uint32_t at = 0;

    for (uint32_t i = 0; i < p->held; i++) {
        const struct ft_chunk_output *o = (const void *)(ft_chunk_held(p) + at);

        if (o->number <= next->output || o->burst < next->burst)
            return ft_fail(fault, FT_EMALFORMED, "delta: output %lu of burst %lu of lane %u out of order",
                           o->number, o->burst, p->lane);
        next->output = o->number;
        next->burst = o->burst;
        at += (uint32_t)(sizeof(*o) + FT_ALIGN8(o->have));
    }
    return 0;
}

static int put_chunk(struct rp_replicator *rp, const struct ft_chunk *p, struct ft_fault *fault)
{
    struct ft_lane_shared *lane = rp_lane(rp, p->lane);
    struct ft_ring *ring = p->flags & FT_CHUNK_INCREMENTAL ? &lane->checkpoint : &lane->replay;
    void *room = entry_room(ring, p->size, "delta: more chunks", fault);

    if (!room)
        return FT_EFULL;
    memcpy(room, p, p->size);
    ft_ring_publish(ring, p->size);
    return 0;
}

static int store_chunk(struct rp_replicator *rp, const struct ft_chunk *p, struct ft_fault *fault)
{
    struct rp_delta *delta, next = {0};
    int error;

    if (p->lane >= rp->lanes)
        return ft_fail(fault, FT_EMALFORMED, "delta: a chunk of lane %u, there are %u", p->lane, rp->lanes);
    delta = &rp->receiver.delta[p->lane];
    if (delta->open)
        next = *delta;
    else if (p->flags & FT_CHUNK_INCREMENTAL) /* its chunks do not lie in the replay ring */
        next.at = atomic_load_explicit(&rp_lane(rp, p->lane)->replay.head, memory_order_relaxed);
    if ((error = check_head(rp, delta, p, fault)) || (error = check_lines(rp, p, &next, fault)) ||
        (error = check_outputs(p, &next, fault)) || (error = put_chunk(rp, p, fault)))
        return error;
    rp->shown.chunks_stored++;
    rp->schedule.packets += p->seq != delta->head.seq;
    next.open = !(p->flags & FT_CHUNK_LAST);
    next.head = *p;
    *delta = next;
    error = next.open ? 0 : ft_closed_add_delta(rp->receiver.closed, p);
    return error
               ? ft_fail(fault, error, "delta: cut %lu of lane %u: %s", p->cut, p->lane, ft_error_name(error))
               : 0;
}

/* ---- messages ---------------------------------------------------------------------------------- */

/* One of `in`. Returns the bytes it took. */
static long take_chunk(struct rp_replicator *rp, const uint8_t *in, uint32_t len, struct ft_fault *fault)
{
    struct ft_chunk *p = rp->receiver.scratch;
    long n = ft_chunk_decode(in, len, rp->snapshot.lines, p, FT_CHUNK_MAX, fault);
    int error = n < 0 ? (int)n : store_chunk(rp, p, fault);

    return error ? error : n;
}

int rp_receiver_take(struct rp_replicator *rp, const struct ft_message *m, struct ft_fault *fault)
{
    if (m->type == FT_MSG_DELTA && rp->config.log_only)
        return ft_fail(fault, FT_EMALFORMED,
                       "delta: this pair is protected by the log alone, and takes none");
    if (m->bulk_len == 0)
        return ft_fail(fault, FT_EMALFORMED, "%s: a message without an entry",
                       m->type == FT_MSG_DELTA ? "delta" : "log");
    for (uint32_t at = 0; at < m->bulk_len;) {
        const uint8_t *in = m->bulk + at;
        uint32_t left = m->bulk_len - at;
        long n = m->type == FT_MSG_DELTA ? take_chunk(rp, in, left, fault) : take_record(rp, in, left, fault);

        if (n < 0)
            return (int)n;
        at += (uint32_t)n;
    }
    compute_closed(rp);
    rp_receiver_publish(rp);
    return 0;
}

/* ---- a snapshot --------------------------------------------------------------------------------- */

/* All runs are looked at before the first is written: a message is taken whole or not at all. Each line of
 * a snapshot comes once, so that a peer's message makes no more work than the region has lines. */
static int check_runs(struct rp_replicator *rp, const struct ft_message *m, struct ft_fault *fault)
{
    struct ft_line_run run;
    uint32_t at = 0;
    int error;

    while ((error = ft_line_run_next(m->bulk, m->bulk_len, &at, rp->snapshot.lines, &run)) > 0) {
        if (!lines_in_use(rp->config.region, &run, ANY))
            return ft_fail(fault, FT_EMALFORMED, "snapshot: lines %lu+%u lie outside every arena", run.line,
                           run.count);
        rp->snapshot.taken += run.count;
        if (rp->snapshot.taken > rp->snapshot.lines)
            return ft_fail(fault, FT_EMALFORMED, "snapshot: more lines than the region's %lu",
                           rp->snapshot.lines);
    }
    return error ? ft_fail(fault, error, "snapshot: a run is cut short, or lies outside the region") : 0;
}

int rp_snapshot_take(struct rp_replicator *rp, const struct ft_message *m, struct ft_fault *fault)
{
    struct ft_region *region = rp->config.region;
    struct ft_line_run run;
    uint32_t at = 0;
    int error = check_runs(rp, m, fault);

    if (error)
        return error;
    while (ft_line_run_next(m->bulk, m->bulk_len, &at, rp->snapshot.lines, &run) > 0) {
        uint8_t *to = region->base + (run.line << FT_LINE_SHIFT);

        if (run.zero)
            ft_region_zero(region, run.line, run.count);
        else if (!FT_PLANTED("skip-line") || run.count > 1)
            memcpy(to, run.bytes, (size_t)run.count << FT_LINE_SHIFT);
    }
    return 0;
}

/* A large state takes long to look at. The peer hears meanwhile that this node lives. */
static void send_heartbeat(void *arg)
{
    struct rp_replicator *rp = arg;
    uint64_t now = ft_now();
    struct ft_message m;

    if (!rp->link || now - rp->snapshot.said < rp->config.core.heartbeat_ms * FT_MS)
        return;
    rp->snapshot.said = now;
    ft_core_head(&rp->core, FT_MSG_HEARTBEAT, now, &m);
    rp_link_send(rp->link, &m, rp->lanes, NULL);
    rp_link_flush(rp->link);
}

/* Lanes are quiesced until the core orders them to replay, which comes after this. */
int rp_snapshot_check(struct rp_replicator *rp, struct ft_fault *fault)
{
    rp->snapshot.said = rp->now;
    return rp->config.check ? rp->config.check(rp->config.judge, send_heartbeat, rp, fault) : 0;
}
