/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The planner: what is made of each shard, and the orders that do not wait for balance, in the order of their
 * rules (fleet/plan.h). Owns a plan while it is made; the leader's agent reads it afterwards.
 */
#define _GNU_SOURCE /* qsort_r */
#include "fleet/parts.h"

#include "ftcore/base/check.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct fl_settings fl_settings_usual(void)
{
    return (struct fl_settings){.heals = 64,
                                .resyncs = 1,
                                .hold_down = 60,
                                .patience = 120,
                                .relief = 20,
                                .at_once = 2,
                                .back_off_least = 10,
                                .back_off_most = 600,
                                .gain = 0.1,
                                .busy = 90,
                                .easy = 60};
}

/* ---- what the caller hands in ---- */

static bool is_load(const struct fl_load *load)
{
    for (int i = 0; i < FL_NODES; i++)
        if (!isfinite(load->of[i]) || load->of[i] < 0)
            return false;
    return true;
}

static bool is_place(const struct fl_fleet *fleet, uint32_t server, bool or_none)
{
    return server < fleet->servers || (or_none && server == FL_NONE);
}

static int check_settings(const struct fl_settings *of, struct ft_fault *fault)
{
    if (!of->resyncs)
        return ft_fail(fault, FT_EINVAL, "a fleet's settings: resyncs is 0, expected 1 or more");
    if (of->back_off_least > of->back_off_most)
        return ft_fail(fault, FT_EINVAL, "a fleet's settings: the least back-off is above the most");
    if (!(of->gain > 0 && of->gain < 1))
        return ft_fail(fault, FT_EINVAL, "a fleet's settings: gain is %g, expected between 0 and 1",
                       of->gain);
    return 0;
}

static int check_shard(const struct fl_fleet *fleet, const struct fl_shard *shard, struct ft_fault *fault)
{
    if (!is_place(fleet, shard->pin, true) || !is_place(fleet, shard->failed.to, true))
        return ft_fail(fault, FT_EINVAL, "shard %s: a pin or a failed order names no server", shard->name);
    if (!shard->known && shard->on[0] != shard->on[1] &&
        (!is_place(fleet, shard->on[0], false) || !is_place(fleet, shard->on[1], false)))
        return ft_fail(fault, FT_EINVAL, "shard %s: it is to begin on no server", shard->name);
    if (!shard->known)
        return is_place(fleet, shard->found, true)
                   ? 0
                   : ft_fail(fault, FT_EINVAL, "shard %s: found on no server", shard->name);
    if (!is_place(fleet, shard->member[0], false) || !is_place(fleet, shard->member[1], false) ||
        shard->member[0] == shard->member[1])
        return ft_fail(fault, FT_EINVAL, "shard %s: its members are not two servers", shard->name);
    if (shard->primary > 1 && shard->primary != FL_NONE)
        return ft_fail(fault, FT_EINVAL, "shard %s: its primary is none of its members", shard->name);
    if (shard->order.kind != FL_LEAVE && shard->order.kind != FL_REPAIR && shard->order.kind != FL_HANDOVER &&
        shard->order.kind != FL_RESTART)
        return ft_fail(fault, FT_EINVAL, "shard %s: its order is no re-pair, handover or restart",
                       shard->name);
    if (shard->left.when && !is_place(fleet, shard->left.server, false))
        return ft_fail(fault, FT_EINVAL, "shard %s: it left no server", shard->name);
    if (shard->order.kind != FL_LEAVE && !is_place(fleet, shard->order.to, false))
        return ft_fail(fault, FT_EINVAL, "shard %s: its order names no server", shard->name);
    return 0;
}

static int check_fleet(const struct fl_fleet *fleet, struct ft_fault *fault)
{
    int error = check_settings(&fleet->settings, fault);

    for (uint32_t i = 0; i < fleet->servers; i++)
        for (int k = 0; k < FL_MEASURES; k++)
            if (!isfinite(fleet->server[i].capacity.of[k]) || fleet->server[i].capacity.of[k] < 0)
                return ft_fail(fault, FT_EINVAL, "server %s: a capacity is %g, expected 0 or more",
                               fleet->server[i].name, fleet->server[i].capacity.of[k]);
    for (uint32_t i = 0; i < fleet->shards && !error; i++)
        error = check_shard(fleet, &fleet->shard[i], fault);
    return error;
}

/* ---- what is made of a shard ---- */

static bool is_drained(const struct fl_planner *planner, uint32_t server)
{
    return planner->fleet->server[server].drained || planner->fleet->server[server].unlisted;
}

/* Without its agent's lease no report of a node counts. */
static enum fl_says say(const struct fl_planner *planner, const struct fl_shard *shard, uint32_t member)
{
    return planner->fleet->server[shard->member[member]].lease ? shard->says[member] : FL_SAYS_NOTHING;
}

