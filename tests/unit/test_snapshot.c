/* SPDX-License-Identifier: Apache-2.0 */
/* A resync's snapshot is the region as it was at the cut, whatever the lanes change while it is copied. */
#define _DEFAULT_SOURCE /* mincore */
#include "tests/help/test.h"
#include "ftcore/region/region.h"
#include "tests/help/program.h"

#include <pthread.h>
#include <sys/mman.h>

#define PRIVATE 50000u /* bytes of each lane's NF; not a multiple of anything */
#define SHARED  (1u << 20)

static uint64_t draw(uint64_t *state, uint64_t below)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state % below;
}

static struct ft_region *open_region(void)
{
    static const char *const names[] = {"lane", "nat"};
    const uint64_t sizes[] = {0, 100000};
    struct ft_region_config config = {
        .lanes = 2, .nfs = 2, .arena_size = sizes, .nf_name = names, .shared_size = SHARED + 4096};
    struct ft_region *region = help_region(&config);
    uint64_t state = 42;

    for (unsigned lane = 0; lane < 2; lane++) {
        uint8_t *p = ft_arena_alloc(ft_region_arena(region, lane, 1), PRIVATE);

        for (unsigned i = 0; i < PRIVATE; i++)
            p[i] = (uint8_t)draw(&state, 256);
    }
    for (uint32_t *p = ft_arena_alloc(ft_region_shared(region), SHARED), *end = p + SHARED / 4; p < end; p++)
        *p = (uint32_t)draw(&state, 1ull << 32);
    return region;
}

static uint8_t *at(struct ft_arena *arena, uint64_t byte)
{
    return arena->region->base + arena->offset + byte;
}

static uint8_t *snapshot(struct ft_region *region)
{
    uint8_t *copy = malloc(region->size);

    assert_non_null(copy);
    memcpy(copy, region->base, region->size);
    return copy;
}

/* The next run of copied lines at or after `from`, at most `max`, as the sender of a snapshot looks for them.
 */
static struct ft_line_range next_copied(struct ft_region *region, uint64_t from, uint64_t max)
{
    return region->snapshot_copy ? ft_lines_find(&region->snapshot_copied, from, region->size / FT_LINE, max)
                                 : (struct ft_line_range){0};
}

/* The receiving side: every copied line not had before. Returns how many were new. */
static uint64_t gather(struct ft_region *region, uint8_t *snapshot, struct ft_lines *had, uint64_t max)
{
    uint64_t fresh = 0;
    struct ft_line_range run = {0};

    while ((run = next_copied(region, run.line + run.count, max)).count) {
        assert_true(run.count <= max);
        for (uint64_t line = run.line; line < run.line + run.count; line++) {
            if (ft_lines_has(had, line))
                continue;
            memcpy(snapshot + line * 64, region->snapshot_copy + line * 64, 64);
            ft_lines_add(had, line, 1);
            fresh++;
        }
    }
    return fresh;
}

static uint64_t used_lines(void)
{
    return 2 * ((PRIVATE + 63) / 64) + SHARED / 64;
}

TEST(copying_keeps_to_its_lane_and_limit)
{
    struct ft_region *region = open_region();
    uint64_t private = (PRIVATE + 63) / 64, zero;

    memset(at(&region->arenas[3], 64 * 10), 0, 64 * 20);
    assert_int_equal(ft_snapshot_copy(region, 0, 10, &zero), 0); /* nothing pending */
    assert_int_equal(ft_snapshot_begin(region), 0);
    assert_int_equal(ft_snapshot_begin(region), FT_EBUSY);
    assert_int_equal(ft_snapshot_left(region), used_lines());
    assert_int_equal(ft_snapshot_copy(region, 1, 0, &zero), 0);
    assert_int_equal(ft_snapshot_copy(region, 1, 100, &zero), 100);
    assert_int_equal(zero, 20);
    assert_int_equal(ft_snapshot_copy(region, 1, UINT64_MAX, &zero), private - 100);
    assert_int_equal(ft_snapshot_copy(region, 1, UINT64_MAX, &zero), 0);
    assert_int_equal(ft_snapshot_left(region), used_lines() - private);
    assert_int_equal(ft_snapshot_copy(region, 0, UINT64_MAX, &zero), private + SHARED / 64);
    assert_int_equal(ft_snapshot_left(region), 0);
    ft_snapshot_end(region);
    assert_int_equal(atomic_load(&region->tracking), 0);
}

/* In pages, by the system's own word: mincore tells which of the memory file are there. */
static uint64_t touched_pages(struct ft_region *region)
{
    static unsigned char there[1 << 16];
    uint64_t pages = region->size / 4096, count = 0;

    assert_true(pages <= sizeof(there));
    assert_int_equal(mincore(region->base, region->size, there), 0);
    for (uint64_t i = 0; i < pages; i++)
        count += there[i] & 1;
    return count;
}

