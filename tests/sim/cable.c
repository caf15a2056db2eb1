/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A port of each node's lanes to the peer's lanes (lane/link.c), in seeds of the kind `port`, and what lies
 * between them. Whatever is sent reaches that lane of all other nodes, as a group's frames do: or it is lost,
 * comes twice, late, behind later ones, to another lane, or back to who sent it. For a while nothing reaches
 * a node's lane, or only what is small, or all is kept back and then comes at once. A lane's own port takes
 * nothing now and then.
 *
 * Somebody who sits there has kept what was ever sent, by whichever process and in whichever view. He brings
 * it again as it was, or with other bits, another length, or the head of a frame that is expected now.
 *
 * What is judged here: a standby says that it has stored what lies in its rings or is executed, no more; and
 * a lane opens only what the process at the other end has sealed, for the view, and never twice.
 */
#include "tests/sim/sim.h"

#include "ftcore/queue/lanelink.h"
#include "lane/link.h"
#include "replicator/parts.h"

#include <string.h>

#define DEPTH 512u /* frames on their way to a node */
#define KEPT  256u /* that somebody has kept */

enum trouble { DEAD, SMALL_ONLY, KEPT_BACK, LOSES, TAKES_NONE, TROUBLES };

struct sealed { /* what a lane has sent */
    struct ft_link_head head;
    uint64_t opened_by[SIM_NODES]; /* by the process of that life */
    unsigned from, lane;
    uint32_t len;
    uint8_t data[];
};

struct frame { /* a copy of it */
    struct frame *next;
    struct sealed *is;
    const uint8_t *data;
    uint64_t at;
    uint32_t len;
};

static struct end {
    struct nd_link_port wire;
    uint8_t out[FT_LINK_MOST];
    struct frame *first, *last_given;
    unsigned count;
    uint64_t dead, small_only, kept_back, loses, takes_none; /* until */
    struct ft_link_head expects;                             /* as its replicator said when the turn began */
} ends[SIM_NODES][SIM_LANES];

static struct sealed *kept[KEPT];
static uint64_t sent, next; /* next: when trouble comes */

static unsigned node_of(const struct end *e)
{
    return (unsigned)((e - ends[0]) / SIM_LANES);
}

static struct end *draw_end(void)
{
    uint64_t node = sim_draw(&sim.cable, sim.nodes);

    return &ends[node][sim.plan.lanes > 1 ? sim_draw(&sim.cable, sim.plan.lanes) : 0];
}

/* ---- on the way ---------------------------------------------------------------------------------- */

static void put_behind(struct end *e, struct sealed *is, const uint8_t *data, uint32_t len, uint64_t at)
{
    struct frame **place = &e->first, *f;

    if (sim.now < e->dead || (sim.now < e->small_only && len > FT_LINK_LEAST) || e->count == DEPTH)
        return;
    at = at < e->kept_back ? e->kept_back : at;
    f = sim_alloc(sizeof(*f));
    *f = (struct frame){.is = is, .data = data, .at = at, .len = len};
    while (*place && (*place)->at <= at)
        place = &(*place)->next;
    f->next = *place;
    *place = f;
    e->count++;
}

static uint64_t arrival(void)
{
    uint64_t at = sim.now + sim_draw(&sim.cable, 30 * SIM_US);

    return sim_chance(&sim.cable, sim.plan.port_trouble)
               ? at + sim_draw(&sim.cable, sim_chance(&sim.cable, 100) ? 10 * SIM_MS : 300 * SIM_US)
               : at;
}

static void carry(struct end *to, struct sealed *is)
{
    unsigned lost = sim.now < to->loses ? 300 : sim.plan.port_trouble;

    if (sim.faults_over)
        lost = 0;
    for (unsigned copies = sim_chance(&sim.cable, lost) ? 2 : 1; copies-- > 0;)
        if (!sim_chance(&sim.cable, lost))
            put_behind(to, is, is->data, is->len, arrival());
}

/* What was kept, as it was or altered. */
static void bring_again(void)
{
    struct sealed *is = kept[sim_draw(&sim.cable, KEPT)];
    struct end *to = draw_end();
    uint32_t len;
    uint8_t *data;

    if (!is)
        return;
    len = is->len;
    data = sim_alloc(len + 64);
    memcpy(data, is->data, len);
    switch (sim_draw(&sim.cable, 5)) {
    case 0:
        data[sim_draw(&sim.cable, len)] ^= (uint8_t)(1u << sim_draw(&sim.cable, 8));
        break;
    case 1:
        len = (uint32_t)sim_draw(&sim.cable, len);
        break;
    case 2:
        memset(data + len, 0, 64);
        len += 1 + (uint32_t)sim_draw(&sim.cable, 64);
        break;
    case 3:
        is = sim_alloc(sizeof(*is));
        *is = (struct sealed){.head = to->expects, .from = SIM_NOBODY};
        is->head.number = (1 + sent) << sim_draw(&sim.cable, 12);
        ft_link_put_head(data + FT_LINK_ETHERNET, &is->head);
        break;
    default:
        break;
    }
    put_behind(to, is, data, len, sim.now);
}

