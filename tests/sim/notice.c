/* SPDX-License-Identifier: Apache-2.0 */
/* The guardians' datagrams, under way to a node: crash notices, and death notices, now and then damaged or of
 * a stranger. */
#define _GNU_SOURCE
#include "tests/sim/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#define NOTICES 16u

ssize_t sim_recvfrom(int fd, void *to, size_t size, int flags, struct sockaddr *from, socklen_t *len);

static struct {
    uint8_t bytes[FT_CRASH_BYTES];
    size_t len;
    bool stranger; /* from another host */
    unsigned from;
    uint64_t at;
} notices[SIM_NODES][NOTICES];
static unsigned notice_count[SIM_NODES];

void sim_notices_begin(void)
{
    memset(notice_count, 0, sizeof(notice_count));
}

void sim_notices_gone(unsigned node)
{
    notice_count[node] = 0;
}

void sim_net_death_notice(unsigned from, unsigned to, const struct ft_datagram_key *dead, uint64_t at)
{
    const struct ft_datagram notice = {.kind = FT_DEATH_NOTICE};
    size_t len;

    if (notice_count[to] == NOTICES)
        return;
    len = ft_datagram_encode(&notice, dead, notices[to][notice_count[to]].bytes);
    if (sim_troubled(100)) /* damaged on its way; or somebody else's, who speaks another language */
        notices[to][notice_count[to]].bytes[sim_draw(&sim.trouble, len)] ^= 1;
    notices[to][notice_count[to]].len = sim_troubled(50) ? 7 : len;
    notices[to][notice_count[to]].stranger = sim_troubled(50);
    notices[to][notice_count[to]].from = from;
    notices[to][notice_count[to]++].at = at;
}

void sim_net_crash_notice(unsigned from, unsigned to, const struct ft_crash_notice *notice,
                          const struct ft_datagram_key *dead, uint64_t at)
{
    if (notice_count[to] == NOTICES)
        return;
    notices[to][notice_count[to]].len =
        ft_crash_notice_encode(notice, dead, notices[to][notice_count[to]].bytes);
    notices[to][notice_count[to]].stranger = false;
    notices[to][notice_count[to]].from = from;
    notices[to][notice_count[to]++].at = at;
}

int sim_notice_there(unsigned node)
{
    bool blocked = sim_net_blocked(node, 0) && (!sim.plan.ways || sim_net_blocked(node, 1));

    /* They go by both ways, and are all read as the first's. */
    for (unsigned i = 0; i < notice_count[node] && !blocked; i++)
        if (notices[node][i].at <= sim.now)
            return (int)i;
    return -1;
}

ssize_t sim_recvfrom(int fd, void *to, size_t size, int flags, struct sockaddr *from, socklen_t *len)
{
    unsigned node = sim_sock_of(fd)->node;
    struct sockaddr_in *in = (struct sockaddr_in *)(void *)from;
    int i = sim_sock_of(fd)->way == 0 ? sim_notice_there(node) : -1;

    (void)flags;
    (void)len;
    if (i < 0) {
        errno = EAGAIN;
        return -1;
    }
    bool stranger = notices[node][i].stranger;
    unsigned sender = notices[node][i].from;

    size = size < notices[node][i].len ? size : notices[node][i].len;
    memcpy(to, notices[node][i].bytes, size);
    memmove(&notices[node][i], &notices[node][i + 1],
            (--notice_count[node] - (unsigned)i) * sizeof(notices[node][0]));
    *in = (struct sockaddr_in){.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(stranger ? 0x0a090009u : 0x0a090001u + sender)};
    return (ssize_t)size;
}
