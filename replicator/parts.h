/* SPDX-License-Identifier: Apache-2.0 */
/* Inside the replicator only: what its files share. One thread uses all of it. */
#ifndef REPLICATOR_PARTS_H
#define REPLICATOR_PARTS_H

#include "ftcore/base/clock.h"
#include "ftcore/order/closed.h"
#include "ftcore/record/delta.h"
#include "replicator/replicator.h"

#include <time.h>

#ifndef RP_BATCH
#define RP_BATCH (128u << 10) /* bytes of bulk a message aims at */
#endif
#ifndef RP_SEQ_MEMORY        /* the simulation remembers fewer */
#define RP_SEQ_MEMORY 65536u /* bursts after which the sequence number is remembered */
#endif
#ifndef RP_PENDING
#define RP_PENDING 65536u /* bursts per lane that the receiver keeps outside the closed set */
#endif

/* How fast a hot standby replays, by what it acknowledges; of one lane. */
struct rp_replay_rate {
    uint64_t at, seq; /* when the present window began, ns, and the packet that it had replayed by then */
    uint64_t seen, stored; /* packets of the acknowledgement before: replayed, stored */
    bool idle;             /* it had replayed all at some moment of the window */
    double ns;             /* a packet, mean of late windows; 0: not known */
};

/* Yes or no, measured; sender.c decides how long a yes stands. */
struct rp_answer {
    bool yes;
    uint64_t seen, dropped, hold; /* ns: last found so, given up, to stand for */
    uint64_t count;               /* times it became yes */
};

struct rp_schedule {
    struct rp_answer compressing;
    uint64_t stalled; /* since when the connection has not taken all; 0: it has */
    struct rp_link_times times;
    bool yields;   /* without real-time priority: others run when it gives way */
    uint64_t sent; /* `sent` of the sender's last message, ns: when that was, and what the peer will echo */
    uint64_t packets;    /* grows with each entry that covers packets, sent or stored */
    uint64_t moved, gap; /* the last entry with packets, and ns a packet since the one before */
    uint64_t worked;     /* the last turn with work, ns */
};

struct rp_sender {
    bool on;                      /* a snapshot has begun: records and chunks go out */
    uint64_t from[FT_LANES_MAX];  /* records up to this burst are in the snapshot already */
    uint64_t start[FT_LANES_MAX]; /* and so is all that begins before this position in the log ring */
    uint64_t sent[FT_LANES_MAX];  /* bytes of entries sent since the snapshot, in memory form: against the
                                     peer's `taken` */
    uint64_t seq[FT_LANES_MAX];   /* sequence number after the last entry sent */
    uint64_t burst[FT_LANES_MAX]; /* burst of the last entry sent */
    bool more;                    /* a message was full, or of one kind: something was left */
    unsigned first;               /* lane that may send first this time */
    uint64_t (*seq_of)[RP_SEQ_MEMORY]; /* [lanes] sequence number after burst b, at b % RP_SEQ_MEMORY */
    struct rp_replay_rate drain[FT_LANES_MAX];
    struct ft_compressor compress_log, compress_delta;
    uint8_t *bulk;
};

struct rp_snapshot {
    bool cutting, reading; /* a cut is asked for; it was made, and lines are being sent */
    uint64_t cut;          /* serial */
    struct ft_lines unsent;
    uint64_t left, at, lines;
    uint64_t untouched; /* up to where lines of untouched pages were sent, as zeros */
    uint64_t began;     /* when all lanes had made the cut */
    uint64_t said;      /* standby: when the peer last heard something while the state was checked */
    uint64_t taken;     /* standby: lines that have come since the snapshot began, zeros too */
    struct ft_compressor compressor;
    uint8_t *bulk;
};

/* The delta of a lane whose chunks are coming: what is known after the last one that came. */
struct rp_delta {
    bool open;
    struct ft_chunk head; /* of its last chunk */
    uint64_t line;        /* last line of the last run */
    uint64_t rank;        /* least rank that the next line may have */
    uint64_t output;      /* number of the last output */
    uint64_t burst;       /* burst of the last output */
    uint64_t at;          /* incremental: where in the replay ring what comes behind the cut begins; else 0 */
};

