/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a recording ends with: bursts that had begun and had not ended, and how the node ended; and ends that
 * no recorder writes.
 */
#include "tests/help/record.h"
#include "tests/help/recorder.h"
#include "tests/help/test.h"

#include <signal.h>
#include <sys/wait.h>

/* ---- bursts that had begun ---- */

/* Of a process that has recorded three bursts and died. */
static void record_three(struct lg_position *at)
{
    pid_t child;
    int status;

    rig_share();
    child = fork();
    if (child == 0) {
        recorder_begin(1u << 30, 2);
        recorder_bursts(3, 60, 0);
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

TEST_WITH(a_burst_that_had_begun_is_told_apart, recorder_setup, recorder_teardown)
{
    struct lg_recording r;
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
    assert_int_equal(ft_record_decode(r.begun[0].content, r.begun[0].len, back, FT_RECORD_MAX, &help_fault),
                     r.begun[0].len);
    assert_int_equal(back->burst, 4);
    assert_int_equal(back->inputs, 2);
    assert_int_equal(back->access, r.end[0].access);
    assert_int_equal(back->determinants, 4 + sizeof("set nat udp=5") - 1);
    lg_recording_close(&r);
    rig_forget();
}

/* Who replays hands a record over before he executes it. */
TEST_WITH(a_record_of_a_burst_that_did_not_end_counts_as_begun, recorder_setup, recorder_teardown)
{
    struct lg_node_end end = {.wall = 77, .how = LG_KILLED, .lane = FT_CRASH_NO_LANE};
    struct lg_recording r;
    struct lg_position at;
    uint64_t ended;

    record_three(&at);
    ended = at.burst - 1;
    lg_recorder_end(rig.recorder, &end, &ended, "was killed");
    rig_read(&r, 1);
    assert_int_equal(r.end[0].burst, 2);
    assert_int_equal(r.records, 3);
    assert_int_equal(ft_record_decode(r.begun[0].content, r.begun[0].len, back, FT_RECORD_MAX, &help_fault),
                     r.begun[0].len);
    assert_int_equal(back->burst, 3);
    lg_recording_close(&r);
    rig_forget();
}

static void record_and_stop(void)
{
    recorder_begin(1u << 30, 2);
    recorder_bursts(3, 60, 0);
    rig_close();
}

TEST_WITH(an_orderly_stop_says_so, recorder_setup, recorder_teardown)
{
    struct lg_recording r;

    record_and_stop();
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

TEST_WITH(an_end_that_nobody_writes_is_refused, recorder_setup, recorder_teardown)
{
    const struct ending right = {
        {.wall = 1, .how = LG_CRASHED, .signal = 11, .lane = 0, .packet = 1}, 3, "crashed"};
    const size_t whole = offsetof(struct ending, line) + 7;
    struct ending e;

    record_and_stop();
    assert_int_equal(open_with(&right, whole, LG_NODE_END, &help_fault), 0);
#define REFUSED(change, len)                                                                                 \
    do {                                                                                                     \
        e = right;                                                                                           \
        change;                                                                                              \
        assert_int_equal(open_with(&e, len, LG_NODE_END, &help_fault), FT_EMALFORMED);                       \
        assert_non_null(strstr(help_fault.text, "09.rec:offset "));                                          \
        assert_non_null(strstr(help_fault.text, ", expected "));                                             \
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
    assert_true(open_with(&right, whole, LG_BEGUN, &help_fault) < 0);
    assert_int_equal(open_with(&right, whole, LG_TYPES, &help_fault), FT_EMALFORMED);
}
