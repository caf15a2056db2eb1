/* SPDX-License-Identifier: Apache-2.0 */
/* The writer of the flight recorder: takes entries from the queues and makes frames of them. */
#include "ftcore/base/check.h"
#include "ftcore/base/thread.h"
#include "logger/recorder/parts.h"

#include <stdlib.h>
#include <time.h>

#define SLEEP_FIRST  1000000
#define SLEEP_LAST   16000000      /* an idle node sleeps; the queue holds far more than comes in this time */
#define CLOCK_NS     1000000000ull /* of chain time, from one CLOCK frame to the next */
#define ENTRIES_TURN 64u           /* of one lane, until the next one's turn */

uint64_t lg_wall_clock(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void put_header(struct lg_recorder *rec, const struct lg_begin *b)
{
    const struct lg_position *at = (const struct lg_position *)(b + 1);
    uint32_t more = (rec->lanes - 1) * (uint32_t)sizeof(*at);
    struct lg_file_header h = {.serial = rec->base + b->entry.file,
                               .view = b->view,
                               .region_size = rec->region_size,
                               .region_used = b->used,
                               .at = at[0],
                               .lanes = rec->lanes,
                               .identity = rec->config.identity_len};
    uint32_t version[2] = {FT_FORMAT_NEWEST, 0};
    uint8_t *content;

    h.wall = lg_wall_clock();
    rec->clock_due = 0;
    memcpy(h.node, rec->node, sizeof(h.node));
    memcpy(rec->out, LG_MAGIC, 8);
    memcpy(rec->out + 8, version, sizeof(version));
    rec->out_len = LG_PREFACE;
    rec->offset = LG_PREFACE;
    content = lg_frame_room(rec);
    memcpy(content, &h, sizeof(h));
    memcpy(content + sizeof(h), at + 1, more);
    memcpy(content + sizeof(h) + more, rec->identity, h.identity);
    lg_frame_put(rec, LG_HEADER, (uint32_t)sizeof(h) + more + h.identity);
}

/* Behind a record, in the room that was had for both. */
static void put_clock(struct lg_recorder *rec, uint64_t time)
{
    struct lg_clock clock = {.time = time, .wall = lg_wall_clock()};

    memcpy(rec->out + rec->out_len + LG_FRAME_HEAD, &clock, sizeof(clock));
    lg_frame_put(rec, LG_CLOCK, sizeof(clock));
    rec->clock_due = time + CLOCK_NS;
}

static void put_record(struct lg_recorder *rec, const struct ft_record *r)
{
    long n = ft_record_encode(r, FT_FORMAT_NEWEST, true, lg_frame_room(rec), LG_CONTENT_MAX);

    FT_CHECK(n > 0, "the record of burst %lu cannot be encoded", r->burst);
    lg_frame_put(rec, LG_RECORD, (uint32_t)n);
    atomic_fetch_add_explicit(&rec->records, 1, memory_order_relaxed);
}

/* Where the lanes are behind an entry whose frame is in the file, or will be. */
static void note_entry(struct lg_recorder *rec, unsigned lane, const struct lg_entry *e)
{
    const struct ft_record *r = (const struct ft_record *)(e + 1);
    const struct lg_position *at = (const struct lg_position *)((const struct lg_begin *)e + 1);

    if (e->kind == LG_QUEUE_RECORD)
        rec->feed[lane].last = (struct lg_position){
            .burst = r->burst, .seq = r->seq + r->inputs, .time = r->time, .access = r->access + r->accesses};
    else if (e->kind == LG_QUEUE_BEGIN)
        for (unsigned l = 0; l < rec->lanes; l++)
            rec->feed[l].last = at[l];
    else if (e->kind == LG_QUEUE_SNAPSHOT_END)
        rec->whole = true;
}

static void write_entry(struct lg_recorder *rec, unsigned lane, struct lg_entry *e);

/* Takes the queue's first entry, whose place is free when its frame is in the file. */
static void take_entry(struct lg_recorder *rec, unsigned lane, struct lg_entry *e)
{
    uint32_t size = e->size;

    if (e->end && e->end <= rec->there && e->file == atomic_load_explicit(&rec->open, memory_order_relaxed))
        note_entry(rec, lane, e);
    else
        write_entry(rec, lane, e);
    ft_ring_advance(&rec->feed[lane].queue, size);
}

/* The reader's own mark is made in what it reads. */
static struct lg_entry *peek_entry(struct lg_recorder *rec, unsigned lane)
{
    uint64_t there;

    return (struct lg_entry *)(uintptr_t)ft_ring_peek(&rec->feed[lane].queue, &there);
}

/* What other lanes queued for files up to the one that ends. Lane 0 may have begun the next file. */
static void write_others(struct lg_recorder *rec, unsigned but, uint32_t file)
{
    struct lg_entry *e;

    for (unsigned l = 0; l < rec->lanes; l++)
        while (l != but && (e = peek_entry(rec, l)) && e->kind != LG_QUEUE_BEGIN && e->file <= file)
            take_entry(rec, l, e);
}

static void write_begin(struct lg_recorder *rec, unsigned lane, struct lg_entry *e)
{
    write_others(rec, lane, e->file - 1);
    lg_file_begin(rec, e->file);
    rec->writing = e->file;
    if (rec->fd < 0)
        return;
    put_header(rec, (const struct lg_begin *)e);
    note_entry(rec, lane, e);
    e->end = rec->offset;
}

static void write_entry(struct lg_recorder *rec, unsigned lane, struct lg_entry *e)
{
    const struct ft_record *r = (const struct ft_record *)(e + 1);

    if (e->kind == LG_QUEUE_BEGIN) {
        write_begin(rec, lane, e);
        return;
    }
    if (rec->fd < 0 || e->file != atomic_load_explicit(&rec->open, memory_order_relaxed))
        return;
    if (e->kind == LG_QUEUE_STOP) {
        write_others(rec, lane, e->file);
        lg_file_end(rec);
        return;
    }
    if (e->kind == LG_QUEUE_RECORD) {
        put_record(rec, r);
    } else if (e->kind == LG_QUEUE_LINES) {
        memcpy(lg_frame_room(rec), e + 1, e->len);
        lg_frame_put(rec, LG_LINES, e->len);
    } else {
        lg_frame_room(rec);
        lg_frame_put(rec, LG_SNAPSHOT_END, 0);
    }
    note_entry(rec, lane, e);
    e->end = rec->offset;
    if (e->kind == LG_QUEUE_RECORD && r->time >= rec->clock_due)
        put_clock(rec, r->time);
}

/* Some of a lane's entries; those of a file that has yet to begin wait for that file's first entry. */
static bool write_lane(struct lg_recorder *rec, unsigned lane)
{
    struct lg_entry *e;
    unsigned n = 0;

    for (; n < ENTRIES_TURN && (e = peek_entry(rec, lane)); n++) {
        if (e->kind != LG_QUEUE_BEGIN && e->file > rec->writing)
            break;
        take_entry(rec, lane, e);
    }
    return n > 0;
}

bool lg_recorder_take(struct lg_recorder *rec)
{
    bool any = false, more;

    do {
        more = false;
        for (unsigned l = 0; l < rec->lanes; l++)
            more |= write_lane(rec, l);
        any |= more;
    } while (more);
    lg_file_flush(rec);
    return any;
}

void *lg_recorder_write(void *arg)
{
    struct lg_recorder *rec = arg;
    struct timespec pause = {0, SLEEP_FIRST};

    ft_thread_begin("us-recorder");
    for (;;) {
        bool stop = atomic_load_explicit(&rec->stop, memory_order_acquire), any = lg_recorder_take(rec);

        if (stop)
            return NULL;
        nanosleep(&pause, NULL);
        pause.tv_nsec = any ? SLEEP_FIRST : pause.tv_nsec < SLEEP_LAST ? pause.tv_nsec * 2 : SLEEP_LAST;
    }
}
