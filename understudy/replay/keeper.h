/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An input keeper stands for what is in front of a pair and behind it, for one lane: it feeds the inputs and
 * takes the outputs. It knows what has left, in order; what would leave again; which burst of the tape each
 * surviving burst of the lane was. Used by the tool's own process alone. Numbers, sequence numbers and bursts
 * are the lane's. With `keeps` nothing is ever lost and they run as the tape does. Without, each takeover
 * skips what the dead primary had taken and the survivor did not know: `shift` grows.
 *
 * A slot is the memory that the tool and one of its node processes share, made before the fork, anew for each
 * process. It outlives the process: what a killed node had released can be read to the end.
 *
 *   keeper → node: how far it may take bursts, whether to rest     node → keeper: outputs, progress, state
 */
#ifndef TOOLS_REPLAY_KEEPER_H
#define TOOLS_REPLAY_KEEPER_H

#include "ftcore/protocol/core.h"
#include "ftcore/queue/lane.h"
#include "ftcore/record/record.h"
#include "understudy/keeper/outputs.h"
#include "understudy/config/config.h"
#include "lane/io.h"
#include "understudy/pair/member.h"
#include "understudy/pair/tape.h"

#define ND_SLOT_PORTS 2u /* a wire: inside and outside */

/* An output on its way to the keeper, in the ring; the frame follows. */
struct nd_slot_output {
    uint32_t size; /* of the entry, multiple of 8 */
    uint32_t len;
    uint64_t number, seq, burst;
    uint64_t port;
};

struct nd_slot_lane {
    struct ft_ring out;     /* struct nd_slot_output, lane → keeper */
    struct ft_ring records; /* struct ft_record, lane → keeper; with several lanes alone */
    /* Written by the keeper. */
    _Alignas(64) _Atomic uint64_t fed; /* last burst that may be taken */
    uint64_t shift; /* burst b of the node is b + shift of the tape; written before `fed` */
    /* Written by the lane. */
    _Alignas(64) _Atomic uint64_t asked; /* burst it wants next: not 0 once it is live */
    _Atomic uint64_t taken;              /* last burst given */
    _Atomic uint64_t run; /* last burst executed and recorded: where the lane records for the keeper */
};

struct nd_slot {
    struct nd_member_status status;
    /* Written by the keeper. */
    _Atomic bool fits; /* the link delivers by fits and starts: a kill is near */
    /* Written by the node. */
    int region_fd;                           /* its region, as its process has it open */
    _Atomic uint64_t log_bytes, delta_bytes; /* of records and of deltas sent, as status counts them */
    _Atomic uint64_t refused;                /* messages of the other that this one could not believe */
    char refusal[FT_REASON_MAX];             /* the last of the refused things */
    struct ft_lane_shared shared[FT_LANES_MAX];
    struct nd_slot_lane lanes[FT_LANES_MAX];
};

/* NULL: no memory. Rings are for outputs of `lanes` lanes. */
struct nd_slot *nd_slot_new(unsigned lanes);
void nd_slot_free(struct nd_slot *slot, unsigned lanes);

/* ---- the node's end: its ports ---- */

struct nd_slot_io {
    struct nd_io io; /* what lanes see of it */
    struct nd_slot *slot;
    const struct nd_tape *tapes; /* [lanes] */
    struct {
        _Alignas(64) void **free; /* buffers of the lane's not in use */
        uint32_t frees;
    } lane[FT_LANES_MAX];
    uint32_t frame_max;
    unsigned lanes;
    bool in_turn; /* of one burst: lane after lane, as the run that dealt packets out by their owners did */
};

/* keeps: an input keeper has the inputs. */
int nd_slot_io_open(struct nd_slot_io *io, struct nd_slot *slot, const struct nd_tape tapes[], unsigned lanes,
                    bool keeps, struct ft_fault *fault);

/* ---- the keeper's end ---- */

#define ND_KEEPER_LISTED 20u /* lines about losses, then a total */

/* Of all lanes of a run together. */
struct nd_keeper_counts {
    uint64_t released, duplicated, reordered, altered, suppressed;
    uint64_t early; /* outputs that left though their burst did not survive: a breach of output commit */
    uint64_t lost;  /* inputs taken and not recovered */
    _Atomic unsigned listed; /* lines printed about losses */
};

/*
 * The surviving log of a lane, with several lanes alone: every record of a burst that a live lane executed,
 * as its node gave it to the input keeper before anybody else could act on it; what did not survive a
 * takeover is cut off. Inputs are kept by number alone (FT_REC_BY_SEQ): the tape has them.
 */
struct nd_ledger {
    uint8_t *bytes;
    uint64_t *at; /* [burst - 1] where its record lies */
    uint64_t count, used, byte_room, room;
    bool broken; /* a record did not follow the one before, or there was no memory */
};

struct nd_keeper {
    const struct nd_tape *tape;
    bool keeps;
    struct nd_keeper_counts *counts;
    struct nd_capture_file *written; /* where what leaves is written, for all lanes; NULL: nowhere */
    struct nd_ledger ledger;

    uint64_t *source; /* [burst] of the tape, for bursts 1 … known */
    uint64_t *seq;    /* [burst] of its first input; [known + 1] is the next */
    uint64_t known;
    uint64_t shift;

    uint64_t *left; /* [number] digest of port and bytes; 0: has not left */
    uint64_t numbers;
    struct kp_outputs outputs; /* what an input keeper lets leave */
    uint64_t last_burst;       /* highest of an output that left */
};

/* `tape`, `counts` and `written` stay borrowed. FT_ENOMEM; close it in any case. */
int nd_keeper_open(struct nd_keeper *keeper, const struct nd_tape *tape, bool keeps,
                   struct nd_keeper_counts *counts, struct nd_capture_file *written, struct ft_fault *fault);
void nd_keeper_close(struct nd_keeper *keeper);

/* Takes what a node has released, and its records, out of the lane's rings; how many of both. */
uint64_t nd_keeper_drain(struct nd_keeper *keeper, struct nd_slot_lane *lane);

/* The primary was killed when it had taken bursts up to `taken`; its successor goes on behind `survived`. */
void nd_keeper_takeover(struct nd_keeper *keeper, uint64_t survived, uint64_t taken);
/* Bursts up to `burst` are fed: which of the tape they are, is known from now on. */
void nd_keeper_know(struct nd_keeper *keeper, uint64_t burst);
/* The record of one of the bursts 1 … ledger.count. */
const struct ft_record *nd_keeper_record(const struct nd_keeper *keeper, uint64_t burst);

/* Of an output or loss: what a frame hashes to, never 0. */
uint64_t nd_keeper_digest(const void *frame, uint32_t len, uint64_t port);

/* A line about a loss, on stderr, while there are few. */
void nd_keeper_log(struct nd_keeper *keeper, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
