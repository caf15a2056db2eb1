/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Carries out a change of the chain, by whichever lane is the last to come to a barrier; see change.h.
 * Outputs that are held stay: they were made, and recorded, before. A stream that was under way ends here,
 * and the snapshot of whose cut this is begins the next.
 */
#include "node/lane/change.h"
#include "node/base/clock.h"
#include "node/crash/crash.h"
#include "node/lane/lane.h"

/* The node's configuration has the new chain's NFs, and the memory that they lie in; what is freed with
 * `next` is the old chain's. Lanes, addresses and routes are the same in both. */
static void exchange_chains(struct nd_change *c)
{
    struct nf_chain_config chain = c->own->chain;
    struct nf_file text = c->own->text;
    void *arena = c->own->arena;
    uint16_t lanes = chain.lanes;

    c->own->chain = c->next->chain;
    c->next->chain = chain;
    c->own->arena = c->next->arena;
    c->next->arena = arena;
    c->own->text = c->next->text;
    c->next->text = text;
    c->own->chain.lanes = lanes;
    c->own->chain.l3 = chain.l3;
    c->next->chain.l3 = NULL;
}

/* Chains are made by the configuration that they are run with, which is the node's from here on. */
static int switch_chains(struct nd_group *group, struct nd_change *c, bool empty)
{
    struct nf_chain *next[FT_LANES_MAX] = {NULL};
    struct nf_chain_switch s = {.change = &c->plan,
                                .region = group->lane[0].region,
                                .how = c->how,
                                .chain = c->was,
                                .seed = c->seed,
                                .empty = empty,
                                .next = next};
    int error;

    for (unsigned l = 0; l < group->lanes; l++)
        c->was[l] = group->lane[l].chain;
    exchange_chains(c);
    c->plan.to = &c->own->chain;
    c->plan.from = &c->next->chain;
    error = nf_chain_switch(&s, &c->fault);
    if (error) {
        exchange_chains(c);
        return error;
    }
    nd_crash_name_chain(group->page, &c->own->chain);
    for (unsigned l = 0; l < group->lanes; l++)
        nd_lane_take_chain(&group->lane[l], next[l]);
    c->old = s.old;
    return 0;
}

void nd_group_change(struct nd_group *group, enum nd_change_stage at)
{
    struct nd_change *c = atomic_load_explicit(&group->change, memory_order_acquire);
    uint64_t began = nd_now();
    int error;

    if (!c || !nd_change_pass(c, at, ND_CHANGE_WORKING))
        return;
    error = switch_chains(group, c, at == ND_CHANGE_WANTED);
    c->took = nd_now() - began;
    if (!error)
        atomic_store_explicit(&group->chain, &c->chain, memory_order_release);
    atomic_store_explicit(&c->stage, error ? ND_CHANGE_FAILED : ND_CHANGE_DONE, memory_order_release);
}

const struct ft_chain_name *nd_group_chain(void *arg)
{
    struct nd_group *group = arg;

    return atomic_load_explicit(&group->chain, memory_order_acquire);
}

bool nd_group_become(void *arg, uint64_t hash)
{
    struct nd_group *group = arg;
    struct nd_change *c = atomic_load_explicit(&group->change, memory_order_acquire);

    return c && c->chain.hash == hash && nd_change_pass(c, ND_CHANGE_PREPARED, ND_CHANGE_WANTED);
}
