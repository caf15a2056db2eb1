/* SPDX-License-Identifier: Apache-2.0 */
/* A heap against a plain model of it: blocks keep what was written to them, the same calls give the same
 * addresses, what it knows of itself is right and damage to that is found; what a library writes there
 * without edits is found page by page, and is in snapshots and checkpoints as it was at their cut. */
#include "tests/help/test.h"
#include "tests/help/program.h"
#include "ftcore/region/checkpoint.h"
#include "ftcore/region/heap.h"
#include "ftcore/region/pages.h"
#include "tests/help/record.h"

#include <sys/mman.h>

#define BYTES  (256u * FT_HEAP_PAGE)
#define BLOCKS 3000u

static struct ft_region *open_region(uint64_t bytes)
{
    const uint64_t sizes[] = {0, ft_heap_bytes(bytes) + 4096};
    struct ft_region_config config = {.lanes = 2, .nfs = 2, .arena_size = sizes};
    struct ft_region *region = help_region(&config);

    for (unsigned lane = 0; lane < 2; lane++) {
        assert_non_null(ft_arena_alloc(ft_region_arena(region, lane, 1), 100));
        assert_non_null(ft_heap_make(ft_region_arena(region, lane, 1), bytes));
    }
    return region;
}

static struct ft_heap *heap_of(struct ft_region *region, unsigned lane)
{
    return ft_region_arena(region, lane, 1)->heap;
}

struct block {
    uint8_t *p, *twin;
    uint64_t size;
    uint8_t fill;
};

static uint64_t draw_size(void)
{
    return draw_below(20) == 0  ? draw_below(5 * FT_HEAP_PAGE)
           : draw_below(4) == 0 ? draw_below(2100)
                                : draw_below(200);
}

static void give_back(struct ft_heap *heap, struct ft_heap *twin, struct block *b)
{
    for (uint64_t i = 0; i < b->size; i++)
        assert_int_equal(b->p[i], b->fill);
    ft_heap_free(heap, b->p);
    ft_heap_free(twin, b->twin);
    b->p = NULL;
}

static bool take(struct ft_heap *heap, struct ft_heap *twin, struct block *b)
{
    b->size = draw_size();
    b->p = ft_heap_alloc(heap, b->size);
    b->twin = ft_heap_alloc(twin, b->size);
    assert_true(!b->p == !b->twin);
    if (!b->p)
        return false;
    assert_true((uintptr_t)b->p % 16 == 0);
    assert_true(ft_heap_holds(heap, b->p, b->size) && !ft_heap_holds(twin, b->p, 0));
    assert_true(ft_heap_size_of(heap, b->p) >= b->size);
    assert_int_equal(b->p - (uint8_t *)heap, b->twin - (uint8_t *)twin);
    b->fill = (uint8_t)draw_below(256);
    memset(b->p, b->fill, b->size);
    memset(b->twin, b->fill, b->size);
    return true;
}

TEST(heap_and_model_agree)
{
    struct ft_region *region = open_region(BYTES);
    struct ft_heap *heap = heap_of(region, 0), *twin = heap_of(region, 1);
    static struct block blocks[BLOCKS];
    uint64_t refused = 0, in_use = 0;

    draw_seed = 11;
    for (unsigned i = 0; i < 300000; i++) {
        struct block *b = &blocks[draw_below(BLOCKS)];

        if (b->p) {
            give_back(heap, twin, b);
            in_use--;
        } else if (take(heap, twin, b)) {
            in_use++;
        } else {
            refused++;
        }
        if (i % 10000 == 0) {
            assert_null(ft_heap_check(heap, NULL, NULL));
            assert_memory_equal(heap, twin,
                                ft_heap_end(heap, region) - (uint64_t)((uint8_t *)heap - region->base));
        }
    }
    assert_true(refused > 1000);
    assert_int_equal(heap->refused, refused);
    assert_int_equal(heap->blocks, in_use);
    for (unsigned i = 0; i < BLOCKS; i++)
        if (blocks[i].p)
            give_back(heap, twin, &blocks[i]);
    assert_int_equal(heap->bytes, 0);
    assert_null(ft_heap_check(heap, NULL, NULL));
    assert_non_null(ft_heap_alloc(heap, BYTES)); /* all of it, in one */
    assert_null(ft_heap_alloc(heap, 1));
    assert_null(ft_heap_alloc(heap, UINT64_MAX));
}

