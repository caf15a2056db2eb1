/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket against clients that do what clients should not: they read slowly or never, vanish, keep
 * their places; and sockets that are there already.
 */
#define _GNU_SOURCE
#include "tests/help/server.h"
#include "cli/client.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <grp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* A reader that takes its time gets all of it. */
static void a_slow_reader_gets_all_of_its_answer(void **state)
{
    char *all = malloc(BIG + 64);
    size_t have = 0;
    int fd = server_dial();

    (void)state;
    assert_true(server_ask(fd, ASK "\"big\":1}\n"));
    while (have < BIG + 11) {
        ssize_t n = recv(fd, all + have, BIG + 64 - have < 65536 ? BIG + 64 - have : 65536, 0);

        assert_true(n > 0);
        have += (size_t)n;
        server_still_serves(); /* others do not wait for it */
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
    assert_true(server_ask(fd, ASK "\"big\":1}\n"));
    server_still_serves();
    close(fd);
}

static void one_who_vanishes_while_answered_harms_nobody(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        int fd = server_dial();
        char byte;

        assert_true(server_ask(fd, ASK "\"big\":1}\n"));
        if (i % 2)
            assert_int_equal(recv(fd, &byte, 1, 0), 1);
        close(fd);
    }
    server_still_serves();
}

/* More than have places: all are served, since who comes gets the place of one that has its answer. */
static void twenty_at_once_are_all_served(void **state)
{
    int fd[20];
    char text[48];

    (void)state;
    for (int i = 0; i < 20; i++) {
        fd[i] = server_dial();
        snprintf(text, sizeof(text), ASK "\"n\":%d}\n", i);
        assert_true(server_ask(fd[i], text));
    }
    for (int i = 0; i < 20; i++) {
        snprintf(text, sizeof(text), "{\"n\":%d}", i);
        server_answers_with(fd[i], text);
        close(fd[i]);
    }
}

/* Clients that say nothing, or half of something: the server sleeps between its turns. */
static void silent_clients_do_not_keep_the_server_awake(void **state)
{
    int silent = server_dial(), half = server_dial();
    struct timespec half_second = {0, 500000000};
    unsigned before;

    (void)state;
    assert_true(server_ask(half, ASK));
    server_still_serves();
    before = atomic_load(&server_turns);
    nanosleep(&half_second, NULL);
    assert_in_range(atomic_load(&server_turns) - before, 0, 100); /* 25 waits of 20 ms */
    close(silent);
    close(half);
}

/* What a stranger hears who asks at the socket that acts, in a process of its own: 'n' the answer, 'r' a
 * refusal of the command, 'd' that the socket may not be opened, '?' anything else. */
static char hear_as_stranger(const char *command)
{
    struct ft_fault fault = {""};
    json_t *request = json_pack("{s:s,s:i}", "cmd", command, "n", 7), *answer;
    const char *code;
    int error;

    if (setgroups(0, NULL) != 0 || setgid(65534) != 0 || setuid(65534) != 0)
        return '?';
    error = nd_ask(server_path, request, 20000, &answer, &fault);
    if (error == FT_EPERM)
        return strncmp(fault.text, server_path, strlen(server_path)) == 0 &&
                       strstr(fault.text, ": no permission to talk to the node")
                   ? 'd'
                   : '?';
    if (error)
        return '?';
    if (json_integer_value(json_object_get(answer, "n")) == 7)
        return 'n';
    code = json_string_value(json_object_get(json_object_get(answer, "error"), "code"));
    return code && strcmp(code, "no permission") == 0 ? 'r' : '?';
}

static char stranger_hears(const char *command)
{
    int status;
    pid_t child = fork();

    if (child == 0)
        _exit(hear_as_stranger(command));
    assert_int_equal(waitpid(child, &status, 0), child);
    return (char)WEXITSTATUS(status);
}

static void one_who_may_not_act_is_answered_by_the_socket_that_looks(void **state)
{
    char look[80];

    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(stranger_hears("status"), 'n');
    assert_int_equal(stranger_hears("promote"), 'r');
    snprintf(look, sizeof(look), "%s.look", server_path);
    assert_int_equal(chmod(look, 0600), 0);
    assert_int_equal(stranger_hears("status"), 'd');
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
        WITH_SERVER(silent_clients_do_not_keep_the_server_awake),
        WITH_SERVER(one_who_may_not_act_is_answered_by_the_socket_that_looks),
        WITH_SERVER(a_path_that_is_taken_or_not_ours_is_refused),
        WITH_SERVER(a_socket_left_by_the_dead_is_replaced),
    };

    return cmocka_run_group_tests_name("server_clients", tests, NULL, NULL);
}
