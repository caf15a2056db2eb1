/* SPDX-License-Identifier: Apache-2.0 */
/* What an agent has done as root. See steward.h. */
#define _GNU_SOURCE /* close_range */
#include "fleet/steward.h"
#include "fleet/reader.h"
#include "fleet/stray.h"
#include "ftcore/base/clock.h"
#include "ftcore/base/durable.h"
#include "ftcore/base/event_log.h"
#include "ftcore/record/members.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define LOCK_NS 2000000000ull /* in which the steward of an agent that has ended ends */
#define UNIT_MS 30000         /* for systemctl */
#define SAYS    200u          /* bytes of a process's message about its failure */

struct request {
    uint32_t task;
    char shard[FL_NAME_MAX], text[FL_TOLD_MAX];
};

struct steward {
    const char *server; /* this one's name */
    struct fl_reader reader;
    uint64_t refused;
};

bool fl_read_whole(const char *path, char *out, size_t cap)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, out, cap) : -1;

    if (fd >= 0)
        close(fd);
    if (n < 0 || (size_t)n >= cap)
        return false;
    out[n] = '\0';
    return true;
}

/* ---- files -------------------------------------------------------------------------------------- */

static const char *path_of(char out[FL_PATH_MAX], const struct steward *s, const char *name,
                           const char *suffix)
{
    snprintf(out, FL_PATH_MAX, "%s/%s%s", s->reader.state, name, suffix);
    return out;
}

/* If it holds something else: a disk that is full keeps no node from being started. */
static int write_news(const char *path, const char *text, struct ft_fault *fault)
{
    size_t cap = strlen(text) + 2;
    char *old = malloc(cap);
    bool same = old && fl_read_whole(path, old, cap) && strcmp(old, text) == 0;

    free(old);
    return same ? 0 : ft_durable_write(path, 0644, text, strlen(text), fault);
}

/* Where the node's view file is to be. */
static int make_directory(const struct steward *s, const char *node, struct ft_fault *fault)
{
    char path[FL_PATH_MAX], room[4096];
    struct passwd user, *found = NULL;
    const char *name = s->reader.nodes_user;

    if (mkdir(path_of(path, s, node, ""), 0750) != 0 && errno != EEXIST)
        return ft_fail(fault, FT_EIO, "%s: %s", path, strerror(errno));
    if (!name[0])
        return 0;
    int fd = open(path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC); /* it may be unreadable by now */
    bool given = fd >= 0 && getpwnam_r(name, &user, room, sizeof(room), &found) == 0 && found &&
                 fchownat(fd, "", found->pw_uid, found->pw_gid, AT_EMPTY_PATH) == 0;

    if (fd >= 0)
        close(fd);
    return given ? 0 : ft_fail(fault, FT_EIO, "%s cannot be given to user %s", path, name);
}

/* The node's pair file, and which one the unit is to read. */
static int write_pair(struct steward *s, const char *shard, const char *node, const char *servers,
                      struct ft_fault *fault)
{
    char pair[FL_PATH_MAX], setting[FL_PATH_MAX], line[FL_PATH_MAX + 16], *text = NULL;
    int error = fl_reader_ask(&s->reader, shard, servers, &text, fault);

    path_of(pair, s, node, ".yaml");
    if (!error && servers[0])
        error = write_news(pair, text, fault);
    free(text);
    snprintf(line, sizeof(line), "PAIR=%s\n", pair);
    if (!error)
        error = make_directory(s, node, fault);
    return error ? error : write_news(path_of(setting, s, node, ".env"), line, fault);
}

/* ---- other processes ---------------------------------------------------------------------------- */

/* Has `work` done by a process of its own. Its exit code, and what it wrote to its descriptor; -1: it does
 * not end within `ms`, and may be another user's, which this one cannot end. */
