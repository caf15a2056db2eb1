/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets told by their sessions: a chain whose NFs read flows runs a busy edge's bursts as frames, and once
 * more from what is recorded of them, in the same region, wiped. State and outputs are the same; what is told
 * has other MAC addresses, sequence numbers, options of TCP, checksums and hops to go in the second run. What
 * a frame must not be told by, and what an input must not name, is there too.
 */
#include "tests/help/chain.h"

#include "nflib/session/index.h"
#include "node/config/config.h"
#include "tests/help/test.h"

#include <arpa/inet.h>

#define BURSTS 6000u
#define FRAME  192u
#define ENDS   512u /* packets that left lately, which are answered */
#define HOSTS  40u

struct input {
    struct nf_session_input told;
    uint32_t len, have;
    uint8_t side;
    uint8_t frame[FRAME];
};

struct came_out {
    uint8_t drop, drop_nf, out_port, tos, tcp_flags;
    uint16_t sport, dport;
    uint32_t saddr, daddr, len;
};

static struct help_chain h;
static uint64_t sequence = 1;

static uint64_t draw(void)
{
    return ft_draw(&sequence);
}

static uint32_t draw_below(uint32_t n)
{
    return help_below(&sequence, n);
}

static struct burst {
    uint64_t now;
    uint32_t n;
    struct input in[NF_BURST_MAX];
    struct came_out out[NF_BURST_MAX];
    uint32_t emitted;
} bursts[BURSTS];

static struct {
    struct input list[ENDS];
    uint32_t next;
} left; /* as they would be answered */

/* ---- what comes ----------------------------------------------------------------------------------- */

static void change_byte(struct input *in, uint32_t at, uint8_t value)
{
    in->frame[at] = value;
    nft_ip_checksum(in->frame, in->len);
}

static void make_fresh(struct input *in)
{
    static const uint8_t flags[] = {NFT_SYN, NFT_SYN, NFT_SYN, NFT_SYN, NFT_ACK, NFT_RST, NFT_FIN | NFT_ACK};
    uint8_t bytes[NFT_FRAME_MAX];
    struct nft_spec spec = HELP_PACKET(
        draw_below(3) ? NF_PROTO_TCP : NF_PROTO_UDP, NFT_IP(10, 1, 0, 2 + draw_below(HOSTS)),
        (uint16_t)(1024 + draw_below(4)),
        draw_below(3) ? NFT_IP(198, 51, 100, 1 + draw_below(8)) : NFT_IP(203, 0, 113, draw_below(2) ? 10 : 1),
        draw_below(2) ? 80 : 443, .tcp = flags[draw_below(sizeof(flags))], .seq = (uint32_t)draw(),
        .ip_id = (uint16_t)draw(), .payload = (uint16_t)draw_below(80));

    in->side = NF_INSIDE;
    if (!draw_below(6)) { /* from outside to the service, or to nobody */
        in->side = NF_OUTSIDE;
        spec.src = NFT_IP(198, 51, 100, 1 + draw_below(8));
        spec.dst = NFT_IP(203, 0, 113, draw_below(2) ? 10 : 1);
    }
    switch (draw_below(24)) {
    case 0:
        spec.tags = 1 + (uint8_t)draw_below(2);
        break;
    case 1:
        spec.options = 1;
        break;
    case 2:
        spec.proto = NF_PROTO_UDP;
        spec.fragment = draw_below(2) ? NFT_MORE : 4;
        spec.payload = 64;
        break;
    case 3:
        spec.proto = NF_PROTO_ICMP;
        spec.type = 8;
        break;
    }
    in->len = in->have = nft_frame(&spec, bytes);
    assert_in_range(in->len, 60, FRAME);
    memcpy(in->frame, bytes, in->len);
    if (!draw_below(8))
        change_byte(in, 14 + (spec.tags ? 0 : 1), spec.tags ? in->frame[14] : (uint8_t)draw());
}

