/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file of the flight recorder. Written by recorder.c, read by recording.c, both through what stands here.
 *
 *     "UNDSTREC" | u32 version | u32 0 | frame | frame | …            little endian, no padding
 *     frame: u32 length | u32 type | u64 XXH3 of the content | u64 XXH3 of these 16 bytes | content
 *
 * The head's checksum is seeded with the frame's offset in the file, so a frame that was moved is found, and
 * so that a wrong length is not taken for a file that ends too early: a file is torn when a good head
 * promises more than is there, or when less than a head is left, or nothing but zeros (a machine lost power).
 * Whatever else is wrong is damage, and refused.
 *
 *     HEADER      struct lg_file_header, struct lg_position of lanes 1, 2, …, then the chain's identity,
 *                 lines of text: once, first
 *     LINES       lines of the snapshot, as runs (ftcore/record/delta.h)
 *     SNAPSHOT_END    the snapshot is whole
 *     RECORD      one log record in its wire form (ftcore/record/record.h)
 *     CLOCK       struct lg_clock: once a second or so, between records
 *     BEGUN       the record of a burst that had begun and had not ended when the node did: inputs, time and
 *                 an operator's command, no accesses, no dependencies: once for a lane, behind all records
 *     NODE_END    struct lg_node_end, u64 for each lane: its last burst that ended, then a line of text:
 *                 once, in the file that was open when the node ended, with nothing behind it but END
 *     END         the file was closed
 *
 * The file's records are the bursts after the snapshot, for each lane without gaps, and in no order between
 * lanes: dependencies hold the order that there was. A snapshot is copied while the lanes go on, so records
 * stand between its LINES, and a reader takes all LINES first. The last records may have dependencies to
 * accesses that are not in the file; the reader leaves out what cannot be executed. A file whose predecessor
 * ends where its own snapshot begins continues it: the predecessor's state, replayed, is that snapshot, which
 * is checked.
 */
#ifndef LOGGER_RECORDER_FRAME_H
#define LOGGER_RECORDER_FRAME_H

#include "ftcore/base/error.h"
#include "ftcore/record/crash_notice.h"

#include <stdint.h>
#include <string.h>
#include <xxhash.h>

#define LG_MAGIC       "UNDSTREC"
#define LG_PREFACE     16u
#define LG_FRAME_HEAD  24u
#define LG_CONTENT_MAX (1u << 20)
#define LG_NODE_MAX    32u
#define LG_LINE_MAX    256u /* bytes of the text in NODE_END */
#define LG_SUFFIX      ".rec"

enum lg_frame_type {
    LG_HEADER = 1,
    LG_LINES,
    LG_SNAPSHOT_END,
    LG_RECORD,
    LG_END,
    LG_CLOCK,
    LG_BEGUN,
    LG_NODE_END,
    LG_TYPES
};

/* The wall clock when a record had just been written, which was after its chain time: of two neighbours the
 * smaller difference is nearer to the true one. The wall clock may have been set between two. */
struct lg_clock {
    uint64_t time, wall; /* chain time of the record; ns since 1970 */
};

enum lg_how { LG_STOPPED = 1, LG_KILLED, LG_CRASHED, LG_HUNG, LG_HOWS };

/* How the node ended. */
struct lg_node_end {
    uint64_t wall;          /* when, ns since 1970: as in the report of it (understudy/crash) */
    uint64_t burst, time;   /* that it crashed or hung in, and its chain time; else 0 */
    uint32_t how;           /* enum lg_how */
    uint32_t signal;        /* 0: none, or nobody knows */
    uint32_t lane;          /* FT_CRASH_NO_LANE: none */
    uint32_t packet;        /* of the burst, from 1; 0: not known */
    char nf[FT_CRASH_NAME]; /* "": none */
};

/* Where a lane is between two bursts: as in its state. */
struct lg_position {
    uint64_t burst, seq; /* last burst closed, sequence number of the next input */
    uint64_t time, access, outputs;
};

struct lg_file_header {
    uint64_t serial; /* of the file in its directory, its name */
    uint64_t wall;   /* when the snapshot was begun: ns since 1970 */
    uint64_t view;
    uint64_t region_size, region_used; /* bytes */
    struct lg_position at;             /* of lane 0 */
    uint32_t lanes;
    uint32_t identity; /* bytes of it that follow */
    char node[LG_NODE_MAX];
};

_Static_assert(sizeof(struct lg_file_header) == 5 * 8 + sizeof(struct lg_position) + 8 + LG_NODE_MAX,
               "no padding in the file");
_Static_assert(sizeof(struct lg_node_end) == 3 * 8 + 4 * 4 + FT_CRASH_NAME, "no padding in the file");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "files are little-endian in memory too");

/* The head of a frame that begins at `offset` of its file. */
static inline void lg_frame_head(uint8_t out[LG_FRAME_HEAD], uint64_t offset, uint32_t type,
                                 const void *content, uint32_t len)
{
    uint64_t sum = XXH3_64bits(content, len), own;

    memcpy(out, &len, sizeof(len));
    memcpy(out + 4, &type, sizeof(type));
    memcpy(out + 8, &sum, sizeof(sum));
    own = XXH3_64bits_withSeed(out, 16, offset);
    memcpy(out + 16, &own, sizeof(own));
}

#endif
