/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A set of files beside those that are in use, in a directory of its own beside the chain file, and the steps
 * by which each takes its place. A file there, DECIDED, says that the set is to be installed whole: who finds
 * it goes on where the one before was ended. Each step can be done again: the old file gets its second name,
 * and the new one is renamed over the first.
 */
#define _GNU_SOURCE /* nftw, statx */
#include "ftcore/base/trust.h"
#include "node/config/files.h"
#include "node/config/yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define STAGE   ".understudy-push"
#define DECIDED ".decided" /* no file of a set has such a name */

struct places {
    char dir[256]; /* with its slash; "": the working directory */
    char stage[288];
    char decided[304];
};

/* With its slash; "": the working directory. */
static int directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? (int)(slash - path) + 1 : 0;
}

/* The stage lies where the chain file does that `pair` names, so that no other directory need be writable. */
static void find_places(struct places *at, const char *pair)
{
    struct nd_arena *arena = nd_arena_new();
    const struct nd_yaml *root, *file;
    struct nf_file text;
    struct ft_fault fault;
    const char *chain = NULL;

    if (arena && nd_yaml_read(&root, &text, arena, pair, &nd_trust_pair, NULL, &fault) == 0 &&
        (file = nd_yaml_get(nd_yaml_get(root, "chain"), "file")) && file->kind == ND_YAML_TEXT)
        chain = nd_path_join(arena, file->file->dir, file->text);
    if (!chain || strlen(chain) >= sizeof(at->dir))
        chain = pair;
    snprintf(at->dir, sizeof(at->dir), "%.*s", directory_of(pair), pair);
    snprintf(at->stage, sizeof(at->stage), "%.*s" STAGE "/", directory_of(chain), chain);
    snprintf(at->decided, sizeof(at->decided), "%s" DECIDED, at->stage);
    nd_arena_free(arena);
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

/* A disk that is full takes a part, and says so only of the next one. */
static bool write_whole(int fd, const uint8_t *bytes, size_t len)
{
    for (size_t at = 0; at < len;) {
        ssize_t n = write(fd, bytes + at, len - at);

        if (n < 0 && errno != EINTR)
            return false;
        at += n > 0 ? (size_t)n : 0;
    }
    return true;
}

static int write_file(const char *path, const void *bytes, size_t len, mode_t mode, struct ft_fault *fault)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
    bool whole = fd >= 0 && write_whole(fd, bytes, len) && fchmod(fd, mode) == 0 && fsync(fd) == 0;
    int error = whole ? 0 : cannot(fault, path);

    if (fd >= 0 && close(fd) != 0 && !error)
        error = cannot(fault, path);
    return error;
}

/* The directory that `path` lies in, or is: its names are on the disk. */
static int sync_directory(const char *path, struct ft_fault *fault)
{
    char dir[768];
    const char *slash = strrchr(path, '/');
    int fd, error = 0;

    snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - path) + 1 : 2, slash ? path : "./");
    fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || fsync(fd) != 0)
        error = cannot(fault, dir);
    if (fd >= 0)
        close(fd);
    return error;
}

/* Between two mounts nothing is renamed, though both may be of one file system: a unit's writable paths. */
static bool is_one_mount(const char *dir, const char *stage)
{
    struct statx a, b;

    return statx(AT_FDCWD, dir, 0, STATX_MNT_ID, &a) == 0 &&
           statx(AT_FDCWD, stage, 0, STATX_MNT_ID, &b) == 0 && a.stx_dev_major == b.stx_dev_major &&
           a.stx_dev_minor == b.stx_dev_minor && a.stx_mnt_id == b.stx_mnt_id;
}

