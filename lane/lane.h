/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lane: one DPDK lcore that runs the whole chain. It owns its chain instance, the outputs that it holds,
 * its capture and replayed outputs. It reads its orders in struct ft_lane_shared and writes its report there.
 * It makes no system call but its ports' own, ppoll and sched_yield where it has to wait, and one that wakes
 * a replicator at rest; at a snapshot it maps the copy and unmaps it. Here is what whoever makes, runs and
 * asks a lane needs; what the lane's own files share is in parts.h.
 *
 *   orders: WAIT ─▶ REPLAY ─▶ LIVE ─▶ OWN_MAC ─▶ DRAIN. Back to LIVE when a handover is aborted; FENCED from
 *   any of them, then WAIT. FRESH: LIVE from nothing.
 */
#ifndef LANE_LANE_H
#define LANE_LANE_H

#include "ftcore/base/error.h"
#include "ftcore/queue/hold.h"
#include "ftcore/record/datagram.h"
#include "ftcore/region/slice.h"
#include "logger/capture.h"
#include "logger/delta.h"
#include "logger/replayed.h"
#include "logger/recorder/recorder.h"
#include "lane/export.h"
#include "lane/frames.h"
#include "lane/group.h"
#include "lane/io.h"
#include "lane/link.h"
#include "lane/settings.h"
#include "nflib/session/table.h"

/* A question of the main thread to a lane, answered between bursts. One at a time: the asker fills it and
 * sets `asked`, the lane answers and sets `asked` back. */
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

/* What heartbeats report of this node's ports. Written by the main thread, read by lane 0. */
struct nd_ports_told {
    _Atomic uint8_t fault[NF_PORTS_MAX]; /* enum ft_port_fault */
    _Atomic uint32_t mtu[NF_PORTS_MAX];  /* 0: not known */
};

/*
 * The newest heartbeat of the peer's that came in by a port, those of the peer's port of the same number
 * apart from those of its other ports. Written by the lane, read by the main thread, word by word: each word
 * may be of a later heartbeat than the one read before it.
 */
struct nd_port_heard {
    _Atomic uint64_t from;      /* the incarnation of its sender */
    _Atomic uint64_t sent;      /* when it was sent, by the sender's clock, ns */
    _Atomic uint64_t came;      /* when it was read, ns; 0: there was none */
    _Atomic uint32_t port, mtu; /* of the peer's port */
    _Atomic uint64_t faults;    /* of the peer's ports, a byte each, as in struct ft_datagram */
};

/* The command that each lane runs in its first live burst after a takeover, because `on_crash` demands it for
 * the NF in which the predecessor crashed. Written by the replicator's thread before it takes over. */
struct nd_remedy {
    _Atomic uint32_t serial; /* 0: none yet */
    char text[64];           /* as nf_chain_command takes it */
};

#define ND_LANE_HEADERS 192u /* bytes of a frame that capture takes at most where no NF reads payload */

/* What a lane is given beside its config and its region, before nd_lane_make; nothing of it changes later. */
struct nd_lane_setup {
    struct nd_question *question;     /* the main thread's, one for all lanes */
    struct nf_trace *trace;           /* the main thread's, one for all lanes; NULL: there is none */
    struct nf_mark *mark;             /* what its chain is at; NULL: nobody looks */
    struct nd_suspects suspects;      /* frames that are dropped */
    const struct nd_remedy *remedy;   /* NULL: there never is one */
    uint32_t heartbeat_ms;            /* between two heartbeats on the data ports */
    struct lg_recorder *recorder;     /* the flight recorder; NULL: there is none */
    uint64_t seed;                    /* of a state that is made anew */
    uint64_t replayed_bytes;          /* room for replayed outputs; 0: enough */
    uint32_t chunk_bytes;             /* of lines in a chunk of an incremental checkpoint; 0: CHUNK_BYTES */
    uint64_t round_ns;                /* in which all slices are compared once; 0: verify_every_s */
    struct ft_datagram_key self;      /* this process, to the peer that hears its heartbeats */
    const _Atomic uint64_t *view;     /* the node's; heartbeats and recordings carry it */
    const struct nd_ports_told *told; /* NULL: its heartbeats report nothing of its ports */
    struct nd_gateways *gateways;     /* that the node tracks; NULL: none */
    const struct nd_link_port *wire;  /* its port to the peer's lane; NULL: none */
    const _Atomic bool *stop;         /* ends nd_lane_run */
};

