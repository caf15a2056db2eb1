/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Audit. Owns the region's page protection, the copies put aside, and the notes of what was edited. Written
 * by lanes: in the fault handler (a page opens), in ft_edit_track (a note), at a burst's end (pages close).
 *
 * A lock keeps a page from being opened by one lane while another compares it; the handler may take it
 * because whoever holds it writes nothing in the region. Notes need no lock: each lane makes its own before
 * its write.
 */
#include "ftcore/region/audit.h"
#include "ftcore/base/event_log.h"

#include <errno.h>
#include <immintrin.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define PAGE_SHIFT 12u
#define PAGE       (1u << PAGE_SHIFT)
#define PAGE_LINES (PAGE / FT_LINE)

#define FORBIDDEN_MAX (4 * FT_LANES_MAX) /* tests have several nodes in a process */

struct ft_audit {
    atomic_flag lock;
    _Atomic unsigned suspended; /* how many brackets are open */
    uint8_t *before;            /* opened pages as they were, at the offsets they have in the region */
    struct ft_lines open;       /* pages, not lines */
    struct ft_lines noted[2];   /* lines; notes go to noted[now] */
    _Atomic unsigned now;
    uint32_t passed; /* lanes that ended a burst since the notes turned */
};

/* Regions share one address: at most one audited region is mapped at a time, and that one faults. */
static struct ft_region *_Atomic mapped;
static struct sigaction previous; /* whom faults elsewhere are passed on to */
static unsigned users;            /* audits that need the handler */

static struct forbidden {
    const uint8_t *_Atomic base; /* NULL: not in use; written last, and first when it ends */
    uint64_t size;
    void (*on_touch)(void *arg, const void *at);
    void *arg;
} forbidden[FORBIDDEN_MAX];

static void lock_audit(struct ft_audit *audit)
{
    while (atomic_flag_test_and_set_explicit(&audit->lock, memory_order_acquire))
        _mm_pause();
}

static void unlock_audit(struct ft_audit *audit)
{
    atomic_flag_clear_explicit(&audit->lock, memory_order_release);
}

static void protect_pages(struct ft_region *region, uint64_t offset, uint64_t size, int how)
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
    lock_audit(audit);
    if (!atomic_load(&audit->suspended)) {
        /* Open already: another lane was first. */
        if (!ft_lines_has(&audit->open, offset >> PAGE_SHIFT)) {
            memcpy(audit->before + offset, region->base + offset, PAGE);
            ft_lines_add(&audit->open, offset >> PAGE_SHIFT, 1);
        }
        protect_pages(region, offset, PAGE, PROT_READ | PROT_WRITE);
    }
    unlock_audit(audit);
    return true;
}

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

static void report_forbidden(const uint8_t *at)
{
    for (unsigned i = 0; i < FORBIDDEN_MAX; i++) {
        const uint8_t *base = atomic_load(&forbidden[i].base);

        if (base && at >= base && (uint64_t)(at - base) < forbidden[i].size)
            forbidden[i].on_touch(forbidden[i].arg, at);
    }
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
        report_forbidden(info->si_addr);
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
    ft_lines_free(&audit->noted[0]);
    ft_lines_free(&audit->noted[1]);
    free(audit);
}

int ft_audit_open(struct ft_region *region, struct ft_fault *fault)
{
    struct ft_audit *audit = calloc(1, sizeof(*audit));
    uint64_t lines = region->size >> FT_LINE_SHIFT;

    if (!audit)
        return ft_fail(fault, FT_ENOMEM, "audit: no memory");
    audit->before = ft_map_memory(region->size);
    if (!audit->before || ft_lines_init(&audit->open, region->size >> PAGE_SHIFT) ||
        ft_lines_init(&audit->noted[0], lines) || ft_lines_init(&audit->noted[1], lines)) {
        free_audit(audit, region->size);
        return ft_fail(fault, FT_ENOMEM, "audit: no memory for a second copy of %lu MiB", region->size >> 20);
    }
    region->audit = audit;
    users++;
    watch_faults();
    atomic_store(&mapped, region);
    protect_pages(region, 0, region->size, PROT_READ);
    atomic_fetch_or(&region->tracking, FT_TRACK_AUDIT);
    return FT_OK;
}

void ft_audit_close(struct ft_region *region)
{
    if (!region->audit)
        return;
    atomic_fetch_and(&region->tracking, ~(uint32_t)FT_TRACK_AUDIT);
    atomic_store(&mapped, NULL);
    protect_pages(region, 0, region->size, PROT_READ | PROT_WRITE);
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
    lock_audit(audit);
    if (atomic_fetch_add(&audit->suspended, 1) == 0) {
        protect_pages(region, 0, region->size, PROT_READ | PROT_WRITE);
        ft_lines_clear(&audit->open);
    }
    unlock_audit(audit);
}

