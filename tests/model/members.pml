/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who belongs to a shard, and who may release in it, when a pair may get another standby: three nodes, each with a
 * file, and an arbiter that keeps one key. This is the design that the code follows where there is an arbiter
 * (docs/decisions.md, "Members belong to the view"), and where the pair is strict. There is no log here: a release is "this node releases in this
 * view", and a state is whole or not. docs/testing.md says what is asserted, and what is left out.
 *
 *   -DSTRICT     strict: true, without an arbiter; (without) an arbiter, not strict
 *   -DCALM       at any moment failures may end for good; then a primary is at work with its standby after few messages
 *   -DDISKS_LAST no machine is lost together with its disk
 *   -DFORGOTTEN  a takeover's view is not on the disk when it releases: the double fault of docs/guarantees.md is found
 *   -DBUG_...    a mistake that spin must find;  -DSEE_...  a thing that must be able to happen
 *
 * A pause is a node that takes no step for as long as it likes. Of time only the order is here that the files make sure
 * of: a lease ends before the standby suspects, the standby's right before the primary asks. A message may be as late as
 * it likes, and is lost when its sender says another one to the same node before it is heard, or dies.
 *
 * What the search changed in the rules that were proposed, and why:
 *  - Strict and without an arbiter, time releases no standby. The standby may have taken over and have a third node of
 *    its own (BUG_TIMEOUT). Only its own JOINING, or a certain word of its death while the lease runs, lets the primary
 *    re-pair; else a person does.
 *  - The other way round nothing has to be waited for: who took over may re-pair at once, strict or not, since its
 *    ex-primary cannot go on without it, or has lost the era. So a lost primary is healed by itself, a lost standby of a
 *    strict pair is not.
 *  - A node without a file is nobody's proof. Its "join" does not say that the member of that name has given up, since
 *    that one's machine may have been lost with its disk after it took over; and it becomes a member by the offer of a
 *    primary that is SOLO, by nobody else's word (BUG_BLANK). An empty member that tells it of an old view would
 *    otherwise make a pair with it, beside the living one.
 *  - So that this can be told apart the new member answers the offer only when its own disk has the members: not only
 *    its acknowledgement waits. From HOLDING on it is no node without a file.
 *  - Both are lost when both have said so. "After a time" is not enough: a primary that is SOLO has no lease, and goes
 *    on when it wakes (BUG_EMPTY). With an arbiter the "join" of a node of the other member's name says so as well, if
 *    the arbiter knows of no later members; strict, that is for a person.
 *  - The arbiter grants the next view first, then the disk has it, then it begins, then the offer is said. From the
 *    question to its answer the primary stays SOLO, so nothing has to be taken back, and a late question harms nobody.
 *  - A primary is not fenced by the view that it has asked for and not begun: an empty ex-member may have learnt from the
 *    arbiter that it belongs to it, and says so (BUG_OWN_VIEW; spin needs four views for it).
 *  - With an arbiter the key alone keeps apart what the file keeps apart without one: BUG_DISK is found with STRICT,
 *    BUG_ARBITER where a machine is lost with its disk.
 */
#ifndef VIEWS
#define VIEWS 4 /* at most 7; nothing begins a later one */
#endif
#ifndef ERAS
#define ERAS 1 /* of a view, at most 3 */
#endif
#ifndef FAULTS
#define FAULTS 2
#endif
#ifndef ROOM
#define ROOM 2 /* messages under way, of all nodes */
#endif

#ifdef STRICT
#define IS_STRICT true
#else
#define IS_STRICT false
#endif

/* states of a node */
#define JOINING 0
#define SYNCING 1
#define READY   2
#define ASKING  3 /* READY, and asks the arbiter */
#define SOLO    4 /* nobody else has a right. With strict its gate is shut */
#define GUARD   5 /* PROTECTED, or DEGRADED with a standby that may hold the era */
#define ASKS    6 /* GUARD, and asks the arbiter */
#define HOLDS   7 /* the arbiter decided for the other one */

#define NOBODY 3

