/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bench's traffic, and the ports in memory that it comes by. See io.h.
 *
 * A frame's first bytes are copied from the load into a buffer of the lane's, as a network card would write
 * them; outputs are counted, numbered and sampled, and their buffers given back, the last one first, as a
 * cache of packet buffers would.
 *
 * Open loop: packet k of a port is due at a time that the rate alone decides; it counts as waiting from then
 * on, whenever the lane comes to fetch it. The clock is read once a call. At full rate there is always a
 * packet, and no clock is read.
 */
#include "understudy/bench/io.h"
#include "ftcore/base/draw.h"
#include "nflib/flow/flow.h"
#include "nflib/net/packet.h"
#include "nflib/stream/stream.h"
#include "nfs/load_balancer.h"
#include "nfs/nat/nat_sessions.h"
#include "understudy/pair/tape.h"
#include "ftcore/base/check.h"
#include "ftcore/base/clock.h"

#include <arpa/inet.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* ==== traffic ========================================================================================== */

#define INSIDE     0x0a000000u /* 10.0.0.0 */
#define SERVERS    0xc6120000u /* 198.18.0.0 */
#define CLIENTS    0x64400000u /* 100.64.0.0 */
#define HOSTS_MAX  4096u
#define PORT_FIRST 1024u
#define PORTS      60000u
#define LOOP_LEAST 65536u /* frames: a short loop would stay in the cache */
#define ETH_LEN    14u
#define IP_LEN     20u
#define FIN        0x01
#define SYN        0x02
#define PSH        0x08
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

