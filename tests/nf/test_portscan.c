/* SPDX-License-Identifier: Apache-2.0 */
/* portscan: outcomes of first connections, what becomes of scanners, full tables, operators, a peer's state.
 */
#include "nflib/nf.h"
#include "tests/help/chain.h"
#include "tests/help/nf.h"
#include "tests/help/test.h"

/* For tests of portscan: one chain, and a host outside that begins connections to hosts inside. */

#define PORTSCAN(more) "    - portscan: { " more " }\n"
#define S              NFT_IP(198, 51, 100, 7) /* a host outside */
#define D(i)           NFT_IP(10, 0, (i) / 250, 1 + (i) % 250)

static struct help_chain help_portscan;

static void help_portscan_open(const char *nfs)
{
    help_chain_open(&help_portscan, nfs, NULL, 3);
    help_chain_idle(&help_portscan, 100 * HELP_SECOND);
}

/* True: it passed. All have number 1000, and what has an ACK acknowledges a SYN of that. */
static bool help_portscan_tcp(uint8_t side, uint32_t src, uint16_t sport, uint32_t dst, uint16_t dport,
                              uint8_t flags)
{
    struct nft_spec s = HELP_PACKET(6, src, sport, dst, dport, .tcp = flags, .seq = 1000, .ack = 1001);

    return help_chain_spec(&help_portscan, side, &s, NULL);
}

static bool help_portscan_syn(uint32_t src, uint32_t dst)
{
    return help_portscan_tcp(NF_OUTSIDE, src, 4000, dst, 80, NFT_SYN);
}

static bool help_portscan_answer(uint32_t src, uint32_t dst, uint8_t flags)
{
    return help_portscan_tcp(NF_INSIDE, dst, 80, src, 4000, flags | NFT_ACK);
}

static void help_portscan_outcomes(uint64_t contacts, uint64_t successes, uint64_t refused,
                                   uint64_t unanswered)
{
    help_chain_counts(&help_portscan, "portscan: contacts %lu, successes %lu", contacts, successes);
    help_chain_counts(&help_portscan, "portscan: refused %lu, unanswered %lu", refused, unanswered);
}

/* With the paper's parameters four failures more than successes are a scanner's. */
CHAIN_TEST(four_failures_are_a_scanner)
{
    help_portscan_open(PORTSCAN("action: drop"));
    for (unsigned i = 0; i < 4; i++) {
        help_chain_counts(&help_portscan, "portscan: scanners 0");
        assert_true(help_portscan_syn(S, D(i)));
        assert_true(help_portscan_answer(S, D(i), NFT_RST));
    }
    help_portscan_outcomes(4, 0, 4, 0);
    help_chain_counts(&help_portscan, "portscan: scanners 1");
    help_chain_has(&help_portscan, "portscan",
                   "\"host\":\"198.51.100.7\",\"state\":\"scanner\",\"successes\":0,\"failures\":4");
    assert_false(help_portscan_syn(S, D(4)));
    assert_false(help_portscan_tcp(NF_OUTSIDE, S, 5, D(0), 80, NFT_ACK));
    assert_true(help_portscan_answer(S, D(0), 0)); /* what goes to it passes */
    assert_true(help_portscan_syn(S + 1, D(4)));
    help_chain_counts(&help_portscan, "portscan: dropped 2");
    help_portscan_outcomes(5, 0, 4, 0);
}

CHAIN_TEST(a_connection_that_nobody_answers_fails_in_time)
{
    help_portscan_open(PORTSCAN("answer: 5"));
    for (unsigned i = 0; i < 4; i++)
        help_portscan_syn(S, D(i));
    help_chain_wait_tenths(&help_portscan, 49);
    help_portscan_outcomes(4, 0, 0, 0);
    help_chain_wait_tenths(&help_portscan, 2);
    help_portscan_outcomes(4, 0, 0, 4);
    help_chain_counts(&help_portscan, "portscan: scanners 1");
    assert_true(help_portscan_syn(S, D(9))); /* an alert alone */
    assert_true(help_portscan_answer(S, D(0), NFT_SYN));
    help_portscan_outcomes(4, 0, 0, 4);
}

