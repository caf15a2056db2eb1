/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log of flows: what nat and monitor tell, held against frames as they left; that a full log loses and
 * counts, with gaps in the numbers; and that how far the export has come is part of the record, so that
 * replay fills the same log without an exporter.
 */
#include "tests/help/chain.h"
#include "tests/help/test.h"

#include <arpa/inet.h>

#define OUTSIDE NFT_IP(203, 0, 113, 1)
#define HOST    NFT_IP(10, 1, 2, 3)
#define OTHER   NFT_IP(10, 1, 2, 4)
#define REMOTE  NFT_IP(198, 51, 100, 7)
#define NAT                                                                                                  \
    "    - nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, udp: 5, forward: \"udp/53=10.1.2.3:5353\", "   \
    "hairpin: true }\n"
#define LOG "    - flow_log: { events: 256 }\n"

static struct help_chain h;

static const struct nf_log *the_log(void)
{
    return nf_chain_log(h.chain);
}

static const struct nf_log_event *event(uint64_t position)
{
    const struct nf_log *log = the_log();

    assert_true(position < log->made);
    return &log->ring[position % log->capacity];
}

static bool udp(uint8_t side, uint32_t src, uint16_t sport, uint32_t dst, uint16_t dport,
                struct nft_seen *seen)
{
    return help_chain_spec(&h, side, &HELP_PACKET(17, src, sport, dst, dport, .payload = 58), seen);
}

static uint32_t addr(const uint8_t bytes[16])
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void is_event(uint64_t position, enum nf_log_kind kind, const struct nft_seen *before,
                     const struct nft_seen *after)
{
    const struct nf_log_event *e = event(position);

    assert_int_equal(e->kind, kind);
    assert_int_equal(e->proto, before->proto);
    assert_int_equal(e->number, the_log()->lineage + position);
    assert_int_equal(addr(e->source), before->src);
    assert_int_equal(ntohs(e->sport), before->sport);
    assert_int_equal(addr(e->destination), before->dst);
    assert_int_equal(ntohs(e->dport), before->dport);
    assert_int_equal(ntohl(e->to_source), after->src);
    assert_int_equal(ntohs(e->to_sport), after->sport);
    assert_int_equal(ntohl(e->to_destination), after->dst);
    assert_int_equal(ntohs(e->to_dport), after->dport);
}

CHAIN_TEST(a_mapping_begins_and_ends_once)
{
    const struct nft_seen before = {.src = HOST, .sport = 4000, .dst = REMOTE, .dport = 53, .proto = 17};
    struct nft_seen after;

    help_chain_begin(&h, NAT LOG, NULL);
    assert_true(udp(NF_INSIDE, HOST, 4000, REMOTE, 53, &after));
    assert_true(udp(NF_OUTSIDE, REMOTE, 53, OUTSIDE, after.sport, NULL));
    assert_true(udp(NF_INSIDE, HOST, 4000, REMOTE, 53, NULL));
    assert_int_equal(the_log()->made, 1);
    is_event(0, NF_LOG_BEGIN, &before, &after);
    assert_int_equal(event(0)->burst, h.burst - 2);
    assert_int_equal(event(0)->time, HELP_SECOND); /* nobody has said what the wall clock is */
    help_chain_wait_tenths(&h, 100);
    assert_int_equal(the_log()->made, 2);
    is_event(1, NF_LOG_END, &before, &after);
    assert_int_equal(event(1)->burst, h.burst);
    assert_int_equal(event(1)->why, NF_SESSION_IDLE);
    assert_int_equal(help_chain_counter(&h, "flow_log", "events"), 2);
    help_chain_is_sound(&h);
}

CHAIN_TEST(sessions_from_outside_and_hairpins_have_both_ends)
{
    struct nft_seen before = {.src = REMOTE, .sport = 4000, .dst = OUTSIDE, .dport = 53, .proto = 17}, after;

    assert_true(udp(NF_OUTSIDE, REMOTE, 4000, OUTSIDE, 53, &after));
    is_event(0, NF_LOG_BEGIN, &before, &after);
    before = (struct nft_seen){.src = OTHER, .sport = 4001, .dst = OUTSIDE, .dport = 53, .proto = 17};
    assert_true(udp(NF_INSIDE, OTHER, 4001, OUTSIDE, 53, &after));
    assert_int_equal(after.dst, HOST);
    is_event(1, NF_LOG_BEGIN, &before, &after);
    assert_int_equal(the_log()->made, 2);
}

