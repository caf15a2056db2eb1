/* SPDX-License-Identifier: Apache-2.0 */
/* Events to hooks: a command, a FIFO and sockets that take them, that take none, and that take them again.
 * Facts from docs/operating.md. */
#define _GNU_SOURCE
#include "tests/help/runner.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static void hook(enum nd_hook_kind kind, const char *name)
{
    struct nd_hook *h = &runner_node.hook[runner_node.hooks++];

    *h = (struct nd_hook){.kind = kind, .events = UINT64_MAX};
    runner_path(h->path, name);
}

/* ---- hooks --------------------------------------------------------------------------------------- */

static void a_command_gets_each_event_on_its_input_in_order(void **state)
{
    char text[ND_PATH_MAX + 16], log[ND_PATH_MAX], line[64], expected[64];
    FILE *f;

    (void)state;
    hook(ND_HOOK_COMMAND, "command");
    runner_node.hook[0].events = 1ull << FT_SAYS_STATE;
    snprintf(text, sizeof(text), "cat >>%s", runner_path(log, "log"));
    runner_script("command", text);
    runner_start();
    for (unsigned i = 0; i < 20; i++) {
        runner_offer(i);
        nd_runner_offer(runner, FT_SAYS_PORT, "{\"n\":\"no\"}\n", 11); /* not one of its events */
    }
    UNTIL(runner_counts(0).delivered == 20);
    f = fopen(log, "r");
    for (unsigned i = 0; i < 20; i++) {
        snprintf(expected, sizeof(expected), "{\"n\":%u}\n", i);
        assert_non_null(fgets(line, sizeof(line), f));
        assert_string_equal(line, expected);
    }
    assert_null(fgets(line, sizeof(line), f));
    fclose(f);
    assert_int_equal(runner_counts(0).lost, 0);
}

/* Offers what no queue holds while nobody reads: that takes no time, and the rest is counted. */
static unsigned flood(unsigned index)
{
    uint64_t began = nd_now();
    unsigned n = 0;

    for (; n < 2000; n++)
        runner_offer(n);
    assert_true(nd_now() - began < WAIT_S * 1000000000ull); /* two thousand that waited would take minutes */
    UNTIL(runner_counts(index).lost > 0 && runner_counts(index).waiting + runner_counts(index).lost >= 2000);
    assert_true(runner_counts(index).waiting <= 256);
    return n;
}

/* All lines are events in order, and where some are missing, a line has told of so many. */
static void read_rest(int fd, unsigned last)
{
    char bytes[1 << 16];
    size_t have = 0;
    unsigned next = 0, lost = 0;
    uint64_t until = nd_now() + WAIT_S * 1000000000ull;

    while (next != last + 1 && nd_now() < until) {
        ssize_t n = read(fd, bytes + have, sizeof(bytes) - 1 - have);
        char *line = bytes, *newline;

        if (n <= 0) {
            runner_sleep_ms(5);
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

static void a_fifo_without_a_reader_holds_nothing_up_and_loses_are_told(void **state)
{
    char path[ND_PATH_MAX];
    unsigned n;
    int fd;

    (void)state;
    hook(ND_HOOK_FIFO, "fifo");
    assert_int_equal(mkfifo(runner_path(path, "fifo"), 0600), 0);
    runner_start();
    n = flood(0);
    fd = open(path, O_RDONLY | O_NONBLOCK);
    UNTIL(runner_counts(0).waiting == 0);
    runner_offer(n);
    read_rest(fd, n);
    close(fd);
}

static void a_regular_file_in_the_place_of_a_fifo_is_not_written_to(void **state)
{
    char path[ND_PATH_MAX];
    struct stat is;

    (void)state;
    hook(ND_HOOK_FIFO, "fifo");
    close(open(runner_path(path, "fifo"), O_CREAT | O_WRONLY, 0600));
    runner_start();
    runner_offer(1);
    runner_sleep_ms(300);
    assert_int_equal(stat(path, &is), 0);
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

static void a_datagram_socket_that_nobody_reads_and_then_somebody_does(void **state)
{
    char path[ND_PATH_MAX];
    unsigned n;
    int fd;

    (void)state;
    hook(ND_HOOK_SOCKET, "socket");
    fd = listen_at(runner_path(path, "socket"), SOCK_DGRAM);
    runner_start();
    for (n = 0; n < 2000; n++)
        runner_offer(n);
    UNTIL(runner_counts(0).lost > 0);
    runner_offer(n);                     /* lost as well: nobody has read yet */
    for (unsigned i = 0; i < 600; i++) { /* what waits there, and in the queue */
        char line[600];

        if (recv(fd, line, sizeof(line), 0) < 0)
            runner_sleep_ms(2);
    }
    UNTIL(runner_counts(0).waiting == 0);
    runner_offer(++n);
    UNTIL(runner_counts(0).waiting == 0);
    assert_int_equal(runner_counts(0).lost + runner_counts(0).delivered >= n, true);
    close(fd);
}

static void a_stream_socket_whose_reader_stops_and_goes_on(void **state)
{
    char path[ND_PATH_MAX];
    int listener, fd = -1;

    (void)state;
    hook(ND_HOOK_SOCKET, "socket");
    listener = listen_at(runner_path(path, "socket"), SOCK_STREAM);
    runner_start();
    runner_offer(0);
    UNTIL((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0);
    for (unsigned i = 1; i < 50; i++)
        runner_offer(i);
    read_rest(fd, 49);
    close(fd); /* it is gone, and another one comes */
    runner_offer(50);
    UNTIL((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0);
    close(fd);
    close(listener);
}

static void a_command_that_hangs_is_killed_and_its_event_is_lost(void **state)
{
    (void)state;
    hook(ND_HOOK_COMMAND, "command");
    runner_script("command", "read line; case $line in *1*) exec sleep 1000;; esac");
    runner_start();
    runner_offer(1);
    runner_offer(2);
    UNTIL(runner_counts(0).delivered == 1);
    assert_int_equal(runner_counts(0).lost, 1);
}

static void a_command_that_others_may_write_to_is_not_run(void **state)
{
    (void)state;
    hook(ND_HOOK_COMMAND, "command");
    runner_script("command", "exit 0");
    runner_start();
    runner_offer(1);
    UNTIL(runner_counts(0).delivered == 1);
    chmod(runner_node.hook[0].path, 0757);
    runner_offer(2);
    UNTIL(runner_counts(0).disbelieved);
    assert_int_equal(runner_counts(0).waiting, 1);
    chmod(runner_node.hook[0].path, 0755);
    UNTIL(runner_counts(0).delivered == 2);
    assert_false(runner_counts(0).disbelieved);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        RUNNER_TEST(a_command_gets_each_event_on_its_input_in_order),
        RUNNER_TEST(a_fifo_without_a_reader_holds_nothing_up_and_loses_are_told),
        RUNNER_TEST(a_regular_file_in_the_place_of_a_fifo_is_not_written_to),
        RUNNER_TEST(a_datagram_socket_that_nobody_reads_and_then_somebody_does),
        RUNNER_TEST(a_stream_socket_whose_reader_stops_and_goes_on),
        RUNNER_TEST(a_command_that_hangs_is_killed_and_its_event_is_lost),
        RUNNER_TEST(a_command_that_others_may_write_to_is_not_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
