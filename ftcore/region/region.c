/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The region: its memory and mapping, edits of it, and the exchange of one region for another. Owned by the
 * node, which opens and closes it; what lies in it is written by lanes through ft_edit. No other file of this
 * directory calls this one: it stands on audit.c, checkpoint.c and snapshot.c, and those on arena.c and
 * lines.c.
 */
#define _GNU_SOURCE /* memfd_create, fallocate, MAP_FIXED_NOREPLACE, SEEK_DATA */
#include "ftcore/region/region.h"
#include "ftcore/base/plant.h"
#include "ftcore/region/audit.h"
#include "ftcore/region/checkpoint.h"
#include "ftcore/region/exchange.h"
#include "ftcore/region/pages.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE 4096ull
/* The region's size is a multiple of this, so that it is the same with huge pages and without. */
#define HUGE_PAGE (2ull << 20)
#define MIB(n)    (uint64_t)((n) >> 20)

static uint64_t round_up(uint64_t size, uint64_t step)
{
    return (size + step - 1) / step * step;
}

static int too_large(struct ft_fault *fault)
{
    return ft_fail(fault, FT_ENOMEM, "region: the arenas need more than %lu MiB, the most a region can have",
                   MIB(FT_REGION_MAX));
}

/* Appends an arena at the region's present end. */
static int append_arena(struct ft_region *region, unsigned lane, unsigned nf, uint64_t wanted,
                        struct ft_fault *fault)
{
    struct ft_arena *arena;

    if (wanted > FT_REGION_MAX || round_up(wanted, FT_ARENA_ALIGN) > FT_REGION_MAX - region->size)
        return too_large(fault);
    arena = &region->arenas[nf == FT_NFS_MAX ? region->arena_count - 1 : lane * region->nfs + nf];
    *arena = (struct ft_arena){
        .offset = region->size,
        .size = round_up(wanted < FT_ARENA_MIN ? FT_ARENA_MIN : wanted, PAGE),
        .lane = (uint16_t)lane,
        .nf = (uint16_t)nf,
        .region = region,
    };
    region->size = round_up(arena->offset + arena->size, FT_ARENA_ALIGN);
    return FT_OK;
}

static int lay_out(struct ft_region *region, const struct ft_region_config *config, struct ft_fault *fault)
{
    int error = FT_OK;

    region->arenas = calloc(region->arena_count, sizeof(*region->arenas));
    if (!region->arenas)
        return ft_fail(fault, FT_ENOMEM, "region: no memory for %u arenas", region->arena_count);
    for (unsigned lane = 0; lane < region->lanes; lane++)
        for (unsigned nf = 0; nf < region->nfs && !error; nf++)
            error = append_arena(region, lane, nf, config->arena_size[nf], fault);
    if (!error)
        error = append_arena(region, FT_LANES_MAX, FT_NFS_MAX,
                             config->shared_size ? config->shared_size : FT_SHARED_DEFAULT, fault);
    region->size = round_up(region->size, HUGE_PAGE);
    if (!error && region->size > FT_REGION_MAX)
        error = too_large(fault);
    return error;
}

/* Where the system grants them by /sys/kernel/mm/transparent_hugepage/shmem_enabled: advise. */
static void ask_for_huge_pages(const struct ft_region *region)
{
    if (region->huge)
        madvise(region->base, region->size, MADV_HUGEPAGE);
}

static int map_region(struct ft_region *region, struct ft_fault *fault)
{
    void *want = (void *)(uintptr_t)FT_REGION_BASE;
    void *got =
        mmap(want, region->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE, region->fd, 0);

    if (got == MAP_FAILED && errno != EEXIST)
        return ft_fail(fault, FT_ENOMEM, "region: the system refuses %lu MiB: %s", MIB(region->size),
                       strerror(errno));
    if (got != want) { /* a kernel that does not know NOREPLACE puts it elsewhere */
        if (got != MAP_FAILED)
            munmap(got, region->size);
        return ft_fail(fault, FT_EBUSY, "region: %lu MiB at address 0x%lx are not free in this process",
                       MIB(region->size), (uint64_t)FT_REGION_BASE);
    }
    region->base = got;
    ask_for_huge_pages(region);
    return FT_OK;
}

static int make_memory(struct ft_region *region, const char *name, unsigned flags, struct ft_fault *fault)
{
    int error;

    region->fd = memfd_create(name ? name : "understudy", MFD_CLOEXEC | flags);
    if (region->fd < 0)
        return ft_fail(fault, FT_ENOMEM, "region: the system gives no memory file: %s", strerror(errno));
    if (ftruncate(region->fd, (off_t)region->size) != 0)
        error = ft_fail(fault, FT_ENOMEM, "region: the system refuses %lu MiB: %s", MIB(region->size),
                        strerror(errno));
    else
        error = map_region(region, fault);
    if (error) {
        close(region->fd);
        region->fd = -1;
    }
    return error;
}

