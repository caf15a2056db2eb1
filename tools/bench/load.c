/* SPDX-License-Identifier: Apache-2.0 */
/* Making the bench's traffic; see bench/load.h. */
#include "tools/bench/load.h"
#include "ftcore/base/draw.h"
#include "nflib/flow/flow.h"
#include "nflib/net/packet.h"
#include "nfs/load_balancer.h"
#include "nfs/nat/nat.h"
#include "tools/pair/tape.h"

#include <arpa/inet.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define INSIDE     0x0a000000u /* 10.0.0.0 */
#define SERVERS    0xc6120000u /* 198.18.0.0 */
#define CLIENTS    0x64400000u /* 100.64.0.0 */
#define HOSTS_MAX  4096u
#define PORT_FIRST 1024u
#define PORTS      60000u
#define LOOP_LEAST 65536u /* frames: a short loop would stay in the cache */
#define ETH_LEN    14u
#define IP_LEN     20u
#define SYN        0x02
#define ACK        0x10

/* ---- frames ------------------------------------------------------------------------------------ */

static void write_l4(uint8_t *ip, uint32_t len, const struct nd_load_flow *f, uint8_t tcp_flags)
{
    bool tcp = f->proto == NF_PROTO_TCP;
    uint8_t *l4 = ip + IP_LEN;

    nf_put16(l4, htons(f->sport));
    nf_put16(l4 + 2, htons(f->dport));
    if (tcp) {
        nf_put32(l4 + 4, htonl(1));
        nf_put32(l4 + 8, htonl(tcp_flags & ACK ? 1 : 0));
        l4[12] = 5 << 4;
        l4[13] = tcp_flags;
        nf_put16(l4 + 14, 65535);
    } else {
        nf_put16(l4 + 4, htons((uint16_t)len));
    }
    /* The addresses lie before the header; all behind it is zero, and adds nothing. */
    nf_put16(l4 + (tcp ? 16 : 6), nf_checksum_adjust16(nf_checksum(ip + 12, 8 + (tcp ? 20 : 8)), 0,
                                                       htons((uint16_t)(f->proto + len))));
}

static void write_frame(uint8_t *out, uint32_t wire, const struct nd_load_flow *f, uint8_t tcp_flags)
{
    static const uint8_t head[ETH_LEN] = {2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0};
    uint8_t *ip = out + ETH_LEN;

    memset(out, 0, ND_LOAD_LINE);
    memcpy(out, head, sizeof(head));
    ip[0] = 0x45;
    nf_put16(ip + 2, htons((uint16_t)(wire - ETH_LEN)));
    ip[6] = 0x40; /* do not fragment */
    ip[8] = 64;
    ip[9] = f->proto;
    nf_put32(ip + 12, htonl(f->saddr));
    nf_put32(ip + 16, htonl(f->daddr));
    nf_put16(ip + 10, nf_checksum(ip, IP_LEN));
    write_l4(ip, wire - ETH_LEN - IP_LEN, f, tcp_flags);
}

/* ---- flows ------------------------------------------------------------------------------------- */

static struct nd_load_flow flow_of(const struct nd_load *load, unsigned side, uint64_t i)
{
    struct nd_load_flow f = {.saddr = load->inside + 1 + (uint32_t)(i % load->inside_hosts),
                             .sport = (uint16_t)(PORT_FIRST + i / load->inside_hosts % PORTS),
                             .daddr = SERVERS + 1 + (uint32_t)(i * 7919 % 65521),
                             .dport = i & 1 ? 53 : 443,
                             .proto = i & 1 ? NF_PROTO_UDP : NF_PROTO_TCP};

    if (side == NF_INSIDE)
        return f;
    if (load->service)
        return (struct nd_load_flow){.saddr = CLIENTS + 1 + (uint32_t)(i % HOSTS_MAX),
                                     .sport = (uint16_t)(PORT_FIRST + i / HOSTS_MAX % PORTS),
                                     .daddr = load->service,
                                     .dport = load->service_port,
                                     .proto = load->service_proto};
    return (struct nd_load_flow){
        .saddr = f.daddr, .daddr = f.saddr, .sport = f.dport, .dport = f.sport, .proto = f.proto};
}

void nd_load_opening(const struct nd_load *load, unsigned side, uint64_t number, uint32_t wire, uint8_t *out)
{
    struct nd_load_flow f = flow_of(load, side, number);

    write_frame(out, wire, &f, SYN);
}

