/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two nodes without an arbiter: takeover, fencing and output commit as ftcore/core*.c has them, for spin to search
 * exhaustively. docs/testing.md says which line here is which function there, what is left out, and why.
 *
 * G1 to G5 in comments are promises of docs/guarantees.md.
 *
 *   -DSTRICT     strict: true; silences as long as they like
 *   (without)    strict: false; ticks wait where the other would be thought dead for silence alone
 *   -DPARTITION  strict: false without that promise: spin must find the split
 *   -DPORTS_ONLY … with it for the heartbeats on data ports alone, which carry no view: the same
 *   -DBUG_...    a mistake that spin must find
 *   -DSEE_...    a thing that must be able to happen; spin must find it
 *
 * Each node's moves are one proctype, the world's (time, death, the network) another. Time is ticks: ages that
 * saturate, of which only the order LEASE < DETECT <= PROMOTE < ALONE counts.
 */
#ifndef BURSTS
#define BURSTS 2 /* at most 3 */
#endif
#ifndef VIEWS
#define VIEWS 3 /* at most 3; a run ends where a later one would begin */
#endif
#ifndef FAULTS
#define FAULTS 2 /* of any kind: death, pause, broken connection, silence, garbage, divergence, deadline, operator */
#endif
#ifndef HANDOVERS
#define HANDOVERS 0
#endif
#ifndef ROOM
#define ROOM 1 /* messages under way, each direction; at most 2 */
#endif

#ifdef BUG_LEASE
#define LEASE 2 /* may release while the answered message is at most that old */
#else
#define LEASE 1
#endif
#define DETECT  2 /* the other is thought dead after that much silence */
#ifdef BUG_RIGHT
#define PROMOTE 5
#else
#define PROMOTE 2 /* may promote itself while its answered message is at most that old */
#endif
#define ALONE   3 /* goes SOLO after that much silence */
#define NEVER   (PROMOTE + 1)

#ifdef STRICT
#define IS_STRICT 1
#else
#define IS_STRICT 0
#endif

/* enum ft_state */
#define JOINING   0
#define SYNCING   1
#define READY     2
#define SOLO      3
#define PROTECTED 4
#define DEGRADED  5
#define FENCED    6 /* handed over, waiting to know; other fencing is over within a step */
/* enum ft_gate */
#define SHUT    0
#define GUARDED 1
#define OPEN    2 /* FT_GATE_SOLO */
/* enum ft_resync; CUT is over at once */
#define NONE    0
#define BASE    1
#define CATCHUP 2
#define SWITCH  3
#define HOLD    4
/* enum ft_message_type. HELLO, ACK, STEER, STEERED, ASK: see docs/testing.md */
#define HEARTBEAT       1
#define LOG        2
#define SNAPSHOT_BEGIN 3
#define SNAPSHOT_END   4
#define HOLDING    5
#define HANDOVER   6
#define ABANDON    7
#define ABANDONED  8
/* how a connection ends */
#define EOF_   1
#define ERROR_ 2

/* A message is one int. */
#define M_TYPE(m) ((m) & 15)
#define M_ST(m)   (((m) >> 4) & 7)
#define M_VIEW(m) (((m) >> 7) & 7)
#define M_SENT(m) (((m) >> 10) & 7)
#define M_ECHO(m) (((m) >> 13) & 7)
#define M_N(m)    (((m) >> 16) & 3)
#define M_IDS(m)  (((m) >> 18) & 63)
#define M_REL(m)  (((m) >> 24) & 3)
#define M_FORGOT(m) (((m) >> 26) & 1)
#define M_ACK(m)    (((m) >> 27) & 1)
#define FORGOT_BIT  (1 << 26)
/* One tick older. What can only serve a lease is NEVER once it is older than one; the rest serves the standby's right. */
#define OLDER(age, most) ((age) >= (most) -> NEVER : (age) + 1)
#define OF_PRIMARY(m) (M_ST(m) >= SOLO)
#define AGED(m)                                                                                                       \
    (((m) & ~(63 << 10)) | (OLDER(M_SENT(m), (OF_PRIMARY(m) -> LEASE : PROMOTE)) << 10) |                             \
     (OLDER(M_ECHO(m), (OF_PRIMARY(m) -> PROMOTE : LEASE)) << 13))

#define MIN(a, b) ((a) < (b) -> (a) : (b))
#define MAX(a, b) ((a) > (b) -> (a) : (b))
#define PRIMARY(s) ((s) >= SOLO && (s) <= DEGRADED)

/* A state is its history: two bits a burst, the view that made it. */
#define ID(h, k)   (((h) >> (2 * ((k) - 1))) & 3)
#define UPTO(h, n) ((h) & ((1 << (2 * (n))) - 1))

