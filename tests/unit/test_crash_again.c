/* SPDX-License-Identifier: Apache-2.0 */
/*
 * replay --crash: lanes that die in 27 ways while they record, each executed again from the recording that
 * the reporter finished. It dies of the same signal, in the same NF, at the same instruction. Of a death that
 * is another one, and of one of which there is no recording, it says so.
 */
#include "tests/help/config.h"
#include "understudy/recording/recording.h"
#include "tests/help/lane.h"
#include "tests/help/test.h"

#include <signal.h>
#include <sys/wait.h>

#define DEATHS  27u /* by the port, from CRASH_PORT on: tests/help/crasher.c */
#define HANGS   5u
#define TIMERS  8u
#define SESSION 26u /* the end of one */

static unsigned chosen;
static const char *command;
static char records[180], pair[300], out[300];
static json_t *said; /* by the last command */

static void die_of_a_packet(void)
{
    crash_records();
    for (unsigned i = 0; i < 3; i++) {
        crash_arrives(CRASH_HARM);
        crash_turns(1);
    }
    crash_arrives(CRASH_HARM);
    crash_arrives(CRASH_PORT + chosen);
    crash_arrives(CRASH_HARM);
    if (chosen == HANGS)
        crash_ends_later();
    crash_turns(3);
}

static void die_of_a_command(void)
{
    crash_records();
    crash_arrives(CRASH_HARM);
    crash_turns(1);
    snprintf(lane_world.question.text, sizeof(lane_world.question.text), "%s", command);
    atomic_store(&lane_world.question.asked, ND_ASK_COMMAND);
    crash_turns(2);
    crash_will_show();
    crash_turns(2);
}

/* From now on the lane records into this directory, which is made: in the process that dies once it has
 * called crash_records. The reporter finishes it. */
static void will_record(const char *directory)
{
    snprintf(lane_world.config->record.dir, sizeof(lane_world.config->record.dir), "%s", directory);
    assert_int_equal(system(help_print("rm -rf %s && mkdir -p %s/a", directory, directory)), 0);
    help_done(lg_recorder_make(&crash_world.recorder, 1, 4u * FT_RECORD_MAX, &help_fault));
}

/* Dies, is reported, and its recording is finished. The report's directory in `path`. */
static void let_die(void (*work)(void), char path[ND_CRASH_PATH])
{
    int how;

    snprintf(records, sizeof(records), "%s/state/rec", help_config_dir());
    snprintf(pair, sizeof(pair), "%s/pair.yaml", help_config_dir());
    snprintf(out, sizeof(out), "%s/state/out", help_config_dir());
    crash_begin(NULL);
    will_record(records);
    how = crash_run(work);
    assert_true(WIFSIGNALED(how));
    crash_report(path);
    crash_end(NULL);
}

/* In a process of its own: the region is mapped at one address. What it says on stdout is kept. */
static int run(int (*subcommand)(const struct nd_log_options *), const struct nd_log_options *o)
{
    pid_t child = fork();
    int how;

    assert_true(child >= 0);
    if (child == 0) {
        freopen(out, "w", stdout);
        freopen("/dev/null", "w", stderr);
        how = subcommand(o);
        fflush(NULL);
        _exit(how);
    }
    assert_int_equal(waitpid(child, &how, 0), child);
    assert_true(WIFEXITED(how));
    json_decref(said);
    said = json_load_file(out, 0, NULL);
    return WEXITSTATUS(how);
}

static int crash_again(const char *path)
{
    const struct nd_log_options o = {.config = pair, .crash = path, .json = true};

    return run(nd_replay_crash, &o);
}

static const char *text_of(const char *part, const char *name)
{
    const char *text = json_string_value(json_object_get(json_object_get(said, part), name));

    return text ? text : "";
}

