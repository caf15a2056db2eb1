/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The closed set against a model that tries all vectors of prefixes and knows nothing of how it is computed:
 * over histories that ran (order between accesses, cycles between bursts), over arbitrary ones, and over
 * streams of segments, where deltas of deltas stand for bursts or follow them.
 */
#include "ftcore/order/closed.h"
#include "tests/unit/help_chunk.h"
#include "tests/unit/help_record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LANES        4
#define BURSTS       6 /* items in a lane's history at most */
#define DEPENDENCIES 4
#define PENDING      8

/* The model: bursts as they were drawn, and how many of each lane are held. */

struct model_dependency {
    unsigned lane;
    uint64_t access;
};

struct model_burst {
    uint64_t access; /* number of its first */
    uint32_t accesses;
    unsigned dependencies;
    struct model_dependency dependency[DEPENDENCIES];
    bool segment;    /* a delta that goes on from what is held, else it tells again what records told */
    uint64_t cut;    /* 0: a burst. Else a delta of that cut … */
    uint64_t bursts; /* … which stands for so many that are not held themselves; of a burst 1 */
};

struct model {
    unsigned lanes;
    uint64_t first[LANES]; /* burst and access number before the history */
    uint64_t access[LANES];
    struct model_burst burst[LANES][BURSTS];
    unsigned count[LANES], held[LANES];
};

static struct model m;

static bool inside(const unsigned end[], unsigned lane, uint64_t access)
{
    if (access <= m.access[lane])
        return true;
    for (unsigned b = 0; b < end[lane]; b++)
        if (access >= m.burst[lane][b].access && access < m.burst[lane][b].access + m.burst[lane][b].accesses)
            return true;
    return false;
}

static bool has_cut(const unsigned end[], unsigned lane, uint64_t cut)
{
    for (unsigned b = 0; b < end[lane]; b++)
        if (m.burst[lane][b].cut == cut)
            return true;
    return false;
}

static bool closed(const unsigned end[])
{
    for (unsigned l = 0; l < m.lanes; l++)
        for (unsigned b = 0; b < end[l]; b++)
            for (unsigned o = 0; o < m.lanes; o++)
                if (m.burst[l][b].cut && !has_cut(end, o, m.burst[l][b].cut))
                    return false;
    for (unsigned l = 0; l < m.lanes; l++)
        for (unsigned b = 0; b < end[l]; b++)
            for (unsigned e = 0; e < m.burst[l][b].dependencies; e++)
                if (!inside(end, m.burst[l][b].dependency[e].lane, m.burst[l][b].dependency[e].access))
                    return false;
    return true;
}

/* All vectors up to what is held, counted through like digits; the largest closed one holds all the others.
 */
static void greatest(unsigned best[])
{
    unsigned end[LANES] = {0}, l;

    memset(best, 0, sizeof(unsigned) * LANES);
    do {
        if (closed(end))
            for (l = 0; l < m.lanes; l++)
                best[l] = end[l] > best[l] ? end[l] : best[l];
        for (l = 0; l < m.lanes && ++end[l] > m.held[l]; l++)
            end[l] = 0;
    } while (l < m.lanes);
    assert_true(closed(best));
}

static void draw_model(void)
{
    memset(&m, 0, sizeof(m));
    m.lanes = 1 + (unsigned)draw_below(LANES);
    for (unsigned l = 0; l < m.lanes; l++) {
        m.first[l] = draw_below(2) ? 0 : draw() >> 8;
        m.access[l] = draw_below(2) ? 0 : draw() >> 8;
        m.count[l] = BURSTS;
        for (unsigned b = 0; b < BURSTS; b++)
            m.burst[l][b].bursts = 1;
    }
}

/* Any dependencies whatever, most of them to accesses near what the other lane's history has. */
static void draw_arbitrary(void)
{
    draw_model();
    for (unsigned l = 0; l < m.lanes; l++) {
        uint64_t access = m.access[l] + 1;

        for (unsigned b = 0; b < BURSTS; b++) {
            struct model_burst *burst = &m.burst[l][b];

            burst->access = access;
            burst->accesses = (uint32_t)draw_below(4);
            access += burst->accesses;
            for (unsigned e = 0; m.lanes > 1 && e < burst->accesses; e++) {
                unsigned lane = (l + 1 + (unsigned)draw_below(m.lanes - 1)) % m.lanes;
                uint64_t near = m.access[lane] + b * 2 + draw_below(4);

                if (draw_below(3) == 0)
                    burst->dependency[burst->dependencies++] =
                        (struct model_dependency){lane, draw_below(8)   ? near
                                                        : draw_below(2) ? 0
                                                                        : draw()};
            }
        }
    }
}

