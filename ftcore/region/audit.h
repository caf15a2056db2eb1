/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Audit: proof that no write escapes ft_edit. The region is kept read-only; the first write to a page in a
 * burst faults, its content is put aside and the page opened. At the burst's end every opened page is
 * compared with what was put aside: a line that changed without an edit aborts with the NF's name and
 * the offset in its arena. For tests and debugging; costs a fault per page and burst.
 *
 * What lanes share changes in a stay alone (ft_audit_enter): an edit outside of one aborts at once. When a
 * stay ends the shared arena is compared as well, and what was noted in it counts no longer. So a change
 * behind the stay in which the line was edited is found, by the next lane that compares; a lane that compares
 * may find the change of another.
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

/* At a burst's end and when an NF has run, lane of the caller. No effect when the region has no audit. Aborts
 * on an unmarked write. */
void ft_audit_check(struct ft_region *region, unsigned lane);
void ft_audit_check_nf(struct ft_region *region, unsigned lane);

/*
 * From now on `ended` hears of each burst's end in a lane: digests of the lines that the burst has edited, by
 * NF (sums[nf]; sums[FT_NFS_MAX]: of what lanes share), 0 where there are none. The same for the same burst
 * wherever it is executed. While no lane runs.
 */
#define FT_AUDIT_SUMS (FT_NFS_MAX + 1u)
void ft_audit_watch(struct ft_region *region,
                    void (*ended)(void *arg, unsigned lane, const uint64_t sums[FT_AUDIT_SUMS]), void *arg);

/* What the stay has edited is in the lane's digests now, but for `head`, a line that the next stay may change
 * as soon as this one is known to end. */
void ft_audit_sum_stay(struct ft_region *region, unsigned lane, const void *head);

/* A stay of this thread, as lane `lane`, in what lanes share: a section, or what else may change its lines.
 * Entered again before it is left: nothing new. No effect without audit. */
void ft_audit_enter(struct ft_region *region, unsigned lane);
void ft_audit_leave(struct ft_region *region, unsigned lane);
void ft_audit_abandon(struct ft_region *region, unsigned lane); /* as leave; nothing is compared */

/* `object`, which lanes share, was read without a section. Aborts where an NF runs. */
void ft_audit_peeked(const void *object);

/* Who knows what lies in the region: writes its name into text[cap), such as "word 1 of NF 'forward'". NULL:
 * nobody, from now on. */
void ft_audit_name_places(struct ft_region *region,
                          void (*name)(void *arg, uint64_t offset, char *text, size_t cap), void *arg);

/* What this thread is at. */
struct ft_audit_at {
    const struct ft_region *inside; /* where it stays in what lanes share; NULL: nowhere */
    const char *nf;                 /* that runs; NULL: none */
    unsigned lane;
    uint32_t heaps; /* of NFs that may have changed since the last comparison; bits */
};
extern _Thread_local struct ft_audit_at ft_audit_here;

/* What this thread runs from now on, for the line in the log: an NF of lane `lane`; NULL: none. `name`
 * stays. */
static inline void ft_audit_running(const char *name, unsigned lane)
{
    ft_audit_here.nf = name;
    ft_audit_here.lane = lane;
}
/* NF `nf` of the lane may have changed its heap since the lane was compared last, without edits. */
static inline void ft_audit_entered(unsigned nf)
{
    ft_audit_here.heaps |= 1u << nf;
}
static inline bool ft_audit_runs(void) /* it runs an NF */
{
    return ft_audit_here.nf != NULL;
}

#endif
