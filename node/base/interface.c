/* SPDX-License-Identifier: Apache-2.0 */
/* Looks at a kernel interface by the ioctls of netdevice(7) and ethtool, and by rtnetlink(7); see
 * interface.h. Owns nothing. */
#include "node/base/interface.h"

#include <linux/ethtool.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define DRIVER       "net_af_packet"
#define FRAME_HEADER 22u /* Ethernet's, with two tags */

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

/* "net_af_packet0,iface=eth1,…" → eth1. */
static bool interface_of(const char *devargs, char name[IFNAMSIZ])
{
    const char *at = strncmp(devargs, DRIVER, strlen(DRIVER)) == 0 ? strstr(devargs, ",iface=") : NULL;
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

void nd_interface_look(const char *devargs, unsigned mtu, struct nd_interface_faults *out)
{
    struct ifreq asked = {0};
    char name[IFNAMSIZ];
    int fd = -1;

    out->count = 0;
    if (!interface_of(devargs, name) || (fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) < 0)
        return;
    memcpy(asked.ifr_name, name, IFNAMSIZ);
    if (ioctl(fd, SIOCGIFFLAGS, &asked) == 0) {
        short flags = asked.ifr_flags;

        if (!(flags & IFF_UP))
            add_line(out, "%s: is down, run: ip link set %s up", name, name);
        else if (!(flags & IFF_RUNNING))
            add_line(out, "%s: has no link: look at its cable and what is at the other end", name);
        if (ioctl(fd, SIOCGIFMTU, &asked) == 0 && (unsigned)asked.ifr_mtu > ND_FRAME_ROOM - FRAME_HEADER)
            add_line(out, "%s: MTU %d: frames above %u bytes are dropped, run: ip link set %s mtu 1500", name,
                     asked.ifr_mtu, ND_FRAME_ROOM, name);
        else if ((unsigned)asked.ifr_mtu < mtu)
            add_line(out,
                     "%s: MTU %d: packets of up to %u bytes are let pass and dropped here, run: ip link set "
                     "%s mtu %u",
                     name, asked.ifr_mtu, mtu, name, mtu);
        look_at_offloads(fd, &asked, out);
    }
    close(fd);
}

/* Of the kernel's answer: flags, MTU and the frames sent. */
static void read_answer(const struct nlmsghdr *answer, struct nd_interface_now *out)
{
    const struct ifinfomsg *info = NLMSG_DATA(answer);
    int left = (int)IFLA_PAYLOAD(answer);

    out->carrier = (info->ifi_flags & (IFF_UP | IFF_RUNNING)) == (IFF_UP | IFF_RUNNING);
    for (const struct rtattr *a = IFLA_RTA(info); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
        if (a->rta_type == IFLA_MTU && RTA_PAYLOAD(a) >= sizeof(out->mtu))
            memcpy(&out->mtu, RTA_DATA(a), sizeof(out->mtu));
        if (a->rta_type == IFLA_STATS64 && RTA_PAYLOAD(a) >= sizeof(struct rtnl_link_stats64))
            memcpy(&out->sent, (const char *)RTA_DATA(a) + offsetof(struct rtnl_link_stats64, tx_packets),
                   sizeof(out->sent));
    }
}

bool nd_interface_ask(const char *devargs, struct nd_interface_now *out)
{
    struct {
        struct nlmsghdr head;
        struct ifinfomsg info;
        struct rtattr attribute;
        char name[IFNAMSIZ];
    } question = {.head = {.nlmsg_type = RTM_GETLINK, .nlmsg_flags = NLM_F_REQUEST},
                  .attribute.rta_type = IFLA_IFNAME};
    _Alignas(struct nlmsghdr) char answer[8192];
    const struct nlmsghdr *head = (const struct nlmsghdr *)answer;
    ssize_t got = -1;
    int fd;

    if (!interface_of(devargs, question.name) ||
        (fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)) < 0)
        return false;
    *out = (struct nd_interface_now){.carrier = false};
    question.attribute.rta_len = (unsigned short)RTA_LENGTH(strlen(question.name) + 1);
    question.head.nlmsg_len = NLMSG_LENGTH(sizeof(question.info)) + RTA_ALIGN(question.attribute.rta_len);
    if (send(fd, &question, question.head.nlmsg_len, 0) > 0)
        got = recv(fd, answer, sizeof(answer), MSG_DONTWAIT);
    close(fd);
    if (got < (ssize_t)NLMSG_LENGTH(sizeof(struct ifinfomsg)) || !NLMSG_OK(head, (size_t)got))
        return false;
    if (head->nlmsg_type == RTM_NEWLINK)
        read_answer(head, out);
    return true;
}
