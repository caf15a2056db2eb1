/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The chain's sessions against a plain model: an array of flows with both keys, times and what each of two
 * NFs keeps. One NF joins every flow; it translates the source of what comes from inside to a number of its
 * own; the second may also refuse. Random packets of IPv4 and IPv6 from both sides, fragments, pauses and
 * full tables, from a fixed seed; after each packet the model knows what was found. An address of IPv6 is
 * that of IPv4 behind 2001:db8::, so that flows of both families differ in nothing else.
 */
#include "ftcore/base/draw.h"
#include "nflib/chain/chain.h"
#include "nflib/session/table.h"
#include "nftest/frames.h"
#include "tests/help/test.h"
#include <arpa/inet.h>

#define FLOWS   48u
#define HOSTS   4u
#define PORTS   24u
#define PACKETS 1000000u
#define SITE    NFT_IP(203, 0, 113, 1)
#define LIFE    5u /* seconds; the other NF's: 2 */

struct slot {
    uint64_t packets, number;
};

/* What the model and the NFs have in common: what shall happen to the packet, and what the NFs saw. */
static struct {
    bool refuse, join;
    bool began; /* the second NF has joined a flow that had no session */
    bool later; /* the packet is a later fragment, and its first one has passed */
    bool asked; /* the first NF got the packet: from outside it is the last one */
    bool found, reply, full, dropped, by_sessions;
    uint64_t packets; /* in the slot, this one included */
    uint64_t ended[NF_SESSION_WHYS], fulls, laters;
    uint64_t number;
} w;

static void flows(const void *config, struct nf_flows_config *wants)
{
    wants->max_flows = FLOWS;
    wants->max_fragments = 1024;
    for (unsigned i = 0; i < NF_TIMEOUT_COUNT; i++)
        wants->timeouts[i] = LIFE;
}

static void flows_short(const void *config, struct nf_flows_config *wants)
{
    flows(config, wants);
    wants->max_flows = FLOWS / 2; /* the table is as large as the largest */
    for (unsigned i = 0; i < NF_TIMEOUT_COUNT; i++)
        wants->timeouts[i] = 2;
}

static void ended(struct nf *nf, const struct nf_session *s, enum nf_session_why why, uint64_t now)
{
    w.ended[why]++;
}

static void address_of(uint32_t host, uint8_t out[16])
{
    const uint8_t net[4] = {0x20, 0x01, 0x0d, 0xb8};
    uint32_t last = htonl(host);

    memset(out, 0, 16);
    memcpy(out, net, sizeof(net));
    memcpy(out + 12, &last, sizeof(last));
}

static void set_source(struct nf_packet *p, uint16_t port)
{
    if (p->flags & NF_P_IPV6)
        address_of(SITE, p->data + p->l3 + 8);
    else
        nf_packet_set_saddr(p, htonl(SITE));
    nf_packet_set_sport(p, port);
}

static void set_destination(const struct nf *nf, struct nf_packet *p, const struct nf_session *s)
{
    struct nf_addresses addresses;
    struct nf_tuple ends;

    nf_session_view(nf, s, &ends);
    nf_packet_set_dport(p, ends.sport);
    if (p->flags & NF_P_IPV6) {
        nf_session_view_ipv6(nf, s, &addresses);
        memcpy(p->data + p->l3 + 24, addresses.source, 16);
    } else {
        nf_packet_set_daddr(p, ends.saddr);
    }
}

static void translate(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    for (uint32_t i = 0; i < n; i++) {
        struct nf_packet *p = packets[i];
        const struct nf_session *s = nf_session_mine(nf, p);
        const struct slot *slot;

        w.asked = true;
        w.found = s != NULL;
        w.reply = p->flow & NF_FLOW_REPLY;
        w.later = p->flags & NF_P_LATER && nf_session_later(nf, p);
        if (p->flags & NF_P_LATER && !w.later) {
            p->drop = 1;
            continue;
        }
        if (!s && (s = nf_session_join(nf, p, now)))
            NF_SESSION_EDIT(nf, s, struct slot)->number = w.number;
        w.full = !s;
        if (!s) {
            p->drop = 1;
            continue;
        }
        slot = nf_session_slot(nf, s);
        w.packets = ++NF_SESSION_EDIT(nf, s, struct slot)->packets;
        if (p->side == NF_INSIDE && !(p->flow & NF_FLOW_REPLY)) {
            set_source(p, (uint16_t)slot->number);
        } else if (p->side == NF_OUTSIDE && p->flow & NF_FLOW_REPLY) {
            set_destination(nf, p, s);
        }
    }
}

