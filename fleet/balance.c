/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The orders that wait while a shard can be healed: standbys away from servers that would be above a capacity
 * if another one died, shards that lie in one zone, and balance. Owns nothing; orders through fleet/plan.c.
 *
 * None of them undoes another. Relief and balance never put both members into one zone that are in two.
 * Relief goes to where a tenth (`gain`) of each capacity is left, so what it has filled it does not empty.
 * Each order for balance leaves the fuller of both servers less full than it was, so they come to an end.
 * No standby is sent to a server where another shard's does not come up: one after the other would be lost to
 * it.
 */
#define _GNU_SOURCE /* qsort_r */
#include "fleet/parts.h"

#include <math.h>
#include <stdlib.h>

/* A shard for which such an order may be given. */
static bool may_order(const struct fl_planner *planner, uint32_t number)
{
    const struct fl_look *look = &planner->look[number];

    return look->quiet && look->ready && !look->ordered && !look->back_off &&
           planner->plan->step[number].wait == FL_FINE && planner->room.place[look->primary].takes &&
           planner->room.place[look->standby].takes;
}

static bool is_held_down(const struct fl_planner *planner, uint32_t number)
{
    return fl_since(planner, planner->fleet->shard[number].moved) < planner->fleet->settings.hold_down;
}

/* Its standby is where its primary was slow a while ago. */
static bool would_go_back(const struct fl_planner *planner, uint32_t number)
{
    const struct fl_left *left = &planner->fleet->shard[number].left;

    return left->when && left->server == planner->look[number].standby &&
           fl_since(planner, left->when) < planner->fleet->settings.back_off_most;
}

static bool is_split(const struct fl_planner *planner, const struct fl_look *look)
{
    const struct fl_server *server = planner->fleet->server;

    return server[look->primary].zone != server[look->standby].zone;
}

/* Its wait is of an order that is not needed: it is not shown to people. */
static bool try_repair(struct fl_planner *planner, uint32_t number, struct fl_search *search,
                       enum fl_cause cause, uint32_t about)
{
    struct fl_step *step = &planner->plan->step[number];

    if (fl_order_repair(planner, number, search, cause, about))
        return true;
    step->wait = FL_FINE;
    step->about = FL_NONE;
    return false;
}

/* To where a tenth of each capacity is left, and not into one zone if they are in two. */
static struct fl_search search_for(const struct fl_planner *planner, uint32_t number)
{
    struct fl_search search = fl_search_standby(planner, number);

    search.limit = 1 - planner->fleet->settings.gain;
    search.sound = true;
    search.other_zone = is_split(planner, &planner->look[number]);
    return search;
}

/* What both servers would be like if a shard were handed over. */
struct handed {
    struct fl_weight primary, standby; /* the servers of who is that now */
};

static struct handed weigh_handover(const struct fl_planner *planner, uint32_t number)
{
    const struct fl_look *look = &planner->look[number];
    double more[FL_MEASURES], less[FL_MEASURES];

    for (int i = 0; i < FL_MEASURES; i++) {
        more[i] = look->need.primary[i] - look->need.standby[i];
        less[i] = -more[i];
    }
    return (struct handed){
        .primary = fl_room_weigh(&planner->room, look->primary, less, look->standby, more),
        .standby = fl_room_weigh(&planner->room, look->standby, more, look->primary, less),
    };
}

/* What a server would be like without a standby that it has. */
static struct fl_weight weigh_without(const struct fl_planner *planner, uint32_t number)
{
    const struct fl_look *look = &planner->look[number];
    double less[FL_MEASURES], extra[FL_MEASURES];

    for (int i = 0; i < FL_MEASURES; i++) {
        less[i] = -look->need.standby[i];
        extra[i] = look->need.standby[i] - look->need.primary[i];
    }
    return fl_room_weigh(&planner->room, look->standby, less, look->primary, extra);
}

/* ---- relief ---- */

/* One standby away from a server: the one without which it is least full when the worst other server dies. If
 * none can go, one of its primaries is handed over. */
