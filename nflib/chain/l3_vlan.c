/* SPDX-License-Identifier: Apache-2.0 */
/* Says of ports that several interfaces share what those need, and whose a frame is. Owns nothing: all of it
 * is the configuration's. */
#include "nflib/chain/l3.h"

bool nf_l3_is_trunk(const struct nf_l3_config *config, unsigned device)
{
    for (unsigned i = 0; i < config->ports; i++)
        if (config->port[i].device == device && config->port[i].vlan.outer)
            return true;
    return false;
}

bool nf_l3_is_first(const struct nf_l3_config *config, unsigned port)
{
    for (unsigned i = 0; i < port; i++)
        if (config->port[i].device == config->port[port].device)
            return false;
    return true;
}

unsigned nf_l3_device_mtu(const struct nf_l3_config *config, unsigned device)
{
    unsigned most = 0;

    for (unsigned i = 0; i < config->ports; i++) {
        const struct nf_vlan *tags = &config->port[i].vlan;
        bool counted = nf_vlan_bytes(tags) == NF_VLAN_TAG && tags->tpid == NF_TPID_8021Q;
        unsigned mtu = config->port[i].mtu + (counted ? 0 : nf_vlan_bytes(tags));

        if (config->port[i].device == device && mtu > most)
            most = mtu;
    }
    return most;
}

unsigned nf_l3_interface_of(const struct nf_l3_config *config, unsigned device, const uint8_t *frame,
                            uint32_t len, uint32_t *bytes)
{
    struct nf_vlan tags;

    if (!nf_vlan_read(frame, len, &tags, bytes))
        return NF_PORTS_MAX;
    for (unsigned i = 0; i < config->ports; i++) {
        const struct nf_interface *port = &config->port[i];

        if (port->device == device && port->vlan.outer == tags.outer && port->vlan.inner == tags.inner)
            return i;
    }
    return NF_PORTS_MAX;
}
