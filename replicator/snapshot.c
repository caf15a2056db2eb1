/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Both ends of a snapshot. Primary: asks the lanes for a cut, lets them copy pending lines to the copy at a
 * limited rate, sends each copied line once. Standby: writes the lines into its region, whose lanes are
 * quiesced.
 *
 * Capacity: the copy has the region's size, so an edit never waits for this end. What limits the rate is
 * the budget given to the lanes and the link's room.
 */
#include "ftcore/base/plant.h"
#include "replicator/parts.h"

#include <stdlib.h>
#include <string.h>

#ifndef RUN_MAX
#define RUN_MAX 2048u /* lines in a run: 128 KiB */
#endif

int rp_snapshot_init(struct rp_replicator *rp)
{
    struct rp_snapshot *s = &rp->snapshot;

    s->lines = rp->config.region->size >> FT_LINE_SHIFT;
    s->bulk = malloc(FT_BULK_MAX);
    return s->bulk && ft_lines_init(&s->unsent, s->lines) == 0 ? 0 : FT_ENOMEM;
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

void rp_snapshot_free(struct rp_replicator *rp)
{
    free(rp->snapshot.bulk);
    ft_lines_free(&rp->snapshot.unsent);
}

/* ---- primary ----------------------------------------------------------------------------------- */

void rp_snapshot_ask(struct rp_replicator *rp)
{
    rp->snapshot.cutting = true;
    rp->snapshot.reading = false;
    rp->snapshot.cut++;
    RP_ORDER_ALL(rp, copy_granted, 0);
    RP_ORDER_ALL(rp, cut, rp->snapshot.cut);
}

bool rp_snapshot_cut(struct rp_replicator *rp, uint64_t burst[], uint64_t access[])
{
    struct ft_region *region = rp->config.region;
    struct rp_snapshot *s = &rp->snapshot;

    if (!s->cutting)
        return false;
    for (unsigned l = 0; l < rp->lanes; l++)
        if (FT_REPORT_GET(rp_lane(rp, l), cut_seen) != s->cut)
            return false;
    rp_chain_follow(rp);
    ft_lines_clear(&s->unsent);
    s->left = s->at = 0;
    for (unsigned i = 0; i < ft_region_arenas(region); i++) {
        uint64_t lines = region->arenas[i].used >> FT_LINE_SHIFT;

        ft_lines_add(&s->unsent, region->arenas[i].offset >> FT_LINE_SHIFT, lines);
        s->left += lines;
    }
    for (unsigned l = 0; l < rp->lanes; l++) {
        burst[l] = FT_REPORT_GET(rp_lane(rp, l), cut_burst);
        access[l] = FT_REPORT_GET(rp_lane(rp, l), cut_access);
    }
    rp_sender_begin(rp);
    s->cutting = false;
    s->reading = true;
    s->began = rp->now;
    return true;
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
    uint32_t len = 0;

    while (s->left) {
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
        FT_CHECK(rp_link_send(rp->link, &m, rp->lanes, rp_schedule_compresses(rp) ? &s->compressor : NULL) ==
                     0,
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

/* ---- standby ----------------------------------------------------------------------------------- */

static bool lane_carries(const struct ft_arena *arena, unsigned lane)
{
    return lane == RP_ANY || arena->lane == lane || (lane == 0 && arena->lane == FT_LANES_MAX);
}

bool rp_lines_in_use(const struct ft_region *region, const struct ft_line_run *run, unsigned lane)
{
    uint64_t from = run->line << FT_LINE_SHIFT, to = from + ((uint64_t)run->count << FT_LINE_SHIFT);

    for (unsigned i = 0; i < ft_region_arenas(region); i++)
        if (lane_carries(&region->arenas[i], lane) && from >= region->arenas[i].offset &&
            to <= region->arenas[i].offset + region->arenas[i].used)
            return true;
    return false;
}

/* All runs are looked at before the first is written: a message is taken whole or not at all. Each line of
 * a snapshot comes once, so that what the peer says is no more work than the region has lines. */
static int check_runs(struct rp_replicator *rp, const struct ft_message *m, struct ft_fault *fault)
{
    struct ft_line_run run;
    uint32_t at = 0;
    int error;

    while ((error = ft_line_run_next(m->bulk, m->bulk_len, &at, rp->snapshot.lines, &run)) > 0) {
        if (!rp_lines_in_use(rp->config.region, &run, RP_ANY))
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
            memset(to, 0, (size_t)run.count << FT_LINE_SHIFT);
        else if (!FT_PLANTED("skip-line") || run.count > 1)
            memcpy(to, run.bytes, (size_t)run.count << FT_LINE_SHIFT);
    }
    return 0;
}

/* A large state takes long to look at. The peer hears meanwhile that this node lives. */
static void send_heartbeat(void *arg)
{
    struct rp_replicator *rp = arg;
    uint64_t now = rp_monotonic();
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
