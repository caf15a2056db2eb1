/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which lane each packet of the capture goes to, as a node's ports deal them (nf_chain_lane): an answer to a
 * NAT to the lane that gave out the port, which is known once that lane has run. So where an NF owns packets
 * the capture passes the chain once beforehand, all lanes in one thread of a process of its own, burst by
 * burst; what comes of the packets there is nobody's. Used by the tool before any node starts.
 */
#include "tools/replay/replay.h"
#include "tools/pair/child.h"

#include "nflib/chain/chain.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define WATCH_EACH 1024u /* bursts */
#define PATIENCE_S 60u   /* until lanes in which nothing moves are ended, and hashes decide the rest */

/* Filled in before the fork as far as `lane`; all else is the child's own. */
static struct {
    const struct nd_replay *replay;
    struct nd_tape_lanes lanes;
    uint8_t *lane; /* [tape.count], in shared memory */
    struct ft_region *region;
    struct nf_chain *chain[FT_LANES_MAX];
    struct ft_published published[FT_LANES_MAX];
    struct nf_datagrams datagrams;
    uint8_t *frames; /* NF_BURST_MAX of a burst's */
} d;

static int make_chains(struct ft_fault *fault)
{
    const struct nf_chain_config *chain = &d.replay->config->chain;
    const struct ft_region_config how = {.name = "understudy deal"};
    int error = nf_chain_region(&d.region, chain, &how, fault);

    d.frames = malloc((size_t)d.replay->tape.longest * NF_BURST_MAX + 1);
    if (!error && !d.frames)
        error = ft_fail(fault, FT_ENOMEM, "no memory for a burst");
    for (unsigned l = 0; l < d.lanes.count && !error; l++) {
        error = nf_chain_make(&d.chain[l], chain, d.region, l, d.replay->options->seed, fault);
        if (!error)
            nf_chain_share(d.chain[l], d.published);
    }
    return error;
}

/* As they would be received: before the burst's packets have run, one after the other. */
static void deal_and_run(uint64_t burst)
{
    const struct nd_tape *tape = &d.replay->tape;
    const struct nd_tape_burst *b = &tape->bursts[burst - 1];
    struct nf_packet packets[FT_LANES_MAX][NF_BURST_MAX];
    uint32_t n[FT_LANES_MAX] = {0};

    for (uint32_t i = 0; i < b->n; i++) {
        const struct nd_tape_input *in = &tape->inputs[b->first + i];
        struct nf_packet p = {.data = d.frames + (size_t)i * tape->longest,
                              .len = in->wire,
                              .have = in->wire,
                              .in_port = in->side == NF_OUTSIDE,
                              .side = in->side};
        unsigned lane;

        nd_tape_frame(tape, b->first + i, p.data);
        lane = nf_chain_lane(d.chain[0], &p, d.lanes.scope, d.lanes.count, &d.datagrams);
        d.lane[b->first + i] = (uint8_t)lane;
        p.parsed = 0;
        packets[lane][n[lane]++] = p;
    }
    for (unsigned l = 0; l < d.lanes.count; l++)
        nf_chain_run(d.chain[l], burst, b->time, packets[l], n[l]);
}

static int deal_all(void *unused, void *result, struct ft_fault *fault)
{
    int error = make_chains(fault);

    (void)unused;
    (void)result;
    for (uint64_t burst = 1; burst <= d.replay->tape.burst_count && !error; burst++) {
        if (burst % WATCH_EACH == 1)
            alarm(PATIENCE_S);
        deal_and_run(burst);
    }
    return error;
}

int nd_replay_deal(struct nd_replay *r, struct nd_tape_lanes lanes, struct ft_fault *fault)
{
    const struct nf_chain_config *chain = &r->config->chain;
    struct ft_fault ended;
    bool owns = false;
    uint8_t nothing;
    int error;

    for (unsigned i = 0; i < chain->count; i++)
        owns |= chain->nfs[i].module->owner != NULL;
    if (!owns || !r->tape.count)
        return nd_tape_deal(&r->tape, lanes, NULL, r->dealt, fault);
    r->in_turn = true;
    d.replay = r;
    d.lanes = lanes;
    d.lane = nd_shared_memory(r->tape.count);
    if (!d.lane)
        return ft_fail(fault, FT_ENOMEM, "no memory for the lanes of %lu packets", r->tape.count);
    memset(d.lane, ND_TAPE_HASH, r->tape.count);
    /* A chain that ends its process ends it in the run as well, which says so; hashes decide the rest. */
    error = nd_child_run(deal_all, NULL, &nothing, sizeof(nothing), "dealing packets out to lanes", &ended);
    if (error && error != FT_EIO)
        *fault = ended;
    else
        error = nd_tape_deal(&r->tape, lanes, d.lane, r->dealt, fault);
    munmap(d.lane, r->tape.count);
    return error;
}
