/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Audit. Owns the region's page protection and the copies put aside. Written by lanes: in the fault handler
 * (a page opens), and when pages are compared (they close).
 *
 * A lock keeps a page from being opened by one lane while another compares it; the handler may take it
 * because whoever holds it writes nothing in the region.
 */
#include "ftcore/region/audit.h"
#include "ftcore/base/cpu.h"
#include "ftcore/base/event_log.h"
#include "ftcore/region/heap.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <xxhash.h>

#define PAGE_SHIFT 12u
#define PAGE       (1u << PAGE_SHIFT)

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

static inline void lock_audit(struct ft_audit *audit)
{
    while (atomic_flag_test_and_set_explicit(&audit->lock, memory_order_acquire))
        ft_pause();
}

static inline void unlock_audit(struct ft_audit *audit)
{
    atomic_flag_clear_explicit(&audit->lock, memory_order_release);
}

/* Regions share one address: at most one audited region is mapped at a time, and that one faults. */
static struct ft_region *_Atomic mapped;

/* NULL: none. */
static const struct ft_region *mapped_region(void)
{
    return atomic_load(&mapped);
}

static void protect(struct ft_region *region, uint64_t offset, uint64_t size, int how)
{
    FT_CHECK(mprotect(region->base + offset, size, how) == 0, "audit: mprotect at offset 0x%lx: %s", offset,
             strerror(errno));
}

/* ---- memory that nobody may touch ------------------------------------------------------------ */

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

/* called by the audit's handler of faults */
static void report_forbidden(const void *touched)
{
    const uint8_t *at = touched;

    for (unsigned i = 0; i < FORBIDDEN_MAX; i++) {
        const uint8_t *base = atomic_load(&forbidden[i].base);

        if (base && at >= base && (uint64_t)(at - base) < forbidden[i].size)
            forbidden[i].on_touch(forbidden[i].arg, at);
    }
}

/* ---- notes ----------------------------------------------------------------------------------- */

#define PAGE_LINES (PAGE / FT_LINE)
#define PLACE_TEXT 120u

_Thread_local struct ft_audit_at ft_audit_here;

/* Of what lanes share. `how`: after the NF that does it; `why`: after the place. */
static _Noreturn void abort_on_place(const struct ft_region *region, uint64_t offset, const char *how,
                                     const char *why)
{
    const struct ft_arena *arena = ft_region_arena_at(region, offset);
    char place[PLACE_TEXT];

    snprintf(place, sizeof(place), "offset 0x%lx of the shared arena",
             arena ? offset - arena->offset : offset);
    if (region->audit->name)
        region->audit->name(region->audit->arg, offset, place, sizeof(place));
    if (ft_audit_here.nf)
        ft_log_and_abort("audit: NF '%s' (lane %u) %s %s %s", ft_audit_here.nf, ft_audit_here.lane, how,
                         place, why);
    ft_log_and_abort("audit: lane %u %s %s %s", ft_audit_here.lane, how, place, why);
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
    if (arena != ft_region_shared(region))
        ft_lines_add(&audit->noted, line, count);
    else if (ft_audit_here.inside == region)
        ft_lines_add(&audit->stay[ft_audit_here.lane], line, count);
    else
        abort_on_place(region, offset, "edited", "outside of its section");
}

static _Noreturn void abort_on_unedited(const struct ft_region *region, const struct ft_arena *arena,
                                        uint64_t offset, unsigned lane)
{
    const char *name;

    if (arena == ft_region_shared((struct ft_region *)(uintptr_t)region))
        abort_on_place(region, offset, "changed", "without an edit");
    name = region->nf_name[arena->nf];
    if (ft_audit_here.nf && strcmp(ft_audit_here.nf, name) != 0)
        ft_log_and_abort(
            "audit: NF '%s' (lane %u) changed offset 0x%lx of the arena of NF '%s' without an edit",
            ft_audit_here.nf, lane, offset - arena->offset, name);
    ft_log_and_abort("audit: NF '%s' (lane %u) changed offset 0x%lx of its arena without an edit", name, lane,
                     offset - arena->offset);
}

static bool is_noted(const struct ft_region *region, uint64_t line)
{
    const struct ft_audit *audit = region->audit;

    if (ft_lines_has(&audit->noted, line))
        return true;
    for (unsigned l = 0; l < region->lanes; l++)
        if (ft_lines_has(&audit->stay[l], line))
            return true;
    return false;
}

/* A heap of an NF that was called: it is written without edits. What it changed counts in the burst's digests
 * as an edit. */
static bool is_heap(const struct ft_region *region, const struct ft_arena *arena, uint64_t line)
{
    uint64_t offset = line << FT_LINE_SHIFT;

    return arena->heap && offset >= (uint64_t)((const uint8_t *)arena->heap - region->base) &&
           offset < ft_heap_end(arena->heap, region) && ft_audit_here.heaps >> arena->nf & 1;
}

