/* SPDX-License-Identifier: Apache-2.0 */
/* A port between a lane of each of the bench's two nodes: memory that both map, made before they are forked.
 * Each direction has frames in places that its sender fills and its receiver empties, in turn. */
#ifndef TOOLS_BENCH_WIRE_H
#define TOOLS_BENCH_WIRE_H

#include "ftcore/region/region.h"
#include "lane/link.h"

#include <stdatomic.h>

#define ND_CABLE_FRAMES 512u
#define ND_CABLE_BYTES  1984u /* of a frame, at most */

struct nd_bench_cable {
    struct nd_bench_place {
        _Alignas(64) _Atomic uint32_t bytes; /* 0: free */
        _Alignas(64) uint8_t frame[ND_CABLE_BYTES];
    } place[2][ND_CABLE_FRAMES]; /* [the sender's node] */
};

/* A node's ends of all cables. */
struct nd_bench_wires {
    struct nd_bench_wire {
        struct nd_link_port wire;
        struct nd_bench_place *out, *in; /* [ND_CABLE_FRAMES] */
        uint32_t sent, taken;            /* frames, ever */
        bool holds;                      /* the frame taken last is still read */
    } of[FT_LANES_MAX];
    const struct nd_link_port *port[FT_LANES_MAX];
};

/* Node 0 or 1; a cable for each lane. Returns its ports. */
const struct nd_link_port *const *nd_bench_plug(struct nd_bench_wires *wires,
                                                struct nd_bench_cable cable[FT_LANES_MAX], unsigned node);

#endif