static void take_needs(const struct fl_shard *shard, struct fl_need *need)
{
    bool primary = shard->measured[0] && is_load(&shard->load[0]);
    bool standby = shard->measured[1] && is_load(&shard->load[1]);

    for (int i = 0; i < FL_NODES; i++) {
        need->primary[i] = primary ? shard->load[0].of[i] : standby ? shard->load[1].of[i] : 0;
        need->standby[i] = standby ? shard->load[1].of[i] : need->primary[i];
    }
    need->primary[FL_NODES] = need->standby[FL_NODES] = 1;
}

/* Which of both is the primary: the one that reports it; else not the one that reports that it could take
 * over; else the last known one. */
static uint32_t choose_primary(const struct fl_shard *shard, enum fl_says first, enum fl_says second)
{
    if (fl_says_serves(first) != fl_says_serves(second))
        return fl_says_serves(first) ? 0 : 1;
    if ((first == FL_SAYS_READY) != (second == FL_SAYS_READY))
        return first == FL_SAYS_READY ? 1 : 0;
    return shard->primary == FL_NONE ? 0 : shard->primary;
}

/* No member reports that it is a primary. */
static void look_unserved(const struct fl_planner *planner, const struct fl_shard *shard,
                          struct fl_look *look, struct fl_step *step)
{
    enum fl_says first = say(planner, shard, 0), second = say(planner, shard, 1);
    bool begins = fl_since(planner, shard->moved) < planner->fleet->settings.patience;

    look->ready = first == FL_SAYS_READY || second == FL_SAYS_READY;
    step->unprotected = !look->ready;
    if (look->ready)
        fl_wait_for(step, planner->fleet->server[look->primary].lease ? FL_UNSETTLED : FL_AGENT_GONE,
                    look->primary);
    else if (begins && (shard->view <= 1 || first != FL_SAYS_NOTHING || second != FL_SAYS_NOTHING))
        fl_wait_for(step, FL_UNSETTLED, FL_NONE);
    else if (first == FL_SAYS_NOTHING && second == FL_SAYS_NOTHING)
        fl_wait_for(step, FL_BOTH_SILENT, FL_NONE);
    else
        fl_wait_for(step, FL_NOBODY_SERVES, FL_NONE);
}

static void look_at(struct fl_planner *planner, uint32_t number)
{
    const struct fl_shard *shard = &planner->fleet->shard[number];
    struct fl_look *look = &planner->look[number];
    struct fl_step *step = &planner->plan->step[number];
    const struct fl_settings *settings = &planner->fleet->settings;
    enum fl_says first = say(planner, shard, 0), second = say(planner, shard, 1);
    uint32_t at = choose_primary(shard, first, second);
    enum fl_says primary = at ? second : first, standby = at ? first : second;

    look->primary = shard->member[at];
    look->standby = shard->member[!at];
    look->old[0] = shard->old[at];
    look->old[1] = shard->old[!at];
    if (shard->failed.count) {
        uint64_t wait = settings->back_off_least;
        for (uint32_t i = 1; i < shard->failed.count && wait && wait < settings->back_off_most; i++)
            wait = wait > settings->back_off_most / 2 ? settings->back_off_most : wait * 2;
        look->back_off = fl_since(planner, shard->failed.when) < wait;
        if (look->back_off && shard->failed.to != FL_NONE)
            planner->room.place[shard->failed.to].ails = true;
    }
    if (!fl_says_serves(primary)) {
        look_unserved(planner, shard, look, step);
        return;
    }
    look->ready = standby == FL_SAYS_READY;
    step->unprotected = primary != FL_SAYS_PROTECTED || (standby != FL_SAYS_NOTHING && !look->ready);
    look->unfit = shard->counter[!at] > shard->counter[at];
    look->quiet = primary == FL_SAYS_PROTECTED && !fl_says_serves(standby);
    if (look->quiet && shard->slow)
        fl_wait_for(step, FL_IS_SLOW, look->standby);
    if (primary == FL_SAYS_DEGRADED || (step->unprotected && (look->quiet || fl_says_serves(standby))))
        fl_wait_for(step, FL_UNSETTLED, FL_NONE);
    if (look->quiet || step->wait == FL_UNSETTLED)
        return;
    /* It is alone. */
    look->lone = !planner->fleet->server[look->standby].lease || is_drained(planner, look->standby);
    look->slow = !look->lone && shard->slow && standby != FL_SAYS_NOTHING;
    if (look->slow) { /* a resync that shows whether it keeps up is no reason to wait */
        fl_wait_for(step, FL_IS_SLOW, look->standby);
        look->ails = true;
        look->tries = standby == FL_SAYS_SYNCING;
    } else if (!look->lone) {
        fl_wait_for(step, standby == FL_SAYS_NOTHING ? FL_NODE_SILENT : FL_RESYNCS, look->standby);
        look->resyncs = standby == FL_SAYS_SYNCING ||
                        (standby != FL_SAYS_NOTHING && fl_since(planner, shard->moved) < settings->patience);
        uint64_t alone = shard->alone ? fl_since(planner, shard->alone) : 0;
        bool tries = look->resyncs && alone < settings->back_off_most;

        /* A resync that takes longer holds no other shard back, since only the standby reports its end. */
        look->resyncs &= alone < settings->patience;
        look->ails = !look->resyncs;
        look->given_up = planner->restarts_on == FL_NONE && !tries && alone >= settings->patience;
        look->lone = look->given_up;
    }
}

