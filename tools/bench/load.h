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
 */
#ifndef TOOLS_BENCH_LOAD_H
#define TOOLS_BENCH_LOAD_H

#include "ftcore/base/error.h"
#include "nflib/chain/chain.h"
#include "tools/pair/tape.h"

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

/* What `--flows` and the like ask for. */
struct nd_load_wish {
    uint64_t flows;     /* 1 … 16 million */
    double zipf;        /* skew; 0: all flows alike */
    uint32_t frame;     /* bytes of every frame, 64 … 1500; 0: IMIX, 64, 576 and 1500 as 7 : 4 : 1 */
    uint64_t new_flows; /* a second, beside the others */
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
    uint64_t flows;
    uint32_t longest; /* bytes of the longest frame */
    bool answers;     /* the outside answers: its frames follow the inside's opening */

    /* How flows are made. */
    struct nd_load_wish wish;
    uint32_t inside, inside_hosts; /* host order; addresses from inside + 1 on */
    uint32_t service;              /* address of a load balancer's service, host order; 0: none */
    uint16_t service_port;
    uint8_t service_proto;
};

/* FT_ENOMEM; FT_EINVAL when the flows do not fit the chain's addresses. */
int nd_load_make(struct nd_load *load, const struct nd_load_wish *wish, const struct nf_chain_config *chain,
                 struct ft_fault *fault);
/* All of a capture, again and again; errors as nd_tape_read. */
int nd_load_read(struct nd_load *load, const char *file, const struct nf_chain_config *chain,
                 struct ft_fault *fault);
void nd_load_free(struct nd_load *load);
/* To each of 1 … FT_LANES_MAX lanes of the chain its flows, once, before it is used. FT_ENOMEM; FT_EINVAL:
 * the chain cannot have so many. */
int nd_load_deal(struct nd_load *load, const struct nf_chain_config *chain, unsigned lanes,
                 struct ft_fault *fault);
/* Writes the first ND_LOAD_LINE bytes of a flow's first frame, of `wire` bytes: flow `number` of `side`, from
 * 0; those from `flows` on are new. */
void nd_load_opening(const struct nd_load *load, unsigned side, uint64_t number, uint32_t wire, uint8_t *out);

#endif