static const char *const text[TROUBLES] = {"nothing", "nothing large", "nothing yet", "not all",
                                           "from it nothing"};

void sim_cable_tick(void)
{
    uint64_t detect = sim.config->timing.detect_ms * SIM_MS;
    struct end *e = draw_end();
    enum trouble what = (enum trouble)sim_draw(&sim.cable, TROUBLES);
    uint64_t until = sim.now + SIM_MS / 2 + sim_draw(&sim.cable, 3 * detect);
    uint64_t *const of[TROUBLES] = {&e->dead, &e->small_only, &e->kept_back, &e->loses, &e->takes_none};

    if (sim_chance(&sim.cable, 2 * sim.plan.port_trouble))
        bring_again();
    if (sim.now < next)
        return;
    next = sim.now + sim_draw(&sim.cable, sim_chance(&sim.cable, 300) ? SIM_MS : 10 * detect);
    if (sim_chance(&sim.cable, 150)) { /* then the connection is to carry */
        sim.still_until = sim.now + sim_draw(&sim.cable, 40 * SIM_MS);
        sim_tell(SIM_NOBODY, "clients are still until %.3f ms", (double)sim.still_until / 1e6);
        return;
    }
    *of[what] = until;
    sim_tell(node_of(e), "by a lane's port comes %s until %.3f ms", text[what], (double)until / 1e6);
}

void sim_cable_heals(void)
{
    sim.still_until = 0;
    for (struct end *e = ends[0]; e < ends[SIM_NODES]; e++) {
        e->dead = e->small_only = e->kept_back = e->loses = e->takes_none = 0;
        for (struct frame *f = e->first; f; f = f->next)
            f->at = f->at < sim.now ? f->at : sim.now;
    }
}

/* ---- a node's end -------------------------------------------------------------------------------- */

static uint8_t *place(void *ctx)
{
    struct end *e = ctx;

    return sim.now < e->takes_none || sim_chance(&sim.cable, 5) ? NULL : e->out;
}

static void send_frame(void *ctx, uint32_t bytes)
{
    struct end *e = ctx;
    unsigned from = node_of(e), lane = (unsigned)(e - ends[from]);
    struct sealed *is = sim_alloc(sizeof(*is) + bytes);

    *is = (struct sealed){.from = from, .lane = lane, .len = bytes};
    memcpy(is->data, e->out, bytes);
    if (!ft_link_get_head(is->data, bytes, &is->head))
        sim_fail("%s sends by its lane's port what is no frame", sim.node[from].name);
    kept[sent++ % KEPT] = is;
    for (unsigned to = 0; to < sim.nodes; to++)
        if (to != from || sim_chance(&sim.cable, sim.plan.port_trouble / 4))
            carry(&ends[to][lane], is);
    if (sim.plan.lanes > 1 && sim_chance(&sim.cable, sim.plan.port_trouble / 4)) /* as a switch may do */
        carry(draw_end(), is);
    sim_step(SIM_AFTER_SEND);
}

static const uint8_t *receive(void *ctx, uint32_t *bytes)
{
    struct end *e = ctx;
    struct frame *f = e->first;

    e->last_given = NULL;
    if (!f || f->at > sim.now)
        return NULL;
    e->first = f->next;
    e->count--;
    e->last_given = f;
    *bytes = f->len;
    return f->data;
}

const struct nd_link_port *sim_cable_of(const struct sim_node *n, unsigned lane)
{
    struct end *e = &ends[n->index][lane];

    if (!sim.plan.port || (sim.plan.port_at_one && n->index == 1))
        return NULL;
    e->wire = (struct nd_link_port){.ctx = e,
                                    .longest = sim.plan.port_longest,
                                    .mac = {2, 0, 0, 0, (uint8_t)lane, (uint8_t)n->index},
                                    .place = place,
                                    .send = send_frame,
                                    .receive = receive};
    e->last_given = NULL;
    return &e->wire;
}

void sim_cable_begin(void)
{
    memset(ends, 0, sizeof(ends));
    memset(kept, 0, sizeof(kept));
    sent = next = 0;
}

/* ---- what is judged ------------------------------------------------------------------------------ */

