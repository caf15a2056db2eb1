/* SPDX-License-Identifier: Apache-2.0 */
/* portscan: outcomes of first connections, what becomes of scanners, full tables, operators, a peer's state.
 */
#include "nfs/portscan.h"
#include "tests/nf/help_portscan.h"
#include "tests/nf/help_segment.h"
#include "tests/unit/help_content.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

/* With the paper's parameters four failures more than successes are a scanner's. */
static void four_failures_are_a_scanner(void)
{
    help_portscan_open(PORTSCAN("action: drop"));
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(help_portscan_counter("scanners"), 0);
        assert_true(help_portscan_syn(S, D(i)));
        assert_true(help_portscan_answer(S, D(i), NFT_RST));
    }
    help_portscan_outcomes(4, 0, 4, 0);
    assert_int_equal(help_portscan_counter("scanners"), 1);
    help_chain_has(&help_portscan, "portscan",
                   "\"host\":\"198.51.100.7\",\"state\":\"scanner\",\"successes\":0,\"failures\":4");
    assert_false(help_portscan_syn(S, D(4)));
    assert_false(help_portscan_tcp(NF_OUTSIDE, S, 5, D(0), 80, NFT_ACK));
    assert_true(help_portscan_answer(S, D(0), 0)); /* what goes to it passes */
    assert_true(help_portscan_syn(S + 1, D(4)));
    assert_int_equal(help_portscan_counter("dropped"), 2);
    help_portscan_outcomes(5, 0, 4, 0);
}

static void a_connection_that_nobody_answers_fails_in_time(void)
{
    help_portscan_open(PORTSCAN("answer: 5"));
    for (unsigned i = 0; i < 4; i++)
        help_portscan_syn(S, D(i));
    help_chain_wait_tenths(&help_portscan, 49);
    help_portscan_outcomes(4, 0, 0, 0);
    help_chain_wait_tenths(&help_portscan, 2);
    help_portscan_outcomes(4, 0, 0, 4);
    assert_int_equal(help_portscan_counter("scanners"), 1);
    assert_true(help_portscan_syn(S, D(9))); /* an alert alone */
    assert_true(help_portscan_answer(S, D(0), NFT_SYN));
    help_portscan_outcomes(4, 0, 0, 4);
}

static void only_the_first_connection_to_a_destination_counts(void)
{
    help_portscan_open(PORTSCAN(""));
    help_portscan_syn(S, D(0));
    help_portscan_syn(S, D(0));
    help_portscan_tcp(NF_OUTSIDE, S, 4001, D(0), 81, NFT_SYN);
    help_portscan_answer(S, D(0), NFT_SYN);
    help_portscan_answer(S, D(0), NFT_RST);
    help_portscan_tcp(NF_INSIDE, D(0), 81, S, 4001, NFT_RST | NFT_ACK);
    help_portscan_outcomes(1, 1, 0, 0);
    help_portscan_syn(S + 1, D(0));
    help_portscan_outcomes(2, 1, 0, 0);
    help_chain_wait_tenths(&help_portscan, 101);
    help_portscan_outcomes(2, 1, 0, 1);
}

/* Neither to other ports, nor without SYN or RST, nor what the host says itself. */
static void only_an_answer_to_the_connection_is_one(void)
{
    help_portscan_open(PORTSCAN(""));
    help_portscan_syn(S, D(0));
    help_portscan_tcp(NF_INSIDE, D(0), 81, S, 4000, NFT_RST);
    help_portscan_tcp(NF_INSIDE, D(0), 80, S, 4001, NFT_SYN | NFT_ACK);
    help_portscan_tcp(NF_INSIDE, D(1), 80, S, 4000, NFT_SYN | NFT_ACK);
    help_portscan_tcp(NF_INSIDE, D(0), 80, S, 4000, NFT_ACK);
    help_portscan_tcp(NF_INSIDE, D(0), 80, S, 4000, NFT_SYN);
    help_portscan_tcp(NF_OUTSIDE, S, 4000, D(0), 80, NFT_RST);
    help_portscan_outcomes(1, 0, 0, 0);
    help_portscan_answer(S, D(0), NFT_SYN);
    help_portscan_outcomes(1, 1, 0, 0);
}

