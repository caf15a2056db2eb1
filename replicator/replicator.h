/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The replicator: one thread that drains the lanes' log rings, sends, receives, stores, acknowledges, and
 * carries out what the protocol core decides. It owns the core, the link and the closed set; it reaches lanes
 * only through struct ft_lane_shared and the region only while lanes are quiesced (to apply snapshot lines)
 * or through the copy of a snapshot.
 *
 *   lanes' log rings ─▶ sender ─▶ link ─▶ receiver ─▶ lanes' replay rings
 *   snapshot's copy  ─▶ snapshot ─▶ link ─▶ snapshot ─▶ region
 */
#ifndef REPLICATOR_REPLICATOR_H
#define REPLICATOR_REPLICATOR_H

#include "ftcore/base/event_log.h"
#include "ftcore/base/turns.h"
#include "ftcore/protocol/core.h"
#include "ftcore/order/section.h"
#include "ftcore/record/crash_notice.h"
#include "ftcore/record/delta.h"
#include "replicator/link.h"
#include "replicator/view.h"

enum rp_compress {
    RP_COMPRESS_AUTO, /* while the link is the limit */
    RP_COMPRESS_ALWAYS,
    RP_COMPRESS_NEVER
};

/* Who asks the arbiter for this node. The replicator's thread calls; none may wait. */
struct rp_arbiter {
    void *arg;
    void (*ask)(void *arg, const struct ft_question *question); /* until it is known; NULL: no more */
    /* True once for each answer to what is asked; of FT_ANSWER_SILENT there may be many. `kept`: what stands
     * there then, but for those. */
    bool (*answer)(void *arg, struct ft_era *era, enum ft_answer *answer, struct ft_decision *kept);
    /* This node releases in that view, whose members these are; 0: it does not. */
    void (*serves)(void *arg, uint64_t view, const struct ft_members *members);
};

struct rp_config {
    struct ft_core_config core;
    struct rp_link_config link;
    struct ft_region *region;
    struct ft_lane_shared *lanes;   /* [core.lanes] */
    struct ft_published *published; /* [core.lanes]; set when a snapshot begins. NULL: one lane */
    uint64_t pending_bytes; /* records and chunks, in memory form, that the standby may hold unreplayed, per
                               lane */
    uint32_t resync_mbps;   /* megabyte of snapshot lines per second */
    enum rp_compress compress;
    bool protect; /* false: mode off, no peer, SOLO at once */
    /* Lanes have ports to the peer's, which has a hot standby's log: what came by them. NULL: none. */
    struct ft_closed *by_port;
    bool log_only; /* the pair sends no deltas: one that comes is refused */
    const char *view_file;
    const struct rp_arbiter *arbiter; /* with core.arbiter; NULL: none. Outlives the replicator */
    /* A line for the log when the state changes, or why it is so; called by the replicator's thread. `what`:
     * FT_SAYS_STATE, or the takeover, loss, fence or refusal that it is. `planned`: nothing failed. */
    void (*state_changed)(void *arg, enum ft_event_name what, bool planned, enum ft_state state,
                          uint64_t view, const char *why);
    void (*view)(void *arg, uint64_t view); /* the view changed: the death notice must carry it */
    /* The peer is this node from now on, or it is reached there from now on; name "": it is nobody in
     * particular. host "": no other place is known for it than the one before. By the replicator's thread.
     * NULL: it never changes. */
    void (*aimed)(void *arg, const struct rp_node *peer);
    /* A crash notice of the peer's, once for each of its processes, and each that it sends while it lives
     * (signal 0); by the replicator's thread. `primary`: this node was primary, so its standby died. NULL:
     * ignored. */
    void (*crashed)(void *arg, const struct ft_crash_notice *notice, bool primary);
    void *arg;
    /*
     * What a peer may make of the state; both by the replicator's thread, NULL: anything. `check`: a snapshot
     * is whole and lanes are quiesced: 0, or why no lane may run on it. It calls `pulse` every few
     * milliseconds. `keeps`: lines of a lane's delta, before it is kept: 0, or what they must not change.
     */
    int (*check)(void *judge, void (*pulse)(void *arg), void *arg, struct ft_fault *fault);
    int (*keeps)(void *judge, unsigned lane, const struct ft_line_run *run, struct ft_fault *fault);
    void *judge;
    /*
     * The chain that the lanes have, which may be changed while they run; NULL: it never is. `chain`: by the
     * replicator's thread, what it names stays as long as the replicator. `become`: a snapshot of the chain
     * with this hash begins, and another one is here: true, and lanes will make that one when they are
     * ordered to wait; false: it is not known here.
     */
    const struct ft_chain_name *(*chain)(void *judge);
    bool (*become)(void *judge, uint64_t hash);
};

