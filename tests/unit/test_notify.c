/* SPDX-License-Identifier: Apache-2.0 */
/* What a supervisor hears by systemd's protocol: its words as sd_notify(3) has them, on a socket of the
 * test's own. */
#include "understudy/base/notify.h"
#include "tests/help/test.h"

#define SECOND 1000000000ull

/* A listening socket of the abstract space, named in the environment as systemd does; its name is the test's.
 */
static int listen_as_supervisor(char name[64])
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0), len;

    len = snprintf(name, 64, "@understudy-test-notify-%d", getpid());
    memcpy(at.sun_path + 1, name + 1, (size_t)len - 1);
    assert_int_equal(
        bind(fd, (struct sockaddr *)&at, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)len)),
        0);
    setenv("NOTIFY_SOCKET", name, 1);
    return fd;
}

static const char *heard(int fd)
{
    static char words[512];
    ssize_t n = recv(fd, words, sizeof(words) - 1, 0);

    words[n > 0 ? n : 0] = '\0';
    return words;
}

TEST(test_nobody_asked)
{
    struct nd_notify n;

    unsetenv("NOTIFY_SOCKET");
    nd_notify_open(&n);
    assert_int_equal(n.fd, -1);
    nd_notify_status(&n, "PROTECTED");
    nd_notify_watchdog(&n, SECOND, &(uint64_t){1}, 1);
    nd_notify_close(&n);
}

TEST(test_status_is_told_once)
{
    char name[64];
    struct nd_notify n;
    int fd = listen_as_supervisor(name);

    nd_notify_open(&n);
    assert_null(getenv("NOTIFY_SOCKET"));
    nd_notify_status(&n, "SOLO, view 1: alone");
    nd_notify_status(&n, "SOLO, view 1: alone");
    assert_string_equal(heard(fd), "READY=1\nSTATUS=SOLO, view 1: alone");
    assert_string_equal(heard(fd), "");
    nd_notify_status(&n, "JOINING: a\nMAINPID=1"); /* a peer's text must not be a word of ours */
    assert_string_equal(heard(fd), "READY=1\nSTATUS=JOINING: a?MAINPID=1");
    nd_notify_close(&n);
    assert_string_equal(heard(fd), "STOPPING=1");
    close(fd);
}

TEST(test_watchdog_needs_every_thread)
{
    char name[64];
    uint64_t turn[3] = {10, 20, 0};
    struct nd_notify n;
    int fd = listen_as_supervisor(name);

    setenv("WATCHDOG_USEC", "3000000", 1);
    nd_notify_open(&n);
    nd_notify_watchdog(&n, 10 * SECOND, turn, 3);
    assert_string_equal(heard(fd), ""); /* one has never had a turn */
    turn[2] = 5;
    nd_notify_watchdog(&n, 10 * SECOND, turn, 3);
    assert_string_equal(heard(fd), "WATCHDOG=1");
    turn[0]++, turn[1]++, turn[2]++;
    nd_notify_watchdog(&n, 11 * SECOND - 1, turn, 3);
    assert_string_equal(heard(fd), ""); /* not yet due */
    nd_notify_watchdog(&n, 11 * SECOND, turn, 3);
    assert_string_equal(heard(fd), "WATCHDOG=1");
    turn[0]++, turn[1]++;
    nd_notify_watchdog(&n, 13 * SECOND, turn, 3);
    assert_string_equal(heard(fd), ""); /* the last thread hangs */
    turn[2]++;
    nd_notify_watchdog(&n, 13 * SECOND, turn, 3);
    assert_string_equal(heard(fd), "WATCHDOG=1");
    nd_notify_close(&n);
    close(fd);
}

TEST(test_watchdog_of_another_process)
{
    char name[64];
    struct nd_notify n;
    int fd = listen_as_supervisor(name);

    setenv("WATCHDOG_USEC", "3000000", 1);
    setenv("WATCHDOG_PID", "1", 1);
    nd_notify_open(&n);
    assert_int_equal(n.watchdog_ns, 0);
    nd_notify_watchdog(&n, SECOND, &(uint64_t){1}, 1);
    assert_string_equal(heard(fd), "");
    nd_notify_close(&n);
    close(fd);
}

/* A supervisor that reads nothing: no call waits, and what found no room is told when there is some. */
TEST(test_supervisor_takes_nothing)
{
    char name[64], text[32];
    const char *words;
    struct nd_notify n;
    int fd = listen_as_supervisor(name);
    bool told = false;

    alarm(60); /* a call that waits ends the test */
    nd_notify_open(&n);
    for (unsigned i = 0; i < 5000; i++) {
        snprintf(text, sizeof(text), "state %u", i);
        nd_notify_status(&n, text);
    }
    while (*heard(fd))
        ;
    nd_notify_status(&n, "state 4999");
    while (*(words = heard(fd)))
        told |= strcmp(words, "READY=1\nSTATUS=state 4999") == 0;
    alarm(0);
    assert_true(told);
    nd_notify_close(&n);
    close(fd);
}
