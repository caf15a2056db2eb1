/* SPDX-License-Identifier: Apache-2.0 */
/* The chain's neighbours: ARP asked and answered, who may change an entry, and ages. */
#include "tests/help/l3.h"
#include "nflib/chain/chain.h"
#include "ftcore/region/audit.h"
#include "tests/help/test.h"

#define S NF_SECOND

L3_TEST(next_hops_are_asked_for_at_the_start)
{
    l3_begin();
    static const uint8_t gate_request[42] = {255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0,   2, 8,   6,
                                             0,   1,   8,   0,   6,   4,   0, 1, 2, 0, 0,   0, 0,   2,
                                             203, 0,   113, 1,   0,   0,   0, 0, 0, 0, 203, 0, 113, 254};
    assert_true(nf_chain_due(l3_chain, 0));
    l3_run(0, NULL);
    assert_int_equal(l3_made_count, 3);
    unsigned outside = 0;
    for (unsigned i = 0; i < 3; i++)
        if (l3_made[i].port == 1) {
            assert_int_equal(l3_made[i].len, 42);
            assert_memory_equal(l3_made[i].frame, gate_request, 42);
            outside++;
        }
    assert_int_equal(outside, 1);
    l3_run(0.5, NULL);
    assert_int_equal(l3_made_count, 0);
    assert_true(nf_chain_wake(l3_chain) <= S);
    l3_run(1, NULL); /* nobody answered */
    assert_int_equal(l3_made_count, 3);
    l3_assert_counted(NF_L3_ARP_ASKED, 6);
}

L3_TEST(requests_for_own_addresses_are_answered)
{
    l3_begin();
    l3_run(0, NULL);
    static const uint8_t reply[42] = {0x52, 0x54, 0,   0, 0,    0xfe, 2, 0, 0, 0,    0,   2, 8,   6,
                                      0,    1,    8,   0, 6,    4,    0, 2, 2, 0,    0,   0, 0,   2,
                                      203,  0,    113, 9, 0x52, 0x54, 0, 0, 0, 0xfe, 203, 0, 113, 254};
    l3_dropped(0.1, l3_arp(1, 1, everybody, gate_mac, "203.0.113.254", "203.0.113.9"), NF_L3_ARP);
    assert_int_equal(l3_made_count, 1);
    assert_int_equal(l3_made[0].port, 1);
    assert_memory_equal(l3_made[0].frame, reply, 42);
    /* another's address; ours, but asked for on the other link; a reply; a broken one */
    l3_comes(0.2, l3_arp(1, 1, everybody, gate_mac, "203.0.113.254", "203.0.113.7"));
    assert_int_equal(l3_made_count, 0);
    l3_comes(0.3, l3_arp(0, 1, everybody, host_mac, "10.0.0.5", "203.0.113.1"));
    assert_int_equal(l3_made_count, 0);
    l3_comes(0.4, l3_arp(1, 2, outer_mac, gate_mac, "203.0.113.254", "203.0.113.1"));
    assert_int_equal(l3_made_count, 0);
    struct nf_packet p = l3_arp(1, 1, everybody, gate_mac, "203.0.113.254", "203.0.113.9");
    p.len = p.have = 41;
    l3_dropped(0.5, p, NF_L3_MALFORMED);
    assert_int_equal(l3_made_count, 0);
    /* somebody claims ours: not learned, counted, and announced again */
    l3_comes(0.6, l3_arp(1, 1, everybody, gate_mac, "203.0.113.1", "203.0.113.1"));
    l3_assert_counted(NF_L3_ARP_CONFLICT, 1);
    l3_assert_counted(NF_L3_ARP_ANSWERED, 1);
    assert_int_equal(l3_made_count, 1);
    assert_int_equal(l3_processed, 0);
}

