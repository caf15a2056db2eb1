/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The chain's own addresses: routes and TTL, what is refused, announcements, and replay from captured
 * bytes.
 */
#include "ftcore/region/audit.h"
#include "nflib/chain/chain.h"
#include "tests/help/l3.h"
#include "tests/help/record.h"
#include "tests/help/test.h"

#include <arpa/inet.h>

L3_TEST(a_packet_gets_the_macs_of_its_next_link_and_one_ttl_less)
{
    l3_begin_knowing_both();
    l3_leaves(1, l3_udp(0, "10.0.0.5", "198.51.100.7", 64), 1);
    assert_memory_equal(l3_frame, gate_mac, 6);
    assert_memory_equal(l3_frame + 6, outer_mac, 6);
    assert_int_equal(l3_frame[22], 63);
    l3_assert_valid(l3_frame);
    l3_leaves(1, l3_udp(1, "198.51.100.7", "10.0.0.5", 2), 0);
    assert_memory_equal(l3_frame, host_mac, 6);
    assert_memory_equal(l3_frame + 6, inner_mac, 6);
    assert_int_equal(l3_frame[22], 1);
    l3_assert_valid(l3_frame);
    assert_int_equal(l3_processed, 2);
}

/* 172.16.9.1 lies in 172.16/16, 172.16.9/24 and 0/0. */
L3_TEST(the_longest_prefix_wins)
{
    l3_begin();
    l3_run(0, NULL);
    l3_comes(0, l3_arp(0, 2, inner_mac, (const uint8_t[]){2, 2, 2, 2, 2, 3}, "10.0.0.3", "10.0.0.1"));
    l3_comes(0, l3_arp(0, 2, inner_mac, (const uint8_t[]){2, 2, 2, 2, 2, 4}, "10.0.0.4", "10.0.0.1"));
    struct nf_packet p = l3_udp(1, "198.51.100.7", "172.16.9.1", 9);
    l3_run(1, &p);
    assert_int_equal(p.out_port, 0);
    assert_int_equal(l3_frame[5], 4);
    l3_comes(1, l3_udp(1, "198.51.100.7", "172.16.8.1", 9));
    assert_int_equal(l3_frame[5], 3);
}

L3_TEST(frames_that_are_not_for_the_chain_are_dropped_by_reason)
{
    l3_begin_knowing_both();
    struct nf_packet p = l3_udp(0, "10.0.0.5", "198.51.100.7", 64);
    l3_frame[5] = 9;
    l3_dropped(1, p, NF_L3_OTHER_MAC);
    p = l3_udp(0, "10.0.0.5", "10.0.0.255", 64);
    memset(l3_frame, 255, 6);
    l3_dropped(1, p, NF_L3_BROADCAST);
    l3_dropped(1, l3_udp(0, "10.0.0.5", "224.0.0.1", 64), NF_L3_BROADCAST);
    assert_int_equal(l3_processed, 0);
    l3_dropped(1, l3_udp(1, "198.51.100.7", "10.0.0.255", 64),
               NF_L3_BROADCAST); /* directed at a link of ours */
    l3_assert_counted(NF_L3_BROADCAST, 3);
    l3_dropped(1, l3_udp(0, "127.0.0.1", "198.51.100.7", 64), NF_L3_MARTIAN);
    p = l3_udp(0, "10.0.0.5", "198.51.100.7", 64);
    l3_frame[12] = 0x86, l3_frame[13] = 0xdd;
    l3_dropped(1, p, NF_L3_PROTOCOL);
    p = l3_udp(0, "10.0.0.5", "198.51.100.7", 64);
    l3_frame[24] ^= 1;
    l3_dropped(1, p, NF_L3_MALFORMED);
    p = l3_udp(0, "10.0.0.5", "198.51.100.7", 64);
    memmove(l3_frame + 16, l3_frame + 12, 46);
    l3_frame[12] = 0x81, l3_frame[13] = 0;
    p.len = p.have = p.len + 4;
    l3_dropped(1, p, NF_L3_VLAN);
    p = l3_udp(0, "10.0.0.5", "198.51.100.7", 64);
    p.len = p.have = 13;
    l3_dropped(1, p, NF_L3_MALFORMED);
    assert_int_equal(l3_processed, 1);
    assert_int_equal(l3_made_count, 0);
}