static void judge(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    for (uint32_t i = 0; i < n; i++) {
        /* Where it has all that it may have it displaces none: that is test_sessions_full.c's. */
        if (w.join && !nf_session_mine(nf, packets[i]) && nf_sessions_count(nf) < nf_sessions_max(nf)) {
            w.began = !nf_session_of(nf, packets[i]);
            nf_session_join(nf, packets[i], now);
        }
        if (w.refuse)
            packets[i]->drop = 1;
    }
}

static bool joins_ipv6(const void *config)
{
    return true;
}

static const struct nf_module first = {.name = "first",
                                       .session_size = sizeof(struct slot),
                                       .translates = NF_SOURCE,
                                       .ipv6 = joins_ipv6,
                                       .process = translate,
                                       .flows = flows,
                                       .session_end = ended};
static const struct nf_module second = {
    .name = "second", .session_size = 8, .process = judge, .flows = flows_short};

/* ---- the model ---- */

struct flow {
    bool live, ipv6;
    uint8_t heard; /* 1: an answer; 2: and again from who began it */
    uint8_t side;  /* of the first packet */
    uint32_t host, remote;
    uint16_t hport, rport, number;
    uint64_t seen, packets, begun, assured; /* numbers of moments */
};
static struct flow model[FLOWS];
static struct flow *hand; /* NULL: the oldest */
static uint64_t draws, time_now, bursts, moments, turns;
static struct nf_chain *chain;

static uint32_t below(uint32_t n)
{
    return (uint32_t)(ft_draw(&draws) % n);
}

static void hear(struct flow *f, bool reply)
{
    f->seen = time_now;
    if (f->heard == 0 && reply)
        f->heard = 1;
    else if (f->heard == 1 && !reply) {
        f->heard = 2;
        f->assured = ++moments;
    }
}

/* The first that was assured after the moment; NULL: none. */
static struct flow *assured_after(uint64_t moment)
{
    struct flow *next = NULL;

    for (unsigned i = 0; i < FLOWS; i++)
        if (model[i].live && model[i].heard == 2 && model[i].assured > moment &&
            (!next || model[i].assured < next->assured))
            next = &model[i];
    return next;
}

static void end(struct flow *f)
{
    f->live = false;
    if (hand == f)
        hand = assured_after(f->assured);
}

/* A timer may be up to one tick late. */
static void expire(void)
{
    for (unsigned i = 0; i < FLOWS; i++)
        if (model[i].live && model[i].seen + LIFE * NF_SECOND <= time_now)
            end(&model[i]);
}

/* Of 16 assured ones without a packet now, from the hand on, the one that has been idle longest; 33 are
 * looked at. */
static struct flow *displace_assured(void)
{
    struct flow *begin = hand ? hand : assured_after(0), *at = begin, *found = NULL;
    unsigned left = 16;

    for (unsigned looks = 0; at && left && looks < 33; looks++) {
        if (at->seen != time_now) {
            found = !found || at->seen < found->seen ? at : found;
            left--;
        }
        at = assured_after(at->assured);
        at = at ? at : assured_after(0);
        if (at == begin)
            break;
    }
    if (!found)
        return NULL;
    hand = assured_after(found->assured);
    end(found);
    turns++;
    return found;
}

/* The oldest flow that is not assured, without a packet now, among the 33 first of those. */
static struct flow *displace(void)
{
    uint64_t after = 0;

    for (unsigned looks = 0; looks < 33; looks++) {
        struct flow *oldest = NULL;

        for (unsigned i = 0; i < FLOWS; i++)
            if (model[i].heard < 2 && model[i].begun > after && (!oldest || model[i].begun < oldest->begun))
                oldest = &model[i];
        if (!oldest)
            break;
        if (oldest->seen != time_now) {
            end(oldest);
            return oldest;
        }
        after = oldest->begun;
    }
    return displace_assured();
}

static struct flow *place(void)
{
    for (unsigned i = 0; i < FLOWS; i++)
        if (!model[i].live)
            return &model[i];
    return displace();
}

/* By what comes in: from inside (host, hport) to (remote, rport); from outside to a number of the site. */
static struct flow *find(uint8_t side, const struct nft_spec *s, bool ipv6)
{
    for (unsigned i = 0; i < FLOWS; i++) {
        const struct flow *f = &model[i];

        if (f->ipv6 != ipv6)
            continue;
        if (f->live && f->side == NF_INSIDE &&
            (side == NF_INSIDE
                 ? f->host == s->src && f->hport == s->sport && f->remote == s->dst && f->rport == s->dport
                 : s->dst == SITE && ntohs(f->number) == s->dport && f->remote == s->src &&
                       f->rport == s->sport))
            return &model[i];
        if (f->live && f->side == NF_OUTSIDE &&
            (side == NF_OUTSIDE
                 ? f->remote == s->src && f->rport == s->sport && f->host == s->dst && f->hport == s->dport
                 : f->host == s->src && f->hport == s->sport && f->remote == s->dst && f->rport == s->dport))
            return &model[i];
    }
    return NULL;
}

