/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Damage to the flight recorder's files: a file cut at every byte of its last frames, every bit turned over,
 * frames out of their places, files of others.
 */
#include "tests/help/recorder.h"
#include "tests/help/recorder_lane.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint8_t *bytes;
static size_t size;

static void small_file(void)
{
    FILE *in;

    recorder_open(1u << 30, 2);
    memset((uint8_t *)recorder_words + 4096, 0x5a, 256);
    recorder_turn(7, 0);
    for (int i = 0; i < 200; i++)
        recorder_turn(7, 0);
    recorder_burst(20, 0);
    recorder_burst(0, 0);
    lg_recorder_stop(rig.recorder, 0);
    rig_close();
    in = fopen(rig_file(1), "rb");
    assert_non_null(in);
    bytes = malloc(1u << 20);
    size = fread(bytes, 1, 1u << 20, in);
    fclose(in);
    assert_in_range(size, 200, 20000);
}

/* Writes bytes[0..len) and opens that. */
static int open_bytes(size_t len, struct lg_recording *r, struct ft_fault *fault)
{
    FILE *out = fopen(rig_file(9), "wb");

    assert_int_equal(fwrite(bytes, 1, len, out), len);
    fclose(out);
    fault->text[0] = '\0';
    return lg_recording_open(r, rig.path, fault);
}

static void a_torn_file_is_read_to_its_last_whole_frame(void **state)
{
    struct lg_recording r;
    struct ft_fault fault;
    struct lg_frame f;
    uint64_t at = 0, dependency[64], dependencies = 0, seen;

    (void)state;
    small_file();
    assert_int_equal(open_bytes(size, &r, &fault), 0);
    while (lg_recording_next(&r, &at, &f)) {
        assert_true(dependencies < 64);
        dependency[dependencies++] = at;
    }
    lg_recording_close(&r);
    for (size_t len = 0; len < size; len++) {
        int error = open_bytes(len, &r, &fault);

        if (len < dependency[0]) {
            assert_true(error < 0);
            assert_non_null(strstr(fault.text, "09.rec:offset "));
            assert_non_null(strstr(fault.text, ", expected "));
            continue;
        }
        assert_int_equal(error, 0);
        for (seen = 0; dependency[seen + 1] <= len; seen++)
            ;
        assert_int_equal(r.whole, dependency[seen]);
        assert_int_equal(r.records, len >= dependency[dependencies - 2]   ? 2
                                    : len >= dependency[dependencies - 4] ? 1
                                                                          : 0);
        lg_recording_close(&r);
    }
    /* Power was lost: the file has its length and zeros where its end should be. */
    memset(bytes + dependency[dependencies - 2], 0, size - dependency[dependencies - 2]);
    assert_int_equal(open_bytes(size, &r, &fault), 0);
    assert_int_equal(r.whole, dependency[dependencies - 2]);
    lg_recording_close(&r);
    free(bytes);
}