typedef Node {
    unsigned st : 3; unsigned gate : 2; unsigned res : 3; unsigned view : 3;
    unsigned closed : 2;    /* primary: bursts closed; standby: the closed set */
    unsigned rel : 2;       /* outputs that left; standby: as records said */
    unsigned pc : 2;        /* primary: peer_closed */
    unsigned lsent : 2;     /* primary: last record sent */
    unsigned hold : 2;      /* H */
    unsigned final : 2;     /* burst of HANDOVER */
    unsigned hist : 6;
    unsigned lease : 3; unsigned quiet : 3; unsigned right : 3; unsigned newest : 3; /* ages */
    unsigned slept : 2;
    unsigned armed : 2;     /* paused between its lease check and the send of this burst; its id below */
    unsigned armid : 2;
    unsigned pv : 3;        /* peer.view */
    unsigned disk : 3;      /* the view that is on the disk for certain; any up to its own may be */
    bit unsettled;
    unsigned fin : 2;       /* its connection ends behind what is under way */
    bit alive; bit paused; bit conn; bit known; bit pj; /* peer.state is JOINING */
    bit first;              /* has said nothing on this connection yet */
    bit fresh;              /* heard something it has not echoed */
    bit newinc;             /* the peer's process is not the one it knew */
    bit word;               /* a death notice is under way to it */
    bit cut;                /* cut_off */
    bit aband; bit logging;
    bit forgot;             /* has heard the newest SNAPSHOT_BEGIN */
    bit whole; bit holdknown; bit taking;
};
typedef Pipe { int m[2]; unsigned size : 2; };

Node n[2];
Pipe q[2]; /* towards that node */
byte faults, handovers;
bit silent; /* what is said may take long */
bit over; /* a view beyond the bound: no further */

/* What the world has seen. */
unsigned reign : 3;   /* highest view in which anybody reigned */
unsigned seen : 6;    /* ids of the bursts whose outputs left … */
unsigned seenmask : 6;
unsigned left1 : 3;   /* … once, */
unsigned left2 : 3;   /* … twice */
unsigned tails : 3;   /* bursts that were in the tail of a takeover: kept, and not known to have left */
unsigned acked : 6;   /* what a READY standby held when it last said so */
unsigned late : 4;    /* views whose primary, paused, has sent after a new one began */

hidden int m, taken;
hidden byte go, same, k, id, num, ids, next;

#define J (1 - i)

inline put() {
    if
    :: n[J].conn && n[J].fin == 0 && q[J].size < ROOM -> q[J].m[q[J].size] = m; q[J].size++
    :: else
    fi
}

/* ft_core_head. Every message of a standby is an ACK too, once its snapshot is whole. */
inline say(type) {
    m = type | (n[i].st << 4) | (n[i].view << 7) | (num << 16) | (ids << 18) |
        ((type == LOG -> MIN(n[i].rel, num - 1) : 0) << 24) | (n[i].forgot << 26);
    /* ages that nobody can ever use are NEVER: fewer states, the same behaviour */
    m = m | ((n[i].gate == GUARDED || n[i].whole -> 0 : NEVER) << 10);
    m = m | ((n[i].gate == GUARDED || n[i].aband || n[i].st == FENCED || n[i].st == READY -> n[i].newest : NEVER) << 13);
    if
    :: n[i].whole && !PRIMARY(n[i].st) ->
        m = (m & ~(3 << 16)) | (1 << 27);
#ifdef BUG_ACK
        m = m | (MIN(n[i].closed + 1, BURSTS) << 16);
#else
        m = m | (n[i].closed << 16);
#endif
        if
        :: n[i].st == READY -> acked = UPTO(n[i].hist, n[i].closed)
        :: else
        fi
    :: else
    fi;
    put();
    num = 0; ids = 0;
    n[i].first = 0;
    if
    :: n[i].fresh ->
        n[i].fresh = 0;
#ifndef HEARD_ONLY
        n[i].quiet = 0 /* `answered` */
#else
        skip
#endif
    :: else
    fi
}

/* ft_primary_alone */
inline alone() {
    n[i].cut = 0; n[i].lease = NEVER; n[i].unsettled = 0;
    if
    :: IS_STRICT -> n[i].gate = SHUT; n[i].st = DEGRADED
    :: else -> n[i].gate = OPEN;
#ifndef BUG_UNANNOUNCED
        n[i].st = SOLO
#else
        n[i].st = DEGRADED
#endif
    fi
}

/* ft_join_again */
inline again() {
    n[i].st = JOINING; n[i].gate = SHUT; n[i].res = NONE; n[i].cut = 0; n[i].aband = 0; n[i].logging = 0;
    n[i].whole = 0; n[i].holdknown = 0; n[i].taking = 0; n[i].lease = NEVER; n[i].unsettled = 0;
    n[i].closed = 0; n[i].rel = 0; n[i].pc = 0; n[i].lsent = 0; n[i].hold = 0; n[i].final = 0; n[i].hist = 0
}

inline fence() { again(); n[i].view = M_VIEW(taken) }

inline close() {
    n[i].conn = 0; n[i].known = 0;
    q[i].size = 0; q[i].m[0] = 0; q[i].m[1] = 0; n[i].fin = 0;
    if
    :: n[J].conn && n[J].fin == 0 -> n[J].fin = EOF_
    :: else
    fi
}

inline begin_view() {
    if
    :: next > VIEWS -> over = 1
    :: else -> n[i].view = next; reign = MAX(reign, next)
    fi
}

