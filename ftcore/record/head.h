/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The msgpack array that a log record or a chunk of a delta is on the wire: version, numbers, body, checksum.
 * It knows the two only by the tables of their numbers. Private to their encoders and decoders.
 */
#ifndef FTCORE_RECORD_HEAD_H
#define FTCORE_RECORD_HEAD_H

#include "ftcore/base/error.h"
#include "ftcore/record/body.h"
#include "ftcore/record/format.h"

#include <stddef.h>
#include <stdint.h>

#define FT_ELEMENTS_MAX 32u /* of an array */
#define FT_CHECKSUM_LEN 9u

/* An element: its name in texts, the offset of the member of the struct that holds it, and its range. */
struct ft_element {
    const char *name;
    size_t at;
    uint64_t min, max;
    unsigned since; /* the version of the format that began it; 0: the first */
};

/* All elements: the version first, numbers, then body and checksum. */
struct ft_layout {
    const struct ft_element *elements; /* [count] */
    unsigned count;
};

struct ft_head {
    uint64_t number[FT_ELEMENTS_MAX]; /* the version, then the others; 0: not in that version */
    const uint8_t *body;              /* in the input */
    size_t body_len;
};

/*
 * Reads one array from in[0..len) without looking into the body, and verifies version, checksum (unless it is
 * 0: none) and ranges.
 * Returns its length; FT_ETRUNC, FT_EMALFORMED, FT_EVERSION, FT_ECHECKSUM.
 */
long ft_head_read(struct ft_head *head, const struct ft_layout *layout, const uint8_t *in, size_t len,
                  struct ft_fault *fault);

/* The same without checksum and ranges: for what has been checked, or will be. */
long ft_head_peek(struct ft_head *head, const struct ft_layout *layout, const uint8_t *in, size_t len,
                  struct ft_fault *fault);

/* Are the numbers, n[0] the version's, within their ranges? Else *at is the offset of the member at fault. */
int ft_head_ranges(const struct ft_layout *layout, const uint64_t n[], size_t *at, struct ft_fault *why);

/* Where in an array that was read the number of the member at offset `at` begins. */
size_t ft_head_offset(const struct ft_layout *layout, const uint8_t *in, size_t at);

/* Bytes of an array at most, without those of the body. */
size_t ft_head_bound(const struct ft_layout *layout);

/* Writes the array up to its body, which the caller writes next. n[0] is the version; numbers that are newer
 * are left out. */
void ft_head_write(struct ft_out *to, const struct ft_layout *layout, const uint64_t n[], size_t body_len);

/* Appends the checksum, 0 unless `summed`, of what `to` holds from `start` on. Returns the length of all, or
 * FT_EFULL. */
long ft_head_finish(struct ft_out *to, bool summed, const uint8_t *start);

/* "offset N: WHY" into `fault`; returns `error`. */
int ft_fail_at(struct ft_fault *fault, int error, size_t offset, const struct ft_fault *why);

/*
 * The layout of an entry of a lane's log ring, `type`, by the table of its numbers (FT_RECORD_NUMBERS,
 * FT_CHUNK_NUMBERS: NUMBER(type, member, name, min, max) for each, and after these the version of the format
 * that began it, unless it is the first), and how they come out of the struct and
 * into it.
 */
#define FT_HEAD_CODEC(type, NUMBERS)                                                                         \
    static const struct ft_element elements[] = {{"version", 0, FT_FORMAT_OLDEST, FT_FORMAT_NEWEST, 0},      \
                                                 NUMBERS(FT_HEAD_ELEMENT){"body", 0, 0, 0, 0},               \
                                                 {"checksum", 0, 0, UINT64_MAX, 0}};                         \
    static const struct ft_layout layout = {elements, sizeof(elements) / sizeof(elements[0])};               \
                                                                                                             \
    static void get_numbers(const type *entry, unsigned version, uint64_t n[FT_ELEMENTS_MAX])                \
    {                                                                                                        \
        *n++ = version;                                                                                      \
        NUMBERS(FT_HEAD_GET)                                                                                 \
    }                                                                                                        \
    static void set_numbers(type *entry, const uint64_t n[FT_ELEMENTS_MAX])                                  \
    {                                                                                                        \
        *entry = (type){0};                                                                                  \
        n++; /* the version */                                                                               \
        NUMBERS(FT_HEAD_SET)                                                                                 \
    }                                                                                                        \
    NUMBERS(FT_HEAD_HOLDS)                                                                                   \
    _Static_assert(sizeof(elements) / sizeof(elements[0]) <= FT_ELEMENTS_MAX, "a head has room for them");   \
    _Static_assert(sizeof(type) % 8 == 0, "what follows lies at a multiple of 8");                           \
    _Static_assert(sizeof(type) == sizeof(uint32_t) + sizeof(uint8_t) NUMBERS(FT_HEAD_BYTES),                \
                   "the table has every member but size and kind, and there is no padding")

#define FT_HEAD_ELEMENT(type, member, name, min, max, ...)                                                   \
    {name, offsetof(type, member), min, max, __VA_ARGS__ + 0},
#define FT_HEAD_GET(type, member, ...)   *n++ = entry->member;
#define FT_HEAD_SET(type, member, ...)   entry->member = (__typeof__(entry->member))*n++;
#define FT_HEAD_BYTES(type, member, ...) +sizeof(((type *)0)->member)
#define FT_HEAD_HOLDS(type, member, name, min, max, ...)                                                     \
    _Static_assert((max) <= (__typeof__(((type *)0)->member))UINT64_MAX, "any " name " fits its member");

#endif
