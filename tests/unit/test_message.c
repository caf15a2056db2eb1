/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages: what is encoded comes back, and the bytes are those of the golden file.
 *
 * `test_message --write-golden` writes tests/golden/messages-v3.bin anew. Do that only with a new version.
 */
#include "tests/help/record.h"
#include "tests/help/message.h"
#include "ftcore/record/message.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <msgpack.h>
#include <xxhash.h>

#define GOLDEN "tests/golden/messages-v3.bin"

static void message_same(const struct ft_message *a, const struct ft_message *b)
{
    struct ft_message x = *a, y = *b;

    assert_int_equal(a->bulk_len, b->bulk_len);
    if (a->bulk_len)
        assert_memory_equal(a->bulk, b->bulk, a->bulk_len);
    x.bulk = y.bulk = NULL;
    x.version = x.type == FT_MSG_HELLO || x.type == FT_MSG_REFUSE ? 0 : FT_FORMAT_NEWEST;
    assert_memory_equal(&x, &y, sizeof(x));
}

static void comes_back(const struct ft_message *m, unsigned lanes, struct ft_compressor *compressor)
{
    struct ft_message got;
    struct ft_fault why = {"?"};

    long len = ft_message_encode(m, lanes, compressor, true, message_frame, sizeof(message_frame));
    assert_true(len > 0 && (size_t)len <= ft_message_bound(m));
    long used = ft_message_decode(message_frame, (size_t)len, lanes, &got, message_unpacked, &why);
    if (used != len)
        fail_msg("type %u: %ld of %ld bytes: %s", m->type, used, len, why.text);
    message_same(m, &got);
    /* What follows is left alone. */
    assert_int_equal(
        ft_message_decode(message_frame, sizeof(message_frame), lanes, &got, message_unpacked, NULL), len);
}

static void what_is_encoded_comes_back(void **state)
{
    unsigned shorter = 0;

    (void)state;
    for (unsigned run = 1; run < 3000; run++) {
        struct ft_compressor compressor = {0}; /* a new one tries */

        draw_seed = run;
        unsigned lanes = (unsigned)(1 + draw() % FT_LANES_MAX);
        struct ft_message m = message_draw((unsigned)(1 + draw() % (FT_MSG_TYPES - 1)), lanes, 5000);

        comes_back(&m, lanes, draw() & 1 ? &compressor : NULL);
        shorter += compressor.compressed < compressor.raw;
    }
    assert_true(shorter > 20);
    for (unsigned big = 0; big < 4; big++) {
        struct ft_compressor compressor = {0};
        struct ft_message m = {.type = FT_MSG_LOG, .state = FT_SOLO, .bulk = message_content};

        m.bulk_len = FT_BULK_MAX - (big & 1);
        message_fill(message_content, m.bulk_len, big & 2);
        comes_back(&m, 1, &compressor);
    }
}

static void largest_vectors_fit_the_bound(void **state)
{
    struct ft_message m = {.type = FT_MSG_ACK, .state = FT_READY, .view = INT64_MAX, .sent = UINT64_MAX};

    (void)state;
    m.echo = UINT64_MAX;
    memset(m.burst, 0xff, sizeof(m.burst));
    memset(m.replayed, 0xff, sizeof(m.replayed));
    memset(m.taken, 0xff, sizeof(m.taken));
    comes_back(&m, FT_LANES_MAX, NULL);
}

static void states_have_names(void **state)
{
    (void)state;
    assert_string_equal(ft_state_name(FT_JOINING), "JOINING");
    assert_string_equal(ft_state_name(FT_SYNCING), "SYNCING");
    assert_string_equal(ft_state_name(FT_PROTECTED), "PROTECTED");
    assert_string_equal(ft_state_name(FT_FENCED), "FENCED");
    assert_string_equal(ft_state_name((enum ft_state)0), "?");
    assert_string_equal(ft_state_name((enum ft_state)8), "?");
}

