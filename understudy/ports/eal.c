/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starts DPDK's environment layer, opens devices and closes them, and keeps what DPDK logs meanwhile. A panic
 * of DPDK in that time is a failure with a reason, as any other. DPDK's telemetry is off unless the file's
 * `eal` asks for it.
 */
#define _GNU_SOURCE /* memfd_create, fopencookie */
#include "ftcore/base/event_log.h"
#include "understudy/ports/ports.h"
#include "understudy/ports/wire.h"

#include <dlfcn.h>
#include <errno.h>
#include <glob.h>
#include <inttypes.h>
#include <linux/if_packet.h>
#include <linux/if_xdp.h>
#include <pthread.h>
#include <rte_bus.h>
#include <rte_dev.h>
#include <rte_devargs.h>
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
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <unistd.h>
#include <xxhash.h>

#define ARGS_MAX (9 + ND_EAL_MAX)
#define RX_RING  1024
#define TX_RING  1024
#define XDP_RING 2048         /* of both: as many buffers as the driver gives the kernel to fill */
#define XDP      "net_af_xdp" /* and a number */
#define MEMIF    "net_memif"  /* and a number */
#define RETA_MAX RTE_ETH_RSS_RETA_SIZE_512
static uint8_t flow_key[64]; /* borrowed by DPDK while a port is configured */

/* DPDK makes a directory of its file prefix in any case. Its name stays, so nodes that are killed leave one.
 */
static void remove_runtime(void)
{
    rmdir(rte_eal_get_runtime_dir());
}

/* ---- what DPDK logs ---------------------------------------------------------------------------- */

/* What DPDK and its drivers log while the environment or a port is opened is kept in memory: the one line of
 * it that names why that failed is part of the node's own message. Afterwards DPDK's lines go to the event
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

static bool has_reason(const char *line)
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

/* The first line that names what is wrong, or else the last line, into out[0..cap). */
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
        found = has_reason(line);
    }
    fclose(log->file);
}

/*
 * Where DPDK cannot go on it panics, in a thread of its own or in ours: it writes why, and aborts. In ours
 * the work has failed. Nobody knows what another thread left, so the process ends.
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

/* Does some work of DPDK, whose answer it returns (-EIO: DPDK gave up), with its log, stdout and stderr in
 * memory. The line of it with the reason is in why[0 .. cap); "": none. */
static int capture(int (*work)(void *arg), void *arg, char *why, size_t cap)
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

/* Drivers return -1 for anything; it means permission only to those who may lack it. */
static bool is_permission(int error)
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

static bool is_pci(const char *devargs)
{
    unsigned a, b, c, d;

    return sscanf(devargs, "%x:%x:%x.%x", &a, &b, &c, &d) == 4 ||
           sscanf(devargs, "%x:%x.%x", &a, &b, &c) == 3;
}

static bool uses_memif(const struct nd_node *node)
{
    bool any = strncmp(node->link_port, MEMIF, sizeof(MEMIF) - 1) == 0;

    for (unsigned i = 0; i < NF_PORTS_MAX; i++)
        any |= strncmp(node->port[i], MEMIF, sizeof(MEMIF) - 1) == 0;
    for (unsigned i = 0; i < node->inputs_devices; i++)
        any |= strncmp(node->inputs_device[i], MEMIF, sizeof(MEMIF) - 1) == 0;
    return any;
}

struct nd_privilege nd_ports_privilege(const struct nd_node *node)
{
    struct nd_privilege needed = {
        .user = node->user, .core = node->core, .physical = is_pci(node->link_port)};

    for (unsigned i = 0; i < NF_PORTS_MAX; i++) {
        needed.physical |= is_pci(node->port[i]);
        needed.xdp |= strncmp(node->port[i], XDP, sizeof(XDP) - 1) == 0;
    }
    for (unsigned i = 0; i < node->inputs_devices; i++)
        needed.physical |= is_pci(node->inputs_device[i]);
    return needed;
}

uint64_t nd_eal_memory(const struct nd_node *node)
{
    return node->hugepages || has_option(node, "-m") ? 0 : (uint64_t)node->memory_mb << 20;
}