L3_TEST(unknown_neighbours_are_asked_for_once_a_second)
{
    l3_begin();
    l3_run(0, NULL);
    for (unsigned i = 0; i < 9; i++) {
        struct nf_packet p = l3_udp(1, "198.51.100.7", "10.0.0.77", 64);
        double at = 1 + 0.25 * i;
        l3_run(at, &p);
        l3_assert_dropped(&p, NF_L3_NO_NEIGHBOUR);
        unsigned asked = 0;
        for (uint32_t k = 0; k < l3_made_count; k++)
            asked += l3_made[k].port == 0 && l3_made[k].frame[41] == 77;
        assert_int_equal(asked, i % 4 == 0); /* at 1, 2 and 3 s */
    }
    l3_comes(3.5, l3_arp(0, 2, inner_mac, host_mac, "10.0.0.77", "10.0.0.1"));
    assert_int_equal(l3_comes(3.6, l3_udp(1, "198.51.100.7", "10.0.0.77", 64)).drop, 0);
    assert_memory_equal(l3_frame, host_mac, 6);
}

/* Runs every wake time up to `until`; how often `last` was asked for on `port`. */
static unsigned asked_until(double until, uint8_t port, uint8_t last)
{
    unsigned asked = 0;
    while (nf_chain_wake(l3_chain) <= (uint64_t)(until * 1000) * NF_MS) {
        uint64_t wake = nf_chain_wake(l3_chain), time = nf_chain_state(l3_chain)->time;
        l3_run((double)(wake > time ? wake : time) / 1e9, NULL);
        for (uint32_t k = 0; k < l3_made_count; k++)
            asked += l3_made[k].port == port && l3_made[k].frame[41] == last;
    }
    return asked;
}

/* 203.0.113.254 is a next hop, 10.0.0.5 is not. */
L3_TEST(a_known_neighbour_changes_only_by_what_is_said_to_the_chain_or_by_a_next_hop)
{
    static const uint8_t other[6] = {2, 2, 2, 2, 2, 2};
    l3_begin();
    l3_know_both(0);
    assert_int_equal(l3_mac_of(0.1, 1, "10.0.0.5"), host_mac[5]);
    l3_comes(0.2, l3_arp(0, 2, everybody, other, "10.0.0.5", "10.0.0.99")); /* said to another */
    l3_comes(0.2, l3_arp(0, 1, everybody, other, "10.0.0.5", "10.0.0.99"));
    l3_comes(0.2, l3_arp(0, 1, everybody, other, "10.0.0.5", "10.0.0.5")); /* to everybody */
    l3_comes(0.2, l3_arp(0, 2, everybody, other, "10.0.0.5", "10.0.0.5"));
    assert_int_equal(l3_mac_of(0.3, 1, "10.0.0.5"), host_mac[5]);
    l3_comes(0.4, l3_arp(0, 1, everybody, other, "10.0.0.5", "10.0.0.1")); /* asks us */
    asked_until(1.1, 0, 5); /* it was asked where it was, and is silent there (test_l3_contest.c) */
    assert_int_equal(l3_mac_of(1.1, 1, "10.0.0.5"), 2);
    l3_comes(1.2, l3_arp(1, 2, everybody, other, "203.0.113.254", "203.0.113.77"));
    asked_until(3, 1, 254);
    assert_int_equal(l3_mac_of(3, 0, "198.51.100.7"), gate_mac[5]);
    l3_comes(3.1, l3_arp(1, 1, everybody, other, "203.0.113.254", "203.0.113.254")); /* it has failed over */
    asked_until(3.8, 1, 254);
    assert_int_equal(l3_mac_of(3.8, 0, "198.51.100.7"), 2);
    l3_comes(5.0, l3_arp(1, 2, everybody, gate_mac, "203.0.113.254", "203.0.113.254"));
    asked_until(5.7, 1, 254);
    assert_int_equal(l3_mac_of(5.7, 0, "198.51.100.7"), gate_mac[5]);
}

/* Nobody asked for 10.0.0.78, and what it says is not for us. */
L3_TEST(senders_nobody_asked_for_are_not_learned)
{
    l3_begin();
    l3_run(0, NULL);
    static const struct {
        uint8_t operation;
        const char *sender, *target;
    } said[] = {
        {2, "10.0.0.78", "10.0.0.99"},
        {1, "10.0.0.78", "10.0.0.78"},
        {1, "192.0.2.78", "10.0.0.1"}, /* not of this link */
        {1, "0.0.0.0", "10.0.0.1"},    /* a probe */
    };
    for (unsigned i = 0; i < 4; i++) {
        struct nf_packet p =
            l3_arp(0, said[i].operation, everybody, host_mac, said[i].sender, said[i].target);
        l3_run(0, &p);
    }
    l3_dropped(0, l3_udp(1, "198.51.100.7", "10.0.0.78", 64), NF_L3_NO_NEIGHBOUR);
    char text[4000];
    struct nf_show *show = nf_show_begin(text, sizeof(text));
    uint64_t cursor = 0;
    assert_false(l3_nf->module->show(l3_nf, show, &cursor));
    nf_show_end(show);
    assert_null(strstr(text, "192.0.2.78"));
    assert_null(strstr(text, "\"0.0.0.0\""));
}

