/* SPDX-License-Identifier: Apache-2.0 */
/* What the verdicts of several lanes say on one digest of the whole region. */
#include "ftcore/queue/lane.h"
#include "replicator/replicator.h"
#include "tests/help/test.h"

#define LANES 3u

static const uint64_t bursts[LANES] = {40, 7, 19}; /* that carry the digest */
static struct rp_verdict found;

static bool find(const struct rp_verdicts *v)
{
    return rp_verdict_find(v, LANES, bursts, &found);
}

TEST(equal_is_what_all_lanes_say)
{
    struct rp_verdicts v = {.last = {{40, 5, 5}, {6, 5, 5}, {19, 5, 5}}}; /* lane 1: on the digest before */

    assert_false(find(&v));
    v.last[1].burst = 7;
    assert_true(find(&v));
    assert_true(found.expected == 5 && found.got == 5 && found.burst == 40);
}

/* The standby gives up its state with the first, and says no more. */
TEST(different_is_what_one_lane_says)
{
    struct rp_verdicts v = {.last = {{39, 5, 5}, {7, 5, 6}, {0, 0, 0}}};

    assert_true(find(&v));
    assert_true(found.expected == 5 && found.got == 6 && found.burst == 7);
}

TEST(a_difference_of_another_digest_is_none)
{
    struct rp_verdicts v = {.last = {{40, 5, 5}, {6, 5, 6}, {19, 5, 5}}};

    assert_false(find(&v));
}

TEST(a_lane_that_has_taken_no_digest_is_waited_for)
{
    static const uint64_t none[LANES] = {FT_ALL, 7, 19};
    struct rp_verdicts v = {.last = {{0, 0, 0}, {7, 5, 5}, {19, 5, 5}}};

    assert_false(rp_verdict_find(&v, LANES, none, &found));
}

/* A standby that lies: each lane's digests are equal, of what cannot be one digest. */
TEST(lanes_that_contradict_each_other_are_not_equal)
{
    struct rp_verdicts v = {.last = {{40, 5, 5}, {7, 5, 5}, {19, 6, 6}}};

    assert_true(find(&v));
    assert_true(found.expected == 5 && found.got == 6);
}
