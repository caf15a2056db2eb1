/* SPDX-License-Identifier: Apache-2.0 */
/* The world around two cores: time, connections, processes. See pair.h. */
#include "tests/help/pair.h"
#include "ftcore/base/draw.h"

#include <stdarg.h>
#include <string.h>

uint64_t pair_draw(struct pair *p, uint64_t below)
{
    return ft_draw(&p->random) % below;
}

bool pair_chance(struct pair *p, unsigned percent)
{
    return pair_draw(p, 100) < percent;
}

uint64_t pair_clock(const struct pair *p, unsigned i)
{
    return p->now + p->node[i].offset;
}

bool pair_runs(const struct pair *p, unsigned i)
{
    return p->node[i].alive && p->now >= p->node[i].paused_until;
}

void pair_note(struct pair *p, unsigned i, const char *fmt, ...)
{
    va_list ap;

    if (!p->tell)
        return;
    fprintf(p->tell, "# %6.1f %s ", (double)p->now / 1e6, i ? "          b" : "a");
    va_start(ap, fmt);
    vfprintf(p->tell, fmt, ap);
    va_end(ap);
    fputc('\n', p->tell);
}

void pair_fail(struct pair *p, const char *fmt, ...)
{
    va_list ap;

    if (p->failed[0])
        return;
    va_start(ap, fmt);
    vsnprintf(p->failed, sizeof(p->failed), fmt, ap);
    va_end(ap);
}

bool pair_protected(const struct pair *p)
{
    for (unsigned i = 0; i < 2; i++)
        if (pair_runs(p, 0) && pair_runs(p, 1) && p->node[i].core.state == FT_PROTECTED &&
            p->node[!i].core.state == FT_READY && p->node[i].core.view == p->node[!i].core.view)
            return true;
    return false;
}

static void start(struct pair *p, unsigned i)
{
    static struct ft_actions actions;
    struct pair_node *n = &p->node[i];
    struct ft_core_config c = {.lanes = 1,
                               .role = (uint8_t)i,
                               .strict = p->strict,
                               .warm = p->warm,
                               .view = n->view_file,
                               .keeps_views = true,
                               .heartbeat_ms = 2,
                               .lease_ms = PAIR_LEASE,
                               .detect_ms = 20,
                               .promote_within_ms = PAIR_PROMOTE,
                               .solo_after_ms = PAIR_SOLO,
                               .resync_deadline_ms = 300,
                               .start_alone_ms = 100,
                               .drain_ms = 60,
                               .arbiter = p->arbitrated,
                               .identity = "chain x\n",
                               .identity_len = 8};

    c.name[0] = (char)('a' + i);
    arbiter_born(&p->arbiter, i, c.name);
    n->incarnation = c.incarnation = p->random ^ (uint64_t)(i + 1);
    n->alive = n->machine_up = true;
    n->conn = n->deaf = 0;
    n->tip = NO_STATE;
    n->held = NO_STATE;
    n->order = FT_LANE_WAIT;
    n->gate = FT_GATE_SHUT;
    n->gate_at = n->steered_at = n->cut_at = n->snapshot_sent_at = n->restart_at = n->paused_until = 0;
    n->logging = n->whole = n->stale = false;
    n->stalled_until = n->replay_at = 0;
    n->own_echoed = 0;
    pair_forget(p, i);
    ft_core_init(&n->core, &c, pair_clock(p, i), &actions);
    pair_note(p, i, "starts, view %lu", n->view_file);
    for (uint32_t k = 0; k < actions.count; k++)
        pair_act(p, i, &actions.list[k]);
}

void pair_begin(struct pair *p, uint64_t seed, struct pair_kind kind, FILE *tell)
{
    memset(p, 0, sizeof(*p));
    p->seed = seed;
    p->random = seed * 0x2545f4914f6cdd1dull;
    p->strict = kind.strict;
    p->warm = kind.warm;
    p->delta = kind.delta;
    p->arbitrated = kind.arbiter;
    arbiter_begin(&p->arbiter, seed, 30 * FT_MS);
    p->tell = tell;
    p->line = NO_STATE;
    for (unsigned i = 0; i < 2; i++) {
        p->node[i].acked = NO_STATE;
        p->node[i].offset = pair_chance(p, 30) ? 0 : pair_draw(p, 1000 * FT_MS);
        start(p, i);
    }
    p->connect_at = pair_draw(p, 20 * FT_MS) + 1;
}

/* ---- connections ------------------------------------------------------------------------------- */

static struct pair_envelope *post(struct pair *p, unsigned to)
{
    struct pair_pipe *pipe = &p->pipe[to];
    struct pair_envelope *e = &pipe->list[pipe->tail % PAIR_PIPE];
    uint64_t delay = pair_draw(p, 1500000) + (pair_chance(p, 2) ? pair_draw(p, 4 * FT_MS) : 0);

