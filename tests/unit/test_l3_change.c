/* SPDX-License-Identifier: Apache-2.0 */
/* Interfaces, routes and next hops that change while the chain runs: what is known of neighbours stays, that
 * of what has gone does not, and numbers of interfaces are those of the new file. */
#include "tests/help/l3.h"
#include "nflib/chain/change.h"
#include "tests/help/test.h"

static struct nf_l3_config next;

static const uint8_t guest_mac[6] = {0x52, 0x54, 0, 0, 0, 0x66}, third_mac[6] = {2, 0, 0, 0, 0, 3};

/* A second network inside, between the two: number 1 of three. */
static void add_guests(struct nf_l3_config *to)
{
    to->ports = 3;
    to->port[2] = to->port[1];
    to->port[1] = (struct nf_interface){.name = "guests",
                                        .port = "in",
                                        .vlan = {100, 0, NF_TPID_8021Q},
                                        .side = NF_INSIDE,
                                        .mtu = 1500,
                                        .net = {l3_net("10.9.0.1/24")}};
    memcpy(to->port[1].mac, third_mac, 6);
    to->route[NF_IP4][0].port = 2;
    to->next_hop[NF_IP4][0].port = 2;
}

static void begin(void)
{
    l3_configure();
    snprintf(l3_config.port[0].port, sizeof(l3_config.port[0].port), "in");
    snprintf(l3_config.port[1].port, sizeof(l3_config.port[1].port), "out");
    next = l3_config;
}

static void begin_knowing_both(void)
{
    begin();
    l3_begin();
    l3_run(0, NULL);
    l3_know_both(0.1);
}

/* With three interfaces, and a host known on each. */
static void begin_with_guests(void)
{
    begin();
    add_guests(&l3_config);
    l3_begin();
    l3_run(0, NULL);
    l3_comes(0.1, l3_arp(2, 2, outer_mac, gate_mac, "203.0.113.254", "203.0.113.1"));
    l3_comes(0.2, l3_arp(0, 1, everybody, host_mac, "10.0.0.5", "10.0.0.1"));
    l3_comes(0.3, l3_arp(1, 1, everybody, guest_mac, "10.9.0.5", "10.9.0.1"));
}

/* How many requests for an address with this last byte the last burst made. */
static unsigned asked(uint8_t last)
{
    unsigned n = 0;

    for (uint32_t i = 0; i < l3_made_count; i++)
        n += l3_made[i].len == 42 && l3_made[i].frame[21] == 1 && l3_made[i].frame[41] == last;
    return n;
}

/* By which interface a packet to that address leaves; -1: it does not. */
static int leaves_by(double at, uint8_t from, const char *to)
{
    struct nf_packet p = l3_udp(from != 0, from ? "198.51.100.7" : "10.0.0.5", to, 64);

    p.in_port = from;
    l3_run(at, &p);
    return p.drop ? -1 : p.out_port;
}

/* It leaves by this one, to a MAC that ends so. */
static void leaves_to(double at, uint8_t from, const char *to, uint8_t port, uint8_t mac)
{
    assert_int_equal(leaves_by(at, from, to), port);
    assert_int_equal(l3_frame[5], mac);
}

L3_TEST(a_neighbour_stays_known_when_an_address_comes)
{
    begin_knowing_both();
    next.port[1].extra[NF_IP4][next.port[1].extras[NF_IP4]++] = l3_addr("203.0.113.77");
    l3_comes(0.2, l3_arp(1, 1, everybody, gate_mac, "203.0.113.254", "203.0.113.77"));
    assert_int_equal(l3_made_count, 0);
    uint64_t before = l3_nf->counters[NF_L3_ARP_ASKED];
    l3_change(&next);
    assert_int_equal(l3_mac_of(0.3, 1, "10.0.0.5"), host_mac[5]);
    assert_int_equal(l3_mac_of(0.4, 0, "198.51.100.7"), gate_mac[5]);
    assert_int_equal(asked(5) + asked(254), 0);
    assert_true(l3_nf->counters[NF_L3_ARP_ASKED] - before <= 2); /* the two routes' hops that do not answer */
    l3_comes(0.5, l3_arp(1, 1, everybody, gate_mac, "203.0.113.254", "203.0.113.77"));
    assert_int_equal(l3_made_count, 1);
    assert_memory_equal(l3_made[0].frame + 6, outer_mac, 6);
    l3_assert_counted(NF_L3_ARP_ANSWERED, 2);
}

