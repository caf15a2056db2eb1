/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The runner's process and what the node sees of it; see runner.h. It looks at tracked interfaces, routes and
 * scripts, and at sessions of FRR by its shell; runs programs, each in a session of its own, with no file but
 * its input and output and without a capability; and delivers events to hooks, in order, one line of JSON
 * each: to a command's standard input, one run an event and never two at once; to a FIFO; to a unix socket,
 * of datagrams or a stream. A hook has a queue of ND_HOOK_QUEUE lines; what finds it full is lost, counted,
 * and reported by a line in its place as soon as there is room.
 */
#define _GNU_SOURCE /* close_range */
#include "understudy/track/runner.h"
#include "understudy/track/rules.h"
#include "understudy/base/interface.h"
#include "ftcore/base/event_log.h"
#include "ftcore/base/trust.h"
#include "ftcore/base/clock.h"
#include "understudy/base/event_writer.h"
#include "understudy/base/process.h"

#include <errno.h>
#include <limits.h>
#include <fcntl.h>
#include <jansson.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ND_HOOK_QUEUE 256u  /* events of a hook that wait */
#define ND_HOOK_LINE  4096u /* bytes of one, with its line end: a FIFO takes them whole (PIPE_BUF) */

/* What a look at a tracked thing found. */
enum nd_finding {
    ND_FOUND_NOTHING, /* there was no look yet */
    ND_FOUND_GOOD,
    ND_FOUND_NO_INTERFACE,
    ND_FOUND_NO_CARRIER,
    ND_FOUND_NO_ROUTE,
    ND_FOUND_EXIT,   /* `number`: with what */
    ND_FOUND_SIGNAL, /* `number`: which */
    ND_FOUND_LATE,   /* `number`: ms that it was given */
    ND_FOUND_ERROR,  /* `number`: errno */
    ND_FOUND_DISBELIEVED,
    ND_FOUND_NO_SESSION,
    ND_FOUND_DENIED,
    ND_FINDINGS
};

/* What the feed carries: an event for hooks. */
struct nd_feed {
    uint64_t missed[ND_HOOKS_MAX]; /* events that found no room in the feed before this one, ever */
    uint32_t event;                /* enum ft_event_name */
    char line[ND_HOOK_LINE];       /* as much of it as there is */
};

/* Shared with the node. The runner writes and the node reads, but for `missed`, which the node writes. */
struct nd_runner_page {
    _Atomic uint64_t turn;
    struct nd_check_told {
        _Atomic bool failed;
        _Atomic uint32_t finding; /* enum nd_finding */
        _Atomic int32_t number;
    } check[ND_TRACKED_MAX];
    struct nd_hook_told {
        _Atomic uint64_t delivered, missed, dropped;
        _Atomic uint32_t waiting;
        _Atomic bool disbelieved; /* its command, when it was to be run last */
    } hook[ND_HOOKS_MAX];
};

/* A program that runs, or ran. */
struct nd_program {
    pid_t pid;      /* 0: none */
    uint64_t began; /* ns */
    bool killed;
};

struct nd_check {
    const struct nd_track *track;
    struct nd_check_told *told;
    struct nd_tracked tracked;
    struct nd_program child;
    uint64_t due; /* ns: the next look */
    int output;   /* of FRR's shell; -1: none is read */
};

struct nd_hook_at {
    const struct nd_hook *hook;
    struct nd_hook_told *told;
    struct nd_program child;
    int fd;        /* of a FIFO or socket; -1: not open */
    bool stream;   /* it is a stream socket */
    uint64_t next; /* ns: not to be opened again before */
    char *line[ND_HOOK_QUEUE];
    unsigned first, count;
    size_t sent;   /* bytes of the first line that a stream has taken */
    uint64_t lost; /* that its lines report */
};

/* ---- programs -------------------------------------------------------------------------------- */

static _Noreturn void become_program(char *const args[], const char *node, int input, int output)
{
    char name[64], whole[PATH_MAX];
    char *const environment[] = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", name,
                                 NULL};
    sigset_t none;

    snprintf(name, sizeof(name), "UNDERSTUDY_NODE=%s", node);
    setsid();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (input >= 0)
        dup2(input, 0);
    if (output >= 0)
        dup2(output, 1);
    /* In the directory that it was judged in, and then by a name that leads there from any. */
    if (realpath(args[0], whole) && chdir("/") == 0)
        execve(whole, args, environment);
    _exit(127);
}

