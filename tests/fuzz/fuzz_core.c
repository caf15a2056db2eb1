/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The protocol core. The input is a sequence of what may happen to a node: messages of any peer, as far as
 * the decoder lets them by, loss and return of the connection, time, words, an operator, and what its own
 * lanes and replicator report. The last is played truthfully, from the actions that the core asked for, as
 * the core may count on it; the peer may say anything. After every step the core asserts its own invariants;
 * here stand some that can be told from outside, from the actions alone:
 *
 *   - nothing leaves in a state that is no primary's, and without a lease nothing leaves guarded;
 *   - views never fall, and what is remembered is what is told;
 *   - every message the core makes can be encoded, and `sent` rises.
 */
#include "ftcore/protocol/core.h"
#include "tests/fuzz/fuzz.h"

#include <stdlib.h>
#include <string.h>

#define LANES    2u
#define IDENTITY "chain edge\nnf 1: nat outside=203.0.113.1\n"

/* The node around the core, and what its peer last heard. */
struct node {
    struct ft_core core;
    struct ft_core_config config;
    struct ft_actions did;
    uint64_t now, closed, peer_sent, last_sent, view, written;
    enum ft_gate gate;
    enum ft_order order;
    bool cutting, snapshot, switched, draining, steering, up;
    struct ft_cost cost[LANES];
};

static struct node n;
static uint8_t *bulk;

static void encodes(const struct ft_message *m)
{
    static uint8_t frame[FT_IDENTITY_MAX + 2048];
    struct ft_message back;
    struct ft_fault fault = {""};
    long len = ft_message_encode(m, LANES, NULL, true, frame, sizeof(frame));

    FUZZ_MUST(len > 0, "message %u does not fit", m->type);
    FUZZ_MUST(ft_message_decode(frame, (size_t)len, LANES, &back, bulk, &fault) == len,
              "the peer would refuse message %u: %s", m->type, fault.text);
    FUZZ_MUST(m->sent > n.last_sent, "sent %lu after %lu", m->sent, n.last_sent);
    n.last_sent = m->sent;
}

static void carry_out(const struct ft_action *a)
{
    switch (a->kind) {
    case FT_ACT_SEND:
        encodes(&a->send);
        break;
    case FT_ACT_CLOSE:
        n.up = false;
        break;
    case FT_ACT_GATE:
        n.switched = a->gate == FT_GATE_GUARDED && n.gate != FT_GATE_GUARDED;
        n.gate = a->gate;
        break;
    case FT_ACT_ORDER:
        n.order = a->order;
        n.draining = a->order == FT_LANE_DRAIN;
        break;
    case FT_ACT_CUT:
        n.cutting = true;
        break;
    case FT_ACT_NO_SNAPSHOT:
        n.cutting = n.snapshot = false;
        break;
    case FT_ACT_VIEW:
        FUZZ_MUST(a->view >= n.view, "view %lu after %lu", a->view, n.view);
        n.view = n.written = a->view;
        break;
    case FT_ACT_STORE: /* of this view: a later one that was stored is not begun after all */
        FUZZ_MUST(a->view >= n.view, "view %lu is stored in view %lu", a->view, n.view);
        n.written = a->view;
        break;
    case FT_ACT_CLEAR:
        n.closed = 0;
        n.order = FT_LANE_WAIT;
        break;
    case FT_ACT_STEER:
        n.steering = a->flag;
        break;
    default:
        break;
    }
}

