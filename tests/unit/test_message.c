/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages: what is encoded comes back; nothing else than a whole, unchanged frame is a message; contents
 * that are well-checksummed but impossible are refused by name; the bytes are those of the golden file.
 *
 * `test_message --write-golden` writes tests/golden/messages-v1.bin anew. Do that only with a new version.
 */
#include "ftcore/record/death_notice.h"
#include "ftcore/record/message.h"
#include "ftcore/record/runs.h"
#include "ftcore/base/draw.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <msgpack.h>
#include <xxhash.h>

#define GOLDEN "tests/golden/messages-v1.bin"

static uint8_t frame[FT_MESSAGE_MAX + 64], unpacked[FT_BULK_MAX], content[FT_BULK_MAX];

/* ---- seeded content ---- */

static uint64_t seed;

static uint64_t draw(void)
{
    return ft_draw(&seed);
}

/* Of all magnitudes. */
static uint64_t number(void)
{
    return draw() >> (draw() % 64);
}

static void text(char *to, size_t cap, size_t least)
{
    size_t len = least + draw() % (cap - least);

    for (size_t i = 0; i < len; i++)
        to[i] = (char)(' ' + draw() % 95);
}

static void fill(uint8_t *to, size_t len, bool repeats)
{
    for (size_t i = 0; i < len; i++)
        to[i] = (uint8_t)(repeats && i >= 100 ? to[i - 100] : draw());
}

static void hello(struct ft_message *m)
{
    m->incarnation = draw();
    text(m->name, FT_NAME_MAX, 1);
    m->role = draw() & 1;
    m->strict = draw() & 1;
    m->warm = draw() & 1;
    m->lanes = (uint16_t)(1 + draw() % FT_LANES_MAX);
    m->lease_ms = (uint32_t)(1 + draw() % 100);
    m->detect_ms = (uint32_t)(m->lease_ms + 1 + draw() % 100);
    m->promote_within_ms = (uint32_t)(m->detect_ms + 1 + draw() % 100);
    m->solo_after_ms = (uint32_t)(m->promote_within_ms + 1 + draw() % 100000);
    m->bulk_len = m->identity_len = (uint32_t)(draw() % (FT_IDENTITY_MAX + 1));
    for (uint32_t i = 0; i < m->bulk_len; i++)
        content[i] = (uint8_t)(1 + draw() % 255);
}

static struct ft_message any(unsigned type, unsigned lanes, uint32_t bulk_max)
{
    struct ft_message m = {.type = (uint8_t)type, .state = (uint8_t)(1 + draw() % FT_FENCED)};

    m.view = number() >> 1, m.sent = number(), m.echo = number();
    m.bulk = content;
    switch (type) {
    case FT_MSG_HELLO:
        hello(&m);
        break;
    case FT_MSG_SNAPSHOT:
    case FT_MSG_LOG:
    case FT_MSG_DELTA:
        m.bulk_len = (uint32_t)(draw() % (bulk_max + 1));
        fill(content, m.bulk_len, draw() & 1);
        break;
    case FT_MSG_ACK:
        for (unsigned i = 0; i < lanes; i++)
            m.replayed[i] = number(), m.taken[i] = number();
        /* fall through */
    case FT_MSG_SNAPSHOT_BEGIN:
    case FT_MSG_HOLDING:
    case FT_MSG_HANDOVER:
        for (unsigned i = 0; i < lanes; i++)
            m.burst[i] = number();
        break;
    case FT_MSG_STEER:
    case FT_MSG_STEERED:
        m.number = number();
        break;
    case FT_MSG_ABANDON:
    case FT_MSG_REFUSE:
    case FT_MSG_DRILL:
        text(m.text, FT_REASON_MAX, 0);
        break;
    case FT_MSG_VERDICT:
        m.lane = (uint16_t)(draw() % lanes);
        m.burst[0] = number();
        m.number = number(), m.number2 = number();
        break;
    }
    return m;
}

static void same(const struct ft_message *a, const struct ft_message *b)
{
    struct ft_message x = *a, y = *b;

    assert_int_equal(a->bulk_len, b->bulk_len);
    if (a->bulk_len)
        assert_memory_equal(a->bulk, b->bulk, a->bulk_len);
    x.bulk = y.bulk = NULL;
    assert_memory_equal(&x, &y, sizeof(x));
}

static void comes_back(const struct ft_message *m, unsigned lanes, struct ft_packer *compressor)
{
    struct ft_message got;
    struct ft_fault why = {"?"};

    long len = ft_message_encode(m, lanes, compressor, frame, sizeof(frame));
    assert_true(len > 0 && (size_t)len <= ft_message_bound(m));
    long used = ft_message_decode(frame, (size_t)len, lanes, &got, unpacked, &why);
    if (used != len)
        fail_msg("type %u: %ld of %ld bytes: %s", m->type, used, len, why.text);
    same(m, &got);
    /* What follows is left alone. */
    assert_int_equal(ft_message_decode(frame, sizeof(frame), lanes, &got, unpacked, NULL), len);
}

