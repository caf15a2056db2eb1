/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flight recorder's files against a model: a state that each burst changes in a known way, so that the
 * state at any burst can be computed anew and held against the snapshot a file opens with. Then damage: a
 * file cut at every byte of its last frames, every bit turned over, files of others.
 */
#include "ftcore/record/message.h"
#include "ftcore/record/runs.h"
#include "tests/unit/help_record.h"
#include "tests/unit/help_recorder.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define WORDS    (40u * 1024u)
#define PER      4u /* inputs of a burst */
#define IDENTITY "nf 1: monitor max_flows=10\n"
#define SECOND   1000000000ull

static uint64_t *words, *model;
static struct lg_position now;

static int setup(void **state)
{
    (void)state;
    rig_make(1, WORDS, 65536);
    words = ft_arena_alloc(ft_region_arena(rig.region, 0, 1), WORDS * 8);
    assert_non_null(words);
    model = calloc(WORDS, sizeof(*model));
    now = (struct lg_position){.seq = 1, .access = 1};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(model);
    return rig_remove();
}

static void open_recorder(uint64_t file_bytes, uint32_t files)
{
    rig_open("b", IDENTITY, file_bytes, files);
}

/* What burst `burst` does to the state: word by word, from its number alone. */
static uint64_t place(uint64_t burst, unsigned i)
{
    return (burst * 0x9e3779b97f4a7c15ull + i * 0x5851f42d4c957f2dull) >> 20;
}

/* Between bursts, as a node's only lane goes about it. */
static void turn(uint64_t view, uint64_t at)
{
    if (lg_recorder_due(rig.recorder, at))
        lg_recorder_begin(rig.recorder, &now, view, at);
    lg_recorder_turn(rig.recorder, 0);
}

/* One burst as a standby's lane goes about it: record, then replay, then between bursts. */
static void burst(uint16_t taken, uint64_t at)
{
    record_begin(0, 0, now.burst + 1);
    rec->seq = now.seq;
    rec->time = now.time + 1000;
    rec->access = now.access;
    for (unsigned i = 0; i < PER; i++)
        record_add_input(taken < 60 ? 60 : taken, taken, 0, 0);
    record_add_bytes();
    record_finish();
    lg_recorder_record(rig.recorder, 0, rec);
    now.burst++;
    now.seq += PER;
    now.time += 1000;
    for (unsigned i = 0; i < 3; i++) {
        uint64_t *word = &words[place(now.burst, i) % WORDS];

        *(uint64_t *)ft_edit(rig.region, word, 8) += now.burst;
    }
    turn(7, at);
}

/* The state after `last` bursts, anew. */
static void model_at(uint64_t last)
{
    memset(model, 0, WORDS * 8);
    for (uint64_t b = 1; b <= last; b++)
        for (unsigned i = 0; i < 3; i++)
            model[place(b, i) % WORDS] += b;
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
    uint64_t first = ((uintptr_t)words - (uintptr_t)rig.region->base) / FT_LINE, at = 0, lines = 0;
    const uint8_t *bytes = (const uint8_t *)model;
    static const uint8_t zero[FT_LINE];
    struct ft_line_run run;
    struct lg_frame f;

    model_at(r->head.at.burst);
    while (lg_recording_next(r, &at, &f)) {
        uint32_t in = 0;

        while (f.type == LG_LINES && ft_run_next(f.content, f.len, &in, rig.region->size / FT_LINE, &run) > 0)
            for (uint64_t l = 0; l < run.count; l++) {
                uint64_t line = run.line + l;

                if (line < first || line >= first + WORDS * 8 / FT_LINE)
                    continue;
                assert_memory_equal(run.zero ? zero : run.bytes + l * FT_LINE,
                                    bytes + (line - first) * FT_LINE, FT_LINE);
                lines++;
            }
    }
    assert_int_equal(lines, WORDS * 8 / FT_LINE);
}

