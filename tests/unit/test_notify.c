/* SPDX-License-Identifier: Apache-2.0 */
/* What a supervisor hears by systemd's protocol: its words as sd_notify(3) has them, on a socket of the
 * test's own. */
#include "understudy/base/notify.h"
#include "tests/help/test.h"

#define SECOND 1000000000ull

static struct nd_notify n;
static int fd; /* of the supervisor */

/* A listening socket of the abstract space, named in the environment as systemd does. */
static int listen_as_supervisor(void **state)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    const char *name = help_print("@understudy-test-notify-%d", getpid());

    fd = help_fd(socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0));
    memcpy(at.sun_path + 1, name + 1, strlen(name) - 1);
    setenv("NOTIFY_SOCKET", name, 1);
    return bind(fd, (struct sockaddr *)&at,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name)));
}

#define SUPERVISED(name) TEST_WITH(name, listen_as_supervisor, NULL)

static const char *heard(void)
{
    static char words[512];
    ssize_t len = recv(fd, words, sizeof(words) - 1, 0);

    words[len > 0 ? len : 0] = '\0';
    return words;
}

TEST(test_nobody_asked)
{
    unsetenv("NOTIFY_SOCKET");
    nd_notify_open(&n);
    assert_int_equal(n.fd, -1);
    nd_notify_status(&n, "PROTECTED");
    nd_notify_watchdog(&n, SECOND, &(uint64_t){1}, 1);
    nd_notify_close(&n);
}

SUPERVISED(test_status_is_told_once)
{
    nd_notify_open(&n);
    assert_null(getenv("NOTIFY_SOCKET"));
    nd_notify_status(&n, "SOLO, view 1: alone");
    nd_notify_status(&n, "SOLO, view 1: alone");
    assert_string_equal(heard(), "READY=1\nSTATUS=SOLO, view 1: alone");
    assert_string_equal(heard(), "");
    nd_notify_status(&n, "JOINING: a\nMAINPID=1"); /* a peer's text must not be a word of ours */
    assert_string_equal(heard(), "READY=1\nSTATUS=JOINING: a?MAINPID=1");
    nd_notify_close(&n);
    assert_string_equal(heard(), "STOPPING=1");
}

SUPERVISED(test_watchdog_needs_every_thread)
{
    uint64_t turn[3] = {10, 20, 0};

    setenv("WATCHDOG_USEC", "3000000", 1);
    nd_notify_open(&n);
    nd_notify_watchdog(&n, 10 * SECOND, turn, 3);
    assert_string_equal(heard(), ""); /* one has never had a turn */
    turn[2] = 5;
    nd_notify_watchdog(&n, 10 * SECOND, turn, 3);
    assert_string_equal(heard(), "WATCHDOG=1");
    turn[0]++, turn[1]++, turn[2]++;
    nd_notify_watchdog(&n, 11 * SECOND - 1, turn, 3);
    assert_string_equal(heard(), ""); /* not yet due */
    nd_notify_watchdog(&n, 11 * SECOND, turn, 3);
    assert_string_equal(heard(), "WATCHDOG=1");
    turn[0]++, turn[1]++;
    nd_notify_watchdog(&n, 13 * SECOND, turn, 3);
    assert_string_equal(heard(), ""); /* the last thread hangs */
    turn[2]++;
    nd_notify_watchdog(&n, 13 * SECOND, turn, 3);
    assert_string_equal(heard(), "WATCHDOG=1");
    nd_notify_close(&n);
}

SUPERVISED(test_watchdog_of_another_process)
{
    setenv("WATCHDOG_USEC", "3000000", 1);
    setenv("WATCHDOG_PID", "1", 1);
    nd_notify_open(&n);
    assert_int_equal(n.watchdog_ns, 0);
    nd_notify_watchdog(&n, SECOND, &(uint64_t){1}, 1);
    assert_string_equal(heard(), "");
    nd_notify_close(&n);
}

/* A supervisor that reads nothing: no call waits, and what found no room is told when there is some. */
SUPERVISED(test_supervisor_takes_nothing)
{
    const char *words;
    bool told = false;

    alarm(60); /* a call that waits ends the test */
    nd_notify_open(&n);
    for (unsigned i = 0; i < 5000; i++)
        nd_notify_status(&n, help_print("state %u", i));
    while (*heard())
        ;
    nd_notify_status(&n, "state 4999");
    while (*(words = heard()))
        told |= strcmp(words, "READY=1\nSTATUS=state 4999") == 0;
    alarm(0);
    assert_true(told);
    nd_notify_close(&n);
}
