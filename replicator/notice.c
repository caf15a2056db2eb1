/* SPDX-License-Identifier: Apache-2.0 */
/* Death notices and crash notices that come in on the link's datagram socket. Called by the link, on the
 * replicator's thread.
 */
#include "replicator/connection.h"

#include <sys/socket.h>

#ifndef NOTICES_MAX    /* the simulation has fewer in some seeds */
#define NOTICES_MAX 64 /* datagrams per call */
#endif

int rp_notice_take(int fd, const struct sockaddr_in *host, const struct ft_datagram_key *peer, bool *more,
                   struct ft_crash_notice *crash, uint64_t refused[])
{
    for (int i = 0; i < NOTICES_MAX; i++) {
        uint8_t bytes[FT_CRASH_BYTES + 1];
        struct ft_datagram said = {0};
        struct ft_crash_notice died;
        struct sockaddr_in from;
        socklen_t len = sizeof(from);

        ssize_t n = recvfrom(fd, bytes, sizeof(bytes), 0, (struct sockaddr *)&from, &len);
        if (n < 0) {
            *more = false;
            return 0;
        }
        if (!peer)
            continue;
        bool own = from.sin_addr.s_addr == host->sin_addr.s_addr;

        if (own && ft_crash_notice_decode(bytes, (size_t)n, peer, &died) == 0) {
            *crash = died;
            continue;
        }
        int rc = own ? ft_datagram_decode(bytes, (size_t)n, peer, &said) : FT_EPERM;
        if (rc == 0 && said.kind == FT_DEATH_NOTICE)
            return 1;
        refused[rc ? -rc : -FT_EMALFORMED]++;
    }
    return 0;
}
