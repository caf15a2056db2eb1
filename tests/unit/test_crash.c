/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a crash tells of itself, by lanes that really die, each in a process of its own: the signal, the NF,
 * what it was at, the burst and the packet, from the report and the datagram to the peer; and what does not:
 * an end by kill -9.
 */
#define _GNU_SOURCE /* memmem */
#include "tests/help/lane.h"
#include "tests/help/config.h"
#include "understudy/crash/fingerprint.h"
#include "tests/help/test.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <time.h>

#define BEFORE 5u /* packets in front of the one that kills */
#define EARLIER                                                                                              \
    22u /* in bursts before, of which the first is longer: behind a list lie packets of that one */
#define REWRITES 20u /* of the deaths: the NF has changed the packet */

/* By the port that it comes to, from CRASH_PORT on. */
static const struct death {
    const char *name;
    int signal;
    bool packet; /* it is found: nothing of it is in a register where it is not */
    const char *doing;
} deaths[] = {
    {"null", SIGSEGV, true, "packets"},
    {"stack overflow", SIGSEGV, true, "packets"},
    {"abort", SIGABRT, true, "packets"},
    {"broken invariant", SIGABRT, true, "packets"},
    {"division", SIGFPE, true, "packets"},
    {"endless loop", SIGABRT, true, "packets"},
    {"heap corruption", SIGABRT, true, "packets"},
    {"call of nothing", SIGSEGV, true, "packets"},
    {"timers", SIGSEGV, false, "timers"},
    {"file's end", SIGBUS, true, "packets"},
    {"illegal instruction", SIGILL, true, "packets"},
    {"calls deep", SIGSEGV, true, "packets"},
    {"C library", SIGSEGV, true, "packets"},
    {"out of memory", SIGSEGV, true, "packets"},
    {"wild pointer", SIGSEGV, true, "packets"},
    {"constant", SIGSEGV, true, "packets"},
    {"system call", SIGSYS, true, "packets"},
    {"trap", SIGTRAP, true, "packets"},
    {"call of anywhere", SIGSEGV, true, "packets"},
    {"return to anywhere", SIGSEGV, true, "packets"},
    {"rewritten", SIGFPE, true, "packets"},
    {"heap overrun", SIGABRT, true, "packets"},
    {"unaligned vector", SIGSEGV, true, "packets"},
    {"freed memory", SIGSEGV, true, "packets"},
    {"code", SIGSEGV, true, "packets"},
    {"region's end", SIGSEGV, true, "packets"},
    {"session's end", SIGSEGV, true, "sessions"},
};
#define DEATHS (sizeof(deaths) / sizeof(deaths[0]))

static unsigned chosen;

static void die_of_a_packet(void)
{
    for (unsigned i = 0; i < EARLIER; i++) {
        crash_arrives(CRASH_HARM);
        if (i >= EARLIER - 3)
            crash_turns(1);
    }
    for (unsigned i = 0; i < BEFORE; i++)
        crash_arrives(CRASH_HARM);
    crash_arrives(CRASH_PORT + chosen);
    for (unsigned i = 0; i < BEFORE; i++)
        crash_arrives(CRASH_HARM);
    if (chosen == 5)
        crash_ends_later();
    crash_turns(3);
}

static int64_t number_of(const json_t *report, const char *name)
{
    const json_t *value = json_object_get(report, name);

    return json_is_integer(value) ? json_integer_value(value) : -1;
}

static const char *text_of(const json_t *report, const char *name)
{
    const char *text = json_string_value(json_object_get(report, name));

    return text ? text : "";
}

/* Of the first function of the backtrace that is crasher's own; or "". */
static const char *own_frame(const json_t *report, const char *what)
{
    const json_t *frame;
    size_t i;

    json_array_foreach(json_object_get(report, "backtrace"), i, frame)
    {
        if (strstr(text_of(frame, "symbol"), "crasher"))
            return text_of(frame, what);
    }
    return "";
}

static bool has_file(const char *path, const char *name)
{
    return access(help_print("%s/%s", path, name), R_OK) == 0;
}

