/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses of either family, and networks: what is read of a text, and what is said of it. */
#include "nflib/net/addr.h"
#include "tests/help/test.h"

#include <arpa/inet.h>

static struct nf_addr addr_of(const char *text)
{
    struct nf_addr addr;

    if (!nf_addr_parse(text, &addr))
        fail_msg("%s is no address", text);
    return addr;
}

static struct nf_net net_of(const char *text)
{
    struct nf_net net;

    if (!nf_net_parse(text, &net))
        fail_msg("%s is no network", text);
    return net;
}

TEST(an_address_is_read_and_written)
{
    static const char *const texts[] = {
        "0.0.0.0", "10.1.2.3", "255.255.255.255", "::", "::1", "2001:db8::1", "fe80::9", "::ffff:0:0:1"};
    char text[NF_ADDR_TEXT];

    for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct nf_addr addr = addr_of(texts[i]);

        assert_string_equal(nf_addr_text(&addr, text), texts[i]);
        assert_int_equal(nf_addr_is_ipv6(&addr), i > 2);
    }
    assert_int_equal(nf_addr_ipv4(&(struct nf_addr){.byte = {[12] = 10, 1, 2, 3}}), inet_addr("10.1.2.3"));
}

TEST(what_is_none_is_refused)
{
    static const char *const texts[] = {"",
                                        "10.1.2",
                                        "10.1.2.256",
                                        "10.1.2.3 ",
                                        "1:2",
                                        "fe80::1%",
                                        "::ffff:1.2.3.4",
                                        "::ffff:102:304",
                                        "host",
                                        "2001:db8:0000:0000:0000:0000:0000:0000:0000:1"};
    static const char *const nets[] = {"10.0.0.0/33", "10.0.0.0/",  "10.0.0.0/ 8", "10.0.0.0/-1", "10.0.0/8",
                                       "::/129",      "::/1000000", "::/8/8",      "/8"};
    struct nf_addr addr;
    struct nf_net net;

    for (unsigned i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_false(nf_addr_parse(texts[i], &addr));
    for (unsigned i = 0; i < sizeof(nets) / sizeof(nets[0]); i++)
        assert_false(nf_net_parse(nets[i], &net));
}

/* A rule may name the addresses of IPv6 that stand for those of IPv4: they stay of IPv6. */
TEST(a_network_is_of_the_family_of_its_text)
{
    static const struct {
        const char *text;
        bool ipv6, host_bits;
        unsigned bits;
    } nets[] = {{"0.0.0.0/0", false, false, 0},
                {"10.1.2.3", false, false, 32},
                {"10.1.2.0/24", false, false, 24},
                {"10.1.2.1/24", false, true, 24},
                {"::/0", true, false, 0},
                {"2001:db8::1", true, false, 128},
                {"2001:db8:8000::/33", true, false, 33},
                {"2001:db8:8000::/32", true, true, 32},
                {"::ffff:0:0/96", true, false, 96}};

    for (unsigned i = 0; i < sizeof(nets) / sizeof(nets[0]); i++) {
        struct nf_net net = net_of(nets[i].text);

        assert_int_equal(net.ipv6, nets[i].ipv6);
        assert_int_equal(nf_net_bits(&net), nets[i].bits);
        assert_int_equal(nf_net_has_host_bits(&net), nets[i].host_bits);
    }
}

static bool has(const char *net, const char *addr)
{
    struct nf_net n = net_of(net);
    struct nf_addr a = addr_of(addr);

    return nf_net_has(&n, &a);
}

static bool is_edge(const char *net, const char *addr)
{
    struct nf_net n = net_of(net);
    struct nf_addr a = addr_of(addr);

    return nf_net_is_edge(&n, &a);
}

TEST(a_network_has_its_addresses_alone)
{
    assert_true(has("10.1.2.1/24", "10.1.2.255") && !has("10.1.2.0/24", "10.1.3.0"));
    assert_true(has("0.0.0.0/0", "203.0.113.1") && !has("0.0.0.0/0", "2001:db8::1"));
    assert_true(has("2001:db8::/33", "2001:db8:7fff::1") && !has("2001:db8::/33", "2001:db8:8000::1"));
    assert_true(is_edge("10.1.2.7/24", "10.1.2.0") && is_edge("10.1.2.0/24", "10.1.2.255"));
    assert_false(is_edge("10.1.2.0/24", "10.1.2.1") || is_edge("10.1.2.0/24", "10.1.3.255"));
    assert_false(is_edge("10.1.2.0/31", "10.1.2.0") || is_edge("10.1.2.1/32", "10.1.2.1"));
    assert_false(is_edge("2001:db8::/64", "2001:db8::"));
    assert_int_equal(nf_net_mask_ipv4(&(struct nf_net){.bits = 96 + 20}), inet_addr("255.255.240.0"));
    assert_int_equal(nf_net_mask_ipv4(&(struct nf_net){.bits = 96}), 0);
}

TEST(hosts_have_addresses_that_a_link_carries)
{
    static const char *const hosts[] = {"10.0.0.1", "223.1.1.1", "2001:db8::1", "fe80::1"};
    static const char *const others[] = {"0.0.0.1",         "127.0.0.1", "224.0.0.1", "240.0.0.1",
                                         "255.255.255.255", "::",        "::1",       "ff02::1"};

    for (unsigned i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
        struct nf_addr addr = addr_of(hosts[i]);
        assert_true(nf_addr_is_host(&addr));
    }
    for (unsigned i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        struct nf_addr addr = addr_of(others[i]);
        assert_false(nf_addr_is_host(&addr));
    }
}
