/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reference: the surviving bursts executed once, by the chain alone, on a fresh region in a process of
 * its own; no replication. Several lanes are threads that follow the surviving log's dependencies and
 * determinants; inputs come from the tape all the same. What a run released is held against it.
 */
#ifndef TOOLS_REPLAY_REFERENCE_H
#define TOOLS_REPLAY_REFERENCE_H

#include "tools/replay/gate.h"

struct nd_reference {
    uint64_t digest;               /* of the region after the last burst */
    _Atomic uint64_t outputs;      /* made */
    _Atomic uint64_t altered;      /* outputs that left and are not the reference's */
    _Atomic uint64_t missing;      /* outputs of the reference that never left */
    _Atomic uint64_t dependencies; /* followed */
    _Atomic uint64_t diverged;     /* lanes whose log could not be executed: a dependency points out of it, or
                                      not all of it was used */
    unsigned told;                 /* lines said about losses, by the gates and by the reference */
};

/* One gate a lane. FT_ENOMEM, FT_EIO (its process died). Losses are told on stderr. */
int nd_reference_run(struct nd_reference *out, struct nd_gate gates[], const struct nd_config *config,
                     uint64_t seed, struct ft_fault *fault);

#endif