static void check_report(const struct death *d, const json_t *report)
{
    bool timers = strcmp(d->name, "timers") == 0, overflow = strcmp(d->name, "stack overflow") == 0;
    const char *function = timers                              ? "crasher_timers+"
                           : strcmp(d->doing, "sessions") == 0 ? "crasher_session_end+"
                                                               : "crasher_process";
    char signal[16];

    assert_string_equal(text_of(report, "signal"), nd_crash_signal(signal, d->signal));
    assert_string_equal(text_of(report, "nf"), "crasher");
    assert_string_equal(text_of(report, "doing"), d->doing);
    assert_string_equal(text_of(report, "how"), chosen == 5 ? "hung" : "crashed");
    assert_int_equal(number_of(report, "lane"), 0);
    assert_int_equal(number_of(report, "burst"), timers ? 5 : 4);
    assert_int_equal(number_of(report, "packet"), d->packet ? (int)BEFORE + 1 : -1);
    assert_int_equal(json_array_size(json_object_get(report, "packets")), d->packet);
    assert_int_equal(json_is_true(json_object_get(report, "stack_overflow")), overflow);
    if (!overflow) { /* whose innermost frames are all that is kept */
        assert_non_null(strstr(own_frame(report, "symbol"), function));
        assert_non_null(strstr(own_frame(report, "source"), "tests/help/crasher.c:"));
    }
    assert_true(strstr(text_of(report, "invariant"), "a packet of 400 bytes") != NULL || chosen != 3);
    /* Of an address that no pointer can be, or no vector, the processor does not say which. */
    assert_int_equal(json_is_null(json_object_get(report, "address")),
                     strcmp(d->name, "wild pointer") == 0 || strcmp(d->name, "unaligned vector") == 0 ||
                         d->signal == SIGABRT || d->signal == SIGSYS || d->signal == SIGTRAP);
}

/* The burst's file has the first `bytes` of the packet that killed as they came in. */
static bool has_packet(const char *path, size_t bytes)
{
    static char file[1 << 18];
    FILE *in;
    size_t len;

    for (unsigned i = 0; i < EARLIER + BEFORE; i++) /* the same again as in the process that died */
        crash_arrives(CRASH_HARM);
    crash_arrives(CRASH_PORT + chosen);
    in = fopen(help_print("%s/burst.pcapng", path), "r");
    assert_non_null(in);
    len = fread(file, 1, sizeof(file), in);
    fclose(in);
    return memmem(file, len, lane_world.pool[EARLIER + BEFORE].data, bytes) != NULL;
}

/* How the lane tells its standby of bursts. */
static const struct stream {
    const char *name;
    void (*begin)(void);
    bool whole;     /* the chain reads payload */
    bool known;     /* there are fingerprints, and the beginnings of frames as they came in */
    uint32_t bytes; /* of frames that are as they came in, or as the NFs left them and that is the same */
} logged = {"logged", crash_logs, false, true, 64},
  unlogged = {"not logged", NULL, false, false, CRASH_BYTES},
  by_deltas = {"by deltas", crash_deltas, false, true, 64},
  by_deltas_whole = {"by deltas, with payload", crash_deltas, true, true, CRASH_BYTES};

static void check_death(const struct stream *s)
{
    for (chosen = 0; chosen < DEATHS; chosen++) {
        const struct death *d = &deaths[chosen];
        struct ft_crash_notice notice;
        char path[ND_CRASH_PATH];
        json_t *report;
        int how;

        print_message("%s, %s\n", d->name, s->name);
        crash_begin(NULL);
        if (s->begin)
            s->begin();
        lane_world.lane.whole_capture = s->whole;
        how = crash_run(die_of_a_packet);
        assert_true(WIFSIGNALED(how));
        assert_int_equal(WTERMSIG(how), d->signal);
        report = crash_report(path);
        check_report(d, report);
        assert_int_equal(json_is_true(json_object_get(report, "captured")),
                         s->known && !(s->whole && d->packet));
        assert_true(has_file(path, "report.txt") && has_file(path, "inputs.pcapng"));
        if (d->packet)
            assert_int_equal(has_packet(path, s->bytes), s->known || chosen != REWRITES);
        assert_int_equal(ft_crash_notice_decode(crash_world.page->notice, crash_world.page->notice_len,
                                                &crash_key, &notice),
                         0);
        assert_string_equal(notice.nf, "crasher");
        assert_int_equal(notice.signal, d->signal);
        assert_int_equal(notice.fingerprints, s->known && d->packet);
        crash_end(NULL);
    }
}

