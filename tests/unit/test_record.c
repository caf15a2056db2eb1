/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log record: round trips, a golden record (GOLDEN=rewrite: help_golden), damage. Bytes at random, with
 * checksums that fit or not, are for tests/fuzz/fuzz_record.c.
 */
#define _GNU_SOURCE /* memmem */
#include "tests/help/program.h"
#include "tests/help/record.h"
#include "ftcore/region/region.h"
#include "tests/help/test.h"

#include <msgpack.h>
#include <xxhash.h>

#define GOLDEN "tests/golden/record-v4.bin"

static uint8_t wire[FT_RECORD_MAX + 4096];

static void random_record(void)
{
    static uint8_t value[64];
    static const uint16_t lens[] = {14, 54, 60, 64, 128, 1500, FT_FRAME_MAX};
    uint16_t cut = draw_below(2) ? FT_FRAME_MAX : (uint16_t)draw_below(200);

    record_begin((uint16_t)draw_below(FT_LANES_MAX), (uint16_t)draw_below(FT_REC_FLAGS + 1),
                 draw_any_magnitude() | 1);
    rec->seq = draw_any_magnitude() >> 1;
    rec->time = draw_any_magnitude() >> 1;
    rec->released = draw_any_magnitude();
    rec->access = draw_any_magnitude() >> 1;
    rec->accesses = (uint32_t)draw_any_magnitude();
    rec->digest = rec->flags & FT_REC_DIGESTS ? draw() : 0;
    rec->slice = rec->flags & FT_REC_SLICE ? draw_below(FT_SLICE_LAST + 1) : 0;
    if (rec->flags & FT_REC_BY_SEQ)
        rec->inputs = (uint16_t)draw_below(FT_BURST_MAX + 1);
    else
        for (uint64_t n = draw_below(FT_BURST_MAX + 1); n; n--) {
            uint32_t len = draw_below(2) ? lens[draw_below(7)] : 14 + (uint32_t)draw_below(FT_FRAME_MAX - 13);
            uint16_t taken = (uint16_t)(draw_below(8) == 0 ? draw_below(len + 1) : len < cut ? len : cut);

            record_add_input(len, taken, draw_below(4) == 0 ? (uint8_t)draw() : 0,
                             (uint8_t)(draw_below(4) != 0));
        }
    record_add_bytes();
    uint64_t own = rec->access, left = rec->accesses;
    for (uint64_t n = draw_below(4) == 0 ? draw_below(FT_DEPENDENCIES_MAX + 1) : draw_below(4); n; n--) {
        uint64_t step = draw_below(2) ? 0 : draw_any_magnitude() >> 8;
        uint16_t lane = (uint16_t)draw_below(FT_LANES_MAX);

        if (step >= left || lane == rec->lane)
            continue;
        record_add_dependency(own + step, lane, draw_below(2) ? draw() : own + draw_below(100));
        own += step + 1;
        left -= step + 1;
    }
    for (uint64_t n = draw_below(4); n; n--) {
        for (size_t i = 0; i < sizeof(value); i++)
            value[i] = (uint8_t)draw();
        record_add_determinant(value, (uint32_t)draw_below(sizeof(value) + 1));
    }
    record_finish();
}

static long encode(void)
{
    if (record_check(rec, rec->size, &help_fault))
        fail_msg("a good record: %s", help_fault.text);
    long len = ft_record_encode(rec, FT_FORMAT_NEWEST, true, wire, sizeof(wire));
    assert_true(len > 0);
    assert_true((size_t)len <= ft_record_bound(rec));
    return len;
}

static void same_after_decode(long len)
{
    memset(back, 0xee, rec->size + 64);
    long used = ft_record_decode(wire, (size_t)len, back, FT_RECORD_MAX, &help_fault);
    if (used != len)
        fail_msg("used %ld of %ld: %s", used, len, help_fault.text);
    assert_memory_equal(rec, back, rec->size);
    assert_int_equal(((uint8_t *)back)[rec->size], 0xee);
}

TEST(what_is_encoded_comes_back)
{
    for (uint64_t run = 1; run <= 3000; run++) {
        draw_seed = run << 32;
        random_record();
        same_after_decode(encode());
    }
}

