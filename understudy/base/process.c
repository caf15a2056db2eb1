/* SPDX-License-Identifier: Apache-2.0 */
/* Users, capabilities and priorities of the process, and where its files are; see process.h. */
#define _GNU_SOURCE
#include "understudy/base/process.h"
#include "ftcore/base/clock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <pwd.h>
#include <limits.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define DROP_NS         5000000000ull
#define BIT(capability) (1ull << (capability))

/* Raw sockets and interfaces of ports, a replication port below 1024, memory that stays, priorities of
 * threads. */
static const uint64_t opening =
    BIT(CAP_NET_RAW) | BIT(CAP_NET_ADMIN) | BIT(CAP_NET_BIND_SERVICE) | BIT(CAP_IPC_LOCK) | BIT(CAP_SYS_NICE);
/* Ports of a device, addresses of memory. */
static const uint64_t opening_physical = BIT(CAP_SYS_RAWIO) | BIT(CAP_SYS_ADMIN);
/* The program that the kernel runs for an interface's frames; libxdp asks for its map by number. */
static const uint64_t opening_xdp = BIT(CAP_SYS_ADMIN);

/* Read by any program, systemd's words, where DPDK's files lie. A blank before each and behind the last. */
static const char kept[] = " PATH HOME LANG TZ NOTIFY_SOCKET WATCHDOG_PID WATCHDOG_USEC JOURNAL_STREAM "
                           "RUNTIME_DIRECTORY XDG_RUNTIME_DIR ";
static const char own[] = "UNDERSTUDY_";

static bool is_kept(const char *variable)
{
    size_t len = strcspn(variable, "=");

    if (strncmp(variable, own, sizeof(own) - 1) == 0)
        return true;
    for (const char *at = kept; at[1]; at = strchr(at + 1, ' '))
        if (strncmp(at + 1, variable, len) == 0 && at[1 + len] == ' ')
            return true;
    return false;
}

int nd_privilege_drop_inherited(struct ft_fault *fault)
{
    char **to = environ;

    for (char **from = environ; from && *from; from++)
        if (is_kept(*from))
            *to++ = *from;
    if (to)
        *to = NULL;
    return close_range(STDERR_FILENO + 1, ~0u, 0) == 0
               ? 0
               : ft_fail(fault, FT_EIO, "descriptors that were inherited: %s", strerror(errno));
}

int nd_privilege_check_files(struct ft_fault *fault)
{
    struct rlimit files, enough;

    if (getrlimit(RLIMIT_NOFILE, &files) != 0 || files.rlim_cur >= ND_OPEN_FILES)
        return 0;
    enough = (struct rlimit){ND_OPEN_FILES, files.rlim_max};
    if (files.rlim_max >= ND_OPEN_FILES && setrlimit(RLIMIT_NOFILE, &enough) == 0)
        return 0;
    return ft_fail(fault, FT_EPERM, "at most %lu open files are permitted, expected %u (ulimit -n)",
                   files.rlim_max, ND_OPEN_FILES);
}

bool nd_process_detach(const char *name, bool speaks, int fd[], int n)
{
    static const int ignored[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE, SIGABRT, SIGUSR1, SIGUSR2};
    int null = open("/dev/null", O_RDWR);
    bool all = true;

    setsid();
    prctl(PR_SET_NAME, name);
    for (size_t i = 0; i < sizeof(ignored) / sizeof(ignored[0]); i++)
        signal(ignored[i], SIG_IGN);
    /* Whoever reads the node's output must see its end. */
    for (int i = 0; null >= 0 && i < (speaks ? STDERR_FILENO : STDERR_FILENO + 1); i++)
        dup2(null, i);
    for (int i = 0; i < n; i++) /* above all places first: none takes another's */
        fd[i] = fcntl(fd[i], F_DUPFD, STDERR_FILENO + 1 + n);
    for (int i = 0; i < n; i++)
        all &= (fd[i] = dup2(fd[i], STDERR_FILENO + 1 + i)) >= 0;
    close_range((unsigned)(STDERR_FILENO + 1 + n), ~0u, 0);
    return all;
}

/* The permitted capabilities of a thread of this process; 0: the calling one. */
static int get_permitted(pid_t thread, uint64_t *out)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, thread};
    struct __user_cap_data_struct half[2] = {{0}};

    if (syscall(SYS_capget, &head, half) != 0)
        return -1;
    *out = (uint64_t)half[1].permitted << 32 | half[0].permitted;
    return 0;
}

/* Of the calling thread: these are permitted and in effect, none is inherited. */
static int set_capabilities(uint64_t these)
{
    struct __user_cap_header_struct head = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct half[2];

    for (unsigned i = 0; i < 2; i++)
        half[i] = (struct __user_cap_data_struct){.effective = (uint32_t)(these >> (32 * i)),
                                                  .permitted = (uint32_t)(these >> (32 * i))};
    return (int)syscall(SYS_capset, &head, half);
}

