/* SPDX-License-Identifier: Apache-2.0 */
/* Whether this machine is fit for a node; see host.h. Called by the command's thread alone. */
#include "understudy/base/host.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#define CPU        "/sys/devices/system/cpu/"
#define CLOCK      "/sys/devices/system/clocksource/clocksource0/"
#define FREE_LEAST 1024u /* MB: region, DPDK and rings of a small node */
#define STEAL_MOST 1.0   /* percent */

/* The first line of a file; false: there is none. */
static bool read_line(char *to, size_t size, const char *root, const char *format, ...)
{
    char path[256];
    va_list args;
    size_t at = (size_t)snprintf(path, sizeof(path), "%s", root);
    FILE *f;
    bool got;

    va_start(args, format);
    vsnprintf(path + at, sizeof(path) - at, format, args);
    va_end(args);
    *to = '\0';
    if (!(f = fopen(path, "re")))
        return false;
    got = fgets(to, (int)size, f) != NULL;
    fclose(f);
    to[strcspn(to, "\n")] = '\0';
    return got;
}

/* Of lines "NAME: NUMBER kB". 0: there is none of that name. */
static uint64_t read_number(const char *root, const char *path, const char *name)
{
    char at[256], line[256];
    uint64_t number = 0;
    FILE *f;

    snprintf(at, sizeof(at), "%s%s", root, path);
    if (!(f = fopen(at, "re")))
        return 0;
    while (fgets(line, sizeof(line), f))
        if (strncmp(line, name, strlen(name)) == 0 && sscanf(line + strlen(name), ": %" SCNu64, &number) == 1)
            break;
    fclose(f);
    return number;
}

__attribute__((format(printf, 5, 6))) static void add(struct nd_host *out, enum nd_host_verdict verdict,
                                                      const char *what, const char *do_this,
                                                      const char *format, ...)
{
    struct nd_host_line *line = &out->line[out->count];
    va_list args;

    if (out->count == ND_HOST_LINES)
        return;
    out->count++;
    line->verdict = verdict;
    line->what = what;
    va_start(args, format);
    vsnprintf(line->is, sizeof(line->is), format, args);
    va_end(args);
    snprintf(line->do_this, sizeof(line->do_this), "%s", verdict == ND_HOST_FIT ? "" : do_this);
}

/* ---- processors ---------------------------------------------------------------------------------- */

static void look_at_cores(struct nd_host *out, const char *root)
{
    char online[64], isolated[64], governor[64];
    uint32_t first = 0, last = 0;

    read_line(online, sizeof(online), root, CPU "online");
    if (sscanf(online, "%u-%u", &first, &last) < 2)
        last = first;
    add(out, last > first ? ND_HOST_FIT : ND_HOST_NOTE, "cores",
        "lane, replicator and the rest of the machine want two at least", "%s", online);
    read_line(isolated, sizeof(isolated), root, CPU "isolated");
    add(out, *isolated ? ND_HOST_FIT : ND_HOST_NOTE, "isolated cores",
        "isolcpus=managed_irq,domain,LIST for the lanes' cores, and nodes.*.core", "%s",
        *isolated ? isolated : "none");
    if (read_line(governor, sizeof(governor), root, CPU "cpu0/cpufreq/scaling_governor"))
        add(out, strcmp(governor, "performance") == 0 ? ND_HOST_FIT : ND_HOST_NOTE, "governor",
            "cpupower frequency-set -g performance", "%s", governor);
}

/* Since the machine began, of the time of all processors. */
static void look_at_steal(struct nd_host *out, const char *root)
{
    uint64_t of[8] = {0}, all = 0;
    char line[256];
    double percent;

    if (!read_line(line, sizeof(line), root, "/proc/stat") ||
        sscanf(line, "cpu %lu %lu %lu %lu %lu %lu %lu %lu", &of[0], &of[1], &of[2], &of[3], &of[4], &of[5],
               &of[6], &of[7]) != 8)
        return;
    for (unsigned i = 0; i < 8; i++)
        all += of[i];
    percent = all ? 100.0 * (double)of[7] / (double)all : 0;
    add(out, percent < STEAL_MOST ? ND_HOST_FIT : ND_HOST_NOTE, "steal time",
        "others have this machine's processors: raise detect_ms, or ask for dedicated ones", "%.1f %%",
        percent);
}