/* Some of what comes from outside goes to numbers that some flow has, or had. */
static struct nft_spec draw_packet(uint8_t side)
{
    uint32_t host = NFT_IP(10, 0, 0, 1) + below(HOSTS), remote = NFT_IP(198, 51, 100, 1) + below(2);
    uint16_t hport = (uint16_t)(1 + below(PORTS)), rport = 53;
    struct nft_spec s = {.proto = 17, .payload = 9};
    bool to_site = side == NF_OUTSIDE && below(4);

    s.src = side == NF_INSIDE ? host : remote;
    s.sport = side == NF_INSIDE ? hport : rport;
    s.dst = side == NF_INSIDE ? remote : to_site ? SITE : host;
    s.dport = side == NF_INSIDE ? rport : to_site ? ntohs(model[below(FLOWS)].number) : hport;
    return s;
}

/* A packet of some flow, in every other while: assured ones then fill the table. */
static void draw_known(struct nft_spec *s, uint8_t *side, bool *ipv6)
{
    const struct flow *f = &model[below(FLOWS)];

    if (bursts / 8192 % 2 || !f->live || !below(4))
        return;
    *side = f->side ^ below(2);
    *ipv6 = f->ipv6;
    s->src = *side == NF_INSIDE ? f->host : f->remote;
    s->sport = *side == NF_INSIDE ? f->hport : f->rport;
    s->dst = *side == NF_INSIDE ? f->remote : f->side == NF_INSIDE ? SITE : f->host;
    s->dport = *side == NF_INSIDE ? f->rport : f->side == NF_INSIDE ? ntohs(f->number) : f->hport;
}

/* The same packet, of IPv6. UDP, or what a later fragment has of it. */
static uint32_t frame_ipv6(const struct nft_spec *s, uint8_t frame[NFT_FRAME_MAX])
{
    uint8_t *ip = frame + 14, *l4 = ip + 40;
    uint16_t head[] = {htons(s->sport), htons(s->dport), htons(8 + s->payload), 0xbeef};
    uint16_t length = (uint16_t)(8 + s->payload + (s->fragment ? 8 : 0));

    memset(frame, 0, NFT_FRAME_MAX);
    frame[12] = 0x86;
    frame[13] = 0xdd;
    ip[0] = 0x60;
    ip[5] = (uint8_t)length;
    ip[6] = s->fragment ? 44 : 17;
    address_of(s->src, ip + 8);
    address_of(s->dst, ip + 24);
    if (s->fragment) {
        uint16_t words[] = {htons(17 << 8),
                            htons((uint16_t)((s->fragment & 0x1fff) << 3 | !!(s->fragment & NFT_MORE))), 0,
                            htons(s->ip_id)};
        memcpy(l4, words, sizeof(words));
        l4 += 8;
    }
    if (!(s->fragment & 0x1fff))
        memcpy(l4, head, sizeof(head));
    return 14u + 40u + length;
}

static void run(uint8_t side, const struct nft_spec *s, bool ipv6)
{
    uint8_t frame[NFT_FRAME_MAX];
    uint32_t len = ipv6 ? frame_ipv6(s, frame) : nft_frame(s, frame);
    struct nf_packet p = {.data = frame, .len = len, .have = len, .side = side, .in_port = side};

    w.asked = w.began = false;
    nf_chain_run(chain, ++bursts, time_now, &p, 1);
    w.dropped = p.drop;
    w.by_sessions = p.drop && p.drop_nf == NF_DROP_SESSIONS;
}

/* A datagram's other fragment: its flow's packet, even where it does not say which that is. With another
 * number it is nobody's. */
static void run_later(uint8_t side, struct nft_spec *s, struct flow *f)
{
    bool known = below(4);

    time_now += below(2) * NF_SECOND / 10;
    expire();
    w.refuse = false;
    s->fragment = 100;
    s->ip_id = (uint16_t)(s->ip_id + !known);
    run(side, s, f->ipv6);
    assert_true(w.asked);
    assert_int_equal(w.later, known && f->live);
    assert_int_equal(w.dropped, !w.later);
    if (!w.later) {
        if (w.began)
            place(); /* which another one left for it */
        return;
    }
    assert_true(w.found);
    assert_int_equal(w.reply, side != f->side);
    assert_int_equal(w.packets, ++f->packets);
    hear(f, w.reply);
    w.laters++;
}

