/* SPDX-License-Identifier: Apache-2.0 */
/* The view file: the last view this node has taken part in. Read when the replicator opens, written by
 * view_writer.c, and once when the replicator opens. */
#include "replicator/view.h"
#include "ftcore/record/message.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE "understudy view %lu\n"

static int fail_by_errno(const char *path, struct ft_fault *fault)
{
    return ft_fail(fault, errno == EACCES || errno == EPERM ? FT_EPERM : FT_EIO, "%s: %s", path,
                   strerror(errno));
}

int rp_view_load(const char *path, uint64_t *view, struct ft_fault *fault)
{
    char text[64], same[64];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe put there must not hold us up */
    ssize_t n;

    *view = 0;
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0)
        return fail_by_errno(path, fault);
    n = read(fd, text, sizeof(text) - 1);
    close(fd);
    if (n == 0)
        return ft_fail(
            fault, FT_EMALFORMED,
            "%s: empty, expected 'understudy view N'; remove it if the peer serves, else write the "
            "line of the peer's file into it",
            path);
    text[n > 0 ? n : 0] = '\0';
    if (sscanf(text, LINE, view) == 1 && *view <= FT_VIEW_MAX &&
        snprintf(same, sizeof(same), LINE, *view) == n && strcmp(text, same) == 0)
        return 0;
    *view = 0;
    return ft_fail(fault, FT_EMALFORMED,
                   "%s:1: expected 'understudy view N'; remove it only if its peer holds the state", path);
}

/* A new file, of this node alone: what was left at its name goes, and a link that is put there is not
 * followed. */
static int write_new(const char *path, uint64_t view, struct ft_fault *fault)
{
    char text[64];
    int n = snprintf(text, sizeof(text), LINE, view), fd;
    bool whole;

    unlink(path);
    fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
    if (fd < 0)
        return fail_by_errno(path, fault);
    errno = ENOSPC; /* of a write that takes a part */
    whole = write(fd, text, (size_t)n) == n && fsync(fd) == 0;
    int why = errno;

    if (close(fd) == 0 && whole)
        return 0;
    errno = whole ? errno : why;
    return fail_by_errno(path, fault);
}

/* The directory's entry is on the disk, too. */
static int sync_directory(const char *path, struct ft_fault *fault)
{
    char directory[300];
    int fd, error = 0;

    snprintf(directory, sizeof(directory), "%s", path);
    char *slash = strrchr(directory, '/');

    if (slash)
        slash[slash == directory] = '\0';
    fd = open(slash ? directory : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        error = fail_by_errno(path, fault);
    if (fd >= 0)
        close(fd);
    return error;
}

int rp_view_store(const char *path, uint64_t view, struct ft_fault *fault)
{
    char temporary[300];
    int error;

    if (snprintf(temporary, sizeof(temporary), "%s.new", path) >= (int)sizeof(temporary))
        return ft_fail(fault, FT_EINVAL, "%.100s…: the path is too long", path);
    error = write_new(temporary, view, fault);
    if (!error && rename(temporary, path) != 0)
        error = fail_by_errno(path, fault);
    if (error) {
        unlink(temporary);
        return error;
    }
    return sync_directory(path, fault);
}