/* MB of all huge pages, taken or not, and of those that the kernel makes when they are asked for. */
static uint64_t huge_mb(void)
{
    static const char places[] = "/sys/kernel/mm/hugepages/hugepages-*kB/nr_{,overcommit_}hugepages";
    uint64_t mb = 0;
    glob_t pages;

    if (glob(places, GLOB_BRACE, NULL, &pages) != 0)
        return 0;
    for (size_t i = 0; i < pages.gl_pathc; i++) {
        FILE *f = fopen(pages.gl_pathv[i], "re");
        uint64_t kb = strtoull(strrchr(pages.gl_pathv[i], '-') + 1, NULL, 10), count = 0;

        if (f && fscanf(f, "%" SCNu64, &count) == 1)
            mb += count * kb / 1024;
        if (f)
            fclose(f);
    }
    globfree(&pages);
    return mb;
}

int nd_eal_judge_memory(const struct nd_node *node, struct ft_fault *fault)
{
    uint64_t all = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);

    if (nd_eal_memory(node) > all)
        return ft_fail(fault, FT_ENOMEM,
                       "node %s: memory_mb is %u, expected at most the %" PRIu64 " MB that this machine has",
                       node->name, node->memory_mb, all >> 20);
    if (!node->hugepages || has_option(node, "-m") || has_option(node, "--socket-mem") ||
        has_option(node, "--no-huge") || huge_mb() >= node->memory_mb)
        return 0;
    return ft_fail(fault, FT_ENOMEM,
                   "node %s: hugepages: this machine has %" PRIu64 " MB of huge pages, expected %u for "
                   "memory_mb, or hugepages: false",
                   node->name, huge_mb(), node->memory_mb);
}

int nd_eal_open(const struct nd_config *config, const struct nd_node *node, struct ft_fault *fault)
{
    static char memory[16], prefix[224], cores[1024];
    static const char *args[ARGS_MAX] = {"understudy", prefix};
    char why[256];
    int n = 2;

    snprintf(memory, sizeof(memory), "-m%u", node->memory_mb);
    /* DPDK's directory of the process. Two chains of one machine may both have a node of this name, but no
     * two nodes have one control socket. */
    snprintf(prefix, sizeof(prefix), "--file-prefix=us_%s_%016" PRIx64, node->name,
             XXH3_64bits(node->control, strlen(node->control)));
    if (!has_option(node, "--telemetry"))
        args[n++] = "--no-telemetry";
    /* Without files that are shared a killed node leaves none of memory behind, and no two nodes meet in one.
     * The memif driver insists on them: of its node a socket and a page of configuration stay. */
    if (!uses_memif(node))
        args[n++] = node->hugepages ? "--in-memory" : "--no-shconf";
    else if (node->hugepages)
        args[n++] = "--huge-unlink=always";
    write_lcores(cores, sizeof(cores), config->chain.lanes);
    if (!has_option(node, "--lcores") && !has_option(node, "-l"))
        args[n++] = cores;
    if (!node->hugepages)
        args[n++] = "--no-huge";
    if (!has_option(node, "-m"))
        args[n++] = memory;
    if (!nd_ports_privilege(node).physical)
        args[n++] = "--no-pci";
    for (uint32_t i = 0; i < node->eals; i++)
        args[n++] = node->eal[i];
    struct arguments all = {n, (char **)(uintptr_t)args};

    atexit(remove_runtime); /* what DPDK has called there later, such as the end of its telemetry, is called
                               first */
    int result = capture(init_eal, &all, why, sizeof(why));

    remove_runtime(); /* it is empty without telemetry */
    if (result < 0)
        return ft_fail(fault, is_permission(-rte_errno) ? FT_EPERM : FT_EINVAL,
                       "node %s: DPDK does not start: %s", node->name,
                       why[0] ? why : rte_strerror(rte_errno));
    if (rte_lcore_count() - 1 < config->chain.lanes)
        return ft_fail(fault, FT_EINVAL,
                       "node %s: eal gives %u lcores beside the main one, expected %u, one for each of "
                       "chain.lanes: name more of them, or none",
                       node->name, rte_lcore_count() - 1, config->chain.lanes);
    return 0;
}

/* ---- devices ----------------------------------------------------------------------------------- */

/* "net_af_packet0,iface=x" → bus vdev, name, arguments; or a PCI address. */
static int attach_device(const char *devargs, uint16_t *id)
{
    char name[RTE_DEV_NAME_MAX_LEN];
    size_t end = strcspn(devargs, ",");
    int error;

    snprintf(name, sizeof(name), "%.*s", (int)end, devargs);
    error = is_pci(devargs) ? 0 : rte_eal_hotplug_add("vdev", name, devargs + end + (devargs[end] == ','));
    return error ? error : rte_eth_dev_get_port_by_name(name, id);
}

