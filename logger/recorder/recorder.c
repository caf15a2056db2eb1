/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flight recorder: its files (names, how many are kept, frames into the one that is open), its writer,
 * which takes entries from the queues and makes frames of them, and the lanes' side: entries of a size, a
 * kind and content into the queues. It costs a lane a copy of each record and, while a snapshot is copied,
 * TURN_LINES twice.
 *
 * All of it lies in memory that outlives the node, so that a process that outlives it can finish the file
 * (lg_recorder_drain). That needs no word of two threads at once: an entry stays in its queue until its
 * frames are in the file. The writer notes in the entry where its frame ends, then writes the frames, then
 * notes how far the file has been written, then frees the entries. Wherever the writer dies, the file's last
 * whole frame shows what has to be done again.
 */
#include "ftcore/base/check.h"
#include "ftcore/base/clock.h"
#include "ftcore/base/event_log.h"
#include "ftcore/base/thread.h"
#include "ftcore/base/worker.h"
#include "ftcore/queue/ring.h"
#include "ftcore/record/delta.h"
#include "ftcore/record/message.h"
#include "logger/recorder/recorder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define OUT_BYTES (2u << 20)

/* What an entry of the queue is. */
enum lg_kind { LG_QUEUE_BEGIN = 1, LG_QUEUE_LINES, LG_QUEUE_SNAPSHOT_END, LG_QUEUE_RECORD, LG_QUEUE_STOP };
enum lg_phase { LG_PHASE_IDLE, LG_PHASE_COPY, LG_PHASE_SEND, LG_PHASE_ON };

struct lg_entry {
    uint32_t size, kind;
    uint32_t len;  /* LG_QUEUE_LINES: bytes of runs */
    uint32_t file; /* number of the file it belongs to, from 1; in every lane's queue they only rise */
    uint64_t end;  /* by the writer: where the frame that it made of it ends in the file; 0: none yet */
};

/* The first entry of a file (LG_QUEUE_BEGIN), in the queue of lane 0; a position for each lane follows, then
 * the identity of the chain, which may be another one by the time that the file is written. */
struct lg_begin {
    struct lg_entry entry;
    uint64_t view, size, used; /* bytes of the region; of those in use */
    uint64_t identity;         /* bytes */
};

struct lg_feed {
    struct ft_ring queue;    /* lane → writer */
    _Atomic bool copied;     /* LG_PHASE_COPY: nothing of the snapshot is left for this lane to copy */
    struct lg_position last; /* the writer's: behind the last record that it took; `outputs` is not known */
};

struct lg_recorder {
    struct lg_recorder_config config; /* its pointers are the node's own */
    char directory[256], node[LG_NODE_MAX];
    char identity[FT_IDENTITY_MAX]; /* of the next file; written when all lanes are quiesced */
    unsigned lanes;
    struct lg_feed feed[FT_LANES_MAX];

    /* LG_PHASE_IDLE by any lane, the others by lane 0, or at a moment when all are quiesced. */
    _Atomic int phase;      /* enum lg_phase */
    _Atomic uint64_t taken; /* bytes of records in this file */
    uint32_t file;          /* begun so far; written when all are quiesced */

    /* Lane 0's. */
    _Atomic bool waits; /* a new file is due, and lanes have not been at the barrier for it yet */
    bool owing;         /* lines are pending to this recorder: the copy is ours */
    unsigned arena;     /* LG_PHASE_SEND: the arena that is read from the copy */
    uint64_t line;      /* the next line of that arena */
    uint64_t retry_at;
    uint64_t failures_seen;

    /* The writer's, and once the node has ended his who finishes the file. */
    int fd;                   /* -1: nothing is written */
    _Atomic uint32_t open;    /* number of the file that is written; 0: none */
    uint32_t writing;         /* number of the file that was begun last */
    _Atomic uint64_t written; /* bytes of the open file that are in it for certain: whole frames */
    uint64_t base, offset;    /* file N has the serial base + N; offset: of the next frame */
    uint64_t there;           /* who finishes: bytes that were in the file already */
    uint64_t clock_due;       /* chain time of a record behind which a CLOCK frame is written */
    bool whole;               /* the file's snapshot */
    uint8_t *out;
    uint32_t out_len;
    struct ft_worker worker;