L3_TEST(what_is_behind_an_interface_that_goes_is_forgotten)
{
    begin_with_guests();
    leaves_to(0.4, 2, "10.9.0.5", 1, guest_mac[5]);
    l3_change(&next); /* outside is number 1 then */
    leaves_to(0.5, 0, "198.51.100.7", 1, gate_mac[5]);
    leaves_to(0.6, 1, "10.0.0.5", 0, host_mac[5]);
    struct nf_packet p =
        l3_udp(1, "198.51.100.7", "10.9.0.5", 64); /* there is no such network, so back where it came from */
    l3_run(0.7, &p);
    assert_int_equal(p.out_port, 1);
    /* And back: it begins with nothing known there. */
    add_guests(&next);
    l3_change(&next);
    assert_int_equal(leaves_by(0.8, 2, "10.9.0.5"), -1);
    assert_int_equal(asked(5), 1);
    assert_int_equal(l3_made[0].port, 1);
    leaves_to(0.9, 0, "198.51.100.7", 2, gate_mac[5]);
}

/* On another VLAN, another port or the other side it is another link; with another network on the same link
 * its hosts are others. */
L3_TEST(a_link_that_is_another_one_begins_with_nothing)
{
    for (unsigned what = 0; what < 4; what++) {
        begin_with_guests();
        add_guests(&next);
        if (what == 0)
            next.port[1].vlan.outer = 101;
        else if (what == 1)
            memcpy(next.port[1].port, "dmz", 4);
        else if (what == 2)
            next.port[1].net[NF_IP4] = l3_net("10.9.0.129/25");
        else
            memcpy(next.port[1].name, "lan9", 5);
        l3_change(&next);
        assert_int_equal(leaves_by(0.5, 2, what == 2 ? "10.9.0.135" : "10.9.0.5"), what == 3 ? 1 : -1);
        assert_int_equal(leaves_by(0.6, 0, "198.51.100.7"), 2);
    }
}

/* A next hop is asked for at once, and what is a next hop no more stays known as any host. */
L3_TEST(a_route_leads_to_another_router)
{
    static const uint8_t other[6] = {0x52, 0x54, 0, 0, 0, 0x99};
    begin_knowing_both();
    next.route[NF_IP4][0].via = l3_addr("203.0.113.99");
    next.next_hops[NF_IP4] = 0;
    l3_change(&next);
    l3_run(0.2, NULL);
    assert_int_equal(asked(99), 1);
    assert_int_equal(leaves_by(0.3, 0, "198.51.100.7"), -1);
    l3_comes(0.4, l3_arp(1, 2, outer_mac, other, "203.0.113.99", "203.0.113.1"));
    leaves_to(0.5, 0, "198.51.100.7", 1, other[5]);
    leaves_to(0.6, 0, "203.0.113.254", 1, gate_mac[5]); /* the old router is still known */
    /* An ordinary host becomes a next hop, and keeps its MAC. */
    next.route[NF_IP4][1].via = l3_addr("10.0.0.5");
    l3_change(&next);
    leaves_to(0.7, 1, "172.16.0.9", 0, host_mac[5]);
}

