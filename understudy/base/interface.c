/* SPDX-License-Identifier: Apache-2.0 */
/* Looks at a kernel interface by the ioctls of netdevice(7) and ethtool, and by /proc/self/net/dev, and at
 * the machine's addresses; see interface.h. Owns nothing. */
#include "understudy/base/interface.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <inttypes.h>
#include <linux/ethtool.h>
#include <linux/if_packet.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define PACKET       "net_af_packet"
#define XDP          "net_af_xdp"
#define FRAME_HEADER 22u /* Ethernet's, with two tags */
/* Of the driver's ring: framesz and blocksz, where the device does not set them; the bytes in front of a
 * received frame (tpacket2_hdr, sockaddr_ll, alignment). */
#define RING_FRAME  2048u
#define RING_BLOCK  4096u
#define RING_FRAMES 512u
#define RING_HEAD   66u
#define RING_ROUND  64u

__attribute__((format(printf, 2, 3))) static void add_line(struct nd_interface_faults *out,
                                                           const char *format, ...)
{
    va_list args;

    if (out->count == ND_INTERFACE_LINES)
        return;
    va_start(args, format);
    vsnprintf(out->line[out->count++], ND_INTERFACE_TEXT, format, args);
    va_end(args);
}

static bool is_of(const char *devargs, const char *driver)
{
    return strncmp(devargs, driver, strlen(driver)) == 0;
}

/* "net_af_packet0,iface=eth1,…" → eth1. */
bool nd_interface_of(const char *devargs, char name[IFNAMSIZ])
{
    const char *at = is_of(devargs, PACKET) || is_of(devargs, XDP) ? strstr(devargs, ",iface=") : NULL;
    size_t n = at ? strcspn(at += strlen(",iface="), ",") : 0;

    if (n == 0 || n >= IFNAMSIZ)
        return false;
    snprintf(name, IFNAMSIZ, "%.*s", (int)n, at);
    return true;
}

/* What merges frames, or takes bytes out of them, before a port has them. */
static void look_at_offloads(int fd, struct ifreq *asked, struct nd_interface_faults *out)
{
    const char *name = asked->ifr_name;
    struct ethtool_value gro = {.cmd = ETHTOOL_GGRO}, flags = {.cmd = ETHTOOL_GFLAGS};

    asked->ifr_data = (char *)&gro;
    if (ioctl(fd, SIOCETHTOOL, asked) == 0 && gro.data)
        add_line(out, "%s: gro makes frames too large to send on, run: ethtool -K %s gro off", name, name);
    asked->ifr_data = (char *)&flags;
    if (ioctl(fd, SIOCETHTOOL, asked) != 0)
        return;
    if (flags.data & ETH_FLAG_LRO)
        add_line(out, "%s: lro makes frames too large to send on, run: ethtool -K %s lro off", name, name);
    if (flags.data & ETH_FLAG_RXVLAN)
        add_line(out, "%s: rxvlan takes tags out of frames, run: ethtool -K %s rxvlan off", name, name);
}

static unsigned argument_of(const char *devargs, const char *name, unsigned preset)
{
    const char *at = strstr(devargs, name);

    if (at)
        sscanf(at + strlen(name), "%u", &preset);
    return preset;
}

/* Does the text begin with one of the words, which blanks separate, and a "="? */
static bool is_argument(const char *at, const char *words)
{
    size_t len = strcspn(at, "=,");

    for (const char *word = words; *word; word += strcspn(word, " "), word += strspn(word, " "))
        if (strcspn(word, " ") == len && strncmp(word, at, len) == 0 && at[len] == '=')
            return true;
    return false;
}

