/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The files of the flight recorder: their names, how many are kept, and frames into the one that is open. By
 * the writer, and once the node has ended by whoever finishes the file (finish.c).
 */
#include "ftcore/base/event_log.h"
#include "logger/recorder/parts.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

void lg_file_name(const struct lg_recorder *rec, uint32_t file, char out[LG_NAME_BYTES])
{
    snprintf(out, LG_NAME_BYTES, "%s/%08lu" LG_SUFFIX, rec->directory, rec->base + file);
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
    char name[LG_NAME_BYTES];

    if (rec->fd >= 0) {
        close(rec->fd);
        rec->fd = -1;
        lg_file_name(rec, open_file(rec), name);
        if (!rec->whole)
            unlink(name);
    }
    set_open(rec, 0);
}

/* The lane hears of it and begins another later. */
static void give_up_file(struct lg_recorder *rec, const char *what)
{
    char name[LG_NAME_BYTES];

    lg_file_name(rec, open_file(rec), name);
    ft_log_event(FT_LEVEL_ERROR, FT_SAYS_RECORDER, "recorder: %s: %s: %s", name, what, strerror(errno));
    atomic_fetch_add_explicit(&rec->failures, 1, memory_order_release);
    drop_file(rec);
}

void lg_file_flush(struct lg_recorder *rec)
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

uint8_t *lg_frame_room(struct lg_recorder *rec)
{
    if (rec->out_len + 2 * LG_FRAME_HEAD + LG_CONTENT_MAX + sizeof(struct lg_clock) > LG_OUT_BYTES)
        lg_file_flush(rec);
    return rec->out + rec->out_len + LG_FRAME_HEAD;
}

void lg_frame_put(struct lg_recorder *rec, enum lg_frame_type type, uint32_t len)
{
    lg_frame_head(rec->out + rec->out_len, rec->offset, type, rec->out + rec->out_len + LG_FRAME_HEAD, len);
    rec->out_len += LG_FRAME_HEAD + len;
    rec->offset += LG_FRAME_HEAD + len;
}

void lg_file_end(struct lg_recorder *rec)
{
    if (rec->fd < 0)
        return;
    lg_frame_room(rec);
    lg_frame_put(rec, LG_END, 0);
    lg_file_flush(rec);
    if (rec->fd < 0)
        return;
    set_open(rec, 0); /* whole, and nobody's to finish, however long the disk takes */
    fdatasync(rec->fd);
    close(rec->fd);
    rec->fd = -1;
}

/* The serials of the files there are: how many, the lowest and the highest. */
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

uint64_t lg_file_highest(const struct lg_recorder *rec)
{
    uint64_t lowest, highest;

    count_files(rec, &lowest, &highest);
    return highest;
}

static void purge_files(const struct lg_recorder *rec, uint64_t keep)
{
    uint64_t lowest, highest;
    char name[LG_NAME_BYTES];

    while (count_files(rec, &lowest, &highest) > keep) {
        snprintf(name, sizeof(name), "%s/%08lu" LG_SUFFIX, rec->directory, lowest);
        if (unlink(name) != 0)
            return;
    }
}

/* Who finishes what a dead writer had begun: from its first byte. */
static void begin_again(struct lg_recorder *rec)
{
    rec->there = 0;
    if (ftruncate(rec->fd, 0) != 0 || lseek(rec->fd, 0, SEEK_SET) != 0)
        give_up_file(rec, "cannot be written");
}

void lg_file_begin(struct lg_recorder *rec, uint32_t file)
{
    char name[LG_NAME_BYTES];

    if (open_file(rec) == file) {
        begin_again(rec);
        return;
    }
    if (!rec->whole)
        drop_file(rec);
    lg_file_end(rec);
    lg_file_flush(rec); /* of one that was taken away nothing stays in the queues */
    purge_files(rec, rec->config.files - 1);
    rec->whole = false;
    atomic_store_explicit(&rec->written, 0, memory_order_relaxed);
    set_open(rec, file); /* before there is one, so that nobody finds one that is nobody's */
    lg_file_name(rec, file, name);
    rec->fd = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (rec->fd < 0)
        give_up_file(rec, "cannot be made");
    else
        atomic_fetch_add_explicit(&rec->files, 1, memory_order_relaxed);
}