uint64_t rp_chain_hash(const char *identity, uint32_t len); /* never 0 */

/* What the standby has reported about digests, as its primary received it. */
struct rp_verdicts {
    struct rp_verdict { /* the last on a lane's digest: the burst, 0 for none since start, and both digests */
        uint64_t burst, expected, got;
    } last[FT_LANES_MAX];
    uint64_t different; /* verdicts that two digests differ */
    /* When a whole round of a lane's slices had been found equal; 0: none since its snapshot began. */
    uint64_t round_at[FT_LANES_MAX];
    uint64_t slices_equal; /* of all such rounds */
};

/*
 * The result of all verdicts on one digest, which every lane's record carried: bursts[lanes] are those of the
 * records, FT_ALL where a lane has none yet. One verdict that two digests differ is enough: the standby gives
 * up its state with it, and the verdicts of other lanes may never come. They are equal when all lanes report
 * that, and of the same digest. False: not known yet.
 */
bool rp_verdict_find(const struct rp_verdicts *verdicts, unsigned lanes, const uint64_t bursts[],
                     struct rp_verdict *out);

/* How a node stands beside the other one, as it sends it (FT_MSG_COUNTER). */
struct rp_standing {
    uint32_t counter;        /* its demotion counter */
    char why[FT_REASON_MAX]; /* what is in it, "": nothing */
    uint8_t maintenance;     /* enum ft_maintenance, seen from its sender */
    uint64_t maintained; /* wall clock of that order, ns since 1970, later than any before it; 0: none yet */
    uint64_t cluster;    /* of the arbiter that it asks; 0: it has none, or none has answered */
};

/* What the lanes' ports to the peer's lanes do (port.c). */
enum rp_port_state {
    RP_PORT_OFF,    /* they do not count: no PROTECTED primary and READY standby are connected */
    RP_PORT_SILENT, /* nothing is heard by one of them, or what it carried was not stored in time */
    RP_PORT_OPEN,   /* they are heard, and the link carries the log */
    RP_PORT_CARRIES /* they carry the log: the primary has ordered it, or the standby gets it by them */
};

/* What status shows; a copy, taken whole. Times are monotonic ns. */
struct rp_status {
    uint64_t at; /* when the replicator made this copy, as it does in a turn, once a millisecond at most: its
                    last turn */
    struct ft_core core; /* state, peer, vectors, takeover, resync */
    bool link_up;
    struct rp_link_stats link;
    uint64_t log_bytes_wire, snapshot_bytes, records_sent, records_stored;
    uint64_t delta_bytes_wire, chunks_sent, chunks_stored;
    uint64_t overruns;     /* snapshots begun because a delta would have been too large */
    uint64_t credit_waits; /* batches that waited for the standby's credit */
    uint64_t compressed;   /* times that messages began to be compressed */
    bool compressing;      /* they are compressed now */
    uint64_t lag_packets;  /* primary: packets recorded and not yet known to be replayed */
    enum rp_port_state port;
    uint64_t port_switches; /* primary: times that they began to carry; and that one fell silent then */
    uint64_t port_losses;
    uint64_t snapshot_left; /* lines not sent yet */
    uint64_t repairs;       /* requests for another standby that were taken, whatever came of them */
    uint64_t refused;       /* malformed input, all kinds */
    uint64_t view_behind;   /* for how long the disk has not had the newest view, ns; 0: it has */
    char last_refused[FT_REASON_MAX];
    struct rp_verdicts verdicts;
    struct ft_turns turns; /* of the replicator's thread */
    bool peer_told;        /* the peer has sent `peer_standing` on this connection */
    struct rp_standing peer_standing;
    struct rp_past { /* wall clock, ns since 1970, of what `core` reports as the last of its kind; 0: none */
        uint64_t takeover, loss, fence;
    } past;
};

