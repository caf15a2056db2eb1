/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lines of an incremental checkpoint, which is copied beside bursts: what was marked at its cut stays as
 * it was there for whoever copies it. At the cut the marks are pending and new ones begin. A pending line
 * that is about to change for the first time since is saved, and copied from there.
 *
 * Lines are saved one behind the other, in the order of edits: saving each at an address of its own would
 * wait for memory once more. They are copied in the order of the region all the same, so what a checkpoint
 * takes on the link does not depend on how fast it was copied.
 *
 * Pending lines are their lane's: it edits them and it takes them, in one thread. Those of the shared arena
 * are taken before any lane runs a burst again; to edit one before is a broken invariant.
 *
 * Lines of heaps (ftcore/region/heap.h) are all saved at the cut.
 *
 * Capacity: a lane can save as many lines as its arenas have. Pages that were saved to stay until the region
 * is closed, for the next checkpoint.
 */
#ifndef FTCORE_REGION_CHECKPOINT_H
#define FTCORE_REGION_CHECKPOINT_H

#include "ftcore/region/region.h"

/* Makes room; again: nothing. FT_ENOMEM: nothing can be pending. */
int ft_checkpoint_prepare(struct ft_region *region);
/* All lanes are quiesced, and room is there: what is marked is pending, and nothing is marked. */
void ft_checkpoint_begin(struct ft_region *region);
/* Nobody wants the rest, or there is none: edits save nothing more. */
void ft_checkpoint_end(struct ft_region *region);

/* By an edit, before it marks [line, line+count). */
void ft_checkpoint_save(struct ft_region *region, uint64_t line, uint64_t count);
/* Copies the lines of a run that was taken out of `checkpoint_pending`, as they were at the cut, to `out`.
 * Before the next edit. */
void ft_checkpoint_copy(struct ft_region *region, const struct ft_line_range *run, uint8_t *out);

void ft_checkpoint_free(struct ft_region *region);

#endif