struct rp_receiver {
    struct ft_closed *closed;
    struct rp_delta delta[FT_LANES_MAX];
    uint64_t last[FT_LANES_MAX];     /* burst of the last record that was kept */
    uint64_t had[FT_LANES_MAX];      /* bytes of records that had come by the lane's port already */
    uint64_t released[FT_LANES_MAX]; /* outputs that the peer has released, by the last record */
    struct ft_chunk *scratch;        /* a chunk as it is decoded, before it is put into its lane's ring */
};

/* Files on their way (sideband.c), one set each way. Filled by one thread at a time, by the stage. */
struct rp_pushing {
    _Atomic int stage; /* enum rp_push_stage */
    uint64_t chain;
    uint64_t connects; /* of the link, when they were sent; 0: they were not */
    uint32_t len;
    uint8_t *bytes;
    struct rp_push_answer answer;
};

/* A question of a main thread, and its answer (look.c); filled by one thread at a time, by the stage. */
struct rp_looking {
    _Atomic int stage;
    uint64_t id;
    uint64_t connects, next; /* of the link, when it came; ns: when the next piece may go */
    uint32_t len, at;        /* of `bytes`; how much of it has been sent, or has come */
    uint8_t *bytes;
};

/* The lanes' ports to the peer's lanes (port.c). Times are local monotonic ns. */
struct rp_port {
    uint64_t serial, carries; /* the last ones given */
    bool on;                  /* lanes were given words by which the ports count */
    uint64_t since;           /* when they were */
    uint64_t view, peer;      /* of them */
    uint64_t heard;           /* the last word by that port where it is oldest */
    struct rp_secret secret;
    uint64_t connects; /* connections of the link made by when the secret was asked for */
    bool has_secret;
    /* Primary. */
    uint64_t carry; /* the serial number by which the ports carry; 0: they do not */
    uint64_t alive; /* since when all speak; 0: not all */
    uint64_t began; /* to carry */
    uint64_t stable[FT_LANES_MAX], moved[FT_LANES_MAX]; /* how far the standby was last, and since when */
    uint64_t again;                                     /* they carry nothing before */
    /* Standby. */
    uint64_t came, came_at; /* bytes of records that came by the ports; when the last did; 0: none has */
};

#define RP_PORT_REST 1000000u /* ns between two looks at a lane whose port carries the stream */

struct rp_replicator {
    struct rp_config config;
    unsigned lanes;
    struct ft_core core;
    struct ft_actions actions;
    struct rp_link *link;
    struct rp_view_writer *writer; /* NULL: no view is kept */
    struct rp_sender sender;
    struct rp_snapshot snapshot;
    struct rp_receiver receiver;
    struct rp_schedule schedule;
    struct rp_port port;
    struct ft_turns turns;
    bool calm; /* as published to lanes last */
    int bell;  /* eventfd by which lanes wake it (ftcore/queue/wake.c); -1: none */
    uint64_t now;
    uint64_t order, gate, announced, rests; /* serial numbers */
    enum ft_order ordered;
    enum ft_gate gate_kind;
    bool audit_off;
    bool stored;      /* records or chunks came in: acknowledge */
    bool stuck;       /* a message found no room at all */
    bool unread;      /* the last turn may have left messages that have come */
    uint64_t cost_at; /* when what lanes waited was last reported to the core */
    bool guarded_reported, drained_reported, steered_reported, diverged_reported;
    bool stores; /* the step's actions want `to_store` on the disk */
    struct rp_view to_store;
    uint64_t heartbeat_from, heartbeat_sent; /* of the newest heartbeat on a data port */
    uint64_t heartbeat_seen[FT_LANES_MAX], replayed_reported[FT_LANES_MAX];
    uint64_t digest_sent[FT_LANES_MAX], round_sent[FT_LANES_MAX];
    uint64_t time_due;
    struct rp_status shown;
    _Atomic uint64_t shown_seq;
    uint64_t shown_at;
    _Atomic unsigned requests;      /* bits by enum ft_request */
    _Atomic(struct rp_seal *) seal; /* to take the place of the link's; NULL: none */
    _Atomic bool stop;
    struct rp_repair repair; /* by the main thread while `repairs` is false, else by the replicator */
    _Atomic bool repairs;
    uint64_t repairs_taken;
    struct rp_verdicts verdicts;
    struct {                      /* sideband.c */
        struct rp_standing given; /* by the main thread while `is_given` is false, else by the replicator */
        _Atomic bool is_given;
        struct rp_standing own;  /* as it was sent last, or is to be */
        bool known, told;        /* there is one; it was sent on the connection `to` */
        struct rp_standing peer; /* received on the connection `from` */
        uint64_t to, from;       /* connections made by then, by rp_link_stats */
    } standing;
    char drill_ask[32], drill_got[32];
    _Atomic bool drill_asked, drill_come;
    uint64_t crash_of; /* incarnation of the peer whose crash notice was heard last */
    uint64_t alive_of; /* of the one that was heard last what it drops while it lives */
    uint32_t alive_at; /* and the number of that notice */
    /* The peer that this node follows, or took over from; incarnation 0: none. */
    struct ft_datagram_key primary;
    struct rp_pushing push, pushed; /* to the peer; from it */
    struct rp_looking look, looked; /* the same */
    _Atomic uint64_t rejoin;        /* hash of the chain that a node without state is to become; 0: none */
};