static void round_trips(void **state)
{
    struct ft_packer compressor = {0};

    (void)state;
    for (unsigned run = 1; run < 3000; run++) {
        seed = run;
        unsigned lanes = (unsigned)(1 + draw() % FT_LANES_MAX);
        struct ft_message m = any((unsigned)(1 + draw() % (FT_MSG_TYPES - 1)), lanes, 5000);

        compressor.skip = 0;
        comes_back(&m, lanes, draw() & 1 ? &compressor : NULL);
    }
    assert_true(compressor.kept > 20 && compressor.compressed < compressor.raw);
    for (unsigned big = 0; big < 4; big++) {
        struct ft_message m = {.type = FT_MSG_LOG, .state = FT_SOLO, .bulk = content};

        m.bulk_len = FT_BULK_MAX - (big & 1);
        fill(content, m.bulk_len, big & 2);
        compressor.skip = 0;
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

static void names(void **state)
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
    long len = ft_message_encode(&m, 1, NULL, frame, sizeof(frame));
    assert_int_equal(ft_message_decode(frame, (size_t)len, 1, &got, unpacked, NULL), len);
    assert_memory_equal(got.text, "a?????x", 7); /* UTF-8 cut anywhere is none */
    assert_int_equal(strlen(got.text), FT_REASON_MAX - 1);
}

/* ---- compression ---- */

static void packing_is_tried_every_64th_time_when_it_does_not_pay(void **state)
{
    struct ft_packer compressor = {0};
    struct ft_message m = {.type = FT_MSG_LOG, .state = FT_READY, .bulk = content, .bulk_len = 2000};

    (void)state;
    seed = 7;
    fill(content, 2000, false);
    for (unsigned i = 0; i < 128; i++)
        ft_message_encode(&m, 1, &compressor, frame, sizeof(frame));
    assert_int_equal(compressor.tried, 2);
    assert_int_equal(compressor.kept, 0);
    assert_int_equal(compressor.raw, 256000);
    assert_int_equal(compressor.compressed, 256000);
    memset(content, 'a', 2000);
    long len = ft_message_encode(&m, 1, &compressor, frame, sizeof(frame));
    assert_int_equal(compressor.kept, 1); /* the 129th is tried, and from now on each */
    assert_true(len < 100);
    ft_message_encode(&m, 1, &compressor, frame, sizeof(frame));
    assert_int_equal(compressor.kept, 2);
    assert_true(compressor.compressed < 256100);
    m.bulk_len = 63;
    ft_message_encode(&m, 1, &compressor, frame, sizeof(frame));
    assert_int_equal(compressor.tried, 4); /* too small to measure */
    m.bulk_len = 2000;
    assert_true(ft_message_encode(&m, 1, NULL, frame, sizeof(frame)) > 2000);
}

/* What did not pay is skipped by bytes: many small bulks that do not pack leave a large one its try. */
static void small_ones_do_not_keep_a_large_one_from_being_packed(void **state)
{
    struct ft_packer compressor = {0};
    struct ft_message m = {.type = FT_MSG_DELTA, .state = FT_READY, .bulk = content, .bulk_len = 100};

    (void)state;
    seed = 7;
    fill(content, 100, false);
    memset(content + 100, 'a', 7900);
    for (unsigned i = 0; i < 70; i++)
        ft_message_encode(&m, 1, &compressor, frame, sizeof(frame));
    assert_int_equal(compressor.tried, 2);
    assert_int_equal(compressor.kept, 0);
    m.bulk_len = 8000;
    assert_true(ft_message_encode(&m, 1, &compressor, frame, sizeof(frame)) < 1000);
    assert_int_equal(compressor.kept, 1);
}

static void too_little_room_is_full(void **state)
{
    struct ft_packer compressor = {0};

    (void)state;
    for (unsigned type = 1; type < FT_MSG_TYPES; type++) {
        seed = type;
        struct ft_message m = any(type, 3, 300);
        long len = ft_message_encode(&m, 3, NULL, frame, sizeof(frame));
        for (long cap = 0; cap < len; cap++) {
            uint8_t *exact = malloc((size_t)cap + 1);
            assert_int_equal(ft_message_encode(&m, 3, NULL, exact, (size_t)cap), FT_EFULL);
            free(exact);
        }
        assert_int_equal(ft_message_encode(&m, 3, NULL, frame, (size_t)len), len);
        compressor.skip = 0;
        assert_int_equal(ft_message_encode(&m, 3, &compressor, frame, 20), FT_EFULL);
    }
}

/* ---- damage ---- */

/* In memory of exactly that size, so that a read beyond it is seen. */
static long decode_exact(const uint8_t *in, size_t len, unsigned lanes)
{
    uint8_t *exact = malloc(len + 1);
    struct ft_message m;

    memcpy(exact + 1, in, len);
    long used = ft_message_decode(exact + 1, len, lanes, &m, unpacked, NULL);
    free(exact);
    return used;
}

static void truncated_is_never_a_message(void **state)
{
    struct ft_packer compressor = {0};

    (void)state;
    for (unsigned type = 1; type < FT_MSG_TYPES; type++) {
        seed = type + 100;
        struct ft_message m = any(type, 5, 800);
        long len = ft_message_encode(&m, 5, &compressor, frame, sizeof(frame));
        for (long cut = 0; cut < len; cut++)
            assert_int_equal(decode_exact(frame, (size_t)cut, 5), 0);
        /* The same with a length and a checksum that say so. */
        for (uint32_t cut = 1; cut < (uint32_t)len - FT_FRAME_HEAD; cut++) {
            uint32_t sum = (uint32_t)XXH3_64bits(frame + FT_FRAME_HEAD, cut);
            memcpy(frame, &cut, 4);
            memcpy(frame + 4, &sum, 4);
            assert_int_equal(decode_exact(frame, FT_FRAME_HEAD + cut, 5), FT_EMALFORMED);
        }
    }
}

static void each_flipped_bit_is_refused(void **state)
{
    struct ft_packer compressor = {0};
    unsigned checksum = 0;

    (void)state;
    for (unsigned type = 1; type < FT_MSG_TYPES; type++) {
        seed = type + 200;
        struct ft_message m = any(type, 5, 300), got;
        long len = ft_message_encode(&m, 5, &compressor, frame, sizeof(frame));
        memset(frame + len, 0, 1000);
        for (size_t bit = 0; bit < (size_t)len * 8; bit++) {
            frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
            long used = ft_message_decode(frame, (size_t)len + 1000, 5, &got, unpacked, NULL);
            assert_true(used == FT_ECHECKSUM || used == FT_EMALFORMED || (used == 0 && bit < 32));
            checksum += used == FT_ECHECKSUM;
            frame[bit / 8] ^= (uint8_t)(1u << bit % 8);
        }
    }
    assert_true(checksum > 1000);
}

static void noise_is_survived(void **state)
{
    struct ft_message m;

    (void)state;
    for (unsigned run = 1; run < 20000; run++) {
        seed = run;
        uint32_t len = (uint32_t)(1 + draw() % 200);

        struct ft_message snapshot = any((unsigned)(1 + draw() % (FT_MSG_TYPES - 1)), 2, 150);
        long had = ft_message_encode(&snapshot, 2, NULL, frame, sizeof(frame));
        if (len > had - FT_FRAME_HEAD || draw() & 1)
            len = (uint32_t)(had - FT_FRAME_HEAD);
        for (unsigned n = (unsigned)(draw() % 4); n; n--)
            frame[FT_FRAME_HEAD + draw() % len] = (uint8_t)draw();
        uint32_t sum = (uint32_t)XXH3_64bits(frame + FT_FRAME_HEAD, len);
        memcpy(frame, &len, 4);
        memcpy(frame + 4, &sum, 4);
        long used = decode_exact(frame, FT_FRAME_HEAD + len, 2);
        assert_true(used == FT_FRAME_HEAD + (long)len || used == FT_EMALFORMED || used == FT_EVERSION);
    }
    assert_int_equal(ft_message_decode((const uint8_t *)"\0\0\0", 4, 0, &m, unpacked, NULL), FT_EMALFORMED);
    assert_int_equal(ft_message_decode((const uint8_t *)"\1\0\x40", 4, 0, &m, unpacked, NULL), FT_EMALFORMED);
    assert_int_equal(ft_message_decode((const uint8_t *)"\0\0\x40", 4, 0, &m, unpacked, NULL), 0);
}

/* ---- hostile contents, by hand, well-checksummed ---- */

static msgpack_sbuffer by_hand;
static msgpack_packer pk;

static void begin(unsigned size, uint64_t version, uint64_t type, uint64_t st)
{
    msgpack_sbuffer_destroy(&by_hand);
    msgpack_sbuffer_init(&by_hand);
    msgpack_packer_init(&pk, &by_hand, msgpack_sbuffer_write);
    msgpack_pack_array(&pk, size);
    msgpack_pack_uint64(&pk, version);
    msgpack_pack_uint64(&pk, type);
    msgpack_pack_uint64(&pk, 7);
    msgpack_pack_uint64(&pk, 8);
    msgpack_pack_uint64(&pk, 9);
    msgpack_pack_uint64(&pk, st);
}

static void u(uint64_t v)
{
    msgpack_pack_uint64(&pk, v);
}

static void str(const char *bytes, size_t len)
{
    msgpack_pack_str(&pk, len);
    msgpack_pack_str_body(&pk, bytes, len);
}

static void bin(const void *bytes, size_t len)
{
    msgpack_pack_bin(&pk, len);
    msgpack_pack_bin_body(&pk, bytes, len);
}

static void raw(const char *bytes, size_t len)
{
    msgpack_sbuffer_write(&by_hand, bytes, len);
}

static long judge(unsigned lanes, struct ft_message *m, struct ft_fault *why)
{
    uint32_t len = (uint32_t)by_hand.size, sum = (uint32_t)XXH3_64bits(by_hand.data, by_hand.size);
    static uint8_t at[4u << 20];

    assert_true(len < sizeof(at) - FT_FRAME_HEAD);
    memcpy(at, &len, 4);
    memcpy(at + 4, &sum, 4);
    memcpy(at + FT_FRAME_HEAD, by_hand.data, len);
    return ft_message_decode(at, FT_FRAME_HEAD + len, lanes, m, unpacked, why);
}

static void refused(unsigned lanes, const char *expected)
{
    struct ft_message m;
    struct ft_fault why = {""};

    assert_int_equal(judge(lanes, &m, &why), FT_EMALFORMED);
    assert_string_equal(why.text, expected);
}

static void accepted(unsigned lanes, struct ft_message *m)
{
    struct ft_fault why = {""};

    if (judge(lanes, m, &why) <= 0)
        fail_msg("%s", why.text);
}

static void hostile_heads(void **state)
{
    struct ft_message m;
    struct ft_fault why;

    (void)state;
    begin(6, 1, FT_MSG_BEAT, 3);
    accepted(2, &m);
    assert_int_equal(m.view, 7);
    assert_int_equal(m.sent, 8);
    assert_int_equal(m.echo, 9);
    begin(60, 2, 99, 99); /* another version may look different in all else */
    assert_int_equal(judge(2, &m, &why), FT_EVERSION);
    assert_string_equal(why.text, "offset 11: version is 2, expected 1");
    begin(6, 1, 0, 3);
    refused(2, "offset 10: message type is 0, expected 1 to 18");
    begin(6, 1, FT_MSG_TYPES, 3);
    refused(2, "offset 10: message type is 19, expected 1 to 18");
    begin(6, 1, FT_MSG_BEAT, 0);
    refused(2, "offset 14: BEAT state is 0, expected 1 to 7");
    begin(6, 1, FT_MSG_BEAT, 8);
    refused(2, "offset 14: BEAT state is 8, expected 1 to 7");
    begin(7, 1, FT_MSG_BEAT, 3);
    u(1);
    refused(2, "offset 8: BEAT is an array of 7, expected 6");
    begin(6, 1, FT_MSG_BEAT, 3);
    u(1);
    refused(2, "offset 15: BEAT goes on for 1 bytes, expected its end");
    begin(6, 1, FT_MSG_STEER, 3);
    refused(2, "offset 8: STEER is an array of 6, expected 7");
    begin(7, 1, FT_MSG_STEER, 3);
    refused(2, "offset 15: STEER ends, expected number as an unsigned number");
    begin(7, 1, FT_MSG_STEER, 3);
    raw("\xcf\1\2\3", 4);
    refused(2, "offset 15: STEER number begins with byte cf and 3 follow, expected an unsigned number");
    begin(7, 1, FT_MSG_STEER, 3);
    msgpack_pack_int(&pk, -1);
    refused(2, "offset 15: STEER number begins with byte ff and 0 follow, expected an unsigned number");
    begin(7, 1, FT_MSG_STEER, 3);
    msgpack_pack_nil(&pk);
    refused(2, "offset 15: STEER number begins with byte c0 and 0 follow, expected an unsigned number");
}

static void hostile_containers(void **state)
{
    static const char *const bytes[] = {
        "\x80", "\xc1", "\xdd\xff\xff\xff\xff", "\xdf\xff\xff\xff\xff", "\xc6\xff\xff\xff\xff",
        "\xa0", "\x90"};
    struct ft_message m;

    (void)state;
    for (size_t i = 0; i < sizeof(bytes) / sizeof(bytes[0]); i++) {
        msgpack_sbuffer_clear(&by_hand);
        raw(bytes[i], strlen(bytes[i]));
        assert_int_equal(judge(0, &m, NULL), FT_EMALFORMED);
    }
    msgpack_sbuffer_clear(&by_hand);
    for (unsigned i = 0; i < 100000; i++) /* depth is no recursion */
        raw("\x91", 1);
    assert_int_equal(judge(0, &m, NULL), FT_EMALFORMED);
}

static void vector(unsigned n)
{
    msgpack_pack_array(&pk, n);
    for (unsigned i = 0; i < n; i++)
        u(i + 10);
}

static void hostile_vectors(void **state)
{
    struct ft_message m;

    (void)state;
    for (unsigned n = 0; n < 20; n++) {
        begin(7, 1, FT_MSG_HOLDING, 5);
        vector(n);
        if (n == 2) {
            accepted(2, &m);
            assert_int_equal(m.burst[1], 11);
            assert_int_equal(m.burst[2], 0);
        } else {
            assert_int_equal(judge(2, &m, NULL), FT_EMALFORMED);
        }
        if (n >= 1 && n <= 16)
            accepted(0, &m);
        else
            assert_int_equal(judge(0, &m, NULL), FT_EMALFORMED);
    }
    begin(7, 1, FT_MSG_HOLDING, 5);
    vector(3);
    refused(2, "offset 15: HOLDING burst has 3 numbers, expected 2");
    begin(9, 1, FT_MSG_ACK, 5);
    vector(2);
    vector(2);
    vector(1);
    refused(2, "offset 21: ACK taken has 1 numbers, expected 2");
    begin(10, 1, FT_MSG_VERDICT, 5);
    u(2), u(5), u(6), u(7);
    refused(2, "offset 15: VERDICT lane is 2, expected 0 to 1");
    begin(10, 1, FT_MSG_VERDICT, 5);
    u(1), u(5), u(6), u(7);
    accepted(2, &m);
    assert_int_equal(m.burst[0] * 100 + m.number * 10 + m.number2, 567);
}

/* A hello whose field `index` is `with` instead. */
static void begin_hello(unsigned index, uint64_t with, const char *name, size_t name_len,
                        const char *identity, size_t identity_len)
{
    uint64_t v[] = {1, 0, 1, 0, 1, 4, 25, 50, 100, 300};

    if (index)
        v[index] = with;
    begin(17, 1, FT_MSG_HELLO, 1);
    u(v[0]);
    str(name, name_len);
    for (unsigned i = 2; i < 10; i++)
        u(v[i]);
    bin(identity, identity_len);
}

static void hostile_hellos(void **state)
{
    static const struct {
        unsigned index;
        uint64_t with;
        const char *expected;
    } bad[] = {
        {2, 2, "offset 22: HELLO role is 2, expected 0 to 1"},
        {3, 2, "offset 23: HELLO strict is 2, expected 0 to 1"},
        {4, 2, "offset 24: HELLO warm is 2, expected 0 to 1"},
        {5, 0, "offset 25: HELLO lanes is 0, expected 1 to 16"},
        {5, 17, "offset 25: HELLO lanes is 17, expected 1 to 16"},
        {5, 65537, "offset 25: HELLO lanes is 65537, expected 1 to 16"},
        {6, 0, "offset 26: HELLO lease_ms is 0, expected 1 to 4294967295"},
        {6, 50, "offset 27: HELLO detect_ms is 50, expected 51 to 4294967295"},
        {7, 25, "offset 27: HELLO detect_ms is 25, expected 26 to 4294967295"},
        {8, 50, "offset 28: HELLO promote_within_ms is 50, expected 51 to 4294967295"},
        {9, 100, "offset 29: HELLO solo_after_ms is 100, expected 101 to 4294967295"},
        {6, 4294967295, "offset 31: HELLO detect_ms is 50, expected 4294967296 to 4294967295"},
        {9, 1ull << 32, "offset 29: HELLO solo_after_ms is 4294967296, expected 101 to 4294967295"},
    };
    static char identity[FT_IDENTITY_MAX + 1];
    struct ft_message m;

    (void)state;
    begin_hello(0, 0, "ab", 2, "nat\n", 4);
    accepted(0, &m);
    assert_string_equal(m.name, "ab");
    assert_int_equal(m.solo_after_ms, 300);
    assert_int_equal(m.strict * 10 + m.warm, 1);
    assert_int_equal(m.identity_len, 4);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        begin_hello(bad[i].index, bad[i].with, "abc", 3, "nat\n", 4);
        refused(0, bad[i].expected);
    }
    begin_hello(0, 0, "", 0, "", 0);
    refused(0, "offset 18: HELLO name has 0 bytes, expected 1 to 31");
    begin_hello(0, 0, "12345678901234567890123456789012", 32, "", 0);
    refused(0, "offset 18: HELLO name has 32 bytes, expected 1 to 31");
    begin_hello(0, 0, "a\0b", 3, "", 0);
    refused(0, "offset 20: HELLO name has byte 00, expected no control character");
    begin_hello(0, 0, "a\x1b[", 3, "", 0);
    refused(0, "offset 20: HELLO name has byte 1b, expected no control character");
    begin_hello(0, 0, "abc", 3, "na\0t", 4);
    assert_int_equal(judge(0, &m, NULL), FT_EMALFORMED);
    memset(identity, 'x', sizeof(identity));
    begin_hello(0, 0, "abc", 3, identity, FT_IDENTITY_MAX);
    accepted(0, &m);
    begin_hello(0, 0, "abc", 3, identity, FT_IDENTITY_MAX + 1);
    assert_int_equal(judge(0, &m, NULL), FT_EMALFORMED);
}

