/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The planner against what anybody can say of a fleet by looking at every shard: fleets by chance, in which
 * servers die, return and are drained, loads change, orders are carried out at once, later or never. Each
 * plan is judged; after the last fault the fleet comes to rest, and is judged again. The seeds are fixed;
 * PLAN_SEEDS=N runs so many.
 */
#include "fleet/plan.h"
#include "ftcore/base/draw.h"
#include "tests/help/fleet.h"
#include "tests/help/test.h"

#include <math.h>

static struct help_fleet of;
static uint64_t chance, seed;
static uint32_t restless;         /* fleets in which loads that change by 5 % gave an order */
static uint32_t overfull_at_rest; /* fleets with a server above capacity, though there is a placement */

static uint32_t draw(uint32_t below)
{
    return (uint32_t)(ft_draw(&chance) % below);
}

static double draw_between(double least, double most)
{
    return least + (most - least) * (double)(ft_draw(&chance) >> 11) / (double)(1ull << 53);
}

#define HOLDS(cond, ...)                                                                                     \
    do {                                                                                                     \
        if (!(cond)) {                                                                                       \
            print_error("seed %lu: ", (unsigned long)seed);                                                  \
            fail_msg(__VA_ARGS__);                                                                           \
        }                                                                                                    \
    } while (0)

static bool takes(uint32_t server)
{
    return of.server[server].lease && !of.server[server].drained;
}

/* Servers of one kind, but one in three fleets: a capacity for processors, or for nodes, or both. */
static void make_fleet(void)
{
    uint32_t servers = 3 + draw(8), shards = 1 + draw(servers * 6), kind = draw(4);
    double fill = draw_between(0.2, 0.75), load;

    help_fleet_make(&of, servers, shards, 1 + draw(4));
    of.fleet.settings.heals = 1 + draw(8);
    of.fleet.settings.resyncs = 1 + draw(2);
    load = fill * servers * 10 / shards / 1.5;
    for (uint32_t i = 0; i < servers; i++) {
        double size = draw(3) ? 1 : draw_between(0.7, 1.5);
        if (kind & 1)
            of.server[i].capacity.of[FL_PROCESSOR] = 10 * size;
        if (kind & 2)
            of.server[i].capacity.of[FL_NODES] = 3.0 * shards / servers + 3;
    }
    for (uint32_t i = 0; i < shards && kind & 1; i++) {
        double primary = load * draw_between(0.5, 1.5);
        help_fleet_load(&of, i, primary, primary * draw_between(0.2, 1));
    }
}

static void set_order(uint32_t shard, const struct fl_step *step)
{
    of.shard[shard].order.kind = step->kind;
    of.shard[shard].order.cause = step->cause;
    of.shard[shard].order.to = step->to[0];
    of.shard[shard].order.since = of.fleet.now;
}

/* ---- each plan ---- */

static bool is_silent(const struct fl_shard *shard)
{
    return (shard->says[0] == FL_SAYS_NOTHING || !of.server[shard->member[0]].lease) &&
           (shard->says[1] == FL_SAYS_NOTHING || !of.server[shard->member[1]].lease);
}

static void judge_order(const struct fl_plan *plan, uint32_t number)
{
    const struct fl_shard *shard = &of.shard[number];
    const struct fl_step *step = &plan->step[number];
    uint32_t primary = help_fleet_primary(shard);
    uint32_t standby = shard->member[0] == primary ? shard->member[1] : shard->member[0];

    HOLDS(!plan->stopped, "an order though it is stopped");
    if (step->kind == FL_WITHDRAW)
        return;
    HOLDS(takes(step->to[0]), "n%u to s%u, which takes nothing", number, step->to[0]);
    if (step->kind == FL_CREATE) {
        HOLDS(!shard->known, "n%u is created again", number);
        HOLDS(step->to[0] != step->to[1] && takes(step->to[1]), "n%u is created on one server", number);
        for (uint32_t i = 0; i < of.fleet.servers; i++)
            HOLDS(of.server[i].lease, "n%u is created while s%u is away", number, i);
        return;
    }
    HOLDS(shard->known && !is_silent(shard), "an order for n%u, which is silent", number);
    HOLDS(primary != FL_NONE, "an order for n%u, of which nobody serves", number);
    if (step->kind == FL_HANDOVER)
        HOLDS(step->to[0] == standby && help_fleet_protected(shard), "n%u is handed over to nobody", number);
    else if (step->kind == FL_RESTART) {
        HOLDS(step->to[0] == standby, "n%u's standby is not on s%u", number, step->to[0]);
        for (uint32_t i = 0; i < of.fleet.shards; i++)
            HOLDS(!of.shard[i].known || help_fleet_protected(&of.shard[i]),
                  "n%u is restarted while n%u is not protected", number, i);
    } else
        HOLDS(step->to[0] != primary && step->to[0] != standby, "n%u re-pairs with a member", number);
}

