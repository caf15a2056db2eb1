/* SPDX-License-Identifier: Apache-2.0 */
/* syn_proxy's connections: numbers of both ends, resets, errors, ports that are used again, full tables, a
 * peer's state. */
#include "nflib/session/index.h"
#include "tests/help/tcp.h"
#include "tests/help/nf.h"
#include "tests/help/test.h"

#define WALL "    - firewall: { rules: firewall.rules, loose: false, ipv6: true }\n"

static void assert_shows(unsigned port, const char *state)
{
    char text[160];

    snprintf(text, sizeof(text), "\"from\":\"%s:%u\",\"to\":\"%s:80\",%s",
             syn_ipv6 ? "[2001:db8::7]" : "198.51.100.7", port, syn_ipv6 ? "[2001:db8::5]" : "10.0.0.5",
             state);
    help_chain_has(&syn_chain, "syn_proxy", text);
}

/* Data of both ends, acknowledged by the other, past the end of the numbers. */
CHAIN_TEST(numbers_of_the_server_are_moved)
{
    uint32_t cookie = syn_open_connected(WALL PROXY()), sent = 1, back = 1;

    assert_true(syn_send(true, 1000, NFT_ACK, ISN + 1, cookie + 1, 0));
    assert_int_equal(syn_acked(), SERVER_ISN + 1);
    for (unsigned i = 0; i < 50; i++) {
        assert_true(syn_send(true, 1000, NFT_ACK | NFT_PSH, ISN + sent, cookie + back, 100));
        assert_int_equal(syn_seq(), ISN + sent);
        assert_int_equal(syn_acked(), SERVER_ISN + back);
        sent += 100;
        assert_true(syn_send(false, 1000, NFT_ACK, SERVER_ISN + back, ISN + sent, 1400));
        assert_int_equal(syn_seq(), cookie + back);
        assert_int_equal(syn_acked(), ISN + sent);
        back += 1400u << (i % 6);
    }
    assert_shows(1000, "\"state\":\"open\",\"tcp\":\"established\"");
    assert_int_equal(help_chain_counter(&syn_chain, "firewall", "invalid"), 0);
}

/* The client asks for its window, and the server's answer is lost: each asks the server once more. */
CHAIN_TEST(the_server_is_asked_until_it_answers)
{
    uint32_t cookie = syn_open_asking(PROXY());

    syn_acknowledge(1000, cookie);
    assert_true(syn_send(true, 1000, NFT_ACK, ISN, cookie + 1, 0));
    assert_int_equal(syn_said(syn_frame).flags, NFT_SYN);
    assert_int_equal(syn_said(syn_frame).seq, ISN);
    assert_false(syn_send(true, 1000, NFT_ACK, ISN, cookie + 2, 0));
    assert_false(syn_send(false, 1000, NFT_SYN | NFT_ACK, 77, 88, 0));
    help_chain_counts(&syn_chain, "syn_proxy: invalid 2, opened 1");
    syn_accept(1000, cookie, SERVER_ISN);
    syn_accept(1000, cookie, SERVER_ISN); /* it has not heard the client */
    assert_int_equal(syn_counter("connected"), 1);
}

CHAIN_TEST(a_server_that_refuses_resets_the_client)
{
    uint32_t cookie = syn_open_asking(PROXY());

    assert_true(syn_send(false, 1000, NFT_RST | NFT_ACK, 0, ISN + 1, 0));
    assert_int_equal(syn_seq(), cookie + 1);
    cookie = syn_cookie(1000);
    syn_acknowledge(1000, cookie); /* over: the same ports again */
    syn_accept(1000, cookie, 5);
}