/* Where flows come from and go to. */
static void suit_to_chain(struct nd_load *load, const struct nf_chain_config *chain)
{
    const struct nat_config *nat = nd_nf_config(chain, "nat");
    const struct lb_config *lb = nd_nf_config(chain, "load_balancer");
    uint32_t hosts = HOSTS_MAX;

    load->inside = INSIDE;
    if (nat && nat->inside.count) {
        const struct nf_prefix *p = &nat->inside.list[0];

        load->inside = ntohl(p->addr & p->mask);
        hosts = ~ntohl(p->mask);
        hosts = hosts > 2 ? hosts - 1 : 1;
    }
    load->inside_hosts = hosts < HOSTS_MAX ? hosts : HOSTS_MAX;
    if (lb && lb->vip && lb->clients != NF_SIDES_INSIDE) {
        load->service = ntohl(lb->vip);
        load->service_port = (uint16_t)(lb->port ? lb->port : 80);
        load->service_proto = lb->proto == LB_UDP ? NF_PROTO_UDP : NF_PROTO_TCP;
    }
    load->answers = !nat && !lb;
}

/* ---- order ------------------------------------------------------------------------------------- */

/* Which flow each frame of the loop belongs to. */
struct order {
    uint64_t flows, random;
    double *below;  /* [flow] share of it and of those before it; NULL: all alike */
    uint32_t *turn; /* [flow] all alike: a shuffled loop */
};

static int order_open(struct order *o, uint64_t flows, double zipf, uint64_t seed)
{
    double sum = 0;

    *o = (struct order){.flows = flows, .random = seed};
    if (zipf > 0)
        o->below = malloc(flows * sizeof(*o->below));
    else
        o->turn = calloc(flows, sizeof(*o->turn));
    if (!o->below && !o->turn)
        return FT_ENOMEM;
    for (uint64_t i = 0; o->below && i < flows; i++)
        o->below[i] = sum += pow((double)(i + 1), -zipf);
    for (uint64_t i = 0; o->below && i < flows; i++)
        o->below[i] /= sum;
    for (uint64_t i = 0; o->turn && i < flows; i++) {
        uint64_t j = ft_draw(&o->random) % (i + 1);

        o->turn[i] = o->turn[j];
        o->turn[j] = (uint32_t)i;
    }
    return 0;
}