TEST(each_death_is_died_again)
{
    char path[ND_CRASH_PATH];

    for (chosen = 0; chosen < DEATHS; chosen++) {
        let_die(die_of_a_packet, path);
        if (crash_again(path) != 0) {
            char *text = json_dumps(said, 0);

            fail_msg("death %u: %s", chosen, text ? text : "nothing said");
        }
        assert_true(json_is_true(json_object_get(said, "reproduced")));
        assert_false(json_is_true(json_object_get(said, "fresh")));
        assert_string_equal(text_of("here", "nf"), "crasher");
        assert_string_equal(text_of("here", "doing"), chosen == TIMERS    ? "timers"
                                                      : chosen == SESSION ? "sessions"
                                                                          : "packets");
        assert_int_equal(json_is_true(json_object_get(json_object_get(said, "here"), "hangs")),
                         chosen == HANGS);
    }
}

TEST(commands_too)
{
    static const char *const texts[] = {"set crasher die=set", "clear crasher", "set crasher die=show"},
                             *const doing[] = {"set", "clear", "show"};
    char path[ND_CRASH_PATH];

    for (unsigned i = 0; i < 3; i++) {
        command = texts[i];
        let_die(die_of_a_command, path);
        assert_int_equal(crash_again(path), 0);
        assert_string_equal(text_of("here", "doing"), doing[i]);
        assert_false(json_is_true(json_object_get(said, "fresh")));
    }
}

/* The recording is executed to what ended, and tells of what did not. */
TEST(the_log_tells_of_the_end)
{
    char path[ND_CRASH_PATH], dir[320];
    const struct nd_log_options o = {.config = pair, .paths = {dir}, .json = true};
    const json_t *end, *begun;

    chosen = 0;
    let_die(die_of_a_packet, path);
    snprintf(dir, sizeof(dir), "%s/a", records);
    assert_int_equal(run(nd_replay_log, &o), 0);
    end = json_object_get(said, "end");
    begun = json_array_get(json_object_get(end, "not_executed"), 0);
    assert_int_equal(json_integer_value(json_object_get(said, "burst")), 3);
    assert_string_equal(text_of("end", "how"), "crashed");
    assert_string_equal(text_of("end", "signal"), "SIGSEGV");
    assert_string_equal(text_of("end", "line"), "crashed in NF crasher, lane 0, burst 4, packet 2: SIGSEGV");
    assert_int_equal(json_integer_value(json_object_get(end, "packet")), 2);
    assert_int_equal(json_integer_value(json_object_get(begun, "burst")), 4);
    assert_int_equal(json_integer_value(json_object_get(begun, "inputs")), 3);
}

/* Writes report.json anew with other words in it. */
static void change_report(const char *path, const char *name, json_t *value)
{
    json_t *report;

    const char *file = help_print("%s/report.json", path);
    report = json_load_file(file, 0, NULL);
    assert_non_null(report);
    json_object_set_new(report, name, value);
    assert_int_equal(json_dump_file(report, file, 0), 0);
    json_decref(report);
}

TEST(another_death_is_not_this_one)
{
    char path[ND_CRASH_PATH];

    chosen = 0;
    let_die(die_of_a_packet, path);
    change_report(path, "signal", json_string("SIGFPE"));
    assert_int_equal(crash_again(path), 1);
    assert_true(json_is_false(json_object_get(said, "reproduced")));
    assert_string_equal(text_of("report", "signal"), "SIGFPE");
    assert_string_equal(text_of("here", "signal"), "SIGSEGV");
    change_report(path, "signal", json_string("SIGSEGV"));
    change_report(path, "nf", json_string("monitor"));
    assert_int_equal(crash_again(path), 1);
    change_report(path, "nf", json_string("crasher"));
    assert_int_equal(crash_again(path), 0);
    change_report(path, "how", json_string("killed"));
    assert_int_equal(crash_again(path), 65);
}

TEST(without_a_recording_the_state_is_a_fresh_one)
{
    char path[ND_CRASH_PATH];

    chosen = 0;
    let_die(die_of_a_packet, path);
    assert_int_equal(system(help_print("rm -rf %s", records)), 0);
    assert_int_equal(crash_again(path), 0);
    assert_true(json_is_true(json_object_get(said, "fresh")));
    assert_string_equal(text_of("here", "nf"), "crasher");
}

TESTS_SHARE(NULL, crash_clean)