static void relieve(struct fl_planner *planner, uint32_t server)
{
    const struct fl_place *place = &planner->room.place[server];
    double best = place->worst * (1 - FL_EPSILON), limit = 1 - planner->fleet->settings.gain;
    uint32_t chosen = FL_NONE;
    struct fl_search search;

    for (uint32_t i = planner->first[server]; i < planner->first[server + 1] && !place->leaving; i++) {
        uint32_t number = planner->node[i];
        struct fl_weight without;
        if (planner->look[number].standby != server || !may_order(planner, number) ||
            is_held_down(planner, number))
            continue;
        without = weigh_without(planner, number);
        search = search_for(planner, number);
        if (without.worst >= best || fl_place_find(&planner->room, &search).server == FL_NONE)
            continue;
        best = without.worst;
        chosen = number;
    }
    if (chosen != FL_NONE) {
        search = search_for(planner, chosen);
        try_repair(planner, chosen, &search, FL_RELIEF, server);
        return;
    }
    for (uint32_t i = planner->first[server]; i < planner->first[server + 1] && !place->leaving; i++) {
        uint32_t number = planner->node[i];
        struct handed handed;
        if (planner->look[number].primary != server || planner->look[number].unfit ||
            !may_order(planner, number) || is_held_down(planner, number) || would_go_back(planner, number) ||
            planner->fleet->shard[number].pin == server)
            continue;
        handed = weigh_handover(planner, number);
        if (handed.primary.worst >= best || handed.standby.worst > limit)
            continue;
        best = handed.primary.worst;
        chosen = number;
    }
    if (chosen != FL_NONE)
        fl_order_handover(planner, chosen, FL_RELIEF, server);
}

/* ---- zones ---- */

static bool has_zones(const struct fl_planner *planner)
{
    const struct fl_room *room = &planner->room;

    for (uint32_t i = 1; i < room->ranked; i++)
        if (planner->fleet->server[room->rank[i].server].zone !=
            planner->fleet->server[room->rank[0].server].zone)
            return true;
    return false;
}

static void split_zones(struct fl_planner *planner)
{
    if (!has_zones(planner))
        return;
    for (uint32_t i = 0; i < planner->fleet->shards; i++) {
        struct fl_search search;
        if (!planner->fleet->shard[i].known || !may_order(planner, i) || is_held_down(planner, i) ||
            is_split(planner, &planner->look[i]))
            continue;
        search = search_for(planner, i);
        search.other_zone = true;
        try_repair(planner, i, &search, FL_ZONE, planner->look[i].standby);
    }
}

/* ---- balance ---- */

struct balance {
    double mean;
    bool begun; /* by this plan or an earlier one */
    bool ordered;
    bool waits; /* an order may come later: a shard is held down, or its server gives one away */
};

/* What an order has to gain: twice as much to begin with, so that what has come to rest is not begun again by
 * loads that change a little. */
static double gain(const struct fl_planner *planner, const struct balance *balance)
{
    return planner->fleet->settings.gain * (balance->begun ? 1 : 2);
}

/* So full may the other server become. */
static double bound(const struct fl_planner *planner, const struct balance *balance)
{
    return balance->mean * (1 + (balance->begun ? planner->fleet->settings.gain : 0));
}

/* Does a server lose enough: that part of what its nodes take on average? Of smaller ones it would take many.
 */
static bool is_worth(const struct fl_planner *planner, uint32_t server, const struct balance *balance,
                     double less)
{
    const struct fl_place *place = &planner->room.place[server];

    return less > 0 && less * place->nodes >= gain(planner, balance) * place->full;
}

/* The best shard to hand over from a server, FL_NONE: none. */
static uint32_t choose_handover(const struct fl_planner *planner, uint32_t server, struct balance *balance)
{
    double full = planner->room.place[server].full, best = full, limit = 1 - planner->fleet->settings.gain;
    uint32_t chosen = FL_NONE;

    for (uint32_t i = planner->first[server]; i < planner->first[server + 1]; i++) {
        uint32_t number = planner->node[i];
        const struct fl_look *look = &planner->look[number];
        struct handed handed;
        double fuller;
        if (look->primary != server || look->unfit || !may_order(planner, number) ||
            would_go_back(planner, number) || planner->fleet->shard[number].pin == server)
            continue;
        handed = weigh_handover(planner, number);
        fuller = fmax(handed.primary.full, handed.standby.full);
        if (handed.standby.full > bound(planner, balance) || fuller >= best ||
            !is_worth(planner, server, balance, full - handed.primary.full) || handed.standby.worst > limit)
            continue;
        if (is_held_down(planner, number)) {
            balance->waits = true;
            continue;
        }
        best = fuller;
        chosen = number;
    }
    return chosen;
}

