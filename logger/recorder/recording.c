/* SPDX-License-Identifier: Apache-2.0 */
/* Reads and checks a file of the flight recorder. */
#include "logger/recorder/recording.h"
#include "ftcore/record/message.h"
#include "ftcore/record/delta.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* What is needed while a file is read. */
struct reading {
    struct ft_record *room;
    struct lg_frame last[FT_LANES_MAX];      /* the lane's last RECORD; content NULL: none */
    struct lg_position before[FT_LANES_MAX]; /* where the lane was in front of it */
    bool closing;                            /* a BEGUN was read */
};

#define REFUSE(r, offset, error, fmt, ...)                                                                   \
    ft_fail(fault, error, "%.120s:offset %lu: " fmt, (r)->file, (uint64_t)(offset), __VA_ARGS__)

static int map_file(struct lg_recording *r, struct ft_fault *fault)
{
    int fd = open(r->file, O_RDONLY | O_CLOEXEC | O_NONBLOCK), error = 0; /* a pipe must not hold us up */
    struct stat s;

    if (fd < 0)
        return ft_fail(fault,
                       errno == ENOENT   ? FT_ENOENT
                       : errno == EACCES ? FT_EPERM
                                         : FT_EIO,
                       "%.120s: %s", r->file, strerror(errno));
    if (fstat(fd, &s) != 0 || !S_ISREG(s.st_mode))
        error = ft_fail(fault, FT_EMALFORMED, "%.120s:offset 0: no file, expected a recording", r->file);
    else if (s.st_size < (off_t)LG_PREFACE)
        error = REFUSE(r, 0, FT_ETRUNC, "%ld bytes, expected a recording", (long)s.st_size);
    if (!error) {
        void *data = mmap(NULL, (size_t)s.st_size, PROT_READ, MAP_PRIVATE, fd, 0);

        r->size = (uint64_t)s.st_size;
        r->data = data == MAP_FAILED ? NULL : data;
        if (!r->data)
            error = ft_fail(fault, FT_ENOMEM, "%.120s: no memory to map it", r->file);
    }
    close(fd);
    return error;
}

static bool all_zero(const uint8_t *at, uint64_t n)
{
    return n == 0 || (at[0] == 0 && memcmp(at, at + 1, n - 1) == 0);
}

static int check_preface(const struct lg_recording *r, struct ft_fault *fault)
{
    uint32_t version, zero;

    memcpy(&version, r->data + 8, sizeof(version));
    memcpy(&zero, r->data + 12, sizeof(zero));
    if (all_zero(r->data, r->size)) /* a machine lost power */
        return REFUSE(r, 0, FT_ETRUNC, "%lu zeros, expected a recording", r->size);
    if (memcmp(r->data, LG_MAGIC, 8) != 0)
        return REFUSE(r, 0, FT_EMALFORMED, "other bytes than '%s', expected a recording", LG_MAGIC);
    if (!FT_FORMAT_KNOWN(version))
        return REFUSE(r, 8, FT_EVERSION, "version %u, expected %u to %u", version, FT_FORMAT_OLDEST,
                      FT_FORMAT_NEWEST);
    if (zero != 0)
        return REFUSE(r, 12, FT_EMALFORMED, "%08x, expected 0", zero);
    return 0;
}

/* 1: a whole frame at *at; 0: the end, torn or not; or an error. */
static int frame_at(const struct lg_recording *r, uint64_t at, struct lg_frame *f, struct ft_fault *fault)
{
    uint8_t head[LG_FRAME_HEAD];
    uint64_t left = r->size - at, sum, own;

    if (left < LG_FRAME_HEAD)
        return 0;
    memcpy(&sum, r->data + at + 16, sizeof(sum));
    own = XXH3_64bits_withSeed(r->data + at, 16, at);
    memcpy(&f->len, r->data + at, sizeof(f->len));
    memcpy(&f->type, r->data + at + 4, sizeof(f->type));
    f->content = r->data + at + LG_FRAME_HEAD;
    if (sum != own && all_zero(r->data + at, left))
        return 0;
    if (sum != own)
        return REFUSE(r, at, FT_ECHECKSUM, "head of a frame with checksum %016lx, expected %016lx", sum, own);
    if (f->len > LG_CONTENT_MAX || f->type < LG_HEADER || f->type >= LG_TYPES)
        return REFUSE(r, at, FT_EMALFORMED, "frame of type %u, %u bytes, expected a type below %u", f->type,
                      f->len, LG_TYPES);
    if (f->len > left - LG_FRAME_HEAD)
        return 0;
    lg_frame_head(head, at, f->type, f->content, f->len);
    if (memcmp(head, r->data + at, sizeof(head)) != 0)
        return REFUSE(r, at, FT_ECHECKSUM,
                      "content of a frame of type %u with a wrong checksum, expected %016lx", f->type,
                      (uint64_t)XXH3_64bits(f->content, f->len));
    return 1;
}