CHAIN_TEST(only_the_first_connection_to_a_destination_counts)
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
CHAIN_TEST(only_an_answer_to_the_connection_is_one)
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

CHAIN_TEST(with_ports_each_of_them_is_a_destination)
{
    help_portscan_open(PORTSCAN("destinations: ports"));
    for (uint16_t port = 1; port <= 4; port++) {
        help_portscan_tcp(NF_OUTSIDE, S, 4000, D(0), port, NFT_SYN);
        help_portscan_tcp(NF_INSIDE, D(0), port, S, 4000, NFT_RST | NFT_ACK);
    }
    help_portscan_outcomes(4, 0, 4, 0);
    help_chain_counts(&help_portscan, "portscan: scanners 1");
}

CHAIN_TEST(hosts_inside_are_watched_where_that_is_said)
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

CHAIN_TEST(a_scanner_is_one_for_a_stated_time)
{
    help_portscan_open(PORTSCAN("action: drop, hold: 60"));
    scan_of(S, 0);
    help_chain_wait_tenths(&help_portscan, 599);
    assert_false(help_portscan_syn(S, D(5)));
    help_chain_wait_tenths(&help_portscan, 2);
    help_chain_counts(&help_portscan, "portscan: released 1");
    assert_true(help_portscan_syn(S, D(5)));
    assert_true(help_portscan_syn(S, D(0))); /* still known, so no first connection */
    help_chain_counts(&help_portscan, "portscan: contacts 5");
    scan_of(S, 10);
    help_chain_counts(&help_portscan, "portscan: scanners 2");
}

CHAIN_TEST(what_is_remembered_is_forgotten_in_time)
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
    assert_int_equal(help_chain_rows(&help_portscan, "portscan"), 0);
}

CHAIN_TEST(full_tables_let_packets_pass_and_count_them)
{
    help_portscan_open(PORTSCAN("action: drop, max_hosts: 1, max_contacts: 4"));
    scan_of(S, 0);
    help_chain_counts(&help_portscan, "portscan: scanners 1");
    assert_true(help_portscan_syn(S + 1, D(0)));
    help_chain_counts(&help_portscan, "portscan: contacts_full 1");
    help_portscan_open(PORTSCAN("max_hosts: 1, max_contacts: 8"));
    scan_of(S, 0);
    assert_true(help_portscan_syn(S + 1, D(0))); /* a scanner makes no room */
    help_portscan_answer(S + 1, D(0), NFT_RST);
    help_chain_counts(&help_portscan, "portscan: hosts_full 1, displaced 0, refused 5");
}

static void outcomes(uint32_t host, unsigned failures, unsigned successes)
{
    for (unsigned i = 0; i < failures + successes; i++) {
        help_portscan_syn(host, D(i));
        help_portscan_answer(host, D(i), i < failures ? NFT_RST : NFT_SYN);
        help_chain_wait_tenths(&help_portscan, 1);
    }
}

/* Forged sources with two outcomes each do not keep a scan from being found. Who is likeliest not to scan
 * makes room first, and of those that are alike the one whose last outcome is longest ago. */
CHAIN_TEST(a_table_full_of_forged_hosts_hides_no_scan)
{
    static char text[65536];
    static const unsigned gone[] = {5, 0, 1, 2};

    help_portscan_open(PORTSCAN("max_hosts: 16"));
    for (unsigned i = 0; i < 16; i++)
        outcomes(S + i, 2, i == 5);
    for (unsigned n = 0; n < 4; n++) {
        char name[40];

        outcomes(S + 100 + n, 3, 0);
        help_chain_show(&help_portscan, "portscan", text, sizeof(text));
        snprintf(name, sizeof(name), "\"198.51.100.%u\"", 7 + gone[n]);
        assert_null(strstr(text, name));
    }
    help_chain_counts(&help_portscan, "portscan: hosts_full 0");
    outcomes(S + 200, 4, 0);
    help_chain_counts(&help_portscan, "portscan: scanners 1");
    help_chain_has(&help_portscan, "portscan", "\"host\":\"198.51.100.207\",\"state\":\"scanner\"");
    help_chain_is_sound(&help_portscan);
}

