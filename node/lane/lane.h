/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane: one DPDK lcore that runs the whole chain. It owns its chain instance, what it holds, its capture
 * and what replay kept; it reads its orders and the gate in struct ft_lane, and writes its report there. It
 * makes no system call but its ports' own and, when idle, nanosleep.
 *
 *   orders: WAIT ─▶ REPLAY ─▶ LIVE ⇄ DRAIN ─▶ FENCED ─▶ WAIT     FRESH: LIVE from nothing
 */
#ifndef NODE_LANE_LANE_H
#define NODE_LANE_LANE_H

#include "ftcore/queue/hold.h"
#include "ftcore/queue/lane.h"
#include "logger/capture.h"
#include "logger/cursor.h"
#include "logger/replayed.h"
#include "logger/recorder/recorder.h"
#include "logger/delta.h"
#include "node/config/config.h"
#include "node/lane/group.h"
#include "node/lane/guardian.h"
#include "node/lane/io.h"
#include "node/lane/waiting.h"

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
    struct lg_recorder *recorder; /* of what is executed; NULL: none */
    uint64_t seed;                /* of a fresh state */
    uint64_t replayed_bytes;      /* for outputs of replay; 0: the usual */
    uint32_t chunk_bytes;         /* of lines in a chunk of an incremental checkpoint; 0: the usual */
    uint64_t incarnation;         /* for heartbeats */
    _Atomic uint64_t *view;
    _Atomic bool *stop;

    struct ft_hold hold;
    struct nd_waiting waiting;
    struct lg_capture capture;
    struct lg_replayed replayed;
    struct lg_delta delta;
    bool full;                 /* the last turn ran a full burst: more packets wait, it seems */
    uint64_t delta_lines_room; /* of an incremental one: bytes that its lines may take */
    uint64_t chunk_burst;      /* … the last burst before its last chunk … */
    uint64_t chunk_at;         /* … and when that was made, ns */
    bool lines_told;           /* … all its lines are copied, and counted so in `stream.unfinished` */
    uint64_t cut_from;         /* burst at the cut that the next delta is based on … */
    uint64_t hold_from;        /* … and the hold's first output after it */
    uint64_t cut_at_ns;        /* cut_at_ns at the last barrier for a cut */
    uint64_t delta_at_ns;      /* … at the last cut with a delta */
    uint64_t uncovered;        /* bytes of records since then, in memory */
    uint64_t delta_look_at;    /* sequence number at which to look again how large a delta would be … */
    bool delta_grown;          /* … and that it is nearly as large as may be */
    uint64_t weighed; /* bytes at most that a delta would carry of the outputs made since the start cut */
    uint64_t met;     /* barriers of the stream this lane knows of */
    uint64_t applied; /* standby: number of the last delta applied */
    uint64_t outputs_before, carried; /* standby, while a delta is applied: made before it; kept of it */
    uint64_t chunk_digest;            /* standby: what the delta just applied says that all should be */
    bool amid;                        /* standby: a delta is begun and not whole */
    bool after_delta;                 /* standby: the last of the stream was no record */

    bool sent;          /* outputs left in this turn */
    bool urgent;        /* the file permits to ask for priority */
    bool by_seq;        /* inputs are recorded by their sequence numbers: a gate keeps them */
    bool short_of_room; /* the last burst could not be begun: hold or port is full */
    bool whole_capture; /* take packets whole: some NF reads payload, or capture: full */

    uint64_t order, gate, cut, snapshot_release, announce, digest; /* serial numbers acted on */
    enum ft_order doing;
    bool aside; /* what leaves bears the node's own MAC */
    bool draining;
    uint64_t now;           /* monotonic ns, read once a turn */
    uint64_t time_offset;   /* chain time = monotonic + this, modulo 2^64 */
    uint64_t copied;        /* pending lines, since the cut */
    uint64_t told_released; /* what the last record said */
    uint64_t busy_at, quiet_since, beat_at, steer_at, claimed_at;
    uint64_t announce_at[3];
    uint32_t idle; /* turns without work */

    /* In replay, several lanes (lane/quiesce.c). */
    bool stopped;                      /* between bursts, until all lanes do … */
    uint64_t stopped_at;               /* … since then, ns; */
    uint64_t stop_number;              /* … and this has been counted on from here */
    const struct ft_record *at_digest; /* standing: the record that carries it; NULL: none */
    uint64_t compared;                 /* burst of the last such record */
    uint64_t stop_points;              /* lane 0: times it asked all to stop */

    uint16_t next_port;

    uint8_t *frames; /* standby, inputs by sequence number: NF_BURST_MAX of io->frame_max bytes; else NULL */
    struct nf_packet packets[NF_BURST_MAX];
    uint32_t n;             /* of the burst being gathered */
    uint64_t gathered_from; /* when its first packet was received, ns */
};

