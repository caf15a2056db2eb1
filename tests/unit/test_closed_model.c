/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The closed set against a model that tries all vectors of prefixes and knows nothing of how it is computed:
 * over histories that ran (order between accesses, cycles between bursts), over arbitrary ones, and over
 * streams of segments, where deltas of deltas stand for bursts or follow them.
 */
#include "ftcore/order/closed.h"
#include "tests/help/record.h"
#include "tests/help/test.h"

/*
 * For tests of the closed set: a model of it that tries all vectors of prefixes and knows nothing of how it
 * is computed, and seeded histories of lanes. One at a time.
 */

#define MODEL_LANES        4
#define MODEL_BURSTS       6 /* items in a lane's history at most */
#define MODEL_DEPENDENCIES 4

struct model_dependency {
    unsigned lane;
    uint64_t access;
};

struct model_burst {
    uint64_t access; /* number of its first */
    uint32_t accesses;
    unsigned dependencies;
    struct model_dependency dependency[MODEL_DEPENDENCIES];
    uint64_t cut;    /* 0: a burst, else a delta of that cut */
    uint64_t bursts; /* how many bursts a delta stands for that are not held themselves; of a burst 1 */
};

struct model {
    unsigned lanes;
    uint64_t first[MODEL_LANES]; /* burst and access number before the history */
    uint64_t access[MODEL_LANES];
    struct model_burst burst[MODEL_LANES][MODEL_BURSTS];
    unsigned count[MODEL_LANES], held[MODEL_LANES];
};

/* The history as it was drawn, and how many items of each lane are held. */
static struct model history;

static bool inside(const unsigned end[], unsigned lane, uint64_t access)
{
    if (access <= history.access[lane])
        return true;
    for (unsigned b = 0; b < end[lane]; b++)
        if (access >= history.burst[lane][b].access &&
            access < history.burst[lane][b].access + history.burst[lane][b].accesses)
            return true;
    return false;
}

static bool has_cut(const unsigned end[], unsigned lane, uint64_t cut)
{
    for (unsigned b = 0; b < end[lane]; b++)
        if (history.burst[lane][b].cut == cut)
            return true;
    return false;
}

static bool burst_may_be_inside(const unsigned end[], const struct model_burst *b)
{
    for (unsigned o = 0; b->cut && o < history.lanes; o++)
        if (!has_cut(end, o, b->cut))
            return false;
    for (unsigned e = 0; e < b->dependencies; e++)
        if (!inside(end, b->dependency[e].lane, b->dependency[e].access))
            return false;
    return true;
}

static bool closed(const unsigned end[])
{
    for (unsigned l = 0; l < history.lanes; l++)
        for (unsigned b = 0; b < end[l]; b++)
            if (!burst_may_be_inside(end, &history.burst[l][b]))
                return false;
    return true;
}

/* All vectors up to what is held, counted through like digits; the largest closed one holds all the others.
 */
static void model_greatest(unsigned best[])
{
    unsigned end[MODEL_LANES] = {0}, l;

    memset(best, 0, sizeof(unsigned) * MODEL_LANES);
    do {
        if (closed(end))
            for (l = 0; l < history.lanes; l++)
                best[l] = end[l] > best[l] ? end[l] : best[l];
        for (l = 0; l < history.lanes && ++end[l] > history.held[l]; l++)
            end[l] = 0;
    } while (l < history.lanes);
    assert_true(closed(best));
}

static void draw_model(void)
{
    memset(&history, 0, sizeof(history));
    history.lanes = 1 + (unsigned)draw_below(MODEL_LANES);
    for (unsigned l = 0; l < history.lanes; l++) {
        history.first[l] = draw_below(2) ? 0 : draw() >> 8;
        history.access[l] = draw_below(2) ? 0 : draw() >> 8;
        history.count[l] = MODEL_BURSTS;
        for (unsigned b = 0; b < MODEL_BURSTS; b++)
            history.burst[l][b].bursts = 1;
    }
}

