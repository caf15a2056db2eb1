/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making of the flight recorder, and the lanes' side of it: entries of a size, a kind and content into the
 * queues. It costs a lane a copy of each record and, while a snapshot is copied, TURN_LINES twice.
 */
#include "ftcore/base/check.h"
#include "ftcore/record/runs.h"
#include "logger/recorder/parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define TURN_LINES 256u           /* of a snapshot, between two bursts: 16 KiB */
#define RETRY_NS   10000000000ull /* after the disk refused */
#define TURN_SENDS 2u             /* times that many lines are read from the copy, between two bursts */
#define SOON_NS    1000000ull     /* after a queue had too little room */

static enum lg_phase phase_of(struct lg_recorder *rec)
{
    return (enum lg_phase)atomic_load_explicit(&rec->phase, memory_order_acquire);
}

/* By lane 0, or when all are quiesced. */
static void end_snapshot(struct lg_recorder *rec)
{
    if (rec->owing)
        ft_snapshot_end(rec->config.region);
    rec->owing = false;
}

static void *reserve_entry(struct lg_recorder *rec, unsigned lane, enum lg_kind kind, size_t size)
{
    struct lg_entry *e = ft_ring_reserve(&rec->feed[lane].queue, FT_ALIGN8(size));

    if (e)
        *e = (struct lg_entry){.size = (uint32_t)FT_ALIGN8(size), .kind = kind, .file = rec->file};
    return e;
}

static bool queue_bare(struct lg_recorder *rec, unsigned lane, enum lg_kind kind)
{
    if (!reserve_entry(rec, lane, kind, sizeof(struct lg_entry)))
        return false;
    ft_ring_publish(&rec->feed[lane].queue, sizeof(struct lg_entry));
    return true;
}

/*
 * What is queued is a file without its end, or without its snapshot; the next one has all it needs. True:
 * this was the lane that gave up. Pending lines are given back by lane 0, at once or in its next turn.
 */
static bool give_up(struct lg_recorder *rec, unsigned lane)
{
    bool first = atomic_exchange_explicit(&rec->phase, LG_PHASE_IDLE, memory_order_acq_rel) != LG_PHASE_IDLE;

    if (lane == 0)
        end_snapshot(rec);
    return first;
}

static void count_gap(struct lg_recorder *rec, unsigned lane)
{
    if (give_up(rec, lane))
        atomic_fetch_add_explicit(&rec->gaps, 1, memory_order_relaxed);
}

/* False: another lane has given up meanwhile. */
static bool advance_phase(struct lg_recorder *rec, enum lg_phase from, enum lg_phase to)
{
    int expected = (int)from;

    return atomic_compare_exchange_strong(&rec->phase, &expected, (int)to);
}

static bool is_half_free(struct lg_recorder *rec, unsigned lane)
{
    return ft_ring_room(&rec->feed[lane].queue) >= rec->feed[lane].queue.capacity / 2;
}

bool lg_recorder_listens(struct lg_recorder *rec)
{
    return phase_of(rec) != LG_PHASE_IDLE;
}

void lg_recorder_record(struct lg_recorder *rec, unsigned lane, const struct ft_record *record)
{
    struct lg_entry *e;

    if (phase_of(rec) == LG_PHASE_IDLE)
        return;
    e = reserve_entry(rec, lane, LG_QUEUE_RECORD, sizeof(*e) + record->size);
    if (!e) {
        count_gap(rec, lane);
        return;
    }
    memcpy(e + 1, record, record->size);
    atomic_fetch_add_explicit(&rec->taken, record->size, memory_order_relaxed);
    ft_ring_publish(&rec->feed[lane].queue, e->size);
}

bool lg_recorder_due(struct lg_recorder *rec, uint64_t now)
{
    uint64_t failures = atomic_load_explicit(&rec->failures, memory_order_acquire);
    enum lg_phase phase;

    if (failures != rec->failures_seen) {
        rec->failures_seen = failures;
        give_up(rec, 0);
        rec->retry_at = now + RETRY_NS;
    }
    phase = phase_of(rec);
    if (phase == LG_PHASE_COPY || phase == LG_PHASE_SEND || now < rec->retry_at)
        return false;
    if (phase == LG_PHASE_ON &&
        atomic_load_explicit(&rec->taken, memory_order_relaxed) < rec->config.file_bytes)
        return false;
    end_snapshot(rec);
    return !rec->config.region->snapshot_copy && is_half_free(rec, 0); /* a resync has it: later */
}

