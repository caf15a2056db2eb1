/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a node's state is another than the reference's: by NF and lane, with the first byte that differs. Run
 * in the reference's process, when it and the node have come to rest: the node's region is a file of its
 * process, which is mapped here. What differs is told by replay/report.c.
 */
#include "ftcore/base/check.h"
#include "nflib/chain/chain.h"
#include "tools/replay/replay.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* The 8 bytes around the first that differs, at a multiple of 8 of the arena. */
static void note_first(struct nd_difference *d, const struct ft_arena *arena, const uint8_t *is,
                       const uint8_t *expected, uint64_t line)
{
    uint64_t at = line;

    while (is[at] == expected[at])
        at++;
    at &= ~7ull;
    d->offset = at;
    memcpy(&d->got, is + at, sizeof(d->got));
    memcpy(&d->expected, expected + at, sizeof(d->expected));
    d->lane = arena->lane;
    d->nf = arena->nf;
}

/* How many lines differ; of the first, what it is. */
static uint64_t compare_arena(struct nd_difference *d, const struct ft_arena *arena, const uint8_t *is,
                              const uint8_t *expected)
{
    for (uint64_t line = 0; line < arena->used; line += FT_LINE)
        if (memcmp(is + line, expected + line, FT_LINE) != 0 && d->lines++ == 0)
            note_first(d, arena, is, expected, line);
    return d->lines;
}

static const uint8_t *map_region(pid_t pid, int region_fd, uint64_t size)
{
    char path[64];
    void *base = MAP_FAILED;
    int fd;

    snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)pid, region_fd);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        base = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
        close(fd);
    }
    return base == MAP_FAILED ? NULL : base;
}

/* NFs first, in the order of the chain, then what lanes share, then what is the lanes' own and follows from
 * those. */
static unsigned rank(const struct ft_arena *arena)
{
    return arena->nf ? arena->nf : FT_NFS_MAX + 1u;
}

void nd_differences_find(struct nd_differences *out, const struct ft_region *region,
                         struct nf_chain *const chains[], pid_t pid, int region_fd)
{
    const uint8_t *is = map_region(pid, region_fd, region->size);

    out->unseen = is == NULL;
    for (unsigned at = 1; is && at <= FT_NFS_MAX + 1u; at++)
        for (unsigned i = 0; i < ft_region_arenas(region); i++) {
            const struct ft_arena *arena = &region->arenas[i];
            struct nd_difference *d =
                &out->list[out->count < ND_DIFFERENCES ? out->count : ND_DIFFERENCES - 1];
            struct nd_difference other = {.lines = 0};

            if (rank(arena) != at ||
                !compare_arena(&other, arena, is + arena->offset, region->base + arena->offset))
                continue;
            snprintf(other.place, sizeof(other.place), "offset 0x%lx of its arena", other.offset);
            nf_chain_name_place(chains[arena->lane == FT_LANES_MAX ? 0 : arena->lane],
                                arena->offset + other.offset, other.place, sizeof(other.place));
            if (out->count++ < ND_DIFFERENCES)
                *d = other;
        }
    if (is)
        munmap((void *)(uintptr_t)is, region->size);
}
