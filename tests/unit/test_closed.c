/* SPDX-License-Identifier: Apache-2.0 */
/* The closed set: what is refused, where deltas cut, and what is inside where another way brings it. What is
 * inside of any history: test_closed_model.c. */
#include "tests/help/record.h"
#include "ftcore/order/closed.h"
#include "tests/help/test.h"

#define PENDING 8

static struct ft_closed *set; /* of two lanes */

static int setup(void **state)
{
    set = ft_closed_new(2, PENDING);
    return 0;
}

static int teardown(void **state)
{
    ft_closed_free(set);
    return 0;
}

#define CLOSED(name) TEST_WITH(name, setup, teardown)

static int closed_add(uint16_t lane, uint64_t burst, uint64_t access, uint32_t accesses, int to,
                      uint64_t needs)
{
    record_begin(lane, 0, burst);
    rec->access = access;
    rec->accesses = accesses;
    record_add_bytes();
    if (to >= 0)
        record_add_dependency(access, (uint16_t)to, needs);
    record_finish();
    return ft_closed_add(set, rec);
}

static void closed_computes(bool moved, uint64_t first, uint64_t second)
{
    assert_int_equal(ft_closed_compute(set, NULL), moved);
    assert_int_equal(ft_closed_burst(set, 0), first);
    assert_int_equal(ft_closed_burst(set, 1), second);
}

CLOSED(a_full_lane_has_room_again_when_what_is_inside_leaves)
{
    for (uint64_t b = 1; b <= PENDING; b++)
        assert_int_equal(closed_add(0, b, b, 1, b == 5 ? 1 : -1, 1), 0);
    assert_int_equal(closed_add(0, PENDING + 1, PENDING + 1, 1, -1, 0), FT_EFULL);
    /* What is inside makes room, the other lane was never full, and the order goes on where it was. */
    closed_computes(true, 4, 0);
    for (uint64_t b = PENDING + 1; b <= PENDING + 4; b++)
        assert_int_equal(closed_add(0, b, b, 1, -1, 0), 0);
    assert_int_equal(closed_add(0, PENDING + 5, PENDING + 5, 1, -1, 0), FT_EFULL);
    assert_int_equal(closed_add(1, 1, 1, 1, -1, 0), 0);
    closed_computes(true, PENDING + 4, 1);
}

CLOSED(bursts_and_accesses_out_of_order_are_refused)
{
    static const uint64_t burst[] = {10, 20}, access[] = {100, 200};

    assert_int_equal(closed_add(0, 2, 1, 0, -1, 0), FT_EORDER);
    assert_int_equal(closed_add(0, 1, 1, 0, -1, 0), 0);
    assert_int_equal(closed_add(0, 1, 1, 0, -1, 0), FT_EORDER);
    ft_closed_reset(set, burst, access);
    closed_computes(false, 10, 20);
    assert_int_equal(closed_add(0, 10, 101, 0, -1, 0), FT_EORDER);
    assert_int_equal(closed_add(0, 12, 101, 0, -1, 0), FT_EORDER);
    assert_int_equal(closed_add(0, 11, 102, 1, -1, 0), FT_EORDER);
    assert_int_equal(closed_add(0, 11, 100, 1, -1, 0), FT_EORDER);
    assert_int_equal(closed_add(0, 11, 101, 1, 1, 200), 0);
    assert_int_equal(closed_add(0, 12, 103, 1, -1, 0), FT_EORDER);
    assert_int_equal(closed_add(0, 12, 102, 1, 1, 201), 0);
    closed_computes(true, 11, 20);
    /* After what was forgotten, numbers go on too. */
    assert_int_equal(closed_add(0, 12, 102, 1, -1, 0), FT_EORDER);
    assert_int_equal(closed_add(0, 13, 103, 1, -1, 0), 0);
}

/* What a lane's port brings is inside, and no delta tells it: it is still to be replayed. */
CLOSED(what_another_way_brings_is_inside_and_in_no_delta)
{
    static const uint64_t burst[] = {10, 20}, access[] = {100, 200};
    struct ft_known known[2] = {{.burst = 15}};
    uint64_t told[2];

    ft_closed_reset(set, burst, access);
    assert_int_equal(closed_add(0, 11, 101, 1, 1, 201), 0); /* held, not inside */
    closed_computes(false, 10, 20);
    ft_closed_advance(set, 0, 15, 104);
    assert_true(ft_closed_compute(set, known));
    assert_int_equal(ft_closed_burst(set, 0), 15);
    assert_int_equal(ft_closed_cut(set, told), 0);
    assert_int_equal(told[0], 10);
    assert_int_equal(told[1], 20);
    assert_int_equal(closed_add(0, 16, 104, 1, -1, 0), FT_EORDER);
    assert_int_equal(closed_add(0, 15, 105, 1, -1, 0), FT_EORDER);
    assert_int_equal(closed_add(0, 16, 105, 1, 1, 203), 0);
    assert_false(ft_closed_compute(set, known));
    known[1].access = 203; /* in a burst that this set never has */
    assert_true(ft_closed_compute(set, known));
    assert_int_equal(ft_closed_burst(set, 0), 16);
    assert_int_equal(ft_closed_burst(set, 1), 20);
    known[0].burst = 0; /* it does not go back */
    assert_false(ft_closed_compute(set, known));
    assert_int_equal(ft_closed_burst(set, 0), 16);
}

