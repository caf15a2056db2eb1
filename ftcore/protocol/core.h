/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The protocol core: who is primary, who may release, who may promote itself. A state machine with no socket,
 * clock, thread, allocation or callback. One event in, a list of actions out, to be carried out in order.
 * Called once per batch, never per packet. The node and the simulation drive the same code; its invariants
 * are asserted after every step. What a node does in each state is in a table in docs/ARCHITECTURE.md, "The
 * protocol core".
 *
 * Two rules of use, on which safety rests:
 *  - What the peer sent is stepped in order, and before FT_EV_TIME with a later time: all of it, or as much
 *    as a turn has time for, a message at least. So a node that slept hears before it acts on the silence.
 *  - Actions are carried out in order, before the next step. Messages leave in the order in which their heads
 *    were made.
 */
#ifndef FTCORE_PROTOCOL_CORE_H
#define FTCORE_PROTOCOL_CORE_H

#include "ftcore/base/event_log.h"
#include "ftcore/queue/lane.h"
#include "ftcore/record/message.h"

#include <string.h>

#define FT_MS 1000000ull

/* ---- the arbiter: what it is asked, and the rule by which it decides ------------------------------ */

/*
 * One decision for a pair is kept, and a later era replaces it. Who keeps it is not known here
 * (understudy/arbiter: a key in etcd). The core asks, the arbiter's thread answers.
 */

/*
 * A time in which a standby may take over from its primary without a new word of it: it begins with a
 * HOLDING, which gives it its number (`sent`), and ends where either has gone on alone or the standby has
 * given up. Era 0 of view 0 is that of a pair that has never been one.
 */
struct ft_era {
    uint64_t view, number;
};

/*
 * What it is asked. Who goes on from an era; or, of number 0 and a view that is to come, whether that view
 * may begin with these members: with another standby, or empty where both nodes have lost their state.
 */
struct ft_question {
    struct ft_era era;
    struct ft_members members; /* of the era's view; without names where they are not known */
    bool new_shard; /* the asking node knows no name of the shard: this new one is used where none is kept */
    bool look;      /* what is kept stays */
    bool empty;     /* the view is to begin without a state, so it may be none that has begun */
};

/* The decision that is kept. `winner`: a node's name; "": nobody's yet. */
struct ft_decision {
    bool any; /* false: there is none */
    struct ft_era era;
    char winner[FT_NAME_MAX];
    struct ft_members members;
};

enum ft_answer {
    FT_ANSWER_NONE,
    FT_ANSWER_WON,    /* who asks goes on */
    FT_ANSWER_LOST,   /* the other goes on, or a later era has begun */
    FT_ANSWER_SILENT, /* no answer, for now; it is asked again until there is one */
};

static inline int ft_era_compare(const struct ft_era *a, const struct ft_era *b)
{
    if (a->view != b->view)
        return a->view < b->view ? -1 : 1;
    return a->number < b->number ? -1 : a->number > b->number;
}

/* Views of two shards do not compare: the shard that was made first has the arbiter. Who knows no name of his
 * own is of this one where his members are those that are kept. */
static inline bool ft_asks_for_another(const struct ft_decision *kept, const struct ft_question *asked)
{
    if (!ft_has_shard(&kept->members) || !asked->members.name[0][0])
        return false;
    return asked->new_shard ? !ft_same_members(&kept->members, &asked->members)
                            : ft_other_shard(&kept->members, &asked->members);
}

/* The latest view that may have begun by what is kept: who won an era may have taken over, and begun the next
 * one, of which nobody else may know. */
static inline uint64_t ft_decided_view(const struct ft_decision *kept)
{
    return kept->era.view + (kept->era.number > 0 && kept->winner[0]);
}

/* True: `kept` is to become { asked, who }, if nobody changes it meanwhile, and then the answer is WON. */
static inline bool ft_decides_anew(const struct ft_decision *kept, const struct ft_question *asked)
{
    if (asked->look)
        return false;
    if (!kept->any)
        return true;
    if (ft_asks_for_another(kept, asked) || (asked->empty && asked->era.view <= ft_decided_view(kept)))
        return false;
    return ft_era_compare(&kept->era, &asked->era) < 0;
}

