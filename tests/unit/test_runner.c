/* SPDX-License-Identifier: Apache-2.0 */
/* The process beside a node: scripts that end well, badly, late and never; and its own end. Facts from
 * docs/operating.md. */
#include "tests/help/runner.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A script that the node tracks, ten times a second, whose first bad result counts. */
static void script(unsigned index, const char *text)
{
    struct nd_track *track = &runner_node.track[index];
    char name[16];

    *track = (struct nd_track){.kind = ND_TRACK_SCRIPT, .weight = 10, .rise = 1, .fall = 1, .every_ms = 100};
    snprintf(name, sizeof(name), "script%u", index);
    runner_path(track->what, name);
    runner_script(name, text);
    runner_node.tracks = index + 1;
}

/* Until the thing is found so: WAIT_S at most. */
static void found(unsigned index, bool failed, const char *why)
{
    uint64_t until = nd_now() + WAIT_S * 1000000000ull;
    char text[ND_RUNNER_TEXT];

    while ((nd_runner_failed(runner, index, text) != failed || strcmp(text, why) != 0) && nd_now() < until)
        runner_sleep_ms(5);
    assert_string_equal(text, why);
    assert_int_equal(nd_runner_failed(runner, index, text), failed);
}

/* ---- scripts ------------------------------------------------------------------------------------- */

static void a_script_is_judged_by_its_exit_and_by_its_time(void **state)
{
    char flag[ND_PATH_MAX], text[256];
    int fd;

    (void)state;
    snprintf(text, sizeof(text), "test -e %s", runner_path(flag, "flag"));
    script(0, text);
    script(1, "exec sleep 100");
    script(2, "kill -SEGV $$");
    script(3, "exit 0");
    strcat(runner_node.track[3].what, ".none");
    runner_start();
    found(0, true, "exit 1");
    found(1, true, "killed after 100 ms");
    found(2, true, "ended by signal 11");
    found(3, true, "cannot be run: No such file or directory");
    fd = open(flag, O_CREAT | O_WRONLY, 0600);
    close(fd);
    found(0, false, "well");
    unlink(flag);
    found(0, true, "exit 1");
}

/* It may have been root's own when the node began. */
static void a_script_that_others_may_write_to_is_not_run(void **state)
{
    char ran[ND_PATH_MAX], text[ND_PATH_MAX + 16];
    struct nd_runner *none;
    struct ft_fault fault;

    (void)state;
    snprintf(text, sizeof(text), "echo >>%s", runner_path(ran, "ran"));
    script(0, text);
    runner_start();
    found(0, false, "well");
    chmod(runner_node.track[0].what, 0757);
    found(0, true, "not run: others may write to it, or own it or what leads to it");
    unlink(ran);
    runner_sleep_ms(300);
    assert_int_equal(access(ran, F_OK), -1);
    assert_int_equal(nd_runner_start(&none, &runner_node, &fault), FT_EPERM);
    assert_non_null(strstr(fault.text, "/script0: owner "));
    assert_non_null(strstr(fault.text, ", mode 0757, expected owner root"));
    chmod(runner_node.track[0].what, geteuid() == 0 ? 0711 : 0755); /* who runs it need not read it */
    found(0, false, "well");
}

/* Each run takes a lock that ends with it, and says in a file when another one has it. */
static void no_script_runs_twice_at_once_though_it_is_late_each_time(void **state)
{
    char text[1000], lock[ND_PATH_MAX], ran[ND_PATH_MAX], twice[ND_PATH_MAX];
    struct stat is = {.st_size = 0};

    (void)state;
    snprintf(text, sizeof(text), "exec 9>%s\nflock -n 9 || echo >>%s\nprintf r >>%s\nexec sleep 100",
             runner_path(lock, "lock"), runner_path(twice, "twice"), runner_path(ran, "ran"));
    script(0, text);
    runner_start();
    UNTIL(stat(ran, &is) == 0 && is.st_size >= 5);
    assert_int_equal(access(twice, F_OK), -1);
}

