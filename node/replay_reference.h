/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reference: the surviving bursts executed once, in order, by the chain alone, on a fresh region in a
 * process of its own; no replication, no lanes. What a run released is held against it.
 */
#ifndef NODE_REPLAY_REFERENCE_H
#define NODE_REPLAY_REFERENCE_H

#include "node/replay_gate.h"

struct nd_reference {
    uint64_t digest;  /* of the region after the last burst */
    uint64_t outputs; /* made */
    uint64_t altered; /* outputs that left and are not the reference's */
    uint64_t missing; /* outputs of the reference that never left */
};

/* FT_ENOMEM, FT_EIO (its process died). Losses are told on stderr. */
int nd_reference_run(struct nd_reference *out, struct nd_gate *gate, const struct nd_config *config,
                     uint64_t seed, struct ft_fault *fault);

#endif
