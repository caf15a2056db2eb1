/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which node is to be primary, as the primary decides it: one pure function, and the rule by which a tracked
 * thing fails and is well again. In one sentence: the primary hands over, by a planned handover, when its
 * demotion counter is higher than that of a standby that is READY and whole, and not sooner than hold_down_s
 * after the last change of role. A pin and `failback: { after }` move the role between equal counters; a
 * hold, and a pin to this node, let nothing move it. Filled in and asked by the main thread
 * (node/standing.c).
 */
#ifndef NODE_TRACK_AUTHORITY_H
#define NODE_TRACK_AUTHORITY_H

#include <stdbool.h>
#include <stdint.h>

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
    bool told;             /* the standby has said its counter on this connection */
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
