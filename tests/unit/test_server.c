/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket, served by a thread with answers of its own, against clients that do what clients
 * should not. After each the next well-behaved one is served.
 */
#define _GNU_SOURCE
#include "node/control/server.h"
#include "tests/unit/help_record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define LIMIT_MS 20000
#define PLACES   16    /* the server's, see its head */
#define REQUEST  65536 /* bytes a request may have */
#define BIG      3000000

static char path[64];
static struct nd_server *server;
static pthread_t thread;
static _Atomic bool stop;
static _Atomic unsigned turns, answers;

/* {"n": N} gives N back; {"big": true} 3 MB; {"none": true} nothing at all. */
static json_t *answer(void *arg, const json_t *request)
{
    json_t *n = json_object_get(request, "n");
    static char big[BIG + 1];

    (void)arg;
    atomic_fetch_add(&answers, 1);
    if (json_object_get(request, "none"))
        return NULL;
    memset(big, 'b', BIG);
    if (json_object_get(request, "big"))
        return json_pack("{s:s}", "big", big);
    return json_pack("{s:O?}", "n", n);
}

static void *serve(void *arg)
{
    while (!atomic_load(&stop)) {
        nd_server_serve(server, 20, answer, arg);
        atomic_fetch_add(&turns, 1);
    }
    return NULL;
}

static int setup(void **state)
{
    struct ft_fault fault = {""};

    (void)state;
    if (nd_server_open(&server, path, &fault))
        fail_msg("%s", fault.text);
    atomic_store(&stop, false);
    return pthread_create(&thread, NULL, serve, NULL);
}

static int teardown(void **state)
{
    (void)state;
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    nd_server_close(server);
    return access(path, F_OK) == 0; /* gone with it */
}

static int dial(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct timeval limit = {LIMIT_MS / 1000, 0};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    return fd;
}

/* False when the other side closed. */
static bool say(int fd, const void *bytes, size_t len)
{
    const char *at = bytes;

    while (len) {
        ssize_t n = send(fd, at, len, MSG_NOSIGNAL);

        if (n < 0)
            return false;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

/* A line without its end; its length, or -1 when the server closed. */
static ssize_t hear(int fd, char *line, size_t cap)
{
    size_t len = 0;

    for (; len < cap; len++) {
        ssize_t n = recv(fd, line + len, 1, 0);

        if (n < 0 && errno == EAGAIN)
            fail_msg("no answer within %d s", LIMIT_MS / 1000);
        if (n <= 0)
            return -1;
        if (line[len] == '\n')
            break;
    }
    line[len] = '\0';
    return (ssize_t)len;
}

static void hears(int fd, const char *expected)
{
    char line[512];

    assert_true(hear(fd, line, sizeof(line)) >= 0);
    assert_string_equal(line, expected);
}

static void closed_by_server(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, 0);

    assert_true(n == 0 || (n < 0 && errno == ECONNRESET));
    close(fd);
}

static void still_serves(void)
{
    int fd = dial();

    assert_true(say(fd, "{\"n\":1}\n", 8));
    hears(fd, "{\"n\":1}");
    close(fd);
}

static void byte_by_byte(void **state)
{
    static const char text[] = "{\"n\":[1,\"two\"]}\n";
    int fd = dial();

    (void)state;
    for (const char *c = text; *c; c++)
        assert_true(say(fd, c, 1));
    hears(fd, "{\"n\":[1,\"two\"]}");
    close(fd);
}

static void many_in_one_write(void **state)
{
    char text[4000] = "", expected[32];
    int fd = dial();

    (void)state;
    for (int i = 0; i < 200; i++)
        sprintf(text + strlen(text), "{\"n\":%d}\n", i);
    strcat(text, "{\"n\":"); /* and the beginning of another */
    assert_true(say(fd, text, strlen(text)));
    for (int i = 0; i < 200; i++) {
        sprintf(expected, "{\"n\":%d}", i);
        hears(fd, expected);
    }
    assert_true(say(fd, "777}\n", 5));
    hears(fd, "{\"n\":777}");
    close(fd);
}

static void what_is_no_request(void **state)
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
    unsigned before = atomic_load(&answers);
    int fd = dial();

    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        assert_true(say(fd, lines[i], strlen(lines[i])) && say(fd, "\n", 1));
        hears(fd,
              "{\"error\":{\"code\":\"malformed\",\"text\":\"the request is no JSON object on one line\"}}");
    }
    for (size_t i = 0; i < 2; i++) {
        assert_true(say(fd, values[i], strlen(values[i])) && say(fd, "\n", 1));
        hears(fd, "{\"error\":{\"code\":\"malformed\",\"text\":\"the request is no JSON object\"}}");
    }
    assert_int_equal(atomic_load(&answers), before); /* nobody was asked */
    assert_true(say(fd, "{\"n\":5}\n", 8));
    hears(fd, "{\"n\":5}");
    close(fd);
}