/* Which servers had one shard moved already because nodes were slow. Once a slow standby has left its server
 * no report shows any more that the server is slow, so it is remembered. A standby that is there, with no
 * order to leave, is judged by its own report; so is a primary that has become a standby. */
static void look_at_left(struct fl_planner *planner, uint32_t number)
{
    const struct fl_settings *settings = &planner->fleet->settings;
    const struct fl_left *left = &planner->fleet->shard[number].left;

    if (!left->when || fl_since(planner, left->when) >= settings->back_off_most)
        return;
    if (planner->look[number].standby != left->server || planner->fleet->shard[number].order.kind != FL_LEAVE)
        planner->room.place[left->server].ails = true;
    if (fl_since(planner, left->when) >= settings->relief)
        return;
    planner->room.place[left->server].relieved = true;
    planner->room.place[planner->look[number].primary].relieved = true;
}

/* Its nodes are where its members are; a dead standby's is nowhere. */
static void settle_nodes(struct fl_planner *planner, uint32_t number)
{
    struct fl_look *look = &planner->look[number];

    fl_room_primary(&planner->room, look->primary, &look->need, 1);
    if (!look->lone || planner->fleet->server[look->standby].lease)
        fl_room_standby(&planner->room, look->standby, look->primary, &look->need, 1);
    planner->room.place[look->standby].ails |= look->ails;
    if (look->resyncs) {
        planner->under_way++;
        planner->room.place[look->primary].out++;
        planner->room.place[look->standby].into++;
    }
}

/* ---- orders under way ---- */

static bool takes(const struct fl_planner *planner, uint32_t server)
{
    return planner->room.place[server].takes;
}

/* Does what it was ordered for still hold, and can it still be done? */
static bool is_wanted(const struct fl_planner *planner, uint32_t number)
{
    const struct fl_shard *shard = &planner->fleet->shard[number];
    const struct fl_look *look = &planner->look[number];
    uint32_t to = shard->order.to;

    if (!takes(planner, to))
        return false;
    if (shard->order.kind == FL_RESTART)
        return to == look->standby && look->old[1];
    if (shard->order.kind == FL_HANDOVER ? to != look->standby || look->unfit
                                         : to == look->primary || to == look->standby)
        return false;
    switch (shard->order.cause) {
    case FL_HEAL: /* a server that is back has its node given the state again */
        return !look->quiet && (!takes(planner, look->standby) || look->given_up);
    case FL_SLOW: /* a standby may have shown meanwhile that it keeps up */
        return shard->order.kind == FL_HANDOVER || !look->quiet;
    case FL_DRAIN:
        return is_drained(planner, look->primary) || is_drained(planner, look->standby);
    case FL_PIN:
    case FL_MOVE:
        return shard->pin == to;
    default:
        return true;
    }
}

/* An order that stands is counted as if it were done. One that does not is withdrawn, unless another one
 * takes its place. */
static void review_order(struct fl_planner *planner, uint32_t number)
{
    const struct fl_shard *shard = &planner->fleet->shard[number];
    struct fl_step *step = &planner->plan->step[number];
    bool failed = shard->failed.count && shard->failed.when >= shard->order.since;
    bool late = fl_since(planner, shard->order.since) >= planner->fleet->settings.patience;

    if (shard->order.kind == FL_LEAVE)
        return;
    if (!planner->plan->stopped && (failed || late || !is_wanted(planner, number))) {
        fl_order_note(planner, number, FL_WITHDRAW, failed || late ? FL_FAILED : FL_NEEDLESS);
        step->to[0] = shard->order.to;
        /* One that is late is counted as failed by the caller, who knows of it by this plan. */
        planner->look[number].back_off |= late;
        return;
    }
    fl_wait_for(step, FL_UNDER_WAY, shard->order.to);
    planner->look[number].ordered = true;
    if (shard->order.kind == FL_HANDOVER)
        fl_swap_roles(planner, number);
    else if (shard->order.kind == FL_RESTART)
        fl_count_restart(planner, number);
    else
        fl_count_repair(planner, number, shard->order.to);
}

