/* SPDX-License-Identifier: Apache-2.0 */
/* Frozen lines; see frozen.h. Owns the set and what is saved of it, both the region's. Written by lanes. */
#include "ftcore/frozen.h"
#include "ftcore/plant.h"

#include <string.h>
#include <sys/mman.h>

int ft_freeze_prepare(struct ft_region *region)
{
    void *saved;

    if (region->saved)
        return FT_OK;
    if (ft_lines_init(&region->frozen, region->size >> FT_LINE_SHIFT) != 0)
        return FT_ENOMEM;
    saved =
        mmap(NULL, region->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (saved == MAP_FAILED) {
        ft_lines_free(&region->frozen);
        return FT_ENOMEM;
    }
    region->saved = saved;
    return FT_OK;
}

void ft_frozen_free(struct ft_region *region)
{
    if (region->saved)
        munmap(region->saved, region->size);
    region->saved = NULL;
    ft_lines_free(&region->frozen);
}

void ft_freeze(struct ft_region *region)
{
    struct ft_lines marked = region->dirty;

    ft_lines_clear(&region->frozen); /* of a checkpoint that nobody wanted */
    region->dirty = region->frozen;
    region->frozen = marked;
    atomic_store_explicit(&region->freezing, true, memory_order_release);
}

void ft_thaw(struct ft_region *region)
{
    atomic_store_explicit(&region->freezing, false, memory_order_release);
}

void ft_frozen_save(struct ft_region *region, uint64_t line, uint64_t count)
{
    for (uint64_t end = line + count; line < end; line++)
        if (ft_lines_marked(&region->frozen, line) && !ft_lines_marked(&region->dirty, line))
            memcpy(region->saved + (line << FT_LINE_SHIFT), region->base + (line << FT_LINE_SHIFT), FT_LINE);
}

struct ft_run ft_frozen_take(struct ft_region *region, uint64_t from, uint64_t to, uint64_t max,
                             const uint8_t **bytes)
{
    struct ft_run run = ft_lines_find(&region->frozen, from, to, max);
    uint64_t n = 1;

    if (run.count == 0)
        return run;
    bool saved = ft_lines_marked(&region->dirty, run.line);

    while (n < run.count && ft_lines_marked(&region->dirty, run.line + n) == saved)
        n++;
    *bytes = (saved && !FT_PLANTED("copy-late") ? region->saved : region->base) + (run.line << FT_LINE_SHIFT);
    return ft_lines_take(&region->frozen, run.line, run.line + n, n);
}