/*
 * Of a decision that is not to be replaced. `own`: this process's own question made it. What begins without a
 * state begins by its own question alone: an earlier process of the node may have begun it, and a peer have
 * taken over from it by a certain word, of which the arbiter has not heard.
 */
static inline enum ft_answer ft_decided(const struct ft_decision *kept, const struct ft_question *asked,
                                        const char *who, bool own)
{
    bool same = !ft_asks_for_another(kept, asked) && ft_era_compare(&kept->era, &asked->era) == 0;

    if (same && asked->members.name[0][0] && kept->members.name[0][0])
        same = ft_same_members(&asked->members, &kept->members);
    if (asked->empty && !own)
        return FT_ANSWER_LOST;

    return same && strncmp(kept->winner, who, FT_NAME_MAX) == 0 ? FT_ANSWER_WON : FT_ANSWER_LOST;
}

/* What takes the place of `kept` then. A question without members leaves those that are kept. The shard keeps
 * its name: the asking node may not know it yet. */
static inline struct ft_decision ft_decision_of(const struct ft_decision *kept,
                                                const struct ft_question *asked, const char *who)
{
    struct ft_decision d = {.any = true, .era = asked->era, .members = kept->members};

    if (asked->members.name[0][0])
        d.members = asked->members;
    if (ft_has_shard(&kept->members))
        memcpy(d.members.shard, kept->members.shard, sizeof(d.members.shard));
    memcpy(d.winner, who, strnlen(who, sizeof(d.winner) - 1));
    return d;
}

/* ---- the core ------------------------------------------------------------------------------------ */

/* What a chain is called: by its lines of text between nodes, by their hash, never 0, in short. */
struct ft_chain_name {
    const char *identity;
    uint32_t identity_len;
    uint64_t hash;
};

struct ft_core_config {
    char name[FT_NAME_MAX];
    uint16_t lanes;
    uint8_t role; /* the file's: 0 primary, 1 standby */
    bool strict;  /* never release without a standby */
    bool warm;    /* a standby stores and replays only at takeover: what it holds counts as replayed */
    uint64_t incarnation, secret[2]; /* as hellos carry them */
    uint64_t view;                   /* from the view file, where it is on the disk; 0: never served */
    struct ft_members members;       /* of that view; of view 0 those of the pair file */
    uint64_t new_shard[2];           /* random: the name of a shard that begins with this process */
    bool spare;       /* this node is no member and knows of none, until a primary takes it for its standby */
    bool spares;      /* the pair file has nodes that are no members: a strict primary can take one */
    bool keeps_views; /* FT_EV_STORED reports each view that is on the disk; false: nothing waits for that */
    uint32_t heartbeat_ms, lease_ms, detect_ms, promote_within_ms, solo_after_ms;
    uint32_t
        degrade_ms; /* a PROTECTED primary is DEGRADED when no answer has come for so long; 0: lease_ms */
    /* A standby that has been READY for so long suspects its primary by what it has measured, and after
     * detect_most_ms at most (protocol/standby.c); 0: always after detect_ms. */
    uint32_t listen_ms;
    uint32_t detect_most_ms; /* below promote_within_ms; less than detect_ms counts as detect_ms */
    uint32_t resync_deadline_ms;
    /* From the second time on that a standby was lost, or its resync failed, it is taken back after the
     * least, doubling up to the most (protocol/primary.c); 0: at once. Not with strict. */
    uint32_t back_off_least_ms, back_off_most_ms;
    /* A standby for which a lane waits more than so many percent of a second is given up (protocol/slow.c);
     * 0: never. slow_ms: as lanes have it, an output that waits no longer does not count. */
    uint32_t slow_percent, slow_ms;
    uint32_t start_alone_ms;      /* 0: never */
    uint32_t drain_ms;            /* a planned handover that takes longer is aborted */
    bool arbiter;                 /* where nodes decide by elapsed time, it is asked first. Not with strict */
    uint16_t newest, oldest;      /* versions of the format that it speaks; 0: all that this program does */
    char program[FT_PROGRAM_MAX]; /* its release, as hellos carry it */
    const char *identity;         /* of the chain, lines of text */
    uint32_t identity_len;
    uint64_t chain; /* hash of the identity: what a snapshot is of */
};

