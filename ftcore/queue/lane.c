/* SPDX-License-Identifier: Apache-2.0 */
/* Making and freeing what passes between a lane and the replicator. */
#include "ftcore/queue/lane.h"

#include <string.h>

int ft_lane_init(struct ft_lane_shared *lane, uint64_t log_bytes, uint64_t replay_bytes)
{
    memset(lane, 0, sizeof(*lane));
    if (ft_ring_init(&lane->log, log_bytes) == 0 && ft_ring_init(&lane->replay, replay_bytes) == 0)
        return 0;
    ft_lane_free(lane);
    return FT_ENOMEM;
}

void ft_lane_free(struct ft_lane_shared *lane)
{
    ft_ring_free(&lane->log);
    ft_ring_free(&lane->replay);
    ft_ring_free(&lane->checkpoint);
}
