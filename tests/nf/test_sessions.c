/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The chain's sessions against a plain model: an array of flows with both keys, times and what each of two
 * NFs keeps. One NF joins every flow; another translates the source of what comes from inside to a number of
 * its own; the second may also refuse. Random packets from both sides, fragments, pauses and full tables,
 * from a fixed seed; after each packet the model knows what was found.
 */
#include "ftcore/base/draw.h"
#include "nflib/chain/chain.h"
#include "nflib/session/table.h"
#include "tests/nf/help_frames.h"

#include <stdarg.h>
#include <setjmp.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <string.h>

#define FLOWS   48u
#define HOSTS   4u
#define PORTS   24u
#define PACKETS 1000000u
#define SITE    HELP_IP(203, 0, 113, 1)
#define LIFE    5u /* seconds; the other NF's: 2 */

struct slot {
    uint64_t packets, number;
};

/* What the model and the NFs have in common: what shall happen to the packet, and what the NFs saw. */
static struct {
    bool refuse, join;
    bool asked; /* the first NF got the packet: from outside it is the last one */
    bool found, reply, full;
    uint64_t packets; /* in the slot, this one included */
    uint64_t ended[3], fulls;
    uint64_t number;
} w;

static void flows(const void *config, struct nf_flows_config *wants)
{
    (void)config;
    wants->max_flows = FLOWS;
    wants->max_fragments = 16;
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
    (void)nf;
    (void)s;
    (void)now;
    w.ended[why]++;
}

static void translate(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    for (uint32_t i = 0; i < n; i++) {
        struct nf_packet *p = packets[i];
        const struct nf_session *s = nf_session_mine(nf, p);
        const struct slot *slot;
        struct nf_tuple ends;

        w.asked = true;
        w.found = s != NULL;
        w.reply = p->flow & NF_FLOW_REPLY;
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
            nf_packet_set_saddr(p, htonl(SITE));
            nf_packet_set_sport(p, (uint16_t)slot->number);
        } else if (p->side == NF_OUTSIDE && p->flow & NF_FLOW_REPLY) {
            nf_session_view(nf, s, &ends);
            nf_packet_set_daddr(p, ends.saddr);
            nf_packet_set_dport(p, ends.sport);
        }
    }
}

static void judge(struct nf *nf, struct nf_packet *const packets[], uint32_t n, uint64_t now)
{
    for (uint32_t i = 0; i < n; i++) {
        if (w.join && !nf_session_mine(nf, packets[i]))
            nf_session_join(nf, packets[i], now);
        if (w.refuse)
            packets[i]->drop = 1;
    }
}

static const struct nf_module first = {.name = "first",
                                       .session_size = sizeof(struct slot),
                                       .translates = NF_SOURCE,
                                       .process = translate,
                                       .flows = flows,
                                       .session_end = ended};
static const struct nf_module second = {
    .name = "second", .session_size = 8, .process = judge, .flows = flows_short};

/* ---- the model ---- */

struct flow {
    bool live;
    uint8_t side; /* of the first packet */
    uint32_t host, remote;
    uint16_t hport, rport, number;
    uint64_t seen, packets;
};
static struct flow model[FLOWS];
static uint64_t draws, time_now;
static struct nf_chain *chain;

static uint32_t below(uint32_t n)
{
    return (uint32_t)(ft_draw(&draws) % n);
}

/* A timer may be up to one tick late. */
static void expire(void)
{
    for (unsigned i = 0; i < FLOWS; i++)
        if (model[i].live && model[i].seen + LIFE * NF_SECOND <= time_now)
            model[i].live = false;
}

static struct flow *place(void)
{
    for (unsigned i = 0; i < FLOWS; i++)
        if (!model[i].live)
            return &model[i];
    return NULL;
}

