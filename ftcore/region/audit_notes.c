/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What was edited, and what is said of a write that was not. Owns the notes of the audit. Written by lanes:
 * in ft_edit_track (a note), when an NF has run, at a burst's and a stay's end (notes are compared and
 * forgotten). Notes need no lock: each lane makes its own before its write.
 */
#include "ftcore/region/audit_parts.h"
#include "ftcore/base/event_log.h"
#include "ftcore/region/heap.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <xxhash.h>

#define PAGE_SHIFT FT_AUDIT_PAGE_SHIFT
#define PAGE_LINES (FT_AUDIT_PAGE / FT_LINE)
#define PLACE_TEXT 120u

_Thread_local struct ft_audit_at ft_audit_here;

/* Of what lanes share. `how`: after the NF that does it; `why`: after the place. */
static _Noreturn void abort_on_place(const struct ft_region *region, uint64_t offset, const char *how,
                                     const char *why)
{
    const struct ft_arena *arena = ft_region_arena_at(region, offset);
    char place[PLACE_TEXT];

    snprintf(place, sizeof(place), "offset 0x%lx of the shared arena",
             arena ? offset - arena->offset : offset);
    if (region->audit->name)
        region->audit->name(region->audit->arg, offset, place, sizeof(place));
    if (ft_audit_here.nf)
        ft_log_and_abort("audit: NF '%s' (lane %u) %s %s %s", ft_audit_here.nf, ft_audit_here.lane, how,
                         place, why);
    ft_log_and_abort("audit: lane %u %s %s %s", ft_audit_here.lane, how, place, why);
}

void ft_audit_note(struct ft_region *region, uint64_t line, uint64_t count)
{
    struct ft_audit *audit = region->audit;
    uint64_t offset = line << FT_LINE_SHIFT, end = (line + count) << FT_LINE_SHIFT;
    const struct ft_arena *arena = ft_region_arena_at(region, offset);

    if (atomic_load_explicit(&audit->suspended, memory_order_relaxed))
        return;
    FT_CHECK(arena && end <= arena->offset + arena->used,
             "edit of region offsets 0x%lx to 0x%lx, which is not inside what one arena has handed out",
             offset, end);
    if (arena != ft_region_shared(region))
        ft_lines_add(&audit->noted, line, count);
    else if (ft_audit_here.inside == region)
        ft_lines_add(&audit->stay[ft_audit_here.lane], line, count);
    else
        abort_on_place(region, offset, "edited", "outside of its section");
}

static _Noreturn void abort_on_unedited(const struct ft_region *region, const struct ft_arena *arena,
                                        uint64_t offset, unsigned lane)
{
    const char *name;

    if (arena == ft_region_shared((struct ft_region *)(uintptr_t)region))
        abort_on_place(region, offset, "changed", "without an edit");
    name = region->nf_name[arena->nf];
    if (ft_audit_here.nf && strcmp(ft_audit_here.nf, name) != 0)
        ft_log_and_abort(
            "audit: NF '%s' (lane %u) changed offset 0x%lx of the arena of NF '%s' without an edit",
            ft_audit_here.nf, lane, offset - arena->offset, name);
    ft_log_and_abort("audit: NF '%s' (lane %u) changed offset 0x%lx of its arena without an edit", name, lane,
                     offset - arena->offset);
}

static bool is_noted(const struct ft_region *region, uint64_t line)
{
    const struct ft_audit *audit = region->audit;

    if (ft_lines_has(&audit->noted, line))
        return true;
    for (unsigned l = 0; l < region->lanes; l++)
        if (ft_lines_has(&audit->stay[l], line))
            return true;
    return false;
}

/* A heap of an NF that was called: it is written without edits. What it changed counts in the burst's digests
 * as an edit. */
static bool is_heap(const struct ft_region *region, const struct ft_arena *arena, uint64_t line)
{
    uint64_t offset = line << FT_LINE_SHIFT;

    return arena->heap && offset >= (uint64_t)((const uint8_t *)arena->heap - region->base) &&
           offset < ft_heap_end(arena->heap, region) && ft_audit_here.heaps >> arena->nf & 1;
}

static void compare_page(const struct ft_region *region, const struct ft_arena *arena, uint64_t page,
                         unsigned lane)
{
    const struct ft_audit *audit = region->audit;

    for (uint64_t line = page * PAGE_LINES; line < (page + 1) * PAGE_LINES; line++) {
        const uint8_t *is = region->base + (line << FT_LINE_SHIFT),
                      *was = audit->before + (line << FT_LINE_SHIFT);
        unsigned at = 0;

        if (memcmp(is, was, FT_LINE) == 0 || is_noted(region, line))
            continue;
        if (is_heap(region, arena, line)) {
            ft_lines_add(&region->audit->noted, line, 1);
            continue;
        }
        while (is[at] == was[at])
            at++;
        abort_on_unedited(region, arena, (line << FT_LINE_SHIFT) + at, lane);
    }
}

