/* SPDX-License-Identifier: Apache-2.0 */
/* On which port of the nodes an interface is, and by which VLAN tags its frames are known there. */
#include "node/config/parts.h"

#include <stdio.h>
#include <string.h>

static const struct nf_param vid_kind = {.kind = NF_U32, .min = 1, .max = NF_VLAN_MOST};

static int read_vid(struct nd_reading *r, const struct nd_yaml *at, uint16_t *vid)
{
    uint32_t value = 0;
    int error = nd_schema_value(r->arena, at, "interface vlan", &vid_kind, &value, r->fault);

    *vid = (uint16_t)value;
    return error;
}

/* A number, or two in a list, the outer tag's first. */
static int read_tags(struct nd_reading *r, const struct nd_yaml *vlan, struct nf_vlan *tags)
{
    int error;

    if (vlan->kind != ND_YAML_LIST)
        return read_vid(r, vlan, &tags->outer);
    if (vlan->count != 2)
        return nd_yaml_fail(r->fault, vlan,
                            "interface vlan is a list of %u, expected a number, or the outer tag's and the "
                            "inner one's",
                            vlan->count);
    error = read_vid(r, vlan->first, &tags->outer);
    return error ? error : read_vid(r, vlan->first->next, &tags->inner);
}

/* Ports are numbered as the file's interfaces name them first. */
static uint8_t device_of(struct nf_l3_config *l3, const struct nf_interface *port)
{
    for (unsigned i = 0; i < l3->ports; i++)
        if (strcmp(l3->port[i].port, port->port) == 0)
            return l3->port[i].device;
    return (uint8_t)l3->devices++;
}

int nd_read_vlan(struct nd_reading *r, const struct nd_yaml *at, const struct nd_yaml *vlan, uint32_t tpid,
                 struct nf_interface *port)
{
    struct nf_l3_config *l3 = &r->config->l3;
    const struct nd_yaml *type = nd_yaml_get(at, "tpid");
    int error = vlan ? read_tags(r, vlan, &port->vlan) : 0;

    if (error)
        return error;
    if (type && !vlan)
        return nd_yaml_fail(r->fault, type, "interface %s has a tpid and no vlan, expected both", port->name);
    if (port->pcp_of_dscp && !vlan)
        return nd_yaml_fail(r->fault, at, "interface %s has a pcp and no vlan, expected both", port->name);
    port->vlan.tpid =
        (type ? tpid == ND_TPID_8021AD : port->vlan.inner != 0) ? NF_TPID_8021AD : NF_TPID_8021Q;
    if (!port->port[0])
        memcpy(port->port, port->name, sizeof(port->port));
    port->device = device_of(l3, port);
    for (unsigned i = 0; i < l3->ports; i++) {
        const struct nf_interface *o = &l3->port[i];

        /* One of the same name is refused for that (network.c). */
        if (strcmp(o->name, port->name) != 0 && o->device == port->device &&
            o->vlan.outer == port->vlan.outer && o->vlan.inner == port->vlan.inner)
            return nd_yaml_fail(r->fault, vlan ? vlan : at,
                                "interface %s has port %s and %s of %s, expected another %s", port->name,
                                port->port, vlan ? "the vlan" : "no vlan, as that", o->name,
                                vlan ? "vlan" : "port, or a vlan");
    }
    return 0;
}
