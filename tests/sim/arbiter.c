/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arbiter of seeds that have one (-k arbiter): a register in the world (tests/help/arbiter.h) in the
 * place of node/arbiter, with ways that are slow, lose, and are cut towards one node or both.
 */
#include "tests/sim/sim.h"
#include "tests/help/arbiter.h"

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
