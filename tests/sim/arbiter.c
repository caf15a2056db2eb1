/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arbiter of seeds that have one (-k arbiter), in the place of understudy/arbiter: one register that
 * decides by the product's rule, behind ways that are slow, lose, and are cut towards one node or both. A
 * request that was sent arrives though its sender has died since, asks no more or has asked again; an answer
 * may be lost after the decision was made. All from one seed.
 */
#include "ftcore/base/draw.h"
#include "tests/sim/sim.h"

#define ARBITER_REQUESTS 128u
#define ARBITER_NODES    4u

struct arbiter {
    uint64_t random;
    uint64_t patience;                             /* ns, of a node: then it asks again */
    uint64_t down_until, cut_until[ARBITER_NODES]; /* world ns */
    struct ft_decision kept;
    unsigned by; /* whose question made it, and in which of its lives */
    uint64_t by_life;
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

#define LOOK (40 * SIM_MS) /* between two looks of who serves */

static uint64_t draw(struct arbiter *a, uint64_t below)
{
    return ft_draw(&a->random) % below;
}

static void arbiter_begin(struct arbiter *a, uint64_t seed, uint64_t patience)
{
    memset(a, 0, sizeof(*a));
    a->random = seed * 0x9e3779b97f4a7c15ull + 1;
    a->patience = patience;
}

static void arbiter_born(struct arbiter *a, unsigned node, const char *name)
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
    return draw(a, draw(a, 10) ? 2 * SIM_MS : 150 * SIM_MS);
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

static void arbiter_ask(struct arbiter *a, unsigned node, const struct ft_question *asked, uint64_t now)
{
    a->node[node].asking = asked != NULL;
    if (!asked)
        return;
    a->asked++;
    a->node[node].asked = *asked;
    a->node[node].again = now + a->patience;
    send(a, node, asked, false, now);
}

static void arbiter_serves(struct arbiter *a, unsigned node, uint64_t view, uint64_t now)
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
            a->by = next->node;
            a->by_life = next->life;
            a->decisions += !next->look;
        }
        next->answer =
            ft_decided(&a->kept, &next->asked, next->who, a->by == next->node && a->by_life == next->life);
        next->kept = a->kept;
        next->answers = next->applies + way(a);
        if (next->look || draw(a, 20) == 0)
            next->used = false; /* the answer is lost, or nobody's */
    }
}

static bool arbiter_answer(struct arbiter *a, unsigned node, uint64_t now, struct ft_era *era,
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

/* ---- in the world ---- */

static struct arbiter arbiter;
static struct rp_arbiter calls[SIM_NODES];

static unsigned index_of(void *node)
{
    return ((struct sim_node *)node)->index;
}

static void ask(void *node, const struct ft_question *asked)
{
    if (asked)
        sim_tell(index_of(node), "asks the arbiter for view %lu, era %lu", asked->era.view,
                 asked->era.number);
    arbiter_ask(&arbiter, index_of(node), asked, sim.now);
}

static bool answer(void *node, struct ft_era *era, enum ft_answer *out, struct ft_decision *kept)
{
    return arbiter_answer(&arbiter, index_of(node), sim.now, era, out, kept);
}

static void serves(void *node, uint64_t view, const struct ft_members *members)
{
    (void)members;
    arbiter_serves(&arbiter, index_of(node), view, sim.now);
}

void sim_arbiter_begin(void)
{
    arbiter_begin(&arbiter, sim.seed, 20 * SIM_MS);
}

const struct rp_arbiter *sim_arbiter_of(struct sim_node *n)
{
    if (!sim.plan.arbitrated)
        return NULL;
    arbiter_born(&arbiter, n->index, n->name);
    calls[n->index] = (struct rp_arbiter){.arg = n, .ask = ask, .answer = answer, .serves = serves};
    return &calls[n->index];
}

/* `whom`: a bit for each node. */
void sim_arbiter_cut(unsigned whom, uint64_t until)
{
    for (unsigned i = 0; i < sim.nodes; i++)
        if (whom >> i & 1)
            arbiter.cut_until[i] = until;
    sim_tell(SIM_NOBODY, "the arbiter is out of reach for %s until %.3f ms", sim_names(whom),
             (double)until / 1e6);
}

/* Often together with what the nodes have between them. True: this was a fault. */
bool sim_arbiter_upset(void)
{
    uint64_t solo = sim.config->timing.solo_after_ms * SIM_MS;

    if (!sim.plan.arbitrated || !sim_chance(&sim.asks, 250))
        return false;
    sim_arbiter_cut(1 + (unsigned)sim_draw(&sim.asks, (1u << sim.nodes) - 1),
                    sim.now + sim_draw(&sim.asks, 4 * solo));
    if (sim_chance(&sim.asks, 500))
        sim_partition(1 + (unsigned)sim_draw(&sim.asks, (1u << sim.nodes) - 1),
                      (unsigned)sim_draw(&sim.asks, 1u << sim.nodes),
                      sim.now + sim_draw(&sim.asks, 4 * solo));
    return true;
}

void sim_arbiter_end(void)
{
    for (unsigned i = 0; i < sim.nodes; i++)
        arbiter.cut_until[i] = 0;
    sim.count.decisions += arbiter.decisions;
    sim.count.refused += arbiter.refused;
}