/* Capabilities stay permitted, and are no longer in effect. */
static int become_user(const char *name, struct ft_fault *fault)
{
    errno = 0;
    const struct passwd *user = getpwnam(name);

    if (!user)
        return ft_fail(fault, FT_EINVAL, "user %s: %s", name,
                       errno ? strerror(errno) : "not known here, expected a user of this system");
    if (user->pw_uid == geteuid())
        return 0;
    prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0);
    if (initgroups(name, user->pw_gid) != 0 || setresgid(user->pw_gid, user->pw_gid, user->pw_gid) != 0 ||
        setresuid(user->pw_uid, user->pw_uid, user->pw_uid) != 0)
        return ft_fail(fault, errno == EPERM ? FT_EPERM : FT_EIO, "user %s: %s%s", name, strerror(errno),
                       errno == EPERM ? ", expected to be started as root or as that user" : "");
    prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0);
    return 0;
}

int nd_privilege_limit(const struct nd_privilege *privilege, struct ft_fault *fault)
{
    const struct rlimit none = {0, 0};
    uint64_t has = 0;
    int error = privilege->user[0] ? become_user(privilege->user, fault) : 0;

    if (error)
        return error;
    if (get_permitted(0, &has) != 0 ||
        set_capabilities(has & (opening | (privilege->physical ? opening_physical : 0) |
                                (privilege->xdp ? opening_xdp : 0))) != 0)
        return ft_fail(fault, FT_EIO, "capabilities: %s", strerror(errno));
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (!privilege->core)
        setrlimit(RLIMIT_CORE, &none);
    /* A process that changes its user is not dumpable, unless it asks to be. */
    prctl(PR_SET_DUMPABLE, privilege->core, 0, 0, 0);
    return 0;
}

int nd_privilege_drop_thread(void)
{
    return set_capabilities(0) == 0 ? 0 : FT_EIO;
}

static void on_drop(int number)
{
    int before = errno;

    (void)number;
    set_capabilities(0);
    errno = before;
}

/* Signals every thread that has a capability. How many those were, or -1. */
static int signal_threads(void)
{
    DIR *tasks = opendir("/proc/self/task");
    int found = 0;

    if (!tasks)
        return -1;
    for (const struct dirent *d; (d = readdir(tasks));) {
        pid_t thread = (pid_t)strtol(d->d_name, NULL, 10);
        uint64_t has;

        if (thread > 0 && get_permitted(thread, &has) == 0 && has) {
            syscall(SYS_tgkill, getpid(), thread, SIGRTMIN);
            found++;
        }
    }
    closedir(tasks);
    return found;
}

/*
 * Linux keeps capabilities by thread, and some threads are libraries'. A thread that was made while the list
 * was read may be missing there, and has what its maker had; so the list must be clean twice in a row.
 */
int nd_privilege_drop(struct ft_fault *fault)
{
    const struct sigaction drop = {.sa_handler = on_drop, .sa_flags = SA_RESTART};
    uint64_t until = ft_now() + DROP_NS;
    unsigned clean = 0;

    if (nd_privilege_drop_thread() != 0)
        return ft_fail(fault, FT_EIO, "capabilities: %s", strerror(errno));
    sigaction(SIGRTMIN, &drop, NULL);
    while (clean < 2 && ft_now() < until) {
        int found = signal_threads();

        if (found < 0)
            return ft_fail(fault, FT_EIO, "/proc/self/task: %s", strerror(errno));
        clean = found ? 0 : clean + 1;
        if (found)
            nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    if (clean < 2) /* the handler stays: the thread may yet come to it */
        return ft_fail(fault, FT_EIO, "capabilities: a thread keeps them");
    /* Not back to what it was: one that is still pending would end the process. */
    signal(SIGRTMIN, SIG_IGN);
    return 0;
}

int nd_privilege_refuse_calls(struct ft_fault *fault)
{
    static const int refused[] = {
#ifndef __SANITIZE_ADDRESS__ /* it looks for leaks by it */
        SCMP_SYS(ptrace),
#endif
        SCMP_SYS(execve),
        SCMP_SYS(execveat),
        SCMP_SYS(kcmp),
        SCMP_SYS(process_vm_readv),
        SCMP_SYS(process_vm_writev),
        SCMP_SYS(setns),
        SCMP_SYS(unshare),
        SCMP_SYS(mount),
        SCMP_SYS(umount2),
        SCMP_SYS(pivot_root),
        SCMP_SYS(chroot),
        SCMP_SYS(open_tree),
        SCMP_SYS(move_mount),
        SCMP_SYS(fsopen),
        SCMP_SYS(init_module),
        SCMP_SYS(finit_module),
        SCMP_SYS(delete_module),
        SCMP_SYS(kexec_load),
        SCMP_SYS(kexec_file_load),
        SCMP_SYS(reboot),
        SCMP_SYS(bpf),
        SCMP_SYS(perf_event_open),
        SCMP_SYS(io_uring_setup),
        SCMP_SYS(add_key),
        SCMP_SYS(request_key),
        SCMP_SYS(keyctl),
    };
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    int error = filter ? 0 : -ENOMEM;

    /* Of all threads; and kernels before 5.16 are not to slow lanes down because there is a filter. */
    if (!error)
        error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_TSYNC, 1);
    if (!error)
        error = seccomp_attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]) && !error; i++)
        error = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), refused[i], 0);
    if (!error)
        error = seccomp_load(filter);
    seccomp_release(filter);
    return error ? ft_fail(fault, FT_EIO, "a filter of system calls: %s", strerror(-error)) : 0;
}