/* Not the Internet checksum, which is the same for all frames whose own checksums are right. */
static uint64_t mix(uint64_t sum, const void *data, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        sum = (sum ^ ((const uint8_t *)data)[i]) * 1099511628211ull;
    return sum;
}

static struct nf_packet anything(void)
{
    static const char *const addrs[] = {"10.0.0.5",    "10.0.0.1",     "198.51.100.7", "203.0.113.9",
                                        "203.0.113.1", "172.16.9.200", "10.0.0.44",    "224.0.0.5"};
    uint8_t port = draw() & 1;
    const char *from = addrs[draw() % 8], *to = addrs[draw() % 8];
    struct nf_packet p;
    switch (draw() % 5) {
    case 0:
        p = l3_arp(port, 1 + draw() % 2, everybody, port ? gate_mac : host_mac, from, to);
        break;
    case 1:
        p = l3_echo(port, from, to, draw() % 4);
        break;
    case 4: /* the port's buffers end before it does */
        p = l3_udp(port, from, to, draw() % 4);
        l3_frame[16] = (uint8_t)draw();
        l3_frame[20] = draw() & 0x40;
        l3_seal4(20);
        break;
    case 2: { /* a long header, and a protocol that nobody looks into */
        uint8_t rest[60];
        for (unsigned i = 0; i < sizeof(rest); i++)
            rest[i] = (uint8_t)draw();
        p = l3_ipv4(port, from, to, draw() % 4, 47, rest, sizeof(rest));
        l3_frame[14] = 0x4f;
        l3_seal4(60);
        break;
    }
    default:
        p = l3_udp(port, from, to, draw() % 4);
    }
    if (draw() % 4 == 0)
        l3_frame[draw() % p.len] = (uint8_t)draw();
    p.len = p.have = p.len + draw() % 300; /* padding */
    return p;
}

/* With only the captured bytes of every packet: the same state, the same verdicts, the same bytes made. */
L3_TEST(captured_bytes_replay_to_the_same_state_and_outputs)
{
    uint64_t digest[2], sums[2] = {0}, outs[2];
    for (unsigned pass = 0; pass < 2; pass++) {
        l3_begin();
        draw_seed = 12345;
        for (unsigned i = 0; i < 3000; i++) {
            struct nf_packet p = anything();
            nf_packet_parse(&p);
            uint32_t taken = nf_packet_header_bytes(&p);
            if (pass) {
                p.have = taken;
                memset(l3_frame + taken, 0xee, p.len - taken);
            }
            l3_translating = i % 3;
            l3_run(i * 0.05, &p);
            sums[pass] = mix(sums[pass], (uint8_t[]){p.drop, p.out_port}, 2);
            if (!p.drop)
                sums[pass] = mix(sums[pass], l3_frame, taken);
            for (uint32_t k = 0; k < l3_made_count; k++) {
                sums[pass] = mix(sums[pass], &l3_made[k].port, 1);
                sums[pass] = mix(sums[pass], l3_made[k].frame, l3_made[k].len);
            }
        }
        digest[pass] = ft_region_digest(l3_region);
        outs[pass] = nf_chain_state(l3_chain)->outputs;
        assert_true(l3_nf->counters[NF_L3_ECHO_ANSWERED] > 20 && l3_nf->counters[NF_L3_ICMP_SENT] > 20 &&
                    l3_nf->counters[NF_L3_TOO_BIG] > 20);
    }
    assert_true(digest[0] == digest[1]);
    assert_true(sums[0] == sums[1]);
    assert_true(outs[0] == outs[1] && outs[0] > 500);
}

L3_TEST(each_own_address_is_announced)
{
    static const char *const own[] = {"10.0.0.1", "203.0.113.1", "203.0.113.9"};
    uint8_t out[NF_ANNOUNCEMENT_MAX], port;
    for (unsigned i = 0; i < 3; i++) {
        uint32_t addr = ip4(own[i]);
        assert_int_equal(nf_l3_announce(&l3_config, i, out, &port), 42);
        assert_int_equal(port, i > 0);
        assert_memory_equal(out, everybody, 6);
        assert_memory_equal(out + 6, port ? outer_mac : inner_mac, 6);
        assert_int_equal(out[21], 1);
        assert_memory_equal(out + 22, port ? outer_mac : inner_mac, 6);
        assert_memory_equal(out + 28, &addr, 4);
        assert_memory_equal(out + 38, &addr, 4);
    }
    assert_int_equal(nf_l3_announce(&l3_config, 3, out, &port), 0);
}

