/* SPDX-License-Identifier: Apache-2.0 */
/* The world around two cores, and the node around each; see pair.h. */
#include "ftcore/base/draw.h"
#include "tests/unit/pair.h"

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

static uint64_t clock_of(const struct pair *p, unsigned i)
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

static void send_message(struct pair *p, unsigned from, const struct ft_message *m, uint32_t tip,
                         uint32_t after)
{
    struct pair_node *n = &p->node[from];

    if (!n->conn)
        return;
    if (n->answers_on != n->conn || m->echo > n->echoed) {
        n->answers_on = n->conn;
        n->echoed = m->echo;
        n->answered = m->echo ? clock_of(p, from) : n->answered;
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

/* ---- the tree of bursts ------------------------------------------------------------------------ */

static uint32_t grow(struct pair *p, uint32_t parent)
{
    uint32_t id = p->bursts;

    FT_CHECK(id < PAIR_BURSTS, "the world has grown too large");
    p->bursts++;
    p->parent[id] = parent;
    p->depth[id] = parent == NO_STATE ? 0 : p->depth[parent] + 1;
    return id;
}

/* True when state `b` contains all that `a` is. */
static bool contains(const struct pair *p, uint32_t b, uint32_t a)
{
    if (a == NO_STATE)
        return true;
    if (b == NO_STATE)
        return false;
    while (p->depth[b] > p->depth[a])
        b = p->parent[b];
    return a == b;
}

static void set_chain(const struct pair *p, struct pair_node *n, uint32_t tip)
{
    for (uint32_t at = tip;; at = p->parent[at]) {
        if (n->chain[p->depth[at]] == at && at != tip)
            break;
        n->chain[p->depth[at]] = at;
        if (p->depth[at] == 0)
            break;
    }
}

/* ---- actions ----------------------------------------------------------------------------------- */

static void begin_alone(struct pair *p, unsigned i, const struct ft_action *a)
{
    struct pair_node *n = &p->node[i], *other = &p->node[!i];

    if (a->order == FT_LANE_LIVE &&
        n->tip != NO_STATE) { /* aborted, or handed over in vain: live from where it stood */
        p->resumed++;
    } else if (a->order == FT_LANE_LIVE) {
        uint32_t to = (uint32_t)a->vector[0];

        if (n->held == NO_STATE) {
            pair_fail(p, "%c is primary on nothing", 'a' + (int)i);
            return;
        }
        if (!n->whole)
            pair_fail(p, "%c is primary on half a snapshot", 'a' + (int)i);
        if (n->stale)
            pair_fail(p, "%c is primary on a snapshot put over an older state", 'a' + (int)i);
        if (to > p->depth[n->held])
            pair_fail(p, "%c is to replay up to %u and holds %u", 'a' + (int)i, to, p->depth[n->held]);
        to = to > p->depth[n->held] ? p->depth[n->held] : to;
        n->tip = n->chain[to];
        n->released = to > 3 ? to - 3 : 0; /* the tail */
        p->takeovers++;
        if (!p->split && !contains(p, n->tip, p->line))
            pair_fail(p, "%c is primary without burst %u, which has left", 'a' + (int)i, p->depth[p->line]);
    } else {
        n->tip = grow(p, NO_STATE);
        n->chain[0] = n->tip;
        n->released = 0;
        if (other->alive && !p->split &&
            (ft_core_primary(&other->core) || other->core.hand == FT_HAND_GIVEN ||
             other->core.state == FT_READY))
            pair_fail(p, "%c is primary with an empty state beside one that holds some", 'a' + (int)i);
        p->line = n->tip;
        p->emptied++;
    }
    n->held = NO_STATE;
    if (n->core.view > p->reign)
        p->reign = n->core.view;
}

static void set_gate(struct pair *p, struct pair_node *n, const struct ft_action *a)
{
    n->lease_until = a->lease_until;
    n->stable = a->vector[0];
    if (a->gate == FT_GATE_GUARDED && (n->gate == FT_GATE_GUARDED || n->gate_at))
        return;
    n->gate_at = 0;
    if (a->gate == FT_GATE_GUARDED)
        n->gate_at = p->now + pair_draw(p, 2 * FT_MS); /* lanes see it at their next burst */
    else
        n->gate = a->gate;
}

static void clear(struct pair_node *n)
{
    n->tip = n->held = NO_STATE;
    n->order = FT_LANE_WAIT;
    n->logging = n->whole = n->stale = false;
    n->closed = n->replayed = 0;
    n->cut_at = n->snapshot_sent_at = 0;
}

/* Most disks are quick, some are slow, some are frozen for a while. */
static uint64_t disk_time(struct pair *p)
{
    unsigned kind = (unsigned)pair_draw(p, 100);

    return pair_draw(p, (kind < 60 ? 3 : kind < 90 ? 30 : 200) * FT_MS);
}

/*
 * It died before its last view was on its disk. What it had released in a view that nobody knows any more is
 * contradicted when the other one goes on from an older state: never with strict, and never after a handover.
 */
static void forget(struct pair *p, unsigned i)
{
    struct pair_node *n = &p->node[i], *other = &p->node[!i];
    uint64_t lived = n->wanted, theirs = other->alive ? other->core.view : other->view_file;
    uint64_t known = theirs > n->view_file ? theirs : n->view_file;
    bool planned = n->core.takeover.view == lived && strcmp(n->core.takeover.reason, "planned") == 0;
    uint32_t state = !other->alive ? NO_STATE : other->tip != NO_STATE ? other->tip : other->held;

    n->wanted = n->view_file;
    if (lived <= known)
        return;
    pair_note(p, i, "has forgotten view %lu", lived);
    p->forgotten++;
    if (p->reign > known)
        p->reign = known;
    if (p->split || n->view_file > theirs || state == NO_STATE || contains(p, state, p->line))
        return;
    if (p->strict || (planned && !p->long_partition))
        pair_fail(p, "%c has forgotten view %lu, in which burst %u has left, and %c holds an older state",
                  'a' + (int)i, lived, p->depth[p->line], 'a' + (int)!i);
    while (!contains(p, state, p->line))
        p->line = p->parent[p->line];
}

static void act(struct pair *p, unsigned i, const struct ft_action *a)
{
    struct pair_node *n = &p->node[i];

    switch (a->kind) {
    case FT_ACT_SEND:
        if (a->send.type == FT_MSG_ACK && n->held != NO_STATE) {
            if (!n->whole)
                pair_fail(p, "%c acknowledges before its snapshot is whole", 'a' + (int)i);
            n->acked = n->chain[a->send.burst[0]];
        }
        if (a->send.type != FT_MSG_HEARTBEAT && a->send.type != FT_MSG_ACK)
            pair_note(p, i, "says %u [%lu]", a->send.type, a->send.burst[0]);
        if (a->send.type == FT_MSG_HELLO)
            n->hello = a->send;
        send_message(p, i, &a->send, n->tip, NO_STATE);
        break;
    case FT_ACT_GATE:
        set_gate(p, n, a);
        break;
    case FT_ACT_ORDER:
        if (a->order == FT_LANE_LIVE || a->order == FT_LANE_FRESH)
            begin_alone(p, i, a);
        n->order = a->order == FT_LANE_FRESH ? FT_LANE_LIVE : a->order;
        if (a->order == FT_LANE_REPLAY)
            n->whole = true;
        n->drained_at = p->now + pair_draw(p, 8 * FT_MS);
        break;
    case FT_ACT_STEER:
        n->steered_at = a->flag ? p->now + pair_draw(p, 3 * FT_MS) : 0;
        break;
    case FT_ACT_CUT:
        n->cut_at = p->now + pair_draw(p, 3 * FT_MS);
        break;
    case FT_ACT_NO_SNAPSHOT:
        n->logging = false;
        n->cut_at = n->snapshot_sent_at = 0;
        break;
    case FT_ACT_VIEW:
    case FT_ACT_STORE:
        if (a->view < n->wanted)
            pair_fail(p, "%c goes back to view %lu", 'a' + (int)i, a->view);
        n->stored_at = a->view > n->wanted ? p->now + disk_time(p) : n->stored_at;
        n->wanted = a->view;
        break;
    case FT_ACT_CLEAR:
        clear(n);
        break;
    case FT_ACT_ASK:
        arbiter_ask(&p->arbiter, i, a->flag ? &a->question : NULL, p->now);
        pair_note(p, i, "asks the arbiter %s%lu, %lu", a->flag ? "" : "no more ", a->question.era.view,
                  a->question.era.number);
        break;
    case FT_ACT_STATE:
        pair_note(p, i, "%s in view %lu: %s", ft_state_name(a->send.state), n->core.view, a->send.text);
        break;
    default:
        break;
    }
}

void pair_step(struct pair *p, unsigned i, struct ft_event *event)
{
    static struct ft_actions actions;
    struct pair_node *n = &p->node[i];
    enum ft_state before = n->core.state;

    event->now = event->came = clock_of(p, i);
    ft_step(&n->core, event, &actions);
    for (uint32_t k = 0; k < actions.count; k++) {
        if (actions.list[k].kind == FT_ACT_CLOSE)
            close_by(p, i);
        act(p, i, &actions.list[k]);
    }
    if (n->core.state == FT_PROTECTED && before != FT_PROTECTED)
        p->protections++;
}

static void take(struct pair *p, unsigned i, const struct pair_envelope *e)
{
    struct pair_node *n = &p->node[i];
    struct ft_event event = {.kind = FT_EV_MESSAGE, .message = &e->m};
    uint64_t snapshots = n->core.snapshots;

    if (e->m.echo > n->own_echoed)
        n->own_echoed = e->m.echo;
    if (e->m.type == FT_MSG_LOG && ft_core_accepts(&n->core, &e->m)) {
        if (n->held != e->after)
            pair_fail(p, "a hole in the log that %c takes in", 'a' + (int)i);
        n->held = e->tip;
        set_chain(p, n, e->tip);
    }
    pair_step(p, i, &event);
    if (n->core.snapshots != snapshots) {
        n->stale = n->whole || n->held != NO_STATE; /* CLEAR would have seen to it */
        n->held = e->tip;
        set_chain(p, n, e->tip);
        n->closed = n->replayed = p->depth[e->tip];
        n->whole = false;
    }
}

/* ---- the lane ---------------------------------------------------------------------------------- */

static void step_lanes(struct pair *p, unsigned i, enum ft_event_kind kind)
{
    struct pair_node *n = &p->node[i];
    bool live = n->tip != NO_STATE;
    struct ft_event event = {.kind = kind};

    event.closed[0] = live ? p->depth[n->tip] : n->closed;
    if (kind == FT_EV_LANES && live && p->delta && n->logging)
        event.closed[0] = p->depth[n->logged];
    event.replayed[0] = live ? 0 : n->replayed;
    event.taken[0] = event.replayed[0] * 100;
    pair_step(p, i, &event);
}

static void work_live(struct pair *p, unsigned i)
{
    struct pair_node *n = &p->node[i];

    if ((n->order == FT_LANE_LIVE || n->order == FT_LANE_OWN_MAC) && pair_chance(p, 80)) {
        n->tip = grow(p, n->tip);
        n->chain[p->depth[n->tip]] = n->tip;
    }
    if (n->gate_at && p->now >= n->gate_at) {
        n->gate = FT_GATE_GUARDED;
        n->gate_at = 0;
        step_lanes(p, i, FT_EV_GUARDED);
    }
    if (n->tip != NO_STATE && n->cut_at && p->now >= n->cut_at) {
        n->cut_at = 0;
        n->logging = true;
        n->logged = n->tip;
        n->snapshot_sent_at = p->now + FT_MS + pair_draw(p, pair_chance(p, 5) ? 400 * FT_MS : 25 * FT_MS);
        step_lanes(p, i, FT_EV_CUT);
    }
    if (n->tip != NO_STATE && n->logging && n->logged != n->tip && (!p->delta || pair_chance(p, 30))) {
        struct ft_message m;

        ft_core_head(&n->core, FT_MSG_LOG, clock_of(p, i), &m);
        send_message(p, i, &m, n->tip, n->logged);
        n->logged = n->tip;
    }
    if (n->tip != NO_STATE && n->snapshot_sent_at && p->now >= n->snapshot_sent_at) {
        n->snapshot_sent_at = 0;
        step_lanes(p, i, FT_EV_SNAPSHOT_SENT);
    }
    if (n->tip != NO_STATE && n->order == FT_LANE_DRAIN && p->now >= n->drained_at &&
        n->released == p->depth[n->tip] && (!n->logging || n->logged == n->tip))
        step_lanes(p, i, FT_EV_DRAINED);
}

static void work_standby(struct pair *p, unsigned i)
{
    struct pair_node *n = &p->node[i];

    if (n->steered_at && p->now >= n->steered_at) {
        n->steered_at = 0;
        step_lanes(p, i, FT_EV_STEERED);
    }
    if (n->held == NO_STATE)
        return;
    if (pair_chance(p, 70))
        n->closed = p->depth[n->held];
    if (n->whole && p->now >= n->stalled_until && !p->warm)
        n->replayed += (uint32_t)pair_draw(p, 30);
    if (n->replayed > n->closed)
        n->replayed = n->closed;
    step_lanes(p, i, FT_EV_LANES);
}

static void work(struct pair *p, unsigned i)
{
    if (p->node[i].tip != NO_STATE) {
        work_live(p, i);
        if (p->node[i].tip != NO_STATE)
            step_lanes(p, i, FT_EV_LANES);
    } else {
        work_standby(p, i);
    }
}

/* ---- what leaves ------------------------------------------------------------------------------- */

static bool may_leave(const struct pair *p, unsigned i, uint32_t depth)
{
    const struct pair_node *n = &p->node[i];

    if (n->order != FT_LANE_LIVE && n->order != FT_LANE_OWN_MAC && n->order != FT_LANE_DRAIN)
        return false;
    return n->gate == FT_GATE_SOLO ||
           (n->gate == FT_GATE_GUARDED && depth <= n->stable && clock_of(p, i) < n->lease_until);
}

/*
 * The price of two nodes: a primary was replaced while it was cut off or slept, hears nothing of that for
 * solo_after_ms, and goes on alone. Never with strict, and never with an arbiter.
 */
static bool may_split(const struct pair *p, unsigned i)
{
    const struct pair_node *n = &p->node[i];
    uint64_t alone = n->core.since - n->offset, patience = PAIR_SOLO * FT_MS;

    return !p->strict && !p->arbitrated && n->gate == FT_GATE_SOLO &&
           (p->long_partition || (n->overslept && alone + FT_MS >= n->overslept + patience &&
                                  alone < n->overslept + 3 * patience));
}

static void leave(struct pair *p, unsigned i, uint32_t burst)
{
    struct pair_node *n = &p->node[i], *other = &p->node[!i];

    p->releases++;
    if (n->core.view < p->reign) {
        p->split |= may_split(p, i);
        if (!p->split)
            pair_fail(p, "%c releases in view %lu after %lu has begun", 'a' + (int)i, n->core.view, p->reign);
    }
    if (p->split)
        return;
    if (p->strict && n->gate == FT_GATE_SOLO)
        pair_fail(p, "%c releases alone, though strict", 'a' + (int)i);
    if (n->gate == FT_GATE_GUARDED && !contains(p, other->acked, burst))
        pair_fail(p, "%c releases burst %u, which was not acknowledged", 'a' + (int)i, p->depth[burst]);
    if (!contains(p, burst, p->line) && !contains(p, p->line, burst))
        pair_fail(p, "%c releases burst %u against what has left", 'a' + (int)i, p->depth[burst]);
    if (p->depth[burst] > p->depth[p->line])
        p->line = burst;
}

static void release(struct pair *p, unsigned i)
{
    struct pair_node *n = &p->node[i];

    if (n->tip == NO_STATE)
        return;
    while (n->released < p->depth[n->tip] && may_leave(p, i, n->released + 1)) {
        n->released++;
        p->aside += n->order == FT_LANE_OWN_MAC;
        leave(p, i, n->chain[n->released]);
    }
}

/*
 * A lease ends within lease_ms of the answer it rests on, by any clock. A primary that releases alone, and a
 * standby that still may promote itself, must not be.
 */
static void watch(struct pair *p)
{
    for (unsigned i = 0; i < 2; i++) {
        struct pair_node *n = &p->node[i], *other = &p->node[!i];
        const struct ft_core *core = &other->core;
        uint64_t right = other->own_echoed + PAIR_PROMOTE * FT_MS;

        if (p->split || !n->alive || !other->alive)
            continue;
        if (n->core.state == FT_PROTECTED && core->state == FT_READY &&
            n->lease_until - n->offset > other->answered - other->offset + PAIR_LEASE * FT_MS)
            pair_fail(p, "the lease of %c outlasts the answer of %c", 'a' + (int)i, 'a' + (int)!i);
        if (n->gate != FT_GATE_SOLO || n->gate_at)
            continue;
        if (core->state == FT_READY && other->own_echoed && clock_of(p, !i) < right &&
            !core->arbiter.lapsed) /* with an arbiter it returns no more */
            pair_fail(p, "%c releases alone while %c may promote itself", 'a' + (int)i, 'a' + (int)!i);
    }
}

/* ---- processes --------------------------------------------------------------------------------- */

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
    forget(p, i);
    ft_core_init(&n->core, &c, clock_of(p, i), &actions);
    pair_note(p, i, "starts, view %lu", n->view_file);
    for (uint32_t k = 0; k < actions.count; k++)
        act(p, i, &actions.list[k]);
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

/* Somebody connects to i, says the peer's old hello, and closes. */
static void replay_hello(struct pair *p, unsigned i)
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
            take(p, i, e);
        }
    }
    if (n->replay_at && p->now >= n->replay_at && !n->conn) {
        n->replay_at = 0;
        replay_hello(p, i);
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
    struct ft_decision kept;
    struct ft_event event = {.kind = FT_EV_ANSWER, .decision = &kept};
    const struct ft_core *core = &p->node[i].core;

    arbiter_serves(&p->arbiter, i, core->state == FT_SOLO || core->state == FT_PROTECTED ? core->view : 0,
                   p->now);
    while (arbiter_answer(&p->arbiter, i, p->now, &event.era, &event.answer, &kept)) {
        pair_note(p, i, "hears from the arbiter of %lu, %lu: %s", event.era.view, event.era.number,
                  text[event.answer]);
        pair_step(p, i, &event);
    }
}

static void turn(struct pair *p, unsigned i)
{
    struct ft_event heartbeat = {.kind = FT_EV_PORT_HEARTBEAT}, passed = {.kind = FT_EV_TIME};

    /* The lane wakes first, and acts on what it was told last. */
    release(p, i);
    receive(p, i);
    write_view(p, i);
    if (p->arbitrated)
        hear_arbiter(p, i);
    if (pair_runs(p, !i) && p->now >= p->port_blocked[i] && pair_chance(p, 60)) {
        heartbeat.view = p->node[!i].core.view;
        pair_step(p, i, &heartbeat);
    }
    work(p, i);
    pair_step(p, i, &passed);
    release(p, i);
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
        watch(p);
    }
}