/* ---- healing ---- */

/* Since when its other member's server is gone. */
static uint64_t gone_since(const struct fl_planner *planner, uint32_t number)
{
    const struct fl_server *standby = &planner->fleet->server[planner->look[number].standby];

    return standby->lease ? UINT64_MAX : standby->gone;
}

static int compare_urgency(const void *a, const void *b, void *planner)
{
    uint32_t first = *(const uint32_t *)a, second = *(const uint32_t *)b;
    uint64_t of_first = gone_since(planner, first), of_second = gone_since(planner, second);

    if (of_first != of_second)
        return of_first < of_second ? -1 : 1;
    return first < second ? -1 : first > second;
}

/* To where people want the primary, if that is possible now: it saves another resync. */
static bool heal_to_pin(struct fl_planner *planner, uint32_t number, enum fl_cause cause)
{
    uint32_t pin = planner->fleet->shard[number].pin;
    const struct fl_look *look = &planner->look[number];
    struct fl_search search = fl_search_standby(planner, number);

    if (pin == FL_NONE || pin == look->primary || pin == look->standby)
        return false;
    search.only = pin;
    return fl_order_repair(planner, number, &search, cause, look->standby);
}

/* Only to where none ails: a slow standby that tries again is worth more than another one that is slow. */
static void move_slow(struct fl_planner *planner, uint32_t number)
{
    const struct fl_shard *shard = &planner->fleet->shard[number];
    const struct fl_look *look = &planner->look[number];
    struct fl_place *primary = &planner->room.place[look->primary],
                    *standby = &planner->room.place[look->standby];
    struct fl_search search = fl_search_standby(planner, number);

    search.sound = true;
    if (planner->plan->stopped || primary->relieved || standby->relieved)
        return;
    /* One that is still there did not leave: its order was withdrawn. */
    if (shard->left.server != look->standby &&
        fl_since(planner, shard->left.when) < planner->fleet->settings.back_off_most)
        return;
    if (fl_order_repair(planner, number, &search, FL_SLOW, look->standby))
        primary->relieved = standby->relieved = true;
    else
        fl_wait_for(&planner->plan->step[number], FL_IS_SLOW, look->standby);
}

static void heal(struct fl_planner *planner)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < planner->fleet->shards; i++)
        if (planner->look[i].lone && !planner->look[i].ordered)
            planner->list[count++] = i;
    qsort_r(planner->list, count, sizeof(planner->list[0]), compare_urgency, planner);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = planner->list[i], standby = planner->look[number].standby;
        bool drained = planner->fleet->server[standby].lease && is_drained(planner, standby);
        enum fl_cause cause = drained ? FL_DRAIN : FL_HEAL;
        struct fl_search search = fl_search_standby(planner, number);
        if (planner->plan->stopped)
            fl_wait_for(&planner->plan->step[number], FL_LEASES_GONE, standby);
        else if (!heal_to_pin(planner, number, cause))
            fl_order_repair(planner, number, &search, cause, standby);
    }
    for (uint32_t i = 0; i < planner->fleet->shards; i++)
        if (planner->look[i].slow && !planner->look[i].ordered)
            move_slow(planner, i);
}

/* ---- shards that have no node yet ---- */

/* Its primary is in the room. */
static void order_create(struct fl_planner *planner, uint32_t number, uint32_t primary, uint32_t standby)
{
    struct fl_look *look = &planner->look[number];
    struct fl_step *step = &planner->plan->step[number];

    fl_room_standby(&planner->room, standby, primary, &look->need, 1);
    look->primary = primary;
    look->standby = standby;
    fl_order_note(planner, number, FL_CREATE, FL_NEW);
    step->to[0] = primary;
    step->to[1] = standby;
    fl_wait_for(step, FL_ORDERED, FL_NONE);
}

static bool create_at(struct fl_planner *planner, uint32_t number, uint32_t primary)
{
    struct fl_look *look = &planner->look[number];
    struct fl_search search = {.need = &look->need,
                               .primary = primary,
                               .not_on = {FL_NONE, FL_NONE},
                               .only = FL_NONE,
                               .limit = 1,
                               .full = INFINITY};
    struct fl_found standby;

    fl_room_primary(&planner->room, primary, &look->need, 1);
    standby = fl_place_find(&planner->room, &search);
    if (standby.server == FL_NONE) {
        fl_room_primary(&planner->room, primary, &look->need, -1);
        return false;
    }
    order_create(planner, number, primary, standby.server);
    return true;
}