/* Who asks for an address of the chain gets his first packet, though nobody has asked for him. */
L3_TEST(who_has_just_asked_is_known)
{
    l3_begin();
    l3_run(0, NULL);
    l3_comes(0.1, l3_arp(0, 1, everybody, host_mac, "10.0.0.78", "10.0.0.1"));
    assert_int_equal(l3_mac_of(0.1, 1, "10.0.0.78"), host_mac[5]);
}

static bool known(const char *addr)
{
    char text[8000];
    struct nf_show *show = nf_show_begin(text, sizeof(text));
    uint64_t cursor = 0;
    assert_false(l3_nf->module->show(l3_nf, show, &cursor));
    nf_show_end(show);
    return strstr(text, help_print("{\"addr\":\"%s\",\"state\":\"known\"", addr));
}

L3_TEST(neighbours_are_asked_again_and_forgotten_at_their_age)
{
    l3_begin();
    l3_run(0, NULL);
    l3_know_both(0.5);
    /* The next hop is asked every 20 s, though it is silent, and unknown 180 s after it last spoke. */
    assert_int_equal(asked_until(20.4, 1, 254), 0);
    assert_int_equal(asked_until(20.6, 1, 254), 1);
    assert_int_equal(asked_until(60.6, 1, 254), 2);
    assert_int_equal(asked_until(180.4, 1, 254), 5); /* at 80.5, 100.5, … 160.5 */
    assert_true(known("203.0.113.254") && known("10.0.0.5"));
    /* The host was never used: nobody asks, and it is forgotten. */
    assert_true(asked_until(181, 1, 254) >= 1);
    assert_false(known("203.0.113.254"));
    assert_false(known("10.0.0.5"));
    assert_true(asked_until(185, 1, 254) >= 4); /* once a second again */
}

L3_TEST(neighbours_in_use_are_kept)
{
    l3_begin();
    l3_know_both(0);
    unsigned asked = 0;
    for (unsigned at = 1; at < 300; at++) {
        asked += asked_until(at, 0, 5);
        assert_int_equal(l3_comes(at, l3_udp(1, "198.51.100.7", "10.0.0.5", 64)).drop, 0);
        if (l3_made_count || asked)
            l3_comes(at, l3_arp(0, 2, inner_mac, host_mac, "10.0.0.5", "10.0.0.1"));
    }
    assert_in_range(asked, 1, 20);
    assert_true(known("10.0.0.5"));
}

/* ---- more addresses than the table has room for: a network of 65,536 ---- */

static const char *address_of(unsigned i)
{
    static char text[16];

    snprintf(text, sizeof(text), "10.0.%u.%u", 16 + (i >> 8), i & 255);
    return text;
}

static void begin_wide(void)
{
    l3_config.port[0].net[NF_IP4] = l3_net("10.0.0.1/16");
    l3_begin();
    l3_run(10, NULL);
    l3_know_both(10);
}

/* Whoever has the address asks for the chain. */
static void ask_as(double at, const char *sender, uint8_t last)
{
    const uint8_t mac[6] = {2, 0, 0, 0, 9, last};
    struct nf_packet p = l3_arp(0, 1, everybody, mac, sender, "10.0.0.1");

    l3_run(at, &p);
}

/* True: it left. */
static bool send_to(double at, const char *to)
{
    struct nf_packet p = l3_udp(1, "198.51.100.7", to, 64);

    l3_run(at, &p);
    return !p.drop;
}

