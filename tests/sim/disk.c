/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The nodes' disks, which have one file each: the view file. It outlives the process, and what is on the disk
 * outlives the machine. A disk takes its time, is frozen for a while, and refuses; only the thread that
 * writes views waits for it, and that thread is a task of the node like its lanes. A node that starts reads
 * its file whatever the disk does, and what a frozen disk does not have cannot be synced then.
 */
#include "tests/sim/sim.h"

#include "ftcore/base/check.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <string.h>

enum { FD_VIEW = 3000, FD_NEW, FD_DIRECTORY };

int sim_open(const char *path, int flags, ...);
ssize_t sim_read(int fd, void *to, size_t size);
ssize_t sim_write(int fd, const void *from, size_t size);
int sim_close_file(int fd);
int sim_rename(const char *from, const char *to);
int sim_unlink(const char *path);
int sim_fsync(int fd);
int sim_thread_create(pthread_t *thread, const pthread_attr_t *how, void *(*entry)(void *), void *arg);
int sim_thread_join(pthread_t thread, void **result, clockid_t clock, const struct timespec *until);
int sim_sem_wait(sem_t *s);
int sim_sem_post(sem_t *s);

static struct sim_node *owner(void)
{
    struct sim_node *n = sim.opening ? sim.opening : sim_current();

    FT_CHECK(n, "a file is asked for by nobody");
    return n;
}

static bool file_trouble(void)
{
    return sim_troubled(15);
}

/* ---- time ------------------------------------------------------------------------------------------ */

/* Of an operation, at most, ns: most disks are quick, some are slow, a few have other work. */
static uint64_t delay_of(void)
{
    static const uint64_t most[] = {200 * SIM_US, 200 * SIM_US, 200 * SIM_US,
                                    3 * SIM_MS,   3 * SIM_MS,   60 * SIM_MS};

    return sim.script || sim.faults_over ? 100 * SIM_US
                                         : most[sim.seed / 5 % (sizeof(most) / sizeof(most[0]))];
}

static void take_time(const struct sim_node *n)
{
    uint64_t until;

    if (sim.opening)
        return;
    until = sim.now + sim_draw(&sim.disk, delay_of());
    while (sim.now < until || sim.now < n->frozen_until)
        sim_sleep(n->frozen_until > until ? n->frozen_until - sim.now : until - sim.now, false);
}

void sim_disk_freeze(struct sim_node *n, uint64_t until)
{
    n->frozen_until = until;
    sim_tell(n->index, "its disk is frozen until %.3f ms", (double)until / 1e6);
}

void sim_disk_tick(void)
{
    struct sim_node *n = &sim.node[sim.disk.at >> 7 & 1];

    if (delay_of() > 200 * SIM_US && sim_chance(&sim.disk, 1) && n->frozen_until < sim.now)
        sim_disk_freeze(n, sim.now + sim_draw(&sim.disk, 300 * SIM_MS));
}

void sim_disk_thaw(struct sim_node *n)
{
    n->frozen_until = 0;
    if (n->task[SIM_WRITER].wake > sim.now)
        n->task[SIM_WRITER].wake = sim.now;
}

/* What was renamed and not synced may be there or not. */
void sim_disk_lose_power(struct sim_node *n)
{
    if (sim_chance(&sim.disk, 500))
        return;
    memcpy(n->view_file, n->view_disk, sizeof(n->view_file));
    n->has_view_file = n->has_view_disk;
}

void sim_disk_lose(struct sim_node *n)
{
    n->has_view_file = n->has_view_disk = false;
    n->view_file[0] = n->view_disk[0] = n->view_new[0] = '\0';
    n->blank = sim.disk_lost = true;
    sim_tell(n->index, "has lost its disk");
}

/* ---- the files ------------------------------------------------------------------------------------- */

int sim_open(const char *path, int flags, ...)
{
    struct sim_node *n = owner();
    size_t len = strlen(path);

    take_time(n);
    if (file_trouble()) {
        errno = sim_draw(&sim.trouble, 2) ? EACCES : EIO;
        return -1;
    }
    if (flags & O_DIRECTORY)
        return FD_DIRECTORY;
    if (len > 4 && strcmp(path + len - 4, ".new") == 0) {
        n->view_new[0] = '\0';
        return FD_NEW;
    }
    if (!n->has_view_file) {
        errno = ENOENT;
        return -1;
    }
    return FD_VIEW;
}

ssize_t sim_read(int fd, void *to, size_t size)
{
    struct sim_node *n = owner();
    static const char *const damaged[] = {"",
                                          "understudy view \n",
                                          "understudy view 99999999999999999999\n",
                                          "understudy view 9223372036854775807\n",
                                          "understudy view 5",
                                          "understudy view 5 6\n",
                                          "view 5\n",
                                          "understudy view 5\nand more"};
    const char *text = sim_troubled(25) ? damaged[sim_draw(&sim.trouble, 8)] : n->view_file;
    size_t len = strlen(text);

    FT_CHECK(fd == FD_VIEW, "reads another file");
    if (file_trouble())
        return -1;
    len = len < size ? len : size;
    memcpy(to, text, len);
    return (ssize_t)len;
}

ssize_t sim_write(int fd, const void *from, size_t size)
{
    struct sim_node *n = owner();

    FT_CHECK(fd == FD_NEW && size < sizeof(n->view_new), "writes another file");
    if (file_trouble()) {
        errno = ENOSPC;
        return -1;
    }
    memcpy(n->view_new, from, size);
    n->view_new[size] = '\0';
    return (ssize_t)size;
}

int sim_close_file(int fd)
{
    return fd == FD_NEW && file_trouble() ? -1 : 0;
}

int sim_rename(const char *from, const char *to)
{
    struct sim_node *n = owner();

    (void)from;
    (void)to;
    take_time(n);
    if (file_trouble())
        return -1;
    memcpy(n->view_file, n->view_new, sizeof(n->view_file));
    n->has_view_file = true;
    return 0;
}

int sim_unlink(const char *path)
{
    (void)path;
    return 0;
}

int sim_fsync(int fd)
{
    struct sim_node *n = owner();

    bool whole = fd == FD_VIEW || strcmp(n->view_disk, n->view_file) == 0;

    take_time(n);
    if (file_trouble() || (sim.opening && sim.now < n->frozen_until && !whole)) {
        errno = EIO;
        return -1;
    }
    if (fd == FD_DIRECTORY) {
        memcpy(n->view_disk, n->view_file, sizeof(n->view_disk));
        n->has_view_disk = n->has_view_file;
    }
    return 0;
}

/* ---- the thread that writes ------------------------------------------------------------------------ */

/* Begins with the node's other tasks. */
int sim_thread_create(pthread_t *thread, const pthread_attr_t *how, void *(*entry)(void *), void *arg)
{
    (void)thread, (void)how;
    if (sim_refuses())
        return EAGAIN;
    sim.opening->writer.entry = entry;
    sim.opening->writer.arg = arg;
    return 0;
}

/* Its node has died, and the task with it. */
int sim_thread_join(pthread_t thread, void **result, clockid_t clock, const struct timespec *until)
{
    (void)thread, (void)result, (void)clock, (void)until;
    return 0;
}

int sim_sem_wait(sem_t *s)
{
    while (sem_trywait(s) != 0)
        sim_sleep(3600000 * SIM_MS, false);
    return 0;
}

int sim_sem_post(sem_t *s)
{
    struct sim_node *n = sim_current();

    if (n && n->task[SIM_WRITER].stack)
        n->task[SIM_WRITER].wake = sim.now;
    return sem_post(s);
}
