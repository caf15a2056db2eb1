/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a recording. A process that records is killed, at any moment, and another one finishes its file:
 * every record that was handed over is there, once.
 */
#include "tests/help/recorder.h"
#include "tests/help/record.h"
#include "tests/help/recorder_lane.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

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

    recorder_open(FILE_BYTES, 1000);
    recorder_turn(7, 0);
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

/* Each round in a directory of its own. True: the queue was never full. */
static bool run_round(uint64_t records, uint16_t taken, unsigned kill_after_us)
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
    if (kill_after_us) {
        usleep(kill_after_us);
        kill(child, SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    handed = atomic_load(&said->handed);
    whole = atomic_load(&said->gaps) == 0;
    if (whole && handed) {
        finish(LG_KILLED, "was killed");
        check_files(handed, kill_after_us ? handed + 1 : handed); /* it may die before it has said so */
    }
    rig_forget();
    recorder_teardown(NULL);
    return whole && handed;
}

static void what_was_handed_over_is_there_when_the_process_dies(void **state)
{
    unsigned counted = 0;

    (void)state;
    for (unsigned i = 0; i < ROUNDS; i++)
        counted += run_round(1 + draw_below(i % 2 ? 40 : 2000), i % 3 ? 60 : 1500, 0);
    assert_true(counted > ROUNDS / 2);
}

static void wherever_it_is_killed(void **state)
{
    unsigned counted = 0;

    (void)state;
    for (unsigned i = 0; i < ROUNDS; i++)
        counted += run_round(0, i % 3 ? 100 : 1500, 2000 + (unsigned)draw_below(60000));
    assert_true(counted > ROUNDS / 2);
}

static void a_full_queue_is_written(void **state)
{
    struct lg_recorder_counts counts;
    pid_t child;
    int status;

    (void)state;
    recorder_setup(NULL);
    rig_share();
    memset(said, 0, sizeof(*said));
    child = fork();
    if (child == 0) {
        /* The writer sleeps for its longest when the lane goes on, so the queue is full before its next turn.
         */
        recorder_open(1u << 30, 2);
        recorder_turn(7, 0);
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
static void a_torn_frame_is_made_again(void **state)
{
    static const uint8_t rest[100] = {1, 2, 3};

    (void)state;
    for (unsigned round = 0; round < 20; round++) {
        pid_t child;
        int status, fd;

        recorder_setup(NULL);
        rig_share();
        child = fork();
        if (child == 0) {
            recorder_open(1u << 30, 2);
            recorder_turn(7, 0);
            for (int i = 0; i < 300; i++)
                recorder_burst(60, 0);
            await_written(300);
            for (int i = 0; i < 50; i++)
                recorder_burst(60, 0);
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
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_handed_over_is_there_when_the_process_dies),
        cmocka_unit_test(wherever_it_is_killed),
        cmocka_unit_test(a_full_queue_is_written),
        cmocka_unit_test(a_torn_frame_is_made_again),
    };

    said = mmap(NULL, sizeof(*said), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(said != MAP_FAILED);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