static void control_characters_are_cleaned(void **state)
{
    struct ft_message m = {.type = FT_MSG_REFUSE, .state = FT_READY}, got;

    (void)state;
    memset(m.text, 'x', sizeof(m.text)); /* and not ended: cut */
    memcpy(m.text, "a\n\x1b\x7f\xc3\xa9", 6);
    long len = ft_message_encode(&m, 1, NULL, true, message_frame, sizeof(message_frame));
    assert_int_equal(ft_message_decode(message_frame, (size_t)len, 1, &got, message_unpacked, NULL), len);
    assert_memory_equal(got.text, "a?????x", 7); /* UTF-8 cut anywhere is none */
    assert_int_equal(strlen(got.text), FT_REASON_MAX - 1);
}

static void too_little_room_is_full(void **state)
{
    (void)state;
    for (unsigned type = 1; type < FT_MSG_TYPES; type++) {
        struct ft_compressor compressor = {0};

        draw_seed = type;
        struct ft_message m = message_draw(type, 3, 300);
        long len = ft_message_encode(&m, 3, NULL, true, message_frame, sizeof(message_frame));
        for (long cap = 0; cap < len; cap++) {
            uint8_t *exact = malloc((size_t)cap + 1);
            assert_int_equal(ft_message_encode(&m, 3, NULL, true, exact, (size_t)cap), FT_EFULL);
            free(exact);
        }
        assert_int_equal(ft_message_encode(&m, 3, NULL, true, message_frame, (size_t)len), len);
        assert_int_equal(ft_message_encode(&m, 3, &compressor, true, message_frame, 20), FT_EFULL);
    }
}

static struct ft_message golden_message(unsigned type)
{
    static const uint8_t bulk[] = "line one\nline two\n";
    struct ft_message m = {.type = (uint8_t)type, .state = (uint8_t)(1 + type % 7), .view = type};

    m.sent = 1000000007ull * type, m.echo = type == 1 ? 0 : 0xfedcba9876543210ull;
    m.bulk = bulk;
    switch (type) {
    case FT_MSG_HELLO:
        m.newest = FT_FORMAT_NEWEST, m.oldest = FT_FORMAT_OLDEST;
        m.incarnation = 0x1122334455667788ull;
        strcpy(m.name, "north");
        m.strict = 1, m.warm = 1, m.lanes = 3, m.lease_ms = 25, m.detect_ms = 50, m.promote_within_ms = 200;
        m.solo_after_ms = 70000;
        m.bulk_len = m.identity_len = 18;
        break;
    case FT_MSG_SNAPSHOT:
    case FT_MSG_LOG:
    case FT_MSG_DELTA:
    case FT_MSG_PUSH:
        m.bulk_len = 18;
        m.number = type == FT_MSG_PUSH ? 0x0123456789abcdef : 0;
        break;
    case FT_MSG_STEER:
    case FT_MSG_STEERED:
        m.number = 65536;
        break;
    case FT_MSG_PUSHED:
        m.number = 1, m.number2 = 0x0123456789abcdef;
        /* fall through */
    case FT_MSG_ABANDON:
    case FT_MSG_REFUSE:
    case FT_MSG_DRILL:
        strcpy(m.text, "kill -9, and then some more words so that it takes two bytes of length");
        break;
    case FT_MSG_COUNTER:
        m.number = 1010, m.number2 = 1795346688000000000, m.maintenance = FT_MAINTENANCE_PIN_OTHER;
        m.cluster = 14841639068965178418u;
        strcpy(m.text, "port outside: no carrier");
        break;
    case FT_MSG_VERDICT:
        m.lane = 2, m.burst[0] = 300, m.number = UINT64_MAX, m.number2 = 1ull << 32;
        break;
    case FT_MSG_SNAPSHOT_BEGIN:
    case FT_MSG_ACK:
    case FT_MSG_HOLDING:
    case FT_MSG_HANDOVER:
        m.number = type == FT_MSG_SNAPSHOT_BEGIN ? 0x0123456789abcdef : 0;
        for (unsigned i = 0; i < 3; i++) {
            m.burst[i] = 100u * i;
            m.replayed[i] = type == FT_MSG_ACK ? 90u * i : 0;
            m.taken[i] = type == FT_MSG_ACK ? 70000u * i : 0;
        }
    }
    return m;
}

