/* SPDX-License-Identifier: Apache-2.0 */
/* From which side a captured packet came; see pair/tape.h. */
#define _GNU_SOURCE /* tdestroy */
#include "nflib/stream/stream.h"
#include "nfs/nat/nat64_table.h"
#include "nfs/nat/nat_table.h"
#include "tools/pair/tape.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

#define UNKNOWN 2

/* Who began a flow. A tree holds one of each flow, by all that stands before `swapped`. */
struct flow {
    union {
        struct {
            uint32_t addr[2];
            uint16_t port[2];
            uint8_t proto;
        } ends; /* network order; the lesser end, by address, then port, as stored, comes first */
        struct {
            uint8_t low[6], high[6];
        } macs;
    };
    bool by_macs;
    bool swapped;    /* the first packet went from the greater end to the lesser */
    uint8_t seen[2]; /* by `swapped` of a packet: bits of the sides that it came from */
};

static int compare_flows(const void *a, const void *b)
{
    return memcmp(a, b, offsetof(struct flow, swapped));
}

/* The flow of a packet, and whether it goes from its greater end to its lesser. */
static struct flow flow_of(const struct nf_packet *p)
{
    struct flow flow;

    memset(&flow, 0, sizeof(flow)); /* padding is compared */
    if (p->flags & NF_P_IPV4) {
        bool ports = (p->flags & NF_P_L4) && !(p->flags & NF_P_FRAGMENT) &&
                     (p->proto == NF_PROTO_TCP || p->proto == NF_PROTO_UDP);
        uint16_t sport = ports ? p->sport : 0, dport = ports ? p->dport : 0;
        unsigned source = p->saddr > p->daddr || (p->saddr == p->daddr && sport > dport);

        flow.ends.addr[source] = p->saddr;
        flow.ends.addr[!source] = p->daddr;
        flow.ends.port[source] = sport;
        flow.ends.port[!source] = dport;
        flow.ends.proto = p->proto;
        flow.swapped = source;
        return flow;
    }
    flow.by_macs = true;
    if (p->have >= 12) {
        flow.swapped = memcmp(p->data + 6, p->data, 6) > 0;
        memcpy(flow.macs.low, p->data + (flow.swapped ? 0 : 6), 6);
        memcpy(flow.macs.high, p->data + (flow.swapped ? 6 : 0), 6);
    }
    return flow;
}

/* The flow as it was when it began; NULL: no memory. */
static struct flow *find_flow(void **flows, const struct flow *flow)
{
    struct flow *kept, **first = tsearch(flow, flows, compare_flows);

    if (!first || *first != flow)
        return first ? *first : NULL;
    kept = malloc(sizeof(*kept));
    if (!kept) {
        tdelete(flow, flows, compare_flows);
        return NULL;
    }
    *kept = *flow;
    return *first = kept;
}

/* Of IPv4, whose ends a flow knows: both of its directions have been seen, and from one side. */
static void count_doubled(struct nd_tape *tape, struct flow *began, bool swapped, uint8_t side)
{
    bool was = began->seen[0] & began->seen[1], both = began->seen[0] && began->seen[1];

    began->seen[swapped] |= (uint8_t)(1u << side);
    if (began->by_macs)
        return;
    tape->flows += !both && began->seen[0] && began->seen[1];
    tape->doubled += !was && began->seen[0] & began->seen[1];
}

/* The packet's source, or its destination, is in one of the networks. */
static bool is_inside(const struct nf_networks *inside, const struct nf_packet *p, bool destination)
{
    if (p->flags & NF_P_IPV4)
        return nf_prefixes_has(&inside->ipv4, destination ? p->daddr : p->saddr);
    return p->flags & NF_P_IPV6_READ &&
           nf_networks_has6(inside, nf_packet_ipv6_addresses(p) + (destination ? 16 : 0));
}

static uint8_t side_by_networks(const struct nf_networks *inside, const struct nf_packet *p)
{
    return is_inside(inside, p, false) ? NF_INSIDE : is_inside(inside, p, true) ? NF_OUTSIDE : UNKNOWN;
}

static uint8_t side_by_nat(const struct nat_config *nat, const struct nf_packet *p)
{
    return nat && p->flags & NF_P_IPV4 && nat_outside_has(&nat->outside, p->daddr) ? NF_OUTSIDE : UNKNOWN;
}

static uint8_t side_by_nat64(const struct nat64_config *nat, const struct nf_packet *p)
{
    if (nat && p->flags & NF_P_IPV6_READ && nat64_is_ours(nat, nf_packet_ipv6_addresses(p) + 16))
        return NF_INSIDE;
    return nat && p->flags & NF_P_IPV4 && nat_outside_has(&nat->outside, p->daddr) ? NF_OUTSIDE : UNKNOWN;
}

const void *nd_nf_config(const struct nf_chain_config *chain, const char *name)
{
    for (unsigned i = 0; i < chain->count; i++)
        if (strcmp(chain->nfs[i].module->name, name) == 0)
            return chain->nfs[i].config;
    return NULL;
}

/* Reads the packet, too. */
static void count_wrong(struct nd_tape *tape, struct nf_packet *p)
{
    nf_packet_parse(p);
    if (p->flags & NF_P_BAD && p->bad == NF_BAD_CHECKSUM) {
        tape->wrong_ip++;
        nf_packet_parse_unsummed(p);
    }
    if ((p->flags & (NF_P_L4 | NF_P_FRAGMENT)) == NF_P_L4 && nf_proto_is_ported(p->proto) &&
        !nf_packet_checksum_right(p))
        tape->wrong_l4++;
}

int nd_tape_sides(struct nd_tape *tape, const struct nf_chain_config *chain, const struct nf_networks *inside,
                  struct ft_fault *fault)
{
    const struct nat_config *nat = nd_nf_config(chain, "nat");
    const struct nat64_config *nat64 = nd_nf_config(chain, "nat64");
    const struct nf_networks of_nat = {.ipv4 = nat ? nat->inside : (struct nf_prefixes){0}};
    void *flows = NULL;
    int error = 0;

    for (uint64_t i = 0; i < tape->count && !error; i++) {
        struct nd_tape_input *in = &tape->inputs[i];
        struct nf_packet p = {.data = tape->bytes + in->at, .len = in->wire, .have = in->have};

        count_wrong(tape, &p);
        in->side = side_by_networks(inside ? inside : &of_nat, &p);
        if (in->side == UNKNOWN)
            in->side = side_by_nat(nat, &p);
        if (in->side == UNKNOWN)
            in->side = side_by_nat64(nat64, &p);
        struct flow flow = flow_of(&p), *began = find_flow(&flows, &flow);

        if (!began)
            error = FT_ENOMEM;
        else if (in->side == UNKNOWN)
            in->side = began->swapped == flow.swapped ? NF_INSIDE : NF_OUTSIDE;
        if (!error)
            count_doubled(tape, began, flow.swapped, in->side);
    }
    tdestroy(flows, free);
    return error ? ft_fail(fault, error, "no memory for the capture's flows") : 0;
}
