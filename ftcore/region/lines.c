/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sets of lines. Owns the bits and their summary. Written by lanes (add, claim) and by one taker at a time;
 * read by whoever looks for what changed.
 *
 * A summary bit may be set over an empty word for a moment, but must not stay clear over one that has bits:
 * what it hides is lost to every reader. Adder and taker therefore meet as in Dekker's algorithm: the adder
 * writes the word and then looks at the summary, the taker clears the summary and then looks at the word
 * again, all in one total order, so that at least one of them sees the other.
 */
#include "ftcore/region/lines.h"
#include "ftcore/base/check.h"
#include "ftcore/base/error.h"

#include <sys/mman.h>

#define WORD_LINES 64u

static uint64_t words_for(uint64_t bits)
{
    return (bits + WORD_LINES - 1) / WORD_LINES;
}

/* `count` ones, the lowest at `from`; 1 <= count <= 64 - from. */
static uint64_t make_mask(unsigned from, uint64_t count)
{
    return (~0ull >> (WORD_LINES - count)) << from;
}

/* Which bits of `word` lie in [from, to). The word holds at least one of them. */
static uint64_t mask_between(uint64_t word, uint64_t from, uint64_t to)
{
    uint64_t base = word * WORD_LINES, low = from > base ? from - base : 0;
    uint64_t high = to - base < WORD_LINES ? to - base : WORD_LINES;

    return make_mask((unsigned)low, high - low);
}

/* Of bits, as many as are mapped: a power of two. */
static uint64_t mapped_words(uint64_t lines)
{
    uint64_t words = 1;

    while (words < words_for(lines))
        words *= 2;
    return words;
}

static size_t bytes_for(uint64_t lines)
{
    uint64_t words = mapped_words(lines);

    return (words + words_for(words)) * sizeof(uint64_t);
}

void *ft_map_memory(uint64_t bytes)
{
    void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return p == MAP_FAILED ? NULL : p;
}

int ft_lines_init(struct ft_lines *set, uint64_t lines)
{
    *set = (struct ft_lines){0};
    if (lines <= UINT64_MAX / 4)
        set->bits = ft_map_memory(bytes_for(lines));
    if (!set->bits)
        return FT_ENOMEM;
    set->mask = mapped_words(lines) - 1;
    set->summary = set->bits + set->mask + 1;
    set->lines = lines;
    return FT_OK;
}

void ft_lines_free(struct ft_lines *set)
{
    if (set->bits)
        munmap((void *)set->bits, bytes_for(set->lines));
    *set = (struct ft_lines){0};
}

static void check_range(const struct ft_lines *set, uint64_t from, uint64_t to)
{
    FT_CHECK(from <= to && to <= set->lines, "lines %lu to %lu of a set of %lu", from, to, set->lines);
}

static void add_bits(struct ft_lines *set, uint64_t word, uint64_t mask)
{
    _Atomic uint64_t *summary = &set->summary[word / WORD_LINES];
    uint64_t bit = 1ull << (word % WORD_LINES);

    if ((atomic_load_explicit(&set->bits[word], memory_order_relaxed) & mask) == mask)
        return;
    atomic_fetch_or(&set->bits[word], mask);
    if (!(atomic_load(summary) & bit))
        atomic_fetch_or(summary, bit);
}

static void or_alone(_Atomic uint64_t *word, uint64_t bits)
{
    uint64_t had = atomic_load_explicit(word, memory_order_relaxed);

    if ((had & bits) != bits)
        atomic_store_explicit(word, had | bits, memory_order_release);
}

/* Adder and taker are one thread, so neither can miss the other. */
static void add_bits_alone(struct ft_lines *set, uint64_t word, uint64_t mask)
{
    or_alone(&set->bits[word], mask);
    or_alone(&set->summary[word / WORD_LINES], 1ull << (word % WORD_LINES));
}

static inline __attribute__((always_inline)) void add_lines(struct ft_lines *set, uint64_t line,
                                                            uint64_t count, bool alone)
{
    FT_CHECK(line <= set->lines && count <= set->lines - line, "adding %lu lines at %lu to a set of %lu",
             count, line, set->lines);
    while (count > 0) {
        unsigned low = line % WORD_LINES;
        uint64_t here = count < WORD_LINES - low ? count : WORD_LINES - low;

        if (alone)
            add_bits_alone(set, line / WORD_LINES, make_mask(low, here));
        else
            add_bits(set, line / WORD_LINES, make_mask(low, here));
        line += here;
        count -= here;
    }
}

void ft_lines_add(struct ft_lines *set, uint64_t line, uint64_t count)
{
    add_lines(set, line, count, false);
}

void ft_lines_add_alone(struct ft_lines *set, uint64_t line, uint64_t count)
{
    add_lines(set, line, count, true);
}

