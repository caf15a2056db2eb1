/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Audit: proof that no write escapes ft_edit. The region is kept read-only; the first write to a page in a
 * burst faults, its content is put aside and the page opened. At the burst's end every opened page is
 * compared with what was put aside: a line that changed without an edit aborts with the NF's name and
 * the offset in its arena. For tests and debugging; costs a fault per page and burst.
 *
 * Exact for private arenas, and for the shared arena of a single lane. With several lanes any lane's check
 * may find the change of another in the shared arena, so it names the lane that saw it; and an edit there is
 * remembered until every lane has ended a burst after it, so a line's unmarked change right behind a marked
 * one passes.
 */
#ifndef FTCORE_REGION_AUDIT_H
#define FTCORE_REGION_AUDIT_H

#include "ftcore/region/region.h"

int ft_audit_open(struct ft_region *region, struct ft_fault *fault); /* called by ft_region_open */
void ft_audit_close(struct ft_region *region);
void ft_audit_note(struct ft_region *region, uint64_t line, uint64_t count); /* called by ft_edit_track */

/* Bracket everything that may write: snapshot lines being applied, the chain being made, wiping. Nests. What
 * a lane has changed before it in the same burst is not compared. */
void ft_audit_suspend(struct ft_region *region);
void ft_audit_resume(struct ft_region *region);

/*
 * Memory outside the region that nobody may touch, which the caller has protected: whoever does gets
 * `on_touch`, in the handler of its fault, with the address; `on_touch` does not return. At most 4 *
 * FT_LANES_MAX at a time, while a region with audit is open.
 */
void ft_audit_forbid(const void *base, uint64_t size, void (*on_touch)(void *arg, const void *at), void *arg);
void ft_audit_permit(const void *base);

/* How many brackets are open; 0 without audit. */
unsigned ft_audit_suspended(const struct ft_region *region);

/* At a burst's end, lane of the caller. No effect when the region has no audit. Aborts on an unmarked write.
 */
void ft_audit_check(struct ft_region *region, unsigned lane);

#endif
