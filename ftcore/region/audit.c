/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Audit. Owns the region's page protection and the copies put aside. Written by lanes: in the fault handler
 * (a page opens), and when pages are compared (they close).
 *
 * A lock keeps a page from being opened by one lane while another compares it; the handler may take it
 * because whoever holds it writes nothing in the region.
 */
#include "ftcore/region/audit_parts.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE_SHIFT FT_AUDIT_PAGE_SHIFT
#define PAGE       FT_AUDIT_PAGE

/* Regions share one address: at most one audited region is mapped at a time, and that one faults. */
static struct ft_region *_Atomic mapped;
static struct sigaction previous; /* whom faults elsewhere are passed on to */
static unsigned users;            /* audits that need the handler */

void ft_audit_protect(struct ft_region *region, uint64_t offset, uint64_t size, int how)
{
    FT_CHECK(mprotect(region->base + offset, size, how) == 0, "audit: mprotect at offset 0x%lx: %s", offset,
             strerror(errno));
}

/* True if the fault is the first write to a page of an arena, which may now go on. */
static bool open_page(struct ft_region *region, uintptr_t address)
{
    struct ft_audit *audit = region->audit;
    uint64_t offset = (address - (uintptr_t)region->base) & ~(uint64_t)(PAGE - 1);

    if (offset >= region->size || !ft_region_arena_at(region, offset))
        return false;
    ft_audit_lock(audit);
    if (!atomic_load(&audit->suspended)) {
        /* Open already: another lane was first. */
        if (!ft_lines_has(&audit->open, offset >> PAGE_SHIFT)) {
            memcpy(audit->before + offset, region->base + offset, PAGE);
            ft_lines_add(&audit->open, offset >> PAGE_SHIFT, 1);
        }
        ft_audit_protect(region, offset, PAGE, PROT_READ | PROT_WRITE);
    }
    ft_audit_unlock(audit);
    return true;
}

static void pass_fault_on(int number, siginfo_t *info, void *context)
{
    if (previous.sa_flags & SA_SIGINFO) {
        previous.sa_sigaction(number, info, context);
    } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
        previous.sa_handler(number);
    } else {
        signal(number, SIG_DFL);
        if (info->si_code <= 0) /* sent by somebody; a fault comes again by itself */
            raise(number);
    }
}

static void on_fault(int number, siginfo_t *info, void *context)
{
    struct ft_region *region = atomic_load(&mapped);
    int saved = errno;

    if (info->si_code == SEGV_ACCERR)
        ft_audit_report_forbidden(info->si_addr);
    if (!region || info->si_code != SEGV_ACCERR || !open_page(region, (uintptr_t)info->si_addr))
        pass_fault_on(number, info, context);
    errno = saved;
}

/* Also when somebody else has put a handler in front of ours since. */
static void watch_faults(void)
{
    struct sigaction present, ours = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK};

    sigemptyset(&ours.sa_mask);
    FT_CHECK(sigaction(SIGSEGV, NULL, &present) == 0, "audit: sigaction: %s", strerror(errno));
    if (!(present.sa_flags & SA_SIGINFO) || present.sa_sigaction != on_fault) {
        previous = present;
        FT_CHECK(sigaction(SIGSEGV, &ours, NULL) == 0, "audit: sigaction: %s", strerror(errno));
    }
}

static void leave_faults(void)
{
    struct sigaction present;

    if (sigaction(SIGSEGV, NULL, &present) == 0 && present.sa_flags & SA_SIGINFO &&
        present.sa_sigaction == on_fault)
        sigaction(SIGSEGV, &previous, NULL);
}

static void free_audit(struct ft_audit *audit, uint64_t size)
{
    if (audit->before)
        munmap(audit->before, size);
    ft_lines_free(&audit->open);
    ft_lines_free(&audit->noted);
    for (unsigned l = 0; l < FT_LANES_MAX; l++)
        ft_lines_free(&audit->stay[l]);
    free(audit);
}

int ft_audit_open(struct ft_region *region, struct ft_fault *fault)
{
    struct ft_audit *audit = calloc(1, sizeof(*audit));
    uint64_t lines = region->size >> FT_LINE_SHIFT;
    bool room;

    if (!audit)
        return ft_fail(fault, FT_ENOMEM, "audit: no memory");
    audit->before = ft_map_memory(region->size);
    room = audit->before && !ft_lines_init(&audit->open, region->size >> PAGE_SHIFT) &&
           !ft_lines_init(&audit->noted, lines);
    for (unsigned l = 0; l < region->lanes; l++)
        room = room && !ft_lines_init(&audit->stay[l], lines);
    if (!room) {
        free_audit(audit, region->size);
        return ft_fail(fault, FT_ENOMEM, "audit: no memory for a second copy of %lu MiB", region->size >> 20);
    }
    region->audit = audit;
    users++;
    watch_faults();
    atomic_store(&mapped, region);
    ft_audit_protect(region, 0, region->size, PROT_READ);
    atomic_fetch_or(&region->tracking, FT_TRACK_AUDIT);
    return FT_OK;
}

void ft_audit_close(struct ft_region *region)
{
    if (!region->audit)
        return;
    atomic_fetch_and(&region->tracking, ~(uint32_t)FT_TRACK_AUDIT);
    atomic_store(&mapped, NULL);
    ft_audit_protect(region, 0, region->size, PROT_READ | PROT_WRITE);
    if (--users == 0)
        leave_faults();
    free_audit(region->audit, region->size);
    region->audit = NULL;
}

void ft_audit_suspend(struct ft_region *region)
{
    struct ft_audit *audit = region->audit;

    if (!audit)
        return;
    ft_audit_lock(audit);
    if (atomic_fetch_add(&audit->suspended, 1) == 0) {
        ft_audit_protect(region, 0, region->size, PROT_READ | PROT_WRITE);
        ft_lines_clear(&audit->open);
    }
    ft_audit_unlock(audit);
}

void ft_audit_resume(struct ft_region *region)
{
    struct ft_audit *audit = region->audit;

    if (!audit)
        return;
    ft_audit_lock(audit);
    FT_CHECK(atomic_load(&audit->suspended) > 0, "audit resumed, but not suspended");
    if (atomic_fetch_sub(&audit->suspended, 1) == 1) {
        ft_lines_clear(&audit->noted);
        for (unsigned l = 0; l < region->lanes; l++)
            ft_lines_clear(&audit->stay[l]);
        watch_faults();
        ft_audit_protect(region, 0, region->size, PROT_READ);
    }
    ft_audit_unlock(audit);
}

unsigned ft_audit_suspended(const struct ft_region *region)
{
    return region->audit ? atomic_load(&region->audit->suspended) : 0;
}

const struct ft_region *ft_audit_mapped(void)
{
    return atomic_load(&mapped);
}
