/* SPDX-License-Identifier: Apache-2.0 */
/* syn_proxy's connections: numbers of both ends, resets, errors, ports that are used again, full tables, a
 * peer's state. */
#include "nflib/session/index.h"
#include "tests/nf/help_syn.h"
#include "tests/unit/help_content.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <string.h>

/* Data of both ends, acknowledged by the other, past the end of the numbers. */
static void numbers_of_the_server_are_moved(void)
{
    uint32_t cookie, sent = 1, back = 1;

    syn_open("    - firewall: { rules: firewall.rules, loose: false }\n" PROXY());
    cookie = syn_connect(1000);
    assert_true(syn_send(true, 1000, NFT_ACK, ISN + 1, cookie + 1, 0));
    assert_int_equal(syn_get32(syn_frame + 42), SERVER_ISN + 1);
    for (unsigned i = 0; i < 50; i++) {
        assert_true(syn_send(true, 1000, NFT_ACK | NFT_PSH, ISN + sent, cookie + back, 100));
        assert_int_equal(syn_get32(syn_frame + 38), ISN + sent);
        assert_int_equal(syn_get32(syn_frame + 42), SERVER_ISN + back);
        sent += 100;
        assert_true(syn_send(false, 1000, NFT_ACK, SERVER_ISN + back, ISN + sent, 1400));
        assert_int_equal(syn_get32(syn_frame + 38), cookie + back);
        assert_int_equal(syn_get32(syn_frame + 42), ISN + sent);
        back += 1400u << (i % 20);
    }
    help_chain_has(&syn_chain, "syn_proxy",
                   "\"from\":\"198.51.100.7:1000\",\"to\":\"10.0.0.5:80\",\"state\":\"open\","
                   "\"tcp\":\"established\"");
    assert_int_equal(help_chain_counter(&syn_chain, "firewall", "invalid"), 0);
}

/* The client asks for its window, and the server's answer is lost: each asks the server once more. */
static void the_server_is_asked_until_it_answers(void)
{
    uint32_t cookie;

    syn_open(PROXY());
    cookie = syn_cookie(1000);
    syn_acknowledge(1000, cookie);
    syn_acknowledge(1000, cookie);
    assert_true(syn_send(true, 1000, NFT_ACK, ISN, cookie + 1, 0));
    assert_int_equal(syn_said(syn_frame).flags, NFT_SYN);
    assert_int_equal(syn_said(syn_frame).seq, ISN);
    assert_false(syn_send(true, 1000, NFT_ACK, ISN, cookie + 2, 0));
    assert_false(syn_send(false, 1000, NFT_ACK, 77, 88, 0));
    assert_int_equal(syn_counter("invalid"), 2);
    assert_int_equal(syn_counter("opened"), 1);
    syn_accept(1000, cookie, SERVER_ISN);
    syn_accept(1000, cookie, SERVER_ISN); /* it has not heard the client */
    assert_int_equal(syn_counter("connected"), 1);
}

static void a_server_that_refuses_resets_the_client(void)
{
    uint32_t cookie;

    syn_open(PROXY());
    cookie = syn_cookie(1000);
    syn_acknowledge(1000, cookie);
    assert_true(syn_send(false, 1000, NFT_RST | NFT_ACK, 0, ISN + 1, 0));
    assert_int_equal(syn_get32(syn_frame + 38), cookie + 1);
    cookie = syn_cookie(1000);
    syn_acknowledge(1000, cookie); /* over: the same ports again */
    syn_accept(1000, cookie, 5);
}

