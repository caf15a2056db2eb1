/* SPDX-License-Identifier: Apache-2.0 */
/* The process beside a node: scripts that end well, badly, late and never; and its own end. Facts from
 * docs/operating.md. */
#define _GNU_SOURCE
#include "ftcore/base/event_log.h"
#include "understudy/track/runner.h"
#include "tests/help/program.h"
#include "tests/help/test.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

/* A runner under test, with scripts and hooks in a directory of the test's own, which is made before each
 * test and removed after it. */

#define WAIT_S 20

#define RUNNER_TEST(name) TEST_WITH(name, runner_begin, runner_end)

static const char *runner_dir;

/* filled in, then runner_start */
static struct nd_node runner_node;

static struct nd_runner *runner;

/* in the directory */
static const char *runner_path(const char *name)
{
    return help_print("%s/%s", runner_dir, name);
}

static int runner_begin(void **state)
{
    runner_dir = help_directory();
    memset(&runner_node, 0, sizeof(runner_node));
    strcpy(runner_node.name, "alpha");
    return 0;
}

static int runner_end(void **state)
{
    nd_runner_stop(runner);
    runner = NULL;
    return 0;
}

static void runner_start(void)
{
    assert_int_equal(nd_runner_start(&runner, &runner_node, &help_fault), 0);
    assert_non_null(runner);
}

/* A shell script there. */
static void runner_script(const char *name, const char *text)
{
    help_write(runner_path(name), help_print("#!/bin/sh\n%s\n", text));
    chmod(runner_path(name), 0755);
}

/* An event FT_SAYS_STATE with this number. */
static void runner_offer(unsigned number)
{
    char line[64];
    int len = snprintf(line, sizeof(line), "{\"n\":%u}\n", number);

    nd_runner_offer(runner, FT_SAYS_STATE, line, (size_t)len);
}

static struct nd_hook_counts runner_counts(unsigned hook)
{
    return nd_runner_hook(runner, hook);
}

/* A script that the node tracks, ten times a second, whose first bad result counts. */
static void script(unsigned index, const char *text)
{
    struct nd_track *track = &runner_node.track[index];

    *track = (struct nd_track){.kind = ND_TRACK_SCRIPT, .weight = 10, .rise = 1, .fall = 1, .every_ms = 100};
    const char *name = help_print("script%u", index);

    snprintf(track->what, sizeof(track->what), "%s", runner_path(name));
    runner_script(name, text);
    runner_node.tracks = index + 1;
}

/* Until the thing is found so: WAIT_S at most. */
static void found(unsigned index, bool failed, const char *why)
{
    uint64_t until = ft_now() + WAIT_S * 1000000000ull;
    char text[ND_RUNNER_TEXT];

    while ((nd_runner_failed(runner, index, text) != failed || strcmp(text, why) != 0) && ft_now() < until)
        help_sleep_ms(5);
    assert_string_equal(text, why);
    assert_int_equal(nd_runner_failed(runner, index, text), failed);
}

/* ---- scripts ------------------------------------------------------------------------------------- */

RUNNER_TEST(a_script_is_judged_by_its_exit_and_by_its_time)
{
    const char *flag = runner_path("flag");

    script(0, help_print("test -e %s", flag));
    script(1, "exec sleep 100");
    script(2, "kill -SEGV $$");
    script(3, "exit 0");
    strcat(runner_node.track[3].what, ".none");
    runner_start();
    found(0, true, "exit 1");
    found(1, true, "killed after 100 ms");
    found(2, true, "ended by signal 11");
    found(3, true, "cannot be run: No such file or directory");
    help_write(flag, "");
    found(0, false, "well");
    unlink(flag);
    found(0, true, "exit 1");
}

/* It may have been root's own when the node began. */
RUNNER_TEST(a_script_that_others_may_write_to_is_not_run)
{
    const char *ran = runner_path("ran");
    struct nd_runner *none;

    script(0, help_print("echo >>%s", ran));
    runner_start();
    found(0, false, "well");
    chmod(runner_node.track[0].what, 0757);
    found(0, true, "not run: others may write to it, or own it or what leads to it");
    unlink(ran);
    help_sleep_ms(300);
    assert_int_equal(access(ran, F_OK), -1);
    assert_int_equal(nd_runner_start(&none, &runner_node, &help_fault), FT_EPERM);
    assert_non_null(strstr(help_fault.text, "/script0: owner "));
    assert_non_null(strstr(help_fault.text, ", mode 0757, expected owner root"));
    chmod(runner_node.track[0].what, geteuid() == 0 ? 0711 : 0755); /* who runs it need not read it */
    found(0, false, "well");
}

/* Each run takes a lock that ends with it, and says in a file when another one has it. */
RUNNER_TEST(no_script_runs_twice_at_once_though_it_is_late_each_time)
{
    const char *ran = runner_path("ran"), *twice = runner_path("twice");
    struct stat is = {.st_size = 0};

    script(0, help_print("exec 9>%s\nflock -n 9 || echo >>%s\nprintf r >>%s\nexec sleep 100",
                         runner_path("lock"), twice, ran));
    runner_start();
    AWAIT(stat(ran, &is) == 0 && is.st_size >= 5);
    assert_int_equal(access(twice, F_OK), -1);
}