/* It is printed: what a file holds is not to write on a terminal. */
static bool is_text(const char *text, size_t len, const char *but)
{
    for (size_t i = 0; i < len; i++)
        if ((text[i] < ' ' || text[i] > '~') && !strchr(but, text[i]))
            return false;
    return true;
}

static int take_header(struct lg_recording *r, uint64_t at, const struct lg_frame *f, struct ft_fault *fault)
{
    struct lg_file_header *h = &r->head;
    size_t fixed;

    if (f->type != LG_HEADER || f->len < sizeof(*h))
        return REFUSE(r, at, FT_EMALFORMED, "frame of type %u, %u bytes, expected a header", f->type, f->len);
    memcpy(h, f->content, sizeof(*h));
    if (h->lanes == 0 || h->lanes > FT_LANES_MAX)
        return REFUSE(r, at, FT_EMALFORMED, "header of %u lanes, expected 1 to %u", h->lanes, FT_LANES_MAX);
    fixed = sizeof(*h) + (h->lanes - 1) * sizeof(r->at[0]);
    r->identity = (const char *)f->content + fixed;
    if (f->len < fixed || h->identity != f->len - fixed || h->identity > FT_IDENTITY_MAX ||
        !is_text(r->identity, h->identity, "\n") || !memchr(h->node, 0, sizeof(h->node)) ||
        !is_text(h->node, strlen(h->node), ""))
        return REFUSE(r, at, FT_EMALFORMED, "header with %u bytes of identity, expected %ld of text",
                      h->identity, (long)f->len - (long)fixed);
    r->at[0] = h->at;
    memcpy(&r->at[1], f->content + sizeof(*h), fixed - sizeof(*h));
    for (unsigned l = 0; l < h->lanes; l++) {
        if (h->region_size > FT_REGION_MAX || h->region_used > h->region_size || r->at[l].seq == 0 ||
            r->at[l].access == 0)
            return REFUSE(r, at, FT_EMALFORMED, "header with a region of %lu bytes, expected at most %llu",
                          h->region_size, FT_REGION_MAX);
        r->end[l] = r->at[l];
    }
    return 0;
}

/* A dependency to the record's own lane or to one that there is not; NULL: none. */
static const struct ft_dependency *strange_dependency(const struct ft_record *r, unsigned lanes)
{
    const struct ft_dependency *dependency = ft_record_dependencies(r);

    for (unsigned i = 0; i < r->dependencies; i++)
        if (dependency[i].lane >= lanes || dependency[i].lane == r->lane)
            return &dependency[i];
    return NULL;
}

/* Of a RECORD or a BEGUN: decoded, of a lane of this file, and the one that comes next there. */
static int decode_next(const struct lg_recording *r, uint64_t at, const struct lg_frame *f,
                       struct ft_record *room, struct ft_fault *fault)
{
    struct ft_fault why = {""};
    long n = ft_record_decode(f->content, f->len, room, FT_RECORD_MAX, &why);
    const struct lg_position *end;

    if (n < 0)
        return REFUSE(r, at + LG_FRAME_HEAD, (int)n, "record: %.100s", why.text);
    if ((uint32_t)n != f->len || room->lane >= r->head.lanes)
        return REFUSE(r, at, FT_EMALFORMED,
                      "record of lane %u in %ld of %u bytes, expected a lane below %u, all of them",
                      room->lane, n, f->len, r->head.lanes);
    if (strange_dependency(room, r->head.lanes)) /* replay would wait for a lane that is not there */
        return REFUSE(r, at, FT_EMALFORMED,
                      "record with a dependency to lane %u, expected another one below %u",
                      strange_dependency(room, r->head.lanes)->lane, r->head.lanes);
    end = &r->end[room->lane];
    if (room->burst != end->burst + 1 || room->seq != end->seq)
        return REFUSE(r, at, FT_EMALFORMED, "burst %lu from seq %lu, expected burst %lu from seq %lu",
                      room->burst, room->seq, end->burst + 1, end->seq);
    return 0;
}

static void take_record(struct lg_recording *r, const struct lg_frame *f, struct reading *reading)
{
    const struct ft_record *room = reading->room;
    struct lg_position *end = &r->end[room->lane];

    reading->before[room->lane] = *end;
    reading->last[room->lane] = *f;
    *end = (struct lg_position){.burst = room->burst,
                                .seq = room->seq + room->inputs,
                                .time = room->time,
                                .access = room->access + room->accesses};
    r->records++;
}

