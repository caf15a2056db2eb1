/* SPDX-License-Identifier: Apache-2.0 */
/* Where a lane's packets come from and go to: DPDK ports in a node (node/ports), memory in the replay tool.
 * One call per burst and port. Owned by who made it; used by lanes, each with its own number. */
#ifndef NODE_LANE_IO_H
#define NODE_LANE_IO_H

#include "ftcore/queue/hold.h"
#include "ftcore/record/record.h"
#include "nflib/chain/l3.h"

struct nd_frame {
    uint8_t *data;
    uint32_t len;
    uint8_t port; /* where it came in */
    void *owner;  /* the buffer, for send and drop */
};

struct nd_io {
    void *ctx;
    uint16_t ports;               /* as the chain's interfaces are numbered */
    uint16_t devices;             /* to receive from: several ports may be behind one (VLANs) */
    uint8_t side[NF_PORTS_MAX];   /* enum nf_side */
    uint8_t own[NF_PORTS_MAX][6]; /* this node's own MAC, never the chain's: heartbeats, draining */
    uint32_t buffers;             /* packets that can be in flight */

    /* At most `max` frames of a device, in one piece each; others (runts, scattered) are dropped. */
    uint32_t (*receive)(void *ctx, unsigned lane, unsigned device, struct nd_frame frames[], uint32_t max);
    /* Offers outputs in order; how many the port took (a prefix), which are gone then. */
    uint32_t (*send)(void *ctx, unsigned lane, unsigned port, const struct ft_held held[], uint32_t n);
    void *(*make)(void *ctx, unsigned lane, const void *frame, uint32_t len); /* NULL: no buffer */
    uint8_t *(*data)(void *owner);
    void (*drop)(void *ctx, void *owner);

    /* An input keeper in front (the replay tool): whole bursts, cut and stamped there, instead of receive.
     * The burst after number `last`: true, its frames and its chain time; false: none yet. NULL: there is
     * none. */
    bool (*burst)(void *ctx, unsigned lane, uint64_t last, struct nd_frame frames[], uint32_t *n,
                  uint64_t *time);

    /* An input keeper: writes what a record did not take, bytes [have, len) of the frame that
     * came in with `seq`. False: it has no such frame. NULL: nobody keeps them. */
    bool (*complete)(void *ctx, unsigned lane, uint64_t seq, uint8_t *frame, uint32_t have, uint32_t len);
    /* The input keeper: the frame that came in with `seq`, whole, into `frame` (frame_max bytes), its length
     * and port. So records need not hold it (FT_REC_BY_SEQ). Beside `complete`; both or neither. */
    bool (*input)(void *ctx, unsigned lane, uint64_t seq, uint8_t *frame, uint32_t *len, uint8_t *port);
    uint32_t frame_max; /* with `input`: no frame is longer */

    /* Who keeps the log: every record of a live lane is given to it, whole, before anybody else sees
     * it. `room`: whether it takes another. Both or neither; NULL: nobody keeps it. */
    bool (*room)(void *ctx, unsigned lane);
    void (*record)(void *ctx, unsigned lane, const struct ft_record *record);
};

#endif
