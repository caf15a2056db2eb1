/* SPDX-License-Identifier: Apache-2.0 */
/* The writer of the flight recorder: takes entries from the queues, makes frames and files of them, keeps to
 * the number of files. */
#include "ftcore/base/check.h"
#include "ftcore/base/event_log.h"
#include "ftcore/base/thread.h"
#include "logger/recorder/parts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define SLEEP_FIRST  1000000
#define SLEEP_LAST   16000000 /* an idle node sleeps; the queue holds far more than comes in this time */
#define NAME_BYTES   320u
#define CLOCK_NS     1000000000ull /* of chain time, from one CLOCK frame to the next */
#define ENTRIES_TURN 64u           /* of one lane, until the next one's turn */

static void name_of(const struct lg_recorder *rec, uint64_t serial, char out[NAME_BYTES])
{
    snprintf(out, NAME_BYTES, "%s/%08lu" LG_SUFFIX, rec->directory, serial);
}

/* Without its whole snapshot a file must not drive out one that can be read. */
static void close_file(struct lg_recorder *rec)
{
    char name[NAME_BYTES];

    if (rec->fd < 0)
        return;
    close(rec->fd);
    rec->fd = -1;
    name_of(rec, rec->serial, name);
    if (!rec->whole)
        unlink(name);
}

/* The file is given up; the lane hears of it and begins another later. */
static void give_up_file(struct lg_recorder *rec, const char *what)
{
    char name[NAME_BYTES];

    name_of(rec, rec->serial, name);
    ft_log_event(FT_LEVEL_ERROR, FT_SAYS_RECORDER, "recorder: %s: %s: %s", name, what, strerror(errno));
    atomic_fetch_add_explicit(&rec->failures, 1, memory_order_release);
    close_file(rec);
}

static void flush_frames(struct lg_recorder *rec)
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
}

/* Room for a frame's content; the content is written there, then frame_end. */
static uint8_t *frame_begin(struct lg_recorder *rec)
{
    if (rec->out_len + LG_FRAME_HEAD + LG_CONTENT_MAX > LG_OUT_BYTES)
        flush_frames(rec);
    return rec->out + rec->out_len + LG_FRAME_HEAD;
}

static void frame_end(struct lg_recorder *rec, enum lg_frame_type type, uint32_t len)
{
    lg_frame_head(rec->out + rec->out_len, rec->offset, type, rec->out + rec->out_len + LG_FRAME_HEAD, len);
    rec->out_len += LG_FRAME_HEAD + len;
    rec->offset += LG_FRAME_HEAD + len;
}

static void end_file(struct lg_recorder *rec)
{
    if (rec->fd < 0)
        return;
    frame_begin(rec);
    frame_end(rec, LG_END, 0);
    flush_frames(rec);
    if (rec->fd < 0)
        return;
    fdatasync(rec->fd);
    close(rec->fd);
    rec->fd = -1;
}

/* The numbers of the files there are: how many, the lowest and the highest. */
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
        name_of(rec, lowest, name);
        if (unlink(name) != 0)
            return;
    }
}

static uint64_t read_wall_clock(void)
{
    struct timespec t;

    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
}

static void put_header(struct lg_recorder *rec, const struct lg_begin *b)
{
    const struct lg_position *at = (const struct lg_position *)(b + 1);
    uint32_t more = (rec->lanes - 1) * (uint32_t)sizeof(*at);
    struct lg_file_header h = {.serial = rec->serial,
                               .view = b->view,
                               .region_size = rec->config.region->size,
                               .region_used = b->used,
                               .at = at[0],
                               .lanes = rec->lanes,
                               .identity = rec->config.identity_len};
    uint32_t version[2] = {FT_FORMAT_NEWEST, 0};
    uint8_t *content;

    h.wall = read_wall_clock();
    rec->clock_due = 0;
    memcpy(h.node, rec->node, sizeof(h.node));
    memcpy(rec->out, LG_MAGIC, 8);
    memcpy(rec->out + 8, version, sizeof(version));
    rec->out_len = LG_PREFACE;
    rec->offset = LG_PREFACE;
    content = frame_begin(rec);
    memcpy(content, &h, sizeof(h));
    memcpy(content + sizeof(h), at + 1, more);
    memcpy(content + sizeof(h) + more, rec->identity, h.identity);
    frame_end(rec, LG_HEADER, (uint32_t)sizeof(h) + more + h.identity);
}

static void begin_writing(struct lg_recorder *rec, const struct lg_begin *b)
{
    char name[NAME_BYTES];

    if (!rec->whole)
        close_file(rec);
    end_file(rec);
    purge_files(rec, rec->config.files - 1);
    rec->serial++;
    rec->out_len = 0;
    rec->whole = false;
    name_of(rec, rec->serial, name);
    rec->fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (rec->fd < 0) {
        give_up_file(rec, "cannot be made");
        return;
    }
    atomic_fetch_add_explicit(&rec->files, 1, memory_order_relaxed);
    put_header(rec, b);
}

