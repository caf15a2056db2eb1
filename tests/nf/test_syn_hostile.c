/* SPDX-License-Identifier: Apache-2.0 */
/* syn_proxy and those who know a connection's ends but not its numbers, forge addresses, or hide a header;
 * and ends that have lost a connection. Over both families. */
#include "nflib/nf.h"
#include "tests/help/frame.h"
#include "tests/help/tcp.h"
#include "tests/help/test.h"

#define WALL "    - firewall: { rules: firewall.rules, loose: false, ipv6: true }\n"

CHAIN_TEST(what_is_damaged_is_not_answered)
{
    uint32_t cookie, len;

    syn_open(PROXY());
    len = syn_make(true, 1000, NFT_SYN, ISN, 0, 0);
    syn_tcp(syn_frame)[15] ^= 1;
    assert_false(syn_send_frame(true, len));
    assert_true(syn_nothing_made());
    cookie = syn_cookie(1000);
    syn_acknowledge(1000, cookie);
    len = syn_make(false, 1000, NFT_SYN | NFT_ACK, SERVER_ISN, ISN + 1, 0);
    syn_tcp(syn_frame)[7] ^= 1;
    assert_false(syn_send_frame(false, len));
    /* Data, which records do not have. */
    assert_false(syn_send(false, 1000, NFT_SYN | NFT_ACK, SERVER_ISN, ISN + 1, 1));
    assert_int_equal(syn_counter("malformed"), 3);
    syn_accept(1000, cookie, SERVER_ISN);
}

/* A client of TCP Fast Open that has a cookie of the server's from before (RFC 7413, 3): its SYN alone is
 * acknowledged, and it sends its data again, at once with its ACK or later. */
CHAIN_TEST(data_in_a_syn_come_again)
{
    struct syn_said said;

    syn_open(PROXY());
    for (uint16_t data = 1; data <= 1400; data += 1399) {
        assert_false(syn_send(true, 1000 + data, NFT_SYN, ISN, 0, data));
        said = syn_said(syn_made(NF_OUTSIDE));
        assert_int_equal(said.flags, NFT_SYN | NFT_ACK);
        assert_int_equal(said.ack, ISN + 1);
        assert_int_equal(said.data, 0);
        assert_true(syn_send(true, 1000 + data, NFT_ACK, ISN + 1, said.seq + 1, data));
        assert_int_equal(syn_said(syn_frame).flags, NFT_SYN);
        assert_int_equal(syn_said(syn_frame).seq, ISN);
        assert_int_equal(syn_said(syn_frame).data, 0);
        syn_accept(1000 + data, said.seq, SERVER_ISN);
        assert_true(syn_send(true, 1000 + data, NFT_ACK, ISN + 1, said.seq + 1, data));
        assert_int_equal(syn_seq(), ISN + 1);
        assert_int_equal(syn_acked(), SERVER_ISN + 1);
    }
    assert_int_equal(syn_counter("malformed"), 0);
}

CHAIN_TEST(nobody_answers_to_what_is_no_host)
{
    static const uint8_t ipv4[][4] = {{127, 0, 0, 1},       {0, 0, 0, 0},   {224, 0, 0, 1},
                                      {255, 255, 255, 255}, {240, 0, 0, 1}, {10, 0, 0, 5}};
    static const uint8_t ipv6[][16] = {{[15] = 1},
                                       {0},
                                       {0xff, 2, [15] = 1},
                                       {[10] = 0xff, 0xff, 1, 2, 3, 4},
                                       {0x20, 1, 0xd, 0xb8, [15] = 5}};
    uint32_t n = syn_ipv6 ? 5 : 6;

    syn_open(PROXY());
    for (uint32_t i = 0; i < n + 2; i++) {
        uint32_t len = syn_make(true, 1000, NFT_SYN, ISN, 0, 0);

        if (i >= n)
            syn_frame[i == n ? 0 : 6] |= 1; /* a group of stations */
        else if (syn_ipv6)
            memcpy(syn_frame + 22, ipv6[i], 16);
        else
            memcpy(syn_frame + 26, ipv4[i], 4);
        nft_ip_checksum(syn_frame, len);
        help_segment_seal(syn_frame);
        assert_false(syn_send_frame(true, len));
        assert_true(syn_nothing_made());
        assert_int_equal(syn_counter("martian"), i + 1);
    }
    syn_cookie(1000);
}