static void run_one(void)
{
    uint8_t side = (uint8_t)below(2);
    struct nft_spec s = draw_packet(side);
    bool ipv6 = below(2);
    struct flow *f;

    expire();
    draw_known(&s, &side, &ipv6);
    f = find(side, &s, ipv6);
    s.fragment = below(8) ? 0 : NFT_MORE;
    s.ip_id = (uint16_t)bursts;
    w.refuse = below(4) == 0;
    w.join = below(2);
    /* A number that no live flow to the remote has; taken from the model, so that keys stay apart. */
    w.number = htons((uint16_t)(1024 + bursts % 60000));
    uint64_t refused = w.ended[NF_SESSION_REFUSED];
    const struct nf_sessions *t = nf_chain_nf(chain, 1)->env->sessions->table;
    uint64_t conflicts = t->conflicts;

    run(side, &s, ipv6);
    if (!w.asked) {
        assert_true(w.dropped && side == NF_OUTSIDE);
        if (f) {
            hear(f, side != f->side);
        } else if (w.began) {
            place(); /* which another one left for it */
        }
        return;
    }
    assert_int_equal(w.found, f != NULL);
    if (f) {
        assert_int_equal(w.reply, side != f->side);
        assert_int_equal(w.packets, ++f->packets);
        hear(f, w.reply);
    } else if (!(f = place())) {
        assert_true(w.full && w.dropped);
        w.fulls++;
    } else {
        assert_int_equal(w.packets, 1);
        if (t->conflicts > conflicts || w.refuse) { /* dropped at birth: nothing is left */
            assert_true(w.dropped);
            assert_int_equal(w.by_sessions, t->conflicts > conflicts);
            assert_int_equal(w.ended[NF_SESSION_REFUSED], refused + 1);
        } else {
            *f = (struct flow){.live = true,
                               .ipv6 = ipv6,
                               .side = side,
                               .number = (uint16_t)w.number,
                               .seen = time_now,
                               .packets = 1,
                               .begun = bursts};
            f->host = side == NF_INSIDE ? s.src : s.dst;
            f->hport = side == NF_INSIDE ? s.sport : s.dport;
            f->remote = side == NF_INSIDE ? s.dst : s.src;
            f->rport = side == NF_INSIDE ? s.dport : s.sport;
        }
    }
    if (s.fragment && !w.dropped)
        run_later(side, &s, f);
}

TEST(sessions_are_what_a_plain_model_says)
{
    static struct nf_chain_config config = {
        .name = "test", .lanes = 1, .count = 2, .nfs = {{&first, NULL}, {&second, NULL}}};
    static const struct ft_region_config how = {.name = "test", .shared_size = 64 << 10};
    struct ft_region *region;
    struct ft_fault fault = {""};
    uint32_t live = 0;

    if (nf_chain_region(&region, &config, &how, &fault) ||
        nf_chain_make(&chain, &config, region, 0, 7, &fault))
        fail_msg("%s", fault.text);
    draws = 5;
    time_now = NF_SECOND;
    for (uint32_t i = 1; i <= PACKETS; i++) {
        /* Times are multiples of what timers resolve. Now and then it does not pass, until no flow may go. */
        time_now += below(3) || i / 1024 % 16 == 15 ? 0 : below(200) ? NF_SECOND / 10 : 3 * NF_SECOND;
        run_one();
        if (i % 10000 == 0 && nf_chain_check(chain, NULL, NULL, &fault))
            fail_msg("after %u packets: %s", i, fault.text);
    }
    for (unsigned i = 0; i < FLOWS; i++)
        live += model[i].live;
    assert_int_equal(nf_sessions_count(nf_chain_nf(chain, 1)), live);
    printf("# %lu idle, %lu refused, %lu displaced, %lu of those in turn, %lu full, %lu later\n",
           w.ended[NF_SESSION_IDLE], w.ended[NF_SESSION_REFUSED], w.ended[NF_SESSION_DISPLACED], turns,
           w.fulls, w.laters);
    assert_true(w.ended[NF_SESSION_IDLE] > 1000 && w.ended[NF_SESSION_REFUSED] > 1000 &&
                w.ended[NF_SESSION_DISPLACED] > 1000 && turns > 500 && w.fulls > 100 && w.laters > 1000);
    assert_true(nf_chain_nf(chain, 1)->env->sessions->table->conflicts > 1000);
    nf_chain_free(chain);
    ft_region_close(region);
}
