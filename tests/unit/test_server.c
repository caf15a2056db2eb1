/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket against requests of all kinds: whole, in pieces, too long, mutated. After each the next
 * well-behaved client is served.
 */
#define _GNU_SOURCE
#include "understudy/control/client.h"
#include "tests/help/record.h"
#include "tests/help/server.h"
#include "tests/help/test.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>

#define REQUEST 4096 /* bytes a request may have */

/* ---- a server in a thread, and clients of it -------------------------------------------------------- */

#define WITH_SERVER(f) TEST_WITH(f, server_setup, server_teardown)

static struct nd_server *server;
static pthread_t thread;
static _Atomic bool stop;
static _Atomic unsigned server_turns;

static void *serve(void *arg)
{
    while (!atomic_load(&stop)) {
        nd_server_serve(server, 20, server_answer, arg);
        atomic_fetch_add(&server_turns, 1);
    }
    return NULL;
}

static int server_setup(void **state)
{
    struct ft_fault fault = {""};

    snprintf(server_path, sizeof(server_path), "/tmp/server.%d", (int)getpid());
    if (nd_server_open(&server, server_path, "", &fault))
        fail_msg("%s", fault.text);
    atomic_store(&stop, false);
    return pthread_create(&thread, NULL, serve, NULL);
}

static int server_teardown(void **state)
{
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    nd_server_close(server);
    return access(server_path, F_OK) == 0 ||
           access(help_print("%s.look", server_path), F_OK) == 0; /* gone with it */
}

/* A connection; reading and writing end after SERVER_LIMIT_MS. */
static int server_dial(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct timeval limit = {SERVER_LIMIT_MS / 1000, 0};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(at.sun_path, sizeof(at.sun_path), "%s", server_path);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    return help_fd(fd);
}

/* The server has closed the connection. */
static void server_has_closed(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, 0);

    assert_true(n == 0 || (n < 0 && errno == ECONNRESET));
}

/* A well-behaved client is served. */
static void server_still_serves(void)
{
    int fd = server_dial();

    assert_true(server_ask(fd, ASK "\"n\":1}\n"));
    server_hears(fd, "{\"n\":1}");
    help_close(fd);
}

/* ---- requests ---------------------------------------------------------------------------------------- */

WITH_SERVER(a_request_may_come_byte_by_byte)
{
    static const char text[] = ASK "\"n\":[1,\"two\"]}\n";
    int fd = server_dial();

    for (const char *c = text; *c; c++)
        assert_true(server_say(fd, c, 1));
    server_hears(fd, "{\"n\":[1,\"two\"]}");
}

WITH_SERVER(many_requests_may_come_in_one_write)
{
    char text[8000] = "", expected[32];
    int fd = server_dial();

    for (int i = 0; i < 200; i++)
        sprintf(text + strlen(text), ASK "\"n\":%d}\n", i);
    strcat(text, ASK "\"n\":"); /* and the beginning of another */
    assert_true(server_ask(fd, text));
    for (int i = 0; i < 200; i++) {
        sprintf(expected, "{\"n\":%d}", i);
        server_hears(fd, expected);
    }
    assert_true(server_ask(fd, "777}\n"));
    server_hears(fd, "{\"n\":777}");
}

WITH_SERVER(what_is_no_request_is_refused_or_ends_the_connection)
{
    static const char *const lines[] = {
        "",
        " ",
        "hello",
        "{",
        "}",
        "{\"n\":1}{\"n\":2}",
        "{\"n\":1,\"n\":2}",
        "{\"n\":1} x",
        "{'n':1}",
        "{n:1}",
        "[1",
        "\xff\xfe",
        "{\"n\":\"\xc3\"}",
        "{\"n\":\"\\u0000\"}",
        "{\"n\":1e999}",
        "{\"n\":99999999999999999999999999}",
        "GET / HTTP/1.1\r",
        "nan",
    };
    static const char *const values[] = {"[]", "[{\"n\":1}]"};
    unsigned before = atomic_load(&server_answers);
    int fd = server_dial();

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        assert_true(server_say(fd, lines[i], strlen(lines[i])) && server_say(fd, "\n", 1));
        server_hears(
            fd,
            "{\"error\":{\"code\":\"malformed\",\"text\":\"the request is no JSON object on one line\"}}");
    }
    for (size_t i = 0; i < 2; i++) {
        assert_true(server_say(fd, values[i], strlen(values[i])) && server_say(fd, "\n", 1));
        server_hears(fd, "{\"error\":{\"code\":\"malformed\",\"text\":\"the request is no JSON object\"}}");
    }
    assert_true(server_ask(fd, "{\"n\":1}\n{\"cmd\":7}\n{\"cmd\":\"statu\"}\n"));
    server_hears(fd, "{\"error\":{\"code\":\"invalid\",\"text\":\"the request names no cmd\"}}");
    server_hears(fd, "{\"error\":{\"code\":\"invalid\",\"text\":\"the request names no cmd\"}}");
    server_hears(fd, "{\"error\":{\"code\":\"not found\",\"text\":\"unknown cmd 'statu'\"}}");
    assert_int_equal(atomic_load(&server_answers), before); /* nobody was asked */
    assert_true(server_ask(fd, ASK "\"n\":5}\n"));
    server_hears(fd, "{\"n\":5}");
}