/* promote_standby of protocol/standby.c */
inline promote(planned) {
    next = MAX(n[i].pv, n[i].view) + 1;
    begin_view();
    assert(over || n[i].whole);                                 /* not on half a snapshot */
    assert(over || ((n[i].hist ^ seen) & seenmask) == 0);       /* nothing seen is contradicted */
    tails = tails | (((1 << n[i].closed) - 1) & ~((1 << n[i].rel) - 1));
#ifdef BUG_TAIL
    n[i].rel = 0;
#endif
    n[i].taking = 0; n[i].whole = 0; n[i].holdknown = 0; n[i].pc = 0; n[i].hold = 0; n[i].final = 0; n[i].forgot = 0;
    if
#ifndef BUG_HANDOVER_FORGOTTEN
    :: planned && !IS_STRICT && n[i].disk < n[i].view -> /* settle, protocol/standby.c */
        n[i].cut = 0; n[i].lease = NEVER; n[i].gate = SHUT; n[i].st = DEGRADED; n[i].unsettled = 1
#endif
    :: else -> alone()
    fi;
#ifdef SEE_TAKEOVER
    assert(n[i].closed < 2 || reign < 2);
#endif
    if
    :: n[i].conn -> say(HEARTBEAT)
    :: else
    fi
}

/* begin_alone. Its view is on the disk before it begins. */
#define NEXT_VIEW ((n[i].known -> MAX(n[i].pv, n[i].view) : n[i].view) + 1)
inline begin_alone() {
    next = NEXT_VIEW;
    begin_view();
    reign = (over -> reign : next); /* what anybody did before is forgotten, or no state of it is left */
#ifndef BUG_START_FORGOTTEN
    n[i].disk = n[i].view;
#endif
    assert(over || !n[J].alive || n[J].st < READY); /* never beside one that holds state */
    seen = 0; seenmask = 0; left1 = 0; left2 = 0; tails = 0; acked = 0;
    alone()
}
#define MAY_BEGIN                                                                                                     \
    (n[i].st == JOINING &&                                                                                            \
     ((n[i].known && n[i].pj && (n[i].view > n[i].pv || (n[i].view == n[i].pv && i == 0))) ||                         \
      (!n[i].known && i == 0 && n[i].view == 0)))

#define RIGHT (n[i].right <= PROMOTE)

/* ft_standby_receive */
inline hears() {
    if
    :: M_ST(taken) == SOLO && (n[i].st == READY || (n[i].st == SYNCING && n[i].holdknown)) -> again()
    :: M_ST(taken) == JOINING && n[i].st == READY && RIGHT -> promote(0)
    :: else
    fi
}

inline no_snapshot() { n[i].logging = 0 }
inline resync_end() {
    if
    :: n[i].res != NONE -> n[i].res = NONE; no_snapshot()
    :: else
    fi
}
inline cut_off() { n[i].cut = 1; n[i].lease = NEVER; n[i].st = DEGRADED }

/* ft_primary_powerless */
inline powerless() {
    if
    :: M_ST(taken) == JOINING || ((n[i].res == BASE || n[i].res == CATCHUP) && M_ST(taken) == SYNCING && M_FORGOT(taken)) ->
        if
        :: M_ST(taken) == JOINING && (n[i].res >= SWITCH || (n[i].res != NONE && M_FORGOT(taken))) -> resync_end()
        :: M_ST(taken) == JOINING && n[i].gate == GUARDED && n[i].res == NONE -> no_snapshot()
        :: else
        fi;
        if
        :: n[i].gate == GUARDED || (n[i].st == DEGRADED && !IS_STRICT) -> alone()
        :: else
        fi
    :: else
    fi
}

/* resume_as_primary of protocol/primary.c */
inline resume_as_primary() {
    next = n[i].view + 2;
    begin_view();
    assert(over || ((n[i].hist ^ seen) & seenmask) == 0);
#ifdef SEE_RESUME
    assert(over);
#endif
    no_snapshot();
    alone()
}

/* accept_peer of protocol/join.c */
inline accept_peer() {
    same = !n[i].newinc;
    n[i].known = 1; n[i].newinc = 0; n[i].quiet = 0; n[i].newest = M_SENT(taken); n[i].fresh = !PRIMARY(n[i].st);
    n[i].pv = M_VIEW(taken); n[i].pj = (M_ST(taken) == JOINING);
    if
    :: !same -> n[i].word = 0
    :: else
    fi;
    if
    :: n[i].st == READY && !same ->
        if
        :: RIGHT -> promote(0)
        :: else -> again()
        fi
    :: n[i].st == FENCED ->
        if
        :: M_VIEW(taken) > n[i].view -> fence()
        :: M_VIEW(taken) <= n[i].view && M_ST(taken) == READY && same -> say(ABANDON)
        :: M_VIEW(taken) <= n[i].view && M_ST(taken) == JOINING -> resume_as_primary()
        :: else
        fi
    :: !PRIMARY(n[i].st) && n[i].st != FENCED && !(n[i].st == READY && !same) -> hears()
    :: PRIMARY(n[i].st) && !PRIMARY(M_ST(taken)) ->
        if
        :: M_VIEW(taken) > n[i].view -> fence()
        :: else -> powerless()
        fi
    :: PRIMARY(n[i].st) && PRIMARY(M_ST(taken)) ->
        if
        :: M_VIEW(taken) > n[i].view || (M_VIEW(taken) == n[i].view && i == 1) -> fence()
        :: else
        fi
    fi
}

