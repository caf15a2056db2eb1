/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bench's traffic, in memory: for each side the frames that arrive there, in order, first those that open
 * flows, then the rest again and again. Made once and dealt out to the lanes by the hash of the flows, before
 * any node is forked; nodes read it, and nobody writes.
 *
 * Synthetic flows suit the chain. From inside: clients in the NAT's first inside prefix (10.0.0.0/8 without a
 * NAT), every other flow TCP and UDP, to 198.18.0.0/15. From outside: with a load balancer half of the flows,
 * clients in 100.64.0.0/10 of its service; with a NAT alone nothing (answers would have to know its ports);
 * else the answers to what comes from inside.
 *
 * A slot is the memory that the bench and one of its node processes share, made before the fork. And the
 * node's ports, which are memory too: frames come from the load, outputs are counted and checked at a sink.
 *
 *   bench → node: how fast packets arrive, what to do     node → bench: what left and when, what it cost
 */
#ifndef TOOLS_BENCH_IO_H
#define TOOLS_BENCH_IO_H

#include "ftcore/protocol/core.h"
#include "ftcore/queue/lane.h"
#include "nflib/chain/chain.h"
#include "understudy/config/config.h"
#include "lane/io.h"
#include "understudy/pair/member.h"
#include "understudy/pair/tape.h"
#include "understudy/bench/wire.h"

/* ---- the load ---- */

#define ND_LOAD_SIDES 2u
#define ND_LOAD_LINE  64u /* frames begin at multiples of it */

struct nd_load_frame {
    uint32_t line;       /* of its bytes */
    uint16_t wire, have; /* bytes of it, and how many of them are kept; the rest are zeros */
};

struct nd_load_side {
    struct nd_load_frame *frames;
    uint64_t opening; /* frames that come once */
    uint64_t count;   /* all; from `opening` on they come again and again. 0: nothing arrives here */
};

/* The packets that a new flow has: a SYN and a datagram in turn; a SYN; six from SYN to FIN, of one end, with
 * those of 1,023 other flows between them; a datagram (or a SYN, where the service takes TCP alone). */
enum nd_new { ND_NEW_MIXED = -1, ND_NEW_SYN, ND_NEW_TCP, ND_NEW_UDP };
extern const char *const nd_new_kinds[]; /* cmd_bench.c: their names, from ND_NEW_SYN on; ends with NULL */

/* What `--flows` and the like ask for. */
struct nd_load_wish {
    uint64_t flows;     /* 1 … 16 million */
    double zipf;        /* skew; 0: all flows alike */
    uint32_t frame;     /* bytes of every frame, 64 … 1500; 0: IMIX, 64, 576 and 1500 as 7 : 4 : 1 */
    uint64_t new_flows; /* a second, beside the others */
    uint32_t new_share; /* percent of all packets that are of new flows; 0: as new_flows sets */
    int new_kind;       /* enum nd_new */
    uint64_t seed;
};

struct nd_load_flow {
    uint32_t saddr, daddr; /* host order */
    uint16_t sport, dport;
    uint8_t proto;
};

struct nd_load {
    struct nd_load_side side[ND_LOAD_SIDES];               /* by enum nf_side: all that arrives */
    struct nd_load_side lane[FT_LANES_MAX][ND_LOAD_SIDES]; /* what arrives in each lane */
    struct nd_tape_lanes lanes;
    uint8_t *bytes;
    uint32_t longest; /* bytes of the longest frame */
    bool answers;     /* the outside answers: its frames follow the inside's opening */

    /* How flows are made. */
    struct nd_load_wish wish;
    uint32_t inside, inside_hosts; /* host order; addresses from inside + 1 on */
    uint32_t service;              /* address of a load balancer's service, host order; 0: none */
    uint16_t service_port;
    uint8_t service_proto;
};

/* All of a capture, again and again; or, where that is NULL, flows as wished. FT_ENOMEM; FT_EINVAL when the
 * flows do not fit the chain's addresses; of a capture as nd_tape_read. */
int nd_load_make(struct nd_load *load, const char *capture, const struct nd_load_wish *wish,
                 const struct nf_chain_config *chain, struct ft_fault *fault);
void nd_load_free(struct nd_load *load);
/* To each of 1 … FT_LANES_MAX lanes of the chain its flows, once, before it is used. FT_ENOMEM; FT_EINVAL:
 * the chain cannot have so many. */
