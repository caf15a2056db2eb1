/* SPDX-License-Identifier: Apache-2.0 */
/* Which IPv4 addresses this machine has, by getifaddrs(3); see interface.h. Owns nothing. */
#include "node/base/interface.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>

bool nd_address_held(uint32_t addr, char name[IFNAMSIZ])
{
    struct ifaddrs *all, *at;
    bool found = false;

    if (getifaddrs(&all) != 0)
        return false;
    for (at = all; at && !found; at = at->ifa_next) {
        const struct sockaddr_in *in = (const void *)at->ifa_addr;

        found = in && in->sin_family == AF_INET && in->sin_addr.s_addr == addr;
        if (found)
            snprintf(name, IFNAMSIZ, "%s", at->ifa_name);
    }
    freeifaddrs(all);
    return found;
}

bool nd_address_here(const char *host)
{
    char name[IFNAMSIZ];
    struct in_addr addr;

    return inet_pton(AF_INET, host, &addr) == 1 && nd_address_held(addr.s_addr, name);
}
