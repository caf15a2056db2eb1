/* SPDX-License-Identifier: Apache-2.0 */
/* The rules of a log record; see rules.h. */
#include "ftcore/record/rules.h"

#include "ftcore/region/slice.h"

#include <string.h>

_Static_assert(FT_REGION_MAX / FT_SLICE == FT_SLICE_LAST + 1,
               "every slice has a number that a record can say");

int ft_rule_numbers(const struct ft_record *r, size_t *at, struct ft_fault *why)
{
    *at = offsetof(struct ft_record, seq);
    if (r->seq + r->inputs < r->seq)
        return ft_fail(why, FT_EMALFORMED,
                       "sequence number wraps within the burst, expected room for its inputs");
    *at = offsetof(struct ft_record, access);
    if (r->access + r->accesses < r->access)
        return ft_fail(why, FT_EMALFORMED, "access wraps within the burst, expected room for its accesses");
    *at = offsetof(struct ft_record, digest);
    if (!(r->flags & FT_REC_DIGESTS) && r->digest)
        return ft_fail(why, FT_EMALFORMED, "digest without its flag, expected 0");
    *at = offsetof(struct ft_record, slice);
    if (!(r->flags & FT_REC_SLICE) && r->slice)
        return ft_fail(why, FT_EMALFORMED, "slice without its flag, expected 0");
    *at = offsetof(struct ft_record, bytes);
    if (r->flags & FT_REC_BY_SEQ && r->bytes)
        return ft_fail(why, FT_EMALFORMED, "bytes is %u in a burst by sequence number, expected 0", r->bytes);
    return 0;
}

int ft_rule_input(const struct ft_input *in, unsigned index, struct ft_fault *why)
{
    if (in->wire < FT_FRAME_MIN || in->wire > FT_FRAME_MAX)
        return ft_fail(why, FT_EMALFORMED, "input %u is %u bytes on the wire, expected %u to %u", index,
                       in->wire, FT_FRAME_MIN, FT_FRAME_MAX);
    if (in->taken > in->wire)
        return ft_fail(why, FT_EMALFORMED, "input %u has %u bytes taken, expected at most its %u", index,
                       in->taken, in->wire);
    if (in->flags & ~FT_IN_OUTSIDE)
        return ft_fail(why, FT_EMALFORMED, "input %u has flags %u, expected at most %u", index, in->flags,
                       FT_IN_OUTSIDE);
    return 0;
}

int ft_rule_taken(const struct ft_record *r, uint64_t taken, struct ft_fault *why)
{
    if (taken != r->bytes)
        return ft_fail(why, FT_EMALFORMED, "inputs have %lu bytes taken, expected %u as the head says", taken,
                       r->bytes);
    return 0;
}

int ft_rule_dependency(const struct ft_record *r, const struct ft_dependency *dependency, unsigned index,
                       uint64_t least, struct ft_fault *why)
{
    if (dependency->lane >= FT_LANES_MAX || dependency->lane == r->lane)
        return ft_fail(why, FT_EMALFORMED, "dependency %u names lane %u, expected another than %u below %u",
                       index, dependency->lane, r->lane, FT_LANES_MAX);
    if (dependency->own < least || dependency->own - r->access >= r->accesses)
        return ft_fail(why, FT_EMALFORMED,
                       "dependency %u is at access %lu, expected %lu or later, before %lu", index,
                       dependency->own, least, (r->access + r->accesses));
    return 0;
}

int ft_rule_determinants(const uint8_t *determinants, size_t len, size_t *at, struct ft_fault *why)
{
    for (*at = 0; *at < len;) {
        uint32_t size;
        size_t left = len - *at;

        if (left < sizeof(size))
            return ft_fail(why, FT_EMALFORMED, "%zu bytes left for a determinant, expected a length of %zu",
                           left, sizeof(size));
        memcpy(&size, determinants + *at, sizeof(size));
        if (size > left - sizeof(size))
            return ft_fail(why, FT_EMALFORMED, "value of %u bytes, expected at most the %zu left", size,
                           left - sizeof(size));
        *at += sizeof(size) + size;
    }
    return 0;
}