    FT_CHECK(pipe->tail - pipe->head < PAIR_PIPE, "nobody has read for too long");
    pipe->tail++;
    memset(e, 0, offsetof(struct pair_envelope, m));
    if (p->now + delay > pipe->last)
        pipe->last = p->now + delay;
    e->at = pipe->last;
    return e;
}

void pair_send(struct pair *p, unsigned from, const struct ft_message *m, uint32_t tip, uint32_t after)
{
    struct pair_node *n = &p->node[from];

    if (!n->conn)
        return;
    if (n->answers_on != n->conn || m->echo > n->echoed) {
        n->answers_on = n->conn;
        n->echoed = m->echo;
        n->answered = m->echo ? pair_clock(p, from) : n->answered;
    }
    if (m->type == FT_MSG_ABANDON)
        n->abandons = n->conn;

    struct pair_envelope *e = post(p, !from);

    e->kind = PAIR_MESSAGE;
    e->conn = n->conn;
    e->m = *m;
    e->tip = tip;
    e->after = after;
}

static void post_lost(struct pair *p, unsigned to, uint32_t conn, enum ft_lost how)
{
    struct pair_envelope *e = post(p, to);

    e->kind = PAIR_LOST;
    e->conn = conn;
    e->how = how;
}

/* What `to` has not had yet of a connection is lost. */
static void drop(struct pair *p, unsigned to, uint32_t conn)
{
    struct pair_pipe *pipe = &p->pipe[to];

    for (uint32_t k = pipe->head; k != pipe->tail; k++)
        if (pipe->list[k % PAIR_PIPE].conn == conn && pipe->list[k % PAIR_PIPE].kind == PAIR_MESSAGE)
            pipe->list[k % PAIR_PIPE].conn = 0;
}

static void close_by(struct pair *p, unsigned i)
{
    struct pair_node *n = &p->node[i];

    if (!n->conn)
        return;
    if (pair_chance(p, 40)) {
        drop(p, !i, n->conn);
        post_lost(p, !i, n->conn, FT_LOST_RESET);
    } else {
        post_lost(p, !i, n->conn, FT_LOST_EOF);
    }
    n->conn = 0;
}

void pair_break(struct pair *p)
{
    for (unsigned i = 0; i < 2; i++)
        if (p->node[i].conn) {
            drop(p, i, p->node[i].conn);
            post_lost(p, i, p->node[i].conn, FT_LOST_ERROR);
        }
}

void pair_replay(struct pair *p, unsigned i)
{
    struct pair_node *n = &p->node[i];
    struct ft_event event = {.kind = FT_EV_CONNECTED};

    /* Beside a connection that lives, the link asks for the proof before the core hears of it. */
    if (n->conn || !p->node[!i].hello.type)
        return;
    n->conn = ++p->conns;
    pair_step(p, i, &event);
    event.kind = FT_EV_MESSAGE;
    event.message = &p->node[!i].hello;
    pair_step(p, i, &event);
    post_lost(p, i, n->conn, FT_LOST_EOF);
}

static void connect_nodes(struct pair *p)
{
    if ((p->node[0].conn && p->node[1].conn) || !p->node[0].alive || !p->node[1].alive) {
        p->connect_at = 0;
        return;
    }
    if (!p->connect_at)
        p->connect_at = p->now + pair_draw(p, 8 * FT_MS);
    if (p->now < p->connect_at || p->now < p->link_blocked[0] || p->now < p->link_blocked[1])
        return;
    p->conns++;
    p->connect_at = p->now + 30 * FT_MS;
    for (unsigned i = 0; i < 2; i++) {
        struct pair_envelope *e = post(p, i);

        e->kind = PAIR_CONNECTED;
        e->conn = p->conns;
    }
}

/* ---- processes --------------------------------------------------------------------------------- */

void pair_kill(struct pair *p, unsigned i, bool machine, bool notice, uint64_t back_ns)
{
    struct pair_node *n = &p->node[i];

    if (!n->alive)
        return;
    pair_note(p, i, machine ? "loses power" : "is killed");
    n->alive = false;
    n->machine_up = !machine;
    n->restart_at = p->now + back_ns;
    if (!machine)
        close_by(p, i);
    if (notice && !machine) {
        p->node[!i].dead_notice = n->incarnation;
        p->node[!i].notice_at = p->now + pair_draw(p, FT_MS);
    }
}