/* Makes what a lane owns, the chain among it; rings in `shared` are there already. */
int nd_lane_make(struct nd_lane *lane, struct ft_fault *fault);
void nd_lane_free(struct nd_lane *lane);

/* The lane's life, an lcore's main function: until *lane->stop. */
int nd_lane_run(void *lane);

/* Meets the others between bursts, for whatever any of them is there for. False: the order was taken back. */
bool nd_lane_quiesce(struct nd_lane *lane);

/* ---- lane/live.c ---- */
bool nd_lane_live(struct nd_lane *lane); /* a turn; true if there was work */

/* ---- lane/inputs.c ---- */
void nd_lane_receive(struct nd_lane *lane); /* adds to `packets`, up to a burst */
/* From a gate: a whole burst, with its time. False: none is there. */
bool nd_lane_receive_burst(struct nd_lane *lane, uint64_t *time);
bool nd_lane_listen(struct nd_lane *lane); /* reads ports for heartbeats only */
/* True: the frame is a heartbeat, or a claim of the addresses, and no input. */
bool nd_lane_takes(struct nd_lane *lane, const struct nd_frame *frame, unsigned port);

/* ---- lane/outputs.c ---- */
/* The burst's outputs in order: inputs that pass, `seq` the first one's, then what NFs made. `number`: of
 * the lane's last output before. */
void nd_lane_hold(struct nd_lane *lane, uint64_t burst, uint64_t seq, uint64_t number);
/* Instead: its state is not where it should be, the node is about to end. */
void nd_lane_drop_burst(struct nd_lane *lane);
/* lg_delta.carry: how much of a held output a delta carries, `arg` being the lane. */
uint32_t nd_lane_carry(void *arg, const struct ft_held *held, const uint8_t **frame);
bool nd_lane_release(struct nd_lane *lane); /* what the gate lets go */
void nd_lane_drop_held(struct nd_lane *lane);
void nd_lane_emit_tail(struct nd_lane *lane);
void nd_lane_announce(struct nd_lane *lane);
void nd_lane_send_own(struct nd_lane *lane, unsigned port, const void *frame, uint32_t len);

/* ---- lane/idle.c: waiting and what is asked between bursts ---- */
void nd_lane_wait(struct nd_lane *lane, bool worked);
void nd_lane_answer(struct nd_lane *lane);
/* Claims the question, so that the asker cannot take it back any more. False: it just did. */
bool nd_lane_take(struct nd_question *question, enum nd_ask_kind kind);

/* ---- lane/cut.c: the stream's cuts ---- */
/* Joins barriers, makes what a cut needs of this lane. False: it may run no burst in this turn. */
bool nd_lane_cut(struct nd_lane *lane);
void nd_lane_cut_init(struct nd_lane *lane);
/* All lanes are quiesced: the stream begins anew with the snapshot that is cut here. */
void nd_stream_begin(struct nd_group *group);
/* All lanes are quiesced: a cut, if one is due. */
void nd_stream_cut(struct nd_group *group);
bool nd_stream_wanted(const struct nd_group *group);
/* Live: the burst to come is logged / is told of by a delta. */
bool nd_lane_logs(const struct nd_lane *lane);
bool nd_lane_deltas(const struct nd_lane *lane);
/* Somebody waits for a digest; and it is a delta that carries it, since the standby does not replay every
 * record. */
