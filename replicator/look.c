/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A question of one node's main thread to the other's, and its answer: one each way at a time, over a sealed
 * link alone. They travel as PUSH does, distinguished by the first byte of the bulk, to a peer of the same
 * release. An answer goes in pieces of PIECE bytes, one a millisecond at most, so that a long one takes from
 * the log what a small connection would. Nothing waits for it: what does not come is not there.
 *
 * The question goes from the asker's main thread (IDLE, WANTED) to its replicator (SENT), which puts the
 * answer together (ANSWERED). On the other side the replicator has it (COME), the main thread looks (COME),
 * and the replicator sends the answer (ANSWERING). A thread that changes data which the stage gives to
 * another is BUSY.
 */
#include "replicator/parts.h"

#include <stdlib.h>
#include <string.h>

#define PIECE    4096u
#define PIECE_NS 1000000ull

enum { IDLE, WANTED, SENT, ANSWERED, COME, ANSWERING, BUSY };

/* Before a piece. */
struct head {
    uint32_t size, at; /* of the whole answer; where in it this piece begins */
};

static bool pass_on(struct rp_looking *l, int from, int to)
{
    return atomic_compare_exchange_strong(&l->stage, &from, to);
}

static void leave(struct rp_looking *l)
{
    free(l->bytes);
    l->bytes = NULL;
    atomic_store_explicit(&l->stage, IDLE, memory_order_release);
}

static int send_bulk(struct rp_replicator *rp, uint64_t id, const uint8_t *bytes, uint32_t len)
{
    struct ft_message m;

    ft_core_head(&rp->core, FT_MSG_PUSH, rp->now, &m);
    m.number = id;
    m.bulk = bytes;
    m.bulk_len = len;
    return rp_link_send(rp->link, &m, rp->lanes, NULL);
}

/* ---- the replicator's thread --------------------------------------------------------------------- */

static void send_question(struct rp_replicator *rp)
{
    struct rp_looking *l = &rp->look;

    if (!rp->core.peer.known || !pass_on(l, WANTED, BUSY))
        return;
    if (send_bulk(rp, l->id, l->bytes, l->len) != 0) {
        pass_on(l, BUSY, WANTED);
        return;
    }
    free(l->bytes);
    l->bytes = NULL;
    l->len = l->at = 0;
    pass_on(l, BUSY, SENT);
}

static void send_piece(struct rp_replicator *rp)
{
    struct rp_looking *l = &rp->looked;
    uint8_t out[1 + sizeof(struct head) + PIECE];
    struct head head;
    uint32_t n;

    if (atomic_load_explicit(&l->stage, memory_order_acquire) != ANSWERING || rp->now < l->next)
        return;
    if (!rp->core.peer.known || l->connects != rp_link_stats(rp->link)->connects) {
        leave(l); /* who asked is gone */
        return;
    }
    head = (struct head){l->len, l->at};
    n = l->len - l->at < PIECE ? l->len - l->at : PIECE;
    *out = RP_LOOK_ANSWER;
    memcpy(out + 1, &head, sizeof(head));
    memcpy(out + 1 + sizeof(head), l->bytes + l->at, n);
    if (send_bulk(rp, l->id, out, (uint32_t)(1 + sizeof(head)) + n) != 0)
        return;
    l->next = rp->now + PIECE_NS;
    l->at += n;
    if (l->at == l->len)
        leave(l);
}

void rp_look_turn(struct rp_replicator *rp)
{
    send_question(rp);
    send_piece(rp);
}

static void take_question(struct rp_replicator *rp, const struct ft_message *m)
{
    struct rp_looking *l = &rp->looked;

    if (m->bulk_len > RP_QUESTION_MAX || !pass_on(l, IDLE, BUSY))
        return;
    free(l->bytes); /* an answer that was too long to be sent */
    l->bytes = malloc(m->bulk_len);
    if (!l->bytes) {
        leave(l);
        return;
    }
    l->len = m->bulk_len - 1;
    memcpy(l->bytes, m->bulk + 1, l->len);
    l->id = m->number;
    l->connects = rp_link_stats(rp->link)->connects;
    pass_on(l, BUSY, COME);
}

/* Pieces come in order, of one answer of one size; anything else is no part of it. */
static bool take_piece(struct rp_looking *l, const struct ft_message *m)
{
    uint32_t n = m->bulk_len - 1 - (uint32_t)sizeof(struct head);
    struct head head;

    memcpy(&head, m->bulk + 1, sizeof(head));
    if (m->number != l->id || head.size > RP_ANSWER_MAX || head.at != l->at || n > head.size - head.at)
        return false;
    if (l->at == 0) {
        free(l->bytes);
        l->bytes = malloc(head.size + 1u);
        l->len = head.size;
    }
    if (!l->bytes || head.size != l->len)
        return false;
    memcpy(l->bytes + l->at, m->bulk + 1 + sizeof(head), n);
    l->at += n;
    return l->at == l->len;
}

void rp_take_look(struct rp_replicator *rp, const struct ft_message *m)
{
    struct rp_looking *l = &rp->look;

    if (!rp->core.peer.known)
        return;
    if (*m->bulk == RP_LOOK_QUESTION)
        take_question(rp, m);
    else if (m->bulk_len > 1 + sizeof(struct head) && pass_on(l, SENT, BUSY))
        pass_on(l, BUSY, take_piece(l, m) ? ANSWERED : SENT);
}

/* ---- the main thread ------------------------------------------------------------------------------ */

bool rp_look(struct rp_replicator *rp, uint64_t id, const char *text, size_t len)
{
    struct rp_looking *l = &rp->look;

    if (len + 1 > RP_QUESTION_MAX || !pass_on(l, IDLE, BUSY))
        return false;
    free(l->bytes);
    l->bytes = malloc(len + 1);
    if (!l->bytes) {
        pass_on(l, BUSY, IDLE);
        return false;
    }
    *l->bytes = RP_LOOK_QUESTION;
    memcpy(l->bytes + 1, text, len);
    l->len = (uint32_t)len + 1;
    l->id = id;
    pass_on(l, BUSY, WANTED);
    return true;
}

bool rp_look_answered(struct rp_replicator *rp, char **text, size_t *len)
{
    struct rp_looking *l = &rp->look;

    if (!pass_on(l, ANSWERED, BUSY))
        return false;
    *text = (char *)l->bytes;
    *len = l->len;
    l->bytes = NULL;
    pass_on(l, BUSY, IDLE);
    return true;
}

bool rp_look_forget(struct rp_replicator *rp)
{
    struct rp_looking *l = &rp->look;

    return pass_on(l, WANTED, IDLE) || pass_on(l, SENT, IDLE) || pass_on(l, ANSWERED, IDLE) ||
           atomic_load(&l->stage) == IDLE;
}

const char *rp_looked(struct rp_replicator *rp, size_t *len)
{
    struct rp_looking *l = &rp->looked;

    if (atomic_load_explicit(&l->stage, memory_order_acquire) != COME)
        return NULL;
    *len = l->len;
    return (const char *)l->bytes;
}

void rp_looked_answer(struct rp_replicator *rp, char *text, size_t len)
{
    struct rp_looking *l = &rp->looked;

    free(l->bytes);
    l->bytes = (uint8_t *)text;
    l->len = (uint32_t)len;
    l->at = 0;
    l->next = 0;
    atomic_store_explicit(&l->stage, len ? ANSWERING : IDLE, memory_order_release);
}
