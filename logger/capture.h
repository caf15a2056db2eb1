/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Capture: writes a lane's log records, in place in its log ring: inputs before NFs change them, determinants
 * and dependencies when the burst has run. Owned by the lane. A record is visible to the replicator
 * when it is ended, whole. Cursor: reads a record for replay.
 */
#ifndef LOGGER_CAPTURE_H
#define LOGGER_CAPTURE_H

#include "ftcore/base/check.h"
#include "ftcore/queue/lane.h"

#include <stdbool.h>
#include <string.h>

struct lg_capture {
    struct ft_lane_shared *lane;
    struct ft_record *record; /* reserved in the ring; NULL between bursts */
    unsigned next;            /* input to be captured next */
};

/* The ring has room for a largest record. */
static inline bool lg_capture_room(struct ft_lane_shared *lane)
{
    return ft_ring_reserve(&lane->log, FT_RECORD_MAX) != NULL;
}

/* Room must be there. `inputs` at most FT_BURST_MAX: as many follow, or lg_capture_by_seq. */
void lg_capture_begin(struct lg_capture *capture, unsigned index, uint64_t burst, uint64_t seq, uint64_t time,
                      unsigned inputs);
/* An input keeper has the inputs: their sequence numbers are enough. In place of the inputs. */
static inline void lg_capture_by_seq(struct lg_capture *capture)
{
    capture->record->flags |= FT_REC_BY_SEQ;
    capture->next = capture->record->inputs;
}
/* The inputs, one after the other: `take` bytes of each frame's `wire` are kept. In line, and what goes from
 * one to the next in a variable of the caller's: it is done for every packet. */
#define LG_HEADERS 64u /* bytes that are taken of nearly every packet */
typedef uint64_t lg_half __attribute__((vector_size(LG_HEADERS / 2), aligned(1), may_alias));
struct lg_inputs {
    struct ft_input *in; /* the next one */
    uint8_t *to;         /* where its bytes go */
};
static inline struct lg_inputs lg_capture_inputs(const struct lg_capture *capture)
{
    struct ft_record *r = capture->record;

    return (struct lg_inputs){.in = (struct ft_input *)(r + 1) + capture->next,
                              .to = (uint8_t *)r + ft_record_bytes_at(r) + r->bytes};
}
/* Bytes ahead of what is written, which the cache gets meanwhile: some later burst's. What the ring has there
 * was last seen by its reader, on another processor. */
#define LG_AHEAD 4096u

