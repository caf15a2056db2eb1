/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A gate stands for what is in front of a pair and behind it, for one lane: it feeds the inputs and takes the
 * outputs. It knows what has left, in order; what would leave again; which burst of the tape each surviving
 * burst of the lane was. Used by the tool's own process alone.
 *
 * Numbers, sequence numbers and bursts are the lane's. With `keeps` (a gate that keeps the inputs) nothing is
 * ever lost and they run as the tape does. Without, each takeover skips what the dead primary had taken and
 * the survivor did not know: `shift` grows.
 */
#ifndef TOOLS_REPLAY_GATE_H
#define TOOLS_REPLAY_GATE_H

#include "tools/replay/capture.h"
#include "tools/replay/slot.h"

#define ND_GATE_TOLD 20u /* lines about losses, then a total */

struct nd_gate {
    const struct nd_tape *tape;
    bool keeps;
    struct nd_capture_file *written; /* where what leaves is written, for all lanes; NULL: nowhere */

    uint64_t *source; /* [burst] of the tape, for bursts 1 … known */
    uint64_t *seq;    /* [burst] of its first input; [known + 1] is the next */
    uint64_t known;
    uint64_t shift;

    uint64_t *left; /* [number] digest of port and bytes; 0: has not left */
    uint64_t numbers, highest;
    uint64_t last_burst; /* highest of an output that left */

    uint64_t released, duplicated, reordered, altered, suppressed;
    uint64_t early; /* outputs that left though their burst did not survive: a breach of output commit */
    uint64_t lost_inputs; /* taken and not recovered */
    unsigned told;        /* lines said about losses */
};

int nd_gate_open(struct nd_gate *gate, const struct nd_tape *tape, bool keeps,
                 struct nd_capture_file *written, struct ft_fault *fault);
void nd_gate_close(struct nd_gate *gate);

/* Takes what a node has released out of its ring; how many outputs. */
uint64_t nd_gate_drain(struct nd_gate *gate, struct ft_ring *out);

/* The primary was killed when it had taken bursts up to `taken`; its successor goes on behind `survived`. */
void nd_gate_takeover(struct nd_gate *gate, uint64_t survived, uint64_t taken);
/* The last burst of the tape, as the present primary numbers it; and any burst of the tape. */
uint64_t nd_gate_number(const struct nd_gate *gate, uint64_t tape_burst);
/* Bursts up to `burst` are fed: which of the tape they are, is known from now on. */
void nd_gate_know(struct nd_gate *gate, uint64_t burst);

/* Of an output or loss: what a frame hashes to, never 0. */
uint64_t nd_gate_digest(const void *frame, uint32_t len, uint64_t port);

/* A line about a loss, on stderr, while there are few. */
void nd_gate_tell(struct nd_gate *gate, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
