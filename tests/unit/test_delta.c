/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chunks of deltas: round trips, a golden chunk, damage, and what must not be written. With
 * DELTA_GOLDEN_WRITE=1 the golden file is written anew instead of compared.
 */
#include "tests/help/forge.h"
#include "tests/help/chunk.h"
#include "tests/help/record.h"
#include "tests/help/death.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GOLDEN "tests/golden/delta-v3.bin"

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
    chunk_end_runs();
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

static void what_is_encoded_comes_back(void **state)
{
    struct ft_fault fault;
    uint64_t held = 0, runs = 0;

    (void)state;
    for (draw_seed = 1; draw_seed < 6000; draw_seed++) {
        uint64_t seed = draw_seed;

        random_chunk();
        draw_seed = seed;
        long len = encode(), used = chunk_decode_exact(wire, (size_t)len, &fault);

        if (used != len || memcmp(chunk, chunk_back, chunk->size) != 0)
            fail_msg("seed %llu: %ld of %ld bytes: %s", (unsigned long long)seed, used, len, fault.text);
        assert_int_equal(ft_chunk_encode(chunk, FT_FORMAT_NEWEST, true, wire, (size_t)len - 1), FT_EFULL);
        held += chunk->held;
        runs += chunk->lines;
    }
    assert_true(held > 10000 && runs > 1000000);
}

static void outputs_that_the_standby_can_make_itself_cost_little(void **state)
{
    long with, without = 0;

    (void)state;
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

static void each_truncated_or_damaged_chunk_is_refused(void **state)
{
    struct ft_fault fault;
    long len;

    (void)state;
    chunk_sample();
    len = encode();
    for (long i = 0; i < len; i++)
        for (unsigned bit = 0; bit < 8; bit++) {
            wire[i] ^= (uint8_t)(1 << bit);
            if (chunk_decode_exact(wire, (size_t)len, &fault) >= 0)
                fail_msg("bit %u of byte %ld changed, and accepted", bit, i);
            wire[i] ^= (uint8_t)(1 << bit);
        }
    for (long n = 0; n < len; n++)
        assert_int_equal(chunk_decode_exact(wire, (size_t)n, &fault), FT_ETRUNC);
    wire[len] = 0x5a; /* what follows is not its own */
    assert_int_equal(chunk_decode_exact(wire, (size_t)len + 1, &fault), len);
    for (size_t cap = 0; cap < chunk->size; cap += 8)
        assert_int_equal(ft_chunk_decode(wire, (size_t)len, CHUNK_LINES, chunk_back, cap, &fault), FT_EFULL);
}

static void the_bytes_are_those_of_the_golden_file(void **state)
{
    static uint8_t golden[4096];
    FILE *file;
    long len;

    (void)state;
    chunk_sample();
    len = encode();
    if (getenv("DELTA_GOLDEN_WRITE")) {
        assert_non_null(file = fopen(GOLDEN, "wb"));
        assert_int_equal(fwrite(wire, 1, (size_t)len, file), len);
    } else {
        assert_non_null(file = fopen(GOLDEN, "rb"));
        assert_int_equal(fread(golden, 1, sizeof(golden), file), len);
        assert_memory_equal(golden, wire, (size_t)len);
        assert_int_equal(ft_chunk_decode(golden, (size_t)len, CHUNK_LINES, chunk_back, FT_CHUNK_MAX, NULL),
                         len);
        assert_memory_equal(chunk_back, chunk, chunk->size);
    }
    fclose(file);
}

static void record_with_the_flag(void *arg)
{
    (void)arg;
    record_sample();
    rec->kind = FT_ENTRY_CHUNK;
    ft_record_encode(rec, FT_FORMAT_NEWEST, true, wire, sizeof(wire));
}

static void chunk_without_the_flag(void *arg)
{
    (void)arg;
    chunk_sample();
    chunk->kind = FT_ENTRY_RECORD;
    encode();
}

static void chunk_that_goes_back(void *arg)
{
    (void)arg;
    chunk_sample();
    chunk->from = chunk->burst + 1;
    encode();
}

static void outputs_that_fall(void *arg)
{
    (void)arg;
    chunk_sample();
    ((struct ft_chunk_output *)(void *)ft_chunk_held(chunk))->number = 34003;
    encode();
}

static void outputs_beyond_their_bytes(void *arg)
{
    (void)arg;
    chunk_sample();
    chunk->held++;
    encode();
}

static void runs_that_fall(void *arg)
{
    (void)arg;
    chunk_sample();
    memset(ft_chunk_lines(chunk), 0xee, 8);
    encode();
}

static void what_must_not_be_written_aborts(void **state)
{
    (void)state;
    assert_dies_by(SIGABRT, record_with_the_flag, NULL, NULL);
    assert_dies_by(SIGABRT, chunk_without_the_flag, NULL, NULL);
    assert_dies_by(SIGABRT, chunk_that_goes_back, NULL, NULL);
    assert_dies_by(SIGABRT, outputs_that_fall, NULL, NULL);
    assert_dies_by(SIGABRT, outputs_beyond_their_bytes, NULL, NULL);
    assert_dies_by(SIGABRT, runs_that_fall, NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_encoded_comes_back),
        cmocka_unit_test(outputs_that_the_standby_can_make_itself_cost_little),
        cmocka_unit_test(each_truncated_or_damaged_chunk_is_refused),
        cmocka_unit_test(the_bytes_are_those_of_the_golden_file),
        cmocka_unit_test(what_must_not_be_written_aborts),
    };

    return cmocka_run_group_tests_name("delta", tests, NULL, NULL);
}