/* Pages of rows: the counters once, every neighbour once. */
L3_TEST(show_gives_each_row_once_in_pages)
{
    l3_begin();
    l3_run(0, NULL);
    for (unsigned i = 0; i < 100; i++)
        l3_comes(0.1, l3_arp(0, 1, everybody, host_mac, help_print("10.0.0.%u", 100 + i), "10.0.0.1"));
    unsigned rows = 0, counters = 0, pages = 0;
    uint64_t cursor = 0;
    bool more = true;
    while (more && pages < 100) {
        char text[2000];
        struct nf_show *show = nf_show_begin(text, sizeof(text));
        more = l3_nf->module->show(l3_nf, show, &cursor);
        nf_show_end(show);
        for (const char *at = text; (at = strstr(at, "\"addr\"")); at++)
            rows++;
        counters += strstr(text, "l3_arp_answered") != NULL; /* `show` has them beside the rows */
        pages++;
    }
    assert_int_equal(rows, 103); /* and three next hops */
    assert_int_equal(counters, 0);
    assert_true(pages > 3);
}

L3_TEST(impossible_configurations_are_refused_by_name)
{
    l3_begin();
    nf_chain_free(l3_chain);
    ft_audit_suspend(l3_region);
    ft_region_wipe(l3_region);
    ft_audit_resume(l3_region);
    l3_config.next_hop[NF_IP4][0].port = 7;
    assert_int_equal(nf_chain_make(&l3_chain, &l3_chain_config, l3_region, 0, 7, &help_fault), FT_EINVAL);
    assert_string_equal(help_fault.text, "l3: next hop 1: no port 7");
    l3_config.ports = 0;
    assert_int_equal(nf_chain_make(&l3_chain, &l3_chain_config, l3_region, 0, 7, &help_fault), FT_EINVAL);
}

/* ICMP that the chain speaks for its own addresses: echoes, errors, and their limit. */

/* The one frame that was made is an error of that type and code to the sender of the packet, whose frame
 * began so, from the chain's address of the port by which that packet came. */
static void assert_error(uint8_t port, uint8_t type, uint8_t code, const uint8_t *sent)
{
    static const uint8_t ends[2][8] = {{10, 0, 0, 1, 10, 0, 0, 5}, {203, 0, 113, 1, 198, 51, 100, 7}};

    assert_int_equal(l3_made_count, 1);
    assert_int_equal(l3_made[0].port, port);
    assert_int_equal(l3_made[0].len, 14 + 20 + 8 + 28);
    const uint8_t *f = l3_made[0].frame;
    assert_memory_equal(f + 26, ends[port], 8);
    l3_assert_valid(f);
    assert_int_equal(f[34], type);
    assert_int_equal(f[35], code);
    assert_int_equal(nf_checksum(f + 34, 36), 0);
    assert_memory_equal(f + 42, sent + 14, 28);
}

L3_TEST(an_echo_from_inside_is_answered_without_the_nfs)
{
    l3_begin_knowing_both();
    l3_translating = true;
    struct nf_packet p = l3_echo(0, "10.0.0.5", "10.0.0.1", 1);
    p.have = 60 < p.len ? 60 : p.len;
    l3_run(1, &p);
    assert_int_equal(p.drop, 0);
    assert_int_equal(l3_processed, 0);
    assert_int_equal(p.out_port, 0);
    struct nf_packet want = l3_echo(0, "10.0.0.1", "10.0.0.5", 64);
    uint8_t reply[sizeof(l3_frame)];
    memcpy(reply, l3_frame, want.len);
    l3_comes(1, l3_echo(0, "10.0.0.5", "10.0.0.1", 1));
    reply[34] = 0;
    reply[36] = reply[37] = 0;
    uint16_t sum = nf_checksum(reply + 34, 16);
    memcpy(reply + 36, &sum, 2);
    memcpy(reply, host_mac, 6);
    memcpy(reply + 6, inner_mac, 6);
    assert_memory_equal(l3_frame, reply, want.len);
    l3_assert_counted(NF_L3_ECHO_ANSWERED, 2);
    l3_dropped(1, l3_udp(0, "10.0.0.5", "10.0.0.1", 64), NF_L3_LOCAL);
    assert_int_equal(l3_processed, 0);
}

