/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoder of chunks of deltas. First byte: lines of the region, in units of 8, and in its top bit whether
 * the rest is a chunk as it is; else its checksum is put behind it here. What decodes fits its buffer, lies
 * in the region, and its encoding decodes to the same part.
 */
#include "ftcore/record/delta.h"
#include "ftcore/record/message.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

static _Alignas(64) uint8_t first[FT_CHUNK_MAX], second[FT_CHUNK_MAX];

/* As a lane that applies it walks it. */
static void walk(const struct ft_chunk *p, uint64_t lines)
{
    uint64_t next = 0, number = 0;
    struct ft_line_run run;
    uint32_t at = 0, held = 0;
    int more;

    while ((more = ft_line_run_next(ft_chunk_lines(p), p->lines, &at, lines, &run)) > 0) {
        FUZZ_MUST(run.line >= next, "runs do not rise");
        next = run.line + run.count;
    }
    FUZZ_MUST(more == 0, "runs that cannot be walked");
    for (at = 0; at < p->bytes; held++) {
        const struct ft_chunk_output *out = (const void *)(ft_chunk_held(p) + at);

        FUZZ_MUST(p->bytes - at >= sizeof(*out), "an output is cut short");
        FUZZ_MUST(out->have <= out->len && out->number > number && out->burst > p->from &&
                      out->burst <= p->burst,
                  "output %lu of burst %lu", out->number, out->burst);
        number = out->number;
        at += (uint32_t)(sizeof(*out) + FT_ALIGN8(out->have));
    }
    FUZZ_MUST(at == p->bytes && held == p->held, "%u outputs, expected %u", held, p->held);
}

static void both_ways(const struct ft_chunk *p, uint64_t lines)
{
    struct ft_chunk *again = (struct ft_chunk *)second;
    struct ft_fault fault = {""};
    size_t bound = ft_chunk_bound(p);
    uint8_t *wire = malloc(bound);
    long n, m;

    FUZZ_MUST(wire, "no memory");
    memset(second, 0x5a, sizeof(second)); /* what is not written shows */
    n = ft_chunk_encode(p, FT_FORMAT_NEWEST, true, wire, bound);
    FUZZ_MUST(n > 0, "what was decoded cannot be encoded in %zu bytes", bound);
    m = ft_chunk_decode(wire, (size_t)n, lines, again, sizeof(second), &fault);
    FUZZ_MUST(m == n, "what was encoded in %ld bytes decodes as %ld: %s", n, m, fault.text);
    FUZZ_MUST(again->size == p->size && memcmp(again, p, p->size) == 0, "another part came back");
    free(wire);
}

static void run(const uint8_t *data, size_t size)
{
    uint8_t how = size ? data[0] : 0;
    uint64_t lines = 8u * (how & 0x7f);
    struct ft_chunk *p = (struct ft_chunk *)first;
    struct ft_fault fault = {""};
    size_t len;
    uint8_t *exact = fuzz_entry(data + (size > 0), size - (size > 0), how & 0x80, &len);

    memset(first, 0xa5, sizeof(first));
    long n = ft_chunk_decode(exact, len, lines, p, sizeof(first), &fault);

    if (n < 0) {
        FUZZ_MUST(fault.text[0] && !strchr(fault.text, '\n'), "no line about error %ld: '%s'", n, fault.text);
    } else {
        FUZZ_MUST((size_t)n <= len && p->size <= FT_CHUNK_MAX, "%ld bytes consumed of %zu", n, len);
        FUZZ_MUST(p->size == ft_chunk_size(p->lines, p->bytes) && p->burst >= p->from &&
                      p->lane < FT_LANES_MAX && p->kind == FT_ENTRY_CHUNK,
                  "a chunk of %u bytes, lane %u, bursts %lu to %lu", p->size, p->lane, p->from, p->burst);
        walk(p, lines);
        both_ways(p, lines);
    }
    free(exact);
}

/* ---- seeds ------------------------------------------------------------------------------------- */

static void seed(const char *name, struct ft_chunk *p, uint8_t lines)
{
    static uint8_t wire[FT_CHUNK_MAX];
    long n = ft_chunk_encode(p, FT_FORMAT_NEWEST, true, wire + 1, sizeof(wire) - 1);

    FUZZ_MUST(n > 9, "seed %s does not encode", name);
    wire[0] = lines;
    fuzz_seed(name, wire, 1 + (size_t)n - 9);
}

static void seeds(void)
{
    struct ft_chunk *p = (struct ft_chunk *)first;
    uint8_t bytes[2 * FT_LINE] = {1, 2, 3};
    struct ft_line_run run = {.line = 5, .count = 2, .bytes = bytes},
                       zero = {.line = 9, .count = 4, .zero = true};
    uint32_t len = 0;

    memset(first, 0, sizeof(first));
    *p = (struct ft_chunk){
        .kind = FT_ENTRY_CHUNK, .flags = FT_CHUNK_LAST, .cut = 1, .seq = 1, .size = ft_chunk_size(0, 0)};
    seed("empty", p, 2);
    *p = (struct ft_chunk){.kind = FT_ENTRY_CHUNK,
                           .flags = FT_CHUNK_LAST | FT_REC_DIGEST,
                           .cut = 7,
                           .from = 10,
                           .burst = 12,
                           .seq = 100,
                           .access = 3,
                           .released = 40,
                           .outputs = 44,
                           .digest = 0x1234,
                           .held = 1};
    ft_line_run_append(ft_chunk_lines(p), &len, FT_CHUNK_LINES, &run);
    ft_line_run_append(ft_chunk_lines(p), &len, FT_CHUNK_LINES, &zero);
    p->lines = len;
    struct ft_chunk_output *out = (struct ft_chunk_output *)(void *)ft_chunk_held(p);

    *out = (struct ft_chunk_output){.number = 41, .burst = 11, .seq = 99, .len = 60, .have = 14, .port = 1};
    p->bytes = sizeof(*out) + FT_ALIGN8(14);
    p->size = ft_chunk_size(p->lines, p->bytes);
    seed("full", p, 2);
}

FUZZ_TARGET(delta, "the decoder of chunks of deltas", 4096)