CHAIN_TEST(ports_are_used_again)
{
    uint32_t cookie = syn_open_connected(WALL PROXY());

    assert_true(syn_send(true, 1000, NFT_ACK, ISN + 1, cookie + 1, 0));
    assert_true(syn_send(true, 1000, NFT_FIN | NFT_ACK, ISN + 1, cookie + 1, 0));
    assert_true(syn_send(false, 1000, NFT_FIN | NFT_ACK, SERVER_ISN + 1, ISN + 2, 0));
    assert_true(syn_send(true, 1000, NFT_ACK, ISN + 2, cookie + 2, 0));
    assert_int_equal(syn_acked(), SERVER_ISN + 2);
    help_chain_has(&syn_chain, "syn_proxy", "\"tcp\":\"time-wait\"");
    ISN += 64000;
    cookie = syn_cookie(1000);
    help_chain_has(&syn_chain, "syn_proxy", "\"tcp\":\"time-wait\"");
    syn_acknowledge(1000, cookie);
    help_chain_has(&syn_chain, "syn_proxy", "\"state\":\"opening\",\"tcp\":\"syn-sent\"");
    syn_accept(1000, cookie, 99);
    assert_true(syn_send(true, 1000, NFT_ACK, ISN + 1, cookie + 1, 0));
    assert_int_equal(syn_acked(), 100);
    help_chain_has(&syn_chain, "syn_proxy", "\"state\":\"open\",\"tcp\":\"established\"");
    help_chain_wait_tenths(&syn_chain, 600); /* not as one that is closed */
    assert_int_equal(syn_sessions(), 1);
}

/* The server's reset was lost on its way to the client, which sends its request once more: that is no new
 * connection, and the server resets it again. */
CHAIN_TEST(a_request_that_comes_again_opens_nothing)
{
    uint32_t cookie = syn_open_connected(WALL PROXY());

    for (unsigned i = 0; i < 3; i++) {
        assert_true(syn_send(true, 1000, NFT_ACK | NFT_PSH, ISN + 1, cookie + 1, 100));
        assert_int_equal(syn_said(syn_frame).flags, NFT_ACK | NFT_PSH);
        assert_int_equal(syn_seq(), ISN + 1);
        assert_int_equal(syn_acked(), SERVER_ISN + 1);
        assert_true(syn_send(false, 1000, NFT_RST, SERVER_ISN + 1, 0, 0));
        assert_int_equal(syn_seq(), cookie + 1);
    }
    assert_int_equal(syn_counter("opened"), 1);
    ISN++;
    syn_connect(1000);
    assert_int_equal(syn_counter("opened"), 2);
}

/* The first of a datagram's fragments: of IPv6 with the header of one. */
static bool send_first_fragment(bool client, uint8_t flags, uint32_t seq, uint32_t ack)
{
    static const uint8_t header[8] = {6, 0, 0, 1, 0, 0, 0, 7};
    uint32_t len = syn_make(client, 1000, flags, seq, ack, 36);

    if (!syn_ipv6) {
        syn_frame[20] = 0x20;
        nft_ip_checksum(syn_frame, len);
        return syn_send_frame(client, len);
    }
    memmove(syn_frame + 62, syn_frame + 54, len - 54);
    memcpy(syn_frame + 54, header, sizeof(header));
    syn_frame[20] = 44;
    syn_frame[19] += 8;
    return syn_send_frame(client, len + 8);
}

static uint32_t said_there(unsigned at)
{
    return help_get32(syn_tcp(syn_frame) + (syn_ipv6 ? 8 : 0) + at);
}

/* A handshake is of whole packets. Of a connection that is open, fragments pass. */
CHAIN_TEST(a_fragment_becomes_no_other_segment)
{
    const struct nf_emitted *list;
    uint32_t cookie;

    syn_open(PROXY());
    assert_false(send_first_fragment(true, NFT_SYN, ISN, 0));
    assert_int_equal(nf_chain_emitted(syn_chain.chain, &list), 0);
    cookie = syn_cookie(1000);
    assert_false(send_first_fragment(true, NFT_ACK, ISN + 1, cookie + 1));
    assert_int_equal(syn_sessions(), 0);
    syn_acknowledge(1000, cookie);
    assert_false(send_first_fragment(true, NFT_ACK, ISN + 1, cookie + 1));
    assert_false(send_first_fragment(false, NFT_SYN | NFT_ACK, SERVER_ISN, ISN + 1));
    assert_int_equal(syn_counter("connected"), 0);
    syn_accept(1000, cookie, SERVER_ISN);
    assert_false(send_first_fragment(false, NFT_SYN | NFT_ACK, SERVER_ISN, ISN + 1));
    assert_int_equal(syn_counter("invalid"), 5);
    assert_true(send_first_fragment(true, NFT_ACK, ISN + 1, cookie + 1));
    assert_int_equal(said_there(8), SERVER_ISN + 1);
    assert_true(send_first_fragment(false, NFT_ACK, SERVER_ISN + 1, ISN + 37));
    assert_int_equal(said_there(4), cookie + 1);
}

