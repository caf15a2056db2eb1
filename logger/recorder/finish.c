/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a recording: by the recorder itself when its node stops, and of a node that died by a process
 * that outlives it and maps the same memory (parts.h says why that is enough). The writer is dead by then, so
 * nobody waits for anybody.
 */
#include "ftcore/base/event_log.h"
#include "logger/recorder/parts.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* Where the last whole frame of data[0..size) ends, if what is before `at` is known to be whole. An END is
 * cut off, too: its writer had not closed the file, and will do so once more. */
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
            at -= LG_FRAME_HEAD;
    }
    while (at <= size && size - at >= LG_FRAME_HEAD) {
        memcpy(&len, data + at, sizeof(len));
        memcpy(&type, data + at + 4, sizeof(type));
        if (len > LG_CONTENT_MAX || len > size - at - LG_FRAME_HEAD || type == LG_END)
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
    char name[LG_NAME_BYTES];

    if (!open_file)
        return;
    lg_file_name(rec, open_file, name);
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
    rec->out = malloc(LG_OUT_BYTES); /* what lay in the node's own memory is lost, and is made again */
    if (!rec->out)
        return false;
    rec->fd = -1;
    rec->out_len = 0;
    rec->there = 0;
    for (unsigned l = 0; l < rec->lanes; l++)
        rec->feed[l].queue.read = atomic_load_explicit(&rec->feed[l].queue.tail, memory_order_acquire);
    reopen_file(rec);
    lg_recorder_take(rec);
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
        content = lg_frame_room(rec);
        back = (struct ft_record *)((uint8_t *)copy + FT_RECORD_MAX);
        n = ft_record_encode(copy, FT_FORMAT_NEWEST, true, content, LG_CONTENT_MAX);
        /* The node died somewhere: what it left need not be a record. */
        if (n > 0 && ft_record_decode(content, (size_t)n, back, FT_RECORD_MAX, &fault) == n)
            lg_frame_put(rec, LG_BEGUN, (uint32_t)n);
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
    content = lg_frame_room(rec);
    memcpy(content, end, sizeof(*end));
    memcpy(content + sizeof(*end), ended, lanes);
    memcpy(content + sizeof(*end) + lanes, line, text);
    lg_frame_put(rec, LG_NODE_END, (uint32_t)sizeof(*end) + lanes + text);
    lg_file_end(rec);
}