bool ft_lines_has(const struct ft_lines *set, uint64_t line)
{
    check_range(set, line, line + 1);
    return atomic_load_explicit(&set->bits[line / WORD_LINES], memory_order_acquire) >> (line % WORD_LINES) &
           1;
}

/* Removes bits of a word; returns what was there. */
static uint64_t remove_bits(struct ft_lines *set, uint64_t word, uint64_t mask)
{
    uint64_t had = atomic_fetch_and_explicit(&set->bits[word], ~mask, memory_order_acq_rel);
    uint64_t bit = 1ull << (word % WORD_LINES);

    if (had & mask && !(had & ~mask)) {
        /* Now empty, unless an adder came since. */
        atomic_fetch_and(&set->summary[word / WORD_LINES], ~bit);
        if (atomic_load(&set->bits[word]))
            atomic_fetch_or(&set->summary[word / WORD_LINES], bit);
    }
    return had;
}

bool ft_lines_claim(struct ft_lines *set, uint64_t line)
{
    uint64_t mask = 1ull << (line % WORD_LINES);

    check_range(set, line, line + 1);
    return remove_bits(set, line / WORD_LINES, mask) & mask;
}

/* First word in [word, end) that the summary knows of; `end` if there is none. */
static uint64_t next_word(const struct ft_lines *set, uint64_t word, uint64_t end)
{
    while (word < end) {
        uint64_t left = atomic_load_explicit(&set->summary[word / WORD_LINES], memory_order_acquire);

        left >>= word % WORD_LINES;
        if (left) {
            word += (unsigned)__builtin_ctzll(left);
            return word < end ? word : end;
        }
        word = (word | (WORD_LINES - 1)) + 1;
    }
    return end;
}

/* How far the run goes that begins at `line`, set in `bits`, its word as it was read; up to `limit`. */
static uint64_t run_end(const struct ft_lines *set, uint64_t line, uint64_t bits, uint64_t limit)
{
    while (line < limit) {
        uint64_t gaps = ~bits >> (line % WORD_LINES);

        if (gaps) {
            line += (unsigned)__builtin_ctzll(gaps);
            break;
        }
        line = (line | (WORD_LINES - 1)) + 1;
        if (line < limit)
            bits = atomic_load_explicit(&set->bits[line / WORD_LINES], memory_order_acquire);
    }
    return line < limit ? line : limit;
}

struct ft_line_range ft_lines_find(const struct ft_lines *set, uint64_t from, uint64_t to, uint64_t max)
{
    uint64_t end = words_for(to);

    check_range(set, from, to);
    if (from == to || max == 0)
        return (struct ft_line_range){0};
    for (uint64_t word = next_word(set, from / WORD_LINES, end); word < end;
         word = next_word(set, word + 1, end)) {
        uint64_t bits =
            atomic_load_explicit(&set->bits[word], memory_order_acquire) & mask_between(word, from, to);

        if (bits) {
            uint64_t line = word * WORD_LINES + (unsigned)__builtin_ctzll(bits);
            uint64_t limit = max < to - line ? line + max : to;

            return (struct ft_line_range){line, run_end(set, line, bits, limit) - line};
        }
    }
    return (struct ft_line_range){0};
}

struct ft_line_range ft_lines_take(struct ft_lines *set, uint64_t from, uint64_t to, uint64_t max)
{
    struct ft_line_range run = ft_lines_find(set, from, to, max);
    uint64_t end = run.line + run.count;

    for (uint64_t line = run.line; line < end; line = (line | (WORD_LINES - 1)) + 1) {
        uint64_t mask = mask_between(line / WORD_LINES, line, end);
        uint64_t had = remove_bits(set, line / WORD_LINES, mask);

        FT_CHECK((had & mask) == mask, "two takers of the lines at %lu", line);
    }
    return run;
}

uint64_t ft_lines_count(const struct ft_lines *set, uint64_t from, uint64_t to)
{
    uint64_t end = words_for(to), count = 0;

    check_range(set, from, to);
    if (from == to)
        return 0;
    for (uint64_t word = next_word(set, from / WORD_LINES, end); word < end;
         word = next_word(set, word + 1, end)) {
        uint64_t bits = atomic_load_explicit(&set->bits[word], memory_order_acquire);

        count += (unsigned)__builtin_popcountll(bits & mask_between(word, from, to));
    }
    return count;
}

void ft_lines_clear(struct ft_lines *set)
{
    uint64_t end = words_for(set->lines);

    /* By the summary, so that pages never used stay untouched. */
    for (uint64_t word = next_word(set, 0, end); word < end; word = next_word(set, word + 1, end))
        remove_bits(set, word, ~0ull);
}