/* What left is answered, or goes on in its own direction, as TCP and UDP do, and not always rightly. */
static void make_more(struct input *in)
{
    static const uint8_t flags[] = {NFT_ACK, NFT_ACK | NFT_PSH, NFT_SYN | NFT_ACK, NFT_SYN, NFT_ACK};
    uint32_t l4;

    *in = left.list[draw_below(left.next < ENDS ? left.next : ENDS)];
    l4 = 14 + (in->frame[14] & 15) * 4u;
    if (in->frame[12] != 8 || in->frame[14] != 0x45) /* tagged, or with options: as it is */
        return;
    if (in->frame[23] == NF_PROTO_TCP) {
        in->frame[l4 + 13] = draw_below(40)  ? flags[draw_below(sizeof(flags))]
                             : draw_below(2) ? NFT_FIN | NFT_ACK
                                             : NFT_RST;
        for (uint32_t i = 4; i < 12; i++)
            in->frame[l4 + i] = (uint8_t)draw();
    }
    change_byte(in, 15, draw_below(4) ? 0 : (uint8_t)draw());
    switch (draw_below(40)) {
    case 0:
        change_byte(in, 22, 1); /* no more hops */
        break;
    case 1:
        in->frame[6] |= 1; /* from a group */
        break;
    case 2:
        in->len += draw_below(40); /* behind the IP packet */
        in->len = in->len < FRAME ? in->len : FRAME;
        in->have = in->len;
        break;
    }
}

static void make_burst(struct burst *b, uint64_t now)
{
    b->now = now;
    b->n = (uint32_t)draw_below(NF_BURST_MAX + 1);
    for (uint32_t i = 0; i < b->n; i++)
        if (left.next && draw_below(5))
            make_more(&b->in[i]);
        else
            make_fresh(&b->in[i]);
}

/* ---- the two runs --------------------------------------------------------------------------------- */

static void note_outputs(struct came_out out[], const struct nf_packet packets[], uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        const struct nf_packet *p = &packets[i];

        out[i] = (struct came_out){.drop = p->drop, .drop_nf = p->drop_nf};
        if (p->drop)
            continue;
        out[i].out_port = p->out_port;
        out[i].len = p->len;
        if (!(p->flags & NF_P_IPV4))
            continue;
        out[i].tos = p->data[p->l3 + 1];
        out[i].tcp_flags = p->proto == NF_PROTO_TCP && p->flags & NF_P_L4 ? p->data[p->l4 + 13] : 0;
        memcpy(&out[i].saddr, p->data + p->l3 + 12, 4);
        memcpy(&out[i].daddr, p->data + p->l3 + 16, 4);
        if (p->flags & NF_P_L4) {
            memcpy(&out[i].sport, p->data + p->l4, 2);
            memcpy(&out[i].dport, p->data + p->l4 + 2, 2);
        }
    }
}

/* What passed comes again, or its answer does. */
static void keep_left(const struct nf_packet *p, const struct input *came)
{
    struct input *in = &left.list[left.next % ENDS];
    struct nft_seen seen;

    if (p->drop || !nft_see(p->data, p->len, &seen))
        return;
    *in = *came;
    if (draw_below(2) && p->data[12] == 8 && p->data[14] == 0x45 && !(p->flags & NF_P_FRAGMENT)) {
        memcpy(in->frame, p->data, p->len);
        nft_readdress(in->frame, p->len, seen.dst, seen.dport, seen.src, seen.sport);
        in->side = !p->side;
    }
    left.next++;
}

static struct nf_session_input told_now(const struct nf_packet *p, uint32_t i)
{
    const struct nf_sessions_lane *found = nf_chain_prepared(h.chain);

    return found ? nf_session_input_of(found, p, i) : (struct nf_session_input){.key = NF_NONE};
}

/* Returns how many were told. */
static uint32_t run_live(struct burst *b)
{
    static uint8_t frames[NF_BURST_MAX][FRAME];
    struct nf_packet packets[NF_BURST_MAX];
    const struct nf_emitted *made;
    uint32_t count = 0;

    for (uint32_t i = 0; i < b->n; i++) {
        memcpy(frames[i], b->in[i].frame, FRAME);
        packets[i] = (struct nf_packet){.data = frames[i],
                                        .len = b->in[i].len,
                                        .have = b->in[i].have,
                                        .in_port = b->in[i].side,
                                        .side = b->in[i].side};
    }
    nf_chain_look(h.chain, ++h.burst, b->now, packets, b->n);
    for (uint32_t i = 0; i < b->n; i++) {
        b->in[i].told = told_now(&packets[i], i);
        count += b->in[i].told.key != NF_NONE;
        assert_memory_equal(frames[i], b->in[i].frame, b->in[i].len); /* until now nobody has changed it */
    }
    nf_chain_pass(h.chain);
    ft_audit_check(h.region, 0);
    note_outputs(b->out, packets, b->n);
    b->emitted = nf_chain_emitted(h.chain, &made);
    for (uint32_t i = 0; i < b->n; i++)
        keep_left(&packets[i], &b->in[i]);
    return count;
}