static void look(void)
{
    const struct ft_core *c = &n.core;
    bool reigns = ft_core_primary(c);

    for (uint32_t i = 0; i < n.did.count; i++)
        carry_out(&n.did.list[i]);
    FUZZ_MUST(reigns || n.gate == FT_GATE_SHUT, "the gate is %d in state %s", n.gate,
              ft_state_name(c->state));
    FUZZ_MUST((c->state == FT_SOLO) == (n.gate == FT_GATE_SOLO), "gate %d in state %s", n.gate,
              ft_state_name(c->state));
    FUZZ_MUST(!n.config.strict || n.gate != FT_GATE_SOLO, "strict, and alone");
    FUZZ_MUST(c->state != FT_PROTECTED || n.gate == FT_GATE_GUARDED, "PROTECTED behind gate %d", n.gate);
    FUZZ_MUST(c->view <= FT_VIEW_MAX + 1000 && c->view == n.view, "view %lu, remembered is %lu", c->view,
              n.view);
    FUZZ_MUST(memchr(c->why, 0, sizeof(c->why)) && ft_state_name(c->state)[0] != '?', "no state");
    FUZZ_MUST(c->peer.up == n.up || !n.up, "the core believes in a connection that it closed");
    FUZZ_MUST(ft_core_due(c) >= n.now, "due in the past");
}

static void step(struct ft_event *event)
{
    event->now = n.now;
    ft_step(&n.core, event, &n.did);
    look();
}

/* ---- the peer ---------------------------------------------------------------------------------- */

/* A number near one that means something: 0 to 3 that one and its neighbours, 4 nothing, 5 any. */
static uint64_t near(struct fuzz_input *in, uint64_t value)
{
    uint8_t how = fuzz_u8(in);

    switch (how & 7) {
    case 0:
    case 1:
        return value;
    case 2:
        return value + 1;
    case 3:
        return value ? value - 1 : 0;
    case 4:
        return 0;
    case 5:
        return fuzz_u64(in);
    default:
        return value + (how >> 3);
    }
}

static void fill_hello(struct fuzz_input *in, struct ft_message *m, char identity[])
{
    uint8_t how = fuzz_u8(in);

    m->newest = m->oldest = FT_FORMAT_NEWEST + (how == 0xff);
    m->incarnation = 200 + (how & 1);
    strcpy(m->name, how & 2 ? n.config.name : "peer");
    m->role = how & 4 ? n.config.role : !n.config.role;
    m->strict = n.config.strict != ((how & 0x18) == 0x18);
    m->lanes = (how & 0x60) == 0x60 ? 1 : LANES;
    m->lease_ms = 20;
    m->detect_ms = (how & 0x84) == 0x84 ? 21 : 50;
    m->promote_within_ms = 100;
    m->solo_after_ms = 200;
    memcpy(identity, IDENTITY, m->bulk_len = sizeof(IDENTITY) - 1);
    if (how & 0x80) { /* another chain: a byte of it, or its length */
        uint8_t at = fuzz_u8(in), to = fuzz_u8(in);

        identity[at % m->bulk_len] = to ? (char)to : ' ';
        m->bulk_len -= at & 0x80 ? at & 0x1f : 0;
    }
    m->identity_len = m->bulk_len;
    m->bulk = (const uint8_t *)identity;
}

static void hear(struct fuzz_input *in, uint8_t op)
{
    static uint8_t frame[FT_IDENTITY_MAX + 2048];
    struct ft_message m = {.type = (uint8_t)(1 + fuzz_u8(in) % (FT_MSG_TYPES - 1))};
    struct ft_event event = {.kind = FT_EV_MESSAGE, .message = &m};
    struct ft_fault fault = {""};
    char identity[sizeof(IDENTITY)];

    m.state = (uint8_t)(FT_JOINING + fuzz_u8(in) % FT_FENCED);
    m.view = near(in, n.core.view) & INT64_MAX;
    m.echo = near(in, n.last_sent);
    m.sent = op & 0x80 ? fuzz_u64(in) : (n.peer_sent += 1000);
    for (unsigned l = 0; l < LANES && op & 0x40; l++) {
        m.burst[l] = near(in, n.core.closed[l]);
        m.replayed[l] = near(in, n.core.closed[l]);
        m.taken[l] = near(in, n.core.peer_taken[l]);
    }
    m.number = fuzz_u8(in);
    if (m.type == FT_MSG_HELLO)
        fill_hello(in, &m, identity);
    size_t len;
    const uint8_t *text = fuzz_bytes(in, m.type == FT_MSG_ABANDON || m.type == FT_MSG_REFUSE ? 8 : 0, &len);

    memcpy(m.text, text, len);
    long size = ft_message_encode(&m, LANES, NULL, true, frame, sizeof(frame));

    FUZZ_MUST(size > 0 && ft_message_decode(frame, (size_t)size, LANES, &m, bulk, &fault) == size, "%s",
              fault.text);
    if (n.core.peer.up)
        step(&event);
}

