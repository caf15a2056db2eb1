/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The view file, and the thread that writes it. The file is one line, "understudy view N", and where the
 * view's shard has a name a second one, "shard 32 HEX DIGITS of NODE and NODE", replaced as a whole. The
 * replicator reads it when it opens. The writer, which is the only one to write, writes that view again and
 * then every later one: so neither a start nor a takeover waits for a disk. The core decides what a node may
 * do before its view is on the disk (ftcore/protocol/core.h, FT_EV_STORED).
 */
#ifndef REPLICATOR_VIEW_H
#define REPLICATOR_VIEW_H

#include "ftcore/base/error.h"
#include "ftcore/record/message.h"

#include <stdint.h>

/* `members` has a shard, or is zero. */
struct rp_view {
    uint64_t number;
    struct ft_members members;
};

/* A missing file is view 0. FT_EMALFORMED, FT_EPERM, FT_EIO: one line in `fault`, and *view is zero. */
int rp_view_load(const char *path, struct rp_view *view, struct ft_fault *fault);
/* Waits until the file as it is survives a loss of power. On a disk that is read-only, full or frozen that is
 * so at once, since nothing is left to be written. FT_EIO: it may not survive. */
int rp_view_sync(const char *path);
/*
 * Waits until the file has this view and survives a loss of power. On failure the file is as it was, on the
 * disk too, except that the last step may fail: then it has either view. FT_EPERM, FT_EIO, FT_EINVAL.
 */
int rp_view_store(const char *path, const struct rp_view *view, struct ft_fault *fault);

struct rp_view_writer;

/* Begins the thread, which writes `view` first. `stored` is the number of the view that is on the disk at
 * `path` (rp_view_sync has returned 0), 0: none is for certain. FT_EPERM: this process may not write there.
 * FT_ENOMEM, FT_EINVAL. */
int rp_view_writer_open(struct rp_view_writer **out, const char *path, const struct rp_view *view,
                        uint64_t stored, struct ft_fault *fault);
/* Ends the thread; waits for its disk for a second at most, then leaves it there. NULL is nothing. */
void rp_view_writer_close(struct rp_view_writer *writer);

/* The replicator's: the newest view is to be on the disk. Latest wins; never waits. */
void rp_view_writer_give(struct rp_view_writer *writer, const struct rp_view *view, uint64_t now);
/* Any thread: the number of the view that is on the disk; and for how long the disk has not taken the newest
 * one, ns, 0: it has. */
uint64_t rp_view_writer_stored(const struct rp_view_writer *writer);
uint64_t rp_view_writer_behind(const struct rp_view_writer *writer, uint64_t now);

#endif