/* Somebody forges four SYNs of a server outside: what hosts inside want from it still comes, and no more. */
CHAIN_TEST(answers_of_a_scanner_pass)
{
    help_portscan_open(PORTSCAN("action: drop") "    - monitor: {}\n");
    assert_true(help_portscan_syn(S, D(9)));
    scan_of(S, 0);
    help_chain_counts(&help_portscan, "portscan: scanners 1");
    assert_true(help_portscan_tcp(NF_INSIDE, D(7), 5000, S, 443, NFT_SYN));
    assert_true(help_portscan_tcp(NF_OUTSIDE, S, 443, D(7), 5000, NFT_SYN | NFT_ACK));
    assert_true(help_portscan_tcp(NF_INSIDE, D(7), 5000, S, 443, NFT_ACK));
    assert_true(help_portscan_tcp(NF_OUTSIDE, S, 443, D(7), 5000, NFT_ACK));
    help_chain_counts(&help_portscan, "portscan: dropped 0");
    assert_false(help_portscan_tcp(NF_OUTSIDE, S, 443, D(7), 5001, NFT_SYN | NFT_ACK));
    assert_false(help_portscan_tcp(NF_OUTSIDE, S, 4000, D(9), 80, NFT_ACK)); /* which it began itself */
    assert_false(help_portscan_syn(S, D(8)));
    help_chain_counts(&help_portscan, "portscan: dropped 3");
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
CHAIN_TEST(a_flood_of_forged_sources_hides_no_scan)
{
    static const uint8_t answers[] = {0, NFT_RST, NFT_SYN};

    for (unsigned how = 0; how < 3; how++) {
        help_portscan_open(PORTSCAN("max_hosts: 32, max_contacts: 64"));
        for (unsigned i = 0; i < 3; i++) {
            help_portscan_syn(S + 1, D(i));
            help_portscan_answer(S + 1, D(i), NFT_RST);
        }
        flood_with(NFT_IP(192, 0, 2, 0), answers[how]);
        help_chain_counts(&help_portscan, "portscan: contacts 303");
        assert_in_range(help_chain_counter(&help_portscan, "portscan", "displaced"), 401, 599);
        scan_of(S, 0);
        help_chain_counts(&help_portscan, "portscan: scanners 1");
        help_portscan_syn(S + 1, D(0)); /* it has been there */
        help_chain_counts(&help_portscan, "portscan: contacts 307");
        help_portscan_syn(S + 1, D(3));
        help_portscan_answer(S + 1, D(3), NFT_RST);
        help_chain_counts(&help_portscan, "portscan: scanners 2, contacts_full 0, hosts_full 0");
    }
    help_portscan_open(PORTSCAN("max_contacts: 64"));
    for (uint32_t i = 0; i < 100; i++)
        help_portscan_syn(S + 100 + i, D(0));
    help_chain_counts(&help_portscan, "portscan: contacts_full 36"); /* they may still be answered */
    help_chain_wait_tenths(&help_portscan, 101);
    scan_of(S, 0);
    help_chain_counts(&help_portscan, "portscan: scanners 1");
}

CHAIN_TEST(operators_change_the_action_and_release_hosts)
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
    help_chain_counts(&help_portscan, "portscan: released 1");
    assert_true(help_portscan_syn(S, D(9)));
    assert_false(help_portscan_syn(S + 1, D(9)));
    assert_int_equal(help_chain_command(&help_portscan, "clear portscan"), FT_OK);
    assert_true(help_portscan_syn(S + 1, D(9)));
    help_chain_counts(&help_portscan, "portscan: released 2");
}

/* ---- IPv6 ---- */

static struct help_segment segment6(bool back, uint8_t host, uint8_t flags)
{
    return HELP_SEGMENT(6, back ? host : 99, back ? 80 : 4000, back ? 99 : host, back ? 4000 : 80,
                        .ipv6 = true, .flags = flags, .seq = 1000, .ack = 1001);
}

static bool tcp6(uint8_t side, bool back, uint8_t host, uint8_t flags)
{
    uint8_t frame[NFT_FRAME_MAX];
    const struct help_segment s = segment6(back, host, flags);

    return !help_chain_send(&help_portscan, side, frame, help_segment_frame(&s, frame)).drop;
}