static void hostile_texts(void **state)
{
    char long_text[FT_REASON_MAX];
    struct ft_message m;

    (void)state;
    memset(long_text, 't', sizeof(long_text));
    begin(7, 1, FT_MSG_REFUSE, 5);
    str(long_text, FT_REASON_MAX - 1);
    accepted(1, &m);
    assert_int_equal(strlen(m.text), FT_REASON_MAX - 1);
    begin(7, 1, FT_MSG_REFUSE, 5);
    str(long_text, FT_REASON_MAX);
    refused(1, "offset 15: REFUSE text has 128 bytes, expected 0 to 127");
    begin(7, 1, FT_MSG_DRILL, 5);
    raw("\xdb\xff\xff\xff\xff", 5);
    refused(1, "offset 15: DRILL text has 4294967295 bytes, expected 0 to 127");
    begin(7, 1, FT_MSG_DRILL, 5);
    raw("\xa5"
        "abc",
        4);
    refused(1, "offset 15: DRILL text has 3 bytes, expected 5");
    begin(7, 1, FT_MSG_DRILL, 5);
    bin("abc", 3);
    refused(1, "offset 15: DRILL text begins with byte c4 and 4 follow, expected a string");
}

/* 100 times 'a' as an LZ4 block: one literal, a match of 94 at distance 1, five literals. */
static const char lz4_block[12] = {0x1f, 'a', 1, 0, 94 - 4 - 15, 0x50, 'a', 'a', 'a', 'a', 'a'};
#define LZ4_LEN 11u

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
    struct ft_packer compressor = {0};
    struct ft_message m = {.type = FT_MSG_SNAPSHOT, .state = FT_READY, .bulk = content, .bulk_len = 65636};
    uint8_t blocks[1024];
    size_t len = two_blocks(blocks);
    uint32_t wrong = 300;

    (void)state;
    begin(8, 1, FT_MSG_SNAPSHOT, 5);
    u(65636), bin(blocks, len);
    accepted(1, &m);
    assert_int_equal(m.bulk_len, 65636);
    for (unsigned i = 0; i < m.bulk_len; i++)
        assert_int_equal(m.bulk[i], 'a');
    begin(8, 1, FT_MSG_SNAPSHOT, 5);
    u(65637), bin(blocks, len);
    refused(1, "offset 298: BASE block gives 100 bytes, expected 101");
    begin(8, 1, FT_MSG_SNAPSHOT, 5);
    u(65536 * 2 + 100), bin(blocks, len);
    refused(1, "offset 298: BASE block gives 100 bytes, expected 65536");
    begin(8, 1, FT_MSG_SNAPSHOT, 5);
    u(65636), bin(blocks, len - LZ4_LEN);
    refused(1, "offset 298: BASE block of 11 bytes, expected at most 0");
    begin(8, 1, FT_MSG_SNAPSHOT, 5);
    u(65636), bin(blocks, len - LZ4_LEN - 1);
    refused(1, "offset 294: BASE blocks end, expected 100 bytes more of bulk");
    begin(8, 1, FT_MSG_SNAPSHOT, 5);
    blocks[len] = 0;
    u(65636), bin(blocks, len + 1);
    refused(1, "offset 309: BASE 1 bytes behind the blocks");
    memcpy(blocks, &wrong, 4);
    begin(8, 1, FT_MSG_SNAPSHOT, 5);
    u(65636), bin(blocks, len);
    refused(1, "offset 27: BASE block of 300 bytes, expected at most 282");
    /* Content that repeats itself over more than a block's table: each block is compressed by itself. */
    m = (struct ft_message){.type = FT_MSG_SNAPSHOT, .state = FT_READY, .bulk = content, .bulk_len = 200000};
    seed = 3;
    fill(content, 2000, false);
    for (size_t at = 2000; at < 200000; at += 2000)
        memcpy(content + at, content, 2000);
    long used = ft_message_encode(&m, 1, &compressor, frame, sizeof(frame));

    assert_true(used > 4 * 2000 && used < 4 * 2500);
    assert_int_equal(ft_message_decode(frame, (size_t)used, 1, &m, unpacked, NULL), used);
    assert_int_equal(m.bulk_len, 200000);
    assert_memory_equal(m.bulk, content, 200000);
}