CHAIN_TEST(an_echo_has_its_identifier_as_the_source_port)
{
    const struct nft_spec echo = {.src = HOST, .dst = REMOTE, .sport = 77, .proto = 1, .type = 8};
    struct nft_seen before = {.src = HOST, .sport = 77, .dst = REMOTE, .proto = 1}, after;

    assert_true(help_chain_spec(&h, NF_INSIDE, &echo, &after));
    after.dport = 0;
    is_event(0, NF_LOG_BEGIN, &before, &after);
}

static void is_text(const void *at, const char *expected)
{
    char text[INET6_ADDRSTRLEN];

    assert_non_null(inet_ntop(strchr(expected, ':') ? AF_INET6 : AF_INET, at, text, sizeof(text)));
    assert_string_equal(text, expected);
}

CHAIN_TEST(between_families_both_are_told)
{
    const struct six out = SIX(17, "2001:db8::c", 4000, "64:ff9b::c633:6407", 53, .payload = 9);
    const struct nf_log_event *e;
    struct six_seen seen;

    help_chain_open(
        &h,
        "    - monitor: { max_flows: 9, timeout: 3, ipv6: true }\n    - nat64: { outside: 203.0.113.1, "
        "max_flows: 9, udp: 3 }\n" LOG,
        NULL, 1);
    assert_true(help_chain_six(&h, NF_INSIDE, &out, &seen));
    assert_string_equal(seen.from, "203.0.113.1");
    assert_int_equal(the_log()->made, 1);
    help_chain_wait_tenths(&h, 100);
    assert_int_equal(the_log()->made, 3);
    for (unsigned i = 0; i < 3; i++) {
        e = event(i);
        assert_true(e->ipv6);
        assert_int_equal(e->proto, 17);
        is_text(e->source, "2001:db8::c");
        is_text(e->destination, "64:ff9b::c633:6407");
        assert_int_equal(ntohs(e->sport), 4000);
        assert_int_equal(ntohs(e->dport), 53);
        if (e->kind == NF_LOG_FLOW)
            continue;
        is_text(&e->to_source, "203.0.113.1");
        is_text(&e->to_destination, "198.51.100.7");
        assert_int_equal(ntohs(e->to_sport), seen.sport);
        assert_int_equal(ntohs(e->to_dport), 53);
    }
    assert_int_equal(event(0)->kind, NF_LOG_BEGIN);
    assert_int_equal(event(1)->kind + event(2)->kind, NF_LOG_END + NF_LOG_FLOW);
}

CHAIN_TEST(what_a_firewall_refuses_is_not_told)
{
    help_chain_open(&h,
                    NAT LOG "    - firewall: { rules: firewall.rules }\n    - monitor: { max_flows: 9 }\n",
                    "allow out udp from any to any port 53\ndefault deny\n", 1);
    assert_false(udp(NF_INSIDE, HOST, 4000, REMOTE, 54, NULL));
    assert_int_equal(the_log()->made, 0);
    assert_true(udp(NF_INSIDE, HOST, 4000, REMOTE, 53, NULL));
    assert_int_equal(the_log()->made, 1);
}

CHAIN_TEST(a_flow_is_told_with_what_was_counted)
{
    const struct nf_log_event *e;

    help_chain_begin(&h, "    - monitor: { max_flows: 9, timeout: 3 }\n" LOG, NULL);
    assert_true(udp(NF_INSIDE, HOST, 4000, REMOTE, 53, NULL)); /* 100 bytes each */
    help_chain_wait_tenths(&h, 10);
    assert_true(udp(NF_INSIDE, HOST, 4000, REMOTE, 53, NULL));
    assert_true(udp(NF_OUTSIDE, REMOTE, 53, HOST, 4000, NULL));
    assert_int_equal(the_log()->made, 0);
    help_chain_wait_tenths(&h, 100);
    assert_int_equal(the_log()->made, 1);
    e = event(0);
    assert_int_equal(e->kind, NF_LOG_FLOW);
    assert_int_equal(addr(e->source), HOST);
    assert_int_equal(addr(e->destination), REMOTE);
    assert_int_equal(ntohs(e->sport), 4000);
    assert_int_equal(ntohs(e->dport), 53);
    assert_int_equal(e->packets[0], 2);
    assert_int_equal(e->bytes[0], 200);
    assert_int_equal(e->packets[1], 1);
    assert_int_equal(e->bytes[1], 100);
    assert_int_equal(e->first, HELP_SECOND);
    assert_int_equal(e->time, 2 * HELP_SECOND);
}