#define DISBELIEVED (-1)

/* Who else could write to the program, or exchange it, would have this user run what he likes. Its name then
 * leads execve to the file that was judged. `user`: whose programs are believed beside the process's own and
 * root's; "": nobody's. 0, FT_EPERM with a line, or errno of what kept it from being judged; EACCES: nobody
 * may run it. */
static int judge_program(const char *path, const char *user, struct ft_fault *fault)
{
    struct ft_trust trust = {.expected = "a program", .unread = true};
    struct stat is;
    int fd, error;

    ft_trust_user(&trust, user);
    fd = ft_trust_open(path, &trust, fault);
    if (fd < 0)
        return errno ? errno : FT_EPERM;
    error = fstat(fd, &is) == 0 && !(is.st_mode & 0111) ? EACCES : 0;
    close(fd);
    return error;
}

/* One of `args` at a time, whose first one is its path. `input`, `output`: its standard ones, -1: /dev/null.
 * 0, errno, or DISBELIEVED. */
static int start_program(struct nd_program *program, char *const args[], const char *node, int input,
                         int output, uint64_t now)
{
    struct ft_fault fault;
    int error;

    if (access(args[0], X_OK) != 0)
        return errno;
    if ((error = judge_program(args[0], "", &fault)) != 0)
        return error == FT_EPERM ? DISBELIEVED : error;
    program->pid = fork();
    if (program->pid == 0)
        become_program(args, node, input, output);
    if (program->pid < 0) {
        program->pid = 0;
        return errno;
    }
    program->began = now;
    program->killed = false;
    return 0;
}

/* True once, when it has ended; *status as waitpid's. */
static bool has_ended(struct nd_program *program, int *status)
{
    if (!program->pid || waitpid(program->pid, status, WNOHANG) != program->pid)
        return false;
    kill(-program->pid, SIGKILL); /* what it left behind in its group */
    program->pid = 0;
    return true;
}

/* With its process group. */
static void kill_program(struct nd_program *program)
{
    if (program->pid && !program->killed) {
        kill(-program->pid, SIGKILL);
        kill(program->pid, SIGKILL); /* it may not have its group yet */
        program->killed = true;
    }
}

/* ---- the kernel's main table, by rtnetlink(7) ------------------------------------------------- */

#define TABLE_BYTES 65536 /* of an answer */

/* One of several next hops is enough. */
static bool is_alive(const struct rtmsg *route, const struct rtattr *hops)
{
    const struct rtnexthop *hop = hops ? RTA_DATA(hops) : NULL;
    int left = hops ? (int)RTA_PAYLOAD(hops) : 0;

    if (!hops)
        return !(route->rtm_flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN));
    for (; RTNH_OK(hop, left); left -= NLMSG_ALIGN(hop->rtnh_len), hop = RTNH_NEXT(hop))
        if (!(hop->rtnh_flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN)))
            return true;
    return false;
}

static bool is_route(const struct nlmsghdr *head, uint32_t addr, unsigned bits)
{
    const struct rtmsg *route = NLMSG_DATA(head);
    const struct rtattr *hops = NULL;
    int left = (int)RTM_PAYLOAD(head);
    uint32_t to = 0;

    if (head->nlmsg_type != RTM_NEWROUTE || route->rtm_dst_len != bits || route->rtm_type != RTN_UNICAST ||
        route->rtm_table != RT_TABLE_MAIN)
        return false;
    for (const struct rtattr *a = RTM_RTA(route); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
        if (a->rta_type == RTA_DST && RTA_PAYLOAD(a) == sizeof(to))
            memcpy(&to, RTA_DATA(a), sizeof(to));
        if (a->rta_type == RTA_MULTIPATH)
            hops = a;
    }
    return to == addr && is_alive(route, hops);
}

/* The kernel's main table has this IPv4 route, as it stands (network order), with a next hop that is
 * not dead. Reads the whole table; false also: it cannot be read. */