CHAIN_TEST(hosts_of_ipv6_are_watched_as_well)
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

CHAIN_TEST(damaged_state_is_refused)
{
    struct ps {
        struct nf_map *hosts, *contacts;
        struct nf_wheel *hosts_end, *contacts_end;
        uint32_t scanners, action, hosts_hand, contacts_hand;
    } * ps;
    struct ps_host {
        uint64_t seen, scanner;
        int32_t walk;
    } * host;

    help_portscan_open(PORTSCAN("max_hosts: 8, max_contacts: 8"));
    content_of_chain(help_portscan.region, help_portscan.chain);
    scan_of(S, 0);
    help_portscan_syn(S + 1, D(0));
    help_portscan_answer(S + 1, D(0), NFT_SYN);
    content_passes();
    ps = nf_chain_find(help_portscan.chain, "portscan")->state;
    host = (struct ps_host *)(uintptr_t)nf_map_value(ps->hosts, 1);
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

CHAIN_TEST(settings_that_contradict_each_other_are_refused)
{
    help_chain_refuses(PORTSCAN("theta0: 200"), "theta1 is 200, expected less than theta0, which is 200");
    help_chain_refuses(PORTSCAN("alpha: 995"), "alpha is 995, expected less than beta, which is 990");
    help_chain_refuses(PORTSCAN("remember: 5"), "answer is 10, expected at most remember, which is 5");
    help_chain_refuses(PORTSCAN("theta0: 1000"), "theta0 is 1000");
    help_chain_refuses(PORTSCAN("watch: both"), "watch is both");
}

/* portscan: what it believes of packets, and what hides from it. */

/* A SYN of which a part of the frame is another one. */
static bool changed(uint8_t side, const struct nft_spec *spec, uint32_t at, uint8_t bits)
{
    uint8_t frame[NFT_FRAME_MAX];
    uint32_t n = nft_frame(spec, frame);

    frame[at] ^= bits;
    return !help_chain_send(&help_portscan, side, frame, n).drop;
}

CHAIN_TEST(an_answer_is_one_that_the_host_believes)
{
    const struct nft_spec request = HELP_PACKET(6, S, 4000, D(0), 80, .tcp = NFT_SYN, .seq = 1000);
    struct nft_spec s = {.src = D(0), .dst = S, .sport = 80, .dport = 4000, .proto = 6, .seq = 5};

    help_portscan_open(PORTSCAN(""));
    changed(NF_OUTSIDE, &request, 14 + 20 + 17, 1); /* a wrong checksum: no SYN */
    help_portscan_outcomes(0, 0, 0, 0);
    help_chain_counts(&help_portscan, "portscan: checksum 1");
    changed(NF_OUTSIDE, &request, 0, 0);
    for (unsigned rst = 0; rst < 2; rst++) {
        s.tcp = (uint8_t)(NFT_ACK | (rst ? NFT_RST : NFT_SYN));
        s.ack = 1000;
        changed(NF_INSIDE, &s, 0, 0); /* acknowledges what was not sent */
        s.ack = 1002;
        changed(NF_INSIDE, &s, 0, 0);
        s.ack = 1001;
        changed(NF_INSIDE, &s, 14 + 20 + 17, 1);
        s.tcp &= (uint8_t)~NFT_ACK;
        changed(NF_INSIDE, &s, 0, 0);
        s.payload = 4; /* its checksum is behind the headers */
        s.tcp |= NFT_ACK;
        changed(NF_INSIDE, &s, 0, 0);
        s.payload = 0;
        s.tcp |= NFT_FIN;
        changed(NF_INSIDE, &s, 0, 0);
    }
    help_portscan_outcomes(1, 0, 0, 0);
    help_chain_counts(&help_portscan, "portscan: checksum 3");
    s.tcp = NFT_ACK | NFT_RST;
    changed(NF_INSIDE, &s, 0, 0);
    help_portscan_outcomes(1, 0, 1, 0);
}

/* A SYN that the host sends with another number is answered by that one. */
CHAIN_TEST(a_syn_with_another_number_is_answered_by_that)
{
    struct nft_spec s = HELP_PACKET(6, S, 4000, D(0), 80, .tcp = NFT_SYN, .seq = 70);

    help_portscan_open(PORTSCAN(""));
    changed(NF_OUTSIDE, &s, 0, 0);
    s.seq = 1000;
    changed(NF_OUTSIDE, &s, 0, 0);
    help_portscan_answer(S, D(0), NFT_SYN);
    help_portscan_outcomes(1, 1, 0, 0);
}

CHAIN_TEST(what_hides_its_flags_is_dropped)
{
    uint8_t frame[NFT_FRAME_MAX];
    struct help_segment v6 = HELP_SEGMENT(6, 99, 4000, 1, 80, .ipv6 = true, .flags = NFT_SYN, .seq = 1000);
    struct nft_spec s = {.src = S, .dst = D(0), .proto = 6, .tcp = NFT_SYN, .fragment = NFT_MORE};
    uint32_t n;

    help_portscan_open(PORTSCAN(""));
    n = nft_frame(&s, frame);
    frame[17] = 20 + 8; /* bytes of IP: ports and number alone */
    nft_ip_checksum(frame, n);
    assert_true(help_chain_send(&help_portscan, NF_OUTSIDE, frame, n).drop);
    s.fragment = 1; /* over the flags */
    s.payload = 8;
    assert_false(help_chain_spec(&help_portscan, NF_OUTSIDE, &s, NULL));
    help_chain_counts(&help_portscan, "portscan: hidden 2");
    assert_true(help_chain_spec(&help_portscan, NF_INSIDE, &s, NULL)); /* not watched */
    s.fragment = 4;
    assert_true(help_chain_spec(&help_portscan, NF_OUTSIDE, &s, NULL));
    s.fragment = NFT_MORE; /* all of the header is there */
    assert_true(help_chain_spec(&help_portscan, NF_OUTSIDE, &s, NULL));
    help_chain_counts(&help_portscan, "portscan: contacts 1");
    n = help_segment_frame(&v6, frame);
    frame[20] = 60; /* destination options, of a length that the packet does not have */
    frame[55] = 200;
    assert_true(help_chain_send(&help_portscan, NF_OUTSIDE, frame, n).drop);
    help_chain_counts(&help_portscan, "portscan: hidden 3");
    help_segment_frame(&v6, frame);
    memmove(frame + 62, frame + 54, 20);
    memcpy(frame + 54, (uint8_t[8]){6, 0, 1, 4}, 8); /* one that can be read */
    frame[20] = 60;
    frame[19] = 28;
    assert_false(help_chain_send(&help_portscan, NF_OUTSIDE, frame, 82).drop);
    help_chain_counts(&help_portscan, "portscan: contacts 2, checksum 0");
}

/*
 * portscan's walks: decisions are held against a walk in doubles, by the paper's formulas, and against
 * captures. Facts of those are tshark's: packets with tcp.flags.syn, tcp.flags.ack and tcp.flags.reset,
 * addresses and ports, from which a program of its own told first connections and outcomes, and in doubles
 * the decisions.
 */

#define HOSTS 6u

struct model {
    double theta0, theta1, alpha, beta, ratio[HOSTS];
    bool scanner[HOSTS];
    unsigned next[HOSTS], scanners, benign;
};

static void model_step(struct model *m, unsigned host, bool success)
{
    if (m->scanner[host])
        return;
    m->ratio[host] *= success ? m->theta1 / m->theta0 : (1 - m->theta1) / (1 - m->theta0);
    if (m->ratio[host] >= m->beta / m->alpha) {
        m->scanner[host] = true;
        m->scanners++;
    } else if (m->ratio[host] <= (1 - m->beta) / (1 - m->alpha)) {
        m->ratio[host] = 1;
        m->benign++;
    }
}

CHAIN_TEST(decisions_are_those_of_the_papers_formulas)
{
    static const unsigned sets[][4] = {
        {800, 200, 10, 990}, {801, 333, 7, 991}, {550, 450, 50, 930}, {998, 1, 2, 997}, {650, 470, 13, 890}};
    uint64_t draws = 5;

    for (unsigned k = 0; k < sizeof(sets) / sizeof(sets[0]); k++) {
        struct model m = {.theta0 = sets[k][0] / 1000.,
                          .theta1 = sets[k][1] / 1000.,
                          .alpha = sets[k][2] / 1000.,
                          .beta = sets[k][3] / 1000.};
        char nfs[256];

        for (unsigned i = 0; i < HOSTS; i++)
            m.ratio[i] = 1;
        snprintf(nfs, sizeof(nfs),
                 PORTSCAN("theta0: %u, theta1: %u, alpha: %u, beta: %u, answer: 1, hold: 600000, "
                          "remember: 600000"),
                 sets[k][0], sets[k][1], sets[k][2], sets[k][3]);
        help_portscan_open(nfs);
        for (unsigned n = 0; n < 3000; n++) {
            unsigned host = help_below(&draws, HOSTS), how = help_below(&draws, 2 + 2 * host);
            uint32_t to = D(m.next[host]);

            m.next[host]++;
            help_portscan_syn(S + host, to);
            if (how == 0)
                help_portscan_answer(S + host, to, NFT_RST);
            else if (how == 1)
                help_chain_wait_tenths(&help_portscan, 11);
            else
                help_portscan_answer(S + host, to, NFT_SYN);
            model_step(&m, host, how >= 2);
            help_chain_counts(&help_portscan, "portscan: scanners %u, benign %u", m.scanners, m.benign);
        }
        assert_true(m.scanners && m.benign);
    }
}

/* ---- captures ---- */

struct fact {
    const char *file, *nfs;
    uint64_t contacts, successes, refused, unanswered, scanners, benign;
};

#define UNDECIDED "watch: inside, theta0: 501, theta1: 499, alpha: 1, beta: 999"

static const struct fact facts[] = {
    {"gnutella.pcap", PORTSCAN(UNDECIDED), 130, 52, 7, 71, 0, 0},
    {"gnutella.pcap", PORTSCAN(UNDECIDED ", destinations: ports"), 136, 57, 7, 72, 0, 0},
    {"gnutella.pcap", PORTSCAN("watch: inside"), 69, 19, 5, 45, 1, 3},
    {"synscan.pcap", PORTSCAN("watch: inside"), 1, 0, 0, 1, 0, 0},
    {"synscan.pcap", PORTSCAN(UNDECIDED ", destinations: ports"), 1000, 3, 4, 993, 0, 0},
    {"synscan.pcap", PORTSCAN("watch: inside, destinations: ports"), 1000, 3, 4, 993, 1, 0},
    {"1kxun.pcap", PORTSCAN("watch: inside"), 11, 11, 0, 0, 0, 2},
    {"mixed.pcap", PORTSCAN("watch: inside"), 3, 2, 0, 1, 0, 0},
};

/* In its own time, a burst for a packet: what times out does so between the packets that it did between. */
CHAIN_TEST(outcomes_over_captures_are_those_of_tshark)
{
    help_captures_or_skip();
    for (unsigned i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
        const struct fact *f = &facts[i];
        struct help_capture capture;

        if (!help_capture_read(&capture, f->file))
            continue;
        help_portscan_open(f->nfs);
        for (uint32_t at = 0; at < capture.count; at++) {
            const struct help_captured *c = &capture.list[at];
            struct nf_packet p = {.data = c->data, .len = c->len, .have = c->have, .side = c->side};

            while (nf_chain_wake(help_portscan.chain) < 100 * HELP_SECOND + c->time)
                help_chain_idle(&help_portscan, nf_chain_wake(help_portscan.chain) > help_portscan.now
                                                    ? nf_chain_wake(help_portscan.chain)
                                                    : help_portscan.now);
            help_chain_run(&help_portscan, 100 * HELP_SECOND + c->time, &p, 1);
        }
        for (unsigned s = 0; s < 20; s++)
            help_chain_wait_tenths(&help_portscan, 10);
        print_message("# %s\n", f->file);
        help_portscan_outcomes(f->contacts, f->successes, f->refused, f->unanswered);
        help_chain_counts(&help_portscan, "portscan: scanners %lu, benign %lu", f->scanners, f->benign);
        assert_true(help_chain_same((help_chain_open(&help_portscan, f->nfs, NULL, i), &help_portscan),
                                    f->file, false));
        help_capture_free(&capture);
    }
}