static void hostile_bulks(void **state)
{
    struct ft_message m;

    (void)state;
    begin(8, 1, FT_MSG_LOG, 5);
    u(100), bin(lz4_block, LZ4_LEN);
    accepted(1, &m);
    assert_int_equal(m.bulk_len, 100);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(m.bulk[i], 'a');
    begin(8, 1, FT_MSG_LOG, 5);
    u(99), bin(lz4_block, LZ4_LEN);
    assert_int_equal(judge(1, &m, NULL), FT_EMALFORMED);
    begin(8, 1, FT_MSG_LOG, 5);
    u(101), bin(lz4_block, LZ4_LEN);
    refused(1, "offset 18: LOG block gives 100 bytes, expected 101");
    begin(8, 1, FT_MSG_LOG, 5);
    u(LZ4_LEN), bin(lz4_block, LZ4_LEN);
    refused(1, "offset 16: LOG bulk has 11 bytes, expected 0 to 10");
    begin(8, 1, FT_MSG_LOG, 5);
    u(FT_BULK_MAX + 1), bin(lz4_block, LZ4_LEN);
    refused(1, "offset 15: LOG size of bulk is 2097153, expected at most 2097152");
    begin(8, 1, FT_MSG_SNAPSHOT, 5);
    u(0), raw("\xc6\x00\x20\x00\x01", 5);
    refused(1, "offset 16: BASE bulk has 2097153 bytes, expected 0 to 2097152");
    begin(8, 1, FT_MSG_SNAPSHOT, 5);
    u(0), raw("\xc5\x01\x00xyz", 6);
    refused(1, "offset 16: BASE bulk has 3 bytes, expected 256");
    begin(8, 1, FT_MSG_SNAPSHOT, 5);
    u(0), str("x", 1);
    refused(1, "offset 16: BASE bulk begins with byte a1 and 1 follow, expected bytes");
    begin(8, 1, FT_MSG_LOG, 5);
    u(0), bin("", 0);
    accepted(1, &m);
    assert_int_equal(m.bulk_len, 0);
}

