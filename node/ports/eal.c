/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts DPDK's environment layer, and keeps what DPDK says while it works for us. A panic of
 * DPDK in that time is a failure with a reason, as any other. DPDK's telemetry is off unless the file's `eal`
 * asks for it.
 */
#define _GNU_SOURCE /* memfd_create, fopencookie */
#include "ftcore/base/event_log.h"
#include "node/ports/ports.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <pthread.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <unistd.h>

#define ARGS_MAX (9 + ND_EAL_MAX)

/* DPDK makes a directory of its file prefix in any case. Its name stays, so nodes that are killed leave one.
 */
static void remove_runtime(void)
{
    rmdir(rte_eal_get_runtime_dir());
}

/* ---- what DPDK says ---------------------------------------------------------------------------- */

/* What DPDK and its drivers say while the environment or a port is opened is kept in memory: the one line of
 * it that tells why that failed is part of the node's own message. Afterwards DPDK's lines go to the event
 * log, from whatever thread, and no more to syslog, which may block. */
struct dpdk_log {
    FILE *file; /* NULL: there is no memory for it, and nothing is kept */
    int out, err;
};

static enum ft_level level_now(void)
{
    int level = rte_log_cur_msg_loglevel();

    return level <= (int)RTE_LOG_ERR       ? FT_LEVEL_ERROR
           : level == (int)RTE_LOG_WARNING ? FT_LEVEL_WARNING
           : level == (int)RTE_LOG_NOTICE  ? FT_LEVEL_NOTICE
                                           : FT_LEVEL_INFO;
}

static ssize_t log_lines(void *cookie, const char *text, size_t size)
{
    (void)cookie;
    for (size_t at = 0, len; at < size; at += len + 1) {
        const char *end = memchr(text + at, '\n', size - at);

        len = end ? (size_t)(end - (text + at)) : size - at;
        if (len > 0)
            ft_log_event(level_now(), FT_SAYS_DPDK, "%.*s", (int)len, text + at);
    }
    if (rte_log_cur_msg_loglevel() <= (int)RTE_LOG_CRIT) /* rte_panic, which aborts */
        ft_event_log_flush();
    return (ssize_t)size;
}

/* A stream whose buffer is ours: DPDK flushes it after each message. NULL: no memory. */
static FILE *event_stream(void)
{
    static char buffer[1024];
    static FILE *file;

    if (!file) {
        file = fopencookie(NULL, "w", (cookie_io_functions_t){.write = log_lines});
        if (file)
            setvbuf(file, buffer, _IOFBF, sizeof(buffer));
    }
    return file;
}

/* Before other threads: stdout and stderr are kept, too. */
static void begin_log(struct dpdk_log *log)
{
    int fd = memfd_create("log", MFD_CLOEXEC);

    fflush(NULL);
    log->file = fd < 0 ? NULL : fdopen(fd, "w+");
    if (!log->file)
        return;
    log->out = dup(STDOUT_FILENO);
    log->err = dup(STDERR_FILENO);
    dup2(fd, STDOUT_FILENO);
    dup2(fd, STDERR_FILENO);
    rte_openlog_stream(log->file);
}

static bool tells_reason(const char *line)
{
    static const char *const signs[] = {"annot",   "ould not",       "ailed",  "nvalid",      "rror",
                                        "No such", "not compatible", "o free", "nrecognized", "nknown"};

    /* libbpf's notice on sections that it does not need, of every program that is loaded. */
    if (strstr(line, "elf: skipping"))
        return false;
    for (unsigned i = 0; i < sizeof(signs) / sizeof(signs[0]); i++)
        if (strstr(line, signs[i]))
            return true;
    return false;
}

/* The first line that says what is wrong, or else the last line, into out[0..cap). */
static void end_log(struct dpdk_log *log, char *out, size_t cap)
{
    char line[512];
    bool found = false;

    out[0] = '\0';
    rte_openlog_stream(event_stream());
    if (!log->file)
        return;
    fflush(NULL);
    dup2(log->out, STDOUT_FILENO);
    dup2(log->err, STDERR_FILENO);
    close(log->out);
    close(log->err);
    rewind(log->file);
    /* A mistake in EAL's own options is followed by the whole of its usage text. */
    while (!found && fgets(line, sizeof(line), log->file) && strncmp(line, "Usage:", 6) != 0) {
        line[strcspn(line, "\n")] = '\0';
        if (strlen(line) > 3)
            snprintf(out, cap, "%.120s", line);
        found = tells_reason(line);
    }
    fclose(log->file);
}

/*
 * Where DPDK cannot go on it panics, in a thread of its own or in ours: it writes why, and aborts. In ours
 * the work has failed. Of another thread nobody can say what it left, so the process ends.
 */
static struct {
    struct dpdk_log log;
    sigjmp_buf out;
    pthread_t thread;
} working;

static void on_abort(int number)
{
    char why[160];

    (void)number;
    if (pthread_equal(pthread_self(), working.thread))
        siglongjmp(working.out, 1);
    end_log(&working.log, why, sizeof(why));
    ft_log_event(FT_LEVEL_ERROR, FT_SAYS_DPDK, "DPDK gave up: %s", why);
    ft_event_log_flush();
    remove_runtime();
    _exit(EX_SOFTWARE);
}

