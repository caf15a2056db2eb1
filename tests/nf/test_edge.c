/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chains over real captures, with audit. What the NAT does to each packet is compared with the packet
 * readdressed by the test itself, outward and, by the mapping seen then, back inward. Chains run over
 * captures once more as they did, and from captured header bytes alone, as replay does: outputs and region
 * are equal.
 */
#include "tests/help/chain.h"

#include <arpa/inet.h>
#include "tests/help/test.h"

#define OUTSIDE NFT_IP(198, 18, 0, 1) /* in none of the captures */
#define NAT     "    - nat: { inside: [0.0.0.0/0], outside: 198.18.0.1, unsupported: pass }\n"
#define LONG                                                                                                 \
    "    - nat: { inside: [0.0.0.0/0], outside: 198.18.0.1, unsupported: pass, tcp_established: 604800,"     \
    " tcp_transitory: 604800, udp: 604800, icmp: 604800 }\n"
#define WALL    "    - firewall: { rules: firewall.rules, unsupported: pass }\n"
#define MONITOR "    - monitor: { timeout: 20 }\n"
#define FLOWS   16384u

static struct help_chain h;

struct input {
    uint8_t *data; /* exactly what was there, so that reading further is seen by the sanitizer */
    uint32_t len, have;
    uint64_t time;
    uint8_t side;
};

static uint8_t *copy_of(const uint8_t *data, uint32_t n)
{
    uint8_t *copy = malloc(n ? n : 1);
    assert_non_null(copy);
    memcpy(copy, data, n);
    return copy;
}

/* ---- what the NAT should do ------------------------------------------------------------------------ */

struct mapping {
    uint32_t inside, remote;
    uint16_t iport, rport, port;
    uint8_t proto;
    bool direct; /* none: the flow began from outside, to the inside address, and goes on as it began */
    bool answered;
    uint64_t seen; /* ns */
};
static struct mapping mappings[FLOWS];
static unsigned mapping_count, direct_count, again_count;
static uint8_t port_used[3][65536];

static struct mapping *mapping_find(uint8_t proto, uint32_t inside, uint16_t iport, uint32_t remote,
                                    uint16_t rport)
{
    rport = proto == 1 ? 0 : rport;
    for (unsigned i = 0; i < mapping_count; i++) {
        struct mapping *m = &mappings[i];
        if (m->proto == proto && m->inside == inside && m->remote == remote && m->iport == iport &&
            m->rport == rport)
            return m;
    }
    return NULL;
}

/* True for what is whole and has ports: its checksums were made right before it went in. */
static bool is_plain(const uint8_t *data, uint32_t have, uint32_t len, struct nft_seen *s)
{
    struct nf_packet p = {.data = (uint8_t *)(uintptr_t)data, .len = len, .have = have};
    nf_packet_parse(&p);
    if (!nft_see(data, have, s) || s->end > have || s->fragment || p.flags & NF_P_BAD)
        return false;
    return s->proto == 6 || s->proto == 17 || (s->proto == 1 && (s->type == 0 || s->type == 8));
}

/* From outside to a flow that was seen: to the outside address and port, as the remote end would send it. */
static void aim(struct input *in)
{
    struct nft_seen s;
    if (!is_plain(in->data, in->have, in->len, &s))
        return;
    const struct mapping *m =
        in->side == NF_OUTSIDE ? mapping_find(s.proto, s.dst, s.dport, s.src, s.sport) : NULL;
    bool ping = s.proto == 1 && s.type == 8;
    if (m && !m->direct && !ping)
        nft_readdress(in->data, in->have, s.src, s.proto == 1 ? m->port : s.sport, OUTSIDE, m->port);
    else
        nft_readdress(in->data, in->have, s.src, s.sport, s.dst, s.dport);
}

static void expect_equal(const uint8_t *frame, const uint8_t *expected, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (frame[i] != expected[i])
            fail_msg("byte %u of %u is %02x, expected %02x", i, n, frame[i], expected[i]);
}

