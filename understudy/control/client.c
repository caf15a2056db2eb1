/* SPDX-License-Identifier: Apache-2.0 */
/* One question to a control socket, with a deadline over all of it; see client.h. */
#define _GNU_SOURCE
#include "understudy/control/client.h"
#include "ftcore/base/clock.h"
#include "understudy/control/server.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

static size_t answer_most = (size_t)64 << 20; /* bytes */

struct asking {
    const char *path;
    int fd;
    uint64_t deadline; /* ns */
    char *bytes;       /* of the answer */
    size_t used, size;
    struct ft_fault *fault;
};

/* The next call on the socket waits until the deadline at most. */
static int limit_wait(struct asking *a)
{
    int64_t left = (int64_t)(a->deadline - ft_now()) / 1000;
    const struct timeval time = {.tv_sec = left / 1000000, .tv_usec = left % 1000000};

    if (left <= 0)
        return ft_fail(a->fault, FT_EIO, "%s: no answer in time", a->path);
    setsockopt(a->fd, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof(time));
    setsockopt(a->fd, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time));
    return 0;
}

/* Who may is who owns the socket, and its group. */
static int fail_permission(struct asking *a)
{
    struct stat is;
    const struct passwd *user = stat(a->path, &is) == 0 ? getpwuid(is.st_uid) : NULL;
    const struct group *group = user ? getgrgid(is.st_gid) : NULL;

    if (!group)
        return ft_fail(a->fault, FT_EPERM, "%s: no permission to talk to the node", a->path);
    return ft_fail(a->fault, FT_EPERM,
                   "%s: no permission to talk to the node, expected user %s or a member of group %s", a->path,
                   user->pw_name, group->gr_name);
}

static int fail_refused(struct asking *a, int error)
{
    if (error == EACCES || error == EPERM)
        return fail_permission(a);
    if (error == ENOENT || error == ECONNREFUSED || error == ENOTDIR)
        return ft_fail(a->fault, FT_ENOENT, "%s: no node listens (%s)", a->path, strerror(error));
    return ft_fail(a->fault, FT_EIO, "%s: cannot connect (%s)", a->path, strerror(error));
}

static int connect_to(struct asking *a, const char *path)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int error;

    if (strlen(path) >= sizeof(to.sun_path))
        return ft_fail(a->fault, FT_EINVAL, "control socket path too long, expected less than %zu bytes",
                       sizeof(to.sun_path));
    strcpy(to.sun_path, path);
    a->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (a->fd < 0)
        return ft_fail(a->fault, FT_EIO, "%s: no socket (%s)", a->path, strerror(errno));
    while (!(error = limit_wait(a)) && connect(a->fd, (struct sockaddr *)&to, sizeof(to)) != 0)
        if (errno != EAGAIN && errno != EINTR) /* EAGAIN: the node's queue of connections stayed full */
            return fail_refused(a, errno);
    return error;
}

/* Whoever may not open the socket that acts asks the one that operates, then the one that looks; each refuses
 * by name what it does not do. */
static int connect_to_node(struct asking *a)
{
    struct ft_fault *denied = a->fault;
    char path[ND_SOCKET_PATH];
    int error = connect_to(a, a->path), other = error;

    a->fault = NULL;
    for (int role = ND_OPERATES; error == FT_EPERM && other && role >= ND_LOOKS; role--) {
        if (!nd_socket_path(path, a->path, (enum nd_may)role))
            break;
        close(a->fd);
        other = connect_to(a, path);
    }
    a->fault = denied;
    return other ? error : 0;
}

static int send_all(struct asking *a, const char *bytes, size_t len)
{
    int error = 0;

    while (len && !(error = limit_wait(a))) {
        ssize_t sent = send(a->fd, bytes, len, MSG_NOSIGNAL);

        if (sent < 0 && errno == EPIPE)
            return 0; /* the node has closed: what it sent before is the answer */
        if (sent < 0 && errno != EAGAIN && errno != EINTR)
            return ft_fail(a->fault, FT_EIO, "%s: the node hung up (%s)", a->path, strerror(errno));
        bytes += sent > 0 ? sent : 0;
        len -= sent > 0 ? (size_t)sent : 0;
    }
    return error;
}

static int make_room(struct asking *a)
{
    size_t size = a->size ? a->size * 2 : 16384;
    char *bytes;

    if (a->used < a->size)
        return 0;
    if (a->size >= answer_most)
        return ft_fail(a->fault, FT_EMALFORMED, "%s: an answer of more than %zu MiB", a->path,
                       answer_most >> 20);
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
    int error;

    while (!(error = make_room(a)) && !(error = limit_wait(a))) {
        ssize_t got = recv(a->fd, a->bytes + a->used, a->size - a->used, 0);
        char *end = got > 0 ? memchr(a->bytes + a->used, '\n', (size_t)got) : NULL;

        if (got == 0)
            return ft_fail(
                a->fault, FT_EIO,
                "%s: the node hung up before the end of its answer; if it died, incidents says of what",
                a->path);
        if (got < 0 && errno != EAGAIN && errno != EINTR)
            return ft_fail(a->fault, FT_EIO, "%s: %s", a->path, strerror(errno));
        a->used = end ? (size_t)(end - a->bytes) : a->used + (got > 0 ? (size_t)got : 0);
        if (end)
            return 0;
    }
    return error;
}

static int exchange_messages(struct asking *a, const json_t *request, json_t **answer)
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

static int read_listener(const struct asking *a, struct nd_listener *listener)
{
    struct ucred made_by;
    socklen_t len = sizeof(made_by);

    if (getsockopt(a->fd, SOL_SOCKET, SO_PEERCRED, &made_by, &len) != 0)
        return ft_fail(a->fault, FT_EIO, "%s: it is not known who listens (%s)", a->path, strerror(errno));
    *listener = (struct nd_listener){.pid = made_by.pid, .user = made_by.uid};
    return 0;
}

void nd_ask_limit(unsigned mib)
{
    answer_most = (size_t)mib << 20;
}

int nd_ask(const char *path, const json_t *request, int timeout_ms, json_t **answer,
           struct nd_listener *listener, struct ft_fault *fault)
{
    struct asking a = {
        .path = path, .fd = -1, .deadline = ft_now() + (uint64_t)timeout_ms * 1000000, .fault = fault};
    int error;

    *answer = NULL;
    error = exchange_messages(&a, request, answer);
    if (!error && listener && (error = read_listener(&a, listener))) {
        json_decref(*answer);
        *answer = NULL;
    }
    if (a.fd >= 0)
        close(a.fd);
    free(a.bytes);
    return error;
}
