/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a lane's chain is doing: a few words, written by the lane before each step, for the report of what a
 * process died of. They may lie in memory that outlives the process (understudy/crash). Plain stores, a few
 * for a burst and two for each NF that runs on it. Read by a signal handler of the process and by others
 * after its end.
 */
#ifndef NFLIB_CHAIN_MARK_H
#define NFLIB_CHAIN_MARK_H

#include "ftcore/base/cpu.h"
#include "nflib/net/packet.h"

#include <stdatomic.h>
#include <stdint.h>

enum nf_doing {
    NF_DOING_NOTHING, /* of the chain: the lane is at work of its own, or waits */
    NF_DOING_TIMERS,
    NF_DOING_L3,
    NF_DOING_SESSIONS, /* it finds or confirms sessions, or the session_end of the NF runs */
    NF_DOING_PACKETS,
    NF_DOING_SHOW,
    NF_DOING_SET,
    NF_DOING_CLEAR,
    NF_DOING_MAKE,  /* an instance of the NF, of a chain that is changed or begins anew */
    NF_DOING_CHECK, /* the state that such a chain was given */
    NF_DOINGS
};

/* Whether a burst's packets may be the cause of what happens there. */
static inline bool nf_doing_has_packets(unsigned doing)
{
    return doing == NF_DOING_PACKETS || doing == NF_DOING_L3 || doing == NF_DOING_SESSIONS;
}

/* "timers", "packets" …; of what is none, "nothing". */
const char *nf_doing_name(unsigned doing);

struct nf_mark {
    _Atomic uint32_t doing;            /* enum nf_doing */
    _Atomic uint32_t nf;               /* index in the chain, also while that NF's session_end runs; 0: L3 and
                                          the lane's own */
    _Atomic uint64_t stack;            /* the stack pointer there: what is called has its frames below it */
    _Atomic uint64_t burst, time, seq; /* of the burst under way; chain time, ns */
    const struct nf_packet *_Atomic packets; /* the burst's, while it runs */
    _Atomic uint32_t n;                      /* how many; 0: none, or not begun */
    struct nf_packet *const *_Atomic list;   /* what NFs get of the side that runs; FT_BURST_MAX places */
    _Atomic uint32_t ends; /* from 1, the one whose session ends since none of it has passed; 0: none ends */
};

#define NF_MARK(mark, word, value) atomic_store_explicit(&(mark)->word, (value), memory_order_relaxed)

static inline __attribute__((always_inline)) void nf_mark(struct nf_mark *mark, enum nf_doing doing,
                                                          uint32_t nf)
{
    NF_MARK(mark, doing, (uint32_t)doing);
    NF_MARK(mark, nf, nf);
    NF_MARK(mark, stack, ft_stack_pointer());
}

/* Of a thread that runs chains: where it marks that it makes, or checks, a chain. NULL: nobody looks. */
extern _Thread_local struct nf_mark *nf_thread_mark;

static inline void nf_mark_thread(enum nf_doing doing, uint32_t nf)
{
    if (nf_thread_mark)
        nf_mark(nf_thread_mark, doing, nf);
}

/* A burst begins. */
static inline void nf_mark_burst(struct nf_mark *mark, uint64_t burst, uint64_t time, uint64_t seq,
                                 const struct nf_packet *packets, uint32_t n)
{
    NF_MARK(mark, burst, burst);
    NF_MARK(mark, time, time);
    NF_MARK(mark, seq, seq);
    NF_MARK(mark, packets, packets);
    NF_MARK(mark, n, n);
    NF_MARK(mark, list, NULL);
    NF_MARK(mark, ends, 0);
}

/* Nothing of the chain runs any more. */
static inline void nf_mark_end(struct nf_mark *mark)
{
    NF_MARK(mark, doing, (uint32_t)NF_DOING_NOTHING);
    NF_MARK(mark, n, 0);
}

static inline void nf_mark_thread_end(void)
{
    if (nf_thread_mark)
        nf_mark_end(nf_thread_mark);
}

#endif