RUNNER_TEST(what_a_script_has_started_ends_with_it)
{
    const char *pid = runner_path("pid");

    script(0, help_print("sleep 100 & echo $! >%s.new; mv %s.new %s; exit 0", pid, pid, pid));
    runner_start();
    found(0, false, "well");
    nd_runner_stop(runner);
    runner = NULL;
    pid_t started = (pid_t)atoi(help_text(pid));

    assert_true(started > 0);
    AWAIT(kill(started, 0) != 0 && errno == ESRCH);
}

RUNNER_TEST(a_script_has_no_capability_and_none_of_the_nodes_files)
{
    const char *log = runner_path("log");
    char line[128];
    int held = open("/dev/null", O_RDONLY), low = dup2(held, 5); /* not closed on exec, as libraries do */
    FILE *f;

    script(0, help_print(
                  "ls /proc/$$/fd >%s.fd; " /* in a pipeline the shell may have its ends still */
                  "{ grep CapEff /proc/self/status; tr '\\n' ' ' <%s.fd; echo $UNDERSTUDY_NODE; } >%s.new; "
                  "mv %s.new %s",
                  log, log, log, log, log));
    runner_start();
    AWAIT(access(log, R_OK) == 0);
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

RUNNER_TEST(a_runner_that_is_killed_is_known_to_be_dead_and_offers_are_lost)
{
    runner_node.hook[0] =
        (struct nd_hook){.kind = ND_HOOK_FIFO, .path = "/nowhere/fifo", .events = UINT64_MAX};
    runner_node.hooks = 1;
    runner_start();
    assert_int_equal(kill(nd_runner_pid(runner), SIGKILL), 0);
    AWAIT(nd_runner_pid(runner) == 0);
    runner_offer(1);
    assert_int_equal(runner_counts(0).lost, 1);
}

RUNNER_TEST(a_runner_that_stands_holds_up_nothing)
{
    uint64_t began;

    runner_node.hook[0] =
        (struct nd_hook){.kind = ND_HOOK_FIFO, .path = "/nowhere/fifo", .events = UINT64_MAX};
    runner_node.hooks = 1;
    runner_start();
    kill(nd_runner_pid(runner), SIGSTOP);
    began = ft_now();
    for (unsigned i = 0; i < 5000; i++)
        runner_offer(i);
    assert_true(ft_now() - began < WAIT_S * 1000000000ull);
    assert_true(runner_counts(0).lost > 0);
    began = ft_now();
    nd_runner_stop(runner);
    runner = NULL;
    assert_true(ft_now() - began < WAIT_S * 1000000000ull);
}

/* Events to hooks: a command, a FIFO and sockets that take them, that take none, and that take them again.
 * Facts from docs/operating.md. */

static void hook(enum nd_hook_kind kind, const char *name)
{
    struct nd_hook *h = &runner_node.hook[runner_node.hooks++];

    *h = (struct nd_hook){.kind = kind, .events = UINT64_MAX};
    snprintf(h->path, sizeof(h->path), "%s", runner_path(name));
}

/* ---- hooks --------------------------------------------------------------------------------------- */

RUNNER_TEST(a_command_gets_each_event_on_its_input_in_order)
{
    const char *log = runner_path("log");
    char expected[512] = "";

    hook(ND_HOOK_COMMAND, "command");
    runner_node.hook[0].events = 1ull << FT_SAYS_STATE;
    runner_script("command", help_print("cat >>%s", log));
    runner_start();
    for (unsigned i = 0; i < 20; i++) {
        runner_offer(i);
        strcat(expected, help_print("{\"n\":%u}\n", i));
        nd_runner_offer(runner, FT_SAYS_PORT, "{\"n\":\"no\"}\n", 11); /* not one of its events */
    }
    AWAIT(runner_counts(0).delivered == 20);
    assert_string_equal(help_text(log), expected);
    assert_int_equal(runner_counts(0).lost, 0);
}

/* Offers what no queue holds while nobody reads: that takes no time, and the rest is counted. */
static unsigned flood(unsigned index)
{
    uint64_t began = ft_now();
    unsigned n = 0;

    for (; n < 2000; n++)
        runner_offer(n);
    assert_true(ft_now() - began < WAIT_S * 1000000000ull); /* two thousand that waited would take minutes */
    AWAIT(runner_counts(index).lost > 0 && runner_counts(index).waiting + runner_counts(index).lost >= 2000);
    assert_true(runner_counts(index).waiting <= 256);
    return n;
}

/* All lines are events in order, and where some are missing, a line has told of so many. */
static void read_rest(int fd, unsigned last)
{
    char bytes[1 << 16];
    size_t have = 0;
    unsigned next = 0, lost = 0;
    uint64_t until = ft_now() + WAIT_S * 1000000000ull;

    while (next != last + 1 && ft_now() < until) {
        ssize_t n = read(fd, bytes + have, sizeof(bytes) - 1 - have);
        char *line = bytes, *newline;

        if (n <= 0) {
            help_sleep_ms(5);
            continue;
        }
        have += (size_t)n;
        bytes[have] = '\0';
        for (; (newline = strchr(line, '\n')); line = newline + 1) {
            const char *told;
            unsigned number;

            *newline = '\0';
            told = strstr(line, "\"lost\":");
            if (told) {
                next += (unsigned)atoi(told + 7);
                lost += (unsigned)atoi(told + 7);
                continue;
            }
            assert_int_equal(sscanf(line, "{\"n\":%u}", &number), 1);
            assert_int_equal(number, next);
            next++;
        }
        have = strlen(line);
        memmove(bytes, line, have);
    }
    assert_int_equal(next, last + 1);
    assert_int_equal(runner_counts(0).lost, lost);
}

RUNNER_TEST(a_fifo_without_a_reader_holds_nothing_up_and_loses_are_told)
{
    const char *path = runner_path("fifo");
    unsigned n;
    int fd;

    hook(ND_HOOK_FIFO, "fifo");
    assert_int_equal(mkfifo(path, 0600), 0);
    runner_start();
    n = flood(0);
    fd = open(path, O_RDONLY | O_NONBLOCK);
    AWAIT(runner_counts(0).waiting == 0);
    runner_offer(n);
    read_rest(fd, n);
    close(fd);
}

RUNNER_TEST(a_regular_file_in_the_place_of_a_fifo_is_not_written_to)
{
    struct stat is;

    hook(ND_HOOK_FIFO, "fifo");
    help_write(runner_path("fifo"), "");
    runner_start();
    runner_offer(1);
    AWAIT(runner_counts(0).waiting == 1);
    help_sleep_ms(300);
    assert_int_equal(stat(runner_path("fifo"), &is), 0);
    assert_int_equal(is.st_size, 0);
    assert_int_equal(runner_counts(0).waiting, 1);
}

static int listen_at(const char *path, int type)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type | SOCK_NONBLOCK, 0);

    snprintf(at.sun_path, sizeof(at.sun_path), "%.100s", path);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    if (type == SOCK_STREAM)
        assert_int_equal(listen(fd, 1), 0);
    return fd;
}