inline close_abandoned() { n[i].aband = 0; close(); no_snapshot(); alone() }

/* ft_resync_ack; the switch begins with it */
inline take_ack() {
    if
    :: M_ACK(taken) && n[i].res != BASE && M_FORGOT(taken) && !n[i].cut && (n[i].res != NONE || n[i].gate == GUARDED) &&
        !((n[i].res == CATCHUP || n[i].res == SWITCH) && M_ST(taken) != SYNCING) ->
        n[i].pc = MAX(n[i].pc, M_N(taken));
        if
        :: n[i].res == CATCHUP ->
            n[i].res = SWITCH; n[i].lease = NEVER; n[i].cut = 0; n[i].gate = GUARDED; n[i].st = DEGRADED;
            n[i].unsettled = 0
        :: else
        fi
    :: else
    fi
}

/* consider_ready of protocol/primary.c */
inline take_ready() {
    if
    :: n[i].res == HOLD && n[i].pc >= n[i].hold -> n[i].res = NONE; n[i].hold = 0
    :: else
    fi;
    if
    :: n[i].gate == GUARDED && !n[i].cut && n[i].res == NONE ->
#ifdef BUG_HEARD
        n[i].lease = 0;
#else
        n[i].lease = MIN(n[i].lease, M_ECHO(taken));
#endif
        if
        :: n[i].lease <= LEASE -> n[i].st = PROTECTED
        :: else
        fi
    :: else
    fi
}

/* ft_primary_message */
inline primary_message() {
    if
    :: n[i].aband ->
        if
        :: M_TYPE(taken) == ABANDONED || M_ST(taken) == JOINING -> close_abandoned()
        :: else
        fi
    :: else ->
        take_ack();
        if
        :: M_ST(taken) == READY -> take_ready()
        :: else -> powerless()
        fi
    fi
}

inline consider_ready() {
    if
    :: n[i].st == SYNCING && n[i].whole && n[i].holdknown && n[i].closed >= n[i].hold -> n[i].st = READY
    :: else
    fi
}
inline consider_taking() {
    if
    :: n[i].taking && n[i].st == READY && RIGHT && n[i].closed >= n[i].final -> promote(1)
    :: else
    fi
}

/* ft_standby_message, and the receiver's part of LOG and BASE */
inline standby_message() {
    if
    :: M_TYPE(taken) == SNAPSHOT_BEGIN && (M_ST(taken) == SOLO || M_ST(taken) == DEGRADED) ->
        again();
        n[i].forgot = M_FORGOT(taken);
        n[i].closed = M_N(taken); n[i].rel = M_N(taken); n[i].hist = M_IDS(taken); n[i].st = SYNCING
    :: M_TYPE(taken) == SNAPSHOT_END && n[i].st == SYNCING -> n[i].whole = 1
    :: M_TYPE(taken) == HOLDING && n[i].st == SYNCING ->
        n[i].hold = M_N(taken); n[i].holdknown = 1; consider_ready()
    :: M_TYPE(taken) == LOG && (n[i].st == SYNCING || n[i].st == READY) && M_VIEW(taken) == n[i].view ->
        assert(M_N(taken) == n[i].closed + 1); /* no gap */
        n[i].closed = M_N(taken); n[i].hist = n[i].hist | (M_IDS(taken) << (2 * (M_N(taken) - 1)));
        n[i].rel = MAX(n[i].rel, M_REL(taken));
        consider_ready(); consider_taking()
    :: M_TYPE(taken) == HANDOVER && n[i].st == READY ->
        n[i].taking = 1; n[i].final = M_N(taken); consider_taking()
    :: M_TYPE(taken) == ABANDON ->
        again(); say(ABANDONED); close()
    :: else
    fi
}

inline dispatch() {
    if
    :: n[i].st == FENCED ->
        if
        :: M_ST(taken) == JOINING -> resume_as_primary()
        :: else
        fi
    :: PRIMARY(n[i].st) -> primary_message()
    :: else -> standby_message()
    fi
}

/* take_head and message of core.c */
inline take() {
    if
    :: n[i].aband
    :: else -> n[i].quiet = 0
    fi;
    n[i].newest = MIN(n[i].newest, M_SENT(taken)); n[i].fresh = !PRIMARY(n[i].st);
    n[i].pv = M_VIEW(taken); n[i].pj = (M_ST(taken) == JOINING);
    n[i].right = MIN(n[i].right, M_ECHO(taken));
    go = 1;
    if
#ifndef BUG_FENCE
    :: M_VIEW(taken) > n[i].view && (PRIMARY(n[i].st) || n[i].st == FENCED) -> fence()
#else
    :: M_VIEW(taken) > n[i].view && (PRIMARY(n[i].st) || n[i].st == FENCED) -> go = 0
#endif
    :: !PRIMARY(M_ST(taken)) && !(M_VIEW(taken) > n[i].view && (PRIMARY(n[i].st) || n[i].st == FENCED)) -> hears()
    :: PRIMARY(M_ST(taken)) && M_VIEW(taken) < n[i].view -> go = 0
    :: else ->
        if
        :: M_VIEW(taken) > n[i].view ->
            if
            :: n[i].st == READY || n[i].st == SYNCING -> again()
            :: else
            fi;
            n[i].view = M_VIEW(taken)
        :: else
        fi;
        if
        :: M_TYPE(taken) != SNAPSHOT_BEGIN -> hears()
        :: else
        fi
    fi;
    if
    :: go -> dispatch()
    :: else
    fi
}

