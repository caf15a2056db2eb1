/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lines of a snapshot, from a message's bulk into a real region. A message is taken whole or not at all, and
 * writes to lines that an arena has handed out, and to nothing else. What it wrote is what its runs say,
 * compared with a copy that is kept the simple way.
 */
#include "replicator/parts.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#define NFS 2u

static struct rp_replicator *rp;
static uint8_t *copy;

static void open_once(void)
{
    static const uint64_t sizes[NFS] = {FT_ARENA_MIN, FT_ARENA_MIN};
    static const char *const names[NFS] = {"lane", "nf"};
    struct ft_region_config config = {.name = "fuzz",
                                      .lanes = 2,
                                      .nfs = NFS,
                                      .arena_size = sizes,
                                      .nf_name = names,
                                      .shared_size = FT_ARENA_MIN};
    struct ft_fault fault;

    if (rp)
        return;
    rp = calloc(1, sizeof(*rp));
    FUZZ_MUST(rp && ft_region_open(&rp->config.region, &config, &fault) == 0, "%s", fault.text);
    for (unsigned l = 0; l < 2; l++)
        for (unsigned nf = 0; nf < NFS; nf++)
            ft_arena_alloc(ft_region_arena(rp->config.region, l, nf), 64 * (1 + 3 * l + nf));
    ft_arena_alloc(ft_region_shared(rp->config.region), 256);
    rp->snapshot.lines = rp->config.region->size >> FT_LINE_SHIFT;
    copy = malloc(rp->config.region->size);
    FUZZ_MUST(copy, "no memory");
}

static bool handed_out(uint64_t offset)
{
    const struct ft_arena *a = ft_region_arena_at(rp->config.region, offset);

    return a && offset + FT_LINE <= a->offset + a->used;
}

/* Line by line, from the bytes. False: it is none, or writes where nothing is, or more than there is. */
static bool simple(const uint8_t *in, size_t len)
{
    size_t at = 0;
    uint64_t taken = 0;

    while (at < len) {
        uint64_t line, n = 0;
        uint32_t count, flags;

        if (len - at < 16)
            return false;
        memcpy(&line, in + at, 8);
        memcpy(&count, in + at + 8, 4);
        memcpy(&flags, in + at + 12, 4);
        at += 16;
        if (flags > 1 || count == 0 || (!flags && (len - at) / FT_LINE < count))
            return false;
        for (; n < count; n++) {
            if (line + n >= rp->snapshot.lines || !handed_out((line + n) * FT_LINE) ||
                ++taken > rp->snapshot.lines)
                return false;
            if (flags)
                memset(copy + (line + n) * FT_LINE, 0, FT_LINE);
            else
                memcpy(copy + (line + n) * FT_LINE, in + at + n * FT_LINE, FT_LINE);
        }
        at += flags ? 0 : (size_t)count * FT_LINE;
    }
    return true;
}

static void compare(bool taken)
{
    struct ft_region *r = rp->config.region;

    for (unsigned i = 0; i <= (unsigned)r->lanes * r->nfs; i++) {
        const struct ft_arena *a = &r->arenas[i];

        for (uint64_t at = a->offset; at < a->offset + a->used + 4096 && at < r->size; at += FT_LINE)
            FUZZ_MUST(memcmp(r->base + at, copy + at, FT_LINE) == 0, "offset 0x%lx is not as expected (%s)",
                      at, taken ? "taken" : "refused");
    }
}

/* Lines that are used begin far apart; the fuzzer counts them from 0. */
static uint64_t line_of(uint32_t small)
{
    const struct ft_region *r = rp->config.region;
    unsigned arena = small >> 4 & 7, arenas = (unsigned)r->lanes * r->nfs + 1;

    return (r->arenas[arena % arenas].offset >> FT_LINE_SHIFT) + (small & 15) - (small >> 7 & 1);
}

/* A first byte of 0: the rest is the bulk as it is. Else runs, each with a small number for its line. */
static uint8_t *make(struct fuzz_input *in, size_t *len)
{
    uint8_t *out = malloc(16384);
    struct ft_line_run run;
    uint32_t at = 0;
    uint8_t lines[16 * FT_LINE];

    FUZZ_MUST(out, "no memory");
    if (fuzz_u8(in) == 0) {
        const uint8_t *raw = fuzz_bytes(in, 16384, len);

        memcpy(out, raw, *len);
        return out;
    }
    while (fuzz_left(in)) {
        uint8_t how = fuzz_u8(in);

        memset(lines, fuzz_u8(in), sizeof(lines));
        run = (struct ft_line_run){.line = line_of(fuzz_u8(in)), .zero = how & 1, .bytes = lines};
        run.count = 1 + (how >> 1 & 15);
        if (how & 0x80)
            run.line = fuzz_u64(in);
        if (how & 0x40 && run.zero)
            run.count = fuzz_u32(in) | 1;
        lines[0] = (uint8_t)at;
        if (!ft_line_run_append(out, &at, 16384, &run))
            break;
    }
    *len = at;
    return out;
}

static void run(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, data + size};
    struct ft_region *r;
    struct ft_fault fault = {""};

    open_once();
    rp->snapshot.taken = 0; /* another snapshot */
    r = rp->config.region;
    for (unsigned i = 0; i <= (unsigned)r->lanes * r->nfs; i++)
        memset(r->base + r->arenas[i].offset, 0x77, r->arenas[i].used);
    memcpy(copy, r->base, r->size);
    size_t len;
    uint8_t *made = make(&in, &len), *exact = fuzz_copy(made, len);
    struct ft_message m = {.type = FT_MSG_SNAPSHOT, .bulk = exact, .bulk_len = (uint32_t)len};

    free(made);
    int error = rp_snapshot_take(rp, &m, &fault);
    bool good = simple(exact, len);

    if (!good)
        memcpy(copy, r->base, r->size); /* then nothing of it may be there: checked below */
    FUZZ_MUST((error == 0) == good, "lines that are %s were %s", good ? "good" : "bad",
              error ? fault.text : "taken");
    if (!good)
        for (unsigned i = 0; i <= (unsigned)r->lanes * r->nfs; i++)
            for (uint64_t n = 0; n < r->arenas[i].used; n++)
                FUZZ_MUST(r->base[r->arenas[i].offset + n] == 0x77, "a message that was refused has written");
    compare(good);
    free(exact);
}

static void seeds(void)
{
    static const uint8_t runs[] = {1, 0, 0x55, 0, 1, 0, 0x10, 2, 0xaa, 0x40};
    static const uint8_t beyond[] = {1, 0, 0x55, 0x1f}; /* in an arena, and not handed out */
    static const uint8_t outside[] = {1, 0x80, 0x55, 0, 1, 2, 3, 4, 5, 6, 7, 8};
    static const uint8_t raw[17 + 64] = {0, [9] = 1};

    fuzz_seed("runs", runs, sizeof(runs));
    fuzz_seed("beyond", beyond, sizeof(beyond));
    fuzz_seed("outside", outside, sizeof(outside));
    fuzz_seed("raw", raw, sizeof(raw));
}

FUZZ_TARGET(snapshot, "lines of a snapshot", 4096)
