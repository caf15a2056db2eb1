/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chunks of deltas: round trips, a golden chunk (GOLDEN=rewrite: help_golden), damage, and what must not be
 * written.
 */
#include "tests/help/record.h"
#include "tests/help/program.h"
#include "tests/help/test.h"

#include <signal.h>

#define GOLDEN "tests/golden/delta-v4.bin"

static uint8_t wire[2 * FT_CHUNK_MAX];

static void random_outputs(void)
{
    static const uint32_t lens[] = {14, 54, 60, 64, 1500, FT_FRAME_MAX};
    uint64_t number = chunk->released + draw_below(3), burst = chunk->from + 1,
             seq = draw_any_magnitude() >> 1;
    uint32_t cut = draw_below(3) == 0 ? FT_FRAME_MAX : draw_below(2) ? 0 : (uint32_t)draw_below(200);

    for (uint64_t n = draw_below(4) == 0 ? draw_below(900) : draw_below(6); n; n--) {
        uint32_t len = draw_below(2) ? lens[draw_below(6)] : 14 + (uint32_t)draw_below(FT_FRAME_MAX - 13);
        uint32_t have = draw_below(8) == 0 ? (uint32_t)draw_below(len + 1) : len < cut ? len : cut;

        number += 1 + (draw_below(4) ? 0 : draw_any_magnitude() >> 8);
        burst += draw_below(4) ? 0 : draw_any_magnitude() >> 8;
        seq += 1 + (draw_below(4) ? 0 : draw_below(2) ? draw_any_magnitude() : -draw_any_magnitude());
        if (number > chunk->outputs || burst > chunk->burst || number < chunk->released ||
            chunk->bytes + sizeof(struct ft_chunk_output) + FT_ALIGN8(have) > FT_CHUNK_OUTPUTS)
            return;
        chunk_add_output(number, burst, draw_below(8) ? seq : 0, len, have,
                         draw_below(4) ? 1 : (uint8_t)draw());
    }
}

static void random_chunk(void)
{
    uint64_t from = draw_any_magnitude() >> 1, line = 0;

    chunk_begin((uint16_t)draw_below(FT_LANES_MAX), draw_any_magnitude() | 1, from,
                from + (draw_below(8) ? draw_any_magnitude() >> 1 : 0));
    chunk->seq = draw_any_magnitude();
    chunk->access = draw_any_magnitude();
    chunk->released = draw_any_magnitude() >> 1;
    chunk->outputs = chunk->released + (draw_any_magnitude() >> 1);
    chunk->number = (uint32_t)draw_any_magnitude();
    if (draw_below(2))
        chunk->flags |= FT_CHUNK_LAST;
    if (chunk->flags & FT_CHUNK_LAST && draw_below(2)) {
        chunk->flags |= FT_REC_DIGEST;
        chunk->digest = draw();
        if (draw_below(2)) {
            chunk->flags |= FT_REC_SLICE;
            chunk->slice = draw_below(FT_SLICE_LAST + 1);
        }
    }
    for (uint64_t n = draw_below(3) == 0 ? draw_below(200) : draw_below(4); n; n--) {
        uint32_t count = 1 + (uint32_t)(draw_below(8) == 0 ? draw_below(600) : draw_below(8));

        line += draw_below(3) == 0 ? draw_below(1000) : draw_below(3);
        if (line + count > CHUNK_LINES || !chunk_add_run(line, count, draw_below(2)))
            break;
        line += count;
    }
    if (chunk->burst > chunk->from)
        random_outputs();
    chunk_finish();
}

static long encode(void)
{
    long len = ft_chunk_encode(chunk, FT_FORMAT_NEWEST, true, wire, sizeof(wire));

    assert_true(len > 0);
    assert_true((size_t)len <= ft_chunk_bound(chunk));
    return len;
}

TEST(what_is_encoded_comes_back)
{
    uint64_t held = 0, runs = 0;

    for (draw_seed = 1; draw_seed < 6000; draw_seed++) {
        uint64_t seed = draw_seed;

        random_chunk();
        draw_seed = seed;
        long len = encode(), used = chunk_decode_exact(wire, (size_t)len, &help_fault);

        if (used != len || memcmp(chunk, chunk_back, chunk->size) != 0)
            fail_msg("seed %llu: %ld of %ld bytes: %s", (unsigned long long)seed, used, len, help_fault.text);
        assert_int_equal(ft_chunk_encode(chunk, FT_FORMAT_NEWEST, true, wire, (size_t)len - 1), FT_EFULL);
        held += chunk->held;
        runs += chunk->lines;
    }
    assert_true(held > 10000 && runs > 1000000);
}