/* The outside address is also the translator's: only what it leaves alone is for us. */
L3_TEST(an_echo_from_outside_is_answered_when_the_nfs_leave_it_alone)
{
    l3_begin_knowing_both();
    struct nf_packet p = l3_echo(1, "198.51.100.7", "203.0.113.9", 1);
    l3_run(1, &p);
    assert_int_equal(l3_processed, 1);
    assert_int_equal(p.drop, 0);
    assert_int_equal(p.out_port, 1);
    assert_int_equal(l3_frame[34], 0);
    assert_int_equal(l3_frame[22], 64);
    assert_memory_equal(l3_frame, gate_mac, 6);
    assert_int_equal(nf_checksum(l3_frame + 34, 16), 0);
    l3_assert_valid(l3_frame);
    l3_translating = true;
    l3_leaves(1, l3_echo(1, "198.51.100.7", "203.0.113.9", 9), 0);
    assert_int_equal(l3_frame[34], 8);
    assert_int_equal(l3_frame[33], 5);
    assert_int_equal(l3_frame[22], 8);
    l3_dropped(1, l3_udp(1, "198.51.100.7", "203.0.113.1", 9), NF_L3_LOCAL);
    /* from inside, translated: its source is ours by now, and no reply would find it */
    l3_dropped(1, l3_echo(0, "10.0.0.5", "203.0.113.1", 9), NF_L3_LOCAL);
}

L3_TEST(a_ttl_that_ends_is_told_to_the_sender)
{
    l3_begin_knowing_both();
    l3_translating = true;
    struct nf_packet p = l3_udp(0, "10.0.0.5", "198.51.100.7", 1);
    uint8_t sent[42];
    memcpy(sent, l3_frame, 42);
    l3_dropped(0.5, p, NF_L3_TTL);
    assert_int_equal(l3_processed, 0);
    assert_error(0, 11, 0, sent); /* as the sender knows it */
    const uint8_t *f = l3_made[0].frame;
    static const uint8_t ip_head[10] = {0x45, 0xc0, 0, 56, 0, 0, 0x40, 0, 64, 1};
    assert_memory_equal(f, host_mac, 6);
    assert_memory_equal(f + 6, inner_mac, 6);
    assert_memory_equal(f + 14, ip_head, 10);
}

/* RFC 1812, 5.3.1, of a packet that is translated on its way in: the quote is what its sender knows. */
L3_TEST(a_ttl_that_ends_behind_a_translation_is_told_to_the_sender)
{
    l3_begin_knowing_both();
    l3_translating = true;
    struct nf_packet two[2], p = l3_udp(1, "198.51.100.7", "203.0.113.9", 1);
    static uint8_t first[64];
    uint8_t sent[42];
    memcpy(sent, l3_frame, 42);
    memcpy(first, l3_frame, 64);
    two[0] = p;
    two[0].data = first;
    two[1] = l3_udp(1, "198.51.100.7", "203.0.113.9", 2);
    l3_run_all(0.5, two, 2);
    l3_assert_dropped(&two[0], NF_L3_TTL);
    assert_int_equal(two[1].drop, 0);
    assert_int_equal(l3_processed, 2);
    assert_error(1, 11, 0, sent);
    l3_dropped(0.5, l3_udp(1, "198.51.100.7", "203.0.113.9", 0),
               NF_L3_TTL); /* no host sends that; it is told the same */
    assert_int_equal(l3_made_count, 1);
    l3_dropped(0.5, l3_udp(1, "198.51.100.7", "203.0.113.1", 1), NF_L3_LOCAL); /* it has come to its end */
    assert_int_equal(l3_made_count, 0);
}

L3_TEST(no_error_answers_errors_or_fragments)
{
    l3_begin_knowing_both();
    uint8_t error[36] = {3, 1, 0, 0, 0, 0, 0, 0, 0x45};
    l3_dropped(0.5, l3_ipv4(0, "10.0.0.5", "198.51.100.7", 1, 1, error, sizeof(error)), NF_L3_TTL);
    assert_int_equal(l3_made_count, 0);
    struct nf_packet p = l3_udp(0, "10.0.0.5", "198.51.100.7", 1); /* a later fragment */
    l3_frame[21] = 7;
    l3_seal4(20);
    l3_dropped(0.5, p, NF_L3_TTL);
    assert_int_equal(l3_made_count, 0);
    l3_dropped(0.5, l3_udp(0, "10.0.0.1", "198.51.100.7", 1), NF_L3_TTL); /* it says it is from us */
    assert_int_equal(l3_made_count, 0);
    l3_assert_counted(NF_L3_ICMP_SENT, 0);
}

