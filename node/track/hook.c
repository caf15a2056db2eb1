/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Delivers events to a hook, in order, one line of JSON each: to a command's standard input, one run an event
 * and never two at once; to a FIFO; to a unix socket, of datagrams or a stream. A queue of ND_HOOK_QUEUE
 * lines; what finds it full is lost, counted, and told by a line in its place as soon as there is room.
 */
#define _GNU_SOURCE
#include "node/track/parts.h"
#include "ftcore/base/event_log.h"
#include "node/base/clock.h"
#include "node/base/event_format.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define AGAIN_NS   200000000ull  /* between two attempts to open what cannot be opened */
#define COMMAND_NS 5000000000ull /* after which a command is killed; its event is lost */

/* ---- the queue ----------------------------------------------------------------------------------- */

static void push_line(struct nd_hook_at *at, const char *line, size_t len)
{
    char *copy = strndup(line, len);

    if (copy)
        at->line[(at->first + at->count++) % ND_HOOK_QUEUE] = copy;
}

/* In the place of what was lost. */
static void push_loss(struct nd_hook_at *at, const char *node, uint64_t lost)
{
    char time[ND_WALL_TEXT], line[512];
    int len =
        snprintf(line, sizeof(line),
                 "{\"time\":\"%s\",\"level\":\"warning\",\"event\":\"hook\",\"node\":\"%s\",\"message\":"
                 "\"%lu events were lost before the next one\",\"fields\":{\"lost\":%lu}}\n",
                 nd_wall_text(time, nd_wall()), node, lost, lost);

    push_line(at, line, (size_t)len);
}

void nd_hook_add(struct nd_hook_at *at, const struct nd_feed *event, size_t len, const char *node,
                 struct nd_runner_page *page, unsigned index)
{
    uint64_t lost = event->missed[index] + atomic_load(&page->hook[index].dropped);

    if (at->count + 2 > ND_HOOK_QUEUE) {
        atomic_fetch_add(&page->hook[index].dropped, 1);
        return;
    }
    if (lost != at->told)
        push_loss(at, node, lost - at->told);
    at->told = lost;
    push_line(at, event->line, len);
    atomic_store(&page->hook[index].waiting, at->count);
}

static void pop_line(struct nd_hook_at *at, struct nd_runner_page *page, unsigned index, bool delivered)
{
    free(at->line[at->first]);
    at->first = (at->first + 1) % ND_HOOK_QUEUE;
    at->count--;
    at->sent = 0;
    atomic_store(&page->hook[index].waiting, at->count);
    atomic_fetch_add(delivered ? &page->hook[index].delivered : &page->hook[index].dropped, 1);
}

/* ---- a command ----------------------------------------------------------------------------------- */

/* The line fits into the pipe, so whether it is read is the command's affair. */
static int start_command(struct nd_hook_at *at, const char *path, const char *node, uint64_t now)
{
    const char *line = at->line[at->first];
    int ends[2], error;

    if (pipe2(ends, O_CLOEXEC) != 0)
        return errno;
    error = write(ends[1], line, strlen(line)) < 0 ? errno : 0;
    close(ends[1]);
    if (!error)
        error = nd_program_start(&at->child, path, node, ends[0], now);
    close(ends[0]);
    return error;
}

static void turn_command(struct nd_hook_at *at, const struct nd_hook *hook, const char *node,
                         struct nd_runner_page *page, unsigned index, uint64_t now)
{
    bool killed = at->child.killed;
    int status;

    if (nd_program_ended(&at->child, &status))
        pop_line(at, page, index, !killed);
    if (at->child.pid && now - at->child.began > COMMAND_NS)
        nd_program_kill(&at->child);
    if (!at->child.pid && at->count && now >= at->next && start_command(at, hook->path, node, now) != 0)
        at->next = now + AGAIN_NS;
}

/* ---- a FIFO or a socket -------------------------------------------------------------------------- */

static int open_fifo(const char *path)
{
    int fd = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC); /* ENXIO: nobody reads */
    struct stat is;

    if (fd >= 0 && (fstat(fd, &is) != 0 || !S_ISFIFO(is.st_mode))) {
        close(fd);
        return -1;
    }
    return fd;
}

static int open_socket(const char *path, bool *stream)
{
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int error = EPROTOTYPE, fd = -1;

    snprintf(to.sun_path, sizeof(to.sun_path), "%.*s", (int)sizeof(to.sun_path) - 1, path);
    for (*stream = false; error == EPROTOTYPE; *stream = true) {
        fd = socket(AF_UNIX, (*stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        error = fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0 ? 0 : errno;
        if (error)
            close(fd);
        if (!error || *stream)
            break;
    }
    return error ? -1 : fd;
}

static void close_hook(struct nd_hook_at *at, uint64_t now)
{
    close(at->fd);
    at->fd = -1;
    at->sent = 0; /* a line that was cut off is said again, whole */
    at->next = now + AGAIN_NS;
}

/* A socket: one datagram a line, or so much of it as a stream takes. A FIFO takes a line whole or not at
 * all. */
static void write_lines(struct nd_hook_at *at, bool is_socket, struct nd_runner_page *page, unsigned index,
                        uint64_t now)
{
    while (at->count) {
        const char *line = at->line[at->first] + at->sent;
        size_t len = strlen(line);
        ssize_t n =
            is_socket ? send(at->fd, line, len, MSG_DONTWAIT | MSG_NOSIGNAL) : write(at->fd, line, len);

        if (n < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOBUFS))
            return;
        if (n < 0) {
            close_hook(at, now);
            return;
        }
        at->sent += (size_t)n;
        if ((size_t)n < len)
            return;
        pop_line(at, page, index, true);
    }
}

bool nd_hook_turn(struct nd_hook_at *at, const struct nd_hook *hook, const char *node,
                  struct nd_runner_page *page, unsigned index, uint64_t now)
{
    if (hook->kind == ND_HOOK_COMMAND) {
        turn_command(at, hook, node, page, index, now);
        return at->count > 0;
    }
    if (at->fd < 0 && at->count && now >= at->next) {
        at->fd = hook->kind == ND_HOOK_FIFO ? open_fifo(hook->path) : open_socket(hook->path, &at->stream);
        if (at->fd < 0)
            at->next = now + AGAIN_NS;
    }
    if (at->fd >= 0)
        write_lines(at, hook->kind == ND_HOOK_SOCKET, page, index, now);
    return at->count > 0;
}
