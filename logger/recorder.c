/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Making of the flight recorder, and the lane's side of it: entries of a size, a kind and content into the
 * queue. It costs the lane a copy of each record and, while a base is copied, TURN_LINES twice.
 */
#include "ftcore/check.h"
#include "logger/recorder_parts.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define TURN_LINES 256u           /* of a base, between two bursts: 16 KiB */
#define RETRY_NS   10000000000ull /* after the disk refused */

/* ---- the lane ---------------------------------------------------------------------------------- */

static void end_base(struct lg_recorder *rec)
{
    if (rec->phase == COPY || rec->phase == SEND)
        ft_owe_end(rec->config.region);
}

static void *reserve(struct lg_recorder *rec, enum lg_kind kind, size_t size)
{
    struct lg_entry *e = ft_ring_reserve(&rec->queue, FT_ALIGN8(size));

    if (e)
        *e = (struct lg_entry){.size = (uint32_t)FT_ALIGN8(size), .kind = kind};
    return e;
}

static bool put(struct lg_recorder *rec, enum lg_kind kind)
{
    if (!reserve(rec, kind, sizeof(struct lg_entry)))
        return false;
    ft_ring_publish(&rec->queue, sizeof(struct lg_entry));
    return true;
}

/* What is queued is a file without its end, or without its base; the next one has all it needs. */
static void give_up(struct lg_recorder *rec, uint64_t retry_at)
{
    end_base(rec);
    rec->phase = IDLE;
    rec->retry_at = retry_at;
}

static bool half_free(struct lg_recorder *rec)
{
    return ft_ring_room(&rec->queue) >= rec->queue.capacity / 2;
}

void lg_recorder_record(struct lg_recorder *rec, const struct ft_record *record)
{
    struct lg_entry *e;

    if (rec->phase == IDLE)
        return;
    e = reserve(rec, RECORD, sizeof(*e) + record->size);
    if (!e) {
        atomic_fetch_add_explicit(&rec->gaps, 1, memory_order_relaxed);
        give_up(rec, 0);
        return;
    }
    memcpy(e + 1, record, record->size);
    rec->taken += record->size;
    ft_ring_publish(&rec->queue, e->size);
}

static bool begin_file(struct lg_recorder *rec, const struct lg_position *at, uint64_t view, uint64_t now)
{
    struct lg_begin *b;

    if (!half_free(rec))
        return false;
    if (ft_owe_begin(rec->config.region) != 0) { /* no memory for the copy: the old file goes on */
        rec->retry_at = now + RETRY_NS;
        return false;
    }
    b = reserve(rec, BEGIN, sizeof(*b));
    b->at = *at;
    b->view = view;
    b->used = ft_region_used(rec->config.region);
    ft_ring_publish(&rec->queue, b->entry.size);
    rec->phase = COPY;
    rec->taken = 0;
    return true;
}

static const struct ft_arena *arena_of(struct lg_recorder *rec)
{
    struct ft_region *region = rec->config.region;

    return rec->arena <= (unsigned)region->lanes * region->nfs ? &region->arenas[rec->arena] : NULL;
}

/* The next lines of the shadow into the queue, zero lines as runs without bytes. */
static void send_lines(struct lg_recorder *rec, const struct ft_arena *arena)
{
    static const uint8_t zero[FT_LINE];
    uint64_t left = (arena->used >> FT_LINE_SHIFT) - rec->line, n = 1, first, most;
    const uint8_t *at;
    struct lg_entry *e;
    uint32_t len = 0;

    first = (arena->offset >> FT_LINE_SHIFT) + rec->line;
    at = rec->config.region->shadow + (first << FT_LINE_SHIFT);
    struct ft_line_run run = {.line = first, .zero = memcmp(at, zero, FT_LINE) == 0};

    most = left < TURN_LINES ? left : TURN_LINES;
    while (n < most && (memcmp(at + (n << FT_LINE_SHIFT), zero, FT_LINE) == 0) == run.zero)
        n++;
    run.count = (uint32_t)n;
    run.bytes = run.zero ? NULL : at;
    e = reserve(rec, LINES, sizeof(*e) + 8 + 64 + (run.zero ? 0 : n << FT_LINE_SHIFT));
    FT_CHECK(e, "half of the queue is free and has no room for %lu lines", n);
    FT_CHECK(ft_run_append((uint8_t *)(e + 2), &len, (uint32_t)(e->size - 2 * sizeof(*e)), &run),
             "no room for %lu lines", n);
    memcpy(e + 1, &len, sizeof(len));
    ft_ring_publish(&rec->queue, e->size);
    rec->line += n;
}

