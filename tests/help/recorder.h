/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of the flight recorder: a region, a directory and a recorder that writes files there. One at a
 * time. */
#ifndef TESTS_HELP_RECORDER_H
#define TESTS_HELP_RECORDER_H

#include "logger/recorder/recorder.h"
#include "logger/recorder/recording.h"

struct rig {
    char directory[64], path[160]; /* path: the file last named */
    struct ft_region *region;
    struct lg_recorder *recorder; /* NULL: none is open */
};

extern struct rig rig;

void rig_open(const char *node, const char *identity, uint64_t file_bytes, uint32_t files);
void rig_close(void);

/* The recorder's memory alone, before a process is forked that opens it; it goes without being closed. */
void rig_share(void);

void rig_forget(void);

/* The lane stops, the last one of all, and the recorder is closed. */
void rig_stop(unsigned lane);

/* Path of the file with that serial number, until the next call. */
const char *rig_file(unsigned serial);

/* Fails the test when it cannot be read. */
void rig_read(struct lg_recording *r, unsigned serial);

/* For tests of the flight recorder: the one lane of a node, whose bursts change its state in a known way. */

#define RECORDER_WORDS    (40u * 1024u)
#define RECORDER_INPUTS   4u /* inputs of a burst */
#define RECORDER_IDENTITY "nf 1: monitor max_flows=10\n"

/* The lane's state, and where it is. */
extern uint64_t *recorder_words, *recorder_model;

extern struct lg_position recorder_now;

/* Of each test: the region and its RECORDER_WORDS numbers. */
int recorder_setup(void **state);

int recorder_teardown(void **state);

/* Opens a recorder of node "b". */
void recorder_open(uint64_t file_bytes, uint32_t files);

/* The same, and the lane's first turn: of view 7, at 0 ns. */
void recorder_begin(uint64_t file_bytes, uint32_t files);

/* What burst `burst` does to the state: word by word, from its number alone. */
uint64_t recorder_place(uint64_t burst, unsigned i);

/* Between bursts, as a node's only lane goes about it. */
void recorder_turn(uint64_t view, uint64_t at);

/* One burst as a standby's lane goes about it: record, then replay, then between bursts. */
void recorder_burst(uint16_t taken, uint64_t at);
void recorder_bursts(unsigned count, uint16_t taken, uint64_t at);

/* For tests of the flight recorder: three lanes of a node with arenas of numbers, and a shared one. */

#define LANES       3u
#define IDENTITY    "lanes 3\n"
#define LANES_WORDS 2048u
extern uint64_t *lanes_words[LANES + 1]; /* of each lane's arena; the last: of the shared one */

/* Where each lane is. */
extern struct lg_position lanes_at[LANES];

/* Of each test: the region, and lanes_words filled with numbers. */
int lanes_setup(void **state);

int lanes_teardown(void **state);

/* Opens a recorder of node "a". */
void lanes_open(uint64_t file_bytes);

/* A file begins now, ns. */
void lanes_begin(uint64_t now);

/* All lanes' turns until there is no work; lines of the snapshot go in between. */
void lanes_turns(void);

/* Ends a record that was begun: the next burst of its lane. */
void lanes_end_record(uint32_t accesses);

#endif
