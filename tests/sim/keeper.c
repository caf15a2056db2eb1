/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The input keeper, in seeds that have one (-k keeper): a process with the product's front (keeper/front.h)
 * between the hosts' wires and the nodes, put together as node/keeper.c does it. It has one thread, so a turn
 * of it runs whole, and where it dies in one is a matter of how much of what it does still counts. A node's
 * end is node/ports/fed.c, called through the world, which looks at what passes.
 *
 * What it took and what left is told to the oracle (fed.c).
 */
#include "tests/sim/keeper.h"

#include "ftcore/base/check.h"
#include "node/ports/fed.h"
#include "replicator/key.h"

#include <string.h>

#define IN_TURN  32u
#define TURNS    8u
#define EMPTY_NS (2 * SIM_MS) /* as node/keeper.c has them */

static struct {
    bool alive;
    uint64_t life, restart_at, paused_until, fault_at;
    uint64_t clock;   /* added to the world's */
    unsigned dies_in; /* so many of its doings from now; 0: it does not */
    bool dying;       /* nothing that it does counts any more */
    bool with_primary;
    uint64_t shut_until; /* its ports take little */

    struct kp_front front;
    struct kp_keys keys;
    uint64_t since, cut_at;
    struct {
        unsigned node;
        uint32_t len;
        uint8_t bytes[KP_HEAD_BYTES + FT_FRAME_MAX];
    } said[IN_TURN];
    unsigned saids;
} keeper;

static struct nd_ports fed[SIM_NODES]; /* of each node; `fed` NULL: not open */

/* ---- what the product asks ------------------------------------------------------------------------ */

int __wrap_rp_keys_read(struct rp_keys *out, const char *path, struct ft_fault *fault);
int __wrap_rp_keys_read(struct rp_keys *out, const char *path, struct ft_fault *fault)
{
    (void)path, (void)fault;
    *out = (struct rp_keys){.count = 1, .key = {"a secret of 32 bytes, for them"}};
    return 0;
}

/* ---- the keeper's turn ---------------------------------------------------------------------------- */

/* Something that the process does. False: it is dead already. */
static bool does(void)
{
    if (keeper.dies_in && --keeper.dies_in == 0)
        keeper.dying = true;
    return !keeper.dying;
}

static void flush(void)
{
    for (unsigned i = 0; i < keeper.saids && does(); i++)
        sim_datagram_send(SIM_KEEPER, keeper.said[i].node, keeper.said[i].bytes, keeper.said[i].len);
    keeper.saids = 0;
}

static void send_message(void *ctx, unsigned node, const struct kp_message *m)
{
    (void)ctx;
    if (keeper.saids == IN_TURN)
        flush();
    keeper.said[keeper.saids].node = node;
    keeper.said[keeper.saids].len = (uint32_t)kp_encode(m, &keeper.keys, keeper.said[keeper.saids].bytes);
    keeper.saids++;
}

static bool leave(void *ctx, unsigned port, const uint8_t *frame, uint32_t len)
{
    (void)ctx;
    if (sim_chance(&sim.keeper, sim.now < keeper.shut_until ? 900 : 5) || !does())
        return false;
    sim_fed_left(port, frame, len);
    sim_ports_leave(port, frame, len);
    return true;
}

static uint64_t clock_now(void)
{
    return keeper.clock + sim.now;
}

static void take_inputs(uint64_t now)
{
    struct sim_packet *p;

    if (!kp_front_has_room(&keeper.front))
        return;
    if (!keeper.front.open)
        keeper.since = now;
    for (unsigned port = 0; port < SIM_PORTS; port++)
        while (keeper.front.open < KP_BURST && (p = sim_ports_take(port)) && does()) {
            sim_fed_took((uint8_t)port, p->data, p->len);
            kp_front_add(&keeper.front, (uint8_t)port, p->data, p->len);
        }
    if (keeper.front.open == KP_BURST ||
        (keeper.front.open && now - keeper.since >= sim.plan.gather_us * SIM_US) ||
        (!keeper.front.open && now - keeper.cut_at >= EMPTY_NS && sim.now < sim.plan.quiet_at)) {
        kp_front_cut(&keeper.front, now);
        keeper.cut_at = now;
    }
}

