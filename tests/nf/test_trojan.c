/* SPDX-License-Identifier: Apache-2.0 */
/*
 * trojan: the five steps and no other order, segments out of order held against a plain model that has the
 * whole stream, connections that are asked for again, full tables, a peer's state.
 */
#include "nflib/nf.h"
#include "nflib/session/index.h"
#include "tests/help/chain.h"
#include "tests/help/nf.h"
#include "tests/help/test.h"

#define TROJAN(more) "    - trojan: { ipv6: true, " more " }\n"
#define HOST         NFT_IP(10, 0, 0, 1)
#define ISN          0xfffffff0u

static struct help_chain h;
static bool over_ipv6; /* hosts are 2001:db8::1, ::2 then */

static void open_one(const char *nfs)
{
    help_chain_open(&h, nfs, NULL, 3);
    help_chain_idle(&h, 100 * HELP_SECOND);
}

static void send_from(uint32_t host, uint16_t sport, uint16_t dport, uint8_t flags, uint32_t seq,
                      const char *text)
{
    struct help_segment segment =
        HELP_SEGMENT(6, (uint8_t)host, sport, 200, dport, .ipv6 = over_ipv6, .flags = flags, .seq = seq,
                     .payload = text, .len = (uint32_t)strlen(text));
    uint8_t frame[NFT_FRAME_MAX];
    uint32_t len = help_segment_frame(&segment, frame);

    assert_int_equal(help_chain_send(&h, NF_INSIDE, frame, len).drop, 0);
}

static void begin(uint16_t sport, uint16_t dport)
{
    send_from(HOST, sport, dport, NFT_SYN, ISN, "");
}

static void say(uint16_t sport, uint32_t at, const char *text)
{
    send_from(HOST, sport, 21, NFT_ACK | NFT_PSH, ISN + 1 + at, text);
}

static void ask(uint16_t sport, const char *first, const char *second, const char *third)
{
    begin(sport, 21);
    say(sport, 0, first);
    say(sport, (uint32_t)strlen(first), second);
    say(sport, (uint32_t)(strlen(first) + strlen(second)), third);
}

#define HTML "RETR index.html\r\n"
#define ZIP  "retr a b.ZIP\r\n"
#define EXE  "RETR /tmp/x.exe\r\n"

CHAIN_TEST(five_steps_in_order_are_a_trojan)
{
    open_one(TROJAN());
    begin(1000, 22);
    ask(1001, HTML, ZIP, EXE);
    help_chain_counts(&h, "trojan: trojans 0");
    help_chain_has(&h, "trojan",
                   over_ipv6 ? "\"host\":\"2001:db8::1\",\"step\":\"exe\""
                             : "\"host\":\"10.0.0.1\",\"step\":\"exe\"");
    begin(1002, 6667);
    help_chain_counts(&h, "trojan: trojans 1");
    help_chain_has(&h, "trojan", "\"step\":\"trojan\"");
    begin(1003, 6667);
    help_chain_counts(&h, "trojan: trojans 1, ssh 1, irc 2, files 3");
}

CHAIN_TEST(another_order_is_none)
{
    static const char *const orders[][3] = {{ZIP, HTML, EXE},
                                            {HTML, EXE, ZIP},
                                            {EXE, ZIP, HTML},
                                            {HTML, HTML, EXE},
                                            {"STOR a.html\r\n", ZIP, EXE},
                                            {"RETR html\r\n", ZIP, EXE},
                                            {"RETR a.html", ZIP, EXE}};

    for (unsigned i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
        open_one(TROJAN());
        begin(1000, 22);
        ask(1001, orders[i][0], orders[i][1], orders[i][2]);
        begin(1002, 6667);
        help_chain_counts(&h, "trojan: trojans 0");
    }
    open_one(TROJAN()); /* IRC first, and SSH behind the files */
    begin(1002, 6667);
    ask(1001, HTML, ZIP, EXE);
    begin(1000, 22);
    help_chain_counts(&h, "trojan: trojans 0");
    ask(1003, HTML, ZIP, EXE);
    help_chain_counts(&h, "trojan: trojans 0");
    begin(1002, 6667); /* its SYN once more is no other connection */
    help_chain_counts(&h, "trojan: trojans 0");
    send_from(HOST + 1, 1002, 6667, NFT_SYN, 1, ""); /* another host's */
    help_chain_counts(&h, "trojan: trojans 0");
    begin(1004, 6667);
    help_chain_counts(&h, "trojan: trojans 1");
}

