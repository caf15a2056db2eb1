/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: a server of a control socket in a thread, and what clients do. Owns server and thread. */
#define _GNU_SOURCE
#include "tests/help/server.h"
#include "node/control/server.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define LIMIT_MS 20000

char server_path[64];
static struct nd_server *server;
static pthread_t thread;
static _Atomic bool stop;
_Atomic unsigned server_turns, server_answers;
_Atomic bool server_is_later;

bool server_answer(void *arg, struct nd_exchange *x)
{
    json_t *n = json_object_get(x->request, "n");
    static char big[BIG + 1];

    (void)arg;
    atomic_fetch_add(&server_answers, 1);
    memset(big, 'b', BIG);
    if (json_object_get(x->request, "later")) {
        x->begun = true;
        if (!atomic_load(&server_is_later))
            return false;
    }
    if (json_object_get(x->request, "waits") && !atomic_load(&server_is_later))
        return false;
    if (json_object_get(x->request, "big"))
        x->answer = json_pack("{s:s}", "big", big);
    else if (json_object_get(x->request, "huge"))
        x->answer = json_pack("{s:s+}", "huge", big, big);
    else if (json_object_get(x->request, "whence"))
        x->answer = json_pack("{s:b}", "looks", x->looks);
    else if (!json_object_get(x->request, "none"))
        x->answer = json_pack("{s:O?}", "n", n);
    return true;
}

static void *serve(void *arg)
{
    while (!atomic_load(&stop)) {
        nd_server_serve(server, 20, server_answer, arg);
        atomic_fetch_add(&server_turns, 1);
    }
    return NULL;
}

int server_setup(void **state)
{
    struct ft_fault fault = {""};

    (void)state;
    snprintf(server_path, sizeof(server_path), "/tmp/server.%d", (int)getpid());
    if (nd_server_open(&server, server_path, &fault))
        fail_msg("%s", fault.text);
    atomic_store(&stop, false);
    return pthread_create(&thread, NULL, serve, NULL);
}

int server_teardown(void **state)
{
    char look[80];

    (void)state;
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    nd_server_close(server);
    snprintf(look, sizeof(look), "%s.look", server_path);
    return access(server_path, F_OK) == 0 || access(look, F_OK) == 0; /* gone with it */
}

int server_dial(void)
{
    struct sockaddr_un at = {.sun_family = AF_UNIX};
    struct timeval limit = {LIMIT_MS / 1000, 0};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);

    snprintf(at.sun_path, sizeof(at.sun_path), "%s", server_path);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    return fd;
}

bool server_say(int fd, const void *bytes, size_t len)
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

bool server_ask(int fd, const char *text)
{
    return server_say(fd, text, strlen(text));
}

ssize_t server_read_line(int fd, char *line, size_t cap)
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

void server_answers_with(int fd, const char *expected)
{
    char line[512];

    assert_true(server_read_line(fd, line, sizeof(line)) >= 0);
    assert_string_equal(line, expected);
}

void server_has_closed(int fd)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, 0);

    assert_true(n == 0 || (n < 0 && errno == ECONNRESET));
    close(fd);
}

void server_still_serves(void)
{
    int fd = server_dial();

    assert_true(server_ask(fd, ASK "\"n\":1}\n"));
    server_answers_with(fd, "{\"n\":1}");
    close(fd);
}
