/* SPDX-License-Identifier: Apache-2.0 */
/* Writes log records in the lane's ring, laid out in the order in which things become known, so that little
 * is moved: inputs, their bytes, dependencies, determinants. Walks records for replay. */
#include "logger/capture.h"

void lg_capture_begin(struct lg_capture *capture, unsigned index, uint64_t burst, uint64_t seq, uint64_t time,
                      unsigned inputs)
{
    struct ft_record *r = ft_ring_reserve(&capture->lane->log, FT_RECORD_MAX);

    FT_CHECK(r && !capture->record && inputs <= FT_BURST_MAX, "burst %lu begins without room", burst);
    memset(r, 0, sizeof(*r));
    r->lane = (uint16_t)index;
    r->burst = burst;
    r->seq = seq;
    r->time = time;
    r->access = 1;
    /* lg_capture_inputs_end counts up to this again; until then it holds where the bytes begin. */
    r->inputs = (uint16_t)inputs;
    capture->record = r;
    capture->next = 0;
    atomic_store_explicit(&capture->lane->record_at[burst % FT_PAST_BURSTS],
                          atomic_load_explicit(&capture->lane->log.head, memory_order_relaxed),
                          memory_order_relaxed);
}

int lg_capture_determinant(struct lg_capture *capture, const void *value, uint32_t len)
{
    struct ft_record *r = capture->record;
    uint8_t *at = (uint8_t *)r + ft_record_determinants_at(r) + r->determinants;

    if (r->determinants + sizeof(len) + len > FT_DETERMINANTS_MAX)
        return FT_EFULL;
    memcpy(at, &len, sizeof(len));
    memcpy(at + sizeof(len), value, len);
    memset(at + sizeof(len) + len, 0, 8); /* the padding, if it is the last */
    r->determinants += (uint32_t)sizeof(len) + len;
    return 0;
}

void lg_capture_order(struct lg_capture *capture, uint64_t access, uint32_t accesses,
                      const struct ft_dependency dependencies[], unsigned count)
{
    struct ft_record *r = capture->record;
    uint8_t *at = (uint8_t *)r + ft_record_dependencies_at(r);

    FT_CHECK(r->dependencies == 0 && count <= FT_DEPENDENCIES_MAX, "%u dependencies", count);
    r->access = access;
    r->accesses = accesses;
    if (count == 0)
        return;
    /* A value may have come before the chain ran. */
    memmove(at + count * sizeof(dependencies[0]), at, FT_ALIGN8(r->determinants));
    memcpy(at, dependencies, count * sizeof(dependencies[0]));
    r->dependencies = (uint16_t)count;
}

const struct ft_record *lg_capture_whole(struct lg_capture *capture, uint64_t released)
{
    struct ft_record *r = capture->record;

    FT_CHECK(capture->next == r->inputs, "%u of %u inputs captured", capture->next, r->inputs);
    r->released = released;
    r->size = (uint32_t)ft_record_size(r);
    return r;
}

void lg_capture_end(struct lg_capture *capture, uint64_t released)
{
    const struct ft_record *r = lg_capture_whole(capture, released);

    ft_ring_publish(&capture->lane->log, r->size);
    capture->record = NULL;
}

const void *lg_cursor_determinant(struct lg_cursor *cursor, uint32_t *len)
{
    const struct ft_record *r = cursor->record;
    const uint8_t *at = (const uint8_t *)r + ft_record_determinants_at(r) + cursor->value;

    if (cursor->value == r->determinants)
        return NULL;
    memcpy(len, at, sizeof(*len));
    cursor->value += (uint32_t)sizeof(*len) + *len;
    return at + sizeof(*len);
}
