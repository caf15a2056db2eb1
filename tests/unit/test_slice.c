/* SPDX-License-Identifier: Apache-2.0 */
/* Slices: which bytes of a region they are, their order, whose they are, and what their digests tell apart.
 */
#include "tests/help/test.h"
#include "tests/help/program.h"
#include "ftcore/region/slice.h"

/* Two lanes, each with an arena of its own state and one of an NF, and the shared arena. Where arenas lie is
 * in test_region.c: 0, 256, 768, 1024 and 1536 KiB, so the slices' numbers begin with 0, 4, 12, 16 and 24. */
static struct ft_region *open_region(void)
{
    static const char *const names[] = {"lane", "nat"};
    const uint64_t sizes[] = {0, 300000};
    const struct ft_region_config config = {
        .lanes = 2, .nfs = 2, .arena_size = sizes, .nf_name = names, .shared_size = 200000};

    return help_region(&config);
}

static void use(struct ft_arena *arena, uint64_t bytes)
{
    assert_non_null(ft_arena_alloc(arena, bytes));
}

TEST(nothing_used_is_no_slice)
{
    struct ft_region *region = open_region();
    struct ft_slice slice;

    assert_int_equal(ft_slice_count(region, FT_SLICES_ALL), 0);
    assert_int_equal(ft_slice_from(region, 0, FT_SLICES_ALL), FT_SLICE_NONE);
    assert_false(ft_slice_find(region, 0, &slice));
    assert_false(ft_slice_find(region, UINT64_MAX, &slice));
}

TEST(slices_are_the_used_bytes_and_no_others)
{
    static const uint64_t numbers[] = {0, 4, 5, 6, 16, 24, 25};
    static const uint64_t sizes[] = {64, 65536, 65536, 8192, 64, 65536, 64};
    struct ft_region *region = open_region();
    struct ft_slice slice;
    uint64_t number = 0, used = 0;

    use(ft_region_arena(region, 0, 0), 64);
    use(ft_region_arena(region, 0, 1), 139264); /* two slices and 8192 */
    use(ft_region_arena(region, 1, 1), 1);      /* a line */
    use(ft_region_shared(region), 65600);
    for (unsigned i = 0; i < 7; i++, number++) {
        number = ft_slice_from(region, number, FT_SLICES_ALL);
        assert_int_equal(number, numbers[i]);
        assert_true(ft_slice_find(region, number, &slice));
        assert_int_equal(slice.size, sizes[i]);
        assert_ptr_equal(slice.base, (void *)(uintptr_t)(0x200000000000 + number * 65536));
        used += slice.size;
    }
    assert_int_equal(ft_slice_from(region, number, FT_SLICES_ALL), FT_SLICE_NONE);
    assert_int_equal(ft_slice_count(region, FT_SLICES_ALL), 7);
    assert_int_equal(used, ft_region_used(region));
    assert_false(ft_slice_find(region, 1, &slice));  /* unused */
    assert_false(ft_slice_find(region, 12, &slice)); /* an arena of which nothing is used */
    assert_false(ft_slice_find(region, 32, &slice)); /* behind the region */
}

TEST(each_slice_is_of_one_lane_or_shared)
{
    struct ft_region *region = open_region();

    for (unsigned l = 0; l < 2; l++)
        for (unsigned nf = 0; nf < 2; nf++)
            use(ft_region_arena(region, l, nf), 64);
    use(ft_region_shared(region), 64);
    assert_int_equal(ft_slice_count(region, FT_SLICES_OF(0)), 2);
    assert_int_equal(ft_slice_from(region, 0, FT_SLICES_OF(1)), 12);
    assert_int_equal(ft_slice_from(region, 13, FT_SLICES_OF(1)), 16);
    assert_int_equal(ft_slice_from(region, 17, FT_SLICES_OF(1)), FT_SLICE_NONE);
    assert_int_equal(ft_slice_from(region, 0, FT_SLICES_OF(FT_LANES_MAX)), 24);
    /* Lane 0 of several: its own, then what all share. */
    assert_int_equal(ft_slice_from(region, 5, FT_SLICES_OF(0) | FT_SLICES_OF(FT_LANES_MAX)), 24);
}

TEST(the_digest_has_every_byte_and_the_seed)
{
    static uint8_t bytes[FT_SLICE];
    uint64_t before = ft_slice_digest(bytes, sizeof(bytes), 7);

    assert_int_equal(ft_slice_digest(bytes, sizeof(bytes), 7), before);
    assert_int_not_equal(ft_slice_digest(bytes, sizeof(bytes), 8), before);
    assert_int_not_equal(ft_slice_digest(bytes, sizeof(bytes) - 64, 7), before);
    for (uint64_t at = 0; at < sizeof(bytes); at += 4095) {
        bytes[at] ^= 1;
        assert_int_not_equal(ft_slice_digest(bytes, sizeof(bytes), 7), before);
        bytes[at] ^= 1;
    }
}

TEST(a_slice_says_whose_it_is)
{
    struct ft_region *region = open_region();
    char text[FT_SLICE_TEXT];
    struct ft_slice slice;

    use(ft_region_arena(region, 1, 1), 70000);
    use(ft_region_shared(region), 64);
    assert_true(ft_slice_find(region, 17, &slice));
    assert_string_equal(ft_slice_text(&slice, text), "nf nat of lane 1, bytes 65536 to 70015 of its arena");
    assert_true(ft_slice_find(region, 24, &slice));
    assert_string_equal(ft_slice_text(&slice, text), "the shared arena, bytes 0 to 63 of it");
}
