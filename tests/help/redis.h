/* SPDX-License-Identifier: Apache-2.0 */
/* For tests with a real redis-server: one for all tests of a program. */
#ifndef TESTS_HELP_REDIS_H
#define TESTS_HELP_REDIS_H

#include "tools/redis/redis.h"

extern struct nd_redis_server help_redis;

/* Of a group of cmocka tests. */
int help_redis_start(void **state);
int help_redis_stop(void **state);

#endif