static inline struct ft_lane_shared *rp_lane(struct rp_replicator *rp, unsigned lane)
{
    return &rp->config.lanes[lane];
}

/* The same to every lane. */
#define RP_ORDER_ALL(rp, field, value)                                                                       \
    for (unsigned l_ = 0; l_ < (rp)->lanes; l_++)                                                            \
    FT_ORDER_SET(rp_lane(rp, l_), field, value)

/* Lanes read such a word in each turn: one that has not moved is not written, or its line would come from the
 * other core again. */
static inline void rp_order_moved(_Atomic uint64_t *word, uint64_t value)
{
    if (atomic_load_explicit(word, memory_order_relaxed) != value)
        atomic_store_explicit(word, value, memory_order_release);
}

/* Behind what a lane may sleep for (`sleeps`). */
static inline void rp_wake_sleepers(struct rp_replicator *rp)
{
    atomic_thread_fence(memory_order_seq_cst); /* a lane that does not see it is seen to sleep */
    for (unsigned l = 0; l < rp->lanes; l++)
        if (FT_REPORT_GET(rp_lane(rp, l), sleeps))
            ft_lane_wake(rp_lane(rp, l));
}

/* Who the peer is to datagrams; incarnation 0: nobody. */
struct ft_datagram_key rp_peer(const struct rp_replicator *rp);

/* Sleeps, whatever comes; below a second. */
static inline void rp_sleep(uint64_t ns)
{
    nanosleep(&(struct timespec){0, (long)ns}, NULL);
}

/* ---- actions.c ---- */

/* All lanes have reached what they were ordered last. */
bool rp_is_followed(const struct rp_replicator *rp);
/* One step of the core and all it wants done. `event` also gets what a standby has stored so far. */
void rp_step(struct rp_replicator *rp, struct ft_event *event);
void rp_carry_out(struct rp_replicator *rp);
/* The node of that name is the peer; passes its address to `aimed`. */
void rp_report_aim(struct rp_replicator *rp, const char *name);
/* Reports to the core how far lanes are, which on the standby acknowledges it; true when there was something
 * to acknowledge. And all else that they reached. */
bool rp_progress(struct rp_replicator *rp);
void rp_reports(struct rp_replicator *rp);
void rp_report_stored(struct rp_replicator *rp);
void rp_update_status(struct rp_replicator *rp); /* when the last copy is older than a millisecond */
/* The core's idea of the chain is that of the lanes. And a snapshot of another chain has begun: true when
 * that is the lanes' now. */
void rp_chain_follow(struct rp_replicator *rp);
bool rp_chain_become(struct rp_replicator *rp, uint64_t hash);

/* ---- sender.c: log rings → LOG and DELTA messages; the region's copy → SNAPSHOT messages ---- */

