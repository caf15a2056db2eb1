/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor: what it counts, how flows end, and real captures, whose flows, packets and bytes were counted
 * by tshark (-T fields with reassembly off: frame.len, ip.proto, addresses, ports, ip.frag_offset). Later
 * fragments belong to the flow of their first one.
 */
#include "tests/help/chain.h"
#include "tests/help/test.h"

#define A             NFT_IP(10, 0, 0, 1)
#define B             NFT_IP(198, 51, 100, 7)
#define MONITOR(more) "    - monitor: { " more " }\n"

static struct help_chain h;

static void udp(uint8_t side, uint32_t src, uint16_t sport, uint32_t dst, uint16_t dport, uint16_t payload)
{
    struct nft_spec spec = HELP_PACKET(17, src, sport, dst, dport, .payload = payload);
    assert_true(help_chain_spec(&h, side, &spec, NULL));
}

CHAIN_TEST(both_directions_are_one_flow)
{
    help_chain_begin(&h, MONITOR("max_flows: 10"), NULL);
    udp(NF_OUTSIDE, B, 53, A, 9, 100);
    udp(NF_INSIDE, A, 9, B, 53, 200);
    udp(NF_OUTSIDE, B, 53, A, 9, 10); /* 60 bytes, the least an Ethernet frame has here */
    help_chain_has(
        &h, "monitor",
        "{\"proto\":\"udp\",\"from\":\"198.51.100.7:53\",\"to\":\"10.0.0.1:9\",\"packets\":2,\"bytes\":202,"
        "\"back_packets\":1,\"back_bytes\":242,\"first_ns\":1000000000,\"last_ns\":1000000000}");
    help_chain_counts(&h, "monitor: packets 3, bytes 444, flows_created 1");
}

CHAIN_TEST(packets_are_counted_by_class)
{
    uint8_t ipv6[64] = {[12] = 0x86, [13] = 0xdd}, arp[42] = {[12] = 8, [13] = 6, 0, 1, 8, 0, 6, 4};
    uint8_t other[64] = {[12] = 0x88, [13] = 0x47}, frame[NFT_FRAME_MAX];
    struct nft_spec spec = {.src = A, .dst = B, .proto = 47, .payload = 100};
    struct nft_spec ping = HELP_PACKET(1, A, 300, B, 0, .type = 8, .payload = 56, .tags = 2);
    struct nft_spec later = {.src = A, .dst = B, .proto = 17, .fragment = 9, .payload = 100, .options = 3};
    struct nft_spec tcp = {.src = A, .dst = B, .proto = 6, .sport = 1, .dport = 2, .payload = 60};
    help_chain_begin(&h, MONITOR("max_flows: 10"), NULL);
    assert_false(help_chain_send(&h, NF_INSIDE, ipv6, sizeof(ipv6)).drop);
    assert_false(help_chain_send(&h, NF_INSIDE, arp, sizeof(arp)).drop);
    assert_false(help_chain_send(&h, NF_INSIDE, other, sizeof(other)).drop);
    assert_true(help_chain_spec(&h, NF_INSIDE, &spec, NULL));
    assert_true(help_chain_spec(&h, NF_INSIDE, &ping, NULL));
    assert_true(help_chain_spec(&h, NF_INSIDE, &later, NULL));
    assert_true(help_chain_spec(&h, NF_INSIDE, &tcp, NULL));
    uint32_t len = nft_frame(&tcp, frame);
    frame[14 + 10] ^= 1;
    assert_false(help_chain_send(&h, NF_INSIDE, frame, len).drop);
    help_chain_counts(&h, "monitor: ipv6 1, arp 1, other 1, malformed 1, other_ip_bytes %d", 14 + 20 + 100);
    help_chain_counts(&h, "monitor: icmp_bytes %d, udp_bytes %d", 14 + 8 + 20 + 8 + 56, 14 + 20 + 12 + 100);
    help_chain_counts(&h, "monitor: tcp_bytes %d, fragments 1", 14 + 20 + 20 + 60);
    help_chain_has(&h, "monitor", "\"proto\":\"47\",\"from\":\"10.0.0.1:0\"");
    help_chain_has(&h, "monitor", "\"proto\":\"icmp\",\"from\":\"10.0.0.1:300\",\"to\":\"198.51.100.7:300\"");
    help_chain_has(&h, "monitor", "\"proto\":\"udp\",\"from\":\"10.0.0.1:0\"");
    help_chain_counts(&h, "monitor: packets 8");
    assert_int_equal(help_chain_rows(&h, "monitor"), 4);
}

