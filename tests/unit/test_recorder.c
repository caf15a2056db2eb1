/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The flight recorder's files against a model: a state that each burst changes in a known way, so that the
 * state at any burst can be computed anew and held against the snapshot a file opens with.
 */
#include "ftcore/record/message.h"
#include "ftcore/record/delta.h"
#include "tests/help/record.h"
#include "tests/help/recorder.h"
#include "tests/help/test.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define SECOND 1000000000ull

/* The disk: what a write takes more than the page cache does. */
static _Atomic unsigned disk_us;

ssize_t write(int fd, const void *data, size_t len)
{
    unsigned us = atomic_load(&disk_us);

    if (us)
        usleep(us);
    return syscall(SYS_write, fd, data, len);
}

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

TEST_WITH(what_is_recorded_is_read, recorder_setup, recorder_teardown)
{
    struct ft_record *out = aligned_alloc(64, FT_RECORD_MAX);
    struct lg_recording r;
    struct lg_frame f;
    uint64_t at = 0, next = 21;

    recorder_open(1u << 30, 2);
    for (int i = 0; i < 20; i++) { /* before the snapshot: known to no file */
        recorder_now.burst++;
        recorder_now.seq += RECORDER_INPUTS;
        for (unsigned k = 0; k < 3; k++)
            recorder_words[recorder_place(recorder_now.burst, k) % RECORDER_WORDS] += recorder_now.burst;
    }
    recorder_turn(7, 0);
    recorder_bursts(500, 100, 0);
    until_written(500);
    rig_stop(0);
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
        assert_int_equal(ft_record_decode(f.content, f.len, out, FT_RECORD_MAX, &help_fault), f.len);
        assert_int_equal(out->burst, next++);
        assert_int_equal(out->inputs, RECORDER_INPUTS);
    }
    assert_int_equal(next, 521);
    lg_recording_close(&r);
    free(out);
}

/* The chain is another one: what was recorded ends whole, and another recording begins, of that one. */
TEST_WITH(a_change_of_the_chain_begins_another_recording, recorder_setup, recorder_teardown)
{
    static const char other[] = "nf 1: monitor max_flows=20, longer than before\n";
    struct lg_recording r[2];

    recorder_begin(1u << 30, 4);
    recorder_bursts(500, 100, 0);
    assert_true(lg_recorder_halt(rig.recorder));
    lg_recorder_take_chain(rig.recorder, other, sizeof(other) - 1);
    recorder_bursts(500, 100, SECOND);
    while (lg_recorder_owes(rig.recorder)) { /* its snapshot goes on while half of the queue is free */
        recorder_turn(7, SECOND);
        usleep(100);
    }
    until_written(999); /* the first of the others is before the snapshot */
    rig_stop(0);
    for (unsigned i = 0; i < 2; i++) {
        const char *identity = i ? other : RECORDER_IDENTITY;

        rig_read(&r[i], i + 1);
        assert_true(r[i].snapshot_whole && r[i].ended);
        assert_int_equal(r[i].head.identity, strlen(identity));
        assert_memory_equal(r[i].identity, identity, strlen(identity));
        snapshot_is_right(&r[i]);
    }
    assert_int_equal(r[0].end[0].burst, 500);
    assert_int_equal(r[1].head.at.burst, 501);
    assert_int_equal(r[1].end[0].burst, 1000);
    assert_false(lg_recording_follows(&r[0], &r[1]));
    for (unsigned i = 0; i < 2; i++)
        lg_recording_close(&r[i]);
}

