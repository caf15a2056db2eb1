/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules of a log record and ft_record_check, which holds a record in memory against them. Reads only;
 * called by decode, and by whoever takes a record from a file or another process.
 */
#include "ftcore/record/rules.h"

#include <string.h>

#define FLAGS_KNOWN (FT_REC_BY_SEQ | FT_REC_DIGEST | FT_REC_STAMPED)

/* Ranges of the numbers, and where they are in memory. */
const struct ft_field ft_fields[FT_FIELDS] = {
    [FT_F_VERSION] = {"version", 0, FT_RECORD_VERSION, FT_RECORD_VERSION},
    [FT_F_LANE] = {"lane", offsetof(struct ft_record, lane), 0, FT_LANES_MAX - 1},
    [FT_F_FLAGS] = {"flags", offsetof(struct ft_record, flags), 0, FLAGS_KNOWN},
    [FT_F_BURST] = {"burst", offsetof(struct ft_record, burst), 1, UINT64_MAX},
    [FT_F_SEQ] = {"seq", offsetof(struct ft_record, seq), 0, UINT64_MAX},
    [FT_F_TIME] = {"time", offsetof(struct ft_record, time), 0, UINT64_MAX},
    [FT_F_RELEASED] = {"released", offsetof(struct ft_record, released), 0, UINT64_MAX},
    [FT_F_ACCESS] = {"access", offsetof(struct ft_record, access), 0, UINT64_MAX},
    [FT_F_ACCESSES] = {"accesses", offsetof(struct ft_record, accesses), 0, UINT32_MAX},
    [FT_F_DIGEST] = {"digest", offsetof(struct ft_record, digest), 0, UINT64_MAX},
    [FT_F_INPUTS] = {"inputs", offsetof(struct ft_record, inputs), 0, FT_BURST_MAX},
    [FT_F_BYTES] = {"bytes", offsetof(struct ft_record, bytes), 0, FT_BYTES_MAX},
    [FT_F_DEPENDENCIES] = {"dependencies", offsetof(struct ft_record, dependencies), 0, FT_DEPENDENCIES_MAX},
    [FT_F_DETERMINANTS] = {"values", offsetof(struct ft_record, determinants), 0, FT_DETERMINANTS_MAX},
    [FT_F_BODY] = {"body", 0, 0, 0},
    [FT_F_CHECKSUM] = {"checksum", 0, 0, UINT64_MAX},
};

_Static_assert(FLAGS_KNOWN == 7, "the range of flags has no holes");
_Static_assert(sizeof(struct ft_record) % 8 == 0 && sizeof(struct ft_input) == 8 &&
                   sizeof(struct ft_dependency) == 24,
               "chunks follow each other at multiples of 8");
_Static_assert(sizeof(struct ft_record) + FT_BURST_MAX * sizeof(struct ft_input) + FT_BYTES_MAX +
                       FT_DEPENDENCIES_MAX * sizeof(struct ft_dependency) + FT_DETERMINANTS_MAX + 16 <=
                   FT_RECORD_MAX,
               "counts within their ranges cannot make a record that is too large");

const struct ft_layout ft_record_layout = {ft_fields, FT_FIELDS, FT_RECORD_VERSION};

int ft_fail_at(struct ft_fault *fault, int error, size_t offset, const struct ft_fault *why)
{
    return ft_fail(fault, error, "offset %zu: %s", offset, why->text);
}

int ft_rule_ranges(const struct ft_layout *layout, const uint64_t n[], unsigned *field, struct ft_fault *why)
{
    const struct ft_field *f = layout->fields;

    for (*field = 0; *field < layout->count - 2; ++*field, f++)
        if (n[*field] < f->min || n[*field] > f->max)
            return ft_fail(why, FT_EMALFORMED, "%s is %llu, expected %llu to %llu", f->name,
                           (unsigned long long)n[*field], (unsigned long long)f->min,
                           (unsigned long long)f->max);
    return 0;
}

int ft_rule_head(const uint64_t n[], unsigned *field, struct ft_fault *why)
{
    if (ft_rule_ranges(&ft_record_layout, n, field, why))
        return FT_EMALFORMED;
    *field = FT_F_SEQ;
    if (n[FT_F_SEQ] + n[FT_F_INPUTS] < n[FT_F_SEQ])
        return ft_fail(why, FT_EMALFORMED,
                       "sequence number wraps within the burst, expected room for its inputs");
    *field = FT_F_ACCESS;
    if (n[FT_F_ACCESS] + n[FT_F_ACCESSES] < n[FT_F_ACCESS])
        return ft_fail(why, FT_EMALFORMED, "access wraps within the burst, expected room for its accesses");
    *field = FT_F_DIGEST;
    if (!(n[FT_F_FLAGS] & FT_REC_DIGEST) && n[FT_F_DIGEST])
        return ft_fail(why, FT_EMALFORMED, "digest without its flag, expected 0");
    *field = FT_F_BYTES;
    if ((n[FT_F_FLAGS] & FT_REC_BY_SEQ) && n[FT_F_BYTES])
        return ft_fail(why, FT_EMALFORMED, "bytes is %llu in a burst by sequence number, expected 0",
                       (unsigned long long)n[FT_F_BYTES]);
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
        return ft_fail(why, FT_EMALFORMED, "inputs have %llu bytes taken, expected %u as the head says",
                       (unsigned long long)taken, r->bytes);
    return 0;
}

