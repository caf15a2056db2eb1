/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Capture: writes a lane's log records, in place in its log ring, while the burst runs: inputs before NFs
 * change them, then determinants as they happen. Owned by the lane. A record is visible to the replicator
 * when it is ended, whole.
 *
 * The ring is the queue. When it has no room for a largest record, lg_capture_room says so and the lane stops
 * receiving.
 */
#ifndef LOGGER_CAPTURE_H
#define LOGGER_CAPTURE_H

#include "ftcore/check.h"
#include "ftcore/lane.h"

#include <stdbool.h>
#include <string.h>

struct lg_capture {
    struct ft_lane *lane;
    struct ft_record *record; /* reserved in the ring; NULL between bursts */
    unsigned next;            /* input to be captured next */
};

bool lg_capture_room(struct ft_lane *lane);

/* Room must be there. `inputs` at most FT_BURST_MAX, and exactly as many lg_capture_input calls follow,
 * or lg_capture_by_clock. */
void lg_capture_begin(struct lg_capture *capture, unsigned index, uint64_t burst, uint64_t clock,
                      uint64_t time, unsigned inputs);
/* A gate keeps the inputs: their clocks are enough. In place of the calls of lg_capture_input. */
void lg_capture_by_clock(struct lg_capture *capture);
/* `take` bytes of the frame's `wire` are kept. In line: it is done for every packet. */
#define LG_HEADERS 64u /* bytes that are taken of nearly every packet */
static inline void lg_capture_input(struct lg_capture *capture, const void *frame, uint32_t wire,
                                    uint32_t take, unsigned port, bool outside)
{
    struct ft_record *r = capture->record;
    struct ft_input *in = (struct ft_input *)(r + 1) + capture->next++;
    uint8_t *to = (uint8_t *)r + ft_record_bytes_at(r) + r->bytes;

    FT_CHECK(capture->next <= r->inputs && take <= wire && wire <= FT_FRAME_MAX, "input %u of %u",
             capture->next, r->inputs);
    *in = (struct ft_input){
        .wire = wire, .taken = (uint16_t)take, .port = (uint8_t)port, .flags = outside ? FT_IN_OUTSIDE : 0};
    if (ft_likely(take == LG_HEADERS)) /* of a known length: no call */
        memcpy(to, frame, LG_HEADERS);
    else
        memcpy(to, frame, take);
    r->bytes += take;
}
/* After the inputs. FT_EFULL when the record's values would exceed FT_VALUES_MAX. */
int lg_capture_value(struct lg_capture *capture, const void *value, uint32_t len);
/* The burst's accesses to shared variables: number of the first, how many, and the edges among them. Once,
 * after the chain ran. */
void lg_capture_order(struct lg_capture *capture, uint64_t access, uint32_t accesses,
                      const struct ft_edge edges[], unsigned count);
void lg_capture_digest(struct lg_capture *capture, uint64_t digest);
/* The record as it will be; still only the lane's. */
const struct ft_record *lg_capture_whole(struct lg_capture *capture, uint64_t released);
void lg_capture_end(struct lg_capture *capture, uint64_t released); /* the replicator may have it */
void lg_capture_forget(struct lg_capture *capture);                 /* nobody gets it */

#endif
