/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dispatch: which lane a packet must go to, asked of the NFs in the order it will pass them. Called by the
 * threads that deal packets out; owns nothing, and reads of lanes only what each module's `owner` may.
 */
#include "nflib/chain/chain.h"
#include "nflib/flow/flow.h"

#include <arpa/inet.h>

bool nf_chain_owner(const struct nf_chain *chain, struct nf_packet *p, unsigned *lane)
{
    const struct nf *nf;
    unsigned count = 0;
    nf_packet_parse(p);
    while (nf_chain_nf(chain, count + 1))
        count++;
    for (unsigned step = 1; step <= count; step++) {
        nf = nf_chain_nf(chain, p->side == NF_INSIDE ? step : count + 1 - step);
        if (nf->module->owner && nf->module->owner(nf, p, lane))
            return true;
    }
    return false;
}

/*
 * Toeplitz, as ports compute it for receive-side scaling, with a key of one 16-bit word repeated: then both
 * directions hash alike (Woo, Park: Scalable TCP session monitoring with symmetric receive-side scaling,
 * KAIST 2012). Every 16-bit word of the input is multiplied by the same key bits, so the words can be folded
 * first.
 */
static uint32_t hash_flow(const struct nf_packet *p)
{
    bool ports = (p->flags & NF_P_L4) && !(p->flags & NF_P_FRAGMENT) &&
                 (p->proto == NF_PROTO_TCP || p->proto == NF_PROTO_UDP);
    uint32_t pair = p->saddr ^ p->daddr, word = (pair >> 16 ^ pair) & 0xffff, hash = 0;
    uint32_t key = NF_FLOW_KEY << 16 | NF_FLOW_KEY;

    if (ports)
        word ^= p->sport ^ p->dport;
    word = ntohs((uint16_t)word); /* as on the wire until here */
    for (uint32_t bit = 0x8000; bit; bit >>= 1) {
        hash ^= word & bit ? key : 0;
        key = key << 1 | key >> 31;
    }
    return hash;
}

unsigned nf_flow_lane(const struct nf_packet *p, unsigned lanes)
{
    if (lanes == 1 || !(p->flags & NF_P_IPV4))
        return 0;
    return hash_flow(p) % NF_FLOW_SPREAD % lanes;
}