/* ft_join_consider, and what no longer matters is set to one value */
inline settle() {
    if
    :: n[i].known && MAY_BEGIN -> begin_alone()
    :: else
    fi;
    if
    :: n[i].st == READY
    :: else ->
        n[i].right = NEVER;
        if
        :: !PRIMARY(n[i].st) && n[i].st != FENCED -> n[i].newest = NEVER; n[i].quiet = 0
        :: else ->
            n[i].fresh = 0;
            if
            :: n[i].st == SOLO || (IS_STRICT && !n[i].aband) || n[i].st == FENCED -> n[i].quiet = 0
            :: else
            fi;
            if
            :: n[i].gate != GUARDED && !n[i].aband && n[i].st != FENCED -> n[i].newest = NEVER
            :: else
            fi
        fi
    fi;
    if
    :: n[i].st != JOINING -> n[i].pj = 0
    :: else
    fi;
    if
    :: n[i].pv <= n[i].view && !n[i].pj -> n[i].pv = 0
    :: else
    fi;
    m = 0; go = 0; same = 0; next = 0
}

/* ft_standby_lost, ft_primary_lost, lost of core.c */
inline gone() {
    if
    :: n[i].st == FENCED
    :: PRIMARY(n[i].st) && n[i].aband ->
        n[i].aband = 0;
        if
        :: go && n[i].lease <= LEASE -> alone()
        :: else -> n[i].lease = NEVER
        fi
    :: PRIMARY(n[i].st) && !n[i].aband ->
        same = (n[i].res == SWITCH);
        if
        :: n[i].res != NONE -> resync_end()
        :: n[i].res == NONE && n[i].gate == GUARDED ->
#ifndef BUG_GAP
            no_snapshot()
#else
            skip
#endif
        :: else
        fi;
        if
        :: n[i].gate == OPEN
        :: n[i].gate != OPEN && ((n[i].gate == GUARDED && n[i].lease <= LEASE && go) || (n[i].unsettled && go) || same) ->
            alone()
        :: n[i].gate == GUARDED && !((n[i].lease <= LEASE && go) || same) ->
#ifndef BUG_GAP
            n[i].cut = 1;
#endif
            n[i].st = DEGRADED
        :: else
        fi
    :: n[i].st == READY && RIGHT ->
        if
        :: go -> promote(0)
        :: else
        fi
    :: else -> again()
    fi
}
inline loses() {
    go = n[i].known && n[i].fin == EOF_; /* certain */
    n[i].conn = 0; n[i].known = 0; n[i].fin = 0; n[i].pj = 0;
    gone()
}

/* An output leaves. */
inline emit() {
    assert(ID(seenmask, k) == 0 || ID(seen, k) == id); /* nothing seen is contradicted */
    if
    :: left1 & (1 << (k - 1)) ->
        assert(!(left2 & (1 << (k - 1))));              /* G4: at most twice … */
        assert(tails & (1 << (k - 1)));                 /* G4: … and of the tail alone */
        left2 = left2 | (1 << (k - 1));
#ifdef SEE_TWICE
        assert(false);
#endif
    :: else -> left1 = left1 | (1 << (k - 1))
    fi;
    seen = (seen & ~(3 << (2 * (k - 1)))) | (id << (2 * (k - 1)));
    seenmask = seenmask | (3 << (2 * (k - 1)));
    k = 0; id = 0
}

/* What the lane looks at just before it sends: release in the lane's turn. */
#define MAY_RELEASE                                                                                                   \
    (PRIMARY(n[i].st) && n[i].rel < n[i].closed &&                                                                    \
     (n[i].gate == OPEN || (n[i].gate == GUARDED && n[i].lease <= LEASE && n[i].rel < STABLE)))
#ifdef BUG_EARLY
#define STABLE n[i].closed
#else
#define STABLE n[i].pc
#endif

inline check_release() {
    assert(n[i].view == reign); /* G5: no check passes after another view has begun */
    assert(n[i].gate != OPEN || (n[i].st == SOLO && !IS_STRICT)); /* G1: SOLO is announced, never strict */
    assert(n[i].gate != OPEN || !(n[J].alive && n[J].st == READY && n[J].right <= PROMOTE)); /* the other's right is over */
    assert(n[i].gate == OPEN || ID(acked, n[i].rel + 1) == ID(n[i].hist, n[i].rel + 1))      /* G1: stable */
}

#define RUNS (n[i].alive && !n[i].paused && !over)
#define ROOMY (q[J].size < ROOM)