/* Of a ring that packet_set_ring() of the kernel refuses it reports EINVAL, and no more. */
static int judge_ring(const char *devargs, struct ft_fault *fault)
{
    unsigned size = argument_of(devargs, ",framesz=", RING_FRAME);
    unsigned block = argument_of(devargs, ",blocksz=", RING_BLOCK);
    unsigned count = argument_of(devargs, ",framecnt=", RING_FRAMES);

    if (size % TPACKET_ALIGNMENT || size <= RING_HEAD)
        return ft_fail(fault, FT_EINVAL, "framesz=%u, expected a multiple of %d, of more than %u", size,
                       TPACKET_ALIGNMENT, RING_HEAD);
    if (block % (unsigned)getpagesize() || block < size)
        return ft_fail(fault, FT_EINVAL, "blocksz=%u, expected a multiple of %d, and framesz=%u at least",
                       block, getpagesize(), size);
    if (!count || count % (block / size))
        return ft_fail(fault, FT_EINVAL, "framecnt=%u, expected a multiple of %u, the frames of a block",
                       count, block / size);
    return 0;
}

int nd_interface_judge(const char *devargs, struct ft_fault *fault)
{
    static const struct {
        const char *driver, *arguments;
    } rows[] = {/* of DPDK 22.11 to 24.11: what the one that is linked does not know it refuses itself */
                {PACKET, "iface qpairs blocksz framesz framecnt qdisc_bypass fanout_mode"},
                {XDP, "iface start_queue queue_count shared_umem xdp_prog busy_budget force_copy use_cni "
                      "use_pinned_map dp_path"}};
    struct nd_interface_now now;
    char name[IFNAMSIZ];

    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (!is_of(devargs, rows[i].driver))
            continue;
        for (const char *at = strchr(devargs, ','); at; at = strchr(at, ','))
            if (!is_argument(++at, rows[i].arguments))
                return ft_fail(fault, FT_EINVAL, "\"%.*s\" is no argument of %s, which has %s",
                               (int)strcspn(at, ","), at, rows[i].driver, rows[i].arguments);
        if (!nd_interface_of(devargs, name))
            return ft_fail(fault, FT_EINVAL, "no interface, expected iface=NAME, of up to %d characters",
                           IFNAMSIZ - 1);
    }
    if (is_of(devargs, PACKET) && judge_ring(devargs, fault))
        return FT_EINVAL;
    return nd_interface_ask(devargs, false, &now) && !now.mtu ? ft_fail(fault, FT_EINVAL, "No such device")
                                                              : 0;
}

/* A frame that is longer than a place of the driver's ring comes in cut off. The driver takes places for one
 * behind the other, which the kernel's are only where a block has no rest. */
static void look_at_ring(const char *devargs, unsigned mtu, const char *name, struct nd_interface_faults *out)
{
    unsigned size = argument_of(devargs, ",framesz=", RING_FRAME);
    unsigned block = argument_of(devargs, ",blocksz=", RING_BLOCK),
             most = size > RING_HEAD ? size - RING_HEAD : 0;

    if (mtu + FRAME_HEADER > most)
        add_line(out, "%s: framesz=%u: frames above %u bytes are cut off, expected framesz=%u or more", name,
                 size, most, (mtu + FRAME_HEADER + RING_HEAD + RING_ROUND - 1) / RING_ROUND * RING_ROUND);
    if (size == 0 || block % size != 0)
        add_line(out, "%s: blocksz=%u is no multiple of framesz=%u: frames are lost, expected blocksz=%u",
                 name, block, size, size * RING_ROUND);
}

void nd_interface_look(const char *devargs, unsigned mtu, unsigned frame_max, struct nd_interface_faults *out)
{
    struct ifreq asked = {0};
    char name[IFNAMSIZ];
    int fd;

    out->count = 0;
    if (!nd_interface_of(devargs, name) || (fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) < 0)
        return;
    memcpy(asked.ifr_name, name, IFNAMSIZ);
    if (ioctl(fd, SIOCGIFFLAGS, &asked) == 0) {
        short flags = asked.ifr_flags;

        if (!(flags & IFF_UP))
            add_line(out, "%s: is down, run: ip link set %s up", name, name);
        else if (!(flags & IFF_RUNNING))
            add_line(out, "%s: has no link: look at its cable and what is at the other end", name);
        if (is_of(devargs, PACKET))
            look_at_ring(devargs, mtu, name, out);
        if (ioctl(fd, SIOCGIFMTU, &asked) == 0 && (unsigned)asked.ifr_mtu > frame_max - FRAME_HEADER)
            add_line(out, "%s: MTU %d: frames above %u bytes are dropped, run: ip link set %s mtu %u", name,
                     asked.ifr_mtu, frame_max, name, mtu ? mtu : 1500);
        else if ((unsigned)asked.ifr_mtu < mtu)
            add_line(out,
                     "%s: MTU %d: packets of up to %u bytes are let pass and dropped here, run: ip link set "
                     "%s mtu %u",
                     name, asked.ifr_mtu, mtu, name, mtu);
        look_at_offloads(fd, &asked, out);
    }
    close(fd);
}

