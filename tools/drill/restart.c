/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts a node in the place of a process that was read, of which only the place is taken: the program is the
 * caller's own, and so is the pair file. See tools/drill/process.h.
 */
#define _GNU_SOURCE
#include "tools/drill/process.h"
#include "tools/pair/child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

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
                 : nd_process_spaces(p, fault);
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

int nd_process_rehearse(const struct nd_process *p, const char *file, const char *node,
                        struct ft_fault *fault)
{
    struct start s;
    int error = prepare(&s, p, file, node, fault);
    if (error < 0)
        return error;
    pid_t child = nd_child();
    if (child == 0)
        _exit(enter_place(&s));
    if (child < 0)
        return ft_fail(fault, FT_EIO, "fork: %s", strerror(errno));
    int status = nd_child_wait(child), why = WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
    return why ? fail_entered(&s, why, fault) : FT_OK;
}

/* In the grandchild: takes the process's place. Returns errno. */
static int take_its_place(struct start *s)
{
    char run[] = "run", file[] = "-c", node[] = "-n", name[64];
    char *const argv[] = {s->program, run, file, s->file, node, name, NULL};
    sigset_t none;
    int in = open("/dev/null", O_RDONLY), error = enter_place(s);
    if (error)
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

int nd_process_start(const struct nd_process *p, const char *file, const char *node, struct ft_fault *fault)
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
        if (fork() == 0) {
            error = take_its_place(&s);
            (void)!write(tell[1], &error, sizeof error);
        }
        _exit(0);
    }
    close(tell[1]);
    ssize_t n = child < 0 ? -1 : read(tell[0], &error, sizeof error); /* end of file: exec went well */
    close(tell[0]);
    if (child > 0)
        waitpid(child, NULL, 0);
    return child < 0 || n != 0 ? fail_entered(&s, error ? error : errno, fault) : FT_OK;
}
