/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ports and the hosts behind them. Clients send what the seed says at the times it says, whatever the nodes
 * do; servers answer what reaches them. Frames go to the node that claimed the addresses last, as a switch
 * would send them; what waits in a dead node's ports is lost. Every packet names its flow, so that hosts see
 * when a packet of one comes to another.
 */
#include "tests/sim/keeper.h"

#include "ftcore/base/check.h"
#include "lane/frames.h"
#include "nflib/chain/chain.h"
#include "nftest/frames.h"

#include <string.h>

#define FLOWS_MAX  48u
#define PORT_DEPTH 512u
#define MAGIC      0x51f0aa77u

struct flow {
    struct nft_spec spec; /* of what its client sends */
    struct sim_random random;
    uint64_t next;
    uint32_t sent, packets;
    uint8_t side;
    bool tcp, bad;
};

struct tag { /* in the payload */
    uint32_t magic, flow, seq, reply;
};

static struct flow flow[FLOWS_MAX];
static struct sim_queue wire[2]; /* under way to a port: hosts' frames, by side */
static struct sim_queue node_wire[SIM_NODES][SIM_PORTS];
static struct sim_queue keeper_wire[SIM_KEEPERS][SIM_PORTS]; /* keepers' ports, in seeds that have them */
static unsigned
    spoke[SIM_PORTS]; /* the keeper from which a switch heard the chain last; SIM_KEEPERS: none yet */

/* ---- queues -------------------------------------------------------------------------------------- */

static void clear(struct sim_queue *q)
{
    q->first = NULL;
    q->last = &q->first;
    q->count = 0;
}

static void push(struct sim_queue *q, struct sim_packet *p)
{
    p->next = NULL;
    *q->last = p;
    q->last = &p->next;
    q->count++;
}

static struct sim_packet *pop(struct sim_queue *q)
{
    struct sim_packet *p = q->first;

    if (!p)
        return NULL;
    q->first = p->next;
    if (!q->first)
        q->last = &q->first;
    q->count--;
    return p;
}

static void insert(struct sim_queue *q, struct sim_packet *p) /* by time */
{
    struct sim_packet **at = &q->first;

    while (*at && (*at)->at <= p->at)
        at = &(*at)->next;
    p->next = *at;
    *at = p;
    if (!p->next)
        q->last = &p->next;
    q->count++;
}

static struct sim_packet *new_packet(const void *frame, uint32_t len)
{
    struct sim_packet *p = sim_alloc(sizeof(*p) + len);

    p->len = len;
    memcpy(p->data, frame, len);
    return p;
}

/* ---- hosts --------------------------------------------------------------------------------------- */

static void address(struct flow *f, unsigned i)
{
    struct sim_random *r = &f->random;
    bool service = strcmp(sim_chain_name[sim.plan.chain], "balanced") == 0 && sim_chance(r, 600);
    static const uint16_t ports[] = {80, 443, 53, 25, 8080};

    f->side = service ? NF_OUTSIDE : NF_INSIDE;
    f->tcp = service || sim_chance(r, 600);
    f->spec.proto = f->tcp ? 6 : sim_chance(r, 850) ? 17 : 1;
    f->spec.src = service ? NFT_IP(198, 51, 100, 1 + i % 7) : NFT_IP(10, 0, 0, 1 + i % 9);
    f->spec.dst = service ? NFT_IP(203, 0, 113, 10) : NFT_IP(192, 0, 2, 1 + sim_draw(r, 4));
    f->spec.sport = (uint16_t)(1024 + sim_draw(r, 60000));
    f->spec.dport = service ? 80 : ports[sim_draw(r, 5)];
    if (f->spec.proto == 1)
        f->spec.type = 8;
    if (sim.plan.told) /* ports come again soon, when others have had their sessions' records */
        f->spec.sport = (uint16_t)(1024 + f->spec.sport % 4);
}

static void new_life(struct flow *f, unsigned i, uint64_t from)
{
    f->bad = sim_chance(&f->random, 30);
    address(f, i);
    f->sent = 0;
    f->packets = 3 + (uint32_t)sim_draw(&f->random, 20);
    f->next = from + sim_draw(&f->random, 40 * SIM_MS);
}