TEST(each_death_is_told_by_nf_and_packet)
{
    check_death(&logged);
}

TEST(without_a_log_the_frames_are_those_that_nfs_left)
{
    check_death(&unlogged);
}

TEST(by_deltas_frames_are_as_they_came_in)
{
    check_death(&by_deltas);
    check_death(&by_deltas_whole);
}

/* ---- commands ---- */

static const char *command;

static void die_of_a_command(void)
{
    snprintf(lane_world.question.text, sizeof(lane_world.question.text), "%s", command);
    atomic_store(&lane_world.question.asked, ND_ASK_COMMAND);
    crash_turns(2);
    crash_will_show();
    crash_turns(2);
}

TEST(a_command_that_kills_is_told)
{
    static const struct {
        const char *text, *doing;
        int signal;
    } commands[] = {{"set crasher die=set", "set", SIGSEGV},
                    {"clear crasher", "clear", SIGSEGV},
                    {"set crasher die=show", "show", SIGFPE}};

    for (unsigned i = 0; i < 3; i++) {
        char path[ND_CRASH_PATH], line[ND_CRASH_LINE];
        json_t *report;
        int how;

        crash_begin(NULL);
        crash_logs();
        command = commands[i].text;
        how = crash_run(die_of_a_command);
        assert_true(WIFSIGNALED(how) && WTERMSIG(how) == commands[i].signal);
        report = crash_report(path);
        assert_string_equal(text_of(report, "doing"), commands[i].doing);
        snprintf(line, sizeof(line), "crashed in %s of NF crasher, lane 0, burst 1: ", commands[i].doing);
        assert_memory_equal(text_of(report, "line"), line, strlen(line));
        assert_int_equal(crash_world.page->told.notice.fingerprints, 0);
        crash_end(NULL);
    }
}

/* ---- ends without a handler ---- */

static void be_killed(void)
{
    crash_arrives(CRASH_HARM);
    crash_turns(2);
    raise(SIGKILL);
}

TEST(a_kill_leaves_a_short_report_and_no_notice)
{
    char path[ND_CRASH_PATH];
    json_t *report;

    crash_begin(NULL);
    crash_logs();
    assert_true(WTERMSIG(crash_run(be_killed)) == SIGKILL);
    report = crash_report(path);
    assert_string_equal(text_of(report, "how"), "killed");
    assert_string_equal(text_of(report, "line"), "was killed; no lane was in an NF");
    assert_null(json_object_get(report, "signal"));
    assert_int_equal(crash_world.page->notice_len, 0);
    assert_true(has_file(path, "inputs.pcapng") && !has_file(path, "burst.pcapng"));
    crash_end(NULL);
}

/* Two threads at once: one tells, and the process ends. */
static void *die_too(void *arg)
{
    static int *volatile nowhere;

    nd_crash_thread(-1);
    *nowhere = 1;
    return arg;
}

static void die_together(void)
{
    pthread_t other;

    pthread_create(&other, NULL, die_too, NULL);
    chosen = 0;
    die_of_a_packet();
}

TEST(two_threads_that_fault_end_the_process_once)
{
    crash_begin(NULL);
    assert_true(WTERMSIG(crash_run(die_together)) == SIGSEGV);
    assert_true(atomic_load(&crash_world.page->told.whole));
    crash_end(NULL);
}

static unsigned directories(void)
{
    char **names;
    unsigned count;

    assert_int_equal(nd_crash_list(help_print("%s/state", help_config_dir()), "a", &names, &count), 0);
    for (unsigned i = 1; i < count; i++)
        assert_true(strcmp(names[i - 1], names[i]) > 0);
    nd_crash_list_free(names, count);
    return count;
}

TEST(the_newest_directories_are_kept)
{
    char path[ND_CRASH_PATH];

    crash_begin(NULL);
    for (unsigned i = 0; i < ND_CRASH_KEPT + 3; i++) {
        nanosleep(&(struct timespec){0, 2000000}, NULL);
        crash_report(path);
        assert_true(directories() <= ND_CRASH_KEPT);
    }
    assert_int_equal(directories(), ND_CRASH_KEPT);
    assert_true(has_file(path, "report.json"));
    crash_end(NULL);
}