/*
 * A run: lanes take turns at entering shared objects, and end their bursts when they like. So bursts depend
 * on each other in circles, as they do when two lanes hand an object to and fro.
 */
static void draw_run(void)
{
    struct {
        unsigned lane;
        uint64_t access;
    } object[3];
    unsigned burst[LANES] = {0};
    uint64_t access[LANES];

    draw_model();
    for (unsigned i = 0; i < 3; i++)
        object[i].lane = LANES;
    for (unsigned l = 0; l < m.lanes; l++) {
        access[l] = m.access[l];
        m.burst[l][0].access = access[l] + 1;
    }
    for (unsigned steps = 0; steps < 60; steps++) {
        unsigned l = (unsigned)draw_below(m.lanes), o = (unsigned)draw_below(3);
        struct model_burst *b = &m.burst[l][burst[l]];

        if (burst[l] == BURSTS - 1)
            continue;
        if (draw_below(3) == 0 || b->dependencies == DEPENDENCIES) {
            m.burst[l][++burst[l]].access = access[l] + 1;
            continue;
        }
        access[l]++;
        b->accesses++;
        if (object[o].lane != l && object[o].lane != LANES)
            b->dependency[b->dependencies++] = (struct model_dependency){object[o].lane, object[o].access};
        object[o].lane = l;
        object[o].access = access[l];
    }
    for (unsigned l = 0; l < m.lanes; l++)
        while (burst[l] < BURSTS - 1)
            m.burst[l][++burst[l]].access = access[l] + 1;
}

/* Near what the other lane's history has, mostly. */
static void draw_dependencies(unsigned lane, struct model_burst *burst, uint64_t steps)
{
    for (unsigned e = 0; m.lanes > 1 && e < burst->accesses; e++) {
        unsigned to = (lane + 1 + (unsigned)draw_below(m.lanes - 1)) % m.lanes;

        if (draw_below(3) == 0)
            burst->dependency[burst->dependencies++] = (struct model_dependency){
                to, m.access[to] + draw_below(steps + 3) + (draw_below(16) ? 0 : draw())};
    }
}

/*
 * A stream of segments, all lanes changing the kind at the same cuts: log segments, whose bursts a delta may
 * follow (a checkpoint), and delta segments, a delta that stands for bursts of its own, or for none.
 */
static void draw_segments(void)
{
    uint64_t access[LANES], cut = 0, steps = 0;
    bool room = true;

    draw_model();
    memcpy(access, m.access, sizeof(access));
    memset(m.count, 0, sizeof(m.count));
    memset(m.burst, 0, sizeof(m.burst));
    while (room) {
        bool log = draw_below(2), delta = !log || draw_below(2);

        cut += delta;
        for (unsigned l = 0; l < m.lanes; l++) {
            unsigned bursts = log ? (unsigned)draw_below(3) : 0;

            for (; bursts && m.count[l] < BURSTS - 1; bursts--) {
                struct model_burst *b = &m.burst[l][m.count[l]++];

                *b = (struct model_burst){
                    .access = access[l] + 1, .accesses = (uint32_t)draw_below(4), .bursts = 1};
                access[l] += b->accesses;
                draw_dependencies(l, b, steps + b->accesses);
            }
            if (delta) {
                struct model_burst *b = &m.burst[l][m.count[l]++];

                *b = (struct model_burst){.access = access[l] + 1, .cut = cut, .segment = !log};
                b->bursts = log ? 0 : draw_below(4);
                b->accesses = b->bursts ? (uint32_t)draw_below(4) : 0;
                access[l] += b->accesses;
            }
        }
        steps += 3;
        for (unsigned l = 0; l < m.lanes; l++)
            room &= m.count[l] < BURSTS - 1;
        room &= draw_below(8) != 0;
    }
}

/* Bursts up to and with the first `n` items of a lane. */
static uint64_t bursts_to(unsigned lane, unsigned n)
{
    uint64_t burst = m.first[lane];

    for (unsigned b = 0; b < n; b++)
        burst += m.burst[lane][b].bursts;
    return burst;
}

/* The last delta among the first `n` items: how many items up to it, 0 when there is none. */
static unsigned delta_before(unsigned lane, unsigned n)
{
    while (n && !m.burst[lane][n - 1].cut)
        n--;
    return n;
}