void ft_audit_resume(struct ft_region *region)
{
    struct ft_audit *audit = region->audit;

    if (!audit)
        return;
    lock_audit(audit);
    FT_CHECK(atomic_load(&audit->suspended) > 0, "audit resumed, but not suspended");
    if (atomic_fetch_sub(&audit->suspended, 1) == 1) {
        ft_lines_clear(&audit->noted[0]);
        ft_lines_clear(&audit->noted[1]);
        watch_faults();
        protect_pages(region, 0, region->size, PROT_READ);
    }
    unlock_audit(audit);
}

unsigned ft_audit_suspended(const struct ft_region *region)
{
    return region->audit ? atomic_load(&region->audit->suspended) : 0;
}

void ft_audit_note(struct ft_region *region, uint64_t line, uint64_t count)
{
    struct ft_audit *audit = region->audit;
    uint64_t offset = line << FT_LINE_SHIFT, end = (line + count) << FT_LINE_SHIFT;
    const struct ft_arena *arena = ft_region_arena_at(region, offset);

    if (atomic_load_explicit(&audit->suspended, memory_order_relaxed))
        return;
    FT_CHECK(arena && end <= arena->offset + arena->used,
             "edit of region offsets 0x%lx to 0x%lx, which is not inside what one arena has handed out",
             offset, end);
    ft_lines_add(&audit->noted[atomic_load(&audit->now)], line, count);
}

static _Noreturn void abort_on_unedited(const struct ft_region *region, const struct ft_arena *arena,
                                        uint64_t offset, unsigned lane)
{
    bool shared = arena->nf == FT_NFS_MAX;

    ft_log_and_abort("audit: NF '%s' (lane %u) changed offset 0x%lx of its arena without an edit",
                     shared ? "shared" : region->nf_name[arena->nf], lane, offset - arena->offset);
}

static void compare_page(const struct ft_region *region, const struct ft_arena *arena, uint64_t page,
                         unsigned lane)
{
    const struct ft_audit *audit = region->audit;

    for (uint64_t line = page * PAGE_LINES; line < (page + 1) * PAGE_LINES; line++) {
        const uint8_t *is = region->base + (line << FT_LINE_SHIFT),
                      *was = audit->before + (line << FT_LINE_SHIFT);
        unsigned at = 0;

        if (memcmp(is, was, FT_LINE) == 0 || ft_lines_has(&audit->noted[0], line) ||
            ft_lines_has(&audit->noted[1], line))
            continue;
        while (is[at] == was[at])
            at++;
        abort_on_unedited(region, arena, (line << FT_LINE_SHIFT) + at, lane);
    }
}

/* Closes the arena's opened pages, so that they stop, and compares them. */
static void check_arena(struct ft_region *region, const struct ft_arena *arena, unsigned lane)
{
    uint64_t from = arena->offset >> PAGE_SHIFT, to = from + (arena->size >> PAGE_SHIFT);
    struct ft_line_range run;

    while ((run = ft_lines_take(&region->audit->open, from, to, UINT64_MAX)).count) {
        protect_pages(region, run.line << PAGE_SHIFT, run.count << PAGE_SHIFT, PROT_READ);
        for (uint64_t i = 0; i < run.count; i++)
            compare_page(region, arena, run.line + i, lane);
    }
}

static void forget_notes(struct ft_lines *noted, const struct ft_arena *arena)
{
    uint64_t from = arena->offset >> FT_LINE_SHIFT, to = from + (arena->size >> FT_LINE_SHIFT);

    while (ft_lines_take(noted, from, to, UINT64_MAX).count)
        ;
}

/*
 * The shared arena's notes of several lanes: who made one is not known, so a note must live until every lane
 * has ended the burst it was in. Once all have passed, the present set becomes the former one, and the
 * former, whose notes were all made before everybody passed, is emptied and used again.
 */
static void turn_notes(struct ft_region *region, unsigned lane)
{
    struct ft_audit *audit = region->audit;
    unsigned former = 1 - atomic_load(&audit->now);

    audit->passed |= 1u << lane;
    if (audit->passed != (1u << region->lanes) - 1)
        return;
    audit->passed = 0;
    forget_notes(&audit->noted[former], ft_region_shared(region));
    if (region->lanes == 1)
        forget_notes(&audit->noted[1 - former], ft_region_shared(region));
    else
        atomic_store(&audit->now, former);
}

void ft_audit_check(struct ft_region *region, unsigned lane)
{
    struct ft_audit *audit = region->audit;

    if (!audit || atomic_load(&audit->suspended))
        return;
    lock_audit(audit);
    for (unsigned nf = 0; nf < region->nfs; nf++) {
        const struct ft_arena *arena = ft_region_arena(region, lane, nf);

        check_arena(region, arena, lane);
        forget_notes(&audit->noted[0], arena);
        forget_notes(&audit->noted[1], arena);
    }
    check_arena(region, ft_region_shared(region), lane);
    turn_notes(region, lane);
    unlock_audit(audit);
}
