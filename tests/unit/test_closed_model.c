/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The closed set against a model that tries all vectors of prefixes and knows nothing of how it is computed:
 * over histories that ran (order between accesses, cycles between bursts), over arbitrary ones, and over
 * streams of segments, where deltas of deltas stand for bursts or follow them.
 */
#include "tests/help/record.h"
#include "tests/help/closed.h"
#include "tests/help/chunk.h"
#include "ftcore/order/closed.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#define PENDING 8

/* Bursts up to and with the first `n` items of a lane. */
static uint64_t model_bursts_to(unsigned lane, unsigned n)
{
    uint64_t burst = history.first[lane];

    for (unsigned b = 0; b < n; b++)
        burst += history.burst[lane][b].bursts;
    return burst;
}

static int add_delta(struct ft_closed *set, unsigned lane, unsigned index)
{
    const struct model_burst *b = &history.burst[lane][index];

    chunk_begin((uint16_t)lane, b->cut, model_bursts_to(lane, model_delta_before(lane, index)),
                model_bursts_to(lane, index + 1));
    chunk->flags |= FT_CHUNK_LAST;
    chunk->access = b->access + b->accesses - 1;
    chunk_finish();
    return ft_closed_add_delta(set, chunk);
}

static void build_record(unsigned lane, unsigned index)
{
    const struct model_burst *b = &history.burst[lane][index];

    record_begin((uint16_t)lane, 0, model_bursts_to(lane, index) + 1);
    rec->access = b->access;
    rec->accesses = b->accesses;
    record_add_bytes();
    for (unsigned e = 0; e < b->dependencies; e++)
        record_add_dependency(b->access + e, (uint16_t)b->dependency[e].lane, b->dependency[e].access);
    record_finish();
}

static uint64_t partial; /* times that something held was not inside */

static void compare_cuts(const struct ft_closed *set, const unsigned best[])
{
    uint64_t burst[MODEL_LANES], cut = ft_closed_cut(set, burst);

    for (unsigned l = 0; l < history.lanes; l++) {
        unsigned delta = model_delta_before(l, best[l]);

        assert_int_equal(cut, delta ? history.burst[l][delta - 1].cut : 0);
        assert_int_equal(burst[l], model_bursts_to(l, delta));
    }
}

static void compare(struct ft_closed *set, unsigned last[])
{
    uint64_t burst[MODEL_LANES];
    unsigned best[MODEL_LANES];
    bool moved = false;

    model_greatest(best);
    bool said = ft_closed_compute(set, burst);
    for (unsigned l = 0; l < history.lanes; l++) {
        assert_int_equal(burst[l], model_bursts_to(l, best[l]));
        moved |= best[l] != last[l];
        partial += best[l] < history.held[l];
        last[l] = best[l];
    }
    assert_int_equal(said, moved);
    assert_false(ft_closed_compute(set, burst));
    compare_cuts(set, best);
}

static unsigned left_of_all(void)
{
    unsigned left = 0;

    for (unsigned l = 0; l < history.lanes; l++)
        left += history.count[l] - history.held[l];
    return left;
}

/* Bursts of a history arrive in any relation of the lanes; computed after some of them. */
static void play_history(struct ft_closed *set)
{
    unsigned last[MODEL_LANES] = {0};

    ft_closed_reset(set, history.first, history.access);
    for (unsigned left = left_of_all(); left;) {
        unsigned lane = (unsigned)draw_below(history.lanes);

        if (history.held[lane] == history.count[lane])
            continue;
        if (history.burst[lane][history.held[lane]].cut) {
            assert_int_equal(add_delta(set, lane, history.held[lane]), 0);
        } else {
            build_record(lane, history.held[lane]);
            assert_int_equal(ft_closed_add(set, rec), 0);
        }
        history.held[lane]++;
        left--;
        if (draw_below(3) == 0)
            compare(set, last);
    }
    compare(set, last);
}

static void play_many(void (*draw_history)(void), uint64_t runs)
{
    struct ft_closed *set[MODEL_LANES];

    for (unsigned l = 0; l < MODEL_LANES; l++)
        assert_non_null(set[l] = ft_closed_new(l + 1, PENDING));
    partial = 0;
    for (uint64_t run = 1; run <= runs; run++) {
        draw_seed = run << 32;
        draw_history();
        play_history(set[history.lanes - 1]);
    }
    assert_true(partial > runs);
    for (unsigned l = 0; l < MODEL_LANES; l++)
        ft_closed_free(set[l]);
}

static void arbitrary_histories_agree_with_the_model(void **state)
{
    (void)state;
    play_many(model_draw_arbitrary, 4000);
}

static void histories_that_ran_agree_with_the_model(void **state)
{
    (void)state;
    play_many(model_draw_run, 4000);
}

static void streams_of_segments_agree_with_the_model(void **state)
{
    (void)state;
    play_many(model_draw_segments, 12000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arbitrary_histories_agree_with_the_model),
        cmocka_unit_test(histories_that_ran_agree_with_the_model),
        cmocka_unit_test(streams_of_segments_agree_with_the_model),
    };

    return cmocka_run_group_tests_name("closed_model", tests, NULL, NULL);
}
