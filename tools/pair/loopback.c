/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses and files of a pair that a tool forks; see loopback.h. */
#include "tools/pair/loopback.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TRIES 8u

/*
 * Ports that are free for both kinds of socket. The address is the run's own (127.0.0.0/8 is all loopback),
 * so no other program takes them between this look and the nodes' start.
 */
static int free_port(const char *host, uint16_t *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof(at);
    int tcp = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0),
        udp = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int error = FT_EIO;

    inet_pton(AF_INET, host, &at.sin_addr);
    if (tcp >= 0 && udp >= 0 && bind(tcp, (struct sockaddr *)&at, sizeof(at)) == 0 &&
        getsockname(tcp, (struct sockaddr *)&at, &len) == 0 &&
        bind(udp, (struct sockaddr *)&at, sizeof(at)) == 0) {
        *port = ntohs(at.sin_port);
        error = 0;
    }
    if (tcp >= 0)
        close(tcp);
    if (udp >= 0)
        close(udp);
    return error;
}

int nd_loopback_open(struct nd_loopback *place, struct ft_fault *fault)
{
    const char *base = getenv("TMPDIR");
    unsigned id = (unsigned)getpid();

    *place = (struct nd_loopback){.host = ""};
    snprintf(place->directory, sizeof(place->directory), "%.40s/understudy-XXXXXX",
             base && *base ? base : "/tmp");
    if (!mkdtemp(place->directory)) {
        ft_fail(fault, FT_EIO, "%s: %s, expected a directory to write in", place->directory, strerror(errno));
        place->directory[0] = '\0';
        return FT_EIO;
    }
    snprintf(place->host, sizeof(place->host), "127.%u.%u.%u", 64 + (id >> 16 & 63), id >> 8 & 255, id & 255);
    for (unsigned n = 0; n < ND_NODES; n++)
        for (unsigned i = 0; i < TRIES && (place->port[n] == 0 || place->port[n] == place->port[!n]); i++)
            if (free_port(place->host, &place->port[n]) != 0)
                return ft_fail(fault, FT_EIO, "no port is free on the loopback");
    return 0;
}

void nd_loopback_forget(struct nd_loopback *place)
{
    char path[96];

    for (unsigned n = 0; n < ND_NODES; n++)
        for (unsigned i = 0; place->directory[0] && i < 2; i++) {
            snprintf(path, sizeof(path), "%s/%c.view%s", place->directory, 'a' + (int)n, i ? ".new" : "");
            unlink(path);
        }
}

void nd_loopback_close(struct nd_loopback *place)
{
    nd_loopback_forget(place);
    if (place->directory[0])
        rmdir(place->directory);
    place->directory[0] = '\0';
}