/* Closes the arena's opened pages, so that they stop, and compares them. */
static void check_arena(struct ft_region *region, const struct ft_arena *arena, unsigned lane)
{
    uint64_t from = arena->offset >> PAGE_SHIFT, to = from + (arena->size >> PAGE_SHIFT);
    struct ft_line_range run;

    while ((run = ft_lines_take(&region->audit->open, from, to, UINT64_MAX)).count) {
        ft_audit_protect(region, run.line << PAGE_SHIFT, run.count << PAGE_SHIFT, PROT_READ);
        for (uint64_t i = 0; i < run.count; i++)
            compare_page(region, arena, run.line + i, lane);
    }
}

static void forget_notes(struct ft_lines *noted, const struct ft_arena *arena)
{
    uint64_t from = arena->offset >> FT_LINE_SHIFT, to = from + (arena->size >> FT_LINE_SHIFT);

    while (ft_lines_take(noted, from, to, UINT64_MAX).count)
        ;
}

/* The same, each of its lines into the digest. */
static void sum_notes(struct ft_lines *noted, const struct ft_arena *arena, uint64_t skipped, uint64_t *sum)
{
    uint64_t from = arena->offset >> FT_LINE_SHIFT, to = from + (arena->size >> FT_LINE_SHIFT);
    struct ft_line_range run;

    for (; (run = ft_lines_find(noted, from, to, UINT64_MAX)).count; from = run.line + run.count)
        for (uint64_t line = run.line; line < run.line + run.count; line++)
            if (line != skipped)
                *sum =
                    XXH3_64bits_withSeed(arena->region->base + (line << FT_LINE_SHIFT), FT_LINE, *sum ^ line);
}

void ft_audit_check_nf(struct ft_region *region, unsigned lane)
{
    struct ft_audit *audit = region->audit;

    if (!audit || atomic_load(&audit->suspended))
        return;
    ft_audit_here.lane = lane;
    ft_audit_lock(audit);
    for (unsigned nf = 0; nf < region->nfs; nf++) {
        const struct ft_arena *arena = ft_region_arena(region, lane, nf);

        check_arena(region, arena, lane);
        if (audit->ended)
            sum_notes(&audit->noted, arena, UINT64_MAX, &audit->sums[lane][nf]);
        forget_notes(&audit->noted, arena);
    }
    check_arena(region, ft_region_shared(region), lane);
    ft_audit_unlock(audit);
    ft_audit_here.heaps = 0;
}

void ft_audit_check(struct ft_region *region, unsigned lane)
{
    struct ft_audit *audit = region->audit;

    ft_audit_check_nf(region, lane);
    if (!audit || !audit->ended)
        return;
    if (!atomic_load(&audit->suspended))
        audit->ended(audit->ended_arg, lane, audit->sums[lane]);
    memset(audit->sums[lane], 0, sizeof(audit->sums[lane]));
}

void ft_audit_watch(struct ft_region *region,
                    void (*ended)(void *arg, unsigned lane, const uint64_t sums[FT_AUDIT_SUMS]), void *arg)
{
    if (!region->audit)
        return;
    region->audit->ended = ended;
    region->audit->ended_arg = arg;
}

/* ---- what lanes share -------------------------------------------------------------------------- */

void ft_audit_sum_stay(struct ft_region *region, unsigned lane, const void *head)
{
    struct ft_audit *audit = region->audit;
    uint64_t line = ((uintptr_t)head - (uintptr_t)region->base) >> FT_LINE_SHIFT;

    if (audit && audit->ended)
        sum_notes(&audit->stay[lane], ft_region_shared(region), line, &audit->sums[lane][FT_NFS_MAX]);
}

void ft_audit_enter(struct ft_region *region, unsigned lane)
{
    if (!region->audit)
        return;
    ft_audit_here.inside = region;
    ft_audit_here.lane = lane;
}

static void end_stay(struct ft_region *region, unsigned lane)
{
    ft_audit_here.inside = NULL;
    forget_notes(&region->audit->stay[lane], ft_region_shared(region));
}

void ft_audit_abandon(struct ft_region *region, unsigned lane)
{
    if (!region->audit)
        return;
    end_stay(region, lane);
    ft_audit_here.nf = NULL; /* it was left in the middle */
}

void ft_audit_leave(struct ft_region *region, unsigned lane)
{
    struct ft_audit *audit = region->audit;

    if (!audit)
        return;
    ft_audit_lock(audit);
    if (!atomic_load(&audit->suspended))
        check_arena(region, ft_region_shared(region), lane);
    ft_audit_unlock(audit);
    end_stay(region, lane);
}

void ft_audit_running(const char *name, unsigned lane)
{
    ft_audit_here.nf = name;
    ft_audit_here.lane = lane;
}

void ft_audit_entered(unsigned nf)
{
    ft_audit_here.heaps |= 1u << nf;
}

bool ft_audit_runs(void)
{
    return ft_audit_here.nf != NULL;
}

void ft_audit_peeked(const void *object)
{
    const struct ft_region *region = ft_audit_mapped();

    if (ft_audit_here.nf && region)
        abort_on_place(region, (uint64_t)((const uint8_t *)object - region->base), "peeked at",
                       "while it processes, expected a section");
}

void ft_audit_name_places(struct ft_region *region,
                          void (*name)(void *arg, uint64_t offset, char *text, size_t cap), void *arg)
{
    if (!region->audit)
        return;
    region->audit->name = name;
    region->audit->arg = arg;
}
