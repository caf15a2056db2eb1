/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests of the replicator: two of them on loopback (twin.h), and the model that what both hold at
 * the end is compared with. One world at a time, made before a test and gone after it.
 */
#ifndef TESTS_HELP_TWINPAIR_H
#define TESTS_HELP_TWINPAIR_H

#include "tests/help/twin.h"

extern struct twin twin_pair[2];      /* "a", the file's primary, and "b" */
extern struct twin_model *twin_truth; /* fresh at a test's begin */

/* Of a cmocka test. */
int twin_pair_setup(void **state);
int twin_pair_teardown(void **state);

/* Both, until a is PROTECTED and b READY. NULL: the usual options. */
void twin_pair_start(const struct twin_options *options);
void twin_pair_protected(struct twin *primary, struct twin *standby);
void twin_pair_end(void);

/* Live: bursts are made until `burst` is executed. */
void twin_target(struct twin *t, uint64_t burst);
/* Lets the primary come to rest at a burst not far from here. */
uint64_t twin_rest(struct twin *primary);

/* Fails the test unless the state after `burst` is the model's, which has been run that far. */
void twin_is_model(struct twin *t, uint64_t burst);
/* Fails the test unless both regions are the same. */
void twin_pair_same(void);
/* Runs the model to `burst` with `seed`, then asks for all of that. */
void twin_pair_equal(uint64_t seed, uint64_t burst);

#endif