/* ---- packets that their sessions tell --------------------------------------------------------------- */

#define KILLER 3u /* of the frames that arrive */

/* Nobody tells crasher of the sessions that end meanwhile: none does. */
static void bypass_crasher(bool on)
{
    const struct nf_lane_state *state = nf_chain_state(lane_world.lane.chain);

    *(uint64_t *)ft_edit(lane_world.region, &state->bypassed, sizeof(state->bypassed)) = on ? 1u << 2 : 0;
}

static void arrives_again(unsigned number)
{
    memcpy(lane_arrives(CRASH_BYTES)->data, lane_world.pool[number].data, CRASH_BYTES);
}

/* The packet that kills, and others, are of sessions that are there: each came once while crasher was
 * bypassed. */
static void die_of_a_known_flow(void)
{
    lane_world.lane.by_session = true;
    atomic_store(&lane_world.shared->orders.peer_version, FT_FORMAT_SESSIONS);
    bypass_crasher(true);
    for (unsigned i = 0; i < 2 * KILLER; i++)
        crash_arrives(i == KILLER ? CRASH_PORT + chosen : CRASH_HARM);
    crash_turns(2);
    bypass_crasher(false);
    for (unsigned i = 0; i < 2 * KILLER; i++)
        arrives_again(i);
    crash_turns(3);
}

/* The fingerprint is that of the frame as it came, and as the other node will see it: nothing of it lies in
 * the log, and of one death the NF has put another address in. */
TEST(what_its_session_tells_is_known_again)
{
    static const unsigned deadly[] = {0, 2, 4, REWRITES};
    static char file[1 << 18];
    struct ft_crash_notice notice;
    struct ft_fingerprint expected;
    char path[ND_CRASH_PATH];
    const struct ft_record *r;
    json_t *report;
    FILE *in;

    for (unsigned i = 0; i < sizeof(deadly) / sizeof(deadly[0]); i++) {
        chosen = deadly[i];
        crash_begin(NULL);
        crash_logs();
        assert_true(WIFSIGNALED(crash_run(die_of_a_known_flow)));
        report = crash_report(path);
        assert_int_equal(number_of(report, "packet"), KILLER + 1);
        r = nd_crash_record(lane_world.shared, (uint64_t)number_of(report, "burst"));
        assert_int_equal(r->inputs, 2 * KILLER);
        for (unsigned n = 0; n < r->inputs; n++)
            assert_int_equal(ft_record_inputs(r)[n].flags, FT_IN_SESSION);
        assert_int_equal(ft_crash_notice_decode(crash_world.page->notice, crash_world.page->notice_len,
                                                &crash_key, &notice),
                         0);
        for (unsigned n = 0; n <= KILLER; n++) /* the same again as in the process that died */
            crash_arrives(n == KILLER ? CRASH_PORT + chosen : CRASH_HARM);
        expected = nd_fingerprint(lane_world.pool[KILLER].data, CRASH_CAPTURE, CRASH_BYTES);
        assert_int_equal(notice.fingerprints, 1);
        assert_true(nd_fingerprint_is_again(&notice.fingerprint[0], &expected));
        assert_int_equal(notice.fingerprint[0].content, expected.content);
        assert_non_null(in = fopen(help_print("%s/burst.pcapng", path), "r"));
        assert_non_null(memmem(file, fread(file, 1, sizeof(file), in), lane_world.pool[KILLER].data, 40));
        fclose(in);
        crash_end(NULL);
    }
}

static void leave(void)
{
    exit(0);
}

/* As a library does that an NF calls: without a word its successor would take the same packet in. */
TEST(a_lane_that_ends_the_process_has_crashed)
{
    int how;

    crash_begin(NULL);
    how = crash_run(leave);
    assert_true(WIFSIGNALED(how));
    assert_int_equal(WTERMSIG(how), SIGABRT);
    assert_true(atomic_load(&crash_world.page->notice_len) > 0);
    crash_end(NULL);
}

TESTS_SHARE(NULL, crash_clean)
