/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: a server of control sockets that the test drives by itself; see places.h. */
#define _GNU_SOURCE
#include "tests/help/places.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <grp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define STRANGER 65534

struct nd_server *places_server;
uint64_t places_now;
char places_look[80];

int places_setup(void **state)
{
    struct ft_fault fault = {""};

    (void)state;
    snprintf(server_path, sizeof(server_path), "/tmp/places.%d", (int)getpid());
    snprintf(places_look, sizeof(places_look), "%s.look", server_path);
    places_now = 1000000 * MS;
    atomic_store(&server_answers, 0);
    atomic_store(&server_is_later, false);
    if (nd_server_open(&places_server, server_path, &fault))
        fail_msg("%s", fault.text);
    return 0;
}

int places_teardown(void **state)
{
    (void)state;
    nd_server_close(places_server);
    return 0;
}

void places_turn(void)
{
    for (int i = 0; i < 10; i++)
        nd_server_turn(places_server, places_now, server_answer, NULL);
}

int places_dial(const char *path, bool stranger)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0), connected;

    snprintf(at.sun_path, sizeof(at.sun_path), "%s", path);
    if (stranger) {
        assert_int_equal(setgroups(0, NULL), 0);
        assert_int_equal(setegid(STRANGER), 0);
        assert_int_equal(seteuid(STRANGER), 0);
    }
    connected = connect(fd, (struct sockaddr *)&at, sizeof(at));
    if (stranger) {
        assert_int_equal(seteuid(0), 0);
        assert_int_equal(setegid(0), 0);
    }
    if (connected == 0)
        return fd;
    close(fd);
    return -1;
}

int places_stranger(void)
{
    int fd = places_dial(server_path, true);

    assert_true(fd >= 0);
    return fd;
}

int places_node_user(void)
{
    int fd = places_dial(server_path, false);

    assert_true(fd >= 0);
    return fd;
}

void places_let_strangers_in(void)
{
    if (geteuid() != 0)
        skip();
    assert_int_equal(chmod(server_path, 0666), 0);
}

bool places_open(int fd)
{
    struct pollfd p = {.fd = fd};

    return poll(&p, 1, 0) == 0; /* POLLHUP comes unasked for */
}

void places_hears(int fd, const char *expected)
{
    char line[512];

    assert_true(server_read_line(fd, line, sizeof(line)) >= 0);
    assert_string_equal(line, expected);
}

void places_served(int fd)
{
    assert_true(server_ask(fd, ASK "\"n\":1}\n"));
    places_turn();
    places_hears(fd, "{\"n\":1}");
}
