/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of lines, against an array of bytes that nobody can get wrong; and an adder against a taker,
 * in every order of their steps. */
#include "tests/help/test.h"

#include <stdatomic.h>

static void at_a_step(void);
#undef atomic_load
#undef atomic_load_explicit
#undef atomic_fetch_or
#undef atomic_fetch_and
#undef atomic_fetch_and_explicit
#define atomic_load(at)                            (at_a_step(), __atomic_load_n(at, __ATOMIC_SEQ_CST))
#define atomic_load_explicit(at, order)            (at_a_step(), __atomic_load_n(at, order))
#define atomic_fetch_or(at, bits)                  (at_a_step(), __atomic_fetch_or(at, bits, __ATOMIC_SEQ_CST))
#define atomic_fetch_and(at, bits)                 (at_a_step(), __atomic_fetch_and(at, bits, __ATOMIC_SEQ_CST))
#define atomic_fetch_and_explicit(at, bits, order) (at_a_step(), __atomic_fetch_and(at, bits, order))

#include "ftcore/region/lines.c"
#include "tests/help/program.h"

#include <ucontext.h>

#define LINES 20011u /* a few summary words, and a last word that is not full */

static uint64_t drawn = 0x9e3779b97f4a7c15u;

static uint64_t draw(uint64_t below)
{
    drawn ^= drawn << 13;
    drawn ^= drawn >> 7;
    drawn ^= drawn << 17;
    return drawn % below;
}

static struct ft_line_range find_in(const uint8_t *model, uint64_t from, uint64_t to, uint64_t max)
{
    struct ft_line_range run = {0};

    while (from < to && !model[from])
        from++;
    while (from + run.count < to && run.count < max && model[from + run.count])
        run.count++;
    if (run.count)
        run.line = from;
    return run;
}

static uint64_t count_in(const uint8_t *model, uint64_t from, uint64_t to)
{
    uint64_t count = 0;

    for (; from < to; from++)
        count += model[from];
    return count;
}

static void same_run(struct ft_line_range got, struct ft_line_range want)
{
    assert_int_equal(got.count, want.count);
    if (want.count)
        assert_int_equal(got.line, want.line);
}

/* One random operation on both; sizes from single lines to thousands. */
static void step(struct ft_lines *set, uint8_t *model)
{
    uint64_t from = draw(LINES), length = draw(1ull << draw(14)), max = draw(4) ? 1 + draw(300) : UINT64_MAX;
    uint64_t to = from + length < LINES ? from + length : LINES;
    struct ft_line_range run;

    switch (draw(6)) {
    case 0:
        if (draw(2))
            ft_lines_add(set, from, to - from);
        else
            ft_lines_add_alone(set, from, to - from);
        memset(model + from, 1, to - from);
        break;
    case 1:
        assert_int_equal(ft_lines_claim(set, from), model[from]);
        model[from] = 0;
        break;
    case 2:
        assert_int_equal(ft_lines_has(set, from), model[from]);
        assert_int_equal(ft_lines_marked(set, from), model[from]);
        assert_int_equal(ft_lines_marked(set, from + (1ull << 39)), model[from]); /* as an address tells it */
        break;
    case 3:
        same_run(ft_lines_find(set, from, to, max), find_in(model, from, to, max));
        break;
    case 4:
        run = ft_lines_take(set, from, to, max);
        same_run(run, find_in(model, from, to, max));
        memset(model + run.line, 0, run.count);
        break;
    case 5:
        assert_int_equal(ft_lines_count(set, from, to), count_in(model, from, to));
        break;
    }
}

TEST(behaves_like_an_array)
{
    static uint8_t model[LINES];
    struct ft_lines set;

    assert_int_equal(ft_lines_init(&set, LINES), 0);
    for (unsigned i = 0; i < 60000; i++) {
        step(&set, model);
        if (i % 20000 == 19999) {
            assert_int_equal(ft_lines_count(&set, 0, LINES), count_in(model, 0, LINES));
            ft_lines_clear(&set);
            memset(model, 0, sizeof(model));
            assert_int_equal(ft_lines_count(&set, 0, LINES), 0);
        }
    }
    ft_lines_free(&set);
}

