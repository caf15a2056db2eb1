/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes of state types are those of the formulas in docs/writing-an-nf.md. */
#include "nflib/shared/shared.h"
#include "tests/help/test.h"

static uint64_t part(uint64_t n, uint64_t of)
{
    return (n + of - 1) / of;
}

static uint64_t lines(uint64_t bytes)
{
    return 64 * part(bytes, 64);
}

/* A key of k bytes and a value of v, which is aligned by the largest power of two up to 8 that v is a
 * multiple of. */
static uint64_t entry_bytes(uint32_t k, uint32_t v)
{
    uint64_t align = v == 0 ? 1 : v % 8 == 0 ? 8 : v % 4 == 0 ? 4 : v % 2 == 0 ? 2 : 1;
    uint64_t both = align * part(k, align) + v, e = 8;

    while (e < both && e < 64)
        e *= 2;
    return both <= e ? e : lines(both);
}

static uint64_t map_bytes(uint32_t n, uint32_t k, uint32_t v)
{
    return lines(128 + 64 * part(n, 4) + 64 * part(n, 512) + n * entry_bytes(k, v));
}

TEST(own_types_are_as_large_as_the_page_says)
{
    static const uint32_t sizes[] = {1, 3, 4, 5, 63, 64, 511, 512, 513, 1000, 65536, 1000003};

    for (uint32_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint32_t n = sizes[i];

        for (uint32_t k = 1; k < 40; k += 3)
            for (uint32_t v = 0; v < 100; v += 1 + v / 8)
                assert_int_equal(nf_map_bytes(n, k, v), map_bytes(n, k, v));
        for (uint32_t v = 0; v < 600; v += 1 + v / 8)
            assert_int_equal(nf_lists_bytes(n, v), lines(128 + n * (8 + 8 * part(v, 8))));
        assert_int_equal(nf_wheel_bytes(n), lines(33104 + 16ull * n));
    }
    assert_int_equal(sizeof(struct nf_list), 4);
    assert_int_equal(sizeof(struct nf_bucket), 24);
}

TEST(shared_types_are_as_large_as_the_page_says)
{
    assert_int_equal(nf_shared_word_bytes(), 128);
    assert_int_equal(nf_merged_bytes(), 1024);
    assert_int_equal(nf_merged_lane_bytes(), 64);
    for (uint32_t n = 1; n < 1000000; n = 3 * n + 5) {
        assert_int_equal(nf_shared_pool_bytes(n), 384 + 5ull * n);
        assert_int_equal(nf_shared_pool_lane_bytes(n), 2304 + 8 * part(n, 64));
        for (uint32_t s = 1; s <= 64; s *= 4) {
            uint32_t m = (uint32_t)part(n, s);

            m = s == 1 ? n : m + m / 8 + 8;
            assert_int_equal(nf_shared_map_bytes(n, 13, 24, s), 64 + s * (192 + map_bytes(m, 13, 24)));
        }
    }
}