static void check_outward(const struct input *in, const struct nf_packet *p)
{
    struct nft_seen was, is;
    if (!is_plain(in->data, in->have, in->len, &was))
        return;
    nft_see(p->data, p->have, &is);
    struct mapping *m = mapping_find(was.proto, was.src, was.sport, was.dst, was.dport);
    uint8_t pool = was.proto == 6 ? 0 : was.proto == 17 ? 1 : 2;
    /* A datagram without an answer is forgotten after 30 s: the next one has another port. */
    if (m && !m->direct && was.proto == 17 && !m->answered && in->time >= m->seen + 30 * HELP_SECOND &&
        m->port != is.sport) {
        assert_int_equal(port_used[pool][is.sport], 0);
        assert_in_range(is.sport, 1024, 65535);
        port_used[pool][is.sport] = 1;
        m->port = is.sport;
        again_count++;
    }
    if (!m) {
        assert_true(mapping_count < FLOWS);
        assert_int_equal(port_used[pool][is.sport], 0);
        assert_in_range(is.sport, 1024, 65535);
        port_used[pool][is.sport] = 1;
        m = &mappings[mapping_count++];
        *m =
            (struct mapping){was.src, was.dst, was.sport, was.proto == 1 ? 0 : was.dport, is.sport, was.proto,
                             false,   false,   0};
    }
    m->seen = in->time;
    uint8_t *expected = copy_of(in->data, in->have);
    nft_readdress(expected, in->have, m->direct ? was.src : OUTSIDE, m->port, was.dst, was.dport);
    expect_equal(p->data, expected, in->have);
    free(expected);
}

/* `original`: as captured, addressed to the inside host. */
static void check_inward(const struct help_captured *original, const struct input *in,
                         const struct nf_packet *p)
{
    struct nft_seen s;
    if (!is_plain(original->data, original->have, original->len, &s))
        return;
    if (!mapping_find(s.proto, s.dst, s.dport, s.src, s.sport)) {
        assert_true(mapping_count < FLOWS);
        mappings[mapping_count++] = (struct mapping){
            s.dst, s.src, s.dport, s.proto == 1 ? 0 : s.sport, s.dport, s.proto, true, false, 0};
        direct_count++;
    }
    struct mapping *m = mapping_find(s.proto, s.dst, s.dport, s.src, s.sport);
    m->answered = true;
    m->seen = in->time;
    uint8_t *expected = copy_of(original->data, in->have);
    nft_readdress(expected, in->have, s.src, s.sport, s.dst, s.dport);
    expect_equal(p->data, expected, in->have);
    free(expected);
}

/* ---- captures ------------------------------------------------------------------------------------------ */

static const char *const captures[] = {
    "http-methods.pcap",
    "ftp-bruteforce.pcap",
    "synscan.pcap",
    "gnutella.pcap",
    "1kxun.pcap",
    "WebattackRCE.pcap",
    "bot.pcap",
    "http-qinq.pcap",
    "dnscrypt-v1-and-resolver-pings.pcap",
    "mixed.pcap",
    "badpackets.pcap",
    "ip_fragmented_garbage.pcap",
    "tcp-truncated-header.pcap",
};

static void over_captures(const char *nfs, const char *rules, const char *file)
{
    help_captures_or_skip();
    for (unsigned i = 0; i < sizeof(captures) / sizeof(captures[0]); i++) {
        if (file)
            help_chain_open_file(&h, file, i);
        else
            help_chain_open(&h, nfs, rules, i);
        help_chain_same(&h, captures[i], strncmp(captures[i], "dnscrypt", 8) == 0);
    }
}

CHAIN_TEST(nat_replays_captures_to_the_same_state)
{
    over_captures(NAT, NULL, NULL);
}
CHAIN_TEST(firewall_replays_captures_to_the_same_state)
{
    over_captures(WALL, "allow out\nallow in tcp to any port 80\ndefault deny in\n", NULL);
}
CHAIN_TEST(monitor_replays_captures_to_the_same_state)
{
    over_captures(MONITOR, NULL, NULL);
}
CHAIN_TEST(the_edge_chain_replays_captures_to_the_same_state)
{
    over_captures(NULL, NULL, "nfs/chains/edge.yaml");
}

