/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules that a log record keeps, on the wire and in memory alike: each is stated once, here. Private to
 * the record. A rule returns 0 or FT_EMALFORMED and says in `why` what is wrong and what was expected; its
 * caller knows where that is in its form and puts the offset in front with ft_fail_at.
 */
#ifndef FTCORE_RECORD_RULES_H
#define FTCORE_RECORD_RULES_H

#include "ftcore/base/error.h"
#include "ftcore/record/record.h"
#include "ftcore/region/region.h"

#define FT_RECORD_VERSION 1u
#define FT_FRAME_MIN      14u
#define FT_BYTES_MAX      (FT_BURST_MAX * FT_FRAME_MAX)

/* Elements of the wire form, in order. Those up to FT_F_DETERMINANTS are numbers of the head. */
enum ft_record_field {
    FT_F_VERSION,
    FT_F_LANE,
    FT_F_FLAGS,
    FT_F_BURST,
    FT_F_SEQ,
    FT_F_TIME,
    FT_F_RELEASED,
    FT_F_ACCESS,
    FT_F_ACCESSES,
    FT_F_DIGEST,
    FT_F_INPUTS,
    FT_F_BYTES,
    FT_F_DEPENDENCIES,
    FT_F_DETERMINANTS,
    FT_F_BODY,
    FT_F_CHECKSUM,
    FT_FIELDS
};

struct ft_field {
    const char *name;
    size_t at; /* where it is in struct ft_record */
    uint64_t min, max;
};
extern const struct ft_field ft_fields[FT_FIELDS];

/* An array of such elements: version first, numbers, then body and checksum. A chunk of a delta is one too.
 */
#define FT_LAYOUT_MAX 17u
struct ft_layout {
    const struct ft_field *fields; /* [count] */
    unsigned count, version;
};
extern const struct ft_layout ft_record_layout;

/* "offset N: WHY" into `fault`; returns `error`. */
int ft_fail_at(struct ft_fault *fault, int error, size_t offset, const struct ft_fault *why);

/* Are the numbers in front of the body within their ranges? `*field` is the one at fault. */
int ft_rule_ranges(const struct ft_layout *layout, const uint64_t n[], unsigned *field, struct ft_fault *why);
/* The head's numbers, n[FT_F_VERSION … FT_F_DETERMINANTS]. `*field` is the one at fault. */
int ft_rule_head(const uint64_t n[], unsigned *field, struct ft_fault *why);
int ft_rule_input(const struct ft_input *in, unsigned index, struct ft_fault *why);
/* All inputs together have `taken` bytes. */
int ft_rule_taken(const struct ft_record *r, uint64_t taken, struct ft_fault *why);
/* `least` is the smallest own that keeps the order. */
int ft_rule_dependency(const struct ft_record *r, const struct ft_dependency *dependency, unsigned index,
                       uint64_t least, struct ft_fault *why);
/* `*at` is where in the values the fault is. */
int ft_rule_determinants(const uint8_t *values, size_t len, size_t *at, struct ft_fault *why);

#endif