static bool is_route_there(uint32_t addr, uint32_t mask)
{
    const struct {
        struct nlmsghdr head;
        struct rtmsg route;
    } question = {.head = {.nlmsg_len = sizeof(question),
                           .nlmsg_type = RTM_GETROUTE,
                           .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
                  .route = {.rtm_family = AF_INET, .rtm_table = RT_TABLE_MAIN}};
    static _Alignas(struct nlmsghdr) char answer[TABLE_BYTES]; /* of the runner's one thread */
    unsigned bits = (unsigned)__builtin_popcount(mask);
    bool there = false, done = false;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

    if (fd < 0)
        return false;
    done = send(fd, &question, sizeof(question), 0) < 0;
    while (!done && !there) {
        ssize_t got =
            recv(fd, answer, sizeof(answer), 0); /* the kernel answers until it reports that it is done */
        unsigned left = got > 0 ? (unsigned)got : 0;

        done = left == 0;
        for (const struct nlmsghdr *h = (const struct nlmsghdr *)answer; NLMSG_OK(h, left) && !done;
             h = NLMSG_NEXT(h, left)) {
            done = h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR;
            there = there || is_route(h, addr, bits);
        }
    }
    close(fd);
    return there;
}

/* ---- looks ----------------------------------------------------------------------------------- */

static void note_finding(struct nd_check *check, enum nd_finding finding, int number)
{
    atomic_store(&check->told->finding, finding);
    atomic_store(&check->told->number, number);
    nd_tracked_note(&check->tracked, finding == ND_FOUND_GOOD);
    atomic_store(&check->told->failed, check->tracked.failed);
}

static enum nd_finding look_at_interface(const struct nd_track *track)
{
    struct nd_interface_now now;

    if (!nd_interface_named(track->what, &now))
        return ND_FOUND_NO_INTERFACE;
    return now.carrier ? ND_FOUND_GOOD : ND_FOUND_NO_CARRIER;
}

/* ---- sessions of FRR, by its shell ---------------------------------------------------------------- */

#define VTYSH "/usr/bin/vtysh"
/* That it may write: what a pipe may hold. With more it does not end in time. */
#define OUTPUT_BYTES (1 << 20)

static int start_vtysh(struct nd_check *check, const char *node, uint64_t now)
{
    bool bgp = check->track->kind == ND_TRACK_BGP;
    char command[128];
    char *const args[] = {VTYSH, "-d", bgp ? "bgpd" : "bfdd", "-c", command, NULL};
    int ends[2], error;

    if (bgp)
        snprintf(command, sizeof(command), "show bgp neighbors %.64s json", check->track->what);
    else
        snprintf(command, sizeof(command), "show bfd peers json");
    if (pipe2(ends, O_CLOEXEC) != 0)
        return errno;
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    fcntl(ends[0], F_SETPIPE_SZ, OUTPUT_BYTES);
    error = start_program(&check->child, args, node, -1, ends[1], now);
    close(ends[1]);
    if (error)
        close(ends[0]);
    else
        check->output = ends[0];
    return error;
}

/* The shell prints the same for a daemon's socket that may not be opened as for one that is not there. */
static bool is_denied(const struct nd_track *track)
{
    const char *path = track->kind == ND_TRACK_BGP ? "/run/frr/bgpd.vty" : "/run/frr/bfdd.vty";

    return track->kind != ND_TRACK_SCRIPT && faccessat(AT_FDCWD, path, W_OK, AT_EACCESS) != 0 &&
           errno == EACCES;
}

/* Whether the shell's output shows a session with the peer as up. */
static bool is_session_up(const struct nd_check *check)
{
    static char text[OUTPUT_BYTES]; /* of the runner's one thread */
    const char *peer = check->track->what;
    ssize_t len = read(check->output, text, sizeof(text));
    json_t *said = len > 0 ? json_loadb(text, (size_t)len, JSON_DISABLE_EOF_CHECK, NULL) : NULL, *session;
    const char *state, *of;
    bool up = false;
    size_t i;

    if (json_unpack(said, "{s:{s:s}}", peer, "bgpState", &state) == 0)
        up = strcmp(state, "Established") == 0;
    json_array_foreach(said, i, session)
    {
        const char *vrf = json_string_value(json_object_get(session, "vrf"));

        /* bfdd reports all VRFs. */
        if ((!vrf || strcmp(vrf, "default") == 0) &&
            json_unpack(session, "{s:s, s:s}", "peer", &of, "status", &state) == 0 && strcmp(of, peer) == 0)
            up = up || strcmp(state, "up") == 0;
    }
    json_decref(said);
    return up;
}

/* ---- programs that look ---------------------------------------------------------------------------- */

static int start_look(struct nd_check *check, const char *node, uint64_t now)
{
    char *const script[] = {(char *)(uintptr_t)check->track->what, NULL};

    if (check->track->kind == ND_TRACK_SCRIPT)
        return start_program(&check->child, script, node, -1, -1, now);
    return start_vtysh(check, node, now);
}

/* One that has not ended when its next run is due is killed, and was no good. */
static void turn_program(struct nd_check *check, const char *node, uint64_t now)
{
    const struct nd_track *track = check->track;
    bool killed = check->child.killed;
    int status, error;

    if (has_ended(&check->child, &status) && !killed) {
        if (WIFSIGNALED(status))
            note_finding(check, ND_FOUND_SIGNAL, WTERMSIG(status));
        else if (WEXITSTATUS(status))
            note_finding(check, is_denied(track) ? ND_FOUND_DENIED : ND_FOUND_EXIT, WEXITSTATUS(status));
        else if (check->output >= 0 && !is_session_up(check))
            note_finding(check, ND_FOUND_NO_SESSION, 0);
        else
            note_finding(check, ND_FOUND_GOOD, 0);
    }
    if (!check->child.pid) {
        if (check->output >= 0)
            close(check->output);
        check->output = -1;
    }
    if (now < check->due)
        return;
    check->due = now + track->every_ms * 1000000ull;
    if (check->child.pid) {
        kill_program(&check->child);
        note_finding(check, ND_FOUND_LATE, (int)track->every_ms);
        return;
    }
    error = start_look(check, node, now);
    if (error)
        note_finding(check, error == DISBELIEVED ? ND_FOUND_DISBELIEVED : ND_FOUND_ERROR, error);
}

static void turn_check(struct nd_check *check, const char *node, uint64_t now)
{
    const struct nd_track *track = check->track;

    if (track->kind >= ND_TRACK_SCRIPT) {
        turn_program(check, node, now);
        return;
    }
    if (track->kind == ND_TRACK_GATEWAY || now < check->due)
        return;
    check->due = now + track->every_ms * 1000000ull;
    note_finding(check,
                 track->kind == ND_TRACK_INTERFACE ? look_at_interface(track)
                 : is_route_there(nf_addr_ipv4(&track->route.addr), nf_net_mask_ipv4(&track->route))
                     ? ND_FOUND_GOOD
                     : ND_FOUND_NO_ROUTE,
                 0);
}

/* ---- hooks ----------------------------------------------------------------------------------- */

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
                 nd_wall_text(time, ft_wall()), node, lost, lost);

    push_line(at, line, (size_t)len);
}