/* Turns syn_frame's packet into a fragment, at `offset` bytes, of n bytes of it. The frame's length. */
static uint32_t fragment(uint32_t offset, uint32_t n, bool more)
{
    static const uint8_t header[8] = {6, [7] = 7};
    uint8_t *ip = syn_frame + 14;

    if (!syn_ipv6) {
        memmove(ip + 20, ip + 20 + offset, n);
        ip[2] = 0;
        ip[3] = (uint8_t)(20 + n);
        ip[6] = (uint8_t)(more ? 0x20 : 0);
        ip[7] = (uint8_t)(offset / 8);
        nft_ip_checksum(syn_frame, 60);
        return n < 26 ? 60 : 34 + n;
    }
    memmove(ip + 48, ip + 40 + offset, n);
    memcpy(ip + 40, header, sizeof(header));
    ip[43] = (uint8_t)(offset | more);
    ip[5] = (uint8_t)(8 + n);
    ip[6] = 44;
    return 14 + 48 + n;
}

static bool send_part(uint8_t flags, uint32_t offset, uint32_t n, bool more)
{
    syn_make(true, 1000, flags, ISN, 0, 36);
    return syn_send_frame(true, fragment(offset, n, more));
}

/* Fragments that would be a SYN at the server. */
CHAIN_TEST(a_header_in_pieces_reaches_no_server)
{
    uint32_t cookie;

    syn_open(PROXY());
    assert_false(send_part(NFT_SYN, 0, 8, true));
    assert_false(send_part(NFT_SYN, 0, 16, true));
    assert_int_equal(syn_counter("malformed"), 2);
    assert_false(send_part(NFT_SYN, 8, 16, false));
    assert_false(send_part(NFT_SYN, 24, 8, false));
    assert_int_equal(syn_counter("fragment_unknown"), 2);
    syn_make(true, 1000, NFT_SYN, ISN, 0, 0);
    syn_tcp(syn_frame)[12] = 0x40; /* a header of 16 bytes */
    assert_false(syn_send_frame(true, syn_ipv6 ? 74 : 60));
    assert_int_equal(syn_counter("malformed"), 3);
    cookie = syn_connect(1000); /* those of a connection pass, once the first has */
    syn_make(true, 1000, NFT_ACK, ISN + 1, cookie + 1, 36);
    assert_true(syn_send_frame(true, fragment(0, 32, true)));
    syn_make(true, 1000, NFT_ACK, ISN + 1, cookie + 1, 36);
    assert_true(syn_send_frame(true, fragment(32, 24, false)));
    assert_int_equal(syn_counter("fragment_unknown"), 2);
}

/* Puts options for the destination in front of syn_frame's TCP, over IPv6; the frame's length. */
static uint32_t put_options(uint32_t len)
{
    static const uint8_t options[8] = {6, 0, 1, 4};

    memmove(syn_frame + 62, syn_frame + 54, 20);
    memcpy(syn_frame + 54, options, sizeof(options));
    syn_frame[20] = 60;
    syn_frame[19] = 28;
    return len + 8;
}