static void judge_limits(const struct fl_plan *plan)
{
    uint32_t all = 0, ordered = 0, into[16] = {0}, out[16] = {0};

    for (uint32_t i = 0; i < of.fleet.shards; i++) {
        const struct fl_step *step = &plan->step[i];
        bool stands = of.shard[i].order.kind == FL_REPAIR && step->kind == FL_LEAVE;
        if (step->kind != FL_REPAIR && !stands)
            continue;
        all++;
        ordered += step->kind == FL_REPAIR;
        into[stands ? of.shard[i].order.to : step->to[0]]++;
        if (help_fleet_primary(&of.shard[i]) != FL_NONE)
            out[help_fleet_primary(&of.shard[i])]++;
    }
    HOLDS(!ordered || all <= of.fleet.settings.heals, "%u re-pairs at once", all);
    for (uint32_t i = 0; i < of.fleet.servers && ordered; i++)
        HOLDS(into[i] <= of.fleet.settings.resyncs && out[i] <= of.fleet.settings.resyncs,
              "%u resyncs into s%u, %u out of it", into[i], i, out[i]);
}

/* No order for balance while the same plan heals. */
static void judge_causes(const struct fl_plan *plan)
{
    bool heals = false, balances = false;

    for (uint32_t i = 0; i < plan->orders; i++) {
        enum fl_cause cause = plan->step[plan->order[i]].cause;
        heals |= cause == FL_HEAL;
        balances |= cause == FL_RELIEF || cause == FL_ZONE || cause == FL_BALANCE;
    }
    for (uint32_t i = 0; i < of.fleet.shards; i++)
        heals |= plan->step[i].unprotected && plan->step[i].wait == FL_UNDER_WAY;
    HOLDS(!heals || !balances, "balance while a shard is healed");
}

static void judge_views(const struct fl_plan *plan)
{
    for (uint32_t i = 0; i < of.fleet.servers; i++) {
        double full = 0, worst = 0;
        if (!of.server[i].lease)
            continue;
        for (int k = FL_PROCESSOR; k < FL_MEASURES; k++)
            for (uint32_t dead = 0; dead <= of.fleet.servers; dead++) {
                double capacity = of.server[i].capacity.of[k];
                double part = dead == i || capacity <= 0
                                  ? 0
                                  : help_fleet_carries(&of, i, dead, (enum fl_measure)k) / capacity;
                worst = fmax(part, worst);
                full = dead == of.fleet.servers ? fmax(part, full) : full;
            }
        HOLDS(fabs(plan->view[i].full - full) < 1e-7, "s%u is %g full, and is said to be %g", i, full,
              plan->view[i].full);
        HOLDS(fabs(plan->view[i].worst - worst) < 1e-7, "s%u is %g full at most, and is said to be %g", i,
              worst, plan->view[i].worst);
    }
}

static struct fl_plan *make_plan(void)
{
    struct fl_plan *plan, *again;
    struct ft_fault fault = {.text = ""};

    HOLDS(!fl_plan_make(&plan, &of.fleet, &fault) && !fl_plan_make(&again, &of.fleet, &fault), "%s",
          fault.text);
    HOLDS(plan->orders == again->orders &&
              !memcmp(plan->step, again->step, of.fleet.shards * sizeof(plan->step[0])) &&
              !memcmp(plan->order, again->order, plan->orders * sizeof(plan->order[0])),
          "the same fleet, another plan");
    fl_plan_free(again);
    for (uint32_t i = 0; i < plan->orders; i++)
        judge_order(plan, plan->order[i]);
    judge_limits(plan);
    judge_causes(plan);
    judge_views(plan);
    of.fleet.balancing = plan->balancing;
    return plan;
}