#define WIDER "    - syn_proxy: { servers: [10.0.0.0/24, \"2001:db8::/32\"], ports: 80-90 }\n"
#define OTHER "    - syn_proxy: { servers: [10.0.1.0/24, \"2001:db9::/32\"], ports: 80-90 }\n"

static bool connect_directly(uint16_t port)
{
    return syn_send(true, port, NFT_SYN, ISN, 0, 0) &&
           syn_send(false, port, NFT_SYN | NFT_ACK, SERVER_ISN, ISN + 1, 0) &&
           syn_send(true, port, NFT_ACK, ISN + 1, SERVER_ISN + 1, 0);
}

/* Connections to servers that were protected by no one go on where another NF knows them. */
CHAIN_TEST(servers_come_to_those_that_are_protected)
{
    struct ft_fault fault = {""};

    syn_open(WALL OTHER);
    assert_true(connect_directly(1000));
    assert_int_equal(help_change(&syn_chain, WALL WIDER, NULL, &fault), 0);
    assert_true(syn_send(true, 1000, NFT_ACK, ISN + 1, SERVER_ISN + 1, 30));
    assert_int_equal(syn_acked(), SERVER_ISN + 1);
    assert_true(syn_send(false, 1000, NFT_ACK, SERVER_ISN + 1, ISN + 31, 30));
    assert_int_equal(syn_seq(), SERVER_ISN + 1);
    assert_false(syn_send(true, 1001, NFT_ACK, ISN + 1, SERVER_ISN + 1, 30));
    assert_int_equal(syn_counter("invalid"), 1);
    syn_connect(1002);
    assert_true(syn_send(true, 1000, NFT_RST | NFT_ACK, ISN + 1, SERVER_ISN + 1, 0));
    ISN += 64000;
    syn_acknowledge(1000, syn_cookie(1000)); /* what the firewall knows of the old one begins anew */
    assert_shows(1000, "\"state\":\"opening\",\"tcp\":\"syn-sent\"");
    syn_open(OTHER);
    assert_true(connect_directly(1000));
    assert_int_equal(help_change(&syn_chain, WIDER, NULL, &fault), 0);
    assert_false(syn_send(true, 1000, NFT_ACK, ISN + 1, SERVER_ISN + 1, 30));
}

/* Servers of IPv6 where there were none: connections that are there go on. */
CHAIN_TEST(servers_of_ipv6_come_later)
{
    struct ft_fault fault = {""};
    uint32_t cookie;

    if (syn_ipv6)
        return;
    cookie = syn_open_connected(WALL "    - syn_proxy: { servers: [10.0.0.0/24], ports: 80-90 }\n");
    syn_ipv6 = true;
    assert_true(syn_send(true, 1000, NFT_SYN, ISN, 0, 0)); /* protected by nobody */
    assert_int_equal(help_change(&syn_chain, WALL PROXY(), NULL, &fault), 0);
    syn_connect(1001);
    syn_ipv6 = false;
    assert_true(syn_send(true, 1000, NFT_ACK, ISN + 1, cookie + 1, 100));
    assert_int_equal(syn_acked(), SERVER_ISN + 1);
}

/* A session that only a packet of this very burst has begun says nothing of the packet's sender. */
CHAIN_TEST(what_has_just_begun_is_known_to_nobody)
{
    syn_open(PROXY() "    - monitor: {}\n");
    for (unsigned i = 0; i < 3; i++)
        assert_false(syn_send(true, 1000, NFT_ACK, ISN + 1, SERVER_ISN + 1, 30));
    assert_int_equal(syn_counter("invalid"), 3);
}

CHAIN_TEST(a_chain_keeps_who_moves_its_numbers)
{
    struct ft_fault fault = {""};

    syn_open(WALL PROXY());
    syn_connect(1000);
    assert_true(help_change(&syn_chain, WALL, NULL, &fault) < 0);
    assert_string_equal(fault.text, "syn_proxy: moves sequence numbers, so it cannot be taken out while the "
                                    "pair runs: flows would break");
    syn_open(WALL);
    assert_int_equal(help_change(&syn_chain, WALL PROXY(), NULL, &fault), 0);
    syn_connect(1000);
}

CHAIN_TEST(what_the_server_begins_is_left_alone)
{
    syn_open(PROXY());
    assert_true(syn_send(false, 443, NFT_SYN, 7, 0, 0));
    assert_true(syn_send(true, 443, NFT_SYN | NFT_ACK, 9, 8, 0));
    assert_int_equal(syn_seq(), 9);
    assert_true(syn_send(false, 443, NFT_ACK, 8, 10, 0));
    assert_int_equal(syn_seq(), 8);
    assert_true(syn_send(true, 443, NFT_ACK, 10, 8, 30));
    assert_int_equal(syn_counter("answered") + syn_counter("invalid"), 0);
}