/* Options for the destination in front of TCP: read as far as the node reads them, else it hides a port. */
CHAIN_TEST(behind_extension_headers_is_a_port)
{
    uint32_t len, cookie;

    syn_open(PROXY());
    if (!syn_ipv6)
        return;
    assert_false(syn_send_frame(true, put_options(syn_make(true, 1000, NFT_SYN, ISN, 0, 0))));
    cookie = syn_said(syn_made(NF_OUTSIDE)).seq;
    assert_true(syn_send_frame(true, put_options(syn_make(true, 1000, NFT_ACK, ISN + 1, cookie + 1, 0))));
    assert_int_equal(syn_frame[62 + 13], NFT_SYN);
    assert_int_equal(syn_frame[19], 28);
    memmove(syn_frame + 54, syn_frame + 62, 20); /* the header's sum is as without them */
    syn_frame[20] = 6;
    syn_frame[19] = 20;
    assert_true(help_segment_is_right(syn_frame, 74));
    len = put_options(syn_make(true, 1000, NFT_SYN, ISN, 0, 0));
    syn_frame[55] = 64; /* it says that it is 520 bytes */
    assert_false(syn_send_frame(true, len));
    assert_int_equal(syn_counter("malformed"), 1);
}

/* A reset out of the window ends nothing: not at once, nor ten seconds later as what is closed. */
CHAIN_TEST(a_reset_that_knows_no_number_is_not_believed)
{
    uint32_t cookie = syn_open_connected(WALL PROXY());

    assert_true(syn_send(true, 1000, NFT_ACK, ISN + 1, cookie + 1, 100));
    assert_false(syn_send(true, 1000, NFT_RST, ISN + 0x40000, 0, 0));
    assert_false(syn_send(true, 1000, NFT_RST | NFT_ACK, ISN + 1, cookie + 0x40000, 0));
    assert_false(syn_send(true, 1000, NFT_FIN | NFT_ACK, ISN - 0x40000, cookie + 1, 0));
    assert_false(syn_send(true, 1000, NFT_FIN, ISN + 1, 0, 0));
    assert_false(syn_send(false, 1000, NFT_RST, SERVER_ISN + 0x40000, 0, 0));
    assert_false(syn_send(false, 1000, NFT_RST, 0x70000000, 0, 0));
    assert_false(syn_send(false, 1000, NFT_FIN | NFT_ACK, SERVER_ISN + 1, ISN + 0x40000, 0));
    assert_false(syn_send(false, 1000, NFT_SYN | NFT_ACK, SERVER_ISN + 2, ISN + 1, 0));
    assert_false(syn_send(false, 1000, NFT_ACK | NFT_PSH, SERVER_ISN - 0x40000, ISN + 1, 30));
    assert_int_equal(syn_counter("invalid"), 9);
    help_chain_has(&syn_chain, "syn_proxy", "\"state\":\"open\",\"tcp\":\"established\"");
    help_chain_wait_tenths(&syn_chain, 600);
    assert_int_equal(syn_sessions(), 1);
    assert_true(syn_send(false, 1000, NFT_RST, SERVER_ISN + 1, 0, 0));
    assert_int_equal(syn_seq(), cookie + 1);
    help_chain_has(&syn_chain, "syn_proxy", "\"tcp\":\"reset\"");
    help_chain_wait_tenths(&syn_chain, 2400);
    assert_int_equal(syn_sessions(), 0);
}

/* The same in one burst with what is of the connection. */
CHAIN_TEST(a_burst_with_a_forged_reset)
{
    static uint8_t frames[3][NFT_FRAME_MAX];
    struct nf_packet packets[3];
    uint32_t cookie = syn_open_connected(WALL PROXY());

    assert_true(syn_send(true, 1000, NFT_ACK, ISN + 1, cookie + 1, 100));
    memset(packets, 0, sizeof(packets));
    for (unsigned i = 0; i < 3; i++) {
        bool forged = i < 2;
        uint32_t len = syn_make(true, 1000, forged ? NFT_RST : NFT_ACK, forged ? ISN + 0x40000 : ISN + 101,
                                forged ? 0 : cookie + 1, 0);

        memcpy(frames[i], syn_frame, len);
        packets[i].data = frames[i];
        packets[i].len = packets[i].have = len;
        packets[i].side = packets[i].in_port = NF_OUTSIDE;
    }
    help_chain_run(&syn_chain, syn_chain.now, packets, 3);
    assert_true(packets[0].drop && packets[1].drop && !packets[2].drop);
    help_chain_has(&syn_chain, "syn_proxy", "\"state\":\"open\",\"tcp\":\"established\"");
}

