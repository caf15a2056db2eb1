/* SPDX-License-Identifier: Apache-2.0 */
/* The view file: the last view this node has taken part in. Read when the replicator opens, written by
 * view_writer.c. */
#include "replicator/view.h"
#include "ftcore/base/durable.h"
#include "ftcore/record/message.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE     "understudy view %lu\n"
#define SHARD    "shard %s of %s and %s\n"
#define TEXT_MAX 192u

static int write_text(char out[TEXT_MAX], const struct rp_view *v)
{
    const struct ft_members *m = &v->members;
    char shard[FT_SHARD_TEXT];
    int n = snprintf(out, TEXT_MAX, LINE, v->number);

    if (ft_has_shard(m))
        n += snprintf(out + n, TEXT_MAX - (size_t)n, SHARD, ft_shard_text(shard, m), m->name[0], m->name[1]);
    return n;
}

/* What write_text writes, and nothing else. */
static bool read_text(const char *text, struct rp_view *out)
{
    struct ft_members *m = &out->members;
    char same[TEXT_MAX], shard[FT_SHARD_TEXT];

    *out = (struct rp_view){.number = 0};
    if (sscanf(text, LINE "shard %32s of %31s and %31s", &out->number, shard, m->name[0], m->name[1]) > 1 &&
        !(ft_shard_read(m, shard) && ft_members_fit(m)))
        return false;
    write_text(same, out);
    return strcmp(text, same) == 0 && out->number <= FT_VIEW_MAX;
}

/* Its first line is a view, and another line is behind it. */
static bool begins_as_a_view(const char *text)
{
    uint64_t number;
    char line[TEXT_MAX];

    if (sscanf(text, LINE, &number) != 1 || number > FT_VIEW_MAX)
        return false;
    return strncmp(text, line, (size_t)snprintf(line, sizeof(line), LINE, number)) == 0 &&
           strlen(text) > strlen(line);
}

int rp_view_load(const char *path, struct rp_view *view, struct ft_fault *fault)
{
    char text[TEXT_MAX];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe put there must not hold us up */
    ssize_t n;

    *view = (struct rp_view){.number = 0};
    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0)
        return ft_durable_fail(path, fault);
    n = read(fd, text, sizeof(text) - 1);
    int why = errno;

    close(fd);
    errno = why;
    if (n < 0)
        return ft_durable_fail(path, fault);
    if (n == 0)
        return ft_fail(
            fault, FT_EMALFORMED,
            "%s: empty, expected 'understudy view N'; remove it if the peer serves, else write the "
            "line of the peer's file into it",
            path);
    text[n] = '\0';
    if (strlen(text) == (size_t)n && read_text(text, view))
        return 0;
    bool first = begins_as_a_view(text);

    *view = (struct rp_view){.number = 0};
    return ft_fail(fault, FT_EMALFORMED, "%s:%u: expected '%s'; remove it only if its peer holds the state",
                   path, 1u + first, first ? "shard 32 HEX DIGITS of NODE and NODE" : "understudy view N");
}

int rp_view_sync(const char *path)
{
    struct ft_fault fault;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), error;

    error = fd < 0 || fsync(fd) != 0 ? FT_EIO : ft_durable_sync(path, &fault);
    if (fd >= 0)
        close(fd);
    return error;
}

int rp_view_store(const char *path, const struct rp_view *view, struct ft_fault *fault)
{
    char text[TEXT_MAX];
    int n = write_text(text, view);

    return ft_durable_write(path, 0640, text, (size_t)n, fault);
}