/* Loads what DPDK would load at its start. */
static void load_drivers(void)
{
    glob_t files;

    if (glob(RTE_EAL_PMD_PATH "/librte_net_*.so", 0, NULL, &files) != 0)
        return;
    for (size_t i = 0; i < files.gl_pathc; i++)
        (void)dlopen(files.gl_pathv[i], RTLD_NOW);
    globfree(&files);
}

/* 0: a driver takes the name. DPDK logs why not. */
static int find_driver(void *device)
{
    char text[RTE_DEV_NAME_MAX_LEN];
    struct rte_devargs found = {.bus = NULL};
    int error;

    snprintf(text, sizeof(text), "vdev:%.*s", (int)strcspn(device, ","), (const char *)device);
    error = rte_devargs_parse(&found, text);
    rte_devargs_reset(&found);
    return error;
}

static bool is_pci_here(const char *device)
{
    char path[80];

    snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s%.*s",
             strchr(device, ':') == strrchr(device, ':') ? "0000:" : "", (int)strcspn(device, ","), device);
    return access(path, F_OK) == 0;
}

/* Why DPDK would refuse the device by its name alone; NULL: it would not. `knows`: DPDK's drivers are loaded.
 */
static const char *refuse_device(char *device, bool knows, char *why, size_t cap)
{
    bool pci = is_pci(device);

    if (pci ? is_pci_here(device) : !knows || capture(find_driver, device, why, cap) == 0)
        return NULL;
    return pci || !why[0] ? "No such device" : why;
}

int nd_eal_judge(const struct nd_config *config, const struct nd_node *node, struct ft_fault *fault)
{
    static char any[] = "net_null0";
    char why[160], device[sizeof(node->port[0])];
    const char *refusal;
    bool knows;

    if (node->eals || (node->inputs_port && !nd_config_is_keeper(config, node)))
        return 0; /* further arguments may name other drivers; a keeper has the ports */
    load_drivers();
    knows = capture(find_driver, any, why, sizeof(why)) == 0;
    for (unsigned i = 0; i < config->ports; i++) {
        snprintf(device, sizeof(device), "%s", node->port[i]);
        refusal = refuse_device(device, knows, why, sizeof(why));
        if (refusal)
            return ft_fail(fault, FT_EINVAL, "node %s: port %s: '%s' cannot be opened: %s", node->name,
                           config->port_name[i], device, refusal);
    }
    snprintf(device, sizeof(device), "%s", node->link_port);
    refusal = device[0] ? refuse_device(device, knows, why, sizeof(why)) : NULL;
    return refusal ? ft_fail(fault, FT_EINVAL, "node %s: link_port '%s' cannot be opened: %s", node->name,
                             device, refusal)
                   : 0;
}

/* What a device's hash is to be of, as nf_lane_of has it of IPv4. 0: no hash shows on which side of a trunk's
 * ports a frame came in. */
static uint64_t hash_kinds(const struct nd_deal *deal, const struct nd_device *device)
{
    const uint64_t addresses = RTE_ETH_RSS_IPV4 | RTE_ETH_RSS_FRAG_IPV4 | RTE_ETH_RSS_NONFRAG_IPV4_OTHER;
    enum nf_scope scope = deal->scope;
    uint8_t side = deal->side[device->port];

    if (device->trunk && scope != NF_OF_FLOW)
        return 0;
    if (scope == NF_OF_FLOW)
        return addresses | RTE_ETH_RSS_NONFRAG_IPV4_TCP | RTE_ETH_RSS_NONFRAG_IPV4_UDP;
    return addresses | ((scope == NF_OF_INSIDE) == (side == NF_INSIDE) ? RTE_ETH_RSS_L3_SRC_ONLY
                                                                       : RTE_ETH_RSS_L3_DST_ONLY);
}

/*
 * A receive queue for each lane, into which the port deals by the very hash that decides the lane
 * (nflib/chain/dispatch.c). False: this port cannot; then lanes share one queue and deal frames out
 * themselves.
 */
