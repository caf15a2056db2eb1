/* SPDX-License-Identifier: Apache-2.0 */
/* For tests, the simulation and fuzzing: the check of a log record in memory, by the rules of its decoder. */
#include "tests/help/record.h"
#include "ftcore/record/head.h"
#include "ftcore/record/rules.h"
#include "ftcore/region/region.h"

FT_HEAD_CODEC(struct ft_record, FT_RECORD_NUMBERS);

static int check_inputs(const struct ft_record *r, size_t *at, struct ft_fault *why)
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

static int check_dependencies(const struct ft_record *r, size_t *at, struct ft_fault *why)
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

int record_check(const struct ft_record *r, size_t size, struct ft_fault *fault)
{
    uint64_t n[FT_ELEMENTS_MAX];
    struct ft_fault why;
    size_t at;

    if (size < sizeof(*r))
        return ft_fail(fault, FT_EMALFORMED, "offset 0: %zu bytes, expected a record of at least %zu", size,
                       sizeof(*r));
    struct ft_record numbers = *r;
    if (!(r->flags & FT_REC_DIGESTS))
        numbers.digest = 0;                     /* it means nothing */
    get_numbers(&numbers, FT_FORMAT_OLDEST, n); /* a later number is added where it is encoded */
    (void)set_numbers;
    if (ft_head_ranges(&layout, n, &at, &why) || ft_rule_numbers(&numbers, &at, &why))
        return ft_fail_at(fault, FT_EMALFORMED, at, &why);
    if (r->kind != FT_ENTRY_RECORD)
        return ft_fail(fault, FT_EMALFORMED, "offset %zu: entry of kind %u, expected a record",
                       offsetof(struct ft_record, kind), r->kind);
    if (r->size != ft_record_size(r) || r->size > size)
        return ft_fail(fault, FT_EMALFORMED, "offset 0: size is %u, expected %zu, and %zu bytes are there",
                       r->size, ft_record_size(r), size);
    if (check_inputs(r, &at, &why) || check_dependencies(r, &at, &why))
        return ft_fail_at(fault, FT_EMALFORMED, at, &why);
    if (ft_rule_determinants((const uint8_t *)r + ft_record_determinants_at(r), r->determinants, &at, &why))
        return ft_fail_at(fault, FT_EMALFORMED, ft_record_determinants_at(r) + at, &why);
    return 0;
}