void sim_ports_begin(void)
{
    for (unsigned i = 0; i < 2; i++) {
        clear(&wire[i]);
        for (unsigned k = 0; k < SIM_KEEPERS; k++)
            clear(&keeper_wire[k][i]);
        spoke[i] = SIM_KEEPERS;
    }
    for (unsigned i = 0; i < SIM_NODES; i++)
        for (unsigned p = 0; p < SIM_PORTS; p++)
            clear(&node_wire[i][p]);
    FT_CHECK(sim.plan.flows <= FLOWS_MAX, "%u flows", sim.plan.flows);
    for (unsigned i = 0; i < sim.plan.flows; i++) {
        memset(&flow[i], 0, sizeof(flow[i]));
        flow[i].random.at = sim_draw(&sim.hosts, UINT64_MAX);
        new_life(&flow[i], i, 5 * SIM_MS);
    }
}

static struct sim_packet *build(const struct nft_spec *spec, uint32_t id, uint32_t seq, uint32_t reply)
{
    struct tag tag = {.magic = MAGIC, .flow = id, .seq = seq, .reply = reply};
    uint8_t frame[NFT_FRAME_MAX];
    struct nft_seen seen;
    uint32_t len = nft_frame(spec, frame), at;

    if (nft_see(frame, len, &seen)) {
        at = seen.l4 + (spec->proto == 6 ? 20 : 8);
        memcpy(frame + at, &tag, sizeof(tag));
        if (spec->proto == 1) /* not an address is in its sum: by way of another content */
            nft_readdress(frame, len, spec->src, spec->sport, spec->dst, spec->sport);
        else
            nft_readdress(frame, len, spec->src, spec->sport, spec->dst, spec->dport);
    }
    return new_packet(frame, len);
}

/* The DSCP that its host gives a packet, in seeds of the kind `told`; so vary and build_later. */
static void mark(struct sim_random *r, struct sim_packet *p)
{
    static const uint8_t dscps[] = {0, 0, 10, 26, 46};
    struct nft_seen seen;

    if (!nft_see(p->data, p->len, &seen))
        return;
    p->data[seen.l3 + 1] = (uint8_t)(dscps[sim_draw(r, sizeof(dscps))] << 2);
    nft_ip_checksum(p->data, p->len);
}

/* What no session may tell, tags and a first fragment; or flags that end the flow's session or begin it
 * again. */
static void vary(struct sim_random *r, struct nft_spec *spec)
{
    uint64_t what = sim_draw(r, 1000);

    if (what < 120)
        spec->tags = what < 60 ? 1 : 2;
    else if (what < 220 && spec->proto != 1) {
        spec->fragment = NFT_MORE;
        spec->payload = (uint16_t)((spec->payload & ~7u) + (spec->proto == 6 ? 4 : 0));
    } else if (what < 280 && spec->tcp)
        spec->tcp = what < 250 ? NFT_SYN : NFT_RST;
}

/* The rest of a datagram whose first fragment `spec` is. */
static struct sim_packet *build_later(const struct nft_spec *spec)
{
    struct nft_spec later = *spec;
    uint8_t frame[NFT_FRAME_MAX];

    later.fragment = (uint16_t)((spec->payload + (spec->proto == 6 ? 20u : 8u)) / 8);
    later.payload = 40;
    return new_packet(frame, nft_frame(&later, frame));
}

static bool tag_of(const uint8_t *frame, uint32_t len, struct nft_seen *seen, struct tag *tag)
{
    uint32_t at;

    if (!nft_see(frame, len, seen) || (seen->fragment & 0x1fff))
        return false;
    at = seen->l4 + (seen->proto == 6 ? 20 : 8);
    if (at + sizeof(*tag) > len)
        return false;
    memcpy(tag, frame + at, sizeof(*tag));
    return tag->magic == MAGIC && tag->flow < sim.plan.flows;
}

static void damage(struct flow *f, struct sim_packet *p)
{
    switch (sim_draw(&f->random, 4)) {
    case 0: /* short */
        p->len = 14 + (uint32_t)sim_draw(&f->random, p->len - 14);
        break;
    case 1: /* a header that lies */
        p->data[14 + sim_draw(&f->random, 30)] ^= (uint8_t)(1 + sim_draw(&f->random, 255));
        break;
    case 2:
        for (uint32_t i = 0; i < p->len; i++)
            p->data[i] = (uint8_t)sim_draw(&f->random, 256);
        break;
    default: /* another protocol */
        p->data[12] = 0x86;
        p->data[13] = 0xdd;
    }
}