static void what_a_script_has_started_ends_with_it(void **state)
{
    char text[1000], pid[ND_PATH_MAX], line[64];
    FILE *f;

    (void)state;
    runner_path(pid, "pid");
    snprintf(text, sizeof(text), "sleep 100 & echo $! >%s.new; mv %s.new %s; exit 0", pid, pid, pid);
    script(0, text);
    runner_start();
    found(0, false, "well");
    nd_runner_stop(runner);
    runner = NULL;
    f = fopen(pid, "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%63s", line), 1);
    fclose(f);
    UNTIL(kill((pid_t)atoi(line), 0) != 0 && errno == ESRCH);
}

static void a_script_has_no_capability_and_none_of_the_nodes_files(void **state)
{
    char text[1400], log[ND_PATH_MAX], line[128];
    int held = open("/dev/null", O_RDONLY), low = dup2(held, 5); /* not closed on exec, as libraries do */
    FILE *f;

    (void)state;
    runner_path(log, "log");
    snprintf(text, sizeof(text),
             "ls /proc/$$/fd >%s.fd; " /* in a pipeline the shell may have its ends still */
             "{ grep CapEff /proc/self/status; tr '\\n' ' ' <%s.fd; echo $UNDERSTUDY_NODE; } >%s.new; "
             "mv %s.new %s",
             log, log, log, log, log);
    script(0, text);
    runner_start();
    UNTIL(access(log, R_OK) == 0);
    f = fopen(log, "r");
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof(line), f));
    if (geteuid() != 0) /* of root it is no_new_privs, which nodes set, that keeps it from having all */
        assert_string_equal(line, "CapEff:\t0000000000000000\n");
    assert_non_null(fgets(line, sizeof(line), f));
    fclose(f);
    close(held);
    close(low);
    assert_string_equal(line + strlen(line) - strlen("alpha\n"), "alpha\n");
    line[strlen(line) - strlen("alpha\n")] = '\0';
    for (const char *at = line; *at; at += strcspn(at, " ") + 1) /* from 10 on: the shell's own */
        assert_true(atoi(at) <= 2 || atoi(at) >= 10);
}

/* ---- its end ------------------------------------------------------------------------------------- */

static void a_runner_that_is_killed_is_known_to_be_dead_and_offers_are_lost(void **state)
{
    (void)state;
    runner_node.hook[0] =
        (struct nd_hook){.kind = ND_HOOK_FIFO, .path = "/nowhere/fifo", .events = UINT64_MAX};
    runner_node.hooks = 1;
    runner_start();
    assert_int_equal(kill(nd_runner_pid(runner), SIGKILL), 0);
    UNTIL(nd_runner_pid(runner) == 0);
    runner_offer(1);
    assert_int_equal(runner_counts(0).lost, 1);
}

static void a_runner_that_stands_holds_up_nothing(void **state)
{
    uint64_t began;

    (void)state;
    runner_node.hook[0] =
        (struct nd_hook){.kind = ND_HOOK_FIFO, .path = "/nowhere/fifo", .events = UINT64_MAX};
    runner_node.hooks = 1;
    runner_start();
    kill(nd_runner_pid(runner), SIGSTOP);
    began = nd_now();
    for (unsigned i = 0; i < 5000; i++)
        runner_offer(i);
    assert_true(nd_now() - began < WAIT_S * 1000000000ull);
    assert_true(runner_counts(0).lost > 0);
    began = nd_now();
    nd_runner_stop(runner);
    runner = NULL;
    assert_true(nd_now() - began < WAIT_S * 1000000000ull);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUNNER_TEST(a_script_is_judged_by_its_exit_and_by_its_time),
        RUNNER_TEST(a_script_that_others_may_write_to_is_not_run),
        RUNNER_TEST(no_script_runs_twice_at_once_though_it_is_late_each_time),
        RUNNER_TEST(what_a_script_has_started_ends_with_it),
        RUNNER_TEST(a_script_has_no_capability_and_none_of_the_nodes_files),
        RUNNER_TEST(a_runner_that_is_killed_is_known_to_be_dead_and_offers_are_lost),
        RUNNER_TEST(a_runner_that_stands_holds_up_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
