/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the two nodes send each other beside the protocol, of which the core knows nothing. It goes by the
 * link, and not by heartbeats on the data ports, since those are what may have failed.
 *
 *  - Demotion counters and maintenance orders, between the main threads of both: what this node's gives is
 *    sent to the peer once on each connection and when it changes; what the peer sends is shown in the status
 *    for as long as its connection stands.
 *  - Verdicts on digests: those of a standby's lanes go to the primary, which notes them for status and for
 *    who asked. A verdict on one digest names the burst that it came with; one on a round of slices names
 *    none.
 *  - Files of a chain on their way to the peer or from it, one set each way, over a sealed link alone. The
 *    thread that answers operators packs, checks and writes them; this one carries them. The data of a stage
 *    is written by the thread whose turn it is, and read by the other one after that.
 *  - Questions that only look, and their answers (look.c).
 *  - A drill: the peer is asked to kill itself.
 */
#include "replicator/parts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum rp_push_stage {
    IDLE,
    WANTED,   /* to the peer: to be sent */
    SENT,     /* and they were */
    ANSWERED, /* to the peer: the answer is here. From it: it is to be sent */
    COME,     /* from the peer: to be looked at */
    BUSY,     /* whose turn it is reads or writes */
};

/* ---- counters and orders ------------------------------------------------------------------------ */

bool rp_give_standing(struct rp_replicator *rp, const struct rp_standing *own)
{
    if (atomic_load_explicit(&rp->standing.is_given, memory_order_acquire))
        return false;
    rp->standing.given = *own;
    atomic_store_explicit(&rp->standing.is_given, true, memory_order_release);
    return true;
}

/* False: there is no room for it now. */
static bool send_standing(struct rp_replicator *rp)
{
    struct ft_message m;

    ft_core_head(&rp->core, FT_MSG_COUNTER, rp->now, &m);
    m.number = rp->standing.own.counter;
    m.number2 = rp->standing.own.maintained;
    m.maintenance = rp->standing.own.maintenance;
    m.cluster = rp->standing.own.cluster;
    snprintf(m.text, sizeof(m.text), "%s", rp->standing.own.why);
    return rp_link_send(rp->link, &m, rp->lanes, NULL) != FT_EFULL;
}

static uint64_t connection(const struct rp_replicator *rp)
{
    return rp_link_stats(rp->link)->connects;
}

static void standing_turn(struct rp_replicator *rp)
{
    if (atomic_load_explicit(&rp->standing.is_given, memory_order_acquire)) {
        rp->standing.own = rp->standing.given;
        rp->standing.known = true;
        rp->standing.told = false;
        atomic_store_explicit(&rp->standing.is_given, false, memory_order_release);
    }
    if (!rp->link || !rp->core.peer.known || !rp->standing.known)
        return;
    if (rp->standing.told && rp->standing.to == connection(rp))
        return;
    rp->standing.to = connection(rp);
    rp->standing.told = send_standing(rp);
}

void rp_take_standing(struct rp_replicator *rp, const struct ft_message *m)
{
    /* The other end of a pair is the other way round. */
    static const uint8_t seen_from_here[FT_MAINTENANCES] = {
        [FT_MAINTENANCE_HOLD] = FT_MAINTENANCE_HOLD,
        [FT_MAINTENANCE_PIN_OWN] = FT_MAINTENANCE_PIN_OTHER,
        [FT_MAINTENANCE_PIN_OTHER] = FT_MAINTENANCE_PIN_OWN,
    };
    struct rp_standing *peer = &rp->standing.peer;

    peer->counter = (uint32_t)m->number;
    peer->maintained = m->number2;
    peer->cluster = m->cluster;
    peer->maintenance = seen_from_here[m->maintenance];
    snprintf(peer->why, sizeof(peer->why), "%s", m->text);
    rp->standing.from = connection(rp);
}

bool rp_has_peer_standing(const struct rp_replicator *rp)
{
    return rp->link && rp->core.peer.known && rp->standing.from && rp->standing.from == connection(rp);
}

/* ---- verdicts ----------------------------------------------------------------------------------- */

/* False: there is no room for it now. */
static bool send_verdict(struct rp_replicator *rp, unsigned lane, uint64_t burst, uint64_t expected,
                         uint64_t got)
{
    struct ft_message m;

    ft_core_head(&rp->core, FT_MSG_VERDICT, rp->now, &m);
    m.lane = (uint16_t)lane;
    m.burst[0] = burst;
    m.number = expected;
    m.number2 = got;
    return rp_link_send(rp->link, &m, rp->lanes, NULL) != FT_EFULL;
}