static bool can_scale(const struct rte_eth_dev_info *info, unsigned lanes, uint64_t kinds)
{
    return lanes > 1 && kinds && info->max_rx_queues >= lanes && info->max_tx_queues >= lanes &&
           (info->flow_type_rss_offloads & kinds) == kinds && info->reta_size >= NF_FLOW_SPREAD &&
           info->reta_size % NF_FLOW_SPREAD == 0 && info->reta_size <= RETA_MAX &&
           info->hash_key_size <= sizeof(flow_key);
}

static int deal_queues(uint16_t id, uint16_t size, unsigned lanes)
{
    struct rte_eth_rss_reta_entry64 table[RETA_MAX / RTE_ETH_RETA_GROUP_SIZE] = {{0}};

    for (unsigned i = 0; i < size; i++) {
        struct rte_eth_rss_reta_entry64 *group = &table[i / RTE_ETH_RETA_GROUP_SIZE];

        group->mask = UINT64_MAX;
        group->reta[i % RTE_ETH_RETA_GROUP_SIZE] = (uint16_t)(i % NF_FLOW_SPREAD % lanes);
    }
    return rte_eth_dev_rss_reta_update(id, table, size);
}

static unsigned number_of(const struct nd_ports *ports, const struct nd_device *device)
{
    return (unsigned)(device - ports->deal.device);
}

/* The MTU that a NIC is set to. 0: what it takes unasked; so do drivers that know of nothing larger. */
static uint32_t mtu_of(const struct nd_ports *ports, const struct nd_device *device,
                       const struct rte_eth_dev_info *info)
{
    const struct nf_l3_config *l3 = ports->deal.chain->l3;
    uint32_t wanted = l3                                 ? nf_l3_device_mtu(l3, number_of(ports, device))
                      : ports->frame_max > NF_FRAME_ROOM ? ports->frame_max - RTE_ETHER_HDR_LEN - NF_VLAN_TAG
                                                         : 0;
    uint32_t head = info->max_mtu != UINT16_MAX && info->max_rx_pktlen > info->max_mtu
                        ? info->max_rx_pktlen - info->max_mtu
                        : RTE_ETHER_HDR_LEN + RTE_ETHER_CRC_LEN;
    uint32_t most = info->max_rx_pktlen > head ? info->max_rx_pktlen - head : 0;

    wanted = wanted < most ? wanted : most;
    return wanted > RTE_ETHER_MTU ? wanted : 0;
}

/* One queue of each kind where lanes have to share. */
static int start_device(struct nd_ports *ports, struct nd_device *device)
{
    struct rte_eth_dev_info info;
    struct rte_eth_conf conf = {0}, plain = {0};
    uint16_t id = device->id, lanes = (uint16_t)ports->deal.lanes, rx = RX_RING, tx = TX_RING;
    uint64_t kinds = hash_kinds(&ports->deal, device);
    int error = rte_eth_dev_info_get(id, &info);

    if (error)
        return error;
    uint16_t txq = info.max_tx_queues >= lanes ? lanes : 1, rxq = can_scale(&info, lanes, kinds) ? lanes : 1;

    if (strcmp(info.driver_name, XDP) == 0)
        rx = tx = XDP_RING;
    conf.rxmode.mtu = plain.rxmode.mtu = mtu_of(ports, device, &info);
    if (rxq > 1) {
        for (unsigned i = 0; i < sizeof(flow_key); i++)
            flow_key[i] = (uint8_t)(i % 2 ? NF_FLOW_KEY : NF_FLOW_KEY >> 8);
        conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
        conf.rx_adv_conf.rss_conf =
            (struct rte_eth_rss_conf){.rss_key = flow_key,
                                      .rss_key_len = info.hash_key_size ? info.hash_key_size : 40,
                                      .rss_hf = kinds};
    }
    error = rte_eth_dev_configure(id, rxq, txq, &conf);
    if (error && rxq > 1)
        error = rte_eth_dev_configure(id, rxq = 1, txq, &plain);
    device->scaled = rxq > 1;
    device->queues = txq >= lanes;
    if (!error)
        error = rte_eth_dev_adjust_nb_rx_tx_desc(id, &rx, &tx);
    for (uint16_t q = 0; !error && q < rxq; q++)
        error = rte_eth_rx_queue_setup(id, q, rx, SOCKET_ID_ANY, NULL, ports->pool);
    for (uint16_t q = 0; !error && q < txq; q++)
        error = rte_eth_tx_queue_setup(id, q, tx, SOCKET_ID_ANY, NULL);
    if (!error)
        error = rte_eth_dev_start(id);
    if (!error && rxq > 1)
        error = deal_queues(id, info.reta_size, lanes);
    if (!error)
        rte_eth_promiscuous_enable(id); /* the virtual MAC is not the port's own; not every port can */
    return error;
}

