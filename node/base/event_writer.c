/* SPDX-License-Identifier: Apache-2.0 */
/* Takes lines from the event log's queue and writes them; see event_writer.h. */
#define _GNU_SOURCE /* pthread_clockjoin_np */
#include "node/base/event_writer.h"
#include "ftcore/base/event_log.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define EVENT_FLUSH_MS 50  /* before an abort: a lane or the replicator waits */
#define EVENT_END_MS   500 /* at an orderly end */
#define LOOK_NS        100000

static struct {
    pthread_t thread;
    sem_t lines; /* raised for each line, and to stop */
    _Atomic bool stop;
    bool started;
} writer;

/* False: stderr takes nothing any more. */
static bool write_line(const char *line)
{
    struct pollfd room = {.fd = STDERR_FILENO, .events = POLLOUT};
    size_t len = strlen(line);

    while (len > 0) {
        ssize_t n = write(STDERR_FILENO, line, len);

        if (n < 0 && errno == EAGAIN) /* another process made it non-blocking */
            poll(&room, 1, -1);
        else if (n < 0 && errno != EINTR)
            return false;
        line += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return true;
}

static void report_lost(uint64_t *reported)
{
    uint64_t lost = ft_event_log_lost();
    char line[128];

    if (lost == *reported)
        return;
    snprintf(line, sizeof(line), "understudy: %lu lines of this log were lost before this one\n",
             lost - *reported);
    if (write_line(line))
        *reported = lost;
}

static void *write_events(void *arg)
{
    uint64_t reported = 0;
    const char *line;
    bool last;

    prctl(PR_SET_NAME, "us-events");
    do {
        last = atomic_load(&writer.stop);
        while ((line = ft_event_log_first()))
            ft_event_log_release(write_line(line));
        report_lost(&reported);
        if (!last)
            sem_wait(&writer.lines);
    } while (!last);
    return arg;
}

static void wake_writer(void)
{
    sem_post(&writer.lines);
}

/*
 * The process is about to end, and this may be the handler of a fault. Whatever stderr is, this thread writes
 * nothing itself: a pipe that is full is not waited for, a disk that stands for EVENT_FLUSH_MS at most.
 */
static void flush_events(void)
{
    struct pollfd room = {.fd = STDERR_FILENO, .events = POLLOUT};

    for (long waited = 0; waited < EVENT_FLUSH_MS * 1000000l; waited += LOOK_NS) {
        if (ft_event_log_pending() == 0 || poll(&room, 1, 0) == 0)
            return;
        nanosleep(&(struct timespec){0, LOOK_NS}, NULL);
    }
}

int nd_event_writer_start(struct ft_fault *fault)
{
    static const struct ft_event_writer queue = {.wake = wake_writer, .flush = flush_events};

    sem_init(&writer.lines, 0, 0);
    atomic_store(&writer.stop, false);
    ft_event_log_attach(&queue);
    if (pthread_create(&writer.thread, NULL, write_events, NULL) != 0) {
        ft_event_log_attach(NULL);
        return ft_fail(fault, FT_EIO, "no thread for the event log");
    }
    writer.started = true;
    return 0;
}

void nd_event_writer_stop(void)
{
    struct timespec until;

    if (!writer.started)
        return;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += EVENT_END_MS * 1000000l;
    until.tv_sec += until.tv_nsec / 1000000000l;
    until.tv_nsec %= 1000000000l;
    atomic_store(&writer.stop, true);
    wake_writer();
    if (pthread_clockjoin_np(writer.thread, NULL, CLOCK_MONOTONIC, &until) != 0)
        return; /* it stays in its write, and lines stay in the queue, until the process ends */
    ft_event_log_attach(NULL);
    writer.started = false;
}
