/* SPDX-License-Identifier: Apache-2.0 */
/* Messages: nothing else than a whole, unchanged frame is a message. */
#include "tests/help/record.h"
#include "tests/help/message.h"
#include "ftcore/record/message.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

/* In memory of exactly that size, so that a read beyond it is seen. */
static long decode_exact(const uint8_t *in, size_t len, unsigned lanes)
{
    uint8_t *exact = malloc(len + 1);
    struct ft_message m;

    memcpy(exact + 1, in, len);
    long used = ft_message_decode(exact + 1, len, lanes, &m, message_unpacked, NULL);
    free(exact);
    return used;
}

static void a_truncated_frame_is_never_a_message(void **state)
{
    struct ft_compressor compressor = {0};

    (void)state;
    for (unsigned type = 1; type < FT_MSG_TYPES; type++) {
        draw_seed = type + 100;
        struct ft_message m = message_draw(type, 5, 800);
        long len = ft_message_encode(&m, 5, &compressor, true, message_frame, sizeof(message_frame));
        for (long cut = 0; cut < len; cut++)
            assert_int_equal(decode_exact(message_frame, (size_t)cut, 5), 0);
        /* The same with a length and a checksum that say so. */
        for (uint32_t cut = 1; cut < (uint32_t)len - FT_FRAME_HEAD; cut++) {
            uint32_t sum = (uint32_t)XXH3_64bits(message_frame + FT_FRAME_HEAD, cut);
            memcpy(message_frame, &cut, 4);
            memcpy(message_frame + 4, &sum, 4);
            assert_int_equal(decode_exact(message_frame, FT_FRAME_HEAD + cut, 5), FT_EMALFORMED);
        }
    }
}

static void each_flipped_bit_is_refused(void **state)
{
    struct ft_compressor compressor = {0};
    unsigned checksum = 0;

    (void)state;
    for (unsigned type = 1; type < FT_MSG_TYPES; type++) {
        draw_seed = type + 200;
        struct ft_message m = message_draw(type, 5, 300), got;
        long len = ft_message_encode(&m, 5, &compressor, true, message_frame, sizeof(message_frame));
        memset(message_frame + len, 0, 1000);
        for (size_t bit = 0; bit < (size_t)len * 8; bit++) {
            message_frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
            long used = ft_message_decode(message_frame, (size_t)len + 1000, 5, &got, message_unpacked, NULL);
            assert_true(used == FT_ECHECKSUM || used == FT_EMALFORMED || (used == 0 && bit < 32));
            checksum += used == FT_ECHECKSUM;
            message_frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
    assert_true(checksum > 1000);
}

/* The seal of the link checks it then. */
static void only_a_frame_with_a_checksum_is_checked(void **state)
{
    static uint8_t without[4096];
    struct ft_message m = {.type = FT_MSG_LOG, .state = FT_SOLO, .bulk = message_content, .bulk_len = 300},
                      got;
    long len = ft_message_encode(&m, 5, NULL, true, message_frame, sizeof(message_frame));

    (void)state;
    assert_int_equal(ft_message_encode(&m, 5, NULL, false, without, sizeof(without)), len);
    assert_memory_not_equal(message_frame + 4, "\0\0\0\0", 4);
    assert_memory_equal(without + 4, "\0\0\0\0", 4);
    assert_memory_equal(without + FT_FRAME_HEAD, message_frame + FT_FRAME_HEAD, (size_t)len - FT_FRAME_HEAD);
    without[len - 1] ^= 1, message_frame[len - 1] ^= 1; /* of the bulk */
    assert_int_equal(ft_message_decode(without, (size_t)len, 5, &got, message_unpacked, NULL), len);
    assert_int_equal(ft_message_decode(message_frame, (size_t)len, 5, &got, message_unpacked, NULL),
                     FT_ECHECKSUM);
    without[4] = 1; /* any other than 0 is one */
    assert_int_equal(ft_message_decode(without, (size_t)len, 5, &got, message_unpacked, NULL), FT_ECHECKSUM);
}

static void noise_is_survived(void **state)
{
    struct ft_message m;

    (void)state;
    for (unsigned run = 1; run < 20000; run++) {
        draw_seed = run;
        uint32_t len = (uint32_t)(1 + draw() % 200);

        struct ft_message snapshot = message_draw((unsigned)(1 + draw() % (FT_MSG_TYPES - 1)), 2, 150);
        long had = ft_message_encode(&snapshot, 2, NULL, true, message_frame, sizeof(message_frame));
        if (len > had - FT_FRAME_HEAD || draw() & 1)
            len = (uint32_t)(had - FT_FRAME_HEAD);
        for (unsigned n = (unsigned)(draw() % 4); n; n--)
            message_frame[FT_FRAME_HEAD + draw() % len] = (uint8_t)draw();
        uint32_t sum = (uint32_t)XXH3_64bits(message_frame + FT_FRAME_HEAD, len);
        memcpy(message_frame, &len, 4);
        memcpy(message_frame + 4, &sum, 4);
        long used = decode_exact(message_frame, FT_FRAME_HEAD + len, 2);
        assert_true(used == FT_FRAME_HEAD + (long)len || used == FT_EMALFORMED || used == FT_EVERSION);
    }
    assert_int_equal(ft_message_decode((const uint8_t *)"\0\0\0", 4, 0, &m, message_unpacked, NULL),
                     FT_EMALFORMED);
    assert_int_equal(ft_message_decode((const uint8_t *)"\1\0\x40", 4, 0, &m, message_unpacked, NULL),
                     FT_EMALFORMED);
    assert_int_equal(ft_message_decode((const uint8_t *)"\0\0\x40", 4, 0, &m, message_unpacked, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_truncated_frame_is_never_a_message),
        cmocka_unit_test(each_flipped_bit_is_refused),
        cmocka_unit_test(only_a_frame_with_a_checksum_is_checked),
        cmocka_unit_test(noise_is_survived),
    };

    return cmocka_run_group_tests_name("message_damage", tests, NULL, NULL);
}
