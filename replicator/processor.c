/* SPDX-License-Identifier: Apache-2.0 */
/* What the system says about the processor under the calling thread: Linux's schedstat. Used by the
 * replicator's thread. */
#include "replicator/processor.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

int rp_processor_open(void)
{
    return open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
}

void rp_processor_close(int fd)
{
    if (fd >= 0)
        close(fd);
}

/* "time on the processor, time waiting for it, turns there", ns. */
bool rp_processor_waited(int fd, uint64_t *ns)
{
    uint64_t ran;
    char text[96];
    ssize_t n = fd >= 0 ? pread(fd, text, sizeof(text) - 1, 0) : -1;

    if (n <= 0)
        return false;
    text[n] = '\0';
    return sscanf(text, "%" SCNu64 " %" SCNu64, &ran, ns) == 2;
}
