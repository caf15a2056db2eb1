/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An arbiter for simulated worlds: one register that decides by the product's rule, behind ways that delay
 * and lose. A request that was sent arrives though its sender has died since, asks no more or has asked
 * again; an answer may be lost after the decision was made. All from one seed.
 */
#ifndef TESTS_HELP_ARBITER_H
#define TESTS_HELP_ARBITER_H

#include "ftcore/protocol/core.h"

#include <stdint.h>

#define ARBITER_REQUESTS 128u
#define ARBITER_NODES    4u

struct arbiter {
    uint64_t random;
    uint64_t patience;                             /* ns, of a node: then it asks again */
    uint64_t down_until, cut_until[ARBITER_NODES]; /* world ns */
    struct ft_decision kept;
    uint64_t decisions, asked, refused; /* decisions of an era; questions; answers that another goes on */
    struct arbiter_request {
        bool used, applied, look;
        unsigned node;
        uint64_t life, applies, answers; /* answers: 0: lost */
        struct ft_question asked;
        struct ft_decision kept; /* when it was answered */
        char who[FT_NAME_MAX];
        enum ft_answer answer;
    } list[ARBITER_REQUESTS];
    struct {
        bool asking;
        uint64_t life, again, looks, serves;
        struct ft_question asked;
        char name[FT_NAME_MAX];
    } node[ARBITER_NODES];
};

/* Times are the world's, ns, and do not go back. */
void arbiter_begin(struct arbiter *a, uint64_t seed, uint64_t patience);
void arbiter_born(struct arbiter *a, unsigned node, const char *name); /* a process begins */
void arbiter_ask(struct arbiter *a, unsigned node, const struct ft_question *asked,
                 uint64_t now); /* NULL: no more */
void arbiter_serves(struct arbiter *a, unsigned node, uint64_t view, uint64_t now);
/* True: an answer for that node, to any question of its process. */
bool arbiter_answer(struct arbiter *a, unsigned node, uint64_t now, struct ft_era *era,
                    enum ft_answer *answer, struct ft_decision *kept);

#endif
