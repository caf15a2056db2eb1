/* SPDX-License-Identifier: Apache-2.0 */
/* Messages: contents that are well-checksummed but impossible are refused by name. */
#include "ftcore/record/message.h"
#include "tests/help/message.h"
#include "tests/help/record.h"
#include "tests/help/test.h"

#include <msgpack.h>
#include <xxhash.h>

TEST(impossible_heads_are_refused_by_name)
{
    struct ft_message m;

    message_begin(6, 3, FT_MSG_HEARTBEAT, 3);
    message_accepted(2, &m);
    assert_int_equal(m.view, 7);
    assert_int_equal(m.sent, 8);
    assert_int_equal(m.echo, 9);
    message_begin(60, 9, 99, 99); /* another version may look different in all else */
    assert_int_equal(message_judge(2, &m, &help_fault), FT_EVERSION);
    assert_string_equal(help_fault.text, "offset 11: version is 9, expected 3 to 4");
    message_begin(6, 3, 0, 3);
    message_refused(2, "offset 10: message type is 0, expected 1 to 21");
    message_begin(6, 3, FT_MSG_TYPES, 3);
    message_refused(2, "offset 10: message type is 22, expected 1 to 21");
    message_begin(6, 3, FT_MSG_HEARTBEAT, 0);
    message_refused(2, "offset 14: HEARTBEAT state is 0, expected 1 to 7");
    message_begin(6, 3, FT_MSG_HEARTBEAT, 8);
    message_refused(2, "offset 14: HEARTBEAT state is 8, expected 1 to 7");
    message_begin(7, 3, FT_MSG_HEARTBEAT, 3);
    message_put(1);
    message_refused(2, "offset 8: HEARTBEAT is an array of 7, expected 6");
    message_begin(6, 3, FT_MSG_HEARTBEAT, 3);
    message_put(1);
    message_refused(2, "offset 15: HEARTBEAT goes on for 1 bytes, expected its end");
    message_begin(6, 3, FT_MSG_STEER, 3);
    message_refused(2, "offset 8: STEER is an array of 6, expected 7");
    message_begin(7, 3, FT_MSG_STEER, 3);
    message_refused(2, "offset 15: STEER ends, expected number as an unsigned number");
    message_begin(7, 3, FT_MSG_STEER, 3);
    message_put_raw("\xcf\1\2\3", 4);
    message_refused(2,
                    "offset 15: STEER number begins with byte cf and 3 follow, expected an unsigned number");
    message_begin(7, 3, FT_MSG_STEER, 3);
    msgpack_pack_int(&message_packer, -1);
    message_refused(2,
                    "offset 15: STEER number begins with byte ff and 0 follow, expected an unsigned number");
    message_begin(7, 3, FT_MSG_STEER, 3);
    msgpack_pack_nil(&message_packer);
    message_refused(2,
                    "offset 15: STEER number begins with byte c0 and 0 follow, expected an unsigned number");
}

TEST(impossible_containers_are_refused_by_name)
{
    static const char *const bytes[] = {
        "\x80", "\xc1", "\xdd\xff\xff\xff\xff", "\xdf\xff\xff\xff\xff", "\xc6\xff\xff\xff\xff",
        "\xa0", "\x90"};
    struct ft_message m;

    for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
        msgpack_sbuffer_clear(&message_by_hand);
        message_put_raw(bytes[i], strlen(bytes[i]));
        assert_int_equal(message_judge(0, &m, NULL), FT_EMALFORMED);
    }
    msgpack_sbuffer_clear(&message_by_hand);
    for (unsigned i = 0; i < 100000; i++) /* depth is no recursion */
        message_put_raw("\x91", 1);
    assert_int_equal(message_judge(0, &m, NULL), FT_EMALFORMED);
}

static void put_vector(unsigned n)
{
    msgpack_pack_array(&message_packer, n);
    for (unsigned i = 0; i < n; i++)
        message_put(i + 10);
}