static void client_sends(struct flow *f, unsigned i)
{
    struct nft_spec spec = f->spec;
    struct sim_packet *p;

    spec.payload =
        (uint16_t)(sizeof(struct tag) + (sim_chance(&f->random, 50) ? 1300 : sim_draw(&f->random, 60)));
    spec.ip_id = (uint16_t)f->sent;
    spec.tcp = f->sent == 0 ? NFT_SYN : f->sent + 1 == f->packets ? NFT_FIN | NFT_ACK : NFT_ACK;
    if (sim.plan.told)
        vary(&f->random, &spec);
    p = build(&spec, i, f->sent, 0);
    if (sim.plan.told)
        mark(&f->random, p);
    if (f->bad && sim_chance(&f->random, 400))
        damage(f, p);
    p->at = f->next;
    insert(&wire[f->side], p);
    if (spec.fragment) {
        p = build_later(&spec);
        p->at = f->next;
        insert(&wire[f->side], p);
    }
    f->sent++;
    f->next += sim_chance(&f->random, 100) ? 1 : 1 + sim_draw(&f->random, 2 * sim.plan.gap * sim.plan.flows);
    if (f->sent == f->packets)
        new_life(f, i, f->next);
}

/* What a server or client makes of a frame that came out of the chain. */
static void host_hears(unsigned port, const uint8_t *frame, uint32_t len)
{
    struct nft_seen seen;
    struct nft_spec spec = {0};
    struct tag tag;
    struct sim_packet *p;

    if (!tag_of(frame, len, &seen, &tag))
        return;
    if (tag.reply) {
        sim.count.replies++;
        return;
    }
    if (sim.now > sim.plan.quiet_at || (tag.seq * 2654435761u >> 28) < 3)
        return;
    spec.src = seen.dst;
    spec.dst = seen.src;
    spec.sport = seen.proto == 1 ? seen.sport : seen.dport;
    spec.dport = seen.sport;
    spec.proto = seen.proto;
    spec.tcp = (uint8_t)(tag.seq == 0 ? NFT_SYN | NFT_ACK : NFT_ACK);
    spec.payload = (uint16_t)(sizeof(tag) + tag.seq % 40);
    if (sim.plan.told)
        vary(&sim.hosts, &spec);
    p = build(&spec, tag.flow, tag.seq, 1);
    p->at = sim.now + 50 * SIM_US + sim_draw(&sim.net, 500 * SIM_US);
    if (sim.plan.told)
        mark(&sim.hosts, p);
    if (sim.plan.told && sim_chance(&sim.hosts, 200)) /* when its session may be on its way out */
        p->at += sim_draw(&sim.hosts, 60 * SIM_MS);
    insert(&wire[port], p);
}

/* ---- a node's ports ------------------------------------------------------------------------------- */

static void arrive(unsigned node, unsigned port, const struct sim_packet *p)
{
    if (!sim.node[node].alive || node_wire[node][port].count >= PORT_DEPTH) {
        sim.count.lost++;
        return;
    }
    push(&node_wire[node][port], new_packet(p->data, p->len));
}

static void reach_keepers(unsigned port, struct sim_packet *p)
{
    unsigned reached = 0;

    for (unsigned k = 0; k < sim.plan.keepers; k++) {
        if (!sim.plan.floods && spoke[port] < SIM_KEEPERS && spoke[port] != k)
            continue;
        if (!sim_keeper_lives(k) || keeper_wire[k][port].count >= PORT_DEPTH)
            continue;
        push(&keeper_wire[k][port], reached ? new_packet(p->data, p->len) : p);
        reached++;
    }
    sim.count.lost += reached == 0;
}

struct sim_packet *sim_ports_take(unsigned k, unsigned port)
{
    return pop(&keeper_wire[k][port]);
}

void sim_ports_leave(unsigned k, unsigned port, const uint8_t *frame, uint32_t len)
{
    spoke[port] = k;
    if (frame)
        host_hears(port, frame, len);
}

void sim_ports_lose(unsigned k)
{
    for (unsigned port = 0; port < SIM_PORTS; port++) {
        sim.count.lost += keeper_wire[k][port].count;
        clear(&keeper_wire[k][port]);
    }
}

void sim_ports_tick(void)
{
    struct sim_packet *p;

    for (unsigned i = 0; i < sim.plan.flows && sim.now >= sim.still_until; i++)
        while (flow[i].next <= sim.now && flow[i].next < sim.plan.quiet_at)
            client_sends(&flow[i], i);
    for (unsigned side = 0; side < 2; side++)
        while (wire[side].first && wire[side].first->at <= sim.now) {
            p = pop(&wire[side]);
            if (sim.plan.keeper)
                reach_keepers(side, p);
            for (unsigned n = 0; n < sim.nodes && !sim.plan.keeper; n++)
                if (sim.owner == n || sim.owner == SIM_NOBODY)
                    arrive(n, side, p);
        }
}

