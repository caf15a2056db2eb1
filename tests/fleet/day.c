/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A day of a fleet, in seconds: the planner plans, and a world of servers, agents and nodes carries out what
 * it orders, late, and not always. Owns that world; the planner is the product's. Prints what the day was
 * like, and ends with 1 if a rule was broken. The same seed is the same day.
 *
 *   fleet-day [-s SEED] [-n SERVERS] [-k SHARDS] [-t SECONDS] [-d DEATHS] [-w SLOW] [-v]
 *
 * DEATHS: so many times as many servers die as usual, which is each one every 25 days. SLOW: so many servers
 * are slow for half an hour: the primaries of all standbys there give them up (0).
 *
 * What happens: servers die and return, one rack at once; agents die without their servers; two fifths of the
 * leases are lost at once for half a minute; nodes crash and restart; servers are drained, added, and have
 * their nodes started anew; shards are added, and moved by people; loads follow the hour, with noise, and
 * some shards are hot for a while. After the last fault there is an hour in which nothing happens, and the
 * fleet has to come to rest.
 */
#include "fleet/plan.h"
#include "ftcore/base/check.h"
#include "ftcore/base/draw.h"
#include "tests/fleet/agenda.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ZONES       10u
#define REST        3600u /* seconds without faults at the end */
#define RACK        20u
#define LEASE       2u /* its TTL */
#define TAKEOVER    1u
#define LOADS_S     60u   /* between two times that a server says its loads, where little changes */
#define RESTART     3u    /* of a node that crashed */
#define AWAY        3600u /* a server that died, at most */
#define DRAINED     3600u
#define SLOW_S      1800u
#define LEASES_AWAY 30u /* two fifths of them */

enum happening {
    DIES,
    RETURNS,
    LEASE_GOES,
    AGENT_DIES,
    AGENT_RETURNS,
    CRASHES,
    NODE_RETURNS,
    TAKES_OVER,
    ACTS,
    RESYNCED,
    DRAINS,
    DRAINS_NO_MORE,
    HEATS,
    COOLS,
    IS_ADDED,
    SHARD_IS_ADDED,
    MOVES,
    UPGRADES,
    SLOWS,
    SLOWS_NO_MORE,
};

/* A shard as it is; what it says of itself is in the picture. member[0] is the primary. */
struct truth {
    bool node[2], synced, unprotected, lost;
    bool slow;           /* since it is unprotected its standby was slow */
    uint64_t since;      /* unprotected */
    uint64_t died[2];    /* that node */
    uint64_t process[2]; /* the number of that node's process, in the order of their beginnings */
    double base, heat, phase;
};

static struct {
    struct fl_fleet fleet;
    struct fl_server *server;
    struct fl_shard *shard;
    struct truth *truth;
    char (*names)[16];
    bool *runs;      /* servers */
    bool *slow;      /* servers: standbys there do not keep up */
    uint64_t *left;  /* of each server: when a shard was last moved away from it as slow */
    uint32_t *roomy; /* of each server: minutes that had room, by when it was drained */
    uint32_t minutes_with_room;
    uint64_t *before; /* of each server: processes up to this one are to be started anew */
    uint64_t processes;
    uint64_t chance, length;
    uint64_t leases; /* when two fifths of them go */
    uint32_t all_servers, all_shards;
    uint32_t deaths; /* times as many as usual */
    uint32_t slows;
    bool changed, verbose;
    struct fl_plan *plan; /* the last one */
} world;

static struct {
    uint64_t orders[16], withdrawn, failed, plans, orders_late;
    uint64_t unprotected_seconds, longest, longest_slow, deaths, crashes, agents, stops;
    uint32_t lost_at_once, lost_in_healing, lost_waiting, lost_without_room, lost_needlessly, broken,
        unprotected, most_unprotected;
    double plan_most, plan_sum, balance_sum, balance_most;
    uint64_t balances;
    uint32_t drains, drains_without_room;
    uint64_t server_writes, shard_writes, most_shard_writes, shard_writes_now, most_server_writes,
        server_writes_now, copies;
} count;

static uint32_t draw(uint32_t below)
{
    return (uint32_t)(ft_draw(&world.chance) % below);
}

static double fraction(void)
{
    return (double)(ft_draw(&world.chance) >> 11) / (double)(1ull << 53);
}

#define BROKEN(...)                                                                                          \
    do {                                                                                                     \
        count.broken++;                                                                                      \
        printf("broken at %lu s: ", (unsigned long)world.fleet.now);                                         \
        printf(__VA_ARGS__);                                                                                 \
        putchar('\n');                                                                                       \
    } while (0)

/* ---- what is to happen ---- */

static void plan_event(uint64_t in, enum happening what, uint32_t whom, uint32_t which, uint64_t view)
{
    const struct event event = {
        .at = world.fleet.now + in, .what = what, .whom = whom, .which = which, .view = view};

    agenda_add(&event);
}

/* ---- shards ---- */