bool nd_lane_digest_wanted(const struct nd_lane *lane);
bool nd_lane_digest_by_delta(const struct nd_lane *lane);
bool nd_lane_marks(const struct nd_lane *lane);      /* edits are noted, for a delta or a checkpoint */
bool nd_lane_unrecorded(const struct nd_lane *lane); /* bursts that no record or delta tells of yet */

/* How far the lane is on the way to its next checkpoint: 0 … 1, and more when it is due. */
double nd_lane_checkpoint_way(const struct nd_lane *lane);

/* ---- lane/checkpoint.c: a checkpoint that is copied beside bursts ---- */
/* All lanes are quiesced, for a checkpoint: whether it can be incremental. If so, its lines are pending from
 * here on. */
bool nd_checkpoint_begin_incremental(struct nd_group *group);
void nd_checkpoint_forget(struct nd_group *group); /* all stand: the stream begins anew */
bool nd_lane_hurries(const struct nd_lane *lane);  /* no burst before it is whole */
/* A turn of the lane whose share is not whole. False: it may run no burst. */
bool nd_lane_checkpoint(struct nd_lane *lane);

/* ---- lane/apply.c ---- */
/* A chunk of a delta, in order. False: not now, or it does not fit what is here (then the lane has diverged).
 */
bool nd_lane_apply(struct nd_lane *lane, const struct ft_chunk *chunk);

/* ---- lane/replay.c ---- */
/* Says so, stops this lane's replay and aborts that of the others. */
void nd_lane_diverged(struct nd_lane *lane, uint64_t burst, uint64_t seq, const char *what, uint64_t expected,
                      uint64_t got);
/* Tells what came of a digest that was asked for; a wrong one is a divergence. True: it is as expected. */
bool nd_lane_verdict(struct nd_lane *lane, uint64_t burst, uint64_t seq, uint64_t expected, uint64_t got);
bool nd_lane_replay(struct nd_lane *lane, uint64_t upto); /* some of the stream; true if there was work */
/* Something up to burst `upto`, or of a whole delta, is still to be replayed or applied. */
bool nd_lane_behind(const struct nd_lane *lane, uint64_t upto);

/* ---- lane/record.c: the flight recorder's part between bursts ---- */
bool nd_lane_record(struct nd_lane *lane); /* live or in replay; true if there was work */
/* All lanes are quiesced. */
void nd_lane_begin_snapshot(struct nd_group *group);
void nd_lane_begin_live_snapshot(struct nd_group *group); /* … if one is wanted */
void nd_lane_rotate(struct nd_group *group);

/* ---- lane/quiesce.c: several lanes ---- */
void nd_lane_abort_replay(struct nd_lane *lane);
bool nd_lane_replay_aborted(const struct nd_lane *lane); /* some lane has diverged under this order */
/* Replay, before `next` (NULL: nothing more may be replayed at present). True: the lane has to stop.
 */
bool nd_lane_stops(struct nd_lane *lane, const struct ft_record *next);
void nd_lane_leave_stop_point(struct nd_lane *lane); /* stands no more: another order */
/* Live: several lanes have to stand for a digest that is asked for. And, when they do: */
bool nd_lane_digest_due(const struct nd_lane *lane);
void nd_group_take_digest(struct nd_group *group);
/* All lanes are quiesced: the last digest has not gone into the records of all. No other one, and no other
 * kind of segment, before it has: the standby would compare what belongs to different moments. */
bool nd_group_owes_digest(const struct nd_group *group);
bool nd_lane_owes_digest(const struct nd_lane *lane);               /* the next record is to carry one */
uint64_t nd_lane_tell_digest(struct nd_lane *lane, uint64_t burst); /* after the burst that carries it */
/* At a cut: records before it and after it have different readers. Who asked has to ask again. */
void nd_lane_forget_digests(struct nd_group *group);

#endif
