/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All regions lie at one address, so only one can be there at a time. Mapping another one each time whose
 * turn it is costs 15 to 30 microseconds (measured: two mremap, or mmap and the faults after it); the used
 * part of the simulation's small regions is copied in two or three. Outside of what is used, the window is
 * always zero.
 */
#include "tests/sim/sim.h"

#include "ftcore/check.h"

#include <string.h>
#include <sys/mman.h>

#define WINDOW_BYTES (64ull << 20)
#define MEMORY_FD    1000000

static struct sim_window *shown, *opening;

int sim_memfd_create(const char *name, unsigned flags);
int sim_ftruncate(int fd, off_t size);
void *sim_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset);
int sim_munmap(void *at, size_t size);
int sim_fallocate(int fd, int mode, off_t offset, off_t size);
int sim_close_memory(int fd);

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
    mapped = true;
    sim_show(NULL);
}

static void park(const struct sim_window *w)
{
    for (unsigned i = 0; i < arenas(w->region); i++) {
        const struct ft_arena *a = &w->region->arenas[i];

        memcpy(w->parked + a->offset, window() + a->offset, a->used);
        memset(window() + a->offset, 0, a->used);
    }
}

void sim_show(struct sim_window *w)
{
    if (w == shown)
        return;
    if (shown && shown->region)
        park(shown);
    shown = w;
    for (unsigned i = 0; w && w->region && i < arenas(w->region); i++) {
        const struct ft_arena *a = &w->region->arenas[i];

        memcpy(window() + a->offset, w->parked + a->offset, a->used);
    }
}

void sim_window_of(struct sim_window *w)
{
    sim_show(NULL);
    opening = w;
    if (!w->parked)
        w->parked = mmap(NULL, WINDOW_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                         -1, 0);
    FT_CHECK(w->parked != MAP_FAILED, "no memory for a region");
}

/* ---- what region.c asks for -------------------------------------------------------------------- */

int sim_memfd_create(const char *name, unsigned flags)
{
    (void)name;
    (void)flags;
    return MEMORY_FD;
}

int sim_ftruncate(int fd, off_t size)
{
    FT_CHECK(fd == MEMORY_FD && (uint64_t)size <= WINDOW_BYTES, "a region of %ld bytes", (long)size);
    return 0;
}

void *sim_mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    (void)protection;
    (void)flags;
    FT_CHECK(at == window() && fd == MEMORY_FD && offset == 0 && size <= WINDOW_BYTES, "not the region");
    shown = opening;
    return at;
}

int sim_munmap(void *at, size_t size)
{
    if (at != window()) /* the shadow of a resync */
        return munmap(at, size);
    sim_show(NULL);
    return 0;
}

/* All pages are given back: a wipe. */
int sim_fallocate(int fd, int mode, off_t offset, off_t size)
{
    (void)fd;
    (void)mode;
    (void)offset;
    (void)size;
    FT_CHECK(shown && shown->region, "a hidden region is wiped");
    for (unsigned i = 0; i < arenas(shown->region); i++)
        memset(window() + shown->region->arenas[i].offset, 0, shown->region->arenas[i].used);
    return 0;
}

int sim_close_memory(int fd)
{
    (void)fd;
    return 0;
}
