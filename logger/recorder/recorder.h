/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flight recorder: keeps what the lanes of a node execute, live or replayed, on disk, in files of bounded
 * number and size (logger/recorder/frame.h), each with a snapshot of its own. Every lane feeds a bounded
 * queue of its own at burst boundaries; a thread of the recorder's writes. Neither ever waits: when the disk
 * is too slow the lane counts a gap, what was being recorded ends there in all lanes, and a new file with a
 * new snapshot is begun as soon as the queues are half free again.
 *
 * A snapshot is the state at one moment in which all lanes are quiesced between bursts (lg_recorder_begin;
 * how they are quiesced is theirs: lane/between.c), so that the records before it hold all that it holds
 * and those behind it nothing of it. It is copied as a resync copies one: whoever edits a pending line copies
 * it first, the lanes copy the rest between bursts, then lane 0 reads the copies into its queue. There is one
 * set of pending lines, and a resync's need goes first: it may take them away (lg_recorder_yield), and while
 * it has them, the file that is being written goes on, whatever its size.
 *
 * When the process dies, another one finishes the file from memory that both map: nothing is lost that a lane
 * had handed over.
 *
 * Records are written in no order between lanes; dependencies hold the order that there was. Entries name
 * their file, so what was queued before a snapshot goes to the file before it.
 */
#ifndef LOGGER_RECORDER_RECORDER_H
#define LOGGER_RECORDER_RECORDER_H

#include "ftcore/record/record.h"
#include "ftcore/region/region.h"
#include "logger/recorder/frame.h"

struct lg_recorder_config {
    const char *directory; /* must exist */
    const char *node;
    const char *identity; /* of the chain */
    uint32_t identity_len;
    struct ft_region *region;
    uint64_t file_bytes; /* of records in memory, until a new file is begun; its snapshot comes on top */
    uint32_t files;      /* kept, the one being written included; at least 2 */
};

struct lg_recorder_counts {
    uint64_t files, records, bytes; /* begun; written */
    uint64_t gaps;                  /* times a queue was full, or a snapshot was given up for a resync */
    uint64_t failures;              /* times the disk refused */
};

struct lg_recorder;

/* Its memory, which is shared with whatever process is forked from now on. `queue_bytes`: a lane's, at least
 * 4 × FT_RECORD_MAX. FT_ENOMEM. */
int lg_recorder_make(struct lg_recorder **out, unsigned lanes, uint64_t queue_bytes, struct ft_fault *fault);
void lg_recorder_free(struct lg_recorder *recorder); /* NULL is nothing */
/* Texts are copied. FT_ENOMEM; FT_EPERM or FT_EIO when the directory cannot be written. */
int lg_recorder_open(struct lg_recorder *recorder, const struct lg_recorder_config *config,
                     struct ft_fault *fault);
/* Writes what is queued, records that the node stopped, ends the file and the thread. The lanes have stopped.
 * NULL is nothing. */
void lg_recorder_close(struct lg_recorder *recorder);
/* Any thread. */
void lg_recorder_counts(struct lg_recorder *recorder, struct lg_recorder_counts *out);

/* ---- of a process that outlives the one that recorded ---- */

/* That one has ended, wherever its writer was. What the queues hold and what the writer had not written goes
 * into the file; a frame that is not whole there is made again. at[lanes]: behind the last record of each
 * lane; `outputs` is not known. False: no file is open, or it cannot be written. */
bool lg_recorder_drain(struct lg_recorder *recorder, struct lg_position at[]);
/* A burst behind the last record of its lane that had not ended; what cannot be one is left out. */
void lg_recorder_begun(struct lg_recorder *recorder, const struct ft_record *record);
/* How the node ended; ended[lanes]: the last burst of each that did; a line of text, LG_LINE_MAX bytes of
 * which count. The file ends with it. */
void lg_recorder_end(struct lg_recorder *recorder, const struct lg_node_end *end, const uint64_t ended[],
                     const char *line);

/* ---- the lanes' ---- */

/* Records are wanted: whoever executes live has to capture for it. */
bool lg_recorder_listens(struct lg_recorder *recorder);
/* A record about to be replayed, or of a burst that was executed; its bytes are copied. Ignored until a
 * snapshot was begun. */
void lg_recorder_record(struct lg_recorder *recorder, unsigned lane, const struct ft_record *record);
/* Lane 0, between bursts: a new file is due, and could be begun. `now`: monotonic ns. */
bool lg_recorder_due(struct lg_recorder *recorder, uint64_t now);
/* Any lane: lane 0 has found so, and all are to come to a barrier for it. */
bool lg_recorder_waits(const struct lg_recorder *recorder);
/* All lanes are quiesced between bursts, at[lanes]. Begins a file, if one is still due. */
void lg_recorder_begin(struct lg_recorder *recorder, const struct lg_position at[], uint64_t view,
                       uint64_t now);
/* Each lane, between bursts: copies some of a snapshot. True if there was work. */
bool lg_recorder_turn(struct lg_recorder *recorder, unsigned lane);
/* All lanes are quiesced: a new file, as soon as this one has its snapshot. Records go on meanwhile. */
void lg_recorder_rotate(struct lg_recorder *recorder);
/* Nothing follows: the lane leaves what it did, or its state is void. */
void lg_recorder_stop(struct lg_recorder *recorder, unsigned lane);
/* All lanes are quiesced, or lane 0 is: gives back pending lines, if it has them. */
void lg_recorder_yield(struct lg_recorder *recorder);
/* All lanes are quiesced: the chain, and with it the region's content, is to be another one. What is recorded
 * ends here. False: nothing was. */
bool lg_recorder_halt(struct lg_recorder *recorder);
/* Behind that: the chain stays, and counts as a gap until the next snapshot. */
void lg_recorder_missed(struct lg_recorder *recorder);
/* Behind that: it is, and what is recorded from now on is of the chain with this identity, copied. */
void lg_recorder_take_chain(struct lg_recorder *recorder, const char *identity, uint32_t len);
/* Lane 0: the lines pending at present are the recorder's. */
bool lg_recorder_owes(const struct lg_recorder *recorder);

#endif