struct opening {
    struct nd_ports *ports;
    const char *devargs;
    struct nd_device *device;
};

/* Of the device that is being opened: the socket that got a receive ring last, and how many did. */
static struct {
    int fd;
    unsigned count;
} receivers;

static int open_device(void *arg)
{
    struct opening *o = arg;

    receivers.count = 0;
    int error = attach_device(o->devargs, &o->device->id);

    error = error ? error : start_device(o->ports, o->device);
    o->device->fd = receivers.count == 1 ? receivers.fd : -1;
    return error;
}

int nd_device_open(struct nd_ports *ports, struct nd_device *device, const struct nd_node *node,
                   const char *port, struct ft_fault *fault)
{
    struct opening opening = {ports, node->port[number_of(ports, device)], device};
    char why[160];
    int error = capture(open_device, &opening, why, sizeof(why));

    if (!error)
        return 0;
    return ft_fail(fault, is_permission(error) ? FT_EPERM : FT_EINVAL,
                   "node %s: port %s: '%s' cannot be opened: %s", node->name, port, opening.devargs,
                   why[0] ? why : strerror(-error));
}

/* ---- the link's port --------------------------------------------------------------------------- */

/* The socket that a memif server left which was killed is in the way of the next one. */
static void remove_left_socket(const char *devargs)
{
    const char *at = strstr(devargs, "socket=/");
    char path[108];
    struct stat s;

    if (!at || !strstr(devargs, "role=server"))
        return;
    at += strlen("socket=");
    snprintf(path, sizeof(path), "%.*s", (int)strcspn(at, ","), at);
    if (lstat(path, &s) == 0 && S_ISSOCK(s.st_mode))
        unlink(path);
}

struct wire_opening {
    const char *devargs;
    struct nd_wire_port *port;
};

/* By memif the peer takes frames by the queue of the same number; by others they come as the port likes. */
static unsigned count_queues(const struct rte_eth_dev_info *info, unsigned lanes)
{
    unsigned most = info->max_rx_queues < info->max_tx_queues ? info->max_rx_queues : info->max_tx_queues;

    return strcmp(info->driver_name, "net_memif") == 0 && lanes <= most ? lanes : 1;
}

static int set_up_queues(struct nd_wire_port *port, uint16_t id)
{
    uint16_t rx = RX_RING, tx = TX_RING;
    struct rte_eth_conf conf = {0};
    int error;

    if ((error = rte_eth_dev_configure(id, (uint16_t)port->queues, (uint16_t)port->queues, &conf)) ||
        (error = rte_eth_dev_adjust_nb_rx_tx_desc(id, &rx, &tx)))
        return error;
    for (unsigned q = 0; q < port->queues; q++)
        if ((error = rte_eth_rx_queue_setup(id, (uint16_t)q, rx, SOCKET_ID_ANY, NULL, port->pool)) ||
            (error = rte_eth_tx_queue_setup(id, (uint16_t)q, tx, SOCKET_ID_ANY, NULL)))
            return error;
    return 0;
}

/* Group frames are taken. */
static int open_wire(void *arg)
{
    struct wire_opening *o = arg;
    struct nd_wire_port *port = o->port;
    struct rte_eth_dev_info info;
    struct rte_ether_addr mac = {0};
    uint16_t id, mtu = RTE_ETHER_MTU;
    uint32_t room, longest;
    int error;

    remove_left_socket(o->devargs);
    error = attach_device(o->devargs, &id);
    if (error || (error = rte_eth_dev_info_get(id, &info)))
        return error;
    port->queues = count_queues(&info, port->lanes);
    if ((error = set_up_queues(port, id)))
        return error;
    o->port->connects = strcmp(info.driver_name, "net_memif") == 0 && !strstr(o->devargs, "role=server");
    error = rte_eth_dev_start(id);
    if (error && !o->port->connects)
        return error;
    if (error) /* its other end has not come yet */
        nd_link_port_claim(port);
    rte_eth_promiscuous_enable(id);
    (void)rte_eth_dev_get_mtu(id, &mtu);
    (void)rte_eth_macaddr_get(id, &mac);
    room = rte_pktmbuf_data_room_size(port->pool) - RTE_PKTMBUF_HEADROOM; /* a frame is one buffer */
    longest = (uint32_t)mtu + RTE_ETHER_HDR_LEN;
    for (unsigned l = 0; l < port->lanes; l++) {
        memcpy(port->lane[l].wire.mac, mac.addr_bytes, sizeof(mac.addr_bytes));
        port->lane[l].wire.longest = longest < room ? longest : room;
    }
    port->id = id;
    port->is_open = true;
    return 0;
}