CHAIN_TEST(a_full_table_takes_no_new_flow_until_idle_ones_end)
{
    help_chain_begin(&h, MONITOR("max_flows: 4, timeout: 10"), NULL);
    for (uint16_t i = 0; i < 6; i++)
        udp(NF_INSIDE, A, i, B, 53, 50);
    help_chain_counts(&h, "monitor: flows_full 2");
    help_chain_wait_tenths(&h, 50);
    udp(NF_INSIDE, A, 2, B, 53, 50);
    help_chain_counts(&h, "monitor: packets 7");
    help_chain_wait_tenths(&h, 49);
    help_chain_counts(&h, "monitor: flows_expired 0");
    help_chain_wait_tenths(&h, 1);
    help_chain_counts(&h, "monitor: flows_expired 3");
    udp(NF_INSIDE, A, 5, B, 53, 50);
    help_chain_counts(&h, "monitor: flows_full 2");
    help_chain_wait_tenths(&h, 49);
    help_chain_counts(&h, "monitor: flows_expired 3");
    help_chain_wait_tenths(&h, 1);
    help_chain_counts(&h, "monitor: flows_expired 4");
}

/* A long timeout is for connections that are open: what was reset goes after four minutes, as elsewhere. */
CHAIN_TEST(a_reset_connection_goes_after_four_minutes)
{
    struct nft_spec spec = {.src = A, .dst = B, .sport = 5, .dport = 80, .proto = 6, .tcp = NFT_ACK};

    help_chain_begin(&h, MONITOR("max_flows: 4, timeout: 604800"), NULL);
    help_chain_spec(&h, NF_INSIDE, &spec, NULL);
    spec.tcp = NFT_RST;
    help_chain_spec(&h, NF_INSIDE, &spec, NULL);
    help_chain_wait_tenths(&h, 2399);
    help_chain_counts(&h, "monitor: flows_expired 0");
    help_chain_wait_tenths(&h, 2);
    help_chain_counts(&h, "monitor: flows_expired 1");
}

CHAIN_TEST(commands_change_the_timeout_and_clear_flows)
{
    help_chain_begin(&h, MONITOR("max_flows: 4"), NULL);
    udp(NF_INSIDE, A, 1, B, 53, 50);
    assert_int_equal(help_chain_command(&h, "set monitor timeout=0"), FT_EINVAL);
    assert_int_equal(help_chain_command(&h, "set monitor size=1"), FT_ENOENT);
    assert_int_equal(help_chain_command(&h, "set monitor timeout=1"), FT_OK);
    help_chain_wait_tenths(&h, 9);
    help_chain_counts(&h, "monitor: flows_expired 0");
    help_chain_wait_tenths(&h, 1);
    help_chain_counts(&h, "monitor: flows_expired 1");
    for (uint16_t i = 0; i < 4; i++)
        udp(NF_INSIDE, A, i, B, 53, 50);
    assert_int_equal(help_chain_command(&h, "clear monitor x"), FT_ENOENT);
    assert_int_equal(help_chain_command(&h, "clear monitor"), FT_OK);
    help_chain_counts(&h, "monitor: packets 5");
    assert_int_equal(help_chain_rows(&h, "monitor"), 0);
    help_chain_wait_tenths(&h, 20);
    help_chain_counts(&h, "monitor: flows_expired 1"); /* no timer is left of what was cleared */
}

struct fact {
    const char *file;
    uint64_t packets, bytes;
    uint64_t tcp_flows, tcp_packets, tcp_bytes;
    uint64_t udp_flows, udp_packets, udp_bytes;
    uint64_t ipv6, arp;
    bool mend;
};
static const struct fact facts[] = {
    {"http-methods.pcap", 655, 228325, 49, 655, 228325, 0, 0, 0, 0, 0, false},
    {"ftp-bruteforce.pcap", 606, 45447, 30, 606, 45447, 0, 0, 0, 0, 0, false},
    {"synscan.pcap", 2011, 116672, 1994, 2011, 116672, 0, 0, 0, 0, 0, false},
    {"WebattackRCE.pcap", 797, 191003, 797, 797, 191003, 0, 0, 0, 0, 0, false},
    {"bot.pcap", 402, 431124, 1, 402, 431124, 0, 0, 0, 0, 0, false},
    {"http-qinq.pcap", 14, 6199, 1, 14, 6199, 0, 0, 0, 0, 0, false},
    {"gnutella.pcap", 3905, 578474, 137, 2149, 294868, 605, 1645, 255916, 68, 22, false},
    {"1kxun.pcap", 1723, 2527774, 98, 1381, 2462796, 74, 278, 50265, 64, 0, false},
    {"dnscrypt-v1-and-resolver-pings.pcap", 608, 320842, 0, 0, 0, 245, 608, 320842, 0, 0, true},
    {"echo-connections.pcap.gz", 82582, 5512362, 500, 82582, 5512362, 0, 0, 0, 0, 0, false},
};

