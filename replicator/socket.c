/* SPDX-License-Identifier: Apache-2.0 */
/* Making and accepting the link's sockets. Called by the link, on the replicator's thread. */
#define _GNU_SOURCE /* accept4 */
#include "replicator/socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <linux/tcp.h> /* tcp_info whole, which the C library has not */
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BACKLOG     64
#define ACCEPTS_MAX 16 /* per call: a flood of connections must not hold up the node */

int rp_address(struct sockaddr_in *out, const char *host, uint16_t port, struct ft_fault *fault)
{
    *out = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
    if (!host || inet_pton(AF_INET, host, &out->sin_addr) != 1)
        return ft_fail(fault, FT_EINVAL, "replication address %s, expected a numeric IPv4 address",
                       host ? host : "(none)");
    return 0;
}

/* An address of the loopback is reached by whatever interface leads to this host, so it has no device. */
void rp_device(const struct sockaddr_in *at, char device[IF_NAMESIZE])
{
    struct ifaddrs *all = NULL;

    device[0] = '\0';
    if (getifaddrs(&all))
        return;
    for (const struct ifaddrs *i = all; i && !device[0]; i = i->ifa_next) {
        const struct sockaddr_in *its = (const struct sockaddr_in *)(const void *)i->ifa_addr;

        if (its && its->sin_family == AF_INET && its->sin_addr.s_addr == at->sin_addr.s_addr &&
            !(i->ifa_flags & IFF_LOOPBACK))
            /* A second address of eth0 may be labelled eth0:1. */
            snprintf(device, IF_NAMESIZE, "%.*s", (int)strcspn(i->ifa_name, ":"), i->ifa_name);
    }
    freeifaddrs(all);
}

/*
 * Linux takes a packet for any of its addresses on any of its interfaces. Only what arrives on the link's own
 * is for the link.
 */
static int bind_device(int fd, const char *device)
{
    return device[0] ? setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, (socklen_t)strlen(device)) : 0;
}

static int fail_by_errno(int fd, const struct sockaddr_in *at, struct ft_fault *fault)
{
    int why = errno, port = ntohs(at->sin_port);
    char host[INET_ADDRSTRLEN];

    if (fd >= 0)
        close(fd);
    inet_ntop(AF_INET, &at->sin_addr, host, sizeof(host));
    switch (why) {
    case EADDRINUSE:
        return ft_fail(fault, FT_EBUSY, "replication address %s:%d is taken", host, port);
    case EADDRNOTAVAIL:
        return ft_fail(fault, FT_ENOENT, "replication address %s is not one of this host", host);
    case EACCES:
    case EPERM:
        return ft_fail(fault, FT_EPERM, "no permission for replication address %s:%d", host, port);
    default:
        return ft_fail(fault, FT_EIO, "replication address %s:%d: %s", host, port, strerror(why));
    }
}

int rp_listen(const struct sockaddr_in *at, const char *device, struct ft_fault *fault)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1;

    /* Reuse lets a restarted node listen beside its old connections, not beside another listener. */
    if (fd < 0 || bind_device(fd, device) || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) ||
        bind(fd, (const struct sockaddr *)at, sizeof(*at)) || listen(fd, BACKLOG))
        return fail_by_errno(fd, at, fault);
    return fd;
}

/* No reuse here: with it, two processes could share the port and one of them would miss the notice. */
int rp_datagrams(const struct sockaddr_in *at, const char *device, struct ft_fault *fault)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind_device(fd, device) || bind(fd, (const struct sockaddr *)at, sizeof(*at)))
        return fail_by_errno(fd, at, fault);
    return fd;
}

static void no_delay(int fd)
{
    int on = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

int rp_accept(int listener, const struct in_addr from[], unsigned n, unsigned *who, uint64_t *strangers)
{
    for (int i = 0; i < ACCEPTS_MAX; i++) {
        struct sockaddr_in at;
        socklen_t len = sizeof(at);

        int fd = accept4(listener, (struct sockaddr *)&at, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0 && (errno == ECONNABORTED || errno == EINTR))
            continue;
        if (fd < 0)
            return -1;
        for (*who = 0; *who < n; ++*who)
            if (at.sin_addr.s_addr == from[*who].s_addr) {
                no_delay(fd);
                return fd;
            }
        close(fd);
        ++*strangers;
    }
    return -1;
}

int rp_connect(const struct sockaddr_in *local, const struct sockaddr_in *peer, const char *device)
{
    struct sockaddr_in from = *local;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    from.sin_port = 0;
    no_delay(fd);
    /* By bind, and not reusable: a port that connect chooses the kernel also gives to a socket that is bound
     * to no device, whose answers would end this connection. */
    if (bind_device(fd, device) == 0 && bind(fd, (struct sockaddr *)&from, sizeof(from)) == 0 &&
        (connect(fd, (const struct sockaddr *)peer, sizeof(*peer)) == 0 || errno == EINPROGRESS))
        return fd;
    close(fd);
    return -1;
}

/* On one host, a socket that connects to a port nobody listens on may be given that port, and meet itself. */
static int meets_itself(int fd)
{
    struct sockaddr_in here = {0}, there = {0};
    socklen_t len = sizeof(here), len2 = sizeof(there);

    return getsockname(fd, (struct sockaddr *)&here, &len) == 0 &&
           getpeername(fd, (struct sockaddr *)&there, &len2) == 0 && here.sin_port == there.sin_port &&
           here.sin_addr.s_addr == there.sin_addr.s_addr;
}

int rp_connected(int fd)
{
    struct pollfd p = {fd, POLLOUT, 0};
    int error = 0;
    socklen_t len = sizeof(error);

    if (poll(&p, 1, 0) == 0)
        return 0;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) || error || meets_itself(fd))
        return -1;
    return 1;
}

bool rp_times(int fd, uint64_t *busy_us, uint64_t *full_us)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof(info);

    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) ||
        len < offsetof(struct tcp_info, tcpi_rwnd_limited) + sizeof(info.tcpi_rwnd_limited))
        return false;
    *busy_us = info.tcpi_busy_time;
    *full_us = info.tcpi_rwnd_limited;
    return true;
}
