/* SPDX-License-Identifier: Apache-2.0 */
/* A connection to Redis, and a server of our own: it keeps nothing on disk and listens on the loopback alone;
 * everything else is as Debian ships it. See redis/wire.h. */
#include "tests/bench/wire.h"
#include "ftcore/base/check.h"
#include "ftcore/base/clock.h"
#include "understudy/base/given.h"
#include "understudy/pair/child.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define HOST      "127.0.0.1"
#define OUT_ROOM  (4u << 20)
#define IN_ROOM   (128u << 10)
#define PATIENCE  5   /* seconds without an answer */
#define SPINS     256 /* looks at the socket before sleeping on it: some tens of microseconds */
#define HEAD_ROOM 32u /* of an argument, or of a command */

/* Remembers the first reason. */
static __attribute__((format(printf, 2, 3))) void lose_connection(struct nd_wire *w, const char *fmt, ...)
{
    va_list args;
    int n;

    if (nd_wire_lost(w))
        return;
    n = snprintf(w->why, sizeof(w->why), "redis %s: ", w->name);
    va_start(args, fmt);
    vsnprintf(w->why + n, sizeof(w->why) - (size_t)n, fmt, args);
    va_end(args);
    atomic_store_explicit(&w->lost, true, memory_order_release);
}

/* ---- answers: hiredis calls these for each ----------------------------------------------------- */

static const char *const wanted[] = {"OK", "a number", "the number that the region has",
                                     "what the region has", "no such key"};

/* True when the next answer is to be of this kind; it is used up. */
static bool take_want(struct nd_wire *w, enum nd_want kind, struct nd_wire_want *want)
{
    *want = w->wants[w->answered % ND_WIRE_WANTS];
    if (w->answered == w->issued) {
        lose_connection(w, "an answer to nothing");
        return false;
    }
    w->answered++;
    if (want->kind == kind || (kind == ND_WANT_NUMBER && want->kind == ND_WANT_THIS_NUMBER))
        return true;
    lose_connection(w, "command %" PRIu64 ": expected %s, got %s", w->answered, wanted[want->kind],
                    kind == ND_WANT_BYTES ? "other bytes" : wanted[kind]);
    return false;
}

static void *on_string(const redisReadTask *task, char *text, size_t len)
{
    struct nd_wire *w = task->privdata;
    struct nd_wire_want want;

    if (task->type == REDIS_REPLY_ERROR)
        lose_connection(w, "%.*s", (int)(len < 150 ? len : 150), text);
    else if (task->type == REDIS_REPLY_STATUS)
        take_want(w, ND_WANT_STATUS, &want);
    else if (take_want(w, ND_WANT_BYTES, &want) && XXH3_64bits(text, len) != want.value)
        lose_connection(w, "command %" PRIu64 ": expected what the region has, got other bytes", w->answered);
    return w;
}

static void *on_number(const redisReadTask *task, long long number)
{
    struct nd_wire *w = task->privdata;
    struct nd_wire_want want;

    if (take_want(w, ND_WANT_NUMBER, &want) && want.kind == ND_WANT_THIS_NUMBER &&
        (uint64_t)number != want.value)
        lose_connection(w, "command %" PRIu64 ": expected %" PRIu64 " as the region has, got %" PRIu64,
                        w->answered, want.value, (uint64_t)number);
    return w;
}

static void *on_nil(const redisReadTask *task)
{
    struct nd_wire_want want;

    take_want(task->privdata, ND_WANT_NIL, &want);
    return task->privdata;
}

static redisReplyObjectFunctions on_answer = {
    .createString = on_string, .createInteger = on_number, .createNil = on_nil};

static void parse_answers(struct nd_wire *w, const char *bytes, size_t len)
{
    void *answer;

    if (redisReaderFeed(w->reader, bytes, len) != REDIS_OK)
        lose_connection(w, "%s", w->reader->errstr);
    do {
        answer = NULL;
        if (redisReaderGetReply(w->reader, &answer) != REDIS_OK)
            lose_connection(w, "%s", w->reader->errstr);
    } while (answer && !nd_wire_lost(w));
}