static size_t golden_compressed(uint8_t *out)
{
    message_begin(8, 3, FT_MSG_LOG, FT_PROTECTED);
    message_put_raw("\xce\0\0\0\x64\xc6\0\0\0\x0b", 10);
    message_put_raw(lz4_block, LZ4_LEN);
    uint32_t len = (uint32_t)message_by_hand.size,
             sum = (uint32_t)XXH3_64bits(message_by_hand.data, message_by_hand.size);
    memcpy(out, &len, 4);
    memcpy(out + 4, &sum, 4);
    memcpy(out + FT_FRAME_HEAD, message_by_hand.data, len);
    return FT_FRAME_HEAD + len;
}

static size_t golden_frames(uint8_t *out, size_t cap)
{
    size_t len = 0;

    for (unsigned type = 1; type < FT_MSG_TYPES; type++) {
        struct ft_message m = golden_message(type);
        len += (size_t)ft_message_encode(&m, 3, NULL, true, out + len, cap - len);
    }
    return len + golden_compressed(out + len);
}

/* The content is msgpack to any reader of it. */
static void msgpack_reads(const uint8_t *in, size_t len, unsigned type)
{
    msgpack_unpacked object;
    size_t off = 0;

    msgpack_unpacked_init(&object);
    assert_int_equal(msgpack_unpack_next(&object, (const char *)in, len, &off), MSGPACK_UNPACK_SUCCESS);
    assert_int_equal(off, len);
    assert_int_equal(object.data.type, MSGPACK_OBJECT_ARRAY);
    assert_int_equal(object.data.via.array.ptr[1].via.u64, type);
    msgpack_unpacked_destroy(&object);
}

static void the_bytes_are_those_of_the_golden_file(void **state)
{
    static uint8_t want[4096], have[4096];
    struct ft_message m;
    size_t at = 0;

    (void)state;
    FILE *f = fopen(GOLDEN, "rb");
    assert_non_null(f);
    size_t len = fread(want, 1, sizeof(want), f);
    fclose(f);
    assert_int_equal(golden_frames(have, sizeof(have)), len);
    assert_memory_equal(have, want, len);
    for (unsigned type = 1; type < FT_MSG_TYPES; type++) {
        struct ft_message expected = golden_message(type);
        long used =
            ft_message_decode(want + at, len - at, type == FT_MSG_HELLO ? 0 : 3, &m, message_unpacked, NULL);
        assert_true(used > 0);
        message_same(&expected, &m);
        msgpack_reads(want + at + FT_FRAME_HEAD, (size_t)used - FT_FRAME_HEAD, type);
        at += (size_t)used;
    }
    assert_int_equal(ft_message_decode(want + at, len - at, 3, &m, message_unpacked, NULL), len - at);
    assert_int_equal(m.bulk_len, 100);
}

static int write_golden(void)
{
    static uint8_t out[4096];
    size_t len = golden_frames(out, sizeof(out));
    FILE *f = fopen(GOLDEN, "wb");

    return !f || fwrite(out, 1, len, f) != len || fclose(f);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_encoded_comes_back),
        cmocka_unit_test(largest_vectors_fit_the_bound),
        cmocka_unit_test(states_have_names),
        cmocka_unit_test(control_characters_are_cleaned),
        cmocka_unit_test(too_little_room_is_full),
        cmocka_unit_test(the_bytes_are_those_of_the_golden_file),
    };

    if (argc == 2 && !strcmp(argv[1], "--write-golden"))
        return write_golden();
    return cmocka_run_group_tests_name("message", tests, NULL, NULL);
}
