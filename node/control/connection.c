/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One client of a control socket; see connection.h. Trickled bytes do not move a deadline: it is set when the
 * connection begins, when an answer has been written, and when an answer is there to be written.
 */
#define _GNU_SOURCE
#include "node/control/connection.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void nd_connection_open(struct nd_connection *c, int fd, bool owner, const char *acts_at, uint64_t now)
{
    *c = (struct nd_connection){
        .fd = fd, .owner = owner, .acts_at = acts_at, .stage = ND_LISTENS, .deadline = now + ND_CLIENT_NS};
}

void nd_connection_close(struct nd_connection *c)
{
    close(c->fd);
    free(c->out);
    json_decref(c->request);
    *c = (struct nd_connection){.fd = -1};
}

bool nd_connection_ready(const struct nd_connection *c)
{
    return c->stage == ND_LISTENS && memchr(c->in, '\n', c->len);
}

/* ---- the request ------------------------------------------------------------------------------- */

/* False: the connection is broken. */
static bool take_bytes(struct nd_connection *c)
{
    ssize_t n;

    if (c->ended || c->len == sizeof(c->in))
        return true;
    n = recv(c->fd, c->in + c->len, sizeof(c->in) - c->len, 0);
    if (n > 0)
        c->len += (size_t)n;
    else if (n == 0)
        c->ended = true;
    else
        return errno == EAGAIN || errno == EINTR;
    return true;
}

/* What is refused before anybody works on it; NULL: nothing. */
static json_t *find_refusal(const struct nd_connection *c, const char *name, int command)
{
    if (!json_is_object(c->request))
        return nd_refuse("malformed", "the request is no JSON object%s", c->request ? "" : " on one line");
    if (!name)
        return nd_refuse("invalid", "the request names no cmd");
    if (command < 0)
        return nd_refuse("not found", "unknown cmd '%.40s'", name);
    if (c->acts_at && nd_commands[command].acts)
        return nd_refuse("no permission", "%s acts: this socket only answers questions, %s acts", name,
                         c->acts_at);
    return NULL;
}

/* The answer becomes text. False: there is no answer, or no memory. */
static bool begin_writing(struct nd_connection *c, json_t *answer, uint64_t now)
{
    char *text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
    size_t len = text ? strlen(text) : 0;

    json_decref(answer);
    if (len >= ND_ANSWER_MAX) {
        free(text);
        answer = nd_refuse("too large", "an answer of %zu bytes, expected less than %u", len, ND_ANSWER_MAX);
        text = answer ? json_dumps(answer, JSON_COMPACT) : NULL;
        len = text ? strlen(text) : 0;
        json_decref(answer);
    }
    json_decref(c->request);
    c->request = NULL;
    c->out = text;
    if (!text)
        return false;
    text[len] = '\n'; /* in the place of the text's end */
    c->size = len + 1;
    c->sent = 0;
    c->stage = ND_WRITES;
    c->deadline = now + ND_CLIENT_NS;
    return true;
}

static bool take_request(struct nd_connection *c, uint64_t now)
{
    size_t line;
    const char *name, *end;
    json_t *refusal;
    int command;

    if (!nd_connection_ready(c) && !take_bytes(c))
        return false;
    end = memchr(c->in, '\n', c->len);
    if (!end)
        return !c->ended && c->len < sizeof(c->in) && now < c->deadline;
    line = (size_t)(end - c->in);
    c->request = json_loadb(c->in, line, JSON_REJECT_DUPLICATES, &(json_error_t){0});
    memmove(c->in, end + 1, c->len - line - 1);
    c->len -= line + 1;
    name = json_string_value(json_object_get(c->request, "cmd"));
    command = name ? nd_command_find(name) : -1;
    refusal = find_refusal(c, name, command);
    if (refusal)
        return begin_writing(c, refusal, now);
    c->exchange = (struct nd_exchange){
        .request = c->request, .command = (enum nd_command)command, .looks = c->acts_at != NULL};
    c->stage = ND_WORKS;
    return true;
}

/* ---- the answer -------------------------------------------------------------------------------- */

static bool has_gone(const struct nd_connection *c)
{
    struct pollfd p = {.fd = c->fd};

    return poll(&p, 1, 0) > 0;
}

static bool step_answer(struct nd_connection *c, uint64_t now, nd_answer_fn *answer, void *arg)
{
    if (answer(arg, &c->exchange))
        return begin_writing(c, c->exchange.answer, now);
    return c->exchange.begun || !has_gone(c);
}

static bool write_answer(struct nd_connection *c, uint64_t now)
{
    while (c->sent < c->size) {
        ssize_t n = send(c->fd, c->out + c->sent, c->size - c->sent, MSG_NOSIGNAL | MSG_DONTWAIT);

        if (n < 0 && errno != EINTR)
            return errno == EAGAIN && now < c->deadline;
        c->sent += n > 0 ? (size_t)n : 0;
    }
    free(c->out);
    c->out = NULL;
    c->stage = ND_LISTENS;
    c->deadline = now + ND_CLIENT_NS;
    return true;
}

bool nd_connection_serve(struct nd_connection *c, uint64_t now, nd_answer_fn *answer, void *arg)
{
    if (c->stage == ND_LISTENS && !take_request(c, now))
        return false;
    if (c->stage == ND_WORKS && !step_answer(c, now, answer, arg))
        return false;
    return c->stage != ND_WRITES || write_answer(c, now);
}
