/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: log records built part by part in one buffer, and seeded numbers. One thread. */
#ifndef TESTS_HELP_RECORD_H
#define TESTS_HELP_RECORD_H

#include "ftcore/record/record.h"

/* Where records are built, and where decoding puts them. */
extern struct ft_record *const rec, *const back;

/* In the order of the parts; record_add_bytes once after the last input, even without inputs; then finish. */
void record_begin(uint16_t lane, uint16_t flags, uint64_t burst);
void record_add_input(uint32_t wire, uint16_t taken, uint8_t port, uint8_t flags);
void record_add_bytes(void);
void record_add_dependency(uint64_t own, uint16_t lane, uint64_t access);
void record_add_determinant(const void *bytes, uint32_t len);
void record_finish(void);

/* A record with some of everything, small enough to damage at each place. */
void record_sample(void);

/* From a copy of exactly `len` bytes, so that a sanitizer sees a step beyond; a failure must name its offset.
 */
long record_decode_exact(const uint8_t *bytes, size_t len, struct ft_fault *fault);

extern uint64_t draw_seed;
uint64_t draw(void);
uint64_t draw_below(uint64_t n);
uint64_t draw_any_magnitude(void); /* small numbers as likely as large ones */

/* Does the record in memory keep all rules of the format? 0 or FT_EMALFORMED, with what and where. */
int record_check(const struct ft_record *r, size_t size, struct ft_fault *fault);

#endif
