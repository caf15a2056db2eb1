/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What outlives a node that dies: memory that it shares with the reporter, a process forked before lanes are
 * made (crash.h). Each part has one writer, named here or where it is declared; the reporter reads all of it
 * once the node has ended. The log and replay rings of lanes (struct ft_lane_shared) lie in such memory as
 * well.
 */
#ifndef NODE_CRASH_PAGE_H
#define NODE_CRASH_PAGE_H

#include "ftcore/queue/lane.h"
#include "ftcore/record/crash_notice.h"
#include "ftcore/record/record.h"
#include "ftcore/region/region.h"
#include "nflib/chain/l3.h"
#include "nflib/chain/mark.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define ND_CRASH_FRAMES    64u /* ips of a backtrace at most */
#define ND_CRASH_REGISTERS 17u /* in the order of nd_crash_registers */
#define ND_CRASH_TEXT      512u
#define ND_CRASH_WORDS     128u
#define ND_CRASH_THREAD    16u

#define ND_QUARANTINE_KEPT 64u   /* frames */
#define ND_CRASH_BYTES     2048u /* of a frame that is kept, at most */

/* A frame that was kept, by whoever drops it or dies of it. */
struct nd_crash_frame {
    uint64_t time;       /* wall clock, ns */
    uint64_t burst, seq; /* of one that a quarantine drops; seq 0: it has none */
    unsigned lane;
    uint32_t wire, have;
    uint8_t port;
    uint8_t bytes[ND_CRASH_BYTES];
};

/* What a quarantine drops; quarantine.h names its writers. */
struct nd_quarantine {
    _Atomic uint32_t count; /* of `fingerprint`; 0: there is no quarantine, or it has ended */
    _Atomic uint32_t asked; /* by lanes: how many are held, of which a frame may be one */
    _Atomic uint64_t most;  /* frames to drop until all are suspects */
    struct ft_fingerprint fingerprint[FT_CRASH_FINGERPRINTS];
    _Atomic uint64_t suspects; /* bits of `fingerprint`: of these nobody knows which one it was */
    _Atomic uint64_t cleared;  /* bits: suspects that the node has survived; by lanes */
    _Atomic bool judging;      /* the node is PROTECTED: suspects pass, one by one; by the main thread */
    char nf[FT_CRASH_NAME];    /* in which the peer crashed last, of packets */
    _Atomic uint64_t others;   /* bits: what was in force before, for a crash in another NF */
    _Atomic bool changing;     /* somebody writes to `fingerprint` */
    uint64_t lasts;            /* ns without such a frame, after which it ends */
    uint64_t began;            /* monotonic, ns */
    _Atomic uint64_t until;    /* monotonic, ns */
    _Atomic uint64_t dropped;
    _Atomic uint32_t claimed; /* places of `frame`; what is not `whole` yet is being written */
    _Atomic bool whole[ND_QUARANTINE_KEPT];
    struct nd_crash_frame frame[ND_QUARANTINE_KEPT];
};

/* Of a thread that dies, or that is found to hang: what the handler of the fatal signal writes. */
struct nd_crash_told {
    _Atomic int owner;           /* the thread that has the handler; 0: nobody came to it */
    _Atomic int asked, answered; /* a lane that hangs: the thread that is to write for the owner; it has */
    _Atomic int teller;          /* which of the two writes: whoever is first */
    int number, code;            /* the signal and its si_code */
    int sender;                  /* the process that sent it; 0: a fault, or the node itself */
    bool hangs;                  /* the lane below stood, also where that did not answer */
    bool overflow;               /* the address lies at the end of the thread's stack */
    uint64_t address;            /* of a fault, if it is known */
    bool located;                /* it is */
    uint64_t wall, monotonic;    /* when, ns */
    int thread;
    char name[ND_CRASH_THREAD]; /* of that thread */
    int32_t lane;               /* -1: it is no lane */
    uint64_t reg[ND_CRASH_REGISTERS];
    _Atomic uint32_t frames;
    uint64_t frame[ND_CRASH_FRAMES]; /* instruction pointers, the innermost first */
    uint32_t words;                  /* of the stack, from where it was on: for who has no frames */
    uint64_t word[ND_CRASH_WORDS];
    uint64_t took;            /* the handler, ns */
    char text[ND_CRASH_TEXT]; /* of a broken invariant; "": it was none */
    bool captured;            /* the burst's frames lie in the lane's log ring, as they came in */
    uint32_t n;               /* otherwise: how many are in `packet`, as the NFs left them */
    bool begun;     /* but for their first FT_FINGERPRINT_BYTES, which are as they came in; of one that its
                     * session identifies, the addresses and ports */
    uint32_t found; /* bits: packets of the burst that registers or stack point to */
    bool doubtful;  /* it is one, and may be left over from work that was done with it */
    struct ft_crash_notice notice;
    struct nd_crash_frame packet[FT_BURST_MAX];
    _Atomic bool whole; /* all of the above is there */
};

#define ND_CRASH_MODULES 64u
#define ND_CRASH_MODULE  256u /* bytes of a path */

/* Where the shared object of a module lies in the node. */
struct nd_crash_module {
    uint64_t base, size;
    char path[ND_CRASH_MODULE];
};

struct nd_crash_page {
    /* By the main thread. */
    _Atomic bool stopped; /* the node ends in order */
    _Atomic int state;    /* enum ft_state */
    _Atomic uint64_t view;
    _Atomic uint64_t chain; /* hash of its identity, as a hello has it */
    /* Of the chain, by index, "" beyond the last; by the lane that changes the chain, too. */
    char nf[FT_NFS_MAX][FT_CRASH_NAME], interface[NF_PORTS_MAX][32];
    struct nd_crash_module module[ND_CRASH_MODULES];
    _Atomic uint32_t modules;
    struct nd_quarantine quarantine; /* quarantine.h names the writers */
    /* By lanes. */
    struct nd_crash_lane {
        _Alignas(64) struct nf_mark mark;
        _Atomic int thread;      /* 0: not begun */
        _Atomic clockid_t clock; /* the thread's processor time; set before `thread` */
    } lane[FT_LANES_MAX];
    /* By the handler of the fatal signal; the notice is read by the guardian. */
    struct nd_crash_told told;
    _Atomic uint32_t notice_len; /* 0: there is none */
    uint8_t notice[FT_CRASH_BYTES];
};

/* The record of a burst that is not ended yet, or of one of the last that were; NULL: it is not in the ring,
 * or not any more. Its inputs and bytes are there, whatever else is. */
static inline const struct ft_record *nd_crash_record(const struct ft_lane_shared *lane, uint64_t burst)
{
    const struct ft_ring *ring = &lane->log;
    uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
    uint64_t at = atomic_load_explicit(&lane->record_at[burst % FT_PAST_BURSTS], memory_order_relaxed);
    const struct ft_record *r;

    if (!ring->data || at > head || head + FT_RECORD_MAX > at + ring->capacity)
        return NULL; /* what is written now may lie over it */
    r = (const struct ft_record *)(const void *)(ring->data + (at & (ring->capacity - 1)));
    return r->burst == burst && ft_entry_kind(r) == FT_ENTRY_RECORD && r->inputs <= FT_BURST_MAX &&
                   r->bytes <= FT_BYTES_MAX
               ? r
               : NULL;
}

#endif