enum ft_event_kind {
    FT_EV_TIME,      /* time passed */
    FT_EV_CONNECTED, /* a connection to the peer stands; `greeted`: our hello has been sent on it already */
    FT_EV_LOST,      /* it ended; `how` */
    FT_EV_MESSAGE,   /* `message`, checked by its decoder. LOG, DELTA and SNAPSHOT come after their bulk was
                        stored */
    FT_EV_MALFORMED, /* the peer sent what cannot be read, or what contradicts itself: `text` */
    FT_EV_PORT_HEARTBEAT, /* the peer's heartbeat on a data port: the `view` in it, and when it `came` */
    FT_EV_DEATH_NOTICE,   /* the death notice of the process `incarnation` */
    FT_EV_LANES,          /* what lanes reached: closed[], and the fields below it */
    FT_EV_CUT,            /* the cut asked for was made after closed[]; the snapshot can be read */
    FT_EV_SNAPSHOT_SENT,  /* primary: every line of the snapshot is on its way */
    FT_EV_COST,           /* primary: what lanes have waited for the standby: `cost` */
    FT_EV_GUARDED,        /* primary: the gate is guarded; nothing after closed[] left unguarded */
    FT_EV_DRAINED,        /* primary: ports empty, all outputs released, last burst closed[] */
    FT_EV_STEERED,        /* standby: announced, frames are left unread */
    FT_EV_DIVERGED,       /* standby: replay did not reproduce the recording: `text` */
    FT_EV_STORED,         /* the file on this node's disk has `view` */
    FT_EV_ANSWER,         /* of the arbiter, to the question for `era`: `answer` */
    FT_EV_REQUEST, /* an operator wants `request`, or something else a RESYNC, for the reason in `text`; a
                      REPAIR with the node that `text` names; a person claims that the node in `lost`, if any,
                      is dead */
};

enum ft_lost { FT_LOST_EOF = 1, FT_LOST_RESET, FT_LOST_ERROR };
enum ft_request { FT_REQUEST_PROMOTE = 1, FT_REQUEST_HANDOVER, FT_REQUEST_RESYNC, FT_REQUEST_REPAIR };

/* Of a lane: ns that it ran beside a standby, ever, and of these those in which it waited for it. */
struct ft_cost {
    uint64_t beside, waited[FT_WAITS];
};

struct ft_event {
    enum ft_event_kind kind;
    uint64_t now; /* local monotonic clock, ns; never decreases from step to step */
    union {
        enum ft_lost how;
        enum ft_request request;
        uint64_t view;    /* FT_EV_PORT_HEARTBEAT, FT_EV_STORED */
        uint64_t greeted; /* FT_EV_CONNECTED: `sent` of the ft_core_hello sent there, 0: none */
        enum ft_answer answer;
    };
    struct ft_era era;                  /* FT_EV_ANSWER */
    const struct ft_decision *decision; /* with it: what is kept; NULL with FT_ANSWER_SILENT */
    const struct ft_message *message;
    const char *text, *lost;
    const struct ft_cost *cost; /* FT_EV_COST: of each lane */
    uint64_t incarnation;
    uint64_t came; /* FT_EV_PORT_HEARTBEAT: local monotonic ns, before `now` when its lane read it late */
    /* Standby: the closed set it holds. Primary: the bursts that the stream accounts for; with CUT, GUARDED
     * and DRAINED, the bursts executed. */
    uint64_t closed[FT_LANES_MAX];
    uint64_t replayed[FT_LANES_MAX]; /* standby */
    uint64_t taken[FT_LANES_MAX];    /* standby: bytes of entries replayed, applied or skipped, ever */
    uint64_t access[FT_LANES_MAX];   /* FT_EV_CUT: access numbers given so far */
    bool reached; /* standby: closed, replayed and taken are filled in, and count before the event; of
                     FT_EV_LANES they always are */
};