/* From a client's side, about a segment of the server: it has to know its own number again, and of a whole
 * header its own checksum. */
CHAIN_TEST(an_error_quotes_the_servers_number)
{
    uint8_t quoted[60];
    struct nft_spec error =
        HELP_PACKET(1, NFT_IP(192, 0, 2, 1), 0, S, 0, .type = 3, .code = 4, .inner = quoted);
    uint32_t cookie, len, header = syn_ipv6 ? 40 : 20, at = 14 + header + 8 + header;
    uint16_t sum;

    cookie = syn_open_connected(PROXY());
    len = syn_make(false, 1000, NFT_ACK, SERVER_ISN + 1, ISN + 1, 0);
    sum = help_get16(syn_frame + 14 + header + 16);
    assert_true(syn_send_frame(false, len));
    memcpy(quoted, syn_frame + 14, sizeof(quoted));
    assert_int_equal(syn_seq(), cookie + 1);
    assert_int_not_equal(help_get16(quoted + header + 16), sum);
    for (uint32_t l4 = 8; l4 <= 20; l4 += 12)
        for (int other = 1; other >= 0; other--) { /* first to another host: about nothing that is known */
            if (syn_ipv6) {                        /* a packet that is too big, in place of data */
                len = syn_make(true, 1000, 0, 0, 0, (uint16_t)(8 + 40 + l4 - 20));
                memcpy(syn_frame + 54, "\2\0\0\0\0\0\5", 8);
                memcpy(syn_frame + 62, quoted, 40 + l4);
                syn_frame[20] = 58;
                syn_frame[53] ^= (uint8_t)other;
                help_segment_seal(syn_frame);
            } else {
                error.dst = S ^ (uint32_t)other;
                error.inner_len = (uint16_t)(20 + l4);
                len = nft_frame(&error, syn_frame);
            }
            assert_true(syn_send_frame(true, len));
            if (syn_ipv6)
                assert_true(help_segment_is_right(syn_frame, len));
            else
                assert_null(nft_checksums(syn_frame, len));
            assert_int_equal(help_get32(syn_frame + at + 4), other ? cookie + 1 : SERVER_ISN + 1);
            if (l4 == 20 && !other)
                assert_int_equal(help_get16(syn_frame + at + 16), sum);
        }
}

CHAIN_TEST(a_full_table_takes_no_new_connection)
{
    uint32_t cookie = syn_open_connected(PROXY(", max_flows: 1"));

    assert_true(syn_send(true, 1000, NFT_ACK, ISN + 1, cookie + 1, 0));
    cookie = syn_cookie(1001);
    assert_false(syn_send(true, 1001, NFT_ACK, ISN + 1, cookie + 1, 0));
    assert_int_equal(syn_counter("table_full"), 1);
    assert_int_equal(help_chain_command(&syn_chain, "set syn_proxy tcp_established=5"), FT_OK);
    assert_int_equal(help_chain_command(&syn_chain, "set syn_proxy mss=5"), FT_ENOENT);
    help_chain_wait_tenths(&syn_chain, 70);
    assert_int_equal(syn_counter("connections_expired"), 1);
    syn_acknowledge(1001, cookie);
    assert_int_equal(help_chain_command(&syn_chain, "clear syn_proxy"), FT_OK);
    assert_int_equal(syn_sessions(), 0);
}

CHAIN_TEST(damaged_state_is_refused)
{
    const struct nf *nf;
    struct sp_slot {
        uint32_t isn, cookie, moved, acked[2];
        uint16_t mss, state;
    } * slot;

    syn_open(PROXY(", max_flows: 8"));
    syn_connect(1000);
    nf = nf_chain_find(syn_chain.chain, "syn_proxy");
    content_of_chain(syn_chain.region, syn_chain.chain);
    content_passes();
    slot = (struct sp_slot *)(uintptr_t)nf_session_slot(nf, nf_session_at(nf->env->sessions->table, 0));
    DAMAGED(&slot->state, 4, "session 0 is in state 4, expected one below 4");
}

int main(void)
{
    return help_tests_run_twice("over_ipv6", syn_over_ipv6);
}