/* messages. All but the first two carry their sender's view and members */
#define DEATH   1 /* the death notice, or the end of the connection */
#define JOINS   2 /* "join, view 0": of who is no member */
#define TELL    3 /* JOINING, of a member; also RELEASED */
#define WORD    4 /* of another member; to who is none of them it is REMOVED */
#define OFFER   5 /* SNAPSHOT_BEGIN */
#define SYNCED  6 /* the answer to it */
#define HOLDING 7
#define RELEASE 8

#define M_TYPE(m) ((m) & 15)
#define M_VIEW(m) (((m) >> 4) & 7)
#define M_OUT(m)  (((m) >> 7) & 3)
#define M_N(m)    (((m) >> 9) & 3)
#define AGED      (1 << 11) /* HOLDING: it is so old that no right follows from it */

/* what a node asks of the arbiter, beside who goes on */
#define REPAIR 1
#define EMPTY  2
#define BEGIN  3 /* the re-pair is granted; the disk is next */

typedef Node {
    bit up;
    unsigned st : 3;
    unsigned view : 3; unsigned out : 2;   /* which of the three is no member; NOBODY: it has no members at all */
    unsigned dview : 3; unsigned dout : 2; /* the same on the disk */
    unsigned n : 2;                        /* the era in its view */
    bit lease; bit right; bit lapsed;
    bit cut;                               /* GUARD: the standby is to forget, no lease any more */
    bit whole;                             /* its state has all that the world has seen */
    unsigned ask : 2; unsigned ans : 2;    /* ans: 1 won, 2 lost */
};
Node n[3];
short m[9]; /* from * 3 + to */
unsigned under : 3;
unsigned faults : 3;

/* the arbiter */
unsigned kview : 3; unsigned kn : 2; unsigned kwho : 2; unsigned kout : 2;
short req[3]; /* kind, view, number, out; 0: none */

/* the world */
unsigned reign : 3; /* the last view that has begun */
unsigned lview : 3; unsigned lwho : 2; unsigned lout : 2; /* the last in which something left */

#ifdef CALM
#define MOST 24
unsigned said : 5; /* messages since */
bit calm; /* from here on nothing fails: all are alive, and what is said is heard */
#else
#define calm false
#endif
hidden short taken; hidden byte t, v, o, e, p;

#define MEMBER(i) (n[i].out != i && n[i].out != NOBODY)
#define PEER(i)   (3 - (i) - n[i].out)
#define PRIMARY(i) (n[i].st >= SOLO)
#define RUNS      (n[i].up)
#define PAIRED(i, j) (MEMBER(i) && PEER(i) == (j) && n[j].view == n[i].view && n[j].out == n[i].out)
#define FOLLOWS(j, i) (n[j].up && (n[j].st == READY || n[j].st == ASKING) && PAIRED(i, j) && n[j].n == n[i].n)
#define TAKES(i)  ((n[i].st == SOLO && n[i].ask == 0) || (n[i].st == GUARD && n[i].cut))
#define MAY(i)    (n[i].up && ((n[i].st == SOLO && !IS_STRICT) || (n[i].st == GUARD && n[i].lease)))
#define HEIR(i)   (n[i].up && n[i].whole && n[i].view == reign && (PRIMARY(i) || (n[i].right && !n[i].lapsed)))
#define SURE(i)   (n[i].right && !n[i].lapsed)
#define LED       (n[PEER(i)].up && n[PEER(i)].st == GUARD && FOLLOWS(i, PEER(i))) /* its primary is there */
#define LEASED(i) (n[PEER(i)].lease && FOLLOWS(i, PEER(i)))
#define A1 ((i + 1) % 3)
#define A2 ((i + 2) % 3)

