/* SPDX-License-Identifier: Apache-2.0 */
/* See arbiter.h. */
#include "tests/help/arbiter.h"

#include "ftcore/base/draw.h"

#include <stdio.h>
#include <string.h>

#define MS   1000000ull
#define LOOK (40 * MS) /* between two looks of who serves */

static uint64_t draw(struct arbiter *a, uint64_t below)
{
    return ft_draw(&a->random) % below;
}

void arbiter_begin(struct arbiter *a, uint64_t seed, uint64_t patience)
{
    memset(a, 0, sizeof(*a));
    a->random = seed * 0x9e3779b97f4a7c15ull + 1;
    a->patience = patience;
}

void arbiter_born(struct arbiter *a, unsigned node, const char *name)
{
    a->node[node] = (__typeof__(a->node[node])){.life = a->node[node].life + 1};
    snprintf(a->node[node].name, sizeof(a->node[node].name), "%s", name);
}

static bool reaches(const struct arbiter *a, unsigned node, uint64_t now)
{
    return now >= a->down_until && now >= a->cut_until[node];
}

/* Mostly quick, now and then slow. */
static uint64_t way(struct arbiter *a)
{
    return draw(a, draw(a, 10) ? 2 * MS : 150 * MS);
}

static void send(struct arbiter *a, unsigned node, const struct ft_question *asked, bool look, uint64_t now)
{
    struct arbiter_request *r = a->list;

    if (!reaches(a, node, now))
        return;
    while (r < a->list + ARBITER_REQUESTS && r->used)
        r++;
    if (r == a->list + ARBITER_REQUESTS)
        return; /* lost */
    *r = (struct arbiter_request){
        .used = true, .look = look, .node = node, .life = a->node[node].life, .asked = *asked};
    r->applies = now + way(a);
    if (!look)
        memcpy(r->who, a->node[node].name, sizeof(r->who));
}

void arbiter_ask(struct arbiter *a, unsigned node, const struct ft_question *asked, uint64_t now)
{
    a->node[node].asking = asked != NULL;
    if (!asked)
        return;
    a->asked++;
    a->node[node].asked = *asked;
    a->node[node].again = now + a->patience;
    send(a, node, asked, false, now);
}

void arbiter_serves(struct arbiter *a, unsigned node, uint64_t view, uint64_t now)
{
    if (!view || now < a->node[node].looks)
        return;
    a->node[node].looks = now + LOOK;
    send(a, node, &(struct ft_question){.era = {view, 0}}, true, now);
}

/* In the order in which they arrive. */
static void run(struct arbiter *a, uint64_t now)
{
    for (;;) {
        struct arbiter_request *next = NULL;

        for (struct arbiter_request *r = a->list; r < a->list + ARBITER_REQUESTS; r++)
            if (r->used && !r->applied && r->applies <= now && (!next || r->applies < next->applies))
                next = r;
        if (!next)
            return;
        next->applied = true;
        if (!reaches(a, next->node, next->applies)) {
            next->used = false;
            continue;
        }
        if (ft_decides_anew(&a->kept, &next->asked)) {
            a->kept = ft_decision_of(&a->kept, &next->asked, next->who);
            a->decisions += !next->look;
        }
        next->answer = ft_decided(&a->kept, &next->asked, next->who);
        next->kept = a->kept;
        next->answers = next->applies + way(a);
        if (next->look || draw(a, 20) == 0)
            next->used = false; /* the answer is lost, or nobody's */
    }
}

bool arbiter_answer(struct arbiter *a, unsigned node, uint64_t now, struct ft_era *era,
                    enum ft_answer *answer, struct ft_decision *kept)
{
    run(a, now);
    for (struct arbiter_request *r = a->list; r < a->list + ARBITER_REQUESTS; r++) {
        if (!r->used || !r->applied || r->node != node || r->answers > now)
            continue;
        r->used = false;
        if (r->life != a->node[node].life || !reaches(a, node, now))
            continue;
        *era = r->asked.era;
        *answer = r->answer;
        *kept = r->kept;
        a->refused += r->answer == FT_ANSWER_LOST;
        if (ft_era_compare(era, &a->node[node].asked.era) == 0)
            a->node[node].asking = false;
        return true;
    }
    if (!a->node[node].asking || now < a->node[node].again)
        return false;
    a->node[node].again = now + a->patience;
    send(a, node, &a->node[node].asked, false, now);
    *era = a->node[node].asked.era;
    *answer = FT_ANSWER_SILENT;
    return true;
}
