/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the system refuses. In some seeds a node that starts is denied one thing that it asks for: memory, a
 * memory file, a socket, its view file; or its file asks for what cannot be. Then it must say so and leave
 * nothing behind, and be started again. Small troubles come at any time: a call that a signal interrupts, no
 * memory for a copy.
 */
#define _GNU_SOURCE /* memfd_create */
#include "tests/sim/sim.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define REQUESTS 70u /* that a node of several lanes makes when it starts, about */

void *sim_malloc(size_t size);
void *sim_calloc(size_t n, size_t size);
void *sim_aligned_alloc(size_t alignment, size_t size);
void *sim_map(void *at, size_t size, int protection, int flags, int fd, off_t offset);
int sim_memory_file(const char *name, unsigned flags);
int sim_truncate(int fd, off_t size);

bool sim_troubled(unsigned per_mille)
{
    return sim.plan.troubled && !sim.faults_over && sim_chance(&sim.trouble, per_mille);
}

void sim_trouble_begin(void)
{
    sim.refuse = sim_troubled(600) ? 1 + (unsigned)sim_draw(&sim.trouble, REQUESTS) : 0;
}

void sim_trouble_end(void)
{
    sim.refuse = 0;
}

bool sim_refuses(void)
{
    if (!sim.refuse || --sim.refuse > 0)
        return false;
    errno = ENOMEM;
    return true;
}

/* ---- what the product calls in place of the system (seam.h) ------------------------------------------ */

void *sim_malloc(size_t size)
{
    return sim_refuses() ? NULL : malloc(size);
}

void *sim_calloc(size_t n, size_t size)
{
    return sim_refuses() ? NULL : calloc(n, size);
}

void *sim_aligned_alloc(size_t alignment, size_t size)
{
    return sim_refuses() ? NULL : aligned_alloc(alignment, size);
}

/* By a running node: room for the copies that a resync wants. */
void *sim_map(void *at, size_t size, int protection, int flags, int fd, off_t offset)
{
    if (sim_refuses() || (sim_current() && sim_troubled(200))) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return mmap(at, size, protection, flags, fd, offset);
}

int sim_memory_file(const char *name, unsigned flags)
{
    return sim_refuses() ? -1 : memfd_create(name, flags);
}

int sim_truncate(int fd, off_t size)
{
    return sim_refuses() ? -1 : ftruncate(fd, size);
}
