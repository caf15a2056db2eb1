/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A redis-server of our own: found a port, started, waited for, ended. It keeps nothing on disk and listens
 * on the loopback alone; everything else is as Debian ships it.
 */
#include "node/base/clock.h"
#include "tools/redis/redis.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <hiredis/hiredis.h>

#define READY_NS 10000000000ull
#define END_NS   5000000000ull
#define SLEEP_NS 2000000

/* A port that nobody has at this moment; 0: none. Should somebody take it before the server does, the server
 * ends, and says so. */
static uint16_t free_port(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool found = fd >= 0 && bind(fd, (struct sockaddr *)&at, sizeof(at)) == 0 &&
                 getsockname(fd, (struct sockaddr *)&at, &len) == 0;

    if (fd >= 0)
        close(fd);
    return found ? ntohs(at.sin_port) : 0;
}

/* In the child. `parent`: it may be gone by now. */
static void become_server(uint16_t port, pid_t parent)
{
    char text[8];
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    sigset_t none;

    snprintf(text, sizeof(text), "%u", port);
    setpgid(0, 0); /* a terminal's interrupt is ours, not the server's */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent || null < 0 || dup2(null, 0) < 0 ||
        dup2(null, 1) < 0 || dup2(null, 2) < 0 || chdir("/") != 0)
        _exit(126);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    execlp("redis-server", "redis-server", "--port", text, "--bind", "127.0.0.1", "--daemonize", "no",
           "--save", "", "--appendonly", "no", "--logfile", "/dev/null", (char *)NULL);
    _exit(errno == ENOENT ? 127 : 126);
}

/* Answers a PING; one that is still loading does not. */
static bool port_answers(uint16_t port)
{
    const struct timeval patience = {.tv_usec = 200000};
    redisContext *c = redisConnectWithTimeout("127.0.0.1", port, patience);
    bool ready = c && !c->err && redisSetTimeout(c, patience) == REDIS_OK;
    redisReply *reply = ready ? redisCommand(c, "PING") : NULL;

    ready = reply && reply->type == REDIS_REPLY_STATUS;
    freeReplyObject(reply);
    redisFree(c);
    return ready;
}

static int wait_ready(struct nd_redis_server *server, struct ft_fault *fault)
{
    uint64_t until = nd_now() + READY_NS;
    int status;

    while (nd_now() < until) {
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
        nanosleep(&(struct timespec){.tv_nsec = SLEEP_NS}, NULL);
    }
    return ft_fail(fault, FT_EIO, "redis-server on port %u is not ready after %llu s", server->port,
                   READY_NS / 1000000000ull);
}

int nd_redis_server_start(struct nd_redis_server *server, struct ft_fault *fault)
{
    pid_t parent = getpid(), child;

    *server = (struct nd_redis_server){.port = free_port()};
    if (!server->port)
        return ft_fail(fault, FT_EIO, "no free port on 127.0.0.1: %s", strerror(errno));
    child = fork();
    if (child < 0)
        return ft_fail(fault, FT_EIO, "fork: %s", strerror(errno));
    if (child == 0)
        become_server(server->port, parent);
    server->pid = child;
    snprintf(server->settings, sizeof(server->settings),
             "redis-server --port %u --bind 127.0.0.1 --save \"\" --appendonly no, else as by default",
             server->port);
    int error = wait_ready(server, fault);
    if (error < 0)
        nd_redis_server_stop(server);
    return error;
}

/* It has nothing to save: asked first, then killed. */
void nd_redis_server_stop(struct nd_redis_server *server)
{
    uint64_t until = nd_now() + END_NS;
    bool gone = server->pid <= 0 || kill(server->pid, SIGTERM) != 0;

    for (; !gone && nd_now() < until; nanosleep(&(struct timespec){.tv_nsec = SLEEP_NS}, NULL))
        gone = waitpid(server->pid, NULL, WNOHANG) != 0;
    if (!gone) {
        kill(server->pid, SIGKILL);
        waitpid(server->pid, NULL, 0);
    }
    server->pid = 0;
}