TEST(impossible_vectors_are_refused_by_name)
{
    struct ft_message m;

    for (unsigned n = 0; n < 20; n++) {
        message_begin(7, 3, FT_MSG_HOLDING, 5);
        put_vector(n);
        if (n == 2) {
            message_accepted(2, &m);
            assert_int_equal(m.burst[1], 11);
            assert_int_equal(m.burst[2], 0);
        } else {
            assert_int_equal(message_judge(2, &m, NULL), FT_EMALFORMED);
        }
        if (n >= 1 && n <= 16)
            message_accepted(0, &m);
        else
            assert_int_equal(message_judge(0, &m, NULL), FT_EMALFORMED);
    }
    message_begin(7, 3, FT_MSG_HOLDING, 5);
    put_vector(3);
    message_refused(2, "offset 15: HOLDING burst has 3 numbers, expected 2");
    message_begin(9, 3, FT_MSG_ACK, 5);
    put_vector(2);
    put_vector(2);
    put_vector(1);
    message_refused(2, "offset 21: ACK taken has 1 numbers, expected 2");
    message_begin(10, 3, FT_MSG_VERDICT, 5);
    message_put(2), message_put(5), message_put(6), message_put(7);
    message_refused(2, "offset 15: VERDICT lane is 2, expected 0 to 1");
    message_begin(10, 3, FT_MSG_VERDICT, 5);
    message_put(1), message_put(5), message_put(6), message_put(7);
    message_accepted(2, &m);
    assert_int_equal(m.burst[0] * 100 + m.number * 10 + m.number2, 567);
}

/* A hello whose field `index` is `with` instead. */
static void begin_hello(unsigned index, uint64_t with, const char *name, size_t name_len,
                        const char *identity, size_t identity_len)
{
    uint64_t v[] = {1, 0, 1, 0, 1, 4, 25, 50, 100, 300};

    if (index)
        v[index] = with;
    message_begin(22, 0, FT_MSG_HELLO, 1);
    message_put(3), message_put(3); /* versions */
    message_put_text("", 0);
    message_put_text(name, name_len);
    for (unsigned i = 0; i < 3; i++) /* incarnation and secret */
        message_put(v[0]);
    for (unsigned i = 2; i < 10; i++)
        message_put(v[i]);
    message_put_bytes(identity, identity_len);
}

TEST(impossible_hellos_are_refused_by_name)
{
    static const struct {
        unsigned index;
        uint64_t with;
        const char *expected;
    } bad[] = {
        {2, 2, "offset 27: HELLO role is 2, expected 0 to 1"},
        {3, 2, "offset 28: HELLO strict is 2, expected 0 to 1"},
        {4, 2, "offset 29: HELLO warm is 2, expected 0 to 1"},
        {5, 0, "offset 30: HELLO lanes is 0, expected 1 to 16"},
        {5, 17, "offset 30: HELLO lanes is 17, expected 1 to 16"},
        {5, 65537, "offset 30: HELLO lanes is 65537, expected 1 to 16"},
        {6, 0, "offset 31: HELLO lease_ms is 0, expected 1 to 4294967295"},
        {6, 50, "offset 32: HELLO detect_ms is 50, expected 51 to 4294967295"},
        {7, 25, "offset 32: HELLO detect_ms is 25, expected 26 to 4294967295"},
        {8, 50, "offset 33: HELLO promote_within_ms is 50, expected 51 to 4294967295"},
        {9, 100, "offset 34: HELLO solo_after_ms is 100, expected 101 to 4294967295"},
        {6, 4294967295, "offset 36: HELLO detect_ms is 50, expected 4294967296 to 4294967295"},
        {9, 1ull << 32, "offset 34: HELLO solo_after_ms is 4294967296, expected 101 to 4294967295"},
    };
    static char identity[FT_IDENTITY_MAX + 1];
    struct ft_message m;

    begin_hello(0, 0, "ab", 2, "nat\n", 4);
    message_accepted(0, &m);
    assert_string_equal(m.name, "ab");
    assert_int_equal(m.solo_after_ms, 300);
    assert_int_equal(m.strict * 10 + m.warm, 1);
    assert_int_equal(m.identity_len, 4);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        begin_hello(bad[i].index, bad[i].with, "abc", 3, "nat\n", 4);
        message_refused(0, bad[i].expected);
    }
    begin_hello(0, 0, "", 0, "", 0);
    message_refused(0, "offset 20: HELLO name has 0 bytes, expected 1 to 31");
    begin_hello(0, 0, "12345678901234567890123456789012", 32, "", 0);
    message_refused(0, "offset 20: HELLO name has 32 bytes, expected 1 to 31");
    begin_hello(0, 0, "a\0b", 3, "", 0);
    message_refused(0, "offset 22: HELLO name has byte 00, expected no control character");
    begin_hello(0, 0, "a\x1b[", 3, "", 0);
    message_refused(0, "offset 22: HELLO name has byte 1b, expected no control character");
    begin_hello(0, 0, "abc", 3, "na\0t", 4);
    assert_int_equal(message_judge(0, &m, NULL), FT_EMALFORMED);
    memset(identity, 'x', sizeof(identity));
    begin_hello(0, 0, "abc", 3, identity, FT_IDENTITY_MAX);
    message_accepted(0, &m);
    begin_hello(0, 0, "abc", 3, identity, FT_IDENTITY_MAX + 1);
    assert_int_equal(message_judge(0, &m, NULL), FT_EMALFORMED);
}

