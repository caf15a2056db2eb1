/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of a chain on their way to the peer or from it, one set each way. The thread that answers operators
 * packs, checks and writes them; this one carries them, over a sealed link alone. What a stage says is
 * written by the thread whose turn it is, and read by the other one after that.
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

void rp_push_turn(struct rp_replicator *rp)
{
    send_files(rp);
    send_answer(rp);
}

/* One set at a time: another one that comes meanwhile is not answered, and its sender gives up. */
static void take_files(struct rp_replicator *rp, const struct ft_message *m)
{
    struct rp_pushing *p = &rp->pushed;

    if (atomic_load_explicit(&p->stage, memory_order_acquire) != IDLE || !is_sealed(rp))
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

/* An answer that came too late for whoever waited for it is none to the files of another chain. */
static void take_answer(struct rp_replicator *rp, const struct ft_message *m)
{
    struct rp_pushing *p = &rp->push;

    if (!pass_on(p, SENT, BUSY))
        return;
    if (m->number2 != p->chain) {
        pass_on(p, BUSY, SENT);
        return;
    }
    p->answer.taken = m->number == 0;
    memcpy(p->answer.text, m->text, sizeof(p->answer.text));
    atomic_store_explicit(&p->stage, ANSWERED, memory_order_release);
}

void rp_push_take(struct rp_replicator *rp, const struct ft_message *m)
{
    if (!may_talk(rp))
        return;
    if (m->type == FT_MSG_PUSH)
        take_files(rp, m);
    else if (m->type == FT_MSG_PUSHED)
        take_answer(rp, m);
}

void rp_push_free(struct rp_replicator *rp)
{
    free(rp->push.bytes);
    free(rp->pushed.bytes);
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