L3_TEST(a_packet_without_a_route_is_told_to_the_sender)
{
    l3_config.routes[NF_IP4] = l3_config.next_hops[NF_IP4] = 0;
    l3_begin_knowing_both();
    l3_dropped(1, l3_udp(0, "10.0.0.5", "198.51.100.7", 64), NF_L3_NO_ROUTE);
    assert_error(0, 3, 0, l3_frame);
}

/* An outbound UDP packet of `total` bytes by its header, of which `here` are in the frame. */
static struct nf_packet big(const char *to, uint16_t total, uint32_t here, bool keep_whole)
{
    static const uint8_t payload[1566];
    struct nf_packet p = l3_ipv4(0, "10.0.0.5", to, 64, 17, payload, (uint16_t)(here - 20));
    nf_put16(l3_frame + 16, htons(total));
    l3_frame[20] = keep_whole ? 0x40 : 0;
    l3_seal4(20);
    return p;
}

/* RFC 1191, 4: type 3, code 4, the next hop's MTU in bytes 6 and 7, from the interface's address. */
static void assert_told(uint16_t mtu)
{
    const uint8_t *f = l3_made[0].frame;

    assert_error(0, 3, 4, l3_frame);
    assert_int_equal(f[38] << 8 | f[39], 0);
    assert_int_equal(f[40] << 8 | f[41], mtu);
}

L3_TEST(what_is_larger_than_the_mtu_is_told_to_the_sender)
{
    l3_config.port[1].mtu = 1400;
    l3_begin_knowing_both();
    l3_translating = true;
    assert_int_equal(l3_comes(1, big("198.51.100.7", 1400, 1400, true)).drop, 0);
    l3_dropped(1, big("198.51.100.7", 1401, 1401, true), NF_L3_TOO_BIG);
    assert_told(1400);
    assert_int_equal(l3_processed, 1);
    l3_dropped(1, big("198.51.100.7", 1401, 1401, false),
               NF_L3_TOO_BIG); /* it may be fragmented, and here it is not */
    assert_told(1400);
}

/* Port 2, inside: 10.9.0.0/24. */
static void add_port(uint16_t mtu)
{
    l3_config.port[l3_config.ports++] = (struct nf_interface){.name = "dmz",
                                                              .side = NF_INSIDE,
                                                              .mac = {2, 0, 0, 0, 0, 3},
                                                              .net = {l3_net("10.9.0.1/24")},
                                                              .mtu = mtu};
}

/* What arrived outside with this source, as the NF left it on its way in. */
static void came_from_outside(struct nf_packet *p)
{
    p->in_port = p->side = 1;
    memcpy(l3_frame, outer_mac, 6);
    nf_packet_parse(p);
    nf_packet_set_saddr(p, ip4("198.51.100.7"));
}

/* Port 2, inside, takes less than the others, and is no way for what goes out. A packet to an address that is
 * translated may leave by any of the other side. */
L3_TEST(the_mtu_is_that_of_the_packets_own_way)
{
    add_port(1300);
    l3_begin_knowing_both();
    assert_int_equal(l3_comes(1, big("198.51.100.7", 1500, 1500, true)).drop, 0);
    l3_dropped(1, big("10.9.0.5", 1301, 1301, true), NF_L3_TOO_BIG);
    assert_told(1300);
    struct nf_packet p = big("198.51.100.7", 1301, 1301, true); /* translated on its way back */
    came_from_outside(&p);
    nf_packet_set_daddr(&p, ip4("203.0.113.9"));
    l3_dropped(1, p, NF_L3_TOO_BIG);
    assert_int_equal(l3_made[0].frame[40] << 8 | l3_made[0].frame[41], 1300);
}

/* Nothing larger than a port's MTU leaves by it, wherever an NF has sent it. */
L3_TEST(what_an_nf_sends_where_it_is_too_big_is_dropped)
{
    l3_config.port[0].mtu = 1300;
    l3_config.route[NF_IP4][l3_config.routes[NF_IP4]++] =
        (struct nf_route){.to = l3_net("203.0.113.9/32"), .via = l3_addr("10.0.0.5"), .port = 2};
    add_port(1500);
    l3_config.port[1].extras[NF_IP4] = 0; /* 203.0.113.9 is beyond port 2, it seems */
    l3_begin_knowing_both();
    l3_translating = true;
    struct nf_packet p = big("203.0.113.9", 1400, 1400, true);
    came_from_outside(&p);
    l3_dropped(1, p, NF_L3_TOO_BIG);
    l3_assert_counted(NF_L3_ICMP_SENT, 0); /* its sender would not know it */
    assert_int_equal(l3_processed, 1);
}