/*
 * Where frames wait that a lane has taken from its ports and has no room to work on (inputs.c).
 *
 * A lane whose hold is full leaves frames in its ports' queues, and hears no heartbeat behind them. A primary
 * whose lease has run out may have been replaced, and a heartbeat on a data port may be the only news of that
 * before it would go SOLO. So while it has no room and may not release, it goes on receiving: heartbeats and
 * claims are taken, the rest waits here, in order, and is worked on before anything else once there is room.
 * When this is full, too, what comes is dropped and counted (`waiting_full`), as a port's queue would do.
 *
 * Fragments that have waited for their first one (struct nd_fragments) come by here as well.
 */
struct nd_waiting {
    struct nd_frame *frames; /* [room], used as a ring, from `first` on */
    uint32_t room, first, count;
};

#define ND_KEPT 16u /* slices that a lane keeps: those whose digest it took last, or that differed here */

/* A copy of a slice, as it was when its digest was taken or compared. */
struct nd_kept {
    _Atomic uint64_t serial; /* odd while the lane writes the others */
    uint64_t digest;         /* the primary's */
    uint64_t number, burst, size;
    uint8_t *bytes; /* [FT_SLICE] */
};

/* Of a lane: where it is in comparing slices (verification.c). Times are monotonic, ns. */
struct nd_verification {
    uint64_t at;          /* live: when its next record carries a slice's digest; FT_ALL: none does */
    uint64_t quiesced_at; /* lane 0: when a slice is due that needs all lanes to wait; FT_ALL: none is */
    uint64_t interval;    /* between two turns */
    uint32_t whose;       /* arenas that it goes through: bits of ft_slice_from */
    uint64_t next;        /* slice of the next turn; standby: the one after the slice compared last */
    uint64_t in_a_row;    /* standby: slices of this round that were equal, from the first on without a gap */
    struct nd_kept *kept; /* [ND_KEPT]; NULL: nothing is kept */
    uint32_t kept_next;
};

/* Of a primary's lane: what its standby costs (cost.c). Times without those in which the lane did not run. */
struct nd_cost {
    uint64_t at;         /* of the last turn beside a standby, monotonic, ns; 0: there was none */
    enum ft_wait waits;  /* since then */
    uint64_t burst, age; /* an output that is not acknowledged; for how long it waits, ns. burst 0: none */
    bool late;           /* the one before waited for longer than slow_ms */
};

#define ND_ANNOUNCE_AGAIN 3u /* times that an announcement is repeated */

/* Times are monotonic, ns, unless stated otherwise. */
struct nd_lane {
    /* Given, as setup is. */
    unsigned index;
    const struct nf_chain_config
        *config; /* the chain's, which a change writes while all lanes are quiesced */
    const struct nd_protect *protect;
    const struct nd_io *io;
    struct ft_region *region;
    struct ft_lane_shared *shared; /* orders, report and rings, between this lane and the replicator */
    struct nd_group *group;        /* the node's lanes */
    struct nd_lane_setup setup;

    /* Made by nd_lane_make, and owned. */
    struct nf_chain *chain;
    struct nf_tally tally[FT_NFS_MAX]; /* of the chain; main reads it while another chain is made */
    struct ft_hold hold;
    struct nd_waiting waiting;
    struct lg_capture capture;
    struct lg_delta delta;
    struct lg_replayed replayed;
    struct nd_link *link; /* NULL: it has no port to the peer's lane */
    bool by_seq;          /* records hold sequence numbers instead of inputs: the input keeper has those */
    bool whole_capture;   /* records hold whole packets: some NF reads payload, or capture: full */
    bool by_session; /* records identify packets by their sessions where possible: no NF reads more of them */

    uint32_t
        remedied; /* serial number of the last remedy that it has applied, or that came before its state */

