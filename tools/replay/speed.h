/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How fast replay is beside live work (replay --speed): the CPU time that a lane takes for a packet, live
 * with a log segment, and in replay of the records that it made. One real lane on one thread, in a process of
 * its own, over the bursts of the tape; ports are memory, and what a replicator would do is not in it:
 * neither the sending of records nor their decoding. Frames are put in place before they are timed, as a port
 * does.
 */
#ifndef TOOLS_REPLAY_SPEED_H
#define TOOLS_REPLAY_SPEED_H

#include "node/config/config.h"
#include "tools/pair/tape.h"

#define ND_SPEED_REPEATS 7u

struct nd_speed {
    bool measured;
    double live_ns, replay_ns; /* a packet; medians of ND_SPEED_REPEATS */
    double ratio;              /* median of what each repeat had: live / replay */
    double least, most;        /* range of the repeats' ratios */
};

/* One lane. FT_EDIVERGED: replay came to another state, or did not run; FT_ENOMEM, FT_EIO. */
int nd_speed_measure(struct nd_speed *out, const struct nd_tape *tape, const struct nd_config *config,
                     uint64_t seed, struct ft_fault *fault);

#endif