static void nested_deeply(void **state)
{
    char *text = malloc(REQUEST);
    int fd = dial();

    (void)state;
    strcpy(text, "{\"n\":");
    memset(text + 5, '[', 30000);
    memset(text + 30005, ']', 30000);
    strcpy(text + 60005, "}\n");
    assert_true(say(fd, text, strlen(text)));
    hears(fd, "{\"error\":{\"code\":\"malformed\",\"text\":\"the request is no JSON object on one line\"}}");
    memset(text, '{', 60000);
    text[60000] = '\n';
    assert_true(say(fd, text, 60001));
    hears(fd, "{\"error\":{\"code\":\"malformed\",\"text\":\"the request is no JSON object on one line\"}}");
    close(fd);
    free(text);
}

static void as_long_as_allowed_and_longer(void **state)
{
    char *text = malloc(REQUEST + 1), *line = malloc(REQUEST + 1);
    int fd = dial();

    (void)state;
    memset(text, 'x', REQUEST + 1);
    memcpy(text, "{\"n\":\"", 6);
    memcpy(text + REQUEST - 3, "\"}\n", 3);
    assert_true(say(fd, text, REQUEST));
    assert_int_equal(hear(fd, line, REQUEST + 1), REQUEST - 1);
    assert_memory_equal(line, text, REQUEST - 1);
    memset(text + REQUEST - 3, 'x', 4);
    say(fd, text, REQUEST + 1);
    closed_by_server(fd);
    still_serves();
    free(text);
    free(line);
}

static void nothing_to_answer(void **state)
{
    int fd = dial();

    (void)state;
    assert_true(say(fd, "{\"none\":1}\n", 11));
    closed_by_server(fd);
    still_serves();
}

/* A reader that takes its time gets all of it; meanwhile it is a bounded while that others wait. */
static void slow_reader(void **state)
{
    char *all = malloc(BIG + 64);
    size_t have = 0;
    int fd = dial();

    (void)state;
    assert_true(say(fd, "{\"big\":1}\n", 10));
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

static void never_reads(void **state)
{
    int fd = dial();

    (void)state;
    assert_true(say(fd, "{\"big\":1}\n", 10));
    still_serves();
    close(fd);
}

static void vanishes_while_answered(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        int fd = dial();
        char byte;

        assert_true(say(fd, "{\"big\":1}\n", 10));
        if (i % 2)
            assert_int_equal(recv(fd, &byte, 1, 0), 1);
        close(fd);
    }
    still_serves();
}