CLOSED(nothing_moves_once_it_is_shut)
{
    static const uint64_t none[2];

    assert_true(ft_closed_claim(set));
    assert_false(ft_closed_claim(set));
    ft_closed_release(set);
    ft_closed_shut(set);
    assert_int_equal(closed_add(0, 1, 1, 1, -1, 0), 0);
    closed_computes(false, 0, 0);
    ft_closed_reset(set, none, none);
    assert_int_equal(closed_add(0, 1, 1, 1, -1, 0), 0);
    closed_computes(true, 1, 0);
}

static int closed_add_delta(uint16_t lane, uint64_t cut, uint64_t from, uint64_t burst, uint64_t access)
{
    chunk_begin(lane, cut, from, burst);
    chunk->flags |= FT_CHUNK_LAST;
    chunk->access = access;
    chunk_finish();
    return ft_closed_add_delta(set, chunk);
}

/* Of a checkpoint whose chunks come between records: its first chunk, or its last. */
static bool incremental_fits(uint64_t cut, uint64_t from, uint64_t burst, uint64_t access, uint32_t number,
                             bool add_it)
{
    chunk_begin(0, cut, from, burst);
    chunk->flags |= FT_CHUNK_INCREMENTAL | FT_CHUNK_LAST;
    chunk->access = access;
    chunk->number = number;
    chunk_finish();
    return add_it ? ft_closed_add_delta(set, chunk) == 0 : ft_closed_fits(set, chunk) == 0;
}

CLOSED(an_incremental_checkpoint_ends_where_it_began)
{
    static const uint64_t burst[] = {10, 20}, access[] = {100, 200};
    uint64_t at[2];

    ft_closed_reset(set, burst, access);
    assert_int_equal(closed_add(0, 11, 101, 1, -1, 0), 0);
    assert_false(incremental_fits(1, 10, 10, 100, 0, false)); /* it begins behind all that is held */
    assert_false(incremental_fits(1, 10, 11, 100, 0, false));
    assert_false(
        incremental_fits(1, 11, 11, 101, 0, false)); /* it begins at the delta before it, or the snapshot */
    assert_true(incremental_fits(1, 10, 11, 101, 0, false));
    assert_int_equal(closed_add(0, 12, 102, 1, -1, 0), 0);
    closed_computes(true, 12, 20); /* what comes between its chunks does not wait for it */
    assert_false(incremental_fits(1, 10, 13, 103, 3, true));
    assert_false(incremental_fits(1, 9, 11, 101, 3, true));
    assert_false(incremental_fits(2, 10, 11, 101, 3, true));
    assert_true(incremental_fits(1, 10, 11, 101, 3, true));
    assert_int_equal(closed_add(0, 13, 103, 1, -1, 0), 0);
    closed_computes(false, 12, 20); /* what comes behind its last one waits for the other lane's */
    assert_int_equal(ft_closed_cut(set, at), 0);
    assert_int_equal(closed_add_delta(1, 1, 20, 20, 200), 0);
    closed_computes(true, 13, 20);
    assert_int_equal(ft_closed_cut(set, at), 1);
    assert_int_equal(at[0], 11); /* burst 12 is not covered */
    assert_int_equal(at[1], 20);
    assert_true(incremental_fits(2, 11, 13, 103, 0, false)); /* the next goes on from there */
}

