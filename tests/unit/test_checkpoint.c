/* SPDX-License-Identifier: Apache-2.0 */
/* A checkpoint that is copied beside edits holds every marked line as it was when it was pending, once, and
 * marks begin anew. */
#include "tests/help/test.h"
#include "tests/help/program.h"
#include "ftcore/region/checkpoint.h"
#include "tests/help/record.h"

#define BYTES 60000u

static struct ft_region *open_region(void)
{
    const uint64_t sizes[] = {0, BYTES};
    struct ft_region_config config = {.lanes = 2, .nfs = 2, .arena_size = sizes};
    struct ft_region *region = help_region(&config);

    for (unsigned lane = 0; lane < 2; lane++)
        assert_non_null(ft_arena_alloc(ft_region_arena(region, lane, 1), BYTES));
    return region;
}

/* Of a lane: some bytes anywhere, often over the end of a line. */
static void edit(struct ft_region *region, unsigned lane, struct ft_lines *edited)
{
    uint64_t n = 1 + draw_below(200), from = draw_below(BYTES - n);
    uint8_t *p = region->base + ft_region_arena(region, lane, 1)->offset + from;

    p = ft_edit(region, p, n);
    for (uint64_t i = 0; i < n; i++)
        p[i] = (uint8_t)draw_below(256);
    uint64_t offset = (uint64_t)(p - region->base);

    ft_lines_add(edited, offset / FT_LINE, (offset + n - 1) / FT_LINE - offset / FT_LINE + 1);
}

static void a_checkpoint(struct ft_region *region, struct ft_lines *marked, struct ft_lines *edited)
{
    uint64_t lines = region->size / FT_LINE, taken = 0, from = 0;
    uint64_t expected = ft_lines_count(marked, 0, lines);
    static uint8_t *cut; /* kept: pages that are new each time take most of the test's time */
    struct ft_lines left;

    if (!cut)
        cut = malloc(region->size); /* all regions here are of one size */
    assert_non_null(cut);
    memcpy(cut, region->base, region->size);
    assert_int_equal(ft_lines_init(&left, lines), 0);
    for (struct ft_line_range run = {0};
         (run = ft_lines_find(marked, run.line + run.count, lines, lines)).count;)
        ft_lines_add(&left, run.line, run.count);
    ft_checkpoint_begin(region);
    assert_int_equal(ft_lines_count(&region->dirty, 0, lines), 0);
    while (taken < expected) {
        uint8_t bytes[20 * FT_LINE];
        uint64_t most = 1 + draw_below(20);
        struct ft_line_range run = ft_lines_take(&region->checkpoint_pending, from, lines, most);

        assert_true(run.count > 0 && run.count <= most);
        ft_checkpoint_copy(region, &run, bytes);
        assert_memory_equal(bytes, cut + run.line * FT_LINE, run.count * FT_LINE);
        for (uint64_t i = 0; i < run.count; i++)
            assert_true(ft_lines_claim(&left, run.line + i));
        from = run.line + run.count;
        taken += run.count;
        for (uint64_t edits = draw_below(4); edits; edits--)
            edit(region, (unsigned)draw_below(2), edited);
    }
    assert_int_equal(ft_lines_take(&region->checkpoint_pending, 0, lines, 1).count, 0);
    assert_int_equal(ft_lines_count(&left, 0, lines), 0);
    ft_checkpoint_end(region);
    ft_lines_free(&left);
}

TEST(pending_lines_are_those_of_the_cut)
{
    struct ft_region *region = open_region();
    struct ft_lines edited[2];
    uint64_t lines = region->size / FT_LINE;

    draw_seed = 4711;
    for (unsigned i = 0; i < 2; i++)
        assert_int_equal(ft_lines_init(&edited[i], lines), 0);
    atomic_fetch_or(&region->tracking, FT_TRACK_DIRTY);
    assert_int_equal(ft_checkpoint_prepare(region), 0);
    assert_int_equal(ft_checkpoint_prepare(region), 0);
    for (unsigned round = 0; round < 200; round++) {
        struct ft_lines *now = &edited[round % 2], *later = &edited[(round + 1) % 2];

        for (uint64_t edits = draw_below(60); edits; edits--)
            edit(region, (unsigned)draw_below(2), now);
        ft_lines_clear(later);
        a_checkpoint(region, now, later);
        for (uint64_t line = 0; line < lines; line++) /* the marks of what comes */
            assert_int_equal(ft_lines_has(&region->dirty, line), ft_lines_has(later, line));
    }
    /* One that nobody wanted leaves nothing to the next: neither what is pending nor what was saved. */
    for (unsigned i = 0; i < 100; i++)
        edit(region, i % 2, &edited[0]);
    ft_checkpoint_begin(region);
    for (unsigned i = 0; i < 100; i++)
        edit(region, i % 2, &edited[0]);
    ft_checkpoint_end(region);
    ft_lines_clear(&region->dirty);
    ft_checkpoint_begin(region);
    assert_int_equal(ft_lines_take(&region->checkpoint_pending, 0, lines, 1).count, 0);
    /* A line that was saved is not copied as it was: what is pending next is as it is then. */
    edit(region, 0, &edited[0]);
    ft_lines_clear(&region->dirty);
    ft_lines_clear(&edited[0]);
    ft_lines_clear(&edited[1]);
    for (unsigned i = 0; i < 100; i++)
        edit(region, i % 2, &edited[0]);
    a_checkpoint(region, &edited[0], &edited[1]);
    for (unsigned i = 0; i < 2; i++)
        ft_lines_free(&edited[i]);
}

/* Whoever takes marks away while lines are pending makes edits save again, and spoils nothing. */
TEST(what_is_saved_first_counts)
{
    struct ft_region *region = open_region();
    uint8_t bytes[FT_LINE], cut[FT_LINE], *line = region->base + ft_region_arena(region, 1, 1)->offset;
    struct ft_line_range run = {(uint64_t)(line - region->base) / FT_LINE, 1};

    assert_int_equal(ft_checkpoint_prepare(region), 0);
    atomic_fetch_or(&region->tracking, FT_TRACK_DIRTY);
    memset(ft_edit(region, line, FT_LINE), 1, FT_LINE);
    memcpy(cut, line, FT_LINE);
    ft_checkpoint_begin(region);
    for (int i = 2; i < 5; i++) {
        memset(ft_edit(region, line, FT_LINE), i, FT_LINE);
        ft_lines_clear(&region->dirty);
    }
    assert_int_equal(ft_lines_take(&region->checkpoint_pending, run.line, run.line + 1, 1).count, 1);
    ft_checkpoint_copy(region, &run, bytes);
    assert_memory_equal(bytes, cut, FT_LINE);
}
