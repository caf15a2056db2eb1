/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets of lines: one bit per 64-byte line of the region with a summary bit per 64 of those, so that
 * finding what is set costs in proportion to what is set. Bits are set by lanes (each in its own
 * arenas, any of them in the shared arena) and taken by one reader at a time.
 * Setting skips the write when the bit is already there, and is atomic where others may set bits of the same
 * word. Setting a bit releases what was written before; finding it acquires.
 */
#ifndef FTCORE_REGION_LINES_H
#define FTCORE_REGION_LINES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define FT_LINE       64u
#define FT_LINE_SHIFT 6u

struct ft_lines {
    _Atomic uint64_t *bits;    /* one bit per line */
    _Atomic uint64_t *summary; /* one bit per word of `bits` */
    uint64_t lines;            /* how many lines there are */
    uint64_t mask;             /* words that are mapped less one, a power of two less one */
};

/* A line that is all zero. */
static inline bool ft_line_is_zero(const uint8_t *line)
{
    static const uint8_t zero[FT_LINE];

    return memcmp(line, zero, FT_LINE) == 0;
}

struct ft_line_range {
    uint64_t line;  /* first line */
    uint64_t count; /* lines in a row; 0: nothing found */
};

/* Private memory, zeroed, of which pages count once they are written; NULL: none. For munmap. */
void *ft_map_memory(uint64_t bytes);

/* Room for `lines` bits, all clear; zero pages are not touched until used. FT_ENOMEM. */
int ft_lines_init(struct ft_lines *set, uint64_t lines);
void ft_lines_free(struct ft_lines *set);

/* Adds [line, line+count). count may be 0. Out of range is a broken invariant. */
void ft_lines_add(struct ft_lines *set, uint64_t line, uint64_t count);
/*
 * The same by the one thread that adds or takes lines of these arenas (FT_ARENA_ALIGN keeps words apart, the
 * summary's as well); others may look. Without locked instructions: each would wait for all stores before it,
 * and to have missed the cache is what stores beside marking do.
 */
void ft_lines_add_alone(struct ft_lines *set, uint64_t line, uint64_t count);
bool ft_lines_has(const struct ft_lines *set, uint64_t line);
/*
 * Adding `line` would change nothing. Orders nothing. Of a line beyond the set's, in short: by the low bits
 * of its number. So whoever knows that lines are counted from a multiple of any set's size need not subtract
 * it.
 */
static inline bool ft_lines_marked(const struct ft_lines *set, uint64_t line)
{
    return atomic_load_explicit(&set->bits[line / 64 & set->mask], memory_order_relaxed) >> line % 64 & 1;
}

/* Atomically removes one line; true if this caller was the one who removed it. Acquire/release. */
bool ft_lines_claim(struct ft_lines *set, uint64_t line);

/* First run of set lines in [from, to), at most `max` long; does not change the set. */
struct ft_line_range ft_lines_find(const struct ft_lines *set, uint64_t from, uint64_t to, uint64_t max);

/* As find, and removes the run. One taker at a time for a range. */
struct ft_line_range ft_lines_take(struct ft_lines *set, uint64_t from, uint64_t to, uint64_t max);

uint64_t ft_lines_count(const struct ft_lines *set, uint64_t from, uint64_t to);
void ft_lines_clear(struct ft_lines *set);

#endif
