/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The planner of a fleet: which shard is to be created, re-paired or handed over next, and why. It is a pure
 * function: it reads a picture of the fleet (struct fl_fleet), which the leader's agent has put together from
 * the fleet's keys, and makes a plan (struct fl_plan), which the agent writes as orders and `fleet plan`
 * prints. It knows no clock, no file and no socket; the same picture gives the same plan, byte for byte.
 *
 * Servers and shards are named by their places in the picture's arrays. The caller sorts both by name, so
 * that of two that are equal in everything else the first by name is taken, whoever leads.
 *
 * What it keeps to, in this order:
 *
 * 1. A server is dead for a shard when its lease is gone and the shard's other member is a primary that is
 *    alone (SOLO); or when that one has been alone for `patience`, and is not giving its standby the state,
 *    or for `back_off_most`, whatever its standby reports of a resync. While nodes are to be started anew (8)
 *    only the lease counts: a node that does not come back is to stop that. A shard whose members are both
 *    silent is left as it is. While more than a third of the leases, of three at least, went within `at_once`
 *    of each other and are still gone, nothing is ordered. A drained server does not count there: people
 *    drain it to show that they know of it.
 * 2. A standby goes to a server that has room; to one in another zone than the primary's where there is one;
 *    of those to the one that is least full when the worst other server dies; of equals to the one with the
 *    fewest shards in common with the primary's server. So shards are spread: many servers have a few shards
 *    in common with each. That a server's load falls onto many when it dies keeps the reserve small that each
 *    needs, and lets as many resync at once. The price is that more pairs of servers have a shard to lose.
 * 3. What heals comes before what balances: no shard is moved for balance, room or zones while another one
 *    can be healed, is being healed, or resyncs. None goes to a server where a standby is silent or slow, or
 *    is not given the state within `patience`, or to which an order failed, for as long as that shard's
 *    back-off; what heals goes there last.
 * 4. A server has room for a node when, with it, it is within each of its capacities, whichever one other
 *    server dies; for a shard that is alone, where no such server can take it now, as long as none dies; for
 *    an order that may wait, when `gain` of each is left then. Where one is not within them, its standbys are
 *    moved.
 * 5. A drained server gets nothing and is emptied. A pin names the server where a shard's primary is to be;
 *    one to a server that is dead, drained or full waits, and the shard is treated as if it had none. A move
 *    is a pin that the reader of the plan removes once the primary is there. No shard is handed over to a
 *    standby whose demotion counter is higher than the primary's: that node would hand it back.
 * 6. Servers are compared by how full they are: the largest fraction of any of their capacities. Balancing
 *    begins when one is more than twice `gain` above the mean, and ends when none is more than `gain` above
 *    it. Each order is the one after which the fuller of both servers is least full; handing over is
 * preferred to moving a standby. None is given for it within `hold_down` of the shard's last change of
 * members or primary.
 * 7. At most `heals` re-pairs and the resyncs that they cause are under way in the fleet, at most `resyncs`
 *    into and `resyncs` out of each server, where a resync counts for `patience` at most; one order of a
 *    shard at any time; none within the back-off after one that failed.
 * 8. Nodes that are old are started anew, those of one server after those of another, in the order of their
 *    names: its primaries hand over, its standbys are restarted. Only while every shard is protected, so one
 *    that does not come back stops it; and no shard is moved for balance meanwhile.
 * 9. A shard without a key, not even one that cannot be read, is created only while every server has its
 *    lease, and none reports a node or a kept view of that shard; FL_CREATES shards in a plan.
 * 10. A standby that its primary has given up as slow goes to a server where none ails, and which
 *    none has left as slow within `back_off_most`. It may be the standby's server that is slow, or the
 *    primary's, and one shard less may be all that either needs: so within `relief` one shard is moved for
 *    this away from a server, and one whose primary is on it: the others have been tried again by then. The
 *    same shard again after `back_off_most`, or at once where its order was withdrawn.
 * 11. A primary whose lanes are busy for more than `busy` of the time is slow, if those of its standby, which
 *    replays the same packets, are busy for less than `easy`: it hands over, where no pin keeps it. Within
 *    `relief` one of each of both servers does; the same shard again after `back_off_most`, until when
 * balance does not hand it back either.
 *
 * One number for each server suffices to compare them, the largest fraction of any capacity, since no server
 * can take more than its scarcest measure allows; whether a node fits is asked of each measure.
 */
