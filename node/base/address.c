/* SPDX-License-Identifier: Apache-2.0 */
/* Which addresses this machine has, by getifaddrs(3); see interface.h. Owns nothing. */
#include "node/base/interface.h"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>

static bool is_it(const struct sockaddr *at, int family, const void *addr)
{
    if (!at || at->sa_family != family)
        return false;
    if (family == AF_INET)
        return memcmp(&((const struct sockaddr_in *)(const void *)at)->sin_addr, addr, 4) == 0;
    return memcmp(&((const struct sockaddr_in6 *)(const void *)at)->sin6_addr, addr, 16) == 0;
}

bool nd_address_held(int family, const void *addr, char name[IFNAMSIZ])
{
    struct ifaddrs *all, *at;
    bool found = false;

    if (getifaddrs(&all) != 0)
        return false;
    for (at = all; at && !found; at = at->ifa_next) {
        found = is_it(at->ifa_addr, family, addr);
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

    return inet_pton(AF_INET, host, &addr) == 1 && nd_address_held(AF_INET, &addr, name);
}