/* A file can be renamed from the stage to `there`, and what is there to NAME.before. *mode: of that. */
static int check_place(const char *there, const char *stage, mode_t *mode, struct ft_fault *fault)
{
    char dir[512], before[520];
    struct stat is;

    snprintf(before, sizeof(before), "%s.before", there);
    snprintf(dir, sizeof(dir), "%.*s", (int)(strrchr(there, '/') ? strrchr(there, '/') - there + 1 : 0),
             there);
    if (faccessat(AT_FDCWD, *dir ? dir : ".", W_OK | X_OK, AT_EACCESS) != 0)
        return cannot(fault, there);
    if (!is_one_mount(*dir ? dir : ".", stage))
        return ft_fail(fault, FT_EINVAL, "%.200s: on another file system or mount than the chain file",
                       there);
    if (lstat(before, &is) == 0 && S_ISDIR(is.st_mode))
        return ft_fail(fault, FT_EINVAL, "%.200s: a directory, expected what may be written", before);
    if (lstat(there, &is) != 0)
        return 0;
    *mode = is.st_mode & 0666;
    return S_ISREG(is.st_mode)
               ? 0
               : ft_fail(fault, FT_EINVAL, "%.200s: not a regular file, so it is not replaced", there);
}

static int stage_one(const struct nd_file *file, const struct places *at, struct ft_fault *fault)
{
    char path[512], there[500];
    mode_t mode = 0640;
    int error;

    snprintf(path, sizeof(path), "%s%s", at->stage, file->path);
    snprintf(there, sizeof(there), "%s%s", at->dir, file->path);
    error = make_parents(path, strlen(at->stage), fault);
    if (!error)
        error = make_parents(there, strlen(at->dir), fault);
    if (!error)
        error = check_place(there, at->stage, &mode, fault);
    if (!error)
        error = write_file(path, file->bytes, file->len, mode, fault);
    return error ? error : sync_directory(path, fault);
}

static int remove_one(const char *path, const struct stat *is, int kind, struct FTW *at)
{
    (void)is;
    (void)kind;
    (void)at;
    return remove(path);
}

/* The mark first: what is left without it is nothing. */
static void drop(const struct places *at)
{
    unlink(at->decided);
    nftw(at->stage, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

int nd_files_stage(const struct nd_files *files, const char *pair, struct ft_fault *fault)
{
    struct places at;
    int error = 0;

    find_places(&at, pair);
    drop(&at);
    if (mkdir(at.stage, 0750) != 0)
        return cannot(fault, at.stage);
    for (uint32_t i = 0; i < files->count && !error; i++)
        error = stage_one(&files->list[i], &at, fault);
    if (error)
        drop(&at);
    return error;
}

/* ---- to their places --------------------------------------------------------------------------- */

static struct {
    struct places at;
    struct ft_fault fault;
    int error;
} installing; /* nftw has no argument for its caller: one thread installs */

static int install_one(const char *path, const struct stat *is, int kind, struct FTW *how)
{
    char to[768], before[776];
    struct stat there;

    (void)is;
    (void)how;
    if (kind != FTW_F || strcmp(path, installing.at.decided) == 0)
        return 0;
    snprintf(to, sizeof(to), "%s%s", installing.at.dir, path + strlen(installing.at.stage));
    snprintf(before, sizeof(before), "%s.before", to);
    /* A file of another user's may not get a second name: for a moment it has none of its own. */
    if (lstat(to, &there) == 0 &&
        ((unlink(before) != 0 && errno != ENOENT) || (link(to, before) != 0 && rename(to, before) != 0)))
        return installing.error = cannot(&installing.fault, before);
    if (rename(path, to) != 0)
        return installing.error = cannot(&installing.fault, to);
    return installing.error = sync_directory(to, &installing.fault);
}

int nd_files_finish(const char *pair, struct ft_fault *fault)
{
    struct stat is;

    find_places(&installing.at, pair);
    installing.error = 0;
    if (lstat(installing.at.decided, &is) != 0 || !S_ISREG(is.st_mode)) {
        drop(&installing.at);
        return 0;
    }
    nftw(installing.at.stage, install_one, 8, FTW_PHYS);
    if (installing.error) {
        *fault = installing.fault;
        return installing.error;
    }
    drop(&installing.at);
    return 1;
}

int nd_files_install(const char *pair, struct ft_fault *fault)
{
    struct places at;
    int error;

    find_places(&at, pair);
    error = write_file(at.decided, "", 0, 0600, fault);
    if (!error)
        error = sync_directory(at.decided, fault);
    if (!error)
        error = nd_files_finish(pair, fault);
    return error < 0 ? error : 0;
}