/* What its nodes say, and whether it is protected. */
static void tell(uint32_t number)
{
    struct fl_shard *shard = &world.shard[number];
    struct truth *truth = &world.truth[number];
    bool both = truth->node[0] && truth->node[1] && truth->synced;

    shard->primary = 0;
    shard->says[0] = !truth->node[0] ? FL_SAYS_NOTHING : both ? FL_SAYS_PROTECTED : FL_SAYS_SOLO;
    shard->says[1] = !truth->node[1] ? FL_SAYS_NOTHING : truth->synced ? FL_SAYS_READY : FL_SAYS_SYNCING;
    shard->slow =
        truth->node[0] && truth->node[1] && world.slow[shard->member[1]] ? "it acknowledges late" : NULL;
    truth->slow |= shard->slow != NULL;
    for (int k = 0; k < 2; k++)
        shard->old[k] = truth->node[k] && truth->process[k] <= world.before[shard->member[k]];
    if (shard->moves && shard->member[0] == shard->pin) { /* who reads the plan takes the wish away */
        shard->moves = false;
        shard->pin = FL_NONE;
    }
    if (!both && !truth->unprotected) {
        truth->unprotected = true;
        count.unprotected++;
        truth->since = world.fleet.now;
    } else if (both && truth->unprotected) {
        uint64_t took = world.fleet.now - truth->since;
        truth->unprotected = false;
        count.unprotected--;
        count.unprotected_seconds += took;
        if (truth->slow)
            count.longest_slow = took > count.longest_slow ? took : count.longest_slow;
        else
            count.longest = took > count.longest && !truth->lost ? took : count.longest;
        truth->lost = truth->slow = false;
    }
    world.changed = true;
    count.server_writes_now += 2;
}

/* The shard's key is written, and the copies for the agents of its members, and of one more server: where it
 * goes, or where it was. */
static void write_shard(bool one_more)
{
    count.shard_writes_now++;
    count.copies += 2 + one_more;
}

static void begin_process(uint32_t number, uint32_t which)
{
    world.truth[number].node[which] = true;
    world.truth[number].process[which] = ++world.processes;
}

static void begin_view(uint32_t number, uint32_t primary, uint32_t standby)
{
    struct fl_shard *shard = &world.shard[number];
    uint64_t *process = world.truth[number].process;

    if (primary == shard->member[1]) {
        uint64_t first = process[0];
        process[0] = process[1];
        process[1] = first;
    }
    write_shard(primary != shard->member[1] && standby != shard->member[1]);
    shard->view++;
    shard->member[0] = primary;
    shard->member[1] = standby;
    shard->order.kind = FL_LEAVE;
    shard->moved = world.fleet.now;
}

/* It dies with what it has. Was there anything that could have been done? */
static void lose(uint32_t number)
{
    struct truth *truth = &world.truth[number];
    enum fl_wait wait = world.plan && !truth->lost && number < world.fleet.shards && world.plan->step
                            ? world.plan->step[number].wait
                            : FL_FINE;
    uint64_t apart =
        truth->died[0] > truth->died[1] ? truth->died[0] - truth->died[1] : truth->died[1] - truth->died[0];

    if (truth->lost)
        return;
    truth->lost = true;
    if (apart <= LEASE + TAKEOVER)
        count.lost_at_once++;
    else if (wait == FL_LIMIT || wait == FL_BUSY || wait == FL_BACK_OFF || wait == FL_LEASES_GONE)
        count.lost_waiting++;
    else if (wait == FL_NO_ROOM)
        count.lost_without_room++;
    else if (wait == FL_FINE) {
        count.lost_needlessly++;
        printf("%lu s: %s is lost needlessly: %s\n", (unsigned long)world.fleet.now, world.shard[number].name,
               fl_wait_name(wait));
    } else
        count.lost_in_healing++;
}

static void end_node(uint32_t number, uint32_t which)
{
    struct truth *truth = &world.truth[number];

    if (!truth->node[which])
        return;
    truth->node[which] = false;
    truth->died[which] = world.fleet.now;
    if (!truth->node[!which] || (which == 0 && !truth->synced)) {
        lose(number);
        truth->synced = false;
        if (truth->node[1]) { /* it has nothing: a person begins it anew, when one has come */
            truth->node[1] = false;
            truth->died[1] = world.fleet.now;
            plan_event(600, NODE_RETURNS, number, world.shard[number].member[1], 0);
        }
    } else if (which == 0)
        plan_event(TAKEOVER, TAKES_OVER, number, 0, world.shard[number].view);
    else
        truth->synced = false;
    tell(number);
}

static void take_over(uint32_t number, uint64_t view)
{
    struct fl_shard *shard = &world.shard[number];
    struct truth *truth = &world.truth[number];
    uint64_t died = truth->died[0];

    if (shard->view != view || truth->node[0] || !truth->node[1] || !truth->synced)
        return;
    begin_view(number, shard->member[1], shard->member[0]);
    truth->node[0] = true;
    truth->node[1] = truth->synced = false;
    truth->died[0] = truth->died[1];
    truth->died[1] = died;
    tell(number);
}

