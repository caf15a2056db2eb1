/* SPDX-License-Identifier: Apache-2.0 */
/* The region: where arenas lie, what is refused, what the digest covers, hiding and wiping. */
#include "tests/help/test.h"
#include "ftcore/region/region.h"
#include "tests/help/program.h"

#include <sys/mman.h>

static const char *const names[] = {"lane", "nat"};

static struct ft_region *open_region(unsigned lanes, uint64_t lane_size, uint64_t nf_size, uint64_t shared)
{
    uint64_t sizes[] = {lane_size, nf_size};
    struct ft_region_config config = {
        .lanes = (uint16_t)lanes, .nfs = 2, .arena_size = sizes, .nf_name = names, .shared_size = shared};

    return help_region(&config);
}

TEST(arenas_have_their_places)
{
    struct ft_region *region = open_region(2, 0, 300000, 5000);
    const uint64_t offsets[] = {0, 256 << 10, 768 << 10, 1024 << 10, 1536 << 10};
    const uint64_t sizes[] = {64 << 10, 303104, 64 << 10, 303104, 64 << 10}; /* 303104 = 74 pages */

    assert_int_equal((uintptr_t)region->base, 0x200000000000);
    for (unsigned i = 0; i < 5; i++) {
        struct ft_arena *arena = i < 4 ? ft_region_arena(region, i / 2, i % 2) : ft_region_shared(region);

        assert_int_equal(arena->offset, offsets[i]);
        assert_int_equal(arena->size, sizes[i]);
        assert_int_equal(arena->used, 0);
        assert_int_equal(arena->lane, i < 4 ? i / 2 : FT_LANES_MAX);
        assert_int_equal(arena->nf, i < 4 ? i % 2 : FT_NFS_MAX);
        assert_ptr_equal(ft_region_arena_at(region, offsets[i]), arena);
        assert_ptr_equal(ft_region_arena_at(region, offsets[i] + sizes[i] - 1), arena);
        assert_null(ft_region_arena_at(region, offsets[i] + sizes[i]));
    }
    assert_int_equal(region->size, 2 << 20);
}

TEST(the_shared_arena_has_a_default_size)
{
    struct ft_region *region = open_region(1, 0, 0, 0);

    assert_int_equal(ft_region_shared(region)->size, 64 << 20);
}

TEST(allocation_is_in_lines_until_full)
{
    struct ft_region *region = open_region(1, 0, 0, 0);
    struct ft_arena *arena = ft_region_arena(region, 0, 1);
    uint8_t *first = ft_arena_alloc(arena, 1), *second = ft_arena_alloc(arena, 65);

    assert_ptr_equal(first, region->base + (256 << 10));
    assert_ptr_equal(second, first + 64);
    assert_int_equal(arena->used, 192);
    assert_null(ft_arena_alloc(arena, (64 << 10) - 191));
    assert_null(ft_arena_alloc(arena, UINT64_MAX));
    assert_int_equal(arena->used, 192);
    assert_ptr_equal(ft_arena_alloc(arena, 0), first + 192); /* two are never at one place */
    assert_ptr_equal(ft_arena_alloc(arena, (64 << 10) - 256), first + 256);
    assert_null(ft_arena_alloc(arena, 0));
    assert_int_equal(ft_region_used(region), 64 << 10);
    for (unsigned i = 0; i < 64 << 10; i++)
        assert_int_equal(first[i], 0);
}

static void refused(struct ft_region_config *config, int error, const char *text)
{
    struct ft_region *region = (void *)1;
    struct ft_fault fault;

    assert_int_equal(ft_region_open(&region, config, &fault), error);
    assert_null(region);
    if (!strstr(fault.text, text))
        fail_msg("expected \"%s\", got \"%s\"", text, fault.text);
    assert_int_equal(ft_region_open(&region, config, NULL), error);
}

TEST(the_impossible_is_refused_by_name)
{
    uint64_t sizes[FT_NFS_MAX] = {0};
    struct ft_region_config config = {.lanes = 0, .nfs = 1, .arena_size = sizes};

    refused(&config, FT_EINVAL, "0 lanes, expected 1 to 16");
    config.lanes = 17;
    refused(&config, FT_EINVAL, "17 lanes, expected 1 to 16");
    config.lanes = 16;
    config.nfs = 33;
    refused(&config, FT_EINVAL, "33 arenas a lane, expected 1 to 32");
    config.nfs = 32;
    sizes[31] = 4ull << 30; /* 16 of them are all there can be, and there are others */
    refused(&config, FT_ENOMEM, "more than 65536 MiB");
    sizes[31] = UINT64_MAX;
    refused(&config, FT_ENOMEM, "more than 65536 MiB");
    sizes[31] = 0;
    config.shared_size = FT_REGION_MAX;
    refused(&config, FT_ENOMEM, "more than 65536 MiB");
}