/* A host that nobody knows is asked for, answers, and has its packets; one that asks for the chain too. */
static void new_hosts_are_found(double at)
{
    static const uint8_t mac[6] = {2, 0, 0, 0, 9, 77};

    assert_false(send_to(at, "10.0.7.7"));
    assert_true(l3_made_count == 1 && l3_made[0].frame[40] == 7 && l3_made[0].frame[41] == 7);
    l3_comes(at + 0.01, l3_arp(0, 2, inner_mac, mac, "10.0.7.7", "10.0.0.1"));
    assert_true(send_to(at + 0.02, "10.0.7.7"));
    assert_memory_equal(l3_frame, mac, 6);
    ask_as(at + 0.03, "10.0.8.8", 88);
    assert_true(send_to(at + 0.04, "10.0.8.8"));
    assert_int_equal(l3_frame[5], 88);
}

static void is_sound(void)
{
    help_done(nf_chain_check(l3_chain, NULL, NULL, &help_fault));
}

/* Somebody sends to every address. Who is there is found all the same, and the link hears of each no more
 * than of as many as the table has in a second. */
L3_TEST(a_scan_leaves_room_for_hosts)
{
    begin_wide();
    assert_true(send_to(10, "10.0.0.5"));
    for (unsigned i = 0; i < 20000; i++)
        assert_false(send_to(10.1, address_of(i)));
    /* 3 next hops and 10.0.0.5 are there; 1,024 at once in the place of others */
    l3_assert_counted(NF_L3_ARP_ASKED, 3 + 4092 + 1024);
    l3_assert_counted(NF_L3_NEIGHBOURS_FULL, 20000 - 4092);
    is_sound();
    new_hosts_are_found(10.2);
    assert_true(send_to(10.3, "10.0.0.5")); /* in use, it stays */
    assert_memory_equal(l3_frame, host_mac, 6);
    for (unsigned i = 0; i < 3000; i++)
        assert_false(send_to(11.3, address_of(20000 + i)));
    assert_true(send_to(11.4, "10.0.7.7") && send_to(11.4, "10.0.8.8") && send_to(11.4, "10.0.0.5"));
    is_sound();
}

/* One host asks in the names of 5,000 that are not there, again and again. */
L3_TEST(made_up_questions_leave_room_for_hosts)
{
    begin_wide();
    assert_true(send_to(10, "10.0.0.5"));
    for (unsigned i = 0; i < 5000; i++)
        ask_as(10.1, address_of(i), (uint8_t)i);
    is_sound();
    new_hosts_are_found(10.2);
    for (unsigned i = 0; i < 5000; i++)
        ask_as(10.3, address_of(i), (uint8_t)i);
    assert_true(send_to(10.4, "10.0.7.7") && send_to(10.4, "10.0.8.8") && send_to(10.4, "10.0.0.5"));
    assert_false(send_to(10.4, address_of(0))); /* the oldest that nothing was sent to have gone */
    assert_true(send_to(10.4, address_of(4999)));
    is_sound();
}

/* And pings the chain in each of them: an answer of the chain's own keeps nobody in the table. */
L3_TEST(made_up_names_that_ping_the_chain_leave_hosts_in_use)
{
    begin_wide();
    assert_true(send_to(10, "10.0.0.5"));
    for (unsigned i = 0; i < 5000; i++) {

        ask_as(10.1, address_of(i), (uint8_t)i);
        struct nf_packet p = l3_echo(0, address_of(i), "10.0.0.1", 64);
        l3_run(10.1, &p);
        assert_true(!p.drop && p.out_port == 0); /* answered */
    }
    is_sound();
    assert_true(send_to(10.2, "10.0.0.5"));
    assert_memory_equal(l3_frame, host_mac, 6);
}

/* Also where packets were sent to all that are there: of more than three quarters of the table, the host goes
 * that has had none for longest, and is asked for again. */
L3_TEST(hosts_in_use_give_way_in_their_order)
{
    begin_wide();
    for (unsigned i = 0; i < 3073; i++) {
        ask_as(20, address_of(i), (uint8_t)i);
        assert_true(send_to(20, address_of(i)));
    }
    assert_true(send_to(26, address_of(0))); /* the others were used before */
    for (unsigned i = 3073; i < 4091; i++)
        ask_as(26, address_of(i), (uint8_t)i);
    is_sound();
    assert_int_equal(l3_nf->counters[NF_L3_NEIGHBOURS_FULL], 0);
    new_hosts_are_found(26.1);
    is_sound();
    l3_assert_counted(NF_L3_NEIGHBOURS_FULL, 1);
    assert_true(send_to(26.2, address_of(0)) && send_to(26.2, address_of(2)));
    assert_false(send_to(26.2, address_of(1)));
    ask_as(26.3, address_of(1), 1);
    assert_true(send_to(26.4, address_of(1)));
    is_sound();
}