TEST_WITH(files_are_bounded_and_go_on, recorder_setup, recorder_teardown)
{
    struct lg_recorder_counts counts;
    struct lg_recording r[4] = {{.size = 0}};
    unsigned lowest, n;
    struct stat s;

    recorder_begin(200000, 4);
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

TEST_WITH(a_slow_disk_costs_a_gap_and_a_new_snapshot, recorder_setup, recorder_teardown)
{
    struct lg_recorder_counts counts = {0};
    struct lg_recording r;
    unsigned lowest, n, based = 0;
    uint64_t last = 0;

    atomic_store(&disk_us, 20000);
    recorder_begin(1u << 30, 3);
    for (int i = 0; i < 300000 && counts.gaps < 3; i++) {
        recorder_burst(9000, 0);
        lg_recorder_counts(rig.recorder, &counts);
    }
    assert_true(counts.gaps >= 3);
    atomic_store(&disk_us, 0);
    for (uint64_t gaps = 0, from = 0; gaps != counts.gaps || counts.records < from + 1000;) {
        if (gaps != counts.gaps) {
            gaps = counts.gaps;
            from = counts.records;
        }
        recorder_bursts(20, 50, 0);
        usleep(500);
        lg_recorder_counts(rig.recorder, &counts);
    }
    rig_stop(0);
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

TEST_WITH(a_disk_that_refuses_is_tried_again, recorder_setup, recorder_teardown)
{
    struct lg_recorder_counts counts = {0};
    unsigned lowest;

    const char *away = help_print("%s-away", rig.directory);
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
    recorder_bursts(50, 10, 2 * SECOND);
    assert_int_equal(files_there(&lowest), 0);
    recorder_bursts(400, 10, 20 * SECOND);
    until_written(399);
    assert_int_equal(files_there(&lowest), 1);
}

/*
 * Damage to the flight recorder's files: a file cut at every byte of its last frames, every bit turned over,
 * frames out of their places, files of others.
 */

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
    rig_stop(0);
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

TEST_WITH(a_torn_file_is_read_to_its_last_whole_frame, recorder_setup, recorder_teardown)
{
    struct lg_recording r;
    struct lg_frame f;
    uint64_t at = 0, dependency[64], dependencies = 0, seen;

    small_file();
    assert_int_equal(open_bytes(size, &r, &help_fault), 0);
    while (lg_recording_next(&r, &at, &f)) {
        assert_true(dependencies < 64);
        dependency[dependencies++] = at;
    }
    lg_recording_close(&r);
    for (size_t len = 0; len < size; len++) {
        int error = open_bytes(len, &r, &help_fault);

        if (len < dependency[0]) {
            assert_true(error < 0);
            assert_non_null(strstr(help_fault.text, "09.rec:offset "));
            assert_non_null(strstr(help_fault.text, ", expected "));
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
    assert_int_equal(open_bytes(size, &r, &help_fault), 0);
    assert_int_equal(r.whole, dependency[dependencies - 2]);
    lg_recording_close(&r);
    free(bytes);
}

TEST_WITH(every_bit_that_is_turned_over_is_found, recorder_setup, recorder_teardown)
{
    struct lg_recording r;

    small_file();
    for (size_t bit = 0; bit < size * 8; bit++) {
        bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
        if (open_bytes(size, &r, &help_fault) == 0)
            fail_msg("bit %zu of byte %zu is turned over and nothing is said", bit % 8, bit / 8);
        if (!strstr(help_fault.text, ".rec:offset ") || !strstr(help_fault.text, ", expected "))
            fail_msg("byte %zu: '%s'", bit / 8, help_fault.text);
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
TEST_WITH(frames_out_of_place_are_refused, recorder_setup, recorder_teardown)
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

    small_file();
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int error = open_in_order(cases[i].order, &help_fault);

        if (error != cases[i].error || !strstr(help_fault.text, cases[i].text))
            fail_msg("case %u: %d '%s'", i, error, help_fault.text);
    }
    free(bytes);
}

TEST_WITH(foreign_files_are_refused_by_name, recorder_setup, recorder_teardown)
{
    struct lg_recording r;

    small_file();
    bytes[8] = 2;
    assert_int_equal(open_bytes(size, &r, &help_fault), FT_EVERSION);
    assert_non_null(strstr(help_fault.text, ":offset 8: version 2, expected 3 to 4"));
    memcpy(bytes, "\xd4\xc3\xb2\xa1\x02\x00\x04\x00", 8);
    assert_int_equal(open_bytes(size, &r, &help_fault), FT_EMALFORMED);
    assert_non_null(strstr(help_fault.text, ":offset 0: "));
    assert_int_equal(lg_recording_open(&r, rig.directory, &help_fault), FT_EMALFORMED);
    assert_int_equal(lg_recording_open(&r, rig_file(77), &help_fault), FT_ENOENT);
    free(bytes);
}

/*
 * The end of a recording. A process that records is killed, at any moment, and another one finishes its file:
 * every record that was handed over is there, once.
 */

#define ROUNDS     40u
#define FILE_BYTES 300000u

/* What the process that dies has done, in memory that outlives it. */
static struct said {
    _Atomic uint64_t handed; /* records */
    _Atomic uint64_t gaps;
} * said;

static unsigned last_serial(void)
{
    DIR *dir = opendir(rig.directory);
    const struct dirent *d;
    unsigned last = 0;

    while ((d = readdir(dir)))
        if (strstr(d->d_name, ".rec") && strtoul(d->d_name, NULL, 10) > last)
            last = (unsigned)strtoul(d->d_name, NULL, 10);
    closedir(dir);
    return last;
}

/* Records until it has handed over so many, then dies; 0: until somebody kills it. */
static void record_and_die(uint64_t records, uint16_t taken)
{
    struct lg_recorder_counts counts;

    recorder_begin(FILE_BYTES, 1000);
    while (!records || recorder_now.burst < records) {
        recorder_burst(taken, 0);
        atomic_store(&said->handed, recorder_now.burst);
        lg_recorder_counts(rig.recorder, &counts);
        atomic_store(&said->gaps, counts.gaps);
        if (!records && recorder_now.burst % 8 == 0)
            usleep((useconds_t)draw_below(300));
    }
    raise(SIGKILL);
}

static void finish(uint32_t how, const char *line)
{
    struct lg_node_end end = {.wall = 5, .how = how, .lane = FT_CRASH_NO_LANE};
    struct lg_position at;
    uint64_t ended;

    assert_true(lg_recorder_drain(rig.recorder, &at));
    ended = at.burst;
    lg_recorder_end(rig.recorder, &end, &ended, line);
}

/* All files follow each other, and the last one ends as it should, with this burst. Snapshots may be missing
 * of the last one alone. */
static void check_files(uint64_t burst, uint64_t or_burst)
{
    struct lg_recording before, r = {.size = 0};
    unsigned last = last_serial();

    for (unsigned serial = 1; serial <= last; serial++) {
        if (access(rig_file(serial), F_OK) != 0)
            continue;
        before = r;
        rig_read(&r, serial);
        assert_int_equal(r.whole, r.size);
        assert_true(r.ended);
        assert_true(!before.data || lg_recording_follows(&before, &r));
        assert_int_equal(r.node_end.how, serial == last ? LG_KILLED : 0);
        lg_recording_close(&before);
    }
    assert_string_equal(r.line, "was killed");
    if (r.end[0].burst != burst && r.end[0].burst != or_burst)
        fail_msg("the recording ends at burst %lu, and %lu were handed over", r.end[0].burst, burst);
    lg_recording_close(&r);
}

/* Each round in a directory of its own. The process dies by itself behind so many records, or is killed some
 * time behind `kill_behind` of them. True: the queue was never full. */
static bool run_round(uint64_t records, uint16_t taken, uint64_t kill_behind)
{
    pid_t child;
    int status;
    uint64_t handed;
    bool whole;

    recorder_setup(NULL);
    rig_share();
    memset(said, 0, sizeof(*said));
    child = fork();
    assert_true(child >= 0);
    if (child == 0)
        record_and_die(records, taken);
    if (kill_behind) {
        while (atomic_load(&said->handed) < kill_behind && !atomic_load(&said->gaps))
            usleep(50);
        usleep((useconds_t)draw_below(300));
        kill(child, SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    handed = atomic_load(&said->handed);
    whole = atomic_load(&said->gaps) == 0;
    if (whole && handed) {
        finish(LG_KILLED, "was killed");
        check_files(handed, kill_behind ? handed + 1 : handed); /* it may die before it has said so */
    }
    rig_forget();
    recorder_teardown(NULL);
    return whole && handed;
}

TEST(what_was_handed_over_is_there_when_the_process_dies)
{
    unsigned counted = 0;

    for (unsigned i = 0; i < ROUNDS; i++)
        counted += run_round(1 + draw_below(i % 2 ? 40 : 2000), i % 3 ? 60 : 1500, 0);
    assert_true(counted > ROUNDS / 2);
}

TEST(wherever_it_is_killed)
{
    unsigned counted = 0, i = 0;

    /* A writer that has no processor for long has its queue full: that round says nothing. */
    for (; counted < ROUNDS && i < 20 * ROUNDS; i++)
        counted += run_round(0, i % 3 ? 100 : 1500, 1 + draw_below(1500));
    assert_int_equal(counted, ROUNDS);
}

TEST(a_full_queue_is_written)
{
    struct lg_recorder_counts counts;
    pid_t child;
    int status;

    recorder_setup(NULL);
    rig_share();
    memset(said, 0, sizeof(*said));
    child = fork();
    if (child == 0) {
        /* The writer sleeps for its longest when the lane goes on, so the queue is full before its next turn.
         */
        recorder_begin(1u << 30, 2);
        while (lg_recorder_owes(rig.recorder))
            recorder_turn(7, 0);
        usleep(200000);
        do {
            recorder_burst(9000, 0);
            lg_recorder_counts(rig.recorder, &counts);
            if (counts.gaps == 0)
                atomic_store(&said->handed, recorder_now.burst);
        } while (counts.gaps == 0);
        raise(SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    finish(LG_KILLED, "was killed");
    check_files(atomic_load(&said->handed), atomic_load(&said->handed));
    rig_forget();
    recorder_teardown(NULL);
}

/* ---- what is torn ---- */

/* The writer has taken so many records, and has written to its file: how soon it does depends on the machine.
 */
static void await_written(uint64_t records)
{
    struct lg_recorder_counts counts;

    do {
        usleep(1000);
        lg_recorder_counts(rig.recorder, &counts);
    } while (counts.records < records || counts.bytes == 0);
}

/* A write that was cut in the middle of a frame, as a full disk or a signal may leave one. */
TEST(a_torn_frame_is_made_again)
{
    static const uint8_t rest[100] = {1, 2, 3};

    for (unsigned round = 0; round < 20; round++) {
        pid_t child;
        int status, fd;

        recorder_setup(NULL);
        rig_share();
        child = fork();
        if (child == 0) {
            recorder_begin(1u << 30, 2);
            recorder_bursts(300, 60, 0);
            await_written(300);
            recorder_bursts(50, 60, 0);
            raise(SIGKILL);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        fd = open(rig_file(1), O_WRONLY | O_APPEND);
        assert_true(fd >= 0 && write(fd, rest, 1 + round * 5) == 1 + (int)round * 5);
        close(fd);
        finish(LG_KILLED, "was killed");
        check_files(350, 350);
        rig_forget();
        recorder_teardown(NULL);
    }
}

int main(void)
{
    said = mmap(NULL, sizeof(*said), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(said != MAP_FAILED);
    return help_tests_run();
}