WITH_SERVER(a_request_may_be_as_deep_as_it_is_long)
{
    char text[REQUEST + 1] = ASK "\"n\":", line[REQUEST];
    size_t head = strlen(text), deep = 2000;
    int fd = server_dial();

    memset(text + head, '[', deep);
    memset(text + head + deep, ']', deep);
    strcpy(text + head + 2 * deep, "}\n");
    assert_true(server_ask(fd, text));
    assert_int_equal(server_read_line(fd, line, sizeof(line)), 2 * deep + 6); /* {"n": and } */
    memset(text + head, '[', REQUEST - head);
    strcpy(text + REQUEST - 1, "\n");
    assert_true(server_ask(fd, text));
    server_hears(
        fd, "{\"error\":{\"code\":\"malformed\",\"text\":\"the request is no JSON object on one line\"}}");
}

WITH_SERVER(a_request_may_be_as_long_as_allowed_and_no_longer)
{
    char text[REQUEST + 1], line[REQUEST];
    size_t head = strlen(ASK);
    int fd = server_dial();

    memset(text, 'x', REQUEST + 1);
    memcpy(text, ASK "\"n\":\"", head + 5);
    memcpy(text + REQUEST - 3, "\"}\n", 3);
    assert_true(server_say(fd, text, REQUEST));
    assert_int_equal(server_read_line(fd, line, sizeof(line)),
                     REQUEST - head); /* { in place of ASK, no line end */
    assert_memory_equal(line + 1, text + head, REQUEST - head - 1);
    memset(text + REQUEST - 3, 'x', 4);
    server_say(fd, text, REQUEST + 1);
    server_has_closed(fd);
    server_still_serves();
}

WITH_SERVER(a_request_without_an_answer_ends_the_connection)
{
    int fd = server_dial();

    assert_true(server_ask(fd, ASK "\"none\":1}\n"));
    server_has_closed(fd);
    server_still_serves();
}

static size_t mutate(char *text, size_t len, size_t cap)
{
    for (uint64_t times = 1 + draw_below(4); times; times--) {
        size_t at = len ? draw_below(len) : 0, n = 1 + draw_below(8);

        switch (draw_below(5)) {
        case 0:
            text[at] = (char)draw();
            break;
        case 1:
            text[at] ^= (char)(1 << draw_below(8));
            break;
        case 2: /* a piece twice */
            if (at + n > len || len + n > cap)
                break;
            memmove(text + at + n, text + at, len - at);
            len += n;
            break;
        case 3: /* a piece gone */
            if (at + n >= len)
                break;
            memmove(text + at, text + at + n, len - at - n);
            len -= n;
            break;
        default:
            text[at] = "{}[]\",:\\\n\0 0-e"[draw_below(14)];
        }
    }
    return len;
}

/* Whatever a line is, exactly one line answers it, and it is an object. */
WITH_SERVER(each_mutated_line_is_answered_by_one_object)
{
    static const char *const seeds[] = {
        "{\"cmd\":\"status\"}",
        "{\"cmd\":\"set\",\"nf\":\"firewall\",\"key\":\"rule\",\"value\":\"deny in tcp from any to any\"}",
        "{\"n\":[1,2.5,-3e4,true,false,null,{\"deep\":[[[[]]]]}],\"cmd\":\"show\",\"cursor\":18446744}",
        "{\"cmd\":\"drill\",\"kind\":\"k\\u00e4ll\",\"n\":\"\\\\\\\"\\n\"}",
    };
    char text[512], line[4096];
    int fd = server_dial();

    draw_seed = 20;
    for (unsigned i = 0; i < 5000; i++) {
        const char *seed = seeds[draw_below(4)];
        size_t len = strlen(seed), lines = 1;

        memcpy(text, seed, len);
        len = mutate(text, len, sizeof(text) - 1);
        for (size_t k = 0; k < len; k++)
            lines += text[k] == '\n';
        text[len++] = '\n';
        assert_true(server_say(fd, text, len));
        for (; lines; lines--) {
            json_t *o;

            if (server_read_line(fd, line, sizeof(line)) < 0) { /* "none" is in none of the seeds */
                fail_msg("mutation %u closed the connection", i);
            }
            o = json_loads(line, 0, NULL);
            assert_true(json_is_object(o));
            json_decref(o);
        }
    }
    server_still_serves();
}

