/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a thread that takes turns spends its time, by readings of the clock that it takes anyway. The words are
 * written by that thread, with plain relaxed stores, and read by anybody, each by itself. A turn's time is
 * all that passes in it: also waiting for another lane, or being stopped by the system.
 */
#ifndef FTCORE_BASE_TURNS_H
#define FTCORE_BASE_TURNS_H

#include <stdatomic.h>
#include <stdint.h>

#define FT_TURN_LONG_NS 1000000u

enum ft_spent {
    FT_SPENT_USEFUL, /* in turns that did something */
    FT_SPENT_EMPTY,  /* in turns that found nothing to do, or no room to do it */
    FT_SPENT_ASLEEP, /* between turns: asleep, or having given way to other threads */
    FT_SPENT_KINDS
};

struct ft_turns {
    _Atomic uint64_t ns[FT_SPENT_KINDS];
    _Atomic uint64_t longest; /* ns, of a turn */
    _Atomic uint64_t longs;   /* turns of more than FT_TURN_LONG_NS */
    uint64_t at;              /* the thread's own: its last reading, ns; 0: there was none */
};

/* By the thread, `now` in monotonic ns, never falling: what has passed since its last call was spent so, and
 * was one turn if it was not sleep. The first call counts nothing. */
static inline void ft_turns_spent(struct ft_turns *t, enum ft_spent how, uint64_t now)
{
    uint64_t ns = t->at ? now - t->at : 0;

    t->at = now;
    atomic_store_explicit(&t->ns[how], atomic_load_explicit(&t->ns[how], memory_order_relaxed) + ns,
                          memory_order_relaxed);
    if (how == FT_SPENT_ASLEEP)
        return;
    if (ns > atomic_load_explicit(&t->longest, memory_order_relaxed))
        atomic_store_explicit(&t->longest, ns, memory_order_relaxed);
    if (ns > FT_TURN_LONG_NS) /* who reads a count reads a longest turn that is not shorter */
        atomic_store_explicit(&t->longs, atomic_load_explicit(&t->longs, memory_order_relaxed) + 1,
                              memory_order_release);
}

#endif