static void with_ports_each_of_them_is_a_destination(void)
{
    help_portscan_open(PORTSCAN("destinations: ports"));
    for (uint16_t port = 1; port <= 4; port++) {
        help_portscan_tcp(NF_OUTSIDE, S, 4000, D(0), port, NFT_SYN);
        help_portscan_tcp(NF_INSIDE, D(0), port, S, 4000, NFT_RST | NFT_ACK);
    }
    help_portscan_outcomes(4, 0, 4, 0);
    assert_int_equal(help_portscan_counter("scanners"), 1);
}

static void hosts_inside_are_watched_where_that_is_said(void)
{
    help_portscan_open(PORTSCAN("watch: inside"));
    help_portscan_syn(S, D(0));
    help_portscan_outcomes(0, 0, 0, 0);
    help_portscan_tcp(NF_INSIDE, D(0), 4000, S, 80, NFT_SYN);
    help_portscan_tcp(NF_OUTSIDE, S, 80, D(0), 4000, NFT_RST | NFT_ACK);
    help_portscan_outcomes(1, 0, 1, 0);
    help_chain_has(&help_portscan, "portscan", "\"host\":\"10.0.0.1\"");
}

static void scan_of(uint32_t src, unsigned first)
{
    for (unsigned i = first; i < first + 4; i++) {
        help_portscan_syn(src, D(i));
        help_portscan_answer(src, D(i), NFT_RST);
    }
}

static void a_scanner_is_one_for_a_stated_time(void)
{
    help_portscan_open(PORTSCAN("action: drop, hold: 60"));
    scan_of(S, 0);
    help_chain_wait_tenths(&help_portscan, 599);
    assert_false(help_portscan_syn(S, D(5)));
    help_chain_wait_tenths(&help_portscan, 2);
    assert_int_equal(help_portscan_counter("released"), 1);
    assert_true(help_portscan_syn(S, D(5)));
    assert_true(help_portscan_syn(S, D(0))); /* still known, so no first connection */
    assert_int_equal(help_portscan_counter("contacts"), 5);
    scan_of(S, 10);
    assert_int_equal(help_portscan_counter("scanners"), 2);
}

static void what_is_remembered_is_forgotten_in_time(void)
{
    help_portscan_open(PORTSCAN("answer: 5, remember: 30"));
    help_portscan_syn(S, D(0));
    help_portscan_answer(S, D(0), NFT_SYN);
    help_chain_wait_tenths(&help_portscan, 299);
    help_portscan_syn(S, D(0));
    help_portscan_outcomes(1, 1, 0, 0);
    help_chain_has(&help_portscan, "portscan", "\"successes\":1");
    help_chain_wait_tenths(&help_portscan, 2);
    help_portscan_syn(S, D(0));
    help_portscan_outcomes(2, 1, 0, 0);
    static char text[65536];
    assert_int_equal(help_chain_show(&help_portscan, "portscan", text, sizeof(text)), 0);
}

static void full_tables_let_packets_pass_and_count_them(void)
{
    help_portscan_open(PORTSCAN("action: drop, max_hosts: 1, max_contacts: 4"));
    scan_of(S, 0);
    assert_int_equal(help_portscan_counter("scanners"), 1);
    assert_true(help_portscan_syn(S + 1, D(0)));
    assert_int_equal(help_portscan_counter("contacts_full"), 1);
    help_chain_wait_tenths(&help_portscan, 36001);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(help_portscan_syn(S + 1, D(i)));
        help_portscan_answer(S + 1, D(i), NFT_RST);
    }
    assert_true(help_portscan_syn(S + 2, D(0)));
    help_portscan_answer(S + 2, D(0), NFT_RST);
    assert_int_equal(help_portscan_counter("hosts_full"), 1);
    assert_int_equal(help_portscan_counter("refused"), 7);
}

/* SYNs of forged sources, each of which is answered so; 0: not at all. */
static void flood_with(uint32_t from, uint8_t flags)
{
    for (uint32_t i = 0; i < 300; i++) {
        help_portscan_syn(from + i, D(0));
        if (flags)
            help_portscan_answer(from + i, D(0), flags);
        if (i % 20 == 19)
            help_chain_wait_tenths(&help_portscan, 101);
    }
}

