/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the recorder only: the queue's entries and what the lanes' side and the writer's side share.
 *
 * All of it lies in memory that outlives the node, so that whoever outlives it can finish the file
 * (finish.c). That needs no word of two threads at once: an entry stays in its queue until its frames are in
 * the file. The writer notes in the entry where its frame ends, then writes the frames, then notes how far
 * the file has been written, then frees the entries. Wherever it dies, the file's last whole frame tells what
 * has to be done again.
 */
#ifndef LOGGER_RECORDER_PARTS_H
#define LOGGER_RECORDER_PARTS_H

#include "ftcore/base/worker.h"
#include "ftcore/record/message.h"
#include "ftcore/queue/ring.h"
#include "logger/recorder/recorder.h"

#define LG_OUT_BYTES (2u << 20)

/* What an entry of the queue is. */
enum lg_kind { LG_QUEUE_BEGIN = 1, LG_QUEUE_LINES, LG_QUEUE_SNAPSHOT_END, LG_QUEUE_RECORD, LG_QUEUE_STOP };
enum lg_phase { LG_PHASE_IDLE, LG_PHASE_COPY, LG_PHASE_SEND, LG_PHASE_ON };

struct lg_entry {
    uint32_t size, kind;
    uint32_t len;  /* LG_QUEUE_LINES: bytes of runs */
    uint32_t file; /* number of the file it belongs to, from 1; in every lane's queue they only rise */
    uint64_t end;  /* by the writer: where the frame that it made of it ends in the file; 0: none yet */
};

/* The first entry of a file (LG_QUEUE_BEGIN), in the queue of lane 0; a position for each lane follows. */
struct lg_begin {
    struct lg_entry entry;
    uint64_t view, used; /* bytes of the region in use */
};

struct lg_feed {
    struct ft_ring queue;    /* lane → writer */
    _Atomic bool copied;     /* LG_PHASE_COPY: nothing of the snapshot is left for this lane to copy */
    struct lg_position last; /* the writer's: behind the last record that it took; `outputs` is not known */
};

struct lg_recorder {
    struct lg_recorder_config config; /* its pointers are the node's own */
    char directory[256], identity[FT_IDENTITY_MAX], node[LG_NODE_MAX];
    uint64_t region_size;
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

/* Takes all that is in the queues, and writes it. True: there was something. */
bool lg_recorder_take(struct lg_recorder *recorder);

#define LG_NAME_BYTES 320u
void lg_file_name(const struct lg_recorder *recorder, uint32_t file, char out[LG_NAME_BYTES]);
/* Room for the content of a frame; the content is written there, then lg_frame_put. Behind it is room for a
 * clock, so that nothing is written to the file between a record and its clock. */
uint8_t *lg_frame_room(struct lg_recorder *recorder);
void lg_frame_put(struct lg_recorder *recorder, enum lg_frame_type type, uint32_t len);
/* Closes the open file, if there is one, with its END; or takes it away, when its snapshot is not whole and
 * no file leads to it. */
void lg_file_end(struct lg_recorder *recorder);

#endif
