/* SPDX-License-Identifier: Apache-2.0 */
/* Ports of which several share a device: VLAN tags, between the device and the lanes; see ports.h. */
#include "node/ports/ports.h"
#include "ftcore/base/check.h"

/* False: no interface has its tags. */
static bool place_frame(struct nd_deal *deal, unsigned device, struct rte_mbuf *m)
{
    uint8_t *frame = rte_pktmbuf_mtod(m, uint8_t *);
    uint32_t bytes = 0;
    unsigned port = nf_l3_interface_of(deal->l3, device, frame, rte_pktmbuf_data_len(m), &bytes);

    if (port == NF_PORTS_MAX)
        return false;
    if (bytes) {
        nf_vlan_pull(frame, bytes);
        rte_pktmbuf_adj(m, (uint16_t)bytes);
    }
    m->port = (uint16_t)port;
    return true;
}

uint32_t nd_trunk_receive(struct nd_deal *deal, unsigned device, struct rte_mbuf *in[], uint32_t n)
{
    uint32_t kept = 0;

    if (ft_likely(!deal->device[device].trunk)) {
        for (uint32_t i = 0; i < n; i++)
            in[i]->port = deal->device[device].port;
        return n;
    }
    for (uint32_t i = 0; i < n; i++) {
        if (place_frame(deal, device, in[i])) {
            in[kept++] = in[i];
        } else {
            rte_pktmbuf_free(in[i]);
            atomic_fetch_add_explicit(&deal->unknown_vlan, 1, memory_order_relaxed);
        }
    }
    return kept;
}

static const struct nf_vlan *tags_of(const struct nd_deal *deal, unsigned port)
{
    return deal->l3 && deal->l3->port[port].vlan.outer ? &deal->l3->port[port].vlan : NULL;
}

static uint8_t pcp_of(const struct nd_deal *deal, unsigned port, const uint8_t *frame, uint32_t len)
{
    return deal->l3->port[port].pcp_of_dscp ? nf_vlan_pcp_of_dscp(frame, len) : 0;
}

/* Buffers have RTE_PKTMBUF_HEADROOM bytes in front of what came in, or of what was made. */
void nd_trunk_tag(const struct nd_deal *deal, unsigned port, struct rte_mbuf *const out[], uint32_t n)
{
    const struct nf_vlan *tags = tags_of(deal, port);

    for (uint32_t i = 0; tags && i < n; i++) {
        uint8_t *frame = rte_pktmbuf_mtod(out[i], uint8_t *);
        uint8_t pcp = pcp_of(deal, port, frame, rte_pktmbuf_data_len(out[i]));

        FT_CHECK(rte_pktmbuf_prepend(out[i], (uint16_t)nf_vlan_bytes(tags)), "no room for tags");
        nf_vlan_set_pcp(nf_vlan_push(frame, tags), pcp);
    }
}

void nd_trunk_untag(const struct nd_deal *deal, unsigned port, struct rte_mbuf *const out[], uint32_t n)
{
    const struct nf_vlan *tags = tags_of(deal, port);

    for (uint32_t i = 0; tags && i < n; i++) {
        nf_vlan_pull(rte_pktmbuf_mtod(out[i], uint8_t *), nf_vlan_bytes(tags));
        rte_pktmbuf_adj(out[i], (uint16_t)nf_vlan_bytes(tags));
    }
}
