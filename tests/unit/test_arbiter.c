/* SPDX-License-Identifier: Apache-2.0 */
/* What the arbiter's thread makes of questions that come one after the other, and of an etcd that is late. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "node/arbiter/arbiter.h"
#include "tests/help/etcd.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct help_etcd server;
static struct nd_etcd_config config;
static struct ft_fault fault;

static int set_up(void **state)
{
    (void)state;
    help_etcd_open(&server);
    config = (struct nd_etcd_config){.urls = 1, .key = "understudy/a-b"};
    snprintf(config.url[0], sizeof(config.url[0]), "%s", server.url);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    help_etcd_close(&server);
    return 0;
}

static bool heard(struct nd_arbiter *a, unsigned ms, struct ft_era *era, enum ft_answer *answer)
{
    for (; ms; ms--) {
        if (nd_arbiter_answer(a, era, answer))
            return true;
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    return false;
}

static void await_puts(unsigned puts)
{
    while (server.puts < puts)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
}

/* Each put takes 300 ms here: its question is another one, or none any more, when it is done. */
static void an_answer_to_an_earlier_question_is_nobodys(void **state)
{
    struct ft_era first = {3, 50}, second = {3, 51}, era = {0, 0};
    enum ft_answer answer = FT_ANSWER_NONE;
    struct nd_arbiter *a;

    (void)state;
    assert_int_equal(nd_arbiter_start(&a, &config, "a", &fault), 0);
    nd_arbiter_ask(a, &first);
    assert_true(heard(a, 5000, &era, &answer));
    assert_int_equal(answer, FT_ANSWER_WON);
    assert_false(nd_arbiter_answer(a, &era, &answer)); /* once */
    server.delay_ms = 300;
    second.number = 60;
    nd_arbiter_ask(a, &second);
    while (server.looks < 3)
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    nd_arbiter_ask(a, NULL);
    await_puts(2);
    assert_false(heard(a, 700, &era, &answer));

    first.number = 70;
    second.number = 65; /* an era that is over by then */
    nd_arbiter_ask(a, &first);
    await_puts(3);
    nanosleep(&(struct timespec){0, 100000000}, NULL); /* the answer, WON, lies there */
    nd_arbiter_ask(a, &second);
    assert_true(heard(a, 5000, &era, &answer));
    assert_int_equal(era.number, 65);
    assert_int_equal(answer, FT_ANSWER_LOST);
    nd_arbiter_stop(a);
}

static void silence_is_an_answer_and_the_thread_asks_on(void **state)
{
    struct ft_era era = {3, 50};
    enum ft_answer answer = FT_ANSWER_NONE;
    struct nd_arbiter_status status;
    struct nd_arbiter *a;

    (void)state;
    snprintf(config.url[0], sizeof(config.url[0]), "http://127.0.0.1:1");
    assert_int_equal(nd_arbiter_start(&a, &config, "a", &fault), 0);
    nd_arbiter_ask(a, &era);
    assert_true(heard(a, 5000, &era, &answer));
    assert_int_equal(answer, FT_ANSWER_SILENT);
    nd_arbiter_status(a, &status);
    assert_false(status.answers);
    assert_non_null(strstr(status.why, "http://127.0.0.1:1: "));
    nd_arbiter_stop(a);
}

static int listen_on(char url[192])
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(to);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&to, len), 0);
    assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&to, &len), 0);
    snprintf(url, 192, "http://127.0.0.1:%u", ntohs(to.sin_port));
    return fd;
}

/* The server takes requests and never answers; a request that its client waited for to the end would be
 * counted. */
static void a_question_goes_before_what_is_under_way(void **state)
{
    const struct ft_era era = {3, 50}, later = {3, 51};
    int fd = listen_on(config.url[0]), of[3];
    struct nd_arbiter_status status;
    struct nd_arbiter *a;
    char byte;

    (void)state;
    assert_int_equal(nd_arbiter_start(&a, &config, "a", &fault), 0);
    of[0] = accept(fd, NULL, NULL);
    assert_int_equal(recv(of[0], &byte, 1, 0), 1); /* a look is under way */
    nd_arbiter_ask(a, &era);
    of[1] = accept(fd, NULL, NULL);
    assert_int_equal(recv(of[1], &byte, 1, 0), 1);
    nd_arbiter_status(a, &status);
    assert_int_equal(status.failures, 0);
    nd_arbiter_ask(a, &later); /* and before an earlier one */
    of[2] = accept(fd, NULL, NULL);
    assert_int_equal(recv(of[2], &byte, 1, 0), 1);
    nd_arbiter_status(a, &status);
    assert_int_equal(status.failures, 0);
    nd_arbiter_stop(a); /* with a request under way */
    for (unsigned i = 0; i < 3; i++)
        close(of[i]);
    close(fd);
}

#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SERVER(an_answer_to_an_earlier_question_is_nobodys),
        WITH_SERVER(silence_is_an_answer_and_the_thread_asks_on),
        WITH_SERVER(a_question_goes_before_what_is_under_way),
    };

    return cmocka_run_group_tests_name("arbiter", tests, NULL, NULL);
}