TEST(outputs_that_the_standby_can_make_itself_cost_little)
{
    long with, without = 0;

    for (unsigned n = 0; n <= 800; n += 800) {
        chunk_begin(0, 1000, 5000000, 5001000);
        chunk->released = 90000000;
        chunk->outputs = 90001000;
        for (unsigned i = 0; i < n; i++)
            chunk_add_output(90000001 + i, 5000001 + i / 20, 80000000 + i, 60 + i % 1400, 0, i / 7 % 2);
        chunk_finish();
        with = encode();
        without = n ? without : with;
    }
    assert_in_range(with - without, 800, 800 * 4);
}

TEST(each_truncated_or_damaged_chunk_is_refused)
{
    long len;

    chunk_sample();
    len = encode();
    for (long i = 0; i < len; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            wire[i] ^= (uint8_t)(1 << bit);
            if (chunk_decode_exact(wire, (size_t)len, &help_fault) >= 0)
                fail_msg("bit %u of byte %ld changed, and accepted", bit, i);
            wire[i] ^= (uint8_t)(1 << bit);
        }
    for (long n = 0; n < len; n++)
        assert_int_equal(chunk_decode_exact(wire, (size_t)n, &help_fault), FT_ETRUNC);
    wire[len] = 0x5a; /* what follows is not its own */
    assert_int_equal(chunk_decode_exact(wire, (size_t)len + 1, &help_fault), len);
    for (size_t cap = 0; cap < chunk->size; cap += 8)
        assert_int_equal(ft_chunk_decode(wire, (size_t)len, CHUNK_LINES, chunk_back, cap, &help_fault),
                         FT_EFULL);
}

TEST(the_bytes_are_those_of_the_golden_file)
{
    chunk_sample();
    help_golden(GOLDEN, wire, (size_t)encode(), false);
}

/* A chunk is for a peer of release 0.2 what it was. */
TEST(the_version_before_has_its_bytes)
{
    chunk_sample();
    help_golden("tests/golden/delta-v3.bin", wire,
                (size_t)ft_chunk_encode(chunk, 3, true, wire, sizeof(wire)), true);
}

static void record_with_the_flag(void *arg)
{
    record_sample();
    rec->kind = FT_ENTRY_CHUNK;
    ft_record_encode(rec, FT_FORMAT_NEWEST, true, wire, sizeof(wire));
}

static void chunk_without_the_flag(void *arg)
{
    chunk_sample();
    chunk->kind = FT_ENTRY_RECORD;
    encode();
}

static void chunk_that_goes_back(void *arg)
{
    chunk_sample();
    chunk->from = chunk->burst + 1;
    encode();
}

static void outputs_that_fall(void *arg)
{
    chunk_sample();
    ((struct ft_chunk_output *)(void *)ft_chunk_held(chunk))->number = 34003;
    encode();
}

static void outputs_beyond_their_bytes(void *arg)
{
    chunk_sample();
    chunk->held++;
    encode();
}

static void runs_that_fall(void *arg)
{
    chunk_sample();
    memset(ft_chunk_lines(chunk), 0xee, 8);
    encode();
}

TEST(what_must_not_be_written_aborts)
{
    assert_dies_by(SIGABRT, record_with_the_flag, NULL, NULL);
    assert_dies_by(SIGABRT, chunk_without_the_flag, NULL, NULL);
    assert_dies_by(SIGABRT, chunk_that_goes_back, NULL, NULL);
    assert_dies_by(SIGABRT, outputs_that_fall, NULL, NULL);
    assert_dies_by(SIGABRT, outputs_beyond_their_bytes, NULL, NULL);
    assert_dies_by(SIGABRT, runs_that_fall, NULL, NULL);
}

/*
 * Chunks of deltas built by hand with msgpack, so that the encoder has no say: what decoding must refuse,
 * and how.
 */

enum {
    VERSION,
    LANE,
    FLAGS,
    CUT,
    FROM,
    BURSTS,
    SEQ,
    ACCESS,
    RELEASED,
    OUTPUTS,
    DIGEST,
    SLICE,
    NUMBER,
    LINES,
    HELD,
    BYTES,
    NUMBERS
};

static uint64_t *const head = forge.head;
static uint8_t *const body = forge.body;

static void plain_head(void)
{
    static const uint64_t plain[NUMBERS] = {[VERSION] = FT_FORMAT_NEWEST,
                                            [LANE] = 2,
                                            [CUT] = 1,
                                            [FROM] = 9,
                                            [BURSTS] = 10,
                                            [SEQ] = 90,
                                            [RELEASED] = 50,
                                            [OUTPUTS] = 60};

    forge_begin(plain, NUMBERS, chunk_decode_exact);
}