static int make_sets(struct ft_region *region, struct ft_fault *fault)
{
    uint64_t lines = region->size >> FT_LINE_SHIFT;

    if (ft_lines_init(&region->dirty, lines) || ft_lines_init(&region->snapshot_pending, lines) ||
        ft_lines_init(&region->snapshot_copied, lines))
        return ft_fail(fault, FT_ENOMEM, "region: no memory for sets of %lu lines", lines);
    return FT_OK;
}

static int build_region(struct ft_region *region, const struct ft_region_config *config,
                        struct ft_fault *fault)
{
    int error = lay_out(region, config, fault);

    if (error)
        return error;
    /* Audit protects single 4 KiB pages, which huge ones cannot. */
    region->huge = config->huge && !config->audit;
    region->poison = config->poison;
    if (!region->huge || make_memory(region, config->name, MFD_HUGETLB, NULL))
        error = make_memory(region, config->name, 0, fault);
    if (!error)
        error = make_sets(region, fault);
    if (!error && config->audit)
        error = ft_audit_open(region, fault);
    return error;
}

int ft_region_open(struct ft_region **out, const struct ft_region_config *config, struct ft_fault *fault)
{
    struct ft_region *region;
    int error;

    *out = NULL;
    if (config->lanes < 1 || config->lanes > FT_LANES_MAX)
        return ft_fail(fault, FT_EINVAL, "region: %u lanes, expected 1 to %u", config->lanes, FT_LANES_MAX);
    if (config->nfs < 1 || config->nfs > FT_NFS_MAX || !config->arena_size)
        return ft_fail(fault, FT_EINVAL, "region: %u arenas a lane, expected 1 to %u", config->nfs,
                       FT_NFS_MAX);
    region = calloc(1, sizeof(*region));
    if (!region)
        return ft_fail(fault, FT_ENOMEM, "region: no memory");
    region->fd = -1;
    region->lanes = config->lanes;
    region->nfs = config->nfs;
    region->arena_count = config->lanes * config->nfs + 1u;
    for (unsigned nf = 0; nf < region->nfs; nf++)
        region->nf_name[nf] = config->nf_name ? config->nf_name[nf] : "?";
    error = build_region(region, config, fault);
    if (error)
        ft_region_close(region);
    else
        *out = region;
    return error;
}

void ft_region_close(struct ft_region *region)
{
    if (!region)
        return;
    ft_audit_close(region);
    ft_snapshot_give_back(region);
    if (region->snapshot_copy)
        munmap(region->snapshot_copy, region->size);
    if (region->snapshot_spare)
        munmap(region->snapshot_spare, region->size);
    ft_lines_free(&region->dirty);
    ft_lines_free(&region->snapshot_pending);
    ft_lines_free(&region->snapshot_copied);
    ft_checkpoint_free(region);
    ft_pages_close(region);
    if (region->base)
        munmap(region->base, region->size);
    if (region->fd >= 0)
        close(region->fd);
    free(region->arenas);
    free(region);
}

void ft_region_watch(struct ft_region *region, void (*watch)(void *arg, const void *p, size_t n), void *arg)
{
    region->watch = watch;
    region->watch_arg = arg;
    if (watch)
        atomic_fetch_or(&region->tracking, FT_TRACK_WATCH);
    else
        atomic_fetch_and(&region->tracking, ~(uint32_t)FT_TRACK_WATCH);
}

void ft_region_wipe(struct ft_region *region)
{
    ft_snapshot_end(region);
    ft_audit_suspend(region);
    FT_CHECK(fallocate(region->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, (off_t)region->size) == 0,
             "the region's memory cannot be given back: %s", strerror(errno));
    ft_audit_resume(region);
    ft_checkpoint_end(region);
    ft_lines_clear(&region->dirty);
    for (unsigned i = 0; i < region->arena_count; i++) {
        region->arenas[i].used = 0;
        region->arenas[i].heap = NULL;
    }
}

