/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vlan_qos: which packets are of which class, what they are marked with in both families and in VLAN tags, a
 * flow's class from its first packet to its end, files that are refused, a change of the file. Facts of
 * captures are tshark's (vlan.id, vlan.priority, ip.dsfield.dscp, tcp.stream).
 */
#include "tests/help/chain.h"
#include "tests/help/test.h"

#define QOS   "    - vlan_qos: { rules: firewall.rules, max_flows: 200, timeout: 60 }\n"
#define HOST  NFT_IP(10, 1, 2, 3)
#define PHONE NFT_IP(198, 51, 100, 7)

static const char rules[] = "class voice dscp ef pcp 5\n"
                            "class video dscp af41 pcp 4\n"
                            "class bulk dscp 8 # and no PCP\n"
                            "class tagged pcp 2\n"
                            "match voice dscp ef,44\n"
                            "match voice in udp from 198.51.100.0/24 port 5060,16384-32767\n"
                            "match video out vlan 20 pcp 3\n"
                            "match video udp to 2001:db8:5::/48 port 554\n"
                            "match bulk out tcp to any port 873\n"
                            "match tagged vlan 100\n"
                            "match bulk in icmp type 0\n"
                            "match tagged pcp 7\n";

static struct help_chain h;
static uint8_t frame[NFT_FRAME_MAX];

/* ---- frames with a type of service, and tags ---- */

static uint32_t make(const struct nft_spec *spec, uint8_t tos)
{
    uint32_t len = nft_frame(spec, frame);

    frame[14 + 4 * spec->tags + 1] = tos;
    nft_ip_checksum(frame, len);
    return len;
}

/* The type of service, or the traffic class, that it leaves with; its checksums are right. */
static unsigned sent(uint8_t side, uint32_t len)
{
    struct nf_packet p = help_chain_send(&h, side, frame, len);

    assert_int_equal(p.drop, 0);
    assert_null(nft_checksums(frame, len));
    return p.flags & NF_P_IPV4 ? frame[p.l3 + 1] : (unsigned)((frame[p.l3] & 15) << 4 | frame[p.l3 + 1] >> 4);
}

static unsigned udp(uint8_t side, uint32_t src, uint16_t sport, uint32_t dst, uint16_t dport, uint8_t tos)
{
    return sent(side, make(&HELP_PACKET(17, src, sport, dst, dport, .payload = 20), tos));
}

/* ---- tests ---- */

CHAIN_TEST(the_first_packet_says_the_class_of_the_flow)
{
    assert_int_equal(udp(NF_INSIDE, HOST, 9, PHONE, 10, 0xb8 | 1), 0xb8 | 1); /* ECN's bits stay */
    assert_int_equal(udp(NF_INSIDE, HOST, 9, PHONE, 10, 3), 0xb8 | 3);
    assert_int_equal(udp(NF_OUTSIDE, PHONE, 10, HOST, 9, 0x22), 0xb8 | 2);
    assert_int_equal(udp(NF_INSIDE, HOST, 8, PHONE, 10, 0x20), 0x20); /* another flow, no class */
    assert_int_equal(udp(NF_INSIDE, HOST, 8, PHONE, 10, 0xb8), 0xb8);
    assert_int_equal(udp(NF_OUTSIDE, PHONE, 10, HOST, 8, 0), 0);
    help_chain_counts(&h, "vlan_qos: classified 3, unclassified 3, marked_dscp 2, flows_created 2");
    help_chain_has(&h, "vlan_qos", "{\"class\":\"voice\",\"dscp\":46,\"pcp\":5,\"packets\":3,\"bytes\":186}");
    help_chain_has(&h, "vlan_qos", "\"to\":\"198.51.100.7:10\",\"of_class\":\"voice\"");
    help_chain_idle(&h, h.now + 62 * HELP_SECOND); /* both flows end */
    help_chain_counts(&h, "vlan_qos: flows_expired 2");
    assert_int_equal(udp(NF_OUTSIDE, PHONE, 10, HOST, 9, 0), 0);
    assert_int_equal(udp(NF_INSIDE, HOST, 8, PHONE, 10, 0xb0), 0xb8); /* DSCP 44 */
}