TEST(a_taken_address_is_refused_by_name)
{
    uint64_t size = 0;
    struct ft_region_config config = {.lanes = 1, .nfs = 1, .arena_size = &size};
    void *there = mmap((void *)(uintptr_t)(FT_REGION_BASE + (1 << 20)), 4096, PROT_NONE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

    assert_ptr_equal(there, (void *)(uintptr_t)(FT_REGION_BASE + (1 << 20)));
    refused(&config, FT_EBUSY, "address 0x200000000000 are not free");
    munmap(there, 4096);
    help_region(&config);
    refused(&config, FT_EBUSY, "address 0x200000000000 are not free");
}

/* 16 GiB of arenas on whatever machine this is: only what is written takes memory. */
TEST(large_regions_are_sparse)
{
    struct ft_region *region = open_region(2, 0, 6ull << 30, 4ull << 30);
    struct ft_arena *arena = ft_region_shared(region);
    uint8_t *p = ft_arena_alloc(arena, arena->size);
    uint64_t pages = region->size >> 12, used = 0;
    uint8_t *in = malloc(pages);

    assert_non_null(p);
    assert_non_null(in);
    assert_true(region->size > 16ull << 30);
    p[0] = 1;
    p[arena->size - 1] = 1;
    ft_lines_add(&region->dirty, (arena->offset + arena->size - 1) >> FT_LINE_SHIFT, 1);
    assert_int_equal(ft_lines_find(&region->dirty, 0, region->size / FT_LINE, 1).line,
                     (arena->offset + arena->size - 1) / 64);
    assert_int_equal(mincore(region->base, region->size, in), 0);
    for (uint64_t i = 0; i < pages; i++)
        used += in[i] & 1;
    assert_true(used > 0 && used <= 1024);
    free(in);
}

TEST(huge_pages_are_had_or_not)
{
    uint64_t size = 0;
    struct ft_region_config config = {.lanes = 1, .nfs = 1, .arena_size = &size, .huge = true};
    struct ft_region *region = help_region(&config);
    uint8_t *p;

    p = ft_arena_alloc(ft_region_shared(region), 64);
    p[63] = 1;
    ft_region_wipe(region);
    assert_int_equal(p[63], 0);
}

/* A chain of one lane and one NF, with the same state wherever it lies. */
static struct ft_region *with_state(uint64_t capacity, uint8_t value)
{
    struct ft_region *region = open_region(2, 0, capacity, capacity);
    uint8_t *p;

    p = ft_arena_alloc(ft_region_arena(region, 0, 1), 1000);
    memset(ft_edit(region, p, 1000), 7, 1000);
    p = ft_arena_alloc(ft_region_shared(region), 64);
    memset(ft_edit(region, p, 64), value, 64);
    return region;
}

TEST(the_digest_covers_what_is_used)
{
    struct ft_region *region = with_state(100000, 9);
    uint64_t all = ft_region_digest(region);

    region->base[ft_region_shared(region)->offset + 64] = 1; /* behind what is used */
    assert_int_equal(ft_region_digest(region), all);

    region = with_state(1000000, 9); /* another capacity */
    assert_int_equal(ft_region_digest(region), all);
    region->base[ft_region_arena(region, 0, 1)->offset + 999] ^= 1;
    assert_int_not_equal(ft_region_digest(region), all);

    region = with_state(100000, 8);
    assert_int_not_equal(ft_region_digest(region), all);

    region = with_state(100000, 9);
    ft_arena_alloc(ft_region_arena(region, 1, 0), 1); /* zeros, but handed out */
    assert_int_not_equal(ft_region_digest(region), all);
    all = ft_region_digest(region);

    region = with_state(100000, 9);
    ft_arena_alloc(ft_region_arena(region, 1, 1), 1); /* the same bytes in a row, in another arena */
    assert_int_not_equal(ft_region_digest(region), all);
}

TEST(wiping_leaves_nothing)
{
    struct ft_region *region = with_state(100000, 1), *fresh;
    uint64_t digest;

    atomic_fetch_or(&region->tracking, FT_TRACK_DIRTY);
    ft_edit(region, region->base, 64);
    assert_int_equal(ft_snapshot_begin(region), 0);
    ft_region_wipe(region);
    assert_int_equal(ft_region_used(region), 0);
    assert_int_equal(ft_lines_count(&region->dirty, 0, region->size / FT_LINE), 0);
    assert_null(region->snapshot_copy);
    assert_int_equal(atomic_load(&region->tracking), FT_TRACK_DIRTY);
    for (uint64_t i = 0; i < region->size; i += 8)
        assert_true(*(uint64_t *)(region->base + i) == 0);
    digest = ft_region_digest(region);
    fresh = open_region(2, 0, 100000, 100000);
    assert_int_equal(ft_region_digest(fresh), digest);
}

TEST(edits_mark_their_lines)
{
    struct ft_region *region = open_region(1, 0, 0, 0);
    uint8_t *p = ft_arena_alloc(ft_region_arena(region, 0, 1), 1000);
    uint64_t first = (256 << 10) / 64;

    assert_ptr_equal(ft_edit(region, p, 1), p);
    assert_int_equal(ft_lines_count(&region->dirty, 0, region->size / FT_LINE), 0); /* nobody needs marks */
    atomic_fetch_or(&region->tracking, FT_TRACK_DIRTY);
    assert_ptr_equal(ft_edit(region, p + 63, 1), p + 63);
    assert_ptr_equal(ft_edit(region, p + 127, 2), p + 127);
    ft_edit(region, p + 500, 0);
    assert_true(ft_lines_has(&region->dirty, first));
    assert_true(ft_lines_has(&region->dirty, first + 1));
    assert_true(ft_lines_has(&region->dirty, first + 2));
    assert_int_equal(ft_lines_count(&region->dirty, 0, region->size / FT_LINE), 3);
    ft_edit(region, p + 64, 64); /* marked already */
    assert_int_equal(ft_lines_count(&region->dirty, 0, region->size / FT_LINE), 3);
    ft_edit(region, p + 191, 2); /* begins in a line that is marked, and ends in one that is not */
    assert_true(ft_lines_has(&region->dirty, first + 3));
    ft_edit(region, p + 192, 65);
    assert_true(ft_lines_has(&region->dirty, first + 4));
    assert_int_equal(ft_lines_count(&region->dirty, 0, region->size / FT_LINE), 5);
    ft_lines_clear(&region->dirty);
    ft_edit(region, p + 64, 64);
    assert_true(ft_lines_has(&region->dirty, first + 1));
}

/* A marked line needs no more only while marking is all that there is to do. */
TEST(a_marked_line_is_still_copied)
{
    struct ft_region *region = open_region(1, 0, 0, 0);
    uint64_t *p = ft_arena_alloc(ft_region_arena(region, 0, 1), 1000), line = (256 << 10) / 64;

    assert_ptr_equal(ft_edit_in_line(region, p, 8), p);
    assert_int_equal(ft_lines_count(&region->dirty, 0, region->size / FT_LINE), 0);
    atomic_fetch_or(&region->tracking, FT_TRACK_DIRTY);
    *(uint64_t *)ft_edit_in_line(region, p, 8) = 1;
    *(uint64_t *)ft_edit_in_line(region, p + 15, 8) = 15;
    assert_true(ft_lines_has(&region->dirty, line) && ft_lines_has(&region->dirty, line + 1));
    assert_int_equal(ft_lines_count(&region->dirty, 0, region->size / FT_LINE), 2);
    assert_int_equal(ft_snapshot_begin(region), 0);
    *(uint64_t *)ft_edit_in_line(region, p, 8) = 2;
    *(uint64_t *)ft_edit(region, p + 15, 8) = 16;
    assert_true(ft_lines_has(&region->snapshot_copied, line) &&
                ft_lines_has(&region->snapshot_copied, line + 1));
    assert_int_equal(*(uint64_t *)(region->snapshot_copy + (line << 6)), 1);
    assert_int_equal(*(uint64_t *)(region->snapshot_copy + (line << 6) + 120), 15);
}

static void edit_two_lines(void *region)
{
    struct ft_region *r = region;

    ft_edit_in_line(r, r->base + (256 << 10) + 60, 8);
}

TEST(an_edit_said_to_lie_in_one_line_does)
{
    struct ft_region *region = open_region(1, 0, 0, 0);

    ft_arena_alloc(ft_region_arena(region, 0, 1), 1000);
    atomic_fetch_or(&region->tracking, FT_TRACK_DIRTY);
    assert_dies(edit_two_lines, region, "said to lie in one line");
}

static void edit_outside(void *region)
{
    static char outside[8];

    ft_edit(region, outside, 8);
}

TEST(an_edit_outside_is_a_broken_invariant)
{
    struct ft_region *region = open_region(1, 0, 0, 0);

    atomic_fetch_or(&region->tracking, FT_TRACK_DIRTY);
    assert_dies(edit_outside, region, "outside the region");
}