/* A node is there again: with a primary it resyncs; a shard that was lost begins anew, as a person would have
 * it. */
static void start_node(uint32_t number, uint32_t server)
{
    struct fl_shard *shard = &world.shard[number];
    struct truth *truth = &world.truth[number];
    uint32_t which = shard->member[1] == server;

    if (shard->member[which] != server || truth->node[which] || !world.runs[server])
        return;
    if (which && truth->node[0]) {
        begin_process(number, 1);
        plan_event(3 + draw(12), RESYNCED, number, 0, shard->view);
    } else if (!truth->node[!which]) {
        if (which) {
            uint64_t died = truth->died[0];
            truth->died[0] = truth->died[1];
            truth->died[1] = died;
            begin_view(number, shard->member[1], shard->member[0]);
        } else
            begin_view(number, shard->member[0], shard->member[1]);
        begin_process(number, 0);
        truth->synced = false;
    } else {
        plan_event(1, NODE_RETURNS, number, server, 0); /* until the other one has taken over */
        return;
    }
    tell(number);
}

static void fail_order(uint32_t number, uint32_t to)
{
    world.shard[number].failed.count++;
    world.shard[number].failed.when = world.fleet.now;
    world.shard[number].failed.to = to;
    count.failed++;
    world.changed = true;
}

/* Its standbys are given up at once; when it is over they are taken back. */
static void set_slow(uint32_t server, bool slow)
{
    world.slow[server] = slow;
    for (uint32_t i = 0; i < world.fleet.shards; i++) {
        struct truth *truth = &world.truth[i];

        if (!world.shard[i].known || world.shard[i].member[1] != server || !truth->node[0] || !truth->node[1])
            continue;
        truth->synced &= !slow;
        if (!slow)
            plan_event(3 + draw(12), RESYNCED, i, 0, world.shard[i].view);
        tell(i);
    }
}

static bool answers(uint32_t server)
{
    return world.runs[server] && world.server[server].lease;
}

/* The primary's agent carries the order out. */
static void act(uint32_t number, uint32_t to, uint64_t view)
{
    struct fl_shard *shard = &world.shard[number];
    struct truth *truth = &world.truth[number];
    enum fl_kind kind = shard->order.kind;

    if (shard->view != view || kind == FL_LEAVE || shard->order.to != to || !truth->node[0] ||
        !answers(shard->member[0]))
        return;
    if (!answers(to) || !draw(50)) {
        fail_order(number, to);
        return;
    }
    if (kind == FL_HANDOVER) {
        if (!truth->node[1] || !truth->synced) {
            fail_order(number, to);
            return;
        }
        begin_view(number, shard->member[1], shard->member[0]);
    } else if (kind == FL_RESTART) {
        end_node(number, 1);
        plan_event(RESTART, NODE_RETURNS, number, to, 0);
    } else {
        begin_view(number, shard->member[0], to);
        begin_process(number, 1);
        truth->synced = false;
        plan_event(3 + draw(12), RESYNCED, number, 0, shard->view);
    }
    shard->failed.count = 0;
    tell(number);
}

static void create(uint32_t number, const uint32_t to[2])
{
    struct fl_shard *shard = &world.shard[number];
    struct truth *truth = &world.truth[number];

    shard->known = true;
    begin_view(number, to[0], to[1]);
    begin_process(number, 0);
    begin_process(number, 1);
    truth->synced = true;
    tell(number);
}

/* ---- servers ---- */

static void end_server(uint32_t server)
{
    if (!world.runs[server])
        return;
    count.deaths++;
    world.runs[server] = false;
    plan_event(LEASE, LEASE_GOES, server, 0, 0);
    plan_event(300 + draw(AWAY - 300), RETURNS, server, 0, 0);
    for (uint32_t i = 0; i < world.fleet.shards; i++)
        for (uint32_t k = 0; k < 2 && world.shard[i].known; k++)
            if (world.shard[i].member[k] == server)
                end_node(i, k);
}

static void set_lease(uint32_t server, bool held)
{
    if (world.server[server].lease == held || (held && !world.runs[server]) || world.server[server].unlisted)
        return;
    world.server[server].lease = held;
    world.server[server].gone = held ? 0 : world.fleet.now;
    world.changed = true;
    count.server_writes_now++;
}

static void return_server(uint32_t server)
{
    world.runs[server] = true;
    set_lease(server, true);
    for (uint32_t i = 0; i < world.fleet.shards; i++)
        if (world.shard[i].known &&
            (world.shard[i].member[0] == server || world.shard[i].member[1] == server))
            start_node(i, server);
}

/* Loads of all shards by the hour, in cores, packets a second and MB. In the last half hour they do not
 * change: what follows a load that grows is no unrest. */
