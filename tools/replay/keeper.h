/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An input keeper stands for what is in front of a pair and behind it, for one lane: it feeds the inputs and
 * takes the outputs. It knows what has left, in order; what would leave again; which burst of the tape each
 * surviving burst of the lane was. Used by the tool's own process alone.
 *
 * Numbers, sequence numbers and bursts are the lane's. With `keeps` nothing is
 * ever lost and they run as the tape does. Without, each takeover skips what the dead primary had taken and
 * the survivor did not know: `shift` grows.
 */
#ifndef TOOLS_REPLAY_KEEPER_H
#define TOOLS_REPLAY_KEEPER_H

#include "tools/pair/tape.h"
#include "tools/replay/slot.h"

#define ND_KEEPER_LISTED 20u /* lines about losses, then a total */

/* Of all lanes of a run together. */
struct nd_keeper_counts {
    uint64_t released, duplicated, reordered, altered, suppressed;
    uint64_t early; /* outputs that left though their burst did not survive: a breach of output commit */
    uint64_t lost;  /* inputs taken and not recovered */
    _Atomic unsigned listed; /* lines said about losses */
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
    uint64_t numbers, highest;
    uint64_t last_burst; /* highest of an output that left */
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
void nd_keeper_tell(struct nd_keeper *keeper, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
