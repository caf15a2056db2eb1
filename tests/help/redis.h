/* SPDX-License-Identifier: Apache-2.0 */
/* State in Redis, with a real redis-server of its own. */
#ifndef TESTS_HELP_REDIS_H
#define TESTS_HELP_REDIS_H

#include "tests/bench/redis.h"

/* Fails the test. */
static inline struct nd_redis *help_redis_open(struct nd_redis_options options)
{
    struct ft_fault fault = {""};
    char settings[ND_REDIS_SETTINGS];
    struct nd_redis *redis;

    if (nd_redis_open(&redis, &options, settings, &fault) < 0)
        fail_msg("%s", fault.text);
    return redis;
}

#endif