    _Atomic uint64_t files, records, bytes, gaps;
    _Atomic uint64_t failures; /* times the disk refused; until the next file all is thrown away */
};

/* ---- files ----------------------------------------------------------------------------------- */

#define NAME_BYTES 320u
static void name_file(const struct lg_recorder *rec, uint32_t file, char out[NAME_BYTES])
{
    snprintf(out, NAME_BYTES, "%s/%08lu" LG_SUFFIX, rec->directory, rec->base + file);
}

static uint32_t open_file(const struct lg_recorder *rec)
{
    return atomic_load_explicit(&rec->open, memory_order_relaxed);
}

static void set_open(struct lg_recorder *rec, uint32_t file)
{
    atomic_store_explicit(&rec->open, file, memory_order_release);
}

/* Without its whole snapshot a file must not drive out one that can be read. */
static void drop_file(struct lg_recorder *rec)
{
    char name[NAME_BYTES];

    if (rec->fd >= 0) {
        close(rec->fd);
        rec->fd = -1;
        name_file(rec, open_file(rec), name);
        if (!rec->whole)
            unlink(name);
    }
    set_open(rec, 0);
}

/* The lane hears of it and begins another later. */
static void give_up_file(struct lg_recorder *rec, const char *what)
{
    char name[NAME_BYTES];

    name_file(rec, open_file(rec), name);
    ft_log_event(FT_LEVEL_ERROR, FT_SAYS_RECORDER, "recorder: %s: %s: %s", name, what, strerror(errno));
    atomic_fetch_add_explicit(&rec->failures, 1, memory_order_release);
    drop_file(rec);
}

/* Writes the frames, and frees what they were made of. */
static void flush_file(struct lg_recorder *rec)
{
    uint32_t done = 0;
    ssize_t n;

    while (rec->fd >= 0 && done < rec->out_len) {
        n = write(rec->fd, rec->out + done, rec->out_len - done);
        if (n < 0 && errno != EINTR) {
            give_up_file(rec, "cannot be written");
            break;
        }
        done += n > 0 ? (uint32_t)n : 0;
    }
    atomic_fetch_add_explicit(&rec->bytes, done, memory_order_relaxed);
    rec->out_len = 0;
    if (rec->fd >= 0)
        atomic_store_explicit(&rec->written, rec->offset, memory_order_release);
    for (unsigned l = 0; l < rec->lanes; l++)
        ft_ring_consume(&rec->feed[l].queue);
}

/* Room for the content of a frame; the content is written there, then put_frame. Behind it is room for a
 * clock, so that nothing is written to the file between a record and its clock. */
static uint8_t *frame_room(struct lg_recorder *rec)
{
    if (rec->out_len + 2 * LG_FRAME_HEAD + LG_CONTENT_MAX + sizeof(struct lg_clock) > OUT_BYTES)
        flush_file(rec);
    return rec->out + rec->out_len + LG_FRAME_HEAD;
}

static void put_frame(struct lg_recorder *rec, enum lg_frame_type type, uint32_t len)
{
    lg_frame_head(rec->out + rec->out_len, rec->offset, type, rec->out + rec->out_len + LG_FRAME_HEAD, len);
    rec->out_len += LG_FRAME_HEAD + len;
    rec->offset += LG_FRAME_HEAD + len;
}

/* Closes the open file, if there is one, with its END; or takes it away, when its snapshot is not whole and
 * no file leads to it. */
static void end_file(struct lg_recorder *rec)
{
    if (rec->fd < 0)
        return;
    frame_room(rec);
    put_frame(rec, LG_END, 0);
    flush_file(rec);
    if (rec->fd < 0)
        return;
    set_open(rec, 0); /* whole, and nobody's to finish, however long the disk takes */
    fdatasync(rec->fd);
    close(rec->fd);
    rec->fd = -1;
}

