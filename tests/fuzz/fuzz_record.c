/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoder of log records. The input is a record without its checksum, which is put behind it here (the
 * fuzzer would not guess it), or, with a first byte of 1, one as it is. What decodes keeps the rules of the
 * memory form, and its encoding decodes to the same record; that encoding is its shortest form, so encoding
 * once more gives the same bytes.
 */
#include "tests/help/record.h"
#include "ftcore/record/record.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

static _Alignas(8) uint8_t first[FT_RECORD_MAX], second[FT_RECORD_MAX];

/* What is not written shows. */
static void dirty(uint8_t *room, uint8_t with)
{
    memset(room, with, 64u << 10);
}

static void both_ways(const struct ft_record *r)
{
    struct ft_fault fault = {""};
    struct ft_record *again = (struct ft_record *)second;
    size_t bound = ft_record_bound(r);
    uint8_t *wire = malloc(bound), *once_more = malloc(bound);
    long n, m;

    FUZZ_MUST(wire && once_more, "no memory");
    FUZZ_MUST(record_check(r, r->size, &fault) == 0, "decoded, then refused: %s", fault.text);
    n = ft_record_encode(r, FT_FORMAT_NEWEST, true, wire, bound);
    FUZZ_MUST(n > 0, "what was decoded cannot be encoded in %zu bytes", bound);
    FUZZ_MUST(ft_record_encode(r, FT_FORMAT_NEWEST, true, once_more, (size_t)n - 1) == FT_EFULL,
              "encoded in less than %ld bytes", n);
    dirty(second, 0x5a);
    m = ft_record_decode(wire, (size_t)n, again, FT_RECORD_MAX, &fault);
    FUZZ_MUST(m == n, "what was encoded in %ld bytes decodes as %ld: %s", n, m, fault.text);
    FUZZ_MUST(again->size == r->size && memcmp(again, r, r->size) == 0, "another record came back");
    FUZZ_MUST(ft_record_encode(again, FT_FORMAT_NEWEST, true, once_more, bound) == n &&
                  memcmp(wire, once_more, (size_t)n) == 0,
              "encoding again gives other bytes");
    free(wire);
    free(once_more);
}

static void run(const uint8_t *data, size_t size)
{
    bool raw = size && data[0] == 1;
    struct ft_fault fault = {""};
    struct ft_record *r = (struct ft_record *)first;
    size_t len;
    uint8_t *exact = fuzz_entry(data + (size > 0), size - (size > 0), raw, &len);
    long n;

    dirty(first, 0xa5);
    n = ft_record_decode(exact, len, r, FT_RECORD_MAX, &fault);
    if (n < 0) {
        FUZZ_MUST(strncmp(fault.text, "offset ", 7) == 0, "no offset in '%s'", fault.text);
    } else {
        FUZZ_MUST((size_t)n <= len, "%ld bytes consumed of %zu", n, len);
        both_ways(r);
        /* A chunk of it is none, and says so. */
        FUZZ_MUST(ft_record_decode(exact, (size_t)n - 1, r, FT_RECORD_MAX, &fault) == FT_ETRUNC,
                  "a byte is missing, and it decodes");
    }
    free(exact);
}

/* ---- seeds ------------------------------------------------------------------------------------- */

static void seed(const char *name, struct ft_record *r, const void *chunks, size_t len)
{
    uint8_t wire[4096] = {0};
    long n;

    memcpy(first, r, sizeof(*r));
    memcpy(first + sizeof(*r), chunks, len);
    r = (struct ft_record *)first;
    r->size = (uint32_t)ft_record_size(r);
    n = ft_record_encode(r, FT_FORMAT_NEWEST, true, wire + 1, sizeof(wire) - 1);
    FUZZ_MUST(n > 9, "seed %s does not encode", name);
    fuzz_seed(name, wire, 1 + (size_t)n - 9);
}

static void seeds(void)
{
    struct ft_record empty = {.burst = 1, .seq = 1, .time = 1000, .access = 1};
    struct ft_record by_seq = {
        .flags = FT_REC_BY_SEQ | FT_REC_STAMPED, .burst = 7, .seq = 20, .inputs = 5, .access = 1};
    struct {
        struct ft_input in[3];
        uint8_t bytes[136];
        struct ft_dependency dependency[2];
        uint32_t len;
        char value[12];
    } chunks = {.in = {{64, 64, 0, FT_IN_OUTSIDE}, {64, 18, 1, 0}, {1500, 54, 1, 0}},
                .dependency = {{500, 490, 1, {0}}, {507, 9, 0, {0}}},
                .len = 9,
                .value = "set x y=1"};
    struct ft_record full = {.lane = 3,
                             .flags = FT_REC_DIGEST,
                             .burst = 1000,
                             .seq = 32000,
                             .time = 1700000000123456789ull,
                             .released = 31990,
                             .access = 500,
                             .accesses = 20,
                             .digest = 0x0123456789abcdefull,
                             .inputs = 3,
                             .bytes = 136,
                             .dependencies = 2,
                             .determinants = 13};

    struct {
        struct ft_input in[3];
        uint8_t bytes[2 * FT_SESSION_BYTES + 24];
    } told = {.in = {{60, FT_SESSION_BYTES, 0, FT_IN_SESSION},
                     {1500, 18, 1, FT_IN_OUTSIDE},
                     {74, FT_SESSION_BYTES, 1, FT_IN_SESSION | FT_IN_OUTSIDE}}};
    struct ft_record sessions = {.burst = 9,
                                 .seq = 90,
                                 .time = 5000000000ull,
                                 .released = 88,
                                 .access = 1,
                                 .inputs = 3,
                                 .bytes = 2 * FT_SESSION_BYTES + 18};

    for (unsigned i = 0; i < sizeof(chunks.bytes); i++)
        chunks.bytes[i] = (uint8_t)(i * 7);
    /* Numbers of sessions, one of them the largest; lengths, flags, DSCP. */
    memcpy(told.bytes, "\x06\0\0\0\x2e\0\x10\xb8", FT_SESSION_BYTES);
    memcpy(told.bytes + FT_SESSION_BYTES + 18, "\xfe\xff\xff\xff\x3c\0\x12\0", FT_SESSION_BYTES);
    seed("sessions", &sessions, &told, sizeof(told));
    seed("empty", &empty, "", 0);
    seed("by-clock", &by_seq, "", 0);
    seed("full", &full, &chunks, sizeof(chunks));
}

FUZZ_TARGET(record, "the decoder of log records", 4096)
