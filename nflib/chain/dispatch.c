/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dealing: which lane a packet must go to, asked of the NFs in the order it will pass them. Called by the
 * threads that deal packets out; owns nothing, and reads of lanes only what each module's `owner` may.
 */
#include "nflib/chain/parts.h"
#include "ftcore/base/check.h"
#include "nflib/flow/flow.h"
#include "nflib/state/key.h"

#include <arpa/inet.h>
#include <string.h>

bool nf_chain_owner(const struct nf_chain *chain, struct nf_packet *p, unsigned *lane)
{
    const struct nf *nf;

    (chain->unsummed ? nf_packet_parse_unsummed : nf_packet_parse)(p);
    for (unsigned step = 1; step <= chain->count; step++) {
        nf = &chain->nfs[p->side == NF_INSIDE ? step : chain->count + 1 - step];
        if (nf->module->owner && nf->module->owner(nf, p, lane))
            return true;
    }
    return false;
}

/* ---- by hash ----------------------------------------------------------------------------------- */

/* What a hash is of, in network order: addresses folded to 32 bits, as ports' hashes allow (below). */
struct hashed {
    uint32_t source, destination;
    uint16_t ports; /* 0: none */
};

static uint32_t fold_ipv6(const uint8_t *address)
{
    uint32_t word[4];

    memcpy(word, address, sizeof(word));
    return word[0] ^ word[1] ^ word[2] ^ word[3];
}

/* False: it has no addresses. An ICMP error is of the flow that it is about, whose packets went the other
 * way.
 */
static bool read_hashed(const struct nf_packet *p, struct hashed *h)
{
    if (p->flags & NF_P_ICMP_ERROR) {
        struct nf_inner inner;

        nf_packet_inner(p, &inner);
        *h = (struct hashed){inner.addresses ? fold_ipv6(inner.addresses + 16) : inner.daddr,
                             inner.addresses ? fold_ipv6(inner.addresses) : inner.saddr,
                             nf_proto_is_ported(inner.proto) ? inner.sport ^ inner.dport : 0};
        return true;
    }
    if (p->flags & NF_P_IPV4) {
        *h = (struct hashed){p->saddr, p->daddr, 0};
    } else if (p->flags & NF_P_IPV6_READ) {
        const uint8_t *addresses = nf_packet_ipv6_addresses(p);

        *h = (struct hashed){fold_ipv6(addresses), fold_ipv6(addresses + 16), 0};
    } else {
        return false;
    }
    if (p->flags & NF_P_L4 && !(p->flags & NF_P_FRAGMENT) && nf_proto_is_ported(p->proto))
        h->ports = p->sport ^ p->dport;
    return true;
}

/*
 * Toeplitz, as ports compute it for receive-side scaling, with a key of one 16-bit word repeated: then both
 * directions hash alike (Woo, Park: Scalable TCP session monitoring with symmetric receive-side scaling,
 * KAIST 2012). Every 16-bit word of the input is multiplied by the same key bits, so the words can be folded
 * first.
 */
static uint32_t hash_words(uint32_t folded)
{
    uint32_t word = (folded >> 16 ^ folded) & 0xffff, hash = 0;
    uint32_t key = NF_FLOW_KEY << 16 | NF_FLOW_KEY;

    word = ntohs((uint16_t)word); /* as on the wire until here */
    for (uint32_t bit = 0x8000; bit; bit >>= 1) {
        hash ^= word & bit ? key : 0;
        key = key << 1 | key >> 31;
    }
    return hash;
}

unsigned nf_lane_of(const struct nf_packet *p, enum nf_scope scope, unsigned lanes)
{
    struct hashed h;

    if (lanes == 1 || scope == NF_OF_CHAIN || !read_hashed(p, &h))
        return 0;
    uint32_t folded = scope == NF_OF_FLOW                                 ? h.source ^ h.destination ^ h.ports
                      : (scope == NF_OF_INSIDE) == (p->side == NF_INSIDE) ? h.source
                                                                          : h.destination;

    return hash_words(folded) % NF_FLOW_SPREAD % lanes;
}

/* ---- a packet's lane --------------------------------------------------------------------------- */

uint64_t nf_datagram_hash(const struct nf_packet *p)
{
    uint32_t common[10] = {p->saddr, p->daddr, p->frag_id, p->proto, p->in_port};

    if (p->flags & NF_P_IPV6_READ) {
        memcpy(common, nf_packet_ipv6_addresses(p), 32);
        memcpy(&common[8], p->data + p->l4 - 4, 4); /* the identification, in the fragment header */
        common[9] = p->in_port;
    }
    return nf_key_hash(common, sizeof(common), 0) | 1; /* 0: nobody's place */
}

/* Of a fragment: `lane` is its first one's, where that was seen. `owned`: an NF has chosen it. */
static unsigned follow_datagram(struct nf_datagrams *datagrams, const struct nf_packet *p, unsigned lane,
                                bool owned)
{
    uint64_t hash = nf_datagram_hash(p);
    unsigned at = (unsigned)(hash >> 32) % NF_DATAGRAMS;

    if (!(p->flags & NF_P_LATER) && owned) {
        datagrams->seen[at].hash = hash;
        datagrams->seen[at].lane = lane;
    }
    return datagrams->seen[at].hash == hash ? (unsigned)datagrams->seen[at].lane : lane;
}

unsigned nf_chain_lane(const struct nf_chain *chain, struct nf_packet *p, enum nf_scope scope, unsigned lanes,
                       struct nf_datagrams *datagrams)
{
    unsigned lane = 0;
    bool owned = chain && nf_chain_owner(chain, p, &lane) && lane < lanes;

    if (!owned) {
        nf_packet_parse_unsummed(p);
        lane = nf_lane_of(p, scope, lanes);
    }
    return p->flags & NF_P_FRAGMENT ? follow_datagram(datagrams, p, lane, owned) : lane;
}

/* ---- what to deal by --------------------------------------------------------------------------- */

int nf_chain_scope(const struct nf_chain_config *config, unsigned lanes, enum nf_scope *scope,
                   struct ft_fault *fault)
{
    static const char *const of[] = {"a flow", "an inside address", "an outside address", "every packet"};
    const struct nf_module *decided = NULL;

    *scope = NF_OF_FLOW;
    for (unsigned i = 0; i < config->count && lanes > 1; i++) {
        const struct nf_module *module = config->nfs[i].module;
        enum nf_scope wanted = module->scope ? module->scope(config->nfs[i].config) : NF_OF_FLOW;

        FT_CHECK(wanted <= NF_OF_CHAIN, "%s: scope %u", module->name, wanted);
        if (wanted == NF_OF_CHAIN)
            return ft_fail(fault, FT_EINVAL,
                           "%s: its state is of every packet, as it is set here, expected 1 lane, not %u",
                           module->name, lanes);
        if (wanted == NF_OF_FLOW)
            continue;
        if (decided && wanted != *scope)
            return ft_fail(fault, FT_EINVAL,
                           "%s: its state is of %s, that of %s of %s: no packet can go to the lanes of both, "
                           "expected 1 lane, not %u",
                           module->name, of[wanted], decided->name, of[*scope], lanes);
        decided = module;
        *scope = wanted;
    }
    return 0;
}