int rp_sender_init(struct rp_replicator *rp);
void rp_sender_free(struct rp_replicator *rp);
bool rp_sender_turn(struct rp_replicator *rp); /* true if anything was sent */
/* Packets of all lanes, recorded and not known to be replayed. */
uint64_t rp_lag_packets(const struct rp_replicator *rp);
void rp_snapshot_fit(struct rp_replicator *rp); /* the region is another one */
/* Once, when all lanes have made the cut that they were asked for: lines and what comes behind the cut go
 * out. It was made after these. */
void rp_snapshot_begin(struct rp_replicator *rp, uint64_t burst[], uint64_t access[]);
bool rp_snapshot_turn(struct rp_replicator *rp, bool *whole); /* `whole`: every line is on its way, once */
void rp_snapshot_forget(struct rp_replicator *rp);

/* ---- receiver.c: LOG and DELTA messages → closed set → replay rings; SNAPSHOT messages → region ---- */

int rp_receiver_init(struct rp_replicator *rp);
void rp_receiver_free(struct rp_replicator *rp);
void rp_receiver_reset(struct rp_replicator *rp, const struct ft_message *begin); /* NULL: nothing is held */
void rp_receiver_publish(struct rp_replicator *rp);                               /* each turn of a standby */
int rp_receiver_take(struct rp_replicator *rp, const struct ft_message *m, struct ft_fault *fault);
int rp_snapshot_take(struct rp_replicator *rp, const struct ft_message *m, struct ft_fault *fault);
/* The snapshot is whole: 0 when lanes may run on it. */
int rp_snapshot_check(struct rp_replicator *rp, struct ft_fault *fault);

/* ---- port.c: whether the lanes' ports count, and whether they carry the stream ---- */

void rp_port_turn(struct rp_replicator *rp);
void rp_port_off(struct rp_replicator *rp); /* what came by them belongs to a stream that ends */
enum rp_port_state rp_port_state(const struct rp_replicator *rp);
/* Standby: the last burst of what came by the lanes' ports that is closed; 0: none. */
static inline uint64_t rp_closed_by_port(const struct rp_replicator *rp, unsigned lane)
{
    return rp->config.by_port ? ft_closed_burst(rp->config.by_port, lane) : 0;
}
/* The last burst that is in a closed set, whoever brought it. */
static inline uint64_t rp_stored(const struct rp_replicator *rp, unsigned lane)
{
    uint64_t closed = ft_closed_burst(rp->receiver.closed, lane), by_port = rp_closed_by_port(rp, lane);

    return by_port > closed ? by_port : closed;
}

/* ---- replicator.c ---- */

/* Packets come so densely that nobody is woken for them: the last ones came less than RP_AWAKE_NS apart, and
 * the last one no longer ago. By packets, as a lane reckons: the time between the replicator's own looks
 * measures how busy its processor is. */
#define RP_AWAKE_NS 200000u
static inline bool rp_is_dense(const struct rp_replicator *rp)
{
    return rp->schedule.gap < RP_AWAKE_NS && rp->now - rp->schedule.moved < RP_AWAKE_NS;
}

/* ---- sideband.c: what the nodes send each other beside the protocol ---- */

void rp_sideband_turn(struct rp_replicator *rp); /* sends what is to be sent */
void rp_send_verdicts(struct rp_replicator *rp); /* a standby: those of its lanes */
void rp_take_verdict(struct rp_replicator *rp, const struct ft_message *m);
void rp_take_standing(struct rp_replicator *rp, const struct ft_message *m);
bool rp_has_peer_standing(
    const struct rp_replicator *rp); /* the peer has sent its standing on this connection */
/* look.c: first byte of a PUSH that is no set of files. */
#define RP_LOOK_QUESTION 4u
#define RP_LOOK_ANSWER   5u
void rp_take_look(struct rp_replicator *rp, const struct ft_message *m);
void rp_look_turn(struct rp_replicator *rp);
void rp_take_files(struct rp_replicator *rp, const struct ft_message *m);
void rp_take_answer(struct rp_replicator *rp, const struct ft_message *m);
void rp_take_drill(struct rp_replicator *rp, const struct ft_message *m);

#endif