#ifndef FLEET_PLAN_H
#define FLEET_PLAN_H

#include "ftcore/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FL_NONE    UINT32_MAX /* no server, no pin, nobody */
#define FL_CREATES 500u       /* shards that one plan creates at most */

enum fl_measure { FL_PROCESSOR, FL_PACKETS, FL_MEMORY, FL_NODES, FL_MEASURES };

/* What a node takes, or a server may, in units of the caller's: of the agent cores, packets a second and MB.
 * Each finite and not negative; of a node, [FL_NODES] is not looked at: it is one. */
struct fl_load {
    double of[FL_MEASURES];
};

struct fl_server {
    const char *name;
    uint32_t zone;           /* a number for each zone's name */
    struct fl_load capacity; /* 0: not limited by that measure; without any it is never full */
    bool lease;              /* its agent's lease is held */
    uint64_t
        gone;     /* since when it is not, in the unit of `now`; 0: nobody knows of a time when it was held */
    bool drained; /* people want it empty */
    bool unlisted; /* members name it, and the fleet's file does not any more: it is drained, and nobody waits
                      for it */
};

/* What the node of a member last reported of itself. FL_SAYS_NOTHING: it has no node, its agent's lease is
 * gone, or the report is of an earlier view. */
enum fl_says {
    FL_SAYS_NOTHING,
    FL_SAYS_JOINING,
    FL_SAYS_SYNCING,
    FL_SAYS_READY,
    FL_SAYS_SOLO,
    FL_SAYS_PROTECTED,
    FL_SAYS_DEGRADED, /* a primary that has no answer from its standby, and may go on alone in a moment */
    FL_SAYS_FENCED,
};

/* It is a primary that takes packets. */
static inline bool fl_says_serves(enum fl_says says)
{
    return says == FL_SAYS_SOLO || says == FL_SAYS_PROTECTED || says == FL_SAYS_DEGRADED;
}

enum fl_kind {
    FL_LEAVE,    /* nothing is to be written: there is no order, or the one under way stands */
    FL_CREATE,   /* run the shard's first two nodes: primary on to[0], standby on to[1] */
    FL_REPAIR,   /* the primary takes to[0] for its standby, in the place of the one it has or has lost */
    FL_HANDOVER, /* the primary hands over to its standby, on to[0] */
    FL_RESTART,  /* the standby, on to[0], is started anew */
    FL_WITHDRAW, /* the order under way, to to[0], is to go, and none takes its place now */
};

enum fl_cause {
    FL_NO_CAUSE,
    FL_NEW,     /* the shard has no nodes yet */
    FL_HEAL,    /* its standby, or the primary before, is dead */
    FL_SLOW,    /* its primary has given its standby up as slow, or is slow itself */
    FL_DRAIN,   /* people want a server empty */
    FL_PIN,     /* people want its primary elsewhere */
    FL_MOVE,    /* they want it there once */
    FL_RELIEF,  /* a server would be above capacity if another one died */
    FL_ZONE,    /* both members are in one zone, and another one has room */
    FL_BALANCE, /* a server is fuller than the mean */
    FL_UPGRADE, /* people want a server's nodes started anew */
    /* Of FL_WITHDRAW alone: */
    FL_FAILED,   /* the order failed, or was not carried out for `patience` */
    FL_NEEDLESS, /* the order's cause is gone, or its target is, and there is no other place */
};