static uint64_t count_text(const char *all, const char *text)
{
    uint64_t n = 0;
    while ((all = strstr(all, text))) {
        n++;
        all++;
    }
    return n;
}

/* A thousand times as fast as it was: no flow ends in between, not one that is closed either. */
static void run_capture(const struct help_capture *capture)
{
    struct nf_packet burst[NF_BURST_MAX];
    uint64_t first = capture->count ? capture->list[0].time : 0;

    for (uint32_t at = 0; at < capture->count;) {
        uint64_t end = capture->list[at].time + HELP_SECOND; /* a burst does not last longer */
        uint32_t n = 0;
        for (; n < NF_BURST_MAX && at < capture->count && capture->list[at].time < end; n++, at++) {
            const struct help_captured *c = &capture->list[at];
            burst[n] = (struct nf_packet){.data = c->data, .len = c->len, .have = c->have, .side = c->side};
        }
        help_chain_run(&h, first + (capture->list[at - 1].time - first) / 1000, burst, n);
    }
}

CHAIN_TEST(counts_over_captures_are_those_of_tshark)
{
    help_captures_or_skip();
    uint32_t cap = 8u << 20;
    char *text = malloc(cap);
    assert_non_null(text);
    for (unsigned i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
        const struct fact *f = &facts[i];
        struct help_capture capture;
        if (!help_capture_read(&capture, f->file))
            continue;
        if (f->mend)
            help_capture_mend(&capture);
        help_chain_open(&h, MONITOR("max_flows: 100000, timeout: 604800"), NULL, i);
        run_capture(&capture);
        help_chain_show(&h, "monitor", text, cap);
        print_message("# %s\n", f->file);
        help_chain_counts(&h, "monitor: packets %lu, bytes %lu", f->packets, f->bytes);
        help_chain_counts(&h, "monitor: tcp_packets %lu, tcp_bytes %lu", f->tcp_packets, f->tcp_bytes);
        help_chain_counts(&h, "monitor: udp_packets %lu, udp_bytes %lu", f->udp_packets, f->udp_bytes);
        help_chain_counts(&h, "monitor: ipv6 %lu, arp %lu", f->ipv6, f->arp);
        assert_int_equal(count_text(text, "\"proto\":\"tcp\""), f->tcp_flows);
        assert_int_equal(count_text(text, "\"proto\":\"udp\""), f->udp_flows);
        if (i == 0) /* one flow in detail */
            assert_int_equal(count_text(text, "\"from\":\"128.2.6.136:46571\",\"to\":\"173.194.75.103:80\","
                                              "\"packets\":32,\"bytes\":2157,\"back_packets\":35,"
                                              "\"back_bytes\":47016"),
                             1);
        help_capture_free(&capture);
    }
    free(text);
}

/* Two NFs that count: one is cleared, then both; what is no counter stays. */
CHAIN_TEST(counters_are_cleared_and_nothing_else)
{
    const struct nft_spec spec = {.src = 1, .dst = 2, .sport = 3, .dport = 4, .proto = 17, .payload = 100};
    help_chain_open(&h, "    - monitor\n    - forward\n", NULL, 1);
    assert_true(help_chain_spec(&h, NF_INSIDE, &spec, NULL));
    assert_int_equal(help_chain_command(&h, "clear counters nobody"), FT_ENOENT);
    assert_int_equal(help_chain_command(&h, "clear counters monitor"), FT_OK);
    help_chain_counts(&h, "monitor: packets 0, flows_created 0, forward: packets 1");
    assert_int_equal(help_chain_rows(&h, "monitor"), 1);
    assert_true(help_chain_spec(&h, NF_INSIDE, &spec, NULL));
    assert_int_equal(help_chain_command(&h, "clear counters"), FT_OK);
    help_chain_counts(&h, "monitor: packets 0, forward: packets 0");
}