RUNNER_TEST(a_datagram_socket_that_nobody_reads_and_then_somebody_does)
{
    unsigned n;
    int fd;

    hook(ND_HOOK_SOCKET, "socket");
    fd = listen_at(runner_path("socket"), SOCK_DGRAM);
    runner_start();
    for (n = 0; n < 2000; n++)
        runner_offer(n);
    AWAIT(runner_counts(0).lost > 0);
    runner_offer(n);                     /* lost as well: nobody has read yet */
    for (unsigned i = 0; i < 600; i++) { /* what waits there, and in the queue */
        char line[600];

        if (recv(fd, line, sizeof(line), 0) < 0)
            help_sleep_ms(2);
    }
    AWAIT(runner_counts(0).waiting == 0);
    runner_offer(++n);
    AWAIT(runner_counts(0).waiting == 0);
    assert_int_equal(runner_counts(0).lost + runner_counts(0).delivered >= n, true);
    close(fd);
}

RUNNER_TEST(a_stream_socket_whose_reader_stops_and_goes_on)
{
    int listener, fd = -1;

    hook(ND_HOOK_SOCKET, "socket");
    listener = listen_at(runner_path("socket"), SOCK_STREAM);
    runner_start();
    runner_offer(0);
    AWAIT((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0);
    for (unsigned i = 1; i < 50; i++)
        runner_offer(i);
    read_rest(fd, 49);
    close(fd); /* it is gone, and another one comes */
    runner_offer(50);
    AWAIT((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0);
    close(fd);
    close(listener);
}

RUNNER_TEST(a_command_that_hangs_is_killed_and_its_event_is_lost)
{
    hook(ND_HOOK_COMMAND, "command");
    runner_script("command", "read line; case $line in *1*) exec sleep 1000;; esac");
    runner_start();
    runner_offer(1);
    runner_offer(2);
    AWAIT(runner_counts(0).delivered == 1);
    assert_int_equal(runner_counts(0).lost, 1);
}

RUNNER_TEST(a_command_that_others_may_write_to_is_not_run)
{
    hook(ND_HOOK_COMMAND, "command");
    runner_script("command", "exit 0");
    runner_start();
    runner_offer(1);
    AWAIT(runner_counts(0).delivered == 1);
    chmod(runner_node.hook[0].path, 0757);
    runner_offer(2);
    AWAIT(runner_counts(0).disbelieved);
    assert_int_equal(runner_counts(0).waiting, 1);
    chmod(runner_node.hook[0].path, 0755);
    AWAIT(runner_counts(0).delivered == 2);
    assert_false(runner_counts(0).disbelieved);
}