void sim_ports_clear(struct sim_node *n)
{
    for (unsigned p = 0; p < SIM_PORTS; p++) {
        sim.count.lost += node_wire[n->index][p].count;
        clear(&node_wire[n->index][p]);
        for (unsigned l = 0; l < SIM_LANES; l++) {
            sim.count.lost += n->port[l][p].count;
            clear(&n->port[l][p]);
        }
    }
}

uint64_t sim_ports_waiting(const struct sim_node *n)
{
    uint64_t count = wire[0].count + wire[1].count;

    for (unsigned k = 0; k < SIM_KEEPERS; k++)
        count += keeper_wire[k][0].count + keeper_wire[k][1].count;

    for (unsigned p = 0; p < SIM_PORTS; p++) {
        count += node_wire[n->index][p].count;
        for (unsigned l = 0; l < sim.plan.lanes; l++)
            count += n->port[l][p].count;
    }
    return count;
}

/* The lane that comes by deals out what has arrived, as understudy/ports/ports.c does. */
static void deal(struct sim_node *n, unsigned port)
{
    struct sim_packet *p;

    while ((p = pop(&node_wire[n->index][port]))) {
        struct nf_packet packet = {
            .data = p->data, .len = p->len, .have = p->len, .in_port = (uint8_t)port, .side = (uint8_t)port};
        unsigned lane = 0;

        nf_packet_parse(&packet);
        if (sim.plan.lanes > 1 && !nf_chain_owner(n->lane[0].chain, &packet, &lane))
            lane = nf_lane_of(&packet, NF_OF_FLOW, sim.plan.lanes);
        push(&n->port[lane][port], p);
    }
}

static uint32_t receive(void *ctx, unsigned lane, unsigned port, struct nd_frame frames[], uint32_t max)
{
    struct sim_node *n = ctx;
    struct sim_packet *p;
    uint32_t count = 0;

    deal(n, port);
    while (count < max && (p = pop(&n->port[lane][port])))
        frames[count++] =
            (struct nd_frame){.data = p->data, .len = p->len, .port = (uint8_t)port, .owner = p};
    return count;
}

/* Heartbeats and claims: to the other nodes. */
static void send_own(struct sim_node *n, unsigned port, struct sim_packet *p)
{
    for (unsigned i = 0; i < sim.nodes; i++)
        if (i != n->index && sim.now >= sim.port_blocked[i])
            arrive(i, port, p);
}

static uint32_t send(void *ctx, unsigned lane, unsigned port, const struct ft_held held[], uint32_t n)
{
    struct sim_node *node = ctx;

    if (held[0].number == 0) {
        send_own(node, port, held[0].packet);
        return n;
    }
    sim_saw_lease_check(node, lane);
    sim_step(SIM_BEFORE_RELEASE);
    if (sim_chance(&sim.order, 10)) /* the port takes less than offered */
        n = (uint32_t)sim_draw(&sim.order, n + 1);
    sim_saw_release(node, lane, port, held, n);
    for (uint32_t i = 0; i < n; i++) {
        struct sim_packet *p = held[i].packet;

        host_hears(port, p->data, p->len);
    }
    sim_step(SIM_AFTER_RELEASE);
    return n;
}

static void *make(void *ctx, unsigned lane, const void *frame, uint32_t len)
{
    (void)ctx;
    (void)lane;
    return new_packet(frame, len);
}

static uint8_t *data(void *owner)
{
    return ((struct sim_packet *)owner)->data;
}

static void drop(void *ctx, void *owner)
{
    (void)ctx;
    (void)owner; /* the seed's memory goes as a whole */
}

static bool room(void *ctx, unsigned lane)
{
    (void)ctx;
    (void)lane;
    return true;
}

static void record(void *ctx, unsigned lane, const struct ft_record *r)
{
    sim_saw_record(ctx, lane, r);
}

void sim_ports_io(struct sim_node *n)
{
    n->io = (struct nd_io){
        .ctx = n,
        .ports = SIM_PORTS,
        .devices = SIM_PORTS,
        .side = {NF_INSIDE, NF_OUTSIDE},
        .own = {{2, 0, 0, 0, 0, (uint8_t)(16 + n->index)}, {2, 0, 0, 0, 1, (uint8_t)(16 + n->index)}},
        .buffers = 4096,
        .receive = receive,
        .send = send,
        .make = make,
        .data = data,
        .drop = drop,
        .room = room,
        .record = record};
    sim_ports_clear(n);
    if (sim.plan.keeper)
        sim_keeper_feeds(n);
}
