/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of a kernel interface, of the loopback's: its figures only when they are wanted. */
#include "node/base/interface.h"
#include "tests/help/test.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <sys/socket.h>

#define LOOPBACK "net_af_packet0,iface=lo"

/* The loopback sends a frame, whoever may receive it. */
static void send_one(void)
{
    const struct sockaddr_in to = {
        .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    assert_int_equal(sendto(fd, "x", 1, 0, (const struct sockaddr *)&to, sizeof(to)), 1);
    close(fd);
}

TEST(figures_are_read_when_they_are_wanted)
{
    struct nd_interface_now now;

    send_one();
    assert_true(nd_interface_ask(LOOPBACK, true, &now));
    assert_true(now.sent > 0);
    assert_true(now.carrier && now.mtu > 0);
    assert_int_equal(now.index, if_nametoindex("lo"));
    assert_true(nd_interface_ask(LOOPBACK, false, &now));
    assert_int_equal(now.sent, 0);
    assert_true(now.carrier && now.mtu > 0);
}

TEST(what_is_no_interface_is_not_asked)
{
    struct nd_interface_now now;

    assert_false(nd_interface_ask("net_null0", true, &now));
    assert_true(nd_interface_ask("net_af_packet0,iface=nonesuch", true, &now));
    assert_int_equal(now.index, 0);
    assert_int_equal(now.mtu, 0); /* there is none any more */
}

TEST(addresses_of_this_machine_are_known_by_interface)
{
    char name[IFNAMSIZ] = "";

    assert_true(nd_address_held(AF_INET, &(uint32_t){htonl(INADDR_LOOPBACK)}, name));
    assert_string_equal(name, "lo");
    assert_true(nd_address_here("127.0.0.1"));
    assert_false(nd_address_here("192.0.2.77"));
    assert_false(nd_address_here("no address"));
}
