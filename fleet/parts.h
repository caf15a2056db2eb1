/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the planner's own files share: how full servers are (fleet/room.c), where a node may go
 * (fleet/place.c), what is made of each shard (fleet/plan.c), and the orders that may wait (fleet/balance.c).
 * One plan's memory, which fl_plan_make hands out.
 */
#ifndef FLEET_PARTS_H
#define FLEET_PARTS_H

#include "fleet/plan.h"

#define FL_EPSILON 1e-9 /* of a capacity: sums of fractions in another order are the same */

/* What one server has of another's shards: of those whose primaries are on `primary` and whose standbys are
 * on `standby`. */
struct fl_pair {
    uint32_t primary, standby;
    uint32_t back; /* the number and 1 of the pair in which these two have it the other way round; 0: none */
    uint32_t next; /* of the same standby; FL_NONE */
    uint32_t shards;
    double extra[FL_MEASURES]; /* that `standby` has to carry if `primary` dies */
};

/* A server, as it will be when the orders under way, and those that the plan has by now, are carried out. A
 * standby that moves counts on both servers until it has. */
struct fl_place {
    double now[FL_MEASURES];
    double extra[FL_MEASURES]; /* if the server dies that is worst for that measure; never negative */
    uint32_t by[FL_MEASURES];  /* the pair with that server; FL_NONE */
    uint32_t pairs;            /* the first of those in which it has the standbys */
    uint32_t nodes, primaries;
    uint32_t into, out; /* resyncs, and re-pairs that will cause them */
    uint32_t leaving;   /* standbys that are on their way elsewhere */
    bool takes;         /* nodes: its lease is held, and it is not drained */
    bool ails;          /* a standby that is to be there is silent or slow, or is not given the state in time;
                           or an order to it failed, and its shard waits for that; or one left it as slow */
    bool relieved;      /* a shard with a slow node was moved for its sake, and may be all that it needs */
    double full;        /* the largest fraction of any capacity */
    double worst;       /* the same if the server dies that is worst; never less than `full` */
};

/* A server among the others; `worst` is a copy. */
struct fl_rank {
    double worst;
    uint32_t server;
};

/* All servers, with what they carry; made anew for each plan. */
struct fl_room {
    const struct fl_fleet *fleet;
    struct fl_place *place;
    struct fl_pair *pair;
    uint32_t pairs, most_pairs;
    uint32_t *slot;       /* of a hash of both servers: the number and 1 of their first pair; 0: none */
    uint32_t slots;       /* a power of two, above `most_pairs` */
    struct fl_rank *rank; /* the servers that take nodes, by `worst` */
    uint32_t ranked;
    bool sorted; /* `rank` is kept in order from now on */
};

/* What a node takes as primary and as standby; [FL_NODES] is 1. */
struct fl_need {
    double primary[FL_MEASURES], standby[FL_MEASURES];
};

void fl_room_begin(struct fl_room *room);
/* `sign`: 1 adds a node, -1 takes it away again. */
void fl_room_primary(struct fl_room *room, uint32_t server, const struct fl_need *need, int sign);
void fl_room_standby(struct fl_room *room, uint32_t server, uint32_t primary, const struct fl_need *need,
                     int sign);
/* The nodes of a shard on these two servers change roles. */
void fl_room_swap(struct fl_room *room, uint32_t primary, uint32_t standby, const struct fl_need *need);
/* All nodes are in: servers are ranked from here on. */
void fl_room_sort(struct fl_room *room);
const struct fl_pair *fl_room_pair(const struct fl_room *room, uint32_t primary, uint32_t standby);
/* The fraction of a capacity that is used by `load` in that measure; 0: not limited. */
double fl_room_fraction(const struct fl_room *room, uint32_t server, int measure, double load);
extern const double fl_no_load[FL_MEASURES]; /* 0 of each */
/* How full a server is, of itself, with `more` and without `less`. */
double fl_room_full_with(const struct fl_room *room, uint32_t server, const double more[FL_MEASURES],
                         const double less[FL_MEASURES]);
/* How full a server would be, if its load changed by `change`, and what it has to carry when `other` dies by
 * `extra`. */
struct fl_weight {
    double full, worst;
};
struct fl_weight fl_room_weigh(const struct fl_room *room, uint32_t server, const double change[FL_MEASURES],
                               uint32_t other, const double extra[FL_MEASURES]);
