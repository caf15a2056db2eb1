/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must never happen, looked at whenever something happens (G1 to G6 of docs/guarantees.md). The oracles
 * know what each node stored, released and reigned over from the calls themselves, not from what the core
 * believes.
 */
#include "tests/help/record.h"
#include "tests/sim/sim.h"

#include "ftcore/base/check.h"
#include "replicator/parts.h"

#include <string.h>

static bool reigns(enum ft_state state)
{
    return state == FT_SOLO || state == FT_PROTECTED || state == FT_DEGRADED;
}

/* ---- states -------------------------------------------------------------------------------------- */

/* The node's peer took over from it, and died within a silence that nobody would have called a failure. */
static bool died_unheard(const struct sim_node *n)
{
    const struct sim_node *other = sim_peer(n);
    const struct nd_timing *t = &sim.config->timing;
    uint64_t most = t->listen_ms && t->detect_most_ms > t->detect_ms ? t->detect_most_ms : t->detect_ms;

    return other && !other->alive && sim.reigns_node == other->index && other->state == FT_SOLO &&
           other->died < other->state_since + most * SIM_MS;
}

/* Or it sleeps, since solo_after_ms before the node went on alone, about. */
static bool sleeps_long(const struct sim_node *n)
{
    const struct sim_node *other = sim_peer(n);
    uint64_t patience = sim.config->timing.solo_after_ms * SIM_MS;

    return other && other->alive && sim.reigns_node == other->index &&
           other->paused_until >= n->state_since &&
           other->paused_at + patience - patience / 8 <= n->state_since;
}

/*
 * The price of two nodes: a primary was replaced while it was cut off or slept, hears nothing of that for
 * solo_after_ms, since the partition is long or its successor has died or sleeps, and goes on alone.
 * Announced, and never with strict or an arbiter. An eighth: its clock may have jumped.
 */
static bool may_split(const struct sim_node *n)
{
    uint64_t patience = sim.config->timing.solo_after_ms * SIM_MS;

    return !sim.plan.strict && !sim.plan.arbitrated && n->state == FT_SOLO &&
           (sim.long_partition || died_unheard(n) || sleeps_long(n) ||
            (n->overslept && n->state_since + patience / 8 >= n->overslept + patience &&
             n->state_since < n->overslept + 3 * patience));
}

static void count_split(const struct sim_node *n)
{
    if (sim.split)
        return;
    sim.split = true;
    sim.count.splits++;
    sim_tell(n->index, "has announced that it is alone, beside a promoted standby: the pair has split");
}

/*
 * The same with the standby stopped in the middle of its takeover: it had decided, and before its view begins
 * its primary has announced that it goes on alone, and may have died of something else since. What that one
 * did alone is apart.
 */
static void takes_over(struct sim_node *n, const uint64_t closed[])
{
    const struct sim_node *other = sim_peer(n);
    bool announced = other && other->alive && may_split(other), split = announced;

    for (struct sim_left *left = sim.left; left; left = left->next)
        if (left->history == n->follows && left->burst > closed[left->lane] && (announced || left->alone))
            split = left->apart = true;
    if (split)
        count_split(other);
}

static void begins_reign(struct sim_node *n, uint64_t view)
{
    const struct ft_core *core = sim_core(n);

    if (n->state == FT_READY) {
        sim.count.takeovers++;
        FT_CHECK(n->follows, "%s takes over and followed nobody", n->name);
        n->history = sim_history_new(n->follows, core->closed);
        n->history->view = view;
        takes_over(n, core->closed);
        for (unsigned l = 0; l < sim.plan.lanes; l++)
            if (core->closed[l] > n->follows->lane[l].count)
                sim_fail("%s takes over at burst %lu of lane %u, and its primary made %lu", n->name,
                         core->closed[l], l, n->follows->lane[l].count);
    }
    n->by_handover = strcmp(core->takeover.reason, "planned") == 0 && core->takeover.view == view;
    memset(n->last_number, 0, sizeof(n->last_number));
    if (view <= sim.reign && sim.reigns_node != n->index && n->state != FT_FENCED)
        sim_fail("G5: %s begins to reign in view %lu, and %s has reigned in view %lu", n->name, view,
                 sim.node[sim.reigns_node].name, sim.reign);
    if (view > sim.reign) {
        sim.reign = view;
        sim.reigns_node = n->index;
    }
}

/* Whoever made the state that this node follows has said HOLDING to it last, and not to another standby; nor
 * has a later view begun since, in which he may have had one and be dead by now. */