/* The archive's and the program's commands come before the page's, which was lost on its way, and IRC as
 * well: by the sequence numbers the order is right. */
CHAIN_TEST(what_closes_a_gap_was_sent_before)
{
    open_one(TROJAN());
    begin(1000, 22);
    begin(1001, 21);
    say(1001, sizeof(HTML) - 1, ZIP);
    say(1001, sizeof(HTML ZIP) - 1, EXE);
    begin(1002, 6667);
    help_chain_counts(&h, "trojan: trojans 0");
    say(1001, 0, HTML);
    help_chain_counts(&h, "trojan: trojans 1, files 3");
    say(1001, 0, HTML); /* once more */
    help_chain_counts(&h, "trojan: files 3");
}

/* And where they had been sent in another order, it is not. */
CHAIN_TEST(segments_out_of_order_do_not_make_one)
{
    open_one(TROJAN());
    begin(1000, 22);
    begin(1001, 21);
    say(1001, sizeof(EXE ZIP) - 1, HTML);
    say(1001, sizeof(EXE) - 1, ZIP);
    say(1001, 0, EXE);
    begin(1002, 6667);
    help_chain_counts(&h, "trojan: trojans 0, files 3");
}

/* Seeded orders of a stream's segments, some twice, no more than three of them behind a gap: the model has
 * the stream as it was sent. */
CHAIN_TEST(reordered_streams_are_as_they_were_sent)
{
    static const char *const kinds[] = {HTML, ZIP, EXE, "NOOP\r\n", "LIST\r\n"};
    uint64_t draws = 9;
    unsigned found = 0;

    for (unsigned round = 0; round < 400; round++) {
        const char *sent[12];
        uint32_t at[12], order[12], n = 4 + help_below(&draws, 9), step = 0, sum = 0;

        open_one(TROJAN());
        begin(1000, 22);
        begin(1001, 21);
        for (uint32_t i = 0; i < n; i++) {
            uint32_t kind = help_below(&draws, 5);

            kind = help_below(&draws, 2) && step < 3 ? step : kind;
            sent[i] = kinds[kind];
            at[i] = sum;
            sum += (uint32_t)strlen(sent[i]);
            step += kind < 3 && kind == step;
            order[i] = i;
        }
        for (uint32_t i = 0; i + 4 <= n; i += 4) { /* within four: three wait at most */
            uint32_t j = i + help_below(&draws, 4), k = i + help_below(&draws, 4), t = order[j];

            order[j] = order[k];
            order[k] = t;
        }
        for (uint32_t i = 0; i < n; i++) {
            say(1001, at[order[i]], sent[order[i]]);
            if (!help_below(&draws, 3))
                say(1001, at[order[i]], sent[order[i]]);
        }
        begin(1002, 6667);
        help_chain_counts(&h, "trojan: trojans %u, gaps 0", step == 3);
        found += step == 3;
    }
    assert_true(found > 50 && found < 350);
}

CHAIN_TEST(a_gap_that_stays_is_given_up)
{
    open_one(TROJAN());
    begin(1000, 22);
    begin(1001, 21);
    say(1001, 100, HTML);
    say(1001, 200, ZIP);
    say(1001, 300, EXE);
    help_chain_counts(&h, "trojan: files 0");
    say(1001, 400, "QUIT\r\n");
    help_chain_counts(&h, "trojan: gaps 1, files 1");
    say(1001, 5u << 20, EXE); /* of nothing that is followed */
    help_chain_counts(&h, "trojan: gaps 1");
    say(1001, 500, "QUIT\r\n");
    help_chain_counts(&h, "trojan: files 2");
}