enum ft_action_kind {
    FT_ACT_SEND,        /* `send`: a message without bulk (HELLO: the identity is its bulk) */
    FT_ACT_CLOSE,       /* close the connection */
    FT_ACT_GATE,        /* `gate` */
    FT_ACT_ORDER,       /* `order`: lanes; LIVE with `vector`: replay up to it first */
    FT_ACT_CUT,         /* make a cut, begin a snapshot and the log after it */
    FT_ACT_NO_SNAPSHOT, /* forget the snapshot and stop logging */
    /* This node's view is now `view`, of `members`. It goes to the writer of the view file as with
     * FT_ACT_STORE. */
    FT_ACT_VIEW,
    /* `view`, of `members`, is to be in the view file soon; FT_EV_STORED will report it. No action waits for
     * the disk: the writer gets the view last, when all actions of the step are carried out and their
     * messages are sent. So at a takeover it comes after the heartbeat with the new view and after the orders
     * to the lanes. */
    FT_ACT_STORE,
    FT_ACT_CLEAR, /* stop the lanes and wait until they are quiesced; what is held of log and snapshot is void
                   */
    FT_ACT_STEER, /* `flag`: announce and leave frames unread / read again */
    FT_ACT_ANNOUNCE, /* gratuitous ARP for all addresses */
    FT_ACT_ASK,      /* `flag`: ask the arbiter `question`, until it answers. Else: ask it no more */
    FT_ACT_AIM,      /* the link is for the node `name` from now on; "": for whichever node comes */
    FT_ACT_STATE,    /* report that the state is now send.state, because of send.text; `event` */
};

enum ft_gate { FT_GATE_SHUT, FT_GATE_GUARDED, FT_GATE_SOLO };

struct ft_action {
    enum ft_action_kind kind;
    struct ft_message send;
    enum ft_gate gate;
    uint64_t lease_until; /* with FT_GATE_GUARDED */
    uint64_t vector[FT_LANES_MAX];
    enum ft_order order;
    uint64_t view;
    enum ft_event_name
        event; /* FT_ACT_STATE: a takeover, the loss of a standby, a fence, REFUSED, or STATE */
    bool flag; /* FT_ACT_STATE: planned */
    struct ft_question question;
    struct ft_members members;
    char name[FT_NAME_MAX];
};

#define FT_ACTIONS_MAX 24u
struct ft_actions {
    uint32_t count;
    bool malformed; /* the event was refused, and counts as malformed */
    struct ft_action list[FT_ACTIONS_MAX];
    struct ft_message unsaid; /* what nobody would have heard: private to the core */
};

enum ft_resync {
    FT_RESYNC_NONE,
    FT_RESYNC_CUT,      /* cut asked for */
    FT_RESYNC_SNAPSHOT, /* lines are on their way, and the log behind them */
    FT_RESYNC_CATCHUP,  /* the snapshot is whole there; the standby replays faster than lanes go on */
    FT_RESYNC_SWITCH,   /* lanes are ordered to guard the gate, and report after which burst (`hold`) */
    FT_RESYNC_HOLD,     /* outputs after `hold` are held until the standby has replayed up to it */
};

enum ft_handover {
    FT_HAND_NONE,
    FT_HAND_STEER,  /* standby is asked to draw the frames to itself */
    FT_HAND_DRAIN,  /* what still lies in our ports is worked off */
    FT_HAND_GIVEN,  /* sent HANDOVER; waiting for the new view */
    FT_HAND_TAKING, /* standby: HANDOVER heard, replaying to its vector */
};

