/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of a recording. A process that records is killed, at any moment, and another one finishes its file:
 * every record that was handed over is there, once; then the burst that had begun, and how the node ended.
 * And ends that no recorder writes.
 */
#include "tests/unit/help_recorder.h"
#include "tests/unit/help_record.h"
#include "tests/unit/help_recorder_lane.h"

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
            usleep(40000); /* all of it is written */
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

/* ---- bursts that had begun ---- */

/* Of a process that has recorded three bursts and died. */
static void record_three(struct lg_position *at)
{
    pid_t child;
    int status;

    rig_share();
    child = fork();
    if (child == 0) {
        recorder_open(1u << 30, 2);
        recorder_turn(7, 0);
        for (int i = 0; i < 3; i++)
            recorder_burst(60, 0);
        raise(SIGKILL);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(lg_recorder_drain(rig.recorder, at));
    assert_int_equal(at->burst, 3);
}

static void make_begun(uint64_t burst, uint64_t seq, uint64_t time)
{
    static const char command[] = "set nat udp=5";

    record_begin(0, 0, burst);
    rec->seq = seq;
    rec->time = time;
    rec->access = 1; /* as capture leaves it: what it will be is not known yet */
    record_add_input(60, 60, 1, FT_IN_OUTSIDE);
    record_add_input(80, 60, 0, 0);
    record_add_bytes();
    record_add_determinant(command, sizeof(command) - 1);
    record_finish();
}

static void a_burst_that_had_begun_is_told_apart(void **state)
{
    struct lg_recording r;
    struct ft_fault fault;
    struct lg_position at;
    struct lg_node_end end = {.wall = 77,
                              .how = LG_CRASHED,
                              .signal = SIGSEGV,
                              .lane = 0,
                              .packet = 2,
                              .burst = 4,
                              .time = 4000,
                              .nf = "nat"};
    uint64_t ended = 3;

    (void)state;
    record_three(&at);
    make_begun(6, at.seq, at.time + 1000);
    lg_recorder_begun(rig.recorder, rec); /* not the next one: left out */
    make_begun(4, at.seq + 1, at.time + 1000);
    lg_recorder_begun(rig.recorder, rec);
    make_begun(4, at.seq, at.time + 1000);
    lg_recorder_begun(rig.recorder, rec);
    lg_recorder_end(rig.recorder, &end, &ended, "crashed in NF nat, lane 0, burst 4, packet 2: SIGSEGV");
    rig_read(&r, 1);
    assert_int_equal(r.whole, r.size);
    assert_int_equal(r.end[0].burst, 3);
    assert_int_equal(r.node_end.how, LG_CRASHED);
    assert_int_equal(r.node_end.wall, 77);
    assert_int_equal(r.node_end.packet, 2);
    assert_string_equal(r.node_end.nf, "nat");
    assert_string_equal(r.line, "crashed in NF nat, lane 0, burst 4, packet 2: SIGSEGV");
    assert_non_null(r.begun[0].content);
    assert_int_equal(ft_record_decode(r.begun[0].content, r.begun[0].len, back, FT_RECORD_MAX, &fault),
                     r.begun[0].len);
    assert_int_equal(back->burst, 4);
    assert_int_equal(back->inputs, 2);
    assert_int_equal(back->access, r.end[0].access);
    assert_int_equal(back->determinants, 4 + sizeof("set nat udp=5") - 1);
    lg_recording_close(&r);
    rig_forget();
}

/* Who replays hands a record over before he executes it. */
static void a_record_of_a_burst_that_did_not_end_counts_as_begun(void **state)
{
    struct lg_node_end end = {.wall = 77, .how = LG_KILLED, .lane = FT_CRASH_NO_LANE};
    struct lg_recording r;
    struct ft_fault fault;
    struct lg_position at;
    uint64_t ended;

    (void)state;
    record_three(&at);
    ended = at.burst - 1;
    lg_recorder_end(rig.recorder, &end, &ended, "was killed");
    rig_read(&r, 1);
    assert_int_equal(r.end[0].burst, 2);
    assert_int_equal(r.records, 3);
    assert_int_equal(ft_record_decode(r.begun[0].content, r.begun[0].len, back, FT_RECORD_MAX, &fault),
                     r.begun[0].len);
    assert_int_equal(back->burst, 3);
    lg_recording_close(&r);
    rig_forget();
}

static void an_orderly_stop_says_so(void **state)
{
    struct lg_recording r;

    (void)state;
    recorder_open(1u << 30, 2);
    recorder_turn(7, 0);
    for (int i = 0; i < 3; i++)
        recorder_burst(60, 0);
    rig_close();
    rig_read(&r, 1);
    assert_true(r.ended);
    assert_int_equal(r.node_end.how, LG_STOPPED);
    assert_string_equal(r.line, "stopped");
    assert_int_equal(r.end[0].burst, 3);
    assert_null(r.begun[0].content);
    lg_recording_close(&r);
}

/* ---- ends that no recorder writes ---- */

struct ending {
    struct lg_node_end end;
    uint64_t ended;
    char line[8];
};

/* The file with this in place of its last two frames, NODE_END and END. */
static int open_with(const struct ending *e, size_t len, uint32_t type, struct ft_fault *fault)
{
    static uint8_t bytes[1u << 20];
    struct lg_recording r;
    FILE *file = fopen(rig_file(1), "rb");
    size_t size = fread(bytes, 1, sizeof(bytes), file);
    int error;

    fclose(file);
    size -= 2 * LG_FRAME_HEAD + sizeof(struct lg_node_end) + 8 + strlen("stopped");
    lg_frame_head(bytes + size, size, type, e, (uint32_t)len);
    memcpy(bytes + size + LG_FRAME_HEAD, e, len);
    size += LG_FRAME_HEAD + len;
    file = fopen(rig_file(9), "wb");
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    fclose(file);
    error = lg_recording_open(&r, rig_file(9), fault);
    if (!error)
        lg_recording_close(&r);
    return error;
}

static void an_end_that_nobody_writes_is_refused(void **state)
{
    const struct ending right = {
        {.wall = 1, .how = LG_CRASHED, .signal = 11, .lane = 0, .packet = 1}, 3, "crashed"};
    const size_t whole = offsetof(struct ending, line) + 7;
    struct ending e;
    struct ft_fault fault;

    (void)state;
    recorder_open(1u << 30, 2);
    recorder_turn(7, 0);
    for (int i = 0; i < 3; i++)
        recorder_burst(60, 0);
    rig_close();
    assert_int_equal(open_with(&right, whole, LG_NODE_END, &fault), 0);
#define REFUSED(change, len)                                                                                 \
    do {                                                                                                     \
        e = right;                                                                                           \
        change;                                                                                              \
        assert_int_equal(open_with(&e, len, LG_NODE_END, &fault), FT_EMALFORMED);                            \
        assert_non_null(strstr(fault.text, "09.rec:offset "));                                               \
        assert_non_null(strstr(fault.text, ", expected "));                                                  \
    } while (0)
    REFUSED(e.end.how = 0, whole);
    REFUSED(e.end.how = LG_HOWS, whole);
    REFUSED(e.end.lane = 1, whole);
    REFUSED(e.end.signal = 65, whole);
    REFUSED(e.end.packet = 33, whole);
    REFUSED(memset(e.end.nf, 'x', sizeof(e.end.nf)), whole);
    REFUSED(e.end.nf[0] = '\033', whole);
    REFUSED(e.line[2] = '\n', whole);
    REFUSED(e.ended = 4, whole);
    REFUSED(e.ended = 1, whole);
    REFUSED(e.ended = UINT64_MAX, whole);
    REFUSED((void)0, offsetof(struct ending, line) - 1);
    assert_true(open_with(&right, whole, LG_BEGUN, &fault) < 0);
    assert_int_equal(open_with(&right, whole, LG_TYPES, &fault), FT_EMALFORMED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_handed_over_is_there_when_the_process_dies),
        cmocka_unit_test(wherever_it_is_killed),
        cmocka_unit_test(a_full_queue_is_written),
        cmocka_unit_test(a_torn_frame_is_made_again),
        cmocka_unit_test_setup_teardown(a_burst_that_had_begun_is_told_apart, recorder_setup,
                                        recorder_teardown),
        cmocka_unit_test_setup_teardown(a_record_of_a_burst_that_did_not_end_counts_as_begun, recorder_setup,
                                        recorder_teardown),
        cmocka_unit_test_setup_teardown(an_orderly_stop_says_so, recorder_setup, recorder_teardown),
        cmocka_unit_test_setup_teardown(an_end_that_nobody_writes_is_refused, recorder_setup,
                                        recorder_teardown),
    };

    said = mmap(NULL, sizeof(*said), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(said != MAP_FAILED);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
