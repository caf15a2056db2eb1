/* SPDX-License-Identifier: Apache-2.0 */
/* What of a file's interfaces, routes and next hops is of IPv6: read, and refused by its line. */
#include "tests/help/config.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

static const char text[] =
    "chain: {name: x, nfs: [bare]}\n"
    "interfaces:\n"
    "- {name: in, side: inside, address6: 2001:db8:1::1/64}\n"
    "- {name: out, side: outside, address: 203.0.113.1/24, address6: 2001:db8:2::1/56, mtu: 1400,\n"
    "   extra: [2001:db8:3::7, 203.0.113.9], mac: \"02:00:00:00:00:07\"}\n"
    "routes:\n"
    "- {to: \"::/0\", via: 2001:db8:2::fe}\n"
    "- {to: 2001:db8:77::/48, via: fe80::5%in}\n"
    "next_hops: [2001:db8:1::9, fe80::9%out]\n"
    "neighbours: [{address: fe80::a%out, mac: 02:00:00:00:00:0a}, {address: 2001:db8:1::b, mac: "
    "02:00:00:00:00:0b}]\n";

static void is_addr(const uint8_t addr[16], const char *expected)
{
    char got[INET6_ADDRSTRLEN];

    inet_ntop(AF_INET6, addr, got, sizeof(got));
    assert_string_equal(got, expected);
}

static void addresses_routes_and_next_hops_are_read(void **state)
{
    struct nd_config *c;
    struct ft_fault fault = {""};

    (void)state;
    if (nd_config_read(&c, help_config_file("t.yaml", text, strlen(text)), 0, &fault))
        fail_msg("%s", fault.text);
    const struct nf_l3_config *l3 = &c->l3;

    assert_int_equal(l3->ports, 2);
    assert_int_equal(l3->port[0].addr, 0);
    assert_int_equal(l3->port[0].bits6, 64);
    is_addr(l3->port[0].addr6, "2001:db8:1::1");
    assert_int_equal(l3->port[1].bits6, 56);
    is_addr(l3->port[1].local6, "fe80::ff:fe00:7"); /* RFC 4291: 02 with its bit turned, and ff:fe between */
    assert_int_equal(l3->port[1].extras, 1);
    assert_int_equal(l3->port[1].extras6, 1);
    is_addr(l3->port[1].extra6[0], "2001:db8:3::7");
    assert_int_equal(l3->routes, 0);
    assert_int_equal(l3->routes6, 2);
    assert_true(l3->route6[0].bits == 0 && l3->route6[0].port == 1 && !l3->route6[0].on_link);
    is_addr(l3->route6[0].via, "2001:db8:2::fe");
    assert_true(l3->route6[1].bits == 48 && l3->route6[1].port == 0);
    is_addr(l3->route6[1].addr, "2001:db8:77::");
    is_addr(l3->route6[1].via, "fe80::5");
    assert_int_equal(l3->next_hops6, 2);
    assert_int_equal(l3->next_hop6[0].port, 0);
    assert_int_equal(l3->next_hop6[1].port, 1);
    assert_int_equal(l3->fixed_count, 2);
    is_addr(l3->fixed[0].addr, "fe80::a");
    assert_true(l3->fixed[0].ipv6 && l3->fixed[0].port == 1 && l3->fixed[0].mac[5] == 0x0a);
    is_addr(l3->fixed[1].addr, "2001:db8:1::b");
    assert_true(l3->fixed[1].ipv6 && l3->fixed[1].port == 0 && l3->fixed[1].mac[5] == 0x0b);
    nd_config_free(c);
}

static const struct {
    const char *find, *replace, *expected;
} mistakes[] = {
    {"address6: 2001:db8:1::1/64", "mtu: 1500",
     "t.yaml:3: interface in has no address, expected address, address6 or both"},
    {"2001:db8:1::1/64", "2001:db8:1::1",
     "t.yaml:3: interface address6 is 2001:db8:1::1, expected an address of IPv6 with prefix like "
     "2001:db8::1/64, 1 to 128 bits"},
    {"2001:db8:1::1/64", "2001:db8:1::1/0",
     "t.yaml:3: interface address6 is 2001:db8:1::1/0, expected an address of IPv6 with prefix like "
     "2001:db8::1/64, 1 to 128 bits"},
    {"2001:db8:1::1/64", "ff02::1/64",
     "t.yaml:3: interface in address6 is ff02::1/64, expected an address of a host"},
    {"2001:db8:1::1/64", "fe80::1/64",
     "t.yaml:3: interface in address6 is fe80::1/64, expected an address of a host, the link-local one is "
     "made of the MAC"},
    {"2001:db8:1::1/64", "2001:db8:2:8::1/64",
     "t.yaml:4: interface out is in the network of in, expected another network"},
    {"mtu: 1400", "mtu: 1279",
     "t.yaml:4: interface out mtu is 1279, expected 1280 or more on a link with IPv6"},
    {"2001:db8:3::7", "fe80::7", "t.yaml:5: fe80::7 is no host's address, expected an address of this chain"},
    {"address6: 2001:db8:2::1/56, ", "",
     "t.yaml:5: interface out has no address6, expected one in front of 2001:db8:3::7"},
    {"2001:db8:2::fe", "2001:db8:9::fe",
     "t.yaml:7: route via is 2001:db8:9::fe, expected an address in the network of an interface"},
    {"2001:db8:2::fe", "2001:db8:2::1",
     "t.yaml:7: route via is 2001:db8:2::1, expected a neighbour in the network of out"},
    {"2001:db8:2::fe", "203.0.113.254",
     "t.yaml:7: route via is 203.0.113.254, expected an address of IPv6, a link-local one with its "
     "interface, fe80::1%outside"},
    {"2001:db8:2::fe", "2001:db8:2::fe%out",
     "t.yaml:7: route via is 2001:db8:2::fe%out, expected no %INTERFACE behind an address that is not "
     "link-local"},
    {"fe80::5%in", "fe80::5",
     "t.yaml:8: route via is fe80::5, expected %INTERFACE behind a link-local address"},
    {"fe80::5%in", "fe80::5%inner",
     "t.yaml:8: route via is fe80::5%inner, expected an address in the network of an interface"},
    {"2001:db8:77::/48", "2001:db8:77::1/48",
     "t.yaml:8: route to is 2001:db8:77::1/48, expected a network of IPv6 with its prefix, 2001:db8::/32, "
     "without host bits"},
    {"2001:db8:77::/48", "\"::/0\"", "t.yaml:8: a second route to one network, expected one"},
    {"fe80::9%out", "fe80::ff:fe00:7%out",
     "t.yaml:9: next hop is fe80::ff:fe00:7%out, expected a neighbour in the network of out"},
    {"fe80::9%out", "ff02::1",
     "t.yaml:9: next hop is ff02::1, expected an address in the network of an interface"},
};

static void mistakes_are_refused_by_their_line(void **state)
{
    (void)state;
    for (unsigned i = 0; i < sizeof(mistakes) / sizeof(mistakes[0]); i++) {
        char *changed = help_config_replace(text, mistakes[i].find, mistakes[i].replace);

        assert_string_equal(help_config_refusal(help_config_file("t.yaml", changed, strlen(changed)), false),
                            mistakes[i].expected);
        free(changed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(addresses_routes_and_next_hops_are_read),
        cmocka_unit_test(mistakes_are_refused_by_their_line),
    };

    return cmocka_run_group_tests(tests, NULL, help_config_clean);
}