void rp_send_verdicts(struct rp_replicator *rp)
{
    if (!rp->core.peer.known)
        return;
    for (unsigned l = 0; l < rp->lanes; l++) {
        struct ft_lane_shared *lane = rp_lane(rp, l);
        uint64_t digests = FT_REPORT_GET(lane, digests), round = FT_REPORT_GET(lane, round_ns), slices;

        if (digests == rp->digest_sent[l] ||
            send_verdict(rp, l, FT_REPORT_GET(lane, digest_burst), FT_REPORT_GET(lane, expected),
                         FT_REPORT_GET(lane, got)))
            rp->digest_sent[l] = digests;
        slices = FT_REPORT_GET(lane, round_slices);
        if (round == rp->round_sent[l] || !round || send_verdict(rp, l, 0, slices, slices))
            rp->round_sent[l] = round;
    }
}

void rp_take_verdict(struct rp_replicator *rp, const struct ft_message *m)
{
    struct rp_verdicts *v = &rp->verdicts;

    if (rp->core.resync)
        return; /* on a state that the standby is to give up, or has given up since */
    if (m->burst[0] == 0) {
        v->round_at[m->lane] = rp->now;
        v->slices_equal += m->number;
        return;
    }
    v->last[m->lane] = (struct rp_verdict){m->burst[0], m->number, m->number2};
    v->different += m->number != m->number2;
}

bool rp_verdict_find(const struct rp_verdicts *verdicts, unsigned lanes, const uint64_t bursts[],
                     struct rp_verdict *out)
{
    const struct rp_verdict *v, *last = verdicts->last;
    bool all = true;

    *out = last[0];
    for (v = last; v < last + lanes; v++) {
        if (v->burst != bursts[v - last]) {
            all = false;
            continue;
        }
        if (v->expected != v->got) {
            *out = *v;
            return true;
        }
        if (all && v->expected != last[0].expected)
            out->got = v->got; /* lanes with two verdicts on one digest */
    }
    return all;
}

/* ---- files of a chain --------------------------------------------------------------------------- */

static bool pass_on(struct rp_pushing *p, int from, int to)
{
    return atomic_compare_exchange_strong(&p->stage, &from, to);
}

static bool is_sealed(const struct rp_replicator *rp)
{
    return rp->config.link.seal.keys || rp->config.link.seal.certificate;
}

/* Somebody who knows the key, and is the peer or refuses us as such. */
static bool may_talk(const struct rp_replicator *rp)
{
    return rp->core.peer.up && (rp->core.peer.known || rp->core.refused);
}

static void send_files(struct rp_replicator *rp)
{
    struct rp_pushing *p = &rp->push;
    uint64_t connects = rp_link_stats(rp->link)->connects;
    struct ft_message m;

    if (p->connects != connects)
        pass_on(p, SENT, WANTED); /* they may be lost with the connection */
    if (!may_talk(rp) || rp_link_room(rp->link) < RP_PUSH_MAX || !pass_on(p, WANTED, BUSY))
        return;
    ft_core_head(&rp->core, FT_MSG_PUSH, rp->now, &m);
    m.number = p->chain;
    m.bulk = p->bytes;
    m.bulk_len = p->len;
    p->connects = connects;
    pass_on(p, BUSY, rp_link_send(rp->link, &m, rp->lanes, NULL) == 0 ? SENT : WANTED);
}

static void send_answer(struct rp_replicator *rp)
{
    struct rp_pushing *p = &rp->pushed;
    struct ft_message m;

    if (atomic_load_explicit(&p->stage, memory_order_acquire) != ANSWERED || !may_talk(rp))
        return;
    ft_core_head(&rp->core, FT_MSG_PUSHED, rp->now, &m);
    m.number = !p->answer.taken;
    m.number2 = p->chain;
    memcpy(m.text, p->answer.text, sizeof(m.text));
    rp_link_send(rp->link, &m, rp->lanes, NULL);
    atomic_store_explicit(&p->stage, IDLE, memory_order_release);
}

/* One set at a time: another one that comes meanwhile is not answered, and its sender gives up. */
void rp_take_files(struct rp_replicator *rp, const struct ft_message *m)
{
    struct rp_pushing *p = &rp->pushed;

    if (!is_sealed(rp) || !may_talk(rp))
        return;
    if (m->bulk_len && (*m->bulk == RP_LOOK_QUESTION || *m->bulk == RP_LOOK_ANSWER)) {
        rp_take_look(rp, m);
        return;
    }
    if (atomic_load_explicit(&p->stage, memory_order_acquire) != IDLE)
        return;
    free(p->bytes);
    p->bytes = malloc(m->bulk_len + 1u);
    if (!p->bytes)
        return;
    memcpy(p->bytes, m->bulk, m->bulk_len);
    p->len = m->bulk_len;
    p->chain = m->number;
    atomic_store_explicit(&p->stage, COME, memory_order_release);
}