static void every_bit_that_is_turned_over_is_found(void **state)
{
    struct lg_recording r;
    struct ft_fault fault;

    (void)state;
    small_file();
    for (size_t bit = 0; bit < size * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (open_bytes(size, &r, &fault) == 0)
            fail_msg("bit %zu of byte %zu is turned over and nothing is said", bit % 8, bit / 8);
        if (!strstr(fault.text, ".rec:offset ") || !strstr(fault.text, ", expected "))
            fail_msg("byte %zu: '%s'", bit / 8, fault.text);
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    free(bytes);
}

/* The frames in another order, each signed for its new place. Index -1 ends the list. */
static int open_in_order(const int order[], struct ft_fault *fault)
{
    struct lg_recording r;
    struct lg_frame f[32];
    uint64_t at = 0;
    uint8_t *was = bytes;
    size_t len = LG_PREFACE;
    int n = 0, error;

    assert_int_equal(open_bytes(size, &r, fault), 0);
    while (n < 32 && lg_recording_next(&r, &at, &f[n]))
        n++;
    bytes = calloc(1, 2 * size);
    memcpy(bytes, was, LG_PREFACE);
    for (int i = 0; order[i] >= 0; i++) {
        const struct lg_frame *from = &f[order[i] >= 100 ? n - 1 - (order[i] - 100) : order[i]];

        lg_frame_head(bytes + len, len, from->type, from->content, from->len);
        memcpy(bytes + len + LG_FRAME_HEAD, from->content, from->len);
        len += LG_FRAME_HEAD + from->len;
    }
    lg_recording_close(&r);
    error = open_bytes(len, &r, fault);
    if (!error)
        lg_recording_close(&r);
    free(bytes);
    bytes = was;
    return error;
}

/* Counted from the end: 100 END, 101 a record, 102 CLOCK, 103 the record before it, 104 SNAPSHOT_END, 105
 * lines. */
static void frames_out_of_place_are_refused(void **state)
{
    static const struct {
        int order[9], error;
        const char *text;
    } cases[] = {
        {{0, 1, 104, 103, 101, 100, -1}, 0, ""},
        {{0, 103, 1, 104, 101, -1}, 0, ""}, /* a snapshot is copied while replay goes on */
        {{0, -1}, 0, ""},
        {{0, 1, 104, 102, 103, 102, 101, 100, -1}, 0, ""}, /* clocks are between any frames */
        {{102, 0, -1}, FT_EMALFORMED, ":offset 16: frame of type 6"},
        {{1, 0, -1}, FT_EMALFORMED, ":offset 16: frame of type 2"},
        {{0, 0, -1}, FT_EMALFORMED, "expected one that has its place here"},
        {{0, 104, 1, -1}, FT_EMALFORMED, "lines behind the snapshot's end, expected"},
        {{0, 104, 104, -1}, FT_EMALFORMED, "expected one that has its place here"},
        {{0, 101, 103, -1}, FT_EMALFORMED, "burst 2 from seq 5, expected burst 1 from seq 1"},
        {{0, 103, 103, -1}, FT_EMALFORMED, "burst 1 from seq 1, expected burst 2 from seq 5"},
        {{0, 100, 103, -1}, FT_EMALFORMED, "expected the file's end"},
    };
    struct ft_fault fault;

    (void)state;
    small_file();
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int error = open_in_order(cases[i].order, &fault);

        if (error != cases[i].error || !strstr(fault.text, cases[i].text))
            fail_msg("case %u: %d '%s'", i, error, fault.text);
    }
    free(bytes);
}

static void foreign_files_are_refused_by_name(void **state)
{
    struct lg_recording r;
    struct ft_fault fault;

    (void)state;
    small_file();
    bytes[8] = 2;
    assert_int_equal(open_bytes(size, &r, &fault), FT_EVERSION);
    assert_non_null(strstr(fault.text, ":offset 8: version 2, expected 3 to 3"));
    memcpy(bytes, "\xd4\xc3\xb2\xa1\x02\x00\x04\x00", 8);
    assert_int_equal(open_bytes(size, &r, &fault), FT_EMALFORMED);
    assert_non_null(strstr(fault.text, ":offset 0: "));
    assert_int_equal(lg_recording_open(&r, rig.directory, &fault), FT_EMALFORMED);
    assert_int_equal(lg_recording_open(&r, rig_file(77), &fault), FT_ENOENT);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_torn_file_is_read_to_its_last_whole_frame, recorder_setup,
                                        recorder_teardown),
        cmocka_unit_test_setup_teardown(every_bit_that_is_turned_over_is_found, recorder_setup,
                                        recorder_teardown),
        cmocka_unit_test_setup_teardown(frames_out_of_place_are_refused, recorder_setup, recorder_teardown),
        cmocka_unit_test_setup_teardown(foreign_files_are_refused_by_name, recorder_setup, recorder_teardown),
    };

    return cmocka_run_group_tests_name("recorder_damage", tests, NULL, NULL);
}