/* Extremes: the largest record there is fits, and so do all numbers at their ends. */
/* An input that is like the one before costs its byte again; a byte that ends another input says nothing. */
TEST(an_input_like_the_one_before_comes_back)
{
    record_begin(1, 0, 9);
    record_add_input(64, 64, 0, FT_IN_OUTSIDE);
    record_add_input(64, 64, 0, FT_IN_OUTSIDE);
    record_add_input(1500, 64, 1, 0);     /* ends with its flags, which are 0 */
    record_add_input(14, 14, 1, 0);       /* whose length is coded as 0, too */
    record_add_input(14 + 128, 64, 1, 0); /* whose length is coded as 256: 0x80 0x02 */
    record_add_input(15, 15, 1, 0);       /* whose length is coded as 2: 0x02 */
    record_add_input(15, 15, 1, 0);
    record_add_input(15, 14, 1, 0);
    record_add_bytes();
    record_finish();
    same_after_decode(encode());
}

TEST(the_largest_record_and_numbers_fit)
{
    static uint8_t value[FT_DETERMINANTS_MAX - 4];

    record_begin(FT_LANES_MAX - 1, FT_REC_DIGEST, UINT64_MAX);
    rec->seq = UINT64_MAX - FT_BURST_MAX;
    rec->time = UINT64_MAX / 2; /* so that a successor can go on from there */
    rec->released = rec->digest = UINT64_MAX;
    rec->accesses = UINT32_MAX;
    rec->access = UINT64_MAX - UINT32_MAX;
    for (unsigned i = 0; i < FT_BURST_MAX; i++)
        record_add_input(FT_FRAME_MAX, FT_FRAME_MAX, (uint8_t)(255 * (i & 1)), 0);
    record_add_bytes();
    for (unsigned i = 0; i < FT_DEPENDENCIES_MAX; i++)
        record_add_dependency(UINT64_MAX - FT_DEPENDENCIES_MAX + i, (uint16_t)(i % 15),
                              i & 1 ? 0 : 1ull << 63);
    record_add_determinant(value, sizeof(value));
    record_finish();
    same_after_decode(encode());
}

TEST(the_smallest_record_is_its_head)
{
    record_begin(0, 0, 1);
    record_finish();
    assert_int_equal(rec->size, sizeof(struct ft_record));
    same_after_decode(encode());
}

/* Records in a row are found one after the other. */
TEST(records_in_a_row_are_found_one_after_the_other)
{
    record_sample();
    long one = encode();
    memcpy(wire + one, wire, (size_t)one);
    assert_int_equal(ft_record_decode(wire, (size_t)one * 2, back, FT_RECORD_MAX, NULL), one);
    assert_int_equal(ft_record_decode(wire + one, (size_t)one, back, FT_RECORD_MAX, NULL), one);
}

TEST(too_little_room_is_full)
{
    record_sample();
    long len = encode();
    uint8_t *out = malloc((size_t)len);
    for (long cap = 0; cap < len; cap++)
        assert_int_equal(ft_record_encode(rec, FT_FORMAT_NEWEST, true, out, (size_t)cap), FT_EFULL);
    assert_int_equal(ft_record_encode(rec, FT_FORMAT_NEWEST, true, out, (size_t)len), len);
    assert_memory_equal(out, wire, (size_t)len);
    free(out);

    struct ft_record *tight = malloc(rec->size);
    for (size_t cap = 0; cap < rec->size; cap += 8)
        assert_int_equal(ft_record_decode(wire, (size_t)len, tight, cap, &help_fault), FT_EFULL);
    assert_int_equal(ft_record_decode(wire, (size_t)len, tight, rec->size, &help_fault), len);
    free(tight);
}

/* One byte an input like the one before it, four for the first of another port. */
static long bytes_of_inputs(unsigned inputs, uint8_t port)
{
    record_begin(0, 0, 100000);
    for (unsigned i = 0; i < inputs; i++)
        record_add_input(64, 64, port, FT_IN_OUTSIDE);
    record_add_bytes();
    record_finish();
    return encode();
}

/* Frames of all sizes captured up to 54 bytes: only the first says so. */
static long bytes_of_headers(unsigned inputs)
{
    static const uint32_t lens[] = {70, 60, 54, 50, 40, 14, 77};

    record_begin(0, 0, 100000);
    for (unsigned i = 0; i < inputs; i++)
        record_add_input(lens[i % 7], (uint16_t)(lens[i % 7] < 54 ? lens[i % 7] : 54), 0, FT_IN_OUTSIDE);
    record_add_bytes();
    record_finish();
    return encode() - rec->bytes;
}