static int make_found(struct nd_wire_port *port, struct ft_fault *fault)
{
    for (unsigned l = 0; l < port->lanes && port->lanes > 1; l++) {
        char name[32];

        snprintf(name, sizeof(name), "link_port_%u", l);
        port->lane[l].found = rte_ring_create(name, ND_WIRE_WAIT, SOCKET_ID_ANY, RING_F_SC_DEQ);
        if (!port->lane[l].found)
            return ft_fail(fault, FT_ENOMEM, "no memory for the link_port's frames");
    }
    return 0;
}

int nd_link_port_open(struct nd_wire_port *port, const struct nd_node *node, struct rte_mempool *pool,
                      unsigned lanes, struct ft_fault *fault)
{
    struct wire_opening opening = {node->link_port, port};
    char why[160];
    int error;

    nd_link_port_begin(port, pool, lanes);
    error = capture(open_wire, &opening, why, sizeof(why));
    if (!error)
        return make_found(port, fault);
    return ft_fail(fault, is_permission(error) ? FT_EPERM : FT_EINVAL,
                   "node %s: link_port '%s' cannot be opened: %s", node->name, node->link_port,
                   why[0] ? why : strerror(-error));
}

static int close_devices(void *arg)
{
    const struct nd_ports *ports = arg;

    for (unsigned i = 0; i < ports->io.devices; i++) {
        rte_eth_dev_stop(ports->deal.device[i].id);
        rte_eth_dev_close(ports->deal.device[i].id);
    }
    return 0;
}

/* The af_xdp driver cannot take its program off an interface without capabilities, and logs that. The program
 * stays, lets all frames pass to the kernel, and is the next node's. */
void nd_devices_close(struct nd_ports *ports)
{
    char why[160];

    if (ports->xdp)
        (void)capture(close_devices, ports, why, sizeof(why));
    else
        (void)close_devices(ports);
}

/* ---- what drivers ask of their sockets -------------------------------------------------------- */

/*
 * This setsockopt stands before libc's, for drivers too. Everything goes to the kernel as it is, but for one
 * flag, and it notes which socket a device receives by, which its driver does not report.
 *
 * The flag is about fragments on ports of the af_packet driver. The driver joins its sockets to a fanout
 * group that asks the kernel to put IPv4 fragments together, and has no argument that would leave it out. A
 * datagram that is put together is larger than a frame: a chain could not send it on.
 *
 * The driver makes the group's number of its process and its interface, so two nodes in one network namespace
 * can come upon the same one. The kernel refuses the second interface; the numbers behind are tried then.
 */
#define TYPE_SHIFT   16 /* of a fanout's mode and flags, above its group's number */
#define GROUPS_TRIED 16

static int join_group(int fd, unsigned fanout)
{
    const unsigned mode = fanout >> TYPE_SHIFT << TYPE_SHIFT;
    int error = -1;

    for (unsigned i = 0; i < GROUPS_TRIED && error; i++) {
        unsigned group = mode | (uint16_t)(fanout + i);

        error = (int)syscall(SYS_setsockopt, fd, SOL_PACKET, PACKET_FANOUT, &group, sizeof(group));
        if (error && errno != EINVAL)
            break;
    }
    return error;
}

int setsockopt(int fd, int level, int option, const void *value, socklen_t size)
{
    unsigned fanout;

    if ((level == SOL_PACKET && option == PACKET_RX_RING) || (level == SOL_XDP && option == XDP_RX_RING)) {
        receivers.fd = fd;
        receivers.count++;
    }
    if (level == SOL_PACKET && option == PACKET_FANOUT && size == sizeof(fanout)) {
        memcpy(&fanout, value, sizeof(fanout));
        return join_group(fd, fanout & ~((unsigned)PACKET_FANOUT_FLAG_DEFRAG << TYPE_SHIFT));
    }
    return (int)syscall(SYS_setsockopt, fd, level, option, value, size);
}