/* Timers first in bursts of their own, as an idle lane does. What passes is compared with the model. */
static void run_translated(const struct help_captured *list, uint32_t n)
{
    struct nf_packet burst[NF_BURST_MAX];
    struct input in[NF_BURST_MAX];
    uint64_t time = list[n - 1].time;

    for (uint32_t i = 0; i < n; i++) {
        const struct help_captured *c = &list[i];

        in[i] = (struct input){copy_of(c->data, c->have), c->len, c->have, time, c->side};
        aim(&in[i]);
        burst[i] = (struct nf_packet){
            .data = copy_of(in[i].data, c->have), .len = c->len, .have = c->have, .side = c->side};
    }
    if (nf_chain_due(h.chain, time))
        help_chain_idle(&h, time);
    help_chain_run(&h, time, burst, n);
    for (uint32_t i = 0; i < n; i++) {
        if (!burst[i].drop && in[i].side == NF_INSIDE)
            check_outward(&in[i], &burst[i]);
        else if (!burst[i].drop)
            check_inward(&list[i], &in[i], &burst[i]);
        free(burst[i].data);
        free(in[i].data);
    }
}

/* Mappings: flows in the capture, all begun from the lesser or private address (tshark -z conv). 0: not told.
 */
static void translate(const char *file, unsigned flows)
{
    struct help_capture capture;
    uint64_t seed = 9;

    help_captures_or_skip();
    if (!help_capture_read(&capture, file))
        return;
    print_message("# %s\n", file);
    mapping_count = direct_count = again_count = 0;
    memset(port_used, 0, sizeof(port_used));
    help_chain_open(&h, LONG WALL MONITOR, "default allow\n", 9);
    for (uint32_t at = 0, n; at < capture.count; at += n) {
        n = 1 + help_below(&seed, NF_BURST_MAX);
        n = n > capture.count - at ? capture.count - at : n;
        run_translated(&capture.list[at], n);
    }
    assert_int_equal(help_chain_counter(&h, "nat", "mappings_created"),
                     mapping_count - direct_count + again_count);
    help_chain_counts(&h, "nat: wrong_remote 0, ports_exhausted 0");
    if (flows)
        assert_int_equal(mapping_count - direct_count, flows);
    help_capture_free(&capture);
}

CHAIN_TEST(captures_get_a_mapping_for_each_flow)
{
    translate("http-methods.pcap", 49);
    translate("ftp-bruteforce.pcap", 30);
    translate("WebattackRCE.pcap", 797);
    translate("bot.pcap", 1);
    translate("http-qinq.pcap", 1);
    translate("synscan.pcap", 0);
    translate("gnutella.pcap", 0);
    translate("1kxun.pcap", 0);
    translate("mixed.pcap", 0);
    translate("echo-connections.pcap.gz", 500);
}

/* Without any capture: what the chain file says, and that firewall and monitor see the outside address alone.
 */
CHAIN_TEST(firewall_and_monitor_see_the_outside_address_alone)
{
    static char text[65536];
    uint32_t site = NFT_IP(203, 0, 113, 1), host = NFT_IP(192, 168, 7, 8), web = NFT_IP(192, 0, 2, 80);
    struct nft_spec out = {.src = host, .dst = web, .sport = 999, .dport = 80, .proto = 6, .tcp = NFT_SYN};
    struct nft_spec back = {.src = web, .dst = site, .sport = 80, .proto = 6, .tcp = NFT_SYN | NFT_ACK};
    struct nft_spec ping = {.src = web, .dst = site, .sport = 5, .proto = 1, .type = 8};
    struct nft_seen seen;
    help_chain_open_file(&h, "nfs/chains/edge.yaml", 1);
    h.now = HELP_SECOND;
    assert_true(help_chain_spec(&h, NF_INSIDE, &out, &seen));
    assert_int_equal(seen.src, site);
    back.dport = seen.sport;
    assert_true(help_chain_spec(&h, NF_OUTSIDE, &back, &seen));
    assert_int_equal(seen.dst, host);
    assert_int_equal(seen.dport, 999);
    back.sport = 81;
    assert_false(help_chain_spec(&h, NF_OUTSIDE, &back, NULL));
    assert_int_equal(help_chain_counter(&h, "firewall", "denied"), 1);
    out.dport = 25;
    assert_false(help_chain_spec(&h, NF_INSIDE, &out, NULL));
    assert_true(help_chain_spec(&h, NF_OUTSIDE, &ping, NULL));
    help_chain_show(&h, "firewall", text, sizeof(text));
    assert_non_null(strstr(text, "\"from\":\"203.0.113.1:"));
    assert_null(strstr(text, "192.168."));
    help_chain_show(&h, "monitor", text, sizeof(text));
    assert_non_null(strstr(text, "\"from\":\"203.0.113.1:"));
    assert_null(strstr(text, "192.168."));
}
