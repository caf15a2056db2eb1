/* SPDX-License-Identifier: Apache-2.0 */
/* See given.h. */
#define _GNU_SOURCE /* getdents64 */
#include "understudy/base/given.h"
#include "ftcore/base/clock.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* A thread's wait is counted when it has ended, so a step is longer than most waits are, and where no thread
 * has been on a processor at all it goes on. */
#define STEP_NS 1000000000ull
#define MOST_NS 10000000000ull

/* Adds what a thread's schedstat shows: time on a processor, and waiting for one. */
static void add_thread(int tasks, const char *name, uint64_t *cpu, uint64_t *delay)
{
    char path[64], text[96];
    ssize_t len;
    char *end;
    int fd;

    snprintf(path, sizeof(path), "%.40s/schedstat", name);
    fd = openat(tasks, path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    len = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[len > 0 ? len : 0] = '\0';
    *cpu += strtoull(text, &end, 10);
    *delay += strtoull(end, NULL, 10);
}

static void add_process(pid_t pid, uint64_t *cpu, uint64_t *delay)
{
    char path[64], entries[2048];
    ssize_t len;
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return;
    while ((len = getdents64(fd, entries, sizeof(entries))) > 0)
        for (ssize_t at = 0; at < len;) {
            const struct dirent64 *d = (const void *)(entries + at);

            if (d->d_name[0] != '.')
                add_thread(fd, d->d_name, cpu, delay);
            at += d->d_reclen;
        }
    close(fd);
}

uint64_t nd_given_of(uint64_t ns, uint64_t cpu, uint64_t delay)
{
    uint64_t wanted = cpu + delay;

    if (!delay)
        return ns;
    if (wanted <= ns)
        return ns - delay;
    return (uint64_t)((double)ns * (double)cpu / (double)wanted);
}

uint64_t nd_given_look(struct nd_given *given, const pid_t pids[], unsigned n)
{
    uint64_t cpu = 0, delay = 0, now = ft_now(), ns = now - given->at;

    if (given->at && ns < STEP_NS)
        return given->ns;
    for (unsigned i = 0; i < n; i++)
        if (pids[i] > 0)
            add_process(pids[i], &cpu, &delay);
    if (given->at && cpu == given->cpu && ns < MOST_NS)
        return given->ns;
    if (given->at) /* less than before: a thread has ended */
        given->ns += nd_given_of(ns, cpu > given->cpu ? cpu - given->cpu : 0,
                                 delay > given->delay ? delay - given->delay : 0);
    given->at = now;
    given->cpu = cpu;
    given->delay = delay;
    return given->ns;
}

uint64_t nd_given_now(struct nd_given *given, const pid_t pids[], unsigned n)
{
    uint64_t ns = nd_given_look(given, pids, n);

    return ns + (ft_now() - given->at);
}
