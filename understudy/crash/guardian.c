/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guardian process (guardian.h), and the page that it shares with its node: one robust mutex per lane.
 * Lanes lock, the guardian waits; nothing else. The death notice is made before the fork, with the node's
 * secret.
 *
 * A byte on a socket pair informs the guardian of each lane that holds its mutex. Until all do, the pair's
 * end is the node's end, and no notice is sent. From then on the guardian locks one mutex after the other,
 * and gets the last one when all lanes' threads have ended: then no lane can send anything. The kernel gives
 * up a dying thread's robust mutexes before it takes its memory and its sockets apart, perhaps a hundred
 * milliseconds later.
 *
 * Orderly end: the node kills the guardian before it ends its lanes. The guardian is out of reach of what
 * kills the node's group or session, and of a terminal's interrupt, which is the node's to handle.
 *
 * Before it reports that it is ready it gives up all capabilities, and lets the kernel kill it at any system
 * call but those that it needs.
 */
#include "understudy/crash/guardian.h"
#include "understudy/base/process.h"

#include "ftcore/base/check.h"
#include "ftcore/record/message.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PRIORITY 60 /* real-time, above the replicator's: it runs for microseconds, once */

/* When the datagrams leave, ms after the first: a burst of losses does not take all of them. */
_Static_assert(ND_NOTICE_MAX >= FT_DATAGRAM_BYTES, "a node's notice");
static const unsigned notice_at[] = {0, 0, 1, 2, 5, 10, 20};

struct shared {
    pthread_mutex_t lane[FT_LANES_MAX];
    _Atomic bool stopped;
    _Atomic uint64_t peer[ND_GUARDIAN_WAYS]; /* where notices go: its address and port as they are sent */
    _Atomic size_t notice_len;
    uint8_t notice[ND_NOTICE_MAX];
};

struct nd_guardian {
    struct shared *shared;
    unsigned lanes;
    pid_t pid;
    int pair;                         /* the node's end; closed on exec */
    int datagrams[ND_GUARDIAN_WAYS];  /* the node's own, of the sockets by which the guardian speaks; -1: none
                                       */
    _Atomic bool dead;                /* known to have ended and waited for */
    const struct nd_crash_page *page; /* NULL: nobody describes what the node died of */
};

/* One per process, and never given back: the kernel looks at the mutexes when the lanes' threads end. */
static struct nd_guardian the_guardian;

/*
 * From here on: waiting for lanes, sending, sleeping, the end. The filter's memory is not given back, since
 * that may take a system call that the filter does not let pass.
 */
static bool confine_process(void)
{
    static const int needed[] = {SCMP_SYS(read),       SCMP_SYS(sendto),          SCMP_SYS(futex),
                                 SCMP_SYS(nanosleep),  SCMP_SYS(clock_nanosleep), SCMP_SYS(restart_syscall),
                                 SCMP_SYS(exit_group), SCMP_SYS(rt_sigreturn)};
#ifdef __SANITIZE_ADDRESS__ /* its run-time makes calls of its own */
    const uint32_t others = SCMP_ACT_LOG;
#else
    const uint32_t others = SCMP_ACT_KILL_PROCESS;
#endif
    scmp_filter_ctx filter = seccomp_init(others);
    bool done = filter && nd_privilege_drop_thread() == 0;

    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]) && done; i++)
        done = seccomp_rule_add(filter, SCMP_ACT_ALLOW, needed[i], 0) == 0;
    return done && seccomp_load(filter) == 0;
}

/* False: the node ended, in order or not, before all lanes held. */
static bool all_hold(int pair, unsigned lanes)
{
    for (unsigned held = 0; held < lanes;) {
        char c;
        ssize_t n = read(pair, &c, 1);

        if (n == 1)
            held++;
        else if (n == 0 || errno != EINTR)
            return false;
    }
    return true;
}

/* To the peer, if there is one, by each way. */
static void send_to_peer(const struct nd_guardian *g, const int datagrams[ND_GUARDIAN_WAYS],
                         const void *bytes, size_t len, int flags)
{
    for (unsigned way = 0; way < ND_GUARDIAN_WAYS; way++) {
        uint64_t peer = atomic_load(&g->shared->peer[way]);
        const struct sockaddr_in to = {
            .sin_family = AF_INET, .sin_port = (uint16_t)peer, .sin_addr.s_addr = (uint32_t)(peer >> 16)};

        if (peer && datagrams[way] >= 0)
            sendto(datagrams[way], bytes, len, flags, (const struct sockaddr *)&to, sizeof(to));
    }
}