/* ---- runs of lines and words ---- */

static void runs_round_trip(void **state)
{
    static uint8_t out[1000];
    uint8_t lines[3 * FT_LINE];
    struct ft_line_run a = {.line = 5, .count = 3, .bytes = lines},
                       z = {.line = 1000, .count = 24, .zero = true};
    struct ft_line_run got;
    uint32_t len = 0, at = 0;

    (void)state;
    seed = 3;
    fill(lines, sizeof(lines), false);
    assert_true(ft_run_append(out, &len, sizeof(out), &a));
    assert_int_equal(len, 16 + 192);
    assert_true(ft_run_append(out, &len, sizeof(out), &z));
    assert_int_equal(len, 16 + 192 + 16);
    assert_int_equal(ft_run_next(out, len, &at, 1024, &got), 1);
    assert_true(got.line == 5 && got.count == 3 && !got.zero);
    assert_memory_equal(got.bytes, lines, sizeof(lines));
    assert_int_equal(ft_run_next(out, len, &at, 1024, &got), 1);
    assert_true(got.line == 1000 && got.count == 24 && got.zero && !got.bytes);
    assert_int_equal(ft_run_next(out, len, &at, 1024, &got), 0);
    len = 0;
    assert_false(ft_run_append(out, &len, 16 + 191, &a));
    assert_int_equal(len, 0);
    assert_true(ft_run_append(out, &len, 16 + 192, &a));
    assert_false(ft_run_append(out, &len, 16 + 192 + 15, &z));
}

