/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a thread begins that may wait for a disk as long as the disk likes. While the kernel keeps such a
 * thread it could close none of the files and sockets that the thread shares, and nobody would hear of the
 * death of the others; so it shares none but the standard streams. For files that define _GNU_SOURCE.
 */
#ifndef FTCORE_BASE_DISK_THREAD_H
#define FTCORE_BASE_DISK_THREAD_H

#include "ftcore/base/event_log.h"
#include "ftcore/base/thread.h"

#include <unistd.h>

/* By the thread itself, before it opens `path`. */
static inline void ft_disk_thread_begin(const char *name, const char *path)
{
    ft_thread_begin(name);
    if (close_range(STDERR_FILENO + 1, ~0u, CLOSE_RANGE_UNSHARE) != 0)
        ft_log_event(FT_LEVEL_WARNING, FT_SAYS_START, "the writer of %s shares the node's sockets", path);
}

#endif
