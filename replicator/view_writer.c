/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that writes the view file. It owns the file from the moment it begins, and may wait for the disk
 * as long as the disk likes: a file system that is frozen keeps it, and nobody else. The replicator writes
 * `view`, this thread copies it (a sequence lock), and publishes in `done` which one is on the disk; that
 * view is the whole queue, and what was not begun is overwritten by what is newer.
 *
 * What fails is tried again once a second, for as long as the node lives: the line on stderr is one for each
 * failure that follows a success, and one when the disk has it again.
 *
 * A file apart from view.c: the simulation has a thread in place of this one's, files in place of that one's,
 * and dies between the two.
 */
#define _GNU_SOURCE /* close_range */
#include "ftcore/base/disk_thread.h"
#include "ftcore/base/event_log.h"
#include "ftcore/base/plant.h"
#include "ftcore/base/seqlock.h"
#include "ftcore/base/worker.h"
#include "replicator/parts.h"

#include <errno.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define RETRY_NS     1000000000ull
#define LOOK_NS      50000000ull /* between two looks whether the node ends */
#define PATH_CAP     300u
#define NOTHING_DONE UINT64_MAX /* odd: no serial number of `wanted` between two writes */

struct rp_view_writer {
    char path[PATH_CAP];
    struct ft_worker worker;
    struct rp_view view;           /* the newest, under `wanted` */
    _Atomic uint64_t wanted, done; /* serial numbers */
    _Atomic uint64_t stored;       /* the number of the view that is on the disk */
    _Atomic uint64_t since;        /* since when the disk has not taken the newest, ns; with wanted != done */
};

static void wait_before_retry(const struct rp_view_writer *w)
{
    for (uint64_t ns = 0; ns < RETRY_NS && !ft_worker_ends(&w->worker); ns += LOOK_NS)
        rp_sleep(LOOK_NS);
}

/* A thread that the disk keeps takes no signal, by which all threads drop their capabilities when a node has
 * started. This one begins before that, needs none, and has already become the node's user. A failure is
 * found by who drops those of all threads. */
static void drop_capabilities(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    const struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};

    syscall(SYS_capset, &head, none);
}

static void *write_views(void *writer)
{
    struct rp_view_writer *w = writer;
    struct ft_fault fault;
    uint64_t failures = 0;

    ft_disk_thread_begin("us-views", w->path);
    drop_capabilities();
    for (;;) {
        bool ends = ft_worker_ends(&w->worker); /* before `wanted`: one attempt at the end */
        struct rp_view view;
        uint64_t serial;

        while (!ft_seqlock_copy(&w->wanted, &serial, &view, &w->view, sizeof(view)))
            sched_yield();

        if (serial == atomic_load(&w->done)) {
            if (ends)
                return NULL;
            ft_worker_wait(&w->worker, UINT64_MAX);
            continue;
        }
        if (FT_PLANTED("view-forgotten") || rp_view_store(w->path, &view, &fault) == 0) {
            if (failures)
                ft_log_event(FT_LEVEL_NOTICE, FT_SAYS_VIEW_FILE,
                             "%s: view %lu is on the disk, after %lu failures", w->path, view.number,
                             failures);
            failures = 0;
            atomic_store(&w->stored, view.number);
            atomic_store(&w->done, serial);
            continue;
        }
        if (failures++ == 0)
            ft_log_event(FT_LEVEL_ERROR, FT_SAYS_VIEW_FILE, "%s; tried again each second", fault.text);
        if (ends)
            return NULL;
        wait_before_retry(w);
    }
}

/* A mistake of who installed the node, which no disk mends. What the disk refuses is tried again. */
static int check_permission(const char *path, struct ft_fault *fault)
{
    char directory[PATH_CAP];

    if (snprintf(directory, sizeof(directory), "%s", path) >= (int)sizeof(directory) - 4)
        return ft_fail(fault, FT_EINVAL, "%.100s…: the path is too long", path);
    char *slash = strrchr(directory, '/');

    if (slash)
        slash[slash == directory] = '\0';
    if (access(slash ? directory : ".", W_OK | X_OK) == 0 || errno != EACCES)
        return 0;
    return ft_fail(fault, FT_EPERM, "%.200s: %s, expected a directory in which this node may write %.80s",
                   slash ? directory : ".", strerror(errno), slash ? path + (slash - directory) + 1 : path);
}

int rp_view_writer_open(struct rp_view_writer **out, const char *path, const struct rp_view *view,
                        uint64_t stored, struct ft_fault *fault)
{
    struct rp_view_writer *w;
    int error = check_permission(path, fault);

    *out = NULL;
    if (error)
        return error;
    w = calloc(1, sizeof(*w));
    if (!w)
        return ft_fail(fault, FT_ENOMEM, "no memory for the writer of the view file");
    snprintf(w->path, sizeof(w->path), "%s", path);
    w->view = *view;
    atomic_init(&w->stored, stored);
    atomic_init(&w->done, NOTHING_DONE);
    atomic_init(&w->since, ft_now());
    if (ft_worker_start(&w->worker, write_views, w, "the writer of the view file", fault)) {
        free(w);
        return FT_ENOMEM;
    }
    *out = w;
    return 0;
}

void rp_view_writer_close(struct rp_view_writer *w)
{
    if (!w)
        return;
    if (!ft_worker_end(&w->worker, ft_now() + FT_WORKER_DISK_NS)) {
        ft_log_event(FT_LEVEL_WARNING, FT_SAYS_VIEW_FILE,
                     "%s: the disk keeps its writer: view %lu may be lost", w->path, w->view.number);
        return; /* what it may still look at stays */
    }
    free(w);
}

void rp_view_writer_give(struct rp_view_writer *w, const struct rp_view *view, uint64_t now)
{
    if (memcmp(&w->view, view, sizeof(*view)) == 0)
        return;
    if (atomic_load(&w->wanted) == atomic_load(&w->done))
        atomic_store(&w->since, now);
    ft_seqlock_begin(&w->wanted);
    memcpy(&w->view, view, sizeof(*view));
    ft_seqlock_end(&w->wanted);
    ft_worker_wake(&w->worker);
}

uint64_t rp_view_writer_stored(const struct rp_view_writer *w)
{
    return atomic_load(&w->stored);
}

uint64_t rp_view_writer_behind(const struct rp_view_writer *w, uint64_t now)
{
    uint64_t since = atomic_load(&w->since);

    if (atomic_load(&w->wanted) == atomic_load(&w->done))
        return 0;
    return now > since ? now - since : 1;
}