/* Is it within `limit` of each capacity, whichever server dies? */
bool fl_room_within(const struct fl_room *room, uint32_t server, double limit);

/* A place for a node. */
struct fl_search {
    const struct fl_need *need;
    uint32_t primary;   /* the server of its primary; FL_NONE: the primary itself is placed */
    uint32_t not_on[2]; /* servers that it is not to be on; FL_NONE */
    uint32_t only;      /* this one, in whichever zone; FL_NONE: any */
    double limit;       /* of each capacity: 1, or less */
    double full;        /* how full the server may be afterwards, of itself */
    bool other_zone;    /* than the primary's, or nowhere */
    bool now_only;      /* room as long as no server dies is enough */
    bool resync;        /* it needs one, so servers that have theirs are busy */
    bool sound;         /* not where another standby ails: the one that there is would be given up for it */
};

struct fl_found {
    uint32_t server;
    uint32_t busy; /* server FL_NONE: one that has room, and is busy; FL_NONE: none has room */
};

/* The server with room, of another zone where there is one, that is least full afterwards when the worst
 * other server dies; of equals the one with fewest shards in common; the first by name. */
struct fl_found fl_place_find(const struct fl_room *room, const struct fl_search *search);

/* What the plan makes of a shard before it orders anything. */
struct fl_look {
    struct fl_need need;
    uint32_t primary, standby; /* servers */
    bool lone;                 /* its primary is alone for good: it is to be healed */
    bool quiet;                /* protected, and its primary's agent can carry out orders */
    bool ready;                /* its standby reports that it could take over */
    bool unfit;                /* its standby's demotion counter is higher than its primary's */
    bool resyncs;
    bool ails;     /* it is alone, its standby's server lives, and it is not being given the state */
    bool given_up; /* and that for so long that its standby is dead for it */
    bool slow;     /* it is alone because its standby, whose node answers, is slow */
    bool tries;    /* with `slow`: its standby resyncs, to show that it keeps up */
    bool old[2];   /* its primary is to be started anew; its standby is */
    bool back_off;
    bool ordered; /* an order of an earlier plan stands */
};

/* A plan while it is made. */
struct fl_planner {
    const struct fl_fleet *fleet;
    struct fl_plan *plan;
    struct fl_room room;
    struct fl_look *look;
    /* The shards with a member on server i: node[first[i]] … node[first[i + 1] - 1]. */
    uint32_t *first, *node;
    struct fl_step *step; /* the plan's arrays */
    struct fl_view *view;
    uint32_t *order;
    uint64_t *gone;       /* when leases went */
    uint32_t *list;       /* of shards that are to be healed; of servers, for balance */
    uint32_t under_way;   /* with those that the plan has ordered */
    uint32_t restarts_on; /* the first server that has a node to be started anew; FL_NONE: none has */
    bool mends;           /* a shard can be healed, is being healed, or resyncs; or nodes are started anew */
};

/* Time since `then`, in the unit of the fleet's `now`: 0 if `then` is later, as by another clock; UINT64_MAX
 * if `then` is 0, which is never. */
uint64_t fl_since(const struct fl_planner *planner, uint64_t then);

/* ---- order.c ---- */

void fl_wait_for(struct fl_step *step, enum fl_wait wait, uint32_t about);
void fl_order_note(struct fl_planner *planner, uint32_t shard, enum fl_kind kind, enum fl_cause cause);
/* In the room, as if they were done: a re-pair, a restart, which a resync follows, and a handover, which
 * takes less time than its load needs to be measured. */
void fl_count_repair(struct fl_planner *planner, uint32_t shard, uint32_t to);
void fl_count_restart(struct fl_planner *planner, uint32_t shard);
void fl_swap_roles(struct fl_planner *planner, uint32_t shard);
/* For the standby of a shard: any server with room, but those of its members. */
struct fl_search fl_search_standby(const struct fl_planner *planner, uint32_t shard);
/* Gives an order, and accounts for it in the room. Returns whether it was possible; if not, the step names
 * what is waited for. */
bool fl_order_repair(struct fl_planner *planner, uint32_t shard, struct fl_search *search,
                     enum fl_cause cause, uint32_t about);
void fl_order_handover(struct fl_planner *planner, uint32_t shard, enum fl_cause cause, uint32_t about);

/* Relief, zones, balance: what waits while anything else is to be done. */
void fl_balance(struct fl_planner *planner);

#endif
