/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The chain's sessions: bursts of packets of both sides, time and operators' changes, against a plain model
 * (sessions_model.c). NF 1 joins every flow and translates the source of those that say so; NF 2 joins,
 * leaves and refuses as packets say. Both are given what the model says, and what passes, ends and is left is
 * what it says. Then the input may damage the table, as a peer could that sends one: the check refuses it, or
 * the chain runs on it, writes nowhere else, and what it leaves passes the check.
 */
#include "nflib/chain/chain.h"
#include "nflib/session/table.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/sessions_model.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define TICK (NF_SECOND / 10) /* of timers: times are multiples */

struct slot {
    uint64_t packets, number;
};

static struct ft_region *region;
static struct nf_chain *chain;
static bool modelled; /* nothing is damaged yet */
static struct nf_packet real[NF_BURST_MAX];
static struct sm_packet packets[2][NF_BURST_MAX]; /* by side, in order */
static uint32_t count[2];
static bool looked[2];
static uint8_t says[NF_BURST_MAX];
static uint64_t ended[SM_NFS + 1][NF_SESSION_WHYS];

static struct sm_packet *model_of(const struct nf_packet *p)
{
    for (uint32_t i = 0; i < count[p->side]; i++)
        if (packets[p->side][i].real == p)
            return &packets[p->side][i];
    return NULL;
}

static void settle_side(uint8_t side)
{
    if (count[side])
        sm_settle(packets[side], count[side]);
    count[side] = 0;
}

/* ---- the NFs ---- */

/* A side's packets have come to their first NF: all of them, and those of the inside have been settled. */
static void look_once(uint8_t side)
{
    if (!modelled || looked[side])
        return;
    looked[side] = true;
    for (uint32_t i = 0; i < count[side]; i++)
        sm_look(&packets[side][i]);
}

static void drop(struct nf_packet *p)
{
    p->drop = 1;
    if (modelled)
        model_of(p)->dropped = true;
}

/* Its ends as the NF sees them, addresses of IPv6 by what they have in place of those of IPv4. */
static void view(const struct nf *nf, const struct nf_session *s, struct nf_tuple *ends)
{
    struct nf_addresses addresses;

    nf_session_view(nf, s, ends);
    if (!ends->ipv6)
        return;
    nf_session_view_ipv6(nf, s, &addresses);
    memcpy(&ends->saddr, addresses.source + 12, 4);
    memcpy(&ends->daddr, addresses.destination + 12, 4);
}

/* The packet's session, as NF and model see it. */
static const struct nf_session *compared(const struct nf *nf, struct nf_packet *p)
{
    const struct nf_session *s = nf_session_of(nf, p);
    const struct sm_session *m;
    struct nf_tuple ends;

    if (!modelled)
        return s;
    m = sm_of(model_of(p), nf->index);
    FUZZ_MUST(!s == !m, "NF %u is given %s session", nf->index, s ? "a" : "no");
    if (!s)
        return NULL;
    FUZZ_MUST(s->serial == m->serial && s->members == m->members && nf_session_tcp(s) == m->tcp,
              "session %u of NFs %x in state %u, expected %u, %x, %u", s->serial, s->members,
              nf_session_tcp(s), m->serial, m->members, m->tcp);
    FUZZ_MUST(!(p->flow & NF_FLOW_REPLY) == !model_of(p)->reply, "a packet's direction is wrong");
    if (nf_session_flags(s) & NF_SESSION_NEW)
        return s;
    view(nf, s, &ends);
    FUZZ_MUST(ends.daddr == m->key[0].daddr &&
                  (nf->index == 2 && m->key[0].side == NF_INSIDE && m->members & 2
                       ? ends.saddr == m->key[1].daddr && ends.sport == m->key[1].dport
                       : ends.saddr == m->key[0].saddr && ends.sport == m->key[0].sport),
              "NF %u sees other ends than there are", nf->index);
    return s;
}

static const struct nf_session *join(const struct nf *nf, struct nf_packet *p, uint64_t now)
{
    bool room = nf_session_room(nf, p);
    const struct nf_session *s = nf_session_join(nf, p, now);

    if (modelled) {
        struct sm_session *m = sm_join(model_of(p), nf->index);

        FUZZ_MUST(!s == !m && (!s || s->serial == m->serial), "NF %u joined %s session", nf->index,
                  s ? "a" : "no");
        FUZZ_MUST(room == (s != NULL), "there was %sroom", room ? "" : "no ");
    }
    return s;
}

