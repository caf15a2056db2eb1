/* SPDX-License-Identifier: Apache-2.0 */
/* What a control socket under test answers, and what its clients say; see server.h. */
#include "tests/help/server.h"
#include "tests/help/test.h"

#include <errno.h>
#include <sys/socket.h>

char server_path[64];
_Atomic unsigned server_answers;
_Atomic bool server_is_later;

bool server_answer(void *arg, struct nd_exchange *x)
{
    json_t *n = json_object_get(x->request, "n");
    static char big[BIG + 1];

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
            fail_msg("no answer within %d s", SERVER_LIMIT_MS / 1000);
        if (n <= 0)
            return -1;
        if (line[len] == '\n')
            break;
    }
    line[len] = '\0';
    return (ssize_t)len;
}

void server_hears(int fd, const char *expected)
{
    char line[512];

    assert_true(server_read_line(fd, line, sizeof(line)) >= 0);
    assert_string_equal(line, expected);
}