/* What is waited for, or kept from, where a shard is not as it should be. */
enum fl_wait {
    FL_FINE,          /* it is protected, where people want it, or as near as can be */
    FL_ORDERED,       /* this plan has an order for it */
    FL_UNDER_WAY,     /* an order of an earlier plan stands */
    FL_RESYNCS,       /* its standby is being given the state, or joins */
    FL_BOTH_SILENT,   /* no node reports: a person looks */
    FL_NOBODY_SERVES, /* no member that reports is a primary, or READY */
    FL_NODE_SILENT,   /* the primary is alone; the other node is silent, and its server lives */
    FL_IS_SLOW,       /* its standby is slow, and is not to be moved now */
    FL_UNSETTLED,     /* the primary does not yet report that it is alone */
    FL_AGENT_GONE,    /* its primary runs, and there is no agent there to carry an order out */
    FL_UNFIT,         /* what its standby's node tracks fails: it would hand the role back */
    FL_NO_ROOM,       /* no server has room for its standby */
    FL_LIMIT,         /* as many as may be are under way in the fleet, or are created by this plan */
    FL_BUSY,          /* the servers that could are resyncing another shard */
    FL_BACK_OFF,      /* its last order failed, and it is not tried again yet */
    FL_LEASES_GONE,   /* too many leases went at once: nothing is ordered */
    FL_SERVER_ABSENT, /* it is to be created, and not every server has its lease */
    FL_FOUND,         /* it is to be created, and a server reports a node or a kept view of it */
    FL_UNREADABLE,    /* it may have been created: its key cannot be read */
};

/* What a shard's primary is to do in the view in which it was planned. */
struct fl_order {
    enum fl_kind kind; /* FL_REPAIR, FL_HANDOVER or FL_RESTART; FL_LEAVE: none */
    enum fl_cause cause;
    uint32_t to;
    uint64_t since;
    /* At which the planner does not look: */
    uint64_t incarnation; /* FL_RESTART: of the process that is to end */
    bool there;           /* FL_REPAIR: a node of the shard is on `to` */
};

struct fl_failed {
    uint32_t count; /* orders that failed since the last one that did not; 0: none */
    uint32_t to;    /* the last one was to this server; FL_NONE */
    uint64_t when;
};

/* When a shard was last ordered away from a server on which its standby, or its primary, was slow; `when` 0:
 * never. */
struct fl_left {
    uint32_t server;
    uint64_t when;
};

struct fl_shard {
    const char *name;
    bool known;         /* it has a key, or nodes: false, it is to be created */
    bool unreadable;    /* !known: its key is there, and cannot be read */
    uint32_t found;     /* !known: a server that reports a node or a kept view of it; FL_NONE: none does */
    uint32_t on[2];     /* !known: the servers that it is to begin on; two equal ones: the plan chooses */
    uint64_t view;      /* the latest that its nodes or its key name */
    uint32_t member[2]; /* of that view: places in the array of servers, two different ones */
    enum fl_says says[2];
    uint32_t counter[2];    /* its node's demotion counter */
    bool old[2];            /* its node is to be started anew */
    uint32_t primary;       /* 0 or 1: the member that last claimed to be the primary; FL_NONE: not known */
    uint32_t pin;           /* the server that people want its primary on; FL_NONE */
    bool moves;             /* they want it there once: it is to be moved, not pinned */
    struct fl_order order;  /* under way. One of an earlier view is over: it is not given here */
    bool measured[2];       /* load[0] of its primary, load[1] of its standby, wherever they are */
    struct fl_load load[2]; /* of the role, not of the node: what was measured before the roles last changed
                               counts until it is measured anew. One missing: as much as the other; both: it
                               takes a node and no more */
    uint32_t busy[2];       /* of a role as well: for so many percent of the time its lanes have something to
                               do, 0 to 100; FL_NONE: not known */
    uint64_t moved;         /* when its members or its primary last changed; 0: never */
    uint64_t alone;         /* since when its primary reports SOLO; 0: it does not */
    const char *slow; /* why its primary has given its standby up as slow, or, PROTECTED, keeps one that is
                         (strict); NULL: no slow standby is reported */
    struct fl_failed failed;
    struct fl_left left;
};