/* ---- at rest ---- */

static uint32_t come_to_rest(void)
{
    uint32_t orders = 0;

    for (int round = 0;; round++) {
        struct fl_plan *plan;
        of.fleet.now += 1000; /* past every hold-down */
        plan = make_plan();
        bool rests = !plan->orders && !plan->waits[FL_UNDER_WAY];
        HOLDS(round < 500, "no rest after 500 plans: %u orders", plan->orders);
        orders += plan->orders;
        help_fleet_apply(&of, plan);
        for (uint32_t i = 0; i < of.fleet.shards; i++) {
            struct fl_shard *shard = &of.shard[i];
            shard->order.kind = FL_LEAVE;
            if (shard->moves && help_fleet_primary(shard) == shard->pin) {
                shard->pin = FL_NONE;
                shard->moves = false;
            }
        }
        fl_plan_free(plan);
        if (rests)
            return orders;
    }
}

/* Would a server be within its capacities with the standby of that shard? */
static bool has_room(uint32_t number, uint32_t server)
{
    bool protect = help_fleet_protected(&of.shard[number]); /* else room now is enough */
    struct fl_shard *shard = &of.shard[number], before = *shard;
    uint32_t primary = help_fleet_primary(shard);
    bool fits;

    if (primary == FL_NONE || server == primary || !takes(server))
        return false;
    shard->member[0] = primary;
    shard->member[1] = server;
    shard->says[0] = FL_SAYS_PROTECTED;
    shard->says[1] = FL_SAYS_READY;
    fits = help_fleet_within(&of, server, 0, protect);
    *shard = before;
    return fits;
}

/* Nobody keeps a node from being started anew where nothing is full, dead or drained. */
static void judge_old(void)
{
    for (uint32_t i = 0; i < of.fleet.servers; i++)
        if (!takes(i) || of.server[i].capacity.of[FL_PROCESSOR] > 0 ||
            of.server[i].capacity.of[FL_NODES] < 1024)
            return;
    for (uint32_t i = 0; i < of.fleet.shards; i++)
        if (of.shard[i].known && !help_fleet_protected(&of.shard[i]))
            return;
    for (uint32_t i = 0; i < of.fleet.shards; i++)
        HOLDS(!of.shard[i].old[0] && !of.shard[i].old[1], "a node of n%u is old", i);
}

/* Where some shard is not protected an upgrade waits, and balance for it. */
static void end_upgrade(void)
{
    for (uint32_t i = 0; i < of.fleet.shards; i++)
        of.shard[i].old[0] = of.shard[i].old[1] = false;
}

static void judge_rest(void)
{
    for (uint32_t i = 0; i < of.fleet.shards; i++) {
        const struct fl_shard *shard = &of.shard[i];
        uint32_t primary = help_fleet_primary(shard);
        if (!shard->known || primary == FL_NONE || !of.server[primary].lease)
            continue;
        if (shard->pin != FL_NONE && help_fleet_protected(shard) && shard->member[0] != shard->pin &&
            shard->member[1] != shard->pin)
            HOLDS(!has_room(i, shard->pin), "n%u is not moved to s%u, though there is room", i, shard->pin);
        for (uint32_t k = 0; k < 2; k++) {
            uint32_t server = shard->member[k], other = shard->member[!k];
            bool fails = !help_fleet_protected(shard) && shard->says[k] != FL_SAYS_READY;
            bool homeless = primary != server && (!takes(server) || fails);
            /* A primary on a drained server goes to its standby, if that is where nodes may be. */
            bool stuck = primary == server && of.server[server].drained && takes(other);
            if (homeless && (!help_fleet_protected(shard) || of.server[server].drained))
                for (uint32_t to = 0; to < of.fleet.servers; to++)
                    HOLDS(to == server || !has_room(i, to), "n%u stays on s%u, though s%u has room", i,
                          server, to);
            if (stuck && help_fleet_protected(shard))
                for (uint32_t to = 0; to < of.fleet.servers; to++)
                    HOLDS(to == other || !has_room(i, to), "n%u stays primary on drained s%u", i, server);
        }
    }
}

