/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Serves the control socket. Capacity: CLIENTS connections, REQUEST_MAX bytes a request; when all places are
 * taken the next client waits in the kernel's queue, and a silent one loses its place after SILENT_NS.
 */
#define _GNU_SOURCE
#include "node/control/server.h"
#include "node/base/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CLIENTS     16
#define REQUEST_MAX 65536
#define SILENT_NS   5000000000ull
#define WRITE_NS    2000000000ull

struct client {
    int fd; /* -1: free */
    uint64_t since;
    char *in;
    size_t len;
};

struct nd_server {
    int fd;
    struct sockaddr_un address;
    struct client clients[CLIENTS];
};

static int open_stream(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static bool somebody_listens(const struct sockaddr_un *address)
{
    int fd = open_stream();
    bool yes = fd >= 0 && (connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ||
                           errno == EAGAIN); /* it listens, and many wait */

    close(fd);
    return yes;
}

/* Removes what a node left that is gone; never anything but a socket. */
static int clear_path(const struct sockaddr_un *address, const char *path, struct ft_fault *fault)
{
    struct stat there;

    if (strlen(path) >= sizeof(address->sun_path))
        return ft_fail(fault, FT_EINVAL, "control socket %s: a path of more than %zu bytes", path,
                       sizeof(address->sun_path) - 1);
    if (lstat(path, &there) != 0)
        return 0;
    if (!S_ISSOCK(there.st_mode))
        return ft_fail(fault, FT_EINVAL, "control socket %s: a file is there that is no socket", path);
    if (somebody_listens(address))
        return ft_fail(fault, FT_EBUSY, "control socket %s: a node already listens there", path);
    unlink(path);
    return 0;
}

int nd_server_open(struct nd_server **out, const char *path, struct ft_fault *fault)
{
    struct nd_server *s = calloc(1, sizeof(*s));
    int error;

    *out = NULL;
    if (!s)
        return ft_fail(fault, FT_ENOMEM, "no memory for the control socket");
    for (int i = 0; i < CLIENTS; i++)
        s->clients[i].fd = -1;
    s->address.sun_family = AF_UNIX;
    snprintf(s->address.sun_path, sizeof(s->address.sun_path), "%s", path);
    error = clear_path(&s->address, path, fault);
    if (!error) {
        s->fd = open_stream();
        mode_t old = umask(0117); /* owner and group */
        int bound = s->fd < 0 ? -1 : bind(s->fd, (struct sockaddr *)&s->address, sizeof(s->address));

        umask(old);
        if (bound != 0 || listen(s->fd, CLIENTS) != 0) {
            error = ft_fail(fault, errno == EACCES || errno == EPERM ? FT_EPERM : FT_EIO,
                            "control socket %s: %s", path, strerror(errno));
            close(s->fd);
        }
    }
    if (error)
        free(s);
    else
        *out = s;
    return error;
}

static void hang_up(struct client *c)
{
    close(c->fd);
    free(c->in);
    *c = (struct client){.fd = -1};
}

void nd_server_close(struct nd_server *s)
{
    if (!s)
        return;
    for (int i = 0; i < CLIENTS; i++)
        if (s->clients[i].fd >= 0)
            hang_up(&s->clients[i]);
    close(s->fd);
    unlink(s->address.sun_path);
    free(s);
}

static void accept_clients(struct nd_server *s)
{
    for (int i = 0; i < CLIENTS; i++) {
        struct client *c = &s->clients[i];

        if (c->fd >= 0)
            continue;
        c->fd = accept4(s->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (c->fd < 0)
            return;
        c->since = nd_now();
        c->in = malloc(REQUEST_MAX);
        if (!c->in)
            hang_up(c);
    }
}

/* Writes all of it, waiting a bounded while for a slow reader. */
static bool write_all(int fd, const char *text, size_t len)
{
    uint64_t began = nd_now();

    while (len) {
        ssize_t n = send(fd, text, len, MSG_NOSIGNAL);

        if (n > 0) {
            text += n;
            len -= (size_t)n;
        } else if (errno == EAGAIN && nd_now() - began < WRITE_NS) {
            poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, 100);
        } else if (errno != EINTR) {
            return false;
        }
    }
    return true;
}

static bool reply(struct client *c, const char *line, size_t len, json_t *(*answer)(void *, const json_t *),
                  void *arg)
{
    json_error_t why;
    json_t *request = json_loadb(line, len, JSON_REJECT_DUPLICATES, &why), *result;
    bool sent = false;
    char *text;

    if (json_is_object(request))
        result = answer(arg, request);
    else
        result = json_pack("{s:{s:s,s:s+}}", "error", "code", "malformed", "text",
                           "the request is no JSON object", request ? "" : " on one line");
    text = result ? json_dumps(result, JSON_COMPACT) : NULL;
    if (text)
        sent = write_all(c->fd, text, strlen(text)) && write_all(c->fd, "\n", 1);
    free(text);
    json_decref(result);
    json_decref(request);
    return sent;
}

static bool listen_to(struct client *c, json_t *(*answer)(void *, const json_t *), void *arg)
{
    ssize_t n = recv(c->fd, c->in + c->len, REQUEST_MAX - c->len, 0);
    char *end;

    if (n <= 0)
        return n < 0 && (errno == EAGAIN || errno == EINTR);
    c->len += (size_t)n;
    c->since = nd_now();
    while ((end = memchr(c->in, '\n', c->len))) {
        size_t used = (size_t)(end - c->in) + 1;

        if (!reply(c, c->in, used - 1, answer, arg))
            return false;
        c->since = nd_now(); /* the time an answer took is not the client's silence */
        memmove(c->in, c->in + used, c->len - used);
        c->len -= used;
    }
    return c->len < REQUEST_MAX;
}

void nd_server_serve(struct nd_server *s, int timeout_ms, json_t *(*answer)(void *, const json_t *),
                     void *arg)
{
    struct pollfd p[CLIENTS + 1] = {{.fd = -1, .events = POLLIN}};

    for (int i = 0; i < CLIENTS; i++) {
        p[i + 1] = (struct pollfd){.fd = s->clients[i].fd, .events = POLLIN};
        if (s->clients[i].fd < 0)
            p[0].fd = s->fd; /* with no place free, one who waits for it must not keep us awake */
    }
    if (poll(p, CLIENTS + 1, timeout_ms) <= 0)
        p[0].revents = 0;
    for (int i = 0; i < CLIENTS; i++) {
        struct client *c = &s->clients[i];

        if (c->fd < 0)
            continue;
        if (p[i + 1].revents ? !listen_to(c, answer, arg) : nd_now() - c->since > SILENT_NS)
            hang_up(c);
    }
    if (p[0].fd >= 0 && p[0].revents)
        accept_clients(s);
}
