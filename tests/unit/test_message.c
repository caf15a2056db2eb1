/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages: what is encoded comes back, and the bytes are those of the golden file (GOLDEN=rewrite:
 * help_golden).
 */
#include "ftcore/record/datagram.h"
#include "ftcore/record/message.h"
#include "ftcore/record/delta.h"
#include "tests/help/message.h"
#include "tests/help/program.h"
#include "tests/help/record.h"
#include "tests/help/test.h"

#include <msgpack.h>
#include <xxhash.h>

#define GOLDEN "tests/golden/messages-v4.bin"

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

TEST(what_is_encoded_comes_back)
{
    unsigned shorter = 0;

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

TEST(largest_vectors_fit_the_bound)
{
    struct ft_message m = {.type = FT_MSG_ACK, .state = FT_READY, .view = INT64_MAX, .sent = UINT64_MAX};

    m.echo = UINT64_MAX;
    memset(m.burst, 0xff, sizeof(m.burst));
    memset(m.replayed, 0xff, sizeof(m.replayed));
    memset(m.taken, 0xff, sizeof(m.taken));
    comes_back(&m, FT_LANES_MAX, NULL);
}

TEST(states_have_names)
{
    assert_string_equal(ft_state_name(FT_JOINING), "JOINING");
    assert_string_equal(ft_state_name(FT_SYNCING), "SYNCING");
    assert_string_equal(ft_state_name(FT_PROTECTED), "PROTECTED");
    assert_string_equal(ft_state_name(FT_FENCED), "FENCED");
    assert_string_equal(ft_state_name((enum ft_state)0), "?");
    assert_string_equal(ft_state_name((enum ft_state)8), "?");
}

TEST(control_characters_are_cleaned)
{
    struct ft_message m = {.type = FT_MSG_REFUSE, .state = FT_READY}, got;

    memset(m.text, 'x', sizeof(m.text)); /* and not ended: cut */
    memcpy(m.text, "a\n\x1b\x7f\xc3\xa9", 6);
    long len = ft_message_encode(&m, 1, NULL, true, message_frame, sizeof(message_frame));
    assert_int_equal(ft_message_decode(message_frame, (size_t)len, 1, &got, message_unpacked, NULL), len);
    assert_memory_equal(got.text, "a?????x", 7); /* UTF-8 cut anywhere is none */
    assert_int_equal(strlen(got.text), FT_REASON_MAX - 1);
}

TEST(too_little_room_is_full)
{
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

static size_t golden_compressed(unsigned version, uint8_t *out)
{
    message_begin(8, version, FT_MSG_LOG, FT_PROTECTED);
    message_put_raw("\xce\0\0\0\x64\xc6\0\0\0\x0b", 10);
    message_put_raw(lz4_block, LZ4_LEN);
    uint32_t len = (uint32_t)message_by_hand.size,
             sum = (uint32_t)XXH3_64bits(message_by_hand.data, message_by_hand.size);
    memcpy(out, &len, 4);
    memcpy(out + 4, &sum, 4);
    memcpy(out + FT_FRAME_HEAD, message_by_hand.data, len);
    return FT_FRAME_HEAD + len;
}

static size_t golden_frames(unsigned version, uint8_t *out, size_t cap)
{
    size_t len = 0;

    for (unsigned type = 1; type < FT_MSG_TYPES; type++) {
        struct ft_message m = golden_message(type);

        m.version = type == FT_MSG_HELLO || type == FT_MSG_REFUSE ? 0 : (uint16_t)version;
        if (type == FT_MSG_HELLO)
            m.newest = (uint16_t)version;
        len += (size_t)ft_message_encode(&m, 3, NULL, true, out + len, cap - len);
    }
    return len + golden_compressed(version, out + len);
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

TEST(the_bytes_are_those_of_the_golden_file)
{
    static uint8_t want[4096];
    struct ft_message m;
    size_t at = 0, len = golden_frames(FT_FORMAT_NEWEST, want, sizeof(want));

    help_golden(GOLDEN, want, len, false);
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

/* A peer of release 0.2 is told what it was told before. */
TEST(the_version_before_has_its_bytes)
{
    static uint8_t frames[4096];

    help_golden("tests/golden/messages-v3.bin", frames, golden_frames(3, frames, sizeof(frames)), true);
}

/*
 * Runs of lines, which are the bulk of a snapshot, and the death notice: what comes back, and what is
 * refused.
 */

TEST(runs_come_back)
{
    static uint8_t out[1000];
    uint8_t lines[3 * FT_LINE];
    struct ft_line_run a = {.line = 5, .count = 3, .bytes = lines},
                       z = {.line = 1000, .count = 24, .zero = true};
    struct ft_line_run got;
    uint32_t len = 0, at = 0;

    draw_seed = 3;
    message_fill(lines, sizeof(lines), false);
    assert_true(ft_line_run_append(out, &len, sizeof(out), &a));
    assert_int_equal(len, 16 + 192);
    assert_true(ft_line_run_append(out, &len, sizeof(out), &z));
    assert_int_equal(len, 16 + 192 + 16);
    assert_int_equal(ft_line_run_next(out, len, &at, 1024, &got), 1);
    assert_true(got.line == 5 && got.count == 3 && !got.zero);
    assert_memory_equal(got.bytes, lines, sizeof(lines));
    assert_int_equal(ft_line_run_next(out, len, &at, 1024, &got), 1);
    assert_true(got.line == 1000 && got.count == 24 && got.zero && !got.bytes);
    assert_int_equal(ft_line_run_next(out, len, &at, 1024, &got), 0);
    len = 0;
    assert_false(ft_line_run_append(out, &len, 16 + 191, &a));
    assert_int_equal(len, 0);
    assert_true(ft_line_run_append(out, &len, 16 + 192, &a));
    assert_false(ft_line_run_append(out, &len, 16 + 192 + 15, &z));
}

static int one_run(uint64_t line, uint32_t count, uint32_t flags, uint32_t bytes, uint64_t lines)
{
    uint8_t *in = calloc(1, 16 + bytes + 1);
    struct ft_line_run run;
    uint32_t at = 0;

    memcpy(in, &line, 8);
    memcpy(in + 8, &count, 4);
    memcpy(in + 12, &flags, 4);
    int rc = ft_line_run_next(in, 16 + bytes, &at, lines, &run);
    free(in);
    return rc;
}

TEST(impossible_runs_are_refused)
{
    struct ft_line_run run;
    uint32_t at = 0;

    assert_int_equal(one_run(0, 2, 0, 128, 2), 1);
    assert_int_equal(one_run(0, 2, 0, 127, 2), FT_EMALFORMED);
    assert_int_equal(one_run(1, 2, 0, 128, 2), FT_EMALFORMED);
    assert_int_equal(one_run(0, 0, 0, 0, 2), FT_EMALFORMED);
    assert_int_equal(one_run(0, 1, 2, 64, 2), FT_EMALFORMED);
    assert_int_equal(one_run(UINT64_MAX, 2, 1, 0, 100), FT_EMALFORMED);
    assert_int_equal(one_run(0, UINT32_MAX, 1, 0, 100), FT_EMALFORMED);
    assert_int_equal(one_run(0, 1u << 26, 0, 64, UINT64_MAX), FT_EMALFORMED); /* 4 GiB: must not wrap */
    assert_int_equal(one_run(0, UINT32_MAX, 1, 0, UINT32_MAX), 1);
    assert_int_equal(ft_line_run_next((const uint8_t *)"0123456789abcde", 15, &at, 10, &run), FT_EMALFORMED);
}

/* The tag was computed by Python's hmac. */
TEST(a_datagram_comes_back_and_its_damage_is_refused)
{
    static const char expected[] = "understu\3\0\0\0\2\0\0\0\x2a\0\0\0\0\0\0\0\7\0\0\0\0\0\0\0"
                                   "\1\0\0\0\xdc\5\0\0\0\4\0\0\0\0\0\0"
                                   "\x84\x0e\x7a\x2e\xd2\x4a\x35\xbe\xd6\x0f\x0d\x4e\x07\x7e\x8d\xef";
    /* Of no version: these bytes are for ever. */
    static const char notice[FT_DATAGRAM_BYTES] =
        "understu\0\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
        "\x9f\x96\x9d\x5e\xad\x62\x81\x79\xe9\x15\x9b\x26\xbe\xe3\xa8\x90";
    struct ft_datagram_key key = {0x0102030405060708, {0x1112131415161718, 0x2122232425262728}}, other = key;
    struct ft_datagram heartbeat = {3, FT_HEARTBEAT, 42, 7, 1, 1500, {0, FT_PORT_UNHEARD}}, got;
    uint8_t out[FT_DATAGRAM_BYTES + 1] = {0};

    ft_datagram_encode(&heartbeat, &key, out);
    assert_memory_equal(out, expected, FT_DATAGRAM_BYTES);
    assert_int_equal(ft_datagram_decode(out, FT_DATAGRAM_BYTES, &key, &got), 0);
    assert_true(got.kind == FT_HEARTBEAT && got.view == 42 && got.sent == 7 && got.port == 1 &&
                got.mtu == 1500);
    assert_memory_equal(got.fault, heartbeat.fault, sizeof(got.fault));
    for (size_t len = 0; len <= FT_DATAGRAM_BYTES + 1; len++)
        if (len != FT_DATAGRAM_BYTES)
            assert_int_equal(ft_datagram_decode(out, len, &key, &got), FT_EMALFORMED);
    for (unsigned bit = 0; bit < FT_DATAGRAM_BYTES * 8; bit++) {
        out[bit / 8] ^= (uint8_t)(1u << bit % 8);
        assert_int_equal(ft_datagram_decode(out, FT_DATAGRAM_BYTES, &key, &got), bit < 64   ? FT_EMALFORMED
                                                                                 : bit < 96 ? FT_EVERSION
                                                                                            : FT_EPERM);
        out[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    heartbeat.view = FT_VIEW_MAX;
    ft_datagram_encode(&heartbeat, &key, out);
    assert_int_equal(ft_datagram_decode(out, FT_DATAGRAM_BYTES, &key, &got), 0);
    heartbeat.view++;
    ft_datagram_encode(&heartbeat, &key, out);
    assert_int_equal(ft_datagram_decode(out, FT_DATAGRAM_BYTES, &key, &got), FT_EMALFORMED);
    heartbeat.view = 1;
    heartbeat.port = FT_DATAGRAM_PORTS;
    ft_datagram_encode(&heartbeat, &key, out);
    assert_int_equal(ft_datagram_decode(out, FT_DATAGRAM_BYTES, &key, &got), FT_EMALFORMED);
    heartbeat.port = 0;
    heartbeat.fault[7] = FT_PORT_FAULTS;
    ft_datagram_encode(&heartbeat, &key, out);
    assert_int_equal(ft_datagram_decode(out, FT_DATAGRAM_BYTES, &key, &got), FT_EMALFORMED);
    assert_int_equal(ft_datagram_encode(&(struct ft_datagram){.kind = FT_DEATH_NOTICE}, &key, out), 64);
    assert_memory_equal(out, notice, sizeof(notice));
    assert_int_equal(ft_datagram_decode(out, 64, &key, &got), 0);
    assert_int_equal(got.kind, FT_DEATH_NOTICE);
    other.incarnation++;
    assert_int_equal(ft_datagram_decode(out, FT_DATAGRAM_BYTES, &other, &got), FT_EPERM);
    other = key;
    other.secret[1]++;
    assert_int_equal(ft_datagram_decode(out, FT_DATAGRAM_BYTES, &other, &got), FT_EPERM);
}

/* The bulk of a message: when it is compressed, its blocks, and bulks that are impossible. */

/* The frame's length. */
static long pack(struct ft_compressor *compressor, const uint8_t *bulk, uint32_t len)
{
    struct ft_message m = {.type = FT_MSG_LOG, .state = FT_READY, .bulk = bulk, .bulk_len = len};

    return ft_message_encode(&m, 1, compressor, true, message_frame, sizeof(message_frame));
}

TEST(compression_is_tried_every_64th_time_when_it_does_not_pay)
{
    const uint8_t *noise = message_content, *plain = message_content + 2000;
    struct ft_compressor compressor = {0};

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
TEST(small_bulks_do_not_keep_a_large_one_from_being_compressed)
{
    struct ft_compressor compressor = {0};

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

TEST(a_large_bulk_has_several_blocks)
{
    struct ft_compressor compressor = {0};
    struct ft_message m = {
        .type = FT_MSG_SNAPSHOT, .state = FT_READY, .bulk = message_content, .bulk_len = 65636};
    uint8_t blocks[1024];
    size_t len = two_blocks(blocks);
    uint32_t wrong = 300;

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

TEST(impossible_bulks_are_refused_by_name)
{
    struct ft_message m;

    message_begin(8, FT_FORMAT_NEWEST, FT_MSG_LOG, 5);
    message_put(100), message_put_bytes(lz4_block, LZ4_LEN);
    message_accepted(1, &m);
    assert_int_equal(m.bulk_len, 100);
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(m.bulk[i], 'a');
    message_begin(8, FT_FORMAT_NEWEST, FT_MSG_LOG, 5);
    message_put(99), message_put_bytes(lz4_block, LZ4_LEN);
    assert_int_equal(message_judge(1, &m, NULL), FT_EMALFORMED);
    message_begin(8, FT_FORMAT_NEWEST, FT_MSG_LOG, 5);
    message_put(101), message_put_bytes(lz4_block, LZ4_LEN);
    message_refused(1, "offset 18: LOG block gives 100 bytes, expected 101");
    message_begin(8, FT_FORMAT_NEWEST, FT_MSG_LOG, 5);
    message_put(LZ4_LEN), message_put_bytes(lz4_block, LZ4_LEN);
    message_refused(1, "offset 16: LOG bulk has 11 bytes, expected 0 to 10");
    message_begin(8, FT_FORMAT_NEWEST, FT_MSG_LOG, 5);
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
    message_begin(8, FT_FORMAT_NEWEST, FT_MSG_LOG, 5);
    message_put(0), message_put_bytes("", 0);
    message_accepted(1, &m);
    assert_int_equal(m.bulk_len, 0);
}

/* The same frame, wherever the bulk was; the numbers of the head have one to nine bytes. */
TEST(a_bulk_may_lie_in_its_frame_already)
{
    static uint8_t frame[4096];

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