/* The serials of the files there are: how many, the lowest and the highest (0: there is none). */
static uint64_t count_files(const struct lg_recorder *rec, uint64_t *lowest, uint64_t *highest)
{
    DIR *dir = opendir(rec->directory);
    const struct dirent *d;
    uint64_t count = 0;

    *lowest = UINT64_MAX;
    *highest = 0;
    while (dir && (d = readdir(dir))) {
        char *end;
        uint64_t n = strtoull(d->d_name, &end, 10);

        if (strlen(d->d_name) != 8 + strlen(LG_SUFFIX) || end != d->d_name + 8 || strcmp(end, LG_SUFFIX) != 0)
            continue;
        count++;
        *lowest = n < *lowest ? n : *lowest;
        *highest = n > *highest ? n : *highest;
    }
    if (dir)
        closedir(dir);
    return count;
}

static void purge_files(const struct lg_recorder *rec, uint64_t keep)
{
    uint64_t lowest, highest;
    char name[NAME_BYTES];

    while (count_files(rec, &lowest, &highest) > keep) {
        snprintf(name, sizeof(name), "%s/%08lu" LG_SUFFIX, rec->directory, lowest);
        if (unlink(name) != 0)
            return;
    }
}

/* Ends the open file, or takes it away when its snapshot is not whole, keeps to the number of files, and
 * makes this one, unless it is the open one. */
static void begin_file(struct lg_recorder *rec, uint32_t file)
{
    char name[NAME_BYTES];

    if (open_file(rec) == file) {
        /* Who finishes what a dead writer had begun: from its first byte. */
        rec->there = 0;
        if (ftruncate(rec->fd, 0) != 0 || lseek(rec->fd, 0, SEEK_SET) != 0)
            give_up_file(rec, "cannot be written");
        return;
    }
    if (!rec->whole)
        drop_file(rec);
    end_file(rec);
    flush_file(rec); /* of one that was taken away nothing stays in the queues */
    purge_files(rec, rec->config.files - 1);
    rec->whole = false;
    atomic_store_explicit(&rec->written, 0, memory_order_relaxed);
    set_open(rec, file); /* before there is one, so that nobody finds one that is nobody's */
    name_file(rec, file, name);
    rec->fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (rec->fd < 0)
        give_up_file(rec, "cannot be made");
    else
        atomic_fetch_add_explicit(&rec->files, 1, memory_order_relaxed);
}

/* ---- the writer ------------------------------------------------------------------------------ */

#define SLEEP_FIRST  1000000
#define SLEEP_LAST   16000000      /* an idle node sleeps; the queue holds far more than comes in this time */
#define CLOCK_NS     1000000000ull /* of chain time, from one CLOCK frame to the next */
#define ENTRIES_TURN 64u           /* of one lane, until the next one's turn */

static void put_header(struct lg_recorder *rec, const struct lg_begin *b)
{
    const struct lg_position *at = (const struct lg_position *)(b + 1);
    uint32_t more = (rec->lanes - 1) * (uint32_t)sizeof(*at);
    struct lg_file_header h = {.serial = rec->base + b->entry.file,
                               .view = b->view,
                               .region_size = b->size,
                               .region_used = b->used,
                               .at = at[0],
                               .lanes = rec->lanes,
                               .identity = (uint32_t)b->identity};
    uint32_t version[2] = {FT_FORMAT_NEWEST, 0};
    uint8_t *content;

    h.wall = ft_wall();
    rec->clock_due = 0;
    memcpy(h.node, rec->node, sizeof(h.node));
    memcpy(rec->out, LG_MAGIC, 8);
    memcpy(rec->out + 8, version, sizeof(version));
    rec->out_len = LG_PREFACE;
    rec->offset = LG_PREFACE;
    content = frame_room(rec);
    memcpy(content, &h, sizeof(h));
    memcpy(content + sizeof(h), at + 1, more);
    memcpy(content + sizeof(h) + more, at + rec->lanes, h.identity);
    put_frame(rec, LG_HEADER, (uint32_t)sizeof(h) + more + h.identity);
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
    begin_file(rec, e->file);
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
        end_file(rec);
        return;
    }
    if (e->kind == LG_QUEUE_RECORD) {
        long n = ft_record_encode(r, FT_FORMAT_NEWEST, true, frame_room(rec), LG_CONTENT_MAX);

        FT_CHECK(n > 0, "the record of burst %lu cannot be encoded", r->burst);
        put_frame(rec, LG_RECORD, (uint32_t)n);
        atomic_fetch_add_explicit(&rec->records, 1, memory_order_relaxed);
    } else if (e->kind == LG_QUEUE_LINES) {
        memcpy(frame_room(rec), e + 1, e->len);
        put_frame(rec, LG_LINES, e->len);
    } else {
        frame_room(rec);
        put_frame(rec, LG_SNAPSHOT_END, 0);
    }
    note_entry(rec, lane, e);
    e->end = rec->offset;
    /* Behind a record, in the room that was had for both. */
    if (e->kind == LG_QUEUE_RECORD && r->time >= rec->clock_due) {
        struct lg_clock clock = {.time = r->time, .wall = ft_wall()};

        memcpy(rec->out + rec->out_len + LG_FRAME_HEAD, &clock, sizeof(clock));
        put_frame(rec, LG_CLOCK, sizeof(clock));
        rec->clock_due = r->time + CLOCK_NS;
    }
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