inline drop(x) {
    n[x].st = JOINING; n[x].n = 0; n[x].lease = 0; n[x].right = 0; n[x].lapsed = 0; n[x].cut = 0; n[x].whole = 0;
    n[x].ask = 0; n[x].ans = 0
}
inline put(j, type, number) {
#ifdef CALM
    if
    :: calm -> said++; assert(said < MOST) /* no dead end: nor one that goes round and round */
    :: else
    fi;
#endif
    if
    :: m[i * 3 + j] == 0 -> under++
    :: else
    fi;
    m[i * 3 + j] = type | (n[i].view << 4) | (n[i].out << 7) | ((number) << 9)
}
inline clear(a) {
    if
    :: m[a] -> under--; m[a] = 0
    :: else
    fi
}
inline alone() { n[i].st = SOLO; n[i].lease = 0; n[i].cut = 0; n[i].ans = 0; n[i].ask = 0 }
inline begins() {
    if
    :: n[i].view > reign -> reign = n[i].view
    :: else
    fi
}
inline takes_over() {
    if
    :: n[i].view < VIEWS ->
        assert(n[i].whole); /* a state is taken for whole that is not */
#ifdef SEE_HEIR
        assert(n[i].out == 2);
#endif
        n[i].view++;
#ifndef FORGOTTEN
        n[i].dview = n[i].view; n[i].dout = n[i].out;
#endif
        n[i].n = 0; n[i].right = 0; n[i].lapsed = 0; n[i].ans = 0;
        n[i].st = SOLO;
        begins()
    :: else -> drop(i)
    fi
}
#define QUESTION(kind, v, number, set) req[i] = (kind) | ((v) << 4) | ((set) << 7) | ((number) << 9); n[i].ans = 0
#define WHO 4 /* the kind of a question who goes on */
#define EDGE(i) (n[i].st == ASKS || n[i].st == ASKING)
#define CURRENT(i)                                                                                                    \
    (n[i].up && ((EDGE(i) && req[i] == (WHO | (n[i].view << 4) | (n[i].out << 7) | (n[i].n << 9))) ||                 \
    (n[i].ask == REPAIR && req[i] == (REPAIR | ((n[i].view + 1) << 4) | (PEER(i) << 7))) ||                           \
    (n[i].ask == EMPTY && req[i] == (EMPTY | ((n[i].view + 1) << 4) | (n[i].out << 7)))))

inline asks_who() {
    if
    :: n[i].st == READY -> n[i].st = ASKING
    :: n[i].st == GUARD ->
        n[i].st = ASKS; n[i].cut = 0;
        if
        :: M_TYPE(m[i * 3 + PEER(i)]) == HOLDING -> m[i * 3 + PEER(i)] = m[i * 3 + PEER(i)] | AGED
        :: else
        fi
    :: else
    fi;
    QUESTION(WHO, n[i].view, n[i].n, n[i].out)
}
/* The primary's process has ended, or has dropped its state. */
inline ended() {
    if
    :: SURE(i) -> takes_over()
    :: else ->
        if
        :: !IS_STRICT && n[i].st == READY -> asks_who()
        :: else
        fi
    fi
}
inline learn(its, set) {
    assert(!PRIMARY(i) || !n[i].whole || n[i].view < reign || its <= reign); /* a state is given up for a view that nobody has begun */
#ifdef SEE_REMOVED
    assert(n[i].st < READY || set != i);
#endif
    drop(i); n[i].view = its; n[i].out = set
}

