/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a process may do, before and after it gave it up. Each test is a process of its own, forked before it
 * changes itself; its result is its exit code, 0 or the line that is wrong. What needs root is passed over
 * without.
 */
#define _GNU_SOURCE
#include "understudy/base/process.h"
#include "understudy/crash/guardian.h"
#include "tests/help/test.h"

#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <pthread.h>
#include <pwd.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define MUST(what) ((what) ? (void)0 : _exit(__LINE__ & 255 ? __LINE__ & 255 : 1))

static void in_a_process(void (*work)(void))
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        work();
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

/* A number of a status file, in hexadecimal. */
static uint64_t number_of(const char *path, const char *name)
{
    FILE *f = fopen(path, "re");
    char line[256];
    uint64_t n = UINT64_MAX;

    MUST(f);
    while (fgets(line, sizeof(line), f))
        if (strncmp(line, name, strlen(name)) == 0)
            n = strtoull(line + strlen(name) + 1, NULL, 16);
    fclose(f);
    return n;
}

/* Threads of this process that have a capability, of any set that counts. */
static unsigned capable_threads(unsigned *threads)
{
    DIR *dir = opendir("/proc/self/task");
    unsigned capable = 0;

    MUST(dir);
    *threads = 0;
    for (const struct dirent *d; (d = readdir(dir));) {
        if (d->d_name[0] == '.')
            continue;
        const char *path = help_print("/proc/self/task/%s/status", d->d_name);
        ++*threads;
        capable += number_of(path, "CapPrm:") || number_of(path, "CapEff:") || number_of(path, "CapInh:") ||
                   number_of(path, "CapAmb:");
    }
    closedir(dir);
    return capable;
}

static struct ft_fault fault;
static int never[2];

static void *wait_in_a_read(void *arg)
{
    char c;

    return read(never[0], &c, 1) == 1 ? arg : NULL;
}

static void *spin(void *arg)
{
    for (volatile unsigned i = 0;; i++)
        ;
    return arg;
}

static void *make_threads(void *arg)
{
    pthread_t thread;

    pthread_create(&thread, NULL, wait_in_a_read, NULL);
    wait_in_a_read(NULL);
    return arg;
}

static void drop_with_threads(void)
{
    pthread_t thread;
    unsigned threads;

    MUST(pipe(never) == 0);
    MUST(nd_privilege_limit(&(struct nd_privilege){.user = ""}, &fault) == 0);
    MUST(pthread_create(&thread, NULL, wait_in_a_read, NULL) == 0);
    MUST(pthread_create(&thread, NULL, spin, NULL) == 0);
    MUST(pthread_create(&thread, NULL, make_threads, NULL) == 0);
    do
        MUST(capable_threads(&threads) == threads);
    while (threads < 5);
    MUST(nd_privilege_drop(&fault) == 0);
    MUST(capable_threads(&threads) == 0 && threads == 5);
}

TEST(after_the_drop_no_thread_has_a_capability)
{
    if (geteuid() != 0)
        skip();
    in_a_process(drop_with_threads);
}

/* A thread that was there before the filter, which may neither start a program nor look at another process.
 */
static void *try_refused(void *arg)
{
    char c;

    MUST(read(never[0], &c, 1) == 1);
    MUST(execl("/bin/false", "false", (char *)NULL) == -1 && errno == EPERM);
#ifndef __SANITIZE_ADDRESS__
    MUST(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == -1 && errno == EPERM);
#endif
    return arg;
}

static void refuse_calls(void)
{
    pthread_t thread;
    void *done = NULL;

    MUST(pipe(never) == 0);
    MUST(nd_privilege_limit(&(struct nd_privilege){.user = ""}, &fault) == 0);
    MUST(pthread_create(&thread, NULL, try_refused, never) == 0);
    MUST(nd_privilege_refuse_calls(&fault) == 0);
    MUST(execl("/bin/false", "false", (char *)NULL) == -1 && errno == EPERM);
    MUST(write(never[1], "", 1) == 1);
    MUST(pthread_join(thread, &done) == 0 && done == never);
    MUST(close_range(1000, 1001, CLOSE_RANGE_UNSHARE) == 0); /* the writers of files need it */
}

TEST(no_thread_may_start_a_program_or_trace_one)
{
    in_a_process(refuse_calls);
}

