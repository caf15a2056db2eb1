/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules that a log record keeps beside the ranges of its numbers: each is stated once, here, for encoder
 * and decoder. Private to the record. A rule returns 0 or FT_EMALFORMED and writes into `why` what is wrong
 * and what was expected; its caller knows where that is in its form and puts the offset in front with
 * ft_fail_at.
 */
#ifndef FTCORE_RECORD_RULES_H
#define FTCORE_RECORD_RULES_H

#include "ftcore/record/record.h"

/* Do the numbers fit each other? If not, *at is the offset of the member at fault. */
int ft_rule_numbers(const struct ft_record *r, size_t *at, struct ft_fault *why);
int ft_rule_input(const struct ft_input *in, unsigned index, struct ft_fault *why);
/* All inputs together have `taken` bytes. */
int ft_rule_taken(const struct ft_record *r, uint64_t taken, struct ft_fault *why);
/* `least` is the smallest own that keeps the order. */
int ft_rule_dependency(const struct ft_record *r, const struct ft_dependency *dependency, unsigned index,
                       uint64_t least, struct ft_fault *why);
/* `*at` is where in the determinants the fault is. */
int ft_rule_determinants(const uint8_t *determinants, size_t len, size_t *at, struct ft_fault *why);

#endif
