/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lane's side and writer's side of the flight recorder, and the queue between them: entries of a size, a kind
 * and content. What the lane does costs a copy of the record and, while a base is copied, TURN_LINES twice.
 */
#include "logger/recorder.h"
#include "ftcore/check.h"
#include "ftcore/message.h"
#include "ftcore/ring.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define TURN_LINES 256u           /* of a base, between two bursts: 16 KiB */
#define RETRY_NS   10000000000ull /* after the disk refused */
#define OUT_BYTES  (2u << 20)
#define NAP_NS     1000000
#define NAME_BYTES 320u

enum kind { BEGIN = 1, LINES, BASE_END, RECORD, STOP };
enum phase { IDLE, COPY, SEND, ON };

struct entry {
    uint32_t size, kind;
};

/* Of BEGIN. */
struct begin {
    struct entry entry;
    struct lg_position at;
    uint64_t view;
};

struct lg_recorder {
    struct lg_recorder_config config;
    char directory[256], identity[FT_IDENTITY_MAX], node[LG_NODE_MAX];
    struct ft_ring queue; /* lane → writer */

    /* The lane's. */
    enum phase phase;
    unsigned arena; /* SEND: being read from the shadow … */
    uint64_t line;  /* … from this line of it on */
    uint64_t taken; /* bytes of records in this file */
    uint64_t retry_at;
    uint64_t failures_seen;

    /* The writer's. */
    int fd; /* -1: nothing is written */
    uint64_t serial, offset;
    bool whole; /* the file's base */
    uint8_t *out;
    uint32_t out_len;
    pthread_t thread;

    _Atomic uint64_t files, records, bytes, gaps;
    _Atomic uint64_t failures; /* times the disk refused; until the next BEGIN all is thrown away */
    _Atomic bool stop;
};

/* ---- the lane ---------------------------------------------------------------------------------- */

static void end_base(struct lg_recorder *rec)
{
    if (rec->phase == COPY || rec->phase == SEND)
        ft_owe_end(rec->config.region);
}

static void *reserve(struct lg_recorder *rec, enum kind kind, size_t size)
{
    struct entry *e = ft_ring_reserve(&rec->queue, FT_ALIGN8(size));

    if (e)
        *e = (struct entry){.size = (uint32_t)FT_ALIGN8(size), .kind = kind};
    return e;
}

