/* SPDX-License-Identifier: Apache-2.0 */
/* Two rules: whether the data ports of a pair can carry traffic, and which node is to be primary. No state
 * but what the main thread fills in. */
#ifndef NODE_TRACK_RULES_H
#define NODE_TRACK_RULES_H

#include "ftcore/record/datagram.h"
#include "nflib/chain/l3.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * Whether the pair's data ports can carry traffic: what a node finds of its own ports, what it hears by them,
 * and what the peer's heartbeats report of the peer's. One rule. A node is whole when each of its data ports
 * has carrier, an MTU not below that of the peer's port, and hears the peer's heartbeats of the port of the
 * same number, unless the peer's port has no carrier. Filled in and judged by the main thread
 * (understudy/watch/port_watch.c); status, metrics, handovers and heartbeats use its verdict.
 */
#define ND_HEALTH_TEXT 256u

struct nd_port_health {
    const char *name; /* as the file calls the interface; borrowed */
    bool judged;      /* its device leads to a network: the peer's heartbeats should come in by it */
    bool carrier;
    bool fed;                  /* the keeper has the port: `carrier` is whether one is heard */
    bool replaced;             /* then without carrier: below the port is another interface than it opened */
    uint32_t mtu;              /* bytes; 0: not known */
    uint64_t heard;            /* ns: the peer's newest heartbeat of its port of this number; 0: none yet */
    uint64_t crossed;          /* the same of another port of the peer's, which is peer_port */
    uint32_t peer_mtu;         /* as that of `heard` reports; 0: not known */
    unsigned peer_port;        /* below NF_PORTS_MAX */
    bool hears;                /* judged: `heard` is of late */
    enum ft_port_fault fault;  /* judged */
    enum ft_port_fault theirs; /* of the peer's port, as the peer reported; WHOLE: it has reported none */
    bool deaf; /* a gateway that both track by it answers the peer alone: if nothing passes between the two
                  ports, it is this one's fault */
};

struct nd_health {
    const char *self, *peer; /* names of the nodes; borrowed */
    unsigned ports;
    struct nd_port_health port[NF_PORTS_MAX];
    bool meets; /* there is a connection to the peer: it should be heard */
    bool told;  /* the peer has lately reported how its ports are: `theirs` */
};

/* The fault of each port, by what was found. A heartbeat counts for `within` ns, and, of a thread that was
 * held up until `awake`, as if it had come then. */
void nd_health_judge(struct nd_health *h, uint64_t now, uint64_t within, uint64_t awake);

/* Why a port of this node's is without carrier, in words. */
const char *nd_health_no_carrier(const struct nd_port_health *p);

/* All that keeps ports of either node from carrying traffic, in words. "", false: nothing. */
bool nd_health_faults(const struct nd_health *h, char out[ND_HEALTH_TEXT]);

/* The same of the standby alone, as this node, the primary or the standby, knows it: why no handover may make
 * it the primary. A fault of the primary's own is none of the standby's. */
bool nd_health_standby(const struct nd_health *h, bool primary, char out[ND_HEALTH_TEXT]);

/*
 * Which node is to be primary, as the primary decides it: one pure function, and the rule by which a tracked
 * thing fails and is well again. In one sentence: the primary hands over, by a planned handover, when its
 * demotion counter is higher than that of a standby that is READY and whole, and not sooner than hold_down_s
 * after the last change of role. A pin and `failback: { after }` move the role between equal counters; a
 * hold, and a pin to this node, let nothing move it. Filled in and asked by the main thread
 * (understudy/watch/standing.c).
 */

/* In the demotion counter: a data port without carrier, or with a smaller MTU than the peer's, which is more
 * than all else together. */
#define ND_PORT_WEIGHT 1000u

/* So long a difference of counters has to stand, at least: a word of the peer is on its way, and both nodes
 * see that a data port has lost its carrier. */
#define ND_SETTLE_NS 200000000ull
/* Between two attempts, when the first came to nothing. */
#define ND_RETRY_NS 1000000000ull

enum nd_wanted { ND_WANTED_ANY, ND_WANTED_OWN, ND_WANTED_OTHER };

struct nd_authority {
    uint64_t now;          /* monotonic ns, as all times here */
    bool serves;           /* PROTECTED, so the standby is READY; no handover is under way */
    bool whole;            /* nothing that is known keeps the standby from carrying traffic */
    bool told;             /* the standby has reported its counter on this connection */
    uint32_t own, other;   /* counters: of this node, the primary, and of the standby */
    uint64_t higher_since; /* since when `own` has been the higher one; 0: it is not */
    uint64_t equal_since;  /* since when the pair has been PROTECTED with equal counters; 0: it is not */
    uint64_t moved;        /* when this node became primary after another one; 0: it has begun alone */
    uint64_t tried;        /* when this node began to hand over last; 0: never */
    uint64_t settle_ns;    /* ND_SETTLE_NS or more: until the other node would have found the same */
    uint64_t hold_down_ns;
    bool held;                /* an operator's hold */
    enum nd_wanted pinned;    /* an operator's pin */
    enum nd_wanted preferred; /* the file's prefer */
    bool returns;             /* failback: { after }, and then: */
    uint64_t return_after_ns; /* for so long the pair has to be PROTECTED with equal counters */
};

enum nd_move { ND_STAY, ND_MOVE_COUNTER, ND_MOVE_PIN, ND_MOVE_RETURN };

/* What to do now. *why: for people, static: why the role moves, or why it stays where something would move
 * it; NULL: nothing would. */
enum nd_move nd_authority_decide(const struct nd_authority *a, const char **why);

/* ---- a tracked thing ----------------------------------------------------------------------------- */

struct nd_tracked {
    uint32_t rise, fall; /* results in a row after which it is well again, or fails; at least 1 */
    uint32_t streak;     /* results in a row that speak against `failed` */
    bool failed;         /* from the start: not */
};

/* A result. True: `failed` has changed. */
bool nd_tracked_note(struct nd_tracked *t, bool good);

#endif
