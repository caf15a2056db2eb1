/* SPDX-License-Identifier: Apache-2.0 */
/* Regions that give each other their place; see exchange.h. Owns nothing. */
#define _GNU_SOURCE /* MAP_FIXED_NOREPLACE */
#include "ftcore/region/exchange.h"
#include "ftcore/region/pages.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

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
}

static void own_arenas(struct ft_region *region)
{
    for (unsigned i = 0; i < ft_region_arenas(region); i++)
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
