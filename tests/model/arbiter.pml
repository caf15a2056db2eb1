/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two nodes and an arbiter that holds the authority: { view, holder, may the standby be promoted }. There is no such
 * code yet: this is the design that it has to follow. docs/testing.md says what is left out, and why.
 *
 * G1 to G5 in comments are promises of docs/guarantees.md.
 *
 *   -DGATE      the arbiter is the gate: it stamps inputs with clocks, keeps them until their outputs have left, lets
 *               pass what the holder of the view sends, once. No clock is read.
 *   (without)   the arbiter is elsewhere (etcd): outputs leave directly, under a lease that the primary renews there
 *   -DBUG_...   a mistake that spin must find;  -DSEE_...  a thing that must be able to happen
 *
 * The link and the ways to the arbiter may be as slow as they like. Nothing here may promote on silence or on anybody's
 * word alone: the arbiter decides, so partitions are not excluded.
 */
#ifndef BURSTS
#define BURSTS 2 /* at most 3 */
#endif
#ifndef VIEWS
#define VIEWS 3 /* at most 3; a run ends where a later one would begin */
#endif
#ifndef FAULTS
#define FAULTS 2 /* death, pause, broken link */
#endif
#ifndef ROOM
#define ROOM 1 /* messages under way, each direction; at most 2 */
#endif

#ifdef BUG_LEASE
#define LEASE 2
#else
#define LEASE 1 /* may release while the renewal that was answered is at most that old */
#endif
#define GRANT 2 /* the arbiter gives the view away when it has not heard the holder for that long */
#define NEVER 3
#define OLDER(age, most) ((age) >= (most) -> NEVER : (age) + 1)

#define JOINING 0
#define SYNCING 1
#define READY   2
#define SOLO    3 /* the arbiter knows: nobody can be promoted */
#define HOLDS   4 /* PROTECTED or DEGRADED: releases what is stable, once the arbiter knows of the standby */

/* how far the primary has brought its standby */
#define NONE     0
#define BASE     1
#define CAUGHT   2 /* it has answered the snapshot */
#define SWITCHED 3 /* HOLD is said */
#define REACHED  4 /* it is READY; the arbiter is to be told */

#define LOG   1
#define BEGIN 2
#define HOLD  3
#define TELL  4

#define M_TYPE(m) ((m) & 7)
#define M_ST(m)   (((m) >> 3) & 7)
#define M_VIEW(m) (((m) >> 6) & 3)
#define M_N(m)    (((m) >> 8) & 3)
#define M_IDS(m)  (((m) >> 10) & 63)
#define M_REL(m)  (((m) >> 16) & 3)

#define MIN(a, b) ((a) < (b) -> (a) : (b))
#define MAX(a, b) ((a) > (b) -> (a) : (b))
#define PRIMARY(s) ((s) >= SOLO)
#define ID(h, k)   (((h) >> (2 * ((k) - 1))) & 3)
#define UPTO(h, n) ((h) & ((1 << (2 * (n))) - 1))

typedef Node {
    bit alive; bit paused;
    unsigned st : 3; unsigned step : 3; unsigned view : 2;
    unsigned closed : 2; unsigned hist : 6;
    unsigned rel : 2;   /* outputs that left; standby: as records said */
    unsigned pc : 2;    /* what the standby has acknowledged */
    unsigned lsent : 2; unsigned hold : 2;
    bit holdknown; bit cut; /* the log no longer reaches the standby */
    unsigned lease : 2; /* age of the renewal that was answered */
    unsigned renew : 2; /* 1: on its way to the arbiter, 2: its answer is on its way back */
    unsigned renewed : 2; /* age of that */
    unsigned out : 2; unsigned outid : 2; unsigned outview : 2; /* an output between the check and the world */
};
typedef Pipe { int m[2]; unsigned size : 2; };

Node n[2];
Pipe q[2]; /* towards that node */
bit link;
byte faults;
bit over;

