/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far a standby lags, in time: as the primary's lane counts it, against what a reader of node/lane.h
 * would compute by hand; and when the lane waits for it.
 */
#include "node/lane.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#define KIB 1024u

static struct nd_config config;
static struct nd_lane lane;
static struct ft_lane shared;
static struct nd_group group;

/* A budget of 2 ms, of which 1 ms is for replay; records take 1 us for 1 KiB, parts 500 ns. */
static void begin(void)
{
    config = (struct nd_config){
        .protect = {.mode = ND_MODE_AUTO, .standby = ND_STANDBY_HOT, .recovery_budget_ms = 2}};
    shared = (struct ft_lane){.cost_log = 1000, .cost_delta = 500, .logging = true, .lease_until = 12345};
    group = (struct nd_group){.lanes = 1, .lane = &lane, .stream = {.segment = FT_SEGMENT_LOG}};
    lane = (struct nd_lane){.config = &config, .shared = &shared, .group = &group};
}

static void is_at(uint64_t head, uint64_t taken)
{
    atomic_store(&shared.log.head, head * KIB);
    atomic_store(&shared.taken_at, taken * KIB);
}

static void lag_is_what_is_not_taken(void **state)
{
    (void)state;
    begin();
    is_at(700, 700);
    assert_int_equal(nd_lane_lag(&lane), 0);
    is_at(700, 600);
    assert_int_equal(nd_lane_lag(&lane), 100 * 1000);
    is_at(0, 600); /* the ring began anew */
    assert_int_equal(nd_lane_lag(&lane), 0);
}

/* Deltas from 650 on: 50 KiB of records before, 50 of parts. And the other way round. */
static void each_kind_has_its_own_cost(void **state)
{
    (void)state;
    begin();
    lane.kind_from = 650 * KIB;
    is_at(700, 600);
    group.stream.segment = FT_SEGMENT_DELTA;
    assert_int_equal(nd_lane_lag(&lane), 50 * 1000 + 50 * 500);
    is_at(700, 660);
    assert_int_equal(nd_lane_lag(&lane), 40 * 500);
    group.stream.segment = FT_SEGMENT_LOG;
    is_at(700, 600);
    assert_int_equal(nd_lane_lag(&lane), 50 * 500 + 50 * 1000);
}

static void waits_beyond_half_of_the_budget(void **state)
{
    (void)state;
    begin();
    is_at(1000, 0);
    assert_false(nd_lane_lags(&lane)); /* 1 ms */
    is_at(1001, 0);
    assert_true(nd_lane_lags(&lane));
}

static void who_does_not_wait(void **state)
{
    (void)state;
    begin();
    is_at(10000, 0);
    assert_true(nd_lane_lags(&lane));
    atomic_store(&shared.lease_until, FT_ALL); /* SOLO: a resync has all of the log to replay */
    assert_false(nd_lane_lags(&lane));
    begin();
    is_at(10000, 0);
    atomic_store(&shared.logging, false);
    assert_false(nd_lane_lags(&lane));
    begin();
    is_at(10000, 0);
    config.protect.mode = ND_MODE_LOG;
    assert_false(nd_lane_lags(&lane));
    config.protect.mode = ND_MODE_AUTO;
    config.protect.standby = ND_STANDBY_WARM;
    assert_false(nd_lane_lags(&lane));
}

/* The lane's own time stands for what the standby has not told, in the choice; not in waiting. */
static void not_told_yet(void **state)
{
    (void)state;
    begin();
    atomic_store(&shared.cost_log, 0);
    is_at(10000, 0);
    assert_int_equal(nd_lane_lag(&lane), 0);
    lane.busy_ns = 3000;
    lane.busy_bytes = KIB;
    assert_int_equal(nd_lane_lag(&lane), 10000 * 3000);
    assert_false(nd_lane_lags(&lane));
}

/* The standby's side: 64 KiB in 128 us are 2000 ns for 1 KiB; not what was not for replay. */
static void what_a_turn_took(void **state)
{
    (void)state;
    begin();
    lane.last_bytes = 64 * KIB;
    lane.last_kind = FT_SEGMENT_LOG;
    lane.last_full = true;
    nd_lane_took(&lane, 128000);
    assert_int_equal(atomic_load(&shared.took_log), 0); /* it is no standby */
    lane.doing = FT_LANE_REPLAY;
    nd_lane_took(&lane, 128000); /* a turn without work */
    assert_int_equal(atomic_load(&shared.took_log), 0);
    lane.last_bytes = 64 * KIB;
    nd_lane_took(&lane, 128000);
    assert_int_equal(atomic_load(&shared.took_log), 2000);
    lane.last_bytes = 32 * KIB;
    lane.last_kind = FT_SEGMENT_DELTA;
    nd_lane_took(&lane, 16000);
    assert_int_equal(atomic_load(&shared.took_delta), 500);
    assert_int_equal(atomic_load(&shared.took_log), 2000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lag_is_what_is_not_taken),
        cmocka_unit_test(each_kind_has_its_own_cost),
        cmocka_unit_test(waits_beyond_half_of_the_budget),
        cmocka_unit_test(who_does_not_wait),
        cmocka_unit_test(not_told_yet),
        cmocka_unit_test(what_a_turn_took),
    };

    return cmocka_run_group_tests_name("lane_lag", tests, NULL, NULL);
}