/* On the servers that the file names, whether they are full or not. */
static void create_on(struct fl_planner *planner, uint32_t number, const uint32_t on[2])
{
    if (!planner->room.place[on[0]].takes || !planner->room.place[on[1]].takes) {
        fl_wait_for(&planner->plan->step[number], FL_NO_ROOM, FL_NONE);
        return;
    }
    fl_room_primary(&planner->room, on[0], &planner->look[number].need, 1);
    order_create(planner, number, on[0], on[1]);
}

static void create(struct fl_planner *planner, uint32_t number, uint32_t absent, bool enough)
{
    const struct fl_shard *shard = &planner->fleet->shard[number];
    struct fl_step *step = &planner->plan->step[number];
    struct fl_search search = {.need = &planner->look[number].need,
                               .primary = FL_NONE,
                               .not_on = {FL_NONE, FL_NONE},
                               .only = shard->pin,
                               .limit = 1,
                               .full = INFINITY};
    struct fl_found found;

    step->unprotected = true;
    if (shard->unreadable)
        fl_wait_for(step, FL_UNREADABLE, FL_NONE);
    else if (shard->found != FL_NONE)
        fl_wait_for(step, FL_FOUND, shard->found);
    else if (absent != FL_NONE)
        fl_wait_for(step, planner->plan->stopped ? FL_LEASES_GONE : FL_SERVER_ABSENT, absent);
    else if (enough)
        fl_wait_for(step, FL_LIMIT, FL_NONE);
    else if (shard->on[0] != shard->on[1])
        create_on(planner, number, shard->on);
    else {
        found = fl_place_find(&planner->room, &search);
        step->pin_waits = shard->pin != FL_NONE && found.server == FL_NONE;
        if (step->pin_waits) {
            search.only = FL_NONE;
            found = fl_place_find(&planner->room, &search);
        }
        if (found.server == FL_NONE || !create_at(planner, number, found.server))
            fl_wait_for(step, FL_NO_ROOM, FL_NONE);
    }
}

static void create_all(struct fl_planner *planner)
{
    uint32_t absent = FL_NONE, created = 0;

    for (uint32_t i = 0; i < planner->fleet->servers && absent == FL_NONE; i++)
        if (!planner->fleet->server[i].lease && !planner->fleet->server[i].unlisted)
            absent = i;
    for (uint32_t i = 0; i < planner->fleet->shards; i++)
        if (!planner->fleet->shard[i].known) {
            create(planner, i, absent, created >= FL_CREATES);
            created += planner->plan->step[i].kind == FL_CREATE;
        }
}

/* ---- what people want ---- */

/* Can the standby's server carry the primary at once? If another server dies meanwhile is asked later. */
static bool carries(const struct fl_planner *planner, const struct fl_look *look)
{
    const struct fl_place *place = &planner->room.place[look->standby];

    for (int i = 0; i < FL_MEASURES; i++) {
        double more = look->need.primary[i] - look->need.standby[i];
        if (more > 0 &&
            fl_room_fraction(&planner->room, look->standby, i, place->now[i] + more) > 1 + FL_EPSILON)
            return false;
    }
    return true;
}

/* Hands over to a standby that can; names what is waited for if that is all. False: its server is full. */
static bool hand_over(struct fl_planner *planner, uint32_t number, enum fl_cause cause, uint32_t about)
{
    const struct fl_look *look = &planner->look[number];
    struct fl_step *step = &planner->plan->step[number];

    if (!planner->fleet->server[look->standby].lease)
        fl_wait_for(step, FL_AGENT_GONE, look->standby);
    else if (!look->ready)
        fl_wait_for(step, FL_UNSETTLED, look->standby);
    else if (look->unfit)
        fl_wait_for(step, FL_UNFIT, look->standby);
    else if (look->back_off)
        fl_wait_for(step, FL_BACK_OFF, planner->fleet->shard[number].failed.to);
    else if (!carries(planner, look))
        return false;
    else
        fl_order_handover(planner, number, cause, about);
    return true;
}

/* A standby's replay costs about what the primary's work does, so one that has much more time left is on a
 * quicker server. What people want of the shard goes before that. */