#ifdef BUG_OWN_VIEW
#define OWN false
#else
#define OWN (PRIMARY(i) && (n[i].ask == REPAIR || n[i].ask == BEGIN) && v == n[i].view + 1 && o == PEER(i)) /* it asked for that one */
#endif
#ifdef BUG_BLANK
#define BELIEVES true
#define FILED(j) true
#else
#define FILED(j) (n[j].out != NOBODY)
#define BELIEVES (t == OFFER && e) /* who has no file follows a primary that is in no doubt of its right */
#endif
inline hear(j) {
    taken = m[(j) * 3 + i]; m[(j) * 3 + i] = 0; under--;
    t = M_TYPE(taken); v = M_VIEW(taken); o = M_OUT(taken); e = M_N(taken);
    if
#ifdef BUG_FOREIGN
    :: (n[i].st == READY || n[i].st == ASKING) && j != PEER(i) && SURE(i) -> takes_over()
#endif
    :: t == DEATH ->
        if
#ifdef BUG_OLD_NOTICE
        :: !MEMBER(i)
#else
        :: !MEMBER(i) || j != PEER(i)
#endif
        :: else ->
            if
            :: n[i].st == READY || n[i].st == ASKING -> ended()
            :: n[i].st == GUARD && n[i].lease -> alone()
            :: else
            fi
        fi
    :: t == JOINS ->
        if
#ifdef BUG_JOINER_VIEW
        :: v > n[i].view -> learn(v, n[i].out)
#endif
        :: !IS_STRICT && n[i].st == JOINING && MEMBER(i) && j == PEER(i) && n[i].ask == 0 && n[i].view < VIEWS ->
            n[i].ask = EMPTY; QUESTION(EMPTY, n[i].view + 1, 0, n[i].out)
        :: else
        fi
    :: t > JOINS && v > n[i].view && (n[i].out != NOBODY || BELIEVES) && !OWN ->
        learn(v, o);
        if
        :: t == OFFER && o != i -> n[i].st = SYNCING
        :: else
        fi
    :: t > JOINS && v == n[i].view && n[i].out != NOBODY ->
        assert(o == n[i].out); /* a view has one set of members */
        if
        :: MEMBER(i) && j == PEER(i) -> of_peer(j)
        :: else
        fi
    :: else
    fi;
    taken = 0; t = 0; v = 0; o = 0; e = 0
}
inline of_peer(j) {
    if
    :: t == TELL && (n[i].st == GUARD || n[i].st == ASKS || n[i].st == HOLDS) -> alone()
    :: t == TELL && (n[i].st == READY || n[i].st == ASKING) -> ended()
    :: t == TELL && n[i].st == SYNCING -> drop(i)
    :: t == TELL && n[i].st == JOINING && i < j && n[i].ask == 0 && n[i].view < VIEWS ->
        n[i].ask = EMPTY;
#ifndef STRICT
        QUESTION(EMPTY, n[i].view + 1, 0, n[i].out)
#endif
    :: t == SYNCED && TAKES(i) ->
        if
        :: n[i].n < ERAS ->
            n[i].n++; n[i].st = GUARD; n[i].cut = 0; n[i].lease = 0;
            put(j, HOLDING, n[i].n);
            if
            :: n[j].up && n[j].st == SYNCING && PAIRED(i, j) -> n[j].whole = n[i].whole
            :: else
            fi
        :: else
        fi
    :: t == HOLDING && n[i].st == SYNCING -> n[i].st = READY; n[i].n = e; n[i].lapsed = ((taken & AGED) != 0); n[i].right = !n[i].lapsed
    :: t == OFFER && !PRIMARY(i) -> drop(i); n[i].st = SYNCING
    :: t == RELEASE && !PRIMARY(i) -> drop(i); put(j, TELL, 0)
    :: else
    fi
}

#define ON_DISK (n[i].dview == n[i].view && n[i].dout == n[i].out)
#define ANSWERS (n[i].dout == n[i].out)
#ifdef BUG_DISK
#define OFFERS true
#else
#define OFFERS (n[i].dout == n[i].out)
#endif

/* What i may say to j: only what would change something there if it were heard at once. */
#define ROOMY(j)   (RUNS && n[j].up && (m[i * 3 + j] != 0 -> !calm : under < ROOM)) /* one that is not heard yet is lost */
#define NEW(j, type) (ROOMY(j) && (m[i * 3 + j] & 511) != ((type) | (n[i].view << 4) | (n[i].out << 7)))
#define BEHIND(j)  (n[j].view < n[i].view)
#define HEEDS(j) /* a member's JOINING */                                                                              \
    (n[j].st == JOINING -> j < i && n[j].ask == 0 && n[j].view < VIEWS :                                               \
     (n[j].st == READY -> !IS_STRICT || SURE(j) : (n[j].st == ASKING -> SURE(j) : n[j].st != SOLO)))
#define TELLS(j)                                                                                                      \
    (n[i].st == JOINING && MEMBER(i) && NEW(j, TELL) &&                                                               \
     ((BEHIND(j) && FILED(j)) || (PAIRED(i, j) && HEEDS(j))))