/* Takes all that is in the queues, and writes it. True: there was something. */
static bool take_queues(struct lg_recorder *rec)
{
    bool any = false, more;

    do {
        more = false;
        for (unsigned l = 0; l < rec->lanes; l++)
            more |= write_lane(rec, l);
        any |= more;
    } while (more);
    flush_file(rec);
    return any;
}

/* The worker, until it is to end and the queues are empty. */
static void *write_files(void *arg)
{
    struct lg_recorder *rec = arg;
    struct timespec pause = {0, SLEEP_FIRST};

    ft_thread_begin("us-recorder");
    for (;;) {
        bool ends = ft_worker_ends(&rec->worker), any = take_queues(rec);

        if (ends)
            return NULL;
        nanosleep(&pause, NULL);
        pause.tv_nsec = any ? SLEEP_FIRST : pause.tv_nsec < SLEEP_LAST ? pause.tv_nsec * 2 : SLEEP_LAST;
    }
}

/* ---- lanes ----------------------------------------------------------------------------------- */

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
    if (rec->config.region->snapshot_copy || !is_half_free(rec, 0)) /* a resync has it: later */
        return false;
    atomic_store_explicit(&rec->waits, true, memory_order_release);
    return true;
}

bool lg_recorder_waits(const struct lg_recorder *rec)
{
    return atomic_load_explicit(&rec->waits, memory_order_acquire);
}