static int take_begun(struct lg_recording *r, uint64_t at, const struct lg_frame *f, struct reading *reading,
                      struct ft_fault *fault)
{
    const struct ft_record *room = reading->room;
    const struct lg_position *end = &r->end[room->lane];

    if (room->access != end->access || room->time < end->time)
        return REFUSE(r, at, FT_EMALFORMED, "access %lu at %lu as begun, expected %lu, no earlier than %lu",
                      room->access, room->time, end->access, end->time);
    if (room->accesses || room->dependencies || room->flags & (FT_REC_DIGESTS | FT_REC_BY_SEQ) ||
        r->begun[room->lane].content)
        return REFUSE(r, at, FT_EMALFORMED,
                      "burst %lu of lane %u as begun, with %u accesses, expected one of a lane, with inputs "
                      "and no accesses",
                      room->burst, room->lane, room->accesses);
    r->begun[room->lane] = *f;
    reading->closing = true;
    return 0;
}

static int take_lines(struct lg_recording *r, uint64_t at, const struct lg_frame *f, struct ft_fault *fault)
{
    struct ft_line_run run;
    uint32_t in = 0;
    int error;

    while ((error = ft_line_run_next(f->content, f->len, &in, r->head.region_size / 64, &run)) > 0)
        ;
    if (error || r->snapshot_whole)
        return REFUSE(r, at, FT_EMALFORMED, "%s, expected lines of the snapshot",
                      error ? "a run of lines cut short or outside the region"
                            : "lines behind the snapshot's end");
    return 0;
}

static int take_clock(struct lg_recording *r, uint64_t at, const struct lg_frame *f, struct ft_fault *fault)
{
    struct lg_clock clock = {0};

    if (f->len == sizeof(clock))
        memcpy(&clock, f->content, sizeof(clock));
    if (clock.wall <= clock.time)
        return REFUSE(r, at, FT_EMALFORMED,
                      "clocks in %u bytes, %lu and %lu, expected two, the wall clock ahead", f->len,
                      clock.time, clock.wall);
    if (r->clocks && clock.time <= r->clock[r->clocks - 1].time) /* of another lane */
        return 0;
    if ((r->clocks & (r->clocks - 1)) == 0) { /* room for a power of two of them */
        struct lg_clock *more = realloc(r->clock, (r->clocks ? 2 * r->clocks : 1) * sizeof(*more));

        if (!more)
            return ft_fail(fault, FT_ENOMEM, "no memory for the clocks of %.160s", r->file);
        r->clock = more;
    }
    r->clock[r->clocks++] = clock;
    return 0;
}

static int take_node_end(struct lg_recording *r, uint64_t at, const struct lg_frame *f,
                         const struct reading *reading, struct ft_fault *fault)
{
    uint32_t fixed = (uint32_t)sizeof(r->node_end) + r->head.lanes * (uint32_t)sizeof(uint64_t);
    struct lg_node_end e;

    if (f->len < fixed || f->len - fixed > LG_LINE_MAX)
        return REFUSE(r, at, FT_EMALFORMED, "end of the node in %u bytes, expected %u to %u", f->len, fixed,
                      fixed + LG_LINE_MAX);
    memcpy(&e, f->content, sizeof(e));
    memcpy(r->line, f->content + fixed, f->len - fixed);
    if (e.how < LG_STOPPED || e.how >= LG_HOWS || (e.lane >= r->head.lanes && e.lane != FT_CRASH_NO_LANE) ||
        e.signal > 64 || e.packet > FT_BURST_MAX || !memchr(e.nf, 0, sizeof(e.nf)) ||
        !is_text(e.nf, strlen(e.nf), "") || !is_text(r->line, f->len - fixed, ""))
        return REFUSE(
            r, at, FT_EMALFORMED,
            "end of the node of kind %u in lane %u by signal %u, expected a kind from %u to %u, and "
            "text",
            e.how, e.lane, e.signal, LG_STOPPED, LG_HOWS - 1);
    r->node_end = e;
    for (unsigned l = 0; l < r->head.lanes; l++) {
        uint64_t ended;

        memcpy(&ended, f->content + sizeof(e) + l * sizeof(ended), sizeof(ended));
        if (ended == r->end[l].burst)
            continue;
        if (ended + 1 != r->end[l].burst || !reading->last[l].content || r->begun[l].content)
            return REFUSE(r, at, FT_EMALFORMED, "burst %lu of lane %u as the last that ended, expected %lu",
                          ended, l, r->end[l].burst);
        r->end[l] = reading->before[l]; /* the last record is of one that did not */
        r->begun[l] = reading->last[l];
    }
    return 0;
}

