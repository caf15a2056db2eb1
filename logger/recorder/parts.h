/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the recorder only: the queue's entries and what the lanes' side and the writer's side share. */
#ifndef LOGGER_RECORDER_PARTS_H
#define LOGGER_RECORDER_PARTS_H

#include "ftcore/record/message.h"
#include "ftcore/queue/ring.h"
#include "logger/recorder/recorder.h"

#include <pthread.h>

#define LG_OUT_BYTES (2u << 20)

/* What an entry of the queue is. */
enum lg_kind { LG_QUEUE_BEGIN = 1, LG_QUEUE_LINES, LG_QUEUE_SNAPSHOT_END, LG_QUEUE_RECORD, LG_QUEUE_STOP };
enum lg_phase { LG_PHASE_IDLE, LG_PHASE_COPY, LG_PHASE_SEND, LG_PHASE_ON };

struct lg_entry {
    uint32_t size, kind;
    uint32_t len;  /* LG_QUEUE_LINES: bytes of runs */
    uint32_t file; /* number of the file it belongs to, from 1; in every lane's queue they only rise */
};

/* The first entry of a file (LG_QUEUE_BEGIN), in the queue of lane 0; a position for each lane follows. */
struct lg_begin {
    struct lg_entry entry;
    uint64_t view, used; /* bytes of the region in use */
};

struct lg_feed {
    struct ft_ring queue; /* lane → writer */
    _Atomic bool copied;  /* LG_PHASE_COPY: nothing of the snapshot is left for this lane to copy */
};

struct lg_recorder {
    struct lg_recorder_config config;
    char directory[256], identity[FT_IDENTITY_MAX], node[LG_NODE_MAX];
    unsigned lanes;
    struct lg_feed feed[FT_LANES_MAX];

    /* LG_PHASE_IDLE by any lane, the others by lane 0, or at a moment when all are quiesced. */
    _Atomic int phase;      /* enum lg_phase */
    _Atomic uint64_t taken; /* bytes of records in this file */
    uint32_t file;          /* begun so far; written when all are quiesced */

    /* Lane 0's. */
    bool owing;     /* lines are pending to this recorder: the copy is ours */
    unsigned arena; /* LG_PHASE_SEND: the arena that is read from the copy */
    uint64_t line;  /* the next line of that arena */
    uint64_t retry_at;
    uint64_t failures_seen;

    /* The writer's. */
    int fd;           /* -1: nothing is written */
    uint32_t writing; /* number of the file that is being written */
    uint64_t serial, offset;
    uint64_t clock_due; /* chain time of a record behind which a CLOCK frame is written */
    bool whole;         /* the file's snapshot */
    uint8_t *out;
    uint32_t out_len;
    pthread_t thread;

    _Atomic uint64_t files, records, bytes, gaps;
    _Atomic uint64_t failures; /* times the disk refused; until the next file all is thrown away */
    _Atomic bool stop;
};

/* recorder/writer.c: the thread's main function, until `stop` and the queue is empty. */
void *lg_recorder_write(void *recorder);

#endif
