/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The chain's own addresses: routes and TTL, what is refused, announcements, and replay from captured
 * bytes.
 */
#include "tests/help/record.h"
#include "tests/help/l3.h"
#include "nflib/chain/chain.h"
#include "ftcore/region/audit.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

static void a_packet_gets_the_macs_of_its_next_link_and_one_ttl_less(void **state)
{
    (void)state;
    l3_begin();
    l3_know_both(0);
    struct nf_packet p = l3_udp(0, "10.0.0.5", "198.51.100.7", 64);
    l3_run(1, &p);
    assert_int_equal(p.drop, 0);
    assert_int_equal(p.out_port, 1);
    assert_memory_equal(l3_frame, gate_mac, 6);
    assert_memory_equal(l3_frame + 6, outer_mac, 6);
    assert_int_equal(l3_frame[22], 63);
    l3_assert_valid(l3_frame);
    p = l3_udp(1, "198.51.100.7", "10.0.0.5", 2);
    l3_run(1, &p);
    assert_int_equal(p.drop, 0);
    assert_int_equal(p.out_port, 0);
    assert_memory_equal(l3_frame, host_mac, 6);
    assert_memory_equal(l3_frame + 6, inner_mac, 6);
    assert_int_equal(l3_frame[22], 1);
    l3_assert_valid(l3_frame);
    assert_int_equal(l3_processed, 2);
    l3_end();
}

/* 172.16.9.1 lies in 172.16/16, 172.16.9/24 and 0/0. */
static void the_longest_prefix_wins(void **state)
{
    (void)state;
    l3_begin();
    l3_run(0, NULL);
    struct nf_packet p = l3_arp(0, 2, inner_mac, (const uint8_t[]){2, 2, 2, 2, 2, 3}, "10.0.0.3", "10.0.0.1");
    l3_run(0, &p);
    p = l3_arp(0, 2, inner_mac, (const uint8_t[]){2, 2, 2, 2, 2, 4}, "10.0.0.4", "10.0.0.1");
    l3_run(0, &p);
    p = l3_udp(1, "198.51.100.7", "172.16.9.1", 9);
    l3_run(1, &p);
    assert_int_equal(p.out_port, 0);
    assert_int_equal(l3_frame[5], 4);
    p = l3_udp(1, "198.51.100.7", "172.16.8.1", 9);
    l3_run(1, &p);
    assert_int_equal(l3_frame[5], 3);
    l3_end();
}