L3_TEST(the_file_has_the_last_word_on_a_fixed_neighbour)
{
    begin();
    l3_begin();
    l3_know_both(0.1);
    next.fixed_count = 1;
    next.fixed[0] = (struct nf_fixed){.addr = l3_addr("10.0.0.5"), .mac = {0x52, 0x54, 0, 0, 0, 0x11}};
    l3_change(&next);
    leaves_to(0.2, 1, "10.0.0.5", 0, 0x11);
    next.fixed_count = 0;
    l3_change(&next);
    assert_int_equal(leaves_by(0.3, 1, "10.0.0.5"), -1); /* nobody has said a MAC but the file */
    assert_int_equal(asked(5), 1);
}

/* The other MAC that somebody said takes its place after three requests, as if nothing had happened. */
L3_TEST(a_contest_and_limits_go_on)
{
    static const uint8_t rival[6] = {0x52, 0x54, 0, 0, 0, 0x77};
    uint64_t sent, limited;
    struct nf_claim claim;

    begin_with_guests();
    l3_comes(1, l3_arp(0, 1, everybody, rival, "10.0.0.5", "10.0.0.1"));
    l3_comes(1, l3_arp(2, 1, everybody, rival, "203.0.113.1",
                       "203.0.113.1")); /* an own address, on the last interface */
    for (unsigned i = 0; i < 60; i++) { /* to a network without a route */
        l3_comes(1.01, l3_udp(0, "10.0.0.5", "192.0.2.1", 1));
    }
    sent = l3_nf->counters[NF_L3_ICMP_SENT];
    limited = l3_nf->counters[NF_L3_ICMP_LIMITED];
    assert_true(sent > 40 && limited > 0);
    l3_change(&next);
    l3_comes(1.01, l3_udp(0, "10.0.0.5", "192.0.2.1", 1));
    l3_assert_counted(NF_L3_ICMP_SENT, sent);
    l3_assert_counted(NF_L3_ICMP_LIMITED, limited + 1);
    assert_true(nf_l3_claim(l3_nf, NF_L3_OWN_CLAIMED, &claim));
    assert_int_equal(claim.port, 1);
    assert_memory_equal(claim.mac, rival, 6);
    for (double at = 1.1; at < 2.2; at += 0.1)
        l3_run(at, NULL);
    l3_assert_counted(NF_L3_MOVED, 1);
    assert_int_equal(l3_mac_of(2.3, 1, "10.0.0.5"), rival[5]);
}

/* A full table: the new chain has as many, and a newcomer takes the place of the one that came first. */
L3_TEST(a_full_table_is_carried_in_its_order)
{
    char addr[32];
    begin();
    l3_config.port[0].net[NF_IP4] = l3_net("10.0.0.1/16");
    next = l3_config;
    next.next_hops[NF_IP4] = 2;
    next.next_hop[NF_IP4][1] = (struct nf_hop){l3_addr("203.0.113.50"), 1};
    l3_begin();
    l3_run(0, NULL);
    l3_know_both(0.1);
    assert_int_equal(l3_mac_of(0.2, 1, "10.0.0.5"), host_mac[5]);
    for (unsigned i = 0; i < NF_NEIGHBOURS_MAX; i++) {
        snprintf(addr, sizeof(addr), "10.0.%u.%u", 16 + i / 250, 2 + i % 250);
        l3_comes(0.3, l3_arp(0, 1, everybody, host_mac, addr, "10.0.0.1"));
    }
    l3_change(&next);
    assert_int_equal(l3_mac_of(0.4, 1, "10.0.0.5"), host_mac[5]); /* it was used */
    snprintf(addr, sizeof(addr), "10.0.%u.%u", 16 + (NF_NEIGHBOURS_MAX - 1) / 250,
             2 + (NF_NEIGHBOURS_MAX - 1) % 250);
    assert_int_equal(leaves_by(0.5, 1, addr), 0);
    assert_int_equal(leaves_by(0.6, 1, "10.0.16.2"), -1); /* the first to come */
    assert_int_equal(leaves_by(0.7, 0, "198.51.100.7"), 1);
}