static int add_delta(struct ft_closed *set, unsigned lane, unsigned index)
{
    const struct model_burst *b = &m.burst[lane][index];

    chunk_begin((uint16_t)lane, b->cut, bursts_to(lane, b->segment ? index : delta_before(lane, index)),
                bursts_to(lane, index + 1));
    chunk->flags |= FT_CHUNK_LAST;
    chunk->access = b->access + b->accesses - 1;
    chunk_finish();
    return ft_closed_add_delta(set, chunk);
}

static void build(unsigned lane, unsigned index)
{
    const struct model_burst *b = &m.burst[lane][index];

    record_begin((uint16_t)lane, 0, bursts_to(lane, index) + 1);
    rec->access = b->access;
    rec->accesses = b->accesses;
    record_add_bytes();
    for (unsigned e = 0; e < b->dependencies; e++)
        record_add_dependency(b->access + e, (uint16_t)b->dependency[e].lane, b->dependency[e].access);
    record_finish();
}

/* Up to which burst the deltas among the first `n` items tell everything. */
static uint64_t covered_by(unsigned lane, unsigned n)
{
    unsigned end = 0; /* items that deltas tell everything of */

    for (unsigned i = 0; i < n; i++) {
        const struct model_burst *b = &m.burst[lane][i];
        unsigned from = b->segment ? i : delta_before(lane, i);

        if (b->cut && bursts_to(lane, from) <= bursts_to(lane, end))
            end = i + 1;
    }
    return bursts_to(lane, end);
}

static uint64_t partial; /* times that something held was not inside */

static void compare_cuts(const struct ft_closed *set, const unsigned best[])
{
    uint64_t burst[LANES], cut = ft_closed_cut(set, burst);

    for (unsigned l = 0; l < m.lanes; l++) {
        unsigned delta = delta_before(l, best[l]);

        assert_int_equal(cut, delta ? m.burst[l][delta - 1].cut : 0);
        assert_int_equal(burst[l], covered_by(l, best[l]));
    }
}

static bool compare(struct ft_closed *set, unsigned last[])
{
    uint64_t burst[LANES];
    unsigned best[LANES];
    bool moved = false;

    greatest(best);
    bool said = ft_closed_compute(set, burst);
    for (unsigned l = 0; l < m.lanes; l++) {
        assert_int_equal(burst[l], bursts_to(l, best[l]));
        moved |= best[l] != last[l];
        partial += best[l] < m.held[l];
        last[l] = best[l];
    }
    assert_int_equal(said, moved);
    assert_false(ft_closed_compute(set, burst));
    compare_cuts(set, best);
    return moved;
}

static unsigned left_of_all(void)
{
    unsigned left = 0;

    for (unsigned l = 0; l < m.lanes; l++)
        left += m.count[l] - m.held[l];
    return left;
}

/* Bursts of a history arrive in any relation of the lanes; computed after some of them. */
static void play(struct ft_closed *set)
{
    unsigned last[LANES] = {0};

    ft_closed_reset(set, m.first, m.access);
    for (unsigned left = left_of_all(); left;) {
        unsigned lane = (unsigned)draw_below(m.lanes);

        if (m.held[lane] == m.count[lane])
            continue;
        if (m.burst[lane][m.held[lane]].cut) {
            assert_int_equal(add_delta(set, lane, m.held[lane]), 0);
        } else {
            build(lane, m.held[lane]);
            assert_int_equal(ft_closed_add(set, rec), 0);
        }
        m.held[lane]++;
        left--;
        if (draw_below(3) == 0)
            compare(set, last);
    }
    compare(set, last);
}

static void play_many(void (*draw_history)(void), uint64_t runs)
{
    struct ft_closed *set[LANES];

    for (unsigned l = 0; l < LANES; l++)
        assert_non_null(set[l] = ft_closed_new(l + 1, PENDING));
    partial = 0;
    for (uint64_t run = 1; run <= runs; run++) {
        draw_seed = run << 32;
        draw_history();
        play(set[m.lanes - 1]);
    }
    assert_true(partial > runs);
    for (unsigned l = 0; l < LANES; l++)
        ft_closed_free(set[l]);
}

static void test_arbitrary(void **state)
{
    (void)state;
    play_many(draw_arbitrary, 4000);
}

static void test_runs(void **state)
{
    (void)state;
    play_many(draw_run, 4000);
}

static void test_segments(void **state)
{
    (void)state;
    play_many(draw_segments, 12000);
}

/* By hand. */

