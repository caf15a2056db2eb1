/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guardian, with a forked process as the node: it starts a guardian, lane threads that hold their
 * mutexes, connects to us and tells its guardian's number. We are the peer: a datagram socket, a listener,
 * and (as subreaper) the one who sees the guardian end.
 */
#define _GNU_SOURCE
#include "ftcore/base/clock.h"
#include "understudy/crash/guardian.h"

#include "ftcore/record/datagram.h"
#include "ftcore/record/message.h"
#include "tests/help/test.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define NODE    "127.0.0.1"
#define PEER    "127.0.0.2"
#define LANES   3u
#define NOTICES 7 /* datagrams that make a death notice */

static int datagrams = -1, listener = -1;
static struct sockaddr_in here;

/* What the forked process does. */
static const struct ft_datagram_key dead = {0xfeedface, {5, 6}}; /* of whom the guardian speaks */

struct plan {
    unsigned hold; /* lanes that hold */
    size_t memory; /* bytes to touch */
    bool own_group;
    void (*then)(struct nd_guardian *g, int fd); /* NULL: wait to be killed */
};

struct node {
    pid_t pid, guardian;
    int fd;
};

/* ---- the node's side ---- */

static pthread_barrier_t holding;
static _Atomic bool first_may_end;
static struct nd_guardian *the_guardian;

static void *lane_main(void *arg)
{
    unsigned lane = (unsigned)(uintptr_t)arg;

    nd_guardian_hold(the_guardian, lane);
    pthread_barrier_wait(&holding);
    while (lane || !atomic_load(&first_may_end))
        usleep(1000);
    return NULL;
}

static _Noreturn void node_main(const struct plan *plan)
{
    pthread_t thread;
    struct ft_fault why;

    prctl(PR_SET_PDEATHSIG, SIGKILL); /* also when a test fails */
    if (plan->own_group)
        setpgid(0, 0);
    if (nd_guardian_start(&the_guardian, LANES, NODE, NULL, &dead, NULL, &why) ||
        nd_guardian_aim(the_guardian, 0, PEER, ntohs(here.sin_port), &why)) {
        fprintf(stderr, "%s\n", why.text);
        _exit(90);
    }
    pthread_barrier_init(&holding, NULL, plan->hold + 1);
    for (uintptr_t lane = 0; lane < plan->hold; lane++)
        if (pthread_create(&thread, NULL, lane_main, (void *)lane))
            _exit(91);
    if (plan->memory) {
        char *p = mmap(NULL, plan->memory, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (p == MAP_FAILED)
            _exit(92);
        madvise(p, plan->memory, MADV_NOHUGEPAGE);
        memset(p, 1, plan->memory);
    }
    pthread_barrier_wait(&holding);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    pid_t guardian = nd_guardian_look(the_guardian);
    if (connect(fd, (struct sockaddr *)&here, sizeof(here)) || send(fd, &guardian, sizeof(guardian), 0) < 0)
        _exit(93);
    if (plan->then)
        plan->then(the_guardian, fd);
    for (;;)
        pause();
}

/* ---- the peer's side ---- */

static struct node start(const struct plan *plan)
{
    struct node node = {.pid = fork()};

    assert_true(node.pid >= 0);
    if (node.pid == 0)
        node_main(plan);
    struct pollfd p = {listener, POLLIN, 0};
    assert_int_equal(poll(&p, 1, 30000), 1);
    node.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(node.fd >= 0);
    assert_int_equal(recv(node.fd, &node.guardian, sizeof(node.guardian), MSG_WAITALL),
                     sizeof(node.guardian));
    return node;
}

/* A datagram within so many ms, checked to be the death notice from the node's address. */
static bool notice_within(int ms)
{
    struct pollfd p = {datagrams, POLLIN, 0};
    struct ft_datagram notice;
    struct sockaddr_in from;
    socklen_t len = sizeof(from);
    uint8_t bytes[100];
    char host[INET_ADDRSTRLEN];

    if (poll(&p, 1, ms) != 1)
        return false;
    ssize_t n = recvfrom(datagrams, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &len);
    assert_int_equal(ft_datagram_decode(bytes, (size_t)n, &dead, &notice), 0);
    assert_int_equal(notice.kind, FT_DEATH_NOTICE);
    assert_string_equal(inet_ntop(AF_INET, &from.sin_addr, host, sizeof(host)), NODE);
    return true;
}

static void assert_whole_notice(void)
{
    for (unsigned i = 0; i < NOTICES; i++)
        assert_true(notice_within(5000));
    assert_false(notice_within(60));
}

/* Ended within 5 s, with that status. A guardian whose node has ended, which is a while after its notice, is
 * ours to wait for: first the node, then the guardian. */
static void assert_ended(pid_t pid, int status)
{
    int got = -1;
    pid_t rc = 0;

    for (unsigned i = 0; i < 5000 && (rc = waitpid(pid, &got, WNOHANG)) == 0; i++)
        usleep(1000);
    assert_int_equal(rc, pid);
    assert_int_equal(got, status);
}

static void kill_node(struct node *node)
{
    kill(node->pid, SIGKILL);
    assert_ended(node->pid, SIGKILL);
    close(node->fd);
}

static int setup(void **state)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof(here);

    inet_pton(AF_INET, PEER, &at.sin_addr);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    datagrams = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&at, sizeof(at)) || listen(listener, 5) ||
        getsockname(listener, (struct sockaddr *)&here, &len) ||
        bind(datagrams, (struct sockaddr *)&here, sizeof(here)))
        return -1;
    return prctl(PR_SET_CHILD_SUBREAPER, 1);
}

static int teardown(void **state)
{
    close(listener);
    close(datagrams);
    return 0;
}

