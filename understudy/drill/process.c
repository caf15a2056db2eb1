/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a process out of /proc, signals it, cuts its links, and starts a node in its place: of the process
 * only the place is taken, the program is the caller's own, and so is the pair file. See
 * understudy/drill/process.h.
 */
#define _GNU_SOURCE
#include "understudy/drill/process.h"
#include "understudy/pair/child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/nsfs.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static int open_entry(pid_t pid, const char *name)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    return open(path, O_RDONLY | O_CLOEXEC);
}

static int read_file(pid_t pid, const char *name, char *out, size_t cap)
{
    int fd = open_entry(pid, name);
    if (fd < 0)
        return -errno;
    ssize_t n = read(fd, out, cap - 1);
    int error = errno;
    close(fd);
    if (n < 0)
        return -error;
    out[n] = 0;
    return (int)n;
}

static bool read_link(pid_t pid, const char *name, char *out, size_t cap)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    ssize_t n = readlink(path, out, cap - 1);
    out[n > 0 ? n : 0] = 0;
    return n > 0;
}

/* Field 22 of stat; the name in field 2 may hold anything, so count from its closing parenthesis. 0: no such
 * process. */
static uint64_t start_time(pid_t pid)
{
    char stat[1024];
    if (read_file(pid, "stat", stat, sizeof stat) <= 0)
        return 0;
    char *at = strrchr(stat, ')');
    if (at == NULL || at[1] != ' ' || at[2] == 'Z' || at[2] == 'X')
        return 0;
    at += 2;
    for (int field = 3; field < 22 && at != NULL; field++)
        at = strchr(at + 1, ' ');
    return at ? strtoull(at, NULL, 10) : 0;
}

/* A number of the line `name` of its status; the line's second number if `second`. -1: there is none. */
static long status_number(pid_t pid, const char *name, bool second)
{
    char status[4096], *at, *end;
    if (read_file(pid, "status", status, sizeof status) <= 0 || (at = strstr(status, name)) == NULL)
        return -1;
    at += strlen(name);
    long first = strtol(at, &end, 10);
    return end == at ? -1 : second ? strtol(end, NULL, 10) : first;
}

/* The same file; or one that was removed, where the caller's own path is: it was built again since. */
static bool runs_this_program(pid_t pid)
{
    char path[64], theirs[PATH_MAX], ours[PATH_MAX];
    struct stat their_file, our_file;
    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    if (stat(path, &their_file) != 0 || stat("/proc/self/exe", &our_file) != 0)
        return false;
    if (their_file.st_dev == our_file.st_dev && their_file.st_ino == our_file.st_ino)
        return true;
    if (their_file.st_nlink != 0 || !read_link(pid, "exe", theirs, sizeof theirs) ||
        !read_link(getpid(), "exe", ours, sizeof ours))
        return false;
    if (our_file.st_nlink != 0)
        strncat(ours, " (deleted)", sizeof ours - strlen(ours) - 1);
    return strcmp(theirs, ours) == 0;
}

