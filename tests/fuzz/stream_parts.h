/* SPDX-License-Identifier: Apache-2.0 */
/* Inside streams only: what stream.c, which makes bursts, and stream_lane.c, which runs them, share. */
#ifndef TESTS_FUZZ_STREAM_PARTS_H
#define TESTS_FUZZ_STREAM_PARTS_H

#include "understudy/config/config.h"
#include "lane/lane.h"
#include "tests/fuzz/stream.h"

#define BUFFERS    4096u
#define FRAMES     2048u /* of a stream */
#define BURSTS     1024u
#define REFERENCES 8u
#define RECORDS    (8u << 20)
#define OUTPUTS    8192u
#define LAST_IDLE  7u /* empty bursts at the end, later and later: everything runs out */

struct buffer {
    uint32_t len;
    uint8_t frame[STREAM_FRAME_MAX];
};

/* What goes in: made in the first run, the same in the others. */
struct tape_frame {
    uint8_t *bytes;
    uint32_t len;
    uint8_t side;
};
struct tape_burst {
    uint32_t first, n;
    uint64_t time;
    char command[200];
};

struct output {
    uint64_t number, burst, seq, sum;
    uint32_t len, port;
};

/* One run's results. */
struct result {
    uint64_t digest;
    uint32_t outputs;
    struct output output[OUTPUTS];
    uint8_t *records; /* wire form, one behind the other */
    size_t bytes;
};

struct stream {
    const struct stream_chain *chain;
    struct nd_config *config;
    struct ft_region *region;
    struct ft_lane_shared shared;
    struct nd_lane lane;
    struct nd_group group;
    struct nd_question question;
    struct nd_io io;
    _Atomic uint64_t view;
    _Atomic bool stop;
    uint64_t serial;

    struct buffer pool[BUFFERS];
    struct buffer *free[BUFFERS];
    uint32_t frees;

    struct fuzz_input in;
    bool making, feeding; /* making: the first run. Not feeding: no burst at all */
    struct tape_frame frames[FRAMES];
    struct tape_burst bursts[BURSTS];
    uint32_t frame_count, burst_count, idles;
    struct buffer reference[REFERENCES], last_out;
    uint8_t reference_side[REFERENCES], last_out_side;
    uint32_t references;

    struct result *result;
    struct result results[2];
};
extern struct stream s;

/* stream.c: the next burst on the tape, number `last` + 1. False: there is no more. */
bool stream_next(uint64_t last);
void stream_remember(const uint8_t *frame, uint32_t len, uint8_t side);

/* stream_lane.c */
/* Makes region and lane, once a process. */
void stream_open(const struct stream_chain *chain);
/* From an empty region through all bursts; `result` NULL: none, so that the region stands at the beginning.
 */
void stream_live(struct result *result);
void stream_compare(const struct result *a, const struct result *b);
/* From an empty region, the records of a run, as a standby replays them: the same state, the same outputs. */
void stream_replay(const struct result *first);

#endif
