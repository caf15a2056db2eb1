/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of one lane: a chain in a region, and two ports without a network. Frames that the test has
 * arrive at port 0 wait in a queue until the lane takes them; of what leaves, its number is kept. One lane at
 * a time.
 *
 * Its chain is "forward", or, for tests of what a node's end tells, monitor and crasher (crasher.c): that
 * lane dies in a forked process, and what its reporter looks at is shared with the test.
 */
#ifndef TESTS_HELP_LANE_H
#define TESTS_HELP_LANE_H

#include "lane/lane.h"
#include "nftest/frames.h"
#include "understudy/crash/handler.h"
#include "understudy/crash/crash.h"
#include "understudy/crash/quarantine.h"
#include "understudy/crash/report.h"

#include <jansson.h>

#define LANE_BUFFERS 512u /* so the hold has 256 places, and 128 frames may wait */
#define LANE_FRAMES  (2u * LANE_BUFFERS)

struct lane_frame {
    uint8_t data[NFT_FRAME_MAX];
    uint32_t number, len;
};

struct lane_world {
    struct lane_frame pool[LANE_FRAMES];
    struct lane_frame *free[LANE_FRAMES], *queue[LANE_FRAMES];
    unsigned frees, taken, first, last;      /* first, last: of the queue */
    uint32_t came, left[LANE_FRAMES], lefts; /* how many came; numbers of what left, in order */
    struct ft_region *region;
    struct nd_lane lane;
    struct nd_group group;
    struct ft_lane_shared *shared;
    struct nd_question question;
    struct nd_config *config;
    _Atomic uint64_t view;
    _Atomic bool stop;
};
extern struct lane_world lane_world;
extern const struct nd_io lane_ports;

/* Of a cmocka test: a lane that is live, with lane_ports. It may release, but nothing is stable. */
int lane_setup(void **state);
int lane_teardown(void **state);
/* The same setup with other ports. */
void lane_open(const struct nd_io *io);

/* A frame of zeros, of LEN bytes, arrives; its number is how many came before. It lies in `pool` at that
 * number until all of those were used. */
struct lane_frame *lane_arrives(uint32_t len);
struct lane_frame *lane_take_frame(void); /* of the pool */

/* ---- a lane that dies ---------------------------------------------------------------------------- */

/* UDP port of what crasher dies of, and the first for segments from ports 3000 to 3099; of what it does not.
 */
#define CRASH_PORT    6660u
#define CRASH_HARM    5000u
#define CRASH_BYTES   400u /* of a frame; the chain reads the first 64 */
#define CRASH_CAPTURE 64u

struct crash_world {
    struct nd_crash_page *page;   /* shared, as are the lane's words */
    struct lg_recorder *recorder; /* shared; NULL: none */
};
extern struct crash_world crash_world;
extern const struct ft_datagram_key crash_key;

/* cmocka setup and teardown. */
int crash_begin(void **state);
int crash_end(void **state);
/* Of a group: the state directory goes, and what help_config wrote. */
int crash_clean(void **state);

/* A frame of a UDP packet to `port` arrives. No two of them are equal. */
void crash_arrives(unsigned port);
void crash_logs(void);   /* the lane makes records from now on */
void crash_deltas(void); /* deltas, and nobody wants records */
void crash_turns(unsigned n);
/* Another process aborts this one when it has run for 400 ms more: who ends a lane that hangs. */
void crash_ends_later(void);
/* An operator asks what crasher shows; a turn answers. */
void crash_will_show(void);

/* Runs `work` as the lane's thread in a process of its own, until it dies; how it ended, as waitpid has it.
 */
int crash_run(void (*work)(void));
/* The directory that its reporter would have written, and the report in it, which is given back behind the
 * test. */
json_t *crash_report(char path[ND_CRASH_PATH]);

/* In the process that dies: the lane records from now on, with crash_world.recorder, into the configuration's
 * directory. */
void crash_records(void);

#endif
