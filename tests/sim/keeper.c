/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The input keeper, in seeds that have one, or two (-k keeper): a process with the product's front
 * (understudy/keeper/front.h) between the hosts' wires and the nodes, put together as
 * understudy/node/keeper.c does it. It has one thread, so a turn of it runs whole, and where it dies in one
 * is a matter of how much of what it does still counts. A node's end is understudy/ports/fed.c, called
 * through the world, which looks at what passes.
 *
 * What it took and what left is told to the oracle (fed.c).
 */
#include "tests/sim/keeper.h"

#include "ftcore/base/check.h"
#include "understudy/ports/fed.h"
#include "replicator/key.h"

#include <string.h>

#define IN_TURN  32u
#define TURNS    8u
#define EMPTY_NS (2 * SIM_MS) /* as understudy/node/keeper.c has them */

static struct keeper {
    unsigned number;
    bool alive;
    uint64_t life, restart_at, paused_until, fault_at;
    uint64_t clock;   /* added to the world's */
    unsigned rate;    /* of 1000, at which it runs */
    bool ends;        /* it is ended in order, once its word is given back */
    bool announces;   /* what leaves is no output */
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
} keepers[SIM_KEEPERS];

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
static bool does(struct keeper *k)
{
    if (k->dies_in && --k->dies_in == 0)
        k->dying = true;
    return !k->dying;
}

static void flush(struct keeper *k)
{
    for (unsigned i = 0; i < k->saids && does(k); i++)
        sim_datagram_send(SIM_KEEPER + k->number, k->said[i].node, k->said[i].bytes, k->said[i].len);
    k->saids = 0;
}

static void send_message(void *ctx, unsigned node, const struct kp_message *m)
{
    struct keeper *k = ctx;

    if (k->saids == IN_TURN)
        flush(k);
    k->said[k->saids].node = node;
    k->said[k->saids].len = (uint32_t)kp_encode(m, &k->keys, k->said[k->saids].bytes);
    k->saids++;
}

static uint64_t clock_now(const struct keeper *k)
{
    return k->clock + sim.now / 1000 * k->rate;
}

static bool leave(void *ctx, unsigned port, const uint8_t *frame, uint32_t len)
{
    struct keeper *k = ctx;

    if (!kp_front_may_leave(&k->front, clock_now(k)) ||
        sim_chance(&sim.keeper, sim.now < k->shut_until ? 900 : 5) || !does(k))
        return false;
    if (!k->announces)
        sim_fed_left(k->number, port, frame, len);
    sim_ports_leave(k->number, port, k->announces ? NULL : frame, len);
    return true;
}

static void take_inputs(struct keeper *k, uint64_t now)
{
    struct kp_front *front = &k->front;
    struct sim_packet *p;

    if (!kp_front_is_active(front))
        sim_ports_lose(k->number);
    if (!kp_front_has_room(front))
        return;
    if (!front->open)
        k->since = now;
    for (unsigned port = 0; port < SIM_PORTS; port++)
        while (front->open < KP_BURST && (p = sim_ports_take(k->number, port)) && does(k)) {
            sim_fed_took(k->number, (uint8_t)port, p->data, p->len);
            kp_front_add(front, (uint8_t)port, p->data, p->len);
        }
    if (front->open == KP_BURST || (front->open && now - k->since >= sim.plan.gather_us * SIM_US) ||
        (!front->open && now - k->cut_at >= EMPTY_NS && sim.now < sim.plan.quiet_at)) {
        kp_front_cut(front, now);
        k->cut_at = now;
    }
}

/* What it kept is forgotten by itself, since another keeper is active or was. */
static void note_change(struct keeper *k, const struct kp_front *before, uint64_t holds)
{
    if (k->front.word.holds == holds)
        return;
    sim_fed_dies(k->number, before);
    if (k->front.word.holds)
        sim_tell(SIM_NOBODY, "keeper %u is active, keeper view %lu", k->number, k->front.word.holds);
    else
        sim_tell(SIM_NOBODY, "keeper %u waits; keeper view %lu", k->number, k->front.word.view);
}

static void read_socket(struct keeper *k, uint64_t now)
{
    static uint8_t bytes[KP_HEAD_BYTES + FT_FRAME_MAX];
    struct kp_message m;
    unsigned node;
    uint32_t len;

    for (unsigned i = 0; i < IN_TURN * TURNS && !k->dying &&
                         (len = sim_datagram_read(SIM_KEEPER + k->number, bytes, sizeof(bytes), &node));
         i++) {
        int error = kp_decode(bytes, len, &k->keys, &m);

        FT_CHECK(error == 0, "what %s sends is no message to a keeper: %d", sim.node[node].name, error);
        const struct kp_front *f = &k->front;
        struct kp_front before = {.first = f->first, .next = f->next, .seq_first = f->seq_first};
        uint64_t begun = f->count.begun, holds = f->word.holds;
        uint64_t takeovers = f->follows ? f->count.takeovers : UINT64_MAX, view = f->view;

        FT_CHECK(kp_is_between(&m, node, KP_NODES + k->number), "%s speaks in another's name, or to another",
                 sim.node[node].name);

        k->announces = m.kind == KP_OWN && m.flags & KP_BY_PORT;
        bool own = kp_front_take(&k->front, node, &m, now);

        k->announces = false;
        note_change(k, &before, holds);
        if (f->count.begun != begun)
            sim_fed_begins(k->number, node, &m, &before);
        else if (f->follows && (f->count.takeovers != takeovers || f->view != view))
            sim_fed_goes_on(k->number, node, &m, &before, f);
        if (own)
            kp_front_pass_on(&k->front, node, &m);
    }
}

