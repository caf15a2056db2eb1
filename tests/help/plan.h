/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small fleet and its plan, for tests of the planner rule by rule: what is said of each shard is compared
 * whole. Owns both; a test begins the fleet, and its teardown forgets it.
 */
#ifndef TESTS_HELP_PLAN_H
#define TESTS_HELP_PLAN_H

#include "tests/help/fleet.h"

extern struct help_fleet fleet;
extern struct fl_plan *plan; /* the last one; NULL: none */

int help_plan_forget(void **state);

void begin(uint32_t servers, uint32_t shards, uint32_t zones);
/* The test fails where there is none. */
void make_plan(void);
/* What is said of a shard, whole; and the same of a new plan. */
void expect(uint32_t shard, const char *sentence);
void expect_plan(uint32_t shard, const char *sentence);

/* Of all servers. */
void limit_nodes(double nodes);
void limit_processor(double cores);
/* One that is under way since a second ago. */
void order(uint32_t shard, enum fl_kind kind, enum fl_cause cause, uint32_t to);

#endif
