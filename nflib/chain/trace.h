/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A trace: what the chain of a node that is live does to some of its next packets, NF by NF. It is no state:
 * nothing of it is recorded, replayed or asked by an NF.
 *
 * One object for a node. Who asks begins a trace, polls it and ends it; lanes claim places for packets that
 * match and fill them in their own burst. When no trace has begun it costs a lane one load a burst; a trace
 * costs it a filter for each packet until all places are claimed.
 */
#ifndef NFLIB_CHAIN_TRACE_H
#define NFLIB_CHAIN_TRACE_H

#include "ftcore/base/check.h"
#include "ftcore/region/region.h"
#include "nflib/net/packet.h"

#include <stdatomic.h>

#define NF_TRACE_MAX   100u             /* packets of a trace */
#define NF_TRACE_FRAME 1536u            /* bytes that are kept of a frame, at most */
#define NF_TRACE_WHY   128u             /* bytes of text */
#define NF_TRACE_STEPS (FT_NFS_MAX + 2) /* L3, the NFs, what is decided behind them, L3 */

/* Addresses and ports at a place of the chain, network order: `ipv6` has source and destination of IPv6, with
 * NF_P_IPV6_READ. */
struct nf_trace_ends {
    uint32_t saddr, daddr;
    uint16_t sport, dport;
    uint16_t flags; /* enum nf_packet_flags, as parsed: an NF may change the packet's family */
    uint8_t ipv6[32];
};

struct nf;
struct nf_module;

struct nf_traced {
    uint64_t burst, seq; /* of the lane: the input's number among all of them */
    uint64_t time;       /* of the burst: monotonic, ns */
    uint32_t len;        /* bytes of the frame as it came in */
    uint8_t lane, in_port, out_port, side, proto;
    uint8_t steps;
    bool local;             /* the chain answered it: it passed no NF */
    char why[NF_TRACE_WHY]; /* of the drop, as its NF explains it; "": it does not */
    struct nf_trace_ends ends;
    struct {
        const struct nf_module
            *module;  /* of the NF; NULL: it counts nothing. The chain may have been changed since */
        uint8_t nf;   /* place in the chain, 0: L3; or NF_DROP_SESSIONS */
        uint8_t drop; /* its reason counter + 1; 0: passed. Nothing follows a drop */
        struct nf_trace_ends ends;
    } step[NF_TRACE_STEPS];
};

/* A frame as it came in, or as the chain let it out. */
struct nf_traced_frame {
    uint32_t len;  /* bytes of the frame; 0: there is none, it was dropped */
    uint32_t have; /* those that are here */
    uint8_t bytes[NF_TRACE_FRAME];
};

/* True when the frame is one of those that are asked for. By any lane's thread; `arg` is the asker's. */
typedef bool nf_trace_filter(const void *arg, const uint8_t *frame, uint32_t len, uint32_t have);

struct nf_trace {
    _Atomic uint32_t left;   /* places that are free; 0: no trace, or all are claimed. By asker and lanes */
    _Atomic uint32_t inside; /* lanes that are at a burst of a trace */
    nf_trace_filter *filter; /* NULL: every packet. The asker's, while left and inside are 0 */
    const void *arg;
    uint32_t snap;             /* bytes that are kept of each frame; 0: none. As the filter */
    uint32_t asked, unclaimed; /* places; those that were free at the end */
    struct nf_traced packet[NF_TRACE_MAX];
    struct nf_traced_frame in[NF_TRACE_MAX], out[NF_TRACE_MAX]; /* with `snap` */
};

/* The asker. False: a lane is still at the trace before, or has just looked whether there is one. `count` is
 * 1 … NF_TRACE_MAX, `snap` at most NF_TRACE_FRAME. */
bool nf_trace_begin(struct nf_trace *t, uint32_t count, uint32_t snap, nf_trace_filter *filter,
                    const void *arg);
/* The asker: all places are claimed and filled. */
bool nf_trace_whole(const struct nf_trace *t);
/* The asker: no place is claimed from here on. */
void nf_trace_end(struct nf_trace *t);
/* The asker, after the end: no lane is at it any more. The filter may go, and the first *count packets are
 * filled. */
bool nf_trace_over(const struct nf_trace *t, uint32_t *count);

/* A lane: a trace has begun, perhaps. */
static inline bool nf_trace_wanted(const struct nf_trace *t)
{
    return ft_unlikely(atomic_load_explicit(&t->left, memory_order_relaxed) != 0);
}

/* What a lane keeps of a trace in a burst. */
struct nf_tracing {
    struct nf_trace *trace; /* NULL: none in this burst */
    unsigned lane;
    uint64_t time;
    uint32_t count;
    struct {
        struct nf_packet *packet;
        struct nf_traced *to;
        bool over; /* dropped */
    } of[NF_TRACE_MAX];
};

/* The lane: joins a trace for the coming burst, at `time` (monotonic, ns). False: it is over by now. */
bool nf_tracing_join(struct nf_tracing *tracing, struct nf_trace *trace, unsigned lane, uint64_t time);
/* Claims places for the packets of the burst, which are parsed; `seq` is the first one's number. */
void nf_tracing_claim(struct nf_tracing *tracing, struct nf_packet *packets, uint32_t n, uint64_t burst,
                      uint64_t seq);
#define NF_TRACING_SIDES 0xffu /* in place of a side: both */
/* Of the chain's `nfs`, [0] L3, `nf`, or NF_DROP_SESSIONS behind them, has had the packets that passed so
 * far, of a side or NF_TRACING_SIDES. Of NF_DROP_SESSIONS only drops are recorded, each as a drop of the NF
 * that counts it, if one does. */
void nf_tracing_step(struct nf_tracing *tracing, const struct nf *nfs, uint8_t nf, uint8_t side);
void nf_tracing_leave(struct nf_tracing *tracing);

#endif