/* The best standby to move away from a server, FL_NONE: none. */
static uint32_t choose_repair(const struct fl_planner *planner, uint32_t server, struct balance *balance,
                              struct fl_search *out)
{
    double full = planner->room.place[server].full, best = full;
    uint32_t chosen = FL_NONE;

    for (uint32_t i = planner->first[server]; i < planner->first[server + 1]; i++) {
        uint32_t number = planner->node[i];
        const struct fl_look *look = &planner->look[number];
        struct fl_search search;
        struct fl_found found;
        double without, fuller;
        if (look->standby != server || !may_order(planner, number))
            continue;
        without = fl_room_full_with(&planner->room, server, fl_no_load, look->need.standby);
        if (without >= best || !is_worth(planner, server, balance, full - without))
            continue;
        search = search_for(planner, number);
        search.full = bound(planner, balance);
        found = fl_place_find(&planner->room, &search);
        if (found.server == FL_NONE) {
            balance->waits |= found.busy != FL_NONE;
            continue;
        }
        fuller =
            fmax(without, fl_room_full_with(&planner->room, found.server, look->need.standby, fl_no_load));
        if (fuller >= best)
            continue;
        if (is_held_down(planner, number)) {
            balance->waits = true;
            continue;
        }
        best = fuller;
        chosen = number;
        *out = search;
    }
    return chosen;
}

static void even_out(struct fl_planner *planner, uint32_t server, struct balance *balance)
{
    while (planner->room.place[server].full > balance->mean * (1 + gain(planner, balance))) {
        uint32_t chosen = choose_handover(planner, server, balance);
        struct fl_search search;
        if (chosen != FL_NONE)
            fl_order_handover(planner, chosen, FL_BALANCE, server);
        else {
            if (planner->room.place[server].leaving || planner->under_way >= planner->fleet->settings.heals) {
                balance->waits = true;
                return;
            }
            chosen = choose_repair(planner, server, balance, &search);
            if (chosen == FL_NONE)
                return;
            if (!try_repair(planner, chosen, &search, FL_BALANCE, server)) {
                balance->waits = true;
                return;
            }
        }
        balance->begun = balance->ordered = true;
    }
}

static int compare_fullness(const void *a, const void *b, void *planner)
{
    const struct fl_place *place = ((const struct fl_planner *)planner)->room.place;
    uint32_t first = *(const uint32_t *)a, second = *(const uint32_t *)b;

    if (place[first].full != place[second].full)
        return place[first].full > place[second].full ? -1 : 1;
    return first < second ? -1 : first > second;
}

void fl_balance(struct fl_planner *planner)
{
    struct balance balance = {.begun = planner->fleet->balancing};
    uint32_t count = 0;

    for (uint32_t i = 0; i < planner->fleet->servers; i++)
        if (planner->room.place[i].takes) {
            planner->list[count++] = i;
            balance.mean += planner->room.place[i].full;
        }
    balance.mean = count ? balance.mean / count : 0;
    if (planner->plan->stopped || planner->mends)
        return;
    for (uint32_t i = 0; i < planner->fleet->servers; i++)
        if (planner->room.place[i].takes && !fl_room_within(&planner->room, i, 1))
            relieve(planner, i);
    split_zones(planner);
    qsort_r(planner->list, count, sizeof(planner->list[0]), compare_fullness, planner);
    for (uint32_t i = 0; i < count; i++)
        even_out(planner, planner->list[i], &balance);
    planner->plan->balancing = balance.ordered || (planner->fleet->balancing && balance.waits);
}