/* What cannot come any more, or has no place anywhere. */
static bool is_misplaced(const struct lg_recording *r, const struct lg_frame *f,
                         const struct reading *reading)
{
    return r->ended || f->type == LG_HEADER || (r->node_end.how && f->type != LG_END) ||
           (reading->closing && f->type != LG_BEGUN && f->type != LG_NODE_END && f->type != LG_END) ||
           ((f->type == LG_SNAPSHOT_END || f->type == LG_END) && f->len) ||
           (f->type == LG_SNAPSHOT_END && r->snapshot_whole);
}

static int take_frame(struct lg_recording *r, uint64_t at, const struct lg_frame *f, struct reading *reading,
                      struct ft_fault *fault)
{
    int error = 0;

    if (at == LG_PREFACE)
        return take_header(r, at, f, fault);
    if (is_misplaced(r, f, reading))
        return REFUSE(r, at, FT_EMALFORMED, "frame of type %u, %u bytes, expected %s", f->type, f->len,
                      r->ended ? "the file's end" : "one that has its place here");
    if (f->type == LG_RECORD || f->type == LG_BEGUN)
        error = decode_next(r, at, f, reading->room, fault);
    if (error)
        return error;
    switch (f->type) {
    case LG_LINES:
        return take_lines(r, at, f, fault);
    case LG_RECORD:
        take_record(r, f, reading);
        return 0;
    case LG_SNAPSHOT_END:
        r->snapshot_whole = true;
        return 0;
    case LG_CLOCK:
        return take_clock(r, at, f, fault);
    case LG_BEGUN:
        return take_begun(r, at, f, reading, fault);
    case LG_NODE_END:
        return take_node_end(r, at, f, reading, fault);
    default:
        r->ended = true;
        return 0;
    }
}

static int check_frames(struct lg_recording *r, struct ft_fault *fault)
{
    struct reading reading = {.room = aligned_alloc(64, FT_RECORD_MAX)};
    struct lg_frame f;
    int got, error = 0;

    if (!reading.room)
        return ft_fail(fault, FT_ENOMEM, "no memory for a record");
    r->whole = LG_PREFACE;
    while (!error && (got = frame_at(r, r->whole, &f, fault)) != 0) {
        error = got < 0 ? got : take_frame(r, r->whole, &f, &reading, fault);
        if (!error)
            r->whole += LG_FRAME_HEAD + f.len;
    }
    free(reading.room);
    if (!error && r->whole == LG_PREFACE)
        error = REFUSE(r, LG_PREFACE, FT_ETRUNC, "%lu bytes, expected a whole header", r->size - LG_PREFACE);
    return error;
}

int lg_recording_open(struct lg_recording *r, const char *file, struct ft_fault *fault)
{
    int error;

    *r = (struct lg_recording){.size = 0};
    if (strlen(file) >= sizeof(r->file))
        return ft_fail(fault, FT_EINVAL, "%.60s...: path too long, expected less than %zu bytes", file,
                       sizeof(r->file));
    snprintf(r->file, sizeof(r->file), "%s", file);
    error = map_file(r, fault);
    if (!error)
        error = check_preface(r, fault);
    if (!error)
        error = check_frames(r, fault);
    if (error)
        lg_recording_close(r);
    return error;
}

void lg_recording_close(struct lg_recording *r)
{
    if (r->data)
        munmap((void *)(uintptr_t)r->data, r->size);
    free(r->clock);
    r->data = NULL;
    r->clock = NULL;
    r->clocks = 0;
}

/* ---- frames in turn -------------------------------------------------------------------------- */

bool lg_recording_next(const struct lg_recording *r, uint64_t *at, struct lg_frame *f)
{
    if (*at == 0)
        *at = LG_PREFACE;
    if (*at >= r->whole)
        return false;
    memcpy(&f->len, r->data + *at, sizeof(f->len));
    memcpy(&f->type, r->data + *at + 4, sizeof(f->type));
    f->content = r->data + *at + LG_FRAME_HEAD;
    *at += LG_FRAME_HEAD + f->len;
    return true;
}

bool lg_recording_follows(const struct lg_recording *before, const struct lg_recording *next)
{
    bool began = false; /* chain time distinguishes one life from another, once there is any */

    if (before->head.lanes != next->head.lanes)
        return false;
    for (unsigned l = 0; l < next->head.lanes; l++) {
        const struct lg_position *at = &next->at[l], *end = &before->end[l];

        if (end->burst != at->burst || end->seq != at->seq || end->time != at->time ||
            end->access != at->access)
            return false;
        began |= at->time != 0;
    }
    return before->head.serial < next->head.serial &&
           (before->head.view == next->head.view || (began && before->head.view < next->head.view)) &&
           strncmp(before->head.node, next->head.node, LG_NODE_MAX) == 0 &&
           before->head.identity == next->head.identity &&
           memcmp(before->identity, next->identity, next->head.identity) == 0;
}
