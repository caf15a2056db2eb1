/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For tests: records and chunks of deltas put together by hand with msgpack, so that the encoder has no say:
 * an array of numbers, a body, a checksum over both. One at a time.
 */
#ifndef TESTS_HELP_FORGE_H
#define TESTS_HELP_FORGE_H

#include "ftcore/record/record.h"

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

#endif