static void run_told(const struct burst *b, uint32_t number)
{
    static uint8_t frames[NF_BURST_MAX][FRAME];
    struct nf_packet packets[NF_BURST_MAX];
    struct nf_session_input told[NF_BURST_MAX];
    struct came_out out[NF_BURST_MAX];
    const struct nf_emitted *made;

    for (uint32_t i = 0; i < b->n; i++) {
        told[i] = b->in[i].told;
        memcpy(frames[i], b->in[i].frame, FRAME);
        packets[i] = (struct nf_packet){.data = told[i].key == NF_NONE ? frames[i] : NULL,
                                        .len = b->in[i].len,
                                        .have = told[i].key == NF_NONE ? b->in[i].have : 0,
                                        .in_port = b->in[i].side,
                                        .side = b->in[i].side};
    }
    nf_chain_restore_from(h.chain, told);
    nf_chain_run(h.chain, ++h.burst, b->now, packets, b->n);
    ft_audit_check(h.region, 0);
    assert_true(nf_chain_restored(h.chain));
    note_outputs(out, packets, b->n);
    for (uint32_t i = 0; i < b->n; i++)
        if (memcmp(&out[i], &b->out[i], sizeof(out[i])) != 0)
            fail_msg("burst %u, packet %u, %s: drop %u of NF %u, expected %u of %u", number, i,
                     told[i].key == NF_NONE ? "a frame" : "told", out[i].drop, out[i].drop_nf, b->out[i].drop,
                     b->out[i].drop_nf);
    assert_int_equal(nf_chain_emitted(h.chain, &made), b->emitted);
}

static uint64_t digest(void)
{
    return help_chain_digest(&h);
}

static void both(const char *nfs, const char *rules, unsigned least_percent)
{
    uint64_t now = HELP_SECOND, packets = 0, told = 0, live;
    static uint64_t digests[BURSTS];

    help_chain_open(&h, nfs, rules, 7);
    assert_int_equal(nf_chain_reads(&h.config->chain), NF_READS_FLOW);
    memset(bursts, 0, sizeof(bursts));
    left.next = 0;
    for (uint32_t i = 0; i < BURSTS; i++) {
        if (i == 100)
            ft_audit_suspend(h.region);
        now += draw_below(200) ? (uint64_t)draw_below(50000000) : 70 * HELP_SECOND;
        make_burst(&bursts[i], now);
        told += run_live(&bursts[i]);
        packets += bursts[i].n;
        if (i % 64 == 0)
            digests[i] = digest();
    }
    live = digest();
    ft_audit_resume(h.region);
    help_chain_again(&h);
    for (uint32_t i = 0; i < BURSTS; i++) {
        if (i == 100)
            ft_audit_suspend(h.region);
        run_told(&bursts[i], i);
        if (i % 64 == 0 && digest() != digests[i])
            fail_msg("another state behind burst %u", i);
    }
    assert_int_equal(digest(), live);
    ft_audit_resume(h.region);
    print_message("%lu of %lu packets were told by their sessions\n", told, packets);
    assert_in_range(told * 100, packets * least_percent, packets * 100);
    help_chain_close(&h);
}

CHAIN_TEST(an_edge_is_the_same)
{
    both("    - nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, ports: 1024-1100, max_flows: 60 }\n"
         "    - firewall: { rules: firewall.rules, max_flows: 60 }\n"
         "    - monitor: { max_flows: 50 }\n",
         "allow out any\ndeny in any\n", 4);
}

CHAIN_TEST(a_balanced_site_is_the_same)
{
    both("    - nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, ports: 1024-1200, unsupported: pass, "
         "max_flows: 80 }\n"
         "    - monitor: { max_flows: 300 }\n"
         "    - load_balancer: { vip: 203.0.113.10, port: 80, backends: \"172.16.0.11 172.16.0.12\", policy: "
         "least_connections, max_flows: 90 }\n",
         NULL, 15);
}

CHAIN_TEST(rates_are_the_same)
{
    both("    - rate_limiter: { clients: both, pps: 4000, burst_packets: 600, max_connections: 60, "
         "max_clients: 64, "
         "max_flows: 200 }\n"
         "    - forward: { read: true }\n"
         "    - monitor: { max_flows: 100 }\n",
         NULL, 6);
}

/* ---- what is not told ------------------------------------------------------------------------------ */

static struct input base; /* of a connection that is there */