/* Bursts up to here the node has: executed, or in one of its lane's rings, none left out. */
uint64_t sim_holds(struct sim_node *n, unsigned lane)
{
    struct ft_ring *const rings[] = {&n->shared[lane].replay, &n->shared[lane].direct};
    uint64_t closed = ft_closed_burst(n->replicator->receiver.closed, lane),
             to = FT_REPORT_GET(&n->shared[lane], executed), before;

    to = to > closed ? to : closed;
    do {
        before = to;
        for (unsigned i = 0; i < 2; i++) {
            uint64_t head = atomic_load(&rings[i]->head);

            for (uint64_t at = atomic_load(&rings[i]->tail); at < head;) {
                const struct ft_record *r = (const void *)(rings[i]->data + (at & (rings[i]->capacity - 1)));

                to += r->burst == to + 1;
                at += FT_ALIGN8(r->size);
            }
        }
    } while (to != before);
    return to;
}

static struct sim_node *lane_of(void)
{
    struct sim_node *n = sim_current();

    return n && sim_running->number < SIM_LANES ? n : NULL;
}

#define WRAP(type, name, ...)                                                                                \
    type __real_##name(__VA_ARGS__);                                                                         \
    type __wrap_##name(__VA_ARGS__);                                                                         \
    type __wrap_##name(__VA_ARGS__)

/* The next view begins for this lane: the newest frame of the views before that has not reached it comes. */
static void bring_last_view(const struct sim_node *n, unsigned lane)
{
    const struct ft_link_head *expects = &ends[n->index][lane].expects;
    struct sealed *newest = NULL;

    for (unsigned i = 0; i < KEPT && kept[i]; i++)
        if (kept[i]->head.incarnation == expects->incarnation && kept[i]->head.view < expects->view &&
            kept[i]->head.lane == lane && kept[i]->opened_by[n->index] != n->life &&
            (!newest || kept[i]->head.number > newest->head.number))
            newest = kept[i];
    if (newest)
        put_behind(&ends[n->index][lane], newest, newest->data, newest->len, 0);
}

static void begin_turn(const struct nd_lane *lane)
{
    struct ft_lane_shared *shared = lane->shared;
    struct sim_node *n = lane_of();
    struct ft_link_head *expects = &ends[n->index][lane->index].expects;
    uint64_t view = expects->view;

    *expects = (struct ft_link_head){.direction = !FT_ORDER_GET(shared, port_connects),
                                     .lane = (uint16_t)lane->index,
                                     .view = FT_ORDER_GET(shared, port_view),
                                     .incarnation = FT_ORDER_GET(shared, port_peer)};
    if (expects->view != view && !sim.faults_over)
        bring_last_view(n, lane->index);
}

WRAP(bool, nd_link_turn, struct nd_lane *lane)
{
    begin_turn(lane);
    return __real_nd_link_turn(lane);
}

WRAP(bool, nd_link_look, struct nd_lane *lane)
{
    begin_turn(lane);
    return __real_nd_link_look(lane);
}

/* What a lane says, before it is sealed. */
WRAP(void, ft_link_put_body, uint8_t *to, const struct ft_link_body *body)
{
    struct sim_node *n = lane_of();

    if (n && n->lane[sim_running->number].doing == FT_LANE_REPLAY)
        sim_saw_stored(n, sim_running->number, body->closed, sim_holds(n, sim_running->number));
    __real_ft_link_put_body(to, body);
}

/* What a lane has opened: the frame that it received last. Nobody seals its addresses. */
WRAP(bool, ft_link_get_body, const uint8_t *from, size_t payload, struct ft_link_body *body)
{
    struct sim_node *n = lane_of();
    const struct end *e = n ? &ends[n->index][sim_running->number] : NULL;
    const struct frame *f = n ? e->last_given : NULL;
    const struct ft_link_head *expects = n ? &e->expects : NULL;

    if (f && (f->len != f->is->len || memcmp(f->data + 12, f->is->data + 12, f->len - 12) != 0))
        sim_fail("G6: %s opens a frame that was altered on its way", n->name);
    else if (f && f->is->from == n->index)
        sim_fail("G6: %s opens a frame that it has sent itself", n->name);
    else if (f && (f->is->head.view != expects->view || f->is->head.incarnation != expects->incarnation))
        sim_fail("G6: %s is to hear %016lx in view %lu, and opens a frame of %016lx in view %lu", n->name,
                 expects->incarnation, expects->view, f->is->head.incarnation, f->is->head.view);
    else if (f && f->is->lane != sim_running->number)
        sim_fail("G6: lane %u of %s opens a frame for lane %u", sim_running->number, n->name, f->is->lane);
    else if (f && f->is->opened_by[n->index] == n->life)
        sim_fail("G6: %s opens a frame twice", n->name);
    if (f)
        f->is->opened_by[n->index] = n->life;
    sim.count.by_port += f && payload;
    return __real_ft_link_get_body(from, payload, body);
}
