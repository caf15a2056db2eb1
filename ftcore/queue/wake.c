/* SPDX-License-Identifier: Apache-2.0 */
/* How a lane and the replicator wake each other (lane.h): by an eventfd each, which keeps a call that comes
 * before the sleep. They sleep elsewhere (lane/sleep.c, rp_link_rest in replicator/link.c). */
#include "ftcore/queue/lane.h"

#include <unistd.h>

void ft_lane_wake(struct ft_lane_shared *lane)
{
    if (lane->alarm >= 0)
        (void)!write(lane->alarm, &(uint64_t){1}, sizeof(uint64_t));
}

void ft_lane_ring(struct ft_lane_shared *lane)
{
    if (lane->bell >= 0)
        (void)!write(lane->bell, &(uint64_t){1}, sizeof(uint64_t));
}