/* A bit that is turned in what it knows of itself is found, or harms nothing: calls go on as before. */
TEST(damage_is_found)
{
    struct ft_region *region = open_region(20 * FT_HEAP_PAGE);
    struct ft_heap *heap = heap_of(region, 0);
    struct ft_heap_part known;
    unsigned found = 0, tried = 0;
    uint8_t *before;

    draw_seed = 5;
    for (unsigned i = 0; i < 60; i++) {
        void *p = ft_heap_alloc(heap, draw_size());

        if (p && draw_below(3) == 0)
            ft_heap_free(heap, p);
    }
    known = ft_heap_part(heap, region, 0);
    before = malloc(known.to - known.from);
    memcpy(before, region->base + known.from, known.to - known.from);
    for (uint64_t at = offsetof(struct ft_heap, next); at < known.to - known.from; at++) {
        region->base[known.from + at] ^= (uint8_t)(1u << draw_below(8));
        tried++;
        if (ft_heap_check(heap, NULL, NULL)) {
            found++;
        } else {
            void *p = ft_heap_alloc(heap, 100), *q = ft_heap_alloc(heap, 9000);

            if (p)
                ft_heap_free(heap, p);
            if (q)
                ft_heap_free(heap, q);
        }
        memcpy(region->base + known.from, before, known.to - known.from);
    }
    assert_true(tried > 500 && found > 300);
    free(before);
}

static bool is_dirty(const struct ft_region *region, const void *p)
{
    return ft_lines_has(&region->dirty, (uint64_t)((const uint8_t *)p - region->base) / FT_LINE);
}

TEST(writes_are_found)
{
    struct ft_region *region = open_region(BYTES);
    struct ft_heap *heap = heap_of(region, 0);
    uint64_t lines = region->size / FT_LINE;
    uint8_t *p = ft_heap_alloc(heap, 100 * FT_HEAP_PAGE);

    memset(p, 1, 100 * FT_HEAP_PAGE);
    if (!ft_pages_begin(region)) /* a kernel that does not tell */
        skip();
    ft_pages_mark(region, 0);
    assert_int_equal(ft_lines_count(&region->dirty, 0, lines), 0);
    for (unsigned round = 0; round < 50; round++) {
        unsigned a = (unsigned)draw_below(100), b = (unsigned)draw_below(100);

        p[a * FT_HEAP_PAGE + draw_below(FT_HEAP_PAGE)]++;
        p[b * FT_HEAP_PAGE + draw_below(FT_HEAP_PAGE)]++;
        ft_pages_mark(region, 1); /* another lane's: nothing */
        assert_int_equal(ft_lines_count(&region->dirty, 0, lines), 0);
        ft_pages_mark(region, round % 2 ? 0 : FT_LANES_MAX);
        assert_int_equal(ft_lines_count(&region->dirty, 0, lines), a == b ? 64 : 128);
        assert_true(is_dirty(region, p + a * FT_HEAP_PAGE) && is_dirty(region, p + b * FT_HEAP_PAGE));
        ft_lines_clear(&region->dirty);
    }
    p = ft_heap_alloc(heap, 1); /* pages that were in nobody's use before are found as well */
    *p = 1;
    ft_pages_mark(region, 0);
    assert_true(is_dirty(region, heap) && is_dirty(region, p));
}

/* Without the kernel's help, or before it was asked: each page in use. */
TEST(else_all_counts)
{
    struct ft_region *region = open_region(BYTES);
    struct ft_heap *heap = heap_of(region, 1);
    uint8_t *p = ft_heap_alloc(heap, 10 * FT_HEAP_PAGE);

    ft_pages_mark(region, 1);
    assert_true(is_dirty(region, heap) && is_dirty(region, p) && is_dirty(region, p + 10 * FT_HEAP_PAGE - 1));
    assert_false(is_dirty(region, p + 10 * FT_HEAP_PAGE));
}

static void scribble(uint8_t *p, uint64_t n)
{
    for (unsigned i = 0; i < 200; i++)
        p[draw_below(n)] = (uint8_t)draw_below(256);
}