/* the arbiter */
unsigned aview : 3;
bit aholder, aready;
unsigned asilent : 2; /* since when it has not heard the holder */
#ifdef GATE
unsigned clock : 2;  /* the last that was stamped, as the gate believes … */
unsigned stamped : 2; /* … and in truth */
unsigned passed : 3; /* clocks whose output has passed */
#endif

/* what the world has seen */
unsigned seen : 6; unsigned seenmask : 6;
unsigned left1 : 3; unsigned left2 : 3; unsigned tails : 3;
unsigned acked : 6;
unsigned late : 4;

hidden int m, taken;
hidden byte num, ids, k, id;

#define J (1 - i)
#define RUNS (n[i].alive && !n[i].paused && !over)
#define ROOMY (q[J].size < ROOM)

inline say(type) {
    m = type | (n[i].st << 3) | (n[i].view << 6) | (num << 8) | (ids << 10) |
        ((type == LOG -> MIN(n[i].rel, num - 1) : 0) << 16);
    q[J].m[q[J].size] = m; q[J].size++;
    if
    :: n[i].st == READY -> acked = UPTO(n[i].hist, n[i].closed)
    :: else
    fi;
    m = 0; num = 0; ids = 0
}

inline again(x) {
    n[x].st = JOINING; n[x].step = NONE; n[x].closed = 0; n[x].hist = 0; n[x].rel = 0; n[x].pc = 0; n[x].lsent = 0;
    n[x].hold = 0; n[x].holdknown = 0; n[x].cut = 0; n[x].lease = NEVER
}

inline consider_ready() {
    if
    :: n[i].st == SYNCING && n[i].holdknown && n[i].closed >= n[i].hold ->
        n[i].st = READY; n[i].hold = 0; n[i].holdknown = 0
    :: else
    fi
}

inline hear() {
    taken = q[i].m[0];
    q[i].m[0] = q[i].m[1]; q[i].m[1] = 0; q[i].size--;
    if
    :: M_VIEW(taken) < n[i].view /* of the past */
    :: M_VIEW(taken) > n[i].view && PRIMARY(n[i].st) -> /* its word is enough to fence, not to promote */
        again(i); n[i].view = M_VIEW(taken)
    :: M_TYPE(taken) == BEGIN && !PRIMARY(n[i].st) && M_VIEW(taken) >= n[i].view ->
        again(i);
        n[i].view = M_VIEW(taken); n[i].st = SYNCING;
        n[i].closed = M_N(taken); n[i].rel = M_N(taken); n[i].hist = M_IDS(taken)
    :: M_TYPE(taken) == LOG && (n[i].st == SYNCING || n[i].st == READY) && M_VIEW(taken) == n[i].view ->
        assert(M_N(taken) == n[i].closed + 1); /* no gap */
        n[i].closed = M_N(taken); n[i].hist = n[i].hist | (M_IDS(taken) << (2 * (M_N(taken) - 1)));
        n[i].rel = MAX(n[i].rel, M_REL(taken));
        consider_ready()
    :: M_TYPE(taken) == HOLD && n[i].st == SYNCING && M_VIEW(taken) == n[i].view ->
        n[i].hold = M_N(taken); n[i].holdknown = 1; consider_ready()
    :: M_TYPE(taken) == TELL && PRIMARY(n[i].st) && M_VIEW(taken) == n[i].view && !n[i].cut ->
        if
        :: n[i].step == BASE && M_ST(taken) == SYNCING -> n[i].step = CAUGHT
        :: n[i].step == SWITCHED && M_ST(taken) == READY && M_N(taken) >= n[i].hold -> n[i].step = REACHED
        :: else
        fi;
        if
        :: n[i].st == HOLDS && M_ST(taken) == READY -> n[i].pc = MAX(n[i].pc, M_N(taken))
        :: else
        fi
    :: else
    fi;
    taken = 0
}

