/* SPDX-License-Identifier: Apache-2.0 */
/* The view file: the last view this node has taken part in. Written by the replicator before it acts on a new
 * view. */
#include "replicator/replicator.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE        "understudy view %lu\n"
#define RP_VIEW_MAX (1ull << 62) /* one view a nanosecond for a century; beyond, it is damage */

int rp_view_load(const char *path, uint64_t *view, struct ft_fault *fault)
{
    char text[64], same[64];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe put there must not hold us up */
    ssize_t n;

    *view = 0;
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0)
        return ft_fail(fault, errno == EACCES ? FT_EPERM : FT_EIO, "%s: %s", path, strerror(errno));
    n = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (n == 0)
        return ft_fail(
            fault, FT_EMALFORMED,
            "%s: empty, expected 'understudy view N'; remove it if the peer serves, else write the "
            "line of the peer's file into it",
            path);
    text[n > 0 ? n : 0] = '\0';
    if (sscanf(text, LINE, view) == 1 && *view <= RP_VIEW_MAX &&
        snprintf(same, sizeof(same), LINE, *view) == n && strcmp(text, same) == 0)
        return 0;
    *view = 0;
    return ft_fail(fault, FT_EMALFORMED,
                   "%s:1: expected 'understudy view N'; remove it only if its peer holds the state", path);
}

int rp_view_store(const char *path, uint64_t view, struct ft_fault *fault)
{
    char text[64], temporary[300];
    int n = snprintf(text, sizeof(text), LINE, view), fd;

    if (snprintf(temporary, sizeof(temporary), "%s.new", path) >= (int)sizeof(temporary))
        return ft_fail(fault, FT_EINVAL, "%.100s…: the path is too long", path);
    fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return ft_fail(fault, errno == EACCES ? FT_EPERM : FT_EIO, "%s: %s", temporary, strerror(errno));
    bool written = write(fd, text, (size_t)n) == n;

    /* No fsync: a takeover cannot wait for a disk. rp_view_sync follows, from a thread that can. */
    if (close(fd) != 0 || !written || rename(temporary, path) != 0) {
        ft_fail(fault, FT_EIO, "%s: %s", path, strerror(errno));
        unlink(temporary);
        return FT_EIO;
    }
    return 0;
}

static bool sync_one(const char *path, int flags)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | flags);
    bool done = fd >= 0 && fsync(fd) == 0;

    if (fd >= 0)
        close(fd);
    return done;
}

int rp_view_sync(const char *path, struct ft_fault *fault)
{
    char directory[300];

    snprintf(directory, sizeof(directory), "%s", path);
    char *slash = strrchr(directory, '/');

    if (slash)
        slash[slash == directory] = '\0';
    if (!sync_one(path, 0) || !sync_one(slash ? directory : ".", O_DIRECTORY))
        return ft_fail(fault, FT_EIO, "%s: cannot be put on the disk: %s", path, strerror(errno));
    return 0;
}