static void frames_that_are_not_for_the_chain_are_dropped_by_reason(void **state)
{
    (void)state;
    l3_begin();
    l3_know_both(0);
    struct nf_packet p = l3_udp(0, "10.0.0.5", "198.51.100.7", 64);
    l3_frame[5] = 9;
    l3_run(1, &p);
    l3_assert_dropped(&p, NF_L3_OTHER_MAC);
    p = l3_udp(0, "10.0.0.5", "10.0.0.255", 64);
    memset(l3_frame, 255, 6);
    l3_run(1, &p);
    l3_assert_dropped(&p, NF_L3_BROADCAST);
    p = l3_udp(0, "10.0.0.5", "224.0.0.1", 64);
    l3_run(1, &p);
    l3_assert_dropped(&p, NF_L3_BROADCAST);
    assert_int_equal(l3_processed, 0);
    p = l3_udp(1, "198.51.100.7", "10.0.0.255", 64); /* directed at a link of ours */
    l3_run(1, &p);
    l3_assert_dropped(&p, NF_L3_BROADCAST);
    l3_assert_counted(NF_L3_BROADCAST, 3);
    p = l3_udp(0, "127.0.0.1", "198.51.100.7", 64);
    l3_run(1, &p);
    l3_assert_dropped(&p, NF_L3_MARTIAN);
    p = l3_udp(0, "10.0.0.5", "198.51.100.7", 64);
    l3_frame[12] = 0x86, l3_frame[13] = 0xdd;
    l3_run(1, &p);
    l3_assert_dropped(&p, NF_L3_PROTOCOL);
    p = l3_udp(0, "10.0.0.5", "198.51.100.7", 64);
    l3_frame[24] ^= 1;
    l3_run(1, &p);
    l3_assert_dropped(&p, NF_L3_MALFORMED);
    p = l3_udp(0, "10.0.0.5", "198.51.100.7", 64);
    memmove(l3_frame + 16, l3_frame + 12, 46);
    l3_frame[12] = 0x81, l3_frame[13] = 0;
    p.len = p.have = p.len + 4;
    l3_run(1, &p);
    l3_assert_dropped(&p, NF_L3_VLAN);
    p = l3_udp(0, "10.0.0.5", "198.51.100.7", 64);
    p.len = p.have = 13;
    l3_run(1, &p);
    l3_assert_dropped(&p, NF_L3_MALFORMED);
    assert_int_equal(l3_processed, 1);
    assert_int_equal(l3_made_count, 0);
    l3_end();
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
    case 4: { /* the port's buffers end before it does */
        uint16_t sum = 0;
        p = l3_udp(port, from, to, draw() % 4);
        l3_frame[16] = (uint8_t)draw();
        l3_frame[20] = draw() & 0x40;
        memcpy(l3_frame + 24, &sum, 2);
        sum = nf_checksum(l3_frame + 14, 20);
        memcpy(l3_frame + 24, &sum, 2);
        break;
    }
    case 2: { /* a long header, and a protocol that nobody looks into */
        uint8_t rest[60];
        for (unsigned i = 0; i < sizeof(rest); i++)
            rest[i] = (uint8_t)draw();
        p = l3_ipv4(port, from, to, draw() % 4, 47, rest, sizeof(rest));
        l3_frame[14] = 0x4f;
        l3_frame[24] = l3_frame[25] = 0;
        uint16_t sum = nf_checksum(l3_frame + 14, 60);
        memcpy(l3_frame + 24, &sum, 2);
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
static void captured_bytes_replay_to_the_same_state_and_outputs(void **state)
{
    (void)state;
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
        l3_end();
    }
    assert_true(digest[0] == digest[1]);
    assert_true(sums[0] == sums[1]);
    assert_true(outs[0] == outs[1] && outs[0] > 500);
}

static void each_own_address_is_announced(void **state)
{
    (void)state;
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
static void show_gives_each_row_once_in_pages(void **state)
{
    (void)state;
    l3_begin();
    l3_run(0, NULL);
    for (unsigned i = 0; i < 100; i++) {
        char addr[20];
        snprintf(addr, sizeof(addr), "10.0.0.%u", 100 + i);
        struct nf_packet p = l3_arp(0, 1, everybody, host_mac, addr, "10.0.0.1");
        l3_run(0.1, &p);
    }
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
    l3_end();
}

static void impossible_configurations_are_refused_by_name(void **state)
{
    (void)state;
    struct ft_fault fault = {""};
    l3_begin();
    nf_chain_free(l3_chain);
    ft_audit_suspend(l3_region);
    ft_region_wipe(l3_region);
    ft_audit_resume(l3_region);
    l3_config.next_hop[0] = ip4("192.0.2.1");
    l3_config.routes = 0;
    assert_int_equal(nf_chain_make(&l3_chain, &l3_chain_config, l3_region, 0, 7, &fault), FT_EINVAL);
    assert_string_equal(fault.text, "l3: next hop 1 is on no link of the chain");
    l3_config.ports = 0;
    assert_int_equal(nf_chain_make(&l3_chain, &l3_chain_config, l3_region, 0, 7, &fault), FT_EINVAL);
    l3_end();
    l3_configure();
}

int main(void)
{
    l3_configure();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_packet_gets_the_macs_of_its_next_link_and_one_ttl_less),
        cmocka_unit_test(the_longest_prefix_wins),
        cmocka_unit_test(frames_that_are_not_for_the_chain_are_dropped_by_reason),
        cmocka_unit_test(captured_bytes_replay_to_the_same_state_and_outputs),
        cmocka_unit_test(each_own_address_is_announced),
        cmocka_unit_test(show_gives_each_row_once_in_pages),
        cmocka_unit_test(impossible_configurations_are_refused_by_name),
    };

    return cmocka_run_group_tests_name("l3", tests, NULL, NULL);
}
