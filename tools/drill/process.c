/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads a process out of /proc, signals it, cuts its links, and starts it again. See tools/drill/process.h.
 */
#define _GNU_SOURCE
#include "tools/drill/process.h"
#include "tools/pair/child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
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

static int split_args(struct nd_process *p, int length)
{
    unsigned n = 0;
    for (int i = 0; i < length && n < ND_ARGS_MAX; i += (int)strlen(p->args + i) + 1)
        p->argv[n++] = p->args + i;
    p->argv[n] = NULL;
    return n > 0 && length < (int)sizeof p->args - 1 ? FT_OK : FT_EINVAL;
}

int nd_process_read(struct nd_process *p, pid_t pid, struct ft_fault *fault)
{
    struct stat file;
    memset(p, 0, sizeof *p);
    p->pid = pid;
    p->net = p->mount = -1;
    p->started = start_time(pid);
    int n = p->started ? read_file(pid, "cmdline", p->args, sizeof p->args) : -ESRCH;
    if (n <= 0)
        return ft_fail(fault, FT_ENOENT, "process %d: %s", (int)pid, strerror(n < 0 ? -n : ESRCH));
    if (split_args(p, n) < 0)
        return ft_fail(fault, FT_EINVAL, "process %d: too many arguments", (int)pid);
    if (!read_link(pid, "exe", p->exe, sizeof p->exe) || !read_link(pid, "cwd", p->cwd, sizeof p->cwd) ||
        (p->net = open_entry(pid, "ns/net")) < 0 || (p->mount = open_entry(pid, "ns/mnt")) < 0) {
        int error = errno;
        nd_process_close(p);
        return ft_fail(fault, error == ENOENT ? FT_ENOENT : FT_EPERM, "process %d: %s", (int)pid,
                       strerror(error));
    }
    char *deleted = strstr(p->exe, " (deleted)"); /* built again since: the new one will do */
    if (deleted != NULL)
        *deleted = 0;
    if (!read_link(pid, "fd/2", p->output, sizeof p->output) || stat(p->output, &file) != 0 ||
        !(S_ISREG(file.st_mode) || S_ISCHR(file.st_mode)))
        p->output[0] = 0;
    return FT_OK;
}

void nd_process_close(struct nd_process *p)
{
    if (p->net >= 0)
        close(p->net);
    if (p->mount >= 0)
        close(p->mount);
    p->net = p->mount = -1;
}

int nd_process_signal(const struct nd_process *p, int number, struct ft_fault *fault)
{
    if (start_time(p->pid) != p->started)
        return ft_fail(fault, FT_ENOENT, "process %d is gone", (int)p->pid);
    if (kill(p->pid, number) == 0)
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

static bool same_space(int fd)
{
    struct stat theirs, ours;
    return fstat(fd, &theirs) == 0 && stat("/proc/self/ns/net", &ours) == 0 && theirs.st_ino == ours.st_ino;
}

int nd_process_links(const struct nd_process *p, bool up, struct ft_fault *fault)
{
    if (same_space(p->net)) /* this machine's own network: not in a drill */
        return ft_fail(fault, FT_EPERM, "the node is in no network namespace of its own, its links stay up");
    pid_t child = nd_child();
    if (child == 0)
        _exit(setns(p->net, CLONE_NEWNET) < 0 ? errno : set_links(up));
    if (child < 0)
        return ft_fail(fault, FT_EIO, "fork: %s", strerror(errno));
    int status = nd_child_wait(child), error = WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
    if (error == 0)
        return FT_OK;
    return ft_fail(fault, error == EPERM ? FT_EPERM : FT_EIO, "links of process %d: %s", (int)p->pid,
                   strerror(error));
}

/* In the grandchild: takes the process's place. Returns errno. */
static int take_its_place(const struct nd_process *p)
{
    int in = open("/dev/null", O_RDONLY);
    sigset_t none;
    if (setns(p->net, CLONE_NEWNET) < 0 || setns(p->mount, CLONE_NEWNS) < 0 || chdir(p->cwd) < 0)
        return errno;
    int out = open(p->output[0] ? p->output : "/dev/null", O_WRONLY | O_APPEND | O_CREAT, 0644);
    if (in < 0 || out < 0 || dup2(in, 0) < 0 || dup2(out, 1) < 0 || dup2(out, 2) < 0)
        return errno;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGINT, SIG_DFL);
    signal(SIGPIPE, SIG_DFL);
    close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
    execv(p->exe, p->argv);
    return errno;
}

int nd_process_start(const struct nd_process *p, struct ft_fault *fault)
{
    int tell[2], error = 0;
    if (pipe2(tell, O_CLOEXEC) < 0)
        return ft_fail(fault, FT_EIO, "pipe: %s", strerror(errno));
    pid_t child = fork();
    if (child == 0) {
        setsid();
        if (fork() == 0) {
            error = take_its_place(p);
            (void)!write(tell[1], &error, sizeof error);
        }
        _exit(0);
    }
    close(tell[1]);
    ssize_t n = child < 0 ? -1 : read(tell[0], &error, sizeof error); /* end of file: exec went well */
    close(tell[0]);
    if (child > 0)
        waitpid(child, NULL, 0);
    if (child < 0 || n != 0)
        return ft_fail(fault, FT_EIO, "%s cannot be started again: %s", p->exe,
                       strerror(error ? error : errno));
    return FT_OK;
}