L3_TEST(ipv6_comes_and_goes)
{
    struct nf_l3_config with, without;

    l3_begin_ipv6();
    snprintf(l3_config.port[0].port, sizeof(l3_config.port[0].port), "in");
    snprintf(l3_config.port[1].port, sizeof(l3_config.port[1].port), "out");
    with = without = l3_config;
    l3_know_gate6();
    l3_know_host6();
    assert_int_equal(l3_gate6_mac(0.3), gate_mac[5]);
    with.port[1].extra[NF_IP6][with.port[1].extras[NF_IP6]++] = l3_addr("2001:db8:2::77");
    l3_change(&with);
    assert_int_equal(l3_gate6_mac(0.4), gate_mac[5]);
    for (unsigned i = 0; i < 2; i++)
        without.port[i].net[NF_IP6].bits = 0;
    without.routes[NF_IP6] = 0;
    l3_change(&without);
    l3_change(&with);
    l3_dropped(0.5, l3_hex(0, UDP), NF_L3_NO_NEIGHBOUR);
    l3_comes(0.6, l3_advertised(0xe0, 0xfe));
    assert_int_equal(l3_gate6_mac(0.7), gate_mac[5]);
}

L3_TEST(a_wire_is_no_chain_with_addresses)
{
    struct nf_chain_change change;
    struct nf_chain_config wire;

    begin();
    wire = l3_chain_config;
    wire.l3 = NULL;
    assert_int_equal(nf_chain_change_plan(&change, &l3_chain_config, &wire, &help_fault), FT_EINVAL);
    assert_string_equal(help_fault.text,
                        "interfaces: some, then none: cannot be changed while the pair runs");
    assert_int_equal(nf_chain_same_lanes(&wire, &l3_chain_config, &help_fault), FT_EINVAL);
    assert_string_equal(help_fault.text,
                        "interfaces: none, then some: cannot be changed while the pair runs");
}

static char told[4096];

static void tell(void *arg, const char *what, const char *how)
{
    size_t len = strlen(told);

    snprintf(told + len, sizeof(told) - len, "%s: %s\n", what, how);
}

L3_TEST(all_is_told_in_words)
{
    begin();
    add_guests(&l3_config);
    l3_config.port[1].pcp_of_dscp = true;
    l3_config.port[0].net[NF_IP6] = l3_net("2001:db8:1::1/64");
    l3_config.port[0].extra[NF_IP6][l3_config.port[0].extras[NF_IP6]++] = l3_addr("2001:db8:1::9");
    l3_config.routes[NF_IP6] = 1;
    l3_config.route[NF_IP6][0] = (struct nf_route){.to = l3_net("::/0"), .via = l3_addr("fe80::1")};
    l3_config.fixed_count = 1;
    l3_config.fixed[0] = (struct nf_fixed){.addr = l3_addr("10.9.0.5"), .mac = {2, 3, 4, 5, 6, 7}, .port = 1};
    told[0] = '\0';
    nf_chain_tell_l3(&l3_config, tell, NULL);
    assert_string_equal(told, "interface in: inside, port in, mtu 1500, mac 02:00:00:00:00:01\n"
                              "address 10.0.0.1/24: of in\n"
                              "address 2001:db8:1::1/64: of in\n"
                              "address 2001:db8:1::9: of in\n"
                              "interface guests: inside, port in, VLAN 100 (8100), pcp dscp, mtu 1500, mac "
                              "02:00:00:00:00:03\n"
                              "address 10.9.0.1/24: of guests\n"
                              "interface out: outside, port out, mtu 1500, mac 02:00:00:00:00:02\n"
                              "address 203.0.113.1/24: of out\n"
                              "address 203.0.113.9: of out\n"
                              "route 0.0.0.0/0: via 203.0.113.254 on out\n"
                              "route 172.16.0.0/16: via 10.0.0.3 on in\n"
                              "route 172.16.9.0/24: via 10.0.0.4 on in\n"
                              "next hop 203.0.113.254: on out\n"
                              "route ::/0: via fe80::1 on in\n"
                              "neighbour 10.9.0.5: on guests at 02:03:04:05:06:07\n");
}
