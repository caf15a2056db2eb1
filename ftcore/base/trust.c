/* SPDX-License-Identifier: Apache-2.0 */
/* The walk to a file that is believed; see trust.h. Works in descriptors: what was judged is what is gone
 * through. */
#define _GNU_SOURCE /* O_PATH */
#include "ftcore/base/trust.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LINKS_MAX 40u /* as the kernel follows */

struct walk {
    const struct ft_trust *trust;
    const char *path;    /* as the caller names it */
    int at;              /* the directory that was reached; -1: none */
    char here[PATH_MAX]; /* its path; "" is / */
    char rest[PATH_MAX]; /* what is still to be gone */
    unsigned links;
    struct ft_fault *fault;
};

/* A path for a line: its end where it is long, and nothing that is no text. */
static const char *shown(const char *path, char out[81])
{
    size_t len = strlen(path);

    snprintf(out, 81, "%s%s", len > 80 ? "..." : "", len > 80 ? path + len - 77 : path);
    for (char *c = out; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = '?';
    return out;
}

static int fail_by_errno(const struct walk *w)
{
    int was = errno;
    int error = was == ENOENT || was == ENOTDIR ? FT_ENOENT
                : was == EACCES || was == EPERM ? FT_EPERM
                                                : FT_EIO;
    char path[81];

    ft_fail(w->fault, error, "%s: %s", shown(w->path, path),
            was == ELOOP && w->trust->no_link ? "is a link, expected a file" : strerror(was));
    errno = was;
    return error;
}

void ft_trust_user(struct ft_trust *trust, const char *name)
{
    struct passwd user, *found = NULL;
    char room[4096];

    if (name[0] && trust->also_count < FT_TRUST_USERS &&
        getpwnam_r(name, &user, room, sizeof(room), &found) == 0 && found)
        trust->also[trust->also_count++] = found->pw_uid;
}

static bool is_believed(const struct ft_trust *trust, uid_t owner)
{
    bool also = false;

    for (unsigned i = 0; i < trust->also_count; i++)
        also = also || trust->also[i] == owner;
    return also || owner == 0 || owner == geteuid();
}

/* Of what lies at `name` in the directory reached; NULL: of that directory. */
static int judge(const struct walk *w, const char *name, const struct stat *s)
{
    mode_t others = w->trust->secret && S_ISREG(s->st_mode) ? 077 : S_IWGRP | S_IWOTH;
    bool open = !S_ISLNK(s->st_mode) && s->st_mode & others && !(S_ISDIR(s->st_mode) && s->st_mode & S_ISVTX);
    char path[2 * PATH_MAX], culprit[81], file[81], above[112] = "", self[24] = "";

    errno = 0;
    if (!open && is_believed(w->trust, s->st_uid))
        return 0;
    snprintf(path, sizeof(path), "%s%s%s", w->here, name || !w->here[0] ? "/" : "", name ? name : "");
    shown(path, culprit);
    if (S_ISREG(s->st_mode) && open && w->trust->secret && is_believed(w->trust, s->st_uid))
        return ft_fail(w->fault, FT_EPERM, "%s: mode %04o, expected 0600: nobody else may read %s", culprit,
                       s->st_mode & 07777, w->trust->secret);
    if (!S_ISREG(s->st_mode))
        snprintf(above, sizeof(above), " (it leads to %s)", shown(w->path, file));
    if (geteuid() != 0)
        snprintf(self, sizeof(self), " or %u", geteuid());
    return ft_fail(w->fault, FT_EPERM,
                   "%s: owner %u, mode %04o, expected owner root%s, and nobody else may write%s", culprit,
                   s->st_uid, s->st_mode & 07777, self, above);
}

static int enter(struct walk *w, int directory)
{
    struct stat s;

    if (w->at >= 0)
        close(w->at);
    w->at = directory;
    return directory < 0 || fstat(directory, &s) != 0 ? fail_by_errno(w) : judge(w, NULL, &s);
}

static int enter_root(struct walk *w)
{
    w->here[0] = '\0';
    return enter(w, open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
}

static int enter_parent(struct walk *w)
{
    char *slash = strrchr(w->here, '/');

    if (slash)
        *slash = '\0';
    return enter(w, openat(w->at, "..", O_PATH | O_DIRECTORY | O_CLOEXEC));
}

/* The link's target takes the place of its name. */
static int follow(struct walk *w, int link)
{
    char target[PATH_MAX], rest[PATH_MAX];
    ssize_t len = readlinkat(link, "", target, sizeof(target) - 1);

    if (len < 0)
        return fail_by_errno(w);
    target[len] = '\0';
    errno = ++w->links > LINKS_MAX                                                        ? ELOOP
            : snprintf(rest, sizeof(rest), "%s/%s", target, w->rest) >= (int)sizeof(rest) ? ENAMETOOLONG
                                                                                          : 0;
    if (errno)
        return fail_by_errno(w);
    memcpy(w->rest, rest, sizeof(rest));
    return target[0] == '/' ? enter_root(w) : 0;
}

/* Looked at once more when it is open, so that nobody of those believed exchanges it for a pipe in between.
 */
static int open_file(struct walk *w, const char *name)
{
    int how = w->trust->unread ? O_PATH : O_RDONLY | O_NONBLOCK | O_NOCTTY;
    int fd = openat(w->at, name, how | O_NOFOLLOW | O_CLOEXEC), error;
    struct stat s;

    if (fd < 0 || fstat(fd, &s) != 0)
        error = fail_by_errno(w);
    else if ((error = judge(w, name, &s)) == 0 && S_ISREG(s.st_mode))
        return fd;
    if (fd >= 0)
        close(fd);
    return error ? error : FT_EMALFORMED;
}

static int refuse_odd(const struct walk *w)
{
    char path[81];

    errno = 0;
    return ft_fail(w->fault, FT_EMALFORMED, "%s: not a regular file, expected %s", shown(w->path, path),
                   w->trust->expected);
}

/* 0: there is more to go. Else an error, or the file's descriptor, in *file. */
static int go_through(struct walk *w, const char *name, int *file)
{
    bool last = !w->rest[strspn(w->rest, "/")];
    int fd = openat(w->at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC), error;
    size_t len = strlen(w->here);
    struct stat s;

    if (fd < 0 || fstat(fd, &s) != 0) {
        error = fail_by_errno(w);
    } else if ((error = judge(w, name, &s)) != 0) {
        ;
    } else if (S_ISLNK(s.st_mode)) {
        errno = ELOOP;
        error = last && w->trust->no_link ? fail_by_errno(w) : follow(w, fd);
    } else if (S_ISDIR(s.st_mode) && !last) {
        snprintf(w->here + len, sizeof(w->here) - len, "/%s", name);
        return enter(w, fd);
    } else if (!last) {
        errno = ENOTDIR;
        error = fail_by_errno(w);
    } else if (!S_ISREG(s.st_mode)) {
        error = refuse_odd(w);
    } else if ((*file = open_file(w, name)) < 0) {
        error = *file == FT_EMALFORMED ? refuse_odd(w) : *file;
    }
    if (fd >= 0) {
        int was = errno;

        close(fd);
        errno = was;
    }
    return error;
}

static int begin(struct walk *w)
{
    char here[PATH_MAX] = "";

    errno = 0;
    if (w->path[0] != '/' && !getcwd(here, sizeof(here)))
        return fail_by_errno(w);
    errno = !w->path[0] ? ENOENT
            : snprintf(w->rest, sizeof(w->rest), "%s/%s", here, w->path) >= (int)sizeof(w->rest)
                ? ENAMETOOLONG
                : 0;
    return errno ? fail_by_errno(w) : enter_root(w);
}

int ft_trust_open(const char *path, const struct ft_trust *trust, struct ft_fault *fault)
{
    struct walk w = {.trust = trust, .path = path, .at = -1, .fault = fault};
    int error = begin(&w), file = -1, was;

    while (!error && file < 0) {
        char *name = w.rest + strspn(w.rest, "/"), part[NAME_MAX + 1];
        size_t len = strcspn(name, "/");

        if (len == 0) { /* the path ends with a directory */
            error = refuse_odd(&w);
            break;
        }
        if (len > NAME_MAX) {
            errno = ENAMETOOLONG;
            error = fail_by_errno(&w);
            break;
        }
        memcpy(part, name, len);
        part[len] = '\0';
        memmove(w.rest, name + len, strlen(name + len) + 1);
        if (strcmp(part, ".") == 0)
            continue;
        error = strcmp(part, "..") == 0 ? enter_parent(&w) : go_through(&w, part, &file);
    }
    was = errno;
    if (w.at >= 0)
        close(w.at);
    errno = was;
    return error ? error : file;
}