#ifdef BUG_JOINER_VIEW
#define JOIN_VIEW VIEWS
#define JOIN(j) (n[i].st == JOINING && !MEMBER(i) && ROOMY(j) && n[j].view < VIEWS && PRIMARY(j))
#elif defined(BUG_FOREIGN)
#define JOIN_VIEW 0
#define JOIN(j) (n[i].st == JOINING && !MEMBER(i) && NEW(j, JOINS) && n[j].st == READY)
#else
#define JOIN_VIEW 0
#define JOIN(j)                                                                                                       \
    (n[i].st == JOINING && !MEMBER(i) && NEW(j, JOINS) && MEMBER(j) && i == PEER(j) && n[j].st == JOINING && n[j].ask == 0 && n[j].view < VIEWS && !IS_STRICT)
#endif
#define ANSWER(j) (n[i].st == SYNCING && ANSWERS && PAIRED(i, j) && TAKES(j) && n[j].n < ERAS && NEW(j, SYNCED))
#define MAY_OFFER (OFFERS && TAKES(i))
#define OFFERED(j)                                                                                                    \
    (MEMBER(i) && j == PEER(i) && MAY_OFFER && NEW(j, OFFER) && ((BEHIND(j) && (FILED(j) || n[i].st == SOLO)) || (PAIRED(i, j) && n[j].st != SYNCING)))
#define RELEASED(j) (n[i].st == GUARD && !n[i].cut && PAIRED(i, j) && ROOMY(j) && (!calm || !FOLLOWS(j, i)))
#define INFORMS(j) (PRIMARY(i) && (j != PEER(i) || n[i].st > SOLO) && NEW(j, WORD) && BEHIND(j) && FILED(j))

inline dies() {
    faults++;
    p = (MEMBER(i) -> PEER(i) : i);
    drop(i); n[i].up = 0; n[i].view = 0; n[i].out = NOBODY;
    clear(i * 3 + A1); clear(i * 3 + A2); clear(A1 * 3 + i); clear(A2 * 3 + i)
}

inline releases() {
    assert(n[i].whole); /* what the world has seen is contradicted */
    assert(!MAY(A1) && !MAY(A2)); /* two release */
    assert(n[i].view > lview || (n[i].view == lview && i == lwho && n[i].out == lout)); /* in a view that is over */
#ifdef SEE_HEALED
    assert(n[i].st != GUARD || n[i].out == 2);
#endif
#ifdef SEE_BACK
    assert(n[i].st != GUARD || n[i].out != 2 || n[i].view < 3);
#endif
    lview = n[i].view; lwho = i; lout = n[i].out;
    if
    :: FOLLOWS(A1, i) && n[i].st == GUARD
    :: else -> n[A1].whole = 0
    fi;
    if
    :: FOLLOWS(A2, i) && n[i].st == GUARD
    :: else -> n[A2].whole = 0
    fi
}

