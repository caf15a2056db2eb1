/* SPDX-License-Identifier: Apache-2.0 */
/* The view file: the last view this node has taken part in. Written by the replicator before it acts on a new
 * view. */
#include "replicator/replicator.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int rp_view_load(const char *path, uint64_t *view, struct ft_fault *fault)
{
    char text[64], rest;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    *view = 0;
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0)
        return ft_fail(fault, errno == EACCES ? FT_EPERM : FT_EIO, "%s: %s", path, strerror(errno));
    n = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    if (sscanf(text, "understudy view %" SCNu64 "%c", view, &rest) != 2 || rest != '\n')
        return ft_fail(fault, FT_EMALFORMED,
                       "%s:1: expected 'understudy view N'; remove it only if its peer holds the state",
                       path);
    return 0;
}

int rp_view_store(const char *path, uint64_t view, struct ft_fault *fault)
{
    char text[64], temporary[300];
    int n = snprintf(text, sizeof(text), "understudy view %" PRIu64 "\n", view), fd;

    snprintf(temporary, sizeof(temporary), "%s.new", path);
    fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return ft_fail(fault, errno == EACCES ? FT_EPERM : FT_EIO, "%s: %s", temporary, strerror(errno));
    bool written = write(fd, text, (size_t)n) == n;

    /* No fsync: a takeover cannot wait for a disk. A machine that lost power is empty, and asks its peer. */
    if (close(fd) != 0 || !written || rename(temporary, path) != 0)
        return ft_fail(fault, FT_EIO, "%s: %s", path, strerror(errno));
    return 0;
}