static void begin(void)
{
    uint8_t bytes[NFT_FRAME_MAX];
    struct nft_spec spec = HELP_PACKET(NF_PROTO_TCP, NFT_IP(10, 1, 0, 2), 1024, NFT_IP(198, 51, 100, 1), 80,
                                       .tcp = NFT_SYN, .payload = 20);

    help_chain_open(&h, "    - nat: { inside: [10.0.0.0/8], outside: 203.0.113.1, max_flows: 60 }\n", NULL,
                    7);
    base = (struct input){.side = NF_INSIDE};
    base.len = base.have = nft_frame(&spec, bytes);
    memcpy(base.frame, bytes, base.len);
    assert_true(help_chain_spec(&h, NF_INSIDE, &spec, NULL));
}

static struct nf_session_input tell(const struct input *in)
{
    static uint8_t frame[FRAME];
    struct nf_packet p = {.data = frame, .len = in->len, .have = in->have, .side = in->side};
    struct nf_session_input told;

    memcpy(frame, in->frame, FRAME);
    p.in_port = in->side;
    nf_chain_look(h.chain, ++h.burst, h.now, &p, 1);
    told = told_now(&p, 0);
    nf_chain_pass(h.chain);
    return told;
}

static void expect_frame(void (*change)(struct input *in))
{
    struct input in = base;

    change(&in);
    assert_int_equal(tell(&in).key, NF_NONE);
}

static void no_hops(struct input *in)
{
    change_byte(in, 22, 1);
}
static void from_group(struct input *in)
{
    in->frame[6] |= 1;
}
static void to_group(struct input *in)
{
    in->frame[0] |= 1;
}
static void another_port(struct input *in)
{
    in->frame[34 + 1]++;
}
static void other_side(struct input *in)
{
    in->side = NF_OUTSIDE;
}
static void a_fragment(struct input *in)
{
    change_byte(in, 20, 0x20);
}
static void wrong_sum(struct input *in)
{
    in->frame[24]++;
}
static void cut_off(struct input *in)
{
    in->have = in->len = 50;
}

CHAIN_TEST(what_an_nf_could_see_is_recorded_whole)
{
    struct nf_session_input told;

    begin();
    told = tell(&base);
    assert_int_equal(told.ip_bytes, 60);
    assert_int_equal(told.tcp_flags, NFT_SYN);
    assert_int_not_equal(told.key, NF_NONE);
    expect_frame(no_hops);
    expect_frame(from_group);
    expect_frame(to_group);
    expect_frame(another_port);
    expect_frame(other_side);
    expect_frame(a_fragment);
    expect_frame(wrong_sum);
    expect_frame(cut_off);
    assert_int_not_equal(tell(&base).key, NF_NONE);
}

/* ---- what an input must not name ------------------------------------------------------------------- */

static bool follows(struct nf_session_input told, uint8_t side, uint32_t len)
{
    struct nf_packet p = {.len = len, .in_port = side, .side = side};

    nf_chain_restore_from(h.chain, &told);
    nf_chain_run(h.chain, ++h.burst, h.now, &p, 1);
    return nf_chain_restored(h.chain);
}

CHAIN_TEST(an_input_names_a_session_that_is_there)
{
    struct nf_session_input told, bad;

    begin();
    told = tell(&base);
    assert_true(follows(told, NF_INSIDE, base.len));
    bad = told, bad.key ^= 1; /* answers come from outside */
    assert_false(follows(bad, NF_INSIDE, base.len));
    assert_true(follows(bad, NF_OUTSIDE, base.len));
    assert_false(follows(told, NF_OUTSIDE, base.len));
    bad = told, bad.key += 2; /* nobody's */
    assert_false(follows(bad, NF_INSIDE, base.len));
    bad.key = UINT32_MAX - 1; /* beyond the table */
    assert_false(follows(bad, NF_INSIDE, base.len));
    bad = told, bad.ip_bytes = 39; /* less than its headers */
    assert_false(follows(bad, NF_INSIDE, base.len));
    bad.ip_bytes = (uint16_t)(base.len - 13); /* more than the frame */
    assert_false(follows(bad, NF_INSIDE, base.len));
    bad.ip_bytes = (uint16_t)(base.len - 14);
    assert_true(follows(bad, NF_INSIDE, base.len));
    assert_false(follows(told, NF_INSIDE, 14));
    help_chain_wait_tenths(&h, 10 * 3600 * 3); /* it is over */
    assert_false(follows(told, NF_INSIDE, base.len));
}