static void what_is_recorded_is_read(void **state)
{
    struct ft_record *out = aligned_alloc(64, FT_RECORD_MAX);
    struct lg_recording r;
    struct ft_fault fault;
    struct lg_frame f;
    uint64_t at = 0, next = 21;

    (void)state;
    open_recorder(1u << 30, 2);
    for (int i = 0; i < 20; i++) { /* before the snapshot: known to no file */
        now.burst++;
        now.seq += PER;
        for (unsigned k = 0; k < 3; k++)
            words[place(now.burst, k) % WORDS] += now.burst;
    }
    turn(7, 0);
    for (int i = 0; i < 500; i++)
        burst(100, 0);
    until_written(500);
    lg_recorder_stop(rig.recorder, 0);
    rig_close();
    rig_read(&r, 1);
    assert_true(r.based && r.ended);
    assert_int_equal(r.whole, r.size);
    assert_int_equal(r.head.at.burst, 20);
    assert_int_equal(r.head.at.seq, 81);
    assert_int_equal(r.head.view, 7);
    assert_string_equal(r.head.node, "b");
    assert_memory_equal(r.identity, IDENTITY, sizeof(IDENTITY) - 1);
    assert_int_equal(r.records, 500);
    assert_int_equal(r.burst[0], 520);
    assert_int_equal(r.seq[0], 2081);
    snapshot_is_right(&r);
    while (lg_recording_next(&r, &at, &f)) {
        if (f.type != LG_RECORD)
            continue;
        assert_int_equal(ft_record_decode(f.content, f.len, out, FT_RECORD_MAX, &fault), f.len);
        assert_int_equal(out->burst, next++);
        assert_int_equal(out->inputs, PER);
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
    open_recorder(200000, 4);
    turn(7, 0);
    for (int i = 0; i < 8000; i++) {
        burst(120, 0);
        if (i % 50 == 0)
            until_written(now.burst);
    }
    rig_close();
    n = files_there(&lowest);
    assert_int_equal(n, 4);
    assert_true(lowest > 10);
    for (unsigned i = 0; i < n; i++) {
        rig_read(&r[i], lowest + i);
        assert_int_equal(stat(rig.path, &s), 0);
        assert_true(s.st_size < 200000 + (long)WORDS * 8 + 65536);
        assert_true(i == 3 || r[i].based);
        if (r[i].based)
            snapshot_is_right(&r[i]);
        assert_true(i == 0 || lg_recording_follows(&r[i - 1], &r[i]));
        assert_false(i > 0 && lg_recording_follows(&r[i], &r[i - 1]));
    }
    assert_int_equal(r[3].burst[0], 8000);
    for (unsigned i = 0; i < n; i++)
        lg_recording_close(&r[i]);
    /* Another life goes on with the numbers, and keeps to the bound. */
    open_recorder(200000, 2);
    turn(8, 0);
    burst(10, 0);
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
    open_recorder(1u << 30, 3);
    turn(7, 0);
    for (int i = 0; i < 30000 && counts.gaps < 3; i++) {
        burst(9000, 0);
        lg_recorder_counts(rig.recorder, &counts);
    }
    assert_true(counts.gaps >= 3);
    for (int i = 0; i < 3000; i++) {
        burst(50, 0);
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
        last = r.burst[0];
        based += r.based;
        if (r.based)
            snapshot_is_right(&r);
        lg_recording_close(&r);
    }
    assert_true(based > 0);
    assert_int_equal(last, now.burst);
}

static void a_disk_that_refuses_is_tried_again(void **state)
{
    struct lg_recorder_counts counts = {0};
    char away[80];
    unsigned lowest;

    (void)state;
    snprintf(away, sizeof(away), "%s-away", rig.directory);
    open_recorder(1u << 30, 2);
    assert_int_equal(rename(rig.directory, away), 0);
    turn(7, SECOND);
    for (int i = 0; i < 5000 && counts.failures == 0; i++) {
        burst(10, SECOND);
        lg_recorder_counts(rig.recorder, &counts);
        usleep(1000);
    }
    assert_int_equal(counts.failures, 1);
    assert_int_equal(rename(away, rig.directory), 0);
    for (int i = 0; i < 50; i++)
        burst(10, 2 * SECOND);
    assert_int_equal(files_there(&lowest), 0);
    for (int i = 0; i < 400; i++)
        burst(10, 20 * SECOND);
    until_written(399);
    assert_int_equal(files_there(&lowest), 1);
}

/* ---- damage ------------------------------------------------------------------------------------ */

static uint8_t *bytes;
static size_t size;

static void small_file(void)
{
    FILE *in;

    open_recorder(1u << 30, 2);
    memset((uint8_t *)words + 4096, 0x5a, 256);
    turn(7, 0);
    for (int i = 0; i < 200; i++)
        turn(7, 0);
    burst(20, 0);
    burst(0, 0);
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
                                    : len >= dependency[dependencies - 3] ? 1
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

/* Counted from the end: 100 END, 101 and 102 the records, 103 SNAPSHOT_END, 104 lines. */
static void frames_out_of_place_are_refused(void **state)
{
    static const struct {
        int order[8], error;
        const char *text;
    } cases[] = {
        {{0, 1, 103, 102, 101, 100, -1}, 0, ""},
        {{0, 102, 1, 103, 101, -1}, 0, ""}, /* a snapshot is copied while replay goes on */
        {{0, -1}, 0, ""},
        {{1, 0, -1}, FT_EMALFORMED, ":offset 16: frame of type 2"},
        {{0, 0, -1}, FT_EMALFORMED, "expected one that has its place here"},
        {{0, 103, 1, -1}, FT_EMALFORMED, "lines behind the snapshot's end, expected"},
        {{0, 103, 103, -1}, FT_EMALFORMED, "expected one that has its place here"},
        {{0, 101, 102, -1}, FT_EMALFORMED, "burst 2 from seq 5, expected burst 1 from seq 1"},
        {{0, 102, 102, -1}, FT_EMALFORMED, "burst 1 from seq 1, expected burst 2 from seq 5"},
        {{0, 100, 102, -1}, FT_EMALFORMED, "expected the file's end"},
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
    assert_non_null(strstr(fault.text, ":offset 8: version 2, expected 1"));
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
        cmocka_unit_test_setup_teardown(what_is_recorded_is_read, setup, teardown),
        cmocka_unit_test_setup_teardown(files_are_bounded_and_go_on, setup, teardown),
        cmocka_unit_test_setup_teardown(a_slow_disk_costs_a_gap_and_a_new_snapshot, setup, teardown),
        cmocka_unit_test_setup_teardown(a_disk_that_refuses_is_tried_again, setup, teardown),
        cmocka_unit_test_setup_teardown(a_torn_file_is_read_to_its_last_whole_frame, setup, teardown),
        cmocka_unit_test_setup_teardown(every_bit_that_is_turned_over_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(frames_out_of_place_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(foreign_files_are_refused_by_name, setup, teardown),
    };

    return cmocka_run_group_tests_name("recorder", tests, NULL, NULL);
}