TEST(impossible_texts_are_refused_by_name)
{
    char long_text[FT_REASON_MAX];
    struct ft_message m;

    memset(long_text, 't', sizeof(long_text));
    message_begin(7, 0, FT_MSG_REFUSE, 5);
    message_put_text(long_text, FT_REASON_MAX - 1);
    message_accepted(1, &m);
    assert_int_equal(strlen(m.text), FT_REASON_MAX - 1);
    message_begin(7, 0, FT_MSG_REFUSE, 5);
    message_put_text(long_text, FT_REASON_MAX);
    message_refused(1, "offset 15: REFUSE text has 224 bytes, expected 0 to 223");
    message_begin(7, 3, FT_MSG_DRILL, 5);
    message_put_raw("\xdb\xff\xff\xff\xff", 5);
    message_refused(1, "offset 15: DRILL text has 4294967295 bytes, expected 0 to 223");
    message_begin(7, 3, FT_MSG_DRILL, 5);
    message_put_raw("\xa5"
                    "abc",
                    4);
    message_refused(1, "offset 15: DRILL text has 3 bytes, expected 5");
    message_begin(7, 3, FT_MSG_DRILL, 5);
    message_put_bytes("abc", 3);
    message_refused(1, "offset 15: DRILL text begins with byte c4 and 4 follow, expected a string");
}

/* Messages: nothing else than a whole, unchanged frame is a message. */

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

TEST(a_truncated_frame_is_never_a_message)
{
    struct ft_compressor compressor = {0};

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

TEST(each_flipped_bit_is_refused)
{
    struct ft_compressor compressor = {0};
    unsigned checksum = 0;

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
TEST(only_a_frame_with_a_checksum_is_checked)
{
    static uint8_t without[4096];
    struct ft_message m = {.type = FT_MSG_LOG, .state = FT_SOLO, .bulk = message_content, .bulk_len = 300},
                      got;
    long len = ft_message_encode(&m, 5, NULL, true, message_frame, sizeof(message_frame));

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

/* Noise is for tests/fuzz/fuzz_message.c. */
TEST(a_length_that_none_has_is_refused_at_once)
{
    struct ft_message m;

    assert_int_equal(ft_message_decode((const uint8_t *)"\0\0\0", 4, 0, &m, message_unpacked, NULL),
                     FT_EMALFORMED);
    assert_int_equal(ft_message_decode((const uint8_t *)"\1\0\x40", 4, 0, &m, message_unpacked, NULL),
                     FT_EMALFORMED);
    assert_int_equal(ft_message_decode((const uint8_t *)"\0\0\x40", 4, 0, &m, message_unpacked, NULL), 0);
}