/* False: nothing was there. */
static bool receive_answers(struct nd_wire *w, int flags)
{
    static _Thread_local char in[IN_ROOM];
    ssize_t n = recv(w->context->fd, in, sizeof(in), flags);

    if (n > 0) {
        parse_answers(w, in, (size_t)n);
        return true;
    }
    if (n == 0)
        lose_connection(w, "the server closed the connection");
    else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR)
        lose_connection(w, "%s", strerror(errno));
    else if (!(flags & MSG_DONTWAIT) && errno != EINTR)
        lose_connection(w, "no answer for %d s", PATIENCE);
    return false;
}

void nd_wire_await(struct nd_wire *w, uint64_t count)
{
    unsigned looks = 0;

    if (w->answered >= count) {
        while (w->answered < w->issued && !nd_wire_lost(w) && receive_answers(w, MSG_DONTWAIT))
            ;
        return;
    }
    w->counts.waits++;
    while (w->answered < count && !nd_wire_lost(w))
        if (receive_answers(w, looks < SPINS ? MSG_DONTWAIT : 0))
            looks = 0;
        else
            looks++;
}

/* ---- commands ---------------------------------------------------------------------------------- */

void nd_wire_write(struct nd_wire *w)
{
    uint32_t sent = 0;

    if (!w->unsent)
        return;
    while (sent < w->out_len && !nd_wire_lost(w)) {
        ssize_t n = send(w->context->fd, w->out + sent, w->out_len - sent, MSG_NOSIGNAL);

        if (n > 0)
            sent += (uint32_t)n;
        else if (n < 0 && errno != EINTR)
            lose_connection(w, errno == EAGAIN ? "takes no command for %d s" : "the connection is lost",
                            PATIENCE);
    }
    w->counts.batches++;
    w->out_len = 0;
    w->unsent = 0;
}

static void put_number(struct nd_wire *w, char kind, uint32_t n)
{
    char text[28] = {[12] = '\r', [13] = '\n'}; /* what is copied has one length: no call */
    uint32_t at = 12;

    do
        text[--at] = (char)('0' + n % 10);
    while (n /= 10);
    text[--at] = kind;
    memcpy(w->out + w->out_len, text + at, 14);
    w->out_len += 14 - at;
}

void nd_wire_command(struct nd_wire *w, const struct nd_wire_arg args[], uint32_t count, enum nd_want want,
                     uint64_t value)
{
    size_t need = (count + 1) * HEAD_ROOM;

    for (uint32_t i = 0; i < count; i++)
        need += args[i].len;
    FT_CHECK(need <= OUT_ROOM, "a command of %zu bytes", need);
    if (w->issued - w->answered == ND_WIRE_WANTS) {
        nd_wire_write(w);
        nd_wire_await(w, w->issued - ND_WIRE_WANTS / 2);
    }
    if (w->out_len + need > OUT_ROOM)
        nd_wire_write(w);
    put_number(w, '*', count);
    for (uint32_t i = 0; i < count; i++) {
        put_number(w, '$', args[i].len);
        memcpy(w->out + w->out_len, args[i].data, args[i].len);
        memcpy(w->out + w->out_len + args[i].len, "\r\n", 2);
        w->out_len += args[i].len + 2;
    }
    w->wants[w->issued++ % ND_WIRE_WANTS] = (struct nd_wire_want){.value = value, .kind = (uint8_t)want};
    w->unsent++;
}

/* ---- opening ----------------------------------------------------------------------------------- */

int nd_wire_open(struct nd_wire *w, uint16_t port, struct ft_fault *fault)
{
    struct timeval patience = {.tv_sec = PATIENCE};

    memset(w, 0, sizeof(*w));
    snprintf(w->name, sizeof(w->name), HOST ":%u", port);
    w->context = redisConnectWithTimeout(HOST, port, patience);
    if (!w->context || w->context->err)
        return ft_fail(fault, FT_ENOENT, "redis %s: %s, expected a server there", w->name,
                       w->context ? w->context->errstr : "no memory");
    if (redisSetTimeout(w->context, patience) != REDIS_OK || redisEnableKeepAlive(w->context) != REDIS_OK)
        return ft_fail(fault, FT_EIO, "redis %s: %s", w->name, w->context->errstr);
    w->reader = redisReaderCreateWithFunctions(&on_answer);
    w->out = malloc(OUT_ROOM);
    w->wants = calloc(ND_WIRE_WANTS, sizeof(*w->wants));
    if (!w->reader || !w->out || !w->wants)
        return ft_fail(fault, FT_ENOMEM, "redis %s: no memory for its buffers", w->name);
    w->reader->privdata = w;
    w->reader->maxbuf = 0; /* keeps its buffer, however large it was once */
    return FT_OK;
}

