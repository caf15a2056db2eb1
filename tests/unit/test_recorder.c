/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flight recorder's files against a model: a state that each burst changes in a known way, so that the
 * state at any burst can be computed anew and held against the snapshot a file opens with.
 */
#include "tests/unit/help_recorder.h"
#include "ftcore/record/delta.h"
#include "tests/unit/help_recorder_lane.h"
#include "ftcore/record/message.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECOND 1000000000ull

/* The state after `last` bursts, anew. */
static void model_at(uint64_t last)
{
    memset(recorder_model, 0, RECORDER_WORDS * 8);
    for (uint64_t b = 1; b <= last; b++)
        for (unsigned i = 0; i < 3; i++)
            recorder_model[recorder_place(b, i) % RECORDER_WORDS] += b;
}

static void until_written(uint64_t records)
{
    struct lg_recorder_counts counts;

    for (int i = 0; i < 5000; i++) {
        lg_recorder_counts(rig.recorder, &counts);
        if (counts.records >= records)
            return;
        usleep(1000);
    }
    fail_msg("%lu of %lu records were written", counts.records, records);
}

static unsigned files_there(unsigned *lowest)
{
    DIR *dir = opendir(rig.directory);
    const struct dirent *d;
    unsigned n = 0;

    *lowest = ~0u;
    while ((d = readdir(dir)))
        if (strstr(d->d_name, ".rec")) {
            unsigned serial = (unsigned)strtoul(d->d_name, NULL, 10);

            n++;
            *lowest = serial < *lowest ? serial : *lowest;
        }
    closedir(dir);
    return n;
}

/* The snapshot is the model's state at the burst the file names. */
static void snapshot_is_right(const struct lg_recording *r)
{
    uint64_t first = ((uintptr_t)recorder_words - (uintptr_t)rig.region->base) / FT_LINE, at = 0, lines = 0;
    const uint8_t *want = (const uint8_t *)recorder_model;
    static const uint8_t zero[FT_LINE];
    struct ft_line_run run;
    struct lg_frame f;

    model_at(r->head.at.burst);
    while (lg_recording_next(r, &at, &f)) {
        uint32_t in = 0;

        while (f.type == LG_LINES &&
               ft_line_run_next(f.content, f.len, &in, rig.region->size / FT_LINE, &run) > 0)
            for (uint64_t l = 0; l < run.count; l++) {
                uint64_t line = run.line + l;

                if (line < first || line >= first + RECORDER_WORDS * 8 / FT_LINE)
                    continue;
                assert_memory_equal(run.zero ? zero : run.bytes + l * FT_LINE,
                                    want + (line - first) * FT_LINE, FT_LINE);
                lines++;
            }
    }
    assert_int_equal(lines, RECORDER_WORDS * 8 / FT_LINE);
}

static void what_is_recorded_is_read(void **state)
{
    struct ft_record *out = aligned_alloc(64, FT_RECORD_MAX);
    struct lg_recording r;
    struct ft_fault fault;
    struct lg_frame f;
    uint64_t at = 0, next = 21;

    (void)state;
    recorder_open(1u << 30, 2);
    for (int i = 0; i < 20; i++) { /* before the snapshot: known to no file */
        recorder_now.burst++;
        recorder_now.seq += RECORDER_INPUTS;
        for (unsigned k = 0; k < 3; k++)
            recorder_words[recorder_place(recorder_now.burst, k) % RECORDER_WORDS] += recorder_now.burst;
    }
    recorder_turn(7, 0);
    for (int i = 0; i < 500; i++)
        recorder_burst(100, 0);
    until_written(500);
    lg_recorder_stop(rig.recorder, 0);
    rig_close();
    rig_read(&r, 1);
    assert_true(r.snapshot_whole && r.ended);
    assert_int_equal(r.whole, r.size);
    assert_int_equal(r.head.at.burst, 20);
    assert_int_equal(r.head.at.seq, 81);
    assert_int_equal(r.head.view, 7);
    assert_string_equal(r.head.node, "b");
    assert_memory_equal(r.identity, RECORDER_IDENTITY, sizeof(RECORDER_IDENTITY) - 1);
    assert_int_equal(r.records, 500);
    assert_int_equal(r.end[0].burst, 520);
    assert_int_equal(r.end[0].seq, 2081);
    snapshot_is_right(&r);
    while (lg_recording_next(&r, &at, &f)) {
        if (f.type != LG_RECORD)
            continue;
        assert_int_equal(ft_record_decode(f.content, f.len, out, FT_RECORD_MAX, &fault), f.len);
        assert_int_equal(out->burst, next++);
        assert_int_equal(out->inputs, RECORDER_INPUTS);
    }
    assert_int_equal(next, 521);
    lg_recording_close(&r);
    free(out);
}

