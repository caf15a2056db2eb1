/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A heap in an arena, for a library that allocates and writes as it likes, without edits. All that the heap
 * knows of itself lies in it, and there are no pointers in that, so it can be checked when a peer has written
 * it. What is given out depends on the calls alone: the same calls give the same addresses on every node.
 *
 * Pages are of 4 KiB. A page has blocks of one size, one of HEAP_CLASSES, and a bitmap of those in use; what
 * is larger than 2 KiB has pages of its own, one behind the other. The lowest place that fits is taken, so
 * that pages in use stay few. Cost: a look into a bitmap, in the worst case a bit for each page of the heap.
 *
 * Capacity: the pages that it was made with. Full: ft_heap_alloc gives NULL and counts it.
 *
 * Written by the lane whose NF has the heap; who writes its pages is found out by ftcore/region/pages.h.
 */
#ifndef FTCORE_REGION_HEAP_H
#define FTCORE_REGION_HEAP_H

#include "ftcore/region/region.h"

#define FT_HEAP_PAGE    4096u
#define FT_HEAP_CLASSES 21u
#define FT_HEAP_PAGES   (1u << 20) /* of a heap at most: 4 GiB */

struct ft_heap {
    uint32_t pages;   /* for blocks; never changes */
    uint32_t next;    /* pages below it have been in use; those from it on are zero */
    uint64_t bytes;   /* given out, in whole blocks */
    uint64_t blocks;  /* given out */
    uint64_t refused; /* calls that found no room */
    /* For each size, and last for pages of nobody: words of its bitmap below it have nothing to give. */
    uint32_t hint[FT_HEAP_CLASSES + 1];
};

/* Bytes of an arena that a heap needs which has `bytes` for blocks. */
uint64_t ft_heap_bytes(uint64_t bytes);
/* While the chain is made: one an arena. NULL: the arena has no room, or `bytes`
 * is more than FT_HEAP_PAGES. */
struct ft_heap *ft_heap_make(struct ft_arena *arena, uint64_t bytes);

/* Aligned to 16 bytes, with whatever was there before. NULL: the heap is full. */
void *ft_heap_alloc(struct ft_heap *heap, uint64_t size);
/* What ft_heap_alloc gave and nobody has given back: anything else is a broken invariant. */
void ft_heap_free(struct ft_heap *heap, void *p);
uint64_t ft_heap_size_of(const struct ft_heap *heap, const void *p); /* of the block, the same rule */
/* A block that is in use begins there, of `size` bytes at least. */
bool ft_heap_holds(const struct ft_heap *heap, const void *p, uint64_t size);

/* NULL, or what is wrong with what it knows of itself. `pages` has been checked. Calls `step` (NULL: nothing)
 * for each page. */
const char *ft_heap_check(const struct ft_heap *heap, void (*step)(void *arg), void *arg);

/* What there is to copy of it, as bytes of the region: `which` is 0 or 1. Behind that it is zero. */
struct ft_heap_part {
    uint64_t from, to;
};
struct ft_heap_part ft_heap_part(const struct ft_heap *heap, const struct ft_region *region, unsigned which);
uint64_t ft_heap_end(const struct ft_heap *heap, const struct ft_region *region); /* behind its last page */

#endif
