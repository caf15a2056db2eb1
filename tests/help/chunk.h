/* SPDX-License-Identifier: Apache-2.0 */
/* For tests: chunks of deltas built piece by piece in one buffer. One thread. */
#ifndef TESTS_HELP_CHUNK_H
#define TESTS_HELP_CHUNK_H

#include "ftcore/record/delta.h"

#define CHUNK_LINES (1u << 16) /* lines of the region that decoding is told of */

/* Where parts are built, and where decoding puts them. */
extern struct ft_chunk *const chunk, *const chunk_back;

/* In this order; the rest of the head may be set before chunk_finish. */
void chunk_begin(uint16_t lane, uint64_t cut, uint64_t from, uint64_t burst);
bool chunk_add_run(uint64_t line, uint32_t count, bool zero); /* false: it does not fit */
void chunk_end_runs(void);
void chunk_add_output(uint64_t number, uint64_t burst, uint64_t seq, uint32_t len, uint32_t have,
                      uint8_t port);
void chunk_finish(void);

/* Some of everything, small enough to damage at each place. */
void chunk_sample(void);

/* From a copy of exactly `len` bytes, so that a sanitizer sees a step beyond; a failure must name its offset.
 */
long chunk_decode_exact(const uint8_t *bytes, size_t len, struct ft_fault *fault);

#endif