/* An arena of 1,000 pages, of which one byte in a hundred pages is written. */
static struct ft_region *open_sparse(struct ft_arena **arena)
{
    static const char *const names[] = {"lane", "nat"};
    const uint64_t sizes[] = {0, 1000 * 4096};
    struct ft_region_config config = {
        .lanes = 1, .nfs = 2, .arena_size = sizes, .nf_name = names, .shared_size = 4096};
    struct ft_region *region = help_region(&config);

    *arena = ft_region_arena(region, 0, 1);
    (void)ft_arena_alloc(*arena, 1000 * 4096);
    for (uint64_t page = 50; page < 1000; page += 100)
        *at(*arena, page * 4096 + 77) = 1;
    return region;
}

TEST(untouched_pages_are_zeros_that_nobody_reads)
{
    struct ft_arena *arena;
    struct ft_region *region = open_sparse(&arena);
    uint64_t pages = touched_pages(region), cursor = 0, lines = 0, zero, copied = 0, n;
    struct ft_line_range run;

    assert_int_equal(ft_snapshot_begin(region), 0);
    /* A lane edits a line of an untouched page first: its copy is its own. */
    *(uint8_t *)ft_edit(region, at(arena, 4096), 1) = 7;
    while ((run = ft_snapshot_untouched(region, &cursor, 1000)).count) {
        assert_true(run.count <= 1000);
        lines += run.count;
        for (uint64_t line = run.line; line < run.line + run.count; line++)
            assert_true(line != (arena->offset + 4096) / 64 && ft_lines_has(&region->snapshot_copied, line));
    }
    assert_int_equal(lines, (1000 - 11) * 64);
    /* Behind it a lane writes what it likes without a copy, and copies the rest. */
    *(uint8_t *)ft_edit(region, at(arena, 2 * 4096), 1) = 8;
    while ((n = ft_snapshot_copy(region, 0, 4096, &zero)))
        copied += n;
    assert_int_equal(copied, 11 * 64 - 1);
    assert_int_equal(ft_snapshot_left(region), 0);
    assert_int_equal(region->snapshot_copy[arena->offset + 4096], 0);
    assert_int_equal(region->snapshot_copy[arena->offset + 2 * 4096], 0);
    assert_int_equal(region->snapshot_copy[arena->offset + 50 * 4096 + 77], 1);
    assert_int_equal(touched_pages(region), pages + 2);
    ft_snapshot_end(region);
}

TEST(zeros_take_no_memory)
{
    struct ft_arena *arena;
    struct ft_region *region = open_sparse(&arena);
    uint64_t pages = touched_pages(region), from = arena->offset / 64;

    /* From the middle of page 50 to the middle of page 150. */
    *at(arena, 50 * 4096 + 64 * 31) = 5;
    *at(arena, 150 * 4096 + 64 * 33) = 6;
    ft_region_zero(region, from + 50 * 64 + 32, 100 * 64);
    assert_int_equal(touched_pages(region), pages);
    assert_int_equal(*at(arena, 50 * 4096 + 77), 1);
    assert_int_equal(*at(arena, 50 * 4096 + 64 * 31), 5);
    assert_int_equal(*at(arena, 150 * 4096 + 77), 0);
    assert_int_equal(*at(arena, 150 * 4096 + 64 * 33), 6);
    assert_int_equal(*at(arena, 250 * 4096 + 77), 1);
}

TEST(an_abandoned_resync_leaves_nothing)
{
    struct ft_region *region = open_region();
    struct ft_arena *arena = ft_region_shared(region);

    ft_snapshot_end(region); /* none runs */
    assert_int_equal(ft_snapshot_begin(region), 0);
    memset(ft_edit(region, at(arena, 0), 64), 1, 64);
    ft_snapshot_end(region);
    assert_null(region->snapshot_copy);
    assert_non_null(region->snapshot_past); /* for a thread that has the time */
    ft_snapshot_give_back(region);
    assert_null(region->snapshot_past);
    assert_int_equal(next_copied(region, 0, 1).count, 0);
    /* The next one begins from the line as it is now. */
    assert_int_equal(ft_snapshot_begin(region), 0);
    memset(ft_edit(region, at(arena, 0), 64), 2, 64);
    assert_int_equal(region->snapshot_copy[arena->offset], 1);
    ft_snapshot_end(region);
}

static void edit_unused(void *region)
{
    ft_edit(region, at(ft_region_shared(region), SHARED), 1);
}

TEST(an_edit_of_what_nobody_has_does_not_hang)
{
    struct ft_region *region = open_region();

    assert_int_equal(ft_snapshot_begin(region), 0);
    assert_dies(edit_unused, region, "which is not handed out");
    ft_snapshot_end(region);
}

static _Atomic bool returned;

static void *edit_first_line(void *arg)
{
    struct ft_region *region = arg;

    ft_edit(region, at(ft_region_shared(region), 0), 1);
    atomic_store(&returned, true);
    return NULL;
}