static void measure(void)
{
    uint64_t still = world.length - REST / 2;
    bool rests = world.fleet.now >= still;
    double hour = (double)(rests ? still : world.fleet.now) / 86400;

    for (uint32_t i = 0; i < world.fleet.shards; i++) {
        struct truth *truth = &world.truth[i];
        double day = 1 + 0.6 * sin(2 * M_PI * (hour + truth->phase));
        double load = truth->base * truth->heat * day * (rests ? 1 : 0.95 + 0.1 * fraction());
        for (int k = 0; k < 2; k++) {
            world.shard[i].measured[k] = true;
            world.shard[i].load[k].of[FL_PROCESSOR] = k ? 0.6 * load : load;
            world.shard[i].load[k].of[FL_PACKETS] = k ? 2e5 * load : 1e6 * load;
            world.shard[i].load[k].of[FL_MEMORY] = 500;
        }
    }
}

/* An hour is enough to empty a server, if it and its agent live, and others had room for half of that hour:
 * in a fleet that is full with what has died a drain waits behind what heals. */
static void check_drained(uint32_t server)
{
    uint32_t nodes = 0;
    bool had_room = world.minutes_with_room - world.roomy[server] >= DRAINED / 60 / 2;

    count.drains++;
    count.drains_without_room += !had_room;
    for (uint32_t i = 0; i < world.fleet.shards; i++)
        nodes += world.shard[i].known && !world.truth[i].lost &&
                 (world.shard[i].member[0] == server || world.shard[i].member[1] == server);
    if (nodes && had_room && world.runs[server])
        BROKEN("%s was drained for an hour, and has %u nodes", world.server[server].name, nodes);
}

static void happen(const struct event *event)
{
    uint32_t whom = event->whom;

    switch ((enum happening)event->what) {
    case DIES:
        end_server(whom);
        break;
    case RETURNS:
        return_server(whom);
        break;
    case LEASE_GOES:
        if (!world.runs[whom])
            set_lease(whom, false);
        break;
    case AGENT_DIES:
        count.agents++;
        set_lease(whom, false);
        break;
    case AGENT_RETURNS:
        set_lease(whom, true);
        break;
    case CRASHES:
        if (whom < world.fleet.shards && world.shard[whom].known && world.truth[whom].node[event->which]) {
            count.crashes++;
            plan_event(RESTART, NODE_RETURNS, whom, world.shard[whom].member[event->which], 0);
            end_node(whom, event->which);
        }
        break;
    case NODE_RETURNS:
        start_node(whom, event->which);
        break;
    case TAKES_OVER:
        take_over(whom, event->view);
        break;
    case ACTS:
        act(whom, event->which, event->view);
        break;
    case RESYNCED:
        if (world.shard[whom].view == event->view && world.truth[whom].node[0] && world.truth[whom].node[1]) {
            world.truth[whom].synced = !world.slow[world.shard[whom].member[1]];
            tell(whom);
        }
        break;
    case DRAINS:
    case DRAINS_NO_MORE:
        if (event->what == DRAINS_NO_MORE && world.server[whom].drained)
            check_drained(whom);
        world.roomy[whom] = world.minutes_with_room;
        world.server[whom].drained = event->what == DRAINS;
        world.changed = true;
        break;
    case HEATS:
    case COOLS:
        world.truth[whom].heat = event->what == HEATS ? 4 : 1;
        break;
    case IS_ADDED:
        world.server[whom].unlisted = false;
        world.runs[whom] = true;
        set_lease(whom, true);
        break;
    case SHARD_IS_ADDED:
        world.fleet.shards++;
        world.changed = true;
        break;
    case MOVES:
        if (whom < world.fleet.shards && world.shard[whom].known && world.shard[whom].pin == FL_NONE &&
            world.shard[whom].member[0] != event->which && answers(event->which) &&
            !world.server[event->which].drained) {
            world.shard[whom].moves = true;
            world.shard[whom].pin = event->which;
            world.changed = true;
        }
        break;
    case SLOWS:
    case SLOWS_NO_MORE:
        set_slow(whom, event->what == SLOWS);
        break;
    case UPGRADES:
        if (!answers(whom))
            break;
        world.before[whom] = world.processes;
        for (uint32_t i = 0; i < world.fleet.shards; i++)
            if (world.shard[i].known &&
                (world.shard[i].member[0] == whom || world.shard[i].member[1] == whom))
                tell(i);
        break;
    }
}

/* ---- the leader ---- */

