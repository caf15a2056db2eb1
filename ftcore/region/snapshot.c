/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The copies that a snapshot needs of lines as they were at its cut. A line's way: pending; claimed by
 * exactly one (no set has it, its copy is being made); copied. Lanes move lines along it, by editing or by
 * copying, and the sender those of untouched pages; it reads the copy of lines that are copied, and no
 * others.
 *
 * Adding to `snapshot_copied` comes after the copy, and whoever finds the line there may read the copy or
 * change the line: ft_lines_add releases, ft_lines_has and ft_lines_find acquire.
 */
#define _GNU_SOURCE /* SEEK_DATA, SEEK_HOLE */
#include "ftcore/region/region.h"
#include "ftcore/base/cpu.h"
#include "ftcore/base/plant.h"
#include "ftcore/region/heap.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define BATCH 64u /* lines claimed before they are copied; others wait no longer than that */

/* Copies [line, line+count), which the caller has claimed. Returns how many are zero: the copy's memory is
 * zero before it is written, and of what it does not write it takes none. */
static uint64_t copy_claimed(struct ft_region *region, uint64_t line, uint64_t count)
{
    uint64_t zero = 0;

    for (uint64_t at = line; at < line + count; at++) {
        const uint8_t *from = region->base + (at << FT_LINE_SHIFT);

        if (ft_line_is_zero(from))
            zero++;
        else
            memcpy(region->snapshot_copy + (at << FT_LINE_SHIFT), from, FT_LINE);
    }
    ft_lines_add(&region->snapshot_copied, line, count);
    return zero;
}

/* Lines in nobody's state are not pending and are never copied: waiting for one would not end. */
static void check_used(const struct ft_region *region, uint64_t line)
{
    uint64_t offset = line << FT_LINE_SHIFT;
    const struct ft_arena *arena = ft_region_arena_at(region, offset);

    FT_CHECK(arena && offset - arena->offset < arena->used,
             "edit at offset 0x%lx of the region, which is not handed out", offset);
}

void ft_snapshot_save(struct ft_region *region, uint64_t line)
{
    if (ft_lines_has(&region->snapshot_copied, line) || FT_PLANTED("edit-before-copy"))
        return;
    if (ft_lines_claim(&region->snapshot_pending, line)) {
        copy_claimed(region, line, 1);
        return;
    }
    check_used(region, line);
    /* Another lane, or the sender, moves it at this moment. */
    while (!ft_lines_has(&region->snapshot_copied, line))
        ft_pause();
}

static void add_bytes(struct ft_lines *set, uint64_t from, uint64_t to)
{
    ft_lines_add(set, from >> FT_LINE_SHIFT, (to - from) >> FT_LINE_SHIFT);
}

/* All that the arena uses is to be copied. A heap is at once: its lines are written without edits. */
static void begin_arena(struct ft_region *region, const struct ft_arena *arena)
{
    uint64_t from = arena->offset, end = from + arena->used;

    if (arena->heap) {
        uint64_t heap = (uint64_t)((const uint8_t *)arena->heap - region->base);

        for (unsigned which = 0; which < 2; which++) {
            struct ft_heap_part part = ft_heap_part(arena->heap, region, which);

            memcpy(region->snapshot_copy + part.from, region->base + part.from, part.to - part.from);
        }
        add_bytes(&region->snapshot_pending, from, heap);
        from = ft_heap_end(arena->heap, region);
        add_bytes(&region->snapshot_copied, heap, from);
    }
    add_bytes(&region->snapshot_pending, from, end);
}

int ft_snapshot_begin(struct ft_region *region)
{
    if (region->snapshot_copy)
        return FT_EBUSY;
    region->snapshot_copy = atomic_exchange(&region->snapshot_spare, NULL);
    if (!region->snapshot_copy)
        region->snapshot_copy = ft_map_memory(region->size);
    if (!region->snapshot_copy)
        return FT_ENOMEM;
    ft_lines_clear(&region->snapshot_copied);
    for (unsigned i = 0; i < region->arena_count; i++)
        begin_arena(region, &region->arenas[i]);
    atomic_fetch_or(&region->tracking, FT_TRACK_SNAPSHOT);
    return FT_OK;
}

/* Claims and copies what is still pending of a run, which editing lanes may be thinning out; returns it. */
static uint64_t copy_run(struct ft_region *region, struct ft_line_range run, uint64_t *zero)
{
    uint64_t end = run.line + run.count, done = 0;

    for (uint64_t line = run.line; line < end; line++) {
        uint64_t first = line;

        while (line < end && ft_lines_claim(&region->snapshot_pending, line))
            line++;
        if (line > first)
            *zero += copy_claimed(region, first, line - first);
        done += line - first;
    }
    return done;
}

static uint64_t copy_arena(struct ft_region *region, const struct ft_arena *arena, uint64_t max,
                           uint64_t *zero)
{
    uint64_t from = arena->offset >> FT_LINE_SHIFT, to = from + (arena->used >> FT_LINE_SHIFT), done = 0;

    while (done < max) {
        uint64_t most = max - done < BATCH ? max - done : BATCH;
        struct ft_line_range run = ft_lines_find(&region->snapshot_pending, from, to, most);

        if (run.count == 0)
            break;
        done += copy_run(region, run, zero);
        from = run.line + run.count;
    }
    return done;
}