static int add(struct ft_closed *set, uint16_t lane, uint64_t burst, uint64_t access, uint32_t accesses,
               int to, uint64_t needs)
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

static void computed(struct ft_closed *set, bool moved, uint64_t first, uint64_t second)
{
    uint64_t burst[2];

    assert_int_equal(ft_closed_compute(set, burst), moved);
    assert_int_equal(burst[0], first);
    assert_int_equal(burst[1], second);
}

/* Two bursts that need each other are inside together or not at all. */
static void test_circle(void **state)
{
    (void)state;
    struct ft_closed *set = ft_closed_new(2, PENDING);

    computed(set, false, 0, 0);
    assert_int_equal(add(set, 0, 1, 1, 2, 1, 1), 0);
    computed(set, false, 0, 0);
    assert_int_equal(add(set, 1, 1, 1, 2, 0, 2), 0);
    computed(set, true, 1, 1);
    computed(set, false, 1, 1);
    ft_closed_free(set);
}

/* A dependency on an access two bursts ahead of what is held. */
static void test_ahead(void **state)
{
    (void)state;
    struct ft_closed *set = ft_closed_new(2, PENDING);

    assert_int_equal(add(set, 0, 1, 1, 1, 1, 25), 0);
    assert_int_equal(add(set, 0, 2, 2, 0, -1, 0), 0);
    assert_int_equal(add(set, 1, 1, 1, 10, -1, 0), 0);
    computed(set, true, 0, 1);
    assert_int_equal(add(set, 1, 2, 11, 14, -1, 0), 0);
    computed(set, true, 0, 2);
    assert_int_equal(add(set, 1, 3, 25, 1, -1, 0), 0);
    computed(set, true, 2, 3);
    ft_closed_free(set);
}

static void test_full(void **state)
{
    (void)state;
    struct ft_closed *set = ft_closed_new(2, PENDING);

    for (uint64_t b = 1; b <= PENDING; b++)
        assert_int_equal(add(set, 0, b, b, 1, b == 5 ? 1 : -1, 1), 0);
    assert_int_equal(add(set, 0, PENDING + 1, PENDING + 1, 1, -1, 0), FT_EFULL);
    /* What is inside makes room, the other lane was never full, and the order goes on where it was. */
    computed(set, true, 4, 0);
    for (uint64_t b = PENDING + 1; b <= PENDING + 4; b++)
        assert_int_equal(add(set, 0, b, b, 1, -1, 0), 0);
    assert_int_equal(add(set, 0, PENDING + 5, PENDING + 5, 1, -1, 0), FT_EFULL);
    assert_int_equal(add(set, 1, 1, 1, 1, -1, 0), 0);
    computed(set, true, PENDING + 4, 1);
    ft_closed_free(set);
}

static void test_order(void **state)
{
    (void)state;
    static const uint64_t burst[] = {10, 20}, access[] = {100, 200};
    struct ft_closed *set = ft_closed_new(2, PENDING);

    assert_int_equal(add(set, 0, 2, 1, 0, -1, 0), FT_EORDER);
    assert_int_equal(add(set, 0, 1, 1, 0, -1, 0), 0);
    assert_int_equal(add(set, 0, 1, 1, 0, -1, 0), FT_EORDER);
    ft_closed_reset(set, burst, access);
    computed(set, false, 10, 20);
    assert_int_equal(add(set, 0, 10, 101, 0, -1, 0), FT_EORDER);
    assert_int_equal(add(set, 0, 12, 101, 0, -1, 0), FT_EORDER);
    assert_int_equal(add(set, 0, 11, 102, 1, -1, 0), FT_EORDER);
    assert_int_equal(add(set, 0, 11, 100, 1, -1, 0), FT_EORDER);
    assert_int_equal(add(set, 0, 11, 101, 1, 1, 200), 0);
    assert_int_equal(add(set, 0, 12, 103, 1, -1, 0), FT_EORDER);
    assert_int_equal(add(set, 0, 12, 102, 1, 1, 201), 0);
    computed(set, true, 11, 20);
    /* After what was forgotten, numbers go on too. */
    assert_int_equal(add(set, 0, 12, 102, 1, -1, 0), FT_EORDER);
    assert_int_equal(add(set, 0, 13, 103, 1, -1, 0), 0);
    ft_closed_free(set);
}

static int delta(struct ft_closed *set, uint16_t lane, uint64_t cut, uint64_t from, uint64_t burst,
                 uint64_t access)
{
    chunk_begin(lane, cut, from, burst);
    chunk->flags |= FT_CHUNK_LAST;
    chunk->access = access;
    chunk_finish();
    return ft_closed_add_delta(set, chunk);
}