static void ports_are_used_again(void)
{
    uint32_t cookie;

    syn_open("    - firewall: { rules: firewall.rules, loose: false }\n" PROXY());
    cookie = syn_connect(1000);
    assert_true(syn_send(true, 1000, NFT_ACK, ISN + 1, cookie + 1, 0));
    assert_true(syn_send(true, 1000, NFT_FIN | NFT_ACK, ISN + 1, cookie + 1, 0));
    assert_true(syn_send(false, 1000, NFT_FIN | NFT_ACK, SERVER_ISN + 1, ISN + 2, 0));
    assert_true(syn_send(true, 1000, NFT_ACK, ISN + 2, cookie + 2, 0));
    assert_int_equal(syn_get32(syn_frame + 42), SERVER_ISN + 2);
    help_chain_has(&syn_chain, "syn_proxy", "\"tcp\":\"time-wait\"");
    cookie = syn_cookie(1000);
    help_chain_has(&syn_chain, "syn_proxy", "\"tcp\":\"time-wait\"");
    syn_acknowledge(1000, cookie);
    help_chain_has(&syn_chain, "syn_proxy", "\"state\":\"opening\",\"tcp\":\"syn-sent\"");
    syn_accept(1000, cookie, 99);
    assert_true(syn_send(true, 1000, NFT_ACK, ISN + 1, cookie + 1, 0));
    assert_int_equal(syn_get32(syn_frame + 42), 100);
    help_chain_has(&syn_chain, "syn_proxy", "\"state\":\"open\",\"tcp\":\"established\"");
    help_chain_wait_tenths(&syn_chain, 600); /* not as one that is closed */
    assert_int_equal(syn_sessions(), 1);
}

static void what_the_server_begins_is_left_alone(void)
{
    syn_open(PROXY());
    assert_true(syn_send(false, 443, NFT_SYN, 7, 0, 0));
    assert_true(syn_send(true, 443, NFT_SYN | NFT_ACK, 9, 8, 0));
    assert_int_equal(syn_get32(syn_frame + 38), 9);
    assert_true(syn_send(false, 443, NFT_ACK, 8, 10, 0));
    assert_int_equal(syn_get32(syn_frame + 38), 8);
    assert_true(syn_send(true, 443, NFT_ACK, 10, 8, 30));
    assert_int_equal(syn_counter("answered") + syn_counter("invalid"), 0);
}

/* From a client's side, about a segment of the server: it has to know its own number again. */
static void an_error_quotes_the_servers_number(void)
{
    uint8_t quoted[28];
    struct nft_spec error = {.src = NFT_IP(192, 0, 2, 1),
                             .dst = S,
                             .proto = 1,
                             .type = 3,
                             .code = 4,
                             .inner = quoted,
                             .inner_len = sizeof(quoted)};
    uint32_t cookie, len;

    syn_open(PROXY());
    cookie = syn_connect(1000);
    assert_true(syn_send(false, 1000, NFT_ACK, SERVER_ISN + 1, ISN + 1, 1000));
    memcpy(quoted, syn_frame + 14, sizeof(quoted));
    assert_int_equal(syn_get32(quoted + 24), cookie + 1);
    len = nft_frame(&error, syn_frame);
    assert_int_equal(help_chain_send(&syn_chain, NF_OUTSIDE, syn_frame, len).drop, 0);
    assert_null(nft_checksums(syn_frame, len));
    assert_int_equal(syn_get32(syn_frame + 42 + 24), SERVER_ISN + 1);
}

static void a_full_table_takes_no_new_connection(void)
{
    uint32_t cookie;

    syn_open(PROXY(", max_flows: 1"));
    cookie = syn_connect(1000);
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

static void damaged_state_is_refused(void)
{
    const struct nf *nf;
    struct sp_slot {
        uint32_t isn, cookie, moved;
        uint16_t mss, state;
    } * slot;

    syn_open(PROXY(", max_flows: 8"));
    syn_connect(1000);
    nf = nf_chain_find(syn_chain.chain, "syn_proxy");
    help_content = (struct help_content){.region = syn_chain.region, .lanes = 1, .chain = {syn_chain.chain}};
    content_passes();
    slot = (struct sp_slot *)(uintptr_t)nf_session_slot(nf, nf_session_at(nf->env->sessions->table, 0));
    DAMAGED(&slot->state, 3, "session 0 is in state 3, expected one below 3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HELP_CASE(numbers_of_the_server_are_moved),         HELP_CASE(the_server_is_asked_until_it_answers),
        HELP_CASE(a_server_that_refuses_resets_the_client), HELP_CASE(ports_are_used_again),
        HELP_CASE(what_the_server_begins_is_left_alone),    HELP_CASE(an_error_quotes_the_servers_number),
        HELP_CASE(a_full_table_takes_no_new_connection),    HELP_CASE(damaged_state_is_refused),
    };

    return cmocka_run_group_tests_name("syn_proxy", tests, NULL, NULL);
}