static void check_order(const struct fl_plan *plan, uint32_t number)
{
    const struct fl_shard *shard = &world.shard[number];
    const struct fl_step *step = &plan->step[number];
    const struct fl_server *to = &world.server[step->to[0]];

    if (plan->stopped)
        BROKEN("an order though too many leases are gone");
    if (step->kind == FL_WITHDRAW)
        return;
    if (!to->lease || to->drained || to->unlisted)
        BROKEN("%s goes to %s", shard->name, to->name);
    if (step->kind == FL_CREATE ? step->to[0] == step->to[1]
                                : (step->to[0] == shard->member[0] ||
                                   (step->to[0] == shard->member[1]) != (step->kind != FL_REPAIR)))
        BROKEN("%s: both members on %s", shard->name, to->name);
    if (step->kind == FL_RESTART && count.unprotected)
        BROKEN("%s is started anew, and %u shards are unprotected", shard->name, count.unprotected);
    if (step->cause == FL_SLOW) {
        uint64_t *left = &world.left[shard->member[1]];

        if (!world.slow[shard->member[1]])
            BROKEN("%s is moved as slow, and %s is not", shard->name, world.server[shard->member[1]].name);
        if (*left && world.fleet.now - *left < world.fleet.settings.relief)
            BROKEN("%s is moved away from %s too soon after another one", shard->name,
                   world.server[shard->member[1]].name);
        *left = world.fleet.now;
    }
    if (step->kind != FL_CREATE && !world.truth[number].node[0])
        BROKEN("%s is moved, and nobody serves", shard->name);
}

/* By what the world knows itself. */
static void check_plan(const struct fl_plan *plan)
{
    uint32_t went = 0, were = 0, repairs = 0, resyncs = 0, ordered = 0, balanced = 0;

    /* Those that went before are not of this time, nor are servers that people have drained. */
    for (uint32_t i = 0; i < world.all_servers && world.fleet.now >= world.leases; i++) {
        const struct fl_server *s = &world.server[i];
        bool counts = !s->lease && !s->drained && !s->unlisted && s->gone >= world.leases;
        went += counts && s->gone <= world.leases + LEASE;
        were += s->lease || counts;
    }
    if (plan->orders && went * 3 > were)
        BROKEN("%u of %u leases are gone, and there are orders", went, were);
    for (uint32_t i = 0; i < world.fleet.shards; i++) {
        const struct fl_shard *shard = &world.shard[i];
        const struct fl_step *step = &plan->step[i];
        bool stands = step->kind == FL_LEAVE && shard->order.kind == FL_REPAIR;
        repairs += stands || step->kind == FL_REPAIR;
        ordered += step->kind == FL_REPAIR;
        balanced += step->kind != FL_WITHDRAW &&
                    (step->cause == FL_BALANCE || step->cause == FL_ZONE || step->cause == FL_RELIEF);
        resyncs += world.truth[i].unprotected && shard->says[1] == FL_SAYS_SYNCING &&
                   answers(shard->member[0]) && answers(shard->member[1]);
        if (step->kind == FL_REPAIR && step->cause == FL_HEAL && world.server[shard->member[1]].lease)
            BROKEN("%s is healed, and %s lives", shard->name, world.server[shard->member[1]].name);
    }
    if (ordered && repairs > world.fleet.settings.heals)
        BROKEN("%u re-pairs at once", repairs);
    if (balanced && resyncs)
        BROKEN("%u orders for balance while %u shards resync", balanced, resyncs);
}

static void carry_out(const struct fl_plan *plan, uint32_t number)
{
    struct fl_shard *shard = &world.shard[number];
    const struct fl_step *step = &plan->step[number];

    check_order(plan, number);
    write_shard(step->kind == FL_REPAIR || shard->order.kind == FL_REPAIR);
    if (step->kind == FL_CREATE) {
        create(number, step->to);
        count.orders[FL_NEW]++;
        return;
    }
    if (step->kind == FL_WITHDRAW) {
        count.withdrawn++;
        if (step->cause == FL_FAILED && shard->failed.when < shard->order.since)
            fail_order(number, shard->order.to);
        shard->order.kind = FL_LEAVE;
        return;
    }
    count.orders[step->cause]++;
    shard->order.kind = step->kind;
    shard->order.cause = step->cause;
    shard->order.to = step->to[0];
    shard->order.since = world.fleet.now;
    if (step->cause == FL_SLOW)
        shard->left = (struct fl_left){.server = step->about, .when = world.fleet.now};
    plan_event(1 + draw(2), ACTS, number, step->to[0], shard->view);
}

static void make_plan(void)
{
    struct timespec from, to;
    struct ft_fault fault;
    double took;

    fl_plan_free(world.plan);
    world.plan = NULL;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
    if (fl_plan_make(&world.plan, &world.fleet, &fault))
        FT_CHECK(false, "%s", fault.text);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
    took = (double)(to.tv_sec - from.tv_sec) * 1e3 + (double)(to.tv_nsec - from.tv_nsec) / 1e6;
    count.plans++;
    count.plan_sum += took;
    count.plan_most = took > count.plan_most ? took : count.plan_most;
    count.stops += world.plan->stopped;
    world.changed = world.plan->orders > 0;
    world.fleet.balancing = world.plan->balancing;
    check_plan(world.plan);
    for (uint32_t i = 0; i < world.plan->orders; i++)
        carry_out(world.plan, world.plan->order[i]);
    if (world.plan->orders && world.fleet.now + 600 >= world.length) {
        count.orders_late += world.plan->orders;
        if (world.verbose) {
            char why[FL_WHY_MAX];
            fl_plan_explain(world.plan, &world.fleet, world.plan->order[0], why);
            printf("%lu s: %s: %s\n", (unsigned long)world.fleet.now, world.shard[world.plan->order[0]].name,
                   why);
        }
    }
}