TEST_WITH(a_killed_node_is_spoken_for_before_its_socket_ends, setup, teardown)
{
    struct plan plan = {.hold = LANES, .memory = 1u << 30};
    struct node node = start(&plan);
    double notice = 0, eof = 0;

    assert_false(notice_within(50));
    uint64_t killed = ft_now();
    kill(node.pid, SIGKILL);
    while (!notice || !eof) {
        struct pollfd p[] = {{notice ? -1 : datagrams, POLLIN, 0}, {eof ? -1 : node.fd, POLLIN, 0}};

        assert_true(poll(p, 2, 10000) > 0);
        if (p[0].revents)
            notice = (double)(ft_now() - killed) / 1e6;
        if (p[1].revents)
            eof = (double)(ft_now() - killed) / 1e6;
    }
    printf("# death notice after %.2f ms, socket EOF after %.2f ms\n", notice, eof);
    assert_whole_notice();
    kill_node(&node);
    assert_ended(node.guardian, 0);
}

static void stop_and_exit(struct nd_guardian *g, int fd)
{
    pid_t pid = nd_guardian_look(g);

    nd_guardian_stop(g);
    /* The lanes end only now; nobody may take that for death. */
    _exit(nd_guardian_look(g) || kill(pid, 0) == 0 ? 1 : 0);
}

TEST_WITH(an_orderly_end_is_silent, setup, teardown)
{
    struct plan plan = {.hold = LANES, .then = stop_and_exit};

    for (unsigned i = 0; i < 20; i++) {
        struct node node = start(&plan);
        assert_ended(node.pid, 0);
        close(node.fd);
    }
    assert_false(notice_within(100));
}

static void assert_no_death_notice(const struct plan *plan)
{
    struct node node = start(plan);

    kill_node(&node);
    assert_ended(node.guardian, 0);
    assert_false(notice_within(50));
}

TEST_WITH(no_death_notice_before_all_lanes_held, setup, teardown)
{
    assert_no_death_notice(&(struct plan){.hold = LANES - 1});
}

static void lose_the_guardian(struct nd_guardian *g, int fd)
{
    pid_t pid = nd_guardian_look(g);

    if (!pid)
        _exit(2);
    kill(pid, SIGKILL);
    for (unsigned i = 0; i < 5000 && nd_guardian_look(g); i++)
        usleep(1000);
    if (nd_guardian_look(g))
        _exit(3);
    nd_guardian_hold(g, LANES - 1); /* no SIGPIPE, no waiting */
    nd_guardian_stop(g);
    _exit(0);
}

TEST_WITH(a_dead_guardian_is_noticed, setup, teardown)
{
    struct plan plan = {.hold = LANES - 1, .then = lose_the_guardian};
    struct node node = start(&plan);

    assert_ended(node.pid, 0);
    close(node.fd);
    assert_false(notice_within(50));
}

TEST_WITH(signals_to_the_group_do_not_reach_the_guardian, setup, teardown)
{
    struct plan plan = {.hold = LANES, .own_group = true};
    struct node node = start(&plan);

    kill(node.guardian, SIGINT);
    kill(node.guardian, SIGTERM);
    kill(node.guardian, SIGHUP);
    kill(node.guardian, SIGUSR1);
    kill(node.guardian, SIGUSR2);
    assert_false(notice_within(50));
    kill(-node.pid, SIGKILL);
    assert_whole_notice();
    kill_node(&node);
    assert_ended(node.guardian, 0);
}

static void end_first_lane(struct nd_guardian *g, int fd)
{
    char c;

    recv(fd, &c, 1, 0);
    atomic_store(&first_may_end, true);
}

TEST_WITH(the_end_of_one_lane_is_not_the_nodes, setup, teardown)
{
    struct plan plan = {.hold = LANES, .then = end_first_lane};
    struct node node = start(&plan);

    send(node.fd, "x", 1, MSG_NOSIGNAL);
    assert_false(notice_within(100));
    kill(node.pid, SIGKILL);
    assert_whole_notice();
    kill_node(&node);
    assert_ended(node.guardian, 0);
}

TEST_WITH(the_guardian_keeps_nothing_of_the_nodes, setup, teardown)
{
    struct plan plan = {.hold = LANES};
    struct node node = start(&plan);
    char path[64], name[32] = "";
    unsigned open_fds = 0;

    snprintf(path, sizeof(path), "/proc/%d/comm", node.guardian);
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_non_null(fgets(name, sizeof(name), f));
    fclose(f);
    assert_string_equal(name, "us-guardian\n");
    snprintf(path, sizeof(path), "/proc/%d/fd", node.guardian);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *e = readdir(dir); e; e = readdir(dir)) {
        char link[320], to[64] = "";

        if (e->d_name[0] == '.')
            continue;
        snprintf(link, sizeof(link), "%s/%s", path, e->d_name);
        assert_true(readlink(link, to, sizeof(to) - 1) > 0);
        assert_true(atoi(e->d_name) < 5);
        if (atoi(e->d_name) < 3)
            assert_string_equal(to, "/dev/null");
        open_fds++;
    }
    closedir(dir);
    assert_int_equal(open_fds, 5);
    assert_int_equal(getsid(node.guardian), node.guardian);
    kill_node(&node);
    assert_whole_notice();
    assert_ended(node.guardian, 0);
}

TEST_WITH(addresses_are_checked, setup, teardown)
{
    struct nd_guardian *g;

    assert_int_equal(nd_guardian_start(&g, 1, "localhost", NULL, &dead, NULL, &help_fault), FT_EINVAL);
    assert_string_equal(help_fault.text, "guardian at localhost, expected a numeric IPv4 address");
    assert_int_equal(nd_guardian_start(&g, 1, "192.0.2.1", NULL, &dead, NULL, &help_fault), FT_ENOENT);
    assert_null(g);
}