TEST(an_input_like_the_one_before_costs_a_byte)
{
    assert_int_equal(bytes_of_inputs(32, 0) - bytes_of_inputs(16, 0), 16 * (64 + 1));
    assert_int_equal(bytes_of_inputs(1, 1) - bytes_of_inputs(1, 0), 3);
    assert_int_equal(bytes_of_headers(28) - bytes_of_headers(14), 14);
}

TEST(the_bytes_are_those_of_the_golden_file)
{
    record_sample();
    help_golden(GOLDEN, wire, (size_t)encode(), false);
}

/* What has no input that its session tells is for a peer of release 0.2 what it was. */
TEST(the_version_before_has_its_bytes)
{
    record_sample();
    long len = ft_record_encode(rec, 3, true, wire, sizeof(wire));

    help_golden("tests/golden/record-v3.bin", wire, (size_t)len, true);
    assert_int_equal(ft_record_decode(wire, (size_t)len, back, FT_RECORD_MAX, NULL), len);
    assert_memory_equal(rec, back, rec->size);
}

static void put_session(uint32_t i, uint32_t wire_bytes, const void *bytes)
{
    uint8_t *at = (uint8_t *)rec + ft_record_bytes_at(rec);

    assert_int_equal(((struct ft_input *)(rec + 1))[i].wire, wire_bytes);
    ((struct ft_input *)(rec + 1))[i].flags |= FT_IN_SESSION;
    for (uint32_t before = 0; before < i; before++)
        at += ft_record_inputs(rec)[before].taken;
    memcpy(at, bytes, FT_SESSION_BYTES);
}

/* Nine bytes for a small packet like the one before; beside a frame, four more to say so. */
TEST(an_input_told_by_its_session_takes_eight_bytes)
{
    static const uint8_t inputs[] = {0x65, 0x08, 0, 3, 0x64, 0x64, 0x65, 0x40, 0, 1};
    static const uint8_t told[] = "\x11\0\0\0\x28\0\x10\0";
    long len;

    record_begin(1, 0, 9);
    for (unsigned i = 0; i < 3; i++)
        record_add_input(64, FT_SESSION_BYTES, 0, FT_IN_OUTSIDE);
    record_add_input(64, 64, 0, FT_IN_OUTSIDE);
    record_add_bytes();
    record_finish();
    for (unsigned i = 0; i < 3; i++)
        put_session(i, 64, told);
    len = encode();
    same_after_decode(len);
    assert_non_null(memmem(wire, (size_t)len, inputs, sizeof(inputs)));
    assert_non_null(memmem(wire, (size_t)len, told, FT_SESSION_BYTES));
}

/* Set aside: a number and no bytes. */
TEST(an_input_that_is_set_aside_has_none)
{
    static const uint8_t inputs[] = {0x64, 0x65, 0, 0, FT_IN_ASIDE | FT_IN_OUTSIDE, 0x65, 0x40, 0, 1};
    long len;

    record_begin(1, 0, 9);
    record_add_input(64, 64, 0, FT_IN_OUTSIDE);
    record_add_input(64, 0, 0, FT_IN_OUTSIDE | FT_IN_ASIDE);
    record_add_input(64, 64, 0, FT_IN_OUTSIDE);
    record_add_bytes();
    record_finish();
    len = encode();
    same_after_decode(len);
    assert_non_null(memmem(wire, (size_t)len, inputs, sizeof(inputs)));
}

/* The golden record by any msgpack reader: the format is what docs/record-format.md says, not merely what
 * decode accepts.
 */