/* ---- the node itself --------------------------------------------------------------------------- */

static void report(struct fuzz_input *in)
{
    struct ft_event event = {.kind = FT_EV_LANES, .text = "replay differs"};
    uint8_t how = fuzz_u8(in);
    bool primary = ft_core_primary(&n.core);

    for (unsigned l = 0; l < LANES; l++) {
        event.closed[l] = event.replayed[l] = n.closed;
        event.taken[l] = 100 * n.closed;
        event.access[l] = n.closed;
    }
    if (how == 0 && n.cutting && primary) {
        event.kind = FT_EV_CUT;
        n.cutting = false;
        n.snapshot = true;
    } else if (how == 1 && n.snapshot && primary) {
        event.kind = FT_EV_SNAPSHOT_SENT;
        n.snapshot = false;
    } else if (how == 2 && n.switched && n.core.resync == FT_RESYNC_SWITCH) {
        event.kind = FT_EV_GUARDED;
        n.switched = false;
    } else if (how == 3 && n.draining && n.core.hand == FT_HAND_DRAIN) {
        event.kind = FT_EV_DRAINED;
        n.draining = false;
    } else if (how == 4 && n.steering) {
        event.kind = FT_EV_STEERED;
    } else if (how == 5 && !primary) {
        event.kind = FT_EV_DIVERGED;
    } else if (how == 7) {
        event.kind = FT_EV_COST;
        event.cost = n.cost;
        n.cost[n.closed % LANES].beside = n.now;
        n.cost[n.closed % LANES].waited[1 + n.closed % (FT_WAITS - 1)] += n.closed * FT_MS;
    } else if (how == 6) {
        event.kind = FT_EV_STORED;
        event.view = n.written;
    } else {
        n.closed += how & 15;
        for (unsigned l = 0; l < LANES; l++) {
            event.closed[l] = n.closed;
            event.replayed[l] = how & 16 && !primary && n.core.replayed[l] ? n.core.replayed[l] : n.closed;
            event.taken[l] = 100 * n.closed;
        }
    }
    step(&event);
}

static void happen(struct fuzz_input *in, uint8_t op)
{
    struct ft_event event = {.text = "malformed", .came = FT_ALL};

    switch (op & 7) {
    case 0:
        n.now += (uint64_t)fuzz_u8(in) * FT_MS;
        event.kind = FT_EV_TIME;
        break;
    case 1:
        event.kind = op & 0x40 ? FT_EV_LOST : FT_EV_CONNECTED;
        event.how = (enum ft_lost)(1 + (op >> 3) % 3);
        if (event.kind == FT_EV_CONNECTED) {
            event.greeted = 0;
            if (op & 0x20) { /* beside another connection, and our hello has been said there */
                struct ft_message hello;

                ft_core_hello(&n.core, n.now, &hello);
                encodes(&hello);
                event.greeted = hello.sent;
            }
        }
        n.up = event.kind == FT_EV_CONNECTED;
        break;
    case 2:
        event.kind = FT_EV_DEATH_NOTICE;
        event.incarnation = 200 + (op >> 3 & 1);
        break;
    case 3:
        event.kind = FT_EV_REQUEST;
        event.request = (enum ft_request)(1 + (op >> 3) % 3);
        break;
    case 4:
        event.kind = op & 8 ? FT_EV_PORT_HEARTBEAT : FT_EV_MALFORMED;
        break;
    case 5:
        report(in);
        return;
    default:
        hear(in, op);
        return;
    }
    step(&event);
}