/* Of a checkpoint whose chunks come between records: its first chunk, or its last. */
static bool incremental_fits(struct ft_closed *set, uint64_t cut, uint64_t from, uint64_t burst,
                             uint64_t access, uint32_t number, bool add_it)
{
    chunk_begin(0, cut, from, burst);
    chunk->flags |= FT_CHUNK_INCREMENTAL | FT_CHUNK_LAST;
    chunk->access = access;
    chunk->number = number;
    chunk_finish();
    return add_it ? ft_closed_add_delta(set, chunk) == 0 : ft_closed_fits(set, chunk) == 0;
}

static void test_incremental_checkpoint(void **state)
{
    static const uint64_t burst[] = {10, 20}, access[] = {100, 200};
    struct ft_closed *set = ft_closed_new(2, PENDING);
    uint64_t at[2];

    (void)state;
    ft_closed_reset(set, burst, access);
    assert_int_equal(add(set, 0, 11, 101, 1, -1, 0), 0);
    assert_false(incremental_fits(set, 1, 10, 10, 100, 0, false)); /* it begins behind all that is held … */
    assert_false(incremental_fits(set, 1, 10, 11, 100, 0, false));
    assert_false(
        incremental_fits(set, 1, 11, 11, 101, 0, false)); /* … and at the delta before it, or the snapshot */
    assert_true(incremental_fits(set, 1, 10, 11, 101, 0, false));
    assert_int_equal(add(set, 0, 12, 102, 1, -1, 0), 0);
    computed(set, true, 12, 20); /* what comes between its chunks does not wait for it */
    assert_false(incremental_fits(set, 1, 10, 13, 103, 3, true));
    assert_false(incremental_fits(set, 1, 9, 11, 101, 3, true));
    assert_false(incremental_fits(set, 2, 10, 11, 101, 3, true));
    assert_true(incremental_fits(set, 1, 10, 11, 101, 3, true));
    assert_int_equal(add(set, 0, 13, 103, 1, -1, 0), 0);
    computed(set, false, 12, 20); /* what comes behind its last one waits for the other lane's */
    assert_int_equal(ft_closed_cut(set, at), 0);
    assert_int_equal(delta(set, 1, 1, 20, 20, 200), 0);
    computed(set, true, 13, 20);
    assert_int_equal(ft_closed_cut(set, at), 1);
    assert_int_equal(at[0], 11); /* burst 12 is not covered */
    assert_int_equal(at[1], 20);
    assert_true(incremental_fits(set, 2, 11, 13, 103, 0, false)); /* the next goes on from there */
    ft_closed_free(set);
}