TEST(any_msgpack_reader_reads_the_golden_record)
{
    /* clang-format off */
    static const uint64_t numbers[] = {FT_FORMAT_NEWEST, 3, 6, 1000, 32000, 1700000000123456789ull, 31990, 500,
                                       20, 0x0123456789abcdefull, 0, 4, 64 + 64 + 54 + 54, 3, 4 + 7 + 4};
    /* clang-format on */
    static const uint8_t inputs[] = {100, 100, 0x9d, 0x17, 54, 1, 0, 0xd4, 0x15};
    static const uint8_t dependencies[] = {1, 19, 0x60, 0xd5, 0x07, 0xb1, 0x01, 0xa4, 0x03};
    msgpack_unpacked un;

    record_sample();
    long len = encode();
    msgpack_unpacked_init(&un);
    assert_int_equal(msgpack_unpack_next(&un, (char *)wire, (size_t)len, NULL), MSGPACK_UNPACK_SUCCESS);
    assert_int_equal(un.data.type, MSGPACK_OBJECT_ARRAY);
    assert_int_equal(un.data.via.array.size, 17);
    const msgpack_object *o = un.data.via.array.ptr;
    for (int i = 0; i < 15; i++)
        assert_int_equal(o[i].via.u64, numbers[i]);
    assert_int_equal(o[15].type, MSGPACK_OBJECT_BIN);
    assert_int_equal(o[15].via.bin.size,
                     sizeof(inputs) + rec->bytes + sizeof(dependencies) + rec->determinants);
    assert_memory_equal(o[15].via.bin.ptr, inputs, sizeof(inputs));
    assert_memory_equal(o[15].via.bin.ptr + sizeof(inputs) + rec->bytes, dependencies, sizeof(dependencies));
    assert_int_equal(o[16].via.u64, XXH3_64bits(wire, (size_t)len - 9));
    msgpack_unpacked_destroy(&un);
}

TEST(a_truncated_record_is_refused)
{
    record_sample();
    long len = encode();
    for (long n = 0; n < len; n++)
        assert_int_equal(record_decode_exact(wire, (size_t)n, &help_fault), FT_ETRUNC);
    assert_non_null(strstr(help_fault.text, "entry checksum begins with byte cf and 7 follow"));
}

TEST(each_flipped_bit_is_refused)
{
    record_sample();
    long len = encode();
    for (long bit = 0; bit < len * 8; bit++) {
        wire[bit / 8] ^= (uint8_t)(1 << bit % 8);
        if (record_decode_exact(wire, (size_t)len, &help_fault) >= 0)
            fail_msg("bit %ld flipped and not noticed", bit);
        wire[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

/* The numbers of a record without its body, as who decodes it has them; where the next one begins. */
TEST(a_peek_tells_numbers_and_length_and_looks_at_nothing_else)
{
    struct ft_record numbers;

    record_sample();
    long len = ft_record_encode(rec, FT_FORMAT_NEWEST, true, wire, sizeof(wire));
    assert_int_equal(ft_record_peek(wire, sizeof(wire), &numbers, &help_fault), len);
    assert_int_equal(ft_record_decode(wire, (size_t)len, back, FT_RECORD_MAX, &help_fault), len);
    assert_memory_equal(&numbers, back, sizeof(numbers));
    for (long n = 0; n < len; n++)
        assert_int_equal(ft_record_peek(wire, (size_t)n, &numbers, &help_fault), FT_ETRUNC);
    wire[len - 1] ^= 1;
    assert_int_equal(ft_record_peek(wire, (size_t)len, &numbers, &help_fault), len);
    wire[1] = 0x7f; /* where the version is, or the count */
    assert_true(ft_record_peek(wire, (size_t)len, &numbers, &help_fault) < 0);
}

/* A checksum of 0 says that there is none; any other is verified. */
TEST(a_record_on_the_link_has_no_checksum)
{
    static uint8_t bare[FT_RECORD_MAX];
    struct ft_opened opened;

    record_sample();
    long len = ft_record_encode(rec, FT_FORMAT_NEWEST, true, wire, sizeof(wire));
    assert_int_equal(ft_record_encode(rec, FT_FORMAT_NEWEST, false, bare, sizeof(bare)), len);
    assert_memory_equal(bare, wire, (size_t)len - 9);
    assert_memory_equal(bare + len - 9, "\xcf\0\0\0\0\0\0\0", 9);
    assert_int_equal(ft_record_decode(bare, (size_t)len, back, FT_RECORD_MAX, &help_fault), len);
    assert_memory_equal(rec, back, rec->size);
    for (long at = len - 8; at < len; at++) {
        bare[at] = 1;
        assert_int_equal(ft_record_open(bare, (size_t)len, &opened, &help_fault), FT_ECHECKSUM);
        bare[at] = 0;
    }
    /* In two steps, for who learns from the head where the record is to lie. */
    memset(back, 0xee, rec->size);
    assert_int_equal(ft_record_open(bare, (size_t)len, &opened, &help_fault), len);
    assert_int_equal(opened.numbers.size, rec->size);
    assert_int_equal(ft_record_read(&opened, back, &help_fault), 0);
    assert_memory_equal(rec, back, rec->size);
}