static void hand_over_slow(struct fl_planner *planner, uint32_t number)
{
    const struct fl_shard *shard = &planner->fleet->shard[number];
    const struct fl_settings *settings = &planner->fleet->settings;
    const struct fl_look *look = &planner->look[number];
    struct fl_place *primary = &planner->room.place[look->primary],
                    *standby = &planner->room.place[look->standby];
    bool known = shard->busy[0] != FL_NONE && shard->busy[1] != FL_NONE;

    if (!known || shard->busy[0] <= settings->busy || shard->busy[1] >= settings->easy || !look->quiet ||
        !look->ready || look->ordered || look->back_off || look->unfit || shard->slow ||
        planner->plan->step[number].kind != FL_LEAVE || shard->pin != FL_NONE || planner->plan->stopped ||
        !standby->takes || standby->ails || !carries(planner, look) || primary->relieved ||
        standby->relieved || fl_since(planner, shard->left.when) < settings->back_off_most)
        return;
    fl_order_handover(planner, number, FL_SLOW, look->primary);
    primary->relieved = standby->relieved = true;
}

/* True: the pin determines all that is to be done with the shard now. */
static bool follow_pin(struct fl_planner *planner, uint32_t number)
{
    uint32_t pin = planner->fleet->shard[number].pin;
    enum fl_cause cause = planner->fleet->shard[number].moves ? FL_MOVE : FL_PIN;
    const struct fl_look *look = &planner->look[number];
    struct fl_step *step = &planner->plan->step[number];
    struct fl_search search = fl_search_standby(planner, number);

    if (pin == FL_NONE)
        return false;
    if (takes(planner, pin)) {
        if (pin == look->primary)
            return false;
        if (pin == look->standby && look->old[1]) /* it goes there when that node was started anew */
            return false;
        if (pin == look->standby) {
            if (hand_over(planner, number, cause, pin))
                return true;
        } else {
            search.only = pin;
            if (fl_order_repair(planner, number, &search, cause, pin) || step->wait != FL_NO_ROOM)
                return true;
        }
    }
    step->pin_waits = true;
    fl_wait_for(step, FL_FINE, FL_NONE);
    return false;
}

static void empty_drained(struct fl_planner *planner, uint32_t number)
{
    const struct fl_look *look = &planner->look[number];
    struct fl_search search = fl_search_standby(planner, number);

    if (is_drained(planner, look->standby))
        fl_order_repair(planner, number, &search, FL_DRAIN, look->standby);
    else if (is_drained(planner, look->primary) && !hand_over(planner, number, FL_DRAIN, look->primary))
        fl_order_repair(planner, number, &search, FL_DRAIN, look->primary);
}

static void fulfil_wishes(struct fl_planner *planner)
{
    for (uint32_t i = 0; i < planner->fleet->shards; i++) {
        const struct fl_look *look = &planner->look[i];
        bool moves;
        if (!planner->fleet->shard[i].known || !look->quiet || look->ordered)
            continue;
        moves = is_drained(planner, look->primary) || is_drained(planner, look->standby);
        if (planner->plan->stopped) {
            if (moves)
                fl_wait_for(&planner->plan->step[i], FL_LEASES_GONE, FL_NONE);
        } else if (!follow_pin(planner, i) && moves)
            empty_drained(planner, i);
    }
}

/* ---- nodes that are started anew ---- */

/* By the reports of both nodes: the standby of a silent primary will soon be alone, and where the standby has
 * just been restarted the primary's last report is older. */
static bool all_protected(const struct fl_planner *planner)
{
    for (uint32_t i = 0; i < planner->fleet->shards; i++)
        if (planner->fleet->shard[i].known && !(planner->look[i].quiet && planner->look[i].ready))
            return false;
    return true;
}

static bool may_resync(const struct fl_planner *planner, const struct fl_look *look)
{
    const struct fl_settings *settings = &planner->fleet->settings;

    return planner->under_way < settings->heals &&
           planner->room.place[look->primary].out < settings->resyncs &&
           planner->room.place[look->standby].into < settings->resyncs;
}

static void restart_old(struct fl_planner *planner, uint32_t server)
{
    for (uint32_t i = 0; i < planner->fleet->shards; i++) {
        const struct fl_look *look = &planner->look[i];
        struct fl_step *step = &planner->plan->step[i];

        if (!planner->fleet->shard[i].known || !look->quiet || look->ordered || look->back_off ||
            step->wait != FL_FINE || step->kind != FL_LEAVE)
            continue;
        if (look->old[0] && look->primary == server && takes(planner, look->standby)) {
            struct fl_search search = fl_search_standby(planner, i);

            if (!hand_over(planner, i, FL_UPGRADE, server))
                fl_order_repair(planner, i, &search, FL_UPGRADE, server);
        } else if (look->old[1] && look->standby == server && look->ready && may_resync(planner, look)) {
            fl_order_note(planner, i, FL_RESTART, FL_UPGRADE);
            step->to[0] = server;
            fl_wait_for(step, FL_ORDERED, server);
            fl_count_restart(planner, i);
        }
    }
}