/* An output reaches the world. */
inline emit() {
    assert(ID(seenmask, k) == 0 || ID(seen, k) == id); /* nothing seen is contradicted */
    if
    :: left1 & (1 << (k - 1)) ->
#ifdef GATE
        assert(false);                                  /* G4: with a gate, never twice */
#else
        assert(!(left2 & (1 << (k - 1))));              /* G4: at most twice … */
        assert(tails & (1 << (k - 1)));                 /* G4: … and of the tail alone */
        left2 = left2 | (1 << (k - 1))
#endif
    :: else -> left1 = left1 | (1 << (k - 1))
    fi;
    seen = (seen & ~(3 << (2 * (k - 1)))) | (id << (2 * (k - 1)));
    seenmask = seenmask | (3 << (2 * (k - 1)))
}

#ifdef BUG_EARLY
#define STABLE n[i].closed
#else
#define STABLE n[i].pc
#endif
#ifdef GATE
#define LEASED true
#else
#define LEASED (n[i].lease <= LEASE)
#endif
#define MAY_RELEASE                                                                                                   \
    (n[i].out == 0 && n[i].rel < n[i].closed &&                                                                       \
     (n[i].st == SOLO || (n[i].st == HOLDS && n[i].step == NONE && LEASED && n[i].rel < STABLE)))

inline check_release() {
#ifndef GATE
    assert(n[i].view == aview);                                                         /* G5 */
#endif
    assert(n[i].st != SOLO || n[i].view != aview || !aready);                           /* G1: SOLO is announced */
    assert(n[i].st == SOLO || ID(acked, n[i].rel + 1) == ID(n[i].hist, n[i].rel + 1));  /* G1: stable */
    n[i].out = n[i].rel + 1; n[i].outid = ID(n[i].hist, n[i].rel + 1); n[i].outview = n[i].view
}
inline arrived() { n[i].out = 0; n[i].outid = 0; n[i].outview = 0; k = 0; id = 0 }

#ifdef BUG_HALF
#define COMPLETE (n[i].st == READY || n[i].st == SYNCING)
#else
#define COMPLETE (n[i].st == READY)
#endif
#ifdef GATE
#define SILENT true
#else
#define SILENT (asilent >= GRANT)
#endif
/* Before its standby counts: outputs from before the snapshot are in no record, so no successor could send them. */
#if defined(GATE) && !defined(BUG_CUT)
#define SNAPSHOT_LEFT (n[i].rel >= n[i].hold)
#else
#define SNAPSHOT_LEFT true
#endif

/* The arbiter gives the view to i. */
inline grant() {
    if
    :: aview == VIEWS -> over = 1
    :: else ->
        aview++; aholder = i; aready = 0; asilent = 0;
        n[i].view = aview; n[i].lease = NEVER; n[i].st = SOLO; n[i].step = NONE; n[i].pc = 0; n[i].cut = 0;
        n[i].renew = 0; n[i].renewed = 0
    fi
}