/* Behind a NAT the monitor sees the site's address alone: the line has the host, as its packet came. */
CHAIN_TEST(a_flow_behind_a_nat_is_told_with_its_host)
{
    static const char *const nfs[] = {
        NAT "    - monitor: { max_flows: 9, timeout: 3 }\n" LOG,
        "    - nat64: { outside: 203.0.113.1, udp: 600 }\n    - monitor: { max_flows: 9, timeout: 3 }\n" LOG};
    const struct six out = SIX(17, "2001:db8::c", 4000, "64:ff9b::c633:6407", 53);
    const struct nf_log_event *e;
    struct six_seen seen;

    for (unsigned six = 0; six < 2; six++) {
        help_chain_open(&h, nfs[six], NULL, 1);
        assert_true(six ? help_chain_six(&h, NF_INSIDE, &out, &seen)
                        : udp(NF_INSIDE, HOST, 4000, REMOTE, 53, NULL));
        assert_int_equal(help_chain_command(&h, "clear monitor"), FT_OK);
        e = event(the_log()->made - 1);
        while (e->kind != NF_LOG_FLOW)
            e--;
        assert_int_equal(e->ipv6, six);
        if (six) {
            is_text(e->source, out.from);
            is_text(e->destination, out.to);
        } else {
            assert_int_equal(addr(e->source), HOST);
            assert_int_equal(addr(e->destination), REMOTE);
        }
        assert_int_equal(ntohs(e->sport), 4000);
        assert_int_equal(ntohs(e->dport), 53);
    }
}

/* What an operator's command ends is of the burst that the command is in, not of the one before: that may be
 * stable already. */
CHAIN_TEST(a_command_is_of_its_own_burst)
{
    assert_true(udp(NF_INSIDE, HOST, 4000, REMOTE, 53, NULL));
    assert_int_equal(help_chain_command(&h, "clear nat"), FT_OK);
    assert_int_equal(the_log()->made, 2);
    assert_int_equal(event(1)->kind, NF_LOG_END);
    assert_int_equal(event(1)->why, NF_SESSION_CLEARED);
    assert_int_equal(event(1)->burst, h.burst);
}

static void flows(unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++)
        assert_true(udp(NF_INSIDE, HOST, (uint16_t)(1000 + i), REMOTE, 53, NULL));
}

CHAIN_TEST(a_full_log_loses_and_numbers_tell)
{
    char number[64];

    flows(0, 300);
    assert_int_equal(the_log()->made, 256);
    assert_int_equal(the_log()->waiting, 256);
    assert_int_equal(help_chain_counter(&h, "flow_log", "lost"), 44);
    assert_int_equal(ntohs(event(0)->sport), 1000); /* what waits stays */
    nf_chain_log_told(h.chain, (struct nf_log_told){.exported = 100});
    help_chain_wait_tenths(&h, 11); /* nothing had been exported for a while */
    assert_int_equal(the_log()->exported, 100);
    assert_int_equal(help_chain_counter(&h, "flow_log", "exported"), 100);
    flows(300, 301);
    assert_int_equal(event(256)->number, the_log()->lineage + 300);
    snprintf(number, sizeof(number), "\"next_number\":\"%016lx\"", the_log()->lineage + 301);
    help_chain_has(&h, "flow_log", number); /* text: not all that read JSON take integers above 63 bits */
    help_chain_is_sound(&h);
}

CHAIN_TEST(nobody_exports_what_was_never_made)
{
    flows(0, 10);
    nf_chain_log_told(h.chain, (struct nf_log_told){.exported = 11});
    help_chain_wait_tenths(&h, 11);
    assert_int_equal(the_log()->exported, 0);
    nf_chain_log_told(h.chain, (struct nf_log_told){.exported = 4});
    help_chain_wait_tenths(&h, 11);
    assert_int_equal(the_log()->exported, 4);
    nf_chain_log_told(h.chain, (struct nf_log_told){.exported = 3});
    help_chain_wait_tenths(&h, 11);
    assert_int_equal(the_log()->exported, 4);
}

#define BURSTS 400u