TEST(a_snapshot_is_of_its_cut)
{
    struct ft_region *region = open_region(BYTES);
    struct ft_heap *heap = heap_of(region, 0);
    uint8_t *p = ft_heap_alloc(heap, 50 * FT_HEAP_PAGE), *cut = malloc(region->size);
    uint64_t zero;

    scribble(p, 50 * FT_HEAP_PAGE);
    memcpy(cut, region->base, region->size);
    assert_int_equal(ft_snapshot_begin(region), 0);
    scribble(p, 50 * FT_HEAP_PAGE);
    ft_heap_free(heap, p);
    assert_non_null(ft_heap_alloc(heap, 60 * FT_HEAP_PAGE));
    for (unsigned lane = 0; lane < 2; lane++)
        while (ft_snapshot_copy(region, lane, UINT64_MAX, &zero))
            ;
    assert_int_equal(ft_snapshot_left(region), 0);
    for (unsigned i = 0; i < region->arena_count; i++) {
        const struct ft_arena *a = &region->arenas[i];

        assert_memory_equal(region->snapshot_copy + a->offset, cut + a->offset, a->used);
    }
    ft_snapshot_end(region);
    free(cut);
}

/* All memory of the heap's copy is there, as the kernel says. */
static bool has_memory(const struct ft_region *region, const struct ft_heap *heap, uint8_t *copy)
{
    unsigned char resident[8 * BYTES / FT_HEAP_PAGE];

    for (unsigned which = 0; which < 2; which++) {
        struct ft_heap_part part = ft_heap_part(heap, region, which);
        uint64_t pages = (part.to - part.from + FT_HEAP_PAGE - 1) / FT_HEAP_PAGE;

        assert_int_equal(mincore(copy + part.from, part.to - part.from, resident), 0);
        for (uint64_t i = 0; i < pages; i++)
            if (!(resident[i] & 1))
                return false;
    }
    return true;
}

TEST(the_memory_of_a_snapshot_is_there_before_its_cut)
{
    struct ft_region *region = open_region(8 * BYTES);
    struct ft_heap *heap = heap_of(region, 1);
    uint8_t *spare;

    for (unsigned turn = 0; turn < 4; turn++) {
        memset(ft_heap_alloc(heap, BYTES), 8, BYTES);
        ft_snapshot_prepare(region);
        spare = region->snapshot_spare;
        assert_non_null(spare);
        assert_int_equal(has_memory(region, heap, spare), false); /* a call does a part */
        for (uint64_t done = 0; done <= 8 * BYTES; done += FT_SPARE_BYTES)
            ft_snapshot_prepare(region);
        assert_true(has_memory(region, heap, spare));
        if (turn % 2 == 0)
            continue; /* what is used later is asked for as well */
        assert_int_equal(ft_snapshot_begin(region), 0);
        assert_ptr_equal(region->snapshot_copy, spare);
        assert_memory_equal(spare + region->arenas[3].offset, region->base + region->arenas[3].offset, 100);
        ft_snapshot_end(region);
    }
}

TEST(a_checkpoint_is_of_its_cut)
{
    struct ft_region *region = open_region(BYTES);
    uint64_t n = 50 * FT_HEAP_PAGE, lines = region->size / FT_LINE;
    uint8_t *p = ft_heap_alloc(heap_of(region, 1), n), *copy = malloc(region->size),
            *cut = malloc(region->size);

    memcpy(copy, region->base, region->size);
    assert_int_equal(ft_checkpoint_prepare(region), 0);
    atomic_fetch_or(&region->tracking, FT_TRACK_DIRTY);
    ft_pages_begin(region);
    for (unsigned round = 0; round < 20; round++) {
        struct ft_line_range run = {0};

        scribble(p, n);
        ft_pages_mark(region, FT_LANES_MAX);
        memcpy(cut, region->base, region->size);
        ft_checkpoint_begin(region);
        scribble(p, n);
        while ((run = ft_lines_take(&region->checkpoint_pending, run.line + run.count, lines, 7)).count)
            ft_checkpoint_copy(region, &run, copy + run.line * FT_LINE);
        assert_memory_equal(copy, cut, region->size);
        ft_checkpoint_end(region);
    }
    free(copy);
    free(cut);
}

int main(void)
{
    draw_seed = 1;
    return help_tests_run();
}