static void come_back(struct pair *p, unsigned i)
{
    if (p->node[i].alive || p->now < p->node[i].restart_at)
        return;
    close_by(p, i); /* a machine that is up again resets what it does not know */
    p->pipe[i].head = p->pipe[i].tail;
    start(p, i);
}

/* ---- time -------------------------------------------------------------------------------------- */

void pair_step(struct pair *p, unsigned i, struct ft_event *event)
{
    static struct ft_actions actions;
    struct pair_node *n = &p->node[i];
    enum ft_state before = n->core.state;

    event->now = event->came = pair_clock(p, i);
    ft_step(&n->core, event, &actions);
    for (uint32_t k = 0; k < actions.count; k++) {
        if (actions.list[k].kind == FT_ACT_CLOSE)
            close_by(p, i);
        pair_act(p, i, &actions.list[k]);
    }
    if (n->core.state == FT_PROTECTED && before != FT_PROTECTED)
        p->protections++;
}

static void receive(struct pair *p, unsigned i)
{
    struct pair_node *n = &p->node[i];
    struct pair_pipe *pipe = &p->pipe[i];

    while (pipe->head != pipe->tail && p->now >= p->link_blocked[i]) {
        struct pair_envelope *e = &pipe->list[pipe->head % PAIR_PIPE];
        struct ft_event event = {0};

        if (e->at > p->now)
            break;
        pipe->head++;
        if (e->kind == PAIR_CONNECTED) {
            if (n->conn && pair_chance(p, 50)) { /* or the core has to see it by itself */
                event.kind = FT_EV_LOST;
                event.how = FT_LOST_ERROR;
                pair_step(p, i, &event);
            }
            n->conn = e->conn;
            event.kind = FT_EV_CONNECTED;
            pair_note(p, i, "connected");
            pair_step(p, i, &event);
        } else if (e->conn && e->conn == n->conn && e->kind == PAIR_LOST) {
            n->conn = 0;
            event.kind = FT_EV_LOST;
            event.how = e->how;
            pair_note(p, i, "lost the connection, %u", e->how);
            pair_step(p, i, &event);
        } else if (e->conn && e->conn == n->conn && e->conn != n->deaf) {
            pair_take(p, i, e);
        }
    }
    if (n->replay_at && p->now >= n->replay_at && !n->conn) {
        n->replay_at = 0;
        pair_replay(p, i);
    }
    if (n->dead_notice && p->now >= n->notice_at) {
        struct ft_event event = {.kind = FT_EV_DEATH_NOTICE, .incarnation = n->dead_notice};

        n->dead_notice = 0;
        if (p->now >= p->link_blocked[i])
            pair_step(p, i, &event);
    }
}

static void write_view(struct pair *p, unsigned i)
{
    struct pair_node *n = &p->node[i];
    struct ft_event event = {.kind = FT_EV_STORED, .view = n->wanted};

    if (n->wanted == n->view_file || p->now < n->stored_at)
        return;
    n->view_file = n->wanted;
    pair_step(p, i, &event);
}

static void hear_arbiter(struct pair *p, unsigned i)
{
    static const char *const text[] = {"", "it goes on", "the other goes on", "nothing"};
    struct ft_event event = {.kind = FT_EV_ANSWER};
    const struct ft_core *core = &p->node[i].core;

    arbiter_serves(&p->arbiter, i, core->state == FT_SOLO || core->state == FT_PROTECTED ? core->view : 0,
                   p->now);
    while (arbiter_answer(&p->arbiter, i, p->now, &event.era, &event.answer)) {
        pair_note(p, i, "hears from the arbiter of %lu, %lu: %s", event.era.view, event.era.number,
                  text[event.answer]);
        pair_step(p, i, &event);
    }
}

static void turn(struct pair *p, unsigned i)
{
    struct ft_event heartbeat = {.kind = FT_EV_PORT_HEARTBEAT}, passed = {.kind = FT_EV_TIME};

    /* The lane wakes first, and acts on what it was told last. */
    pair_release(p, i);
    receive(p, i);
    write_view(p, i);
    if (p->arbitrated)
        hear_arbiter(p, i);
    if (pair_runs(p, !i) && p->now >= p->port_blocked[i] && pair_chance(p, 60)) {
        heartbeat.view = p->node[!i].core.view;
        pair_step(p, i, &heartbeat);
    }
    pair_lane(p, i);
    pair_step(p, i, &passed);
    pair_release(p, i);
}

void pair_tick(struct pair *p)
{
    unsigned first = (unsigned)pair_draw(p, 2);

    p->now += FT_MS;
    connect_nodes(p);
    for (unsigned k = 0; k < 2; k++) {
        unsigned i = k ^ first;

        come_back(p, i);
        if (pair_runs(p, i))
            turn(p, i);
        pair_watch(p);
    }
}