struct rp_replicator;

/*
 * Reads the view file and writes it, which may wait for the disk; opens the link. Fails by name (address
 * taken, no permission, view file unreadable or not writable) with nothing left open. The thread is the
 * caller's: it calls rp_run. The one that writes the view file from then on is the replicator's own.
 */
int rp_open(struct rp_replicator **out, const struct rp_config *config, struct ft_fault *fault);
void rp_close(struct rp_replicator *rp);

/* Runs until rp_stop. */
void rp_run(struct rp_replicator *rp);
void rp_stop(struct rp_replicator *rp);
/* After rp_run, by its thread: closes the connection at once, while the peer still has the last answer. */
void rp_hang_up(struct rp_replicator *rp);

/* One turn without waiting: drains input, lanes and timers, sends. True if anything was done. rp_run is this
 * and a wait. */
bool rp_turn(struct rp_replicator *rp, uint64_t now);

/* Any thread. */
void rp_status(struct rp_replicator *rp, struct rp_status *out);
void rp_request(struct rp_replicator *rp, enum ft_request what);
/* The main thread: an operator wants another standby. False: the one before has not been taken yet. */
bool rp_repair(struct rp_replicator *rp, const struct rp_repair *repair);
/* The main thread: to be sent to the peer, now and on each new connection, until another one is given. False:
 * the one before has not been taken yet, so this one is to be given again. */
bool rp_give_standing(struct rp_replicator *rp, const struct rp_standing *own);
/* Takes `seal`: it seals the connections that are made from the replicator's next turn on. The one that
 * stands stays as it is. Not where the link is not sealed, or protection is off. */
void rp_reseal(struct rp_replicator *rp, struct rp_seal *seal);
/* Asks the peer to kill itself (drill), if its file permits. */
void rp_drill(struct rp_replicator *rp, const char *kind);
/* True once when the peer asked us to: its word in kind[0..cap). */
bool rp_drilled(struct rp_replicator *rp, char *kind, size_t cap);

/*
 * Files for the peer, one set at a time, and those that it sends (sideband.c). For the thread that answers
 * operators. `bytes`: RP_PUSH_MAX at most, copied; `chain`: the hash of the chain that they make. rp_push:
 * false while one is under way, or there is no memory. They go to a peer that is known, and to one that is
 * refused since its chain is another.
 */
#define RP_PUSH_MAX (FT_BULK_MAX / 2 + (64u << 10)) /* bytes of a set; below what a link has room for */
struct rp_push_answer {
    bool taken;
    char text[FT_REASON_MAX]; /* why not */
};
bool rp_push(struct rp_replicator *rp, uint64_t chain, const void *bytes, uint32_t len);
bool rp_push_answered(struct rp_replicator *rp, struct rp_push_answer *out); /* true once */
void rp_push_forget(struct rp_replicator *rp);                               /* nobody waits for the answer */
/* The peer's, until they are answered; NULL: there are none. */
const uint8_t *rp_pushed(struct rp_replicator *rp, uint64_t *chain, uint32_t *len);
void rp_push_reply(struct rp_replicator *rp, const struct rp_push_answer *answer);

/*
 * A question to the peer's main thread, which only looks, and what it answers: text, one each way at a time,
 * to a peer that is known and of the same release, over a sealed link (look.c). The main thread's. rp_look:
 * false while one is under way. rp_look_answered: true once; `text` is the caller's to free.
 * rp_look_forget: nobody waits for it any more; false: a moment later. rp_looked: the peer's question, until
 * it is answered; NULL: none. rp_looked_answer takes `text`; len 0: there is no answer.
 */
#define RP_QUESTION_MAX 4096u
#define RP_ANSWER_MAX   (512u << 10)
bool rp_look(struct rp_replicator *rp, uint64_t id, const char *text, size_t len);
bool rp_look_answered(struct rp_replicator *rp, char **text, size_t *len);
bool rp_look_forget(struct rp_replicator *rp);
const char *rp_looked(struct rp_replicator *rp, size_t *len);
void rp_looked_answer(struct rp_replicator *rp, char *text, size_t len);

/* This node, which has no state and knows no peer, is to take the chain with this hash by `become`. */
void rp_rejoin(struct rp_replicator *rp, uint64_t chain);

#endif
