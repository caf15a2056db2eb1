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

void help_not_beyond(uint64_t end, const char *what)
{
    if (rp_monotonic() > end)
        fail_msg("never: %s", what);
}