CHAIN_TEST(commands_share_a_segment)
{
    open_one(TROJAN());
    begin(1000, 22);
    begin(1001, 21);
    say(1001, 0, "USER x\r\n" HTML "NOOP\r\n" ZIP EXE EXE EXE EXE EXE EXE EXE EXE "RETR");
    help_chain_counts(&h, "trojan: files 8");
    begin(1002, 6660);
    help_chain_counts(&h, "trojan: trojans 1");
}

CHAIN_TEST(hosts_are_forgotten_and_cleared)
{
    open_one(TROJAN("remember: 10, max_hosts: 1, irc: 7000"));
    begin(1000, 22);
    help_chain_wait_tenths(&h, 99);
    help_chain_has(&h, "trojan", "\"step\":\"ssh\"");
    help_chain_wait_tenths(&h, 1);
    assert_int_equal(help_chain_rows(&h, "trojan"), 0);
    begin(1001, 7000);
    help_chain_counts(&h, "trojan: irc 1");
    assert_int_equal(help_chain_command(&h, over_ipv6 ? "clear trojan 2001:db8::2" : "clear trojan 10.0.0.2"),
                     FT_ENOENT);
    assert_int_equal(help_chain_command(&h, "clear trojan x"), FT_EINVAL);
    assert_int_equal(help_chain_command(&h, over_ipv6 ? "clear trojan 2001:db8::1" : "clear trojan 10.0.0.1"),
                     FT_OK);
    assert_int_equal(help_chain_rows(&h, "trojan"), 0);
    begin(1002, 22);
    assert_int_equal(help_chain_command(&h, "clear trojan"), FT_OK);
    assert_int_equal(help_chain_rows(&h, "trojan"), 0);
    assert_int_equal(help_chain_command(&h, "set trojan tcp_closed=5"), FT_OK);
}

CHAIN_TEST(a_full_table_of_flows_is_counted)
{
    open_one(TROJAN("max_flows: 1, tcp_transitory: 5"));
    for (uint16_t port = 1000; port < 1040; port++) { /* in one burst or not, a new one displaces an old */
        begin(port, 21);
        say(port, 0, HTML);
    }
    assert_int_equal(
        help_chain_counter(&h, "trojan", "files") + help_chain_counter(&h, "trojan", "flows_full"), 40);
}

CHAIN_TEST(damaged_state_is_refused)
{
    const struct nf *nf;
    struct tj_control {
        uint32_t next, count;
        struct {
            uint64_t number;
            uint32_t seq;
            uint16_t len, files;
        } held[3];
    } * control;

    open_one(TROJAN("max_hosts: 4, max_flows: 8"));
    begin(1001, 21);
    say(1001, 100, HTML);
    begin(1000, 22);
    nf = nf_chain_find(h.chain, "trojan");
    content_of_chain(h.region, h.chain);
    content_passes();
    control = (struct tj_control *)(uintptr_t)nf_session_slot(nf, nf_session_at(nf->env->sessions->table, 0));
    DAMAGED(&control->count, 4, "session 0 holds 4 segments");
    DAMAGED(&control->held[0].files, 4, "session 0 holds 1 segments");
}

/* Of two addresses each is a host, and IPv6 is not looked at unless asked for. */
CHAIN_TEST(families_are_hosts_of_their_own)
{
    bool was = over_ipv6;

    open_one(TROJAN());
    begin(1000, 22);
    over_ipv6 = !was;
    ask(1001, HTML, ZIP, EXE);
    begin(1002, 6667);
    help_chain_counts(&h, "trojan: trojans 0");
    over_ipv6 = was;
    ask(1001, HTML, ZIP, EXE);
    begin(1002, 6667);
    help_chain_counts(&h, "trojan: trojans 1");
    open_one("    - trojan: {}\n");
    begin(1000, 22);
    help_chain_counts(&h, "trojan: ssh %u", !over_ipv6);
}

static void go_over_ipv6(void **state)
{
    over_ipv6 = true;
}

int main(void)
{
    return help_tests_run_twice("over_ipv6", go_over_ipv6);
}
