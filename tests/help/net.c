/* SPDX-License-Identifier: Apache-2.0 */
/* For tests with real sockets. See net.h. */
#include "tests/help/net.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* Below the ports that the kernel gives to who asks for any: a connection that is made between this and the
 * test's own bind cannot have it. */
uint16_t help_free_port(const char *host)
{
    static uint32_t next;
    struct sockaddr_in at = {.sin_family = AF_INET};
    bool taken = true;

    next = next ? next : (uint32_t)getpid() * 37;
    inet_pton(AF_INET, host, &at.sin_addr);
    while (taken) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);

        assert_true(fd >= 0);
        at.sin_port = htons((uint16_t)(12000 + next++ % 20000));
        taken = bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0;
        close(fd);
    }
    return ntohs(at.sin_port);
}

void help_not_beyond(uint64_t end, const char *what)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    if ((uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec > end)
        fail_msg("never: %s", what);
}
