/* SPDX-License-Identifier: Apache-2.0 */
/* Asks the kernel which pages of heaps were written; see pages.h. Owns both descriptors for it. Written by
 * whoever begins; used by lanes, each for its own heaps. */
#include "ftcore/region/pages.h"
#include "ftcore/base/plant.h"
#include "ftcore/region/heap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PAGE     FT_HEAP_PAGE
#define RUNS_MAX 128u /* runs of pages that one question returns */

/* Of the kernel's interface, newer than this system's headers. */
#define WP_UNPOPULATED (1u << 13)
#define WP_ASYNC       (1u << 15)
#define IS_WRITTEN     (1u << 1)
#define WP_MATCHING    1u
#define CHECK_WPASYNC  2u
struct run {
    uint64_t start, end, categories;
};
struct scan {
    uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages, category_inverted, category_mask,
        category_anyof_mask, return_mask;
};
#define SCAN _IOWR('f', 16, struct scan)

struct ft_pages {
    int faults, map; /* userfaultfd, /proc/self/pagemap */
};

/* A process that drops no core belongs to root in /proc. */
static int open_map(void)
{
    int fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC), dumpable;

    if (fd >= 0 || errno != EACCES)
        return fd;
    dumpable = prctl(PR_GET_DUMPABLE, 0, 0, 0, 0);
    prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
    fd = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    prctl(PR_SET_DUMPABLE, dumpable, 0, 0, 0);
    return fd;
}

static bool watch_heap(const struct ft_pages *pages, const struct ft_region *region,
                       const struct ft_heap *heap)
{
    struct uffdio_register range = {.range.start = (uintptr_t)heap, .mode = UFFDIO_REGISTER_MODE_WP};

    range.range.len = ft_heap_end(heap, region) - (uint64_t)((const uint8_t *)heap - region->base);
    return ioctl(pages->faults, UFFDIO_REGISTER, &range) == 0;
}

static bool watch_heaps(struct ft_pages *pages, const struct ft_region *region)
{
    struct uffdio_api api = {.api = UFFD_API,
                             .features = WP_ASYNC | WP_UNPOPULATED | UFFD_FEATURE_WP_HUGETLBFS_SHMEM};
    bool watched;

    pages->faults = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);
    pages->map = open_map();
    watched = pages->faults >= 0 && pages->map >= 0 && ioctl(pages->faults, UFFDIO_API, &api) == 0;
    for (unsigned i = 0; i < region->arena_count && watched; i++)
        if (region->arenas[i].heap)
            watched = watch_heap(pages, region, region->arenas[i].heap);
    return watched;
}

void ft_pages_close(struct ft_region *region)
{
    if (!region->pages)
        return;
    if (region->pages->faults >= 0)
        close(region->pages->faults); /* with it goes the watching */
    if (region->pages->map >= 0)
        close(region->pages->map);
    free(region->pages);
    region->pages = NULL;
}

/* Lines of [from, to), bytes of the region. */
static void mark(struct ft_region *region, uint64_t from, uint64_t to)
{
    ft_lines_add_alone(&region->dirty, from >> FT_LINE_SHIFT, (to - from) >> FT_LINE_SHIFT);
}

/* What was written of [from, to), whole pages, is protected again. False: the kernel does not report it. */
static bool ask(struct ft_region *region, uint64_t from, uint64_t to, bool marks)
{
    uint64_t base = (uintptr_t)region->base;
    struct run runs[RUNS_MAX];
    struct scan scan = {.size = sizeof(scan),
                        .flags = WP_MATCHING | CHECK_WPASYNC,
                        .start = base + from,
                        .end = base + to,
                        .vec = (uintptr_t)runs,
                        .vec_len = RUNS_MAX,
                        .category_mask = IS_WRITTEN,
                        .return_mask = IS_WRITTEN};

    while (scan.start < scan.end) {
        int n = ioctl(region->pages->map, SCAN, &scan);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        for (int i = 0; i < n && marks; i++)
            mark(region, runs[i].start - base, runs[i].end - base);
        scan.start = scan.walk_end;
    }
    return true;
}

static void mark_part(struct ft_region *region, struct ft_heap_part part, bool marks)
{
    uint64_t to = (part.to + PAGE - 1) / PAGE * PAGE;

    if (part.from == to || FT_PLANTED("pages-unseen"))
        return;
    if ((!region->pages || !ask(region, part.from, to, marks)) && marks)
        mark(region, part.from, part.to);
}

static void mark_heaps(struct ft_region *region, unsigned lane, bool marks)
{
    for (unsigned i = 0; i < region->arena_count; i++) {
        const struct ft_arena *a = &region->arenas[i];

        for (unsigned which = 0; which < 2 && a->heap && (lane == FT_LANES_MAX || a->lane == lane); which++)
            mark_part(region, ft_heap_part(a->heap, region, which), marks);
    }
}

static void open_pages(struct ft_region *region)
{
    struct ft_pages *pages = malloc(sizeof(*pages)); /* lint: config-time */

    if (!pages)
        return;
    region->pages = pages;
    if (!watch_heaps(pages, region))
        ft_pages_close(region);
}

bool ft_pages_begin(struct ft_region *region)
{
    if (!ft_region_has_heap(region))
        return true;
    if (!region->pages)
        open_pages(region);
    mark_heaps(region, FT_LANES_MAX, false);
    return region->pages != NULL;
}

void ft_pages_mark(struct ft_region *region, unsigned lane)
{
    mark_heaps(region, lane, true);
}
