/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flight recorder: keeps what a standby's lane replays on disk, in files of bounded number and size
 * (logger/frame.h), each with a base of its own. The lane feeds a bounded queue at burst boundaries; a thread
 * of the recorder's own writes. Neither ever waits: when the disk is too slow the lane counts a gap, drops
 * what it had, and begins a new file with a new base as soon as half of the queue is free again.
 *
 * A base is copied as a resync copies one: lines are owed, whoever edits an owed line copies it first, the
 * lane copies the rest a little at a time between bursts. One lane: with several, the state between bursts of
 * one of them is no state of the chain.
 */
#ifndef LOGGER_RECORDER_H
#define LOGGER_RECORDER_H

#include "ftcore/record.h"
#include "ftcore/region.h"
#include "logger/frame.h"

struct lg_recorder_config {
    const char *directory; /* must exist */
    const char *node;
    const char *identity; /* of the chain */
    uint32_t identity_len;
    struct ft_region *region;
    uint64_t file_bytes;  /* of records, in memory form, until a new file is begun; its base comes on top */
    uint32_t files;       /* kept, the one being written included; at least 2 */
    uint64_t queue_bytes; /* at least 4 × FT_RECORD_MAX */
};

struct lg_recorder_counts {
    uint64_t files, records, bytes; /* begun; written */
    uint64_t gaps;                  /* times the queue was full */
    uint64_t failures;              /* times the disk refused */
};

struct lg_recorder;

/* Texts are copied. FT_ENOMEM; FT_EPERM or FT_EIO when the directory cannot be written. */
int lg_recorder_open(struct lg_recorder **out, const struct lg_recorder_config *config,
                     struct ft_fault *fault);
/* Writes what is queued, ends the file and the thread. The lane has stopped. NULL is nothing. */
void lg_recorder_close(struct lg_recorder *recorder);
/* Any thread. */
void lg_recorder_counts(struct lg_recorder *recorder, struct lg_recorder_counts *out);

/* ---- the lane's, while it replays ---- */

/* A record about to be replayed; its bytes are copied. Ignored until a base was begun. */
void lg_recorder_record(struct lg_recorder *recorder, const struct ft_record *record);
/* Between bursts: begins a file where one is due, copies some of its base. True if there was work. `now`:
 * monotonic ns. */
bool lg_recorder_turn(struct lg_recorder *recorder, const struct lg_position *at, uint64_t view,
                      uint64_t now);
/* Nothing follows: the lane leaves replay, or its state is void. */
void lg_recorder_stop(struct lg_recorder *recorder);

#endif