/* Any dependencies whatever, most of them to accesses near what the other lane's history has. */
static void model_draw_arbitrary(void)
{
    draw_model();
    for (unsigned l = 0; l < history.lanes; l++) {
        uint64_t access = history.access[l] + 1;

        for (unsigned b = 0; b < MODEL_BURSTS; b++) {
            struct model_burst *burst = &history.burst[l][b];

            burst->access = access;
            burst->accesses = (uint32_t)draw_below(4);
            access += burst->accesses;
            for (unsigned e = 0; history.lanes > 1 && e < burst->accesses; e++) {
                unsigned lane = (l + 1 + (unsigned)draw_below(history.lanes - 1)) % history.lanes;
                uint64_t near = history.access[lane] + b * 2 + draw_below(4);

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
 * on each other in cycles, as they do when two lanes hand an object to and fro.
 */
static void model_draw_run(void)
{
    struct {
        unsigned lane;
        uint64_t access;
    } object[3];
    unsigned burst[MODEL_LANES] = {0};
    uint64_t access[MODEL_LANES];

    draw_model();
    for (unsigned i = 0; i < 3; i++)
        object[i].lane = MODEL_LANES;
    for (unsigned l = 0; l < history.lanes; l++) {
        access[l] = history.access[l];
        history.burst[l][0].access = access[l] + 1;
    }
    for (unsigned steps = 0; steps < 60; steps++) {
        unsigned l = (unsigned)draw_below(history.lanes), o = (unsigned)draw_below(3);
        struct model_burst *b = &history.burst[l][burst[l]];

        if (burst[l] == MODEL_BURSTS - 1)
            continue;
        if (draw_below(3) == 0 || b->dependencies == MODEL_DEPENDENCIES) {
            history.burst[l][++burst[l]].access = access[l] + 1;
            continue;
        }
        access[l]++;
        b->accesses++;
        if (object[o].lane != l && object[o].lane != MODEL_LANES)
            b->dependency[b->dependencies++] = (struct model_dependency){object[o].lane, object[o].access};
        object[o].lane = l;
        object[o].access = access[l];
    }
    for (unsigned l = 0; l < history.lanes; l++)
        while (burst[l] < MODEL_BURSTS - 1)
            history.burst[l][++burst[l]].access = access[l] + 1;
}

/* Near what the other lane's history has, mostly. */
static void draw_dependencies(unsigned lane, struct model_burst *burst, uint64_t steps)
{
    for (unsigned e = 0; history.lanes > 1 && e < burst->accesses; e++) {
        unsigned to = (lane + 1 + (unsigned)draw_below(history.lanes - 1)) % history.lanes;

        if (draw_below(3) == 0)
            burst->dependency[burst->dependencies++] = (struct model_dependency){
                to, history.access[to] + draw_below(steps + 3) + (draw_below(16) ? 0 : draw())};
    }
}

/*
 * A stream of segments of one kind: log segments, whose bursts a delta may follow (a checkpoint), or delta
 * segments, a delta that stands for bursts of its own, or for none.
 */
static void model_draw_segments(void)
{
    uint64_t access[MODEL_LANES], cut = 0, steps = 0;
    bool room = true, log;

    draw_model();
    log = draw_below(2);
    memcpy(access, history.access, sizeof(access));
    memset(history.count, 0, sizeof(history.count));
    memset(history.burst, 0, sizeof(history.burst));
    while (room) {
        bool delta = !log || draw_below(2);

        cut += delta;
        for (unsigned l = 0; l < history.lanes; l++) {
            unsigned bursts = log ? (unsigned)draw_below(3) : 0;

            for (; bursts && history.count[l] < MODEL_BURSTS - 1; bursts--) {
                struct model_burst *b = &history.burst[l][history.count[l]++];

                *b = (struct model_burst){
                    .access = access[l] + 1, .accesses = (uint32_t)draw_below(4), .bursts = 1};
                access[l] += b->accesses;
                draw_dependencies(l, b, steps + b->accesses);
            }
            if (delta) {
                struct model_burst *b = &history.burst[l][history.count[l]++];

                *b = (struct model_burst){.access = access[l] + 1, .cut = cut};
                b->bursts = log ? 0 : draw_below(4);
                b->accesses = b->bursts ? (uint32_t)draw_below(4) : 0;
                access[l] += b->accesses;
            }
        }
        steps += 3;
        for (unsigned l = 0; l < history.lanes; l++)
            room &= history.count[l] < MODEL_BURSTS - 1;
        room &= draw_below(8) != 0;
    }
}

/* The last delta among the first `n` items: how many items up to it, 0 when there is none. */
static unsigned model_delta_before(unsigned lane, unsigned n)
{
    while (n && !history.burst[lane][n - 1].cut)
        n--;
    return n;
}

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
    unsigned best[MODEL_LANES];
    bool moved = false;

    model_greatest(best);
    bool said = ft_closed_compute(set, NULL);
    for (unsigned l = 0; l < history.lanes; l++) {
        assert_int_equal(ft_closed_burst(set, l), model_bursts_to(l, best[l]));
        moved |= best[l] != last[l];
        partial += best[l] < history.held[l];
        last[l] = best[l];
    }
    assert_int_equal(said, moved);
    assert_false(ft_closed_compute(set, NULL));
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

TEST(arbitrary_histories_agree_with_the_model)
{
    play_many(model_draw_arbitrary, 4000);
}

TEST(histories_that_ran_agree_with_the_model)
{
    play_many(model_draw_run, 4000);
}

TEST(streams_of_segments_agree_with_the_model)
{
    play_many(model_draw_segments, 12000);
}
