/* SPDX-License-Identifier: Apache-2.0 */
/* The bulk of a message: when it is compressed, its blocks, and bulks that are impossible. */
#include "tests/help/record.h"
#include "tests/help/message.h"
#include "ftcore/record/message.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

/* The frame's length. */
static long pack(struct ft_compressor *compressor, const uint8_t *bulk, uint32_t len)
{
    struct ft_message m = {.type = FT_MSG_LOG, .state = FT_READY, .bulk = bulk, .bulk_len = len};

    return ft_message_encode(&m, 1, compressor, true, message_frame, sizeof(message_frame));
}

static void compression_is_tried_every_64th_time_when_it_does_not_pay(void **state)
{
    const uint8_t *noise = message_content, *plain = message_content + 2000;
    struct ft_compressor compressor = {0};

    (void)state;
    draw_seed = 7;
    message_fill(message_content, 2000, false);
    memset(message_content + 2000, 'a', 2000);
    for (unsigned i = 1; i <= 65; i++)
        assert_true(pack(&compressor, noise, 2000) > 2000); /* the first and the 65th are tried */
    for (unsigned i = 66; i <= 128; i++)
        assert_true(pack(&compressor, plain, 2000) > 2000);
    assert_int_equal(compressor.raw, 256000);
    assert_int_equal(compressor.compressed, 256000);
    assert_true(pack(&compressor, plain, 2000) < 100); /* the 129th is tried, and from now on each */
    assert_true(pack(&compressor, plain, 2000) < 100);
    assert_true(compressor.compressed < 256100);
    assert_true(pack(&compressor, plain, 63) > 63); /* too small to measure, and no reason to stop */
    assert_true(pack(&compressor, plain, 2000) < 100);
    assert_true(pack(NULL, plain, 2000) > 2000);
}

/* What did not pay is skipped by bytes: many small bulks that compression does not shorten leave a large one
 * its try. */
static void small_bulks_do_not_keep_a_large_one_from_being_compressed(void **state)
{
    struct ft_compressor compressor = {0};

    (void)state;
    draw_seed = 7;
    message_fill(message_content, 100, false);
    memset(message_content + 100, 'a', 7900);
    for (unsigned i = 0; i < 70; i++)
        pack(&compressor, message_content, 100);
    assert_true(pack(&compressor, message_content + 100, 100) > 100); /* skipped */
    assert_true(pack(&compressor, message_content, 8000) < 1000);
}

/* Of a bulk of 64 KiB and 100 bytes, all 'a', the second block. The first is its own length long, a match of
 * 65536 - 6 at distance 1. */
static size_t two_blocks(uint8_t *out)
{
    static const uint8_t ends[] = {0x50, 'a', 'a', 'a', 'a', 'a'};
    size_t len = 4, extra = 65536 - 6 - 4 - 15;

    memcpy(out + len,
           "\x1f"
           "a\1",
           4),
        len += 4;
    for (; extra >= 255; extra -= 255)
        out[len++] = 255;
    out[len++] = (uint8_t)extra;
    memcpy(out + len, ends, sizeof(ends)), len += sizeof(ends);
    uint32_t first = (uint32_t)len - 4, second = LZ4_LEN;

    memcpy(out, &first, 4);
    memcpy(out + len, &second, 4);
    memcpy(out + len + 4, lz4_block, LZ4_LEN);
    return len + 4 + LZ4_LEN;
}

static void a_large_bulk_has_several_blocks(void **state)
{
    struct ft_compressor compressor = {0};
    struct ft_message m = {
        .type = FT_MSG_SNAPSHOT, .state = FT_READY, .bulk = message_content, .bulk_len = 65636};
    uint8_t blocks[1024];
    size_t len = two_blocks(blocks);
    uint32_t wrong = 300;

    (void)state;
    message_begin(8, 3, FT_MSG_SNAPSHOT, 5);
    message_put(65636), message_put_bytes(blocks, len);
    message_accepted(1, &m);
    assert_int_equal(m.bulk_len, 65636);
    for (unsigned i = 0; i < m.bulk_len; i++)
        assert_int_equal(m.bulk[i], 'a');
    message_begin(8, 3, FT_MSG_SNAPSHOT, 5);
    message_put(65637), message_put_bytes(blocks, len);
    message_refused(1, "offset 298: SNAPSHOT block gives 100 bytes, expected 101");
    message_begin(8, 3, FT_MSG_SNAPSHOT, 5);
    message_put(65536 * 2 + 100), message_put_bytes(blocks, len);
    message_refused(1, "offset 298: SNAPSHOT block gives 100 bytes, expected 65536");
    message_begin(8, 3, FT_MSG_SNAPSHOT, 5);
    message_put(65636), message_put_bytes(blocks, len - LZ4_LEN);
    message_refused(1, "offset 298: SNAPSHOT block of 11 bytes, expected at most 0");
    message_begin(8, 3, FT_MSG_SNAPSHOT, 5);
    message_put(65636), message_put_bytes(blocks, len - LZ4_LEN - 1);
    message_refused(1, "offset 294: SNAPSHOT blocks end, expected 100 bytes more of bulk");
    message_begin(8, 3, FT_MSG_SNAPSHOT, 5);
    blocks[len] = 0;
    message_put(65636), message_put_bytes(blocks, len + 1);
    message_refused(1, "offset 309: SNAPSHOT 1 bytes behind the blocks");
    memcpy(blocks, &wrong, 4);
    message_begin(8, 3, FT_MSG_SNAPSHOT, 5);
    message_put(65636), message_put_bytes(blocks, len);
    message_refused(1, "offset 27: SNAPSHOT block of 300 bytes, expected at most 282");
    /* Content that repeats itself over more than a block's table: each block is compressed by itself. */
    m = (struct ft_message){
        .type = FT_MSG_SNAPSHOT, .state = FT_READY, .bulk = message_content, .bulk_len = 200000};
    draw_seed = 3;
    message_fill(message_content, 2000, false);
    for (size_t at = 2000; at < 200000; at += 2000)
        memcpy(message_content + at, message_content, 2000);
    long used = ft_message_encode(&m, 1, &compressor, true, message_frame, sizeof(message_frame));

    assert_true(used > 4 * 2000 && used < 4 * 2500);
    assert_int_equal(ft_message_decode(message_frame, (size_t)used, 1, &m, message_unpacked, NULL), used);
    assert_int_equal(m.bulk_len, 200000);
    assert_memory_equal(m.bulk, message_content, 200000);
}