/* Of a record that nobody gets. */
static inline void lg_inputs_put(struct lg_inputs *inputs, const void *frame, uint32_t wire, uint32_t take,
                                 unsigned port, bool outside)
{
    *inputs->in++ = (struct ft_input){
        .wire = wire, .taken = (uint16_t)take, .port = (uint8_t)port, .flags = outside ? FT_IN_OUTSIDE : 0};
    if (ft_likely(take == LG_HEADERS)) { /* of a known length: no call */
        lg_half first = ((const lg_half *)frame)[0], second = ((const lg_half *)frame)[1];

        ((lg_half *)(void *)inputs->to)[0] = first;
        ((lg_half *)(void *)inputs->to)[1] = second;
    } else {
        memcpy(inputs->to, frame, take);
    }
    inputs->to += take;
}
static inline void lg_inputs_add(struct lg_inputs *inputs, const void *frame, uint32_t wire, uint32_t take,
                                 unsigned port, bool outside)
{
    FT_CHECK(take <= wire && wire <= FT_FRAME_MAX, "an input of %u bytes, %u taken", wire, take);
    __builtin_prefetch(inputs->to + LG_AHEAD, 1);
    lg_inputs_put(inputs, frame, wire, take, port, outside);
}
/* An input that is identified by its session, in FT_SESSION_BYTES (ftcore/record/record.h). */
static inline void lg_inputs_add_session(struct lg_inputs *inputs, const void *session, uint32_t wire,
                                         unsigned port, bool outside)
{
    FT_CHECK(wire <= FT_FRAME_MAX, "an input of %u bytes", wire);
    *inputs->in++ = (struct ft_input){.wire = wire,
                                      .taken = FT_SESSION_BYTES,
                                      .port = (uint8_t)port,
                                      .flags = FT_IN_SESSION | (outside ? FT_IN_OUTSIDE : 0)};
    memcpy(inputs->to, session, FT_SESSION_BYTES);
    inputs->to += FT_SESSION_BYTES;
}
/* An input of which no NF gets anything. */
static inline void lg_inputs_add_aside(struct lg_inputs *inputs, uint32_t wire, unsigned port, bool outside)
{
    *inputs->in++ = (struct ft_input){
        .wire = wire, .port = (uint8_t)port, .flags = FT_IN_ASIDE | (outside ? FT_IN_OUTSIDE : 0)};
}
static inline void lg_capture_inputs_end(struct lg_capture *capture, const struct lg_inputs *inputs)
{
    struct ft_record *r = capture->record;

    capture->next = (unsigned)(inputs->in - (struct ft_input *)(r + 1));
    FT_CHECK(capture->next <= r->inputs, "input %u of %u", capture->next, r->inputs);
    r->bytes = (uint32_t)(inputs->to - ((uint8_t *)r + ft_record_bytes_at(r)));
    memset(inputs->to, 0, 8); /* the padding behind them, so that equal records are equal to the byte */
}
/* After the inputs. FT_EFULL when the record's values would exceed FT_DETERMINANTS_MAX. */
int lg_capture_determinant(struct lg_capture *capture, const void *value, uint32_t len);
/* The burst's accesses to shared objects: number of the first, how many, and the dependencies among them.
 * Once, after the chain ran. */
void lg_capture_order(struct lg_capture *capture, uint64_t access, uint32_t accesses,
                      const struct ft_dependency dependencies[], unsigned count);
/* `flags`: of FT_REC_DIGESTS; without FT_REC_SLICE `slice` is 0. */
static inline void lg_capture_digest(struct lg_capture *capture, uint8_t flags, uint64_t slice,
                                     uint64_t digest)
{
    capture->record->flags |= flags;
    capture->record->slice = slice;
    capture->record->digest = digest;
}
/* The record as it will be; still only the lane's. */
const struct ft_record *lg_capture_whole(struct lg_capture *capture, uint64_t released);
void lg_capture_end(struct lg_capture *capture, uint64_t released); /* the replicator may have it */
/* Nobody gets it. */
static inline void lg_capture_forget(struct lg_capture *capture)
{
    capture->record = NULL;
}

/* Reads a record that has been checked (ftcore/record/record.h): its inputs one by one, then its determinants
 * in order. lg_cursor_done: all of it was read. */
struct lg_cursor {
    const struct ft_record *record; /* the rest is 0 to begin with */
    uint32_t input, byte, value;
};

/* Next input and its captured bytes (in the record: replay may work on them in place). NULL: no more. */
static inline const struct ft_input *lg_cursor_input(struct lg_cursor *cursor, uint8_t **bytes)
{
    const struct ft_record *r = cursor->record;
    const struct ft_input *in;

    if (r->flags & FT_REC_BY_SEQ || cursor->input == r->inputs)
        return NULL;
    in = ft_record_inputs(r) + cursor->input++;
    *bytes = (uint8_t *)(uintptr_t)r + ft_record_bytes_at(r) + cursor->byte;
    cursor->byte += in->taken;
    return in;
}
/* Next determinant; NULL: no more. */
const void *lg_cursor_determinant(struct lg_cursor *cursor, uint32_t *len);
static inline bool lg_cursor_done(const struct lg_cursor *cursor)
{
    const struct ft_record *r = cursor->record;

    return (r->flags & FT_REC_BY_SEQ || cursor->input == r->inputs) && cursor->value == r->determinants;
}

#endif