static bool put(struct lg_recorder *rec, enum kind kind)
{
    if (!reserve(rec, kind, sizeof(struct entry)))
        return false;
    ft_ring_publish(&rec->queue, sizeof(struct entry));
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
    struct entry *e;

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
    struct begin *b;

    if (!half_free(rec))
        return false;
    if (ft_owe_begin(rec->config.region) != 0) { /* no memory for the copy: the old file goes on */
        rec->retry_at = now + RETRY_NS;
        return false;
    }
    b = reserve(rec, BEGIN, sizeof(*b));
    b->at = *at;
    b->view = view;
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
    struct entry *e;
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

/* ---- the writer -------------------------------------------------------------------------------- */

static void name_of(const struct lg_recorder *rec, uint64_t serial, char out[NAME_BYTES])
{
    snprintf(out, NAME_BYTES, "%s/%08lu" LG_SUFFIX, rec->directory, serial);
}

/* The file is given up; the lane hears of it and begins another later. */
static void failed(struct lg_recorder *rec, const char *what)
{
    char name[NAME_BYTES];

    name_of(rec, rec->serial, name);
    fprintf(stderr, "understudy: recorder: %s: %s: %s\n", name, what, strerror(errno));
    atomic_fetch_add_explicit(&rec->failures, 1, memory_order_release);
    if (rec->fd >= 0 && !rec->whole)
        unlink(name); /* it must not drive out one that can be read */
    if (rec->fd >= 0)
        close(rec->fd);
    rec->fd = -1;
}

static void flush(struct lg_recorder *rec)
{
    uint32_t done = 0;
    ssize_t n;

    while (rec->fd >= 0 && done < rec->out_len) {
        n = write(rec->fd, rec->out + done, rec->out_len - done);
        if (n < 0 && errno != EINTR) {
            failed(rec, "cannot be written");
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
    if (rec->out_len + LG_FRAME_HEAD + LG_CONTENT_MAX > OUT_BYTES)
        flush(rec);
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
    flush(rec);
    if (rec->fd < 0)
        return;
    fdatasync(rec->fd);
    close(rec->fd);
    rec->fd = -1;
}

/* The numbers of the files there are: how many, the lowest and the highest. */
static uint64_t look_around(const struct lg_recorder *rec, uint64_t *lowest, uint64_t *highest)
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

static void purge(const struct lg_recorder *rec, uint64_t keep)
{
    uint64_t lowest, highest;
    char name[NAME_BYTES];

    while (look_around(rec, &lowest, &highest) > keep) {
        name_of(rec, lowest, name);
        if (unlink(name) != 0)
            return;
    }
}

static void put_header(struct lg_recorder *rec, const struct begin *b)
{
    struct lg_file_header h = {.serial = rec->serial,
                               .view = b->view,
                               .region_size = rec->config.region->size,
                               .region_used = ft_region_used(rec->config.region),
                               .at = b->at,
                               .lanes = 1,
                               .identity = rec->config.identity_len};
    uint32_t version[2] = {LG_VERSION, 0};
    struct timespec t;
    uint8_t *content;

    clock_gettime(CLOCK_REALTIME, &t);
    h.wall = (uint64_t)t.tv_sec * 1000000000ull + (uint64_t)t.tv_nsec;
    memcpy(h.node, rec->node, sizeof(h.node));
    memcpy(rec->out, LG_MAGIC, 8);
    memcpy(rec->out + 8, version, sizeof(version));
    rec->out_len = LG_PREFACE;
    rec->offset = LG_PREFACE;
    content = frame_begin(rec);
    memcpy(content, &h, sizeof(h));
    memcpy(content + sizeof(h), rec->identity, h.identity);
    frame_end(rec, LG_HEADER, (uint32_t)sizeof(h) + h.identity);
}

/* Under overload files without a base must not drive out those that have one. */
static void drop_baseless(struct lg_recorder *rec)
{
    char name[NAME_BYTES];

    if (rec->fd < 0 || rec->whole)
        return;
    close(rec->fd);
    rec->fd = -1;
    name_of(rec, rec->serial, name);
    unlink(name);
}

static void begin_writing(struct lg_recorder *rec, const struct begin *b)
{
    char name[NAME_BYTES];

    drop_baseless(rec);
    end_file(rec);
    purge(rec, rec->config.files - 1);
    rec->serial++;
    rec->out_len = 0;
    rec->whole = false;
    name_of(rec, rec->serial, name);
    rec->fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (rec->fd < 0) {
        failed(rec, "cannot be made");
        return;
    }
    atomic_fetch_add_explicit(&rec->files, 1, memory_order_relaxed);
    put_header(rec, b);
}

static void put_record(struct lg_recorder *rec, const struct ft_record *r)
{
    uint8_t *content = frame_begin(rec);
    long n;

    if (rec->fd < 0)
        return;
    n = ft_record_encode(r, content, LG_CONTENT_MAX);
    FT_CHECK(n > 0, "the record of burst %lu cannot be encoded", r->burst);
    frame_end(rec, LG_RECORD, (uint32_t)n);
    atomic_fetch_add_explicit(&rec->records, 1, memory_order_relaxed);
}

static void write_entry(struct lg_recorder *rec, const struct entry *e)
{
    uint32_t len;

    if (e->kind != BEGIN && rec->fd < 0)
        return;
    switch (e->kind) {
    case BEGIN:
        begin_writing(rec, (const struct begin *)e);
        break;
    case LINES:
        memcpy(&len, e + 1, sizeof(len));
        memcpy(frame_begin(rec), e + 2, len);
        if (rec->fd >= 0)
            frame_end(rec, LG_LINES, len);
        break;
    case BASE_END:
        frame_begin(rec);
        frame_end(rec, LG_BASE_END, 0);
        rec->whole = true;
        break;
    case RECORD:
        put_record(rec, (const struct ft_record *)(e + 1));
        break;
    default:
        end_file(rec);
    }
}

static void *write_on(void *arg)
{
    struct lg_recorder *rec = arg;
    const struct entry *e;
    struct timespec nap = {0, NAP_NS};
    uint64_t there;

    prctl(PR_SET_NAME, "us-recorder");
    for (;;) {
        bool stop = atomic_load_explicit(&rec->stop, memory_order_acquire);

        while ((e = ft_ring_peek(&rec->queue, &there))) {
            write_entry(rec, e);
            ft_ring_advance(&rec->queue, e->size);
            ft_ring_consume(&rec->queue);
        }
        flush(rec);
        if (stop)
            break;
        nanosleep(&nap, NULL);
    }
    end_file(rec);
    return NULL;
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
    uint64_t lowest;

    *out = NULL;
    FT_CHECK(config->region->lanes == 1 && config->identity_len <= FT_IDENTITY_MAX && config->files >= 2 &&
                 config->queue_bytes >= 4u * FT_RECORD_MAX,
             "a recorder of %u lanes, %u files", config->region->lanes, config->files);
    if (rec && (ft_ring_init(&rec->queue, config->queue_bytes) != 0 || !(rec->out = malloc(OUT_BYTES)))) {
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
    look_around(rec, &lowest, &rec->serial);
    if (access(rec->directory, W_OK | X_OK) != 0) {
        free_all(rec);
        return ft_fail(fault, errno == EACCES || errno == EPERM ? FT_EPERM : FT_EIO,
                       "%.160s: %s, expected a directory for recordings", config->directory, strerror(errno));
    }
    if (pthread_create(&rec->thread, NULL, write_on, rec) != 0) {
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