void nd_wire_close(struct nd_wire *w)
{
    if (w->reader)
        redisReaderFree(w->reader);
    if (w->context)
        redisFree(w->context);
    free(w->out);
    free(w->wants);
}

/* ==== a server ========================================================================================= */

#define READY_NS 10000000000ull
#define SLEEP_NS 2000000u

/* In the child. Should somebody take the port before the server does, the server ends, and says so. */
static void become_server(uint16_t port)
{
    char text[8];
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    sigset_t none;

    snprintf(text, sizeof(text), "%u", port);
    setpgid(0, 0); /* a terminal's interrupt is ours, not the server's */
    if (null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0 || chdir("/") != 0)
        _exit(126);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    execlp("redis-server", "redis-server", "--port", text, "--bind", HOST, "--daemonize", "no", "--save", "",
           "--appendonly", "no", "--logfile", "/dev/null", (char *)NULL);
    _exit(errno == ENOENT ? 127 : 126);
}

/* Answers a PING; one that is still loading does not. */
static bool port_answers(uint16_t port)
{
    const struct timeval patience = {.tv_usec = 200000};
    redisContext *c = redisConnectWithTimeout(HOST, port, patience);
    bool ready = c && !c->err && redisSetTimeout(c, patience) == REDIS_OK;
    redisReply *reply = ready ? redisCommand(c, "PING") : NULL;

    ready = reply && reply->type == REDIS_REPLY_STATUS;
    freeReplyObject(reply);
    redisFree(c);
    return ready;
}

static int wait_ready(struct nd_redis_server *server, struct ft_fault *fault)
{
    struct nd_given given = {0};
    int status;

    while (nd_given_look(&given, (pid_t[]){getpid(), server->pid}, 2) < READY_NS) {
        if (waitpid(server->pid, &status, WNOHANG) == server->pid) {
            bool exited = WIFEXITED(status);

            server->pid = 0;
            if (exited && WEXITSTATUS(status) == 127)
                return ft_fail(fault, FT_ENOENT,
                               "redis-server is not installed, expected Debian's redis-server");
            return ft_fail(fault, FT_EIO, "redis-server on port %u ended at once (%s %d)", server->port,
                           exited ? "exit" : "signal", exited ? WEXITSTATUS(status) : WTERMSIG(status));
        }
        if (port_answers(server->port))
            return FT_OK;
        nd_sleep(SLEEP_NS);
    }
    return ft_fail(fault, FT_EIO, "redis-server on port %u is not ready after %llu s", server->port,
                   READY_NS / 1000000000ull);
}

int nd_redis_server_start(struct nd_redis_server *server, struct ft_fault *fault)
{
    *server = (struct nd_redis_server){.pid = 0};
    if (nd_free_port(HOST, &server->port) != 0)
        return ft_fail(fault, FT_EIO, "no free port on 127.0.0.1");
    server->pid = nd_child();
    if (server->pid < 0)
        return ft_fail(fault, FT_EIO, "fork: %s", strerror(errno));
    if (server->pid == 0)
        become_server(server->port);
    snprintf(server->settings, sizeof(server->settings),
             "redis-server --port %u --bind 127.0.0.1 --save \"\" --appendonly no, else as by default",
             server->port);
    int error = wait_ready(server, fault);
    if (error < 0)
        nd_redis_server_stop(server);
    return error;
}

void nd_redis_server_stop(struct nd_redis_server *server)
{
    nd_child_kill(&server->pid); /* it has nothing to save */
}
