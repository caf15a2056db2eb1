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

/* Frees both: the teardown of each test. */
int help_plan_forget(void **state);

/* A fleet as of help_fleet_make, in the place of the one before. */
void begin(uint32_t servers, uint32_t shards, uint32_t zones);
/* The same with shards that are protected: the primary's and the standby's server of each, as in "0-1, 2-3".
 */
void begin_at(uint32_t servers, uint32_t zones, const char *members);
/* What the nodes of a shard's two members say. */
void says(uint32_t shard, enum fl_says first, enum fl_says second);
/* The test fails where there is none. */
void make_plan(void);
/* A new plan has so many orders. */
void expect_orders(uint32_t orders);
/* What is said of a shard, whole; and the same of a new plan. */
void expect(uint32_t shard, const char *sentence);
void expect_plan(uint32_t shard, const char *sentence);

/* A capacity of all servers: a number of nodes, cores. */
void limit_nodes(double nodes);
void limit_processor(double cores);
/* The shard has an order, which is under way since a second ago. */
void order(uint32_t shard, enum fl_kind kind, enum fl_cause cause, uint32_t to);

#endif
