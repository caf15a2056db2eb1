/* SPDX-License-Identifier: Apache-2.0 */
/* See redis.h. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/help/redis.h"

struct nd_redis_server help_redis;

int help_redis_start(void **state)
{
    struct ft_fault fault = {""};

    (void)state;
    if (nd_redis_server_start(&help_redis, &fault) < 0)
        fail_msg("%s", fault.text);
    return 0;
}

int help_redis_stop(void **state)
{
    (void)state;
    nd_redis_server_stop(&help_redis);
    return 0;
}
