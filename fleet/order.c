/* SPDX-License-Identifier: Apache-2.0 */
/* An order of a plan that is being made: what its step contains, and its account in the room. */
#include "fleet/parts.h"

#include <math.h>

uint64_t fl_since(const struct fl_planner *planner, uint64_t then)
{
    uint64_t now = planner->fleet->now;

    if (!then)
        return UINT64_MAX;
    then = then > planner->fleet->began ? then : planner->fleet->began;
    return then < now ? now - then : 0;
}

void fl_wait_for(struct fl_step *step, enum fl_wait wait, uint32_t about)
{
    step->wait = wait;
    step->about = about;
}

void fl_order_note(struct fl_planner *planner, uint32_t shard, enum fl_kind kind, enum fl_cause cause)
{
    struct fl_step *step = &planner->plan->step[shard];

    if (step->kind == FL_LEAVE)
        planner->order[planner->plan->orders++] = shard;
    step->kind = kind;
    step->cause = cause;
    step->to[0] = step->to[1] = FL_NONE;
}

void fl_count_repair(struct fl_planner *planner, uint32_t shard, uint32_t to)
{
    const struct fl_look *look = &planner->look[shard];

    planner->under_way++;
    planner->room.place[look->primary].out++;
    planner->room.place[to].into++;
    planner->room.place[look->standby].leaving++;
    fl_room_standby(&planner->room, to, look->primary, &look->need, 1);
}

void fl_count_restart(struct fl_planner *planner, uint32_t shard)
{
    planner->under_way++;
    planner->room.place[planner->look[shard].primary].out++;
    planner->room.place[planner->look[shard].standby].into++;
}

void fl_swap_roles(struct fl_planner *planner, uint32_t shard)
{
    struct fl_look *look = &planner->look[shard];

    fl_room_swap(&planner->room, look->primary, look->standby, &look->need);
}

void fl_order_handover(struct fl_planner *planner, uint32_t shard, enum fl_cause cause, uint32_t about)
{
    fl_order_note(planner, shard, FL_HANDOVER, cause);
    planner->plan->step[shard].to[0] = planner->look[shard].standby;
    fl_wait_for(&planner->plan->step[shard], FL_ORDERED, about);
    fl_swap_roles(planner, shard);
}

struct fl_search fl_search_standby(const struct fl_planner *planner, uint32_t shard)
{
    const struct fl_look *look = &planner->look[shard];

    return (struct fl_search){.need = &look->need,
                              .primary = look->primary,
                              .not_on = {look->standby, FL_NONE},
                              .only = FL_NONE,
                              .limit = 1,
                              .full = INFINITY,
                              .resync = true};
}

bool fl_order_repair(struct fl_planner *planner, uint32_t shard, struct fl_search *search,
                     enum fl_cause cause, uint32_t about)
{
    const struct fl_settings *settings = &planner->fleet->settings;
    const struct fl_shard *of = &planner->fleet->shard[shard];
    const struct fl_look *look = &planner->look[shard];
    struct fl_step *step = &planner->plan->step[shard];
    struct fl_found found;

    if (look->back_off)
        fl_wait_for(step, FL_BACK_OFF, of->failed.to);
    else if (planner->under_way >= settings->heals)
        fl_wait_for(step, FL_LIMIT, FL_NONE);
    else if (planner->room.place[look->primary].out >= settings->resyncs)
        fl_wait_for(step, FL_BUSY, look->primary);
    else {
        /* Where the last one failed only if nowhere else; where another shard's node does not come up, if no
         * other server can take it now. */
        bool sound = search->sound;

        search->not_on[1] = of->failed.count && search->only == FL_NONE ? of->failed.to : FL_NONE;
        search->sound |= search->only == FL_NONE;
        found = fl_place_find(&planner->room, search);
        if (found.server == FL_NONE && search->sound != sound) {
            search->sound = sound;
            found = fl_place_find(&planner->room, search);
        }
        if (found.server == FL_NONE && found.busy == FL_NONE && search->not_on[1] != FL_NONE) {
            search->not_on[1] = FL_NONE;
            found = fl_place_find(&planner->room, search);
        }
        /* Who is alone is healed before anybody is kept within capacity for the next death, and does not wait
         * for the one server that has such room while others have some. */
        if (found.server == FL_NONE && (look->lone || look->slow) && search->only == FL_NONE) {
            search->now_only = true;
            found = fl_place_find(&planner->room, search);
        }
        if (found.server != FL_NONE) {
            fl_order_note(planner, shard, FL_REPAIR, cause);
            planner->plan->step[shard].to[0] = found.server;
            fl_wait_for(&planner->plan->step[shard], FL_ORDERED, about);
            fl_count_repair(planner, shard, found.server);
            return true;
        }
        fl_wait_for(step, found.busy == FL_NONE ? FL_NO_ROOM : FL_BUSY, found.busy);
    }
    return false;
}