/* Each with one flow; the exporter comes behind by a number of events that changes. */
static void run_bursts(uint8_t block[BURSTS][64], uint32_t len[BURSTS], bool replays)
{
    for (unsigned i = 0; i < BURSTS; i++) {
        const struct nft_spec spec = HELP_PACKET(17, HOST, (uint16_t)(1 + i), REMOTE, 53);
        uint8_t frame[NFT_FRAME_MAX];
        struct nf_packet p = {.data = frame, .side = NF_INSIDE};
        const void *noted;

        p.len = p.have = nft_frame(&spec, frame);
        if (replays) {
            nf_chain_follow(h.chain, NULL, 0);
            if (len[i])
                assert_int_equal(nf_determinants_supply(nf_chain_determinants(h.chain), block[i], len[i]), 0);
        } else {
            nf_chain_log_told(h.chain, (struct nf_log_told){.exported = i - i % 7, .wall = 1000 + i});
        }
        help_chain_run(&h, HELP_SECOND + i * (HELP_SECOND / 100), &p, 1);
        if (replays) {
            assert_true(nf_determinants_used(nf_chain_determinants(h.chain)));
        } else {
            len[i] = nf_determinants_noted(nf_chain_determinants(h.chain), &noted);
            assert_true(len[i] <= sizeof(block[i]));
            memcpy(block[i], noted, len[i]);
        }
    }
}

CHAIN_TEST(replay_fills_the_same_log)
{
    static uint8_t block[BURSTS][64];
    static uint32_t len[BURSTS];
    uint64_t digest, exported;

    run_bursts(block, len, false);
    digest = help_chain_digest(&h);
    exported = the_log()->exported;
    assert_true(exported > 300);
    assert_true(event(the_log()->made - 1)->time > HELP_SECOND + 1000);
    help_chain_again(&h);
    run_bursts(block, len, true);
    assert_int_equal(the_log()->exported, exported);
    assert_int_equal(help_chain_digest(&h), digest);
}

/* A command ends the session before the burst's determinants are known in replay. */
CHAIN_TEST(a_command_that_ends_a_session_is_replayed)
{
    uint8_t block[2][64];
    uint32_t len[2];
    uint64_t digest = 0;
    char command[32];

    for (unsigned replays = 0; replays < 2; replays++) {
        struct nf_determinants *values;
        const void *noted;
        struct nft_seen seen;

        if (replays)
            help_chain_again(&h);
        else
            help_chain_open(&h, NAT LOG, NULL, 1);
        values = nf_chain_determinants(h.chain);
        if (replays) {
            nf_chain_follow(h.chain, NULL, 0);
            assert_int_equal(nf_determinants_supply(values, block[0], len[0]), 0);
        } else {
            nf_chain_log_told(h.chain, (struct nf_log_told){.wall = 5000});
        }
        assert_true(udp(NF_INSIDE, HOST, 4000, REMOTE, 53, &seen));
        if (!replays) {
            len[0] = nf_determinants_noted(values, &noted);
            memcpy(block[0], noted, len[0]);
            snprintf(command, sizeof(command), "clear nat udp/%u", seen.sport);
            nf_chain_log_told(h.chain, (struct nf_log_told){.wall = 6000});
        } else {
            nf_chain_follow(h.chain, NULL, 0);
        }
        help_chain_idle(&h, h.now); /* the command's burst is not behind one that had events */
        if (replays)
            nf_chain_follow(h.chain, NULL, 0);
        assert_int_equal(nf_chain_command(h.chain, command, (uint32_t)strlen(command), h.now, &h.fault), 0);
        if (replays && len[1])
            assert_int_equal(nf_determinants_supply(values, block[1], len[1]), 0);
        help_chain_idle(&h, h.now + HELP_SECOND);
        if (replays) {
            assert_true(nf_determinants_used(values));
            assert_int_equal(help_chain_digest(&h), digest);
        } else {
            len[1] = nf_determinants_noted(values, &noted);
            memcpy(block[1], noted, len[1]);
            digest = help_chain_digest(&h);
        }
        assert_int_equal(the_log()->made, 2);
        assert_int_equal(event(0)->time, 5000);
    }
}

CHAIN_TEST(another_capacity_keeps_what_waits)
{
    struct ft_fault fault = {""};
    uint64_t lineage;

    flows(0, 300);
    lineage = the_log()->lineage;
    assert_int_equal(help_change(&h, NAT "    - flow_log: { events: 1000 }\n", NULL, &fault), 0);
    assert_int_equal(the_log()->capacity, 1000);
    assert_int_equal(the_log()->lineage, lineage);
    for (unsigned i = 0; i < 256; i++)
        assert_int_equal(ntohs(event(i)->sport), 1000 + i);
    flows(300, 400);
    assert_int_equal(the_log()->made, 356);
    assert_int_equal(help_change(&h, NAT LOG, NULL, &fault), FT_EFULL);
    assert_non_null(strstr(fault.text, "356 events wait"));
    help_chain_is_sound(&h);
}

static void begin(void)
{
    help_chain_open(&h, NAT LOG, NULL, 1);
}

CHAIN_BEGINS(begin)