/* A port's buffers end before the packet does. What lies about its length within the MTU is malformed. */
L3_TEST(what_the_port_cut_off_is_too_big)
{
    l3_begin_knowing_both();
    l3_run(1, NULL); /* asks for the silent hops */
    l3_dropped(1, big("198.51.100.7", 9000, 1500, true), NF_L3_TOO_BIG);
    assert_told(1500);
    struct nf_packet p = big("198.51.100.7", 9000, 1500, true); /* as much of it as a record has */
    p.have = 142;
    l3_dropped(1, p, NF_L3_TOO_BIG);
    assert_told(1500);
    l3_dropped(1, big("198.51.100.7", 9000, 1500, false), NF_L3_TOO_BIG);
    assert_told(1500);
    l3_dropped(1, big("198.51.100.7", 1500, 1400, true), NF_L3_MALFORMED);
    assert_int_equal(l3_made_count, 0);
    p = big("198.51.100.7", 9000, 1500, true);
    l3_frame[24] ^= 1; /* the header's checksum */
    l3_dropped(1, p, NF_L3_MALFORMED);
    l3_dropped(1, big("224.0.0.1", 9000, 1500, true), NF_L3_MALFORMED);
    assert_int_equal(l3_made_count, 0);
    l3_assert_counted(NF_L3_TOO_BIG, 3);
}

/* 50 in a row, then one each 10 ms. */
L3_TEST(errors_are_limited)
{
    l3_begin_knowing_both();
    l3_run(10, NULL); /* asks for the silent hops */
    for (unsigned i = 0; i < 60; i++) {
        l3_comes(10, l3_udp(0, "10.0.0.5", "198.51.100.7", 1));
        assert_int_equal(l3_made_count, i < 50);
    }
    l3_assert_counted(NF_L3_ICMP_LIMITED, 10);
    for (unsigned i = 0; i < 3; i++) {
        l3_comes(10.010, l3_udp(0, "10.0.0.5", "198.51.100.7", 1));
        assert_int_equal(l3_made_count, i == 0);
    }
    l3_assert_counted(NF_L3_ICMP_SENT, 51);
}

/* Traces, or a loop, do not keep senders from hearing of the MTU; nor is there more than 100 a second of it.
 */
L3_TEST(an_mtu_is_told_beside_other_errors)
{
    l3_begin_knowing_both();
    l3_run(10, NULL);
    for (unsigned i = 0; i < 60; i++)
        l3_comes(10, l3_udp(0, "10.0.0.5", "198.51.100.7", 1));
    for (unsigned i = 0; i < 60; i++) {
        l3_comes(10, big("198.51.100.7", 9000, 1500, true));
        assert_int_equal(l3_made_count, i < 50);
        if (l3_made_count) /* fragmentation needed */
            assert_memory_equal(l3_made[0].frame + 34, "\3\4", 2);
    }
    l3_assert_counted(NF_L3_ICMP_SENT, 100);
    l3_assert_counted(NF_L3_ICMP_LIMITED, 20);
}

/* A flood from outside that is told of leaves errors for hosts inside, and the reverse. */
L3_TEST(each_interface_has_its_own_errors)
{
    for (uint8_t flooded = 0; flooded < 2; flooded++) {
        l3_begin_knowing_both();
        l3_run(10, NULL);
        for (unsigned i = 0; i < 120; i++) {
            uint8_t from = i < 60 ? flooded : !flooded;
            struct nf_packet p =
                l3_udp(from, from ? "198.51.100.7" : "10.0.0.5", from ? "10.0.0.5" : "198.51.100.7", 1);
            l3_run(10, &p);
            assert_int_equal(l3_made_count, i % 60 < 50);
            if (l3_made_count)
                assert_int_equal(l3_made[0].port, from);
        }
        l3_assert_counted(NF_L3_ICMP_SENT, 100);
        l3_assert_counted(NF_L3_ICMP_LIMITED, 20);
    }
}