/* Of a dead node `view` is its file. What was not on the disk is forgotten; a view that nobody knows has not been. */
inline forgets(x) {
    n[x].view--;
    reign = (reign > n[x].view && reign > n[1 - (x)].view -> MAX(n[x].view, n[1 - (x)].view) : reign)
}
/* A death: what is said here is a process's; its machine's when its peer is not told. */
inline dies(x) {
    n[x].unsettled = 0;
    n[x].alive = 0; n[x].paused = 0; n[x].conn = 0; n[x].known = 0; n[x].first = 0; n[x].fresh = 0; n[x].fin = 0;
    n[x].st = 0; n[x].gate = 0; n[x].res = 0; n[x].closed = 0; n[x].rel = 0; n[x].pc = 0; n[x].lsent = 0;
    n[x].hold = 0; n[x].final = 0; n[x].hist = 0; n[x].lease = NEVER; n[x].quiet = 0; n[x].right = NEVER;
    n[x].newest = NEVER; n[x].slept = 0; n[x].armed = 0; n[x].armid = 0; n[x].pv = 0; n[x].pj = 0; n[x].newinc = 1;
    n[x].word = 0; n[x].cut = 0; n[x].aband = 0; n[x].logging = 0; n[x].forgot = 0; n[x].whole = 0;
    n[x].holdknown = 0; n[x].taking = 0;
    q[x].size = 0; q[x].m[0] = 0; q[x].m[1] = 0
}

