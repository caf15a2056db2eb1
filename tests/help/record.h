/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests: log records and chunks of deltas, built part by part, each in one buffer; the same put together
 * by hand with msgpack, so that the encoder has no say; and seeded numbers. One thread.
 */
#ifndef TESTS_HELP_RECORD_H
#define TESTS_HELP_RECORD_H

#include "ftcore/record/delta.h"

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

/* Does the record in memory keep all rules of the format (record_check.c)? 0 or FT_EMALFORMED, with what and
 * where. */
int record_check(const struct ft_record *r, size_t size, struct ft_fault *fault);

/* ---- chunks of deltas ---------------------------------------------------------------------------- */

#define CHUNK_LINES (1u << 16) /* lines of the region that decoding is told of */

/* Where chunks are built, and where decoding puts them. */
extern struct ft_chunk *const chunk, *const chunk_back;

/* In this order; the rest of the head may be set before chunk_finish. */
void chunk_begin(uint16_t lane, uint64_t cut, uint64_t from, uint64_t burst);
bool chunk_add_run(uint64_t line, uint32_t count, bool zero); /* false: it does not fit */
void chunk_add_output(uint64_t number, uint64_t burst, uint64_t seq, uint32_t len, uint32_t have,
                      uint8_t port);
void chunk_finish(void);

/* Some of everything, small enough to damage at each place. */
void chunk_sample(void);

long chunk_decode_exact(const uint8_t *bytes, size_t len, struct ft_fault *fault);

/* ---- either, by hand: an array of numbers, a body, a checksum over both; one at a time ------------- */

#define FORGE_NUMBERS 32u

struct forge {
    const uint64_t *plain; /* the numbers that the last one began with */
    unsigned numbers;      /* before the body; at most FORGE_NUMBERS */
    uint64_t head[FORGE_NUMBERS];
    uint8_t body[FT_RECORD_MAX];
    size_t body_len;
    long (*decode)(const uint8_t *bytes, size_t len,
                   struct ft_fault *fault); /* record_decode_exact, or chunk_decode_exact */
};
extern struct forge forge;

/* Begins one with these numbers, which stay where they are, and an empty body. */
void forge_begin(const uint64_t numbers[], unsigned count,
                 long (*decode)(const uint8_t *bytes, size_t len, struct ft_fault *fault));
/* At the body's end. */
void forge_put(const void *bytes, size_t len);
#define FORGE_PUT(...) forge_put((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

/* Encodes and decodes what is there; it stays, to be changed and tried again. Fails the test when it is
 * decoded; or refused with another error or without `text`. */
void forge_refused(int error, const char *text);
/* The one begun last once more, with this number changed: it is refused so. */
void forge_number_refused(unsigned field, uint64_t value, int error, const char *text);
/* Fails the test when it is refused. */
void forge_good(void);

/* ---- numbers by chance --------------------------------------------------------------------------- */

extern uint64_t draw_seed;
uint64_t draw(void);
uint64_t draw_below(uint64_t n);
uint64_t draw_any_magnitude(void); /* small numbers as likely as large ones */

#endif