static void impossible_bulks_are_refused_by_name(void **state)
{
    struct ft_message m;

    (void)state;
    message_begin(8, 3, FT_MSG_LOG, 5);
    message_put(100), message_put_bytes(lz4_block, LZ4_LEN);
    message_accepted(1, &m);
    assert_int_equal(m.bulk_len, 100);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(m.bulk[i], 'a');
    message_begin(8, 3, FT_MSG_LOG, 5);
    message_put(99), message_put_bytes(lz4_block, LZ4_LEN);
    assert_int_equal(message_judge(1, &m, NULL), FT_EMALFORMED);
    message_begin(8, 3, FT_MSG_LOG, 5);
    message_put(101), message_put_bytes(lz4_block, LZ4_LEN);
    message_refused(1, "offset 18: LOG block gives 100 bytes, expected 101");
    message_begin(8, 3, FT_MSG_LOG, 5);
    message_put(LZ4_LEN), message_put_bytes(lz4_block, LZ4_LEN);
    message_refused(1, "offset 16: LOG bulk has 11 bytes, expected 0 to 10");
    message_begin(8, 3, FT_MSG_LOG, 5);
    message_put(FT_BULK_MAX + 1), message_put_bytes(lz4_block, LZ4_LEN);
    message_refused(1, "offset 15: LOG size of bulk is 2097153, expected at most 2097152");
    message_begin(8, 3, FT_MSG_SNAPSHOT, 5);
    message_put(0), message_put_raw("\xc6\x00\x20\x00\x01", 5);
    message_refused(1, "offset 16: SNAPSHOT bulk has 2097153 bytes, expected 0 to 2097152");
    message_begin(8, 3, FT_MSG_SNAPSHOT, 5);
    message_put(0), message_put_raw("\xc5\x01\x00xyz", 6);
    message_refused(1, "offset 16: SNAPSHOT bulk has 3 bytes, expected 256");
    message_begin(8, 3, FT_MSG_SNAPSHOT, 5);
    message_put(0), message_put_text("x", 1);
    message_refused(1, "offset 16: SNAPSHOT bulk begins with byte a1 and 1 follow, expected bytes");
    message_begin(8, 3, FT_MSG_LOG, 5);
    message_put(0), message_put_bytes("", 0);
    message_accepted(1, &m);
    assert_int_equal(m.bulk_len, 0);
}

/* The same frame, wherever the bulk was; the numbers of the head have one to nine bytes. */
static void a_bulk_may_lie_in_its_frame_already(void **state)
{
    static uint8_t frame[4096];

    (void)state;
    message_fill(message_content, 2000, false);
    for (unsigned shift = 0; shift < 62; shift++) {
        struct ft_message m = {.type = FT_MSG_LOG, .state = FT_READY, .view = 1ull << shift};

        m.sent = m.echo = m.view * 3;
        uint8_t *at = frame + ft_message_ahead(&m, 1);

        m.bulk = message_content;
        m.bulk_len = shift * 30;
        long len = ft_message_encode(&m, 1, NULL, true, message_frame, sizeof(message_frame));

        memcpy(at, message_content, m.bulk_len);
        m.bulk = at;
        assert_int_equal(ft_message_encode(&m, 1, NULL, true, frame, sizeof(frame)), len);
        assert_memory_equal(frame, message_frame, (size_t)len);
        assert_ptr_equal(frame + len, at + m.bulk_len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compression_is_tried_every_64th_time_when_it_does_not_pay),
        cmocka_unit_test(small_bulks_do_not_keep_a_large_one_from_being_compressed),
        cmocka_unit_test(a_large_bulk_has_several_blocks),
        cmocka_unit_test(impossible_bulks_are_refused_by_name),
        cmocka_unit_test(a_bulk_may_lie_in_its_frame_already),
    };

    return cmocka_run_group_tests_name("message_bulk", tests, NULL, NULL);
}