/* ---- priority ------------------------------------------------------------------------------- */

#define LIST_BYTES     4096
#define PROCESSORS_MAX 1024u /* those beyond are never taken for isolated */

/* The first is of isolcpus, the second (Linux 6.7) of cpusets, where version 2 is mounted at its place. */
static const char *const lists[] = {"/sys/devices/system/cpu/isolated",
                                    "/sys/fs/cgroup/cpuset.cpus.isolated"};

/* Adds those of a list as the kernel writes it ("2-5,7\n") to set[]. False: it is no such list. */
static bool parse_list(const char *list, bool set[PROCESSORS_MAX])
{
    while (*list && *list != '\n') {
        char *end;
        unsigned long first = strtoul(list, &end, 10), last = first;

        if (end == list || *list < '0' || *list > '9')
            return false;
        if (*end == '-') {
            list = end + 1;
            last = strtoul(list, &end, 10);
            if (end == list || *list < '0' || *list > '9')
                return false;
        }
        if (last < first || (*end && *end != ',' && *end != '\n'))
            return false;
        for (unsigned long cpu = first; cpu <= last && cpu < PROCESSORS_MAX; cpu++)
            set[cpu] = true;
        list = end + (*end == ',');
    }
    return true;
}

static void read_list(const char *path, bool set[PROCESSORS_MAX])
{
    char text[LIST_BYTES];
    FILE *file = fopen(path, "re");

    if (!file)
        return;
    if (fgets(text, sizeof(text), file))
        (void)parse_list(text, set);
    (void)fclose(file);
}

bool nd_processors_own(void)
{
    bool isolated[PROCESSORS_MAX] = {false};
    cpu_set_t mine;

    if (sched_getaffinity(0, sizeof(mine), &mine) != 0) /* more processors than the set has */
        return false;
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
        read_list(lists[i], isolated);
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &mine) && (cpu >= PROCESSORS_MAX || !isolated[cpu]))
            return false;
    return true;
}

/* Linux: both are of the calling thread alone. */
bool nd_priority_raise(void)
{
    return setpriority(PRIO_PROCESS, 0, -10) == 0;
}

bool nd_priority_realtime(void)
{
    return sched_setscheduler(0, SCHED_FIFO, &(const struct sched_param){.sched_priority = 10}) == 0;
}

/* ---- files installed with the program ------------------------------------------------------- */

bool nd_installed(const char *directory, const char *name, char *out, size_t cap)
{
    char program[1024], *slash;
    ssize_t len = readlink("/proc/self/exe", program, sizeof(program) - 1);

    program[len > 0 ? len : 0] = '\0';
    for (unsigned up = 0; up < 2 && (slash = strrchr(program, '/')); up++) {
        int n;

        *slash = '\0';
        n = snprintf(out, cap, "%s/%s/%s", program, directory, name);
        if (n > 0 && (size_t)n < cap && access(out, R_OK) == 0)
            return true;
    }
    return false;
}

int nd_directory_judge(const char *path, bool state, bool *there, struct ft_fault *fault)
{
    char at[256], whole[PATH_MAX];
    struct stat is;

    snprintf(at, sizeof(at), "%s", path[0] ? path : ".");
    *there = stat(at, &is) == 0;
    while (stat(at, &is) != 0) {
        char *slash = strrchr(at, '/');

        if (errno != ENOENT && errno != ENOTDIR)
            return ft_fail(fault, ft_error_of_path(errno), "%s: %s", at, strerror(errno));
        if (slash)
            slash[slash == at] = '\0';
        else
            strcpy(at, ".");
    }
    if (!realpath(at, whole))
        snprintf(whole, sizeof(whole), "%s", at);
    if (!S_ISDIR(is.st_mode))
        return ft_fail(fault, FT_EINVAL, "%s: a file, expected a directory", whole);
    if (faccessat(AT_FDCWD, at, W_OK | X_OK, AT_EACCESS) != 0 && (!state || !*there || errno == EACCES))
        return ft_fail(fault, ft_error_of_path(errno), "%s: %s", whole, strerror(errno));
    return 0;
}
