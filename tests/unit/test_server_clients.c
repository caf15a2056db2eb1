/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket against clients that do what clients should not: they read slowly or never, vanish, keep
 * their places; and sockets that are there already.
 */
#define _GNU_SOURCE
#include "tests/unit/help_server.h"
#include "node/control/server.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define PLACES 16 /* the server's (node/control/server.h) */

/* A reader that takes its time gets all of it; meanwhile it is a bounded while that others wait. */
static void a_slow_reader_gets_all_of_its_answer(void **state)
{
    char *all = malloc(BIG + 64);
    size_t have = 0;
    int fd = server_dial();

    (void)state;
    assert_true(server_say(fd, "{\"big\":1}\n", 10));
    while (have < BIG + 11) {
        ssize_t n = recv(fd, all + have, BIG + 64 - have < 65536 ? BIG + 64 - have : 65536, 0);

        assert_true(n > 0);
        have += (size_t)n;
        poll(NULL, 0, 1);
    }
    assert_int_equal(have, BIG + 11);
    assert_memory_equal(all + have - 3, "\"}\n", 3);
    close(fd);
    free(all);
}

static void one_who_never_reads_loses_the_connection(void **state)
{
    int fd = server_dial();

    (void)state;
    assert_true(server_say(fd, "{\"big\":1}\n", 10));
    server_still_serves();
    close(fd);
}

static void one_who_vanishes_while_answered_harms_nobody(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        int fd = server_dial();
        char byte;

        assert_true(server_say(fd, "{\"big\":1}\n", 10));
        if (i % 2)
            assert_int_equal(recv(fd, &byte, 1, 0), 1);
        close(fd);
    }
    server_still_serves();
}

/* More than have places: all are served, since each leaves when it has its answer. */
static void twenty_at_once_are_all_served(void **state)
{
    int fd[20];
    char text[32];

    (void)state;
    for (int i = 0; i < 20; i++) {
        fd[i] = i < 2 * PLACES ? server_dial() : -1;
        snprintf(text, sizeof(text), "{\"n\":%d}\n", i);
        assert_true(server_say(fd[i], text, strlen(text)));
    }
    for (int i = 0; i < 20; i++) {
        snprintf(text, sizeof(text), "{\"n\":%d}", i);
        server_answers_with(fd[i], text);
        close(fd[i]);
    }
}

/* One who waits for a place does not make the server spin, and gets the place of one that said nothing. */
static void silent_ones_lose_their_place(void **state)
{
    int fd[PLACES], last;
    struct timespec half = {0, 500000000};
    unsigned before;

    (void)state;
    server_still_serves();
    for (int i = 0; i < PLACES; i++)
        fd[i] = server_dial();
    for (int i = 0; i < PLACES; i++) { /* each has its place */
        assert_true(server_say(fd[i], "{\"n\":1}\n", 8));
        server_answers_with(fd[i], "{\"n\":1}");
    }
    last = server_dial();
    assert_true(server_say(last, "{\"n\":2}\n", 8));
    before = atomic_load(&server_turns);
    nanosleep(&half, NULL);
    assert_in_range(atomic_load(&server_turns) - before, 0, 100); /* 25 waits of 20 ms */
    server_answers_with(last, "{\"n\":2}");
    close(last);
    for (int i = 0; i < PLACES; i++)
        server_has_closed(fd[i]);
}

static void a_path_that_is_taken_or_not_ours_is_refused(void **state)
{
    struct nd_server *second;
    struct ft_fault fault = {""};
    char other[96], longest[300];
    int fd;

    (void)state;
    assert_int_equal(nd_server_open(&second, server_path, &fault), FT_EBUSY);
    assert_non_null(strstr(fault.text, server_path));
    server_still_serves();
    snprintf(other, sizeof(other), "%s.file", server_path);
    fd = open(other, O_CREAT | O_WRONLY, 0600);
    close(fd);
    assert_int_equal(nd_server_open(&second, other, &fault), FT_EINVAL);
    assert_int_equal(unlink(other), 0); /* was left alone */
    memset(longest, 'x', sizeof(longest));
    memcpy(longest, "/tmp/", 5);
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(nd_server_open(&second, longest, &fault), FT_EINVAL);
    assert_int_equal(nd_server_open(&second, "/nowhere/at/all", &fault), FT_EIO);
}

static void a_socket_left_by_the_dead_is_replaced(void **state)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct nd_server *s;
    struct ft_fault fault = {""};
    struct stat mode;
    char other[96];
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    (void)state;
    snprintf(other, sizeof(other), "%s.dead", server_path);
    snprintf(at.sun_path, sizeof(at.sun_path), "%s", other);
    unlink(other);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    close(fd);
    assert_int_equal(nd_server_open(&s, other, &fault), 0);
    assert_int_equal(stat(other, &mode), 0);
    assert_int_equal(mode.st_mode & 0777, 0660); /* owner and group, nobody else */
    nd_server_close(s);
    assert_int_not_equal(access(other, F_OK), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SERVER(a_slow_reader_gets_all_of_its_answer),
        WITH_SERVER(one_who_never_reads_loses_the_connection),
        WITH_SERVER(one_who_vanishes_while_answered_harms_nobody),
        WITH_SERVER(twenty_at_once_are_all_served),
        WITH_SERVER(silent_ones_lose_their_place),
        WITH_SERVER(a_path_that_is_taken_or_not_ours_is_refused),
        WITH_SERVER(a_socket_left_by_the_dead_is_replaced),
    };

    return cmocka_run_group_tests_name("server_clients", tests, NULL, NULL);
}