/* Bytes of lines follow as they come, from a run of `count` lines unless zero. */
static void put_run(uint64_t line, uint32_t count, uint32_t flags)
{
    static const uint8_t lines[8 * FT_LINE];

    forge_put(&line, 8);
    forge_put(&count, 4);
    forge_put(&flags, 4);
    if (!flags)
        forge_put(lines, (size_t)count * FT_LINE);
    head[LINES] = forge.body_len;
}

TEST(impossible_heads_are_refused_by_name)
{
    plain_head();
    forge_good();
    assert_int_equal(chunk_back->burst, 19);
    assert_int_equal(chunk_back->kind, FT_ENTRY_CHUNK);
    assert_int_equal(chunk_back->flags, 0);
    forge_number_refused(VERSION, 2, FT_EVERSION, "offset 3: version is 2, expected 3 to 4");
    forge_number_refused(LANE, 16, FT_EMALFORMED, "offset 4: lane is 16, expected 0 to 15");
    forge_number_refused(LANE, 65536 + 2, FT_EMALFORMED, "lane is 65538");
    forge_number_refused(FLAGS, 8, FT_EMALFORMED,
                         "offset 5: flags is 8, expected 0, 16, 18 or 26, and 32 or not");
    forge_number_refused(FLAGS, FT_REC_DIGEST, FT_EMALFORMED, "flags is 2, expected 0, 16, 18 or 26");
    forge_number_refused(FLAGS, 64, FT_EMALFORMED, "flags is 64, expected 0 to 58");
    forge_number_refused(FLAGS, 17, FT_EMALFORMED, "flags is 17, expected 0, 16, 18 or 26");
    forge_number_refused(CUT, 0, FT_EMALFORMED, "offset 6: cut is 0, expected 1");
    forge_number_refused(BURSTS, UINT64_MAX, FT_EMALFORMED, "bursts wraps");
    forge_number_refused(FLAGS, 24, FT_EMALFORMED, "flags is 24, expected 0, 16, 18 or 26");
    forge_number_refused(DIGEST, 5, FT_EMALFORMED, "digest without its flag");
    forge_number_refused(SLICE, 5, FT_EMALFORMED, "slice without its flag");
    forge_number_refused(SLICE, 1u << 20, FT_EMALFORMED, "slice is 1048576, expected 0 to 1048575");
    forge_number_refused(NUMBER, 1ull << 32, FT_EMALFORMED, "number is 4294967296");
    forge_number_refused(LINES, FT_CHUNK_LINES + 1, FT_EMALFORMED, "lines is 98305, expected 0 to 98304");
    forge_number_refused(LINES, 1ull << 32, FT_EMALFORMED, "lines is 4294967296");
    forge_number_refused(HELD, 820, FT_EMALFORMED, "held is 820, expected 0 to 819");
    forge_number_refused(BYTES, FT_CHUNK_OUTPUTS + 1, FT_EMALFORMED, "bytes is 32769, expected 0 to 32768");
    forge_number_refused(BYTES, 40, FT_EMALFORMED, "outputs take 0 bytes, expected 40");
    forge_number_refused(LINES, 16, FT_EMALFORMED, "0 bytes left in the body, expected 16");
    plain_head();
    head[FLAGS] = 18;
    head[DIGEST] = UINT64_MAX;
    forge_good();
    head[FLAGS] = 26;
    head[SLICE] = 3;
    forge_good();
}

TEST(impossible_lines_are_refused_by_name)
{
    plain_head();
    put_run(10, 2, 0);
    put_run(12, 1, 1);
    put_run(CHUNK_LINES - 1, 1, 0);
    forge_good();
    body[0] = 11; /* 11, 12 and then 12 again */
    forge_refused(FT_EMALFORMED, "a run begins at line 12, expected 13 or later");
    plain_head();
    put_run(12, 1, 1);
    put_run(5, 1, 1);
    forge_refused(FT_EMALFORMED, "offset 37: a run begins at line 5, expected 13 or later");
    plain_head();
    put_run(CHUNK_LINES - 1, 2, 1);
    forge_refused(FT_EMALFORMED, "lies outside the region");
    plain_head();
    put_run(UINT64_MAX, 1, 1);
    forge_refused(FT_EMALFORMED, "lies outside the region");
    plain_head();
    put_run(1, 0, 1);
    forge_refused(FT_EMALFORMED, "lies outside the region");
    plain_head();
    put_run(1, 1, 2);
    forge_refused(FT_EMALFORMED, "a run is cut short");
    plain_head();
    put_run(1, 1, 0);
    forge.body_len -= 8;
    head[LINES] -= 8;
    forge_refused(FT_EMALFORMED, "a run is cut short");
    forge.body_len += 9;
    head[LINES] += 8;
    forge_refused(FT_EMALFORMED, "1 bytes more, expected the body's end");
}