/* How full servers that may get nodes are on average, and the fullest one is. */
static double mean_full(double *most)
{
    double sum = 0;
    uint32_t servers = 0;

    *most = 0;
    for (uint32_t i = 0; i < world.all_servers; i++) {
        if (!world.server[i].lease || world.server[i].drained)
            continue;
        servers++;
        sum += world.plan->view[i].full;
        *most = fmax(*most, world.plan->view[i].full);
    }
    return servers ? sum / servers : 0;
}

/* For a death more, and for what is moved: of fleets that are fuller it is not asked that they come to rest
 * as people wish. */
static bool has_room(double mean)
{
    return mean <= 1 - 2 * world.fleet.settings.gain;
}

static void note_balance(void)
{
    double most, mean = mean_full(&most);

    if (mean <= 0)
        return;
    world.minutes_with_room += has_room(mean);
    most /= mean;
    count.balances++;
    count.balance_sum += most;
    count.balance_most = most > count.balance_most ? most : count.balance_most;
}

/* ---- a day ---- */

static void make_world(uint32_t servers, uint32_t shards)
{
    uint32_t added = servers / 50, new_shards = shards / 200;

    world.all_servers = servers;
    world.all_shards = shards;
    world.server = calloc(servers, sizeof(*world.server));
    world.shard = calloc(shards, sizeof(*world.shard));
    world.truth = calloc(shards, sizeof(*world.truth));
    world.names = calloc(servers + shards, sizeof(*world.names));
    world.runs = calloc(servers, sizeof(*world.runs));
    world.slow = calloc(servers, sizeof(*world.slow));
    world.left = calloc(servers, sizeof(*world.left));
    world.before = calloc(servers, sizeof(*world.before));
    world.roomy = calloc(servers, sizeof(*world.roomy));
    FT_CHECK(world.server && world.shard && world.truth && world.names && world.runs && world.before &&
                 world.roomy && world.slow && world.left,
             "no memory for a fleet");
    for (uint32_t i = 0; i < servers; i++) {
        bool there = i < servers - added;
        snprintf(world.names[i], sizeof(world.names[i]), "s%u", i);
        world.runs[i] = there;
        world.server[i] = (struct fl_server){
            .name = world.names[i],
            .zone = i % ZONES,
            .capacity = {{[FL_PROCESSOR] = 15, [FL_PACKETS] = 40e6, [FL_MEMORY] = 64000, [FL_NODES] = 100}},
            .lease = there,
            .unlisted = !there,
        };
    }
    for (uint32_t i = 0; i < shards; i++) {
        snprintf(world.names[servers + i], sizeof(world.names[0]), "n%u", i);
        world.shard[i] = (struct fl_shard){.name = world.names[servers + i],
                                           .found = FL_NONE,
                                           .primary = FL_NONE,
                                           .pin = i % 100 ? FL_NONE : draw(servers - added),
                                           .failed = {.to = FL_NONE}};
        world.truth[i] = (struct truth){.base = 0.1 + 0.5 * fraction() * fraction() + 0.1 * fraction(),
                                        .heat = 1,
                                        .phase = 0.1 * fraction()};
    }
    world.fleet = (struct fl_fleet){.server = world.server,
                                    .servers = servers,
                                    .shard = world.shard,
                                    .shards = shards - new_shards,
                                    .settings = fl_settings_usual()};
    world.fleet.now = 1;
}

/* Some second of the day at which something may begin that lasts so many more: it is over before the end's
 * hour. */
static uint64_t some_time(uint64_t lasts)
{
    return 300 + (uint64_t)(fraction() * (double)(world.length - REST - 600 - 300 - lasts));
}

