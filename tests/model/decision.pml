/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two nodes that have lost each other, and an arbiter that keeps one decision, as ftcore/protocol/core.c and the rule in
 * core.h beside it have it. Only what decides who releases is here: eras, lease, right, questions, answers; the rest is in pair.pml.
 * docs/testing.md says what is left out.
 *
 * Requests may arrive at any time after they were sent, also those of a process that has died or asks no more; answers
 * likewise, or never. The link comes and goes. Of time only the order is here that both nodes' files make sure of: a lease
 * ends before a standby suspects, the right before the primary asks, and again before it acts on the answer.
 *
 *   -DBUG_...   a mistake that spin must find;  -DSEE_...  a thing that must be able to happen
 */
#ifndef ERAS
#define ERAS 3 /* at most 3; a run ends where a later one would begin */
#endif
#ifndef FAULTS
#define FAULTS 3 /* deaths, and the link's */
#endif

/* the primary of a view; it has no other view here */
#define DEAD  0
#define SOLO  1
#define GUARD 2 /* PROTECTED or DEGRADED */
#define ASKS  3
#define HOLDS 4 /* the arbiter decided for the other one */
/* its standby */
#define JOINING 1
#define SYNCING 2
#define READY   3
#define ASKING  4
#define TAKEN   5 /* primary of the next view */

#define P 0
#define S 1

byte p = SOLO, s = JOINING;
unsigned pera : 2; unsigned sera : 2; /* 0: none */
unsigned holding : 2;                 /* a HOLDING under way, of that era */
bit open;      /* primary: its standby may hold the era */
bit lease, right, lapsed;
bit link = 1;
bit stale;     /* the primary has released alone since the standby became READY */
byte faults;
bit over;

/* the arbiter: what is under way to it, what it keeps, what it has answered */
unsigned asked0 : 4; unsigned asked1 : 4; /* by node: a bit for each era */
unsigned won0 : 4; unsigned won1 : 4; unsigned lost0 : 4; unsigned lost1 : 4;
unsigned kera : 2; bit kwho;

#define BIT(e) (1 << (e))
#define MAY (!over)

inline alone() { p = SOLO; open = 0; lease = 0; stale = (s == READY || s == ASKING) }
inline together() { assert(!(s == TAKEN && (p == SOLO || (p == GUARD && lease)))) } /* never two that release */
inline takes_over() {
    s = TAKEN;
    together();
    assert(!stale) /* nor one on a state that the other has gone on from alone */
}
inline decide(who, e, won, lost) {
    if
#ifdef BUG_SAME_ERA
    :: kera <= e -> kera = e; kwho = who
#else
    :: kera < e -> kera = e; kwho = who
#endif
    :: else
    fi;
    if
    :: kera == e && kwho == who -> won = won | BIT(e)
    :: else -> lost = lost | BIT(e)
    fi
}

#ifdef BUG_ANY_ANSWER
#define WON(who, e) (won##who != 0)
#else
#define WON(who, e) (won##who & BIT(e))
#endif
#ifdef BUG_ASKS_EARLY
#define RIGHT_OVER true
#else
#define RIGHT_OVER (right == 0)
#endif
#ifdef BUG_RIGHT_AGAIN
#define CERTAIN (right)
#else
#define CERTAIN (right && !lapsed)
#endif

