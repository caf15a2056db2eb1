/* SPDX-License-Identifier: Apache-2.0 */
/* Two replicators and their model; see twinpair.h. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/help/twinpair.h"

#include <stdlib.h>
#include <string.h>

struct twin twin_pair[2];
struct twin_model *twin_truth;

static struct twin *const a = &twin_pair[0], *const b = &twin_pair[1];

int twin_pair_setup(void **state)
{
    (void)state;
    memset(twin_pair, 0, sizeof(twin_pair));
    twin_truth = calloc(1, sizeof(*twin_truth));
    assert_non_null(twin_truth);
    twin_model_begin(twin_truth);
    twin_world(twin_pair);
    return 0;
}

int twin_pair_teardown(void **state)
{
    (void)state;
    twin_world_end(twin_pair);
    free(twin_truth);
    return 0;
}

void twin_pair_protected(struct twin *primary, struct twin *standby)
{
    twin_await(primary, FT_PROTECTED);
    twin_await(standby, FT_READY);
}

void twin_pair_start(const struct twin_options *options)
{
    twin_start(a, options);
    twin_start(b, options);
    twin_pair_protected(a, b);
}

void twin_pair_end(void)
{
    twin_end(a);
    twin_end(b);
}

void twin_target(struct twin *t, uint64_t burst)
{
    atomic_store(&t->box->target, burst);
}

uint64_t twin_rest(struct twin *primary)
{
    uint64_t burst = twin_executed(primary) + 200;

    twin_target(primary, burst);
    twin_await_executed(primary, burst);
    return burst;
}

void twin_is_model(struct twin *t, uint64_t burst)
{
    uint64_t region, state;

    twin_await_executed(t, burst);
    assert_int_equal(twin_digest(t, &region, &state), burst);
    assert_int_equal(twin_truth->lane.burst, burst);
    assert_int_equal(state, twin_state_hash(&twin_truth->lane, twin_truth->words));
}

void twin_pair_same(void)
{
    uint64_t region_a, region_b, state;

    assert_int_equal(twin_digest(a, &region_a, &state), twin_digest(b, &region_b, &state));
    assert_int_equal(region_a, region_b);
}

void twin_pair_equal(uint64_t seed, uint64_t burst)
{
    twin_model_run(twin_truth, seed, burst);
    twin_is_model(a, burst);
    twin_is_model(b, burst);
    twin_pair_same();
}