proctype node(bit i)
{
    do
    :: d_step { RUNS && q[i].size > 0 -> hear() }
    :: d_step { RUNS && link && ROOMY && (n[i].st == SYNCING || n[i].st == READY) && q[J].size == 0 ->
#ifdef BUG_ACK
        num = MIN(n[i].closed + 1, BURSTS);
#else
        num = n[i].closed;
#endif
        say(TELL) }
    :: d_step { RUNS && link && ROOMY && PRIMARY(n[i].st) && n[i].step != NONE && !n[i].cut && n[i].lsent < n[i].closed ->
        n[i].lsent++; num = n[i].lsent; ids = ID(n[i].hist, n[i].lsent); say(LOG) }
    :: d_step { RUNS && link && ROOMY && n[i].st == HOLDS && n[i].step == NONE && !n[i].cut && n[i].lsent < n[i].closed ->
        n[i].lsent++; num = n[i].lsent; ids = ID(n[i].hist, n[i].lsent); say(LOG) }
    /* ---- resync */
    :: d_step { RUNS && link && ROOMY && n[i].st == SOLO && n[i].step == NONE ->
        n[i].step = BASE; n[i].cut = 0; n[i].hold = n[i].closed; n[i].lsent = n[i].closed; n[i].pc = 0;
        num = n[i].closed; ids = n[i].hist; say(BEGIN) }
    :: d_step { RUNS && link && ROOMY && n[i].st == SOLO && n[i].step == CAUGHT && !n[i].cut && n[i].out == 0 && SNAPSHOT_LEFT ->
        n[i].st = HOLDS; n[i].step = SWITCHED; n[i].hold = n[i].closed; num = n[i].hold; say(HOLD) }
    /* ---- what is asked of the arbiter */
    :: d_step { RUNS && n[i].st == HOLDS && n[i].step == REACHED && aview == n[i].view -> /* the standby may be promoted */
        aready = 1; n[i].step = NONE; n[i].hold = 0 }
    :: d_step { RUNS && faults > 0 && n[i].st == HOLDS && aview == n[i].view -> /* it may not: we go on alone */
#ifndef BUG_UNANNOUNCED
        aready = 0;
#endif
        n[i].st = SOLO; n[i].step = NONE; n[i].hold = 0; n[i].pc = 0; n[i].lsent = 0 }
    :: d_step { RUNS && faults > 0 && n[i].st == SOLO && n[i].step != NONE -> n[i].step = NONE; n[i].hold = 0; n[i].lsent = 0 }
    :: d_step { RUNS && PRIMARY(n[i].st) && aview > n[i].view -> again(i); n[i].view = aview } /* fenced */
    :: d_step { RUNS && aready && aholder != i && aview == n[i].view && COMPLETE && SILENT -> /* takeover */
        assert(((n[i].hist ^ seen) & seenmask) == 0); /* nothing seen is contradicted */
#ifdef GATE
        assert((((1 << n[i].rel) - 1) & ~passed) == 0); /* G3: what is thought to have left has left */
#endif
        tails = tails | (((1 << n[i].closed) - 1) & ~((1 << n[i].rel) - 1));
#ifdef BUG_TAIL
        n[i].rel = 0;
#endif
#ifdef SEE_TAKEOVER
        assert(n[i].rel == n[i].closed);
#endif
        grant();
#ifdef BUG_CLOCK
        clock = n[i].closed
#endif
        }
    :: d_step { RUNS && n[i].st == JOINING &&
        (aview == 0 || (aholder == i && !aready && n[J].st < READY) || (n[J].alive && n[J].st == JOINING)) ->
        /* the first start, or all state is lost */
        assert(!(n[J].alive && n[J].view == aview && (PRIMARY(n[J].st) || (n[J].st == READY && aready))));
        again(i);
        grant();
        seen = 0; seenmask = 0; left1 = 0; left2 = 0; tails = 0; acked = 0;
#ifdef GATE
        clock = 0; stamped = 0; passed = 0
#endif
        }
#ifndef GATE
    :: d_step { RUNS && PRIMARY(n[i].st) && n[i].renew == 0 && n[i].view == aview -> n[i].renew = 1; n[i].renewed = 0 }
    :: d_step { !over && n[i].renew == 1 ->
        if
        :: aholder == i && PRIMARY(n[i].st) && n[i].view == aview -> asilent = 0; n[i].renew = 2
        :: else -> n[i].renew = 0; n[i].renewed = 0
        fi }
    :: d_step { RUNS && n[i].renew == 2 ->
#ifdef BUG_HEARD
        n[i].lease = 0;
#else
        n[i].lease = MIN(n[i].lease, n[i].renewed);
#endif
        n[i].renew = 0; n[i].renewed = 0 }
#endif
    /* ---- the lane */
    :: d_step { RUNS && PRIMARY(n[i].st) && n[i].closed < BURSTS ->
        n[i].closed++; n[i].hist = n[i].hist | (n[i].view << (2 * (n[i].closed - 1)));
#ifdef GATE
        if
        :: n[i].closed > clock -> /* a new packet gets the next clock */
            assert(clock == stamped); /* G3: one that names no other packet, which would be lost */
            clock++;
            stamped = clock
        :: else /* it kept this one */
        fi
#endif
        }
#ifdef GATE
    :: d_step { RUNS && MAY_RELEASE && aview >= n[i].view ->
        check_release();
#ifdef BUG_SENT
        n[i].rel++
#endif
        }
    :: d_step { !over && n[i].out -> /* it reaches the gate, long after perhaps */
        k = n[i].out; id = n[i].outid;
#ifndef BUG_VIEW
        if
        :: n[i].outview == aview
#else
        if
        :: true
#endif
            ->
            assert(n[i].outview == aview); /* G5 */
#ifndef BUG_TWICE
            if
            :: passed & (1 << (k - 1))
            :: else -> emit(); passed = passed | (1 << (k - 1))
            fi;
#else
            emit(); passed = passed | (1 << (k - 1));
#endif
#ifndef BUG_SENT
            if
            :: n[i].alive && n[i].view == n[i].outview && PRIMARY(n[i].st) && n[i].rel == k - 1 -> n[i].rel = k
            :: else
            fi
#endif
        :: else
        fi;
        arrived() }
#else
    :: d_step { RUNS && MAY_RELEASE ->
        check_release(); n[i].rel++; k = n[i].out; id = n[i].outid; emit(); arrived() }
    :: d_step { RUNS && MAY_RELEASE && faults < FAULTS -> /* paused between the check and the send */
        check_release(); n[i].rel++; n[i].paused = 1; faults++ }
#endif
    /* ---- faults */
    :: d_step { RUNS && faults < FAULTS -> n[i].paused = 1; faults++ }
    :: d_step { n[i].paused && !over ->
        n[i].paused = 0;
#ifndef GATE
        if
        :: n[i].out ->
            if
            :: n[i].outview < aview -> assert(!(late & (1 << n[i].outview))); late = late | (1 << n[i].outview) /* G5 */
            :: else
            fi;
            k = n[i].out; id = n[i].outid; emit(); arrived()
        :: else
        fi
#endif
        }
    :: d_step { n[i].alive && !over && faults < FAULTS ->
        faults++;
        again(i);
#ifndef GATE
        arrived(); /* what is on its way to a gate arrives all the same */
#endif
        n[i].alive = 0; n[i].paused = 0; n[i].renew = 0; n[i].renewed = 0;
        link = 0;
        q[i].size = 0; q[i].m[0] = 0; q[i].m[1] = 0 }
    :: d_step { !n[i].alive && !over && q[J].size == 0 -> n[i].alive = 1 }
    od
}

inline tick(x) {
    n[x].lease = OLDER(n[x].lease, LEASE);
    if
    :: n[x].renew -> n[x].renewed = OLDER(n[x].renewed, LEASE)
    :: else
    fi
}
inline apart(x) {
    if
    :: PRIMARY(n[x].st) -> n[x].cut = 1
    :: n[x].st == SYNCING -> again(x)
    :: else
    fi
}

active proctype world()
{
    atomic {
        n[0].alive = 1; n[1].alive = 1; n[0].lease = NEVER; n[1].lease = NEVER;
        run node(0);
        run node(1)
    };
    do
#ifndef GATE
    :: d_step { !over -> tick(0); tick(1); asilent = OLDER(asilent, GRANT) }
#endif
    :: d_step { !over && link && faults < FAULTS -> /* the link breaks, with all that is under way */
        faults++; link = 0;
        q[0].size = 0; q[0].m[0] = 0; q[0].m[1] = 0; q[1].size = 0; q[1].m[0] = 0; q[1].m[1] = 0 }
    :: d_step { !over && !link && n[0].alive && n[1].alive && !n[0].paused && !n[1].paused && q[0].size + q[1].size == 0 ->
        link = 1; apart(0); apart(1) }
    od
}