static int in_a_process(void (*work)(const struct steward *s, int fd, const char *verb, const char *node),
                        const struct steward *s, const char *verb, const char *node, int ms, char says[SAYS])
{
    int ends[2], status = -1;

    memset(says, 0, SAYS);
    if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
        return -1;
    pid_t pid = fork();

    if (pid == 0) {
        signal(SIGTERM, SIG_DFL);
        signal(SIGINT, SIG_DFL);
        dup2(ends[1], STDERR_FILENO + 1);
        close_range(STDERR_FILENO + 2, ~0u, 0); /* the agent's end, and the reader's, among them */
        work(s, STDERR_FILENO + 1, verb, node);
        _exit(127);
    }
    struct pollfd end = {.fd = pid > 0 ? (int)syscall(SYS_pidfd_open, pid, 0) : -1, .events = POLLIN};

    close(ends[1]);
    if (end.fd >= 0 && poll(&end, 1, ms) > 0 && waitpid(pid, &status, 0) == pid &&
        read(ends[0], says, SAYS - 1) < 0)
        says[0] = '\0';
    if (end.fd >= 0)
        close(end.fd);
    close(ends[0]);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void be_systemctl(const struct steward *s, int fd, const char *verb, const char *node)
{
    char unit[FL_NAME_MAX + 16];

    (void)s;
    snprintf(unit, sizeof(unit), "understudy@%s", node);
    dup2(open("/dev/null", O_RDWR | O_CLOEXEC), STDIN_FILENO);
    close(fd);
    execlp("systemctl", "systemctl", "--no-block", verb, unit, (char *)NULL);
}

static int run_systemctl(const struct steward *s, const char *verb, const char *node, struct ft_fault *fault)
{
    char says[SAYS];
    int code = in_a_process(be_systemctl, s, verb, node, UNIT_MS, says);

    return code == 0 ? 0
                     : ft_fail(fault, FT_EIO, "systemctl failed for understudy@%s, with %d%s", node, code,
                               code == 127 ? ": no systemctl is in PATH" : "");
}

/* As the nodes' user, whose password of etcd and whose files these are. */
static void be_end(const struct steward *s, int fd, const char *server, const char *node)
{
    struct ft_fault fault = {""};
    int error = fl_confine(s->reader.nodes_user, &fault);

    if (!error)
        error = fl_stray_end(s->reader.state, node, server, &fault);
    if (error)
        dprintf(fd, "%s", fault.text);
    _exit(error ? 1 : 0);
}

static int end_node(const struct steward *s, const char *shard, const char *node, struct ft_fault *fault)
{
    static const char *const of_node[] = {"", ".yaml", ".env"};
    char path[FL_PATH_MAX], says[SAYS];

    if (in_a_process(be_end, s, s->server, node, FL_STRAY_END_MS + 1000, says) != 0)
        return ft_fail(fault, FT_EIO, "%s", says[0] ? says : "its key of the arbiter is not deleted in time");
    for (size_t i = 0; i < sizeof(of_node) / sizeof(of_node[0]); i++)
        if (remove(path_of(path, s, node, of_node[i])) != 0 && errno != ENOENT)
            return ft_fail(fault, FT_EIO, "%s: %s", path, strerror(errno));
    if (unlink(path_of(path, s, shard, ".told")) != 0 && errno != ENOENT)
        return ft_fail(fault, FT_EIO, "%s: %s", path, strerror(errno));
    return 0;
}

/* ---- what it is asked --------------------------------------------------------------------------- */

/* No agent of ours asks so. */
static int refuse(struct steward *s, const char *why, struct ft_fault *fault)
{
    ft_log_event(FT_LEVEL_WARNING, FT_SAYS_FLEET,
                 "the steward refuses what the agent asks, %lu times so far: %s", ++s->refused, why);
    return ft_fail(fault, FT_EPERM, "refused: %s", why);
}

/* What is asked for may be asked for of that shard. FT_EPERM: it may not; FT_EIO. */
static int judge(struct steward *s, const struct request *r, struct ft_fault *fault)
{
    struct ft_fault why = {""};

    if (r->task <= FL_TASK_NONE || r->task >= FL_TASKS)
        return refuse(s, "there is no such task", fault);
    if (!ft_is_name(r->shard, FL_NAME_MAX) || strchr(r->shard, '-') ||
        strlen(r->shard) + 1 + strlen(s->server) >= FL_NAME_MAX)
        return refuse(s, "that is no shard's name", fault);
    if (r->task == FL_TASK_STOP)
        return 0;
    int error = fl_reader_find(&s->reader, r->shard, &why);
    bool ends = r->task == FL_TASK_END;

    if (error && error != FT_ENOENT)
        return ft_fail(fault, FT_EIO, "%s", why.text);
    if (ends != (error == FT_ENOENT))
        return refuse(s, ends ? "the shard is in the file" : why.text, fault);
    return 0;
}

static int do_task(struct steward *s, const struct request *r, struct ft_fault *fault)
{
    char node[FL_NAME_MAX], path[FL_PATH_MAX];
    struct ft_fault why = {""};
    int error = judge(s, r, fault);

    if (error)
        return error;
    snprintf(node, sizeof(node), "%s-%s", r->shard, s->server);
    switch (r->task) {
    case FL_TASK_START:
        return run_systemctl(s, "start", node, fault);
    case FL_TASK_RESTART:
        return run_systemctl(s, "restart", node, fault);
    case FL_TASK_STOP:
        return run_systemctl(s, "stop", node, fault);
    case FL_TASK_PAIR:
        error = write_pair(s, r->shard, node, r->text, &why);
        return error == FT_EINVAL ? refuse(s, why.text, fault)
               : error            ? ft_fail(fault, error, "%s", why.text)
                                  : 0;
    case FL_TASK_TOLD:
        path_of(path, s, r->shard, ".told");
        return ft_durable_write(path, 0644, r->text, strlen(r->text), fault);
    default:
        return end_node(s, r->shard, node, fault);
    }
}

static bool send_done(int agent, const struct request *r, int error, const struct ft_fault *fault)
{
    struct fl_done done = {.task = r->task, .error = error};

    memcpy(done.shard, r->shard, sizeof(done.shard));
    snprintf(done.text, sizeof(done.text), "%s", error ? fault->text : "");
    return send(agent, &done, sizeof(done), MSG_NOSIGNAL) == sizeof(done);
}

/* Two agents would start and stop the same nodes. Who can open the file can hold it. */
static int take_lock(const struct steward *s, struct ft_fault *fault)
{
    char path[FL_PATH_MAX];
    uint64_t until = ft_now() + LOCK_NS;

    if (mkdir(s->reader.state, 0755) != 0 && errno != EEXIST)
        return ft_fail(fault, FT_EIO, "%s: %s", s->reader.state, strerror(errno));
    int fd = open(path_of(path, s, "agent", ".lock"), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd < 0)
        return ft_fail(fault, FT_EIO, "%s: %s", path, strerror(errno));
    while (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (ft_now() >= until) {
            close(fd);
            return ft_fail(fault, FT_EBUSY, "%s is locked: another agent of this server runs", path);
        }
        usleep(10000);
    }
    return 0; /* and holds it as long as it lives */
}

/* Until the agent has ended. */
static void be_steward(int agent, const struct fl_steward_config *c)
{
    struct steward s = {.server = c->server};
    struct request r = {.task = FL_TASK_NONE};
    struct ft_fault fault = {""};

    prctl(PR_SET_NAME, "steward");
    signal(SIGTERM, SIG_IGN); /* it ends with the agent, which gets the same signal */
    signal(SIGINT, SIG_IGN);
    int error = fl_reader_start(&s.reader, c->file, c->server, c->user, &fault);

    if (!error)
        error = take_lock(&s, &fault);
    for (bool goes_on = send_done(agent, &r, error, &fault) && !error; goes_on;) {
        memset(&r, 0, sizeof(r));
        goes_on = recv(agent, &r, sizeof(r), 0) > 0;
        r.shard[sizeof(r.shard) - 1] = r.text[sizeof(r.text) - 1] = '\0';
        if (goes_on) {
            error = do_task(&s, &r, &fault);
            goes_on = send_done(agent, &r, error, &fault) && s.reader.fd >= 0;
        }
        while (waitpid(-1, NULL, WNOHANG) > 0) /* what took too long */
            ;
    }
}

/* ---- the agent's end ---------------------------------------------------------------------------- */

int fl_steward_start(int *fd, const struct fl_steward_config *config, struct ft_fault *fault)
{
    int ends[2];

    *fd = -1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return ft_fail(fault, FT_EIO, "the steward: %s", strerror(errno));
    pid_t pid = fork();

    if (pid == 0) {
        close(ends[0]);
        be_steward(ends[1], config);
        _exit(0);
    }
    close(ends[1]);
    if (pid < 0) {
        close(ends[0]);
        return ft_fail(fault, FT_EIO, "the steward: %s", strerror(errno));
    }
    *fd = ends[0];
    return 0;
}

bool fl_steward_ask(int fd, enum fl_task task, const char *shard, const char *text)
{
    struct request r = {.task = task};

    snprintf(r.shard, sizeof(r.shard), "%s", shard);
    snprintf(r.text, sizeof(r.text), "%s", text);
    size_t len = offsetof(struct request, text) + strlen(r.text) + 1;

    return send(fd, &r, len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)len;
}

int fl_steward_receive(int fd, struct fl_done *done, int ms)
{
    struct pollfd said = {.fd = fd, .events = POLLIN};

    if (poll(&said, 1, ms) <= 0)
        return 0;
    if (recv(fd, done, sizeof(*done), MSG_DONTWAIT) != sizeof(*done))
        return -1;
    done->shard[sizeof(done->shard) - 1] = done->text[sizeof(done->text) - 1] = '\0';
    return 1;
}