#define HEAD(len, flags) (uint8_t)(((len)-14) << 4 | (flags) | 0x80), (uint8_t)(((len)-14) >> 3)

static void one_output(uint32_t bytes)
{
    plain_head();
    head[HELD] = 1;
    head[BYTES] = bytes;
}

/* With step, other and port: number 51, burst 10, seq 77, three bytes, port 5. */
static void one_output_with_bytes(void)
{
    one_output(40 + 8);
    FORGE_PUT(HEAD(60, 13), 0, 1, 152, 1, 3, 5, 'a', 'b', 'c');
    forge_good();
}

TEST(an_output_is_read_as_it_was_written)
{
    const struct ft_chunk_output *o;

    one_output_with_bytes();
    o = (const void *)ft_chunk_held(chunk_back);
    assert_int_equal(o->number, 51);
    assert_int_equal(o->burst, 10);
    assert_int_equal(o->seq, 77);
    assert_int_equal(o->len, 60);
    assert_int_equal(o->have, 3);
    assert_int_equal(o->port, 5);
    assert_memory_equal(o + 1, "abc\0\0\0\0\0", 8);
}

TEST(an_output_is_refused_by_the_number_that_is_wrong)
{
    one_output_with_bytes();
    forge.body_len--;
    forge_refused(FT_EMALFORMED, "2 bytes left in the body, expected 3");
    forge.body_len += 2;
    forge_refused(FT_EMALFORMED, "1 bytes more, expected the body's end");
    forge.body_len--;
    body[2] = 10;
    forge_refused(FT_EMALFORMED, "output 0 is number 61, expected more than 0, at most 60");
    body[2] = 0;
    body[3] = 0;
    forge_refused(FT_EMALFORMED, "output 0 is of burst 9, expected one after 9, at most 19");
    body[3] = 11;
    forge_refused(FT_EMALFORMED, "output 0 is of burst 20, expected one after 9, at most 19");
    body[3] = 10;
    body[6] = 61;
    forge_refused(FT_EMALFORMED, "output 0 has 61 bytes, expected at most its 60");
    body[6] = 9;
    forge_refused(FT_EMALFORMED, "output 0 needs 56 bytes, 48 are left of bytes");
    body[6] = 3;
    head[BYTES] = 56;
    forge_refused(FT_EMALFORMED, "outputs take 48 bytes, expected 56");
    head[BYTES] = 47;
    forge_refused(FT_EMALFORMED, "output 0 needs 48 bytes, 47 are left of bytes");
    for (forge.body_len = 0; forge.body_len < 8; forge.body_len++) {
        head[BYTES] = 48;
        forge_refused(FT_EMALFORMED, "body ends or a number in it is too long, expected an output");
    }
}

TEST(outputs_whose_numbers_go_back_are_refused)
{
    /* A number wraps around to one that was there. */
    one_output(40);
    FORGE_PUT(HEAD(60, 3), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1);
    forge_good();
    assert_int_equal(((const struct ft_chunk_output *)ft_chunk_held(chunk_back))->number, 50);
    head[HELD] = 2;
    head[BYTES] = 80;
    FORGE_PUT(HEAD(60, 3), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0);
    forge_refused(FT_EMALFORMED, "output 1 is number 50, expected more than 50");
    /* A burst goes back to one before it. */
    one_output(80);
    head[HELD] = 2;
    FORGE_PUT(HEAD(60, 3), 0, 3, HEAD(60, 3), 0);
    FORGE_PUT(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1);
    forge_refused(FT_EMALFORMED, "output 1 is of burst 11, expected one after 11, at most 19");
}

TEST(outputs_of_impossible_lengths_are_refused)
{
    one_output(40); /* 9217 bytes: (9217 - 14) << 4 is 147248, b0 fe 08, and 3 */
    FORGE_PUT(0xb3, 0xfe, 0x08, 0, 1);
    forge_refused(FT_EMALFORMED, "output 0 is 9217 bytes, expected 14 to 9216");
    body[0] = 0xa3;
    forge_good();
    one_output(40);
    FORGE_PUT(0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0, 1, 0, 0, 0);
    forge_refused(FT_EMALFORMED, "expected an output");
}