static void look_at_clock(struct nd_host *out, const char *root)
{
    char is[64], can[128];

    if (!read_line(is, sizeof(is), root, CLOCK "current_clocksource"))
        return;
    read_line(can, sizeof(can), root, CLOCK "available_clocksource");
    bool fast = strcmp(is, "tsc") == 0 || strcmp(is, "kvm-clock") == 0 ||
                strcmp(is, "arch_sys_counter") == 0 || strcmp(is, "hyperv_clocksource_tsc_page") == 0;

    add(out, fast ? ND_HOST_FIT : ND_HOST_NOTE, "clock",
        strstr(can, "tsc") ? "each reading is a system call: echo tsc >" CLOCK "current_clocksource"
                           : "each reading is a system call: the kernel trusts no faster clock here",
        "%s", is);
}

static void look_at_priority(struct nd_host *out, const char *root)
{
    struct rlimit limit = {0};
    char runtime[32];

    (void)getrlimit(RLIMIT_RTPRIO, &limit);
    bool permitted = geteuid() == 0 || limit.rlim_cur > 0;

    add(out, permitted ? ND_HOST_FIT : ND_HOST_NOTE, "real-time priority",
        "LimitRTPRIO= of the unit, as packaging's has it", "%s",
        permitted ? "permitted" : "not permitted to this user");
    if (read_line(runtime, sizeof(runtime), root, "/proc/sys/kernel/sched_rt_runtime_us") &&
        strcmp(runtime, "-1") != 0)
        add(out, ND_HOST_FIT, "real-time share", "", "%s us a second", runtime);
}

/* ---- memory -------------------------------------------------------------------------------------- */

static void look_at_memory(struct nd_host *out, const char *root)
{
    uint64_t available = read_number(root, "/proc/meminfo", "MemAvailable") / 1024,
             huge = read_number(root, "/proc/meminfo", "HugePages_Free"),
             size = read_number(root, "/proc/meminfo", "Hugepagesize") / 1024;
    char shmem[128], locked[32];
    struct rlimit limit = {0};

    add(out, available >= FREE_LEAST ? ND_HOST_FIT : ND_HOST_UNFIT, "memory",
        "a small node wants 1 GB: lower max_flows, mbufs and log_mb, or add memory", "%" PRIu64 " MB free",
        available);
    read_line(shmem, sizeof(shmem), root, "/sys/kernel/mm/transparent_hugepage/shmem_enabled");
    bool transparent = strstr(shmem, "[advise]") || strstr(shmem, "[always]") ||
                       strstr(shmem, "[within_size]") || strstr(shmem, "[force]");

    add(out, huge || transparent ? ND_HOST_FIT : ND_HOST_NOTE, "huge pages",
        "echo advise >/sys/kernel/mm/transparent_hugepage/shmem_enabled, or reserve some",
        "%" PRIu64 " free of %" PRIu64 " MB; transparent for shared memory: %s", huge, size,
        transparent ? "yes" : "no");
    (void)getrlimit(RLIMIT_MEMLOCK, &limit);
    snprintf(locked, sizeof(locked), "%" PRIu64 " MB", (uint64_t)limit.rlim_cur >> 20);
    add(out, limit.rlim_cur == RLIM_INFINITY || geteuid() == 0 ? ND_HOST_FIT : ND_HOST_NOTE, "locked memory",
        "LimitMEMLOCK=infinity of the unit", "%s", limit.rlim_cur == RLIM_INFINITY ? "no limit" : locked);
}

