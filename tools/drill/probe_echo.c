/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The prober's echo server: datagrams in one thread, TCP flows in another, every byte sent back as it came.
 */
#define _GNU_SOURCE
#include "tools/drill/probe.h"
#include "tools/drill/probe_table.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENTS_MAX 256u

static int open_socket(int type, const struct sockaddr_in *at)
{
    int one = 1, room = 1 << 20, s = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    if (s < 0)
        return -1;
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (type == SOCK_DGRAM)
        setsockopt(s, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    if (bind(s, (const struct sockaddr *)at, sizeof *at) == 0 && (type == SOCK_DGRAM || listen(s, 64) == 0))
        return s;
    int error = errno;
    close(s);
    errno = error;
    return -1;
}

int nd_probe_listen(const char *address, uint16_t port, int sockets[2], struct ft_fault *fault)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(port)};
    if (inet_pton(AF_INET, address, &at.sin_addr) != 1)
        return ft_fail(fault, FT_EINVAL, "%s: not a numeric IPv4 address", address);
    sockets[0] = open_socket(SOCK_DGRAM, &at);
    sockets[1] = sockets[0] < 0 ? -1 : open_socket(SOCK_STREAM, &at);
    if (sockets[1] >= 0)
        return FT_OK;
    int error = errno;
    if (sockets[0] >= 0)
        close(sockets[0]);
    return ft_fail(fault, error == EADDRINUSE ? FT_EBUSY : FT_EIO, "%s port %u: %s", address, port,
                   strerror(error));
}

static void *echo_datagrams(void *arg)
{
    int s = *(const int *)arg;
    uint8_t bytes[2048];
    nd_probe_hurry();
    for (;;) {
        struct sockaddr_in from;
        socklen_t length = sizeof from;
        ssize_t n = recvfrom(s, bytes, sizeof bytes, 0, (struct sockaddr *)&from, &length);
        if (n >= 0)
            (void)sendto(s, bytes, (size_t)n, MSG_DONTWAIT, (struct sockaddr *)&from, length);
    }
    return NULL;
}

/* Sends all of it back, waiting a little for room; false: this client is gone. */
static bool echo_flow(int s)
{
    uint8_t bytes[16384];
    ssize_t n = recv(s, bytes, sizeof bytes, MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    for (ssize_t done = 0; done < n;) {
        ssize_t k = send(s, bytes + done, (size_t)(n - done), MSG_NOSIGNAL | MSG_DONTWAIT);
        struct pollfd room = {.fd = s, .events = POLLOUT};
        if (k > 0)
            done += k;
        else if ((errno != EAGAIN && errno != EINTR) || poll(&room, 1, 1000) <= 0)
            return false;
    }
    return n > 0;
}

static void welcome(int listener, struct pollfd *polls, unsigned *count)
{
    int one = 1, s = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (s < 0)
        return;
    if (*count == CLIENTS_MAX) {
        close(s);
        return;
    }
    setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    polls[(*count)++] = (struct pollfd){.fd = s, .events = POLLIN};
}

void nd_probe_echo(const int sockets[2])
{
    struct pollfd polls[CLIENTS_MAX] = {{.fd = sockets[1], .events = POLLIN}};
    unsigned count = 1;
    pthread_t thread;
    int datagrams = sockets[0];
    if (pthread_create(&thread, NULL, echo_datagrams, &datagrams) != 0)
        _exit(1);
    nd_probe_hurry();
    for (;;) {
        if (poll(polls, count, -1) <= 0)
            continue;
        for (unsigned i = count; i-- > 1;)
            if (polls[i].revents && !echo_flow(polls[i].fd)) {
                close(polls[i].fd);
                polls[i] = polls[--count];
            }
        if (polls[0].revents)
            welcome(sockets[1], polls, &count);
    }
}
