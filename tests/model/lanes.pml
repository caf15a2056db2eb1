/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two lanes with ports of their own: what a standby acknowledges by them and by the connection, and what a takeover
 * finds, as lane/link.c, replicator/port.c, replicator/receiver.c and ftcore/order/closed.c have it. One view, one
 * connection, one snapshot; pair.pml has the rest. docs/testing.md says what is left out.
 *
 *   make_burst                 a burst of the primary: what it needs may be in a burst that the other lane is in
 *   connection_sends           rp_sender_turn
 *   begins, ends               begin_carrying, end_carrying of port.c: the ports carry both streams, or none
 *   follow_carry, free_stable  the same; `freed` is how far the log was read
 *   send_frame                 send_records: any burst that is not known to be closed, so go_back needs no line here
 *   hear                       hear, note_stable: anything that may have been said
 *   take_frame, scan           store_record, add_from_connection, both with add_to_closed
 *   load, compute              compute_closed of link.c for the lanes' set P, of receiver.c for the replicator's set R
 *   take_record, publish       take_record with has_come_by_port, rp_receiver_publish
 *   takes_over, finish         give_order of LIVE with its vector; take_over: nd_link_shut, nd_lane_replays_to
 *   ask_to_stop, stop          nd_lane_ask_to_stop, at_stop_point (-DSTOPS)
 *
 * Words. closed_to and closed_access (replicator to lanes) and P's burst and access (to all) have one writer at a time,
 * and only rise; they are stored with release and loaded with acquire, the access stored before its burst and loaded
 * behind it. Steps are taken one after the other. Who computes may find any older value of each word by itself, and of
 * what the other lane holds, as if it had loaded it long ago. So of memory order only this is assumed: the claim keeps
 * who computes alone, and who is told of a thing (by a frame, a ring, an order, a burst that has accesses) finds it.
 *
 * An access is its burst's: bursts are whole, so it is inside where its burst is. What may be acknowledged counts as
 * acknowledged, and its outputs as released, at once: P's burst and closed_to by the port, R's burst by the connection.
 * A frame may be lost, late, and sent again; older ones than were opened are refused, so of each port one is under way.
 * What is in the connection when the primary dies may be read, or a part of it, or nothing.
 *
 *   -DLOG      the primary's log and its words as they are. Without, a frame may bring any burst that was recorded, the
 *              connection take any that is not freed, and what is heard is freed, at any time: more than LOG does
 *   -DSTOPS    lanes stop together once
 *   -DBUG_...  a mistake that spin must find;  -DSEE_...  a thing that must be able to happen
 */
#ifndef BURSTS
#define BURSTS 2 /* of lane 0; at most 3 */
#endif
#ifndef OTHERS
#define OTHERS 1 /* of lane 1 */
#endif
#ifndef CARRIES
#define CARRIES 2 /* times that the ports begin to carry, with LOG; at most 3 */
#endif

#define MAX(a, b)  ((a) > (b) -> (a) : (b))
#define BIT(b)     (1 << ((b) - 1))
#define UPTO(b)    ((1 << (b)) - 1)
#define MOST(l)    ((l) == 0 -> BURSTS : OTHERS)
#define NEED(l, b) ((p[l].need >> (2 * ((b) - 1))) & 3)
#define LAST(set)  ((set) & 4 -> 3 : ((set) & 2 -> 2 : (set) & 1)) /* the last burst of a set of them */