void lg_recorder_begin(struct lg_recorder *rec, const struct lg_position at[], uint64_t view, uint64_t now)
{
    struct lg_begin *b;
    bool due = lg_recorder_due(rec, now);

    atomic_store_explicit(&rec->waits, false, memory_order_release);
    if (!due)
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
    b = reserve_entry(rec, 0, LG_QUEUE_BEGIN,
                      sizeof(*b) + rec->lanes * sizeof(at[0]) + rec->config.identity_len);
    b->view = view;
    b->size = rec->config.region->size;
    b->used = ft_region_used(rec->config.region);
    b->identity = rec->config.identity_len;
    memcpy(b + 1, at, rec->lanes * sizeof(at[0]));
    memcpy((struct lg_position *)(b + 1) + rec->lanes, rec->identity, rec->config.identity_len);
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
    uint64_t zero;

    switch (phase_of(rec)) {
    case LG_PHASE_COPY:
        if (!atomic_load_explicit(&rec->feed[lane].copied, memory_order_relaxed)) {
            worked = ft_snapshot_copy(rec->config.region, lane, TURN_LINES, &zero) > 0;
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

bool lg_recorder_halt(struct lg_recorder *rec)
{
    bool recorded = phase_of(rec) != LG_PHASE_IDLE;

    for (unsigned l = 0; l < rec->lanes; l++)
        lg_recorder_stop(rec, l);
    end_snapshot(rec);
    return recorded;
}

void lg_recorder_missed(struct lg_recorder *rec)
{
    atomic_fetch_add_explicit(&rec->gaps, 1, memory_order_relaxed);
}

void lg_recorder_take_chain(struct lg_recorder *rec, const char *identity, uint32_t len)
{
    FT_CHECK(len <= FT_IDENTITY_MAX && phase_of(rec) == LG_PHASE_IDLE, "an identity of %u bytes", len);
    memcpy(rec->identity, identity, len);
    rec->config.identity_len = len;
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
    uint64_t lowest;
    int error;

    FT_CHECK(config->identity_len <= FT_IDENTITY_MAX && config->files >= 2 &&
                 rec->lanes == config->region->lanes,
             "a recorder of %u files", config->files);
    rec->config = *config;
    snprintf(rec->directory, sizeof(rec->directory), "%s", config->directory);
    snprintf(rec->node, sizeof(rec->node), "%s", config->node);
    if (config->identity_len)
        memcpy(rec->identity, config->identity, config->identity_len);
    if (access(rec->directory, W_OK | X_OK) != 0 && errno != EROFS) /* a disk may take writes again */
        return ft_fail(fault, errno == EACCES || errno == EPERM ? FT_EPERM : FT_EIO,
                       "%.160s: %s, expected a directory for recordings", config->directory, strerror(errno));
    count_files(rec, &lowest, &rec->base);
    rec->out = malloc(OUT_BYTES);
    if (!rec->out)
        return ft_fail(fault, FT_ENOMEM, "no memory for the recorder");
    error = ft_worker_start(&rec->worker, write_files, rec, "the recorder", fault);
    if (error)
        free(rec->out);
    return error;
}

void lg_recorder_close(struct lg_recorder *rec)
{
    const struct lg_node_end stopped = {.wall = ft_wall(), .how = LG_STOPPED, .lane = FT_CRASH_NO_LANE};
    uint64_t ended[FT_LANES_MAX];

    if (!rec)
        return;
    give_up(rec, 0);
    ft_worker_end(&rec->worker, UINT64_MAX);
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

/* ---- the end of a recording -------------------------------------------------------------------- */

/*
 * By the recorder itself when its node stops, and of a node that died by a process that outlives it and maps
 * the same memory. The writer is dead by then, so nobody waits for anybody.
 */

/* Where the last whole frame of data[0..size) ends, if what is before `at` is known to be whole. An END and a
 * NODE_END are cut off, too: both will be written once more. */
static uint64_t find_end(const uint8_t *data, uint64_t size, uint64_t at)
{
    uint8_t head[LG_FRAME_HEAD];
    uint32_t len, type;

    if (size < LG_PREFACE)
        return 0;
    at = at < LG_PREFACE ? LG_PREFACE : at;
    if (at >= LG_PREFACE + LG_FRAME_HEAD && at <= size) {
        lg_frame_head(head, at - LG_FRAME_HEAD, LG_END, data, 0);
        if (memcmp(head, data + at - LG_FRAME_HEAD, sizeof(head)) == 0)
            at = LG_PREFACE;
    }
    while (at <= size && size - at >= LG_FRAME_HEAD) {
        memcpy(&len, data + at, sizeof(len));
        memcpy(&type, data + at + 4, sizeof(type));
        if (len > LG_CONTENT_MAX || len > size - at - LG_FRAME_HEAD || type == LG_END || type == LG_NODE_END)
            break;
        lg_frame_head(head, at, type, data + at + LG_FRAME_HEAD, len);
        if (memcmp(head, data + at, sizeof(head)) != 0)
            break;
        at += LG_FRAME_HEAD + len;
    }
    return at < size ? at : size;
}

static bool cut_torn_end(struct lg_recorder *rec)
{
    uint64_t written = atomic_load_explicit(&rec->written, memory_order_acquire);
    struct stat is;
    void *data;

    if (fstat(rec->fd, &is) != 0)
        return false;
    if (is.st_size > 0) {
        data = mmap(NULL, (size_t)is.st_size, PROT_READ, MAP_SHARED, rec->fd, 0);
        if (data == MAP_FAILED)
            return false;
        rec->there = find_end(data, (uint64_t)is.st_size, written);
        munmap(data, (size_t)is.st_size);
    }
    rec->offset = rec->there;
    return ftruncate(rec->fd, (off_t)rec->there) == 0 && lseek(rec->fd, 0, SEEK_END) >= 0;
}

/* The file that the dead writer had open, if it had one. Opened as the node's user and by its name, as the
 * writer had. */
static void reopen_file(struct lg_recorder *rec)
{
    uint32_t open_file = atomic_load_explicit(&rec->open, memory_order_acquire);
    char name[NAME_BYTES];

    if (!open_file)
        return;
    name_file(rec, open_file, name);
    rec->fd = open(name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
    if (rec->fd >= 0 && cut_torn_end(rec))
        return;
    if (rec->fd >= 0 || errno != ENOENT) /* it had not made it yet */
        ft_log_event(FT_LEVEL_ERROR, FT_SAYS_RECORDER, "recorder: %s: cannot be finished: %s", name,
                     strerror(errno));
    if (rec->fd >= 0)
        close(rec->fd);
    rec->fd = -1;
    atomic_store_explicit(&rec->open, 0, memory_order_release);
}

bool lg_recorder_drain(struct lg_recorder *rec, struct lg_position at[])
{
    rec->out = malloc(OUT_BYTES); /* what lay in the node's own memory is lost, and is made again */
    if (!rec->out)
        return false;
    rec->fd = -1;
    rec->out_len = 0;
    rec->there = 0;
    for (unsigned l = 0; l < rec->lanes; l++)
        rec->feed[l].queue.read = atomic_load_explicit(&rec->feed[l].queue.tail, memory_order_acquire);
    reopen_file(rec);
    take_queues(rec);
    for (unsigned l = 0; l < rec->lanes; l++)
        at[l] = rec->feed[l].last;
    return rec->fd >= 0;
}

/* The record as far as it was known before the chain ran, with the numbers that follow from those before. */
static bool copy_begun(struct ft_record *out, const struct ft_record *r, const struct lg_position *last)
{
    size_t head = ft_record_dependencies_at(r);

    if (r->burst != last->burst + 1 || r->seq != last->seq || r->flags & FT_REC_BY_SEQ ||
        r->bytes > FT_BYTES_MAX || r->inputs > FT_BURST_MAX || r->dependencies > FT_DEPENDENCIES_MAX ||
        r->determinants > FT_DETERMINANTS_MAX)
        return false;
    memcpy(out, r, head);
    memcpy((uint8_t *)out + head, (const uint8_t *)r + ft_record_determinants_at(r), r->determinants);
    out->flags &= FT_REC_STAMPED;
    out->released = out->digest = out->slice = 0;
    out->access = last->access;
    out->accesses = 0;
    out->dependencies = 0;
    out->size = (uint32_t)ft_record_size(out);
    return true;
}

void lg_recorder_begun(struct lg_recorder *rec, const struct ft_record *r)
{
    struct ft_record *copy = aligned_alloc(64, 2 * FT_RECORD_MAX), *back;
    struct ft_fault fault;
    uint8_t *content;
    long n = 0;

    if (copy && rec->fd >= 0 && r->lane < rec->lanes && copy_begun(copy, r, &rec->feed[r->lane].last)) {
        content = frame_room(rec);
        back = (struct ft_record *)((uint8_t *)copy + FT_RECORD_MAX);
        n = ft_record_encode(copy, FT_FORMAT_NEWEST, true, content, LG_CONTENT_MAX);
        /* The node died somewhere: what it left need not be a record. */
        if (n > 0 && ft_record_decode(content, (size_t)n, back, FT_RECORD_MAX, &fault) == n)
            put_frame(rec, LG_BEGUN, (uint32_t)n);
    }
    free(copy);
}

void lg_recorder_end(struct lg_recorder *rec, const struct lg_node_end *end, const uint64_t ended[],
                     const char *line)
{
    uint32_t lanes = rec->lanes * (uint32_t)sizeof(ended[0]), text = (uint32_t)strnlen(line, LG_LINE_MAX);
    uint8_t *content;

    if (rec->fd < 0)
        return;
    content = frame_room(rec);
    memcpy(content, end, sizeof(*end));
    memcpy(content + sizeof(*end), ended, lanes);
    memcpy(content + sizeof(*end) + lanes, line, text);
    put_frame(rec, LG_NODE_END, (uint32_t)sizeof(*end) + lanes + text);
    end_file(rec);
}
