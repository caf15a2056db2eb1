/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket against requests of all kinds: whole, in pieces, too long, mutated. After each the next
 * well-behaved client is served.
 */
#define _GNU_SOURCE
#include "tests/help/server.h"
#include "tests/help/record.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define REQUEST 4096 /* bytes a request may have */

static void a_request_may_come_byte_by_byte(void **state)
{
    static const char text[] = ASK "\"n\":[1,\"two\"]}\n";
    int fd = server_dial();

    (void)state;
    for (const char *c = text; *c; c++)
        assert_true(server_say(fd, c, 1));
    server_answers_with(fd, "{\"n\":[1,\"two\"]}");
    close(fd);
}

static void many_requests_may_come_in_one_write(void **state)
{
    char text[8000] = "", expected[32];
    int fd = server_dial();

    (void)state;
    for (int i = 0; i < 200; i++)
        sprintf(text + strlen(text), ASK "\"n\":%d}\n", i);
    strcat(text, ASK "\"n\":"); /* and the beginning of another */
    assert_true(server_ask(fd, text));
    for (int i = 0; i < 200; i++) {
        sprintf(expected, "{\"n\":%d}", i);
        server_answers_with(fd, expected);
    }
    assert_true(server_ask(fd, "777}\n"));
    server_answers_with(fd, "{\"n\":777}");
    close(fd);
}

static void what_is_no_request_is_refused_or_ends_the_connection(void **state)
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

    (void)state;
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        assert_true(server_say(fd, lines[i], strlen(lines[i])) && server_say(fd, "\n", 1));
        server_answers_with(
            fd,
            "{\"error\":{\"code\":\"malformed\",\"text\":\"the request is no JSON object on one line\"}}");
    }
    for (size_t i = 0; i < 2; i++) {
        assert_true(server_say(fd, values[i], strlen(values[i])) && server_say(fd, "\n", 1));
        server_answers_with(
            fd, "{\"error\":{\"code\":\"malformed\",\"text\":\"the request is no JSON object\"}}");
    }
    assert_true(server_ask(fd, "{\"n\":1}\n{\"cmd\":7}\n{\"cmd\":\"statu\"}\n"));
    server_answers_with(fd, "{\"error\":{\"code\":\"invalid\",\"text\":\"the request names no cmd\"}}");
    server_answers_with(fd, "{\"error\":{\"code\":\"invalid\",\"text\":\"the request names no cmd\"}}");
    server_answers_with(fd, "{\"error\":{\"code\":\"not found\",\"text\":\"unknown cmd 'statu'\"}}");
    assert_int_equal(atomic_load(&server_answers), before); /* nobody was asked */
    assert_true(server_ask(fd, ASK "\"n\":5}\n"));
    server_answers_with(fd, "{\"n\":5}");
    close(fd);
}

static void a_request_may_be_as_deep_as_it_is_long(void **state)
{
    char text[REQUEST + 1] = ASK "\"n\":", line[REQUEST];
    size_t head = strlen(text), deep = 2000;
    int fd = server_dial();

    (void)state;
    memset(text + head, '[', deep);
    memset(text + head + deep, ']', deep);
    strcpy(text + head + 2 * deep, "}\n");
    assert_true(server_ask(fd, text));
    assert_int_equal(server_read_line(fd, line, sizeof(line)), 2 * deep + 6); /* {"n": and } */
    memset(text + head, '[', REQUEST - head);
    strcpy(text + REQUEST - 1, "\n");
    assert_true(server_ask(fd, text));
    server_answers_with(
        fd, "{\"error\":{\"code\":\"malformed\",\"text\":\"the request is no JSON object on one line\"}}");
    close(fd);
}

static void a_request_may_be_as_long_as_allowed_and_no_longer(void **state)
{
    char text[REQUEST + 1], line[REQUEST];
    size_t head = strlen(ASK);
    int fd = server_dial();

    (void)state;
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

static void a_request_without_an_answer_ends_the_connection(void **state)
{
    int fd = server_dial();

    (void)state;
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
static void each_mutated_line_is_answered_by_one_object(void **state)
{
    static const char *const seeds[] = {
        "{\"cmd\":\"status\"}",
        "{\"cmd\":\"set\",\"nf\":\"firewall\",\"key\":\"rule\",\"value\":\"deny in tcp from any to any\"}",
        "{\"n\":[1,2.5,-3e4,true,false,null,{\"deep\":[[[[]]]]}],\"cmd\":\"show\",\"cursor\":18446744}",
        "{\"cmd\":\"drill\",\"kind\":\"k\\u00e4ll\",\"n\":\"\\\\\\\"\\n\"}",
    };
    char text[512], line[4096];
    int fd = server_dial();

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
    close(fd);
    server_still_serves();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SERVER(a_request_may_come_byte_by_byte),
        WITH_SERVER(many_requests_may_come_in_one_write),
        WITH_SERVER(what_is_no_request_is_refused_or_ends_the_connection),
        WITH_SERVER(a_request_may_be_as_deep_as_it_is_long),
        WITH_SERVER(a_request_may_be_as_long_as_allowed_and_no_longer),
        WITH_SERVER(a_request_without_an_answer_ends_the_connection),
        WITH_SERVER(each_mutated_line_is_answered_by_one_object),
    };

    return cmocka_run_group_tests_name("server", tests, NULL, NULL);
}
