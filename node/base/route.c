/* SPDX-License-Identifier: Apache-2.0 */
/* Looks for a route in the kernel's main table, by rtnetlink(7); see interface.h. Owns nothing. */
#include "node/base/interface.h"

#include <linux/rtnetlink.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define TABLE_BYTES 65536 /* of an answer */

/* One of several next hops is enough. */
static bool is_alive(const struct rtmsg *route, const struct rtattr *hops)
{
    const struct rtnexthop *hop = hops ? RTA_DATA(hops) : NULL;
    int left = hops ? (int)RTA_PAYLOAD(hops) : 0;

    if (!hops)
        return !(route->rtm_flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN));
    for (; RTNH_OK(hop, left); left -= NLMSG_ALIGN(hop->rtnh_len), hop = RTNH_NEXT(hop))
        if (!(hop->rtnh_flags & (RTNH_F_DEAD | RTNH_F_LINKDOWN)))
            return true;
    return false;
}

static bool is_route(const struct nlmsghdr *head, uint32_t addr, unsigned bits)
{
    const struct rtmsg *route = NLMSG_DATA(head);
    const struct rtattr *hops = NULL;
    int left = (int)RTM_PAYLOAD(head);
    uint32_t to = 0;

    if (head->nlmsg_type != RTM_NEWROUTE || route->rtm_dst_len != bits || route->rtm_type != RTN_UNICAST ||
        route->rtm_table != RT_TABLE_MAIN)
        return false;
    for (const struct rtattr *a = RTM_RTA(route); RTA_OK(a, left); a = RTA_NEXT(a, left)) {
        if (a->rta_type == RTA_DST && RTA_PAYLOAD(a) == sizeof(to))
            memcpy(&to, RTA_DATA(a), sizeof(to));
        if (a->rta_type == RTA_MULTIPATH)
            hops = a;
    }
    return to == addr && is_alive(route, hops);
}

bool nd_route_there(uint32_t addr, uint32_t mask)
{
    const struct {
        struct nlmsghdr head;
        struct rtmsg route;
    } question = {.head = {.nlmsg_len = sizeof(question),
                           .nlmsg_type = RTM_GETROUTE,
                           .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
                  .route = {.rtm_family = AF_INET, .rtm_table = RT_TABLE_MAIN}};
    static _Alignas(struct nlmsghdr) char answer[TABLE_BYTES]; /* of the runner's one thread */
    unsigned bits = (unsigned)__builtin_popcount(mask);
    bool there = false, done = false;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

    if (fd < 0)
        return false;
    done = send(fd, &question, sizeof(question), 0) < 0;
    while (!done && !there) {
        ssize_t got =
            recv(fd, answer, sizeof(answer), 0); /* the kernel answers until it says that it is done */
        unsigned left = got > 0 ? (unsigned)got : 0;

        done = left == 0;
        for (const struct nlmsghdr *h = (const struct nlmsghdr *)answer; NLMSG_OK(h, left) && !done;
             h = NLMSG_NEXT(h, left)) {
            done = h->nlmsg_type == NLMSG_DONE || h->nlmsg_type == NLMSG_ERROR;
            there = there || is_route(h, addr, bits);
        }
    }
    close(fd);
    return there;
}