/*
 * The frames that an interface has sent, by the process's own network namespace (/sys shows that of whoever
 * mounted it). "  eth0: BYTES PACKETS … BYTES PACKETS …": eight figures of what came, then of what was sent.
 */
static bool read_sent(const char *name, uint64_t *sent)
{
    char line[512];
    FILE *file = fopen("/proc/self/net/dev", "re");
    bool found = false;

    if (!file)
        return false;
    while (!found && fgets(line, sizeof(line), file)) {
        const char *at = line + strspn(line, " "), *colon = strrchr(at, ':');

        found = colon && (size_t)(colon - at) == strlen(name) && strncmp(at, name, strlen(name)) == 0 &&
                sscanf(colon + 1, "%*u %*u %*u %*u %*u %*u %*u %*u %*u %" SCNu64, sent) == 1;
    }
    fclose(file);
    return found;
}

/* None of these questions waits for the lock under which interfaces are changed (rtnl), which others may hold
 * for milliseconds; rtnetlink(7) does. */
static bool ask_kernel(const char name[IFNAMSIZ], bool counts, struct nd_interface_now *out)
{
    struct ifreq asked = {0};
    int fd;

    if ((fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) < 0)
        return false;
    *out = (struct nd_interface_now){.carrier = false};
    memcpy(asked.ifr_name, name, IFNAMSIZ);
    if (ioctl(fd, SIOCGIFFLAGS, &asked) == 0) {
        out->carrier = (asked.ifr_flags & (IFF_UP | IFF_RUNNING)) == (IFF_UP | IFF_RUNNING);
        if (ioctl(fd, SIOCGIFMTU, &asked) == 0)
            out->mtu = (uint32_t)asked.ifr_mtu;
        if (ioctl(fd, SIOCGIFINDEX, &asked) == 0)
            out->index = asked.ifr_ifindex;
    }
    close(fd);
    return !counts || !out->mtu || read_sent(name, &out->sent);
}

bool nd_interface_ask(const char *devargs, bool counts, struct nd_interface_now *out)
{
    char name[IFNAMSIZ];

    return nd_interface_of(devargs, name) && ask_kernel(name, counts, out);
}

bool nd_interface_named(const char *name, struct nd_interface_now *out)
{
    char whole[IFNAMSIZ];

    return snprintf(whole, sizeof(whole), "%s", name) < IFNAMSIZ && ask_kernel(whole, false, out) && out->mtu;
}

/* ---- addresses of this machine ----------------------------------------------------------------- */

/* Which addresses this machine has, by getifaddrs(3). */

static bool is_it(const struct sockaddr *at, int family, const void *addr)
{
    if (!at || at->sa_family != family)
        return false;
    if (family == AF_INET)
        return memcmp(&((const struct sockaddr_in *)(const void *)at)->sin_addr, addr, 4) == 0;
    return memcmp(&((const struct sockaddr_in6 *)(const void *)at)->sin6_addr, addr, 16) == 0;
}

bool nd_address_held(int family, const void *addr, char name[IFNAMSIZ])
{
    struct ifaddrs *all, *at;
    bool found = false;

    if (getifaddrs(&all) != 0)
        return false;
    for (at = all; at && !found; at = at->ifa_next) {
        found = is_it(at->ifa_addr, family, addr);
        if (found)
            snprintf(name, IFNAMSIZ, "%s", at->ifa_name);
    }
    freeifaddrs(all);
    return found;
}

bool nd_address_here(const char *host)
{
    char name[IFNAMSIZ];
    struct in_addr addr;

    return inet_pton(AF_INET, host, &addr) == 1 && nd_address_held(AF_INET, &addr, name);
}