static void test_delta_order(void **state)
{
    static const uint64_t burst[] = {10, 20}, access[] = {100, 200};
    struct ft_closed *set = ft_closed_new(2, PENDING);
    uint64_t at[2];

    (void)state;
    ft_closed_reset(set, burst, access);
    assert_int_equal(ft_closed_cut(set, at), 0);
    assert_int_equal(at[1], 20);
    assert_int_equal(delta(set, 2, 1, 10, 10, 100), FT_EMALFORMED);
    assert_int_equal(delta(set, 0, 0, 10, 15, 110), FT_EORDER); /* cuts begin with 1 */
    assert_int_equal(delta(set, 0, 2, 10, 15, 110), FT_EORDER);
    assert_int_equal(delta(set, 0, 1, 9, 15, 110), FT_EORDER); /* another snapshot */
    assert_int_equal(delta(set, 0, 1, 11, 15, 110), FT_EORDER);
    assert_int_equal(delta(set, 0, 1, 10, 15, 99), FT_EORDER); /* accesses go back */
    assert_int_equal(delta(set, 0, 1, 10, 15, 110), 0);
    computed(set, false, 10, 20); /* one lane's delta alone is nothing */
    assert_int_equal(delta(set, 0, 1, 10, 15, 110), FT_EORDER);
    assert_int_equal(add(set, 0, 17, 111, 1, -1, 0), FT_EORDER);
    assert_int_equal(add(set, 0, 16, 112, 1, -1, 0), FT_EORDER);
    assert_int_equal(add(set, 0, 16, 111, 1, 1, 207), 0);       /* a log segment follows */
    assert_int_equal(delta(set, 0, 2, 15, 15, 111), FT_EORDER); /* a checkpoint without its burst */
    assert_int_equal(delta(set, 0, 2, 15, 17, 111), FT_EORDER); /* … with one that is not held */
    assert_int_equal(delta(set, 0, 2, 15, 16, 112), FT_EORDER);
    assert_int_equal(delta(set, 0, 2, 16, 16, 110),
                     FT_EORDER); /* a delta segment after it: accesses go back */
    assert_int_equal(delta(set, 0, 2, 15, 16, 111), 0);
    assert_int_equal(delta(set, 1, 1, 20, 25, 206), 0);
    computed(set, true, 15, 25); /* burst 16 needs access 207 of the other lane */
    assert_int_equal(ft_closed_cut(set, at), 1);
    assert_int_equal(add(set, 1, 26, 207, 1, -1, 0), 0);
    computed(set, true, 16, 26); /* and its checkpoint waits */
    assert_int_equal(ft_closed_cut(set, at), 1);
    assert_int_equal(delta(set, 1, 2, 25, 26, 207), 0);
    computed(set, true, 16, 26);
    assert_int_equal(ft_closed_cut(set, at), 2);
    assert_int_equal(at[0], 16);
    assert_int_equal(at[1], 26);
    /* Lanes that did nothing. */
    assert_int_equal(delta(set, 0, 3, 16, 16, 111), 0);
    assert_int_equal(delta(set, 1, 3, 26, 26, 207), 0);
    computed(set, true, 16, 26);
    assert_int_equal(ft_closed_cut(set, at), 3);
    for (uint64_t c = 4; c < 4 + PENDING; c++)
        assert_int_equal(delta(set, 0, c, 16, 16, 111), 0);
    assert_int_equal(delta(set, 0, 4 + PENDING, 16, 16, 111), FT_EFULL);
    /* A delta segment after a log segment that no checkpoint told of: its records are needed. */
    ft_closed_reset(set, burst, access);
    assert_int_equal(add(set, 0, 11, 101, 1, -1, 0), 0);
    assert_int_equal(delta(set, 0, 1, 11, 13, 110), 0);
    assert_int_equal(delta(set, 1, 1, 20, 22, 210), 0);
    computed(set, true, 13, 22);
    assert_int_equal(ft_closed_cut(set, at), 1);
    assert_int_equal(at[0], 10);
    assert_int_equal(at[1], 22);
    /* A new snapshot forgets all of it. */
    ft_closed_reset(set, burst, access);
    assert_int_equal(ft_closed_cut(set, at), 0);
    assert_int_equal(delta(set, 0, 1, 10, 12, 100), 0);
    assert_int_equal(delta(set, 1, 1, 20, 20, 200), 0);
    computed(set, true, 12, 20);
    ft_closed_free(set);
}

static void test_impossible_lanes(void **state)
{
    (void)state;
    struct ft_closed *set = ft_closed_new(2, PENDING);

    assert_int_equal(add(set, 2, 1, 1, 1, -1, 0), FT_EMALFORMED);
    assert_int_equal(add(set, FT_LANES_MAX, 1, 1, 1, -1, 0), FT_EMALFORMED);
    assert_int_equal(add(set, 0, 1, 1, 1, 2, 1), FT_EMALFORMED);
    assert_int_equal(add(set, 0, 1, 1, 1, 0, 1), FT_EMALFORMED);
    /* Nothing of what was refused remains. */
    assert_int_equal(add(set, 0, 1, 1, 1, -1, 0), 0);
    computed(set, true, 1, 0);
    ft_closed_free(set);
}

/* A long tail that waits for one access, cut in the middle again and again. */
static void test_long_tail(void **state)
{
    (void)state;
    struct ft_closed *set = ft_closed_new(2, 50000);

    for (uint64_t b = 1; b <= 50000; b++)
        assert_int_equal(add(set, 0, b, b, 1, 1, b), 0);
    for (uint64_t b = 1; b <= 500; b++) {
        assert_int_equal(add(set, 1, b, (b - 1) * 100 + 1, 100, -1, 0), 0);
        computed(set, true, b * 100, b);
    }
    ft_closed_free(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arbitrary),
        cmocka_unit_test(test_runs),
        cmocka_unit_test(test_circle),
        cmocka_unit_test(test_ahead),
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_long_tail),
        cmocka_unit_test(test_impossible_lanes),
        cmocka_unit_test(test_segments),
        cmocka_unit_test(test_delta_order),
        cmocka_unit_test(test_incremental_checkpoint),
    };

    return cmocka_run_group_tests_name("closed", tests, NULL, NULL);
}
