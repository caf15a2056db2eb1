/* SPDX-License-Identifier: Apache-2.0 */
/* Datagrams to the supervisor; see notify.h. */
#define _GNU_SOURCE
#include "understudy/base/notify.h"
#include "ftcore/base/check.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool send_words(const struct nd_notify *n, const char *words)
{
    size_t len = strlen(words);

    return sendto(n->fd, words, len, MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)&n->to,
                  n->to_len) == (ssize_t)len;
}

static uint64_t number_of(const char *name)
{
    const char *text = getenv(name);

    return text ? strtoull(text, NULL, 10) : 0;
}

void nd_notify_open(struct nd_notify *n)
{
    const char *path = getenv("NOTIFY_SOCKET");
    size_t len = path ? strlen(path) : 0;
    uint64_t pid = number_of("WATCHDOG_PID");

    *n = (struct nd_notify){.fd = -1, .to.sun_family = AF_UNIX};
    /* A path, or a name of the abstract space, which begins with a zero byte there. */
    if (len > 1 && len < sizeof(n->to.sun_path) && (path[0] == '/' || path[0] == '@'))
        n->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (n->fd >= 0) {
        memcpy(n->to.sun_path, path, len);
        if (path[0] == '@')
            n->to.sun_path[0] = '\0';
        n->to_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
        if (pid == 0 || pid == (uint64_t)getpid())
            n->watchdog_ns = number_of("WATCHDOG_USEC") * 1000;
    }
    unsetenv("NOTIFY_SOCKET");
    unsetenv("WATCHDOG_USEC");
    unsetenv("WATCHDOG_PID");
}

void nd_notify_close(struct nd_notify *n)
{
    if (n->fd < 0)
        return;
    send_words(n, "STOPPING=1");
    close(n->fd);
    n->fd = -1;
}

void nd_notify_status(struct nd_notify *n, const char *text)
{
    char words[sizeof(n->status) + 32], status[sizeof(n->status)];

    if (n->fd < 0)
        return;
    snprintf(status, sizeof(status), "%s", text);
    for (char *c = status; *c; c++) /* another line would be another word of the protocol */
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
    if (strcmp(status, n->status) == 0)
        return;
    snprintf(words, sizeof(words), "READY=1\nSTATUS=%s", status);
    if (send_words(n, words))
        memcpy(n->status, status, sizeof(status));
}

void nd_notify_watchdog(struct nd_notify *n, uint64_t now, const uint64_t turn[], unsigned threads)
{
    FT_CHECK(threads <= ND_NOTIFY_THREADS, "%u threads", threads);
    if (n->fd < 0 || !n->watchdog_ns || (n->fed && now - n->fed < n->watchdog_ns / 3))
        return;
    for (unsigned i = 0; i < threads; i++)
        if (turn[i] <= n->seen[i])
            return;
    if (!send_words(n, "WATCHDOG=1"))
        return;
    n->fed = now;
    memcpy(n->seen, turn, threads * sizeof(turn[0]));
}