/*
 * The control socket against clients that do what clients should not: they read slowly or never, vanish, keep
 * their places; and sockets that are there already.
 */

/* A reader that takes its time gets all of it. */
WITH_SERVER(a_slow_reader_gets_all_of_its_answer)
{
    static char all[BIG + 64];
    size_t have = 0;
    int fd = server_dial();

    assert_true(server_ask(fd, ASK "\"big\":1}\n"));
    while (have < BIG + 11) {
        ssize_t n = recv(fd, all + have, sizeof(all) - have < 65536 ? sizeof(all) - have : 65536, 0);

        assert_true(n > 0);
        have += (size_t)n;
        server_still_serves(); /* others do not wait for it */
    }
    assert_int_equal(have, BIG + 11);
    assert_memory_equal(all + have - 3, "\"}\n", 3);
}

WITH_SERVER(one_who_never_reads_loses_the_connection)
{
    int fd = server_dial();

    assert_true(server_ask(fd, ASK "\"big\":1}\n"));
    server_still_serves();
}

WITH_SERVER(one_who_vanishes_while_answered_harms_nobody)
{
    for (int i = 0; i < 20; i++) {
        int fd = server_dial();
        char byte;

        assert_true(server_ask(fd, ASK "\"big\":1}\n"));
        if (i % 2)
            assert_int_equal(recv(fd, &byte, 1, 0), 1);
        help_close(fd);
    }
    server_still_serves();
}

/* More than have places: all are served, since who comes gets the place of one that has its answer. */
WITH_SERVER(twenty_at_once_are_all_served)
{
    int fd[20];

    for (int i = 0; i < 20; i++) {
        fd[i] = server_dial();
        assert_true(server_ask(fd[i], help_print(ASK "\"n\":%d}\n", i)));
    }
    for (int i = 0; i < 20; i++) {
        server_hears(fd[i], help_print("{\"n\":%d}", i));
        help_close(fd[i]);
    }
}

/* Clients that say nothing, or half of something: the server sleeps between its turns. */
WITH_SERVER(silent_clients_do_not_keep_the_server_awake)
{
    struct timespec half_second = {0, 500000000};
    unsigned before;
    int half;

    server_dial(); /* and says nothing */
    half = server_dial();
    assert_true(server_ask(half, ASK));
    server_still_serves();
    before = atomic_load(&server_turns);
    nanosleep(&half_second, NULL);
    assert_in_range(atomic_load(&server_turns) - before, 0, 100); /* 25 waits of 20 ms */
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
    error = nd_ask(server_path, request, 20000, &answer, NULL, &fault);
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

WITH_SERVER(one_who_may_not_act_is_answered_by_the_socket_that_looks)
{
    if (geteuid() != 0)
        skip();
    assert_int_equal(stranger_hears("status"), 'n');
    assert_int_equal(stranger_hears("promote"), 'r');
    assert_int_equal(chmod(help_print("%s.look", server_path), 0600), 0);
    assert_int_equal(stranger_hears("status"), 'd');
}

WITH_SERVER(a_path_that_is_taken_or_not_ours_is_refused)
{
    struct nd_server *second;
    char other[96], longest[300];
    int fd;

    assert_int_equal(nd_server_open(&second, server_path, "", &help_fault), FT_EBUSY);
    assert_non_null(strstr(help_fault.text, server_path));
    server_still_serves();
    snprintf(other, sizeof(other), "%s.file", server_path);
    fd = open(other, O_CREAT | O_WRONLY, 0600);
    close(fd);
    assert_int_equal(nd_server_open(&second, other, "", &help_fault), FT_EINVAL);
    assert_int_equal(unlink(other), 0); /* was left alone */
    memset(longest, 'x', sizeof(longest));
    memcpy(longest, "/tmp/", 5);
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(nd_server_open(&second, longest, "", &help_fault), FT_EINVAL);
    assert_int_equal(nd_server_open(&second, "/nowhere/at/all", "", &help_fault), FT_EIO);
}

WITH_SERVER(a_socket_left_by_the_dead_is_replaced)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct nd_server *s;
    struct stat mode;
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    const char *other = help_print("%s.dead", server_path);
    snprintf(at.sun_path, sizeof(at.sun_path), "%s", other);
    unlink(other);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    close(fd);
    assert_int_equal(nd_server_open(&s, other, "", &help_fault), 0);
    assert_int_equal(stat(other, &mode), 0);
    assert_int_equal(mode.st_mode & 0777, 0660); /* owner and group, nobody else */
    nd_server_close(s);
    assert_int_not_equal(access(other, F_OK), 0);
}