static bool is_followed(const struct sim_node *n, uint64_t view)
{
    if (view < sim.reign)
        return false;
    for (unsigned i = 0; i < sim.nodes; i++)
        if (sim.node[i].alive && sim.node[i].history == n->follows && sim_peer(&sim.node[i]) != n)
            return false;
    return true;
}

/* Who reigns goes on in a view of other members; nobody else has begun it. */
static void begins_view(struct sim_node *n, uint64_t view)
{
    if (view == sim.reign && sim.reigns_node != n->index)
        sim_fail("G5: %s begins view %lu, in which %s has reigned", n->name, view,
                 sim.node[sim.reigns_node].name);
    if (view <= sim.reign)
        return;
    sim.reign = view;
    sim.reigns_node = n->index;
}

void sim_saw_state(struct sim_node *n, enum ft_state state, uint64_t view, const char *why)
{
    bool began = reigns(state) && !reigns(n->state);

    if (sim.plan.sealed && strstr(why, "kernel reset"))
        sim_fail("G5: %s believes a reset on a sealed link", n->name);
    if (sim.plan.liar) {
        if (n->alive)
            sim_tell(n->index, "is now %s in view %lu: %s", ft_state_name(state), view, why);
        n->state = state;
        n->state_since = sim.now;
        return;
    }
    if (n->state == FT_SOLO && state == FT_DEGRADED) {
        n->leaving_solo = n->replicator->gate;
        n->said_holding = false;
    }
    for (unsigned l = 0;
         state == FT_READY && n->state == FT_SYNCING && is_followed(n, view) && l < sim.plan.lanes; l++)
        if (n->follows->hold[l] > ft_closed_burst(n->replicator->receiver.closed, l))
            sim_fail(
                "G1: %s is READY with burst %lu of lane %u, and burst %lu had left before its primary held",
                n->name, ft_closed_burst(n->replicator->receiver.closed, l), l, n->follows->hold[l]);
    if (began && n->replicator)
        begins_reign(n, view);
    else if (reigns(state) && sim.plan.members)
        begins_view(n, view);
    if (state == FT_SOLO && strstr(why, "for solo_after_ms"))
        n->by_handover = false; /* it could not know */
    if (state == FT_JOINING)
        n->history = n->follows = NULL;
    sim.count.protections += state == FT_PROTECTED && n->state != FT_PROTECTED;
    if (n->alive)
        sim_tell(n->index, "is now %s in view %lu: %s", ft_state_name(state), view, why);
    n->state = state;
    n->state_since = sim.now;
    if (sim.plan.strict && state == FT_SOLO)
        sim_fail("G1: %s is SOLO though the pair is strict", n->name);
}

void sim_saw_gift(struct sim_node *n, const struct ft_message *begin)
{
    struct sim_gift *gift;

    if (sim.plan.liar)
        return;
    gift = sim_alloc(sizeof(*gift));
    *gift =
        (struct sim_gift){.history = n->history, .sent = begin->sent, .from = n->index, .next = sim.gifts};
    sim.gifts = gift;
    if (!n->history)
        sim_fail("%s begins a snapshot without a state", n->name);
}

static struct sim_history *history_given(const struct sim_node *n, const struct ft_message *begin)
{
    for (const struct sim_gift *gift = sim.gifts; gift; gift = gift->next)
        if (gift->from != n->index && gift->sent == begin->sent)
            return (struct sim_history *)(uintptr_t)gift->history;
    return NULL;
}

/* A snapshot begins: from here on the node follows what its peer makes; NULL: it holds nothing. */
void sim_saw_snapshot(struct sim_node *n, const struct ft_message *begin)
{
    if (sim.plan.liar)
        return;
    n->follows = begin ? history_given(n, begin) : NULL;
    n->snapshot = begin ? begin->burst[0] : 0;
    if (begin && !n->follows)
        sim_fail("%s gets a snapshot that nobody began", n->name);
    for (unsigned l = 0; n->follows && l < sim.plan.lanes; l++)
        if (begin->burst[l] > n->follows->lane[l].count)
            sim_fail("%s gets a snapshot of burst %lu, lane %u, of which its primary has made %lu", n->name,
                     begin->burst[l], l, n->follows->lane[l].count);
    sim.count.resyncs += begin != NULL;
}

void sim_saw_holding(struct sim_node *n, const struct ft_message *m)
{
    n->said_holding = true;
    for (unsigned l = 0; n->history && l < sim.plan.lanes; l++)
        if (n->history->alone[l] > m->burst[l])
            sim_fail("G1: %s says that it holds after burst %lu of lane %u, and burst %lu has left", n->name,
                     m->burst[l], l, n->history->alone[l]);
    if (n->history)
        memcpy(n->history->hold, n->history->alone, sizeof(n->history->hold));
}

