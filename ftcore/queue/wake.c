/* SPDX-License-Identifier: Apache-2.0 */
/* How a lane sleeps, and how a lane and the replicator wake each other (lane.h). */
#define _GNU_SOURCE /* syscall */
#include "ftcore/queue/lane.h"

#include <linux/futex.h>
#include <linux/time_types.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A futex has 32 bits: those with the order's kind, and the serial number's low ones, that lie first. */
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the low half of an order lies first");

void ft_lane_sleep(struct ft_lane_shared *lane, uint64_t order, uint64_t ns)
{
    struct __kernel_timespec time = {(int64_t)(ns / 1000000000), (int64_t)(ns % 1000000000)};

    syscall(SYS_futex, &lane->orders.order, FUTEX_WAIT_PRIVATE, (uint32_t)order, &time, NULL, 0);
}

void ft_lane_wake(struct ft_lane_shared *lane)
{
    syscall(SYS_futex, &lane->orders.order, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void ft_lane_ring(struct ft_lane_shared *lane)
{
    if (lane->bell >= 0)
        (void)!write(lane->bell, &(uint64_t){1}, sizeof(uint64_t));
}
