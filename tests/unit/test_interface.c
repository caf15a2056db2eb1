/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of a kernel interface, of the loopback's: its figures only when they are wanted. */
#include "understudy/base/interface.h"
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

/* What the driver and the kernel refuse without a reason. */
TEST(arguments_of_a_device_are_judged)
{
    static const struct {
        const char *device, *why;
    } rows[] = {
        {"net_af_packet0,iface=lo", ""},
        {"net_af_packet1,iface=lo,blocksz=65536,framesz=2048,framecnt=512,qpairs=1,qdisc_bypass=0", ""},
        {"net_af_xdp0,iface=lo,start_queue=1,queue_count=2,force_copy=1", ""},
        {"net_null0", ""},
        {"net_memif0,role=server,foo=1", ""},
        {"0000:3b:00.0", ""},
        {"", ""},
        {"net_af_packet0,iface=nosuch", "No such device"},
        {"net_af_packet0", "no interface, expected iface=NAME, of up to 15 characters"},
        {"net_af_packet0,iface=", "no interface, expected iface=NAME, of up to 15 characters"},
        {"net_af_packet0,iface=abcdefghijklmnop",
         "no interface, expected iface=NAME, of up to 15 characters"},
        {"net_af_packet0,ifcae=eth0",
         "\"ifcae=eth0\" is no argument of net_af_packet, which has iface qpairs "
         "blocksz framesz framecnt qdisc_bypass fanout_mode"},
        {"net_af_packet0,iface=lo,frame=2048",
         "\"frame=2048\" is no argument of net_af_packet, which has "
         "iface qpairs blocksz framesz framecnt qdisc_bypass fanout_mode"},
        {"net_af_packet0,iface=lo,", "\"\" is no argument of net_af_packet, which has iface qpairs blocksz "
                                     "framesz framecnt qdisc_bypass fanout_mode"},
        {"net_af_xdp0,iface=lo,qpairs=2",
         "\"qpairs=2\" is no argument of net_af_xdp, which has iface start_queue queue_count shared_umem "
         "xdp_prog busy_budget force_copy use_cni use_pinned_map dp_path"},
        {"net_af_packet0,iface=lo,framesz=1000", "framesz=1000, expected a multiple of 16, of more than 66"},
        {"net_af_packet0,iface=lo,framesz=64", "framesz=64, expected a multiple of 16, of more than 66"},
        {"net_af_packet0,iface=lo,blocksz=5000",
         "blocksz=5000, expected a multiple of 4096, and framesz=2048 at least"},
        {"net_af_packet0,iface=lo,blocksz=0",
         "blocksz=0, expected a multiple of 4096, and framesz=2048 at least"},
        {"net_af_packet0,iface=lo,framesz=8192",
         "blocksz=4096, expected a multiple of 4096, and framesz=8192 at least"},
        {"net_af_packet0,iface=lo,framecnt=511",
         "framecnt=511, expected a multiple of 2, the frames of a block"},
        {"net_af_packet0,iface=lo,framecnt=0", "framecnt=0, expected a multiple of 2, the frames of a block"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ft_fault fault = {""};

        assert_int_equal(nd_interface_judge(rows[i].device, &fault), rows[i].why[0] ? FT_EINVAL : 0);
        assert_string_equal(fault.text, rows[i].why);
    }
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