/* ---- networks ------------------------------------------------------------------------------------ */

/* Who makes the machine: clouds hand on no frame with a MAC of the chain's. */
static void look_at_network(struct nd_host *out, const char *root)
{
    static const char *const cloud[] = {"Amazon",    "Google",       "Microsoft",
                                        "OpenStack", "DigitalOcean", "Hetzner"};
    char vendor[64];
    bool refuses = false;

    if (!read_line(vendor, sizeof(vendor), root, "/sys/class/dmi/id/sys_vendor"))
        return;
    for (unsigned i = 0; i < sizeof(cloud) / sizeof(cloud[0]); i++)
        refuses |= strstr(vendor, cloud[i]) != NULL;
    add(out, refuses ? ND_HOST_UNFIT : ND_HOST_FIT, "network's rules",
        "its network hands on no MAC but the port's own: permit the chain's, or use another network", "%s",
        vendor);
}

static void look_at_interface(struct nd_host *out, const char *root, const char *name)
{
    static const char *const slow[] = {"virtio_net", "ena", "gve", "hv_netvsc", "vmxnet3"};
    char driver[128] = "", path[256], node[16], mode[64], *base;
    bool is_slow = false;
    ssize_t n;

    snprintf(path, sizeof(path), "%s/sys/class/net/%s/device/driver", root, name);
    n = readlink(path, driver, sizeof(driver) - 1);
    driver[n > 0 ? n : 0] = '\0';
    base = strrchr(driver, '/') ? strrchr(driver, '/') + 1 : driver;
    for (unsigned i = 0; i < sizeof(slow) / sizeof(slow[0]); i++)
        is_slow |= strcmp(base, slow[i]) == 0;
    read_line(node, sizeof(node), root, "/sys/class/net/%s/device/numa_node", name);
    if (!read_line(mode, sizeof(mode), root, "/sys/class/net/%s/operstate", name)) {
        add(out, ND_HOST_UNFIT, "interface", "look at the file's port and at `ip link`", "%s: there is none",
            name);
        return;
    }
    add(out, is_slow ? ND_HOST_NOTE : ND_HOST_FIT, "interface",
        "a virtual one: the host decides which MACs pass, and how fast", "%s: %s%s%s%s", name,
        *base ? base : "no driver of a device", *node && strcmp(node, "-1") != 0 ? ", NUMA node " : "",
        *node && strcmp(node, "-1") != 0 ? node : "", strcmp(mode, "down") == 0 ? ", down" : "");
    read_line(mode, sizeof(mode), root, "/proc/sys/net/ipv4/conf/%s/rp_filter", name);
    if (strcmp(mode, "1") == 0)
        add(out, ND_HOST_NOTE, "reverse path",
            "the kernel drops what comes to its own addresses another way: "
            "rp_filter 2 or 0, where the link's address is on it",
            "%s: strict", name);
}

void nd_host_look(struct nd_host *out, const char *root, const char *const interfaces[])
{
    char kernel[64];

    out->count = 0;
    if (read_line(kernel, sizeof(kernel), root, "/proc/sys/kernel/osrelease")) {
        unsigned major = 0, minor = 0;

        (void)sscanf(kernel, "%u.%u", &major, &minor);
        add(out, major > 5 || (major == 5 && minor >= 10) ? ND_HOST_FIT : ND_HOST_NOTE, "kernel",
            "tried with 6.1 and later", "%s", kernel);
    }
    look_at_cores(out, root);
    look_at_steal(out, root);
    look_at_clock(out, root);
    look_at_priority(out, root);
    look_at_memory(out, root);
    look_at_network(out, root);
    for (unsigned i = 0; interfaces[i]; i++)
        look_at_interface(out, root, interfaces[i]);
}

const char *nd_host_verdict_name(enum nd_host_verdict verdict)
{
    static const char *const names[] = {"fit", "note", "unfit"};

    return names[verdict];
}