static void send_notice(const struct nd_guardian *g, const int datagrams[ND_GUARDIAN_WAYS])
{
    unsigned slept = 0;

    for (size_t i = 0; i < sizeof(notice_at) / sizeof(notice_at[0]); i++) {
        struct timespec t = {0, (long)(notice_at[i] - slept) * 1000000};

        if (notice_at[i] > slept)
            nanosleep(&t, NULL);
        slept = notice_at[i];
        /* Each time before the death notice: the peer that takes over at that one knows what not to take in.
         */
        size_t len = g->page ? atomic_load_explicit(&g->page->notice_len, memory_order_acquire) : 0;

        if (len)
            send_to_peer(g, datagrams, g->page->notice, len, 0);
        send_to_peer(g, datagrams, g->shared->notice, atomic_load(&g->shared->notice_len), 0);
    }
}

static _Noreturn void guard_lanes(const struct nd_guardian *g, int pair)
{
    const struct sched_param priority = {PRIORITY};
    int fd[] = {pair, g->datagrams[0], g->datagrams[1]}, *datagrams = &fd[1];

    nd_process_detach("us-guardian", false, fd, g->datagrams[1] < 0 ? 2 : 3);
    pair = fd[0];
    sched_setscheduler(0, SCHED_FIFO, &priority); /* where permitted */
    bool confined = confine_process();

    send(pair, confined ? "r" : "c", 1, MSG_NOSIGNAL); /* ready: out of reach of signals */
    if (!confined || !all_hold(pair, g->lanes))
        _exit(0);
    for (unsigned lane = 0; lane < g->lanes; lane++)
        if (pthread_mutex_lock(&g->shared->lane[lane]) != EOWNERDEAD)
            _exit(1); /* not as it should be: the peer finds out by silence and the sockets' end */
    if (!atomic_load(&g->shared->stopped))
        send_notice(g, datagrams);
    _exit(0);
}

static int make_shared(struct shared **out, struct ft_fault *fault)
{
    pthread_mutexattr_t attr;
    struct shared *s = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (s == MAP_FAILED)
        return ft_fail(fault, FT_ENOMEM, "no memory for the guardian: %s", strerror(errno));
    pthread_mutexattr_init(&attr);
    pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_ERRORCHECK);
    for (unsigned i = 0; i < FT_LANES_MAX; i++)
        pthread_mutex_init(&s->lane[i], &attr);
    pthread_mutexattr_destroy(&attr);
    *out = s;
    return 0;
}

/* A datagram socket at the address the peer believes. */
/* `later`: the host may be given the address later on. */
static int make_socket(const char *local_host, bool later, struct ft_fault *fault)
{
    int on = later;
    struct sockaddr_in local = {.sin_family = AF_INET};

    if (inet_pton(AF_INET, local_host, &local.sin_addr) != 1)
        return ft_fail(fault, FT_EINVAL, "guardian at %s, expected a numeric IPv4 address", local_host);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && setsockopt(fd, IPPROTO_IP, IP_FREEBIND, &on, sizeof(on)) == 0 &&
        bind(fd, (struct sockaddr *)&local, sizeof(local)) == 0)
        return fd;
    int why = errno;
    if (fd >= 0)
        close(fd);
    if (why == EADDRNOTAVAIL)
        return ft_fail(fault, FT_ENOENT, "address %s, for death notices: expected one of this host",
                       local_host);
    return ft_fail(fault, FT_EIO, "address %s, for death notices: %s", local_host, strerror(why));
}

static int fork_guardian(struct nd_guardian *g, struct ft_fault *fault)
{
    int ends[2];

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends))
        return ft_fail(fault, FT_EIO, "no socket pair to the guardian: %s", strerror(errno));
    g->pid = fork();
    if (g->pid == 0) {
        close(ends[1]); /* or it would never see the pair's end */
        guard_lanes(g, ends[0]);
    }
    int why = errno;
    close(ends[0]);
    if (g->pid < 0) {
        close(ends[1]);
        return ft_fail(fault, FT_EIO, "no guardian process: %s", strerror(why));
    }
    char ready;
    ssize_t n;
    while ((n = recv(ends[1], &ready, 1, 0)) < 0 && errno == EINTR)
        continue;
    if (n != 1 || ready != 'r') {
        close(ends[1]);
        waitpid(g->pid, NULL, 0);
        return ft_fail(fault, FT_EIO, "the guardian %s",
                       n == 1 ? "cannot be confined, expected a kernel with seccomp filters"
                              : "ended at once");
    }
    g->pair = ends[1];
    return 0;
}

