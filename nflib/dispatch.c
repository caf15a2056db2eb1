/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dispatch: which lane a packet must go to, asked of the NFs in the order it will pass them. Called by the
 * threads that deal packets out; owns nothing, and reads of lanes only what each module's `owner` may.
 */
#include "nflib/chain.h"
#include "nflib/flow.h"

#include <string.h>
#include <xxhash.h>

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

unsigned nf_flow_lane(const struct nf_packet *p, unsigned lanes)
{
    struct nf_flow_key key;
    bool ports = (p->flags & NF_P_L4) && !(p->flags & NF_P_FRAGMENT) &&
                 (p->proto == NF_PROTO_TCP || p->proto == NF_PROTO_UDP);
    if (lanes == 1 || !(p->flags & NF_P_IPV4))
        return 0;
    memset(&key, 0, sizeof(key));
    nf_flow_key_make(&key, p->proto, p->saddr, ports ? p->sport : 0, p->daddr, ports ? p->dport : 0);
    return (unsigned)(XXH3_64bits(&key, sizeof(key)) % lanes);
}