    uint64_t now;         /* read once a turn */
    uint64_t before;      /* what `now` was in the turn before, in which the ports were looked at as well */
    uint64_t time_offset; /* chain time is monotonic time plus this, modulo 2^64 */
    enum ft_order doing;  /* the order that it follows */
    struct {            /* how far it has done what orders ask for (struct ft_lane_orders): serial numbers */
        uint64_t order; /* kind and serial; FT_ALL: none yet */
        uint64_t gate, announce, digest, slices, rests;
    } seen;
    struct {                 /* what one turn leaves for the next */
        bool full;           /* a full burst was executed: more packets wait, it seems */
        bool no_room;        /* no burst could begin: the hold or a ring is full */
        bool takes;          /* the ports were read: a burst could begin */
        bool sent;           /* outputs left */
        bool gathers;        /* it did nothing but wait for more packets of its burst */
        enum ft_spent spent; /* what passes until the clock is read next */
        bool deaf;           /* a port's descriptor had an error: the next sleep does not rest on it */
        enum ft_wait waits;  /* why no burst could begin, where that is the standby's */
        uint64_t slept;      /* ns that it was to sleep at the most behind the last turn */
        uint32_t idle;       /* turns without packets, in a row */
        uint64_t packets;    /* received and replayed by the last turn */
        uint64_t moved, gap; /* the last turn with packets, and how far apart they were on average since the
                                one before, ns */
        uint64_t log_head;   /* bytes ever published in the log by the last live turn */
    } turn;
    struct {                  /* when something was last, or is next */
        uint64_t busy_at;     /* the last burst that the stream accounts for */
        uint64_t quiet_since; /* while draining: the last packet, or the last turn that could not receive */
        uint64_t heartbeat_sent;                /* the last heartbeat */
        uint64_t heartbeats_until;              /* the end of the time in which heartbeats_heard were heard */
        uint8_t heartbeats_heard[NF_PORTS_MAX]; /* by port; stops at 255 */
        uint64_t steer_at;   /* the next announcement of a standby that draws frames to its ports */
        uint64_t claimed_at; /* the last announcement against another's claim */
        uint64_t announce_at[ND_ANNOUNCE_AGAIN]; /* the announcements to repeat, in order */
        unsigned announce_left;                  /* how many of them, the last ones, are still to come */
    } timers;
    struct nd_cost cost;
    struct {                  /* cut.c: the last cut of a live lane's stream, and what was done since */
        uint64_t burst;       /* last burst before the cut: the next delta begins there */
        uint64_t output;      /* the hold's first output after the cut */
        uint64_t at;          /* when it was, on the cuts' clock */
        uint64_t barriers;    /* barriers for cuts that this lane has taken part in (nd_stream.barriers) */
        uint64_t barrier_at;  /* when the last of them was, on the cuts' clock */
        uint64_t uncovered;   /* bytes of records made since, in memory */
        uint64_t carry_bytes; /* an upper bound of what a delta would carry of the outputs made since */
        uint64_t weigh_at;    /* sequence number at which to look again how large a delta would be */
        bool grown;           /* a delta would be nearly as large as the standby can keep */
        bool left;            /* nobody wants the lane's stream, and it has ended it */
    } cut;
    struct {                  /* cut.c: an incremental checkpoint */
        uint64_t bytes;       /* an upper bound of what its lines take */
        uint64_t chunk_burst; /* the last burst before the chunk made last */
        uint64_t chunk_at;    /* when that chunk was made */
        bool lines_done;      /* all its lines are copied, and nd_stream.lines_left does not count the lane */
    } checkpoint;
    struct {              /* snapshot.c: a resync's snapshot; serial numbers as in `seen` */
        uint64_t cut;     /* at which the last one began */
        uint64_t release; /* the last that nobody reads any more */
        uint64_t copied;  /* lines that the lane has copied, without those of zeros */
    } snapshot;
    struct {                     /* standby.c: a standby's deltas */
        uint64_t cut;            /* number of the last delta applied */
        bool begun;              /* some chunks of the next one are applied: the region is at no cut */
        bool last_was_chunk;     /* the last entry taken from the stream was a chunk, no record */
        uint64_t outputs_before; /* outputs that had been made at the begun delta's start */
        uint64_t carried;        /* outputs that it brought */
        uint64_t digest;         /* of the whole region at its end, or of a slice, by the primary */
        bool is_slice;           /* it is of this slice */
        uint64_t slice;
    } apply;
    struct { /* standby.c: where a lane that replays beside others stops until all have */
        bool stopped;
        uint64_t since;                 /* while stopped */
        uint64_t number;                /* how often all lanes had stopped before; while stopped */
        const struct ft_record *digest; /* the record that it stopped before, if that carries one */
        uint64_t compared;              /* burst of the last such record that is done */
        uint64_t asked;                 /* lane 0: times it asked all lanes to stop at closed_to */
    } stop_point;
    struct nd_verification verification;
    struct nd_export export;                     /* its queue is given */
    struct nd_port_heard heard[NF_PORTS_MAX][2]; /* [port][1: of another port of the peer's] */
    uint8_t peer_mac[NF_PORTS_MAX][6];           /* of [port][0]: where the last one came from */
    uint64_t recorded_released;                  /* outputs released, by the last record or delta */
    uint32_t unconfirmed; /* outputs that an input keeper was sent, and has not let leave yet */
    struct {              /* the burst whose packets are being received, or that is replayed */
        struct nf_packet packets[NF_BURST_MAX];
        uint32_t n;           /* packets received so far */
        uint64_t since;       /* when the first of them was received */
        uint16_t next_device; /* that is asked first, modulo their number */
        /* replay: of each packet; key NF_NONE: it has a frame */
        struct nf_session_input session_input[NF_BURST_MAX];
        bool by_session; /* replay: some packet of the burst has no frame */
        uint8_t *frames; /* replay from an input keeper: NF_BURST_MAX of io->frame_max bytes; else NULL */
    } burst;
    struct nd_fragments fragments; /* with one lane: that came before their first one (inputs.c) */
};