CLOSED(deltas_out_of_order_are_refused)
{
    static const uint64_t burst[] = {10, 20}, access[] = {100, 200};
    uint64_t at[2];

    ft_closed_reset(set, burst, access);
    assert_int_equal(ft_closed_cut(set, at), 0);
    assert_int_equal(at[1], 20);
    assert_int_equal(closed_add_delta(2, 1, 10, 10, 100), FT_EMALFORMED);
    assert_int_equal(closed_add_delta(0, 0, 10, 15, 110), FT_EORDER); /* cuts begin with 1 */
    assert_int_equal(closed_add_delta(0, 2, 10, 15, 110), FT_EORDER);
    assert_int_equal(closed_add_delta(0, 1, 9, 15, 110), FT_EORDER); /* another snapshot */
    assert_int_equal(closed_add_delta(0, 1, 11, 15, 110), FT_EORDER);
    assert_int_equal(closed_add_delta(0, 1, 10, 15, 99), FT_EORDER); /* accesses go back */
    assert_int_equal(closed_add_delta(0, 1, 10, 15, 110), 0);
    closed_computes(false, 10, 20); /* one lane's delta alone is nothing */
    assert_int_equal(closed_add_delta(0, 1, 10, 15, 110), FT_EORDER);
    assert_int_equal(closed_add(0, 17, 111, 1, -1, 0), FT_EORDER);
    assert_int_equal(closed_add(0, 16, 112, 1, -1, 0), FT_EORDER);
    assert_int_equal(closed_add(0, 16, 111, 1, 1, 207), 0);           /* a log segment follows */
    assert_int_equal(closed_add_delta(0, 2, 15, 15, 111), FT_EORDER); /* a checkpoint without its burst */
    assert_int_equal(closed_add_delta(0, 2, 15, 17, 111), FT_EORDER); /* with a burst that is not held */
    assert_int_equal(closed_add_delta(0, 2, 15, 16, 112), FT_EORDER);
    assert_int_equal(closed_add_delta(0, 2, 16, 16, 110),
                     FT_EORDER); /* a delta segment after it: accesses go back */
    assert_int_equal(closed_add_delta(0, 2, 15, 16, 111), 0);
    assert_int_equal(closed_add_delta(1, 1, 20, 25, 206), 0);
    closed_computes(true, 15, 25); /* burst 16 needs access 207 of the other lane */
    assert_int_equal(ft_closed_cut(set, at), 1);
    assert_int_equal(closed_add(1, 26, 207, 1, -1, 0), 0);
    closed_computes(true, 16, 26); /* and its checkpoint waits */
    assert_int_equal(ft_closed_cut(set, at), 1);
    assert_int_equal(closed_add_delta(1, 2, 25, 26, 207), 0);
    closed_computes(true, 16, 26);
    assert_int_equal(ft_closed_cut(set, at), 2);
    assert_int_equal(at[0], 16);
    assert_int_equal(at[1], 26);
    /* Lanes that did nothing. */
    assert_int_equal(closed_add_delta(0, 3, 16, 16, 111), 0);
    assert_int_equal(closed_add_delta(1, 3, 26, 26, 207), 0);
    closed_computes(true, 16, 26);
    assert_int_equal(ft_closed_cut(set, at), 3);
    for (uint64_t c = 4; c < 4 + PENDING; c++)
        assert_int_equal(closed_add_delta(0, c, 16, 16, 111), 0);
    assert_int_equal(closed_add_delta(0, 4 + PENDING, 16, 16, 111), FT_EFULL);
    /* A delta segment after a log segment that no checkpoint told of: a stream does not change its kind. */
    ft_closed_reset(set, burst, access);
    assert_int_equal(closed_add(0, 11, 101, 1, -1, 0), 0);
    assert_int_equal(closed_add_delta(0, 1, 11, 13, 110), FT_EORDER);
    assert_int_equal(closed_add_delta(0, 1, 10, 13, 110), FT_EORDER);
    /* A new snapshot forgets all of it. */
    ft_closed_reset(set, burst, access);
    assert_int_equal(ft_closed_cut(set, at), 0);
    assert_int_equal(closed_add_delta(0, 1, 10, 12, 100), 0);
    assert_int_equal(closed_add_delta(1, 1, 20, 20, 200), 0);
    closed_computes(true, 12, 20);
}

CLOSED(impossible_lanes_are_refused)
{
    assert_int_equal(closed_add(2, 1, 1, 1, -1, 0), FT_EMALFORMED);
    assert_int_equal(closed_add(FT_LANES_MAX, 1, 1, 1, -1, 0), FT_EMALFORMED);
    assert_int_equal(closed_add(0, 1, 1, 1, 2, 1), FT_EMALFORMED);
    assert_int_equal(closed_add(0, 1, 1, 1, 0, 1), FT_EMALFORMED);
    /* Nothing of what was refused remains. */
    assert_int_equal(closed_add(0, 1, 1, 1, -1, 0), 0);
    closed_computes(true, 1, 0);
}

/* A long tail that waits for one access, cut in the middle again and again. */
TEST_WITH(a_long_tail_may_be_cut_again_and_again, NULL, teardown)
{
    set = ft_closed_new(2, 50000);
    for (uint64_t b = 1; b <= 50000; b++)
        assert_int_equal(closed_add(0, b, b, 1, 1, b), 0);
    for (uint64_t b = 1; b <= 500; b++) {
        assert_int_equal(closed_add(1, b, (b - 1) * 100 + 1, 100, -1, 0), 0);
        closed_computes(true, b * 100, b);
    }
}