static bool send_base(struct lg_recorder *rec)
{
    const struct ft_arena *arena;
    bool any = false;

    for (uint64_t sent = 0; sent < 8 && half_free(rec); sent++) {
        while ((arena = arena_of(rec)) && rec->line == arena->used >> FT_LINE_SHIFT) {
            rec->arena++;
            rec->line = 0;
        }
        if (!arena) {
            put(rec, BASE_END);
            end_base(rec);
            rec->phase = ON;
            return true;
        }
        send_lines(rec, arena);
        any = true;
    }
    return any;
}

bool lg_recorder_turn(struct lg_recorder *rec, const struct lg_position *at, uint64_t view, uint64_t now)
{
    uint64_t failures = atomic_load_explicit(&rec->failures, memory_order_acquire);

    if (failures != rec->failures_seen) {
        rec->failures_seen = failures;
        give_up(rec, now + RETRY_NS);
    }
    switch (rec->phase) {
    case ON:
        if (rec->taken < rec->config.file_bytes)
            return false;
        return now >= rec->retry_at && begin_file(rec, at, view, now);
    case IDLE:
        return now >= rec->retry_at && begin_file(rec, at, view, now);
    case COPY:
        if (ft_owe_copy(rec->config.region, 0, TURN_LINES) == 0) {
            rec->phase = SEND;
            rec->arena = 0;
            rec->line = 0;
        }
        return true;
    default:
        return send_base(rec);
    }
}

void lg_recorder_stop(struct lg_recorder *rec)
{
    if (rec->phase == IDLE)
        return;
    give_up(rec, 0);
    put(rec, STOP); /* no room: the next BEGIN ends the file as well */
}

/* ---- making ------------------------------------------------------------------------------------ */

static void free_all(struct lg_recorder *rec)
{
    ft_ring_free(&rec->queue);
    free(rec->out);
    free(rec);
}

int lg_recorder_open(struct lg_recorder **out, const struct lg_recorder_config *config,
                     struct ft_fault *fault)
{
    struct lg_recorder *rec = calloc(1, sizeof(*rec));

    *out = NULL;
    FT_CHECK(config->region->lanes == 1 && config->identity_len <= FT_IDENTITY_MAX && config->files >= 2 &&
                 config->queue_bytes >= 4u * FT_RECORD_MAX,
             "a recorder of %u lanes, %u files", config->region->lanes, config->files);
    if (rec && (ft_ring_init(&rec->queue, config->queue_bytes) != 0 || !(rec->out = malloc(LG_OUT_BYTES)))) {
        free_all(rec);
        rec = NULL;
    }
    if (!rec)
        return ft_fail(fault, FT_ENOMEM, "no memory for the recorder");
    rec->config = *config;
    rec->fd = -1;
    snprintf(rec->directory, sizeof(rec->directory), "%s", config->directory);
    snprintf(rec->node, sizeof(rec->node), "%s", config->node);
    memcpy(rec->identity, config->identity, config->identity_len);
    rec->serial = lg_recorder_highest(rec);
    if (access(rec->directory, W_OK | X_OK) != 0) {
        free_all(rec);
        return ft_fail(fault, errno == EACCES || errno == EPERM ? FT_EPERM : FT_EIO,
                       "%.160s: %s, expected a directory for recordings", config->directory, strerror(errno));
    }
    if (pthread_create(&rec->thread, NULL, lg_recorder_write, rec) != 0) {
        free_all(rec);
        return ft_fail(fault, FT_ENOMEM, "no thread for the recorder");
    }
    *out = rec;
    return 0;
}

void lg_recorder_close(struct lg_recorder *rec)
{
    if (!rec)
        return;
    give_up(rec, 0);
    atomic_store_explicit(&rec->stop, true, memory_order_release);
    pthread_join(rec->thread, NULL);
    free_all(rec);
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
