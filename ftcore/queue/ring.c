/* SPDX-License-Identifier: Apache-2.0 */
/* A ring of records of varying size (ring.h). Owns the buffer. The writer reads the reader's cache line only
 * when the ring is full by its copy of `tail`. */
#define _GNU_SOURCE /* memfd_create */
#include "ftcore/queue/ring.h"
#include "ftcore/base/check.h"
#include "ftcore/base/error.h"
#include "ftcore/record/record.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/mman.h>
#include <unistd.h>

#define CAPACITY_MIN 4096u
#define CAPACITY_MAX (1ull << 40)

/* Maps `capacity` bytes of fd at `data` and once more right behind. */
static bool map_twice(uint8_t *data, uint64_t capacity, int fd)
{
    for (unsigned i = 0; i < 2; i++)
        if (mmap(data + i * capacity, capacity, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0) ==
            MAP_FAILED)
            return false;
    return true;
}

int ft_ring_init(struct ft_ring *ring, uint64_t capacity)
{
    uint64_t rounded = CAPACITY_MIN;
    uint8_t *data;
    int fd;

    *ring = (struct ft_ring){0};
    if (capacity > CAPACITY_MAX)
        return FT_ENOMEM;
    while (rounded < capacity)
        rounded <<= 1;
    fd = memfd_create("understudy-ring", MFD_CLOEXEC);
    if (fd < 0)
        return FT_ENOMEM;
    /* Take the address range first, so that the second mapping can replace nothing of others. */
    data = mmap(NULL, 2 * rounded, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (data != MAP_FAILED && (ftruncate(fd, (off_t)rounded) != 0 || !map_twice(data, rounded, fd))) {
        munmap(data, 2 * rounded);
        data = MAP_FAILED;
    }
    close(fd); /* the mappings keep the memory */
    if (data == MAP_FAILED)
        return FT_ENOMEM;
    ring->data = data;
    ring->capacity = rounded;
    return FT_OK;
}

void ft_ring_free(struct ft_ring *ring)
{
    if (ring->data)
        munmap(ring->data, 2 * ring->capacity);
    *ring = (struct ft_ring){0};
}

void ft_ring_populate(struct ft_ring *ring)
{
    madvise(ring->data, 2 * ring->capacity, MADV_POPULATE_WRITE); /* refused by Linux before 5.14 */
}

void *ft_ring_reserve(struct ft_ring *ring, uint64_t size)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);

    if (size > ring->capacity)
        return NULL;
    if (FT_ALIGN8(size) > ring->capacity - (head - ring->tail_seen) && FT_ALIGN8(size) > ft_ring_room(ring))
        return NULL;
    return ring->data + (head & (ring->capacity - 1));
}

void ft_ring_publish(struct ft_ring *ring, uint64_t size)
{
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);

    FT_CHECK(size <= ring->capacity && FT_ALIGN8(size) <= ring->capacity - (head - ring->tail_seen),
             "%lu bytes published that were not reserved", size);
    atomic_store_explicit(&ring->head, head + FT_ALIGN8(size), memory_order_release);
}

const void *ft_ring_peek(struct ft_ring *ring, uint64_t *size)
{
    ring->head_seen = atomic_load_explicit(&ring->head, memory_order_acquire);
    *size = ring->head_seen - ring->read;
    return *size ? ring->data + (ring->read & (ring->capacity - 1)) : NULL;
}

void ft_ring_advance(struct ft_ring *ring, uint64_t size)
{
    FT_CHECK(size <= ring->capacity && FT_ALIGN8(size) <= ring->head_seen - ring->read,
             "advance by %lu bytes, %lu seen", size, (ring->head_seen - ring->read));
    ring->read += FT_ALIGN8(size);
}

void ft_ring_reset(struct ft_ring *ring)
{
    atomic_store(&ring->head, 0);
    atomic_store(&ring->tail, 0);
    ring->tail_seen = ring->head_seen = ring->read = 0;
}

uint64_t ft_ring_used(struct ft_ring *ring)
{
    /* Tail first: both only grow, so this never comes out negative, at most too large. */
    uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
    uint64_t used = atomic_load_explicit(&ring->head, memory_order_acquire) - tail;

    return used < ring->capacity ? used : ring->capacity;
}
