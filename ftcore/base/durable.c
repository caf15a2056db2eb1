/* SPDX-License-Identifier: Apache-2.0 */
/* See durable.h. */
#include "ftcore/base/durable.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NEW (O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC)

int ft_durable_fail(const char *path, struct ft_fault *fault)
{
    return ft_fail(fault,
                   errno == EACCES || errno == EPERM ? FT_EPERM
                   : errno == ENAMETOOLONG           ? FT_EINVAL
                                                     : FT_EIO,
                   "%.200s: %s", path, strerror(errno));
}

int ft_durable_sync(const char *path, struct ft_fault *fault)
{
    const char *slash = strrchr(path, '/');
    char dir[PATH_MAX];
    int fd, error = 0;

    snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        error = ft_durable_fail(path, fault);
    if (fd >= 0)
        close(fd);
    return error;
}

int ft_durable_rename(const char *from, const char *to, struct ft_fault *fault)
{
    return rename(from, to) != 0 ? ft_durable_fail(to, fault) : ft_durable_sync(to, fault);
}

static int make_file(const char *path, mode_t mode, bool exactly, const void *bytes, size_t len,
                     struct ft_fault *fault)
{
    int fd = open(path, NEW, mode), error;
    ssize_t n = 0;

    if (fd < 0)
        return ft_durable_fail(path, fault);
    for (size_t at = 0; at < len && (n >= 0 || errno == EINTR); at += n > 0 ? (size_t)n : 0)
        n = write(fd, (const char *)bytes + at, len - at); /* a full disk fails the next write */
    error = n < 0 || (exactly && fchmod(fd, mode) != 0) || fsync(fd) != 0 ? ft_durable_fail(path, fault) : 0;
    if (close(fd) != 0 && !error)
        error = ft_durable_fail(path, fault);
    return error;
}

int ft_durable_new(const char *path, mode_t mode, const void *bytes, size_t len, struct ft_fault *fault)
{
    return make_file(path, mode, true, bytes, len, fault);
}

static int name_beside(char out[PATH_MAX], const char *path, struct ft_fault *fault)
{
    if (snprintf(out, PATH_MAX, "%s.new", path) >= PATH_MAX)
        return ft_fail(fault, FT_EINVAL, "%.100s…: the path is too long", path);
    unlink(out);
    return 0;
}

int ft_durable_write(const char *path, mode_t mode, const void *bytes, size_t len, struct ft_fault *fault)
{
    char beside[PATH_MAX];
    int error = name_beside(beside, path, fault);

    if (error)
        return error;
    error = make_file(beside, mode, false, bytes, len, fault);
    if (!error && rename(beside, path) != 0)
        error = ft_durable_fail(path, fault);
    if (!error)
        return ft_durable_sync(path, fault);
    unlink(beside);
    return error;
}

int ft_durable_begin(struct ft_durable *d, const char *path, const char *beside, mode_t mode,
                     struct ft_fault *fault)
{
    int fd, error = 0;

    *d = (struct ft_durable){.path = path};
    if (!beside)
        error = name_beside(d->beside, path, fault);
    else if (snprintf(d->beside, PATH_MAX, "%s", beside) >= PATH_MAX)
        error = ft_fail(fault, FT_EINVAL, "%.100s…: the path is too long", path);
    if (error)
        return error;
    fd = open(d->beside, NEW, mode);
    d->out = fd < 0 ? NULL : fdopen(fd, "w");
    if (d->out)
        return 0;
    error = ft_durable_fail(path, fault);
    if (fd >= 0) {
        close(fd);
        unlink(d->beside);
    }
    return error;
}

int ft_durable_end(struct ft_durable *d, bool whole, struct ft_fault *fault)
{
    int error = 0;

    if (!d->out)
        return 0;
    if ((!whole || ferror(d->out)) && errno == 0)
        errno = EIO; /* why is forgotten by now */
    whole &= !ferror(d->out) && fflush(d->out) == 0 && fsync(fileno(d->out)) == 0;
    if (!whole)
        error = ft_durable_fail(d->path, fault);
    if (fclose(d->out) != 0 && !error)
        error = ft_durable_fail(d->path, fault);
    d->out = NULL;
    if (!error && rename(d->beside, d->path) != 0)
        error = ft_durable_fail(d->path, fault);
    if (!error)
        return ft_durable_sync(d->path, fault);
    unlink(d->beside);
    return error;
}
