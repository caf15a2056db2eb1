/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the lanes of a node are together (group.h): their barriers, a change of their chain, and what a peer
 * may write into their state.
 */
#include "lane/parts.h"
#include "ftcore/base/clock.h"
#include "nflib/chain/chain.h"

#include <string.h>
#include <time.h>

/* Then the waiting lane sleeps: there may be fewer cores than lanes. Sleeps of 5 us took the core from the
 * lane that was waited for, again and again: `replay` with four lanes that send deltas, on two cores, took 25
 * times as long. */
#define SPINS    2000u
#define SLEEP_NS 50000

void nd_group_init(struct nd_group *group, struct nd_lane *lanes, unsigned count)
{
    memset(group, 0, sizeof(*group));
    group->lane = lanes;
    group->lanes = count;
}

bool nd_group_any(const struct nd_group *group, bool (*is)(const struct nd_lane *lane))
{
    bool any = false;

    for (unsigned l = 0; l < group->lanes; l++)
        any |= is(&group->lane[l]);
    return any;
}

#define COUNT 0xffu
#define TIMES 8

uint64_t nd_barrier_join(struct nd_group *group, struct nd_barrier *place,
                         void (*work)(struct nd_group *group))
{
    uint64_t before = atomic_fetch_add_explicit(&place->word, 1, memory_order_acq_rel);
    uint64_t number = before >> TIMES;

    if ((before & COUNT) + 1 == group->lanes) {
        if (work)
            work(group);
        /* Before they are let go: none waits for another any more. */
        for (unsigned l = 0; l < group->lanes; l++)
            ft_wait_over(&group->published[l]);
        atomic_store_explicit(&place->word, (number + 1) << TIMES, memory_order_release);
    }
    return number;
}

bool nd_barrier_over(const struct nd_barrier *place, uint64_t number)
{
    return atomic_load_explicit(&place->word, memory_order_acquire) >> TIMES != number;
}

bool nd_barrier_leave(const struct nd_group *group, struct nd_barrier *place, uint64_t number)
{
    uint64_t now = atomic_load_explicit(&place->word, memory_order_acquire);

    while (now >> TIMES == number && (now & COUNT) != group->lanes)
        if (atomic_compare_exchange_weak_explicit(&place->word, &now, now - 1, memory_order_acq_rel,
                                                  memory_order_acquire))
            return true;
    return false;
}

void nd_group_pause(unsigned spins)
{
    struct timespec pause = {0, SLEEP_NS};

    if (spins >= SPINS)
        nanosleep(&pause, NULL);
}

/* Nobody in the barrier may wait for the others any more. */
static bool is_given_up(const struct nd_lane *lane)
{
    return nd_lane_is_to_end(lane) || nd_lane_is_taken_back(lane) || nd_lane_replay_aborted(lane);
}

/* The last one to come is at work, on what `needed` looks at. */
static bool all_are_there(const struct nd_lane *lane, const struct nd_barrier *place)
{
    return (atomic_load_explicit(&place->word, memory_order_acquire) & COUNT) == lane->group->lanes;
}

/* True: all were there. False: this lane left before, since it is given up or `needed` (NULL: always). */
static bool wait_at(struct nd_lane *lane, struct nd_barrier *place, void (*work)(struct nd_group *group),
                    bool (*needed)(const struct nd_lane *lane))
{
    uint64_t number = nd_barrier_join(lane->group, place, work);

    for (unsigned spins = 0; !nd_barrier_over(place, number); spins++) {
        if ((is_given_up(lane) || (needed && !all_are_there(lane, place) && !needed(lane))) &&
            nd_barrier_leave(lane->group, place, number))
            return false;
        nd_group_pause(spins);
    }
    return true;
}

bool nd_group_barrier(struct nd_lane *lane, void (*work)(struct nd_group *group),
                      bool (*needed)(const struct nd_lane *lane))
{
    return wait_at(lane, &lane->group->between, work, needed);
}