void ft_region_zero(struct ft_region *region, uint64_t line, uint64_t count)
{
    uint64_t at = line << FT_LINE_SHIFT, end = at + (count << FT_LINE_SHIFT);

    if (count < PAGE / FT_LINE) { /* the lines beside them make their pages needed */
        memset(region->base + at, 0, end - at);
        return;
    }
    while (at < end) {
        off_t data = lseek(region->fd, (off_t)at, SEEK_DATA);
        uint64_t next;

        if (data < 0 && errno == ENXIO)
            return;
        at = data < 0 ? at : (uint64_t)data; /* a system that cannot tell: all of it is data */
        next = at / PAGE * PAGE + PAGE < end ? at / PAGE * PAGE + PAGE : end;
        if (at < end)
            memset(region->base + at, 0, next - at);
        at = next;
    }
}

/* ---- regions that give each other their place: exchange.h --------------------------------------- */

int ft_region_set_aside(struct ft_region *region, struct ft_fault *fault)
{
    void *there = mmap(NULL, region->size, PROT_READ | PROT_WRITE, MAP_SHARED, region->fd, 0);

    FT_CHECK(!region->audit && !region->snapshot_copy, "a region that is audited or copied is set aside");
    if (there == MAP_FAILED)
        return ft_fail(fault, FT_ENOMEM, "region: the system does not map %lu MiB a second time: %s",
                       region->size >> 20, strerror(errno));
    ft_pages_close(region);
    munmap(region->base, region->size);
    region->base = there;
    return FT_OK;
}

void ft_region_put_back(struct ft_region *region)
{
    void *want = (void *)(uintptr_t)FT_REGION_BASE;
    void *got =
        mmap(want, region->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE, region->fd, 0);

    FT_CHECK(got == want, "the region cannot be mapped at its address again: %s", strerror(errno));
    munmap(region->base, region->size);
    region->base = got;
    ask_for_huge_pages(region);
}

static void own_arenas(struct ft_region *region)
{
    for (unsigned i = 0; i < region->arena_count; i++)
        region->arenas[i].region = region;
}

void ft_region_exchange(struct ft_region *a, struct ft_region *b)
{
    struct ft_region was;

    memcpy(&was, a, sizeof(was));
    memcpy(a, b, sizeof(was));
    memcpy(b, &was, sizeof(was));
    own_arenas(a);
    own_arenas(b);
}

/* ---- edits --------------------------------------------------------------------------------------- */

/*
 * What an edit does before its lines change: it saves them for a snapshot or a checkpoint that has yet to
 * copy them, marks them for the next delta, and notes them for the audit. Called by lanes, each time ft_edit
 * finds that there is something to do.
 */

/* Lines of a lane's own arenas are marked and taken by that lane alone. */
static void mark_dirty(struct ft_region *region, uint64_t first, uint64_t count)
{
    if (ft_likely(first < ft_region_shared(region)->offset >> FT_LINE_SHIFT))
        ft_lines_add_alone(&region->dirty, first, count);
    else
        ft_lines_add(&region->dirty, first, count);
}

static __attribute__((noinline)) void track_edit(struct ft_region *region, const void *p, size_t n)
{
    uint64_t offset = (uintptr_t)p - (uintptr_t)region->base, first, count;
    uint32_t tracking = atomic_load_explicit(&region->tracking, memory_order_acquire);

    if (n == 0)
        return;
    FT_CHECK(region->base && offset < region->size && n <= region->size - offset,
             "edit of %zu bytes at %p, outside the region", n, p);
    if (ft_unlikely(tracking & FT_TRACK_WATCH))
        region->watch(region->watch_arg, p, n);
    first = offset >> FT_LINE_SHIFT;
    count = ((offset + n - 1) >> FT_LINE_SHIFT) - first + 1;
    if (tracking & FT_TRACK_SNAPSHOT)
        for (uint64_t line = first; line < first + count; line++)
            ft_snapshot_save(region, line);
    if (ft_unlikely(atomic_load_explicit(&region->checkpoint_open, memory_order_relaxed)))
        ft_checkpoint_save(region, first, count);
    if (tracking & FT_TRACK_DIRTY && !(FT_PLANTED("unmarked") && first % 8 == 3))
        mark_dirty(region, first, count);
    if (tracking & FT_TRACK_AUDIT)
        ft_audit_note(region, first, count);
}

void ft_edit_track(struct ft_region *region, const void *p, size_t n)
{
    uint32_t tracking = atomic_load_explicit(&region->tracking, memory_order_acquire);

    if (ft_unlikely((uintptr_t)p % FT_LINE + n > FT_LINE || !ft_edit_settled(region, tracking, p)))
        track_edit(region, p, n);
}

void ft_edit_track_in_line(struct ft_region *region, const void *p, size_t n)
{
    FT_CHECK((uintptr_t)p % FT_LINE + n <= FT_LINE, "edit of %zu bytes at %p, said to lie in one line", n, p);
    ft_edit_track(region, p, n);
}