int ft_rule_dependency(const struct ft_record *r, const struct ft_dependency *dependency, unsigned index,
                       uint64_t least, struct ft_fault *why)
{
    if (dependency->lane >= FT_LANES_MAX || dependency->lane == r->lane)
        return ft_fail(why, FT_EMALFORMED, "edge %u names lane %u, expected another than %u below %u", index,
                       dependency->lane, r->lane, FT_LANES_MAX);
    if (dependency->own < least || dependency->own - r->access >= r->accesses)
        return ft_fail(why, FT_EMALFORMED, "edge %u is at access %llu, expected %llu or later, before %llu",
                       index, (unsigned long long)dependency->own, (unsigned long long)least,
                       (unsigned long long)(r->access + r->accesses));
    return 0;
}

int ft_rule_determinants(const uint8_t *values, size_t len, size_t *at, struct ft_fault *why)
{
    for (*at = 0; *at < len;) {
        uint32_t size;
        size_t left = len - *at;

        if (left < sizeof(size))
            return ft_fail(why, FT_EMALFORMED, "%zu bytes left for a value, expected a length of %zu", left,
                           sizeof(size));
        memcpy(&size, values + *at, sizeof(size));
        if (size > left - sizeof(size))
            return ft_fail(why, FT_EMALFORMED, "value of %u bytes, expected at most the %zu left", size,
                           left - sizeof(size));
        *at += sizeof(size) + size;
    }
    return 0;
}

static int inputs_wrong(const struct ft_record *r, size_t *at, struct ft_fault *why)
{
    const struct ft_input *in = ft_record_inputs(r);
    uint64_t taken = 0;

    *at = sizeof(*r);
    if (r->flags & FT_REC_BY_SEQ)
        return 0;
    for (unsigned i = 0; i < r->inputs; i++, *at += sizeof(*in)) {
        if (ft_rule_input(&in[i], i, why))
            return FT_EMALFORMED;
        taken += in[i].taken;
    }
    return ft_rule_taken(r, taken, why);
}

static int dependencies_wrong(const struct ft_record *r, size_t *at, struct ft_fault *why)
{
    uint64_t least = r->access;

    *at = ft_record_dependencies_at(r);
    for (unsigned i = 0; i < r->dependencies; i++, *at += sizeof(struct ft_dependency)) {
        const struct ft_dependency *dependency = (const void *)((const uint8_t *)r + *at);

        if (ft_rule_dependency(r, dependency, i, least, why))
            return FT_EMALFORMED;
        least = dependency->own + 1;
    }
    return 0;
}

int ft_record_check(const struct ft_record *r, size_t size, struct ft_fault *fault)
{
    struct ft_fault why;
    unsigned field;
    size_t at;

    if (size < sizeof(*r))
        return ft_fail(fault, FT_EMALFORMED, "offset 0: %zu bytes, expected a record of at least %zu", size,
                       sizeof(*r));
    const uint64_t n[] = {
        FT_RECORD_VERSION,
        r->lane,
        r->flags,
        r->burst,
        r->seq,
        r->time,
        r->released,
        r->access,
        r->accesses,
        r->flags & FT_REC_DIGEST ? r->digest : 0,
        r->inputs,
        r->bytes,
        r->dependencies,
        r->determinants,
    };
    if (ft_rule_head(n, &field, &why))
        return ft_fail_at(fault, FT_EMALFORMED, ft_fields[field].at, &why);
    if (r->size != ft_record_size(r) || r->size > size)
        return ft_fail(fault, FT_EMALFORMED, "offset 0: size is %u, expected %zu, and %zu bytes are there",
                       r->size, ft_record_size(r), size);
    if (inputs_wrong(r, &at, &why) || dependencies_wrong(r, &at, &why))
        return ft_fail_at(fault, FT_EMALFORMED, at, &why);
    if (ft_rule_determinants((const uint8_t *)r + ft_record_determinants_at(r), r->determinants, &at, &why))
        return ft_fail_at(fault, FT_EMALFORMED, ft_record_determinants_at(r) + at, &why);
    return 0;
}