CHAIN_TEST(rules_name_sides_protocols_prefixes_and_ports)
{
    struct nft_spec tcp = {.src = HOST, .dst = PHONE, .sport = 1, .dport = 873, .proto = 6, .tcp = NFT_SYN};

    assert_int_equal(udp(NF_OUTSIDE, PHONE, 5060, HOST, 1, 0), 0xb8);
    assert_int_equal(udp(NF_OUTSIDE, PHONE, 20000, HOST, 1, 0), 0xb8);
    assert_int_equal(udp(NF_OUTSIDE, PHONE, 5061, HOST, 1, 0), 0);
    assert_int_equal(udp(NF_INSIDE, PHONE, 5060, HOST, 2, 0), 0);
    assert_int_equal(udp(NF_OUTSIDE, NFT_IP(198, 51, 101, 7), 5060, HOST, 1, 0), 0);
    assert_int_equal(sent(NF_INSIDE, make(&tcp, 0)), 0x20);
    tcp.sport = 2;
    assert_int_equal(sent(NF_OUTSIDE, make(&tcp, 0)), 0);
    tcp.dst = HOST;
    tcp.src = PHONE;
    tcp.sport = 873;
    tcp.dport = 1;
    tcp.tcp = NFT_SYN | NFT_ACK;
    assert_int_equal(sent(NF_OUTSIDE, make(&tcp, 0)), 0x20); /* the answer of the first */
    tcp.tcp = NFT_RST;
    assert_int_equal(sent(NF_OUTSIDE, make(&tcp, 0)), 0x20);
    tcp.tcp = NFT_SYN; /* another connection with the same ends, begun by the other */
    assert_int_equal(sent(NF_OUTSIDE, make(&tcp, 0)), 0);
    help_chain_counts(&h, "vlan_qos: flows_created 7");
}

CHAIN_TEST(tags_are_looked_at_and_marked)
{
    struct nft_spec spec = HELP_PACKET(17, HOST, 7, PHONE, 7, .tags = 2, .payload = 20);
    uint32_t len;

    len = make(&spec, 0);
    help_put16(frame + 14, 0x7014); /* PCP 3, DEI, VLAN 20; the inner tag is of VLAN 101 */
    assert_int_equal(sent(NF_INSIDE, len), 0x88);
    assert_int_equal(help_get16(frame + 14), 0x9014);
    assert_int_equal(help_get16(frame + 18), 101);
    spec.tags = 1;
    spec.sport = 8;
    len = make(&spec, 0x04);
    help_put16(frame + 14, 0x4014); /* PCP 2: no rule */
    assert_int_equal(sent(NF_INSIDE, len), 0x04);
    assert_int_equal(help_get16(frame + 14), 0x4014);
    spec.sport = 9;
    len = make(&spec, 0x04); /* VLAN 100 */
    assert_int_equal(sent(NF_INSIDE, len), 0x04);
    assert_int_equal(help_get16(frame + 14), 0x4064);
    help_put16(frame + 14, 0x4064); /* has it already */
    assert_int_equal(sent(NF_INSIDE, len), 0x04);
    spec.sport = 10;
    len = make(&spec, 0x04);
    help_put16(frame + 14, 0xe005);
    assert_int_equal(sent(NF_INSIDE, len), 0x04);
    assert_int_equal(help_get16(frame + 14), 0x4005);
    help_chain_counts(&h, "vlan_qos: marked_pcp 3, marked_dscp 1");
}

CHAIN_TEST(what_is_no_ip_has_a_class_by_its_tag)
{
    static const uint8_t arp[60] = {[12] = 0x81, [15] = 100, [16] = 8, [17] = 6, 0, 1, 8, 0, 6, 4};
    static const uint8_t other[60] = {[12] = 0x81, [15] = 100, [16] = 0x88, [17] = 0xb5};

    memcpy(frame, arp, sizeof(arp));
    assert_int_equal(help_chain_send(&h, NF_OUTSIDE, frame, sizeof(arp)).drop, 0);
    assert_int_equal(frame[14], 0x40);
    memcpy(frame, other, sizeof(other));
    assert_int_equal(help_chain_send(&h, NF_OUTSIDE, frame, sizeof(other)).drop, 0);
    assert_int_equal(frame[14], 0x40);
    frame[12] = 0x88; /* no tag */
    frame[13] = 0xb5;
    assert_int_equal(help_chain_send(&h, NF_OUTSIDE, frame, sizeof(other)).drop, 0);
    help_chain_counts(&h, "vlan_qos: classified 2, unclassified 1");
}