bool nd_group_barrier_at(struct nd_lane *lane, struct nd_barrier *place, void (*work)(struct nd_group *group))
{
    return wait_at(lane, place, work, NULL);
}

/* ---- a change of the chain -----------------------------------------------------------------------
 *
 * Whichever lane is the last to come to a barrier carries it out. Outputs that are held stay: they were made,
 * and recorded, before. A stream that was under way ends here, and the snapshot of whose cut this is begins
 * the next.
 */

/* A node that has a state, and so the addresses, announces them anew. */
static void take_interfaces(struct nd_group *group, const struct nf_l3_config *from,
                            const struct nf_l3_config *to, bool empty)
{
    uint8_t port[NF_PORTS_MAX];

    if (nf_chain_same_l3(from, to))
        return;
    if (nf_l3_match(from, to, port))
        for (unsigned l = 0; l < group->lanes; l++)
            nd_lane_renumber(&group->lane[l], port);
    if (!empty && group->lane[0].doing == FT_LANE_LIVE)
        nd_lane_announce(&group->lane[0], true);
}

/* Chains are made by the configuration that they are run with, which is the node's from here on. */
static int switch_chains(struct nd_group *group, struct nd_change *c, bool empty)
{
    struct lg_recorder *recorder = group->lane[0].setup.recorder;
    struct nf_chain *next[FT_LANES_MAX] = {NULL};
    struct nf_chain_switch s = {.change = &c->plan,
                                .region = group->lane[0].region,
                                .how = c->how,
                                .chain = c->was,
                                .seed = c->seed,
                                .empty = empty,
                                .next = next};
    bool recorded;
    int error;

    for (unsigned l = 0; l < group->lanes; l++)
        c->was[l] = group->lane[l].chain;
    c->exchange(c);
    recorded = recorder && lg_recorder_halt(recorder);
    error = nf_chain_switch(&s, &c->fault);
    if (error) {
        if (recorded) /* of this chain, until the next snapshot */
            lg_recorder_missed(recorder);
        c->exchange(c);
        return error;
    }
    for (unsigned l = 0; l < group->lanes; l++)
        nd_lane_take_chain(&group->lane[l], next[l]);
    if (recorder)
        lg_recorder_take_chain(recorder, c->recorded, c->recorded_len);
    take_interfaces(group, c->plan.from->l3, c->plan.to->l3, empty);
    c->old = s.old;
    return 0;
}

void nd_group_change(struct nd_group *group, enum nd_change_stage at)
{
    struct nd_change *c = atomic_load_explicit(&group->change, memory_order_acquire);
    uint64_t began = ft_now();
    int error;

    if (!c || !nd_change_pass(c, at, ND_CHANGE_WORKING))
        return;
    error = switch_chains(group, c, at == ND_CHANGE_WANTED);
    c->took = ft_now() - began;
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

    return c && c->chain.hash == hash && nd_change_pass(c, ND_CHANGE_OFFERED, ND_CHANGE_WANTED);
}

/* ---- what a peer writes --------------------------------------------------------------------------
 *
 * It is looked at before any lane runs on it, by the replicator's thread, which alone orders lanes to run.
 */

int nd_group_check(void *arg, void (*pulse)(void *arg), void *pulse_arg, struct ft_fault *fault)
{
    const struct nd_group *group = arg;
    int error = 0;

    for (unsigned l = 0; l < group->lanes && !error; l++)
        error = nf_chain_check(group->lane[l].chain, pulse, pulse_arg, fault);
    return error;
}

int nd_group_keeps(void *arg, unsigned lane, const struct ft_line_run *run, struct ft_fault *fault)
{
    const struct nd_group *group = arg;

    return nf_chain_keeps(group->lane[lane].chain, run->line << FT_LINE_SHIFT,
                          (uint64_t)run->count << FT_LINE_SHIFT, run->zero ? NULL : run->bytes, fault);
}