static void count_packet(const struct nf *nf, const struct nf_session *s, struct nf_packet *p)
{
    uint64_t n = ++NF_SESSION_EDIT(nf, s, struct slot)->packets;

    if (modelled)
        FUZZ_MUST(n == ++model_of(p)->session->packets[nf->index], "NF %u: %lu packets are in the slot",
                  nf->index, n);
}

/* One end of the packet: its source, or else its destination. */
static void set_end(struct nf_packet *p, bool source, uint32_t addr, uint16_t port)
{
    uint8_t ipv6[16] = {0x20, 0x01, 0x0d, 0xb8};

    memcpy(ipv6 + 12, &addr, 4);
    if (p->flags & NF_P_IPV6)
        (source ? nf_packet_set_source_ipv6 : nf_packet_set_destination_ipv6)(p, ipv6, port);
    else
        (source ? nf_packet_set_source : nf_packet_set_destination)(p, addr, port);
}

/* A later fragment without its first one is dropped. */
static bool is_lost(const struct nf *nf, struct nf_packet *p)
{
    bool later = p->flags & NF_P_LATER && nf_session_later(nf, p);

    if (modelled)
        FUZZ_MUST(later == model_of(p)->later, "a fragment's first one has %spassed", later ? "" : "not ");
    return p->flags & NF_P_LATER && !later;
}

static void translate_one(const struct nf *nf, struct nf_packet *p, uint64_t now)
{
    const struct nf_session *s = compared(nf, p);
    uint8_t say = says[p - real];
    struct nf_tuple ends;

    if (p->flags & NF_P_ICMP_ERROR)
        return;
    if (is_lost(nf, p)) {
        drop(p);
        return;
    }
    if (!s || !nf_session_has(nf, s)) {
        bool first = !s && p->side == NF_INSIDE;

        if (!(s = join(nf, p, now))) {
            drop(p);
            return;
        }
        if (first && say & SM_NUMBER) {
            NF_SESSION_EDIT(nf, s, struct slot)->number = htons((uint16_t)(1024 + (say & SM_NUMBER)));
            if (modelled)
                model_of(p)->session->number = htons((uint16_t)(1024 + (say & SM_NUMBER)));
        }
    }
    count_packet(nf, s, p);
    uint16_t number = (uint16_t)((const struct slot *)nf_session_slot(nf, s))->number;
    if (modelled)
        FUZZ_MUST(number == model_of(p)->session->number, "the slot is another one's");
    if (number && !(p->flow & NF_FLOW_REPLY)) {
        set_end(p, true, htonl(SM_SITE), number);
    } else if (number) {
        view(nf, s, &ends);
        set_end(p, false, ends.saddr, ends.sport);
    }
    if (say & SM_REFUSE_1)
        drop(p);
}

static void translate(struct nf *nf, struct nf_packet *const list[], uint32_t n, uint64_t now)
{
    look_once(list[0]->side);
    for (uint32_t i = 0; i < n; i++)
        translate_one(nf, list[i], now);
}

static void judge(struct nf *nf, struct nf_packet *const list[], uint32_t n, uint64_t now)
{
    if (list[0]->side == NF_OUTSIDE && modelled)
        settle_side(NF_INSIDE);
    look_once(list[0]->side);
    for (uint32_t i = 0; i < n; i++) {
        uint8_t say = says[list[i] - real];
        const struct nf_session *s = compared(nf, list[i]);

        if (say & SM_JOIN_2 && (!s || !nf_session_has(nf, s)))
            s = join(nf, list[i], now);
        if (s && nf_session_has(nf, s))
            count_packet(nf, s, list[i]);
        if (say & SM_LEAVE_2 && s && nf_session_has(nf, s)) {
            nf_session_leave(nf, s, now);
            if (modelled)
                sm_leave(model_of(list[i])->session, 2);
        }
        if (say & SM_REFUSE_2)
            drop(list[i]);
    }
}

static void session_ended(struct nf *nf, const struct nf_session *s, enum nf_session_why why, uint64_t now)
{
    (void)s;
    (void)now;
    ended[nf->index][why]++;
}

static void flows(const void *config, struct nf_flows_config *wants)
{
    (void)config;
    wants->max_flows = sm_flows;
    wants->max_fragments = SM_DATAGRAMS;
    for (unsigned i = 0; i < NF_TIMEOUT_COUNT; i++)
        wants->timeouts[i] = 5;
}