static void read_socket(uint64_t now)
{
    static uint8_t bytes[KP_HEAD_BYTES + FT_FRAME_MAX];
    struct kp_message m;
    unsigned node;
    uint32_t len;

    for (unsigned i = 0; i < IN_TURN * TURNS && !keeper.dying &&
                         (len = sim_datagram_read(SIM_KEEPER, bytes, sizeof(bytes), &node));
         i++) {
        int error = kp_decode(bytes, len, &keeper.keys, &m);

        FT_CHECK(error == 0, "what %s sends is no message to a keeper: %d", sim.node[node].name, error);
        const struct kp_front *f = &keeper.front;
        struct kp_front before = {.first = f->first, .next = f->next, .seq_first = f->seq_first};
        uint64_t begun = f->count.begun, view = f->view;
        bool own = kp_front_take(&keeper.front, node, &m, now);

        if (f->count.begun != begun)
            sim_fed_begins(node, &m, &before);
        else if (f->view && f->view != view)
            sim_fed_goes_on(node, &m, f);
        if (own)
            kp_front_pass_on(&keeper.front, node, &m);
    }
}

static void turn(void)
{
    uint64_t now = clock_now();

    take_inputs(now);
    read_socket(now);
    kp_front_turn(&keeper.front, now);
    flush();
    sim_mix(keeper.front.outputs.left * 31 + keeper.front.next);
}

/* ---- its life ------------------------------------------------------------------------------------- */

static void start(void)
{
    struct kp_front_config config = {.inputs = sim.plan.keeper_inputs,
                                     .bursts = sim.plan.keeper_bursts,
                                     .frame_max = sim.config->chain.frame_max,
                                     .nodes = sim.nodes,
                                     .send = send_message,
                                     .leave = leave};

    keeper.life++;
    keeper.alive = true;
    keeper.dying = false;
    keeper.dies_in = keeper.saids = 0;
    keeper.restart_at = SIM_NEVER;
    keeper.cut_at = 0;
    if (sim_chance(&sim.keeper, 100)) /* its clock is put back */
        keeper.clock -= sim_draw(&sim.keeper, keeper.clock / 4);
    config.incarnation = clock_now();
    FT_CHECK(kp_front_open(&keeper.front, &config) == 0, "no memory for what a keeper keeps");
    sim_datagrams_open(SIM_KEEPER);
}

/* Heartbeats on data ports go by the keeper. */
void sim_keeper_silent(uint64_t until)
{
    sim.long_partition |= until > sim.now + sim.config->timing.detect_ms * SIM_MS * 3 / 4;
}

static void kill_primary(void)
{
    struct sim_node *p = sim_protected();

    if (!p)
        return;
    sim_tell(p->index, "is killed at once");
    sim_node_kill(p, false);
    p->restart_at = sim.now + sim_draw(&sim.keeper, 100 * SIM_MS);
}

static void bury(void)
{
    const struct kp_front *f = &keeper.front;

    sim_tell(SIM_NOBODY,
             "the keeper dies with bursts %lu to %lu, and %u inputs of the next one; output %lu has left",
             f->first, f->next - 1, f->open, f->outputs.left);
    keeper.alive = false;
    sim.count.kills++;
    sim_fed_dies(f);
    kp_front_close(&keeper.front);
    sim_ports_lose();
    keeper.restart_at =
        sim.now + sim_draw(&sim.keeper, sim_chance(&sim.keeper, 500) ? 3 * SIM_MS : 60 * SIM_MS);
    sim_keeper_silent(keeper.restart_at);
    if (keeper.with_primary)
        kill_primary();
}

static void upset(void)
{
    uint64_t detect = sim.config->timing.detect_ms * SIM_MS;

    keeper.fault_at = sim.now + sim_draw(&sim.keeper, 16 * detect);
    switch (sim_draw(&sim.keeper, 8)) {
    case 0:
        if (!sim.plan.keeper_dies)
            break;
        keeper.dies_in = 1 + (unsigned)sim_draw(&sim.keeper, 60);
        keeper.with_primary = sim_chance(&sim.keeper, 300);
        break;
    case 1:
        keeper.paused_until = sim.now + sim_draw(&sim.keeper, 4 * detect);
        sim_keeper_silent(keeper.paused_until);
        sim_tell(SIM_NOBODY, "the keeper sleeps until %.3f ms", (double)keeper.paused_until / 1e6);
        break;
    case 2:
        keeper.shut_until = sim.now + sim_draw(&sim.keeper, 4 * detect);
        sim_tell(SIM_NOBODY, "the keeper's ports take little until %.3f ms", (double)keeper.shut_until / 1e6);
        break;
    default:
        sim_datagrams_trouble();
    }
}

void sim_keeper_begin(void)
{
    if (keeper.alive)
        kp_front_close(&keeper.front);
    memset(&keeper, 0, offsetof(typeof(keeper), said));
    memset(fed, 0, sizeof(fed));
    sim_datagrams_begin();
    sim_fed_begin();
    if (!sim.plan.keeper)
        return;
    kp_keys_add(&keeper.keys, (const uint8_t *)"a secret of 32 bytes, for them\0", RP_KEY_BYTES);
    keeper.clock = 1000 * SIM_MS + sim_draw(&sim.keeper, 1000 * SIM_MS);
    keeper.fault_at = sim_draw(&sim.keeper, 40 * SIM_MS);
    start();
}