static uint32_t overfull(double left)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < of.fleet.servers; i++)
        count += takes(i) && !help_fleet_within(&of, i, left, true);
    return count;
}

/* Primaries stay where they are; each standby, the largest first, goes to the first server that has room and
 * a tenth of it left. None goes into its primary's zone that was in another one. Is there a placement so? */
static bool greedy_places(void)
{
    struct fl_shard *before = malloc(of.fleet.shards * sizeof(*before));
    bool placed = true;

    memcpy(before, of.shard, of.fleet.shards * sizeof(*before));
    for (uint32_t i = 0; i < of.fleet.shards; i++)
        if (help_fleet_protected(&before[i])) {
            uint32_t primary = help_fleet_primary(&before[i]);
            of.shard[i].member[0] = primary;
            of.shard[i].says[0] = FL_SAYS_SOLO;
            of.shard[i].says[1] = FL_SAYS_NOTHING;
        }
    for (;;) {
        uint32_t next = FL_NONE, to = 0;
        for (uint32_t i = 0; i < of.fleet.shards; i++)
            if (help_fleet_protected(&before[i]) && !help_fleet_protected(&of.shard[i]) &&
                (next == FL_NONE || of.shard[i].load[0].of[0] > of.shard[next].load[0].of[0]))
                next = i;
        if (next == FL_NONE)
            break;
        of.shard[next].says[0] = FL_SAYS_PROTECTED;
        of.shard[next].says[1] = FL_SAYS_READY;
        for (; to < of.fleet.servers; to++) {
            of.shard[next].member[1] = to;
            bool apart = of.server[before[next].member[0]].zone == of.server[before[next].member[1]].zone ||
                         of.server[to].zone != of.server[of.shard[next].member[0]].zone;
            if (takes(to) && apart && to != of.shard[next].member[0] && help_fleet_within(&of, to, 0.1, true))
                break;
        }
        if (to == of.fleet.servers) {
            placed = false;
            break;
        }
    }
    placed &= !overfull(0); /* by primaries alone */
    memcpy(of.shard, before, of.fleet.shards * sizeof(*before));
    free(before);
    return placed;
}

/* A fleet that was balanced, as it is once some server has been a fifth above the mean. */
static void judge_jitter(void)
{
    uint32_t orders;
    char why[FL_WHY_MAX] = "";

    of.fleet.balancing = true;
    come_to_rest();
    HOLDS(!of.fleet.balancing, "it is at rest, and not done with balancing");
    if (overfull(0.06))
        return;
    for (int round = 0; round < 3; round++) {
        struct fl_shard *before = malloc(of.fleet.shards * sizeof(*before));
        struct fl_plan *plan;
        memcpy(before, of.shard, of.fleet.shards * sizeof(*before));
        for (uint32_t i = 0; i < of.fleet.shards; i++)
            for (int k = 0; k < 2; k++)
                of.shard[i].load[k].of[FL_PROCESSOR] *= draw_between(0.95, 1.05);
        plan = make_plan();
        orders = 0;
        for (uint32_t i = 0; i < plan->orders; i++) {
            /* Where somebody waits for room, it may appear so. It is taken once: nothing leads back. */
            enum fl_cause cause = plan->step[plan->order[i]].cause;
            if (cause != FL_RELIEF && cause != FL_BALANCE)
                continue;
            fl_plan_explain(plan, &of.fleet, plan->order[i], why);
            orders++;
        }
        memcpy(of.shard, before, of.fleet.shards * sizeof(*before));
        free(before);
        fl_plan_free(plan);
        if (orders) {
            print_message("# seed %lu: %u orders after loads changed by 5 %%: %s\n", (unsigned long)seed,
                          orders, why);
            restless++;
            return;
        }
    }
}

/* ---- what happens ---- */