void lg_recorder_begin(struct lg_recorder *rec, const struct lg_position at[], uint64_t view, uint64_t now)
{
    struct lg_begin *b;

    if (!lg_recorder_due(rec, now))
        return;
    for (unsigned l = 0; l < rec->lanes; l++)
        if (!is_half_free(rec, l)) {
            rec->retry_at = now + SOON_NS;
            return;
        }
    if (ft_snapshot_begin(rec->config.region) != 0) { /* no memory for the copy: the old file goes on */
        rec->retry_at = now + RETRY_NS;
        return;
    }
    rec->owing = true;
    rec->file++;
    b = reserve_entry(rec, 0, LG_QUEUE_BEGIN, sizeof(*b) + rec->lanes * sizeof(at[0]));
    b->view = view;
    b->used = ft_region_used(rec->config.region);
    memcpy(b + 1, at, rec->lanes * sizeof(at[0]));
    ft_ring_publish(&rec->feed[0].queue, b->entry.size);
    for (unsigned l = 0; l < rec->lanes; l++)
        atomic_store_explicit(&rec->feed[l].copied, false, memory_order_relaxed);
    atomic_store_explicit(&rec->taken, 0, memory_order_relaxed);
    atomic_store_explicit(&rec->phase, LG_PHASE_COPY, memory_order_release);
}

static const struct ft_arena *arena_of(struct lg_recorder *rec)
{
    struct ft_region *region = rec->config.region;

    return rec->arena <= (unsigned)region->lanes * region->nfs ? &region->arenas[rec->arena] : NULL;
}

/* The next lines of the copy into the queue, zero lines as runs without bytes. */
static void send_lines(struct lg_recorder *rec, const struct ft_arena *arena)
{
    uint64_t left = (arena->used >> FT_LINE_SHIFT) - rec->line;
    struct ft_line_run run =
        ft_line_run_at(rec->config.region->snapshot_copy, (arena->offset >> FT_LINE_SHIFT) + rec->line,
                       left < TURN_LINES ? left : TURN_LINES);
    size_t bytes = run.zero ? 0 : (size_t)run.count << FT_LINE_SHIFT;
    struct lg_entry *e = reserve_entry(rec, 0, LG_QUEUE_LINES, sizeof(*e) + FT_LINE_RUN_HEAD + bytes);
    uint32_t len = 0;

    FT_CHECK(e, "half of the queue is free and has no room for %u lines", run.count);
    FT_CHECK(ft_line_run_append((uint8_t *)(e + 1), &len, (uint32_t)(e->size - sizeof(*e)), &run),
             "no room for %u lines", run.count);
    e->len = len;
    ft_ring_publish(&rec->feed[0].queue, e->size);
    rec->line += run.count;
}

static bool send_snapshot(struct lg_recorder *rec)
{
    const struct ft_arena *arena;
    bool any = false;

    for (uint64_t sent = 0; sent < TURN_SENDS && is_half_free(rec, 0); sent++) {
        while ((arena = arena_of(rec)) && rec->line == arena->used >> FT_LINE_SHIFT) {
            rec->arena++;
            rec->line = 0;
        }
        if (!arena) {
            queue_bare(rec, 0, LG_QUEUE_SNAPSHOT_END);
            end_snapshot(rec);
            advance_phase(rec, LG_PHASE_SEND, LG_PHASE_ON);
            return true;
        }
        send_lines(rec, arena);
        any = true;
    }
    return any;
}

static bool all_copied(struct lg_recorder *rec)
{
    for (unsigned l = 0; l < rec->lanes; l++)
        if (!atomic_load_explicit(&rec->feed[l].copied, memory_order_acquire))
            return false;
    return ft_snapshot_left(rec->config.region) == 0; /* one may be in the middle of an edit */
}

bool lg_recorder_turn(struct lg_recorder *rec, unsigned lane)
{
    bool worked = false;

    switch (phase_of(rec)) {
    case LG_PHASE_COPY:
        if (!atomic_load_explicit(&rec->feed[lane].copied, memory_order_relaxed)) {
            worked = ft_snapshot_copy(rec->config.region, lane, TURN_LINES) > 0;
            atomic_store_explicit(&rec->feed[lane].copied, !worked, memory_order_release);
        }
        if (lane == 0 && all_copied(rec) && advance_phase(rec, LG_PHASE_COPY, LG_PHASE_SEND)) {
            rec->arena = 0;
            rec->line = 0;
        }
        return worked || lane == 0;
    case LG_PHASE_SEND:
        return lane == 0 && send_snapshot(rec);
    default:
        if (lane == 0)
            end_snapshot(rec); /* another lane gave up */
        return false;
    }
}

