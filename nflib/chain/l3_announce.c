/* SPDX-License-Identifier: Apache-2.0 */
/* Makes the frames by which the chain says which addresses its MAC has. Owns nothing: they are made of the
 * configuration, and sent by the lane that was promoted. */
#include "nflib/chain/l3_parts.h"
#include "nflib/net/icmpv6.h"

static uint32_t announce_ipv4(const struct nf_interface *port, unsigned index, uint8_t *out)
{
    static const uint8_t everybody[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, nobody[6];
    unsigned first = port->addr ? 1 : 0;
    uint32_t addr = index < first ? port->addr : port->extra[index - first];

    nf_arp_frame(out, 1, everybody, port->mac, addr, nobody, addr);
    return NF_ARP_LEN;
}

static uint32_t announce_ipv6(const struct nf_interface *port, unsigned index, uint8_t *out)
{
    static const uint8_t all_nodes[16] = {0xff, 2, [15] = 1};
    const uint8_t *addr = index == 0 ? port->local6 : index == 1 ? port->addr6 : port->extra6[index - 2];

    nf_nd_write(&(struct nf_nd){.type = NF_ND_ADVERTISEMENT,
                                .flags = NF_ND_ROUTER | NF_ND_OVERRIDE,
                                .target = addr,
                                .mac = port->mac,
                                .from = addr,
                                .to = all_nodes},
                NULL, out);
    return NF_ND_LEN;
}

_Static_assert(NF_ANNOUNCEMENT_MAX >= NF_ND_LEN && NF_ANNOUNCEMENT_MAX >= NF_ARP_LEN, "either kind");

uint32_t nf_l3_announce(const struct nf_l3_config *config, unsigned index, uint8_t out[NF_ANNOUNCEMENT_MAX],
                        uint8_t *port)
{
    for (uint8_t i = 0; i < config->ports; i++) {
        const struct nf_interface *face = &config->port[i];
        unsigned ipv4 = (face->addr ? 1u : 0u) + face->extras, ipv6 = face->bits6 ? 2u + face->extras6 : 0;

        *port = i;
        if (index < ipv4)
            return announce_ipv4(face, index, out);
        if (index - ipv4 < ipv6)
            return announce_ipv6(face, index - ipv4, out);
        index -= ipv4 + ipv6;
    }
    return 0;
}