/* While the server has not answered, a reset of either end is believed by its number alone. */
CHAIN_TEST(an_opening_is_ended_by_its_ends)
{
    uint32_t cookie = syn_open_asking(WALL PROXY());

    assert_false(syn_send(true, 1000, NFT_RST, ISN + 9, 0, 0));
    assert_false(syn_send(true, 1000, NFT_ACK, ISN + 9, cookie + 1, 0));
    assert_false(syn_send(false, 1000, NFT_RST, 0, ISN + 1, 0));
    assert_false(syn_send(false, 1000, NFT_RST | NFT_ACK, 0, ISN + 2, 0));
    assert_int_equal(syn_counter("invalid"), 4);
    help_chain_has(&syn_chain, "syn_proxy", "\"state\":\"opening\",\"tcp\":\"syn-sent\"");
    assert_true(syn_send(true, 1000, NFT_RST, ISN + 1, 0, 0));
    help_chain_has(&syn_chain, "syn_proxy", "\"state\":\"opening\",\"tcp\":\"closed\"");
}

/* Both ends begin at once (RFC 9293, 3.5): the server's SYN waits, its SYN-ACK is the answer. */
CHAIN_TEST(both_ends_begin)
{
    uint32_t cookie = syn_open_asking(WALL PROXY());

    assert_false(syn_send(false, 1000, NFT_SYN, SERVER_ISN, 0, 0));
    syn_accept(1000, cookie, SERVER_ISN);
    assert_true(syn_send(true, 1000, NFT_ACK, ISN + 1, cookie + 1, 10));
    help_chain_has(&syn_chain, "syn_proxy", "\"state\":\"open\",\"tcp\":\"established\"");
}

/* The server has an older connection of these ends, which its client has lost: it says so, is reset with the
 * number that it expects, and asked again; each time the client is made to speak. */
CHAIN_TEST(a_server_gives_up_an_older_connection)
{
    uint32_t cookie = syn_open_asking(WALL PROXY());

    for (uint32_t turn = 1; turn < 3; turn++) {
        assert_false(syn_send(false, 1000, NFT_ACK, 7000, 9000 + turn, 0));
        syn_probed(cookie, 0);
        assert_int_equal(syn_counter("challenged"), turn);
        help_chain_has(&syn_chain, "syn_proxy", "\"state\":\"stale\",\"tcp\":\"syn-sent\"");
        assert_true(syn_send(true, 1000, NFT_ACK, ISN + 1, cookie + 1, 0));
        assert_int_equal(syn_said(syn_frame).flags, NFT_RST);
        assert_int_equal(syn_seq(), 9000 + turn);
        syn_probed(cookie, 0);
        syn_acknowledge(1000, cookie);
    }
    syn_accept(1000, cookie, SERVER_ISN);
    assert_true(syn_send(true, 1000, NFT_ACK, ISN + 1, cookie + 1, 10));
    help_chain_has(&syn_chain, "syn_proxy", "\"state\":\"open\",\"tcp\":\"established\"");
    assert_int_equal(syn_counter("opened"), 1);
}

/* The client has lost the connection, and begins one on the same ports: it proves itself again. A SYN that is
 * not its own leaves the connection as it is. */