struct fl_settings {
    uint32_t heals;     /* re-pairs and resyncs at once in the fleet; 0: none is ordered */
    uint32_t resyncs;   /* at once into, and out of, one server; 1 at least */
    uint64_t hold_down; /* since a shard's last change of members or primary, before an order for balance */
    uint64_t patience;  /* with an order, with a resync that it began, with a standby that does not come */
    uint64_t relief;  /* after a shard was moved because a node was slow, before the next of those servers */
    uint64_t at_once; /* leases that go within this of each other went at once */
    uint64_t back_off_least, back_off_most; /* after a shard's first failure; doubling up to */
    double gain;                            /* 0.1: none of balance is begun that gains less than 10 % */
    uint32_t busy, easy; /* percent: a primary whose lanes are busy for more is slow, if its standby's are for
                            less */
};

struct fl_fleet {
    const struct fl_server *server;
    uint32_t servers;
    const struct fl_shard *shard;
    uint32_t shards;
    struct fl_settings settings;
    bool balancing; /* by the last plan; false from a leader's first */
    uint64_t now;   /* in seconds or any other unit, the same for all times here */
    uint64_t began; /* what was before counts as then: others wrote of it, by other clocks. 0: all counts */
};

/* With times in seconds: heals 64, resyncs 1, hold_down 60, patience 120, relief 20, at_once 2, back_off 10
 * to 600, gain 0.1, busy 90, easy 60. */
struct fl_settings fl_settings_usual(void);

/* What the plan has for one shard. */
struct fl_step {
    enum fl_kind kind;
    enum fl_cause cause; /* of the order; FL_NO_CAUSE of FL_LEAVE */
    uint32_t to[2];      /* FL_NONE where there is none */
    enum fl_wait wait;
    uint32_t
        about; /* the server that the cause or the wait is about: that is dead, drained, full …; FL_NONE */
    bool unprotected; /* no standby could take over now, as far as is reported */
    bool pin_waits;   /* its pin, or move, is to a server that is dead, drained or full */
};

/* One server, as its nodes are now: without the orders under way and those of this plan. */
struct fl_view {
    uint32_t nodes, primaries;
    double full;         /* the largest fraction of any capacity, 1: all of it */
    double worst;        /* the same if the worst other server dies */
    uint32_t worst_when; /* that server; FL_NONE: none makes it worse */
};

struct fl_plan {
    struct fl_step *step;  /* for each shard */
    struct fl_view *view;  /* for each server */
    const uint32_t *order; /* the shards that have a step other than FL_LEAVE, the most urgent first */
    uint32_t orders;
    bool stopped;                      /* too many leases are gone: nothing is ordered */
    uint32_t gone, were;               /* so many of so many leases went at once, the worst of such times */
    bool balancing;                    /* for the next plan */
    uint32_t waits[FL_UNREADABLE + 1]; /* shards, by enum fl_wait */
    uint32_t unprotected;              /* shards */
    struct {
        uint32_t a, b, shards; /* the two servers that have most shards in common; FL_NONE, FL_NONE, 0 */
        uint32_t pairs;        /* of servers that have any */
    } both;
    uint32_t overfull; /* servers that are above a capacity if one other dies */
};

/*
 * Makes a plan in one allocation; nothing of the fleet is kept. A load that is not finite or is negative is
 * taken for one that is not measured. FT_EINVAL: a place that is none, two members on one server, a setting
 * out of range; FT_ENOMEM.
 */
int fl_plan_make(struct fl_plan **out, const struct fl_fleet *fleet, struct ft_fault *fault);
void fl_plan_free(struct fl_plan *plan);

/* A sentence for people, of the shard's step: what is ordered and why, or what is waited for; "" for a shard
 * that is fine. Of the same fleet as the plan. */
#define FL_WHY_MAX 256u
const char *fl_plan_explain(const struct fl_plan *plan, const struct fl_fleet *fleet, uint32_t shard,
                            char why[FL_WHY_MAX]);

/* Words as keys and commands have them: "re-pair", "heal", "no-room"; and a kind or a cause by its word,
 * FL_LEAVE and FL_NO_CAUSE for anything else. */
const char *fl_kind_name(enum fl_kind kind);
const char *fl_cause_name(enum fl_cause cause);
const char *fl_wait_name(enum fl_wait wait);
enum fl_kind fl_kind_of(const char *word);
enum fl_cause fl_cause_of(const char *word);

#endif
