/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which pages of heaps (ftcore/region/heap.h) were written: their lines are marked as edits mark others. The
 * kernel notes the first write to a page since it was asked last (userfaultfd's asynchronous write-protect
 * with the ioctl PAGEMAP_SCAN, Linux 6.7), so writes cost a fault each and nothing else does.
 *
 * A write is known behind it only. So what has to stay as it was at a cut is copied at the cut itself:
 * snapshots (snapshot.c) and incremental checkpoints (checkpoint.c) do that for heaps.
 *
 * On a kernel that cannot do it each page in use counts as written, always.
 */
#ifndef FTCORE_REGION_PAGES_H
#define FTCORE_REGION_PAGES_H

#include "ftcore/region/region.h"

/* All lanes are quiesced, and nothing is marked: from now on writes are found. False: there are heaps, and
 * the kernel does not report writes to their pages. */
bool ft_pages_begin(struct ft_region *region);
/* Marks the lines of pages in the lane's heaps that were written since it was last called; by the lane, or
 * with FT_LANES_MAX those of all lanes, while they are quiesced. */
void ft_pages_mark(struct ft_region *region, unsigned lane);
/* The mapping is about to go. Until the next begin each page counts as written. */
void ft_pages_close(struct ft_region *region);

#endif