/* The very file that it has open for writing: its path may lead elsewhere by now. */
static int take_output(int handle)
{
    struct stat file;
    int fd = pidfd_getfd(handle, 2, 0), flags = fd < 0 ? 0 : fcntl(fd, F_GETFL);
    if (fd >= 0 && fstat(fd, &file) == 0 && (S_ISREG(file.st_mode) || S_ISCHR(file.st_mode)) &&
        !(flags & O_PATH) && (flags & O_ACCMODE) != O_RDONLY)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* Between handle and the last look nobody else can have got the pid. Returns errno. */
static int read_process(struct nd_process *p)
{
    long parent, user;
    if ((p->handle = pidfd_open(p->pid, 0)) < 0)
        return errno;
    p->started = start_time(p->pid);
    parent = status_number(p->pid, "\nPPid:", false);
    user = status_number(p->pid, "\nUid:", true);
    if (p->started == 0 || parent < 0 || user < 0)
        return ESRCH;
    p->parent = (pid_t)parent;
    p->user = (uid_t)user;
    if (!read_link(p->pid, "cwd", p->cwd, sizeof p->cwd) || (p->net = open_entry(p->pid, "ns/net")) < 0 ||
        (p->mount = open_entry(p->pid, "ns/mnt")) < 0)
        return errno;
    p->same_program = runs_this_program(p->pid);
    p->output = take_output(p->handle);
    return start_time(p->pid) != p->started ||
                   (pidfd_send_signal(p->handle, 0, NULL, 0) != 0 && errno == ESRCH)
               ? ESRCH
               : 0;
}

int nd_process_read(struct nd_process *p, pid_t pid, struct ft_fault *fault)
{
    *p = (struct nd_process)ND_NO_PROCESS;
    p->pid = pid;
    int error = read_process(p);
    if (error == 0)
        return FT_OK;
    nd_process_close(p);
    if (error == EACCES || error == EPERM)
        return ft_fail(fault, FT_EPERM,
                       "process %d: %s, expected root or the node's user: a drill hurts that process",
                       (int)pid, strerror(error));
    return ft_fail(fault, error == ENOENT || error == ESRCH || error == EINVAL ? FT_ENOENT : FT_EPERM,
                   "process %d: %s", (int)pid, strerror(error));
}

void nd_process_close(struct nd_process *p)
{
    int *all[] = {&p->handle, &p->output, &p->net, &p->mount};
    for (unsigned i = 0; i < sizeof all / sizeof all[0]; i++) {
        if (*all[i] >= 0)
            close(*all[i]);
        *all[i] = -1;
    }
}

int nd_process_signal(const struct nd_process *p, int number, struct ft_fault *fault)
{
    if (start_time(p->pid) != p->started)
        return ft_fail(fault, FT_ENOENT, "process %d is gone", (int)p->pid);
    if (pidfd_send_signal(p->handle, number, NULL, 0) == 0)
        return FT_OK;
    return ft_fail(fault, errno == EPERM ? FT_EPERM : FT_ENOENT, "process %d: %s", (int)p->pid,
                   strerror(errno));
}

static int set_links(bool up)
{
    struct if_nameindex *all = if_nameindex();
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), error = all == NULL || s < 0 ? errno : 0;
    for (struct if_nameindex *i = all; !error && i != NULL && i->if_index != 0; i++) {
        struct ifreq r = {.ifr_flags = 0};
        snprintf(r.ifr_name, sizeof r.ifr_name, "%s", i->if_name);
        if (ioctl(s, SIOCGIFFLAGS, &r) < 0 || (r.ifr_flags & IFF_LOOPBACK))
            continue;
        r.ifr_flags = (short)(up ? r.ifr_flags | IFF_UP : r.ifr_flags & ~IFF_UP);
        if (ioctl(s, SIOCSIFFLAGS, &r) < 0)
            error = errno;
    }
    if (all != NULL)
        if_freenameindex(all);
    if (s >= 0)
        close(s);
    return error;
}

/* Who made the namespace had all rights in this user namespace; other users can make them in their own. */
static bool is_owned_here(int space)
{
    struct stat theirs, ours;
    int owner = ioctl(space, NS_GET_USERNS);
    bool here = owner >= 0 && fstat(owner, &theirs) == 0 && stat("/proc/self/ns/user", &ours) == 0 &&
                theirs.st_ino == ours.st_ino && theirs.st_dev == ours.st_dev;
    if (owner >= 0)
        close(owner);
    return here;
}

/* Whether a user namespace other than the caller's owns a namespace of it: then none is entered. FT_EPERM. */
static int check_spaces(const struct nd_process *p, struct ft_fault *fault)
{
    if (is_owned_here(p->net) && is_owned_here(p->mount))
        return FT_OK;
    return ft_fail(fault, FT_EPERM,
                   "process %d is in a namespace of another user namespace, which a drill does not enter",
                   (int)p->pid);
}

int nd_process_links(const struct nd_process *p, bool up, struct ft_fault *fault)
{
    int error = check_spaces(p, fault);
    if (error < 0)
        return error;
    struct stat theirs, ours;
    if (fstat(p->net, &theirs) == 0 && stat("/proc/self/ns/net", &ours) == 0 &&
        theirs.st_ino == ours.st_ino) /* this machine's own network: not in a drill */
        return ft_fail(fault, FT_EPERM, "the node is in no network namespace of its own, its links stay up");
    pid_t child = nd_child();
    if (child == 0)
        _exit(setns(p->net, CLONE_NEWNET) < 0 ? errno : set_links(up));
    if (child < 0)
        return ft_fail(fault, FT_EIO, "fork: %s", strerror(errno));
    int status = nd_child_wait(child);
    error = WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
    if (error == 0)
        return FT_OK;
    return ft_fail(fault, error == EPERM ? FT_EPERM : FT_EIO, "links of process %d: %s", (int)p->pid,
                   strerror(error));
}

/* ==== a node started in its place =================================================================== */

struct start {
    const struct nd_process *place;
    const char *node;
    char program[PATH_MAX], file[2 * PATH_MAX]; /* absolute */
    struct stat program_is, file_is;            /* what lies there, as the caller sees it */
};

