/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory outside the region that nobody may touch while a region with audit is open (ftcore/region/audit.h).
 * Owns the list. Written by who makes and frees such memory, read by the handler of faults.
 */
#include "ftcore/region/audit.h"

#define FORBIDDEN_MAX (4 * FT_LANES_MAX) /* tests have several nodes in a process */

static struct forbidden {
    const uint8_t *_Atomic base; /* NULL: not in use; written last, and first when it ends */
    uint64_t size;
    void (*on_touch)(void *arg, const void *at);
    void *arg;
} forbidden[FORBIDDEN_MAX];

void ft_audit_forbid(const void *base, uint64_t size, void (*on_touch)(void *arg, const void *at), void *arg)
{
    struct forbidden *f = forbidden;

    while (f < forbidden + FORBIDDEN_MAX && atomic_load(&f->base))
        f++;
    FT_CHECK(f < forbidden + FORBIDDEN_MAX, "more than %u forbidden places", FORBIDDEN_MAX);
    f->size = size;
    f->on_touch = on_touch;
    f->arg = arg;
    atomic_store(&f->base, base);
}

void ft_audit_permit(const void *base)
{
    for (unsigned i = 0; i < FORBIDDEN_MAX; i++)
        if (atomic_load(&forbidden[i].base) == base)
            atomic_store(&forbidden[i].base, NULL);
}

void ft_audit_report_forbidden(const void *touched)
{
    const uint8_t *at = touched;

    for (unsigned i = 0; i < FORBIDDEN_MAX; i++) {
        const uint8_t *base = atomic_load(&forbidden[i].base);

        if (base && at >= base && (uint64_t)(at - base) < forbidden[i].size)
            forbidden[i].on_touch(forbidden[i].arg, at);
    }
}