static void turn(struct keeper *k)
{
    uint64_t now = clock_now(k), holds;
    struct kp_front before;

    take_inputs(k, now);
    read_socket(k, now);
    before =
        (struct kp_front){.first = k->front.first, .next = k->front.next, .seq_first = k->front.seq_first};
    holds = k->front.word.holds;
    kp_front_turn(&k->front, now);
    note_change(k, &before, holds);
    flush(k);
    sim_mix(k->front.outputs.left * 31 + k->front.next);
}

/* ---- its life ------------------------------------------------------------------------------------- */

static void start(struct keeper *k)
{
    struct kp_front_config config = {.inputs = sim.plan.keeper_inputs,
                                     .bursts = sim.plan.keeper_bursts,
                                     .frame_max = sim.config->chain.frame_max,
                                     .nodes = sim.nodes,
                                     .keepers = sim.plan.keepers,
                                     .ctx = k,
                                     .send = send_message,
                                     .leave = leave};

    k->life++;
    k->alive = true;
    k->dying = k->ends = false;
    k->dies_in = k->saids = 0;
    k->restart_at = SIM_NEVER;
    k->cut_at = 0;
    if (sim_chance(&sim.keeper, 100)) /* its clock is put back */
        k->clock -= sim_draw(&sim.keeper, k->clock / 4);
    config.file = nd_datagrams_file(sim.config);
    config.incarnation = kp_incarnation(clock_now(k), KP_NODES + k->number);
    FT_CHECK(kp_front_open(&k->front, &config) == 0, "no memory for what a keeper keeps");
    sim_datagrams_open(SIM_KEEPER + k->number);
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

/* What its guardian says to the primary, unless it dies with the machine. */
static void give_notice(const struct keeper *k)
{
    const struct kp_front *f = &k->front;
    const struct kp_message m = {.kind = KP_ENDED, .from = f->word.process, .seq = f->word.process};
    uint8_t bytes[KP_HEAD_BYTES];

    if (sim.plan.keepers == 1 || f->primary < 0 || k->ends || sim_chance(&sim.keeper, 300))
        return;
    for (unsigned i = 0; i < 3; i++)
        sim_datagram_send(SIM_GUARDIAN, (unsigned)f->primary, bytes,
                          (uint32_t)kp_encode(&m, &k->keys, bytes));
}

static void bury(struct keeper *k)
{
    const struct kp_front *f = &k->front;

    sim_tell(SIM_NOBODY,
             "keeper %u dies with bursts %lu to %lu, and %u inputs of the next one; output %lu has left",
             k->number, f->first, f->next - 1, f->open, f->outputs.left);
    k->alive = false;
    sim.count.kills++;
    sim_fed_dies(k->number, f);
    give_notice(k);
    kp_front_close(&k->front);
    k->front.begun = false;
    k->front.word.holds = 0;
    sim_ports_lose(k->number);
    k->restart_at = sim.now + sim_draw(&sim.keeper, sim_chance(&sim.keeper, 500) ? 3 * SIM_MS
                                                    : sim.plan.keepers == 1      ? 60 * SIM_MS
                                                                                 : 300 * SIM_MS);
    sim_keeper_silent(k->restart_at);
    if (k->with_primary)
        kill_primary();
}

static void upset(struct keeper *k)
{
    uint64_t detect = sim.config->timing.detect_ms * SIM_MS;
    uint64_t longer = sim.plan.keepers == 1 ? 0 : sim_draw(&sim.keeper, 300 * SIM_MS);

    k->fault_at = sim.now + sim_draw(&sim.keeper, 16 * detect);
    switch (sim_draw(&sim.keeper, sim.plan.keepers == 1 ? 8 : 9)) {
    case 0:
        if (!sim.plan.keeper_dies)
            break;
        k->dies_in = 1 + (unsigned)sim_draw(&sim.keeper, 60);
        k->with_primary = sim_chance(&sim.keeper, 300);
        break;
    case 1:
        k->paused_until = sim.now + longer + sim_draw(&sim.keeper, 4 * detect);
        sim_keeper_silent(k->paused_until);
        sim_tell(SIM_NOBODY, "keeper %u sleeps until %.3f ms", k->number, (double)k->paused_until / 1e6);
        break;
    case 2:
        k->shut_until = sim.now + sim_draw(&sim.keeper, 4 * detect);
        sim_tell(SIM_NOBODY, "the ports of keeper %u take little until %.3f ms", k->number,
                 (double)k->shut_until / 1e6);
        break;
    case 8:
        if (!k->alive || !sim.plan.keeper_dies)
            break;
        sim_tell(SIM_NOBODY, "keeper %u is ended", k->number);
        k->ends = k->front.unfit = true;
        kp_front_move(&k->front, clock_now(k));
        break;
    default:
        sim_datagrams_trouble();
    }
}

void sim_keeper_begin(void)
{
    for (unsigned i = 0; i < SIM_KEEPERS; i++) {
        if (keepers[i].alive)
            kp_front_close(&keepers[i].front);
        memset(&keepers[i], 0, offsetof(struct keeper, said));
        keepers[i].number = i;
    }
    memset(fed, 0, sizeof(fed));
    sim_datagrams_begin();
    sim_fed_begin();
    for (unsigned i = 0; i < SIM_KEEPERS && sim.plan.keeper && i < sim.plan.keepers; i++) {
        struct keeper *k = &keepers[i];

        kp_keys_add(&k->keys, (const uint8_t *)"a secret of 32 bytes, for them\0", RP_KEY_BYTES);
        k->clock = 1000 * SIM_MS + sim_draw(&sim.keeper, 1000 * SIM_MS);
        k->rate = sim.plan.keepers == 1 ? 1000 : 990 + (unsigned)sim_draw(&sim.keeper, 21);
        k->fault_at = sim_draw(&sim.keeper, 40 * SIM_MS);
        start(k);
    }
}

static void tick(struct keeper *k)
{
    if (!k->alive && sim.now >= k->restart_at) {
        start(k);
        sim_tell(SIM_NOBODY, "keeper %u has started, for its %lu. life", k->number, k->life);
    }
    if (!sim.faults_over && sim.now >= k->fault_at)
        upset(k);
    if (!k->alive || sim.now < k->paused_until)
        return;
    for (unsigned n = 1 + (unsigned)sim_draw(&sim.keeper, 3); n > 0 && !k->dying; n--)
        turn(k);
    if (k->ends && !k->front.leaves)
        k->dying = true;
    if (k->dying)
        bury(k);
}

void sim_keeper_tick(void)
{
    for (unsigned i = 0; i < sim.plan.keepers; i++)
        tick(&keepers[i]);
    sim_fed_words();
}

void sim_keeper_heals(void)
{
    sim_datagrams_heal();
    for (unsigned i = 0; i < sim.plan.keepers; i++) {
        struct keeper *k = &keepers[i];

        k->paused_until = k->shut_until = 0;
        k->dies_in = 0;
        if (k->restart_at != SIM_NEVER && k->restart_at > sim.now + SIM_MS)
            k->restart_at = sim.now + SIM_MS;
    }
}

bool sim_keeper_lives(unsigned k)
{
    return keepers[k].alive;
}

bool sim_keeper_may_leave(unsigned k)
{
    return keepers[k].alive && kp_front_may_leave(&keepers[k].front, clock_now(&keepers[k]));
}

bool sim_keeper_rests(void)
{
    for (unsigned i = 0; sim.plan.keeper && i < sim.plan.keepers; i++) {
        const struct kp_front *f = &keepers[i].front;

        if (keepers[i].alive && f->begun)
            return !f->open && f->first == f->next && f->handed <= f->outputs.left && sim_fed_rests();
    }
    return !sim.plan.keeper;
}

const struct kp_front *sim_keeper_front(unsigned k)
{
    return &keepers[k].front;
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

static uint32_t fed_tell(void *ctx, unsigned lane, struct nd_progress *progress)
{
    struct sim_node *n = ctx;

    sim_fed_lives(n, FT_ORDER_GET(&n->shared[lane], live_view));
    return of(ctx)->tell(of(ctx)->ctx, lane, progress);
}

void sim_keeper_feeds(struct sim_node *n)
{
    struct nd_ports *ports = &fed[n->index];
    const struct nd_carrier none = {.ctx = NULL};
    struct nd_node node = {.mbufs = sim.plan.mbufs};
    struct ft_fault fault = {""};

    *ports = (struct nd_ports){.io = n->io, .frame_max = sim.config->chain.frame_max};
    snprintf(node.name, sizeof(node.name), "%s", n->name);
    sim.opening = n;
    FT_CHECK(nd_fed_open(ports, sim.config, &node, &none, &fault) == 0, "%s", fault.text);
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
    n->io.frame_max = ports->io.frame_max;
}

void sim_keeper_gone(struct sim_node *n)
{
    if (fed[n->index].fed)
        nd_fed_close(&fed[n->index]);
}
