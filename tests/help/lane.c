/* SPDX-License-Identifier: Apache-2.0 */
/* The node around one core: carrying out its actions, one lane, and the watch over what leaves. See
 * pair.h. */
#include "tests/help/pair.h"

#include <string.h>

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
void pair_forget(struct pair *p, unsigned i)
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

void pair_act(struct pair *p, unsigned i, const struct ft_action *a)
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
        pair_send(p, i, &a->send, n->tip, NO_STATE);
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
        arbiter_ask(&p->arbiter, i, a->flag ? &a->era : NULL, p->now);
        pair_note(p, i, "asks the arbiter %s%lu, %lu", a->flag ? "" : "no more ", a->era.view, a->era.number);
        break;
    case FT_ACT_STATE:
        pair_note(p, i, "%s in view %lu: %s", ft_state_name(a->send.state), n->core.view, a->send.text);
        break;
    default:
        break;
    }
}

void pair_take(struct pair *p, unsigned i, const struct pair_envelope *e)
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

        ft_core_head(&n->core, FT_MSG_LOG, pair_clock(p, i), &m);
        pair_send(p, i, &m, n->tip, n->logged);
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

void pair_lane(struct pair *p, unsigned i)
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
           (n->gate == FT_GATE_GUARDED && depth <= n->stable && pair_clock(p, i) < n->lease_until);
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

void pair_release(struct pair *p, unsigned i)
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
void pair_watch(struct pair *p)
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
        if (core->state == FT_READY && other->own_echoed && pair_clock(p, !i) < right &&
            !core->arbiter.lapsed) /* with an arbiter it returns no more */
            pair_fail(p, "%c releases alone while %c may promote itself", 'a' + (int)i, 'a' + (int)!i);
    }
}