static void become_nobody(void)
{
    gid_t groups[64];
    const struct passwd *nobody = getpwnam("nobody");
    uid_t uid = nobody->pw_uid;
    gid_t gid = nobody->pw_gid;

    MUST(setgroups(2, (gid_t[]){0, 1}) == 0);
    MUST(nd_privilege_limit(&(struct nd_privilege){.user = "nobody"}, &fault) == 0);
    MUST(getuid() == uid && geteuid() == uid && getgid() == gid && getegid() == gid);
    int count = getgroups(64, groups);
    for (int i = 0; i < count; i++)
        MUST(groups[i] == gid);
    uint64_t has = number_of("/proc/self/status", "CapEff:");
    MUST(has & 1ull << CAP_NET_RAW && has & 1ull << CAP_SYS_NICE);
    MUST(setuid(0) != 0 && seteuid(0) != 0 && setgid(0) != 0);
    MUST(nd_privilege_drop(&fault) == 0 && number_of("/proc/self/status", "CapPrm:") == 0);
}

TEST(a_node_becomes_its_user_and_cannot_return)
{
    if (geteuid() != 0)
        skip();
    in_a_process(become_nobody);
}

static void stay_root(void)
{
    MUST(nd_privilege_limit(&(struct nd_privilege){.user = ""}, &fault) == 0);
    MUST(getuid() == 0);
    uint64_t has = number_of("/proc/self/status", "CapPrm:");
    MUST(has & 1ull << CAP_NET_RAW);
    MUST(!(has &
           (1ull << CAP_DAC_OVERRIDE | 1ull << CAP_SETUID | 1ull << CAP_SYS_ADMIN | 1ull << CAP_SYS_PTRACE)));
}

TEST(root_keeps_only_what_opening_needs)
{
    if (geteuid() != 0)
        skip();
    in_a_process(stay_root);
}

static void close_up(void)
{
    struct rlimit core;

    MUST(nd_privilege_limit(&(struct nd_privilege){.user = ""}, &fault) == 0);
    MUST(prctl(PR_GET_DUMPABLE) == 0 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
    MUST(getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_cur == 0 && core.rlim_max == 0);
}

static void permit_a_core(void)
{
    const char *user = geteuid() == 0 ? "nobody" : "";
    struct rlimit core, before;

    MUST(getrlimit(RLIMIT_CORE, &before) == 0);
    MUST(nd_privilege_limit(&(struct nd_privilege){.user = user, .core = true}, &fault) == 0);
    MUST(prctl(PR_GET_DUMPABLE) == 1 && prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1);
    MUST(getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_cur == before.rlim_cur);
}

TEST(there_is_a_core_only_where_it_is_permitted)
{
    in_a_process(close_up);
    in_a_process(permit_a_core);
}

static void be_refused(void)
{
    MUST(nd_privilege_limit(&(struct nd_privilege){.user = "no-such-user"}, &fault) == FT_EINVAL);
    MUST(strcmp(fault.text, "user no-such-user: not known here, expected a user of this system") == 0);
    MUST(geteuid() != 0 || setresuid(65534, 65534, 65534) == 0);
    MUST(nd_privilege_limit(&(struct nd_privilege){.user = "root"}, &fault) == FT_EPERM);
    MUST(strcmp(fault.text,
                "user root: Operation not permitted, expected to be started as root or as that user") == 0);
}

TEST(another_user_is_refused_by_name)
{
    in_a_process(be_refused);
}

static void start_a_guardian(void)
{
    const struct ft_datagram_key self = {1, {2, 3}};
    struct nd_guardian *guardian;

    MUST(nd_guardian_start(&guardian, 1, "127.0.0.1", NULL, &self, NULL, &fault) == 0);
    const char *path = help_print("/proc/%d/status", nd_guardian_look(guardian));
    MUST(number_of(path, "CapPrm:") == 0 && number_of(path, "CapEff:") == 0);
    MUST(number_of(path, "NoNewPrivs:") == 1 && number_of(path, "Seccomp:") == 2);
    nd_guardian_stop(guardian);
}

TEST(a_guardian_has_no_capability_and_a_filter_of_system_calls)
{
    in_a_process(start_a_guardian);
}