static int one_run(uint64_t line, uint32_t count, uint32_t flags, uint32_t bytes, uint64_t lines)
{
    uint8_t *in = calloc(1, 16 + bytes + 1);
    struct ft_line_run run;
    uint32_t at = 0;

    memcpy(in, &line, 8);
    memcpy(in + 8, &count, 4);
    memcpy(in + 12, &flags, 4);
    int rc = ft_run_next(in, 16 + bytes, &at, lines, &run);
    free(in);
    return rc;
}

static void hostile_runs(void **state)
{
    struct ft_line_run run;
    uint32_t at = 0;

    (void)state;
    assert_int_equal(one_run(0, 2, 0, 128, 2), 1);
    assert_int_equal(one_run(0, 2, 0, 127, 2), FT_EMALFORMED);
    assert_int_equal(one_run(1, 2, 0, 128, 2), FT_EMALFORMED);
    assert_int_equal(one_run(0, 0, 0, 0, 2), FT_EMALFORMED);
    assert_int_equal(one_run(0, 1, 2, 64, 2), FT_EMALFORMED);
    assert_int_equal(one_run(UINT64_MAX, 2, 1, 0, 100), FT_EMALFORMED);
    assert_int_equal(one_run(0, UINT32_MAX, 1, 0, 100), FT_EMALFORMED);
    assert_int_equal(one_run(0, 1u << 26, 0, 64, UINT64_MAX), FT_EMALFORMED); /* 4 GiB: must not wrap */
    assert_int_equal(one_run(0, UINT32_MAX, 1, 0, UINT32_MAX), 1);
    assert_int_equal(ft_run_next((const uint8_t *)"0123456789abcde", 15, &at, 10, &run), FT_EMALFORMED);
}