/* Hosts that are known by more than one outcome keep it, and their destinations; nobody is overlooked. */
static void a_flood_of_forged_sources_hides_no_scan(void)
{
    static const uint8_t answers[] = {0, NFT_RST, NFT_SYN};

    for (unsigned how = 0; how < 3; how++) {
        help_portscan_open(PORTSCAN("max_hosts: 32, max_contacts: 64"));
        for (unsigned i = 0; i < 3; i++) {
            help_portscan_syn(S + 1, D(i));
            help_portscan_answer(S + 1, D(i), NFT_RST);
        }
        flood_with(NFT_IP(192, 0, 2, 0), answers[how]);
        assert_int_equal(help_portscan_counter("contacts"), 303);
        assert_true(help_portscan_counter("displaced") > 400 && help_portscan_counter("displaced") < 600);
        scan_of(S, 0);
        assert_int_equal(help_portscan_counter("scanners"), 1);
        help_portscan_syn(S + 1, D(0)); /* it has been there */
        assert_int_equal(help_portscan_counter("contacts"), 307);
        help_portscan_syn(S + 1, D(3));
        help_portscan_answer(S + 1, D(3), NFT_RST);
        assert_int_equal(help_portscan_counter("scanners"), 2);
        assert_int_equal(help_portscan_counter("contacts_full") + help_portscan_counter("hosts_full"), 0);
        help_chain_close(&help_portscan);
    }
    help_portscan_open(PORTSCAN("max_contacts: 64"));
    for (uint32_t i = 0; i < 100; i++)
        help_portscan_syn(S + 100 + i, D(0));
    assert_int_equal(help_portscan_counter("contacts_full"), 36); /* they may still be answered */
    help_chain_wait_tenths(&help_portscan, 101);
    scan_of(S, 0);
    assert_int_equal(help_portscan_counter("scanners"), 1);
}

static void operators_change_the_action_and_release_hosts(void)
{
    help_portscan_open(PORTSCAN(""));
    scan_of(S, 0);
    scan_of(S + 1, 0);
    assert_true(help_portscan_syn(S, D(9)));
    assert_int_equal(help_chain_command(&help_portscan, "set portscan action=drop"), FT_OK);
    assert_false(help_portscan_syn(S, D(9)));
    assert_int_equal(help_chain_command(&help_portscan, "set portscan action=reject"), FT_EINVAL);
    assert_string_equal(help_portscan.fault.text, "action=reject: expected alert or drop");
    assert_int_equal(help_chain_command(&help_portscan, "set portscan hold=1"), FT_ENOENT);
    assert_int_equal(help_chain_command(&help_portscan, "clear portscan everything"), FT_EINVAL);
    assert_int_equal(help_chain_command(&help_portscan, "clear portscan 192.0.2.1"), FT_ENOENT);
    assert_int_equal(help_chain_command(&help_portscan, "clear portscan 198.51.100.7"), FT_OK);
    assert_int_equal(help_portscan_counter("released"), 1);
    assert_true(help_portscan_syn(S, D(9)));
    assert_false(help_portscan_syn(S + 1, D(9)));
    assert_int_equal(help_chain_command(&help_portscan, "clear portscan"), FT_OK);
    assert_true(help_portscan_syn(S + 1, D(9)));
    assert_int_equal(help_portscan_counter("released"), 2);
}

/* ---- IPv6 ---- */

static struct help_segment segment6(bool back, uint8_t host, uint8_t flags)
{
    return (struct help_segment){.ipv6 = true,
                                 .from = back ? host : 99,
                                 .to = back ? 99 : host,
                                 .sport = back ? 80 : 4000,
                                 .dport = back ? 4000 : 80,
                                 .proto = 6,
                                 .flags = flags,
                                 .seq = 1000,
                                 .ack = 1001};
}

static bool tcp6(uint8_t side, bool back, uint8_t host, uint8_t flags)
{
    uint8_t frame[NFT_FRAME_MAX];
    const struct help_segment s = segment6(back, host, flags);

    return !help_chain_send(&help_portscan, side, frame, help_segment_frame(&s, frame)).drop;
}