static uint64_t order_next(struct order *o, uint64_t position)
{
    uint64_t low = 0, high = o->flows - 1;
    double at;

    if (o->turn)
        return o->turn[position % o->flows];
    at = (double)(ft_draw(&o->random) >> 11) / 9007199254740992.0;
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;

        if (o->below[middle] < at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint32_t size_of(const struct nd_load *load, uint64_t *random)
{
    uint64_t roll;

    if (load->wish.frame)
        return load->wish.frame;
    roll = ft_draw(random) % 12;
    return roll < 7 ? 64 : roll < 11 ? 576 : 1500;
}

static void fill_side(struct nd_load *load, unsigned side, uint64_t flows, struct order *o, uint64_t line)
{
    struct nd_load_side *s = &load->side[side];
    uint64_t random = load->wish.seed ^ side;

    for (uint64_t i = 0; i < s->count; i++) {
        bool opening = i < s->opening;
        uint32_t wire = size_of(load, &random);
        struct nd_load_flow f = flow_of(load, side, opening ? i : order_next(o, i - s->opening) % flows);

        write_frame(load->bytes + (line + i) * ND_LOAD_LINE, wire, &f,
                    opening                                            ? SYN
                    : f.proto == NF_PROTO_TCP && load->answers && side ? SYN | ACK
                                                                       : ACK);
        s->frames[i] = (struct nd_load_frame){
            .line = (uint32_t)(line + i), .wire = (uint16_t)wire, .have = ND_LOAD_LINE};
        load->longest = wire > load->longest ? wire : load->longest;
    }
}

int nd_load_make(struct nd_load *load, const struct nd_load_wish *wish, const struct nf_chain_config *chain,
                 struct ft_fault *fault)
{
    uint64_t flows[ND_LOAD_SIDES], lines = 0;
    int error = 0;

    *load = (struct nd_load){.wish = *wish, .flows = wish->flows};
    suit_to_chain(load, chain);
    flows[NF_OUTSIDE] = load->service ? wish->flows / 2 : load->answers ? wish->flows : 0;
    flows[NF_INSIDE] = load->service ? wish->flows - flows[NF_OUTSIDE] : wish->flows;
    if (flows[NF_INSIDE] > (uint64_t)load->inside_hosts * PORTS)
        return ft_fail(fault, FT_EINVAL, "%lu flows from %u inside addresses, expected %lu at most",
                       wish->flows, load->inside_hosts, (uint64_t)load->inside_hosts * PORTS);
    for (unsigned s = 0; s < ND_LOAD_SIDES; s++) {
        uint64_t loop = flows[s] * ((LOOP_LEAST + flows[s]) / (flows[s] ? flows[s] : 1));

        load->side[s].opening = load->answers && s ? 0 : flows[s];
        load->side[s].count = flows[s] ? load->side[s].opening + loop : 0;
        load->side[s].frames = malloc((load->side[s].count + 1) * sizeof(*load->side[s].frames));
        lines += load->side[s].count;
        if (!load->side[s].frames)
            error = FT_ENOMEM;
    }
    load->bytes = aligned_alloc(ND_LOAD_LINE, (lines + 1) * ND_LOAD_LINE);
    if (!load->bytes)
        error = FT_ENOMEM;
    for (unsigned s = 0; s < ND_LOAD_SIDES && !error; s++) {
        struct order o;

        if (flows[s] == 0)
            continue;
        error = order_open(&o, flows[s], wish->zipf, wish->seed);
        if (!error)
            fill_side(load, s, flows[s], &o, s ? load->side[0].count : 0);
        free(o.below);
        free(o.turn);
    }
    if (error)
        nd_load_free(load);
    return error ? ft_fail(fault, error, "no memory for %lu flows", wish->flows) : 0;
}

/* ---- dealing out ------------------------------------------------------------------------------- */

/* A side's frames, in order; each goes to one lane. */
static int deal_side(struct nd_load *load, unsigned side)
{
    unsigned lanes = load->lanes.count;
    const struct nd_load_side *all = &load->side[side];

    for (unsigned l = 0; l < lanes; l++) {
        struct nd_load_side *to = &load->lane[l][side];

        *to = (struct nd_load_side){.frames = malloc((all->count + 1) * sizeof(*to->frames))};
        if (!to->frames)
            return FT_ENOMEM;
    }
    for (uint64_t i = 0; i < all->count; i++) {
        const struct nd_load_frame *f = &all->frames[i];
        const uint8_t *bytes = load->bytes + (uint64_t)f->line * ND_LOAD_LINE;
        unsigned lane = nd_tape_lane(bytes, f->wire, f->have, (uint8_t)side, load->lanes);
        struct nd_load_side *to = &load->lane[lane][side];

        to->frames[to->count++] = *f;
        to->opening += i < all->opening;
    }
    for (unsigned l = 0; l < lanes;
         l++) /* Zipf: a lane's flows may all be rare. Then they are opened again */
        if (load->lane[l][side].opening == load->lane[l][side].count)
            load->lane[l][side].opening = 0;
    return 0;
}

int nd_load_deal(struct nd_load *load, const struct nf_chain_config *chain, unsigned lanes,
                 struct ft_fault *fault)
{
    int error = nf_chain_scope(chain, lanes, &load->lanes.scope, fault);

    if (error)
        return error;
    load->lanes.count = lanes;
    for (unsigned s = 0; s < ND_LOAD_SIDES; s++)
        if (lanes == 1)
            load->lane[0][s] = load->side[s];
        else if (!error)
            error = deal_side(load, s);
    return error ? ft_fail(fault, error, "no memory for the traffic of %u lanes", lanes) : 0;
}

/* ---- a capture --------------------------------------------------------------------------------- */

static int take_tape(struct nd_load *load, const struct nd_tape *tape)
{
    uint64_t lines = 0;

    for (uint64_t i = 0; i < tape->count; i++)
        lines += (tape->inputs[i].have + ND_LOAD_LINE - 1) / ND_LOAD_LINE;
    load->bytes = aligned_alloc(ND_LOAD_LINE, (lines + 1) * ND_LOAD_LINE);
    for (unsigned s = 0; s < ND_LOAD_SIDES; s++)
        load->side[s].frames = malloc((tape->count + 1) * sizeof(*load->side[s].frames));
    if (!load->bytes || !load->side[0].frames || !load->side[1].frames)
        return FT_ENOMEM;
    lines = 0;
    for (uint64_t i = 0; i < tape->count; i++) {
        const struct nd_tape_input *in = &tape->inputs[i];
        struct nd_load_side *s = &load->side[in->side];

        memcpy(load->bytes + lines * ND_LOAD_LINE, tape->bytes + in->at, in->have);
        s->frames[s->count++] = (struct nd_load_frame){
            .line = (uint32_t)lines, .wire = (uint16_t)in->wire, .have = (uint16_t)in->have};
        lines += (in->have + ND_LOAD_LINE - 1) / ND_LOAD_LINE;
    }
    load->longest = tape->longest;
    return 0;
}

int nd_load_read(struct nd_load *load, const char *file, const struct nf_chain_config *chain,
                 struct ft_fault *fault)
{
    struct nd_tape tape;
    int error = nd_tape_read(&tape, file, chain, NULL, fault);

    *load = (struct nd_load){.flows = 0};
    if (error)
        return error;
    error = tape.count ? take_tape(load, &tape) : FT_EMALFORMED;
    if (error)
        nd_load_free(load);
    nd_tape_free(&tape);
    return error == FT_EMALFORMED ? ft_fail(fault, error, "%.150s: no packets in it, expected some", file)
           : error                ? ft_fail(fault, error, "%.150s: no memory for the capture", file)
                                  : 0;
}

void nd_load_free(struct nd_load *load)
{
    for (unsigned s = 0; s < ND_LOAD_SIDES; s++) {
        for (unsigned l = 0; load->lanes.count > 1 && l < load->lanes.count; l++)
            free(load->lane[l][s].frames);
        free(load->side[s].frames);
    }
    free(load->bytes);
    *load = (struct nd_load){.flows = 0};
}
