/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fragments on ports of the af_packet driver. The driver joins its sockets to a fanout group that asks the
 * kernel to put IPv4 fragments together, and has no argument that would leave it out. A datagram that is put
 * together is larger than a frame: a chain could not send it on. So this setsockopt stands before libc's, for
 * the driver too, and takes that one flag out; everything else goes to the kernel as it is.
 */
#include <linux/if_packet.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#define TYPE_SHIFT 16 /* of a fanout's mode and flags, above its group's number */

int setsockopt(int fd, int level, int option, const void *value, socklen_t size)
{
    unsigned fanout;

    if (level == SOL_PACKET && option == PACKET_FANOUT && size == sizeof(fanout)) {
        memcpy(&fanout, value, sizeof(fanout));
        fanout &= ~((unsigned)PACKET_FANOUT_FLAG_DEFRAG << TYPE_SHIFT);
        value = &fanout;
    }
    return (int)syscall(SYS_setsockopt, fd, level, option, value, size);
}