static void run(const uint8_t *data, size_t size)
{
    struct fuzz_input in = {data, data + size};
    uint8_t how = fuzz_u8(&in);
    struct ft_core_config config = {.name = "node",
                                    .lanes = LANES,
                                    .role = how & 1,
                                    .strict = how & 2,
                                    .incarnation = 100 + (how >> 3 & 7) * 100,
                                    .view = how & 4 ? 3 : 0,
                                    .keeps_views = how & 0x40,
                                    .heartbeat_ms = 10,
                                    .lease_ms = 20,
                                    .detect_ms = 50,
                                    .promote_within_ms = 100,
                                    .solo_after_ms = 200,
                                    .slow_percent = 20,
                                    .slow_ms = 30,
                                    .resync_deadline_ms = 2000,
                                    .start_alone_ms = 300,
                                    .drain_ms = 500,
                                    .identity = IDENTITY,
                                    .identity_len = sizeof(IDENTITY) - 1};

    if (!bulk)
        bulk = malloc(FT_BULK_MAX);
    n = (struct node){
        .config = config, .now = 1, .view = config.view, .written = config.view, .peer_sent = 5000};
    ft_core_init(&n.core, &config, n.now, &n.did);
    look();
    while (fuzz_left(&in))
        happen(&in, fuzz_u8(&in));
}

/* ---- seeds ------------------------------------------------------------------------------------- */

/* type, state, view, echo; then number */
#define SAY(type, state) 6, (type)-1, (state)-1, 0, 0, 0
#define ACK(state)       6 | 0x40, FT_MSG_ACK - 1, (state)-1, 0, 0, 0, 0, 0, 0, 0, 0, 0
#define HELLO(state)     6, 0, (state)-1, 0, 0, 0, 0

/* A row is what one call of happen reads, or several. */
/* clang-format off */

/* A first start as primary, a resync, READY: PROTECTED; then a handover; then silence. */
static const uint8_t primary[] = {
    0,
    1,
    HELLO(FT_JOINING),
    SAY(FT_MSG_HEARTBEAT, FT_JOINING),
    5, 0,
    SAY(FT_MSG_HEARTBEAT, FT_SYNCING),
    5, 1,
    5, 8,
    ACK(FT_SYNCING),
    5, 2,
    ACK(FT_READY),
    0, 5,
    3 | 8,
    SAY(FT_MSG_STEERED, FT_READY),
    5, 3,
    0, 255};
static const uint8_t standby[] = {
    1,
    1,
    HELLO(FT_JOINING),
    6, FT_MSG_HEARTBEAT - 1, FT_SOLO - 1, 2, 0, 0,
    6 | 0x40, FT_MSG_SNAPSHOT_BEGIN - 1, FT_SOLO - 1, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    SAY(FT_MSG_SNAPSHOT_END, FT_SOLO),
    SAY(FT_MSG_HOLDING, FT_DEGRADED),
    5, 9,
    SAY(FT_MSG_HEARTBEAT, FT_PROTECTED),
    5, 9,
    1 | 0x40};
static const uint8_t strict[] = {
    2,
    1,
    HELLO(FT_JOINING),
    SAY(FT_MSG_HEARTBEAT, FT_JOINING),
    4,
    0, 255,
    0, 255};
static const uint8_t alone[] = {
    0,
    0, 200,
    0, 200,
    1,
    HELLO(FT_SOLO),
    SAY(FT_MSG_HEARTBEAT, FT_SOLO)};
static const uint8_t slow_disk[] = {
    0x40,
    1,
    HELLO(FT_JOINING),
    SAY(FT_MSG_HEARTBEAT, FT_JOINING),
    5, 6};
static const uint8_t refuse[] = {
    0,
    1,
    6, 0, 0, 0, 0, 0, 0x80, 20, 'x',
    SAY(FT_MSG_REFUSE, FT_JOINING), 'n', 'o'};
/* clang-format on */

static void seeds(void)
{
    fuzz_seed("primary", primary, sizeof(primary));
    fuzz_seed("standby", standby, sizeof(standby));
    fuzz_seed("strict", strict, sizeof(strict));
    fuzz_seed("alone", alone, sizeof(alone));
    fuzz_seed("slow_disk", slow_disk, sizeof(slow_disk));
    fuzz_seed("refuse", refuse, sizeof(refuse));
}

FUZZ_TARGET(core, "events and messages to the protocol core", 1024)