/* Returns whether there are any. */
static bool upgrade(struct fl_planner *planner)
{
    uint32_t server = planner->restarts_on;

    if (server != FL_NONE && !planner->plan->stopped && all_protected(planner))
        restart_old(planner, server);
    return server != FL_NONE;
}

/* ---- the whole ---- */

static int compare_times(const void *a, const void *b)
{
    uint64_t first = *(const uint64_t *)a, second = *(const uint64_t *)b;

    return first < second ? -1 : first > second;
}

/* Have more than a third of the leases that there were gone at once, and not come back? For each time when
 * one went: those that went within `at_once` from then, of those that there were just before. Those that were
 * gone by then do not count, nor do servers that people have drained. */
static void count_leases(struct fl_planner *planner, uint64_t *gone)
{
    const struct fl_fleet *fleet = planner->fleet;
    struct fl_plan *plan = planner->plan;
    uint32_t held = 0, count = 0, known;

    for (uint32_t i = 0; i < fleet->servers; i++)
        if (fleet->server[i].lease)
            held++;
        else if (fleet->server[i].gone && !is_drained(planner, i))
            gone[count++] = fleet->server[i].gone;
    known = held + count;
    qsort(gone, count, sizeof(gone[0]), compare_times);
    for (uint32_t from = 0, to = 0; from < count; from++) {
        uint32_t went, were = held + count - from;
        while (to < count && gone[to] - gone[from] <= fleet->settings.at_once)
            to++;
        went = to - from;
        if ((uint64_t)went * (plan->were ? plan->were : 1) > (uint64_t)plan->gone * were) {
            plan->gone = went;
            plan->were = were;
        }
    }
    plan->stopped = known >= 3 && (uint64_t)plan->gone * 3 > plan->were;
}

static void view_servers(struct fl_planner *planner)
{
    const struct fl_room *room = &planner->room;
    struct fl_plan *plan = planner->plan;

    for (uint32_t i = 0; i < planner->fleet->servers; i++) {
        const struct fl_place *place = &room->place[i];
        struct fl_view *view = &plan->view[i];
        *view = (struct fl_view){.nodes = place->nodes, .primaries = place->primaries, .worst_when = FL_NONE};
        for (int k = 0; k < FL_MEASURES; k++) {
            double full = fl_room_fraction(room, i, k, place->now[k]);
            double worst = fl_room_fraction(room, i, k, place->now[k] + place->extra[k]);
            view->full = full > view->full ? full : view->full;
            if (worst <= view->worst)
                continue;
            view->worst = worst;
            view->worst_when = place->by[k] == FL_NONE ? FL_NONE : room->pair[place->by[k]].primary;
        }
        plan->overfull += planner->fleet->server[i].lease && view->worst > 1 + FL_EPSILON;
    }
}

/* Which two servers would cost most shards if both died at once. */
static void view_pairs(struct fl_planner *planner)
{
    const struct fl_room *room = &planner->room;
    struct fl_plan *plan = planner->plan;

    plan->both.a = plan->both.b = FL_NONE;
    for (uint32_t i = 0; i < room->pairs; i++) {
        const struct fl_pair *there = &room->pair[i];
        const struct fl_pair *back = there->back ? &room->pair[there->back - 1] : NULL;
        uint32_t shards = there->shards + (back ? back->shards : 0);
        bool first = there->primary < there->standby;
        uint32_t a = first ? there->primary : there->standby, b = first ? there->standby : there->primary;
        if (back && !first)
            continue;
        plan->both.pairs++;
        if (shards > plan->both.shards ||
            (shards == plan->both.shards && (a < plan->both.a || (a == plan->both.a && b < plan->both.b)))) {
            plan->both.shards = shards;
            plan->both.a = a;
            plan->both.b = b;
        }
    }
}

/* The shards of each server, for balance. */
static void list_nodes(struct fl_planner *planner)
{
    const struct fl_fleet *fleet = planner->fleet;
    uint32_t *first = planner->first;

    for (uint32_t i = 0; i < fleet->shards; i++)
        for (int k = 0; k < 2 && fleet->shard[i].known; k++)
            first[fleet->shard[i].member[k] + 2]++;
    for (uint32_t i = 2; i < fleet->servers + 2; i++)
        first[i] += first[i - 1];
    for (uint32_t i = 0; i < fleet->shards; i++)
        for (int k = 0; k < 2 && fleet->shard[i].known; k++)
            planner->node[first[fleet->shard[i].member[k] + 1]++] = i;
}

