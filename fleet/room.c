/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How full servers are, now and when any one other dies. Owns the loads of servers and of the pairs that they
 * are. fleet/plan.c and fleet/balance.c put nodes in and take them out as they give orders; fleet/place.c
 * looks for room.
 *
 * If a server dies, each other one has to carry the shards whose primaries were there and whose standbys it
 * has: for each such pair of servers the sum of what these need more as primaries. The worst of the pairs is
 * kept for each server and each measure, so that a look costs no search.
 */
#include "fleet/parts.h"

#include "ftcore/base/check.h"

#include <stdlib.h>
#include <string.h>

const double fl_no_load[FL_MEASURES];

/* Of two servers, whichever of them has the primaries: who asks for a pair often asks for both. */
static uint32_t find_slot(const struct fl_room *room, uint32_t a, uint32_t b)
{
    uint64_t hash = ((uint64_t)(a < b ? a : b) << 32 | (a < b ? b : a)) * 0x9e3779b97f4a7c15ull;
    uint32_t at = (uint32_t)(hash >> 32) & (room->slots - 1);

    while (room->slot[at]) {
        const struct fl_pair *pair = &room->pair[room->slot[at] - 1];
        if ((pair->primary == a && pair->standby == b) || (pair->primary == b && pair->standby == a))
            break;
        at = (at + 1) & (room->slots - 1);
    }
    return at;
}

const struct fl_pair *fl_room_pair(const struct fl_room *room, uint32_t primary, uint32_t standby)
{
    uint32_t number = room->slot[find_slot(room, primary, standby)];

    if (number && room->pair[number - 1].primary != primary)
        number = room->pair[number - 1].back;
    return number ? &room->pair[number - 1] : NULL;
}

static uint32_t make_pair(struct fl_room *room, uint32_t primary, uint32_t standby)
{
    uint32_t *slot = &room->slot[find_slot(room, primary, standby)], *number = slot;

    if (*slot && room->pair[*slot - 1].primary != primary)
        number = &room->pair[*slot - 1].back;
    if (!*number) {
        FT_CHECK(room->pairs < room->most_pairs, "%u pairs of servers", room->pairs);
        room->pair[room->pairs] = (struct fl_pair){
            .primary = primary, .standby = standby, .back = *slot, .next = room->place[standby].pairs};
        room->place[standby].pairs = room->pairs;
        *number = ++room->pairs;
    }
    return *number - 1;
}

double fl_room_fraction(const struct fl_room *room, uint32_t server, int measure, double load)
{
    double capacity = room->fleet->server[server].capacity.of[measure];

    return capacity > 0 ? load / capacity : 0;
}

double fl_room_full_with(const struct fl_room *room, uint32_t server, const double more[FL_MEASURES],
                         const double less[FL_MEASURES])
{
    const struct fl_place *place = &room->place[server];
    double full = 0;

    for (int i = 0; i < FL_MEASURES; i++) {
        double of = fl_room_fraction(room, server, i, place->now[i] + more[i] - less[i]);
        full = of > full ? of : full;
    }
    return full;
}

struct fl_weight fl_room_weigh(const struct fl_room *room, uint32_t server, const double change[FL_MEASURES],
                               uint32_t other, const double extra[FL_MEASURES])
{
    const struct fl_place *place = &room->place[server];
    const struct fl_pair *with = fl_room_pair(room, other, server);
    struct fl_weight weight = {.full = fl_room_full_with(room, server, change, fl_no_load)};

    weight.worst = weight.full;
    for (int i = 0; i < FL_MEASURES; i++) {
        double most = (with ? with->extra[i] : 0) + extra[i], of;
        for (uint32_t at = place->pairs; at != FL_NONE; at = room->pair[at].next)
            if (&room->pair[at] != with && room->pair[at].extra[i] > most)
                most = room->pair[at].extra[i];
        of = fl_room_fraction(room, server, i, place->now[i] + change[i] + (most > 0 ? most : 0));
        weight.worst = of > weight.worst ? of : weight.worst;
    }
    return weight;
}

bool fl_room_within(const struct fl_room *room, uint32_t server, double limit)
{
    const struct fl_place *place = &room->place[server];

    for (int i = 0; i < FL_MEASURES; i++)
        if (fl_room_fraction(room, server, i, place->now[i] + place->extra[i]) > limit * (1 + FL_EPSILON))
            return false;
    return true;
}

static int compare_ranks(const void *a, const void *b)
{
    const struct fl_rank *first = a, *second = b;

    if (first->worst != second->worst)
        return first->worst < second->worst ? -1 : 1;
    return first->server < second->server ? -1 : first->server > second->server;
}

