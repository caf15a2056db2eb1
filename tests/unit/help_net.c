/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/help_net.h"
#include "replicator/parts.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#define LIMIT 10000000000ull /* ns */

uint16_t help_free_port(const char *host)
{
    struct sockaddr_in at = {.sin_family = AF_INET};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    inet_pton(AF_INET, host, &at.sin_addr);
    assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
    getsockname(fd, (struct sockaddr *)&at, &len);
    close(fd);
    return ntohs(at.sin_port);
}

void help_links(struct rp_link *link[2], const char *const host[2], uint16_t port[2])
{
    bool fresh[2] = {false, false};
    uint64_t end = rp_monotonic() + LIMIT;
    struct ft_fault why;

    for (unsigned i = 0; i < 2; i++)
        port[i] = help_free_port(host[i]);
    for (unsigned i = 0; i < 2; i++) {
        struct rp_link_config config = {.local_host = host[i],
                                        .peer_host = host[!i],
                                        .local_port = port[i],
                                        .peer_port = port[!i],
                                        .listens = i == 0,
                                        .retry_ms = 20};

        if (rp_link_open(&link[i], &config, &why))
            fail_msg("%s", why.text);
    }
    for (; !fresh[0] || !fresh[1]; help_not_beyond(end, "a connection"))
        for (unsigned i = 0; i < 2; i++)
            fresh[i] |= rp_link_poll(link[i], rp_monotonic());
}

void help_not_beyond(uint64_t end, const char *what)
{
    if (rp_monotonic() > end)
        fail_msg("never: %s", what);
}