/* The errors that the last burst made quote what went to `addr`, from these ports, in this order. */
static void assert_told_of(const char *addr, const uint8_t ports[], unsigned n)
{
    unsigned told = 0;

    for (uint32_t i = 0; i < l3_made_count; i++) {
        const uint8_t *frame = l3_made[i].frame;

        if (frame[13] != 0) /* ARP */
            continue;
        assert_int_equal(frame[23], 1);
        assert_int_equal(frame[34], 3);
        assert_int_equal(nf_get32(frame + 30), ip4("198.51.100.7"));
        assert_int_equal(nf_get32(frame + 58), ip4(addr));
        assert_true(told < n);
        assert_int_equal(frame[63], ports[told++]);
    }
    assert_int_equal(told, n);
}

/* The NF translates 203.0.113.9 to 10.0.0.5, who does not answer: senders are told of what they sent, also
 * where a packet between others is set aside. */
L3_TEST(who_is_told_knows_the_packet)
{
    static uint8_t frames[3][1600];
    struct nf_packet p[3];

    l3_begin();
    l3_run(0, NULL);
    p[0] = l3_arp(1, 2, outer_mac, gate_mac, "203.0.113.254", "203.0.113.1");
    l3_run(0.1, p);
    l3_translating = true;
    for (unsigned at = 1; at < 6; at++) {
        p[0] = l3_udp(1, "198.51.100.7", "203.0.113.9", 64);
        l3_run(at, p);
        l3_assert_dropped(p, NF_L3_NO_NEIGHBOUR);
    }
    assert_told_of("203.0.113.9", (const uint8_t[]){0x34}, 1);
    for (unsigned i = 0; i < 3; i++) {
        p[i] = l3_udp(1, "198.51.100.7", "203.0.113.9", 64);
        p[i].data = memcpy(frames[i], l3_frame, sizeof(l3_frame));
        frames[i][35] = (uint8_t)(i + 1);
    }
    nf_chain_set_aside(l3_chain, 1u << 1);
    l3_run_all(6, p, 3);
    assert_told_of("203.0.113.9", (const uint8_t[]){1, 3}, 2);
}

/* The same where 10.0.0.5 has no route. Until the first one nothing is kept. */
L3_TEST(who_has_no_route_is_told_of_what_he_sent)
{
    l3_config.port[0].net[NF_IP4] = l3_net("10.9.0.1/24");
    l3_config.routes[NF_IP4] = 1;
    l3_config.route[NF_IP4][0].to = l3_net("198.51.100.0/24");
    l3_begin();
    l3_run(0, NULL);
    l3_comes(0.1, l3_arp(1, 2, outer_mac, gate_mac, "203.0.113.254", "203.0.113.1"));
    l3_translating = true;
    for (unsigned i = 0; i < 3; i++) {
        l3_dropped(1, l3_udp(1, "198.51.100.7", "203.0.113.9", 64), NF_L3_NO_ROUTE);
        assert_told_of(i ? "203.0.113.9" : "10.0.0.5", (const uint8_t[]){0x34}, 1);
        assert_int_equal(l3_made[0].frame[35], 0); /* net unreachable */
    }
}

/* A more specific network of another interface has the address: the file's line stays as it is. */
L3_TEST(a_fixed_neighbour_stays_where_the_file_has_it)
{
    l3_config.port[l3_config.ports++] = (struct nf_interface){.name = "small",
                                                              .side = NF_INSIDE,
                                                              .mac = {2, 0, 0, 0, 0, 3},
                                                              .net = {l3_net("10.0.0.6/30")},
                                                              .mtu = 1500};
    l3_config.fixed_count = 1;
    l3_config.fixed[0] = (struct nf_fixed){.addr = l3_addr("10.0.0.5"), .mac = {0x52, 0x54, 0, 0, 0, 0x11}};
    l3_begin();
    l3_dropped(1, l3_udp(1, "198.51.100.7", "10.0.0.5", 9), NF_L3_NO_NEIGHBOUR);
    help_done(nf_chain_check(l3_chain, NULL, NULL, &help_fault));
}
