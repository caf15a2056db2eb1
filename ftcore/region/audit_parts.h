/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the audit: its pages (audit.c) and its notes (audit_notes.c). Not for others. */
#ifndef FTCORE_REGION_AUDIT_PARTS_H
#define FTCORE_REGION_AUDIT_PARTS_H

#include "ftcore/region/audit.h"

#include <immintrin.h>

#define FT_AUDIT_PAGE_SHIFT 12u
#define FT_AUDIT_PAGE       (1u << FT_AUDIT_PAGE_SHIFT)

struct ft_audit {
    atomic_flag lock;
    _Atomic unsigned suspended; /* how many brackets are open */
    uint8_t *before;            /* opened pages as they were, at the offsets they have in the region */
    struct ft_lines open;       /* pages, not lines */
    struct ft_lines noted;      /* lines of lanes' own arenas */
    struct ft_lines stay[FT_LANES_MAX]; /* lines of the shared arena, of each lane's stay */
    void (*name)(void *arg, uint64_t offset, char *text, size_t cap);
    void *arg;
    void (*ended)(void *arg, unsigned lane, const uint64_t sums[FT_AUDIT_SUMS]);
    void *ended_arg;
    uint64_t sums[FT_LANES_MAX][FT_AUDIT_SUMS]; /* of the burst so far; with `ended` */
};

/* What this thread is at. */
struct ft_audit_at {
    const struct ft_region *inside; /* where it stays in what lanes share; NULL: nowhere */
    const char *nf;                 /* that runs; NULL: none */
    unsigned lane;
    uint32_t heaps; /* of NFs that may have changed since the last comparison; bits */
};
extern _Thread_local struct ft_audit_at ft_audit_here;

static inline void ft_audit_lock(struct ft_audit *audit)
{
    while (atomic_flag_test_and_set_explicit(&audit->lock, memory_order_acquire))
        _mm_pause();
}

static inline void ft_audit_unlock(struct ft_audit *audit)
{
    atomic_flag_clear_explicit(&audit->lock, memory_order_release);
}

void ft_audit_protect(struct ft_region *region, uint64_t offset, uint64_t size, int how);
const struct ft_region *ft_audit_mapped(void); /* the one that is audited and mapped; NULL: none */

#endif