/* The lane is live until its ports have been empty for a while. */
static inline bool nd_lane_draining(const struct nd_lane *lane)
{
    return lane->doing == FT_LANE_DRAIN;
}

/* It answers from the node's own MAC, and what leaves bears that: the chain's is about to be the peer's. */
static inline bool nd_lane_own_mac(const struct nd_lane *lane)
{
    return lane->doing == FT_LANE_OWN_MAC || lane->doing == FT_LANE_DRAIN;
}

/* It takes packets. */
static inline bool nd_lane_is_live(const struct nd_lane *lane)
{
    return lane->doing == FT_LANE_LIVE || nd_lane_own_mac(lane);
}

/* Makes what a lane owns, the chain, too; rings in `shared` are there. FT_EINVAL, FT_ENOMEM, or its errors.
 */
int nd_lane_make(struct nd_lane *lane, struct ft_fault *fault);
void nd_lane_free(struct nd_lane *lane);

/* Sleeps for `ns` at most, and no longer than until it is woken (ft_lane_wake), or one of `n` descriptors
 * (NF_PORTS_MAX at most) can be read. Not at all when it was woken since it slept last. False: a descriptor
 * has an error, so it may not wake. */
bool nd_lane_sleep(struct ft_lane_shared *lane, uint64_t ns, const int ports[], unsigned n);

/* The lane's life, an lcore's main function: until *setup.stop. */
int nd_lane_run(void *lane);
/* The parts of nd_lane_run, for callers that run lanes in their own thread. The order is in shared.orders,
 * `lane->now` is the caller's to set. */
void nd_lane_follow(struct nd_lane *lane, uint64_t order);
bool nd_lane_live(struct nd_lane *lane);                  /* a live lane's turn; true if there was work */
bool nd_lane_replay(struct nd_lane *lane, uint64_t upto); /* some of the stream; true if there was work */
void nd_lane_answer(struct nd_lane *lane);                /* the question, if it is this lane's */
/* Reads ports for heartbeats and answers of gateways only. True: a port may have more. */
bool nd_lane_listen(struct nd_lane *lane);
void nd_lane_send_heartbeats(struct nd_lane *lane); /* lane 0, when one is due (nd_lane_heartbeat_due) */
void nd_lane_drop_held(struct nd_lane *lane);       /* and what waits */
/* A takeover: replayed outputs that the old primary perhaps did not release. */
void nd_lane_emit_tail(struct nd_lane *lane);

/* Interfaces have other numbers than before, `to` as nf_l3_match fills it. What waits, on its way in or out,
 * keeps its interface, or is dropped with it; what was heard by ports is forgotten. While all lanes are
 * quiesced. */
void nd_lane_renumber(struct nd_lane *lane, const uint8_t to[NF_PORTS_MAX]);
/* All lanes are quiesced: the stream begins anew with the snapshot that is cut here. */
void nd_stream_begin(struct nd_group *group);
/* Live: comes to the barrier between bursts, for whatever any lane wants there. False: it left again. */
bool nd_lane_quiesce(struct nd_lane *lane);
/* Several lanes have to quiesce for a digest that is asked for or due. */
bool nd_lane_digest_due(const struct nd_lane *lane);

/* The record's inputs as the burst's packets; their number. */
uint32_t nd_lane_load_inputs(struct nd_lane *lane, struct lg_cursor *cursor);
/* Whoever waits for an access of this lane is deadlocked, until the order after this one. */
void nd_lane_abort_replay(struct nd_lane *lane);
/* Some lane has given up what others may wait for: it diverged, gave its state up, or has ended. */
bool nd_lane_replay_aborted(const struct nd_lane *lane);

/* How many lanes go through slices, from lane 0 on. */
unsigned nd_verification_lanes(const struct nd_lane *lane);
/* Main thread: copies the slice that the lane kept with this digest to `out`, with room for FT_SLICE bytes at
 * out->bytes. False: it is not kept any more, or never was. */
bool nd_lane_find_kept(const struct nd_lane *lane, uint64_t digest, struct nd_kept *out);

#endif