/* `missed`: events before it that found no room in the feed, ever. */
static void add_event(struct nd_hook_at *at, const char *line, size_t len, uint64_t missed, const char *node)
{
    uint64_t lost = missed + atomic_load(&at->told->dropped);

    if (at->count + 2 > ND_HOOK_QUEUE) {
        atomic_fetch_add(&at->told->dropped, 1);
        return;
    }
    if (lost != at->lost)
        push_loss(at, node, lost - at->lost);
    at->lost = lost;
    push_line(at, line, len);
    atomic_store(&at->told->waiting, at->count);
}

static void pop_line(struct nd_hook_at *at, bool delivered)
{
    free(at->line[at->first]);
    at->first = (at->first + 1) % ND_HOOK_QUEUE;
    at->count--;
    at->sent = 0;
    atomic_store(&at->told->waiting, at->count);
    atomic_fetch_add(delivered ? &at->told->delivered : &at->told->dropped, 1);
}

/* ---- a command ----------------------------------------------------------------------------------- */

/* The line fits into the pipe, so whether it is read is the command's affair. */
static int start_command(struct nd_hook_at *at, const char *node, uint64_t now)
{
    char *const command[] = {(char *)(uintptr_t)at->hook->path, NULL};
    const char *line = at->line[at->first];
    int ends[2], error;

    if (pipe2(ends, O_CLOEXEC) != 0)
        return errno;
    error = write(ends[1], line, strlen(line)) < 0 ? errno : 0;
    close(ends[1]);
    if (!error)
        error = start_program(&at->child, command, node, ends[0], -1, now);
    close(ends[0]);
    return error;
}

