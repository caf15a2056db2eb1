/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All regions lie at one address, so only one can be there at a time. Mapping another one each time whose
 * turn it is costs 15 to 30 microseconds (measured: two mremap; mmap and the faults after it), copying all
 * that is used about as much. But the nodes' regions are nearly the same: only lines that one of them has
 * edited and another one not yet have to be exchanged, and every edit says which lines it is about to change.
 *
 * That nothing is written past an edit is checked on the way: in some seeds the rest of the window is
 * compared at every exchange. Outside of what is used, the window is always zero.
 */
#define _GNU_SOURCE /* MFD_HUGETLB */
#include "tests/sim/sim.h"

#include "ftcore/region/audit.h"
#include "ftcore/base/check.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define WINDOW_BYTES (64ull << 20)
#define MEMORY_FD    1000000
#define SIM_PAGE     4096

#define LINES (WINDOW_BYTES / FT_LINE)

static struct sim_window *shown, *opening;

/* Lines in which two of the nodes' regions may differ; all of them when a region was made or wiped. */
static uint32_t differing[LINES];
static uint64_t in_list[LINES / 64];
static uint32_t count;
static bool all = true;

int sim_memfd_create(const char *name, unsigned flags);
int sim_ftruncate(int fd, off_t size);
void *sim_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
int sim_munmap(void *at, size_t size);
int sim_fallocate(int fd, int mode, off_t offset, off_t size);
int sim_close_memory(int fd);
off_t sim_lseek(int fd, off_t offset, int whence);

static uint8_t *window(void)
{
    return (uint8_t *)(uintptr_t)FT_REGION_BASE;
}

static unsigned arenas(const struct ft_region *region)
{
    return (unsigned)region->lanes * region->nfs + 1;
}

void sim_window_begin(void)
{
    static bool mapped;

    if (!mapped)
        FT_CHECK(mmap(window(), WINDOW_BYTES, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE, -1, 0) == window(),
                 "the region's address is taken");
    sim_show(NULL);
    /* A node that died while it was being made left what nobody parks. No seed may depend on the one before.
     */
    FT_CHECK(!mapped || madvise(window(), WINDOW_BYTES, MADV_DONTNEED) == 0, "the window cannot be cleared");
    mapped = true;
}

static void park(const struct sim_window *w)
{
    for (unsigned i = 0; i < arenas(w->region); i++) {
        const struct ft_arena *a = &w->region->arenas[i];

        memcpy(w->parked + a->offset, window() + a->offset, a->used);
        memset(window() + a->offset, 0, a->used);
    }
}

static void load(const struct sim_window *w)
{
    for (unsigned i = 0; i < arenas(w->region); i++) {
        const struct ft_arena *a = &w->region->arenas[i];

        memcpy(window() + a->offset, w->parked + a->offset, a->used);
    }
}

static void differ(uint64_t line)
{
    if (in_list[line / 64] >> line % 64 & 1)
        return;
    in_list[line / 64] |= 1ull << line % 64;
    differing[count++] = (uint32_t)line;
}

static void forget_list(void)
{
    for (uint32_t i = 0; i < count; i++)
        in_list[differing[i] / 64] = 0;
    count = 0;
}

void sim_window_edited(uint64_t offset, uint64_t size)
{
    if (!all)
        for (uint64_t line = offset / FT_LINE; line <= (offset + size - 1) / FT_LINE; line++)
            differ(line);
}

/* It is edited as its section begins and written until that ends; an exchange forgets lines that are equal.
 */
void sim_window_object(const struct ft_region *region, const struct ft_shared *object)
{
    sim_window_edited((uint64_t)((const uint8_t *)object - region->base), sizeof(*object));
}

void sim_window_all(void)
{
    all = true;
}

/* What differs from now on, all being parked. */
static void compare(const struct sim_window *a)
{
    forget_list();
    all = false;
    for (unsigned n = 0; n < sim.nodes; n++) {
        const struct sim_window *b = &sim.node[n].window;

        for (unsigned i = 0; b != a && b->region && i < arenas(a->region); i++) {
            uint64_t used = a->region->arenas[i].used, from = a->region->arenas[i].offset;

            if (b->region->arenas[i].used != used)
                all = true;
            for (uint64_t at = from; at < from + used; at += FT_LINE)
                if (memcmp(a->parked + at, b->parked + at, FT_LINE) != 0)
                    differ(at / FT_LINE);
        }
    }
}

static bool is_same_everywhere(const struct sim_window *a, uint64_t at)
{
    for (unsigned n = 0; n < sim.nodes; n++) {
        const struct sim_window *b = &sim.node[n].window;

        if (b != a && b->region && memcmp(a->parked + at, b->parked + at, FT_LINE) != 0)
            return false;
    }
    return true;
}

