/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a node may go: the one rule by which every standby is placed, whether it is created, healed or moved.
 * Owns nothing; reads the room. fleet/plan.c and fleet/balance.c ask it.
 */
#include "fleet/parts.h"

#include <math.h>

/* How full a server would be with one more node, when the worst other server dies; over 1: it has no room. */
struct after {
    double worst; /* what servers are compared by */
    bool fits;    /* each capacity, within the search's limit */
};

/* What a server has to carry in the worst case, if the pair with one other server comes to carry `with`. */
static double carry_with(const struct fl_room *room, uint32_t server, int measure, const struct fl_pair *pair,
                         double with)
{
    const struct fl_place *place = &room->place[server];
    double extra = place->extra[measure];

    /* A standby that takes more than its primary makes what was the worst case a lesser one. */
    if (pair && place->by[measure] == pair - room->pair && with < extra) {
        extra = 0;
        for (uint32_t at = place->pairs; at != FL_NONE; at = room->pair[at].next)
            if (&room->pair[at] != pair && room->pair[at].extra[measure] > extra)
                extra = room->pair[at].extra[measure];
    }
    return with > extra ? with : extra;
}

static struct after look_after(const struct fl_room *room, const struct fl_search *search, uint32_t server)
{
    const struct fl_place *place = &room->place[server];
    const struct fl_need *need = search->need;
    bool standby = search->primary != FL_NONE;
    const struct fl_pair *pair = standby ? fl_room_pair(room, search->primary, server) : NULL;
    struct after after = {.fits = true};

    for (int i = 0; i < FL_MEASURES; i++) {
        double load = place->now[i] + (standby ? need->standby[i] : need->primary[i]);
        double extra = place->extra[i];
        if (standby)
            extra = carry_with(room, server, i, pair,
                               (pair ? pair->extra[i] : 0) + need->primary[i] - need->standby[i]);
        double of = fl_room_fraction(room, server, i, load + extra);
        double held = search->now_only ? fl_room_fraction(room, server, i, load) : of;
        after.fits &= held <= search->limit * (1 + FL_EPSILON);
        after.worst = of > after.worst ? of : after.worst;
    }
    return after;
}

static bool may_take(const struct fl_room *room, const struct fl_search *search, uint32_t server)
{
    const struct fl_place *place = &room->place[server];
    const double *load = search->primary == FL_NONE ? search->need->primary : search->need->standby;

    return place->takes && server != search->primary && server != search->not_on[0] &&
           server != search->not_on[1] && !(search->sound && place->ails) &&
           (isinf(search->full) || fl_room_full_with(room, server, load, fl_no_load) <= search->full);
}

static uint32_t in_common(const struct fl_room *room, uint32_t a, uint32_t b)
{
    const struct fl_pair *there = fl_room_pair(room, a, b), *back = fl_room_pair(room, b, a);

    return (there ? there->shards : 0) + (back ? back->shards : 0);
}

/* The best of one kind of zone so far. */
struct best {
    uint32_t server, busy, common;
    double worst;
};

/* Without a look at the pair: would a server be fuller than the best so far, whatever it has in common? */
static bool is_beaten(const struct fl_room *room, const struct fl_search *search, uint32_t server,
                      const struct best *best)
{
    const struct fl_place *place = &room->place[server];
    bool standby = search->primary != FL_NONE;
    const double *capacity = room->fleet->server[server].capacity.of;

    if (best->server == FL_NONE)
        return false;
    for (int i = 0; i < FL_MEASURES; i++) {
        double load = place->now[i] + (standby ? search->need->standby[i] : search->need->primary[i]);
        bool grows = !standby || search->need->primary[i] >= search->need->standby[i];
        if (capacity[i] > 0 &&
            load + (grows ? place->extra[i] : 0) > best->worst * capacity[i] * (1 + FL_EPSILON))
            return true;
    }
    return false;
}

static void consider(const struct fl_room *room, const struct fl_search *search, uint32_t server,
                     struct best *best)
{
    struct after after;
    uint32_t common;

    if (is_beaten(room, search, server, best))
        return;
    after = look_after(room, search, server);
    if (!after.fits || (best->server != FL_NONE && after.worst > best->worst))
        return;
    if (search->resync && room->place[server].into >= room->fleet->settings.resyncs) {
        best->busy = best->busy == FL_NONE ? server : best->busy;
        return;
    }
    common = search->primary == FL_NONE ? 0 : in_common(room, search->primary, server);
    if (best->server != FL_NONE && after.worst == best->worst &&
        (common > best->common || (common == best->common && server > best->server)))
        return;
    best->server = server;
    best->worst = after.worst;
    best->common = common;
}

/* Servers come by how full they are in the worst case, and none is less full with a node more: once one is
 * fuller than the best so far will be, or than the limit, no later one is wanted. */
struct fl_found fl_place_find(const struct fl_room *room, const struct fl_search *search)
{
    struct best other = {.server = FL_NONE, .busy = FL_NONE}, same = other;
    const struct fl_server *server = room->fleet->server;

    if (search->only != FL_NONE) {
        if (may_take(room, search, search->only))
            consider(room, search, search->only, &other);
        return (struct fl_found){.server = other.server, .busy = other.busy};
    }
    for (uint32_t i = 0; i < room->ranked; i++) {
        uint32_t at = room->rank[i].server;
        double worst = room->rank[i].worst;
        if (other.server != FL_NONE && worst > other.worst)
            break;
        if (!search->now_only && worst > search->limit * (1 + FL_EPSILON))
            break;
        if (!may_take(room, search, at))
            continue;
        if (search->primary == FL_NONE || server[at].zone != server[search->primary].zone)
            consider(room, search, at, &other);
        else if (!search->other_zone && (same.server == FL_NONE || worst <= same.worst))
            consider(room, search, at, &same);
    }
    if (other.server != FL_NONE || other.busy != FL_NONE)
        return (struct fl_found){.server = other.server, .busy = other.busy};
    return (struct fl_found){.server = same.server, .busy = same.busy};
}