/* Of this process, of 4 KiB. */
static uint64_t resident_pages(void)
{
    unsigned long size, resident;
    FILE *f = fopen("/proc/self/statm", "r");

    assert_non_null(f);
    assert_int_equal(fscanf(f, "%lu %lu", &size, &resident), 2);
    fclose(f);
    return resident;
}

/* 64 GiB worth of lines: 128 MiB of bits, of which a page and its summary are used. */
TEST(what_is_not_used_is_not_there)
{
    uint64_t lines = 1ull << 30, before = resident_pages();
    struct ft_lines set;

    assert_int_equal(ft_lines_init(&set, lines), 0);
    ft_lines_add(&set, lines - 1, 1);
    same_run(ft_lines_find(&set, 0, lines, 2), (struct ft_line_range){lines - 1, 1});
    assert_int_equal(ft_lines_count(&set, 0, lines), 1);
    ft_lines_clear(&set);
    /* A page each, or a huge one where the system makes them unasked; and what the test itself touched. */
    assert_true(resident_pages() <= before + 3 * 512);
    ft_lines_free(&set);
}

TEST(too_many_lines_are_refused)
{
    struct ft_lines set;

    assert_int_equal(ft_lines_init(&set, 1ull << 60), FT_ENOMEM);
    assert_int_equal(ft_lines_init(&set, UINT64_MAX), FT_ENOMEM);
    ft_lines_free(&set);
}

static void add_beyond(void *set)
{
    ft_lines_add(set, 99, 2);
}

static void find_beyond(void *set)
{
    ft_lines_find(set, 0, 101, 1);
}

TEST(out_of_range_is_a_broken_invariant)
{
    struct ft_lines set;

    assert_int_equal(ft_lines_init(&set, 100), 0);
    assert_dies(add_beyond, &set, "adding 2 lines at 99 to a set of 100");
    assert_dies(find_beyond, &set, "lines 0 to 101 of a set of 100");
    ft_lines_free(&set);
}

/* ---- every order of two at work ---- */

#define STEPS 32u /* more than an adder and a taker have in all */

static struct ft_lines shared;
static ucontext_t scheduler, worker[2];
static char stack[2][64 * 1024];
static bool over[2], turns[STEPS],
    free_to[STEPS]; /* who goes on at each step; whether the other one might have */
static unsigned steps, taken;
static int at_work = -1;

/* Before each atomic operation of who is at work the other one may go on. */
static void at_a_step(void)
{
    if (at_work >= 0)
        swapcontext(&worker[at_work], &scheduler);
}

static void add_the_other(void)
{
    ft_lines_add(&shared, 63, 1);
    over[0] = true;
}

static void take_one(void)
{
    taken += (unsigned)ft_lines_take(&shared, 0, 64, 1).count;
    over[1] = true;
}

/* An adder of line 63 and a taker, while line 0 is there. What is left is found. */
static void run_in_this_order(void)
{
    void (*const work[])(void) = {add_the_other, take_one};

    assert_int_equal(ft_lines_init(&shared, 64), 0);
    ft_lines_add(&shared, 0, 1);
    taken = steps = 0;
    for (unsigned i = 0; i < 2; i++) {
        getcontext(&worker[i]);
        worker[i].uc_stack = (stack_t){.ss_sp = stack[i], .ss_size = sizeof(stack[i])};
        worker[i].uc_link = &scheduler;
        over[i] = false;
        makecontext(&worker[i], work[i], 0);
    }
    while (!over[0] || !over[1]) {
        assert_true(steps < STEPS);
        free_to[steps] = !over[0] && !over[1];
        if (!free_to[steps])
            turns[steps] = over[0];
        at_work = turns[steps++];
        swapcontext(&scheduler, &worker[at_work]);
        at_work = -1;
    }
    taken += (unsigned)ft_lines_take(&shared, 0, 64, 1).count;
    taken += (unsigned)ft_lines_take(&shared, 0, 64, 1).count;
    assert_int_equal(taken, 2);
    ft_lines_free(&shared);
}

TEST(a_word_emptied_and_filled_at_once_is_found)
{
    unsigned orders = 0;

    memset(turns, 0, sizeof(turns));
    do {
        run_in_this_order();
        orders++;
        while (steps && (turns[steps - 1] || !free_to[steps - 1]))
            turns[--steps] = false;
        if (steps)
            turns[steps - 1] = true;
    } while (steps);
    assert_true(orders > 50);
}
