/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who serves metrics, without a node: this thread plays the main one, and clients are sockets of the
 * loopback. A main thread that answers in time, late, or never; and the end while somebody waits.
 */
#include "node/metrics/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HOST "127.0.0.91" /* nobody else's */
#define PORT 9470

static int client(void)
{
    static const char request[] = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(PORT)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    inet_pton(AF_INET, HOST, &at.sin_addr);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(write(fd, request, sizeof(request) - 1), sizeof(request) - 1);
    return fd;
}

/* All that the server says until it closes the connection, which has these two texts in it. */
static void expect(int fd, const char *head, const char *body)
{
    char got[4096] = "";
    size_t len = 0;

    for (ssize_t n; (n = read(fd, got + len, sizeof(got) - 1 - len)) > 0;)
        len += (size_t)n;
    close(fd);
    if (!strstr(got, head) || !strstr(got, body))
        fail_msg("expected %s and %s, got: %s", head, body, got);
}

static void await_asked(const struct nd_metrics *m)
{
    while (!nd_metrics_asked(m))
        sched_yield();
}

static void answer(struct nd_metrics *m, const char *page)
{
    await_asked(m);
    nd_metrics_answer(m, strdup(page), strlen(page));
}

static struct nd_metrics *open_metrics(void)
{
    struct ft_fault fault = {""};
    struct nd_metrics *m;

    if (nd_metrics_open(&m, HOST, PORT, &fault))
        fail_msg("%s", fault.text);
    return m;
}

static void test_pages(void **state)
{
    struct nd_metrics *m = open_metrics();

    (void)state;
    assert_false(nd_metrics_asked(m));
    for (int i = 0; i < 3; i++) {
        char page[32];
        int fd = client();

        snprintf(page, sizeof(page), "page %d\n", i);
        answer(m, page);
        expect(fd, "200 OK", page);
    }
    assert_false(nd_metrics_asked(m));
    nd_metrics_close(m);
}

/* The page that comes when its client has gone is nobody's: the next one gets a page of its own. */
static void test_late_main_thread(void **state)
{
    struct nd_metrics *m = open_metrics();
    int fd = client();

    (void)state;
    expect(fd, "503", "main thread");
    answer(m, "late\n");
    fd = client();
    answer(m, "fresh\n");
    expect(fd, "200 OK", "fresh\n");
    nd_metrics_close(m);
}

static void test_no_memory_for_page(void **state)
{
    struct nd_metrics *m = open_metrics();
    int fd = client();

    (void)state;
    await_asked(m);
    nd_metrics_answer(m, NULL, 0);
    expect(fd, "503", "main thread");
    nd_metrics_close(m);
}

static void test_end_while_somebody_waits(void **state)
{
    struct nd_metrics *m = open_metrics();
    int fd = client();

    (void)state;
    await_asked(m);
    nd_metrics_close(m);
    close(fd);
}

static void test_address(void **state)
{
    struct nd_metrics *m = open_metrics(), *second;
    struct ft_fault fault = {""};

    (void)state;
    assert_int_equal(nd_metrics_open(&second, HOST, PORT, &fault), FT_EBUSY);
    assert_string_equal(fault.text, "metrics " HOST ":9470: Address already in use");
    assert_null(second);
    nd_metrics_close(m);
    assert_int_equal(nd_metrics_open(&m, "192.0.2.99", PORT, &fault), FT_ENOENT);
    assert_string_equal(fault.text, "metrics 192.0.2.99:9470: Cannot assign requested address");
    nd_metrics_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pages),
        cmocka_unit_test(test_late_main_thread),
        cmocka_unit_test(test_no_memory_for_page),
        cmocka_unit_test(test_end_while_somebody_waits),
        cmocka_unit_test(test_address),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