/* More than have places: all are served, since each leaves when it has its answer. */
static void twenty_at_once(void **state)
{
    int fd[20];
    char text[32];

    (void)state;
    for (int i = 0; i < 20; i++) {
        fd[i] = i < 2 * PLACES ? dial() : -1;
        snprintf(text, sizeof(text), "{\"n\":%d}\n", i);
        assert_true(say(fd[i], text, strlen(text)));
    }
    for (int i = 0; i < 20; i++) {
        snprintf(text, sizeof(text), "{\"n\":%d}", i);
        hears(fd[i], text);
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
    still_serves();
    for (int i = 0; i < PLACES; i++)
        fd[i] = dial();
    for (int i = 0; i < PLACES; i++) { /* each has its place */
        assert_true(say(fd[i], "{\"n\":1}\n", 8));
        hears(fd[i], "{\"n\":1}");
    }
    last = dial();
    assert_true(say(last, "{\"n\":2}\n", 8));
    before = atomic_load(&turns);
    nanosleep(&half, NULL);
    assert_in_range(atomic_load(&turns) - before, 0, 100); /* 25 waits of 20 ms */
    hears(last, "{\"n\":2}");
    close(last);
    for (int i = 0; i < PLACES; i++)
        closed_by_server(fd[i]);
}

static void place_is_taken_or_not_ours(void **state)
{
    struct nd_server *second;
    struct ft_fault fault = {""};
    char other[96], longest[300];
    int fd;

    (void)state;
    assert_int_equal(nd_server_open(&second, path, &fault), FT_EBUSY);
    assert_non_null(strstr(fault.text, path));
    still_serves();
    snprintf(other, sizeof(other), "%s.file", path);
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

static void left_by_the_dead(void **state)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct nd_server *s;
    struct ft_fault fault = {""};
    struct stat mode;
    char other[96];
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    (void)state;
    snprintf(other, sizeof(other), "%s.dead", path);
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
static void mutations(void **state)
{
    static const char *const seeds[] = {
        "{\"cmd\":\"status\"}",
        "{\"cmd\":\"set\",\"nf\":\"firewall\",\"key\":\"rule\",\"value\":\"deny in tcp from any to any\"}",
        "{\"n\":[1,2.5,-3e4,true,false,null,{\"deep\":[[[[]]]]}],\"cmd\":\"show\",\"cursor\":18446744}",
        "{\"cmd\":\"drill\",\"kind\":\"k\\u00e4ll\",\"n\":\"\\\\\\\"\\n\"}",
    };
    char text[512], line[4096];
    int fd = dial();

    (void)state;
    draw_seed = 20;
    for (unsigned i = 0; i < 5000; i++) {
        const char *seed = seeds[draw_below(4)];
        size_t len = strlen(seed), lines = 1;

        memcpy(text, seed, len);
        len = mutate(text, len, sizeof(text) - 1);
        for (size_t k = 0; k < len; k++)
            lines += text[k] == '\n';
        text[len++] = '\n';
        assert_true(say(fd, text, len));
        for (; lines; lines--) {
            json_t *o;

            if (hear(fd, line, sizeof(line)) < 0) { /* "none" is in none of the seeds */
                fail_msg("mutation %u closed the connection", i);
            }
            o = json_loads(line, 0, NULL);
            assert_true(json_is_object(o));
            json_decref(o);
        }
    }
    close(fd);
    still_serves();
}

int main(void)
{
#define WITH_SERVER(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        WITH_SERVER(byte_by_byte),
        WITH_SERVER(many_in_one_write),
        WITH_SERVER(what_is_no_request),
        WITH_SERVER(nested_deeply),
        WITH_SERVER(as_long_as_allowed_and_longer),
        WITH_SERVER(nothing_to_answer),
        WITH_SERVER(slow_reader),
        WITH_SERVER(never_reads),
        WITH_SERVER(vanishes_while_answered),
        WITH_SERVER(twenty_at_once),
        WITH_SERVER(silent_ones_lose_their_place),
        WITH_SERVER(place_is_taken_or_not_ours),
        cmocka_unit_test(left_by_the_dead),
        WITH_SERVER(mutations),
    };

    snprintf(path, sizeof(path), "/tmp/server.%d", (int)getpid());
    return cmocka_run_group_tests_name("server", tests, NULL, NULL);
}