static void hosts_of_ipv6_are_watched_as_well(void)
{
    help_portscan_open(PORTSCAN("action: drop"));
    for (uint8_t i = 1; i <= 4; i++) {
        assert_true(tcp6(NF_OUTSIDE, false, i, NFT_SYN));
        assert_true(tcp6(NF_INSIDE, true, i, NFT_RST | NFT_ACK));
    }
    help_chain_has(&help_portscan, "portscan", "\"host\":\"2001:db8::63\",\"state\":\"scanner\"");
    assert_false(tcp6(NF_OUTSIDE, false, 9, NFT_SYN));
    assert_int_equal(help_chain_command(&help_portscan, "clear portscan 2001:db8::63"), FT_OK);
    assert_true(tcp6(NF_OUTSIDE, false, 9, NFT_SYN));
}

/* ---- a peer's state, bad settings ---- */

static void damaged_state_is_refused(void)
{
    struct ps *ps;
    struct ps_host *host;

    help_portscan_open(PORTSCAN("max_hosts: 8, max_contacts: 8"));
    help_content =
        (struct help_content){.region = help_portscan.region, .lanes = 1, .chain = {help_portscan.chain}};
    scan_of(S, 0);
    help_portscan_syn(S + 1, D(0));
    help_portscan_answer(S + 1, D(0), NFT_SYN);
    content_passes();
    ps = nf_chain_find(help_portscan.chain, "portscan")->state;
    host = (struct ps_host *)(uintptr_t)ps_host_at(ps, 1);
    DAMAGED(&ps->hosts, NULL, "constant");
    DAMAGED(&ps->contacts_end, NULL, "constant");
    DAMAGED(&ps->scanners, 2, "2 hosts are scanners and the action is 0, expected 1");
    DAMAGED(&ps->action, 2, "1 hosts are scanners and the action is 2, expected 1 and at most 1");
    DAMAGED(&host->walk, INT32_MIN, "host 1 has walked to -2147483648");
    DAMAGED(&host->walk, INT32_MAX, "host 1 has walked to 2147483647");
    DAMAGED(&host->scanner, 1, "1 hosts are scanners");
    DAMAGED(&ps->hosts_hand, 8, "the places at which room is looked for are 8 and 0, expected below 8 and 8");
    DAMAGED(&ps->contacts_hand, UINT32_MAX, "the places at which room is looked for are 0 and 4294967295");
    nf_wheel_cancel(nf_chain_find(help_portscan.chain, "portscan"), ps->contacts_end, 0);
    content_is_refused("contact 0 and its timer are not both there");
}

static void refused(const char *nfs, const char *expected)
{
    struct ft_fault fault = {""};

    assert_true(help_chain_refused(nfs, NULL, &fault) < 0);
    if (!strstr(fault.text, expected))
        fail_msg("\"%s\" is not in \"%s\"", expected, fault.text);
}

static void settings_that_contradict_each_other_are_refused(void)
{
    help_portscan_open(PORTSCAN(""));
    refused(PORTSCAN("theta0: 200"), "theta1 is 200, expected less than theta0, which is 200");
    refused(PORTSCAN("alpha: 995"), "alpha is 995, expected less than beta, which is 990");
    refused(PORTSCAN("remember: 5"), "answer is 10, expected at most remember, which is 5");
    refused(PORTSCAN("theta0: 1000"), "theta0 is 1000");
    refused(PORTSCAN("watch: both"), "watch is both");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        HELP_CASE(four_failures_are_a_scanner),
        HELP_CASE(a_connection_that_nobody_answers_fails_in_time),
        HELP_CASE(only_the_first_connection_to_a_destination_counts),
        HELP_CASE(only_an_answer_to_the_connection_is_one),
        HELP_CASE(with_ports_each_of_them_is_a_destination),
        HELP_CASE(hosts_inside_are_watched_where_that_is_said),
        HELP_CASE(a_scanner_is_one_for_a_stated_time),
        HELP_CASE(what_is_remembered_is_forgotten_in_time),
        HELP_CASE(full_tables_let_packets_pass_and_count_them),
        HELP_CASE(a_flood_of_forged_sources_hides_no_scan),
        HELP_CASE(operators_change_the_action_and_release_hosts),
        HELP_CASE(hosts_of_ipv6_are_watched_as_well),
        HELP_CASE(damaged_state_is_refused),
        HELP_CASE(settings_that_contradict_each_other_are_refused),
    };

    return cmocka_run_group_tests_name("portscan", tests, NULL, NULL);
}