static void files_are_bounded_and_go_on(void **state)
{
    struct lg_recorder_counts counts;
    struct lg_recording r[4] = {{.size = 0}};
    unsigned lowest, n;
    struct stat s;

    (void)state;
    recorder_open(200000, 4);
    recorder_turn(7, 0);
    for (int i = 0; i < 8000; i++) {
        recorder_burst(120, 0);
        if (i % 50 == 0)
            until_written(recorder_now.burst);
    }
    rig_close();
    n = files_there(&lowest);
    assert_int_equal(n, 4);
    assert_true(lowest > 10);
    for (unsigned i = 0; i < n; i++) {
        rig_read(&r[i], lowest + i);
        assert_int_equal(stat(rig.path, &s), 0);
        assert_true(s.st_size < 200000 + (long)RECORDER_WORDS * 8 + 65536);
        assert_true(i == 3 || r[i].snapshot_whole);
        if (r[i].snapshot_whole)
            snapshot_is_right(&r[i]);
        assert_true(i == 0 || lg_recording_follows(&r[i - 1], &r[i]));
        assert_false(i > 0 && lg_recording_follows(&r[i], &r[i - 1]));
    }
    assert_int_equal(r[3].end[0].burst, 8000);
    for (unsigned i = 0; i < n; i++)
        lg_recording_close(&r[i]);
    /* Another life goes on with the numbers, and keeps to the bound. */
    recorder_open(200000, 2);
    recorder_turn(8, 0);
    recorder_burst(10, 0);
    until_written(1);
    lg_recorder_counts(rig.recorder, &counts);
    assert_int_equal(counts.files, 1);
    assert_int_equal(files_there(&n), 2);
    assert_int_equal(n, lowest + 3);
}

static void a_slow_disk_costs_a_gap_and_a_new_snapshot(void **state)
{
    struct lg_recorder_counts counts = {0};
    struct lg_recording r;
    unsigned lowest, n, based = 0;
    uint64_t last = 0;

    (void)state;
    recorder_open(1u << 30, 3);
    recorder_turn(7, 0);
    for (int i = 0; i < 30000 && counts.gaps < 3; i++) {
        recorder_burst(9000, 0);
        lg_recorder_counts(rig.recorder, &counts);
    }
    assert_true(counts.gaps >= 3);
    for (int i = 0; i < 3000; i++) {
        recorder_burst(50, 0);
        if (i % 20 == 0)
            usleep(500);
    }
    lg_recorder_stop(rig.recorder, 0);
    rig_close();
    n = files_there(&lowest);
    assert_in_range(n, 1, 3);
    for (unsigned serial = lowest; serial < lowest + 1000 && n; serial++) {
        if (access(rig_file(serial), F_OK) != 0)
            continue;
        n--;
        rig_read(&r, serial);
        assert_true(r.head.at.burst >= last);
        last = r.end[0].burst;
        based += r.snapshot_whole;
        if (r.snapshot_whole)
            snapshot_is_right(&r);
        lg_recording_close(&r);
    }
    assert_true(based > 0);
    assert_int_equal(last, recorder_now.burst);
}

static void a_disk_that_refuses_is_tried_again(void **state)
{
    struct lg_recorder_counts counts = {0};
    char away[80];
    unsigned lowest;

    (void)state;
    snprintf(away, sizeof(away), "%s-away", rig.directory);
    recorder_open(1u << 30, 2);
    assert_int_equal(rename(rig.directory, away), 0);
    recorder_turn(7, SECOND);
    for (int i = 0; i < 5000 && counts.failures == 0; i++) {
        recorder_burst(10, SECOND);
        lg_recorder_counts(rig.recorder, &counts);
        usleep(1000);
    }
    assert_int_equal(counts.failures, 1);
    assert_int_equal(rename(away, rig.directory), 0);
    for (int i = 0; i < 50; i++)
        recorder_burst(10, 2 * SECOND);
    assert_int_equal(files_there(&lowest), 0);
    for (int i = 0; i < 400; i++)
        recorder_burst(10, 20 * SECOND);
    until_written(399);
    assert_int_equal(files_there(&lowest), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_recorded_is_read, recorder_setup, recorder_teardown),
        cmocka_unit_test_setup_teardown(files_are_bounded_and_go_on, recorder_setup, recorder_teardown),
        cmocka_unit_test_setup_teardown(a_slow_disk_costs_a_gap_and_a_new_snapshot, recorder_setup,
                                        recorder_teardown),
        cmocka_unit_test_setup_teardown(a_disk_that_refuses_is_tried_again, recorder_setup,
                                        recorder_teardown),
    };

    return cmocka_run_group_tests_name("recorder", tests, NULL, NULL);
}