active proctype world()
{
    do
    /* ---- resync: the standby forgets, then a new era begins */
    :: d_step { MAY && link && p != DEAD && p != SOLO && (s == READY || s == ASKING || s == SYNCING) && !lease && !holding ->
        s = SYNCING; sera = 0; alone() } /* cut off; SNAPSHOT_BEGIN is answered */
    :: d_step { MAY && link && p != DEAD && s == JOINING -> s = SYNCING; sera = 0; alone() }
    :: d_step { MAY && link && p == SOLO && (s == READY || s == ASKING) -> s = SYNCING; sera = 0; right = 0; stale = 0 } /* hears SOLO */
    :: d_step { MAY && link && p == SOLO && s == SYNCING ->
        if
        :: pera == ERAS -> over = 1
        :: else -> pera++; holding = pera; p = GUARD; open = 1
        fi }
    :: d_step { MAY && link && holding ->
        if
        :: s == SYNCING -> s = READY; sera = holding; lapsed = 0; right = 1; stale = 0
        :: else
        fi;
        holding = 0 }
    /* ---- lease and right: an answer of the standby, and the primary's to it */
    :: d_step { MAY && link && p == GUARD && s == READY && pera == sera -> lease = 1; right = 1 }
#ifdef BUG_ASKS_ALOUD
    :: d_step { MAY && link && p == GUARD && s == ASKING && pera == sera -> lease = 1 }
#endif
    /* its hello is answered by a primary that hears nothing else of it, or by the process that comes after a dead one */
    :: d_step { MAY && link && (p >= GUARD || p == DEAD) && s == READY -> right = 1 }
    :: d_step { MAY && lease -> lease = 0 }
    :: d_step { MAY && !lease && right -> right = 0; lapsed = 1 }
    /* ---- questions */
    :: d_step { MAY && s == READY && !lease ->
#ifdef BUG_UNASKED_TAKEOVER
        takes_over()
#else
        s = ASKING; asked1 = asked1 | BIT(sera)
#endif
        }
    :: d_step { MAY && p == GUARD && !lease && RIGHT_OVER && open ->
#ifdef BUG_UNASKED_SOLO
        alone(); together()
#else
        p = ASKS; asked0 = asked0 | BIT(pera)
#endif
        }
    :: d_step { MAY && link && s == ASKING && p >= GUARD -> s = JOINING; sera = 0; right = 0 } /* heard, and no answer */
    /* ---- the arbiter */
    :: d_step { MAY && asked0 & BIT(1) -> decide(P, 1, won0, lost0); asked0 = asked0 & ~BIT(1) }
    :: d_step { MAY && asked0 & BIT(2) -> decide(P, 2, won0, lost0); asked0 = asked0 & ~BIT(2) }
    :: d_step { MAY && asked0 & BIT(3) -> decide(P, 3, won0, lost0); asked0 = asked0 & ~BIT(3) }
    :: d_step { MAY && asked1 & BIT(1) -> decide(S, 1, won1, lost1); asked1 = asked1 & ~BIT(1) }
    :: d_step { MAY && asked1 & BIT(2) -> decide(S, 2, won1, lost1); asked1 = asked1 & ~BIT(2) }
    :: d_step { MAY && asked1 & BIT(3) -> decide(S, 3, won1, lost1); asked1 = asked1 & ~BIT(3) }
    /* ---- answers */
    :: d_step { MAY && p == ASKS && WON(0, pera) && RIGHT_OVER ->
#ifdef SEE_PRIMARY_WINS
        assert(s != ASKING);
#endif
        alone(); together() }
    :: d_step { MAY && p == ASKS && lost0 & BIT(pera) -> p = HOLDS }
    :: d_step { MAY && s == ASKING && WON(1, sera) ->
#ifdef SEE_STANDBY_WINS
        assert(p != ASKS);
#endif
        takes_over() }
    :: d_step { MAY && s == ASKING && lost1 & BIT(sera) -> s = JOINING; sera = 0; right = 0 }
    /* ---- the end of a reign */
    :: d_step { MAY && link && s == TAKEN -> over = 1 } /* the higher view is heard */
    /* ---- faults */
    :: d_step { MAY && faults < FAULTS -> faults++; link = 1 - link; holding = 0 }
    :: d_step { MAY && !link -> link = 1 }
    :: d_step { MAY && p != DEAD && faults < FAULTS -> faults++; p = DEAD; lease = 0; holding = 0 }
    :: d_step { MAY && p == DEAD && (s == READY || s == ASKING) && CERTAIN -> takes_over() } /* a certain word */
    :: d_step { MAY && s != DEAD && s != TAKEN && faults < FAULTS ->
        faults++;
        if
        :: lease -> s = DEAD; alone() /* a certain word, while the lease runs */
        :: s = DEAD
        fi;
        sera = 0; right = 0; holding = 0; stale = 0 }
    :: d_step { MAY && s == DEAD -> s = JOINING }
    od
}