enum ft_repair {
    FT_REPAIR_NONE,
    FT_REPAIR_RELEASE, /* until this primary is SOLO: its standby gives up its state */
    FT_REPAIR_ASK,     /* the arbiter is to keep the view that begins; no era begins before its answer */
    FT_REPAIR_STORE,   /* it has; and now this node's disk */
};

/* What a strict primary knows of a right that another node may have to take over from it. */
enum ft_right {
    FT_RIGHT_UNKNOWN, /* it began to serve without a word of the other member */
    FT_RIGHT_NONE,    /* none: the other member reported that, or is certainly dead, or was taken over from */
    FT_RIGHT_GIVEN,   /* a standby got one, and has it yet or has used it */
};

#define FT_DOUBLED_NS      (3600000 * FT_MS) /* for so long a takeover from a living primary counts */
#define FT_SILENCE_MINUTES 11u               /* this one, and the ten before it */

/* What a node knows of its primary's silences, and of its own, ns. */
struct ft_silence {
    uint64_t of[FT_SILENCE_MINUTES]; /* the longest in that minute, by the minute's number */
    uint64_t not_before;             /* silence counts from here at the earliest, since this node has slept */
    uint64_t minute;                 /* the newest: of the local monotonic clock */
    uint64_t longest;                /* of all of these minutes */
    uint64_t taken_since;     /* of a takeover because of silence: when the primary fell silent; 0: none, or
                                 it has been judged */
    uint64_t false_takeovers; /* those after which its process spoke again before the most was over */
    uint64_t stall_of[FT_SILENCE_MINUTES], longest_stall; /* the same of the gaps between this node's steps */
    uint64_t slept;                                       /* how long the gap was that ended at `awake` */
    uint64_t doubled_at; /* when a takeover from a living primary, by either node, was last known as one */
    unsigned doubled;    /* so often by then */
    uint32_t lease_ms;   /* the primary's, from its hello */
};

enum ft_slow_side {
    FT_SLOW_NONE,
    FT_SLOW_LANE,    /* the standby's lane replays too slowly */
    FT_SLOW_LINK,    /* the link takes too little, or is silent while the data ports are not */
    FT_SLOW_PROCESS, /* the standby's process, or its machine, stands again and again */
    FT_SLOW_ANSWERS, /* it speaks in time, and acknowledges late */
};

/* What its standby costs a primary: protocol/slow.c. Times are local monotonic ns. */
struct ft_slow {
    struct { /* a second, from `began` on; 0: none is judged */
        uint64_t began;
        uint64_t stood;         /* of it this node did not run */
        uint64_t silent, quiet; /* the longest time without a message; without a heartbeat on a data port */
        struct ft_cost from[FT_LANES_MAX]; /* as it was then */
    } window;
    uint64_t ran_since;     /* this node has run without a stall */
    unsigned percent;       /* of the last second that was judged: of the lane that waited longest */
    enum ft_slow_side side; /* why, where that is more than it may */
    bool gives_up;          /* for as long as a step */
    bool proves;            /* a standby was given up because of this, and has not kept up for long since */
    uint64_t since, seen, late; /* catch-up: it shows since, and did last, that it keeps up; it was late */
    uint64_t count; /* of seconds in which it cost too much; not with strict: of standbys given up */
};

/* A node that is not this one's peer, by its hello. */
struct ft_visitor {
    char name[FT_NAME_MAX]; /* printable */
    enum ft_state state;
    uint64_t view;
    uint64_t at, count;          /* at: local monotonic ns */
    char differs[FT_REASON_MAX]; /* why it cannot be the peer, and what to do; "": it fits */
};