static unsigned udp6(uint8_t side, const char *from, uint16_t sport, const char *to, uint16_t dport,
                     uint8_t class)
{
    help_ipv6_header(frame + 14, 17, from, to, 16);
    frame[14] = (uint8_t)(0x60 | class >> 4);
    frame[15] = (uint8_t)(class << 4 | 0x0a); /* a flow label */
    memset(frame + 54, 0x5a, 16);
    help_put16(frame + 54, sport);
    help_put16(frame + 56, dport);
    help_put16(frame + 58, 16);
    help_put16(frame + 60, 0);
    help_put16(frame + 60, help_l4_checksum(frame + 14, 17, frame + 54, 16));
    assert_int_equal(help_ipv6_send(&h, side, frame, 70).drop, 0);
    assert_int_equal(frame[14] >> 4, 6);
    assert_int_equal(frame[15] & 15, 0x0a);
    assert_int_equal(help_l4_checksum(frame + 14, 17, frame + 54, 16), 0);
    return (unsigned)((frame[14] & 15) << 4 | frame[15] >> 4);
}

CHAIN_TEST(ipv6_is_as_ipv4)
{
    assert_int_equal(udp6(NF_INSIDE, "2001:db8::1", 5, "2001:db8:5::9", 554, 0x03), 0x8b);
    assert_int_equal(udp6(NF_OUTSIDE, "2001:db8:5::9", 554, "2001:db8::1", 5, 0xff), 0x8b);
    assert_int_equal(udp6(NF_OUTSIDE, "2001:db8:6::9", 554, "2001:db8::1", 5, 0xfc), 0xfc);
    assert_int_equal(udp6(NF_OUTSIDE, "2001:db8:6::9", 5060, "2001:db8::1", 5, 0xb8), 0xb8);
    help_chain_counts(&h, "vlan_qos: classified 3, marked_dscp 2");
}

/* In an error, and in a later fragment, no port can be read; both are of the flow. */
CHAIN_TEST(errors_and_fragments_are_of_the_flow)
{
    struct nft_spec first =
        HELP_PACKET(17, PHONE, 5060, HOST, 4, .ip_id = 77, .fragment = NFT_MORE, .payload = 96);
    struct nft_spec later = HELP_PACKET(17, PHONE, 0, HOST, 0, .ip_id = 77, .fragment = 13, .payload = 40);
    struct nft_spec error = {.src = HOST, .dst = PHONE, .proto = 1, .type = 3, .code = 3, .inner_len = 28};
    uint8_t quoted[28];

    assert_int_equal(sent(NF_OUTSIDE, make(&first, 0)), 0xb8);
    assert_int_equal(sent(NF_OUTSIDE, make(&later, 0)), 0xb8);
    later.ip_id = 78;
    assert_int_equal(sent(NF_OUTSIDE, make(&later, 0)), 0);
    later.proto = 1; /* its type is not there */
    assert_int_equal(sent(NF_OUTSIDE, make(&later, 0)), 0);
    first.fragment = 0;
    make(&first, 0);
    memcpy(quoted, frame + 14, sizeof(quoted));
    error.inner = quoted;
    assert_int_equal(sent(NF_INSIDE, make(&error, 0)), 0xb8);
    error.dst = PHONE + 1; /* not who sent what it quotes */
    assert_int_equal(sent(NF_INSIDE, make(&error, 0)), 0);
    error.dst = PHONE;
    help_put16(quoted + 22, 5); /* of no flow that is known */
    error.inner = quoted;
    assert_int_equal(sent(NF_INSIDE, make(&error, 0)), 0);
}

CHAIN_TEST(a_full_table_takes_packets_one_by_one)
{
    help_chain_begin(&h, "    - vlan_qos: { rules: firewall.rules, max_flows: 2 }\n", rules);
    for (uint16_t i = 0; i < 4; i++)
        assert_int_equal(udp(NF_OUTSIDE, PHONE, 5060, HOST, i, 0), 0xb8);
    help_chain_counts(&h, "vlan_qos: flows_created 2, flows_full 2");
    assert_int_equal(udp(NF_INSIDE, HOST, 1, PHONE, 5060, 0), 0xb8);
    assert_int_equal(udp(NF_INSIDE, HOST, 3, PHONE, 5060, 0), 0);
}

CHAIN_TEST(what_breaks_its_format_passes_as_it_is)
{
    struct nft_spec spec = {.src = PHONE, .dst = HOST, .sport = 5060, .dport = 1, .proto = 17, .payload = 20};
    uint32_t len;

    len = nft_frame(&spec, frame);
    frame[24] ^= 1;
    assert_int_equal(help_chain_send(&h, NF_OUTSIDE, frame, len).drop, 0);
    assert_int_equal(frame[15], 0);
    help_chain_counts(&h, "vlan_qos: malformed 1");
}