void nd_load_free(struct nd_load *load)
{
    for (unsigned s = 0; s < ND_LOAD_SIDES; s++) {
        for (unsigned l = 0; load->lanes.count > 1 && l < load->lanes.count; l++)
            free(load->lane[l][s].frames);
        free(load->side[s].frames);
    }
    free(load->bytes);
    *load = (struct nd_load){.bytes = NULL};
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

static int read_capture(struct nd_load *load, const char *file, const struct nf_chain_config *chain,
                        struct ft_fault *fault)
{
    struct nd_tape tape;
    int error = nd_tape_read(&tape, file, chain, NULL, fault);

    *load = (struct nd_load){.bytes = NULL};
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

/* ---- the whole ---------------------------------------------------------------------------------- */

int nd_load_make(struct nd_load *load, const char *capture, const struct nd_load_wish *wish,
                 const struct nf_chain_config *chain, struct ft_fault *fault)
{
    uint64_t flows[ND_LOAD_SIDES], lines = 0;
    int error = 0;

    if (capture)
        return read_capture(load, capture, chain, fault);
    *load = (struct nd_load){.wish = *wish};
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

/* ==== ports in memory ================================================================================== */

#define BUFFERS   32768u /* half of them the hold may have */
#define AHEAD     16u    /* frames: as many as a call takes, so that they come while the lane works */
#define SPARE     8u     /* buffers that no frame comes in: the cache gets those that are taken next */
#define SAMPLE    1024u  /* one output in so many is looked at; a power of two */
#define SECOND    1000000000ull
#define FRESH_LEN 64u /* bytes of a new flow's first frame */

/* As much as the processor copies at once. */
typedef uint64_t half_line __attribute__((vector_size(ND_LOAD_LINE / 2), may_alias));

struct buffer {
    uint64_t due; /* when its frame arrived, ns; 0: nobody asks */
    uint32_t len;
    uint16_t written; /* bytes that may not be zero */
    uint16_t lane;    /* whose it is */
    _Alignas(ND_LOAD_LINE) uint8_t frame[];
};

/* ---- arrival ----------------------------------------------------------------------------------- */

static void add_to(_Atomic uint64_t *at, uint64_t n)
{
    atomic_store_explicit(at, atomic_load_explicit(at, memory_order_relaxed) + n, memory_order_relaxed);
}

static void set_rate(struct nd_bench_io *io, struct nd_bench_port *port, uint64_t rate, uint64_t now)
{
    uint64_t gap = (SECOND << 16) / rate * io->busy;

    *port = (struct nd_bench_port){.next = port->next,
                                   .rate = rate,
                                   .began = now,
                                   .gap = gap ? gap : 1,
                                   .fresh = port->fresh,
                                   .fresh_due = port->fresh_due,
                                   .owed = port->owed};
}

/* How many of `max` packets of a port have arrived; their times go into due[]. */
static uint32_t count_arrivals(struct nd_bench_io *io, struct nd_bench_port *port, uint64_t rate,
                               uint32_t max, uint64_t due[])
{
    uint64_t now = ft_now();
    uint32_t n = 0;

    if (port->rate != rate)
        set_rate(io, port, rate, now);
    for (; n < max && port->began + (port->due >> 16) <= now; n++) {
        due[n] = port->began + (port->due >> 16);
        port->due += port->gap;
    }
    return n;
}

static struct buffer *take_buffer(struct nd_bench_lane *lane)
{
    return lane->free[--lane->frees];
}

static void give_back(struct nd_bench_lane *lane, struct buffer *b)
{
    lane->free[lane->frees++] = b;
}

static void note_written(struct buffer *b, uint32_t bytes)
{
    if (ft_unlikely(b->written < bytes))
        b->written = (uint16_t)bytes;
}

/* One of which more is kept than a line, or of which more is on the wire than is kept. */
static __attribute__((noinline)) void fill_long(struct buffer *b, const uint8_t *from,
                                                const struct nd_load_frame *f)
{
    memcpy(b->frame, from, f->have);
    if (b->written > f->have && f->wire > f->have)
        memset(b->frame + f->have, 0, (b->written < f->wire ? b->written : f->wire) - f->have);
}

static inline __attribute__((always_inline)) void fill_buffer(struct buffer *b, const uint8_t *from,
                                                              const struct nd_load_frame *f)
{
    if (ft_likely(f->have == ND_LOAD_LINE && f->wire == ND_LOAD_LINE)) {
        half_line *to = (half_line *)(void *)b->frame;
        const half_line *line = (const half_line *)(const void *)from;

        to[0] = line[0];
        to[1] = line[1];
    } else {
        fill_long(b, from, f);
    }
    note_written(b, f->have);
    b->len = f->wire;
}

/* So many frames of the load, and on from its end to where it repeats. */
static void receive_load(struct nd_bench_lane *lane, const struct nd_load_side *side,
                         struct nd_bench_port *port, const uint8_t *bytes, const uint64_t due[],
                         struct nd_frame frames[], uint32_t n)
{
    uint8_t number = (uint8_t)(port - lane->port);
    void **top = lane->free + lane->frees;
    const struct nd_load_frame *f = side->frames + port->next, *end = side->frames + side->count;

    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *from = bytes + (uint64_t)f->line * ND_LOAD_LINE;
        struct buffer *b = *--top;

        b->due = due[i];
        fill_buffer(b, from, f);
        __builtin_prefetch(from + AHEAD * ND_LOAD_LINE, 0, 0);
        __builtin_prefetch(top[-(int)SPARE], 1);
        __builtin_prefetch(((struct buffer *)top[-(int)SPARE])->frame, 1);
        frames[i] = (struct nd_frame){.data = b->frame, .len = b->len, .port = number, .owner = b};
        if (ft_unlikely(++f == end))
            f = side->frames + side->opening;
    }
    lane->frees -= n;
    port->next = (uint64_t)(f - side->frames);
}

/* Packet `number` of a side's new flows, which are numbered behind the others. */
static struct nd_load_flow fresh_flow(const struct nd_load *load, unsigned side, uint64_t number,
                                      uint8_t *tcp_flags)
{
    static const uint8_t steps[] = {SYN, ACK, PSH | ACK, PSH | ACK, FIN | ACK, ACK};
    const uint64_t together = 1024;
    uint64_t i = number;
    struct nd_load_flow f;

    *tcp_flags = SYN;
    if (load->wish.new_kind == ND_NEW_TCP) {
        i = number / (together * sizeof(steps)) * together + number % together;
        *tcp_flags = steps[number / together % sizeof(steps)];
    }
    f = flow_of(load, side, load->wish.flows + i);
    if (load->wish.new_kind != ND_NEW_MIXED && (side == NF_INSIDE || !load->service)) {
        f.proto = load->wish.new_kind == ND_NEW_UDP ? NF_PROTO_UDP : NF_PROTO_TCP;
        *(side == NF_INSIDE ? &f.dport : &f.sport) = f.proto == NF_PROTO_UDP ? 53 : 443;
    }
    return f;
}

/* The next packet of a new flow that is this lane's. */
static void fill_fresh(struct nd_bench_io *io, unsigned lane, unsigned side, struct buffer *b)
{
    struct nd_bench_port *port = &io->lane[lane].port[side];
    struct nd_load_flow f;
    uint8_t tcp_flags;

    do {
        f = fresh_flow(io->load, side, port->fresh++, &tcp_flags);
        write_frame(b->frame, FRESH_LEN, &f, tcp_flags);
    } while (io->load->lanes.count > 1 &&
             nd_tape_lane(b->frame, FRESH_LEN, FRESH_LEN, (uint8_t)side, io->load->lanes) != lane);
    note_written(b, FRESH_LEN);
    b->len = FRESH_LEN;
}

/* True when the next packet is to be of a new flow. */
static bool wants_fresh(const struct nd_bench_io *io, struct nd_bench_port *port, uint64_t now)
{
    const struct nd_load_wish *wish = &io->load->wish;

    if (wish->new_share) {
        port->owed += wish->new_share;
        if (port->owed < 100)
            return false;
        port->owed -= 100;
        return true;
    }
    if (now < port->fresh_due)
        return false;
    port->fresh_due = (port->fresh_due ? port->fresh_due : now) + SECOND * io->busy / wish->new_flows;
    return true;
}

static uint32_t receive_frames(void *ctx, unsigned index, unsigned number, struct nd_frame frames[],
                               uint32_t max)
{
    struct nd_bench_io *io = ctx;
    struct nd_bench_lane *lane = &io->lane[index];
    const struct nd_load_side *side = &io->load->lane[index][number];
    struct nd_bench_port *port = &lane->port[number];
    uint64_t rate = atomic_load_explicit(&io->slot->rate, memory_order_relaxed), now = 0;
    static const uint64_t nobody_asks[FT_BURST_MAX];
    uint64_t times[FT_BURST_MAX];
    const uint64_t *due = nobody_asks;
    uint32_t done = 0, n = lane->frees > SPARE ? lane->frees - SPARE : 0;

    n = n < max ? n : max;
    if (ft_unlikely(rate == 0)) {
        add_to(&lane->count->unfed, 1);
        port->rate = 0; /* the same rate again begins anew */
    }
    if (rate == 0 || side->count == 0 || n > FT_BURST_MAX)
        return 0;
    if (io->load->answers && number == NF_OUTSIDE &&
        lane->port[NF_INSIDE].next < io->load->lane[index][NF_INSIDE].opening)
        return 0; /* nothing to answer yet */
    if (rate != ND_RATE_FULL) {
        n = count_arrivals(io, port, rate, n, times);
        due = times;
    }
    bool begins = (io->load->wish.new_flows || io->load->wish.new_share) && port->next >= side->opening;

    if (ft_unlikely(begins && io->load->wish.new_flows))
        now = ft_now();
    while (ft_unlikely(begins && done < n)) {
        if (wants_fresh(io, port, now)) {
            struct buffer *b = take_buffer(lane);

            fill_fresh(io, index, number, b);
            b->due = due[done];
            frames[done] =
                (struct nd_frame){.data = b->frame, .len = b->len, .port = (uint8_t)number, .owner = b};
        } else if (io->load->wish.new_share) {
            receive_load(lane, side, port, io->load->bytes, due + done, frames + done, 1);
        } else {
            break;
        }
        done++;
    }
    receive_load(lane, side, port, io->load->bytes, due + done, frames + done, n - done);
    add_to(&lane->count->arrived[number], n);
    return n;
}

/* ---- the sink ---------------------------------------------------------------------------------- */

/* Lengths and checksums, as its receiver would look at them. What is neither IP nor TCP or UDP passes. */
static bool is_sound(struct buffer *b)
{
    struct nf_packet p = {.data = b->frame, .len = b->len, .have = b->len};

    nf_packet_parse(&p);
    return !(p.flags & NF_P_BAD) && ((p.flags & (NF_P_L4 | NF_P_FRAGMENT)) != NF_P_L4 ||
                                     !nf_proto_is_ported(p.proto) || nf_packet_checksum_right(&p));
}

static uint32_t bucket_of(uint64_t ns)
{
    uint32_t shift, index;

    if (ns < ND_TIMES_SUB)
        return (uint32_t)ns;
    shift = 63u - (uint32_t)__builtin_clzll(ns) - 6u;
    index = (shift + 1) * ND_TIMES_SUB + (uint32_t)(ns >> shift) - ND_TIMES_SUB;
    return index < ND_TIMES_BUCKETS ? index : ND_TIMES_BUCKETS - 1;
}

static void count_time(struct nd_times *t, uint64_t ns)
{
    add_to(&t->bucket[bucket_of(ns)], 1);
    add_to(&t->count, 1);
    if (ns > atomic_load_explicit(&t->most, memory_order_relaxed))
        atomic_store_explicit(&t->most, ns, memory_order_relaxed);
}

/* A new phase: times are counted anew. */
static void follow_phase(const struct nd_bench_slot *slot, struct nd_bench_count *counts)
{
    uint64_t phase = atomic_load_explicit(&slot->phase, memory_order_relaxed);
    struct nd_times *t = &counts->times;

    if (ft_likely(phase == atomic_load_explicit(&counts->phase_seen, memory_order_relaxed)))
        return;
    for (uint32_t i = 0; i < ND_TIMES_BUCKETS; i++)
        atomic_store_explicit(&t->bucket[i], 0, memory_order_relaxed);
    atomic_store_explicit(&t->count, 0, memory_order_relaxed);
    atomic_store_explicit(&t->most, 0, memory_order_relaxed);
    atomic_store_explicit(&counts->phase_seen, phase, memory_order_release);
}

/* Of a capture the end may be missing: what it had has other checksums than zeros would. */
static __attribute__((noinline)) void look_at(const struct nd_bench_io *io, struct nd_bench_count *counts,
                                              struct buffer *b)
{
    if (!io->load->wish.flows)
        return;
    add_to(&counts->sampled, 1);
    add_to(&counts->bad, !is_sound(b));
}

static uint32_t transmit_frames(void *ctx, unsigned index, unsigned port, const struct ft_held held[],
                                uint32_t n)
{
    struct nd_bench_io *io = ctx;
    struct nd_bench_lane *lane = &io->lane[index];
    struct nd_bench_count *counts = lane->count;
    uint64_t now = 0, number = lane->number, own = 0;
    void **top = lane->free + lane->frees;

    (void)port;
    follow_phase(io->slot, counts);
    for (uint32_t i = 0; i < n; i++) {
        struct buffer *b = *top++ = held[i].packet;

        if (ft_unlikely(held[i].number != number + 1)) {
            if (held[i].number == 0) { /* the node's own frame: no output of the chain */
                own++;
                continue;
            }
            add_to(&counts->gaps, 1);
        }
        number = held[i].number;
        if (b->due) {
            now = now ? now : ft_now();
            count_time(&counts->times, now - b->due);
        }
        if (ft_unlikely((number & (SAMPLE - 1)) == 0))
            look_at(io, counts, b);
    }
    lane->frees += n;
    lane->number = number;
    add_to(&counts->released, n - own);
    return n;
}

static void *make_buffer(void *ctx, unsigned index, const void *frame, uint32_t len)
{
    struct nd_bench_lane *lane = &((struct nd_bench_io *)ctx)->lane[index];
    struct buffer *b;

    if (lane->frees == 0 || len > NF_EMIT_SLOT)
        return NULL;
    b = take_buffer(lane);
    memcpy(b->frame, frame, len);
    b->due = 0;
    b->len = len;
    note_written(b, len);
    return b;
}

static uint8_t *frame_of(void *owner)
{
    return ((struct buffer *)owner)->frame;
}

static void drop_buffer(void *ctx, void *owner)
{
    struct buffer *b = owner;

    give_back(&((struct nd_bench_io *)ctx)->lane[b->lane], b);
}

bool nd_bench_has_opened(const struct nd_bench_slot *slot, const struct nd_load *load)
{
    for (unsigned l = 0; l < load->lanes.count; l++)
        for (unsigned s = 0; s < ND_LOAD_SIDES; s++)
            if (atomic_load(&slot->lane[l].arrived[s]) < load->lane[l][s].opening)
                return false;
    return true;
}

/* ---- making ------------------------------------------------------------------------------------ */

/* The first buffer to be taken is the first of the lane's own. */
static int open_lane(struct nd_bench_io *io, unsigned index, uint32_t size)
{
    struct nd_bench_lane *lane = &io->lane[index];
    uint8_t *part = io->pool + (size_t)size * BUFFERS * index;

    lane->count = &io->slot->lane[index];
    lane->free = malloc(BUFFERS * sizeof(*lane->free));
    if (!lane->free)
        return FT_ENOMEM;
    for (uint32_t i = BUFFERS; i-- > 0;) {
        struct buffer *b = (struct buffer *)(part + (size_t)i * size);

        if (index) /* untouched memory is lane 0's, and costs nothing until it is used */
            b->lane = (uint16_t)index;
        give_back(lane, b);
    }
    for (unsigned s = 0; s < ND_LOAD_SIDES; s++)
        io->busy += io->load->lane[index][s].count > 0;
    return 0;
}

int nd_bench_io_open(struct nd_bench_io *io, struct nd_bench_slot *slot, const struct nd_load *load,
                     struct ft_fault *fault)
{
    uint32_t frame = load->longest > NF_EMIT_SLOT ? load->longest : NF_EMIT_SLOT,
             size =
                 ((uint32_t)sizeof(struct buffer) + frame + ND_LOAD_LINE - 1) / ND_LOAD_LINE * ND_LOAD_LINE;
    int error = 0;

    *io = (struct nd_bench_io){.slot = slot, .load = load};
    /* An odd number of lines, so that frames' first lines do not all fall into the same sets of a cache. */
    size += size / ND_LOAD_LINE % 2 ? 0 : ND_LOAD_LINE;
    /* Its memory is there, as that of a port's buffers is, and the guardian, which is forked later, does not
     * share it: else a burst that holds more than ever before would wait for a dozen pages. */
    io->pool = mmap(NULL, (size_t)size * BUFFERS * load->lanes.count, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (io->pool == MAP_FAILED)
        error = FT_ENOMEM;
    else
        madvise(io->pool, (size_t)size * BUFFERS * load->lanes.count, MADV_DONTFORK);
    for (unsigned l = 0; l < load->lanes.count && !error; l++)
        error = open_lane(io, l, size);
    if (error)
        return ft_fail(fault, FT_ENOMEM, "no memory for %u packet buffers", BUFFERS * load->lanes.count);
    io->io = (struct nd_io){.ctx = io,
                            .ports = ND_LOAD_SIDES,
                            .devices = ND_LOAD_SIDES,
                            .side = {NF_INSIDE, NF_OUTSIDE},
                            .buffers = BUFFERS,
                            .receive = receive_frames,
                            .send = transmit_frames,
                            .make = make_buffer,
                            .data = frame_of,
                            .drop = drop_buffer};
    return 0;
}