void lg_recorder_rotate(struct lg_recorder *rec)
{
    atomic_store_explicit(&rec->taken, rec->config.file_bytes, memory_order_relaxed);
}

void lg_recorder_stop(struct lg_recorder *rec, unsigned lane)
{
    if (give_up(rec, lane))
        queue_bare(rec, lane, LG_QUEUE_STOP); /* no room: the next file ends this one as well */
}

void lg_recorder_yield(struct lg_recorder *rec)
{
    if (rec->owing && phase_of(rec) != LG_PHASE_IDLE)
        count_gap(rec, 0);
    end_snapshot(rec);
}

bool lg_recorder_owes(const struct lg_recorder *rec)
{
    return rec->owing;
}

int lg_recorder_make(struct lg_recorder **out, unsigned lanes, uint64_t queue_bytes, struct ft_fault *fault)
{
    struct lg_recorder *rec =
        mmap(NULL, sizeof(*rec), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    bool whole = rec != MAP_FAILED;

    *out = NULL;
    FT_CHECK(queue_bytes >= 4u * FT_RECORD_MAX, "a queue of %lu bytes", queue_bytes);
    if (whole) {
        rec->fd = -1;
        rec->lanes = lanes;
        for (unsigned l = 0; l < lanes; l++)
            whole &= ft_ring_init(&rec->feed[l].queue, queue_bytes) == 0;
        *out = rec;
    }
    if (whole)
        return 0;
    lg_recorder_free(*out);
    *out = NULL;
    return ft_fail(fault, FT_ENOMEM, "no memory for the recorder");
}

void lg_recorder_free(struct lg_recorder *rec)
{
    if (!rec)
        return;
    for (unsigned l = 0; l < rec->lanes; l++)
        ft_ring_free(&rec->feed[l].queue);
    munmap(rec, sizeof(*rec));
}

int lg_recorder_open(struct lg_recorder *rec, const struct lg_recorder_config *config, struct ft_fault *fault)
{
    FT_CHECK(config->identity_len <= FT_IDENTITY_MAX && config->files >= 2 &&
                 rec->lanes == config->region->lanes,
             "a recorder of %u files", config->files);
    rec->config = *config;
    rec->region_size = config->region->size;
    snprintf(rec->directory, sizeof(rec->directory), "%s", config->directory);
    snprintf(rec->node, sizeof(rec->node), "%s", config->node);
    if (config->identity_len)
        memcpy(rec->identity, config->identity, config->identity_len);
    if (access(rec->directory, W_OK | X_OK) != 0)
        return ft_fail(fault, errno == EACCES || errno == EPERM ? FT_EPERM : FT_EIO,
                       "%.160s: %s, expected a directory for recordings", config->directory, strerror(errno));
    rec->base = lg_file_highest(rec);
    rec->out = malloc(LG_OUT_BYTES);
    if (!rec->out)
        return ft_fail(fault, FT_ENOMEM, "no memory for the recorder");
    if (pthread_create(&rec->thread, NULL, lg_recorder_write, rec) == 0)
        return 0;
    free(rec->out);
    return ft_fail(fault, FT_ENOMEM, "no thread for the recorder");
}

void lg_recorder_close(struct lg_recorder *rec)
{
    const struct lg_node_end stopped = {.wall = lg_wall_clock(), .how = LG_STOPPED, .lane = FT_CRASH_NO_LANE};
    uint64_t ended[FT_LANES_MAX];

    if (!rec)
        return;
    give_up(rec, 0);
    atomic_store_explicit(&rec->stop, true, memory_order_release);
    pthread_join(rec->thread, NULL);
    for (unsigned l = 0; l < rec->lanes; l++)
        ended[l] = rec->feed[l].last.burst;
    lg_recorder_end(rec, &stopped, ended, "stopped");
    free(rec->out);
}

void lg_recorder_counts(struct lg_recorder *rec, struct lg_recorder_counts *out)
{
    *out = (struct lg_recorder_counts){
        .files = atomic_load(&rec->files),
        .records = atomic_load(&rec->records),
        .bytes = atomic_load(&rec->bytes),
        .gaps = atomic_load(&rec->gaps),
        .failures = atomic_load(&rec->failures),
    };
}