/* Links in the file's path stay: what the file names is relative to the directory that the path names. */
static int make_absolute(char *out, size_t cap, const char *path)
{
    char here[PATH_MAX] = "";
    if (path[0] != '/' && getcwd(here, sizeof here) == NULL)
        return errno;
    return snprintf(out, cap, "%s%s%s", here, here[0] ? "/" : "", path) < (int)cap ? 0 : ENAMETOOLONG;
}

static int prepare(struct start *s, const struct nd_process *p, const char *file, const char *node,
                   struct ft_fault *fault)
{
    static const char removed[] = " (deleted)"; /* built again since: the new one will do */
    memset(s, 0, sizeof *s);
    s->place = p;
    s->node = node;
    ssize_t n = readlink("/proc/self/exe", s->program, sizeof s->program - 1);
    size_t tail = sizeof removed - 1;
    struct stat self;
    if (n > (ssize_t)tail && stat("/proc/self/exe", &self) == 0 && self.st_nlink == 0)
        s->program[(size_t)n - tail] = 0;
    int error = n <= 0 ? errno : make_absolute(s->file, sizeof s->file, file);
    if (error == 0 && (stat(s->program, &s->program_is) != 0 || stat(s->file, &s->file_is) != 0))
        error = errno;
    return error ? ft_fail(fault, FT_EIO, "%s with %s: %s", s->program, file, strerror(error))
                 : check_spaces(p, fault);
}

static bool is_same(const char *path, const struct stat *before)
{
    struct stat now;
    return stat(path, &now) == 0 && now.st_dev == before->st_dev && now.st_ino == before->st_ino;
}

/* In a child. Returns errno; ESTALE: its mounts have something else where program or file are. */
static int enter_place(const struct start *s)
{
    const struct nd_process *p = s->place;
    struct stat here;
    if (setns(p->net, CLONE_NEWNET) < 0 || setns(p->mount, CLONE_NEWNS) < 0)
        return errno;
    if (!is_same(s->program, &s->program_is) || !is_same(s->file, &s->file_is))
        return ESTALE;
    /* A directory that others can write to may have anything in the place of what the file names by the
     * working directory, such as a driver. */
    if (chdir(p->cwd) == 0 && stat(".", &here) == 0 && (here.st_uid == 0 || here.st_uid == geteuid()) &&
        (here.st_mode & (S_IWGRP | S_IWOTH)) == 0)
        return 0;
    return chdir("/") == 0 ? 0 : errno;
}

static int fail_entered(const struct start *s, int error, struct ft_fault *fault)
{
    if (error == ESTALE)
        return ft_fail(fault, FT_EPERM,
                       "process %d: its mount namespace has another %s or %s than the drill, which starts no "
                       "other",
                       (int)s->place->pid, s->program, s->file);
    return ft_fail(fault, error == EPERM ? FT_EPERM : FT_EIO, "%s cannot be started again: %s", s->program,
                   strerror(error));
}

/* In the grandchild: takes the process's place, or only sees that it could. Returns errno. */
static int take_its_place(struct start *s, bool rehearsal)
{
    char run[] = "run", file[] = "-c", node[] = "-n", name[64];
    char *const argv[] = {s->program, run, file, s->file, node, name, NULL};
    sigset_t none;
    int in = open("/dev/null", O_RDONLY), error = enter_place(s);
    if (error || rehearsal)
        return error;
    int out = s->place->output >= 0 ? s->place->output : open("/dev/null", O_WRONLY);
    if (in < 0 || out < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
        return errno;
    snprintf(name, sizeof name, "%s", s->node);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGINT, SIG_DFL);
    signal(SIGPIPE, SIG_DFL);
    close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
    execv(s->program, argv);
    return errno;
}

int nd_process_start(const struct nd_process *p, const char *file, const char *node, bool rehearsal,
                     struct ft_fault *fault)
{
    struct start s;
    int tell[2], error = prepare(&s, p, file, node, fault);
    if (error < 0)
        return error;
    if (pipe2(tell, O_CLOEXEC) < 0)
        return ft_fail(fault, FT_EIO, "pipe: %s", strerror(errno));
    pid_t child = fork();
    if (child == 0) {
        setsid();
        error = (child = fork()) == 0 ? take_its_place(&s, rehearsal) : child < 0 ? errno : 0;
        if (error)
            (void)!write(tell[1], &error, sizeof error);
        _exit(0);
    }
    close(tell[1]);
    ssize_t n = child < 0 ? -1 : read(tell[0], &error, sizeof error); /* end of file: exec went well */
    close(tell[0]);
    if (child > 0)
        waitpid(child, NULL, 0);
    return child < 0 || n != 0 ? fail_entered(&s, error ? error : errno, fault) : FT_OK;
}
