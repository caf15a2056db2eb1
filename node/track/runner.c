/* SPDX-License-Identifier: Apache-2.0 */
/* The runner's process and what the node sees of it; see runner.h. */
#define _GNU_SOURCE /* close_range */
#include "node/track/parts.h"
#include "node/base/clock.h"
#include "node/base/privilege.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

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

/* Of the node it keeps nothing open but its end of the feed. */
static void detach_process(int *feed)
{
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGABRT, SIGUSR1, SIGUSR2};
    int null = open("/dev/null", O_RDWR);

    setsid();
    prctl(PR_SET_NAME, "us-runner");
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        signal(ignored[i], SIG_IGN);
    for (int fd = 0; null >= 0 && fd < 3; fd++)
        dup2(null, fd);
    *feed = dup2(*feed, 3);
    close_range(4, ~0u, 0);
    fcntl(*feed, F_SETFD, FD_CLOEXEC);
}

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
                nd_hook_add(&r->hook[i], &event, (size_t)len - head, node->name, r->page, i);
    }
}

/* Checks and hooks. How many ms until the next turn is due. */
static int turn_all(struct running *r, uint64_t now)
{
    int wait = TURN_MS;

    for (unsigned i = 0; i < r->node->tracks && !r->ends; i++) {
        struct nd_check *check = &r->check[i];

        nd_check_turn(check, &r->node->track[i], r->node->name, r->page, i, now);
        if (r->node->track[i].kind == ND_TRACK_GATEWAY)
            continue;
        if (check->child.pid)
            wait = CHILD_MS;
        else if (check->due < now + (uint64_t)wait * 1000000u)
            wait = check->due > now ? (int)((check->due - now) / 1000000u) + 1 : 1;
    }
    for (unsigned i = 0; i < r->node->hooks; i++)
        if (nd_hook_turn(&r->hook[i], &r->node->hook[i], r->node->name, r->page, i, now))
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

        now = nd_now();
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
        nd_program_kill(&r->check[i].child);
    for (unsigned i = 0; i < r->node->hooks; i++)
        nd_program_kill(&r->hook[i].child);
    _exit(0);
}

static _Noreturn void begin(const struct nd_node *node, struct nd_runner_page *page, int feed)
{
    static struct running r; /* of the new process */

    detach_process(&feed);
    if (feed < 0 || nd_privilege_drop_thread() != 0)
        _exit(1);
    r = (struct running){.page = page, .node = node, .feed = feed};
    for (unsigned i = 0; i < node->tracks; i++)
        r.check[i].tracked = (struct nd_tracked){.rise = node->track[i].rise, .fall = node->track[i].fall};
    for (unsigned i = 0; i < node->hooks; i++)
        r.hook[i].fd = -1;
    run(&r);
}

/* ---- what the node sees --------------------------------------------------------------------------- */

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
    uint64_t until = nd_now() + (RUNNER_END_MS + 100) * 1000000ull;

    if (!runner)
        return;
    close(runner->feed);
    while (nd_runner_pid(runner) && nd_now() < until)
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
    enum nd_finding finding = atomic_load(&runner->page->check[index].finding);
    int number = atomic_load(&runner->page->check[index].number);

    switch (finding) {
    case ND_FOUND_NOTHING:
        snprintf(why, ND_RUNNER_TEXT, "not known yet");
        break;
    case ND_FOUND_NO_INTERFACE:
        snprintf(why, ND_RUNNER_TEXT, "there is none");
        break;
    case ND_FOUND_NO_CARRIER:
        snprintf(why, ND_RUNNER_TEXT, "no carrier");
        break;
    case ND_FOUND_NO_ROUTE:
        snprintf(why, ND_RUNNER_TEXT, "not in the kernel's table");
        break;
    case ND_FOUND_EXIT:
        snprintf(why, ND_RUNNER_TEXT, "exit %d", number);
        break;
    case ND_FOUND_SIGNAL:
        snprintf(why, ND_RUNNER_TEXT, "ended by signal %d", number);
        break;
    case ND_FOUND_LATE:
        snprintf(why, ND_RUNNER_TEXT, "killed after %d ms", number);
        break;
    case ND_FOUND_ERROR:
        snprintf(why, ND_RUNNER_TEXT, "cannot be run: %s", strerror(number));
        break;
    default:
        snprintf(why, ND_RUNNER_TEXT, "well");
    }
    return atomic_load(&runner->page->check[index].failed);
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

void nd_runner_hook(const struct nd_runner *runner, unsigned index, struct nd_hook_counts *out)
{
    out->delivered = atomic_load(&runner->page->hook[index].delivered);
    out->lost =
        atomic_load(&runner->page->hook[index].missed) + atomic_load(&runner->page->hook[index].dropped);
    out->waiting = atomic_load(&runner->page->hook[index].waiting);
}