static void few_flows(const void *config, struct nf_flows_config *wants)
{
    flows(config, wants);
    wants->max_flows = sm_few;
}

static bool joins_ipv6(const void *config)
{
    (void)config;
    return true;
}

static const struct nf_module first = {.name = "first",
                                       .session_size = sizeof(struct slot),
                                       .translates = NF_SOURCE,
                                       .ipv6 = joins_ipv6,
                                       .process = translate,
                                       .flows = flows,
                                       .session_end = session_ended};
static const struct nf_module second = {.name = "second",
                                        .session_size = sizeof(struct slot),
                                        .process = judge,
                                        .flows = few_flows,
                                        .session_end = session_ended};

/* ---- what comes ---- */

static void open_chain(void)
{
    static struct nf_chain_config config = {
        .name = "fuzz", .lanes = 1, .count = SM_NFS, .nfs = {{.module = &first}, {.module = &second}}};
    static const struct ft_region_config how = {.name = "fuzz", .shared_size = 64 << 10};
    struct ft_fault fault = {""};

    if (chain)
        nf_chain_free(chain);
    if (region)
        ft_region_wipe(region);
    else
        FUZZ_MUST(nf_chain_region(&region, &config, &how, &fault) == 0, "%s", fault.text);
    FUZZ_MUST(nf_chain_make(&chain, &config, region, 0, 7, &fault) == 0, "%s", fault.text);
    nf_sessions_lane(nf_chain_nf(chain, 1))->out_side = sm_out_side;
    modelled = true;
    memset(ended, 0, sizeof(ended));
    sm_begin();
    sm.now = NF_SECOND;
}

static void run_burst(uint32_t n)
{
    const struct nf_sessions *t = nf_chain_nf(chain, 1)->env->sessions->table;
    const struct nf_lane_state *state = nf_chain_state(chain);
    struct sm_packet *model[NF_BURST_MAX];

    if (sm.now < state->time)
        sm.now = state->time;
    if (modelled)
        sm_expire();
    looked[0] = looked[1] = false;
    count[0] = count[1] = 0;
    for (uint32_t i = 0; i < n; i++) {
        nf_packet_parse(&real[i]);
        model[i] = &packets[real[i].side][count[real[i].side]++];
        *model[i] = (struct sm_packet){.real = &real[i], .key = sm_key_of(&real[i])};
        if (real[i].flags & NF_P_FRAGMENT)
            model[i]->id =
                real[i].flags & NF_P_IPV6 ? ntohl(nf_get32(real[i].data + real[i].l4 - 4)) : real[i].frag_id;
    }
    nf_chain_run(chain, state->burst + 1, sm.now, real, n);
    if (!modelled)
        return;
    settle_side(NF_INSIDE);
    settle_side(NF_OUTSIDE);
    for (uint32_t i = 0; i < n; i++)
        FUZZ_MUST(!real[i].drop == !model[i]->dropped, "packet %u was %s", i,
                  real[i].drop ? "dropped" : "let through");
    FUZZ_MUST(memcmp(ended, sm.ended, sizeof(ended)) == 0, "other sessions have ended than should");
    FUZZ_MUST(t->count == sm.live, "%u sessions are left, expected %u", t->count, sm.live);
    for (unsigned nf = 1; nf <= SM_NFS; nf++)
        FUZZ_MUST(t->in_use[nf] == sm.in_use[nf], "NF %u is in %u, expected %u", nf, t->in_use[nf],
                  sm.in_use[nf]);
}

static void run_packets(struct fuzz_input *in, uint32_t n)
{
    static uint8_t frame[NF_BURST_MAX][NFT_FRAME_MAX];

    for (uint32_t i = 0; i < n; i++) {
        uint8_t side;
        uint32_t len = sm_make_frame(in, n == 1, frame[i], &side, &says[i]);

        real[i] =
            (struct nf_packet){.data = frame[i], .len = len, .have = len, .side = side, .in_port = side};
    }
    run_burst(n);
}

