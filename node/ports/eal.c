/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts DPDK's environment layer, and keeps what DPDK says while it works for us (dpdk_log.h). A panic of
 * DPDK in that time is a failure with a reason, as any other. DPDK's telemetry is off unless the file's `eal`
 * asks for it.
 */
#include "node/ports/dpdk_log.h"
#include "node/ports/ports.h"
#include "ftcore/base/event_log.h"

#include <rte_eal.h>
#include <rte_errno.h>

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

/*
 * Where DPDK cannot go on it panics, in a thread of its own or in ours: it writes why, and aborts. In ours
 * the work has failed. Of another thread nobody can say what it left, so the process ends.
 */
static struct {
    struct nd_dpdk_log log;
    sigjmp_buf out;
    pthread_t thread;
} working;

static void on_abort(int number)
{
    char why[160];

    (void)number;
    if (pthread_equal(pthread_self(), working.thread))
        siglongjmp(working.out, 1);
    nd_dpdk_log_end(&working.log, why, sizeof(why));
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
    nd_dpdk_log_begin(&working.log);
    sigaction(SIGABRT, &catch, &before);
    if (sigsetjmp(working.out, 1) == 0)
        result = work(arg);
    else
        result = -EIO;
    sigaction(SIGABRT, &before, NULL);
    nd_dpdk_log_end(&working.log, why, cap);
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

    return rte_eal_init(a->count, a->values);
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
    if (!nd_ports_physical(node))
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
    return 0;
}
