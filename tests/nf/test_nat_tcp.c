/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long a connection of TCP has its mapping (RFC 5382, REQ-5: 4 minutes while opening, 2 h 4 min once
 * open). Resets and ends, which sessions cannot verify, since sequence numbers are not kept (RFC 7857, 2.2):
 * a flow that was reset stays for four minutes, and is open again when the end that sent the reset sends on.
 * One that both ends have finished is open again when one of them sends data.
 */
#include "nflib/net/tcp.h"
#include "tests/help/chain.h"
#include "tests/help/test.h"

#define OUTSIDE NFT_IP(203, 0, 113, 1)
#define HOST    NFT_IP(10, 1, 2, 3)
#define REMOTE  NFT_IP(198, 51, 100, 7)
#define NAT     "    - nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, preserve_ports: true, max_flows: 64 }\n"

static struct help_chain h;

static bool from_inside(uint16_t port, uint8_t flags)
{
    struct nft_spec spec = {.src = HOST, .dst = REMOTE, .sport = port, .dport = 80, .proto = 6, .tcp = flags};
    struct nft_seen seen;

    return help_chain_spec(&h, NF_INSIDE, &spec, &seen) && seen.sport == port;
}

static bool from_outside(uint16_t port, uint8_t flags)
{
    return help_chain_spec(&h, NF_OUTSIDE, &HELP_PACKET(6, REMOTE, 80, OUTSIDE, port, .tcp = flags), NULL);
}

static void open_connection(uint16_t port)
{
    assert_true(from_inside(port, NFT_SYN));
    assert_true(from_outside(port, NFT_SYN | NFT_ACK));
    assert_true(from_inside(port, NFT_ACK));
}

static uint64_t expired(void)
{
    return help_chain_counter(&h, "nat", "mappings_expired");
}

static uint8_t flags_of(const char *letters)
{
    uint8_t flags = 0;

    for (; *letters; letters++)
        flags |= *letters == 'S'   ? NFT_SYN
                 : *letters == 'A' ? NFT_ACK
                 : *letters == 'R' ? NFT_RST
                 : *letters == 'F' ? NFT_FIN
                                   : NFT_PSH;
    return flags;
}

/*
 * What happens to a flow of port 5000, word by word. ">SA": from inside, with these flags, and it passes;
 * "<": from outside; "!" in front: it does not pass; "?": perhaps. "open": a connection begins. ":5001": of
 * that port from now on. "20": tenths of a second go by. "=1": so many mappings have expired. Others: the
 * state that a flow is in.
 */