/* How many come before that one. */
static uint32_t find_rank(const struct fl_room *room, const struct fl_rank *of)
{
    uint32_t from = 0, to = room->ranked;

    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (compare_ranks(&room->rank[middle], of) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

/* A server whose load has changed goes to its place among the others. */
static void rank_again(struct fl_room *room, uint32_t server, double before)
{
    struct fl_rank old = {before, server}, now = {room->place[server].worst, server};
    uint32_t from, to;

    if (!room->place[server].takes || now.worst == before)
        return;
    from = find_rank(room, &old);
    to = find_rank(room, &now);
    if (to > from) {
        to--; /* it counted itself */
        memmove(&room->rank[from], &room->rank[from + 1], (to - from) * sizeof(now));
    } else
        memmove(&room->rank[to + 1], &room->rank[to], (from - to) * sizeof(now));
    room->rank[to] = now;
}

static void fill(struct fl_room *room, uint32_t server)
{
    struct fl_place *place = &room->place[server];

    place->full = place->worst = fl_room_full_with(room, server, fl_no_load, fl_no_load);
    for (int i = 0; i < FL_MEASURES; i++) {
        double worst = fl_room_fraction(room, server, i, place->now[i] + place->extra[i]);
        place->worst = worst > place->worst ? worst : place->worst;
    }
}

/* While all nodes are put in, servers are not looked at yet. */
static void weigh(struct fl_room *room, uint32_t server)
{
    double before = room->place[server].worst;

    if (!room->sorted)
        return;
    fill(room, server);
    rank_again(room, server, before);
}

/* A pair's extra load has changed: it may be the worst now, or no longer be. */
static void weigh_pair(struct fl_room *room, uint32_t number)
{
    const struct fl_pair *pair = &room->pair[number];
    struct fl_place *place = &room->place[pair->standby];

    for (int i = 0; i < FL_MEASURES; i++) {
        if (pair->extra[i] > place->extra[i]) {
            place->extra[i] = pair->extra[i];
            place->by[i] = number;
        } else if (place->by[i] == number) {
            place->extra[i] = 0;
            place->by[i] = FL_NONE;
            for (uint32_t at = place->pairs; at != FL_NONE; at = room->pair[at].next)
                if (room->pair[at].extra[i] > place->extra[i]) {
                    place->extra[i] = room->pair[at].extra[i];
                    place->by[i] = at;
                }
        }
    }
}

/* An empty server has no load at all, so that sums of fractions leave nothing behind. */
static void add(struct fl_place *place, const double load[FL_MEASURES], int sign)
{
    place->nodes += (uint32_t)sign;
    for (int i = 0; i < FL_MEASURES; i++)
        place->now[i] = place->nodes ? place->now[i] + sign * load[i] : 0;
}

void fl_room_primary(struct fl_room *room, uint32_t server, const struct fl_need *need, int sign)
{
    add(&room->place[server], need->primary, sign);
    room->place[server].primaries += (uint32_t)sign;
    weigh(room, server);
}

void fl_room_standby(struct fl_room *room, uint32_t server, uint32_t primary, const struct fl_need *need,
                     int sign)
{
    uint32_t number = make_pair(room, primary, server);
    struct fl_pair *pair = &room->pair[number];

    pair->shards += (uint32_t)sign;
    for (int i = 0; i < FL_MEASURES; i++)
        pair->extra[i] = pair->shards ? pair->extra[i] + sign * (need->primary[i] - need->standby[i]) : 0;
    weigh_pair(room, number);
    add(&room->place[server], need->standby, sign);
    weigh(room, server);
}

void fl_room_swap(struct fl_room *room, uint32_t primary, uint32_t standby, const struct fl_need *need)
{
    fl_room_standby(room, standby, primary, need, -1);
    fl_room_primary(room, primary, need, -1);
    fl_room_primary(room, standby, need, 1);
    fl_room_standby(room, primary, standby, need, 1);
}

void fl_room_begin(struct fl_room *room)
{
    const struct fl_fleet *fleet = room->fleet;

    for (uint32_t i = 0; i < fleet->servers; i++) {
        struct fl_place *place = &room->place[i];
        const struct fl_server *server = &fleet->server[i];
        place->pairs = FL_NONE;
        for (int k = 0; k < FL_MEASURES; k++)
            place->by[k] = FL_NONE;
        place->takes = server->lease && !server->drained && !server->unlisted;
    }
}

void fl_room_sort(struct fl_room *room)
{
    for (uint32_t i = 0; i < room->fleet->servers; i++) {
        fill(room, i);
        if (room->place[i].takes)
            room->rank[room->ranked++] = (struct fl_rank){room->place[i].worst, i};
    }
    qsort(room->rank, room->ranked, sizeof(room->rank[0]), compare_ranks);
    room->sorted = true;
}