struct ft_core {
    struct ft_core_config config;
    enum ft_state state;
    uint64_t since; /* monotonic ns */
    char why[FT_REASON_MAX];
    enum ft_event_name event; /* what the next FT_ACT_STATE reports */
    bool planned;             /* of that: it was asked for, or is a step towards protection: nothing failed */
    uint64_t view;
    uint64_t stored;   /* the view on the disk */
    uint64_t reserved; /* the last view that was to be on the disk before this node begins it; 0: none */
    bool unsettled;    /* primary by a handover: nothing leaves, since its view might be forgotten: see
                          promote_standby in standby.c */
    struct ft_members members; /* of `view` */
    bool member;               /* this node is one of them */
    uint64_t first_view;       /* the first that has these members, as far as this node knows */
    struct {
        enum ft_repair step;
        char name[FT_NAME_MAX];      /* who is to be the standby */
        uint64_t count;              /* that were done */
        char outcome[FT_REASON_MAX]; /* why the last one was not done, or what is waited for; "": it was done
                                      */
    } repair;
    bool alone_requested; /* JOINING: a person wants it to begin with an empty state */
    uint64_t now, started;
    uint64_t awake; /* since when this node has been stepping without a gap longer than the lease */
    uint64_t alone; /* since when no peer answers at all, for solo_after and start_alone */

    struct {
        bool up, known;          /* connection; its hello, and the proof that it is no replay */
        uint64_t asked;          /* `sent` of our hello on this connection: only who hears it can echo it */
        bool greeted;            /* its hello came, and fits */
        bool joins;              /* that hello was of no member, or of one without a view on its disk */
        struct ft_message hello; /* that hello without its bulk; believed once `asked` is echoed */
        /* Of the format that both speak, by the last hello heard. It outlives the connection. */
        uint16_t version;
        bool agreed; /* by a hello on this connection: nothing else is sent before */
        char name[FT_NAME_MAX];
        char program[FT_PROGRAM_MAX]; /* its release by its last hello, printable */
        uint8_t role;
        enum ft_state state;
        uint64_t incarnation, secret[2], view;
        uint64_t heard;    /* last message, our clock. This, port_heartbeat, incarnation outlive it */
        uint64_t met;      /* when the connection began */
        uint64_t answered; /* `answered` below, as it was then: one that is sent away has renewed no lease */
        uint64_t newest;   /* newest `sent` heard from it, which this node echoes */
        uint64_t echoed;   /* newest of our `sent` that it echoed on this connection */
        uint64_t port_heartbeat;
        uint64_t heartbeat_view; /* the view in the last heartbeat on a data port */
    } peer;

    char partner[FT_NAME_MAX]; /* the name of the last peer known, printable: for reasons. It outlives it */
    uint64_t sent; /* the last `sent` given: no two messages share one, so an echo names a message */
    struct {
        enum ft_state state;
        uint64_t view, since; /* since: `sent` of the first message that carried them */
    } said;

    struct ft_silence silence;
    struct ft_slow slow; /* primary */
    uint64_t answered;   /* standby: when we last sent an answer that echoed something new */
    uint64_t echoed;     /* the newest `sent` of the peer that a message of ours has echoed */
    uint64_t own_echoed; /* newest of our own `sent` times that the peer has answered */
    uint64_t ready_echo; /* primary: newest of our own `sent` that a READY standby has answered; the lease
                            runs from it */
    uint64_t heartbeat_due;
    enum ft_right right; /* primary, strict */
    bool guarded;        /* primary: gate is FT_GATE_GUARDED */
    bool solo;           /* primary: gate is FT_GATE_SOLO */
    bool cut_off; /* primary: guarded, but the log no longer reaches the standby, which may still hold rights:
                     no lease until a new snapshot took them away */
    bool steered; /* standby: was asked to draw the frames to itself */