/* By what comes in: from inside (host, hport) to (remote, rport); from outside to a number of the site. */
static struct flow *find(uint8_t side, const struct help_spec *s)
{
    for (unsigned i = 0; i < FLOWS; i++) {
        const struct flow *f = &model[i];

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
static struct help_spec draw_packet(uint8_t side)
{
    uint32_t host = HELP_IP(10, 0, 0, 1) + below(HOSTS), remote = HELP_IP(198, 51, 100, 1) + below(2);
    uint16_t hport = (uint16_t)(1 + below(PORTS)), rport = 53;
    struct help_spec s = {.proto = 17, .payload = 9};
    bool to_site = side == NF_OUTSIDE && below(4);

    s.src = side == NF_INSIDE ? host : remote;
    s.sport = side == NF_INSIDE ? hport : rport;
    s.dst = side == NF_INSIDE ? remote : to_site ? SITE : host;
    s.dport = side == NF_INSIDE ? rport : to_site ? ntohs(model[below(FLOWS)].number) : hport;
    return s;
}

static void run_one(uint64_t burst)
{
    uint8_t side = (uint8_t)below(2), frame[HELP_FRAME_MAX];
    struct help_spec s = draw_packet(side);
    struct flow *f;

    expire();
    f = find(side, &s);
    w.asked = false;
    w.refuse = below(4) == 0;
    w.join = below(2);
    /* A number that no live flow to the remote has; taken from the model, so that keys stay apart. */
    w.number = htons((uint16_t)(1024 + burst % 60000));
    uint32_t len = help_frame(&s, frame);
    struct nf_packet p = {.data = frame, .len = len, .have = len, .side = side, .in_port = side};
    uint64_t refused = w.ended[NF_SESSION_REFUSED];
    const struct nf_sessions *t = nf_chain_nf(chain, 1)->env->sessions->table;
    uint64_t conflicts = t->conflicts;

    nf_chain_run(chain, burst, time_now, &p, 1);
    if (!w.asked) {
        assert_true(p.drop && side == NF_OUTSIDE);
        if (f)
            f->seen = time_now;
        return;
    }
    assert_int_equal(w.found, f != NULL);
    if (f) {
        assert_int_equal(w.reply, side != f->side);
        assert_int_equal(w.packets, ++f->packets);
        f->seen = time_now;
    } else if (!(f = place())) {
        assert_true(w.full && p.drop);
        w.fulls++;
    } else {
        assert_int_equal(w.packets, 1);
        if (t->conflicts > conflicts || w.refuse) { /* dropped at birth: nothing is left */
            assert_true(p.drop);
            assert_int_equal(w.ended[NF_SESSION_REFUSED], refused + 1);
        } else {
            *f = (struct flow){
                .live = true, .side = side, .number = (uint16_t)w.number, .seen = time_now, .packets = 1};
            f->host = side == NF_INSIDE ? s.src : s.dst;
            f->hport = side == NF_INSIDE ? s.sport : s.dport;
            f->remote = side == NF_INSIDE ? s.dst : s.src;
            f->rport = side == NF_INSIDE ? s.dport : s.sport;
        }
    }
}

static void sessions_are_what_a_plain_model_says(void **state)
{
    static struct nf_chain_config config = {
        .name = "test", .lanes = 1, .count = 2, .nfs = {{&first, NULL}, {&second, NULL}}};
    static const struct ft_region_config how = {.name = "test", .shared_size = 64 << 10};
    struct ft_region *region;
    struct ft_fault fault = {""};
    uint32_t live = 0;

    (void)state;
    if (nf_chain_region(&region, &config, &how, &fault) ||
        nf_chain_make(&chain, &config, region, 0, 7, &fault))
        fail_msg("%s", fault.text);
    draws = 5;
    time_now = NF_SECOND;
    for (uint64_t burst = 1; burst <= PACKETS; burst++) {
        /* Times are multiples of what timers resolve. */
        time_now += below(3) ? 0 : below(200) ? NF_SECOND / 10 : 3 * NF_SECOND;
        run_one(burst);
        if (burst % 10000 == 0 && nf_chain_check(chain, NULL, NULL, &fault))
            fail_msg("after %lu packets: %s", burst, fault.text);
    }
    for (unsigned i = 0; i < FLOWS; i++)
        live += model[i].live;
    assert_int_equal(nf_sessions_count(nf_chain_nf(chain, 1)), live);
    assert_true(w.ended[NF_SESSION_IDLE] > 1000 && w.ended[NF_SESSION_REFUSED] > 1000 && w.fulls > 1000);
    assert_true(nf_chain_nf(chain, 1)->env->sessions->table->conflicts > 1000);
    nf_chain_free(chain);
    ft_region_close(region);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sessions_are_what_a_plain_model_says),
    };

    return cmocka_run_group_tests_name("sessions", tests, NULL, NULL);
}
