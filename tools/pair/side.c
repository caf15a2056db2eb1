/* SPDX-License-Identifier: Apache-2.0 */
/* From which side a captured packet came; see pair/tape.h. */
#include "nflib/flow/flow.h"
#include "nfs/nat_table.h"
#include "tools/pair/tape.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define UNKNOWN 2

/* Who began each flow: open addressing, doubled when half full. */
struct ends {
    uint8_t low[6], high[6]; /* MACs */
};
struct flow {
    union {
        struct nf_flow_key key;
        struct ends ends;
    };
    uint8_t used;
    uint8_t swapped; /* of the first packet */
    uint8_t macs;
};
struct flows {
    struct flow *slots;
    uint64_t size, count;
};

static struct flow *find_flow(const struct flows *flows, const struct flow *wanted)
{
    uint64_t at = XXH3_64bits_withSeed(&wanted->key, sizeof(wanted->key), wanted->macs) & (flows->size - 1);

    while (flows->slots[at].used && (flows->slots[at].macs != wanted->macs ||
                                     memcmp(&flows->slots[at].key, &wanted->key, sizeof(wanted->key)) != 0))
        at = (at + 1) & (flows->size - 1);
    return &flows->slots[at];
}

static int make_room(struct flows *flows)
{
    struct flows more = {.size = flows->size ? flows->size * 2 : 4096, .count = flows->count};

    if (flows->count * 2 < flows->size)
        return 0;
    more.slots = calloc(more.size, sizeof(*more.slots));
    if (!more.slots)
        return FT_ENOMEM;
    for (uint64_t i = 0; i < flows->size; i++)
        if (flows->slots[i].used)
            *find_flow(&more, &flows->slots[i]) = flows->slots[i];
    free(flows->slots);
    *flows = more;
    return 0;
}

/* The flow of a packet, and whether it goes from its greater end to its lesser. */
static struct flow flow_of(const struct nf_packet *p)
{
    struct flow flow = {.used = 1};

    if (p->flags & NF_P_IPV4) {
        bool ports = (p->flags & NF_P_L4) && !(p->flags & NF_P_FRAGMENT) &&
                     (p->proto == NF_PROTO_TCP || p->proto == NF_PROTO_UDP);

        flow.swapped = nf_flow_key_make(&flow.key, p->proto, p->saddr, ports ? p->sport : 0, p->daddr,
                                        ports ? p->dport : 0);
    } else if (p->have >= 12) {
        flow.macs = 1;
        flow.swapped = memcmp(p->data + 6, p->data, 6) > 0;
        memcpy(flow.ends.low, p->data + (flow.swapped ? 0 : 6), 6);
        memcpy(flow.ends.high, p->data + (flow.swapped ? 6 : 0), 6);
    } else {
        flow.macs = 1;
    }
    return flow;
}

static uint8_t side_by_flow(struct flows *flows, const struct nf_packet *p)
{
    struct flow flow = flow_of(p), *first = find_flow(flows, &flow);

    if (!first->used) {
        *first = flow;
        flows->count++;
    }
    return first->swapped == flow.swapped ? NF_INSIDE : NF_OUTSIDE;
}

static uint8_t side_by_nat(const struct nat_config *nat, const struct nf_packet *p)
{
    if (!nat || !(p->flags & NF_P_IPV4))
        return UNKNOWN;
    if (nf_prefixes_has(&nat->inside, p->saddr))
        return NF_INSIDE;
    return nf_prefixes_has(&nat->inside, p->daddr) || p->daddr == nat->outside ? NF_OUTSIDE : UNKNOWN;
}

static const struct nat_config *nat_of(const struct nf_chain_config *chain)
{
    for (unsigned i = 0; i < chain->count; i++)
        if (strcmp(chain->nfs[i].module->name, "nat") == 0)
            return chain->nfs[i].config;
    return NULL;
}

int nd_tape_sides(struct nd_tape *tape, const struct nf_chain_config *chain, struct ft_fault *fault)
{
    const struct nat_config *nat = nat_of(chain);
    struct flows flows = {NULL, 0, 0};

    for (uint64_t i = 0; i < tape->count; i++) {
        struct nd_tape_input *in = &tape->inputs[i];
        struct nf_packet p = {.data = tape->bytes + in->at, .len = in->wire, .have = in->have};

        nf_packet_parse(&p);
        in->side = side_by_nat(nat, &p);
        if (in->side != UNKNOWN)
            continue;
        if (make_room(&flows)) {
            free(flows.slots);
            return ft_fail(fault, FT_ENOMEM, "no memory for the capture's flows");
        }
        in->side = side_by_flow(&flows, &p);
    }
    free(flows.slots);
    return 0;
}