static void *end_resync(void *region)
{
    ft_snapshot_end(region);
    atomic_store(&returned, true);
    return NULL;
}

/* Whoever needs a line that another lane has claimed gets it when that one has copied it, and not before. */
static void waits_for_the_claimed_line(void *(*needy)(void *))
{
    struct ft_region *region = open_region();
    uint64_t line = ft_region_shared(region)->offset / 64;
    pthread_t thread;

    assert_int_equal(ft_snapshot_begin(region), 0);
    assert_true(
        ft_lines_claim(&region->snapshot_pending, line)); /* the other lane, in the middle of its copy */
    atomic_store(&returned, false);
    assert_int_equal(pthread_create(&thread, NULL, needy, region), 0);
    usleep(30000);
    assert_false(atomic_load(&returned));
    memcpy(region->snapshot_copy + line * 64, region->base + line * 64, 64);
    ft_lines_add(&region->snapshot_copied, line, 1);
    pthread_join(thread, NULL);
    ft_snapshot_end(region);
}

TEST(an_edit_waits_for_anothers_copy)
{
    waits_for_the_claimed_line(edit_first_line);
}

TEST(the_end_waits_for_a_lanes_copy)
{
    waits_for_the_claimed_line(end_resync);
}

/* Lanes as threads. Both edit the shared arena, in lines of their own, while lane 0 copies it. */
struct lane {
    struct ft_region *region;
    unsigned number;
    pthread_t thread;
};

static _Atomic bool stop;

static void edit_somewhere(struct lane *lane, uint64_t *state)
{
    struct ft_arena *own = ft_region_arena(lane->region, lane->number, 1);
    uint64_t from = draw(state, PRIVATE - 300), n = 1 + draw(state, 300);
    uint64_t line = draw(state, SHARED / 64 / 2) * 2 + lane->number;

    memset(ft_edit(lane->region, at(own, from), n), (int)n, n);
    memset(ft_edit(lane->region, at(ft_region_shared(lane->region), line * 64), 64), (int)n, 64);
}

/* Edits that race for the very same lines; what is in them does not change. */
static void touch_anywhere(struct lane *lane, uint64_t *state)
{
    uint64_t from = draw(state, SHARED - 2000);

    ft_edit(lane->region, at(ft_region_shared(lane->region), from), 2000);
}

static void *run_lane(void *arg)
{
    struct lane *lane = arg;
    uint64_t state = 1000 + lane->number, zero;

    while (!atomic_load(&stop)) {
        for (unsigned i = 0; i < 4; i++)
            edit_somewhere(lane, &state);
        touch_anywhere(lane, &state);
        ft_snapshot_copy(lane->region, lane->number, 1 + draw(&state, 100), &zero);
    }
    return NULL;
}

static void start_lanes(struct lane lanes[2], struct ft_region *region)
{
    atomic_store(&stop, false);
    for (unsigned i = 0; i < 2; i++) {
        lanes[i] = (struct lane){.region = region, .number = i};
        assert_int_equal(pthread_create(&lanes[i].thread, NULL, run_lane, &lanes[i]), 0);
    }
}

static void stop_lanes(struct lane lanes[2])
{
    atomic_store(&stop, true);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(lanes[i].thread, NULL);
}

TEST(the_snapshot_is_the_cut_under_load)
{
    struct ft_region *region = open_region();
    uint8_t *expected = malloc(region->size);
    struct lane lanes[2];

    for (unsigned round = 0; round < 60; round++) {
        uint8_t *cut = snapshot(region);
        uint64_t fresh = 0, left;
        struct ft_lines had;

        memset(expected, 0, region->size);
        assert_int_equal(ft_lines_init(&had, region->size / 64), 0);
        assert_int_equal(ft_snapshot_begin(region), 0);
        start_lanes(lanes, region);
        do {
            left = ft_snapshot_left(region);
            fresh += gather(region, expected, &had, 64);
        } while (left);
        assert_int_equal(fresh, used_lines());
        assert_memory_equal(expected, cut, region->size);
        stop_lanes(lanes);
        ft_snapshot_end(region);
        ft_lines_free(&had);
        free(cut);
    }
    free(expected);
}

/* The copy goes away under running lanes: none may be caught in it, none may wait for ever. */
TEST(a_resync_ends_under_load)
{
    struct ft_region *region = open_region();
    struct lane lanes[2];

    for (unsigned round = 0; round < 200; round++) {
        assert_int_equal(ft_snapshot_begin(region), 0);
        start_lanes(lanes, region);
        /* Mostly near its end, where least stands between the lanes and the unmapping. */
        while (ft_snapshot_left(region) > used_lines() >> (round % 10 ? 5 + round % 10 : 0))
            ;
        ft_snapshot_end(region);
        stop_lanes(lanes);
        assert_null(region->snapshot_copy);
    }
}