static void turn_command(struct nd_hook_at *at, const char *node, uint64_t now)
{
    bool killed = at->child.killed;
    int status, error;

    if (has_ended(&at->child, &status))
        pop_line(at, !killed);
    if (at->child.pid && now - at->child.began > COMMAND_NS)
        kill_program(&at->child);
    if (at->child.pid || !at->count || now < at->next)
        return;
    error = start_command(at, node, now);
    atomic_store(&at->told->disbelieved, error == DISBELIEVED);
    if (error)
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

/* A socket: one datagram a line, or so much of it as a stream takes. A FIFO takes a line whole or not at
 * all. */
static void write_lines(struct nd_hook_at *at, uint64_t now)
{
    bool is_socket = at->hook->kind == ND_HOOK_SOCKET;

    while (at->count) {
        const char *line = at->line[at->first] + at->sent;
        size_t len = strlen(line);
        ssize_t n =
            is_socket ? send(at->fd, line, len, MSG_DONTWAIT | MSG_NOSIGNAL) : write(at->fd, line, len);

        if (n < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOBUFS))
            return;
        if (n < 0) {
            close(at->fd);
            at->fd = -1;
            at->sent = 0; /* a line that was cut off is sent again, whole */
            at->next = now + AGAIN_NS;
            return;
        }
        at->sent += (size_t)n;
        if ((size_t)n < len)
            return;
        pop_line(at, true);
    }
}

/* True: something is on its way, or waits for room. */
static bool turn_hook(struct nd_hook_at *at, const char *node, uint64_t now)
{
    const struct nd_hook *hook = at->hook;

    if (hook->kind == ND_HOOK_COMMAND) {
        turn_command(at, node, now);
        return at->count > 0;
    }
    if (at->fd < 0 && at->count && now >= at->next) {
        at->fd = hook->kind == ND_HOOK_FIFO ? open_fifo(hook->path) : open_socket(hook->path, &at->stream);
        if (at->fd < 0)
            at->next = now + AGAIN_NS;
    }
    if (at->fd >= 0)
        write_lines(at, now);
    return at->count > 0;
}

/* ---- the runner ------------------------------------------------------------------------------ */

#define RUNNER_END_MS 400  /* for what it was given, when its node has ended */
#define TURN_MS       1000 /* between two turns at the most */
#define CHILD_MS      10   /* while a program runs, or a hook has something to take */
#define EVENTS_A_TURN 64

struct nd_runner {
    struct nd_runner_page *page;
    struct nd_hook hook[ND_HOOKS_MAX];
    unsigned hooks;
    pid_t pid;
    int feed; /* the node's end */
    bool dead;
};

/* ---- its process ----------------------------------------------------------------------------------- */

struct running {
    struct nd_runner_page *page;
    const struct nd_node *node;
    struct nd_check check[ND_TRACKED_MAX];
    struct nd_hook_at hook[ND_HOOKS_MAX];
    int feed;
    bool ends; /* the node has ended */
};

static void take_events(struct running *r)
{
    struct nd_feed event;
    const size_t head = offsetof(struct nd_feed, line);
    const struct nd_node *node = r->node;

    for (unsigned n = 0; n < EVENTS_A_TURN && !r->ends; n++) {
        ssize_t len = recv(r->feed, &event, sizeof(event), MSG_DONTWAIT);

        if (len < 0)
            return;
        r->ends = len == 0;
        for (unsigned i = 0; (size_t)len > head && i < node->hooks; i++)
            if (node->hook[i].events >> event.event & 1)
                add_event(&r->hook[i], event.line, (size_t)len - head, event.missed[i], node->name);
    }
}

/* Checks and hooks. How many ms until the next turn is due. */
static int turn_all(struct running *r, uint64_t now)
{
    int wait = TURN_MS;

    for (unsigned i = 0; i < r->node->tracks && !r->ends; i++) {
        struct nd_check *check = &r->check[i];

        turn_check(check, r->node->name, now);
        if (r->node->track[i].kind == ND_TRACK_GATEWAY)
            continue;
        if (check->child.pid)
            wait = CHILD_MS;
        else if (check->due < now + (uint64_t)wait * 1000000u)
            wait = check->due > now ? (int)((check->due - now) / 1000000u) + 1 : 1;
    }
    for (unsigned i = 0; i < r->node->hooks; i++)
        if (turn_hook(&r->hook[i], r->node->name, now))
            wait = wait < CHILD_MS ? wait : CHILD_MS;
    return wait;
}