/* An answer that came too late for whoever waited for it is none to the files of another chain. It may come
 * while the peer joins, before it is known here again, or before the files were sent once more. */
void rp_take_answer(struct rp_replicator *rp, const struct ft_message *m)
{
    struct rp_pushing *p = &rp->push;
    bool sent = pass_on(p, SENT, BUSY);

    if (!sent && !pass_on(p, WANTED, BUSY))
        return;
    if (m->number2 != p->chain || !p->connects) {
        pass_on(p, BUSY, sent ? SENT : WANTED);
        return;
    }
    p->answer.taken = m->number == 0;
    memcpy(p->answer.text, m->text, sizeof(p->answer.text));
    atomic_store_explicit(&p->stage, ANSWERED, memory_order_release);
}

/* ---- any other thread, one ----------------------------------------------------------------------- */

bool rp_push(struct rp_replicator *rp, uint64_t chain, const void *bytes, uint32_t len)
{
    struct rp_pushing *p = &rp->push;

    FT_CHECK(len <= RP_PUSH_MAX, "a push of %u bytes", len);
    if (!pass_on(p, IDLE, BUSY) && !pass_on(p, SENT, BUSY))
        return false;
    free(p->bytes);
    p->bytes = malloc(len + 1u);
    p->len = len;
    p->chain = chain;
    p->connects = 0;
    if (p->bytes)
        memcpy(p->bytes, bytes, len);
    pass_on(p, BUSY, p->bytes ? WANTED : IDLE);
    return p->bytes != NULL;
}

bool rp_push_answered(struct rp_replicator *rp, struct rp_push_answer *out)
{
    if (atomic_load_explicit(&rp->push.stage, memory_order_acquire) != ANSWERED)
        return false;
    *out = rp->push.answer;
    atomic_store_explicit(&rp->push.stage, IDLE, memory_order_release);
    return true;
}

void rp_push_forget(struct rp_replicator *rp)
{
    if (!pass_on(&rp->push, WANTED, IDLE) && !pass_on(&rp->push, SENT, IDLE))
        pass_on(&rp->push, ANSWERED, IDLE);
}

const uint8_t *rp_pushed(struct rp_replicator *rp, uint64_t *chain, uint32_t *len)
{
    struct rp_pushing *p = &rp->pushed;

    if (atomic_load_explicit(&p->stage, memory_order_acquire) != COME)
        return NULL;
    *chain = p->chain;
    *len = p->len;
    return p->bytes;
}

void rp_push_reply(struct rp_replicator *rp, const struct rp_push_answer *answer)
{
    rp->pushed.answer = *answer;
    atomic_store_explicit(&rp->pushed.stage, ANSWERED, memory_order_release);
}

/* ---- a drill ------------------------------------------------------------------------------------ */

void rp_drill(struct rp_replicator *rp, const char *kind)
{
    snprintf(rp->drill_ask, sizeof(rp->drill_ask), "%.31s", kind);
    atomic_store(&rp->drill_asked, true);
}

bool rp_drilled(struct rp_replicator *rp, char *kind, size_t cap)
{
    if (!atomic_load(&rp->drill_come))
        return false;
    snprintf(kind, cap, "%s", rp->drill_got);
    atomic_store(&rp->drill_come, false);
    return true;
}

void rp_take_drill(struct rp_replicator *rp, const struct ft_message *m)
{
    if (atomic_load(&rp->drill_come))
        return;
    snprintf(rp->drill_got, sizeof(rp->drill_got), "%.31s", m->text);
    atomic_store(&rp->drill_come, true);
}

static void send_drill(struct rp_replicator *rp)
{
    struct ft_message m;

    ft_core_head(&rp->core, FT_MSG_DRILL, rp->now, &m);
    memcpy(m.text, rp->drill_ask, sizeof(rp->drill_ask));
    rp_link_send(rp->link, &m, rp->lanes, NULL);
}

/* ---- each turn ----------------------------------------------------------------------------------- */

void rp_sideband_turn(struct rp_replicator *rp)
{
    standing_turn(rp);
    if (rp->link) {
        send_files(rp);
        send_answer(rp);
        rp_look_turn(rp);
    }
    /* Not kept for a peer that comes later. */
    if (atomic_exchange(&rp->drill_asked, false) && rp->link && rp->core.peer.known)
        send_drill(rp);
}
