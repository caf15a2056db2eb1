/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replayed outputs: what replay produced and the primary has not yet reported as released. At takeover they
 * are the tail. Owned by the standby's lane. When its ring is full the oldest are forgotten and counted as
 * suppressed (docs/guarantees.md, G4).
 */
#ifndef LOGGER_REPLAYED_H
#define LOGGER_REPLAYED_H

#include "ftcore/queue/ring.h"

#include <stdint.h>

struct lg_output {
    uint64_t number; /* of the lane's outputs, from 1 */
    uint64_t burst;
    uint64_t seq;  /* of the input it came from; 0: made by an NF */
    uint32_t len;  /* bytes of the frame */
    uint32_t have; /* bytes of it that follow; len: all */
    uint32_t size; /* of this entry in the ring, multiple of 8; lg_replayed_put's to fill in */
    uint8_t port;
    uint8_t reserved[3];
};

struct lg_replayed {
    struct ft_ring ring; /* both ends are the lane's */
    uint64_t count;
    uint64_t forgotten, forgotten_to; /* not known to be released; the last one's number */
};

/* FT_ENOMEM. */
int lg_replayed_init(struct lg_replayed *replayed, uint64_t bytes);
void lg_replayed_free(struct lg_replayed *replayed);
void lg_replayed_clear(struct lg_replayed *replayed);
/* Copies output->have bytes of the frame. */
void lg_replayed_put(struct lg_replayed *replayed, const struct lg_output *output, const void *frame);
/* `count` outputs, the last one's number `to`, were never to be had: suppressed unless they turn out
 * released. */
void lg_replayed_missed(struct lg_replayed *replayed, uint64_t count, uint64_t to);
/* Forgets outputs up to number `released`. */
void lg_replayed_released(struct lg_replayed *replayed, uint64_t released);
/* The oldest; NULL: there is none. Valid until the next call but one of lg_replayed_take. The frame is at
 * output + 1. */
const struct lg_output *lg_replayed_oldest(struct lg_replayed *replayed);
/* Takes it out, the same, which is valid until the next call. */
const struct lg_output *lg_replayed_take(struct lg_replayed *replayed);

#endif