/* Bursts of one lane in a struct ft_closed. */
typedef Set {
    unsigned last : 2;  /* the last one added */
    unsigned from : 2;  /* the first one since ft_closed_advance: what was needed before counts no more; 0: none */
    unsigned open : 3;  /* held and not inside */
    unsigned burst : 2; unsigned access : 2; /* inside; P's are the words that others load */
};
typedef Primary {
    unsigned made : 2;   /* bursts recorded */
    unsigned need : 6;   /* of each: the other lane's access */
    unsigned freed : 2;  /* of the log: sent by the connection, or closed */
#ifdef LOG
    unsigned from : 2;   /* orders.carry_from */
    bit carries;         /* what the lane follows … */
    unsigned seen : 2;   /* … and report.carry_seen */
    unsigned stable : 2; /* report.port_stable_at, and the lane's sender.closed */
#endif
};
typedef Way {
    unsigned tcp : 3;  /* bursts in the connection */
#ifdef LOG
    unsigned port : 2; /* the burst of the frame; 0: none */
#endif
};
typedef Standby {
    unsigned have : 3;                    /* bursts in the rings, `direct` or `replay` */
    unsigned to : 2; unsigned access : 2; /* orders.closed_to, closed_access */
    bit live; bit done; unsigned end : 2; /* the order to take over; where replay ends */
    unsigned gone : 2;                    /* released when the primary died */
#ifdef STOPS
    bit stopped; unsigned at : 2;
#endif
};
/* What is loaded by who computes; nothing outside of its step. */
typedef Load {
    unsigned burst : 2; unsigned access : 2; unsigned held : 2;
};

Primary p[2];
Way w[2];
Standby s[2];
Set set[4];
#define P(l) set[l]       /* of what came by the ports */
#define R(l) set[2 + (l)] /* … by the connection */
Load a[2];
bit claimed, shut, dead;
#ifdef LOG
unsigned carry : 2;   /* orders.carry; 0: the connection carries */
unsigned carried : 2; /* times that the ports began */
#else
#define carry 0
#endif
#ifdef STOPS
bit stop_point, stop_seen, asked;
#define STOPPING stop_point
#else
#define STOPPING false
#endif
#ifdef BUG_UNSTORED
bit lied[2];
#endif
hidden byte b, i, k, again, n[2], acc[2];

#define REPLAYS_TO(l) MAX(s[l].to, P(l).burst)
#define STORED_TO(l)  MAX(s[l].to, P(l).last)
#define HELD(l)       MAX(R(l).burst, P(l).burst) /* rp_stored */

/* ---- closed sets */

/* An older value of a word, down to 0. */
#define LOAD(v, word)                                                                                                 \
    if                                                                                                                \
    :: v = (word)                                                                                                     \
    :: (word) > 0 -> v = (word) - 1                                                                                   \
    :: (word) > 1 -> v = 0                                                                                            \
    fi
#ifdef BUG_NEED
#define LOAD_KNOWN(m, x, y) m.burst = (x); m.access = 3
#else
#define LOAD_KNOWN(m, x, y) LOAD(m.burst, x); LOAD(m.access, y)
#endif
/* What the prefix up to burst n[l] needs: k. */
inline find_need(q, l) {
    k = 0;
    i = (n[l] < set[q + l].from || !set[q + l].from -> 1 : set[q + l].from);
    do
    :: i <= n[l] -> k = MAX(k, NEED(l, i)); i++
    :: else -> break
    od;
    i = 0
}
/* The last burst of the prefix that may be inside; n[l] is tried first. */
inline shorten(qq, ll) {
    do
    :: n[ll] == 0 -> break
    :: else ->
        find_need(qq, ll);
        if
#ifndef BUG_ALONE
        :: a[ll].burst < n[ll] && k > acc[1 - ll] -> n[ll] = LAST(set[qq + ll].open & UPTO(n[ll] - 1)); again = 1
#endif
        :: else -> break
        fi
    od
}
inline note_reached(q) {
    acc[0] = MAX(a[0].access, (n[0] -> n[0] : set[q].access));
    acc[1] = MAX(a[1].access, (n[1] -> n[1] : set[q + 1].access))
}
/* Leaves in n and acc what is inside of each lane, by what is known and held. */
inline compute(q) {
    n[0] = LAST(set[q].open & UPTO(a[0].held));
    n[1] = LAST(set[q + 1].open & UPTO(a[1].held));
    again = 1;
    do
    :: again -> again = 0; note_reached(q); shorten(q, 0); note_reached(q); shorten(q, 1)
    :: else -> break
    od;
    set[q].open = set[q].open & ~UPTO(n[0]);
    set[q + 1].open = set[q + 1].open & ~UPTO(n[1]);
    note_reached(q);
    acc[0] = MAX(acc[0], set[q].access); acc[1] = MAX(acc[1], set[q + 1].access);
    n[0] = MAX(n[0], MAX(set[q].burst, a[0].burst));
    n[1] = MAX(n[1], MAX(set[q + 1].burst, a[1].burst))
}
inline forget() {
    k = 0; again = 0; n[0] = 0; n[1] = 0; acc[0] = 0; acc[1] = 0;
    a[0].burst = 0; a[0].access = 0; a[0].held = 0; a[1].burst = 0; a[1].access = 0; a[1].held = 0
}