static void put_clock(struct lg_recorder *rec, uint64_t time)
{
    struct lg_clock clock = {.time = time, .wall = read_wall_clock()};

    memcpy(frame_begin(rec), &clock, sizeof(clock));
    if (rec->fd >= 0)
        frame_end(rec, LG_CLOCK, sizeof(clock));
    rec->clock_due = time + CLOCK_NS;
}

static void put_record(struct lg_recorder *rec, const struct ft_record *r)
{
    uint8_t *content = frame_begin(rec);
    long n;

    if (rec->fd < 0)
        return;
    n = ft_record_encode(r, FT_FORMAT_NEWEST, true, content, LG_CONTENT_MAX);
    FT_CHECK(n > 0, "the record of burst %lu cannot be encoded", r->burst);
    frame_end(rec, LG_RECORD, (uint32_t)n);
    atomic_fetch_add_explicit(&rec->records, 1, memory_order_relaxed);
    if (r->time >= rec->clock_due)
        put_clock(rec, r->time);
}

static void write_entry(struct lg_recorder *rec, unsigned lane, const struct lg_entry *e);

/* Writes the queue's first entry, and frees it. */
static void take_entry(struct lg_recorder *rec, unsigned lane, const struct lg_entry *e)
{
    uint32_t size = e->size;

    write_entry(rec, lane, e);
    ft_ring_advance(&rec->feed[lane].queue, size);
    ft_ring_consume(&rec->feed[lane].queue);
}

/* What other lanes queued for files up to the one that ends. Lane 0 may have begun the next file. */
static void write_others(struct lg_recorder *rec, unsigned but, uint32_t file)
{
    const struct lg_entry *e;
    uint64_t there;

    for (unsigned l = 0; l < rec->lanes; l++)
        while (l != but && (e = ft_ring_peek(&rec->feed[l].queue, &there)) && e->kind != LG_QUEUE_BEGIN &&
               e->file <= file)
            take_entry(rec, l, e);
}

static void write_entry(struct lg_recorder *rec, unsigned lane, const struct lg_entry *e)
{
    if (e->kind != LG_QUEUE_BEGIN && (rec->fd < 0 || e->file != rec->writing))
        return;
    switch (e->kind) {
    case LG_QUEUE_BEGIN:
        write_others(rec, lane, e->file - 1);
        begin_writing(rec, (const struct lg_begin *)e);
        rec->writing = e->file;
        break;
    case LG_QUEUE_LINES:
        memcpy(frame_begin(rec), e + 1, e->len);
        if (rec->fd >= 0)
            frame_end(rec, LG_LINES, e->len);
        break;
    case LG_QUEUE_SNAPSHOT_END:
        frame_begin(rec);
        frame_end(rec, LG_SNAPSHOT_END, 0);
        rec->whole = true;
        break;
    case LG_QUEUE_RECORD:
        put_record(rec, (const struct ft_record *)(e + 1));
        break;
    default:
        write_others(rec, lane, e->file);
        end_file(rec);
    }
}

/* Some of a lane's entries; those of a file that has yet to begin wait for that file's first entry. */
static bool write_lane(struct lg_recorder *rec, unsigned lane)
{
    const struct lg_entry *e;
    uint64_t there;
    unsigned n = 0;

    for (; n < ENTRIES_TURN && (e = ft_ring_peek(&rec->feed[lane].queue, &there)); n++) {
        if (e->kind != LG_QUEUE_BEGIN && e->file > rec->writing)
            break;
        take_entry(rec, lane, e);
    }
    return n > 0;
}

void *lg_recorder_write(void *arg)
{
    struct lg_recorder *rec = arg;
    struct timespec pause = {0, SLEEP_FIRST};
    uint64_t lowest;

    ft_thread_begin("us-recorder");
    count_files(rec, &lowest, &rec->serial);
    for (;;) {
        bool stop = atomic_load_explicit(&rec->stop, memory_order_acquire), any = false, more;

        do {
            more = false;
            for (unsigned l = 0; l < rec->lanes; l++)
                more |= write_lane(rec, l);
            any |= more;
        } while (more);
        flush_frames(rec);
        if (stop)
            break;
        nanosleep(&pause, NULL);
        pause.tv_nsec = any ? SLEEP_FIRST : pause.tv_nsec < SLEEP_LAST ? pause.tv_nsec * 2 : SLEEP_LAST;
    }
    end_file(rec);
    return NULL;
}
