/* SPDX-License-Identifier: Apache-2.0 */
/* What lanes would call if their chain kept its state in Redis. Simulated nodes protect theirs. */
#include "ftcore/base/check.h"
#include "node/redis/redis.h"

#include <stddef.h>

uint64_t nd_redis_confirmed(const struct nd_redis *redis)
{
    FT_CHECK(!redis, "a simulated node with its state in Redis");
    return UINT64_MAX;
}

void nd_redis_settle(struct nd_redis *redis)
{
    FT_CHECK(!redis, "a simulated node with its state in Redis");
}

const char *nd_redis_lost(const struct nd_redis *redis)
{
    FT_CHECK(!redis, "a simulated node with its state in Redis");
    return NULL;
}