int nd_eal_capture(int (*work)(void *arg), void *arg, char *why, size_t cap)
{
    const struct sigaction catch = {.sa_handler = on_abort};
    struct sigaction before;
    int result = -EIO;

    working.thread = pthread_self();
    begin_log(&working.log);
    sigaction(SIGABRT, &catch, &before);
    if (sigsetjmp(working.out, 1) == 0)
        result = work(arg);
    else
        result = -EIO;
    sigaction(SIGABRT, &before, NULL);
    end_log(&working.log, why, cap);
    return result;
}

bool nd_eal_is_permission(int error)
{
    return error == -EACCES || (error == -EPERM && geteuid() != 0);
}

static void write_lcores(char *out, size_t cap, unsigned lanes)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    size_t n = (size_t)snprintf(out, cap, "--lcores=");

    /* Floating over all CPUs: pinning is the operator's, through eal: ["--lcores", …]. */
    for (unsigned i = 0; i <= lanes; i++)
        n += (size_t)snprintf(out + n, cap - n, "%s%u@(0-%ld)", i ? "," : "", i, cpus - 1);
}

static bool has_option(const struct nd_node *node, const char *option)
{
    for (uint32_t i = 0; i < node->eals; i++)
        if (strncmp(node->eal[i], option, strlen(option)) == 0)
            return true;
    return false;
}

/* ---- the start --------------------------------------------------------------------------------- */

struct arguments {
    int count;
    char **values;
};

static int init_eal(void *arg)
{
    const struct arguments *a = arg;

    opterr = 1; /* getopt names the option that EAL does not know */
    return rte_eal_init(a->count, a->values);
}

bool nd_eal_is_pci(const char *devargs)
{
    unsigned a, b, c, d;

    return sscanf(devargs, "%x:%x:%x.%x", &a, &b, &c, &d) == 4 ||
           sscanf(devargs, "%x:%x.%x", &a, &b, &c) == 3;
}

bool nd_eal_physical(const struct nd_node *node)
{
    bool any = false;

    for (unsigned i = 0; i < NF_PORTS_MAX; i++)
        any |= nd_eal_is_pci(node->port[i]);
    return any;
}

int nd_eal_open(const struct nd_config *config, const struct nd_node *node, struct ft_fault *fault)
{
    static char memory[16], prefix[224], cores[1024];
    static const char *args[ARGS_MAX] = {"understudy", prefix};
    char why[256];
    int n = 2;

    snprintf(memory, sizeof(memory), "-m%u", node->memory_mb);
    snprintf(prefix, sizeof(prefix), "--file-prefix=us_%s", node->name);
    if (!has_option(node, "--telemetry"))
        args[n++] = "--no-telemetry";
    /* Without files that are shared a killed node leaves none of memory behind, and no two nodes meet in one.
     */
    args[n++] = node->hugepages ? "--in-memory" : "--no-shconf";
    write_lcores(cores, sizeof(cores), config->chain.lanes);
    if (!has_option(node, "--lcores") && !has_option(node, "-l"))
        args[n++] = cores;
    if (!node->hugepages)
        args[n++] = "--no-huge";
    if (!has_option(node, "-m"))
        args[n++] = memory;
    if (!nd_eal_physical(node))
        args[n++] = "--no-pci";
    for (uint32_t i = 0; i < node->eals; i++)
        args[n++] = node->eal[i];
    struct arguments all = {n, (char **)(uintptr_t)args};

    atexit(remove_runtime); /* what DPDK has called there later, such as the end of its telemetry, is called
                               first */
    int result = nd_eal_capture(init_eal, &all, why, sizeof(why));

    remove_runtime(); /* it is empty without telemetry */
    if (result < 0)
        return ft_fail(fault, nd_eal_is_permission(-rte_errno) ? FT_EPERM : FT_EINVAL,
                       "node %s: DPDK does not start: %s", node->name,
                       why[0] ? why : rte_strerror(rte_errno));
    if (rte_lcore_count() - 1 < config->chain.lanes)
        return ft_fail(fault, FT_EINVAL,
                       "node %s: eal gives %u lcores beside the main one, expected %u, one for each of "
                       "chain.lanes: name more of them, or none",
                       node->name, rte_lcore_count() - 1, config->chain.lanes);
    return 0;
}

/* ---- fragments -------------------------------------------------------------------------------- */

/*
 * Fragments on ports of the af_packet driver. The driver joins its sockets to a fanout group that asks the
 * kernel to put IPv4 fragments together, and has no argument that would leave it out. A datagram that is put
 * together is larger than a frame: a chain could not send it on. So this setsockopt stands before libc's, for
 * the driver too, and takes that one flag out; everything else goes to the kernel as it is.
 */
#define TYPE_SHIFT 16 /* of a fanout's mode and flags, above its group's number */

int setsockopt(int fd, int level, int option, const void *value, socklen_t size)
{
    unsigned fanout;

    if (level == SOL_PACKET && option == PACKET_FANOUT && size == sizeof(fanout)) {
        memcpy(&fanout, value, sizeof(fanout));
        fanout &= ~((unsigned)PACKET_FANOUT_FLAG_DEFRAG << TYPE_SHIFT);
        value = &fanout;
    }
    return (int)syscall(SYS_setsockopt, fd, level, option, value, size);
}