/* ---- primary */

/* What a burst needs beyond what the one before it needs, 0: nothing. */
#define NEEDS(l, x)                                                                                                   \
    (!dead && p[l].made < MOST(l) && (x) <= p[1 - l].made + 1 && (x) <= MOST(1 - l) &&                               \
     (!p[l].made || (x) > (p[l].need & 3) && (x) > ((p[l].need >> 2) & 3)))
inline make_burst(l, x) { p[l].made++; p[l].need = p[l].need | (x << (2 * (p[l].made - 1))) }

#ifdef LOG
#ifdef BUG_EARLIER
#define OF_THIS(l) true
#else
#define OF_THIS(l) (p[l].seen == carry)
#endif
#define IS_LATE(l) (p[l].carries != (carry != 0) || carry && p[l].seen != carry)

inline follow_carry(l) {
    p[l].carries = (carry != 0);
    if
    :: carry ->
        assert(p[l].freed <= p[l].from); /* it begins with a record of the log */
        p[l].seen = carry; p[l].stable = p[l].from
    :: else
    fi
}
inline send_frame(l, x) {
    assert(p[l].freed < x || carry != p[l].seen); /* it is sent from the log */
    w[l].port = x
}
#endif

proctype primary(bit l)
{
    do
    :: d_step { !dead && p[l].made < MOST(l) -> make_burst(l, 0) }
    :: d_step { NEEDS(l, 1) -> make_burst(l, 1) }
    :: d_step { NEEDS(l, 2) -> make_burst(l, 2) }
    :: d_step { NEEDS(l, 3) -> make_burst(l, 3) }
    :: d_step { !dead && !carry && p[l].freed < p[l].made -> /* connection_sends */
        p[l].freed++; w[l].tcp = w[l].tcp | BIT(p[l].freed) }
#ifdef LOG
    :: d_step { !dead && p[l].carries && p[l].stable + 1 <= p[l].made -> send_frame(l, p[l].stable + 1) }
    :: d_step { !dead && p[l].carries && p[l].stable + 2 <= p[l].made -> send_frame(l, p[l].stable + 2) }
    :: d_step { !dead && p[l].carries && p[l].stable + 3 <= p[l].made -> send_frame(l, p[l].stable + 3) }
    :: d_step { !dead && p[l].carries && p[l].stable + 1 <= REPLAYS_TO(l) -> p[l].stable++ } /* hear */
    :: d_step { !dead && p[l].carries && p[l].stable + 2 <= REPLAYS_TO(l) -> p[l].stable = p[l].stable + 2 }
    :: d_step { !dead && IS_LATE(l) -> follow_carry(l) }
    :: d_step { !dead && carry && OF_THIS(l) && p[l].freed < p[l].stable -> p[l].freed = p[l].stable } /* free_stable */
#else
    :: d_step { !dead && p[l].freed < REPLAYS_TO(l) -> p[l].freed++ } /* hear, free_stable */
#endif
#ifdef BUG_FREES
    :: d_step { !dead && p[l].freed < p[l].made -> p[l].freed++ } /* what was sent */
#endif
    od
}

/* ---- standby */

inline add_to_P(l) {
    if
    :: P(l).last < b - 1 -> /* the connection brought what is before */
        assert(b - 1 <= s[l].access || s[l].live); /* else an honest record is refused */
        P(l).from = b
    :: else
#ifdef BUG_FORGETS
        -> P(l).from = b
#endif
    fi;
    P(l).last = b; P(l).open = P(l).open | BIT(b)
}
inline take_frame(l) {
    if
    :: b == STORED_TO(l) + 1 ->
#ifdef SEE_AGAIN
        assert(!(carried == 2 && p[l].seen == carry && b == 2 && R(l).last == 0)); /* both bursts by the port */
#endif
        s[l].have = s[l].have | BIT(b);
        add_to_P(l)
    :: else /* had, or a gap */
#ifdef BUG_UNSTORED
        -> if
        :: b > STORED_TO(l) + 1 -> lied[l] = 1
        :: else
        fi
#endif
    fi;
    b = 0
}