static bool is_idle(const struct running *r)
{
    for (unsigned i = 0; i < r->node->hooks; i++)
        if (r->hook[i].count)
            return false;
    return true;
}

static _Noreturn void run(struct running *r)
{
    uint64_t end = 0, now;

    for (;;) {
        struct pollfd feed = {.fd = r->feed, .events = POLLIN};
        int wait;

        now = ft_now();
        atomic_store(&r->page->turn, now);
        if (!r->ends)
            take_events(r);
        if (r->ends && !end)
            end = now + RUNNER_END_MS * 1000000ull;
        wait = turn_all(r, now);
        if (r->ends && (is_idle(r) || now >= end))
            break;
        poll(&feed, r->ends ? 0 : 1, wait);
    }
    for (unsigned i = 0; i < r->node->tracks; i++)
        kill_program(&r->check[i].child);
    for (unsigned i = 0; i < r->node->hooks; i++)
        kill_program(&r->hook[i].child);
    _exit(0);
}

static _Noreturn void begin(const struct nd_node *node, struct nd_runner_page *page, int feed)
{
    static struct running r; /* of the new process */

    if (!nd_process_detach("us-runner", false, &feed, 1) || nd_privilege_drop_thread() != 0)
        _exit(1);
    fcntl(feed, F_SETFD, FD_CLOEXEC);
    r = (struct running){.page = page, .node = node, .feed = feed};
    for (unsigned i = 0; i < node->tracks; i++)
        r.check[i] = (struct nd_check){.track = &node->track[i],
                                       .told = &page->check[i],
                                       .output = -1,
                                       .tracked = {.rise = node->track[i].rise, .fall = node->track[i].fall}};
    for (unsigned i = 0; i < node->hooks; i++)
        r.hook[i] = (struct nd_hook_at){.hook = &node->hook[i], .told = &page->hook[i], .fd = -1};
    run(&r);
}

/* ---- what the node sees --------------------------------------------------------------------------- */

/* Of what the node tracks, and behind it its hooks. NULL: it is no program. */
static const char *program_of(const struct nd_node *node, unsigned i)
{
    if (i < node->tracks)
        return node->track[i].kind == ND_TRACK_SCRIPT  ? node->track[i].what
               : node->track[i].kind > ND_TRACK_SCRIPT ? VTYSH
                                                       : NULL;
    i -= node->tracks;
    return node->hook[i].kind == ND_HOOK_COMMAND ? node->hook[i].path : NULL;
}

int nd_runner_judge(const struct nd_node *node, struct ft_fault *fault)
{
    struct ft_fault missing = {""}, breach;
    int error = 0, found;

    for (unsigned i = 0; i < node->tracks + node->hooks; i++) {
        const char *path = program_of(node, i);

        if (!path || (found = judge_program(path, node->user, &breach)) == 0)
            continue;
        if (found == FT_EPERM)
            return ft_fail(fault, FT_EPERM, "%s", breach.text);
        if (!error)
            error = ft_fail(&missing, FT_ENOENT, "%s: %s, expected a program", path, strerror(found));
    }
    if (error)
        *fault = missing;
    return error;
}

static bool has_work(const struct nd_node *node)
{
    for (unsigned i = 0; i < node->tracks; i++)
        if (node->track[i].kind != ND_TRACK_GATEWAY)
            return true;
    return node->hooks > 0;
}