uint64_t ft_snapshot_copy(struct ft_region *region, unsigned lane, uint64_t max, uint64_t *zero)
{
    uint64_t done = 0;

    *zero = 0;
    if (!(atomic_load_explicit(&region->tracking, memory_order_acquire) & FT_TRACK_SNAPSHOT))
        return 0;
    for (unsigned nf = 0; nf < region->nfs; nf++)
        done += copy_arena(region, ft_region_arena(region, lane, nf), max - done, zero);
    if (lane == 0)
        done += copy_arena(region, ft_region_shared(region), max - done, zero);
    return done;
}

/* A page for which the system has no memory holds zeros. A line of it that is still pending was not edited
 * since the cut, so it was zero then, whatever lanes have written beside it since the system was asked. */
struct ft_line_range ft_snapshot_untouched(struct ft_region *region, uint64_t *at, uint64_t most)
{
    uint64_t lines = region->size >> FT_LINE_SHIFT;

    while (*at < lines) {
        off_t hole = lseek(region->fd, (off_t)(*at << FT_LINE_SHIFT), SEEK_HOLE);
        off_t data = hole < 0 ? hole : lseek(region->fd, hole, SEEK_DATA);
        uint64_t from = hole < 0 ? lines : (uint64_t)hole >> FT_LINE_SHIFT;
        uint64_t to = data < 0 ? lines : ((uint64_t)data >> FT_LINE_SHIFT) + FT_PLANTED("hole-too-far");
        struct ft_line_range run = ft_lines_find(&region->snapshot_pending, from, to, most);
        uint64_t end = run.line + run.count;

        for (run.count = 0; run.line + run.count < end; run.count++) {
            if (!ft_lines_claim(&region->snapshot_pending, run.line + run.count))
                break;
            ft_lines_add(&region->snapshot_copied, run.line + run.count, 1);
        }
        *at = end ? run.line + run.count + !run.count : to;
        if (run.count)
            return run;
    }
    return (struct ft_line_range){0};
}

uint64_t ft_snapshot_left(struct ft_region *region)
{
    if (!region->snapshot_copy)
        return 0;
    return (ft_region_used(region) >> FT_LINE_SHIFT) -
           ft_lines_count(&region->snapshot_copied, 0, region->snapshot_copied.lines);
}

static void give_back(const struct ft_region *region, uint8_t *copy)
{
    if (copy)
        munmap(copy, region->size);
}

void ft_snapshot_end(struct ft_region *region)
{
    struct ft_line_range run = {0};

    if (!region->snapshot_copy)
        return;
    /*
     * Lanes may be in the middle of edits. What nobody has claimed counts as copied, so that no lane begins
     * to copy or waits in vain; then whoever had claimed finishes; only then may edits go ahead without
     * looking. `snapshot_copied` stays as it is until the next begin, for lanes that have yet to look.
     */
    while ((run = ft_lines_find(&region->snapshot_pending, run.line, region->snapshot_pending.lines, BATCH))
               .count)
        for (uint64_t line = run.line; line < run.line + run.count; line++)
            if (ft_lines_claim(&region->snapshot_pending, line))
                ft_lines_add(&region->snapshot_copied, line, 1);
    while (ft_snapshot_left(region))
        ft_pause();
    atomic_fetch_and(&region->tracking, ~(uint32_t)FT_TRACK_SNAPSHOT);
    give_back(region, atomic_exchange(&region->snapshot_past, region->snapshot_copy));
    region->snapshot_copy = NULL;
}

void ft_snapshot_give_back(struct ft_region *region)
{
    give_back(region, atomic_exchange(&region->snapshot_past, NULL));
}

/* ---- memory for the copies of heaps -------------------------------------------------------------- */

/* An empty one, if there is none. */
static uint8_t *spare_of(struct ft_region *region)
{
    uint8_t *spare = atomic_load(&region->snapshot_spare);

    if (spare)
        return spare;
    spare = ft_map_memory(region->size);
    for (unsigned i = 0; i < region->arena_count; i++)
        memset(region->arenas[i].spare_to, 0, sizeof(region->arenas[i].spare_to));
    atomic_store(&region->snapshot_spare, spare);
    return spare;
}

/* Memory for at most `max` bytes of what this arena's heap has in use; returns how many. A lane may begin a
 * snapshot with the spare copy meanwhile: memory that is written already stays as it is. */
static uint64_t populate(struct ft_arena *arena, uint8_t *spare, uint64_t max)
{
    const struct ft_heap *heap = arena->heap;
    uint64_t done = 0;

    for (unsigned which = 0; which < 2 && heap; which++) {
        struct ft_heap_part part = ft_heap_part(heap, arena->region, which);
        uint64_t from = arena->spare_to[which] > part.from ? arena->spare_to[which] : part.from, n;

        if (from >= part.to || done == max)
            continue;
        n = part.to - from < max - done ? part.to - from : max - done;
        n = (n + FT_HEAP_PAGE - 1) / FT_HEAP_PAGE * FT_HEAP_PAGE;
        madvise(spare + from, n, MADV_POPULATE_WRITE); /* what it does not get the cut will ask for */
        arena->spare_to[which] = from + n;
        done += n < max - done ? n : max - done;
    }
    return done;
}

void ft_snapshot_prepare(struct ft_region *region)
{
    uint8_t *spare = ft_region_has_heap(region) ? spare_of(region) : NULL;
    uint64_t done = 0;

    for (unsigned i = 0; i < region->arena_count && spare; i++)
        done += populate(&region->arenas[i], spare, FT_SPARE_BYTES - done);
}
