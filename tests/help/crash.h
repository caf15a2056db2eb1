/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of what a node's end tells: a lane with the chain monitor, crasher (crasher.c) and ports in
 * memory, which lies in memory that a forked process shares with the test.
 */
#ifndef TESTS_HELP_CRASH_H
#define TESTS_HELP_CRASH_H

#include "node/crash/crash.h"
#include "node/crash/handler.h"
#include "node/crash/quarantine.h"
#include "lane/lane.h"

#include <jansson.h>

#define CRASH_PORT                                                                                           \
    6660u /* of the datagrams that crasher dies of, and segments from ports 3000 to 3099, the first */
#define CRASH_HARM    5000u /* of one that it does not die of */
#define CRASH_FRAMES  64u
#define CRASH_BYTES   400u /* of a frame; the chain reads the first 64 */
#define CRASH_CAPTURE 64u

struct crash_world {
    uint8_t frame[CRASH_FRAMES][CRASH_BYTES];
    unsigned first, last; /* of `frame`: those that have not come in yet */
    unsigned dropped;
    struct ft_region *region;
    struct nd_lane lane;
    struct nd_group group;
    struct nd_question question;
    struct nd_config *config;
    struct nd_crash_page *page;    /* shared */
    struct ft_lane_shared *shared; /* shared */
    struct lg_recorder *recorder;  /* shared; NULL: none */
    _Atomic uint64_t view;
    _Atomic bool stop;
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
/* The same frame as the one that came as number `frame`, from 0. */
void crash_arrives_again(unsigned frame);
void crash_logs(void);   /* the lane makes records from now on */
void crash_deltas(void); /* deltas, and nobody wants records */
void crash_turns(unsigned n);
/* Another process aborts this one in 400 ms: who ends a lane that hangs. */
void crash_ends_later(void);
/* An operator asks what crasher shows; a turn answers. */
void crash_will_show(void);

/* Runs `work` as the lane's thread in a process of its own, until it dies; how it ended, as waitpid has it.
 */
int crash_run(void (*work)(void));
/* The directory that its reporter would have written, and the report in it, to be given back. */
json_t *crash_report(char path[ND_CRASH_PATH]);

/* From now on the lane records into this directory, which is made: in the process that dies once it has
 * called crash_records. The reporter finishes it. */
void crash_will_record(const char *directory);
void crash_records(void);

#endif
