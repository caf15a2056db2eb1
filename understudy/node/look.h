/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Questions that only look, of one node's operators to the other node, over the link. The main thread's, on
 * both sides; no lane and no log waits for them (replicator/look.c).
 */
#ifndef NODE_LOOK_H
#define NODE_LOOK_H

#include "understudy/control/server.h"

#include <stdint.h>

struct nd_running;

struct nd_looking {
    const struct nd_exchange *of; /* whose question is with the peer; NULL: nobody's */
    uint64_t id, asked;           /* of it; ns */
    struct nd_exchange theirs;    /* the peer's; request NULL: none, else owned */
};

/* A step of a request with "peer": true, whose command only looks. */
bool nd_look_answer(struct nd_running *r, struct nd_exchange *x);
/* In each turn: the peer's question is answered, as if it had come by the socket that looks. */
void nd_look_turn(struct nd_running *r, nd_answer_fn *answer);

#endif