void sim_saw_stored(struct sim_node *n, unsigned lane, uint64_t said, uint64_t held)
{
    if (!n->follows)
        return;
    if (said > held)
        sim_fail("G1: %s acknowledges burst %lu of lane %u and holds %lu", n->name, said, lane, held);
    if (said > n->follows->stored[lane])
        n->follows->stored[lane] = said;
}

void sim_saw_ack(struct sim_node *n, const struct ft_message *ack)
{
    for (unsigned l = 0; l < sim.plan.lanes; l++)
        sim_saw_stored(n, l, ack->burst[l],
                       sim.plan.port ? sim_holds(n, l) : ft_closed_burst(n->replicator->receiver.closed, l));
}

/* Nobody has any state: an epoch begins. */
void sim_saw_fresh(struct sim_node *n)
{
    for (unsigned i = 0; i < sim.nodes && sim.plan.members; i++)
        if (sim.node[i].alive && &sim.node[i] != n &&
            (sim.node[i].state == FT_SOLO || sim.node[i].state == FT_PROTECTED) &&
            sim_core(&sim.node[i])->view == sim.reign)
            sim_fail("G5: %s begins empty beside %s, which is %s", n->name, sim.node[i].name,
                     ft_state_name(sim.node[i].state));
    n->history = sim_history_new(NULL, NULL);
    n->history->epoch = ++sim.epochs;
    n->history->view = atomic_load(&n->view);
    for (unsigned l = 0; l < sim.plan.lanes; l++)
        n->history->seed[l] = n->lane[l].setup.seed;
    sim.count.epochs++;
}

void sim_saw_record(struct sim_node *n, unsigned lane, const struct ft_record *record)
{
    struct sim_history *h = n->history;
    struct ft_fault fault;

    if (record_check(record, record->size, &fault))
        sim_fail("%s: lane %u makes a record that is none: %s", n->name, lane, fault.text);
    if (sim.plan.liar)
        return;
    if (!h) {
        sim_fail("%s makes burst %lu of lane %u without a state", n->name, record->burst, lane);
        return;
    }
    if (record->burst != h->lane[lane].count + 1) {
        sim_fail("%s makes burst %lu of lane %u after burst %lu", n->name, record->burst, lane,
                 h->lane[lane].count);
        return;
    }
    sim_history_put(h, lane, record);
    sim.count.bursts++;
    sim_mix(record->burst * 31 + record->inputs);
}

/* ---- what leaves ---------------------------------------------------------------------------------- */

/* A newer view has begun. One burst may still leave each lane whose lease was checked before
 * (docs/guarantees.md, G5). */
static void after_newer_view(struct sim_node *n, unsigned lane, uint64_t view, uint64_t burst)
{
    if (n->checked[lane].may_split)
        count_split(n);
    if (sim.split)
        return;
    if (n->after_view != sim.reign)
        n->after_lanes = 0;
    n->after_view = sim.reign;
    if (n->after_lanes & 1u << lane || burst > n->history->stored[lane])
        sim_fail("G5: %s releases burst %lu of lane %u in view %lu after view %lu has begun", n->name, burst,
                 lane, view, sim.reign);
    n->after_lanes |= 1u << lane;
}

/* The standby sleeps in the midst of its takeover, and the primary has announced that it goes on alone. */
static bool unheard(const struct sim_node *n)
{
    const struct sim_node *other = sim_peer(n);

    return !sim.plan.strict && !sim.plan.arbitrated && n->state == FT_SOLO && other && other->alive &&
           other->deciding && other->paused_until > sim.now;
}

static void keep_left(struct sim_node *n, unsigned lane, unsigned port, const struct ft_held *held,
                      uint64_t view)
{
    struct sim_left *left = sim_alloc(sizeof(*left) + held->len);

    *left = (struct sim_left){.history = n->history,
                              .number = held->number,
                              .burst = held->burst,
                              .at = sim.now,
                              .view = view,
                              .lane = (uint16_t)lane,
                              .port = (uint16_t)port,
                              .node = (uint8_t)n->index,
                              .aside = nd_lane_own_mac(&n->lane[lane]),
                              .alone = n->checked[lane].may_split || n->checked[lane].unheard,
                              .apart = sim.split && n->history->view < sim.reign,
                              .len = held->len,
                              .frame = (uint8_t *)(left + 1)};
    memcpy(left + 1, n->io.data(held->packet), held->len); /* of a part the rest means nothing */
    *sim.left_last = left;
    sim.left_last = &left->next;
    sim.count.released++;
}