inline take_first() {
    taken = q[i].m[0];
    q[i].m[0] = q[i].m[1]; q[i].m[1] = 0; q[i].size--;
    if
    :: n[i].known -> take()
    :: else -> accept_peer()
    fi;
    taken = 0
}
proctype node(bit i)
{
    do
    /* ---- what it hears */
    :: d_step { RUNS && q[i].size > 0 && (n[i].st != FENCED || ROOMY || !n[i].conn) ->
        take_first();
        settle() }
    :: d_step { RUNS && n[i].conn && q[i].size == 0 && n[i].fin != 0 -> loses(); settle() }
    :: d_step { RUNS && n[i].word ->
        n[i].word = 0;
        if
        :: PRIMARY(n[i].st) -> close(); n[i].newinc = 1; n[i].pj = 0; go = 1; gone()
        :: n[i].st == READY && RIGHT -> close(); n[i].newinc = 1; n[i].pj = 0; promote(0)
        :: else
        fi;
        settle() }
    /* ---- what it says */
    :: d_step { RUNS && n[i].conn && ROOMY && (n[i].first || q[J].size == 0) -> say(HEARTBEAT); settle() }
    :: d_step { RUNS && n[i].logging && n[i].known && !n[i].first && ROOMY && PRIMARY(n[i].st) && n[i].lsent < n[i].closed ->
        n[i].lsent++; num = n[i].lsent; ids = ID(n[i].hist, n[i].lsent); say(LOG); settle() }
    /* ---- resync: ft_resync_consider with FT_EV_CUT, FT_EV_SNAPSHOT_SENT, FT_EV_HELD, give_up */
    :: d_step { RUNS && PRIMARY(n[i].st) && n[i].res == NONE && (n[i].gate != GUARDED || n[i].cut) && !n[i].aband &&
        n[i].known && !n[i].first && ROOMY ->
        n[i].res = BASE; n[i].pc = 0; n[i].logging = 1; n[i].lsent = n[i].closed;
        n[J].forgot = 0;
        q[i].m[0] = q[i].m[0] & ~FORGOT_BIT; q[i].m[1] = q[i].m[1] & ~FORGOT_BIT;
        n[i].forgot = 1; /* rides along */
        if
        :: n[i].gate == GUARDED -> cut_off()
        :: else
        fi;
        num = n[i].closed; ids = n[i].hist; say(SNAPSHOT_BEGIN);
        n[i].forgot = 0;
        settle() }
    :: d_step { RUNS && n[i].res == BASE && ROOMY -> n[i].res = CATCHUP; say(SNAPSHOT_END); settle() }
    :: d_step { RUNS && n[i].res == SWITCH && ROOMY ->
        n[i].res = HOLD; n[i].hold = n[i].closed; num = n[i].hold; say(HOLDING); settle() }
    :: d_step { RUNS && faults < FAULTS && PRIMARY(n[i].st) && n[i].res != NONE && !n[i].aband -> /* the deadline */
        faults++;
        same = (n[i].res == HOLD || n[i].cut);
        resync_end();
        if
        :: n[i].gate == GUARDED && same -> cut_off()
        :: n[i].gate == GUARDED && !same -> alone()
        :: else
        fi;
        settle() }
    /* ---- time */
    :: d_step { RUNS && n[i].st == PROTECTED && n[i].lease > LEASE -> n[i].st = DEGRADED; settle() }
    :: d_step { RUNS && n[i].st == DEGRADED && !n[i].aband && !IS_STRICT && n[i].quiet >= ALONE ->
        if
        :: n[i].res != NONE -> resync_end()
        :: else -> no_snapshot()
        fi;
        alone(); settle() }
    :: d_step { RUNS && n[i].aband && n[i].quiet >= ALONE -> close_abandoned(); settle() }
    :: d_step { RUNS && n[i].st == READY && !RIGHT -> again(); settle() }
    :: d_step { RUNS && n[i].st == READY && RIGHT && n[i].quiet >= DETECT -> promote(0); settle() }
    :: d_step { RUNS && !n[i].known && MAY_BEGIN -> begin_alone(); settle() }
    /* ---- the disk: FT_EV_STORED */
    :: d_step { RUNS && n[i].unsettled -> n[i].disk = n[i].view; alone(); settle() }
#ifdef BUG_SILENT_RESUME
    :: d_step { RUNS && n[i].st == FENCED -> resume_as_primary(); settle() }
#endif
    /* ---- death and return */
    :: d_step { n[i].alive && !over && faults < FAULTS -> /* the process: its kernel closes, its guardian speaks */
        faults++;
        if
        :: n[J].conn && n[J].fin == 0 -> n[J].fin = EOF_
        :: else
        fi;
        n[J].word = n[J].alive && !n[J].newinc;
        dies(i) }
    :: d_step { n[i].alive && !over && faults < FAULTS -> faults++; dies(i) } /* the machine */
    :: d_step { n[i].alive && !over && faults < FAULTS && q[J].size -> /* … with what it was sending */
        faults++; dies(i); q[J].size = 0; q[J].m[0] = 0; q[J].m[1] = 0 }
    :: d_step { n[i].alive && !over && faults < FAULTS && MAY_BEGIN -> /* with the view that it was about to begin */
        faults++; k = NEXT_VIEW; dies(i); n[i].view = k; n[i].disk = k; k = 0 }
    :: d_step { !n[i].alive && !over && n[i].disk < n[i].view -> forgets(i) }
    :: d_step { !n[i].alive && !over -> n[i].alive = 1; n[i].disk = n[i].view; n[J].newinc = 1 }
    :: d_step { RUNS && n[i].conn && n[i].fin == 0 && n[J].alive && !n[J].conn && n[i].newinc -> n[i].fin = EOF_ } /* reset */
    :: d_step { RUNS && n[i].conn && n[i].fin == 0 && !n[J].conn -> n[i].fin = ERROR_ }
    /* ---- the lane */
    :: d_step { RUNS && PRIMARY(n[i].st) && n[i].closed < BURSTS ->
        n[i].closed++; n[i].hist = n[i].hist | (n[i].view << (2 * (n[i].closed - 1))) }
    :: d_step { RUNS && MAY_RELEASE ->
        check_release(); n[i].rel++; k = n[i].rel; id = ID(n[i].hist, k); emit() }
    :: d_step { RUNS && MAY_RELEASE && faults < FAULTS ->
        check_release(); n[i].rel++;
        n[i].armed = n[i].rel; n[i].armid = ID(n[i].hist, n[i].rel);
        n[i].paused = 1; n[i].slept = 0; faults++ }
    :: d_step { RUNS && faults < FAULTS -> n[i].paused = 1; n[i].slept = 0; faults++ }
    :: d_step { n[i].paused && !over -> /* awake: what was checked before is sent now */
        n[i].paused = 0;
        if
        :: n[i].armed ->
            if
            :: n[i].view < reign -> assert(!(late & (1 << n[i].view))); late = late | (1 << n[i].view) /* G5: one burst at most */
            :: else
            fi;
            k = n[i].armed; id = n[i].armid; emit()
        :: else
        fi;
        n[i].armed = 0; n[i].armid = 0;
        if
#ifndef BUG_AWAKE
        :: n[i].slept > LEASE -> n[i].quiet = 0 /* `awake` of ft_step */
#endif
        :: else
        fi;
        n[i].slept = 0;
        settle() }
    /* ---- planned handover: STEER and DRAIN are behind it */
    :: d_step { RUNS && n[i].st == PROTECTED && n[i].lease <= LEASE && n[i].rel == n[i].closed && n[i].res == NONE &&
        n[i].known && n[i].lsent == n[i].closed && ROOMY && handovers < HANDOVERS ->
        handovers++;
        n[i].lease = NEVER; n[i].gate = SHUT; n[i].st = FENCED; n[i].pc = 0;
        num = n[i].closed; say(HANDOVER); settle() }
    /* ---- upsets */
    :: d_step { RUNS && faults < FAULTS && n[i].conn && n[i].st != FENCED && !n[i].aband &&
        (n[i].known || !PRIMARY(n[i].st) || n[i].gate == OPEN) && /* else a connection that broke */
        (ROOMY || n[i].gate == OPEN) -> /* garbage */
        faults++;
        if
        :: PRIMARY(n[i].st) && n[i].gate != OPEN ->
            n[i].aband = 1; n[i].gate = SHUT; n[i].cut = 0; n[i].quiet = 0; n[i].st = DEGRADED;
            n[i].res = NONE; no_snapshot();
            say(ABANDON)
        :: PRIMARY(n[i].st) && n[i].gate == OPEN -> resync_end(); close(); n[i].pj = 0
        :: else -> again(); close(); n[i].pj = 0
        fi;
        settle() }
    :: d_step { RUNS && faults < FAULTS && (n[i].st == READY || n[i].st == SYNCING) -> /* diverged */
        faults++; again(); settle() }
    :: d_step { RUNS && faults < FAULTS && PRIMARY(n[i].st) && n[i].known && !n[i].aband && n[i].gate == GUARDED -> /* told to resync */
        faults++;
        same = (n[i].res == NONE || n[i].res == HOLD || n[i].cut);
        if
        :: n[i].res != NONE -> resync_end()
        :: else -> no_snapshot()
        fi;
        if
        :: same -> cut_off()
        :: else -> alone()
        fi;
        settle() }
    od
}


