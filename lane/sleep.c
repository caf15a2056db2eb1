/* SPDX-License-Identifier: Apache-2.0 */
/* How a lane sleeps, on its own thread: until its time is over, the replicator wakes it, or a port has
 * something. */
#define _GNU_SOURCE /* ppoll */
#include "ftcore/base/check.h"
#include "lane/lane.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

/* A port whose interface went away has an error, for which poll would return at once until it is read. */
static bool clear_errors(const struct pollfd ports[], unsigned n)
{
    socklen_t size = sizeof(int);
    bool any = false;
    int error;

    for (unsigned i = 0; i < n; i++) {
        if (!(ports[i].revents & ~POLLIN))
            continue;
        (void)getsockopt(ports[i].fd, SOL_SOCKET, SO_ERROR, &error, &size);
        any = true;
    }
    return any;
}

bool nd_lane_sleep(struct ft_lane_shared *lane, uint64_t ns, const int ports[], unsigned n)
{
    struct timespec time = {(time_t)(ns / 1000000000), (long)(ns % 1000000000)};
    struct pollfd p[1 + NF_PORTS_MAX] = {{lane->alarm, POLLIN, 0}};
    uint64_t calls;

    FT_CHECK(n <= NF_PORTS_MAX, "%u ports", n);
    for (unsigned i = 0; i < n; i++)
        p[1 + i] = (struct pollfd){ports[i], POLLIN, 0};
    if (ppoll(p, 1 + n, &time, NULL) <= 0)
        return true;
    if (p[0].revents)
        (void)!read(lane->alarm, &calls, sizeof(calls));
    return !clear_errors(p + 1, n);
}