void sim_keeper_tick(void)
{
    if (!keeper.alive && sim.now >= keeper.restart_at) {
        start();
        sim_tell(SIM_NOBODY, "the keeper has started, for its %lu. life", keeper.life);
    }
    if (!sim.faults_over && sim.now >= keeper.fault_at)
        upset();
    if (!keeper.alive || sim.now < keeper.paused_until)
        return;
    for (unsigned n = 1 + (unsigned)sim_draw(&sim.keeper, 3); n > 0 && !keeper.dying; n--)
        turn();
    if (keeper.dying)
        bury();
}

void sim_keeper_heals(void)
{
    sim_datagrams_heal();
    keeper.paused_until = keeper.shut_until = 0;
    keeper.dies_in = 0;
    if (keeper.restart_at != SIM_NEVER && keeper.restart_at > sim.now + SIM_MS)
        keeper.restart_at = sim.now + SIM_MS;
}

bool sim_keeper_lives(void)
{
    return keeper.alive;
}

bool sim_keeper_rests(void)
{
    const struct kp_front *f = &keeper.front;

    return !sim.plan.keeper || (keeper.alive && f->begun && !f->open && f->first == f->next &&
                                f->handed <= f->outputs.left && sim_fed_rests());
}

const struct kp_front *sim_keeper_front(void)
{
    return &keeper.front;
}

/* ---- a node's end --------------------------------------------------------------------------------- */

static const struct nd_io *of(void *ctx)
{
    return &fed[((struct sim_node *)ctx)->index].io;
}

static uint32_t fed_receive(void *ctx, unsigned lane, unsigned device, struct nd_frame frames[], uint32_t max)
{
    return of(ctx)->receive(of(ctx)->ctx, lane, device, frames, max);
}

static uint32_t fed_send(void *ctx, unsigned lane, unsigned port, const struct ft_held held[], uint32_t n)
{
    const struct nd_io *io = of(ctx);

    if (held[0].number == 0)
        return io->send(io->ctx, lane, port, held, n);
    sim_saw_lease_check(ctx, lane);
    sim_step(SIM_BEFORE_RELEASE);
    n = io->send(io->ctx, lane, port, held, n);
    sim_saw_release(ctx, lane, port, held, n);
    sim_step(SIM_AFTER_RELEASE);
    return n;
}

static void *fed_make(void *ctx, unsigned lane, const void *frame, uint32_t len)
{
    return of(ctx)->make(of(ctx)->ctx, lane, frame, len);
}

static void *fed_rest(void *ctx, unsigned lane, uint64_t seq, const void *head, uint32_t have, uint32_t len)
{
    return of(ctx)->rest(of(ctx)->ctx, lane, seq, head, have, len);
}

static void fed_drop(void *ctx, void *owner)
{
    of(ctx)->drop(of(ctx)->ctx, owner);
}

static bool fed_burst(void *ctx, unsigned lane, uint64_t last, struct nd_frame frames[], uint32_t *n,
                      uint64_t *time)
{
    return of(ctx)->burst(of(ctx)->ctx, lane, last, frames, n, time);
}

static uint32_t fed_tell(void *ctx, unsigned lane, const struct nd_progress *progress)
{
    struct sim_node *n = ctx;

    sim_fed_lives(n, FT_ORDER_GET(&n->shared[lane], live_view));
    return of(ctx)->tell(of(ctx)->ctx, lane, progress);
}

void sim_keeper_feeds(struct sim_node *n)
{
    struct nd_ports *ports = &fed[n->index];
    struct nd_node node = {.mbufs = sim.plan.mbufs};
    struct ft_fault fault = {""};

    *ports = (struct nd_ports){.io = n->io, .frame_max = sim.config->chain.frame_max};
    snprintf(node.name, sizeof(node.name), "%s", n->name);
    sim.opening = n;
    FT_CHECK(nd_fed_open(ports, sim.config, &node, &fault) == 0, "%s", fault.text);
    sim.opening = NULL;
    nd_fed_serve(ports, &n->shared[0]);
    n->io.buffers = ports->io.buffers;
    n->io.devices = ports->io.devices;
    n->io.waits = ports->io.waits;
    n->io.receive = fed_receive;
    n->io.send = fed_send;
    n->io.make = fed_make;
    n->io.data = ports->io.data;
    n->io.drop = fed_drop;
    n->io.burst = fed_burst;
    n->io.rest = fed_rest;
    n->io.tell = fed_tell;
}

void sim_keeper_gone(struct sim_node *n)
{
    if (fed[n->index].fed)
        nd_fed_close(&fed[n->index]);
}