    /* What this node's lanes reached, as in struct ft_event; and what the peer acknowledged of it. */
    uint64_t closed[FT_LANES_MAX], replayed[FT_LANES_MAX], taken[FT_LANES_MAX];
    uint64_t peer_closed[FT_LANES_MAX], peer_replayed[FT_LANES_MAX], peer_taken[FT_LANES_MAX];
    uint64_t hold[FT_LANES_MAX];     /* outputs of later bursts are held: see FT_RESYNC_HOLD */
    bool snapshot_whole, hold_known; /* standby */
    bool kept; /* JOINING: its right has ended, and what it held as a READY standby is held yet */
    /* Standby: the contents of the last ACK, and when it was sent. */
    uint64_t acked[FT_LANES_MAX], acked_replayed[FT_LANES_MAX], acked_taken[FT_LANES_MAX];
    uint64_t acked_at;
    uint64_t snapshots; /* standby: snapshots begun, ever; a keeper of their log begins anew with each */

    enum ft_resync resync;
    uint64_t resync_began, switch_began, resync_again; /* again: not before this time */
    struct {
        unsigned count;    /* of this standby in a row that count: primary.c */
        uint64_t at;       /* of the last one; 0: none */
        uint64_t taken_at; /* when it was last taken back since; 0: not yet */
        uint64_t until;    /* it is not taken back before */
    } back_off;            /* primary */
    uint64_t begun;        /* `sent` of SNAPSHOT_BEGIN: who echoes it has forgotten what it held */
    uint64_t resyncs, resyncs_failed;
    char resync_outcome[FT_REASON_MAX];

    enum ft_handover hand;
    uint64_t hand_began;
    bool reclaims; /* primary: aborted one; the standby has not yet reported that it draws no frames */
    char hand_outcome[FT_REASON_MAX]; /* why the last one was aborted; "" when it was not */
    uint64_t final[FT_LANES_MAX];

    bool abandoning; /* primary: wants to close, waits for the answer */
    uint64_t abandon_began;
    uint64_t abandon_lease;      /* until then the standby cannot have promoted itself */
    bool refused;                /* the peer's hello does not fit ours */
    char differs[FT_REASON_MAX]; /* in what, and what to do; "": it fits, or none was heard */
    uint64_t other_told;         /* that another node than the peer differs: local monotonic ns; 0: never */

    struct {
        struct ft_era era; /* the last: primary: of its last HOLDING; standby: of the last that it heard */
        bool open;         /* primary: the standby of this era may hold it yet */
        bool asking;       /* who goes on; no answer yet */
        bool lost;         /* the other one does: this node holds, and asks no more */
        bool alone;        /* the answer: this node, which never served, may begin without its peer */
        bool lapsed;       /* standby: its right has ended once in this era */
        bool heard;        /* standby, asking: the primary speaks again */
        bool silent;       /* asking, and it could not be reached */
        bool other;        /* what it keeps is another shard's, by its last answer */
        struct ft_question asked;
        uint64_t granted; /* JOINING: this view may begin empty; 0: none */
        uint64_t again;   /* JOINING: it is not asked for one before that time, local monotonic ns */
        uint64_t since;   /* asking: local monotonic ns */
        uint64_t quiet;   /* standby: for how long the primary had been silent then, ns */
        char why[64];     /* it asks */
        struct {          /* the last that this node got; era.view 0 with `at` 0: none */
            struct ft_era era;
            enum ft_answer answer;
            uint64_t at; /* local monotonic ns */
        } decision;
    } arbiter;

    /* For status and drills. */
    struct {
        uint64_t view, suspected, decided; /* ns */
        uint64_t quiet; /* for how long the other one had been silent when it was suspected, ns */
        char reason[FT_REASON_MAX];
        char why[FT_REASON_MAX]; /* the sentence: from whom, and the reason */
        bool planned;            /* a handover */
    } takeover;
    struct {
        uint64_t at, view, count;
        char by[FT_NAME_MAX];
    } fenced;
    struct { /* of its standby, by a primary that serves on */
        uint64_t at, view, count;
        bool open; /* the standby has not been ready since; what else is heard of it is the same loss */
        char why[FT_REASON_MAX];
    } loss;
    struct ft_visitor visitor; /* whose hello came last: our hello named the members to it */
    struct ft_visitor former;  /* the last visitor that claimed to be a member while this node is one and has
                                  another peer: it has not learnt that it was removed */
    struct {
        uint64_t count; /* messages of the peer that could not be read, or contradicted themselves */
        char text[FT_REASON_MAX]; /* what was wrong the last time */
    } malformed;
    uint64_t solos, degradations, false_alarms;
};

