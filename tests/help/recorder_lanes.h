/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of the flight recorder: three lanes of a node with arenas of numbers, and a shared one. */
#ifndef TESTS_HELP_RECORDER_LANES_H
#define TESTS_HELP_RECORDER_LANES_H

#include "tests/help/recorder.h"

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