int nd_load_deal(struct nd_load *load, const struct nf_chain_config *chain, unsigned lanes,
                 struct ft_fault *fault);

/* ---- the slot ---- */

#define ND_BENCH_SETTINGS 480u /* bytes of text */

#define ND_RATE_FULL UINT64_MAX /* there is always a packet */

/* A histogram of times in ns, exact to 1.6 %: 64 buckets for each power of two. The lane counts, others read
 * at any time. */
#define ND_TIMES_SUB 64u
#define ND_TIMES_BUCKETS                                                                                     \
    (ND_TIMES_SUB * 36u) /* up to 2^41 ns, half an hour; what is longer counts as that                       \
                          */

struct nd_times {
    _Atomic uint64_t bucket[ND_TIMES_BUCKETS];
    _Atomic uint64_t count, most; /* most: the longest, exact */
};

/* What a lane's ports and sink count. */
struct nd_bench_count {
    _Alignas(64) _Atomic uint64_t phase_seen;
    _Atomic uint64_t arrived[ND_LOAD_SIDES]; /* frames given to the lane */
    _Atomic uint64_t unfed;                  /* times it asked a port while nothing arrives */
    _Atomic uint64_t released;               /* outputs */
    _Atomic uint64_t gaps;                   /* outputs that were not the next after the one before */
    _Atomic uint64_t sampled;                /* outputs whose bytes were looked at */
    _Atomic uint64_t bad;                    /* sampled outputs with a wrong length or checksum */
    struct nd_times times;                   /* from scheduled arrival to release, of this phase */
};

struct nd_bench_slot {
    struct nd_member_status status;

    /* Written by the bench. */
    _Atomic uint64_t rate;  /* packets a second that arrive, on both sides together; 0: none */
    _Atomic uint64_t phase; /* serial number: forget the times, and count anew */

    struct nd_bench_count lane[FT_LANES_MAX]; /* each written by its lane */

    /* Written by the node's main thread, every few milliseconds. */
    _Alignas(64) _Atomic bool realtime;        /* the replicator got its priority */
    _Atomic uint64_t shown_at;                 /* when the following was written, ns */
    _Atomic uint64_t cpu_lane, cpu_replicator; /* ns; all lanes together */
    struct ft_turns turns;                     /* of the replicator; of lanes: in their words */
    _Atomic uint64_t link_bytes, records;      /* sent, by the link's and the sender's own counts */
    _Atomic uint64_t credit_waits;             /* times the sender waited for the standby's credit */
    _Atomic uint64_t lag;                      /* packets recorded and not yet known to be replayed */
    _Atomic uint64_t region_bytes, resident_bytes;
    char settings[ND_BENCH_SETTINGS]; /* of a peer, before the state shows that it began */

    struct ft_lane_shared shared[FT_LANES_MAX];
    struct nd_bench_cable cable[FT_LANES_MAX]; /* the first node's slot: between lanes that have a port */
};

/* ---- ports in memory ---- */

struct nd_bench_port {
    uint64_t next;             /* frame of the load */
    uint64_t rate;             /* that `began` and `gap` are of */
    uint64_t began, gap, due;  /* ns; gap and due in 1/65536 ns, due since `began` */
    uint64_t fresh, fresh_due; /* packets of new flows so far; when the next one comes, ns */
    uint32_t owed;             /* new_share: hundredths of a packet that is to be of a new flow */
};

struct nd_bench_lane {
    _Alignas(64) struct nd_bench_count *count;
    void **free; /* buffers not in use */
    uint32_t frees;
    uint64_t number; /* of the last output */
    struct nd_bench_port port[ND_LOAD_SIDES];
};

struct nd_bench_io {
    struct nd_io io; /* what the lanes see of it */
    struct nd_bench_slot *slot;
    const struct nd_load *load;
    uint8_t *pool;
    uint32_t busy; /* ports where anything arrives, of all lanes */
    struct nd_bench_lane lane[FT_LANES_MAX];
};

/* For as many lanes as the load was dealt out to. FT_ENOMEM. */
int nd_bench_io_open(struct nd_bench_io *io, struct nd_bench_slot *slot, const struct nd_load *load,
                     struct ft_fault *fault);

/* All flows of the load have been opened. */
bool nd_bench_has_opened(const struct nd_bench_slot *slot, const struct nd_load *load);

#endif