int nd_guardian_aim(struct nd_guardian *g, unsigned way, const char *peer_host, uint16_t peer_port,
                    struct ft_fault *fault)
{
    struct sockaddr_in peer = {.sin_port = htons(peer_port)};

    if (peer_host && inet_pton(AF_INET, peer_host, &peer.sin_addr) != 1)
        return ft_fail(fault, FT_EINVAL, "guardian to %s, expected a numeric IPv4 address", peer_host);
    atomic_store(&g->shared->peer[way], peer_host ? (uint64_t)peer.sin_addr.s_addr << 16 | peer.sin_port : 0);
    return 0;
}

/* One that is being written when the process dies is nobody's: its tag is wrong. */
void nd_guardian_notice(struct nd_guardian *g, const void *bytes, size_t len)
{
    FT_CHECK(len <= ND_NOTICE_MAX, "a notice of %zu bytes", len);
    memcpy(g->shared->notice, bytes, len);
    atomic_store(&g->shared->notice_len, len);
}

static void close_sockets(struct nd_guardian *g)
{
    for (unsigned way = 0; way < ND_GUARDIAN_WAYS; way++)
        if (g->datagrams[way] >= 0)
            close(g->datagrams[way]);
}

static int make_sockets(struct nd_guardian *g, const char *local_host, const char *second_host,
                        struct ft_fault *fault)
{
    g->datagrams[1] = -1;
    if ((g->datagrams[0] = make_socket(local_host, second_host != NULL, fault)) < 0)
        return g->datagrams[0];
    if (!second_host || (g->datagrams[1] = make_socket(second_host, true, fault)) >= 0)
        return 0;
    close(g->datagrams[0]);
    return g->datagrams[1];
}

int nd_guardian_start(struct nd_guardian **out, unsigned lanes, const char *local_host,
                      const char *second_host, const struct ft_datagram_key *self,
                      const struct nd_crash_page *page, struct ft_fault *fault)
{
    struct nd_guardian *g = &the_guardian;

    FT_CHECK(lanes >= 1 && lanes <= FT_LANES_MAX, "%u lanes", lanes);
    *out = NULL;
    int rc = make_sockets(g, local_host, second_host, fault);
    if (rc)
        return rc;
    g->lanes = lanes;
    g->page = page;
    atomic_store(&g->dead, false);
    rc = make_shared(&g->shared, fault);
    if (!rc && self)
        atomic_store(
            &g->shared->notice_len,
            ft_datagram_encode(&(struct ft_datagram){.kind = FT_DEATH_NOTICE}, self, g->shared->notice));
    if (!rc)
        rc = fork_guardian(g, fault);
    if (rc)
        close_sockets(g);
    else
        *out = g;
    return rc;
}

void nd_guardian_hold(struct nd_guardian *g, unsigned lane)
{
    FT_CHECK(lane < g->lanes, "lane %u of %u", lane, g->lanes);
    int rc = pthread_mutex_lock(&g->shared->lane[lane]);
    FT_CHECK(rc == 0, "lane %u: %s", lane, strerror(rc));
    /* The guardian may be dead; that is found by nd_guardian_look. */
    while (send(g->pair, "h", 1, MSG_NOSIGNAL) < 0 && errno == EINTR)
        continue;
}

void nd_guardian_say(const struct nd_guardian *g, const void *bytes, size_t len)
{
    send_to_peer(g, g->datagrams, bytes, len, MSG_DONTWAIT);
}

pid_t nd_guardian_look(struct nd_guardian *g)
{
    if (!atomic_load(&g->dead) && waitpid(g->pid, NULL, WNOHANG) != 0)
        atomic_store(&g->dead, true);
    return atomic_load(&g->dead) ? 0 : g->pid;
}

void nd_guardian_stop(struct nd_guardian *g)
{
    if (!g)
        return;
    atomic_store(&g->shared->stopped, true);
    /* Not yet waited for, so the number is still its own. */
    if (nd_guardian_look(g)) {
        kill(g->pid, SIGKILL);
        while (waitpid(g->pid, NULL, 0) < 0 && errno == EINTR)
            continue;
    }
    close_sockets(g);
    atomic_store(&g->dead, true);
}