static void disturb(void)
{
    uint32_t server = draw(of.fleet.servers), shard = draw(of.fleet.shards), gone = 0;

    for (uint32_t i = 0; i < of.fleet.servers; i++)
        gone += !of.server[i].lease;
    of.fleet.now += draw(100);
    switch (draw(9)) {
    case 0:
        if (of.server[server].lease && gone < of.fleet.servers / 3)
            help_fleet_kill(&of, server);
        break;
    case 1:
        if (!of.server[server].lease)
            help_fleet_return(&of, server);
        break;
    case 2:
        of.server[server].drained = !of.server[server].drained;
        break;
    case 3:
        of.shard[shard].pin = of.shard[shard].pin == FL_NONE ? server : FL_NONE;
        of.shard[shard].moves = of.shard[shard].pin != FL_NONE && draw(2);
        break;
    case 4:
        for (int k = 0; k < 2; k++)
            of.shard[shard].load[k].of[FL_PROCESSOR] *= draw_between(0.5, 1.8);
        break;
    case 5:
        for (uint32_t i = 0; i < of.fleet.shards; i++)
            of.shard[i].old[0] = of.shard[i].old[1] = true;
        break;
    case 6: /* its standby fails for good */
        if (!help_fleet_protected(&of.shard[shard]) || of.shard[shard].order.kind != FL_LEAVE)
            break;
        of.shard[shard].alone = of.fleet.now;
        for (int k = 0; k < 2; k++)
            of.shard[shard].says[k] = of.shard[shard].says[k] == FL_SAYS_PROTECTED ? FL_SAYS_SOLO
                                      : draw(2)                                    ? FL_SAYS_JOINING
                                                                                   : FL_SAYS_NOTHING;
        break;
    case 7: /* another one leads, whose clock is ahead */
        of.fleet.now += 100000;
        of.fleet.began = of.fleet.now;
        break;
    default:
        break;
    }
}

/* Some orders are carried out, some are under way, some are forgotten. */
static void half_apply(struct fl_plan *plan)
{
    uint32_t kept = 0, *order = malloc((plan->orders + 1) * sizeof(*order));

    for (uint32_t i = 0; i < plan->orders; i++) {
        uint32_t number = plan->order[i];
        const struct fl_step *step = &plan->step[number];
        if (draw(2))
            order[kept++] = number;
        else if (step->kind == FL_REPAIR || step->kind == FL_HANDOVER || step->kind == FL_RESTART)
            set_order(number, step);
        else if (step->kind == FL_WITHDRAW)
            of.shard[number].order.kind = FL_LEAVE;
    }
    plan->order = order;
    plan->orders = kept;
    help_fleet_apply(&of, plan);
    free(order);
}

static void run_one(void)
{
    chance = seed;
    make_fleet();
    come_to_rest();
    for (int i = 0; i < 12; i++) {
        struct fl_plan *plan;
        disturb();
        plan = make_plan();
        half_apply(plan);
        fl_plan_free(plan);
    }
    come_to_rest();
    judge_old();
    end_upgrade();
    come_to_rest();
    HOLDS(!come_to_rest(), "orders after it was at rest");
    judge_rest();
    if (overfull(0) && greedy_places()) {
        print_message("# seed %lu: %u servers above capacity, though there is a placement\n",
                      (unsigned long)seed, overfull(0));
        overfull_at_rest++;
    }
    judge_jitter();
    help_fleet_free(&of);
}

TEST(fleets_by_chance_are_healed_emptied_and_at_rest)
{
    const char *seeds = getenv("PLAN_SEEDS"), *first = getenv("PLAN_SEED");
    uint64_t from = first ? strtoull(first, NULL, 10) : 1;

    for (seed = from; seed < from + (first ? 1 : seeds ? strtoull(seeds, NULL, 10) : 400); seed++)
        run_one();
    /* A fleet may be so near to where a move is worth it that a change of all loads makes one of it: no rule
     * that looks at loads alone is without such an edge. Such fleets are rare. */
    if (restless > 1 + (seed - from) / 500)
        fail_msg("%u fleets are restless", restless);
    /* Relief moves one node at a time, each of which has to fit. A fleet that is nearly full may need two at
     * once. Such fleets are rarer still: one of the first 20,000. */
    if (overfull_at_rest > (seed - from) / 5000)
        fail_msg("%u fleets have a server above capacity", overfull_at_rest);
}