static void command(struct fuzz_input *in)
{
    static const char *const names[] = {"tcp_established", "tcp_transitory", "tcp_closed", "udp", "icmp"};
    uint8_t what = fuzz_u8(in);
    unsigned nf = 1 + (what & 1), class = (what >> 2) % 5;
    char seconds[4];
    struct ft_fault fault;

    nf_chain_open(chain);
    if (what & 2) {
        snprintf(seconds, sizeof(seconds), "%u", 1 + (what >> 4));
        FUZZ_MUST(nf_sessions_set(nf_chain_nf(chain, nf), names[class], seconds, sm.now, &fault) == 0, "%s",
                  fault.text);
        sm.timeouts[nf][class] = 1 + (what >> 4);
    } else {
        nf_sessions_clear(nf_chain_nf(chain, nf), what >> 4 & 1, sm.now);
        sm_clear(nf, what >> 4 & 1);
    }
    run_burst(0);
}

/* Of the lane's arena, which has the table and its timers. False: it was refused. */
static bool damage(struct fuzz_input *in)
{
    const struct ft_arena *a = ft_region_arena(region, 0, 0);
    struct ft_fault fault = {""};
    unsigned words = 1 + (fuzz_u8(in) & 3);

    while (words--) {
        uint64_t at = fuzz_u16(in) % (a->used / 4) * 4;
        uint32_t how = fuzz_u8(in), value = how & 1 ? fuzz_u32(in) : fuzz_u8(in), was;

        memcpy(&was, region->base + a->offset + at, 4);
        for (; !was && !(how & 8) && at + 8 <= a->used; at += 4) /* most words are not used */
            memcpy(&was, region->base + a->offset + at + 4, 4);
        value = how & 2 ? was ^ value : how & 4 ? was + value : value;
        memcpy(region->base + a->offset + at, &value, 4);
    }
    modelled = false;
    return nf_chain_check(chain, NULL, NULL, &fault) == 0;
}

static void must_be_whole(void)
{
    struct ft_fault fault = {""};
    const struct ft_arena *a = ft_region_arena(region, 0, 0);

    FUZZ_MUST(nf_chain_check(chain, NULL, NULL, &fault) == 0, "%s", fault.text);
    for (uint64_t at = a->offset + a->used; at < a->offset + a->used + 4096 && at < a->offset + a->size;
         at += 8)
        FUZZ_MUST(*(const uint64_t *)(const void *)(region->base + at) == 0, "0x%lx was written to", at);
}

/* A first byte each: so many packets, a pause, a command, damage. */
static void run(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, data + size};

    open_chain();
    while (fuzz_left(&in)) {
        uint8_t what = fuzz_u8(&in);

        if (what < 0xa0) {
            run_packets(&in, 1 + what % 6);
        } else if (what < 0xe0) {
            sm.now += (1 + (what & 31)) * TICK * (what & 32 ? 10 : 1);
            run_burst(0);
        } else if (what < 0xf8) {
            command(&in);
        } else {
            must_be_whole();
            if (!damage(&in))
                return;
        }
    }
    must_be_whole();
}

static void seeds(void)
{
    /* A flow and its answer; a second one that is translated; idle; two in opposite directions at once. */
    static const uint8_t settled[] = {0, 0x00, 0x00, 0, 0,    0x01, 0x00, 0,
                                      1, 0x02, 0x06, 0, 0x03, 0x06, 0,    0xdf};
    static const uint8_t crossed[] = {1, 0x88, 0x02, 0, 0x82, 0x01, 0, 0xa1};
    static const uint8_t echoes[] = {2, 0x40, 0x00, 0, 0x60, 0x20, 0, 0x40, 0x20, 0, 0xdf};
    static const uint8_t tcp[] = {0,    0x20, 0x20, 2, 0,    0x21, 0x00, 0x12, 0,
                                  0x20, 0x80, 4,    0, 0x20, 0x20, 2,    0xc1};
    static const uint8_t commands[] = {1,    0x00, 0x20, 0,    0x02, 0x20, 0,
                                       0xe0, 0x01, 0xe0, 0x1a, 0xe0, 0x10, 0xa3};
    static const uint8_t damaged[] = {1, 0x00, 0x20, 0, 0x02, 0x20, 0, 0xf8, 0, 0x40, 0x02, 2, 1, 0xdf};

    fuzz_seed("settled", settled, sizeof(settled));
    fuzz_seed("crossed", crossed, sizeof(crossed));
    fuzz_seed("echoes", echoes, sizeof(echoes));
    fuzz_seed("tcp", tcp, sizeof(tcp));
    fuzz_seed("commands", commands, sizeof(commands));
    fuzz_seed("damaged", damaged, sizeof(damaged));
}

FUZZ_TARGET(sessions, "bursts, commands and damage of a table of sessions", 512)
