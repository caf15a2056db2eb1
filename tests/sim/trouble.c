/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the system refuses. In some seeds a node that starts is denied one thing that it asks for: memory, a
 * memory file, a socket, its view file; or its file asks for what cannot be. Then it must say so and leave
 * nothing behind, and be started again. Small troubles come at any time: a call that a signal interrupts, no
 * memory for a copy.
 *
 * And how narrow the world is: in some seeds buffers hold kilobytes where the program's hold megabytes, and
 * sockets take a chunk of what they are offered.
 */
#define _GNU_SOURCE /* memfd_create */
#include "tests/sim/sim.h"
#include "tests/sim/limits.h"

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

/* ---- how much there is room for ---------------------------------------------------------------------- */

struct sim_limits sim_limits;
static unsigned usual_out; /* bytes */

bool sim_narrow(unsigned per_mille)
{
    return sim.plan.narrow && !sim.faults_over && sim_chance(&sim.width, per_mille);
}

/* What one entry of a log can take here: 32 packets of 1,514 bytes, or a largest chunk of a delta. */
#define ENTRY (192u << 10)

void sim_limits_begin(void)
{
    sim_limits = (struct sim_limits){.link_out = 8u << 20,
                                     .link_reserve = 256u << 10,
                                     .link_in = 2u * (FT_MESSAGE_MAX + FT_FRAME_HEAD),
                                     .read_budget = 1u << 20,
                                     .notices = 64,
                                     .drain_rounds = 64,
                                     .batch = 128u << 10,
                                     .run_lines = 2048,
                                     .send_least = FT_RECORD_MAX,
                                     .pending = 65536,
                                     .read_ns = 5000000};
    sim_limits.out_cap = 2 * sim_limits.link_out;
    if (!sim.plan.narrow)
        return;
    sim_limits.batch = 4u << 10;
    sim_limits.run_lines = sim_draw(&sim.width, 2) ? 64 : 2048;
    sim_limits.send_least = ENTRY;
    sim_limits.link_reserve = 4u << 10;
    sim_limits.link_out =
        sim_limits.link_reserve + ENTRY + (8u << 10) + (unsigned)sim_draw(&sim.width, 64u << 10);
    /* Two of the largest frames: what is damaged in its length must be refused as in the program. */
    sim_limits.link_in = sim.plan.liar ? sim_limits.link_in : 4 * ENTRY;
    sim_limits.read_budget = 1024u << sim_draw(&sim.width, 5);
    sim_limits.notices = 1 + (unsigned)sim_draw(&sim.width, 3);
    sim_limits.drain_rounds = 2 + (unsigned)sim_draw(&sim.width, 30);
    sim_limits.pending = 512;
    sim_limits.read_ns = sim_draw(&sim.width, 2) ? 0 : sim_limits.read_ns; /* 0: a message a turn */
    usual_out = sim_limits.link_out;
    sim_limits.out_cap = 2 * usual_out;
}

/*
 * A socket that has taken nothing for longer than anybody's rights last: the program's buffer would not be
 * full yet, of heads alone. Ours is, or the end of such a connection would never be seen.
 */
void sim_limits_now(unsigned node)
{
    uint64_t long_enough = 2 * SIM_MS * sim.config->timing.solo_after_ms;

    if (sim.plan.narrow)
        sim_limits.link_out =
            node != SIM_NOBODY && sim_net_stuck(node) > long_enough ? sim_limits.link_reserve : usual_out;
}