static void plan_day(void)
{
    uint32_t servers = world.all_servers, there = servers - servers / 50;
    double days = (double)world.length / 86400;
    uint64_t rack = some_time(AWAY);
    uint32_t first = draw(there > RACK * ZONES ? there - RACK * ZONES : 1);

    for (uint32_t i = 0; i < 1 + (uint32_t)(servers * days / 25 * world.deaths); i++)
        plan_event(some_time(AWAY), DIES, draw(there), 0, 0);
    for (uint32_t i = 0; i < RACK && i < there / 50; i++)
        plan_event(rack, DIES, (first + i * ZONES) % there, 0, 0); /* of one zone */
    for (uint32_t i = 0; i < 1 + (uint32_t)(servers * days / 10); i++) {
        uint64_t at = some_time(125);
        uint32_t whom = draw(there);
        plan_event(at, AGENT_DIES, whom, 0, 0);
        plan_event(at + 5 + draw(120), AGENT_RETURNS, whom, 0, 0);
    }
    world.leases = some_time(LEASES_AWAY);
    for (uint32_t i = 0; i < there * 2 / 5; i++) {
        plan_event(world.leases, AGENT_DIES, i, 0, 0);
        plan_event(world.leases + LEASES_AWAY, AGENT_RETURNS, i, 0, 0);
    }
    for (uint32_t i = 0; i < 1 + (uint32_t)(world.all_shards * days / 100); i++)
        plan_event(some_time(600), CRASHES, draw(world.all_shards), draw(2), 0);
    for (uint32_t i = 0; i < 2 + (uint32_t)(servers * days / 100); i++) {
        uint64_t at = some_time(DRAINED);
        uint32_t whom = draw(there);
        plan_event(at, DRAINS, whom, 0, 0);
        plan_event(at + DRAINED, DRAINS_NO_MORE, whom, 0, 0);
    }
    for (uint32_t i = 0; i < 1 + (uint32_t)(world.all_shards * days / 400); i++) {
        uint64_t at = some_time(5400);
        uint32_t whom = draw(world.all_shards);
        plan_event(at, HEATS, whom, 0, 0);
        plan_event(at + 1800 + draw(3600), COOLS, whom, 0, 0);
    }
    for (uint32_t i = 0; i < 2 + (uint32_t)(servers * days / 50); i++)
        plan_event(some_time(0), UPGRADES, draw(there), 0, 0);
    for (uint32_t i = 0; i < 2 + (uint32_t)(world.all_shards * days / 200); i++)
        plan_event(some_time(0), MOVES, draw(world.all_shards), draw(there), 0);
    for (uint32_t i = 0; i < world.slows; i++) {
        uint64_t at = some_time(SLOW_S);
        uint32_t whom = draw(there);
        plan_event(at, SLOWS, whom, 0, 0);
        plan_event(at + SLOW_S, SLOWS_NO_MORE, whom, 0, 0);
    }
    for (uint32_t i = there; i < servers; i++)
        plan_event(world.length / 2, IS_ADDED, i, 0, 0);
    for (uint32_t i = world.fleet.shards; i < world.all_shards; i++)
        plan_event(some_time(0), SHARD_IS_ADDED, 0, 0, 0);
}

static void end_second(void)
{
    uint32_t reports = world.all_servers / LOADS_S;

    count.server_writes += count.server_writes_now;
    count.shard_writes += count.shard_writes_now;
    if (world.fleet.now > 60) { /* the first creation is not of a day */
        count.most_shard_writes = count.shard_writes_now > count.most_shard_writes ? count.shard_writes_now
                                                                                   : count.most_shard_writes;
        count.most_server_writes = count.server_writes_now + reports > count.most_server_writes
                                       ? count.server_writes_now + reports
                                       : count.most_server_writes;
    }
    count.shard_writes_now = count.server_writes_now = 0;
}

static void run_day(void)
{
    while (world.fleet.now < world.length) {
        bool measures = world.fleet.now % 60 == 0;
        struct event event;

        while (agenda_next(&event, world.fleet.now))
            happen(&event);
        if (world.fleet.now == 1 || measures)
            measure();
        if (world.changed || measures || (world.slows && world.fleet.now % 5 == 0))
            make_plan();
        if (measures)
            note_balance();
        count.most_unprotected =
            count.unprotected > count.most_unprotected ? count.unprotected : count.most_unprotected;
        end_second();
        world.fleet.now++;
    }
}

/* Whatever was, in the end everything is where it is to be. */
static void check_end(void)
{
    uint32_t lost = 0, one_zone = 0, nodes = 0;
    double most;

    make_plan();
    for (uint32_t i = 0; i < world.fleet.shards; i++) {
        const struct fl_shard *shard = &world.shard[i];
        char why[FL_WHY_MAX];
        lost += world.truth[i].lost;
        if (world.truth[i].unprotected && world.plan->step[i].wait != FL_BOTH_SILENT)
            BROKEN("%s is not protected in the end: %s", shard->name,
                   fl_plan_explain(world.plan, &world.fleet, i, why));
        if (shard->known && (shard->old[0] || shard->old[1]))
            BROKEN("%s has a node in the end that was to be started anew", shard->name);
        if (shard->moves && !world.plan->step[i].pin_waits)
            BROKEN("%s was to be moved, and is not in the end", shard->name);
        one_zone += world.server[shard->member[0]].zone == world.server[shard->member[1]].zone;
    }
    for (uint32_t i = 0; i < world.all_servers; i++)
        nodes += world.server[i].drained ? world.plan->view[i].nodes : 0;
    if (nodes)
        BROKEN("drained servers have %u nodes in the end", nodes);
    if (world.plan->overfull && has_room(mean_full(&most)))
        BROKEN("%u servers are above capacity if one other dies", world.plan->overfull);
    if (one_zone)
        BROKEN("%u shards lie in one zone in the end", one_zone);
    if (count.orders_late)
        BROKEN("%lu orders in the last ten minutes, after fifty without a fault",
               (unsigned long)count.orders_late);
    if (count.lost_needlessly)
        BROKEN("%u shards were lost needlessly", count.lost_needlessly);
}

