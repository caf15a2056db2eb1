/* SPDX-License-Identifier: Apache-2.0 */
/* One question to a control socket, with a deadline over all of it; see client.h. */
#include "node/control/client.h"

#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_MAX ((size_t)64 << 20)

struct asking {
    const char *path;
    int fd;
    int64_t deadline; /* ms */
    char *bytes;      /* of the answer */
    size_t used, size;
    struct ft_fault *fault;
};

static int64_t now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int fail_late(struct asking *a)
{
    return ft_fail(a->fault, FT_EIO, "%s: no answer in time", a->path);
}

/* Until the socket is ready for `events`. */
static int wait_for(struct asking *a, short events)
{
    for (;;) {
        struct pollfd poll_fd = {.fd = a->fd, .events = events};
        int64_t left = a->deadline - now_ms();
        int got = left > 0 ? poll(&poll_fd, 1, (int)left) : 0;

        if (got > 0)
            return 0;
        if (got == 0)
            return fail_late(a);
        if (errno != EINTR)
            return ft_fail(a->fault, FT_EIO, "%s: %s", a->path, strerror(errno));
    }
}

static int fail_refused(struct asking *a, int error)
{
    if (error == EACCES || error == EPERM)
        return ft_fail(a->fault, FT_EPERM, "%s: no permission to talk to the node", a->path);
    if (error == ENOENT || error == ECONNREFUSED || error == ENOTDIR)
        return ft_fail(a->fault, FT_ENOENT, "%s: no node listens (%s)", a->path, strerror(error));
    return ft_fail(a->fault, FT_EIO, "%s: cannot connect (%s)", a->path, strerror(error));
}

static int connect_to_node(struct asking *a)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};

    if (strlen(a->path) >= sizeof(to.sun_path))
        return ft_fail(a->fault, FT_EINVAL, "control socket path too long, expected less than %zu bytes",
                       sizeof(to.sun_path));
    strcpy(to.sun_path, a->path);
    a->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (a->fd < 0)
        return ft_fail(a->fault, FT_EIO, "%s: no socket (%s)", a->path, strerror(errno));
    while (connect(a->fd, (struct sockaddr *)&to, sizeof(to)) != 0) {
        if (errno == EISCONN)
            break;
        if (errno != EAGAIN && errno != EINTR) /* EAGAIN: the node's queue of connections is full */
            return fail_refused(a, errno);
        if (now_ms() >= a->deadline)
            return fail_late(a);
        poll(NULL, 0, 10);
    }
    return 0;
}

static int send_all(struct asking *a, const char *bytes, size_t len)
{
    while (len) {
        ssize_t sent = send(a->fd, bytes, len, MSG_NOSIGNAL);

        if (sent >= 0) {
            bytes += sent;
            len -= (size_t)sent;
        } else if (errno == EAGAIN) {
            int error = wait_for(a, POLLOUT);

            if (error)
                return error;
        } else if (errno != EINTR) {
            return ft_fail(a->fault, FT_EIO, "%s: the node hung up (%s)", a->path, strerror(errno));
        }
    }
    return 0;
}

static int make_room(struct asking *a)
{
    size_t size = a->size ? a->size * 2 : 16384;
    char *bytes;

    if (a->used < a->size)
        return 0;
    if (a->size >= ANSWER_MAX)
        return ft_fail(a->fault, FT_EMALFORMED, "%s: an answer of more than 64 MiB", a->path);
    bytes = realloc(a->bytes, size);
    if (!bytes)
        return ft_fail(a->fault, FT_ENOMEM, "no memory for the answer");
    a->bytes = bytes;
    a->size = size;
    return 0;
}

/* Reads up to the line's end; its length without it in a->used. */
static int read_line(struct asking *a)
{
    for (;;) {
        int error = make_room(a);
        ssize_t got;
        char *end;

        if (error)
            return error;
        got = recv(a->fd, a->bytes + a->used, a->size - a->used, 0);
        if (got == 0)
            return ft_fail(a->fault, FT_EIO, "%s: the node hung up before the end of its answer", a->path);
        if (got > 0) {
            end = memchr(a->bytes + a->used, '\n', (size_t)got);
            a->used = end ? (size_t)(end - a->bytes) : a->used + (size_t)got;
            if (end)
                return 0;
        } else if (errno == EAGAIN) {
            error = wait_for(a, POLLIN);
            if (error)
                return error;
        } else if (errno != EINTR) {
            return ft_fail(a->fault, FT_EIO, "%s: %s", a->path, strerror(errno));
        }
    }
}

static int exchange(struct asking *a, const json_t *request, json_t **answer)
{
    char *line = json_dumps(request, JSON_COMPACT | JSON_ENSURE_ASCII);
    json_error_t why;
    int error;

    if (!line)
        return ft_fail(a->fault, FT_EINVAL, "a request that is no JSON object");
    error = connect_to_node(a);
    if (!error)
        error = send_all(a, line, strlen(line));
    if (!error)
        error = send_all(a, "\n", 1);
    free(line);
    if (!error)
        error = read_line(a);
    if (error)
        return error;
    *answer = json_loadb(a->bytes, a->used, 0, &why);
    if (json_is_object(*answer))
        return 0;
    json_decref(*answer);
    *answer = NULL;
    return ft_fail(a->fault, FT_EMALFORMED, "%s: the answer is no JSON object", a->path);
}

int nd_ask(const char *path, const json_t *request, int timeout_ms, json_t **answer, struct ft_fault *fault)
{
    struct asking a = {.path = path, .fd = -1, .deadline = now_ms() + timeout_ms, .fault = fault};
    int error;

    *answer = NULL;
    error = exchange(&a, request, answer);
    if (a.fd >= 0)
        close(a.fd);
    free(a.bytes);
    return error;
}