#ifdef BUG_CLAIM
#define IS_FREE true
#else
#define IS_FREE !claimed
#endif
#ifdef BUG_STOP
#define MOVES !shut
#else
#define MOVES (!shut && !STOPPING)
#endif

/* What both lanes replay: all that was released is in it, it is here, and it needs nothing else. */
inline check_end() {
    assert(s[0].gone <= s[0].end && s[1].gone <= s[1].end);     /* G1: output commit */
    assert((s[0].have & UPTO(s[0].end)) == UPTO(s[0].end));     /* stored */
    assert((s[1].have & UPTO(s[1].end)) == UPTO(s[1].end));     /* stored */
    i = 1;
    do
    :: i <= 3 ->
        assert(i > s[0].end || NEED(0, i) <= s[1].end); /* closed */
        assert(i > s[1].end || NEED(1, i) <= s[0].end); /* closed */
        i++
    :: else -> break
    od;
    i = 0
#ifdef SEE_OUTSIDE
    ; assert(!(s[0].end && s[1].end && P(0).last > s[0].end)) /* outside: it is stored, and not replayed */
#endif
}

proctype lane(bit l)
{
    unsigned n0 : 2; unsigned a0 : 2; unsigned n1 : 2; unsigned a1 : 2;

    do
#ifdef LOG
    :: d_step { !s[l].done && w[l].port -> b = w[l].port; w[l].port = 0; take_frame(l) }
#else
    :: d_step { !s[l].done && STORED_TO(l) < p[l].made -> b = STORED_TO(l) + 1; take_frame(l) }
#ifdef BUG_UNSTORED
    :: d_step { !s[l].done && STORED_TO(l) + 1 < p[l].made -> b = STORED_TO(l) + 2; take_frame(l) }
#endif
#endif
    :: d_step { !s[l].done && s[l].have & BIT(STORED_TO(l) + 1) -> b = STORED_TO(l) + 1; add_to_P(l); b = 0 } /* scan */
    :: atomic { !s[l].done && P(l).last > P(l).burst && IS_FREE && MOVES ->
        claimed = 1;
        LOAD_KNOWN(a[0], s[0].to, s[0].access);
        LOAD_KNOWN(a[1], s[1].to, s[1].access);
        a[l].held = P(l).last;
        LOAD(a[1 - l].held, P(1 - l).last);
        d_step {
            compute(0);
#ifdef SEE_WAITS
            assert(n[1 - l] <= P(1 - l).burst || NEED(1 - l, n[1 - l]) <= REPLAYS_TO(l)); /* it waits for this lane's */
#endif
            n0 = n[0]; a0 = acc[0]; n1 = n[1]; a1 = acc[1];
            forget()
        } };
        d_step { assert(n0 >= P(0).burst); /* no acknowledgement falls */
            P(0).access = a0; P(0).burst = n0; a0 = 0; n0 = 0 };
        d_step { assert(n1 >= P(1).burst); /* no acknowledgement falls */
            P(1).access = a1; P(1).burst = n1; a1 = 0; n1 = 0; claimed = 0 }
    :: d_step { s[l].live && !s[l].done && !claimed -> /* finish */
#ifndef BUG_SHUT
        shut = 1;
#endif
        s[l].end = REPLAYS_TO(l); s[l].done = 1;
        if
        :: s[1 - l].done -> check_end()
        :: else
        fi }
#ifdef STOPS
    :: d_step { l == 0 && !s[0].live && !asked && !claimed -> asked = 1; stop_point = 1 } /* ask_to_stop */
    :: d_step { stop_point && stop_seen && !s[l].stopped && !s[l].live -> /* stop: all up to there is replayed */
        s[l].stopped = 1; s[l].at = REPLAYS_TO(l);
        if
        :: s[1 - l].stopped ->
            i = 1;
            do
            :: i <= 3 ->
                assert(i > s[0].at || NEED(0, i) <= s[1].at); /* together: else one waits for one that has stopped */
                assert(i > s[1].at || NEED(1, i) <= s[0].at);
                i++
            :: else -> break
            od;
            i = 0; s[0].stopped = 0; s[1].stopped = 0; s[0].at = 0; s[1].at = 0; stop_point = 0; stop_seen = 0
        :: else
        fi }
#endif
    od
}