CHAIN_TEST(a_client_begins_anew)
{
    uint32_t cookie = syn_open_connected(WALL PROXY()), other;

    assert_true(syn_send(true, 1000, NFT_ACK, ISN + 1, cookie + 1, 100));
    ISN += 0x1000000;
    other = syn_cookie(1000);
    ISN -= 0x1000000;
    assert_true(syn_send(true, 1000, NFT_ACK, ISN + 101, cookie + 1, 100));
    help_chain_has(&syn_chain, "syn_proxy", "\"state\":\"open\",\"tcp\":\"established\"");
    ISN += 0x1000000;
    syn_acknowledge(1000, other);
    help_chain_has(&syn_chain, "syn_proxy", "\"state\":\"opening\",\"tcp\":\"syn-sent\"");
    syn_accept(1000, other, 77);
    assert_true(syn_send(true, 1000, NFT_ACK, ISN + 1, other + 1, 10));
    assert_int_equal(syn_acked(), 78);
    help_chain_has(&syn_chain, "syn_proxy", "\"state\":\"open\",\"tcp\":\"established\"");
}

/* syn_proxy's cookies: no state before one comes back, what is none, how long one is good, what it says. */

/* The vector of SipHash's paper, appendix A. */
CHAIN_TEST(the_hash_is_siphash)
{
    const uint64_t key[2] = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
    uint8_t message[15];

    for (unsigned i = 0; i < sizeof(message); i++)
        message[i] = (uint8_t)i;
    assert_true(nf_siphash(key, message, sizeof(message)) == 0xa129ca6149be45e5);
}

CHAIN_TEST(a_flood_of_syns_makes_no_state)
{
    static uint64_t before;

    syn_open("    - firewall: { rules: firewall.rules, max_flows: 4, ipv6: true }\n" PROXY(", max_flows: 4"));
    syn_cookie(1);
    before = help_chain_digest(&syn_chain);
    for (uint16_t port = 1; port < 2000; port++)
        syn_cookie(port);
    assert_int_equal(syn_counter("answered"), 2000);
    assert_int_equal(syn_sessions(), 0);
    assert_int_equal(help_chain_counter(&syn_chain, "firewall", "connections_created"), 0);
    assert_true(before != help_chain_digest(&syn_chain)); /* its counters */
    syn_acknowledge(1999, syn_cookie(1999));
    assert_int_equal(syn_sessions(), 1);
}

CHAIN_TEST(what_is_no_cookie_is_dropped)
{
    uint32_t cookie;

    syn_open(PROXY());
    cookie = syn_cookie(1000);
    assert_false(syn_send(true, 1001, NFT_ACK, ISN + 1, cookie + 1, 0));
    assert_false(syn_send(true, 1000, NFT_ACK, ISN + 2, cookie + 1, 0));
    assert_false(syn_send(true, 1000, NFT_ACK, ISN + 1, cookie + 2, 0));
    assert_false(syn_send(true, 1000, NFT_ACK, ISN + 1, cookie + 9, 0));
    assert_false(syn_send(true, 1000, NFT_ACK | NFT_RST, ISN + 1, cookie + 1, 0));
    assert_false(syn_send(true, 1000, NFT_FIN, ISN + 1, cookie + 1, 0));
    assert_int_equal(syn_counter("invalid"), 6);
    assert_int_equal(syn_sessions(), 0);
    syn_acknowledge(1000, cookie);
}

CHAIN_TEST(a_cookie_is_good_for_a_while)
{
    uint32_t cookie;

    syn_open(PROXY());
    cookie = syn_cookie(1000);
    help_chain_wait_tenths(&syn_chain, 1279);
    syn_acknowledge(1000, cookie);
    syn_open(PROXY());
    cookie = syn_cookie(1000);
    syn_cookie(1001);
    help_chain_wait_tenths(&syn_chain, 641);
    syn_cookie(1002); /* a new secret; the one before is known */
    help_chain_wait_tenths(&syn_chain, 639);
    syn_acknowledge(1000, cookie);
    cookie = syn_cookie(1003);
    help_chain_wait_tenths(&syn_chain, 1281);
    assert_false(syn_send(true, 1003, NFT_ACK, ISN + 1, cookie + 1, 0));
}