/* Nothing but the lines in the list has changed since the region was shown. */
static void audit(const struct sim_window *w)
{
    for (unsigned i = 0; i < arenas(w->region); i++)
        for (uint64_t at = w->region->arenas[i].offset, n = w->region->arenas[i].used; n >= FT_LINE;
             at += FT_LINE, n -= FT_LINE)
            FT_CHECK(memcmp(window() + at, w->parked + at, FT_LINE) == 0 ||
                         (in_list[at / FT_LINE / 64] >> at / FT_LINE % 64 & 1),
                     "a write went past every edit, at offset 0x%lx of the region", at);
}

static void exchange(struct sim_window *to)
{
    uint32_t left = 0;

    if (sim.plan.audit)
        audit(shown);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t line = differing[i], at = line * FT_LINE;

        memcpy(shown->parked + at, window() + at, FT_LINE);
        if (is_same_everywhere(shown, at)) {
            in_list[line / 64] &= ~(1ull << line % 64);
            continue;
        }
        memcpy(window() + at, to->parked + at, FT_LINE);
        differing[left++] = differing[i];
    }
    count = left;
}

void sim_show(struct sim_window *w)
{
    bool pair = w && shown && w->region && shown->region && w->of_node && shown->of_node;

    if (w == shown)
        return;
    if (pair && !all) {
        exchange(w);
        shown = w;
        return;
    }
    if (shown && shown->region) {
        ft_audit_suspend(shown->region); /* of a node that is alone; else it does nothing */
        park(shown);
    }
    if (pair)
        compare(shown);
    else
        all = true;
    shown = w;
    if (w && w->region) {
        load(w);
        ft_audit_resume(w->region);
    }
}

void sim_window_of(struct sim_window *w)
{
    sim_show(NULL);
    opening = w;
    if (!w->parked)
        w->parked = mmap(NULL, WINDOW_BYTES, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    FT_CHECK(w->parked != MAP_FAILED, "no memory for a region");
}

/* ---- what region.c asks for -------------------------------------------------------------------- */

int sim_memfd_create(const char *name, unsigned flags)
{
    (void)name;
    if (sim_refuses() || (flags & MFD_HUGETLB && sim_troubled(500))) {
        errno = ENOMEM;
        return -1;
    }
    return MEMORY_FD;
}

int sim_ftruncate(int fd, off_t size)
{
    FT_CHECK(fd == MEMORY_FD, "not the region");
    if (sim_refuses() || (uint64_t)size > WINDOW_BYTES) {
        errno = ENOMEM;
        return -1;
    }
    return 0;
}

void *sim_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    if (sim_refuses()) { /* no memory, or the address is taken */
        if (sim_troubled(500))
            return mmap(NULL, size, protection, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        errno = sim_troubled(500) ? EEXIST : ENOMEM;
        return MAP_FAILED;
    }
    (void)flags;
    FT_CHECK(at == window() && fd == MEMORY_FD && offset == 0 && size <= WINDOW_BYTES, "not the region");
    shown = opening;
    return at;
}

int sim_munmap(void *at, size_t size)
{
    if (at != window()) /* the copy of a resync */
        return munmap(at, size);
    sim_show(NULL);
    return 0;
}

/* SEEK_DATA or SEEK_HOLE, as of a file without holes, or of one whose pages of zeros are such. */
off_t sim_lseek(int fd, off_t offset, int whence)
{
    static const uint8_t zeros[SIM_PAGE];
    off_t size, page = offset / SIM_PAGE * SIM_PAGE;

    if (sim.plan.sparse)
        sim_show(
            &sim_current()->window); /* the replicator of a primary looks at no other part of the region */
    FT_CHECK(fd == MEMORY_FD && sim_current()->window.region, "not the region");
    size = (off_t)sim_current()->window.region->size;
    while (page < size &&
           (sim.plan.sparse && memcmp(window() + page, zeros, SIM_PAGE) == 0) == (whence == SEEK_DATA))
        page += SIM_PAGE;
    if (page < size || whence == SEEK_HOLE)
        return page > offset ? page : offset;
    errno = ENXIO;
    return -1;
}

/* All pages are given back: a wipe. */
int sim_fallocate(int fd, int mode, off_t offset, off_t size)
{
    (void)fd;
    (void)mode;
    (void)offset;
    (void)size;
    FT_CHECK(shown && shown->region, "a hidden region is wiped");
    all = true;
    for (unsigned i = 0; i < arenas(shown->region); i++)
        memset(window() + shown->region->arenas[i].offset, 0, shown->region->arenas[i].used);
    return 0;
}

int sim_close_memory(int fd)
{
    (void)fd;
    return 0;
}