static void compare_page(const struct ft_region *region, const struct ft_arena *arena, uint64_t page,
                         unsigned lane)
{
    const struct ft_audit *audit = region->audit;

    for (uint64_t line = page * PAGE_LINES; line < (page + 1) * PAGE_LINES; line++) {
        const uint8_t *is = region->base + (line << FT_LINE_SHIFT),
                      *was = audit->before + (line << FT_LINE_SHIFT);
        unsigned at = 0;

        if (memcmp(is, was, FT_LINE) == 0 || is_noted(region, line))
            continue;
        if (is_heap(region, arena, line)) {
            ft_lines_add(&region->audit->noted, line, 1);
            continue;
        }
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
        protect(region, run.line << PAGE_SHIFT, run.count << PAGE_SHIFT, PROT_READ);
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

/* The same, each of its lines into the digest. */
static void sum_notes(struct ft_lines *noted, const struct ft_arena *arena, uint64_t skipped, uint64_t *sum)
{
    uint64_t from = arena->offset >> FT_LINE_SHIFT, to = from + (arena->size >> FT_LINE_SHIFT);
    struct ft_line_range run;

    for (; (run = ft_lines_find(noted, from, to, UINT64_MAX)).count; from = run.line + run.count)
        for (uint64_t line = run.line; line < run.line + run.count; line++)
            if (line != skipped)
                *sum =
                    XXH3_64bits_withSeed(arena->region->base + (line << FT_LINE_SHIFT), FT_LINE, *sum ^ line);
}

void ft_audit_check_nf(struct ft_region *region, unsigned lane)
{
    struct ft_audit *audit = region->audit;

    if (!audit || atomic_load(&audit->suspended))
        return;
    ft_audit_here.lane = lane;
    lock_audit(audit);
    for (unsigned nf = 0; nf < region->nfs; nf++) {
        const struct ft_arena *arena = ft_region_arena(region, lane, nf);

        check_arena(region, arena, lane);
        if (audit->ended)
            sum_notes(&audit->noted, arena, UINT64_MAX, &audit->sums[lane][nf]);
        forget_notes(&audit->noted, arena);
    }
    check_arena(region, ft_region_shared(region), lane);
    unlock_audit(audit);
    ft_audit_here.heaps = 0;
}

void ft_audit_check(struct ft_region *region, unsigned lane)
{
    struct ft_audit *audit = region->audit;

    ft_audit_check_nf(region, lane);
    if (!audit || !audit->ended)
        return;
    if (!atomic_load(&audit->suspended))
        audit->ended(audit->ended_arg, lane, audit->sums[lane]);
    memset(audit->sums[lane], 0, sizeof(audit->sums[lane]));
}

void ft_audit_watch(struct ft_region *region,
                    void (*ended)(void *arg, unsigned lane, const uint64_t sums[FT_AUDIT_SUMS]), void *arg)
{
    if (!region->audit)
        return;
    region->audit->ended = ended;
    region->audit->ended_arg = arg;
}

/* ---- what lanes share -------------------------------------------------------------------------- */

void ft_audit_sum_stay(struct ft_region *region, unsigned lane, const void *head)
{
    struct ft_audit *audit = region->audit;
    uint64_t line = ((uintptr_t)head - (uintptr_t)region->base) >> FT_LINE_SHIFT;

    if (audit && audit->ended)
        sum_notes(&audit->stay[lane], ft_region_shared(region), line, &audit->sums[lane][FT_NFS_MAX]);
}

void ft_audit_enter(struct ft_region *region, unsigned lane)
{
    if (!region->audit)
        return;
    ft_audit_here.inside = region;
    ft_audit_here.lane = lane;
}

static void end_stay(struct ft_region *region, unsigned lane)
{
    ft_audit_here.inside = NULL;
    forget_notes(&region->audit->stay[lane], ft_region_shared(region));
}

void ft_audit_abandon(struct ft_region *region, unsigned lane)
{
    if (!region->audit)
        return;
    end_stay(region, lane);
    ft_audit_here.nf = NULL; /* it was left in the middle */
}

void ft_audit_leave(struct ft_region *region, unsigned lane)
{
    struct ft_audit *audit = region->audit;

    if (!audit)
        return;
    lock_audit(audit);
    if (!atomic_load(&audit->suspended))
        check_arena(region, ft_region_shared(region), lane);
    unlock_audit(audit);
    end_stay(region, lane);
}

void ft_audit_peeked(const void *object)
{
    const struct ft_region *region = mapped_region();

    if (ft_audit_here.nf && region)
        abort_on_place(region, (uint64_t)((const uint8_t *)object - region->base), "peeked at",
                       "while it processes, expected a section");
}

void ft_audit_name_places(struct ft_region *region,
                          void (*name)(void *arg, uint64_t offset, char *text, size_t cap), void *arg)
{
    if (!region->audit)
        return;
    region->audit->name = name;
    region->audit->arg = arg;
}

/* ---- pages ----------------------------------------------------------------------------------- */

static struct sigaction previous; /* whom faults elsewhere are passed on to */
static unsigned users;            /* audits that need the handler */

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
        protect(region, offset, PAGE, PROT_READ | PROT_WRITE);
    }
    unlock_audit(audit);
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
    protect(region, 0, region->size, PROT_READ);
    atomic_fetch_or(&region->tracking, FT_TRACK_AUDIT);
    return FT_OK;
}

void ft_audit_close(struct ft_region *region)
{
    if (!region->audit)
        return;
    atomic_fetch_and(&region->tracking, ~(uint32_t)FT_TRACK_AUDIT);
    atomic_store(&mapped, NULL);
    protect(region, 0, region->size, PROT_READ | PROT_WRITE);
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
        protect(region, 0, region->size, PROT_READ | PROT_WRITE);
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
        ft_lines_clear(&audit->noted);
        for (unsigned l = 0; l < region->lanes; l++)
            ft_lines_clear(&audit->stay[l]);
        watch_faults();
        protect(region, 0, region->size, PROT_READ);
    }
    unlock_audit(audit);
}

unsigned ft_audit_suspended(const struct ft_region *region)
{
    return region->audit ? atomic_load(&region->audit->suspended) : 0;
}