static void words(void **state)
{
    struct ft_death_notice word = {0x0102030405060708, 42}, got;
    uint8_t out[FT_DEATH_NOTICE_BYTES + 1];

    (void)state;
    ft_death_notice_encode(&word, out);
    assert_memory_equal(out, "understu\1\0\0\0\0\0\0\0\x08\7\6\5\4\3\2\1\x2a", 25);
    assert_int_equal(ft_death_notice_decode(out, FT_DEATH_NOTICE_BYTES, &got), 0);
    assert_true(got.incarnation == word.incarnation && got.view == 42);
    for (size_t len = 0; len <= FT_DEATH_NOTICE_BYTES + 1; len++)
        if (len != FT_DEATH_NOTICE_BYTES)
            assert_int_equal(ft_death_notice_decode(out, len, &got), FT_EMALFORMED);
    for (unsigned bit = 0; bit < FT_DEATH_NOTICE_BYTES * 8; bit++) {
        out[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(ft_death_notice_decode(out, FT_DEATH_NOTICE_BYTES, &got),
                         bit < 128 ? FT_EMALFORMED : FT_ECHECKSUM);
        out[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
}

/* ---- golden file: one of each type, then a compressed LOG written by hand ---- */

static struct ft_message golden_message(unsigned type)
{
    static const uint8_t bulk[] = "line one\nline two\n";
    struct ft_message m = {.type = (uint8_t)type, .state = (uint8_t)(1 + type % 7), .view = type};

    m.sent = 1000000007ull * type, m.echo = type == 1 ? 0 : 0xfedcba9876543210ull;
    m.bulk = bulk;
    switch (type) {
    case FT_MSG_HELLO:
        m.incarnation = 0x1122334455667788ull;
        strcpy(m.name, "north");
        m.strict = 1, m.warm = 1, m.lanes = 3, m.lease_ms = 25, m.detect_ms = 50, m.promote_within_ms = 200;
        m.solo_after_ms = 70000;
        m.bulk_len = m.identity_len = 18;
        break;
    case FT_MSG_SNAPSHOT:
    case FT_MSG_LOG:
    case FT_MSG_DELTA:
        m.bulk_len = 18;
        break;
    case FT_MSG_STEER:
    case FT_MSG_STEERED:
        m.number = 65536;
        break;
    case FT_MSG_ABANDON:
    case FT_MSG_REFUSE:
    case FT_MSG_DRILL:
        strcpy(m.text, "kill -9, and then some more words so that it takes two bytes of length");
        break;
    case FT_MSG_VERDICT:
        m.lane = 2, m.burst[0] = 300, m.number = UINT64_MAX, m.number2 = 1ull << 32;
        break;
    case FT_MSG_SNAPSHOT_BEGIN:
    case FT_MSG_ACK:
    case FT_MSG_HOLDING:
    case FT_MSG_HANDOVER:
        for (unsigned i = 0; i < 3; i++) {
            m.burst[i] = 100u * i;
            m.replayed[i] = type == FT_MSG_ACK ? 90u * i : 0;
            m.taken[i] = type == FT_MSG_ACK ? 70000u * i : 0;
        }
    }
    return m;
}

static size_t golden_packed(uint8_t *out)
{
    begin(8, 1, FT_MSG_LOG, FT_PROTECTED);
    raw("\xce\0\0\0\x64\xc6\0\0\0\x0b", 10);
    raw(lz4_block, LZ4_LEN);
    uint32_t len = (uint32_t)by_hand.size, sum = (uint32_t)XXH3_64bits(by_hand.data, by_hand.size);
    memcpy(out, &len, 4);
    memcpy(out + 4, &sum, 4);
    memcpy(out + FT_FRAME_HEAD, by_hand.data, len);
    return FT_FRAME_HEAD + len;
}

static size_t golden_frames(uint8_t *out, size_t cap)
{
    size_t len = 0;

    for (unsigned type = 1; type < FT_MSG_TYPES; type++) {
        struct ft_message m = golden_message(type);
        len += (size_t)ft_message_encode(&m, 3, NULL, out + len, cap - len);
    }
    return len + golden_packed(out + len);
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

static void golden_file(void **state)
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
        long used = ft_message_decode(want + at, len - at, type == FT_MSG_HELLO ? 0 : 3, &m, unpacked, NULL);
        assert_true(used > 0);
        same(&expected, &m);
        msgpack_reads(want + at + FT_FRAME_HEAD, (size_t)used - FT_FRAME_HEAD, type);
        at += (size_t)used;
    }
    assert_int_equal(ft_message_decode(want + at, len - at, 3, &m, unpacked, NULL), len - at);
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
        cmocka_unit_test(round_trips),
        cmocka_unit_test(largest_vectors_fit_the_bound),
        cmocka_unit_test(names),
        cmocka_unit_test(control_characters_are_cleaned),
        cmocka_unit_test(packing_is_tried_every_64th_time_when_it_does_not_pay),
        cmocka_unit_test(small_ones_do_not_keep_a_large_one_from_being_packed),
        cmocka_unit_test(too_little_room_is_full),
        cmocka_unit_test(truncated_is_never_a_message),
        cmocka_unit_test(each_flipped_bit_is_refused),
        cmocka_unit_test(noise_is_survived),
        cmocka_unit_test(hostile_heads),
        cmocka_unit_test(hostile_containers),
        cmocka_unit_test(hostile_vectors),
        cmocka_unit_test(hostile_hellos),
        cmocka_unit_test(hostile_texts),
        cmocka_unit_test(a_large_bulk_has_several_blocks),
        cmocka_unit_test(hostile_bulks),
        cmocka_unit_test(runs_round_trip),
        cmocka_unit_test(hostile_runs),
        cmocka_unit_test(words),
        cmocka_unit_test(golden_file),
    };

    msgpack_sbuffer_init(&by_hand);
    if (argc == 2 && !strcmp(argv[1], "--write-golden"))
        return write_golden();
    int failed = cmocka_run_group_tests_name("message", tests, NULL, NULL);
    msgpack_sbuffer_destroy(&by_hand);
    return failed;
}
