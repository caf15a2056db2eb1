/* SPDX-License-Identifier: Apache-2.0 */
/* See child.h. */
#include "understudy/pair/child.h"
#include "understudy/base/given.h"

#include <arpa/inet.h>
#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

struct answer {
    struct ft_fault fault;
    int error;
    bool done;
    _Alignas(64) uint8_t result[];
};

static volatile sig_atomic_t interrupted;

static void on_end(int number)
{
    (void)number;
    interrupted = 1;
}

void nd_catch_ends(void)
{
    static const int ends[] = {SIGINT, SIGTERM, SIGHUP};
    const struct sigaction action = {.sa_handler = on_end, .sa_flags = SA_RESTART};
    struct sigaction before;

    for (unsigned i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
        if (sigaction(ends[i], NULL, &before) == 0 && before.sa_handler != SIG_IGN)
            sigaction(ends[i], &action, NULL);
}

bool nd_interrupted(void)
{
    return interrupted;
}

void nd_sleep(uint64_t ns)
{
    nanosleep(&(struct timespec){(time_t)(ns / 1000000000u), (long)(ns % 1000000000u)}, NULL);
}

/* The handler's, but for the first two. */
static struct {
    _Atomic unsigned seconds;
    _Atomic bool renewed;
    struct nd_given given;
    uint64_t from; /* of it */
} patience;

static void on_alarm(int number)
{
    int before = errno; /* whom it interrupts may have it yet to read */
    uint64_t given = nd_given_look(&patience.given, (pid_t[]){getpid()}, 1);
    unsigned seconds = atomic_load(&patience.seconds);

    errno = before;
    if (atomic_exchange(&patience.renewed, false))
        patience.from = given;
    if (!seconds || given - patience.from <= seconds * 1000000000ull)
        return;
    signal(number, SIG_DFL);
    kill(getpid(), number);
}

void nd_patience(unsigned seconds)
{
    const struct sigaction action = {.sa_handler = on_alarm, .sa_flags = SA_RESTART};
    const struct itimerval each = {.it_interval.tv_sec = 1, .it_value.tv_sec = 1};

    atomic_store(&patience.renewed, true);
    if (atomic_exchange(&patience.seconds, seconds) || !seconds)
        return;
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &each, NULL);
}

uint64_t nd_cpu_time(clockid_t clock)
{
    struct timespec t = {0, 0};

    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

pid_t nd_child(void)
{
    pid_t parent = getpid(), child = fork();

    if (child != 0)
        return child;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) /* it ended before it was asked for */
        _exit(0);
    return 0;
}

int nd_child_wait(pid_t child)
{
    int status = 0;

    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

void nd_child_kill(pid_t *child)
{
    if (*child > 0) {
        kill(*child, SIGKILL);
        nd_child_wait(*child);
    }
    *child = 0;
}

void *nd_shared_memory(size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

int nd_child_run(int (*work)(void *arg, void *result, struct ft_fault *fault), void *arg, void *out,
                 size_t size, const char *what, struct ft_fault *fault)
{
    struct answer *answer = nd_shared_memory(sizeof(*answer) + size);
    int status, error;
    pid_t child;

    if (!answer)
        return ft_fail(fault, FT_ENOMEM, "%s: no memory", what);
    fflush(NULL);
    child = nd_child();
    if (child == 0) {
        answer->error = work(arg, answer->result, &answer->fault);
        answer->done = true;
        _exit(0);
    }
    if (child < 0) {
        error = ft_fail(fault, FT_ENOMEM, "%s: no process: %s", what, strerror(errno));
    } else {
        status = nd_child_wait(child);
        error = answer->done ? answer->error : FT_EIO;
        if (error)
            ft_fail(fault, error, "%s: %.180s", what,
                    answer->done          ? answer->fault.text
                    : WIFSIGNALED(status) ? strsignal(WTERMSIG(status))
                                          : "its process ended early");
    }
    memcpy(out, answer->result, size);
    munmap(answer, sizeof(*answer) + size);
    return error;
}

int nd_free_port(const char *host, uint16_t *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof(at);
    int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
        udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int error = FT_EIO;

    inet_pton(AF_INET, host, &at.sin_addr);
    if (tcp >= 0 && udp >= 0 && bind(tcp, (struct sockaddr *)&at, sizeof(at)) == 0 &&
        getsockname(tcp, (struct sockaddr *)&at, &len) == 0 &&
        bind(udp, (struct sockaddr *)&at, sizeof(at)) == 0) {
        *port = ntohs(at.sin_port);
        error = 0;
    }
    if (tcp >= 0)
        close(tcp);
    if (udp >= 0)
        close(udp);
    return error;
}