/* Is a shard not protected that is being healed, can be, or will be in a moment? */
static bool mends(const struct fl_planner *planner)
{
    for (uint32_t i = 0; i < planner->fleet->shards; i++) {
        const struct fl_step *step = &planner->plan->step[i];
        if (!planner->fleet->shard[i].known || !step->unprotected)
            continue;
        switch (step->wait) {
        case FL_ORDERED:
        case FL_UNDER_WAY:
        case FL_LIMIT:
        case FL_BUSY:
        case FL_UNSETTLED:
            return true;
        case FL_RESYNCS:
        case FL_IS_SLOW:
            if (planner->look[i].resyncs || planner->look[i].tries)
                return true;
            break;
        default:
            break;
        }
    }
    return false;
}

/* Where each part of a plan's memory is. Called without memory first, for its size. */
static size_t lay_out(struct fl_planner *planner, char *memory)
{
    size_t servers = planner->fleet->servers, shards = planner->fleet->shards, slots = 16, at = 0;
    struct fl_room *room = &planner->room;

    room->most_pairs = (uint32_t)(4 * shards + 1);
    while (slots < room->most_pairs + (size_t)room->most_pairs / 2)
        slots *= 2;
    room->slots = (uint32_t)slots;
#define PART(where, count)                                                                                   \
    do {                                                                                                     \
        (where) = memory ? (void *)(memory + at) : NULL;                                                     \
        at = (at + (count) * sizeof(*(where)) + 15) & ~(size_t)15;                                           \
    } while (0)
    PART(planner->plan, 1);
    PART(planner->step, shards);
    PART(planner->view, servers);
    PART(planner->order, shards);
    PART(planner->look, shards);
    PART(planner->first, servers + 2);
    PART(planner->node, 2 * shards);
    PART(planner->list, shards > servers ? shards : servers);
    PART(planner->gone, servers);
    PART(room->place, servers);
    PART(room->slot, slots);
    PART(room->rank, servers);
    PART(room->pair, room->most_pairs); /* the last one: what is before it begins as zeros */
#undef PART
    return at;
}

static void begin(struct fl_planner *planner)
{
    const struct fl_fleet *fleet = planner->fleet;

    planner->plan->step = planner->step;
    planner->plan->view = planner->view;
    planner->plan->order = planner->order;
    planner->plan->balancing = fleet->balancing;
    fl_room_begin(&planner->room);
    planner->restarts_on = FL_NONE;
    for (uint32_t i = 0; i < fleet->shards; i++) {
        take_needs(&fleet->shard[i], &planner->look[i].need);
        planner->plan->step[i] = (struct fl_step){.to = {FL_NONE, FL_NONE}, .about = FL_NONE};
        /* The first server that has a node which is old. */
        for (int k = 0; k < 2 && fleet->shard[i].known; k++)
            if (fleet->shard[i].old[k] && takes(planner, fleet->shard[i].member[k]) &&
                fleet->shard[i].member[k] < planner->restarts_on)
                planner->restarts_on = fleet->shard[i].member[k];
    }
    for (uint32_t i = 0; i < fleet->shards; i++)
        if (fleet->shard[i].known) {
            look_at(planner, i);
            look_at_left(planner, i);
            settle_nodes(planner, i);
        }
}

int fl_plan_make(struct fl_plan **out, const struct fl_fleet *fleet, struct ft_fault *fault)
{
    struct fl_planner planner = {.fleet = fleet};
    int error = check_fleet(fleet, fault);
    size_t size;
    char *memory;

    if (error)
        return error;
    size = lay_out(&planner, NULL);
    memory = malloc(size);
    if (!memory)
        return ft_fail(fault, FT_ENOMEM, "no memory for the plan of %u shards: %zu bytes", fleet->shards,
                       size);
    lay_out(&planner, memory);
    memset(memory, 0,
           (size_t)((char *)planner.room.pair - memory)); /* pairs are half, and few of them made */
    planner.room.fleet = fleet;

    begin(&planner);
    count_leases(&planner, planner.gone);
    view_servers(&planner);
    view_pairs(&planner);
    for (uint32_t i = 0; i < fleet->shards; i++)
        if (fleet->shard[i].known)
            review_order(&planner, i);
    fl_room_sort(&planner.room);

    heal(&planner);
    create_all(&planner);
    fulfil_wishes(&planner);
    for (uint32_t i = 0; i < fleet->shards; i++)
        hand_over_slow(&planner, i);
    planner.mends = upgrade(&planner);
    planner.mends |= mends(&planner);
    if (!planner.plan->stopped && !planner.mends)
        list_nodes(&planner);
    fl_balance(&planner);

    for (uint32_t i = 0; i < fleet->shards; i++) {
        planner.plan->waits[planner.plan->step[i].wait]++;
        planner.plan->unprotected += planner.plan->step[i].unprotected;
    }
    *out = planner.plan;
    return 0;
}

void fl_plan_free(struct fl_plan *plan)
{
    free(plan);
}
