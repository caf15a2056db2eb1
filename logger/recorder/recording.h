/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file of the flight recorder, read. Opening checks all of it, so that nothing is executed of a file that
 * is damaged; walking it then cannot fail. Format: logger/recorder/frame.h.
 */
#ifndef LOGGER_RECORDER_RECORDING_H
#define LOGGER_RECORDER_RECORDING_H

#include "ftcore/record/record.h"
#include "ftcore/region/region.h"
#include "logger/recorder/frame.h"

#include <stdbool.h>

struct lg_frame {
    uint32_t type, len;
    const uint8_t *content;
};

struct lg_recording {
    char file[256];
    const uint8_t *data; /* mapped */
    uint64_t size;       /* bytes of the file */
    uint64_t whole;      /* bytes up to the end of the last whole frame; less than `size`: torn */
    struct lg_file_header head;
    const char *identity;                /* head.identity bytes */
    struct lg_position at[FT_LANES_MAX]; /* where the lanes were at the snapshot */
    bool snapshot_whole;
    bool ended; /* the recorder closed it */
    uint64_t records;
    struct lg_clock *clock;               /* [clocks], by chain time */
    uint64_t clocks;                      /* 0: the wall clock is not known */
    struct lg_position end[FT_LANES_MAX]; /* where they are after the last records; `outputs` is not known */
    /* The burst behind `end` that had begun and not ended when the node did: its record, in a BEGUN, or in a
     * RECORD by a replaying program, which hands it over before it executes it. content NULL: none. */
    struct lg_frame begun[FT_LANES_MAX];
    struct lg_node_end node_end; /* how the node ended; `how` 0: not known */
    char line[LG_LINE_MAX + 1];  /* the same as text */
};

/* 0, or "FILE:offset N: what, expected what": FT_EMALFORMED, FT_ECHECKSUM, FT_EVERSION, FT_ETRUNC (not even
 * its header is whole); FT_ENOENT, FT_EPERM, FT_EIO, FT_ENOMEM. */
int lg_recording_open(struct lg_recording *recording, const char *file, struct ft_fault *fault);
void lg_recording_close(struct lg_recording *recording);

/* Walks the frames; *at is 0 to begin with. False: no more. */
bool lg_recording_next(const struct lg_recording *recording, uint64_t *at, struct lg_frame *frame);

/* `next` goes on exactly where `before` ends: the same node, state and numbers. The view may be a later one:
 * a standby that takes over goes on. */
bool lg_recording_follows(const struct lg_recording *before, const struct lg_recording *next);

#endif