int nd_runner_start(struct nd_runner **out, const struct nd_node *node, struct ft_fault *fault)
{
    struct nd_runner *runner;
    int ends[2];

    *out = NULL;
    if (!has_work(node))
        return 0;
    if (nd_runner_judge(node, fault) == FT_EPERM) /* what is not there yet is judged when it is run */
        return FT_EPERM;
    runner = calloc(1, sizeof(*runner));
    if (!runner)
        return ft_fail(fault, FT_ENOMEM, "no memory for the runner");
    runner->page =
        mmap(NULL, sizeof(*runner->page), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (runner->page == MAP_FAILED || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        free(runner);
        return ft_fail(fault, FT_EIO, "no page and socket for the runner: %s", strerror(errno));
    }
    memcpy(runner->hook, node->hook, sizeof(runner->hook));
    runner->hooks = node->hooks;
    runner->pid = fork();
    if (runner->pid == 0)
        begin(node, runner->page, ends[1]);
    close(ends[1]);
    runner->feed = ends[0];
    if (runner->pid < 0) {
        close(ends[0]);
        free(runner);
        return ft_fail(fault, FT_EIO, "no process for the runner: %s", strerror(errno));
    }
    *out = runner;
    return 0;
}

pid_t nd_runner_pid(struct nd_runner *runner)
{
    if (!runner->dead && waitpid(runner->pid, NULL, WNOHANG) != 0)
        runner->dead = true;
    return runner->dead ? 0 : runner->pid;
}

void nd_runner_stop(struct nd_runner *runner)
{
    uint64_t until = ft_now() + (RUNNER_END_MS + 100) * 1000000ull;

    if (!runner)
        return;
    close(runner->feed);
    while (nd_runner_pid(runner) && ft_now() < until)
        nanosleep(&(struct timespec){0, 2000000}, NULL);
    if (nd_runner_pid(runner))
        kill(runner->pid, SIGKILL); /* and no longer: it may hang in a disk, for which no signal is enough */
    munmap(runner->page, sizeof(*runner->page));
    free(runner);
}

uint64_t nd_runner_turn(const struct nd_runner *runner)
{
    return atomic_load(&runner->page->turn);
}

bool nd_runner_failed(const struct nd_runner *runner, unsigned index, char why[ND_RUNNER_TEXT])
{
    static const char *const words[] = {
        [ND_FOUND_NOTHING] = "not known yet",
        [ND_FOUND_GOOD] = "well",
        [ND_FOUND_NO_INTERFACE] = "there is none",
        [ND_FOUND_NO_CARRIER] = "no carrier",
        [ND_FOUND_NO_ROUTE] = "not in the kernel's table",
        [ND_FOUND_EXIT] = "exit %d",
        [ND_FOUND_SIGNAL] = "ended by signal %d",
        [ND_FOUND_LATE] = "killed after %d ms",
        [ND_FOUND_ERROR] = "cannot be run: %s",
        [ND_FOUND_DISBELIEVED] = "not run: others may write to it, or own it or what leads to it",
        [ND_FOUND_NO_SESSION] = "no session that is up",
        [ND_FOUND_DENIED] = "vtysh: permission denied",
    };
    const struct nd_check_told *told = &runner->page->check[index];
    uint32_t finding = atomic_load(&told->finding);
    int number = atomic_load(&told->number);

    finding = finding < ND_FINDINGS ? finding : ND_FOUND_GOOD;
    if (finding == ND_FOUND_ERROR)
        snprintf(why, ND_RUNNER_TEXT, words[finding], strerror(number));
    else
        snprintf(why, ND_RUNNER_TEXT, words[finding], number);
    return atomic_load(&told->failed);
}

void nd_runner_offer(struct nd_runner *runner, unsigned event, const char *line, size_t len)
{
    struct nd_feed feed = {.event = event};
    const size_t head = offsetof(struct nd_feed, line);
    uint64_t wanted = 0;

    for (unsigned i = 0; i < runner->hooks; i++) {
        wanted |= (runner->hook[i].events >> event & 1) << i;
        feed.missed[i] = atomic_load(&runner->page->hook[i].missed);
    }
    if (!wanted)
        return;
    if (len < ND_HOOK_LINE) {
        memcpy(feed.line, line, len);
        if (send(runner->feed, &feed, head + len, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)(head + len))
            return;
    }
    for (unsigned i = 0; i < runner->hooks; i++)
        atomic_fetch_add(&runner->page->hook[i].missed, wanted >> i & 1);
}

struct nd_hook_counts nd_runner_hook(const struct nd_runner *runner, unsigned index)
{
    const struct nd_hook_told *told = &runner->page->hook[index];

    return (struct nd_hook_counts){.delivered = atomic_load(&told->delivered),
                                   .lost = atomic_load(&told->missed) + atomic_load(&told->dropped),
                                   .disbelieved = atomic_load(&told->disbelieved),
                                   .waiting = atomic_load(&told->waiting)};
}
