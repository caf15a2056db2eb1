/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane: one DPDK lcore that runs the whole chain. It owns its chain instance, what it holds, its capture
 * and what replay kept; it reads its orders and the gate in struct ft_lane, and writes its report there. It
 * makes no system call but its ports' own and, when idle, nanosleep.
 *
 *   orders: WAIT ─▶ REPLAY ─▶ LIVE ⇄ DRAIN ─▶ FENCED ─▶ WAIT     FRESH: LIVE from nothing
 */
#ifndef NODE_LANE_H
#define NODE_LANE_H

#include "ftcore/hold.h"
#include "ftcore/lane.h"
#include "logger/capture.h"
#include "logger/cursor.h"
#include "logger/kept.h"
#include "logger/recorder.h"
#include "node/config.h"
#include "node/group.h"
#include "node/guardian.h"
#include "node/io.h"

/*
 * A question of the control thread to a lane, answered between bursts. One at a time: the asker fills it and
 * sets `asked`, the lane answers and sets `asked` back.
 */
enum nd_ask_kind { ND_ASK_NONE, ND_ASK_SHOW, ND_ASK_COMMAND, ND_ASK_TAKEN /* the lane is at it */ };
struct nd_question {
    _Atomic int asked; /* enum nd_ask_kind */
    unsigned lane;     /* who is asked */
    char text[256];    /* SHOW: NF's name; COMMAND: as nf_chain_command takes it */
    uint64_t cursor;   /* SHOW: where to go on; set to where it stopped */
    bool more;
    int error;
    struct ft_fault fault;
    char *out; /* SHOW: rows as a JSON array */
    uint32_t cap, len;
};

struct nd_lane {
    unsigned index;
    const struct nd_config *config;
    const struct nd_io *io;
    struct ft_region *region;
    struct ft_lane *shared;
    struct nd_group *group; /* the node's lanes */
    struct nf_chain *chain;
    struct nd_guardian *guardian; /* NULL: none */
    struct nd_question *question;
    struct nd_redis *redis;       /* where the chain keeps its state; NULL: here */
    struct lg_recorder *recorder; /* of what is replayed; NULL: none */
    uint64_t seed;                /* of a fresh state */
    uint64_t kept_bytes;          /* for outputs of replay; 0: the usual */
    uint64_t incarnation;         /* for heartbeats */
    _Atomic uint64_t *view;
    _Atomic bool *stop;

    struct ft_hold hold;
    struct lg_capture capture;
    struct lg_kept kept;
    bool sent;          /* outputs left in this turn */
    bool urgent;        /* the file permits to ask for priority */
    bool whole_capture; /* take packets whole: some NF reads payload, or capture: full */

    uint64_t order, gate, cut, uncut, announce, digest; /* serial numbers acted on */
    enum ft_order doing;
    bool aside; /* what leaves bears the node's own MAC */
    bool draining;
    uint64_t now;           /* monotonic ns, read once a turn */
    uint64_t time_offset;   /* chain time = monotonic + this, modulo 2^64 */
    uint64_t copied;        /* owed lines, since the cut */
    uint64_t told_released; /* what the last record said */
    uint64_t busy_at, quiet_since, beat_at, steer_at, claimed_at;
    uint64_t announce_at[3];
    uint32_t idle; /* turns without work */
    uint16_t next_port;

    struct nf_packet packets[NF_BURST_MAX];
    uint32_t n; /* of the burst being collected */
};

/* Makes what a lane owns, the chain among it; rings in `shared` are there already. */
int nd_lane_make(struct nd_lane *lane, struct ft_fault *fault);
void nd_lane_free(struct nd_lane *lane);

/* The lane's life, an lcore's main function: until *lane->stop. */
int nd_lane_run(void *lane);

/* ---- lane_live.c ---- */
bool nd_lane_live(struct nd_lane *lane);    /* a turn; true if there was work */
bool nd_lane_release(struct nd_lane *lane); /* what the gate lets go */
void nd_lane_drop_held(struct nd_lane *lane);
void nd_lane_emit_tail(struct nd_lane *lane);
void nd_lane_announce(struct nd_lane *lane);
void nd_lane_send_own(struct nd_lane *lane, unsigned port, const void *frame, uint32_t len);
bool nd_lane_listen(struct nd_lane *lane); /* reads ports for heartbeats only */

/* The digest that records carry: of the lane's own arenas; of the whole region where no other lane may be at
 * work in it. */
uint64_t nd_lane_digest(const struct nd_lane *lane);

/* ---- lane_idle.c: waiting and what is asked between bursts ---- */
void nd_lane_wait(struct nd_lane *lane, bool worked);
void nd_lane_answer(struct nd_lane *lane);
/* Claims the question, so that the asker cannot take it back any more. False: it just did. */
bool nd_lane_take(struct nd_question *question, enum nd_ask_kind kind);

/* ---- lane_replay.c ---- */
bool nd_lane_replay(struct nd_lane *lane, uint64_t upto); /* some records; true if there was work */
bool nd_lane_record(struct nd_lane *lane);                /* the flight recorder's turn between bursts */

#endif
