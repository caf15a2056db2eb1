/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A slot is the memory that the replay tool and one of its node processes share, made before the fork, anew
 * for each process. It outlives the process: what a killed node had released can be read to the end.
 *
 *   keeper → node: how far it may take bursts, and whether to rest     node → keeper: outputs, progress,
 * state
 */
#ifndef TOOLS_REPLAY_SLOT_H
#define TOOLS_REPLAY_SLOT_H

#include "ftcore/protocol/core.h"
#include "ftcore/queue/lane.h"
#include "ftcore/record/record.h"
#include "node/config/config.h"
#include "lane/io.h"
#include "tools/pair/member.h"
#include "tools/pair/tape.h"

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
    _Atomic uint64_t refused;                /* things that the other said and this one could not believe */
    char refusal[FT_REASON_MAX];             /* the last of the refused things */
    struct ft_lane_shared shared[FT_LANES_MAX];
    struct nd_slot_lane lanes[FT_LANES_MAX];
};

/* NULL: no memory. Rings are for outputs of `lanes` lanes. */
struct nd_slot *nd_slot_new(unsigned lanes);
void nd_slot_free(struct nd_slot *slot, unsigned lanes);

/* ---- replay/io.c: the node's side of the keeper ---- */

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

#endif
