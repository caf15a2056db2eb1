/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A ring of records of varying size between two threads: one writer, one reader. Every record lies in one
 * piece (the buffer is mapped twice in a row), starts at a multiple of 8, and begins with its size.
 * Full: reserve fails, and the writer stops taking input; nothing is ever overwritten.
 */
#ifndef FTCORE_QUEUE_RING_H
#define FTCORE_QUEUE_RING_H

#include <stdatomic.h>
#include <stdint.h>

struct ft_ring {
    uint8_t *data;
    uint64_t capacity;                  /* bytes, a power of two, at least 4096 */
    _Alignas(64) _Atomic uint64_t head; /* bytes ever published; written by the writer */
    uint64_t tail_seen;                 /* writer's copy of `tail` */
    _Alignas(64) _Atomic uint64_t tail; /* bytes ever consumed; written by the reader */
    uint64_t head_seen;                 /* reader's copy of `head` */
    uint64_t read;                      /* reader's position: tail <= read <= head */
};

/* capacity is rounded up to a power of two of at least a page. FT_ENOMEM. */
int ft_ring_init(struct ft_ring *ring, uint64_t capacity);
void ft_ring_free(struct ft_ring *ring);
/* Gives it its memory now, not page by page as it is first written. What the kernel refuses comes later. */
void ft_ring_populate(struct ft_ring *ring);

/* Writer. Bytes that a reserve would find free. */
static inline uint64_t ft_ring_room(struct ft_ring *ring)
{
    ring->tail_seen = atomic_load_explicit(&ring->tail, memory_order_acquire);
    return ring->capacity - (atomic_load_explicit(&ring->head, memory_order_relaxed) - ring->tail_seen);
}
/* `size` contiguous writable bytes, or NULL when full. Nothing is visible before publish. */
void *ft_ring_reserve(struct ft_ring *ring, uint64_t size);
/* Publishes what was last reserved, shortened to `size` (rounded up to 8). */
void ft_ring_publish(struct ft_ring *ring, uint64_t size);

/* Reader. The next unread bytes and in `*size` how many are there in one piece; NULL when none. Does not
 * move. */
const void *ft_ring_peek(struct ft_ring *ring, uint64_t *size);
/* Moves the reading position without freeing: bytes stay readable until consumed. */
void ft_ring_advance(struct ft_ring *ring, uint64_t size);
/* Frees everything up to the reading position. */
static inline void ft_ring_consume(struct ft_ring *ring)
{
    /* Release: what was read is read before the writer may write over it. */
    atomic_store_explicit(&ring->tail, ring->read, memory_order_release);
}
/* Both sides stopped: forget everything. */
void ft_ring_reset(struct ft_ring *ring);
uint64_t ft_ring_used(struct ft_ring *ring); /* by either side */

#endif