static void report(void)
{
    double seconds = (double)world.length;
    uint64_t orders = 0;

    for (int i = 0; i < 16; i++)
        orders += i == FL_NEW ? 0 : count.orders[i];
    printf("%u servers in %u zones, %u shards, %.1f hours; %lu servers died, %lu agents, %lu nodes\n",
           world.all_servers, ZONES, world.fleet.shards, seconds / 3600, (unsigned long)count.deaths,
           (unsigned long)count.agents, (unsigned long)count.crashes);
    printf("orders: %lu created,", (unsigned long)count.orders[FL_NEW]);
    for (int i = FL_HEAL; i <= FL_UPGRADE; i++)
        printf(" %s %lu%s", fl_cause_name((enum fl_cause)i), (unsigned long)count.orders[i],
               i == FL_UPGRADE ? "" : ",");
    printf("; %lu in all, %lu failed, %lu withdrawn\n", (unsigned long)orders, (unsigned long)count.failed,
           (unsigned long)count.withdrawn);
    printf("unprotected: %lu shard-seconds, %.2g of all; longest %lu s; at most %u at once\n",
           (unsigned long)count.unprotected_seconds,
           (double)count.unprotected_seconds / seconds / world.fleet.shards, (unsigned long)count.longest,
           count.most_unprotected);
    if (world.slows)
        printf("with a slow standby: longest %lu s\n", (unsigned long)count.longest_slow);
    printf("lost: %u with both members at once, %u while they were healed, %u waiting for limits, "
           "%u without room, %u needlessly\n",
           count.lost_at_once, count.lost_in_healing, count.lost_waiting, count.lost_without_room,
           count.lost_needlessly);
    printf("drained for an hour: %u servers, of which %u while the fleet had no room\n", count.drains,
           count.drains_without_room);
    printf("balance: the fullest server has %.2f of the mean on average, %.2f at most\n",
           count.balances ? count.balance_sum / (double)count.balances : 0, count.balance_most);
    printf("planner: %lu plans, %.1f ms on average, %.1f ms at most; stopped in %lu\n",
           (unsigned long)count.plans, count.plan_sum / (double)count.plans, count.plan_most,
           (unsigned long)count.stops);
    printf("etcd: servers' keys %.1f writes/s of which %u are loads, %lu/s at most; shards' keys %.2f "
           "writes/s, %lu/s at "
           "most\n",
           (double)count.server_writes / seconds + (double)world.all_servers / LOADS_S,
           world.all_servers / LOADS_S, (unsigned long)count.most_server_writes,
           (double)count.shard_writes / seconds, (unsigned long)count.most_shard_writes);
    printf("watch events: %.1f/s at the leader; %.3f/s at another agent, %.1f/s at all of them\n",
           (double)(count.server_writes + count.shard_writes + count.copies) / seconds +
               (double)world.all_servers / LOADS_S,
           (double)count.copies / seconds / world.all_servers, (double)count.copies / seconds);
    printf("worst pair: %u shards; %u of %u pairs have any\n", world.plan->both.shards,
           world.plan->both.pairs, world.all_servers * (world.all_servers - 1) / 2);
}

int main(int count_of, char **words)
{
    uint32_t servers = 1000, shards = 20000;
    uint64_t seed = 1;
    int option;

    world.length = 86400;
    world.deaths = 1;
    while ((option = getopt(count_of, words, "s:n:k:t:d:w:v")) != -1)
        switch (option) {
        case 's':
            seed = strtoull(optarg, NULL, 10);
            break;
        case 'n':
            servers = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'k':
            shards = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 't':
            world.length = strtoull(optarg, NULL, 10);
            break;
        case 'd':
            world.deaths = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'w':
            world.slows = (uint32_t)strtoul(optarg, NULL, 10);
            break;
        case 'v':
            world.verbose = true;
            break;
        default:
            fprintf(stderr,
                    "fleet-day [-s SEED] [-n SERVERS] [-k SHARDS] [-t SECONDS] [-d DEATHS] [-w SLOW] [-v]\n");
            return 2;
        }
    if (servers < 50 || shards < 1 || world.length < 2 * REST) {
        fprintf(stderr, "fleet-day: 50 servers, a shard and %u seconds at least\n", 2 * REST);
        return 2;
    }
    world.chance = seed;
    make_world(servers, shards);
    plan_day();
    world.changed = true;
    run_day();
    check_end();
    report();
    printf("seed %lu: %s\n", (unsigned long)seed, count.broken ? "FAILED" : "ok");
    return count.broken ? 1 : 0;
}