static void play(const char *name, const char *script)
{
    char text[256], state[32], *rest = text;
    uint16_t port = 5000;

    help_chain_open(&h, NAT, NULL, 3);
    snprintf(text, sizeof(text), "%s", script);
    print_message("# %s\n", name);
    for (const char *word = strtok_r(text, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        const char *way = strpbrk(word, "<>");

        if (way) {
            bool passed = (*way == '>' ? from_inside : from_outside)(port, flags_of(way + 1));

            if (*word != '?' && passed != (*word != '!'))
                fail_msg("%s: %s has %spassed", name, word, passed ? "" : "not ");
        } else if (*word == ':') {
            port = (uint16_t)atoi(word + 1);
        } else if (*word == '=') {
            if (expired() != (uint64_t)atoi(word + 1))
                fail_msg("%s: %lu mappings have expired, expected %s", name, expired(), word);
        } else if (*word >= '0' && *word <= '9') {
            help_chain_wait_tenths(&h, (uint64_t)atoi(word));
        } else if (strcmp(word, "open") == 0) {
            open_connection(port);
        } else {
            snprintf(state, sizeof(state), "\"%s\"", word);
            help_chain_has(&h, "nat", state);
        }
    }
}

CHAIN_TEST(a_connection_has_its_mapping_until_it_is_over)
{
    static const struct {
        const char *name, *script;
    } rows[] = {
        /* The states as RFC 9293's figure 5 names them. Half closed is open: 7440 s. */
        {"from its beginning to its end", ">S syn-sent >S syn-sent <SA syn-recv >A established >S <AP "
                                          "established <FA close-wait >A close-wait "
                                          "3000 >FA last-ack <A time-wait 99 =0 1 =1"},
        {"the same ports again after a reset", "open >FA fin-wait <R reset >S syn-sent"},
        {"both ends begin", ">S <S syn-recv >SA established"},
        {"as long as its state says", ">S 2399 =0 1 =1 :5001 open 74399 =1 <A 74399 =1 1 =2 !<A"},
        /* One FIN leaves the long timeout, both bring the short one, at once; a new SYN brings the mapping
         * back (RFC 7857). */
        {"both have finished", "open >FA 2500 =0 <FA >A 99 =0 >S <SA >A 74399 =0 1 =1"},
        /* The last ACK may come late: until then it is not over. */
        {"the last ACK", "open >FA <FA 2399 =0 >A 99 =0 1 =1"},
        /* Nothing has a mapping to reset; and one that is picked up in the middle has another port. */
        {"a reset", "open <RA 2399 =0 1 =1 !>R ?>A established"},
        /* Both ends ignored the reset: what they send keeps the mapping, as if there had been none. */
        {"a forged reset", "open <R >AP <A 200 >AP <A established 74000 >AP =0"},
        {"from inside, and while it is opened",
         "open >RA >AP established :5001 >S <RA closed <SA >A 74000 :5000 >A :5001 >A =0"},
        /* What was on its way to the end that has reset does not open the connection again. */
        {"four minutes", "open >R <AP <AP reset 2390 =0 20 =1 !<A"},
        /* The host has reset, so nothing is left to open: a forged reset of the peer, who still sends, does
         * not help. */
        {"a reset is not taken back by the other end", "open >R <R <AP reset <R <FA <A reset 2410 =1"},
        /* Both were forged: it is open once each end has sent on, in whichever order. */
        {"two forged resets",
         "open >R <R >A reset <A :5001 open >R <R <A reset >A 74000 :5000 >A :5001 >A =0"},
        /* Three forged ones in a row, with a SYN between, do not make it shorter. */
        {"a forged connection in between", "open ?<R ?<S ?<R 2390 >AP =0"},
        {"a forged reset and SYN", "open <R ?<S >AP established <A ?<R ?<S ?<R >A established 74000 >A =0"},
        /* As hosts send them that close with data unread. */
        {"a reset of a finished connection", "open >FA <FA >A >R 101 =1"},
        /* The host has finished, and the remote, whose FIN was forged, sends for as long as it likes. */
        {"a forged end", "open <FA >FA <A <AP fin-wait >A 150 <AP 74000 <AP =0 <FA >A 101 =1"},
        {"of the host, and data that comes before anybody acknowledges",
         "open >FA <FA >AP close-wait :5001 open >FA <FA <A >AP close-wait 74000 :5000 >A :5001 >A =0"},
        /* Acknowledgements, and ends that are sent again, open nothing. */
        {"an end that is sent again", "open <FAP >FAP <A <FAP >A time-wait 101 =1"},
    };

    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        play(rows[i].name, rows[i].script);
}

/* Open connections stay, and of reset ones the first goes first. */
CHAIN_TEST(reset_ones_give_way_in_a_full_table)
{
    help_chain_open(&h, NAT, NULL, 3);
    for (uint16_t port = 5000; port < 5064; port++)
        open_connection(port);
    assert_false(from_inside(6000, NFT_SYN));
    assert_true(from_outside(5010, NFT_RST));
    assert_true(from_outside(5009, NFT_RST));
    assert_true(from_outside(5008, NFT_RST));
    assert_true(from_outside(5010, NFT_ACK)); /* that one was forged */
    help_chain_wait_tenths(&h, 1);
    assert_true(from_inside(6000, NFT_SYN) && from_inside(6001, NFT_SYN));
    assert_false(from_outside(5009, NFT_ACK));
    assert_false(from_outside(5008, NFT_ACK));
    for (uint16_t port = 5010; port < 5064; port++)
        assert_true(from_outside(port, NFT_ACK));
    assert_int_equal(help_chain_counter(&h, "nat", "mappings_displaced"), 2);
}

/* The firewall judges the SYN before it leaves the connection that is there. */
CHAIN_TEST(a_syn_that_is_denied_ends_nothing)
{
    static const char chain[] =
        NAT "    - firewall: { rules: firewall.rules, max_flows: 64, loose: false }\n";

    help_chain_open(&h, chain, "default deny in\ndefault allow out\n", 3);
    open_connection(5000);
    assert_true(from_outside(5000, NFT_RST));
    assert_false(from_outside(5000, NFT_SYN));
    assert_int_equal(help_chain_counter(&h, "firewall", "denied"), 1);
    assert_true(from_outside(5000, NFT_ACK | NFT_PSH));
    assert_true(from_inside(5000, NFT_ACK | NFT_PSH));
    assert_int_equal(help_chain_counter(&h, "firewall", "denied"), 1);
}