#define AGE(x, most) x = ((x) < (most) -> (x) + 1 : (x))

/*
 * Without strict, the promise that silence of the living is shorter than the times that are compared with it: no node
 * that runs is thought dead, and a successor is heard before the one it replaced goes on alone.
 */
#define AWAKE(x) (n[x].alive && !n[x].paused)
#if !defined(STRICT) && !defined(PARTITION)
#define NOT_THOUGHT_DEAD(x)                                                                                           \
    !(n[x].st == READY && AWAKE(x) && n[x].quiet + 1 >= DETECT && AWAKE(1 - (x)) && PRIMARY(n[1 - (x)].st))
#ifdef PORTS_ONLY
#define HEARD(x) NOT_THOUGHT_DEAD(x)
#else
#define HEARD(x)                                                                                                      \
    (NOT_THOUGHT_DEAD(x) &&                                                                                           \
     !((n[x].st == DEGRADED || n[x].st == PROTECTED) && AWAKE(x) && n[x].quiet + 1 >= ALONE &&                        \
       PRIMARY(n[1 - (x)].st) && n[x].pv != n[1 - (x)].view))
#endif
#else
#define HEARD(x) true
#endif

/* Where nothing fails, what is said is heard within a tick, and said often enough. */
#define PROMPT(x)                                                                                                     \
    (!AWAKE(x) || (q[x].size == 0 &&                                                                                  \
    !(n[0].conn && n[1].conn && AWAKE(1 - (x)) &&                                                                     \
      ((n[x].st == PROTECTED && n[x].lease == LEASE && n[1 - (x)].st == READY) ||                                     \
       (n[x].unsettled && n[x].quiet + 1 >= ALONE) ||                                                                 \
       (n[x].st == READY && PRIMARY(n[1 - (x)].st) && (n[x].quiet + 1 >= DETECT || n[x].right == PROMOTE))))))

inline tick(x) {
    n[x].lease = OLDER(n[x].lease, LEASE);
    n[x].right = OLDER(n[x].right, PROMOTE);
    n[x].newest = OLDER(n[x].newest, (n[x].st >= SOLO -> PROMOTE : LEASE));
    if
    :: n[x].st == READY || n[x].aband || (!IS_STRICT && (n[x].st == DEGRADED || n[x].st == PROTECTED)) -> AGE(n[x].quiet, (n[x].st == READY -> DETECT : ALONE))
    :: else
    fi;
    if
    :: n[x].paused -> AGE(n[x].slept, LEASE + 1)
    :: else
    fi;
    q[x].m[0] = (q[x].size > 0 -> AGED(q[x].m[0]) : 0);
    q[x].m[1] = (q[x].size > 1 -> AGED(q[x].m[1]) : 0)
}

inline joined(x) {
    n[x].conn = 1; n[x].known = 0; n[x].first = 1; n[x].newest = NEVER; n[x].fresh = 0; n[x].pv = 0; n[x].pj = 0;
    n[x].lease = NEVER
}
#define BREAKABLE (!over && faults < FAULTS && n[0].conn && n[1].conn && n[0].fin == 0 && n[1].fin == 0)
inline lose(x) { q[x].size = 0; q[x].m[0] = 0; q[x].m[1] = 0 }
inline broken() { faults++; n[0].fin = ERROR_; n[1].fin = ERROR_ }

active proctype world()
{
    atomic {
        n[0].alive = 1; n[1].alive = 1; n[0].newinc = 1; n[1].newinc = 1;
        n[0].lease = NEVER; n[1].lease = NEVER; n[0].right = NEVER; n[1].right = NEVER;
        n[0].newest = NEVER; n[1].newest = NEVER;
        run node(0);
        run node(1)
    };
    do
    :: d_step { !over && HEARD(0) && HEARD(1) && (silent || (PROMPT(0) && PROMPT(1))) -> tick(0); tick(1) }
#ifdef SILENCE
    :: d_step { !over && !silent && faults < FAULTS -> silent = 1; faults++ }
    :: d_step { !over && silent -> silent = 0 }
#endif
    /* a connection */
    :: d_step { !over && AWAKE(0) && AWAKE(1) && !n[0].conn && !n[1].conn -> joined(0); joined(1) }
    /* it breaks; of what is under way each side still gets all or nothing */
    :: d_step { BREAKABLE -> broken() }
    :: d_step { BREAKABLE && q[0].size -> lose(0); broken() }
    :: d_step { BREAKABLE && q[1].size -> lose(1); broken() }
    :: d_step { BREAKABLE && q[0].size && q[1].size -> lose(0); lose(1); broken() }
    od
}