/* A flow is judged anew by its next packet; counts go with the name of a class. */
CHAIN_TEST(the_file_changes_under_flows)
{
    static const char other[] =
        "class bulk dscp 8\nclass voice dscp cs5\nmatch voice udp from any port 5060\n";
    struct ft_fault fault = {""};

    assert_int_equal(udp(NF_OUTSIDE, PHONE, 5060, HOST, 1, 0), 0xb8);
    assert_int_equal(udp(NF_OUTSIDE, PHONE, 5060, HOST, 2, 0), 0xb8);
    assert_int_equal(help_change(&h, QOS, other, &fault), 0);
    assert_int_equal(udp(NF_OUTSIDE, PHONE, 5060, HOST, 1, 0), 0xa0);
    assert_int_equal(udp(NF_INSIDE, HOST, 1, PHONE, 5060, 0), 0xa0);
    help_chain_has(&h, "vlan_qos", "{\"class\":\"voice\",\"dscp\":40,\"pcp\":\"as it is\",\"packets\":4,");
    help_chain_has(&h, "vlan_qos", "\"to\":\"10.1.2.3:2\",\"of_class\":\"not judged anew yet\"");
    assert_int_equal(udp(NF_INSIDE, HOST, 2, PHONE, 5060, 4), 4); /* by this packet: no class */
    help_chain_counts(&h, "vlan_qos: flows_created 2");
    assert_int_equal(help_chain_command(&h, "clear vlan_qos"), 0);
    assert_int_equal(udp(NF_OUTSIDE, PHONE, 5060, HOST, 2, 4), 0xa0);
    assert_int_equal(help_chain_command(&h, "set vlan_qos timeout=5"), 0);
    assert_int_equal(help_chain_command(&h, "set vlan_qos voice=5"), FT_ENOENT);
    assert_int_equal(help_chain_command(&h, "clear vlan_qos voice"), FT_ENOENT);
}

static void refused(const char *text, const char *expected)
{
    help_chain_refuses_rules(QOS, text, expected);
}

CHAIN_TEST(bad_files_are_refused)
{
    refused("class a\nclass a\n", "firewall.rules:2: 'a', expected a name that no class before has");
    refused("class a+b\n", ":1: 'a+b', expected a class's name");
    refused("class a dscp af44\n", "'af44', expected a DSCP");
    refused("class a dscp 64\n", "'64', expected a DSCP");
    refused("class a pcp 8\n", "'8', expected a PCP, 0 to 7");
    refused("class a pcp\n", "the line ends, expected a PCP");
    refused("class a pcp 1 dscp ef\n", "'dscp', expected dscp DSCP, pcp PCP or the end of the line");
    refused("match a udp\n", ":1: 'a', expected the name of a class in a line before");
    refused("class a\nmatch a vlan 4095\n", ":2: '4095', expected a VLAN, 0 to 4094");
    refused("class a\nmatch a dscp ef,x\n", "'x', expected DSCPs such as ef,af41,0, or any");
    refused("class a\nmatch a in frm 10.0.0.0/8\n", "'frm', expected in, out, tcp");
    refused("class a\nmatch a udp to any port 0-65536\n", "expected ports such as");
    refused("default voice\n", "'default', expected class or match");
}

/* ---- captures ---- */

CHAIN_TEST(captures_have_the_classes_that_tshark_finds)
{
    static const char by_tag[] = "class seen dscp cs2 pcp 6\nmatch seen vlan 77\nmatch seen vlan 0 pcp 5\n";
    static const char by_dscp[] = "class seen dscp cs2\nmatch seen dscp 4,8,48\n";

    help_captures_or_skip();
    help_chain_begin(&h, QOS, by_tag);
    if (help_chain_same(&h, "bot.pcap", false)) {
        help_chain_counts(&h, "vlan_qos: classified 402, marked_pcp 402, marked_dscp 402");
    }
    if (help_chain_same(&h, "http-qinq.pcap", false)) {
        help_chain_counts(&h, "vlan_qos: classified 14, marked_pcp 14");
    }
    help_chain_begin(&h, QOS, by_dscp);
    /* Of 30 connections, each of which begins with a client's packet of DSCP 0, none has the class. */
    if (help_chain_same(&h, "ftp-bruteforce.pcap", false)) {
        help_chain_counts(&h, "vlan_qos: unclassified 606, flows_created 30");
    }
    help_chain_same(&h, "mixed.pcap", false);
    help_chain_same(&h, "1kxun.pcap", false);
    help_chain_same(&h, "badpackets.pcap", false);
    help_chain_same(&h, "gnutella.pcap", false);
    help_chain_same(&h, "ip_fragmented_garbage.pcap", false);
}

static void begin(void)
{
    help_chain_begin(&h, QOS, rules);
}

CHAIN_BEGINS(begin)