#ifdef BUG_UNKNOWN
#define BY_PORT(l) 0
#else
#define BY_PORT(l) P(l).burst
#endif
inline take_record(l) {
    b = (w[l].tcp & 1 -> 1 : (w[l].tcp & 2 -> 2 : 3));
    w[l].tcp = w[l].tcp & ~BIT(b);
    if
    :: BY_PORT(l) > R(l).last && b <= BY_PORT(l) -> /* it has come by the port */
#ifdef SEE_BOTH
        assert(R(l).last == 0); /* both bring it */
#endif
        skip
    :: else ->
        if
        :: BY_PORT(l) > R(l).last ->
            assert(b - 1 <= P(l).access); /* else an honest record is refused */
            R(l).last = P(l).burst; R(l).from = b
        :: else
        fi;
        assert(b == R(l).last + 1); /* it follows: else the connection is refused */
        R(l).last = b; R(l).open = R(l).open | BIT(b);
        s[l].have = s[l].have | BIT(b)
    fi;
    b = 0
}
#ifdef BUG_VECTOR
#define VECTOR(l) s[l].to
#else
#define VECTOR(l) HELD(l)
#endif

#ifdef BUG_COUNTS
#define GONE(l) p[l].freed /* counts by what was sent */
#else
#ifdef BUG_UNSTORED
#define GONE(l) (HELD(l) + lied[l])
#else
#define GONE(l) MAX(HELD(l), s[l].to)
#endif
#endif
inline dies(l) {
    s[l].gone = GONE(l);
    w[l].tcp = 0; p[l].freed = 0
#ifdef LOG
    ; p[l].from = 0; p[l].carries = 0; p[l].seen = 0; p[l].stable = 0; carry = 0; carried = 0
#endif
}

proctype replicator()
{
    bit took;

turn:
    do
    :: d_step { w[0].tcp -> take_record(0); took = 1 }
    :: d_step { w[1].tcp -> take_record(1); took = 1 }
    :: took -> break /* a message has several */
#ifdef STOPS
    :: !took -> goto publish
#endif
    :: atomic { !took -> goto takes_over }
    od;
    atomic {
        took = 0;
        LOAD_KNOWN(a[0], P(0).burst, P(0).access);
        LOAD_KNOWN(a[1], P(1).burst, P(1).access);
        d_step {
            a[0].held = R(0).last; a[1].held = R(1).last;
            compute(2);
            assert(n[0] >= R(0).burst && n[1] >= R(1).burst); /* no acknowledgement falls */
            R(0).burst = n[0]; R(0).access = acc[0]; R(1).burst = n[1]; R(1).access = acc[1];
            forget()
        }
    };
publish:
#ifdef STOPS
    if
    :: d_step { !stop_point -> stop_seen = 0 }
    :: d_step { stop_point -> stop_seen = 1 }; goto turn
    fi;
#endif
    d_step { s[0].access = R(0).access; s[0].to = R(0).burst };
    d_step { s[1].access = R(1).access; s[1].to = R(1).burst };
    goto turn;
takes_over: /* the primary has died; what could be read of it has been */
    atomic { dead = 1; dies(0); dies(1); s[0].to = VECTOR(0); s[0].live = 1 };
    atomic { s[1].to = VECTOR(1); s[1].live = 1 }
}

active proctype world()
{
    atomic { run primary(0); run primary(1); run lane(0); run lane(1); run replicator() };
#ifdef LOG
    do
    :: d_step { !dead && !carry && carried < CARRIES -> /* begins */
        carried++; carry = carried; p[0].from = p[0].freed; p[1].from = p[1].freed }
    :: d_step { !dead && carry -> carry = 0; p[0].from = 0; p[1].from = 0 } /* ends */
    od
#endif
}
