/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One region in the place of another: for a chain that is changed while it runs (nflib/chain/change.h). All
 * regions have the same address, so the one that was there is read at another one meanwhile. By one thread,
 * while no lane runs and nobody copies, watches or audits the region.
 */
#ifndef FTCORE_REGION_EXCHANGE_H
#define FTCORE_REGION_EXCHANGE_H

#include "ftcore/region/region.h"

/* The region's bytes can be read at region->base, wherever that is now, and its address is free: FT_ENOMEM,
 * and nothing has changed. */
int ft_region_set_aside(struct ft_region *region, struct ft_fault *fault);
/* Back to its address, which is free again: the system cannot refuse what it gave before, or the node ends.
 */
void ft_region_put_back(struct ft_region *region);
/* What is one becomes the other: whoever has a pointer to either sees it there. */
void ft_region_exchange(struct ft_region *a, struct ft_region *b);

#endif