static bool releases_alone(const struct sim_node *n, unsigned lane)
{
    if (sim.plan.strict)
        return false;
    return n->replicator->gate_kind == FT_GATE_SOLO ||
           (n->lane[lane].seen.gate < n->leaving_solo && !n->said_holding);
}

/*
 * A lane has checked its lease and is about to give outputs to a port. What leaves is judged by the gate as
 * it is now: between here and the port the lane may be preempted for as long as the system likes, and no
 * check is left.
 */
void sim_saw_lease_check(struct sim_node *n, unsigned lane)
{
    n->checked[lane].view = sim_core(n)->view;
    n->checked[lane].alone = releases_alone(n, lane);
    n->checked[lane].may_split = may_split(n);
    n->checked[lane].unheard = unheard(n);
}

void sim_saw_release(struct sim_node *n, unsigned lane, unsigned port, const struct ft_held held[],
                     uint32_t count)
{
    uint64_t view = n->checked[lane].view, last = count ? held[count - 1].burst : 0;
    bool alone = n->checked[lane].alone;

    if (count == 0 || sim.plan.liar)
        return;
    if (!n->history) {
        sim_fail("%s releases without a state", n->name);
        return;
    }
    if (view < sim.reign && !(sim.plan.members && sim.reigns_node == n->index))
        after_newer_view(n, lane, view, last);
    if (alone && last > n->history->alone[lane])
        n->history->alone[lane] = last;
    if (!alone && last > n->history->stored[lane] && !sim.split)
        sim_fail("G1: %s releases burst %lu of lane %u, and the standby has acknowledged %lu", n->name, last,
                 lane, n->history->stored[lane]);
    for (uint32_t i = 0; i < count; i++) {
        if (held[i].number <= n->last_number[lane])
            sim_fail("%s releases output %lu of lane %u after output %lu", n->name, held[i].number, lane,
                     n->last_number[lane]);
        n->last_number[lane] = held[i].number;
        keep_left(n, lane, port, &held[i], view);
        sim_mix(held[i].number);
    }
}

/* ---- between any two ticks ------------------------------------------------------------------------ */

void sim_watch(void)
{
    for (unsigned i = 0; i < sim.nodes; i++) {
        struct sim_node *n = &sim.node[i];

        for (unsigned l = 0; n->alive && l < sim.plan.lanes; l++)
            if (atomic_load(&n->shared[l].report.diverged) && n->state != FT_JOINING && !sim.plan.liar)
                sim_fail("G2: replay of lane %u diverged on %s", l, n->name);
    }
}

/* ---- at the end ------------------------------------------------------------------------------------ */

/* What the last reign made left once; what left twice was a tail (docs/guarantees.md, G4). */
static void count_left(const struct sim_history *h)
{
    for (const struct sim_left *a = sim.left; a; a = a->next)
        for (const struct sim_left *b = a->same; b && a->history->epoch == h->epoch; b = b->same) {
            sim.count.duplicates++;
            if (a->history == b->history)
                sim_fail("G4: output %lu of lane %u left %s twice", a->number, a->lane,
                         sim.node[a->node].name);
            else if (a->burst > a->history->cut[a->lane] && b->burst > b->history->cut[b->lane])
                sim_fail("G4: output %lu of lane %u left twice, and was in no tail", a->number, a->lane);
        }
}

static struct sim_history *last_of(uint64_t epoch)
{
    for (struct sim_history *h = sim.histories; h; h = h->next)
        if (h->epoch == epoch && !h->forgotten)
            return h; /* the newest first */
    return NULL;
}

void sim_judge(void)
{
    struct sim_node *p = sim_protected(), *s = p ? sim_peer(p) : NULL;
    struct sim_history *final = p ? p->history : NULL;
    uint64_t digest[3];

    if (!sim_rests()) {
        sim_fail("the pair does not come to rest");
        return;
    }
    sim_show(&p->window);
    digest[0] = ft_region_digest(p->window.region);
    sim_show(&s->window);
    digest[1] = ft_region_digest(s->window.region);
    if (digest[0] != digest[1])
        sim_fail("G2: at rest the standby's region differs from the primary's");
    for (uint64_t epoch = 1; epoch <= sim.epochs && !sim.failed[0]; epoch++) {
        struct sim_history *h = epoch == final->epoch ? final : last_of(epoch);

        sim_history_execute(h, h != final, &digest[2]);
        count_left(h);
        if (h == final && digest[2] != digest[0])
            sim_fail("G2: executing the surviving log ends in another state than the pair's");
    }
    sim_tell(
        SIM_NOBODY,
        "both nodes hold the same; %lu frames were lost in ports, %lu outputs never left, %lu left twice",
        sim.count.lost, sim.count.never, sim.count.duplicates);
}