void ft_core_init(struct ft_core *core, const struct ft_core_config *config, uint64_t now,
                  struct ft_actions *actions);

/* Fills `actions` (emptied first). */
void ft_step(struct ft_core *core, const struct ft_event *event, struct ft_actions *actions);

/*
 * Fills our hello. For a connection on which the peer has sent its hello while an older connection lives: the
 * new one is to take over only when the peer has echoed this hello's `sent` there (then FT_EV_CONNECTED
 * passes it as `greeted`). The sender of an overheard hello cannot do that.
 */
void ft_core_hello(struct ft_core *core, uint64_t now, struct ft_message *m);

/* A node that is not this one's peer has sent this hello, and is answered with ft_core_hello. It becomes the
 * peer where it is a primary that has taken this node, which is no member yet, for its standby. */
void ft_core_visited(struct ft_core *core, uint64_t now, const struct ft_message *hello,
                     struct ft_actions *actions);

/* Whether this node is to send its hello to other nodes than its peer, from which it can learn that it is no
 * member any more, or that it is one: it hears nobody, and releases nothing. */
bool ft_core_visits(const struct ft_core *core);

/* A primary of this pair can get another standby: it has an arbiter, or it is strict, and its file has a
 * spare or the shard a name: one has got another before. */
bool ft_core_repairs(const struct ft_core *core);

/* Why this node cannot take `name` for its standby now; NULL: it can. `lost`: the standby that a person
 * claims to be dead; NULL: none. */
const char *ft_core_refuses_repair(const struct ft_core *core, const char *name, const char *lost);

/*
 * Fills the head of a bulk message (LOG, DELTA, SNAPSHOT) that the caller makes, as the core would: state,
 * view, times. Every message to the peer carries a head from here or from FT_ACT_SEND.
 */
void ft_core_head(struct ft_core *core, enum ft_message_type type, uint64_t now, struct ft_message *m);

/* True when the bulk of this message may be stored: it is of the primary that this node follows, in its view,
 * and its head can be true. SNAPSHOT only before the snapshot is whole. */
bool ft_core_accepts(const struct ft_core *core, const struct ft_message *m);
/* True when this message ends the snapshot, and the step will believe it: the state has to be checked
 * before. */
bool ft_core_ends_snapshot(const struct ft_core *core, const struct ft_message *m);

/* How long a silence has to be that makes this standby suspect its primary, ns; false: that is detect_ms at
 * least, since it is not measured, or not for long enough yet. */
uint64_t ft_core_detects(const struct ft_core *core);
bool ft_core_listened(const struct ft_core *core);
/* A standby whose view is not on its disk acknowledges nothing. */
bool ft_core_acknowledges(const struct ft_core *core);
/* Primary: losses and failed resyncs of its standby in a row, and in *left the ns until it is taken back. */
unsigned ft_core_back_off(const struct ft_core *core, uint64_t *left);
/* So often its lower bound is doubled, because of takeovers from a primary that was alive. */
unsigned ft_core_doubled(const struct ft_core *core);
/* For people. FT_SLOW_NONE: "". */
const char *ft_slow_text(enum ft_slow_side side);

/* When FT_EV_TIME is wanted next at the latest, local monotonic ns: within FT_LOOK_NS. What the core is
 * stepped later than that counts as a stall of this node's (protocol/standby.c). */
#define FT_LOOK_NS (5 * FT_MS)
uint64_t ft_core_due(const struct ft_core *core);

static inline bool ft_is_primary(enum ft_state state)
{
    return state == FT_SOLO || state == FT_PROTECTED || state == FT_DEGRADED;
}
static inline bool ft_core_primary(const struct ft_core *core)
{
    return ft_is_primary(core->state);
}

#endif