proctype node(byte i)
{
    do
    :: d_step { RUNS && m[A1 * 3 + i] -> hear(A1) }
    :: d_step { RUNS && m[A2 * 3 + i] -> hear(A2) }
    :: d_step { TELLS(A1) -> put(A1, TELL, 0) }
    :: d_step { JOIN(A1) -> put(A1, JOINS, 0); m[i * 3 + A1] = JOINS | (JOIN_VIEW << 4) }
    :: d_step { ANSWER(A1) -> put(A1, SYNCED, 0) }
    :: d_step { OFFERED(A1) -> put(A1, OFFER, (n[i].st == SOLO)) }
    :: d_step { RELEASED(A1) -> n[i].lease = 0; n[i].cut = 1; put(A1, RELEASE, 0) }
    :: d_step { INFORMS(A1) -> put(A1, WORD, 0) }
    :: d_step { TELLS(A2) -> put(A2, TELL, 0) }
    :: d_step { JOIN(A2) -> put(A2, JOINS, 0); m[i * 3 + A2] = JOINS | (JOIN_VIEW << 4) }
    :: d_step { ANSWER(A2) -> put(A2, SYNCED, 0) }
    :: d_step { OFFERED(A2) -> put(A2, OFFER, (n[i].st == SOLO)) }
    :: d_step { RELEASED(A2) -> n[i].lease = 0; n[i].cut = 1; put(A2, RELEASE, 0) }
    :: d_step { INFORMS(A2) -> put(A2, WORD, 0) }
    /* ---- the disk */
    :: d_step { RUNS && n[i].view && n[i].ask < EMPTY && !ON_DISK -> n[i].dview = n[i].view; n[i].dout = n[i].out }
    /* ---- lease and right */
    :: d_step { RUNS && n[i].st == GUARD && !n[i].cut && !n[i].lease && FOLLOWS(PEER(i), i) && n[PEER(i)].st == READY ->
        n[i].lease = 1; n[PEER(i)].right = 1 }
    :: d_step { n[i].up && n[i].lease && (!calm || !FOLLOWS(PEER(i), i)) -> n[i].lease = 0 }
    :: d_step { n[i].up && n[i].right && !LEASED(i) && (!calm || !LED) -> n[i].right = 0; n[i].lapsed = 1 }
    :: d_step { RUNS && IS_STRICT && n[i].st == READY && !n[i].right -> drop(i) }
    /* ---- silence */
    :: d_step { RUNS && n[i].st == READY && n[i].right && IS_STRICT && !LEASED(i) && (!calm || !LED) -> takes_over() }
    :: d_step { RUNS && n[i].st == READY && !IS_STRICT && !LEASED(i) && (!calm || !LED) -> asks_who() }
    :: d_step { RUNS && n[i].st == ASKING && !calm -> drop(i) } /* the primary is heard again, and no answer */
    :: d_step { RUNS && n[i].st == GUARD && !IS_STRICT && !n[i].lease && (!calm || !PAIRED(i, PEER(i))) && !(FOLLOWS(PEER(i), i) && n[PEER(i)].right) -> asks_who() }
#ifdef BUG_TIMEOUT
    :: d_step { RUNS && n[i].st == GUARD && n[i].cut && !n[i].lease && !(FOLLOWS(PEER(i), i) && n[PEER(i)].right) -> alone() }
#endif
    /* ---- the arbiter */
    :: d_step { req[i] && M_TYPE(req[i]) ->
        t = M_TYPE(req[i]); v = M_VIEW(req[i]); o = M_OUT(req[i]); e = M_N(req[i]);
        if
        :: v > kview || (v == kview && t == WHO && e > kn) -> kview = v; kn = e; kwho = i; kout = o
        :: else
        fi;
        if
        :: CURRENT(i) -> n[i].ans = (v == kview && e == kn && kwho == i && kout == o -> 1 : 2)
        :: else
        fi;
        req[i] = 0; t = 0; v = 0; o = 0; e = 0 }
    :: d_step { RUNS && n[i].st == ASKS && n[i].ans == 1 && !(FOLLOWS(PEER(i), i) && n[PEER(i)].right) -> alone() }
    :: d_step { RUNS && n[i].st == ASKS && n[i].ans == 2 -> n[i].st = HOLDS; n[i].ans = 0 }
    :: d_step { RUNS && n[i].st == ASKING && n[i].ans == 1 -> takes_over() }
    :: d_step { RUNS && n[i].st == ASKING && n[i].ans == 2 -> drop(i) }
    /* ---- re-pair */
    :: d_step { RUNS && n[i].st == SOLO && n[i].ask == 0 && n[i].view < VIEWS && !calm ->
#if defined(STRICT) || defined(BUG_ARBITER)
        n[i].ask = BEGIN
#else
        n[i].ask = REPAIR; QUESTION(REPAIR, n[i].view + 1, 0, PEER(i))
#endif
        }
    :: d_step { RUNS && n[i].st == SOLO && n[i].ask == REPAIR && n[i].ans == 1 -> n[i].ask = BEGIN; n[i].ans = 0 }
    :: d_step { RUNS && n[i].st == SOLO && n[i].ask == REPAIR && n[i].ans == 2 -> assert(false) }
#ifdef BUG_DISK
    :: d_step { RUNS && n[i].st == SOLO && n[i].ask == BEGIN ->
#else
    :: d_step { RUNS && n[i].st == SOLO && n[i].ask == BEGIN && n[i].dview == n[i].view ->
        n[i].dview = n[i].view + 1; n[i].dout = PEER(i) }
    :: d_step { RUNS && n[i].st == SOLO && n[i].ask == BEGIN && n[i].dview == n[i].view + 1 ->
#endif
        n[i].out = PEER(i); n[i].view++; n[i].n = 0; n[i].ask = 0; begins() }
    /* ---- both have lost their state */
#ifdef BUG_EMPTY
    :: d_step { RUNS && n[i].st == JOINING && MEMBER(i) && n[i].ask == 0 && n[i].view < VIEWS -> /* nobody is heard */
        n[i].ask = EMPTY; QUESTION(EMPTY, n[i].view + 1, 0, n[i].out) }
#endif
    :: d_step { RUNS && n[i].ask == EMPTY && n[i].ans == 2 ->
        if
        :: kview > n[i].view -> learn(kview, kout)
        :: else -> n[i].ask = 0; n[i].ans = 0
        fi }
    :: d_step { RUNS && n[i].ask == EMPTY && (IS_STRICT || n[i].ans == 1) && n[i].dview <= n[i].view ->
        n[i].dview = n[i].view + 1; n[i].dout = n[i].out }
    :: d_step { RUNS && n[i].ask == EMPTY && (IS_STRICT || n[i].ans == 1) && n[i].dview == n[i].view + 1 ->
        assert(!MAY(A1) && !MAY(A2)); /* empty beside one that releases */
        assert(!HEIR(A1) && !HEIR(A2)); /* empty beside one that holds all and may go on */
#ifdef SEE_EMPTY
        assert(n[i].ask != EMPTY);
#endif
        drop(i); n[i].view++; n[i].st = SOLO; n[i].whole = 1; begins();
        n[A1].whole = 0; n[A2].whole = 0; lview = 0; lwho = 0; lout = 0 }
    /* ---- the lane */
    :: d_step { RUNS && MAY(i) && !calm -> releases() }
    /* ---- death and return */
    :: d_step { n[i].up && !calm && faults < FAULTS && MEMBER(i) -> /* the process: its guardian speaks */
        dies();
        if
        :: p != i && n[p].up -> m[i * 3 + p] = DEATH; under++
        :: else
        fi; p = 0 }
    :: d_step { n[i].up && !calm && faults < FAULTS -> dies(); p = 0 }
#ifndef DISKS_LAST
    :: d_step { n[i].up && !calm && faults < FAULTS -> dies(); p = 0; n[i].dview = 0; n[i].dout = NOBODY } /* the machine, with its disk */
#endif
    :: d_step { !n[i].up -> n[i].up = 1; n[i].view = n[i].dview; n[i].out = n[i].dout }
    od
}

#ifdef CALM
#define AT_WORK(i) (n[i].st == GUARD && !n[i].cut && FOLLOWS(PEER(i), i))
/* A run that would begin another view or era than it has room for says nothing. */
#define ROW(i) (n[i].view >= VIEWS || n[i].n >= ERAS)
#define EMPTY_ALL (n[0].st < READY && n[1].st < READY && n[2].st < READY)
#define BLANK_ONE (n[0].out == NOBODY || n[1].out == NOBODY || n[2].out == NOBODY)
#define BOUND ((IS_STRICT && EMPTY_ALL && BLANK_ONE) || /* then a person decides */ \
    kview >= VIEWS || ROW(0) || ROW(1) || ROW(2))
#endif

init {
    d_step {
        n[0].up = 1; n[0].st = SOLO; n[0].view = 1; n[0].out = 2; n[0].dview = 1; n[0].dout = 2; n[0].whole = 1;
        n[1].up = 1; n[1].view = 1; n[1].out = 2; n[1].dview = 1; n[1].dout = 2;
        n[2].up = 1; n[2].out = NOBODY; n[2].dout = NOBODY;
        reign = 1; kview = 1; kwho = NOBODY; kout = 2
    };
    atomic { run node(0); run node(1); run node(2) };
#ifdef CALM
    d_step { n[0].up && n[1].up && n[2].up -> calm = 1 };
    if
    :: timeout -> assert(AT_WORK(0) || AT_WORK(1) || AT_WORK(2) || BOUND) /* no dead end */
    fi
#endif
}
