/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of the flight recorder: the one lane of a node, whose bursts change its state in a known way. */
#ifndef TESTS_HELP_RECORDER_LANE_H
#define TESTS_HELP_RECORDER_LANE_H

#include "tests/help/recorder.h"

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

/* What burst `burst` does to the state: word by word, from its number alone. */
uint64_t recorder_place(uint64_t burst, unsigned i);

/* Between bursts, as a node's only lane goes about it. */
void recorder_turn(uint64_t view, uint64_t at);

/* One burst as a standby's lane goes about it: record, then replay, then between bursts. */
void recorder_burst(uint16_t taken, uint64_t at);

#endif
