/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A set of files beside those that are in use, in a directory of its own below theirs, and the step by which
 * each takes its place: the two exchange their names, one file after the other. What was there is kept as
 * NAME.before.
 */
#define _GNU_SOURCE /* nftw, renameat2 */
#include "node/config/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STAGE ".understudy-push"

/* "DIR/.understudy-push/" and the directory itself, both with a slash at their ends or empty. */
static void find_stage(const struct nd_config *own, char dir[256], char stage[288])
{
    const char *slash = strrchr(own->file, '/');

    snprintf(dir, 256, "%.*s", slash ? (int)(slash - own->file) + 1 : 0, own->file);
    snprintf(stage, 288, "%s" STAGE "/", dir);
}

static int cannot(struct ft_fault *fault, const char *path)
{
    return ft_fail(fault, errno == EACCES || errno == EPERM || errno == EROFS ? FT_EPERM : FT_EIO,
                   "cannot write %.200s: %s", path, strerror(errno));
}

static int make_parents(char *path, size_t from, struct ft_fault *fault)
{
    for (char *slash = strchr(path + from, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (mkdir(path, 0750) != 0 && errno != EEXIST)
            return cannot(fault, path);
        *slash = '/';
    }
    return 0;
}

static int write_file(const char *path, const void *bytes, size_t len, mode_t mode, struct ft_fault *fault)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    bool whole = fd >= 0 && write(fd, bytes, len) == (ssize_t)len && fchmod(fd, mode) == 0 && fsync(fd) == 0;
    int error = whole ? 0 : cannot(fault, path);

    if (fd >= 0 && close(fd) != 0 && !error)
        error = cannot(fault, path);
    return error;
}

/* As the file that it will take the place of. */
static int stage_one(const struct nd_file *file, const char *dir, const char *stage, struct ft_fault *fault)
{
    char path[512], there[512];
    struct stat is;
    int error;

    snprintf(path, sizeof(path), "%s%s", stage, file->path);
    snprintf(there, sizeof(there), "%s%s", dir, file->path);
    error = make_parents(path, strlen(stage), fault);
    return error ? error
                 : write_file(path, file->bytes, file->len, stat(there, &is) == 0 ? is.st_mode & 0666 : 0640,
                              fault);
}

/* What a staged file may name that does not travel: the pair file, and modules. */
static void link_others(const char *dir, const char *stage, const char *pair)
{
    DIR *d = opendir(*dir ? dir : ".");
    char from[512], to[768];
    const struct dirent *e;
    size_t len;

    while (d && (e = readdir(d))) {
        len = strlen(e->d_name);
        if (strcmp(e->d_name, pair) != 0 && (len < 4 || strcmp(e->d_name + len - 3, ".so") != 0))
            continue;
        snprintf(from, sizeof(from), "../%.255s", e->d_name);
        snprintf(to, sizeof(to), "%s%.200s", stage, e->d_name);
        if (symlink(from, to) != 0)
            continue; /* it is in the set */
    }
    if (d)
        closedir(d);
}

static int remove_one(const char *path, const struct stat *is, int kind, struct FTW *at)
{
    (void)is;
    (void)kind;
    (void)at;
    return remove(path);
}

void nd_files_drop(const struct nd_config *own)
{
    char dir[256], stage[288];

    find_stage(own, dir, stage);
    nftw(stage, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

int nd_files_stage(const struct nd_files *files, const struct nd_config *own, char path[ND_FILES_STAGED],
                   struct ft_fault *fault)
{
    const char *slash = strrchr(own->file, '/'), *pair = slash ? slash + 1 : own->file;
    char dir[256], stage[288];
    int error = 0;

    find_stage(own, dir, stage);
    nd_files_drop(own);
    if (mkdir(stage, 0750) != 0)
        return cannot(fault, stage);
    for (uint32_t i = 0; i < files->count && !error; i++)
        error = stage_one(&files->list[i], dir, stage, fault);
    link_others(dir, stage, pair);
    snprintf(path, ND_FILES_STAGED, "%s%s", stage, pair);
    if (error)
        nd_files_drop(own);
    return error;
}

/* ---- to their places --------------------------------------------------------------------------- */

static struct {
    char dir[256];
    size_t skip; /* bytes of a staged path before its name */
    int error;   /* the first, as in errno */
} installing;    /* nftw has no argument for its caller: one thread installs, the main one */

static int install_one(const char *path, const struct stat *is, int kind, struct FTW *at)
{
    char to[768], before[776];

    (void)is;
    (void)at;
    if (kind != FTW_F)
        return 0;
    snprintf(to, sizeof(to), "%s%s", installing.dir, path + installing.skip);
    snprintf(before, sizeof(before), "%s.before", to);
    if (renameat2(AT_FDCWD, path, AT_FDCWD, to, RENAME_EXCHANGE) == 0) {
        if (rename(path, before) != 0)
            installing.error = errno;
    } else if (errno != ENOENT || rename(path, to) != 0) {
        installing.error = errno;
    }
    return installing.error;
}

int nd_files_install(const struct nd_config *own, struct ft_fault *fault)
{
    char stage[288];

    find_stage(own, installing.dir, stage);
    installing.skip = strlen(stage);
    installing.error = 0;
    nftw(stage, install_one, 8, FTW_PHYS);
    errno = installing.error;
    if (errno)
        return cannot(fault, stage);
    nd_files_drop(own);
    return 0;
}