/* A syn_frame that no link has filled to 60 bytes has no room for the server's MSS. */
CHAIN_TEST(a_short_frame_becomes_a_syn_without_an_option)
{
    uint32_t cookie;
    struct nft_spec s = {.src = C, .dst = S, .sport = 1000, .dport = 80, .proto = 6, .tcp = NFT_ACK};

    syn_open(PROXY());
    if (syn_ipv6) /* it never has */
        return;
    cookie = syn_cookie(1000);
    nft_frame(&s, syn_frame);
    help_put32(syn_frame + 38, ISN + 1);
    help_put32(syn_frame + 42, cookie + 1);
    nft_readdress(syn_frame, 54, C, 1000, S, 80);
    syn_frame[54] = 0x77;
    assert_int_equal(help_chain_send(&syn_chain, NF_OUTSIDE, syn_frame, 54).drop, 0);
    assert_null(nft_checksums(syn_frame, 54));
    assert_int_equal(syn_said(syn_frame).flags, NFT_SYN);
    assert_int_equal(syn_said(syn_frame).mss, 0);
    assert_int_equal(syn_frame[54], 0x77);
}

/* The option of a SYN, behind others, and what is known of it from the cookie. */
CHAIN_TEST(the_clients_mss_comes_back)
{
    static const struct {
        uint8_t option[8];
        uint16_t known;
    } rows[] = {{{2, 4, 0x05, 0xb4, 1, 1, 1, 0}, 1460}, {{1, 1, 2, 4, 0x05, 0xb3, 1, 0}, 1440},
                {{4, 2, 2, 4, 0x23, 0x28, 0, 0}, 1460}, {{2, 4, 0, 10, 0, 0, 0, 0}, 64},
                {{0, 0, 2, 4, 0x05, 0xb4, 0, 0}, 0},    {{3, 0, 2, 4, 0x05, 0xb4, 0, 0}, 0},
                {{3, 9, 2, 4, 0x05, 0xb4, 0, 0}, 0},    {{1, 1, 1, 1, 1, 1, 1, 2}, 0}};
    const uint16_t without = syn_ipv6 ? 1220 : 536; /* RFC 9293, 3.7.1 */

    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint32_t cookie, len;

        syn_open(PROXY());
        len = syn_make(true, 1000, NFT_SYN, ISN, 0, 8);
        syn_tcp(syn_frame)[12] = 0x70;
        memcpy(syn_tcp(syn_frame) + 20, rows[i].option, 8);
        help_segment_seal(syn_frame);
        assert_false(syn_send_frame(true, len));
        cookie = syn_said(syn_made(NF_OUTSIDE)).seq;
        len = syn_make(true, 1000, NFT_ACK, ISN + 1, cookie + 1, 4); /* an ACK with options has room */
        syn_tcp(syn_frame)[12] = 0x60;
        help_segment_seal(syn_frame);
        assert_true(syn_send_frame(true, len));
        assert_true(help_segment_is_right(syn_frame, len));
        assert_int_equal(syn_said(syn_frame).mss, rows[i].known ? rows[i].known : without);
    }
}

CHAIN_TEST(other_packets_pass)
{
    struct nft_spec s = {.src = C, .dst = S, .sport = 1, .dport = 79, .proto = 6, .tcp = NFT_SYN};

    syn_open(PROXY());
    assert_true(help_chain_spec(&syn_chain, NF_OUTSIDE, &s, NULL));
    s.dport = 80;
    s.dst = S + 256;
    assert_true(help_chain_spec(&syn_chain, NF_OUTSIDE, &s, NULL));
    s.dst = S;
    s.proto = 17;
    assert_true(help_chain_spec(&syn_chain, NF_OUTSIDE, &s, NULL));
    assert_int_equal(syn_sessions(), 0);
}

int main(void)
{
    return help_tests_run_twice("over_ipv6", syn_over_ipv6);
}
