/* SPDX-License-Identifier: Apache-2.0 */
/* The fleet's file, read by a process without rights. See reader.h. */
#define _GNU_SOURCE
#include "fleet/reader.h"
#include "understudy/base/process.h"
#include "understudy/config/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define PATIENCE_S 10 /* for an answer */
#define NAMES_MAX  (ND_NODES * FL_NAME_MAX)

struct question {
    char shard[FL_NAME_MAX], servers[NAMES_MAX];
};

/* And so many bytes: what was asked for, or the fault. */
struct reply {
    int error;
    uint32_t len;
};

int fl_confine(const char *user, struct ft_fault *fault)
{
    const struct nd_privilege own = {.user = user};
    int error = nd_privilege_limit(&own, fault);

    if (!error && nd_privilege_drop_thread() != 0)
        error = ft_fail(fault, FT_EIO, "capabilities: %s", strerror(errno));
    return error ? error : nd_privilege_refuse_calls(fault);
}

/* All of it, by a stream. False: the other end is gone, or silent. */
static bool give(int fd, const void *bytes, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = send(fd, (const char *)bytes + at, len - at, MSG_NOSIGNAL);

        if (n <= 0)
            return false;
        at += (size_t)n;
    }
    return true;
}

static bool take(int fd, void *bytes, size_t len)
{
    return len == 0 || recv(fd, bytes, len, MSG_WAITALL) == (ssize_t)len;
}

/* ---- the process -------------------------------------------------------------------------------- */

static bool answer(int fd, int error, const char *text, size_t len)
{
    const struct reply reply = {error, (uint32_t)len};

    return give(fd, &reply, sizeof(reply)) && give(fd, text, len);
}

/* The indices of `names`, a blank between two. How many; 0 as well where one is no server of the file, or is
 * there twice. */
static unsigned servers_of(const struct fl_file *file, char *names, uint32_t out[ND_NODES])
{
    unsigned n = 0;
    char *rest = NULL;

    for (const char *name = strtok_r(names, " ", &rest); name; name = strtok_r(NULL, " ", &rest)) {
        if (n == ND_NODES || (out[n] = fl_file_server(file, name)) == FL_NONE)
            return 0;
        for (unsigned i = 0; i < n; i++)
            if (out[i] == out[n])
                return 0;
        n++;
    }
    return n;
}

/* Whether the shard is in the file; and its pair file, where servers are named. */
static bool answer_question(int fd, const struct fl_file *file, struct question *q)
{
    struct ft_fault fault = {""};
    uint32_t shard = fl_file_shard(file, q->shard), server[ND_NODES];
    bool asks = q->servers[0];
    unsigned n = shard != FL_NONE ? servers_of(file, q->servers, server) : 0;
    char *text = NULL;
    int error = 0;

    if (shard == FL_NONE)
        error = ft_fail(&fault, FT_ENOENT, "there is no shard %s in the file", q->shard);
    else if (asks && n < ND_PAIR)
        error = ft_fail(&fault, FT_EINVAL, "servers that are not in the file, or twice, or too few");
    else if (asks)
        error = fl_file_render(file, shard, server, n, &text, &fault);
    bool done = error  ? answer(fd, error, fault.text, strlen(fault.text))
                : text ? answer(fd, 0, text, strlen(text))
                       : answer(fd, 0, "", 0);

    free(text);
    return done;
}

/* Its first answer is the file's `state` and `user`, with a NUL behind each. */
static void be_reader(int fd, const char *path, const char *server, const char *user)
{
    struct fl_file *file = NULL;
    struct ft_fault fault = {""};
    struct question q;
    char first[sizeof(file->state) + sizeof(file->user)];
    int error = fl_confine(user, &fault);

    prctl(PR_SET_NAME, "reader");
    if (!error)
        error = fl_file_read(&file, path, &fault);
    if (!error)
        error = fl_file_server(file, server) == FL_NONE
                    ? ft_fail(&fault, FT_EINVAL, "there is no server %s in %s", server, path)
                    : fl_file_speak_as(file, server, &fault);
    if (error) {
        (void)answer(fd, error, fault.text, strlen(fault.text));
        return;
    }
    int len = snprintf(first, sizeof(first), "%s%c%s", file->state, '\0', file->user) + 1;

    for (bool goes_on = answer(fd, 0, first, (size_t)len); goes_on && take(fd, &q, sizeof(q));) {
        q.shard[sizeof(q.shard) - 1] = q.servers[sizeof(q.servers) - 1] = '\0';
        goes_on = answer_question(fd, file, &q);
    }
    fl_file_free(file);
}

/* ---- who asks it -------------------------------------------------------------------------------- */

/* The reader's answer; *text has a NUL behind it, and is for free(). */
static int receive_answer(struct fl_reader *r, char **text, uint32_t *len, struct ft_fault *fault)
{
    struct reply reply;

    *text = NULL;
    if (!take(r->fd, &reply, sizeof(reply)) || reply.len > FL_PAIR_MAX ||
        !(*text = calloc(1, reply.len + 1)) || !take(r->fd, *text, reply.len)) {
        free(*text);
        *text = NULL;
        close(r->fd); /* what comes later would be taken for another answer */
        r->fd = -1;
        return ft_fail(fault, FT_EIO, "the reader of %s does not answer", r->path);
    }
    *len = reply.len;
    return reply.error ? ft_fail(fault, reply.error, "%s", *text) : 0;
}

int fl_reader_ask(struct fl_reader *r, const char *shard, const char *servers, char **text,
                  struct ft_fault *fault)
{
    struct question q = {.shard = ""};
    uint32_t len;

    *text = NULL;
    snprintf(q.shard, sizeof(q.shard), "%s", shard);
    if (snprintf(q.servers, sizeof(q.servers), "%s", servers) >= (int)sizeof(q.servers))
        return ft_fail(fault, FT_EINVAL, "more servers than a shard may have");
    (void)give(r->fd, &q, sizeof(q));
    return receive_answer(r, text, &len, fault);
}

int fl_reader_find(struct fl_reader *r, const char *shard, struct ft_fault *fault)
{
    char *text;
    int error = fl_reader_ask(r, shard, "", &text, fault);

    free(text);
    return error;
}

int fl_reader_start(struct fl_reader *r, const char *path, const char *server, const char *user,
                    struct ft_fault *fault)
{
    const struct timeval patience = {.tv_sec = PATIENCE_S};
    int ends[2];
    char *text;
    uint32_t len;

    *r = (struct fl_reader){.path = path, .fd = -1};
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
        return ft_fail(fault, FT_EIO, "the reader: %s", strerror(errno));
    pid_t pid = fork();

    if (pid == 0) {
        dup2(ends[1], STDERR_FILENO + 1);
        close_range(STDERR_FILENO + 2, ~0u, 0);
        be_reader(STDERR_FILENO + 1, path, server, user);
        _exit(0);
    }
    close(ends[1]);
    r->fd = ends[0];
    setsockopt(r->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    if (pid < 0)
        return ft_fail(fault, FT_EIO, "the reader: %s", strerror(errno));
    int error = receive_answer(r, &text, &len, fault);

    if (!error && len > strlen(text) + 1) {
        snprintf(r->state, sizeof(r->state), "%s", text);
        snprintf(r->nodes_user, sizeof(r->nodes_user), "%s", text + strlen(text) + 1);
    }
    free(text);
    return error;
}
