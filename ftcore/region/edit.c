/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an edit does before its lines change: it saves them for a snapshot or a checkpoint that has yet to
 * copy them, marks them for the next delta, and notes them for the audit. Called by lanes, each time ft_edit
 * finds that there is something to do.
 */
#include "ftcore/base/plant.h"
#include "ftcore/region/audit.h"
#include "ftcore/region/checkpoint.h"

/* Lines of a lane's own arenas are marked and taken by that lane alone. */
static void mark_dirty(struct ft_region *region, uint64_t first, uint64_t count)
{
    if (ft_likely(first < ft_region_shared(region)->offset >> FT_LINE_SHIFT))
        ft_lines_add_alone(&region->dirty, first, count);
    else
        ft_lines_add(&region->dirty, first, count);
}

static __attribute__((noinline)) void track_edit(struct ft_region *region, const void *p, size_t n)
{
    uint64_t offset = (uintptr_t)p - (uintptr_t)region->base, first, count;
    uint32_t tracking = atomic_load_explicit(&region->tracking, memory_order_acquire);

    if (n == 0)
        return;
    FT_CHECK(region->base && offset < region->size && n <= region->size - offset,
             "edit of %zu bytes at %p, outside the region", n, p);
    if (ft_unlikely(tracking & FT_TRACK_WATCH))
        region->watch(region->watch_arg, p, n);
    first = offset >> FT_LINE_SHIFT;
    count = ((offset + n - 1) >> FT_LINE_SHIFT) - first + 1;
    if (tracking & FT_TRACK_SNAPSHOT)
        for (uint64_t line = first; line < first + count; line++)
            ft_snapshot_save(region, line);
    if (ft_unlikely(atomic_load_explicit(&region->checkpoint_open, memory_order_relaxed)))
        ft_checkpoint_save(region, first, count);
    if (tracking & FT_TRACK_DIRTY && !(FT_PLANTED("unmarked") && first % 8 == 3))
        mark_dirty(region, first, count);
    if (tracking & FT_TRACK_AUDIT)
        ft_audit_note(region, first, count);
}

void ft_edit_track(struct ft_region *region, const void *p, size_t n)
{
    uint32_t tracking = atomic_load_explicit(&region->tracking, memory_order_acquire);

    if (ft_unlikely((uintptr_t)p % FT_LINE + n > FT_LINE || !ft_edit_settled(region, tracking, p)))
        track_edit(region, p, n);
}
